//! Two stacks in memory: what one wants to send the other gets at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use sansip::wire::{Method, StatusCode};
use sansip::{
    Action, ConnId, Content, EndpointId, Established, Event, ListenerId, PeerToPeerConfig, SendOptions,
    SessionId, Stack, Time, UnixTime,
};

use crate::measure::Case;

/// Longer than any transaction of RFC 3261 stays after its end (64 * T1 = 32 s).
const REST: Duration = Duration::from_secs(40);

const OFFER: &str =
    "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

/// Two hosts with a peer-to-peer endpoint each, the first of which calls the second.
#[derive(Debug)]
pub struct Pair {
    now: Time,
    stacks: [Stack; 2],
    endpoints: [EndpointId; 2],
    listeners: [Option<ListenerId>; 2],
    /// Which connection of the other side each connection is.
    ends: BTreeMap<(usize, ConnId), ConnId>,
    /// The sessions that the second one has accepted and not seen ended.
    accepted: usize,
    buffer: Vec<u8>,
    completed: usize,
}

impl Pair {
    /// Two hosts that listen, and have said nothing yet.
    ///
    /// # Panics
    /// The stack refuses what stands here.
    pub fn new() -> Self {
        let now = Time::from_secs(1);
        let stack = |seed| {
            Stack::new(
                sansip::Config::default(),
                [seed; 32],
                now,
                UnixTime(1_700_000_000),
            )
        };
        let mut stacks = [stack(1), stack(2)];
        let endpoints = ["sip:alice@one.invalid", "sip:bob@two.invalid"];
        let mut at = 0;
        let endpoints = endpoints.map(|uri| {
            let stack = stacks.get_mut(at).expect("two stacks");
            at += 1;
            let manager = stack.server_tcp_manager();
            let listening = stack
                .manager(now, manager)
                .and_then(|mut manager| manager.listen(address(at - 1)));
            listening.expect("listening");
            stack
                .add_peer_to_peer_endpoint(now, PeerToPeerConfig::new(uri))
                .expect("an endpoint")
        });
        let mut pair = Self {
            now,
            stacks,
            endpoints,
            listeners: [None; 2],
            ends: BTreeMap::new(),
            accepted: 0,
            buffer: Vec::new(),
            completed: 0,
        };
        pair.settle();
        pair
    }

    fn stack(&mut self, side: usize) -> &mut Stack {
        self.stacks.get_mut(side).expect("two stacks")
    }

    /// Carries out all that both want.
    pub fn settle(&mut self) {
        loop {
            let mut quiet = true;
            for side in [0, 1] {
                while let Some(action) = self.stack(side).poll_action() {
                    quiet = false;
                    self.carry_out(side, action);
                }
            }
            if quiet {
                return;
            }
        }
    }

    fn carry_out(&mut self, side: usize, action: Action) {
        let (now, other) = (self.now, 1 - side);
        match action {
            Action::Listen {
                listener, address, ..
            } => {
                *self.listeners.get_mut(side).expect("two sides") = Some(listener);
                self.stack(side).handle_listening(now, listener, Ok(address));
            }
            Action::Connect(connect) => {
                let listener = self.listeners.get(other).copied().flatten().expect("it listens");
                let local = SocketAddr::new(address(side).ip(), 40_000);
                let there = self
                    .stack(other)
                    .handle_accepted(now, listener, connect.remote, local);
                self.ends.insert((side, connect.conn), there);
                self.ends.insert((other, there), connect.conn);
                let established = Established {
                    local,
                    remote: connect.remote,
                    peer: None,
                };
                self.stack(side).handle_connected(now, connect.conn, established);
            }
            Action::Transmit(conn) => {
                let mut buffer = std::mem::take(&mut self.buffer);
                buffer.clear();
                for slice in self.stack(side).transmit(conn) {
                    buffer.extend_from_slice(slice);
                }
                self.stack(side).handle_transmitted(now, conn, buffer.len());
                if let Some(there) = self.ends.get(&(side, conn)).copied() {
                    self.stack(other).handle_bytes(now, there, &buffer);
                }
                self.buffer = buffer;
            }
            Action::Close(conn) => {
                if let Some(there) = self.ends.remove(&(side, conn)) {
                    self.ends.remove(&(other, there));
                    self.stack(other)
                        .handle_closed(now, there, sansip::CloseReason::Closed);
                }
            }
            Action::Event(event) => self.on_event(side, &event),
            Action::Reading(..) | Action::StopListening(_) => {}
            Action::Resolve { .. } | Action::Authenticate(_) => panic!("every target is an address"),
        }
    }

