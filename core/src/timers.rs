//! The one timer structure: an ordered queue of deadlines.
//!
//! A timer that is stopped is gone at once, so nothing stale ever fires and nothing has to be filtered. Timers that
//! are due at the same time fire in the order in which they were armed.

use alloc::collections::BTreeMap;

use crate::connection;
use crate::ids::{
    ConnId, EndpointId, ExchangeId, IncomingId, PublicationId, QueryId, ReferralId, SessionId,
    SubscriptionId, TransactionId, WatcherId,
};
use crate::session;
use crate::subscription;
use crate::time::Time;
use crate::transaction;

/// Whose timer it is, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TimerKey {
    Transaction(TransactionId, transaction::Timer),
    Connection(ConnId, connection::Timer),
    /// A question to the domain name system: its time is over, or there are more who wait for its answer.
    Resolve(QueryId),
    Exchange(ExchangeId),
    /// More wait for this connection to be written, or it has had no room for them for too long.
    Waiting(ConnId),
    /// There are more to be told that a connection is gone.
    Ended,
    Incoming(IncomingId),
    Session(SessionId, session::Timer),
    /// What a REFER of a session has to wait for.
    Referral(SessionId, ReferralId),
    /// To refresh a session, or its end without a refresh.
    Refresh(SessionId, session::RefreshTimer),
    /// A session rings, and says so again.
    Ringing(SessionId),
    Subscription(SubscriptionId, subscription::Timer),
    Watcher(WatcherId),
    Publication(PublicationId),
    Registration(EndpointId),
    /// To make a new security association with the server.
    Association(EndpointId),
    KeepAlive(EndpointId),
    Probe(EndpointId),
    /// The graceful end of the stack.
    Drain,
}

impl TimerKey {
    /// Whether it is for the next slice of work that concerns very many. What a key is for besides comes later than now.
    const fn resumes(self) -> bool {
        matches!(
            self,
            Self::Resolve(_) | Self::Waiting(_) | Self::Ended | Self::Drain
        )
    }
}

/// An armed timer. Never used again, so that a stale one stops nothing.
// The order of the fields is the order of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TimerId {
    at: Time,
    order: u64,
}

impl TimerId {
    /// When it fires.
    pub(crate) const fn at(self) -> Time {
        self.at
    }
}

/// See the module. Every operation is O(log n).
#[derive(Clone, Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeMap<TimerId, TimerKey>,
    armed: u64,
}

impl Timers {
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Arms a timer. A time in the past is due at once.
    pub(crate) fn set(&mut self, at: Time, key: TimerKey) -> TimerId {
        self.armed += 1;
        let id = TimerId {
            at,
            order: self.armed,
        };
        self.queue.insert(id, key);
        id
    }

    /// Whether there was something to stop: false once it has fired or was stopped.
    pub(crate) fn stop(&mut self, id: TimerId) -> bool {
        self.queue.remove(&id).is_some()
    }

    /// The timer that fires next.
    pub(crate) fn next(&self) -> Option<(Time, &TimerKey)> {
        self.queue.first_key_value().map(|(id, key)| (id.at, key))
    }

    /// The place of the timer that was armed last, in the order of arming.
    pub(crate) const fn mark(&self) -> u64 {
        self.armed
    }

    /// Whether the next timer is for a further slice of work and was armed after `mark`: it has to wait until others have
    /// had their turn.
    pub(crate) fn resumes_since(&self, mark: u64) -> bool {
        self.queue
            .first_key_value()
            .is_some_and(|(id, key)| id.order > mark && key.resumes())
    }

