//! Client and server against each other.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::server::{Authenticate, OFFERED, Offer};
use super::*;
use crate::security::Secret;
use crate::security::encoding::MAX_TOKEN;

fn offer(time: Option<FileTime>) -> Offer {
    Offer {
        flags: OFFERED,
        nonce: [3; 8],
        version: [6, 1, 0, 0, 0, 0, 0, 15],
        domain: "CONTOSO".into(),
        computer: "FE1".into(),
        dns_domain: "contoso.com".into(),
        dns_computer: "fe1.contoso.com".into(),
        time,
    }
}

fn hash(password: &str) -> NtHash {
    NtHash::of(&Secret::new(password))
}

fn alice() -> Identity {
    Identity::new("alice", Some("CONTOSO"), hash("open sesame"))
}

const NOW: FileTime = FileTime(130_000_000_000_000_000);

fn fresh() -> Fresh {
    Fresh::new([4; 8], [5; 16], NOW)
}

/// An answer to an offer, and the client's keys.
fn answer(offer: &Offer, client: &Client) -> (Vec<u8>, Vec<u8>, Keys) {
    let challenge = offer.write().unwrap();
    let read = Challenge::parse(&challenge).unwrap();
    let (answer, keys) = authenticate(&read, &alice(), client, &fresh()).unwrap();
    (challenge, answer, keys)
}

fn verified(challenge: &[u8], answer: &[u8], hash: &NtHash) -> Result<Keys, NtlmError> {
    Authenticate::parse(answer)?.verify(&Challenge::parse(challenge)?, hash)
}

// rules: A1, A4
#[test]
fn a_client_logs_on_with_and_without_time_and_mic() {
    for time in [None, Some(FileTime(77))] {
        for mic in [false, true] {
            let client = Client {
                workstation: "desk".into(),
                mic,
                ..Client::default()
            };
            let (challenge, answer, keys) = answer(&offer(time), &client);
            let read = Authenticate::parse(&answer).unwrap();
            assert_eq!(
                (read.user(), read.domain(), read.workstation()),
                ("alice", "CONTOSO", "desk")
            );
            assert_eq!(read.flags(), Flags(0x6298_8255));
            assert_eq!(read.time(), time.unwrap_or(NOW));
            let server = verified(&challenge, &answer, &hash("open sesame")).unwrap();
            assert!(server.verify(b"<x>", &keys.sign(b"<x>")));
            assert!(keys.verify(b"<y>", &server.sign(b"<y>")));
            let wrong = verified(&challenge, &answer, &hash("open sesam"));
            assert_eq!(wrong.map(|_| ()), Err(NtlmError::WrongProof));
            // A MIC goes only to a server that says its time.
            let begins = answer[32];
            assert_eq!(begins, if mic && time.is_some() { 88 } else { 72 });
        }
    }
}

// The answer to one challenge is none to another, of another nonce or time.
// rules: A1
#[test]
fn an_answer_is_for_one_challenge() {
    let (_, answer, _) = answer(&offer(None), &Client::default());
    let mut other = offer(None);
    other.nonce[7] ^= 1;
    let other = other.write().unwrap();
    let wrong = verified(&other, &answer, &hash("open sesame"));
    assert_eq!(wrong.map(|_| ()), Err(NtlmError::WrongProof));
}

// A server that does not set VERSION gets none, one that sets 56 besides 128 gets 128.
#[test]
fn what_is_not_offered_is_not_chosen() {
    let mut plain = offer(None);
    plain.flags = Flags(OFFERED.0 & !(Flags::VERSION.0 | Flags::IDENTIFY.0));
    let (_, answer, _) = answer(&plain, &Client::default());
    assert_eq!(
        Authenticate::parse(&answer).unwrap().flags(),
        Flags(0x6088_8255 & !Flags::VERSION.0)
    );
    assert_eq!(answer[64..72], [0; 8]);
}

// Without MsvAvFlags in the challenge it is added before the end of the list; with it, its other bits stay.
// rules: A1
#[test]
fn the_flag_of_a_mic_goes_into_the_properties() {
    let client = Client {
        mic: true,
        ..Client::default()
    };
    let (challenge, answer, _) = answer(&offer(Some(FileTime(9))), &client);
    let list = &Challenge::parse(&challenge).unwrap().target;
    let mut expected = list.bytes[..list.end].to_vec();
    expected.extend(b"\x06\0\x04\0\x02\0\0\0\0\0\0\0");
    let found = answer.windows(expected.len()).any(|part| part == expected);
    assert!(found, "{answer:02x?}");
}

/// A challenge with a time and these flags among the properties.
fn challenge_with_flags(flags: u8) -> Vec<u8> {
    let mut challenge = offer(Some(FileTime(9))).write().unwrap();
    challenge.truncate(challenge.len() - 4);
    challenge.extend([6, 0, 4, 0, flags, 0, 0, 0, 0, 0, 0, 0]);
    for field in [40, 42] {
        challenge[field] += 8;
    }
    challenge
}

