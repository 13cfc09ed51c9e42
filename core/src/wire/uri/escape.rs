//! Characters of URIs and their escapes (RFC 3261 section 25.1, RFC 2396 section 2).

use alloc::borrow::Cow;
use alloc::string::String;
use core::cmp::Ordering;

use super::UserCase;

/// Resolves the escapes of a URI part: once, and to bytes.
pub fn unescape(text: &str) -> Cow<'_, [u8]> {
    if !text.contains('%') {
        return Cow::Borrowed(text.as_bytes());
    }
    Cow::Owned(units(text).map(|unit| unit.byte).collect())
}

/// The same, where the bytes are UTF-8.
pub fn unescape_str(text: &str) -> Option<Cow<'_, str>> {
    match unescape(text) {
        Cow::Borrowed(_) => Some(Cow::Borrowed(text)),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    }
}

/// Escapes every character that `allowed` does not let stand for itself.
pub(super) fn escape(text: &str, allowed: fn(char) -> bool) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |nibble: u8| HEX.get(usize::from(nibble & 15)).copied().map_or('0', char::from);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if allowed(c) {
            out.push(c);
            continue;
        }
        for byte in c.encode_utf8(&mut [0; 4]).bytes() {
            out.push('%');
            out.push(digit(byte >> 4));
            out.push(digit(byte));
        }
    }
    out
}

/// `unreserved`
const fn is_unreserved(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '!' | '~' | '*' | '\'' | '(' | ')')
}

/// `user`, escapes aside
pub(in crate::wire) const fn is_user_char(c: char) -> bool {
    is_unreserved(c) || matches!(c, '&' | '=' | '+' | '$' | ',' | ';' | '?' | '/')
}

/// `password`, escapes aside
pub(in crate::wire) const fn is_password_char(c: char) -> bool {
    is_unreserved(c) || matches!(c, '&' | '=' | '+' | '$' | ',')
}

/// `paramchar`, escapes aside
pub(in crate::wire) const fn is_param_char(c: char) -> bool {
    is_unreserved(c) || matches!(c, '[' | ']' | '/' | ':' | '&' | '+' | '$')
}

/// Characters of `hname` and `hvalue`, escapes aside
pub(in crate::wire) const fn is_header_char(c: char) -> bool {
    is_unreserved(c) || matches!(c, '[' | ']' | '/' | '?' | ':' | '+' | '$')
}

/// `uric`, escapes aside; brackets for the IPv6 hosts of RFC 2732
pub(in crate::wire) const fn is_uric(c: char) -> bool {
    is_unreserved(c)
        || matches!(
            c,
            ';' | '/' | '?' | ':' | '@' | '&' | '=' | '+' | '$' | ',' | '[' | ']'
        )
}

/// `visual-separator`
pub(super) const fn is_visual_separator(c: char) -> bool {
    matches!(c, '-' | '.' | '(' | ')')
}

/// Whether two escaped texts mean the same: an escape equals its character, but for the reserved ones.
pub(super) fn same_text(a: &str, b: &str, case: UserCase) -> bool {
    if !a.contains('%') && !b.contains('%') {
        return match case {
            UserCase::Insensitive => a.eq_ignore_ascii_case(b),
            UserCase::Sensitive => a == b,
        };
    }
    let fold = |unit: Unit| match case {
        UserCase::Insensitive => Unit {
            byte: unit.byte.to_ascii_lowercase(),
            ..unit
        },
        UserCase::Sensitive => unit,
    };
    units(a).map(fold).eq(units(b).map(fold))
}

/// An order in which two escaped texts are equal where they mean the same without regard to case.
pub(super) fn order_of_text(a: &str, b: &str) -> Ordering {
    let fold = |unit: Unit| (unit.byte.to_ascii_lowercase(), unit.escaped_reserved);
    units(a).map(fold).cmp(units(b).map(fold))
}

/// One character of an escaped text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    /// The byte meant.
    pub(super) byte: u8,
    /// Whether it is a reserved character that was written as an escape (RFC 2396 section 2.2).
    pub(super) escaped_reserved: bool,
}

/// The characters of an escaped text. A percent sign that begins no escape stands for itself.
pub(super) fn units(text: &str) -> impl Iterator<Item = Unit> + '_ {
    let mut bytes = text.bytes();
    core::iter::from_fn(move || {
        let byte = bytes.next()?;
        if byte == b'%' {
            let mut ahead = bytes.clone();
            if let (Some(high), Some(low)) = (ahead.next().and_then(nibble), ahead.next().and_then(nibble)) {
                bytes = ahead;
                let byte = high << 4 | low;
                let escaped_reserved = matches!(
                    byte,
                    b';' | b'/' | b'?' | b':' | b'@' | b'&' | b'=' | b'+' | b'$' | b','
                );
                return Some(Unit {
                    byte,
                    escaped_reserved,
                });
            }
        }
        Some(Unit {
            byte,
            escaped_reserved: false,
        })
    })
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}
