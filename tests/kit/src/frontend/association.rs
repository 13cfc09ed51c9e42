//! Security associations at the server's side (MS-SIPAE section 3.3): how NTLM and Kerberos make one, and what is signed
//! under it.
//!
//! ```text
//! handshake:    --empty token--> challenged --AUTHENTICATE--> established;   --refused, time, connection lost--> gone
//! of Kerberos:  --AP-REQ--> established
//! association:  established --renewed--> former --64 T1--> gone;             --lifetime--> gone
//! ```
//!
//! An association belongs to a [`Party`]: one endpoint of one user. What it has sent is taken once, and only with its
//! signature; what it gets is signed. A former association still verifies what was under way when it was renewed.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use rand_chacha::ChaCha12Rng;
use rand_core::RngCore;
use sansip::Time;
use sansip::security::MessageSecurity;
use sansip::security::ms::{self, Mic, Scheme, Signature};
use sansip::security::ntlm::{self, FileTime, Keys, NtHash, NtlmError, server};
use sansip::security::signing::{self, Stamp};
use sansip::security::window::ReplayWindow;
use sansip::wire::header::{self, Header, to_string};
use sansip::wire::uri::canonical_key;
use sansip::wire::{HeaderName, Message, Method};

use super::Conn;
use super::acceptor::{Accepted, Acceptor};
use super::config::{FrontEndConfig, Protocol, first_label};
use super::digest::Accounts;

/// What the server says of its system: 5.2.3790, revision 15.
const SYSTEM: [u8; 8] = [5, 2, 0xce, 0x0e, 0, 0, 0, 15];

/// One endpoint of one user.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Party {
    /// The canonical key of the address of record.
    pub(super) key: String,
    /// In lower case.
    pub(super) epid: String,
}

impl Party {
    pub(super) fn new(key: impl Into<String>, epid: &str) -> Self {
        Self {
            key: key.into(),
            epid: epid.to_ascii_lowercase(),
        }
    }

    /// Who says to have sent a request; `None` without an epid.
    pub(super) fn from(message: &Message) -> Option<Self> {
        let from = message.from_().ok()?;
        Some(Self::new(canonical_key(&from.uri), from.epid()?.as_ref()))
    }

    /// To whom a request goes.
    pub(super) fn to(message: &Message) -> Option<Self> {
        let to = message.to().ok()?;
        Some(Self::new(canonical_key(&to.uri), to.epid()?.as_ref()))
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.key, self.epid)
    }
}

/// How a server signs, right or with a fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signing {
    /// As it has to.
    #[default]
    Right,
    /// With signatures that are wrong.
    Wrong,
    /// Not at all.
    Missing,
}

/// What is wrong with a message that is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsound {
    /// It has no signature.
    Unsigned,
    /// Its signature is wrong, or cannot be computed.
    Forged,
    /// Its number was there before, or is too old.
    Replayed,
    /// It is signed by somebody else than it has to be.
    Foreign,
    /// It is signed under an association that is not known, and cannot be answered with a challenge.
    Unknown,
}

impl fmt::Display for Unsound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsigned => "unsigned",
            Self::Forged => "with a wrong signature",
            Self::Replayed => "replayed",
            Self::Foreign => "signed by somebody else",
            Self::Unknown => "under an unknown association",
        })
    }
}

/// What a front end has counted of associations since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AssociationCounts {
    /// Associations made.
    pub made: u64,
    /// Handshakes that failed.
    pub failed: u64,
    /// Messages whose signature was right.
    pub verified: u64,
    /// Messages that were signed.
    pub signed: u64,
    /// Requests that were challenged because their association was not known any more.
    pub unknown: u64,
    /// Messages dropped because they had no signature.
    pub unsigned: u64,
    /// Messages dropped because of a wrong signature.
    pub forged: u64,
    /// Messages dropped because they were there before.
    pub replayed: u64,
    /// Messages dropped because somebody else has signed them.
    pub foreign: u64,
}

