//! Captures: `sansip ladder` draws one, and `--pcap` writes one.

mod cut;
mod file;
mod packet;
mod stream;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use sansip::wire::{Message, MessageLimits};
use serde_json::json;

use crate::args::LadderArgs;
use crate::capture::cut::Seeker;
use crate::capture::packet::{Ends, Packet, Segment};
use crate::capture::stream::{Gap, Half, Piece};
use crate::failure::Failure;
use crate::ladder::Story;
use crate::output::Output;

pub(crate) use cut::{Cut, Cutter};
pub(crate) use writer::{Capture, Side};

/// Which packet of a capture, from 1 on, and its time since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    packet: u64,
    at: Duration,
}

/// Draws the SIP messages of a capture.
pub(crate) fn run(args: &LadderArgs, out: Output) -> Result<(), Failure> {
    let mut reader = Reader::new(args.hosts);
    let outcome = file::read(&args.file, |link, stamp, data| reader.packet(link, stamp, data));
    let (story, start) = reader.end();
    let messages = story.messages();
    story.tell(out, start);
    outcome?;
    if messages == 0 {
        return Err(Failure::new(format!(
            "no SIP message can be read in {}",
            args.file
        )));
    }
    Ok(())
}

/// Makes a story of packets.
struct Reader {
    story: Story,
    /// One party for each host, whatever its ports.
    hosts: bool,
    conns: BTreeMap<Ends, Conn>,
    start: Option<Duration>,
    last: Duration,
    /// What nothing is made of, by reason.
    unread: BTreeMap<&'static str, u64>,
}

/// A connection, with one half for each direction: from the lesser address, and from the greater one.
#[derive(Default)]
struct Conn {
    halves: [Direction; 2],
}

#[derive(Default)]
struct Direction {
    half: Half,
    reading: Reading,
    /// There was a SIP message in it.
    is_sip: bool,
    /// When bytes were missing, and how many. It is said once it is known that the connection speaks SIP.
    holes: Vec<(Duration, u64)>,
}

#[derive(Default)]
enum Reading {
    /// Nothing has come.
    #[default]
    Nothing,
    Messages(Cutter),
    /// For the start of a message.
    Seeking(Seeker),
    /// So many bytes of TLS, the first of them at this time.
    Tls(u64, Duration),
}

impl Reader {
    fn new(hosts: bool) -> Self {
        Self {
            story: Story::default(),
            hosts,
            conns: BTreeMap::new(),
            start: None,
            last: Duration::ZERO,
            unread: BTreeMap::new(),
        }
    }

