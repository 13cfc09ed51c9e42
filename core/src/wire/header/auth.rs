//! Challenges, credentials, and what a server says of itself after them (RFC 3261 sections 20.6, 20.7, 20.27, 20.28
//! and 20.44; MS-SIPAE section 2.2).
//!
//! Microsoft's schemes (NTLM, Kerberos, TLS-DSK) never escape: a backslash in their quoted values is a backslash, and
//! the next quote ends the value. Every other scheme has the quoted strings of RFC 3261.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use nom::Parser;
use nom::bytes::complete::take_while;
use nom::character::complete::char;
use nom::combinator::peek;
use nom::sequence::delimited;

use super::{Elements, Header, ListHeader};
use crate::error::ParseError;
use crate::wire::HeaderName;
use crate::wire::grammar::{self, MAX_PARAMS, Parsed, bad, blanks1, expect, separator};

/// One parameter of a challenge or of credentials.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AuthParam<'a> {
    /// The name as written.
    pub name: Cow<'a, str>,
    /// The value as written, quotes off, escapes kept.
    pub value: Cow<'a, str>,
    /// Whether it is in quotes.
    pub quoted: bool,
}

/// The parameters of a challenge or of credentials, in order. Names are compared without regard to case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AuthParams<'a>(Vec<AuthParam<'a>>);

impl<'a> AuthParams<'a> {
    /// No parameters.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// All of them in order.
    pub fn iter(&self) -> impl Iterator<Item = &AuthParam<'a>> {
        self.0.iter()
    }

    /// The value as written, quotes off, escapes kept.
    pub fn raw(&self, name: &str) -> Option<&str> {
        self.param(name).map(|param| &*param.value)
    }

    fn param(&self, name: &str) -> Option<&AuthParam<'a>> {
        self.0.iter().find(|param| param.name.eq_ignore_ascii_case(name))
    }

    /// Adds a value without quotes (`algorithm=MD5`); one that is no token is quoted all the same.
    #[must_use]
    pub fn with_token(self, name: &'a str, value: impl Into<Cow<'a, str>>) -> Self {
        let value = value.into();
        if grammar::is_token(&value) {
            self.push(name, value, false)
        } else {
            self.with_quoted(name, value)
        }
    }

    /// Adds a value in quotes, escaped.
    #[must_use]
    pub fn with_quoted(self, name: &'a str, value: impl Into<Cow<'a, str>>) -> Self {
        let value = value.into();
        if value
            .chars()
            .all(|c| grammar::is_text_char(c) && c != '"' && c != '\\')
        {
            return self.push(name, value, true);
        }
        let mut escaped = String::with_capacity(value.len() + 8);
        grammar::write_quoted(&mut escaped, &value);
        let inside = escaped
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'))
            .unwrap_or_default();
        self.push(name, Cow::Owned(inside.into()), true)
    }

    /// Adds a value in quotes as it is, for Microsoft's schemes. Quotes and control characters have no form there and
    /// are left out.
    #[must_use]
    pub fn with_raw_quoted(self, name: &'a str, value: impl Into<Cow<'a, str>>) -> Self {
        let value = value.into();
        let is_good = |c: char| c != '"' && grammar::is_text_char(c);
        if value.chars().all(is_good) {
            return self.push(name, value, true);
        }
        let cleaned = value.chars().filter(|c| is_good(*c)).collect();
        self.push(name, Cow::Owned(cleaned), true)
    }

    fn push(mut self, name: &'a str, value: Cow<'a, str>, quoted: bool) -> Self {
        if grammar::is_token(name) && self.param(name).is_none() {
            self.0.push(AuthParam {
                name: Cow::Borrowed(name),
                value,
                quoted,
            });
        }
        self
    }

    fn parser(raw: bool) -> impl Fn(&'a str) -> Parsed<'a, Self> {
        move |input| {
            let mut params = Vec::new();
            let mut rest = input;
            loop {
                let (next, name) = expect("parameter expected", grammar::token).parse(rest)?;
                let (next, _) = expect("= expected", separator(b'=')).parse(next)?;
                let (next, (value, quoted)) = value(raw, next)?;
                let seen: &[AuthParam<'_>] = &params;
                if seen.iter().any(|param| param.name.eq_ignore_ascii_case(name)) {
                    return bad("parameter given twice");
                }
                if params.len() == MAX_PARAMS {
                    return bad("too many parameters");
                }
                params.push(AuthParam {
                    name: Cow::Borrowed(name),
                    value: Cow::Borrowed(value),
                    quoted,
                });
                match separator(b',').parse(next) {
                    Ok((next, _)) => rest = next,
                    Err(_) => return Ok((next, Self(params))),
                }
            }
        }
    }

    fn write(&self, out: &mut String) {
        for (at, param) in self.0.iter().enumerate() {
            if at > 0 {
                out.push_str(", ");
            }
            out.push_str(&param.name);
            out.push('=');
            if param.quoted {
                out.push('"');
                out.push_str(&param.value);
                out.push('"');
            } else {
                out.push_str(&param.value);
            }
        }
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> AuthParams<'static> {
        let params = self.0.into_iter().map(|param| AuthParam {
            name: Cow::Owned(param.name.into_owned()),
            value: Cow::Owned(param.value.into_owned()),
            quoted: param.quoted,
        });
        AuthParams(params.collect())
    }
}

/// A value, and whether it is in quotes.
fn value(raw: bool, input: &str) -> Parsed<'_, (&str, bool)> {
    if !input.starts_with('"') {
        return expect("value expected", grammar::token)
            .map(|text| (text, false))
            .parse(input);
    }
    let (rest, text) = if raw {
        let inside = take_while(|c: char| c != '"' && grammar::is_text_char(c));
        expect("closing quote missing", delimited(char('"'), inside, char('"'))).parse(input)?
    } else {
        grammar::quoted_raw(input)?
    };
    Ok((rest, (text, true)))
}

