//! What one endpoint logs on with, how far that has come, and what its server says under it.

use alloc::boxed::Box;
use alloc::string::{String, ToString};

use super::association::{Association, Signed};
use super::negotiation::{MAX_HANDSHAKES, Negotiation, Offer, User, offers};
use super::state::received;
use super::{
    Attempt, AuthState, AuthenticationFailure, AuthenticationFailureReason as Reason, AuthenticationProtocol,
    Challenged, Login, Next, Received,
};
use crate::cx::Cx;
use crate::ids::ConnId;
use crate::security::ms::{Info, Scheme};
use crate::security::signing::Version;
use crate::security::{KerberosFailure, KerberosFailureKind};
use crate::timers::TimerId;
use crate::wire::{Message, Method, StatusCode};

#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) login: Login,
    pub(super) state: AuthState,
    /// The connection over which it is made and used.
    pub(super) conn: Option<ConnId>,
    pub(super) negotiation: Option<Box<Negotiation>>,
    pub(super) association: Option<Box<Established>>,
    /// The server has taken the credentials before: where it does not, it may have lost the handshake, and is asked once
    /// more.
    pub(super) is_proven: bool,
    /// Why there is no security context for the challenge that is answered next.
    pub(super) kerberos: Option<KerberosFailure>,
}

/// An association in use.
#[derive(Clone, Debug)]
pub(super) struct Established {
    pub(super) association: Association,
    /// When a new one is to be made; `None` while it is.
    pub(super) renewal: Option<TimerId>,
}

impl Account {
    /// Whether the server has shown that it has the association that is being made.
    pub(super) fn is_made(&mut self) -> bool {
        let made = self
            .negotiation
            .as_mut()
            .and_then(|negotiation| negotiation.association());
        made.is_some_and(|association| association.is_shared())
    }

    /// Whether the server has to sign this: what comes under an association in use, and what makes one so.
    pub(super) fn has_to_be_signed(&self, message: &Message) -> bool {
        let strict = self.login.policy.strict;
        let closes = |status: StatusCode| status.is_success() || (strict && status.is_provisional());
        let makes = self
            .negotiation
            .as_ref()
            .is_some_and(|negotiation| negotiation.is_closing())
            && message.status().is_some_and(closes);
        // The REGISTER that asks for a new one is not of the old one, nor is the challenge that it wants.
        let renews = self
            .association
            .as_ref()
            .is_some_and(|established| established.renewal.is_none());
        if renews && is_challenge_to_register(message) {
            return false;
        }
        (self.association.is_some() || makes) && (strict || !is_left_unsigned(message))
    }