// A server that sets another flag in that property finds it again. One that says itself that there is a MIC gets one:
// its properties are repeated, and the answer has to be what they say.
// rules: A1
#[test]
fn the_flags_of_the_properties_stay_and_hold() {
    for (sent, mic, returned, begins) in [(4, true, 6, 88), (4, false, 4, 72), (2, false, 2, 88)] {
        let challenge = challenge_with_flags(sent);
        let read = Challenge::parse(&challenge).unwrap();
        let client = Client {
            mic,
            ..Client::default()
        };
        let (answer, _) = authenticate(&read, &alice(), &client, &fresh()).unwrap();
        let expected = [6, 0, 4, 0, returned, 0, 0, 0, 0, 0, 0, 0];
        assert!(answer.windows(12).any(|part| part == expected), "{answer:02x?}");
        assert_eq!(answer[32], begins);
        let verified = verified(&challenge, &answer, &hash("open sesame"));
        assert_eq!(verified.map(|_| ()), Ok(()), "{sent}");
    }
}

// MS-NLMP section 3.1.5.1.2: Z(24) where the server says its time; before that LMv2, which ends with the client's
// challenge.
// rules: A1
#[test]
fn an_lm_response_goes_to_old_servers_only() {
    for (time, end) in [(None, [4; 8]), (Some(FileTime(9)), [0; 8])] {
        let (_, answer, _) = answer(&offer(time), &Client::default());
        let start = usize::from(answer[16]);
        assert_eq!(answer[12..14], [24, 0]);
        assert_eq!(answer[start + 16..start + 24], end, "{time:?}");
        assert_eq!(answer[start..start + 16] == [0; 16], time.is_some());
    }
}

// rules: A1
#[test]
fn what_has_no_room_is_refused() {
    let challenge = offer(None).write().unwrap();
    let challenge = Challenge::parse(&challenge).unwrap();
    let named = |user: usize, workstation: usize| {
        let identity = Identity::new(&"u".repeat(user), None, hash("x"));
        let client = Client {
            workstation: "w".repeat(workstation),
            ..Client::default()
        };
        authenticate(&challenge, &identity, &client, &fresh()).map(|(token, _)| token.len())
    };
    let least = named(0, 0).unwrap();
    let room = (MAX_TOKEN - least) / 2;
    assert_eq!(named(room, 0), Ok(least + 2 * room));
    assert_eq!(named(0, room), Ok(least + 2 * room));
    // The last field is the one that has no room.
    assert_eq!(named(room + 1, 0), Err(NtlmError::TooLong(Place::SessionKey)));
    assert_eq!(named(MAX_TOKEN / 2, 0), Err(NtlmError::TooLong(Place::User)));
    assert_eq!(named(40_000, 0), Err(NtlmError::TooLong(Place::User)));
    assert_eq!(named(0, 40_000), Err(NtlmError::TooLong(Place::Workstation)));
    let mut long = offer(None);
    long.domain = "d".repeat(40_000);
    assert_eq!(long.write(), Err(NtlmError::TooLong(Place::AvPair(2))));
}

// rules: A1
#[test]
fn a_malformed_answer_is_refused_with_the_place() {
    let (_, good, _) = answer(&offer(None), &Client::default());
    let fault = |at: usize, octets: &[u8]| {
        let mut token = good.clone();
        token[at..at + octets.len()].copy_from_slice(octets);
        match Authenticate::parse(&token) {
            Err(NtlmError::Malformed { place, what }) => (place, what),
            other => panic!("{at}: {other:?}"),
        }
    };
    assert_eq!(
        fault(8, &[2]),
        (Place::MessageType, "another message is expected")
    );
    for (at, place) in [
        (12, Place::LmResponse),
        (20, Place::NtResponse),
        (28, Place::Domain),
        (36, Place::User),
        (52, Place::SessionKey),
    ] {
        assert_eq!(fault(at + 4, &[0xff; 4]), (place, "beyond the end"));
        assert_eq!(fault(at + 4, &[63, 0, 0, 0]), (place, "inside the fixed part"));
    }
    // The user where the domain is.
    assert_eq!(fault(40, &good[32..36]), (Place::User, "overlaps another field"));
    assert_eq!(fault(36, &[9]), (Place::User, "not UTF-16"));
    assert_eq!(fault(72, &[0, 0xdc]), (Place::Domain, "not UTF-16"));
    assert_eq!(fault(52, &[15]), (Place::SessionKey, "not of 16 bytes"));
    let nt = usize::from(good[24]);
    assert_eq!(fault(nt + 16, &[2]), (Place::NtResponse, "unknown version"));
    assert_eq!(
        fault(20, &[43, 0]),
        (Place::NtResponse, "shorter than its fixed part")
    );
    assert_eq!(
        fault(20, &[25, 0]),
        (Place::NtResponse, "shorter than its fixed part")
    );
    assert_eq!(fault(20, &[47, 0]), (Place::TargetInfo, "no end of the list"));
    // A flag says that there is a MIC, and a name stands where it would be.
    let (_, mut flagged, _) = answer(
        &offer(Some(FileTime(9))),
        &Client {
            mic: true,
            ..Client::default()
        },
    );
    flagged[32] = 72;
    assert_eq!(
        Authenticate::parse(&flagged).map(|_| ()),
        Err(NtlmError::Malformed {
            place: Place::Mic,
            what: "no room for it"
        })
    );
}

