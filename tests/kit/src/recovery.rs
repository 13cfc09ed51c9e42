//! Lives in which the path to the server breaks without a word and heals: how long an endpoint is out of reach (rule R19).
//!
//! Each life is of a seed: the timers, how the path breaks (both ways or one), what else fails meanwhile, when it heals,
//! and what finds the dead connection. Its end is judged from outside: the server has bound the endpoint over another
//! connection within [`Config::recovery_bound`], and what somebody sends to it then arrives.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_core::{RngCore, SeedableRng};
use sansip::wire::Method;
use sansip::{Config, Content, DeadFlow, Event, RegistrationState, SendOptions, Time, Transport};

use crate::frontend::{FrontEndConfig, FrontEndEvent};
use crate::soak::Recoveries;
use crate::world::{Endpoint, FrontEndId, Reachability, World};

/// What finds the dead connection in a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Finder {
    /// Keep-alives that the server answers, and nothing else is sent but refreshes.
    Pong,
    /// The same, of an endpoint that sends messages now and then.
    PongAndMessages,
    /// OPTIONS.
    Probe,
    /// A message.
    Request,
    /// A message that the system does not take whole.
    Bytes,
    /// The next refresh.
    Refresh,
}

impl Finder {
    /// All there are.
    pub const ALL: [Self; 6] = [
        Self::Pong,
        Self::PongAndMessages,
        Self::Probe,
        Self::Request,
        Self::Bytes,
        Self::Refresh,
    ];
}

impl fmt::Display for Finder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pong => "pong",
            Self::PongAndMessages => "pong, with messages",
            Self::Probe => "probe",
            Self::Request => "request",
            Self::Bytes => "bytes",
            Self::Refresh => "refresh",
        })
    }
}

/// What came of a life.
#[derive(Clone, Copy, Debug)]
pub struct Recovery {
    /// What was to find the dead connection. Something else may have been quicker.
    pub finder: Finder,
    /// From the healing of the path to the new binding at the server.
    pub took: Duration,
    /// How long that may take, the registration itself included.
    pub bound: Duration,
}

/// Numbers from a seed.
struct Dice(ChaCha12Rng);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound.max(1)
    }

    fn one<T: Copy>(&mut self, list: &[T]) -> T {
        let at = usize::try_from(self.below(list.len() as u64)).unwrap_or(0);
        *list.get(at).expect("a list that is not empty")
    }

    /// To the millisecond.
    fn up_to(&mut self, seconds: u64) -> Duration {
        Duration::from_millis(self.below(seconds * 1000 + 1))
    }
}

struct Life {
    dice: Dice,
    finder: Finder,
    config: Config,
    found_by: DeadFlow,
    server: FrontEndId,
    alice: Endpoint,
    bob: Endpoint,
    /// One round trip at the most.
    round_trip: Duration,
}

/// Lives the life of a seed in a world that is empty so far.
///
/// # Panics
/// The endpoint was not reachable again within the bound.
pub fn live(world: &mut World, seed: u64) -> Recovery {
    let mut life = Life::begin(world, seed);
    life.run(world)
}

impl Life {
    fn begin(world: &mut World, seed: u64) -> Self {
        let mut dice = Dice(ChaCha12Rng::seed_from_u64(seed));
        let finder = dice.one(&Finder::ALL);
        let seconds = Duration::from_secs;
        let (latency, jitter) = (5 + dice.below(150), dice.below(50));
        world.network.latency = Duration::from_millis(latency);
        world.network.jitter = Duration::from_millis(jitter);
        // With the system's help or without.
        world.network.user_timeout = dice.one(&[None, Some(seconds(30))]);
        let config = Config {
            reconnect_jitter: seconds(dice.one(&[0, 2, 10])),
            backoff_max: seconds(dice.one(&[4, 64])),
            connect_timeout: seconds(dice.one(&[3, 10, 40])),
            pong_timeout: seconds(dice.one(&[5, 10])),
            ..Config::default()
        };
        let timeout = seconds(30 + dice.below(300));
        let interval = seconds(10 + dice.below(200));
        let granted = seconds(dice.one(&[90, 300, 600, 3600]));
        let found_by = match finder {
            Finder::Pong | Finder::PongAndMessages => DeadFlow::Pong { timeout },
            Finder::Probe => DeadFlow::Probe { interval },
            Finder::Request => DeadFlow::Request,
            Finder::Bytes => DeadFlow::Bytes,
            Finder::Refresh => DeadFlow::Refresh { granted },
        };
        let mut served = FrontEndConfig::new("example.com")
            .with_user("alice", "secret")
            .with_user("bob", "hidden");
        let pongs = matches!(finder, Finder::Pong | Finder::PongAndMessages);
        served.keep_alive = pongs.then_some(timeout);
        served.max_expires = granted;
        served.remove_lost_flows = dice.below(2) == 0;
        let server = world.front_end(served);
        let transport = dice.one(&[Transport::Tcp, Transport::Tls]);
        let at_home = |world: &mut World, user, config: Config, probe| {
            let host = world.stack_with(config);
            let mut account = world.account(server, user);
            account.transport = transport;
            account.probe = probe;
            if let Some(server) = &mut account.server {
                server.port = Some(transport.default_port());
            }
            let endpoint = world.sip_endpoint(host, account);
            let operation = world.register(endpoint);
            world.result(host, operation).expect("registers");
            endpoint
        };
        let probe = (finder == Finder::Probe).then_some(interval);
        let alice = at_home(world, "alice", config.clone(), probe);
        let bob = at_home(world, "bob", Config::default(), None);
        Self {
            dice,
            finder,
            config,
            found_by,
            server,
            alice,
            bob,
            round_trip: Duration::from_millis(2 * (latency + jitter)),
        }
    }

