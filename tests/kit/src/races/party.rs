//! One stack with its application: what that commands, and what it has heard.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use bytes::Bytes;
use sansip::wire::{Message, Method, StatusCode};
use sansip::{
    Config, Content, EndOfSubscription, EndpointId, Event, ListenerId, Misuse, OperationId, PeerToPeerConfig,
    ReferralId, ReliableResponses, SendOptions, SessionId, SessionState, Stack, SubscribeOptions,
    SubscriptionId, SubscriptionState, Time, UnixTime, WatcherId,
};

/// What an application can do; each stands for itself in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Calls the other, or all others, with an offer.
    Invite,
    /// Calls the other without one.
    InviteWithoutOffer,
    /// Gives the answer that goes into the ACK.
    Answer,
    /// 180.
    Ring,
    /// 183 with the answer, for a PRACK.
    Progress,
    /// Offers a change in the PRACK.
    OfferInPrack,
    /// Accepts the call.
    Accept,
    /// Refuses it: 486.
    Reject,
    /// Offers a change by re-INVITE.
    Reinvite,
    /// Offers a change by UPDATE.
    Update,
    /// Gives its own change up.
    Withdraw,
    /// Takes the change of the other.
    Take,
    /// Refuses the change of the other.
    Refuse,
    /// Sends a request in the session.
    Inside,
    /// Asks the other to call it once more.
    Refer,
    /// Does what the other has asked for.
    Follow,
    /// Refuses to.
    Decline,
    /// Ends the session.
    Terminate,
    /// Subscribes to the other.
    Subscribe,
    /// Ends its subscription.
    Unsubscribe,
    /// Accepts the subscription of the other.
    Admit,
    /// Tells the other its state.
    Notify,
    /// Ends the subscription of the other.
    Dismiss,
}

#[derive(Clone)]
pub(super) struct Party {
    pub(super) at: usize,
    pub(super) stack: Stack,
    pub(super) now: Time,
    pub(super) endpoint: EndpointId,
    pub(super) listener: Option<ListenerId>,
    pub(super) call: Option<SessionId>,
    pub(super) state: SessionState,
    pub(super) subscription: Option<SubscriptionId>,
    pub(super) subscribed: SubscriptionState,
    pub(super) watcher: Option<WatcherId>,
    pub(super) referral: Option<ReferralId>,
    /// Operations that have not completed.
    pub(super) pending: BTreeSet<OperationId>,
    /// The first of its commands that it can still give.
    pub(super) next: usize,
    /// Whose responses it has had, in the order of the first.
    pub(super) heard: Vec<usize>,
    /// How many of its BYEs were lost.
    pub(super) byes: usize,
    /// The number of its last request in each of its dialogs.
    pub(super) numbers: BTreeMap<String, u32>,
}

/// Where a party, or the proxy, listens.
pub(super) fn address(at: usize) -> SocketAddr {
    let host = u8::try_from(at + 1).unwrap_or_default();
    SocketAddr::from(([10, 0, 0, host], 5060))
}

/// Who listens on this host.
pub(super) fn node_at(host: &str) -> Option<usize> {
    (0..4).find(|at| address(*at).ip().to_string() == host)
}

fn content(text: &'static str) -> Content {
    Content::new("application/sdp", Bytes::from_static(text.as_bytes()))
}

impl Party {
    pub(super) fn new(at: usize, reliable: bool) -> Self {
        let now = Time::from_secs(1);
        let seed = u8::try_from(at).unwrap_or_default();
        let mut stack = Stack::new(Config::default(), [seed; 32], now, UnixTime(1_700_000_000));
        let manager = stack.server_tcp_manager();
        let listening = stack
            .manager(now, manager)
            .and_then(|mut manager| manager.listen(address(at)));
        listening.expect("a free address");
        let mut config = PeerToPeerConfig::new(format!("sip:party{at}@example.invalid"));
        config.profile.methods.extend([Method::Subscribe, Method::Refer]);
        if reliable {
            config.profile.reliable_responses = ReliableResponses::Supported;
        }
        let endpoint = stack.add_peer_to_peer_endpoint(now, config).expect("an endpoint");
        Self {
            at,
            stack,
            now,
            endpoint,
            listener: None,
            call: None,
            state: SessionState::Idle,
            subscription: None,
            subscribed: SubscriptionState::Idle,
            watcher: None,
            referral: None,
            pending: BTreeSet::new(),
            next: 0,
            heard: Vec::new(),
            byes: 0,
            numbers: BTreeMap::new(),
        }
    }

    /// In one dialog numbers grow (RFC 3261 section 12.2.1.1).
    pub(super) fn count(&mut self, request: &Message) {
        let (Ok(to), Ok(cseq), Ok(call_id)) = (request.to(), request.cseq(), request.call_id()) else {
            return;
        };
        let counts = request.is_request() && !matches!(cseq.method, Method::Ack | Method::Cancel);
        let (Some(tag), true) = (to.tag(), counts) else {
            return;
        };
        let last = self.numbers.insert(format!("{call_id} {tag}"), cseq.number);
        assert!(
            last.is_none_or(|last| last < cseq.number),
            "party {} sends {} with CSeq {} after {last:?}",
            self.at,
            cseq.method,
            cseq.number
        );
    }

