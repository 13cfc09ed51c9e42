//! The shell around every target: libFuzzer brings the bytes, an allocator counts what they cost, and the kit judges.

use std::alloc::System;

pub use libfuzzer_sys::fuzz_target;
use sansip_testkit::fuzz::{Target, Work};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Runs one input of the target of this name.
pub fn judge(name: &str, bytes: &[u8]) {
    let target = Target::named(name).expect("a target of the kit");
    target.judge(bytes, || {
        let stats = ALLOCATOR.stats();
        Work {
            bytes: stats.bytes_allocated,
            calls: stats.allocations + stats.reallocations,
        }
    });
}

/// The whole of a fuzz binary.
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        $crate::fuzz_target!(|bytes: &[u8]| $crate::judge($name, bytes));
    };
}
