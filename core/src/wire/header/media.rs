//! Fields about bodies: their types, codings and languages.

use alloc::borrow::Cow;
use alloc::string::String;

use nom::Parser;

use super::addr::qvalue;
use super::token::word_fields;
use super::{Header, ListHeader, Params};
use crate::error::ParseError;
use crate::wire::HeaderName;
use crate::wire::grammar::{self, Parsed, expect, separator};

/// A type of content (`media-type`, RFC 3261 section 20.15). Type and subtype are compared without regard to case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MediaType<'a> {
    /// The type as written.
    pub type_: Cow<'a, str>,
    /// The subtype as written.
    pub subtype: Cow<'a, str>,
    /// The parameters.
    pub params: Params<'a>,
}

impl<'a> MediaType<'a> {
    /// Whether it is this type, parameters aside.
    pub fn is(&self, type_: &str, subtype: &str) -> bool {
        self.type_.eq_ignore_ascii_case(type_) && self.subtype.eq_ignore_ascii_case(subtype)
    }

    /// Whether a content of type `other` is one of this range: `*` takes all; parameters aside.
    pub fn covers(&self, other: &MediaType<'_>) -> bool {
        (self.type_ == "*" || self.type_.eq_ignore_ascii_case(&other.type_))
            && (self.subtype == "*" || self.subtype.eq_ignore_ascii_case(&other.subtype))
    }

    fn parser(input: &'a str) -> Parsed<'a, Self> {
        let (input, type_) = expect("media type expected", grammar::token).parse(input)?;
        let (input, _) = expect("slash expected", separator(b'/')).parse(input)?;
        let (input, subtype) = expect("media subtype expected", grammar::token).parse(input)?;
        let (input, params) = grammar::params(input)?;
        Ok((
            input,
            Self {
                type_: Cow::Borrowed(type_),
                subtype: Cow::Borrowed(subtype),
                params,
            },
        ))
    }

    fn write(&self, out: &mut String) {
        out.push_str(&self.type_);
        out.push('/');
        out.push_str(&self.subtype);
        self.params.write(out);
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> MediaType<'static> {
        MediaType {
            type_: Cow::Owned(self.type_.into_owned()),
            subtype: Cow::Owned(self.subtype.into_owned()),
            params: self.params.into_owned(),
        }
    }
}

/// The type of the body (RFC 3261 section 20.15).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContentType<'a>(pub MediaType<'a>);

impl<'a> ContentType<'a> {
    /// A type without parameters.
    pub fn new(type_: &'a str, subtype: &'a str) -> Self {
        Self(MediaType {
            type_: Cow::Borrowed(type_),
            subtype: Cow::Borrowed(subtype),
            params: Params::new(),
        })
    }

    /// Whether it is this type, parameters aside.
    pub fn is(&self, type_: &str, subtype: &str) -> bool {
        self.0.is(type_, subtype)
    }

    /// The parameters.
    pub const fn params(&self) -> &Params<'a> {
        &self.0.params
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> ContentType<'static> {
        ContentType(self.0.into_owned())
    }
}

impl<'a> Header<'a> for ContentType<'a> {
    const NAME: HeaderName = HeaderName::ContentType;

    fn parse(value: &'a str) -> Result<Self, ParseError> {
        let read = grammar::whole(MediaType::parser, value);
        read.map(Self)
            .map_err(|what| ParseError::header(Self::NAME, what))
    }

    fn write(&self, out: &mut String) {
        self.0.write(out);
    }
}

/// A type, or a range of types, that is taken (RFC 3261 section 20.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Accept<'a>(pub MediaType<'a>);

impl<'a> Accept<'a> {
    /// The preference in thousandths; 1000 where none is given, 0 where a malformed one is.
    pub fn q(&self) -> u16 {
        q(&self.0.params)
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> Accept<'static> {
        Accept(self.0.into_owned())
    }
}

fn q(params: &Params<'_>) -> u16 {
    if params.contains("q") {
        params.token("q").and_then(qvalue).unwrap_or(0)
    } else {
        1000
    }
}

