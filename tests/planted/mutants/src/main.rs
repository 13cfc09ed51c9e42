//! Mutation testing: which change of the machines does no test see?
//!
//! ```text
//! sansip-mutants [--list] [PATH...]           the files of .cargo/mutants.toml, or these files and folders
//! sansip-mutants --sample COUNT [PATH...]     so many of each, drawn at random, always the same
//! ```
//!
//! `cargo mutants` says what the mutants are. It builds all again for each of them, which takes a day where there are a
//! thousand. So all of them are written into one copy of the checkout here, each behind a question: the variable
//! `SANSIP_MUTANT` says which is alive. Those that do not compile are taken out, as the compiler names them. What is left
//! is built once; each test is run once to learn which mutants it comes past; and then each mutant is run against the
//! tests that come past it, the cheap ones first, until one fails. A test that is still running after many times what it
//! takes counts as failed.
//!
//! `survivors` beside this program lists those that no test sees, each with the reason why none can. The run fails
//! where another one survives, where one of them is caught or gone, and where less than nine of ten are caught.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

use schema::{Mutant, Schema};

mod runs;
mod schema;
mod survivors;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What the copy has in addition: which mutant is alive, and which test has come past which.
const SWITCH: &str = include_str!("switch.rs");

/// What the draw of a sample begins with.
const SEED: u64 = 5;

fn main() -> ExitCode {
    let mut paths: Vec<String> = env::args().skip(1).collect();
    let only_list = paths.first().is_some_and(|word| word == "--list");
    paths.drain(..usize::from(only_list));
    let mut sample = None;
    if paths.first().is_some_and(|word| word == "--sample") {
        sample = paths.get(1).and_then(|count| count.parse().ok());
        paths.drain(..paths.len().min(2));
    }
    match run(&paths, only_list, sample) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run(paths: &[String], only_list: bool, sample: Option<usize>) -> Result<bool> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../..")
        .canonicalize()?;
    let work = env::var_os("CARGO_TARGET_DIR").map_or_else(|| top.join("target"), PathBuf::from);
    let work = work.join("mutants");
    let mutants = list(&top, paths)?;
    let mut count = BTreeMap::<&str, usize>::new();
    for mutant in &mutants {
        *count.entry(&mutant.file).or_default() += 1;
    }
    for (file, count) in &count {
        println!("{count:5} {file}");
    }
    println!("{:5} mutants", mutants.len());
    if only_list {
        return Ok(true);
    }
    let tree = work.join("tree");
    let unviable = plant(&top, &tree, &work, &mutants)?;
    let runs = runs::Runs::build(&tree, &work)?;
    let reach = runs.reach()?;
    let viable = mutants.iter().filter(|mutant| !unviable.contains(&mutant.number));
    let alive = match sample {
        None => viable.collect(),
        Some(count) => draw(viable, paths, count),
    };
    let verdicts = runs.judge(&alive, &reach)?;
    let list = top.join("tests/planted/mutants/survivors");
    survivors::report(&alive, &verdicts, &list, sample.is_none())
}

fn list(top: &Path, paths: &[String]) -> Result<Vec<Mutant>> {
    let mut command = Command::new("cargo");
    command
        .args(["mutants", "--list", "--json", "-p", "sansip"])
        .current_dir(top);
    for path in paths {
        let glob = if top.join(path).is_dir() { "/**" } else { "" };
        command.args(["-f", &format!("{path}{glob}")]);
    }
    let out = command.output()?;
    if !out.status.success() {
        return Err(String::from_utf8_lossy(&out.stderr).into());
    }
    let mut mutants: Vec<Mutant> = serde_json::from_slice(&out.stdout)?;
    // It adds the files that it is told to those of its configuration.
    if !paths.is_empty() {
        mutants.retain(|mutant| paths.iter().any(|path| mutant.file.starts_with(&**path)));
    }
    mutants.sort_by(|a, b| a.file.cmp(&b.file));
    for (at, mutant) in mutants.iter_mut().enumerate() {
        mutant.number = at + 1;
    }
    Ok(mutants)
}

