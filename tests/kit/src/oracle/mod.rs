//! What whoever watches a stack from outside may rely on, whatever happens.
//!
//! Both parts object by a panic that says what is wrong. They see commands, events and bytes, and no state of a stack.

mod contract;
mod talk;

use bytes::Bytes;
use sansip::wire::{Message, MessageLimits, check};

pub(crate) use self::contract::Contract;
pub(crate) use self::talk::Talked;

/// What a stack sends is SIP: its requests without a flaw, and its responses as far as they do not repeat one.
pub(crate) fn sent(bytes: Bytes) -> Message {
    let text = bytes.clone();
    let message = Message::parse(bytes, &MessageLimits::default());
    let message = message.unwrap_or_else(|error| panic!("sent: {error}: {}", text.escape_ascii()));
    assert!(
        message.defect().is_none(),
        "sent: {:?}: {}",
        message.defect(),
        text.escape_ascii()
    );
    if message.is_request()
        && let Err(refusal) = check::request(&message)
    {
        panic!("sent: {refusal:?}: {}", text.escape_ascii());
    }
    message
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn objects(to: &'static [u8]) -> bool {
        catch_unwind(AssertUnwindSafe(|| sent(Bytes::from_static(to)))).is_err()
    }

    #[test]
    fn what_is_sent_has_to_be_sip() {
        assert!(objects(b"OPTIONS sip:a@b SIP/2.0\r\n\r\n"), "no Via");
        assert!(objects(b"hello\r\n\r\n"));
    }
}
