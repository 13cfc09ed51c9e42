//! Who may do what: Digest authentication at the server's side (RFC 7616, RFC 3261 section 22.4).
//!
//! A nonce says when it was made and carries a check value, so that nothing is kept for one until it was used rightly.
//! Then the highest count is kept, until the nonce is stale, so that no credentials are taken twice.

use std::collections::BTreeMap;
use std::hash::Hasher;

use sansip::Time;
use sansip::security::Secret;
use sansip::security::digest::{Algorithm, Authorization, Challenge, Info, Qop};
use sansip::wire::header::{self, Header, to_string};
use sansip::wire::uri::{Uri, UserCase, equal};
use sansip::wire::{HeaderName, Message, Method, StatusCode};
use siphasher::sip::SipHasher13;

use super::config::{FrontEndConfig, User};
use super::flow::TokenKey;
use super::registrar::Refused;

/// Which of the two pairs of header fields is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// 401, WWW-Authenticate, Authorization.
    Registrar,
    /// 407, Proxy-Authenticate, Proxy-Authorization.
    Proxy,
}

impl Side {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Registrar => StatusCode::UNAUTHORIZED,
            Self::Proxy => StatusCode::PROXY_AUTHENTICATION_REQUIRED,
        }
    }

    pub(super) const fn challenge(self) -> HeaderName {
        match self {
            Self::Registrar => HeaderName::WwwAuthenticate,
            Self::Proxy => HeaderName::ProxyAuthenticate,
        }
    }

    const fn credentials(self) -> HeaderName {
        match self {
            Self::Registrar => HeaderName::Authorization,
            Self::Proxy => HeaderName::ProxyAuthorization,
        }
    }
}

/// What the credentials of a request prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The sender is this user.
    Proven {
        /// Its name.
        user: String,
        /// The server's own proof, for the response.
        info: String,
        /// What the proof was computed with.
        algorithm: Algorithm,
    },
    /// Nothing.
    Unproven {
        /// Whether the password was right, and only the nonce is too old.
        stale: bool,
    },
    /// They are not credentials for this request.
    Bad(Refused),
}

/// The memory of nonces.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    key: TokenKey,
    /// The highest count of each nonce in use, by what the nonce says: the oldest first.
    used: BTreeMap<(Time, u64), u32>,
}

impl Guard {
    pub(super) const fn new(key: TokenKey) -> Self {
        Self {
            key,
            used: BTreeMap::new(),
        }
    }

    /// Looks at the credentials of a request.
    pub(super) fn examine(
        &mut self,
        now: Time,
        side: Side,
        message: &Message,
        (config, accounts): (&FrontEndConfig, &Accounts),
    ) -> Verdict {
        self.forget_old(now, config);
        let mut stale = false;
        for authorization in credentials(message, side, &config.realm) {
            if !is_for(&authorization.uri, message.request_uri()) {
                return Verdict::Bad(Refused::because(
                    StatusCode::BAD_REQUEST,
                    "the credentials are for another Request-URI",
                ));
            }
            let Some(user) = accounts.of(&authorization, config) else {
                continue;
            };
            let ha1 = authorization
                .algorithm
                .ha1(&user.name, &config.realm, &user.password);
            let method = message.method().map_or("", Method::as_str);
            if !is_offered(&authorization, config)
                || !authorization.verify(&ha1, method, message.body_bytes())
            {
                continue;
            }
            if self.is_good(now, &authorization, config) {
                return Verdict::Proven {
                    user: user.name.clone(),
                    info: info(&authorization, &ha1),
                    algorithm: authorization.algorithm,
                };
            }
            stale = true;
        }
        Verdict::Unproven { stale }
    }

    /// A challenge for each algorithm. `fresh` is a value that was never there before.
    pub(super) fn challenges(
        &self,
        now: Time,
        config: &FrontEndConfig,
        stale: bool,
        fresh: u64,
    ) -> Vec<String> {
        let nonce = self.nonce(now, fresh);
        let challenge = |algorithm: &Algorithm| {
            let mut challenge = Challenge::new(config.realm.as_str(), nonce.as_str(), *algorithm);
            challenge.qop = vec![Qop::Auth, Qop::AuthInt];
            challenge.stale = stale;
            to_string(&header::WwwAuthenticate(challenge.to_header()))
        };
        config.algorithms.iter().map(challenge).collect()
    }

    /// Makes all nonces worthless, as a restart does that lost its memory.
    pub(super) fn forget(&mut self, key: TokenKey) {
        *self = Self::new(key);
    }

