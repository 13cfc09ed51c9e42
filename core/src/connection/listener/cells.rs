//! The cells of this machine. A stack can come to all of them.

use super::{Input, State};
use crate::cells::{Machine, names};

names! {
    State {
        Starting: Self::Starting { .. },
        Listening: Self::Listening { .. },
    }
}

names! {
    Input {
        Started: Self::Started(Ok(_)),
        Failed: Self::Started(Err(_)),
        Lost: Self::Lost(_),
        Stop: Self::Stop,
    }
}

pub(crate) const MACHINE: Machine = Machine::new::<State, Input>("listener", &[]);