    /// Takes the next timer if its time has come.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<(Time, TimerKey)> {
        let first = self.queue.first_entry()?;
        if first.key().at > now {
            return None;
        }
        let (id, key) = first.remove_entry();
        Some((id.at, key))
    }

    /// How many are armed.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::ids::Ids;
    use crate::transaction::Timer;

    fn keys() -> impl FnMut() -> TimerKey {
        let mut ids = Ids::default();
        move || TimerKey::Transaction(ids.next(), Timer::A)
    }

    #[test]
    fn ties_fire_in_the_order_of_arming() {
        let (mut timers, mut key) = (Timers::default(), keys());
        let (a, b, c, d) = (key(), key(), key(), key());
        timers.set(Time::from_secs(2), a);
        timers.set(Time::from_secs(1), b);
        timers.set(Time::from_secs(1), c);
        timers.set(Time::from_secs(2), d);
        assert_eq!(timers.next(), Some((Time::from_secs(1), &b)));
        assert_eq!(timers.pop_due(Time::from_millis(999)), None);
        let fired: Vec<_> = core::iter::from_fn(|| timers.pop_due(Time::from_secs(2)))
            .map(|(_, key)| key)
            .collect();
        assert_eq!(fired, [b, c, a, d]);
        assert_eq!(timers.len(), 0);
    }

    #[test]
    fn a_stopped_or_fired_timer_cannot_be_stopped_again() {
        let (mut timers, mut key) = (Timers::default(), keys());
        let stopped = timers.set(Time::from_secs(1), key());
        let fired = timers.set(Time::from_secs(1), key());
        assert!(timers.stop(stopped));
        assert!(!timers.stop(stopped));
        assert!(timers.pop_due(Time::from_secs(1)).is_some());
        assert!(!timers.stop(fired));
        assert_eq!(timers.next(), None);
        // The same instant armed anew is another timer.
        timers.set(Time::from_secs(1), key());
        assert!(!timers.stop(stopped) && !timers.stop(fired));
        assert_eq!(timers.len(), 1);
    }

    #[test]
    fn a_million_timers_fire_in_order() {
        const COUNT: u64 = 1_000_000;
        let (mut timers, mut key) = (Timers::default(), keys());
        let mut step = 12_345_u64;
        let mut ids = Vec::new();
        for _ in 0..COUNT {
            step = step
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ids.push(timers.set(Time::from_micros(step >> 44), key()));
        }
        for id in ids.iter().step_by(2) {
            assert!(timers.stop(*id));
        }
        let mut expected: Vec<_> = ids
            .iter()
            .skip(1)
            .step_by(2)
            .map(|id| (id.at, id.order))
            .collect();
        expected.sort_unstable();
        assert_eq!(expected.len(), timers.len());
        for (at, order) in expected {
            let (fired_at, key) = timers.pop_due(Time::MAX).unwrap();
            let TimerKey::Transaction(id, _) = key else {
                panic!("{key:?}")
            };
            assert_eq!((fired_at, id.number()), (at, order));
        }
        assert_eq!(timers.len(), 0);
    }

    #[derive(Clone, Debug)]
    enum Operation {
        Set(u64),
        Stop(usize),
        Pop(u64),
    }

    proptest! {
        #[test]
        fn agrees_with_a_list_that_is_searched(operations in proptest::collection::vec(
            prop_oneof![
                (0..20_u64).prop_map(Operation::Set),
                (0..60_usize).prop_map(Operation::Stop),
                (0..20_u64).prop_map(Operation::Pop),
            ],
            0..60,
        )) {
            let (mut timers, mut key) = (Timers::default(), keys());
            let mut model: Vec<(u64, TimerKey)> = Vec::new();
            let mut armed: Vec<(TimerId, TimerKey)> = Vec::new();
            for operation in operations {
                match operation {
                    Operation::Set(at) => {
                        let key = key();
                        armed.push((timers.set(Time::from_micros(at), key), key));
                        model.push((at, key));
                    }
                    Operation::Stop(which) => {
                        let Some((id, key)) = armed.get(which).copied() else { continue };
                        let place = model.iter().position(|(_, armed)| *armed == key);
                        prop_assert_eq!(timers.stop(id), place.is_some());
                        place.map(|place| model.remove(place));
                    }
                    Operation::Pop(now) => {
                        // min_by_key gives the first of equals: the one armed first.
                        let due = model.iter().enumerate().min_by_key(|(_, (at, _))| *at).filter(|(_, (at, _))| *at <= now);
                        let expected = due.map(|(place, _)| place).map(|place| model.remove(place));
                        let fired = timers.pop_due(Time::from_micros(now)).map(|(at, key)| (at.as_micros(), key));
                        prop_assert_eq!(fired, expected);
                    }
                }
                prop_assert_eq!(timers.len(), model.len());
                let next = model.iter().map(|(at, _)| *at).min();
                prop_assert_eq!(timers.next().map(|(at, _)| at.as_micros()), next);
            }
        }
    }
}
