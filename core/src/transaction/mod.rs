//! The transaction layer: RFC 3261 section 17, with RFC 6026's Accepted state.
//!
//! Four machines, each in its file, know nothing of messages: they are told the class of what arrived, and say what to
//! send, which timers run, and what to tell the transaction user. The table here, [`Transactions`], finds the machine
//! that a message belongs to and carries out what it says: messages to send are appended to the caller's list, what
//! goes upward is returned.
//!
//! One transaction runs over one connection. When that is lost, a client transaction ends; a server transaction lives
//! on, and its user may give it another connection to answer over (rule C33).

mod client;
mod client_invite;
mod entry;
mod follow;
mod key;
#[cfg(test)]
pub(crate) mod laws;
mod load;
mod machine;
mod server;
mod server_invite;
#[cfg(test)]
mod testing;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bytes::Bytes;
use smallvec::SmallVec;

use self::client::Client;
use self::client_invite::ClientInvite;
use self::entry::{Call, Machine, OldPeer, Role, Served, Transaction};
use self::key::Key;
use self::load::Load;
use self::machine::{Effect, Inform, Reliability, Step};
use self::server::Server;
use self::server_invite::ServerInvite;
use crate::counters::Label;
use crate::cx::Cx;
use crate::error::ParseError;
use crate::ids::{ConnId, EndpointId, ExchangeId, FromNumber, TransactionId};
use crate::map::{HashKey, Map};
use crate::time::Time;
use crate::wire::{Message, Method, StatusCode};

pub(crate) use self::entry::Fingerprint;
pub(crate) use self::machine::Timer;
#[cfg(any(test, feature = "cells"))]
pub(crate) use self::{
    client::cells::MACHINE as CLIENT, client_invite::cells::MACHINE as CLIENT_INVITE,
    server::cells::MACHINE as SERVER, server_invite::cells::MACHINE as SERVER_INVITE,
};

/// Every transport of this stack is a stream.
const RELIABILITY: Reliability = Reliability::Reliable;

/// A request to start a client transaction with: any but ACK.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    /// The request as it goes over the wire.
    pub(crate) bytes: Bytes,
    /// The branch of its top Via.
    pub(crate) branch: Box<str>,
    pub(crate) method: Method,
    pub(crate) conn: ConnId,
    pub(crate) owner: ExchangeId,
}

/// A message for the caller to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transmission {
    pub(crate) conn: ConnId,
    pub(crate) transaction: TransactionId,
    pub(crate) bytes: Bytes,
    pub(crate) kind: TransmissionKind,
    pub(crate) label: Label,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransmissionKind {
    /// What the user gave, for the first time.
    First,
    /// What has been sent before.
    Again,
    /// The ACK for a failure response, which this layer has written: it is still to be signed where the connection
    /// or the endpoint signs its messages.
    Ack,
}

/// Something for the user of a transaction.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Indication {
    pub(crate) transaction: TransactionId,
    /// Whose request it is; `None` for a server transaction.
    pub(crate) owner: Option<ExchangeId>,
    pub(crate) what: What,
    /// Whether this was the transaction's last word: its id names nothing any more.
    pub(crate) ended: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    /// A provisional response.
    Provisional(Box<Message>),
    /// A final response. Of an INVITE, every 2xx comes, retransmitted ones and those of further forks included.
    Final(Box<Message>),
    /// No final response came in time; of an INVITE server transaction, no ACK for its failure response.
    TimedOut,
    /// The connection is lost. A client transaction has ended by it without a final response; a server transaction
    /// that still is to be answered lives on, see [`Transactions::rebind`].
    ConnectionLost,
    /// An INVITE has been without response for 200 ms: respond 100 now (RFC 3261 section 17.2.1).
    SendTrying,
    /// The transaction is over; what it had to say has been said before.
    Ended,
}

/// What a response belongs to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ResponseMatch {
    /// To no transaction. A 2xx to an INVITE may be that of a late fork and concerns the session.
    Stray,
    /// To a transaction that needs to tell nobody: a retransmission.
    Absorbed,
    Indication(Indication),
}

