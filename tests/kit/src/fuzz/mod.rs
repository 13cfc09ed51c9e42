//! What the fuzzers run: functions of bytes that panic where the bytes have found something.
//!
//! A fuzz binary is a shell over [`Target::judge`], and stable tests replay the committed corpus through the same
//! function. Besides panics it looks at work: what a target allocates is bounded by the length of its input and the
//! number of steps that the input asks for, so that no small input is expensive.
//!
//! [`stack()`] and [`frontend()`] read their bytes as a scenario: letters for what happens, each followed by its
//! arguments (see there); [`security()`] has one for what all the rest is; [`world()`] reads them as steps of [`soak`](crate::soak). Every byte means something, so that a fuzzer wastes none, and a person can write one down.

use std::time::Duration;

mod frontend;
mod resolver;
pub(crate) mod script;
mod security;
mod stack;
pub(crate) mod talk;
mod wire;
mod world;

pub use frontend::frontend;
pub use security::security;
pub use stack::{recording, stack};
pub use wire::{frame, message, roundtrip, uri};
pub use world::world;

/// What a run has cost so far, by an allocator that counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Bytes asked for, whether or not they were given back.
    pub bytes: usize,
    /// How often memory was asked for.
    pub calls: usize,
}

const TIME_BASE: Duration = Duration::from_millis(100);
const TIME_PER_BYTE: Duration = Duration::from_micros(100);
const TIME_PER_STEP: Duration = Duration::from_millis(50);

/// One thing to fuzz.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name of the binary and of the folder with its corpus.
    pub name: &'static str,
    /// Runs the bytes; gives the number of steps that they asked for, for which there is an allowance apart.
    run: fn(&[u8]) -> usize,
    /// What an empty input may cost.
    base: Work,
    /// What each byte may add.
    per_byte: Work,
    /// What each step may add.
    per_step: Work,
}

const fn work(bytes: usize, calls: usize) -> Work {
    Work { bytes, calls }
}

/// All targets, by name. The bounds are a few times what the corpus costs; what a stream may cost at most is a list of
/// its CRLFs, once for each way of cutting it.
pub const TARGETS: [Target; 8] = [
    Target {
        name: "frame",
        run: frame,
        base: work(2 << 10, 32),
        per_byte: work(160, 1),
        per_step: work(0, 0),
    },
    Target {
        name: "message",
        run: message,
        base: work(2 << 10, 32),
        per_byte: work(64, 1),
        per_step: work(0, 0),
    },
    Target {
        name: "uri",
        run: uri,
        base: work(1 << 10, 32),
        // To be compared, many headers are sorted: a header has three bytes at least, and its place in a list takes 32.
        per_byte: work(256, 1),
        per_step: work(0, 0),
    },
    Target {
        name: "roundtrip",
        run: roundtrip,
        base: work(2 << 10, 32),
        per_byte: work(64, 1),
        per_step: work(0, 0),
    },
    Target {
        name: "security",
        run: security,
        // A whole log-on, or a dozen header fields read and written.
        base: work(32 << 10, 384),
        per_byte: work(256, 1),
        per_step: work(0, 0),
    },
    Target {
        name: "stack",
        run: stack,
        base: work(64 << 10, 1 << 10),
        per_byte: work(512, 4),
        per_step: work(8 << 10, 64),
    },
    Target {
        name: "frontend",
        run: frontend,
        base: work(32 << 10, 512),
        per_byte: work(512, 4),
        per_step: work(8 << 10, 64),
    },
    Target {
        name: "world",
        run: world,
        // Two servers and a dozen endpoints that register, and live on for hours after the last step.
        base: work(8 << 20, 96 << 10),
        per_byte: work(0, 0),
        per_step: work(4 << 20, 32 << 10),
    },
];

impl Target {
    /// The target of this name.
    pub fn named(name: &str) -> Option<Self> {
        TARGETS.into_iter().find(|target| target.name == name)
    }

    /// Runs the bytes, and gives the time that they may take at most. `spent` says what the process has allocated so far.
    ///
    /// That time is some hundreds of times what a byte and a step take where the machine has nothing else to do: work that
    /// grows much faster than its input goes beyond it before the longest input. Only a fuzzer has a clock to hold it
    /// against.
    ///
    /// # Panics
    /// The bytes have found something, or allocate more than they may.
    pub fn judge(&self, bytes: &[u8], spent: impl Fn() -> Work) -> Duration {
        let before = spent();
        let steps = (self.run)(bytes);
        let after = spent();
        let cost = work(after.bytes - before.bytes, after.calls - before.calls);
        let allowed =
            |base: usize, per_byte: usize, per_step: usize| base + per_byte * bytes.len() + per_step * steps;
        let most = work(
            allowed(self.base.bytes, self.per_byte.bytes, self.per_step.bytes),
            allowed(self.base.calls, self.per_byte.calls, self.per_step.calls),
        );
        assert!(
            cost.bytes <= most.bytes && cost.calls <= most.calls,
            "{}: {} bytes and {steps} steps cost {cost:?}, more than {most:?}",
            self.name,
            bytes.len(),
        );
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        TIME_BASE + TIME_PER_BYTE * count(bytes.len()) + TIME_PER_STEP * count(steps)
    }
}
