//! Messages to bytes: builders that cannot forget a mandatory field and cannot be made to inject one.
//!
//! What every request or response must have is an argument of the constructor; `Content-Length` is always written.
//! Text that an application supplies is checked by the `check_*` functions before anything is built (rule E11); a line
//! break that gets past them all the same, in a value made by hand, goes out as a blank.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use bytes::Bytes;
use memchr::{memchr, memmem, memrchr};

use super::header::{CSeq, Elements, From, Header, ListHeader, Params, To, Via, rewrite};
use super::message::Repeated;
use super::uri::{Host, Uri};
use super::{HeaderName, Message, Method, StatusCode, grammar, scan};
use crate::action::Transport;
use crate::error::{ParseError, Place};

mod block;
mod digits;

pub use block::{HeaderBlock, Parties};
use digits::Digits;

/// What fits most messages without a body, in bytes.
const USUAL_SIZE: usize = 1024;

/// What a scratch keeps after a large message, in bytes.
const MOST_KEPT: usize = 16 * 1024;

/// `Max-Forwards` of a request that this stack starts (RFC 3261 section 8.1.1.6).
pub const MAX_FORWARDS: u8 = 70;

/// Checks a header field that an application supplies.
///
/// # Errors
/// A name that is no token or belongs to the stack, a value with control characters, and a value that the field's own
/// grammar refuses.
pub fn check_header(name: &str, value: &str) -> Result<(), ParseError> {
    let refused = |what| ParseError {
        place: Place::UnknownHeader(name.into()),
        what,
    };
    if !grammar::is_token(name) {
        return Err(refused("not the name of a header field"));
    }
    if !value.chars().all(grammar::is_text_char) {
        return Err(refused("control character in the value"));
    }
    match HeaderName::from_bytes(name.as_bytes()) {
        Some(known) if known.is_stack_owned() => Err(refused("this field is the stack's own")),
        Some(known) => rewrite(known, value).unwrap_or(Ok(String::new())).map(|_| ()),
        None => Ok(()),
    }
}

/// Checks a display name that an application supplies.
///
/// # Errors
/// Control characters.
pub fn check_display_name(name: &str) -> Result<(), ParseError> {
    check_text(HeaderName::From, name)
}

/// A quoted string for this text (RFC 3261 section 25.1).
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    grammar::write_quoted(&mut out, text);
    out
}

/// Checks an option tag that an application supplies.
///
/// # Errors
/// Anything but a token.
pub fn check_token(text: &str) -> Result<(), ParseError> {
    if grammar::is_token(text) {
        Ok(())
    } else {
        Err(ParseError::header(HeaderName::Supported, "not a token"))
    }
}

/// Checks the text of `User-Agent` or `Server` that an application supplies.
///
/// # Errors
/// Control characters, and a text of nothing but blanks.
pub fn check_user_agent(text: &str) -> Result<(), ParseError> {
    super::header::UserAgent::new(text).map(|_| ())
}

/// Checks the parameters of a contact that an application supplies (RFC 3840), `;name="value";name`.
///
/// # Errors
/// Anything but a list of parameters, and a name that appears twice.
pub fn check_contact_params(text: &str) -> Result<(), ParseError> {
    Params::parse(HeaderName::Contact, text).map(|_| ())
}

/// Checks a content type that an application supplies.
///
/// # Errors
/// Anything but a media type.
pub fn check_content_type(text: &str) -> Result<(), ParseError> {
    super::header::ContentType::parse(text).map(|_| ())
}

/// Checks a reason phrase that an application supplies.
///
/// # Errors
/// Control characters.
pub fn check_reason(text: &str) -> Result<(), ParseError> {
    if text.chars().all(grammar::is_text_char) {
        Ok(())
    } else {
        Err(ParseError::start_line("control character in the reason"))
    }
}

fn check_text(name: HeaderName, text: &str) -> Result<(), ParseError> {
    if text.chars().all(grammar::is_text_char) {
        Ok(())
    } else {
        Err(ParseError::header(name, "control character"))
    }
}

/// Where messages are put together before their length is known. Kept from one message to the next, it saves each all
/// allocations but that of the finished bytes.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    /// Start line and header fields.
    out: Vec<u8>,
    /// A value with a type, on its way into `out`.
    value: String,
}

/// A message as it grows: start line and header fields in the scratch, the body aside until the end.
struct Draft<'s> {
    scratch: &'s mut Scratch,
    body: Bytes,
}

impl<'s> Draft<'s> {
    fn new(scratch: &'s mut Scratch) -> Self {
        scratch.out.clear();
        scratch.out.reserve(USUAL_SIZE);
        Self {
            scratch,
            body: Bytes::new(),
        }
    }

    #[inline]
    fn text(&mut self, text: &str) {
        self.scratch.out.extend_from_slice(text.as_bytes());
    }

    /// What `write` appends to an empty string.
    #[inline]
    fn written(&mut self, write: impl FnOnce(&mut String)) {
        let Scratch { out, value, .. } = &mut *self.scratch;
        value.clear();
        write(value);
        out.extend_from_slice(value.as_bytes());
    }

    #[inline]
    fn number(&mut self, number: u64) {
        if let Ok(digit @ 0..10) = u8::try_from(number) {
            self.scratch.out.push(b'0' + digit);
            return;
        }
        let mut digits = Digits::new();
        digits.number(number);
        self.scratch.out.extend_from_slice(digits.as_bytes());
    }