/// What a request belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ServerMatch {
    /// It is new; the user has to respond.
    New(TransactionId),
    /// It is a new CANCEL; the user responds to it, and if it names an INVITE whose final response is open (see
    /// [`Transactions::awaits_final`]), 487 to that (RFC 3261 section 9.2).
    Cancel {
        /// The CANCEL's own transaction.
        own: TransactionId,
        /// The transaction to be cancelled; without one the answer is 481.
        of: Option<TransactionId>,
    },
    /// It has been here before; the last response has gone out again where there was one.
    Retransmission(TransactionId),
    /// An ACK for a failure response, which needs no user.
    Ack { transaction: TransactionId, ended: bool },
    /// An ACK for a 2xx: it concerns the session. The transaction is known where the peer gave the ACK the INVITE's
    /// branch.
    AckForSuccess(Option<TransactionId>),
    /// It is new, and the limit of transactions is reached: answer 503 without one.
    Full,
}

/// What became of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Responded {
    /// It is on its way; or it was taken without being sent, after [`Transactions::handle_undeliverable`].
    Sent {
        /// Whether the transaction is over.
        ended: bool,
    },
    /// Nothing has happened, because the connection of the request is lost: give the transaction another one with
    /// [`Transactions::rebind`], or say with [`Transactions::handle_undeliverable`] that there is none.
    NoConnection,
    /// Nothing has happened: the transaction is over, or has its final response.
    Late,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Transactions {
    /// By id, which is the order in which they began.
    alive: BTreeMap<TransactionId, Box<Transaction>>,
    /// The client transactions of each branch: an INVITE and its CANCEL share one.
    clients: Map<Box<str>, SmallVec<[TransactionId; 1]>>,
    /// The server transactions of each key.
    servers: Map<Box<str>, SmallVec<[TransactionId; 1]>>,
    /// Requests outside dialogs, for finding merged ones.
    calls: Map<(EndpointId, Box<str>), TransactionId>,
    by_conn: BTreeSet<(ConnId, TransactionId)>,
    load: Load,
}

impl Transactions {
    pub(crate) fn new(key: HashKey) -> Self {
        Self {
            alive: BTreeMap::new(),
            clients: Map::new(key),
            servers: Map::new(key),
            calls: Map::new(key),
            by_conn: BTreeSet::new(),
            load: Load::default(),
        }
    }

    /// Sends a request and starts its transaction. `None`, with nothing done, when the limit of transactions is
    /// reached; a CANCEL may exceed it, being one to its INVITE.
    pub(crate) fn start_client(
        &mut self,
        cx: &mut Cx<'_>,
        out: &mut Vec<Transmission>,
        request: Outgoing,
    ) -> Option<TransactionId> {
        if request.method != Method::Cancel && self.is_full(cx) {
            return None;
        }
        let id = cx.ids.next();
        let mut effects = SmallVec::new();
        let step = &mut Step::new(cx, &mut effects);
        let machine = if request.method == Method::Invite {
            Machine::ClientInvite(ClientInvite::start(request.bytes, RELIABILITY, step))
        } else {
            Machine::Client(Client::start(request.bytes, RELIABILITY, step))
        };
        let branch = key::branch_key(&request.branch);
        self.clients
            .or_insert_with(branch.clone(), SmallVec::new)
            .push(id);
        let role = Role::Client {
            branch,
            owner: request.owner,
        };
        self.insert(
            cx,
            id,
            Transaction::new(machine, request.method, request.conn, role),
        );
        self.carry_out(cx, out, id, effects, None);
        Some(id)
    }

