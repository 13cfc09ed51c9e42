//! Cutting a byte stream into messages (rule C29).
//!
//! The answer depends on the bytes alone, never on how they were chunked: whatever is decided is decided at a fixed
//! byte of the stream, and no byte is looked at twice. Where one message ends and the next begins is known only from
//! Content-Length; a message without exactly one usable value of it cannot be delimited, and the stream is lost.

use alloc::vec::Vec;

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;

use super::class::Class;
use super::{HeaderName, MessageLimits, StatusCode};

/// One thing found in a stream. Offsets count the bytes of the stream from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A whole message, in a buffer of its own; [`Message::parse`](super::Message::parse) reads it.
    Message {
        /// Where it begins.
        offset: u64,
        /// Its bytes, from the start line to the end of the body.
        bytes: Bytes,
    },
    /// A CRLF where a message could begin: the answer to a keep-alive (RFC 5626 section 3.5.1), the first half of
    /// one, or left over by a sloppy peer. It is told at once, as the answer must not wait for what follows.
    Crlf {
        /// Where it begins.
        offset: u64,
    },
    /// A second CRLF after a [`Crlf`](Self::Crlf): the two are a keep-alive and want one CRLF as the answer.
    Ping {
        /// Where the first of the two begins.
        offset: u64,
    },
    /// The stream cannot be cut any further; nothing follows.
    Error(FrameError),
}

/// Why a stream cannot be cut any further: the connection is to be closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameError {
    /// Where the message that cannot be cut begins.
    pub offset: u64,
    /// What is wrong with it.
    pub kind: FrameErrorKind,
    /// Its start line and header fields, where their end was found: with
    /// [`Message::parse_head`](super::Message::parse_head) a request can be answered before the connection is
    /// closed. Otherwise empty.
    pub head: Bytes,
}

/// What is wrong with a message that cannot be delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameErrorKind {
    /// It does not begin like a request or a response.
    NotSip,
    /// Its header section is longer than [`MessageLimits::header_block`].
    HeadersTooLong,
    /// It has no Content-Length, which a stream needs (RFC 3261 section 18.3).
    NoContentLength,
    /// It has more than one Content-Length, even with equal values.
    RepeatedContentLength,
    /// Its Content-Length is not a run of digits.
    BadContentLength,
    /// Its body is longer than [`MessageLimits::body`].
    BodyTooLong,
}

impl FrameErrorKind {
    /// What is wrong, in a few words.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotSip => "not SIP",
            Self::HeadersTooLong => "header section too long",
            Self::NoContentLength => "missing Content-Length",
            Self::RepeatedContentLength => "repeated Content-Length",
            Self::BadContentLength => "bad Content-Length",
            Self::BodyTooLong => "body too long",
        }
    }

    /// What a request is answered before the connection is closed; `None` where nothing is there to be answered.
    pub const fn status(self) -> Option<StatusCode> {
        match self {
            Self::NotSip | Self::HeadersTooLong => None,
            Self::NoContentLength | Self::RepeatedContentLength | Self::BadContentLength => {
                Some(StatusCode::BAD_REQUEST)
            }
            Self::BodyTooLong => Some(StatusCode::REQUEST_ENTITY_TOO_LARGE),
        }
    }
}

impl core::fmt::Display for FrameErrorKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.reason())
    }
}

/// What is being read.
///
/// ```text
///            CRLF                    first other byte                empty line, Content-Length
///  Between ───────▶ Between   Between ───────────────▶ Head      Head ────────────────────────▶ Body
///                                                                Body ── its last byte ───────▶ Between
///  any ── error ──▶ Failed
/// ```
#[derive(Clone, Debug)]
enum State {
    /// Between messages. `half` once a CRLF has come that a second one would make a keep-alive.
    Between { half: bool },
    /// In the header section.
    Head(Head),
    /// The message is complete at this many bytes.
    Body { total: usize },
    /// The stream is lost.
    Failed,
}

/// How far a header section has been read.
#[derive(Clone, Debug, Default)]
struct Head {
    /// Bytes that have been looked at.
    scanned: usize,
    /// Where the line begins that `scanned` is in.
    line: usize,
    /// The first element of the start line has been seen whole and is a method or a version.
    begun: bool,
    length: Length,
}

