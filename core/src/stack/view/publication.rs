//! A state that is published at a server.

use super::subscription::{check_event, check_own_fields};
use super::{check_cargo, check_request_uri, start};
use crate::endpoint::Life;
use crate::error::Misuse;
use crate::event::{Content, OperationError, OperationFailure, PublicationState};
use crate::ids::{EndpointId, OperationId, PublicationId};
use crate::publication::PublishOptions;
use crate::stack::parts::below;
use crate::stack::{EndpointView, Stack, record};

impl EndpointView<'_> {
    /// Publishes a state for this target, which is usually the owner's own URI: a PUBLISH. It completes with the 2xx; where
    /// it fails for a reason that may pass, the publication is in state WaitingForRetry and goes on by itself (B6).
    ///
    /// # Errors
    /// A malformed target, event package, header field or content type; a header field that the publication itself writes;
    /// a next hop at a SipEndpoint (P9); the limit of publications is reached, or the stack is draining; too much is under
    /// way.
    pub fn publish(
        &mut self,
        target: &str,
        options: PublishOptions,
        content: Content,
    ) -> Result<(PublicationId, OperationId), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            Publish {
                endpoint: self.id,
                target: target.into(),
                options: alloc::boxed::Box::new(options.clone()),
                content: content.clone()
            }
        );
        self.stack.endpoints.may_command(self.id, "publish")?;
        check_request_uri(target)?;
        check_event(&options.event)?;
        check_cargo(Some(&content), &options.headers)?;
        check_own_fields(&options.headers)?;
        if options.next_hop.is_some() {
            self.stack.endpoints.may_name_next_hop(self.id)?;
        }
        self.stack.may_begin("publish")?;
        if self.stack.publications.len() >= self.stack.config.limits.publications {
            self.stack.counters.refusals.publications += 1;
            return Err(Misuse::Limit("publications"));
        }
        let local = self.stack.endpoints.local(self.id);
        let local = local.ok_or(Misuse::Unknown("endpoint"))?;
        let (operation, id) = (start(self.stack, self.id)?, self.id);
        let what = (target, options, content);
        let publication = self.stack.step(self.stack.now, |p| {
            let made = p
                .publications
                .publish(&mut p.cx, below!(p), local, operation, what);
            p.endpoints.add_life(id, Life::Publication(made));
            made
        });
        Ok((publication, operation))
    }
}

/// A state that is published at a server (B6).
#[derive(Debug)]
pub struct PublicationView<'a> {
    pub(in crate::stack) stack: &'a mut Stack,
    pub(in crate::stack) id: PublicationId,
}

impl PublicationView<'_> {
    /// Another state from now on: of what is given while a PUBLISH is under way the last one goes out after it. While the
    /// publication waits for its next attempt, that is made at once. It completes with the 2xx.
    ///
    /// # Errors
    /// It was removed; a malformed content type; too much is under way.
    pub fn modify(&mut self, content: Content) -> Result<OperationId, Misuse> {
        record!(
            self.stack,
            self.stack.now,
            ModifyPublication {
                publication: self.id,
                content: content.clone()
            }
        );
        check_cargo(Some(&content), &[])?;
        self.stack.publications.may_modify(self.id)?;
        if self.stack.publications.pending(self.id) >= self.stack.config.limits.pending_per_session {
            self.stack.counters.refusals.pending_per_session += 1;
            return Err(Misuse::Limit("requests under way in one session"));
        }
        let (operation, id) = (start(self.stack, self.endpoint())?, self.id);
        self.stack.step(self.stack.now, |p| {
            if p.publications.state(id).is_some() {
                p.publications
                    .modify(&mut p.cx, below!(p), id, operation, content);
            } else {
                let ended = OperationError::OperationFailure(OperationFailure::SessionTerminated);
                p.cx.out.complete(operation, Err(ended));
            }
        });
        Ok(operation)
    }

    /// Removes the state from the server, and ends the publication, whatever becomes of that. It never fails.
    pub fn remove(&mut self) -> OperationId {
        record!(
            self.stack,
            self.stack.now,
            RemovePublication { publication: self.id }
        );
        let (endpoint, id) = (self.endpoint(), self.id);
        self.stack.step(self.stack.now, |p| {
            let operation = p.cx.out.start(p.cx.ids, endpoint);
            if p.publications.state(id).is_some() {
                p.publications.remove(&mut p.cx, below!(p), id, operation);
            } else {
                p.cx.out.complete(operation, Ok(crate::event::Completion::Done));
            }
            operation
        })
    }

    /// The state (B6).
    pub fn state(&self) -> PublicationState {
        self.stack
            .publications
            .state(self.id)
            .unwrap_or(PublicationState::Removed)
    }

    /// Whose publication it is.
    pub fn endpoint(&self) -> EndpointId {
        self.stack
            .publications
            .endpoint(self.id)
            .unwrap_or(EndpointId::FIRST)
    }
}