    /// Finds the transaction of a response by branch and method (RFC 3261 section 17.1.3). It may have come over any
    /// connection: a server whose connection broke opens another (section 18.2.2). `answers` says whether it repeats what
    /// a response repeats of the request of its owner (section 8.2.6.2); one that does not is nobody's.
    pub(crate) fn handle_response(
        &mut self,
        cx: &mut Cx<'_>,
        out: &mut Vec<Transmission>,
        response: &Message,
        answers: impl FnOnce(ExchangeId) -> bool,
    ) -> ResponseMatch {
        let Some((id, status)) = self.find_client(response) else {
            return ResponseMatch::Stray;
        };
        let Some(transaction) = self.alive.get_mut(&id) else {
            return ResponseMatch::Stray;
        };
        if let Role::Client { owner, .. } = &transaction.role
            && !answers(*owner)
        {
            return ResponseMatch::Stray;
        }
        let mut effects = SmallVec::new();
        let step = &mut Step::new(cx, &mut effects);
        match &mut transaction.machine {
            Machine::ClientInvite(machine) if status.is_failure() => {
                let ack = match machine.request() {
                    Some(invite) => follow::ack(invite, response),
                    // The machine has an ACK of its own, or wants none.
                    None => Ok(Bytes::new()),
                };
                // A failure that cannot be acknowledged is malformed, and as good as not received.
                let Ok(ack) = ack else {
                    return ResponseMatch::Absorbed;
                };
                machine.step(client_invite::Input::Failure { ack }, step);
            }
            Machine::ClientInvite(machine) if status.is_success() => {
                machine.step(client_invite::Input::Success, step);
            }
            Machine::ClientInvite(machine) => machine.step(client_invite::Input::Provisional, step),
            Machine::Client(machine) if status.is_final() => machine.step(client::Input::Final, step),
            Machine::Client(machine) => machine.step(client::Input::Provisional, step),
            Machine::ServerInvite(_) | Machine::Server(_) => return ResponseMatch::Stray,
        }
        match self.carry_out(cx, out, id, effects, Some(response)) {
            Some(indication) => ResponseMatch::Indication(indication),
            None => ResponseMatch::Absorbed,
        }
    }

    /// Finds the transaction of a request, or starts one (RFC 3261 sections 17.2.3 and 9.2).
    ///
    /// # Errors
    /// A header field that the comparison needs is missing or malformed: answer 400, or drop an ACK.
    pub(crate) fn receive_request(
        &mut self,
        cx: &mut Cx<'_>,
        out: &mut Vec<Transmission>,
        conn: ConnId,
        request: &Message,
    ) -> Result<ServerMatch, ParseError> {
        let key = Key::of(request)?;
        let Some(method) = request.method() else {
            return Err(ParseError::start_line("not a request"));
        };
        if *method == Method::Ack {
            return Ok(self.receive_ack(cx, out, &key));
        }
        if let Some(id) = self.find_server(&key, |other| other == method) {
            self.receive_again(cx, out, conn, id);
            return Ok(ServerMatch::Retransmission(id));
        }
        let cancelled = if *method == Method::Cancel {
            let invite = self.find_server(&key, |other| *other == Method::Invite);
            invite.or_else(|| self.find_server(&key, |_| true))
        } else {
            None
        };
        // A CANCEL that names a transaction is one to it, so the limit is exceeded at most twofold.
        if cancelled.is_none() && self.is_full(cx) {
            return Ok(ServerMatch::Full);
        }
        let call = key::call(request)?.map_or(Call::None, Call::Unclaimed);
        let id = self.start_server(cx, out, conn, method.clone(), key, call);
        Ok(if *method == Method::Cancel {
            ServerMatch::Cancel {
                own: id,
                of: cancelled,
            }
        } else {
            ServerMatch::New(id)
        })
    }

    fn start_server(
        &mut self,
        cx: &mut Cx<'_>,
        out: &mut Vec<Transmission>,
        conn: ConnId,
        method: Method,
        key: Key,
        call: Call,
    ) -> TransactionId {
        let id = cx.ids.next();
        let mut effects = SmallVec::new();
        let machine = if method == Method::Invite {
            let step = &mut Step::new(cx, &mut effects);
            Machine::ServerInvite(ServerInvite::start(RELIABILITY, step))
        } else {
            Machine::Server(Server::start(RELIABILITY))
        };
        self.servers
            .or_insert_with(key.text.clone(), SmallVec::new)
            .push(id);
        let old = key.old.map(|to| {
            Box::new(OldPeer {
                to,
                response_to: Box::default(),
            })
        });
        let role = Role::Server(Served {
            key: key.text,
            old,
            call,
            undeliverable: false,
            refused: None,
        });
        self.insert(cx, id, Transaction::new(machine, method, conn, role));
        self.carry_out(cx, out, id, effects, None);
        id
    }

