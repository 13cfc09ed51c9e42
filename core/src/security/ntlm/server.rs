//! The server's side of NTLM: for servers that are written in tests, and for whatever answers a client.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use zeroize::Zeroizing;

use super::authenticate::{self, RESPONSE_HEAD};
use super::challenge;
use super::keys::{hmac, rc4};
use super::token::{
    self, Flags, Place, Reader, TargetInfo, Writer, av, begin, malformed, push_property, utf16,
};
use super::{Challenge, FileTime, Keys, NtHash, NtlmError};
use crate::security::same;

/// What the servers of 2005 to 2013 offer: all that is needed, and older things that a client does not choose.
pub const OFFERED: Flags = Flags(0xe298_82f3);

/// The fixed part of a challenge with the version.
const FIXED: usize = 56;

/// The fixed part of an answer without version and MIC.
const ANSWER_FIXED: usize = 64;

/// What a server asks with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What it offers: [`OFFERED`].
    pub flags: Flags,
    /// Its fresh value.
    pub nonce: [u8; 8],
    /// The version of its operating system (MS-NLMP section 2.2.2.10).
    pub version: [u8; 8],
    /// The NetBIOS name of its domain.
    pub domain: String,
    /// The NetBIOS name of the server.
    pub computer: String,
    /// The DNS name of its domain, and of the tree that it is in.
    pub dns_domain: String,
    /// The DNS name of the server.
    pub dns_computer: String,
    /// What its clock shows; servers of before 2008 do not say it.
    pub time: Option<FileTime>,
}

impl Offer {
    /// The token.
    ///
    /// # Errors
    /// [`NtlmError::TooLong`]: the names have no room in a token.
    pub fn write(&self) -> Result<Vec<u8>, NtlmError> {
        let mut properties = Vec::new();
        for (id, name) in [
            (av::DOMAIN, &self.domain),
            (av::COMPUTER, &self.computer),
            (av::DNS_DOMAIN, &self.dns_domain),
            (av::DNS_COMPUTER, &self.dns_computer),
            (av::DNS_TREE, &self.dns_domain),
        ] {
            push_property(&mut properties, id, &utf16(name))?;
        }
        if let Some(time) = self.time {
            push_property(&mut properties, av::TIMESTAMP, &time.0.to_le_bytes())?;
        }
        push_property(&mut properties, av::END, &[])?;

        let mut places = Writer::new(FIXED);
        let name = places.field(0, Place::TargetName)?;
        let info = places.field(properties.len(), Place::TargetInfo)?;
        let mut token = begin(challenge::KIND, places.end());
        token.extend_from_slice(&name);
        token.extend_from_slice(&self.flags.0.to_le_bytes());
        token.extend_from_slice(&self.nonce);
        token.extend_from_slice(&[0; 8]);
        token.extend_from_slice(&info);
        token.extend_from_slice(&self.version);
        token.extend_from_slice(&properties);
        Ok(token)
    }
}

/// What a client answers with, read and found strong enough to be verified.
#[derive(Clone)]
pub struct Authenticate<'a> {
    bytes: &'a [u8],
    flags: Flags,
    domain: String,
    user: String,
    workstation: String,
    proof: [u8; 16],
    /// All that is proved besides the server's nonce.
    proved: &'a [u8],
    time: FileTime,
    session_key: Zeroizing<[u8; 16]>,
    mic: Option<[u8; 16]>,
}

