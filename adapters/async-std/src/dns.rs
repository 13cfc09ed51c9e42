//! A question on its way to a name server.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use sansip_net::{Protocol, Transmit};

use crate::runtime::{Asking, ask};

/// See the module. It goes on until the resolver closes it: what arrived may not have been the answer.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) name: sansip_net::SocketId,
    pub(crate) server: SocketAddr,
    pub(crate) protocol: Protocol,
    asking: Asking,
    woken: bool,
}

impl Query {
    pub(crate) fn send(transmit: Transmit) -> Self {
        let Transmit {
            socket: name,
            server,
            protocol,
            bytes,
        } = transmit;
        Self {
            name,
            server,
            protocol,
            asking: ask(protocol, server, bytes),
            woken: true,
        }
    }

    pub(crate) const fn has_work(&self) -> bool {
        self.woken
    }

    pub(crate) const fn on_wake(&mut self) {
        self.woken = true;
    }

    /// What arrived; `None` while nothing has.
    ///
    /// # Errors
    /// The server cannot be reached, or has closed the connection.
    pub(crate) fn receive(&mut self, cx: &mut Context<'_>) -> io::Result<Option<Vec<u8>>> {
        match self.asking.poll(cx) {
            Poll::Pending => {
                self.woken = false;
                Ok(None)
            }
            Poll::Ready(Ok((question, bytes))) => {
                self.asking = question.ask_on();
                Ok(Some(bytes))
            }
            Poll::Ready(Err(error)) => {
                self.woken = false;
                Err(error)
            }
        }
    }
}
