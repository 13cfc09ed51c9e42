//! Kerberos beside the loop: to make a security context asks the key distribution center and waits for it, so that is done
//! on threads of its own.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use sansip::security::{KerberosFailure, KerberosFailureKind, SecurityContext};
use sansip::{Authenticate, EndpointId, HandshakeId};

/// How many contexts are made at once, each on a thread. More of them wait.
const THREADS: usize = 8;

/// Makes the security contexts that a stack asks for with [`Action::Authenticate`](sansip::Action::Authenticate) (rule A11).
/// `sansip-gssapi` has one that asks the GSS-API of the system.
pub trait Kerberos: fmt::Debug + Send + Sync {
    /// Gets a ticket for the server that is named, and makes the token that shows it. What signs and verifies is kept by the
    /// stack. It may wait for the key distribution center, and be called by several threads at once; one that panics has
    /// failed as [`KerberosFailureKind::Other`].
    ///
    /// # Errors
    /// There is no such ticket. The kind is what the application is told, so it should be right; neither it nor the
    /// detail may give a secret away.
    fn make_context(&self, wanted: &Authenticate) -> Result<SecurityContext, KerberosFailure>;
}

/// What was asked of a [`Kerberos`], and what came of it: for [`Stack::handle_authenticated`](sansip::Stack::handle_authenticated).
#[derive(Debug)]
pub struct Authenticated {
    /// Whose context it is.
    pub endpoint: EndpointId,
    /// What the stack calls it.
    pub handshake: HandshakeId,
    /// The context, or why there is none.
    pub result: Result<SecurityContext, KerberosFailure>,
}

/// Asks a [`Kerberos`] from threads of its own, eight at the most, which are there while there is something to ask.
///
/// When it is dropped, nothing more is asked; a call that is under way goes on, and nobody waits for its end.
pub struct KerberosThreads(Arc<Shared>);

struct Shared {
    kerberos: Arc<dyn Kerberos>,
    wake: Box<dyn Fn() + Send + Sync>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What each endpoint wants, and their order.
    wanted: HashMap<EndpointId, Authenticate>,
    order: VecDeque<EndpointId>,
    done: VecDeque<Authenticated>,
    threads: usize,
}

impl KerberosThreads {
    /// `wake` is called from other threads when there is something for [`KerberosThreads::poll`].
    pub fn new(kerberos: Arc<dyn Kerberos>, wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared {
            kerberos,
            wake: Box::new(wake),
            state: Mutex::default(),
        }))
    }

    /// Asks for a context. It does not wait. Where an endpoint asks again before its turn has come, what it has asked for
    /// before is not answered: its stack does not wait for that any more.
    pub fn ask(&self, wanted: Authenticate) {
        let endpoint = wanted.endpoint;
        let mut state = self.0.lock();
        if state.wanted.insert(endpoint, wanted).is_none() {
            state.order.push_back(endpoint);
        }
        if state.threads == THREADS {
            return;
        }
        let shared = Arc::clone(&self.0);
        let builder = thread::Builder::new().name("sansip-kerberos".to_owned());
        match builder.spawn(move || shared.work()) {
            Ok(_) => state.threads += 1,
            Err(error) if state.threads == 0 => {
                // Nobody else will answer it.
                if let Some(wanted) = state.next() {
                    let failure = other(format!("no thread to ask it on: {error}"));
                    state.done.push_back(answer(&wanted, Err(failure)));
                }
                drop(state);
                (self.0.wake)();
            }
            Err(_) => {}
        }
    }

    /// The next answer.
    pub fn poll(&self) -> Option<Authenticated> {
        self.0.lock().done.pop_front()
    }
}

impl Drop for KerberosThreads {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.order.clear();
        let wanted = std::mem::take(&mut state.wanted);
        drop(state);
        drop(wanted);
    }
}

impl fmt::Debug for KerberosThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KerberosThreads").field(&self.0.kerberos).finish()
    }
}

impl Shared {
    /// Nothing that can panic is done under the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(wanted) = self.take() {
            let made = catch_unwind(AssertUnwindSafe(|| self.kerberos.make_context(&wanted)));
            // What a panic says is nobody's to show: it may have a secret.
            let result = made.unwrap_or_else(|_| Err(other("it panicked".to_owned())));
            self.lock().done.push_back(answer(&wanted, result));
            (self.wake)();
        }
    }

    /// What this thread does next; with nothing to do it ends.
    fn take(&self) -> Option<Authenticate> {
        let mut state = self.lock();
        let next = state.next();
        if next.is_none() {
            state.threads -= 1;
        }
        next
    }
}

impl State {
    fn next(&mut self) -> Option<Authenticate> {
        let endpoint = self.order.pop_front()?;
        self.wanted.remove(&endpoint)
    }
}

