//! Subscriptions to the state of others (RFC 6665; rules B1, B2, B4, B7): the table of them, and what their machines ask
//! for as messages. Beside this file: the machine of one, what the application commands, and what the network brings.
//!
//! Each dialog is a subscription: where a SUBSCRIBE was forked, each further notifier whose NOTIFY comes makes one of its
//! own, beside the first.

mod command;
#[cfg(test)]
pub(crate) mod laws;
mod receive;
mod usage;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::connection::Lease;
use crate::cx::Cx;
use crate::dialog::Dialog;
use crate::event::{Completion, Content, Event, ExtraHeaders, SubscriptionState};
use crate::exchange::{Draft, NextHop, Owner, Policy, Request, Sequence, to_of};
use crate::ids::{EndpointId, ExchangeId, SequenceId, SubscriptionId};
use crate::map::{HashKey, Map};
use crate::session::{Below, Local, key as dialog_key};
use crate::time::Time;
use crate::wire::write::Parties;
use crate::wire::{HeaderName, Message, Method};

pub(crate) use receive::{Taken, refusal_of};
#[cfg(any(test, feature = "cells"))]
pub(crate) use usage::cells::MACHINE as SUBSCRIPTION;
use usage::{Effect, Input, Usage};
pub(crate) use usage::{Fingerprint, Refusal, Timer};

/// What is subscribed to, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct SubscribeOptions {
    /// The value of Event: the event package, such as `presence` or `message-summary`, with its parameters.
    pub event: String,
    /// The types of bodies that the application reads (Accept); those of the package where none are named.
    pub accept: Vec<String>,
    /// The time that is asked for at each SUBSCRIBE; [`Config::subscribe_expires`](crate::Config::subscribe_expires) if
    /// absent.
    pub expires: Option<Duration>,
    /// What the SUBSCRIBE carries: a filter, or a list.
    pub content: Option<Content>,
    /// Header fields of each SUBSCRIBE, checked before anything is sent (E11).
    pub headers: ExtraHeaders,
    /// Whether the states of several are subscribed to in one dialog (B3).
    pub list: EventList,
    /// The notifier may send BENOTIFY, which nothing answers, in place of NOTIFY (MS-SIP, B3). A server that cannot refuses the
    /// SUBSCRIBE with 420.
    pub benotify: bool,
    /// The notifier may put the first state into its 2xx, in place of a NOTIFY (MS-SIP, B3).
    pub piggyback: bool,
    /// Where to send the first one, for a peer-to-peer endpoint (P9).
    pub next_hop: Option<NextHop>,
}

/// Whether a subscription is to the states of several (B3). The notifications are `multipart/related`, with a list and the
/// states of those on it; the stack does not look inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum EventList {
    /// To the state of the target alone.
    #[default]
    None,
    /// The target may be a list that the notifier keeps (RFC 4662).
    AtNotifier,
    /// The SUBSCRIBE brings the list, as its content (MS-SIP): [`update`](crate::SubscriptionView::update) brings another
    /// one. A notifier that cannot take one refuses it with 420.
    Carried,
}

/// The option tags of B3.
pub(crate) const EVENT_LIST: &str = "eventlist";
const CARRIED_LIST: &str = "adhoclist";
const BENOTIFY: &str = "ms-benotify";
const PIGGYBACK: &str = "ms-piggyback-first-notify";

impl SubscribeOptions {
    /// A subscription to this event package.
    pub fn new(event: impl Into<String>) -> Self {
        Self {
            event: event.into(),
            accept: Vec::new(),
            expires: None,
            content: None,
            headers: Vec::new(),
            list: EventList::None,
            benotify: false,
            piggyback: false,
            next_hop: None,
        }
    }
}

