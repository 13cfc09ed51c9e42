//! How a registrar ends or loses registrations by itself (MS-SIPREGE sections 2.2.1.13 and 3.2).

use std::collections::BTreeMap;

use bytes::Bytes;
use rand_core::RngCore;
use sansip::wire::Message;

use super::association::Party;
use super::context::MAGIC_COOKIE;
use super::event::{FrontEndEvent, Unbound};
use super::registrar::Binding;
use super::{Conn, FrontEnd};

/// Why a server ends a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deregistration {
    /// The user has too many endpoints.
    Unregistered,
    /// The user was disabled.
    Rejected,
    /// The user is being moved.
    Deactivated,
    /// The user's services are down.
    UserServicesUnavailable,
    /// The user has another registrar.
    PreferredRegistrarChange,
}

impl Deregistration {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Unregistered,
        Self::Rejected,
        Self::Deactivated,
        Self::UserServicesUnavailable,
        Self::PreferredRegistrarChange,
    ];

    /// The body of the NOTIFY.
    pub const fn body(self) -> &'static str {
        match self {
            Self::Unregistered => "deregistered;event=unregistered",
            Self::Rejected => "deregistered;event=rejected",
            Self::Deactivated => "deregistered;event=deactivated",
            Self::UserServicesUnavailable => "deregistered;event=userservices-unavailable",
            Self::PreferredRegistrarChange => "deregistered;event=preferred-registrar-change",
        }
    }
}

/// What is left of an endpoint whose binding a server loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The server still knows the endpoint: its next REGISTER is `fixed`.
    Binding,
    /// Nothing: its next REGISTER is `added`.
    Endpoint,
}

/// A NOTIFY that waits for an answer.
#[derive(Clone, Debug)]
pub(super) struct Notified {
    /// Where it went.
    pub(super) conn: Conn,
    contact: String,
    /// Who has to sign the answer.
    pub(super) party: Option<Party>,
}

/// Those NOTIFYs by their branch.
pub(super) type Notifying = BTreeMap<String, Notified>;

impl FrontEnd {
    /// Deregisters the endpoints of an address of record, or the one with this endpoint id, and tells each with a NOTIFY
    /// over the connection that it registered over. Says how many there were.
    pub fn deregister(&mut self, aor: &str, epid: Option<&str>, why: Deregistration) -> usize {
        let taken = self.registrar.take(aor, epid, true);
        for binding in &taken {
            if let Some(conn) = binding.flow {
                let branch = format!("{MAGIC_COOKIE}{:016x}", self.entropy.next_u64());
                if let Some(bytes) = self.notify(aor, binding, conn, why, &branch) {
                    let sent = self.reread(bytes.clone());
                    let party = sent.and_then(|message| self.party_at(None, &message));
                    let notified = Notified {
                        conn,
                        contact: binding.target(),
                        party: party.clone(),
                    };
                    self.notifying.insert(branch, notified);
                    self.send_to(party.as_ref(), conn, bytes);
                }
            }
            self.log_unbound(aor, binding, Unbound::ByServer);
        }
        taken.len()
    }

    /// Loses the bindings of an address of record, or that of one endpoint id, without a word. Says how many there were.
    pub fn lose(&mut self, aor: &str, epid: Option<&str>, what: Lost) -> usize {
        let taken = self.registrar.take(aor, epid, what == Lost::Binding);
        for binding in &taken {
            self.log_unbound(aor, binding, Unbound::Lost);
        }
        taken.len()
    }

    fn log_unbound(&mut self, aor: &str, binding: &Binding, reason: Unbound) {
        self.log(FrontEndEvent::Unregistered {
            aor: aor.to_owned(),
            contact: binding.target(),
            reason,
        });
    }

    /// The NOTIFY, in the dialog that the REGISTER has begun as its subscription.
    fn notify(
        &mut self,
        aor: &str,
        binding: &Binding,
        conn: Conn,
        why: Deregistration,
        branch: &str,
    ) -> Option<Bytes> {
        let (host, port, transport) = self.address(conn)?;
        let tag = self.entropy.next_u64();
        let to_tag = binding
            .tag
            .as_ref()
            .map_or_else(String::new, |tag| format!(";tag={tag}"));
        let epid = binding
            .epid
            .as_ref()
            .map_or_else(String::new, |epid| format!(";epid={epid}"));
        let body = why.body();
        let text = format!(
            "NOTIFY {} SIP/2.0\r\n\
             Via: SIP/2.0/{} {host}:{port};branch={branch}\r\n\
             Max-Forwards: 70\r\n\
             From: <{aor}>;tag={tag:016x}\r\n\
             To: <{aor}>{to_tag}{epid}\r\n\
             Call-ID: {}\r\n\
             CSeq: 1 NOTIFY\r\n\
             Event: registration-notify\r\n\
             Subscription-State: terminated;expires=0\r\n\
             Content-Type: text/registration-event\r\n\
             Content-Length: {}\r\n\r\n{body}",
            binding.target(),
            transport.via_token(),
            binding.call_id,
            body.len()
        );
        Some(Bytes::from(text))
    }

    /// Whether a response is to such a NOTIFY, which is over then.
    pub(super) fn on_notified(&mut self, response: &Message) -> bool {
        let via = response.via_top().ok();
        let branch = via.as_ref().and_then(|via| via.branch());
        let Some(Notified { contact, .. }) = branch.and_then(|branch| self.notifying.remove(branch)) else {
            return false;
        };
        if let Some(status) = response.status() {
            self.log(FrontEndEvent::Notified { contact, status });
        }
        true
    }
}
