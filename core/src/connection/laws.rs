//! The machines of connections and listeners under the laws.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};
use core::net::SocketAddr;
use core::time::Duration;

use proptest::prelude::*;

use super::ManagerKind;
use super::lifetime::{self, FLUSH, Lifetime, Role, Terms};
use super::listener::{self, Listener};
use super::testing::{MESSAGE, Services, World, address, tcp};
use crate::action::{CloseReason, ListenError, TlsFailure, TlsFailureKind, Transport};
use crate::cells::Machine;
use crate::config::Config;
use crate::event::{OperationError, RemovalReason};
use crate::ids::{ConnId, Ids, ListenerId, ManagerId};
use crate::laws::Subject;
use crate::locate::Search;
use crate::time::Time;
use crate::timers::TimerKey;

/// So short that a connection may be idle while it lingers and before it has proved itself.
const IDLE: Duration = Duration::from_secs(45);

/// A connection; each input comes with whether bytes wait to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    lifetime: Lifetime,
    pending: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Input {
    Step(lifetime::Input),
    /// A message passes.
    Traffic,
    /// Bytes begin to wait, or have gone.
    Pending(bool),
    /// Some of those that wait have gone.
    Taken,
    /// A keep-alive goes out that will be answered, and its answer comes.
    Pinged,
    Pong,
}

impl Subject for Connection {
    const MACHINE: Machine = lifetime::cells::MACHINE;
    const WAYS: usize = 13;
    const TIMERS: &'static [(&'static str, &'static [&'static str])] = &[
        ("Connecting", &["TimerConnect"]),
        ("Handshaking", &["TimerUnproven"]),
        ("Held", &["TimerAuthorization"]),
        ("Unproven", &["TimerUnproven", "TimerIdle", "TimerStall"]),
        ("Live", &["TimerIdle", "TimerStall", "TimerPong"]),
        ("Lingering", &["TimerLinger", "TimerIdle", "TimerStall"]),
        ("Parting", &["TimerFlush"]),
        ("Closing", &["TimerFlush"]),
    ];
    type Input = Input;

    fn make(way: usize, services: &mut Services) -> Self {
        let (conn, manager, listener): (ConnId, ManagerId, ListenerId) =
            (services.ids.next(), services.ids.next(), services.ids.next());
        let (hop, cx) = (tcp("192.0.2.1"), &mut services.cx());
        let terms = Terms {
            idle: IDLE,
            holds: matches!(way, 8 | 9),
        };
        let incoming =
            |transport, cx: &mut _| Lifetime::incoming(conn, manager, listener, transport, terms, cx).0;
        let outgoing = |role| {
            let search = Search::new(tcp("192.0.2.1"), &[]);
            Lifetime::outgoing(conn, manager, role, search, terms)
        };
        let lifetime = match way {
            0 | 8 | 11 | 12 => incoming(Transport::Tcp, cx),
            1 => incoming(Transport::Tls, cx),
            2 | 4 | 6 | 9 | 10 => outgoing(Role::Shared(hop)),
            _ => outgoing(Role::Private(hop)),
        };
        let mut new = Self {
            lifetime,
            pending: false,
        };
        // Further along from the start, or hardly a history would come to the end of its life.
        let target = lifetime::Input::Target(address("192.0.2.1:5060"));
        let path = [
            target,
            lifetime::Input::Connected(Ok(())),
            lifetime::Input::Unused,
        ];
        let steps = [0, 0, 0, 0, 2, 2, 3, 3, 0, 2, 3, 0, 0];
        new.pending = way == 7;
        for input in path.into_iter().take(steps[way]) {
            new.step(Input::Step(input), services);
            while services.out.pop().is_some() {}
        }
        match way {
            11 => drop(new.step(
                Input::Step(lifetime::Input::FramingLost("bad".to_string())),
                services,
            )),
            12 => drop(new.step(Input::Pending(true), services)),
            _ => {}
        }
        new
    }

    fn inputs(_: &mut Ids) -> Vec<Input> {
        use lifetime::Input as I;
        let failure = TlsFailure {
            kind: TlsFailureKind::IncorrectNameInRemoteCertificate,
            detail: String::new(),
        };
        let steps = [
            I::Target(address("192.0.2.1:5060")),
            I::Target(address("192.0.2.1:5060")),
            I::Exhausted(OperationError::Timeout),
            I::Connected(Ok(())),
            I::Connected(Ok(())),
            I::Connected(Err(failure)),
            I::Closed(CloseReason::Reset),
            I::Used,
            I::Unused,
            I::Proven,
            I::FramingLost("bad".to_string()),
            I::Drained,
            I::Disconnect(RemovalReason::Local),
            I::NetworkChanged,
            I::Allowed,
            I::Denied,
        ];
        let mut inputs = vec![
            Input::Traffic,
            Input::Pending(true),
            Input::Pending(false),
            Input::Taken,
            Input::Pinged,
            Input::Pong,
        ];
        inputs.extend(steps.map(Input::Step));
        inputs
    }

    fn step(&mut self, input: Input, services: &mut Services) -> Vec<String> {
        let input = match input {
            Input::Step(input) => input,
            Input::Traffic => {
                self.lifetime.traffic(services.now);
                return Vec::new();
            }
            Input::Pending(pending) => {
                if pending && !self.pending {
                    self.lifetime.waits(&mut services.cx());
                }
                self.pending = pending;
                return Vec::new();
            }
            Input::Taken => {
                self.lifetime.progressed(services.now);
                return Vec::new();
            }
            Input::Pinged => {
                self.lifetime.await_pong(&mut services.cx());
                return Vec::new();
            }
            Input::Pong => {
                self.lifetime.stop_pong(&mut services.cx());
                return Vec::new();
            }
        };
        let outcome = self.lifetime.step(input, self.pending, &mut services.cx());
        outcome.iter().map(|outcome| format!("{outcome:?}")).collect()
    }

    fn fire(&mut self, key: TimerKey, services: &mut Services) -> Vec<String> {
        let TimerKey::Connection(_, timer) = key else {
            panic!("{key:?}")
        };
        self.step(Input::Step(lifetime::Input::Timer(timer)), services)
    }

    fn print(&self, now: Time) -> String {
        format!("{:?} {}", self.lifetime.fingerprint(now), self.pending)
    }

    fn is_over(&self) -> bool {
        self.lifetime.fingerprint(Time::ZERO).state == "gone"
    }

    fn ignores(&self, input: &Input) -> bool {
        self.is_over() && matches!(input, Input::Step(_))
    }

    /// Its users leave, and there is no other address.
    fn closing(_: &mut Ids) -> Vec<Input> {
        let exhausted = lifetime::Input::Exhausted(OperationError::Timeout);
        [lifetime::Input::Unused, exhausted].map(Input::Step).into()
    }

    fn bound(config: &Config) -> Duration {
        let kept = config.unproven.max(config.linger).max(IDLE);
        config.authorization_timeout + kept + FLUSH
    }
}

