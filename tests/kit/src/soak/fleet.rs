//! A fleet: so many endpoints lose their server at one instant (rules R4, R6, R7, E12).
//!
//! The server is away for a while, and when it is back it has time for some registrations in each second only. What is
//! seen from outside has to be what is stated: first attempts evenly within the jitter, each further one within the
//! bounds of the back-off, none before the Retry-After of the server; and all are registered again, each once.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use sansip::security::{Credentials, Secret};
use sansip::{Config, Event, RegistrationState, Server, SipEndpointConfig, Time, Transport};

use super::recovery::Recoveries;
use super::{Objection, watch};
use crate::frontend::{FrontEndConfig, FrontEndEvent, Manner, Memory};
use crate::world::{Endpoint, FrontEndId, Reachability, StackId, World};

/// How many endpoints live on one host, at most.
const ON_A_HOST: usize = 10_000;

/// One endpoint in so many asks for its server by a name of its own, by which its connections are told apart.
const PROBED: usize = 10;

/// How long the server is away.
const AWAY: Duration = Duration::from_secs(20);

/// The bounds of the Retry-After of a server that has no time.
const RETRY_AFTER: std::ops::RangeInclusive<u32> = 5..=60;

/// When it is back, the server could take the whole fleet in about so many seconds.
const PACE: usize = 30;

/// Everybody is registered again so soon after the server is back: who had no luck waits for one Retry-After or one
/// back-off after the other, and in each such round the crowd is smaller by what the server has taken meanwhile.
const PATIENCE: Duration = Duration::from_secs(300);

/// From one host to another and back.
const ROUND_TRIP: Duration = Duration::from_millis(20);

/// Into so many parts of equal length a time is cut to see that something is spread evenly over it.
const PARTS: usize = 20;

/// Which fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// How many endpoints it has.
    pub endpoints: usize,
    /// What the entropy of its world is made of.
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Regained {
    /// How many lost their server, and are registered again.
    pub endpoints: usize,
    /// How many first attempts fell into each part of the jitter's time.
    pub first: Vec<usize>,
    /// How long endpoints that could be told apart waited for each further attempt: the least and the most.
    pub waits: Vec<(Duration, Duration)>,
    /// Attempts in each second after the loss.
    pub attempts: Vec<usize>,
    /// How many were registered in each second after the loss.
    pub registered: Vec<usize>,
    /// How often somebody was told to come again later.
    pub put_off: usize,
    /// How often most one endpoint was told so.
    pub most_put_off: usize,
    /// How long endpoints were out of reach.
    pub recoveries: Recoveries,
}

impl fmt::Display for Regained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |name, counts: &[usize], f: &mut fmt::Formatter<'_>| {
            write!(f, "{name}:")?;
            counts.iter().try_for_each(|count| write!(f, " {count}"))?;
            writeln!(f)
        };
        writeln!(
            f,
            "{} endpoints lost their server and are registered again",
            self.endpoints
        )?;
        row("first attempts, by twentieths of the jitter", &self.first, f)?;
        for (number, (least, most)) in self.waits.iter().enumerate() {
            let (least, most) = (least.as_secs_f64(), most.as_secs_f64());
            writeln!(f, "back-off {}: {least:.3} s to {most:.3} s", number + 1)?;
        }
        row("connections asked for in each second", &self.attempts, f)?;
        row("registered in each second", &self.registered, f)?;
        writeln!(
            f,
            "told to come again later: {} times, one endpoint {} times at most",
            self.put_off, self.most_put_off
        )?;
        write!(f, "{}", self.recoveries)
    }
}

/// Something that was not as it is stated.
#[derive(Clone, Debug)]
pub struct Unfit {
    fleet: Fleet,
    message: String,
    tail: String,
}

