//! sip-core. It has no typed header values, so it has no row for them.

use sansip_benches::measure::Case;
use sansip_benches::messages;
use sansip_benches::wire::each;
use sip_core::message::SipMessage;

#[expect(clippy::ptr_arg, reason = "what it parses lies in a vector of strings")]
fn parse(text: &String) -> SipMessage {
    SipMessage::parse(text).expect("a message")
}

fn texts() -> Vec<String> {
    let text = |message: &bytes::Bytes| String::from_utf8(message.to_vec()).expect("text");
    messages::all().iter().map(text).collect()
}

pub(crate) fn cases() -> Vec<Case> {
    let models = || texts().iter().map(parse).collect::<Vec<_>>();
    vec![
        Case::new("parse lazily", "sip-core", 12, || each(texts(), parse)),
        Case::new("write", "sip-core", 12, move || {
            each(models(), SipMessage::to_bytes)
        }),
    ]
}
