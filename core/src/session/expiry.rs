//! What messages say of a session's timer (RFC 4028, rule S11), and what the machine of it asks for.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use super::invitation::State;
use super::timer::{Effect, FLOOR, Input, SessionTimer, Timer};
use super::{Below, Session, Sessions, start};
use crate::config::Config;
use crate::cx::Cx;
use crate::diagnosis::Diagnosis;
use crate::event::{Event, ExtraHeaders, OperationError};
use crate::exchange::SessionPart;
use crate::ids::SessionId;
use crate::wire::header::{MinSe, Refresher, SessionExpires, Supported, field, to_string};
use crate::wire::{HeaderName, Message, Method, StatusCode};

/// The option tag of RFC 4028.
pub(crate) const TAG: &str = "timer";

/// The shortest interval that this side takes.
fn least(config: &Config) -> Duration {
    config.min_session_expires.max(FLOOR)
}

fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

/// Whether its sender knows session timers.
fn knows(message: &Message) -> bool {
    message
        .list::<Supported<'_>>()
        .any(|tag| tag.is_ok_and(|tag| tag.as_str().eq_ignore_ascii_case(TAG)))
}

/// What a request asks for: the interval, and who is to refresh.
fn asked(request: &Message) -> Option<(Duration, Option<Refresher>)> {
    let value = request.typed::<SessionExpires<'_>>().ok().flatten()?;
    Some((Duration::from_secs(value.seconds.into()), value.refresher()))
}

/// Why an INVITE or UPDATE asks for too short an interval: 422 with this Min-SE. Who does not know session timers is not
/// refused (RFC 4028 section 9).
pub(crate) fn too_brief(request: &Message, config: &Config) -> Option<(HeaderName, Box<str>)> {
    let (interval, _) = asked(request)?;
    let least = least(config);
    (knows(request) && interval < least)
        .then(|| (HeaderName::MinSe, to_string(&MinSe::new(seconds(least))).into()))
}

/// The fields of a request that asks for so long an interval. A new session leaves it to the callee who refreshes.
fn request_fields(interval: Duration, refresher: Option<Refresher>, config: &Config) -> ExtraHeaders {
    let least = least(config);
    let interval = interval.max(least);
    let mut fields = alloc::vec![field(&SessionExpires::new(seconds(interval), refresher))];
    if least > FLOOR {
        fields.push(field(&MinSe::new(seconds(least))));
    }
    fields
}

impl Session {
    /// What our INVITE says of it.
    pub(super) fn invite_fields(&self, config: &Config) -> ExtraHeaders {
        let wanted = self.local.session_timer;
        wanted.map_or_else(Vec::new, |interval| request_fields(interval, None, config))
    }

    /// What a request of ours inside says of it: who refreshes stays as it is.
    pub(super) fn refresh_fields(&self, config: &Config) -> ExtraHeaders {
        self.agreed_timer().map_or_else(Vec::new, |(interval, ours)| {
            let refresher = if ours { Refresher::Uac } else { Refresher::Uas };
            request_fields(interval, Some(refresher), config)
        })
    }

    /// What a change of ours says of it.
    pub(super) fn change_fields(&self, config: &Config) -> ExtraHeaders {
        let fields = self.refresh_fields(config);
        if fields.is_empty() {
            self.invite_fields(config)
        } else {
            fields
        }
    }

    /// What our 2xx to the peer's INVITE or UPDATE agrees to, with the fields that say so. The peer's wish counts, else
    /// what was agreed before, else our own wish; who refreshes is as the peer asks, else as it was, else the peer if
    /// it can.
    pub(super) fn agree(&self, request: &Message, config: &Config) -> (Input, Vec<(HeaderName, Box<str>)>) {
        let before = self.agreed_timer();
        let asked = asked(request);
        let least_of_peer = request.typed::<MinSe<'_>>().ok().flatten();
        let least_of_peer = least_of_peer.map_or(Duration::ZERO, |it| Duration::from_secs(it.seconds.into()));
        let wish = before
            .map(|(interval, _)| interval)
            .or(self.local.session_timer)
            .map(|interval| interval.max(least_of_peer));
        let Some(interval) = asked.map(|(interval, _)| interval).or(wish) else {
            return (Input::NotAgreed, Vec::new());
        };
        let interval = interval.max(least(config));
        let ours = match asked.and_then(|(_, refresher)| refresher) {
            Some(refresher) => refresher == Refresher::Uas,
            None => before.map_or_else(|| !knows(request), |(_, ours)| ours),
        };
        let refresher = if ours { Refresher::Uas } else { Refresher::Uac };
        let value = to_string(&SessionExpires::new(seconds(interval), Some(refresher)));
        let mut fields = alloc::vec![(HeaderName::SessionExpires, Box::from(value))];
        // RFC 4028 section 9: whoever is to refresh has to know that.
        if !ours {
            fields.push((HeaderName::Require, Box::from(TAG)));
        }
        (Input::Agreed { interval, ours }, fields)
    }
}

