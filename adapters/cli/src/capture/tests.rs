//! Captures that are made here, read back.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

const A: &str = "192.0.2.1:40000";
const B: &str = "192.0.2.2:5060";

fn request(method: &str, body: &str) -> Vec<u8> {
    let text = format!(
        "{method} sip:b@example.com SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1\r\n\
        From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\nCall-ID: 1\r\nCSeq: 1 {method}\r\n\
        Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    text.into_bytes()
}

fn answer(method: &str) -> Vec<u8> {
    let text = request(method, "");
    let (_, fields) = text.split_at(text.iter().position(|byte| *byte == b'\n').unwrap() + 1);
    [b"SIP/2.0 200 OK\r\n", fields].concat()
}

/// A file of one test, gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sansip-capture-{name}-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn ends() -> [SocketAddr; 2] {
    [A.parse().unwrap(), B.parse().unwrap()]
}

/// A connection between A and B with these bytes on it, each by A or else by B, as `--pcap` writes it at A.
fn capture(name: &str, tls: bool, ends: [SocketAddr; 2], bytes: &[(bool, Vec<u8>)]) -> Vec<u8> {
    let file = Scratch::new(name);
    let capture = Capture::create(&file.0).unwrap();
    let at = |number: u64| Duration::from_millis(1_700_000_000_000 + number);
    let key = (0, 0);
    capture.ready(at(0), key, ends, Side::Ours, tls);
    for (number, (by_a, bytes)) in (1..).zip(bytes) {
        let by = if *by_a { Side::Ours } else { Side::Theirs };
        capture.data(at(number), key, by, bytes);
    }
    capture.closed(at(99), key, Side::Ours);
    capture.finish().unwrap();
    fs::read(&file.0).unwrap()
}

fn call(name: &str, tls: bool) -> Vec<u8> {
    let (first, second) = (request("INVITE", "v=0\r\n"), request("ACK", ""));
    let (half, other) = first.split_at(100);
    let bytes = [
        (true, half.to_vec()),
        (true, [other, b"\r\n\r\n"].concat()),
        (false, b"\r\n".to_vec()),
        (false, answer("INVITE")),
        (true, [second, request("BYE", "")].concat()),
        (false, answer("BYE")),
    ];
    capture(name, tls, ends(), &bytes)
}

fn wanted() -> Vec<String> {
    let there = |words: &str| format!("{A} > {B}: {words}");
    let back = |words: &str| format!("{B} > {A}: {words}");
    vec![
        there("INVITE"),
        back("200 OK (INVITE)"),
        there("ACK"),
        there("BYE"),
        back("200 OK (BYE)"),
    ]
}

fn read(bytes: &[u8]) -> (Vec<String>, Result<(), String>) {
    let mut reader = Reader::new(false);
    let outcome = file::read_from(bytes, &mut |link, stamp, data| reader.packet(link, stamp, data));
    (reader.end().0.lines(), outcome)
}

/// The packets of a capture, in this order, as if nothing else had been captured.
fn rearrange(bytes: &[u8], order: impl Fn(&mut Vec<(u32, Stamp, Vec<u8>)>)) -> Vec<String> {
    let mut packets = Vec::new();
    file::read_from(bytes, &mut |link, stamp, data| {
        packets.push((link, stamp, data.to_vec()))
    })
    .unwrap();
    order(&mut packets);
    let mut reader = Reader::new(false);
    for (number, (link, stamp, data)) in (1..).zip(packets) {
        let stamp = Stamp {
            packet: number,
            ..stamp
        };
        reader.packet(link, stamp, &data);
    }
    reader.end().0.lines()
}

#[test]
fn what_is_written_is_read_back_over_tcp_and_over_tls() {
    for tls in [false, true] {
        assert_eq!(read(&call("back", tls)), (wanted(), Ok(())), "{tls}");
    }
    let six = ["[2001:db8::1]:40000", "[2001:db8::2]:5061"].map(|end| end.parse().unwrap());
    for tls in [false, true] {
        let (lines, _) = read(&capture("six", tls, six, &[(false, request("OPTIONS", ""))]));
        assert_eq!(lines, ["[2001:db8::2]:5061 > [2001:db8::1]:40000: OPTIONS"]);
    }
}

