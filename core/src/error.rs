//! Errors that say who is at fault.
//!
//! [`ParseError`]: bytes that are not SIP, with the place. [`Misuse`]: the caller of the API, readable from the code.
//! Why an operation or an object ended is in [`crate::event`].

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use crate::wire::HeaderName;

/// Bytes that do not follow the grammar: where, and what was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize))]
pub struct ParseError {
    /// The place.
    pub place: Place,
    /// What is wrong there, in a few words for people.
    pub what: &'static str,
}

impl ParseError {
    /// An error in a header field.
    pub fn header(name: HeaderName, what: &'static str) -> Self {
        Self {
            place: Place::Header(name),
            what,
        }
    }

    /// An error in the start line.
    pub const fn start_line(what: &'static str) -> Self {
        Self {
            place: Place::StartLine,
            what,
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::StartLine => write!(f, "start line: {}", self.what),
            Place::Header(name) => write!(f, "{name}: {}", self.what),
            Place::UnknownHeader(name) => write!(f, "{name}: {}", self.what),
            Place::Uri => write!(f, "URI: {}", self.what),
            Place::Body => write!(f, "body: {}", self.what),
        }
    }
}

impl core::error::Error for ParseError {}

/// A place in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize))]
pub enum Place {
    /// The request line or status line.
    StartLine,
    /// A header field that the stack knows.
    Header(HeaderName),
    /// Any other header field, or a line that is none.
    UnknownHeader(Box<str>),
    /// A URI that stands alone.
    Uri,
    /// The body, or its length.
    Body,
}

/// A mistake of the caller, readable from the calling code; nothing has changed (rule X2).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misuse {
    /// The id names nothing that is alive (it may have been).
    #[error("{0} does not exist")]
    Unknown(&'static str),
    /// The operation is not legal in this state.
    #[error("{operation} is not legal while {state}")]
    State {
        /// What was asked for.
        operation: &'static str,
        /// The state, as its own type prints it.
        state: &'static str,
    },
    /// An argument is outside its range or not of its form.
    #[error("{argument}: {problem}")]
    Argument {
        /// Which one.
        argument: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// Another endpoint of this stack has this URI and endpoint id, or this GRUU (E1, E4).
    #[error("an endpoint with this {0} exists")]
    Duplicate(&'static str),
    /// The combination is not possible for this kind of endpoint or manager (C1, C11, P9).
    #[error("{0}")]
    Kind(&'static str),
    /// A limit of this stack has been reached ([`Limits`](crate::Limits)).
    #[error("the limit of {0} is reached")]
    Limit(&'static str),
    /// The request has its answer already (M4).
    #[error("the request has been answered")]
    Answered,
}

impl Misuse {
    pub(crate) fn argument(argument: &'static str, problem: impl Into<String>) -> Self {
        Self::Argument {
            argument,
            problem: problem.into(),
        }
    }
}
