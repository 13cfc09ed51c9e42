//! One question to the domain name system, and all who wait for its answer.
//!
//! ```text
//!           resolved, or resolve_timeout
//!  Asked ────────────────────────────────► Telling ──► gone, when the last waiter is told
//!                                           └──┘ a slice of the waiters at a time, resumed by a deadline of now
//! ```
//! Read RFC 3263 section 4 for what is asked, rule C25 for what is done with the answers.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use crate::action::{Action, Answer, Question, ResolveError};
use crate::cx::{Cx, visit};
use crate::ids::{ConnId, QueryId};
use crate::map::{HashKey, Map};
use crate::time::Time;
use crate::timers::{TimerId, TimerKey};

#[cfg(any(test, feature = "cells"))]
pub(super) mod cells;

/// How many waiters hear an answer in one go: a stack whose 100,000 endpoints wait for one server must not stall.
const SLICE: usize = 256;

/// What the resolver said.
pub(crate) type Resolution = Result<Answer, ResolveError>;

#[derive(Clone, Debug)]
struct Query {
    question: Question,
    waiting: VecDeque<ConnId>,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Asked { timeout: TimerId },
    Telling { resolution: Resolution, resume: TimerId },
}

/// A question in canonical form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct QueryPrint {
    /// What those who still wait will be told.
    pub(crate) resolution: Option<Resolution>,
    pub(crate) waiting: usize,
    /// How long until its timer.
    pub(crate) left: Duration,
}

enum Input {
    Resolved(Resolution),
    Timer,
}

/// Some of those who waited, and what they hear.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) question: Question,
    pub(crate) resolution: Resolution,
    pub(crate) waiters: Vec<ConnId>,
    /// Whether this is the first slice, when the answer is new.
    pub(crate) first: bool,
}

impl Query {
    /// The next slice of waiters; the caller drops the query once nobody is left.
    fn step(&mut self, id: QueryId, input: Input, cx: &mut Cx<'_>) -> Option<Told> {
        visit!(cx, self.state, input);
        let (resolution, first) = match (&self.state, input) {
            (State::Asked { timeout }, Input::Resolved(resolution)) => {
                cx.timers.stop(*timeout);
                (resolution, true)
            }
            (State::Asked { .. }, Input::Timer) => {
                cx.counters.timeouts.resolve += 1;
                (Err(ResolveError::Timeout), true)
            }
            (State::Telling { resolution, .. }, Input::Timer) => (resolution.clone(), false),
            // A second answer to one question says nothing.
            (State::Telling { .. }, Input::Resolved(_)) => return None,
        };
        let count = self.waiting.len().min(SLICE);
        let waiters = self.waiting.drain(..count).collect();
        if !self.waiting.is_empty() {
            let resume = cx.timers.set(cx.now, TimerKey::Resolve(id));
            self.state = State::Telling {
                resolution: resolution.clone(),
                resume,
            };
        }
        Some(Told {
            question: self.question.clone(),
            resolution,
            waiters,
            first,
        })
    }
}

/// The questions under way; identical ones are asked once.
#[derive(Clone, Debug)]
pub(super) struct Queries {
    queries: BTreeMap<QueryId, Query>,
    questions: Map<Question, QueryId>,
}

impl Queries {
    pub(super) fn new(key: HashKey) -> Self {
        Self {
            queries: BTreeMap::new(),
            questions: Map::new(key),
        }
    }

    /// Asks, or joins those who have asked the same.
    pub(super) fn ask(&mut self, cx: &mut Cx<'_>, question: Question, waiter: ConnId) {
        if let Some(query) = self
            .questions
            .get(&question)
            .and_then(|id| self.queries.get_mut(id))
        {
            query.waiting.push_back(waiter);
            return;
        }
        let id: QueryId = cx.ids.next();
        let timeout = cx
            .timers
            .set(cx.now + cx.config.resolve_timeout, TimerKey::Resolve(id));
        let waiting = VecDeque::from([waiter]);
        self.questions.insert(question.clone(), id);
        self.queries.insert(
            id,
            Query {
                question: question.clone(),
                waiting,
                state: State::Asked { timeout },
            },
        );
        cx.out.push(Action::Resolve { query: id, question });
    }

    pub(super) fn resolved(&mut self, cx: &mut Cx<'_>, id: QueryId, resolution: Resolution) -> Option<Told> {
        self.step(cx, id, Input::Resolved(resolution))
    }

    pub(super) fn timer(&mut self, cx: &mut Cx<'_>, id: QueryId) -> Option<Told> {
        self.step(cx, id, Input::Timer)
    }

