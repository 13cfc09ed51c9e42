//! One direction of a TCP connection, put together from its segments (RFC 9293 section 3.4).

use std::collections::BTreeMap;

use crate::capture::Stamp;

/// How many bytes may wait for a piece that is missing before it is given up.
const HELD: usize = 1 << 20;
/// The same in segments.
const SEGMENTS: usize = 4096;

/// Bytes that follow those before them, but for a piece that is missing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) gap: Gap,
    /// The packet that brought it.
    pub(crate) stamp: Stamp,
    pub(crate) bytes: Vec<u8>,
}

/// What is missing before a [`Piece`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    Nothing,
    /// So many bytes.
    Bytes(u64),
    /// Nobody knows: the capture began in the middle.
    Unknown,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Half {
    /// The sequence number of the next byte, once there is one.
    next: Option<u32>,
    /// How many bytes are before it.
    offset: u64,
    /// Segments ahead of it, by their place.
    ahead: BTreeMap<u64, (Stamp, Vec<u8>)>,
    held: usize,
}

impl Half {
    /// The connection begins: the first byte has the number after this one.
    pub(crate) const fn begin(&mut self, sequence: u32) {
        if self.next.is_none() {
            self.next = Some(sequence.wrapping_add(1));
        }
    }

    /// Whether a SYN with this sequence number begins another connection than this one.
    pub(crate) fn is_other(&self, sequence: u32) -> bool {
        let behind = |next: u32| u64::from(next.wrapping_sub(sequence.wrapping_add(1)));
        // As far behind as this connection has come: its own SYN once more.
        self.next
            .is_some_and(|next| behind(next) != self.offset & u64::from(u32::MAX))
    }

    /// Takes a segment, and gives what is in order now.
    pub(crate) fn segment(&mut self, sequence: u32, stamp: Stamp, bytes: &[u8], out: &mut Vec<Piece>) {
        if bytes.is_empty() {
            return;
        }
        let Some(next) = self.next else {
            self.next = Some(sequence);
            self.deliver(Gap::Unknown, stamp, bytes.to_vec(), out);
            return;
        };
        let distance = sequence.wrapping_sub(next).cast_signed();
        if distance <= 0 {
            // Sent again, at least in part.
            let known = usize::try_from(distance.unsigned_abs()).unwrap_or(usize::MAX);
            if let Some(new) = bytes.get(known..).filter(|new| !new.is_empty()) {
                self.deliver(Gap::Nothing, stamp, new.to_vec(), out);
                self.deliver_ahead(out);
            }
            return;
        }
        let place = self.offset + u64::from(distance.unsigned_abs());
        let known = self.ahead.get(&place).map_or(0, |(_, known)| known.len());
        if known < bytes.len() {
            self.held = self.held + bytes.len() - known;
            self.ahead.insert(place, (stamp, bytes.to_vec()));
        }
        while self.held > HELD || self.ahead.len() > SEGMENTS {
            self.skip(out);
        }
    }

    /// Gives what waits for pieces that will not come.
    pub(crate) fn end(&mut self, out: &mut Vec<Piece>) {
        while !self.ahead.is_empty() {
            self.skip(out);
        }
    }

    /// Gives up the piece that is missing.
    fn skip(&mut self, out: &mut Vec<Piece>) {
        if let Some((place, (stamp, bytes))) = self.ahead.pop_first() {
            self.held -= bytes.len();
            let missing = place.saturating_sub(self.offset);
            self.offset += missing;
            self.next = self.next.map(|next| next.wrapping_add(low_bits(missing)));
            self.deliver(Gap::Bytes(missing), stamp, bytes, out);
            self.deliver_ahead(out);
        }
    }

    fn deliver_ahead(&mut self, out: &mut Vec<Piece>) {
        while let Some(first) = self.ahead.first_entry() {
            let Some(known) = self.offset.checked_sub(*first.key()) else {
                return;
            };
            let (stamp, mut bytes) = first.remove();
            self.held -= bytes.len();
            let known = usize::try_from(known).unwrap_or(usize::MAX);
            if known < bytes.len() {
                bytes.drain(..known);
                self.deliver(Gap::Nothing, stamp, bytes, out);
            }
        }
    }

    fn deliver(&mut self, gap: Gap, stamp: Stamp, bytes: Vec<u8>, out: &mut Vec<Piece>) {
        self.offset += bytes.len() as u64;
        self.next = self
            .next
            .map(|next| next.wrapping_add(low_bits(bytes.len() as u64)));
        out.push(Piece { gap, stamp, bytes });
    }
}

