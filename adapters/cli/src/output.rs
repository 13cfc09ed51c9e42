//! What a command prints: one line for each event, readable or JSON, each with its time.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::time::Instant;

use serde_json::Value;

/// The fields of a JSON line, in the order in which they are printed.
pub(crate) type Fields = Vec<(&'static str, Value)>;

/// Where events go. Copies write to the same place and count time from the same instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
    start: Instant,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self {
            json,
            start: Instant::now(),
        }
    }

    pub(crate) const fn is_json(self) -> bool {
        self.json
    }

    /// One event: its words where people read, its name and fields where programs do.
    pub(crate) fn event(self, name: &str, words: impl Display, fields: Fields) {
        self.event_at(self.time(), name, words, fields);
    }

    /// An event of another time, in seconds.
    pub(crate) fn event_at(self, time: f64, name: &str, words: impl Display, fields: Fields) {
        let time = to_millis(time);
        if self.json {
            let mut all = vec![("time", Value::from(time)), ("event", Value::from(name))];
            all.extend(fields);
            print_line(&object(&all));
        } else {
            print_line(&format!("{time:8.3}  {}", one_line(&words.to_string())));
        }
    }

    /// A line of a drawing, for people only, at a time in seconds.
    pub(crate) fn drawing(self, time: f64, words: impl Display) {
        if !self.json {
            print_line(&format!("{time:8.3}  {words}"));
        }
    }

    /// Text beside the events, for people only.
    pub(crate) fn heading(self, words: impl Display) {
        if !self.json {
            print_line(&words.to_string());
        }
    }

    /// Seconds since the command began.
    pub(crate) fn time(self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }
}

fn to_millis(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// A JSON object with its fields in this order.
pub(crate) fn object(fields: &[(&str, Value)]) -> String {
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{}:{value}", Value::from(*name)))
        .collect();
    format!("{{{}}}", fields.join(","))
}

/// Why something could not be printed, the first time.
static UNPRINTED: OnceLock<io::Error> = OnceLock::new();

/// Writes a line at once.
pub(crate) fn print_line(line: &str) {
    print(format!("{line}\n").as_bytes());
}

/// Writes at once. What the command does goes on in any case: [`unprinted`] knows of it at the end.
pub(crate) fn print(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        // Whoever reads may have gone away (`| head`), and has what they wanted.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => drop(UNPRINTED.set(error)),
        _ => {}
    }
}

/// Why not everything could be printed, where somebody still reads.
pub(crate) fn unprinted() -> Option<&'static io::Error> {
    UNPRINTED.get()
}

/// What a peer wrote, fit for a terminal: control characters are shown, not obeyed.
pub(crate) fn one_line(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect()
            } else {
                vec![c]
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_and_are_escaped() {
        let line = object(&[
            ("time", Value::from(0.25)),
            ("b\"", Value::from("x\ny")),
            ("a", Value::Null),
        ]);
        assert_eq!(line, r#"{"time":0.25,"b\"":"x\ny","a":null}"#);
        assert!(serde_json::from_str::<Value>(&line).is_ok());
    }

    #[test]
    fn the_text_of_a_peer_cannot_command_the_terminal() {
        assert_eq!(one_line("a\x1b[2Jb\r\nc\u{e9}"), "a\\u{1b}[2Jb\\r\\nc\u{e9}");
    }
}