impl fmt::Display for Unfit {
    /// All that somebody needs who looks for the cause, with the command that shows it again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fleet { endpoints, seed } = self.fleet;
        writeln!(f, "{}", self.tail)?;
        writeln!(f, "seed {seed}: {}", self.message)?;
        write!(
            f,
            "again: cargo run --release -p sansip-testkit --bin soak -- --fleet {endpoints} --seed {seed}"
        )
    }
}

impl std::error::Error for Unfit {}

/// Lets a fleet lose its server, twice, and compares.
///
/// # Errors
/// Something was not as it is stated, or the two runs differ.
pub fn run(fleet: Fleet) -> Result<Regained, Box<Unfit>> {
    let once = || {
        watch(World::lasting(fleet.seed), |world| {
            Lost::new(world, fleet).regain()
        })
    };
    let unfit = |message, tail| Box::new(Unfit { fleet, message, tail });
    let objected = |Objection { message, tail }| unfit(message, tail);
    let (one, other) = (once().map_err(objected)?, once().map_err(objected)?);
    if one.trace == other.trace {
        Ok(one.come)
    } else {
        Err(unfit(String::from("two runs differ"), other.tail))
    }
}

struct Lost<'a> {
    world: &'a mut World,
    fleet: Fleet,
    config: Config,
    server: FrontEndId,
    hosts: Vec<StackId>,
    members: Vec<Endpoint>,
    /// When each was told to come again, by its address of record.
    not_before: BTreeMap<String, (Time, usize)>,
    came: Regained,
}

impl<'a> Lost<'a> {
    fn new(world: &'a mut World, fleet: Fleet) -> Self {
        let mut settings = FrontEndConfig::new("example.com");
        for number in 0..fleet.endpoints {
            settings = settings.with_user(user(number), "secret");
        }
        world.watched = false;
        let server = world.front_end(settings);
        world.names.set_ttl(Duration::from_secs(24 * 3600));
        let mut config = Config::default();
        config.limits.dns_cache = ON_A_HOST;
        Self {
            world,
            fleet,
            config,
            server,
            hosts: Vec::new(),
            members: Vec::new(),
            not_before: BTreeMap::new(),
            came: Regained {
                endpoints: fleet.endpoints,
                ..Regained::default()
            },
        }
    }

    fn regain(mut self) -> Regained {
        self.enroll();
        self.lose();
        self.stay_away();
        self.come_back();
        self.came
    }

    /// Everybody registers, within a minute.
    fn enroll(&mut self) {
        let begun = self.world.now();
        for number in 0..self.fleet.endpoints {
            if number.is_multiple_of(ON_A_HOST.min(self.fleet.endpoints.div_ceil(2))) {
                self.hosts.push(self.world.stack_with(self.config.clone()));
            }
            let host = *self.hosts.last().expect("just made");
            let config = self.settings(number);
            let member = self.world.sip_endpoint(host, config);
            let at = Duration::from_secs(60) * u32::try_from(number).unwrap_or(u32::MAX)
                / u32::try_from(self.fleet.endpoints).unwrap_or(u32::MAX);
            let elapsed = self.world.now().since(begun);
            self.world.run_for(at.saturating_sub(elapsed));
            self.world.register(member);
            self.members.push(member);
            if number.is_multiple_of(1000) {
                self.take_events();
            }
        }
        self.world.run_for(Duration::from_secs(10));
        self.judge_all_registered();
        self.world.take_server_events(self.server);
    }

    fn settings(&mut self, number: usize) -> SipEndpointConfig {
        let name = user(number);
        let mut config = SipEndpointConfig::new(format!("sip:{name}@example.com"));
        let mut host = String::from("example.com");
        if number.is_multiple_of(PROBED) {
            host = format!("{name}.example.com");
            let ip = self.world.ip(self.server);
            self.world.names.set_addresses(&host, &[ip]);
        }
        config.server = Some(Server {
            host,
            port: Some(5060),
        });
        config.transport = Transport::Tcp;
        config.credentials = vec![Credentials::new(name, Secret::new("secret")).with_realm("example.com")];
        config
    }

