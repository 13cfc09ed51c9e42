//! What the tokens share: their head, fields that point into them, flags, and the list of a target's properties
//! (MS-NLMP section 2.2).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::{FileTime, NtlmError};
use crate::security::encoding::MAX_TOKEN;

/// A place in a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The token as a whole.
    Token,
    /// `NTLMSSP` at its beginning.
    Signature,
    /// The type of the message.
    MessageType,
    /// The name of the target.
    TargetName,
    /// The list of the target's properties.
    TargetInfo,
    /// One property in that list, by its number (MS-NLMP section 2.2.2.1).
    AvPair(u16),
    /// The name of the user's domain.
    Domain,
    /// The user's name.
    User,
    /// The name of the client's host.
    Workstation,
    /// The response of LM.
    LmResponse,
    /// The response of NTLM.
    NtResponse,
    /// The key of the session.
    SessionKey,
    /// The proof over both tokens.
    Mic,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token => "token",
            Self::Signature => "signature",
            Self::MessageType => "message type",
            Self::TargetName => "target name",
            Self::TargetInfo => "target info",
            Self::AvPair(id) => return write!(f, "target info, property {id}"),
            Self::Domain => "domain",
            Self::User => "user",
            Self::Workstation => "workstation",
            Self::LmResponse => "LM response",
            Self::NtResponse => "NT response",
            Self::SessionKey => "session key",
            Self::Mic => "MIC",
        })
    }
}

/// What both sides can do and choose (MS-NLMP section 2.2.2.5).
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u32);

impl Flags {
    /// Text is UTF-16.
    pub const UNICODE: Self = Self(0x1);
    /// The target's name is asked for.
    pub const REQUEST_TARGET: Self = Self(0x4);
    /// Messages are signed.
    pub const SIGN: Self = Self(0x10);
    /// Connectionless.
    pub const DATAGRAM: Self = Self(0x40);
    /// NTLM responses.
    pub const NTLM: Self = Self(0x200);
    /// Signatures are there even where they prove nothing.
    pub const ALWAYS_SIGN: Self = Self(0x8000);
    /// Extended session security: signatures with HMAC.
    pub const EXTENDED_SESSION_SECURITY: Self = Self(0x8_0000);
    /// The server may learn who the user is and not act for them.
    pub const IDENTIFY: Self = Self(0x10_0000);
    /// The target's properties are in the challenge.
    pub const TARGET_INFO: Self = Self(0x80_0000);
    /// The version of the implementation is in the token.
    pub const VERSION: Self = Self(0x200_0000);
    /// Keys of 128 bits.
    pub const KEY_128: Self = Self(0x2000_0000);
    /// The client chooses the key of the session.
    pub const KEY_EXCHANGE: Self = Self(0x4000_0000);

    /// What is needed of every peer.
    pub(super) const NEEDED: Self = Self(
        Self::UNICODE.0
            | Self::SIGN.0
            | Self::DATAGRAM.0
            | Self::NTLM.0
            | Self::ALWAYS_SIGN.0
            | Self::EXTENDED_SESSION_SECURITY.0
            | Self::TARGET_INFO.0
            | Self::KEY_128.0
            | Self::KEY_EXCHANGE.0,
    );

    /// What is chosen of that which a server offers; keys of 56 bits are not, those of 128 are needed.
    pub(super) const WANTED: Self = Self(Self::NEEDED.0 | Self::IDENTIFY.0 | Self::VERSION.0);

