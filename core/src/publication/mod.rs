//! States that are published at a server (RFC 3903; rule B6): the table of them, what their machines ask for as messages,
//! what the application commands, and what the network brings.

#[cfg(test)]
pub(crate) mod laws;
mod publishing;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::cx::Cx;
use crate::error::Misuse;
use crate::event::{Completion, Content, Event, ExtraHeaders, PublicationReason, PublicationState};
use crate::exchange::{Draft, NextHop, Owner, Policy, Request, Sequence, What, to_of};
use crate::ids::{EndpointId, ExchangeId, OperationId, PublicationId, SequenceId};
use crate::map::{HashKey, Map};
use crate::session::{Below, Local};
use crate::subscription::refusal_of;
use crate::time::Time;
use crate::wire::header::{Expires, SipETag};
use crate::wire::write::Parties;
use crate::wire::{HeaderName, Message, Method, StatusCode};

pub(crate) use publishing::Fingerprint;
#[cfg(any(test, feature = "cells"))]
pub(crate) use publishing::cells::MACHINE as PUBLICATION;
use publishing::{Effect, Input, Publishing};

/// What is published, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct PublishOptions {
    /// The value of Event: the event package, such as `presence`.
    pub event: String,
    /// The time that is asked for at each PUBLISH; [`Config::subscribe_expires`](crate::Config::subscribe_expires) if
    /// absent.
    pub expires: Option<Duration>,
    /// Header fields of each PUBLISH, checked before anything is sent (E11).
    pub headers: ExtraHeaders,
    /// Where to send them, for a peer-to-peer endpoint (P9).
    pub next_hop: Option<NextHop>,
}

impl PublishOptions {
    /// A publication of this event package.
    pub fn new(event: impl Into<String>) -> Self {
        Self {
            event: event.into(),
            expires: None,
            headers: Vec::new(),
            next_hop: None,
        }
    }
}

#[derive(Clone, Debug)]
struct Publication {
    publishing: Publishing,
    local: Box<Local>,
    target: Box<str>,
    options: Box<PublishOptions>,
    content: Content,
    /// Seconds to ask for.
    expires: u32,
    call_id: Box<str>,
    tag: Box<str>,
    sequence: SequenceId,
    /// The entity tag that the server has given last.
    etag: Option<Box<str>>,
    /// The PUBLISH under way.
    exchange: Option<ExchangeId>,
    /// The 2xx that completes commands.
    response: Option<Box<Message>>,
    over: bool,
}

/// All publications of a stack.
#[derive(Clone, Debug)]
pub(crate) struct Publications {
    table: Map<PublicationId, Publication>,
    /// Ended, but the application has not taken the event yet (X2): whose, and whether the application has ended it.
    ended: BTreeMap<PublicationId, (EndpointId, bool)>,
    just_ended: Vec<(PublicationId, EndpointId)>,
}

