//! Lives in which a path breaks without a word and heals, and how long endpoints were out of reach: `recovery --help`.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use clap::Parser;
use sansip_testkit::recovery::{self, Distribution};
use sansip_testkit::world::World;

/// Random breaks of the path to a server: each endpoint has to be reachable again within the bound of rule R19.
#[derive(Debug, Parser)]
#[command(name = "recovery")]
struct Arguments {
    /// How many seeds are lived.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    from: u64,
    /// On how many threads; by default one for each core.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// A life that misses its bound panics, which ends the program with the world's last lines and the seed.
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let begun = Instant::now();
    let next = AtomicU64::new(0);
    let all: Mutex<Distribution> = Mutex::default();
    let failed = std::thread::scope(|scope| {
        let lives = || {
            let mut own = Distribution::default();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= arguments.seeds {
                    break;
                }
                let seed = arguments.from + number;
                let mut world = World::new(seed);
                own.add(&recovery::live(&mut world, seed));
                world.finish();
            }
            all.lock().unwrap_or_else(PoisonError::into_inner).absorb(&own);
        };
        let threads: Vec<_> = (0..arguments.threads.unwrap_or(cores))
            .map(|_| scope.spawn(lives))
            .collect();
        threads
            .into_iter()
            .filter_map(|thread| thread.join().err())
            .count()
    });
    let all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    let seconds = begun.elapsed().as_secs_f64();
    println!("{} lives in {seconds:.1} s\n{all}", arguments.seeds);
    ExitCode::from(u8::from(failed > 0))
}
