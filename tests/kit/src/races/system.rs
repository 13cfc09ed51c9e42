//! Two stacks and what is on its way between them: small enough to be copied at every step of a search.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use sansip::wire::{Message, MessageLimits, Method, StatusCode};
use sansip::{
    Action, CloseReason, Config, ConnId, Connect, Content, EndOfSubscription, EndpointId, Established, Event,
    ListenerId, Misuse, OperationId, PeerToPeerConfig, ReferralId, ReliableResponses, SendOptions, SessionId,
    SessionState, Stack, SubscribeOptions, SubscriptionId, SubscriptionState, Time, UnixTime, WatcherId,
};

/// What an application can do; each stands for itself in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Calls the other with an offer.
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

/// One thing that can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Move {
    /// The application of a party gives this command of its script; those before it are not given any more.
    Command(usize, usize),
    /// What is first on its way arrives: on this connection, at this party.
    Arrive(usize, usize),
    /// The next timer of a party fires, before anything else happens.
    Fire(usize),
    /// A connection is reset; both ends have yet to hear of it.
    Reset(usize),
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(party, at) => write!(f, "c{party}.{at}"),
            Self::Arrive(line, party) => write!(f, "a{line}.{party}"),
            Self::Fire(party) => write!(f, "f{party}"),
            Self::Reset(line) => write!(f, "r{line}"),
        }
    }
}

/// What is on its way to an end of a connection.
#[derive(Clone, Debug)]
enum Packet {
    Bytes(Bytes),
    Closed(CloseReason),
}

/// One end of a connection.
#[derive(Clone, Debug)]
struct End {
    conn: ConnId,
    /// Whether its stack still has it.
    open: bool,
    /// Whether its stack reads from it.
    reading: bool,
    /// What is on its way to it.
    pipe: VecDeque<Packet>,
}

/// A connection between the two; the ends are in the order of the parties.
#[derive(Clone, Debug)]
struct Line {
    ends: [End; 2],
    /// Whether it carries anything.
    whole: bool,
}

#[derive(Clone)]
struct Party {
    at: usize,
    stack: Stack,
    now: Time,
    endpoint: EndpointId,
    listener: Option<ListenerId>,
    call: Option<SessionId>,
    state: SessionState,
    subscription: Option<SubscriptionId>,
    subscribed: SubscriptionState,
    watcher: Option<WatcherId>,
    referral: Option<ReferralId>,
    /// Operations that have not completed.
    pending: BTreeSet<OperationId>,
    /// The first of its commands that it can still give.
    next: usize,
}

/// The two, and how often what is bounded has happened.
#[derive(Clone)]
pub(super) struct System {
    parties: [Party; 2],
    lines: Vec<Line>,
    pub(super) fired: usize,
    pub(super) resets: usize,
    /// Whether something that was on its way was lost.
    lost: bool,
}

/// How long the two are left alone in the end: longer than all that a call can wait for.
const LONG: Duration = Duration::from_secs(300);

fn address(party: usize) -> SocketAddr {
    let host = u8::try_from(party + 1).unwrap_or_default();
    SocketAddr::from(([10, 0, 0, host], 5060))
}

fn content(text: &'static str) -> Content {
    Content::new("application/sdp", Bytes::from_static(text.as_bytes()))
}