    fn packet(&mut self, link: u32, stamp: Stamp, data: &[u8]) {
        self.start.get_or_insert(stamp.at);
        self.last = self.last.max(stamp.at);
        match Packet::read(link, data) {
            Packet::Tcp(segment) => self.segment(stamp, &segment),
            Packet::Udp { ends, payload } => {
                if cut::is_message(payload) {
                    self.message(ends, stamp, Bytes::copy_from_slice(payload));
                }
            }
            Packet::Exported {
                ends,
                dissector: b"sip" | b"sip.tcp",
                payload,
            } => {
                // A keep-alive is CRLF alone.
                if !payload.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
                    self.message(ends, stamp, Bytes::copy_from_slice(payload));
                }
            }
            Packet::Exported {
                ends,
                dissector: b"data",
                payload,
            } => self.no_message(ends, stamp.at, payload.len(), "are no message"),
            Packet::Fragment => self.leave("fragments of IP packets"),
            Packet::Unknown => self.leave("packets of a link type that is not known"),
            Packet::Exported { .. } | Packet::Other => {}
        }
    }

    fn leave(&mut self, what: &'static str) {
        *self.unread.entry(what).or_default() += 1;
    }

    fn segment(&mut self, stamp: Stamp, segment: &Segment<'_>) {
        let Ends { from, to } = segment.ends;
        let (key, side) = if from <= to {
            (segment.ends, 0)
        } else {
            (Ends { from: to, to: from }, 1)
        };
        let conn = self.conns.entry(key).or_default();
        if segment.syn && !segment.ack && direction(conn, side).half.is_other(segment.sequence) {
            // The same ports once more.
            let old = std::mem::take(conn);
            self.end_of(key, old);
        }
        let conn = self.conns.entry(key).or_default();
        let direction = direction(conn, side);
        let mut sequence = segment.sequence;
        if segment.syn {
            direction.half.begin(sequence);
            sequence = sequence.wrapping_add(1);
        }
        // What an RST carries is no data (RFC 9293 section 3.5.3).
        let payload = if segment.rst { &[] } else { segment.payload };
        let mut pieces = Vec::new();
        direction.half.segment(sequence, stamp, payload, &mut pieces);
        let mut taken = std::mem::take(direction);
        self.pieces(segment.ends, &mut taken, pieces);
        if let Some(conn) = self.conns.get_mut(&key) {
            *self::direction(conn, side) = taken;
        }
    }

    fn pieces(&mut self, ends: Ends, direction: &mut Direction, pieces: Vec<Piece>) {
        for piece in pieces {
            self.piece(ends, direction, &piece);
        }
    }

    fn piece(&mut self, ends: Ends, direction: &mut Direction, Piece { gap, stamp, bytes }: &Piece) {
        match (&mut direction.reading, gap) {
            (Reading::Tls(count, _), _) => {
                *count += bytes.len() as u64;
                return;
            }
            (Reading::Nothing, _) if is_tls(bytes) => {
                direction.reading = Reading::Tls(bytes.len() as u64, stamp.at);
                return;
            }
            (Reading::Nothing, Gap::Nothing) => direction.reading = Reading::Messages(Cutter::new()),
            (Reading::Nothing, Gap::Bytes(missing)) => {
                direction.holes.push((stamp.at, *missing));
                direction.reading = Reading::Seeking(Seeker::default());
            }
            (Reading::Nothing, Gap::Unknown) => {
                direction.reading = Reading::Seeking(Seeker::default());
            }
            (Reading::Messages(_) | Reading::Seeking(_), Gap::Bytes(missing)) => {
                direction.holes.push((stamp.at, *missing));
                direction.reading = Reading::Seeking(Seeker::default());
            }
            (Reading::Messages(_) | Reading::Seeking(_), Gap::Nothing | Gap::Unknown) => {}
        }
        let mut bytes = Bytes::copy_from_slice(bytes);
        loop {
            match &mut direction.reading {
                Reading::Nothing | Reading::Tls(..) => return,
                Reading::Seeking(seeker) => match seeker.push(&bytes) {
                    None => return,
                    Some(found) => {
                        bytes = found;
                        direction.reading = Reading::Messages(Cutter::new());
                    }
                },
                Reading::Messages(cutter) => {
                    cutter.push(&bytes);
                    match self.messages(ends, *stamp, cutter, &mut direction.is_sip) {
                        None => return,
                        Some(lost) => {
                            bytes = lost;
                            direction.reading = Reading::Seeking(Seeker::default());
                        }
                    }
                }
            }
        }
    }

    /// Takes what has been cut. Where the stream is lost it gives the bytes in which the next message may begin.
    fn messages(
        &mut self,
        ends: Ends,
        stamp: Stamp,
        cutter: &mut Cutter,
        is_sip: &mut bool,
    ) -> Option<Bytes> {
        while let Some(cut) = cutter.next() {
            match cut {
                Cut::Crlf => {}
                Cut::Message(bytes) => {
                    *is_sip = true;
                    self.message(ends, stamp, bytes);
                }
                Cut::Lost(why, mut bytes) => {
                    if *is_sip || cut::is_message(&bytes) {
                        *is_sip = true;
                        let words = format!(
                            "{} > {}: the stream cannot be cut here: {why}",
                            ends.from, ends.to
                        );
                        let fields = fields(ends, bytes.len() as u64, why.reason());
                        self.story.remark(stamp.at, "lost", words, fields);
                    }
                    // Not the same line once more.
                    let end = memchr::memchr(b'\n', &bytes).unwrap_or(bytes.len());
                    return Some(bytes.split_off(end));
                }
            }
        }
        None
    }

    fn message(&mut self, ends: Ends, stamp: Stamp, bytes: Bytes) {
        let length = bytes.len();
        match Message::parse(bytes, &MessageLimits::default()) {
            Ok(message) => {
                let more = vec![("packet", json!(stamp.packet))];
                let names = [self.name(ends.from), self.name(ends.to)];
                self.story.message(stamp.at, names, &message, more);
            }
            Err(error) => {
                let why = format!("are a message that cannot be read: {error}");
                self.no_message(ends, stamp.at, length, &why);
            }
        }
    }

    fn name(&self, address: SocketAddr) -> String {
        if self.hosts {
            address.ip().to_string()
        } else {
            address.to_string()
        }
    }

    fn no_message(&mut self, ends: Ends, at: Duration, length: usize, why: &str) {
        let words = format!("{} > {}: {length} bytes {why}", ends.from, ends.to);
        self.story
            .remark(at, "no_message", words, fields(ends, length as u64, why));
    }

    fn missing(&mut self, ends: Ends, holes: &[(Duration, u64)]) {
        for (at, missing) in holes {
            let words = format!("{} > {}: {missing} bytes are missing", ends.from, ends.to);
            let fields = fields(ends, *missing, "missing");
            self.story.remark(*at, "missing", words, fields);
        }
    }

    /// What is left when a connection is over.
    fn end_of(&mut self, key: Ends, conn: Conn) {
        let back = Ends {
            from: key.to,
            to: key.from,
        };
        let mut halves = [key, back].into_iter().zip(conn.halves).collect::<Vec<_>>();
        for (ends, direction) in &mut halves {
            let mut pieces = Vec::new();
            direction.half.end(&mut pieces);
            self.pieces(*ends, direction, pieces);
        }
        let is_sip = halves.iter().any(|(_, direction)| direction.is_sip);
        let mut secret = None;
        let mut other = false;
        for (ends, mut direction) in halves {
            if is_sip {
                self.missing(ends, &direction.holes);
            }
            match &mut direction.reading {
                Reading::Nothing => {}
                Reading::Tls(count, at) => {
                    let (bytes, _) = secret.get_or_insert((0, *at));
                    *bytes += *count;
                }
                Reading::Messages(cutter) if direction.is_sip => {
                    let rest = cutter.take_rest().len();
                    if rest > 0 {
                        self.no_message(ends, self.last, rest, "are a message that is not whole");
                    }
                }
                Reading::Messages(_) | Reading::Seeking(_) => other |= !is_sip,
            }
        }
        if let Some((bytes, at)) = secret {
            let words = format!(
                "{} and {} speak TLS: {bytes} bytes that cannot be read without its keys",
                key.from, key.to
            );
            self.story
                .remark(at, "unreadable", words, fields(key, bytes, "tls"));
        } else if other {
            self.leave("connections without a SIP message");
        }
    }

    /// The story, and when it begins.
    fn end(mut self) -> (Story, Duration) {
        for (key, conn) in std::mem::take(&mut self.conns) {
            self.end_of(key, conn);
        }
        for (what, count) in std::mem::take(&mut self.unread) {
            let fields = vec![("what", json!(what)), ("count", json!(count))];
            let words = format!("left out: {count} {what}");
            self.story.remark(self.last, "left_out", words, fields);
        }
        (self.story, self.start.unwrap_or_default())
    }
}

fn direction(conn: &mut Conn, side: usize) -> &mut Direction {
    let [first, second] = &mut conn.halves;
    if side == 0 { first } else { second }
}

/// Whether a stream begins like TLS: one of its record types and its version (RFC 8446 section 5.1).
fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [20..=23] | [20..=23, 3, ..])
}

fn fields(ends: Ends, bytes: u64, why: &str) -> crate::output::Fields {
    vec![
        ("from", json!(ends.from.to_string())),
        ("to", json!(ends.to.to_string())),
        ("bytes", json!(bytes)),
        ("reason", json!(why)),
    ]
}
