//! The life of one connection.
//!
//! ```text
//!                 an address                  it failed: the next address
//!  outgoing ─► Locating ─────────► Connecting ─────────┐
//!                 ▲  │ none is left    │ connected,    │
//!                 │  ▼                 │ name fits     │
//!                 │ gone: failed       ▼               │
//!                 └────────────────────┼───────────────┘
//!                                      ▼   last user leaves (shared)
//!  incoming ─► Handshaking          ┌─ Live ──────────────► Lingering ─┐
//!   (TLS)          │ connected      │   ▲  ◄──────────────   │  60 s   │
//!                  ▼                │   │     a new user     ▼         │
//!             Unproven ─────────────┼───┘ a valid message   gone       │
//!              (60 s)               │                                  │
//!                  └───────┬────────┴──────────────────────────────────┘
//!         framing is lost  ▼           bytes are left, and so they may be, for 10 s
//!                       Parting ────────────────────────► Closing ──► gone
//!              (a last answer may be queued)                 ▲
//!  Live, when the one user of a client manager's connection leaves
//! ```
//! From every state: closed by the peer, or by command: gone. From what is ready (Unproven, Live, Lingering) also: no
//! traffic for the idle time, or bytes that the peer does not take; from Live: a keep-alive that is not answered. Read
//! rules C6, C8, C10, C12, C17, C25, C29, C32 and R19 first.
//!
//! Where the application decides on each connection (C21), `connected` leads here instead, from both sides:
//!
//! ```text
//!   connected ─► Held ──allowed──► Live, or Unproven for what came in
//!                 │ denied, or nothing said for 32 s
//!                 └─► gone: what waits for it fails
//! ```
//!
//! A report of the embedder on a connection attempt counts only once it has taken the action that asked for that
//! attempt: an embedder that drains late may still report on the attempt before.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use core::mem;
use core::net::SocketAddr;
use core::time::Duration;

use crate::action::{Action, CloseReason, Connect, TlsFailure, TlsFailureKind, Transport};
use crate::cx::{Cx, visit};
use crate::event::{ConnectionFailure, OperationError, OperationFailure, RemovalReason};
use crate::ids::{ConnId, ListenerId, ManagerId};
use crate::locate::{Hop, Search};
use crate::time::Time;
use crate::timers::{TimerId, TimerKey};

#[cfg(any(test, feature = "cells"))]
pub(super) mod cells;
mod fingerprint;
mod watch;

pub(crate) use fingerprint::LifetimePrint;
use watch::Watch;

/// How long a connection that is being given up may take to get rid of its last bytes.
pub(super) const FLUSH: Duration = Duration::from_secs(10);

/// The timers of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Timer {
    /// An attempt to connect to one address.
    Connect,
    /// An incoming connection must have brought a valid message (C12).
    Unproven,
    /// A released connection is kept (C8).
    Linger,
    /// No traffic (C10).
    Idle,
    /// The last bytes have to go.
    Flush,
    /// The peer takes no bytes (R19).
    Stall,
    /// A keep-alive has to be answered (C26, R19).
    Pong,
    /// The application has to say whether it may be used (C21).
    Authorization,
}

/// Where the connection came from, and who may use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Never pooled (C3).
    Incoming {
        listener: ListenerId,
        transport: Transport,
    },
    /// In the pool of its hop, of a server manager (C4).
    Shared(Hop),
    /// Of a client manager: it has one owner (C5).
    Private(Hop),
}

impl Role {
    pub(super) const fn transport(&self) -> Transport {
        match self {
            Self::Incoming { transport, .. } => *transport,
            Self::Shared(hop) | Self::Private(hop) => hop.transport(),
        }
    }

    pub(super) const fn hop(&self) -> Option<&Hop> {
        match self {
            Self::Incoming { .. } => None,
            Self::Shared(hop) | Self::Private(hop) => Some(hop),
        }
    }
}

/// What its manager says of a new connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Terms {
    /// How long it may be without traffic (C10); zero means never.
    pub(super) idle: Duration,
    /// Whether the application decides on it (C21).
    pub(super) holds: bool,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Lifetime {
    pub(super) conn: ConnId,
    pub(super) manager: ManagerId,
    pub(super) role: Role,
    state: State,
    watch: Watch,
    /// The application decides on it (C21).
    holds: bool,
}

#[derive(Clone, Debug)]
enum State {
    Locating {
        search: Box<Search>,
    },
    /// `place` is that of the action that asked for it.
    Connecting {
        search: Box<Search>,
        remote: SocketAddr,
        place: u64,
        timeout: TimerId,
    },
    Handshaking {
        deadline: TimerId,
    },
    Held {
        deadline: TimerId,
    },
    Unproven {
        deadline: TimerId,
    },
    Live,
    Lingering {
        deadline: TimerId,
    },
    Parting {
        reason: RemovalReason,
        resume: TimerId,
    },
    Closing {
        reason: RemovalReason,
        deadline: TimerId,
    },
    Gone,
}

/// What happens to a connection.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Input {
    /// The address to try.
    Target(SocketAddr),
    /// There is none left.
    Exhausted(OperationError),
    /// It is up; `Err` where its certificate does not do.
    Connected(Result<(), TlsFailure>),
    /// It failed, or is gone.
    Closed(CloseReason),
    /// It has a user more.
    Used,
    /// Its last user has left.
    Unused,
    /// A valid message arrived (C12).
    Proven,
    /// What arrives is no SIP stream.
    FramingLost(String),
    /// The embedder has taken all that was queued.
    Drained,
    /// Close it now.
    Disconnect(RemovalReason),
    /// The host is in another network (R20): an attempt from the one before is not waited for.
    NetworkChanged,
    /// The application has decided (C21).
    Allowed,
    Denied,
    Timer(Timer),
}

/// What a step means for the others.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    /// The next address is wanted, because this one failed.
    Next {
        failed: SocketAddr,
        error: OperationError,
    },
    /// An address is wanted anew, from the first one on.
    Again,
    /// It can be used.
    Ready,
    /// It could be used, if the application allows it.
    Held,
    /// It has no user and waits for one.
    Lingers,
    /// It has a user again.
    Reused,
    /// It takes no further users, but is still there.
    Leaves,
    /// It is no more.
    Gone(End),
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum End {
    /// Its users had left, or it never had any, before it was ready.
    Abandoned,
    /// It never became ready.
    Failed(OperationError),
    /// An incoming one never became ready.
    Refused(TlsFailure),
    /// It was ready.
    Lost(RemovalReason),
    /// The application had been asked about it, and it has not become ready: why, and what fails those who wait for it.
    Withheld(RemovalReason, OperationError),
}

