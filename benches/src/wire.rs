//! Parsing and writing, by this stack.

use bytes::Bytes;
use sansip::wire::header::{
    Accept, Allow, Authorization, CSeq, Contact, ContentLength, Date, Event, Expires, From, MaxForwards,
    RecordRoute, Route, Server, SubscriptionState, Supported, To, UserAgent, Via, WwwAuthenticate,
};
use sansip::wire::uri::Uri;
use sansip::wire::write::{RequestBuilder, ResponseBuilder};
use sansip::wire::{HeaderName, Message, MessageLimits, Method, StatusCode};

use crate::measure::Case;
use crate::messages;

/// Reads a message without looking into its header fields.
///
/// # Panics
/// It is none.
pub fn parse(bytes: &Bytes) -> Message {
    Message::parse(bytes.clone(), &MessageLimits::default()).expect("a message")
}

/// Reads the eight fields that every stack has to look at, each validated as far as its grammar goes.
///
/// # Panics
/// One is missing or malformed.
pub fn typed(message: &Message) -> usize {
    let via = message.via_top().expect("Via");
    let from = message.from_().expect("From");
    let to = message.to().expect("To");
    let call_id = message.call_id().expect("Call-ID");
    let cseq = message.cseq().expect("CSeq");
    let contact = message.list::<Contact<'_>>().next().transpose().expect("Contact");
    let hops = message.typed::<MaxForwards>().expect("Max-Forwards");
    let length = message.typed::<ContentLength>().expect("Content-Length");
    std::hint::black_box((&via, &from, &to, call_id, &cseq, &contact, hops, length));
    call_id.len()
}

macro_rules! fields {
    ($($single:ident $(<$life:lifetime>)?),*; $($list:ident $(<$list_life:lifetime>)?),*) => {
        /// A typed value of a field that a message has besides those that every message has.
        #[derive(Debug)]
        enum Field {
            $($single($single $(<$life>)?),)*
            $($list(Vec<$list $(<$list_life>)?>),)*
        }

        impl Field {
            fn of(name: HeaderName, value: &'static str) -> Option<Self> {
                use sansip::wire::header::{Header, ListHeader};
                Some(match name {
                    $(HeaderName::$single => Self::$single($single::parse(value).ok()?),)*
                    $(HeaderName::$list => Self::$list($list::parse_list(value).collect::<Result<_, _>>().ok()?),)*
                    _ => return None,
                })
            }

            fn add_to_request(&self, builder: &mut RequestBuilder) {
                match self {
                    $(Self::$single(value) => { builder.header(value); })*
                    $(Self::$list(values) => { builder.list(values); })*
                }
            }

            fn add_to_response(&self, builder: &mut ResponseBuilder<'_>) {
                match self {
                    $(Self::$single(value) => { builder.header(value); })*
                    $(Self::$list(values) => { builder.list(values); })*
                }
            }
        }
    };
}

fields! {
    Authorization<'static>, Contact<'static>, Date, Event<'static>, Expires, Server<'static>,
    SubscriptionState<'static>, UserAgent<'static>, Via<'static>, WwwAuthenticate<'static>;
    Accept<'static>, Allow, RecordRoute<'static>, Route<'static>, Supported<'static>
}

/// A message as typed values, ready to be written.
#[derive(Debug)]
pub enum Draft {
    /// A request.
    Request(Box<RequestDraft>),
    /// A response.
    Response(Box<ResponseDraft>),
}

