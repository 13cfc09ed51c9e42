//! A request that waits for its answer.

use sansip::wire::{Message, StatusCode};
use sansip::{Content, IncomingId};

use crate::handle::{Client, Reply};

/// A request that arrived. Dropping it lets it pass, and it is answered 200 (rule M4); one that is kept is answered 500
/// after [`Config::answer_timeout`](sansip::Config::answer_timeout) (rule M9).
#[derive(Debug)]
pub struct Incoming {
    id: IncomingId,
    message: Box<Message>,
    client: Client,
    /// Nobody has answered it.
    is_open: bool,
}

impl Incoming {
    pub(crate) const fn new(id: IncomingId, message: Box<Message>, client: Client, is_open: bool) -> Self {
        Self {
            id,
            message,
            client,
            is_open,
        }
    }

    /// The request.
    pub const fn message(&self) -> &Message {
        &self.message
    }

    /// Answers it; see [`IncomingView::answer`](sansip::IncomingView::answer). A provisional answer leaves it open.
    pub fn respond(
        &mut self,
        status: StatusCode,
        content: Option<Content>,
        headers: Vec<(String, String)>,
    ) -> Reply<()> {
        self.is_open &= status.is_provisional();
        let id = self.id;
        self.client.call(move |host| {
            let now = host.adapter.now();
            let mut incoming = host.adapter.stack().incoming(now, id)?;
            Ok(incoming.answer(status, None, content, &headers)?)
        })
    }

    /// Answers it with this status and content.
    pub fn answer(mut self, status: StatusCode, content: Option<Content>) -> Reply<()> {
        self.respond(status, content, Vec::new())
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.is_open {
            return;
        }
        let id = self.id;
        self.client.command_always(move |host| {
            let now = host.adapter.now();
            if let Ok(mut incoming) = host.adapter.stack().incoming(now, id) {
                // The answer to a request without one that was given is legal.
                let _ = incoming.answer(StatusCode::OK, None, None, &[]);
            }
        });
    }
}
