//! The handshake that makes a security association (rules A1, A3, A5, A7; MS-SIPAE section 3.2.5).
//!
//! It belongs to an endpoint; one request leads it, the others of the endpoint wait for its end. NTLM without connections
//! has no first token: an empty one asks the server for its challenge.
//!
//! ```text
//!           challenge              challenge with token              final response
//!   (none) -----------> Opening ------------------------> Closing -----------------> association
//!     ^                    |  challenge without token        |  challenge: wrong credentials
//!     +--------------------+---------------------------------+
//! ```
//!
//! Each request leads at most [`MAX_HANDSHAKES`], so that a server that challenges for ever is told so in bounded steps.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::association::{Association, Name};
use super::{
    AllowedProtocols, AuthenticationFailureReason as Reason, AuthenticationProtocol, Received, Side,
};
use crate::entropy::Entropy;
use crate::ids::ExchangeId;
use crate::security::Credentials;
use crate::security::ms;
use crate::security::ntlm::{self, FileTime, Fresh, Identity, NtHash};
use crate::security::signing::Version;
use crate::time::UnixTime;
use crate::wire::{Message, MessageLimits};

/// How many handshakes one request leads. One that was cut off by a lost connection is begun anew.
pub(super) const MAX_HANDSHAKES: u8 = 3;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Negotiation {
    pub(super) leader: ExchangeId,
    stage: Stage,
    /// What time it was for the server when it challenged first, where it says so.
    clock: Option<UnixTime>,
}

#[derive(Clone, Debug)]
enum Stage {
    /// The server is asked for its token.
    Opening(Name),
    /// The last token goes, or has gone, out.
    Closing {
        association: Box<Association>,
        token: Vec<u8>,
    },
}

/// What an answer is made with, besides the challenge.
#[derive(Clone, Copy, Debug)]
pub(super) struct Means<'a> {
    pub(super) credentials: &'a Credentials,
    pub(super) now: UnixTime,
}

/// A challenge of Microsoft's schemes that can be answered.
pub(super) struct Offer<'a> {
    pub(super) side: Side,
    pub(super) challenge: ms::Challenge<'a>,
}

/// The offers that are known and allowed, the strongest first (A3). TLS-DSK is known by its name and passed over.
pub(super) fn offers<'a>(
    received: &'a [Received<'_>],
    allowed: AllowedProtocols,
    least: Version,
) -> Vec<Offer<'a>> {
    let mut offers: Vec<Offer<'a>> = received
        .iter()
        .filter_map(|one| {
            let challenge = ms::Challenge::read(&one.challenge).ok()?;
            let protocol = AuthenticationProtocol::of_scheme(challenge.scheme)?;
            (allowed.contains(protocol) && challenge.version() >= least).then_some(Offer {
                side: one.side,
                challenge,
            })
        })
        .collect();
    offers.sort_by_key(|offer| core::cmp::Reverse(AuthenticationProtocol::of_scheme(offer.challenge.scheme)));
    offers
}

impl Negotiation {
    /// Begins with a challenge.
    pub(super) fn begin(
        entropy: &mut Entropy,
        leader: ExchangeId,
        offer: &Offer<'_>,
        means: Means<'_>,
        clock: Option<UnixTime>,
    ) -> Result<Self, Reason> {
        let challenge = &offer.challenge;
        let name = Name {
            side: offer.side,
            scheme: challenge.scheme,
            realm: challenge.realm.into(),
            target: challenge.target.into(),
            opaque: challenge.opaque.map(Box::from),
            version: challenge.version(),
        };
        let mut negotiation = Self {
            leader,
            stage: Stage::Opening(name),
            clock,
        };
        // A server that does not wait to be asked for it.
        if challenge.token.is_some() {
            negotiation.go_on(entropy, offer, means)?;
        }
        Ok(negotiation)
    }

