//! A message written anew from its typed values: what was read is what is written.

use alloc::string::{String, ToString};

use bytes::Bytes;

use super::header::rewrite;
use super::uri::Uri;
use super::{HeaderName, Message};
use crate::error::{ParseError, Place};

/// The message with every value that has a type read and written again: long names, one line for each field, no
/// white space that carries no meaning. Fields without a type stand as they were, in their place; so do those that
/// nothing depends on where their value does not follow its grammar.
///
/// # Errors
/// The start line, or a field that routing, transactions, dialogs or the body depend on, does not follow its grammar,
/// or any value is not UTF-8.
pub fn rebuild(message: &Message) -> Result<Bytes, ParseError> {
    if let Some(defect) = message.defect() {
        return Err(defect.clone());
    }
    let mut out = String::with_capacity(message.bytes().len());
    start_line(message, &mut out)?;
    for (known, name, value) in message.headers() {
        // A name is a token, so it is ASCII.
        let name = String::from_utf8_lossy(name);
        let Ok(value) = core::str::from_utf8(value) else {
            let place = known.map_or_else(|| Place::UnknownHeader(name.into()), Place::Header);
            return Err(ParseError {
                place,
                what: "not UTF-8",
            });
        };
        out.push_str(known.map_or(&*name, |known| known.as_str()));
        out.push_str(": ");
        match known.and_then(|known| Some((known, rewrite(known, value)?))) {
            Some((_, Ok(written))) => out.push_str(&written),
            Some((known, Err(error))) if is_essential(known) => return Err(error),
            Some((_, Err(_))) | None => out.push_str(value),
        }
        out.push_str("\r\n");
    }
    out.push_str("\r\n");
    let mut bytes = out.into_bytes();
    bytes.extend_from_slice(message.body_bytes());
    Ok(Bytes::from(bytes))
}

/// Fields without which a message cannot be processed; [`check`](super::check) refuses it for them.
const fn is_essential(name: HeaderName) -> bool {
    matches!(
        name,
        HeaderName::CallId
            | HeaderName::Contact
            | HeaderName::ContentEncoding
            | HeaderName::ContentLength
            | HeaderName::ContentType
            | HeaderName::CSeq
            | HeaderName::From
            | HeaderName::MaxForwards
            | HeaderName::ProxyRequire
            | HeaderName::RecordRoute
            | HeaderName::Require
            | HeaderName::Route
            | HeaderName::To
            | HeaderName::Via
    )
}

fn start_line(message: &Message, out: &mut String) -> Result<(), ParseError> {
    if let Some(method) = message.method() {
        out.push_str(method.as_str());
        out.push(' ');
        Uri::parse(message.request_uri())?.write(out);
        out.push_str(" SIP/2.0\r\n");
    } else if let Some(status) = message.status() {
        out.push_str("SIP/2.0 ");
        out.push_str(&status.to_string());
        out.push(' ');
        out.push_str(&String::from_utf8_lossy(message.reason()));
        out.push_str("\r\n");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;
    use crate::wire::MessageLimits;

    fn parse(text: &str) -> Message {
        Message::parse(Bytes::copy_from_slice(text.as_bytes()), &MessageLimits::default()).unwrap()
    }

    #[test]
    fn names_are_long_lists_keep_their_lines_and_the_unknown_stays() {
        let text = "INVITE sip:b@example.com sip/2.0\r\n\
            v:SIP / 2.0 / TCP a.example.com ;branch=z9hG4bK1,SIP/2.0/TCP b\r\n\
            f: \"A\" <sip:a@example.com> ; tag=1\r\nX-Other :  as  it was \r\nSupported:\r\nl:4\r\n\r\nbody";
        let rebuilt = "INVITE sip:b@example.com SIP/2.0\r\n\
            Via: SIP/2.0/TCP a.example.com;branch=z9hG4bK1, SIP/2.0/TCP b\r\n\
            From: \"A\" <sip:a@example.com>;tag=1\r\nX-Other: as  it was\r\nSupported: \r\nContent-Length: 4\r\n\r\nbody";
        assert_eq!(rebuild(&parse(text)).unwrap(), rebuilt);
    }

    #[test]
    fn a_value_outside_its_grammar_is_named_where_it_matters_and_kept_where_not() {
        for (line, name) in [
            ("CSeq: x BYE", HeaderName::CSeq),
            ("Via: SIP/2.0/TCP a, ", HeaderName::Via),
        ] {
            let message = parse(&format!("BYE sip:b@example.com SIP/2.0\r\n{line}\r\n\r\n"));
            assert_eq!(rebuild(&message).unwrap_err().place, Place::Header(name));
        }
        let date = "Date: Fri, 01 Jan 2010 16:00:00 EST";
        let rebuilt = rebuild(&parse(&format!(
            "BYE sip:b@example.com SIP/2.0\r\n{date}\r\n\r\n"
        )))
        .unwrap();
        assert_eq!(
            rebuilt,
            format!("BYE sip:b@example.com SIP/2.0\r\n{date}\r\n\r\n")
        );
        let message = parse("BYE sip:b@example.com;; SIP/2.0\r\n\r\n");
        assert_eq!(rebuild(&message).unwrap_err().place, Place::Uri);
    }
}
