//! What happened in a world, line by line, for people after a failure and for comparing two runs.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{Hash, Hasher};

use bytes::Bytes;
use sansip::Time;
use siphasher::sip::SipHasher13;

use super::Host;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub at: Time,
    /// To whom or by whom; nobody is the world itself.
    pub who: Option<Host>,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Text(String),
    /// Bytes that were sent to somebody.
    Bytes(Host, Bytes),
}

impl Line {
    /// What happened, as text that loses nothing.
    pub fn what(&self) -> String {
        match &self.what {
            What::Text(text) => text.clone(),
            What::Bytes(to, bytes) => format!("sends to {to}: {}", bytes.escape_ascii()),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = self
            .who
            .map_or_else(|| String::from("world"), |who| who.to_string());
        write!(f, "{} {who:<8} {}", self.at, self.what())
    }
}

/// Everything that happened, oldest first: each action of each stack, each output of each front end, and all bytes on
/// the links.
///
/// One that is [`brief`](Self::brief) keeps the last lines, and of all others a digest.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    lines: VecDeque<Line>,
    /// How many lines are kept; all, where nothing is said.
    kept: Option<usize>,
    /// What has become of those that are not.
    gone: SipHasher13,
    /// How many those are.
    dropped: u64,
}

/// How many lines of a trace are shown after a failure.
const SHOWN: usize = 80;

impl Trace {
    /// A trace of bounded size, for a world that lives long.
    pub fn brief() -> Self {
        Self {
            kept: Some(SHOWN),
            ..Self::default()
        }
    }

    pub(super) fn push(&mut self, at: Time, who: Option<Host>, what: impl Into<String>) {
        let what = What::Text(what.into());
        self.add(Line { at, who, what });
    }

    /// Bytes are written out only when somebody wants to read them.
    pub(super) fn push_bytes(&mut self, at: Time, who: Host, to: Host, bytes: Bytes) {
        let (who, what) = (Some(who), What::Bytes(to, bytes));
        self.add(Line { at, who, what });
    }

    fn add(&mut self, line: Line) {
        self.lines.push_back(line);
        while self.kept.is_some_and(|kept| self.lines.len() > kept)
            && let Some(line) = self.lines.pop_front()
        {
            self.dropped += 1;
            digest(&mut self.gone, &line);
        }
    }

    /// The lines that are kept.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &Line> + ExactSizeIterator {
        self.lines.iter()
    }

    /// One number for everything that happened so far.
    pub fn digest(&self) -> u64 {
        let mut all = self.gone;
        self.lines.iter().for_each(|line| digest(&mut all, line));
        all.finish()
    }

    /// The last lines, for a failure.
    pub fn tail(&self) -> String {
        let skipped = self.lines.len().saturating_sub(SHOWN);
        let before = self.dropped + u64::try_from(skipped).unwrap_or(u64::MAX);
        let mut text = String::new();
        if before > 0 {
            text.push_str(&format!("  ({before} lines before)\n"));
        }
        for line in self.lines.iter().skip(skipped) {
            text.push_str(&format!("  {line}\n"));
        }
        text
    }

    /// The first line in which two traces differ, of each; where they differ in what neither has kept, no line.
    pub fn difference(&self, other: &Self) -> Option<(Option<Line>, Option<Line>)> {
        if self.digest() == other.digest() && self.lines == other.lines {
            return None;
        }
        let longest = self.lines.len().max(other.lines.len());
        let first = (0..longest)
            .map(|at| (self.lines.get(at), other.lines.get(at)))
            .find(|(a, b)| a != b);
        Some(first.map_or((None, None), |(a, b)| (a.cloned(), b.cloned())))
    }
}

/// Two traces of the same lines are the same, however much of them is kept.
impl PartialEq for Trace {
    fn eq(&self, other: &Self) -> bool {
        self.difference(other).is_none()
    }
}

impl Eq for Trace {}

fn digest(hasher: &mut SipHasher13, line: &Line) {
    hasher.write_u64(line.at.as_micros());
    line.who.hash(hasher);
    match &line.what {
        What::Text(text) => hasher.write(text.as_bytes()),
        What::Bytes(to, bytes) => {
            to.hash(hasher);
            hasher.write(bytes);
        }
    }
    hasher.write_u8(0xff);
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_found_in_lines_and_in_length() {
        let mut a = Trace::default();
        a.push(Time::ZERO, None, "one");
        let mut b = a.clone();
        assert_eq!(a.difference(&b), None);
        b.push(Time::ZERO, None, "two");
        assert_eq!(a.difference(&b).unwrap().1.unwrap().what(), "two");
        a.push(Time::from_secs(1), None, "two");
        assert_eq!(a.difference(&b).unwrap().0.unwrap().at, Time::from_secs(1));
    }

    #[test]
    fn a_brief_trace_keeps_little_and_knows_all() {
        let told = |lines: u64, odd: u64| {
            let (mut brief, mut whole) = (Trace::brief(), Trace::default());
            for number in 0..lines {
                let what = if number == odd { "odd" } else { "even" };
                brief.push(Time::from_secs(number), None, what);
                whole.push(Time::from_secs(number), None, what);
            }
            assert_eq!(brief.digest(), whole.digest());
            brief
        };
        let brief = told(500, 3);
        assert_eq!(brief.lines().len(), SHOWN);
        assert!(brief.tail().starts_with("  (420 lines before)\n"));
        assert_eq!(brief.difference(&told(500, 3)), None);
        assert_eq!(brief.difference(&told(500, 4)), Some((None, None)));
        assert!(brief.difference(&told(500, 450)).unwrap().0.is_some());
    }
}
