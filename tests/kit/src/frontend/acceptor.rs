//! The part of a server of Kerberos that has its key: what takes a client's token.

use std::fmt;
use std::time::Duration;

use sansip::Time;
use sansip::security::MessageSecurity;

/// Takes the tokens that clients of Kerberos show to a front end (RFC 2743, GSS_Accept_sec_context). It does not wait.
pub trait Acceptor: fmt::Debug + Send + Sync {
    /// Who shows this token, for a server of this service principal.
    ///
    /// # Errors
    /// Why the token is not taken, for people.
    fn accept(&self, now: Time, service: &str, token: &[u8]) -> Result<Accepted, String>;
}

/// A client whose token was taken.
#[derive(Debug)]
pub struct Accepted {
    /// The principal, such as `alice@EXAMPLE.COM`.
    pub user: String,
    /// How long the ticket is good for, where it ends.
    pub lifetime: Option<Duration>,
    /// What signs for the server and verifies what the client has signed.
    pub security: Box<dyn MessageSecurity>,
}