    /// Whether all of these are set.
    pub const fn has(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    pub(super) const fn with(self, flags: Self) -> Self {
        Self(self.0 | flags.0)
    }

    pub(super) const fn and(self, flags: Self) -> Self {
        Self(self.0 & flags.0)
    }

    /// # Errors
    /// What is needed is not all set.
    pub(super) const fn check(self) -> Result<(), NtlmError> {
        let missing = Self(Self::NEEDED.0 & !self.0);
        if missing.0 == 0 {
            Ok(())
        } else {
            Err(NtlmError::Weak { missing })
        }
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

const HEAD: &[u8; 8] = b"NTLMSSP\0";

/// The head of a token of this type.
pub(super) fn begin(kind: u32, capacity: usize) -> Vec<u8> {
    let mut token = Vec::with_capacity(capacity);
    token.extend_from_slice(HEAD);
    token.extend_from_slice(&kind.to_le_bytes());
    token
}

pub(super) const fn malformed(place: Place, what: &'static str) -> NtlmError {
    NtlmError::Malformed { place, what }
}

/// A token that is read. Fields in its fixed part point at what follows it.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    fixed: usize,
}

impl<'a> Reader<'a> {
    /// Reads the head of a token of this type whose fixed part has this length at least.
    pub(super) fn new(bytes: &'a [u8], kind: u32, fixed: usize) -> Result<Self, NtlmError> {
        if bytes.len() > MAX_TOKEN {
            return Err(malformed(Place::Token, "longer than a token may be"));
        }
        let reader = Self { bytes, fixed };
        if reader.array(0, Place::Signature)? != *HEAD {
            return Err(malformed(Place::Signature, "not NTLMSSP"));
        }
        if reader.u32(8, Place::MessageType)? != kind {
            return Err(malformed(Place::MessageType, "another message is expected"));
        }
        if bytes.len() < fixed {
            return Err(malformed(Place::Token, "shorter than its fixed part"));
        }
        Ok(reader)
    }

    pub(super) const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn array<const N: usize>(&self, at: usize, place: Place) -> Result<[u8; N], NtlmError> {
        let found = self.bytes.get(at..).and_then(|rest| rest.first_chunk());
        found.copied().ok_or_else(|| malformed(place, "beyond the end"))
    }

    pub(super) fn u32(&self, at: usize, place: Place) -> Result<u32, NtlmError> {
        self.array(at, place).map(u32::from_le_bytes)
    }

    /// What the field at `at` points at. The space that it says it has besides its length means nothing, as does where an
    /// empty one points.
    pub(super) fn field(&self, at: usize, place: Place) -> Result<Field<'a>, NtlmError> {
        let [l0, l1, _, _, o0, o1, o2, o3] = self.array(at, place)?;
        let length = usize::from(u16::from_le_bytes([l0, l1]));
        if length == 0 {
            return Ok(Field::default());
        }
        let offset = u32::from_le_bytes([o0, o1, o2, o3]);
        let start = usize::try_from(offset).map_err(|_| malformed(place, "beyond the end"))?;
        if start < self.fixed {
            return Err(malformed(place, "inside the fixed part"));
        }
        let bytes = self.bytes.get(start..).and_then(|rest| rest.get(..length));
        match bytes {
            Some(bytes) => Ok(Field { start, bytes }),
            None => Err(malformed(place, "beyond the end")),
        }
    }
}

/// What a field points at.
#[derive(Clone, Copy, Default)]
pub(super) struct Field<'a> {
    pub(super) start: usize,
    pub(super) bytes: &'a [u8],
}

impl Field<'_> {
    const fn overlaps(&self, other: &Self) -> bool {
        !self.bytes.is_empty()
            && !other.bytes.is_empty()
            && self.start < other.start + other.bytes.len()
            && other.start < self.start + self.bytes.len()
    }
}

