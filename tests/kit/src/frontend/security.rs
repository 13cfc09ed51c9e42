//! Who has sent a message, and what proves it to whom it goes: Digest, and security associations over all that passes.
//!
//! With NTLM and Kerberos each message of an endpoint that has an association is looked at before anything is done with it, and each
//! message to one is signed as the last thing. What is unsigned, forged or replayed is dropped without a word; a request
//! without credentials, or under an association that is gone, is challenged, but ACK and CANCEL are dropped then, too
//! (MS-SIPAE section 3.3.5.1).

use bytes::Bytes;
use rand_core::RngCore;
use sansip::Time;
use sansip::security::ms::{self, Scheme};
use sansip::wire::header::{Date, to_string};
use sansip::wire::uri::{Uri, canonical_key};
use sansip::wire::{HeaderName, Message, Method, StatusCode};

use super::association::{self, AssociationCounts, Failure, Party, Signing, Step, Unsound, Verified};
use super::config::Protocol;
use super::digest::{Side, Verdict, is_for_realm};
use super::edit::Edit;
use super::event::FrontEndEvent;
use super::registrar::{BindingId, Refused, aor_text};
use super::{Conn, Due, FrontEnd};

/// What the credentials of a request say of associations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing.
    Plain,
    /// This party has sent it.
    Signed(Party),
    /// It has to come again: this is the answer.
    Asked(Refused),
}

impl Standing {
    /// Who has signed it.
    pub(super) const fn party(&self) -> Option<&Party> {
        match self {
            Self::Signed(party) => Some(party),
            Self::Plain | Self::Asked(_) => None,
        }
    }
}

/// Who has sent a request.
pub(super) struct Proof {
    /// The name of the account.
    pub(super) user: String,
    /// The server's own proof, where the response has to bring one.
    pub(super) info: Option<String>,
}

impl FrontEnd {
    /// What has been counted of security associations.
    pub const fn association_counts(&self) -> AssociationCounts {
        self.associations.counts
    }

    /// The associations of an address of record, or the one of this endpoint id, are over as if their time had come. Says
    /// of how many endpoints they were.
    pub fn expire_associations(&mut self, aor: &str, epid: Option<&str>) -> usize {
        let parties = self.parties(aor, epid);
        for party in &parties {
            self.associations.remove_party(party);
            self.log(FrontEndEvent::AssociationOver {
                who: party.to_string(),
            });
        }
        self.forget_timers();
        parties.len()
    }

    /// All associations and handshakes are gone, as after a restart. Says how many associations there were.
    pub fn lose_associations(&mut self) -> usize {
        let all = self.associations.len();
        self.associations.forget();
        self.forget_timers();
        all
    }

    /// From now on signs like this. A restart changes nothing of it.
    pub const fn set_signing(&mut self, signing: Signing) {
        self.associations.signing = signing;
    }

    /// Sends once more what was signed last for the endpoints of an address of record, or for this one. Says how many
    /// messages that were.
    pub fn replay(&mut self, aor: &str, epid: Option<&str>) -> usize {
        let parties = self.parties(aor, epid);
        let last: Vec<_> = parties
            .iter()
            .filter_map(|party| self.associations.last(party))
            .filter(|(conn, _)| self.connections.contains_key(conn))
            .collect();
        let count = last.len();
        for (conn, bytes) in last {
            self.log(FrontEndEvent::Replayed { conn });
            self.send(conn, bytes);
        }
        count
    }

    /// Challenges the next so many requests of the endpoints of an address of record, or of this one, though they are
    /// signed as they have to be. Says how many endpoints there are.
    pub fn challenge_again(&mut self, aor: &str, epid: Option<&str>, requests: u32) -> usize {
        let parties = self.parties(aor, epid);
        for party in &parties {
            self.associations.doubt(party, requests);
        }
        parties.len()
    }

    fn parties(&self, aor: &str, epid: Option<&str>) -> Vec<Party> {
        let uri = Uri::parse(aor).ok();
        uri.map_or_else(Vec::new, |uri| {
            self.associations.parties(&canonical_key(&uri), epid)
        })
    }

    /// An association was not renewed in time, or a handshake not ended.
    pub(super) fn association_expired(&mut self, opaque: u32) {
        if let Some(party) = self.associations.remove(opaque)
            && !self.associations.has(&party)
        {
            self.log(FrontEndEvent::AssociationOver {
                who: party.to_string(),
            });
        }
    }

    pub(super) fn has_associations(&self) -> bool {
        let makes = |protocol: &Protocol| *protocol != Protocol::Digest && self.config.offers(*protocol);
        self.config.protocols.iter().any(makes) && !self.config.users.is_empty()
    }

