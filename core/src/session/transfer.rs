//! Transfers (RFC 3515, 3891, 3892; rule S14): what the machines of REFER ask for as messages, and sessions that take the
//! place of others.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::invitation::State;
use super::refer::{self, Lasts, Referral, Referrals};
use super::referee::{self, Referee};
use super::{Below, Cargo, Session, Sessions, key, start};
use crate::cx::Cx;
use crate::diagnosis::Diagnosis;
use crate::dialog::Dialog;
use crate::error::{Misuse, ParseError, Place};
use crate::event::{Content, Event, ExtraHeaders, OperationError, OperationFailure};
use crate::exchange::{Outcome, Pending, Reply, SessionPart};
use crate::ids::{EndpointId, OperationId, ReferralId, SessionId};
use crate::time::Time;
use crate::wire;
use crate::wire::check::Refusal;
use crate::wire::header::{Event as EventHeader, ReferTo, ReferredBy, Replaces, SubscriptionState};
use crate::wire::uri::{SipUri, Uri, UriHeaders};
use crate::wire::{HeaderName, Message, MessageLimits, Method, StatusCode, write};

/// The event package of REFER (RFC 3515 section 3).
const PACKAGE: &str = "refer";

/// The type of what a NOTIFY of it carries (RFC 3420).
const SIPFRAG: &str = "message/sipfrag;version=2.0";

/// What a session has to do with transfers.
#[derive(Clone, Debug, Default)]
pub(super) struct Transfers {
    ours: Referrals<Ours>,
    theirs: BTreeMap<ReferralId, Theirs>,
    /// Who wants to hear how this session comes about.
    reports_to: Option<(SessionId, ReferralId)>,
    /// The session that this one takes the place of.
    replaces: Option<SessionId>,
}

#[derive(Clone, Debug)]
struct Ours {
    operation: OperationId,
    /// What is to be sent, until it is.
    cargo: Cargo,
    /// Its number, once it was answered: what tells its NOTIFYs apart.
    cseq: Option<u32>,
}

#[derive(Clone, Debug)]
struct Theirs {
    referee: Referee,
    /// Until it is answered.
    request: Option<Pending>,
    cseq: u32,
}

/// Transfers in canonical form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Fingerprint {
    ours: Vec<refer::Fingerprint>,
    theirs: Vec<referee::Fingerprint>,
    reports: bool,
    replaces: bool,
}

impl Transfers {
    /// Of a session that takes the place of another.
    pub(super) fn replacing(replaced: SessionId) -> Self {
        Self {
            replaces: Some(replaced),
            ..Self::default()
        }
    }

    pub(super) fn fingerprint(&self, now: Time) -> Fingerprint {
        let ours = self.ours.table.values();
        let theirs = self.theirs.values();
        Fingerprint {
            ours: ours.map(|(it, _)| it.fingerprint(now)).collect(),
            theirs: theirs.map(|it| it.referee.fingerprint(now)).collect(),
            reports: self.reports_to.is_some(),
            replaces: self.replaces.is_some(),
        }
    }
}

impl Sessions {
    // --- REFERs of ours

    /// A REFER, now or when those before it are known more of.
    pub(crate) fn refer(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        target: &str,
        headers: ExtraHeaders,
        operation: OperationId,
    ) -> ReferralId {
        let referral: ReferralId = cx.ids.next();
        let Some(session) = self.table.get_mut(&id) else {
            return referral;
        };
        let mut extra = headers;
        let by = |name: &str| HeaderName::from_bytes(name.as_bytes()) == Some(HeaderName::ReferredBy);
        if !extra.iter().any(|(name, _)| by(name)) {
            let by = (HeaderName::ReferredBy, &*session.local.address);
            extra.insert(0, (by.0.as_str().to_owned(), by.1.to_owned()));
        }
        let to = alloc::format!("<{target}>");
        extra.insert(0, (HeaderName::ReferTo.as_str().to_owned(), to));
        let cargo = Cargo { content: None, extra };
        let ours = Ours {
            operation,
            cargo,
            cseq: None,
        };
        let new = (Referral::new(id, referral), ours);
        let transfers = session.transfers.get_or_insert_default();
        transfers.ours.table.insert(referral, new);
        self.release(cx, below, id);
        referral
    }

