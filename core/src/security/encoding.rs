//! Bytes as text: hexadecimal for proofs, base64 for tokens.

use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The longest token in bytes: what base64 leaves of the longest header section, 64 KiB. The tickets of a user in very
/// many groups come near it.
pub(crate) const MAX_TOKEN: usize = 48 << 10;

/// Appends lower-case digits.
pub(crate) fn push_hex(text: &mut String, bytes: &[u8]) {
    for octet in bytes {
        for nibble in [octet >> 4, octet & 0xf] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
}

/// The bytes of pairs of digits, in any case; `None` where it is anything else.
pub(crate) fn from_hex(text: &str) -> Option<impl Iterator<Item = u8> + '_> {
    let is_good = text.len().is_multiple_of(2) && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let value = |digit: u8| match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        // Only digits are here.
        _ => digit.wrapping_sub(b'A').wrapping_add(10),
    };
    let (pairs, _) = text.as_bytes().as_chunks::<2>();
    is_good.then(|| {
        pairs
            .iter()
            .map(move |&[high, low]| value(high) << 4 | value(low))
    })
}

/// The text of a token.
pub(crate) fn to_base64(token: &[u8]) -> String {
    STANDARD.encode(token)
}

/// The token of a text; it may be empty.
///
/// # Errors
/// Not base64 with its padding, or longer than [`MAX_TOKEN`], in a few words.
pub(crate) fn from_base64(text: &str) -> Result<Vec<u8>, &'static str> {
    if text.len() > MAX_TOKEN.div_ceil(3) * 4 {
        return Err("token too long");
    }
    STANDARD.decode(text).map_err(|_| "not base64")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex(text: &str) -> Option<Vec<u8>> {
        from_hex(text).map(Iterator::collect)
    }

    #[test]
    fn hexadecimal_in_any_case_and_nothing_else() {
        assert_eq!(hex(""), Some(Vec::new()));
        assert_eq!(hex("00fFA9"), Some(Vec::from([0, 255, 0xa9])));
        for bad in [
            "0", "0g", "g0", "0x", " 00", "00 ", "\u{e9}", "/0", ":0", "@0", "`0", "G0",
        ] {
            assert_eq!(hex(bad), None, "{bad}");
        }
    }

    // RFC 4648 section 10, and what is not canonical.
    #[test]
    fn base64_of_the_standard() {
        let known = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ];
        for (bytes, text) in known {
            assert_eq!(to_base64(bytes.as_bytes()), text);
            assert_eq!(from_base64(text).as_deref(), Ok(bytes.as_bytes()));
        }
        for bad in [
            "Zg", "Zg=", "Zh==", "Z", "Zm9v=", "Zm 9v", "Zm9-", "Zm9v\n", "====",
        ] {
            assert_eq!(from_base64(bad), Err("not base64"), "{bad}");
        }
    }

    #[test]
    fn a_token_is_bounded() {
        let longest = to_base64(&alloc::vec![7; MAX_TOKEN]);
        assert_eq!(from_base64(&longest).map(|token| token.len()), Ok(MAX_TOKEN));
        let longer = to_base64(&alloc::vec![7; MAX_TOKEN + 1]);
        assert_eq!(from_base64(&longer), Err("token too long"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bytes in prop::collection::vec(any::<u8>(), 0..99)) {
            let mut text = String::new();
            push_hex(&mut text, &bytes);
            prop_assert_eq!(hex(&text), Some(bytes.clone()));
            prop_assert_eq!(from_base64(&to_base64(&bytes)), Ok(bytes));
        }
    }
}
