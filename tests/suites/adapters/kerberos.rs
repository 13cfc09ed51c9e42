//! A log-on with Kerberos: the adapter asks beside its loop.

use std::fmt;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sansip::security::{KerberosFailure, KerberosFailureKind as Kind, MessageSecurity, SecurityContext};
use sansip::{
    Authenticate, AuthenticationFailure, AuthenticationFailureReason as Reason, OperationError,
    RegistrationState, Transport,
};
use sansip_net::Kerberos;

use crate::agent::{Agent, Heard, Outcome, PATIENCE, Setup};
use crate::peers::{answer_to, read_request, server};

/// Signs nothing, and takes everything.
#[derive(Debug)]
struct Keys;

impl MessageSecurity for Keys {
    fn sign(&mut self, _: &[u8]) -> Option<Vec<u8>> {
        Some(vec![0xab])
    }

    fn verify(&mut self, _: &[u8], _: &[u8]) -> bool {
        true
    }

    fn share(&self) -> Box<dyn MessageSecurity> {
        Box::new(Self)
    }
}

type Made = Result<SecurityContext, KerberosFailure>;

/// A Kerberos that tells whom it is asked about, and does this then.
struct Fake {
    asked: Mutex<Sender<Authenticate>>,
    make: Box<dyn Fn() -> Made + Send + Sync>,
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fake")
    }
}

impl Kerberos for Fake {
    fn make_context(&self, wanted: &Authenticate) -> Made {
        // Not every case listens.
        let _ = self.asked.lock().unwrap().send(wanted.clone());
        (self.make)()
    }
}

fn made() -> Made {
    Ok(SecurityContext {
        token: b"AP-REQ".as_slice().into(),
        lifetime: Some(Duration::from_secs(36_000)),
        security: Box::new(Keys),
    })
}

/// A server that logs users on with Kerberos, and takes any token.
fn logs_on(mut stream: TcpStream) {
    loop {
        let request = read_request(&mut stream);
        if request.is_empty() {
            return;
        }
        let (status, more) = if request.contains("Authorization: Kerberos") {
            // QVAtUkVR is the token in base64 (RFC 4648).
            let is_token = request.contains("gssapi-data=\"QVAtUkVR\"");
            assert!(is_token || request.contains("cnum=\"2\""), "{request}");
            let contact = request.lines().find(|line| line.starts_with("Contact:")).unwrap();
            ("200 OK", format!("{contact};expires=3600\r\n"))
        } else {
            let parameters =
                "realm=\"SIP Communications Service\", targetname=\"sip/fe.example.com\", version=4";
            (
                "401 Unauthorized",
                format!("WWW-Authenticate: Kerberos {parameters}\r\n"),
            )
        };
        answer_to(&mut stream, &request, status, &more);
    }
}

struct Case<A> {
    agent: A,
    asked: Receiver<Authenticate>,
    server: JoinHandle<()>,
}

/// A user at such a server, with a Kerberos that does this.
fn case<A: Agent>(make: impl Fn() -> Made + Send + Sync + 'static) -> Case<A> {
    let (address, server) = server(logs_on);
    let (asking, asked) = channel();
    let fake = Fake {
        asked: Mutex::new(asking),
        make: Box::new(make),
    };
    let mut setup = user(address);
    setup.kerberos = Some(Arc::new(fake));
    Case {
        agent: A::start(setup),
        asked,
        server,
    }
}

fn user(server: SocketAddr) -> Setup {
    Setup::user("alice", "ecila", server, Transport::Tcp)
}

#[track_caller]
fn failure(outcome: Outcome) -> AuthenticationFailure {
    match outcome {
        Err(OperationError::Authentication { failure, .. }) => failure,
        other => panic!("{other:?}"),
    }
}

// rules: A1, A11
pub(crate) fn a_context_that_comes_late_logs_the_user_on<A: Agent>() {
    let (go, wait) = channel();
    let wait = Mutex::new(wait);
    let Case {
        mut agent,
        asked,
        server,
    } = case::<A>(move || {
        wait.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        made()
    });
    agent.begin_register();
    let wanted = asked.recv_timeout(PATIENCE).unwrap();
    assert_eq!(wanted.target, "sip/fe.example.com");
    assert_eq!(wanted.credentials.unwrap().user, "alice");
    // The loop goes on meanwhile.
    agent.set_tls(None, None);
    let told = Instant::now();
    go.send(()).unwrap();
    agent.heard(&Heard::Registration(RegistrationState::Registered));
    // Nothing else is due for half a minute.
    assert!(told.elapsed() < Duration::from_secs(20), "nobody woke the loop");
    agent.end();
    server.join().unwrap();
    assert!(asked.try_recv().is_err(), "asked once");
}

// rules: A7, A11
pub(crate) fn a_kerberos_that_fails_or_panics_is_told<A: Agent>() {
    let unreachable = || KerberosFailure {
        kind: Kind::Unreachable,
        detail: "no center for EXAMPLE.COM".to_owned(),
    };
    let Case { mut agent, .. } = case::<A>(move || Err(unreachable()));
    let failed = failure(agent.register());
    assert_eq!(failed.reason, Reason::NoAuthenticatingAuthority);
    assert_eq!(failed.kerberos, Some(unreachable()));
    agent.end();
    let Case { mut agent, .. } = case::<A>(|| panic!("as planned"));
    let failed = failure(agent.register());
    assert_eq!(failed.reason, Reason::NoAuthenticatingAuthority);
    assert_eq!(failed.kerberos.unwrap().kind, Kind::Other);
    agent.end();
}

// rules: A7, A11
pub(crate) fn an_adapter_without_kerberos_says_so<A: Agent>() {
    let (address, _) = server(logs_on);
    let mut agent = A::start(user(address));
    let failed = failure(agent.register());
    assert_eq!(failed.reason, Reason::NoCommonProtocols);
    assert_eq!(failed.kerberos, Some(KerberosFailure::new(Kind::Unsupported)));
    agent.end();
}

pub(crate) fn an_adapter_that_is_dropped_does_not_wait_for_kerberos<A: Agent>() {
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let Case {
        mut agent,
        asked,
        server,
    } = case::<A>(move || {
        let _ = wait.lock().unwrap().recv_timeout(PATIENCE);
        made()
    });
    agent.begin_register();
    asked.recv_timeout(PATIENCE).unwrap();
    agent.shut_down(Duration::ZERO);
    server.join().unwrap();
    // It is still being asked; what comes of it nobody wants, and nothing is left of it.
    drop(go);
    assert!(asked.recv_timeout(PATIENCE).is_err());
}
