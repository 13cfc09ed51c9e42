//! Builds the copy and runs its tests.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, thread};

use serde_json::Value;

use crate::schema::Mutant;
use crate::{Result, write};

/// Suites that are left out: those of the adapters, which have the real network in them; those that look at the sources;
/// those of long lives, which take longer than all others together; and those with an allocator of their own.
const LEFT_OUT: [&str; 10] = [
    "adapters",
    "allocation",
    "configuration",
    "fleet",
    "fuzz",
    "lab",
    "laws",
    "month",
    "rules",
    "tracing",
];

/// What runs a thousand times is built for that.
const QUICK: [&str; 5] = [
    "profile.dev.package.sansip.debug=0",
    "profile.dev.package.sansip.opt-level=1",
    "profile.dev.package.sansip-tests.debug=0",
    "profile.dev.package.sansip-testkit.debug=0",
    "profile.dev.package.sansip-testkit.opt-level=1",
];

/// How many seconds of tests a mutant has to outlive in the first round.
const FIRST_ROUND: f64 = 3.0;

/// A test that takes longer goes through many lives that are drawn at random, and tells the same as the others at best.
const LONG: f64 = 2.0;

/// So much of the processor's time, and ten times what it takes otherwise, a test is given before it counts as hung.
const HUNG_AFTER: f64 = 5.0;

/// With these a process is ended that has used up its time.
const SIGKILL: i32 = 9;
const SIGXCPU: i32 = 24;

/// What the tests said of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Caught,
    /// A test did not end.
    Hung,
    /// All tests that come past it pass.
    Survives {
        passed: usize,
    },
}

/// An error of the compiler: where, and what it says.
pub(crate) struct Problem {
    pub(crate) spans: Vec<(String, usize)>,
    pub(crate) text: String,
}

fn cargo(tree: &Path, work: &Path, words: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command
        .args(words)
        .args(["--message-format", "json"])
        .args(QUICK.iter().flat_map(|setting| ["--config", setting]))
        .current_dir(tree)
        .env("CARGO_TARGET_DIR", work.join("target"))
        .env("SANSIP_SHARED", shared(tree))
        .stderr(Stdio::inherit());
    command
}

fn shared(tree: &Path) -> PathBuf {
    let beside = || tree.join("../../../../shared");
    env::var_os("SANSIP_SHARED").map_or_else(beside, PathBuf::from)
}