/// Why a handshake came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Ntlm(NtlmError),
    /// It answers no challenge of this server.
    NoHandshake,
    /// It answers the challenge of somebody else.
    Foreign,
    /// It does not speak the version that was asked for.
    Version,
    NoUser,
    /// The token of Kerberos is not good.
    Kerberos(String),
    /// The user may not use this address.
    NotTheirs,
    SkewedClock,
    /// A request that has to be signed is not, or not rightly.
    Signature,
    /// From has no endpoint id.
    NoEpid,
    /// There are as many as may be.
    Full,
}

impl From<NtlmError> for Failure {
    fn from(error: NtlmError) -> Self {
        Self::Ntlm(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ntlm(error) => return error.fmt(f),
            Self::Kerberos(why) => return write!(f, "Kerberos: {why}"),
            Self::NoHandshake => "no handshake is under way",
            Self::Foreign => "the handshake of another endpoint",
            Self::Version => "not the version that is spoken here",
            Self::NoUser => "no such user",
            Self::NotTheirs => "the address is not that of the user",
            Self::SkewedClock => "the clocks differ by more than 15 minutes",
            Self::Signature => "the last request of the handshake is not signed rightly",
            Self::NoEpid => "From has no endpoint id",
            Self::Full => "too many associations",
        })
    }
}

/// What signs for the server and verifies what a client has signed.
#[derive(Debug)]
enum Mechanism {
    Ntlm(Keys),
    Kerberos(Box<dyn MessageSecurity>),
}

impl Clone for Mechanism {
    fn clone(&self) -> Self {
        match self {
            Self::Ntlm(keys) => Self::Ntlm(keys.clone()),
            Self::Kerberos(security) => Self::Kerberos(security.share()),
        }
    }
}

impl Mechanism {
    const fn scheme(&self) -> Scheme {
        match self {
            Self::Ntlm(_) => Scheme::Ntlm,
            Self::Kerberos(_) => Scheme::Kerberos,
        }
    }

    fn sign(&mut self, text: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Ntlm(keys) => Some(keys.sign(text).to_vec()),
            Self::Kerberos(security) => security.sign(text),
        }
    }

    fn verify(&mut self, text: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Ntlm(keys) => keys.verify(text, signature),
            Self::Kerberos(security) => security.verify(text, signature),
        }
    }
}

#[derive(Clone, Debug)]
struct Association {
    party: Party,
    /// The name of the account.
    user: String,
    mechanism: Mechanism,
    seen: ReplayWindow,
    /// How many messages were signed.
    sent: u32,
    expires_at: Time,
    /// So many requests are challenged though there is nothing wrong with them.
    doubted: u32,
    /// What was signed last.
    last: Option<(Conn, Bytes)>,
}

/// A challenge that waits for its answer.
#[derive(Clone, Debug)]
struct Handshake {
    party: Party,
    conn: Conn,
    challenge: Vec<u8>,
    expires_at: Time,
}

/// What a step of a handshake leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// This goes back to the client.
    Challenge { opaque: u32, token: Vec<u8> },
    /// There is an association.
    Done,
}

/// All associations, and all handshakes that are under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Associations {
    by_opaque: BTreeMap<u32, Association>,
    /// At most two each, the newest last.
    of: BTreeMap<Party, Vec<u32>>,
    handshakes: BTreeMap<u32, Handshake>,
    pub(super) signing: Signing,
    pub(super) counts: AssociationCounts,
}

