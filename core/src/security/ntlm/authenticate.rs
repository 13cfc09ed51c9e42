//! AUTHENTICATE as a client writes it (MS-NLMP sections 2.2.1.3 and 3.1.5.2).

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use zeroize::Zeroizing;

use super::keys::{Key, hmac, rc4};
use super::token::{Flags, HAS_MIC, Place, TargetInfo, Writer, av, begin, push_property, utf16};
use super::{Challenge, FileTime, Identity, Keys, NtlmError};

/// The type of the token.
pub(super) const KIND: u32 = 3;

/// The fixed part with the version; and where the MIC stands, if there is one.
pub(super) const FIXED: usize = 72;

/// How long a MIC is.
const MIC: usize = 16;

/// What stands before the target's properties in a response of version 2 behind its proof, and what behind them.
pub(super) const RESPONSE_HEAD: usize = 28;
const RESPONSE_TAIL: usize = 4;

/// What a client says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The name of the client's host. Servers log it; it may be empty.
    pub workstation: String,
    /// The version of the operating system (MS-NLMP section 2.2.2.10), which nobody acts on.
    pub version: [u8; 8],
    /// Whether to send a MIC to a server that says its time. No server of this time asks for it.
    pub mic: bool,
}

impl Default for Client {
    /// A client without a name, with the version of MS-NLMP's own examples (5.1.2600, revision 15), and without a MIC.
    fn default() -> Self {
        Self {
            workstation: String::new(),
            version: [5, 1, 0x28, 0x0a, 0, 0, 0, 15],
            mic: false,
        }
    }
}

/// What is new in each answer.
#[derive(Clone)]
pub struct Fresh {
    client_challenge: [u8; 8],
    session_key: Key,
    now: FileTime,
}

impl Fresh {
    /// Eight random bytes, the random key of the session, and the time: the server's clock as it is known here, which
    /// counts where the server's challenge does not say it.
    pub fn new(client_challenge: [u8; 8], session_key: [u8; 16], now: FileTime) -> Self {
        Self {
            client_challenge,
            session_key: Zeroizing::new(session_key),
            now,
        }
    }
}

impl fmt::Debug for Fresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fresh")
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

/// Answers a challenge: the token to send and the keys of the session.
///
/// # Errors
/// [`NtlmError::TooLong`]: a name, or the target's properties, have no room in a token.
pub fn authenticate(
    challenge: &Challenge<'_>,
    identity: &Identity,
    client: &Client,
    fresh: &Fresh,
) -> Result<(Vec<u8>, Keys), NtlmError> {
    let flags = challenge.flags.and(Flags::WANTED).with(Flags::REQUEST_TARGET);
    let target = &challenge.target;
    // Properties that say so already are repeated as they are, and what they say has to hold.
    let mic = (client.mic && target.time.is_some()) || target.has_mic();
    let properties = if mic {
        with_mic_flag(target)?
    } else {
        Cow::Borrowed(target.bytes)
    };

    let domain = utf16(&identity.domain);
    let user = utf16(&identity.user);
    let workstation = utf16(&client.workstation);
    let key = identity.hash.response_key(&identity.user, &identity.domain);
    let lm = lm_response(&key, challenge, fresh);
    let nt = nt_response(&key, challenge, &properties, fresh);
    // The base key of the session, and what it is exchanged with (section 3.4.5.1).
    let base = hmac(&key, &[nt.get(..16).unwrap_or_default()]);
    let exchanged = rc4(&base, fresh.session_key.clone());

    let fixed = if mic { FIXED + MIC } else { FIXED };
    let mut places = Writer::new(fixed);
    let domain_at = places.field(domain.len(), Place::Domain)?;
    let user_at = places.field(user.len(), Place::User)?;
    let workstation_at = places.field(workstation.len(), Place::Workstation)?;
    let lm_at = places.field(lm.len(), Place::LmResponse)?;
    let nt_at = places.field(nt.len(), Place::NtResponse)?;
    let key_at = places.field(exchanged.len(), Place::SessionKey)?;

    let mut token = begin(KIND, places.end());
    for field in [lm_at, nt_at, domain_at, user_at, workstation_at, key_at] {
        token.extend_from_slice(&field);
    }
    token.extend_from_slice(&flags.0.to_le_bytes());
    let is_told = flags.has(Flags::VERSION);
    token.extend_from_slice(&if is_told { client.version } else { [0; 8] });
    token.resize(fixed, 0);
    for part in [&domain, &user, &workstation, &lm[..], &nt, &exchanged[..]] {
        token.extend_from_slice(part);
    }
    if mic {
        let proof = hmac(&fresh.session_key, &[challenge.bytes, &token]);
        for (place, octet) in token.iter_mut().skip(FIXED).zip(proof.iter()) {
            *place = *octet;
        }
    }
    Ok((token, Keys::of_client(&fresh.session_key)))
}

/// LMv2, which the servers take that say no time; for the others it is empty of meaning (section 3.1.5.1.2).
fn lm_response(key: &Key, challenge: &Challenge<'_>, fresh: &Fresh) -> [u8; 24] {
    let mut response = [0; 24];
    if challenge.target.time.is_none() {
        let proof = hmac(key, &[&challenge.nonce, &fresh.client_challenge]);
        let octets = proof.iter().chain(&fresh.client_challenge);
        for (place, octet) in response.iter_mut().zip(octets) {
            *place = *octet;
        }
    }
    response
}

/// The proof of the password over both nonces, the time and the target's properties, and all of these (section 3.3.2).
fn nt_response(key: &Key, challenge: &Challenge<'_>, properties: &[u8], fresh: &Fresh) -> Vec<u8> {
    let time = challenge.target.time.unwrap_or(fresh.now);
    let mut response = Vec::with_capacity(16 + RESPONSE_HEAD + properties.len() + RESPONSE_TAIL);
    response.resize(16, 0);
    // The version of the response, and the highest that is known.
    response.extend_from_slice(&[1, 1, 0, 0, 0, 0, 0, 0]);
    response.extend_from_slice(&time.0.to_le_bytes());
    response.extend_from_slice(&fresh.client_challenge);
    response.extend_from_slice(&[0; 4]);
    response.extend_from_slice(properties);
    response.extend_from_slice(&[0; RESPONSE_TAIL]);
    let (proof, proved) = response.split_at_mut(16);
    proof.copy_from_slice(&*hmac(key, &[&challenge.nonce, proved]));
    response
}

/// The target's properties with the one that says that there is a MIC.
fn with_mic_flag<'a>(target: &TargetInfo<'a>) -> Result<Cow<'a, [u8]>, NtlmError> {
    let mut properties = target.bytes.to_vec();
    let (at, flags) = match target.flags {
        Some(found) => found,
        None => {
            let mut property = Vec::new();
            push_property(&mut property, av::FLAGS, &[0; 4])?;
            properties.splice(target.end..target.end, property);
            (target.end + 4, 0)
        }
    };
    for (place, octet) in properties
        .iter_mut()
        .skip(at)
        .zip((flags | HAS_MIC).to_le_bytes())
    {
        *place = octet;
    }
    Ok(Cow::Owned(properties))
}
