//! The handshake that makes a security association (rules A1, A3, A5, A7; MS-SIPAE section 3.2.5).
//!
//! It belongs to an endpoint; one request leads it, the others of the endpoint wait for its end. NTLM without connections
//! has no first token: an empty one asks the server for its challenge. For Kerberos the embedder is asked for the one token
//! that there is (A11), and the leader waits, too.
//!
//! ```text
//!    challenge of NTLM             challenge with token              final response
//!   (none) -----------> Opening ------------------------> Closing -----------------> association
//!     | ^                  |  challenge without token      ^ |  challenge: wrong credentials
//!     | +------------------+-------------------------------|-+
//!     | challenge of Kerberos            security context  |
//!     +--------------------> Asking -----------------------+
//! ```
//!
//! Each request leads at most [`MAX_HANDSHAKES`], so that a server that challenges for ever is told so in bounded steps.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::association::{Association, Mechanism, Name, Token};
use super::{
    AllowedProtocols, AuthenticationFailureReason as Reason, AuthenticationProtocol, Challenged, Received,
    Side, Unanswered,
};
use crate::action::{Action, Authenticate};
use crate::cx::Cx;
use crate::entropy::Entropy;
use crate::ids::{ExchangeId, HandshakeId};
use crate::security::ms::{self, Scheme};
use crate::security::ntlm::{self, FileTime, Fresh, Identity, NtHash};
use crate::security::signing::Version;
use crate::security::{Credentials, SecurityContext};
use crate::time::UnixTime;
use crate::wire::header::Date;
use crate::wire::{Message, Method};

/// By how much the clocks of client and server may differ for Kerberos (MS-SIP section 3.1.5.1).
const MAX_SKEW: Duration = Duration::from_secs(5 * 60);

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
    /// The embedder is asked for a security context.
    Asking {
        name: Name,
        handshake: HandshakeId,
        /// What has begun it: answered otherwise where there is none.
        unanswered: Unanswered,
    },
    /// The server is asked for its token.
    Opening(Name),
    /// The last token goes, or has gone, out.
    Closing {
        association: Box<Association>,
        token: Token,
        /// Of an INVITE: what belongs to it is signed like it.
        call_id: Option<Box<str>>,
    },
}

/// What the embedder is asked for, and the challenge that it is for.
pub(super) struct Asked<'a> {
    pub(super) handshake: HandshakeId,
    pub(super) unanswered: &'a Unanswered,
}

/// Who logs on.
#[derive(Clone, Copy, Debug)]
pub(super) enum User<'a> {
    Given(&'a Credentials),
    /// Whoever the process is.
    Default,
}

/// A challenge of Microsoft's schemes that can be answered.
pub(super) struct Offer<'a> {
    pub(super) side: Side,
    pub(super) challenge: ms::Challenge<'a>,
}

/// The offers that are known and allowed, the strongest first (A3). TLS-DSK is known by its name and passed over, and so is
/// a server of Kerberos that names itself as something else than one of SIP.
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
            let is_spoken = allowed.contains(protocol) && challenge.version() >= least;
            let names_server = challenge.scheme != Scheme::Kerberos || is_service_of_sip(challenge.target);
            (is_spoken && names_server).then_some(Offer {
                side: one.side,
                challenge,
            })
        })
        .collect();
    offers.sort_by_key(|offer| core::cmp::Reverse(AuthenticationProtocol::of_scheme(offer.challenge.scheme)));
    offers
}

/// Whether a ticket for this principal is shown to SIP servers alone (MS-SIP section 3.1.5.1).
fn is_service_of_sip(target: &str) -> bool {
    let mut parts = target.splitn(2, '/');
    let service = parts
        .next()
        .is_some_and(|service| service.eq_ignore_ascii_case("sip"));
    service
        && parts
            .next()
            .is_some_and(|host| !host.is_empty() && !host.contains(['/', '@', '\\']))
}

impl Negotiation {
    /// Begins with a challenge.
    pub(super) fn begin(
        cx: &mut Cx<'_>,
        challenged: Challenged<'_>,
        offer: &Offer<'_>,
        user: User<'_>,
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
        let date = challenged.response.typed::<Date>().ok().flatten();
        let mut negotiation = Self {
            leader: challenged.exchange,
            stage: Stage::Opening(name),
            clock: date.map(|date| UnixTime(date.unix())),
        };
        if challenge.scheme == Scheme::Kerberos {
            negotiation.ask(cx, challenged, user);
        } else if challenge.token.is_some() {
            // A server that does not wait to be asked for it.
            negotiation.go_on(cx, offer, user)?;
        }
        Ok(negotiation)
    }

    /// Asks the embedder for a security context.
    fn ask(&mut self, cx: &mut Cx<'_>, challenged: Challenged<'_>, user: User<'_>) {
        let name = self.name().clone();
        let handshake = cx.ids.next();
        cx.out.push(Action::Authenticate(Authenticate {
            endpoint: challenged.endpoint,
            handshake,
            target: name.target.to_string(),
            credentials: match user {
                User::Given(credentials) => Some(credentials.clone()),
                User::Default => None,
            },
        }));
        self.stage = Stage::Asking {
            name,
            handshake,
            unanswered: Unanswered {
                challenge: Box::new(challenged.response.clone()),
                secure: challenged.secure,
            },
        };
    }