/// What a request is made of.
#[derive(Debug)]
pub struct RequestDraft {
    method: Method,
    uri: Uri<'static>,
    via: Via<'static>,
    from: From<'static>,
    to: To<'static>,
    call_id: &'static str,
    cseq: CSeq,
    hops: u8,
    more: Vec<Field>,
    body: Option<(&'static str, Bytes)>,
}

/// What a response is made of: the request that it answers, and what it says itself.
#[derive(Debug)]
pub struct ResponseDraft {
    request: &'static Message,
    status: StatusCode,
    to_tag: Option<String>,
    more: Vec<Field>,
    body: Option<(&'static str, Bytes)>,
}

impl Draft {
    /// The typed values of a message; `request` is what a response answers.
    ///
    /// # Panics
    /// The message is malformed, or has a field that these benchmarks do not know.
    pub fn of(message: &'static Message, request: Option<&'static Message>) -> Self {
        let mut vias = 0;
        let more = message
            .headers()
            .filter_map(|(name, _, value)| {
                let name = name.expect("a known field");
                vias += usize::from(name == HeaderName::Via);
                let own = match name {
                    HeaderName::Via => vias == 1,
                    HeaderName::From
                    | HeaderName::To
                    | HeaderName::CallId
                    | HeaderName::CSeq
                    | HeaderName::MaxForwards
                    | HeaderName::ContentType
                    | HeaderName::ContentLength => true,
                    _ => false,
                };
                let text = std::str::from_utf8(value).expect("text");
                (!own).then(|| Field::of(name, text).expect("a good value of a field known here"))
            })
            .collect();
        let text = |name| {
            message
                .raw(name)
                .map(|value| std::str::from_utf8(value).expect("text"))
        };
        let body = text(HeaderName::ContentType).map(|content_type| (content_type, message.body()));
        let to = message.to().expect("To");
        match (message.method(), request) {
            (Some(method), _) => Self::Request(Box::new(RequestDraft {
                method: method.clone(),
                uri: Uri::parse(message.request_uri()).expect("a Request-URI"),
                via: message.via_top().expect("Via"),
                from: message.from_().expect("From"),
                to,
                call_id: message.call_id().expect("Call-ID"),
                cseq: message.cseq().expect("CSeq"),
                hops: message.required::<MaxForwards>().expect("Max-Forwards").0,
                more,
                body,
            })),
            (None, Some(request)) => Self::Response(Box::new(ResponseDraft {
                request,
                status: message.status().expect("a status"),
                to_tag: to.tag().map(str::to_owned),
                more,
                body,
            })),
            (None, None) => panic!("a response to nothing"),
        }
    }

    /// The twelve messages.
    pub fn all() -> Vec<Self> {
        let messages: &'static [Message] = messages::all().iter().map(parse).collect::<Vec<_>>().leak();
        messages
            .iter()
            .enumerate()
            .map(|(at, message)| {
                let answered = messages::ANSWERED.iter().find(|(response, _)| *response == at);
                Self::of(message, answered.and_then(|(_, request)| messages.get(*request)))
            })
            .collect()
    }

    /// Writes it.
    pub fn write(&self) -> Bytes {
        match self {
            Self::Request(draft) => {
                let mut builder = RequestBuilder::new(
                    &draft.method,
                    &draft.uri,
                    &draft.via,
                    &draft.from,
                    &draft.to,
                    draft.call_id,
                    &draft.cseq,
                    draft.hops,
                );
                for field in &draft.more {
                    field.add_to_request(&mut builder);
                }
                if let Some((content_type, body)) = &draft.body {
                    builder.body(content_type, body.clone());
                }
                builder.finish()
            }
            Self::Response(draft) => {
                let mut builder =
                    ResponseBuilder::new(draft.request, draft.status, None, draft.to_tag.as_deref());
                for field in &draft.more {
                    field.add_to_response(&mut builder);
                }
                if let Some((content_type, body)) = &draft.body {
                    builder.body(content_type, body.clone());
                }
                builder.finish()
            }
        }
    }
}

/// One run: the same with each of these.
pub fn each<T, R>(of: impl IntoIterator<Item = T>, work: impl Fn(&T) -> R) -> impl FnMut() {
    let of: Vec<T> = of.into_iter().collect();
    move || {
        for one in &of {
            std::hint::black_box(work(one));
        }
    }
}

/// Parsing and writing all twelve messages.
pub fn cases() -> Vec<Case> {
    vec![
        Case::new("parse lazily", "sansip", 12, || each(messages::all(), parse)),
        Case::new("parse typed", "sansip", 12, || {
            each(messages::all(), |bytes| typed(&parse(bytes)))
        }),
        Case::new("write", "sansip", 12, || each(Draft::all(), Draft::write)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of a header section in any order, and the body.
    fn parts(message: &[u8]) -> (Vec<String>, String) {
        let text = String::from_utf8(message.to_vec()).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("an empty line");
        let mut lines: Vec<String> = head.split("\r\n").map(str::to_owned).collect();
        lines.sort();
        (lines, body.to_owned())
    }

    #[test]
    fn what_is_written_is_what_was_read() {
        let drafts = Draft::all();
        assert_eq!(drafts.len(), 12);
        for (draft, message) in drafts.iter().zip(messages::all()) {
            assert_eq!(parts(&draft.write()), parts(&message));
        }
    }

    #[test]
    fn every_message_is_good() {
        for (bytes, name) in messages::all().iter().zip(messages::names()) {
            let message = parse(bytes);
            assert_eq!((message.defect(), message.bytes()), (None, bytes), "{name}");
            assert!(typed(&message) > 0, "{name}");
        }
    }
}
