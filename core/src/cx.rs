//! What every machine is lent for one step.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use crate::action::Action;
#[cfg(any(test, feature = "cells"))]
use crate::cells::Cells;
use crate::config::Config;
use crate::counters::Counters;
use crate::entropy::Entropy;
use crate::event::{Completion, Event, OperationError};
use crate::ids::{EndpointId, HandshakeId, Ids, OperationId};
use crate::security::ContextAnswer;
use crate::time::{Time, UnixTime};
use crate::timers::Timers;
use crate::wire::write::Scratch;

/// The leaf services. It lends nothing of another machine.
pub(crate) struct Cx<'a> {
    pub(crate) now: Time,
    /// The same moment on the embedder's other clock.
    pub(crate) unix: UnixTime,
    pub(crate) timers: &'a mut Timers,
    pub(crate) ids: &'a mut Ids,
    pub(crate) entropy: &'a mut Entropy,
    pub(crate) out: &'a mut Outbox,
    pub(crate) config: &'a Config,
    pub(crate) counters: &'a mut Counters,
    #[cfg(any(test, feature = "cells"))]
    pub(crate) cells: &'a mut Cells,
    /// Where messages are written.
    pub(crate) scratch: &'a mut Scratch,
}

impl Cx<'_> {
    /// When to refresh what is kept for so long: at nine tenths of it, but 30 s before its end where it is shorter than
    /// five minutes and half of it where it is shorter than one; and up to a quarter sooner, so that a fleet spreads (R4).
    /// Never sooner than the floor (R21).
    pub(crate) fn refresh_after(&mut self, granted: Duration) -> Duration {
        let latest = self.config.latest_refresh(granted);
        let sooner = self.entropy.up_to(latest / 4);
        latest.saturating_sub(sooner).max(self.config.refresh_floor)
    }

    /// Between the least wait, doubled with every failure, and twice that; all within the stated bounds (R7).
    pub(crate) fn backoff(&mut self, failures: u32) -> Duration {
        let full = self
            .config
            .backoff_min
            .saturating_mul(2 << failures.min(16))
            .min(self.config.backoff_max);
        (full / 2 + self.entropy.up_to(full / 2)).max(self.config.backoff_min)
    }
}

/// Counts the cell that a step begins in; without the feature `cells` it is nothing.
macro_rules! visit {
    ($cx:ident, $state:expr, $input:expr) => {
        #[cfg(any(test, feature = "cells"))]
        $cx.cells.visit(&cells::MACHINE, &$state, &$input);
    };
}
pub(crate) use visit;

/// The one ordered queue of what the stack wants, and the operations whose completions are still to come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Action>,
    /// How many actions the embedder has taken.
    taken: u64,
    events: usize,
    /// How many of the events bring a request of a peer.
    messages: usize,
    operations: BTreeMap<OperationId, Option<EndpointId>>,
    /// How many operations each endpoint has.
    counts: BTreeMap<EndpointId, usize>,
    /// Whose operations have completed since somebody asked.
    freed: Vec<EndpointId>,
    /// What security contexts have answered, while that is recorded.
    #[cfg(feature = "record")]
    answers: Option<Vec<(HandshakeId, ContextAnswer)>>,
}

impl Outbox {
    pub(crate) fn push(&mut self, action: Action) {
        if let Action::Event(event) = &action {
            self.events += 1;
            self.messages += usize::from(event.brings_request());
        }
        self.queue.push_back(action);
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.push(Action::Event(event));
    }

    pub(crate) fn pop(&mut self) -> Option<Action> {
        let action = self.queue.pop_front();
        self.taken += u64::from(action.is_some());
        if let Some(Action::Event(event)) = &action {
            self.events -= 1;
            self.messages -= usize::from(event.brings_request());
        }
        if self.queue.is_empty() && self.queue.capacity() > 256 {
            self.queue.shrink_to_fit();
        }
        action
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// The place of the action that is pushed next, in the order of all actions.
    pub(crate) fn next_place(&self) -> u64 {
        self.taken + u64::try_from(self.queue.len()).unwrap_or(u64::MAX)
    }

    /// Whether the embedder has taken the action at this place: what it reports before cannot be about it.
    pub(crate) const fn is_taken(&self, place: u64) -> bool {
        place < self.taken
    }

    /// How many events wait for the application.
    pub(crate) const fn events(&self) -> usize {
        self.events
    }

    /// How many of them bring a request of a peer.
    pub(crate) const fn messages(&self) -> usize {
        self.messages
    }

    /// A new operation of this endpoint, or of the whole stack.
    pub(crate) fn start(&mut self, ids: &mut Ids, endpoint: impl Into<Option<EndpointId>>) -> OperationId {
        let (operation, endpoint) = (ids.next(), endpoint.into());
        self.operations.insert(operation, endpoint);
        if let Some(endpoint) = endpoint {
            *self.counts.entry(endpoint).or_default() += 1;
        }
        operation
    }

    /// Completes an operation; a second completion of one operation does nothing (X3). It returns whose it was.
    pub(crate) fn complete(
        &mut self,
        operation: OperationId,
        result: Result<Completion, OperationError>,
    ) -> Option<EndpointId> {
        let endpoint = self.operations.remove(&operation)?;
        if let Some(endpoint) = endpoint {
            if let Some(count) = self.counts.get_mut(&endpoint) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&endpoint);
                }
            }
            self.freed.push(endpoint);
        }
        self.event(Event::Completed { operation, result });
        endpoint
    }

    /// Keeps what security contexts answer from now on, for the recorder.
    #[cfg(feature = "record")]
    pub(crate) fn keep_answers(&mut self, keeps: bool) {
        self.answers = keeps.then(Vec::new);
    }

    /// A security context has answered.
    #[cfg_attr(
        not(feature = "record"),
        expect(
            unused_variables,
            clippy::unused_self,
            clippy::needless_pass_by_ref_mut,
            reason = "nobody asks for it"
        )
    )]
    pub(crate) fn answered(&mut self, handshake: HandshakeId, answer: impl FnOnce() -> ContextAnswer) {
        #[cfg(feature = "record")]
        if let Some(answers) = &mut self.answers {
            answers.push((handshake, answer()));
        }
    }

    /// What they have answered since the last call.
    #[cfg(feature = "record")]
    pub(crate) fn take_answers(&mut self) -> Vec<(HandshakeId, ContextAnswer)> {
        self.answers.as_mut().map(core::mem::take).unwrap_or_default()
    }

    /// Whether somebody waits for this operation.
    pub(crate) fn is_under_way(&self, operation: OperationId) -> bool {
        self.operations.contains_key(&operation)
    }

    /// How many operations of an endpoint are under way.
    pub(crate) fn operations_of(&self, endpoint: EndpointId) -> usize {
        self.counts.get(&endpoint).copied().unwrap_or(0)
    }

    /// The endpoints of the operations that have completed since the last call.
    pub(crate) fn take_freed(&mut self) -> Vec<EndpointId> {
        core::mem::take(&mut self.freed)
    }

    /// How many operations are under way.
    pub(crate) fn operations(&self) -> usize {
        self.operations.len()
    }
}
