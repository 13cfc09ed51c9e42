//! The cells of this machine. A stack can come to all of them; to Telling with more waiters than one slice holds.

use super::{Input, State};
use crate::cells::{Machine, names};

names! {
    State {
        Asked: Self::Asked { .. },
        Telling: Self::Telling { .. },
    }
}

names! {
    Input {
        Resolved: Self::Resolved(_),
        Timer: Self::Timer,
    }
}

pub(crate) const MACHINE: Machine = Machine::new::<State, Input>("query", &[]);
