//! What several suites say and look for.

#![allow(dead_code, reason = "no suite needs all of it")]
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "in a suite, a panic is a failed test"
)]

pub(crate) mod host;
pub(crate) mod logon;
pub(crate) mod stage;

use std::net::SocketAddr;
use std::time::Duration;

use sansip::wire::{HeaderName, Message, Method, StatusCode};
use sansip::{
    Action, Config, Content, Event, OperationError, PeerToPeerConfig, SessionState, Stack, Time, Transport,
};
use sansip_testkit::frontend::FrontEndConfig;
use sansip_testkit::world::{Endpoint, FrontEndId, LineId, PeerId, StackId, World};

/// One microsecond, the resolution of the virtual clock.
pub(crate) const TICK: Duration = Duration::from_micros(1);

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A front end of example.com where alice and bob have passwords.
pub(crate) fn served(world: &mut World) -> FrontEndId {
    world.front_end(
        FrontEndConfig::new("example.com")
            .with_user("alice", "secret")
            .with_user("bob", "hidden"),
    )
}

/// An endpoint of this user, on a stack of its own.
pub(crate) fn at(world: &mut World, server: FrontEndId, user: &str) -> Endpoint {
    let host = world.stack();
    let config = world.account(server, user);
    world.sip_endpoint(host, config)
}

/// The same, registered.
#[track_caller]
pub(crate) fn registered(world: &mut World, server: FrontEndId, user: &str) -> Endpoint {
    let endpoint = at(world, server, user);
    let operation = world.register(endpoint);
    world.result(endpoint.host, operation).expect("registers");
    endpoint
}

/// A stack with one peer-to-peer endpoint, bob@two.invalid, that listens on 5060, and a scripted peer on a line to it.
pub(crate) struct Callee {
    pub(crate) bob: Endpoint,
    pub(crate) host: StackId,
    pub(crate) address: SocketAddr,
    pub(crate) peer: PeerId,
    pub(crate) line: LineId,
}

pub(crate) fn callee(world: &mut World) -> Callee {
    callee_with(world, PeerToPeerConfig::new("sip:bob@two.invalid"))
}

pub(crate) fn callee_with(world: &mut World, config: PeerToPeerConfig) -> Callee {
    let host = world.stack();
    callee_on(world, host, config)
}

/// The same on a stack that is there.
pub(crate) fn callee_on(world: &mut World, host: StackId, config: PeerToPeerConfig) -> Callee {
    let bob = world.peer_to_peer_endpoint(host, config);
    let address = world.listen(host, 5060);
    let peer = world.peer();
    let line = world.dial(peer, address, None);
    Callee {
        bob,
        host,
        address,
        peer,
        line,
    }
}

/// A peer-to-peer endpoint, alice@one.invalid, that does not listen, and a scripted peer that listens at peer.invalid.
pub(crate) struct Caller {
    pub(crate) alice: Endpoint,
    pub(crate) host: StackId,
    pub(crate) peer: PeerId,
}

pub(crate) fn caller(world: &mut World) -> Caller {
    caller_with(world, Config::default())
}

pub(crate) fn caller_with(world: &mut World, config: Config) -> Caller {
    let host = world.stack_with(config);
    let alice = world.peer_to_peer_endpoint(host, PeerToPeerConfig::new("sip:alice@one.invalid"));
    let peer = world.peer();
    let address = world.peer_listens(peer, 5060, Transport::Tcp);
    world.names.set_addresses("peer.invalid", &[address.ip()]);
    Caller { alice, host, peer }
}

/// A request of a scripted peer, with whatever lines a test wants besides. `number` makes it another transaction and
/// another call.
pub(crate) fn request(method: &str, uri: &str, to: &str, number: u32, more: &str) -> String {
    let more: String = more.lines().map(|line| format!("{}\n", line.trim())).collect();
    format!(
        "{method} {uri} SIP/2.0
         Via: SIP/2.0/TCP peer.invalid;branch=z9hG4bK{number}
         Max-Forwards: 70
         From: <sip:p@peer.invalid>;tag=p{number}
         To: {to}
         Call-ID: call-{number}
         CSeq: 1 {method}
         {more}"
    )
}

/// The answer of a scripted peer: the fields that a response repeats, and whatever else a test wants.
pub(crate) fn answer(request: &Message, status: &str, to_tag: &str, more: &str) -> String {
    let mut text = format!("SIP/2.0 {status}\n");
    for name in [
        HeaderName::Via,
        HeaderName::From,
        HeaderName::To,
        HeaderName::CallId,
        HeaderName::CSeq,
    ] {
        for value in request.raw_all(name) {
            let value = std::str::from_utf8(value).unwrap();
            let tagged = name == HeaderName::To && !value.contains(";tag=") && !to_tag.is_empty();
            let tag = if tagged {
                format!(";tag={to_tag}")
            } else {
                String::new()
            };
            text.push_str(&format!("{}: {value}{tag}\n", name.as_str()));
        }
    }
    for line in more.lines().filter(|line| !line.trim().is_empty()) {
        text.push_str(line.trim());
        text.push('\n');
    }
    text
}

/// The value of a header field as text; empty where it is absent.
pub(crate) fn field(message: &Message, name: HeaderName) -> String {
    message
        .raw(name)
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .unwrap_or_default()
}

/// The status codes of the responses that a line has brought.
pub(crate) fn codes(world: &mut World, line: LineId) -> Vec<u16> {
    world
        .heard(line)
        .iter()
        .filter_map(Message::status)
        .map(StatusCode::code)
        .collect()
}