    /// The server is gone, and everybody learns of it at once.
    fn lose(&mut self) {
        let address = self.world.address(self.server, Transport::Tcp);
        self.world.set_reachability(address, Reachability::Refused);
        self.world.take_connects();
        self.world.restart(self.server, Memory::Kept);
    }

    /// R6 and R7: the first attempts, and those that follow on them.
    fn stay_away(&mut self) {
        let lost = self.world.now() + ROUND_TRIP / 2;
        for _ in 0..AWAY.as_secs() {
            self.world.run_for(Duration::from_secs(1));
            self.take_events();
        }
        let (jitter, least) = (self.config.reconnect_jitter, self.config.backoff_min);
        let mut first = vec![0; PARTS];
        let mut of_probes: BTreeMap<String, Vec<Time>> = BTreeMap::new();
        let mut within_least = 0;
        for connect in self.world.take_connects() {
            let after = connect.at.since(lost);
            count(&mut self.came.attempts, after.as_secs());
            // Nobody can have tried twice yet, where the back-off's least is not over.
            within_least += usize::from(after < least);
            if let Some(name) = connect.asked.filter(|name| name != "example.com") {
                of_probes.entry(name).or_default().push(connect.at);
            }
        }
        let expected = self.fleet.endpoints as f64 * least.as_secs_f64() / jitter.as_secs_f64();
        judge_count("first attempts", within_least, expected);
        assert_eq!(
            of_probes.len(),
            self.fleet.endpoints.div_ceil(PROBED),
            "endpoints tried"
        );
        for times in of_probes.values() {
            let waits = times.windows(2).filter_map(|two| match two {
                [one, next] => Some(next.since(*one)),
                _ => None,
            });
            let waits: Vec<Duration> = waits.collect();
            let after = times.first().expect("there is one").since(lost);
            assert!(after <= jitter, "a first attempt after {after:?}");
            let part = after.as_micros() * PARTS as u128 / (jitter.as_micros() + 1);
            count(&mut first, u64::try_from(part).unwrap_or(u64::MAX));
            for (failures, wait) in waits.into_iter().enumerate() {
                let (least, most) = self.bounds(failures);
                assert!(
                    (least..=most).contains(&wait),
                    "attempt {} after {wait:?}, not {least:?} to {most:?}",
                    failures + 2
                );
                match self.came.waits.get_mut(failures) {
                    Some(known) => *known = (known.0.min(wait), known.1.max(wait)),
                    None => self.came.waits.push((wait, wait)),
                }
            }
        }
        let probes = of_probes.len() as f64;
        first
            .iter()
            .for_each(|count| judge_count("first attempts of a part", *count, probes / PARTS as f64));
        self.came.first = first;
    }

    /// What is stated of the wait after so many failures (R7), and the time in which a connection is refused.
    fn bounds(&self, failures: usize) -> (Duration, Duration) {
        let doubled = 2_u32.saturating_pow(u32::try_from(failures).unwrap_or(u32::MAX).saturating_add(1));
        let most = self.config.backoff_min.saturating_mul(doubled);
        let most = most.min(self.config.backoff_max);
        (
            (most / 2).max(self.config.backoff_min) + ROUND_TRIP,
            most + ROUND_TRIP,
        )
    }

