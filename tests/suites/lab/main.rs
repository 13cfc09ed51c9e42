//! Real servers on loopback that die, freeze, reset and lie, met through both adapters. The servers are those of the lab
//! that lies beside the checkout; `.ci/run` starts this suite with `SANSIP_LAB_DIR` set to it and `LAB_RUN` to the folder
//! where its process ids are. Without them it says that it was skipped. What is asserted is what the peer says: Kamailio's
//! location table, and what the hostile peer got.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks for single events")]
#![allow(
    dead_code,
    reason = "the application of the adapters' suite can do more than is asked here"
)]

#[path = "../adapters/agent.rs"]
mod agent;
#[path = "../adapters/on_async_std.rs"]
mod on_async_std;
#[path = "../adapters/on_mio.rs"]
mod on_mio;
mod pairs;

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use sansip::{Config, OperationError, RemovalReason, Transport};

use agent::{Agent, Heard, PATIENCE, Role, Setup};

const DOMAIN: &str = "lab.test";

/// The lab; one test at a time has it.
struct Lab {
    dir: PathBuf,
    run: PathBuf,
    _alone: MutexGuard<'static, ()>,
}

static ALONE: Mutex<()> = Mutex::new(());

impl Lab {
    /// `None`, and a word about it, where there is none.
    fn enter() -> Option<Self> {
        let (Some(dir), Some(run)) = (std::env::var_os("SANSIP_LAB_DIR"), std::env::var_os("LAB_RUN")) else {
            sansip_testkit::vectors::skipped("no lab: SANSIP_LAB_DIR and LAB_RUN say where it is");
            return None;
        };
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Self {
            dir: dir.into(),
            run: run.into(),
            _alone: alone,
        })
    }

    fn address(&self, port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 5, 1], port))
    }

    /// Starts Kamailio, or starts it anew without its memory.
    fn start_kamailio(&self) {
        let script = self.dir.join("kamailio/start.sh");
        let done = Command::new("bash").arg(script).arg("digest").output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        // A process of the one before may still have held the port when the script looked: the new one answers for itself.
        self.contacts("nobody");
        listens(self.address(5060));
    }

    /// Sends a signal to the processes of Kamailio.
    fn signal(&self, signal: &str) {
        let pids = std::fs::read_to_string(self.run.join("pids/kamailio")).unwrap();
        let leader = pids.split_whitespace().next().unwrap();
        let group = format!("-{leader}");
        let done = Command::new("kill")
            .args([signal, "--", &group])
            .status()
            .unwrap();
        assert!(done.success());
    }

    /// The contacts of a user that Kamailio has.
    fn contacts(&self, user: &str) -> Vec<String> {
        let socket = format!("unix:{}", self.run.join("kam/ctl.sock").display());
        let begun = Instant::now();
        let text = loop {
            let table = Command::new("kamcmd")
                .args(["-s", &socket, "ul.dump"])
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&table.stdout).into_owned();
            // It gives up on a server that is slow, on a machine that has more to do, and has no table then.
            if table.status.success() && text.contains("Domains") {
                break text;
            }
            let error = String::from_utf8_lossy(&table.stderr);
            assert!(
                begun.elapsed() < PATIENCE,
                "no table of Kamailio's: {text} {error}"
            );
            thread::sleep(Duration::from_millis(50));
        };
        let mut own = false;
        let mut found = Vec::new();
        for line in text.lines().map(str::trim) {
            if let Some(aor) = line.strip_prefix("AoR: ") {
                own = aor == user;
            }
            found.extend(line.strip_prefix("Address: ").filter(|_| own).map(str::to_owned));
        }
        found
    }

    /// Waits until Kamailio has a contact of a user that it had not before, and says how long that took. On a slow machine
    /// one may be there, too, whose REGISTER was not answered in time.
    fn until_contact(&self, user: &str, before: &[String], bound: Duration) -> Duration {
        let begun = Instant::now();
        loop {
            let found = self.contacts(user);
            if found.iter().any(|contact| !before.contains(contact)) {
                return begun.elapsed();
            }
            assert!(
                begun.elapsed() < bound,
                "{user} after {bound:?}: {found:?}, before {before:?}"
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// A peer that misbehaves in one way, or as the user of the Request-URI says.
    fn chaos(&self, at: SocketAddr, mode: Option<&str>) -> Chaos {
        let child = Command::new("python3")
            .arg(self.dir.join("wire/chaos.py"))
            .args(["uas", &at.to_string(), "--life", "240"])
            .args(mode.into_iter().flat_map(|mode| ["--mode", mode]))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        listens(at);
        Chaos(child)
    }
}

/// Waits until somebody listens there.
fn listens(at: SocketAddr) {
    let begun = Instant::now();
    while TcpStream::connect(at).is_err() {
        assert!(begun.elapsed() < PATIENCE, "nobody listens at {at}");
        thread::sleep(Duration::from_millis(50));
    }
}

struct Chaos(Child);

impl Drop for Chaos {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Timers short enough to wait for.
fn hasty() -> Config {
    Config {
        t1: Duration::from_millis(50),
        connect_timeout: Duration::from_secs(2),
        reconnect_jitter: Duration::from_millis(200),
        backoff_min: Duration::from_millis(200),
        backoff_max: Duration::from_secs(2),
        ..Config::default()
    }
}

/// The longest wait between two attempts, one attempt that nothing answers, and what a busy machine takes for itself.
fn bound(config: &Config) -> Duration {
    config.backoff_max + config.connect_timeout + 64 * config.t1 + Duration::from_secs(5)
}

/// A user of Kamailio.
fn account(lab: &Lab, user: &str) -> Setup {
    let mut setup = Setup::user(user, &format!("pw-{user}"), lab.address(5060), Transport::Tcp);
    if let Role::User { uri, .. } = &mut setup.role {
        *uri = format!("sip:{user}@{DOMAIN}");
    }
    setup.config = hasty();
    setup
}

/// One that is registered.
fn registered<A: Agent>(lab: &Lab, user: &str) -> A {
    let mut agent = A::start(account(lab, user));
    assert_eq!(agent.register().map(|_| ()), Ok(()));
    assert_eq!(lab.contacts(user).len(), 1);
    agent
}

fn reaches<A: Agent>(from: &mut A, user: &str) {
    let text = format!("to {user}");
    let sent = from.message(&format!("sip:{user}@{DOMAIN}"), &text);
    assert_eq!(sent.map(|(status, _)| status), Ok(200));
}

// rules: R6, R7, C8
fn a_killed_server_has_its_endpoints_again<A: Agent>() {
    let Some(lab) = Lab::enter() else { return };
    lab.start_kamailio();
    let mut alice: A = registered(&lab, "alice");
    let mut bob: A = registered(&lab, "bob");
    reaches(&mut alice, "bob");
    lab.signal("-KILL");
    let lost = |heard: &Heard| matches!(heard, Heard::ConnectionRemoved(_)).then_some(());
    for agent in [&mut alice, &mut bob] {
        agent.ears().wait("the lost connection", lost);
    }
    // Long enough for attempts that are refused.
    thread::sleep(Duration::from_secs(2));
    lab.start_kamailio();
    let bound = bound(&hasty());
    let took = ["alice", "bob"].map(|user| lab.until_contact(user, &[], bound));
    eprintln!(
        "{}: registered again {took:?} after the restart, at most {bound:?}",
        A::NAME
    );
    reaches(&mut alice, "bob");
    alice.end();
    bob.end();
    assert!(lab.contacts("alice").is_empty() && lab.contacts("bob").is_empty());
}

// rules: R19, C35
fn a_frozen_server_is_found_out_and_has_its_endpoints_again<A: Agent>() {
    let Some(lab) = Lab::enter() else { return };
    lab.start_kamailio();
    let mut setup = account(&lab, "alice");
    // Kamailio promises no answer to keep-alives here: what finds it out is a probe.
    setup.config.probe_interval = Duration::from_secs(1);
    let config = setup.config.clone();
    let mut alice = A::start(setup);
    assert_eq!(alice.register().map(|_| ()), Ok(()));
    let before = lab.contacts("alice");
    lab.signal("-STOP");
    let found = alice.ears().wait("the dead flow", |heard| {
        matches!(heard, Heard::ConnectionRemoved(_)).then_some(Instant::now())
    });
    // The system goes on to accept connections for the frozen one; nothing answers there either.
    thread::sleep(Duration::from_secs(3));
    lab.signal("-CONT");
    let took = lab.until_contact("alice", &before, bound(&config));
    eprintln!(
        "{}: found out {:?} before, and registered again {took:?} after the thaw",
        A::NAME,
        found.elapsed()
    );
    let mut bob: A = registered(&lab, "bob");
    reaches(&mut bob, "alice");
    alice.end();
    bob.end();
}

// rules: R6, C13
fn a_reset_connection_is_made_anew<A: Agent>() {
    let Some(lab) = Lab::enter() else { return };
    lab.start_kamailio();
    let mut alice: A = registered(&lab, "alice");
    let before = lab.contacts("alice");
    let killed = Command::new("ss")
        .args(["-K", "-t", "dst", "127.0.5.1", "dport", "=", "5060"])
        .output()
        .unwrap();
    assert!(
        killed.status.success(),
        "{}",
        String::from_utf8_lossy(&killed.stderr)
    );
    alice.ears().wait("the reset", |heard| {
        matches!(heard, Heard::ConnectionRemoved(_)).then_some(())
    });
    let took = lab.until_contact("alice", &before, bound(&hasty()));
    eprintln!("{}: registered again {took:?} after the reset", A::NAME);
    let mut bob: A = registered(&lab, "bob");
    reaches(&mut bob, "alice");
    alice.end();
    bob.end();
}

/// Where Kamailio's static route leads.
const STATIC: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 5, 9)), 5070);