#[test]
fn what_is_no_message_is_said_in_either_form() {
    let junk = b"SIP? no\r\n".to_vec();
    let bytes = [(true, request("OPTIONS", "")), (true, junk.clone()), (true, junk)];
    let (over_tls, _) = read(&capture("junk", true, ends(), &bytes));
    assert_eq!(over_tls[0], format!("{A} > {B}: OPTIONS"));
    assert_eq!(
        over_tls[1],
        format!("no_message: {A} > {B}: 9 bytes are no message")
    );
    let (over_tcp, _) = read(&capture("junk", false, ends(), &bytes));
    assert_eq!(
        over_tcp[1],
        format!("lost: {A} > {B}: the stream cannot be cut here: not SIP")
    );
    // Something that is cut off by the end.
    let half = request("OPTIONS", "")[..60].to_vec();
    let bytes = [(true, request("OPTIONS", "")), (true, half)];
    for tls in [false, true] {
        let (lines, _) = read(&capture("half", tls, ends(), &bytes));
        assert!(
            lines[1].starts_with(&format!("no_message: {A} > {B}: 60 bytes")),
            "{lines:?}"
        );
        assert_eq!(lines.len(), 2);
    }
}

#[test]
fn after_a_message_without_length_the_next_one_is_found() {
    let text = String::from_utf8(request("OPTIONS", "")).unwrap();
    let without = text.replace("Content-Length: 0\r\n", "").into_bytes();
    let (lines, _) = read(&capture(
        "length",
        false,
        ends(),
        &[(true, [without, request("INFO", "")].concat())],
    ));
    assert_eq!(
        lines,
        [
            format!("lost: {A} > {B}: the stream cannot be cut here: missing Content-Length"),
            format!("{A} > {B}: INFO"),
        ]
    );
}

#[test]
fn segments_out_of_order_and_sent_again_change_nothing() {
    let bytes = call("order", false);
    let swapped = rearrange(&bytes, |packets| {
        // Behind the handshake: the two halves of the INVITE.
        packets.swap(3, 4);
        let again = packets[4].clone();
        packets.push(again);
    });
    assert_eq!(swapped, wanted());
}

#[test]
fn a_missing_segment_is_said_and_the_next_message_is_found() {
    let bytes = call("missing", false);
    let lines = rearrange(&bytes, |packets| drop(packets.remove(4)));
    let length = request("INVITE", "v=0\r\n").len() + 4 - 100;
    let missing = format!("missing: {A} > {B}: {length} bytes are missing");
    // Said although only what follows shows that it is SIP.
    let (remarks, messages): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| *line == missing);
    assert_eq!((remarks.len(), messages), (1, wanted()[1..].to_vec()));

    let lines = rearrange(&bytes, |packets| {
        // The ACK and the BYE go over a hole.
        let mut late = packets[7].clone();
        let sequence = u32::from_be_bytes(*late.2[24..].first_chunk().unwrap());
        late.2[24..28].copy_from_slice(&(sequence + 7).to_be_bytes());
        packets[7] = late;
    });
    assert!(
        lines.contains(&format!("missing: {A} > {B}: 7 bytes are missing")),
        "{lines:?}"
    );
    assert!(lines.contains(&format!("{A} > {B}: BYE")), "{lines:?}");
}

#[test]
fn a_capture_that_begins_in_the_middle_begins_with_the_next_message() {
    let lines = rearrange(&call("middle", false), |packets| {
        packets.drain(..4);
    });
    assert_eq!(lines, wanted()[1..]);
}

#[test]
fn the_same_ports_may_be_used_for_another_connection() {
    let (first, second) = (call("first", false), call("second", false));
    let lines = rearrange(&first, |packets| {
        let mut sequence = Vec::new();
        file::read_from(second.as_slice(), &mut |link, stamp, data| {
            sequence.push((link, stamp, data.to_vec()))
        })
        .unwrap();
        for (_, stamp, data) in &mut sequence {
            stamp.at += Duration::from_secs(1);
            // Another initial sequence number for each side.
            for place in [24, 28] {
                let number = u32::from_be_bytes(*data[place..].first_chunk().unwrap());
                data[place..place + 4].copy_from_slice(&number.wrapping_add(0xffff_fff0).to_be_bytes());
            }
        }
        packets.extend(sequence);
    });
    assert_eq!(lines, [wanted(), wanted()].concat());
}

#[test]
fn tls_without_its_keys_is_one_line() {
    let hello = [&[22, 3, 1, 0, 5][..], &[0; 5]].concat();
    let (lines, _) = read(&capture(
        "secret",
        false,
        ends(),
        &[(true, hello.clone()), (false, hello)],
    ));
    let line = format!("unreadable: {A} and {B} speak TLS: 20 bytes that cannot be read without its keys");
    assert_eq!(lines, [line]);
}