impl Lifetime {
    /// A connection to be made. It wants an address first.
    pub(super) fn outgoing(
        conn: ConnId,
        manager: ManagerId,
        role: Role,
        search: Search,
        terms: Terms,
    ) -> Self {
        let state = State::Locating {
            search: Box::new(search),
        };
        Self {
            conn,
            manager,
            role,
            state,
            watch: Watch::new(conn, terms.idle, Time::ZERO),
            holds: terms.holds,
        }
    }

    /// A connection that the peer made. Over plain TCP it is ready at once.
    pub(super) fn incoming(
        conn: ConnId,
        manager: ManagerId,
        listener: ListenerId,
        transport: Transport,
        terms: Terms,
        cx: &mut Cx<'_>,
    ) -> (Self, Option<Outcome>) {
        let deadline = cx.timers.set(
            cx.now + cx.config.unproven,
            TimerKey::Connection(conn, Timer::Unproven),
        );
        let role = Role::Incoming { listener, transport };
        let mut new = Self {
            conn,
            manager,
            role,
            state: State::Handshaking { deadline },
            watch: Watch::new(conn, terms.idle, cx.now),
            holds: terms.holds,
        };
        let outcome = match transport {
            Transport::Tcp => new.step(Input::Connected(Ok(())), false, cx),
            Transport::Tls => None,
        };
        (new, outcome)
    }

    /// Bytes can be queued for the peer.
    pub(super) const fn is_ready(&self) -> bool {
        matches!(
            self.state,
            State::Unproven { .. } | State::Live | State::Lingering { .. }
        )
    }

    /// It may have a user more.
    pub(super) const fn is_sharable(&self) -> bool {
        self.is_ready() || self.is_coming()
    }

    /// An outgoing connection that is not there yet.
    pub(super) const fn is_coming(&self) -> bool {
        self.is_searching() || self.is_held() && !matches!(self.role, Role::Incoming { .. })
    }

    /// It looks for an address that can be connected to.
    pub(super) const fn is_searching(&self) -> bool {
        matches!(self.state, State::Locating { .. } | State::Connecting { .. })
    }

    /// The application is asked whether it may be used (C21).
    pub(super) const fn is_held(&self) -> bool {
        matches!(self.state, State::Held { .. })
    }

    /// What is received on it counts.
    pub(super) const fn is_readable(&self) -> bool {
        self.is_ready()
    }

    /// What is sent on it goes out.
    pub(super) const fn is_writable(&self) -> bool {
        self.is_ready() || matches!(self.state, State::Parting { .. })
    }

    /// A report that it is up is waited for.
    pub(super) const fn is_attempt(&self) -> bool {
        matches!(self.state, State::Connecting { .. } | State::Handshaking { .. })
    }

    /// The address that is being connected to.
    pub(super) const fn target(&self) -> Option<SocketAddr> {
        match &self.state {
            State::Connecting { remote, .. } => Some(*remote),
            State::Locating { .. }
            | State::Handshaking { .. }
            | State::Held { .. }
            | State::Unproven { .. }
            | State::Live
            | State::Lingering { .. }
            | State::Parting { .. }
            | State::Closing { .. }
            | State::Gone => None,
        }
    }

    /// The search for addresses; `true` where it is its turn to give one.
    pub(super) fn search(&mut self) -> Option<(&mut Search, bool)> {
        match &mut self.state {
            State::Locating { search } => Some((search, true)),
            State::Connecting { search, .. } => Some((search, false)),
            State::Handshaking { .. }
            | State::Held { .. }
            | State::Unproven { .. }
            | State::Live
            | State::Lingering { .. }
            | State::Parting { .. }
            | State::Closing { .. }
            | State::Gone => None,
        }
    }

    /// A message, whole, in or out: keep-alives are no traffic.
    pub(super) const fn traffic(&mut self, now: Time) {
        self.watch.traffic(now);
    }

    /// Another idle time; zero means never (C10).
    pub(super) fn set_idle(&mut self, after: Duration, cx: &mut Cx<'_>) {
        let is_ready = self.is_ready();
        self.watch.set_idle(after, is_ready, cx);
    }

    /// Bytes wait where none did.
    pub(super) fn waits(&mut self, cx: &mut Cx<'_>) {
        let is_ready = self.is_ready();
        self.watch.waits(is_ready, cx);
    }

    /// The peer, or its system, has taken bytes.
    pub(super) const fn progressed(&mut self, now: Time) {
        self.watch.progressed(now);
    }

    /// Whether a keep-alive waits for its answer.
    pub(super) const fn awaits_pong(&self) -> bool {
        self.watch.awaits_pong()
    }

    /// A keep-alive has been sent that the peer has promised to answer (C26).
    pub(super) fn await_pong(&mut self, cx: &mut Cx<'_>) {
        if matches!(self.state, State::Live) {
            self.watch.await_pong(cx);
        }
    }

    /// The timer of the answer has fired, and does not count.
    pub(super) fn await_pong_again(&mut self, cx: &mut Cx<'_>) {
        self.watch.stop_pong(cx);
        self.await_pong(cx);
    }

    /// Its answer has come.
    pub(super) fn stop_pong(&mut self, cx: &mut Cx<'_>) {
        self.watch.stop_pong(cx);
    }

