//! Connections between those who talk, and what is on its way over them.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use sansip::wire::{Message, MessageLimits, StatusCode};
use sansip::{CloseReason, ConnId};

/// What is on its way to an end of a connection.
#[derive(Clone, Debug)]
pub(super) enum Packet {
    /// A message, by whom, and what it is in short.
    Bytes(Bytes, usize, Arc<str>),
    Closed(CloseReason),
}

impl Packet {
    pub(super) fn new(bytes: Bytes, by: usize) -> Self {
        let words = summary(&bytes).into();
        Self::Bytes(bytes, by, words)
    }

    pub(super) fn is_bye(&self) -> bool {
        matches!(self, Self::Bytes(_, _, words) if words.starts_with("BYE "))
    }

    /// In short, without what names it, and without what was drawn.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Bytes(_, _, words) => words.to_string(),
            Self::Closed(reason) => format!("{reason:?}"),
        }
    }
}

/// One end of a connection.
#[derive(Clone, Debug)]
pub(super) struct End {
    /// Whose it is: a party's, or the proxy's, which takes at once what comes.
    pub(super) at: usize,
    /// What its stack calls it.
    pub(super) conn: Option<ConnId>,
    /// Whether its stack still has it.
    pub(super) open: bool,
    /// Whether its stack reads from it.
    pub(super) reading: bool,
    /// What is on its way to it.
    pub(super) pipe: VecDeque<Packet>,
    /// A BYE of its stack was lost, as it is going to hear.
    pub(super) bye: bool,
    /// A timer of its stack has fired while a BYE was on its way: it may have given up.
    pub(super) late: bool,
}

impl End {
    pub(super) const fn new(at: usize, conn: Option<ConnId>) -> Self {
        Self {
            at,
            conn,
            open: true,
            reading: true,
            pipe: VecDeque::new(),
            bye: false,
            late: false,
        }
    }

    /// Whose BYEs are on their way to it.
    pub(super) fn byes(&self) -> impl Iterator<Item = usize> {
        self.pipe.iter().filter_map(|packet| match packet {
            Packet::Bytes(_, by, _) if packet.is_bye() => Some(*by),
            Packet::Bytes(..) | Packet::Closed(_) => None,
        })
    }
}

/// A connection; the end of the lower number is first.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) ends: [End; 2],
    /// Whether it carries anything.
    pub(super) whole: bool,
}

impl Line {
    pub(super) fn is_between(&self, one: usize, other: usize) -> bool {
        self.ends.iter().all(|end| end.at == one || end.at == other)
    }

    /// What is on its way is lost, and the news of it is instead; whether a BYE is lost that nobody repeats.
    pub(super) fn reset(&mut self) -> bool {
        self.whole = false;
        let [one, other] = &mut self.ends;
        let has_bye = |end: &End| end.pipe.iter().any(Packet::is_bye);
        let byes = (has_bye(other), has_bye(one));
        one.bye |= byes.0;
        other.bye |= byes.1;
        let nobody = |end: &End| end.conn.is_none() || end.late;
        let lost = self.ends.iter().any(|end| end.bye && nobody(end));
        for end in self.ends.iter_mut().filter(|end| end.open) {
            end.open = end.conn.is_some();
            end.pipe = VecDeque::from([Packet::Closed(CloseReason::Reset)]);
        }
        lost
    }

    /// The end there, and the other one.
    pub(super) fn ends_at(&mut self, at: usize) -> Option<(&mut End, &mut End)> {
        let [one, other] = &mut self.ends;
        if one.at == at {
            Some((one, other))
        } else {
            (other.at == at).then_some((other, one))
        }
    }
}

fn summary(bytes: &Bytes) -> String {
    let Ok(message) = Message::parse(bytes.clone(), &MessageLimits::default()) else {
        return format!("{bytes:?}");
    };
    let what = match (message.method(), message.status()) {
        (Some(method), _) => method.to_string(),
        (None, status) => status.map_or(0, StatusCode::code).to_string(),
    };
    let cseq = message.cseq().map_or(0, |cseq| cseq.number);
    let tagged = message.to().is_ok_and(|to| to.tag().is_some());
    let state = message.raw_by_name("Subscription-State").next();
    let state = state.map(String::from_utf8_lossy).unwrap_or_default();
    let body = message.body_bytes().len();
    format!("{what} (CSeq {cseq}, to a dialog: {tagged}, {body} bytes {state})")
}
