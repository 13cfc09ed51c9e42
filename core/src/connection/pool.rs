//! The outgoing connections of one manager to one next hop (C3, C4).
//!
//! ```text
//!                     maximum not reached: New
//!  choose ──► a lingering one: Existing
//!         └─► else, full: the next in turn: Existing
//!
//!  a member:  (connecting, live) ──lingers──► lingering ──reused──► (live)      either ──leaves──► out
//! ```
//! Connecting and lingering members count. A connection that is being closed is no member any more.

use alloc::collections::BTreeSet;
use core::ops::Bound;

use crate::ids::ConnId;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    maximum: usize,
    members: BTreeSet<ConnId>,
    /// Members without a user.
    lingering: BTreeSet<ConnId>,
    /// The member that was shared last.
    last: Option<ConnId>,
}

/// What a request for a connection gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// A connection to be made.
    New,
    /// This one.
    Existing(ConnId),
}

/// The state of a pool in canonical form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PoolPrint {
    pub(crate) maximum: usize,
    pub(crate) members: usize,
    pub(crate) lingering: usize,
    /// How many members come before the next in turn.
    pub(crate) turn: usize,
}

impl Pool {
    /// A maximum of `usize::MAX` means no sharing.
    pub(super) const fn new(maximum: usize) -> Self {
        Self {
            maximum,
            members: BTreeSet::new(),
            lingering: BTreeSet::new(),
            last: None,
        }
    }

    pub(super) const fn set_maximum(&mut self, maximum: usize) {
        self.maximum = maximum;
    }

    /// The order of C4 among the members that `suits` admits. Where the pool is full of others, as when a request
    /// must go to another address than they do, a connection is made beyond the maximum: fail-over comes first.
    pub(super) fn choose(&mut self, suits: impl Fn(ConnId) -> bool) -> Choice {
        if let Some(conn) = self.lingering.iter().copied().find(|conn| suits(*conn)) {
            return Choice::Existing(conn);
        }
        if self.members.len() < self.maximum {
            return Choice::New;
        }
        let after = self.last.map_or(Bound::Unbounded, Bound::Excluded);
        let in_turn = self
            .members
            .range((after, Bound::Unbounded))
            .chain(&self.members)
            .copied();
        match in_turn.into_iter().find(|conn| suits(*conn)) {
            Some(conn) => {
                self.last = Some(conn);
                Choice::Existing(conn)
            }
            None => Choice::New,
        }
    }

    pub(super) fn add(&mut self, conn: ConnId) {
        self.members.insert(conn);
    }

    pub(super) fn lingers(&mut self, conn: ConnId) {
        self.lingering.insert(conn);
    }

    pub(super) fn reused(&mut self, conn: ConnId) {
        self.lingering.remove(&conn);
    }

    pub(super) fn leaves(&mut self, conn: ConnId) {
        self.members.remove(&conn);
        self.lingering.remove(&conn);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn fingerprint(&self) -> PoolPrint {
        let turn = self.last.map_or(0, |last| self.members.range(..=last).count());
        PoolPrint {
            maximum: self.maximum,
            members: self.members.len(),
            lingering: self.lingering.len(),
            turn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Ids;

    fn pool(maximum: usize, members: usize) -> (Pool, alloc::vec::Vec<ConnId>) {
        let (mut pool, mut ids) = (Pool::new(maximum), Ids::default());
        let conns: alloc::vec::Vec<ConnId> = (0..members).map(|_| ids.next()).collect();
        for conn in &conns {
            pool.add(*conn);
        }
        (pool, conns)
    }

    // rules: C4
    #[test]
    fn below_the_maximum_a_new_one_and_at_it_each_in_turn() {
        let (mut one_less, _) = pool(3, 2);
        assert_eq!(one_less.choose(|_| true), Choice::New);
        let (mut full, conns) = pool(3, 3);
        let turns = [(); 7].map(|()| full.choose(|_| true));
        assert_eq!(
            turns,
            [0, 1, 2, 0, 1, 2, 0].map(|place| Choice::Existing(conns[place]))
        );
        assert_eq!(
            full.fingerprint(),
            PoolPrint {
                maximum: 3,
                members: 3,
                lingering: 0,
                turn: 1
            }
        );
    }

    // rules: C4
    #[test]
    fn the_turn_goes_on_when_the_last_one_has_left() {
        let (mut pool, conns) = pool(3, 3);
        pool.choose(|_| true);
        pool.choose(|_| true);
        pool.leaves(conns[1]);
        pool.set_maximum(2);
        assert_eq!(pool.choose(|_| true), Choice::Existing(conns[2]));
        assert_eq!(pool.choose(|_| true), Choice::Existing(conns[0]));
    }

    // rules: C4, C8
    #[test]
    fn one_without_a_user_goes_before_a_new_one() {
        let (mut pool, conns) = pool(5, 3);
        pool.lingers(conns[1]);
        assert_eq!(pool.choose(|_| true), Choice::Existing(conns[1]));
        pool.reused(conns[1]);
        assert_eq!(pool.choose(|_| true), Choice::New);
        pool.lingers(conns[2]);
        pool.leaves(conns[2]);
        assert_eq!(pool.choose(|_| true), Choice::New);
    }

    // rules: C25
    #[test]
    fn a_full_pool_of_unsuitable_ones_makes_another() {
        let (mut pool, conns) = pool(2, 2);
        pool.lingers(conns[0]);
        assert_eq!(pool.choose(|conn| conn == conns[1]), Choice::Existing(conns[1]));
        assert_eq!(pool.choose(|_| false), Choice::New);
    }

    // rules: C4
    #[test]
    fn unlimited_means_no_sharing() {
        let (mut pool, _) = pool(usize::MAX, 1000);
        assert_eq!(pool.choose(|_| true), Choice::New);
        let (mut empty, _) = self::pool(1, 0);
        assert_eq!(empty.choose(|_| true), Choice::New);
        assert!(empty.is_empty());
    }
}