    /// One step. `pending`: bytes are queued.
    pub(super) fn step(&mut self, input: Input, pending: bool, cx: &mut Cx<'_>) -> Option<Outcome> {
        use {Input as I, State as S};
        visit!(cx, self.state, input);
        let state = mem::replace(&mut self.state, S::Gone);
        match (state, input) {
            (S::Locating { search }, I::Target(remote)) => {
                let timeout = self.arm(Timer::Connect, cx.config.connect_timeout, cx);
                let place = cx.out.next_place();
                cx.out.push(Action::Connect(self.connect(remote)));
                self.state = S::Connecting { search, remote, place, timeout };
                None
            }
            (S::Locating { .. }, I::Exhausted(error)) => Some(Outcome::Gone(End::Failed(error))),
            (S::Locating { .. }, I::Unused) => Some(Outcome::Gone(End::Abandoned)),
            (S::Locating { .. }, I::Disconnect(_)) => Some(Outcome::Gone(End::Failed(aborted()))),

            // What was learned in the other network is no good here; a question under way has its own time.
            (S::Connecting { mut search, timeout, .. }, I::NetworkChanged) => {
                cx.timers.stop(timeout);
                self.close(cx);
                search.start_over();
                self.state = S::Locating { search };
                Some(Outcome::Again)
            }

            (state @ S::Connecting { place, .. }, I::Connected(_) | I::Closed(_)) if !cx.out.is_taken(place) => {
                self.state = state;
                None
            }
            (S::Connecting { timeout, .. }, I::Connected(Ok(()))) => {
                cx.timers.stop(timeout);
                if self.holds {
                    return self.hold(cx);
                }
                self.begin(S::Live, cx)
            }
            (S::Connecting { search, remote, timeout, .. }, I::Connected(Err(failure))) => {
                cx.timers.stop(timeout);
                self.close(cx);
                self.state = S::Locating { search };
                Some(Outcome::Next { failed: remote, error: OperationError::Tls(failure) })
            }
            (S::Connecting { search, remote, timeout, .. }, I::Closed(reason)) => {
                cx.timers.stop(timeout);
                self.state = S::Locating { search };
                Some(Outcome::Next { failed: remote, error: not_connected(remote, reason) })
            }
            (S::Connecting { search, remote, .. }, I::Timer(Timer::Connect)) => {
                cx.counters.timeouts.connect += 1;
                self.close(cx);
                self.state = S::Locating { search };
                Some(Outcome::Next { failed: remote, error: not_connected(remote, CloseReason::TimedOut) })
            }
            (S::Connecting { timeout, .. }, I::Unused) => {
                cx.timers.stop(timeout);
                self.close(cx);
                Some(Outcome::Gone(End::Abandoned))
            }
            (S::Connecting { timeout, .. }, I::Disconnect(_)) => {
                cx.timers.stop(timeout);
                self.close(cx);
                Some(Outcome::Gone(End::Failed(aborted())))
            }

            (S::Handshaking { deadline }, I::Connected(Ok(()))) if self.holds => {
                cx.timers.stop(deadline);
                self.hold(cx)
            }
            (S::Handshaking { deadline }, I::Connected(Ok(()))) => self.begin(S::Unproven { deadline }, cx),
            (S::Handshaking { deadline }, I::Connected(Err(failure))) => {
                cx.timers.stop(deadline);
                self.close(cx);
                Some(Outcome::Gone(End::Refused(failure)))
            }
            (S::Handshaking { deadline }, I::Closed(reason)) => {
                cx.timers.stop(deadline);
                Some(Outcome::Gone(End::Refused(handshake_failure(reason))))
            }
            (S::Handshaking { .. }, I::Timer(Timer::Unproven)) => {
                cx.counters.timeouts.handshake += 1;
                self.close(cx);
                Some(Outcome::Gone(End::Refused(handshake_failure(CloseReason::TimedOut))))
            }
            (S::Handshaking { deadline }, I::Disconnect(_)) => {
                cx.timers.stop(deadline);
                self.close(cx);
                Some(Outcome::Gone(End::Abandoned))
            }

            (S::Held { deadline }, I::Allowed) => {
                cx.timers.stop(deadline);
                cx.out.push(Action::Reading(self.conn, true));
                match self.role {
                    Role::Incoming { .. } => {
                        let deadline = self.arm(Timer::Unproven, cx.config.unproven, cx);
                        self.begin(S::Unproven { deadline }, cx)
                    }
                    Role::Shared(_) | Role::Private(_) => self.begin(S::Live, cx),
                }
            }
            (S::Held { deadline }, I::Denied) => {
                cx.timers.stop(deadline);
                self.withhold(RemovalReason::Denied, not_authorized(), cx)
            }
            (S::Held { .. }, I::Timer(Timer::Authorization)) => {
                cx.counters.timeouts.authorization += 1;
                self.withhold(RemovalReason::NotAuthorized, not_authorized(), cx)
            }
            (S::Held { deadline }, I::Unused) => {
                cx.timers.stop(deadline);
                self.withhold(RemovalReason::Released, aborted(), cx)
            }
            (S::Held { deadline }, I::Disconnect(reason @ RemovalReason::NetworkChanged)) => {
                cx.timers.stop(deadline);
                let error = OperationError::ConnectionFailure(ConnectionFailure::Closed(reason.clone()));
                self.withhold(reason, error, cx)
            }
            (S::Held { deadline }, I::Disconnect(reason)) => {
                cx.timers.stop(deadline);
                self.withhold(reason, aborted(), cx)
            }
            // It does not go on to the next address: what the application then says could be meant for this one.
            (S::Held { deadline }, I::Closed(reason)) => {
                cx.timers.stop(deadline);
                let error = OperationError::ConnectionFailure(ConnectionFailure::Lost(reason.clone()));
                Some(Outcome::Gone(End::Withheld(RemovalReason::Remote(reason), error)))
            }

            (S::Unproven { deadline }, I::Proven) => {
                cx.timers.stop(deadline);
                self.state = S::Live;
                None
            }
            (S::Unproven { .. }, I::Timer(Timer::Unproven)) => {
                cx.counters.timeouts.unproven += 1;
                self.drop_now(RemovalReason::Unproven, cx)
            }

            (S::Live, I::Unused) => match self.role {
                Role::Incoming { .. } => {
                    self.state = S::Live;
                    None
                }
                Role::Shared(_) => {
                    // Nobody is left who wants to know.
                    self.watch.stop_pong(cx);
                    let deadline = self.arm(Timer::Linger, cx.config.linger, cx);
                    self.state = S::Lingering { deadline };
                    Some(Outcome::Lingers)
                }
                Role::Private(_) => self.finish(RemovalReason::Released, pending, cx),
            },
            (S::Lingering { deadline }, I::Used) => {
                cx.timers.stop(deadline);
                self.state = S::Live;
                Some(Outcome::Reused)
            }
            (S::Lingering { .. }, I::Timer(Timer::Linger)) => self.finish(RemovalReason::Released, pending, cx),

            // What ends any connection that is ready.
            (state @ (S::Unproven { .. } | S::Live | S::Lingering { .. }), I::Timer(Timer::Idle)) => {
                if !self.watch.is_idle(cx) {
                    self.state = state;
                    return None;
                }
                stop(&state, cx);
                self.drop_now(RemovalReason::Idle, cx)
            }
            (state @ (S::Unproven { .. } | S::Live | S::Lingering { .. }), I::Timer(Timer::Stall)) => {
                if !self.watch.is_stalled(pending, cx) {
                    self.state = state;
                    return None;
                }
                stop(&state, cx);
                cx.counters.timeouts.write += 1;
                self.drop_now(RemovalReason::SlowReader, cx)
            }
            (S::Live, I::Timer(Timer::Pong)) => {
                cx.counters.timeouts.pong += 1;
                self.drop_now(RemovalReason::Unanswered, cx)
            }
            (state @ (S::Unproven { .. } | S::Live | S::Lingering { .. }), I::Closed(reason)) => {
                stop(&state, cx);
                self.lost(RemovalReason::Remote(reason), cx)
            }
            (state @ (S::Unproven { .. } | S::Live | S::Lingering { .. }), I::Disconnect(reason)) => {
                stop(&state, cx);
                self.drop_now(reason, cx)
            }
            (state @ (S::Unproven { .. } | S::Live | S::Lingering { .. }), I::FramingLost(why)) => {
                stop(&state, cx);
                self.watch.stop(cx);
                // Whoever hears of it may still answer within this call of the embedder.
                let resume = self.arm(Timer::Flush, Duration::ZERO, cx);
                self.state = S::Parting { reason: RemovalReason::FramingLost(why), resume };
                Some(Outcome::Leaves)
            }

            (S::Parting { reason, .. }, I::Timer(Timer::Flush)) => self.finish(reason, pending, cx),
            (S::Closing { reason, .. }, I::Timer(Timer::Flush)) => self.drop_now(reason, cx),
            (S::Closing { reason, deadline }, I::Drained) => {
                cx.timers.stop(deadline);
                self.drop_now(reason, cx)
            }
            (S::Parting { reason, resume: timer } | S::Closing { reason, deadline: timer }, I::Closed(_)) => {
                cx.timers.stop(timer);
                self.lost(reason, cx)
            }
            (S::Parting { reason, resume: timer } | S::Closing { reason, deadline: timer }, I::Disconnect(_)) => {
                cx.timers.stop(timer);
                self.drop_now(reason, cx)
            }

            // It stays as it is: users are counted elsewhere, ...
            (
                state @ (S::Locating { .. }
                | S::Connecting { .. }
                | S::Handshaking { .. }
                | S::Held { .. }
                | S::Unproven { .. }
                | S::Live
                | S::Parting { .. }
                | S::Closing { .. }),
                I::Used,
            )
            | (
                state @ (S::Handshaking { .. }
                | S::Unproven { .. }
                | S::Lingering { .. }
                | S::Parting { .. }
                | S::Closing { .. }),
                I::Unused,
            )
            // ... a late or repeated report of the embedder, ...
            | (state @ S::Locating { .. }, I::Connected(_) | I::Closed(_))
            | (
                state @ (S::Held { .. }
                | S::Unproven { .. }
                | S::Live
                | S::Lingering { .. }
                | S::Parting { .. }
                | S::Closing { .. }),
                I::Connected(_),
            )
            // ... an address that was not asked for, ...
            | (
                state @ (S::Connecting { .. }
                | S::Handshaking { .. }
                | S::Held { .. }
                | S::Unproven { .. }
                | S::Live
                | S::Lingering { .. }
                | S::Parting { .. }
                | S::Closing { .. }),
                I::Target(_) | I::Exhausted(_),
            )
            // ... nothing was or could be queued that this waits for, ...
            | (
                state @ (S::Locating { .. }
                | S::Connecting { .. }
                | S::Handshaking { .. }
                | S::Held { .. }
                | S::Unproven { .. }
                | S::Live
                | S::Lingering { .. }
                | S::Parting { .. }),
                I::Drained,
            )
            // ... the application has not been asked, or has answered, ...
            | (
                state @ (S::Locating { .. }
                | S::Connecting { .. }
                | S::Handshaking { .. }
                | S::Unproven { .. }
                | S::Live
                | S::Lingering { .. }
                | S::Parting { .. }
                | S::Closing { .. }),
                I::Allowed | I::Denied,
            )
            // ... nothing is received on it, or it is proven already, ...
            | (
                state @ (S::Locating { .. }
                | S::Connecting { .. }
                | S::Handshaking { .. }
                | S::Held { .. }
                | S::Parting { .. }
                | S::Closing { .. }),
                I::Proven | I::FramingLost(_),
            )
            | (state @ (S::Live | S::Lingering { .. }), I::Proven)
            // ... and the timers of other states have been stopped.
            | (state @ S::Locating { .. }, I::Timer(_))
            | (
                state @ S::Connecting { .. },
                I::Timer(
                    Timer::Unproven
                    | Timer::Linger
                    | Timer::Idle
                    | Timer::Flush
                    | Timer::Stall
                    | Timer::Pong
                    | Timer::Authorization,
                ),
            )
            | (
                state @ S::Handshaking { .. },
                I::Timer(
                    Timer::Connect
                    | Timer::Linger
                    | Timer::Idle
                    | Timer::Flush
                    | Timer::Stall
                    | Timer::Pong
                    | Timer::Authorization,
                ),
            )
            | (
                state @ S::Held { .. },
                I::Timer(
                    Timer::Connect
                    | Timer::Unproven
                    | Timer::Linger
                    | Timer::Idle
                    | Timer::Flush
                    | Timer::Stall
                    | Timer::Pong,
                ),
            )
            | (
                state @ S::Unproven { .. },
                I::Timer(
                    Timer::Connect | Timer::Linger | Timer::Flush | Timer::Pong | Timer::Authorization,
                ),
            )
            | (
                state @ S::Live,
                I::Timer(
                    Timer::Connect | Timer::Unproven | Timer::Linger | Timer::Flush | Timer::Authorization,
                ),
            )
            | (
                state @ S::Lingering { .. },
                I::Timer(
                    Timer::Connect | Timer::Unproven | Timer::Flush | Timer::Pong | Timer::Authorization,
                ),
            )
            | (
                state @ (S::Parting { .. } | S::Closing { .. }),
                I::Timer(
                    Timer::Connect
                    | Timer::Unproven
                    | Timer::Linger
                    | Timer::Idle
                    | Timer::Stall
                    | Timer::Pong
                    | Timer::Authorization,
                ),
            )
            // A connection that is there is closed where its address is lost, and only there; the search for an address
            // goes on.
            | (
                state @ (S::Locating { .. }
                | S::Handshaking { .. }
                | S::Held { .. }
                | S::Unproven { .. }
                | S::Live
                | S::Lingering { .. }
                | S::Parting { .. }
                | S::Closing { .. }),
                I::NetworkChanged,
            ) => {
                self.state = state;
                None
            }
            // It is taken out of the table as it ends, so nothing reaches it here.
            (
                S::Gone,
                I::Target(_)
                | I::Exhausted(_)
                | I::Connected(_)
                | I::Closed(_)
                | I::Used
                | I::Unused
                | I::Proven
                | I::FramingLost(_)
                | I::Drained
                | I::Disconnect(_)
                | I::NetworkChanged
                | I::Allowed
                | I::Denied
                | I::Timer(_),
            ) => None,
        }
    }