    /// From the end of the Request-URI to that of Max-Forwards, without a line break inside.
    fn top(&mut self, hop: &OwnHop<'_>, hops: u8) {
        self.text(match hop.transport {
            Transport::Tcp => " SIP/2.0\r\nVia: SIP/2.0/TCP ",
            Transport::Tls => " SIP/2.0\r\nVia: SIP/2.0/TLS ",
        });
        let mut digits = Digits::new();
        digits.text(b";branch=");
        digits.number(u64::from(hop.port));
        digits.byte(b':');
        match hop.host {
            Host::V4(address) => digits.address(*address),
            Host::Name(_) | Host::V6(_) => {
                let start = self.scratch.out.len();
                self.written(|out| hop.host.write(out));
                self.guard(start);
            }
        }
        self.scratch.out.extend_from_slice(digits.as_bytes());
        self.graphic(hop.branch);
        if hops == MAX_FORWARDS {
            self.text(";rport\r\nMax-Forwards: 70\r\n");
        } else {
            self.text(";rport\r\nMax-Forwards: ");
            self.number(u64::from(hops));
            self.text("\r\n");
        }
    }

    /// Ends the line whose value begins at `start`. A line break that is there already becomes a blank.
    #[inline]
    fn end_line(&mut self, start: usize) {
        let out = &mut self.scratch.out;
        if let Some(value) = out.get_mut(start..)
            && scan::has_break(value)
        {
            blank_line_breaks(value);
        }
        out.extend_from_slice(b"\r\n");
    }

    /// A value and the end of its line. It is looked at where it comes from: what was written just now is slow to read.
    #[inline]
    fn value(&mut self, value: &[u8]) {
        let out = &mut self.scratch.out;
        let start = out.len();
        out.extend_from_slice(value);
        if scan::has_break(value)
            && let Some(copy) = out.get_mut(start..)
        {
            blank_line_breaks(copy);
        }
        out.extend_from_slice(b"\r\n");
    }

    fn write_uri(&mut self, uri: &Uri<'_>) {
        let start = self.scratch.out.len();
        self.written(|out| uri.write(out));
        self.guard(start);
    }

    /// The method and what stands between it and the Request-URI.
    #[inline]
    fn method_first(&mut self, method: &Method) {
        match method.around() {
            Some((first, _)) => self.text(first),
            None => {
                self.graphic(method.as_str());
                self.text(" ");
            }
        }
    }

    /// `CSeq` with a number and the method.
    #[inline]
    fn cseq(&mut self, number: u32, method: &Method) {
        self.text(HeaderName::CSeq.label());
        self.number(u64::from(number));
        match method.around() {
            Some((_, last)) => self.text(last),
            None => {
                self.text(" ");
                self.graphic(method.as_str());
                self.text("\r\n");
            }
        }
    }

    /// A text, but what is not graphic in it.
    #[inline]
    fn graphic(&mut self, text: &str) {
        if scan::is_graphic(text.as_bytes()) {
            self.text(text);
        } else {
            let graphic = text.bytes().filter(u8::is_ascii_graphic);
            self.scratch.out.extend(graphic);
        }
    }

    /// Leaves out from `start` on what is not graphic: in a Request-URI a blank would end it.
    #[inline]
    fn guard(&mut self, start: usize) {
        let out = &mut self.scratch.out;
        if out.get(start..).is_some_and(|written| !scan::is_graphic(written)) {
            let written = out.split_off(start);
            out.extend(written.into_iter().filter(u8::is_ascii_graphic));
        }
    }

    #[inline]
    fn field(&mut self, name: HeaderName, value: &str) {
        self.text(name.label());
        self.value(value.as_bytes());
    }

    fn header<'h, H: Header<'h>>(&mut self, value: &H) {
        self.text(H::NAME.label());
        let start = self.scratch.out.len();
        self.written(|out| value.write(out));
        self.end_line(start);
    }

    fn list<'h, 'v, H: ListHeader<'h> + 'v>(&mut self, values: impl IntoIterator<Item = &'v H>) {
        let before = self.scratch.out.len();
        self.text(H::NAME.label());
        let mut first = true;
        for value in values {
            if !first {
                self.text(", ");
            }
            first = false;
            self.written(|out| value.write(out));
        }
        if first && !H::MAY_BE_EMPTY {
            self.scratch.out.truncate(before);
            return;
        }
        self.end_line(before);
    }

    fn named(&mut self, name: &str, value: &str) {
        let start = self.scratch.out.len();
        self.text(name);
        self.text(": ");
        self.text(value);
        self.end_line(start);
    }

    fn raw(&mut self, name: &str, value: &str) -> Result<(), ParseError> {
        check_header(name, value)?;
        self.named(name, value);
        Ok(())
    }

    /// A field as a message has it, to the byte.
    #[inline]
    fn repeat(&mut self, name: HeaderName, value: &[u8]) {
        self.text(name.label());
        self.value(value);
    }

    /// What a response repeats of its request: every Via, From, To, with this tag where it has none, Call-ID, CSeq.
    fn repeat_all(&mut self, request: &Message, to_tag: Option<&str>) {
        let start = self.scratch.out.len();
        let in_order = request.repeated(|piece| self.repeat_piece(piece, to_tag));
        if !in_order {
            self.scratch.out.truncate(start);
            for name in [
                HeaderName::Via,
                HeaderName::From,
                HeaderName::To,
                HeaderName::CallId,
                HeaderName::CSeq,
            ] {
                for value in request.raw_all(name) {
                    let text = value;
                    self.repeat_piece(&Repeated { name, value, text }, to_tag);
                }
            }
        }
    }

