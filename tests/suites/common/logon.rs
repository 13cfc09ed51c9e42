//! Endpoints that log on at a front end with a security association, and what both sides have counted of it.

use sansip::{Completion, Event, OperationError, RegistrationState, SipEndpointConfig};
use sansip_testkit::frontend::{AssociationCounts, FrontEndConfig, Protocol};
use sansip_testkit::world::{Endpoint, FrontEndId, World};

use super::{accept_calls, sdp, secs};

/// A server that asks for these proofs.
pub(crate) fn served(
    world: &mut World,
    protocols: &[Protocol],
    change: impl FnOnce(&mut FrontEndConfig),
) -> FrontEndId {
    let mut config = FrontEndConfig::new("example.com")
        .with_user("alice", "Pa55word")
        .with_user("bob", "Geheim")
        .with_protocols(protocols);
    change(&mut config);
    world.front_end(config)
}

/// The settings of a user whose account is in the domain of the server.
pub(crate) fn account(world: &World, server: FrontEndId, user: &str) -> SipEndpointConfig {
    let mut config = world.account(server, user);
    for credentials in &mut config.credentials {
        credentials.domain = Some("EXAMPLE".into());
        credentials.realm = None;
    }
    // The lines of this world are not wiretapped.
    config.association.without_tls = true;
    config
}

pub(crate) fn endpoint(world: &mut World, server: FrontEndId, user: &str) -> Endpoint {
    let config = account(world, server, user);
    let host = world.stack();
    world.sip_endpoint(host, config)
}

pub(crate) fn registered(world: &mut World, server: FrontEndId, user: &str) -> Endpoint {
    let endpoint = endpoint(world, server, user);
    let operation = world.register(endpoint);
    world.result(endpoint.host, operation).unwrap();
    endpoint
}

pub(crate) fn associations(world: &World, of: Endpoint) -> usize {
    let associated =
        |(_, event): &&(_, Event)| matches!(event, Event::Associated { endpoint, .. } if *endpoint == of.id);
    world.events(of.host).iter().filter(associated).count()
}

pub(crate) fn counts(world: &World, server: FrontEndId) -> AssociationCounts {
    world.server(server).association_counts()
}

pub(crate) fn state(world: &mut World, of: Endpoint) -> Option<RegistrationState> {
    world.with(of.host, |stack, now| {
        stack.endpoint(now, of.id).unwrap().registration_state()
    })
}

pub(crate) fn says(world: &mut World, from: Endpoint, to: &str) -> Result<Completion, OperationError> {
    let operation = world.message(from, to, "hello");
    world.result(from.host, operation)
}

/// How many MESSAGEs its application has had.
pub(crate) fn heard(world: &World, of: Endpoint) -> usize {
    let message = |(_, event): &&(_, Event)| matches!(event, Event::MessageReceived { endpoint, .. } if *endpoint == of.id);
    world.events(of.host).iter().filter(message).count()
}

pub(crate) fn dropped(world: &mut World, of: Endpoint) -> [u64; 3] {
    let dropped = world.with(of.host, |stack, _| stack.counters().dropped);
    [dropped.unsigned, dropped.forged, dropped.replayed]
}

/// Nothing that either side has sent was dropped by the other.
pub(crate) fn all_is_well(world: &mut World, server: FrontEndId, endpoints: &[Endpoint]) {
    for endpoint in endpoints {
        assert_eq!(dropped(world, *endpoint), [0; 3]);
    }
    let counts = counts(world, server);
    let dropped = [counts.unsigned, counts.forged, counts.replayed, counts.foreign];
    assert_eq!((dropped, counts.unknown), ([0; 4], 0));
}

/// The first says something to the second and calls them, time passes, and both leave: with one association each, and every
/// message signed and verified.
pub(crate) fn live_and_leave(world: &mut World, server: FrontEndId, both: [Endpoint; 2]) {
    let [alice, bob] = both;
    let uri = "sip:bob@example.com";
    says(world, alice, uri).unwrap();
    assert_eq!(heard(world, bob), 1);
    accept_calls(world, bob.host);
    let (session, made) = world.invite(alice, uri, Some(sdp()));
    world.result(alice.host, made).unwrap();
    world.run_for(secs(1));
    let ended = world.with(alice.host, |stack, now| {
        stack.session(now, session).unwrap().terminate()
    });
    world.result(alice.host, ended).unwrap();
    // Refreshes go on under the same association.
    world.run_for(secs(7200));
    assert_eq!((associations(world, alice), associations(world, bob)), (1, 1));
    for endpoint in both {
        assert_eq!(state(world, endpoint), Some(RegistrationState::Registered));
        let operation = world.unregister(endpoint);
        world.result(endpoint.host, operation).unwrap();
    }
    all_is_well(world, server, &both);
    // Each of these at least: REGISTER, MESSAGE and its 200, INVITE, 200, ACK, BYE, 200, two REGISTERs to leave.
    assert!(
        counts(world, server).verified >= 10,
        "{:?}",
        counts(world, server)
    );
}
