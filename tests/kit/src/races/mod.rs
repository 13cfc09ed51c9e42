//! All races: every order in which what two stacks do to each other can happen, to a depth; and what a caller and those do whom
//! a proxy rings at once for it.
//!
//! What is on its way between them arrives in the order of its connection and in any order otherwise; at any point a
//! command may be given, a timer fire before everything else, a connection be reset. The stacks are the real ones, copied at
//! every step. Systems that go on alike are one ([`Stack::fingerprint`](sansip::Stack::fingerprint)). From each all are
//! left alone: then all that was begun completes once, both ends agree on whether there is a session, of those who were rung
//! one has it at most, and nothing is held once all have ended. In every dialog numbers grow.
//!
//! What a lost connection takes along nobody misses in the end, but for a BYE that is lost for good, whose other end is left
//! with its session: one that the proxy had taken over, that was given up before the news of the loss, or that was lost again
//! when it was repeated.
//!
//! A system with two stacks has a few thousand states with one timer out of turn or one reset, some ten thousand with both, and the
//! longest way is of some 25 moves. One with three has half a million and ways of 30 with a timer out of turn: of these the first
//! hundred thousand, which take four gigabytes, have ways of 12 moves.

mod forker;
mod line;
mod party;
mod scenes;
mod system;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use party::Command;
pub use scenes::{SCENES, Scene};
pub use system::Move;
use system::System;

/// How far a search goes.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// So many moves from the beginning.
    pub depth: usize,
    /// So many timers fire before their time has come for everybody.
    pub fires: usize,
    /// So many connections are reset.
    pub resets: usize,
    /// So many states are looked at.
    pub states: usize,
}

/// What a search has seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Different states.
    pub states: usize,
    /// Moves, those that led to a state that was known among them.
    pub moves: usize,
    /// The longest way to a state.
    pub depth: usize,
    /// Whether a bound on the depth or on the states has cut it short.
    pub cut: bool,
    /// How often they end with so many that have a session, where nothing was on its way any more.
    pub ends: BTreeMap<usize, usize>,
}

/// What has gone wrong, and how it came to that.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The scene's name.
    pub scene: &'static str,
    /// The moves, in short.
    pub path: String,
    /// The same in words.
    pub words: Vec<String>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.scene, self.what)?;
        for words in &self.words {
            writeln!(f, "  {words}")?;
        }
        write!(f, "again: races --scene '{}' --path '{}'", self.scene, self.path)
    }
}

