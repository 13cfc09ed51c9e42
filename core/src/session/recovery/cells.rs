//! The cells of this machine.

use super::{Input, Remedy, State, Timer};
use crate::cells::{Impossible, Machine, Named, names};

names! {
    State {
        Healthy: Self::Healthy,
        Healing: Self::Healing { .. },
        Waiting: Self::Waiting { .. },
        Registering: Self::Registering { .. },
        Over: Self::Over,
    }
}

names! {
    Input {
        FailedDialog: Self::Failed(Remedy::Dialog),
        FailedRegistration: Self::Failed(Remedy::Registration),
        FailedWait: Self::Failed(Remedy::Wait),
        Healed: Self::Healed,
        NotHealed: Self::NotHealed { .. },
        Registered: Self::Registered,
        Over: Self::Over,
        FiredAgain: Self::Fired(Timer::Again),
        FiredLimit: Self::Fired(Timer::Limit),
    }
}

pub(crate) const MACHINE: Machine = Machine::new::<State, Input>(
    "recovery",
    &[
        Impossible {
            states: &["Healthy", "Healing", "Registering"],
            inputs: &["FiredAgain"],
            reason: "only in Waiting is it set",
        },
        Impossible {
            states: &["Healthy", "Waiting", "Registering"],
            inputs: &["NotHealed"],
            reason: "its session hears of the refresh under way, and of no other",
        },
        Impossible {
            states: &["Healing"],
            inputs: &["Registered"],
            reason: "its session has begun already",
        },
        Impossible {
            states: &["Healthy"],
            inputs: &["FiredLimit"],
            reason: "no timer is set",
        },
        Impossible {
            states: &["Over"],
            inputs: Input::NAMES,
            reason: "its session forgets it, or ends and asks no more",
        },
    ],
);