impl Associations {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_opaque.len()
    }

    /// How many handshakes are under way.
    pub(super) fn handshakes(&self) -> usize {
        self.handshakes.len()
    }

    pub(super) fn has(&self, party: &Party) -> bool {
        self.of.contains_key(party)
    }

    /// The account of a party.
    pub(super) fn user(&self, party: &Party) -> Option<&str> {
        Some(&self.newest(party)?.1.user)
    }

    fn newest(&self, party: &Party) -> Option<(u32, &Association)> {
        let opaque = *self.of.get(party)?.last()?;
        Some((opaque, self.by_opaque.get(&opaque)?))
    }

    /// A step of a handshake: these are the credentials with its token.
    pub(super) fn step(
        &mut self,
        now: Time,
        (conn, message): (Conn, &Message),
        credentials: &ms::Credentials<'_>,
        (config, accounts): (&FrontEndConfig, &Accounts),
        entropy: &mut ChaCha12Rng,
    ) -> Result<Step, Failure> {
        let party = Party::from(message).ok_or(Failure::NoEpid)?;
        let token = credentials.token.as_deref().unwrap_or_default();
        let kerberos = config
            .kerberos
            .as_ref()
            .filter(|_| credentials.scheme == Scheme::Kerberos);
        if token.is_empty() && kerberos.is_none() {
            let (opaque, token) = self.begin(now, conn, party, config, entropy)?;
            return Ok(Step::Challenge { opaque, token });
        }
        let handshake = match kerberos {
            Some(_) => None,
            None => {
                let opaque = credentials.opaque.and_then(read_opaque);
                let found = opaque.and_then(|opaque| Some((opaque, self.handshakes.remove(&opaque)?)));
                let found = found.ok_or(Failure::NoHandshake)?;
                if found.1.party != party {
                    return Err(Failure::Foreign);
                }
                Some(found)
            }
        };
        let said = credentials.version.unwrap_or(signing::Version::V2);
        if said != config.associations.version {
            return Err(Failure::Version);
        }
        let mut lifetime = config.associations.lifetime;
        let (user, mechanism) = match (&handshake, kerberos) {
            (Some((_, handshake)), _) => {
                let (user, keys) = log_on(now, token, &handshake.challenge, (config, accounts))?;
                (user, Mechanism::Ntlm(keys))
            }
            (None, Some(acceptor)) => {
                let accepted = accept(now, token, acceptor.as_ref(), (config, accounts))?;
                lifetime = accepted.lifetime.map_or(lifetime, |ticket| ticket.min(lifetime));
                (accepted.user, Mechanism::Kerberos(accepted.security))
            }
            (None, None) => return Err(Failure::NoHandshake),
        };
        let opaque = handshake.map_or_else(|| self.fresh_opaque(entropy), |(opaque, _)| opaque);
        let from = message.from_().ok();
        let own = from.as_ref().and_then(|from| from.uri.as_sip());
        if !own.is_some_and(|own| config.is_address_of(own, &user)) {
            return Err(Failure::NotTheirs);
        }
        let mut association = Association {
            party,
            user,
            mechanism,
            seen: ReplayWindow::new(),
            sent: 0,
            expires_at: now + lifetime,
            doubted: 0,
            last: None,
        };
        if said.signs_final_token() || credentials.signature.is_some() {
            association
                .verify(message, credentials, config)
                .map_err(|_| Failure::Signature)?;
            self.counts.verified += 1;
        }
        self.establish(now, opaque, association, config)
    }

    /// Asks with a fresh challenge. A client has one handshake under way on a connection.
    fn begin(
        &mut self,
        now: Time,
        conn: Conn,
        party: Party,
        config: &FrontEndConfig,
        entropy: &mut ChaCha12Rng,
    ) -> Result<(u32, Vec<u8>), Failure> {
        let settings = &config.associations;
        self.handshakes
            .retain(|_, other| (other.conn, &other.party) != (conn, &party));
        if self.handshakes.len() >= settings.most_handshakes {
            return Err(Failure::Full);
        }
        let clock = config.clock(now).filter(|_| settings.says_time);
        let challenge = server::Offer {
            flags: server::OFFERED,
            nonce: entropy.next_u64().to_le_bytes(),
            version: SYSTEM,
            domain: settings.domain.clone(),
            computer: first_label(&settings.target),
            dns_domain: config.domains.first().cloned().unwrap_or_default(),
            dns_computer: settings.target.clone(),
            time: clock.map(FileTime::from_unix),
        };
        let challenge = challenge.write()?;
        let opaque = self.fresh_opaque(entropy);
        let handshake = Handshake {
            party,
            conn,
            challenge: challenge.clone(),
            expires_at: now + settings.patience,
        };
        self.handshakes.insert(opaque, handshake);
        Ok((opaque, challenge))
    }

    fn fresh_opaque(&self, entropy: &mut ChaCha12Rng) -> u32 {
        loop {
            let opaque = entropy.next_u32();
            if !self.handshakes.contains_key(&opaque) && !self.by_opaque.contains_key(&opaque) {
                return opaque;
            }
        }
    }

    /// Takes an association in. Its predecessor is for what is under way, and then forgotten.
    fn establish(
        &mut self,
        now: Time,
        opaque: u32,
        association: Association,
        config: &FrontEndConfig,
    ) -> Result<Step, Failure> {
        let renewed = self.has(&association.party);
        if !renewed && self.by_opaque.len() >= config.associations.most {
            return Err(Failure::Full);
        }
        let all = self.of.entry(association.party.clone()).or_default();
        while all.len() > 1 {
            self.by_opaque.remove(&all.remove(0));
        }
        if let Some(former) = all.first().and_then(|opaque| self.by_opaque.get_mut(opaque)) {
            former.expires_at = former.expires_at.min(now + config.t1 * 64);
        }
        all.push(opaque);
        self.by_opaque.insert(opaque, association);
        self.counts.made += 1;
        Ok(Step::Done)
    }

    /// Verifies a message of a client: whose it is, and whether it is to be doubted all the same. `Ok(None)` where the
    /// association is not known.
    pub(super) fn verify(
        &mut self,
        now: Time,
        message: &Message,
        credentials: &ms::Credentials<'_>,
        config: &FrontEndConfig,
    ) -> Result<Option<Verified>, Unsound> {
        let named = credentials.opaque.and_then(read_opaque);
        // Who has not heard yet what it is called is found by address and endpoint id (MS-SIPAE section 3.3.5.2).
        let sender = if message.is_request() {
            Party::from(message)
        } else {
            Party::to(message)
        };
        let opaque = match credentials.opaque {
            Some(_) => named,
            None => sender.and_then(|sender| Some(self.newest(&sender)?.0)),
        };
        let association = opaque.and_then(|opaque| self.by_opaque.get_mut(&opaque));
        let Some(association) = association.filter(|association| association.expires_at > now) else {
            return Ok(None);
        };
        if message.is_request() && Party::from(message).as_ref() != Some(&association.party) {
            return Err(Unsound::Foreign);
        }
        association.verify(message, credentials, config)?;
        self.counts.verified += 1;
        let answered = message
            .method()
            .is_some_and(|method| !matches!(method, Method::Ack | Method::Cancel));
        let doubted = answered && association.doubted > 0;
        association.doubted -= u32::from(doubted);
        Ok(Some(Verified {
            party: association.party.clone(),
            doubted,
        }))
    }

    /// Counts a message that is dropped.
    pub(super) fn count(&mut self, unsound: Unsound) {
        let count = match unsound {
            Unsound::Unsigned => &mut self.counts.unsigned,
            Unsound::Forged => &mut self.counts.forged,
            Unsound::Replayed => &mut self.counts.replayed,
            Unsound::Foreign => &mut self.counts.foreign,
            Unsound::Unknown => &mut self.counts.unknown,
        };
        *count += 1;
    }

    /// The signature for a message to this party, as the value of Authentication-Info.
    pub(super) fn sign(
        &mut self,
        party: &Party,
        message: &Message,
        config: &FrontEndConfig,
        entropy: &mut ChaCha12Rng,
    ) -> Option<String> {
        let settings = &config.associations;
        let is_provisional = message.status().is_some_and(|status| status.is_provisional());
        if self.signing == Signing::Missing || (is_provisional && !settings.sign_provisional) {
            return None;
        }
        let opaque = *self.of.get(party)?.last()?;
        let association = self.by_opaque.get_mut(&opaque)?;
        association.sent += 1;
        let (random, number) = (format!("{:08X}", entropy.next_u32()), association.sent);
        let scheme = association.mechanism.scheme();
        let target = config.target(scheme);
        let stamp = Stamp {
            scheme,
            random: &random,
            number,
            realm: &settings.realm,
            target: &target,
        };
        let mut buffer = Vec::new();
        signing::buffer(&mut buffer, settings.version, &stamp, message).ok()?;
        let mut mic = association.mechanism.sign(&buffer)?;
        if self.signing == Signing::Wrong {
            mic.iter_mut().skip(4).take(1).for_each(|octet| *octet ^= 1);
        }
        self.counts.signed += 1;
        let handle = write_opaque(opaque);
        let info = ms::Info {
            scheme,
            realm: &settings.realm,
            target: &target,
            opaque: Some(&handle),
            version: None,
            token: None,
            signature: Some(Signature {
                random: random.as_str().into(),
                number,
                mic: Mic::new(&mic),
            }),
        };
        Some(to_string(&header::AuthenticationInfo(info.to_header())))
    }

    /// Keeps what was sent, to send it again one day.
    pub(super) fn note_sent(&mut self, party: &Party, conn: Conn, bytes: &Bytes) {
        let newest = self.of.get(party).and_then(|all| all.last());
        if let Some(association) = newest.and_then(|opaque| self.by_opaque.get_mut(opaque)) {
            association.last = Some((conn, bytes.clone()));
        }
    }

    /// When each association of a party is over, and its handshakes.
    pub(super) fn deadlines(&self, party: &Party) -> Vec<(Time, u32)> {
        let associations = self.of.get(party).into_iter().flatten();
        let associations =
            associations.filter_map(|opaque| Some((self.by_opaque.get(opaque)?.expires_at, *opaque)));
        let handshakes = self.handshakes.iter().filter(|(_, other)| other.party == *party);
        associations
            .chain(handshakes.map(|(opaque, handshake)| (handshake.expires_at, *opaque)))
            .collect()
    }

    pub(super) fn deadline(&self, opaque: u32) -> Option<Time> {
        let association = self.by_opaque.get(&opaque).map(|it| it.expires_at);
        association.or_else(|| Some(self.handshakes.get(&opaque)?.expires_at))
    }

    /// Forgets an association or a handshake; says whose association it was.
    pub(super) fn remove(&mut self, opaque: u32) -> Option<Party> {
        self.handshakes.remove(&opaque);
        let Association { party, .. } = self.by_opaque.remove(&opaque)?;
        if let Some(all) = self.of.get_mut(&party) {
            all.retain(|other| *other != opaque);
            if all.is_empty() {
                self.of.remove(&party);
            }
        }
        Some(party)
    }

    /// Forgets all associations of a party.
    pub(super) fn remove_party(&mut self, party: &Party) {
        for opaque in self.of.remove(party).unwrap_or_default() {
            self.by_opaque.remove(&opaque);
        }
    }

    /// The handshakes of a connection that is gone come to no end.
    pub(super) fn connection_lost(&mut self, conn: Conn) {
        self.handshakes.retain(|_, handshake| handshake.conn != conn);
    }

    /// Forgets everything but the counts and the faults.
    pub(super) fn forget(&mut self) {
        *self = Self {
            signing: self.signing,
            counts: self.counts,
            ..Self::default()
        };
    }

    /// The parties of an address of record, or the one with this endpoint id.
    pub(super) fn parties(&self, key: &str, epid: Option<&str>) -> Vec<Party> {
        let all = self.of.keys().filter(|party| party.key == key);
        all.filter(|party| epid.is_none_or(|epid| party.epid.eq_ignore_ascii_case(epid)))
            .cloned()
            .collect()
    }

    /// Challenges so many requests of a party that are in order.
    pub(super) fn doubt(&mut self, party: &Party, requests: u32) {
        for opaque in self.of.get(party).into_iter().flatten() {
            if let Some(association) = self.by_opaque.get_mut(opaque) {
                association.doubted = requests;
            }
        }
    }

    /// What was signed last for a party, and where it went.
    pub(super) fn last(&self, party: &Party) -> Option<(Conn, Bytes)> {
        self.newest(party)?.1.last.clone()
    }
}

