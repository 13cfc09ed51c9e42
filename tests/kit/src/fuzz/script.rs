//! Bytes read as letters and numbers.

/// A scenario that is being read. At its end every argument is 0.
#[derive(Clone, Debug)]
pub(crate) struct Script<'a> {
    rest: &'a [u8],
}

impl<'a> Script<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// The next letter, in lower case; what is none counts as one all the same. Spaces and line ends are passed over.
    pub(crate) fn letter(&mut self) -> Option<char> {
        loop {
            let byte = self.byte()?;
            if !matches!(byte, b' ' | b'\n' | b'\r') {
                return Some(char::from(b'a' + (byte & 31).saturating_sub(1) % 26));
            }
        }
    }

    /// An argument below `bound`: digits stand for themselves, and `:;<=>?` for 10 to 15, as they follow in ASCII.
    pub(crate) fn pick(&mut self, bound: usize) -> usize {
        usize::from(self.byte().unwrap_or(0) & 15) % bound.max(1)
    }

    /// The same, as an index from the end of a list of this length; `None` for an empty list.
    pub(crate) fn latest(&mut self, len: usize) -> Option<usize> {
        let back = self.pick(16);
        (len > 0).then(|| len - 1 - back % len)
    }

    /// A number of 0 to 255.
    pub(crate) fn number(&mut self) -> usize {
        usize::from(self.byte().unwrap_or(0))
    }

    /// So many bytes as they stand.
    pub(crate) fn raw(&mut self, count: usize) -> &'a [u8] {
        let (raw, rest) = self.rest.split_at_checked(count).unwrap_or((self.rest, &[]));
        self.rest = rest;
        raw
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_writes_is_what_is_read() {
        let mut script = Script::new(b"a12 z?\nB3abc");
        assert_eq!(script.letter(), Some('a'));
        assert_eq!((script.pick(16), script.pick(16)), (1, 2));
        assert_eq!(script.letter(), Some('z'));
        assert_eq!(script.pick(16), 15);
        assert_eq!(script.letter(), Some('b'));
        let count = script.pick(16);
        assert_eq!(script.raw(count), b"abc");
        assert_eq!((script.letter(), script.pick(9)), (None, 0));
    }

    #[test]
    fn every_byte_is_a_letter() {
        for byte in 0..=255 {
            let bytes = [byte];
            let letter = Script::new(&bytes).letter();
            assert!(letter.is_none_or(|letter| letter.is_ascii_lowercase()), "{byte}");
        }
    }

    #[test]
    fn lists_are_counted_from_their_end() {
        assert_eq!(Script::new(b"0").latest(3), Some(2));
        assert_eq!(Script::new(b"2").latest(3), Some(0));
        assert_eq!(Script::new(b"3").latest(3), Some(2));
        assert_eq!(Script::new(b"1").latest(0), None);
    }
}
