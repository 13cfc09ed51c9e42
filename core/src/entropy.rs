//! The stack's one source of randomness: a ChaCha stream from the seed it was made with.

use alloc::string::String;
use core::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_core::{RngCore, SeedableRng};

use crate::map::HashKey;

/// An unpredictable, reproducible stream: the same seed gives the same values.
#[derive(Clone)]
pub(crate) struct Entropy(ChaCha12Rng);

impl Entropy {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha12Rng::from_seed(seed))
    }

    pub(crate) fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    pub(crate) fn hash_key(&mut self) -> HashKey {
        HashKey(self.u64(), self.u64())
    }

    /// A value in `0..bound`, 0 when `bound` is 0. The bias of the multiplication is below 2^-32.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.u64()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// A duration in `0..=limit`, in whole microseconds.
    pub(crate) fn up_to(&mut self, limit: Duration) -> Duration {
        let micros = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX - 1);
        Duration::from_micros(self.below(micros.saturating_add(1)))
    }

    /// `digits` lower-case hexadecimal digits: tags, branches, Call-IDs, cnonces.
    pub(crate) fn hex(&mut self, digits: usize) -> String {
        let mut text = String::with_capacity(digits);
        let mut bits = 0;
        for i in 0..digits {
            if i % 16 == 0 {
                bits = self.u64();
            }
            let nibble = u32::try_from(bits & 0xf).unwrap_or(0);
            text.push(char::from_digit(nibble, 16).unwrap_or('0'));
            bits >>= 4;
        }
        text
    }
}

impl core::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Entropy(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_stays_below_and_reaches_both_ends() {
        let mut entropy = Entropy::new([7; 32]);
        let mut seen = [false; 3];
        for _ in 0..200 {
            seen[usize::try_from(entropy.below(3)).unwrap()] = true;
        }
        assert_eq!(seen, [true; 3]);
        assert_eq!(entropy.below(0), 0);
        assert!(entropy.up_to(Duration::from_secs(2)) <= Duration::from_secs(2));
    }

    #[test]
    fn the_same_seed_gives_the_same_stream() {
        assert_eq!(Entropy::new([1; 32]).hex(40), Entropy::new([1; 32]).hex(40));
        assert_ne!(Entropy::new([1; 32]).hex(40), Entropy::new([2; 32]).hex(40));
    }
}