/// Who listens where Kamailio's static route leads, and has had a message over it.
fn routed<A: Agent>(lab: &Lab, config: Config) -> A {
    lab.start_kamailio();
    let mut setup = Setup::peer("service", Transport::Tcp);
    setup.config = config;
    if let Role::Peer { uri, .. } = &mut setup.role {
        *uri = String::from("sip:service@p2p.test");
    }
    let mut service = A::start(setup);
    assert_eq!(service.listen(STATIC), Ok(STATIC));
    let mut alice: A = registered(lab, "alice");
    let sent = alice.message("sip:service@p2p.test", "over the static route");
    assert_eq!(sent.map(|(status, _)| status), Ok(200));
    service.heard(&Heard::Message("over the static route".to_owned()));
    alice.end();
    service
}

// rules: P7
fn a_static_route_leads_to_who_listens<A: Agent>() {
    let Some(lab) = Lab::enter() else { return };
    routed::<A>(&lab, Config::default()).end();
}

/// Asserts that the peer loses its connections when this time is over, and not long before. `which` says, in the words of
/// `ss`, which sockets are the peer's.
fn closed_after(time: Duration, which: &[&str]) {
    let open = || {
        let mut ss = Command::new("ss");
        let shown = ss
            .args(["-H", "-t", "-n", "state", "established"])
            .args(which)
            .output();
        let shown = shown.unwrap();
        assert!(
            shown.status.success(),
            "{}",
            String::from_utf8_lossy(&shown.stderr)
        );
        !shown.stdout.is_empty()
    };
    let begun = Instant::now();
    assert!(open(), "{which:?} from the beginning");
    while open() {
        assert!(
            begun.elapsed() < time + Duration::from_secs(5),
            "{which:?} is there still"
        );
        thread::sleep(Duration::from_millis(50));
    }
    let lived = begun.elapsed();
    eprintln!("{which:?}: closed after {lived:?}, to be {time:?}");
    assert!(lived > time - Duration::from_secs(1), "{which:?}: {lived:?}");
}

