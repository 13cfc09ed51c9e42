//! Reading a start line: that of a request or that of a response.

use memchr::memchr;

use super::head::{Span, is_white, trim_end, trim_start};
use super::message::Start;
use super::{Method, StatusCode, scan};
use crate::error::{ParseError, Place};

/// Reads a start line; `stray` where a CR or LF stands in it.
#[inline]
pub(super) fn start_line(line: &[u8], stray: bool) -> Result<(Start, Option<ParseError>), ParseError> {
    let (start, defect) = match line.split_at_checked(4) {
        Some((prefix, _)) if prefix.eq_ignore_ascii_case(b"SIP/") => status_line(line)?,
        _ => match good_request_line(line) {
            // Its characters need no further look.
            Some(start) => return Ok((start, None)),
            None => request_line(line)?,
        },
    };
    let text_defect = if stray {
        Some("a line end that is not CRLF")
    } else if core::str::from_utf8(line).is_err() {
        Some("not UTF-8")
    } else {
        None
    };
    Ok((start, defect.or_else(|| text_defect.map(ParseError::start_line))))
}

/// A request line as nearly all are, with nothing to find fault with.
#[inline]
fn good_request_line(line: &[u8]) -> Option<Start> {
    const VERSION: &[u8] = b"SIP/2.0";
    let parts = line.strip_suffix(VERSION)?.strip_suffix(b" ")?;
    let space = scan::near(b' ', parts)?;
    let (method, uri) = (parts.get(..space)?, parts.get(space + 1..)?);
    if uri.is_empty() || !scan::is_visible(uri) {
        return None;
    }
    Some(Start::Request {
        method: Method::parse(method)?,
        uri: Span::new(space + 1, parts.len()),
        version: Span::new(parts.len() + 1, line.len()),
    })
}

/// `Method SP Request-URI SP SIP-Version` (RFC 3261 section 7.1), with other spaces a defect.
fn request_line(line: &[u8]) -> Result<(Start, Option<ParseError>), ParseError> {
    let Some((method, rest)) = memchr(b' ', line).and_then(|end| line.split_at_checked(end)) else {
        return Err(ParseError::start_line("neither a request nor a response"));
    };
    let Some(method) = Method::parse(method) else {
        return Err(ParseError::start_line("the method is not a token"));
    };
    let strict = rest.get(1..).unwrap_or_default();
    let rest = trim_start(rest);
    let uri_at = line.len() - rest.len();
    let rest = trim_end(rest);
    let last = rest
        .iter()
        .rposition(|byte| is_white(*byte))
        .map_or(0, |space| space + 1);
    let version = rest.get(last..).filter(|version| last > 0 && is_version(version));
    let uri = version.map_or(rest, |_| trim_end(rest.get(..last).unwrap_or_default()));
    let version_span = version.map_or_else(Span::default, |version| {
        Span::new(uri_at + last, uri_at + last + version.len())
    });
    let after_uri = strict
        .strip_prefix(uri)
        .and_then(|after| after.strip_prefix(b" "));
    let defect = if version.is_none() {
        Some(ParseError::start_line("no SIP version"))
    } else if after_uri != version {
        Some(ParseError::start_line("its parts are not separated by one space"))
    } else if uri.iter().copied().any(is_white) {
        Some(ParseError {
            place: Place::Uri,
            what: "white space in the Request-URI",
        })
    } else {
        None
    };
    let uri = Span::new(uri_at, uri_at + uri.len());
    Ok((
        Start::Request {
            method,
            uri,
            version: version_span,
        },
        defect,
    ))
}

/// `SIP-Version SP Status-Code SP Reason-Phrase` (RFC 3261 section 7.2).
fn status_line(line: &[u8]) -> Result<(Start, Option<ParseError>), ParseError> {
    let version_end = memchr(b' ', line).unwrap_or(line.len());
    let version = line.get(..version_end).unwrap_or_default();
    let rest = line.get(version_end + 1..).unwrap_or_default();
    let code_end = memchr(b' ', rest).unwrap_or(rest.len());
    let status = match rest.get(..code_end) {
        Some(digits @ [_, _, _]) if digits.iter().all(u8::is_ascii_digit) => {
            let code = digits
                .iter()
                .fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
            StatusCode::new(code)
        }
        _ => None,
    };
    let Some(status) = status else {
        return Err(ParseError::start_line("the status code is not one of 100 to 699"));
    };
    let defect = if !is_version(version) {
        Some(ParseError::start_line("no SIP version"))
    } else if code_end == rest.len() {
        Some(ParseError::start_line("no space after the status code"))
    } else {
        None
    };
    let reason_at = (version_end + 1 + code_end + 1).min(line.len());
    let reason = Span::new(reason_at, line.len());
    Ok((
        Start::Response {
            status,
            reason,
            version: Span::new(0, version_end),
        },
        defect,
    ))
}

/// `"SIP" "/" 1*DIGIT "." 1*DIGIT`, in any case.
fn is_version(text: &[u8]) -> bool {
    if text == b"SIP/2.0" {
        return true;
    }
    let Some((name, number)) = text.split_at_checked(4) else {
        return false;
    };
    let mut parts = number.split(|byte| *byte == b'.');
    let digits = |part: Option<&[u8]>| {
        part.is_some_and(|part| !part.is_empty() && part.iter().all(u8::is_ascii_digit))
    };
    name.eq_ignore_ascii_case(b"SIP/")
        && digits(parts.next())
        && digits(parts.next())
        && parts.next().is_none()
}
