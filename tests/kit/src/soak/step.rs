//! Scenarios: lists of small steps, as bytes for a fuzzer and as text for people.

use std::fmt;
use std::str::FromStr;

use super::phrases::phrase;
use rand_chacha::ChaCha12Rng;
use rand_core::{RngCore, SeedableRng};

macro_rules! steps {
    ($($(#[$doc:meta])* $name:ident $word:literal $weight:literal,)*) => {
        /// What happens in a step. The arguments choose among what there is: any number means something.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum What {
            $($(#[$doc])* $name,)*
        }

        /// Each with its word, and how often bytes mean it.
        const WHAT: &[(What, &str, usize)] = &[$((What::$name, $word, $weight)),*];
    };
}

steps! {
    /// Everybody who is not registered and has a server registers.
    Enroll "enroll" 3,
    /// An endpoint registers.
    Register "register" 10,
    /// An endpoint unregisters.
    Unregister "unregister" 5,
    /// An endpoint sends a request outside sessions: endpoint, target, method.
    Message "message" 18,
    /// An endpoint calls: endpoint, target, whether with an offer.
    Call "call" 22,
    /// An idle session is made: endpoint, target.
    Create "create" 4,
    /// An idle session is established, or a session that is not idle accepted: session, whether with content.
    Establish "establish" 6,
    /// A call is accepted: session, whether with content and in another early dialog.
    Accept "accept" 14,
    /// A provisional response: session, which, whether with content and in another early dialog.
    Ring "ring" 8,
    /// A call is refused: session, how.
    Reject "reject" 4,
    /// A call is redirected: session, to whom.
    Redirect "redirect" 3,
    /// An offer is answered: session.
    Answer "answer" 5,
    /// A request in a session: session, method.
    Inside "inside" 8,
    /// The peer of a session is asked to call somebody: session, whom.
    Refer "refer" 5,
    /// The mischief-maker says what came of a REFER: which, what, whether it names it.
    Report "report" 5,
    /// A REFER that was left is decided on: host, how.
    Follow "follow" 3,
    /// A change of a session is offered, or given up: session, how.
    Change "change" 8,
    /// A change that the peer offers is decided on: session, how.
    Settle "settle" 6,
    /// A session is ended: session.
    HangUp "hang-up" 14,
    /// An endpoint subscribes to somebody's state: endpoint, target, whether later, once, or for how long.
    Subscribe "subscribe" 10,
    /// A subscription is begun, or changed: which, how.
    Renew "renew" 5,
    /// A subscription is ended: which.
    Unsubscribe "unsubscribe" 6,
    /// An endpoint publishes its state: endpoint, for whom.
    Publish "publish" 6,
    /// What is published is changed: which.
    Republish "republish" 4,
    /// What is published is removed: which.
    Withdraw "withdraw" 4,
    /// Somebody who has subscribed is told something: whom, what.
    Tell "tell" 6,
    /// How an application treats what comes: host, calls and changes, messages.
    Habit "habit" 10,
    /// A request that was held is answered: which, how.
    Release "release" 5,
    /// An endpoint ends, and another takes its place: endpoint, whether it is told so twice.
    End "end" 4,
    /// All endpoints of a host end, and others take their place: host.
    EndAll "end-all" 2,
    /// A connection is closed by command: host, which.
    Disconnect "disconnect" 4,
    /// A connection is to be closed when it was idle for so long: host, which, time.
    Idle "idle" 3,
    /// Whether the application of a host decides on new connections: host, whether, how (at once, later, never).
    Authorize "authorize" 4,
    /// It decides on one that is held: host, which, whether it allows it.
    Decide "decide" 4,
    /// A host listens no more: host, whether by command.
    StopListening "stop-listening" 3,
    /// A host listens again: host.
    Listen "listen" 3,
    /// Time passes: how much.
    Wait "wait" 36,
    /// A connection is reset: host, which.
    Reset "reset" 5,
    /// One end of a connection is gone: host, which, which end.
    HalfOpen "half-open" 4,
    /// A connection becomes a black hole: host, which.
    BlackHole "black-hole" 4,
    /// A connection becomes one for what one side sends: host, which, which side.
    OneWay "one-way" 4,
    /// One side of a connection closes its direction, and reads on: host, which.
    HalfClose "half-close" 4,
    /// What is sent on a connection comes much later: host, which, time.
    Stall "stall" 4,
    /// A side of a connection does not read: host, which, which side.
    Slow "slow" 5,
    /// Who connects to an address fares ill: which address, how.
    Reachability "reachability" 8,
    /// Questions for a name fail: which, how.
    Dns "dns" 8,
    /// Handshakes with a host fail: which, how.
    Tls "tls" 8,
    /// What a server says to those who want to register from now on: which server, what, for how long.
    Registrar "registrar" 6,
    /// A server stops and starts: how, which.
    Restart "restart" 4,
    /// The server deregisters endpoints: whose, why, whether all of the user.
    Deregister "deregister" 2,
    /// The server loses endpoints without a word: whose, how much of them, whether all of the user.
    Lose "lose" 2,
    /// A host's process dies and starts anew: host.
    Replace "replace" 3,
    /// How bytes are cut from now on.
    Chunks "chunks" 3,
    /// The latency and the jitter of connections made from now on.
    Latency "latency" 3,
    /// How late adapters take actions from now on.
    Laziness "laziness" 3,
    /// How much a direction holds that is not read.
    Window "window" 3,
    /// All that was wrong with addresses, names, certificates and readers is right again.
    Mend "mend" 10,
    /// The mischief-maker connects to a peer: which.
    Dial "dial" 4,
    /// It sends a request: on which connection, method, kind.
    Ask "ask" 14,
    /// It answers what it has heard: which, status, variant.
    Reply "reply" 22,
    /// It sends a NOTIFY: to which SUBSCRIBE, what it says, how.
    Notify "notify" 10,
    /// It says to somebody who registers that they no longer are: which REGISTER, what.
    Dismiss "dismiss" 4,
    /// An endpoint takes other methods from now on: endpoint, which.
    Methods "methods" 2,
    /// From now on it answers all it hears at once: whether, status, variant.
    Manner "manner" 4,
    /// An adapter reports once more what it has reported: host, what, of which.
    Echo "echo" 4,
    /// An endpoint has something for hundreds of addresses of one name.
    Crowd "crowd" 2,
    /// It says once more what it said last, some bytes of it changed: how many, where, to what.
    Garble "garble" 3,
    /// It closes or breaks off a connection, or sends bytes that are no message: which, how.
    Misbehave "misbehave" 4,
    /// A host is in another network: host, which addresses it has lost.
    Network "network" 3,
    /// A server has lost security associations: which server, whether all of them, else whose.
    Dissociate "dissociate" 5,
    /// A server challenges requests that are signed as they should be: whose, how many, at which server.
    Doubt "doubt" 5,
    /// A server says once more what it has signed last: for whom, at which server.
    Replay "replay" 5,
    /// How a server signs from now on: which server, how.
    Sign "sign" 5,
    /// How the center of Kerberos fares from now on: whether it gives tickets, how late, for how long they are good.
    Center "center" 5,
}

/// The last steps mean something only where servers have security associations; bytes mean them only there.
const OF_ASSOCIATIONS: usize = 5;

/// The bits of a setup that, all together, say that servers ask for NTLM or Kerberos.
const ASSOCIATIONS: u16 = 0xE000;

/// Whether in a life that is set up like this servers ask for NTLM or Kerberos.
pub(super) const fn has_associations(setup: u16) -> bool {
    setup & ASSOCIATIONS == ASSOCIATIONS
}

/// For how many an endpoint has something at [`What::Crowd`].
pub(super) const CROWD: usize = 300;

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    /// What happens.
    pub what: What,
    /// How: see [`What`].
    pub arguments: [u8; 3],
}

impl Step {
    /// How many steps it is worth: one may stand for something for hundreds.
    pub(crate) fn weight(self) -> usize {
        if self.what == What::Crowd { CROWD } else { 1 }
    }
}

impl What {
    fn of_byte(byte: u8, associations: bool) -> Self {
        let meant = WHAT.len() - if associations { 0 } else { OF_ASSOCIATIONS };
        let meant = WHAT.get(..meant).unwrap_or(WHAT);
        let total: usize = meant.iter().map(|(.., weight)| weight).sum();
        let mut rest = usize::from(byte) * total / 256;
        for (what, _, weight) in meant {
            if rest < *weight {
                return *what;
            }
            rest -= weight;
        }
        Self::Wait
    }

    fn word(self) -> &'static str {
        let known = WHAT.iter().find(|(what, ..)| *what == self);
        known.map_or("", |(_, word, _)| word)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what.word())?;
        let kept = self.arguments.iter().rposition(|argument| *argument != 0);
        let kept = kept.map_or(0, |last| last + 1);
        self.arguments
            .iter()
            .take(kept)
            .try_for_each(|argument| write!(f, " {argument}"))
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let word = words.next().unwrap_or_default();
        let known = WHAT.iter().find(|(_, known, _)| *known == word);
        let what = known.ok_or_else(|| format!("'{word}' is no step"))?.0;
        let mut arguments = [0; 3];
        for (at, word) in words.enumerate() {
            let place = arguments.get_mut(at);
            let place = place.ok_or_else(|| format!("'{text}': a step has three arguments"))?;
            *place = word
                .parse()
                .map_err(|_| format!("'{text}': '{word}' is not 0 to 255"))?;
        }
        Ok(Self { what, arguments })
    }
}

