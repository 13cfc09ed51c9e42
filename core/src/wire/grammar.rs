//! The lexical rules that all header fields share (RFC 3261 section 25.1), for values that are already unfolded.
//!
//! Every parser takes `&str` and gives back the rest and what it read, borrowed wherever the text stands for itself.
//! A parser fails with a few words that say what was expected; the caller knows in which field.

use alloc::borrow::Cow;
use alloc::string::String;
use core::net::{Ipv4Addr, Ipv6Addr};

use memchr::{memchr, memchr3};
use nom::bytes::complete::take_while1;
use nom::character::complete::char;
use nom::combinator::recognize;
use nom::error::{ErrorKind, ParseError as NomError};
use nom::sequence::{delimited, preceded, terminated};
use nom::{IResult, Parser};
use smallvec::SmallVec;

use crate::wire::class::Class;
use crate::wire::header::Params;
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
    match reason(parser.parse(trim(value)))? {
        ("", read) => Ok(read),
        _ => Err("unexpected text after the value"),
    }
}

/// What a parser says, with its words where it fails.
#[inline]
pub(crate) fn reason<'a, T>(parsed: Parsed<'a, T>) -> Result<(&'a str, T), &'static str> {
    parsed.map_err(|error| match error {
        nom::Err::Error(Bad(what)) | nom::Err::Failure(Bad(what)) => what,
        nom::Err::Incomplete(_) => "incomplete",
    })
}

/// `value` without blanks and tabs at its ends.
#[inline]
pub(crate) fn trim(value: &str) -> &str {
    let is_blank = |byte: Option<&u8>| byte.is_some_and(|byte| Class::BLANK.has(*byte));
    let bytes = value.as_bytes();
    if is_blank(bytes.first()) || is_blank(bytes.last()) {
        value.trim_matches([' ', '\t'])
    } else {
        value
    }
}

/// The characters at the start of `input` that belong to `class`, and the rest.
#[inline]
fn run(input: &str, class: Class) -> (&str, &str) {
    input
        .split_at_checked(class.run(input.as_bytes()))
        .unwrap_or((input, ""))
}

/// The same where at least one is expected.
#[inline]
fn run1<'a>(what: &'static str, input: &'a str, class: Class) -> Parsed<'a, &'a str> {
    match run(input, class) {
        ("", _) => bad(what),
        (text, rest) => Ok((rest, text)),
    }
}

/// What follows the ASCII character that `input` begins with, if it is this one.
#[inline]
pub(crate) fn after(byte: u8, input: &str) -> Option<&str> {
    if input.as_bytes().first() == Some(&byte) {
        input.get(1..)
    } else {
        None
    }
}

/// What follows a separator character with blanks around it.
#[inline]
fn after_separator(byte: u8, input: &str) -> Option<&str> {
    after(byte, skip_blanks(input)).map(skip_blanks)
}

#[inline]
fn skip_blanks(input: &str) -> &str {
    match input.as_bytes().first() {
        Some(byte) if Class::BLANK.has(*byte) => run(input, Class::BLANK).1,
        _ => input,
    }
}

/// `token` characters.
fn is_token_char(c: char) -> bool {
    u8::try_from(c).is_ok_and(|byte| Class::TOKEN.has(byte))
}

/// Whether all of `text` is one `token`.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && Class::TOKEN.run(text.as_bytes()) == text.len()
}

/// Whether a character may stand in free text on one line: everything but control characters; a tab is a blank.
pub(crate) const fn is_text_char(c: char) -> bool {
    c == '\t' || !c.is_ascii_control()
}

/// `token`
pub(crate) fn token(input: &str) -> Parsed<'_, &str> {
    run1("token expected", input, Class::TOKEN)
}

/// Blanks, or nothing (`SWS` of an unfolded value).
pub(crate) fn blanks(input: &str) -> Parsed<'_, &str> {
    let (read, rest) = run(input, Class::BLANK);
    Ok((rest, read))
}

/// At least one blank (`LWS` of an unfolded value).
pub(crate) fn blanks1(input: &str) -> Parsed<'_, &str> {
    run1("blank expected", input, Class::BLANK)
}

/// A separator character with blanks around it (`SEMI`, `COMMA`, `EQUAL`, `SLASH`, `COLON`).
pub(crate) fn separator<'a>(byte: u8) -> impl Parser<&'a str, Output = (), Error = Bad> {
    move |input| match after_separator(byte, input) {
        Some(rest) => Ok((rest, ())),
        None => bad("separator expected"),
    }
}

