//! What waits for a connection: to be made, to take a request more (C30), or to take the last byte of a request that
//! nothing answers (M3); and what becomes of it when the connection is made, or is gone.
//!
//! One connection may have very many who wait. They are looked after in slices, and when it is ready they do not overrun
//! its queue: while that is more than half full, they wait until the socket has taken enough.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::{Exchanges, Lost, Lower, State, Up};
use crate::cx::Cx;
use crate::event::{OperationError, RemovalReason};
use crate::ids::{ConnId, ExchangeId};
use crate::timers::{TimerId, TimerKey};

/// How many are looked after in one go.
pub(crate) const SLICE: usize = 256;

/// Who waits for one connection, in the order in which they began.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting {
    ids: BTreeSet<ExchangeId>,
    /// Once the connection is ready: when to go on with those that are left, or how long it may have no room for them.
    paced: Option<TimerId>,
}

impl Exchanges {
    /// Lets an exchange wait for its connection.
    pub(super) fn wait(&mut self, id: ExchangeId, conn: ConnId) {
        self.waiting.entry(conn).or_default().ids.insert(id);
    }

    /// It does not wait any more.
    pub(super) fn wait_no_more(&mut self, cx: &mut Cx<'_>, id: ExchangeId, conn: ConnId) {
        if let Some(waiting) = self.waiting.get_mut(&conn) {
            waiting.ids.remove(&id);
            if waiting.ids.is_empty() {
                self.nobody_waits(cx, conn);
            }
        }
    }

    fn nobody_waits(&mut self, cx: &mut Cx<'_>, conn: ConnId) {
        if let Some(timer) = self.waiting.remove(&conn).and_then(|waiting| waiting.paced) {
            cx.timers.stop(timer);
        }
    }

    fn pop_waiting(&mut self, conn: ConnId) -> Option<ExchangeId> {
        self.waiting.get_mut(&conn)?.ids.pop_first()
    }

    /// The connection can be used: writes what waited for it, in order, as much as it has room for.
    pub(crate) fn handle_ready(&mut self, cx: &mut Cx<'_>, low: &mut Lower<'_>, conn: ConnId, up: &mut Up) {
        let mut left = SLICE;
        while left > 0
            && low.connections.has_room(cx.config, conn)
            && let Some(id) = self.pop_waiting(conn)
        {
            left -= 1;
            self.send_or_hold(cx, low, id, conn, up);
        }
        let Some(waiting) = self.waiting.get_mut(&conn) else {
            return;
        };
        if waiting.ids.is_empty() {
            return self.nobody_waits(cx, conn);
        }
        if let Some(timer) = waiting.paced.take() {
            cx.timers.stop(timer);
        }
        // Of one that is gone by now, its loss is about to be told.
        if low.connections.is_ready(conn) {
            let at = if low.connections.has_room(cx.config, conn) {
                cx.now
            } else {
                cx.now + cx.config.t1.saturating_mul(64)
            };
            waiting.paced = Some(cx.timers.set(at, TimerKey::Waiting(conn)));
        }
    }

    /// [`TimerKey::Waiting`] has fired: there are more who wait, or the peer has not read half a queue in all that time.
    pub(crate) fn handle_waiting_timer(
        &mut self,
        cx: &mut Cx<'_>,
        low: &mut Lower<'_>,
        conn: ConnId,
        up: &mut Up,
    ) {
        let Some(waiting) = self.waiting.get_mut(&conn) else {
            return;
        };
        waiting.paced = None;
        if low.connections.has_room(cx.config, conn) {
            self.handle_ready(cx, low, conn, up);
        } else {
            low.connections.disconnect(cx, conn, RemovalReason::SlowReader);
        }
    }

    /// The connection could not be made, with every target tried. Whether there are more who wait for it: then call again.
    pub(crate) fn handle_failed(
        &mut self,
        cx: &mut Cx<'_>,
        low: &mut Lower<'_>,
        conn: ConnId,
        error: &OperationError,
        up: &mut Up,
    ) -> bool {
        for _ in 0..SLICE {
            let Some(id) = self.pop_waiting(conn) else { break };
            if let Some(exchange) = self.table.get_mut(&id) {
                exchange.facts.conn = Some(conn);
            }
            self.finish(cx, low, id, Err(error.clone()), up);
        }
        self.is_waited_for(cx, conn)
    }

    /// The connection is gone; transactions on it are reported apart, before this. Whether there are more who had it: then
    /// call again.
    pub(crate) fn handle_lost(
        &mut self,
        cx: &mut Cx<'_>,
        low: &mut Lower<'_>,
        conn: ConnId,
        lost: &Lost<'_>,
        up: &mut Up,
    ) -> bool {
        let mut left = SLICE;
        if let Some(ids) = self.unanswered.get_mut(&conn) {
            let some: Vec<ExchangeId> = ids.drain(..left.min(ids.len())).collect();
            if ids.is_empty() {
                self.unanswered.remove(&conn);
            }
            left -= some.len();
            for id in some {
                let unsent = self.table.get(&id).is_some_and(
                    |exchange| matches!(exchange.state, State::Unanswered { place } if lost.taken <= place.start),
                );
                if unsent {
                    self.again_or_fail(cx, low, id, lost, up);
                } else {
                    self.finish(cx, low, id, Err(lost.error.clone()), up);
                }
            }
        }
        while left > 0
            && let Some(id) = self.pop_waiting(conn)
        {
            left -= 1;
            // No byte of it had left (C35).
            self.again_or_fail(cx, low, id, lost, up);
        }
        self.is_waited_for(cx, conn) || self.unanswered.contains_key(&conn)
    }

    fn is_waited_for(&mut self, cx: &mut Cx<'_>, conn: ConnId) -> bool {
        let is_waited_for = self
            .waiting
            .get(&conn)
            .is_some_and(|waiting| !waiting.ids.is_empty());
        if !is_waited_for {
            self.nobody_waits(cx, conn);
        }
        is_waited_for
    }

    /// The embedder has taken bytes of this connection.
    pub(crate) fn handle_taken(&mut self, cx: &mut Cx<'_>, low: &mut Lower<'_>, conn: ConnId, up: &mut Up) {
        if self.unanswered.contains_key(&conn) {
            let taken = low.connections.taken(conn).unwrap_or(u64::MAX);
            let ids = self.unanswered.remove(&conn).unwrap_or_default();
            let (done, rest): (Vec<_>, Vec<_>) = ids.into_iter().partition(|id| match self.table.get(id) {
                Some(exchange) => {
                    matches!(exchange.state, State::Unanswered { place } if place.end <= taken)
                }
                None => true,
            });
            if !rest.is_empty() {
                self.unanswered.insert(conn, rest);
            }
            for id in done {
                self.complete_unanswered(cx, low, id, up);
            }
        }
        // Those who wait for their slice have it at its deadline, which is now.
        let waits_for_room = |waiting: &Waiting| waiting.paced.is_some_and(|timer| timer.at() > cx.now);
        if self.waiting.get(&conn).is_some_and(waits_for_room) && low.connections.has_room(cx.config, conn) {
            self.handle_ready(cx, low, conn, up);
        }
    }
}
