//! The lexical rules that all header fields share (RFC 3261 section 25.1), for values that are already unfolded.
//!
//! Every parser takes `&str` and gives back the rest and what it read, borrowed wherever the text stands for itself.
//! A parser fails with a few words that say what was expected; the caller knows in which field.

use alloc::borrow::Cow;
use alloc::string::String;
use core::net::{Ipv4Addr, Ipv6Addr};

use memchr::memchr;
use nom::bytes::complete::take_while1;
use nom::character::complete::char;
use nom::combinator::recognize;
use nom::error::{ErrorKind, ParseError as NomError};
use nom::sequence::{delimited, preceded, terminated};
use nom::{IResult, Parser};
use smallvec::SmallVec;

use crate::wire::header::Params;
use crate::wire::method::is_token_byte;
use crate::wire::uri::Host;

/// How many parameters one value may have. More are an error, which keeps the check for repeated names cheap.
pub(crate) const MAX_PARAMS: usize = 64;

/// How deep comments may nest.
const MAX_COMMENT_DEPTH: usize = 16;

/// What was expected and not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bad(pub(crate) &'static str);

impl<I> NomError<I> for Bad {
    fn from_error_kind(_: I, _: ErrorKind) -> Self {
        Self("syntax error")
    }

    fn append(_: I, _: ErrorKind, other: Self) -> Self {
        other
    }
}

/// The result of a parser in this crate.
pub(crate) type Parsed<'a, T> = IResult<&'a str, T, Bad>;

/// A failure with its words.
pub(crate) const fn bad<'a, T>(what: &'static str) -> Parsed<'a, T> {
    Err(nom::Err::Error(Bad(what)))
}

/// Says what was expected where `parser` fails.
pub(crate) fn expect<'a, T>(
    what: &'static str,
    mut parser: impl Parser<&'a str, Output = T, Error = Bad>,
) -> impl Parser<&'a str, Output = T, Error = Bad> {
    move |input| parser.parse(input).map_err(|_| nom::Err::Error(Bad(what)))
}

/// Runs `parser` over the whole of `value`, blanks around it aside.
pub(crate) fn whole<'a, T>(
    mut parser: impl Parser<&'a str, Output = T, Error = Bad>,
    value: &'a str,
) -> Result<T, &'static str> {
    match parser.parse(trim(value)) {
        Ok(("", read)) => Ok(read),
        Ok(_) => Err("unexpected text after the value"),
        Err(nom::Err::Error(Bad(what)) | nom::Err::Failure(Bad(what))) => Err(what),
        Err(nom::Err::Incomplete(_)) => Err("incomplete"),
    }
}

/// `value` without blanks and tabs at its ends.
pub(crate) fn trim(value: &str) -> &str {
    let mut text = value;
    while let Some(rest) = text.strip_prefix(is_blank) {
        text = rest;
    }
    while let Some(rest) = text.strip_suffix(is_blank) {
        text = rest;
    }
    text
}

const fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

/// The bytes at the start of `input` that belong to a class of ASCII characters, and the rest.
fn run(input: &str, is_one: impl Fn(u8) -> bool) -> (&str, &str) {
    let end = input
        .bytes()
        .position(|byte| !is_one(byte))
        .unwrap_or(input.len());
    input.split_at_checked(end).unwrap_or((input, ""))
}

/// The same where at least one is expected.
fn run1<'a>(what: &'static str, input: &'a str, is_one: impl Fn(u8) -> bool) -> Parsed<'a, &'a str> {
    match run(input, is_one) {
        ("", _) => bad(what),
        (text, rest) => Ok((rest, text)),
    }
}

/// `token` characters.
pub(crate) fn is_token_char(c: char) -> bool {
    u8::try_from(c).is_ok_and(is_token_byte)
}

/// Whether all of `text` is one `token`.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// Characters of `word`, of which a Call-ID is made.
pub(crate) fn is_word_char(c: char) -> bool {
    is_token_char(c)
        || matches!(
            c,
            '(' | ')' | '<' | '>' | ':' | '\\' | '"' | '/' | '[' | ']' | '?' | '{' | '}'
        )
}

