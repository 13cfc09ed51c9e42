#![no_std]
//! A SIP endpoint stack as pure state machines: bytes, time and commands go in, actions and events come out.
//!
//! [`Stack`] owns everything: connection managers, endpoints, registrations, sessions, subscriptions, timers. It has no socket, clock,
//! thread or entropy of its own; what it needs of the world it asks for with an [`Action`], and what the world did it
//! is told with a `handle_*` call.
//!
//! # The contract
//!
//! | you call | when | what can follow from [`poll_action`](Stack::poll_action) |
//! |---|---|---|
//! | [`handle_connected`](Stack::handle_connected) | an [`Action::Connect`] succeeded, TLS included; a TLS handshake of an accepted connection is done | `Transmit` of what waited, `Event::ConnectionAdded`; `Close` where the certificate does not fit; `Reading` and `Event::AuthorizationRequested` where the application decides |
//! | [`handle_closed`](Stack::handle_closed) | a connection could not be made, or is gone | `Connect` to the next address, events, completions |
//! | [`handle_accepted`](Stack::handle_accepted) | a listener accepted a connection | `Event::ConnectionAdded`, or the same question; `Close` above a limit |
//! | [`handle_bytes`](Stack::handle_bytes) | bytes arrived, in pieces of any size | events, `Transmit` of answers, `Close` where the framing is lost |
//! | [`handle_transmitted`](Stack::handle_transmitted) | the socket took bytes of [`transmit`](Stack::transmit) | completions, `Close` after the last bytes |
//! | [`handle_listening`](Stack::handle_listening), [`handle_listener_lost`](Stack::handle_listener_lost) | an [`Action::Listen`] succeeded, failed, or ended | events |
//! | [`handle_resolved`](Stack::handle_resolved) | an [`Action::Resolve`] was answered | `Connect`, `Resolve`, completions |
//! | [`handle_authenticated`](Stack::handle_authenticated) | an [`Action::Authenticate`] was answered | `Transmit` of the request with its token, completions |
//! | [`handle_timeout`](Stack::handle_timeout) | the deadline of [`poll_timeout`](Stack::poll_timeout) is here | anything |
//! | a command of a view | the application wants something | `Connect`, `Resolve`, `Transmit`, events, and one `Event::Completed` for each operation |
//!
//! 1. Any call in any order is legal. Who drains late makes things late, never wrong.
//! 2. Before the deadline `handle_timeout` does nothing; at it, it makes progress; afterwards the next deadline is later,
//!    or actions are queued, or more is left of what concerns very many: then it is now, and each call does a slice.
//! 3. Any re-chunking of received bytes at one time gives the same actions.
//! 4. The same seed and inputs give byte-identical actions and bytes to send.
//! 5. When nothing is alive nothing is held: [`Stack::census`].
//! 6. Every bound is in [`Limits`].
//!
//! A command that the caller should not have given returns [`Misuse`] at once and changes nothing; everything else is
//! an event later. What the network does can never make a call fail, and nothing panics on any input.
//!
//! # A loop
//!
//! The README shows a whole loop without TLS in thirty lines. Its shape is always the same: wait for sockets until the
//! deadline, make one `handle_*` call, then take every action:
//!
//! ```
//! # use sansip::*;
//! # use sansip::security::{KerberosFailure, KerberosFailureKind};
//! fn take(stack: &mut Stack, now: Time, bytes: &[u8], conn: ConnId) -> Vec<Event> {
//!     let mut events = Vec::new();
//!     stack.handle_bytes(now, conn, bytes);
//!     while let Some(action) = stack.poll_action() {
//!         match action {
//!             Action::Event(event) => events.push(event),
//!             Action::Connect(_) | Action::Close(_) => { /* sockets */ }
//!             Action::Transmit(conn) => for _slice in stack.transmit(conn) { /* a vectored write */ }
//!             Action::Reading(_, _) => { /* (de)register interest in input */ }
//!             Action::Listen { .. } | Action::StopListening(_) => { /* listeners */ }
//!             Action::Resolve { query, .. } => stack.handle_resolved(now, query, Err(ResolveError::NoResolver)),
//!             Action::Authenticate(wanted) => {
//!                 let failure = KerberosFailure::new(KerberosFailureKind::Unsupported);
//!                 stack.handle_authenticated(now, wanted.endpoint, wanted.handshake, Err(failure));
//!             }
//!         }
//!     }
//!     events
//! }
//! # let mut stack = Stack::new(Config::default(), [0; 32], Time::ZERO, UnixTime(0));
//! # assert!(stack.poll_action().is_none());
//! ```
//!
//! A request whose event was taken and that is neither answered nor held by the next `poll_action` is answered 200.
//!
//! # Where TLS goes
//!
//! Below the stack: an adapter puts it between socket and `handle_bytes`. It proves the chain of the peer's certificate,
//! its validity in time and its revocation, and reports names and usages as a [`PeerCertificate`]; the stack matches
//! them with the name that was asked for, the allow list and the required usages, so that this is decided in one place.
//! An outgoing TLS connection that is reported without a certificate is refused.
//!
//! # Who may talk to us
//!
//! Three gates stand behind the proof of a chain, each a setting of the connection manager: [`MutualTls`] is the list of names
//! that may connect over TLS, [`ManagerConfig::required_key_usages`] what every certificate must be for, and with
//! [`ManagerConfig::authorizes`] the application itself decides on each connection, from both sides, over TCP too. Until it
//! has, nothing flows: the stack asks not to read, keeps what was read already up to [`Limits::unauthorized`], and lets
//! requests wait. An application that says nothing for [`Config::authorization_timeout`] has denied.
//!
//! # What is promised, and what can be set
//!
//! [`rules`] has every rule that a stack keeps, with the tests that prove it; [`configuration`] every setting and limit,
//! with its default and what happens at it.
//!
//! # What to watch
//!
//! [`Stack::counters`] says what the stack has done, exactly and at any time: [`Counters`]. [`Stack::census`] says what it
//! holds. What is alive by the counters (`transactions.active()`, `connections.active()`, `sessions.active()`) is what the
//! census finds. Whose registration ends reads why from its events: [`Event::Registration`] and [`Event::Outage`] name the
//! connection, and [`Event::ConnectionRemoved`] why that is gone.
//!
//! # When a connection dies without a word
//!
//! No reset, no end, and the bytes vanish. What finds it, the first that does: a keep-alive without the answer that the
//! server has promised; an OPTIONS without an answer ([`SipEndpointConfig::probe`]); any request without an answer, where
//! nothing else has come since it was sent; and bytes that the peer does not take. Then it is closed, and an endpoint that
//! was registered over it registers again over another. [`Config::recovery_bound`] says within what time; to shorten it, let
//! the server say a shorter Flow-Timer, or set a probe. A host that knows that its network has changed, or that it has
//! slept, need not wait for any of that: [`Stack::network_changed`].
//!
//! # Threads and wake-ups
//!
//! A stack is one owner's: every call takes `&mut self`, there are no locks and no callbacks. A host with several cores
//! runs one stack on each and shares nothing. Commands from other threads are brought to the loop's thread by the
//! adapter; after any call, `poll_timeout` says *now* while there is something to take.
//!
//! # Record and replay
//!
//! With the feature `record` a stack that is made by `Stack::recorded` writes down its whole input: every call that can
//! change it, with its time, and short digests of what came of it. `record::Replay` makes the same calls on a new stack and
//! says where that did anything else. A recording is bounded and has no password in it, but all that was said: it is a
//! secret file. The adapters write it to a file of mode 0600. Without the feature none of this is compiled, and with it
//! nothing else changes.

