//! Why something was refused or ended: what the stack says in `ms-diagnostics` of what it does itself, and what others say
//! of what they do (rules S19, S20).

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;

use crate::config::Config;
use crate::wire::header::{
    MsClientDiagnostics, MsDiagnostics, MsDiagnosticsPublic, Params, Reason, to_string,
};
use crate::wire::{HeaderName, Message};

/// Why the stack itself refuses or ends something. What the application commands, and what the peer asks for, has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Diagnosis {
    EndpointTerminated,
    NoDialog,
    NotAnswered,
    NotAcknowledged,
    OfferNotAnswered,
    Replaced,
    ForkNotWanted,
    Draining,
    TooMany,
    NobodyHere,
    NotTaken,
    OutOfOrder,
    NotChanged,
    NotReplaceable,
    NoTransfer,
    Expired,
    NotRefreshed,
    IntervalTooSmall,
    ChangeLost,
    RouteLost,
}

impl Diagnosis {
    /// Its number and its words. The first two numbers are those of UCMA; the others are of the range that applications
    /// have for failures that may be expected.
    const fn says(self) -> (u32, &'static str) {
        match self {
            Self::EndpointTerminated => (24081, "The endpoint is ending"),
            Self::NoDialog => (24083, "The message is outside of any dialog that is known here"),
            Self::NotAnswered => (61001, "The application did not answer in time"),
            Self::NotAcknowledged => (61002, "No ACK came for the 2xx"),
            Self::OfferNotAnswered => (
                61003,
                "The application did not answer the offer of the 2xx in time",
            ),
            Self::Replaced => (61004, "Another session has taken the place of this one"),
            Self::ForkNotWanted => (61005, "Another fork was taken, or nobody wants the call any more"),
            Self::Draining => (61006, "The host is going down"),
            Self::TooMany => (61007, "There is too much to do"),
            Self::NobodyHere => (61008, "Nobody of this name is here"),
            Self::NotTaken => (61009, "No endpoint here takes such requests"),
            Self::OutOfOrder => (61010, "The CSeq is lower than one seen before"),
            Self::NotChanged => (61011, "Another change of the session is open"),
            Self::NotReplaceable => (61012, "The dialog cannot be replaced"),
            Self::NoTransfer => (61013, "The REFER cannot be done"),
            Self::Expired => (61014, "The session was not refreshed in time"),
            Self::NotRefreshed => (61015, "The refresh of the session was not answered"),
            Self::ChangeLost => (
                61017,
                "A change of the session was not answered, or not acknowledged",
            ),
            Self::RouteLost => (61018, "The route of the session could not be recovered"),
            Self::IntervalTooSmall => (61016, "The session interval is shorter than this host takes"),
        }
    }

    /// Whether the application has ended it, and knows that.
    pub(crate) const fn is_commanded(self) -> bool {
        matches!(self, Self::EndpointTerminated)
    }

    /// The header field.
    pub(crate) fn field(self, config: &Config) -> (HeaderName, Box<str>) {
        let (id, reason) = self.says();
        let mut diagnostics = MsDiagnostics::new(id, reason);
        if let Some(host) = &config.local_host_name {
            diagnostics.params.set_quoted("source", host);
        }
        diagnostics.params.set_quoted("component", "sansip");
        (HeaderName::MsDiagnostics, to_string(&diagnostics).into())
    }
}

/// Why a response refuses, or a request ends something, as its sender says.
///
/// Whoever explains nothing is read as saying nothing; what cannot be read is passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation<'a> {
    /// Reason (RFC 3326), at most one for each protocol.
    pub reasons: Vec<Reason<'a>>,
    /// The diagnostics of Microsoft's servers and clients.
    pub diagnostics: Option<Diagnostics<'a>>,
}

/// What a Microsoft server or client says of a failure (MS-OCER).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diagnostics<'a> {
    /// Who says it.
    pub from: DiagnosticsFrom,
    /// The number of the error.
    pub id: u32,
    /// `reason`, `source` and others.
    pub params: Params<'a>,
}

