//! A message as it came: one buffer and an index into it.
//!
//! This level is tolerant. It needs a start line that says whether this is a request or a response, and the end of
//! the header fields; what else is wrong is kept as the message's [`defect`](Message::defect), so that a request can
//! still be answered. Header values are typed on demand.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use bytes::{Buf, Bytes};

use super::class::Class;
use super::head::{Entry, HEADERS_TOO_LONG, Head, Index, Span, TOO_MANY_FIELDS, Unread};
use super::header::{CSeq, CallId, Elements, From, Header, ListHeader, To, Via};
use super::{HeaderName, Method, StatusCode, frame};
use crate::error::{ParseError, Place};

/// Bounds on one message (rule C31). A stream that exceeds one has lost its framing and is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct MessageLimits {
    /// Bytes of the start line and all header fields, with the empty line; at most 65,535; 32 KiB. Beyond it the
    /// connection is closed.
    pub header_block: usize,
    /// Header fields; 256. A message with more is malformed (400), and those beyond are not looked at.
    pub headers: usize,
    /// Bytes of the body; 1 MiB. Beyond it a request is answered 413 and the connection closed.
    pub body: usize,
}

impl Default for MessageLimits {
    fn default() -> Self {
        Self {
            header_block: 32 << 10,
            headers: 256,
            body: 1 << 20,
        }
    }
}

impl MessageLimits {
    /// The bound on the header section that holds: what is set, but never more than an index entry can reach.
    pub(super) fn header_bytes(&self) -> usize {
        self.header_block.min(usize::from(u16::MAX))
    }
}

/// What a body beyond its limit is refused with; it alone is answered 413.
pub(super) const BODY_TOO_LONG: &str = "longer than the limit";

/// Whether a message was refused, or is defective, because it exceeds its [`MessageLimits`].
pub(crate) fn is_over_limit(error: &ParseError) -> bool {
    [BODY_TOO_LONG, HEADERS_TOO_LONG, TOO_MANY_FIELDS].contains(&error.what)
}

/// Requests and responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It has a method and a Request-URI.
    Request,
    /// It has a status code.
    Response,
}

#[derive(Clone, Debug)]
pub(super) enum Start {
    Request {
        method: Method,
        uri: Span,
        version: Span,
    },
    Response {
        status: StatusCode,
        reason: Span,
        version: Span,
    },
}

/// A piece of what a response repeats of its request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Repeated<'a> {
    /// The last, or only, field in it.
    pub(super) name: HeaderName,
    /// The value of that field.
    pub(super) value: &'a [u8],
    /// Whole lines, the line break of the last one aside; or nothing but that value, where it is written otherwise.
    pub(super) text: &'a [u8],
}

/// A request or response. Cloning it counts references; parsing a usual one allocates nothing.
#[derive(Clone)]
pub struct Message {
    /// As received, from the start line to the end of the body.
    bytes: Bytes,
    /// The header section with every field on one line, where it came with folded ones; else what stands in `bytes`.
    unfolded: Option<Bytes>,
    /// Where the body begins in `bytes`.
    body: u32,
    start: Start,
    index: Index,
    defect: Option<Box<ParseError>>,
}

/// Equal when every byte is.
impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Message {}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = self.head();
        let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        write!(
            f,
            "Message({} .. {} bytes)",
            String::from_utf8_lossy(line),
            self.bytes.len()
        )
    }
}

impl Message {
    /// Reads one message that `bytes` hold whole, as a datagram does; CRLFs before it are skipped. The body is as
    /// long as Content-Length says, what follows is not part of the message; without Content-Length the body is all
    /// the rest (RFC 3261 section 18.3).
    ///
    /// # Errors
    /// The start line is neither that of a request nor that of a response, the empty line after the header fields is
    /// missing, a limit is exceeded, or Content-Length is repeated, is no number, or says more than there is.
    pub fn parse(bytes: Bytes, limits: &MessageLimits) -> Result<Self, ParseError> {
        // A message is large: it is read where it is returned.
        let mut read = Self::read_head(bytes, limits);
        if let Ok(message) = &mut read
            && let Err(error) = message.cut_body(limits)
        {
            read = Err(error);
        }
        read
    }

