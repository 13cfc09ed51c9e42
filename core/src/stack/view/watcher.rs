//! A subscription of somebody to a state of ours.

use core::time::Duration;

use super::{check_cargo, misuse, start};
use crate::error::Misuse;
use crate::event::{Content, OperationError, OperationFailure};
use crate::ids::{EndpointId, OperationId, WatcherId};
use crate::notifier::EndOfSubscription;
use crate::stack::parts::below;
use crate::stack::{Stack, record};
use crate::wire::{StatusCode, write};

/// A subscription of somebody to a state of ours (B5).
#[derive(Debug)]
pub struct WatcherView<'a> {
    pub(in crate::stack) stack: &'a mut Stack,
    pub(in crate::stack) id: WatcherId,
}

impl WatcherView<'_> {
    /// Accepts it, for as long as was asked for, or `longest` where that is less, and notifies of the state at once. One
    /// that asks once (Expires 0) is over with that.
    ///
    /// # Errors
    /// It was answered; a malformed content type.
    pub fn accept(&mut self, longest: Option<Duration>, content: Option<Content>) -> Result<(), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            AcceptWatcher {
                watcher: self.id,
                longest,
                content: content.clone()
            }
        );
        check_cargo(content.as_ref(), &[])?;
        self.take("accept", longest, content, false)
    }

    /// Accepts it, but says nothing yet: the subscriber is told that it is pending until [`notify`](Self::notify).
    ///
    /// # Errors
    /// It was answered.
    pub fn accept_pending(&mut self, longest: Option<Duration>) -> Result<(), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            AcceptWatcherPending {
                watcher: self.id,
                longest
            }
        );
        self.take("accept_pending", longest, None, true)
    }

    fn take(
        &mut self,
        operation: &'static str,
        longest: Option<Duration>,
        content: Option<Content>,
        pending: bool,
    ) -> Result<(), Misuse> {
        self.stack.watchers.may(self.id, operation, false)?;
        let id = self.id;
        self.stack.step(self.stack.now, |p| {
            p.watchers
                .accept(&mut p.cx, below!(p), id, longest, (content, pending));
        });
        Ok(())
    }

    /// Refuses it with 400 to 699; without `reason` the status has its usual words.
    ///
    /// # Errors
    /// It was answered; a status outside the range; a malformed reason.
    pub fn reject(&mut self, status: StatusCode, reason: Option<&str>) -> Result<(), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            RejectWatcher {
                watcher: self.id,
                status,
                reason: reason.map(Into::into)
            }
        );
        if !(400..=699).contains(&status.code()) {
            return Err(Misuse::argument("status", "400 to 699"));
        }
        if let Some(reason) = reason {
            write::check_reason(reason).map_err(misuse("reason"))?;
        }
        self.stack.watchers.may(self.id, "reject", false)?;
        let id = self.id;
        self.stack.step(self.stack.now, |p| {
            p.watchers.reject(&mut p.cx, below!(p), id, status, reason);
        });
        Ok(())
    }

    /// Notifies of another state. It completes with the answer.
    ///
    /// # Errors
    /// It was not accepted, or was ended; a malformed content type; too many are under way.
    pub fn notify(&mut self, content: Option<Content>) -> Result<OperationId, Misuse> {
        record!(
            self.stack,
            self.stack.now,
            NotifyWatcher {
                watcher: self.id,
                content: content.clone()
            }
        );
        check_cargo(content.as_ref(), &[])?;
        self.stack.watchers.may(self.id, "notify", true)?;
        if self.stack.watchers.pending(self.id) >= self.stack.config.limits.pending_per_session {
            self.stack.counters.refusals.pending_per_session += 1;
            return Err(Misuse::Limit("requests under way in one session"));
        }
        let (operation, id) = (start(self.stack, self.endpoint())?, self.id);
        self.stack.step(self.stack.now, |p| {
            p.watchers.notify(&mut p.cx, below!(p), id, operation, content);
        });
        Ok(operation)
    }

    /// Ends it: with a last NOTIFY, which says why, and has a last state where one is given. It completes when that was
    /// answered, or was not in time.
    ///
    /// # Errors
    /// It was not answered yet: refuse it; it was ended before; a malformed content type.
    pub fn terminate(
        &mut self,
        end: EndOfSubscription,
        content: Option<Content>,
    ) -> Result<OperationId, Misuse> {
        record!(
            self.stack,
            self.stack.now,
            TerminateWatcher {
                watcher: self.id,
                end,
                content: content.clone()
            }
        );
        check_cargo(content.as_ref(), &[])?;
        self.stack.watchers.may(self.id, "terminate", true)?;
        let (operation, id) = (start(self.stack, self.endpoint())?, self.id);
        self.stack.step(self.stack.now, |p| {
            if p.watchers.contains(id) {
                p.watchers
                    .terminate(&mut p.cx, below!(p), id, operation, Some((end, content)));
            } else {
                let ended = OperationError::OperationFailure(OperationFailure::SessionTerminated);
                p.cx.out.complete(operation, Err(ended));
            }
        });
        Ok(operation)
    }

    /// Whose state it is.
    pub fn endpoint(&self) -> EndpointId {
        self.stack.watchers.endpoint(self.id).unwrap_or(EndpointId::FIRST)
    }

    /// How long it lasts yet; zero before it is accepted and when it is over.
    pub fn left(&self) -> Duration {
        self.stack
            .watchers
            .left(self.id, self.stack.now)
            .unwrap_or_default()
    }
}
