//! NTLM, signatures and Microsoft's header fields against the shared known answers, through the public interface.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in a suite, a panic is a failed test"
)]

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
// rules: A1, A4, A11
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

/// A challenge with these properties of the target, and flags as a server of this time offers them.
fn challenge_token(nonce: &[u8], properties: &[u8]) -> Vec<u8> {
    let mut token = Vec::from(*b"NTLMSSP\0\x02\0\0\0\0\0\0\0\x30\0\0\0");
    token.extend(OFFERED.0.to_le_bytes());
    token.extend(nonce);
    token.extend([0; 8]);
    let length = u16::try_from(properties.len()).unwrap().to_le_bytes();
    token.extend([length, length].concat());
    token.extend(48u32.to_le_bytes());
    token.extend(properties);
    token
}

/// The same token with other flags, which stand at `at`.
fn with_flags(token: &[u8], at: usize, flags: Flags) -> Vec<u8> {
    let mut token = token.to_vec();
    token[at..at + 4].copy_from_slice(&flags.0.to_le_bytes());
    token
}

const CHALLENGE_FLAGS: usize = 20;
const ANSWER_FLAGS: usize = 60;

/// What a field of an answer points at.
fn field(token: &[u8], at: usize) -> &[u8] {
    let length = u16::from_le_bytes([token[at], token[at + 1]]);
    let offset = u32::from_le_bytes(token[at + 4..at + 8].try_into().unwrap());
    let start = usize::try_from(offset).unwrap();
    &token[start..start + usize::from(length)]
}

// The worked examples of MS-NLMP section 4.2.4 and of Davenport: both proofs of version 2, and the exchanged key.
// rules: A1
#[test]
fn responses_of_version_2() -> Result<(), Box<dyn Error>> {
    let Some(vectors) = of_kind(&["ntlmv2", "responses"]) else {
        return Ok(());
    };
    for vector in &vectors {
        let (inputs, expected) = (&vector["inputs"], &vector["expected"]);
        let token = challenge_token(
            &bytes::<8>(inputs, "server_challenge"),
            &from_hex(needed(inputs, "target_info")),
        );
        let key = text(inputs, "random_session_key").map_or_else(|| vec![7; 16], from_hex);
        let fresh = Fresh::new(
            bytes(inputs, "client_challenge"),
            key.try_into().unwrap(),
            FileTime(u64::from_le_bytes(bytes(inputs, "time"))),
        );
        let challenge = Challenge::parse(&token)?;
        let (answer, _) = authenticate(&challenge, &identity(inputs), &Client::default(), &fresh)?;
        let proof = text(expected, "nt_proof").or_else(|| text(expected, "ntlmv2_proof"));
        assert_eq!(field(&answer, 20)[..16], from_hex(proof.unwrap()));
        let lm = text(expected, "lm_response").or_else(|| text(expected, "lmv2"));
        assert_eq!(field(&answer, 12), from_hex(lm.unwrap()));
        if let Some(exchanged) = text(expected, "encrypted_random_session_key") {
            assert_eq!(field(&answer, 52), from_hex(exchanged));
        }
    }
    assert_eq!(vectors.len(), 2);
    Ok(())
}

