//! Whose password it is, and what is kept of it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use md4::{Digest, Md4};
use zeroize::Zeroizing;

use super::keys::{Key, hmac};
use super::token::utf16;
use crate::security::encoding::from_hex;
use crate::security::{Secret, same};

/// What Windows keeps of a password: its MD4. It proves the user as the password does.
#[derive(Clone)]
pub struct NtHash(Key);

impl NtHash {
    /// The hash of a password.
    pub fn of(password: &Secret) -> Self {
        let mut hasher = Md4::new();
        for unit in password.expose().encode_utf16() {
            hasher.update(unit.to_le_bytes());
        }
        Self(Zeroizing::new(hasher.finalize().into()))
    }

    /// A hash that was kept.
    pub fn new(hash: [u8; 16]) -> Self {
        Self(Zeroizing::new(hash))
    }

    /// A hash that was kept as 32 hexadecimal digits; `None` where it is not that.
    pub fn from_hex(digits: &str) -> Option<Self> {
        let mut hash = Zeroizing::new([0; 16]);
        if digits.len() != 2 * hash.len() {
            return None;
        }
        for (place, octet) in hash.iter_mut().zip(from_hex(digits)?) {
            *place = octet;
        }
        Some(Self(hash))
    }

    /// NTOWFv2 (MS-NLMP section 3.3.2): the key of this user's responses. The domain counts as it is written, the user in
    /// upper case.
    pub(super) fn response_key(&self, user: &str, domain: &str) -> Key {
        let user: Vec<u8> = user.chars().map(upper).flat_map(utf16_of).collect();
        hmac(&self.0, &[&user, &utf16(domain)])
    }
}

impl PartialEq for NtHash {
    fn eq(&self, other: &Self) -> bool {
        same(&*self.0, &*other.0)
    }
}

impl Eq for NtHash {}

impl fmt::Debug for NtHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NtHash(..)")
    }
}

fn utf16_of(c: char) -> impl Iterator<Item = u8> {
    let mut units = [0; 2];
    let length = c.encode_utf16(&mut units).len();
    units.into_iter().take(length).flat_map(u16::to_le_bytes)
}

/// The upper case of one character that is one character (Unicode's `Simple_Uppercase_Mapping`).
///
/// The library knows the full one. Where that is several characters there is no simple one, but for Greek letters with an
/// iota below, whose capital is a letter of its own.
fn upper(c: char) -> char {
    let mut full = c.to_uppercase();
    match (full.next(), full.next(), c) {
        (Some(only), None, _) => only,
        (_, _, '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}') => {
            char::from_u32(u32::from(c) + 8).unwrap_or(c)
        }
        (_, _, '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}') => char::from_u32(u32::from(c) + 9).unwrap_or(c),
        _ => c,
    }
}

/// A user as NTLM names one, with what proves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user's name, or all of `user@domain` in DNS names (a UPN).
    pub user: String,
    /// The domain's name. Empty with a UPN.
    pub domain: String,
    /// The hash of the password.
    pub hash: NtHash,
}

impl Identity {
    /// The user of this name: with a domain, or `DOMAIN\user`, or `user@domain` (a UPN), or alone.
    pub fn new(user: &str, domain: Option<&str>, hash: NtHash) -> Self {
        let (domain, user) = match domain {
            Some(domain) => (domain, user),
            None => user.split_once('\\').unwrap_or(("", user)),
        };
        Self {
            user: user.into(),
            domain: domain.into(),
            hash,
        }
    }
}