    /// What the embedder is asked for.
    pub(super) const fn asked(&self) -> Option<Asked<'_>> {
        match &self.stage {
            Stage::Asking {
                handshake,
                unanswered,
                ..
            } => Some(Asked {
                handshake: *handshake,
                unanswered,
            }),
            Stage::Opening(_) | Stage::Closing { .. } => None,
        }
    }

    /// The embedder has made the context.
    pub(super) fn supply(&mut self, context: SecurityContext) {
        let Stage::Asking { name, handshake, .. } = &self.stage else {
            return;
        };
        let mechanism = Mechanism::Context {
            handshake: *handshake,
            security: context.security,
        };
        self.stage = Stage::Closing {
            association: Box::new(Association::new(name.clone(), mechanism, context.lifetime)),
            token: Token(context.token.to_vec()),
            call_id: None,
        };
    }

    /// Takes a further challenge to the leader's request.
    pub(super) fn go_on(&mut self, cx: &mut Cx<'_>, offer: &Offer<'_>, user: User<'_>) -> Result<(), Reason> {
        let (Stage::Opening(name), User::Given(credentials)) = (&self.stage, user) else {
            return Err(self.refused(cx.unix));
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
        let server_time = FileTime::from_unix(self.clock.unwrap_or(cx.unix));
        let fresh = Fresh::new(
            cx.entropy.u64().to_le_bytes(),
            random_key(cx.entropy),
            server_time,
        );
        let (token, keys) = ntlm::authenticate(&challenge, &identity, &ntlm::Client::default(), &fresh)
            .map_err(|_| Reason::NoCommonProtocols)?;
        self.stage = Stage::Closing {
            association: Box::new(Association::new(name, Mechanism::Ntlm(keys), None)),
            token: Token(token),
            call_id: None,
        };
        Ok(())
    }

    /// Why the last token was not taken: the clocks, where they differ by too much for any (MS-SIP section 3.1.5.1).
    pub(super) fn refused(&self, now: UnixTime) -> Reason {
        if let Stage::Closing { association, .. } = &self.stage
            && association.is_mute()
        {
            return Reason::NoAuthenticatingAuthority;
        }
        let skew = self.clock.map_or(0, |clock| clock.0.abs_diff(now.0));
        let most = if self.name().scheme == Scheme::Kerberos {
            MAX_SKEW
        } else {
            ntlm::MAX_SKEW
        };
        if Duration::from_secs(skew) > most {
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
            Stage::Opening(name) | Stage::Asking { name, .. } => name,
            Stage::Closing { association, .. } => &association.name,
        }
    }

    pub(super) fn realm(&self) -> alloc::string::String {
        self.name().realm.to_string()
    }

    /// The leader's request with the token; from version 4 on the last one is signed.
    pub(super) fn put(&mut self, cx: &mut Cx<'_>, bytes: Bytes) -> Bytes {
        match &mut self.stage {
            // It waits.
            Stage::Asking { .. } => bytes,
            Stage::Opening(name) => {
                let credentials = ms::Credentials {
                    version: Some(name.version),
                    token: Some(Vec::new()),
                    ..name.credentials()
                };
                name.put(&credentials, &bytes)
            }
            Stage::Closing {
                association,
                token,
                call_id,
            } => {
                let Ok(message) = Message::parse(bytes.clone(), &cx.config.limits.message) else {
                    return bytes;
                };
                if message.method() == Some(&Method::Invite) {
                    *call_id = message.call_id().ok().map(Box::from);
                }
                if association.name.version.signs_final_token() {
                    return association.sign(cx, &message, Some(token));
                }
                let name = &association.name;
                let credentials = ms::Credentials {
                    version: Some(name.version),
                    token: Some(token.0.clone()),
                    ..name.credentials()
                };
                name.put(&credentials, &bytes)
            }
        }
    }

    /// The association that is being made, for what belongs to the INVITE that leads: its CANCEL, its PRACKs and the ACK to a
    /// refusal, which go out before its end (MS-SIPAE section 3.3.5.1 has the server drop them otherwise).
    pub(super) fn for_call(&mut self, message: &Message) -> Option<&mut Association> {
        let belongs = matches!(
            message.method(),
            Some(Method::Cancel | Method::Prack | Method::Ack)
        );
        match &mut self.stage {
            Stage::Closing {
                association,
                call_id: Some(call_id),
                ..
            } if belongs && message.call_id().is_ok_and(|other| *other == **call_id) => Some(association),
            Stage::Opening(_) | Stage::Asking { .. } | Stage::Closing { .. } => None,
        }
    }

    /// The association that is being made, once there are keys.
    pub(super) fn association(&mut self) -> Option<&mut Association> {
        match &mut self.stage {
            Stage::Opening(_) | Stage::Asking { .. } => None,
            Stage::Closing { association, .. } => Some(association),
        }
    }

    /// The server has taken the last token.
    pub(super) fn end(self) -> Option<Association> {
        match self.stage {
            Stage::Opening(_) | Stage::Asking { .. } => None,
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
