//! A subscription to the state of somebody.

use alloc::vec::Vec;

use super::{check_cargo, check_request_uri, may_start, misuse, start};
use crate::endpoint::Life;
use crate::error::Misuse;
use crate::event::{Content, OperationError, OperationFailure, SubscriptionState};
use crate::ids::{EndpointId, OperationId, SubscriptionId};
use crate::stack::parts::below;
use crate::stack::{EndpointView, Stack, record};
use crate::subscription::SubscribeOptions;
use crate::wire::header::{self, Header};
use crate::wire::{HeaderName, write};

impl EndpointView<'_> {
    /// Makes a subscription to the state of this target, in state Idle, to be begun later (B1).
    ///
    /// # Errors
    /// A malformed target, event package, type, header field or content type; a header field that the subscription itself
    /// writes; a next hop at a SipEndpoint (P9); the limit of subscriptions is reached, or the stack is draining.
    pub fn create_subscription(
        &mut self,
        target: &str,
        options: SubscribeOptions,
    ) -> Result<SubscriptionId, Misuse> {
        record!(
            self.stack,
            self.stack.now,
            CreateSubscription {
                endpoint: self.id,
                target: target.into(),
                options: alloc::boxed::Box::new(options.clone())
            }
        );
        self.make_subscription(target, options)
    }

    /// Makes a subscription and sends its SUBSCRIBE.
    ///
    /// # Errors
    /// As [`create_subscription`](Self::create_subscription) and [`SubscriptionView::subscribe`].
    pub fn subscribe(
        &mut self,
        target: &str,
        options: SubscribeOptions,
    ) -> Result<(SubscriptionId, OperationId), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            SubscribeTo {
                endpoint: self.id,
                target: target.into(),
                options: alloc::boxed::Box::new(options.clone())
            }
        );
        // Misuse changes nothing (X2): a subscription that could not be begun is not made.
        may_start(self.stack)?;
        let subscription = self.make_subscription(target, options)?;
        let operation = self
            .stack
            .subscription(self.stack.now, subscription)?
            .begin(false)?;
        Ok((subscription, operation))
    }

    fn make_subscription(
        &mut self,
        target: &str,
        options: SubscribeOptions,
    ) -> Result<SubscriptionId, Misuse> {
        self.stack.endpoints.may_command(self.id, "create_subscription")?;
        check_request_uri(target)?;
        check_event(&options.event)?;
        for accepted in &options.accept {
            write::check_content_type(accepted).map_err(misuse("accept"))?;
        }
        check_cargo(options.content.as_ref(), &options.headers)?;
        check_own_fields(&options.headers)?;
        if options.next_hop.is_some() {
            self.stack.endpoints.may_name_next_hop(self.id)?;
        }
        self.stack.may_begin("create_subscription")?;
        self.stack.may_have_a_subscription_more()?;
        let id = self.id;
        self.stack.step(self.stack.now, |p| {
            let local = p.endpoints.local(id).ok_or(Misuse::Unknown("endpoint"))?;
            let subscription = p
                .subscriptions
                .create(&mut p.cx, p.exchanges, local, target, options);
            p.endpoints.add_life(id, Life::Subscription(subscription));
            Ok(subscription)
        })
    }

    /// The subscriptions of the endpoint.
    pub fn subscriptions(&self) -> Vec<SubscriptionId> {
        let lives = self.stack.endpoints.lives(self.id).into_iter();
        let ours = lives.filter_map(|life| match life {
            Life::Subscription(id) => Some(id),
            Life::Watcher(_) | Life::Publication(_) => None,
        });
        ours.collect()
    }
}

impl Stack {
    pub(super) fn may_have_a_subscription_more(&mut self) -> Result<(), Misuse> {
        if self.census().subscriptions < self.config.limits.subscriptions {
            return Ok(());
        }
        self.counters.refusals.subscriptions += 1;
        Err(Misuse::Limit("subscriptions"))
    }
}

/// A subscription to the state of somebody (B1).
#[derive(Debug)]
pub struct SubscriptionView<'a> {
    pub(in crate::stack) stack: &'a mut Stack,
    pub(in crate::stack) id: SubscriptionId,
}

