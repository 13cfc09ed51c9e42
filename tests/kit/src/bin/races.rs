//! Every order in which what stacks do to each other can happen: `races --help`.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use sansip_testkit::races::{Bounds, SCENES, Scene};

/// All races of two stacks, and of a caller with two callees behind a proxy that forks, to a depth: what is on its way arrives in
/// any order, timers fire first, connections are lost.
#[derive(Debug, Parser)]
#[command(name = "races")]
struct Arguments {
    /// One scene only.
    #[arg(long, value_name = "NAME")]
    scene: Option<String>,
    /// One way through it, as a failure prints it.
    #[arg(long, value_name = "MOVES", requires = "scene")]
    path: Option<String>,
    /// How many moves a way has at most.
    #[arg(long, default_value_t = 40, value_name = "N")]
    depth: usize,
    /// How many timers fire out of turn.
    #[arg(long, default_value_t = 1, value_name = "N")]
    fires: usize,
    /// How many connections are reset.
    #[arg(long, default_value_t = 1, value_name = "N")]
    resets: usize,
    /// How many states of a scene are looked at; as many of three stacks take some four gigabytes.
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    states: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let named = arguments.scene.as_deref();
    if let Some(name) = named
        && Scene::named(name).is_none()
    {
        let names: Vec<_> = SCENES.iter().map(|scene| scene.name).collect();
        eprintln!("there is no scene '{name}'; there are:\n  {}", names.join("\n  "));
        return ExitCode::from(2);
    }
    // A violation is told in words; where it panicked says little.
    std::panic::set_hook(Box::new(|_| {}));
    if let (Some(scene), Some(path)) = (named.and_then(Scene::named), &arguments.path) {
        return match scene.follow(path) {
            Ok(words) => {
                println!("{}\nnothing is wrong", words.join("\n"));
                ExitCode::SUCCESS
            }
            Err(error) => {
                println!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    let bounds = Bounds {
        depth: arguments.depth,
        fires: arguments.fires,
        resets: arguments.resets,
        states: arguments.states,
    };
    println!(
        "at most {} moves, {} timers out of turn, {} resets\n",
        bounds.depth, bounds.fires, bounds.resets
    );
    println!(
        "{:32} {:>9} {:>10} {:>6} {:>8}",
        "scene", "states", "moves", "depth", "seconds"
    );
    let mut failed = 0_u8;
    for scene in SCENES
        .iter()
        .filter(|scene| named.is_none_or(|name| scene.name == name))
    {
        let begun = Instant::now();
        match scene.search(&bounds) {
            Ok(seen) => {
                let cut = if seen.cut { " (cut short)" } else { "" };
                println!(
                    "{:32} {:>9} {:>10} {:>6} {:>8.1}{cut}",
                    scene.name,
                    seen.states,
                    seen.moves,
                    seen.depth,
                    begun.elapsed().as_secs_f64()
                );
            }
            Err(violation) => {
                failed += 1;
                println!("{violation}");
            }
        }
    }
    ExitCode::from(failed.min(1))
}
