//! The graceful end of a stack: no new calls, a wait for those there are, and then the end of everything (E13, X6).
//!
//! ```text
//!            drain              no session left,              no endpoint left             nothing left to send,
//!   Running -------> Waiting -- or patience over --> Ending ------------------> Flushing -- or patience over --> Running
//! ```
//!
//! What ends very many endpoints or connections does so in slices: between two of them the stack can be told of the
//! world.

use alloc::vec::Vec;
use core::time::Duration;

use super::{Stack, record};
use crate::event::{Completion, RemovalReason};
use crate::exchange::SLICE;
use crate::ids::{EndpointId, OperationId};
use crate::time::Time;
use crate::timers::{TimerId, TimerKey};

/// How long bytes that wait for a socket hold up the end.
const FLUSH: Duration = Duration::from_secs(2);

/// A stack that is ending.
#[derive(Clone, Debug)]
pub(super) struct Drain {
    /// The commands that wait for it.
    operations: Vec<OperationId>,
    stage: Stage,
}

#[derive(Clone, Debug)]
enum Stage {
    /// Sessions may come to their own end until the timer fires.
    Waiting(TimerId),
    /// These endpoints are still to be told, the last one first. The timer is that of the next slice.
    Ending(Vec<EndpointId>, Option<TimerId>),
    /// All endpoints are gone. The timer is that of the next slice of connections, or the end of the wait for bytes.
    Flushing(TimerId),
}

impl Stack {
    /// Ends everything gracefully, as a host does that is to go down: from now on an INVITE outside dialogs is answered
    /// 480, and the application can make no session and no endpoint, and not listen anew. What there is goes on, refresh
    /// and messages too, until no session is left or `patience` is over. Then all sessions that are left and all
    /// endpoints are ended as by [`terminate`](Self::terminate), listening ends, and the connections are closed; the
    /// operation completes when nothing is left. A further call waits for the same end; a shorter patience counts.
    ///
    /// After it the stack is as it was before its first endpoint.
    pub fn drain(&mut self, now: Time, patience: Duration) -> OperationId {
        record!(self, now, Drain { patience });
        self.advance(now);
        let operation = self.out.start(&mut self.ids, None);
        let deadline = self.now + patience;
        match &mut self.drain {
            Some(drain) => {
                drain.operations.push(operation);
                if let Stage::Waiting(timer) = &mut drain.stage
                    && deadline < timer.at()
                {
                    self.timers.stop(*timer);
                    *timer = self.timers.set(deadline, TimerKey::Drain);
                }
            }
            None => {
                self.sessions.close(true);
                let timer = self.timers.set(deadline, TimerKey::Drain);
                self.drain = Some(Drain {
                    operations: alloc::vec![operation],
                    stage: Stage::Waiting(timer),
                });
            }
        }
        self.go_on_draining(false);
        operation
    }

    /// Whether [`drain`](Self::drain) is under way.
    pub const fn is_draining(&self) -> bool {
        self.drain.is_some()
    }

    /// Takes the next steps to the end of the stack, as far as they can be taken; `fired` says that the timer has.
    pub(super) fn go_on_draining(&mut self, fired: bool) {
        // Out of the way while it works: the steps that it takes do not come here again.
        let Some(Drain { operations, stage }) = self.drain.take() else {
            return;
        };
        let stage = match stage {
            Stage::Waiting(timer) if fired || self.sessions.len() == 0 => {
                self.timers.stop(timer);
                self.step(self.now, |p| p.low.connections.stop_all_listening(&mut p.cx));
                let mut left = self.endpoints.all();
                left.reverse();
                self.end_some(left)
            }
            Stage::Ending(left, timer) if fired || timer.is_none() => self.end_some(left),
            Stage::Flushing(timer) if fired || self.connections.queued_bytes() == 0 => {
                self.timers.stop(timer);
                self.close_some()
            }
            waits @ (Stage::Waiting(_) | Stage::Ending(..) | Stage::Flushing(_)) => Some(waits),
        };
        match stage {
            Some(stage) => self.drain = Some(Drain { operations, stage }),
            None => {
                self.sessions.close(false);
                for operation in operations {
                    self.out.complete(operation, Ok(Completion::Done));
                }
            }
        }
    }

    /// A slice of the endpoints; after the last one, when all of them are gone, the wait for bytes.
    fn end_some(&mut self, mut left: Vec<EndpointId>) -> Option<Stage> {
        for id in left.split_off(left.len().saturating_sub(SLICE)).into_iter().rev() {
            self.step(self.now, |p| p.end_unasked(id));
        }
        if !left.is_empty() {
            let timer = self.timers.set(self.now, TimerKey::Drain);
            return Some(Stage::Ending(left, Some(timer)));
        }
        if self.endpoints.len() > 0 {
            return Some(Stage::Ending(left, None));
        }
        if self.connections.queued_bytes() > 0 {
            return Some(Stage::Flushing(
                self.timers.set(self.now + FLUSH, TimerKey::Drain),
            ));
        }
        self.close_some()
    }

    /// A slice of the connections; `None` after the last one.
    fn close_some(&mut self) -> Option<Stage> {
        for conn in self.connections.first(SLICE) {
            self.step(self.now, |p| {
                p.low
                    .connections
                    .disconnect(&mut p.cx, conn, RemovalReason::Local);
            });
        }
        (self.connections.connections() > 0)
            .then(|| Stage::Flushing(self.timers.set(self.now, TimerKey::Drain)))
    }
}
