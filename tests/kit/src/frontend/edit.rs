//! Changing a message on its way through: a proxy touches a few header fields and hands on all others as they came
//! (RFC 3261 sections 16.6 and 16.7), those included that it does not understand.

use bytes::{Bytes, BytesMut};
use sansip::wire::header::{Header, ListHeader, to_string};
use sansip::wire::{HeaderName, Message, Method, StatusCode};

use super::registrar::Refused;

/// A message taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Edit {
    start: Vec<u8>,
    fields: Vec<Field>,
    body: Bytes,
}

#[derive(Clone, Debug)]
struct Field {
    known: Option<HeaderName>,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Field {
    fn new(name: HeaderName, value: &str) -> Self {
        Self {
            known: Some(name),
            name: name.as_str().into(),
            value: value.into(),
        }
    }
}

impl Edit {
    pub(crate) fn of(message: &Message) -> Self {
        let start = match (message.method(), message.status()) {
            (Some(method), _) => request_line(method, message.request_uri()),
            (None, Some(status)) => status_line(status, message.reason()),
            (None, None) => Vec::new(),
        };
        let fields = message
            .headers()
            .map(|(known, name, value)| Field {
                known,
                name: name.into(),
                value: value.into(),
            })
            .collect();
        Self {
            start,
            fields,
            body: message.body(),
        }
    }

    /// Gives a request another Request-URI.
    pub(crate) fn set_request_uri(&mut self, method: &Method, uri: &str) {
        self.start = request_line(method, uri);
    }

    /// Gives a response another status, with the reason phrase of its specification.
    pub(crate) fn set_status(&mut self, status: StatusCode) {
        self.start = status_line(status, status.default_reason().as_bytes());
    }

    /// Puts a value before all others of its field, or at the top.
    pub(super) fn push_first<'a>(&mut self, value: &impl Header<'a>) {
        self.push_first_raw(name_of(value), &to_string(value));
    }

    pub(crate) fn push_first_raw(&mut self, name: HeaderName, value: &str) {
        let at = self
            .fields
            .iter()
            .position(|field| field.known == Some(name))
            .unwrap_or(0);
        self.fields.insert(at, Field::new(name, value));
    }

    /// Puts a value after all others of its field, or at the end.
    pub(super) fn push_last_raw(&mut self, name: HeaderName, value: &str) {
        let last = self.fields.iter().rposition(|field| field.known == Some(name));
        self.fields.insert(
            last.map_or(self.fields.len(), |at| at + 1),
            Field::new(name, value),
        );
    }

    /// Leaves this value alone in its field, where the first stood or at the end.
    pub(super) fn set<'a>(&mut self, value: &impl Header<'a>) {
        let name = name_of(value);
        let at = self.fields.iter().position(|field| field.known == Some(name));
        self.remove_if(name, |_| true);
        self.fields.insert(
            at.unwrap_or(self.fields.len()),
            Field::new(name, &to_string(value)),
        );
    }

    /// Takes the lines of a field out whose value the test says yes to.
    pub(crate) fn remove_if(&mut self, name: HeaderName, test: impl Fn(&str) -> bool) {
        self.fields
            .retain(|field| field.known != Some(name) || !test(&String::from_utf8_lossy(&field.value)));
    }

    /// Takes the first `count` values of a list field out; the others keep their text.
    pub(crate) fn drop_first<'a, H: ListHeader<'a>>(&mut self, mut count: usize) {
        while count > 0 {
            let Some(at) = self.fields.iter().position(|field| field.known == Some(H::NAME)) else {
                return;
            };
            let field = self.fields.remove(at);
            let text = String::from_utf8_lossy(&field.value).into_owned();
            let values = split(&text);
            let taken = values.len().min(count).max(1);
            count = count.saturating_sub(taken);
            let rest: Vec<&str> = values.into_iter().skip(taken).collect();
            if !rest.is_empty() {
                self.fields.insert(
                    at,
                    Field {
                        value: rest.join(", ").into_bytes(),
                        ..field
                    },
                );
            }
        }
    }

    /// Takes the last value of a list field out.
    pub(super) fn drop_last<'a, H: ListHeader<'a>>(&mut self) {
        let Some(at) = self.fields.iter().rposition(|field| field.known == Some(H::NAME)) else {
            return;
        };
        let field = self.fields.remove(at);
        let text = String::from_utf8_lossy(&field.value).into_owned();
        let mut values = split(&text);
        values.pop();
        if !values.is_empty() {
            self.fields.insert(
                at,
                Field {
                    value: values.join(", ").into_bytes(),
                    ..field
                },
            );
        }
    }

    pub(crate) fn finish(self) -> Bytes {
        let size = self
            .fields
            .iter()
            .map(|field| field.name.len() + field.value.len() + 4)
            .sum::<usize>();
        let mut bytes = BytesMut::with_capacity(self.start.len() + size + self.body.len() + 4);
        bytes.extend_from_slice(&self.start);
        bytes.extend_from_slice(b"\r\n");
        for field in &self.fields {
            bytes.extend_from_slice(&field.name);
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(&field.value);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes.freeze()
    }
}