/// What is known of Content-Length.
#[derive(Clone, Debug, Default)]
enum Length {
    #[default]
    Unseen,
    /// The field's lines so far: where its value begins, and the end of its last line.
    Value {
        start: usize,
        end: usize,
    },
    /// A field whose lines have all been read, likewise.
    Done {
        start: usize,
        end: usize,
    },
    Repeated,
}

/// Cuts one stream. It owns no buffer while it waits between messages.
#[derive(Clone, Debug)]
pub struct Framer {
    limits: MessageLimits,
    buffer: BytesMut,
    /// The place in the stream of the first byte of `buffer`.
    offset: u64,
    state: State,
}

impl Framer {
    /// A framer at the beginning of a stream.
    pub fn new(limits: MessageLimits) -> Self {
        Self {
            limits,
            buffer: BytesMut::new(),
            offset: 0,
            state: State::Between { half: false },
        }
    }

    /// Takes the next bytes of the stream; [`next`](Self::next) is to be called until it gives nothing. After an
    /// error they are dropped.
    pub fn push(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::Failed) {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// Bytes that wait here for the rest of their message.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Where in the stream the bytes begin that wait for the rest of their message.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether the stream is lost.
    pub const fn is_failed(&self) -> bool {
        matches!(self.state, State::Failed)
    }

    /// Says that the [`Frame::Crlf`] just given has been the answer to a keep-alive of ours, so that a CRLF that
    /// follows is not the second half of a keep-alive of the peer's.
    pub const fn crlf_was_pong(&mut self) {
        if let State::Between { half } = &mut self.state {
            *half = false;
        }
    }

    /// The next thing in the bytes taken so far, if there is one.
    #[expect(
        clippy::should_implement_trait,
        reason = "what comes after `None` depends on `push`: no iterator"
    )]
    pub fn next(&mut self) -> Option<Frame> {
        loop {
            match &mut self.state {
                State::Between { half } => {
                    let second = *half;
                    match (self.buffer.first(), self.buffer.get(1)) {
                        (None, _) | (Some(b'\r'), None) => return None,
                        (Some(b'\r'), Some(b'\n')) => return Some(self.crlf(second)),
                        (Some(_), _) => self.state = State::Head(Head::default()),
                    }
                }
                State::Head(head) => match head.read(&self.buffer, &self.limits) {
                    Ok(None) => return None,
                    Ok(Some(total)) => self.state = State::Body { total },
                    Err((kind, end)) => return Some(self.fail(kind, end)),
                },
                State::Body { total } => {
                    let total = *total;
                    return if self.buffer.len() < total {
                        None
                    } else {
                        Some(self.message(total))
                    };
                }
                State::Failed => return None,
            }
        }
    }

    fn crlf(&mut self, second: bool) -> Frame {
        let at = self.offset;
        self.consume(2);
        self.state = State::Between { half: !second };
        if second {
            Frame::Ping {
                offset: at.saturating_sub(2),
            }
        } else {
            Frame::Crlf { offset: at }
        }
    }

    fn message(&mut self, total: usize) -> Frame {
        let offset = self.offset;
        self.state = State::Between { half: false };
        // A message that is all there is keeps the buffer it came in; else it gets its own, so that keeping it does
        // not keep what came with it.
        let bytes = if self.buffer.len() == total && self.buffer.capacity() <= total.saturating_mul(2) {
            self.offset += total as u64;
            core::mem::replace(&mut self.buffer, BytesMut::new()).freeze()
        } else {
            let bytes = Bytes::copy_from_slice(self.buffer.get(..total).unwrap_or_default());
            self.consume(total);
            bytes
        };
        Frame::Message { offset, bytes }
    }

    fn fail(&mut self, kind: FrameErrorKind, head_end: usize) -> Frame {
        self.state = State::Failed;
        let head = Bytes::copy_from_slice(self.buffer.get(..head_end).unwrap_or_default());
        self.buffer = BytesMut::new();
        Frame::Error(FrameError {
            offset: self.offset,
            kind,
            head,
        })
    }

    fn consume(&mut self, length: usize) {
        self.buffer.advance(length);
        self.offset += length as u64;
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }
}

