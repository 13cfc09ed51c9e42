//! What the network brings to a subscription: the outcomes of its SUBSCRIBEs, and NOTIFY (RFC 6665 section 4.1.3).

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use core::time::Duration;

use super::usage::{Input, Refusal, Standing, State, Timer, Usage, Why};
use super::{Known, PIGGYBACK, Subscription, Subscriptions, dialog_key};
use crate::cx::Cx;
use crate::dialog::Dialog;
use crate::event::{Event, OperationError, OperationFailure, SubscriptionReason, SubscriptionState};
use crate::exchange::{Facts, Outcome, What, retry_after};
use crate::ids::{ConnId, EndpointId, SubscriptionId};
use crate::session::Below;
use crate::wire::header::{self, Expires, Supported};
use crate::wire::{Message, StatusCode};

/// What became of a NOTIFY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was taken; the endpoint that has a subscription more for it.
    Yes(Option<(EndpointId, SubscriptionId)>),
    /// It is to be refused so.
    No(StatusCode, &'static str),
}

impl Subscriptions {
    /// What the exchange of a subscription reports.
    pub(crate) fn handle_exchange(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SubscriptionId,
        what: What,
    ) {
        let What::Outcome(outcome) = what else { return };
        let Some(subscription) = self.table.get_mut(&id) else {
            return;
        };
        subscription.exchange = None;
        let Outcome { result, facts } = *outcome;
        let input = match result {
            Ok(response) => {
                let first = subscription.brings_state(&response).then(|| response.clone());
                let input = subscription.on_success(cx, below, response, &facts);
                if let (Input::Accepted { .. }, Some(message)) = (&input, first) {
                    self.take_first_state(cx, below, id, message);
                }
                input
            }
            Err(error) => {
                subscription.response = None;
                Input::Refused(refusal_of(&error), error)
            }
        };
        self.step(cx, below, id, input);
    }

    /// A state that came with the 2xx counts as one that came in a NOTIFY before it (B3).
    fn take_first_state(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SubscriptionId,
        message: Box<Message>,
    ) {
        // How long it lasts the 2xx says itself.
        let standing = Standing::Lasts { expires: None };
        cx.out.event(Event::Notified {
            subscription: id,
            message,
        });
        self.step(cx, below, id, Input::Notified(standing));
    }

    /// A timer of this subscription.
    pub(crate) fn handle_timer(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SubscriptionId,
        timer: Timer,
    ) {
        self.step(cx, below, id, Input::Fired(timer));
    }

    /// The subscription that a NOTIFY with these values belongs to: in its dialog, or one whose SUBSCRIBE it answers.
    pub(crate) fn find(&self, notify: &Message) -> Option<SubscriptionId> {
        let to = notify.to().ok()?;
        let ids = self
            .by_dialog
            .get(&*dialog_key(notify.call_id().ok()?, to.tag()?))?;
        let from = notify.from_().ok()?;
        let with = |id: &&SubscriptionId| {
            let dialog = self
                .table
                .get(id)
                .and_then(|subscription| subscription.dialog.as_ref());
            dialog.is_some_and(|dialog| dialog.is_with(from.tag()))
        };
        ids.iter().find(with).or_else(|| ids.first()).copied()
    }

    /// A NOTIFY or BENOTIFY in the dialog of a subscription, or in answer to its SUBSCRIBE: one that is taken goes to the
    /// application.
    pub(crate) fn handle_notify(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SubscriptionId,
        conn: ConnId,
        notify: &Message,
    ) -> Taken {
        let Some(subscription) = self.table.get(&id) else {
            return Taken::No(StatusCode::NO_SUCH_CALL, "");
        };
        if !subscription.is_about(notify) {
            return Taken::No(StatusCode::BAD_EVENT, "");
        }
        let standing = match standing(notify) {
            Ok(standing) => standing,
            Err(what) => return Taken::No(StatusCode::BAD_REQUEST, what),
        };
        let tag = notify
            .from_()
            .ok()
            .and_then(|from| from.tag().map(ToOwned::to_owned));
        let other = subscription
            .dialog
            .as_ref()
            .is_some_and(|dialog| !dialog.is_with(tag.as_deref()));
        let forked = if other {
            match self.fork(cx, below, id, notify, standing) {
                Some(forked) => Some(forked),
                None => return Taken::No(StatusCode::NO_SUCH_CALL, ""),
            }
        } else {
            None
        };
        let id = forked.map_or(id, |(_, forked)| forked);
        let Some(subscription) = self.table.get_mut(&id) else {
            return Taken::No(StatusCode::NO_SUCH_CALL, "");
        };
        if subscription.dialog.is_none() {
            match Dialog::from_answer(notify, subscription.sequence) {
                Ok(dialog) => subscription.dialog = Some(dialog),
                Err(error) => return Taken::No(StatusCode::BAD_REQUEST, error.what),
            }
        }
        if let Some(dialog) = &mut subscription.dialog {
            if !dialog.take_cseq(notify.cseq().map_or(0, |cseq| cseq.number)) {
                return Taken::No(StatusCode::SERVER_INTERNAL_ERROR, "CSeq is lower than the last");
            }
            dialog.refresh_target(notify);
        }
        subscription.follow(cx, below, conn);
        cx.out.event(Event::Notified {
            subscription: id,
            message: Box::new(notify.to_owned_small()),
        });
        self.step(cx, below, id, Input::Notified(standing));
        Taken::Yes(forked)
    }

