//! Fields whose values are single words.

use alloc::borrow::Cow;
use alloc::string::String;

use super::{Elements, Header, ListHeader};
use crate::error::ParseError;
use crate::wire::class::Class;
use crate::wire::grammar::{self, trim};
use crate::wire::{HeaderName, Method};

/// `callid`: one word, or two with "@" between them.
fn call_id(value: &str) -> Result<&str, &'static str> {
    let value = trim(value);
    let bytes = value.as_bytes();
    let left = Class::WORD.run(bytes);
    let good = left > 0
        && match bytes.get(left..) {
            Some([]) => true,
            Some([b'@', right @ ..]) => !right.is_empty() && Class::WORD.run(right) == right.len(),
            _ => false,
        };
    if good { Ok(value) } else { Err("bad call id") }
}

fn token(value: &str) -> Result<&str, &'static str> {
    grammar::whole(grammar::token, value)
}

macro_rules! word_fields {
    ($($(#[$doc:meta])* $type:ident: $name:ident, $read:ident $(, $list:ident($empty:literal))?;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Eq, Hash)]
            pub struct $type<'a>(pub Cow<'a, str>);

            impl<'a> $type<'a> {
                /// The word.
                pub fn as_str(&self) -> &str {
                    &self.0
                }

                /// A copy that borrows nothing.
                pub fn into_owned(self) -> $type<'static> {
                    $type(Cow::Owned(self.0.into_owned()))
                }
            }

            impl<'a> Header<'a> for $type<'a> {
                const NAME: HeaderName = HeaderName::$name;

                fn parse(value: &'a str) -> Result<Self, ParseError> {
                    $read(value)
                        .map(|word| Self(Cow::Borrowed(word)))
                        .map_err(|what| ParseError::header(Self::NAME, what))
                }

                fn write(&self, out: &mut String) {
                    out.push_str(&self.0);
                }
            }

            $(impl<'a> $list<'a> for $type<'a> {
                const MAY_BE_EMPTY: bool = $empty;
            })?
        )*
    };
}

pub(super) use word_fields;

word_fields! {
    /// Which call or registration a message belongs to (RFC 3261 section 20.8). Compared byte by byte.
    CallId: CallId, call_id;
    /// A call that this one answers (RFC 3261 section 20.21).
    InReplyTo: InReplyTo, call_id, ListHeader(false);
    /// An option tag that the sender supports (RFC 3261 section 20.37).
    Supported: Supported, token, ListHeader(true);
    /// An option tag that the recipient must support (RFC 3261 section 20.32).
    Require: Require, token, ListHeader(false);
    /// What is to be done where a proxy has lost the state behind a route (MS-SIPRE section 2.2.18).
    DialogRecoveryAction: PDialogRecoveryAction, token, ListHeader(false);
    /// An option tag that proxies must support (RFC 3261 section 20.29).
    ProxyRequire: ProxyRequire, token, ListHeader(false);
    /// An option tag that was required and is not supported (RFC 3261 section 20.40).
    Unsupported: Unsupported, token, ListHeader(false);
    /// How urgent a request is: `emergency`, `urgent`, `normal`, `non-urgent`, or another token (RFC 3261 section
    /// 20.26).
    Priority: Priority, token;
    /// The name of a published state (RFC 3903 section 11.3.1).
    SipETag: SipETag, token;
    /// The published state that a PUBLISH changes (RFC 3903 section 11.3.2).
    SipIfMatch: SipIfMatch, token;
}

/// A method that is taken (RFC 3261 section 20.5).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Allow(pub Method);

impl<'a> Header<'a> for Allow {
    const NAME: HeaderName = HeaderName::Allow;

    fn parse(value: &'a str) -> Result<Self, ParseError> {
        Method::parse(trim(value).as_bytes())
            .map(Self)
            .ok_or_else(|| ParseError::header(Self::NAME, "method expected"))
    }

    fn write(&self, out: &mut String) {
        out.push_str(self.0.as_str());
    }
}

impl<'a> ListHeader<'a> for Allow {
    const MAY_BE_EMPTY: bool = true;
}

/// The privacy that a request asks for (`priv-value *( ";" priv-value )`, RFC 3323 section 4.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Privacy<'a>(Cow<'a, str>);

impl<'a> Privacy<'a> {
    /// The values, in order: `none`, `id`, `header`, `session`, `user`, `critical`.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.0.split(';').map(trim)
    }

    /// Whether one of the values is `value`, in any case.
    pub fn contains(&self, value: &str) -> bool {
        self.values().any(|other| other.eq_ignore_ascii_case(value))
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> Privacy<'static> {
        Privacy(Cow::Owned(self.0.into_owned()))
    }
}

