//! The classes of characters that grammars are made of (RFC 3261 section 25.1), all in one table.

use super::uri::escape;

/// A set of ASCII characters.
#[derive(Clone, Copy)]
pub(super) struct Class(u16);

impl Class {
    /// `token`
    pub(super) const TOKEN: Self = Self(1);
    /// What stands in `word`.
    pub(super) const WORD: Self = Self(1 << 1);
    /// Blank and tab.
    pub(super) const BLANK: Self = Self(1 << 2);
    /// What stands for itself between quotes; bytes beyond ASCII do as well.
    pub(super) const QUOTED: Self = Self(1 << 3);
    /// A parameter value without quotes: a token, or the colons and brackets of an address.
    pub(super) const VALUE: Self = Self(1 << 4);
    /// Labels of a host name, with the underscore that private names have.
    pub(super) const LABEL: Self = Self(1 << 5);
    /// An IPv6 address without brackets.
    pub(super) const ADDRESS: Self = Self(1 << 6);
    /// Hexadecimal digits.
    pub(super) const HEX: Self = Self(1 << 7);
    /// Decimal digits.
    pub(super) const DIGIT: Self = Self(1 << 8);
    /// `user`, escapes aside.
    pub(super) const USER: Self = Self(1 << 9);
    /// `password`, escapes aside.
    pub(super) const PASSWORD: Self = Self(1 << 10);
    /// `paramchar`, escapes aside.
    pub(super) const PARAM: Self = Self(1 << 11);
    /// `hname` and `hvalue`, escapes aside.
    pub(super) const HEADER: Self = Self(1 << 12);
    /// `uric`, escapes aside.
    pub(super) const URIC: Self = Self(1 << 13);

    /// Whether `byte` is one of them.
    #[inline(always)]
    pub(super) fn has(self, byte: u8) -> bool {
        TABLE
            .get(usize::from(byte))
            .is_some_and(|classes| classes & self.0 != 0)
    }

    /// How many bytes at the beginning of `text` are of them.
    #[inline(always)]
    pub(super) fn run(self, text: &[u8]) -> usize {
        text.iter()
            .position(|byte| !self.has(*byte))
            .unwrap_or(text.len())
    }

    /// The same for text with escapes, `%` and two hexadecimal digits, and whether there is one.
    #[inline(always)]
    pub(super) fn escaped_run(self, text: &[u8]) -> (usize, bool) {
        let (mut end, mut escapes) = (0, false);
        loop {
            let rest = text.get(end..).unwrap_or_default();
            end += self.run(rest);
            match text.get(end..) {
                Some([b'%', high, low, ..]) if Self::HEX.has(*high) && Self::HEX.has(*low) => {
                    end += 3;
                    escapes = true;
                }
                _ => return (end, escapes),
            }
        }
    }
}

static TABLE: [u16; 256] = table();

#[expect(
    clippy::indexing_slicing,
    reason = "the index is below the length, and this runs when it is compiled"
)]
const fn table() -> [u16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = classes(byte as u8);
        byte += 1;
    }
    table
}

const fn classes(byte: u8) -> u16 {
    if !byte.is_ascii() {
        return Class::QUOTED.0;
    }
    let c = byte as char;
    let is_token =
        c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '!' | '%' | '*' | '_' | '+' | '`' | '\'' | '~');
    let is_word = is_token
        || matches!(
            c,
            '(' | ')' | '<' | '>' | ':' | '\\' | '"' | '/' | '[' | ']' | '?' | '{' | '}'
        );
    let memberships = [
        (Class::TOKEN, is_token),
        (Class::WORD, is_word),
        (Class::BLANK, matches!(c, ' ' | '\t')),
        (
            Class::QUOTED,
            !matches!(c, '"' | '\\') && (c == '\t' || !c.is_ascii_control()),
        ),
        (Class::VALUE, is_token || matches!(c, '[' | ']' | ':')),
        (Class::LABEL, c.is_ascii_alphanumeric() || matches!(c, '-' | '_')),
        (Class::ADDRESS, c.is_ascii_hexdigit() || matches!(c, ':' | '.')),
        (Class::HEX, c.is_ascii_hexdigit()),
        (Class::DIGIT, c.is_ascii_digit()),
        (Class::USER, escape::is_user_char(c)),
        (Class::PASSWORD, escape::is_password_char(c)),
        (Class::PARAM, escape::is_param_char(c)),
        (Class::HEADER, escape::is_header_char(c)),
        (Class::URIC, escape::is_uric(c)),
    ];
    let (mut set, mut rest) = (0, memberships.as_slice());
    while let [(class, member), more @ ..] = rest {
        if *member {
            set |= class.0;
        }
        rest = more;
    }
    set
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// Escapes resolved one character at a time.
    fn plain_run(text: &[u8], is_one: fn(char) -> bool) -> usize {
        match text {
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                3 + plain_run(rest, is_one)
            }
            [byte, rest @ ..] if byte.is_ascii() && is_one(char::from(*byte)) => 1 + plain_run(rest, is_one),
            _ => 0,
        }
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            "(%[0-9a-gA-G]{0,2}|[ -~]){0,20}".prop_map(String::into_bytes),
            proptest::collection::vec(any::<u8>(), 0..20),
        ]
    }

    proptest! {
        #[test]
        fn runs_are_those_of_the_plain_reading(text in text()) {
            let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(byte);
            prop_assert_eq!(Class::TOKEN.run(&text), text.iter().take_while(|byte| token(byte)).count());
            for (class, is_one) in [
                (Class::USER, escape::is_user_char as fn(char) -> bool),
                (Class::PASSWORD, escape::is_password_char),
                (Class::PARAM, escape::is_param_char),
                (Class::HEADER, escape::is_header_char),
                (Class::URIC, escape::is_uric),
            ] {
                let (end, escapes) = class.escaped_run(&text);
                prop_assert_eq!(end, plain_run(&text, is_one));
                prop_assert_eq!(escapes, text[..end].contains(&b'%'));
            }
        }
    }
}