    /// The NOTIFY of a further notifier makes a subscription of its own, while more of them may come (RFC 6665 sections
    /// 4.1.2.4 and 4.4.1); one that is over already does not.
    fn fork(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        of: SubscriptionId,
        notify: &Message,
        standing: Standing,
    ) -> Option<(EndpointId, SubscriptionId)> {
        let limits = &cx.config.limits;
        let (most, is_full) = (limits.forks, self.table.len() >= limits.subscriptions);
        let origin = self.table.get_mut(&of)?;
        let subscribes = match origin.usage.machine_state() {
            State::Subscribing { .. } => true,
            State::Subscribed { .. } => origin.forks_until.is_some_and(|until| cx.now < until),
            State::Idle
            | State::Querying { .. }
            | State::WaitingForRetry { .. }
            | State::Terminating(_)
            | State::Terminated => false,
        };
        let Standing::Lasts { expires } = standing else {
            return None;
        };
        if !subscribes || origin.known.over {
            return None;
        }
        if origin.forks >= most || is_full {
            let refusals = &mut cx.counters.refusals;
            if is_full {
                refusals.subscriptions += 1;
            } else {
                refusals.forks += 1;
            }
            return None;
        }
        // The numbers of its dialog go on from the SUBSCRIBE that made it (RFC 3261 section 12.1.2).
        let sequence = match origin.made_by {
            Some(cseq) => below.exchanges.new_sequence(cx, cseq.saturating_add(1)),
            None => below.exchanges.fork_sequence(cx, origin.sequence),
        };
        let Ok(dialog) = Dialog::from_answer(notify, sequence) else {
            below.exchanges.drop_sequence(sequence);
            return None;
        };
        origin.forks += 1;
        let id: SubscriptionId = cx.ids.next();
        let expires = expires.unwrap_or_else(|| Duration::from_secs(u64::from(origin.expires)));
        let forked = Subscription {
            usage: Usage::forked(cx, id, expires),
            sequence,
            dialog: Some(dialog),
            made_by: None,
            local: origin.local.clone(),
            target: origin.target.clone(),
            options: origin.options.clone(),
            expires: origin.expires,
            call_id: origin.call_id.clone(),
            tag: origin.tag.clone(),
            forks_until: None,
            forks: 0,
            lease: None,
            exchange: None,
            response: None,
            known: Known {
                state: SubscriptionState::Subscribed,
                begun: true,
                query: false,
                over: false,
            },
        };
        let endpoint = origin.local.endpoint;
        if let Some(ids) = self.by_dialog.get_mut(&*dialog_key(&forked.call_id, &forked.tag)) {
            ids.push(id);
        }
        self.table.insert(id, forked);
        cx.counters.subscriptions.outgoing.started += 1;
        cx.out.event(Event::SubscriptionForked { of, subscription: id });
        Some((endpoint, id))
    }
}

