//! What has to be reached, and whether it is.

use std::fmt::Write as _;

use sansip_benches::measure::{Case, Cost};

/// A row, the most time it may take as a part of the fastest of the others, and the most allocations.
const GOALS: [(&str, f64, f64); 3] = [
    ("parse lazily", 1.6, 0.0),
    ("parse typed", 0.4, 0.0),
    ("write", 0.3, 1.0),
];

/// For each goal, how this stack stands to the fastest of the others in its row: by time and by instructions.
pub(crate) fn of(cases: &[Case], costs: &[Cost]) -> String {
    let mut out = String::new();
    for (what, most, allocations) in GOALS {
        let row = || cases.iter().zip(costs).filter(|(case, _)| case.what == what);
        let own = row().find(|(case, _)| case.who == "sansip");
        let best = row()
            .filter(|(case, _)| case.who != "sansip")
            .min_by(|(_, a), (_, b)| a.time.total_cmp(&b.time));
        let (Some((_, own)), Some((peer, best))) = (own, best) else {
            continue;
        };
        let ratio = own.time / best.time;
        let met = ratio <= most && own.allocations <= allocations;
        let instructions = own
            .instructions
            .zip(best.instructions)
            .map_or_else(String::new, |(own, best)| {
                format!(", {:.2} of its instructions", own / best)
            });
        let _ = writeln!(
            out,
            "\n{what}: {ratio:.2} of the time of {}{instructions}; {:.2} allocations (to reach: {most} and {allocations}): {}",
            peer.who,
            own.allocations,
            if met { "met" } else { "NOT met" }
        );
    }
    out
}
