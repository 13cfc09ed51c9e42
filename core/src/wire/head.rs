//! The header section of a message: where it ends, and an index of its fields, in one pass.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use memchr::{memchr, memchr_iter, memchr2, memmem};
use smallvec::SmallVec;

use super::class::Class;
use super::message::{MessageLimits, Start};
use super::start_line::start_line;
use super::{HeaderName, scan};
use crate::error::{ParseError, Place};

/// What a header section beyond its limits is refused with.
pub(super) const HEADERS_TOO_LONG: &str = "the header fields are longer than the limit";
pub(super) const TOO_MANY_FIELDS: &str = "more header fields than the limit";

/// A place in the header section; a header section never exceeds 64 KiB.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    pub(super) start: u16,
    pub(super) end: u16,
}

impl Span {
    pub(super) fn new(start: usize, end: usize) -> Self {
        let clamp = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
        Self {
            start: clamp(start),
            end: clamp(end),
        }
    }

    pub(super) fn of(self, text: &[u8]) -> &[u8] {
        text.get(usize::from(self.start)..usize::from(self.end))
            .unwrap_or_default()
    }
}

/// One header field: eight bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Where the line begins, with the name; that is a token, so that it need not be said where it ends.
    pub(super) line: u16,
    pub(super) value: Span,
    pub(super) known: Option<HeaderName>,
}

impl Entry {
    /// Places beyond 64 KiB are of a message that is refused.
    #[inline]
    pub(super) const fn new(known: Option<HeaderName>, line: usize, start: usize, end: usize) -> Self {
        Self {
            line: line as u16,
            value: Span {
                start: start as u16,
                end: end as u16,
            },
            known,
        }
    }
}

/// The header fields of a message in order.
pub(super) type Index = SmallVec<[Entry; 32]>;

pub(super) const fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Where each CRLF of `head` ends that the next line continues.
fn continuations(head: &[u8]) -> impl Iterator<Item = usize> + '_ {
    memchr_iter(b'\n', head).filter(|at| {
        let before = at.checked_sub(1).and_then(|before| head.get(before));
        before == Some(&b'\r') && head.get(at + 1).copied().is_some_and(is_white)
    })
}

/// The end of the line that goes on at `from`, and whether a CR or LF that is no part of a line end stands before it.
#[inline]
fn line_end(text: &[u8], from: usize) -> Option<(usize, bool)> {
    let (mut at, mut stray) = (from, false);
    loop {
        at += scan::control(text.get(at..)?)?;
        match text.get(at..)? {
            [b'\r', b'\n', ..] => return Some((at, stray)),
            [b'\r' | b'\n', ..] => stray = true,
            _ => {}
        }
        at += 1;
    }
}

/// Where the header section ends, behind the empty line.
fn head_end(text: &[u8], limits: &MessageLimits) -> Result<usize, ParseError> {
    match memmem::find(text, b"\r\n\r\n") {
        Some(end) => within(end + 4, limits),
        None => Err(UNENDED),
    }
}

pub(super) const UNENDED: ParseError = ParseError::start_line("no empty line ends the header fields");

fn within(end: usize, limits: &MessageLimits) -> Result<usize, ParseError> {
    if end > limits.header_bytes() {
        return Err(ParseError::start_line(HEADERS_TOO_LONG));
    }
    Ok(end)
}

/// What a header section is, its fields aside.
pub(super) struct Head {
    pub(super) start: Start,
    /// Where it ends, behind the empty line.
    pub(super) end: usize,
    pub(super) defect: Option<ParseError>,
}

/// Why a header section has not been read.
pub(super) enum Unread {
    /// A line of it is continued on the next one.
    Folded,
    Bad(ParseError),
}

impl Head {
    /// Reads a header section that is at the beginning of `text`, in one pass.
    pub(super) fn read(text: &[u8], limits: &MessageLimits, index: &mut Index) -> Result<Self, Unread> {
        let (end, stray) = line_end(text, 0).ok_or(Unread::Bad(UNENDED))?;
        let mut at = end + 2;
        if text.get(at).copied().is_some_and(is_white) {
            return Err(Unread::Folded);
        }
        let line = text.get(..end).unwrap_or_default();
        let (start, mut defect) = match start_line(line, stray) {
            Ok(read) => read,
            // Whether the line is that of a message at all is the second question.
            Err(error) => return Err(Unread::Bad(head_end(text, limits).err().unwrap_or(error))),
        };
        loop {
            let rest = text.get(at..).unwrap_or_default();
            let end = match rest {
                [b'\r', b'\n', ..] => Some(at + 2),
                [b' ' | b'\t', ..] => return Err(Unread::Folded),
                _ if at > limits.header_bytes() => Some(head_end(text, limits).map_err(Unread::Bad)?),
                _ if index.len() >= limits.headers => {
                    defect = defect.or_else(|| Some(ParseError::start_line(TOO_MANY_FIELDS)));
                    Some(head_end(text, limits).map_err(Unread::Bad)?)
                }
                _ => None,
            };
            if let Some(end) = end {
                let end = within(end, limits).map_err(Unread::Bad)?;
                return Ok(Self { start, end, defect });
            }
            let (entry, next) = next_field(at, rest).ok_or(Unread::Bad(UNENDED))?;
            match entry {
                Ok(entry) => index.push(entry),
                // Only the first is told: what many of them make of a message costs no more.
                Err(fault) => defect = defect.or_else(|| Some(fault.error())),
            }
            at = next;
        }
    }