    fn connect(&self, remote: SocketAddr) -> Connect {
        let tls = match self.role.transport() {
            Transport::Tcp => None,
            Transport::Tls => self.role.hop().map(|hop| hop.host().to_string()),
        };
        Connect {
            conn: self.conn,
            manager: self.manager,
            remote,
            tls,
        }
    }

    fn begin(&mut self, state: State, cx: &mut Cx<'_>) -> Option<Outcome> {
        self.state = state;
        self.watch.begin(cx);
        Some(Outcome::Ready)
    }

    /// Waits for the word of the application (C21). Nothing is read meanwhile.
    fn hold(&mut self, cx: &mut Cx<'_>) -> Option<Outcome> {
        let deadline = self.arm(Timer::Authorization, cx.config.authorization_timeout, cx);
        cx.out.push(Action::Reading(self.conn, false));
        self.state = State::Held { deadline };
        Some(Outcome::Held)
    }

    fn withhold(&self, reason: RemovalReason, error: OperationError, cx: &mut Cx<'_>) -> Option<Outcome> {
        self.close(cx);
        Some(Outcome::Gone(End::Withheld(reason, error)))
    }

    /// Closes it once its bytes have gone.
    fn finish(&mut self, reason: RemovalReason, pending: bool, cx: &mut Cx<'_>) -> Option<Outcome> {
        if !pending {
            return self.drop_now(reason, cx);
        }
        self.watch.stop(cx);
        let deadline = self.arm(Timer::Flush, FLUSH, cx);
        self.state = State::Closing { reason, deadline };
        Some(Outcome::Leaves)
    }

