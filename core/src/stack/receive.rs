//! Messages that arrive: refused, matched with their transaction, and dispatched (rules M3, M5, M6).

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::parts::{Parts, below, pending};
use crate::auth::Admission;
use crate::counters::{Kind, Label};
use crate::diagnosis::Diagnosis;
use crate::endpoint::{Life, Notice, REGISTRATION_EVENT, ReliableResponses};
use crate::error::ParseError;
use crate::event::Event;
use crate::exchange::{Pending, Reply};
use crate::ids::{ConnId, EndpointId, SessionId, SubscriptionId, TransactionId, WatcherId};
use crate::session::{self, Inside, RELIABLE, takes_reliable};
use crate::subscription::EVENT_LIST;
use crate::subscription::Taken;
use crate::transaction::{ResponseMatch, ServerMatch};
use crate::wire::check::{self, Body, Refusal, UserAgent};
use crate::wire::frame::{FrameError, FrameErrorKind};
use crate::wire::header::Event as EventHeader;
use crate::wire::write::ResponseBuilder;
use crate::wire::{HeaderName, Message, Method, StatusCode, is_over_limit};

impl Parts<'_> {
    /// A framed message.
    pub(super) fn receive(&mut self, conn: ConnId, bytes: Bytes) {
        let limits = &self.cx.config.limits.message;
        match Message::parse(bytes.clone(), limits) {
            Ok(message) if message.is_request() => self.receive_request(conn, message),
            Ok(message) => self.receive_response(conn, message),
            Err(error) => {
                self.cx.counters.malformed += 1;
                self.cx.counters.refusals.message += u64::from(is_over_limit(&error));
                if let Ok(head) = Message::parse_head(bytes, limits) {
                    self.refuse(conn, &head, &Refusal::from(error));
                }
            }
        }
    }

    /// What the server has to sign and has not, or not well, nobody hears of (A4).
    fn admits(&mut self, conn: ConnId, message: &Message) -> bool {
        let admission = self.low.auth.admit(&mut self.cx, conn, message);
        let dropped = &mut self.cx.counters.dropped;
        match admission {
            Admission::Taken => return true,
            Admission::Associated(endpoint) => {
                self.exchanges.gate(&self.low, endpoint);
                return true;
            }
            Admission::Unsigned => dropped.unsigned += 1,
            Admission::Forged => dropped.forged += 1,
            Admission::Replayed => dropped.replayed += 1,
        }
        false
    }

    /// The stream cannot be cut any further; if the head of a request could be read, its sender is told.
    pub(super) fn refuse_framing(&mut self, conn: ConnId, error: &FrameError) {
        self.cx.counters.malformed += 1;
        let too_long = matches!(
            error.kind,
            FrameErrorKind::HeadersTooLong | FrameErrorKind::BodyTooLong
        );
        self.cx.counters.refusals.message += u64::from(too_long);
        let Some(status) = error.kind.status() else { return };
        let Ok(head) = Message::parse_head(error.head.clone(), &self.cx.config.limits.message) else {
            return;
        };
        if head.is_request() {
            let reason = Some(error.kind.reason());
            self.respond_statelessly(conn, &head, status, reason, &[]);
        }
    }

    fn receive_response(&mut self, conn: ConnId, message: Message) {
        if check::response(&message).is_err() || message.defect().is_some() {
            self.count_malformed(&message);
            return;
        }
        self.low.connections.proven(&mut self.cx, conn);
        let status = message.status().unwrap_or(StatusCode::TRYING);
        self.cx.counters.received.count(Kind::response(status));
        if !self.admits(conn, &message) {
            return;
        }
        let mut out = Vec::new();
        let found = self
            .low
            .transactions
            .handle_response(&mut self.cx, &mut out, &message, |exchange| {
                self.exchanges.is_answered_by(exchange, &message)
            });
        self.low.flush(&mut self.cx, out);
        match found {
            ResponseMatch::Indication(indication) => self.on_transaction(indication, None),
            ResponseMatch::Absorbed => self.cx.counters.retransmissions.received += 1,
            ResponseMatch::Stray => self.receive_stray(conn, &message),
        }
    }

    fn count_malformed(&mut self, message: &Message) {
        self.cx.counters.malformed += 1;
        self.cx.counters.refusals.message += u64::from(message.defect().is_some_and(is_over_limit));
    }

    fn receive_stray(&mut self, conn: ConnId, response: &Message) {
        let invite = response.cseq().is_ok_and(|cseq| cseq.method == Method::Invite);
        let success = response.status().is_some_and(StatusCode::is_success);
        if invite && success {
            self.sessions
                .handle_stray(&mut self.cx, below!(self), conn, response);
        }
    }

    fn receive_request(&mut self, conn: ConnId, message: Message) {
        if let Err(mut refusal) = check::request(&message) {
            self.count_malformed(&message);
            if !self.admits(conn, &message) {
                return;
            }
            if refusal.status == StatusCode::NOT_IMPLEMENTED {
                let methods = crate::endpoint::allow(&crate::endpoint::Profile::default());
                refusal.headers.push((HeaderName::Allow, methods));
            }
            return self.refuse(conn, &message, &refusal);
        }
        self.low.connections.proven(&mut self.cx, conn);
        if let Some(method) = message.method() {
            self.cx.counters.received.count(Kind::request(method));
        }
        if !self.admits(conn, &message) {
            return;
        }
        // What came in one read with a request whose answer closed the connection: nobody is left to be answered.
        if message.method() != Some(&Method::Ack) && self.low.connections.manager_of(conn).is_none() {
            return;
        }
        if message.method() == Some(&Method::Benotify) {
            return self.receive_benotify(conn, &message);
        }
        let mut out = Vec::new();
        let found = self
            .low
            .transactions
            .receive_request(&mut self.cx, &mut out, conn, &message);
        self.low.flush(&mut self.cx, out);
        match found {
            Err(error) => self.refuse(conn, &message, &Refusal::from(error)),
            Ok(ServerMatch::Full) => {
                self.respond_statelessly(
                    conn,
                    &message,
                    StatusCode::SERVICE_UNAVAILABLE,
                    None,
                    &retry_later(),
                );
            }
            Ok(ServerMatch::Retransmission(_)) => self.cx.counters.retransmissions.received += 1,
            Ok(ServerMatch::Ack { .. }) => {}
            Ok(ServerMatch::AckForSuccess(_)) => {
                if let Some(session) = self.sessions.find(&message) {
                    self.sessions
                        .handle_ack(&mut self.cx, below!(self), session, &message);
                }
            }
            Ok(ServerMatch::Cancel { own, of }) => self.receive_cancel(conn, message, own, of),
            Ok(ServerMatch::New(transaction)) if self.is_too_much(&message) => {
                if let Some(pending) = pending(&mut self.cx, self.low.connections, transaction, conn, message)
                {
                    let headers = &retry_later();
                    let reply = Reply {
                        headers,
                        ..Reply::refusal(StatusCode::SERVICE_UNAVAILABLE, Diagnosis::TooMany)
                    };
                    self.low.reply(&mut self.cx, &pending, &reply);
                }
            }
            Ok(ServerMatch::New(transaction)) => self.dispatch(conn, message, transaction),
        }
    }

    /// Whether the application has enough requests before it (C23). What ends something, or goes with a call that it has, is
    /// no new burden.
    fn is_too_much(&mut self, message: &Message) -> bool {
        let is_ending = matches!(message.method(), Some(Method::Bye | Method::Prack));
        let is_too_much = !is_ending && self.incomings.is_throttled(&self.cx);
        self.cx.counters.refusals.message_throttle += u64::from(is_too_much);
        is_too_much
    }

    fn receive_cancel(
        &mut self,
        conn: ConnId,
        cancel: Message,
        own: TransactionId,
        of: Option<TransactionId>,
    ) {
        let Some(mut cancel) = pending(&mut self.cx, self.low.connections, own, conn, cancel) else {
            return;
        };
        let Some(of) = of else {
            self.low
                .reply(&mut self.cx, &cancel, &Reply::new(StatusCode::NO_SUCH_CALL));
            return;
        };
        // RFC 3261 section 9.2: the To tag of both responses is the same.
        if let Some(invite) = self.sessions.invite(of) {
            cancel.tag.clone_from(&invite.tag);
        }
        self.low.reply(&mut self.cx, &cancel, &Reply::new(StatusCode::OK));
        if self.low.transactions.awaits_final(of) {
            self.sessions
                .handle_cancel(&mut self.cx, below!(self), of, &cancel.message);
        }
    }

    /// Nothing answers a BENOTIFY (M3): what a NOTIFY would be refused for drops it.
    fn receive_benotify(&mut self, conn: ConnId, message: &Message) {
        let session = self.sessions.find(message);
        if session.is_none()
            && let Some(subscription) = self.subscriptions.find(message)
        {
            let lists = self.subscriptions.takes_lists(subscription);
            if support_notice(message, lists).is_ok() && !self.is_too_much(message) {
                self.take_notify(subscription, conn, message);
            }
            return;
        }
        let endpoint = match session {
            Some(session) => self.sessions.endpoint(session),
            None => self.find_endpoint(conn, message),
        };
        let notice = self.notice(conn, session, endpoint, message);
        match notice {
            None | Some(Notice::Stands(_)) => {}
            Some(notice) => {
                if let (Notice::Ends(endpoint, reason), Ok(_)) = (notice, support_notice(message, false)) {
                    self.endpoints
                        .deregister(&mut self.cx, below!(self), endpoint, reason, conn);
                }
                self.cx.counters.malformed += u64::from(notice == Notice::Malformed);
                return;
            }
        }
        let Ok(body) = self.support(endpoint, message, session.is_some()) else {
            return;
        };
        if session.is_none() && notice.is_none() && claims_dialog(message) {
            return;
        }
        if self.is_too_much(message) {
            return;
        }
        if let Some(session) = session {
            if !self.sessions.take_cseq(session, message) {
                return;
            }
            let incoming = self.cx.ids.next();
            let message = Box::new(taken_of(message, body));
            self.cx.out.event(Event::SessionMessage {
                session,
                incoming,
                message,
            });
        } else if let Some(endpoint) = endpoint {
            let incoming = self.cx.ids.next();
            let message = Box::new(taken_of(message, body));
            self.cx.out.event(Event::MessageReceived {
                endpoint,
                incoming,
                message,
            });
        }
    }

    fn find_endpoint(&self, conn: ConnId, request: &Message) -> Option<EndpointId> {
        let (manager, _) = self.low.connections.manager_of(conn)?;
        let here = self.low.connections.ends(conn).map(|(local, _)| local.ip());
        self.endpoints
            .find(request, manager, here, self.cx.config.strict_dispatch)
    }

    /// A new request: its dialog, else its endpoint, else nobody (M5).
    fn dispatch(&mut self, conn: ConnId, message: Message, transaction: TransactionId) {
        let message = message.to_owned_small();
        let Some(mut pending) = pending(&mut self.cx, self.low.connections, transaction, conn, message)
        else {
            return;
        };
        let session = self.sessions.find(&pending.message);
        if session.is_none()
            && pending.message.method() == Some(&Method::Notify)
            && let Some(subscription) = self.subscriptions.find(&pending.message)
        {
            return self.receive_notify(subscription, &pending);
        }
        if session.is_none()
            && pending.message.method() == Some(&Method::Subscribe)
            && let Some(watcher) = self.watchers.find(&pending.message)
        {
            return self.receive_resubscribe(watcher, &pending);
        }
        let endpoint = match session {
            Some(session) => self.sessions.endpoint(session),
            None => self.find_endpoint(conn, &pending.message),
        };
        if let Some(notice) = self.notice(conn, session, endpoint, &pending.message) {
            return self.receive_notice(conn, notice, pending);
        }
        match self.support(endpoint, &pending.message, session.is_some()) {
            Ok(Body::Taken) => {}
            Ok(Body::Ignored) => *pending.message = pending.message.without_body(),
            Err(refusal) => return self.refuse_pending(&pending, &refusal),
        }
        match (session, endpoint) {
            (Some(session), _) => self.dispatch_inside(session, pending),
            (None, _) if claims_dialog(&pending.message) => {
                let reply = Reply::refusal(StatusCode::NO_SUCH_CALL, Diagnosis::NoDialog);
                self.low.reply(&mut self.cx, &pending, &reply);
            }
            (None, Some(endpoint)) => self.dispatch_outside(endpoint, pending),
            (None, None) => {
                let known = self.endpoints.has_user(&pending.message);
                let (status, why) = if known {
                    (StatusCode::TEMPORARILY_UNAVAILABLE, Diagnosis::NotTaken)
                } else {
                    (StatusCode::NOT_FOUND, Diagnosis::NobodyHere)
                };
                self.low
                    .reply(&mut self.cx, &pending, &Reply::refusal(status, why));
            }
        }
    }

    /// A NOTIFY of a subscription, which the stack answers itself; no application has to take NOTIFY for that.
    fn receive_notify(&mut self, subscription: SubscriptionId, pending: &Pending) {
        let lists = self.subscriptions.takes_lists(subscription);
        if let Err(refusal) = support_notice(&pending.message, lists) {
            return self.refuse_pending(pending, &refusal);
        }
        let taken = self.take_notify(subscription, pending.conn, &pending.message);
        let (status, reason) = match taken {
            Taken::Yes(_) => (StatusCode::OK, ""),
            Taken::No(status, reason) => (status, reason),
        };
        self.cx.counters.malformed += u64::from(status == StatusCode::BAD_REQUEST);
        let reply = Reply {
            reason: (!reason.is_empty()).then_some(reason),
            ..Reply::new(status)
        };
        self.low.reply(&mut self.cx, pending, &reply);
    }

    /// A SUBSCRIBE in the dialog of a subscription.
    fn receive_resubscribe(&mut self, watcher: WatcherId, pending: &Pending) {
        let agent = UserAgent {
            methods: &[Method::Subscribe],
            options: &crate::endpoint::OPTION_TAGS,
            content_types: &[],
        };
        if let Err(refusal) = check::support(&pending.message, &agent) {
            return self.refuse_pending(pending, &refusal);
        }
        self.watchers
            .handle_subscribe(&mut self.cx, below!(self), watcher, pending);
    }

    /// Somebody wants to subscribe: the application decides (B5). Nothing new begins while the stack drains.
    fn receive_subscribe(&mut self, endpoint: EndpointId, pending: Pending) {
        if self.sessions.is_closed() {
            let reply = Reply::new(StatusCode::TEMPORARILY_UNAVAILABLE);
            self.low.reply(&mut self.cx, &pending, &reply);
            return;
        }
        let package = pending.message.raw(HeaderName::Event).unwrap_or_default();
        let package = String::from_utf8_lossy(package).trim().to_owned();
        if !matches!(pending.message.typed::<EventHeader<'_>>(), Ok(Some(_))) {
            let reply = Reply::new(StatusCode::BAD_EVENT);
            self.low.reply(&mut self.cx, &pending, &reply);
            return;
        }
        if self.subscriptions.len() + self.watchers.len() >= self.cx.config.limits.subscriptions {
            self.cx.counters.refusals.subscriptions += 1;
            let reply = Reply {
                headers: &retry_later(),
                ..Reply::new(StatusCode::SERVICE_UNAVAILABLE)
            };
            self.low.reply(&mut self.cx, &pending, &reply);
            return;
        }
        let Some(local) = self.endpoints.local(endpoint) else {
            return;
        };
        let (message, refused) = (pending.message.clone(), pending.clone());
        match self.watchers.receive(
            &mut self.cx,
            self.exchanges,
            &mut self.low,
            local,
            &package,
            pending,
        ) {
            Ok(watcher) => {
                self.endpoints.add_life(endpoint, Life::Watcher(watcher));
                self.cx.out.event(Event::WatcherReceived {
                    endpoint,
                    watcher,
                    message,
                });
            }
            Err(error) => self.refuse_pending(&refused, &Refusal::from(error)),
        }
    }

    fn take_notify(&mut self, subscription: SubscriptionId, conn: ConnId, notify: &Message) -> Taken {
        let taken = self
            .subscriptions
            .handle_notify(&mut self.cx, below!(self), subscription, conn, notify);
        if let Taken::Yes(Some((endpoint, forked))) = taken {
            self.endpoints.add_life(endpoint, Life::Subscription(forked));
        }
        taken
    }

    /// Whether a request is the registrar's word on a registration (R13); what is in a session's dialog is the session's.
    fn notice(
        &self,
        conn: ConnId,
        session: Option<SessionId>,
        endpoint: Option<EndpointId>,
        message: &Message,
    ) -> Option<Notice> {
        if session.is_some() || !matches!(message.method(), Some(Method::Notify | Method::Benotify)) {
            return None;
        }
        let (manager, _) = self.low.connections.manager_of(conn)?;
        let here = self.low.connections.ends(conn).map(|(local, _)| local.ip());
        let strict = self.cx.config.strict_dispatch;
        self.endpoints
            .read_notice(message, conn, (manager, here), endpoint, strict)
    }

    /// The registrar's word on a registration, which the stack answers itself.
    fn receive_notice(&mut self, conn: ConnId, notice: Notice, pending: Pending) {
        if let Err(refusal) = support_notice(&pending.message, false) {
            return self.refuse_pending(&pending, &refusal);
        }
        let accept = [(HeaderName::Accept, Box::from(REGISTRATION_EVENT))];
        let status = match notice {
            Notice::Ends(endpoint, reason) => {
                self.low
                    .reply(&mut self.cx, &pending, &Reply::new(StatusCode::OK));
                return self
                    .endpoints
                    .deregister(&mut self.cx, below!(self), endpoint, reason, conn);
            }
            Notice::Stands(endpoint) => {
                let profile = self.endpoints.profile(endpoint);
                if profile.is_some_and(|profile| profile.methods.contains(&Method::Notify)) {
                    return self.dispatch_outside(endpoint, pending);
                }
                StatusCode::OK
            }
            Notice::Foreign => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Notice::Malformed => StatusCode::BAD_REQUEST,
            Notice::Unsubscribed => StatusCode::NO_SUCH_CALL,
        };
        self.cx.counters.malformed += u64::from(notice == Notice::Malformed);
        let headers = if notice == Notice::Foreign {
            &accept[..]
        } else {
            &[]
        };
        let reply = Reply {
            headers,
            ..Reply::new(status)
        };
        self.low.reply(&mut self.cx, &pending, &reply);
    }

    fn dispatch_inside(&mut self, session: SessionId, pending: Pending) {
        match self
            .sessions
            .handle_request(&mut self.cx, below!(self), session, &pending)
        {
            Inside::Done => {}
            Inside::ForApplication(session, endpoint) => {
                let message = pending.message.clone();
                let block = self.endpoints.reply_block(endpoint, &message);
                let incoming = self.incomings.receive(&mut self.cx, pending, endpoint, block);
                self.cx.out.event(Event::SessionMessage {
                    session,
                    incoming,
                    message,
                });
            }
        }
    }

    fn dispatch_outside(&mut self, endpoint: EndpointId, pending: Pending) {
        if self.low.transactions.is_merged(pending.transaction, endpoint) {
            self.low
                .reply(&mut self.cx, &pending, &Reply::new(StatusCode::LOOP_DETECTED));
            return;
        }
        match pending.message.method() {
            Some(Method::Invite) => return self.receive_invite(endpoint, pending),
            Some(Method::Subscribe) => return self.receive_subscribe(endpoint, pending),
            _ => {}
        }
        // A REFER is taken where there is a session in whose dialog the peer can be told what comes of it.
        if pending.message.method() == Some(&Method::Refer) {
            let reply = Reply::refusal(StatusCode::FORBIDDEN, Diagnosis::NoTransfer);
            self.low.reply(&mut self.cx, &pending, &reply);
            return;
        }
        // RFC 3891 section 3.
        if pending.message.raw(HeaderName::Replaces).is_some() {
            let error = ParseError::header(HeaderName::Replaces, "only an INVITE replaces a dialog");
            return self.refuse_pending(&pending, &Refusal::from(error));
        }
        let message = pending.message.clone();
        let block = self.endpoints.reply_block(endpoint, &message);
        let incoming = self.incomings.receive(&mut self.cx, pending, endpoint, block);
        self.cx.out.event(Event::MessageReceived {
            endpoint,
            incoming,
            message,
        });
    }

    fn receive_invite(&mut self, endpoint: EndpointId, pending: Pending) {
        if self.sessions.is_closed() {
            let reply = Reply::refusal(StatusCode::TEMPORARILY_UNAVAILABLE, Diagnosis::Draining);
            self.low.reply(&mut self.cx, &pending, &reply);
            return;
        }
        if self.sessions.len() >= self.cx.config.limits.sessions {
            self.cx.counters.refusals.sessions += 1;
            let reply = Reply {
                headers: &retry_later(),
                ..Reply::refusal(StatusCode::SERVICE_UNAVAILABLE, Diagnosis::TooMany)
            };
            self.low.reply(&mut self.cx, &pending, &reply);
            return;
        }
        if let Some(least) = session::too_brief(&pending.message, self.cx.config) {
            let reply = Reply {
                headers: &[least],
                ..Reply::refusal(
                    StatusCode::SESSION_INTERVAL_TOO_SMALL,
                    Diagnosis::IntervalTooSmall,
                )
            };
            self.low.reply(&mut self.cx, &pending, &reply);
            return;
        }
        let Some(local) = self.endpoints.local(endpoint) else {
            return;
        };
        if local.reliable == ReliableResponses::Required && !takes_reliable(&pending.message) {
            let reply = Reply {
                headers: &[(HeaderName::Require, Box::from(RELIABLE))],
                ..Reply::new(StatusCode::EXTENSION_REQUIRED)
            };
            self.low.reply(&mut self.cx, &pending, &reply);
            return;
        }
        let replaces = match self.sessions.find_replaced(endpoint, &pending.message) {
            Ok(replaces) => replaces,
            Err(mut refusal) => {
                let (name, value) = Diagnosis::NotReplaceable.field(self.cx.config);
                refusal.headers.push((name, value.into()));
                return self.refuse_pending(&pending, &refusal);
            }
        };
        let message = pending.message.clone();
        let refused = pending.clone();
        let (cx, exchanges) = (&mut self.cx, &mut *self.exchanges);
        match self
            .sessions
            .receive(cx, exchanges, &mut self.low, local, pending, replaces)
        {
            Ok(session) => {
                self.endpoints.add_session(endpoint, session);
                self.cx.out.event(Event::SessionReceived {
                    endpoint,
                    session,
                    message,
                    replaces,
                });
            }
            Err(error) => self.refuse_pending(&refused, &Refusal::from(error)),
        }
    }

    /// Whether the endpoint takes such a request (E10, M6); without an endpoint, whether any of this stack would. In a
    /// session it takes what a session needs, whether it lets itself be invited or not (R15).
    fn support(
        &self,
        endpoint: Option<EndpointId>,
        message: &Message,
        in_session: bool,
    ) -> Result<Body, Refusal> {
        let profile = endpoint.and_then(|endpoint| self.endpoints.profile(endpoint));
        let default = crate::endpoint::Profile::default();
        let profile = profile.unwrap_or(&default);
        let mut methods = crate::endpoint::accepted_methods(profile);
        if in_session && !methods.contains(&Method::Invite) {
            methods.extend(crate::endpoint::session_methods(profile));
        }
        // A BENOTIFY is a NOTIFY that wants no answer.
        if message.method() == Some(&Method::Benotify) && methods.contains(&Method::Notify) {
            methods.push(Method::Benotify);
        }
        let tags = profile.option_tags.iter().map(String::as_str);
        let options: Vec<&str> = tags.chain(crate::endpoint::option_tags(profile)).collect();
        let types: Vec<&str> = profile.content_types.iter().map(String::as_str).collect();
        check::support(
            message,
            &UserAgent {
                methods: &methods,
                options: &options,
                content_types: &types,
            },
        )
    }

    fn refuse_pending(&mut self, pending: &Pending, refusal: &Refusal) {
        let headers: Vec<(HeaderName, Box<str>)> = refusal
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_str().into()))
            .collect();
        let words = reason_words(refusal);
        let reply = Reply {
            reason: words,
            headers: &headers,
            ..Reply::new(refusal.status)
        };
        self.low.reply(&mut self.cx, pending, &reply);
    }

    /// Refuses a request that has no transaction. Nothing is answered to ACK and BENOTIFY.
    fn refuse(&mut self, conn: ConnId, request: &Message, refusal: &Refusal) {
        if !request.is_request() || matches!(request.method(), Some(Method::Ack | Method::Benotify)) {
            return;
        }
        let headers: Vec<(HeaderName, Box<str>)> = refusal
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_str().into()))
            .collect();
        self.respond_statelessly(conn, request, refusal.status, reason_words(refusal), &headers);
    }

    fn respond_statelessly(
        &mut self,
        conn: ConnId,
        request: &Message,
        status: StatusCode,
        reason: Option<&str>,
        headers: &[(HeaderName, Box<str>)],
    ) {
        let tag = self.cx.entropy.hex(16);
        let mut builder = ResponseBuilder::new(self.cx.scratch, request, status, reason, Some(&tag));
        if let Some((_, remote)) = self.low.connections.ends(conn) {
            builder.via_received(remote);
        }
        for (name, value) in headers {
            builder.text(*name, value);
        }
        let bytes = builder.finish();
        // A connection that is gone, or takes no more, leaves nobody to be told.
        let _ = self
            .low
            .connections
            .send(&mut self.cx, conn, bytes, Label::response(status));
    }
}

