//! The handles of somebody's subscription to a state of ours: what commands it, and what hears of it.

use std::time::Duration;

use sansip::wire::StatusCode;
use sansip::{Content, EndOfSubscription, Event, Misuse, OperationId, WatcherId, WatcherView};

use crate::handle::{Client, Events, Operation, Reply};

/// Commands a subscription of somebody. Cloning it is cheap; dropping it changes nothing: the subscription lives until
/// [`Watcher::terminate`], the subscriber's end of it, or its endpoint's end.
#[derive(Clone, Debug)]
pub struct Watcher {
    id: WatcherId,
    client: Client,
}

/// What happens to one subscription of somebody: a stream that ends behind [`Event::WatcherEnded`].
///
/// It keeps [`Settings::events`](crate::Settings::events) events. While it is full, no event of its endpoint is handed out;
/// everything else goes on.
pub type WatcherEvents = Events<Event>;

impl Watcher {
    pub(crate) const fn new(client: Client, id: WatcherId) -> Self {
        Self { id, client }
    }

    /// Which subscription.
    pub const fn id(&self) -> WatcherId {
        self.id
    }

    /// See [`WatcherView::accept`].
    pub fn accept(&self, longest: Option<Duration>, content: Option<Content>) -> Reply<()> {
        self.call(move |view| view.accept(longest, content))
    }

    /// See [`WatcherView::accept_pending`].
    pub fn accept_pending(&self, longest: Option<Duration>) -> Reply<()> {
        self.call(move |view| view.accept_pending(longest))
    }

    /// See [`WatcherView::reject`].
    pub fn reject(&self, status: StatusCode) -> Reply<()> {
        self.call(move |view| view.reject(status, None))
    }

    /// See [`WatcherView::notify`].
    pub fn notify(&self, content: Option<Content>) -> Operation {
        self.operate(move |view| view.notify(content))
    }

    /// See [`WatcherView::terminate`].
    pub fn terminate(&self, end: EndOfSubscription, content: Option<Content>) -> Operation {
        self.operate(move |view| view.terminate(end, content))
    }

    fn operate(
        &self,
        command: impl FnOnce(&mut WatcherView<'_>) -> Result<OperationId, Misuse> + Send + 'static,
    ) -> Operation {
        let id = self.id;
        self.client
            .operate(move |host, now| command(&mut host.adapter.stack().watcher(now, id)?))
    }

    fn call(
        &self,
        command: impl FnOnce(&mut WatcherView<'_>) -> Result<(), Misuse> + Send + 'static,
    ) -> Reply<()> {
        let id = self.id;
        self.client.call(move |host| {
            let now = host.adapter.now();
            Ok(command(&mut host.adapter.stack().watcher(now, id)?)?)
        })
    }
}
