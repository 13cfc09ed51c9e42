//! Connections: who has which, how they come and go, and whom they trust.
//!
//! - [`lifetime`]: the machine of one connection, to be read first;
//! - [`pool`]: which connection a request gets; [`listener`]: one listening address; [`manager`]: kinds and settings;
//! - [`trust`]: whose certificate is good for whom; [`authorize`]: what the application says; [`queue`]: bytes that wait to be sent;
//! - [`table`]: all of them, and what the layers above want; [`world`]: what the embedder reports;
//! - [`watch`]: those that are idle, dead, or of another network; [`settings`]: what managers are told while running.
//!
//! What the layers above have to know is queued as [`Indication`]s; whoever calls in here takes them afterwards with
//! [`Connections::next_indication`], in order, before the call of the embedder ends.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use crate::action::{ListenError, PeerCertificate, Transport};
use crate::event::{OperationError, RemovalReason};
use crate::ids::{ConnId, ListenerId, ManagerId};
use crate::wire::frame::FrameError;

mod authorize;
#[cfg(test)]
pub(crate) mod laws;
mod lifetime;
mod listener;
mod manager;
mod pool;
mod queue;
mod settings;
mod table;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod trust;
mod watch;
mod world;

pub use manager::{ManagerConfig, ManagerKind, MutualTls};

pub(crate) use crate::locate::Hop;
pub(crate) use lifetime::Timer;
pub(crate) use queue::Sent;
pub(crate) use table::{Connections, Fingerprint};
#[cfg(any(test, feature = "cells"))]
pub(crate) use {lifetime::cells::MACHINE as LIFETIME, listener::cells::MACHINE as LISTENER};

/// One user's hold on a connection: it has to be given back with [`Connections::release`], also when the connection
/// is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a lease that is dropped keeps its connection for ever"]
pub(crate) struct Lease {
    conn: ConnId,
}

impl Lease {
    /// The connection that is held.
    pub(crate) const fn conn(&self) -> ConnId {
        self.conn
    }
}

/// What the layers above have to know.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Indication {
    /// It can be used; both its ends are known.
    Ready(ConnId),
    /// It never became ready: no address of its hop did (C25). Its leases are void.
    Failed { conn: ConnId, error: OperationError },
    /// It was ready and is gone, `taken` bytes of its queue having left. Its leases are void.
    Lost {
        conn: ConnId,
        reason: RemovalReason,
        taken: u64,
        /// Of an outgoing one, where it went.
        target: Option<(Hop, SocketAddr)>,
    },
    /// A message, whole, in order.
    Message { conn: ConnId, bytes: Bytes },
    /// What follows cannot be cut into messages (C29). Until this call of the embedder ends, a last answer may be
    /// sent; then the connection is closed, and [`Self::Lost`] follows.
    BadFraming { conn: ConnId, error: FrameError },
    /// The peer keeps the connection alive; it has been answered (C26).
    Ping(ConnId),
    /// The peer answered a keep-alive that was sent with [`Connections::send_ping`].
    Pong(ConnId),
    /// A listener has its address (C14).
    Listening {
        listener: ListenerId,
        manager: ManagerId,
    },
    /// A listener is no more: by command where there is no error.
    NotListening {
        listener: ListenerId,
        manager: ManagerId,
        error: Option<ListenError>,
    },
}

/// Why bytes could not be queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendError {
    /// There is no such connection, or it takes nothing any more.
    Gone,
    /// It is not ready yet.
    NotReady,
    /// Too much is queued; the connection is closed (C30).
    Full,
}

/// Which local addresses a host has lost, with [`Stack::network_changed`](crate::Stack::network_changed) (R20).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum LostAddresses {
    /// Every one, as far as it is known: the host has slept, or what has changed is not known.
    All,
    /// These. An empty list is good, too: the host has got an address more.
    These(Vec<IpAddr>),
}

impl LostAddresses {
    fn contains(&self, address: IpAddr) -> bool {
        match self {
            Self::All => true,
            Self::These(addresses) => addresses.contains(&address),
        }
    }
}

/// What is known of a connection, looked at where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionInfo<'a> {
    /// Its manager.
    pub manager: ManagerId,
    /// What it speaks.
    pub transport: Transport,
    /// This end; `None` until it is ready.
    pub local: Option<SocketAddr>,
    /// The other end, also while it is being connected to.
    pub remote: Option<SocketAddr>,
    /// Whether the peer made it.
    pub incoming: bool,
    /// Whether it can be used now.
    pub ready: bool,
    /// Whether it waits for the application's word (C21).
    pub held: bool,
    /// How many hold it (C9).
    pub users: usize,
    /// Bytes that wait to be sent.
    pub queued: usize,
    /// For an outgoing one, the host that was asked for, before any look-up (C3).
    pub host: Option<&'a str>,
    /// For an outgoing one, the port that was asked for, where one was.
    pub port: Option<u16>,
    /// Over TLS, the name that its certificate was accepted for: the host, or the entry of the allow list (C17, C18).
    pub matched: Option<&'a str>,
    /// Over TLS, what its certificate says.
    pub certificate: Option<&'a PeerCertificate>,
}
