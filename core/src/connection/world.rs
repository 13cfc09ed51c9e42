//! What the embedder reports of connections, listeners and names.

use alloc::string::ToString;
use core::net::SocketAddr;

use bytes::Bytes;

use super::lifetime::{Input, Lifetime, Timer};
use super::listener;
use super::table::{Connection, Connections, Ends};
use super::{Indication, SendError, trust};
use crate::action::{Action, CloseReason, Established, ListenError, TlsFailure, Transport};
use crate::counters::Label;
use crate::cx::Cx;
use crate::event::{Event, RemovalReason};
use crate::ids::{ConnId, ListenerId, QueryId};
use crate::locate::{Resolution, Told};
use crate::wire::frame::Frame;

impl Connections {
    /// An outgoing connection is up, or the handshake of an incoming one is done.
    pub(crate) fn handle_connected(&mut self, cx: &mut Cx<'_>, conn: ConnId, established: Established) {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        // Said twice, or late: what is known of its ends stays as it is.
        if !connection.lifetime.is_attempt() {
            return;
        }
        let Established { local, remote, peer } = established;
        let role = &connection.lifetime.role;
        let size = trust::check_size(peer.as_deref(), cx.config.limits.certificate_entries);
        cx.counters.refusals.certificate_entries += u64::from(size.is_err());
        let result = match (
            size,
            self.managers.get_mut(&connection.lifetime.manager),
            role.transport(),
        ) {
            (Err(failure), ..) => Err(failure),
            (Ok(()), None, _) | (Ok(()), _, Transport::Tcp) => Ok(None),
            (Ok(()), Some(manager), Transport::Tls) => match role.hop() {
                Some(hop) => manager.verify_server(hop.host(), peer.as_deref(), cx).map(Some),
                None => manager.admit(local.ip(), peer.as_deref()),
            },
        };
        let is_outgoing = role.hop().is_some();
        let checked: Result<(), TlsFailure> = match result {
            Ok(matched) => {
                // The address that was connected to stays its name, whatever a translator on the way makes of it.
                let remote = connection
                    .lifetime
                    .target()
                    .filter(|_| is_outgoing)
                    .unwrap_or(remote);
                connection.ends = Some(Ends {
                    local,
                    remote,
                    matched,
                    certificate: peer,
                });
                Ok(())
            }
            Err(failure) => Err(failure),
        };
        self.drive(cx, conn, Input::Connected(checked));
        if is_outgoing
            && let Some(connection) = self.connections.get_mut(&conn)
            && connection.lifetime.is_searching()
        {
            // The report was about an earlier attempt.
            connection.ends = None;
        }
    }