/// Whether the scheme is one of Microsoft's, whose quoted values have no escapes.
fn is_raw_scheme(scheme: &str) -> bool {
    ["NTLM", "Kerberos", "TLS-DSK"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(scheme))
}

fn text<'v>(scheme: &str, params: &'v AuthParams<'_>, name: &str) -> Option<Cow<'v, str>> {
    let param = params.param(name)?;
    Some(if param.quoted && !is_raw_scheme(scheme) {
        grammar::unescape(&param.value)
    } else {
        Cow::Borrowed(&param.value)
    })
}

macro_rules! schemes {
    ($($(#[$doc:meta])* $type:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Eq, Hash)]
            pub struct $type<'a> {
                /// The scheme as written; compare without regard to case.
                pub scheme: Cow<'a, str>,
                /// The parameters.
                pub params: AuthParams<'a>,
            }

            impl<'a> $type<'a> {
                /// Whether it is of this scheme.
                pub fn is(&self, scheme: &str) -> bool {
                    self.scheme.eq_ignore_ascii_case(scheme)
                }

                /// What the parameter means: escapes resolved where the scheme has them.
                pub fn get(&self, name: &str) -> Option<Cow<'_, str>> {
                    text(&self.scheme, &self.params, name)
                }

                fn parser(input: &'a str) -> Parsed<'a, Self> {
                    let (input, scheme) = expect("scheme expected", grammar::token).parse(input)?;
                    let (input, _) = blanks1(input)?;
                    let (input, params) = AuthParams::parser(is_raw_scheme(scheme)).parse(input)?;
                    Ok((input, Self { scheme: Cow::Borrowed(scheme), params }))
                }

                fn write(&self, out: &mut String) {
                    out.push_str(&self.scheme);
                    out.push(' ');
                    self.params.write(out);
                }

                /// A copy that borrows nothing.
                pub fn into_owned(self) -> $type<'static> {
                    $type { scheme: Cow::Owned(self.scheme.into_owned()), params: self.params.into_owned() }
                }
            }
        )*
    };
}

schemes! {
    /// What a server wants proved.
    Challenge;
    /// The proof of a client.
    Credentials;
}

/// What a server says after it has accepted a proof: its own, in the schemes that have one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AuthInfo<'a> {
    /// The scheme, which only Microsoft's servers name.
    pub scheme: Option<Cow<'a, str>>,
    /// The parameters.
    pub params: AuthParams<'a>,
}

impl<'a> AuthInfo<'a> {
    /// Whether it is of this scheme.
    pub fn is(&self, scheme: &str) -> bool {
        self.scheme
            .as_deref()
            .is_some_and(|own| own.eq_ignore_ascii_case(scheme))
    }

