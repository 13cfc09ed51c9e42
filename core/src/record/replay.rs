//! Makes the recorded calls again and compares what comes of them.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use super::context::Recorded;
use super::reader::{Entry, Reader};
use crate::action::Action;
use crate::error::Misuse;
use crate::ids::{ConnId, HandshakeId};
use crate::security::{Credentials, Secret};
use crate::stack::recorder::{Header, Input};
use crate::stack::{Reason, Stack};
use crate::time::{Time, UnixTime};

/// A recording that is being replayed.
///
/// Recordings may come from anybody: whatever is in one, nothing here panics.
pub struct Replay {
    reader: Reader,
    header: Header,
    /// How far the recording can be trusted.
    end: usize,
    is_complete: bool,
    stack: Stack,
    inputs: u64,
    /// What the security contexts answer.
    answers: BTreeMap<HandshakeId, Recorded>,
    /// What [`Replay::with_secret`] is asked about, in the order of the endpoints.
    accounts: VecDeque<Account>,
    /// The first endpoint that was made without its password.
    without_secret: Option<String>,
    failed: Option<ReplayError>,
}

struct Account {
    uri: String,
    credentials: Credentials,
    is_given: bool,
}

/// One input of a recording, and what came of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Step {
    /// When it was.
    pub now: Time,
    /// The call.
    pub input: Input,
    /// Whether it was refused.
    pub refused: Option<Misuse>,
    /// The actions that were polled, for [`Input::Polled`].
    pub actions: Vec<Action>,
    /// The bytes that a connection took, for [`Input::Transmitted`], as they were queued: above TLS, in any pieces.
    pub sent: Vec<(ConnId, Bytes)>,
}

/// Why a recording cannot be replayed, or not further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// It does not begin like one.
    #[error("this is no recording")]
    NotARecording,
    /// Another version of this crate wrote it.
    #[error("the recording has format {0}, which this version cannot read")]
    UnknownFormat(u8),
    /// It ends before anything in it can be replayed.
    #[error("the recording ends too early, at byte {at}")]
    Truncated {
        /// The length.
        at: usize,
    },
    /// It is not as it was written.
    #[error("the recording is damaged at byte {at}: {what}")]
    Corrupt {
        /// Where that was found: the damage may lie before it.
        at: usize,
        /// What is wrong, for people.
        what: &'static str,
    },
    /// The stack did something else.
    #[error("{0}")]
    Diverged(Box<Divergence>),
}

/// Where a replay did something else than what was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Divergence {
    /// The number of the input at which it showed, the first is 1. Whatever led to it may have come before.
    pub input: u64,
    /// When that was.
    pub now: Time,
    /// What differed.
    pub what: Difference,
    /// The URI of an endpoint that has credentials whose password was not given: that may be the reason.
    pub without_secret: Option<String>,
    /// The version of this crate that made the recording, where it is another one: that may be the reason.
    pub version: Option<String>,
}

/// What differed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The actions that were polled.
    Actions,
    /// There were fewer actions to poll.
    FewerActions,
    /// The bytes that a connection took.
    Sent(ConnId),
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at input {}, time {}: ", self.input, self.now)?;
        match self.what {
            Difference::Actions => f.write_str("other actions than recorded")?,
            Difference::FewerActions => f.write_str("fewer actions than recorded")?,
            Difference::Sent(conn) => write!(f, "other bytes sent on {conn} than recorded")?,
        }
        if let Some(uri) = &self.without_secret {
            write!(
                f,
                "; a secret may be missing: the password of {uri} was not given"
            )?;
        }
        if let Some(version) = &self.version {
            write!(f, "; it was recorded with version {version}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("inputs", &self.inputs)
            .field("is_complete", &self.is_complete)
            .field("stack", &self.stack)
            .finish_non_exhaustive()
    }
}

impl Replay {
    /// Reads a recording through and makes its stack.
    ///
    /// A recording that breaks off, as that of a process that was killed, is replayed as far as it goes.
    ///
    /// # Errors
    /// All but [`ReplayError::Diverged`].
    pub fn open(recording: impl Into<Bytes>) -> Result<Self, ReplayError> {
        let (mut reader, header) = Reader::open(recording.into())?;
        let (begin, mut end) = (reader.clone(), None);
        let mut accounts = VecDeque::new();
        let mut answers = BTreeMap::<HandshakeId, Recorded>::new();
        let is_complete = loop {
            match reader.next()? {
                Entry::Input { input, check, .. } => {
                    if check.is_some() {
                        end = Some(reader.at());
                    }
                    if let Input::Answered { handshake, answer } = input {
                        answers.entry(handshake).or_default().0.push_back(answer);
                    } else if let Input::AddSipEndpoint { config } = input {
                        accounts.extend(config.credentials.into_iter().map(|credentials| Account {
                            uri: config.uri.clone(),
                            credentials,
                            is_given: false,
                        }));
                    }
                }
                Entry::End => break false,
                // What stands after the last check may be anything.
                Entry::Nothing { is_torn } => break !is_torn && end == Some(reader.at()),
            }
        };
        Ok(Self {
            end: end.ok_or_else(|| ReplayError::Truncated { at: reader.at() })?,
            reader: begin,
            stack: header.stack(),
            header,
            is_complete,
            inputs: 0,
            answers,
            accounts,
            without_secret: None,
            failed: None,
        })
    }

