//! The settings of a front end.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use sansip::security::Secret;
use sansip::security::digest::Algorithm;
use sansip::security::ms::Scheme;
use sansip::security::signing::Version;
use sansip::wire::MessageLimits;
use sansip::wire::uri::SipUri;
use sansip::{Time, UnixTime};

use super::acceptor::Acceptor;
use super::registrar::host_text;

/// What a [`FrontEnd`](super::FrontEnd) serves, and how.
#[derive(Clone, Debug)]
pub struct FrontEndConfig {
    /// The domains it is responsible for, the first of which names it. A request for a user of any of them is looked
    /// up in the registrar.
    pub domains: Vec<String>,
    /// The host in its Via and Record-Route values; without it, the local address of the connection.
    pub host: Option<String>,
    /// The realm of its challenges; the first domain by default.
    pub realm: String,
    /// Who may register and send, with their passwords. Empty: everybody may, and nobody is challenged.
    pub users: Vec<User>,
    /// Hosts that are believed without a challenge, as peer-to-peer endpoints need it (P6). A REGISTER is challenged
    /// all the same.
    pub trusted: Vec<IpAddr>,
    /// How users may prove who they are, in the order of the challenges; [`Protocol::Digest`].
    pub protocols: Vec<Protocol>,
    /// What holds for NTLM and Kerberos, and the security associations that they make.
    pub associations: AssociationConfig,
    /// What takes the tokens of Kerberos; without it that is not offered.
    pub kerberos: Option<Arc<dyn Acceptor>>,
    /// What the wall clock shows where the driver's time begins: for the Date of challenges and for the times in NTLM.
    /// `None`: nobody is told, and the clocks of clients are not looked at.
    pub epoch: Option<UnixTime>,
    /// The algorithms of Digest's challenges, one challenge each, the most wanted first (RFC 8760).
    pub algorithms: Vec<Algorithm>,
    /// How long a nonce is good; after that it is stale and renewed without asking anybody; 5 min.
    pub nonce_lifetime: Duration,
    /// A shorter expiry is refused with 423, unless it is zero; 60 s. This and the next two are for subscriptions and
    /// publications as well.
    pub min_expires: Duration,
    /// The expiry where a request names none; 3600 s.
    pub default_expires: Duration,
    /// A longer expiry is cut to this; 3600 s.
    pub max_expires: Duration,
    /// Whether GRUUs are given to who asks for them (RFC 5627, and the form of the draft with `gruu-10`).
    pub gruu: bool,
    /// Whether a lost connection takes the bindings that were made over it along. Without it they stay until they
    /// expire or are refreshed over another connection, and are not reachable meanwhile.
    pub remove_lost_flows: bool,
    /// The time after which a silent client is to send a keep-alive: told to who offers `ms-keep-alive`, and as
    /// Flow-Timer to who asks for `outbound`. `None`: not told.
    pub keep_alive: Option<Duration>,
    /// Whether a 2xx to REGISTER says what the server had before, as Microsoft's servers do: `Presence-State` with
    /// `added`, `fixed` or `refreshed`.
    pub presence_state: bool,
    /// Whether the server keeps the presence of its users, and how much of it: it then takes PUBLISH and the SUBSCRIBEs to
    /// `presence` for its users itself. Without it those go to the users' endpoints like any other request; `None`.
    pub presence: Option<PresenceLimits>,
    /// RFC 3261 section 17.1.1.1; 500 ms. Timers B, F, H, L and M are 64 times it.
    pub t1: Duration,
    /// RFC 3261 section 16.6: how long an INVITE may ring after its last provisional response; 181 s.
    pub timer_c: Duration,
    /// Bounds of one message.
    pub message: MessageLimits,
    /// The value of the Server header.
    pub product: String,
}

impl FrontEndConfig {
    /// An open server of this domain: no users, so no challenges.
    pub fn new(domain: impl Into<String>) -> Self {
        let domain = domain.into();
        Self {
            domains: vec![domain.clone()],
            host: None,
            realm: domain.clone(),
            users: Vec::new(),
            trusted: Vec::new(),
            protocols: vec![Protocol::Digest],
            associations: AssociationConfig::new(&domain),
            kerberos: None,
            epoch: None,
            algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
            nonce_lifetime: Duration::from_secs(300),
            min_expires: Duration::from_secs(60),
            default_expires: Duration::from_secs(3600),
            max_expires: Duration::from_secs(3600),
            gruu: true,
            remove_lost_flows: true,
            keep_alive: Some(Duration::from_secs(300)),
            presence_state: false,
            presence: None,
            t1: Duration::from_millis(500),
            timer_c: Duration::from_secs(181),
            message: MessageLimits::default(),
            product: String::from("sansip-lab"),
        }
    }