impl<'a> Header<'a> for Accept<'a> {
    const NAME: HeaderName = HeaderName::Accept;

    fn parse(value: &'a str) -> Result<Self, ParseError> {
        match grammar::whole(MediaType::parser, value) {
            // "*" is a token character: "*/x" has to be refused here.
            Ok(range) if range.type_ == "*" && range.subtype != "*" => {
                Err(ParseError::header(Self::NAME, "bad media range"))
            }
            Ok(range) => Ok(Self(range)),
            Err(what) => Err(ParseError::header(Self::NAME, what)),
        }
    }

    fn write(&self, out: &mut String) {
        self.0.write(out);
    }
}

impl<'a> ListHeader<'a> for Accept<'a> {
    const MAY_BE_EMPTY: bool = true;
}

fn token(value: &str) -> Result<&str, &'static str> {
    grammar::whole(grammar::token, value)
}

/// `language-tag`
fn language(value: &str) -> Result<&str, &'static str> {
    let value = grammar::trim(value);
    if is_language(value) {
        Ok(value)
    } else {
        Err("bad language tag")
    }
}

/// Parts of one to eight letters with hyphens between them. From the second part on digits are taken too, which
/// RFC 3261's grammar lacks but real tags have (`es-419`, RFC 5646).
fn is_language(text: &str) -> bool {
    let mut parts = text.split('-');
    let good = |part: &str| (1..=8).contains(&part.len());
    parts
        .next()
        .is_some_and(|first| good(first) && first.chars().all(|c| c.is_ascii_alphabetic()))
        && parts.all(|part| good(part) && part.chars().all(|c| c.is_ascii_alphanumeric()))
}

word_fields! {
    /// A coding of the body (RFC 3261 section 20.12).
    ContentEncoding: ContentEncoding, token, ListHeader(false);
    /// A language of the body (RFC 3261 section 20.13).
    ContentLanguage: ContentLanguage, language, ListHeader(false);
}

macro_rules! word_and_params {
    ($($(#[$doc:meta])* $type:ident { $(#[$field_doc:meta])* $field:ident }: $name:ident, $check:expr
        $(, $list:ident)?;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Eq, Hash)]
            pub struct $type<'a> {
                $(#[$field_doc])*
                pub $field: Cow<'a, str>,
                /// The parameters.
                pub params: Params<'a>,
            }

            impl<'a> $type<'a> {
                /// A value without parameters.
                pub fn new($field: impl Into<Cow<'a, str>>) -> Self {
                    Self { $field: $field.into(), params: Params::new() }
                }

                fn parser(input: &'a str) -> Parsed<'a, Self> {
                    let (input, word) = grammar::token(input)?;
                    let check: fn(&str) -> bool = $check;
                    if !check(word) {
                        return grammar::bad("bad value");
                    }
                    let (input, params) = grammar::params(input)?;
                    Ok((input, Self { $field: Cow::Borrowed(word), params }))
                }

                /// A copy that borrows nothing.
                pub fn into_owned(self) -> $type<'static> {
                    $type { $field: Cow::Owned(self.$field.into_owned()), params: self.params.into_owned() }
                }
            }

            impl<'a> Header<'a> for $type<'a> {
                const NAME: HeaderName = HeaderName::$name;

                fn parse(value: &'a str) -> Result<Self, ParseError> {
                    grammar::whole(Self::parser, value).map_err(|what| ParseError::header(Self::NAME, what))
                }

                fn write(&self, out: &mut String) {
                    out.push_str(&self.$field);
                    self.params.write(out);
                }
            }

            $(impl<'a> $list<'a> for $type<'a> {
                const MAY_BE_EMPTY: bool = true;
            })?
        )*
    };
}

pub(super) use word_and_params;

word_and_params! {
    /// How a body is to be taken (RFC 3261 section 20.11).
    ContentDisposition {
        /// `session`, `render`, `icon`, `alert`, or another token, as written.
        kind
    }: ContentDisposition, |_| true;
    /// A coding that is taken (RFC 3261 section 20.2).
    AcceptEncoding {
        /// The coding, or `*`.
        coding
    }: AcceptEncoding, |_| true, ListHeader;
    /// A language that is wanted (RFC 3261 section 20.3).
    AcceptLanguage {
        /// The language, or `*`.
        language
    }: AcceptLanguage, |text| text == "*" || is_language(text), ListHeader;
}

