//! Lines that are written once and copied into many messages.

use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;

use super::{Draft, Scratch};
use crate::wire::HeaderName;

/// Header fields that many messages have in common: checked and written once, shared by all who clone it, and added to
/// a message with one copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderBlock {
    pub(super) lines: Bytes,
}

impl HeaderBlock {
    /// A block of these names and values, in this order. A line break inside one of them becomes a blank.
    pub fn new<'f>(fields: impl IntoIterator<Item = (&'f str, &'f str)>) -> Self {
        let mut scratch = Scratch::default();
        let mut draft = Draft {
            scratch: &mut scratch,
            body: Bytes::new(),
        };
        for (name, value) in fields {
            draft.named(name, value);
        }
        scratch.out.shrink_to_fit();
        Self {
            lines: scratch.out.into(),
        }
    }

    /// This block and then these fields. Without any it is this block itself, shared.
    pub(crate) fn and<'f>(&self, fields: impl IntoIterator<Item = (&'f str, &'f str)>) -> Self {
        let more = Self::new(fields);
        if more.lines.is_empty() {
            return self.clone();
        }
        Self::joined(&[self.clone(), more])
    }

    /// One block of several.
    pub(crate) fn joined(blocks: &[Self]) -> Self {
        let mut lines = Vec::with_capacity(blocks.iter().map(Self::len).sum());
        for block in blocks {
            lines.extend_from_slice(&block.lines);
        }
        Self { lines: lines.into() }
    }

    /// How long it is, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    /// The fields that stand there, which shares the memory of the whole. The bounds are ends of lines.
    pub(crate) fn part(&self, range: Range<usize>) -> Self {
        debug_assert!(range.start <= range.end && range.end <= self.len());
        Self {
            lines: self.lines.slice(range),
        }
    }
}

/// Who a request is from and for, and in which call: its From, To and Call-ID (RFC 3261 section 12), checked and written
/// once, shared by all requests of a dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parties {
    block: HeaderBlock,
    /// Where the lines of To and Call-ID begin.
    to: usize,
    call_id: usize,
}

impl Parties {
    /// Those of the values of From and To, with their tags where they have them, and a Call-ID. A line break inside one
    /// of them becomes a blank.
    pub fn new(from: &str, to: &str, call_id: &str) -> Self {
        let line = |name: HeaderName, value: &str| name.label().len() + value.len() + "\r\n".len();
        let to_start = line(HeaderName::From, from);
        let fields = [
            (HeaderName::From.as_str(), from),
            (HeaderName::To.as_str(), to),
            (HeaderName::CallId.as_str(), call_id),
        ];
        Self {
            block: HeaderBlock::new(fields),
            to: to_start,
            call_id: to_start + line(HeaderName::To, to),
        }
    }

    pub(super) fn lines(&self) -> &[u8] {
        &self.block.lines
    }

    /// The value of Call-ID.
    pub(crate) fn call_id(&self) -> &str {
        self.value(HeaderName::CallId, self.call_id..self.block.len())
    }

    /// The tag of From, as it is written there.
    pub(crate) fn tag_of_from(&self) -> Option<&str> {
        let (_, rest) = self.value(HeaderName::From, 0..self.to).rsplit_once(";tag=")?;
        Some(rest.split_once(';').map_or(rest, |(tag, _)| tag).trim_end())
    }

    /// The value of a line, which has been text.
    fn value(&self, name: HeaderName, line: Range<usize>) -> &str {
        let value = line.start + name.label().len()..line.end - "\r\n".len();
        let bytes = self.block.lines.get(value).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or_default()
    }
}