impl Subscription {
    /// Whether a NOTIFY is about what was subscribed to: package and id are those of our Event (RFC 6665 section 4.1.3).
    fn is_about(&self, notify: &Message) -> bool {
        use header::Header;
        let Ok(Some(theirs)) = notify.typed::<header::Event<'_>>() else {
            return false;
        };
        header::Event::parse(&self.options.event)
            .is_ok_and(|ours| ours.package.eq_ignore_ascii_case(&theirs.package) && ours.id() == theirs.id())
    }

    /// Whether a 2xx has the state that a NOTIFY would bring (MS-SIP section 3.4.5.1).
    fn brings_state(&self, response: &Message) -> bool {
        let mut supported = response.list::<Supported<'_>>();
        self.options.piggyback
            && !response.body_bytes().is_empty()
            && supported.any(|tag| tag.is_ok_and(|tag| tag.0.eq_ignore_ascii_case(PIGGYBACK)))
    }

    /// A 2xx: its dialog is ours where no NOTIFY has made one before, and its connection (C9), unless that led to an
    /// outbound proxy that stays out of the dialog (P3).
    fn on_success(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        response: Box<Message>,
        facts: &Facts,
    ) -> Input {
        if self.dialog.is_none() {
            match Dialog::from_response(&response, self.sequence) {
                Ok(dialog) => self.dialog = Some(dialog),
                Err(error) => {
                    let why = Refusal::Final(SubscriptionReason::Refused);
                    return Input::Refused(why, OperationError::MessageParsing(error));
                }
            }
            self.forks_until = Some(cx.now + cx.config.t1.saturating_mul(64));
        } else if let Some(dialog) = &mut self.dialog {
            if self.forks_until.is_none() {
                self.forks_until = Some(cx.now + cx.config.t1.saturating_mul(64));
            }
            let to = response.to().ok();
            if to.is_some_and(|to| dialog.is_with(to.tag())) {
                dialog.refresh_target(&response);
            }
        }
        self.made_by.get_or_insert(facts.cseq);
        let is_routed = self.dialog.as_ref().is_some_and(Dialog::is_routed);
        if let Some(conn) = facts.conn
            && (is_routed || !self.local.via_proxy)
        {
            below.low.connections.hold_instead(cx, &mut self.lease, conn);
        }
        let asked = self.expires;
        let granted = response.typed::<Expires>().ok().flatten();
        let granted = granted.map_or(asked, |Expires(seconds)| seconds);
        self.response = Some(response);
        Input::Accepted {
            granted: Duration::from_secs(u64::from(granted)),
        }
    }

    /// The notifier has made a new connection in place of one that is gone (C13).
    fn follow(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, conn: ConnId) {
        let connections = &mut below.low.connections;
        let held = self
            .lease
            .as_ref()
            .is_some_and(|lease| connections.is_usable(lease.conn()));
        if !held && self.local.is_peer_to_peer() {
            connections.hold_instead(cx, &mut self.lease, conn);
        }
    }
}

/// What a NOTIFY says of its subscription.
///
/// # Errors
/// What is wrong with its Subscription-State.
fn standing(notify: &Message) -> Result<Standing, &'static str> {
    let state = header::SubscriptionState::of(notify);
    let state = state.map_err(|_| "Subscription-State is missing or malformed")?;
    let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
    if !state.is_terminated() {
        let expires = state.expires().map(seconds);
        return Ok(Standing::Lasts { expires });
    }
    let known = [
        ("deactivated", Why::Deactivated),
        ("probation", Why::Probation),
        ("rejected", Why::Rejected),
        ("timeout", Why::Timeout),
        ("giveup", Why::GivenUp),
        ("noresource", Why::NoResource),
        ("invariant", Why::Invariant),
    ];
    let reason = state.reason().unwrap_or_default();
    let found = known.iter().find(|(name, _)| name.eq_ignore_ascii_case(&reason));
    Ok(Standing::Over {
        why: found.map_or(Why::Other, |(_, why)| *why),
        after: state.retry_after().map(seconds),
    })
}

/// Whether asking again is of use (B4): the way to the server, what only it can mend, or what names a time.
pub(crate) fn refusal_of(error: &OperationError) -> Refusal {
    let Some(response) = error.response() else {
        return match error {
            OperationError::ConnectionFailure(_)
            | OperationError::Timeout
            | OperationError::OperationFailure(
                OperationFailure::ConnectionThrottled | OperationFailure::LimitReached,
            ) => Refusal::Temporary { after: None },
            OperationError::Tls(_)
            | OperationError::MessageParsing(_)
            | OperationError::FailureResponse(_)
            | OperationError::Register { .. }
            | OperationError::Authentication { .. }
            | OperationError::OperationFailure(_) => Refusal::Final(SubscriptionReason::Refused),
        };
    };
    let after = retry_after(response);
    match response.status().map(StatusCode::code) {
        Some(481) => Refusal::Final(SubscriptionReason::SubscriptionDoesNotExist),
        Some(489) => Refusal::Final(SubscriptionReason::BadEvent),
        Some(408 | 480 | 500 | 502 | 503 | 504) => Refusal::Temporary { after },
        _ if after.is_some() => Refusal::Temporary { after },
        _ => Refusal::Final(SubscriptionReason::Refused),
    }
}
