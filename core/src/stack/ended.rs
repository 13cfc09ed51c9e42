//! A connection is gone, or could not be made: everyone who had it is told, in slices, since there may be very many.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::parts::{Parts, below};
use crate::connection::Hop;
use crate::event::{ConnectionFailure, OperationError, RemovalReason};
use crate::exchange::{Lost, SLICE};
use crate::ids::ConnId;
use crate::timers::{TimerId, TimerKey};

/// What everyone is told.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    conn: ConnId,
    error: OperationError,
    /// Of one that had been ready: how many bytes the embedder had taken, and where it went.
    lost: Option<(u64, Option<(Hop, SocketAddr)>)>,
}

/// The connections that some have still to be told of, and when to go on.
#[derive(Clone, Debug, Default)]
pub(super) struct Telling {
    queue: VecDeque<Ended>,
    resume: Option<TimerId>,
}

impl Telling {
    /// How many connections it is about.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }
}

impl Ended {
    /// One that never became ready.
    pub(super) const fn failed(conn: ConnId, error: OperationError) -> Self {
        Self {
            conn,
            error,
            lost: None,
        }
    }

    pub(super) fn lost(
        conn: ConnId,
        reason: &RemovalReason,
        taken: u64,
        target: Option<(Hop, SocketAddr)>,
    ) -> Self {
        let error = match reason {
            RemovalReason::Remote(reason) => {
                OperationError::ConnectionFailure(ConnectionFailure::Lost(reason.clone()))
            }
            RemovalReason::Untrusted(failure) => OperationError::Tls(failure.clone()),
            RemovalReason::Limit(what) => OperationError::ConnectionFailure(ConnectionFailure::Limit(what)),
            RemovalReason::Released
            | RemovalReason::Idle
            | RemovalReason::Unproven
            | RemovalReason::FramingLost(_)
            | RemovalReason::SlowReader
            | RemovalReason::Unanswered
            | RemovalReason::NetworkChanged
            | RemovalReason::Local
            | RemovalReason::Denied
            | RemovalReason::NotAuthorized => {
                OperationError::ConnectionFailure(ConnectionFailure::Closed(reason.clone()))
            }
        };
        Self {
            conn,
            error,
            lost: Some((taken, target)),
        }
    }
}

impl Parts<'_> {
    /// A connection is gone: those who had it hear of it, the first of many at once.
    pub(super) fn on_ended(&mut self, ended: Ended) {
        self.low.handle_reply_failed(&mut self.cx, ended.conn);
        if self.tell_some(&ended) {
            self.telling.queue.push_back(ended);
            self.tell_later();
        }
    }

    /// [`TimerKey::Ended`] has fired: the next of many.
    pub(super) fn tell_more(&mut self) {
        self.telling.resume = None;
        if let Some(ended) = self.telling.queue.pop_front()
            && self.tell_some(&ended)
        {
            // Others have their turn in between.
            self.telling.queue.push_back(ended);
        }
        if !self.telling.queue.is_empty() {
            self.tell_later();
        }
    }

    fn tell_later(&mut self) {
        let (now, timers) = (self.cx.now, &mut self.cx.timers);
        self.telling
            .resume
            .get_or_insert_with(|| timers.set(now, TimerKey::Ended));
    }

    /// Tells transactions, then exchanges, then endpoints; whether there are more of them.
    fn tell_some(&mut self, ended: &Ended) -> bool {
        let Ended { conn, error, lost } = ended;
        if let Some((taken, target)) = lost {
            let lost = Lost {
                error,
                taken: *taken,
                target: target.as_ref().map(|(hop, remote)| (hop, *remote)),
            };
            let mut indications = Vec::new();
            let more = self
                .low
                .transactions
                .handle_conn_lost(&mut self.cx, *conn, SLICE, &mut indications);
            for indication in indications {
                self.on_transaction(indication, Some(&lost));
            }
            if more {
                return true;
            }
            let up = &mut *self.from_exchanges;
            if self
                .exchanges
                .handle_lost(&mut self.cx, &mut self.low, *conn, &lost, up)
            {
                return true;
            }
        } else if self
            .exchanges
            .handle_failed(&mut self.cx, &mut self.low, *conn, error, self.from_exchanges)
        {
            return true;
        }
        self.endpoints
            .handle_lost(&mut self.cx, below!(self), *conn, error, SLICE)
    }
}
