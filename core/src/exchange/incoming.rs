//! Requests that the application may answer, outside sessions and inside (rules M4, M9, S15).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::reply::{Lower, Pending, Reply};
use crate::cx::Cx;
use crate::diagnosis::Diagnosis;
use crate::error::Misuse;
use crate::ids::{EndpointId, IncomingId};
use crate::timers::{TimerId, TimerKey};
use crate::wire::StatusCode;
use crate::wire::write::HeaderBlock;

/// One request that waits for its answer.
#[derive(Clone, Debug)]
struct Incoming {
    pending: Pending,
    endpoint: EndpointId,
    block: HeaderBlock,
    /// The application keeps it for later: letting it pass does not answer it.
    held: bool,
    timer: TimerId,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Incomings {
    table: BTreeMap<IncomingId, Incoming>,
    /// How many each endpoint has.
    counts: BTreeMap<EndpointId, usize>,
    /// Whose requests have been answered since somebody asked.
    freed: Vec<EndpointId>,
    /// The application has too many before it (C23).
    throttled: bool,
}

impl Incomings {
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether the application has so many requests before it that it gets no more (C23). It has to be asked before each.
    pub(crate) fn is_throttled(&mut self, cx: &Cx<'_>) -> bool {
        let marks = cx.config.message_throttle;
        self.throttled = marks.is_some_and(|marks| marks.is_on(self.throttled, cx.out.messages()));
        self.throttled
    }

    /// How many wait for this endpoint's application.
    pub(crate) fn of(&self, endpoint: EndpointId) -> usize {
        self.counts.get(&endpoint).copied().unwrap_or(0)
    }

    /// The endpoints whose requests have been answered since the last call.
    pub(crate) fn take_freed(&mut self) -> Vec<EndpointId> {
        core::mem::take(&mut self.freed)
    }

    /// A request for the application of this endpoint; `block` goes into the answer.
    pub(crate) fn receive(
        &mut self,
        cx: &mut Cx<'_>,
        pending: Pending,
        endpoint: EndpointId,
        block: HeaderBlock,
    ) -> IncomingId {
        let id = cx.ids.next();
        let timer = cx
            .timers
            .set(cx.now + cx.config.answer_timeout, TimerKey::Incoming(id));
        self.table.insert(
            id,
            Incoming {
                pending,
                endpoint,
                block,
                held: false,
                timer,
            },
        );
        *self.counts.entry(endpoint).or_default() += 1;
        id
    }

    /// Keeps a request for later.
    pub(crate) fn hold(&mut self, id: IncomingId) -> Result<(), Misuse> {
        let incoming = self.table.get_mut(&id).ok_or(Misuse::Answered)?;
        incoming.held = true;
        Ok(())
    }

    pub(crate) fn contains(&self, id: IncomingId) -> bool {
        self.table.contains_key(&id)
    }

    /// Answers a request; a second answer is misuse (M4).
    pub(crate) fn answer(
        &mut self,
        cx: &mut Cx<'_>,
        low: &mut Lower<'_>,
        id: IncomingId,
        reply: Reply<'_>,
    ) -> Result<(), Misuse> {
        let incoming = self.table.get(&id).ok_or(Misuse::Answered)?;
        low.reply(
            cx,
            &incoming.pending,
            &Reply {
                block: Some(&incoming.block),
                ..reply
            },
        );
        if reply.status.is_final()
            && let Some(incoming) = self.table.remove(&id)
        {
            cx.timers.stop(incoming.timer);
            self.freed.push(incoming.endpoint);
            if let Some(count) = self.counts.get_mut(&incoming.endpoint) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&incoming.endpoint);
                }
            }
        }
        Ok(())
    }

    /// The application has let the request pass: it is answered 200 unless it is held (M4).
    pub(crate) fn pass(&mut self, cx: &mut Cx<'_>, low: &mut Lower<'_>, id: IncomingId) {
        if self.table.get(&id).is_some_and(|incoming| !incoming.held) {
            let _ = self.answer(cx, low, id, Reply::new(StatusCode::OK));
        }
    }

    /// The application has not answered in time: 500 (M9).
    pub(crate) fn handle_timer(&mut self, cx: &mut Cx<'_>, low: &mut Lower<'_>, id: IncomingId) {
        cx.counters.timeouts.answer += 1;
        let reply = Reply::refusal(StatusCode::SERVER_INTERNAL_ERROR, Diagnosis::NotAnswered);
        let _ = self.answer(cx, low, id, reply);
    }
}
