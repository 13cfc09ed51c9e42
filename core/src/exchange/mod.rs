//! One request, one outcome.
//!
//! An exchange owns every repetition of its request: the answer to a challenge (401, 407), a longer expiry (423), a
//! redirected REGISTER (3xx), the wait for Retry-After, the next target after a failure, and the second try when the
//! connection died before a byte of the request had left it (C35). Its owner sees one request and one outcome.
//!
//! ```text
//!                 ready                        2xx to INVITE
//!   Connecting ----------> Sent ------------------------------------> Accepted
//!      ^   ^                | |                                          |
//!      |   | new connection | | 401 407 423 (again, same connection)     | transaction over
//!      |   +--- Moving <----+ +-> Sent                                   v
//!      |         503, 3xx, lost                                         gone
//!      +--- Paused <----+ Retry-After             any other outcome ---> gone
//! ```
//! What waits for a connection is in [`waiting`]; what is held because its endpoint has enough outstanding, in [`window`].

mod draft;
mod fingerprint;
mod incoming;
mod outcome;
mod reply;
#[cfg(test)]
mod tests;
mod voice;
mod waiting;
mod window;
mod write;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use crate::auth::Attempt;
use crate::connection::{Hop, Lease, Sent};
use crate::counters::Label;
use crate::cx::Cx;
use crate::event::{ConnectionFailure, ExtraHeaders, OperationError, OperationFailure};
use crate::ids::{ConnId, EndpointId, ExchangeId, SequenceId, TransactionId};
use crate::map::{HashKey, Map};
use crate::security::{KerberosFailure, KerberosFailureKind};
use crate::time::Time;
use crate::timers::{TimerId, TimerKey};
use crate::transaction::{self, Outgoing};

use crate::wire::write::with_fields;
use crate::wire::{HeaderName, Message, Method, StatusCode};
use waiting::Waiting;
use window::Window;

pub use draft::NextHop;
pub(crate) use draft::{ContactTemplate, Draft, Owner, Policy, Sequence, SessionPart, to_of};
pub(crate) use fingerprint::Fingerprint;
pub(crate) use incoming::Incomings;
pub(crate) use outcome::retry_after;
pub(crate) use reply::{Lower, Pending, Replies, Reply};
pub(crate) use voice::{Voice, Words};
pub(crate) use waiting::SLICE;
pub(crate) use write::{contact_value, reach};

/// What goes up, in order.
#[derive(Clone, Debug)]
pub(crate) struct Indication {
    pub(crate) exchange: ExchangeId,
    pub(crate) owner: Owner,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    /// A response of 101 to 199.
    Provisional(Box<Message>),
    /// The end.
    Outcome(Box<Outcome>),
    /// The end of a request that nothing answers: the embedder has taken its bytes (M3).
    Taken,
    /// A further 2xx to an INVITE, from another fork.
    Further(Box<Message>),
    /// The owner has to give a connection with [`Exchanges::supply`], if it can to none of these addresses.
    NeedConnection(Vec<SocketAddr>),
    /// The server sends us to this URI; the owner has to give a connection to it.
    Redirected(Box<str>),
}

#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) result: Result<Box<Message>, OperationError>,
    pub(crate) facts: Facts,
}

/// How the last attempt went out; what the ACK to a 2xx has to repeat.
#[derive(Clone, Default)]
pub(crate) struct Facts {
    /// The connection of the last attempt, or the one that it waited for in vain.
    pub(crate) conn: Option<ConnId>,
    pub(crate) cseq: u32,
    pub(crate) credentials: Vec<(HeaderName, String)>,
    /// Who answers challenges.
    pub(crate) identity: Option<EndpointId>,
}

/// Without the credentials (A9).
impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            conn,
            cseq,
            credentials: _,
            identity,
        } = self;
        let mut facts = f.debug_struct("Facts");
        facts
            .field("conn", conn)
            .field("cseq", cseq)
            .field("identity", identity)
            .finish_non_exhaustive()
    }
}

/// A request to carry to its outcome.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) draft: Draft,
    /// The connection; without one the owner is asked for it.
    pub(crate) lease: Option<Lease>,
    pub(crate) owner: Owner,
    pub(crate) policy: Policy,
}

