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

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::super::server::OFFERED;
    use super::*;
    use crate::security::encoding::MAX_TOKEN;

    /// A token with these flags, field for the target's name, and for its properties, and this behind the fixed part.
    fn token(flags: u32, name: [u16; 2], info: [u16; 2], rest: &[u8]) -> Vec<u8> {
        let field = |[length, offset]: [u16; 2]| {
            let mut field = Vec::from(length.to_le_bytes());
            field.extend(length.to_le_bytes());
            field.extend(u32::from(offset).to_le_bytes());
            field
        };
        let mut token = Vec::from(b"NTLMSSP\0\x02\0\0\0");
        token.extend(field(name));
        token.extend(flags.to_le_bytes());
        token.extend([7; 8]);
        token.extend([0; 8]);
        token.extend(field(info));
        token.extend(rest);
        token
    }

    /// One whose properties are these.
    fn with_properties(list: &[u8]) -> Vec<u8> {
        token(OFFERED.0, [0, 0], [u16::try_from(list.len()).unwrap(), 48], list)
    }

    fn fault(token: &[u8]) -> Option<(Place, &'static str)> {
        match Challenge::parse(token) {
            Err(NtlmError::Malformed { place, what }) => Some((place, what)),
            Err(_) | Ok(_) => None,
        }
    }

    // rules: A1
    #[test]
    fn a_good_one_is_read() {
        let list = b"\x02\0\x04\0A\0B\0\x07\0\x08\0\x01\0\0\0\0\0\0\0\x20\0\x01\0x\0\0\0\0more";
        let token = with_properties(list);
        let challenge = Challenge::parse(&token).unwrap();
        assert_eq!(challenge.flags(), OFFERED);
        assert_eq!(challenge.nonce(), [7; 8]);
        assert_eq!(challenge.time(), Some(FileTime(1)));
        assert_eq!(challenge.domain().as_deref(), Some("AB"));
        assert_eq!(challenge.target.bytes, list);
        assert!(format!("{challenge:?}").contains("0xe29882f3"));
        let bare = with_properties(&[0; 4]);
        let challenge = Challenge::parse(&bare).unwrap();
        assert_eq!((challenge.time(), challenge.domain()), (None, None));
    }

    // rules: A1
    #[test]
    fn a_malformed_one_is_refused_with_the_place() {
        let good = with_properties(&[0; 4]);
        let with = |at: usize, octet: u8| {
            let mut token = good.clone();
            token[at] = octet;
            token
        };
        let offered = OFFERED.0;
        let known = [
            (Vec::new(), Place::Signature, "beyond the end"),
            (with(7, 1), Place::Signature, "not NTLMSSP"),
            (good[..11].into(), Place::MessageType, "beyond the end"),
            (with(8, 1), Place::MessageType, "another message is expected"),
            (with(8, 3), Place::MessageType, "another message is expected"),
            (good[..47].into(), Place::Token, "shorter than its fixed part"),
            (good[..51].into(), Place::TargetInfo, "beyond the end"),
            (with(44, 49), Place::TargetInfo, "beyond the end"),
            (with(47, 255), Place::TargetInfo, "beyond the end"),
            (with(44, 47), Place::TargetInfo, "inside the fixed part"),
            (
                token(offered, [2, 8], [4, 48], &[0; 4]),
                Place::TargetName,
                "inside the fixed part",
            ),
            (
                token(offered, [2, 51], [4, 48], &[0; 4]),
                Place::TargetName,
                "beyond the end",
            ),
            (
                token(offered, [2, 50], [4, 48], &[0; 4]),
                Place::TargetInfo,
                "overlaps another field",
            ),
            (token(offered, [0, 0], [0, 48], &[]), Place::TargetInfo, "empty"),
        ];
        for (token, place, what) in known {
            assert_eq!(fault(&token), Some((place, what)), "{token:?}");
        }
        assert_eq!(fault(&token(offered, [2, 52], [4, 48], &[0; 6])), None);
        let mut long = good.clone();
        long.resize(MAX_TOKEN, 0);
        assert_eq!(fault(&long), None);
        long.push(0);
        assert_eq!(fault(&long), Some((Place::Token, "longer than a token may be")));
    }

    // rules: A1
    #[test]
    fn a_malformed_list_is_refused_with_the_property() {
        let known: [(&[u8], Place, &str); 9] = [
            (b"\0", Place::TargetInfo, "no end of the list"),
            (b"\x02\0\0\0", Place::TargetInfo, "no end of the list"),
            (b"\x02\0\x02\0A\0\0\0\0", Place::TargetInfo, "no end of the list"),
            (b"\x02\0\x02\0A", Place::AvPair(2), "beyond the end"),
            (b"\x02\0\xff\xff\0\0\0\0", Place::AvPair(2), "beyond the end"),
            (b"\0\0\x01\0x", Place::AvPair(0), "an end with a value"),
            (b"\x07\0\x04\0abcd\0\0\0\0", Place::AvPair(7), "not of 8 bytes"),
            (b"\x06\0\x02\0ab\0\0\0\0", Place::AvPair(6), "not of 4 bytes"),
            (
                b"\x20\0\0\0\x02\0\0\0\x20\0\x01\0x\0\0\0\0",
                Place::AvPair(32),
                "given twice",
            ),
        ];
        for (list, place, what) in known {
            assert_eq!(fault(&with_properties(list)), Some((place, what)), "{list:?}");
        }
        // The end is one of them.
        let many = |count: u8| -> Vec<u8> {
            let properties = (1..=count).flat_map(|id| [id + 64, 0, 0, 0]);
            properties.chain([0; 4]).collect()
        };
        assert_eq!(fault(&with_properties(&many(31))), None);
        let fault = fault(&with_properties(&many(32)));
        assert_eq!(fault, Some((Place::TargetInfo, "too many properties")));
    }

    // What a server does not offer is named. None of it can be left out.
    // rules: A1
    #[test]
    fn a_weak_one_is_refused_with_what_is_missing() {
        let needed = [
            Flags::UNICODE,
            Flags::SIGN,
            Flags::DATAGRAM,
            Flags::NTLM,
            Flags::ALWAYS_SIGN,
            Flags::EXTENDED_SESSION_SECURITY,
            Flags::TARGET_INFO,
            Flags::KEY_128,
            Flags::KEY_EXCHANGE,
        ];
        for missing in needed {
            let token = token(OFFERED.0 & !missing.0, [0, 0], [4, 48], &[0; 4]);
            let refused = Challenge::parse(&token).map(|_| ());
            assert_eq!(refused, Err(NtlmError::Weak { missing }));
        }
        for missing in [Flags::IDENTIFY, Flags::VERSION] {
            let token = token(OFFERED.0 & !missing.0, [0, 0], [4, 48], &[0; 4]);
            assert!(Challenge::parse(&token).is_ok(), "{missing:?}");
        }
        let error = NtlmError::Weak {
            missing: Flags::KEY_128,
        };
        assert_eq!(format!("{error}"), "incompatible NTLM flags: 0x20000000 missing");
        let error = malformed(Place::AvPair(7), "not of 8 bytes");
        assert_eq!(format!("{error}"), "NTLM target info, property 7: not of 8 bytes");
    }

    proptest! {
        // rules: A1
        #[test]
        fn any_bytes_are_read_or_refused(
            list in prop::collection::vec(any::<u8>(), 0..80), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let _ = Challenge::parse(&list);
            let mut token = with_properties(&list);
            let _ = Challenge::parse(&token);
            for (at, octet) in changes {
                let at = at.index(token.len());
                token[at] = octet;
            }
            if let Ok(challenge) = Challenge::parse(&token) {
                let _ = format!("{challenge:?}");
            }
        }
    }
}