    fn step(&mut self, cx: &mut Cx<'_>, id: QueryId, input: Input) -> Option<Told> {
        let query = self.queries.get_mut(&id)?;
        let told = query.step(id, input, cx);
        if told.is_some() && query.waiting.is_empty() {
            self.questions.remove(&query.question);
            self.queries.remove(&id);
        }
        told
    }

    pub(super) fn len(&self) -> usize {
        self.queries.len()
    }

    pub(super) fn fingerprint(&self, now: Time) -> Vec<QueryPrint> {
        let print = |query: &Query| {
            let (resolution, timer) = match &query.state {
                State::Asked { timeout } => (None, timeout),
                State::Telling { resolution, resume } => (Some(resolution.clone()), resume),
            };
            QueryPrint {
                resolution,
                waiting: query.waiting.len(),
                left: timer.at().since(now),
            }
        };
        self.queries.values().map(print).collect()
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::connection::testing::Services;

    fn question() -> Question {
        Question::Addresses("example.com".to_string())
    }

    fn answer() -> Resolution {
        Ok(Answer::Addresses {
            addresses: Vec::new(),
            ttl: Duration::ZERO,
        })
    }

    /// A question with so many waiters, and its name.
    fn asked(services: &mut Services, waiters: usize) -> (Queries, QueryId, Vec<ConnId>) {
        let mut queries = Queries::new(HashKey(1, 2));
        let conns: Vec<ConnId> = (0..waiters).map(|_| services.ids.next()).collect();
        for conn in &conns {
            queries.ask(&mut services.cx(), question(), *conn);
        }
        let Some(Action::Resolve {
            query,
            question: asked,
        }) = services.out.pop()
        else {
            panic!()
        };
        assert_eq!((asked, services.out.pop()), (question(), None));
        (queries, query, conns)
    }

    fn print(resolution: Option<Resolution>, waiting: usize, left: Duration) -> QueryPrint {
        QueryPrint {
            resolution,
            waiting,
            left,
        }
    }

    fn told(resolution: Resolution, waiters: &[ConnId], first: bool) -> Option<Told> {
        Some(Told {
            question: question(),
            resolution,
            waiters: waiters.to_vec(),
            first,
        })
    }

    // rules: C25
    #[test]
    fn every_state_and_input_of_a_small_question() {
        let mut services = Services::new();
        let (mut queries, query, conns) = asked(&mut services, 2);
        let ten = Duration::from_secs(10);
        assert_eq!(queries.fingerprint(services.now), [print(None, 2, ten)]);
        assert_eq!(
            queries.resolved(&mut services.cx(), query, answer()),
            told(answer(), &conns, true)
        );
        // All have been told: it is gone, and so is its timer.
        assert_eq!((queries.len(), services.timers.len()), (0, 0));
        assert_eq!(queries.resolved(&mut services.cx(), query, answer()), None);
        assert_eq!(queries.timer(&mut services.cx(), query), None);

        let (mut queries, query, conns) = asked(&mut services, 2);
        let (at, key) = services.timers.pop_due(Time::MAX).unwrap();
        assert_eq!((at, key), (services.now + ten, TimerKey::Resolve(query)));
        let timed_out = Err(ResolveError::Timeout);
        assert_eq!(
            queries.timer(&mut services.cx(), query),
            told(timed_out, &conns, true)
        );
        assert_eq!(queries.len(), 0);
    }

    #[test]
    fn one_slice_at_a_time_of_many_waiters_and_who_asks_meanwhile_is_last() {
        let mut services = Services::new();
        let (mut queries, query, mut conns) = asked(&mut services, SLICE * 2);
        let first = queries.resolved(&mut services.cx(), query, answer());
        assert_eq!(first, told(answer(), &conns[..SLICE], true));
        let waits = print(Some(answer()), SLICE, Duration::ZERO);
        assert_eq!(queries.fingerprint(services.now), [waits]);
        // A second answer says nothing.
        assert_eq!(
            queries.resolved(&mut services.cx(), query, Err(ResolveError::NoSuchName)),
            None
        );
        conns.push(services.ids.next());
        queries.ask(&mut services.cx(), question(), conns[SLICE * 2]);
        for (from, to) in [(SLICE, SLICE * 2), (SLICE * 2, SLICE * 2 + 1)] {
            let (at, key) = services.timers.pop_due(Time::MAX).unwrap();
            assert_eq!((at, key), (services.now, TimerKey::Resolve(query)));
            assert_eq!(
                queries.timer(&mut services.cx(), query),
                told(answer(), &conns[from..to], false)
            );
        }
        assert_eq!((queries.len(), services.timers.len()), (0, 0));
    }
}
