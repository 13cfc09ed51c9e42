//! User authentication: which protocol, whose credentials, and when an answer is no use any more.
//!
//! [`AuthState`] holds what an endpoint and its server have agreed on, realm by realm; [`Attempt`] what one request
//! has tried. What is computed and compared is below, in `security`. Read rules A1 to A3 and A7 to A9, then RFC 3261
//! section 22 and RFC 8760.
//!
//! ```text
//!   request --authorize--> with what is agreed --> 2xx --handle_success--> next nonce
//!      ^                                      |
//!      |                                      +--> 401, 407 --handle_challenge--> failure, with its reason
//!      +-------------- answer it -----------------------------+
//! ```

mod account;
mod association;
mod negotiation;
mod state;
mod table;
#[cfg(test)]
mod tests;

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::security::digest::Algorithm;
use crate::security::ms::Scheme;
use crate::security::signing::Version;
use crate::security::{KerberosFailure, KerberosFailureKind};
use crate::wire::HeaderName;
use crate::wire::header;

pub(crate) use state::{Attempt, AuthState};
pub(crate) use table::{Admission, AuthTable, Challenged, Login, Next, Unanswered};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// The server that the request is for.
    Server,
    /// A proxy on the way.
    Proxy,
}

impl Side {
    const fn answer(self) -> HeaderName {
        match self {
            Self::Server => HeaderName::Authorization,
            Self::Proxy => HeaderName::ProxyAuthorization,
        }
    }
}

/// A challenge as it was received.
struct Received<'a> {
    side: Side,
    challenge: header::Challenge<'a>,
}

impl Received<'_> {
    fn realm(&self) -> Option<String> {
        self.challenge.get("realm").map(Cow::into_owned)
    }
}

/// A way to prove who a user is. In the order of strength, weaker before stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize))]
#[non_exhaustive]
pub enum AuthenticationProtocol {
    /// Digest with MD5 or MD5-sess.
    DigestMd5,
    /// Digest with SHA-256 or SHA-256-sess.
    DigestSha256,
    /// Digest with SHA-512-256 or SHA-512-256-sess.
    DigestSha512_256,
    /// NTLM version 2 with extended session security, by which every message is signed.
    Ntlm,
    /// Kerberos, by which every message is signed (A11).
    Kerberos,
}

impl AuthenticationProtocol {
    /// All of them, weaker before stronger.
    pub const ALL: [Self; 5] = [
        Self::DigestMd5,
        Self::DigestSha256,
        Self::DigestSha512_256,
        Self::Ntlm,
        Self::Kerberos,
    ];

    /// That of an association; `None` for a scheme that is recognised and not spoken.
    const fn of_scheme(scheme: Scheme) -> Option<Self> {
        match scheme {
            Scheme::Ntlm => Some(Self::Ntlm),
            Scheme::Kerberos => Some(Self::Kerberos),
            Scheme::TlsDsk => None,
        }
    }

    const fn of(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Md5 | Algorithm::Md5Sess => Self::DigestMd5,
            Algorithm::Sha256 | Algorithm::Sha256Sess => Self::DigestSha256,
            Algorithm::Sha512_256 | Algorithm::Sha512_256Sess => Self::DigestSha512_256,
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::DigestMd5 => 1,
            Self::DigestSha256 => 2,
            Self::DigestSha512_256 => 4,
            Self::Ntlm => 8,
            Self::Kerberos => 16,
        }
    }
}

impl fmt::Display for AuthenticationProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DigestMd5 => "Digest MD5",
            Self::DigestSha256 => "Digest SHA-256",
            Self::DigestSha512_256 => "Digest SHA-512-256",
            Self::Ntlm => "NTLM",
            Self::Kerberos => "Kerberos",
        })
    }
}

/// The protocols that an application lets an endpoint use (rule A3); all, unless it says otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct AllowedProtocols(u8);

impl AllowedProtocols {
    /// None at all: every challenge fails.
    pub const fn none() -> Self {
        Self(0)
    }

    /// All of them.
    pub fn all() -> Self {
        AuthenticationProtocol::ALL.into_iter().collect()
    }

    /// This one and those that are stronger.
    pub fn at_least(least: AuthenticationProtocol) -> Self {
        AuthenticationProtocol::ALL
            .into_iter()
            .filter(|protocol| *protocol >= least)
            .collect()
    }

    /// These and one more.
    #[must_use]
    pub const fn with(self, protocol: AuthenticationProtocol) -> Self {
        Self(self.0 | protocol.bit())
    }

    /// These without one.
    #[must_use]
    pub const fn without(self, protocol: AuthenticationProtocol) -> Self {
        Self(self.0 & !protocol.bit())
    }

    /// Whether it is among them.
    pub const fn contains(self, protocol: AuthenticationProtocol) -> bool {
        self.0 & protocol.bit() != 0
    }
}

