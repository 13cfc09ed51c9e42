//! A request of the network, which the application answers.

use alloc::string::String;

use super::{check_cargo, misuse};
use crate::error::Misuse;
use crate::event::Content;
use crate::exchange::Reply;
use crate::ids::IncomingId;
use crate::stack::{Stack, record};
use crate::wire::{StatusCode, write};

/// A request that waits for the application's answer.
#[derive(Debug)]
pub struct IncomingView<'a> {
    pub(in crate::stack) stack: &'a mut Stack,
    pub(in crate::stack) id: IncomingId,
}

impl IncomingView<'_> {
    /// Answers it; with a final status it is done, and a second answer is misuse (M4).
    ///
    /// # Errors
    /// A malformed reason, header field or content type, or status 100.
    pub fn answer(
        &mut self,
        status: StatusCode,
        reason: Option<&str>,
        content: Option<Content>,
        headers: &[(String, String)],
    ) -> Result<(), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            AnswerIncoming {
                incoming: self.id,
                status,
                reason: reason.map(String::from),
                content: content.clone(),
                headers: headers.to_vec()
            }
        );
        check_cargo(content.as_ref(), headers)?;
        if let Some(reason) = reason {
            write::check_reason(reason).map_err(misuse("reason"))?;
        }
        if status == StatusCode::TRYING {
            return Err(Misuse::argument("status", "100 is the stack's own"));
        }
        let id = self.id;
        self.stack.step(self.stack.now, |p| {
            let reply = Reply {
                reason,
                content: content.as_ref(),
                extra: headers,
                ..Reply::new(status)
            };
            p.incomings.answer(&mut p.cx, &mut p.low, id, reply)
        })
    }

    /// Keeps it for later: letting it pass does not answer it; 500 follows after
    /// [`Config::answer_timeout`](crate::Config::answer_timeout) (M9).
    ///
    /// # Errors
    /// It has been answered.
    pub fn hold(&mut self) -> Result<(), Misuse> {
        record!(self.stack, self.stack.now, Hold { incoming: self.id });
        self.stack.incomings.hold(self.id)
    }
}
