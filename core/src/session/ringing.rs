//! A session that rings says so again every minute, or proxies on the way would give its INVITE up (RFC 3261 section
//! 13.3.1.1, rule S21).

use core::time::Duration;

use bytes::Bytes;

use super::invitation::State;
use super::{Below, Session, Sessions};
use crate::cx::Cx;
use crate::ids::SessionId;
use crate::timers::{TimerId, TimerKey};
use crate::wire::StatusCode;

/// RFC 3261 section 13.3.1.1.
const EVERY: Duration = Duration::from_secs(60);

/// The last provisional response, and when it is sent again.
#[derive(Clone, Debug)]
pub(super) struct Ringing {
    status: StatusCode,
    bytes: Bytes,
    again: TimerId,
}

impl Ringing {
    pub(super) const fn again(&self) -> TimerId {
        self.again
    }
}

impl Session {
    /// A provisional response was sent: it is the one that is repeated.
    pub(super) fn ring(&mut self, cx: &mut Cx<'_>, id: SessionId, status: StatusCode, bytes: Bytes) {
        self.stop_ringing(cx);
        let again = cx.timers.set(cx.now + EVERY, TimerKey::Ringing(id));
        self.ringing = Some(alloc::boxed::Box::new(Ringing { status, bytes, again }));
    }

    /// It does not ring any more.
    pub(super) fn stop_ringing(&mut self, cx: &mut Cx<'_>) {
        if let Some(ringing) = self.ringing.take() {
            cx.timers.stop(ringing.again);
        }
    }
}

impl Sessions {
    /// A minute has passed since the last provisional response.
    pub(crate) fn handle_ringing_timer(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId) {
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        let Some(ringing) = session.ringing.take() else {
            return;
        };
        if let (State::Offered { .. }, Some(invite)) = (session.invitation.machine_state(), &session.invite) {
            below
                .low
                .send_reply(cx, invite, ringing.status, ringing.bytes.clone());
            session.ring(cx, id, ringing.status, ringing.bytes);
        }
    }
}
