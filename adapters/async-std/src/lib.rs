//! A driver for [`sansip`] on async-std: TCP, TLS, DNS and timers, with futures and streams for applications.
//!
//! | for | use |
//! |---|---|
//! | the task that owns a stack and its sockets | [`Driver`] |
//! | commands to it, from any task | [`Client`] |
//! | an endpoint: registration, messages, calls | [`Endpoint`], and [`EndpointEvents`] for what happens to it |
//! | a call | [`Session`], and [`SessionEvents`] for what happens to it |
//! | a subscription | [`Subscription`], and [`SubscriptionEvents`] for what happens to it |
//! | a subscription of somebody to a state of ours | [`Watcher`], and [`WatcherEvents`] for what happens to it |
//! | a published state | [`Publication`], and [`PublicationEvents`] for what happens to it |
//! | a request that arrived, and its answer | [`Incoming`] |
//!
//! A command is given when it is called, not when its future is first polled. Dropping a future lets go of the outcome
//! and changes nothing else: only [`Invitation::cancel`] cancels.
//!
//! Events wait at the handle that they are for, in a queue with a bound. A handle that is full holds up its endpoint and
//! nothing else: the driver goes on, and so do completions.
//!
//! Nothing here decides protocol. Work in one turn of the task is bounded, and connections take turns at it. TLS 1.2 and
//! 1.3 are spoken (rustls). Nothing ever blocks; names are resolved by a stub resolver on sockets of the same task.
//!
//! async-std is discontinued; the file `runtime.rs` alone names it, so that a successor has one file to replace.
//!
//! # Logs
//!
//! With the feature `tracing`, which is off by default, the adapter emits events with fields, for whatever subscriber the
//! application has: what the stack wants and tells, and what the sockets saw.
//!
#![doc = include_str!("../../net/src/trace.md")]

mod adapter;
mod clock;
mod desk;
mod dns;
mod driver;
mod endpoint;
mod event;
mod handle;
mod incoming;
mod listen;
mod net;
mod publication;
mod queue;
mod runtime;
mod session;
mod settings;
mod socket;
mod subscription;
mod waker;
mod watcher;

pub use clock::{seed, unix_time};
pub use driver::Driver;
pub use endpoint::{Endpoint, EndpointEvent, EndpointEvents};
pub use handle::{Client, Error, Events, Operation, Reply};
pub use incoming::Incoming;
pub use publication::{Publication, PublicationEvents};
pub use session::{Invitation, Session, SessionEvent, SessionEvents};
pub use settings::{DnsSettings, Settings, SocketSettings, TlsSettings};
pub use subscription::{Subscription, SubscriptionEvents};
pub use watcher::{Watcher, WatcherEvents};