    /// What has been read has no line break inside a value.
    fn repeat_piece(&mut self, piece: &Repeated<'_>, to_tag: Option<&str>) {
        if piece.text.len() == piece.value.len() {
            self.text(piece.name.label());
        }
        self.scratch.out.extend_from_slice(piece.text);
        if piece.name == HeaderName::To
            && let Some(tag) = to_tag
            && is_untagged(piece.value)
        {
            self.text(";tag=");
            self.text(tag);
        }
        self.text("\r\n");
    }

    /// Copies every field of this name as the message has it.
    fn copy(&mut self, message: &Message, name: HeaderName) {
        for value in message.raw_all(name) {
            self.repeat(name, value);
        }
    }

    fn block(&mut self, block: &HeaderBlock) {
        self.scratch.out.extend_from_slice(&block.lines);
    }

    fn body(&mut self, content_type: &str, body: Bytes) {
        self.field(HeaderName::ContentType, content_type);
        self.body = body;
    }

    fn finish(mut self) -> Bytes {
        if self.body.is_empty() {
            self.text("Content-Length: 0\r\n\r\n");
        } else {
            self.text(HeaderName::ContentLength.label());
            self.number(u64::try_from(self.body.len()).unwrap_or(u64::MAX));
            self.text("\r\n\r\n");
        }
        let Scratch { out, value, .. } = self.scratch;
        // Of its very size, so that it becomes `Bytes` as it is.
        let mut bytes = Vec::with_capacity(out.len() + self.body.len());
        bytes.extend_from_slice(out);
        if !self.body.is_empty() {
            bytes.extend_from_slice(&self.body);
        }
        out.shrink_to(MOST_KEPT);
        value.shrink_to(MOST_KEPT);
        bytes.into()
    }
}

/// Makes blanks of line breaks.
#[cold]
fn blank_line_breaks(text: &mut [u8]) {
    for byte in text {
        if matches!(byte, b'\r' | b'\n') {
            *byte = b' ';
        }
    }
}

macro_rules! field_methods {
    () => {
        /// Adds a field.
        pub fn header<'h>(&mut self, value: &impl Header<'h>) -> &mut Self {
            self.draft.header(value);
            self
        }

        /// Adds a field of several values on one line, or nothing where there are none and the field cannot be empty.
        pub fn list<'h, 'v, H: ListHeader<'h> + 'v>(
            &mut self,
            values: impl IntoIterator<Item = &'v H>,
        ) -> &mut Self {
            self.draft.list(values);
            self
        }

        /// Adds a field that the application supplies.
        ///
        /// # Errors
        /// What [`check_header`] refuses; nothing is added then.
        pub fn raw(&mut self, name: &str, value: &str) -> Result<(), ParseError> {
            self.draft.raw(name, value)
        }

        /// Adds a field that the application supplied and [`check_header`] has passed.
        pub(crate) fn raw_checked(&mut self, name: &str, value: &str) -> &mut Self {
            self.draft.named(name, value);
            self
        }

        /// Adds a field whose value is already text that has been made from its type or checked.
        pub fn text(&mut self, name: HeaderName, value: &str) -> &mut Self {
            self.draft.field(name, value);
            self
        }

        /// Adds header fields that have been written before.
        pub fn block(&mut self, block: &HeaderBlock) -> &mut Self {
            self.draft.block(block);
            self
        }

        /// Copies every field of this name from another message, as it stands there.
        pub fn copy(&mut self, from: &Message, name: HeaderName) -> &mut Self {
            self.draft.copy(from, name);
            self
        }

        /// Sets the body and its type. At most once: a second body would leave two types.
        pub fn body(&mut self, content_type: &str, body: Bytes) -> &mut Self {
            self.draft.body(content_type, body);
            self
        }

        /// The finished message.
        pub fn finish(self) -> Bytes {
            self.draft.finish()
        }
    };
}

/// The topmost `Via` of a request that this stack sends: `SIP/2.0/TLS 192.0.2.4:5061;branch=z9hG4bK1;rport` (RFC 3261
/// section 18.1.1, RFC 3581 section 3). What is not graphic in its texts is left out.
#[derive(Clone, Copy, Debug)]
pub struct OwnHop<'a> {
    /// What carries the request.
    pub transport: Transport,
    /// Where this side is reached.
    pub host: &'a Host<'a>,
    /// The port there.
    pub port: u16,
    /// The transaction's branch.
    pub branch: &'a str,
}

/// Builds a request.
#[must_use]
pub struct RequestBuilder<'s> {
    draft: Draft<'s>,
}

impl<'s> RequestBuilder<'s> {
    /// A request with what every request must have (RFC 3261 section 8.1.1).
    #[expect(
        clippy::too_many_arguments,
        reason = "they are what a request cannot be without"
    )]
    pub fn new(
        scratch: &'s mut Scratch,
        method: &Method,
        uri: &Uri<'_>,
        via: &Via<'_>,
        from: &From<'_>,
        to: &To<'_>,
        call_id: &str,
        cseq: &CSeq,
        max_forwards: u8,
    ) -> Self {
        let mut draft = Draft::new(scratch);
        draft.method_first(method);
        draft.write_uri(uri);
        draft.text(" SIP/2.0\r\n");
        draft.header(via);
        draft.text(HeaderName::MaxForwards.label());
        draft.number(u64::from(max_forwards));
        draft.text("\r\n");
        draft.header(from);
        draft.header(to);
        draft.field(HeaderName::CallId, call_id);
        draft.header(cseq);
        Self { draft }
    }

    /// The same from what the stack holds when it writes: a Request-URI that has been made from its type or checked, its
    /// own hop, and From, To and Call-ID as they have been written before.
    pub fn of_parts(
        scratch: &'s mut Scratch,
        method: &Method,
        uri: &str,
        hop: &OwnHop<'_>,
        parties: &Parties,
        cseq: u32,
        max_forwards: u8,
    ) -> Self {
        let mut draft = Draft::new(scratch);
        draft.method_first(method);
        draft.graphic(uri);
        draft.top(hop, max_forwards);
        draft.scratch.out.extend_from_slice(parties.lines());
        draft.cseq(cseq, method);
        Self { draft }
    }

    field_methods!();
}