    /// The server is there again, and has little time.
    fn come_back(&mut self) {
        let address = self.world.address(self.server, Transport::Tcp);
        self.world.set_reachability(address, Reachability::Open);
        let per_second = u32::try_from(self.fleet.endpoints.div_ceil(PACE)).unwrap_or(u32::MAX);
        let crowded = Manner::Crowded {
            per_second,
            retry_after: RETRY_AFTER,
        };
        self.world
            .with_server(self.server, |server, _| server.set_manner(crowded));
        let (back, lost) = (self.world.now(), self.world.now() - AWAY);
        while self.came.recoveries.count() < self.fleet.endpoints {
            let passed = self.world.now().since(back);
            assert!(
                passed < PATIENCE,
                "{} of {} are registered again after {passed:?}",
                self.came.recoveries.count(),
                self.fleet.endpoints
            );
            self.world.run_for(Duration::from_secs(1));
            self.take_events();
            for (at, event) in self.world.take_server_events(self.server) {
                self.hear(lost, at, &event);
            }
        }
        for connect in self.world.take_connects() {
            count(&mut self.came.attempts, connect.at.since(lost).as_secs());
        }
        self.world
            .with_server(self.server, |server, _| server.set_manner(Manner::Usual));
        self.world.run_for(Duration::from_secs(1));
        self.judge_all_registered();
    }

    /// Nobody comes before they were told to (E12), and each is bound once.
    fn hear(&mut self, lost: Time, at: Time, event: &FrontEndEvent) {
        let (aor, seconds) = match event {
            FrontEndEvent::Registered { aor, .. } => (aor, None),
            FrontEndEvent::Challenged { from, .. } => (from, None),
            FrontEndEvent::TurnedAway { aor, seconds, .. } => (aor, *seconds),
            _ => return,
        };
        let told = self.not_before.entry(aor.clone()).or_default();
        assert!(
            told.0 <= at,
            "{aor} was told to come at {} or later, and came at {at}",
            told.0
        );
        if let Some(seconds) = seconds {
            *told = (at + Duration::from_secs(u64::from(seconds)), told.1 + 1);
            self.came.put_off += 1;
            self.came.most_put_off = self.came.most_put_off.max(told.1);
        }
        if matches!(event, FrontEndEvent::Registered { .. }) {
            self.came.recoveries.add(at.since(lost));
            count(&mut self.came.registered, at.since(lost).as_secs());
        }
    }

    /// What applications are told is not of interest, but nobody who was registered is told otherwise: their bindings
    /// are good for longer.
    fn take_events(&mut self) {
        for host in self.hosts.clone() {
            for (at, event) in self.world.take_events(host) {
                if let Event::Registration { endpoint, new, .. } = event {
                    assert_ne!(
                        new,
                        RegistrationState::Unregistered,
                        "{endpoint} of {host:?} at {at}"
                    );
                }
            }
        }
        self.world.take_strikes();
        self.world.forget_the_past();
    }

    fn judge_all_registered(&mut self) {
        self.take_events();
        let members = self.members.clone();
        for member in members {
            let state = self.world.with(member.host, |stack, now| {
                let view = stack.endpoint(now, member.id);
                view.ok().and_then(|view| view.registration_state())
            });
            assert_eq!(state, Some(RegistrationState::Registered), "{member:?}");
        }
        let bound = self.world.server(self.server).registered();
        assert_eq!(bound.len(), self.fleet.endpoints, "addresses with a binding");
        for (aor, bindings) in bound {
            let live = bindings.iter().filter(|binding| binding.conn.is_some()).count();
            assert_eq!((live, bindings.len()), (1, 1), "the bindings of {aor}");
        }
    }
}

fn user(number: usize) -> String {
    format!("u{number}")
}

fn count(counts: &mut Vec<usize>, at: u64) {
    let at = usize::try_from(at).unwrap_or(usize::MAX);
    if counts.len() <= at {
        counts.resize(at + 1, 0);
    }
    if let Some(count) = counts.get_mut(at) {
        *count += 1;
    }
}

/// Of many independent draws this many fall into a part of which so many are expected: within six standard deviations,
/// outside of which one of a billion is.
fn judge_count(what: &str, counted: usize, expected: f64) {
    let deviation = (counted as f64 - expected).abs();
    assert!(
        deviation <= 6.0 * expected.sqrt(),
        "{what}: {counted}, where {expected:.0} are expected"
    );
}
