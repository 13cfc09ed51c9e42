//! What becomes of connections that nobody uses, that are dead, or whose network is gone (rules C10, C26, R19, R20).

use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::lifetime::{Input, Role, Timer};
use super::manager::CLOSES_NOTHING;
use super::table::{Connection, Connections};
use super::{LostAddresses, SendError};
use crate::counters::Label;
use crate::cx::Cx;
use crate::error::Misuse;
use crate::event::RemovalReason;
use crate::ids::ConnId;
use crate::time::Time;

impl Connections {
    /// Another idle time for one connection, zero for never (C10); misuse on those of a client manager (C11).
    pub(crate) fn set_idle(&mut self, cx: &mut Cx<'_>, conn: ConnId, after: Duration) -> Result<(), Misuse> {
        let connection = self
            .connections
            .get_mut(&conn)
            .ok_or(Misuse::Unknown("the connection"))?;
        if matches!(connection.lifetime.role, Role::Private(_)) {
            return Err(Misuse::Kind(CLOSES_NOTHING));
        }
        connection.lifetime.set_idle(after, cx);
        Ok(())
    }

    /// Queues a keep-alive (RFC 5626 section 3.5.1), which is no traffic (C10). Its answer is [`Indication::Pong`]. Where the
    /// peer has `promised` one, the connection is closed if it does not come in time (R19), and while it is waited for, no
    /// other keep-alive is needed.
    pub(crate) fn send_ping(
        &mut self,
        cx: &mut Cx<'_>,
        conn: ConnId,
        promised: bool,
    ) -> Result<(), SendError> {
        let waits = |connection: &Connection| connection.lifetime.awaits_pong();
        if promised && self.connections.get(&conn).is_some_and(waits) {
            return Ok(());
        }
        self.queue(cx, conn, Bytes::from_static(b"\r\n\r\n"), Label::KeepAlive)?;
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.pinged = true;
            if promised {
                connection.lifetime.await_pong(cx);
            }
        }
        Ok(())
    }

    /// A request that was queued at `asked` was never answered. That proves the connection dead (R19) where nothing at all
    /// has come over it since, and also where it was a question to the peer `itself`, which nobody behind it could have
    /// kept waiting. While it is not read from (C22, X5), its silence proves nothing.
    pub(crate) fn unanswered(&mut self, cx: &mut Cx<'_>, conn: ConnId, asked: Time, itself: bool) {
        let silent = |connection: &Connection| connection.heard <= asked;
        if !self.is_unread(conn) && (itself || self.connections.get(&conn).is_some_and(silent)) {
            self.disconnect(cx, conn, RemovalReason::Unanswered);
        }
    }

    /// The answer to a keep-alive has not come (R19). Where it may have, and is not read, it has as long again.
    pub(super) fn handle_pong_timer(&mut self, cx: &mut Cx<'_>, conn: ConnId) {
        if !self.is_unread(conn) {
            self.drive(cx, conn, Input::Timer(Timer::Pong));
        } else if let Some(connection) = self.connections.get_mut(&conn) {
            connection.lifetime.await_pong_again(cx);
        }
    }

    /// Whether a connection is not read from: it is throttled, or the application lags behind.
    fn is_unread(&self, conn: ConnId) -> bool {
        self.is_stopped(conn) || self.paused.as_ref().is_some_and(|paused| paused.contains(&conn))
    }

    /// The host is in another network (R20). Closes what has a lost local address, starts anew what is being connected, and
    /// forgets what was learned of names and addresses.
    pub(crate) fn network_changed(&mut self, cx: &mut Cx<'_>, lost: &LostAddresses) {
        self.locator.forget();
        let conns: Vec<ConnId> = self.connections.keys().copied().collect();
        for conn in conns {
            let Some(connection) = self.connections.get(&conn) else {
                continue;
            };
            match &connection.ends {
                Some(ends) if lost.contains(ends.local.ip()) => {
                    self.disconnect(cx, conn, RemovalReason::NetworkChanged);
                }
                Some(_) => {}
                None => self.drive(cx, conn, Input::NetworkChanged),
            }
        }
    }
}
