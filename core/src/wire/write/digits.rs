//! Numbers and addresses in decimal.

use core::net::Ipv4Addr;

/// A number, or an address and a port, in decimal; put down from its end, as digits come.
pub(super) struct Digits {
    /// As long as the longest number and an address with a port need.
    text: [u8; 32],
    start: usize,
}

/// Each octet in decimal after a dot, at the end of four bytes, and how long the two are.
#[expect(
    clippy::indexing_slicing,
    reason = "below the length, and an error of the compiler otherwise"
)]
static OCTETS: [([u8; 4], u8); 256] = {
    let mut texts = [([0; 4], 0); 256];
    let mut octet = 0;
    while octet < texts.len() {
        let [hundreds, tens, ones] = [octet / 100, octet / 10 % 10, octet % 10];
        let [hundreds, tens, ones] = [b'0' + hundreds as u8, b'0' + tens as u8, b'0' + ones as u8];
        texts[octet] = match octet {
            0..10 => ([0, 0, b'.', ones], 2),
            10..100 => ([0, b'.', tens, ones], 3),
            _ => ([b'.', hundreds, tens, ones], 4),
        };
        octet += 1;
    }
    texts
};

/// The numbers below a hundred in two digits.
#[expect(
    clippy::indexing_slicing,
    reason = "below the length, and an error of the compiler otherwise"
)]
static PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < pairs.len() {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

impl Digits {
    pub(super) const fn new() -> Self {
        let text = [0; 32];
        Self {
            start: text.len(),
            text,
        }
    }

    #[inline]
    pub(super) fn byte(&mut self, byte: u8) {
        if let Some(start) = self.start.checked_sub(1)
            && let Some(place) = self.text.get_mut(start)
        {
            (*place, self.start) = (byte, start);
        }
    }

    /// What stands after the digits.
    #[inline]
    pub(super) fn text(&mut self, text: &[u8]) {
        if let Some(start) = self.start.checked_sub(text.len())
            && let Some(place) = self.text.get_mut(start..self.start)
        {
            place.copy_from_slice(text);
            self.start = start;
        }
    }

    #[inline]
    pub(super) fn number(&mut self, mut number: u64) {
        while number >= 100 {
            self.text(PAIRS.get((number % 100) as usize).unwrap_or(b"00"));
            number /= 100;
        }
        match PAIRS.get(number as usize) {
            Some(pair) if number >= 10 => self.text(pair),
            Some([_, digit]) => self.byte(*digit),
            None => {}
        }
    }

    #[inline]
    pub(super) fn address(&mut self, address: Ipv4Addr) {
        for octet in address.octets().into_iter().rev() {
            let end = self.start;
            if let Some((text, length)) = OCTETS.get(usize::from(octet))
                && let Some(start) = end.checked_sub(text.len())
                && let Some(place) = self.text.get_mut(start..end)
            {
                place.copy_from_slice(text);
                self.start -= usize::from(*length);
            }
        }
        // The first one has no dot before it.
        self.start += 1;
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.text.get(self.start..).unwrap_or_default()
    }
}