    /// What the parameter means: escapes resolved where the scheme has them.
    pub fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        text(self.scheme.as_deref().unwrap_or_default(), &self.params, name)
    }

    fn parser(input: &'a str) -> Parsed<'a, Self> {
        let with_scheme = (grammar::token, blanks1, peek(grammar::token)).parse(input);
        let (input, scheme) = match with_scheme {
            Ok((rest, (scheme, _, _))) => (rest, Some(scheme)),
            Err(_) => (input, None),
        };
        let (input, params) = AuthParams::parser(scheme.is_some_and(is_raw_scheme)).parse(input)?;
        Ok((
            input,
            Self {
                scheme: scheme.map(Cow::Borrowed),
                params,
            },
        ))
    }

    fn write(&self, out: &mut String) {
        if let Some(scheme) = &self.scheme {
            out.push_str(scheme);
            out.push(' ');
        }
        self.params.write(out);
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> AuthInfo<'static> {
        AuthInfo {
            scheme: self.scheme.map(|scheme| Cow::Owned(scheme.into_owned())),
            params: self.params.into_owned(),
        }
    }
}

macro_rules! auth_fields {
    ($($(#[$doc:meta])* $type:ident($inner:ident): $name:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Eq, Hash)]
            pub struct $type<'a>(pub $inner<'a>);

            impl<'a> $type<'a> {
                /// A copy that borrows nothing.
                pub fn into_owned(self) -> $type<'static> {
                    $type(self.0.into_owned())
                }
            }

            impl<'a> Header<'a> for $type<'a> {
                const NAME: HeaderName = HeaderName::$name;

                fn parse(value: &'a str) -> Result<Self, ParseError> {
                    let read = grammar::whole($inner::parser, value);
                    read.map(Self).map_err(|what| ParseError::header(Self::NAME, what))
                }

                fn write(&self, out: &mut String) {
                    self.0.write(out);
                }
            }

            impl<'a> ListHeader<'a> for $type<'a> {
                fn elements(value: &'a str) -> Elements<'a> {
                    Elements::single(value)
                }
            }
        )*
    };
}