/// A number of bytes, as sequence numbers count.
fn low_bits(number: u64) -> u32 {
    u32::try_from(number & u64::from(u32::MAX)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn take(half: &mut Half, sequence: u32, bytes: &[u8]) -> Vec<Piece> {
        let mut out = Vec::new();
        half.segment(sequence, Stamp::default(), bytes, &mut out);
        out
    }

    fn piece(gap: Gap, bytes: &[u8]) -> Piece {
        Piece {
            gap,
            stamp: Stamp::default(),
            bytes: bytes.to_vec(),
        }
    }

    #[test]
    fn segments_are_put_in_order_and_taken_once() {
        let mut half = Half::default();
        half.begin(9);
        assert_eq!(take(&mut half, 13, b"def"), []);
        assert_eq!(take(&mut half, 16, b"ghi"), []);
        // Overlaps what waits, and is longer than what is missing.
        let all = [
            piece(Gap::Nothing, b"abcd"),
            piece(Gap::Nothing, b"ef"),
            piece(Gap::Nothing, b"ghi"),
        ];
        assert_eq!(take(&mut half, 10, b"abcd"), all);
        // Again, and again with something new.
        assert_eq!(take(&mut half, 10, b"abcd"), []);
        assert_eq!(take(&mut half, 16, b"ghijk"), [piece(Gap::Nothing, b"jk")]);
        // A probe of a live connection: the byte before the next one.
        assert_eq!(take(&mut half, 20, b"k"), []);
    }

    #[test]
    fn a_missing_piece_is_counted_when_it_is_given_up() {
        let mut half = Half::default();
        half.begin(u32::MAX - 2);
        assert_eq!(take(&mut half, u32::MAX - 1, b"ab"), [piece(Gap::Nothing, b"ab")]);
        // Over the end of the numbers.
        assert_eq!(take(&mut half, 3, b"fg"), []);
        let mut out = Vec::new();
        half.end(&mut out);
        assert_eq!(out, [piece(Gap::Bytes(3), b"fg")]);
        assert_eq!(take(&mut half, 5, b"h"), [piece(Gap::Nothing, b"h")]);
    }

    #[test]
    fn a_capture_may_begin_in_the_middle() {
        let mut half = Half::default();
        assert_eq!(take(&mut half, 77, b"x"), [piece(Gap::Unknown, b"x")]);
        assert_eq!(take(&mut half, 78, b"y"), [piece(Gap::Nothing, b"y")]);
    }

    #[test]
    fn another_connection_is_told_from_the_same_syn_again() {
        let mut half = Half::default();
        assert!(!half.is_other(5));
        half.begin(5);
        assert!(!half.is_other(5));
        take(&mut half, 6, b"abc");
        assert!(!half.is_other(5) && half.is_other(6) && half.is_other(8));
    }

    #[test]
    fn what_waits_is_bounded() {
        for (segment, count) in [(1, SEGMENTS), (HELD / 16, 16)] {
            let mut half = Half::default();
            half.begin(0);
            let segment = vec![0; segment];
            // Each with a hole before it.
            let place = |number: usize| u32::try_from(2 + number * (segment.len() + 1)).unwrap();
            for number in 0..count {
                assert_eq!(take(&mut half, place(number), &segment), []);
            }
            assert_eq!(
                take(&mut half, place(count), &segment),
                [piece(Gap::Bytes(1), &segment)]
            );
        }
    }

    proptest! {
        // Any order, any overlap: the same bytes.
        #[test]
        fn the_order_of_segments_does_not_matter(
            start in any::<u32>(),
            stream in proptest::collection::vec(any::<u8>(), 1..200),
            cuts in proptest::collection::vec((any::<prop::sample::Index>(), 1..40_usize), 0..40),
        ) {
            let mut half = Half::default();
            half.begin(start);
            let mut out = Vec::new();
            let whole = (0..stream.len()).step_by(7).map(|from| (from, 7));
            let some = cuts.iter().map(|(from, length)| (from.index(stream.len()), *length));
            for (from, length) in some.chain(whole.rev()) {
                let bytes = &stream[from..(from + length).min(stream.len())];
                let sequence = start.wrapping_add(1).wrapping_add(u32::try_from(from).unwrap());
                half.segment(sequence, Stamp::default(), bytes, &mut out);
            }
            prop_assert!(out.iter().all(|piece| piece.gap == Gap::Nothing));
            let joined: Vec<u8> = out.into_iter().flat_map(|piece| piece.bytes).collect();
            prop_assert_eq!(joined, stream);
            prop_assert!(half.ahead.is_empty() && half.held == 0);
        }
    }
}