/// A listener, until it is taken out of the table.
#[derive(Clone, Debug)]
pub(crate) struct Listening(Option<Listener>);

impl Subject for Listening {
    const MACHINE: Machine = listener::cells::MACHINE;
    const WAYS: usize = 2;
    const TIMERS: &'static [(&'static str, &'static [&'static str])] = &[];
    type Input = listener::Input;

    fn make(way: usize, services: &mut Services) -> Self {
        let (id, manager) = (services.ids.next(), services.ids.next());
        let transport = if way == 0 { Transport::Tcp } else { Transport::Tls };
        let wanted = address("0.0.0.0:0");
        Self(Some(Listener::new(
            id,
            manager,
            transport,
            wanted,
            &mut services.cx(),
        )))
    }

    fn inputs(_: &mut Ids) -> Vec<listener::Input> {
        use listener::Input as I;
        let got: SocketAddr = address("192.0.2.1:5060");
        vec![
            I::Started(Ok(got)),
            I::Started(Err(ListenError::AddressInUse)),
            I::Lost(ListenError::NoCertificate),
            I::Stop,
        ]
    }

    fn step(&mut self, input: listener::Input, services: &mut Services) -> Vec<String> {
        let Some(listener) = &mut self.0 else {
            return Vec::new();
        };
        let outcome = listener.step(input, &mut services.cx());
        if matches!(outcome, Some(listener::Outcome::Gone(_))) {
            self.0 = None;
        }
        outcome.iter().map(|outcome| format!("{outcome:?}")).collect()
    }

    fn fire(&mut self, key: TimerKey, _: &mut Services) -> Vec<String> {
        panic!("{key:?}")
    }

    fn print(&self, _: Time) -> String {
        format!("{:?}", self.0.as_ref().map(Listener::fingerprint))
    }

    fn is_over(&self) -> bool {
        self.0.is_none()
    }

    fn closing(_: &mut Ids) -> Vec<listener::Input> {
        vec![listener::Input::Stop]
    }

    fn bound(_: &Config) -> Duration {
        Duration::ZERO
    }
}

/// What a peer may send: messages, keep-alives and their answers, and what is neither.
fn piece() -> impl Strategy<Value = &'static [u8]> {
    prop_oneof![
        4 => Just(MESSAGE),
        3 => Just(&b"\r\n\r\n"[..]),
        3 => Just(&b"\r\n"[..]),
        1 => Just(&b"SIP/2.0 200 OK\r\nContent-Length: -1\r\n\r\n"[..]),
    ]
}

proptest! {
    // rules: X5, C26, C29
    #[test]
    fn law_3_bytes_in_any_pieces_give_the_same(
        pinged: bool,
        pieces in proptest::collection::vec(piece(), 0..8),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
    ) {
        let stream = pieces.concat();
        let run = |ends: &[usize]| {
            let (mut world, manager) = World::with(ManagerKind::ServerTcp);
            let (conn, mut from) = (world.accepted(manager), 0);
            world.actions();
            if pinged {
                world.go(|room, cx| room.send_ping(cx, conn, false)).unwrap();
            }
            for end in ends {
                world.receive(conn, &stream[from..*end]);
                from = *end;
            }
            // Nobody has looked yet: what is wanted and told is the same, whatever came when.
            let sent: Vec<u8> = world.room.transmit(conn).flatten().copied().collect();
            let print = world.room.fingerprint(world.services.now);
            (world.actions(), world.indications(), sent, print)
        };
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        ends.push(stream.len());
        ends.sort_unstable();
        prop_assert_eq!(run(&ends), run(&[stream.len()]));
    }
}
