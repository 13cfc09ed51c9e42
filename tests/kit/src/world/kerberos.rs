//! The key distribution center of a world: tickets as simple as can be, of which only that holds what the protocol
//! promises. Nobody but the center makes a ticket, it is good for one service and for its time, and the key of a session
//! is known to the client and to that service.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;
use std::time::Duration;

use bytes::Bytes;
use sansip::security::{KerberosFailure, KerberosFailureKind, MessageSecurity, SecurityContext};
use sansip::{Authenticate, Time};
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::frontend::{Accepted, Acceptor};

/// What a ticket and a signature are checked with.
type Key = [u8; 16];

/// See the module.
#[derive(Clone, Debug)]
pub struct Center {
    key: Key,
    issued: u64,
    asked: u64,
    accounts: BTreeMap<String, String>,
    services: BTreeSet<String>,
    /// Why nobody gets a ticket at present: it is out of reach, or its clock is another one.
    pub failure: Option<KerberosFailureKind>,
    /// How long tickets are good for from now on; 10 h.
    pub lifetime: Duration,
    /// How long it takes to ask for a ticket, beside the way; nothing.
    pub delay: Duration,
}

fn keyed(key: &Key, parts: &[&[u8]]) -> Key {
    let mut hasher = SipHasher13::new_with_key(key);
    for part in parts {
        hasher.write(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hasher.write(part);
    }
    hasher.finish128().as_bytes()
}

impl Center {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            key: keyed(&[0; 16], &[b"center", &seed.to_be_bytes()]),
            issued: 0,
            asked: 0,
            accounts: BTreeMap::new(),
            services: BTreeSet::new(),
            failure: None,
            lifetime: Duration::from_secs(36_000),
            delay: Duration::ZERO,
        }
    }

    /// How often it, or the ticket cache of a host, was asked for a ticket.
    pub const fn asked(&self) -> u64 {
        self.asked
    }

    pub(super) fn add_account(&mut self, user: &str, domain: &str, password: &str) {
        self.accounts
            .insert(principal(user, Some(domain)), password.to_owned());
    }

    /// A service of this principal, with what takes its tickets.
    pub(super) fn add_service(&mut self, principal: &str) -> Keytab {
        self.services.insert(principal.to_ascii_lowercase());
        Keytab { key: self.key }
    }

    /// A ticket for who asks: of the given credentials, or of whoever has logged on at the host.
    pub(super) fn issue(
        &mut self,
        now: Time,
        wanted: &Authenticate,
        logged_on: Option<&str>,
    ) -> Result<SecurityContext, KerberosFailure> {
        self.asked += 1;
        let user = match (&wanted.credentials, logged_on) {
            (Some(credentials), _) => principal(&credentials.user, credentials.domain.as_deref()),
            (None, Some(user)) => user.to_owned(),
            (None, None) => return Err(KerberosFailure::new(KerberosFailureKind::NoTicket)),
        };
        if let Some(kind) = self.failure {
            return Err(KerberosFailure::new(kind));
        }
        let is_known = match &wanted.credentials {
            Some(credentials) => self
                .accounts
                .get(&user)
                .is_some_and(|password| password == credentials.password.expose()),
            None => self.accounts.contains_key(&user),
        };
        if !is_known {
            return Err(KerberosFailure::new(KerberosFailureKind::WrongCredentials));
        }
        let service = wanted.target.to_ascii_lowercase();
        if !self.services.contains(&service) {
            return Err(KerberosFailure::new(KerberosFailureKind::UnknownService));
        }
        self.issued += 1;
        let end = now + self.lifetime;
        let claims = format!("{user} {service} {} {}", self.issued, end.as_micros());
        let session = session(&self.key, &claims);
        Ok(SecurityContext {
            token: Bytes::from(format!("{claims} {}", hex(&proof(&self.key, &claims)))),
            lifetime: Some(self.lifetime),
            security: Box::new(Session {
                key: session,
                is_server: false,
            }),
        })
    }
}

/// The name of an account.
pub(super) fn principal(user: &str, domain: Option<&str>) -> String {
    let user = user.rsplit('\\').next().unwrap_or(user);
    match domain {
        Some(domain) if !user.contains('@') => format!("{user}@{domain}").to_ascii_lowercase(),
        Some(_) | None => user.to_ascii_lowercase(),
    }
}

fn session(key: &Key, claims: &str) -> Key {
    keyed(key, &[b"session", claims.as_bytes()])
}

fn proof(key: &Key, claims: &str) -> Key {
    keyed(key, &[b"ticket", claims.as_bytes()])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the services of a center take tickets with.
#[derive(Clone, Debug)]
pub(super) struct Keytab {
    key: Key,
}

impl Acceptor for Keytab {
    fn accept(&self, now: Time, service: &str, token: &[u8]) -> Result<Accepted, String> {
        let token = std::str::from_utf8(token).map_err(|_| "no ticket")?;
        let (claims, shown) = token.rsplit_once(' ').ok_or("no ticket")?;
        if shown != hex(&proof(&self.key, claims)) {
            return Err("a forged ticket".to_owned());
        }
        let parts: Vec<&str> = claims.split(' ').collect();
        let [user, wanted, _, end] = parts[..] else {
            return Err("no ticket".to_owned());
        };
        if !wanted.eq_ignore_ascii_case(service) {
            return Err(format!("a ticket for {wanted}"));
        }
        let end = end.parse().map(Time::from_micros).map_err(|_| "no ticket")?;
        if end <= now {
            return Err("a ticket that has ended".to_owned());
        }
        Ok(Accepted {
            user: user.to_owned(),
            lifetime: Some(end.since(now)),
            security: Box::new(Session {
                key: session(&self.key, claims),
                is_server: true,
            }),
        })
    }
}

/// One side of a session.
#[derive(Clone, Debug)]
struct Session {
    key: Key,
    is_server: bool,
}

impl Session {
    fn signature(&self, by_server: bool, text: &[u8]) -> Key {
        keyed(&self.key, &[if by_server { b"s" } else { b"c" }, text])
    }
}

impl MessageSecurity for Session {
    fn sign(&mut self, text: &[u8]) -> Option<Vec<u8>> {
        Some(self.signature(self.is_server, text).to_vec())
    }

    fn verify(&mut self, text: &[u8], signature: &[u8]) -> bool {
        self.signature(!self.is_server, text) == *signature
    }

    fn share(&self) -> Box<dyn MessageSecurity> {
        Box::new(self.clone())
    }
}