    fn drop_now(&mut self, reason: RemovalReason, cx: &mut Cx<'_>) -> Option<Outcome> {
        self.close(cx);
        self.lost(reason, cx)
    }

    fn lost(&mut self, reason: RemovalReason, cx: &mut Cx<'_>) -> Option<Outcome> {
        self.watch.stop(cx);
        Some(Outcome::Gone(End::Lost(reason)))
    }

    fn close(&self, cx: &mut Cx<'_>) {
        cx.out.push(Action::Close(self.conn));
    }

    fn arm(&self, timer: Timer, after: Duration, cx: &mut Cx<'_>) -> TimerId {
        cx.timers
            .set(cx.now + after, TimerKey::Connection(self.conn, timer))
    }
}

/// Stops the timer of a state that is left.
fn stop(state: &State, cx: &mut Cx<'_>) {
    match state {
        State::Connecting { timeout: timer, .. }
        | State::Handshaking { deadline: timer }
        | State::Held { deadline: timer }
        | State::Unproven { deadline: timer }
        | State::Lingering { deadline: timer }
        | State::Parting { resume: timer, .. }
        | State::Closing { deadline: timer, .. } => {
            cx.timers.stop(*timer);
        }
        State::Locating { .. } | State::Live | State::Gone => {}
    }
}

/// Why a request cannot use an address that did not come up.
fn not_connected(remote: SocketAddr, reason: CloseReason) -> OperationError {
    match reason {
        CloseReason::Tls(failure) => OperationError::Tls(failure),
        CloseReason::Closed
        | CloseReason::Reset
        | CloseReason::Refused
        | CloseReason::Unreachable
        | CloseReason::TimedOut
        | CloseReason::Other(_) => {
            OperationError::ConnectionFailure(ConnectionFailure::Connect { remote, reason })
        }
    }
}

/// Why a peer that connected to us could not be talked to.
fn handshake_failure(reason: CloseReason) -> TlsFailure {
    match reason {
        CloseReason::Tls(failure) => failure,
        CloseReason::Closed | CloseReason::Reset => TlsFailure {
            kind: TlsFailureKind::RemoteDisconnected,
            detail: reason.to_string(),
        },
        CloseReason::Refused | CloseReason::Unreachable | CloseReason::TimedOut | CloseReason::Other(_) => {
            TlsFailure {
                kind: TlsFailureKind::Other,
                detail: reason.to_string(),
            }
        }
    }
}

/// The application does not want it to be used (C21).
const fn not_authorized() -> OperationError {
    OperationError::OperationFailure(OperationFailure::ConnectionNotAuthorized)
}

