//! What a user agent refuses without knowing any state: syntax, and what it does not support at all.
//!
//! [`request`] and [`response`] look at what every transaction and dialog relies on. [`support`] compares a request
//! with what a user agent says of itself (RFC 3261 sections 8.2.1 to 8.2.3, in their order). [`verdict`] is both for
//! bytes whose sender has no dialog here.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::Bytes;

use super::header::{
    Accept, Contact, ContentDisposition, ContentEncoding, ContentType, From, ListHeader, MaxForwards,
    ProxyRequire, RecordRoute, Require, Route, To, Via,
};
use super::uri::Uri;
use super::{HeaderName, Message, MessageLimits, Method, StatusCode};
use crate::error::{ParseError, Place};

/// The only version of the protocol (RFC 3261 section 7.1; compared without regard to case).
const VERSION: &str = "SIP/2.0";

/// How a branch begins that is unique by itself (RFC 3261 section 8.1.1.7).
const MAGIC_COOKIE: &str = "z9hG4bK";

/// A request that is answered with an error and has no other effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The answer.
    pub status: StatusCode,
    /// What is wrong and where, fit for a reason phrase; it names the header field.
    pub reason: String,
    /// Where it is wrong.
    pub place: Place,
    /// Header fields that the answer has to carry: Allow with 405 and 501, Unsupported with 420, Accept or
    /// Accept-Encoding with 415.
    pub headers: Vec<(HeaderName, String)>,
}

impl Refusal {
    fn new(status: StatusCode, place: Place, what: &'static str) -> Self {
        let reason = phrase(&ParseError {
            place: place.clone(),
            what,
        });
        Self {
            status,
            reason,
            place,
            headers: Vec::new(),
        }
    }

    fn with(mut self, name: HeaderName, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl core::convert::From<ParseError> for Refusal {
    fn from(error: ParseError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.place, error.what)
    }
}

/// Why a response is dropped without effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discard {
    /// It does not follow the grammar.
    Malformed(ParseError),
    /// It has more than one Via value, so it was meant for someone else (RFC 3261 section 8.1.3.3).
    NotOurs,
}

impl core::convert::From<ParseError> for Discard {
    fn from(error: ParseError) -> Self {
        Self::Malformed(error)
    }
}

impl core::fmt::Display for Discard {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Malformed(error) => error.fmt(f),
            Self::NotOurs => f.write_str("Via: more than one value in a response"),
        }
    }
}

/// The error's words without the characters that a reason phrase has no room for (RFC 3261 section 25.1).
fn phrase(error: &ParseError) -> String {
    const ALLOWED: &str = " ;/?:@&=+$,-_.!~*'()";
    let fits = |c: char| c.is_alphanumeric() || ALLOWED.contains(c);
    let mut text = error.to_string();
    text.retain(fits);
    text
}

/// Whether a request is one: version (505), then the start line and the header fields that every user agent reads
/// (400), rule M6.
///
/// Absent Max-Forwards and From tag are accepted, and Via values without branch: older peers send none (RFC 3261
/// sections 16.3, 12.1.1 and 17.2.3).
///
/// # Errors
/// What to answer. Nothing is ever answered to ACK and BENOTIFY: those are dropped.
pub fn request(message: &Message) -> Result<(), Refusal> {
    let Some(method) = message.method() else {
        return Err(ParseError::start_line("not a request").into());
    };
    if !message.version().is_empty() && !message.version().eq_ignore_ascii_case(VERSION) {
        return Err(Refusal::new(
            StatusCode::VERSION_NOT_SUPPORTED,
            Place::StartLine,
            "version is not SIP/2.0",
        ));
    }
    if let Some(defect) = message.defect() {
        return Err(defect.clone().into());
    }
    if let Uri::Sip(uri) = Uri::parse(message.request_uri())?
        && !uri.headers.is_empty()
    {
        return Err(ParseError {
            place: Place::Uri,
            what: "headers in a Request-URI",
        }
        .into());
    }
    common(message)?;
    let cseq = message.cseq()?;
    if cseq.method != *method {
        let what = "not the method of the request";
        let status = if method.is_known() {
            StatusCode::BAD_REQUEST
        } else {
            StatusCode::NOT_IMPLEMENTED
        };
        return Err(Refusal::new(status, Place::Header(HeaderName::CSeq), what));
    }
    if message.via_top()?.branch() == Some(MAGIC_COOKIE) {
        return Err(ParseError::header(HeaderName::Via, "branch without an identifier").into());
    }
    message.typed::<MaxForwards>()?;
    each::<Route<'_>>(message)?;
    each::<Require<'_>>(message)?;
    each::<ProxyRequire<'_>>(message)?;
    contents(message)?;
    let star = message
        .list::<Contact<'_>>()
        .any(|contact| matches!(contact, Ok(Contact::Star)));
    if star && (*method != Method::Register || message.list::<Contact<'_>>().count() > 1) {
        return Err(ParseError::header(HeaderName::Contact, "misplaced *").into());
    }
    Ok(())
}

