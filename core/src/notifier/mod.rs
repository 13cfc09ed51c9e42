//! Subscriptions of others to states of ours (RFC 6665 section 4.2; rule B5): the table of them, what their machines ask
//! for as messages, what the application commands, and what the network brings.

#[cfg(test)]
pub(crate) mod laws;
mod watching;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use crate::connection::{Connections, Lease};
use crate::cx::Cx;
use crate::dialog::Dialog;
use crate::error::{Misuse, ParseError};
use crate::event::{Completion, Content, Event, OperationError, OperationFailure, WatcherReason};
use crate::exchange::{Exchanges, Lower, Owner, Pending, Policy, Reply, Request, What};
use crate::ids::{ConnId, EndpointId, ExchangeId, OperationId, SequenceId, WatcherId};
use crate::map::{HashKey, Map};
use crate::session::{Below, Local, key};
use crate::time::Time;
use crate::wire::header::Expires;
use crate::wire::{HeaderName, Message, Method, StatusCode};

pub(crate) use watching::Fingerprint;
#[cfg(any(test, feature = "cells"))]
pub(crate) use watching::cells::MACHINE as WATCHER;
use watching::{Effect, Input, State, Watching};

/// Why a notifier ends a subscription (RFC 6665 section 4.1.3): what the subscriber is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum EndOfSubscription {
    /// Subscribe again at once.
    Deactivated,
    /// Subscribe again later, after this time where one is named.
    Probation(Option<Duration>),
    /// Not subscribe again: it is not allowed any more.
    Rejected,
    /// Subscribe again at once, if it likes: it was not refreshed.
    Timeout,
    /// Subscribe again later: nobody has allowed it in time.
    GivenUp(Option<Duration>),
    /// Not subscribe again: what it is about is there no more.
    NoResource,
    /// Not subscribe again: the state does not change any more.
    Invariant,
}

impl EndOfSubscription {
    const fn words(self) -> (&'static str, Option<Duration>) {
        match self {
            Self::Deactivated => ("deactivated", None),
            Self::Probation(after) => ("probation", after),
            Self::Rejected => ("rejected", None),
            Self::Timeout => ("timeout", None),
            Self::GivenUp(after) => ("giveup", after),
            Self::NoResource => ("noresource", None),
            Self::Invariant => ("invariant", None),
        }
    }
}

#[derive(Clone, Debug)]
struct Watcher {
    watching: Watching,
    local: Box<Local>,
    call_id: Box<str>,
    tag: Box<str>,
    sequence: SequenceId,
    dialog: Dialog,
    /// The value of Event, as the subscriber has written it.
    event: Box<str>,
    /// Seconds that the SUBSCRIBE that waits for the application asks for.
    asked: u32,
    /// The SUBSCRIBE that waits for the application.
    subscribe: Option<Pending>,
    /// The state that was notified last, which a refresh brings again.
    content: Option<Content>,
    /// Nobody has allowed it yet.
    pending: bool,
    /// How the application ends it.
    end: EndOfSubscription,
    lease: Option<Lease>,
    notifies: BTreeSet<ExchangeId>,
    known: Known,
}

/// What the application has done to it: what is misuse is judged by this (X2).
#[derive(Clone, Copy, Debug)]
struct Known {
    answered: bool,
    /// Refused or ended by the application.
    over: bool,
}

/// All subscriptions of others.
#[derive(Clone, Debug)]
pub(crate) struct Watchers {
    table: Map<WatcherId, Watcher>,
    by_dialog: Map<Box<str>, WatcherId>,
    /// Ended, but the application has not taken the event yet (X2).
    ended: BTreeMap<WatcherId, (EndpointId, Known)>,
    just_ended: Vec<(WatcherId, EndpointId)>,
}

