//! The keys of a session and the signatures made with them (MS-NLMP section 3.4).

use core::fmt;

use hmac::{Hmac, Mac};
use md5::{Digest, Md5};
use rc4::consts::U16;
use rc4::{KeyInit, Rc4, StreamCipher};
use zeroize::Zeroizing;

use crate::security::same;

/// Sixteen bytes that are wiped.
pub(super) type Key = Zeroizing<[u8; 16]>;

/// How many bytes a signature has.
pub const SIGNATURE: usize = 16;

/// The sequence number of every message in both directions. SIP has its own numbers, and messages may pass each other.
const SEQUENCE: [u8; 4] = 100u32.to_le_bytes();

/// The version of a signature.
const VERSION: [u8; 4] = 1u32.to_le_bytes();

/// HMAC-MD5 of the parts, one after the other.
pub(super) fn hmac(key: &Key, parts: &[&[u8]]) -> Key {
    // A key shorter than a block is one with zeros behind it (RFC 2104).
    let mut block = Zeroizing::new([0; 64]);
    if let Some(begin) = block.first_chunk_mut() {
        *begin = **key;
    }
    let mut mac = <Hmac<Md5> as Mac>::new((&*block).into());
    for part in parts {
        mac.update(part);
    }
    Zeroizing::new(mac.finalize().into_bytes().into())
}

/// Encrypts, or decrypts, what a key encrypts first.
pub(super) fn rc4<const N: usize>(key: &Key, mut data: Zeroizing<[u8; N]>) -> Zeroizing<[u8; N]>
where
    [u8; N]: zeroize::Zeroize,
{
    Rc4::<U16>::new((&**key).into()).apply_keystream(&mut *data);
    data
}

/// The key of one direction and use, from the key of the session.
fn derive(session: &Key, use_of: &str) -> Key {
    let mut hasher = Md5::new();
    hasher.update(**session);
    hasher.update(b"session key to ");
    hasher.update(use_of);
    hasher.update(b" key magic constant\0");
    Zeroizing::new(hasher.finalize().into())
}

/// What signs the messages of one side.
///
/// The sequence number is always the same and the sealing key begins anew with each message, so that the checksum is
/// always encrypted with the same eight bytes: only they are kept of that key.
#[derive(Clone)]
struct Direction {
    sign: Key,
    pad: Zeroizing<[u8; 8]>,
}

impl Direction {
    fn new(sign: Key, seal: &Key) -> Self {
        let mut hasher = Md5::new();
        hasher.update(**seal);
        hasher.update(SEQUENCE);
        let key = Zeroizing::new(hasher.finalize().into());
        Self {
            sign,
            pad: rc4(&key, Zeroizing::new([0; 8])),
        }
    }

    fn signature(&self, buffer: &[u8]) -> [u8; SIGNATURE] {
        let checksum = hmac(&self.sign, &[&SEQUENCE, buffer]);
        let [v0, v1, v2, v3] = VERSION;
        let [s0, s1, s2, s3] = SEQUENCE;
        let mut signature = [v0, v1, v2, v3, 0, 0, 0, 0, 0, 0, 0, 0, s0, s1, s2, s3];
        let encrypted = checksum.iter().zip(self.pad.iter()).map(|(sum, pad)| sum ^ pad);
        for (place, octet) in signature.iter_mut().skip(4).zip(encrypted) {
            *place = octet;
        }
        signature
    }
}

/// The keys of a session, for what this side signs and what the other one does.
#[derive(Clone)]
pub struct Keys {
    own: Direction,
    peer: Direction,
}

impl Keys {
    /// A client's keys.
    pub(super) fn of_client(session: &Key) -> Self {
        Self {
            own: Direction::new(
                derive(session, "client-to-server signing"),
                &derive(session, "client-to-server sealing"),
            ),
            peer: Direction::new(
                derive(session, "server-to-client signing"),
                &derive(session, "server-to-client sealing"),
            ),
        }
    }

    /// A server's keys.
    pub(super) fn of_server(session: &Key) -> Self {
        let Self { own, peer } = Self::of_client(session);
        Self { own: peer, peer: own }
    }

    /// Signs what is to be sent.
    pub fn sign(&self, buffer: &[u8]) -> [u8; SIGNATURE] {
        self.own.signature(buffer)
    }

    /// Whether the other side has signed this, compared in constant time.
    pub fn verify(&self, buffer: &[u8], signature: &[u8]) -> bool {
        same(&self.peer.signature(buffer), signature)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(..)")
    }
}
