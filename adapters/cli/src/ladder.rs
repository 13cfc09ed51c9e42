//! A ladder of SIP messages: one column for each party, one arrow for each message, with its time.

use std::collections::BTreeMap;
use std::time::Duration;

use sansip::wire::Message;
use serde_json::json;

use crate::output::{Fields, Output, one_line};

/// How wide the time before a line of the drawing is.
const MARGIN: usize = 10;
/// Where the first column stands on a line of the drawing.
const INDENT: usize = 4;
/// How many columns a drawing has at most. More parties, or names that do not fit between two columns, get a line of words
/// for each message instead.
const COLUMNS: usize = 6;
/// What an arrow needs for its point and for the dashes around the words.
const EDGES: usize = 6;

/// The parties, and how they are drawn.
pub(crate) struct Ladder {
    out: Output,
    names: Vec<String>,
    /// The width between two columns; `None` where there are no columns.
    gap: Option<usize>,
}

/// Messages and remarks that are told once all of them are known.
#[derive(Default)]
pub(crate) struct Story {
    parties: Vec<String>,
    /// Where each stands among them; a capture may have very many.
    numbers: BTreeMap<String, usize>,
    /// With their time since 1970.
    lines: Vec<(Duration, Line)>,
    messages: usize,
}

enum Line {
    Message {
        from: usize,
        to: usize,
        label: Label,
        more: Fields,
    },
    Remark {
        name: &'static str,
        words: String,
        fields: Fields,
    },
}

/// The words of a message's arrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    Request(String),
    Response {
        code: u16,
        reason: String,
        /// What it answers, by its CSeq.
        method: String,
    },
}

impl Ladder {
    pub(crate) fn new(out: Output, names: Vec<String>) -> Self {
        let gap = if names.len() <= 3 { 30 } else { 20 };
        let fits = names.len() <= COLUMNS && names.iter().all(|name| name.chars().count() < gap);
        Self {
            out,
            names,
            gap: fits.then_some(gap),
        }
    }

    /// The names over their columns.
    pub(crate) fn head(&self, time: f64) {
        let Some(gap) = self.gap else { return };
        let mut names = String::new();
        for (number, name) in self.names.iter().enumerate() {
            let middle = MARGIN + INDENT + number * (gap + 1);
            let start = middle - name.chars().count().saturating_sub(1) / 2;
            let blank = start.saturating_sub(names.chars().count());
            names.push_str(&" ".repeat(blank));
            names.push_str(name);
        }
        self.out.heading(names);
        self.out.drawing(time, self.row(gap, None));
    }

    /// The arrow of one message, from one party to another, by their numbers. `more` are fields for programs.
    pub(crate) fn arrow(&self, time: f64, from: usize, to: usize, label: &Label, more: Fields) {
        let name = |party: usize| self.names.get(party).map_or("?", String::as_str);
        if self.out.is_json() || self.gap.is_none() {
            let words = format!("{} > {}: {}", name(from), name(to), label.full());
            let mut fields = vec![
                ("from", json!(name(from))),
                ("to", json!(name(to))),
                ("message", json!(label.full())),
            ];
            fields.extend(more);
            self.out.event_at(time, "message", words, fields);
        } else if let Some(gap) = self.gap {
            self.out.drawing(time, self.row(gap, Some((from, to, label))));
        }
    }

    /// The bars of the columns, with an arrow over them.
    fn row(&self, gap: usize, arrow: Option<(usize, usize, &Label)>) -> String {
        let (left, right) = arrow.map_or((0, 0), |(from, to, _)| (from.min(to), from.max(to)));
        let mut row = " ".repeat(INDENT);
        for column in 0..self.names.len() {
            match arrow {
                // Who writes to itself has no room for an arrow.
                Some((from, to, label)) if from == to && column == from => {
                    let words = label.fit(gap.saturating_sub(2));
                    row.push_str(&format!("| {words:<width$}", width = gap - 1));
                }
                Some((from, to, label)) if column == left => {
                    let width = (right - left) * (gap + 1) - 1;
                    row.push('|');
                    row.push_str(&line(&label.fit(width - EDGES), width, from < to));
                }
                _ if (left + 1..right).contains(&column) => {}
                _ => row.push_str(&format!("|{:gap$}", "")),
            }
        }
        row.truncate(row.trim_end().len());
        row
    }
}

/// An arrow of this width.
fn line(words: &str, width: usize, rightwards: bool) -> String {
    let dashes = format!("{:-^width$}", format!(" {words} "), width = width - 1);
    if rightwards {
        format!("{dashes}>")
    } else {
        format!("<{dashes}")
    }
}

impl Story {
    /// A message passed. Parties stand in the order in which they come.
    pub(crate) fn message(
        &mut self,
        at: Duration,
        [from, to]: [String; 2],
        message: &Message,
        mut more: Fields,
    ) {
        let (from, to) = (self.party(from), self.party(to));
        more.push(("call_id", json!(message.call_id().ok())));
        let label = Label::of(message);
        let line = Line::Message {
            from,
            to,
            label,
            more,
        };
        self.lines.push((at, line));
        self.messages += 1;
    }

    /// Something besides the messages is to be said.
    pub(crate) fn remark(&mut self, at: Duration, name: &'static str, words: String, fields: Fields) {
        self.lines.push((at, Line::Remark { name, words, fields }));
    }

    pub(crate) const fn messages(&self) -> usize {
        self.messages
    }