/// What is lived: a world's seed, how it is set up, and what happens in it.
///
/// Its text is `SEED.SETUP: STEP, STEP ...`, its bytes one for the seed, two for the setup, and four for each step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// The seed of the world: what its entropy and that of its stacks is made of.
    pub seed: u64,
    /// Its settings: see [`live`](super::live).
    pub setup: u16,
    /// What happens.
    pub steps: Vec<Step>,
}

impl Scenario {
    /// The scenario of a seed, of at least so many steps: phrases that lead somewhere, cut up by steps that come from
    /// bytes.
    pub fn of_seed(seed: u64, steps: usize) -> Self {
        let mut dice = ChaCha12Rng::seed_from_u64(seed);
        let mut bytes = vec![0; 3 + 4 * steps];
        dice.fill_bytes(&mut bytes);
        // One in eight has associations, however the bits have fallen.
        for (byte, bits) in bytes.iter_mut().skip(1).zip(ASSOCIATIONS.to_le_bytes()) {
            if seed % 8 == 7 {
                *byte |= bits;
            } else {
                *byte &= !bits;
            }
        }
        let mut scenario = Self {
            seed,
            ..Self::of_bytes(&bytes)
        };
        let associations = has_associations(scenario.setup);
        let random = std::mem::take(&mut scenario.steps);
        let mut random = random.into_iter();
        while scenario.steps.len() < steps {
            if dice.next_u32().is_multiple_of(3) {
                scenario.steps.extend(random.by_ref().take(3));
                continue;
            }
            for step in phrase(&mut dice, associations) {
                if dice.next_u32().is_multiple_of(12) {
                    scenario.steps.extend(random.next());
                }
                scenario.steps.push(step);
            }
        }
        scenario
    }

