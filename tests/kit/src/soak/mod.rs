//! Scenarios from a seed, from bytes or from text: a small world in which everybody does what they may, and the network
//! what it likes.
//!
//! [`run`] lives a [`Scenario`] twice and compares; [`find`] does it for a seed and shrinks what fails. The oracle sees
//! commands, events, the bytes on the links and the bindings at the front end, and no state of a stack. It says (rules
//! X2, X3, R7, S4, S8, S10, C33, C35):
//!
//! - every operation completes exactly once, in bounded time, and nothing else completes;
//! - a message is delivered at most once to a device, and to somebody where its sender was told 2xx;
//! - a session's events are a chain: each one begins where the last has ended, and nothing follows its end;
//! - who was told to be registered, and nothing else, is registered when the network has been whole for long enough;
//! - what is sent is SIP, in the order and with the identifiers that the RFC wants, and what has to be sent is.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "an application passes over the events that it does not know"
)]

mod cast;
mod coverage;
pub mod fleet;
mod judge;
mod life;
mod phrases;
mod recovery;
mod registration;
mod shrink;
mod step;
mod trouble;
pub mod year;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use sansip::cells::Cells;
use sansip::{Event, RegistrationState, SessionState};

pub use self::coverage::{Faults, Table};
pub use self::recovery::Recoveries;
pub use self::shrink::shrink;
pub use self::step::{Scenario, Step, What};

use crate::world::{Trace, World};

/// How many steps the scenario of a seed has, where nothing else is said.
pub const STEPS: usize = 40;

/// What came of a life, to see that it was one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Operations that ended well.
    pub succeeded: usize,
    /// Operations that did not.
    pub failed: usize,
    /// Times that an endpoint became registered.
    pub registrations: usize,
    /// Connections that registered endpoints lost.
    pub outages: usize,
    /// Those that ended.
    pub recoveries: Recoveries,
    /// Messages delivered.
    pub messages: usize,
    /// Sessions that were connected, at either side.
    pub connected: usize,
    /// Endpoints that were terminated.
    pub terminated: usize,
    /// SIP messages that stacks have sent, each of which was judged.
    pub spoken: usize,
    /// The faults that have struck.
    pub faults: Faults,
    /// The cells that the machines of the stacks have been in.
    pub cells: Cells,
}

impl Tally {
    fn on_event(&mut self, event: &Event) {
        match event {
            Event::Completed { result: Ok(_), .. } => self.succeeded += 1,
            Event::Completed { result: Err(_), .. } => self.failed += 1,
            Event::Registration {
                new: RegistrationState::Registered,
                ..
            } => self.registrations += 1,
            Event::Outage { .. } => self.outages += 1,
            Event::MessageReceived { .. } => self.messages += 1,
            Event::Session {
                new: SessionState::Connected,
                ..
            } => self.connected += 1,
            Event::EndpointTerminated { .. } => self.terminated += 1,
            _ => {}
        }
    }

    /// What should be there after many lives, and is not; and the cells that should not be there, and are.
    pub fn missing(&self) -> Vec<String> {
        let faults = self.faults.missing();
        let faults = faults
            .iter()
            .map(|fault| format!("never: {fault} during an operation"));
        let cells = coverage::missing(&self.cells);
        let cells = cells.iter().map(|cell| format!("never: {cell}"));
        let refuted = coverage::refuted(&self.cells);
        let refuted = refuted
            .iter()
            .map(|(cell, reason)| format!("{cell}, which cannot be: {reason}"));
        faults.chain(cells).chain(refuted).collect()
    }

    /// Adds another's.
    pub fn absorb(&mut self, other: &Self) {
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.registrations += other.registrations;
        self.outages += other.outages;
        self.recoveries.absorb(&other.recoveries);
        self.messages += other.messages;
        self.connected += other.connected;
        self.terminated += other.terminated;
        self.spoken += other.spoken;
        self.faults.absorb(&other.faults);
        self.cells.absorb(&other.cells);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "operations: {} well, {} not; messages {}; sessions connected {}",
            self.succeeded, self.failed, self.messages, self.connected
        )?;
        writeln!(
            f,
            "registrations {}; endpoints ended {}; SIP messages judged {}",
            self.registrations, self.terminated, self.spoken
        )?;
        writeln!(f, "outages {}; {}", self.outages, self.recoveries)?;
        write!(f, "\n{}\n{}", self.faults, Table(&self.cells))
    }
}

/// A scenario in which the oracle, a stack or the world objected.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which.
    pub scenario: Scenario,
    /// The step at which it was found; their number for the time after the last.
    pub step: usize,
    /// What was wrong.
    pub message: String,
    /// The end of the trace.
    pub tail: String,
}

