use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};

use super::*;
use crate::connection::testing::Services;
use crate::ids::FromNumber;

/// The machine with its services, at 100 s.
struct Bench {
    services: Services,
    machine: Referral,
}

fn report(status: StatusCode, lasts: Lasts) -> Input {
    Input::Report { status, lasts }
}

fn input_of(name: &str) -> Input {
    match name {
        "release" => Input::Release,
        "202" => Input::Accepted(StatusCode::ACCEPTED),
        "603" => Input::Refused(StatusCode::DECLINE),
        "none" => Input::Unanswered,
        "trying" => report(StatusCode::TRYING, Lasts::For(Duration::from_secs(60))),
        "ringing" => report(StatusCode::RINGING, Lasts::AsBefore),
        "busy" => report(StatusCode::BUSY_HERE, Lasts::AsBefore),
        "ok, end" => report(StatusCode::OK, Lasts::Ended),
        "ringing, end" => report(StatusCode::RINGING, Lasts::Ended),
        "moved, end" => report(StatusCode::MOVED_TEMPORARILY, Lasts::Ended),
        "fired" => Input::Fired,
        other => panic!("{other}"),
    }
}

impl Bench {
    fn of(path: &[&str]) -> Self {
        let mut bench = Self {
            services: Services::new(),
            machine: Referral::new(SessionId::from_number(1), ReferralId::from_number(2)),
        };
        for name in path {
            bench.step(name);
        }
        bench
    }

    fn step(&mut self, name: &str) -> String {
        if name == "fired" {
            self.services.timers.pop_due(Time::MAX);
        }
        let mut effects = Vec::new();
        self.machine
            .step(&mut self.services.cx(), input_of(name), &mut effects);
        let effects: Vec<String> = effects
            .iter()
            .map(|effect| match effect {
                Effect::Send => String::from("send"),
                Effect::Tell(state, None) => format!("{state:?}"),
                Effect::Tell(state, Some(status)) => format!("{state:?} {}", status.code()),
            })
            .collect();
        let print = self.machine.fingerprint(self.services.now);
        let left = print.left.map(|left| format!(" for {}", left.as_secs()));
        let timers = self.services.timers.clone().pop_due(Time::MAX).is_some();
        assert_eq!(timers, left.is_some(), "a timer is set where one is waited for");
        format!(
            "{}{} | {}",
            print.state,
            left.unwrap_or_default(),
            effects.join(", ")
        )
    }
}

// rules: S14
#[test]
fn every_state_takes_every_input_as_the_table_says() {
    let queued: &[&str] = &[];
    let (requested, overtaken, ended) = (
        &["release"][..],
        &["release", "trying"][..],
        &["release", "ringing, end"][..],
    );
    let (watching, told) = (&["release", "202"][..], &["release", "202", "busy"][..]);
    let over: &[&str] = &["release", "603"];
    let table: Vec<(&[&str], &str, &str)> = vec![
        (queued, "release", "Requested | send"),
        (queued, "202", "Queued | "),
        (queued, "603", "Queued | "),
        (queued, "none", "Queued | "),
        (queued, "trying", "Queued | "),
        (queued, "ok, end", "Queued | "),
        (queued, "fired", "Queued | "),
        (requested, "release", "Requested | "),
        // 64*T1 for the first NOTIFY.
        (requested, "202", "Watching for 32 | Accepted 202"),
        (requested, "603", "Over | Rejected 603"),
        (requested, "none", "Over | Unanswered"),
        (requested, "trying", "Requested | Trying 100"),
        (requested, "ringing", "Requested | Alerted 180"),
        (requested, "ok, end", "Requested | Succeeded 200"),
        (requested, "fired", "Requested | "),
        (overtaken, "202", "Watching for 60 | "),
        (overtaken, "603", "Over | Rejected 603"),
        (ended, "202", "Over | Lapsed"),
        (ended, "none", "Over | Unanswered"),
        (watching, "release", "Watching for 32 | "),
        (watching, "202", "Watching for 32 | "),
        (watching, "603", "Watching for 32 | "),
        (watching, "none", "Watching for 32 | "),
        (watching, "trying", "Watching for 60 | Trying 100"),
        (watching, "ringing", "Watching for 32 | Alerted 180"),
        (watching, "busy", "Watching for 32 | Failed 486"),
        (watching, "ok, end", "Over | Succeeded 200"),
        (watching, "moved, end", "Over | Redirected 302"),
        (watching, "ringing, end", "Over | Alerted 180, Lapsed"),
        (watching, "fired", "Over | Lapsed"),
        // What has an outcome changes no more.
        (told, "ringing", "Watching for 32 | "),
        (told, "ok, end", "Over | "),
        (told, "fired", "Over | "),
        (over, "release", "Over | "),
        (over, "202", "Over | "),
        (over, "603", "Over | "),
        (over, "none", "Over | "),
        (over, "trying", "Over | "),
        (over, "ok, end", "Over | "),
        (over, "fired", "Over | "),
    ];
    for (path, input, expected) in table {
        assert_eq!(Bench::of(path).step(input), expected, "{path:?}, {input}");
    }
}

// rules: S14
#[test]
fn nothing_is_told_twice() {
    let mut bench = Bench::of(&["release", "202"]);
    assert_eq!(bench.step("ringing"), "Watching for 32 | Alerted 180");
    assert_eq!(bench.step("ringing"), "Watching for 32 | ");
}

// rules: S14
#[test]
fn the_first_goes_alone_and_the_others_as_the_peer_lets_them() {
    let mut referrals: Referrals<()> = Referrals::default();
    let mut services = Services::new();
    let [first, second, third] = [1, 2, 3].map(ReferralId::from_number);
    for id in [first, second, third] {
        let new = Referral::new(SessionId::from_number(1), id);
        referrals.table.insert(id, (new, ()));
    }
    let mut release = |referrals: &mut Referrals<()>, id| {
        let (machine, ()) = referrals.table.get_mut(&id).unwrap();
        machine.step(&mut services.cx(), Input::Release, &mut Vec::new());
    };
    assert_eq!(referrals.next(), Some(first));
    release(&mut referrals, first);
    assert_eq!(referrals.next(), None, "nobody knows");
    let mut one_by_one = referrals.clone();
    one_by_one.learn(false);
    assert_eq!(one_by_one.next(), None, "one at a time");
    one_by_one.table.remove(&first);
    assert_eq!(one_by_one.next(), Some(second));
    one_by_one.learn(true);
    release(&mut one_by_one, second);
    assert_eq!(one_by_one.next(), None, "the first NOTIFY says for all");
    referrals.learn(true);
    assert_eq!(referrals.next(), Some(second));
    release(&mut referrals, second);
    assert_eq!(referrals.next(), Some(third));
}