// Every published exchange of tokens: what is safe is made again byte for byte but for the flags, what is not is refused
// on both sides.
// rules: A1
#[test]
fn published_exchanges_are_made_again_or_refused() -> Result<(), Box<dyn Error>> {
    let Some(vectors) = of_kind(&["challenge-authenticate", "authenticate"]) else {
        return Ok(());
    };
    let (mut refused, mut weak_offers) = (0, 0);
    for vector in &vectors {
        let (inputs, expected) = (&vector["inputs"], &vector["expected"]);
        let answer = from_hex(needed(inputs, "authenticate_message"));
        // None of them has all of it: no log-on to a SIP server, or one of before extended session security.
        let chosen = u32::from_le_bytes(answer[ANSWER_FLAGS..ANSWER_FLAGS + 4].try_into().unwrap());
        let Err(NtlmError::Weak { missing }) = Authenticate::parse(&answer) else {
            panic!("taken: {vector}");
        };
        assert!(missing.0 != 0 && chosen & missing.0 == 0, "{missing:?}: {vector}");
        refused += 1;
        let Some(challenge) = text(inputs, "challenge_message").map(from_hex) else {
            continue;
        };
        let safe = flags(inputs, "challenge_flags") == OFFERED;
        assert_eq!(Challenge::parse(&challenge).is_ok(), safe, "{vector}");
        weak_offers += usize::from(!safe);
        // Section 4.2.4.3 lacks nothing but the flag of a connectionless exchange.
        if text(vector, "id") == Some("nlmp-4.2.4.3-messages") {
            let offered = Flags(flags(inputs, "challenge_flags").0 | Flags::DATAGRAM.0);
            let challenge = with_flags(&challenge, CHALLENGE_FLAGS, offered);
            let challenge = Challenge::parse(&challenge)?;
            let client = Client {
                workstation: "COMPUTER".into(),
                ..Client::default()
            };
            let fresh = Fresh::new([0xaa; 8], bytes(expected, "exported_session_key"), FileTime(0));
            let (made, keys) = authenticate(&challenge, &identity(inputs), &client, &fresh)?;
            let chosen = Authenticate::parse(&made)?.flags();
            assert_eq!(made, with_flags(&answer, ANSWER_FLAGS, chosen));
            let server = Authenticate::parse(&made)?.verify(&challenge, &hash(inputs))?;
            assert!(server.verify(b"x", &keys.sign(b"x")));
        }
    }
    assert!(refused >= 6 && weak_offers >= 4, "{refused} {weak_offers}");
    Ok(())
}

// A client of 2005, and others without extended session security: what they choose is refused for what it lacks, and a
// response of version 1 is, whatever the flags say.
// rules: A1
#[test]
fn old_responses_are_refused() {
    let Some(vectors) = of_kind(&["challenge-authenticate"]) else {
        return;
    };
    let mut old = 0;
    for vector in &vectors {
        let answer = from_hex(needed(&vector["inputs"], "authenticate_message"));
        let is_old = text(&vector["expected"], "nt_response").is_some();
        let strong = with_flags(&answer, ANSWER_FLAGS, Flags(0x6298_8255));
        if is_old {
            assert_eq!(
                Authenticate::parse(&strong).map(|_| ()),
                Err(NtlmError::OldResponse),
                "{vector}"
            );
            old += 1;
        }
        if text(vector, "id") == Some("lcs2005-ntlmv1-noess") {
            let missing = Flags(Flags::EXTENDED_SESSION_SECURITY.0 | Flags::KEY_128.0);
            assert_eq!(
                Authenticate::parse(&answer).map(|_| ()),
                Err(NtlmError::Weak { missing })
            );
        }
        if text(vector, "id") == Some("gssntlmssp-win7-cbt") {
            // A response of version 2, of a client that exchanges no key.
            assert_eq!(
                Authenticate::parse(&strong).map(|_| ()),
                Err(NtlmError::Malformed {
                    place: Place::SessionKey,
                    what: "not of 16 bytes"
                })
            );
        }
    }
    assert!(old >= 3, "{old}");
}

