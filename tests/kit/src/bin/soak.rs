//! Lives scenarios in a simulated world until something is found: `soak --help`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use sansip_testkit::soak::fleet::{self, Fleet};
use sansip_testkit::soak::year::{self, Years};
use sansip_testkit::soak::{self, Failure, Scenario, Tally};

/// Random lives of whole systems, each lived twice, compared, and judged by what can be seen from outside.
#[derive(Debug, Parser)]
#[command(name = "soak")]
struct Arguments {
    /// How many seeds are lived.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    from: u64,
    /// How many steps each life has.
    #[arg(long, default_value_t = soak::STEPS, value_name = "N")]
    steps: usize,
    /// On how many threads; by default one for each core.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// One seed only.
    #[arg(long, value_name = "SEED", conflicts_with_all = ["scenario", "bytes"])]
    seed: Option<u64>,
    /// One scenario only, as a failure prints it.
    #[arg(long, value_name = "TEXT", conflicts_with = "bytes")]
    scenario: Option<Scenario>,
    /// The scenario that a file's bytes are, as a fuzzer has it.
    #[arg(long, value_name = "FILE")]
    bytes: Option<PathBuf>,
    /// So many endpoints lose their server at one instant, and are registered again.
    #[arg(long, value_name = "ENDPOINTS", conflicts_with_all = ["scenario", "bytes"])]
    fleet: Option<usize>,
    /// So many years of endpoints with a fault every hour.
    #[arg(long, value_name = "N", conflicts_with_all = ["scenario", "bytes", "fleet"])]
    years: Option<u64>,
    /// The same for so many days.
    #[arg(long, value_name = "N", conflicts_with_all = ["scenario", "bytes", "fleet", "years"])]
    days: Option<u64>,
    /// The same for so many hours.
    #[arg(long, value_name = "N", conflicts_with_all = ["scenario", "bytes", "fleet", "years", "days"])]
    hours: Option<u64>,
    /// How many endpoints live so long.
    #[arg(long, default_value_t = 100, value_name = "N")]
    endpoints: usize,
    /// Go on after a failure, and tell all kinds that were found.
    #[arg(long)]
    keep_going: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(endpoints) = arguments.fleet {
        return lose(Fleet {
            endpoints,
            seed: arguments.seed.unwrap_or_default(),
        });
    }
    if let Some(hours) = hours(&arguments) {
        return last(Years {
            hours,
            endpoints: arguments.endpoints,
            seed: arguments.seed.unwrap_or_default(),
        });
    }
    let single = match one(&arguments) {
        Ok(single) => single,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let begun = Instant::now();
    let (tally, lives, failures) = match &single {
        Some(scenario) => match soak::find(scenario) {
            Ok(tally) => (tally, 1, Vec::new()),
            Err(failure) => (Tally::default(), 1, vec![*failure]),
        },
        None => many(&arguments),
    };
    for failure in &failures {
        eprintln!("{failure}\n");
    }
    let rate = lives as f64 / begun.elapsed().as_secs_f64();
    println!("{lives} scenarios, each lived twice: {rate:.0} a second\n{tally}");
    let missing = if single.is_none() && failures.is_empty() {
        tally.missing()
    } else {
        Vec::new()
    };
    for what in &missing {
        println!("{what}");
    }
    ExitCode::from(u8::from(!failures.is_empty() || !missing.is_empty()))
}

/// A fleet, and what it cost.
fn lose(fleet: Fleet) -> ExitCode {
    let begun = Instant::now();
    let regained = match fleet::run(fleet) {
        Ok(regained) => regained,
        Err(unfit) => {
            eprintln!("{unfit}");
            return ExitCode::FAILURE;
        }
    };
    println!(
        "{regained}\nlived twice in {:.1} s{}",
        begun.elapsed().as_secs_f64(),
        memory()
    );
    ExitCode::SUCCESS
}

/// How many hours are to be lived, where a long time is.
fn hours(arguments: &Arguments) -> Option<u64> {
    let years = arguments.years.map(|years| years * 365 * 24);
    let days = arguments.days.map(|days| days * 24);
    years.or(days).or(arguments.hours)
}

/// A long time, and what it cost.
fn last(years: Years) -> ExitCode {
    let begun = Instant::now();
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} hours, {eta} left: {msg}");
    let bar = ProgressBar::new(2 * years.hours).with_style(style.expect("a template of the kinds there are"));
    let lived = year::run(years, |time, hour, tally| {
        let hours = u64::try_from(time).unwrap_or_default() * years.hours + hour + 1;
        bar.set_position(hours);
        if hours.is_multiple_of(100) {
            bar.set_message(format!(
                "{} operations, {}",
                tally.succeeded + tally.failed,
                tally.recoveries
            ));
        }
    });
    bar.finish_and_clear();
    let tally = match lived {
        Ok(tally) => tally,
        Err(finding) => {
            eprintln!("{finding}");
            return ExitCode::FAILURE;
        }
    };
    println!(
        "{} hours of {} endpoints, lived twice in {:.1} s{}\n{tally}",
        years.hours,
        years.endpoints,
        begun.elapsed().as_secs_f64(),
        memory()
    );
    println!("census at the end: nothing is held");
    let missing = year::missing(&tally, years);
    missing.iter().for_each(|what| println!("{what}"));
    ExitCode::from(u8::from(!missing.is_empty()))
}

/// The most memory that this process has held, where the system says it.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    most.map_or_else(String::new, |most| format!(", {} at most", most.trim()))
}

fn one(arguments: &Arguments) -> Result<Option<Scenario>, String> {
    if let Some(path) = &arguments.bytes {
        let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        return Ok(Some(Scenario::of_bytes(&bytes)));
    }
    let seeded = arguments
        .seed
        .map(|seed| Scenario::of_seed(seed, arguments.steps));
    Ok(arguments.scenario.clone().or(seeded))
}

/// Each thread takes the next seed, until all are lived or something is found.
fn many(arguments: &Arguments) -> (Tally, u64, Vec<Failure>) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len}, {per_sec}, {eta} left {msg}");
    let bar = ProgressBar::new(arguments.seeds).with_style(style.expect("a template of the kinds there are"));
    bar.enable_steady_tick(Duration::from_millis(200));
    let next = AtomicU64::new(0);
    let found: Mutex<(Tally, u64, Vec<Failure>)> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.unwrap_or(cores) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= arguments.seeds {
                        return;
                    }
                    let scenario = Scenario::of_seed(arguments.from + number, arguments.steps);
                    let result = soak::run(&scenario);
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    found.1 += 1;
                    bar.inc(1);
                    match result {
                        Ok(tally) => found.0.absorb(&tally),
                        Err(failure) if found.2.iter().any(|known| known.kind() == failure.kind()) => {}
                        Err(failure) => {
                            found.2.push(*failure);
                            bar.set_message(format!("{} failures", found.2.len()));
                            if !arguments.keep_going {
                                next.store(arguments.seeds, Ordering::Relaxed);
                            }
                        }
                    }
                }
            });
        }
    });
    bar.finish_and_clear();
    let (tally, lives, failures) = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    let shortened = failures
        .into_iter()
        .map(|failure| soak::shrink(failure, soak::run));
    (tally, lives, shortened.collect())
}
