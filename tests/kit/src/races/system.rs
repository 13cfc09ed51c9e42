//! Stacks and what is on its way between them: small enough to be copied at every step of a search.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sansip::wire::{Message, MessageLimits, Method, StatusCode};
use sansip::{
    Action, CloseReason, Config, ConnId, Connect, Content, EndOfSubscription, EndpointId, Established, Event,
    ListenerId, Misuse, OperationId, PeerToPeerConfig, ReferralId, ReliableResponses, SendOptions, SessionId,
    SessionState, Stack, SubscribeOptions, SubscriptionId, SubscriptionState, Time, UnixTime, WatcherId,
};
use siphasher::sip128::{Hasher128, SipHasher13};

use super::forker::Forker;

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

/// One thing that can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Move {
    /// The application of a party gives this command of its script; those before it are not given any more.
    Command(usize, usize),
    /// What is first on its way arrives: on this connection, at this party.
    Arrive(usize, usize),
    /// The next timer of a party fires, before anything else happens.
    Fire(usize),
    /// A connection is reset; the parties at its ends have yet to hear of it.
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
    /// A message, by whom, and what it is in short.
    Bytes(Bytes, usize, Arc<str>),
    Closed(CloseReason),
}

impl Packet {
    fn new(bytes: Bytes, by: usize) -> Self {
        let words = summary(&bytes).into();
        Self::Bytes(bytes, by, words)
    }

    fn is_bye(&self) -> bool {
        matches!(self, Self::Bytes(_, _, words) if words.starts_with("BYE "))
    }

    /// In short, without what names it, and without what was drawn.
    fn words(&self) -> String {
        match self {
            Self::Bytes(_, _, words) => words.to_string(),
            Self::Closed(reason) => format!("{reason:?}"),
        }
    }
}

/// One end of a connection.
#[derive(Clone, Debug)]
struct End {
    /// Whose it is: a party's, or the proxy's, which takes at once what comes.
    at: usize,
    /// What its stack calls it.
    conn: Option<ConnId>,
    /// Whether its stack still has it.
    open: bool,
    /// Whether its stack reads from it.
    reading: bool,
    /// What is on its way to it.
    pipe: VecDeque<Packet>,
    /// A BYE of its stack was lost, as it is going to hear.
    bye: bool,
    /// A timer of its stack has fired while a BYE was on its way: it may have given up.
    late: bool,
}

impl End {
    const fn new(at: usize, conn: Option<ConnId>) -> Self {
        Self {
            at,
            conn,
            open: true,
            reading: true,
            pipe: VecDeque::new(),
            bye: false,
            late: false,
        }
    }

    /// Whose BYEs are on their way to it.
    fn byes(&self) -> impl Iterator<Item = usize> {
        self.pipe.iter().filter_map(|packet| match packet {
            Packet::Bytes(_, by, _) if packet.is_bye() => Some(*by),
            Packet::Bytes(..) | Packet::Closed(_) => None,
        })
    }
}

/// A connection; the end of the lower number is first.
#[derive(Clone, Debug)]
struct Line {
    ends: [End; 2],
    /// Whether it carries anything.
    whole: bool,
}

impl Line {
    fn is_between(&self, one: usize, other: usize) -> bool {
        self.ends.iter().all(|end| end.at == one || end.at == other)
    }

    /// What is on its way is lost, and the news of it is instead; whether a BYE is lost that nobody repeats.
    fn reset(&mut self) -> bool {
        self.whole = false;
        let [one, other] = &mut self.ends;
        let has_bye = |end: &End| end.pipe.iter().any(Packet::is_bye);
        let byes = (has_bye(other), has_bye(one));
        one.bye |= byes.0;
        other.bye |= byes.1;
        let nobody = |end: &End| end.conn.is_none() || end.late;
        let lost = self.ends.iter().any(|end| end.bye && nobody(end));
        for end in self.ends.iter_mut().filter(|end| end.open) {
            end.open = end.conn.is_some();
            end.pipe = VecDeque::from([Packet::Closed(CloseReason::Reset)]);
        }
        lost
    }