impl Default for AllowedProtocols {
    fn default() -> Self {
        Self::all()
    }
}

impl FromIterator<AuthenticationProtocol> for AllowedProtocols {
    fn from_iter<I: IntoIterator<Item = AuthenticationProtocol>>(protocols: I) -> Self {
        protocols.into_iter().fold(Self::none(), Self::with)
    }
}

impl fmt::Debug for AllowedProtocols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(
                AuthenticationProtocol::ALL
                    .iter()
                    .filter(|protocol| self.contains(**protocol)),
            )
            .finish()
    }
}

/// What an endpoint asks of servers that log users on with NTLM or Kerberos (rules A4 and A6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct AssociationPolicy {
    /// Drop every message of the server that is not signed. Real servers leave provisional responses, challenges and
    /// responses to REGISTER unsigned, which are taken unless this is set; `false`.
    pub strict: bool,
    /// The lowest version that is spoken: 2, 3 or 4; 3.
    pub least_version: u8,
    /// Answer NTLM over a connection that is not TLS, where whoever listens can try passwords on the answer; `false`.
    pub without_tls: bool,
    /// Take a server for good that never asks who the user is, where the credentials name a domain; `false`.
    pub unchallenging: bool,
}

impl Default for AssociationPolicy {
    fn default() -> Self {
        Self {
            strict: false,
            least_version: 3,
            without_tls: false,
            unchallenging: false,
        }
    }
}

impl AssociationPolicy {
    /// `None` where there is no such version.
    pub(crate) fn least(self) -> Option<Version> {
        Version::at_most(u32::from(self.least_version)).filter(|_| self.least_version <= 4)
    }
}

/// Why a user could not be authenticated (rule A7).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize))]
pub struct AuthenticationFailure {
    /// The reason, by which an application decides.
    pub reason: AuthenticationFailureReason,
    /// The realm that it is about, where the challenge named one.
    pub realm: Option<String>,
    /// All that the server offered, in its order, known here or not.
    pub offered: Vec<OfferedProtocol>,
    /// What became of Kerberos, where it was tried for this.
    pub kerberos: Option<KerberosFailure>,
}

impl AuthenticationFailure {
    /// Whether it may be otherwise later without anybody's doing: nobody could be asked, and no password was refused.
    pub(crate) fn may_pass(&self) -> bool {
        use KerberosFailureKind as Kind;
        let kind = self.kerberos.as_ref().map(|failure| failure.kind);
        self.reason != AuthenticationFailureReason::InvalidCredentials
            && matches!(
                kind,
                Some(
                    Kind::NoTicket
                        | Kind::UnknownService
                        | Kind::Unreachable
                        | Kind::SkewedClock
                        | Kind::Other
                )
            )
    }
}

impl fmt::Display for AuthenticationFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.reason)?;
        if let Some(realm) = &self.realm {
            write!(f, " for realm {realm:?}")?;
        }
        for (i, offered) in self.offered.iter().enumerate() {
            write!(f, "{}{offered}", if i == 0 { "; offered: " } else { ", " })?;
        }
        if let Some(kerberos) = &self.kerberos {
            write!(f, "; {kerberos}")?;
        }
        Ok(())
    }
}

impl core::error::Error for AuthenticationFailure {}

/// The kinds of authentication failure (rule A7, UCMA's `AuthenticationFailureReason`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize))]
pub enum AuthenticationFailureReason {
    /// The server did not accept an answer made with the credentials. They were tried once.
    InvalidCredentials,
    /// No credentials were given for a realm that has to be answered.
    MissingCredentials,
    /// Nothing that the server offers is both known and allowed.
    NoCommonProtocols,
    /// The authority that could vouch for the user is not to be reached.
    NoAuthenticatingAuthority,
    /// The clocks of server and client differ by too much.
    SkewedClock,
    /// The server should have asked for authentication and did not (rule A6).
    UnchallengingServer,
}

impl fmt::Display for AuthenticationFailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidCredentials => "the server does not accept the credentials",
            Self::MissingCredentials => "there are no credentials",
            Self::NoCommonProtocols => "no authentication protocol in common",
            Self::NoAuthenticatingAuthority => "no authenticating authority can be reached",
            Self::SkewedClock => "the clocks of server and client differ by too much",
            Self::UnchallengingServer => "the server did not ask for authentication",
        })
    }
}

/// One protocol of those that a server offered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize))]
pub struct OfferedProtocol {
    /// The scheme as it was written: `Digest`, `NTLM`, ...
    pub scheme: String,
    /// For Digest, the algorithm as it was written.
    pub algorithm: Option<String>,
    /// The realm.
    pub realm: Option<String>,
}

impl fmt::Display for OfferedProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.scheme)?;
        self.algorithm
            .as_ref()
            .map_or(Ok(()), |algorithm| write!(f, " {algorithm}"))
    }
}