    fn receive_ack(&mut self, cx: &mut Cx<'_>, out: &mut Vec<Transmission>, key: &Key) -> ServerMatch {
        let ids = self.servers.get(&*key.text).into_iter().flatten();
        let found = ids.copied().find(|id| {
            let Some(transaction) = self.alive.get(id) else {
                return false;
            };
            transaction.method == Method::Invite && transaction.is_acknowledged_by(key)
        });
        let Some(id) = found else {
            return ServerMatch::AckForSuccess(None);
        };
        let Some(transaction) = self.alive.get_mut(&id) else {
            return ServerMatch::AckForSuccess(None);
        };
        let mut effects = SmallVec::new();
        if let Machine::ServerInvite(machine) = &mut transaction.machine {
            machine.step(server_invite::Input::Ack, &mut Step::new(cx, &mut effects));
        }
        if effects.contains(&Effect::Inform(Inform::Ack)) {
            return ServerMatch::AckForSuccess(Some(id));
        }
        let indication = self.carry_out(cx, out, id, effects, None);
        ServerMatch::Ack {
            transaction: id,
            ended: indication.is_some_and(|indication| indication.ended),
        }
    }

    fn receive_again(
        &mut self,
        cx: &mut Cx<'_>,
        out: &mut Vec<Transmission>,
        conn: ConnId,
        id: TransactionId,
    ) {
        let Some(transaction) = self.alive.get_mut(&id) else {
            return;
        };
        // The peer has lost the connection, too, and asks over another: it gets there what waits for one.
        if transaction.conn.is_none() {
            let refused = transaction.served_mut().and_then(|served| served.refused.take());
            self.rebind(id, conn);
            if let Some((status, bytes)) = refused.map(|refused| *refused) {
                self.respond(cx, out, id, status, bytes);
                return;
            }
        }
        let Some(transaction) = self.alive.get_mut(&id) else {
            return;
        };
        let mut effects = SmallVec::new();
        let step = &mut Step::new(cx, &mut effects);
        match &mut transaction.machine {
            Machine::ServerInvite(machine) => machine.step(server_invite::Input::Invite, step),
            Machine::Server(machine) => machine.step(server::Input::Request, step),
            Machine::ClientInvite(_) | Machine::Client(_) => {}
        }
        self.carry_out(cx, out, id, effects, None);
    }

    /// Says for which endpoint a new request is, and whether it is merged: another request with the same From tag,
    /// Call-ID and CSeq, but come another way, is being served by the same endpoint (RFC 3261 section 8.2.2.2). The
    /// answer to a merged one is 482. Endpoints are told apart because a stack has many: one call that forks to two
    /// of them is served by both.
    pub(crate) fn is_merged(&mut self, id: TransactionId, endpoint: EndpointId) -> bool {
        let Some(served) = self
            .alive
            .get_mut(&id)
            .and_then(|transaction| transaction.served_mut())
        else {
            return false;
        };
        match core::mem::replace(&mut served.call, Call::None) {
            Call::None => false,
            Call::Unclaimed(text) => {
                let key = (endpoint, text);
                if self.calls.contains_key(&key) {
                    return true;
                }
                served.call = Call::Claimed(endpoint, key.1.clone());
                self.calls.insert(key, id);
                false
            }
            claimed @ Call::Claimed(..) => {
                served.call = claimed;
                false
            }
        }
    }