impl ContentDisposition<'_> {
    /// Whether a body that is not understood makes the request fail: `handling=required`, or no `handling` at all.
    pub fn is_required(&self) -> bool {
        !self
            .params
            .get("handling")
            .is_some_and(|handling| handling.eq_ignore_ascii_case("optional"))
    }
}

impl AcceptEncoding<'_> {
    /// The preference in thousandths; 1000 where none is given, 0 where a malformed one is.
    pub fn q(&self) -> u16 {
        q(&self.params)
    }
}

impl AcceptLanguage<'_> {
    /// The preference in thousandths; 1000 where none is given, 0 where a malformed one is.
    pub fn q(&self) -> u16 {
        q(&self.params)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::super::to_string;
    use super::*;

    #[test]
    fn content_types() {
        let value = ContentType::parse("multipart/mixed ; Boundary = 7a9cbec02ceef655").unwrap();
        assert!(value.is("Multipart", "MIXED"));
        assert_eq!(
            value.params().get("boundary").as_deref(),
            Some("7a9cbec02ceef655")
        );
        assert_eq!(to_string(&value), "multipart/mixed;Boundary=7a9cbec02ceef655");
        let quoted = "text/html; charset=\"ISO-8859-4\"";
        assert_eq!(
            ContentType::parse(quoted)
                .unwrap()
                .params()
                .get("Charset")
                .as_deref(),
            Some("ISO-8859-4")
        );
        assert_eq!(
            to_string(&ContentType::new("application", "sdp")),
            "application/sdp"
        );
        for text in [
            "",
            "text",
            "text/",
            "/plain",
            "text/plain;",
            "text/plain;charset",
            "a/b/c",
            "a b/c",
            "text/plain x",
        ] {
            assert_eq!(
                ContentType::parse(text).is_ok(),
                text == "text/plain;charset",
                "{text}"
            );
        }
    }

    // RFC 3261 section 20.1.
    #[test]
    fn accepted_types() {
        let ranges: Vec<_> = Accept::parse_list("application/sdp;level=1, text/*;q=0.3,*/*;q=x")
            .map(Result::unwrap)
            .collect();
        assert_eq!(ranges.iter().map(Accept::q).collect::<Vec<_>>(), [1000, 300, 0]);
        let sdp = ContentType::new("Application", "SDP");
        assert!(ranges[0].0.covers(&sdp.0));
        assert!(!ranges[1].0.covers(&sdp.0));
        assert!(ranges[2].0.covers(&sdp.0));
        assert_eq!(Accept::parse_list("").count(), 0);
        for text in ["*", "*/sdp", "text"] {
            assert!(Accept::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn codings_and_languages() {
        assert!(ContentEncoding::parse("gzip").is_ok());
        assert!(ContentEncoding::parse("").is_err());
        for text in ["fr", "en-US", "es-419", "i-default"] {
            assert!(ContentLanguage::parse(text).is_ok(), "{text}");
        }
        for text in ["", "-", "en-", "longlonglong", "e n", "419"] {
            assert!(ContentLanguage::parse(text).is_err(), "{text}");
        }
        let codings: Vec<_> = AcceptEncoding::parse_list("gzip, *;q=0")
            .map(Result::unwrap)
            .collect();
        assert_eq!((codings[0].q(), codings[1].q()), (1000, 0));
        assert!(AcceptEncoding::parse("gzip deflate").is_err());
        let languages: Vec<_> = AcceptLanguage::parse_list("da, en-gb;q=0.8, *")
            .map(Result::unwrap)
            .collect();
        assert_eq!(languages[1].q(), 800);
        assert!(AcceptLanguage::parse("toolonglanguage").is_err());
    }

    // RFC 3261 section 20.11.
    #[test]
    fn dispositions() {
        let value = ContentDisposition::parse("session;handling=optional").unwrap();
        assert_eq!(value.kind, "session");
        assert!(!value.is_required());
        assert!(ContentDisposition::new("render").is_required());
        assert!(ContentDisposition::parse("attachment; filename=smime.p7m handling=required").is_err());
    }
}