const fn answer(wanted: &Authenticate, result: Result<SecurityContext, KerberosFailure>) -> Authenticated {
    Authenticated {
        endpoint: wanted.endpoint,
        handshake: wanted.handshake,
        result,
    }
}

const fn other(detail: String) -> KerberosFailure {
    KerberosFailure {
        kind: KerberosFailureKind::Other,
        detail,
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    use sansip::security::MessageSecurity;
    use sansip::{Action, Config, Established, Server, SipEndpointConfig, Stack, Time, Transport, UnixTime};

    use super::*;

    /// Only reached when something hangs.
    const PATIENCE: Duration = Duration::from_secs(60);

    #[derive(Debug)]
    struct Keys;

    impl MessageSecurity for Keys {
        fn sign(&mut self, text: &[u8]) -> Option<Vec<u8>> {
            Some(text.to_vec())
        }

        fn verify(&mut self, text: &[u8], signature: &[u8]) -> bool {
            text == signature
        }

        fn share(&self) -> Box<dyn MessageSecurity> {
            Box::new(Self)
        }
    }

    /// Says what it is asked, and answers when it is told to.
    #[derive(Debug)]
    struct Fake {
        asked: Mutex<Sender<HandshakeId>>,
        go: Mutex<Receiver<()>>,
    }

    impl Kerberos for Fake {
        fn make_context(&self, wanted: &Authenticate) -> Result<SecurityContext, KerberosFailure> {
            self.asked.lock().unwrap().send(wanted.handshake).unwrap();
            let go = self.go.lock().unwrap().recv();
            assert!(wanted.target == "sip/fe.example.com", "not a server of mine");
            go.map_err(|_| KerberosFailure::new(KerberosFailureKind::Unreachable))?;
            Ok(SecurityContext {
                token: b"AP-REQ".as_slice().into(),
                lifetime: None,
                security: Box::new(Keys),
            })
        }
    }

    struct Case {
        threads: KerberosThreads,
        asked: Receiver<HandshakeId>,
        go: Sender<()>,
        woken: Receiver<()>,
    }

    impl Case {
        fn new() -> Self {
            let ((asking, asked), (go, wait)) = (channel(), channel());
            let (wake, woken) = channel();
            let fake = Fake {
                asked: Mutex::new(asking),
                go: Mutex::new(wait),
            };
            let wake = Mutex::new(wake);
            let threads = KerberosThreads::new(Arc::new(fake), move || {
                // Once the case is over nobody listens.
                let _ = wake.lock().unwrap().send(());
            });
            Self {
                threads,
                asked,
                go,
                woken,
            }
        }

        fn answer(&self) -> Authenticated {
            self.woken.recv_timeout(PATIENCE).unwrap();
            self.threads.poll().unwrap()
        }
    }

    /// What a stack asks for, for as many endpoints, each of which a server of this name has challenged.
    fn wanted(count: usize, server: &str) -> Vec<Authenticate> {
        let mut stack = Stack::new(Config::default(), [7; 32], Time::ZERO, UnixTime(1_200_000_000));
        for number in 0..count {
            let mut config = SipEndpointConfig::new(format!("sip:u{number}@example.com"));
            config.server = Some(Server {
                host: "127.0.0.1".to_owned(),
                port: Some(5061),
            });
            config.transport = Transport::Tcp;
            config.association.without_tls = true;
            config.default_credential = true;
            let endpoint = stack.add_sip_endpoint(Time::ZERO, config).unwrap();
            stack.endpoint(Time::ZERO, endpoint).unwrap().register().unwrap();
        }
        let mut wanted = Vec::new();
        while let Some(action) = stack.poll_action() {
            match action {
                Action::Connect(to) => {
                    let established = Established {
                        local: SocketAddr::from(([127, 0, 0, 1], 5000)),
                        remote: to.remote,
                        peer: None,
                    };
                    stack.handle_connected(Time::ZERO, to.conn, established);
                }
                Action::Transmit(conn) => {
                    let request: Vec<u8> = stack.transmit(conn).flatten().copied().collect();
                    stack.handle_transmitted(Time::ZERO, conn, request.len());
                    stack.handle_bytes(Time::ZERO, conn, challenge(&request, server).as_bytes());
                }
                Action::Authenticate(asked) => wanted.push(asked),
                Action::Close(_)
                | Action::Reading(..)
                | Action::Listen { .. }
                | Action::StopListening(_)
                | Action::Resolve { .. }
                | Action::Event(_) => {}
            }
        }
        assert_eq!(wanted.len(), count);
        wanted
    }

    fn challenge(request: &[u8], server: &str) -> String {
        let request = String::from_utf8_lossy(request);
        let repeated: Vec<&str> = request
            .lines()
            .filter(|line| {
                ["Via:", "From:", "To:", "Call-ID:", "CSeq:"]
                    .iter()
                    .any(|name| line.starts_with(name))
            })
            .collect();
        format!(
            "SIP/2.0 401 Unauthorized\r\n{}\r\nWWW-Authenticate: Kerberos realm=\"SIP Communications Service\", \
             targetname=\"sip/{server}\", version=4\r\nContent-Length: 0\r\n\r\n",
            repeated
                .join("\r\n")
                .replace("example.com>\r\n", "example.com>;tag=1\r\n"),
        )
    }

    // rules: A11
    #[test]
    fn a_context_is_made_on_another_thread_and_the_loop_is_woken() {
        let case = Case::new();
        let wanted = wanted(1, "fe.example.com").remove(0);
        case.threads.ask(wanted.clone());
        assert_eq!(case.asked.recv_timeout(PATIENCE), Ok(wanted.handshake));
        assert!(case.threads.poll().is_none());
        case.go.send(()).unwrap();
        let answer = case.answer();
        assert_eq!(
            (answer.endpoint, answer.handshake),
            (wanted.endpoint, wanted.handshake)
        );
        assert_eq!(answer.result.unwrap().token, b"AP-REQ".as_slice());
        assert!(case.threads.poll().is_none());
    }

    // rules: A11
    #[test]
    fn no_more_threads_than_stated_ask_at_once_and_the_rest_waits() {
        let case = Case::new();
        let mut wanted = wanted(THREADS + 2, "fe.example.com");
        for wanted in &wanted {
            case.threads.ask(wanted.clone());
        }
        // All threads are under way, one of them with each of the first.
        let mut first: Vec<_> = (0..THREADS)
            .map(|_| case.asked.recv_timeout(PATIENCE).unwrap())
            .collect();
        first.sort();
        let rest = wanted.split_off(THREADS);
        assert!(first.iter().eq(wanted.iter().map(|wanted| &wanted.handshake)));
        assert_eq!(case.threads.0.lock().threads, THREADS);
        assert!(case.asked.try_recv().is_err());
        for wanted in rest {
            case.go.send(()).unwrap();
            case.answer();
            assert_eq!(case.asked.recv_timeout(PATIENCE), Ok(wanted.handshake));
        }
        for _ in 0..THREADS {
            case.go.send(()).unwrap();
            case.answer();
        }
        // Threads with nothing to do end.
        while case.threads.0.lock().threads > 0 {
            thread::yield_now();
        }
    }

    #[test]
    fn who_asks_again_before_its_turn_is_answered_once() {
        let case = Case::new();
        let mut wanted = wanted(THREADS + 1, "fe.example.com");
        let last = wanted.pop().unwrap();
        for wanted in &wanted {
            case.threads.ask(wanted.clone());
        }
        let busy: Vec<_> = wanted
            .iter()
            .map(|_| case.asked.recv_timeout(PATIENCE).unwrap())
            .collect();
        assert_eq!(busy.len(), THREADS);
        let mut again = last.clone();
        again.handshake = busy[0];
        case.threads.ask(last);
        case.threads.ask(again.clone());
        for _ in 0..=THREADS {
            case.go.send(()).unwrap();
            case.answer();
        }
        assert_eq!(case.asked.try_recv(), Ok(again.handshake));
        assert!(case.asked.try_recv().is_err());
    }

    // rules: A9, A11
    #[test]
    fn one_that_panics_has_failed_and_the_next_is_asked() {
        let case = Case::new();
        let [elsewhere, here] =
            ["be.example.com", "fe.example.com"].map(|server| wanted(1, server).remove(0));
        case.go.send(()).unwrap();
        case.threads.ask(elsewhere);
        let failure = case.answer().result.unwrap_err();
        assert_eq!(failure.kind, KerberosFailureKind::Other);
        assert!(!failure.detail.contains("mine"), "{failure}");
        case.go.send(()).unwrap();
        case.threads.ask(here);
        assert!(case.answer().result.is_ok());
    }

    #[test]
    fn dropping_waits_for_nobody_and_asks_nothing_more() {
        let case = Case::new();
        for wanted in wanted(THREADS + 5, "fe.example.com") {
            case.threads.ask(wanted);
        }
        for _ in 0..THREADS {
            case.asked.recv_timeout(PATIENCE).unwrap();
        }
        let Case {
            threads, asked, go, ..
        } = case;
        drop(threads);
        drop(go);
        // All that is under way ends, its threads with it, and what they held.
        assert!(asked.recv_timeout(PATIENCE).is_err());
    }
}