    /// Leaves out what follows the body.
    #[inline]
    fn cut_body(&mut self, limits: &MessageLimits) -> Result<(), ParseError> {
        let head = self.body_start();
        let available = self.bytes.len() - head;
        let length = match self.content_length()? {
            Some(length) => usize::try_from(length).unwrap_or(usize::MAX),
            None => available,
        };
        if length > limits.body {
            return Err(ParseError {
                place: Place::Body,
                what: BODY_TOO_LONG,
            });
        }
        if length > available {
            return Err(ParseError {
                place: Place::Body,
                what: "shorter than Content-Length says",
            });
        }
        self.bytes.truncate(head + length);
        Ok(())
    }

    /// Reads the start line and header fields alone and leaves the body empty: for answering a request whose
    /// framing is broken, and for showing what a message was that [`parse`](Self::parse) refuses.
    ///
    /// # Errors
    /// As with [`parse`](Self::parse), but for the body and Content-Length.
    pub fn parse_head(bytes: Bytes, limits: &MessageLimits) -> Result<Self, ParseError> {
        let mut message = Self::read_head(bytes, limits)?;
        message.bytes.truncate(message.body_start());
        Ok(message)
    }

    /// Reads the header section; whatever follows it counts as the body.
    #[inline]
    fn read_head(mut bytes: Bytes, limits: &MessageLimits) -> Result<Self, ParseError> {
        while bytes.starts_with(b"\r\n") {
            bytes.advance(2);
        }
        let mut index = Index::new();
        let (head, unfolded) = match Head::read(&bytes, limits, &mut index) {
            Ok(head) => (head, None),
            Err(Unread::Bad(error)) => return Err(error),
            Err(Unread::Folded) => {
                let (head, unfolded) = Head::read_folded(&bytes, limits, &mut index)?;
                (head, Some(unfolded))
            }
        };
        Ok(Self {
            bytes,
            unfolded,
            body: u32::try_from(head.end).unwrap_or(u32::MAX),
            start: head.start,
            index,
            defect: head.defect.map(Box::new),
        })
    }

    fn head(&self) -> &[u8] {
        self.unfolded.as_ref().unwrap_or(&self.bytes)
    }

    fn text(&self, span: Span) -> &[u8] {
        span.of(self.head())
    }

    fn name(&self, entry: &Entry) -> &[u8] {
        let line = self.head().get(usize::from(entry.line)..).unwrap_or_default();
        line.get(..Class::TOKEN.run(line)).unwrap_or_default()
    }

