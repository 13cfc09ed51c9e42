//! How long endpoints were out of reach.

use std::fmt;
use std::time::Duration;

/// From each outage that ended to the new binding at the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recoveries(Vec<Duration>);

impl Recoveries {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(crate) fn absorb(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }

    /// How many there were.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// So many in a hundred took no longer (the nearest rank); `None` where there were none.
    pub fn percentile(&self, percent: usize) -> Option<Duration> {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted.get(rank - 1).copied()
    }
}

impl fmt::Display for Recoveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "recoveries {}", self.count())?;
        for (name, percent) in [("half within", 50), ("95 of 100 within", 95), ("all within", 100)] {
            if let Some(time) = self.percentile(percent) {
                write!(f, ", {name} {:.3} s", time.as_secs_f64())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let mut all = Recoveries::default();
        assert_eq!(
            (all.percentile(50), all.to_string().as_str()),
            (None, "recoveries 0")
        );
        for seconds in (1..=20).rev() {
            all.add(Duration::from_secs(seconds));
        }
        let of = |percent| all.percentile(percent).map(|time| time.as_secs());
        assert_eq!([50, 95, 100].map(of), [Some(10), Some(19), Some(20)]);
        let mut more = Recoveries::default();
        more.add(Duration::from_secs(100));
        more.absorb(&all);
        assert_eq!(
            (more.count(), more.percentile(100)),
            (21, Some(Duration::from_secs(100)))
        );
    }
}
