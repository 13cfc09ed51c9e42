//! What a stack writes down of its input, and what came of it in short (rules X1, X8).
//!
//! The format, all in postcard's encoding:
//!
//! ```text
//!   recording = magic format-version header *entry [%x00]    ; %x00: the limit ended it
//!   entry     = time input [check]                           ; time: microseconds after the last entry, plus 1
//!   check     = output input-bytes                           ; after `Polled` and `Transmitted`, 4 octets each
//! ```
//!
//! `output` is a running digest of every action polled and of every byte sent; `input-bytes` one of the recording up to
//! here. What is taken ends in a check, so that all of it can be trusted.

mod codec;
mod digest;
mod input;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::Stack;
use crate::action::Action;
use crate::config::Config;
use crate::ids::HandshakeId;
use crate::security::ContextAnswer;
use crate::time::{Time, UnixTime};

pub(crate) use digest::Digest;
pub use input::Input;

/// What a recording begins with. It is no text, so that nobody takes it for a log.
pub(crate) const MAGIC: [u8; 8] = *b"\x89sansip\n";

/// Goes up with every change of the format, a field of a setting included.
pub(crate) const FORMAT: u8 = 4;

/// Octets that are kept free for the end: the last run of polls with its check, and the marker.
const END: usize = 10 + 1 + 5 + 8 + 1;

/// What a stack was made of.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Header {
    /// Of this crate: another one may well do something else.
    pub(crate) version: String,
    pub(crate) config: Config,
    pub(crate) seed: [u8; 32],
    pub(crate) now: u64,
    pub(crate) unix: UnixTime,
}

/// Writes a recording. While it has not ended, [`END`] octets of room are left.
#[derive(Clone)]
pub(super) struct Recorder {
    /// What has not been taken yet.
    buffer: Vec<u8>,
    /// How many octets may follow.
    room: usize,
    /// When the last entry was.
    last: Time,
    /// Polls that are not written yet, and when they were.
    polls: u32,
    polled: Time,
    output: Digest,
    written: Digest,
    /// Whether anything stands after the last check.
    is_open: bool,
    has_ended: bool,
}

impl Recorder {
    fn new(header: &Header, limit: usize) -> Self {
        let now = Time::from_micros(header.now);
        let mut recorder = Self {
            buffer: Vec::new(),
            room: limit,
            last: now,
            polls: 0,
            polled: now,
            output: Digest::default(),
            written: Digest::default(),
            is_open: false,
            // Where nothing that could be read fits, nothing is written.
            has_ended: true,
        };
        let begin = (MAGIC, FORMAT, header);
        if let Some(room) = limit.checked_sub(END)
            && recorder.put(&begin, room)
        {
            recorder.has_ended = false;
        }
        recorder
    }

    /// Writes a value, or says that it does not fit.
    fn put(&mut self, value: &impl serde::Serialize, room: usize) -> bool {
        let start = self.buffer.len();
        let fits = codec::write(value, &mut self.buffer, room);
        if fits {
            self.written.feed(self.buffer.get(start..).unwrap_or_default());
            self.room = self.room.saturating_sub(self.buffer.len() - start);
            self.is_open = true;
        } else {
            self.buffer.truncate(start);
        }
        fits
    }

    /// An entry without its check.
    fn entry(&mut self, now: Time, input: &Input, room: usize) -> bool {
        let after = now.as_micros().saturating_sub(self.last.as_micros());
        let fits = self.put(&(after.saturating_add(1), input), room);
        if fits {
            self.last = now;
        }
        fits
    }

    /// `sent` is what the socket took, where that is the input.
    fn input(&mut self, now: Time, input: &Input, sent: &[Bytes]) {
        self.write_polls();
        if self.has_ended {
            return;
        }
        let behind = END + if input.is_checked() { 2 * Digest::LENGTH } else { 0 };
        let fits = self
            .room
            .checked_sub(behind)
            .is_some_and(|room| self.entry(now, input, room));
        if !fits {
            return self.end();
        }
        sent.iter().for_each(|bytes| self.output.feed(bytes));
        if input.is_checked() {
            self.check();
        }
    }

    /// What security contexts have answered. A replay asks for it by the context, so that it may stand before the polls in
    /// which it was said.
    fn answers(&mut self, answers: Vec<(HandshakeId, ContextAnswer)>) {
        for (handshake, answer) in answers {
            let input = Input::Answered { handshake, answer };
            let room = self.room.checked_sub(END).filter(|_| !self.has_ended);
            if !room.is_some_and(|room| self.entry(self.last, &input, room)) {
                return self.end();
            }
        }
    }

    fn poll(&mut self, now: Time, action: Option<&Action>) {
        if self.polled != now || self.polls == u32::MAX {
            self.write_polls();
        }
        if !self.has_ended {
            self.polls += 1;
            self.polled = now;
            self.output.action(action);
        }
    }

    fn write_polls(&mut self) {
        let times = core::mem::take(&mut self.polls);
        if times > 0 {
            self.run(self.polled, times);
        }
    }

    /// A run of polls with its check. There is always room for one; where there is none for a second, it is the last.
    fn run(&mut self, now: Time, times: u32) {
        self.entry(now, &Input::Polled { times }, self.room);
        self.check();
        if self.room < END {
            self.end();
        }
    }