/// The error, and how many bytes the header section has where its end is known, else zero.
type Lost = (FrameErrorKind, usize);

impl Head {
    /// Reads on in `buffer`, which begins with the message. Gives the length of the whole message at the end of its
    /// header section.
    fn read(&mut self, buffer: &[u8], limits: &MessageLimits) -> Result<Option<usize>, Lost> {
        let bound = limits.header_bytes();
        let visible = buffer.get(..bound).unwrap_or(buffer);
        loop {
            let unread = visible.get(self.scanned..).unwrap_or_default();
            let line_feed = memchr(b'\n', unread).map(|at| self.scanned + at);
            if !self.begun {
                self.begin(
                    visible
                        .get(..line_feed.map_or(visible.len(), |at| at + 1))
                        .unwrap_or(visible),
                )?;
            }
            let Some(at) = line_feed else {
                self.scanned = visible.len();
                return if visible.len() < bound {
                    Ok(None)
                } else {
                    Err((FrameErrorKind::HeadersTooLong, 0))
                };
            };
            self.scanned = at + 1;
            // A line feed without its carriage return is no line end.
            let Some(line) = visible
                .get(self.line..at)
                .and_then(|line| line.strip_suffix(b"\r"))
            else {
                continue;
            };
            let start = self.line;
            self.line = self.scanned;
            if line.is_empty() {
                return self.finish(visible, limits).map(Some);
            }
            if start > 0 {
                self.field(start, line);
            }
        }
    }

    /// Looks at the first element of the start line, of which `seen` holds what has come: the bytes from the
    /// beginning, up to the first line feed if there is one.
    fn begin(&mut self, seen: &[u8]) -> Result<(), Lost> {
        const VERSION: &[u8] = b"SIP/";
        for (at, byte) in seen.iter().copied().enumerate().skip(self.scanned) {
            match byte {
                b' ' if at > 0 => {
                    self.begun = true;
                    return Ok(());
                }
                b'/' if at + 1 == VERSION.len()
                    && seen
                        .get(..at + 1)
                        .is_some_and(|first| first.eq_ignore_ascii_case(VERSION)) =>
                {
                    self.begun = true;
                    return Ok(());
                }
                _ if Class::TOKEN.has(byte) => {}
                _ => return Err((FrameErrorKind::NotSip, 0)),
            }
        }
        Ok(())
    }

    /// Takes note of a line of a header field that is Content-Length, or goes on with one.
    fn field(&mut self, start: usize, line: &[u8]) {
        let end = start + line.len();
        if matches!(line.first(), Some(b' ' | b'\t')) {
            if let Length::Value { end: last, .. } = &mut self.length {
                *last = end;
            }
            return;
        }
        if let Length::Value { start, end } = self.length {
            self.length = Length::Done { start, end };
        }
        let Some((name, value)) = memchr(b':', line).and_then(|colon| line.split_at_checked(colon)) else {
            return;
        };
        if HeaderName::from_bytes(trim(name)) == Some(HeaderName::ContentLength) {
            self.length = match self.length {
                Length::Unseen => Length::Value {
                    start: end - value.len() + 1,
                    end,
                },
                Length::Value { .. } | Length::Done { .. } | Length::Repeated => Length::Repeated,
            };
        }
    }

    /// The length of the whole message, all header fields being read.
    fn finish(&self, buffer: &[u8], limits: &MessageLimits) -> Result<usize, Lost> {
        let head = self.scanned;
        let value = match self.length {
            Length::Unseen => return Err((FrameErrorKind::NoContentLength, head)),
            Length::Repeated => return Err((FrameErrorKind::RepeatedContentLength, head)),
            Length::Value { start, end } | Length::Done { start, end } => {
                buffer.get(start..end).unwrap_or_default()
            }
        };
        let Some(length) = content_length(value) else {
            return Err((FrameErrorKind::BadContentLength, head));
        };
        match usize::try_from(length) {
            Ok(length) if length <= limits.body => Ok(head + length),
            _ => Err((FrameErrorKind::BodyTooLong, head)),
        }
    }
}

/// The number in a Content-Length value, folded or not: `1*DIGIT` (RFC 3261 section 20.14). One that is too large to
/// be held is `u64::MAX`, which is over every limit.
pub(super) fn content_length(value: &[u8]) -> Option<u64> {
    let digits = trim(value);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |number: u64, digit| {
        number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
    }))
}

