//! The one clock, and the one source of entropy.

use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sansip::{Time, UnixTime};

/// A monotonic clock that starts at [`Time::ZERO`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> Time {
        Time::ZERO + self.0.elapsed()
    }

    /// How long until then. Rounded up to whole milliseconds, as the selectors count them: to wake early is to spin.
    pub(crate) fn until(self, deadline: Time) -> Duration {
        let left = deadline.since(self.now());
        Duration::from_millis(u64::try_from(left.as_micros().div_ceil(1000)).unwrap_or(u64::MAX))
    }
}

/// The system's wall-clock time, as [`Stack::new`](sansip::Stack::new) wants to be told; zero before 1970.
pub fn unix_time() -> UnixTime {
    UnixTime(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
    )
}

/// 32 bytes from the system's generator: a seed for [`Stack::new`](sansip::Stack::new).
///
/// # Errors
/// The system has none to give.
pub fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(io::Error::from)?;
    Ok(seed)
}