    fn check(&mut self) {
        self.put(&self.output.value(), self.room);
        self.put(&self.written.value(), self.room);
        self.is_open = false;
    }

    /// What is handed out ends in a check.
    fn close(&mut self) {
        self.write_polls();
        if self.is_open && !self.has_ended {
            self.run(self.last, 0);
        }
    }

    /// The limit is reached: what is written counts, nothing follows.
    fn end(&mut self) {
        self.close();
        if !self.has_ended {
            self.buffer.push(0);
            self.has_ended = true;
        }
    }
}

impl Stack {
    /// A stack whose whole input is recorded, from the first byte on: [`take_recording`](Self::take_recording). See
    /// [`record`](crate::record).
    ///
    /// `limit` bounds the recording as a whole, in bytes. Where the next input would exceed it the recording ends, with
    /// a marker that says so, and the stack goes on.
    pub fn recorded(config: Config, seed: [u8; 32], now: Time, unix: UnixTime, limit: usize) -> Self {
        let header = Header {
            version: String::from(env!("CARGO_PKG_VERSION")),
            config,
            seed,
            now: now.as_micros(),
            unix,
        };
        let recorder = Recorder::new(&header, limit);
        let mut stack = Self {
            recorder: Some(Box::new(recorder)),
            ..header.stack()
        };
        stack.out.keep_answers(true);
        stack
    }

    /// What has been recorded since the last call; all of it, in order, is the recording. It is empty where nothing has
    /// happened, and for a stack that is not recorded.
    pub fn take_recording(&mut self) -> Vec<u8> {
        let answers = self.out.take_answers();
        self.recorder.as_mut().map_or_else(Vec::new, |recorder| {
            recorder.answers(answers);
            recorder.close();
            core::mem::take(&mut recorder.buffer)
        })
    }

    /// Whether input is being recorded: no longer once the limit was reached.
    pub fn is_recording(&self) -> bool {
        self.recorder.as_ref().is_some_and(|recorder| !recorder.has_ended)
    }

    /// Stops recording; what has not been taken is dropped.
    pub fn stop_recording(&mut self) {
        self.recorder = None;
        self.out.keep_answers(false);
    }

    /// Writes down what is about to happen.
    pub(super) fn note(&mut self, now: Time, input: &Input) {
        let now = self.now.max(now);
        let sent = self.sent_by(input);
        let answers = self.out.take_answers();
        if let Some(recorder) = &mut self.recorder {
            recorder.answers(answers);
            recorder.input(now, input, &sent);
        }
    }

    /// Writes down that the embedder asked for an action, and what it was.
    pub(super) fn note_poll(&mut self, action: Option<&Action>) {
        let answers = self.out.take_answers();
        if let Some(recorder) = &mut self.recorder {
            recorder.answers(answers);
            recorder.poll(self.now, action);
        }
    }

    /// The bytes that this input says are sent.
    pub(crate) fn sent_by(&self, input: &Input) -> Vec<Bytes> {
        let mut sent = Vec::new();
        if let Input::Transmitted { conn, mut bytes } = *input {
            for slice in self.transmit(conn) {
                let taken = slice.slice(..bytes.min(slice.len()));
                bytes -= taken.len();
                if taken.is_empty() {
                    break;
                }
                sent.push(taken);
            }
        }
        sent
    }
}

impl Header {
    /// The stack at its beginning.
    pub(crate) fn stack(&self) -> Stack {
        let now = Time::from_micros(self.now);
        Stack::new(self.config.clone(), self.seed, now, self.unix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The public functions of these sources that take `&mut self`: name and body.
    fn commands(source: &str) -> Vec<(&str, &str)> {
        let functions = source.split("\n    pub fn ").skip(1);
        let named = functions.filter_map(|function| {
            let (name, rest) = function.split_once('(')?;
            let body = rest.split("\n    }\n").next()?;
            rest.trim_start().starts_with("&mut self").then_some((name, body))
        });
        named.collect()
    }

    // rules: X8
    #[test]
    fn every_public_call_that_can_change_a_stack_is_recorded() {
        // Opening a view only moves the time, which the next input says; polls are written in runs; and what an endpoint's
        // view hands on is written there.
        let apart = [
            "manager",
            "endpoint",
            "session",
            "subscription",
            "watcher",
            "publication",
            "incoming",
            "poll_action",
        ];
        let handed_on = "self.stack.terminate(self.stack.now, self.id)";
        let mut recorded = 0;
        let sources = [
            include_str!("../authorize.rs"),
            include_str!("../mod.rs"),
            include_str!("../drain.rs"),
            include_str!("../view/manager.rs"),
            include_str!("../view/endpoint.rs"),
            include_str!("../view/session.rs"),
            include_str!("../view/incoming.rs"),
            include_str!("../view/transfer.rs"),
            include_str!("../view/subscription.rs"),
            include_str!("../view/watcher.rs"),
            include_str!("../view/publication.rs"),
        ];
        for source in sources {
            for (name, body) in commands(source) {
                if body.contains("record!(") {
                    recorded += 1;
                } else {
                    assert!(
                        apart.contains(&name) || body.contains(handed_on),
                        "{name} is not recorded"
                    );
                }
            }
        }
        // As many as there are inputs, but for the polls.
        let inputs = include_str!("input.rs").matches("    /// [`").count();
        assert_eq!(recorded, inputs);
    }
}
