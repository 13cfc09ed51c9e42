//! The list of those that no test can see, and the table of a run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::Result;
use crate::runs::Verdict;
use crate::schema::Mutant;

/// What is done where, without the line and the column: those change with every other edit.
fn key(mutant: &Mutant) -> String {
    let what = mutant.name.splitn(4, ':').nth(3).unwrap_or_default();
    format!("{}:{what}", mutant.file)
}

#[derive(Default)]
struct Row {
    viable: usize,
    caught: usize,
    hung: usize,
    survive: usize,
}

/// Prints what came of a run; whether all is as the list says, of which a sample does not have everything.
pub(crate) fn report(alive: &[&Mutant], verdicts: &[Verdict], list: &Path, is_whole: bool) -> Result<bool> {
    let text = fs::read_to_string(list)?;
    // A mutant stands at the beginning of a line, its reason is indented below it.
    let mut listed = BTreeMap::<&str, usize>::new();
    for line in text.lines().filter(|line| line.starts_with("core/")) {
        *listed.entry(line).or_default() += 1;
    }
    let mut rows = BTreeMap::<&str, Row>::new();
    let mut new = 0;
    for (mutant, verdict) in alive.iter().zip(verdicts) {
        let row = rows.entry(&mutant.file).or_default();
        row.viable += 1;
        match verdict {
            Verdict::Caught => row.caught += 1,
            Verdict::Hung => row.hung += 1,
            Verdict::Survives { passed } => {
                row.survive += 1;
                if let Some(count) = listed.get_mut(&*key(mutant)).filter(|count| **count > 0) {
                    *count -= 1;
                } else {
                    new += 1;
                    println!("SURVIVES  {} ({passed} tests come past it)", mutant.name);
                }
            }
        }
    }
    let mut gone = 0;
    for (name, count) in listed {
        let is_here = name
            .split_once(':')
            .is_some_and(|(file, _)| rows.contains_key(file));
        if count > 0 && is_here && is_whole {
            gone += count;
            println!("LISTED, but caught or gone  {name}");
        }
    }
    println!("{:44} viable caught  hung survive", "");
    let mut sum = Row::default();
    for (file, row) in &rows {
        print(file, row);
        sum.viable += row.viable;
        sum.caught += row.caught;
        sum.hung += row.hung;
        sum.survive += row.survive;
    }
    print("together", &sum);
    Ok(new == 0 && gone == 0 && (sum.caught + sum.hung) * 10 >= sum.viable * 9)
}

fn print(file: &str, row: &Row) {
    let Row {
        viable,
        caught,
        hung,
        survive,
    } = row;
    println!("{file:44} {viable:6} {caught:6} {hung:5} {survive:7}");
}
