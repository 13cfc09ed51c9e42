//! What servers and clients prove to each other: tokens, header fields, signatures, numbers.

use std::borrow::Cow;
use std::collections::BTreeSet;

use bytes::Bytes;
use sansip::security::Secret;
use sansip::security::ms::{Challenge, Credentials, Info, Mic, Scheme, Signature};
use sansip::security::ntlm::server::{Authenticate, OFFERED, Offer};
use sansip::security::ntlm::{self, Client, FileTime, Fresh, Identity, Keys, NtHash};
use sansip::security::signing::{self, Stamp, Version};
use sansip::security::window::{ReplayWindow, WIDTH};
use sansip::wire::header::{self, Header};
use sansip::wire::{Message, MessageLimits};

/// The first byte chooses what the others are: `0` a header field, `1` a challenge of NTLM, `2` the properties in one,
/// `3` an answer, `4` a message that is signed, `5` the text of a token and of a proof, `6` numbers of messages.
///
/// # Panics
/// What is read is not what was written, what is wrong is verified, or what is right is not.
pub fn security(bytes: &[u8]) -> usize {
    let Some((choice, rest)) = bytes.split_first() else {
        return 0;
    };
    match choice.wrapping_sub(b'0') % 7 {
        0 => fields(&String::from_utf8_lossy(rest)),
        1 => challenge(rest),
        2 => challenge(&with_properties(rest)),
        3 => answer(rest),
        4 => message(rest),
        5 => texts(&String::from_utf8_lossy(rest)),
        _ => numbers(rest),
    }
    0
}

/// A header field that is read by its type is written and read back equal.
fn fields(value: &str) {
    if let Ok(field) = header::WwwAuthenticate::parse(value)
        && let Ok(read) = Challenge::read(&field.0)
    {
        let written = header::to_string(&header::WwwAuthenticate(read.to_header()));
        let again = header::WwwAuthenticate::parse(&written).expect("a challenge that was written");
        assert_eq!(Challenge::read(&again.0), Ok(read), "{written}");
    }
    if let Ok(field) = header::Authorization::parse(value)
        && let Ok(read) = Credentials::read(&field.0)
    {
        let written = header::to_string(&header::Authorization(read.to_header()));
        let again = header::Authorization::parse(&written).expect("credentials that were written");
        assert_eq!(Credentials::read(&again.0), Ok(read), "{written}");
    }
    if let Ok(field) = header::AuthenticationInfo::parse(value)
        && let Ok(read) = Info::read(&field.0)
    {
        let written = header::to_string(&header::AuthenticationInfo(read.to_header()));
        let again = header::AuthenticationInfo::parse(&written).expect("a proof that was written");
        assert_eq!(Info::read(&again.0), Ok(read), "{written}");
    }
}

fn hash() -> NtHash {
    NtHash::of(&Secret::new("open sesame"))
}

fn alice() -> Identity {
    Identity::new("alice", Some("CONTOSO"), hash())
}

fn fresh() -> Fresh {
    Fresh::new([4; 8], [5; 16], FileTime(130_000_000_000_000_000))
}

/// A challenge that is taken is answered so that its server verifies it, with a MIC and without.
fn challenge(token: &[u8]) {
    let Ok(challenge) = ntlm::Challenge::parse(token) else {
        return;
    };
    let _ = format!("{challenge:?}");
    for mic in [false, true] {
        let client = Client {
            mic,
            ..Client::default()
        };
        let Ok((answer, keys)) = ntlm::authenticate(&challenge, &alice(), &client, &fresh()) else {
            continue;
        };
        let read = Authenticate::parse(&answer).expect("an answer that was made");
        let server = read.verify(&challenge, &hash()).expect("the password");
        assert!(server.verify(token, &keys.sign(token)) && keys.verify(token, &server.sign(token)));
        assert!(read.verify(&challenge, &NtHash::new([0; 16])).is_err());
    }
}

/// A challenge with these properties of the target, as many as there is room for.
fn with_properties(list: &[u8]) -> Vec<u8> {
    let length = u16::try_from(list.len()).unwrap_or(u16::MAX).to_le_bytes();
    let mut token = Vec::from(*b"NTLMSSP\0\x02\0\0\0\0\0\0\0\x30\0\0\0");
    token.extend(OFFERED.0.to_le_bytes());
    token.extend([7; 8]);
    token.extend([0; 8]);
    token.extend([length, length].concat());
    token.extend(48u32.to_le_bytes());
    token.extend(list);
    token
}