// rules: C8
fn a_connection_without_a_user_is_closed_after_the_linger_time<A: Agent>() {
    let Some(lab) = Lab::enter() else { return };
    let at = SocketAddr::from(([127, 0, 5, 7], 5080));
    let _chaos = lab.chaos(at, None);
    let linger = Duration::from_secs(3);
    let mut setup = Setup::peer("alice", Transport::Tcp);
    setup.config.linger = linger;
    let mut alice = A::start(setup);
    assert!(
        alice
            .message(&format!("sip:ok@{at};transport=tcp"), "hello")
            .is_ok()
    );
    closed_after(linger, &["src", &at.to_string()]);
    alice.end();
}

// rules: C10
fn a_connection_without_traffic_is_closed_after_the_idle_time<A: Agent>() {
    let Some(lab) = Lab::enter() else { return };
    let idle = Duration::from_secs(3);
    let config = Config {
        idle_incoming: idle,
        ..Config::default()
    };
    let service: A = routed(&lab, config);
    closed_after(idle, &["dst", &STATIC.to_string()]);
    service.end();
}

/// What a MESSAGE to a peer of each mode comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comes {
    /// 200: strange, but SIP.
    Well,
    /// This status, twice: its Retry-After was waited for (E12).
    Status(u16),
    /// What came answers nothing: not this request, or no SIP response.
    Timeout,
    /// The connection is gone, or no longer to be read.
    Lost,
}

