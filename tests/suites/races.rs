//! All races of two stacks, and of a caller with two callees behind a proxy that forks: every order of a search that is
//! bounded here and goes further in the program `races`, and the cases of RFC 5407 and of forks by name, message by message.
//!
//! Two cases of RFC 5407 are in the suite `session`: 3.1.1, as no INVITE of this stack comes twice over a stream, and 3.1.3, as
//! a caller of this stack ends an early dialog with CANCEL.

use sansip_testkit::races::Command::*;
use sansip_testkit::races::{Bounds, Command, Course, SCENES, Scene, Seen};

/// Every order with one timer out of turn, all of them to their end, and the first ones with a connection that is reset
/// anywhere. The program goes through to the end of these, too.
fn search(name: &str, at_least: usize) {
    let all = look(name, (1, 0), 20_000);
    assert!(!all.cut, "{name}: {all:?}");
    assert!(all.states >= at_least, "{name}: {all:?}");
    look(name, (0, 1), 600);
}

/// The first orders where there are more than can be searched here.
fn search_first(name: &str) {
    for what_fails in [(1, 0), (0, 1), (2, 2)] {
        let seen = look(name, what_fails, 300);
        assert!(seen.cut && seen.depth >= 3, "{name}: {seen:?}");
    }
}

/// Searches a scene with so many timers out of turn and resets, to so many states.
fn look(name: &str, (fires, resets): (usize, usize), states: usize) -> Seen {
    let scene = Scene::named(name).expect("a scene of this name");
    let bounds = Bounds {
        depth: 100,
        fires,
        resets,
        states,
    };
    let seen = scene.search(&bounds);
    let seen = seen.unwrap_or_else(|violation| panic!("{violation}"));
    println!("{name}, {fires} timers out of turn, {resets} resets: {seen:?}");
    seen
}

// The numbers are low on purpose: a search that goes nowhere falls below them.

// rules: S10, S16, X2, X3, X6
#[test]
fn invite_cancel_and_2xx() {
    search("INVITE, CANCEL and 2xx", 300);
}

// rules: S10, S16, X2, X3, X6
#[test]
fn invite_cancel_and_a_refusal() {
    search("INVITE, CANCEL and a refusal", 100);
}

// rules: S10, S16, X2, X3, X6
#[test]
fn an_offer_in_the_2xx() {
    search("an offer in the 2xx", 200);
}

// rules: S10, S16, X2, X3, X6
#[test]
fn bye_and_bye() {
    search("BYE and BYE", 300);
}

// rules: S10, S16, X2, X3, X6
#[test]
fn bye_and_reinvite() {
    search("BYE and re-INVITE", 200);
}

// rules: S10, S16, X2, X3, X6
#[test]
fn reinvite_and_reinvite() {
    search("re-INVITE and re-INVITE", 500);
}

// rules: S10, S16, X2, X3, X6
#[test]
fn update_and_reinvite() {
    search("UPDATE and re-INVITE", 300);
}

// rules: S10, S16, X2, X3, X6
#[test]
fn update_and_update() {
    search("UPDATE and UPDATE", 300);
}

// rules: S10, S16, X2, X3, X6
#[test]
fn an_early_change() {
    search("an early change", 300);
}

// rules: S5, S6, S7, X2, X3, X6
#[test]
fn reliable_responses_and_early_changes() {
    search("reliable responses and early changes", 1_000);
}

// rules: S5, S6, S7, X2, X3, X6
#[test]
fn early_updates_from_both_sides() {
    search("early UPDATEs from both sides", 1_000);
}

// rules: S10, S16, X2, X3, X6
#[test]
fn bye_and_refer() {
    search("BYE and REFER", 200);
}

// rules: S10, S16, X2, X3, X6
#[test]
fn subscribe_notify_and_2xx() {
    search("SUBSCRIBE, NOTIFY and 2xx", 300);
}

// rules: S10, S16, X2, X3, X6
#[test]
fn two_ends_of_a_subscription() {
    search("two ends of a subscription", 300);
}