    /// Takes a further challenge to the leader's request.
    pub(super) fn go_on(
        &mut self,
        entropy: &mut Entropy,
        offer: &Offer<'_>,
        Means { credentials, now }: Means<'_>,
    ) -> Result<(), Reason> {
        let Stage::Opening(name) = &self.stage else {
            return Err(self.refused(now));
        };
        let challenge = &offer.challenge;
        let Some(token) = &challenge.token else {
            return Err(Reason::NoCommonProtocols);
        };
        let name = Name {
            opaque: challenge.opaque.map(Box::from).or_else(|| name.opaque.clone()),
            ..name.clone()
        };
        // What is weak, or cannot be read, is not spoken here.
        let challenge = ntlm::Challenge::parse(token).map_err(|_| Reason::NoCommonProtocols)?;
        let hash = NtHash::of(&credentials.password);
        let identity = Identity::new(&credentials.user, credentials.domain.as_deref(), hash);
        let server_time = FileTime::from_unix(self.clock.unwrap_or(now));
        let fresh = Fresh::new(entropy.u64().to_le_bytes(), random_key(entropy), server_time);
        let (token, keys) = ntlm::authenticate(&challenge, &identity, &ntlm::Client::default(), &fresh)
            .map_err(|_| Reason::NoCommonProtocols)?;
        self.stage = Stage::Closing {
            association: Box::new(Association::new(name, keys)),
            token,
        };
        Ok(())
    }

    /// Why the last token was not taken: the clocks, where they differ by too much for any (MS-SIP section 3.1.5.1).
    pub(super) fn refused(&self, now: UnixTime) -> Reason {
        let skew = self.clock.map_or(0, |clock| clock.0.abs_diff(now.0));
        if Duration::from_secs(skew) > ntlm::MAX_SKEW {
            Reason::SkewedClock
        } else {
            Reason::InvalidCredentials
        }
    }

    /// Whether a challenge goes on with what this handshake speaks.
    pub(super) fn is_of(&self, offer: &Offer<'_>) -> bool {
        let name = self.name();
        name.scheme == offer.challenge.scheme && *name.realm == *offer.challenge.realm
    }

    pub(super) fn is_closing(&self) -> bool {
        matches!(self.stage, Stage::Closing { .. })
    }

    fn name(&self) -> &Name {
        match &self.stage {
            Stage::Opening(name) => name,
            Stage::Closing { association, .. } => &association.name,
        }
    }

    pub(super) fn realm(&self) -> alloc::string::String {
        self.name().realm.to_string()
    }

    /// The leader's request with the token; from version 4 on the last one is signed.
    pub(super) fn put(&mut self, entropy: &mut Entropy, limits: &MessageLimits, bytes: Bytes) -> Bytes {
        match &mut self.stage {
            Stage::Opening(name) => {
                let credentials = ms::Credentials {
                    version: Some(name.version),
                    token: Some(Vec::new()),
                    ..name.credentials()
                };
                name.put(&credentials, &bytes)
            }
            Stage::Closing { association, token } if association.name.version.signs_final_token() => {
                match Message::parse(bytes.clone(), limits) {
                    Ok(message) => association.sign(entropy, &message, Some(token.clone())),
                    Err(_) => bytes,
                }
            }
            Stage::Closing { association, token } => {
                let name = &association.name;
                let credentials = ms::Credentials {
                    version: Some(name.version),
                    token: Some(token.clone()),
                    ..name.credentials()
                };
                name.put(&credentials, &bytes)
            }
        }
    }

    /// The association that is being made, once there are keys.
    pub(super) fn association(&mut self) -> Option<&mut Association> {
        match &mut self.stage {
            Stage::Opening(_) => None,
            Stage::Closing { association, .. } => Some(association),
        }
    }

    /// The server has taken the last token.
    pub(super) fn end(self) -> Option<Association> {
        match self.stage {
            Stage::Opening(_) => None,
            Stage::Closing { association, .. } => Some(*association),
        }
    }
}

fn random_key(entropy: &mut Entropy) -> [u8; 16] {
    let mut key = [0; 16];
    for half in key.chunks_exact_mut(8) {
        half.copy_from_slice(&entropy.u64().to_le_bytes());
    }
    key
}
