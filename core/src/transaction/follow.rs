//! The two requests that follow an INVITE hop by hop, written from its bytes: the ACK for a failure response
//! (RFC 3261 section 17.1.1.3) and CANCEL (section 9.1).

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::error::ParseError;
use crate::wire::header::Header;
use crate::wire::{HeaderName, Message, MessageLimits, Method};

/// The ACK for a 300-699 `response` to `invite`: To is that of the response, all else that of the INVITE. Digest
/// credentials are repeated (section 22.1); the signatures of Microsoft's protocols cover one message and are not.
pub(super) fn ack(invite: &Bytes, response: &Message) -> Result<Bytes, ParseError> {
    let invite = parse(invite)?;
    let to = response
        .raw(HeaderName::To)
        .ok_or_else(|| ParseError::header(HeaderName::To, "missing"))?;
    // The one value here that the peer chose. A lone CR or LF ends no line for us, but it may for the next hop.
    if to.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return Err(ParseError::header(HeaderName::To, "control character"));
    }
    let mut out = begin(&invite, &Method::Ack, to)?;
    for name in [HeaderName::Authorization, HeaderName::ProxyAuthorization] {
        for value in invite.raw_all(name).filter(|value| is_digest(value)) {
            field(&mut out, name, value);
        }
    }
    Ok(end(out))
}

/// The CANCEL for `invite`.
pub(super) fn cancel(invite: &Bytes) -> Result<Bytes, ParseError> {
    let invite = parse(invite)?;
    let to = invite
        .raw(HeaderName::To)
        .ok_or_else(|| ParseError::header(HeaderName::To, "missing"))?;
    Ok(end(begin(&invite, &Method::Cancel, to)?))
}

/// The header section of what this stack has written itself, which the limits for received ones do not bind.
fn parse(request: &Bytes) -> Result<Message, ParseError> {
    let limits = MessageLimits {
        header_block: usize::MAX,
        headers: usize::MAX,
        ..MessageLimits::default()
    };
    Message::parse_head(request.clone(), &limits)
}

fn begin(invite: &Message, method: &Method, to: &[u8]) -> Result<Vec<u8>, ParseError> {
    let mut via = String::new();
    invite.via_top()?.write(&mut via);
    let mut cseq = String::new();
    let number = invite.cseq()?.number;
    let written = core::fmt::write(&mut cseq, format_args!("{number} {}", method.as_str()));
    // Writing to a String does not fail.
    debug_assert!(written.is_ok());

    let mut out = Vec::with_capacity(512);
    for part in [method.as_str(), " ", invite.request_uri(), " SIP/2.0\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    field(&mut out, HeaderName::Via, via.as_bytes());
    field(&mut out, HeaderName::MaxForwards, b"70");
    for route in invite.raw_all(HeaderName::Route) {
        field(&mut out, HeaderName::Route, route);
    }
    for name in [HeaderName::From, HeaderName::CallId] {
        field(
            &mut out,
            name,
            invite
                .raw(name)
                .ok_or_else(|| ParseError::header(name, "missing"))?,
        );
    }
    field(&mut out, HeaderName::To, to);
    field(&mut out, HeaderName::CSeq, cseq.as_bytes());
    Ok(out)
}

fn end(mut out: Vec<u8>) -> Bytes {
    field(&mut out, HeaderName::ContentLength, b"0");
    out.extend_from_slice(b"\r\n");
    out.shrink_to_fit();
    Bytes::from(out)
}

fn field(out: &mut Vec<u8>, name: HeaderName, value: &[u8]) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn is_digest(value: &[u8]) -> bool {
    let scheme = value
        .split(|byte| byte.is_ascii_whitespace())
        .next()
        .unwrap_or_default();
    scheme.eq_ignore_ascii_case(b"Digest")
}