/// A run of digits that must not exceed `max`. Leading zeros count for nothing.
pub(crate) fn number<'a>(max: u64) -> impl Parser<&'a str, Output = u64, Error = Bad> {
    move |input: &'a str| {
        let (rest, digits) = run1("digits expected", input, Class::DIGIT)?;
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
    let Some(inside) = after(b'"', input) else {
        return bad("quoted string expected");
    };
    let bytes = inside.as_bytes();
    let mut end = 0;
    loop {
        end += Class::QUOTED.run(bytes.get(end..).unwrap_or_default());
        match bytes.get(end..) {
            Some([b'"', ..]) => {
                let text = inside.get(..end).unwrap_or_default();
                return Ok((inside.get(end + 1..).unwrap_or_default(), text));
            }
            // quoted-pair: any ASCII character but CR and LF
            Some([b'\\', escaped, ..]) if escaped.is_ascii() && !matches!(escaped, b'\r' | b'\n') => end += 2,
            Some([b'\\', _, ..]) => return bad("bad escape in a quoted string"),
            Some([]) | Some([b'\\']) | None => return bad("closing quote missing"),
            Some(_) => return bad("control character in a quoted string"),
        }
    }
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
    match input.as_bytes().first() {
        Some(b'[') => return bracketed_host(input),
        // Only a text that begins with a digit can be an address.
        Some(b'0'..=b'9') => {
            if let Some((address, rest)) = leading_ipv4(input) {
                return Ok((rest, Host::V4(address)));
            }
        }
        Some(byte) if *byte == b'.' || Class::LABEL.has(*byte) => {}
        _ => return bad("host expected"),
    }
    match host_name(input.as_bytes()).and_then(|end| input.split_at_checked(end)) {
        Some((name, rest)) => Ok((rest, Host::Name(Cow::Borrowed(name)))),
        None => bad("bad host name"),
    }
}

fn bracketed_host(input: &str) -> Parsed<'_, Host<'_>> {
    let (rest, text) = expect(
        "closing bracket expected",
        delimited(char('['), address_chars, char(']')),
    )
    .parse(input)?;
    match ipv6(text) {
        Some(address) => Ok((rest, Host::V6(address))),
        None => bad("bad IPv6 address"),
    }
}

/// A host, or an IPv6 address that lacks its brackets (as in `received`, and from peers that forget them).
pub(crate) fn host_or_bare_ipv6(input: &str) -> Parsed<'_, Host<'_>> {
    let bytes = input.as_bytes();
    // A colon follows the first group of such an address, if there is a group before it.
    if bytes.get(Class::HEX.run(bytes)) == Some(&b':')
        && let Ok((rest, text)) = address_chars(input)
        && text.bytes().filter(|byte| *byte == b':').count() > 1
        && let Some(address) = ipv6(text)
    {
        return Ok((rest, Host::V6(address)));
    }
    host(input)
}

fn address_chars(input: &str) -> Parsed<'_, &str> {
    run1("address expected", input, Class::ADDRESS)
}

/// The grammar of RFC 3261 has a third colon before an IPv4 part, which must be taken too (RFC 5118 section 4.10).
fn ipv6(text: &str) -> Option<Ipv6Addr> {
    match text.parse() {
        Ok(address) => Some(address),
        Err(_) if text.contains(":::") && text.contains('.') => text.replacen(":::", "::", 1).parse().ok(),
        Err(_) => None,
    }
}

/// Four decimal numbers up to 255, with nothing behind them that a host name could go on with, and the rest. Unlike the
/// parser of the library this one takes leading zeros, as the grammar does.
fn leading_ipv4(input: &str) -> Option<(Ipv4Addr, &str)> {
    let mut octets = [0u8; 4];
    let mut rest = input;
    for (at, octet) in octets.iter_mut().enumerate() {
        let part = if at == 0 { rest } else { after(b'.', rest)? };
        let (digits, more) = run(part, Class::DIGIT);
        if digits.len() > 3 {
            return None;
        }
        *octet = u8::try_from(decimal(digits, 255)?).ok()?;
        rest = more;
    }
    match rest.as_bytes().first() {
        Some(byte) if *byte == b'.' || Class::LABEL.has(*byte) => None,
        _ => Some((Ipv4Addr::from(octets), rest)),
    }
}

/// Where the `hostname` ends that `text` begins with: labels of letters, digits and inner hyphens, the last one
/// beginning with a letter, and perhaps a dot. What a name could go on with does not follow it.
#[inline]
fn host_name(text: &[u8]) -> Option<usize> {
    let (mut end, mut top) = (0, None);
    loop {
        let rest = text.get(end..).unwrap_or_default();
        let label = rest.get(..Class::LABEL.run(rest)).unwrap_or_default();
        match label {
            // A dot at the end of the name.
            [] if top.is_some() => break,
            [] | [b'-', ..] | [.., b'-'] => return None,
            [first, ..] => top = Some(*first),
        }
        end += label.len();
        if text.get(end) != Some(&b'.') {
            break;
        }
        end += 1;
    }
    let ends = !matches!(text.get(end), Some(b'.'));
    (ends && top.is_some_and(|first| first.is_ascii_alphabetic())).then_some(end)
}