    fn run(&mut self, world: &mut World) -> Recovery {
        world.run_for(self.dice.up_to(400));
        let (link, first) = (
            world.link_between(self.alice.host, self.server),
            self.binding(world, None),
        );
        let first = first.expect("alice is registered");
        let broken = world.now();
        match self.dice.below(3) {
            0 => world.black_hole_from(link, self.alice.host),
            1 if self.finder != Finder::Bytes => world.black_hole_from(link, self.server),
            _ => world.black_hole(link),
        }
        // What becomes of new connections; a path that only its old connections do not find through is whole at once.
        let way = self.dice.one(&[
            Reachability::Open,
            Reachability::BlackHole,
            Reachability::BlackHole,
            Reachability::Refused,
            Reachability::Unreachable,
        ]);
        let heals = if way == Reachability::Open {
            Duration::ZERO
        } else {
            self.dice.up_to(900)
        };
        let transports = [Transport::Tcp, Transport::Tls];
        let addresses = transports.map(|transport| world.address(self.server, transport));
        for address in addresses {
            world.set_reachability(address, way);
        }
        let mut healed = None;
        let heal_at = broken + heals;
        let spoken = self.speak(
            world,
            |world| {
                if healed.is_none() && world.now() >= heal_at {
                    for address in addresses {
                        world.set_reachability(address, Reachability::Open);
                    }
                    healed = Some(world.now());
                }
            },
            heal_at,
        );
        let deadline = self.deadline(broken, heal_at, spoken);
        let server = self.server;
        let left = deadline.since(world.now());
        let is_back = world.run_until_or(left, |world| bound_over(world, server, Some(first)).is_some());
        assert!(
            is_back,
            "{}: broken at {broken}, healed at {heal_at}, not registered again until {deadline}",
            self.finder
        );
        let (at, _) = self.back(world, first);
        self.judge(world, deadline);
        Recovery {
            finder: self.finder,
            took: at.since(heal_at),
            bound: deadline.since(heal_at),
        }
    }

    /// What the endpoint sends from the break on, until the path is healed and a while after; says when the first was sent.
    fn speak(&mut self, world: &mut World, mut heal: impl FnMut(&mut World), heal_at: Time) -> Option<Time> {
        let broken = world.now();
        let mut pass = |world: &mut World, until: Time| {
            if world.now() < heal_at && heal_at <= until {
                world.run_for(heal_at.since(world.now()));
            }
            heal(world);
            world.run_for(until.since(world.now()));
            heal(world);
        };
        let first = match self.finder {
            Finder::Request | Finder::Bytes => Some(broken + self.dice.up_to(100)),
            Finder::PongAndMessages => Some(broken + self.dice.up_to(300)),
            Finder::Pong | Finder::Probe | Finder::Refresh => None,
        };
        let Some(first) = first else {
            pass(world, heal_at);
            return None;
        };
        pass(world, first);
        let bytes = if self.finder == Finder::Bytes { 9000 } else { 10 };
        if self.finder == Finder::Bytes {
            world.network.window = 1000;
        }
        self.message(world, bytes);
        world.network.window = 64 << 10;
        if self.finder == Finder::PongAndMessages {
            for _ in 0..self.dice.below(5) {
                let next = world.now() + self.dice.up_to(100);
                pass(world, next);
                self.message(world, bytes);
            }
        }
        let now = world.now();
        pass(world, now.max(heal_at));
        Some(first)
    }

    fn message(&self, world: &mut World, bytes: usize) {
        let content = Some(Content::text("x".repeat(bytes)));
        let sent = world.with(self.alice.host, |stack, now| {
            stack.endpoint(now, self.alice.id)?.send_message(
                "sip:bob@example.com",
                Method::Message,
                content,
                SendOptions::default(),
            )
        });
        sent.expect("send_message");
    }

