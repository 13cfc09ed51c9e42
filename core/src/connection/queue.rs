//! Bytes that wait to be sent on one connection (C30).

use alloc::collections::VecDeque;

use bytes::{Buf, Bytes};

use crate::counters::Label;

/// A bounded queue that counts what has passed through it, so that one can tell whether any byte of a message has
/// left (C35). Empty, it owns no memory.
#[derive(Clone, Debug, Default)]
pub(super) struct SendQueue {
    /// Each is one message or keep-alive, less what has been taken of it.
    slices: VecDeque<(Bytes, Label)>,
    /// Bytes put in since the connection was made.
    put: u64,
    /// Bytes of them taken by the embedder.
    taken: u64,
}

/// Keep-alives that wait one after the other are one slice of this, or a peer that sends many and reads no answer could
/// make the stack hold far more than their bytes.
static CRLFS: [[u8; 2]; 2048] = [*b"\r\n"; 2048];

/// Where queued bytes stand among all bytes of their connection: `start` inclusive, `end` exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl SendQueue {
    /// Queues the bytes, if with them at most `limit` bytes wait.
    pub(super) fn push(&mut self, bytes: Bytes, label: Label, limit: usize) -> Option<Sent> {
        if bytes.len() > limit.saturating_sub(self.len()) {
            return None;
        }
        let start = self.put;
        self.put += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if let Some((last, Label::KeepAlive)) = self.slices.back_mut()
            && matches!(label, Label::KeepAlive)
            // One of which an odd number of bytes has gone begins in the middle.
            && last.first() == Some(&b'\r')
            && let Some(run) = CRLFS.as_flattened().get(..last.len() + bytes.len())
        {
            *last = Bytes::from_static(run);
        } else if !bytes.is_empty() {
            self.slices.push_back((bytes, label));
        }
        Some(Sent { start, end: self.put })
    }

    /// The embedder has sent so many bytes; more than there are counts as all. It returns how many there were, and tells
    /// what has gone whole.
    pub(super) fn take(&mut self, count: usize, mut gone: impl FnMut(Label)) -> usize {
        let count = count.min(self.len());
        let mut left = count;
        while let Some((slice, label)) = self.slices.front_mut() {
            if left < slice.len() {
                slice.advance(left);
                break;
            }
            left -= slice.len();
            gone(*label);
            self.slices.pop_front();
        }
        if self.slices.is_empty() {
            self.slices = VecDeque::new();
        }
        self.taken += u64::try_from(count).unwrap_or(u64::MAX);
        count
    }

    /// The bytes that wait, in order.
    pub(super) fn slices(&self) -> impl Iterator<Item = &Bytes> {
        self.slices.iter().map(|(bytes, _)| bytes)
    }

    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        usize::try_from(self.put - self.taken).unwrap_or(usize::MAX)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slices.is_empty()
    }

    /// How many bytes have been taken since the connection was made.
    pub(super) const fn taken(&self) -> u64 {
        self.taken
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::wire::{Method, StatusCode};

    // rules: C30
    #[test]
    fn the_limit_is_reached_at_n_and_passed_at_n_plus_one() {
        let mut queue = SendQueue::default();
        assert_eq!(
            queue.push(Bytes::from_static(&[1; 6]), Label::KeepAlive, 10),
            Some(Sent { start: 0, end: 6 })
        );
        assert_eq!(
            queue.push(Bytes::from_static(&[2; 5]), Label::KeepAlive, 10),
            None
        );
        assert_eq!(
            queue.push(Bytes::from_static(&[2; 4]), Label::KeepAlive, 10),
            Some(Sent { start: 6, end: 10 })
        );
        assert_eq!(
            queue.push(Bytes::from_static(&[3; 1]), Label::KeepAlive, 10),
            None
        );
        assert_eq!(queue.take(1, |_| ()), 1);
        assert_eq!(
            queue.push(Bytes::from_static(&[3; 1]), Label::KeepAlive, 10),
            Some(Sent { start: 10, end: 11 })
        );
    }

    #[test]
    fn an_empty_queue_owns_no_memory() {
        let mut queue = SendQueue::default();
        for _ in 0..100 {
            queue.push(Bytes::from_static(b"x"), Label::request(&Method::Info), 1000);
        }
        assert_eq!(queue.take(1000, |_| ()), 100);
        assert_eq!((queue.slices.capacity(), queue.len(), queue.taken()), (0, 0, 100));
    }

    // rules: X7
    #[test]
    fn a_message_has_gone_with_its_last_byte() {
        let mut queue = SendQueue::default();
        let (first, second) = (
            Label::request(&Method::Invite),
            Label::response(StatusCode::TRYING),
        );
        queue.push(Bytes::from_static(b"four"), first, 100);
        queue.push(Bytes::from_static(b"six to"), second, 100);
        let mut gone = Vec::new();
        let mut take = |count| {
            queue.take(count, |label| gone.push(label));
            core::mem::take(&mut gone)
        };
        assert_eq!(take(3), []);
        assert_eq!(take(2), [first]);
        assert_eq!(take(4), []);
        assert_eq!(take(9), [second]);
    }

    // rules: C26, C30, C31
    #[test]
    fn keep_alives_that_wait_hold_hardly_more_than_their_bytes() {
        let mut queue = SendQueue::default();
        let mut put: Vec<u8> = Vec::new();
        let mut add = |queue: &mut SendQueue, bytes: &'static [u8], label| {
            assert!(queue.push(Bytes::from_static(bytes), label, 1 << 20).is_some());
            put.extend(bytes);
        };
        for _ in 0..20_000 {
            add(&mut queue, b"\r\n", Label::KeepAlive);
        }
        assert_eq!(
            queue.slices.len(),
            40_000_usize.div_ceil(CRLFS.as_flattened().len())
        );
        add(&mut queue, b"message", Label::request(&Method::Message));
        add(&mut queue, b"\r\n\r\n", Label::KeepAlive);
        // The rest of one that has gone in part is no run.
        queue.take(40_000 + 7 + 1, |_| ());
        add(&mut queue, b"\r\n", Label::KeepAlive);
        let waiting: Vec<u8> = queue.slices().flatten().copied().collect();
        assert_eq!(waiting, put[40_008..]);
        assert_eq!((waiting.as_slice(), queue.len()), (&b"\n\r\n\r\n"[..], 5));
    }

    proptest! {
        #[test]
        fn what_is_taken_is_what_was_put(
            puts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 0..20),
            takes in proptest::collection::vec(0..20_usize, 0..30),
        ) {
            let mut queue = SendQueue::default();
            let mut put = Vec::new();
            for bytes in puts {
                let label = Label::request(&Method::Info);
                prop_assert!(queue.push(Bytes::from(bytes.clone()), label, usize::MAX).is_some());
                put.extend(bytes);
            }
            let mut left = put.as_slice();
            for count in takes {
                let waiting: Vec<u8> = queue.slices().flatten().copied().collect();
                prop_assert_eq!(&waiting, left);
                prop_assert!(queue.slices().all(|slice| !slice.is_empty()));
                let taken = queue.take(count, |_| ());
                prop_assert_eq!(taken, count.min(left.len()));
                left = &left[taken..];
                prop_assert_eq!(queue.len(), left.len());
                prop_assert_eq!(queue.is_empty(), left.is_empty());
                prop_assert_eq!(queue.taken(), u64::try_from(put.len() - left.len()).unwrap());
            }
        }
    }
}