/// Whether a response is one, and meant for this user agent.
///
/// # Errors
/// It is to be dropped.
pub fn response(message: &Message) -> Result<(), Discard> {
    if message.is_request() {
        return Err(ParseError::start_line("not a response").into());
    }
    if !message.version().eq_ignore_ascii_case(VERSION) {
        return Err(ParseError::start_line("version is not SIP/2.0").into());
    }
    if let Some(defect) = message.defect() {
        return Err(defect.clone().into());
    }
    common(message)?;
    if message.list::<Via<'_>>().count() > 1 {
        Err(Discard::NotOurs)
    } else {
        Ok(())
    }
}

/// The fields that every message has (RFC 3261 section 8.1.1).
fn common(message: &Message) -> Result<(), ParseError> {
    message.via_top()?;
    each::<Via<'_>>(message)?;
    message.required::<From<'_>>()?;
    message.required::<To<'_>>()?;
    message.call_id()?;
    message.cseq()?;
    Ok(())
}

/// The fields that a dialog and the reader of the body rely on.
fn contents(message: &Message) -> Result<(), ParseError> {
    each::<RecordRoute<'_>>(message)?;
    each::<Contact<'_>>(message)?;
    message.typed::<ContentType<'_>>()?;
    each::<ContentEncoding<'_>>(message)
}

fn each<'a, H: ListHeader<'a> + 'a>(message: &'a Message) -> Result<(), ParseError> {
    message.list::<H>().try_for_each(|value| value.map(|_| ()))
}

/// What a user agent says of itself.
#[derive(Clone, Copy, Debug)]
pub struct UserAgent<'a> {
    /// The methods it takes (Allow).
    pub methods: &'a [Method],
    /// The option tags it supports (Supported), in lower case.
    pub options: &'a [&'a str],
    /// The media types it takes, in lower case as `type/subtype` or `type/*`; empty where it takes all.
    pub content_types: &'a [&'a str],
}

impl UserAgent<'_> {
    fn allow(&self) -> String {
        let names: Vec<&str> = self.methods.iter().map(Method::as_str).collect();
        names.join(", ")
    }

    fn takes(&self, type_: &str, subtype: &str) -> bool {
        self.content_types.is_empty()
            || self
                .content_types
                .iter()
                .any(|taken| in_range(taken, type_, subtype))
    }
}

/// Whether a media type lies in a range as Accept has them.
fn in_range(range: &str, type_: &str, subtype: &str) -> bool {
    let (range_type, range_subtype) = range.split_once('/').unwrap_or((range, "*"));
    (range_type == "*" || range_type.eq_ignore_ascii_case(type_))
        && (range_subtype == "*" || range_subtype.eq_ignore_ascii_case(subtype))
}

