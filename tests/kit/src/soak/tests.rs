use super::*;

/// How many scenarios, on two threads; `SANSIP_SEED` names a single one.
const SCENARIOS: u64 = 4000;

// rules: E13, X1, X2, X3, X6, R7, S4, S8, S10, C33, C35
#[test]
fn whatever_happens_everything_ends_as_it_should() {
    let seeds = crate::world::seeds(SCENARIOS);
    let all = live_on_two_threads(&seeds);
    println!("{all}");
    let missing = all.missing();
    assert!(missing.is_empty() || seeds.len() == 1, "{missing:#?}");
}

fn live_on_two_threads(seeds: &[u64]) -> Tally {
    let half = |first: usize| {
        let mut all = Tally::default();
        for seed in seeds.iter().skip(first).step_by(2) {
            match find(&Scenario::of_seed(*seed, STEPS)) {
                Ok(tally) => all.absorb(&tally),
                Err(failure) => panic!("{failure}"),
            }
        }
        all
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        let mut all = half(0);
        match other.join() {
            Ok(tally) => all.absorb(&tally),
            Err(panic) => std::panic::resume_unwind(panic),
        }
        all
    })
}

#[test]
fn a_failure_is_shrunk_to_the_steps_that_it_needs() {
    let scenario: Scenario = "1.0: wait 3, ring 9 9 9, wait 5, hang-up 4, wait 1, message 7"
        .parse()
        .unwrap();
    let run = |scenario: &Scenario| {
        let has = |what| scenario.steps.iter().any(|step| step.what == what);
        if has(What::Ring) && has(What::HangUp) {
            return Err(Box::new(Failure {
                scenario: scenario.clone(),
                step: scenario.steps.len() - 1,
                message: String::from("a ring and a hang-up"),
                tail: String::new(),
            }));
        }
        Ok(Tally::default())
    };
    let failure = shrink(*run(&scenario).unwrap_err(), run);
    assert_eq!(failure.scenario.to_string(), "1.0: ring, hang-up");
    assert!(failure.to_string().ends_with("--scenario '1.0: ring, hang-up'"));
}
