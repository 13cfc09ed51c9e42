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

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn key(digits: &str) -> Key {
        let octets = crate::security::encoding::from_hex(digits).unwrap();
        Zeroizing::new(octets.collect::<Vec<u8>>().try_into().unwrap())
    }

    fn bytes(digits: &str) -> Vec<u8> {
        crate::security::encoding::from_hex(digits).unwrap().collect()
    }

    // RFC 2202, case 1.
    #[test]
    fn hmac_md5() {
        let expected = key("9294727a3638bb1c13f48ef8158bfc9d");
        assert_eq!(hmac(&Zeroizing::new([0x0b; 16]), &[b"Hi There"]), expected);
        assert_eq!(
            hmac(&Zeroizing::new([0x0b; 16]), &[b"Hi", b"", b" There"]),
            expected
        );
    }

    // MS-NLMP section 4.2.4.4: the keys of the session key 55..55, and the checksum that is to be encrypted.
    // rules: A4
    #[test]
    fn keys_of_a_session() {
        let session = Zeroizing::new([0x55; 16]);
        let sign = derive(&session, "client-to-server signing");
        assert_eq!(sign, key("4788dc861b4782f35d43fd98fe1a2d39"));
        assert_eq!(
            derive(&session, "client-to-server sealing"),
            key("59f600973cc4960a25480a7c196e4c58")
        );
        let text = bytes("50006c00610069006e007400650078007400");
        let checksum = hmac(&sign, &[&[0; 4], &text]);
        assert_eq!(checksum[..8], bytes("70352851f2564309"));
    }

    // What Communicator 2007 R2 and its server signed, as captured.
    // rules: A4
    #[test]
    fn signatures_of_a_captured_session() {
        let session = key("6742fbe37bb1946b49d86a525bd29a9b");
        for (of, expected) in [
            ("client-to-server signing", "ea5e87c195ae65338f7c023e7600690d"),
            ("client-to-server sealing", "83013a189002d3abad49c4c8f605ecc8"),
            ("server-to-client signing", "0151fe94dba8c83f3c6a6e5444ae54b4"),
            ("server-to-client sealing", "2a2e34e8d420c039e8f31cb9e8e0cd88"),
        ] {
            assert_eq!(derive(&session, of), key(expected), "{of}");
        }
        let (client, server) = (Keys::of_client(&session), Keys::of_server(&session));
        let request = b"<NTLM><13317733><1><SIP Communications Service><cosmo-ocs-r2.cosmo.local>\
            <4037df9284354df39065195bd57a4b14><3><REGISTER><sip:user@cosmo.local><3e49177a52>\
            <sip:user@cosmo.local><><><><>";
        let signature = bytes("0100000029618e9651b65a7764000000");
        assert_eq!(client.sign(request), *signature);
        assert!(server.verify(request, &signature));
        let response = b"<NTLM><9616454F><1><SIP Communications Service><cosmo-ocs-r2.cosmo.local>\
            <4037df9284354df39065195bd57a4b14><3><REGISTER><sip:user@cosmo.local><3e49177a52>\
            <sip:user@cosmo.local><5E61CCD925D17E043D9A74835A88F664><><><7200><200>";
        let signature = bytes("01000000e615438a917661be64000000");
        assert!(client.verify(response, &signature));
        assert_eq!(server.sign(response), *signature);
    }

    // rules: A9
    #[test]
    fn debug_output_has_no_key() {
        let keys = Keys::of_client(&Zeroizing::new([0x55; 16]));
        assert_eq!(format!("{keys:?}"), "Keys(..)");
    }

    proptest! {
        // rules: A4
        #[test]
        fn what_is_signed_is_verified_and_nothing_else(
            session: [u8; 16], buffer in prop::collection::vec(any::<u8>(), 1..200), at: prop::sample::Index, bit in 0..8u8,
        ) {
            let session = Zeroizing::new(session);
            let (client, server) = (Keys::of_client(&session), Keys::of_server(&session));
            for (signer, verifier) in [(&client, &server), (&server, &client)] {
                let signature = signer.sign(&buffer);
                prop_assert!(verifier.verify(&buffer, &signature));
                prop_assert!(!signer.verify(&buffer, &signature), "one's own come back");
                let mut changed = buffer.clone();
                changed[at.index(buffer.len())] ^= 1 << bit;
                prop_assert!(!verifier.verify(&changed, &signature));
                let mut changed = signature;
                changed[at.index(SIGNATURE)] ^= 1 << bit;
                prop_assert!(!verifier.verify(&buffer, &changed));
                prop_assert!(!verifier.verify(&buffer, &signature[..at.index(SIGNATURE)]));
            }
        }
    }
}