    /// The value of the one Content-Length; `None` without one.
    fn content_length(&self) -> Result<Option<u64>, ParseError> {
        let mut values = self.raw_all(HeaderName::ContentLength);
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(ParseError::header(HeaderName::ContentLength, "repeated"));
        }
        match frame::content_length(value) {
            Some(length) => Ok(Some(length)),
            None => Err(ParseError::header(HeaderName::ContentLength, "not a number")),
        }
    }

    /// The first thing that is wrong with the start line, or with a line that is no header field; such lines are
    /// not among the [`headers`](Self::headers). A request with a defect is answered 400, a response dropped.
    pub fn defect(&self) -> Option<&ParseError> {
        self.defect.as_deref()
    }

    /// Whether this is a request or a response.
    pub const fn kind(&self) -> Kind {
        match self.start {
            Start::Request { .. } => Kind::Request,
            Start::Response { .. } => Kind::Response,
        }
    }

    /// Whether this is a request.
    pub const fn is_request(&self) -> bool {
        matches!(self.start, Start::Request { .. })
    }

    /// The method of the request line; `None` for a response.
    pub const fn method(&self) -> Option<&Method> {
        match &self.start {
            Start::Request { method, .. } => Some(method),
            Start::Response { .. } => None,
        }
    }

    /// The Request-URI as written, unchecked; empty for a response, or where it is not UTF-8 (then a
    /// [`defect`](Self::defect) says so).
    pub fn request_uri(&self) -> &str {
        match self.start {
            Start::Request { uri, .. } => core::str::from_utf8(self.text(uri)).unwrap_or_default(),
            Start::Response { .. } => "",
        }
    }

    /// The status code; `None` for a request.
    pub const fn status(&self) -> Option<StatusCode> {
        match self.start {
            Start::Request { .. } => None,
            Start::Response { status, .. } => Some(status),
        }
    }

    /// The reason phrase of a response as written, usually UTF-8; empty for a request.
    pub fn reason(&self) -> &[u8] {
        match self.start {
            Start::Request { .. } => b"",
            Start::Response { reason, .. } => self.text(reason),
        }
    }

    /// The protocol version of the start line as written, `SIP/2.0` in any case; empty where there is none.
    pub fn version(&self) -> &str {
        match self.start {
            Start::Request { version, .. } | Start::Response { version, .. } => {
                core::str::from_utf8(self.text(version)).unwrap_or_default()
            }
        }
    }

    /// Every header field in order: its name if the stack knows it, the name as written, and the value without the
    /// white space around it, unfolded.
    pub fn headers(&self) -> impl Iterator<Item = (Option<HeaderName>, &[u8], &[u8])> {
        self.index
            .iter()
            .map(|entry| (entry.known, self.name(entry), self.text(entry.value)))
    }

    /// The value of the first field of this name.
    pub fn raw(&self, name: HeaderName) -> Option<&[u8]> {
        self.raw_all(name).next()
    }

    /// The values of all fields of this name, in order.
    pub fn raw_all(&self, name: HeaderName) -> impl Iterator<Item = &[u8]> {
        self.index
            .iter()
            .filter(move |entry| entry.known == Some(name))
            .map(|entry| self.text(entry.value))
    }

    /// Gives what a response repeats (RFC 3261 section 8.2.6.2) in as few pieces as can be: neighbouring lines that stand
    /// in the order of a response and are written as this stack writes them are one. A piece ends with To, which the
    /// response may add to. No piece has a line break but those between its lines: a line with a stray one is no field.
    ///
    /// `false` when the fields are in another order, or repeated; what has been given until then is void.
    pub(super) fn repeated<'a>(&'a self, mut give: impl FnMut(&Repeated<'a>)) -> bool {
        struct Piece {
            start: u16,
            name: HeaderName,
            value: Span,
            /// Whether the next line may become a part of it.
            grows: bool,
        }
        let head = self.head();
        let mut give = |piece: &Piece| {
            let (start, end) = (piece.start, piece.value.end);
            give(&Repeated {
                name: piece.name,
                value: piece.value.of(head),
                text: Span { start, end }.of(head),
            });
        };
        let mut open: Option<Piece> = None;
        let mut last = 0;
        for entry in &self.index {
            let value = entry.value;
            let (name, place, usual) = match entry.known {
                Some(name @ HeaderName::Via) => (name, 1, begins(head, entry, b"Via: ")),
                Some(name @ HeaderName::From) => (name, 2, begins(head, entry, b"From: ")),
                Some(name @ HeaderName::To) => (name, 3, begins(head, entry, b"To: ")),
                Some(name @ HeaderName::CallId) => (name, 4, begins(head, entry, b"Call-ID: ")),
                Some(name @ HeaderName::CSeq) => (name, 5, begins(head, entry, b"CSeq: ")),
                Some(_) | None => continue,
            };
            if place < last || (place == last && place != 1) {
                return false;
            }
            last = place;
            let start = if usual { entry.line } else { value.start };
            let grows = usual && name != HeaderName::To;
            match &mut open {
                Some(piece) if piece.grows && usual && piece.value.end.checked_add(2) == Some(start) => {
                    (piece.name, piece.value, piece.grows) = (name, value, grows);
                }
                _ => {
                    let next = Piece {
                        start,
                        name,
                        value,
                        grows,
                    };
                    if let Some(piece) = open.replace(next) {
                        give(&piece);
                    }
                }
            }
        }
        if let Some(piece) = &open {
            give(piece);
        }
        true
    }

    /// The values of all fields with this name, known to the stack or not, in any case; compact and long forms are
    /// one.
    pub fn raw_by_name<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let known = HeaderName::from_bytes(name.as_bytes());
        self.index
            .iter()
            .filter(move |entry| match known {
                Some(_) => entry.known == known,
                None => self.name(entry).eq_ignore_ascii_case(name.as_bytes()),
            })
            .map(|entry| self.text(entry.value))
    }

    /// How many fields of this name there are.
    pub fn count(&self, name: HeaderName) -> usize {
        self.index
            .iter()
            .filter(|entry| entry.known == Some(name))
            .count()
    }

    /// The body, sharing this message's buffer.
    pub fn body(&self) -> Bytes {
        self.bytes.slice(self.body_start()..)
    }

    /// The body, borrowed.
    pub fn body_bytes(&self) -> &[u8] {
        self.bytes.get(self.body_start()..).unwrap_or_default()
    }

    fn body_start(&self) -> usize {
        usize::try_from(self.body)
            .unwrap_or(usize::MAX)
            .min(self.bytes.len())
    }

    /// The message as it was received, from its start line to the end of its body.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// A copy in a buffer of its own size, so that keeping it keeps no receive buffer alive.
    #[must_use]
    pub fn to_owned_small(&self) -> Self {
        let mut small = self.clone();
        small.bytes = Bytes::copy_from_slice(&self.bytes);
        small
    }

    /// The same without its body; its header fields say of it what they did.
    pub(crate) fn without_body(&self) -> Self {
        let mut head = self.clone();
        head.bytes.truncate(self.body_start());
        head
    }

    /// The typed value of a field; `None` when the message has no such field. Of a field that may repeat, the first.
    ///
    /// # Errors
    /// The value does not follow its grammar or is not UTF-8, or a field that must stand once is repeated.
    pub fn typed<'a, H: Header<'a>>(&'a self) -> Result<Option<H>, ParseError> {
        let mut values = self.raw_all(H::NAME);
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if H::NAME.is_single() && values.next().is_some() {
            return Err(ParseError::header(H::NAME, "repeated"));
        }
        parse_value(value).map(Some)
    }

    /// As [`typed`](Self::typed), where the absence of the field is an error as well.
    ///
    /// # Errors
    /// Those of [`typed`](Self::typed), and that the field is missing.
    pub fn required<'a, H: Header<'a>>(&'a self) -> Result<H, ParseError> {
        self.typed()?
            .ok_or_else(|| ParseError::header(H::NAME, "missing"))
    }

    /// The typed elements of a field whose value is a comma-separated list, over all its lines.
    ///
    /// Each element that does not follow its grammar is an error in its place.
    pub fn list<'a, H: ListHeader<'a> + 'a>(&'a self) -> impl Iterator<Item = Result<H, ParseError>> + 'a {
        let mut lines = self.raw_all(H::NAME);
        let mut line: Option<Elements<'a>> = None;
        core::iter::from_fn(move || {
            loop {
                if let Some(element) = line.as_mut().and_then(Iterator::next) {
                    return Some(parse_element(element));
                }
                match text_of(H::NAME, lines.next()?) {
                    Ok(text) => line = Some(H::elements(text)),
                    Err(error) => return Some(Err(error)),
                }
            }
        })
    }

    /// The first value of Via: the hop that a response goes to.
    ///
    /// # Errors
    /// It is missing or does not follow its grammar.
    pub fn via_top(&self) -> Result<Via<'_>, ParseError> {
        self.list()
            .next()
            .ok_or_else(|| ParseError::header(HeaderName::Via, "missing"))?
    }

    /// The From field.
    ///
    /// # Errors
    /// It is missing, repeated, or does not follow its grammar.
    pub fn from_(&self) -> Result<From<'_>, ParseError> {
        self.required()
    }

    /// The To field.
    ///
    /// # Errors
    /// It is missing, repeated, or does not follow its grammar.
    pub fn to(&self) -> Result<To<'_>, ParseError> {
        self.required()
    }

    /// The Call-ID field.
    ///
    /// # Errors
    /// It is missing, repeated, or does not follow its grammar.
    pub fn call_id(&self) -> Result<&str, ParseError> {
        let CallId(text) = self.required()?;
        match text {
            Cow::Borrowed(text) => Ok(text),
            // Only what an application makes itself is owned.
            Cow::Owned(_) => Err(ParseError::header(HeaderName::CallId, "missing")),
        }
    }

    /// The CSeq field.
    ///
    /// # Errors
    /// It is missing, repeated, or does not follow its grammar.
    pub fn cseq(&self) -> Result<CSeq, ParseError> {
        self.required()
    }
}