    /// max(b + D + J, h + A + B) + S: see [`Config::recovery_bound`].
    fn deadline(&self, broken: Time, healed: Time, spoken: Option<Time>) -> Time {
        let config = &self.config;
        let from = match self.finder {
            Finder::Request | Finder::Bytes => spoken.unwrap_or(broken),
            Finder::Pong | Finder::PongAndMessages | Finder::Probe | Finder::Refresh => broken,
        };
        // What was on its way when the path broke has come.
        let from = from + self.round_trip;
        let first = config
            .reconnect_jitter
            .max((config.backoff_min * 2).min(config.backoff_max));
        let found = from + config.detection_bound(self.found_by) + first;
        // The rest of the bound does not depend on how it is found.
        let again = healed + config.recovery_bound(DeadFlow::Request);
        // A look-up, a handshake, a REGISTER with a challenge, and one more for a nonce that has become too old.
        found.max(again) + self.round_trip * 8 + Duration::from_millis(100)
    }

    fn binding(&self, world: &World, other_than: Option<u64>) -> Option<u64> {
        bound_over(world, self.server, other_than).map(|(_, conn)| conn)
    }

    fn back(&self, world: &World, first: u64) -> (Time, u64) {
        bound_over(world, self.server, Some(first)).expect("just seen")
    }

    /// Whoever sends something to the endpoint at the deadline reaches it.
    fn judge(&self, world: &mut World, deadline: Time) {
        world.run_for(deadline.since(world.now()));
        let state = world.with(self.alice.host, |stack, now| {
            let view = stack.endpoint(now, self.alice.id).expect("alice");
            view.registration_state()
        });
        assert_eq!(
            state,
            Some(RegistrationState::Registered),
            "as the endpoint sees it"
        );
        let heard = |world: &World| {
            let events = world.events(self.alice.host).iter();
            events
                .filter(|(_, event)| matches!(event, Event::MessageReceived { .. }))
                .count()
        };
        let before = heard(world);
        let sent = world.message(self.bob, "sip:alice@example.com", "are you there?");
        world
            .result(self.bob.host, sent)
            .expect("alice is reachable again");
        assert_eq!(heard(world), before + 1);
    }
}

/// When, and over which connection, the server first bound alice over another than this.
fn bound_over(world: &World, server: FrontEndId, other_than: Option<u64>) -> Option<(Time, u64)> {
    world.server_events(server).iter().find_map(|(at, event)| {
        let FrontEndEvent::Registered { aor, conn, .. } = event else {
            return None;
        };
        (aor.contains("alice") && Some(conn.0) != other_than).then_some((*at, conn.0))
    })
}

/// How long recoveries took, by what was to find the dead connection.
#[derive(Clone, Debug, Default)]
pub struct Distribution {
    cases: BTreeMap<Finder, (Recoveries, Duration)>,
}

impl Distribution {
    /// Adds one.
    pub fn add(&mut self, recovery: &Recovery) {
        let (all, nearest) = self.cases.entry(recovery.finder).or_insert_with(|| {
            // The least that was left of a bound.
            (Recoveries::default(), Duration::MAX)
        });
        all.add(recovery.took);
        *nearest = (*nearest).min(recovery.bound - recovery.took);
    }

    /// Adds another's.
    pub fn absorb(&mut self, other: &Self) {
        for (finder, (more, least)) in &other.cases {
            let (all, nearest) = self
                .cases
                .entry(*finder)
                .or_insert_with(|| (Recoveries::default(), Duration::MAX));
            all.absorb(more);
            *nearest = (*nearest).min(*least);
        }
    }

    /// How many lives there were in which this was to find the dead connection.
    pub fn count(&self, finder: Finder) -> usize {
        self.cases.get(&finder).map_or(0, |(all, _)| all.count())
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = Recoveries::default();
        for (finder, (found, nearest)) in &self.cases {
            all.absorb(found);
            writeln!(
                f,
                "{finder:<20} {found}; at the least {:.3} s of the bound were left",
                nearest.as_secs_f64()
            )?;
        }
        write!(f, "{:<20} {all}", "all")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // rules: R19
    #[test]
    fn whatever_finds_it_the_endpoint_is_back_within_the_bound() {
        let mut all = Distribution::default();
        for seed in crate::world::seeds(120) {
            let mut world = World::new(seed);
            all.add(&live(&mut world, seed));
            world.finish();
        }
        println!("{all}");
        if std::env::var("SANSIP_SEED").is_err() {
            for finder in Finder::ALL {
                assert!(all.count(finder) > 8, "{finder}");
            }
        }
    }
}
