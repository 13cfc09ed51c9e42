//! The machine of a session in canonical form.

use core::time::Duration;

use super::{Invitation, State};
use crate::time::Time;
use crate::timers::TimerId;

/// The machine in canonical form: times from now, nothing that names or was drawn.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Fingerprint {
    pub(super) state: &'static str,
    /// The number of the [`SessionState`] that the application sees.
    seen: u8,
    again: Option<Duration>,
    limit: Option<Duration>,
    /// The retransmission interval, zero where there is none.
    interval: Duration,
    /// Operations that wait for the end.
    pub(super) waiting: usize,
    /// The number of how an establish or accept fails then.
    failed: Option<u8>,
    /// The number of the [`SessionReason`] of the end.
    reason: Option<u8>,
}

impl Invitation {
    /// See [`Fingerprint`].
    pub(crate) fn fingerprint(&self, now: Time) -> Fingerprint {
        let left = |timer: &TimerId| Some(timer.at().since(now));
        let mut print = Fingerprint {
            state: "Idle",
            seen: self.state() as u8,
            again: None,
            limit: None,
            interval: Duration::ZERO,
            waiting: 0,
            failed: None,
            reason: None,
        };
        match &self.state {
            State::Idle => {}
            State::Inviting { limit, .. } => {
                (print.state, print.limit) = ("Inviting", limit.as_ref().and_then(left));
            }
            State::Redirecting { limit, .. } => {
                (print.state, print.limit) = ("Redirecting", limit.as_ref().and_then(left));
            }
            State::Cancelling { leaving, reason, .. } => {
                (print.state, print.waiting, print.reason) =
                    ("Cancelling", leaving.len(), Some(*reason as u8));
            }
            State::Answering { limit, .. } => (print.state, print.limit) = ("Answering", left(limit)),
            State::Offered { limit } => {
                (print.state, print.limit) = ("Offered", limit.as_ref().and_then(left))
            }
            State::Accepting {
                interval,
                again,
                limit,
                leaving,
                ..
            } => {
                (print.state, print.waiting, print.interval) = ("Accepting", leaving.len(), *interval);
                (print.again, print.limit) = (left(again), left(limit));
            }
            State::Connected => print.state = "Connected",
            State::Leaving {
                waiting,
                failed,
                reason,
                ..
            } => {
                (print.state, print.waiting, print.reason) = ("Leaving", waiting.len(), Some(*reason as u8));
                print.failed = failed.as_ref().map(|(_, how)| *how as u8);
            }
            State::Disconnected => print.state = "Disconnected",
        }
        print
    }
}
