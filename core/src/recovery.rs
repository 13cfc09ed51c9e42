//! How long a connection that died without a word may go unnoticed, and how long its endpoint is out of reach (R19).
//!
//! A path breaks at `b`: no byte passes any more, and nobody is told. At `h` it carries bytes again, for connections that
//! are made from then on. With
//!
//! | | |
//! |---|---|
//! | `D` | until the dead connection is found: [`Config::detection_bound`] |
//! | `J` = max([`reconnect_jitter`](Config::reconnect_jitter), min(2 [`backoff_min`](Config::backoff_min), `B`)) | the wait before the first attempt: after a loss (R6), or after a REGISTER without an answer (R7) |
//! | `B` | [`Config::backoff_max`] |
//! | `A` = max([`resolve_timeout`](Config::resolve_timeout), [`connect_timeout`](Config::connect_timeout), 64 [`t1`](Config::t1)) | the longest step of an attempt that the broken path makes fail |
//! | `S` | one registration over the healed path: a look-up, a handshake, the round trips of REGISTER |
//!
//! a registered endpoint that refreshes is registered again at `max(b + D + J, h + A + B) + S` at the latest, and so
//! [`Config::recovery_bound`] = `max(D + J, A + B)` after `h`, and `S`. The server has to answer as it should: a Retry-After, a
//! refusal, or an address that is alone in its failing come on top.

use core::time::Duration;

use crate::config::Config;

/// What finds a dead connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeadFlow {
    /// Keep-alives that the server, which gives up a silent connection after `timeout` (C26), has promised to answer: it has
    /// said Flow-Timer.
    Pong {
        /// What the server says.
        timeout: Duration,
    },
    /// Keep-alives that it does not answer, `ms-keep-alive` alone: that their bytes are not acknowledged is found by the
    /// system (TCP_USER_TIMEOUT, which the adapters set), not by the stack.
    Unacknowledged {
        /// What the server says.
        timeout: Duration,
        /// After how long the system gives up.
        user_timeout: Duration,
    },
    /// OPTIONS, [`Config::probe_interval`] or the endpoint's own.
    Probe {
        /// How often.
        interval: Duration,
    },
    /// A request of the endpoint, from when it is sent.
    Request,
    /// The refresh of the registration, where nothing else is sent.
    Refresh {
        /// For how long the server keeps the binding.
        granted: Duration,
    },
    /// Bytes that the peer does not take, from when it took none any more. The system takes some on its own.
    Bytes,
}

impl Config {
    /// How long after a path has broken a connection over it is found dead at the latest (`D` of the
    /// [bound](Self::recovery_bound)):
    ///
    /// | found by | `D` |
    /// |---|---|
    /// | [`DeadFlow::Pong`] | 2/3 of the timeout + the greater of [`pong_timeout`](Self::pong_timeout) and 64 [`t1`](Self::t1) |
    /// | [`DeadFlow::Unacknowledged`] | 2/3 of the timeout + the user timeout |
    /// | [`DeadFlow::Probe`] | the interval + 64 [`t1`](Self::t1) |
    /// | [`DeadFlow::Request`] | 64 [`t1`](Self::t1) |
    /// | [`DeadFlow::Refresh`] | the latest refresh of the binding + 64 [`t1`](Self::t1) |
    /// | [`DeadFlow::Bytes`] | [`write_timeout`](Self::write_timeout) |
    ///
    /// Of several, the first counts. A request, a refresh too, puts the next keep-alive off, and is then itself what finds
    /// the connection dead; an endpoint that sends nothing until its keep-alive finds it 2/3 of the timeout +
    /// [`pong_timeout`](Self::pong_timeout) after its last bytes. What nobody answers (a response, an ACK, a BENOTIFY) puts it
    /// off, too, and proves nothing: there the bytes themselves do.
    pub fn detection_bound(&self, found_by: DeadFlow) -> Duration {
        let answer = self.t1.saturating_mul(64);
        match found_by {
            DeadFlow::Pong { timeout } => (timeout * 2 / 3).saturating_add(self.pong_timeout.max(answer)),
            DeadFlow::Unacknowledged {
                timeout,
                user_timeout,
            } => (timeout * 2 / 3).saturating_add(user_timeout),
            DeadFlow::Probe { interval } => interval.saturating_add(answer),
            DeadFlow::Request => answer,
            DeadFlow::Refresh { granted } => self.latest_refresh(granted).saturating_add(answer),
            DeadFlow::Bytes => self.write_timeout,
        }
    }

