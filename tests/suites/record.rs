//! Recording the input of a stack, and replaying it: the same inputs give the same actions (X1), and a recording says
//! no secret and hurts nobody (X8).

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "in a suite, a panic is a failed test"
)]

use std::path::Path;

use sansip::record::{Input, Replay, ReplayError};
use sansip::security::{Credentials, Secret};
use sansip_testkit::world::{World, seeds};
use sansip_testkit::{fuzz, soak};

fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/stack");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| (file.display().to_string(), std::fs::read(file).unwrap()))
        .collect()
}

/// The passwords of the kit's scenarios and lives.
fn password(uri: &str, _: &Credentials) -> Option<Secret> {
    let scenario = uri == "sip:bob@example.com" || uri == "sip:alice@example.com";
    scenario.then(|| Secret::new("secret"))
}

fn password_in_a_life(uri: &str, _: &Credentials) -> Option<Secret> {
    match uri {
        "sip:alice@example.com" => Some(Secret::new("secret")),
        "sip:bob@example.com" => Some(Secret::new("hidden")),
        _ => None,
    }
}

/// How many inputs were replayed, and how many actions were the same.
fn replayed(mut replay: Replay) -> Result<(usize, usize), ReplayError> {
    let (mut inputs, mut actions) = (0, 0);
    while let Some(step) = replay.step()? {
        inputs += 1;
        actions += step.actions.len();
    }
    Ok((inputs, actions))
}

// rules: X1, X8
#[test]
fn every_scenario_of_the_fuzzers_replays_to_the_same_actions() {
    for (file, bytes) in corpus() {
        let recording = fuzz::recording(&bytes);
        let replay = Replay::open(recording).unwrap().with_secret(password);
        assert!(replay.is_complete(), "{file}");
        let (inputs, actions) = replayed(replay).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(
            inputs > 10 && actions > 10,
            "{file}: {inputs} inputs, {actions} actions"
        );
    }
}

// rules: X1, X8
#[test]
fn random_lives_replay_to_the_same_actions() {
    let mut answered = 0;
    for seed in seeds(12) {
        let mut world = World::new(seed);
        world.recording = Some(usize::MAX);
        soak::live(&mut world, seed, 120);
        for (stack, recording) in world.take_recordings().into_iter().enumerate() {
            let length = recording.len();
            let replay = Replay::open(recording).unwrap().with_secret(password_in_a_life);
            let (inputs, actions) =
                replayed(replay).unwrap_or_else(|error| panic!("SANSIP_SEED={seed}, stack {stack}: {error}"));
            answered += actions;
            eprintln!("{inputs} inputs, {actions} actions, {length} bytes");
        }
        world.finish();
    }
    assert!(answered > 10_000, "{answered} actions");
}
