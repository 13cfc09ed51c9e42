//! Addresses that failed lately: they are tried last (C25).

use alloc::collections::{BTreeMap, BTreeSet};
use core::net::SocketAddr;

use crate::time::Time;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Dead {
    until: BTreeMap<SocketAddr, Time>,
    order: BTreeSet<(Time, SocketAddr)>,
}

impl Dead {
    /// Passes the address over until then; above `limit` the one that would come back first goes.
    pub(super) fn mark(&mut self, now: Time, address: SocketAddr, until: Time, limit: usize) {
        self.clear(address);
        while let Some((end, oldest)) = self.order.first().copied()
            && (end <= now || self.order.len() >= limit)
        {
            self.clear(oldest);
        }
        if limit > 0 && now < until {
            self.until.insert(address, until);
            self.order.insert((until, address));
        }
    }

    /// The address has worked.
    pub(super) fn clear(&mut self, address: SocketAddr) {
        if let Some(until) = self.until.remove(&address) {
            self.order.remove(&(until, address));
        }
    }

    pub(super) fn contains(&self, now: Time, address: SocketAddr) -> bool {
        self.until.get(&address).is_some_and(|until| now < *until)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.until.len(), self.order.len());
        self.order.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 5060))
    }

    // rules: C25
    #[test]
    fn an_address_is_dead_for_exactly_the_hold() {
        let mut dead = Dead::default();
        dead.mark(Time::from_secs(5), address(1), Time::from_secs(605), 10);
        assert!(dead.contains(Time::from_micros(604_999_999), address(1)));
        assert!(!dead.contains(Time::from_secs(605), address(1)));
        assert!(!dead.contains(Time::from_secs(6), address(2)));
        dead.clear(address(1));
        assert!(!dead.contains(Time::from_secs(6), address(1)));
        assert_eq!(dead.len(), 0);
    }

    // rules: C31
    #[test]
    fn the_list_is_bounded_and_forgets_what_is_over() {
        let mut dead = Dead::default();
        for last in 1..=3 {
            dead.mark(
                Time::ZERO,
                address(last),
                Time::from_secs(u64::from(last) * 10),
                3,
            );
        }
        assert_eq!(dead.len(), 3);
        dead.mark(Time::ZERO, address(4), Time::from_secs(100), 3);
        assert_eq!(dead.len(), 3);
        assert!(!dead.contains(Time::ZERO, address(1)) && dead.contains(Time::ZERO, address(2)));
        dead.mark(Time::from_secs(50), address(5), Time::from_secs(100), 3);
        assert_eq!(dead.len(), 2);
        dead.mark(Time::from_secs(50), address(6), Time::from_secs(100), 0);
        assert_eq!(dead.len(), 0);
    }
}