// Exchanges that the acceptor of gss-ntlmssp took.
// rules: A1, A4
#[test]
fn what_another_server_took() -> Result<(), Box<dyn Error>> {
    let Some(vectors) = of_kind(&["sip-ntlm-connectionless"]) else {
        return Ok(());
    };
    for vector in &vectors {
        let (inputs, expected) = (&vector["inputs"], &vector["expected"]);
        let token = from_hex(needed(inputs, "challenge_message"));
        let challenge = Challenge::parse(&token)?;
        let answer = from_hex(needed(inputs, "authenticate_message"));
        let read = Authenticate::parse(&answer)?;
        assert_eq!(
            (read.domain(), read.user(), read.workstation()),
            ("EXAMPLE", "alice", "HOST")
        );
        assert_eq!(read.flags(), flags(inputs, "negotiated_flags"));
        assert_eq!(Some(read.time()), challenge.time());
        let server = read.verify(&challenge, &hash(inputs))?;
        let buffer = needed(inputs, "signing_buffer").as_bytes();
        let theirs = from_hex(needed(expected, "client_signature"));
        let ours = from_hex(needed(expected, "server_signature"));
        assert!(server.verify(buffer, &theirs), "{vector}");
        assert_eq!(server.sign(buffer), *ours, "{vector}");

        let nt = field(&answer, 20);
        assert_eq!(nt[..16], from_hex(needed(expected, "nt_proof")));
        let client = Client {
            workstation: "HOST".into(),
            mic: text(expected, "mic").is_some(),
            ..Client::default()
        };
        // The time is the server's: ours does not count.
        let fresh = Fresh::new(
            nt[32..40].try_into()?,
            bytes(expected, "exported_session_key"),
            FileTime(1),
        );
        let (made, keys) = authenticate(&challenge, &identity(inputs), &client, &fresh)?;
        assert_eq!(keys.sign(buffer), *theirs);
        assert!(keys.verify(buffer, &ours));
        if text(vector, "id") == Some("lab-gssntlmssp-ess_lm") {
            // It took an LMv2 response, which is not sent to a server that says its time.
            assert_eq!(field(&made, 20), nt);
            assert_eq!(field(&made, 12), [0; 24]);
        } else {
            assert_eq!(made, answer, "{vector}");
        }
        if let Some(mic) = text(expected, "mic") {
            assert_eq!(answer[72..88], from_hex(mic));
            let mut changed = answer.clone();
            changed[72..88].fill(0);
            let verified = Authenticate::parse(&changed)?.verify(&challenge, &hash(inputs));
            assert_eq!(verified.map(|_: Keys| ()), Err(NtlmError::WrongMic));
        }
    }
    assert_eq!(vectors.len(), 3);
    Ok(())
}

// rules: A1
#[test]
fn challenges_of_real_servers_are_read() -> Result<(), Box<dyn Error>> {
    let Some(vectors) = of_kind(&["challenge-parse"]) else {
        return Ok(());
    };
    for vector in &vectors {
        let expected = &vector["expected"];
        let token = from_hex(needed(&vector["inputs"], "challenge_message"));
        let challenge = Challenge::parse(&token)?;
        assert_eq!(challenge.flags(), flags(expected, "flags"));
        assert_eq!(challenge.nonce(), bytes(expected, "server_challenge"));
        assert_eq!(
            Some(challenge.time().is_some()),
            expected["has_timestamp"].as_bool()
        );
        assert_eq!(challenge.domain().as_deref(), text(expected, "nb_domain"));
    }
    Ok(())
}

// A challenge of OCS 2007 R2 and one of Lync 2013, each made again from what it says, byte for byte.
// rules: A1
#[test]
fn a_server_challenges_as_real_ones_do() -> Result<(), Box<dyn Error>> {
    let Some(vectors) = of_kind(&["sip-ntlm-v4", "challenge-parse"]) else {
        return Ok(());
    };
    for vector in &vectors {
        let token = from_hex(needed(&vector["inputs"], "challenge_message"));
        let challenge = Challenge::parse(&token)?;
        let (domain, computer, dns_domain, dns_computer) = if challenge.time().is_some() {
            ("LYNC", "LYNC2013-SERVER", "lync.loc", "LYNC2013-SERVER.lync.loc")
        } else {
            ("COSMO", "COSMO-OCS-R2", "cosmo.local", "cosmo-ocs-r2.cosmo.local")
        };
        let offer = Offer {
            flags: OFFERED,
            nonce: challenge.nonce(),
            version: token[48..56].try_into()?,
            domain: domain.into(),
            computer: computer.into(),
            dns_domain: dns_domain.into(),
            dns_computer: dns_computer.into(),
            time: challenge.time(),
        };
        assert_eq!(offer.write()?, token, "{vector}");
    }
    Ok(())
}

// rules: A4
#[test]
fn what_is_signed_of_a_message() -> Result<(), Box<dyn Error>> {
    let Some(vectors) = of_kind(&["signing-buffer", "sip-ntlm-v2"]) else {
        return Ok(());
    };
    for vector in &vectors {
        let inputs = &vector["inputs"];
        let number = inputs["protocol_version"].as_u64().expect("a version");
        let version = Version::at_most(u32::try_from(number)?).unwrap();
        let received = text(inputs, "sip_message").or_else(|| text(inputs, "sip_response"));
        let message = message(received.expect("a message"));
        let (field, _) = info(&message);
        let info = ms::Info::read(&field)?;
        let expected = needed(&vector["expected"], "signing_buffer");
        let stamp = info.stamp().unwrap();
        assert_eq!(signed_part(version, &stamp, &message), expected);
        if version == Version::V4 {
            assert_eq!(signed_part(Version::V3, &stamp, &message), expected);
        }
    }
    assert_eq!(vectors.len(), 3);
    Ok(())
}

