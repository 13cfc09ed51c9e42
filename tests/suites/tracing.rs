//! Why an endpoint went down: through both adapters, on real sockets, one chain of events leads from the end of a
//! registration to its cause, each link by an id that it shares with the next. No event shows a secret.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]
#![allow(
    dead_code,
    reason = "the application of the adapters' suite can do more than register"
)]

#[path = "adapters/agent.rs"]
mod agent;
#[path = "adapters/certificates.rs"]
mod certificates;
#[path = "adapters/on_async_std.rs"]
mod on_async_std;
#[path = "adapters/on_mio.rs"]
mod on_mio;
#[path = "adapters/peers.rs"]
mod peers;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use sansip::security::{KerberosFailure, KerberosFailureKind, SecurityContext};
use sansip::{Authenticate, Transport};
use sansip_net::Kerberos;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use agent::{Agent, PATIENCE, Setup};
use certificates::Ca;
use on_async_std::AsyncStd;
use on_mio::Mio;
use peers::{Front, answer_to, read_request};

const PASSWORD: &str = "open-sesame-4711";
const PRINCIPAL: &str = "alice@EXAMPLE.COM";

// ---------------------------------------------------------------- the collector

/// One event: its target and name, and its fields as text.
#[derive(Clone, Debug)]
struct Seen {
    target: String,
    fields: BTreeMap<String, String>,
}

impl Seen {
    fn get(&self, field: &str) -> &str {
        self.fields.get(field).map_or("", String::as_str)
    }

    fn is(&self, target: &str, name: &str) -> bool {
        self.target == target && self.get("message") == name
    }
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.fields.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name().to_owned(), value.to_owned());
    }
}

/// Keeps every event of every level.
struct Collector;

static SEEN: Mutex<Vec<Seen>> = Mutex::new(Vec::new());
static MORE: Condvar = Condvar::new();

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("sansip")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut seen = Seen {
            target: event.metadata().target().to_owned(),
            fields: BTreeMap::new(),
        };
        event.record(&mut seen);
        SEEN.lock().unwrap().push(seen);
        MORE.notify_all();
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// All events up to the first that says that a registration is in this state.
fn until(state: &str) -> Vec<Seen> {
    let is_it = |seen: &Seen| seen.is("sansip::registration", "registration") && seen.get("new") == state;
    let (seen, timeout) = MORE
        .wait_timeout_while(SEEN.lock().unwrap(), PATIENCE, |seen| !seen.iter().any(is_it))
        .unwrap();
    assert!(!timeout.timed_out(), "never {state}: {:#?}", *seen);
    let end = seen.iter().position(is_it).unwrap();
    seen[..=end].to_vec()
}

/// The latest event before `before` with this name whose `id` is that of `link`.
#[track_caller]
fn cause<'a>(seen: &'a [Seen], link: &Seen, (target, name): (&str, &str), id: &str) -> &'a Seen {
    assert_ne!(link.get(id), "", "no {id} leads on from {link:?}");
    seen.iter()
        .rev()
        .find(|seen| seen.is(target, name) && seen.get(id) == link.get(id))
        .unwrap_or_else(|| panic!("no {name} with the {id} of {link:?} in {seen:#?}"))
}

const OUTAGE: (&str, &str) = ("sansip::registration", "outage");
const REMOVED: (&str, &str) = ("sansip::connection", "connection removed");
const CLOSED: (&str, &str) = ("sansip::connection", "closed");

// ---------------------------------------------------------------- the server

/// Listens, and lets `serve` have each connection, with its number.
fn server(serve: impl Fn(usize, TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let stream = stream.unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            serve(number, stream);
        }
    });
    address
}

fn contact(request: &str) -> String {
    let contact = request.lines().find(|line| line.starts_with("Contact:")).unwrap();
    format!("{contact};expires=3600\r\n")
}

/// RFC 3261 section 22.2: 401, and what comes then is with credentials.
fn challenge(stream: &mut TcpStream) -> String {
    let first = read_request(stream);
    let challenge =
        "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"n0nce\", algorithm=MD5, qop=\"auth\"\r\n";
    answer_to(stream, &first, "401 Unauthorized", challenge);
    let second = read_request(stream);
    assert!(second.contains("Authorization: Digest"), "{second}");
    second
}

/// Takes the registration, and resets the connection; does not know the endpoint any more when it comes again.
fn resets(number: usize, mut stream: TcpStream) {
    if number == 0 {
        let register = challenge(&mut stream);
        answer_to(&mut stream, &register, "200 OK", &contact(&register));
        until("Registered");
        peers::reset(stream);
    } else {
        let register = read_request(&mut stream);
        answer_to(&mut stream, &register, "200 OK", "");
    }
}

// ---------------------------------------------------------------- the cases

fn setup(server: SocketAddr, transport: Transport) -> Setup {
    let mut setup = Setup::user("alice", PASSWORD, server, transport);
    setup.config.reconnect_jitter = Duration::ZERO;
    setup.config.backoff_min = Duration::from_millis(1);
    setup
}

/// Registers, and gives all events up to the end of it.
fn down<A: Agent>(setup: Setup) -> Vec<Seen> {
    SEEN.lock().unwrap().clear();
    let mut agent = A::start(setup);
    agent.begin_register();
    let seen = until("Unregistered");
    agent.shut_down(Duration::ZERO);
    for seen in &seen {
        for value in seen.fields.values() {
            for secret in [PASSWORD, "Digest", "response=", "n0nce", PRINCIPAL] {
                assert!(!value.contains(secret), "{secret} in {seen:?}");
            }
        }
    }
    seen
}

