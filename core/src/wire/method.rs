//! Request methods.

use alloc::boxed::Box;
use core::fmt;

use super::class::Class;

macro_rules! methods {
    ($($variant:ident $text:literal : $source:literal,)*) => {
        /// A request method. Method names are case-sensitive (RFC 3261 section 7.1).
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Method {
            $(
                #[doc = concat!("`", $text, "`, ", $source, ".")]
                $variant,
            )*
            /// Any other token. Holds none of the names above when made by [`Method::parse`].
            Other(Box<str>),
        }

        impl Method {
            /// The method named by `bytes`; `None` when they are not a token (RFC 3261 section 25.1).
            pub fn parse(bytes: &[u8]) -> Option<Self> {
                Some(match bytes {
                    $(_ if bytes == $text.as_bytes() => Self::$variant,)*
                    _ => {
                        if bytes.is_empty() || Class::TOKEN.run(bytes) < bytes.len() {
                            return None;
                        }
                        Self::Other(core::str::from_utf8(bytes).ok()?.into())
                    }
                })
            }

            /// The name as it is written on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other(name) => name,
                }
            }

            /// How the first line of a request begins and how its `CSeq` line ends, if the stack knows the method.
            pub(super) const fn around(&self) -> Option<(&'static str, &'static str)> {
                match self {
                    $(Self::$variant => Some((concat!($text, " "), concat!(" ", $text, "\r\n"))),)*
                    Self::Other(_) => None,
                }
            }

            /// The names of the methods that the stack knows, in the order of [`Self::sort`].
            pub(crate) const NAMES: &[&str] = &[$($text),*];

            /// A small number for each method that the stack knows, and one for all others.
            pub(crate) fn sort(&self) -> usize {
                enum Sort {
                    $($variant,)*
                    Other,
                }
                let sort = match self {
                    $(Self::$variant => Sort::$variant,)*
                    Self::Other(_) => Sort::Other,
                };
                sort as usize
            }
        }
    };
}

methods! {
    Invite "INVITE": "RFC 3261 section 13",
    Ack "ACK": "RFC 3261 section 17.1.1.3",
    Bye "BYE": "RFC 3261 section 15",
    Cancel "CANCEL": "RFC 3261 section 9",
    Options "OPTIONS": "RFC 3261 section 11",
    Register "REGISTER": "RFC 3261 section 10",
    Message "MESSAGE": "RFC 3428",
    Info "INFO": "RFC 6086",
    Prack "PRACK": "RFC 3262",
    Update "UPDATE": "RFC 3311",
    Refer "REFER": "RFC 3515",
    Subscribe "SUBSCRIBE": "RFC 6665",
    Notify "NOTIFY": "RFC 6665",
    Publish "PUBLISH": "RFC 3903",
    Service "SERVICE": "MS-SIP",
    Benotify "BENOTIFY": "MS-SIP",
}

impl Method {
    /// How many numbers [`Self::sort`] gives.
    pub(crate) const SORTS: usize = Self::NAMES.len() + 1;

    /// Whether this is one of the methods that the stack has a name for.
    pub const fn is_known(&self) -> bool {
        !matches!(self, Self::Other(_))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_case_sensitive() {
        assert_eq!(Method::parse(b"INVITE"), Some(Method::Invite));
        assert_eq!(Method::parse(b"Invite"), Some(Method::Other("Invite".into())));
        assert!(!Method::Other("Invite".into()).is_known());
    }

    // RFC 4475 section 3.1.1.2: every character of a token in a method.
    #[test]
    fn any_token_is_a_method_and_nothing_else_is() {
        let name = "!interesting-Method0123456789_*+`.%indeed'~";
        assert_eq!(Method::parse(name.as_bytes()).unwrap().as_str(), name);
        for bad in [&b""[..], b"A B", b"A/B", b"A\"B", b"A\x00", b"\xc3\xa9"] {
            assert_eq!(Method::parse(bad), None);
        }
    }

    #[test]
    fn what_is_parsed_is_written_back() {
        for name in [
            "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "MESSAGE", "INFO", "PRACK", "UPDATE", "REFER",
        ] {
            let method = Method::parse(name.as_bytes()).unwrap();
            assert!(method.is_known());
            assert_eq!(method.as_str(), name);
        }
    }
}
