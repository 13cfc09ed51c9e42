use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::auth::{AuthenticationFailure, AuthenticationFailureReason};
use crate::cells::Named;
use crate::connection::testing::Services;
use crate::entropy::Entropy;
use crate::event::ConnectionFailure;
use crate::ids::FromNumber;
use crate::wire::{Message, MessageLimits};

/// The machine with its services, at 100 s.
#[derive(Clone)]
struct Bench {
    services: Services,
    machine: Registration,
}

impl Bench {
    fn new(auto_refresh: bool) -> Self {
        Self {
            services: Services::new(),
            machine: Registration::new(EndpointId::from_number(1), auto_refresh),
        }
    }

    /// Without chance: a refused refresh is tried again after 2 s, a dropped connection at once. A binding of 8 s is
    /// refreshed at the floor of 5 s.
    fn exact(auto_refresh: bool) -> Self {
        let mut bench = Self::new(auto_refresh);
        bench.services.config.reconnect_jitter = Duration::ZERO;
        bench.services.config.backoff_min = Duration::from_secs(2);
        bench.services.config.backoff_max = Duration::from_secs(2);
        bench
    }

    fn seeded(seed: u64) -> Self {
        let mut bench = Self::new(true);
        bench.services.entropy = Entropy::new([u8::try_from(seed).unwrap(); 32]);
        bench
    }

    fn step(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.machine.step(&mut self.services.cx(), input, &mut effects);
        effects
    }

    fn due(&self) -> Option<Time> {
        assert!(self.services.timers.len() <= 1, "one timer at the most");
        self.services.timers.next().map(|(at, _)| at)
    }

    /// Lets the timer fire at its time; where none is set, at once.
    fn fire(&mut self) -> Vec<Effect> {
        if let Some((at, key)) = self.services.timers.pop_due(Time::MAX) {
            assert_eq!(key, TimerKey::Registration(EndpointId::from_number(1)));
            self.services.now = at;
        }
        self.step(Input::Fired)
    }

    fn wait(&self) -> Duration {
        self.due().unwrap().since(self.services.now)
    }

    /// The state, with how many operations wait in it and after it.
    fn name(&self) -> String {
        let print = self.machine.fingerprint(self.services.now);
        match print.waiting {
            (_, 0) => print.state.to_string(),
            (_, leaving) => format!("{} +{leaving}", print.state),
        }
    }

    fn show(&self, effects: &[Effect]) -> String {
        let effects: Vec<String> = effects.iter().map(show).collect();
        let timer = self.due().map_or_else(
            || "-".to_string(),
            |at| format!("{}", at.since(Time::ZERO).as_secs_f64()),
        );
        format!("{} | {} | {timer}", self.name(), effects.join(", "))
    }

    /// A machine in one of the states of the table.
    fn of(state: &str) -> Self {
        let mut bench = Self::exact(state != "no refresh");
        let path: &[&str] = match state {
            "unregistered" => &[],
            "registering" => &["register"],
            "registered" | "no refresh" => &["register", "accepted"],
            "brief" => &["register", "accepted briefly"],
            "refreshing" => &["register", "accepted", "fired"],
            "retrying" => &["register", "accepted", "fired", "refused"],
            "lapsed" => &["register", "accepted", "fired", "fired", "refused"],
            "lapsed, refreshing" => &["register", "accepted", "fired", "fired"],
            "dismissed" => &["register", "accepted", "fired", "deregistered"],
            "unregistering" => &["register", "accepted", "unregister"],
            other => panic!("{other}"),
        };
        for (number, input) in (1..).zip(path) {
            bench.take(input, number);
        }
        bench
    }

    fn take(&mut self, input: &str, operation: u64) -> Vec<Effect> {
        let operation = OperationId::from_number(operation);
        self.step(match input {
            "fired" => return self.fire(),
            "register" => Input::Register(operation),
            "unregister" => Input::Unregister(operation),
            "accepted" => accepted(8),
            "accepted briefly" => accepted(3),
            "accepted anew" => Input::Accepted {
                granted: Duration::from_secs(8),
                anew: true,
            },
            "missing" => Input::Missing(missing()),
            "refused" => Input::Refused(OperationError::Timeout),
            "credentials refused" => Input::Refused(credentials_refused()),
            "dropped, reconnect" => Input::Dropped(OnDrop::Reconnect(lost())),
            "dropped, give up" => Input::Dropped(OnDrop::GiveUp),
            "dropped, keep" => Input::Dropped(OnDrop::Keep),
            "network changed" => Input::NetworkChanged,
            "deregistered" => Input::Deregistered(RegistrationReason::UserMoved),
            other => panic!("{other}"),
        })
    }
}

fn show(effect: &Effect) -> String {
    match effect {
        Effect::SendRegister => "REGISTER".to_string(),
        Effect::SendUnregister => "REGISTER 0".to_string(),
        Effect::Changed { old, new, reason } => format!("{old:?}>{new:?} {reason:?}"),
        Effect::Forgotten => "forgotten".to_string(),
        Effect::Outage(_) => "outage".to_string(),
        Effect::Complete(operation, Ok(())) => format!("{operation} ok"),
        Effect::Complete(operation, Err(OperationError::Timeout)) => format!("{operation} timeout"),
        Effect::Complete(operation, Err(OperationError::Register { .. })) => format!("{operation} refused"),
        Effect::Complete(operation, Err(OperationError::Authentication { .. })) => {
            format!("{operation} credentials")
        }
        Effect::Complete(operation, Err(error)) => format!("{operation} {error:?}"),
    }
}