    /// Sends a response. After a 2xx to an INVITE the user may send it again and again (RFC 6026 section 7.1).
    pub(crate) fn respond(
        &mut self,
        cx: &mut Cx<'_>,
        out: &mut Vec<Transmission>,
        id: TransactionId,
        status: StatusCode,
        bytes: Bytes,
    ) -> Responded {
        let Some(transaction) = self.alive.get_mut(&id) else {
            return Responded::Late;
        };
        if !transaction.takes(status) {
            return Responded::Late;
        }
        if transaction.conn.is_none() && !transaction.is_undeliverable() {
            if let Some(served) = transaction.served_mut().filter(|_| status.is_final()) {
                served.refused = Some(Box::new((status, bytes)));
            }
            return Responded::NoConnection;
        }
        if status.is_final() && transaction.method == Method::Invite {
            transaction.note_response(&bytes);
        }
        let mut effects = SmallVec::new();
        let step = &mut Step::new(cx, &mut effects);
        match &mut transaction.machine {
            Machine::ServerInvite(machine) => {
                machine.step(server_invite::Input::response(status, bytes), step)
            }
            Machine::Server(machine) => machine.step(server::Input::response(status, bytes), step),
            Machine::ClientInvite(_) | Machine::Client(_) => return Responded::Late,
        }
        let indication = self.carry_out(cx, out, id, effects, None);
        Responded::Sent {
            ended: indication.is_some_and(|indication| indication.ended),
        }
    }

    /// Gives a server transaction that has lost its connection another one. Whether it runs over `conn` now.
    pub(crate) fn rebind(&mut self, id: TransactionId, conn: ConnId) -> bool {
        let Some(transaction) = self.alive.get_mut(&id) else {
            return false;
        };
        let bound = transaction.conn;
        let Some(served) = transaction.served_mut() else {
            return false;
        };
        if bound.is_some() {
            return bound == Some(conn);
        }
        served.undeliverable = false;
        served.refused = None;
        transaction.conn = Some(conn);
        self.by_conn.insert((conn, id));
        true
    }

    /// There is no way to deliver a response, and the connection is lost. A transaction that is not for an INVITE ends.
    /// One for an INVITE takes a final response without sending it, the one that was refused with
    /// [`Responded::NoConnection`] or a later one, and ends by its timers (RFC 6026 section 7.1).
    pub(crate) fn handle_undeliverable(&mut self, cx: &mut Cx<'_>, id: TransactionId) -> Option<Indication> {
        let transaction = self.alive.get_mut(&id)?;
        if transaction.conn.is_some() {
            return None;
        }
        let served = transaction.served_mut()?;
        served.undeliverable = true;
        let refused = served.refused.take();
        let indication = self.fail(cx, id);
        if let Some((status, bytes)) = refused.map(|refused| *refused) {
            self.respond(cx, &mut Vec::new(), id, status, bytes);
        }
        indication
    }

    /// `timer` of this transaction has fired.
    pub(crate) fn handle_timer(
        &mut self,
        cx: &mut Cx<'_>,
        out: &mut Vec<Transmission>,
        id: TransactionId,
        timer: Timer,
    ) -> Option<Indication> {
        let transaction = self.alive.get_mut(&id)?;
        let place = transaction.armed.iter().position(|(armed, _)| *armed == timer)?;
        transaction.armed.remove(place);
        let mut effects = SmallVec::new();
        let step = &mut Step::new(cx, &mut effects);
        transaction.machine.fire(timer, step)?;
        if effects.contains(&Effect::Inform(Inform::TimedOut)) {
            let timeouts = &mut cx.counters.timeouts;
            match &transaction.machine {
                Machine::ClientInvite(_) => timeouts.invite += 1,
                Machine::Client(_) => timeouts.request += 1,
                Machine::ServerInvite(_) | Machine::Server(_) => timeouts.ack += 1,
            }
        }
        self.carry_out(cx, out, id, effects, None)
    }

