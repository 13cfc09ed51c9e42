//! A driver for [`sansip`] on mio: TCP, TLS, DNS and timers, on one thread and without async.
//!
//! | for | use |
//! |---|---|
//! | a loop that is ours | [`Driver`] |
//! | a stack beside the application's own sockets, on its own `mio::Poll` | [`Adapter`] |
//! | commands from other threads | [`Handle`] |
//! | a loop around a [`Machine`] that serves, such as the front end of the test kit | [`Server`] |
//! | sockets, TLS and DNS for anything else | [`Net`] |
//!
//! Nothing here decides protocol. Work for one wake-up is bounded, and connections take turns at it: a peer that
//! never stops sending, or a burst of peers that connect, delays the others by one read or one accept.
//!
//! TLS 1.2 and 1.3 are spoken (rustls). Nothing ever blocks; names are resolved by a stub resolver on sockets of the same
//! loop.
//!
//! # Logs
//!
//! With the feature `tracing`, which is off by default, the adapter emits events with fields, for whatever subscriber the
//! application has: what the stack wants and tells, and what the sockets saw.
//!
#![doc = include_str!("../../net/src/trace.md")]

mod adapter;
mod bell;
mod clock;
mod dns;
mod driver;
mod event;
mod listen;
mod net;
mod serve;
mod settings;
mod socket;
mod tap;
mod waker;

pub use adapter::Adapter;
pub use clock::{seed, unix_time};
pub use driver::Driver;
pub use event::NetEvent;
pub use net::{ConnectTls, LookupId, Net, SocketId};
pub use serve::{Machine, MachineOutput, Server};
pub use settings::{DnsSettings, Settings, SocketSettings, TlsSettings};
pub use tap::{Tap, Tapped};
pub use waker::{Commands, Handle, HandleError, commands};