    /// The applications: a message is answered, a call accepted.
    fn on_event(&mut self, side: usize, event: &Event) {
        let now = self.now;
        match event {
            Event::MessageReceived { incoming, .. } => {
                let answered = self
                    .stack(side)
                    .incoming(now, *incoming)
                    .and_then(|mut incoming| incoming.answer(StatusCode::OK, None, None, &[]));
                answered.expect("answered");
            }
            Event::SessionReceived { session, .. } => {
                let answer = Content::new("application/sdp", OFFER.as_bytes());
                let accepted = self
                    .stack(side)
                    .session(now, *session)
                    .and_then(|mut session| session.accept(Some(answer)));
                accepted.expect("accepted");
                self.accepted += 1;
            }
            Event::Completed { result, .. } => {
                assert!(result.is_ok(), "{result:?}");
                self.completed += 1;
            }
            _ => {}
        }
    }

    /// The first one sends a MESSAGE and gets its 200.
    ///
    /// # Panics
    /// It does not.
    pub fn message(&mut self) {
        let (now, completed) = (self.now, self.completed);
        let alice = self.endpoints[0];
        let content = Some(Content::new("text/plain", &b"Are you there?"[..]));
        let sent = self.stack(0).endpoint(now, alice).and_then(|mut alice| {
            alice.send_message(&target(), Method::Message, content, SendOptions::default())
        });
        sent.expect("sent");
        self.settle();
        assert_eq!(self.completed, completed + 1, "answered");
    }

    /// The first one calls the second, which accepts.
    ///
    /// # Panics
    /// The call does not come about.
    pub fn call(&mut self) -> SessionId {
        let (now, accepted) = (self.now, self.accepted);
        let alice = self.endpoints[0];
        let offer = Some(Content::new("application/sdp", OFFER.as_bytes()));
        let made = self
            .stack(0)
            .endpoint(now, alice)
            .and_then(|mut alice| alice.invite(&target(), offer, SendOptions::default()));
        let (session, _) = made.expect("called");
        self.settle();
        assert_eq!(self.accepted, accepted + 1, "accepted");
        session
    }

    /// The first one ends a call.
    ///
    /// # Panics
    /// There is no such call.
    pub fn hang_up(&mut self, session: SessionId) {
        let now = self.now;
        self.stack(0).session(now, session).expect("a call").terminate();
        self.settle();
    }

    /// Time passes until every transaction that is over is forgotten.
    pub fn rest(&mut self) {
        let end = self.now + REST;
        loop {
            let due = |stack: &Stack| stack.poll_timeout().map(|(at, _)| at);
            let Some(next) = self.stacks.iter().filter_map(due).min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(next);
            let now = self.now;
            for stack in &mut self.stacks {
                stack.handle_timeout(now);
            }
            self.settle();
        }
        self.now = end;
    }

    /// How many transactions both hold.
    pub fn transactions(&self) -> usize {
        self.stacks.iter().map(|stack| stack.census().transactions).sum()
    }

    /// How many sessions both hold.
    pub fn sessions(&self) -> usize {
        self.stacks.iter().map(|stack| stack.census().sessions).sum()
    }
}

impl Default for Pair {
    fn default() -> Self {
        Self::new()
    }
}

fn address(side: usize) -> SocketAddr {
    let host = u8::try_from(side + 1).unwrap_or_default();
    SocketAddr::from(([10, 0, 0, host], 5060))
}

fn target() -> String {
    format!("sip:bob@{}", address(1))
}

/// A MESSAGE and a call, each with both sides of it.
pub fn cases() -> Vec<Case> {
    vec![
        Case::new("MESSAGE and its 200, both sides", "sansip", 1, || {
            let mut pair = Pair::new();
            move || pair.message()
        }),
        Case::new(
            "call with INVITE, ACK, BYE and their timers, both sides",
            "sansip",
            1,
            || {
                let mut pair = Pair::new();
                move || {
                    let session = pair.call();
                    pair.hang_up(session);
                    pair.rest();
                }
            },
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_of_a_call() {
        let mut pair = Pair::new();
        pair.message();
        assert_eq!(pair.transactions(), 0, "TCP needs no Timer K and J");
        let session = pair.call();
        assert_eq!(pair.sessions(), 2);
        pair.hang_up(session);
        pair.rest();
        assert_eq!((pair.sessions(), pair.transactions()), (0, 0));
    }
}
