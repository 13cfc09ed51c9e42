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

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    fn key(digits: &str) -> [u8; 16] {
        let octets = from_hex(digits).unwrap();
        octets.collect::<Vec<u8>>().try_into().unwrap()
    }

    // MS-NLMP sections 4.2.2.1.1 and 4.2.4.1.1.
    // rules: A1
    #[test]
    fn the_hash_of_a_password_and_the_key_of_a_user() {
        let hash = NtHash::of(&Secret::new("Password"));
        assert_eq!(hash, NtHash::new(key("a4f49c406510bdcab6824ee7c30fd852")));
        assert_eq!(
            *hash.response_key("User", "Domain"),
            key("0c868a403bfd7a93a3001ef22ef02e3f")
        );
        assert_eq!(
            hash.response_key("uSER", "Domain"),
            hash.response_key("USER", "Domain")
        );
        assert_ne!(
            hash.response_key("User", "DOMAIN"),
            hash.response_key("User", "Domain")
        );
    }

    // rules: A1
    #[test]
    fn a_kept_hash_stands_for_the_password() {
        let hash = NtHash::of(&Secret::new("Password"));
        assert_eq!(
            NtHash::from_hex("A4F49C406510bdcab6824ee7c30fd852").as_ref(),
            Some(&hash)
        );
        let bad = [
            "",
            "a4",
            "a4f49c406510bdcab6824ee7c30fd8520",
            "a4f49c406510bdcab6824ee7c30fd85g",
        ];
        for bad in bad {
            assert_eq!(NtHash::from_hex(bad), None, "{bad}");
        }
        assert_ne!(NtHash::of(&Secret::new("password")), hash);
    }

    // Unicode's UnicodeData.txt, the field Simple_Uppercase_Mapping.
    // rules: A1
    #[test]
    fn upper_case_is_one_character_for_one() {
        let known = [
            ('a', 'A'),
            ('Z', 'Z'),
            ('1', '1'),
            ('\u{e4}', '\u{c4}'),
            ('\u{ff}', '\u{178}'),
            ('\u{44f}', '\u{42f}'),
            // No simple capital, though several characters would do.
            ('\u{df}', '\u{df}'),
            ('\u{149}', '\u{149}'),
            ('\u{fb01}', '\u{fb01}'),
            ('\u{390}', '\u{390}'),
            // A capital with the iota beside it.
            ('\u{1f80}', '\u{1f88}'),
            ('\u{1f97}', '\u{1f9f}'),
            ('\u{1fa0}', '\u{1fa8}'),
            ('\u{1fb3}', '\u{1fbc}'),
            ('\u{1fc3}', '\u{1fcc}'),
            ('\u{1ff3}', '\u{1ffc}'),
            ('\u{1f88}', '\u{1f88}'),
            ('\u{10428}', '\u{10400}'),
        ];
        for (lower, expected) in known {
            assert_eq!(upper(lower), expected, "{lower}");
        }
    }

    // rules: A2
    #[test]
    fn a_user_is_named_in_four_ways() {
        let hash = || NtHash::new([1; 16]);
        let named = |user, domain| {
            let identity = Identity::new(user, domain, hash());
            (identity.domain, identity.user)
        };
        let pair = |domain: &str, user: &str| (String::from(domain), String::from(user));
        assert_eq!(named("alice", Some("CONTOSO")), pair("CONTOSO", "alice"));
        assert_eq!(named("CONTOSO\\alice", None), pair("CONTOSO", "alice"));
        assert_eq!(named("alice@contoso.com", None), pair("", "alice@contoso.com"));
        assert_eq!(named("alice", None), pair("", "alice"));
    }

    // rules: A9
    #[test]
    fn debug_output_has_no_hash() {
        let identity = Identity::new("alice", None, NtHash::of(&Secret::new("Password")));
        let shown = format!("{identity:?}");
        assert!(shown.contains("alice") && shown.contains("NtHash(..)"), "{shown}");
    }
}
