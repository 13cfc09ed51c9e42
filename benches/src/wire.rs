//! Parsing and writing, by this stack.

use bytes::Bytes;
use sansip::Transport;
use sansip::wire::header::{Contact, ContentLength, MaxForwards};
use sansip::wire::uri::Host;
use sansip::wire::write::{HeaderBlock, OwnHop, Parties, RequestBuilder, ResponseBuilder, Scratch};
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

/// A message as the stack holds it until its connection is known: what is the connection's and the attempt's with its
/// type, what an endpoint says in every message as a block, the rest as texts that were made or checked when they were
/// given.
#[derive(Debug)]
pub enum Draft {
    /// A request.
    Request(Box<RequestDraft>),
    /// A response.
    Response(Box<ResponseDraft>),
}

/// The header fields beyond those that every message has.
#[derive(Debug)]
enum More {
    /// One that is of this message.
    Text(HeaderName, Box<str>),
    /// What an endpoint says in every message of the kind, written once.
    Block(HeaderBlock),
}

impl More {
    /// The fields in the same order; those that describe an endpoint, where they stand together, as one block.
    fn of(fields: &[(HeaderName, Box<str>)]) -> Vec<Self> {
        let described = |name: HeaderName| {
            use HeaderName::{Accept, Allow, Server, Supported, UserAgent};
            matches!(name, Accept | Allow | Server | Supported | UserAgent)
        };
        fields
            .chunk_by(|(a, _), (b, _)| described(*a) && described(*b))
            .map(|fields| match fields {
                [(name, value)] if !described(*name) => Self::Text(*name, value.clone()),
                fields => Self::Block(HeaderBlock::new(
                    fields.iter().map(|(name, value)| (name.as_str(), &**value)),
                )),
            })
            .collect()
    }
}

/// What a request is made of.
#[derive(Debug)]
pub struct RequestDraft {
    method: Method,
    uri: Box<str>,
    transport: Transport,
    host: Host<'static>,
    port: u16,
    branch: Box<str>,
    parties: Parties,
    cseq: u32,
    hops: u8,
    more: Vec<More>,
    content: Option<(Box<str>, Bytes)>,
}

/// What a response is made of: the request that it answers, and what it says itself.
#[derive(Debug)]
pub struct ResponseDraft {
    request: &'static Message,
    status: StatusCode,
    to_tag: Option<Box<str>>,
    more: Vec<More>,
    content: Option<(Box<str>, Bytes)>,
}

impl Draft {
    /// What a message is made of; `request` is what a response answers.
    ///
    /// # Panics
    /// The message is malformed, or a response to nothing.
    pub fn of(message: &'static Message, request: Option<&'static Message>) -> Self {
        let text = |value: &[u8]| -> Box<str> { std::str::from_utf8(value).expect("text").into() };
        let field = |name| text(message.raw(name).expect("a field that every message has"));
        let mut vias = 0;
        let more: Vec<_> = message
            .headers()
            .filter_map(|(name, _, value)| {
                let name = name.expect("a known field");
                vias += usize::from(name == HeaderName::Via);
                let own = match name {
                    // A response repeats those of its request.
                    HeaderName::Via => vias == 1 || request.is_some(),
                    HeaderName::From
                    | HeaderName::To
                    | HeaderName::CallId
                    | HeaderName::CSeq
                    | HeaderName::MaxForwards
                    | HeaderName::ContentType
                    | HeaderName::ContentLength => true,
                    _ => false,
                };
                (!own).then(|| (name, text(value)))
            })
            .collect();
        let more = More::of(&more);
        let content = message
            .raw(HeaderName::ContentType)
            .map(|content_type| (text(content_type), message.body()));
        match (message.method(), request) {
            (Some(method), _) => {
                let via = message.via_top().expect("Via");
                Self::Request(Box::new(RequestDraft {
                    method: method.clone(),
                    uri: message.request_uri().into(),
                    transport: match &*via.transport {
                        "TLS" => Transport::Tls,
                        _ => Transport::Tcp,
                    },
                    host: via.host.clone(),
                    port: via.port.expect("a port"),
                    branch: via.branch().expect("a branch").into(),
                    parties: Parties::new(
                        &field(HeaderName::From),
                        &field(HeaderName::To),
                        &field(HeaderName::CallId),
                    ),
                    cseq: message.cseq().expect("CSeq").number,
                    hops: message.required::<MaxForwards>().expect("Max-Forwards").0,
                    more,
                    content,
                }))
            }
            (None, Some(request)) => Self::Response(Box::new(ResponseDraft {
                request,
                status: message.status().expect("a status"),
                to_tag: message.to().expect("To").tag().map(Into::into),
                more,
                content,
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

    /// Writes it, with the builders and the scratch that the stack has for it.
    pub fn write(&self, scratch: &mut Scratch) -> Bytes {
        match self {
            Self::Request(draft) => {
                let RequestDraft {
                    method, uri, parties, ..
                } = &**draft;
                let hop = OwnHop {
                    transport: draft.transport,
                    host: &draft.host,
                    port: draft.port,
                    branch: &draft.branch,
                };
                let mut builder =
                    RequestBuilder::of_parts(scratch, method, uri, &hop, parties, draft.cseq, draft.hops);
                for more in &draft.more {
                    match more {
                        More::Text(name, value) => builder.text(*name, value),
                        More::Block(block) => builder.block(block),
                    };
                }
                if let Some((content_type, body)) = &draft.content {
                    builder.body(content_type, body.clone());
                }
                builder.finish()
            }
            Self::Response(draft) => {
                let to_tag = draft.to_tag.as_deref();
                let mut builder = ResponseBuilder::new(scratch, draft.request, draft.status, None, to_tag);
                for more in &draft.more {
                    match more {
                        More::Text(name, value) => builder.text(*name, value),
                        More::Block(block) => builder.block(block),
                    };
                }
                if let Some((content_type, body)) = &draft.content {
                    builder.body(content_type, body.clone());
                }
                builder.finish()
            }
        }
    }
}

/// One run: all twelve messages, written one after the other.
fn write_all() -> impl FnMut() {
    let (drafts, mut scratch) = (Draft::all(), Scratch::default());
    move || {
        for draft in &drafts {
            std::hint::black_box(draft.write(&mut scratch));
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
        Case::new("write", "sansip", 12, write_all),
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
        let (drafts, mut scratch) = (Draft::all(), Scratch::default());
        assert_eq!(drafts.len(), 12);
        for (draft, message) in drafts.iter().zip(messages::all()) {
            assert_eq!(parts(&draft.write(&mut scratch)), parts(&message));
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
