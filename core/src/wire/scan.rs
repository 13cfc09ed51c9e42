//! Reading text eight bytes at a time, where the question is the same for every byte.
//!
//! Each function takes the bytes of a word as eight numbers at once: of the bytes that it looks for, one has its
//! highest bit set in the mask, and so has no byte before the first of them.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = ONES << 7;

/// Marks the bytes that are zero, exactly up to the first of them.
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHS
}

/// Marks the bytes that are below `limit`, which is at most 0x80, exactly up to the first of them.
const fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(ONES * limit as u64) & !word & HIGHS
}

/// The number of bytes before the first that is marked; there is one.
const fn first(mask: u64) -> usize {
    (mask.trailing_zeros() / 8) as usize
}

/// Where the first byte is that `marks` marks in a word that has it, and that `is_one` is true for.
#[inline(always)]
fn position(text: &[u8], marks: impl Fn(u64) -> u64, is_one: impl Fn(u8) -> bool) -> Option<usize> {
    let (words, rest) = text.as_chunks();
    let mut at = 0;
    for word in words {
        let mask = marks(u64::from_le_bytes(*word));
        if mask != 0 {
            return Some(at + first(mask));
        }
        at += word.len();
    }
    rest.iter().position(|byte| is_one(*byte)).map(|more| at + more)
}

/// What stands before `byte` in two words, the rest of them zero, and its length.
#[inline(always)]
pub(super) const fn until(byte: u8, words: [u64; 2]) -> Option<([u64; 2], usize)> {
    let pattern = ONES * byte as u64;
    let [low, high] = words;
    let (in_low, in_high) = (zeros(low ^ pattern), zeros(high ^ pattern));
    if in_low != 0 {
        Some(([low & before(in_low), 0], first(in_low)))
    } else if in_high != 0 {
        Some(([low, high & before(in_high)], 8 + first(in_high)))
    } else {
        None
    }
}

/// All bits of the bytes before the first that is marked; there is one.
const fn before(mask: u64) -> u64 {
    (mask ^ (mask - 1)) >> 8
}

/// Where `byte` is first. For what is near: a long way is `memchr`'s.
#[inline(always)]
pub(super) fn near(byte: u8, text: &[u8]) -> Option<usize> {
    let pattern = ONES * u64::from(byte);
    position(text, |word| zeros(word ^ pattern), |other| other == byte)
}

/// Where the first control character below a blank is: a line end, a tab, or worse.
#[inline(always)]
pub(super) fn control(text: &[u8]) -> Option<usize> {
    position(text, |word| below(word, b' '), |byte| byte < b' ')
}

/// Whether a line break is in `text`, or another control character up to CR.
#[inline(always)]
pub(super) fn has_break(text: &[u8]) -> bool {
    const LIMIT: u8 = b'\r' + 1;
    // The lowest byte is asked for, so that the last piece may overlap the one before it.
    if let Some(last) = text.last_chunk::<16>() {
        let (pieces, _) = text.as_chunks::<16>();
        let lowest = pieces.iter().fold(*last, |mut lowest, piece| {
            for (low, byte) in lowest.iter_mut().zip(piece) {
                *low = (*low).min(*byte);
            }
            lowest
        });
        lowest.iter().any(|low| *low < LIMIT)
    } else if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        below(u64::from_le_bytes(*first), LIMIT) | below(u64::from_le_bytes(*last), LIMIT) != 0
    } else {
        text.iter().any(|byte| *byte < LIMIT)
    }
}

/// Whether `text` has nothing but visible ASCII characters: no blanks, no control characters but DEL.
#[inline(always)]
pub(super) fn is_visible(text: &[u8]) -> bool {
    let marks = |word| below(word, b' ' + 1) | (word & HIGHS);
    position(text, marks, |byte| byte <= b' ' || !byte.is_ascii()).is_none()
}

/// Whether `text` has nothing but what can be printed in ASCII, without the blank.
#[inline(always)]
pub(super) fn is_graphic(text: &[u8]) -> bool {
    const DELETE: u64 = ONES * 0x7f;
    let marks = |word| below(word, b' ' + 1) | zeros(word ^ DELETE) | (word & HIGHS);
    position(text, marks, |byte| !byte.is_ascii_graphic()).is_none()
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn text() -> impl Strategy<Value = Vec<u8>> {
        let near_limits = prop_oneof![
            0x1eu8..=0x23,
            Just(b':'),
            Just(b'\r'),
            Just(b'\n'),
            0x7eu8..=0x81,
            any::<u8>()
        ];
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40),
            (
                proptest::collection::vec(0x21u8..=0x7e, 0..40),
                proptest::collection::vec(near_limits, 0..4)
            )
                .prop_map(|(plain, tail)| [plain, tail].concat()),
        ]
    }

    proptest! {
        #[test]
        fn what_stands_before_a_byte_is_kept(bytes in proptest::array::uniform16(0x38u8..0x3c)) {
            let (low, high) = bytes.split_at(8);
            let words = [low, high].map(|half| u64::from_le_bytes(half.try_into().unwrap()));
            let expected = bytes.iter().position(|byte| *byte == b':').map(|end| {
                let mut kept = [0; 16];
                kept[..end].copy_from_slice(&bytes[..end]);
                (kept, end)
            });
            let found = until(b':', words).map(|([low, high], end)| {
                let kept = [low.to_le_bytes(), high.to_le_bytes()].concat();
                (<[u8; 16]>::try_from(kept).unwrap(), end)
            });
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn words_tell_the_same_as_bytes(text in text(), byte in prop_oneof![Just(b':'), any::<u8>()]) {
            prop_assert_eq!(near(byte, &text), text.iter().position(|other| *other == byte));
            prop_assert_eq!(control(&text), text.iter().position(|byte| *byte < 0x20));
            prop_assert_eq!(has_break(&text), text.iter().any(|byte| *byte <= 0x0d));
            prop_assert_eq!(is_visible(&text), text.iter().all(|byte| (0x21..0x80).contains(byte)));
            prop_assert_eq!(is_graphic(&text), text.iter().all(|byte| (0x21..0x7f).contains(byte)));
        }
    }
}