auth_fields! {
    /// The challenge of a user agent server or registrar (RFC 3261 section 20.44).
    WwwAuthenticate(Challenge): WwwAuthenticate;
    /// The challenge of a proxy (RFC 3261 section 20.27).
    ProxyAuthenticate(Challenge): ProxyAuthenticate;
    /// Credentials for a user agent server or registrar (RFC 3261 section 20.7).
    Authorization(Credentials): Authorization;
    /// Credentials for a proxy (RFC 3261 section 20.28).
    ProxyAuthorization(Credentials): ProxyAuthorization;
    /// The proof of a server (RFC 3261 section 20.6, MS-SIPAE section 2.2).
    AuthenticationInfo(AuthInfo): AuthenticationInfo;
    /// The proof of a proxy (MS-SIPAE section 2.2).
    ProxyAuthenticationInfo(AuthInfo): ProxyAuthenticationInfo;
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::super::to_string;
    use super::*;

    // RFC 3261 section 22.4.
    #[test]
    fn digest() {
        let text = "Digest realm=\"atlanta.com\", domain=\"sip:boxesbybob.com\", qop=\"auth,auth-int\", \
                    nonce=\"f84f1cec41e6cbe5aea9c8e88d359\", opaque=\"\", stale=FALSE, algorithm=MD5";
        let value = WwwAuthenticate::parse(text).unwrap().0;
        assert!(value.is("digest"));
        assert_eq!(value.get("Realm").as_deref(), Some("atlanta.com"));
        assert_eq!(value.get("qop").as_deref(), Some("auth,auth-int"));
        assert_eq!(
            (value.params.raw("opaque"), value.params.raw("stale")),
            (Some(""), Some("FALSE"))
        );
        assert_eq!(to_string(&WwwAuthenticate(value)), text);
        // A comma belongs to the challenge: each line is one.
        assert_eq!(WwwAuthenticate::parse_list(text).count(), 1);
        let spaced = "Digest  realm = \"a\" , nonce=\"b\"";
        assert_eq!(
            to_string(&ProxyAuthenticate::parse(spaced).unwrap()),
            "Digest realm=\"a\", nonce=\"b\""
        );
    }

    #[test]
    fn escapes_are_resolved_on_demand() {
        let value = Authorization::parse("Digest username=\"a\\\"b\\\\c\", realm=\"x\"")
            .unwrap()
            .0;
        assert_eq!(value.params.raw("username"), Some("a\\\"b\\\\c"));
        assert_eq!(value.get("username").as_deref(), Some("a\"b\\c"));
        let params = AuthParams::new().with_quoted("username", "a\"b\\c");
        assert_eq!(params.raw("username"), Some("a\\\"b\\\\c"));
    }

    // MS-SIP section 3.1.5.1: values are never escaped.
    #[test]
    fn microsofts_schemes_do_not_escape() {
        let value = Authorization::parse("NTLM realm=\"DOM\\\", targetname=\"a\\b\", version=4")
            .unwrap()
            .0;
        assert_eq!(value.get("realm").as_deref(), Some("DOM\\"));
        assert_eq!(value.get("targetname").as_deref(), Some("a\\b"));
        let text = "Kerberos realm=\"DOM\\\", gssapi-data=\"YII=\"";
        assert_eq!(to_string(&ProxyAuthorization::parse(text).unwrap()), text);
        let params = AuthParams::new().with_raw_quoted("realm", "a\\\"\r\nb");
        assert_eq!(params.raw("realm"), Some("a\\b"));
    }

    // MS-SIP section 4.2: empty tokens, a blank before "=", bare numbers.
    #[test]
    fn ntlm() {
        let text = "NTLM qop=\"auth\", gssapi-data =\"\", version=4, snum=1";
        let value = WwwAuthenticate::parse(text).unwrap().0;
        assert_eq!(value.get("gssapi-data").as_deref(), Some(""));
        assert_eq!(value.get("version").as_deref(), Some("4"));
        let names: Vec<_> = value
            .params
            .iter()
            .map(|param| (param.name.as_ref(), param.quoted))
            .collect();
        assert_eq!(
            names,
            [
                ("qop", true),
                ("gssapi-data", true),
                ("version", false),
                ("snum", false)
            ]
        );
    }

    #[test]
    fn proofs_of_servers() {
        let rfc = AuthenticationInfo::parse("nextnonce=\"47364c23432d2e131a5fb210812c\", nc=00000001")
            .unwrap()
            .0;
        assert_eq!(rfc.scheme, None);
        assert_eq!(rfc.get("nc").as_deref(), Some("00000001"));
        let spaced = AuthenticationInfo::parse("qop = auth").unwrap().0;
        assert_eq!(
            (spaced.scheme.as_deref(), spaced.get("qop").as_deref()),
            (None, Some("auth"))
        );
        let ms = ProxyAuthenticationInfo::parse("NTLM rspauth=\"0100\", snum=\"1\"")
            .unwrap()
            .0;
        assert!(ms.is("ntlm"));
        assert_eq!(ms.get("rspauth").as_deref(), Some("0100"));
        assert!(AuthenticationInfo::parse("NTLM").is_err());
        assert!(ProxyAuthenticationInfo::parse("").is_err());
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for text in [
            "",
            "Digest",
            "Digest ",
            "Digest realm",
            "Digest realm=",
            "Digest realm=\"a",
            "Digest realm=\"a\",",
            "Digest realm=\"a\" nonce=\"b\"",
            "Digest realm=\"a\", REALM=\"b\"",
            "Digest ,realm=\"a\"",
            "NTLM realm=\"a\u{1}\"",
            "NTLM realm=a b",
        ] {
            assert!(WwwAuthenticate::parse(text).is_err(), "{text}");
            assert!(ProxyAuthenticate::parse(text).is_err(), "{text}");
            assert!(Authorization::parse(text).is_err(), "{text}");
            assert!(ProxyAuthorization::parse(text).is_err(), "{text}");
        }
        // RFC 4475 section 3.3.7.
        assert!(Authorization::parse("NoOneKnowsThisScheme opaque-data=here").is_ok());
        let many: String = (0..65).map(|n| alloc::format!(",p{n}=1")).collect();
        assert!(Authorization::parse(&alloc::format!("X a=b{many}")).is_err());
    }
}