impl Watchers {
    pub(crate) fn new(key: HashKey) -> Self {
        Self {
            table: Map::new(key),
            by_dialog: Map::new(key),
            ended: BTreeMap::new(),
            just_ended: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn contains(&self, id: WatcherId) -> bool {
        self.table.contains_key(&id)
    }

    /// Whose it is, or was, where the application has not taken the event of its end.
    pub(crate) fn endpoint(&self, id: WatcherId) -> Option<EndpointId> {
        let live = self.table.get(&id).map(|watcher| watcher.local.endpoint);
        live.or_else(|| self.ended(id))
    }

    pub(crate) fn ended(&self, id: WatcherId) -> Option<EndpointId> {
        self.ended.get(&id).map(|(endpoint, _)| *endpoint)
    }

    /// The application has taken the event of its end.
    pub(crate) fn seen_end(&mut self, id: WatcherId) {
        self.ended.remove(&id);
    }

    /// How long it lasts yet, where it was accepted.
    pub(crate) fn left(&self, id: WatcherId, now: Time) -> Option<Duration> {
        self.table.get(&id).map(|watcher| watcher.watching.left(now))
    }

    pub(crate) fn fingerprint(&self, id: WatcherId, now: Time) -> Option<Fingerprint> {
        self.table
            .get(&id)
            .map(|watcher| watcher.watching.fingerprint(now))
    }

    /// The URI that the next hop of the next NOTIFY is found from.
    pub(crate) fn next_hop(&self, id: WatcherId) -> Option<&str> {
        self.table.get(&id).map(|watcher| watcher.dialog.next_hop())
    }

    pub(crate) fn take_ended(&mut self) -> Vec<(WatcherId, EndpointId)> {
        core::mem::take(&mut self.just_ended)
    }

    fn known(&self, id: WatcherId) -> Result<Known, Misuse> {
        let live = self.table.get(&id).map(|watcher| watcher.known);
        live.or_else(|| self.ended.get(&id).map(|(_, known)| *known))
            .ok_or(Misuse::Unknown("watcher"))
    }

    fn known_mut(&mut self, id: WatcherId) -> Option<&mut Known> {
        match self.table.get_mut(&id) {
            Some(watcher) => Some(&mut watcher.known),
            None => self.ended.get_mut(&id).map(|(_, known)| known),
        }
    }

    /// Whether the application may do this to it, which is for what it has answered, or has not.
    pub(crate) fn may(&self, id: WatcherId, operation: &'static str, answered: bool) -> Result<(), Misuse> {
        let known = self.known(id)?;
        let state = match (known.over, known.answered) {
            (true, _) => "ended by the application",
            (false, true) if !answered => "answered",
            (false, false) if answered => "not answered yet",
            (false, _) => return Ok(()),
        };
        Err(Misuse::State { operation, state })
    }

    /// How many NOTIFYs of it are under way.
    pub(crate) fn pending(&self, id: WatcherId) -> usize {
        self.table.get(&id).map_or(0, |watcher| watcher.notifies.len())
    }

    // What the network brings.

    /// A SUBSCRIBE outside dialogs, for this endpoint.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn receive(
        &mut self,
        cx: &mut Cx<'_>,
        exchanges: &mut Exchanges,
        low: &mut Lower<'_>,
        local: Local,
        event: &str,
        subscribe: Pending,
    ) -> Result<WatcherId, ParseError> {
        let sequence = exchanges.new_sequence(cx, 1);
        let dialog = match Dialog::from_request(&subscribe.message, &subscribe.tag, sequence) {
            Ok(dialog) => dialog,
            Err(error) => {
                exchanges.drop_sequence(sequence);
                return Err(error);
            }
        };
        let id: WatcherId = cx.ids.next();
        let call_id = Box::from(dialog.call_id());
        self.by_dialog.insert(key(&call_id, &subscribe.tag), id);
        cx.counters.subscriptions.incoming.started += 1;
        let watcher = Watcher {
            watching: Watching::new(cx, id),
            local: Box::new(local),
            call_id,
            tag: subscribe.tag.clone(),
            sequence,
            dialog,
            event: event.into(),
            asked: asked(&subscribe.message, cx.config.subscribe_expires),
            lease: low.connections.share(cx, subscribe.conn),
            subscribe: Some(subscribe),
            content: None,
            pending: false,
            end: EndOfSubscription::Deactivated,
            notifies: BTreeSet::new(),
            known: Known {
                answered: false,
                over: false,
            },
        };
        self.table.insert(id, watcher);
        Ok(id)
    }

    /// The subscription that a SUBSCRIBE in a dialog is for.
    pub(crate) fn find(&self, request: &Message) -> Option<WatcherId> {
        let to = request.to().ok()?;
        let id = *self.by_dialog.get(&*key(request.call_id().ok()?, to.tag()?))?;
        let watcher = self.table.get(&id)?;
        let from = request.from_().ok()?;
        watcher.dialog.is_with(from.tag()).then_some(id)
    }

    /// A SUBSCRIBE in the dialog: answered here, and followed by a NOTIFY (RFC 6665 section 4.2.1.2).
    pub(crate) fn handle_subscribe(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: WatcherId,
        request: &Pending,
    ) {
        let Some(watcher) = self.table.get_mut(&id) else {
            return;
        };
        let number = request.message.cseq().map_or(0, |cseq| cseq.number);
        let refused = if !watcher.dialog.take_cseq(number) {
            Some((
                StatusCode::SERVER_INTERNAL_ERROR,
                Some("CSeq is lower than the last"),
            ))
        } else if !matches!(watcher.watching.machine_state(), State::Watched { .. }) {
            Some((StatusCode::NO_SUCH_CALL, None))
        } else {
            None
        };
        if let Some((status, reason)) = refused {
            let reply = Reply {
                reason,
                ..Reply::new(status)
            };
            below.low.reply(cx, request, &reply);
            return;
        }
        watcher.dialog.refresh_target(&request.message);
        below
            .low
            .connections
            .hold_instead(cx, &mut watcher.lease, request.conn);
        let seconds = asked(&request.message, cx.config.subscribe_expires);
        watcher.answer(cx, below.low, request, seconds);
        cx.out.event(Event::WatcherRefreshed {
            watcher: id,
            message: request.message.clone(),
        });
        let granted = Duration::from_secs(u64::from(seconds));
        let input = if seconds == 0 {
            Input::Left
        } else {
            Input::Refreshed { granted }
        };
        self.step(cx, below, id, input);
    }

    /// What the exchange of a NOTIFY reports.
    pub(crate) fn handle_exchange(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        (id, operation): (WatcherId, Option<OperationId>),
        exchange: ExchangeId,
        what: What,
    ) {
        let What::Outcome(outcome) = what else { return };
        let mut input = None;
        if let Some(watcher) = self.table.get_mut(&id) {
            watcher.notifies.remove(&exchange);
            if is_gone(&outcome.result) {
                input = Some(Input::Gone);
            } else if watcher.notifies.is_empty() {
                input = Some(Input::Settled);
            }
        }
        if let Some(operation) = operation {
            cx.out
                .complete(operation, outcome.result.map(Completion::Response));
        }
        if let Some(input) = input {
            self.step(cx, below, id, input);
        }
    }

    pub(crate) fn handle_timer(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: WatcherId) {
        self.step(cx, below, id, Input::Fired);
    }

    // What the application commands.

    /// Accepts it, for no longer than was asked for, with its first state; one without a state may be pending.
    pub(crate) fn accept(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: WatcherId,
        longest: Option<Duration>,
        state: (Option<Content>, bool),
    ) {
        let Some(watcher) = self.table.get_mut(&id) else {
            return;
        };
        let Some(subscribe) = watcher.subscribe.take() else {
            return;
        };
        let longest = longest.map_or(u32::MAX, |longest| {
            u32::try_from(longest.as_secs()).unwrap_or(u32::MAX).max(1)
        });
        let seconds = watcher.asked.min(longest);
        (watcher.content, watcher.pending) = state;
        watcher.known.answered = true;
        watcher.answer(cx, below.low, &subscribe, seconds);
        let granted = (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)));
        self.step(cx, below, id, Input::Accept { granted });
    }

    /// Refuses it with a final response of 400 to 699.
    pub(crate) fn reject(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: WatcherId,
        status: StatusCode,
        reason: Option<&str>,
    ) {
        let Some(watcher) = self.table.get_mut(&id) else {
            return;
        };
        watcher.known.over = true;
        if let Some(subscribe) = watcher.subscribe.take() {
            let reply = Reply {
                reason,
                ..Reply::new(status)
            };
            below.low.reply(cx, &subscribe, &reply);
        }
        self.step(cx, below, id, Input::Reject);
    }

    /// Another state from now on. What has ended meanwhile has no use for it.
    pub(crate) fn notify(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: WatcherId,
        operation: OperationId,
        content: Option<Content>,
    ) {
        let watched =
            |watcher: &&mut Watcher| matches!(watcher.watching.machine_state(), State::Watched { .. });
        let Some(watcher) = self.table.get_mut(&id).filter(watched) else {
            let ended = OperationError::OperationFailure(OperationFailure::SessionTerminated);
            cx.out.complete(operation, Err(ended));
            return;
        };
        (watcher.content, watcher.pending) = (content, false);
        self.step_for(cx, below, id, Input::Notify, Some(operation));
    }

    /// Ends it with a last state.
    pub(crate) fn terminate(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: WatcherId,
        operation: OperationId,
        last: Option<(EndOfSubscription, Option<Content>)>,
    ) {
        if let Some(known) = self.known_mut(id) {
            known.over = true;
        }
        if let Some(watcher) = self.table.get_mut(&id)
            && let Some((end, content)) = last
            && matches!(watcher.watching.machine_state(), State::Watched { .. })
        {
            watcher.end = end;
            watcher.content = content.or_else(|| watcher.content.take());
        }
        self.step(cx, below, id, Input::Terminate(operation));
    }

    /// The subscription's own connection, where it lasts (C9).
    pub(crate) fn share(
        &self,
        cx: &mut Cx<'_>,
        connections: &mut Connections,
        id: WatcherId,
        avoid: &[SocketAddr],
    ) -> Option<Lease> {
        connections.share_own(cx, self.table.get(&id)?.lease.as_ref(), avoid)
    }

    /// A connection was made for a subscription whose own was gone: it keeps it (C13).
    pub(crate) fn adopt(
        &mut self,
        cx: &mut Cx<'_>,
        connections: &mut Connections,
        id: WatcherId,
        conn: ConnId,
    ) {
        if let Some(watcher) = self.table.get_mut(&id) {
            connections.hold_instead(cx, &mut watcher.lease, conn);
        }
    }

    fn step(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: WatcherId, input: Input) {
        self.step_for(cx, below, id, input, None);
    }

    /// A step, whose NOTIFY is that of an operation.
    fn step_for(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: WatcherId,
        input: Input,
        operation: Option<OperationId>,
    ) {
        let Some(watcher) = self.table.get_mut(&id) else {
            return;
        };
        let mut effects = Vec::new();
        watcher.watching.step(cx, input, &mut effects);
        for effect in effects {
            let watcher = self.table.get_mut(&id);
            match (effect, watcher) {
                (Effect::Complete(operation), _) => {
                    cx.out.complete(operation, Ok(Completion::Done));
                }
                (Effect::SendNotify, Some(watcher)) => {
                    let left = watcher.watching.left(cx.now).as_secs();
                    let word = if watcher.pending { "pending" } else { "active" };
                    let state = alloc::format!("{word};expires={left}");
                    watcher.send(cx, below, id, operation, &state);
                }
                (Effect::SendLast(reason), Some(watcher)) => {
                    let state = watcher.last_state(reason);
                    watcher.send(cx, below, id, None, &state);
                }
                (Effect::Refuse(code), Some(watcher)) => {
                    if let (Some(subscribe), Some(status)) = (watcher.subscribe.take(), StatusCode::new(code))
                    {
                        below.low.reply(cx, &subscribe, &Reply::new(status));
                    }
                }
                (Effect::Ended(reason), Some(_)) => self.end(cx, below, id, reason),
                (Effect::SendNotify | Effect::SendLast(_) | Effect::Refuse(_) | Effect::Ended(_), None) => {}
            }
        }
    }

    fn end(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: WatcherId, reason: WatcherReason) {
        let Some(mut watcher) = self.table.remove(&id) else {
            return;
        };
        cx.counters.subscriptions.incoming.ended += 1;
        self.by_dialog.remove(&*key(&watcher.call_id, &watcher.tag));
        below.exchanges.drop_sequence(watcher.sequence);
        if let Some(lease) = watcher.lease.take() {
            below.low.connections.release(cx, lease);
        }
        let endpoint = watcher.local.endpoint;
        cx.out.event(Event::WatcherEnded { watcher: id, reason });
        self.ended.insert(id, (endpoint, watcher.known));
        self.just_ended.push((id, endpoint));
    }
}

