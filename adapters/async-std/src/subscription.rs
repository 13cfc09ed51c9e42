//! The handles of a subscription: what commands it, and what hears of it.

use sansip::{Content, Event, Misuse, OperationId, SubscribeOptions, SubscriptionId, SubscriptionView};

use crate::desk::Key;
use crate::endpoint::Endpoint;
use crate::handle::{Client, Events, Operation, Reply};

/// Commands a subscription. Cloning it is cheap; dropping it changes nothing: the subscription lives until
/// [`Subscription::terminate`], the notifier's end of it, or its endpoint's end.
#[derive(Clone, Debug)]
pub struct Subscription {
    id: SubscriptionId,
    client: Client,
}

/// What happens to one subscription, and to those that its forks have made: a stream that ends behind the state Terminated
/// of all of them.
///
/// It keeps [`Settings::events`](crate::Settings::events) events. While it is full, no event of its endpoint is handed out;
/// everything else goes on.
pub type SubscriptionEvents = Events<Event>;

impl Endpoint {
    /// Makes a subscription; see [`EndpointView::create_subscription`](sansip::EndpointView::create_subscription).
    /// [`Subscription::subscribe`] and [`Subscription::query`] begin it.
    pub fn create_subscription(
        &self,
        target: &str,
        options: SubscribeOptions,
    ) -> Reply<(Subscription, SubscriptionEvents)> {
        let (client, endpoint, target) = (self.client().clone(), self.id(), target.to_owned());
        self.client().call(move |host| {
            let now = host.adapter.now();
            let mut view = host.adapter.stack().endpoint(now, endpoint)?;
            let id = view.create_subscription(&target, options)?;
            let (sender, events) = SubscriptionEvents::new(client.bound());
            host.desk.add_stream(Key::Subscription(id), endpoint, sender);
            Ok((Subscription { id, client }, events))
        })
    }
}

impl Subscription {
    /// Which subscription.
    pub const fn id(&self) -> SubscriptionId {
        self.id
    }

    /// See [`SubscriptionView::subscribe`].
    pub fn subscribe(&self) -> Operation {
        self.operate(|view| view.subscribe())
    }

    /// See [`SubscriptionView::query`].
    pub fn query(&self) -> Operation {
        self.operate(|view| view.query())
    }

    /// See [`SubscriptionView::update`].
    pub fn update(&self, content: Option<Content>) -> Operation {
        self.operate(move |view| view.update(content))
    }

    /// Ends the subscription, whatever its state; see [`SubscriptionView::terminate`].
    pub fn terminate(&self) -> Operation {
        self.operate(|view| Ok(view.terminate()))
    }

    fn operate(
        &self,
        command: impl FnOnce(&mut SubscriptionView<'_>) -> Result<OperationId, Misuse> + Send + 'static,
    ) -> Operation {
        let id = self.id;
        self.client
            .operate(move |host, now| command(&mut host.adapter.stack().subscription(now, id)?))
    }
}
