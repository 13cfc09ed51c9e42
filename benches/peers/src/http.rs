//! httparse, which knows no SIP, on the header fields: what the fastest parser of such lines takes for them.

use sansip_benches::measure::Case;
use sansip_benches::messages;
use sansip_benches::wire::each;

/// Header fields and the empty line after them.
fn block(message: &bytes::Bytes) -> Vec<u8> {
    let text = std::str::from_utf8(message).expect("text");
    let (head, _) = text.split_once("\r\n\r\n").expect("an empty line");
    let (_, fields) = head.split_once("\r\n").expect("a start line");
    [fields, "\r\n\r\n"].concat().into()
}

#[expect(clippy::ptr_arg, reason = "what it parses lies in a vector of them")]
fn parse(block: &Vec<u8>) {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let read = httparse::parse_headers(block, &mut headers).expect("header fields");
    assert!(read.is_complete());
    std::hint::black_box(&headers);
}

pub(crate) fn cases() -> Vec<Case> {
    vec![Case::new("parse lazily", "httparse", 12, || {
        each(messages::all().iter().map(block).collect::<Vec<_>>(), parse)
    })]
}