/// Whether `agent` supports what a well-formed request asks for, in the order of RFC 3261 section 8.2 (rule M6): its
/// method (501 where the stack has no name for it, else 405), the scheme of its Request-URI (416), the extensions it
/// requires (420), its body (415, unless its handling is optional), and an answer of a type that the caller reads (406).
///
/// # Errors
/// What to answer, with the header fields that go with it.
pub fn support(message: &Message, agent: &UserAgent<'_>) -> Result<Body, Refusal> {
    let Some(method) = message.method() else {
        return Ok(Body::Taken);
    };
    if !agent.methods.contains(method) {
        let status = if method.is_known() {
            StatusCode::METHOD_NOT_ALLOWED
        } else {
            StatusCode::NOT_IMPLEMENTED
        };
        let refusal = Refusal::new(status, Place::StartLine, "method not supported");
        return Err(refusal.with(HeaderName::Allow, agent.allow()));
    }
    if matches!(Uri::parse(message.request_uri())?, Uri::Other(_)) {
        return Err(Refusal::new(
            StatusCode::UNSUPPORTED_URI_SCHEME,
            Place::Uri,
            "unsupported scheme",
        ));
    }
    // ACK and CANCEL are never refused for an extension (RFC 3261 section 8.2.2.3).
    if !matches!(method, Method::Ack | Method::Cancel) {
        extensions(message, agent)?;
    }
    let mut taken = Body::Taken;
    if !message.body_bytes().is_empty()
        && let Err(refusal) = body(message, agent)
    {
        let handling = message.typed::<ContentDisposition<'_>>();
        if handling
            .ok()
            .flatten()
            .is_none_or(|handling| handling.is_required())
        {
            return Err(refusal);
        }
        taken = Body::Ignored;
    }
    if *method == Method::Invite {
        answer(message)?;
    }
    Ok(taken)
}

/// What becomes of the body of a request that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// It goes with the request, where there is one.
    Taken,
    /// The agent does not understand it, and its sender has said that it may be ignored: `handling=optional` of
    /// Content-Disposition (RFC 3261 section 20.11).
    Ignored,
}

fn extensions(message: &Message, agent: &UserAgent<'_>) -> Result<(), Refusal> {
    let mut unsupported = Vec::new();
    for required in message.list::<Require<'_>>() {
        let tag = required?.0;
        if !agent
            .options
            .iter()
            .any(|option| option.eq_ignore_ascii_case(&tag))
        {
            unsupported.push(tag);
        }
    }
    if unsupported.is_empty() {
        return Ok(());
    }
    let place = Place::Header(HeaderName::Require);
    let refusal = Refusal::new(StatusCode::BAD_EXTENSION, place, "extension not supported");
    Err(refusal.with(HeaderName::Unsupported, unsupported.join(", ")))
}

fn body(message: &Message, agent: &UserAgent<'_>) -> Result<(), Refusal> {
    let refusal = |name: HeaderName| {
        Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Place::Header(name),
            "not supported",
        )
    };
    for encoding in message.list::<ContentEncoding<'_>>() {
        if !encoding?.0.eq_ignore_ascii_case("identity") {
            let refusal = refusal(HeaderName::ContentEncoding);
            return Err(refusal.with(HeaderName::AcceptEncoding, "identity".to_owned()));
        }
    }
    match message.typed::<ContentType<'_>>()? {
        Some(ContentType(media)) if !agent.takes(&media.type_, &media.subtype) => {
            Err(refusal(HeaderName::ContentType).with(HeaderName::Accept, agent.content_types.join(", ")))
        }
        _ => Ok(()),
    }
}

/// The answer to an INVITE is a session description: a caller that reads none cannot be answered (RFC 4475 section
/// 3.3.15).
fn answer(message: &Message) -> Result<(), Refusal> {
    let mut ranges = message.list::<Accept<'_>>().peekable();
    if ranges.peek().is_none() {
        return Ok(());
    }
    for range in ranges {
        let media = range?.0;
        if media.type_ == "*" || media.type_.eq_ignore_ascii_case("multipart") {
            return Ok(());
        }
        if media.type_.eq_ignore_ascii_case("application")
            && (media.subtype == "*" || media.subtype.eq_ignore_ascii_case("sdp"))
        {
            return Ok(());
        }
    }
    let place = Place::Header(HeaderName::Accept);
    Err(Refusal::new(
        StatusCode::NOT_ACCEPTABLE,
        place,
        "no session description accepted",
    ))
}