#[derive(Clone, Debug)]
struct Subscription {
    usage: Usage,
    local: Box<Local>,
    target: Box<str>,
    options: Box<SubscribeOptions>,
    /// Seconds to ask for.
    expires: u32,
    call_id: Box<str>,
    tag: Box<str>,
    sequence: SequenceId,
    dialog: Option<Dialog>,
    /// The CSeq of the SUBSCRIBE that made the dialogs, once it was answered.
    made_by: Option<u32>,
    /// Until when a NOTIFY of a further notifier makes a subscription of its own; `None` while a SUBSCRIBE that makes a
    /// dialog is under way, and as long as nothing was sent.
    forks_until: Option<Time>,
    /// How many have done so.
    forks: usize,
    lease: Option<Lease>,
    /// The SUBSCRIBE under way.
    exchange: Option<ExchangeId>,
    /// The 2xx that completes commands.
    response: Option<Box<Message>>,
    known: Known,
}

/// What the application has seen of a subscription and done to it: what is misuse is judged by this (X2).
#[derive(Clone, Copy, Debug)]
struct Known {
    state: SubscriptionState,
    /// The application has asked something of it already.
    begun: bool,
    /// It was to ask once only.
    query: bool,
    /// The application has ended it.
    over: bool,
}

/// All subscriptions of a stack.
#[derive(Clone, Debug)]
pub(crate) struct Subscriptions {
    table: Map<SubscriptionId, Subscription>,
    /// Those of one SUBSCRIBE have one Call-ID and one tag of ours.
    by_dialog: Map<Box<str>, Vec<SubscriptionId>>,
    /// Ended, but the application has not taken the event yet (X2).
    ended: BTreeMap<SubscriptionId, (EndpointId, Known)>,
    just_ended: Vec<(SubscriptionId, EndpointId)>,
}

impl Subscriptions {
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

    /// How many dialogs are held.
    pub(crate) fn dialogs(&self) -> usize {
        self.by_dialog.len()
    }

    /// Whether a subscription has ended without the application having seen it, and whose it was.
    pub(crate) fn ended(&self, id: SubscriptionId) -> Option<EndpointId> {
        self.ended.get(&id).map(|(endpoint, _)| *endpoint)
    }

    /// The application has taken the event that tells this state.
    pub(crate) fn seen(&mut self, id: SubscriptionId, state: SubscriptionState) {
        if state == SubscriptionState::Terminated {
            self.ended.remove(&id);
        } else if let Some(known) = self.known_mut(id) {
            known.state = state;
        }
    }

    fn known_mut(&mut self, id: SubscriptionId) -> Option<&mut Known> {
        match self.table.get_mut(&id) {
            Some(subscription) => Some(&mut subscription.known),
            None => self.ended.get_mut(&id).map(|(_, known)| known),
        }
    }

    /// The machine of a subscription in canonical form.
    pub(crate) fn fingerprint(&self, id: SubscriptionId, cap: Duration, now: Time) -> Option<Fingerprint> {
        let subscription = self.table.get(&id)?;
        Some(subscription.usage.fingerprint(cap, now))
    }

    pub(crate) fn state(&self, id: SubscriptionId) -> Option<SubscriptionState> {
        self.table.get(&id).map(|subscription| subscription.usage.state())
    }

    pub(crate) fn endpoint(&self, id: SubscriptionId) -> Option<EndpointId> {
        self.table
            .get(&id)
            .map(|subscription| subscription.local.endpoint)
    }

    pub(crate) fn target(&self, id: SubscriptionId) -> Option<&str> {
        self.table.get(&id).map(|subscription| &*subscription.target)
    }

    pub(crate) fn call_id(&self, id: SubscriptionId) -> Option<&str> {
        self.table.get(&id).map(|subscription| &*subscription.call_id)
    }

    /// Whether a subscription may be notified of a list.
    pub(crate) fn takes_lists(&self, id: SubscriptionId) -> bool {
        let lists = |subscription: &Subscription| subscription.options.list != EventList::None;
        self.table.get(&id).is_some_and(lists)
    }

