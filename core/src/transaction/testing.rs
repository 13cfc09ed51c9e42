//! A machine alone with its timers, for tests of exact times.

use alloc::vec::Vec;

use smallvec::SmallVec;

use super::machine::{Effect, Inform, Step, Timer, TimerConfig};
use crate::cells::Cells;

/// What happened to a machine that was left to its timers, in milliseconds from its start.
pub(super) struct Run<M> {
    pub(super) machine: M,
    pub(super) sent: Vec<u64>,
    pub(super) informed: Vec<(u64, Inform)>,
    /// When the last timer fired.
    pub(super) end: u64,
}

/// Makes a machine at 0 and fires its timers, as they come, until none is left.
pub(super) fn run<M>(
    start: impl FnOnce(&mut Step<'_>) -> M,
    mut fire: impl FnMut(&mut M, Timer, &mut Step<'_>),
) -> Run<M> {
    let (times, mut cells) = (TimerConfig::default(), Cells::default());
    let mut effects = SmallVec::new();
    let machine = start(&mut Step {
        times,
        effects: &mut effects,
        cells: &mut cells,
    });
    let mut run = Run {
        machine,
        sent: Vec::new(),
        informed: Vec::new(),
        end: 0,
    };
    let mut armed: Vec<(u64, Timer)> = Vec::new();
    loop {
        for effect in effects.drain(..) {
            match effect {
                Effect::Send(_) | Effect::Resend(_) => run.sent.push(run.end),
                Effect::Ack { .. } => {}
                Effect::Set(timer, after) => {
                    assert!(
                        armed.iter().all(|(_, other)| *other != timer),
                        "{timer:?} is set twice"
                    );
                    armed.push((run.end + u64::try_from(after.as_millis()).unwrap(), timer));
                }
                Effect::Stop(timer) => armed.retain(|(_, other)| *other != timer),
                Effect::Inform(what) => run.informed.push((run.end, what)),
            }
        }
        let Some((place, _)) = armed.iter().enumerate().min_by_key(|(_, (at, _))| *at) else {
            return run;
        };
        let (at, timer) = armed.remove(place);
        run.end = at;
        fire(
            &mut run.machine,
            timer,
            &mut Step {
                times,
                effects: &mut effects,
                cells: &mut cells,
            },
        );
    }
}