/// `:` and a port number, where there is one.
#[inline]
pub(crate) fn port(input: &str) -> Parsed<'_, Option<u16>> {
    match after_separator(b':', input) {
        Some(digits) => port_number(digits).map(|(rest, port)| (rest, Some(port))),
        None => Ok((input, None)),
    }
}

/// A port number.
#[inline]
pub(crate) fn port_number(input: &str) -> Parsed<'_, u16> {
    let (digits, rest) = run(input, Class::DIGIT);
    match decimal(digits, u64::from(u16::MAX)).and_then(|value| u16::try_from(value).ok()) {
        Some(port) => Ok((rest, port)),
        None => bad("bad port"),
    }
}

/// The text of one `gen-value` as written: token, host, or quoted string with its quotes.
#[inline]
pub(crate) fn value_text(input: &str) -> Parsed<'_, &str> {
    let (text, rest) = run(input, Class::TOKEN);
    match rest.as_bytes().first() {
        Some(b'"') if text.is_empty() => recognize(quoted_raw).parse(input),
        Some(b'[' | b']' | b':') => address_text(input),
        _ if text.is_empty() => bad("parameter value expected"),
        _ => Ok((rest, text)),
    }
}

/// A parameter value that is no token but may be a host.
fn address_text(input: &str) -> Parsed<'_, &str> {
    let (text, rest) = run(input, Class::VALUE);
    if whole(host_or_bare_ipv6, text).is_ok() {
        Ok((rest, text))
    } else {
        bad("bad parameter value")
    }
}

/// One `generic-param`: its name, and its value as written.
#[inline]
pub(crate) fn param(input: &str) -> Parsed<'_, (&str, Option<&str>)> {
    let (rest, name) = run1("parameter name expected", input, Class::TOKEN)?;
    match after_separator(b'=', rest) {
        Some(rest) => value_text(rest).map(|(rest, value)| (rest, (name, Some(value)))),
        None => Ok((rest, (name, None))),
    }
}

/// Names of parameters that must not repeat.
#[derive(Default)]
pub(crate) struct Names<'a> {
    names: SmallVec<[&'a str; 8]>,
    /// A bit for each first letter, in any case, and length: names with the same bit may be the same.
    seen: u64,
}

impl<'a> Names<'a> {
    /// Takes note of a name. `same` says whether two are the same: names without regard to case, and `ambiguous` ones,
    /// which do not stand for themselves, as it will.
    ///
    /// # Errors
    /// It is there already, or there are too many.
    #[inline]
    pub(crate) fn add(
        &mut self,
        name: &'a str,
        ambiguous: bool,
        same: impl Fn(&str, &str) -> bool,
    ) -> Result<(), Unwanted> {
        let first = name.as_bytes().first().map_or(0, |first| first & 31);
        let bit = 1 << ((usize::from(first) ^ (name.len() << 3)) & 63);
        let bits = if ambiguous { u64::MAX } else { bit };
        if self.seen & bits != 0 && self.names.iter().any(|earlier| same(earlier, name)) {
            return Err(Unwanted::Repeated);
        }
        if self.names.len() == MAX_PARAMS {
            return Err(Unwanted::TooMany);
        }
        self.names.push(name);
        self.seen |= bits;
        Ok(())
    }
}

/// Why a parameter cannot be taken.
pub(crate) enum Unwanted {
    /// One of its name was there before.
    Repeated,
    /// There are [`MAX_PARAMS`] before it.
    TooMany,
}

/// `*( SEMI generic-param )`. A name that appears twice is an error (RFC 3261 section 7.3.1).
pub(crate) fn params(input: &str) -> Parsed<'_, Params<'_>> {
    params_seen(input, |_, _| ())
}

/// The same, with each name and its value as written shown to `see`.
#[inline]
pub(crate) fn params_seen<'a>(
    input: &'a str,
    mut see: impl FnMut(&'a str, Option<&'a str>),
) -> Parsed<'a, Params<'a>> {
    let mut names = Names::default();
    let mut length = 0usize;
    let mut rest = input;
    while let Some(next) = after_separator(b';', rest) {
        let (next, (name, value)) = param(next)?;
        match names.add(name, false, str::eq_ignore_ascii_case) {
            Ok(()) => {}
            Err(Unwanted::Repeated) => return bad("parameter given twice"),
            Err(Unwanted::TooMany) => return bad("too many parameters"),
        }
        see(name, value);
        length += 1 + name.len() + value.map_or(0, |value| value.len() + 1);
        rest = next;
    }
    let read = input.get(..input.len() - rest.len()).unwrap_or_default();
    // What is stored has no blanks around its separators: it is copied only if it came with some.
    let text = if read.len() == length {
        Cow::Borrowed(read)
    } else {
        Cow::Owned(tidy(read, length))
    };
    Ok((rest, Params::from_canonical(text)))
}

