//! A ladder of SIP messages, drawn as they pass: one column for each party, one arrow for each message.

use std::collections::BTreeMap;

use sansip::wire::frame::{Frame, Framer};
use sansip::wire::{Message, MessageLimits};
use sansip_testkit::frontend::Conn;
use serde_json::json;

use crate::output::{Output, one_line};

/// The width between two columns.
const WIDTH: usize = 30;
/// What of it is for the words on an arrow.
const ROOM: usize = WIDTH - 6;

/// Draws what a server in the middle column sees: callers at the left, callees at the right.
pub(crate) struct Ladder {
    out: Output,
    /// The names of the three columns.
    names: [&'static str; 3],
    streams: BTreeMap<Conn, Streams>,
}

/// Both directions of one connection, and which party is at its other end.
struct Streams {
    party: Option<Side>,
    from: Framer,
    to: Framer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

impl Ladder {
    /// The outer names are user names: who registers first over a connection is at its end.
    pub(crate) const fn new(out: Output, names: [&'static str; 3]) -> Self {
        Self {
            out,
            names,
            streams: BTreeMap::new(),
        }
    }

    /// The names over their columns.
    pub(crate) fn head(&self) {
        let [left, middle, right] = self.names;
        let names = format!(
            "{:10}{left:^10}{:gap$}{middle:^10}{:gap$}{right:^10}",
            "",
            "",
            "",
            gap = WIDTH - 9
        );
        self.out.heading(names.trim_end());
        self.out.drawing(bars());
    }

    /// Bytes passed the server, `from` the other end of a connection or to it.
    pub(crate) fn pass(&mut self, conn: Conn, bytes: &[u8], from: bool) {
        let streams = self.streams.entry(conn).or_insert_with(Streams::new);
        let framer = if from { &mut streams.from } else { &mut streams.to };
        framer.push(bytes);
        let mut messages = Vec::new();
        while let Some(frame) = framer.next() {
            if let Frame::Message { bytes, .. } = frame
                && let Ok(message) = Message::parse(bytes, &MessageLimits::default())
            {
                messages.push(message);
            }
        }
        for message in messages {
            if streams.party.is_none() && from {
                streams.party = party(&message, self.names);
            }
            if let Some(side) = streams.party {
                draw(self.out, self.names, side, from, &message);
            }
        }
    }
}

impl Streams {
    fn new() -> Self {
        let framer = || Framer::new(MessageLimits::default());
        Self {
            party: None,
            from: framer(),
            to: framer(),
        }
    }
}

/// Whose connection it is, by the user in From of the first request.
fn party(message: &Message, [left, _, right]: [&str; 3]) -> Option<Side> {
    let from = message.from_().ok()?;
    let user = from.0.uri.as_sip()?.user_unescaped()?;
    if user == left {
        Some(Side::Left)
    } else if user == right {
        Some(Side::Right)
    } else {
        None
    }
}

fn draw(out: Output, names: [&str; 3], side: Side, from: bool, message: &Message) {
    let [left, middle, right] = names;
    let outer = match side {
        Side::Left => left,
        Side::Right => right,
    };
    let (sender, receiver) = if from { (outer, middle) } else { (middle, outer) };
    let label = label(message);
    if out.is_json() {
        let fields = vec![
            ("from", json!(sender)),
            ("to", json!(receiver)),
            ("message", json!(label)),
        ];
        out.event("message", "", fields);
        return;
    }
    let rightwards = (side == Side::Left) == from;
    let arrow = arrow(&label, rightwards);
    out.drawing(match side {
        Side::Left => format!("    |{arrow}|{:WIDTH$}|", ""),
        Side::Right => format!("    |{:WIDTH$}|{arrow}|", ""),
    });
}

fn bars() -> String {
    format!("    |{:WIDTH$}|{:WIDTH$}|", "", "")
}

fn arrow(label: &str, rightwards: bool) -> String {
    let label = format!(" {} ", label.chars().take(ROOM).collect::<String>());
    let line = format!("{label:-^width$}", width = WIDTH - 1);
    if rightwards {
        format!("{line}>")
    } else {
        format!("<{line}")
    }
}

/// `INVITE`; `200 OK (INVITE)`, or as much of that as there is room for.
fn label(message: &Message) -> String {
    let Some(status) = message.status() else {
        return message
            .method()
            .map_or_else(String::new, |method| method.as_str().to_owned());
    };
    let code = status.code();
    let reason = one_line(&String::from_utf8_lossy(message.reason()));
    let method = message
        .cseq()
        .map_or_else(|_| String::new(), |cseq| cseq.method.as_str().to_owned());
    let full = format!("{code} {reason} ({method})");
    [full, format!("{code} {reason}")]
        .into_iter()
        .find(|label| label.chars().count() <= ROOM)
        .unwrap_or_else(|| format!("{code} ({method})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_leaves_out_what_it_has_no_room_for() {
        for (start, label_wanted) in [
            ("MESSAGE sip:b@example.com SIP/2.0", "MESSAGE"),
            ("SIP/2.0 200 OK", "200 OK (MESSAGE)"),
            ("SIP/2.0 481 Call Does Not Exist", "481 Call Does Not Exist"),
            ("SIP/2.0 407 Proxy Authentication Required", "407 (MESSAGE)"),
        ] {
            let text = format!("{start}\r\nCSeq: 1 MESSAGE\r\n\r\n");
            let message = Message::parse(text.into(), &MessageLimits::default()).unwrap();
            assert_eq!(label(&message), label_wanted);
        }
    }

    #[test]
    fn an_arrow_fills_the_gap_between_two_columns_and_points() {
        for label in ["ACK", "407 Proxy Authentication Required (MESSAGE)"] {
            let (there, back) = (arrow(label, true), arrow(label, false));
            assert_eq!((there.len(), back.len()), (WIDTH, WIDTH));
            assert!(there.ends_with('>') && !there.contains('<'), "{there}");
            assert!(back.starts_with('<') && !back.contains('>'), "{back}");
        }
        assert!(arrow("ACK", true).contains("- ACK -"));
    }
}
