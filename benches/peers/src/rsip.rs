//! rsip.

use bytes::Bytes;
use rsip::prelude::{HasHeaders, HeadersExt, ToTypedHeader};
use rsip::{Header, SipMessage};
use sansip_benches::measure::Case;
use sansip_benches::messages;
use sansip_benches::wire::each;

fn parse(bytes: &Bytes) -> SipMessage {
    SipMessage::try_from(bytes.as_ref()).expect("a message")
}

fn typed(message: &SipMessage) {
    let via = message.via_header().and_then(|via| via.typed()).expect("Via");
    let from = message.from_header().and_then(|from| from.typed()).expect("From");
    let to = message.to_header().and_then(|to| to.typed()).expect("To");
    let call_id = message.call_id_header().expect("Call-ID");
    let cseq = message.cseq_header().and_then(|cseq| cseq.typed()).expect("CSeq");
    // A Contact with +sip.instance is too much for it: it may give up there.
    let contact = message.contact_header().ok().map(|contact| contact.typed().ok());
    let hops = message
        .max_forwards_header()
        .ok()
        .map(|hops| hops.num().expect("Max-Forwards"));
    let length = message.headers().iter().find_map(|header| match header {
        Header::ContentLength(length) => Some(length.length().expect("Content-Length")),
        _ => None,
    });
    std::hint::black_box((via, from, to, call_id, cseq, contact, hops, length));
}

pub(crate) fn cases() -> Vec<Case> {
    let models = || messages::all().iter().map(parse).collect::<Vec<_>>();
    vec![
        Case::new("parse lazily", "rsip", 12, || each(messages::all(), parse)),
        Case::new("parse typed", "rsip", 12, || {
            each(messages::all(), |bytes| typed(&parse(bytes)))
        }),
        Case::new("write", "rsip", 12, move || each(models(), SipMessage::to_string)),
    ]
}