/// # Errors
/// Two of the fields share bytes: the later one is named.
pub(super) fn apart(fields: &[(Field<'_>, Place)]) -> Result<(), NtlmError> {
    for (at, (field, place)) in fields.iter().enumerate() {
        if fields.iter().take(at).any(|(other, _)| field.overlaps(other)) {
            return Err(malformed(*place, "overlaps another field"));
        }
    }
    Ok(())
}

/// Where the fields of a token that is written point: one after the other behind its fixed part.
pub(super) struct Writer {
    at: usize,
}

impl Writer {
    pub(super) const fn new(fixed: usize) -> Self {
        Self { at: fixed }
    }

    /// The field for what has this length and comes next.
    pub(super) fn field(&mut self, length: usize, place: Place) -> Result<[u8; 8], NtlmError> {
        let too_long = NtlmError::TooLong(place);
        let [l0, l1] = u16::try_from(length).map_err(|_| too_long)?.to_le_bytes();
        let [o0, o1, o2, o3] = u32::try_from(self.at).map_err(|_| too_long)?.to_le_bytes();
        self.at += length;
        if self.at > MAX_TOKEN {
            return Err(too_long);
        }
        Ok([l0, l1, l0, l1, o0, o1, o2, o3])
    }

    /// The length of the token.
    pub(super) const fn end(&self) -> usize {
        self.at
    }
}

/// Text as tokens have it.
pub(super) fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// The text of a field.
pub(super) fn text(bytes: &[u8], place: Place) -> Result<String, NtlmError> {
    let (units, rest) = bytes.as_chunks::<2>();
    let units = units.iter().map(|unit| u16::from_le_bytes(*unit));
    let text: Result<String, _> = char::decode_utf16(units).collect();
    match text {
        Ok(text) if rest.is_empty() => Ok(text),
        _ => Err(malformed(place, "not UTF-16")),
    }
}

/// The properties of a target (MS-NLMP section 2.2.2.1).
pub(super) mod av {
    pub(crate) const END: u16 = 0;
    pub(crate) const COMPUTER: u16 = 1;
    pub(crate) const DOMAIN: u16 = 2;
    pub(crate) const DNS_COMPUTER: u16 = 3;
    pub(crate) const DNS_DOMAIN: u16 = 4;
    pub(crate) const DNS_TREE: u16 = 5;
    pub(crate) const FLAGS: u16 = 6;
    pub(crate) const TIMESTAMP: u16 = 7;
}

/// How many properties a list may have: ten are defined.
const MAX_PROPERTIES: usize = 32;

/// In the property [`av::FLAGS`]: there is a MIC.
pub(super) const HAS_MIC: u32 = 2;

/// A list of a target's properties.
#[derive(Clone, Copy)]
pub(super) struct TargetInfo<'a> {
    /// All that was sent, which may go on behind the end of the list.
    pub(super) bytes: &'a [u8],
    /// Where the property stands that ends the list.
    pub(super) end: usize,
    pub(super) time: Option<FileTime>,
    /// Where the value of [`av::FLAGS`] stands, and what it is.
    pub(super) flags: Option<(usize, u32)>,
}

impl<'a> TargetInfo<'a> {
    /// Reads a list to its end.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, NtlmError> {
        let mut info = Self {
            bytes,
            end: 0,
            time: None,
            flags: None,
        };
        let mut seen = [None; MAX_PROPERTIES];
        for slot in &mut seen {
            let (id, value) = property(bytes, info.end)?;
            let bad = |what| malformed(Place::AvPair(id), what);
            match id {
                av::END if value.is_empty() => return without_repeats(seen).map(|()| info),
                av::END => return Err(bad("an end with a value")),
                av::TIMESTAMP => {
                    let ticks = value.try_into().map_err(|_| bad("not of 8 bytes"))?;
                    info.time = Some(FileTime(u64::from_le_bytes(ticks)));
                }
                av::FLAGS => {
                    let flags = value.try_into().map_err(|_| bad("not of 4 bytes"))?;
                    info.flags = Some((info.end + 4, u32::from_le_bytes(flags)));
                }
                _ => {}
            }
            *slot = Some(id);
            info.end += 4 + value.len();
        }
        Err(malformed(Place::TargetInfo, "too many properties"))
    }

    /// Whether it says that there is a MIC.
    pub(super) fn has_mic(&self) -> bool {
        self.flags.is_some_and(|(_, flags)| flags & HAS_MIC != 0)
    }

    /// The value of a property.
    pub(super) fn value(&self, wanted: u16) -> Option<&'a [u8]> {
        let mut at = 0;
        while at < self.end {
            // The list has been read to its end.
            let (id, value) = property(self.bytes, at).ok()?;
            if id == wanted {
                return Some(value);
            }
            at += 4 + value.len();
        }
        None
    }
}

/// The property at `at`: its number and value.
fn property(bytes: &[u8], at: usize) -> Result<(u16, &[u8]), NtlmError> {
    let head = bytes.get(at..).and_then(|rest| rest.split_first_chunk::<4>());
    let Some((&[i0, i1, l0, l1], rest)) = head else {
        return Err(malformed(Place::TargetInfo, "no end of the list"));
    };
    let id = u16::from_le_bytes([i0, i1]);
    match rest.get(..usize::from(u16::from_le_bytes([l0, l1]))) {
        Some(value) => Ok((id, value)),
        None => Err(malformed(Place::AvPair(id), "beyond the end")),
    }
}

fn without_repeats(mut seen: [Option<u16>; MAX_PROPERTIES]) -> Result<(), NtlmError> {
    seen.sort_unstable();
    for pair in seen.windows(2) {
        if let [Some(id), Some(next)] = pair
            && id == next
        {
            return Err(malformed(Place::AvPair(*id), "given twice"));
        }
    }
    Ok(())
}

/// Appends a property.
pub(super) fn push_property(list: &mut Vec<u8>, id: u16, value: &[u8]) -> Result<(), NtlmError> {
    let length = u16::try_from(value.len()).map_err(|_| NtlmError::TooLong(Place::AvPair(id)))?;
    list.extend_from_slice(&id.to_le_bytes());
    list.extend_from_slice(&length.to_le_bytes());
    list.extend_from_slice(value);
    Ok(())
}
