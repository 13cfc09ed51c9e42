//! What they may do to each other.

use super::party::Command::{self, *};

/// Who may give which commands. Each party gives its own in their order, at any time, and may leave some out.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    /// Its name.
    pub name: &'static str,
    /// What has happened before the search, each command when nothing was on its way any more: by whom, and what.
    pub(super) before: &'static [(usize, Command)],
    /// What each party may do.
    pub(super) scripts: &'static [&'static [Command]],
}

/// A call that is held.
const CALL: &[(usize, Command)] = &[(0, Invite), (1, Accept)];
/// A subscription that is held.
const SUBSCRIPTION: &[(usize, Command)] = &[(0, Subscribe), (1, Admit)];

/// All of them.
pub const SCENES: &[Scene] = &[
    Scene {
        name: "INVITE, CANCEL and 2xx",
        before: &[],
        scripts: &[&[Invite, Terminate], &[Ring, Accept, Terminate]],
    },
    Scene {
        name: "INVITE, CANCEL and a refusal",
        before: &[],
        scripts: &[&[Invite, Terminate], &[Ring, Reject]],
    },
    Scene {
        name: "an offer in the 2xx",
        before: &[],
        scripts: &[&[InviteWithoutOffer, Answer, Terminate], &[Accept, Terminate]],
    },
    Scene {
        name: "BYE and BYE",
        before: CALL,
        scripts: &[&[Inside, Terminate], &[Inside, Terminate]],
    },
    Scene {
        name: "BYE and re-INVITE",
        before: CALL,
        scripts: &[&[Reinvite, Withdraw], &[Take, Terminate]],
    },
    Scene {
        name: "re-INVITE and re-INVITE",
        before: CALL,
        scripts: &[&[Reinvite, Take, Terminate], &[Reinvite, Refuse, Terminate]],
    },
    Scene {
        name: "UPDATE and re-INVITE",
        before: CALL,
        scripts: &[&[Update, Refuse, Terminate], &[Reinvite, Take, Withdraw]],
    },
    Scene {
        name: "UPDATE and UPDATE",
        before: CALL,
        scripts: &[&[Update, Take, Terminate], &[Update, Take, Terminate]],
    },
    Scene {
        name: "an early change",
        before: &[],
        scripts: &[&[Invite, Update, Terminate], &[Ring, Accept, Reinvite, Take]],
    },
    Scene {
        name: "reliable responses and early changes",
        before: &[],
        scripts: &[
            &[Invite, OfferInPrack, Take, Terminate],
            &[Progress, Update, Take, Accept],
        ],
    },
    Scene {
        name: "early UPDATEs from both sides",
        before: &[],
        scripts: &[
            &[Invite, Update, Take, Terminate],
            &[Progress, Update, Take, Accept],
        ],
    },
    Scene {
        name: "BYE and REFER",
        before: CALL,
        scripts: &[&[Refer, Terminate], &[Follow, Decline, Terminate]],
    },
    Scene {
        name: "SUBSCRIBE, NOTIFY and 2xx",
        before: &[],
        scripts: &[&[Subscribe, Unsubscribe], &[Admit, Notify, Dismiss]],
    },
    Scene {
        name: "two ends of a subscription",
        before: SUBSCRIPTION,
        scripts: &[&[Unsubscribe], &[Notify, Notify, Dismiss]],
    },
    Scene {
        name: "a fork of two",
        before: &[],
        scripts: &[
            &[Invite, Terminate],
            &[Ring, Accept, Terminate],
            &[Ring, Accept, Terminate],
        ],
    },
    Scene {
        name: "a fork where one refuses",
        before: &[],
        scripts: &[&[Invite, Terminate], &[Ring, Accept, Terminate], &[Ring, Reject]],
    },
    Scene {
        name: "a fork that both refuse",
        before: &[],
        scripts: &[&[Invite, Terminate], &[Ring, Reject], &[Ring, Reject]],
    },
    Scene {
        name: "a fork with reliable responses",
        before: &[],
        scripts: &[
            &[Invite, Terminate],
            &[Progress, Accept, Terminate],
            &[Progress, Accept],
        ],
    },
    Scene {
        name: "a fork with early changes",
        before: &[],
        scripts: &[
            &[Invite, Update, Take, Terminate],
            &[Progress, Take, Accept],
            &[Progress, Update, Accept],
        ],
    },
];