// rules: S8, S10, X2, X3, X6
#[test]
fn a_fork_of_two() {
    search_first("a fork of two");
}

// rules: S8, S10, X2, X3, X6
#[test]
fn a_fork_where_one_refuses() {
    search_first("a fork where one refuses");
}

// rules: S8, S10, X2, X3, X6
#[test]
fn a_fork_that_both_refuse() {
    search_first("a fork that both refuse");
}

// rules: S7, S8, X2, X3, X6
#[test]
fn a_fork_with_reliable_responses() {
    search_first("a fork with reliable responses");
}

// rules: S6, S7, S8, X2, X3, X6
#[test]
fn a_fork_with_early_changes() {
    search_first("a fork with early changes");
}

#[test]
fn no_scene_is_left_out() {
    let all: Vec<_> = SCENES.iter().map(|scene| scene.name).collect();
    let searched = [
        "INVITE, CANCEL and 2xx",
        "INVITE, CANCEL and a refusal",
        "an offer in the 2xx",
        "BYE and BYE",
        "BYE and re-INVITE",
        "re-INVITE and re-INVITE",
        "UPDATE and re-INVITE",
        "UPDATE and UPDATE",
        "an early change",
        "reliable responses and early changes",
        "early UPDATEs from both sides",
        "BYE and REFER",
        "SUBSCRIBE, NOTIFY and 2xx",
        "two ends of a subscription",
        "a fork of two",
        "a fork where one refuses",
        "a fork that both refuse",
        "a fork with reliable responses",
        "a fork with early changes",
    ];
    assert_eq!(all, searched);
}

