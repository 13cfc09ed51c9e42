//! Reads what the recorder wrote, or what somebody says that it wrote.

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::replay::ReplayError;
use crate::stack::recorder::{Digest, FORMAT, Header, Input, MAGIC};
use crate::time::Time;

/// The last instant before the end of all time, at which a timer that is set again would be due again, and again.
const LATEST: Time = Time::from_micros(u64::MAX - 1);

/// One entry of a recording.
pub(crate) enum Entry {
    Input {
        now: Time,
        input: Input,
        /// The digest of what came out until here, where one is written.
        check: Option<[u8; Digest::LENGTH]>,
    },
    /// The limit ended the recording.
    End,
    /// The recording stops here.
    Nothing {
        /// In the middle of an entry.
        is_torn: bool,
    },
}

#[derive(Clone)]
pub(crate) struct Reader {
    file: Bytes,
    at: usize,
    last: Time,
    /// What has been read.
    read: Digest,
    /// What a replay has put out; it is the replay's.
    pub(crate) output: Digest,
}

impl Reader {
    pub(crate) fn open(file: Bytes) -> Result<(Self, Header), ReplayError> {
        let length = MAGIC.len().min(file.len());
        if file.get(..length) != MAGIC.get(..length) {
            return Err(ReplayError::NotARecording);
        }
        let mut reader = Self {
            at: length,
            last: Time::ZERO,
            read: Digest::default(),
            output: Digest::default(),
            file,
        };
        let truncated = ReplayError::Truncated {
            at: reader.file.len(),
        };
        match reader.file.get(MAGIC.len()) {
            Some(&FORMAT) => reader.at += 1,
            Some(&format) => return Err(ReplayError::UnknownFormat(format)),
            None => return Err(truncated),
        }
        reader.read.feed(reader.file.get(..reader.at).unwrap_or_default());
        let header: Header = reader.take()?.ok_or(truncated)?;
        reader.last = Time::from_micros(header.now);
        if reader.last > LATEST {
            return Err(reader.corrupt("a time that cannot be"));
        }
        Ok((reader, header))
    }

    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn next(&mut self) -> Result<Entry, ReplayError> {
        if self.at == self.file.len() {
            return Ok(Entry::Nothing { is_torn: false });
        }
        self.entry()
            .map(|entry| entry.unwrap_or(Entry::Nothing { is_torn: true }))
    }

    /// `None` where the recording ends in the middle of it.
    fn entry(&mut self) -> Result<Option<Entry>, ReplayError> {
        let Some(after) = self.take::<u64>()? else {
            return Ok(None);
        };
        let Some(after) = after.checked_sub(1) else {
            return if self.at == self.file.len() {
                Ok(Some(Entry::End))
            } else {
                Err(self.corrupt("it goes on after its end"))
            };
        };
        match self.last.as_micros().checked_add(after).map(Time::from_micros) {
            Some(now) if now <= LATEST => self.last = now,
            Some(_) | None => return Err(self.corrupt("a time that cannot be")),
        }
        let Some(input) = self.take::<Input>()? else {
            return Ok(None);
        };
        let mut check = None;
        if input.is_checked() {
            let Some(output) = self.take()? else {
                return Ok(None);
            };
            let read = self.read.value();
            match self.take::<[u8; Digest::LENGTH]>()? {
                None => return Ok(None),
                Some(written) if read == written => check = Some(output),
                Some(_) => return Err(self.corrupt("its check does not fit")),
            }
        }
        let now = self.last;
        Ok(Some(Entry::Input { now, input, check }))
    }

    /// `None` where the recording ends in the middle of it.
    fn take<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ReplayError> {
        let rest = self.file.get(self.at..).unwrap_or_default();
        match postcard::take_from_bytes::<T>(rest) {
            Ok((value, behind)) => {
                let length = rest.len() - behind.len();
                self.read.feed(rest.get(..length).unwrap_or_default());
                self.at += length;
                Ok(Some(value))
            }
            Err(postcard::Error::DeserializeUnexpectedEnd) => Ok(None),
            Err(_) => Err(ReplayError::Corrupt {
                at: self.at,
                what: "this is no input",
            }),
        }
    }

    const fn corrupt(&self, what: &'static str) -> ReplayError {
        ReplayError::Corrupt { at: self.at, what }
    }
}