    /// How long after a broken path carries bytes again a registered endpoint that refreshes is registered again at the
    /// latest, but for the time of that registration itself (R19): the greater of
    ///
    /// - [`detection_bound`](Self::detection_bound) + the greater of [`reconnect_jitter`](Self::reconnect_jitter) and twice
    ///   [`backoff_min`](Self::backoff_min), and
    /// - the greatest of [`resolve_timeout`](Self::resolve_timeout), [`connect_timeout`](Self::connect_timeout) and 64
    ///   [`t1`](Self::t1), for the attempt that is under way then and fails, + [`backoff_max`](Self::backoff_max).
    ///
    /// A Retry-After or a refusal of the server comes on top. With the default settings and a server that says Flow-Timer
    /// 90 it is 96 s; the wait before the first attempt is 2 s at most, so that most recoveries are much quicker.
    pub fn recovery_bound(&self, found_by: DeadFlow) -> Duration {
        let backoff = self.backoff_min.saturating_mul(2).min(self.backoff_max);
        let found = self
            .detection_bound(found_by)
            .saturating_add(self.reconnect_jitter.max(backoff));
        let attempt = self.t1.saturating_mul(64);
        let attempt = attempt.max(self.connect_timeout).max(self.resolve_timeout);
        found.max(attempt.saturating_add(self.backoff_max))
    }

    /// When a binding of this length is refreshed at the latest (R4): at nine tenths of it, but 30 s before its end where it is
    /// shorter than five minutes, and half of it where it is shorter than one; never sooner than
    /// [`refresh_floor`](Self::refresh_floor) (R21).
    pub(crate) fn latest_refresh(&self, granted: Duration) -> Duration {
        let latest = if granted < Duration::from_secs(60) {
            granted / 2
        } else {
            (granted * 9 / 10).min(granted.saturating_sub(Duration::from_secs(30)))
        };
        latest.max(self.refresh_floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    // rules: R19
    #[test]
    fn the_bound_is_a_formula_of_the_timers() {
        let config = Config::default();
        let table = [
            (DeadFlow::Pong { timeout: secs(300) }, 232, 234),
            (DeadFlow::Pong { timeout: secs(60) }, 72, 96),
            (
                DeadFlow::Unacknowledged {
                    timeout: secs(300),
                    user_timeout: secs(30),
                },
                230,
                232,
            ),
            (DeadFlow::Probe { interval: secs(60) }, 92, 96),
            (DeadFlow::Probe { interval: secs(90) }, 122, 124),
            (DeadFlow::Request, 32, 96),
            (DeadFlow::Refresh { granted: secs(3600) }, 3240 + 32, 3240 + 34),
            (DeadFlow::Bytes, 30, 96),
        ];
        for (found_by, detection, recovery) in table {
            assert_eq!(config.detection_bound(found_by), secs(detection), "{found_by:?}");
            assert_eq!(config.recovery_bound(found_by), secs(recovery), "{found_by:?}");
        }
        let patient = Config {
            pong_timeout: secs(40),
            ..Config::default()
        };
        let found = patient.detection_bound(DeadFlow::Pong { timeout: secs(300) });
        assert_eq!(found, secs(240));
        let slow = Config {
            resolve_timeout: secs(40),
            backoff_max: secs(10),
            ..Config::default()
        };
        assert_eq!(slow.recovery_bound(DeadFlow::Request), secs(50));
        let slow = Config {
            connect_timeout: secs(50),
            ..slow
        };
        assert_eq!(slow.recovery_bound(DeadFlow::Request), secs(60));
        let probe = DeadFlow::Probe { interval: secs(168) };
        for (reconnect_jitter, backoff_min, bound) in [
            (secs(0), secs(3), 206),
            (secs(7), secs(3), 207),
            (secs(0), secs(9), 210),
        ] {
            let waits = Config {
                reconnect_jitter,
                backoff_min,
                ..slow.clone()
            };
            assert_eq!(waits.recovery_bound(probe), secs(bound));
        }
    }
}