/// Whether a character may stand in free text on one line: everything but control characters; a tab is a blank.
pub(crate) const fn is_text_char(c: char) -> bool {
    c == '\t' || !c.is_ascii_control()
}

/// `token`
pub(crate) fn token(input: &str) -> Parsed<'_, &str> {
    run1("token expected", input, is_token_byte)
}

/// Blanks, or nothing (`SWS` of an unfolded value).
pub(crate) fn blanks(input: &str) -> Parsed<'_, &str> {
    let (read, rest) = run(input, |byte| matches!(byte, b' ' | b'\t'));
    Ok((rest, read))
}

/// At least one blank (`LWS` of an unfolded value).
pub(crate) fn blanks1(input: &str) -> Parsed<'_, &str> {
    run1("blank expected", input, |byte| matches!(byte, b' ' | b'\t'))
}

/// A separator character with blanks around it (`SEMI`, `COMMA`, `EQUAL`, `SLASH`, `COLON`).
pub(crate) fn separator<'a>(c: char) -> impl Parser<&'a str, Output = char, Error = Bad> {
    move |input| {
        let (input, _) = blanks(input)?;
        let (input, c) = char(c).parse(input)?;
        let (input, _) = blanks(input)?;
        Ok((input, c))
    }
}

/// A run of digits that must not exceed `max`. Leading zeros count for nothing.
pub(crate) fn number<'a>(max: u64) -> impl Parser<&'a str, Output = u64, Error = Bad> {
    move |input: &'a str| {
        let (rest, digits) = run1("digits expected", input, |byte| byte.is_ascii_digit())?;
        match decimal(digits, max) {
            Some(value) => Ok((rest, value)),
            None => bad("number out of range"),
        }
    }
}

/// The value of an all-digit text, when it is not above `max`.
pub(crate) fn decimal(digits: &str, max: u64) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let mut value = 0u64;
    for byte in digits.bytes() {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
        if value > max {
            return None;
        }
    }
    Some(value)
}

/// The same for 32 bits.
pub(crate) fn decimal_u32(digits: &str) -> Option<u32> {
    decimal(digits, u64::from(u32::MAX)).and_then(|value| u32::try_from(value).ok())
}

/// What stands between the quotes of a `quoted-string`, escapes kept.
pub(crate) fn quoted_raw(input: &str) -> Parsed<'_, &str> {
    let Some(inside) = input.strip_prefix('"') else {
        return bad("quoted string expected");
    };
    let mut escaped = false;
    for (at, byte) in inside.bytes().enumerate() {
        if escaped {
            // quoted-pair: any ASCII character but CR and LF
            if !byte.is_ascii() || byte == b'\r' || byte == b'\n' {
                return bad("bad escape in a quoted string");
            }
            escaped = false;
        } else if byte == b'\\' {
            escaped = true;
        } else if byte == b'"' {
            return match inside.split_at_checked(at) {
                Some((text, rest)) => Ok((rest.strip_prefix('"').unwrap_or(rest), text)),
                None => bad("quoted string expected"),
            };
        } else if byte.is_ascii_control() && byte != b'\t' {
            return bad("control character in a quoted string");
        }
    }
    bad("closing quote missing")
}

/// The text that a `quoted-string` stands for.
pub(crate) fn quoted(input: &str) -> Parsed<'_, Cow<'_, str>> {
    quoted_raw(input).map(|(rest, raw)| (rest, unescape(raw)))
}

/// Removes the backslashes of quoted pairs.
pub(crate) fn unescape(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut text = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.extend(chars.next()),
            _ => text.push(c),
        }
    }
    Cow::Owned(text)
}

