//! Idle times of the connections of a manager (C10).

use core::time::Duration;

use super::{Stack, record};
use crate::error::Misuse;
use crate::stack::ManagerView;

impl ManagerView<'_> {
    /// How long incoming and outgoing connections that are made from now on may be without traffic (C10): zero for ever,
    /// `None` for the default of the stack. Those that are there keep what they have, until
    /// [`apply_idle`](Self::apply_idle).
    ///
    /// # Errors
    /// A client manager (C11).
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
            .set_manager_idle(self.id, incoming, outgoing)
    }

    /// Gives all connections of the manager the idle times that new ones get (C10), also those with an idle time of their
    /// own ([`Stack::set_idle`]). One that has been without traffic for longer is closed at once.
    ///
    /// # Errors
    /// A client manager (C11).
    pub fn apply_idle(&mut self) -> Result<(), Misuse> {
        record!(self.stack, self.stack.now, ApplyIdle { manager: self.id });
        let id = self.id;
        Stack::step(self.stack, self.stack.now, |p| {
            p.low.connections.apply_idle(&mut p.cx, id)
        })
    }
}
