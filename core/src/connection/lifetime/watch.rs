//! What goes on beside the state of a connection while it is ready: its idle time (C10), bytes that the peer does not take,
//! and a keep-alive that it does not answer (R19).
//!
//! The timers of the first two are not moved for each message; when one fires, it looks whether there has been one.

use core::time::Duration;

use super::Timer;
use crate::cx::Cx;
use crate::ids::ConnId;
use crate::time::Time;
use crate::timers::{TimerId, TimerKey};

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    conn: ConnId,
    /// The idle time; zero means never.
    idle_after: Duration,
    last_traffic: Time,
    idle: Option<TimerId>,
    /// When the peer last took bytes, or the first of those began to wait that wait now.
    progress: Time,
    stall: Option<TimerId>,
    pong: Option<TimerId>,
}

impl Watch {
    pub(super) const fn new(conn: ConnId, idle: Duration, now: Time) -> Self {
        Self {
            conn,
            idle_after: idle,
            last_traffic: now,
            idle: None,
            progress: now,
            stall: None,
            pong: None,
        }
    }

    /// The connection is ready.
    pub(super) fn begin(&mut self, cx: &mut Cx<'_>) {
        self.last_traffic = cx.now;
        self.arm_idle(cx);
    }

    pub(super) const fn traffic(&mut self, now: Time) {
        self.last_traffic = now;
    }

    pub(super) fn set_idle(&mut self, after: Duration, is_ready: bool, cx: &mut Cx<'_>) {
        self.idle_after = after;
        if is_ready {
            self.arm_idle(cx);
        }
    }

    /// The idle timer has fired: whether it is idle. If not, the timer is armed again.
    pub(super) fn is_idle(&mut self, cx: &mut Cx<'_>) -> bool {
        self.idle = None;
        let is_idle = self.idle_until() <= cx.now;
        if !is_idle {
            self.arm_idle(cx);
        }
        is_idle
    }

    /// Bytes wait where none did.
    pub(super) fn waits(&mut self, is_ready: bool, cx: &mut Cx<'_>) {
        self.progress = cx.now;
        if self.stall.is_none() && is_ready {
            self.arm_stall(cx);
        }
    }

    pub(super) const fn progressed(&mut self, now: Time) {
        self.progress = now;
    }

    /// The timer has fired: whether the peer has taken nothing for too long. If not, and bytes are pending, the timer is
    /// armed again.
    pub(super) fn is_stalled(&mut self, pending: bool, cx: &mut Cx<'_>) -> bool {
        self.stall = None;
        let is_stalled = pending && self.progress + cx.config.write_timeout <= cx.now;
        if pending && !is_stalled {
            self.arm_stall(cx);
        }
        is_stalled
    }

    pub(super) const fn awaits_pong(&self) -> bool {
        self.pong.is_some()
    }

    pub(super) fn await_pong(&mut self, cx: &mut Cx<'_>) {
        if self.pong.is_none() {
            let key = TimerKey::Connection(self.conn, Timer::Pong);
            self.pong = Some(cx.timers.set(cx.now + cx.config.pong_timeout, key));
        }
    }

    /// The answer has come, or nobody wants to know any more.
    pub(super) fn stop_pong(&mut self, cx: &mut Cx<'_>) {
        if let Some(timer) = self.pong.take() {
            cx.timers.stop(timer);
        }
    }

    /// The connection is not ready any more.
    pub(super) fn stop(&mut self, cx: &mut Cx<'_>) {
        let timers = [self.idle.take(), self.stall.take(), self.pong.take()];
        for timer in timers.into_iter().flatten() {
            cx.timers.stop(timer);
        }
    }

    /// See [`LifetimePrint`](super::LifetimePrint).
    pub(super) fn fingerprint(
        &self,
        now: Time,
    ) -> (Option<[Duration; 2]>, Option<[Duration; 2]>, Option<Duration>) {
        let left = |timer: TimerId| timer.at().since(now);
        (
            self.idle.map(|timer| [self.idle_until().since(now), left(timer)]),
            self.stall.map(|timer| [now.since(self.progress), left(timer)]),
            self.pong.map(left),
        )
    }

    #[cfg(test)]
    pub(super) const fn timer(&self, timer: Timer) -> Option<TimerId> {
        match timer {
            Timer::Idle => self.idle,
            Timer::Stall => self.stall,
            Timer::Pong => self.pong,
            Timer::Connect | Timer::Unproven | Timer::Linger | Timer::Flush | Timer::Authorization => None,
        }
    }

    fn idle_until(&self) -> Time {
        self.last_traffic + self.idle_after
    }

    fn arm_idle(&mut self, cx: &mut Cx<'_>) {
        if let Some(timer) = self.idle.take() {
            cx.timers.stop(timer);
        }
        if !self.idle_after.is_zero() {
            let key = TimerKey::Connection(self.conn, Timer::Idle);
            self.idle = Some(cx.timers.set(self.idle_until(), key));
        }
    }

    fn arm_stall(&mut self, cx: &mut Cx<'_>) {
        if !cx.config.write_timeout.is_zero() {
            let key = TimerKey::Connection(self.conn, Timer::Stall);
            let at = self.progress + cx.config.write_timeout;
            self.stall = Some(cx.timers.set(at, key));
        }
    }
}