    /// The scenario that these bytes are. All bytes are one; what is missing at the end is zero.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let (head, rest) = bytes.split_at_checked(3).unwrap_or((bytes, &[]));
        let byte = |bytes: &[u8], at: usize| bytes.get(at).copied().unwrap_or(0);
        let setup = u16::from_le_bytes([byte(head, 1), byte(head, 2)]);
        let step = |bytes: &[u8]| Step {
            what: What::of_byte(byte(bytes, 0), has_associations(setup)),
            arguments: [byte(bytes, 1), byte(bytes, 2), byte(bytes, 3)],
        };
        Self {
            seed: u64::from(byte(head, 0)),
            setup,
            steps: rest.chunks(4).map(step).collect(),
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}:", self.seed, self.setup)?;
        for (at, step) in self.steps.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma} {step}")?;
        }
        Ok(())
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (head, rest) = text.split_once(':').ok_or("a scenario is SEED.SETUP: STEPS")?;
        let (seed, setup) = head.split_once('.').unwrap_or((head, "0"));
        let steps = rest
            .split(',')
            .map(str::trim)
            .filter(|step| !step.is_empty())
            .map(str::parse);
        Ok(Self {
            seed: seed.trim().parse().map_err(|_| format!("'{seed}' is no seed"))?,
            setup: setup
                .trim()
                .parse()
                .map_err(|_| format!("'{setup}' is no setup"))?,
            steps: steps.collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_is_read_as_it_is_written() {
        for seed in 0..50 {
            let scenario = Scenario::of_seed(seed, 60);
            assert!(scenario.steps.len() >= 60);
            assert_eq!(scenario.to_string().parse(), Ok(scenario));
        }
        let text = "7.3: register 2, wait, ask 0 0 15";
        let scenario: Scenario = text.parse().unwrap();
        assert_eq!(scenario.to_string(), text);
        assert_eq!("0.0:".parse::<Scenario>().unwrap().steps, []);
        for wrong in [
            "",
            "x.0:",
            "1.65536:",
            "1.0: dance",
            "1.0: wait 256",
            "1.0: wait 1 2 3 4",
        ] {
            assert!(wrong.parse::<Scenario>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn all_bytes_are_a_scenario_and_every_step_can_be_meant() {
        let kinds = [(0, WHAT.len() - OF_ASSOCIATIONS), (0xE0, WHAT.len())];
        for (high, meant) in kinds {
            let mut bytes = vec![1, 2, high];
            (0..=255).for_each(|byte| bytes.extend([byte, 1, 2, 3]));
            let scenario = Scenario::of_bytes(&bytes);
            let setup = u16::from(high) << 8 | 2;
            assert_eq!(
                (scenario.seed, scenario.setup, scenario.steps.len()),
                (1, setup, 256)
            );
            for (at, (what, word, _)) in WHAT.iter().enumerate() {
                let is_meant = scenario.steps.iter().any(|step| step.what == *what);
                assert_eq!(is_meant, at < meant, "{word}");
            }
        }
        assert_eq!(Scenario::of_bytes(&[]).steps, []);
        assert_eq!(Scenario::of_bytes(&[5, 0, 0, 255]).steps.len(), 1);
    }
}
