//! The cells of this machine.

use super::{Input, State, Timer};
use crate::cells::{Impossible, Machine, Named, names};

names! {
    State {
        Locating: Self::Locating { .. },
        Connecting: Self::Connecting { .. },
        Handshaking: Self::Handshaking { .. },
        Held: Self::Held { .. },
        Unproven: Self::Unproven { .. },
        Live: Self::Live,
        Lingering: Self::Lingering { .. },
        Parting: Self::Parting { .. },
        Closing: Self::Closing { .. },
        Gone: Self::Gone,
    }
}

names! {
    Input {
        Target: Self::Target(_),
        Exhausted: Self::Exhausted(_),
        Connected: Self::Connected(Ok(())),
        Untrusted: Self::Connected(Err(_)),
        Closed: Self::Closed(_),
        Used: Self::Used,
        Unused: Self::Unused,
        Proven: Self::Proven,
        FramingLost: Self::FramingLost(_),
        Drained: Self::Drained,
        Disconnect: Self::Disconnect(_),
        NetworkChanged: Self::NetworkChanged,
        Allowed: Self::Allowed,
        Denied: Self::Denied,
        TimerConnect: Self::Timer(Timer::Connect),
        TimerUnproven: Self::Timer(Timer::Unproven),
        TimerLinger: Self::Timer(Timer::Linger),
        TimerIdle: Self::Timer(Timer::Idle),
        TimerFlush: Self::Timer(Timer::Flush),
        TimerStall: Self::Timer(Timer::Stall),
        TimerPong: Self::Timer(Timer::Pong),
        TimerAuthorization: Self::Timer(Timer::Authorization),
    }
}

pub(crate) const MACHINE: Machine = Machine::new::<State, Input>(
    "connection",
    &[
        Impossible {
            states: &[
                "Connecting",
                "Handshaking",
                "Held",
                "Unproven",
                "Live",
                "Lingering",
                "Parting",
                "Closing",
            ],
            inputs: &["Target", "Exhausted"],
            reason: "the search is asked for an address in Locating alone",
        },
        Impossible {
            states: &[
                "Locating",
                "Held",
                "Unproven",
                "Live",
                "Lingering",
                "Parting",
                "Closing",
            ],
            inputs: &["Connected", "Untrusted"],
            reason: "the report is not about an attempt: the table passes over it",
        },
        Impossible {
            states: &["Handshaking", "Parting", "Closing"],
            inputs: &["Used"],
            reason: "the table gives no lease of what is not there yet or is leaving",
        },
        Impossible {
            states: &["Unproven"],
            inputs: &["Used"],
            reason: "who comes to use it has had a valid message over it, and that has proved it",
        },
        Impossible {
            states: &["Handshaking", "Unproven", "Lingering"],
            inputs: &["Unused"],
            reason: "it has no user who could leave",
        },
        Impossible {
            states: &["Locating", "Connecting", "Handshaking", "Held"],
            inputs: &["Proven", "FramingLost", "Drained"],
            reason: "nothing is read from it and nothing is queued on it",
        },
        Impossible {
            states: &[
                "Locating",
                "Connecting",
                "Handshaking",
                "Unproven",
                "Live",
                "Lingering",
                "Parting",
                "Closing",
            ],
            inputs: &["Allowed", "Denied"],
            reason: "to say so of a connection that is not held is misuse, which changes nothing",
        },
        Impossible {
            states: &[
                "Connecting",
                "Handshaking",
                "Unproven",
                "Live",
                "Lingering",
                "Parting",
                "Closing",
            ],
            inputs: &["TimerAuthorization"],
            reason: "the timer is set in Held and stopped on leaving it",
        },
        Impossible {
            states: &["Parting", "Closing"],
            inputs: &["Proven", "FramingLost"],
            reason: "nothing is framed any more, and each message before was dealt with before the next was cut off",
        },
        Impossible {
            states: &["Locating"],
            inputs: &[
                "TimerConnect",
                "TimerUnproven",
                "TimerLinger",
                "TimerIdle",
                "TimerFlush",
                "TimerStall",
                "TimerPong",
                "TimerAuthorization",
            ],
            reason: "it has no timer: the question to the domain name system has its own",
        },
        Impossible {
            states: &[
                "Handshaking",
                "Held",
                "Unproven",
                "Live",
                "Lingering",
                "Parting",
                "Closing",
            ],
            inputs: &["TimerConnect"],
            reason: "the timer of an attempt is stopped with the attempt",
        },
        Impossible {
            states: &["Connecting", "Held", "Live", "Lingering", "Parting", "Closing"],
            inputs: &["TimerUnproven"],
            reason: "only what comes in has to prove itself, and the timer is stopped when it has, or leaves",
        },
        Impossible {
            states: &[
                "Connecting",
                "Handshaking",
                "Held",
                "Unproven",
                "Live",
                "Parting",
                "Closing",
            ],
            inputs: &["TimerLinger"],
            reason: "the timer is set in Lingering and stopped on leaving it",
        },
        Impossible {
            states: &["Connecting", "Handshaking", "Held", "Parting", "Closing"],
            inputs: &["TimerIdle"],
            reason: "the timer runs while the connection is ready and is stopped as it leaves",
        },
        Impossible {
            states: &[
                "Connecting",
                "Handshaking",
                "Held",
                "Unproven",
                "Live",
                "Lingering",
            ],
            inputs: &["TimerFlush"],
            reason: "the timer is set in Parting and in Closing, from which there is no way back",
        },
        Impossible {
            states: &["Connecting", "Handshaking", "Held", "Parting", "Closing"],
            inputs: &["TimerStall"],
            reason: "the timer is set while the connection is ready and stopped as it leaves",
        },
        Impossible {
            states: &[
                "Connecting",
                "Handshaking",
                "Held",
                "Unproven",
                "Lingering",
                "Parting",
                "Closing",
            ],
            inputs: &["TimerPong"],
            reason: "the timer is set in Live and stopped on leaving it",
        },
        Impossible {
            states: &[
                "Handshaking",
                "Held",
                "Unproven",
                "Live",
                "Lingering",
                "Parting",
                "Closing",
            ],
            inputs: &["NetworkChanged"],
            reason: "the table tells those that are still being made; others it closes where their address is lost",
        },
        Impossible {
            states: &["Gone"],
            inputs: Input::NAMES,
            reason: "it is taken out of the table as it ends",
        },
    ],
);