    /// Looks at the credentials of a request that has come; `None` where nothing more is to be done with it.
    pub(super) fn screen(&mut self, now: Time, conn: Conn, message: &Message) -> Option<Standing> {
        if !self.has_associations() {
            return Some(Standing::Plain);
        }
        let answered = !matches!(message.method(), Some(Method::Ack | Method::Cancel));
        let standing = match association::credentials(message, &self.config) {
            None => Ok(Standing::Plain),
            Some(found) => match ms::Credentials::read(&found) {
                Ok(credentials) if credentials.token.is_some() && answered => {
                    Ok(self.handshake(now, conn, message, &credentials))
                }
                Ok(credentials) => self.verify_request(now, message, &credentials, answered),
                Err(_) => Err(Unsound::Forged),
            },
        };
        let standing = standing.and_then(|standing| {
            if standing == Standing::Plain && !answered {
                self.check_hop(conn, message)?;
            }
            Ok(standing)
        });
        standing
            .map_err(|unsound| self.drop_unsound(conn, message, unsound))
            .ok()
    }

    fn verify_request(
        &mut self,
        now: Time,
        message: &Message,
        credentials: &ms::Credentials<'_>,
        answered: bool,
    ) -> Result<Standing, Unsound> {
        match self
            .associations
            .verify(now, message, credentials, &self.config)?
        {
            Some(Verified {
                party,
                doubted: false,
            }) => {
                let request = self.proxy.find(message, &Method::Invite).filter(|_| !answered);
                let request = request.and_then(|id| self.proxy.requests.get(&id));
                if let Some(own) = request.and_then(|request| request.party.as_ref())
                    && *own != party
                {
                    return Err(Unsound::Foreign);
                }
                Ok(Standing::Signed(party))
            }
            None if !answered => Err(Unsound::Unknown),
            None => {
                self.associations.count(Unsound::Unknown);
                Ok(Standing::Asked(self.challenge(now, message, false)))
            }
            Some(_) => Ok(Standing::Asked(self.challenge(now, message, false))),
        }
    }

    /// An ACK or a CANCEL without credentials: whether it may be. What belongs to a request that was not signed either
    /// changes nothing.
    fn check_hop(&self, conn: Conn, message: &Message) -> Result<(), Unsound> {
        let request = self.proxy.find(message, &Method::Invite);
        let must_sign = match request.and_then(|id| self.proxy.requests.get(&id)) {
            Some(request) => request.party.is_some(),
            None => self.must_sign(conn, message),
        };
        if must_sign { Err(Unsound::Unsigned) } else { Ok(()) }
    }

    /// Whether a request has to be signed: its sender has an association, or nobody can prove anything without one.
    pub(super) fn must_sign(&self, conn: Conn, message: &Message) -> bool {
        if !self.has_associations() || self.is_trusted(conn) {
            return false;
        }
        let from = message.from_().ok();
        let from = from.as_ref().and_then(|from| from.uri.as_sip());
        let ours = from.is_some_and(|from| self.config.is_domain(&super::registrar::host_text(&from.host)));
        let associated = Party::from(message).is_some_and(|party| self.associations.has(&party));
        associated || (ours && !self.config.offers(Protocol::Digest))
    }

    /// A step of a handshake.
    fn handshake(
        &mut self,
        now: Time,
        conn: Conn,
        message: &Message,
        credentials: &ms::Credentials<'_>,
    ) -> Standing {
        let known = (&self.config, &self.accounts);
        let step = self
            .associations
            .step(now, (conn, message), credentials, known, &mut self.entropy);
        let party = Party::from(message);
        if let Some(party) = &party {
            for (at, opaque) in self.associations.deadlines(party) {
                self.arm(at, Due::Association(opaque));
            }
        }
        match (step, party) {
            (Ok(Step::Challenge { opaque, token }), _) => {
                let side = self.side(message);
                let value = association::challenge(&self.config, Scheme::Ntlm, Some((opaque, token)));
                Standing::Asked(
                    self.with_date(now, Refused::new(side.status()).with(side.challenge(), value)),
                )
            }
            (Ok(Step::Done), Some(party)) => {
                let version = self.config.associations.version.number();
                let how = format!("{} version {version}", credentials.scheme.token());
                let user = self.associations.user(&party).unwrap_or_default().to_owned();
                self.log_proven(conn, message, user, how);
                Standing::Signed(party)
            }
            (Ok(Step::Done), None) => Standing::Asked(self.not_proven(now, message, Failure::NoEpid)),
            (Err(failure), _) => Standing::Asked(self.not_proven(now, message, failure)),
        }
    }

