//! Stacks and what is on its way between them: small enough to be copied at every step of a search.

use std::fmt;
use std::hash::Hash;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use sansip::wire::{Message, MessageLimits};
use sansip::{Action, CloseReason, ConnId, Connect, Established, SessionState, SubscriptionState};
use siphasher::sip128::{Hasher128, SipHasher13};

use super::forker::Forker;
use super::line::{End, Line, Packet};
use super::party::{Command, Party, address, node_at};

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