    /// A connection is lost. Looks after at most `slice` of its transactions, in the order in which they began, and
    /// says whether some are left: then call again, now or at a deadline of now.
    pub(crate) fn handle_conn_lost(
        &mut self,
        cx: &mut Cx<'_>,
        conn: ConnId,
        slice: usize,
        indications: &mut Vec<Indication>,
    ) -> bool {
        // What stood still until the connection is read from again would do so for ever (C22).
        self.go_on(cx, conn);
        let ids: Vec<_> = self.of_conn(conn).take(slice).collect();
        for id in ids {
            self.by_conn.remove(&(conn, id));
            let Some(transaction) = self.alive.get_mut(&id) else {
                continue;
            };
            transaction.conn = None;
            transaction.counted = false;
            let indication = match &transaction.machine {
                Machine::ClientInvite(_) | Machine::Client(_) => self.fail(cx, id),
                // It has not failed yet: its user may find another way when it responds.
                Machine::ServerInvite(_) | Machine::Server(_) => {
                    let open = transaction.awaits_final();
                    open.then_some(Indication {
                        transaction: id,
                        owner: None,
                        what: What::ConnectionLost,
                        ended: false,
                    })
                }
            };
            indications.extend(indication);
        }
        self.forget_load(conn);
        self.of_conn(conn).next().is_some()
    }

    /// Ends a transaction at once and tells nobody; false when there is none.
    pub(crate) fn abandon(&mut self, cx: &mut Cx<'_>, id: TransactionId) -> bool {
        self.remove(cx, id)
    }

    /// Whether this is a server transaction whose user may still choose the final response.
    pub(crate) fn awaits_final(&self, id: TransactionId) -> bool {
        self.alive
            .get(&id)
            .is_some_and(|transaction| transaction.awaits_final())
    }

    /// The CANCEL for this INVITE, to be sent over the same connection in a client transaction with the same branch.
    /// `None` unless a provisional response has come and no final one (RFC 3261 section 9.1).
    pub(crate) fn cancel_for(&self, id: TransactionId) -> Option<Bytes> {
        match &self.alive.get(&id)?.machine {
            Machine::ClientInvite(machine) if machine.is_proceeding() => {
                follow::cancel(machine.request()?).ok()
            }
            Machine::ClientInvite(_) | Machine::Client(_) | Machine::ServerInvite(_) | Machine::Server(_) => {
                None
            }
        }
    }

    /// How many transactions are alive.
    pub(crate) fn count(&self) -> usize {
        self.alive.len()
    }

    /// All transactions in canonical form, in the order in which they began.
    pub(crate) fn fingerprint(&self, now: Time) -> Vec<Fingerprint> {
        self.alive
            .values()
            .map(|transaction| transaction.fingerprint(now))
            .collect()
    }

    fn is_full(&self, cx: &mut Cx<'_>) -> bool {
        let full = self.alive.len() >= cx.config.limits.transactions;
        if full {
            cx.counters.refusals.transactions += 1;
        }
        full
    }