    /// The same with one more user, who from then on has to prove who they are.
    #[must_use]
    pub fn with_user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.users.push(User {
            name: name.into(),
            password: Secret::new(password),
        });
        self
    }

    /// The same for a server that asks for these proofs.
    #[must_use]
    pub fn with_protocols(mut self, protocols: &[Protocol]) -> Self {
        self.protocols = protocols.to_vec();
        self
    }

    /// The same with what takes the tokens of Kerberos.
    #[must_use]
    pub fn with_kerberos(mut self, acceptor: Arc<dyn Acceptor>) -> Self {
        self.kerberos = Some(acceptor);
        self
    }

    pub(super) fn offers(&self, protocol: Protocol) -> bool {
        self.protocols.contains(&protocol) && (protocol != Protocol::Kerberos || self.kerberos.is_some())
    }

    /// The name of the server in a scheme: for Kerberos, that of its service.
    pub(super) fn target(&self, scheme: Scheme) -> Cow<'_, str> {
        let target = &self.associations.target;
        match scheme {
            Scheme::Kerberos => Cow::Owned(format!("sip/{target}")),
            Scheme::Ntlm | Scheme::TlsDsk => Cow::Borrowed(target),
        }
    }

    /// Whether a domain is that of the accounts.
    pub(super) fn has_accounts_of(&self, domain: &str) -> bool {
        domain.is_empty() || domain.eq_ignore_ascii_case(&self.associations.domain) || self.is_domain(domain)
    }

    /// What the wall clock shows.
    pub(super) fn clock(&self, now: Time) -> Option<UnixTime> {
        let seconds = now.since(Time::ZERO).as_secs();
        self.epoch.map(|epoch| UnixTime(epoch.0.saturating_add(seconds)))
    }

    /// Whether this is an address of record of the account with this name.
    pub(super) fn is_address_of(&self, uri: &SipUri<'_>, name: &str) -> bool {
        let user = uri.user_unescaped();
        user.is_some_and(|user| user.eq_ignore_ascii_case(name)) && self.is_domain(&host_text(&uri.host))
    }

    pub(super) fn is_domain(&self, host: &str) -> bool {
        self.domains
            .iter()
            .any(|domain| domain.eq_ignore_ascii_case(host))
    }
}

/// A way to prove who one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// NTLM with signed messages (MS-SIPAE).
    Ntlm,
    /// Kerberos with signed messages (MS-SIPAE).
    Kerberos,
    /// Digest (RFC 7616).
    Digest,
}

impl Protocol {
    /// The one of this name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Ntlm, Self::Kerberos, Self::Digest]
            .into_iter()
            .find(|protocol| protocol.name().eq_ignore_ascii_case(name))
    }

    /// What it is called on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ntlm => "NTLM",
            Self::Kerberos => "Kerberos",
            Self::Digest => "Digest",
        }
    }
}

/// How a server makes and keeps security associations (MS-SIPAE section 3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssociationConfig {
    /// The realm of the challenges; `SIP Communications Service`.
    pub realm: String,
    /// `targetname`: the name of the server; the first domain.
    pub target: String,
    /// Which version is spoken, and no other; 4.
    pub version: Version,
    /// The NetBIOS name of the domain of the accounts; the first label of the first domain, in upper case.
    pub domain: String,
    /// Whether the tokens say what time it is, as servers from 2008 on do; clients then need no clock. It takes an
    /// [`epoch`](FrontEndConfig::epoch).
    pub says_time: bool,
    /// How long an association lasts; 8 h.
    pub lifetime: Duration,
    /// How long a client may take for its answer to a challenge; 60 s.
    pub patience: Duration,
    /// More associations are not made, but refused with 503; 10 000.
    pub most: usize,
    /// The same of handshakes that are under way; 1000.
    pub most_handshakes: usize,
    /// Whether provisional responses are signed, which real servers leave out.
    pub sign_provisional: bool,
}

impl AssociationConfig {
    fn new(domain: &str) -> Self {
        Self {
            realm: String::from("SIP Communications Service"),
            target: domain.to_owned(),
            version: Version::V4,
            domain: first_label(domain),
            says_time: false,
            lifetime: Duration::from_secs(8 * 3600),
            patience: Duration::from_secs(60),
            most: 10_000,
            most_handshakes: 1000,
            sign_provisional: false,
        }
    }
}

/// The name that a host or a domain has in NetBIOS.
pub(super) fn first_label(name: &str) -> String {
    name.split('.').next().unwrap_or_default().to_ascii_uppercase()
}

/// How much presence a server keeps at the same time; what would be more is answered 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresenceLimits {
    /// Subscriptions; 10 000.
    pub subscriptions: usize,
    /// Published states, each no longer than a message may be; 10 000.
    pub publications: usize,
}

impl Default for PresenceLimits {
    fn default() -> Self {
        Self {
            subscriptions: 10_000,
            publications: 10_000,
        }
    }
}

/// What a registrar says to those who want to register.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// The usual.
    #[default]
    Usual,
    /// 302 with these Contact values.
    Redirect(Vec<String>),
    /// 423 to who asks for less than this, in place of the least expiry of the settings.
    TooBrief(Duration),
    /// 503, with a Retry-After of so many seconds where one is said.
    Unavailable(Option<u32>),
    /// How a registrar protects itself from a crowd: a REGISTER that comes when so many were taken in the same second is
    /// answered 503, before anybody is asked to prove anything.
    Crowded {
        /// So many are taken in one second. Who is challenged is taken twice.
        per_second: u32,
        /// The bounds of Retry-After, in seconds; evenly distributed, so that those who were put off come back one by
        /// one.
        retry_after: std::ops::RangeInclusive<u32>,
    },
}

/// One account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user name of the credentials, and the user part of the address of record.
    pub name: String,
    /// The password.
    pub password: Secret,
}

impl User {
    /// Reads `name:password`, as it is given on a command line.
    ///
    /// # Errors
    /// Text without a colon, or with nothing before it.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((name, password)) if !name.is_empty() => Ok(Self {
                name: name.to_owned(),
                password: Secret::new(password),
            }),
            _ => Err(String::from("a user is given as name:password")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_a_name_a_colon_and_any_password() {
        let user = User::parse("alice:se:cret").unwrap();
        assert_eq!((user.name.as_str(), user.password.expose()), ("alice", "se:cret"));
        assert!(User::parse("alice").is_err());
        assert!(User::parse(":secret").is_err());
    }

    #[test]
    fn a_domain_is_known_in_any_case() {
        let config = FrontEndConfig::new("example.com");
        assert!(config.is_domain("EXAMPLE.com"));
        assert!(!config.is_domain("example.org"));
    }
}