    fn nonce(&self, now: Time, fresh: u64) -> String {
        let born = now.as_micros();
        format!("{born:x}-{fresh:016x}-{:016x}", self.check(born, fresh))
    }

    fn check(&self, born: u64, fresh: u64) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.key.0, self.key.1);
        hasher.write_u64(born);
        hasher.write_u64(fresh);
        hasher.finish()
    }

    /// When a nonce of this server was made, and what makes it unique.
    fn born(&self, nonce: &str) -> Option<(Time, u64)> {
        let mut parts = nonce.split('-').map(|part| u64::from_str_radix(part, 16).ok());
        let (born, fresh, check) = (parts.next()??, parts.next()??, parts.next()??);
        (parts.next().is_none() && check == self.check(born, fresh)).then(|| (Time::from_micros(born), fresh))
    }

    fn is_good(&mut self, now: Time, authorization: &Authorization, config: &FrontEndConfig) -> bool {
        let Some(name) = self.born(&authorization.nonce) else {
            return false;
        };
        if now.since(name.0) >= config.nonce_lifetime {
            return false;
        }
        // Without a quality of protection there is no count, and only the lifetime bounds a replay (RFC 2069).
        let Some(quality) = &authorization.quality else {
            return true;
        };
        let highest = self.used.entry(name).or_insert(0);
        let good = quality.count > *highest;
        *highest = (*highest).max(quality.count);
        good
    }

    fn forget_old(&mut self, now: Time, config: &FrontEndConfig) {
        while let Some(oldest) = self.used.first_entry()
            && now.since(oldest.key().0) >= config.nonce_lifetime
        {
            oldest.remove();
        }
    }
}

/// The accounts by their names.
#[derive(Clone, Debug)]
pub(super) struct Accounts(BTreeMap<String, usize>);

impl Accounts {
    pub(super) fn new(config: &FrontEndConfig) -> Self {
        let names = config.users.iter().enumerate().rev();
        Self(names.map(|(at, user)| (user.name.clone(), at)).collect())
    }

    /// The account of this name, in any case, as NTLM has them.
    pub(super) fn named<'a>(&self, name: &str, config: &'a FrontEndConfig) -> Option<&'a User> {
        let plain = self.0.get(name).and_then(|at| config.users.get(*at));
        let any = || {
            let mut all = config.users.iter();
            all.find(|user| user.name.eq_ignore_ascii_case(name))
        };
        plain.or_else(any)
    }

    /// Whose credentials these are. Where they do not name somebody plainly (RFC 7616 section 3.4.4) everybody is asked.
    fn of<'a>(&self, authorization: &Authorization, config: &'a FrontEndConfig) -> Option<&'a User> {
        let plain = self.0.get(authorization.user.as_str());
        let plain = plain.and_then(|at| config.users.get(*at));
        plain.filter(|user| authorization.is_of(&user.name)).or_else(|| {
            let mut all = config.users.iter().filter(|_| authorization.user_hash);
            all.find(|user| authorization.is_of(&user.name))
        })
    }
}

/// The Digest credentials for this realm; others are for somebody else, or nothing at all.
fn credentials(message: &Message, side: Side, realm: &str) -> Vec<Authorization> {
    message
        .raw_all(side.credentials())
        .filter_map(|value| std::str::from_utf8(value).ok())
        .filter_map(|value| header::Authorization::parse(value).ok())
        .filter_map(|credentials| Authorization::read(&credentials.0).ok())
        .filter(|authorization| authorization.realm == realm)
        .collect()
}

/// Whether a line of credentials is for this realm; such are not handed on (RFC 3261 section 22.3).
pub(super) fn is_for_realm(value: &str, realm: &str) -> bool {
    header::Authorization::parse(value)
        .is_ok_and(|credentials| credentials.0.get("realm").as_deref() == Some(realm))
}

fn is_for(uri: &str, request_uri: &str) -> bool {
    if uri == request_uri {
        return true;
    }
    match (Uri::parse(uri), Uri::parse(request_uri)) {
        (Ok(a), Ok(b)) => equal(&a, &b, UserCase::Insensitive),
        _ => false,
    }
}

fn is_offered(authorization: &Authorization, config: &FrontEndConfig) -> bool {
    config.algorithms.contains(&authorization.algorithm)
}

fn info(authorization: &Authorization, ha1: &Secret) -> String {
    to_string(&header::AuthenticationInfo(
        Info::new(authorization, ha1, b"", None).to_header(),
    ))
}