/// What a server asks with, and the keys of both sides after the right answer to it.
fn session() -> (Vec<u8>, Vec<u8>, [Keys; 2]) {
    let offer = Offer {
        flags: OFFERED,
        nonce: [3; 8],
        version: [0; 8],
        domain: "CONTOSO".into(),
        computer: "FE1".into(),
        dns_domain: "contoso.com".into(),
        dns_computer: "fe1.contoso.com".into(),
        time: Some(FileTime(130_000_000_000_000_000)),
    };
    let token = offer.write().expect("short names");
    let challenge = ntlm::Challenge::parse(&token).expect("a challenge that was made");
    let client = Client {
        mic: true,
        ..Client::default()
    };
    let (answer, client) = ntlm::authenticate(&challenge, &alice(), &client, &fresh()).expect("short names");
    let read = Authenticate::parse(&answer).expect("an answer that was made");
    let server = read.verify(&challenge, &hash()).expect("the password");
    (token, answer, [client, server])
}

/// No answer but the one with the right proof is taken. The bytes are one; or, where they begin with `=`, changes to the
/// right one: places and what is to be there.
fn answer(bytes: &[u8]) {
    let (token, right, _) = session();
    let challenge = ntlm::Challenge::parse(&token).expect("a challenge that was made");
    let given = match bytes.split_first() {
        Some((b'=', changes)) => {
            let mut changed = right.clone();
            for change in changes.chunks_exact(3) {
                let &[high, low, octet] = change else { continue };
                let at = usize::from(u16::from_be_bytes([high, low])) % changed.len();
                if let Some(place) = changed.get_mut(at) {
                    *place = octet;
                }
            }
            changed
        }
        _ => bytes.to_vec(),
    };
    if let Ok(read) = Authenticate::parse(&given) {
        let _ = format!("{read:?}");
        let taken = read.verify(&challenge, &hash()).is_ok();
        assert_eq!(taken, given == right, "{given:02x?}");
    }
}

/// What is signed of a message is verified, by the other side only, and with no bit of it or of the proof changed.
fn message(bytes: &[u8]) {
    let Ok(message) = Message::parse(Bytes::copy_from_slice(bytes), &MessageLimits::default()) else {
        return;
    };
    let stamp = Stamp {
        scheme: Scheme::Ntlm,
        random: "13317733",
        number: 1,
        realm: "SIP Communications Service",
        target: "fe1.contoso.com",
    };
    let (.., [client, server]) = session();
    let mut out = Vec::new();
    for version in [Version::V2, Version::V3, Version::V4] {
        if signing::buffer(&mut out, version, &stamp, &message).is_err() {
            continue;
        }
        let signature = client.sign(&out);
        assert!(server.verify(&out, &signature) && !client.verify(&out, &signature));
        let bit = bytes.len() % (8 * out.len());
        flip(&mut out, bit);
        assert!(!server.verify(&out, &signature));
        flip(&mut out, bit);
        for bit in 0..8 * signature.len() {
            let mut changed = signature;
            flip(&mut changed, bit);
            assert!(!server.verify(&out, &changed));
        }
    }
}

fn flip(bytes: &mut [u8], bit: usize) {
    if let Some(octet) = bytes.get_mut(bit / 8) {
        *octet ^= 1 << (bit % 8);
    }
}

/// Text in the place of a token and of a proof.
fn texts(text: &str) {
    let text: String = text.chars().filter(|c| *c != '"' && !c.is_control()).collect();
    fields(&format!(
        "NTLM realm=\"r\", targetname=\"t\", gssapi-data=\"{text}\""
    ));
    fields(&format!(
        "NTLM realm=\"r\", targetname=\"t\", crand=\"1\", cnum=\"1\", response=\"{text}\""
    ));
    let signed = Credentials {
        scheme: Scheme::Ntlm,
        realm: "r",
        target: "t",
        opaque: None,
        version: None,
        token: Some(text.clone().into_bytes()),
        signature: Some(Signature {
            random: Cow::Borrowed("1"),
            number: 1,
            mic: Mic::new(
                text.as_bytes()
                    .get(..Mic::MAX.min(text.len()))
                    .unwrap_or_default(),
            ),
        }),
    };
    fields(&header::to_string(&header::Authorization(signed.to_header())));
}

/// Steps from number to number: the window takes what a set of all that was taken would.
fn numbers(steps: &[u8]) {
    let mut window = ReplayWindow::new();
    let mut seen = BTreeSet::new();
    let mut number = 0u32;
    for &step in steps {
        number = match step {
            0..=99 => number.saturating_add(u32::from(step)),
            100..=199 => number.saturating_sub(u32::from(step - 100)),
            200..=254 => number.saturating_add(u32::from(step - 199) << 24),
            255 => 0,
        };
        let last = seen.last().copied().unwrap_or(0).max(WIDTH);
        let lowest = last.max(number) - (WIDTH - 1);
        let is_new = number >= lowest && seen.insert(number);
        assert_eq!(window.is_new(number), is_new, "{number} in {window:?}");
        assert_eq!(window.record(number), is_new, "{number} in {window:?}");
    }
}
