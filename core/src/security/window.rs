//! Which numbers of a peer's signed messages have been seen (MS-SIP section 3.1.1): against replay.

use core::fmt;

/// How many numbers back a message may arrive late: a server that forks and has many threads mixes its messages.
pub const WIDTH: u32 = 256;

/// The last [`WIDTH`] numbers up to the highest seen, and which of them have been. At first it covers 1 to 256.
///
/// Ask first, verify the signature, and only then record: a forged number must not move the window.
#[derive(Clone, PartialEq, Eq)]
pub struct ReplayWindow {
    /// The highest number covered.
    last: u32,
    /// Bit `number % 256` for each number covered.
    seen: [u64; 4],
}

impl ReplayWindow {
    /// Nothing seen.
    pub const fn new() -> Self {
        Self {
            last: WIDTH,
            seen: [0; 4],
        }
    }

    /// Whether a message with this number may be taken: it is not below the window and has not been seen.
    pub fn is_new(&self, number: u32) -> bool {
        if number > self.last {
            return true;
        }
        number > self.last - WIDTH && self.word(number).is_some_and(|word| word & bit(number) == 0)
    }

    /// Takes a message whose signature has been verified: its number is not new any more. `false` where it was not.
    pub fn record(&mut self, number: u32) -> bool {
        if !self.is_new(number) {
            return false;
        }
        if number > self.last {
            self.advance(number);
        }
        if let Some(word) = self.seen.get_mut(place(number)) {
            *word |= bit(number);
        }
        true
    }

    fn word(&self, number: u32) -> Option<u64> {
        self.seen.get(place(number)).copied()
    }

    /// Makes this the highest number; those that come into the window have not been seen.
    fn advance(&mut self, number: u32) {
        let by = number - self.last;
        if by >= WIDTH {
            self.seen = [0; 4];
        } else {
            for fresh in self.last + 1..=number {
                if let Some(word) = self.seen.get_mut(place(fresh)) {
                    *word &= !bit(fresh);
                }
            }
        }
        self.last = number;
    }
}

/// The word of a number, below 4.
const fn place(number: u32) -> usize {
    (number % WIDTH / 64) as usize
}

const fn bit(number: u32) -> u64 {
    1 << (number % 64)
}

impl Default for ReplayWindow {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ReplayWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen: u32 = self.seen.iter().map(|word| word.count_ones()).sum();
        write!(
            f,
            "ReplayWindow({seen} of {}..={})",
            self.last - WIDTH + 1,
            self.last
        )
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use alloc::format;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    // MS-SIP section 3.1.1: at first 1 to 256, in any order, each once.
    // rules: A4
    #[test]
    fn the_first_numbers_are_taken_once_in_any_order() {
        let mut window = ReplayWindow::new();
        assert!(!window.is_new(0) && !window.record(0));
        for number in (1..=256).rev() {
            assert!(window.record(number), "{number}");
        }
        for number in 0..=256 {
            assert!(!window.is_new(number), "{number}");
        }
        assert_eq!(format!("{window:?}"), "ReplayWindow(256 of 1..=256)");
    }

    // rules: A4
    #[test]
    fn a_higher_number_moves_the_window() {
        let mut window = ReplayWindow::new();
        assert!(window.record(1) && window.record(3));
        assert!(window.record(258));
        // 2 has fallen out at the lower end without having been seen; 3 is the lowest, and seen.
        assert!(!window.is_new(2) && !window.is_new(3) && window.is_new(4));
        assert!(!window.is_new(258) && window.is_new(257));
        assert!(window.record(u32::MAX));
        assert!(!window.is_new(4) && !window.is_new(u32::MAX));
        assert!(window.is_new(u32::MAX - 255) && !window.is_new(u32::MAX - 256));
        assert!(window.record(u32::MAX - 255) && !window.record(u32::MAX - 255));
    }

    /// The same with a set of all that was ever seen.
    #[derive(Default)]
    struct Model {
        seen: BTreeSet<u32>,
    }

    impl Model {
        fn record(&mut self, number: u32) -> bool {
            let last = self.seen.last().copied().unwrap_or(0).max(WIDTH);
            let lowest = last.max(number) - (WIDTH - 1);
            number >= lowest && self.seen.insert(number)
        }
    }

    /// Numbers that stay near each other and now and then jump.
    fn numbers() -> impl Strategy<Value = Vec<u32>> {
        let step = prop_oneof![
            8 => -300i64..300,
            4 => 0i64..3,
            1 => -3000i64..3000,
            1 => Just(i64::from(u32::MAX)),
        ];
        prop::collection::vec(step, 0..400).prop_map(|steps| {
            let mut at = 0i64;
            steps
                .into_iter()
                .map(|step| {
                    at = (at + step).clamp(0, i64::from(u32::MAX));
                    u32::try_from(at).unwrap()
                })
                .collect()
        })
    }

    proptest! {
        // rules: A4
        #[test]
        fn as_a_set_of_all_would_decide(numbers in numbers()) {
            let mut window = ReplayWindow::new();
            let mut model = Model::default();
            for number in numbers {
                let (asked, expected) = (window.is_new(number), model.record(number));
                prop_assert_eq!(asked, expected, "{}", number);
                prop_assert_eq!(window.record(number), expected, "{}", number);
                prop_assert!(!window.is_new(number));
            }
        }
    }
}