/// Builds a response.
#[must_use]
pub struct ResponseBuilder<'r> {
    request: &'r Message,
    draft: Draft<'r>,
    /// Where the value of the topmost `Via` begins in the draft, if there is one.
    top_via: usize,
}

impl<'r> ResponseBuilder<'r> {
    /// A response with what every response must have, taken from the request (RFC 3261 section 8.2.6.2): all `Via` in
    /// order, `From`, `To` with `to_tag` where it has none, `Call-ID`, `CSeq`; in a 100, `Timestamp` too.
    ///
    /// Without `reason` the status has its usual words.
    pub fn new(
        scratch: &'r mut Scratch,
        request: &'r Message,
        status: StatusCode,
        reason: Option<&str>,
        to_tag: Option<&str>,
    ) -> Self {
        let mut draft = Draft::new(scratch);
        let digit = |value: u16| b'0' + (value % 10) as u8;
        let code = status.code();
        let code = [digit(code / 100), digit(code / 10), digit(code), b' '];
        draft.text("SIP/2.0 ");
        draft.scratch.out.extend_from_slice(&code);
        let start = draft.scratch.out.len();
        draft.text(reason.unwrap_or_else(|| status.default_reason()));
        draft.end_line(start);
        let top_via = draft.scratch.out.len() + HeaderName::Via.label().len();
        draft.repeat_all(request, to_tag.filter(|tag| grammar::is_token(tag)));
        if status == StatusCode::TRYING {
            draft.copy(request, HeaderName::Timestamp);
        }
        Self {
            request,
            draft,
            top_via,
        }
    }

    /// Notes in the topmost `Via` where the request came from, as its sender asked (RFC 3261 section 18.2.1, RFC 3581
    /// section 4). A `Via` that cannot be read stays as it is.
    pub fn via_received(&mut self, source: SocketAddr) -> &mut Self {
        let out = &mut self.draft.scratch.out;
        let Some(line) = top_via(out, self.top_via) else {
            return self;
        };
        let first = Elements::new(line, false).next().unwrap_or_default();
        let Ok(mut via) = Via::parse(first) else {
            return self;
        };
        via.note_source(source);
        let mut text = String::with_capacity(first.len() + 64);
        via.write(&mut text);
        let (start, length) = (self.top_via, first.len());
        out.splice(start..start + length, text.bytes());
        self
    }

    /// Copies the request's `Record-Route` fields, as a response that makes a dialog must (RFC 3261 section 12.1.1).
    pub fn record_route(&mut self) -> &mut Self {
        self.draft.copy(self.request, HeaderName::RecordRoute);
        self
    }

    field_methods!();
}

/// The value of the topmost `Via`, which begins at `start` if there is one.
fn top_via(out: &[u8], start: usize) -> Option<&str> {
    let (before, line) = out.split_at_checked(start)?;
    let value = line.get(..memchr(b'\r', line)?)?;
    before
        .ends_with(HeaderName::Via.label().as_bytes())
        .then_some(core::str::from_utf8(value).ok()?)
}

/// Whether a To value has no tag, as far as it can be read.
fn is_untagged(value: &[u8]) -> bool {
    // The usual forms tell it by what stands after the URI; the grammar, all others.
    match memrchr(b'>', value).and_then(|at| value.get(at + 1..)) {
        Some(b"") => true,
        Some(tail) if tail.starts_with(b";tag=") && !tail.contains(&b'"') => false,
        Some(_) | None => To::parse(&String::from_utf8_lossy(value)).is_ok_and(|to| to.tag().is_none()),
    }
}

/// A finished message with one more field, after all others: for a signature over the rest.
pub fn with_header<'h>(message: &[u8], header: &impl Header<'h>) -> Bytes {
    let mut scratch = Scratch::default();
    Draft::new(&mut scratch).header(header);
    insert(message, &scratch.out)
}

/// A finished message with these fields after all others; they have been checked.
pub(crate) fn with_fields(message: Bytes, fields: &[(String, String)]) -> Bytes {
    if fields.is_empty() {
        return message;
    }
    let mut lines = String::new();
    for (name, value) in fields {
        for part in [name, ": ", value, "\r\n"] {
            lines.push_str(part);
        }
    }
    insert(&message, lines.as_bytes())
}

