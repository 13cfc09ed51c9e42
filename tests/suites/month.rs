//! A session that is held for a month and refreshes itself. Alone in its binary: nothing else may allocate meanwhile.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "in a suite, a panic is a failed test"
)]

mod common;

use std::alloc::System;
use std::time::Duration;

use sansip::wire::Method;
use sansip::{
    Action, Config, ConnId, EndpointId, Established, Event, ListenerId, PeerToPeerConfig, SendOptions,
    SessionId, Stack, Time, UnixTime,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use common::host::address;
use common::sdp;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// So many refreshes are nearly a day.
const A_DAY: u32 = 333;

/// Refreshed at half of it: a little more than 10,000 times in 30 days.
const INTERVAL: Duration = Duration::from_secs(518);

/// Two stacks and the one connection between them, on which nothing takes time.
struct Pair {
    now: Time,
    stacks: [Stack; 2],
    /// What each calls the connection.
    conns: [Option<ConnId>; 2],
    endpoints: [EndpointId; 2],
    listener: ListenerId,
    /// How many UPDATEs the caller has sent.
    updates: u64,
    sessions: [Vec<SessionId>; 2],
    ended: usize,
}

impl Pair {
    fn new() -> Self {
        let now = Time::from_secs(1);
        let mut stacks =
            [1, 2].map(|seed| Stack::new(Config::default(), [seed; 32], now, UnixTime(1_700_000_000)));
        let uris = ["sip:alice@one.invalid", "sip:bob@two.invalid"];
        let mut endpoints = Vec::new();
        for (stack, uri) in stacks.iter_mut().zip(uris) {
            let mut config = PeerToPeerConfig::new(uri);
            config.profile.session_timer = Some(INTERVAL);
            endpoints.push(stack.add_peer_to_peer_endpoint(now, config).unwrap());
        }
        let manager = stacks[1].server_tcp_manager();
        let at = address("10.0.0.2:5060");
        let listener = stacks[1].manager(now, manager).unwrap().listen(at).unwrap();
        stacks[1].handle_listening(now, listener, Ok(at));
        Self {
            now,
            stacks,
            conns: [None; 2],
            endpoints: endpoints.try_into().unwrap(),
            listener,
            updates: 0,
            sessions: [Vec::new(), Vec::new()],
            ended: 0,
        }
    }

    /// Carries out what either wants until neither wants anything.
    fn settle(&mut self) {
        while let Some((at, action)) =
            (0..2).find_map(|at| self.stacks[at].poll_action().map(|action| (at, action)))
        {
            self.carry_out(at, action);
        }
    }

    fn carry_out(&mut self, at: usize, action: Action) {
        let now = self.now;
        match action {
            Action::Connect(to) => {
                let (local, remote) = (address("10.0.0.1:4000"), to.remote);
                let other = self.stacks[1].handle_accepted(now, self.listener, remote, local);
                self.conns = [Some(to.conn), Some(other)];
                let ends = Established {
                    local,
                    remote,
                    peer: None,
                };
                self.stacks[0].handle_connected(now, to.conn, ends);
            }
            Action::Transmit(conn) => {
                let bytes: Vec<u8> = self.stacks[at].transmit(conn).flatten().copied().collect();
                self.stacks[at].handle_transmitted(now, conn, bytes.len());
                self.updates += u64::from(at == 0 && bytes.starts_with(b"UPDATE "));
                let other = self.conns[1 - at].unwrap();
                self.stacks[1 - at].handle_bytes(now, other, &bytes);
            }
            Action::Event(Event::SessionReceived { session, .. }) => {
                self.sessions[at].push(session);
                let mut view = self.stacks[at].session(now, session).unwrap();
                view.accept(Some(sdp())).unwrap();
            }
            Action::Event(Event::Session {
                new: sansip::SessionState::Disconnected,
                ..
            }) => self.ended += 1,
            Action::Event(_) | Action::Listen { .. } | Action::Reading(..) => {}
            other => panic!("{other:?}"),
        }
    }

    fn run_until(&mut self, end: Time) {
        loop {
            self.settle();
            let next = (0..2)
                .filter_map(|at| self.stacks[at].poll_timeout().map(|(at, _)| at))
                .min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = next;
            for stack in &mut self.stacks {
                stack.handle_timeout(next);
            }
        }
    }
}

/// The bytes that are allocated now.
fn held() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

// rules: S11, S18, X6
#[test]
fn a_session_refreshes_itself_for_a_month_and_holds_the_same_memory() {
    let mut pair = Pair::new();
    let alice = pair.endpoints[0];
    let (session, _) = pair.stacks[0]
        .endpoint(pair.now, alice)
        .unwrap()
        .invite(
            "sip:bob@10.0.0.2:5060;transport=tcp",
            Some(sdp()),
            SendOptions::default(),
        )
        .unwrap();
    pair.sessions[0].push(session);
    let begun = pair.now;
    // Nearly a day each, to where no transaction is left of the last refresh. Tables have grown to their sizes after a while.
    let after = |days: u32| begun + INTERVAL / 2 * A_DAY * days + Duration::from_secs(200);
    pair.run_until(after(1));
    let (census, before) = (pair.stacks.each_ref().map(Stack::census), held());
    for day in 2..=31 {
        pair.run_until(after(day));
        assert_eq!(pair.stacks.each_ref().map(Stack::census), census, "day {day}");
        assert_eq!(held(), before, "bytes held on day {day}");
    }
    assert!(pair.now.since(begun) > Duration::from_secs(30 * 24 * 3600));
    assert!(pair.updates >= 10_000, "{} refreshes", pair.updates);
    assert_eq!(pair.updates, 31 * u64::from(A_DAY));
    assert_eq!(pair.ended, 0);
    for at in 0..2 {
        let now = pair.now;
        let agreed = pair.stacks[at]
            .session(now, pair.sessions[at][0])
            .unwrap()
            .session_timer();
        assert_eq!(agreed, Some((INTERVAL, at == 0)));
    }
    // Then the one who refreshes is gone without a word.
    pair.stacks[0] = Stack::new(Config::default(), [3; 32], pair.now, UnixTime(1_700_000_000));
    let method = Method::Bye;
    let end = pair.now + INTERVAL;
    while let Some((next, _)) = pair.stacks[1].poll_timeout().filter(|(next, _)| *next <= end) {
        pair.now = next;
        pair.stacks[1].handle_timeout(next);
        while let Some(action) = pair.stacks[1].poll_action() {
            if let Action::Transmit(conn) = action {
                let bytes: Vec<u8> = pair.stacks[1].transmit(conn).flatten().copied().collect();
                assert!(bytes.starts_with(method.as_str().as_bytes()));
                return;
            }
        }
    }
    panic!("the session was not ended");
}
