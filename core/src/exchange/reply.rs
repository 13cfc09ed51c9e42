//! Responses: built from the request, sent over its connection, and where that is gone over a new one to the address
//! that Via names (RFC 3261 section 18.2.2, rule C33).

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::Bytes;

use super::draft::ContactTemplate;
use super::write::{Reach, asks_for_sips, contact_value, reach};
use crate::action::Transport;
use crate::auth::AuthTable;
use crate::connection::{Connections, Hop, Lease, Sent};
use crate::counters::Label;
use crate::cx::Cx;
use crate::diagnosis::Diagnosis;
use crate::event::Content;
use crate::ids::{ConnId, ManagerId, TransactionId};
use crate::transaction::{Responded, Transactions, Transmission};
use crate::wire::write::{HeaderBlock, ResponseBuilder};
use crate::wire::{HeaderName, Message, StatusCode};

/// The layers below an exchange, lent for one step.
pub(crate) struct Lower<'a> {
    pub(crate) connections: &'a mut Connections,
    pub(crate) transactions: &'a mut Transactions,
    pub(crate) auth: &'a mut AuthTable,
    pub(crate) replies: &'a mut Replies,
}

/// A request that waits for its final response.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) transaction: TransactionId,
    pub(crate) conn: ConnId,
    pub(crate) manager: ManagerId,
    pub(crate) transport: Transport,
    /// How this side was reached when it came; of use when its connection is gone.
    pub(crate) reach: Option<Reach>,
    pub(crate) message: Box<Message>,
    /// The To tag of our responses.
    pub(crate) tag: Box<str>,
}

/// A response to make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply<'a> {
    pub(crate) status: StatusCode,
    pub(crate) reason: Option<&'a str>,
    pub(crate) contact: Option<&'a ContactTemplate>,
    pub(crate) record_route: bool,
    /// Header fields of this response alone.
    pub(crate) headers: &'a [(HeaderName, Box<str>)],
    /// Those that need not be written anew.
    pub(crate) block: Option<&'a HeaderBlock>,
    /// Of the application, checked when they were given.
    pub(crate) extra: &'a [(String, String)],
    /// Why the stack itself refuses (S19).
    pub(crate) why: Option<Diagnosis>,
    pub(crate) content: Option<&'a Content>,
}

impl Reply<'_> {
    /// A refusal of the stack's own, which says why.
    pub(crate) const fn refusal(status: StatusCode, why: Diagnosis) -> Self {
        Self {
            why: Some(why),
            ..Self::new(status)
        }
    }

    /// A response of this status with its usual words and nothing more.
    pub(crate) const fn new(status: StatusCode) -> Self {
        Self {
            status,
            reason: None,
            contact: None,
            record_route: false,
            headers: &[],
            block: None,
            extra: &[],
            why: None,
            content: None,
        }
    }
}

/// Responses that wait for a connection of their own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replies {
    waiting: BTreeMap<ConnId, Vec<Waiting>>,
}

#[derive(Clone, Debug)]
struct Waiting {
    transaction: TransactionId,
    status: StatusCode,
    bytes: Bytes,
    lease: Lease,
}

impl Replies {
    pub(crate) fn len(&self) -> usize {
        self.waiting.values().map(Vec::len).sum()
    }

    /// The connection that a response of this transaction waits for already.
    fn conn_of(&self, transaction: TransactionId) -> Option<ConnId> {
        let waits = |waiting: &Waiting| waiting.transaction == transaction;
        self.waiting
            .iter()
            .find(|(_, waiting)| waiting.iter().any(waits))
            .map(|(conn, _)| *conn)
    }
}