// Version 1 has responses of 24 bytes; LM alone, and nobody, have none.
// rules: A1
#[test]
fn old_and_empty_responses_are_refused() {
    let (_, good, _) = answer(&offer(None), &Client::default());
    for length in [0, 24] {
        let mut token = good.clone();
        token[20..22].copy_from_slice(&[length, 0]);
        assert_eq!(
            Authenticate::parse(&token).map(|_| ()),
            Err(NtlmError::OldResponse)
        );
    }
    let mut token = good;
    token[62] &= !0x08;
    assert_eq!(
        Authenticate::parse(&token).map(|_| ()),
        Err(NtlmError::Weak {
            missing: Flags::EXTENDED_SESSION_SECURITY
        })
    );
}

// rules: A9
#[test]
fn debug_output_has_no_secret() {
    let shown = format!("{:?}", fresh());
    assert!(
        shown.contains("130000000000000000") && !shown.contains("5, 5"),
        "{shown}"
    );
    let (_, answer, _) = answer(&offer(None), &Client::default());
    let shown = format!("{:?}", Authenticate::parse(&answer).unwrap());
    assert!(
        shown.contains("alice") && !shown.contains("session_key") && !shown.contains("proof"),
        "{shown}"
    );
}

// The Unix epoch is 11,644,473,600 seconds after that of Windows.
// rules: A7
#[test]
fn windows_time() {
    assert_eq!(
        FileTime::from_unix(UnixTime(0)),
        FileTime(116_444_736_000_000_000)
    );
    assert_eq!(FileTime::from_unix(UnixTime(u64::MAX)), FileTime(u64::MAX));
    assert_eq!(FileTime(0).to_unix(), UnixTime(0));
    assert_eq!(FileTime(116_444_736_019_999_999).to_unix(), UnixTime(1));
    let (a, b) = (FileTime(10_000_001), FileTime(35_000_000));
    assert_eq!(a.distance(b), Duration::from_nanos(2_499_999_900));
    assert_eq!(b.distance(a), a.distance(b));
    assert_eq!(
        FileTime(0).distance(FileTime(u64::MAX)).as_secs(),
        u64::MAX / 10_000_000
    );
}

proptest! {
    // rules: A1, A4
    #[test]
    fn any_user_logs_on(
        user in "\\PC{0,20}", domain in "\\PC{0,20}", workstation in "\\PC{0,9}", password in "\\PC{0,20}",
        nonces: [[u8; 8]; 2], session: [u8; 16], time: Option<u64>, now: u64, mic: bool,
    ) {
        let mut offer = offer(time.map(FileTime));
        offer.nonce = nonces[0];
        let challenge = offer.write().unwrap();
        let read = Challenge::parse(&challenge).unwrap();
        let identity = Identity::new(&user, Some(&domain), hash(&password));
        let client = Client { workstation, mic, ..Client::default() };
        let fresh = Fresh::new(nonces[1], session, FileTime(now));
        let (answer, keys) = authenticate(&read, &identity, &client, &fresh).unwrap();
        let server = verified(&challenge, &answer, &hash(&password)).unwrap();
        prop_assert!(server.verify(&answer, &keys.sign(&answer)));
        let other = verified(&challenge, &answer, &hash(&(password + "x")));
        prop_assert_eq!(other.map(|_| ()), Err(NtlmError::WrongProof));
    }

    // rules: A1
    #[test]
    fn no_bit_under_a_mic_can_be_changed(at: prop::sample::Index, bit in 0..8u8) {
        let client = Client { workstation: "desk".into(), mic: true, ..Client::default() };
        let (challenge, answer, _) = answer(&offer(Some(FileTime(9))), &client);
        let mut changed = answer.clone();
        changed[at.index(answer.len())] ^= 1 << bit;
        prop_assert!(verified(&challenge, &changed, &hash("open sesame")).is_err());
    }

    // rules: A1
    #[test]
    fn any_answer_is_read_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..200), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5),
    ) {
        let _ = Authenticate::parse(&bytes);
        let (challenge, mut answer, _) = answer(&offer(None), &Client::default());
        for (at, octet) in changes {
            let at = at.index(answer.len());
            answer[at] = octet;
        }
        if verified(&challenge, &answer, &hash("open sesame")).is_ok() {
            let read = Authenticate::parse(&answer).unwrap();
            prop_assert_eq!(read.domain(), "CONTOSO");
            prop_assert_eq!(read.user().to_uppercase(), String::from("ALICE"));
        }
    }
}
