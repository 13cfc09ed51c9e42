//! What a security association does for each message: signed as it goes out, and verified as it comes in.

use std::borrow::Cow;

use bytes::Bytes;
use sansip::security::ms::{Credentials, Info, Mic, Scheme, Signature};
use sansip::security::ntlm::server::{Authenticate, OFFERED, Offer};
use sansip::security::ntlm::{Challenge, Client, FileTime, Fresh, Identity, Keys, NtHash, authenticate};
use sansip::security::signing::{self, Stamp, Version};
use sansip::wire::header::{AuthenticationInfo, Authorization};
use sansip::wire::write::with_header;
use sansip::wire::{Message, MessageLimits};

use crate::measure::Case;
use crate::messages;
use crate::wire::each;

const REALM: &str = "SIP Communications Service";
const TARGET: &str = "fe1.contoso.com";
const STAMP: Stamp<'static> = Stamp {
    scheme: Scheme::Ntlm,
    random: "13317733",
    number: 1,
    realm: REALM,
    target: TARGET,
};

/// The keys of both sides of one log-on.
fn keys() -> (Keys, Keys) {
    let offer = Offer {
        flags: OFFERED,
        nonce: [3; 8],
        version: [0; 8],
        domain: "CONTOSO".into(),
        computer: "FE1".into(),
        dns_domain: "contoso.com".into(),
        dns_computer: TARGET.into(),
        time: None,
    };
    let token = offer.write().expect("short names");
    let challenge = Challenge::parse(&token).expect("a challenge that was made");
    let identity = Identity::new("alice", None, NtHash::new([1; 16]));
    let fresh = Fresh::new([4; 8], [5; 16], FileTime(0));
    let (answer, client) =
        authenticate(&challenge, &identity, &Client::default(), &fresh).expect("short names");
    let answer = Authenticate::parse(&answer).expect("an answer that was made");
    let server = answer.verify(&challenge, &identity.hash).expect("the hash");
    (client, server)
}

fn parse(bytes: &Bytes) -> Message {
    Message::parse(bytes.clone(), &MessageLimits::default()).expect("a message")
}

fn signature(keys: &Keys, message: &Message) -> Signature<'static> {
    let mut buffer = Vec::new();
    signing::buffer(&mut buffer, Version::V4, &STAMP, message).expect("a message");
    Signature {
        random: Cow::Borrowed(STAMP.random),
        number: STAMP.number,
        mic: Mic::new(&keys.sign(&buffer)),
    }
}

/// A message as a client sends it.
fn sign(keys: &Keys, bytes: &Bytes) -> Bytes {
    let credentials = Credentials {
        scheme: Scheme::Ntlm,
        realm: REALM,
        target: TARGET,
        opaque: Some("85185AE4"),
        version: None,
        token: None,
        signature: Some(signature(keys, &parse(bytes))),
    };
    with_header(bytes, &Authorization(credentials.to_header()))
}

/// The same as a server sends it.
fn sign_as_server(keys: &Keys, bytes: &Bytes) -> Bytes {
    let info = Info {
        scheme: Scheme::Ntlm,
        realm: REALM,
        target: TARGET,
        opaque: Some("85185AE4"),
        version: None,
        token: None,
        signature: Some(signature(keys, &parse(bytes))),
    };
    with_header(bytes, &AuthenticationInfo(info.to_header()))
}

/// Whether a client takes it.
fn verify(keys: &Keys, bytes: &Bytes) -> bool {
    let message = parse(bytes);
    message.list().flatten().any(|AuthenticationInfo(field)| {
        let Ok(info) = Info::read(&field) else {
            return false;
        };
        let (Some(stamp), Some(signature)) = (info.stamp(), &info.signature) else {
            return false;
        };
        let mut buffer = Vec::new();
        signing::buffer(&mut buffer, Version::V4, &stamp, &message).is_ok()
            && keys.verify(&buffer, &signature.mic)
    })
}

/// Signing and verifying all twelve messages.
pub fn cases() -> Vec<Case> {
    vec![
        Case::new("sign with NTLM, parsed and written again", "sansip", 12, || {
            let (client, _) = keys();
            each(messages::all(), move |bytes| sign(&client, bytes))
        }),
        Case::new("verify with NTLM, parsed", "sansip", 12, || {
            let (client, server) = keys();
            let signed: Vec<Bytes> = messages::all()
                .iter()
                .map(|bytes| sign_as_server(&server, bytes))
                .collect();
            each(signed, move |bytes| assert!(verify(&client, bytes)))
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_side_signs_the_other_verifies() {
        let (client, server) = keys();
        for bytes in messages::all() {
            let signed = sign_as_server(&server, &bytes);
            assert!(verify(&client, &signed));
            assert!(!verify(&server, &signed), "in its own direction only");
        }
    }
}
