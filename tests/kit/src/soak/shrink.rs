//! A failing scenario made short: steps are left out in ever smaller groups as long as the same is found (delta
//! debugging, after Zeller and Hildebrandt), then arguments are made zero.

use std::time::{Duration, Instant};

use super::{Failure, Scenario, Tally};

/// So many lives at most.
const MOST: usize = 400;

/// So long at most.
const LONGEST: Duration = Duration::from_secs(60);

/// The shortest scenario that was found to fail in the same way. What is after the step at which it failed was not
/// needed.
pub fn shrink(failure: Failure, run: impl Fn(&Scenario) -> Result<Tally, Box<Failure>>) -> Failure {
    let (begun, kind) = (Instant::now(), failure.kind());
    let mut best = failure;
    let attempt = |scenario: Scenario, best: &mut Failure| match run(&scenario) {
        Err(found) if found.kind() == kind => {
            *best = *found;
            true
        }
        Ok(_) | Err(_) => false,
    };
    let mut budget = MOST;
    let mut spend = || {
        budget = budget.saturating_sub(1);
        budget > 0 && begun.elapsed() < LONGEST
    };
    let mut cut = best.scenario.clone();
    cut.steps.truncate(best.step + 1);
    if cut != best.scenario {
        attempt(cut, &mut best);
    }
    let mut size = best.scenario.steps.len().div_ceil(2);
    while size > 0 {
        let (mut at, mut shorter) = (0, false);
        while at < best.scenario.steps.len() {
            if !spend() {
                return best;
            }
            let mut without = best.scenario.clone();
            let end = (at + size).min(without.steps.len());
            without.steps.drain(at..end);
            if attempt(without, &mut best) {
                shorter = true;
            } else {
                at += size;
            }
        }
        if size > 1 || !shorter {
            size /= 2;
        }
    }
    for (at, argument) in
        (0..best.scenario.steps.len()).flat_map(|at| (0..3).map(move |argument| (at, argument)))
    {
        let mut simpler = best.scenario.clone();
        let place = simpler
            .steps
            .get_mut(at)
            .and_then(|step| step.arguments.get_mut(argument));
        if let Some(place) = place.filter(|place| **place != 0) {
            *place = 0;
            if !spend() {
                return best;
            }
            attempt(simpler, &mut best);
        }
    }
    best
}
