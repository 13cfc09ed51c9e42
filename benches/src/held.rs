//! What idle things hold, in bytes of the allocator.

use crate::measure::allocated;
use crate::pair::Pair;
use crate::registrar::Registered;

const COUNT: usize = 1_000;

/// What one more of a thing holds, when there are many: tables that double are paid by those that fill them.
fn each(count: usize, work: impl FnOnce()) -> f64 {
    let (_, held, ()) = allocated(work);
    held as f64 / count as f64
}

/// The bytes that an idle registered endpoint, a held call and a completed transaction hold.
pub fn all() -> Vec<(&'static str, f64)> {
    let mut registered = Registered::new(COUNT);
    let endpoint = each(COUNT, || (0..COUNT).for_each(|_| registered.add()));

    let mut calls = Pair::new();
    let mut sessions: Vec<_> = (0..COUNT).map(|_| calls.call()).collect();
    sessions.reserve(COUNT);
    calls.rest();
    let call = each(2 * COUNT, || {
        sessions.extend((0..COUNT).map(|_| calls.call()));
        calls.rest();
    });

    let mut pages = Pair::new();
    (0..COUNT).for_each(|_| pages.message());
    let page = each(2 * COUNT, || (0..COUNT).for_each(|_| pages.message()));

    let mut ended = Pair::new();
    let over = |pair: &mut Pair| {
        for _ in 0..COUNT {
            let session = pair.call();
            pair.hang_up(session);
        }
    };
    over(&mut ended);
    let invite = each(2 * COUNT, || over(&mut ended));

    vec![
        ("idle registered endpoint, its share of tables included", endpoint),
        ("held call, one side", call),
        ("completed MESSAGE transaction, one side", page),
        (
            "ended call in the 32 s that its INVITE transaction stays, one side",
            invite,
        ),
    ]
}