#[test]
fn another_protocol_is_only_counted() {
    let (lines, _) = read(&capture(
        "other",
        false,
        ends(),
        &[(true, b"GET / HTTP/1.1\r\n\r\n".to_vec())],
    ));
    assert_eq!(lines, ["left_out: left out: 1 connections without a SIP message"]);
}

#[test]
fn a_datagram_is_a_message() {
    let mut packet = Vec::new();
    etherparse::PacketBuilder::ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64)
        .udp(5060, 5062)
        .write(&mut packet, &request("MESSAGE", "hello"))
        .unwrap();
    let mut reader = Reader::new(true);
    reader.packet(101, Stamp::default(), &packet);
    assert_eq!(reader.end().0.lines(), ["192.0.2.1 > 192.0.2.2: MESSAGE"]);
}

/// pcap, in both orders of bytes and with both fractions of a second.
#[test]
fn the_older_format_is_read() {
    let (packets, mut data) = (call("older", false), Vec::new());
    file::read_from(packets.as_slice(), &mut |_, _, packet| data.push(packet.to_vec())).unwrap();
    for (magic, nanos) in [(0xa1b2_c3d4_u32, false), (0xa1b2_3c4d, true)] {
        for big in [false, true] {
            let word = |number: u32| {
                if big {
                    number.to_be_bytes()
                } else {
                    number.to_le_bytes()
                }
            };
            let half = |number: u16| {
                if big {
                    number.to_be_bytes()
                } else {
                    number.to_le_bytes()
                }
            };
            let mut file = [word(magic).as_slice(), &half(2), &half(4)].concat();
            file.extend([word(0), word(0), word(65535), word(101)].concat());
            let part = if nanos { 500_000_000 } else { 500_000 };
            for packet in &data {
                let length = word(u32::try_from(packet.len()).unwrap());
                file.extend([word(7), word(part), length, length].concat());
                file.extend(packet);
            }
            let mut at = Vec::new();
            file::read_from(file.as_slice(), &mut |_, stamp, _| at.push(stamp.at)).unwrap();
            assert!(at.iter().all(|at| *at == Duration::from_millis(7500)), "{at:?}");
            let (mut lines, mut wanted) = (read(&file).0, wanted());
            lines.sort();
            wanted.sort();
            assert_eq!(lines, wanted, "{magic:x} {big}");
        }
    }
}

#[test]
fn a_file_that_breaks_off_gives_what_comes_before_and_says_where() {
    let whole = call("breaks", false);
    for length in 0..whole.len() {
        let (lines, outcome) = read(&whole[..length]);
        assert!(lines.len() <= wanted().len(), "{length}: {lines:?}");
        match outcome {
            // Between two blocks.
            Ok(()) => assert_eq!(length % 4, 0),
            Err(error) => assert!(
                error.contains("no capture") || error.contains("the file ends in it"),
                "{length}: {error}"
            ),
        }
    }
    let (lines, outcome) = read(&whole[..whole.len() - 1]);
    assert_eq!(lines, wanted());
    assert!(outcome.unwrap_err().contains("after 11 packets, is not whole"));
}

#[test]
fn a_length_that_cannot_be_is_an_error_and_takes_no_memory() {
    let mut bytes = call("long", false);
    // The length of the second block, behind the first one.
    let second = usize::try_from(u32::from_le_bytes(*bytes[4..].first_chunk().unwrap())).unwrap();
    bytes[second + 4..second + 8].copy_from_slice(&0x7fff_fff0_u32.to_le_bytes());
    let (lines, outcome) = read(&bytes);
    assert_eq!(lines, Vec::<String>::new());
    let error = outcome.unwrap_err();
    assert!(error.contains(&format!("offset {second}")), "{error}");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&bytes);
    }

    #[test]
    fn a_mutated_capture_never_panics(
        tls in any::<bool>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        length in any::<prop::sample::Index>(),
    ) {
        let mut bytes = call(if tls { "mutated-tls" } else { "mutated" }, tls);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(length.index(bytes.len()) + 1);
        let _ = read(&bytes);
    }

    // Packets whose bytes are anything, behind sound headers.
    #[test]
    fn any_stream_is_read(
        bytes in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..60)), 0..12),
        tls in any::<bool>(),
    ) {
        let _ = read(&capture(if tls { "any-tls" } else { "any" }, tls, ends(), &bytes));
    }
}
