//! The wire: framing, messages, URIs, and what is read being what is written.

use bytes::Bytes;
use sansip::wire::check::{self, UserAgent};
use sansip::wire::frame::{Frame, Framer, ScanEvent, scan};
use sansip::wire::header::rewrite;
use sansip::wire::uri::{self, Host, Uri, UserCase};
use sansip::wire::{HeaderName, Kind, Message, MessageLimits, Method, rebuild};

/// Bounds that an input of a few hundred bytes can reach.
fn narrow() -> MessageLimits {
    MessageLimits {
        header_block: 400,
        headers: 12,
        body: 100,
    }
}

/// A stream is cut the same however it comes in pieces, and every byte of it is accounted for (C29). The first byte
/// chooses the bounds and the sizes of the pieces.
///
/// # Panics
/// It is not.
pub fn frame(bytes: &[u8]) -> usize {
    let Some((choice, stream)) = bytes.split_first() else {
        return 0;
    };
    let limits = if choice & 1 == 0 {
        MessageLimits::default()
    } else {
        narrow()
    };
    let whole = scan(stream, usize::MAX, &limits);
    for size in [1, usize::from(choice >> 1) + 1] {
        assert_eq!(scan(stream, size, &limits), whole, "in pieces of {size}");
    }
    account_for(stream, &limits);
    for event in &whole.events {
        if let ScanEvent::Message { offset, len } = event {
            let at = usize::try_from(*offset).unwrap_or(usize::MAX);
            let message = stream.get(at..).and_then(|rest| rest.get(..*len));
            let message = message.expect("a message lies in its stream");
            assert!(
                len - limits.body.min(*len) <= limits.header_block,
                "a header section beyond its bound"
            );
            // Whatever was cut out can be cut again by itself.
            let again = scan(message, usize::MAX, &limits);
            assert_eq!(
                again.events,
                [ScanEvent::Message { offset: 0, len: *len }],
                "cut out"
            );
        }
    }
    0
}

/// What is found lies end to end from the beginning of the stream to what waits, or to the error.
fn account_for(stream: &[u8], limits: &MessageLimits) {
    let mut framer = Framer::new(limits.clone());
    framer.push(stream);
    let mut at = 0;
    while let Some(frame) = framer.next() {
        match frame {
            Frame::Message { offset, bytes } => {
                assert_eq!(offset, at, "a gap before a message");
                at += bytes.len() as u64;
            }
            Frame::Crlf { offset } => {
                assert_eq!(offset, at, "a gap before a CRLF");
                at += 2;
            }
            Frame::Ping { offset } => {
                assert_eq!(offset + 2, at, "a keep-alive in two pieces");
                at += 2;
            }
            Frame::Error(error) => {
                assert_eq!(error.offset, at, "a gap before an error");
                assert!(
                    framer.is_failed() && framer.next().is_none(),
                    "more after an error"
                );
                return;
            }
        }
    }
    assert_eq!(framer.offset(), at, "a gap before what waits");
    assert_eq!(
        framer.buffered() as u64,
        stream.len() as u64 - at,
        "bytes were lost"
    );
}

/// A message is read, by its types too, checked and judged, and says the same when it is read again.
///
/// # Panics
/// It does not.
pub fn message(bytes: &[u8]) -> usize {
    let limits = MessageLimits::default();
    let methods = [
        Method::Invite,
        Method::Ack,
        Method::Bye,
        Method::Cancel,
        Method::Message,
    ];
    let agent = UserAgent {
        methods: &methods,
        options: &["timer"],
        content_types: &["application/sdp", "text/*"],
    };
    let verdict = check::verdict(bytes, &agent, &limits);
    assert!(
        verdict.accepted || verdict.reason.is_some(),
        "refused without a reason: {verdict:?}"
    );
    assert!(
        verdict.accepted || verdict.code.is_none_or(|code| code.is_failure()),
        "an answer that says the opposite: {verdict:?}"
    );
    let Ok(message) = Message::parse(Bytes::copy_from_slice(bytes), &limits) else {
        return 0;
    };
    assert_eq!(message.is_request(), message.kind() == Kind::Request);
    assert_eq!(message.is_request(), message.method().is_some());
    assert_eq!(message.is_request(), message.status().is_none());
    let length = message.bytes().len();
    assert!(length <= bytes.len() && message.body_bytes().len() <= length);
    let mut fields = 0;
    for (name, written, value) in message.headers() {
        assert_eq!(HeaderName::from_bytes(written), name, "a name of two meanings");
        assert!(value.len() < length);
        if let (Some(name), Ok(value)) = (name, std::str::from_utf8(value)) {
            let _ = rewrite(name, value);
        }
        fields += 1;
    }
    let counted: usize = message
        .headers()
        .filter_map(|(name, ..)| name)
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .map(|name| message.count(name))
        .sum();
    assert!(
        counted <= fields && fields <= limits.headers,
        "{counted} of {fields}"
    );
    let well_formed = if message.is_request() {
        check::request(&message).is_ok()
    } else {
        check::response(&message).is_ok()
    };
    assert!(!well_formed || message.defect().is_none(), "passed with a defect");
    let small = message.to_owned_small();
    assert_eq!(small, message, "a copy");
    assert_eq!(
        Message::parse(message.bytes().clone(), &limits).as_ref(),
        Ok(&message),
        "read again"
    );
    0
}