/// Writes `text` as a quoted string. A line break has no form there and becomes a blank.
pub(crate) fn write_quoted(out: &mut String, text: &str) {
    out.push('"');
    if text
        .bytes()
        .all(|byte| !matches!(byte, b'"' | b'\\') && (byte == b'\t' || !byte.is_ascii_control()))
    {
        out.push_str(text);
        out.push('"');
        return;
    }
    for c in text.chars() {
        match c {
            '\r' | '\n' => out.push(' '),
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            _ if !is_text_char(c) => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}

/// A `comment` with everything in it, its own parentheses included.
pub(crate) fn comment(input: &str) -> Parsed<'_, &str> {
    if !input.starts_with('(') {
        return bad("comment expected");
    }
    let mut depth = 0usize;
    let mut escaped = false;
    for (at, c) in input.char_indices() {
        if escaped {
            if !c.is_ascii() || c == '\r' || c == '\n' {
                return bad("bad escape in a comment");
            }
            escaped = false;
            continue;
        }
        match c {
            '\\' => escaped = true,
            '(' if depth == MAX_COMMENT_DEPTH => return bad("comments nested too deep"),
            '(' => depth += 1,
            ')' if depth == 1 => {
                return match input.split_at_checked(at + 1) {
                    Some((text, rest)) => Ok((rest, text)),
                    None => bad("comment expected"),
                };
            }
            ')' => depth -= 1,
            _ if !is_text_char(c) => return bad("control character in a comment"),
            _ => {}
        }
    }
    bad("closing parenthesis missing")
}

/// A host: name, IPv4 address, or IPv6 address in brackets (`host`, RFC 3261 section 25.1; RFC 5954).
///
/// Names with an underscore are taken too: they are common where names do not come from the public DNS.
pub(crate) fn host(input: &str) -> Parsed<'_, Host<'_>> {
    if input.starts_with('[') {
        let (rest, text) = expect(
            "closing bracket expected",
            delimited(char('['), address_chars, char(']')),
        )
        .parse(input)?;
        return match ipv6(text) {
            Some(address) => Ok((rest, Host::V6(address))),
            None => bad("bad IPv6 address"),
        };
    }
    let (rest, text) = run1("host expected", input, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
    })?;
    if let Some(address) = ipv4(text) {
        return Ok((rest, Host::V4(address)));
    }
    if is_host_name(text) {
        Ok((rest, Host::Name(Cow::Borrowed(text))))
    } else {
        bad("bad host name")
    }
}

/// A host, or an IPv6 address that lacks its brackets (as in `received`, and from peers that forget them).
pub(crate) fn host_or_bare_ipv6(input: &str) -> Parsed<'_, Host<'_>> {
    if let Ok((rest, text)) = address_chars(input)
        && text.bytes().filter(|byte| *byte == b':').count() > 1
        && let Some(address) = ipv6(text)
    {
        return Ok((rest, Host::V6(address)));
    }
    host(input)
}

fn address_chars(input: &str) -> Parsed<'_, &str> {
    run1("address expected", input, |byte| {
        byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')
    })
}

/// The grammar of RFC 3261 has a third colon before an IPv4 part, which must be taken too (RFC 5118 section 4.10).
fn ipv6(text: &str) -> Option<Ipv6Addr> {
    match text.parse() {
        Ok(address) => Some(address),
        Err(_) if text.contains(":::") && text.contains('.') => text.replacen(":::", "::", 1).parse().ok(),
        Err(_) => None,
    }
}

/// Four decimal numbers up to 255. Unlike the parser of the library this one takes leading zeros, as the grammar does.
fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0u8; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next().filter(|part| part.len() <= 3)?;
        *octet = u8::try_from(decimal(part, 255)?).ok()?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets))
}

/// `hostname`: labels of letters, digits and inner hyphens, the last one beginning with a letter.
pub(crate) fn is_host_name(text: &str) -> bool {
    let labels = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let top = labels.rsplit('.').next().unwrap_or_default();
    labels.split('.').all(is_label) && top.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// `:` and a port number, where there is one.
pub(crate) fn port(input: &str) -> Parsed<'_, Option<u16>> {
    let Ok((digits, _)) = separator(':').parse(input) else {
        return Ok((input, None));
    };
    let (rest, value) = expect("bad port", number(u64::from(u16::MAX))).parse(digits)?;
    Ok((rest, u16::try_from(value).ok()))
}