/// A response of the front end itself (RFC 3261 section 8.2.6).
pub(super) fn response(request: &Message, refused: &Refused, tag: Option<&str>, product: &str) -> Bytes {
    const REPEATED: [HeaderName; 5] = [
        HeaderName::Via,
        HeaderName::From,
        HeaderName::To,
        HeaderName::CallId,
        HeaderName::CSeq,
    ];

    let reason = refused
        .reason
        .as_deref()
        .unwrap_or_else(|| refused.status.default_reason());
    let mut edit = Edit {
        start: status_line(refused.status, reason.as_bytes()),
        fields: Vec::new(),
        body: Bytes::new(),
    };
    for name in REPEATED {
        for value in request.raw_all(name) {
            edit.fields.push(Field {
                known: Some(name),
                name: name.as_str().into(),
                value: value.into(),
            });
        }
    }
    if let (Ok(mut to), Some(tag)) = (request.to(), tag)
        && to.tag().is_none()
    {
        to.params.set("tag", tag);
        edit.set(&to);
    }
    for (name, value) in &refused.headers {
        edit.fields.push(Field::new(*name, value));
    }
    edit.fields.push(Field::new(HeaderName::Server, product));
    edit.fields.push(Field::new(HeaderName::ContentLength, "0"));
    edit.finish()
}

/// An ACK for a refusal, or a CANCEL: the request that only the next hop sees (RFC 3261 sections 9.1 and 17.1.1.3).
/// `to` is that of the response for an ACK.
pub(crate) fn hop_request(sent: &Message, method: &Method, to: Option<&[u8]>) -> Bytes {
    let start = request_line(method, sent.request_uri());
    let mut edit = Edit {
        start,
        fields: Vec::new(),
        body: Bytes::new(),
    };
    let mut copy = |name: HeaderName, value: &[u8]| {
        edit.fields.push(Field {
            known: Some(name),
            name: name.as_str().into(),
            value: value.into(),
        });
    };
    // The top Via stands on a line of its own: this front end has put it there.
    copy(HeaderName::Via, sent.raw(HeaderName::Via).unwrap_or_default());
    copy(HeaderName::MaxForwards, b"70");
    for route in sent.raw_all(HeaderName::Route) {
        copy(HeaderName::Route, route);
    }
    copy(HeaderName::From, sent.raw(HeaderName::From).unwrap_or_default());
    copy(
        HeaderName::To,
        to.or_else(|| sent.raw(HeaderName::To)).unwrap_or_default(),
    );
    copy(
        HeaderName::CallId,
        sent.raw(HeaderName::CallId).unwrap_or_default(),
    );
    let number = sent.cseq().map_or(0, |cseq| cseq.number);
    copy(HeaderName::CSeq, format!("{number} {method}").as_bytes());
    copy(HeaderName::ContentLength, b"0");
    edit.finish()
}

fn name_of<'a, H: Header<'a>>(_: &H) -> HeaderName {
    H::NAME
}