fn response(status: &str) -> alloc::boxed::Box<Message> {
    let text = format!(
        "SIP/2.0 {status}\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@example.com>;tag=1\r\n\
         To: <sip:a@example.com>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n"
    );
    Message::parse(Bytes::from(text), &MessageLimits::default())
        .unwrap()
        .into()
}

fn missing() -> OperationError {
    OperationError::Register {
        reason: RegistrationReason::Refused,
        response: response("200 OK"),
    }
}

fn credentials_refused() -> OperationError {
    let failure = AuthenticationFailure {
        reason: AuthenticationFailureReason::InvalidCredentials,
        realm: Some("example.com".into()),
        offered: Vec::new(),
        kerberos: None,
    };
    OperationError::Authentication {
        failure,
        response: response("401 Unauthorized"),
    }
}

/// A 2xx of a server that knew us, if it has to.
fn accepted(seconds: u64) -> Input {
    Input::Accepted {
        granted: Duration::from_secs(seconds),
        anew: false,
    }
}

fn lost() -> OperationError {
    OperationError::ConnectionFailure(ConnectionFailure::NotConnected)
}

const STATES: [&str; 11] = [
    "unregistered",
    "registering",
    "registered",
    "brief",
    "refreshing",
    "retrying",
    "no refresh",
    "lapsed",
    "lapsed, refreshing",
    "dismissed",
    "unregistering",
];

const INPUTS: [&str; 13] = [
    "register",
    "unregister",
    "accepted",
    "accepted anew",
    "missing",
    "refused",
    "credentials refused",
    "fired",
    "dropped, reconnect",
    "dropped, give up",
    "dropped, keep",
    "deregistered",
    "network changed",
];

