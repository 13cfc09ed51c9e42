//! A connection manager.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use crate::action::Transport;
use crate::connection::{Hop, ManagerKind};
use crate::endpoint::reach;
use crate::error::Misuse;
use crate::ids::{ListenerId, ManagerId};
use crate::stack::{Stack, record};

/// A connection manager: to listen with (rule C14).
#[derive(Debug)]
pub struct ManagerView<'a> {
    pub(in crate::stack) stack: &'a mut Stack,
    pub(in crate::stack) id: ManagerId,
}

impl ManagerView<'_> {
    /// Starts listening on an address; port 0 lets the system choose. [`Event::Listening`](crate::Event::Listening) or
    /// [`Event::ListeningEnded`](crate::Event::ListeningEnded) follows.
    ///
    /// # Errors
    /// A client manager, this manager listens on that address already, or the stack is draining.
    pub fn listen(&mut self, address: SocketAddr) -> Result<ListenerId, Misuse> {
        record!(
            self.stack,
            self.stack.now,
            Listen {
                manager: self.id,
                address
            }
        );
        self.stack.may_begin("listen")?;
        let id = self.id;
        self.stack.step(self.stack.now, |p| {
            let first = !p.low.connections.is_listening(id) && !p.low.connections.is_starting(id);
            let listener = p.low.connections.listen(&mut p.cx, id, address)?;
            if first {
                p.endpoints
                    .handle_listening(&mut p.cx, id, reach::Input::Starting);
            }
            Ok(listener)
        })
    }

    /// Stops listening on one address. Connections that were accepted there live on.
    ///
    /// # Errors
    /// It does not listen, or not for this manager.
    pub fn stop_listening(&mut self, listener: ListenerId) -> Result<(), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            StopListening {
                manager: self.id,
                listener
            }
        );
        let id = self.id;
        self.stack.step(self.stack.now, |p| {
            p.low.connections.stop_listening(&mut p.cx, id, listener)
        })
    }

    /// The size of new pools (C4); `usize::MAX` means no sharing.
    ///
    /// # Errors
    /// A client manager, or a size of 0.
    pub fn set_pool_size(&mut self, size: usize) -> Result<(), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            SetPoolSize {
                manager: self.id,
                size
            }
        );
        self.stack.connections.set_pool_size(self.id, size)
    }

    /// The size of one pool that exists (C4). Connections above it stay until they go by themselves.
    ///
    /// # Errors
    /// A client manager, a size of 0, or no such pool.
    pub fn set_pool_maximum(
        &mut self,
        host: &str,
        port: Option<u16>,
        transport: Transport,
        size: usize,
    ) -> Result<(), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            SetPoolMaximum {
                manager: self.id,
                host: host.into(),
                port,
                transport,
                size
            }
        );
        self.stack
            .connections
            .set_pool_maximum(self.id, &Hop::new(host, port, transport), size)
    }

    /// Sets how long its connections may be without traffic, incoming and outgoing ones apart (C10): zero for ever,
    /// `None` for what the stack has. It is for new connections; [`apply_idle`](Self::apply_idle) brings it to those that
    /// are there.
    ///
    /// # Errors
    /// Misuse: a client manager closes no connection for idleness (C11).
    pub fn set_idle(&mut self, incoming: Option<Duration>, outgoing: Option<Duration>) -> Result<(), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            SetManagerIdle {
                manager: self.id,
                incoming,
                outgoing
            }
        );
        self.stack
            .connections
            .set_idle_defaults(self.id, incoming, outgoing)
    }

    /// Gives every connection of the manager the idle time that its new ones get (C10), counted from its last traffic;
    /// what was set for one connection is overwritten.
    ///
    /// # Errors
    /// Misuse: a client manager closes no connection for idleness (C11).
    pub fn apply_idle(&mut self) -> Result<(), Misuse> {
        record!(self.stack, self.stack.now, ApplyIdle { manager: self.id });
        let id = self.id;
        self.stack.step(self.stack.now, |p| {
            p.low.connections.apply_idle_defaults(&mut p.cx, id)
        })
    }

    /// Where the manager listens.
    pub fn listeners(&self) -> Vec<(ListenerId, SocketAddr, Transport)> {
        self.stack.connections.listening_addresses(self.id).collect()
    }

    /// What kind of manager it is.
    pub fn kind(&self) -> ManagerKind {
        self.stack
            .connections
            .manager_kind(self.id)
            .unwrap_or(ManagerKind::Client)
    }
}