/// Whether what stands before the value of a field is this.
#[inline(always)]
fn begins<const N: usize>(head: &[u8], field: &Entry, label: &[u8; N]) -> bool {
    let line = head.get(usize::from(field.line)..usize::from(field.value.start));
    line.is_some_and(|line| line.len() == N && line.first_chunk() == Some(label))
}

fn text_of(name: HeaderName, value: &[u8]) -> Result<&str, ParseError> {
    core::str::from_utf8(value).map_err(|_| ParseError::header(name, "not UTF-8"))
}

fn parse_value<'a, H: Header<'a>>(value: &'a [u8]) -> Result<H, ParseError> {
    parse_element(text_of(H::NAME, value)?)
}

/// The error names the field, wherever inside of its value it was found.
fn parse_element<'a, H: Header<'a>>(text: &'a str) -> Result<H, ParseError> {
    H::parse(text).map_err(|error| ParseError::header(H::NAME, error.what))
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::super::head::{UNENDED, is_white, start_line_is_continued, trim_end, trim_start};
    use super::*;

    fn parse(text: &str) -> Result<Message, ParseError> {
        Message::parse(Bytes::copy_from_slice(text.as_bytes()), &MessageLimits::default())
    }

    const LINE: &str = "INVITE sip:b@example.com SIP/2.0";

    fn with_fields(fields: &str) -> Message {
        parse(&format!("{LINE}\r\n{fields}\r\n\r\n")).unwrap()
    }

    #[test]
    fn a_request_is_read() {
        let text = "OPTIONS sip:b@example.com SIP/2.0\r\nv: one\r\nX-Unknown :\t two \r\nVia:three\r\nl: 4\r\n\r\nbodymore";
        let message = parse(text).unwrap();
        assert_eq!(
            (message.kind(), message.method()),
            (Kind::Request, Some(&Method::Options))
        );
        assert_eq!(
            (message.request_uri(), message.version()),
            ("sip:b@example.com", "SIP/2.0")
        );
        assert_eq!((message.status(), message.reason()), (None, &b""[..]));
        let headers: Vec<_> = message.headers().collect();
        let expected: Vec<(Option<HeaderName>, &[u8], &[u8])> = vec![
            (Some(HeaderName::Via), b"v", b"one"),
            (None, b"X-Unknown", b"two"),
            (Some(HeaderName::Via), b"Via", b"three"),
            (Some(HeaderName::ContentLength), b"l", b"4"),
        ];
        assert_eq!(headers, expected);
        assert_eq!(message.raw(HeaderName::Via), Some(&b"one"[..]));
        assert_eq!(message.raw_all(HeaderName::Via).count(), 2);
        assert_eq!(message.count(HeaderName::To), 0);
        assert_eq!(message.raw_by_name("VIA").count(), 2);
        assert_eq!(message.raw_by_name("x-unknown").next(), Some(&b"two"[..]));
        assert_eq!(message.body(), "body");
        assert_eq!(message.bytes(), &text[..text.len() - 4]);
        assert_eq!(message.defect(), None);
    }

    #[test]
    fn a_response_is_read() {
        let message = parse("SIP/2.0 404 Not \u{e4} Found\r\n\r\nrest").unwrap();
        assert_eq!(
            (message.kind(), message.status()),
            (Kind::Response, Some(StatusCode::NOT_FOUND))
        );
        assert_eq!(message.reason(), "Not \u{e4} Found".as_bytes());
        assert_eq!((message.method(), message.request_uri()), (None, ""));
        // Without Content-Length the body is the rest (RFC 3261 section 18.3).
        assert_eq!(message.body(), "rest");
        assert_eq!(parse("SIP/2.0 100 \r\n\r\n").unwrap().reason(), b"");
    }

    #[test]
    fn line_ends_before_the_message_are_skipped() {
        let message = parse(&format!("\r\n\r\n{LINE}\r\n\r\n")).unwrap();
        assert_eq!(message.bytes(), &format!("{LINE}\r\n\r\n"));
    }

    // RFC 3261 section 7.3.1
    #[test]
    fn folded_values_are_one_line_and_the_bytes_stay_as_they_were() {
        let fields = "Subject: I know \t\r\n\t you're \r\n \r\n  there\r\nX:\r\n y\r\nl: 0";
        let message = with_fields(fields);
        assert_eq!(
            message.raw(HeaderName::Subject),
            Some(&b"I know you're there"[..])
        );
        assert_eq!(message.raw_by_name("X").next(), Some(&b"y"[..]));
        assert_eq!(message.bytes(), &format!("{LINE}\r\n{fields}\r\n\r\n"));
        assert_eq!(message.defect(), None);
        assert_eq!(message.to_owned_small(), message);
        assert_eq!(
            message.to_owned_small().raw(HeaderName::Subject),
            message.raw(HeaderName::Subject)
        );
    }

    #[test]
    fn the_body_of_a_folded_message_is_where_it_was() {
        let message = parse("SIP/2.0 200 OK\r\nSubject: a\r\n      b\r\nl: 3\r\n\r\nabcd").unwrap();
        assert_eq!(message.body(), "abc");
        assert_eq!(message.body_bytes(), b"abc");
    }

    #[test]
    fn content_length_must_be_one_number_within_the_message() {
        let refused =
            |fields: &str, body: &str| parse(&format!("{LINE}\r\n{fields}\r\n\r\n{body}")).unwrap_err();
        let length = |what| ParseError::header(HeaderName::ContentLength, what);
        assert_eq!(refused("l: 2", "a").place, Place::Body);
        assert_eq!(
            refused("l: 1048577", "a"),
            ParseError {
                place: Place::Body,
                what: BODY_TOO_LONG
            }
        );
        assert_eq!(refused("l: -1", "a"), length("not a number"));
        assert_eq!(refused("l:", "a"), length("not a number"));
        assert_eq!(refused("l: 1\r\nContent-Length: 1", "a"), length("repeated"));
        let head = Message::parse_head(
            Bytes::from(format!("{LINE}\r\nl: -1\r\n\r\nabc")),
            &MessageLimits::default(),
        );
        assert_eq!(head.unwrap().body(), "");
    }

    #[test]
    fn what_is_neither_request_nor_response_is_refused() {
        for line in [
            "",
            "INVITE",
            "IN\"VITE sip:a SIP/2.0",
            " INVITE sip:a SIP/2.0",
            "SIP/2.0",
            "SIP/2.0 20 OK",
            "SIP/2.0 99 x",
            "SIP/2.0 700 x",
            "SIP/2.0 2000 x",
            "SIP/2.0 4294967301 x",
            "SIP/2.0 -20 x",
            "SIP/2.0  200 OK",
            "a/b c SIP/2.0",
        ] {
            assert!(parse(&format!("{line}\r\nX: y\r\n\r\n")).is_err(), "{line:?}");
        }
        assert!(parse(&format!("{LINE}\r\nX: y\r\n")).is_err(), "no empty line");
    }

    #[test]
    fn a_bad_start_line_is_a_defect() {
        for line in [
            "INVITE  sip:a@b SIP/2.0",
            "INVITE sip:a@b  SIP/2.0",
            "INVITE sip:a@b SIP/2.0 ",
            "INVITE sip:a@b\tSIP/2.0",
            "INVITE sip:a@b",
            "INVITE sip:a@b HTTP/1.1",
            "INVITE SIP/2.0",
            "INVITE sip:a@b SIP/2",
            "INVITE sip:a@b SIP/2.0.0",
            "INVITE sip:a@b SIP/2.0\r\n folded",
            "INVITE sip:a@b\r\n SIP/2.0",
            "INVITE sip:a\rb SIP/2.0",
            "SIP/2.0 200",
            "SIP/2 200 OK",
            "SIP/2.0 200 a\nb",
        ] {
            let message = parse(&format!("{line}\r\nCall-ID: c\r\n\r\n")).unwrap();
            assert_eq!(
                message.defect().map(|defect| &defect.place),
                Some(&Place::StartLine),
                "{line:?}"
            );
            assert_eq!(message.raw(HeaderName::CallId), Some(&b"c"[..]));
        }
        let inner = parse("INVITE sip:a@b; lr SIP/2.0\r\n\r\n").unwrap();
        assert_eq!(inner.defect().map(|defect| &defect.place), Some(&Place::Uri));
        let spaced = parse("INVITE  sip:a@b; lr  SIP/2.0 \r\n\r\n").unwrap();
        assert_eq!(
            (spaced.request_uri(), spaced.version()),
            ("sip:a@b; lr", "SIP/2.0")
        );
        let latin = Bytes::from_static(b"INVITE sip:\xe4@b SIP/2.0\r\n\r\n");
        assert!(
            Message::parse(latin, &MessageLimits::default())
                .unwrap()
                .defect()
                .is_some()
        );
        assert_eq!(parse("INVITE sip:a@b sip/2.0\r\n\r\n").unwrap().defect(), None);
    }

    #[test]
    fn a_line_that_is_no_field_is_a_defect_and_not_among_the_headers() {
        for (line, place) in [
            ("no colon here", Place::UnknownHeader("no colon here".into())),
            (": value", Place::UnknownHeader("".into())),
            ("X Y: value", Place::UnknownHeader("X Y".into())),
            ("To: a\nVia: b", Place::Header(HeaderName::To)),
            ("To: a\rVia: b", Place::Header(HeaderName::To)),
            ("a\u{1}b\u{e4}", Place::UnknownHeader("a?b\u{e4}".into())),
        ] {
            let message = with_fields(&format!("{line}\r\nCall-ID: c"));
            assert_eq!(
                message.defect().map(|defect| &defect.place),
                Some(&place),
                "{line:?}"
            );
            assert_eq!(message.headers().count(), 1);
        }
    }

    // rules: C31
    #[test]
    fn the_number_of_fields_and_their_bytes_are_bounded() {
        let fields = |count| format!("{LINE}\r\n{}\r\n", "X: y\r\n".repeat(count));
        assert_eq!(parse(&fields(256)).unwrap().headers().count(), 256);
        let over = parse(&fields(257)).unwrap();
        assert_eq!((over.headers().count(), over.defect().is_some()), (256, true));
        let long = |bytes: usize| format!("{LINE}\r\nX: {}\r\n\r\n", "y".repeat(bytes - LINE.len() - 9));
        assert_eq!(long(32 << 10).len(), 32 << 10);
        assert!(parse(&long(32 << 10)).is_ok());
        assert!(parse(&long((32 << 10) + 1)).is_err());
        let wide = MessageLimits {
            header_block: usize::MAX,
            ..MessageLimits::default()
        };
        assert!(Message::parse(Bytes::from(long(65_535)), &wide).is_ok());
        assert!(Message::parse(Bytes::from(long(65_536)), &wide).is_err());
    }

    #[test]
    fn a_small_copy_shares_nothing() {
        let buffer = Bytes::from(format!("{LINE}\r\nl: 1\r\n\r\n{}", "x".repeat(1000)));
        let message = Message::parse(buffer.clone(), &MessageLimits::default()).unwrap();
        let small = message.to_owned_small();
        drop(message);
        assert_eq!(
            (small.raw(HeaderName::ContentLength), small.body().len()),
            (Some(&b"1"[..]), 1)
        );
        assert!(buffer.try_into_mut().is_ok(), "the buffer has no other user");
    }

    #[test]
    fn a_typed_field_is_looked_for_and_counted() {
        let twice = with_fields(
            "To: <sip:a@b>\r\nt: <sip:a@b>\r\nVia: SIP/2.0/TCP a, SIP/2.0/TCP b\r\nv: SIP/2.0/TCP c",
        );
        assert_eq!(
            twice.typed::<To<'_>>().err(),
            Some(ParseError::header(HeaderName::To, "repeated"))
        );
        assert_eq!(
            twice.from_().err(),
            Some(ParseError::header(HeaderName::From, "missing"))
        );
        assert!(twice.typed::<From<'_>>().unwrap().is_none());
        assert_eq!(twice.list::<Via<'_>>().filter(Result::is_ok).count(), 3);
        let latin = Bytes::from_static(b"BYE sip:a SIP/2.0\r\nTo: \xe4 <sip:a@b>\r\nVia: \xe4\r\n\r\n");
        let latin = Message::parse(latin, &MessageLimits::default()).unwrap();
        assert_eq!(
            latin.to().err(),
            Some(ParseError::header(HeaderName::To, "not UTF-8"))
        );
        assert_eq!(
            latin.via_top().err(),
            Some(ParseError::header(HeaderName::Via, "not UTF-8"))
        );
    }

    /// A name and a value.
    type Field = (Vec<u8>, Vec<u8>);

    /// The fields of a header section read in the plainest way, and whether every line is one; `None` where it has no
    /// end.
    fn plain_fields(message: &[u8]) -> Option<(Vec<Field>, bool)> {
        let end = message.windows(4).position(|four| four == b"\r\n\r\n")?;
        let (mut lines, mut line): (Vec<Vec<u8>>, Vec<u8>) = (vec![], vec![]);
        for byte in &message[..end + 2] {
            line.push(*byte);
            if let Some(whole) = line.strip_suffix(b"\r\n") {
                match lines.last_mut() {
                    Some(last) if whole.first().copied().is_some_and(is_white) => {
                        *last = [trim_end(last), b" ", trim_start(whole)].concat();
                    }
                    _ => lines.push(whole.to_vec()),
                }
                line.clear();
            }
        }
        let token = |name: &[u8]| {
            let is_one = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(byte);
            !name.is_empty() && name.iter().all(is_one)
        };
        let (mut fields, mut good) = (vec![], true);
        for line in &lines[1..] {
            let parts: Vec<&[u8]> = line.splitn(2, |byte| *byte == b':').collect();
            match parts[..] {
                [name, value] if token(trim_end(name)) && !line.iter().any(|byte| b"\r\n".contains(byte)) => {
                    fields.push((trim_end(name).to_vec(), trim_start(trim_end(value)).to_vec()));
                }
                _ => good = false,
            }
        }
        Some((fields, good))
    }

    fn header_piece() -> impl Strategy<Value = Vec<u8>> {
        let name = (0..HeaderName::ALL.len()).prop_map(|at| HeaderName::ALL[at].as_str());
        prop_oneof![
            6 => (name.clone(), "(: ?|\r\n|[ -~]{0,2}:|\0:)", "[ -~\t]{0,30}", "(\r\n){0,1}[ \t]?")
                .prop_map(|(name, colon, value, end)| [name, &colon, &value, &end].concat().into_bytes()),
            1 => name.prop_map(|name| format!("{}: x\r\n", name.to_lowercase()).into_bytes()),
            1 => "[vlftZ-] ?: ?x\r\n".prop_map(String::into_bytes),
            1 => "[\r\n: \tx]{0,6}".prop_map(String::into_bytes),
            1 => proptest::collection::vec(any::<u8>(), 0..20),
            1 => Just(b"\r\n\r\n".to_vec()),
        ]
    }

    proptest! {
        // rules: M6
        #[test]
        fn a_header_section_is_what_the_plainest_reading_makes_of_it(
            pieces in proptest::collection::vec(header_piece(), 0..12),
            ended in any::<bool>(),
        ) {
            let end: &[u8] = if ended { b"\r\n\r\n" } else { b"" };
            let text = [LINE.as_bytes(), b"\r\n", &pieces.concat(), end].concat();
            let read = Message::parse_head(Bytes::from(text.clone()), &MessageLimits::default());
            let Some((fields, good)) = plain_fields(&text) else {
                prop_assert_eq!(read.unwrap_err(), UNENDED);
                return Ok(());
            };
            let message = read.unwrap();
            let found: Vec<Field> = message
                .headers()
                .map(|(_, name, value)| (name.to_vec(), value.to_vec()))
                .collect();
            prop_assert_eq!(found, fields);
            for (known, name, _) in message.headers() {
                prop_assert_eq!(known, HeaderName::from_bytes(name));
            }
            let line_is_good = message.version() == "SIP/2.0" && !start_line_is_continued(&text);
            prop_assert_eq!(message.defect().is_none(), good && line_is_good);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Message::parse(Bytes::from(bytes), &MessageLimits::default());
        }

        #[test]
        fn no_almost_message_makes_it_panic(text in "(INVITE |SIP/2.0 200)?[ -~]{0,20}( SIP/2.0)?(\r\n[ \tA-Za-z:]{0,12}){0,6}(\r\n\r\n)?.{0,9}") {
            if let Ok(message) = parse(&text) {
                let names: usize = message.headers().map(|(_, name, value)| name.len() + value.len()).sum();
                prop_assert!(names <= message.bytes().len());
                prop_assert!(message.body().len() <= message.bytes().len());
            }
        }
    }
}