    /// How many REFERs of this side a session has under way.
    pub(crate) fn referrals(&self, id: SessionId) -> usize {
        let session = self.table.get(&id);
        let transfers = session.and_then(|session| session.transfers.as_ref());
        transfers.map_or(0, |transfers| transfers.ours.table.len())
    }

    /// Sends what may go.
    fn release(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId) {
        while let Some(session) = self.table.get(&id)
            && matches!(session.invitation.machine_state(), State::Connected)
            && let Some(next) = session.transfers.as_ref().and_then(|it| it.ours.next())
        {
            self.step_referral(cx, below, id, next, refer::Input::Release);
        }
    }

    fn step_referral(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        referral: ReferralId,
        input: refer::Input,
    ) {
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        let Some(transfers) = &mut session.transfers else {
            return;
        };
        let Some((machine, ours)) = transfers.ours.table.get_mut(&referral) else {
            return;
        };
        let mut effects = Vec::new();
        machine.step(cx, input, &mut effects);
        let cargo = core::mem::take(&mut ours.cargo);
        let operation = ours.operation;
        if machine.is_over() {
            transfers.ours.table.remove(&referral);
        }
        for effect in effects {
            match effect {
                refer::Effect::Send => {
                    let cargo = cargo.clone();
                    self.send(cx, below, id, operation, Method::Refer, cargo);
                }
                refer::Effect::Tell(state, status) => cx.out.event(Event::Referral {
                    session: id,
                    referral,
                    state,
                    status,
                }),
            }
        }
    }

    /// The REFER with this operation was answered, or will not be.
    pub(super) fn on_refer_outcome(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        operation: OperationId,
        outcome: &Outcome,
    ) {
        let transfers = self
            .table
            .get_mut(&id)
            .and_then(|session| session.transfers.as_mut());
        let Some(transfers) = transfers else { return };
        let mut ours = transfers.ours.table.iter_mut();
        let found = ours.find(|(_, (_, ours))| ours.operation == operation);
        let Some((referral, (_, ours))) = found else {
            return;
        };
        ours.cseq = Some(outcome.facts.cseq);
        let referral = *referral;
        let status = match &outcome.result {
            Ok(response) => response.status(),
            Err(error) => error.response().and_then(Message::status),
        };
        let input = match status {
            Some(status) if status.is_success() => refer::Input::Accepted(status),
            Some(status) => refer::Input::Refused(status),
            None => refer::Input::Unanswered,
        };
        self.step_referral(cx, below, id, referral, input);
        self.release(cx, below, id);
    }

