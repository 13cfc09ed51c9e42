//! One direction of a connection, cut into messages; what cannot be cut is kept.

use bytes::{Bytes, BytesMut};
use sansip::wire::frame::{Frame, FrameErrorKind, Framer};
use sansip::wire::{MessageLimits, Method};

/// A line that is longer cannot be the first of a message.
const LONGEST_LINE: usize = 32 << 10;

/// What was cut off.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Message(Bytes),
    /// A CRLF between messages.
    Crlf,
    /// Bytes from which on nothing could be cut, to the last that came.
    Lost(FrameErrorKind, Bytes),
}

/// See the module. After [`Cut::Lost`] it begins anew with the bytes that come next.
#[derive(Debug)]
pub(crate) struct Cutter {
    framer: Framer,
    /// What the framer has been given and has not cut off.
    rest: BytesMut,
}

impl Cutter {
    pub(crate) fn new() -> Self {
        Self {
            framer: Framer::new(MessageLimits::default()),
            rest: BytesMut::new(),
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.framer.push(bytes);
        self.rest.extend_from_slice(bytes);
    }

    pub(crate) fn next(&mut self) -> Option<Cut> {
        Some(match self.framer.next()? {
            Frame::Message { bytes, .. } => {
                let _ = self.rest.split_to(bytes.len().min(self.rest.len()));
                Cut::Message(bytes)
            }
            // The framer tells of each half of a keep-alive when it has come.
            Frame::Crlf { .. } | Frame::Ping { .. } => {
                let _ = self.rest.split_to(self.rest.len().min(2));
                Cut::Crlf
            }
            Frame::Error(error) => Cut::Lost(error.kind, self.take_rest()),
        })
    }

    /// Gives up what is not whole, and begins anew.
    pub(crate) fn take_rest(&mut self) -> Bytes {
        self.framer = Framer::new(MessageLimits::default());
        std::mem::take(&mut self.rest).freeze()
    }
}

/// Looks for the first line of a message in a stream of which the beginning is not known.
#[derive(Debug, Default)]
pub(crate) struct Seeker {
    /// The line that is not whole yet.
    line: BytesMut,
    /// A line has ended before it: it is seen from its beginning on.
    whole: bool,
    /// The line is too long.
    skips: bool,
}

impl Seeker {
    /// What follows from the first line of a message on, once that has come.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Option<Bytes> {
        self.line.extend_from_slice(bytes);
        while let Some(end) = memchr::memchr(b'\n', &self.line) {
            let line = self.line.get(..end).unwrap_or_default();
            if !self.skips && is_first_line(line, self.whole) {
                return Some(std::mem::take(&mut self.line).freeze());
            }
            let _ = self.line.split_to(end + 1);
            self.whole = true;
            self.skips = false;
        }
        if self.line.len() > LONGEST_LINE {
            self.line.clear();
            self.skips = true;
        }
        None
    }
}

/// Whether these bytes begin with the start line of a message.
pub(crate) fn is_message(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| *byte == b'\n').next();
    line.is_some_and(|line| is_first_line(line, false))
}

/// Whether this is the start line of a message. One whose beginning may be missing has to have a method that is known.
fn is_first_line(line: &[u8], whole: bool) -> bool {
    let Some(line) = line.strip_suffix(b"\r") else {
        return false;
    };
    if let Some(status) = line.strip_prefix(b"SIP/2.0 ") {
        return matches!(status, [a, b, c, b' ', ..] if [a, b, c].iter().all(|digit| digit.is_ascii_digit()));
    }
    let mut words = line.split(|byte| *byte == b' ');
    let (method, uri, version) = (words.next(), words.next(), words.next());
    let method = method.and_then(Method::parse);
    method.is_some_and(|method| whole || method.is_known())
        && uri.is_some_and(|uri| !uri.is_empty())
        && version == Some(b"SIP/2.0")
        && words.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &[u8] = b"OPTIONS sip:a@example.com SIP/2.0\r\nContent-Length: 0\r\n\r\n";

    #[test]
    fn what_cannot_be_cut_is_given_as_it_came() {
        let mut cutter = Cutter::new();
        cutter.push(b"\r\n\r\n");
        cutter.push(FIRST);
        assert_eq!((cutter.next(), cutter.next()), (Some(Cut::Crlf), Some(Cut::Crlf)));
        assert_eq!(cutter.next(), Some(Cut::Message(Bytes::from_static(FIRST))));
        assert_eq!(cutter.next(), None);
        let (half, other) = FIRST.split_at(11);
        cutter.push(half);
        assert_eq!(cutter.next(), None);
        assert_eq!(cutter.take_rest(), half);
        cutter.push(other);
        assert!(matches!(cutter.next(), Some(Cut::Lost(FrameErrorKind::NotSip, bytes)) if bytes == other));
        // Anew.
        cutter.push(FIRST);
        assert_eq!(cutter.next(), Some(Cut::Message(Bytes::from_static(FIRST))));
    }

    #[test]
    fn the_first_line_of_a_message_is_found_in_pieces_of_any_size() {
        let before: &[u8] = b"ITE sip:a@example.com SIP/2.0\r\nVia: x\r\n\r\nv=0\r\n";
        let stream = [before, FIRST].concat();
        for size in 1..stream.len() {
            let mut seeker = Seeker::default();
            let mut found = Vec::new();
            for piece in stream.chunks(size) {
                if found.is_empty() {
                    found.extend(seeker.push(piece).into_iter().flatten());
                } else {
                    found.extend_from_slice(piece);
                }
            }
            assert_eq!(found, FIRST, "{size}");
        }
    }

    #[test]
    fn a_first_line_is_a_request_line_or_a_status_line() {
        for (line, whole, wanted) in [
            ("INVITE sip:a@example.com SIP/2.0\r", false, true),
            ("FOO sip:a@example.com SIP/2.0\r", true, true),
            // The end of INVITE, where nobody knows what stood before it.
            ("VITE sip:a@example.com SIP/2.0\r", false, false),
            ("SIP/2.0 200 OK\r", false, true),
            ("SIP/2.0 20 OK\r", true, false),
            ("GET / HTTP/1.1\r", true, false),
            ("INVITE sip:a@example.com SIP/2.0", true, false),
            ("INVITE  SIP/2.0\r", true, false),
            ("", true, false),
        ] {
            assert_eq!(is_first_line(line.as_bytes(), whole), wanted, "{line:?}");
        }
    }
}