    /// Who logs on with a scheme to a realm, if anybody does.
    fn user(&self, scheme: Scheme, realm: &str) -> Option<User<'_>> {
        let given = self.state.choose(&self.login.credentials, realm);
        let default = scheme == Scheme::Kerberos && self.login.default_credential;
        given
            .map(User::Given)
            .or_else(|| (default && self.state.is_open(realm)).then_some(User::Default))
    }

    /// What a handshake makes of a challenge; `None` where it is none of Microsoft's schemes that could be answered. Where
    /// Kerberos has failed for it, it is answered otherwise.
    pub(super) fn negotiate(
        &mut self,
        cx: &mut Cx<'_>,
        challenged: Challenged<'_>,
        received: &[Received<'_>],
        attempt: &mut Attempt,
        without_kerberos: bool,
    ) -> Option<Result<Next, (Reason, String)>> {
        let policy = self.login.policy;
        let mut allowed = self.login.allowed;
        if !challenged.secure && !policy.without_tls {
            allowed = allowed.without(AuthenticationProtocol::Ntlm);
        }
        if without_kerberos {
            allowed = allowed.without(AuthenticationProtocol::Kerberos);
        }
        let offers = offers(received, allowed, policy.least().unwrap_or(Version::V4));
        let leads = match &self.negotiation {
            Some(negotiation) if negotiation.leader != challenged.exchange => {
                let waits = offers.iter().any(|offer| negotiation.is_of(offer));
                return waits.then(|| count(attempt, negotiation.realm()).map(|()| Next::Wait));
            }
            Some(_) => true,
            None => false,
        };
        let outcome = if leads {
            match self.go_on(cx, &offers) {
                Err((Reason::InvalidCredentials, _)) if core::mem::take(&mut self.is_proven) => {
                    self.negotiation = None;
                    self.begin(cx, challenged, &offers, attempt)?
                }
                outcome => outcome,
            }
        } else {
            self.begin(cx, challenged, &offers, attempt)?
        };
        if outcome.is_err() {
            self.negotiation = None;
        }
        let waits = self
            .negotiation
            .as_ref()
            .is_some_and(|negotiation| negotiation.asked().is_some());
        Some(outcome.map(|()| if waits { Next::Wait } else { Next::Again }))
    }

    fn begin(
        &mut self,
        cx: &mut Cx<'_>,
        challenged: Challenged<'_>,
        offers: &[Offer<'_>],
        attempt: &mut Attempt,
    ) -> Option<Result<(), (Reason, String)>> {
        let best = offers.iter().find_map(|offer| {
            let user = self.user(offer.challenge.scheme, offer.challenge.realm)?;
            Some((offer, user))
        });
        let Some((offer, user)) = best else {
            // Who has none for this may have some for a Digest beside it.
            let only = offers.first().filter(|_| !offers_digest(challenged.response))?;
            return Some(Err((
                Reason::MissingCredentials,
                only.challenge.realm.to_string(),
            )));
        };
        let realm = offer.challenge.realm.to_string();
        if let Err(refusal) = count(attempt, realm.clone()) {
            return Some(Err(refusal));
        }
        match Negotiation::begin(cx, challenged, offer, user) {
            Ok(negotiation) => {
                self.negotiation = Some(Box::new(negotiation));
                Some(Ok(()))
            }
            Err(reason) => Some(Err((reason, realm))),
        }
    }

    fn go_on(&mut self, cx: &mut Cx<'_>, offers: &[Offer<'_>]) -> Result<(), (Reason, String)> {
        let Some(mut negotiation) = self.negotiation.take() else {
            return Ok(());
        };
        let realm = negotiation.realm();
        let offer = offers.iter().find(|offer| negotiation.is_of(offer));
        let user = offer.and_then(|offer| self.user(offer.challenge.scheme, &realm));
        let outcome = match (offer, user) {
            (Some(offer), Some(user)) => negotiation.go_on(cx, offer, user),
            _ if negotiation.is_closing() => Err(negotiation.refused(cx.unix)),
            _ => Err(Reason::NoCommonProtocols),
        };
        self.negotiation = Some(negotiation);
        outcome.map_err(|reason| (reason, realm))
    }

    /// Judges a signature by the association that it speaks of, the one that is being made or the one in use; `None` where
    /// there is none of that name.
    pub(super) fn verify(&mut self, cx: &mut Cx<'_>, message: &Message, info: &Info<'_>) -> Option<Signed> {
        let made = self
            .negotiation
            .as_mut()
            .and_then(|negotiation| negotiation.association());
        let used = self
            .association
            .as_mut()
            .map(|established| &mut established.association);
        let mut known = None;
        for association in made.into_iter().chain(used) {
            if association.name.is_of(info) {
                match association.verify(cx, message, info) {
                    Signed::Well => return Some(Signed::Well),
                    wrong @ (Signed::Forged | Signed::Replayed) => known = Some(wrong),
                }
            }
        }
        known
    }
}

/// A failure that comes of one of Kerberos.
pub(super) fn because(failure: AuthenticationFailure, kerberos: KerberosFailure) -> AuthenticationFailure {
    let reason = match (kerberos.kind, failure.reason) {
        (KerberosFailureKind::WrongCredentials, _) => Reason::InvalidCredentials,
        // What was tried instead is not the reason.
        (_, Reason::InvalidCredentials | Reason::SkewedClock) => failure.reason,
        (KerberosFailureKind::Unsupported, _) => failure.reason,
        (KerberosFailureKind::NoTicket, _) => Reason::MissingCredentials,
        (KerberosFailureKind::SkewedClock, _) => Reason::SkewedClock,
        (
            KerberosFailureKind::UnknownService
            | KerberosFailureKind::Unreachable
            | KerberosFailureKind::Other,
            _,
        ) => Reason::NoAuthenticatingAuthority,
    };
    AuthenticationFailure {
        reason,
        kerberos: Some(kerberos),
        ..failure
    }
}

/// One more handshake that a request leads, or waits for.
fn count(attempt: &mut Attempt, realm: String) -> Result<(), (Reason, String)> {
    if attempt.handshakes >= MAX_HANDSHAKES {
        return Err((Reason::InvalidCredentials, realm));
    }
    attempt.handshakes += 1;
    Ok(())
}

/// What real servers do not sign: provisional responses, challenges, and responses to REGISTER.
fn is_left_unsigned(message: &Message) -> bool {
    let Some(status) = message.status() else {
        return false;
    };
    !status.is_final()
        || matches!(status.code(), 401 | 407)
        || message.cseq().is_ok_and(|cseq| cseq.method == Method::Register)
}

fn is_challenge_to_register(message: &Message) -> bool {
    message
        .status()
        .is_some_and(|status| matches!(status.code(), 401 | 407))
        && message.cseq().is_ok_and(|cseq| cseq.method == Method::Register)
}

fn offers_digest(response: &Message) -> bool {
    received(response).iter().any(|one| {
        one.challenge
            .scheme
            .eq_ignore_ascii_case(crate::security::digest::SCHEME)
    })
}