/// Without the white space around it, line ends of folding included.
fn trim(mut text: &[u8]) -> &[u8] {
    const WHITE: &[u8] = b" \t\r\n";
    while let [first, rest @ ..] = text
        && WHITE.contains(first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && WHITE.contains(last)
    {
        text = rest;
    }
    text
}

/// All that a stream holds, for showing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// What was found, in order.
    pub events: Vec<ScanEvent>,
    /// Where a message begins whose end is missing.
    pub incomplete: Option<u64>,
}

/// One thing found by [`scan`]. Offsets and lengths are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanEvent {
    /// A whole message.
    Message {
        /// Where it begins.
        offset: u64,
        /// How long it is.
        len: usize,
    },
    /// A double CRLF.
    Ping {
        /// Where it begins.
        offset: u64,
    },
    /// A single CRLF.
    Crlf {
        /// Where it stands.
        offset: u64,
    },
    /// The stream cannot be cut any further.
    Error {
        /// Where the message that cannot be cut begins.
        offset: u64,
        /// What is wrong with it.
        kind: FrameErrorKind,
    },
}

/// Cuts a whole stream that comes in pieces of `chunk` bytes (at least one), with the two halves of a keep-alive told
/// as one.
pub fn scan(stream: &[u8], chunk: usize, limits: &MessageLimits) -> Scan {
    let mut framer = Framer::new(limits.clone());
    let mut events = Vec::new();
    for piece in stream.chunks(chunk.max(1)) {
        framer.push(piece);
        while let Some(frame) = framer.next() {
            match frame {
                Frame::Message { offset, bytes } => events.push(ScanEvent::Message {
                    offset,
                    len: bytes.len(),
                }),
                Frame::Crlf { offset } => events.push(ScanEvent::Crlf { offset }),
                Frame::Ping { offset } => {
                    events.pop();
                    events.push(ScanEvent::Ping { offset });
                }
                Frame::Error(FrameError { offset, kind, .. }) => {
                    events.push(ScanEvent::Error { offset, kind })
                }
            }
        }
    }
    let incomplete = (framer.buffered() > 0).then(|| framer.offset());
    Scan { events, incomplete }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    fn limits() -> MessageLimits {
        MessageLimits::default()
    }

    fn message(length: &str, body: &str) -> String {
        format!(
            "OPTIONS sip:b@example.com SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bKa\r\n{length}\r\n\r\n{body}"
        )
    }

    fn events(stream: &[u8], chunk: usize) -> Vec<ScanEvent> {
        scan(stream, chunk, &limits()).events
    }

    fn error(stream: &[u8]) -> Option<(u64, FrameErrorKind)> {
        let whole = events(stream, stream.len());
        for chunk in [1, 2, 3, 7] {
            assert_eq!(events(stream, chunk), whole, "chunks of {chunk}");
        }
        match whole.last() {
            Some(ScanEvent::Error { offset, kind }) => Some((*offset, *kind)),
            _ => None,
        }
    }

    // rules: C29
    #[test]
    fn messages_are_cut_by_their_content_length() {
        let first = message("Content-Length: 5", "a\r\nb\r");
        let second = message("l:0", "");
        let stream = format!("{first}{second}");
        for chunk in 1..=stream.len() {
            let expected = vec![
                ScanEvent::Message {
                    offset: 0,
                    len: first.len(),
                },
                ScanEvent::Message {
                    offset: first.len() as u64,
                    len: second.len(),
                },
            ];
            assert_eq!(events(stream.as_bytes(), chunk), expected, "chunks of {chunk}");
        }
    }

    // rules: C26, C29
    #[test]
    fn line_ends_between_messages_are_told_at_once_and_in_pairs() {
        let mut framer = Framer::new(limits());
        framer.push(b"\r");
        assert_eq!(framer.next(), None);
        framer.push(b"\n");
        assert_eq!(framer.next(), Some(Frame::Crlf { offset: 0 }));
        assert_eq!(framer.next(), None);
        framer.push(b"\r\n\r\n");
        assert_eq!(framer.next(), Some(Frame::Ping { offset: 0 }));
        assert_eq!(framer.next(), Some(Frame::Crlf { offset: 4 }));
        framer.push(message("l: 0", "").as_bytes());
        assert!(matches!(framer.next(), Some(Frame::Message { offset: 6, .. })));
        // A message between two line ends keeps them apart.
        framer.push(b"\r\n");
        assert!(matches!(framer.next(), Some(Frame::Crlf { .. })));
    }

    // rules: C26
    #[test]
    fn an_expected_answer_is_not_half_a_keep_alive() {
        let mut framer = Framer::new(limits());
        framer.push(b"\r\n\r\n\r\n");
        assert_eq!(framer.next(), Some(Frame::Crlf { offset: 0 }));
        framer.crlf_was_pong();
        assert_eq!(framer.next(), Some(Frame::Crlf { offset: 2 }));
        assert_eq!(framer.next(), Some(Frame::Ping { offset: 2 }));
    }

    // rules: C29
    #[test]
    fn without_one_usable_content_length_the_stream_is_lost() {
        let cases = [
            ("X: y", FrameErrorKind::NoContentLength),
            (
                "Content-Length: 0\r\nContent-Length: 0",
                FrameErrorKind::RepeatedContentLength,
            ),
            (
                "l: 0\r\nX: y\r\nCONTENT-LENGTH: 1",
                FrameErrorKind::RepeatedContentLength,
            ),
            ("Content-Length: -1", FrameErrorKind::BadContentLength),
            ("Content-Length: +1", FrameErrorKind::BadContentLength),
            ("Content-Length: 1 2", FrameErrorKind::BadContentLength),
            ("Content-Length: 0x1", FrameErrorKind::BadContentLength),
            ("Content-Length:", FrameErrorKind::BadContentLength),
            ("Content-Length: 1048577", FrameErrorKind::BodyTooLong),
            (
                "Content-Length: 18446744073709551616",
                FrameErrorKind::BodyTooLong,
            ),
        ];
        for (fields, kind) in cases {
            let good = message("l: 0", "");
            let stream = format!("{good}{}", message(fields, ""));
            assert_eq!(
                error(stream.as_bytes()),
                Some((good.len() as u64, kind)),
                "{fields}"
            );
        }
    }

    #[test]
    fn a_lost_stream_keeps_the_header_fields_for_the_answer_and_nothing_else() {
        let text = message("Content-Length: -1", "");
        let mut framer = Framer::new(limits());
        framer.push(text.as_bytes());
        framer.push(b"more");
        let Some(Frame::Error(error)) = framer.next() else {
            panic!("no error")
        };
        assert_eq!(error.head, text.as_bytes());
        assert_eq!(error.kind.status(), Some(StatusCode::BAD_REQUEST));
        framer.push(message("l: 0", "").as_bytes());
        assert_eq!(framer.next(), None);
        assert_eq!(framer.buffered(), 0);
        assert!(framer.is_failed());
    }

    // RFC 3261 section 25.1: HCOLON and folding.
    #[test]
    fn content_length_is_found_however_it_is_written() {
        for field in [
            "Content-Length \t :\t3",
            "cOnTeNt-LeNgTh:\r\n 3",
            "L : \r\n\t003\r\n ",
            "l:3 ",
        ] {
            let text = message(field, "abc");
            for chunk in [1, 3, text.len()] {
                let expected = vec![ScanEvent::Message {
                    offset: 0,
                    len: text.len(),
                }];
                assert_eq!(events(text.as_bytes(), chunk), expected, "{field:?}");
            }
        }
    }

    #[test]
    fn what_only_looks_like_content_length_is_not() {
        for field in [
            "X: y\r\n Content-Length: 3",
            "X: y\nContent-Length: 3",
            "X-Content-Length: 3",
            "Content-Length 3",
        ] {
            assert_eq!(
                error(message(field, "").as_bytes()),
                Some((0, FrameErrorKind::NoContentLength)),
                "{field:?}"
            );
        }
    }

    // rules: C31
    #[test]
    fn the_header_section_is_bounded_with_and_without_line_ends() {
        let bound = limits().header_block;
        let exact = |size: usize| {
            let fixed = message("l: 0\r\nX: ", "").len();
            message(&format!("l: 0\r\nX: {}", "y".repeat(size - fixed)), "")
        };
        let (fits, too_long) = (exact(bound), exact(bound + 1));
        assert_eq!(fits.len(), bound);
        assert_eq!(error(fits.as_bytes()), None);
        assert_eq!(events(fits.as_bytes(), 1000).len(), 1);
        assert_eq!(
            error(too_long.as_bytes()),
            Some((0, FrameErrorKind::HeadersTooLong))
        );
        assert_eq!(
            error("A".repeat(bound).as_bytes()),
            Some((0, FrameErrorKind::HeadersTooLong))
        );
        assert_eq!(error("A".repeat(bound - 1).as_bytes()), None);
    }

    // rules: C31
    #[test]
    fn the_body_is_bounded() {
        let limits = MessageLimits { body: 3, ..limits() };
        let fits = scan(message("l: 3", "abc").as_bytes(), 10, &limits);
        assert!(matches!(fits.events.as_slice(), [ScanEvent::Message { .. }]));
        let too_long = scan(message("l: 4", "abcd").as_bytes(), 10, &limits);
        let expected = [ScanEvent::Error {
            offset: 0,
            kind: FrameErrorKind::BodyTooLong,
        }];
        assert_eq!(too_long.events, expected);
        assert_eq!(
            FrameErrorKind::BodyTooLong.status(),
            Some(StatusCode::REQUEST_ENTITY_TOO_LARGE)
        );
    }

    #[test]
    fn what_is_not_sip_is_known_by_its_first_element() {
        for stream in [
            &b"\x16\x03\x01\x02"[..],
            b"\n",
            b" INVITE",
            b"\rx",
            b"{}",
            b"GET\r\n",
            b"SIP\r\n",
            b"a/b c",
        ] {
            assert_eq!(error(stream), Some((0, FrameErrorKind::NotSip)), "{stream:?}");
        }
        for stream in [&b"INVITE"[..], b"SIP/", b"sip/2.0 200", b"S", b"A%!*_+`'~.- "] {
            assert_eq!(error(stream), None, "{stream:?}");
            assert_eq!(scan(stream, 1, &limits()).incomplete, Some(0));
        }
    }

    #[test]
    fn an_idle_framer_owns_no_buffer() {
        let mut framer = Framer::new(limits());
        framer.push(message("l: 2", "ab\r\n\r\n").as_bytes());
        while framer.next().is_some() {}
        assert_eq!((framer.buffered(), framer.buffer.capacity()), (0, 0));
    }

    #[test]
    fn a_message_keeps_only_its_own_bytes() {
        let mut framer = Framer::new(limits());
        let text = message("l: 0", "");
        framer.push(text.repeat(100).as_bytes());
        let Some(Frame::Message { bytes, .. }) = framer.next() else {
            panic!("no message")
        };
        assert_eq!(bytes, text.as_bytes());
        // Only a buffer that nothing else shares can be had back as it is.
        let owned = bytes.try_into_mut().unwrap();
        assert!(owned.capacity() <= text.len());
    }

    fn piece() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            Just(b"\r\n".to_vec()),
            Just(message("l: 4", "a\r\n\r").into_bytes()),
            Just(message("Content-Length:\r\n 0", "").into_bytes()),
            Just(message("l: 1\r\nl: 1", "").into_bytes()),
            Just(message("X: y", "").into_bytes()),
            proptest::collection::vec(any::<u8>(), 0..20),
            "[ \r\n\t:a-zA-Z/0-9]{0,30}".prop_map(String::into_bytes),
        ]
    }

    proptest! {
        // rules: C29
        #[test]
        fn any_chunking_gives_the_same(
            pieces in proptest::collection::vec(piece(), 0..8),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
        ) {
            let stream = pieces.concat();
            let collect = |ends: &[usize]| {
                let (mut framer, mut frames, mut from) = (Framer::new(limits()), Vec::new(), 0);
                for end in ends {
                    framer.push(&stream[from..*end]);
                    from = *end;
                    frames.extend(core::iter::from_fn(|| framer.next()));
                }
                (frames, framer.buffered(), framer.offset())
            };
            let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            ends.push(stream.len());
            ends.sort_unstable();
            prop_assert_eq!(collect(&ends), collect(&[stream.len()]));
        }
    }
}
