//! The shell around every target: libFuzzer brings the bytes, an allocator counts what they cost, and the kit judges.

use std::alloc::System;
use std::time::{Duration, Instant};

pub use libfuzzer_sys::fuzz_target;
use sansip_testkit::fuzz::{Target, Work};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How often an input that took too long is run again: what it reads may have been elsewhere.
const AGAIN: usize = 5;

/// What the clock says that only runs while this thread does, so that nothing else on the machine counts; `None` where
/// the system has none to read without further ado.
fn thread_time() -> Option<Duration> {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let spent = times.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(spent)).filter(|spent| !spent.is_zero())
}

/// Runs one input of the target of this name.
pub fn judge(name: &str, bytes: &[u8]) {
    let target = Target::named(name).expect("a target of the kit");
    let run = || {
        let (begun, before) = (Instant::now(), thread_time());
        let most = target.judge(bytes, || {
            let stats = ALLOCATOR.stats();
            Work {
                bytes: stats.bytes_allocated,
                calls: stats.allocations + stats.reallocations,
            }
        });
        let spent = thread_time()
            .zip(before)
            .map(|(after, before)| after.saturating_sub(before));
        (spent.unwrap_or_else(|| begun.elapsed()), most)
    };
    let (mut took, most) = run();
    for _ in 0..AGAIN {
        if took <= most {
            return;
        }
        took = took.min(run().0);
    }
    assert!(
        took <= most,
        "{name}: {} bytes took {took:?}, more than {most:?}",
        bytes.len()
    );
}

/// The whole of a fuzz binary.
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        $crate::fuzz_target!(|bytes: &[u8]| $crate::judge($name, bytes));
    };
}