impl Scene {
    /// The scene of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        SCENES.iter().find(|scene| scene.name == name)
    }

    fn begin(&self) -> System {
        let reliable = self.scripts.concat().contains(&Command::Progress);
        let mut system = System::new(self.scripts.len(), reliable);
        for (party, command) in self.before {
            assert!(system.command(*party, *command), "{command:?} can be given");
            while let Some(next) = system.arrivals().first() {
                assert!(system.make(&[], *next), "{next} can be made");
            }
        }
        system.begin_scripts();
        system
    }

    /// Searches all orders within these bounds, the shortest first.
    ///
    /// # Errors
    /// The first violation.
    pub fn search(&self, bounds: &Bounds) -> Result<Seen, Box<Violation>> {
        let mut seen = Seen::default();
        let begin = self.begin();
        let mut known = HashSet::from([begin.print()]);
        let mut front = VecDeque::from([(begin, Vec::new())]);
        while let Some((system, path)) = front.pop_front() {
            seen.states += 1;
            seen.depth = seen.depth.max(path.len());
            let left_alone = system.arrivals().first().copied();
            let moves = if path.len() == bounds.depth {
                seen.cut |= !self.moves(&system, bounds).is_empty();
                Vec::new()
            } else {
                self.moves(&system, bounds)
            };
            // Left alone it goes on as the state does that the first arrival leads to, and that one is looked at, too.
            let mut goes_on = false;
            for what in moves {
                let mut next = system.clone();
                let mut longer: Vec<Move> = path.clone();
                longer.push(what);
                if !self.guard(&longer, || next.make(self.scripts, what))? {
                    continue;
                }
                seen.moves += 1;
                let print = next.print();
                if known.contains(&print) {
                    goes_on |= Some(what) == left_alone;
                } else if known.len() == bounds.states {
                    seen.cut = true;
                } else {
                    goes_on |= Some(what) == left_alone;
                    known.insert(print);
                    front.push_back((next, longer));
                }
            }
            if !goes_on {
                let ends = self.guard(&path, || system.judge())?;
                *seen.ends.entry(ends.sessions).or_default() += 1;
            }
        }
        Ok(seen)
    }

    /// What can be next, within these bounds.
    fn moves(&self, system: &System, bounds: &Bounds) -> Vec<Move> {
        let mut moves = system.moves(self.scripts);
        moves.extend(system.mishaps().into_iter().filter(|what| match what {
            Move::Fire(_) => system.fired < bounds.fires,
            Move::Reset(_) => system.resets < bounds.resets,
            Move::Command(..) | Move::Arrive(..) => true,
        }));
        moves
    }

    /// Goes one way, as a violation shows it, and tells it in words.
    ///
    /// # Errors
    /// The path is not one; the violation at its end.
    pub fn follow(&self, path: &str) -> Result<Vec<String>, String> {
        let moves = path.split_whitespace().map(|word| read(word).ok_or(word));
        let moves: Vec<Move> = moves
            .collect::<Result<_, _>>()
            .map_err(|word| format!("'{word}' is no move"))?;
        let words = self.words(&moves);
        let mut system = self.begin();
        for what in &moves {
            if !system.make(self.scripts, *what) {
                return Err(format!("{}\n{what} cannot be made", words.join("\n")));
            }
        }
        let ends = self.guard(&moves, || system.judge());
        ends.map(|_| words).map_err(|violation| violation.to_string())
    }

    fn words(&self, path: &[Move]) -> Vec<String> {
        let mut system = self.begin();
        let mut words = Vec::new();
        for what in path {
            words.push(format!("{what}: {}", system.words(self.scripts, *what)));
            let made = catch_unwind(AssertUnwindSafe(|| system.make(self.scripts, *what)));
            if made.is_err() {
                break;
            }
        }
        words
    }

    fn guard<T>(&self, path: &[Move], run: impl FnOnce() -> T) -> Result<T, Box<Violation>> {
        catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
            let words = panic.downcast_ref::<String>().cloned();
            let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()));
            let short: Vec<_> = path.iter().map(Move::to_string).collect();
            Box::new(Violation {
                scene: self.name,
                path: short.join(" "),
                words: self.words(path),
                what: words.unwrap_or_default(),
            })
        })
    }
}

/// One course of events between them, step by step.
#[derive(Clone)]
pub struct Course(System);

impl Course {
    /// From the beginning of a scene.
    pub fn of(scene: &Scene) -> Self {
        Self(scene.begin())
    }

    /// A party gives a command.
    ///
    /// # Panics
    /// It may not.
    pub fn gives(&mut self, party: usize, command: Command) {
        let given = self.0.command(party, command);
        assert!(given, "party {party} cannot give {command:?}");
    }

    /// What is first on its way to a party arrives: the method of a request, the status of a response, or how its
    /// connection ends. On the oldest connection that has something for it.
    ///
    /// # Panics
    /// There is nothing.
    pub fn gets(&mut self, party: usize) -> String {
        let moves = self.0.arrivals();
        let is_this = |what: &&Move| matches!(what, Move::Arrive(_, at) if *at == party);
        let what = *moves.iter().find(is_this).expect("nothing is on its way");
        let words = self.0.first_word(what);
        assert!(self.0.make(&[], what), "{what} can be made");
        words
    }

    /// A connection is reset; its ends have yet to hear of it.
    ///
    /// # Panics
    /// There is none.
    pub fn resets(&mut self, connection: usize) {
        assert!(
            self.0.make(&[], Move::Reset(connection)),
            "no connection {connection}"
        );
    }

    /// The next timer of a party fires.
    ///
    /// # Panics
    /// There is none.
    pub fn fires(&mut self, party: usize) {
        assert!(self.0.make(&[], Move::Fire(party)), "party {party} has no timer");
    }

    /// Leaves all alone, and gives how many have a session then.
    ///
    /// # Panics
    /// Something never completes, they do not agree, or something is held after both have ended.
    pub fn ends(self) -> usize {
        self.0.judge().sessions
    }
}

impl fmt::Debug for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Course").field(&self.0.print()).finish()
    }
}

/// A move as it is shown.
fn read(word: &str) -> Option<Move> {
    let (kind, numbers) = word.split_at_checked(1)?;
    let mut numbers = numbers.split('.').map(|number| number.parse().ok());
    let mut number = || numbers.next().flatten();
    match kind {
        "c" => Some(Move::Command(number()?, number()?)),
        "a" => Some(Move::Arrive(number()?, number()?)),
        "f" => Some(Move::Fire(number()?)),
        "r" => Some(Move::Reset(number()?)),
        _ => None,
    }
}
