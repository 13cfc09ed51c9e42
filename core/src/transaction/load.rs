//! What is open on each connection, for the connection throttle (C22), and the timers that stand still while a connection
//! is not read from.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::entry::{Machine, Transaction};
use super::{Timer, Transactions};
use crate::cx::Cx;
use crate::ids::{ConnId, TransactionId};
use crate::time::Time;
use crate::timers::{TimerId, TimerKey};

/// Transactions of one connection that have no final response yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Open {
    /// The peer owes it.
    pub(crate) ours: usize,
    /// We owe it.
    pub(crate) theirs: usize,
}

/// See the module. While the throttle is off nothing is counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Load {
    open: BTreeMap<ConnId, Open>,
    /// The connections that are not read from, and since when.
    still: BTreeMap<ConnId, Time>,
    changed: Vec<ConnId>,
}

impl Load {
    fn change(&mut self, conn: ConnId, is_client: bool, change: impl FnOnce(&mut usize)) {
        let open = self.open.entry(conn).or_default();
        change(if is_client {
            &mut open.ours
        } else {
            &mut open.theirs
        });
        if *open == Open::default() {
            self.open.remove(&conn);
        }
        self.changed.push(conn);
    }

    /// A transaction begins.
    pub(super) fn begin(&mut self, cx: &Cx<'_>, transaction: &mut Transaction) {
        if let Some(conn) = transaction.conn
            && cx.config.connection_throttle.is_some()
        {
            transaction.counted = true;
            self.change(conn, transaction.is_client(), |count| *count += 1);
        }
    }

    /// A transaction has its final response, or ends without one.
    pub(super) fn end(&mut self, transaction: &mut Transaction) {
        if let Some(conn) = transaction.conn
            && core::mem::replace(&mut transaction.counted, false)
        {
            // Of a connection that is gone nothing is counted any more.
            self.change(conn, transaction.is_client(), |count| {
                *count = count.saturating_sub(1)
            });
        }
    }

    /// Arms a timer; one that waits for what is not read stands still from the beginning.
    pub(super) fn arm(
        &self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        transaction: &Transaction,
        timer: Timer,
        after: core::time::Duration,
    ) -> TimerId {
        let key = TimerKey::Transaction(id, timer);
        let since = transaction.conn.and_then(|conn| self.still.get(&conn));
        match since.filter(|_| waits_for_input(transaction, timer)) {
            None => cx.timers.set(cx.now + after, key),
            // All that stands still moves on by the same time.
            Some(since) => {
                let armed = cx.timers.set(*since + after, key);
                cx.timers.stop(armed);
                armed
            }
        }
    }
}

/// Whether what the timer waits for comes from the peer: a response, or the ACK for a refused INVITE.
fn waits_for_input(transaction: &Transaction, timer: Timer) -> bool {
    match transaction.machine {
        Machine::ClientInvite(_) | Machine::Client(_) => true,
        Machine::ServerInvite(_) | Machine::Server(_) => timer == Timer::H,
    }
}

impl Transactions {
    /// What is open on a connection.
    pub(crate) fn open(&self, conn: ConnId) -> Open {
        self.load.open.get(&conn).copied().unwrap_or_default()
    }

    /// The connections on which something has begun or ended since the last call.
    pub(crate) fn take_changed(&mut self) -> Vec<ConnId> {
        core::mem::take(&mut self.load.changed)
    }

    /// A connection is not read from: what waits for its bytes stands still.
    pub(crate) fn stand_still(&mut self, cx: &mut Cx<'_>, conn: ConnId) {
        self.load.still.insert(conn, cx.now);
        for id in self.of_conn(conn).collect::<Vec<_>>() {
            let Some(transaction) = self.alive.get(&id) else {
                continue;
            };
            for (timer, armed) in &transaction.armed {
                if waits_for_input(transaction, *timer) {
                    cx.timers.stop(*armed);
                }
            }
        }
    }

    /// It is read from again: what stood still has the time left that it had.
    pub(crate) fn go_on(&mut self, cx: &mut Cx<'_>, conn: ConnId) {
        let Some(since) = self.load.still.remove(&conn) else {
            return;
        };
        let stood = cx.now.since(since);
        for id in self.of_conn(conn).collect::<Vec<_>>() {
            let Some(transaction) = self.alive.get_mut(&id) else {
                continue;
            };
            for place in 0..transaction.armed.len() {
                let Some((timer, armed)) = transaction.armed.get(place).copied() else {
                    continue;
                };
                if waits_for_input(transaction, timer)
                    && let Some(entry) = transaction.armed.get_mut(place)
                {
                    entry.1 = cx
                        .timers
                        .set(armed.at() + stood, TimerKey::Transaction(id, timer));
                }
            }
        }
    }

    /// A connection is gone, and with it what was counted of it.
    pub(super) fn forget_load(&mut self, conn: ConnId) {
        self.load.open.remove(&conn);
        self.load.still.remove(&conn);
    }
}