/// Lets the world run until a line has brought a request of this method, and gives it.
#[track_caller]
pub(crate) fn next_request(world: &mut World, line: LineId, method: &Method) -> Message {
    for _ in 0..400_000 {
        if let Some(found) = world
            .heard(line)
            .into_iter()
            .find(|message| message.method() == Some(method))
        {
            return found;
        }
        world.run_for(Duration::from_millis(10));
    }
    panic!("no {method:?} has come");
}

/// The requests outside sessions that the application of a stack has seen.
pub(crate) fn messages(world: &World, host: StackId) -> Vec<Message> {
    world
        .events(host)
        .iter()
        .filter_map(|(_, event)| match event {
            Event::MessageReceived { message, .. } => Some((**message).clone()),
            _ => None,
        })
        .collect()
}

/// Which endpoints have got requests outside sessions, in order.
pub(crate) fn receivers(world: &World, host: StackId) -> Vec<sansip::EndpointId> {
    world
        .events(host)
        .iter()
        .filter_map(|(_, event)| match event {
            Event::MessageReceived { endpoint, .. }
            | Event::SessionReceived { endpoint, .. }
            | Event::WatcherReceived { endpoint, .. } => Some(*endpoint),
            _ => None,
        })
        .collect()
}

/// The states of all sessions of a stack, in order.
pub(crate) fn session_states(world: &World, host: StackId) -> Vec<SessionState> {
    world
        .events(host)
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Session { new, .. } => Some(*new),
            _ => None,
        })
        .collect()
}

/// Some session description; the stack does not look inside.
pub(crate) fn sdp() -> Content {
    Content::new("application/sdp", "v=0\r\n")
}

/// The application accepts every session at once.
pub(crate) fn accept_calls(world: &mut World, host: StackId) {
    world.on_event(host, |stack, now, event| {
        if let Event::SessionReceived { session, .. } = event {
            stack.session(now, *session).unwrap().accept(Some(sdp())).unwrap();
        }
    });
}

/// The application keeps every request for later.
pub(crate) fn hold_requests(world: &mut World, host: StackId) {
    world.on_event(host, |stack, now, event| {
        if let Event::MessageReceived { incoming, .. } | Event::SessionMessage { incoming, .. } = event {
            stack.incoming(now, *incoming).unwrap().hold().unwrap();
        }
    });
}

/// The status of the response that an operation failed with; 0 where none did.
pub(crate) fn failure_code<T: std::fmt::Debug>(result: &Result<T, OperationError>) -> u16 {
    let error = result.as_ref().expect_err("it failed");
    error
        .response()
        .and_then(Message::status)
        .map_or(0, StatusCode::code)
}

/// Takes all actions of a stack that is driven without a world.
pub(crate) fn actions(stack: &mut Stack) -> Vec<Action> {
    std::iter::from_fn(|| stack.poll_action()).collect()
}

/// All bytes that wait on the connections named in `Transmit` actions, taken at once, as text.
pub(crate) fn take_bytes(stack: &mut Stack, now: Time, conn: sansip::ConnId) -> Vec<u8> {
    let bytes: Vec<u8> = stack
        .transmit(conn)
        .flat_map(|slice| slice.iter().copied())
        .collect();
    stack.handle_transmitted(now, conn, bytes.len());
    bytes
}

/// A scripted server at `server.invalid`, port 5060 over TCP, and a SipEndpoint, alice@example.com, that lives there.
pub(crate) fn scripted_server(world: &mut World) -> (PeerId, Endpoint) {
    scripted_server_with(world, |_| {})
}

/// The same with other settings.
pub(crate) fn scripted_server_with(
    world: &mut World,
    change: impl FnOnce(&mut sansip::SipEndpointConfig),
) -> (PeerId, Endpoint) {
    let peer = world.peer();
    let address = world.peer_listens(peer, 5060, Transport::Tcp);
    world.names.set_addresses("server.invalid", &[address.ip()]);
    let host = world.stack();
    let mut config = sansip::SipEndpointConfig::new("sip:alice@example.com");
    config.server = Some(sansip::Server {
        host: "server.invalid".to_owned(),
        port: Some(5060),
    });
    config.transport = Transport::Tcp;
    change(&mut config);
    let alice = world.sip_endpoint(host, config);
    (peer, alice)
}

/// Lets the world run until somebody has connected to a scripted peer, and gives the newest line.
#[track_caller]
pub(crate) fn next_line(world: &mut World, peer: PeerId, known: usize) -> LineId {
    for _ in 0..400_000 {
        if let Some(line) = world.lines(peer).get(known) {
            return *line;
        }
        world.run_for(Duration::from_millis(10));
    }
    panic!("nobody has connected");
}

/// The Contact of a REGISTER with an expiry of so many seconds, as a registrar repeats it.
pub(crate) fn bound(register: &Message, seconds: u32) -> String {
    format!(
        "Contact: {};expires={seconds}",
        field(register, HeaderName::Contact)
    )
}

/// A scripted server answers the next REGISTER with a binding of so many seconds.
#[track_caller]
pub(crate) fn grant(world: &mut World, line: LineId, seconds: u32, more: &str) -> Message {
    let register = next_request(world, line, &Method::Register);
    let text = answer(
        &register,
        "200 OK",
        "server",
        &format!("{}\n{more}", bound(&register, seconds)),
    );
    world.say(line, &text);
    register
}

/// A message written as lines, as it goes over the wire: line ends and Content-Length are added.
pub(crate) fn wire(text: &str) -> Vec<u8> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let lines: Vec<&str> = head
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    format!(
        "{}\r\nContent-Length: {}\r\n\r\n{body}",
        lines.join("\r\n"),
        body.len()
    )
    .into_bytes()
}