    /// The URI that the next hop of the next SUBSCRIBE is found from: inside the dialog its route or target, before it
    /// the target. The flag says whether it is the dialog's.
    pub(crate) fn next_hop(&self, id: SubscriptionId) -> Option<(&str, bool)> {
        let subscription = self.table.get(&id)?;
        let inside = subscription.dialog.as_ref();
        Some(inside.map_or((&*subscription.target, false), |dialog| (dialog.next_hop(), true)))
    }

    /// Where the application wants the first SUBSCRIBE to go.
    pub(crate) fn first_hop(&self, id: SubscriptionId) -> Option<&NextHop> {
        self.table.get(&id)?.options.next_hop.as_ref()
    }

    /// The subscriptions that have ended since the last call.
    pub(crate) fn take_ended(&mut self) -> Vec<(SubscriptionId, EndpointId)> {
        core::mem::take(&mut self.just_ended)
    }

    fn step(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SubscriptionId, input: Input) {
        let Some(subscription) = self.table.get_mut(&id) else {
            return;
        };
        let mut effects = Vec::new();
        subscription.usage.step(cx, input, &mut effects);
        for effect in effects {
            self.carry_out(cx, below, id, effect);
        }
    }

    fn carry_out(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SubscriptionId, effect: Effect) {
        if let Effect::Complete(operation, result) = effect {
            let response = self
                .table
                .get(&id)
                .and_then(|subscription| subscription.response.clone());
            let completion = || response.map_or(Completion::Done, Completion::Response);
            cx.out.complete(operation, result.map(|()| completion()));
            return;
        }
        let Some(subscription) = self.table.get_mut(&id) else {
            return;
        };
        match effect {
            Effect::SendSubscribe => self.begin(cx, below, id, false),
            Effect::SendQuery => self.begin(cx, below, id, true),
            Effect::SendRefresh { update } => subscription.send_inside(cx, below, id, false, update),
            Effect::SendUnsubscribe => subscription.send_inside(cx, below, id, true, false),
            Effect::Hurry => {
                let Some(exchange) = subscription.exchange else {
                    return;
                };
                if below.exchanges.is_waiting(exchange) {
                    subscription.exchange = None;
                    below.exchanges.abandon(cx, below.low, exchange);
                    self.step(cx, below, id, Input::Withdrawn);
                } else {
                    below.exchanges.repeat_no_more(exchange);
                }
            }
            Effect::Drop => subscription.drop_exchange(cx, below),
            Effect::Changed { old, new, reason } => {
                cx.out.event(Event::Subscription {
                    subscription: id,
                    old,
                    new,
                    reason,
                });
                if new == SubscriptionState::Terminated {
                    self.end(cx, below, id);
                }
            }
            // Done above.
            Effect::Complete(..) => {}
        }
    }

    /// A SUBSCRIBE in a dialog of its own, whose Call-ID and tag nobody has seen: what comes in an older one is not ours
    /// any more.
    fn begin(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SubscriptionId, query: bool) {
        self.unlist(id);
        let Some(subscription) = self.table.get_mut(&id) else {
            return;
        };
        subscription.drop_exchange(cx, below);
        below.exchanges.drop_sequence(subscription.sequence);
        subscription.sequence = below.exchanges.new_sequence(cx, 1);
        subscription.call_id = cx.entropy.hex(32).into();
        subscription.tag = cx.entropy.hex(16).into();
        (subscription.dialog, subscription.made_by) = (None, None);
        (subscription.forks, subscription.forks_until) = (0, None);
        if let Some(lease) = subscription.lease.take() {
            below.low.connections.release(cx, lease);
        }
        let key = dialog_key(&subscription.call_id, &subscription.tag);
        let expires = if query { 0 } else { subscription.expires };
        let mut draft = Draft {
            method: Method::Subscribe,
            uri: subscription.target.clone(),
            route: subscription.local.route.clone(),
            parties: Parties::new(
                &subscription.local.from(&subscription.tag),
                &to_of(&subscription.target),
                &subscription.call_id,
            ),
            sequence: Sequence::Counter(subscription.sequence),
            contact: Some(subscription.local.contact.clone()),
            expires: Some(expires),
            block: subscription.local.voice.full_request(&Method::Subscribe),
            extra: Vec::new(),
            content: subscription.options.content.clone(),
        };
        subscription.describe(&mut draft);
        self.by_dialog.insert(key, alloc::vec![id]);
        subscription.send(cx, below, id, draft);
    }