    /// The end there, and the other one.
    fn ends_at(&mut self, at: usize) -> Option<(&mut End, &mut End)> {
        let [one, other] = &mut self.ends;
        if one.at == at {
            Some((one, other))
        } else {
            (other.at == at).then_some((other, one))
        }
    }
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
    /// Whose responses it has had, in the order of the first.
    heard: Vec<usize>,
    /// How many of its BYEs were lost.
    byes: usize,
    /// The number of its last request in each of its dialogs.
    numbers: BTreeMap<String, u32>,
}

/// All parties, and how often what is bounded has happened.
#[derive(Clone)]
pub(super) struct System {
    parties: Vec<Party>,
    /// Who stands between the first and the others, where there are more than two.
    forker: Option<Forker>,
    lines: Vec<Line>,
    pub(super) fired: usize,
    pub(super) resets: usize,
    /// Whether a BYE was lost for good: the proxy had taken it over, or a timer of its sender fired before the news came, or it
    /// was the second one, which is not repeated (C35).
    lost: bool,
}

/// How long all are left alone in the end: longer than all that a call can wait for.
const LONG: Duration = Duration::from_secs(300);

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
            heard: Vec::new(),
            byes: 0,
            numbers: BTreeMap::new(),
        }
    }

    /// In one dialog numbers grow (RFC 3261 section 12.2.1.1).
    fn count(&mut self, request: &Message) {
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

    /// With whom its session is.
    fn peer(&mut self) -> Option<usize> {
        let session = self.stack.session(self.now, self.call?).ok()?;
        let target = session.target()?;
        let host = target.split(['@', ':']).find(|part| part.starts_with("10."))?;
        node_at(host)
    }
}

impl System {
    /// So many who listen, and have said nothing yet; `reliable` where they acknowledge provisional responses. Where they
    /// are more than two, a [`Forker`] stands between the first and the others.
    pub(super) fn new(parties: usize, reliable: bool) -> Self {
        let mut system = Self {
            parties: (0..parties).map(|at| Party::new(at, reliable)).collect(),
            forker: (parties > 2).then(|| Forker::new(parties, (1..parties).collect())),
            lines: Vec::new(),
            fired: 0,
            resets: 0,
            lost: false,
        };
        system.carry_out_all();
        system
    }

    fn party(&mut self, at: usize) -> &mut Party {
        self.parties.get_mut(at).expect("one of them")
    }

    /// Whom a party calls.
    fn target(&self, at: usize) -> String {
        match &self.forker {
            Some(forker) => format!("sip:all@{}", address(forker.at())),
            None => format!("sip:party{}@{}", 1 - at, address(1 - at)),
        }
    }

    /// Carries out all that everybody wants at once. What goes over a connection is on its way then.
    fn carry_out_all(&mut self) {
        loop {
            let mut quiet = true;
            for at in 0..self.parties.len() {
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
                for bytes in waiting {
                    self.send(at, conn, bytes);
                }
            }
            Action::Close(conn) => self.close(at, conn),
            Action::Reading(conn, reads) => {
                let ends = self.lines.iter_mut().flat_map(|line| &mut line.ends);
                let mut of = ends.filter(|end| end.open && end.at == at && end.conn == Some(conn));
                if let Some(end) = of.next() {
                    end.reading = reads;
                }
            }
            Action::Event(event) => self.party(at).on_event(&event),
            Action::StopListening(_) => {}
            Action::Resolve { .. } => unreachable!("every target is an address"),
            Action::Authenticate(_) => unreachable!("no server offers Kerberos"),
        }
    }

    fn line(&mut self, at: usize, conn: ConnId) -> Option<&mut Line> {
        let is_this = |end: &End| end.open && end.at == at && end.conn == Some(conn);
        self.lines.iter_mut().find(|line| line.ends.iter().any(is_this))
    }