fn request_line(method: &Method, uri: &str) -> Vec<u8> {
    format!("{method} {uri} SIP/2.0").into_bytes()
}

fn status_line(status: StatusCode, reason: &[u8]) -> Vec<u8> {
    let mut line = format!("SIP/2.0 {status} ").into_bytes();
    line.extend_from_slice(reason);
    line
}

/// The elements of a comma-separated list; commas in quotes and in angle brackets are no separators.
fn split(text: &str) -> Vec<&str> {
    let mut elements = Vec::new();
    let (mut quoted, mut escaped, mut bracketed) = (false, false, false);
    let mut start = 0;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '<' if !quoted => bracketed = true,
            '>' if !quoted => bracketed = false,
            ',' if !quoted && !bracketed => {
                elements.push(text.get(start..at).unwrap_or_default().trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    elements.push(text.get(start..).unwrap_or_default().trim());
    elements
}

#[cfg(test)]
mod tests {
    use sansip::wire::MessageLimits;
    use sansip::wire::header::{MaxForwards, Route, Via};

    use super::*;

    const REQUEST: &str = "MESSAGE sip:bob@example.com SIP/2.0\r\n\
        v: SIP/2.0/TCP a;branch=z9hG4bK1 , SIP/2.0/TCP b;branch=z9hG4bK2\r\n\
        Route: <sip:p1;lr>, \"a, b\" <sip:p2,x;lr>\r\n\
        X-Odd:  kept,as it is  \r\n\
        Route: <sip:p3;lr>\r\n\
        Content-Length: 2\r\n\r\nhi";

    fn message() -> Message {
        Message::parse(Bytes::from_static(REQUEST.as_bytes()), &MessageLimits::default()).unwrap()
    }

    fn text(edit: Edit) -> String {
        String::from_utf8(edit.finish().to_vec()).unwrap()
    }

    #[test]
    fn what_is_not_touched_stays() {
        let out = text(Edit::of(&message()));
        assert!(
            out.starts_with("MESSAGE sip:bob@example.com SIP/2.0\r\nv: SIP/2.0/TCP a;branch=z9hG4bK1 , ")
        );
        assert!(out.contains("\r\nX-Odd: kept,as it is\r\n"));
        assert!(out.ends_with("Content-Length: 2\r\n\r\nhi"));
    }

    #[test]
    fn first_values_are_taken_from_one_line_or_several() {
        let mut one = Edit::of(&message());
        one.drop_first::<Via<'_>>(1);
        assert!(text(one).contains("\r\nv: SIP/2.0/TCP b;branch=z9hG4bK2\r\n"));
        let mut two = Edit::of(&message());
        two.drop_first::<Route<'_>>(2);
        let two = text(two);
        assert!(!two.contains("p1") && !two.contains("p2") && two.contains("\r\nRoute: <sip:p3;lr>\r\n"));
        let mut all = Edit::of(&message());
        all.drop_first::<Route<'_>>(9);
        assert!(!text(all).contains("Route"));
        let mut last = Edit::of(&message());
        last.drop_last::<Route<'_>>();
        let last = text(last);
        assert!(last.contains("<sip:p2,x;lr>\r\n") && !last.contains("p3"));
    }

    #[test]
    fn values_are_put_before_after_and_in_place() {
        let mut edit = Edit::of(&message());
        edit.set(&MaxForwards(70));
        edit.push_first_raw(HeaderName::Via, "SIP/2.0/TCP c;branch=z9hG4bK3");
        edit.push_last_raw(HeaderName::Route, "<sip:p4;lr>");
        edit.set_request_uri(&Method::Message, "sip:bob@192.0.2.1");
        let out = text(edit);
        assert!(
            out.starts_with("MESSAGE sip:bob@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/TCP c;branch=z9hG4bK3\r\nv: ")
        );
        assert!(
            out.contains(
                "<sip:p3;lr>\r\nRoute: <sip:p4;lr>\r\nContent-Length: 2\r\nMax-Forwards: 70\r\n\r\n"
            )
        );
    }
}
