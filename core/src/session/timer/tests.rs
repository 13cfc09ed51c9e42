use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};

use super::*;
use crate::connection::testing::Services;
use crate::ids::FromNumber;

/// The machine with its services, at 100 s.
struct Bench {
    services: Services,
    machine: SessionTimer,
}

impl Bench {
    fn of(path: &[&str]) -> Self {
        let mut bench = Self {
            services: Services::new(),
            machine: SessionTimer::new(SessionId::from_number(1)),
        };
        for name in path {
            bench.step(name);
        }
        bench
    }

    fn step(&mut self, name: &str) -> String {
        let agreed = |seconds, ours| Input::Agreed {
            interval: Duration::from_secs(seconds),
            ours,
        };
        let input = match name {
            "ours" => agreed(90, true),
            "ours, long" => agreed(1800, true),
            "theirs" => agreed(90, false),
            "theirs, long" => agreed(1800, false),
            "none" => Input::NotAgreed,
            "refused" => Input::Refused,
            "lost" => Input::Lost,
            "due" => self.fire(Timer::Due),
            "end" => self.fire(Timer::End),
            other => panic!("{other}"),
        };
        let mut effects = Vec::new();
        self.machine.step(&mut self.services.cx(), input, &mut effects);
        let print = self.machine.fingerprint(self.services.now);
        let mut shown = String::from(print.state);
        for (name, left) in [("due", print.due), ("end", print.end)] {
            if let Some(left) = left {
                shown.push_str(&format!(" {name} {}", left.as_secs_f64()));
            }
        }
        let armed = self.services.timers.len();
        assert_eq!(
            armed,
            usize::from(print.due.is_some()) + usize::from(print.end.is_some())
        );
        for effect in effects {
            shown.push_str(&format!(" | {effect:?}"));
        }
        shown
    }

    /// A timer that is set fires at its time; one that is not fires all the same.
    fn fire(&mut self, timer: Timer) -> Input {
        let set = match (&self.machine.state, timer) {
            (State::Waiting { due, .. }, Timer::Due) => Some(*due),
            (
                State::Waiting { end, .. } | State::Refreshing { end } | State::Watching { end },
                Timer::End,
            ) => Some(*end),
            _ => None,
        };
        if let Some(set) = set {
            self.services.timers.stop(set);
            self.services.now = set.at();
        }
        Input::Fired(timer)
    }
}

// rules: S11
#[test]
fn every_state_takes_every_input_as_the_table_says() {
    let off: &[&str] = &[];
    let (waiting, watching): (&[&str], &[&str]) = (&["ours"], &["theirs"]);
    let (refreshing, over): (&[&str], &[&str]) = (&["ours", "due"], &["theirs", "end"]);
    let table: Vec<(&[&str], &str, &str)> = vec![
        // Half of the interval; its end less the lesser of a third of it and 32 s.
        (off, "ours", "Waiting due 45 end 60"),
        (off, "ours, long", "Waiting due 900 end 1768"),
        (off, "theirs", "Watching end 60"),
        (off, "theirs, long", "Watching end 1768"),
        (off, "none", "Off"),
        (off, "refused", "Off"),
        (off, "lost", "Off"),
        (off, "due", "Off"),
        (off, "end", "Off"),
        (waiting, "ours", "Waiting due 45 end 60"),
        (waiting, "theirs", "Watching end 60"),
        (waiting, "none", "Off"),
        (waiting, "refused", "Waiting due 45 end 60"),
        (waiting, "lost", "Waiting due 45 end 60"),
        (waiting, "due", "Refreshing end 15 | Refresh"),
        (waiting, "end", "Over | Expire"),
        (refreshing, "ours", "Waiting due 45 end 60"),
        (refreshing, "theirs", "Watching end 60"),
        (refreshing, "none", "Off"),
        // Half of what is left.
        (refreshing, "refused", "Waiting due 7.5 end 15"),
        (refreshing, "lost", "Over | Expire"),
        (refreshing, "due", "Refreshing end 15"),
        (refreshing, "end", "Over | Expire"),
        (watching, "ours", "Waiting due 45 end 60"),
        (watching, "theirs", "Watching end 60"),
        (watching, "none", "Off"),
        (watching, "refused", "Watching end 60"),
        (watching, "lost", "Watching end 60"),
        (watching, "due", "Watching end 60"),
        (watching, "end", "Over | Expire"),
        (over, "ours", "Over"),
        (over, "theirs", "Over"),
        (over, "none", "Over"),
        (over, "refused", "Over"),
        (over, "lost", "Over"),
        (over, "due", "Over"),
        (over, "end", "Over"),
    ];
    for (path, input, expected) in table {
        assert_eq!(Bench::of(path).step(input), expected, "{path:?}, {input}");
    }
}

// rules: S11
#[test]
fn a_refresh_that_is_refused_is_tried_again_ever_sooner_until_the_end() {
    let mut bench = Bench::of(&["ours"]);
    let mut tries = 0;
    loop {
        let shown = bench.step("due");
        assert!(shown.ends_with("| Refresh"), "{shown}");
        tries += 1;
        bench.step("refused");
        let State::Waiting { due, end } = bench.machine.state else {
            panic!("{:?}", bench.machine)
        };
        if due.at() >= end.at() {
            break;
        }
    }
    // 45, 52.5, 56.25, 58.125, 59.125 s: not sooner than after a second.
    assert_eq!(tries, 5);
    assert_eq!(bench.step("end"), "Over | Expire");
}