/// State, input, and what follows: the next state, the effects in order, and when the timer fires. The operations before
/// are o1 and so on, the one of the input o9. All states are reached from 100 s on: a binding of 8 s (of 3 s in `brief`)
/// begins then, its refresh goes out at 105, is refused then (`retrying`), and the binding ends at 108 (`lapsed`). The server
/// of `dismissed` deregisters us at 105, before it answers.
#[rustfmt::skip]
const TABLE: &[(&str, &str, &str)] = &[
    ("unregistered", "register", "Registering | REGISTER, Unregistered>Registering None | -"),
    // R16: completes at once.
    ("unregistered", "unregister", "Unregistered | o9 ok | -"),
    ("unregistered", "accepted", "Unregistered |  | -"),
    ("unregistered", "accepted anew", "Unregistered |  | -"),
    ("unregistered", "missing", "Unregistered |  | -"),
    ("unregistered", "refused", "Unregistered |  | -"),
    ("unregistered", "credentials refused", "Unregistered |  | -"),
    ("unregistered", "fired", "Unregistered |  | -"),
    ("unregistered", "dropped, reconnect", "Unregistered |  | -"),
    ("unregistered", "dropped, give up", "Unregistered |  | -"),
    ("unregistered", "dropped, keep", "Unregistered |  | -"),
    ("unregistered", "deregistered", "Unregistered |  | -"),
    ("unregistered", "network changed", "Unregistered |  | -"),
    ("registering", "register", "Registering |  | -"),
    // R16: waits for the answer.
    ("registering", "unregister", "Registering +1 |  | -"),
    ("registering", "accepted", "Registered | Registering>Registered None, o1 ok | 105"),
    // R14 is about refreshes: whoever is new is not lost.
    ("registering", "accepted anew", "Registered | Registering>Registered None, o1 ok | 105"),
    // R21: treated as not registered.
    ("registering", "missing", "Unregistered | Registering>Unregistered Refused, o1 refused | -"),
    // R10: any failure ends a first registration.
    ("registering", "refused", "Unregistered | Registering>Unregistered Timeout, o1 timeout | -"),
    ("registering", "credentials refused", "Unregistered | Registering>Unregistered Credentials, o1 credentials | -"),
    ("registering", "fired", "Registering |  | -"),
    ("registering", "dropped, reconnect", "Registering |  | -"),
    ("registering", "dropped, give up", "Registering |  | -"),
    ("registering", "dropped, keep", "Registering |  | -"),
    // R13: the answer says what the server has.
    ("registering", "deregistered", "Registering |  | -"),
    ("registering", "network changed", "Registering |  | -"),
    ("registered", "register", "Registered |  | 105"),
    ("registered", "unregister", "Unregistering | REGISTER 0, Registered>Unregistering None | -"),
    ("registered", "accepted", "Registered |  | 105"),
    ("registered", "accepted anew", "Registered |  | 105"),
    ("registered", "missing", "Registered |  | 105"),
    ("registered", "refused", "Registered |  | 105"),
    ("registered", "credentials refused", "Registered |  | 105"),
    // R4; the timer is the end of the binding.
    ("registered", "fired", "Registered, refreshing | REGISTER | 108"),
    // R6.
    ("registered", "dropped, reconnect", "Registered | outage | 100"),
    // R5.
    ("registered", "dropped, give up", "Unregistered | Registered>Unregistered ConnectionDropped | -"),
    ("registered", "dropped, keep", "Registered |  | 105"),
    // R13.
    ("registered", "deregistered", "Unregistered | Registered>Unregistered UserMoved | -"),
    // R20: without jitter here, at once.
    ("registered", "network changed", "Registered |  | 100"),
    ("brief", "register", "Registered |  | 105"),
    ("brief", "unregister", "Unregistering | REGISTER 0, Registered>Unregistering None | -"),
    ("brief", "accepted", "Registered |  | 105"),
    ("brief", "accepted anew", "Registered |  | 105"),
    ("brief", "missing", "Registered |  | 105"),
    ("brief", "refused", "Registered |  | 105"),
    ("brief", "credentials refused", "Registered |  | 105"),
    // R21: a binding that ends before the floor is held for two of it, so that its refresh can be answered.
    ("brief", "fired", "Registered, refreshing | REGISTER | 110"),
    ("brief", "dropped, reconnect", "Registered | outage | 100"),
    ("brief", "dropped, give up", "Unregistered | Registered>Unregistered ConnectionDropped | -"),
    ("brief", "dropped, keep", "Registered |  | 105"),
    ("brief", "deregistered", "Unregistered | Registered>Unregistered UserMoved | -"),
    ("brief", "network changed", "Registered |  | 100"),
    ("refreshing", "register", "Registered, refreshing |  | 108"),
    ("refreshing", "unregister", "Registered, refreshing +1 |  | 108"),
    ("refreshing", "accepted", "Registered |  | 110"),
    // R14.
    ("refreshing", "accepted anew", "Registered | forgotten | 110"),
    ("refreshing", "missing", "Lapsed | outage, Registered>Unregistered RefreshFailed | 107"),
    // R10: tried again.
    ("refreshing", "refused", "Registered | outage | 107"),
    // A7: never in a loop.
    ("refreshing", "credentials refused", "Unregistered | outage, Registered>Unregistered Credentials | -"),
    // R10: exactly at the end of the binding, whatever is under way.
    ("refreshing", "fired", "Lapsed, refreshing | Registered>Unregistered RefreshFailed | -"),
    ("refreshing", "dropped, reconnect", "Registered, refreshing |  | 108"),
    ("refreshing", "dropped, give up", "Registered, refreshing |  | 108"),
    ("refreshing", "dropped, keep", "Registered, refreshing |  | 108"),
    // R13 and R20: never are two REGISTERs under way.
    ("refreshing", "deregistered", "Dismissed | Registered>Unregistered UserMoved | -"),
    // R20: never are two under way.
    ("refreshing", "network changed", "Registered, refreshing |  | 108"),
    ("retrying", "register", "Registered |  | 107"),
    ("retrying", "unregister", "Unregistering | REGISTER 0, Registered>Unregistering None | -"),
    ("retrying", "accepted", "Registered |  | 107"),
    ("retrying", "accepted anew", "Registered |  | 107"),
    ("retrying", "missing", "Registered |  | 107"),
    ("retrying", "refused", "Registered |  | 107"),
    ("retrying", "credentials refused", "Registered |  | 107"),
    ("retrying", "fired", "Registered, refreshing | REGISTER | 108"),
    // R7: the back-off is kept, and the outage is known.
    ("retrying", "dropped, reconnect", "Registered |  | 107"),
    ("retrying", "dropped, give up", "Unregistered | Registered>Unregistered ConnectionDropped | -"),
    ("retrying", "dropped, keep", "Registered |  | 107"),
    ("retrying", "deregistered", "Unregistered | Registered>Unregistered UserMoved | -"),
    ("retrying", "network changed", "Registered |  | 105"),
    ("no refresh", "register", "Registered, refresh disabled |  | 108"),
    ("no refresh", "unregister", "Unregistering | REGISTER 0, Registered>Unregistering None | -"),
    ("no refresh", "accepted", "Registered, refresh disabled |  | 108"),
    ("no refresh", "accepted anew", "Registered, refresh disabled |  | 108"),
    ("no refresh", "missing", "Registered, refresh disabled |  | 108"),
    ("no refresh", "refused", "Registered, refresh disabled |  | 108"),
    ("no refresh", "credentials refused", "Registered, refresh disabled |  | 108"),
    ("no refresh", "fired", "Unregistered | Registered>Unregistered RefreshFailed | -"),
    ("no refresh", "dropped, reconnect", "Registered, refresh disabled |  | 108"),
    ("no refresh", "dropped, give up", "Unregistered | Registered>Unregistered ConnectionDropped | -"),
    ("no refresh", "dropped, keep", "Registered, refresh disabled |  | 108"),
    ("no refresh", "deregistered", "Unregistered | Registered>Unregistered UserMoved | -"),
    // R5: nothing is sent by itself.
    ("no refresh", "network changed", "Registered, refresh disabled |  | 108"),
    // R2: Unregistered, as the application sees it.
    ("lapsed", "register", "Registering | REGISTER, Unregistered>Registering None | -"),
    ("lapsed", "unregister", "Unregistered | o9 ok | -"),
    ("lapsed", "accepted", "Lapsed |  | 110"),
    ("lapsed", "accepted anew", "Lapsed |  | 110"),
    ("lapsed", "missing", "Lapsed |  | 110"),
    ("lapsed", "refused", "Lapsed |  | 110"),
    ("lapsed", "credentials refused", "Lapsed |  | 110"),
    // R10: and still retried.
    ("lapsed", "fired", "Lapsed, refreshing | REGISTER | -"),
    ("lapsed", "dropped, reconnect", "Lapsed |  | 110"),
    ("lapsed", "dropped, give up", "Lapsed |  | 110"),
    ("lapsed", "dropped, keep", "Lapsed |  | 110"),
    ("lapsed", "deregistered", "Lapsed |  | 110"),
    ("lapsed", "network changed", "Lapsed |  | 108"),
    // R20: never are two under way.
    ("lapsed, refreshing", "register", "Registering | Unregistered>Registering None | -"),
    ("lapsed, refreshing", "unregister", "Lapsed, refreshing +1 |  | -"),
    ("lapsed, refreshing", "accepted", "Registered | Unregistered>Registered None | 113"),
    ("lapsed, refreshing", "accepted anew", "Registered | Unregistered>Registered None, forgotten | 113"),
    ("lapsed, refreshing", "missing", "Lapsed | outage | 110"),
    ("lapsed, refreshing", "refused", "Lapsed | outage | 110"),
    ("lapsed, refreshing", "credentials refused", "Unregistered | outage | -"),
    ("lapsed, refreshing", "fired", "Lapsed, refreshing |  | -"),
    ("lapsed, refreshing", "dropped, reconnect", "Lapsed, refreshing |  | -"),
    ("lapsed, refreshing", "dropped, give up", "Lapsed, refreshing |  | -"),
    ("lapsed, refreshing", "dropped, keep", "Lapsed, refreshing |  | -"),
    ("lapsed, refreshing", "deregistered", "Lapsed, refreshing |  | -"),
    ("lapsed, refreshing", "network changed", "Lapsed, refreshing |  | -"),
    // As in `lapsed, refreshing`: the REGISTER under way answers the command.
    ("dismissed", "register", "Registering | Unregistered>Registering None | -"),
    ("dismissed", "unregister", "Dismissed +1 |  | -"),
    // What the server says last counts.
    ("dismissed", "accepted", "Registered | Unregistered>Registered None | 110"),
    ("dismissed", "accepted anew", "Registered | Unregistered>Registered None, forgotten | 110"),
    // R13: whoever was deregistered is not tried again, and knows already.
    ("dismissed", "missing", "Unregistered |  | -"),
    ("dismissed", "refused", "Unregistered |  | -"),
    ("dismissed", "credentials refused", "Unregistered |  | -"),
    ("dismissed", "fired", "Dismissed |  | -"),
    ("dismissed", "dropped, reconnect", "Dismissed |  | -"),
    ("dismissed", "dropped, give up", "Dismissed |  | -"),
    ("dismissed", "dropped, keep", "Dismissed |  | -"),
    ("dismissed", "deregistered", "Dismissed |  | -"),
    // R20, R13: the answer under way says what the server has.
    ("dismissed", "network changed", "Dismissed |  | -"),
    ("unregistering", "register", "Unregistering |  | -"),
    ("unregistering", "unregister", "Unregistering |  | -"),
    // R16: always ends in Unregistered, whatever the answer.
    ("unregistering", "accepted", "Unregistered | Unregistering>Unregistered None, o3 ok | -"),
    ("unregistering", "accepted anew", "Unregistered | Unregistering>Unregistered None, o3 ok | -"),
    ("unregistering", "missing", "Unregistered | Unregistering>Unregistered None, o3 ok | -"),
    ("unregistering", "refused", "Unregistered | Unregistering>Unregistered None, o3 timeout | -"),
    ("unregistering", "credentials refused", "Unregistered | Unregistering>Unregistered None, o3 credentials | -"),
    ("unregistering", "fired", "Unregistering |  | -"),
    ("unregistering", "dropped, reconnect", "Unregistering |  | -"),
    ("unregistering", "dropped, give up", "Unregistering |  | -"),
    ("unregistering", "dropped, keep", "Unregistering |  | -"),
    // R16: is to be unregistered, and will be.
    ("unregistering", "deregistered", "Unregistering |  | -"),
    ("unregistering", "network changed", "Unregistering |  | -"),
];