fn messages(out: &[u8]) -> Vec<Value> {
    let out = String::from_utf8_lossy(out);
    out.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// The compiler's errors in the library.
pub(crate) fn check(tree: &Path, work: &Path) -> Result<Vec<Problem>> {
    let words = ["check", "-q", "-p", "sansip", "--lib", "--features", "record"];
    let out = cargo(tree, work, &words).stderr(Stdio::null()).output()?;
    let messages = messages(&out.stdout);
    let errors = messages
        .iter()
        .filter_map(|line| line.get("message"))
        .filter(|message| message.get("level").and_then(Value::as_str) == Some("error"));
    let mut problems = Vec::new();
    for error in errors {
        let spans = error
            .get("spans")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        // "aborting due to .. errors" has no place.
        if spans.is_empty() {
            continue;
        }
        let mut spans: Vec<_> = spans
            .iter()
            .filter_map(|span| {
                let is_other = span.get("is_primary").and_then(Value::as_bool) != Some(true);
                let file = span.get("file_name")?.as_str()?.to_owned();
                let at = usize::try_from(span.get("byte_start")?.as_u64()?).ok()?;
                Some((is_other, file, at))
            })
            .collect();
        spans.sort();
        problems.push(Problem {
            spans: spans.into_iter().map(|(_, file, at)| (file, at)).collect(),
            text: error
                .get("rendered")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
        });
    }
    Ok(problems)
}

/// A test: the program that it is in, its name there, and how long it takes.
#[derive(Clone, Debug)]
pub(crate) struct Test {
    program: usize,
    name: String,
    seconds: f64,
}

/// For each mutant the tests that come past it, those of the library first, and then the quick ones.
pub(crate) type Reach = BTreeMap<usize, Vec<Test>>;

pub(crate) struct Runs {
    /// The library's tests, and then one for each suite.
    programs: Vec<(String, PathBuf)>,
    tree: PathBuf,
    work: PathBuf,
}

impl Runs {
    pub(crate) fn build(tree: &Path, work: &Path) -> Result<Self> {
        let path = tree.join("tests/Cargo.toml");
        let manifest = fs::read_to_string(&path)?;
        let suites = manifest
            .split("[[test]]")
            .skip(1)
            .filter_map(|part| part.split('"').nth(1));
        // All in one program: it is built once, and what is common to them not thirty times.
        let modules = suites
            .filter(|suite| !LEFT_OUT.contains(suite))
            .map(|suite| format!("#[path = \"{suite}.rs\"]\nmod {suite};\n"));
        let one = format!("//! All suites.\n\n{}", modules.collect::<String>());
        write(&tree.join("tests/suites/one.rs"), one.as_bytes())?;
        let more = "\n[[test]]\nname = \"one\"\npath = \"suites/one.rs\"\n";
        write(&path, format!("{manifest}{more}").as_bytes())?;
        let one = ["test", "-q", "--no-run", "-p", "sansip-tests", "--test", "one"];
        let mut programs = Vec::new();
        for words in [&["test", "-q", "--no-run", "-p", "sansip", "--lib"][..], &one] {
            println!("cargo {}", words.join(" "));
            let out = cargo(tree, work, words).output()?;
            if !out.status.success() {
                return Err("the tests do not build".into());
            }
            for line in messages(&out.stdout) {
                let is_test = line.pointer("/profile/test").and_then(Value::as_bool) == Some(true);
                let path = line.get("executable").and_then(Value::as_str);
                let name = line.pointer("/target/name").and_then(Value::as_str);
                if let (true, Some(path), Some(name)) = (is_test, path, name) {
                    programs.push((name.to_owned(), PathBuf::from(path)));
                }
            }
        }
        let (tree, work) = (tree.to_owned(), work.to_owned());
        Ok(Self { programs, tree, work })
    }

    /// A run of a program, within bounds: a mutant may loop, and may take memory as it does. The bounds are of the
    /// processor's time, so that another load does not matter.
    fn command(&self, program: usize, seconds: f64) -> Command {
        let path = self
            .programs
            .get(program)
            .map(|(_, path)| path.clone())
            .unwrap_or_default();
        let folder = if program == 0 { "core" } else { "tests" };
        let mut command = Command::new("sh");
        command
            .args(["-c", r#"ulimit -t "$0"; ulimit -v 8000000; exec "$@""#])
            .arg(format!("{}", seconds.ceil()))
            .arg(path)
            .args(["-Z", "unstable-options", "-q"])
            // The harness has what is needed of it behind a gate that this opens.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUST_BACKTRACE", "0")
            .env("SANSIP_SHARED", shared(&self.tree))
            .env("CARGO_MANIFEST_DIR", self.tree.join(folder))
            .current_dir(self.tree.join(folder))
            .stdin(Stdio::null());
        command
    }

    /// Runs every test once, without a mutant.
    pub(crate) fn reach(&self) -> Result<Reach> {
        let mut reach = Reach::new();
        for (program, (name, _)) in self.programs.iter().enumerate() {
            let passed = self.work.join(format!("passed.{name}"));
            drop(fs::remove_file(&passed));
            let mut command = self.command(program, 3600.0);
            command.args(["--report-time", "--format", "json", "--test-threads", "2"]);
            let out = command.env("SANSIP_PASSED", &passed).output()?;
            let events = messages(&out.stdout);
            let mut times = BTreeMap::new();
            for event in events {
                let name = event.get("name").and_then(Value::as_str).unwrap_or_default();
                match event.get("event").and_then(Value::as_str) {
                    Some("ok") => {
                        let time = event.get("exec_time").and_then(Value::as_f64).unwrap_or(0.0);
                        times.insert(name.to_owned(), time);
                    }
                    Some("failed") if !name.is_empty() => {
                        println!("fails without a mutant, and is left out: {name}");
                    }
                    _ => {}
                }
            }
            println!(
                "{name}: {} tests, {:.0} s",
                times.len(),
                times.values().sum::<f64>()
            );
            for line in fs::read_to_string(&passed).unwrap_or_default().lines() {
                let Some((number, test)) = line.split_once(' ') else {
                    continue;
                };
                if let Some(time) = times.get(test).filter(|time| **time < LONG) {
                    let tests = reach.entry(number.parse()?).or_default();
                    tests.push(Test {
                        program,
                        name: test.to_owned(),
                        seconds: *time,
                    });
                }
            }
        }
        for tests in reach.values_mut() {
            tests.sort_by(|a, b| {
                a.program
                    .min(1)
                    .cmp(&b.program.min(1))
                    .then(a.seconds.total_cmp(&b.seconds))
            });
        }
        Ok(reach)
    }

    /// What the tests say of each. Where the tests of a first round pass, the mutant comes to the second, which has all:
    /// so what is caught is soon told from what may be not.
    pub(crate) fn judge(&self, alive: &[&Mutant], reach: &Reach) -> Result<Vec<Verdict>> {
        let memory = self.work.join("caught");
        let text = fs::read_to_string(&memory).unwrap_or_default();
        let before: BTreeMap<_, _> = text.lines().filter_map(|line| line.split_once('\t')).collect();
        let verdicts = Mutex::new(vec![Verdict::Survives { passed: 0 }; alive.len()]);
        let caught = Mutex::new(BTreeMap::new());
        let failure = Mutex::new(None);
        let workers = thread::available_parallelism()?.get();
        for seconds in [FIRST_ROUND, f64::INFINITY] {
            let next = AtomicUsize::new(0);
            let work = || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(mutant) = alive.get(at) else {
                        return Ok(());
                    };
                    let is_open =
                        |verdicts: &Vec<Verdict>| matches!(verdicts.get(at), Some(Verdict::Survives { .. }));
                    if !verdicts.lock().is_ok_and(|verdicts| is_open(&verdicts)) {
                        continue;
                    }
                    let mut tests = reach.get(&mutant.number).cloned().unwrap_or_default();
                    // The one that has caught it before is asked first.
                    let last = before.get(&*mutant.name);
                    tests.sort_by_key(|test| last.is_none_or(|last| *last != test.name));
                    let (verdict, test) = self.verdict(mutant, &tests, seconds)?;
                    if verdict != Verdict::Caught {
                        println!("{at} of {}: {verdict:?} {}", alive.len(), mutant.name);
                    }
                    if let Ok(mut verdicts) = verdicts.lock() {
                        verdicts.splice(at..=at, [verdict]);
                    }
                    if let (Some(test), Ok(mut caught)) = (test, caught.lock()) {
                        caught.insert(mutant.name.clone(), test);
                    }
                }
            };
            thread::scope(|scope| {
                for _ in 0..workers {
                    scope.spawn(|| {
                        let done: Result<()> = work();
                        if let (Err(error), Ok(mut failure)) = (done, failure.lock()) {
                            *failure = Some(error.to_string());
                        }
                    });
                }
            });
            if let Ok(caught) = caught.lock() {
                let lines = caught.iter().map(|(mutant, test)| format!("{mutant}\t{test}\n"));
                fs::write(&memory, lines.collect::<String>())?;
            }
            println!("a round of {seconds} s for each is done");
        }
        match failure.into_inner()? {
            Some(error) => Err(error.into()),
            None => Ok(verdicts.into_inner()?),
        }
    }

    /// What these tests say in so many seconds, and which of them fails.
    fn verdict(&self, mutant: &Mutant, tests: &[Test], seconds: f64) -> Result<(Verdict, Option<String>)> {
        // As many as take no longer than the slice are run at once; each slice is longer than the one before, as a mutant
        // that outlives many tests may well outlive all.
        let (mut rest, mut slice, mut spent) = (tests, 0.2, 0.0);
        while !rest.is_empty() && spent < seconds {
            let mut sum = 0.0;
            let fits = |test: &&Test| {
                sum += test.seconds;
                sum <= slice
            };
            let (batch, others) = rest.split_at(rest.iter().take_while(fits).count().max(1));
            let takes = batch.iter().map(|test| test.seconds).sum::<f64>();
            for program in 0..self.programs.len() {
                let names = batch
                    .iter()
                    .filter(|test| test.program == program)
                    .map(|test| &test.name);
                if names.clone().next().is_none() {
                    continue;
                }
                let mut command = self.command(program, HUNG_AFTER + 10.0 * takes);
                command
                    .args([
                        "--format",
                        "json",
                        "--fail-fast",
                        "--test-threads",
                        "1",
                        "--exact",
                    ])
                    .args(names);
                let out = command
                    .env("SANSIP_MUTANT", mutant.number.to_string())
                    .stderr(Stdio::null())
                    .output()?;
                if !out.status.success() {
                    let is_end = matches!(out.status.signal(), Some(SIGKILL | SIGXCPU));
                    let verdict = if is_end { Verdict::Hung } else { Verdict::Caught };
                    return Ok((verdict, last_begun(&out.stdout)));
                }
            }
            (rest, slice, spent) = (others, slice * 4.0, spent + takes);
        }
        Ok((Verdict::Survives { passed: tests.len() }, None))
    }
}

/// The test that was running when the program ended: one runs after the other, and the first that fails is the last.
fn last_begun(out: &[u8]) -> Option<String> {
    let events = messages(out);
    let begun = |event: &&Value| event.get("event").and_then(Value::as_str) == Some("started");
    let test = events
        .iter()
        .rev()
        .filter(begun)
        .find_map(|event| event.get("name"));
    Some(test?.as_str()?.to_owned())
}