    /// No NOTIFY finds it any more.
    fn unlist(&mut self, id: SubscriptionId) {
        let Some(subscription) = self.table.get(&id) else {
            return;
        };
        let key = dialog_key(&subscription.call_id, &subscription.tag);
        if let Some(ids) = self.by_dialog.get_mut(&*key) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_dialog.remove(&*key);
            }
        }
    }

    /// Gives back all that a subscription held.
    fn end(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SubscriptionId) {
        self.unlist(id);
        let Some(mut subscription) = self.table.remove(&id) else {
            return;
        };
        cx.counters.subscriptions.outgoing.ended += 1;
        subscription.drop_exchange(cx, below);
        below.exchanges.drop_sequence(subscription.sequence);
        if let Some(lease) = subscription.lease.take() {
            below.low.connections.release(cx, lease);
        }
        let endpoint = subscription.local.endpoint;
        self.ended.insert(id, (endpoint, subscription.known));
        self.just_ended.push((id, endpoint));
    }
}

impl Subscription {
    fn drop_exchange(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>) {
        if let Some(exchange) = self.exchange.take() {
            below.exchanges.abandon(cx, below.low, exchange);
        }
    }

    /// What each SUBSCRIBE says besides.
    fn describe(&self, draft: &mut Draft) {
        let event = (HeaderName::Event.as_str(), &*self.options.event);
        let accept = self.options.accept.join(", ");
        let accept = (HeaderName::Accept.as_str(), &*accept);
        let options = &*self.options;
        let supported = [
            (options.list != EventList::None).then_some(EVENT_LIST),
            options.benotify.then_some(BENOTIFY),
            options.piggyback.then_some(PIGGYBACK),
        ];
        let supported: Vec<&str> = supported.into_iter().flatten().collect();
        let supported = supported.join(", ");
        let supported = (!supported.is_empty()).then_some((HeaderName::Supported.as_str(), &*supported));
        // Who would not understand the list would take it for something else.
        let carries = options.list == EventList::Carried && draft.content.is_some();
        draft.block = draft.block.and(
            core::iter::once(event)
                .chain((!accept.1.is_empty()).then_some(accept))
                .chain(supported)
                .chain(carries.then_some((HeaderName::Require.as_str(), CARRIED_LIST)))
                .chain(
                    options
                        .benotify
                        .then_some((HeaderName::ProxyRequire.as_str(), BENOTIFY)),
                ),
        );
        draft.extra.clone_from(&self.options.headers);
    }

    /// A SUBSCRIBE in the dialog. It is a target refresh (RFC 6665 section 4.4.1): Contact names the connection that it
    /// goes over (C13).
    fn send_inside(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SubscriptionId,
        leave: bool,
        update: bool,
    ) {
        let Some(dialog) = &self.dialog else { return };
        let mut draft = dialog.request(Method::Subscribe, Some(self.local.contact.clone()));
        draft.expires = Some(if leave { 0 } else { self.expires });
        draft.block = self.local.voice.full_request(&Method::Subscribe);
        draft.content = self.options.content.clone().filter(|_| update);
        self.describe(&mut draft);
        self.send(cx, below, id, draft);
    }

    fn send(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SubscriptionId, draft: Draft) {
        let held = self.lease.as_ref().map(Lease::conn);
        let lease = held.and_then(|conn| below.low.connections.share(cx, conn));
        // It does no harm where it arrives twice.
        let policy = Policy {
            repeatable: true,
            ..self.local.policy
        };
        let request = Request {
            draft,
            lease,
            owner: Owner::Subscription(id),
            policy,
        };
        self.exchange = Some(below.exchanges.start(cx, below.low, request, below.up));
    }
}