    fn not_proven(&mut self, now: Time, message: &Message, failure: Failure) -> Refused {
        self.associations.counts.failed += 1;
        self.log(FrontEndEvent::NotProven {
            from: from_text(message),
            why: failure.to_string(),
        });
        match failure {
            Failure::Full => Refused::because(StatusCode::SERVICE_UNAVAILABLE, failure.to_string()),
            Failure::NoEpid => Refused::because(StatusCode::BAD_REQUEST, failure.to_string()),
            Failure::NotTheirs => Refused::because(StatusCode::FORBIDDEN, "Not your address"),
            Failure::Ntlm(_)
            | Failure::Kerberos(_)
            | Failure::NoHandshake
            | Failure::Foreign
            | Failure::Version
            | Failure::NoUser
            | Failure::SkewedClock
            | Failure::Signature => self.challenge(now, message, false),
        }
    }

    fn log_proven(&mut self, conn: Conn, message: &Message, user: String, how: String) {
        self.log(FrontEndEvent::Proven {
            from: from_text(message),
            user,
            how,
            conn,
        });
    }

    /// Whom a challenge is of. Who offers associations alone challenges as a server, whatever is asked for.
    fn side(&self, message: &Message) -> Side {
        if message.method() == Some(&Method::Register) || !self.config.offers(Protocol::Digest) {
            Side::Registrar
        } else {
            Side::Proxy
        }
    }

    /// The challenges of all protocols, in their order.
    fn challenge(&mut self, now: Time, message: &Message, stale: bool) -> Refused {
        let side = self.side(message);
        let fresh = self.entropy.next_u64();
        let mut refused = Refused::new(side.status());
        let protocols = self.config.protocols.iter();
        for protocol in protocols.filter(|protocol| self.config.offers(**protocol)) {
            let values = match protocol {
                Protocol::Ntlm => vec![association::challenge(&self.config, Scheme::Ntlm, None)],
                Protocol::Kerberos => vec![association::challenge(&self.config, Scheme::Kerberos, None)],
                Protocol::Digest => self.guard.challenges(now, &self.config, stale, fresh),
            };
            for value in values {
                refused = refused.with(side.challenge(), value);
            }
        }
        self.log(FrontEndEvent::Challenged {
            method: message.method().cloned().unwrap_or(Method::Register),
            from: from_text(message),
            stale,
        });
        if self.has_associations() {
            self.with_date(now, refused)
        } else {
            refused
        }
    }

    fn with_date(&self, now: Time, refused: Refused) -> Refused {
        let clock = self.config.clock(now);
        match clock.and_then(|clock| Date::from_unix(clock.0)) {
            Some(date) => refused.with(HeaderName::Date, to_string(&date)),
            None => refused,
        }
    }

    /// Who sent this, with the proof for the response; `None` where nobody has to say.
    pub(super) fn prove(
        &mut self,
        now: Time,
        conn: Conn,
        message: &Message,
        standing: &Standing,
    ) -> Result<Option<Proof>, Refused> {
        if self.config.users.is_empty() {
            return Ok(None);
        }
        match standing {
            Standing::Asked(refused) => return Err(refused.clone()),
            Standing::Signed(party) => {
                let user = self.associations.user(party).map(str::to_owned);
                return Ok(user.map(|user| Proof { user, info: None }));
            }
            Standing::Plain => {}
        }
        let known = (&self.config, &self.accounts);
        let verdict = if self.config.offers(Protocol::Digest) {
            self.guard.examine(now, self.side(message), message, known)
        } else {
            Verdict::Unproven { stale: false }
        };
        match verdict {
            Verdict::Proven {
                user,
                info,
                algorithm,
            } => {
                if message.method() == Some(&Method::Register) {
                    // From now on it does without the association that it had.
                    Party::from(message)
                        .iter()
                        .for_each(|party| self.associations.remove_party(party));
                    let how = format!("{} with {algorithm}", Protocol::Digest.name());
                    self.log_proven(conn, message, user.clone(), how);
                }
                let info = Some(info);
                Ok(Some(Proof { user, info }))
            }
            Verdict::Bad(refused) => Err(refused),
            Verdict::Unproven { stale } => Err(self.challenge(now, message, stale)),
        }
    }

    /// Whether an address of record is that of this account.
    pub(super) fn is_user(&self, name: &str, aor: &str) -> bool {
        let uri = Uri::parse(aor).ok();
        uri.as_ref()
            .and_then(Uri::as_sip)
            .is_some_and(|uri| self.config.is_address_of(uri, name))
    }

    /// The party at a target, where it has an association.
    pub(super) fn party_at(&self, binding: Option<BindingId>, message: &Message) -> Option<Party> {
        let bound = binding.and_then(|id| {
            let key = self.registrar.key_of(id)?;
            let epid = self.registrar.binding(id)?.epid.as_deref()?;
            Some(Party::new(key, epid))
        });
        [bound, Party::to(message)]
            .into_iter()
            .flatten()
            .find(|party| self.associations.has(party))
    }