    /// Puts a message of a party on its way: to the other end, or through the proxy.
    fn send(&mut self, from: usize, conn: ConnId, bytes: Bytes) {
        if let Ok(message) = Message::parse(bytes.clone(), &MessageLimits::default()) {
            self.party(from).count(&message);
        }
        let Some(line) = self.line(from, conn) else {
            return;
        };
        let whole = line.whole;
        let Some((here, there)) = line.ends_at(from) else {
            return;
        };
        let packet = Packet::new(bytes.clone(), from);
        if !(whole && there.open) {
            if packet.is_bye() {
                here.bye = true;
                self.lose_bye(from);
            }
        } else if there.conn.is_some() {
            there.pipe.push_back(packet);
        } else if let Some(forker) = &mut self.forker {
            let message = Message::parse(bytes, &MessageLimits::default()).expect("a stack has written it");
            for (to, by, bytes) in forker.handle(from, &message) {
                self.hand_on(to, Packet::new(bytes, by));
            }
        }
    }

    fn lose_bye(&mut self, of: usize) {
        self.party(of).byes += 1;
        self.lost |= self.party(of).byes > 1;
    }

    /// What the proxy sends goes over its last connection to a party, or over a new one.
    fn hand_on(&mut self, to: usize, packet: Packet) {
        let proxy = self.parties.len();
        let is_open = |line: &&mut Line| line.whole && line.is_between(to, proxy);
        if self.lines.iter_mut().rev().find(is_open).is_none() {
            let remote = SocketAddr::new(address(proxy).ip(), self.next_port());
            let conn = self.accepts(to, remote);
            let ends = [End::new(to, Some(conn)), End::new(proxy, None)];
            self.lines.push(Line { ends, whole: true });
        }
        if let Some(line) = self.lines.iter_mut().rev().find(is_open)
            && let Some((end, _)) = line.ends_at(to)
        {
            end.pipe.push_back(packet);
        }
    }

    fn next_port(&self) -> u16 {
        u16::try_from(40_000 + self.lines.len()).unwrap_or_default()
    }

    /// A party accepts a connection from there.
    fn accepts(&mut self, at: usize, remote: SocketAddr) -> ConnId {
        let party = self.party(at);
        let listener = party.listener.expect("it listens");
        party
            .stack
            .handle_accepted(party.now, listener, address(at), remote)
    }

    fn close(&mut self, at: usize, conn: ConnId) {
        let Some(line) = self.line(at, conn) else {
            return;
        };
        let whole = line.whole;
        let mut byes = Vec::new();
        if let Some((here, there)) = line.ends_at(at) {
            byes.extend(here.byes());
            there.bye |= !byes.is_empty();
            here.open = false;
            here.pipe.clear();
            if there.conn.is_none() {
                there.open = false;
            } else if whole && there.open {
                there.pipe.push_back(Packet::Closed(CloseReason::Closed));
            }
        }
        // Nobody takes what the proxy has to hand on over it.
        line.whole &= line.ends.iter().all(|end| end.open || end.conn.is_some());
        for of in byes {
            self.lose_bye(of);
        }
        self.forget_lines();
    }

    fn forget_lines(&mut self) {
        self.lines.retain(|line| line.ends.iter().any(|end| end.open));
    }