impl<'a> Header<'a> for Privacy<'a> {
    const NAME: HeaderName = HeaderName::Privacy;

    fn parse(value: &'a str) -> Result<Self, ParseError> {
        let value = trim(value);
        // Some senders put commas between the values, which no other use of a comma here contradicts.
        let good =
            Elements::new(value, false).all(|part| part.split(';').all(|word| grammar::is_token(trim(word))));
        if !good {
            return Err(ParseError::header(Self::NAME, "token expected"));
        }
        Ok(Self(if value.contains(',') {
            Cow::Owned(value.replace(',', ";"))
        } else {
            Cow::Borrowed(value)
        }))
    }

    fn write(&self, out: &mut String) {
        out.push_str(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::super::to_string;
    use super::*;

    // RFC 4475 section 3.1.1.2.
    #[test]
    fn call_ids() {
        let odd = "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{";
        assert_eq!(CallId::parse(odd).unwrap().as_str(), odd);
        assert_eq!(
            CallId::parse(" a84b4c76e66710 ").unwrap().as_str(),
            "a84b4c76e66710"
        );
        for text in ["", "@", "a@", "@b", "a@b@c", "a b", "a,b", "a;b", "caf\u{e9}"] {
            assert!(CallId::parse(text).is_err(), "{text}");
        }
        let list: Vec<_> =
            InReplyTo::parse_list("70710@saturn.bell-tel.com, 17320@saturn.bell-tel.com").collect();
        assert_eq!(list.len(), 2);
        assert!(list.iter().all(Result::is_ok));
        assert!(InReplyTo::parse("a b").is_err());
    }

    #[test]
    fn lists_of_tokens() {
        let tags = |text| Supported::parse_list(text).map(|tag| tag.map(|tag| tag.0.into_owned()).ok());
        assert_eq!(
            tags("100rel ,  timer").collect::<Vec<_>>(),
            [Some("100rel".into()), Some("timer".into())]
        );
        assert_eq!(tags("").count(), 0);
        assert_eq!(tags(" ").count(), 0);
        assert_eq!(
            tags("a,,b").collect::<Vec<_>>(),
            [Some("a".into()), None, Some("b".into())]
        );
        assert_eq!(tags("a b").collect::<Vec<_>>(), [None]);
        for value in ["", ",", "a,", "a b", "a;b", "\"a\""] {
            assert!(Require::parse_list(value).any(|tag| tag.is_err()), "{value}");
            assert!(ProxyRequire::parse_list(value).any(|tag| tag.is_err()), "{value}");
            assert!(Unsupported::parse_list(value).any(|tag| tag.is_err()), "{value}");
        }
        assert!(Require::parse("nothingSupportsThis").is_ok());
        assert!(ProxyRequire::parse("norDoAnyProxiesSupportThis").is_ok());
        assert!(Unsupported::parse("100rel").is_ok());
    }

    #[test]
    fn allowed_methods() {
        let methods: Vec<_> = Allow::parse_list("INVITE, ACK,x")
            .map(|method| method.unwrap().0)
            .collect();
        assert_eq!(methods, [Method::Invite, Method::Ack, Method::Other("x".into())]);
        assert_eq!(Allow::parse_list("").count(), 0);
        assert!(Allow::parse("INVITE ACK").is_err());
    }

    #[test]
    fn single_words() {
        assert_eq!(Priority::parse("non-urgent").unwrap().as_str(), "non-urgent");
        assert_eq!(SipETag::parse("dx200xyz").unwrap().as_str(), "dx200xyz");
        assert_eq!(SipIfMatch::parse("dx200xyz").unwrap().as_str(), "dx200xyz");
        for text in ["", "a b", "a,b", "\"a\""] {
            assert!(Priority::parse(text).is_err(), "{text}");
            assert!(SipETag::parse(text).is_err(), "{text}");
            assert!(SipIfMatch::parse(text).is_err(), "{text}");
        }
    }

    // RFC 3323 section 4.2.
    #[test]
    fn privacy() {
        let privacy = Privacy::parse("header ; user;critical").unwrap();
        assert_eq!(
            privacy.values().collect::<Vec<_>>(),
            ["header", "user", "critical"]
        );
        assert!(privacy.contains("Critical"));
        assert!(!privacy.contains("id"));
        assert_eq!(
            to_string(&Privacy::parse("id, critical").unwrap()),
            "id; critical"
        );
        for text in ["", ";", "id;", "a b"] {
            assert!(Privacy::parse(text).is_err(), "{text}");
        }
    }
}
