//! Several early dialogs of one callee, each with its own To tag, of which one is accepted (S9): as if several endpoints had
//! been rung, where one application answers for all.
//!
//! A session works in one of them at a time. The others wait in a list, and change places with it: see [`Session::enter`].

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem::swap;

use super::offer::{self, Carrier, Offers};
use super::provisional::Provisionals;
use super::receive::describes_session;
use super::{Below, Session, Sessions, key, reliable};
use crate::cx::Cx;
use crate::dialog::Dialog;
use crate::error::Misuse;
use crate::event::Content;
use crate::exchange::Exchanges;
use crate::ids::{OperationId, SequenceId, SessionId};
use crate::time::Time;
use crate::wire::{Message, StatusCode};

/// One of the early dialogs of an incoming session: [`SessionView::early_dialog`](crate::SessionView::early_dialog) makes
/// another. It means something in its session, until that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct EarlyDialog(pub(super) u8);

impl EarlyDialog {
    /// The one that an incoming session begins with.
    pub(crate) const FIRST: Self = Self(0);
}

/// What an early dialog has of its own.
#[derive(Clone, Debug)]
pub(super) struct Branch {
    pub(super) number: u8,
    tag: Box<str>,
    dialog: Option<Dialog>,
    sequence: SequenceId,
    pub(super) offers: Offers,
    pub(super) provisionals: Provisionals,
}

/// One in canonical form: its number, what is open, what waits for a PRACK.
pub(super) type Fingerprint = (u8, offer::State, (reliable::Fingerprint, usize, bool));

/// What an INVITE of the peer opens.
pub(super) fn offer_of(invite: &Message) -> offer::Input {
    if invite.body_bytes().is_empty() || !describes_session(invite) {
        offer::Input::Asked
    } else {
        offer::Input::Received(Carrier::Invite)
    }
}

impl Sessions {
    /// Another early dialog of an incoming session.
    pub(crate) fn early_dialog(
        &mut self,
        cx: &mut Cx<'_>,
        exchanges: &mut Exchanges,
        id: SessionId,
    ) -> Result<EarlyDialog, Misuse> {
        let limit = cx.config.limits.forks;
        let Some(session) = self.table.get_mut(&id) else {
            return Ok(EarlyDialog::FIRST);
        };
        let Some(invite) = &session.invite else {
            return Ok(EarlyDialog::FIRST);
        };
        // Numbers count up; none is given back before all are.
        let Some(number) = u8::try_from(session.branches.len() + 1)
            .ok()
            .filter(|_| session.branches.len() + 1 < limit)
        else {
            cx.counters.refusals.forks += 1;
            return Err(Misuse::Limit("early dialogs of one session"));
        };
        let tag = cx.entropy.hex(16).into_boxed_str();
        let sequence = exchanges.new_sequence(cx, 1);
        let mut offers = Offers::new();
        offers.step(cx, offer_of(&invite.message));
        session.branches.push(Branch {
            number,
            // The INVITE has made one already.
            dialog: Dialog::from_request(&invite.message, &tag, sequence).ok(),
            tag: tag.clone(),
            sequence,
            offers,
            provisionals: Provisionals::new(id, number),
        });
        self.by_dialog.insert(key(&session.call_id, &tag), id);
        Ok(EarlyDialog(number))
    }

    /// Whether a session has this early dialog.
    pub(crate) fn may_enter(&self, id: SessionId, early: EarlyDialog) -> Result<(), Misuse> {
        let session = self.table.get(&id);
        let knows = |session: &Session| {
            session.branch == early.0 || session.branches.iter().any(|other| other.number == early.0)
        };
        if session.is_none_or(knows) {
            Ok(())
        } else {
            Err(Misuse::Unknown("early dialog"))
        }
    }

    /// A provisional response in one of the early dialogs.
    pub(crate) fn provisional_in(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        early: EarlyDialog,
        (status, content): (StatusCode, Option<Content>),
    ) -> Result<(), Misuse> {
        if let Some(session) = self.table.get_mut(&id) {
            session.enter(early.0);
        }
        self.provisional(cx, below, id, status, content)
    }

    /// The 2xx in one of them; the others are no more when it goes out.
    pub(crate) fn accept_in(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        early: EarlyDialog,
        (operation, content): (OperationId, Option<Content>),
    ) {
        if let Some(session) = self.table.get_mut(&id) {
            session.enter(early.0);
        }
        self.accept(cx, below, id, operation, content);
    }

    /// Forgets the early dialogs that a session does not work in.
    pub(super) fn drop_other_branches(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId) {
        let Some(session) = self
            .table
            .get_mut(&id)
            .filter(|session| !session.branches.is_empty())
        else {
            return;
        };
        let (tag, dialog) = (session.tag.clone(), session.dialog.as_ref());
        let remote = dialog.and_then(|dialog| dialog.remote_tag.clone());
        self.withdraw_elsewhere(cx, below, id, (Some(&*tag), remote.as_deref()));
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        session.enter_of_tag(&tag);
        self.drop_change_elsewhere(cx, below, id, None);
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        let others = core::mem::take(&mut session.branches);
        let call_id = session.call_id.clone();
        for mut branch in others {
            self.by_dialog.remove(&*key(&call_id, &branch.tag));
            below.exchanges.drop_sequence(branch.sequence);
            if let Some(operation) = branch.provisionals.end(cx) {
                cx.out.complete(operation, Err(super::provisional::ended()));
            }
        }
    }
}

impl Session {
    /// Works in the early dialog of this number from now on.
    pub(super) fn enter(&mut self, number: u8) {
        if self.branch == number {
            return;
        }
        let Some(other) = self.branches.iter_mut().find(|other| other.number == number) else {
            return;
        };
        swap(&mut self.branch, &mut other.number);
        swap(&mut self.tag, &mut other.tag);
        swap(&mut self.dialog, &mut other.dialog);
        swap(&mut self.sequence, &mut other.sequence);
        swap(&mut self.change.offers, &mut other.offers);
        swap(&mut self.provisionals, &mut other.provisionals);
        if let Some(invite) = &mut self.invite {
            invite.tag.clone_from(&self.tag);
        }
    }

    /// Works in the one that a request of the peer is in.
    pub(super) fn enter_of(&mut self, request: &Message) {
        if self.branches.is_empty() {
            return;
        }
        let to = request.to().ok();
        if let Some(tag) = to.as_ref().and_then(|to| to.tag()) {
            self.enter_of_tag(tag);
        }
    }

    fn enter_of_tag(&mut self, tag: &str) {
        let mut others = self.branches.iter();
        let number = others.find(|other| *other.tag == *tag).map(|other| other.number);
        if let Some(number) = number {
            self.enter(number);
        }
    }

    pub(super) fn branches_fingerprint(&self, now: Time) -> Vec<Fingerprint> {
        let others = self.branches.iter();
        others
            .map(|other| {
                (
                    other.number,
                    other.offers.state(),
                    other.provisionals.fingerprint(now),
                )
            })
            .collect()
    }
}