/// What comes of one message at a user agent that has no dialog with its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it is a well-formed message of this version of the protocol.
    pub accepted: bool,
    /// The answer; `None` where nothing is answered: to responses, to ACK and BENOTIFY, and to what is no request.
    pub code: Option<StatusCode>,
    /// Why it is refused, fit for a reason phrase.
    pub reason: Option<String>,
    /// Where: a header field, `Request-URI`, `Request-Line`, `Status-Line` or `body`.
    pub header: Option<String>,
    /// What could be read of it.
    pub message: Option<Message>,
}

/// Judges one message that arrives whole (`sansip inspect`).
pub fn verdict(bytes: &[u8], agent: &UserAgent<'_>, limits: &MessageLimits) -> Verdict {
    let (message, broken) = read(bytes, limits);
    let Some(message) = message else {
        let error = broken.unwrap_or(ParseError::start_line("neither a request nor a response"));
        return Verdict {
            accepted: false,
            code: None,
            reason: Some(phrase(&error)),
            header: Some(place_name(&error.place, false)),
            message: None,
        };
    };
    let is_request = message.is_request();
    let syntax = if is_request {
        request(&message)
    } else {
        match response(&message) {
            Ok(()) => contents(&message).map_err(Refusal::from),
            Err(Discard::Malformed(error)) => Err(error.into()),
            Err(Discard::NotOurs) => Ok(()),
        }
    };
    let syntax = syntax.and_then(|()| broken.map_or(Ok(()), |error| Err(refusal_of_broken(error))));
    let accepted = syntax.is_ok();
    let refusal = syntax.and_then(|()| support(&message, agent).map(|_| ())).err();
    let silent = matches!(message.method(), None | Some(Method::Ack | Method::Benotify));
    let (status, reason, header) = match refusal {
        Some(refusal) => {
            let header = place_name(&refusal.place, is_request);
            (refusal.status, Some(refusal.reason), Some(header))
        }
        None if claims_dialog(&message) => (StatusCode::NO_SUCH_CALL, None, None),
        None => (StatusCode::OK, None, None),
    };
    Verdict {
        accepted,
        code: (!silent).then_some(status),
        reason,
        header,
        message: Some(message),
    }
}

/// The message, or as much of it as can be shown, and what kept it from being read whole.
fn read(bytes: &[u8], limits: &MessageLimits) -> (Option<Message>, Option<ParseError>) {
    let error = match Message::parse(Bytes::copy_from_slice(bytes), limits) {
        Ok(message) => return (Some(message), None),
        Err(error) => error,
    };
    if let Ok(head) = Message::parse_head(Bytes::copy_from_slice(bytes), limits) {
        return (Some(head), Some(error));
    }
    // Where the empty line is missing, the fields before it still say whom to answer.
    let terminated = [bytes, b"\r\n\r\n"].concat();
    let head = Message::parse_head(Bytes::from(terminated), limits).ok();
    (head, Some(error))
}

fn refusal_of_broken(error: ParseError) -> Refusal {
    let too_large = error.place == Place::Body && error.what == super::message::BODY_TOO_LONG;
    let status = if too_large {
        StatusCode::REQUEST_ENTITY_TOO_LARGE
    } else {
        StatusCode::BAD_REQUEST
    };
    Refusal::new(status, error.place, error.what)
}

/// Whether a request makes sense only in a dialog or transaction that exists (RFC 3261 sections 9.2, 12.2.2 and
/// 15.1.2; RFC 3262 section 3; RFC 3311 section 5.2).
fn claims_dialog(message: &Message) -> bool {
    match message.method() {
        Some(Method::Bye | Method::Cancel | Method::Prack | Method::Update) => true,
        _ => message.to().is_ok_and(|to| to.tag().is_some()),
    }
}