extern crate alloc;
#[cfg(test)]
extern crate std;

#[cfg(feature = "record")]
pub mod record;

mod stack;

mod endpoint;

mod notifier;
mod publication;
mod registration;
mod session;
mod subscription;

mod dialog;

mod exchange;

mod auth;

mod transaction;

mod connection;

mod locate;

pub mod security;

pub mod wire;

mod action;
#[cfg(any(test, feature = "cells"))]
pub mod cells;
mod config;
mod counters;
mod cx;
mod diagnosis;
mod entropy;
mod error;
mod event;
mod ids;
#[cfg(test)]
mod laws;
mod map;
mod recovery;
mod time;
mod timers;

#[doc = include_str!("rules.md")]
pub mod rules {}

#[doc = include_str!("configuration.md")]
pub mod configuration {}

pub use action::{
    Action, Answer, Authenticate, CloseReason, Connect, Established, ListenError, NaptrRecord,
    PeerCertificate, Question, ResolveError, SrvRecord, TlsFailure, TlsFailureKind, Transport,
};
pub use auth::{
    AllowedProtocols, AssociationPolicy, AuthenticationFailure, AuthenticationFailureReason,
    AuthenticationProtocol, OfferedProtocol,
};
pub use config::{Config, Limits, Throttle};
pub use connection::{ConnectionInfo, LostAddresses, ManagerConfig, ManagerKind, MutualTls};
pub use counters::Counters;
pub use diagnosis::{Diagnostics, DiagnosticsFrom, Explanation};
pub use endpoint::{
    PeerToPeerConfig, Profile, Proxy, ReliableResponses, RouteRecovery, SendOptions, Server,
    SipEndpointConfig,
};
pub use error::{Misuse, ParseError, Place};
pub use event::{
    Completion, ConnectionFailure, Content, Event, ExtraHeaders, OperationError, OperationFailure,
    PeerToPeerReason, PeerToPeerState, PublicationReason, PublicationState, RedirectAction, ReferralState,
    RegistrationReason, RegistrationState, RemovalReason, RouteState, SessionReason, SessionState,
    SubscriptionReason, SubscriptionState, WatcherReason,
};
pub use exchange::NextHop;
pub use ids::{
    ConnId, EndpointId, HandshakeId, IncomingId, ListenerId, ManagerId, OperationId, PublicationId, QueryId,
    ReferralId, SessionId, SubscriptionId, WatcherId,
};
pub use notifier::EndOfSubscription;
pub use publication::PublishOptions;
pub use recovery::DeadFlow;
pub use session::EarlyDialog;
pub use stack::{
    Census, EndpointView, Fingerprint, IncomingView, ManagerView, PublicationView, Reason, SessionView,
    Stack, SubscriptionView, WatcherView,
};
pub use subscription::{EventList, SubscribeOptions};
pub use time::{Time, UnixTime};
