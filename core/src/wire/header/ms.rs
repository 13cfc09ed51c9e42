//! Fields of Microsoft's servers and clients.

use alloc::borrow::Cow;
use alloc::string::String;

use nom::Parser;

use super::media::word_and_params;
use super::{Header, Params};
use crate::error::ParseError;
use crate::wire::HeaderName;
use crate::wire::grammar::{self, Parsed, bad, number};
use crate::wire::uri::push_number;

word_and_params! {
    /// Who sends keep-alives on a connection, and how often (MS-CONMGMT section 2.2.1).
    MsKeepAlive {
        /// `UAC` in a request, `UAS` in its answer, as written.
        role
    }: MsKeepAlive, |_| true;
}

impl MsKeepAlive<'_> {
    /// After how many seconds of silence the server gives a client up.
    pub fn timeout(&self) -> Option<u32> {
        grammar::decimal_u32(self.params.token("timeout")?)
    }

    /// Whether the server takes keep-alives between it and its neighbour (`hop-hop=yes`).
    pub fn hop_hop(&self) -> bool {
        self.params
            .token("hop-hop")
            .is_some_and(|value| value.eq_ignore_ascii_case("yes"))
    }
}

/// What a registrar knew of the endpoint before a REGISTER (MS-SIPREGE section 2.2.1.4).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PresenceState<'a> {
    /// `register-action` and what follows it: nothing in this field stands before its parameters.
    pub params: Params<'a>,
}

impl<'a> PresenceState<'a> {
    /// A value that says what the REGISTER did: `added`, `refreshed` or `fixed`.
    pub fn new(action: &str) -> Self {
        let mut params = Params::new();
        params.set_quoted("register-action", action);
        Self { params }
    }

    /// Whether the registrar did not have the binding that was to be refreshed: it was `added` or `fixed`.
    pub fn is_anew(&self) -> bool {
        let action = self.params.get("register-action");
        action.is_some_and(|action| {
            ["added", "fixed"]
                .iter()
                .any(|anew| action.eq_ignore_ascii_case(anew))
        })
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> PresenceState<'static> {
        PresenceState {
            params: self.params.into_owned(),
        }
    }
}

impl<'a> Header<'a> for PresenceState<'a> {
    const NAME: HeaderName = HeaderName::PresenceState;

    fn parse(value: &'a str) -> Result<Self, ParseError> {
        // Read as the parameters that it is, which begin with their separator everywhere else.
        let text = alloc::format!(";{}", grammar::trim(value));
        let params = grammar::whole(grammar::params, &text);
        let params = params.map_err(|what| ParseError::header(Self::NAME, what))?;
        Ok(Self {
            params: params.into_owned(),
        })
    }

    fn write(&self, out: &mut String) {
        out.push_str(self.params.as_str().trim_start_matches(';'));
    }
}

macro_rules! diagnostics {
    ($($(#[$doc:meta])* $type:ident: $name:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Eq, Hash)]
            pub struct $type<'a> {
                /// The number of the error.
                pub id: u32,
                /// The parameters: `reason`, `source` and others.
                pub params: Params<'a>,
            }

            impl<'a> $type<'a> {
                /// A value with a reason for people.
                pub fn new(id: u32, reason: &str) -> Self {
                    let mut params = Params::new();
                    params.set_quoted("reason", reason);
                    Self { id, params }
                }

                /// Words for people.
                pub fn reason(&self) -> Option<Cow<'_, str>> {
                    self.params.get("reason")
                }

                /// The host that found the error.
                pub fn source(&self) -> Option<Cow<'_, str>> {
                    self.params.get("source")
                }

                fn parser(input: &'a str) -> Parsed<'a, Self> {
                    let (input, id) = number(u64::from(u32::MAX)).parse(input)?;
                    let (input, params) = grammar::params(input)?;
                    match u32::try_from(id) {
                        Ok(id) => Ok((input, Self { id, params })),
                        Err(_) => bad("number out of range"),
                    }
                }

                /// A copy that borrows nothing.
                pub fn into_owned(self) -> $type<'static> {
                    $type { id: self.id, params: self.params.into_owned() }
                }
            }

            impl<'a> Header<'a> for $type<'a> {
                const NAME: HeaderName = HeaderName::$name;

                fn parse(value: &'a str) -> Result<Self, ParseError> {
                    grammar::whole(Self::parser, value).map_err(|what| ParseError::header(Self::NAME, what))
                }

                fn write(&self, out: &mut String) {
                    push_number(out, u64::from(self.id));
                    self.params.write(out);
                }
            }
        )*
    };
}

