//! What happened in a world, line by line, for people after a failure and for comparing two runs.

use std::fmt;

use sansip::Time;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub at: Time,
    /// To whom or by whom.
    pub who: String,
    /// What.
    pub what: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:<8} {}", self.at, self.who, self.what)
    }
}

/// Everything that happened, oldest first: each action of each stack, each output of each front end, and all bytes on
/// the links.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    lines: Vec<Line>,
}

/// How many lines of a trace are shown after a failure.
const SHOWN: usize = 80;

impl Trace {
    pub(super) fn push(&mut self, at: Time, who: impl fmt::Display, what: impl Into<String>) {
        self.lines.push(Line {
            at,
            who: who.to_string(),
            what: what.into(),
        });
    }

    /// The lines.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The last lines, for a failure.
    pub fn tail(&self) -> String {
        let skipped = self.lines.len().saturating_sub(SHOWN);
        let mut text = String::new();
        if skipped > 0 {
            text.push_str(&format!("  ({skipped} lines before)\n"));
        }
        for line in self.lines.iter().skip(skipped) {
            text.push_str(&format!("  {line}\n"));
        }
        text
    }

    /// The first line in which two traces differ, of each.
    pub fn difference(&self, other: &Self) -> Option<(Option<Line>, Option<Line>)> {
        let longest = self.lines.len().max(other.lines.len());
        (0..longest)
            .map(|at| (self.lines.get(at), other.lines.get(at)))
            .find(|(a, b)| a != b)
            .map(|(a, b)| (a.cloned(), b.cloned()))
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// Bytes as a line of text that loses nothing.
pub(super) fn readable(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_found_in_lines_and_in_length() {
        let mut a = Trace::default();
        a.push(Time::ZERO, "s1", "one");
        let mut b = a.clone();
        assert_eq!(a.difference(&b), None);
        b.push(Time::ZERO, "s1", "two");
        assert_eq!(a.difference(&b).unwrap().1.unwrap().what, "two");
        a.push(Time::from_secs(1), "s1", "two");
        assert_eq!(a.difference(&b).unwrap().0.unwrap().at, Time::from_secs(1));
    }
}