    /// Draws it all, in the order of time, which begins at `start`.
    pub(crate) fn tell(mut self, out: Output, start: Duration) {
        self.lines.sort_by_key(|(at, _)| *at);
        let ladder = Ladder::new(out, self.parties);
        if self.messages > 0 {
            ladder.head(0.0);
        }
        for (at, line) in self.lines {
            let time = at.saturating_sub(start).as_secs_f64();
            match line {
                Line::Message {
                    from,
                    to,
                    label,
                    more,
                } => ladder.arrow(time, from, to, &label, more),
                Line::Remark { name, words, fields } => out.event_at(time, name, words, fields),
            }
        }
    }

    /// The lines in the order of time, as words.
    #[cfg(test)]
    pub(crate) fn lines(mut self) -> Vec<String> {
        self.lines.sort_by_key(|(at, _)| *at);
        let name = |party: &usize| self.parties[*party].as_str();
        let words = self.lines.iter().map(|(_, line)| match line {
            Line::Message { from, to, label, .. } => {
                format!("{} > {}: {}", name(from), name(to), label.full())
            }
            Line::Remark { name, words, .. } => format!("{name}: {words}"),
        });
        words.collect()
    }

    fn party(&mut self, name: String) -> usize {
        let next = self.parties.len();
        *self.numbers.entry(name).or_insert_with_key(|name| {
            self.parties.push(name.clone());
            next
        })
    }
}

impl Label {
    pub(crate) fn of(message: &Message) -> Self {
        let method = |method: Option<&sansip::wire::Method>| {
            method.map_or_else(String::new, |method| method.as_str().to_owned())
        };
        match message.status() {
            None => Self::Request(method(message.method())),
            Some(status) => Self::Response {
                code: status.code(),
                reason: one_line(&String::from_utf8_lossy(message.reason())),
                method: method(message.cseq().ok().as_ref().map(|cseq| &cseq.method)),
            },
        }
    }

    /// `INVITE`, `200 OK (INVITE)`.
    pub(crate) fn full(&self) -> String {
        match self {
            Self::Request(method) => method.clone(),
            Self::Response { code, reason, method } => format!("{code} {reason} ({method})"),
        }
    }

    /// As much of that as there is room for.
    fn fit(&self, room: usize) -> String {
        let full = self.full();
        let shorter = match self {
            Self::Request(_) => None,
            Self::Response { code, reason, method } => {
                Some([format!("{code} {reason}"), format!("{code} ({method})")])
            }
        };
        let mut words = [full].into_iter().chain(shorter.into_iter().flatten());
        let fits = |words: &String| words.chars().count() <= room;
        let last = words.clone().last().unwrap_or_default();
        words
            .find(fits)
            .unwrap_or_else(|| last.chars().take(room).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(start: &str) -> Label {
        let text = format!("{start}\r\nCSeq: 1 MESSAGE\r\n\r\n");
        Label::of(&Message::parse(text.into(), &sansip::wire::MessageLimits::default()).unwrap())
    }

    fn ladder(parties: usize) -> Ladder {
        let names = (0..parties).map(|number| format!("party{number}")).collect();
        Ladder::new(Output::new(false), names)
    }

    #[test]
    fn a_label_leaves_out_what_it_has_no_room_for() {
        for (start, wanted) in [
            ("MESSAGE sip:b@example.com SIP/2.0", "MESSAGE"),
            ("SIP/2.0 200 OK", "200 OK (MESSAGE)"),
            ("SIP/2.0 481 Call Does Not Exist", "481 Call Does Not Exist"),
            ("SIP/2.0 407 Proxy Authentication Required", "407 (MESSAGE)"),
        ] {
            assert_eq!(label(start).fit(24), wanted);
        }
        assert_eq!(label("SIP/2.0 200 OK").fit(5), "200 (");
    }

    #[test]
    fn an_arrow_goes_from_one_column_to_another_over_those_between() {
        let (ladder, label) = (ladder(4), label("SIP/2.0 200 OK"));
        let bars: Vec<usize> = (0..4).map(|column| INDENT + column * 21).collect();
        for (from, to) in [(0, 1), (1, 0), (0, 3), (3, 1), (2, 3)] {
            let row = ladder.row(20, Some((from, to, &label)));
            let at = |column: usize| row.as_bytes()[bars[column]] as char;
            let (left, right) = (from.min(to), from.max(to));
            for column in 0..4 {
                let is_bar = column <= left || column >= right;
                assert_eq!(at(column) == '|', is_bar, "{row}");
            }
            let (first, last) = (bars[left] + 1, bars[right] - 1);
            let point = if from < to { last } else { first };
            assert_eq!(row.find(if from < to { '>' } else { '<' }), Some(point), "{row}");
            assert_eq!(row.len(), bars[3] + 1, "{row}");
            assert!(row.contains("200 OK"), "{row}");
        }
        assert_eq!(ladder.row(20, None).matches('|').count(), 4);
        let own = ladder.row(20, Some((1, 1, &label)));
        assert!(own.contains("| 200 OK"), "{own}");
        assert_eq!(own.len(), bars[3] + 1, "{own}");
    }

    #[test]
    fn many_parties_or_long_names_have_no_columns() {
        assert_eq!(ladder(3).gap, Some(30));
        assert_eq!(ladder(COLUMNS).gap, Some(20));
        assert_eq!(ladder(COLUMNS + 1).gap, None);
        let named =
            |length: usize| Ladder::new(Output::new(false), vec!["x".repeat(length), "y".to_owned()]).gap;
        assert_eq!((named(29), named(30)), (Some(30), None));
    }
}