diagnostics! {
    /// Why a server answered so (MS-OCER section 2.2.1).
    MsDiagnostics: MsDiagnostics;
    /// The same, for peers outside the enterprise (MS-OCER section 2.2.1).
    MsDiagnosticsPublic: MsDiagnosticsPublic;
    /// Why a client acted so (MS-OCER section 2.2.1).
    MsClientDiagnostics: MsClientDiagnostics;
}

#[cfg(test)]
mod tests {
    use super::super::to_string;
    use super::*;

    // Forms that OCS 2007 R2 sends.
    #[test]
    fn keep_alives() {
        let value = MsKeepAlive::parse("UAS; tcp=no; hop-hop=yes; end-end=no; timeout=300").unwrap();
        assert_eq!(
            (value.role.as_ref(), value.hop_hop(), value.timeout()),
            ("UAS", true, Some(300))
        );
        assert_eq!(
            to_string(&MsKeepAlive::parse("UAC;hop-hop=yes").unwrap()),
            "UAC;hop-hop=yes"
        );
        assert!(MsKeepAlive::parse(";timeout=1").is_err());
    }

    // rules: R14
    // The forms of MS-SIPREGE sections 2.2.1.4 and 4.
    #[test]
    fn presence_states() {
        let text =
            "register-action=\"added\";primary-cluster-type=\"central\";is-connected-to-primary=\"yes\"";
        let value = PresenceState::parse(text).unwrap();
        assert!(value.is_anew());
        assert_eq!(to_string(&value), text);
        for (text, anew) in [
            ("register-action=\"fixed\"", true),
            (" Register-Action = FIXED ", true),
            ("register-action=\"refreshed\"", false),
            ("register-action=\"\"", false),
            ("register-action", false),
            ("primary-cluster-type=\"central\"", false),
        ] {
            assert_eq!(PresenceState::parse(text).unwrap().is_anew(), anew, "{text}");
        }
        for text in [
            "",
            ";",
            "added;",
            "register-action=\"added",
            "register-action=added;register-action=fixed",
        ] {
            assert!(PresenceState::parse(text).is_err(), "{text}");
        }
        assert_eq!(
            to_string(&PresenceState::new("added")),
            "register-action=\"added\""
        );
    }

    #[test]
    fn diagnostics() {
        let text = "13004;reason=\"Request was proxied, once\";source=\"pool01.example.com\";appName=\"InboundRouting\"";
        let value = MsDiagnostics::parse(text).unwrap();
        assert_eq!(value.id, 13_004);
        assert_eq!(value.reason().as_deref(), Some("Request was proxied, once"));
        assert_eq!(value.source().as_deref(), Some("pool01.example.com"));
        assert_eq!(to_string(&value), text);
        assert_eq!(
            to_string(&MsClientDiagnostics::new(52_001, "a \"b\"")),
            "52001;reason=\"a \\\"b\\\"\""
        );
        assert!(MsDiagnostics::parse("x;reason=\"y\"").is_err());
        assert!(MsDiagnosticsPublic::parse("4294967296").is_err());
        assert!(MsDiagnosticsPublic::parse("1").is_ok());
        assert!(MsClientDiagnostics::parse("1;").is_err());
    }
}