    /// Gives passwords again. It is asked for each credentials of each endpoint, by the endpoint's URI; the password in them
    /// is empty. Without one the replay goes on, and diverges where it is needed.
    #[must_use]
    pub fn with_secret(mut self, mut secret: impl FnMut(&str, &Credentials) -> Option<Secret>) -> Self {
        for account in self.accounts.iter_mut().filter(|account| !account.is_given) {
            if let Some(password) = secret(&account.uri, &account.credentials) {
                account.credentials.password = password;
                account.is_given = true;
            }
        }
        self
    }

    /// Makes the next call; `None` at the end of the recording.
    ///
    /// # Errors
    /// [`ReplayError::Diverged`], from then on every time.
    pub fn step(&mut self) -> Result<Option<Step>, ReplayError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let step = self.try_step();
        self.failed = step.as_ref().err().cloned();
        step
    }

    fn try_step(&mut self) -> Result<Option<Step>, ReplayError> {
        let (now, mut input, check) = loop {
            if self.reader.at() >= self.end {
                return Ok(None);
            }
            match self.reader.next()? {
                // A mere check: what was recorded until here had been taken. What contexts have answered is known.
                Entry::Input {
                    input: Input::Polled { times: 0 } | Input::Answered { .. },
                    ..
                } => {}
                Entry::Input { now, input, check } => break (now, input, check),
                Entry::End | Entry::Nothing { .. } => return Ok(None),
            }
        };
        self.inputs += 1;
        self.give_secrets(&mut input);
        self.give_context(&mut input);
        let mut step = Step {
            now,
            refused: None,
            actions: Vec::new(),
            sent: self.send(&input),
            input: input.clone(),
        };
        step.refused = self.stack.apply(now, input).err();
        self.poll(&mut step)?;
        if check.is_some_and(|check| check != self.reader.output.value()) {
            let what = if let Input::Transmitted { conn, .. } = step.input {
                Difference::Sent(conn)
            } else {
                Difference::Actions
            };
            return Err(self.diverged(now, what));
        }
        Ok(Some(step))
    }

    /// What a connection is about to take.
    fn send(&mut self, input: &Input) -> Vec<(ConnId, Bytes)> {
        let Input::Transmitted { conn, .. } = *input else {
            return Vec::new();
        };
        let sent = self.stack.sent_by(input);
        sent.iter().for_each(|bytes| self.reader.output.feed(bytes));
        sent.into_iter().map(|bytes| (conn, bytes)).collect()
    }

    fn poll(&mut self, step: &mut Step) -> Result<(), ReplayError> {
        let Input::Polled { times } = step.input else {
            return Ok(());
        };
        for _ in 0..times {
            if !matches!(self.stack.poll_timeout(), Some((_, Reason::Drain))) {
                return Err(self.diverged(step.now, Difference::FewerActions));
            }
            let action = self.stack.poll_action();
            self.reader.output.action(action.as_ref());
            step.actions.extend(action);
        }
        Ok(())
    }

    fn give_secrets(&mut self, input: &mut Input) {
        if let Input::AddSipEndpoint { config } = input {
            for credentials in &mut config.credentials {
                // Each was put there when the recording was read.
                let Some(account) = self.accounts.pop_front() else {
                    break;
                };
                if !account.is_given && self.without_secret.is_none() {
                    self.without_secret = Some(account.uri);
                }
                credentials.password = account.credentials.password;
            }
        }
    }

    fn give_context(&mut self, input: &mut Input) {
        if let Input::Authenticated {
            handshake,
            result: Ok(context),
            ..
        } = input
        {
            let answers = self.answers.remove(handshake).unwrap_or_default();
            context.security = Box::new(answers);
        }
    }

    fn diverged(&self, now: Time, what: Difference) -> ReplayError {
        let version = &self.header.version;
        ReplayError::Diverged(Box::new(Divergence {
            input: self.inputs,
            now,
            what,
            without_secret: self.without_secret.clone(),
            version: (version != env!("CARGO_PKG_VERSION")).then(|| version.clone()),
        }))
    }

    /// The stack, as it is after the last step.
    pub const fn stack(&self) -> &Stack {
        &self.stack
    }

    /// Whether the recording says all: no limit ended it, and it does not break off in the middle of something.
    pub const fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// The version of this crate that made the recording.
    pub fn version(&self) -> &str {
        &self.header.version
    }

    /// When the recording begins, on the embedder's two clocks.
    pub const fn start(&self) -> (Time, UnixTime) {
        (Time::from_micros(self.header.now), self.header.unix)
    }
}