    /// A NOTIFY in the session that is about a REFER; the status to answer it with.
    pub(super) fn on_report(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        request: &Pending,
    ) {
        let status = match self.read_report(below, id, &request.message) {
            Ok((referral, input, has_id)) => {
                below.low.reply(cx, request, &Reply::new(StatusCode::OK));
                if let Some(session) = self.table.get_mut(&id)
                    && let Some(transfers) = &mut session.transfers
                {
                    transfers.ours.learn(has_id);
                }
                self.step_referral(cx, below, id, referral, input);
                return self.release(cx, below, id);
            }
            Err(status) => status,
        };
        let accept = [(HeaderName::Accept, Box::from("message/sipfrag"))];
        let headers = if status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            &accept[..]
        } else {
            &[]
        };
        cx.counters.malformed += u64::from(status == StatusCode::BAD_REQUEST);
        let reply = Reply {
            headers,
            ..Reply::new(status)
        };
        below.low.reply(cx, request, &reply);
    }

    /// Which REFER a NOTIFY is about, and what it says of it; or how it is refused, which changes nothing.
    fn read_report(
        &self,
        below: &Below<'_, '_>,
        id: SessionId,
        notify: &Message,
    ) -> Result<(ReferralId, refer::Input, bool), StatusCode> {
        let bad = |_| StatusCode::BAD_REQUEST;
        let event: EventHeader<'_> = notify.required().map_err(bad)?;
        let state = SubscriptionState::of(notify).map_err(bad)?;
        let session = self.table.get(&id).ok_or(StatusCode::NO_SUCH_CALL)?;
        let transfers = session.transfers.as_ref().ok_or(StatusCode::NO_SUCH_CALL)?;
        // What is still queued has had no number yet.
        let mut sent = transfers.ours.table.iter().filter(|(_, (it, _))| !it.is_queued());
        let cseq = |ours: &Ours| {
            let exchange = session.requests.get(&ours.operation);
            let under_way = || below.exchanges.facts(*exchange?).map(|facts| facts.cseq);
            ours.cseq.or_else(under_way)
        };
        // Without an id it is of the first (RFC 3515 section 2.4.6).
        let found = match event.id() {
            Some(number) => {
                let number = number.parse().ok();
                sent.find(|(_, (_, ours))| number.is_some() && cseq(ours) == number)
            }
            None => sent.next(),
        };
        let (referral, _) = found.ok_or(StatusCode::NO_SUCH_CALL)?;
        let content_type: wire::header::ContentType<'_> = notify
            .required()
            .map_err(|_| StatusCode::UNSUPPORTED_MEDIA_TYPE)?;
        if !content_type.is("message", "sipfrag") {
            return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        let status = status_of_fragment(notify).ok_or(StatusCode::BAD_REQUEST)?;
        let lasts = match state.expires() {
            _ if state.is_terminated() => Lasts::Ended,
            Some(seconds) => Lasts::For(Duration::from_secs(seconds.into())),
            None => Lasts::AsBefore,
        };
        let input = refer::Input::Report { status, lasts };
        Ok((*referral, input, event.id().is_some()))
    }

    // --- REFERs of the peer

    /// A REFER in the session.
    pub(super) fn on_refer(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        request: &Pending,
    ) {
        let limit = cx.config.limits.referrals;
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        let read = read_refer(&request.message);
        let lives = matches!(
            session.invitation.machine_state(),
            State::Connected | State::Accepting { .. }
        );
        let leaves = matches!(session.invitation.machine_state(), State::Leaving { .. });
        let asked = session.transfers.as_ref().map_or(0, |it| it.theirs.len());
        let refusal = match &read {
            Err(refusal) => Some((*refusal, "")),
            // The peer does not know yet that the session is over (RFC 5407 section 3.3.3).
            Ok(_) if leaves => Some((StatusCode::NO_SUCH_CALL, "")),
            Ok(_) if !lives => Some((StatusCode::FORBIDDEN, "")),
            Ok(_) if asked >= limit => {
                cx.counters.refusals.referrals += 1;
                Some((StatusCode::SERVICE_UNAVAILABLE, "5"))
            }
            Ok(_) => None,
        };
        if let Some((status, retry_after)) = refusal {
            cx.counters.malformed += u64::from(status == StatusCode::BAD_REQUEST);
            let headers = [(HeaderName::RetryAfter, Box::from(retry_after))];
            let reply = Reply {
                headers: if retry_after.is_empty() { &[] } else { &headers },
                ..Reply::refusal(status, Diagnosis::NoTransfer)
            };
            below.low.reply(cx, request, &reply);
            return;
        }
        let Ok((target, headers)) = read else { return };
        let referral: ReferralId = cx.ids.next();
        let theirs = Theirs {
            referee: Referee::new(cx, id, referral),
            request: Some(request.clone()),
            cseq: request.message.cseq().map_or(0, |cseq| cseq.number),
        };
        let transfers = session.transfers.get_or_insert_default();
        transfers.theirs.insert(referral, theirs);
        cx.out.event(Event::ReferReceived {
            session: id,
            referral,
            target,
            headers,
            message: request.message.clone(),
        });
    }

    /// Whether the application may decide on a REFER; `false` where the network has overtaken it.
    pub(crate) fn may_decide_referral(&self, id: SessionId, referral: ReferralId) -> Result<bool, Misuse> {
        let Some(session) = self.table.get(&id) else {
            // Ended, and the application does not know.
            return Ok(false);
        };
        let transfers = session.transfers.as_ref();
        match transfers.and_then(|transfers| transfers.theirs.get(&referral)) {
            None => Err(Misuse::Unknown("referral")),
            Some(theirs) if theirs.referee.is_decided() => Err(Misuse::Answered),
            Some(_) => Ok(true),
        }
    }

    /// The application has made this call for a REFER: the peer hears how it goes.
    pub(crate) fn accept_referral(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        referral: ReferralId,
        call: SessionId,
    ) {
        self.step_referee(cx, below, id, referral, referee::Input::Accept);
        let so_far = match self.table.get_mut(&call) {
            Some(call) => {
                call.transfers.get_or_insert_default().reports_to = Some((id, referral));
                let connected = matches!(call.invitation.machine_state(), State::Connected);
                connected.then_some(StatusCode::OK)
            }
            None => Some(StatusCode::SERVICE_UNAVAILABLE),
        };
        if let Some(status) = so_far {
            self.step_referee(cx, below, id, referral, referee::Input::Progress(status));
        }
    }

    pub(crate) fn reject_referral(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        referral: ReferralId,
        status: StatusCode,
    ) {
        self.step_referee(cx, below, id, referral, referee::Input::Refuse(status));
    }

    /// How a call has come so far, for whoever has asked us to make it.
    pub(super) fn report(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        call: SessionId,
        status: StatusCode,
    ) {
        let session = self.table.get_mut(&call);
        let transfers = session.and_then(|session| session.transfers.as_mut());
        let Some(reports_to) = transfers.map(|transfers| &mut transfers.reports_to) else {
            return;
        };
        let reports = if status.is_final() {
            reports_to.take()
        } else {
            *reports_to
        };
        if let Some((id, referral)) = reports {
            self.step_referee(cx, below, id, referral, referee::Input::Progress(status));
        }
    }

    /// A NOTIFY of ours was answered, or will not be.
    pub(super) fn on_report_outcome(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        referral: ReferralId,
        outcome: &Outcome,
    ) {
        // RFC 6665 section 4.2.2: the subscription is over, and nothing else (RFC 5057 section 5.1).
        if outcome.result.is_err() {
            self.step_referee(cx, below, id, referral, referee::Input::Unheard);
        }
    }

    fn step_referee(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        referral: ReferralId,
        input: referee::Input,
    ) {
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        let Some(transfers) = &mut session.transfers else {
            return;
        };
        let Some(theirs) = transfers.theirs.get_mut(&referral) else {
            return;
        };
        let leaves = matches!(session.invitation.machine_state(), State::Leaving { .. });
        let mut effects = Vec::new();
        // Its answer is then the stack's own.
        let lapses = matches!(input, referee::Input::Fired);
        theirs.referee.step(cx, input, &mut effects);
        let (cseq, left) = (theirs.cseq, theirs.referee.left(cx.now));
        let mut request = theirs.request.take_if(|_| !effects.is_empty());
        if theirs.referee.is_over() {
            transfers.theirs.remove(&referral);
        }
        for effect in effects {
            match effect {
                referee::Effect::Answer(status) => {
                    if let Some(request) = request.take() {
                        let contact = status.is_success().then_some(&session.local.contact);
                        let why = lapses.then_some(Diagnosis::NotAnswered);
                        let reply = Reply {
                            contact,
                            why,
                            ..Reply::new(status)
                        };
                        below.low.reply(cx, &request, &reply);
                    }
                }
                // After our BYE nothing goes out in its dialog.
                referee::Effect::Notify(..) if leaves => {}
                referee::Effect::Notify(status, ends) => {
                    let Some(dialog) = &session.dialog else { continue };
                    let mut draft = dialog.request(Method::Notify, Some(session.local.contact.clone()));
                    draft.block = session.local.voice.full_request(&Method::Notify);
                    draft.extra = notify_headers(cseq, left, ends);
                    draft.content = Some(fragment(status));
                    start(cx, below, session, id, draft, SessionPart::Report(referral));
                }
            }
        }
    }

    /// The time of a REFER is over, of whichever side it is.
    pub(crate) fn handle_referral_timer(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        referral: ReferralId,
    ) {
        self.step_referral(cx, below, id, referral, refer::Input::Fired);
        self.step_referee(cx, below, id, referral, referee::Input::Fired);
        self.release(cx, below, id);
    }

    /// The end of a session is that of its REFERs; what it was to report of itself it reports.
    pub(super) fn end_transfers(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        transfers: Option<Box<Transfers>>,
    ) {
        let Some(mut transfers) = transfers else { return };
        for (machine, ours) in transfers.ours.table.values_mut() {
            machine.stop(cx);
            let ended = OperationError::OperationFailure(OperationFailure::SessionTerminated);
            cx.out.complete(ours.operation, Err(ended));
        }
        for theirs in transfers.theirs.values_mut() {
            theirs.referee.stop(cx);
            // RFC 3261 section 15.1.2.
            if let Some(request) = theirs.request.take() {
                below
                    .low
                    .reply(cx, &request, &Reply::new(StatusCode::REQUEST_TERMINATED));
            }
        }
        if let Some((id, referral)) = transfers.reports_to {
            let status = StatusCode::REQUEST_TERMINATED;
            self.step_referee(cx, below, id, referral, referee::Input::Progress(status));
        }
    }

    // --- Replaces

    /// The session of an endpoint that an INVITE is to take the place of; or how it is refused (RFC 3891 section 3).
    pub(crate) fn find_replaced(
        &self,
        endpoint: EndpointId,
        invite: &Message,
    ) -> Result<Option<SessionId>, Refusal> {
        let Some(replaces) = invite.typed::<Replaces<'_>>()? else {
            return Ok(None);
        };
        if invite.raw(HeaderName::Join).is_some() {
            return Err(ParseError::header(HeaderName::Replaces, "more than one dialog named").into());
        }
        let none = || refused(StatusCode::NO_SUCH_CALL);
        let id = self.by_dialog.get(&*key(&replaces.call_id, replaces.to_tag()));
        let id = *id.ok_or_else(none)?;
        let session = self.table.get(&id).ok_or_else(none)?;
        // RFC 3891 section 3: 0 stands for no tag, too.
        let tag = replaces.from_tag();
        let fits = |dialog: &Dialog| dialog.is_with(Some(tag)) || (tag == "0" && dialog.is_with(None));
        let mut dialogs = session
            .dialog
            .iter()
            .chain(session.early.iter().map(|early| &early.dialog));
        if session.local.endpoint != endpoint || !dialogs.any(fits) {
            return Err(none());
        }
        match session.invitation.machine_state() {
            State::Inviting { .. } => Ok(Some(id)),
            State::Answering { .. } | State::Accepting { .. } | State::Connected => {
                if replaces.early_only() {
                    Err(refused(StatusCode::BUSY_HERE))
                } else {
                    Ok(Some(id))
                }
            }
            State::Cancelling { .. } | State::Leaving { .. } => Err(refused(StatusCode::DECLINE)),
            // An early dialog that this side has not begun is not to be replaced.
            State::Idle | State::Redirecting { .. } | State::Offered { .. } | State::Disconnected => {
                Err(none())
            }
        }
    }

    /// A session that takes the place of another was accepted: the other ends.
    pub(super) fn end_replaced(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId) {
        let session = self.table.get_mut(&id);
        let transfers = session.and_then(|session| session.transfers.as_mut());
        if let Some(replaced) = transfers.and_then(|transfers| transfers.replaces.take())
            && self.table.contains_key(&replaced)
        {
            // Its completion is nobody's.
            let end = cx.ids.next();
            self.terminate(cx, below, replaced, end, Some(Diagnosis::Replaced));
        }
    }

    /// What a REFER names to have the peer of this session called in place of it: the remote target, with a Replaces
    /// that names the dialog as the peer knows it.
    pub(crate) fn replacement(&self, id: SessionId) -> Option<String> {
        let session = self.table.get(&id)?;
        let dialog = session.dialog.as_ref()?;
        let Ok(Uri::Sip(target)) = Uri::parse(dialog.target()) else {
            return None;
        };
        let replaces = Replaces::new(
            dialog.call_id(),
            dialog.remote_tag.as_deref().unwrap_or("0"),
            &dialog.local_tag,
        );
        let mut headers = UriHeaders::default();
        headers.add(HeaderName::Replaces.as_str(), &wire::header::to_string(&replaces));
        Some(SipUri { headers, ..target }.to_string())
    }
}