// The example of MS-SIP section 3.1.4.2.
// rules: A4
#[test]
fn what_is_signed_of_a_request_in_version_2() -> Result<(), Box<dyn Error>> {
    let Some(vectors) = of_kind(&["signing-buffer-v2"]) else {
        return Ok(());
    };
    for vector in &vectors {
        let request = message(needed(&vector["inputs"], "sip_message"));
        let field = header::ProxyAuthorization::parse(raw(&request, HeaderName::ProxyAuthorization))?.0;
        let credentials = ms::Credentials::read(&field)?;
        assert_eq!(
            signed_part(Version::V2, &credentials.stamp().unwrap(), &request),
            needed(&vector["expected"], "signing_buffer")
        );
    }
    Ok(())
}

// rules: A4
#[test]
fn asserted_identities() -> Result<(), Box<dyn Error>> {
    let Some(vectors) = of_kind(&["p-asserted-identity"]) else {
        return Ok(());
    };
    for vector in &vectors {
        let value = needed(&vector["inputs"], "header");
        let expected = &vector["expected"];
        for name in ["P-Asserted-Identity", "p-preferred-identity"] {
            let message = message(&format!(
                "OPTIONS sip:a SIP/2.0\r\n{name}: {value}\r\nContent-Length: 0\r\n\r\n"
            ));
            let found = signing::asserted(&message)?;
            assert_eq!(
                (found.sip, found.tel),
                (needed(expected, "sip_uri"), needed(expected, "tel_uri"))
            );
        }
    }
    assert_eq!(vectors.len(), 3);
    Ok(())
}

// A proof of Kerberos has another length; its bytes are read all the same.
// rules: A4
#[test]
fn a_proof_of_kerberos_is_read() -> Result<(), Box<dyn Error>> {
    let Some(vectors) = of_kind(&["structure"]) else {
        return Ok(());
    };
    for vector in &vectors {
        let Some(proof) = text(&vector["inputs"], "rspauth") else {
            continue;
        };
        let value = format!(
            "Kerberos rspauth=\"{proof}\", srand=\"98984345\", snum=1, realm=\"r\", targetname=\"sip/a.example.com\""
        );
        let field = header::AuthenticationInfo::parse(&value)?.0;
        let info = ms::Info::read(&field)?;
        assert_eq!(info.scheme, Scheme::Kerberos);
        let mic = info.signature.expect("a signature").mic;
        assert_eq!(Some(mic.len() as u64), vector["expected"]["length"].as_u64());
        assert_eq!(*mic, *from_hex(proof));
    }
    Ok(())
}

// rules: A1
#[test]
fn primitives() {
    let Some(vectors) = of_kind(&["md4", "unix-to-filetime"]) else {
        return;
    };
    for vector in &vectors {
        let (inputs, expected) = (&vector["inputs"], &vector["expected"]);
        if let Some(seconds) = inputs["unix"].as_u64() {
            let time = FileTime(u64::from_le_bytes(bytes(expected, "filetime_le")));
            assert_eq!(FileTime::from_unix(UnixTime(seconds)), time);
            assert_eq!(time.to_unix(), UnixTime(seconds));
        } else {
            // As a password whose UTF-16 these bytes are.
            let data = from_hex(needed(inputs, "data"));
            let units: Vec<u16> = data
                .chunks(2)
                .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
                .collect();
            let password = Secret::new(String::from_utf16(&units).unwrap());
            assert_eq!(NtHash::of(&password), NtHash::new(bytes(expected, "digest")));
            assert_eq!(
                NtHash::from_hex(needed(expected, "digest")),
                Some(NtHash::of(&password))
            );
        }
    }
    assert_eq!(vectors.len(), 2);
}
