//! NTLM, signatures and Microsoft's header fields against the shared known answers, through the public interface.

#![allow(clippy::unwrap_used, reason = "in a suite, a panic is a failed test")]

use std::error::Error;

use bytes::Bytes;
use sansip::UnixTime;
use sansip::security::Secret;
use sansip::security::ms::{self, Scheme};
use sansip::security::ntlm::server::{Authenticate, OFFERED, Offer};
use sansip::security::ntlm::{
    Challenge, Client, FileTime, Flags, Fresh, Identity, Keys, NtHash, NtlmError, Place, authenticate,
};
use sansip::security::signing::{self, Stamp, Version};
use sansip::wire::header::{self, Header};
use sansip::wire::{HeaderName, Message, MessageLimits};
use sansip_testkit::vectors::{self, from_hex, needed, text};
use serde_json::Value;

/// The shared vectors of one of these kinds; `None` where there are none beside the checkout, which has been said.
fn of_kind(kinds: &[&str]) -> Option<Vec<Value>> {
    let file = vectors::json("auth.json")?;
    let all = file["vectors"].as_array().expect("a list of vectors");
    let of_kind = |vector: &&Value| text(vector, "kind").is_some_and(|kind| kinds.contains(&kind));
    let found: Vec<Value> = all.iter().filter(of_kind).cloned().collect();
    assert!(!found.is_empty(), "no vectors of {kinds:?}");
    Some(found)
}

fn bytes<const N: usize>(object: &Value, name: &str) -> [u8; N] {
    from_hex(needed(object, name)).try_into().expect("of this length")
}

fn flags(object: &Value, name: &str) -> Flags {
    let digits = needed(object, name).strip_prefix("0x").expect("0x");
    Flags(u32::from_str_radix(digits, 16).unwrap())
}

fn hash(inputs: &Value) -> NtHash {
    NtHash::of(&Secret::new(needed(inputs, "password")))
}

fn identity(inputs: &Value) -> Identity {
    Identity::new(
        needed(inputs, "user"),
        Some(needed(inputs, "domain")),
        hash(inputs),
    )
}

fn message(text: &str) -> Message {
    Message::parse(Bytes::copy_from_slice(text.as_bytes()), &MessageLimits::default()).unwrap()
}

fn raw(message: &Message, name: HeaderName) -> &str {
    std::str::from_utf8(message.raw(name).expect("the field")).unwrap()
}

fn signed_part(version: Version, stamp: &Stamp<'_>, message: &Message) -> String {
    // What was in it before does not count.
    let mut out = Vec::from("rest");
    signing::buffer(&mut out, version, stamp, message).unwrap();
    String::from_utf8(out).unwrap()
}

/// What a server's message is signed with, and its signature.
fn info(message: &Message) -> (header::AuthInfo<'_>, HeaderName) {
    let name = HeaderName::AuthenticationInfo;
    (
        header::AuthenticationInfo::parse(raw(message, name)).unwrap().0,
        name,
    )
}

// A whole log-on of Communicator 2007 R2 as it was captured: the answer to the challenge, byte for byte; the signature of
// the request that carries it; the server's.
// rules: A1, A4
#[test]
fn a_log_on_that_was_captured() -> Result<(), Box<dyn Error>> {
    let Some(vectors) = of_kind(&["sip-ntlm-v4"]) else {
        return Ok(());
    };
    for vector in &vectors {
        let (inputs, expected) = (&vector["inputs"], &vector["expected"]);
        let token = from_hex(needed(inputs, "challenge_message"));
        let challenge = Challenge::parse(&token)?;
        assert_eq!(challenge.flags(), OFFERED);
        assert_eq!(challenge.time(), None);
        let client = Client {
            workstation: needed(inputs, "workstation").into(),
            version: bytes(inputs, "version8"),
            mic: false,
        };
        let fresh = Fresh::new(
            bytes(inputs, "client_challenge"),
            bytes(inputs, "exported_session_key"),
            FileTime(u64::from_le_bytes(bytes(inputs, "time"))),
        );
        let (answer, keys) = authenticate(&challenge, &identity(inputs), &client, &fresh)?;
        assert_eq!(answer, from_hex(needed(expected, "authenticate_message")));

        let read = Authenticate::parse(&answer)?;
        assert_eq!(read.flags(), flags(inputs, "negotiated_flags"));
        let server_keys = read.verify(&challenge, &hash(inputs))?;

        let version = Version::at_most(4).unwrap();
        let request = message(needed(inputs, "sip_request"));
        let field = header::ProxyAuthorization::parse(raw(&request, HeaderName::ProxyAuthorization))?.0;
        let credentials = ms::Credentials::read(&field)?;
        assert_eq!(credentials.token.as_deref(), Some(&*answer));
        assert_eq!(
            header::to_string(&header::ProxyAuthorization(credentials.to_header())),
            raw(&request, HeaderName::ProxyAuthorization)
        );
        let part = signed_part(version, &credentials.stamp().unwrap(), &request);
        assert_eq!(part, needed(expected, "request_signing_buffer"));
        let mic = &credentials.signature.as_ref().unwrap().mic;
        assert_eq!(**mic, *from_hex(needed(expected, "request_signature")));
        assert_eq!(keys.sign(part.as_bytes()), **mic);
        assert!(server_keys.verify(part.as_bytes(), mic));
        assert!(!keys.verify(part.as_bytes(), mic), "as the server's");

        let response = message(needed(inputs, "sip_response"));
        let (field, name) = info(&response);
        let info = ms::Info::read(&field)?;
        let part = signed_part(version, &info.stamp().unwrap(), &response);
        assert_eq!(part, needed(expected, "response_signing_buffer"));
        let mic = &info.signature.as_ref().unwrap().mic;
        assert_eq!(**mic, *from_hex(needed(expected, "response_signature")));
        assert!(keys.verify(part.as_bytes(), mic));
        assert_eq!(server_keys.sign(part.as_bytes()), **mic);
        assert_eq!(
            header::to_string(&header::AuthenticationInfo(info.to_header())).to_ascii_lowercase(),
            raw(&response, name).to_ascii_lowercase()
        );
    }
    Ok(())
}