    /// The same for one with folded lines, and the text with every field on one line that it has become.
    #[cold]
    pub(super) fn read_folded(
        text: &[u8],
        limits: &MessageLimits,
        index: &mut Index,
    ) -> Result<(Self, Bytes), ParseError> {
        let end = head_end(text, limits)?;
        let folded = text.get(..end).unwrap_or_default();
        let unfolded = Bytes::from(unfold(folded));
        index.clear();
        match Self::read(&unfolded, limits, index) {
            Ok(mut head) => {
                head.end = end;
                // A start line cannot be continued; unfolding has joined it with its continuation.
                if start_line_is_continued(folded) {
                    head.defect = Some(ParseError::start_line("continued on a second line"));
                }
                Ok((head, unfolded))
            }
            Err(Unread::Bad(error)) => Err(error),
            // Nothing is left to be joined.
            Err(Unread::Folded) => Err(UNENDED),
        }
    }
}

/// The field whose line begins at `at`, as `rest` does, and where the next line begins; `None` where the line does not
/// end.
#[inline(always)]
fn next_field(at: usize, rest: &[u8]) -> Option<(Result<Entry, Fault<'_>>, usize)> {
    let Some((known, colon)) = HeaderName::at_start(rest) else {
        let (end, _) = line_end(rest, 0)?;
        return Some((field(at, rest.get(..end)?), at + end + 2));
    };
    // A known name needs no look at its letters.
    let mut start = colon + 1;
    while rest.get(start).copied().is_some_and(is_white) {
        start += 1;
    }
    let (end, stray) = line_end(rest, start)?;
    let next = at + end + 2;
    if stray {
        return Some((field(at, rest.get(..end)?), next));
    }
    let value = trim_end(rest.get(start..end)?);
    let entry = Entry::new(Some(known), at, at + start, at + start + value.len());
    Some((Ok(entry), next))
}

pub(super) fn start_line_is_continued(head: &[u8]) -> bool {
    memmem::find(head, b"\r\n").is_some_and(|end| head.get(end + 2).copied().is_some_and(is_white))
}

/// Every run of white space that contains a line end, as one space (RFC 3261 section 7.3.1).
fn unfold(head: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(head.len());
    let mut rest = head;
    let mut read = 0;
    for line_feed in continuations(head) {
        let Some((line, after)) = rest.split_at_checked(line_feed + 1 - read) else {
            break;
        };
        out.extend_from_slice(trim_end(line.strip_suffix(b"\r\n").unwrap_or(line)));
        // White space at the end of `out` is left where a continuation held nothing else.
        while out.last().copied().is_some_and(is_white) {
            out.pop();
        }
        out.push(b' ');
        rest = trim_start(after);
        read = head.len() - rest.len();
    }
    out.extend_from_slice(rest);
    out
}

pub(super) fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_white(*first)
    {
        text = rest;
    }
    text
}

pub(super) fn trim_end(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., last] = text
        && is_white(*last)
    {
        text = rest;
    }
    text
}

/// What is wrong with a line.
struct Fault<'a> {
    /// What stands for the name of the field.
    name: &'a [u8],
    known: Option<HeaderName>,
    what: &'static str,
}

impl Fault<'_> {
    fn error(self) -> ParseError {
        let Self { name, known, what } = self;
        let place = known.map_or_else(|| Place::UnknownHeader(excerpt(name)), Place::Header);
        ParseError { place, what }
    }
}

/// One header field (RFC 3261 section 25.1: `token HCOLON value`).
fn field(at: usize, line: &[u8]) -> Result<Entry, Fault<'_>> {
    let (name, value) = line.split_at_checked(Class::TOKEN.run(line)).unwrap_or_default();
    let value = trim_start(value);
    let (name, value, fault) = match value {
        [b':', ..] if name.is_empty() => (name, value, Some("not a header field name")),
        [b':', ..] if memchr2(b'\r', b'\n', line).is_some() => {
            (name, value, Some("a line end that is not CRLF"))
        }
        [b':', ..] => (name, value, None),
        _ => match memchr(b':', line).and_then(|colon| line.split_at_checked(colon)) {
            Some((name, value)) => (trim_end(name), value, Some("not a header field name")),
            None => (trim_end(line), value, Some("no colon")),
        },
    };
    let known = HeaderName::from_bytes(name);
    if let Some(what) = fault {
        return Err(Fault { name, known, what });
    }
    let after_colon = value.get(1..).unwrap_or_default();
    let value = trim_start(after_colon);
    let value_at = at + line.len() - value.len();
    let value = trim_end(value);
    Ok(Entry::new(known, at, value_at, value_at + value.len()))
}

/// What an error shows of a line that is no header field.
fn excerpt(line: &[u8]) -> Box<str> {
    const SHOWN: usize = 32;
    let shown = line.get(..SHOWN).unwrap_or(line);
    let mut text = String::from_utf8_lossy(shown).into_owned();
    if text.contains(char::is_control) {
        text = text.replace(char::is_control, "?");
    }
    text.into()
}