/// The text of one `gen-value` as written: token, host, or quoted string with its quotes.
pub(crate) fn value_text(input: &str) -> Parsed<'_, &str> {
    if input.starts_with('"') {
        return recognize(quoted_raw).parse(input);
    }
    let is_address = |byte| matches!(byte, b'[' | b']' | b':');
    let (rest, text) = run1("parameter value expected", input, |byte| {
        is_token_byte(byte) || is_address(byte)
    })?;
    if !text.bytes().any(is_address) || whole(host_or_bare_ipv6, text).is_ok() {
        Ok((rest, text))
    } else {
        bad("bad parameter value")
    }
}

/// One `generic-param`: its name, and its value as written.
pub(crate) fn param(input: &str) -> Parsed<'_, (&str, Option<&str>)> {
    let (rest, name) = run1("parameter name expected", input, is_token_byte)?;
    match separator('=').parse(rest) {
        Ok((rest, _)) => value_text(rest).map(|(rest, value)| (rest, (name, Some(value)))),
        Err(_) => Ok((rest, (name, None))),
    }
}

/// `*( SEMI generic-param )`. A name that appears twice is an error (RFC 3261 section 7.3.1).
pub(crate) fn params(input: &str) -> Parsed<'_, Params<'_>> {
    params_by(param, input)
}

/// The same with another grammar for the single parameter.
pub(crate) fn params_by<'a>(
    mut one: impl Parser<&'a str, Output = (&'a str, Option<&'a str>), Error = Bad>,
    input: &'a str,
) -> Parsed<'a, Params<'a>> {
    let mut seen: SmallVec<[&str; 8]> = SmallVec::new();
    let mut length = 0usize;
    let mut rest = input;
    while let Ok((next, _)) = separator(';').parse(rest) {
        let (next, (name, value)) = one.parse(next)?;
        if seen.iter().any(|earlier| earlier.eq_ignore_ascii_case(name)) {
            return bad("parameter given twice");
        }
        if seen.len() == MAX_PARAMS {
            return bad("too many parameters");
        }
        seen.push(name);
        length += 1 + name.len() + value.map_or(0, |value| value.len() + 1);
        rest = next;
    }
    let read = input
        .split_at_checked(input.len() - rest.len())
        .map_or("", |(read, _)| read);
    // What is stored has no blanks around its separators: it is copied only if it came with some.
    if read.len() == length {
        return Ok((rest, Params::from_canonical(Cow::Borrowed(read))));
    }
    let mut tidy = String::with_capacity(length);
    let mut from = read;
    while let Ok((next, _)) = separator(';').parse(from) {
        let (next, (name, value)) = one.parse(next)?;
        tidy.push(';');
        tidy.push_str(name);
        if let Some(value) = value {
            tidy.push('=');
            tidy.push_str(value);
        }
        from = next;
    }
    Ok((rest, Params::from_canonical(Cow::Owned(tidy))))
}

/// One `URI` between angle brackets, as written.
pub(crate) fn bracketed(input: &str) -> Parsed<'_, &str> {
    expect(
        "closing > missing",
        delimited(
            char('<'),
            take_while1(|c| c != '>' && c != '<' && c != '"'),
            char('>'),
        ),
    )
    .parse(input)
}

/// Tokens with blanks between them, as written; the display name that needs no quotes.
pub(crate) fn tokens(input: &str) -> Parsed<'_, &str> {
    terminated(
        recognize((
            take_while1(is_token_char),
            nom::multi::many0_count(preceded(blanks1, take_while1(is_token_char))),
        )),
        blanks,
    )
    .parse(input)
}

/// The elements of a comma-separated field value: commas in quotes, in angle brackets and in comments do not count.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    rest: Option<&'a str>,
    splits: bool,
}

impl<'a> Elements<'a> {
    /// Splits `value`. A blank value has no elements if `may_be_empty`, else one that is empty.
    pub(crate) fn new(value: &'a str, may_be_empty: bool) -> Self {
        let value = trim(value);
        Self {
            rest: (!may_be_empty || !value.is_empty()).then_some(value),
            splits: true,
        }
    }

