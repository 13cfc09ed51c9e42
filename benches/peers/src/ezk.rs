//! ezk-sip-types.

use std::fmt::Write as _;

use bytes::Bytes;
use ezk_sip_types::header::typed::{CSeq, CallID, Contact, ContentLength, FromTo, MaxForwards, Via};
use ezk_sip_types::msg::{Line, MessageLine, PullParser};
use ezk_sip_types::parse::Parse;
use ezk_sip_types::print::AppendCtx;
use ezk_sip_types::{Headers, Name};
use sansip_benches::measure::Case;
use sansip_benches::messages;
use sansip_benches::wire::each;

struct Message {
    line: MessageLine,
    headers: Headers,
    body: Bytes,
}

/// As its stack reads a message: line by line, into its table of header fields.
fn parse(bytes: &Bytes) -> Message {
    let mut parser = PullParser::new(bytes, 0);
    let text = |line| std::str::from_utf8(line).expect("text");
    let first = parser.next().expect("a line").expect("a whole line");
    let (_, line) = MessageLine::parse(bytes)(text(first)).expect("a start line");
    let mut headers = Headers::with_capacity(16);
    for field in parser.by_ref() {
        let (_, Line { name, value }) =
            Line::parse(bytes, text(field.expect("a whole line"))).expect("a header field");
        headers.insert(name, value);
    }
    Message {
        line,
        headers,
        body: bytes.slice(parser.head_end()..),
    }
}

fn typed(message: &Message) {
    let headers = &message.headers;
    let via: Via = headers.get_named().expect("Via");
    let from: FromTo = headers.get(Name::FROM).expect("From");
    let to: FromTo = headers.get(Name::TO).expect("To");
    let call_id: CallID = headers.get_named().expect("Call-ID");
    let cseq: CSeq = headers.get_named().expect("CSeq");
    let contact: Option<Contact> = headers.try_get_named().map(|contact| contact.expect("Contact"));
    let hops: Option<MaxForwards> = headers.try_get_named().map(|hops| hops.expect("Max-Forwards"));
    let length: ContentLength = headers.get_named().expect("Content-Length");
    std::hint::black_box((via, from, to, call_id, cseq, contact, hops, length));
}

fn write(message: &Message) -> Vec<u8> {
    let mut out = String::with_capacity(1024);
    write!(
        out,
        "{}\r\n{}\r\n",
        message.line.default_print_ctx(),
        message.headers
    )
    .expect("a string takes all");
    let mut out = out.into_bytes();
    out.extend_from_slice(&message.body);
    out
}

pub(crate) fn cases() -> Vec<Case> {
    let models = || messages::all().iter().map(parse).collect::<Vec<_>>();
    vec![
        Case::new("parse lazily", "ezk-sip-types", 12, || {
            each(messages::all(), parse)
        }),
        Case::new("parse typed", "ezk-sip-types", 12, || {
            each(messages::all(), |bytes| typed(&parse(bytes)))
        }),
        Case::new("write", "ezk-sip-types", 12, move || each(models(), write)),
    ]
}
