//! Which mutant is alive, by the variable `SANSIP_MUTANT`; where `SANSIP_PASSED` names a file, each test writes there
//! which ones it comes past.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::sync::LazyLock;
use std::{env, format, string::String};

static ALIVE: LazyLock<Option<u32>> = LazyLock::new(|| env::var("SANSIP_MUTANT").ok()?.parse().ok());
static PASSED: LazyLock<Option<String>> = LazyLock::new(|| env::var("SANSIP_PASSED").ok());

std::thread_local! {
    static SEEN: RefCell<HashSet<u32>> = RefCell::new(HashSet::new());
}

pub(crate) fn on(mutants: &[u32]) -> bool {
    if let Some(alive) = *ALIVE {
        return mutants.contains(&alive);
    }
    if let Some(file) = &*PASSED {
        let first = mutants.first().copied().unwrap_or(0);
        let new = SEEN.try_with(|seen| seen.borrow_mut().insert(first)).unwrap_or(false);
        if new {
            let thread = std::thread::current();
            let mut lines = String::new();
            for mutant in mutants {
                lines += &format!("{mutant} {}\n", thread.name().unwrap_or("?"));
            }
            let file = OpenOptions::new().append(true).create(true).open(file);
            let _ = file.map(|mut file| file.write_all(lines.as_bytes()));
        }
    }
    false
}