/// A URI is read, written and read back equal; equality is one, and equal URIs have one key. Two URIs, with a line
/// end between them.
///
/// # Panics
/// One of it is not so.
pub fn uri(bytes: &[u8]) -> usize {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return 0;
    };
    let (first, second) = text.split_once('\n').unwrap_or((text, text));
    let read = [first, second].map(|text| {
        let host = Host::parse(text).ok();
        if let Some(host) = &host {
            let written = host.to_string();
            let again = Host::parse(&written).expect("a host that was written");
            assert!(host.same(&again), "{host:?} became {again:?}");
        }
        let uri = Uri::parse(text).ok()?;
        let written = uri.to_string();
        let again = Uri::parse(&written);
        assert_eq!(again.as_ref(), Ok(&uri), "{text:?} was written as {written:?}");
        assert_eq!(uri.clone().into_owned(), uri, "owned");
        for case in [UserCase::Sensitive, UserCase::Insensitive] {
            assert!(uri::equal(&uri, &uri, case), "{text:?} is not itself");
        }
        if let Some(sip) = uri.as_sip() {
            let _ = (
                sip.user_bytes(),
                sip.user_unescaped(),
                sip.transport(),
                sip.maddr(),
                sip.ttl(),
            );
            let _ = (
                sip.gr(),
                sip.opaque(),
                sip.epid(),
                sip.is_gruu(),
                sip.effective_port(),
            );
            sip.params.iter().for_each(|(name, _)| {
                assert!(sip.params.contains(name), "{name} is not there");
            });
        }
        Some(uri)
    });
    if let [Some(a), Some(b)] = &read {
        for case in [UserCase::Sensitive, UserCase::Insensitive] {
            let equal = uri::equal(a, b, case);
            assert_eq!(equal, uri::equal(b, a, case), "{a} and {b}");
            if equal && case == UserCase::Insensitive {
                assert_eq!(uri::canonical_key(a), uri::canonical_key(b), "{a} and {b}");
            }
        }
    }
    0
}

/// A message written from its typed values is the same message, and is written the same a second time.
///
/// # Panics
/// It is not.
pub fn roundtrip(bytes: &[u8]) -> usize {
    // Long names for short ones may make a message longer than what came.
    let limits = MessageLimits {
        header_block: 60 << 10,
        ..MessageLimits::default()
    };
    let Ok(message) = Message::parse(Bytes::copy_from_slice(bytes), &limits) else {
        return 0;
    };
    for (name, _, value) in message.headers() {
        if let (Some(name), Ok(value)) = (name, std::str::from_utf8(value))
            && let Some(Ok(written)) = rewrite(name, value)
        {
            assert_eq!(
                rewrite(name, &written),
                Some(Ok(written.clone())),
                "{name}: {value:?} was written as {written:?}"
            );
        }
    }
    let Ok(written) = rebuild(&message) else { return 0 };
    if written.len() > limits.header_block {
        return 0;
    }
    let again = Message::parse(written.clone(), &limits).expect("what was written can be read");
    assert_eq!(again.method(), message.method());
    assert_eq!(again.status(), message.status());
    assert_eq!(again.body_bytes(), message.body_bytes());
    assert_eq!(again.headers().count(), message.headers().count());
    assert_eq!(
        rebuild(&again).as_ref(),
        Ok(&written),
        "written anew it is another message"
    );
    0
}