impl Lower<'_> {
    /// Answers a request.
    pub(crate) fn reply(&mut self, cx: &mut Cx<'_>, request: &Pending, reply: &Reply<'_>) -> Bytes {
        let reach = reach(self.connections, cx.config, request.conn).or_else(|| request.reach.clone());
        let tag = (reply.status != StatusCode::TRYING).then_some(&*request.tag);
        let mut builder = ResponseBuilder::new(cx.scratch, &request.message, reply.status, reply.reason, tag);
        if let Some(reach) = &reach {
            builder.via_received(reach.remote);
            if let Some(contact) = reply.contact {
                let secure = asks_for_sips(&request.message);
                builder.text(HeaderName::Contact, &contact_value(contact, reach, secure));
            }
        }
        if reply.record_route {
            builder.record_route();
        }
        for (name, value) in reply.headers {
            builder.text(*name, value);
        }
        if let Some(block) = reply.block {
            builder.block(block);
        }
        for (name, value) in reply.extra {
            builder.raw_checked(name, value);
        }
        if let Some(why) = reply.why {
            let (name, value) = why.field(cx.config);
            builder.text(name, &value);
        }
        if let Some(content) = reply.content {
            builder.body(&content.content_type, content.body.clone());
        }
        let bytes = builder.finish();
        self.send_reply(cx, request, reply.status, bytes.clone());
        bytes
    }

    /// Sends a response that has been built.
    pub(crate) fn send_reply(
        &mut self,
        cx: &mut Cx<'_>,
        request: &Pending,
        status: StatusCode,
        bytes: Bytes,
    ) {
        let mut out = Vec::new();
        let responded = self
            .transactions
            .respond(cx, &mut out, request.transaction, status, bytes.clone());
        match responded {
            Responded::Sent { .. } => {
                self.flush(cx, out);
            }
            Responded::NoConnection => self.return_elsewhere(cx, request, status, bytes),
            Responded::Late => {}
        }
    }

    /// Queues what transactions send; where on its connection the last message stands, `None` if it could not be queued.
    pub(crate) fn flush(&mut self, cx: &mut Cx<'_>, out: Vec<Transmission>) -> Option<Sent> {
        let mut place = None;
        for transmission in out {
            place = self.send(cx, transmission.conn, transmission.bytes, transmission.label);
        }
        place
    }

    /// Queues a message, signed where the connection's endpoint signs (A4): each time anew, also what has been sent before.
    pub(super) fn send(&mut self, cx: &mut Cx<'_>, conn: ConnId, bytes: Bytes, label: Label) -> Option<Sent> {
        let bytes = self.auth.seal(cx, conn, bytes);
        self.connections.send(cx, conn, bytes, label).ok()
    }

    fn return_elsewhere(&mut self, cx: &mut Cx<'_>, request: &Pending, status: StatusCode, bytes: Bytes) {
        let transaction = request.transaction;
        // Responses to one request keep together.
        let together = self
            .replies
            .conn_of(transaction)
            .and_then(|conn| self.connections.share(cx, conn));
        let lease = together.or_else(|| {
            let hop = hop_of(&request.message, request.transport)?;
            self.connections.acquire(cx, request.manager, &hop, &[]).ok()
        });
        let Some(lease) = lease else {
            self.transactions.handle_undeliverable(cx, transaction);
            return;
        };
        let conn = lease.conn();
        self.replies.waiting.entry(conn).or_default().push(Waiting {
            transaction,
            status,
            bytes,
            lease,
        });
        if self.connections.is_ready(conn) {
            self.handle_reply_ready(cx, conn);
        }
    }

    /// The connection can be used: sends what waited for it.
    pub(crate) fn handle_reply_ready(&mut self, cx: &mut Cx<'_>, conn: ConnId) {
        for waiting in self.replies.waiting.remove(&conn).unwrap_or_default() {
            self.transactions.rebind(waiting.transaction, conn);
            self.deliver(cx, waiting);
        }
    }

    /// The connection could not be made, or is gone: its responses cannot be delivered.
    pub(crate) fn handle_reply_failed(&mut self, cx: &mut Cx<'_>, conn: ConnId) {
        for waiting in self.replies.waiting.remove(&conn).unwrap_or_default() {
            self.deliver(cx, waiting);
        }
    }

    /// Sends a response that has waited, over whatever connection its transaction has now: an earlier response may have
    /// found another one.
    fn deliver(&mut self, cx: &mut Cx<'_>, waiting: Waiting) {
        let Waiting {
            transaction,
            status,
            bytes,
            lease,
        } = waiting;
        let mut out = Vec::new();
        match self
            .transactions
            .respond(cx, &mut out, transaction, status, bytes)
        {
            Responded::NoConnection => {
                self.transactions.handle_undeliverable(cx, transaction);
            }
            Responded::Sent { .. } | Responded::Late => {}
        }
        self.flush(cx, out);
        self.connections.release(cx, lease);
    }
}

/// The address that the topmost Via names: `received`, else the host, with the port of sent-by.
fn hop_of(request: &Message, transport: Transport) -> Option<Hop> {
    let via = request.via_top().ok()?;
    let port = via.port.unwrap_or_else(|| transport.default_port());
    let host = match via.received().or_else(|| via.host.ip()) {
        Some(ip) => ip.to_string(),
        None => via.host.to_string(),
    };
    Some(Hop::new(&host, Some(port), transport))
}