    /// Takes all of `value` for one element.
    pub(crate) const fn single(value: &'a str) -> Self {
        Self {
            rest: Some(value),
            splits: false,
        }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let value = self.rest.take()?;
        if !self.splits {
            return Some(trim(value));
        }
        if memchr(b',', value.as_bytes()).is_none() {
            return Some(trim(value));
        }
        let (mut quoted, mut escaped, mut bracketed) = (false, false, false);
        for (at, byte) in value.bytes().enumerate() {
            if quoted {
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' => escaped = true,
                    b'"' => quoted = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => quoted = true,
                b'<' => bracketed = true,
                b'>' => bracketed = false,
                b',' if !bracketed => {
                    let (element, rest) = value.split_at_checked(at)?;
                    self.rest = rest.strip_prefix(',');
                    return Some(trim(element));
                }
                _ => {}
            }
        }
        Some(trim(value))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn numbers_do_not_wrap() {
        assert_eq!(decimal("18446744073709551615", u64::MAX), Some(u64::MAX));
        assert_eq!(decimal("18446744073709551616", u64::MAX), None);
        assert_eq!(decimal("00000000000000000000000000007", 9), Some(7));
        assert_eq!(
            (decimal("10", 9), decimal("", 9), decimal("1x", 99)),
            (None, None, None)
        );
        assert_eq!(
            (decimal_u32("4294967295"), decimal_u32("4294967296")),
            (Some(u32::MAX), None)
        );
    }

    #[test]
    fn quoted_strings() {
        assert_eq!(quoted("\"a\\\"b\\\\\" c"), Ok((" c", "a\"b\\".into())));
        assert!(matches!(quoted("\"plain\""), Ok(("", Cow::Borrowed("plain")))));
        assert_eq!(
            quoted("\"\u{43d}\u{43e}\t\""),
            Ok(("", "\u{43d}\u{43e}\t".into()))
        );
        for text in [
            "",
            "a",
            "\"",
            "\"a",
            "\"a\\\"",
            "\"a\\",
            "\"\u{0}\"",
            "\"\\\u{e9}\"",
            "\"\\\r\"",
            "\"\n\"",
            "\"\u{7f}\"",
        ] {
            assert!(quoted(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn comments() {
        assert_eq!(comment("(a (b) \\) c) d"), Ok((" d", "(a (b) \\) c)")));
        for text in ["", "a", "(", "(a", "((a)", "(\\)", "(\u{1})"] {
            assert!(comment(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn lists_are_cut_outside_quotes_and_brackets() {
        let cut = |text| Elements::new(text, false).collect::<Vec<_>>();
        assert_eq!(cut("a , b,c"), ["a", "b", "c"]);
        assert_eq!(cut("\"a,\\\",\" <b,c>,d"), ["\"a,\\\",\" <b,c>", "d"]);
        assert_eq!(cut("\"<\",a"), ["\"<\"", "a"]);
        assert_eq!(cut("a,"), ["a", ""]);
        assert_eq!(cut(",\u{e9},"), ["", "\u{e9}", ""]);
        assert_eq!(cut(" "), [""]);
        assert_eq!(Elements::new(" \t", true).count(), 0);
    }

    #[test]
    fn host_names() {
        for name in ["a", "a.b", "a-b.c", "example.com.", "1a.com", "3com", "x1"] {
            // The last label begins with a letter.
            assert_eq!(is_host_name(name), name != "3com", "{name}");
        }
        for name in ["", ".", "a..b", ".a", "a-", "-a", "a.-b", "a.1", "a b"] {
            assert!(!is_host_name(name), "{name}");
        }
    }

    #[test]
    fn ipv4_addresses() {
        assert_eq!(ipv4("192.0.2.1"), Some(Ipv4Addr::new(192, 0, 2, 1)));
        assert_eq!(ipv4("010.001.000.255"), Some(Ipv4Addr::new(10, 1, 0, 255)));
        for text in [
            "",
            "1",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.256",
            "1.2.3.0004",
            "1..2.3",
            "a.b.c.d",
        ] {
            assert_eq!(ipv4(text), None, "{text}");
        }
    }
}