fn place_name(place: &Place, is_request: bool) -> String {
    match place {
        Place::StartLine if is_request => "Request-Line".to_owned(),
        Place::StartLine => "Status-Line".to_owned(),
        Place::Header(name) => name.to_string(),
        Place::UnknownHeader(name) => name.to_string(),
        Place::Uri => "Request-URI".to_owned(),
        Place::Body => "body".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    /// A request that nothing is wrong with, where `edit` has not changed it.
    fn request_text(line: &str, edit: &[(&str, &str)]) -> String {
        let method = line.split(' ').next().unwrap_or_default();
        let mut text = format!(
            "{line}\r\nVia: SIP/2.0/TCP h.example.com;branch=z9hG4bKa\r\nMax-Forwards: 70\r\n\
            From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n\
            Contact: <sip:a@h.example.com>\r\nContent-Length: 0\r\n\r\n"
        );
        for (old, new) in edit {
            assert!(text.contains(old), "{old}");
            text = text.replace(old, new);
        }
        text
    }

    const LINE: &str = "OPTIONS sip:b@example.com SIP/2.0";

    fn judge(text: &str) -> Verdict {
        let methods = [
            Method::Invite,
            Method::Ack,
            Method::Bye,
            Method::Cancel,
            Method::Options,
        ];
        let agent = UserAgent {
            methods: &methods,
            options: &["timer"],
            content_types: &["application/sdp", "multipart/*"],
        };
        verdict(text.as_bytes(), &agent, &MessageLimits::default())
    }

    fn code(text: &str) -> (bool, Option<u16>) {
        let verdict = judge(text);
        (verdict.accepted, verdict.code.map(StatusCode::code))
    }

    fn edited(edit: &[(&str, &str)]) -> (bool, Option<u16>, Option<String>) {
        let verdict = judge(&request_text(LINE, edit));
        (
            verdict.accepted,
            verdict.code.map(StatusCode::code),
            verdict.header,
        )
    }

    fn bad(header: &str) -> (bool, Option<u16>, Option<String>) {
        (false, Some(400), Some(header.to_owned()))
    }

    // rules: M6
    #[test]
    fn a_request_that_lacks_or_repeats_a_mandatory_field_is_bad() {
        assert_eq!(edited(&[]), (true, Some(200), None));
        for (line, name) in [
            ("Via: SIP/2.0/TCP h.example.com;branch=z9hG4bKa\r\n", "Via"),
            ("From: <sip:a@example.com>;tag=1\r\n", "From"),
            ("To: <sip:b@example.com>\r\n", "To"),
            ("Call-ID: c\r\n", "Call-ID"),
            ("CSeq: 1 OPTIONS\r\n", "CSeq"),
        ] {
            assert_eq!(edited(&[(line, "")]), bad(name));
            if name != "Via" {
                assert_eq!(edited(&[(line, &line.repeat(2))]), bad(name));
            }
        }
        assert_eq!(
            edited(&[("Max-Forwards: 70\r\n", "Max-Forwards: 70\r\nMax-Forwards: 70\r\n")]),
            bad("Max-Forwards")
        );
        // Older peers send none of these (RFC 3261 sections 12.1.1 and 16.3).
        let old = [
            ("Max-Forwards: 70\r\n", ""),
            (";tag=1", ""),
            (";branch=z9hG4bKa", ""),
            ("Content-Length: 0\r\n", ""),
        ];
        assert_eq!(edited(&old), (true, Some(200), None));
    }

    // rules: M6
    #[test]
    fn a_field_outside_its_grammar_is_named() {
        for (old, new, name) in [
            ("CSeq: 1 ", "CSeq: 2147483648 ", "CSeq"),
            ("CSeq: 1 ", "CSeq: x ", "CSeq"),
            ("CSeq: 1 OPTIONS", "CSeq: 1 INVITE", "CSeq"),
            ("Max-Forwards: 70", "Max-Forwards: 256", "Max-Forwards"),
            ("z9hG4bKa", "z9hG4bK", "Via"),
            ("z9hG4bKa", "z9hG4bKa,", "Via"),
            ("From: <", "From: \"open <", "From"),
            (
                "Contact: <sip:a@h.example.com>",
                "Contact: <sip:a@h.example.com",
                "Contact",
            ),
            ("Contact: <sip:a@h.example.com>", "Contact: *", "Contact"),
            (
                "Contact: ",
                "Record-Route: <sip:h;lr>,\r\nContact: ",
                "Record-Route",
            ),
            ("Contact: ", "Route: <sip:h;lr\r\nContact: ", "Route"),
            ("Contact: ", "Require: a b\r\nContact: ", "Require"),
            ("Contact: ", "Content-Type: sdp\r\nContact: ", "Content-Type"),
            ("Contact: ", "no field\r\nContact: ", "no field"),
            ("Content-Length: 0", "Content-Length: 1", "body"),
            ("Content-Length: 0", "Content-Length: x", "Content-Length"),
            ("b@example.com SIP", "b@example.com  SIP", "Request-Line"),
            ("b@example.com SIP", "b@example.com?Route=a SIP", "Request-URI"),
            ("sip:b@example.com SIP", "<sip:b@example.com> SIP", "Request-URI"),
            ("sip:b@example.com SIP", "sip:b@2001:db8::1 SIP", "Request-URI"),
        ] {
            assert_eq!(edited(&[(old, new)]), bad(name), "{new}");
        }
    }

    // rules: M6
    #[test]
    fn another_version_is_505_before_anything_else() {
        let text = request_text("OPTIONS sip:b@example.com SIP/3.0", &[("CSeq: 1 ", "CSeq: x ")]);
        assert_eq!(code(&text), (false, Some(505)));
        assert_eq!(
            code(&request_text("OPTIONS sip:b@example.com sip/2.0", &[])),
            (true, Some(200))
        );
    }

    // rules: M6
    #[test]
    fn what_is_not_supported_is_refused_in_the_order_of_the_rfc() {
        let all = [
            (
                "Contact: ",
                "Require: timer, x, Timer, y\r\nContent-Type: text/plain\r\nContact: ",
            ),
            ("h: 0\r\n\r\n", "h: 1\r\n\r\na"),
        ];
        let line = |line| code(&request_text(line, &all));
        assert_eq!(line("NEW urn:x SIP/2.0"), (true, Some(501)));
        assert_eq!(line("REGISTER urn:x SIP/2.0"), (true, Some(405)));
        assert_eq!(line("OPTIONS urn:x SIP/2.0"), (true, Some(416)));
        assert_eq!(line("OPTIONS tel:+1 SIP/2.0"), (true, Some(420)));
        assert_eq!(code(&request_text(LINE, &all[1..])), (true, Some(200)));
        let typed = [("Contact: ", "Content-Type: text/plain\r\nContact: "), all[1]];
        assert_eq!(code(&request_text(LINE, &typed)), (true, Some(415)));
        let multipart = [
            (
                "Contact: ",
                "Content-Type: Multipart/Mixed;boundary=a\r\nContact: ",
            ),
            all[1],
        ];
        assert_eq!(code(&request_text(LINE, &multipart)), (true, Some(200)));
        let encoded = [("Contact: ", "Content-Encoding: gzip\r\nContact: "), all[1]];
        assert_eq!(code(&request_text(LINE, &encoded)), (true, Some(415)));
        // CSeq of an unknown method: not implemented comes first (RFC 4475 section 3.1.2.18).
        assert_eq!(
            code(&request_text(
                "NEW sip:b@example.com SIP/2.0",
                &[("1 NEW", "1 BYE")]
            )),
            (false, Some(501))
        );
    }

    #[test]
    fn a_refusal_carries_the_header_fields_of_its_answer() {
        let methods = [Method::Options, Method::Bye];
        let agent = UserAgent {
            methods: &methods,
            options: &[],
            content_types: &["a/b", "c/d"],
        };
        let refused = |line: &str, edit: &[(&str, &str)]| {
            let bytes = Bytes::from(request_text(line, edit));
            let message = Message::parse(bytes, &MessageLimits::default()).unwrap();
            request(&message).unwrap();
            support(&message, &agent).unwrap_err()
        };
        let allow = refused("INVITE sip:b@example.com SIP/2.0", &[]);
        assert_eq!(allow.headers, [(HeaderName::Allow, "OPTIONS, BYE".to_owned())]);
        let extension = refused(LINE, &[("Contact: ", "Require: x,y\r\nContact: ")]);
        assert_eq!(extension.headers, [(HeaderName::Unsupported, "x, y".to_owned())]);
        assert_eq!(extension.reason, "Require: extension not supported");
        let body = ("h: 0\r\n\r\n", "h: 1\r\n\r\na");
        let media = refused(LINE, &[("Contact: ", "c: x/y\r\nContact: "), body]);
        assert_eq!(media.headers, [(HeaderName::Accept, "a/b, c/d".to_owned())]);
        let coding = refused(LINE, &[("Contact: ", "e: gzip\r\nContact: "), body]);
        assert_eq!(
            coding.headers,
            [(HeaderName::AcceptEncoding, "identity".to_owned())]
        );
    }

    #[test]
    fn an_invite_whose_sender_reads_no_session_description_is_not_acceptable() {
        let accepting = |accept: &str| {
            let fields = format!("Accept: {accept}\r\nContact: ");
            code(&request_text(
                "INVITE sip:b@example.com SIP/2.0",
                &[("Contact: ", &fields)],
            ))
            .1
        };
        assert_eq!(accepting("text/x"), Some(406));
        for accept in [
            "text/x, application/SDP",
            "*/*",
            "application/*",
            "multipart/mixed",
            "",
        ] {
            assert_eq!(accepting(accept), Some(200), "{accept}");
        }
    }

    #[test]
    fn what_claims_a_dialog_is_answered_481() {
        let tagged = [("To: <sip:b@example.com>", "To: <sip:b@example.com>;tag=2")];
        assert_eq!(code(&request_text(LINE, &tagged)), (true, Some(481)));
        assert_eq!(
            code(&request_text("BYE sip:b@example.com SIP/2.0", &[])),
            (true, Some(481))
        );
        assert_eq!(
            code(&request_text("CANCEL sip:b@example.com SIP/2.0", &[])),
            (true, Some(481))
        );
    }

    // rules: M3
    #[test]
    fn nothing_is_answered_to_an_ack_a_benotify_or_a_response() {
        assert_eq!(
            code(&request_text("ACK sip:b@example.com SIP/2.0", &[])),
            (true, None)
        );
        assert_eq!(
            code(&request_text(
                "ACK sip:b@example.com SIP/2.0",
                &[("Call-ID: c", "X: c")]
            )),
            (false, None)
        );
        assert_eq!(
            code(&request_text("BENOTIFY sip:b@example.com SIP/2.0", &[])),
            (true, None)
        );
        let response = |edit: &[(&str, &str)]| {
            let mut edit = edit.to_vec();
            edit.push((LINE, "SIP/2.0 200 OK"));
            code(&request_text(LINE, &edit))
        };
        assert_eq!(response(&[]), (true, None));
        assert_eq!(response(&[("CSeq: 1 ", "CSeq: 4294967296 ")]), (false, None));
        assert_eq!(response(&[("Call-ID: c", "X: c")]), (false, None));
        assert_eq!(code("SIP/2.0 4294967301 x\r\n\r\n"), (false, None));
        assert_eq!(code("GET / HTTP/1.1\r\n\r\n"), (false, Some(400)));
        assert_eq!(code("\u{0}"), (false, None));
    }

    // RFC 3261 section 8.1.3.3
    #[test]
    fn a_response_with_two_via_values_is_not_ours() {
        let vias = "SIP/2.0/TCP h.example.com;branch=z9hG4bKa, SIP/2.0/TCP x";
        let edit = [
            (LINE, "SIP/2.0 200 OK"),
            ("SIP/2.0/TCP h.example.com;branch=z9hG4bKa", vias),
        ];
        let message =
            Message::parse(Bytes::from(request_text(LINE, &edit)), &MessageLimits::default()).unwrap();
        assert_eq!(response(&message), Err(Discard::NotOurs));
        assert!(matches!(
            request(&message),
            Err(Refusal {
                status: StatusCode::BAD_REQUEST,
                ..
            })
        ));
    }

    // rules: C31
    #[test]
    fn a_body_over_the_limit_is_413() {
        assert_eq!(edited(&[("h: 0", "h: 1048577")]).1, Some(413));
        assert_eq!(edited(&[("h: 0", "h: 1048576")]).1, Some(400));
    }

    // RFC 3261 section 25.1: Reason-Phrase has no room for quotes, brackets and control characters.
    #[test]
    fn a_reason_fits_a_status_line() {
        let verdict = judge(&request_text(
            LINE,
            &[("Contact: ", "a \"<\u{7}>\" b\r\nContact: ")],
        ));
        assert_eq!(verdict.reason.as_deref(), Some("a ? b: no colon"));
    }
}
