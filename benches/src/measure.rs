//! The instruments: instructions by callgrind, allocations and bytes by an allocator that counts, time by rounds in
//! which every case has its turn.
//!
//! Time is only ever given as a ratio to the first case of the same round: a bare time says more about a machine and
//! its load than about a program.

use std::alloc::System;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::Command;
use std::time::{Duration, Instant};

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Turns that every case has for its time.
const ROUNDS: usize = 151;

/// How long a case runs in one turn.
const TURN: Duration = Duration::from_micros(400);

/// Something to measure.
pub struct Case {
    /// What is done: the row of the table.
    pub what: &'static str,
    /// Who does it.
    pub who: &'static str,
    /// How many operations one run is.
    pub operations: u64,
    stage: Stage,
}

/// What a case needs is made when it runs for the first time.
enum Stage {
    New(Box<dyn Fn() -> Box<dyn FnMut()>>),
    Ready(Box<dyn FnMut()>),
}

impl Case {
    /// A case whose every run does so many operations. `prepare` makes what it needs and gives what one run does.
    pub fn new<R: FnMut() + 'static>(
        what: &'static str,
        who: &'static str,
        operations: u64,
        prepare: impl Fn() -> R + 'static,
    ) -> Self {
        Self {
            what,
            who,
            operations,
            stage: Stage::New(Box::new(move || Box::new(prepare()))),
        }
    }

    fn repeat(&mut self, times: u64) {
        if let Stage::New(prepare) = &self.stage {
            self.stage = Stage::Ready(prepare());
        }
        if let Stage::Ready(run) = &mut self.stage {
            (0..times).for_each(|_| run());
        }
    }

    fn time(&mut self, times: u64) -> f64 {
        let start = Instant::now();
        self.repeat(times);
        start.elapsed().as_secs_f64() / (times * self.operations) as f64
    }
}

/// What one operation of a case took.
#[derive(Clone, Debug, Default)]
pub struct Cost {
    /// Time, as a multiple of that of the first case.
    pub time: f64,
    /// Instructions; `None` where there is no valgrind.
    pub instructions: Option<f64>,
    /// Allocations and reallocations.
    pub allocations: f64,
}

/// Allocations and reallocations in `work`, and the bytes that are still held after it.
pub fn allocated<T>(work: impl FnOnce() -> T) -> (usize, isize, T) {
    let region = Region::new(ALLOCATOR);
    let result = work();
    let change = region.change();
    let signed = |bytes: usize| isize::try_from(bytes).unwrap_or(isize::MAX);
    let held = signed(change.bytes_allocated) - signed(change.bytes_deallocated);
    (change.allocations + change.reallocations, held, result)
}

fn allocations(case: &mut Case) -> f64 {
    const RUNS: u64 = 20;
    case.repeat(3);
    let (count, ..) = allocated(|| case.repeat(RUNS));
    count as f64 / (RUNS * case.operations) as f64
}

/// How many runs of this case make a turn.
fn calibrate(case: &mut Case) -> u64 {
    let mut times = 1;
    loop {
        let start = Instant::now();
        case.repeat(times);
        if start.elapsed() >= TURN || times > 1 << 20 {
            return times;
        }
        times *= 2;
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// The time of each case as a multiple of that of the first: the median over all rounds.
fn times(cases: &mut [Case]) -> Vec<f64> {
    let turns: Vec<u64> = cases.iter_mut().map(calibrate).collect();
    let mut ratios = vec![Vec::with_capacity(ROUNDS); cases.len()];
    for _ in 0..ROUNDS {
        let mut first = None;
        for ((case, turn), ratios) in cases.iter_mut().zip(&turns).zip(&mut ratios) {
            let time = case.time(*turn);
            ratios.push(time / *first.get_or_insert(time));
        }
    }
    ratios.into_iter().map(median).collect()
}

/// Instructions of one operation: this program runs under callgrind with two numbers of runs, and the difference is
/// what the further ones took.
fn instructions(case: usize, operations: u64) -> Option<f64> {
    const FEW: u64 = 2;
    const MANY: u64 = 12;
    let few = callgrind(case, FEW)?;
    let many = callgrind(case, MANY)?;
    Some((many - few) / ((MANY - FEW) * operations) as f64)
}

fn callgrind(case: usize, runs: u64) -> Option<f64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().ok()?)
        .args(["--run", &case.to_string(), &runs.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().find_map(|line| line.split_once("Collected : "))?;
    collected.1.trim().parse().ok()
}

/// Measures every case; the first one is the measure of time.
fn costs(cases: &mut [Case]) -> Vec<Cost> {
    let (times, count) = (times(cases), cases.len());
    let costs = cases
        .iter_mut()
        .enumerate()
        .zip(times)
        .map(|((at, case), time)| {
            eprint!("\r{} of {count}: {} ({})\x1b[K", at + 1, case.what, case.who);
            Cost {
                time,
                instructions: instructions(at, case.operations),
                allocations: allocations(case),
            }
        })
        .collect();
    eprint!("\r\x1b[K");
    costs
}

/// The value of a column as it is printed, with three significant digits.
fn digits(value: f64) -> String {
    match value {
        _ if value == value.trunc() || value >= 100.0 => format!("{value:.0}"),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn table(cases: &[Case], costs: &[Cost], held: &[(&str, f64)]) -> String {
    let first = cases.first().map_or("", |case| case.who);
    let mut out = format!(
        "| what | who | time ({first} = 1) | instructions | allocations | bytes held |\n|---|---|--:|--:|--:|--:|\n"
    );
    for (case, cost) in cases.iter().zip(costs) {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | |",
            case.what,
            case.who,
            digits(cost.time),
            cost.instructions.map_or_else(|| "no valgrind".into(), digits),
            digits(cost.allocations)
        );
    }
    for (what, bytes) in held {
        let _ = writeln!(out, "| {what} | sansip | | | | {} |", digits(bytes.round()));
    }
    out
}

/// What a benchmark program does: prints the table, or, called by itself under callgrind with `--run CASE TIMES`, runs
/// one case. `verdict` says what comes of the costs.
///
/// # Errors
/// Standard output is closed.
pub fn run(cases: &dyn Fn() -> Vec<Case>, verdict: &dyn Fn(&[Case], &[Cost]) -> String) -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut cases = cases();
    if let [flag, case, times] = arguments.as_slice()
        && flag == "--run"
    {
        let chosen = case.parse().ok().and_then(|case: usize| cases.get_mut(case));
        if let (Some(case), Ok(times)) = (chosen, times.parse()) {
            case.repeat(times);
        }
        return Ok(());
    }
    let held = crate::held::all();
    let costs = costs(&mut cases);
    let mut out = io::stdout();
    out.write_all(table(&cases, &costs, &held).as_bytes())?;
    out.write_all(verdict(&cases, &costs).as_bytes())
}
