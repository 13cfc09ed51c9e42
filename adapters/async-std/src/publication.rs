//! The handles of a publication: what commands it, and what hears of it.

use std::sync::{Arc, OnceLock};

use sansip::{Content, Event, Misuse, OperationId, PublicationId, PublicationView, PublishOptions};

use crate::desk::Key;
use crate::endpoint::Endpoint;
use crate::handle::{Client, Events, Operation};

/// Commands a publication. Cloning it is cheap; dropping it changes nothing: the publication lives until
/// [`Publication::remove`], or its endpoint's end.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Set when the driver has made it.
    id: Arc<OnceLock<PublicationId>>,
    client: Client,
}

/// What happens to one publication: a stream that ends behind the state Removed.
///
/// It keeps [`Settings::events`](crate::Settings::events) events. While it is full, no event of its endpoint is handed out;
/// everything else goes on.
pub type PublicationEvents = Events<Event>;

impl Endpoint {
    /// Publishes a state; see [`EndpointView::publish`](sansip::EndpointView::publish). The publication can be used at once. It
    /// comes to nothing where publishing is misuse.
    pub fn publish(
        &self,
        target: &str,
        options: PublishOptions,
        content: Content,
    ) -> (Publication, PublicationEvents, Operation) {
        let (sender, events) = PublicationEvents::new(self.client().bound());
        let publication = Publication {
            id: Arc::default(),
            client: self.client().clone(),
        };
        let (endpoint, named, target) = (self.id(), Arc::clone(&publication.id), target.to_owned());
        let operation = self.client().operate(move |host, now| {
            let mut view = host.adapter.stack().endpoint(now, endpoint)?;
            let (id, operation) = view.publish(&target, options, content)?;
            named.get_or_init(|| id);
            host.desk.add_stream(Key::Publication(id), endpoint, sender);
            Ok(operation)
        });
        (publication, events, operation)
    }
}

impl Publication {
    /// Which publication; `None` while the driver has not made it.
    pub fn id(&self) -> Option<PublicationId> {
        self.id.get().copied()
    }

    /// See [`PublicationView::modify`].
    pub fn modify(&self, content: Content) -> Operation {
        self.operate(move |view| view.modify(content))
    }

    /// Removes the state from the server, and ends the publication; see [`PublicationView::remove`].
    pub fn remove(&self) -> Operation {
        self.operate(|view| Ok(view.remove()))
    }

    fn operate(
        &self,
        command: impl FnOnce(&mut PublicationView<'_>) -> Result<OperationId, Misuse> + Send + 'static,
    ) -> Operation {
        let id = Arc::clone(&self.id);
        self.client.operate(move |host, now| {
            let id = id.get().copied().ok_or(Misuse::Unknown("publication"))?;
            command(&mut host.adapter.stack().publication(now, id)?)
        })
    }
}
