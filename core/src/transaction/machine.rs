//! What the four machines share: their timers, and the effects that a step may have.

use bytes::Bytes;
use core::time::Duration;
use smallvec::SmallVec;

#[cfg(any(test, feature = "cells"))]
use crate::cells::Cells;
use crate::config::Config;
use crate::cx::Cx;

/// The timers of RFC 3261 section 17 (its table 4) and of RFC 6026.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Timer {
    /// INVITE retransmission.
    A,
    /// INVITE time-out.
    B,
    /// Wait for retransmitted final responses to an INVITE.
    D,
    /// Retransmission of other requests.
    E,
    /// Time-out of other requests.
    F,
    /// Retransmission of a final response to an INVITE.
    G,
    /// Wait for the ACK.
    H,
    /// Wait for retransmitted ACKs.
    I,
    /// Wait for retransmissions of other requests.
    J,
    /// Wait for retransmitted responses to other requests.
    K,
    /// Wait for retransmissions of an accepted INVITE.
    L,
    /// Wait for retransmissions of, and further, 2xx responses to an INVITE.
    M,
    /// The 200 ms after which an INVITE without any response is answered 100 (RFC 3261 section 17.2.1).
    Trying,
}

/// Whether the transport retransmits by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reliability {
    Reliable,
    #[allow(
        dead_code,
        reason = "there is no datagram transport; the machines keep to the RFC's figures, and so do their tests"
    )]
    Unreliable,
}

/// The three durations from which every timer follows (RFC 3261 table 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerConfig {
    pub(crate) t1: Duration,
    pub(crate) t2: Duration,
    pub(crate) t4: Duration,
}

impl TimerConfig {
    /// Timers B, F, H, J, L and M.
    pub(crate) const fn timeout(&self) -> Duration {
        self.t1.saturating_mul(64)
    }

    /// Timer D: as long as the other end may retransmit, and at least 32 s.
    pub(crate) fn wait_d(&self) -> Duration {
        self.timeout().max(Duration::from_secs(32))
    }

    /// Timer Trying.
    pub(crate) const TRYING: Duration = Duration::from_millis(200);

    /// The retransmission interval after `interval` where it is capped (timers E and G).
    pub(crate) fn doubled(&self, interval: Duration) -> Duration {
        interval.saturating_mul(2).min(self.t2)
    }
}

impl From<&Config> for TimerConfig {
    fn from(config: &Config) -> Self {
        Self {
            t1: config.t1,
            t2: config.t2,
            t4: config.t4,
        }
    }
}

impl Default for TimerConfig {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
        }
    }
}

/// What a step wants done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Send a message for the first time.
    Send(Bytes),
    /// Send it once more.
    Resend(Bytes),
    /// Send the ACK for a failure response; `again` when it has been sent before.
    Ack {
        ack: Bytes,
        again: bool,
    },
    Set(Timer, Duration),
    Stop(Timer),
    /// Tell the transaction user.
    Inform(Inform),
}

/// What the transaction user is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Inform {
    /// The response that is the input is a new provisional one.
    Provisional,
    /// The response that is the input is a final one; for an INVITE each 2xx, retransmitted ones too.
    Final,
    /// No response, or no ACK, came in time.
    TimedOut,
    /// A message could not be sent, or the connection is gone.
    TransportError,
    /// The request has been without response for 200 ms: send a 100 now.
    SendTrying,
    /// An ACK for a 2xx came within the INVITE's own transaction.
    Ack,
}

/// What a machine is lent for one step.
pub(crate) struct Step<'a> {
    pub(crate) times: TimerConfig,
    pub(crate) effects: &'a mut SmallVec<[Effect; 4]>,
    #[cfg(any(test, feature = "cells"))]
    pub(crate) cells: &'a mut Cells,
}

impl<'a> Step<'a> {
    #[cfg_attr(
        not(any(test, feature = "cells")),
        expect(
            clippy::needless_pass_by_ref_mut,
            reason = "the feature `cells` writes through it"
        )
    )]
    pub(crate) fn new(cx: &'a mut Cx<'_>, effects: &'a mut SmallVec<[Effect; 4]>) -> Self {
        Self {
            times: TimerConfig::from(cx.config),
            effects,
            #[cfg(any(test, feature = "cells"))]
            cells: cx.cells,
        }
    }

    pub(crate) fn send(&mut self, bytes: Bytes) {
        self.effects.push(Effect::Send(bytes));
    }

    pub(crate) fn resend(&mut self, bytes: &Bytes) {
        self.effects.push(Effect::Resend(bytes.clone()));
    }

    pub(crate) fn ack(&mut self, ack: &Bytes, again: bool) {
        self.effects.push(Effect::Ack {
            ack: ack.clone(),
            again,
        });
    }

    pub(crate) fn set(&mut self, timer: Timer, after: Duration) {
        self.effects.push(Effect::Set(timer, after));
    }

    pub(crate) fn stop(&mut self, timer: Timer) {
        self.effects.push(Effect::Stop(timer));
    }

    pub(crate) fn inform(&mut self, what: Inform) {
        self.effects.push(Effect::Inform(what));
    }
}

/// The state of a machine in canonical form: nothing that names or was drawn, only what decides how it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct StatePrint {
    /// The name of the machine and of its state.
    pub(crate) state: (&'static str, &'static str),
    /// The running retransmission interval, zero where there is none.
    pub(crate) interval: Duration,
    /// Whether there is a message to send again.
    pub(crate) kept: bool,
    pub(crate) reliable: bool,
}
