use alloc::vec;

use super::Carrier::{self, Ack, Invite, Prack, PrackSuccess, Reliable, Success, Update, UpdateSuccess};
use super::Input::{Asked, Asks, Lapsed, Received, Sent};
use super::State::{Awaited, Ours, Owed, Settled, Theirs};
use super::*;
use crate::connection::testing::Services;

const CARRIERS: [Carrier; 8] = [
    Invite,
    Reliable,
    Success,
    Ack,
    Prack,
    PrackSuccess,
    Update,
    UpdateSuccess,
];

/// RFC 6337, table 1: in what each offer is answered.
const ANSWERS: [(Carrier, Carrier); 6] = [
    (Invite, Success),
    (Invite, Reliable),
    (Success, Ack),
    (Reliable, Prack),
    (Prack, PrackSuccess),
    (Update, UpdateSuccess),
];

fn step(state: State, input: Input) -> (State, Meaning) {
    let mut machine = Offers { state };
    let meaning = machine.step(&mut Services::new().cx(), input);
    (machine.state(), meaning)
}

/// The next state and what the input means, by the rules that the module names and by nothing that it does.
fn expected(state: State, input: Input) -> (State, Meaning) {
    let may_begin = |carrier| [Invite, Prack, Update].contains(&carrier);
    let may_answer_invite = |carrier| [Reliable, Success].contains(&carrier);
    match (state, input) {
        (_, Lapsed) => (Settled, Meaning::Nothing),
        (Settled, Sent(carrier)) if may_begin(carrier) => (Ours(carrier), Meaning::Offer),
        (Settled, Received(carrier)) if may_begin(carrier) => (Theirs(carrier), Meaning::Offer),
        (Settled, Asks) => (Awaited, Meaning::Offer),
        (Settled, Asked) => (Owed, Meaning::Offer),
        (Awaited, Received(carrier)) if may_answer_invite(carrier) => (Theirs(carrier), Meaning::Offer),
        (Owed, Sent(carrier)) if may_answer_invite(carrier) => (Ours(carrier), Meaning::Offer),
        (Ours(offer), Received(carrier)) if ANSWERS.contains(&(offer, carrier)) => (Settled, Meaning::Answer),
        (Theirs(offer), Sent(carrier)) if ANSWERS.contains(&(offer, carrier)) => (Settled, Meaning::Answer),
        // RFC 3261 section 14.2, RFC 3311 section 5.2.
        (Ours(_) | Awaited, Received(Invite | Prack | Update) | Asked) => (state, Meaning::Glare),
        (Theirs(_) | Owed, Received(Invite | Prack | Update) | Asked) => (state, Meaning::Busy),
        (_, Sent(_) | Received(_) | Asks) => (state, Meaning::Nothing),
    }
}

// rules: S5
#[test]
fn every_state_takes_every_input_as_the_rfcs_say() {
    let open = CARRIERS
        .into_iter()
        .flat_map(|carrier| [Ours(carrier), Theirs(carrier)]);
    for state in open.chain([Settled, Awaited, Owed]) {
        let bodies = CARRIERS
            .into_iter()
            .flat_map(|carrier| [Sent(carrier), Received(carrier)]);
        for input in bodies.chain([Asks, Asked, Lapsed]) {
            assert_eq!(
                step(state, input),
                expected(state, input),
                "{state:?} <- {input:?}"
            );
        }
    }
}

// rules: S5
#[test]
fn the_six_patterns_of_rfc_6337_settle_at_both_ends() {
    let patterns = [
        vec![(Some(Invite), true), (Some(Success), false)],
        vec![(None, true), (Some(Success), false), (Some(Ack), true)],
        vec![(Some(Invite), true), (Some(Reliable), false)],
        vec![(None, true), (Some(Reliable), false), (Some(Prack), true)],
        vec![(Some(Prack), true), (Some(PrackSuccess), false)],
        vec![(Some(Update), true), (Some(UpdateSuccess), false)],
    ];
    for pattern in patterns {
        let mut services = Services::new();
        let (mut caller, mut callee) = (Offers::new(), Offers::new());
        for (number, (carrier, by_caller)) in pattern.iter().enumerate() {
            let (sender, receiver) = if *by_caller {
                (&mut caller, &mut callee)
            } else {
                (&mut callee, &mut caller)
            };
            let inputs = carrier.map_or((Asks, Asked), |carrier| (Sent(carrier), Received(carrier)));
            let (said, heard) = (
                sender.step(&mut services.cx(), inputs.0),
                receiver.step(&mut services.cx(), inputs.1),
            );
            let last = number + 1 == pattern.len();
            let meaning = if last { Meaning::Answer } else { Meaning::Offer };
            assert_eq!((said, heard), (meaning, meaning), "{pattern:?}, {carrier:?}");
            assert_eq!(
                (caller.is_settled(), callee.is_settled()),
                (last, last),
                "{pattern:?}"
            );
        }
    }
}

// rules: S5
#[test]
fn a_body_after_the_answer_says_nothing() {
    let mut services = Services::new();
    let mut caller = Offers::new();
    let mut step = |input| caller.step(&mut services.cx(), input);
    assert_eq!(step(Sent(Invite)), Meaning::Offer);
    assert_eq!(step(Received(Reliable)), Meaning::Answer);
    assert_eq!(step(Received(Reliable)), Meaning::Nothing);
    assert_eq!(step(Received(Success)), Meaning::Nothing);
}