impl Failure {
    /// What was wrong, without what differs from case to case: two failures with the same are taken for one.
    pub fn kind(&self) -> String {
        let line = self.message.lines().next().unwrap_or_default();
        let words = line.split(|letter: char| !letter.is_alphabetic());
        words
            .filter(|word| word.len() > 2)
            .take(6)
            .collect::<Vec<_>>()
            .join(" ")
    }
}

impl fmt::Display for Failure {
    /// All that somebody needs who looks for the cause, with the command that shows it again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = self.scenario.steps.get(self.step);
        let step = step.map_or_else(|| String::from("after the last"), ToString::to_string);
        writeln!(f, "{}", self.tail)?;
        writeln!(
            f,
            "seed {}, step {} ({step}): {}",
            self.scenario.seed, self.step, self.message
        )?;
        write!(
            f,
            "again: cargo run --release -p sansip-testkit --bin soak -- --scenario '{}'",
            self.scenario
        )
    }
}

impl std::error::Error for Failure {}

thread_local! {
    /// Where this thread's panics go while it lives a scenario, as text.
    static HEARD: RefCell<Option<String>> = const { RefCell::new(None) };
    static LIVES: Cell<bool> = const { Cell::new(false) };
}

/// Panics within a life are findings, which are told later and once; all others are printed as ever.
fn listen_to_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if LIVES.get() {
                HEARD.set(Some(panic.to_string()));
            } else {
                usual(panic);
            }
        }));
    });
}

/// Lives a scenario once, in a world that is empty so far, for whoever has more to ask of that world.
///
/// # Panics
/// Something objected.
pub fn live(world: &mut World, scenario: &Scenario) -> Tally {
    life::live(world, scenario, |_| {})
}

/// What somebody has objected to in a world, and the end of its trace.
struct Objection {
    message: String,
    tail: String,
}

/// A life to which nobody objected.
struct Lived<T> {
    /// What came of it.
    come: T,
    cells: Cells,
    trace: Trace,
    tail: String,
}

/// Lives in a world, to its census; what is found there is no panic any more.
fn watch<T>(mut world: World, life: impl FnOnce(&mut World) -> T) -> Result<Lived<T>, Objection> {
    listen_to_panics();
    LIVES.set(true);
    let lived = catch_unwind(AssertUnwindSafe(|| {
        let come = life(&mut world);
        world.conclude();
        (come, world.cells())
    }));
    LIVES.set(false);
    let (trace, tail) = world.abandon();
    match lived {
        Ok((come, cells)) => Ok(Lived {
            come,
            cells,
            trace,
            tail,
        }),
        Err(_) => Err(Objection {
            message: HEARD.take().unwrap_or_default(),
            tail,
        }),
    }
}

/// Lives a scenario once.
///
/// # Errors
/// Something objected.
fn attempt(scenario: &Scenario) -> Result<(Tally, Trace, String), Box<Failure>> {
    let step = Cell::new(0);
    let lived = watch(World::new(scenario.seed), |world| {
        life::live(world, scenario, |at| step.set(at))
    });
    match lived {
        Ok(lived) => {
            let tally = Tally {
                cells: lived.cells,
                ..lived.come
            };
            Ok((tally, lived.trace, lived.tail))
        }
        Err(Objection { message, tail }) => Err(Box::new(Failure {
            scenario: scenario.clone(),
            step: step.get(),
            message,
            tail,
        })),
    }
}

/// Lives a scenario twice and compares (rule X1).
///
/// # Errors
/// Something objected, or the two lives differ.
pub fn run(scenario: &Scenario) -> Result<Tally, Box<Failure>> {
    let (tally, first, _) = attempt(scenario)?;
    let (_, second, tail) = attempt(scenario)?;
    match first.difference(&second) {
        None => Ok(tally),
        Some((a, b)) => {
            let show = |line: Option<crate::world::Line>| {
                line.map_or_else(|| String::from("nothing"), |line| line.to_string())
            };
            Err(Box::new(Failure {
                scenario: scenario.clone(),
                step: scenario.steps.len(),
                message: format!("two runs differ\n  first:  {}\n  second: {}", show(a), show(b)),
                tail,
            }))
        }
    }
}

/// The same, with a failure made as short as can be in bounded time.
///
/// # Errors
/// The shortest failure of the same kind.
pub fn find(scenario: &Scenario) -> Result<Tally, Box<Failure>> {
    run(scenario).map_err(|failure| Box::new(shrink(*failure, run)))
}

#[cfg(test)]
mod tests;