const MODES: &[(&str, Comes)] = &[
    ("ok", Comes::Well),
    ("frag1", Comes::Well),
    ("frag7", Comes::Well),
    ("splitcrlf", Comes::Well),
    ("splitcr", Comes::Well),
    ("splitbody", Comes::Well),
    ("coalesce", Comes::Well),
    ("crlf", Comes::Well),
    ("ping", Comes::Well),
    ("compact", Comes::Well),
    ("fold", Comes::Well),
    ("case", Comes::Well),
    ("utf8", Comes::Well),
    ("unknown", Comes::Well),
    ("big", Comes::Well),
    ("bigbody", Comes::Well),
    ("dup", Comes::Well),
    // RFC 3261 section 17.1.3: the branch and the method of CSeq make it ours, its number does not.
    ("wrongseq", Comes::Well),
    ("late", Comes::Well),
    ("ok+rst", Comes::Well),
    ("ok+fin", Comes::Well),
    ("503", Comes::Status(503)),
    ("503+fin", Comes::Status(503)),
    // No SIP: where the next message begins is anybody's guess.
    ("http", Comes::Lost),
    ("huge", Comes::Lost),
    ("nocl", Comes::Lost),
    ("badcl", Comes::Lost),
    ("hugecl", Comes::Lost),
    ("twocl", Comes::Lost),
    ("garbage+", Comes::Lost),
    ("half+fin", Comes::Lost),
    ("half+rst", Comes::Lost),
    ("fin", Comes::Lost),
    ("rst", Comes::Lost),
    ("longcl", Comes::Timeout),
    ("version", Comes::Timeout),
    ("status", Comes::Timeout),
    ("badvia", Comes::Timeout),
    ("twovia", Comes::Timeout),
    ("silent", Comes::Timeout),
    ("stallread", Comes::Timeout),
];

// rules: C29, C31, C35, E12, X2, X3
fn hostile_peers_do_no_harm<A: Agent>() {
    let Some(lab) = Lab::enter() else { return };
    let at = SocketAddr::from(([127, 0, 5, 7], 5080));
    let _chaos = lab.chaos(at, None);
    let mut setup = Setup::peer("alice", Transport::Tcp);
    setup.config = hasty();
    let mut alice = A::start(setup);
    let target = |mode: &str| format!("sip:{mode}@{at};transport=tcp");
    let mut wrong = Vec::new();
    for (mode, expected) in MODES {
        let begun = Instant::now();
        let comes = match alice.message(&target(mode), "hello") {
            Ok((200, _)) => Comes::Well,
            Ok((status, _)) => Comes::Status(status),
            Err(OperationError::Timeout) => Comes::Timeout,
            Err(OperationError::ConnectionFailure(_)) => Comes::Lost,
            Err(error) => Comes::Status(error.response().and_then(|r| r.status()).map_or(0, |s| s.code())),
        };
        if comes != *expected {
            wrong.push((*mode, comes, *expected));
        }
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{mode} took {:?}",
            begun.elapsed()
        );
        // And nothing of it is left; what a peer does to its connection afterwards has come by then.
        thread::sleep(Duration::from_millis(300));
        // A peer that has promised more than it sends swallows what it sends next as the rest of it.
        let tries = if *mode == "longcl" { 3 } else { 1 };
        let well = (0..tries).any(|_| alice.message(&target("ok"), "hello again").is_ok());
        assert!(well, "after {mode}");
    }
    assert_eq!(wrong, []);
    // Random bytes are one or the other.
    let garbage = alice.message(&target("garbage"), "hello");
    assert!(garbage.is_err(), "{garbage:?}");
    alice.end();
}

// rules: C13, S10, S18
fn a_call_outlives_its_connection<A: Agent>() {
    let Some(lab) = Lab::enter() else { return };
    let [after, before] = [5081, 5082].map(|port| SocketAddr::from(([127, 0, 5, 7], port)));
    let _chaos = [
        lab.chaos(after, Some("drop")),
        lab.chaos(before, Some("dropring")),
    ];
    let mut setup = Setup::peer("alice", Transport::Tcp);
    setup.config = hasty();
    let mut alice = A::start(setup);
    // The peer resets after the ACK; the BYE comes over a new connection.
    assert!(alice.call(&format!("sip:bob@{after};transport=tcp")).is_ok());
    alice.ears().wait("the reset", |heard| {
        matches!(heard, Heard::ConnectionRemoved(RemovalReason::Remote(_))).then_some(())
    });
    assert_eq!(alice.hang_up().map(|_| ()), Ok(()));
    // And while it rings: the call is over, and says so.
    let failed = alice.call(&format!("sip:bob@{before};transport=tcp"));
    assert!(
        matches!(failed, Err(OperationError::ConnectionFailure(_))),
        "{failed:?}"
    );
    alice.end();
}

/// Each case once for each adapter.
macro_rules! through_both {
    ($($case:ident,)*) => {
        mod through_mio {
            $(#[test] fn $case() { crate::$case::<crate::on_mio::Mio>(); })*
        }
        mod through_async_std {
            $(#[test] fn $case() { crate::$case::<crate::on_async_std::AsyncStd>(); })*
        }
    };
}

through_both! {
    a_killed_server_has_its_endpoints_again,
    a_frozen_server_is_found_out_and_has_its_endpoints_again,
    a_reset_connection_is_made_anew,
    a_static_route_leads_to_who_listens,
    a_connection_without_a_user_is_closed_after_the_linger_time,
    a_connection_without_traffic_is_closed_after_the_idle_time,
    hostile_peers_do_no_harm,
    a_call_outlives_its_connection,
}