impl<'a> Authenticate<'a> {
    /// Reads a token.
    ///
    /// # Errors
    /// [`NtlmError::Malformed`]; [`NtlmError::Weak`] where the client has not chosen all that is needed;
    /// [`NtlmError::OldResponse`] where its response is not of version 2.
    pub fn parse(token: &'a [u8]) -> Result<Self, NtlmError> {
        let reader = Reader::new(token, authenticate::KIND, ANSWER_FIXED)?;
        let [lm, nt, domain, user, workstation, key] = [
            (12, Place::LmResponse),
            (20, Place::NtResponse),
            (28, Place::Domain),
            (36, Place::User),
            (44, Place::Workstation),
            (52, Place::SessionKey),
        ]
        .map(|(at, place)| reader.field(at, place).map(|field| (field, place)));
        let fields = [lm?, nt?, domain?, user?, workstation?, key?];
        token::apart(&fields)?;
        let [_, (nt, _), (domain, _), (user, _), (workstation, _), (key, _)] = fields;
        let flags = Flags(reader.u32(60, Place::Token)?);
        flags.check()?;

        let response = Response::parse(nt.bytes)?;
        let session_key = key
            .bytes
            .try_into()
            .map_err(|_| malformed(Place::SessionKey, "not of 16 bytes"))?;
        let mic = if response.has_mic {
            let begins = fields.iter().filter(|(field, _)| !field.bytes.is_empty());
            let first = begins.map(|(field, _)| field.start).min();
            if first.is_none_or(|first| first < authenticate::FIXED + 16) {
                return Err(malformed(Place::Mic, "no room for it"));
            }
            Some(reader.array(authenticate::FIXED, Place::Mic)?)
        } else {
            None
        };
        Ok(Self {
            bytes: reader.bytes(),
            flags,
            domain: token::text(domain.bytes, Place::Domain)?,
            user: token::text(user.bytes, Place::User)?,
            workstation: token::text(workstation.bytes, Place::Workstation)?,
            proof: response.proof,
            proved: response.proved,
            time: response.time,
            session_key: Zeroizing::new(session_key),
            mic,
        })
    }

    /// The user's name, or a UPN.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The name of the user's domain; empty with a UPN.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The name of the client's host.
    pub fn workstation(&self) -> &str {
        &self.workstation
    }

    /// What the client has chosen.
    pub const fn flags(&self) -> Flags {
        self.flags
    }

    /// What time the client says it is: the server's own where its challenge said it. For a server that looks for old
    /// answers and for clocks that are wrong ([`MAX_SKEW`](super::MAX_SKEW)).
    pub const fn time(&self) -> FileTime {
        self.time
    }

    /// Verifies the answer to `challenge`, the token that this server has sent, in constant time: the keys of the session.
    ///
    /// # Errors
    /// [`NtlmError::WrongProof`] where it was not made with this password; [`NtlmError::WrongMic`].
    pub fn verify(&self, challenge: &Challenge<'_>, hash: &NtHash) -> Result<Keys, NtlmError> {
        let key = hash.response_key(&self.user, &self.domain);
        let expected = hmac(&key, &[&challenge.nonce, self.proved]);
        if !same(&*expected, &self.proof) {
            return Err(NtlmError::WrongProof);
        }
        let base = hmac(&key, &[&self.proof]);
        let session = rc4(&base, self.session_key.clone());
        if let Some(mic) = &self.mic {
            let (before, rest) = self
                .bytes
                .split_at_checked(authenticate::FIXED)
                .unwrap_or_default();
            let after = rest.get(mic.len()..).unwrap_or_default();
            let expected = hmac(&session, &[challenge.bytes, before, &[0; 16], after]);
            if !same(&*expected, mic) {
                return Err(NtlmError::WrongMic);
            }
        }
        Ok(Keys::of_server(&session))
    }
}

impl fmt::Debug for Authenticate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticate")
            .field("flags", &self.flags)
            .field("domain", &self.domain)
            .field("user", &self.user)
            .field("workstation", &self.workstation)
            .field("time", &self.time)
            .finish_non_exhaustive()
    }
}

/// A response of version 2.
struct Response<'a> {
    proof: [u8; 16],
    proved: &'a [u8],
    time: FileTime,
    has_mic: bool,
}

impl<'a> Response<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, NtlmError> {
        let bad = |what| malformed(Place::NtResponse, what);
        // One of version 1 has 24 bytes; none at all is anonymous, or LM alone.
        if bytes.len() <= 24 {
            return Err(NtlmError::OldResponse);
        }
        let Some((proof, proved)) = bytes.split_first_chunk() else {
            return Err(bad("shorter than its fixed part"));
        };
        let Some((head, properties)) = proved.split_first_chunk::<RESPONSE_HEAD>() else {
            return Err(bad("shorter than its fixed part"));
        };
        let (&[version, highest, ..], Some(time)) = (head, head.get(8..).and_then(|rest| rest.first_chunk()))
        else {
            return Err(bad("shorter than its fixed part"));
        };
        if (version, highest) != (1, 1) {
            return Err(bad("unknown version"));
        }
        let target = TargetInfo::parse(properties)?;
        Ok(Self {
            proof: *proof,
            proved,
            time: FileTime(u64::from_le_bytes(*time)),
            has_mic: target.has_mic(),
        })
    }
}