/// The application closed a connection that was being made.
const fn aborted() -> OperationError {
    OperationError::OperationFailure(OperationFailure::Aborted)
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::format;
    use alloc::vec::Vec;

    use super::*;
    use crate::connection::testing::Services;
    use crate::ids::Ids;

    const IDLE: Duration = Duration::from_secs(900);

    fn address() -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], 5060))
    }

    fn failure() -> TlsFailure {
        TlsFailure {
            kind: TlsFailureKind::IncorrectNameInRemoteCertificate,
            detail: String::new(),
        }
    }

    /// Every input; each timer is one.
    fn inputs() -> Vec<(&'static str, Input)> {
        Vec::from([
            ("target", Input::Target(address())),
            ("exhausted", Input::Exhausted(OperationError::Timeout)),
            ("connected", Input::Connected(Ok(()))),
            ("untrusted", Input::Connected(Err(failure()))),
            ("closed", Input::Closed(CloseReason::Reset)),
            ("used", Input::Used),
            ("unused", Input::Unused),
            ("proven", Input::Proven),
            ("framing", Input::FramingLost("bad".to_string())),
            ("drained", Input::Drained),
            ("disconnect", Input::Disconnect(RemovalReason::Local)),
            ("allowed", Input::Allowed),
            ("denied", Input::Denied),
            ("Connect", Input::Timer(Timer::Connect)),
            ("Unproven", Input::Timer(Timer::Unproven)),
            ("Linger", Input::Timer(Timer::Linger)),
            ("Idle", Input::Timer(Timer::Idle)),
            ("Flush", Input::Timer(Timer::Flush)),
            ("network", Input::NetworkChanged),
            ("Stall", Input::Timer(Timer::Stall)),
            ("Pong", Input::Timer(Timer::Pong)),
            ("Authorization", Input::Timer(Timer::Authorization)),
        ])
    }

    /// Each state, reached at 100 s by a connection whose idle time is 900 s.
    fn in_state(name: &str) -> (Lifetime, Services) {
        let mut services = Services::new();
        let (mut ids, mut cx) = (Ids::default(), services.cx());
        let (conn, manager) = (ids.next(), ids.next());
        let hop = Hop::new("192.0.2.1", None, Transport::Tcp);
        let terms = Terms {
            idle: IDLE,
            holds: name.starts_with("held"),
        };
        let outgoing =
            |role: Role| Lifetime::outgoing(conn, manager, role, Search::new(hop.clone(), &[]), terms);
        let mut incoming = |transport, cx: &mut Cx<'_>| {
            Lifetime::incoming(conn, manager, ids.next(), transport, terms, cx).0
        };
        let mut machine = match name {
            "handshaking" | "held incoming" => incoming(Transport::Tls, &mut cx),
            "unproven" | "live incoming" | "parting" => incoming(Transport::Tcp, &mut cx),
            "live private" | "closing" => outgoing(Role::Private(hop.clone())),
            _ => outgoing(Role::Shared(hop.clone())),
        };
        let path: &[(Input, bool)] = match name {
            "locating" | "handshaking" | "unproven" => &[],
            "connecting" => &[(Input::Target(address()), false)],
            "held incoming" => &[(Input::Connected(Ok(())), false)],
            "live shared" | "live private" | "held" => &[
                (Input::Target(address()), false),
                (Input::Connected(Ok(())), false),
            ],
            "live incoming" => &[(Input::Proven, false)],
            "lingering" => &[
                (Input::Target(address()), false),
                (Input::Connected(Ok(())), false),
                (Input::Unused, false),
            ],
            "parting" => &[(Input::FramingLost("bad".to_string()), false)],
            "closing" => &[
                (Input::Target(address()), false),
                (Input::Connected(Ok(())), false),
                (Input::Unused, true),
            ],
            "gone" => &[(Input::Unused, false)],
            other => panic!("{other}"),
        };
        for (input, pending) in path {
            machine.step(input.clone(), *pending, &mut services.cx());
            while services.out.pop().is_some() {}
        }
        (machine, services)
    }

    fn short(outcome: Option<Outcome>) -> String {
        match outcome {
            None => "-".to_string(),
            Some(Outcome::Next { failed, error }) => {
                assert_eq!(failed, address());
                format!("next({error})")
            }
            Some(Outcome::Gone(End::Abandoned)) => "abandoned".to_string(),
            Some(Outcome::Gone(End::Failed(error))) => format!("failed({error})"),
            Some(Outcome::Gone(End::Refused(failure))) => format!("refused({failure})"),
            Some(Outcome::Gone(End::Lost(reason))) => format!("lost({reason})"),
            Some(Outcome::Gone(End::Withheld(reason, error))) => format!("withheld({reason}; {error})"),
            Some(other) => format!("{other:?}").to_lowercase(),
        }
    }

    /// One step at 107 s; a timer that is armed fires when it is due.
    fn step(name: &str, input: Input, pending: bool) -> String {
        let (mut machine, mut services) = in_state(name);
        if input == Input::Timer(Timer::Stall) {
            machine.waits(&mut services.cx());
        } else if input == Input::Timer(Timer::Pong) {
            machine.await_pong(&mut services.cx());
        }
        services.now = Time::from_secs(107);
        if let Input::Timer(fired) = input {
            let armed = services.timers.clone();
            let mut armed = armed;
            while let Some((at, key)) = armed.pop_due(Time::MAX) {
                if key == TimerKey::Connection(machine.conn, fired) {
                    services.now = at;
                    let own = machine.watch.timer(fired).or_else(|| timer_of(&machine.state));
                    assert!(own.is_some_and(|own| services.timers.stop(own)));
                }
            }
        }
        let outcome = short(machine.step(input, pending, &mut services.cx()));
        let actions: Vec<String> = core::iter::from_fn(|| services.out.pop())
            .map(|action| {
                if let Action::Connect(connect) = action {
                    let expected = (machine.conn, address(), None);
                    assert_eq!((connect.conn, connect.remote, connect.tls), expected);
                    return "connect".to_string();
                }
                if action == Action::Reading(machine.conn, true) {
                    return "read".to_string();
                }
                assert_eq!(action, Action::Close(machine.conn));
                "close".to_string()
            })
            .collect();
        let mut timers = Vec::new();
        while let Some((at, key)) = services.timers.pop_due(Time::MAX) {
            let TimerKey::Connection(conn, timer) = key else {
                panic!("{key:?}")
            };
            assert_eq!(conn, machine.conn);
            timers.push(format!("{timer:?}@{}", at.as_micros() / 1_000_000));
        }
        let print = machine.fingerprint(services.now);
        format!(
            "{}; {outcome}; {}; {}",
            print.state,
            actions.join(" "),
            timers.join(" ")
        )
    }

    fn timer_of(state: &State) -> Option<TimerId> {
        match state {
            State::Connecting { timeout: timer, .. }
            | State::Handshaking { deadline: timer }
            | State::Held { deadline: timer }
            | State::Unproven { deadline: timer }
            | State::Lingering { deadline: timer }
            | State::Parting { resume: timer, .. }
            | State::Closing { deadline: timer, .. } => Some(*timer),
            State::Locating { .. } | State::Live | State::Gone => None,
        }
    }

    /// What does nothing is not listed. State, input, bytes pending (`None`: it makes no difference), and then the
    /// next state; what it means for the others; actions; timers armed afterwards.
    const TABLE: &[(&str, &str, Option<bool>, &str)] = &[
        ("locating", "target", None, "connecting; -; connect; Connect@117"),
        (
            "locating",
            "exhausted",
            None,
            "gone; failed(no answer in time); ; ",
        ),
        ("locating", "unused", None, "gone; abandoned; ; "),
        ("locating", "disconnect", None, "gone; failed(aborted); ; "),
        ("connecting", "connected", None, "live; ready; ; Idle@1007"),
        (
            "connecting",
            "untrusted",
            None,
            "locating; next(TLS: the peer's certificate names another host); close; ",
        ),
        (
            "connecting",
            "closed",
            None,
            "locating; next(cannot connect to 192.0.2.1:5060: reset by the peer); ; ",
        ),
        (
            "connecting",
            "Connect",
            None,
            "locating; next(cannot connect to 192.0.2.1:5060: timed out); close; ",
        ),
        ("connecting", "unused", None, "gone; abandoned; close; "),
        ("connecting", "network", None, "locating; again; close; "),
        ("connecting", "disconnect", None, "gone; failed(aborted); close; "),
        (
            "handshaking",
            "connected",
            None,
            "unproven; ready; ; Unproven@160 Idle@1007",
        ),
        (
            "handshaking",
            "untrusted",
            None,
            "gone; refused(the peer's certificate names another host); close; ",
        ),
        (
            "handshaking",
            "closed",
            None,
            "gone; refused(the peer closed during the handshake (reset by the peer)); ; ",
        ),
        (
            "handshaking",
            "Unproven",
            None,
            "gone; refused(failed (timed out)); close; ",
        ),
        ("handshaking", "disconnect", None, "gone; abandoned; close; "),
        ("held", "allowed", None, "live; ready; read; Idle@1007"),
        (
            "held",
            "denied",
            None,
            "gone; withheld(denied by the application; the application did not allow the connection); close; ",
        ),
        (
            "held",
            "Authorization",
            None,
            "gone; withheld(not allowed by the application in time; the application did not allow the connection); close; ",
        ),
        (
            "held",
            "unused",
            None,
            "gone; withheld(released and not used again; aborted); close; ",
        ),
        (
            "held",
            "disconnect",
            None,
            "gone; withheld(closed by this side; aborted); close; ",
        ),
        (
            "held",
            "closed",
            None,
            "gone; withheld(reset by the peer; connection lost: reset by the peer); ; ",
        ),
        (
            "held incoming",
            "allowed",
            None,
            "unproven; ready; read; Unproven@167 Idle@1007",
        ),
        (
            "held incoming",
            "denied",
            None,
            "gone; withheld(denied by the application; the application did not allow the connection); close; ",
        ),
        (
            "held incoming",
            "Authorization",
            None,
            "gone; withheld(not allowed by the application in time; the application did not allow the connection); close; ",
        ),
        (
            "held incoming",
            "unused",
            None,
            "gone; withheld(released and not used again; aborted); close; ",
        ),
        (
            "held incoming",
            "disconnect",
            None,
            "gone; withheld(closed by this side; aborted); close; ",
        ),
        (
            "held incoming",
            "closed",
            None,
            "gone; withheld(reset by the peer; connection lost: reset by the peer); ; ",
        ),
        ("unproven", "proven", None, "live; -; ; Idle@1000"),
        (
            "unproven",
            "Unproven",
            None,
            "gone; lost(no valid message in time); close; ",
        ),
        (
            "unproven",
            "Stall",
            Some(true),
            "gone; lost(the peer does not read); close; ",
        ),
        ("unproven", "Idle", None, "gone; lost(idle); close; "),
        ("unproven", "closed", None, "gone; lost(reset by the peer); ; "),
        (
            "unproven",
            "disconnect",
            None,
            "gone; lost(closed by this side); close; ",
        ),
        ("unproven", "framing", None, "parting; leaves; ; Flush@107"),
        (
            "live shared",
            "unused",
            None,
            "lingering; lingers; ; Linger@167 Idle@1000",
        ),
        (
            "live shared",
            "Stall",
            Some(true),
            "gone; lost(the peer does not read); close; ",
        ),
        (
            "live shared",
            "Pong",
            None,
            "gone; lost(the peer does not answer); close; ",
        ),
        ("live shared", "Idle", None, "gone; lost(idle); close; "),
        ("live shared", "closed", None, "gone; lost(reset by the peer); ; "),
        (
            "live shared",
            "disconnect",
            None,
            "gone; lost(closed by this side); close; ",
        ),
        ("live shared", "framing", None, "parting; leaves; ; Flush@107"),
        (
            "live private",
            "unused",
            Some(false),
            "gone; lost(released and not used again); close; ",
        ),
        (
            "live private",
            "unused",
            Some(true),
            "closing; leaves; ; Flush@117",
        ),
        (
            "live private",
            "Stall",
            Some(true),
            "gone; lost(the peer does not read); close; ",
        ),
        (
            "live private",
            "Pong",
            None,
            "gone; lost(the peer does not answer); close; ",
        ),
        ("live private", "Idle", None, "gone; lost(idle); close; "),
        (
            "live private",
            "closed",
            None,
            "gone; lost(reset by the peer); ; ",
        ),
        (
            "live private",
            "disconnect",
            None,
            "gone; lost(closed by this side); close; ",
        ),
        ("live private", "framing", None, "parting; leaves; ; Flush@107"),
        (
            "live incoming",
            "Stall",
            Some(true),
            "gone; lost(the peer does not read); close; ",
        ),
        (
            "live incoming",
            "Pong",
            None,
            "gone; lost(the peer does not answer); close; ",
        ),
        ("live incoming", "Idle", None, "gone; lost(idle); close; "),
        (
            "live incoming",
            "closed",
            None,
            "gone; lost(reset by the peer); ; ",
        ),
        (
            "live incoming",
            "disconnect",
            None,
            "gone; lost(closed by this side); close; ",
        ),
        ("live incoming", "framing", None, "parting; leaves; ; Flush@107"),
        ("lingering", "used", None, "live; reused; ; Idle@1000"),
        (
            "lingering",
            "Linger",
            Some(false),
            "gone; lost(released and not used again); close; ",
        ),
        ("lingering", "Linger", Some(true), "closing; leaves; ; Flush@170"),
        (
            "lingering",
            "Stall",
            Some(true),
            "gone; lost(the peer does not read); close; ",
        ),
        ("lingering", "Idle", None, "gone; lost(idle); close; "),
        ("lingering", "closed", None, "gone; lost(reset by the peer); ; "),
        (
            "lingering",
            "disconnect",
            None,
            "gone; lost(closed by this side); close; ",
        ),
        ("lingering", "framing", None, "parting; leaves; ; Flush@107"),
        (
            "parting",
            "Flush",
            Some(false),
            "gone; lost(framing lost: bad); close; ",
        ),
        ("parting", "Flush", Some(true), "closing; leaves; ; Flush@110"),
        ("parting", "closed", None, "gone; lost(framing lost: bad); ; "),
        (
            "parting",
            "disconnect",
            None,
            "gone; lost(framing lost: bad); close; ",
        ),
        (
            "closing",
            "Flush",
            None,
            "gone; lost(released and not used again); close; ",
        ),
        (
            "closing",
            "drained",
            None,
            "gone; lost(released and not used again); close; ",
        ),
        (
            "closing",
            "closed",
            None,
            "gone; lost(released and not used again); ; ",
        ),
        (
            "closing",
            "disconnect",
            None,
            "gone; lost(released and not used again); close; ",
        ),
    ];

    /// How each state stands when nothing happens to it.
    const STATES: &[(&str, &str)] = &[
        ("locating", "locating; -; ; "),
        ("connecting", "connecting; -; ; Connect@110"),
        ("handshaking", "handshaking; -; ; Unproven@160"),
        ("held", "held; -; ; Authorization@132"),
        ("held incoming", "held; -; ; Authorization@132"),
        ("unproven", "unproven; -; ; Unproven@160 Idle@1000"),
        ("live shared", "live; -; ; Idle@1000"),
        ("live private", "live; -; ; Idle@1000"),
        ("live incoming", "live; -; ; Idle@1000"),
        ("lingering", "lingering; -; ; Linger@160 Idle@1000"),
        ("parting", "parting; -; ; Flush@100"),
        ("closing", "closing; -; ; Flush@110"),
        ("gone", "gone; -; ; "),
    ];

    // rules: C6, C8, C10, C12, C17, C21, C25, C26, C28, C29, C32, R19, R20
    #[test]
    fn every_state_and_input() {
        let mut listed: BTreeMap<_, _> = BTreeMap::new();
        for (state, input, pending, expected) in TABLE {
            for with in [false, true]
                .into_iter()
                .filter(|with| pending.is_none_or(|only| only == *with))
            {
                assert!(listed.insert((*state, *input, with), *expected).is_none());
            }
        }
        for (state, still) in STATES {
            for (name, input) in inputs() {
                for pending in [false, true] {
                    let expected = listed.remove(&(*state, name, pending)).unwrap_or(still);
                    assert_eq!(
                        step(state, input.clone(), pending),
                        expected,
                        "{state}, {name}, pending {pending}"
                    );
                }
            }
        }
        assert!(listed.is_empty(), "{listed:?}");
    }

    // rules: C10
    #[test]
    fn traffic_moves_the_idle_deadline_and_zero_is_never() {
        let (mut machine, mut services) = in_state("live shared");
        machine.traffic(Time::from_secs(400));
        let (at, _) = services.timers.pop_due(Time::MAX).unwrap();
        assert_eq!(at, Time::from_secs(1000));
        services.now = at;
        assert_eq!(
            machine.step(Input::Timer(Timer::Idle), false, &mut services.cx()),
            None
        );
        let (at, _) = services.timers.pop_due(Time::MAX).unwrap();
        assert_eq!(at, Time::from_secs(1300));
        services.now = at;
        let outcome = machine.step(Input::Timer(Timer::Idle), false, &mut services.cx());
        assert_eq!(outcome, Some(Outcome::Gone(End::Lost(RemovalReason::Idle))));

        let (mut machine, mut services) = in_state("live shared");
        machine.set_idle(Duration::ZERO, &mut services.cx());
        assert_eq!(services.timers.len(), 0);
        machine.set_idle(Duration::from_secs(5), &mut services.cx());
        assert_eq!(services.timers.next().unwrap().0, Time::from_secs(105));
    }

    // rules: R19
    #[test]
    fn bytes_taken_move_the_stall_deadline_and_zero_is_never() {
        let stalled = Some(Outcome::Gone(End::Lost(RemovalReason::SlowReader)));
        let (mut machine, mut services) = in_state("live private");
        machine.set_idle(Duration::ZERO, &mut services.cx());
        let fires = |machine: &mut Lifetime, services: &mut Services, pending| {
            let (at, key) = services.timers.pop_due(Time::MAX).unwrap();
            assert_eq!(key, TimerKey::Connection(machine.conn, Timer::Stall));
            services.now = at;
            let outcome = machine.step(Input::Timer(Timer::Stall), pending, &mut services.cx());
            (at.as_micros() / 1_000_000, outcome)
        };
        machine.waits(&mut services.cx());
        // Taken and queued again: the time runs from the later.
        machine.progressed(Time::from_secs(101));
        services.now = Time::from_secs(117);
        machine.waits(&mut services.cx());
        assert_eq!(services.timers.len(), 1, "one timer, whatever is sent");
        assert_eq!(fires(&mut machine, &mut services, true), (130, None));
        machine.progressed(Time::from_secs(140));
        assert_eq!(fires(&mut machine, &mut services, true), (147, None));
        assert_eq!(fires(&mut machine, &mut services, true), (170, stalled));

        // Where nothing waits, no timer stays.
        let (mut machine, mut services) = in_state("live private");
        machine.set_idle(Duration::ZERO, &mut services.cx());
        machine.waits(&mut services.cx());
        assert_eq!(fires(&mut machine, &mut services, false), (130, None));
        assert_eq!(services.timers.len(), 0);

        let (mut machine, mut services) = in_state("live private");
        machine.set_idle(Duration::ZERO, &mut services.cx());
        services.config.write_timeout = Duration::ZERO;
        machine.waits(&mut services.cx());
        assert_eq!(services.timers.len(), 0);
    }

    // rules: C26, R19
    #[test]
    fn the_first_keep_alive_that_is_not_answered_counts() {
        let (mut machine, mut services) = in_state("live private");
        machine.await_pong(&mut services.cx());
        services.now = Time::from_secs(104);
        machine.await_pong(&mut services.cx());
        let key = TimerKey::Connection(machine.conn, Timer::Pong);
        let due = |services: &Services| {
            let mut timers = services.timers.clone();
            core::iter::from_fn(|| timers.pop_due(Time::MAX)).find(|(_, armed)| *armed == key)
        };
        assert_eq!(due(&services), Some((Time::from_secs(110), key)));
        machine.stop_pong(&mut services.cx());
        assert_eq!((due(&services), machine.awaits_pong()), (None, false));
        // It does not outlive the last user.
        let (mut machine, mut services) = in_state("live shared");
        machine.await_pong(&mut services.cx());
        machine.step(Input::Unused, false, &mut services.cx());
        assert!(!machine.awaits_pong());
    }

    #[test]
    fn a_report_before_the_action_was_taken_is_about_the_attempt_before() {
        let (mut machine, mut services) = in_state("locating");
        machine.step(Input::Target(address()), false, &mut services.cx());
        for late in [Input::Connected(Ok(())), Input::Closed(CloseReason::Reset)] {
            assert_eq!(machine.step(late, false, &mut services.cx()), None);
            assert_eq!(machine.fingerprint(services.now).state, "connecting");
        }
        assert!(matches!(services.out.pop(), Some(Action::Connect(_))));
        assert_eq!(
            machine.step(Input::Connected(Ok(())), false, &mut services.cx()),
            Some(Outcome::Ready)
        );
    }
}
