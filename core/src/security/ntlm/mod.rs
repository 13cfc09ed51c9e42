//! NTLM as SIP servers of Microsoft speak it (MS-NLMP, connectionless): version 2 of the responses, extended session
//! security, a signature on every message.
//!
//! There is no NEGOTIATE. A client sends an empty token and gets a [`Challenge`], answers it with [`authenticate`] and
//! has its [`Keys`]. [`server`] is the other side. What is weaker is refused on both sides: responses of version 1, LM
//! responses alone, signatures by checksum, keys of less than 128 bits.
//!
//! ```text
//!   client                                            server
//!     | ---- "" --------------------------------------> | server::Offer::write
//!     | <--- CHALLENGE -------------------------------- |
//!   Challenge::parse, authenticate -> Keys              |
//!     | ---- AUTHENTICATE ----------------------------> | server::Authenticate::parse, verify -> Keys
//! ```
//!
//! Read MS-NLMP sections 2.2.1 (tokens), 3.1.5.2 (connectionless), 3.3.2 (responses) and 3.4 (keys, signatures).

mod authenticate;
mod challenge;
mod identity;
mod keys;
pub mod server;
#[cfg(test)]
mod tests;
mod token;

use core::fmt;
use core::time::Duration;

pub use authenticate::{Client, Fresh, authenticate};
pub use challenge::Challenge;
pub use identity::{Identity, NtHash};
pub use keys::{Keys, SIGNATURE};
pub use token::{Flags, Place};

use crate::time::UnixTime;

/// By how much the clocks of client and server may differ (MS-SIP section 3.1.5.1).
pub const MAX_SKEW: Duration = Duration::from_secs(15 * 60);

/// Why a token is not taken, or none is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NtlmError {
    /// The peer's token is not what MS-NLMP says.
    Malformed {
        /// Where.
        place: Place,
        /// What is wrong there, in a few words for people.
        what: &'static str,
    },
    /// The peer does not offer, or has not chosen, what it takes to be safe.
    Weak {
        /// What is missing.
        missing: Flags,
    },
    /// The response is one of version 1, or there is none but for LM.
    OldResponse,
    /// What would be sent is longer than its field, or than a token may be.
    TooLong(Place),
    /// The response was not made with this user's password.
    WrongProof,
    /// The tokens have been changed under way: their MIC is wrong.
    WrongMic,
}

impl fmt::Display for NtlmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { place, what } => write!(f, "NTLM {place}: {what}"),
            Self::Weak { missing } => write!(f, "incompatible NTLM flags: {missing:?} missing"),
            Self::OldResponse => f.write_str("no NTLM response of version 2"),
            Self::TooLong(place) => write!(f, "NTLM {place}: too long"),
            Self::WrongProof => f.write_str("wrong NTLM response"),
            Self::WrongMic => f.write_str("wrong NTLM MIC"),
        }
    }
}

impl core::error::Error for NtlmError {}

/// Windows time: tenths of microseconds since 1601-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileTime(pub u64);

impl FileTime {
    const PER_SECOND: u64 = 10_000_000;
    /// From 1601 to 1970: 369 years, 89 of them leap years.
    const UNIX_EPOCH: u64 = (369 * 365 + 89) * 86_400;

    /// The same moment; the last that can be said where it is beyond.
    pub const fn from_unix(time: UnixTime) -> Self {
        Self(
            time.0
                .saturating_add(Self::UNIX_EPOCH)
                .saturating_mul(Self::PER_SECOND),
        )
    }

    /// The second that it lies in; the first of 1970 where it is before.
    pub const fn to_unix(self) -> UnixTime {
        UnixTime((self.0 / Self::PER_SECOND).saturating_sub(Self::UNIX_EPOCH))
    }

    /// How far apart two moments are.
    pub const fn distance(self, other: Self) -> Duration {
        let ticks = self.0.abs_diff(other.0);
        Duration::new(
            ticks / Self::PER_SECOND,
            // Below a second, in steps of 100 ns: below 10^9.
            (ticks % Self::PER_SECOND) as u32 * 100,
        )
    }
}