impl SubscriptionView<'_> {
    /// Sends the SUBSCRIBE. It completes with the 2xx; where it fails for a reason that may pass, the subscription is in
    /// state WaitingForRetry and goes on by itself (B4).
    ///
    /// # Errors
    /// It has been begun or ended already; too much is under way.
    pub fn subscribe(&mut self) -> Result<OperationId, Misuse> {
        record!(
            self.stack,
            self.stack.now,
            Subscribe {
                subscription: self.id
            }
        );
        self.begin(false)
    }

    /// Asks for the state once, without subscribing to it: a SUBSCRIBE with Expires 0. It completes when both the 2xx and
    /// the NOTIFY are here, and is not tried again (B4).
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub fn query(&mut self) -> Result<OperationId, Misuse> {
        record!(
            self.stack,
            self.stack.now,
            Query {
                subscription: self.id
            }
        );
        self.begin(true)
    }

    fn begin(&mut self, query: bool) -> Result<OperationId, Misuse> {
        let name = if query { "query" } else { "subscribe" };
        self.stack.subscriptions.may_begin(self.id, name)?;
        if let Some(operation) = self.overtaken() {
            return operation;
        }
        let (operation, id) = (start(self.stack, self.endpoint())?, self.id);
        self.stack.step(self.stack.now, |p| {
            p.subscriptions
                .subscribe(&mut p.cx, below!(p), id, operation, query);
        });
        Ok(operation)
    }

    /// Another body from now on, sent at once in the dialog: of what is given while a SUBSCRIBE is under way the last one
    /// goes out after it. While the subscription waits for its next attempt, that is made at once (B1).
    ///
    /// # Errors
    /// It was not begun, was to ask once only, or is ended; a malformed content type; too much is under way.
    pub fn update(&mut self, content: Option<Content>) -> Result<OperationId, Misuse> {
        record!(
            self.stack,
            self.stack.now,
            UpdateSubscription {
                subscription: self.id,
                content: content.clone()
            }
        );
        check_cargo(content.as_ref(), &[])?;
        self.stack.subscriptions.may_update(self.id)?;
        if let Some(operation) = self.overtaken() {
            return operation;
        }
        if self.stack.subscriptions.pending(self.id) >= self.stack.config.limits.pending_per_session {
            self.stack.counters.refusals.pending_per_session += 1;
            return Err(Misuse::Limit("requests under way in one session"));
        }
        let (operation, id) = (start(self.stack, self.endpoint())?, self.id);
        self.stack.step(self.stack.now, |p| {
            p.subscriptions
                .update(&mut p.cx, below!(p), id, operation, content);
        });
        Ok(operation)
    }

    /// Ends the subscription, whatever its state: where the notifier has it, with a SUBSCRIBE of Expires 0 and the last
    /// NOTIFY, for which it waits 64 T1 at most. It never fails.
    pub fn terminate(&mut self) -> OperationId {
        record!(
            self.stack,
            self.stack.now,
            TerminateSubscription {
                subscription: self.id
            }
        );
        let (endpoint, id) = (self.endpoint(), self.id);
        self.stack.step(self.stack.now, |p| {
            let operation = p.cx.out.start(p.cx.ids, endpoint);
            if p.subscriptions.state(id).is_some() {
                p.subscriptions
                    .terminate(&mut p.cx, below!(p), id, operation, true);
            } else {
                p.cx.out.complete(operation, Ok(crate::event::Completion::Done));
            }
            operation
        })
    }

    /// The state (B1).
    pub fn state(&self) -> SubscriptionState {
        self.stack
            .subscriptions
            .state(self.id)
            .unwrap_or(SubscriptionState::Terminated)
    }

    /// Whose subscription it is.
    pub fn endpoint(&self) -> EndpointId {
        let subscriptions = &self.stack.subscriptions;
        subscriptions
            .endpoint(self.id)
            .or_else(|| subscriptions.ended(self.id))
            .unwrap_or(EndpointId::FIRST)
    }

    /// Whose state it is about, as the application has named it; `None` once it is over.
    pub fn target(&self) -> Option<&str> {
        self.stack.subscriptions.target(self.id)
    }

    /// The Call-ID of its present dialog; `None` once it is over.
    pub fn call_id(&self) -> Option<&str> {
        self.stack.subscriptions.call_id(self.id)
    }

    /// A subscription that the network has ended while the application did not know: the command succeeds, and completes
    /// as SessionTerminated (X2).
    fn overtaken(&mut self) -> Option<Result<OperationId, Misuse>> {
        let endpoint = self.stack.subscriptions.ended(self.id)?;
        Some(start(self.stack, endpoint).inspect(|operation| {
            let ended = OperationError::OperationFailure(OperationFailure::SessionTerminated);
            self.stack
                .step(self.stack.now, |p| p.cx.out.complete(*operation, Err(ended)));
        }))
    }
}

pub(super) fn check_event(event: &str) -> Result<(), Misuse> {
    header::Event::parse(event).map_err(misuse("event"))?;
    // It is written as it is.
    write::check_header(HeaderName::Event.as_str(), event).map_err(misuse("event"))
}

/// What a subscription or a publication says of itself is not said a second time.
pub(super) fn check_own_fields(
    headers: &[(alloc::string::String, alloc::string::String)],
) -> Result<(), Misuse> {
    const OWN: [HeaderName; 6] = [
        HeaderName::Event,
        HeaderName::Expires,
        HeaderName::Accept,
        HeaderName::SubscriptionState,
        HeaderName::SipIfMatch,
        HeaderName::SipETag,
    ];
    let named = headers
        .iter()
        .filter_map(|(name, _)| HeaderName::from_bytes(name.as_bytes()));
    match named.into_iter().find(|name| OWN.contains(name)) {
        Some(_) => Err(Misuse::argument("headers", "a field that the stack writes here")),
        None => Ok(()),
    }
}