    /// Gives a command; misuse changes nothing.
    pub(super) fn command(&mut self, command: Command, other: &str) -> Result<(), Misuse> {
        let (now, none) = (self.now, Misuse::Unknown("what it is about"));
        let session = |party: &Self| party.call.ok_or_else(|| none.clone());
        let operation = match command {
            Command::Invite | Command::InviteWithoutOffer if self.call.is_some() => return Err(none),
            Command::Invite | Command::InviteWithoutOffer => {
                let offer = (command == Command::Invite).then(|| content("offer"));
                let mut endpoint = self.stack.endpoint(now, self.endpoint)?;
                let (session, operation) = endpoint.invite(other, offer, SendOptions::default())?;
                self.call = Some(session);
                Some(operation)
            }
            Command::Answer => {
                let session = session(self)?;
                self.stack.session(now, session)?.answer(content("answer"))?;
                None
            }
            Command::Ring => {
                let session = session(self)?;
                self.stack
                    .session(now, session)?
                    .provisional(StatusCode::RINGING, None)?;
                None
            }
            Command::Progress => {
                let (session, status) = (session(self)?, StatusCode::SESSION_PROGRESS);
                self.stack
                    .session(now, session)?
                    .provisional(status, Some(content("answer")))?;
                None
            }
            Command::Accept => {
                let session = session(self)?;
                Some(
                    self.stack
                        .session(now, session)?
                        .accept(Some(content("answer")))?,
                )
            }
            Command::Reject => {
                let session = session(self)?;
                self.stack
                    .session(now, session)?
                    .reject(StatusCode::BUSY_HERE, None)?;
                None
            }
            Command::Reinvite | Command::Update | Command::OfferInPrack => {
                let method = if command == Command::Update {
                    Method::Update
                } else if command == Command::OfferInPrack {
                    Method::Prack
                } else {
                    Method::Invite
                };
                let session = session(self)?;
                let mut session = self.stack.session(now, session)?;
                Some(session.renegotiate(method, content("another offer"))?)
            }
            Command::Withdraw => {
                let session = session(self)?;
                if !self.stack.session(now, session)?.cancel_renegotiation() {
                    return Err(none);
                }
                None
            }
            Command::Take => {
                let session = session(self)?;
                let mut session = self.stack.session(now, session)?;
                Some(session.accept_renegotiation(content("another answer"))?)
            }
            Command::Refuse => {
                let session = session(self)?;
                let mut session = self.stack.session(now, session)?;
                session.reject_renegotiation(StatusCode::NOT_ACCEPTABLE_HERE, None)?;
                None
            }
            Command::Inside => {
                let session = session(self)?;
                let mut session = self.stack.session(now, session)?;
                Some(session.send(Method::Info, None, Vec::new())?)
            }
            Command::Refer => {
                let session = session(self)?;
                let own = format!("sip:party{}@{}", self.at, address(self.at));
                Some(self.stack.session(now, session)?.refer(&own, Vec::new())?.1)
            }
            Command::Follow => {
                let (session, referral) = (session(self)?, self.referral.ok_or(none)?);
                let mut endpoint = self.stack.endpoint(now, self.endpoint)?;
                let (call, operation) = endpoint.invite(other, None, SendOptions::default())?;
                let accepted = self.stack.session(now, session)?;
                { accepted }.accept_referral(referral, call)?;
                Some(operation)
            }
            Command::Decline => {
                let (session, referral) = (session(self)?, self.referral.ok_or(none)?);
                let mut session = self.stack.session(now, session)?;
                session.reject_referral(referral, StatusCode::DECLINE)?;
                None
            }
            Command::Terminate => {
                let session = session(self)?;
                Some(self.stack.session(now, session)?.terminate())
            }
            Command::Subscribe if self.subscription.is_some() => return Err(none),
            Command::Subscribe => {
                let options = SubscribeOptions::new("presence");
                let mut endpoint = self.stack.endpoint(now, self.endpoint)?;
                let (subscription, operation) = endpoint.subscribe(other, options)?;
                self.subscription = Some(subscription);
                Some(operation)
            }
            Command::Unsubscribe => {
                let subscription = self.subscription.ok_or(none)?;
                Some(self.stack.subscription(now, subscription)?.terminate())
            }
            Command::Admit => {
                let watcher = self.watcher.ok_or(none)?;
                self.stack.watcher(now, watcher)?.accept(None, None)?;
                None
            }
            Command::Notify => {
                let watcher = self.watcher.ok_or(none)?;
                let mut watcher = self.stack.watcher(now, watcher)?;
                Some(watcher.notify(Some(content("state")))?)
            }
            Command::Dismiss => {
                let watcher = self.watcher.ok_or(none)?;
                Some(
                    self.stack
                        .watcher(now, watcher)?
                        .terminate(EndOfSubscription::NoResource, None)?,
                )
            }
        };
        if let Some(operation) = operation {
            assert!(self.pending.insert(operation), "{operation} was given before");
        }
        Ok(())
    }

    pub(super) fn on_event(&mut self, event: &Event) {
        if let Event::Completed { operation, .. } = event {
            assert!(
                self.pending.remove(operation),
                "{operation} completes, and does not wait"
            );
        }
        if let Event::SessionReceived { session, .. } = event
            && self.call.is_none()
        {
            self.call = Some(*session);
        }
        if let Event::Session { session, new, .. } = event
            && self.call == Some(*session)
        {
            self.state = *new;
        }
        if let Event::Subscription {
            subscription, new, ..
        } = event
            && self.subscription == Some(*subscription)
        {
            self.subscribed = *new;
        }
        if let Event::ReferReceived { referral, .. } = event {
            self.referral = Some(*referral);
        }
        if let Event::WatcherReceived { watcher, .. } = event
            && self.watcher.is_none()
        {
            self.watcher = Some(*watcher);
        }
        // What is received inside a session is answered 200 by the stack, or by what the application does not do.
    }

    /// With whom its session is.
    pub(super) fn peer(&mut self) -> Option<usize> {
        let session = self.stack.session(self.now, self.call?).ok()?;
        let target = session.target()?;
        let host = target.split(['@', ':']).find(|part| part.starts_with("10."))?;
        node_at(host)
    }
}