impl Session {
    /// Whether a NOTIFY in it is about a REFER.
    pub(super) fn is_report(notify: &Message) -> bool {
        let event = notify.typed::<EventHeader<'_>>();
        event.is_ok_and(|event| event.is_some_and(|event| event.package.eq_ignore_ascii_case(PACKAGE)))
    }
}

/// The target of a REFER, and the header fields for an INVITE to it: those that Refer-To asks for as far as they are the
/// application's to give, and Referred-By. Or how the REFER is refused.
fn read_refer(refer: &Message) -> Result<(String, ExtraHeaders), StatusCode> {
    let bad = |_| StatusCode::BAD_REQUEST;
    let ReferTo(to) = refer.required().map_err(bad)?;
    let by: Option<ReferredBy<'_>> = refer.typed().map_err(bad)?;
    let mut uri = match to.uri {
        Uri::Sip(uri) => uri,
        uri @ Uri::Tel(_) => return Ok((uri.to_string(), referred_by(by.is_some(), refer))),
        Uri::Other(_) => return Err(StatusCode::UNSUPPORTED_URI_SCHEME),
    };
    // Nothing but calls is made for others.
    let method = uri.method_param().map(ToOwned::to_owned);
    if method.is_some_and(|method| !method.eq_ignore_ascii_case(Method::Invite.as_str())) {
        return Err(StatusCode::DECLINE);
    }
    let mut headers: ExtraHeaders = Vec::new();
    for (name, value) in uri.headers.iter() {
        let Some(value) = wire::uri::unescape_str(value) else {
            return Err(StatusCode::BAD_REQUEST);
        };
        let known = HeaderName::from_bytes(name.as_bytes());
        let is_ours = matches!(
            known,
            Some(HeaderName::ReferredBy | HeaderName::ContentDisposition)
        );
        if write::check_header(name, &value).is_ok() && !is_ours {
            headers.push((name.to_owned(), value.into_owned()));
        }
    }
    headers.extend(referred_by(by.is_some(), refer));
    uri.headers = UriHeaders::default();
    uri.params.remove("method");
    Ok((uri.to_string(), headers))
}