#[derive(Clone, Debug)]
struct Exchange {
    draft: Draft,
    owner: Owner,
    policy: Policy,
    lease: Option<Lease>,
    state: State,
    facts: Facts,
    auth: Attempt,
    /// How often it was sent to the present target.
    attempts: usize,
    /// How often it was sent at all.
    sends: u32,
    failed: Vec<SocketAddr>,
    forks: Vec<Fork>,
    waited: bool,
    reconnected: bool,
    /// It is not sent again, whatever is answered.
    is_last: bool,
    /// It has a place in the window of its endpoint.
    counted: bool,
    /// It was sent once more for a longer session interval.
    enlarged: bool,
    /// What its CANCEL carries.
    farewell: ExtraHeaders,
}

#[derive(Clone, Debug)]
enum State {
    /// The connection is being made, or has no room.
    Connecting,
    /// Its endpoint has enough outstanding (C24); not for longer than this.
    Held { timer: TimerId },
    /// On its way in this transaction.
    Sent {
        transaction: TransactionId,
        branch: Box<str>,
        place: Sent,
        /// When it was queued.
        at: Time,
        /// A provisional response has come.
        alerted: bool,
        cancel: Cancel,
    },
    /// Written; nothing answers it. Complete when the embedder has taken its bytes (M3).
    Unanswered { place: Sent },
    /// Until the time that the server named.
    Paused { timer: TimerId },
    /// The owner is asked for a connection.
    Moving,
    /// A 2xx to INVITE has been reported; others may come from other forks until the transaction ends.
    Accepted { transaction: TransactionId },
}