/// A message whose signature was right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verified {
    pub(super) party: Party,
    /// It is to be challenged all the same.
    pub(super) doubted: bool,
}

impl Association {
    fn verify(
        &mut self,
        message: &Message,
        credentials: &ms::Credentials<'_>,
        config: &FrontEndConfig,
    ) -> Result<(), Unsound> {
        let (Some(stamp), Some(signature)) = (credentials.stamp(), &credentials.signature) else {
            return Err(Unsound::Unsigned);
        };
        if !self.seen.is_new(signature.number) {
            return Err(Unsound::Replayed);
        }
        let mut buffer = Vec::new();
        let signed = signing::buffer(&mut buffer, config.associations.version, &stamp, message).is_ok();
        if !signed || !self.mechanism.verify(&buffer, &signature.mic) {
            return Err(Unsound::Forged);
        }
        self.seen.record(signature.number);
        Ok(())
    }
}

/// Who answers a challenge rightly: the name of their account, and the keys of the session.
fn log_on(
    now: Time,
    token: &[u8],
    challenge: &[u8],
    (config, accounts): (&FrontEndConfig, &Accounts),
) -> Result<(String, Keys), Failure> {
    let answer = server::Authenticate::parse(token)?;
    let (name, domain) = match answer.user().split_once('@') {
        Some((name, domain)) if answer.domain().is_empty() => (name, domain),
        _ => (answer.user(), answer.domain()),
    };
    let user = accounts
        .named(name, config)
        .filter(|_| config.has_accounts_of(domain));
    let user = user.ok_or(Failure::NoUser)?;
    let challenge = ntlm::Challenge::parse(challenge)?;
    let keys = answer.verify(&challenge, &NtHash::of(&user.password))?;
    let clock = config.clock(now).map(FileTime::from_unix);
    if clock.is_some_and(|clock| clock.distance(answer.time()) > ntlm::MAX_SKEW) {
        return Err(Failure::SkewedClock);
    }
    Ok((user.name.clone(), keys))
}