    /// A peer has connected to a listener.
    pub(crate) fn handle_accepted(
        &mut self,
        cx: &mut Cx<'_>,
        listener: ListenerId,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> ConnId {
        let conn: ConnId = cx.ids.next();
        let accepting = self.listeners.get(&listener);
        let manager = accepting.and_then(|found| Some((found, self.managers.get(&found.manager)?)));
        let is_full = self.connections.len() >= cx.config.limits.connections;
        let Some((accepting, manager)) = manager.filter(|_| !is_full) else {
            // C31, or the listener has been stopped in the meantime.
            cx.counters.refusals.connections += u64::from(is_full);
            cx.out.push(Action::Close(conn));
            return conn;
        };
        let terms = manager.terms(true, cx.config);
        let transport = accepting.transport;
        let (lifetime, outcome) = Lifetime::incoming(conn, accepting.manager, listener, transport, terms, cx);
        let ends = Ends {
            local,
            remote,
            matched: None,
            certificate: None,
        };
        self.connections
            .insert(conn, Connection::new(lifetime, Some(ends), cx));
        cx.counters.connections.incoming.started += 1;
        if let Some(outcome) = outcome {
            self.settle(cx, conn, outcome);
        }
        conn
    }

    /// Bytes arrived; what is in them is taken with [`take_frame`](Self::take_frame). What an embedder has read before it
    /// was told not to waits until the connection is allowed (C21).
    pub(crate) fn handle_bytes(&mut self, cx: &mut Cx<'_>, conn: ConnId, bytes: &[u8]) {
        let takes =
            |connection: &&mut Connection| connection.lifetime.is_readable() || connection.lifetime.is_held();
        let Some(connection) = self.connections.get_mut(&conn).filter(takes) else {
            return;
        };
        cx.counters.bytes_received += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        connection.heard = cx.now;
        connection.framer.push(bytes);
        let is_held = connection.lifetime.is_held();
        if is_held && connection.framer.buffered() > cx.config.limits.unauthorized {
            cx.counters.refusals.unauthorized += 1;
            let reason = RemovalReason::Limit("bytes before the connection is allowed");
            return self.drive(cx, conn, Input::Disconnect(reason));
        }
        self.hold_back(cx, conn);
    }

    /// The next thing in the bytes that have arrived; `false` where there is none. What it leads to is to be done before
    /// the next is taken: then it does not matter in how many pieces the bytes came (law 3 of the contract).
    pub(crate) fn take_frame(&mut self, cx: &mut Cx<'_>, conn: ConnId) -> bool {
        let readable =
            |connection: &&mut Connection| connection.lifetime.is_readable() && !connection.stopped;
        let Some(connection) = self.connections.get_mut(&conn).filter(readable) else {
            return false;
        };
        let Some(frame) = connection.framer.next() else {
            return false;
        };
        match frame {
            Frame::Message { bytes, .. } => {
                connection.lifetime.traffic(cx.now);
                self.up.push_back(Indication::Message { conn, bytes });
            }
            Frame::Crlf { .. } if connection.pinged => {
                connection.pinged = false;
                connection.lifetime.stop_pong(cx);
                connection.framer.crlf_was_pong();
                self.up.push_back(Indication::Pong(conn));
            }
            // Half of a keep-alive, or a leftover before a message (C29).
            Frame::Crlf { .. } => {}
            Frame::Ping { .. } => {
                match self.queue(cx, conn, Bytes::from_static(b"\r\n"), Label::KeepAlive) {
                    Ok(_) => self.up.push_back(Indication::Ping(conn)),
                    // The peer pings without reading the answers: it is gone now.
                    Err(SendError::Gone | SendError::NotReady | SendError::Full) => {}
                }
            }
            Frame::Error(error) => {
                let why = error.kind.to_string();
                self.up.push_back(Indication::BadFraming { conn, error });
                self.drive(cx, conn, Input::FramingLost(why));
            }
        }
        true
    }

    /// Bytes arrived, and all that is in them is taken.
    #[cfg(test)]
    pub(crate) fn receive(&mut self, cx: &mut Cx<'_>, conn: ConnId, bytes: &[u8]) {
        self.handle_bytes(cx, conn, bytes);
        while self.take_frame(cx, conn) {}
    }

    /// While the application lags behind, a connection that has brought more than was taken of it is not read from any
    /// further.
    pub(crate) fn hold_back(&mut self, cx: &mut Cx<'_>, conn: ConnId) {
        let holds_more =
            |connection: &&Connection| connection.lifetime.is_readable() && connection.framer.buffered() > 0;
        if let Some(connection) = self.connections.get(&conn).filter(holds_more)
            && let Some(paused) = &mut self.paused
            && paused.insert(conn)
            && !connection.stopped
        {
            cx.out.push(Action::Reading(conn, false));
        }
    }

    /// So many transactions are open on a connection, and of so many we owe the answer (C22). While enough wait for us, it
    /// is not read from; the others end only by what it brings. It returns whether that has changed, and to what.
    pub(crate) fn weigh(
        &mut self,
        cx: &mut Cx<'_>,
        conn: ConnId,
        open: usize,
        theirs: usize,
    ) -> Option<bool> {
        let marks = cx.config.connection_throttle?;
        let connection = self.connections.get_mut(&conn)?;
        let throttled = marks.is_on(connection.throttled, open);
        let stopped = throttled && marks.is_much(theirs);
        if core::mem::replace(&mut connection.throttled, throttled) != throttled {
            cx.out.event(Event::ConnectionThrottled { conn, throttled });
        }
        if core::mem::replace(&mut connection.stopped, stopped) == stopped {
            return None;
        }
        if !self.paused.as_ref().is_some_and(|paused| paused.contains(&conn)) {
            cx.out.push(Action::Reading(conn, !stopped));
        }
        if stopped {
            self.backlog.remove(&conn);
        } else {
            self.backlog.insert(conn);
        }
        Some(stopped)
    }

    /// Whether new requests over a connection fail (C22).
    pub(crate) fn is_throttled(&self, conn: ConnId) -> bool {
        self.connections
            .get(&conn)
            .is_some_and(|connection| connection.throttled)
    }

    /// Whether a connection is not read from because of its throttle.
    pub(crate) fn is_stopped(&self, conn: ConnId) -> bool {
        self.connections
            .get(&conn)
            .is_some_and(|connection| connection.stopped)
    }

    /// The next thing in what arrived on a connection while it was not read from; `false` where there is none.
    pub(crate) fn take_backlog(&mut self, cx: &mut Cx<'_>) -> bool {
        let Some(conn) = self.backlog.first().copied() else {
            return false;
        };
        if !self.take_frame(cx, conn) {
            self.backlog.remove(&conn);
        }
        true
    }

    /// The socket took so many of the bytes that wait.
    pub(crate) fn handle_transmitted(&mut self, cx: &mut Cx<'_>, conn: ConnId, bytes: usize) {
        let taken = self.took(cx, conn, bytes);
        cx.counters.bytes_sent += u64::try_from(taken).unwrap_or(u64::MAX);
        if taken > 0
            && self
                .connections
                .get(&conn)
                .is_some_and(|connection| connection.queue.is_empty())
        {
            self.drive(cx, conn, Input::Drained);
        }
    }

    /// A connection could not be made, or is gone.
    pub(crate) fn handle_closed(&mut self, cx: &mut Cx<'_>, conn: ConnId, reason: CloseReason) {
        self.drive(cx, conn, Input::Closed(reason));
    }

    /// A listener has its address, or cannot have it.
    pub(crate) fn handle_listening(
        &mut self,
        cx: &mut Cx<'_>,
        listener: ListenerId,
        result: Result<SocketAddr, ListenError>,
    ) {
        self.drive_listener(cx, listener, listener::Input::Started(result));
    }

    /// A listener does not accept any more.
    pub(crate) fn handle_listener_lost(&mut self, cx: &mut Cx<'_>, listener: ListenerId, error: ListenError) {
        self.drive_listener(cx, listener, listener::Input::Lost(error));
    }

    /// The domain name system answered.
    pub(crate) fn handle_resolved(&mut self, cx: &mut Cx<'_>, query: QueryId, resolution: Resolution) {
        let told = self.locator.handle_resolved(cx, query, resolution);
        self.tell(cx, told);
    }

    /// [`TimerKey::Resolve`](crate::timers::TimerKey::Resolve) fired.
    pub(crate) fn handle_resolve_timer(&mut self, cx: &mut Cx<'_>, query: QueryId) {
        let told = self.locator.handle_timer(cx, query);
        self.tell(cx, told);
    }

    fn tell(&mut self, cx: &mut Cx<'_>, told: Option<Told>) {
        let Some(Told {
            question,
            resolution,
            waiters,
            ..
        }) = told
        else {
            return;
        };
        for conn in waiters {
            let Some(connection) = self.connections.get_mut(&conn) else {
                continue;
            };
            if let Some((search, _)) = connection.lifetime.search() {
                search.learn(cx, &mut self.locator, &question, &resolution);
            }
            self.locate(cx, conn);
        }
    }

    /// [`TimerKey::Connection`](crate::timers::TimerKey::Connection) fired.
    pub(crate) fn handle_timer(&mut self, cx: &mut Cx<'_>, conn: ConnId, timer: Timer) {
        match timer {
            Timer::Pong => self.handle_pong_timer(cx, conn),
            Timer::Connect
            | Timer::Unproven
            | Timer::Linger
            | Timer::Idle
            | Timer::Flush
            | Timer::Stall
            | Timer::Authorization => self.drive(cx, conn, Input::Timer(timer)),
        }
    }

    // Reading.

    /// The application lags behind: each connection that brings something is not read from any further.
    pub(crate) fn pause_all(&mut self) {
        self.paused.get_or_insert_default();
    }

    /// The application has caught up.
    pub(crate) fn resume_all(&mut self, cx: &mut Cx<'_>) {
        for conn in self.paused.take().unwrap_or_default() {
            if !self.is_stopped(conn) {
                cx.out.push(Action::Reading(conn, true));
            }
        }
    }
}
