#![no_std]
//! A SIP endpoint stack as pure state machines. The crate documentation is being written in `stack`.

extern crate alloc;

mod stack;

mod endpoint;

mod registration;
mod session;

mod dialog;

mod exchange;

mod auth;

mod transaction;

mod connection;

mod locate;

pub mod security;

pub mod wire;

mod action;
mod config;
mod counters;
mod cx;
mod entropy;
mod error;
mod event;
mod ids;
mod map;
mod time;
mod timers;

pub use action::{
    Action, Answer, CloseReason, Connect, Established, ListenError, PeerCertificate, Question, ResolveError, SrvRecord,
    TlsFailure, TlsFailureKind, Transport,
};
pub use auth::{
    AllowedProtocols, AuthenticationFailure, AuthenticationFailureReason, AuthenticationProtocol, OfferedProtocol,
};
pub use config::{Config, Limits};
pub use counters::Counters;
pub use error::{Misuse, ParseError, Place};
pub use event::{
    Completion, ConnectionFailure, Content, Event, ExtraHeaders, OperationError, OperationFailure, PeerToPeerReason,
    PeerToPeerState, RegistrationReason, RegistrationState, RemovalReason, SessionReason, SessionState,
};
pub use connection::{ConnectionInfo, ManagerConfig, ManagerKind, MutualTls};
pub use endpoint::{PeerToPeerConfig, Profile, Proxy, SendOptions, Server, SipEndpointConfig};
pub use exchange::NextHop;
pub use ids::{
    ConnId, EndpointId, IncomingId, ListenerId, ManagerId, OperationId, QueryId, SessionId,
};
pub use stack::{Census, EndpointView, IncomingView, ManagerView, Reason, SessionView, Stack};
pub use time::{Time, UnixTime};