/// Parameters without the blanks around their separators.
fn tidy(read: &str, length: usize) -> String {
    let mut tidy = String::with_capacity(length);
    let mut from = read;
    while let Some(next) = after_separator(b';', from) {
        let Ok((next, (name, value))) = param(next) else {
            break;
        };
        tidy.push(';');
        tidy.push_str(name);
        if let Some(value) = value {
            tidy.push('=');
            tidy.push_str(value);
        }
        from = next;
    }
    tidy
}

/// One `URI` between angle brackets, as written.
#[inline]
pub(crate) fn bracketed(input: &str) -> Parsed<'_, &str> {
    let parts = after(b'<', input).and_then(|inside| {
        let end = memchr3(b'>', b'<', b'"', inside.as_bytes())?;
        inside.split_at_checked(end)
    });
    match parts {
        Some((text, end)) if !text.is_empty() => match after(b'>', end) {
            Some(rest) => Ok((rest, text)),
            None => bad("closing > missing"),
        },
        _ => bad("closing > missing"),
    }
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

    use proptest::prelude::*;

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
            assert_eq!(
                host_name(name.as_bytes()) == Some(name.len()),
                name != "3com",
                "{name}"
            );
        }
        for name in ["", ".", "a..b", ".a", "a-", "-a", "a.-b", "a.1", "a b"] {
            assert_ne!(host_name(name.as_bytes()), Some(name.len()), "{name}");
        }
    }

    #[test]
    fn ipv4_addresses() {
        let ipv4 = |text| leading_ipv4(text).filter(|(_, rest)| rest.is_empty());
        assert_eq!(ipv4("192.0.2.1"), Some((Ipv4Addr::new(192, 0, 2, 1), "")));
        assert_eq!(ipv4("010.001.000.255"), Some((Ipv4Addr::new(10, 1, 0, 255), "")));
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

    /// `hostname`, one label after the other.
    fn plain_host_name(text: &str) -> bool {
        let labels: Vec<&str> = text.strip_suffix('.').unwrap_or(text).split('.').collect();
        let is_one = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let is_label = |label: &&str| {
            !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.chars().all(is_one)
        };
        labels.iter().all(is_label)
            && labels
                .last()
                .is_some_and(|top| top.starts_with(|c: char| c.is_ascii_alphabetic()))
    }

    /// Four numbers of up to three digits.
    fn plain_ipv4(text: &str) -> Option<Ipv4Addr> {
        let is_octet = |part: &str| part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
        let octets: Vec<u8> = text
            .split('.')
            .map(|part| part.parse().ok().filter(|_: &u8| is_octet(part)))
            .collect::<Option<_>>()?;
        <[u8; 4]>::try_from(octets).ok().map(Ipv4Addr::from)
    }

    /// What stands between quotes, one character after the other.
    fn plain_quoted(text: &str) -> Option<&str> {
        let mut chars = text.strip_prefix('"')?.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => return text.get(1..=at),
                '\\' => {
                    let (_, escaped) = chars.next()?;
                    if !escaped.is_ascii() || matches!(escaped, '\r' | '\n') {
                        return None;
                    }
                }
                _ if !is_text_char(c) => return None,
                _ => {}
            }
        }
        None
    }

    proptest! {
        #[test]
        fn a_host_is_what_the_plain_rules_say(
            text in prop_oneof!["([a-zA-Z0-9_-]{1,4}\\.?){0,5}", "([0-9]{1,3}\\.?){1,5}", "[a.-]{0,6}"],
            after in "(:|;|>|\u{e9}|)",
        ) {
            let input = alloc::format!("{text}{after}");
            let expected = match plain_ipv4(&text) {
                Some(address) => Some(Host::V4(address)),
                None => plain_host_name(&text).then_some(Host::Name(Cow::Borrowed(text.as_str()))),
            };
            let read = host(&input).ok();
            prop_assert_eq!(read, expected.map(|host| (after.as_str(), host)));
        }

        #[test]
        fn a_quoted_string_is_what_the_plain_rules_say(text in "\"?([a\u{e9}\\\\\"\r\n\t\u{1}\u{7f} ]|[ -~]){0,12}") {
            let read = quoted_raw(&text).ok();
            let rest = |raw: &str| text.get(raw.len() + 2..).unwrap_or_default();
            prop_assert_eq!(read, plain_quoted(&text).map(|raw| (rest(raw), raw)));
        }
    }
}
