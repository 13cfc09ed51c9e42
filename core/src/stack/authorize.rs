//! What the application says of connections: one by one (C21), and whom a manager lets in (C18).

use super::{ManagerView, Stack, record};
use crate::connection::MutualTls;
use crate::error::Misuse;
use crate::ids::ConnId;
use crate::time::Time;

impl Stack {
    /// Lets a connection be used that is held for the application (C21): what waits for it goes out, and it is read from. It
    /// does nothing if the connection is gone.
    ///
    /// # Errors
    /// It is not held: it was allowed before, or nobody had to be asked.
    pub fn allow_connection(&mut self, now: Time, conn: ConnId) -> Result<(), Misuse> {
        record!(self, now, AllowConnection { conn });
        self.step(now, |p| p.low.connections.authorize(&mut p.cx, conn, true))?;
        self.take_frames(now, conn);
        Ok(())
    }

    /// Closes a connection that is held for the application (C21); the requests that wait for it fail as
    /// [`ConnectionNotAuthorized`](crate::OperationFailure::ConnectionNotAuthorized). It does nothing if the connection is
    /// gone.
    ///
    /// # Errors
    /// It is not held.
    pub fn deny_connection(&mut self, now: Time, conn: ConnId) -> Result<(), Misuse> {
        record!(self, now, DenyConnection { conn });
        self.step(now, |p| p.low.connections.authorize(&mut p.cx, conn, false))
    }
}

impl ManagerView<'_> {
    /// Whether the application decides on each new connection ([`ManagerConfig::authorizes`](crate::ManagerConfig::authorizes),
    /// C21). Those that are held stay held.
    pub fn set_authorizes(&mut self, on: bool) {
        record!(self.stack, self.stack.now, SetAuthorizes { manager: self.id, on });
        self.stack.connections.set_authorizes(self.id, on);
    }

    /// Whom the manager lets connect over TLS from now on (C18); connections that are there go on. What it has learned by
    /// C19 it keeps from one list to the next.
    ///
    /// # Errors
    /// Not a server manager of TLS, or an entry that is no name, no `.domain` and no address.
    pub fn set_mutual_tls(&mut self, mutual_tls: MutualTls) -> Result<(), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            SetMutualTls {
                manager: self.id,
                mutual_tls: mutual_tls.clone()
            }
        );
        self.stack.connections.set_mutual_tls(self.id, mutual_tls)
    }
}
