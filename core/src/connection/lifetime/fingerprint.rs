//! Connections in canonical form.

use core::time::Duration;

use super::{Lifetime, Role, State};
use crate::event::RemovalReason;
use crate::locate::SearchPrint;
use crate::time::Time;

/// The state of a connection in canonical form: no ids, timers relative to now.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LifetimePrint {
    pub(crate) state: &'static str,
    pub(crate) incoming: bool,
    pub(crate) shared: bool,
    pub(crate) remaining: Option<Duration>,
    /// How long it has to go until it is idle, and its timer.
    pub(crate) idle: Option<[Duration; 2]>,
    /// How long no byte was taken, and how long the timer has to go that looks.
    pub(crate) stall: Option<[Duration; 2]>,
    pub(crate) pong: Option<Duration>,
    pub(crate) search: Option<SearchPrint>,
    /// Why it is leaving.
    pub(crate) reason: Option<RemovalReason>,
}

impl Lifetime {
    pub(in crate::connection) fn fingerprint(&self, now: Time) -> LifetimePrint {
        let (state, timer, search) = match &self.state {
            State::Locating { search } => ("locating", None, Some(search)),
            State::Connecting { search, timeout, .. } => ("connecting", Some(timeout), Some(search)),
            State::Handshaking { deadline } => ("handshaking", Some(deadline), None),
            State::Held { deadline } => ("held", Some(deadline), None),
            State::Unproven { deadline } => ("unproven", Some(deadline), None),
            State::Live => ("live", None, None),
            State::Lingering { deadline } => ("lingering", Some(deadline), None),
            State::Parting { resume, .. } => ("parting", Some(resume), None),
            State::Closing { deadline, .. } => ("closing", Some(deadline), None),
            State::Gone => ("gone", None, None),
        };
        let reason = match &self.state {
            State::Parting { reason, .. } | State::Closing { reason, .. } => Some(reason.clone()),
            State::Locating { .. }
            | State::Connecting { .. }
            | State::Handshaking { .. }
            | State::Held { .. }
            | State::Unproven { .. }
            | State::Live
            | State::Lingering { .. }
            | State::Gone => None,
        };
        let (idle, stall, pong) = self.watch.fingerprint(now);
        LifetimePrint {
            state,
            incoming: matches!(self.role, Role::Incoming { .. }),
            shared: matches!(self.role, Role::Shared(_)),
            remaining: timer.map(|timer| timer.at().since(now)),
            idle,
            stall,
            pong,
            search: search.map(|search| search.fingerprint()),
            reason,
        }
    }
}
