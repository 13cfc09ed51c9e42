//! A caller who is sent elsewhere (RFC 3261 sections 8.1.3.4 and 13.2.2.3, rule S13): which targets there are still to
//! try, and what the application decides of them. The states are those of the invitation.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::invitation::{Input, State};
use super::{Below, Session, Sessions};
use crate::cx::Cx;
use crate::event::{Event, OperationError, RedirectAction, SessionState};
use crate::ids::SessionId;
use crate::wire::header::{Contact, From, Header};
use crate::wire::uri::{SipUri, Uri, UriHeaders, canonical_key};
use crate::wire::{Message, StatusCode};

/// What a session that was redirected has before it and behind it.
#[derive(Clone, Debug)]
pub(super) struct Redirection {
    /// Whom the application called: To stays so.
    pub(super) origin: Box<str>,
    /// The best first; the first is the one that the application decides about.
    targets: VecDeque<Box<str>>,
    /// Every target that was or is to be tried, so that none is twice.
    known: Vec<String>,
    /// How many of those were known from the start: our own addresses and the first target.
    own: usize,
    /// The application wants to be asked no more.
    all: bool,
    /// How the last attempt failed.
    error: OperationError,
}

impl Sessions {
    /// Our INVITE has failed: whether another target can be tried. Then the session waits for the application to decide, or
    /// has gone on already where it wants all tried.
    pub(super) fn redirects(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        error: &OperationError,
    ) -> bool {
        let limit = cx.config.limits.redirects;
        let Some(session) = self.table.get_mut(&id) else {
            return false;
        };
        if !session.local.redirects || !matches!(session.invitation.machine_state(), State::Inviting { .. }) {
            return false;
        }
        let response = error.response();
        let status = response.and_then(Message::status);
        let found = response
            .filter(|_| status.is_some_and(StatusCode::is_redirection))
            .map_or_else(Vec::new, contacts);
        // RFC 3261 section 16.7: a 6xx speaks for the user, wherever they are.
        if (found.is_empty() && session.redirection.is_none())
            || status.is_some_and(StatusCode::is_global_failure)
        {
            return false;
        }
        let refused = session.learn(found, error.clone(), limit);
        cx.counters.refusals.redirects += refused;
        let Some(redirection) = &session.redirection else {
            return false;
        };
        if redirection.targets.is_empty() {
            return false;
        }
        let all = redirection.all;
        self.leave_forks(cx, below, id);
        self.step(cx, below, id, Input::Redirected);
        if all {
            self.try_next(cx, below, id);
        } else {
            self.ask(cx, id);
        }
        true
    }

    /// Asks the application about the next target.
    fn ask(&self, cx: &mut Cx<'_>, id: SessionId) {
        let session = self.table.get(&id);
        let Some(redirection) = session.and_then(|session| session.redirection.as_ref()) else {
            return;
        };
        let mut targets = redirection.targets.iter().map(ToString::to_string);
        if let Some(target) = targets.next() {
            cx.out.event(Event::Redirected {
                session: id,
                target,
                others: targets.collect(),
                error: redirection.error.clone(),
            });
        }
    }

    /// The INVITE goes to the next target, in the same call: its To stays as it was, its CSeq goes on.
    fn try_next(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId) {
        let session = self.table.get_mut(&id);
        if let Some(session) = session
            && let Some(redirection) = &mut session.redirection
            && let Some(target) = redirection.targets.pop_front()
        {
            session.target = target;
            // The application's own next hop was that of the first target.
            session.first_hop = None;
            self.step(cx, below, id, Input::Retry);
        }
    }

    /// Whether a target is one of the two of a session that the peer offers.
    pub(crate) fn is_party(&self, id: SessionId, target: &str) -> bool {
        let Some(session) = self.table.get(&id) else {
            return false;
        };
        let remote = session
            .invite
            .as_ref()
            .and_then(|invite| invite.message.from_().ok());
        let local = From::parse(&session.local.address).ok();
        let mut parties = remote
            .into_iter()
            .chain(local)
            .map(|party| canonical_key(&party.0.uri));
        key_of(target).is_some_and(|key| parties.any(|party| party == key))
    }

    /// What the application has decided.
    pub(crate) fn follow_redirect(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        action: RedirectAction,
    ) {
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        // It may have taken too long, and the application not know it yet.
        if !matches!(session.invitation.machine_state(), State::Redirecting { .. }) {
            return;
        }
        let Some(redirection) = &mut session.redirection else {
            return;
        };
        match action {
            RedirectAction::TryThis | RedirectAction::TryAll => {
                redirection.all = action == RedirectAction::TryAll;
                session.known.state = SessionState::Connecting;
                self.try_next(cx, below, id);
            }
            RedirectAction::Skip if redirection.targets.len() > 1 => {
                redirection.targets.pop_front();
                self.ask(cx, id);
            }
            RedirectAction::Skip | RedirectAction::GiveUp => {
                session.known.state = SessionState::Connecting;
                let error = redirection.error.clone();
                self.give_up(cx, below, id, error);
            }
        }
    }
}

impl Session {
    /// Adds targets that are new, not our own, and not too many; how many there is no room for.
    fn learn(&mut self, found: Vec<Box<str>>, error: OperationError, limit: usize) -> u64 {
        let own = [
            From::parse(&self.local.address)
                .ok()
                .map(|from| canonical_key(&from.0.uri)),
            self.local.contact.gruu.as_deref().and_then(key_of),
        ];
        let (first, target) = (key_of(&self.target), &self.target);
        let redirection = self.redirection.get_or_insert_with(|| {
            let known: Vec<String> = own.into_iter().flatten().chain(first).collect();
            Box::new(Redirection {
                origin: target.clone(),
                targets: VecDeque::new(),
                own: known.len(),
                known,
                all: false,
                error: error.clone(),
            })
        });
        redirection.error = error;
        let mut refused = 0;
        for target in found {
            let Some(key) = key_of(&target).filter(|key| !redirection.known.contains(key)) else {
                continue;
            };
            if redirection.tried() >= limit {
                refused += 1;
                continue;
            }
            redirection.known.push(key);
            redirection.targets.push_back(target);
        }
        refused
    }
}

impl Redirection {
    pub(super) fn fingerprint(&self) -> (Vec<Box<str>>, usize, bool) {
        (self.targets.iter().cloned().collect(), self.known.len(), self.all)
    }

    /// How many targets the redirections have led to.
    fn tried(&self) -> usize {
        self.known.len().saturating_sub(self.own)
    }
}

fn key_of(uri: &str) -> Option<String> {
    Uri::parse(uri).ok().map(|uri| canonical_key(&uri))
}

/// The targets of a 3xx, the best first (RFC 3261 section 20.10): what can be called, without header fields.
fn contacts(response: &Message) -> Vec<Box<str>> {
    let mut found: Vec<(u16, Box<str>)> = Vec::new();
    for contact in response.list::<Contact<'_>>().filter_map(Result::ok) {
        let q = contact.q().unwrap_or(1000);
        let Contact::Address(address) = contact else {
            continue;
        };
        let uri = match address.uri {
            Uri::Sip(uri) => {
                let mut uri = SipUri {
                    headers: UriHeaders::default(),
                    ..uri
                };
                uri.params.remove("method");
                uri.to_string()
            }
            Uri::Tel(uri) => Uri::Tel(uri).to_string(),
            Uri::Other(_) => continue,
        };
        found.push((q, uri.into()));
    }
    // Those of one value stay in their order.
    found.sort_by_key(|(q, _)| core::cmp::Reverse(*q));
    found.into_iter().map(|(_, uri)| uri).collect()
}