impl Watcher {
    /// 200 with the time that it lasts.
    fn answer(&self, cx: &mut Cx<'_>, low: &mut Lower<'_>, request: &Pending, seconds: u32) {
        let reply = Reply {
            contact: Some(&self.local.contact),
            block: Some(&self.local.voice.reply(Some(&Method::Subscribe))),
            headers: &[(HeaderName::Expires, alloc::format!("{seconds}").into())],
            record_route: true,
            ..Reply::new(StatusCode::OK)
        };
        low.reply(cx, request, &reply);
    }

    fn last_state(&self, reason: WatcherReason) -> String {
        let (word, after) = match reason {
            WatcherReason::Expired | WatcherReason::Unsubscribed | WatcherReason::Queried => {
                EndOfSubscription::Timeout.words()
            }
            WatcherReason::TerminatedLocally
            | WatcherReason::Rejected
            | WatcherReason::Unanswered
            | WatcherReason::SubscriptionDoesNotExist => self.end.words(),
        };
        match after {
            Some(after) => alloc::format!("terminated;reason={word};retry-after={}", after.as_secs()),
            None => alloc::format!("terminated;reason={word}"),
        }
    }

    fn send(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: WatcherId,
        operation: Option<OperationId>,
        state: &str,
    ) {
        let mut draft = self
            .dialog
            .request(Method::Notify, Some(self.local.contact.clone()));
        draft.block = self.local.voice.full_request(&Method::Notify).and([
            (HeaderName::Event.as_str(), &*self.event),
            (HeaderName::SubscriptionState.as_str(), state),
        ]);
        draft.content.clone_from(&self.content);
        let held = self.lease.as_ref().map(Lease::conn);
        let lease = held.and_then(|conn| below.low.connections.share(cx, conn));
        // A state that comes twice says nothing new.
        let policy = Policy {
            repeatable: true,
            ..self.local.policy
        };
        let request = Request {
            draft,
            lease,
            owner: Owner::Watcher(id, operation),
            policy,
        };
        let exchange = below.exchanges.start(cx, below.low, request, below.up);
        self.notifies.insert(exchange);
    }
}

/// Seconds that a SUBSCRIBE asks for; what the stack would ask for where it names none.
fn asked(subscribe: &Message, default: Duration) -> u32 {
    let named = subscribe.typed::<Expires>().ok().flatten();
    named.map_or_else(
        || u32::try_from(default.as_secs()).unwrap_or(u32::MAX),
        |Expires(seconds)| seconds,
    )
}

/// Whether the answer to a NOTIFY, or none, ends the subscription (RFC 6665 section 4.2.2): the refusals that say that
/// nobody is there, and no answer.
fn is_gone(result: &Result<Box<Message>, OperationError>) -> bool {
    match result {
        Ok(_) => false,
        Err(OperationError::Timeout) => true,
        Err(error) => matches!(
            error.response().and_then(Message::status).map(StatusCode::code),
            Some(404 | 405 | 410 | 416 | 480..=485 | 489 | 501 | 604)
        ),
    }
}