/// What the peer's 2xx to our INVITE or UPDATE agrees to (RFC 4028 section 7.2). Less than there can be is no reason to
/// refresh more often.
fn agreed(response: &Message) -> Input {
    match asked(response) {
        None => Input::NotAgreed,
        Some((interval, refresher)) => Input::Agreed {
            interval: interval.max(FLOOR),
            ours: refresher != Some(Refresher::Uas),
        },
    }
}

impl Sessions {
    /// How long a session lasts without a refresh, and whether this side refreshes it.
    pub(crate) fn session_timer(&self, id: SessionId) -> Option<(Duration, bool)> {
        self.table.get(&id)?.timer.as_ref()?.agreed()
    }

    /// Our INVITE or UPDATE was answered 2xx.
    pub(super) fn on_agreed(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        response: &Message,
    ) {
        self.step_timer(cx, below, id, agreed(response));
    }

    /// Our UPDATE was answered, or will not be.
    pub(super) fn on_refresh_outcome(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        result: &Result<Box<Message>, OperationError>,
    ) {
        let input = match result {
            Ok(response) => agreed(response),
            Err(OperationError::Timeout) => Input::Lost,
            Err(error) => match error.response().and_then(Message::status) {
                Some(StatusCode::REQUEST_TIMEOUT | StatusCode::NO_SUCH_CALL) => Input::Lost,
                Some(_) | None => Input::Refused,
            },
        };
        // An UPDATE that tells our new address is no refresh that was due.
        let refreshes = self.table.get(&id).and_then(|session| session.timer.as_ref());
        if result.is_ok() || refreshes.is_some_and(|timer| timer.is_refreshing()) {
            self.step_timer(cx, below, id, input);
        }
    }

    /// A change of ours was refused, which may have been to refresh the session.
    pub(super) fn on_not_refreshed(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId) {
        let timer = self.table.get(&id).and_then(|session| session.timer.as_ref());
        if timer.is_some_and(|timer| timer.is_refreshing()) {
            self.step_timer(cx, below, id, Input::Refused);
        }
    }

    pub(super) fn step_timer(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        input: Input,
    ) {
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        // Most sessions have none, and need none for hearing so.
        if session.timer.is_none() && !matches!(input, Input::Agreed { .. }) {
            return;
        }
        let lost = matches!(input, Input::Lost);
        let timer = session
            .timer
            .get_or_insert_with(|| Box::new(SessionTimer::new(id)));
        if timer.is_over() {
            return;
        }
        let mut effects = Vec::new();
        timer.step(cx, input, &mut effects);
        for effect in effects {
            match effect {
                Effect::Refresh => self.refresh(cx, below, id),
                Effect::Expire => self.expire(cx, below, id, lost),
            }
        }
    }

    /// A bodiless UPDATE where the peer takes it; else the application has to negotiate anew.
    fn refresh(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId) {
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        if !matches!(session.invitation.machine_state(), State::Connected) {
            return;
        }
        if !session.updates {
            return cx.out.event(Event::RefreshNeeded { session: id });
        }
        // One that tells the peer our new address is one, too.
        if session.refresh.is_none() {
            self.send_refresh(cx, below, id);
        }
    }

    /// Sends an UPDATE that changes nothing.
    pub(super) fn send_refresh(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId) {
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        let Some(dialog) = &session.dialog else { return };
        let mut draft = dialog.request(Method::Update, Some(session.local.contact.clone()));
        draft.block = session.local.voice.request(&Method::Update);
        draft.extra = session.refresh_fields(cx.config);
        session.refresh = Some(start(cx, below, session, id, draft, SessionPart::Refresh));
    }

    fn expire(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId, lost: bool) {
        let session = self.table.get(&id);
        let lives =
            session.is_some_and(|session| matches!(session.invitation.machine_state(), State::Connected));
        if lives {
            // Its completion is nobody's.
            let end = cx.ids.next();
            let why = if lost {
                Diagnosis::NotRefreshed
            } else {
                Diagnosis::Expired
            };
            self.terminate(cx, below, id, end, Some(why));
        }
    }

    /// A timer of a session's timer.
    pub(crate) fn handle_refresh_timer(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        timer: Timer,
    ) {
        self.step_timer(cx, below, id, Input::Fired(timer));
    }
}