/// Referred-By as it came: it may be signed (RFC 3892 section 3).
fn referred_by(is_there: bool, refer: &Message) -> ExtraHeaders {
    let raw = refer.raw(HeaderName::ReferredBy).filter(|_| is_there);
    raw.map(|raw| String::from_utf8_lossy(raw).trim().to_owned())
        .map(|value| (HeaderName::ReferredBy.as_str().to_owned(), value))
        .into_iter()
        .collect()
}

/// A refusal whose status speaks for itself.
fn refused(status: StatusCode) -> Refusal {
    Refusal {
        status,
        reason: String::new(),
        place: Place::StartLine,
        headers: Vec::new(),
    }
}

/// The status line that a NOTIFY carries.
fn status_of_fragment(notify: &Message) -> Option<StatusCode> {
    let body = notify.body();
    let line = body.split(|byte| matches!(byte, b'\r' | b'\n')).next()?;
    let mut head = line.to_vec();
    head.extend_from_slice(b"\r\n\r\n");
    let fragment = Message::parse_head(head.into(), &MessageLimits::default()).ok()?;
    fragment.status()
}

fn fragment(status: StatusCode) -> Content {
    let line = alloc::format!("SIP/2.0 {} {}\r\n", status.code(), status.default_reason());
    Content::new(SIPFRAG, line)
}

fn notify_headers(cseq: u32, left: Duration, ends: Option<&str>) -> ExtraHeaders {
    let state = match ends {
        Some(reason) => alloc::format!("terminated;reason={reason}"),
        None => alloc::format!("active;expires={}", left.as_secs()),
    };
    alloc::vec![
        (
            HeaderName::Event.as_str().to_owned(),
            alloc::format!("{PACKAGE};id={cseq}"),
        ),
        (HeaderName::SubscriptionState.as_str().to_owned(), state),
    ]
}