/// A finished message with more lines at the end of its head.
fn insert(message: &[u8], lines: &[u8]) -> Bytes {
    // The last field's own line end stays in front of the new one.
    let at = memmem::find(message, b"\r\n\r\n").map_or(message.len(), |at| at + 2);
    let (head, tail) = message.split_at_checked(at).unwrap_or((message, &[]));
    [head, lines, tail].concat().into()
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;
    use crate::wire::header::{Allow, CallId, Contact, NameAddr, Require, Subject, Supported};
    use crate::wire::{Kind, MessageLimits};

    fn message(bytes: &[u8]) -> Message {
        Message::parse(Bytes::copy_from_slice(bytes), &MessageLimits::default()).unwrap()
    }

    fn request(scratch: &mut Scratch) -> RequestBuilder<'_> {
        RequestBuilder::new(
            scratch,
            &Method::Invite,
            &Uri::parse("sip:bob@biloxi.com").unwrap(),
            &Via::parse("SIP/2.0/TCP pc33.atlanta.com;branch=z9hG4bK776asdhds").unwrap(),
            &From::parse("Alice <sip:alice@atlanta.com>;tag=1928301774").unwrap(),
            &To::parse("Bob <sip:bob@biloxi.com>").unwrap(),
            "a84b4c76e66710@pc33.atlanta.com",
            &CSeq::new(314_159, Method::Invite),
            MAX_FORWARDS,
        )
    }

    const INVITE: &str = "INVITE sip:bob@biloxi.com SIP/2.0\r\n\
        Via: SIP/2.0/TCP pc33.atlanta.com;branch=z9hG4bK776asdhds\r\n\
        Max-Forwards: 70\r\n\
        From: \"Alice\" <sip:alice@atlanta.com>;tag=1928301774\r\n\
        To: \"Bob\" <sip:bob@biloxi.com>\r\n\
        Call-ID: a84b4c76e66710@pc33.atlanta.com\r\n\
        CSeq: 314159 INVITE\r\n";

    #[test]
    fn a_request_has_all_it_must_have() {
        let scratch = &mut Scratch::default();
        assert_eq!(
            request(scratch).finish(),
            format!("{INVITE}Content-Length: 0\r\n\r\n")
        );
        let mut builder = request(scratch);
        builder.list(&[Allow(Method::Invite), Allow(Method::Ack)]);
        builder.list::<Supported<'_>>(&[]);
        builder.list::<Require<'_>>(&[]);
        builder.header(&Contact::parse("<sip:alice@pc33.atlanta.com>").unwrap());
        builder.raw("X-Note", "caf\u{e9}").unwrap();
        builder.body("application/sdp", Bytes::from_static(b"v=0\r\n\xff"));
        let expected = [
            INVITE.as_bytes(),
            "Allow: INVITE, ACK\r\nSupported: \r\nContact: <sip:alice@pc33.atlanta.com>\r\nX-Note: caf\u{e9}\r\n\
             Content-Type: application/sdp\r\nContent-Length: 6\r\n\r\n"
                .as_bytes(),
            b"v=0\r\n\xff",
        ];
        assert_eq!(builder.finish(), expected.concat());
    }

    // rules: E11
    #[test]
    fn what_would_break_the_message_is_refused() {
        let scratch = &mut Scratch::default();
        let mut builder = request(scratch);
        for (name, value) in [
            ("X-Y", "a\r\nVia: b"),
            ("X-Y", "a\nb"),
            ("X-Y", "a\u{0}"),
            ("X-Y", "a\u{7f}"),
            ("", "a"),
            ("X Y", "a"),
            ("X:", "a"),
            ("X\r\n", "a"),
            ("Via", "SIP/2.0/TCP a"),
            ("v", "SIP/2.0/TCP a"),
            ("cONTACT", "<sip:a@b.c>"),
            ("m", "<sip:a@b.c>"),
            ("Content-Length", "5"),
            ("l", "5"),
            ("Authorization", "Digest a=b"),
            ("Supported", "a,,b"),
            ("Priority", "a b"),
        ] {
            assert!(builder.raw(name, value).is_err(), "{name:?} {value:?}");
        }
        assert_eq!(builder.finish(), format!("{INVITE}Content-Length: 0\r\n\r\n"));
        for (name, value) in [
            ("X-Y", ""),
            ("Supported", ""),
            ("Subject", "x"),
            ("s", "y"),
            ("Accept", "text/*;q=0.1"),
        ] {
            assert_eq!(check_header(name, value), Ok(()), "{name}");
        }
        for text in ["a\r\nb", "\u{0}", "\u{1b}[0m"] {
            assert!(check_display_name(text).is_err());
            assert!(check_user_agent(text).is_err());
            assert!(check_reason(text).is_err());
            assert!(check_content_type(text).is_err());
            assert!(check_contact_params(text).is_err());
        }
        assert!(check_display_name("Zo\u{e9} \"Z\"").is_ok());
        assert!(check_user_agent("x/1").is_ok());
        assert!(check_reason("").is_ok());
        assert!(check_content_type("text/plain;charset=utf-8").is_ok());
        assert!(check_contact_params(";audio;+sip.rendering=\"no\"").is_ok());
    }

    // rules: E11
    #[test]
    fn values_made_by_hand_cannot_inject_a_field() {
        let scratch = &mut Scratch::default();
        let evil = "x\r\nRoute: <sip:evil>\r\n\r\n";
        let uri = Uri::Other(crate::wire::uri::OtherUri {
            scheme: "x".into(),
            rest: "y z SIP/2.0\r\nA: b".into(),
        });
        let mut from = NameAddr::new(uri.clone())
            .with_display(evil)
            .with_param("tag", "1");
        from.params.set("x", evil);
        let mut via = Via::parse("SIP/2.0/TCP a").unwrap();
        via.transport = evil.into();
        let mut builder = RequestBuilder::new(
            scratch,
            &Method::Other(evil.into()),
            &uri,
            &via,
            &From(from),
            &To::new(uri.clone()),
            evil,
            &CSeq::new(1, Method::Other(evil.into())),
            0,
        );
        builder
            .header(&CallId(evil.into()))
            .text(HeaderName::Subject, evil);
        builder.body(evil, Bytes::from_static(b"body"));
        let bytes = builder.finish();
        let text = core::str::from_utf8(&bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "body");
        assert_eq!(head.lines().count(), 11);
        assert!(
            !head
                .lines()
                .any(|line| line.starts_with("Route") || line.starts_with("A:")),
            "{head}"
        );

        let request = message(&request(scratch).finish());
        let response =
            ResponseBuilder::new(scratch, &request, StatusCode::OK, Some(evil), Some(evil)).finish();
        assert_eq!(
            message(&response).headers().count(),
            request.headers().count() - 1
        );
    }

    const TWO_HOPS: &str = "MESSAGE sip:bob@biloxi.com SIP/2.0\r\n\
        Via: SIP/2.0/TLS p.example.com;rport;branch=z9hG4bKa , SIP/2.0/TCP 10.0.0.1;branch=z9hG4bKb\r\n\
        v: SIP/2.0/TCP 10.0.0.2;branch=z9hG4bKc\r\n\
        f: Alice<sip:alice@atlanta.com>;tag=1\r\n\
        t: sip:bob@biloxi.com\r\n\
        Record-Route: <sip:p2;lr>\r\n\
        Record-Route: <sip:p1;lr>, <sip:p0;lr>\r\n\
        i: abc\r\n\
        Timestamp: 54.2\r\n\
        CSeq: 7 MESSAGE\r\n\
        Max-Forwards: 70\r\n\
        l: 0\r\n\r\n";

    // RFC 3261 sections 8.2.6.2 and 12.1.1, RFC 3581 section 4.
    #[test]
    fn a_response_takes_from_its_request_what_it_must() {
        let scratch = &mut Scratch::default();
        let request = message(TWO_HOPS.as_bytes());
        let mut builder = ResponseBuilder::new(scratch, &request, StatusCode::OK, None, Some("314"));
        builder
            .record_route()
            .via_received("192.0.2.7:4444".parse().unwrap());
        assert_eq!(
            builder.finish(),
            "SIP/2.0 200 OK\r\n\
             Via: SIP/2.0/TLS p.example.com;rport=4444;branch=z9hG4bKa;received=192.0.2.7 , \
             SIP/2.0/TCP 10.0.0.1;branch=z9hG4bKb\r\n\
             Via: SIP/2.0/TCP 10.0.0.2;branch=z9hG4bKc\r\n\
             From: Alice<sip:alice@atlanta.com>;tag=1\r\n\
             To: sip:bob@biloxi.com;tag=314\r\n\
             Call-ID: abc\r\n\
             CSeq: 7 MESSAGE\r\n\
             Record-Route: <sip:p2;lr>\r\n\
             Record-Route: <sip:p1;lr>, <sip:p0;lr>\r\n\
             Content-Length: 0\r\n\r\n"
        );
        let trying = message(
            &ResponseBuilder::new(scratch, &request, StatusCode::TRYING, Some("Wait"), None).finish(),
        );
        assert_eq!((trying.kind(), trying.reason()), (Kind::Response, &b"Wait"[..]));
        assert_eq!(trying.raw(HeaderName::Timestamp), Some(&b"54.2"[..]));
        assert_eq!(trying.to().unwrap().tag(), None);
    }

    // rules: E11
    #[test]
    fn a_line_break_is_a_blank_also_after_the_topmost_via_has_grown() {
        let scratch = &mut Scratch::default();
        let request = message(TWO_HOPS.as_bytes());
        let mut builder =
            ResponseBuilder::new(scratch, &request, StatusCode::OK, Some("a\r\nb"), Some("314"));
        builder.via_received("192.0.2.7:4444".parse().unwrap());
        builder.text(HeaderName::Subject, "x\r\nEvil: y");
        let bytes = builder.finish();
        let text = core::str::from_utf8(&bytes).unwrap();
        assert!(text.starts_with("SIP/2.0 200 a  b\r\nVia: "), "{text}");
        assert!(
            text.ends_with("\r\nSubject: x  Evil: y\r\nContent-Length: 0\r\n\r\n"),
            "{text}"
        );
        let response = message(&bytes);
        assert_eq!(response.via_top().unwrap().rport(), Some(Some(4444)));
        for name in [HeaderName::From, HeaderName::CallId, HeaderName::CSeq] {
            assert_eq!(response.raw(name), request.raw(name));
        }
    }

    // RFC 3261 section 8.2.6.2.
    #[test]
    fn a_tag_is_told_by_the_end_of_the_value_or_by_its_grammar() {
        for (value, untagged) in [
            ("<sip:b@example.com>", true),
            ("\"a>;tag=x\" <sip:b@example.com>", true),
            ("<sip:b@example.com>;x=\">;tag=1\"", true),
            ("sip:b@example.com", true),
            ("<sip:b@example.com>;x=1", true),
            ("<sip:b@example.com>;tag=1", false),
            ("<sip:b@example.com>;x=1;tag=1", false),
            ("<sip:b@example.com> ; TAG = 1", false),
            ("sip:b@example.com;tag=1", false),
        ] {
            assert_eq!(is_untagged(value.as_bytes()), untagged, "{value}");
        }
    }

    #[test]
    fn a_tag_that_is_there_stays() {
        let scratch = &mut Scratch::default();
        let tagged = TWO_HOPS.replace("t: sip:bob@biloxi.com", "To: <sip:bob@biloxi.com>;tag=own");
        let request = message(tagged.as_bytes());
        let response =
            message(&ResponseBuilder::new(scratch, &request, StatusCode::OK, None, Some("314")).finish());
        assert_eq!(
            response.raw(HeaderName::To),
            Some(&b"<sip:bob@biloxi.com>;tag=own"[..])
        );
    }

    #[test]
    fn a_malformed_request_can_be_answered() {
        let scratch = &mut Scratch::default();
        let broken = TWO_HOPS
            .replace("p.example.com;rport", "p.example.com;;rport")
            .replace("t: sip:", "t: \"sip:");
        let request = message(broken.as_bytes());
        let mut builder = ResponseBuilder::new(scratch, &request, StatusCode::BAD_REQUEST, None, Some("314"));
        builder.via_received("192.0.2.7:4444".parse().unwrap());
        let response = message(&builder.finish());
        assert!(
            response
                .raw(HeaderName::Via)
                .unwrap()
                .starts_with(b"SIP/2.0/TLS p.example.com;;rport;branch=z9hG4bKa")
        );
        assert_eq!(response.raw(HeaderName::To), Some(&b"\"sip:bob@biloxi.com"[..]));
    }

    // rules: E11
    #[test]
    fn a_block_stands_as_it_was_written_and_hides_no_line_break_around_it() {
        let scratch = &mut Scratch::default();
        let block = HeaderBlock::new([("Allow", "INVITE, ACK"), ("X-A", "a\r\nEvil: b\n")]);
        let head = "Allow: INVITE, ACK\r\nX-A: a  Evil: b \r\n";
        let mut builder = request(scratch);
        builder.text(HeaderName::Subject, "x\r\ny").block(&block);
        builder.text(HeaderName::Date, "z\r\nw").block(&block);
        builder.block(&HeaderBlock::default());
        builder.body("a/b\r\nEvil: c", Bytes::new());
        assert_eq!(
            builder.finish(),
            format!(
                "{INVITE}Subject: x  y\r\n{head}Date: z  w\r\n{head}Content-Type: a/b  Evil: c\r\n\
                 Content-Length: 0\r\n\r\n"
            )
        );

        let request = message(TWO_HOPS.as_bytes());
        let mut builder = ResponseBuilder::new(scratch, &request, StatusCode::OK, None, Some("3"));
        builder.block(&block).text(HeaderName::Subject, "x\r\ny");
        builder.via_received("192.0.2.7:4444".parse().unwrap());
        builder.text(HeaderName::Date, "z\r\nw");
        let bytes = builder.finish();
        let text = core::str::from_utf8(&bytes).unwrap();
        let tail = format!("{head}Subject: x  y\r\nDate: z  w\r\nContent-Length: 0\r\n\r\n");
        assert!(
            text.contains(";received=192.0.2.7 ,") && text.ends_with(&tail),
            "{text}"
        );
    }

    #[test]
    fn blocks_are_put_together_and_cut_at_their_fields() {
        let (first, second) = (HeaderBlock::new([("A", "1")]), HeaderBlock::new([("B", "2")]));
        let both = HeaderBlock::joined(&[first.clone(), second.clone()]);
        assert_eq!(both, HeaderBlock::new([("A", "1"), ("B", "2")]));
        assert_eq!(first.and([("B", "2")]), both);
        assert_eq!(both.part(0..first.len()), first);
        assert_eq!(both.part(first.len()..both.len()), second);
        // It is the same memory.
        assert_eq!(first.and([]).lines.as_ptr(), first.lines.as_ptr());
    }

    #[test]
    fn a_field_can_be_added_to_a_finished_message() {
        let scratch = &mut Scratch::default();
        let mut builder = request(scratch);
        builder.body("text/plain", Bytes::from_static(b"a\r\n\r\nb"));
        let before = builder.finish();
        let after = with_header(&before, &Subject::new("signed").unwrap());
        let message = message(&after);
        assert_eq!(message.body_bytes(), b"a\r\n\r\nb");
        let names: Vec<_> = message.headers().map(|(name, ..)| name).collect();
        assert_eq!(names.last(), Some(&Some(HeaderName::Subject)));
        assert_eq!(message.raw(HeaderName::Subject), Some(&b"signed"[..]));
    }

    // RFC 3261 section 8.2.6.2: the same fields with the same values, however the request has written and placed them.
    #[test]
    fn a_response_is_the_same_however_its_request_is_laid_out() {
        let scratch = &mut Scratch::default();
        let fields = [
            ("Via", "v", "SIP/2.0/TLS p.example.com;branch=z9hG4bKa"),
            ("Via", "v", "SIP/2.0/TCP q.example.com;branch=z9hG4bKb"),
            ("From", "f", "<sip:alice@example.com>;tag=1"),
            ("To", "t", "sip:bob@example.com"),
            ("Call-ID", "i", "c@example.com"),
            ("CSeq", "cseq", "7 OPTIONS"),
        ];
        let expected = "SIP/2.0 200 OK\r\n\
            Via: SIP/2.0/TLS p.example.com;branch=z9hG4bKa\r\n\
            Via: SIP/2.0/TCP q.example.com;branch=z9hG4bKb\r\n\
            From: <sip:alice@example.com>;tag=1\r\nTo: sip:bob@example.com;tag=3\r\n\
            Call-ID: c@example.com\r\nCSeq: 7 OPTIONS\r\nContent-Length: 0\r\n\r\n";
        let orders = [
            [0, 1, 2, 3, 4, 5],
            [0, 2, 1, 3, 4, 5],
            [0, 1, 3, 2, 5, 4],
            [5, 4, 3, 2, 0, 1],
        ];
        // Bit by bit: another field in front, the other name, blanks before and after the value.
        for (order, layout) in orders
            .into_iter()
            .flat_map(|order| (0..1u32 << 12).map(move |bits| (order, bits)))
        {
            let mut text = String::from("OPTIONS sip:bob@example.com SIP/2.0\r\n");
            for (at, (long, other, value)) in order.iter().map(|at| (*at, fields[*at])) {
                let name = if layout >> at & 1 == 0 { long } else { other };
                if layout >> (at + 6) & 1 == 0 {
                    text += &format!("{name}: {value}\r\n");
                } else {
                    text += &match at % 3 {
                        0 => format!("X-A: b\r\n{name}: {value}\r\n"),
                        1 => format!("{name}:  {value}\r\n"),
                        _ => format!("{name}: {value} \r\n"),
                    };
                }
            }
            let request = message((text + "\r\n").as_bytes());
            let response = ResponseBuilder::new(scratch, &request, StatusCode::OK, None, Some("3")).finish();
            assert_eq!(response, expected, "{:?}", request.bytes());
        }
    }

    // RFC 3261 section 8.2.6.2: the values are those of the request.
    #[test]
    fn a_repeated_field_is_repeated_to_the_byte_be_it_utf_8_or_not() {
        let scratch = &mut Scratch::default();
        let text =
            b"OPTIONS sip:b SIP/2.0\r\nFrom: a\r\nTo: <b:c>\r\nTo: <d:e>\r\nCSeq: \xffabcdefghi\r\n\r\n";
        let request = message(text);
        let mut builder = ResponseBuilder::new(scratch, &request, StatusCode::OK, None, Some("3"));
        // There is no Via to note it in.
        builder.via_received("192.0.2.7:4444".parse().unwrap());
        assert_eq!(
            &*builder.finish(),
            b"SIP/2.0 200 OK\r\nFrom: a\r\nTo: <b:c>;tag=3\r\nTo: <d:e>;tag=3\r\nCSeq: \xffabcdefghi\r\n\
             Content-Length: 0\r\n\r\n"
        );
    }

    fn of_parts(scratch: &mut Scratch, method: &Method, uri: &str, hop: &OwnHop<'_>, hops: u8) -> Bytes {
        let parties = Parties::new("<sip:a@b>;tag=1", "sip:c@d", "e@f");
        RequestBuilder::of_parts(scratch, method, uri, hop, &parties, 4_294_967_295, hops).finish()
    }

    #[test]
    fn parts_are_written_as_their_types_are() {
        let scratch = &mut Scratch::default();
        let octets = (0..=255).map(|octet| Host::V4([octet, 255 - octet, octet / 3, octet / 30].into()));
        let others = [
            Host::Name("a.example".into()),
            Host::V6("2001:db8::1".parse().unwrap()),
        ];
        let other = Method::parse(b"PING").unwrap();
        for (at, host) in octets.chain(others).enumerate() {
            for port in [0, 9, u16::try_from(at * 251).unwrap(), 65_535] {
                let method = [Method::Invite, other.clone()][at % 2].clone();
                let hops = [MAX_FORWARDS, 0, 9, 255][at % 4];
                let mut via = Via::new(Transport::Tls, host.clone(), Some(port), "z9hG4bKx");
                via.params = Params::parse(HeaderName::Via, ";branch=z9hG4bKx;rport").unwrap();
                let uri = Uri::parse("sip:c@d").unwrap();
                let from = From::parse("<sip:a@b>;tag=1").unwrap();
                let to = To::parse("sip:c@d").unwrap();
                let cseq = CSeq::new(4_294_967_295, method.clone());
                let typed = RequestBuilder::new(scratch, &method, &uri, &via, &from, &to, "e@f", &cseq, hops)
                    .finish();
                let hop = OwnHop {
                    transport: Transport::Tls,
                    host: &host,
                    port,
                    branch: "z9hG4bKx",
                };
                let written = of_parts(scratch, &method, "sip:c@d", &hop, hops);
                // As it was given, without the brackets that the type writes.
                let typed = String::from_utf8(typed.to_vec())
                    .unwrap()
                    .replace("<sip:c@d>", "sip:c@d");
                assert_eq!(written, typed);
            }
        }
    }

    // rules: E11
    #[test]
    fn no_part_can_bring_a_line_of_its_own() {
        let scratch = &mut Scratch::default();
        let host = Host::Name("h\r\nX: 1".into());
        let hop = OwnHop {
            transport: Transport::Tcp,
            host: &host,
            port: 5060,
            branch: "z9hG4bK\r\nX: 1",
        };
        let method = Method::Other("A\r\nX: 1".into());
        let parties = Parties::new("a\r\nX: 1", "b\nX: 1", "c\rX: 1");
        let mut builder =
            RequestBuilder::of_parts(scratch, &method, "sip:a\r\nX: 1", &hop, &parties, 1, MAX_FORWARDS);
        builder.block(&HeaderBlock::new([("A", "1\r\nX: 1")]));
        builder.text(HeaderName::Contact, "d\r\nX: 1");
        assert_eq!(
            builder.finish(),
            "AX:1 sip:aX:1 SIP/2.0\r\nVia: SIP/2.0/TCP hX:1:5060;branch=z9hG4bKX:1;rport\r\nMax-Forwards: 70\r\n\
             From: a  X: 1\r\nTo: b X: 1\r\nCall-ID: c X: 1\r\nCSeq: 1 AX:1\r\nA: 1  X: 1\r\nContact: d  X: 1\r\n\
             Content-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn parties_tell_their_names() {
        let parties = Parties::new("\"a;tag=x\" <sip:a@b>;tag=1 ;epid=2", "<sip:c@d>", "e@f");
        assert_eq!((parties.tag_of_from(), parties.call_id()), (Some("1"), "e@f"));
        let untagged = Parties::new("<sip:a@b>", "<sip:c@d>;tag=3", "");
        assert_eq!((untagged.tag_of_from(), untagged.call_id()), (None, ""));
    }

    #[test]
    fn numbers_are_written_in_decimal() {
        let scratch = &mut Scratch::default();
        for number in [0, 9, 10, 99, 100, 4_294_967_295, u64::MAX] {
            let mut draft = Draft::new(scratch);
            draft.number(number);
            assert_eq!(draft.scratch.out, format!("{number}").into_bytes());
        }
    }
}
