//! CHALLENGE as a client reads it (MS-NLMP section 2.2.1.2).

use alloc::string::String;
use core::fmt;

use super::token::{self, Flags, Place, Reader, TargetInfo, av, malformed};
use super::{FileTime, NtlmError};

/// The type of the token.
pub(super) const KIND: u32 = 2;

/// The fixed part without the version, which old servers leave out.
const FIXED: usize = 48;

/// What a server asks with, read and found safe to answer.
#[derive(Clone, Copy)]
pub struct Challenge<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) flags: Flags,
    pub(super) nonce: [u8; 8],
    pub(super) target: TargetInfo<'a>,
}

impl<'a> Challenge<'a> {
    /// Reads a token.
    ///
    /// # Errors
    /// [`NtlmError::Malformed`]; [`NtlmError::Weak`] where the server does not offer all that is needed: connectionless
    /// NTLM with extended session security, keys of 128 bits that are exchanged, and the properties of the target.
    pub fn parse(token: &'a [u8]) -> Result<Self, NtlmError> {
        let reader = Reader::new(token, KIND, FIXED)?;
        let name = reader.field(12, Place::TargetName)?;
        let flags = Flags(reader.u32(20, Place::Token)?);
        let nonce = reader.array(24, Place::Token)?;
        let info = reader.field(40, Place::TargetInfo)?;
        token::apart(&[(name, Place::TargetName), (info, Place::TargetInfo)])?;
        flags.check()?;
        if info.bytes.is_empty() {
            return Err(malformed(Place::TargetInfo, "empty"));
        }
        Ok(Self {
            bytes: reader.bytes(),
            flags,
            nonce,
            target: TargetInfo::parse(info.bytes)?,
        })
    }

    /// What the server offers.
    pub const fn flags(&self) -> Flags {
        self.flags
    }

    /// The server's fresh value.
    pub const fn nonce(&self) -> [u8; 8] {
        self.nonce
    }

    /// The server's clock, where it says what it shows. It goes into the response: then nothing depends on the client's.
    pub const fn time(&self) -> Option<FileTime> {
        self.target.time
    }

    /// The NetBIOS name of the server's domain, where it says one that can be read; for people.
    pub fn domain(&self) -> Option<String> {
        let name = self.target.value(av::DOMAIN)?;
        token::text(name, Place::AvPair(av::DOMAIN)).ok()
    }
}

impl fmt::Debug for Challenge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Challenge")
            .field("flags", &self.flags)
            .field("domain", &self.domain())
            .field("time", &self.time())
            .finish_non_exhaustive()
    }
}