impl Party {
    fn new(at: usize, reliable: bool) -> Self {
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
        }
    }

    /// Gives a command; misuse changes nothing.
    fn command(&mut self, command: Command, other: &str) -> Result<(), Misuse> {
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

    fn on_event(&mut self, event: &Event) {
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
}

impl System {
    /// Two who listen, and have said nothing yet; `reliable` where they acknowledge provisional responses.
    pub(super) fn new(reliable: bool) -> Self {
        let mut system = Self {
            parties: [Party::new(0, reliable), Party::new(1, reliable)],
            lines: Vec::new(),
            fired: 0,
            resets: 0,
            lost: false,
        };
        system.carry_out_all();
        system
    }

    fn party(&mut self, at: usize) -> &mut Party {
        self.parties.get_mut(at).expect("one of two")
    }

    /// Carries out all that both want at once. What goes over a connection is on its way then.
    fn carry_out_all(&mut self) {
        loop {
            let mut quiet = true;
            for at in [0, 1] {
                while let Some(action) = self.party(at).stack.poll_action() {
                    quiet = false;
                    self.carry_out(at, action);
                }
            }
            if quiet {
                return;
            }
        }
    }

    fn carry_out(&mut self, at: usize, action: Action) {
        let now = self.party(at).now;
        match action {
            Action::Listen {
                listener, address, ..
            } => {
                let party = self.party(at);
                party.listener = Some(listener);
                party.stack.handle_listening(now, listener, Ok(address));
            }
            Action::Connect(connect) => self.connect(at, connect),
            Action::Transmit(conn) => {
                let party = self.party(at);
                let waiting: Vec<Bytes> = party.stack.transmit(conn).cloned().collect();
                let length = waiting.iter().map(Bytes::len).sum();
                party.stack.handle_transmitted(now, conn, length);
                self.put(at, conn, waiting.into_iter().map(Packet::Bytes));
            }
            Action::Close(conn) => {
                self.put(at, conn, [Packet::Closed(CloseReason::Closed)]);
                if let Some(end) = self.end(at, conn) {
                    end.open = false;
                    end.pipe.clear();
                }
                self.lines.retain(|line| line.ends.iter().any(|end| end.open));
            }
            Action::Reading(conn, reads) => {
                if let Some(end) = self.end(at, conn) {
                    end.reading = reads;
                }
            }
            Action::Event(event) => self.party(at).on_event(&event),
            Action::StopListening(_) => {}
            Action::Resolve { .. } => unreachable!("every target is an address"),
            Action::Authenticate(_) => unreachable!("no server offers Kerberos"),
        }
    }

    fn end(&mut self, at: usize, conn: ConnId) -> Option<&mut End> {
        let ends = self.lines.iter_mut().filter_map(|line| line.ends.get_mut(at));
        ends.into_iter().find(|end| end.open && end.conn == conn)
    }

    /// Puts something on its way to the other end.
    fn put(&mut self, from: usize, conn: ConnId, packets: impl IntoIterator<Item = Packet>) {
        let is_this =
            |line: &&mut Line| matches!(line.ends.get(from), Some(end) if end.open && end.conn == conn);
        let Some(line) = self.lines.iter_mut().find(is_this) else {
            return;
        };
        match line.ends.get_mut(1 - from) {
            Some(other) if line.whole && other.open => other.pipe.extend(packets),
            _ => self.lost = true,
        }
    }

    fn connect(&mut self, at: usize, connect: Connect) {
        let other = 1 - at;
        assert_eq!(connect.remote, address(other), "there is nobody else");
        let port = u16::try_from(40_000 + self.lines.len()).unwrap_or_default();
        let local = SocketAddr::new(address(at).ip(), port);
        let peer = self.party(other);
        let listener = peer.listener.expect("it listens");
        let there = peer
            .stack
            .handle_accepted(peer.now, listener, connect.remote, local);
        let end = |conn| End {
            conn,
            open: true,
            reading: true,
            pipe: VecDeque::new(),
        };
        let ends = if at == 0 {
            [end(connect.conn), end(there)]
        } else {
            [end(there), end(connect.conn)]
        };
        self.lines.push(Line { ends, whole: true });
        let party = self.party(at);
        let established = Established {
            local,
            remote: connect.remote,
            peer: None,
        };
        party.stack.handle_connected(party.now, connect.conn, established);
    }

    /// The scripts begin.
    pub(super) fn begin_scripts(&mut self) {
        for party in &mut self.parties {
            party.next = 0;
        }
    }

    /// All that can happen next, but what is bounded.
    pub(super) fn moves(&self, scripts: [&[Command]; 2]) -> Vec<Move> {
        let mut moves = Vec::new();
        for (at, line) in self.lines.iter().enumerate() {
            for (party, end) in line.ends.iter().enumerate() {
                if end.open && end.reading && !end.pipe.is_empty() {
                    moves.push(Move::Arrive(at, party));
                }
            }
        }
        for (at, (party, script)) in self.parties.iter().zip(scripts).enumerate() {
            for command in party.next..script.len() {
                moves.push(Move::Command(at, command));
            }
        }
        moves
    }

    /// The timers that can fire next, and the connections that can be lost.
    pub(super) fn mishaps(&self) -> Vec<Move> {
        let timers = self.parties.iter().enumerate();
        let timers = timers.filter(|(_, party)| party.stack.poll_timeout().is_some());
        let lines = self.lines.iter().enumerate().filter(|(_, line)| line.whole);
        let timers = timers.map(|(at, _)| Move::Fire(at));
        timers.chain(lines.map(|(at, _)| Move::Reset(at))).collect()
    }

    /// Makes a move; `false` when it cannot be made.
    pub(super) fn make(&mut self, scripts: [&[Command]; 2], what: Move) -> bool {
        match what {
            Move::Command(at, index) => {
                let Some(command) = scripts.get(at).and_then(|script| script.get(index)) else {
                    return false;
                };
                let other = format!("sip:party{}@{}", 1 - at, address(1 - at));
                if self.party(at).command(*command, &other).is_err() {
                    return false;
                }
                self.party(at).next = index + 1;
            }
            Move::Arrive(line, party) => return self.arrive(line, party),
            Move::Fire(at) => {
                let party = self.party(at);
                let Some((due, _)) = party.stack.poll_timeout() else {
                    return false;
                };
                party.now = party.now.max(due);
                party.stack.handle_timeout(party.now);
                self.fired += 1;
            }
            Move::Reset(line) => {
                let Some(line) = self.lines.get_mut(line).filter(|line| line.whole) else {
                    return false;
                };
                line.whole = false;
                for end in line.ends.iter_mut().filter(|end| end.open) {
                    self.lost |= !end.pipe.is_empty();
                    end.pipe = VecDeque::from([Packet::Closed(CloseReason::Reset)]);
                }
                self.resets += 1;
            }
        }
        self.carry_out_all();
        true
    }

    fn arrive(&mut self, line: usize, at: usize) -> bool {
        let end = self.lines.get_mut(line).and_then(|line| line.ends.get_mut(at));
        let Some(end) = end.filter(|end| end.open) else {
            return false;
        };
        let conn = end.conn;
        let Some(packet) = end.pipe.pop_front() else {
            return false;
        };
        if matches!(packet, Packet::Closed(_)) {
            end.open = false;
        }
        let party = self.party(at);
        match packet {
            Packet::Bytes(bytes) => party.stack.handle_bytes(party.now, conn, &bytes),
            Packet::Closed(reason) => {
                party.stack.handle_closed(party.now, conn, reason);
                self.lines.retain(|line| line.ends.iter().any(|end| end.open));
            }
        }
        self.carry_out_all();
        true
    }

    /// Lets everything arrive and every timer fire, in the order of time, until nothing is left to happen for long.
    fn come_to_rest(&mut self) {
        let end = self
            .parties
            .iter()
            .map(|party| party.now)
            .max()
            .unwrap_or_default()
            + LONG;
        for _ in 0..100_000 {
            if let Some(what) = self.moves([&[], &[]]).first() {
                assert!(self.make([&[], &[]], *what), "{what} can be made");
                continue;
            }
            let due = |party: &Party| party.stack.poll_timeout().map(|(at, _)| at);
            let next = self.parties.iter().enumerate();
            let next = next
                .filter_map(|(at, party)| due(party).map(|due| (due, at)))
                .min();
            match next.filter(|(due, _)| *due <= end) {
                Some((_, at)) => assert!(self.make([&[], &[]], Move::Fire(at)), "its timer fires"),
                None => return,
            }
        }
        panic!("it never comes to rest");
    }

    /// What must be true however things go on, if everybody is left alone from here: all that was begun completes, both
    /// agree on whether there is a session, and nothing is held once both have ended.
    ///
    /// # Panics
    /// It is not.
    pub(super) fn judge(mut self) -> Ends {
        self.come_to_rest();
        for (at, party) in self.parties.iter().enumerate() {
            assert!(
                party.pending.is_empty(),
                "party {at} waits for {:?} for ever",
                party.pending
            );
        }
        let ends = Ends {
            sessions: self
                .parties
                .iter()
                .filter(|party| party.state == SessionState::Connected)
                .count(),
        };
        let states = self.parties.each_ref().map(|party| party.state);
        assert!(
            ends.sessions != 1 || self.lost,
            "one has a session that the other has not: {states:?}"
        );
        let watched = self
            .parties
            .iter()
            .any(|party| party.stack.census().subscriptions == 1);
        let subscribed = self
            .parties
            .iter()
            .any(|party| party.subscribed == SubscriptionState::Subscribed);
        assert!(
            !subscribed || watched || self.lost,
            "subscribed, and nobody knows"
        );
        for party in &mut self.parties {
            let operation = party.stack.terminate(party.now, party.endpoint);
            party.pending.insert(operation);
        }
        self.carry_out_all();
        self.come_to_rest();
        for (at, party) in self.parties.iter().enumerate() {
            let census = party.stack.census();
            assert!(party.pending.is_empty(), "party {at} never ends");
            let held = [
                census.transactions,
                census.exchanges,
                census.replies,
                census.incoming,
                census.dialogs,
                census.sessions,
                census.subscriptions,
                census.operations,
                census.endpoints,
                census.leases,
                census.queued_bytes,
            ];
            assert_eq!(held, [0; 11], "party {at} holds something: {census:?}");
        }
        ends
    }

    /// A name for all systems that go on alike: the stacks in canonical form, what is on its way without its names, and
    /// what is left of the scripts and of the bounds.
    pub(super) fn print(&self) -> u128 {
        let half = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            salt.hash(&mut hasher);
            for party in &self.parties {
                party.stack.fingerprint().hash(&mut hasher);
                (party.next, party.state, party.pending.len()).hash(&mut hasher);
                (party.call.is_some(), party.referral.is_some()).hash(&mut hasher);
                (party.subscribed, party.watcher.is_some()).hash(&mut hasher);
            }
            for line in &self.lines {
                line.whole.hash(&mut hasher);
                for end in &line.ends {
                    (end.open, end.reading, end.pipe.len()).hash(&mut hasher);
                    for packet in &end.pipe {
                        summary(packet).hash(&mut hasher);
                    }
                }
            }
            (self.fired, self.resets, self.lost).hash(&mut hasher);
            u128::from(hasher.finish())
        };
        half(0) << 64 | half(1)
    }

    /// What would arrive, as short as can be.
    pub(super) fn first_word(&self, what: Move) -> String {
        let Move::Arrive(line, at) = what else {
            return String::new();
        };
        let end = self.lines.get(line).and_then(|line| line.ends.get(at));
        let words = end.and_then(|end| end.pipe.front()).map(summary);
        let first = words.as_deref().and_then(|words| words.split(' ').next());
        first.unwrap_or_default().to_owned()
    }

    /// What a move would do, in words.
    pub(super) fn words(&self, scripts: [&[Command]; 2], what: Move) -> String {
        match what {
            Move::Command(at, index) => {
                let command = scripts.get(at).and_then(|script| script.get(index));
                format!("party {at} gives {command:?}")
            }
            Move::Arrive(line, at) => {
                let end = self.lines.get(line).and_then(|line| line.ends.get(at));
                let packet = end.and_then(|end| end.pipe.front());
                format!(
                    "party {at} gets {} on connection {line}",
                    packet.map(summary).unwrap_or_default()
                )
            }
            Move::Fire(at) => {
                let due = self.parties.get(at).and_then(|party| party.stack.poll_timeout());
                format!("party {at} has a timer fire: {due:?}")
            }
            Move::Reset(line) => format!("connection {line} is reset"),
        }
    }
}

/// How many of the two have a session in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    pub(super) sessions: usize,
}

/// A message without what names it, and without what was drawn.
fn summary(packet: &Packet) -> String {
    let bytes = match packet {
        Packet::Bytes(bytes) => bytes,
        Packet::Closed(reason) => return format!("{reason:?}"),
    };
    let Ok(message) = Message::parse(bytes.clone(), &MessageLimits::default()) else {
        return format!("{bytes:?}");
    };
    let what = match (message.method(), message.status()) {
        (Some(method), _) => method.to_string(),
        (None, status) => status.map_or(0, StatusCode::code).to_string(),
    };
    let cseq = message.cseq().map_or(0, |cseq| cseq.number);
    let tagged = message.to().is_ok_and(|to| to.tag().is_some());
    let state = message.raw_by_name("Subscription-State").next();
    let state = state.map(String::from_utf8_lossy).unwrap_or_default();
    let body = message.body_bytes().len();
    format!("{what} (CSeq {cseq}, to a dialog: {tagged}, {body} bytes {state})")
}