/// What the application gets of a message.
fn taken_of(message: &Message, body: Body) -> Message {
    match body {
        Body::Taken => message.to_owned_small(),
        Body::Ignored => message.without_body().to_owned_small(),
    }
}

/// Whether the stack can read the registrar's word on a registration; no application has to take NOTIFY for that.
fn support_notice(message: &Message, lists: bool) -> Result<Body, Refusal> {
    const WITH_LISTS: [&str; 4] = {
        let [gruu, replaces, timer] = crate::endpoint::OPTION_TAGS;
        [gruu, replaces, timer, EVENT_LIST]
    };
    let agent = UserAgent {
        methods: &[Method::Notify, Method::Benotify],
        options: if lists {
            &WITH_LISTS
        } else {
            &crate::endpoint::OPTION_TAGS
        },
        content_types: &[],
    };
    check::support(message, &agent)
}

/// When a peer may ask again that was sent away because there is too much to do.
fn retry_later() -> [(HeaderName, Box<str>); 1] {
    [(HeaderName::RetryAfter, Box::from("5"))]
}

/// A syntax error names its place in the reason phrase; the other statuses speak for themselves.
fn reason_words(refusal: &Refusal) -> Option<&str> {
    (refusal.status == StatusCode::BAD_REQUEST).then_some(refusal.reason.as_str())
}

/// Whether a request makes sense only in a dialog (RFC 3261 sections 12.2.2 and 15.1.2).
fn claims_dialog(message: &Message) -> bool {
    match message.method() {
        Some(Method::Bye | Method::Prack | Method::Update) => true,
        _ => message.to().is_ok_and(|to| to.tag().is_some()),
    }
}