/// One step of a course: by whom, and what.
enum Step {
    Gives(usize, Command),
    Gets(usize, &'static str),
    Resets(usize),
    Fires(usize),
}

use Step::{Fires, Gets, Gives, Resets};

/// Alice is party 0, Bob is party 1, and Carol is rung with him where there is a proxy that forks.
const ALICE: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;

fn course(scene: &str, steps: &[Step], sessions: usize) {
    let mut course = Course::of(Scene::named(scene).expect("a scene of this name"));
    for (at, step) in steps.iter().enumerate() {
        go(&mut course, at, step);
    }
    assert_eq!(course.ends(), sessions);
}

fn go(course: &mut Course, at: usize, step: &Step) {
    match step {
        Gives(party, command) => course.gives(*party, *command),
        Gets(party, what) => assert_eq!(course.gets(*party), *what, "step {at}"),
        Resets(connection) => course.resets(*connection),
        Fires(party) => course.fires(*party),
    }
}

const FROM_NOTHING: &str = "INVITE, CANCEL and 2xx";
const IN_A_CALL: &str = "BYE and BYE";

// RFC 5407 section 3.1.2.
// rules: S16
#[test]
fn a_cancel_that_meets_the_200_is_followed_by_ack_and_bye() {
    let steps = [
        Gives(ALICE, Invite),
        Gets(BOB, "INVITE"),
        Gives(BOB, Ring),
        Gets(ALICE, "180"),
        Gives(BOB, Accept),
        Gives(ALICE, Terminate),
        Gets(BOB, "CANCEL"),
        Gets(ALICE, "200"),
        Gets(BOB, "ACK"),
        Gets(BOB, "BYE"),
        // To the CANCEL and to the BYE.
        Gets(ALICE, "200"),
        Gets(ALICE, "200"),
    ];
    course(FROM_NOTHING, &steps, 0);
}

// RFC 5407 section 3.1.4.
// rules: S16
#[test]
fn a_reinvite_before_the_ack_is_taken_where_offer_and_answer_are_through() {
    let steps = [
        Gives(ALICE, Invite),
        Gets(BOB, "INVITE"),
        Gives(BOB, Accept),
        Gets(ALICE, "200"),
        // The ACK is lost.
        Resets(0),
        Gets(ALICE, "Reset"),
        Gives(ALICE, Reinvite),
        Gets(BOB, "Reset"),
        Gets(BOB, "INVITE"),
        Gives(BOB, Take),
        Gets(ALICE, "200"),
    ];
    course(FROM_NOTHING, &steps, 2);
}

// RFC 5407 section 3.1.5.
// rules: S16
#[test]
fn a_reinvite_before_the_ack_with_the_answer_is_491() {
    let steps = [
        Gives(ALICE, InviteWithoutOffer),
        Gets(BOB, "INVITE"),
        Gives(BOB, Accept),
        Gets(ALICE, "200"),
        Gives(ALICE, Answer),
        // The ACK is lost.
        Resets(0),
        Gets(ALICE, "Reset"),
        Gives(ALICE, Reinvite),
        Gets(BOB, "Reset"),
        Gets(BOB, "INVITE"),
        Gets(ALICE, "491"),
        Gets(BOB, "ACK"),
    ];
    course(FROM_NOTHING, &steps, 2);
}

// RFC 5407 section 3.1.6.
// rules: S16
#[test]
fn a_bye_right_after_the_ack_ends_the_call() {
    let steps = [
        Gives(ALICE, Invite),
        Gets(BOB, "INVITE"),
        Gives(BOB, Accept),
        Gets(ALICE, "200"),
        Gives(ALICE, Terminate),
        Gets(BOB, "ACK"),
        Gets(BOB, "BYE"),
        Gets(ALICE, "200"),
    ];
    course(FROM_NOTHING, &steps, 0);
}

// RFC 5407 section 3.2.1.
// rules: S16
#[test]
fn each_of_two_byes_is_answered_200() {
    let steps = [
        Gives(ALICE, Terminate),
        Gives(BOB, Terminate),
        Gets(ALICE, "BYE"),
        Gets(BOB, "BYE"),
        Gets(ALICE, "200"),
        Gets(BOB, "200"),
    ];
    course(IN_A_CALL, &steps, 0);
}

// RFC 5407 section 3.2.2.
// rules: S16
#[test]
fn a_reinvite_that_meets_a_bye_is_481() {
    let steps = [
        Gives(ALICE, Reinvite),
        Gives(BOB, Terminate),
        Gets(BOB, "INVITE"),
        Gets(ALICE, "BYE"),
        Gets(ALICE, "481"),
        Gets(BOB, "200"),
        Gets(BOB, "ACK"),
    ];
    course(IN_A_CALL, &steps, 0);
}

// RFC 5407 section 3.2.3.
// rules: S16
#[test]
fn the_200_of_a_reinvite_is_acknowledged_after_a_bye_too() {
    let steps = [
        Gives(ALICE, Reinvite),
        Gets(BOB, "INVITE"),
        Gives(ALICE, Terminate),
        Gives(BOB, Take),
        Gets(ALICE, "200"),
        Gets(BOB, "BYE"),
        Gets(BOB, "ACK"),
        Gets(ALICE, "200"),
    ];
    course(IN_A_CALL, &steps, 0);
}

// RFC 5407 section 3.2.4.
// rules: S16
#[test]
fn a_callee_who_hangs_up_at_once_waits_for_the_ack() {
    let steps = [
        Gives(ALICE, Invite),
        Gets(BOB, "INVITE"),
        Gives(BOB, Accept),
        Gives(BOB, Terminate),
        Gets(ALICE, "200"),
        Gets(BOB, "ACK"),
        Gets(ALICE, "BYE"),
        Gets(BOB, "200"),
    ];
    course(FROM_NOTHING, &steps, 0);
}

// RFC 5407 section 3.3.1.
// rules: S16
#[test]
fn two_reinvites_that_meet_are_491() {
    let steps = [
        Gives(ALICE, Reinvite),
        Gives(BOB, Reinvite),
        Gets(BOB, "INVITE"),
        Gets(ALICE, "INVITE"),
        Gets(ALICE, "491"),
        Gets(BOB, "491"),
        Gets(BOB, "ACK"),
        Gets(ALICE, "ACK"),
    ];
    course(IN_A_CALL, &steps, 2);
}

// RFC 5407 section 3.3.2.
// rules: S16
#[test]
fn an_update_and_a_reinvite_that_meet_are_491() {
    let steps = [
        Gives(ALICE, Update),
        Gives(BOB, Reinvite),
        Gets(BOB, "UPDATE"),
        Gets(ALICE, "INVITE"),
        Gets(ALICE, "491"),
        Gets(BOB, "491"),
        Gets(ALICE, "ACK"),
    ];
    course(IN_A_CALL, &steps, 2);
}

// RFC 5407 section 3.3.3.
// rules: S16
#[test]
fn a_refer_that_meets_a_bye_is_481() {
    let steps = [
        Gives(ALICE, Terminate),
        Gives(BOB, Refer),
        Gets(ALICE, "REFER"),
        Gets(BOB, "BYE"),
        Gets(BOB, "481"),
        Gets(ALICE, "200"),
    ];
    course(IN_A_CALL, &steps, 0);
}

// RFC 3311 section 5.2.
// rules: S5, S6
#[test]
fn two_early_updates_that_meet_are_491() {
    let steps = [
        Gives(ALICE, Invite),
        Gets(BOB, "INVITE"),
        Gives(BOB, Progress),
        Gets(ALICE, "183"),
        Gets(BOB, "PRACK"),
        Gets(ALICE, "200"),
        Gives(ALICE, Update),
        Gives(BOB, Update),
        Gets(BOB, "UPDATE"),
        Gets(ALICE, "UPDATE"),
        Gets(ALICE, "491"),
        Gets(BOB, "491"),
        Gives(BOB, Accept),
        Gets(ALICE, "200"),
        Gets(BOB, "ACK"),
    ];
    course("early UPDATEs from both sides", &steps, 2);
}

/// Both have answered in a reliable response, and Bob has taken the call.
const BOB_WINS: &[Step] = &[
    Gives(ALICE, Invite),
    Gets(BOB, "INVITE"),
    Gets(CAROL, "INVITE"),
    Gives(BOB, Progress),
    Gets(ALICE, "183"),
    Gets(BOB, "PRACK"),
    Gives(CAROL, Progress),
    Gets(ALICE, "200"),
    Gets(ALICE, "183"),
    Gets(CAROL, "PRACK"),
    Gets(ALICE, "200"),
    Gives(BOB, Accept),
    Gets(ALICE, "200"),
    Gets(BOB, "ACK"),
];

fn fork(after: &[Step]) {
    let steps: Vec<_> = BOB_WINS.iter().chain(after).collect();
    let mut course =
        Course::of(Scene::named("a fork with reliable responses").expect("a scene of this name"));
    for (at, step) in steps.into_iter().enumerate() {
        go(&mut course, at, step);
    }
    assert_eq!(course.ends(), 2);
}

// RFC 3261 section 16.7, step 10.
// rules: S8
#[test]
fn a_callee_that_has_lost_is_cancelled() {
    fork(&[Gets(CAROL, "CANCEL")]);
}

// RFC 3261 section 13.2.2.4.
// rules: S8
#[test]
fn a_callee_that_takes_a_call_which_another_has_gets_ack_and_bye() {
    fork(&[
        Gives(CAROL, Accept),
        Gets(CAROL, "CANCEL"),
        Gets(ALICE, "200"),
        Gets(CAROL, "ACK"),
        Gets(CAROL, "BYE"),
        Gets(ALICE, "200"),
    ]);
}

// RFC 3261 section 12.2.1.1: the number of the BYE is higher than that of the PRACK, which the search holds against both.
// rules: S7, S8
#[test]
fn so_does_one_whose_2xx_comes_when_the_invite_is_forgotten() {
    fork(&[
        Gives(CAROL, Accept),
        // Its transaction ends, 64*T1 after the first 2xx.
        Fires(ALICE),
        Fires(ALICE),
        Gets(ALICE, "200"),
        Gets(CAROL, "CANCEL"),
        Gets(CAROL, "ACK"),
        Gets(CAROL, "BYE"),
        Gets(ALICE, "200"),
    ]);
}