    fn of_conn(&self, conn: ConnId) -> impl Iterator<Item = TransactionId> + '_ {
        // Ids are counted from 1.
        let first = TransactionId::from_number(0);
        self.by_conn
            .range((conn, first)..)
            .take_while(move |(of, _)| *of == conn)
            .map(|(_, id)| *id)
    }

    fn find_client(&self, response: &Message) -> Option<(TransactionId, StatusCode)> {
        let status = response.status()?;
        let via = response.via_top().ok()?;
        let method = response.cseq().ok()?.method;
        let ids = self.clients.get(&*key::branch_key(via.branch()?))?;
        let id = ids
            .iter()
            .find(|id| self.alive.get(id).is_some_and(|found| found.method == method))?;
        Some((*id, status))
    }

    fn find_server(&self, key: &Key, is_method: impl Fn(&Method) -> bool) -> Option<TransactionId> {
        let ids = self.servers.get(&*key.text)?;
        ids.iter().copied().find(|id| {
            let Some(transaction) = self.alive.get(id) else {
                return false;
            };
            is_method(&transaction.method) && transaction.is_repeated_by(key)
        })
    }

    fn insert(&mut self, cx: &mut Cx<'_>, id: TransactionId, mut transaction: Transaction) {
        transaction.lives(cx).started += 1;
        self.load.begin(cx, &mut transaction);
        self.by_conn.extend(transaction.conn.map(|conn| (conn, id)));
        self.alive.insert(id, Box::new(transaction));
    }

    fn fail(&mut self, cx: &mut Cx<'_>, id: TransactionId) -> Option<Indication> {
        let transaction = self.alive.get_mut(&id)?;
        let mut effects = SmallVec::new();
        let step = &mut Step::new(cx, &mut effects);
        transaction.machine.fail(step);
        // Nothing is sent because of a transport error.
        self.carry_out(cx, &mut Vec::new(), id, effects, None)
    }

    /// Does what a step wants, removes the transaction if that was its end, and makes its indication, of which a step
    /// has at most one.
    fn carry_out(
        &mut self,
        cx: &mut Cx<'_>,
        out: &mut Vec<Transmission>,
        id: TransactionId,
        effects: SmallVec<[Effect; 4]>,
        response: Option<&Message>,
    ) -> Option<Indication> {
        let transaction = self.alive.get_mut(&id)?;
        let mut what = None;
        for effect in effects {
            let (bytes, kind, again) = match effect {
                Effect::Send(bytes) => (bytes, TransmissionKind::First, false),
                Effect::Resend(bytes) => (bytes, TransmissionKind::Again, true),
                Effect::Ack { ack, again } => (ack, TransmissionKind::Ack, again),
                Effect::Set(timer, after) => {
                    let armed = self.load.arm(cx, id, transaction, timer, after);
                    transaction.armed.push((timer, armed));
                    continue;
                }
                Effect::Stop(timer) => {
                    transaction.stop(cx, timer);
                    continue;
                }
                Effect::Inform(inform) => {
                    what = What::of(inform, response);
                    continue;
                }
            };
            if let Some(conn) = transaction.conn {
                let label = transaction.label(kind, &bytes, again);
                out.push(Transmission {
                    conn,
                    transaction: id,
                    bytes,
                    kind,
                    label,
                });
            }
        }
        let owner = match &transaction.role {
            Role::Client { owner, .. } => Some(*owner),
            Role::Server(_) => None,
        };
        let ended = transaction.is_terminated();
        let is_answered = match &transaction.role {
            Role::Client { .. } => matches!(what, Some(What::Final(_))),
            Role::Server(_) => !transaction.awaits_final(),
        };
        if is_answered {
            self.load.end(transaction);
        }
        if ended {
            self.remove(cx, id);
            what = what.or(Some(What::Ended));
        }
        what.map(|what| Indication {
            transaction: id,
            owner,
            what,
            ended,
        })
    }

    fn remove(&mut self, cx: &mut Cx<'_>, id: TransactionId) -> bool {
        let Some(mut transaction) = self.alive.remove(&id) else {
            return false;
        };
        self.load.end(&mut transaction);
        transaction.lives(cx).ended += 1;
        for (_, armed) in transaction.armed {
            cx.timers.stop(armed);
        }
        if let Some(conn) = transaction.conn {
            self.by_conn.remove(&(conn, id));
        }
        match transaction.role {
            Role::Client { branch, .. } => forget(&mut self.clients, &branch, id),
            Role::Server(served) => {
                forget(&mut self.servers, &served.key, id);
                if let Call::Claimed(endpoint, text) = served.call {
                    self.calls.remove(&(endpoint, text));
                }
            }
        }
        true
    }
}

fn forget(index: &mut Map<Box<str>, SmallVec<[TransactionId; 1]>>, key: &str, id: TransactionId) {
    let Some(ids) = index.get_mut(key) else { return };
    ids.retain(|other| *other != id);
    if ids.is_empty() {
        index.remove(key);
    }
}

impl What {
    fn of(inform: Inform, response: Option<&Message>) -> Option<Self> {
        match inform {
            Inform::Provisional => response.map(|response| Self::Provisional(Box::new(response.clone()))),
            Inform::Final => response.map(|response| Self::Final(Box::new(response.clone()))),
            Inform::TimedOut => Some(Self::TimedOut),
            Inform::TransportError => Some(Self::ConnectionLost),
            Inform::SendTrying => Some(Self::SendTrying),
            // The request itself tells of it, see `receive_ack`.
            Inform::Ack => None,
        }
    }
}

#[cfg(test)]
mod tests;