/// In which header field diagnostics came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiagnosticsFrom {
    /// `ms-diagnostics`: a server of the enterprise.
    Server,
    /// `ms-diagnostics-public`: a server, for everybody.
    Public,
    /// `ms-client-diagnostics`: a client.
    Client,
}

impl<'a> Explanation<'a> {
    /// What a message says. Where it has several kinds of diagnostics the one of the enterprise counts.
    pub fn of(message: &'a Message) -> Self {
        let server = message.typed::<MsDiagnostics<'_>>().ok().flatten();
        let server = server.map(|it| Diagnostics {
            from: DiagnosticsFrom::Server,
            id: it.id,
            params: it.params,
        });
        let public = || {
            let it = message.typed::<MsDiagnosticsPublic<'_>>().ok().flatten()?;
            Some(Diagnostics {
                from: DiagnosticsFrom::Public,
                id: it.id,
                params: it.params,
            })
        };
        let client = || {
            let it = message.typed::<MsClientDiagnostics<'_>>().ok().flatten()?;
            Some(Diagnostics {
                from: DiagnosticsFrom::Client,
                id: it.id,
                params: it.params,
            })
        };
        Self {
            reasons: message.list::<Reason<'_>>().filter_map(Result::ok).collect(),
            diagnostics: server.or_else(public).or_else(client),
        }
    }
}

impl Diagnostics<'_> {
    /// Words for people.
    pub fn reason(&self) -> Option<alloc::string::String> {
        self.params.get("reason").map(|reason| reason.to_string())
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;

    use bytes::Bytes;

    use super::*;
    use crate::wire::MessageLimits;

    fn message(fields: &str) -> Message {
        let text = format!("SIP/2.0 480 Not here\r\n{fields}Content-Length: 0\r\n\r\n");
        Message::parse(Bytes::from(text), &MessageLimits::default()).unwrap()
    }

    // rules: S19, S20
    #[test]
    fn the_word_of_the_enterprise_counts_before_the_others() {
        let server = "ms-diagnostics: 1003;reason=\"User does not exist\";source=\"a.b\"\r\n";
        let (public, client) = (
            "ms-diagnostics-public: 1004;reason=\"x\"\r\n",
            "ms-client-diagnostics: 52001\r\n",
        );
        for (fields, from, id) in [
            (format!("{client}{public}{server}"), DiagnosticsFrom::Server, 1003),
            (format!("{client}{public}"), DiagnosticsFrom::Public, 1004),
            (String::from(client), DiagnosticsFrom::Client, 52001),
            (
                format!("ms-diagnostics: nonsense\r\n{client}"),
                DiagnosticsFrom::Client,
                52001,
            ),
        ] {
            let message = message(&fields);
            let found = Explanation::of(&message).diagnostics.unwrap();
            assert_eq!((found.from, found.id), (from, id), "{fields}");
        }
        let message = message(&format!(
            "{server}Reason: SIP;cause=200;text=\"elsewhere\", Q.850;cause=16\r\n"
        ));
        let found = Explanation::of(&message);
        let causes: Vec<_> = found.reasons.iter().map(Reason::cause).collect();
        assert_eq!(causes, [Some(200), Some(16)]);
        let reason = found.diagnostics.unwrap().reason();
        assert_eq!(reason.as_deref(), Some("User does not exist"));
        assert_eq!(
            Explanation::of(&self::message("")),
            Explanation {
                reasons: Vec::new(),
                diagnostics: None
            }
        );
    }

    // rules: S19
    #[test]
    fn the_stack_says_what_and_where() {
        let mut config = Config::default();
        let (name, value) = Diagnosis::NoDialog.field(&config);
        let words = "24083;reason=\"The message is outside of any dialog that is known here\"";
        assert_eq!(
            (name, &*value),
            (
                HeaderName::MsDiagnostics,
                &*format!("{words};component=\"sansip\"")
            )
        );
        config.local_host_name = Some(String::from("host.example.com"));
        let (_, value) = Diagnosis::NoDialog.field(&config);
        assert_eq!(
            *value,
            *format!("{words};source=\"host.example.com\";component=\"sansip\"")
        );
    }
}