/// What is known of a fork of an INVITE besides its session, which it may outlive.
#[derive(Clone, Debug)]
struct Fork {
    tag: Box<str>,
    /// It has sent a 2xx: what it repeats makes no new dialog.
    accepted: bool,
    /// The CSeq number of the last request in its dialog; 0 where there was none.
    last: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cancel {
    No,
    /// As soon as a provisional response has come (RFC 3261 section 9.1).
    Armed,
    /// Sent; the timer bounds the wait for the final response.
    Sent(TimerId),
}

/// All exchanges of a stack, and the CSeq counters that they draw from.
#[derive(Clone, Debug)]
pub(crate) struct Exchanges {
    /// By id, which is the order in which they began.
    table: BTreeMap<ExchangeId, Box<Exchange>>,
    waiting: BTreeMap<ConnId, Waiting>,
    unanswered: BTreeMap<ConnId, Vec<ExchangeId>>,
    windows: BTreeMap<EndpointId, Window>,
    /// The endpoints in whose windows there is room for what is held.
    freed: Vec<EndpointId>,
    sequences: Map<SequenceId, Counter>,
}

/// The CSeq numbers of one dialog, or of what is counted like one.
#[derive(Clone, Copy, Debug)]
struct Counter {
    last: u32,
    /// A BYE has drawn its number, or the peer's has come: no other request goes out any more.
    is_over: bool,
}

impl Counter {
    /// The next number, where a request of this method may still go out.
    fn next(&mut self, method: &Method) -> Option<u32> {
        let ends = *method == Method::Bye;
        if self.is_over && !ends {
            return None;
        }
        self.is_over |= ends;
        self.last = self.last.saturating_add(1);
        Some(self.last)
    }
}

impl Exchange {
    /// A fork has sent a 2xx; whether it is its first.
    fn accepted_by(&mut self, tag: &str, limit: usize) -> bool {
        if let Some(known) = self.forks.iter_mut().find(|fork| *fork.tag == *tag) {
            return !core::mem::replace(&mut known.accepted, true);
        }
        if self.forks.iter().filter(|fork| fork.accepted).count() <= limit {
            self.forks.push(Fork {
                tag: tag.into(),
                accepted: true,
                last: 0,
            });
        }
        true
    }
}

type Up = VecDeque<Indication>;

/// How a connection that had been ready is gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lost<'a> {
    /// What it is to a request.
    pub(crate) error: &'a OperationError,
    /// How many bytes of it the embedder had taken.
    pub(crate) taken: u64,
    /// Of an outgoing one, the next hop and the address.
    pub(crate) target: Option<(&'a Hop, SocketAddr)>,
}

impl Exchanges {
    pub(crate) fn new(key: HashKey) -> Self {
        Self {
            table: BTreeMap::new(),
            waiting: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            windows: BTreeMap::new(),
            freed: Vec::new(),
            sequences: Map::new(key),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// A CSeq counter whose next number is `first`.
    pub(crate) fn new_sequence(&mut self, cx: &mut Cx<'_>, first: u32) -> SequenceId {
        let id = cx.ids.next();
        let counter = Counter {
            last: first.saturating_sub(1),
            is_over: false,
        };
        self.sequences.insert(id, counter);
        id
    }

    /// A counter that goes on where another one is now: of a further dialog that one request has made.
    pub(crate) fn fork_sequence(&mut self, cx: &mut Cx<'_>, of: SequenceId) -> SequenceId {
        let last = self.sequences.get(&of).map_or(0, |counter| counter.last);
        self.new_sequence(cx, last.saturating_add(1))
    }

    /// The dialog is over (RFC 3261 section 15.1.2): what still waits to be sent in it is not, nor is anything sent again.
    pub(crate) fn close_sequence(&mut self, id: SequenceId) {
        if let Some(counter) = self.sequences.get_mut(&id) {
            counter.is_over = true;
        }
    }

    pub(crate) fn drop_sequence(&mut self, id: SequenceId) {
        self.sequences.remove(&id);
    }

    /// Starts an exchange. Its outcome is never reported from within this call's own stack frame but through `up`.
    pub(crate) fn start(
        &mut self,
        cx: &mut Cx<'_>,
        low: &mut Lower<'_>,
        request: Request,
        up: &mut Up,
    ) -> ExchangeId {
        let id = cx.ids.next();
        let Request {
            draft,
            lease,
            owner,
            policy,
        } = request;
        self.table.insert(
            id,
            Box::new(Exchange {
                draft,
                owner,
                policy,
                lease,
                state: State::Moving,
                facts: Facts::default(),
                auth: Attempt::default(),
                attempts: 0,
                sends: 0,
                failed: Vec::new(),
                forks: Vec::new(),
                waited: false,
                reconnected: false,
                is_last: false,
                counted: false,
                enlarged: false,
                farewell: Vec::new(),
            }),
        );
        self.send_or_wait(cx, low, id, up);
        id
    }

    /// The connection that an exchange asked for, or why there is none.
    pub(crate) fn supply(
        &mut self,
        cx: &mut Cx<'_>,
        low: &mut Lower<'_>,
        id: ExchangeId,
        lease: Result<Lease, OperationError>,
        up: &mut Up,
    ) {
        let Some(exchange) = self.table.get_mut(&id) else {
            if let Ok(lease) = lease {
                low.connections.release(cx, lease);
            }
            return;
        };
        match lease {
            Ok(lease) => {
                let conn = lease.conn();
                if let Some(old) = exchange.lease.replace(lease) {
                    low.connections.release(cx, old);
                }
                if low.connections.is_usable(conn) {
                    self.send_or_wait(cx, low, id, up);
                } else {
                    // It has failed at once, its name being known not to resolve: the report of why is on its way.
                    exchange.state = State::Connecting;
                    self.wait(id, conn);
                }
            }
            Err(error) => self.finish(cx, low, id, Err(error), up),
        }
    }

    /// Gives up an INVITE: not yet sent, it ends at once; else CANCEL goes out, now or after the first provisional
    /// response, and the outcome follows (RFC 3261 section 9.1, rule S10). Any other request is left to its end.
    /// The CANCEL carries these header fields.
    pub(crate) fn cancel(
        &mut self,
        cx: &mut Cx<'_>,
        low: &mut Lower<'_>,
        id: ExchangeId,
        headers: ExtraHeaders,
        up: &mut Up,
    ) {
        let Some(exchange) = self.table.get_mut(&id) else {
            return;
        };
        exchange.farewell = headers;
        match &mut exchange.state {
            State::Sent {
                alerted: true,
                cancel: Cancel::No,
                ..
            } => self.send_cancel(cx, low, id),
            State::Sent {
                alerted: false,
                cancel,
                ..
            } => *cancel = Cancel::Armed,
            State::Connecting | State::Held { .. } | State::Paused { .. } | State::Moving => {
                let aborted = OperationError::OperationFailure(OperationFailure::Aborted);
                self.finish(cx, low, id, Err(aborted), up);
            }
            State::Sent { .. } | State::Unanswered { .. } | State::Accepted { .. } => {}
        }
    }

    /// Whether an exchange waits to be sent: its request is in no transaction at present.
    pub(crate) fn is_waiting(&self, id: ExchangeId) -> bool {
        self.table.get(&id).is_some_and(|exchange| match exchange.state {
            State::Connecting | State::Held { .. } | State::Paused { .. } | State::Moving => true,
            State::Sent { .. } | State::Unanswered { .. } | State::Accepted { .. } => false,
        })
    }

    /// A request that is under way is not sent again, whatever becomes of it: what it was for has come about without it.
    pub(crate) fn repeat_no_more(&mut self, id: ExchangeId) {
        if let Some(exchange) = self.table.get_mut(&id) {
            // It is its endpoint's still: it may have a place in the window, or lead a handshake.
            exchange.policy.repeatable = false;
            exchange.reconnected = true;
            exchange.is_last = true;
        }
    }

    /// Forgets an exchange whose owner is gone. A transaction that runs is left to end by itself.
    pub(crate) fn abandon(&mut self, cx: &mut Cx<'_>, low: &mut Lower<'_>, id: ExchangeId) {
        self.remove(cx, low, id);
    }

    /// How the last attempt of an exchange went out.
    pub(crate) fn facts(&self, id: ExchangeId) -> Option<&Facts> {
        self.table.get(&id).map(|exchange| &exchange.facts)
    }

    /// Whether a response repeats Call-ID and the tag of From of an exchange's request (RFC 3261 section 8.2.6.2). To an
    /// exchange that is forgotten every response is.
    pub(crate) fn is_answered_by(&self, id: ExchangeId, response: &Message) -> bool {
        let Some(exchange) = self.table.get(&id) else {
            return true;
        };
        let parties = &exchange.draft.parties;
        // Inside a dialog From may be as the peer has written it, who may put it otherwise.
        let tag = parties.tag_of_from();
        let is_in_call = |call_id: &str| call_id == parties.call_id();
        response.call_id().is_ok_and(is_in_call)
            && tag.is_none_or(|tag| response.from_().is_ok_and(|from| from.tag() == Some(tag)))
    }

    /// Whether a further 2xx to an INVITE is the first of its fork. Forks above the limit are not told apart: each of
    /// their responses counts as a first one.
    pub(crate) fn is_new_fork(&mut self, id: ExchangeId, tag: &str, limit: usize) -> bool {
        let exchange = self.table.get_mut(&id);
        exchange.is_none_or(|exchange| exchange.accepted_by(tag, limit))
    }

    /// The session of an INVITE wants a fork no more that has had requests in its dialog. Its counter is dropped, and the
    /// number kept for the BYE that ends the dialog should the fork accept, and given.
    pub(crate) fn leave_fork(&mut self, invite: Option<ExchangeId>, tag: &str, counter: SequenceId) -> u32 {
        let last = self.sequences.remove(&counter).map_or(0, |counter| counter.last);
        if let Some(exchange) = invite.and_then(|invite| self.table.get_mut(&invite)) {
            exchange.forks.push(Fork {
                tag: tag.into(),
                accepted: false,
                last,
            });
        }
        last
    }

    /// The number of the last request in the dialog of a fork that was left.
    pub(crate) fn last_of_fork(&self, invite: ExchangeId, tag: &str) -> Option<u32> {
        let mut forks = self.table.get(&invite)?.forks.iter();
        forks.find(|fork| *fork.tag == *tag).map(|fork| fork.last)
    }

    /// What a client transaction of an exchange reports; with a lost connection comes how it was lost.
    pub(crate) fn handle_transaction(
        &mut self,
        cx: &mut Cx<'_>,
        low: &mut Lower<'_>,
        indication: transaction::Indication,
        lost: Option<&Lost<'_>>,
        up: &mut Up,
    ) {
        use transaction::What as Said;
        let Some(id) = indication.owner else { return };
        let Some(exchange) = self.table.get_mut(&id) else {
            return;
        };
        let owner = exchange.owner;
        match &mut exchange.state {
            State::Sent {
                transaction,
                alerted,
                cancel,
                ..
            } if *transaction == indication.transaction => {
                match indication.what {
                    Said::Provisional(response) => {
                        *alerted = true;
                        let armed = *cancel == Cancel::Armed;
                        let is_invite = exchange.draft.method == Method::Invite;
                        let (status, identity) = (response.status(), exchange.policy.identity);
                        if status != Some(StatusCode::TRYING) {
                            up.push_back(Indication {
                                exchange: id,
                                owner,
                                what: What::Provisional(response),
                            });
                        }
                        if let Some(endpoint) = identity
                            && status != Some(StatusCode::TRYING)
                            && low.auth.handle_provisional(cx, endpoint, id)
                        {
                            self.gate(low, endpoint);
                        }
                        if is_invite {
                            self.uncount(id);
                        }
                        if armed {
                            self.send_cancel(cx, low, id);
                        }
                    }
                    Said::Final(response) => self.on_final(cx, low, id, response, up),
                    Said::TimedOut => self.on_timeout(cx, low, id, up),
                    Said::ConnectionLost => {
                        let unknown = Lost {
                            error: &OperationError::ConnectionFailure(ConnectionFailure::NotConnected),
                            taken: u64::MAX,
                            target: None,
                        };
                        self.on_lost(cx, low, id, lost.unwrap_or(&unknown), up);
                    }
                    // A server transaction says the one, and a request that is still under way never the other.
                    Said::SendTrying | Said::Ended => {}
                }
            }
            State::Accepted { transaction, .. } if *transaction == indication.transaction => {
                match indication.what {
                    Said::Final(response) => {
                        up.push_back(Indication {
                            exchange: id,
                            owner,
                            what: What::Further(response),
                        });
                    }
                    Said::Ended | Said::TimedOut | Said::ConnectionLost => {
                        self.remove(cx, low, id);
                    }
                    Said::Provisional(_) | Said::SendTrying => {}
                }
            }
            // The CANCEL of this exchange, and transactions of earlier attempts, say nothing new.
            State::Sent { .. }
            | State::Accepted { .. }
            | State::Connecting
            | State::Held { .. }
            | State::Unanswered { .. }
            | State::Paused { .. }
            | State::Moving => {}
        }
    }

    /// The pause for Retry-After is over, it was held for too long, or no final response came in time after a CANCEL.
    pub(crate) fn handle_timer(&mut self, cx: &mut Cx<'_>, low: &mut Lower<'_>, id: ExchangeId, up: &mut Up) {
        let Some(exchange) = self.table.get_mut(&id) else {
            return;
        };
        match exchange.state {
            State::Paused { .. } => {
                exchange.state = State::Moving;
                // The server has asked to be tried again.
                exchange.failed.clear();
                if exchange
                    .lease
                    .as_ref()
                    .is_some_and(|lease| low.connections.is_usable(lease.conn()))
                {
                    self.send_or_wait(cx, low, id, up);
                } else {
                    self.need_connection(id, up);
                }
            }
            // What ends it may have come and is not read (C22).
            State::Sent { ref mut cancel, .. }
                if exchange
                    .facts
                    .conn
                    .is_some_and(|conn| low.connections.is_stopped(conn)) =>
            {
                let again = cx.now + cx.config.t1.saturating_mul(64);
                *cancel = Cancel::Sent(cx.timers.set(again, TimerKey::Exchange(id)));
            }
            State::Sent {
                transaction, cancel, ..
            } => {
                cx.counters.timeouts.cancel += 1;
                low.transactions.abandon(cx, transaction);
                // Not even the CANCEL, which the next hop answers itself, may have been.
                if let (Cancel::Sent(timer), Some(conn)) = (cancel, exchange.facts.conn) {
                    let asked = timer.at() - cx.config.t1.saturating_mul(64);
                    low.connections.unanswered(cx, conn, asked, false);
                }
                self.finish(cx, low, id, Err(OperationError::Timeout), up);
            }
            State::Held { .. } => {
                // The embedder is asked for a security context, and does not say anything.
                if let Some(endpoint) = exchange.policy.identity
                    && let Some(handshake) = low.auth.asked_for(endpoint, id)
                {
                    let silence = Err(KerberosFailure::new(KerberosFailureKind::Unreachable));
                    return self.handle_authenticated(cx, low, (endpoint, handshake), silence, up);
                }
                // Who leads the handshake that it waits for may never hear of its end: let others try.
                if let Some(endpoint) = exchange.policy.identity
                    && let Some(leader) = low.auth.leader(endpoint)
                {
                    low.auth.give_up(cx, endpoint, leader);
                    self.gate(low, endpoint);
                }
                cx.counters.timeouts.held += 1;
                self.finish(cx, low, id, Err(OperationError::Timeout), up);
            }
            State::Connecting | State::Unanswered { .. } | State::Moving | State::Accepted { .. } => {}
        }
    }

    fn send_or_wait(&mut self, cx: &mut Cx<'_>, low: &mut Lower<'_>, id: ExchangeId, up: &mut Up) {
        let Some(exchange) = self.table.get_mut(&id) else {
            return;
        };
        let Some(conn) = exchange.lease.as_ref().map(Lease::conn) else {
            return self.need_connection(id, up);
        };
        // Nobody goes before those who wait already.
        if low.connections.is_ready(conn) && !self.waiting.contains_key(&conn) {
            self.send_or_hold(cx, low, id, conn, up);
        } else if low.connections.is_usable(conn) {
            exchange.state = State::Connecting;
            self.wait(id, conn);
        } else {
            self.reconnect(cx, low, id, up);
        }
    }

    fn send(&mut self, cx: &mut Cx<'_>, low: &mut Lower<'_>, id: ExchangeId, conn: ConnId, up: &mut Up) {
        let Some(reach) = reach(low.connections, cx.config, conn) else {
            return self.reconnect(cx, low, id, up);
        };
        let Some(exchange) = self.table.get_mut(&id) else {
            return;
        };
        let cseq = match exchange.draft.sequence {
            // Of an ACK, the number is that of its INVITE (RFC 3261 section 13.2.2.4).
            Sequence::Fixed(number) if exchange.draft.method == Method::Ack => number,
            Sequence::Fixed(first) => first.saturating_add(exchange.sends),
            Sequence::Counter(counter) => {
                let counter = self.sequences.get_mut(&counter);
                match counter.and_then(|counter| counter.next(&exchange.draft.method)) {
                    Some(number) => number,
                    None => {
                        let ended = OperationError::OperationFailure(OperationFailure::SessionTerminated);
                        return self.finish(cx, low, id, Err(ended), up);
                    }
                }
            }
        };
        exchange.attempts += 1;
        exchange.sends = exchange.sends.saturating_add(1);
        let body = exchange
            .draft
            .content
            .as_ref()
            .map_or(&[][..], |content| &content.body);
        let credentials = match exchange.policy.identity {
            Some(endpoint) if exchange.draft.method != Method::Ack => {
                let Draft { method, uri, .. } = &exchange.draft;
                low.auth
                    .authorize(cx.entropy, endpoint, &mut exchange.auth, method, uri, body)
            }
            Some(_) | None => Vec::new(),
        };
        let branch = write::new_branch(cx.entropy);
        let mut bytes = write::request(cx.scratch, &exchange.draft, &reach, &branch, cseq, &credentials);
        if let Some(endpoint) = exchange.policy.identity {
            bytes = low.auth.stamp(cx, endpoint, (id, conn), bytes);
        }
        exchange.facts = Facts {
            conn: Some(conn),
            cseq,
            credentials,
            identity: exchange.policy.identity,
        };
        if matches!(exchange.draft.method, Method::Benotify | Method::Ack) {
            let label = Label::request(&exchange.draft.method);
            let Some(place) = low.send(cx, conn, bytes, label) else {
                return self.reconnect(cx, low, id, up);
            };
            exchange.state = State::Unanswered { place };
            self.unanswered.entry(conn).or_default().push(id);
            return;
        }
        let method = exchange.draft.method.clone();
        let request = Outgoing {
            bytes,
            branch: branch.clone(),
            method,
            conn,
            owner: id,
        };
        let mut out = Vec::new();
        let Some(transaction) = low.transactions.start_client(cx, &mut out, request) else {
            let error = OperationError::OperationFailure(OperationFailure::LimitReached);
            return self.finish(cx, low, id, Err(error), up);
        };
        let Some(place) = low.flush(cx, out) else {
            low.transactions.abandon(cx, transaction);
            return self.reconnect(cx, low, id, up);
        };
        exchange.state = State::Sent {
            transaction,
            branch,
            place,
            at: cx.now,
            alerted: false,
            cancel: Cancel::No,
        };
        self.count(low, id, conn);
    }

    fn send_cancel(&mut self, cx: &mut Cx<'_>, low: &mut Lower<'_>, id: ExchangeId) {
        let Some(exchange) = self.table.get_mut(&id) else {
            return;
        };
        let State::Sent {
            transaction,
            branch,
            cancel,
            ..
        } = &mut exchange.state
        else {
            return;
        };
        let Some(conn) = exchange.facts.conn else { return };
        let Some(bytes) = low.transactions.cancel_for(*transaction) else {
            return;
        };
        let bytes = with_fields(bytes, &exchange.farewell);
        *cancel = Cancel::Sent(
            cx.timers
                .set(cx.now + cx.config.t1.saturating_mul(64), TimerKey::Exchange(id)),
        );
        let request = Outgoing {
            bytes,
            branch: branch.clone(),
            method: Method::Cancel,
            conn,
            owner: id,
        };
        let mut out = Vec::new();
        low.transactions.start_client(cx, &mut out, request);
        low.flush(cx, out);
    }

    fn reconnect(&mut self, cx: &mut Cx<'_>, low: &mut Lower<'_>, id: ExchangeId, up: &mut Up) {
        let lost = Lost {
            error: &OperationError::ConnectionFailure(ConnectionFailure::NotConnected),
            taken: 0,
            target: None,
        };
        self.again_or_fail(cx, low, id, &lost, up);
    }

    /// Asks for a fresh connection, once. When that is lost, too, it goes to the next target where there is one (C25).
    fn again_or_fail(
        &mut self,
        cx: &mut Cx<'_>,
        low: &mut Lower<'_>,
        id: ExchangeId,
        lost: &Lost<'_>,
        up: &mut Up,
    ) {
        let Some(exchange) = self.table.get_mut(&id) else {
            return;
        };
        let is_first = !core::mem::replace(&mut exchange.reconnected, true);
        if is_first
            || lost
                .target
                .is_some_and(|(hop, remote)| self.fail_over(cx, low, id, hop, remote))
        {
            self.need_connection(id, up);
        } else {
            self.finish(cx, low, id, Err(lost.error.clone()), up);
        }
    }

    fn need_connection(&mut self, id: ExchangeId, up: &mut Up) {
        let Some(exchange) = self.table.get_mut(&id) else {
            return;
        };
        exchange.state = State::Moving;
        let what = What::NeedConnection(exchange.failed.clone());
        up.push_back(Indication {
            exchange: id,
            owner: exchange.owner,
            what,
        });
    }

    fn complete_unanswered(&mut self, cx: &mut Cx<'_>, low: &mut Lower<'_>, id: ExchangeId, up: &mut Up) {
        let Some(exchange) = self.remove(cx, low, id) else {
            return;
        };
        up.push_back(Indication {
            exchange: id,
            owner: exchange.owner,
            what: What::Taken,
        });
    }

    fn finish(
        &mut self,
        cx: &mut Cx<'_>,
        low: &mut Lower<'_>,
        id: ExchangeId,
        result: Result<Box<Message>, OperationError>,
        up: &mut Up,
    ) {
        let Some(exchange) = self.remove(cx, low, id) else {
            return;
        };
        let outcome = Outcome {
            result,
            facts: exchange.facts,
        };
        up.push_back(Indication {
            exchange: id,
            owner: exchange.owner,
            what: What::Outcome(Box::new(outcome)),
        });
    }

    fn remove(&mut self, cx: &mut Cx<'_>, low: &mut Lower<'_>, id: ExchangeId) -> Option<Exchange> {
        let mut exchange = *self.table.remove(&id)?;
        let mut held = None;
        match exchange.state {
            State::Paused { timer }
            | State::Sent {
                cancel: Cancel::Sent(timer),
                ..
            } => {
                cx.timers.stop(timer);
            }
            State::Connecting => {
                if let Some(conn) = exchange.lease.as_ref().map(Lease::conn) {
                    self.wait_no_more(cx, id, conn);
                }
            }
            State::Held { timer } => {
                cx.timers.stop(timer);
                held = exchange.policy.identity.map(|endpoint| (endpoint, id));
            }
            State::Sent { .. } | State::Unanswered { .. } | State::Moving | State::Accepted { .. } => {}
        }
        self.leave_window(exchange.policy.identity.filter(|_| exchange.counted), held);
        if let Some(endpoint) = exchange.policy.identity {
            low.auth.abandon(endpoint, id);
            self.gate(low, endpoint);
        }
        if let Some(lease) = exchange.lease.take() {
            low.connections.release(cx, lease);
        }
        Some(exchange)
    }
}