impl Publications {
    pub(crate) fn new(key: HashKey) -> Self {
        Self {
            table: Map::new(key),
            ended: BTreeMap::new(),
            just_ended: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn state(&self, id: PublicationId) -> Option<PublicationState> {
        self.table
            .get(&id)
            .map(|publication| publication.publishing.state())
    }

    /// Whether it has ended without the application having seen it, and whose it was.
    pub(crate) fn ended(&self, id: PublicationId) -> Option<EndpointId> {
        self.ended.get(&id).map(|(endpoint, _)| *endpoint)
    }

    pub(crate) fn endpoint(&self, id: PublicationId) -> Option<EndpointId> {
        let live = self.table.get(&id).map(|publication| publication.local.endpoint);
        live.or_else(|| self.ended(id))
    }

    /// The application has taken the event that tells this state.
    pub(crate) fn seen(&mut self, id: PublicationId, state: PublicationState) {
        if state == PublicationState::Removed {
            self.ended.remove(&id);
        }
    }

    pub(crate) fn fingerprint(&self, id: PublicationId, now: Time) -> Option<Fingerprint> {
        let publication = self.table.get(&id)?;
        Some(publication.publishing.fingerprint(now))
    }

    /// Where its requests go.
    pub(crate) fn way(&self, id: PublicationId) -> Option<(&str, Option<&NextHop>)> {
        let publication = self.table.get(&id)?;
        Some((&publication.target, publication.options.next_hop.as_ref()))
    }

    pub(crate) fn take_ended(&mut self) -> Vec<(PublicationId, EndpointId)> {
        core::mem::take(&mut self.just_ended)
    }

    /// Whether the application may change it, as far as it knows.
    pub(crate) fn may_modify(&self, id: PublicationId) -> Result<(), Misuse> {
        let live = self.table.get(&id).map(|publication| publication.over);
        let over = live.or_else(|| self.ended.get(&id).map(|(_, over)| *over));
        match over {
            None => Err(Misuse::Unknown("publication")),
            Some(false) => Ok(()),
            Some(true) => Err(Misuse::State {
                operation: "modify",
                state: "ended by the application",
            }),
        }
    }

    pub(crate) fn pending(&self, id: PublicationId) -> usize {
        self.table
            .get(&id)
            .map_or(0, |publication| publication.publishing.pending())
    }

    /// Publishes a state of an endpoint.
    pub(crate) fn publish(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        local: Local,
        operation: OperationId,
        (target, options, content): (&str, PublishOptions, Content),
    ) -> PublicationId {
        let id: PublicationId = cx.ids.next();
        let expires = options.expires.unwrap_or(cx.config.subscribe_expires).as_secs();
        cx.counters.publications.started += 1;
        let publication = Publication {
            publishing: Publishing::new(id, operation),
            local: Box::new(local),
            target: target.into(),
            options: Box::new(options),
            content,
            expires: u32::try_from(expires).unwrap_or(u32::MAX).max(1),
            call_id: cx.entropy.hex(32).into(),
            tag: cx.entropy.hex(16).into(),
            sequence: below.exchanges.new_sequence(cx, 1),
            etag: None,
            exchange: None,
            response: None,
            over: false,
        };
        self.table.insert(id, publication);
        if let Some(publication) = self.table.get_mut(&id) {
            publication.send(cx, below, id, true, false);
        }
        id
    }

    /// Another state from now on.
    pub(crate) fn modify(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: PublicationId,
        operation: OperationId,
        content: Content,
    ) {
        if let Some(publication) = self.table.get_mut(&id) {
            publication.content = content;
        }
        self.step(cx, below, id, Input::Modify(operation));
    }

    pub(crate) fn remove(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: PublicationId,
        operation: OperationId,
    ) {
        if let Some(publication) = self.table.get_mut(&id) {
            publication.over = true;
        }
        self.step(cx, below, id, Input::Remove(operation));
    }

    /// The server that had it has it no more (B7).
    pub(crate) fn forget(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: PublicationId,
        why: PublicationReason,
    ) {
        self.step(cx, below, id, Input::Lost(why));
    }

    pub(crate) fn handle_timer(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: PublicationId) {
        self.step(cx, below, id, Input::Fired);
    }

    /// What the exchange of a publication reports.
    pub(crate) fn handle_exchange(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: PublicationId,
        what: What,
    ) {
        let What::Outcome(outcome) = what else { return };
        let Some(publication) = self.table.get_mut(&id) else {
            return;
        };
        publication.exchange = None;
        let input = match outcome.result {
            Ok(response) => publication.on_success(response),
            Err(error) => {
                publication.response = None;
                let status = error.response().and_then(Message::status);
                if status == Some(StatusCode::CONDITIONAL_REQUEST_FAILED) {
                    Input::Stale(error)
                } else {
                    Input::Refused(refusal_of(&error), error)
                }
            }
        };
        self.step(cx, below, id, input);
    }

    fn step(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: PublicationId, input: Input) {
        let Some(publication) = self.table.get_mut(&id) else {
            return;
        };
        let mut effects = Vec::new();
        publication.publishing.step(cx, input, &mut effects);
        // What completes has the answer, also where the publication is over by then.
        let response = publication.response.clone();
        for effect in effects {
            if let Effect::Complete(operation, result) = effect {
                let completion = response.clone().map_or(Completion::Done, Completion::Response);
                cx.out.complete(operation, result.map(|()| completion));
                continue;
            }
            self.carry_out(cx, below, id, effect);
        }
    }

    fn carry_out(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: PublicationId, effect: Effect) {
        let Some(publication) = self.table.get_mut(&id) else {
            return;
        };
        match effect {
            Effect::Send { state } => publication.send(cx, below, id, state, false),
            Effect::SendRemove => publication.send(cx, below, id, false, true),
            Effect::Forget => publication.etag = None,
            Effect::Hurry => {
                let Some(exchange) = publication.exchange else {
                    return;
                };
                if below.exchanges.is_waiting(exchange) {
                    publication.exchange = None;
                    below.exchanges.abandon(cx, below.low, exchange);
                    self.step(cx, below, id, Input::Withdrawn);
                } else {
                    below.exchanges.repeat_no_more(exchange);
                }
            }
            Effect::Drop => publication.drop_exchange(cx, below),
            Effect::Changed { old, new, reason } => {
                cx.out.event(Event::Publication {
                    endpoint: publication.local.endpoint,
                    publication: id,
                    old,
                    new,
                    reason,
                });
                if new == PublicationState::Removed {
                    self.end(cx, below, id);
                }
            }
            // Done by the caller.
            Effect::Complete(..) => {}
        }
    }

    fn end(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: PublicationId) {
        let Some(mut publication) = self.table.remove(&id) else {
            return;
        };
        cx.counters.publications.ended += 1;
        publication.drop_exchange(cx, below);
        below.exchanges.drop_sequence(publication.sequence);
        let endpoint = publication.local.endpoint;
        self.ended.insert(id, (endpoint, publication.over));
        self.just_ended.push((id, endpoint));
    }
}

impl Publication {
    fn drop_exchange(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>) {
        if let Some(exchange) = self.exchange.take() {
            below.exchanges.abandon(cx, below.low, exchange);
        }
    }

    /// A 2xx: without an entity tag the state cannot be changed any more, only published anew (RFC 3903 section 4.1).
    fn on_success(&mut self, response: Box<Message>) -> Input {
        let etag = response.typed::<SipETag<'_>>().ok().flatten();
        self.etag = etag.map(|etag| etag.as_str().into());
        let granted = response.typed::<Expires>().ok().flatten();
        let granted = granted.map_or(self.expires, |Expires(seconds)| seconds);
        self.response = Some(response);
        Input::Accepted {
            granted: Duration::from_secs(u64::from(granted)),
        }
    }

    fn send(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: PublicationId,
        state: bool,
        remove: bool,
    ) {
        let event = (HeaderName::Event.as_str(), &*self.options.event);
        let etag = self
            .etag
            .as_deref()
            .map(|etag| (HeaderName::SipIfMatch.as_str(), etag));
        // Without a tag to refresh it by, the state goes out as a whole.
        let state = state || (etag.is_none() && !remove);
        let draft = Draft {
            method: Method::Publish,
            uri: self.target.clone(),
            route: self.local.route.clone(),
            parties: Parties::new(&self.local.from(&self.tag), &to_of(&self.target), &self.call_id),
            sequence: Sequence::Counter(self.sequence),
            contact: None,
            expires: Some(if remove { 0 } else { self.expires }),
            block: self
                .local
                .voice
                .full_request(&Method::Publish)
                .and(core::iter::once(event).chain(etag)),
            extra: self.options.headers.clone(),
            content: state.then(|| self.content.clone()),
        };
        // One that arrives twice is refused the second time, and then published anew.
        let policy = Policy {
            repeatable: true,
            ..self.local.policy
        };
        let request = Request {
            draft,
            lease: None,
            owner: Owner::Publication(id),
            policy,
        };
        self.exchange = Some(below.exchanges.start(cx, below.low, request, below.up));
    }
}
