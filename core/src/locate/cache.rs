//! Answers of the domain name system, kept as long as they say.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use crate::action::{Answer, Question};
use crate::map::{HashKey, Map};
use crate::time::Time;

/// See the module. An entry outlives its time until it is replaced or pushed out: what has been asked for again is
/// still known by name, and the turn of its addresses goes on.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    entries: Map<Question, Entry>,
    /// By age, so that the oldest can go first.
    ages: BTreeMap<u64, Question>,
    stored: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    answer: Answer,
    until: Time,
    age: u64,
    turn: usize,
}

impl Cache {
    pub(super) fn new(key: HashKey) -> Self {
        Self {
            entries: Map::new(key),
            ages: BTreeMap::new(),
            stored: 0,
        }
    }

    /// The answer, while it may be used.
    pub(super) fn fresh(&self, now: Time, question: &Question) -> Option<&Answer> {
        self.entries
            .get(question)
            .filter(|entry| now < entry.until)
            .map(|entry| &entry.answer)
    }

    /// The last answer, whatever its age.
    pub(super) fn last(&self, question: &Question) -> Option<&Answer> {
        self.entries.get(question).map(|entry| &entry.answer)
    }

    /// Keeps an answer; above `limit` the oldest goes. It returns how many answers there was no room for.
    pub(super) fn store(&mut self, now: Time, question: &Question, answer: &Answer, limit: usize) -> u64 {
        let turn = match self.entries.remove(question) {
            Some(old) => {
                self.ages.remove(&old.age);
                old.turn
            }
            None => 0,
        };
        if limit == 0 {
            return 1;
        }
        let mut pushed_out = 0;
        while self.ages.len() >= limit
            && let Some((_, oldest)) = self.ages.pop_first()
        {
            self.entries.remove(&oldest);
            pushed_out += 1;
        }
        self.stored += 1;
        let (age, until) = (self.stored, now + time_to_live(answer));
        self.ages.insert(age, question.clone());
        self.entries.insert(
            question.clone(),
            Entry {
                answer: answer.clone(),
                until,
                age,
                turn,
            },
        );
        pushed_out
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        while let Some((_, oldest)) = self.ages.pop_first() {
            self.entries.remove(&oldest);
        }
    }

    /// Counts the uses of a name: each use begins with another address (C25).
    pub(super) fn take_turn(&mut self, question: &Question) -> usize {
        self.entries.get_mut(question).map_or(0, |entry| {
            let turn = entry.turn;
            entry.turn = turn.wrapping_add(1);
            turn
        })
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.entries.len(), self.ages.len());
        self.ages.len()
    }
}

const fn time_to_live(answer: &Answer) -> Duration {
    match answer {
        Answer::Naptr { ttl, .. } | Answer::Srv { ttl, .. } | Answer::Addresses { ttl, .. } => *ttl,
    }
}

/// The addresses with each run of one family turned by `turn`: the resolver's preference between the families stays.
pub(super) fn rotate(addresses: &[IpAddr], turn: usize) -> Vec<IpAddr> {
    let mut rotated = addresses.to_vec();
    for run in rotated.chunk_by_mut(|a, b| a.is_ipv4() == b.is_ipv4()) {
        run.rotate_left(turn.checked_rem(run.len()).unwrap_or(0));
    }
    rotated
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn question(name: &str) -> Question {
        Question::Addresses(name.to_string())
    }

    fn answer(addresses: &[&str], ttl: u64) -> Answer {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        Answer::Addresses {
            addresses,
            ttl: Duration::from_secs(ttl),
        }
    }

    fn cache() -> Cache {
        Cache::new(HashKey(1, 2))
    }

    // rules: C25
    #[test]
    fn an_answer_is_fresh_until_its_time_to_live_is_over() {
        let mut cache = cache();
        cache.store(
            Time::from_secs(100),
            &question("a"),
            &answer(&["192.0.2.1"], 30),
            10,
        );
        let just_before = Time::from_micros(129_999_999);
        assert_eq!(
            cache.fresh(just_before, &question("a")),
            Some(&answer(&["192.0.2.1"], 30))
        );
        assert_eq!(cache.fresh(Time::from_secs(130), &question("a")), None);
        assert!(cache.last(&question("a")).is_some());
        assert_eq!(cache.fresh(just_before, &Question::Srv("a".to_string())), None);
    }

    // rules: C31
    #[test]
    fn the_limit_holds_at_n_and_at_n_plus_one_the_oldest_goes() {
        let mut cache = cache();
        for name in ["a", "b", "c"] {
            cache.store(Time::ZERO, &question(name), &answer(&[], 60), 3);
        }
        assert_eq!(cache.len(), 3);
        // Stored again, it is the youngest.
        cache.store(Time::ZERO, &question("a"), &answer(&[], 60), 3);
        assert_eq!(cache.len(), 3);
        cache.store(Time::ZERO, &question("d"), &answer(&[], 60), 3);
        assert_eq!(cache.len(), 3);
        assert!(cache.last(&question("b")).is_none() && cache.last(&question("a")).is_some());
        cache.store(Time::ZERO, &question("e"), &answer(&[], 60), 0);
        assert!(cache.last(&question("e")).is_none());
    }

    // rules: C25
    #[test]
    fn turns_go_on_when_an_answer_is_renewed() {
        let mut cache = cache();
        assert_eq!(cache.take_turn(&question("a")), 0);
        cache.store(Time::ZERO, &question("a"), &answer(&[], 60), 3);
        assert_eq!(
            [cache.take_turn(&question("a")), cache.take_turn(&question("a"))],
            [0, 1]
        );
        cache.store(Time::ZERO, &question("a"), &answer(&[], 60), 3);
        assert_eq!(cache.take_turn(&question("a")), 2);
    }

    // rules: C25
    #[test]
    fn rotation_keeps_the_preference_between_families() {
        let list =
            |texts: &[&str]| -> Vec<IpAddr> { texts.iter().map(|text| text.parse().unwrap()).collect() };
        let addresses = list(&[
            "2001:db8::1",
            "2001:db8::2",
            "192.0.2.1",
            "192.0.2.2",
            "192.0.2.3",
        ]);
        assert_eq!(rotate(&addresses, 0), addresses);
        let once = list(&[
            "2001:db8::2",
            "2001:db8::1",
            "192.0.2.2",
            "192.0.2.3",
            "192.0.2.1",
        ]);
        assert_eq!(rotate(&addresses, 1), once);
        assert_eq!(rotate(&addresses, 6), addresses);
        assert!(rotate(&[], 5).is_empty());
    }
}
