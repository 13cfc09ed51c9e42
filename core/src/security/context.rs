//! What somebody outside has agreed on with a server, and signs and verifies with it: a security context of Kerberos
//! (rule A11).
//!
//! The stack asks for one with [`Action::Authenticate`](crate::Action::Authenticate) and is given it with
//! [`Stack::handle_authenticated`](crate::Stack::handle_authenticated).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use bytes::Bytes;

/// The keys of a security context, where another library has them. To sign and to verify takes no input or output and
/// does not wait.
///
/// A stack can be cloned, and its clone goes on with the same context: nothing that one of them does may change what
/// the other one's signatures are worth. Where a context counts its messages, the peer must not ask for their order.
pub trait MessageSecurity: fmt::Debug + Send + Sync {
    /// The signature of a text (RFC 2743, GSS_GetMIC); `None` where none can be made, as after the end of the ticket.
    fn sign(&mut self, text: &[u8]) -> Option<Vec<u8>>;

    /// Whether this is the peer's signature of a text (RFC 2743, GSS_VerifyMIC).
    fn verify(&mut self, text: &[u8], signature: &[u8]) -> bool;

    /// The same context once more, for the clone of a stack.
    fn share(&self) -> Box<dyn MessageSecurity>;
}

/// What [`Action::Authenticate`](crate::Action::Authenticate) asks for: the token for the server, and what signs from then on.
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct SecurityContext {
    /// What the server is sent: for Kerberos the framed AP-REQ (RFC 4121 section 4.1).
    pub token: Bytes,
    /// How long the ticket is good for, where it ends.
    pub lifetime: Option<Duration>,
    /// What signs and verifies.
    #[cfg_attr(feature = "record", serde(skip, default = "crate::record::Recorded::nothing"))]
    pub security: Box<dyn MessageSecurity>,
}

/// Without the token (A9).
impl fmt::Debug for SecurityContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            token: _,
            lifetime,
            security,
        } = self;
        f.debug_struct("SecurityContext")
            .field("lifetime", lifetime)
            .field("security", security)
            .finish_non_exhaustive()
    }
}

impl Clone for SecurityContext {
    fn clone(&self) -> Self {
        Self {
            token: self.token.clone(),
            lifetime: self.lifetime,
            security: self.security.share(),
        }
    }
}

/// Why there is no security context.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct KerberosFailure {
    /// The kind, by which an application decides.
    pub kind: KerberosFailureKind,
    /// The words of the library that found it, for people.
    pub detail: String,
}

impl KerberosFailure {
    /// A failure without words of a library.
    pub const fn new(kind: KerberosFailureKind) -> Self {
        Self {
            kind,
            detail: String::new(),
        }
    }
}

impl fmt::Display for KerberosFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if self.detail.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", self.detail)
        }
    }
}

impl core::error::Error for KerberosFailure {}

/// The kinds of failure of Kerberos.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum KerberosFailureKind {
    /// The embedder has no Kerberos.
    Unsupported,
    /// There is no ticket of the user: nobody has logged on, or the ticket has ended.
    NoTicket,
    /// The key distribution center does not take user and password.
    WrongCredentials,
    /// The key distribution center does not know the server.
    UnknownService,
    /// No key distribution center is to be reached, or it did not answer in time.
    Unreachable,
    /// The clocks of this host and of the key distribution center differ by too much.
    SkewedClock,
    /// Anything else.
    Other,
}

impl fmt::Display for KerberosFailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsupported => "Kerberos is not supported here",
            Self::NoTicket => "there is no Kerberos ticket",
            Self::WrongCredentials => "Kerberos does not accept the credentials",
            Self::UnknownService => "Kerberos does not know the server",
            Self::Unreachable => "no key distribution center can be reached",
            Self::SkewedClock => "the clocks of this host and of Kerberos differ by too much",
            Self::Other => "Kerberos failed",
        })
    }
}

/// What a context has said, as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum ContextAnswer {
    /// The signature that it made, if it could.
    Signed(Option<Vec<u8>>),
    /// Whether a signature was the peer's.
    Verified(bool),
}
