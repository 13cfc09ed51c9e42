//! Why a command did not do what it was asked for.

use std::fmt;
use std::process::ExitCode;

/// How a command ends when it does not succeed, with one line for people that says what to do.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    line: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Failed,
    Usage,
}

impl Failure {
    /// The command was understood and did not work out: exit code 1.
    pub(crate) fn new(line: impl Into<String>) -> Self {
        Self {
            kind: Kind::Failed,
            line: line.into(),
        }
    }

    /// The command makes no sense as it was given: exit code 2.
    pub(crate) fn usage(line: impl Into<String>) -> Self {
        Self {
            kind: Kind::Usage,
            line: line.into(),
        }
    }

    pub(crate) fn code(&self) -> ExitCode {
        match self.kind {
            Kind::Failed => ExitCode::FAILURE,
            Kind::Usage => ExitCode::from(2),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Words of a peer may be in it; the line stays one line.
        for c in self.line.chars() {
            write!(f, "{}", if c.is_control() { ' ' } else { c })?;
        }
        Ok(())
    }
}