/// So many mutants of each of the paths.
fn draw<'a>(viable: impl Iterator<Item = &'a Mutant>, paths: &[String], count: usize) -> Vec<&'a Mutant> {
    let mut shuffled: Vec<&Mutant> = viable.collect();
    shuffled.sort_by_key(|mutant| {
        let mix = |sum: u64, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let sum = mutant.name.bytes().fold(SEED ^ 0xcbf2_9ce4_8422_2325, mix);
        // The last bytes have moved the low bits only.
        (sum ^ sum >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    });
    let of = |path| {
        let is_of = move |mutant: &&&Mutant| mutant.file.starts_with(path);
        shuffled.iter().filter(is_of).take(count).copied()
    };
    if paths.is_empty() {
        return of("").collect();
    }
    paths.iter().flat_map(|path| of(path)).collect()
}

/// Copies the checkout and puts the mutants into it; gives those that do not compile.
fn plant(top: &Path, tree: &Path, work: &Path, mutants: &[Mutant]) -> Result<BTreeSet<usize>> {
    let mut by_file = BTreeMap::<&str, Vec<Mutant>>::new();
    for mutant in mutants {
        by_file.entry(&mutant.file).or_default().push(mutant.clone());
    }
    let files = Command::new("git")
        .args(["ls-files", "-co", "--exclude-standard"])
        .current_dir(top)
        .output()?;
    for file in String::from_utf8(files.stdout)?.lines() {
        if !by_file.contains_key(file) && file != "core/src/lib.rs" && top.join(file).exists() {
            write(&tree.join(file), &fs::read(top.join(file))?)?;
        }
    }
    let root = fs::read_to_string(top.join("core/src/lib.rs"))?;
    let root = root.replacen(
        "extern crate alloc;",
        "extern crate alloc;\nextern crate std;\nmod mutants;",
        1,
    );
    let root = root.replace("#[cfg(test)]\nextern crate std;\n", "");
    write(&tree.join("core/src/lib.rs"), root.as_bytes())?;
    write(&tree.join("core/src/mutants.rs"), SWITCH.as_bytes())?;

    let memory = work.join("unviable");
    let known = fs::read_to_string(&memory).unwrap_or_default();
    let known: BTreeSet<&str> = known.lines().collect();
    let mut unviable = BTreeSet::new();
    let mut sources = BTreeMap::new();
    for (file, mutants) in &by_file {
        let source = fs::read_to_string(top.join(file))?;
        // A question is answered when the program runs, so no function that asks one is for constants.
        let source = source.replace("const fn ", "      fn ");
        let same = tree.join(file).with_extension("source");
        if fs::read_to_string(&same).is_ok_and(|before| before == source) {
            let before = mutants.iter().filter(|mutant| known.contains(&*mutant.name));
            unviable.extend(before.map(|mutant| mutant.number));
        }
        write(&same, source.as_bytes())?;
        sources.insert(*file, source);
    }
    loop {
        let mut schemas = BTreeMap::new();
        for (file, mutants) in &by_file {
            let schema = Schema::of(sources.get(file).map_or("", |source| source), mutants, &unviable)?;
            write(&tree.join(file), schema.text.as_bytes())?;
            for number in &schema.left {
                if unviable.insert(*number) {
                    let name = mutants.iter().find(|mutant| mutant.number == *number);
                    println!("no value: {}", name.map_or("", |mutant| &mutant.name));
                }
            }
            schemas.insert(*file, schema);
        }
        let errors = runs::check(tree, work)?;
        let mut found = BTreeSet::new();
        let mut strange = Vec::new();
        for error in &errors {
            let at = error
                .spans
                .iter()
                .find_map(|(file, at)| schemas.get(&**file)?.at(*at));
            match at {
                Some(number) => {
                    found.insert(number);
                }
                None => strange.push(&error.text),
            }
        }
        let names = mutants
            .iter()
            .filter(|mutant| unviable.contains(&mutant.number) || found.contains(&mutant.number));
        let names: Vec<&str> = names.map(|mutant| &*mutant.name).collect();
        fs::write(&memory, names.join("\n"))?;
        if errors.is_empty() {
            println!("{} of them do not compile", unviable.len());
            return Ok(unviable);
        }
        if found.is_empty() {
            for text in strange {
                eprintln!("{text}");
            }
            return Err("it does not compile, and no mutant is why".into());
        }
        println!("{} do not compile", found.len());
        unviable.extend(found);
    }
}

/// Writes a file where it is not so already: what has not changed is not built again.
fn write(path: &Path, text: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|before| before == text) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    Ok(fs::write(path, text)?)
}