fn the_server_resets<A: Agent>() {
    let seen = down::<A>(setup(server(resets), Transport::Tcp));
    let end = seen.last().unwrap();
    assert_eq!(
        (end.get("old"), end.get("reason")),
        ("Registered", "RefreshFailed")
    );
    let outage = cause(&seen, end, OUTAGE, "endpoint");
    assert_eq!(outage.get("error"), "connection failure");
    let removed = cause(&seen, outage, REMOVED, "conn");
    assert_eq!(
        (removed.get("reason"), removed.get("socket")),
        ("remote", "reset")
    );
    let closed = cause(&seen, removed, CLOSED, "conn");
    assert_eq!(closed.get("reason"), "reset");
    // The credentials were on the way, and the sizes of what was on the way were traced.
    assert!(seen.iter().any(|seen| seen.is("sansip::connection", "sent")));
}

/// The server answers nothing: the REGISTER times out, and its connection is given up (R19).
fn the_server_freezes<A: Agent>() {
    let frozen = server(|_, mut stream| {
        challenge(&mut stream);
        // Reads on, says nothing, until the other side goes.
        while !read_request(&mut stream).is_empty() {}
    });
    let mut setup = setup(frozen, Transport::Tcp);
    // Timer F is 64*T1.
    setup.config.t1 = Duration::from_millis(5);
    let seen = down::<A>(setup);
    let end = seen.last().unwrap();
    assert_eq!((end.get("old"), end.get("reason")), ("Registering", "Timeout"));
    let removed = cause(&seen, end, REMOVED, "conn");
    assert_eq!(removed.get("reason"), "unanswered");
    cause(&seen, removed, ("sansip::connection", "connected"), "conn");
}

/// Its words name users, which no event does.
#[derive(Debug)]
struct Away;

impl Kerberos for Away {
    fn make_context(&self, _: &Authenticate) -> Result<SecurityContext, KerberosFailure> {
        Err(KerberosFailure {
            kind: KerberosFailureKind::Unreachable,
            detail: format!("no center for {PRINCIPAL}"),
        })
    }
}

fn no_center_gives_a_ticket<A: Agent>() {
    let server = server(|_, mut stream| {
        let register = read_request(&mut stream);
        let challenge =
            "WWW-Authenticate: Kerberos realm=\"example.com\", targetname=\"sip/fe\", version=4\r\n";
        answer_to(&mut stream, &register, "401 Unauthorized", challenge);
        while !read_request(&mut stream).is_empty() {}
    });
    let mut setup = setup(server, Transport::Tcp);
    setup.kerberos = Some(Arc::new(Away));
    let seen = down::<A>(setup);
    let end = seen.last().unwrap();
    assert_eq!(
        (end.get("old"), end.get("reason")),
        ("Registering", "Authentication")
    );
    let failed = cause(&seen, end, ("sansip::registration", "no context"), "endpoint");
    assert_eq!(failed.get("error"), "Unreachable");
    let wanted = cause(
        &seen,
        failed,
        ("sansip::registration", "context wanted"),
        "handshake",
    );
    assert_eq!(wanted.get("server"), "sip/fe");
}

fn the_server_forbids<A: Agent>() {
    let forbids = server(|_, mut stream| {
        let register = challenge(&mut stream);
        answer_to(&mut stream, &register, "403 Forbidden", "");
    });
    let seen = down::<A>(setup(forbids, Transport::Tcp));
    let end = seen.last().unwrap();
    assert_eq!(
        (end.get("old"), end.get("reason")),
        ("Registering", "UnauthorizedAccess")
    );
    // The connection is not to blame: it was there, and is.
    let connected = cause(&seen, end, ("sansip::connection", "connected"), "conn");
    cause(&seen, connected, ("sansip::connection", "connect"), "conn");
    assert!(!seen.iter().any(|seen| seen.is(CLOSED.0, CLOSED.1)));
}

/// The certificate leads to no root that is trusted.
fn the_server_has_a_wrong_certificate<A: Agent>() {
    let front = Front::start(Some(Ca::new().server_at_loopback()));
    let mut setup = setup(front.address, Transport::Tls);
    setup.client = Some(Ca::new().client());
    let seen = down::<A>(setup);
    let end = seen.last().unwrap();
    assert_eq!(
        (end.get("old"), end.get("reason")),
        ("Registering", "ConnectionFailure")
    );
    let closed = cause(&seen, end, CLOSED, "conn");
    assert_eq!(
        (closed.get("reason"), closed.get("tls")),
        ("tls", "UntrustedRemoteCertificate")
    );
    front.end();
}

fn all<A: Agent>() {
    the_server_resets::<A>();
    the_server_freezes::<A>();
    the_server_forbids::<A>();
    no_center_gives_a_ticket::<A>();
    the_server_has_a_wrong_certificate::<A>();
}

// rules: A9, R7, R8, R19, X7
#[test]
fn a_chain_of_events_says_why_an_endpoint_went_down() {
    // One collector for the process: the cases come one after another.
    tracing::subscriber::set_global_default(Collector).unwrap();
    all::<Mio>();
    all::<AsyncStd>();
}