/// Who shows a good ticket: the name of their account in place of the principal, and the keys of the session.
fn accept(
    now: Time,
    token: &[u8],
    acceptor: &dyn Acceptor,
    (config, accounts): (&FrontEndConfig, &Accounts),
) -> Result<Accepted, Failure> {
    let service = config.target(Scheme::Kerberos);
    let accepted = acceptor.accept(now, &service, token).map_err(Failure::Kerberos)?;
    let (name, domain) = accepted.user.split_once('@').unwrap_or((&accepted.user, ""));
    let user = accounts
        .named(name, config)
        .filter(|_| config.has_accounts_of(domain));
    let user = user.ok_or(Failure::NoUser)?.name.clone();
    Ok(Accepted { user, ..accepted })
}

/// The credentials of a client that are for this server's associations, in whichever field they stand.
pub(super) fn credentials<'m>(
    message: &'m Message,
    config: &FrontEndConfig,
) -> Option<header::Credentials<'m>> {
    let settings = &config.associations;
    [HeaderName::Authorization, HeaderName::ProxyAuthorization]
        .into_iter()
        .flat_map(|name| message.raw_all(name))
        .filter_map(|value| std::str::from_utf8(value).ok())
        .filter_map(|value| Some(header::Authorization::parse(value).ok()?.0))
        .find(|credentials| {
            let scheme = Scheme::from_token(&credentials.scheme);
            let scheme = scheme.filter(|scheme| match scheme {
                Scheme::Ntlm => config.offers(Protocol::Ntlm),
                Scheme::Kerberos => config.offers(Protocol::Kerberos),
                Scheme::TlsDsk => false,
            });
            scheme.is_some_and(|scheme| {
                credentials.params.raw("realm") == Some(&settings.realm)
                    && credentials.params.raw("targetname") == Some(&config.target(scheme))
            })
        })
}

/// A challenge: the first, or with the server's token.
pub(super) fn challenge(config: &FrontEndConfig, scheme: Scheme, token: Option<(u32, Vec<u8>)>) -> String {
    let settings = &config.associations;
    let (opaque, token) = token.map_or((None, None), |(opaque, token)| {
        (Some(write_opaque(opaque)), Some(token))
    });
    let target = config.target(scheme);
    let challenge = ms::Challenge {
        scheme,
        realm: &settings.realm,
        target: &target,
        // A server of before the versions does not speak of them.
        version: Some(settings.version).filter(|version| *version != signing::Version::V2),
        opaque: opaque.as_deref(),
        token,
        sts_uri: None,
    };
    to_string(&header::WwwAuthenticate(challenge.to_header()))
}

fn write_opaque(opaque: u32) -> String {
    format!("{opaque:08X}")
}

fn read_opaque(text: &str) -> Option<u32> {
    let opaque = u32::from_str_radix(text, 16).ok()?;
    (write_opaque(opaque) == text).then_some(opaque)
}
