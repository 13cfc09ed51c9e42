use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};

use super::*;
use crate::connection::testing::Services;
use crate::ids::FromNumber;

/// The machine with its services, at 100 s.
struct Bench {
    services: Services,
    machine: Referee,
}

impl Bench {
    fn of(path: &[&str]) -> Self {
        let mut services = Services::new();
        let (session, id) = (SessionId::from_number(1), ReferralId::from_number(2));
        let machine = Referee::new(&mut services.cx(), session, id);
        let mut bench = Self { services, machine };
        for name in path {
            bench.step(name);
        }
        bench
    }

    fn step(&mut self, name: &str) -> String {
        let input = match name {
            "accept" => Input::Accept,
            "refuse" => Input::Refuse(StatusCode::DECLINE),
            "ringing" => Input::Progress(StatusCode::RINGING),
            "busy" => Input::Progress(StatusCode::BUSY_HERE),
            "unheard" => Input::Unheard,
            "fired" => {
                self.services.timers.pop_due(Time::MAX);
                Input::Fired
            }
            other => panic!("{other}"),
        };
        let mut effects = Vec::new();
        self.machine.step(&mut self.services.cx(), input, &mut effects);
        let effects: Vec<String> = effects
            .iter()
            .map(|effect| match effect {
                Effect::Answer(status) => format!("{}", status.code()),
                Effect::Notify(status, None) => format!("notify {}", status.code()),
                Effect::Notify(status, Some(ends)) => format!("notify {}, {ends}", status.code()),
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
    let (asked, lapsed): (&[&str], &[&str]) = (&[], &["fired"]);
    let (following, ringing) = (&["accept"][..], &["accept", "ringing"][..]);
    let over: &[&str] = &["refuse"];
    let table: Vec<(&[&str], &str, &str)> = vec![
        (asked, "accept", "Following for 300 | 202, notify 100"),
        (asked, "refuse", "Over | 603"),
        (asked, "ringing", "Asked for 32 | "),
        (asked, "unheard", "Asked for 32 | "),
        (asked, "fired", "Lapsed | 500"),
        (lapsed, "accept", "Over | "),
        (lapsed, "refuse", "Over | "),
        (lapsed, "ringing", "Lapsed | "),
        (lapsed, "unheard", "Lapsed | "),
        (lapsed, "fired", "Lapsed | "),
        (following, "accept", "Following for 300 | "),
        (following, "refuse", "Following for 300 | "),
        (following, "ringing", "Following for 300 | notify 180"),
        (following, "busy", "Over | notify 486, noresource"),
        (following, "unheard", "Over | "),
        (following, "fired", "Over | notify 100, timeout"),
        (ringing, "fired", "Over | notify 180, timeout"),
        (over, "accept", "Over | "),
        (over, "refuse", "Over | "),
        (over, "ringing", "Over | "),
        (over, "unheard", "Over | "),
        (over, "fired", "Over | "),
    ];
    for (path, input, expected) in table {
        assert_eq!(Bench::of(path).step(input), expected, "{path:?}, {input}");
    }
}