/// A state or an input of the machine that has no row here fails this.
#[test]
fn the_table_has_every_state_and_every_input_of_the_machine() {
    let all = |names: &[&'static str]| names.iter().copied().collect::<BTreeSet<_>>();
    let states = STATES.map(|state| Bench::of(state).machine.state.name());
    assert_eq!(all(&states), all(cells::MACHINE.states));
    let inputs = INPUTS.map(|input| {
        let mut bench = Bench::of("unregistered");
        bench.take(input, 1);
        let visited: Vec<_> = bench.services.cells.iter().collect();
        let [(cell, 1)] = visited[..] else {
            panic!("{visited:?}")
        };
        cell.input
    });
    assert_eq!(all(&inputs), all(cells::MACHINE.inputs));
}

// rules: R1, R2, R4, R5, R6, R7, R10, R13, R14, R16, R20, R21, A7
#[test]
fn every_state_takes_every_input_as_the_table_says() {
    let mut rows = TABLE.iter();
    for state in STATES {
        for input in INPUTS {
            let (named_state, named_input, expected) = rows.next().unwrap();
            assert_eq!(
                (state, input),
                (*named_state, *named_input),
                "the next row of the table"
            );
            let mut bench = Bench::of(state);
            let effects = bench.take(input, 9);
            assert_eq!(bench.show(&effects), *expected, "{state}, {input}");
        }
    }
    assert_eq!(rows.next(), None);
}

// rules: R20, R7
#[test]
fn a_change_of_the_network_starts_the_back_off_anew() {
    let wait_after = |inputs: &[&str]| {
        let mut bench = Bench::of("registered");
        bench.services.config.backoff_min = Duration::from_secs(1);
        bench.services.config.backoff_max = Duration::from_secs(64);
        for input in inputs {
            bench.take(input, 9);
        }
        bench.wait()
    };
    let long = ["fired", "refused"].repeat(7);
    let short = Duration::from_secs(1)..=Duration::from_secs(2);
    assert!(wait_after(&long) >= Duration::from_secs(32));
    assert!(short.contains(&wait_after(&["fired", "refused"])));
    // Between two attempts, and while one is under way.
    let between = [&long[..], &["network changed", "fired", "refused"]].concat();
    let during = [&long[..], &["fired", "network changed", "refused"]].concat();
    assert!(short.contains(&wait_after(&between)) && short.contains(&wait_after(&during)));
}

fn after(state: &str, inputs: &[&str]) -> String {
    let mut bench = Bench::of(state);
    let effects: Vec<Effect> = (9..)
        .zip(inputs)
        .flat_map(|(number, input)| bench.take(input, number))
        .collect();
    bench.show(&effects)
}

// rules: R16, X3
#[test]
fn unregister_waits_for_the_answer_under_way_and_then_goes_out() {
    let cases: &[(&str, &[&str], &str)] = &[
        (
            "registering",
            &["unregister", "accepted"],
            "Unregistering | Registering>Registered None, o1 ok, REGISTER 0, Registered>Unregistering None | -",
        ),
        // The server does not have us: there is nothing to remove.
        (
            "registering",
            &["unregister", "refused"],
            "Unregistered | Registering>Unregistered Timeout, o1 timeout, o9 ok | -",
        ),
        (
            "registering",
            &["unregister", "missing"],
            "Unregistered | Registering>Unregistered Refused, o1 refused, o9 ok | -",
        ),
        (
            "refreshing",
            &["unregister", "accepted"],
            "Unregistering | REGISTER 0, Registered>Unregistering None | -",
        ),
        // The old binding may still be there. Who leaves hears of no outage.
        (
            "refreshing",
            &["unregister", "refused"],
            "Unregistering | REGISTER 0, Registered>Unregistering None | -",
        ),
        (
            "refreshing",
            &["unregister", "missing"],
            "Unregistered | Registered>Unregistered RefreshFailed, o9 ok | -",
        ),
        // The binding ends first: the answer is still waited for, since it may make a new one.
        (
            "refreshing",
            &["unregister", "fired", "accepted"],
            "Unregistering | Registered>Unregistered RefreshFailed, Unregistered>Registered None, REGISTER 0, \
             Registered>Unregistering None | -",
        ),
        (
            "refreshing",
            &["unregister", "fired", "refused"],
            "Unregistered | Registered>Unregistered RefreshFailed, o9 ok | -",
        ),
        (
            "lapsed, refreshing",
            &["unregister", "refused"],
            "Unregistered | o9 ok | -",
        ),
        // The later command counts.
        (
            "lapsed, refreshing",
            &["unregister", "register", "accepted"],
            "Registered | Unregistered>Registering None, o9 ok, Registering>Registered None, o10 ok | 113",
        ),
        // Deregistered meanwhile (R13): what there is to remove, the answer says.
        (
            "refreshing",
            &["unregister", "deregistered", "refused"],
            "Unregistered | Registered>Unregistered UserMoved, o9 ok | -",
        ),
        (
            "refreshing",
            &["unregister", "deregistered", "accepted"],
            "Unregistering | Registered>Unregistered UserMoved, Unregistered>Registered None, REGISTER 0, \
             Registered>Unregistering None | -",
        ),
        (
            "dismissed",
            &["register", "refused"],
            "Unregistered | Unregistered>Registering None, Registering>Unregistered Timeout, o9 timeout | -",
        ),
        (
            "unregistering",
            &["unregister", "unregister", "accepted"],
            "Unregistered | Unregistering>Unregistered None, o3 ok, o9 ok, o10 ok | -",
        ),
        (
            "refreshing",
            &["unregister", "unregister", "accepted", "accepted"],
            "Unregistered | REGISTER 0, Registered>Unregistering None, Unregistering>Unregistered None, o9 ok, o10 ok | -",
        ),
    ];
    for (state, inputs, expected) in cases {
        assert_eq!(after(state, inputs), *expected, "{state}, {inputs:?}");
    }
}

// rules: R2
#[test]
fn register_is_legal_only_while_the_application_sees_unregistered() {
    for state in STATES {
        let bench = Bench::of(state);
        let legal = bench.machine.state() == RegistrationState::Unregistered;
        assert_eq!(bench.machine.may_register().is_ok(), legal, "{state}");
        assert_eq!(
            legal,
            ["unregistered", "lapsed", "lapsed, refreshing", "dismissed"].contains(&state),
            "{state}"
        );
    }
}

// rules: R4, R21
#[test]
fn a_refresh_always_comes_before_the_expiry_and_never_sooner_than_the_floor() {
    let expiries = (1..=400).chain([600, 900, 1800, 3600, 7200, 86_400, 604_800, u64::from(u32::MAX)]);
    for expiry in expiries {
        let granted = Duration::from_secs(expiry);
        let mut waits = Vec::new();
        for seed in 0..24 {
            let mut bench = Bench::seeded(seed);
            bench.step(Input::Register(OperationId::from_number(1)));
            bench.step(accepted(expiry));
            if expiry <= 5 {
                // There is no time between the floor and the expiry: the refresh comes at the floor (R21).
                assert_eq!(bench.wait(), Duration::from_secs(5));
                assert_eq!(bench.fire(), [Effect::SendRegister]);
                assert_eq!(bench.machine.state(), RegistrationState::Registered);
                continue;
            }
            let wait = bench.wait();
            assert!(
                wait < granted && wait >= Duration::from_secs(5),
                "{wait:?} of {granted:?}"
            );
            // Bindings of a minute and more leave half a minute for what goes wrong.
            assert!(
                expiry < 60 || granted - wait >= Duration::from_secs(30),
                "{wait:?} of {granted:?}"
            );
            // And none is refreshed much more often than it has to be.
            assert!(
                wait >= granted / 3 || wait == Duration::from_secs(5),
                "{wait:?} of {granted:?}"
            );
            waits.push(wait);
        }
        waits.sort_unstable();
        waits.dedup();
        // A fleet that was registered at one time does not refresh at one time.
        assert!(
            expiry < 60 || waits.len() > 20,
            "{expiry}: {} different times",
            waits.len()
        );
    }
}

// rules: R7, R10, E12
#[test]
fn a_refused_refresh_is_not_tried_again_before_the_servers_retry_after() {
    let refused = |seconds: u32| {
        let bytes = format!(
            "SIP/2.0 503 Busy\r\nVia: SIP/2.0/TCP a;branch=z9hG4bKa\r\nFrom: <sip:a@b>;tag=a\r\nTo: <sip:a@b>;tag=b\r\n\
             Call-ID: 1\r\nCSeq: 1 REGISTER\r\nRetry-After: {seconds}\r\nContent-Length: 0\r\n\r\n"
        );
        let response = Message::parse(Bytes::from(bytes), &MessageLimits::default()).unwrap();
        let (reason, response) = (RegistrationReason::Refused, alloc::boxed::Box::new(response));
        Input::Refused(OperationError::Register { reason, response })
    };
    // The back-off would be 2 s, and nobody waits for longer than five minutes.
    for (seconds, waits) in [(1, 2), (40, 40), (300, 300), (4000, 300)] {
        let mut bench = Bench::exact(true);
        bench.step(Input::Register(OperationId::from_number(1)));
        bench.step(accepted(100_000));
        assert_eq!(bench.fire(), [Effect::SendRegister]);
        bench.step(refused(seconds));
        assert_eq!(bench.wait(), Duration::from_secs(waits), "{seconds}");
    }
}

// rules: R4, R5, R21
#[test]
fn a_binding_that_ends_before_the_floor_is_lost_only_when_its_refresh_is() {
    for expiry in 1..=5 {
        let mut bench = Bench::exact(true);
        bench.step(Input::Register(OperationId::from_number(1)));
        bench.step(accepted(expiry));
        for round in 1..=100 {
            assert_eq!(
                bench.due(),
                Some(Time::from_secs(100 + 5 * round)),
                "one every 5 s"
            );
            assert_eq!(bench.fire(), [Effect::SendRegister]);
            assert_eq!(bench.step(accepted(expiry)), [], "and no change of state");
        }
        // Unanswered it ends when it has been held for two floors.
        assert_eq!(bench.fire(), [Effect::SendRegister]);
        assert_eq!(bench.due(), Some(Time::from_secs(100 + 500 + 10)));
        bench.fire();
        assert_eq!(bench.machine.state(), RegistrationState::Unregistered);
        // Nothing refreshes it where refresh is disabled: it ends when it ends.
        let mut bench = Bench::exact(false);
        bench.step(Input::Register(OperationId::from_number(1)));
        bench.step(accepted(expiry));
        assert_eq!(bench.due(), Some(Time::from_secs(100 + expiry)));
    }
    // The first that leaves time for a refresh before its end is as long as it is.
    let mut bench = Bench::exact(true);
    bench.step(Input::Register(OperationId::from_number(1)));
    bench.step(accepted(6));
    assert_eq!(bench.due(), Some(Time::from_secs(105)));
    assert_eq!(bench.fire(), [Effect::SendRegister]);
    assert_eq!(bench.due(), Some(Time::from_secs(106)));
}

// rules: R7, R10
#[test]
fn refused_refreshes_back_off_within_the_bounds_and_tell_of_one_outage() {
    let mut seen = Vec::new();
    for seed in 0..64 {
        let mut bench = Bench::seeded(seed);
        bench.step(Input::Register(OperationId::from_number(1)));
        bench.step(accepted(100_000));
        for stretch in 0..2 {
            assert_eq!(bench.fire(), [Effect::SendRegister], "{stretch}");
            for failure in 0..12_u32 {
                let effects = bench.step(Input::Refused(OperationError::Timeout));
                let outage = [Effect::Outage(OperationError::Timeout)];
                assert_eq!(effects, if failure == 0 { &outage[..] } else { &[] });
                let wait = bench.wait();
                assert!(wait >= Duration::from_secs(1) && wait <= Duration::from_secs(64));
                let least = Duration::from_secs(1 << failure.min(5));
                assert!(wait >= least && wait <= least * 2, "{failure}: {wait:?}");
                seen.push((failure, wait));
                assert_eq!(bench.fire(), [Effect::SendRegister]);
            }
            // A success resets it.
            assert_eq!(bench.step(accepted(100_000)), []);
        }
    }
    for failure in 0..12 {
        let mut waits: Vec<_> = seen.iter().filter(|(number, _)| *number == failure).collect();
        waits.sort_unstable();
        waits.dedup();
        assert!(waits.len() > 60, "jitter: {failure}");
    }
}

// rules: R6, R7
#[test]
fn a_dropped_connection_is_made_anew_after_a_jitter_and_then_backs_off() {
    let mut waits = Vec::new();
    for seed in 0..200 {
        let mut bench = Bench::seeded(seed);
        bench.step(Input::Register(OperationId::from_number(1)));
        bench.step(accepted(3600));
        assert_eq!(
            bench.step(Input::Dropped(OnDrop::Reconnect(lost()))),
            [Effect::Outage(lost())]
        );
        let wait = bench.wait();
        assert!(wait <= Duration::from_secs(2));
        waits.push(wait);
        assert_eq!(bench.fire(), [Effect::SendRegister]);
        // No second event for the same stretch, and the first back-off.
        assert_eq!(bench.step(Input::Refused(lost())), []);
        assert!(bench.wait() >= Duration::from_secs(1) && bench.wait() <= Duration::from_secs(2));
        let due = bench.due();
        assert_eq!(bench.step(Input::Dropped(OnDrop::Reconnect(lost()))), []);
        assert_eq!(
            bench.due(),
            due,
            "a connection that is made and lost does not hasten the next attempt"
        );
        bench.fire();
        assert_eq!(bench.step(accepted(3600)), []);
        // The next loss is a new stretch.
        assert_eq!(
            bench.step(Input::Dropped(OnDrop::Reconnect(lost()))),
            [Effect::Outage(lost())]
        );
    }
    waits.sort_unstable();
    // Uniform over 0 to 2 s: each quarter has its share.
    for quarter in 0..4 {
        let range = Duration::from_millis(500 * quarter)..Duration::from_millis(500 * (quarter + 1));
        let share = waits.iter().filter(|wait| range.contains(wait)).count();
        assert!((25..=75).contains(&share), "{quarter}: {share} of 200");
    }
}

// rules: X7
#[test]
fn a_refresh_that_fails_is_counted_whatever_has_become_of_the_registration() {
    for (state, input) in [
        ("refreshing", "refused"),
        ("refreshing", "missing"),
        ("refreshing", "credentials refused"),
        ("lapsed, refreshing", "refused"),
        ("lapsed, refreshing", "credentials refused"),
        ("dismissed", "refused"),
    ] {
        let mut bench = Bench::of(state);
        bench.services.counters.registrations.refresh_failed = 5;
        bench.take(input, 9);
        let failed = bench.services.counters.registrations.refresh_failed;
        assert_eq!(failed, 6, "{state}, {input}");
    }
}

// rules: R20
#[test]
fn a_fleet_that_changes_its_network_spreads() {
    // Registered, and between two attempts.
    for path in [&[][..], &["fired", "fired", "refused"]] {
        let waits: BTreeSet<Duration> = (0..64)
            .map(|seed| {
                let mut bench = Bench::seeded(seed);
                bench.take("register", 1);
                bench.take("accepted", 1);
                for input in path {
                    bench.take(input, 1);
                }
                assert_eq!(bench.take("network changed", 1), []);
                bench.wait()
            })
            .collect();
        assert!(waits.len() > 60 && *waits.last().unwrap() <= Duration::from_secs(2));
    }
}

// rules: R7, R10
#[test]
fn a_binding_that_ends_before_the_next_attempt_is_told_of_then_and_hastens_nothing() {
    let changed = Effect::Changed {
        old: RegistrationState::Registered,
        new: RegistrationState::Unregistered,
        reason: RegistrationReason::RefreshFailed,
    };
    // A binding of 8 s is refreshed, and refused, after 5 s.
    for (backoff, at_the_end, next) in [
        (3, vec![Effect::SendRegister, changed.clone()], None),
        (4, vec![changed], Some(Time::from_secs(109))),
    ] {
        let mut bench = Bench::exact(true);
        bench.services.config.backoff_min = Duration::from_secs(backoff);
        bench.services.config.backoff_max = Duration::from_secs(backoff);
        for input in ["register", "accepted", "fired", "refused"] {
            bench.take(input, 1);
        }
        assert_eq!(bench.due(), Some(Time::from_secs(108)));
        assert_eq!(bench.fire(), at_the_end);
        assert_eq!(bench.due(), next);
        if next.is_some() {
            assert_eq!(bench.fire(), [Effect::SendRegister]);
        }
    }
}

// rules: R7, R10
#[test]
fn refresh_failed_is_told_exactly_at_the_end_of_the_binding() {
    for seed in 0..64 {
        let mut bench = Bench::seeded(seed);
        bench.step(Input::Register(OperationId::from_number(1)));
        bench.step(accepted(120));
        let end = Time::from_secs(220);
        let (mut outages, mut attempts) = (0, 0);
        // Half of the attempts are refused at once, half never answered before the next deadline.
        while bench.machine.state() == RegistrationState::Registered {
            let effects = bench.fire();
            let failed = effects
                .iter()
                .any(|effect| matches!(effect, Effect::Changed { .. }));
            assert_eq!(
                failed,
                bench.services.now == end,
                "{effects:?} at {}",
                bench.services.now
            );
            if failed {
                let changed = Effect::Changed {
                    old: RegistrationState::Registered,
                    new: RegistrationState::Unregistered,
                    reason: RegistrationReason::RefreshFailed,
                };
                assert_eq!(effects.last(), Some(&changed));
            }
            attempts += 1;
            if !failed && (seed % 2 == 0 || attempts < 3) {
                outages += bench.step(Input::Refused(OperationError::Timeout)).len();
            }
        }
        assert_eq!(outages, 1);
        // And still retried.
        if bench.machine.awaits_answer() {
            bench.step(Input::Refused(OperationError::Timeout));
        }
        assert!(bench.wait() <= Duration::from_secs(64));
        assert_eq!(bench.fire(), [Effect::SendRegister]);
        let effects = bench.step(accepted(120));
        assert_eq!(
            effects.iter().map(show).collect::<Vec<_>>(),
            ["Unregistered>Registered None"]
        );
    }
}

// rules: R8
#[test]
fn failures_have_their_reasons() {
    let authentication = |reason| OperationError::Authentication {
        failure: AuthenticationFailure {
            reason,
            realm: None,
            offered: Vec::new(),
            kerberos: None,
        },
        response: response("401 Unauthorized"),
    };
    let cases = [
        (OperationError::Timeout, RegistrationReason::Timeout),
        (lost(), RegistrationReason::ConnectionFailure),
        (
            authentication(AuthenticationFailureReason::InvalidCredentials),
            RegistrationReason::Credentials,
        ),
        (
            authentication(AuthenticationFailureReason::MissingCredentials),
            RegistrationReason::Credentials,
        ),
        (
            authentication(AuthenticationFailureReason::NoCommonProtocols),
            RegistrationReason::Authentication,
        ),
        (
            OperationError::Register {
                reason: RegistrationReason::UnauthorizedAccess,
                response: response("403 Forbidden"),
            },
            RegistrationReason::UnauthorizedAccess,
        ),
    ];
    for (error, expected) in cases {
        let mut bench = Bench::of("registering");
        let effects = bench.step(Input::Refused(error.clone()));
        let changed = Effect::Changed {
            old: RegistrationState::Registering,
            new: RegistrationState::Unregistered,
            reason: expected,
        };
        assert_eq!(
            effects,
            [changed, Effect::Complete(OperationId::from_number(1), Err(error))]
        );
    }
}

#[test]
fn a_machine_that_is_dropped_leaves_no_timer() {
    for state in STATES {
        let mut bench = Bench::of(state);
        bench.machine.stop(&mut bench.services.cx());
        assert_eq!(bench.due(), None, "{state}");
        assert!(!bench.machine.is_bound());
    }
}

#[test]
fn fingerprints_tell_states_apart_and_nothing_else() {
    let print = |state: &str, later: u64| {
        let mut bench = Bench::exact(state != "no refresh");
        bench.services.now = bench.services.now + Duration::from_secs(later);
        let mut other = Bench::of(state);
        if later > 0 {
            // The same way with other operations, an hour later.
            let path = ["register", "accepted"];
            for (number, input) in (70..).zip(path) {
                bench.take(input, number);
            }
            other = bench;
        }
        other.machine.fingerprint(other.services.now)
    };
    let all: Vec<_> = STATES.iter().map(|state| print(state, 0)).collect();
    for (place, one) in all.iter().enumerate() {
        assert_eq!(
            all.iter().filter(|other| *other == one).count(),
            1,
            "{}",
            STATES[place]
        );
    }
    assert_eq!(print("registered", 3600), print("registered", 0));
}

proptest! {
    // rules: R1, R7, R16, R20, X3
    #[test]
    fn whatever_happens_one_register_is_under_way_and_every_operation_completes_once(
        seed: u8,
        auto_refresh: bool,
        inputs in proptest::collection::vec(0..INPUTS.len(), 0..60),
    ) {
        let mut bench = Bench::new(auto_refresh);
        bench.services.entropy = Entropy::new([seed; 32]);
        let (mut under_way, mut seen) = (0, RegistrationState::Unregistered);
        let (mut asked, mut completed) = (vec![], vec![]);
        let mut inputs: Vec<&str> = inputs.into_iter().map(|input| INPUTS[input]).collect();
        // At the end the application unregisters, and the server answers.
        inputs.extend(["unregister", "accepted", "accepted"]);
        for (number, input) in (1..).zip(inputs) {
            match input {
                // What the embedder cannot do, or the endpoint refuses (R2).
                "register" if bench.machine.may_register().is_err() => continue,
                "accepted" | "accepted anew" | "missing" | "refused" | "credentials refused"
                    if under_way == 0 => continue,
                "dropped, reconnect" if !auto_refresh => continue,
                "fired" if bench.due().is_none() => continue,
                "register" | "unregister" => asked.push(OperationId::from_number(number)),
                "accepted" | "accepted anew" | "missing" | "refused" | "credentials refused" => under_way -= 1,
                _ => {}
            }
            for effect in bench.take(input, number) {
                match effect {
                    Effect::SendRegister | Effect::SendUnregister => under_way += 1,
                    Effect::Changed { old, new, .. } => {
                        prop_assert_eq!(old, seen);
                        prop_assert_ne!(old, new);
                        seen = new;
                    }
                    Effect::Complete(operation, _) => completed.push(operation),
                    // One event tells that the server has us anew, while it has (R14).
                    Effect::Forgotten => prop_assert_eq!(seen, RegistrationState::Registered),
                    Effect::Outage(_) => {}
                }
                prop_assert!(under_way <= 1);
            }
            prop_assert_eq!(bench.machine.state(), seen);
        }
        asked.sort_unstable();
        completed.sort_unstable();
        prop_assert_eq!(asked, completed);
        prop_assert_eq!((bench.machine.state(), bench.due()), (RegistrationState::Unregistered, None));
        prop_assert!(!bench.machine.is_bound());
    }
}
