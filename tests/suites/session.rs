//! Signaling sessions, as their applications and their peers see them (group S of the rules, with C9, C13, X2, X3, X6).

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "in a suite, a panic is a failed test"
)]

mod common;

use sansip::{SessionState, Stack};
use sansip_testkit::world;

use common::{accept_calls, registered, sdp, secs, served, session_states};

// rules: S1, S10, X6
#[test]
fn a_call_through_the_front_end_is_connected_and_ended() {
    world::run(1, |world| {
        let server = served(world);
        let (alice, bob) = (registered(world, server, "alice"), registered(world, server, "bob"));
        accept_calls(world, bob.host);
        let (call, made) = world.invite(alice, "sip:bob@example.com", Some(sdp()));
        world.result(alice.host, made).unwrap();
        world.run_for(secs(1));
        assert_eq!(session_states(world, bob.host), [SessionState::Connecting, SessionState::Connected]);
        let ended = world.with(alice.host, |stack: &mut Stack, now| stack.session(now, call).unwrap().terminate());
        world.result(alice.host, ended).unwrap();
        assert_eq!(session_states(world, alice.host).last(), Some(&SessionState::Disconnected));
        assert_eq!(session_states(world, bob.host).last(), Some(&SessionState::Disconnected));
    });
}