    /// Whether a response that has come may be taken.
    pub(super) fn accepts_response(&mut self, now: Time, conn: Conn, message: &Message) -> bool {
        if !self.has_associations() {
            return true;
        }
        let asked = self.party_asked(message);
        let found = association::credentials(message, &self.config);
        let verified = match found.as_ref().map(ms::Credentials::read) {
            None => Err(Unsound::Unsigned),
            Some(Ok(credentials)) => {
                let verified = self.associations.verify(now, message, &credentials, &self.config);
                verified.and_then(|verified| verified.ok_or(Unsound::Unknown))
            }
            Some(Err(_)) => Err(Unsound::Forged),
        };
        let sound = match (verified, asked) {
            (Ok(verified), Some(asked)) if verified.party != asked => Err(Unsound::Foreign),
            // Who was asked has no association that would say anything.
            (Ok(_), _) | (Err(Unsound::Unsigned | Unsound::Unknown), None) => Ok(()),
            (Err(unsound), _) => Err(unsound),
        };
        sound
            .map_err(|unsound| self.drop_unsound(conn, message, unsound))
            .is_ok()
    }

    /// Who has to have signed a response, by the request that it is to.
    fn party_asked(&self, response: &Message) -> Option<Party> {
        let via = response.via_top().ok()?;
        let branch = via.branch()?;
        if let Some((id, index)) = self.proxy.by_branch.get(branch) {
            let request = self.proxy.requests.get(id)?;
            return request.branches.get(*index)?.party.clone();
        }
        if let Some(notifying) = self.notifying.get(branch) {
            return notifying.party.clone();
        }
        self.presence.party_asked(branch).cloned()
    }

    fn drop_unsound(&mut self, conn: Conn, message: &Message, unsound: Unsound) {
        self.associations.count(unsound);
        let what = match (message.method(), message.status()) {
            (Some(method), _) => format!("{method} {}, {unsound},", message.request_uri()),
            (None, Some(status)) => format!("{status}, {unsound},"),
            (None, None) => unsound.to_string(),
        };
        self.log(FrontEndEvent::Dropped { conn, what });
    }

    /// Takes out what was for this server alone, or what only it may say.
    pub(super) fn strip(&self, edit: &mut Edit) {
        edit.remove_if(HeaderName::ProxyAuthorization, |value| {
            is_for_realm(value, &self.config.realm)
        });
        if self.has_associations() {
            let realm = &self.config.associations.realm;
            for name in [
                HeaderName::Authorization,
                HeaderName::ProxyAuthorization,
                HeaderName::AuthenticationInfo,
                HeaderName::ProxyAuthenticationInfo,
            ] {
                edit.remove_if(name, |value| is_for_realm(value, realm));
            }
        }
    }

    /// Sends a message, signed where it is for a party that has an association.
    pub(super) fn send_to(&mut self, party: Option<&Party>, conn: Conn, bytes: Bytes) {
        match party {
            Some(party) if self.connections.contains_key(&conn) => {
                let signed = self.signed(party, conn, &bytes);
                let how = self.associations.signing;
                let is_bad = match how {
                    Signing::Right => false,
                    Signing::Wrong => signed.is_some(),
                    Signing::Missing => self.should_be_signed(party, &bytes),
                };
                let bytes = signed.unwrap_or(bytes);
                if is_bad {
                    let message = bytes.clone();
                    self.log(FrontEndEvent::SignedBadly { conn, how, message });
                }
                self.send(conn, bytes);
            }
            _ => self.send(conn, bytes),
        }
    }

    fn should_be_signed(&self, party: &Party, bytes: &Bytes) -> bool {
        let message = self.reread(bytes.clone());
        let status = message.as_ref().and_then(Message::status);
        let is_provisional = status.is_some_and(|status| status.is_provisional());
        self.associations.has(party) && (!is_provisional || self.config.associations.sign_provisional)
    }

    fn signed(&mut self, party: &Party, conn: Conn, bytes: &Bytes) -> Option<Bytes> {
        let message = self.reread(bytes.clone())?;
        let info = self
            .associations
            .sign(party, &message, &self.config, &mut self.entropy)?;
        let mut edit = Edit::of(&message);
        edit.push_first_raw(HeaderName::AuthenticationInfo, &info);
        let bytes = edit.finish();
        self.associations.note_sent(party, conn, &bytes);
        Some(bytes)
    }
}

/// The address that a sender gives as theirs.
fn from_text(message: &Message) -> String {
    let from = message.from_().ok();
    let from = from.and_then(|from| from.uri.as_sip().map(aor_text));
    from.unwrap_or_default()
}