    fn connect(&mut self, at: usize, connect: Connect) {
        let host = connect.remote.ip().to_string();
        let other = node_at(&host).unwrap_or_else(|| panic!("nobody is at {}", connect.remote));
        let local = SocketAddr::new(address(at).ip(), self.next_port());
        let there = (other < self.parties.len()).then(|| self.accepts(other, local));
        let mut ends = [End::new(at, Some(connect.conn)), End::new(other, there)];
        ends.sort_by_key(|end| end.at);
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

    /// What is on its way and arrives next, wherever it may.
    pub(super) fn arrivals(&self) -> Vec<Move> {
        let mut moves = Vec::new();
        for (at, line) in self.lines.iter().enumerate() {
            for end in &line.ends {
                if end.open && end.reading && !end.pipe.is_empty() {
                    moves.push(Move::Arrive(at, end.at));
                }
            }
        }
        moves
    }

    /// All that can happen next, but what is bounded.
    pub(super) fn moves(&self, scripts: &[&[Command]]) -> Vec<Move> {
        let mut moves = self.arrivals();
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

    /// A party gives a command; `false` when it may not.
    pub(super) fn command(&mut self, at: usize, command: Command) -> bool {
        let target = self.target(at);
        let given = self.party(at).command(command, &target).is_ok();
        if given {
            self.carry_out_all();
        }
        given
    }

    /// Makes a move; `false` when it cannot be made.
    pub(super) fn make(&mut self, scripts: &[&[Command]], what: Move) -> bool {
        match what {
            Move::Command(at, index) => {
                let command = scripts.get(at).and_then(|script| script.get(index));
                if !command.is_some_and(|command| self.command(at, *command)) {
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
                for line in &mut self.lines {
                    if let Some((here, there)) = line.ends_at(at) {
                        here.late |= there.pipe.iter().any(Packet::is_bye);
                        self.lost |= here.open && here.bye;
                    }
                }
                self.fired += 1;
                self.carry_out_all();
            }
            Move::Reset(line) => {
                let Some(line) = self.lines.get_mut(line).filter(|line| line.whole) else {
                    return false;
                };
                let byes: Vec<usize> = line.ends.iter().flat_map(End::byes).collect();
                self.lost |= line.reset();
                self.resets += 1;
                for of in byes {
                    self.lose_bye(of);
                }
            }
        }
        true
    }

    fn arrive(&mut self, line: usize, at: usize) -> bool {
        let line = self.lines.get_mut(line);
        let Some((end, _)) = line.and_then(|line| line.ends_at(at)) else {
            return false;
        };
        let (Some(conn), Some(packet)) = (end.conn, end.pipe.pop_front()) else {
            return false;
        };
        if matches!(packet, Packet::Closed(_)) {
            end.open = false;
        }
        let party = self.party(at);
        match packet {
            Packet::Bytes(bytes, by, words) => {
                // A response to its INVITE begins with its code.
                if words.starts_with(|c: char| c.is_ascii_digit()) && !party.heard.contains(&by) {
                    party.heard.push(by);
                }
                party.stack.handle_bytes(party.now, conn, &bytes);
            }
            Packet::Closed(reason) => {
                party.stack.handle_closed(party.now, conn, reason);
                self.forget_lines();
            }
        }
        self.carry_out_all();
        true
    }

    /// Lets everything arrive and every timer fire, in the order of time, until nothing is left to happen for long.
    fn come_to_rest(&mut self) {
        let now = self.parties.iter().map(|party| party.now).max();
        let end = now.unwrap_or_default() + LONG;
        for _ in 0..100_000 {
            if let Some(what) = self.arrivals().first() {
                assert!(self.make(&[], *what), "{what} can be made");
                continue;
            }
            let due = |party: &Party| party.stack.poll_timeout().map(|(at, _)| at);
            let next = self.parties.iter().enumerate();
            let next = next
                .filter_map(|(at, party)| due(party).map(|due| (due, at)))
                .min();
            match next.filter(|(due, _)| *due <= end) {
                Some((_, at)) => assert!(self.make(&[], Move::Fire(at)), "its timer fires"),
                None => return,
            }
        }
        panic!("it never comes to rest");
    }

    /// What must be true however things go on, if everybody is left alone from here: all that was begun completes, both
    /// ends agree on whether there is a session, of those who were called one has it at most, and nothing is held once
    /// all have ended.
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
            sessions: self.agree(),
        };
        let watched = self
            .parties
            .iter()
            .any(|party| party.stack.census().subscriptions == 1);
        let subscribed = self
            .parties
            .iter()
            .any(|party| party.subscribed == SubscriptionState::Subscribed);
        assert!(!subscribed || watched, "subscribed, and nobody knows");
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

    /// How many have a session: nobody, or two, each with the other.
    fn agree(&mut self) -> usize {
        let connected = |party: &&Party| party.state == SessionState::Connected;
        let all: Vec<usize> = self
            .parties
            .iter()
            .filter(connected)
            .map(|party| party.at)
            .collect();
        let states: Vec<_> = self.parties.iter().map(|party| party.state).collect();
        let with: Vec<Option<usize>> = all.iter().map(|at| self.party(*at).peer()).collect();
        let agreed = match (&all[..], &with[..]) {
            ([], []) => true,
            ([one, other], [with_one, with_other]) => *with_one == Some(*other) && *with_other == Some(*one),
            _ => false,
        };
        assert!(
            agreed || self.lost,
            "{all:?} have a session, with {with:?}: {states:?}"
        );
        all.len()
    }

    /// A name for all systems that go on alike: the stacks in canonical form, what is on its way without its names, and
    /// what is left of the scripts and of the bounds.
    pub(super) fn print(&self) -> u128 {
        let prints: Vec<_> = self
            .parties
            .iter()
            .map(|party| party.stack.fingerprint())
            .collect();
        let mut hasher = SipHasher13::new();
        for (party, print) in self.parties.iter().zip(&prints) {
            print.hash(&mut hasher);
            (party.next, party.state, party.pending.len(), party.byes).hash(&mut hasher);
            (party.call.is_some(), party.referral.is_some()).hash(&mut hasher);
            (party.subscribed, party.watcher.is_some()).hash(&mut hasher);
            // Which fork is which.
            if self.forker.is_some() {
                party.heard.hash(&mut hasher);
            }
        }
        self.forker.as_ref().map(Forker::print).hash(&mut hasher);
        for line in &self.lines {
            line.whole.hash(&mut hasher);
            for end in &line.ends {
                (end.at, end.open, end.reading, end.bye, end.late).hash(&mut hasher);
                end.pipe.len().hash(&mut hasher);
                for packet in &end.pipe {
                    match packet {
                        Packet::Bytes(_, by, words) => (by, words).hash(&mut hasher),
                        Packet::Closed(reason) => reason.hash(&mut hasher),
                    }
                }
            }
        }
        (self.fired, self.resets, self.lost).hash(&mut hasher);
        hasher.finish128().as_u128()
    }

    /// What would arrive.
    fn packet(&self, line: usize, at: usize) -> Option<&Packet> {
        let mut ends = self.lines.get(line)?.ends.iter();
        ends.find(|end| end.at == at)?.pipe.front()
    }

    /// What would arrive, as short as can be.
    pub(super) fn first_word(&self, what: Move) -> String {
        let Move::Arrive(line, at) = what else {
            return String::new();
        };
        let words = self.packet(line, at).map(Packet::words);
        let first = words.as_deref().and_then(|words| words.split(' ').next());
        first.unwrap_or_default().to_owned()
    }

    /// What a move would do, in words.
    pub(super) fn words(&self, scripts: &[&[Command]], what: Move) -> String {
        match what {
            Move::Command(at, index) => {
                let command = scripts.get(at).and_then(|script| script.get(index));
                let command = command.map_or_else(String::new, |command| format!("{command:?}"));
                format!("party {at} gives {command}")
            }
            Move::Arrive(line, at) => {
                let packet = self.packet(line, at).map(Packet::words).unwrap_or_default();
                format!("party {at} gets {packet} on connection {line}")
            }
            Move::Fire(at) => {
                let due = self.parties.get(at).and_then(|party| party.stack.poll_timeout());
                format!("party {at} has a timer fire: {due:?}")
            }
            Move::Reset(line) => format!("connection {line} is reset"),
        }
    }
}

/// How many have a session in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    pub(super) sessions: usize,
}

fn summary(bytes: &Bytes) -> String {
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
