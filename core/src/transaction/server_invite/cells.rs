//! The cells of this machine.

use super::{Input, State};
use crate::cells::{Impossible, Machine, Named, names};

names! {
    State {
        ProceedingUnanswered: Self::Proceeding { response: None },
        Proceeding: Self::Proceeding { response: Some(_) },
        Completed: Self::Completed { .. },
        Confirmed: Self::Confirmed,
        Accepted: Self::Accepted,
        Terminated: Self::Terminated,
    }
}

names! {
    Input {
        Invite: Self::Invite,
        Ack: Self::Ack,
        Provisional: Self::Provisional(_),
        Success: Self::Success(_),
        Failure: Self::Failure(_),
        TransportError: Self::TransportError,
        TimerTrying: Self::TimerTrying,
        TimerG: Self::TimerG,
        TimerH: Self::TimerH,
        TimerI: Self::TimerI,
        TimerL: Self::TimerL,
    }
}

pub(crate) const MACHINE: Machine = Machine::new::<State, Input>(
    "server INVITE transaction",
    &[
        Impossible {
            states: &["ProceedingUnanswered", "Proceeding", "Completed", "Accepted"],
            inputs: &["TimerG", "TimerI"],
            reason: "every transport is reliable: no response is retransmitted, no ACK waited for twice",
        },
        Impossible {
            states: &["Proceeding", "Completed", "Accepted"],
            inputs: &["TimerTrying"],
            reason: "timer Trying is stopped with the first response",
        },
        Impossible {
            states: &["ProceedingUnanswered", "Proceeding"],
            inputs: &["TimerH", "TimerL"],
            reason: "timers H and L are set with the final response",
        },
        Impossible {
            states: &["Completed"],
            inputs: &["TimerL"],
            reason: "timer L is set with a 2xx",
        },
        Impossible {
            states: &["Accepted"],
            inputs: &["TimerH"],
            reason: "timer H is set with a failure",
        },
        Impossible {
            states: &["Completed"],
            inputs: &["Provisional", "Success", "Failure"],
            reason: "after the final response the table hands in no other",
        },
        Impossible {
            states: &["Accepted"],
            inputs: &["Provisional", "Failure"],
            reason: "after a 2xx the table hands in nothing but that again",
        },
        Impossible {
            states: &["Completed"],
            inputs: &["TransportError"],
            reason: "it is told of a response that finds no way, and none is handed in here",
        },
        Impossible {
            states: &["Confirmed"],
            inputs: Input::NAMES,
            reason: "on a reliable transport Confirmed is passed through within the step",
        },
        Impossible {
            states: &["Terminated"],
            inputs: Input::NAMES,
            reason: "a terminated machine is removed before its next input",
        },
    ],
);
