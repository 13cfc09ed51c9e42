//! What commands a driver from any task: the client, and what its commands become.

use std::fmt;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use sansip::{
    Completion, ConnId, EndpointId, Event, ListenError, ListenerId, LostAddresses, ManagerId, Misuse,
    OperationError, OperationId, PeerToPeerConfig, SipEndpointConfig, Stack, Time,
};

use crate::driver::{Command, Host};
use crate::endpoint::{Endpoint, EndpointEvents};
use crate::queue::{Receiver, Refusal, Sender, queue};
use crate::settings::TlsSettings;

/// Why a command came to nothing.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// It should not have been given; nothing has changed.
    Misuse(Misuse),
    /// The operation failed.
    Operation(OperationError),
    /// The address cannot be listened on.
    Listen(ListenError),
    /// Too many commands wait: the driver is busy. It was not taken.
    Busy,
    /// The driver has ended, or what was asked for was stopped before it was there.
    Stopped,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misuse(misuse) => misuse.fmt(f),
            Self::Operation(error) => error.fmt(f),
            Self::Listen(error) => error.fmt(f),
            Self::Busy => f.write_str("too many commands wait"),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}

impl std::error::Error for Error {}

impl From<Misuse> for Error {
    fn from(misuse: Misuse) -> Self {
        Self::Misuse(misuse)
    }
}

impl From<OperationError> for Error {
    fn from(error: OperationError) -> Self {
        Self::Operation(error)
    }
}

/// What becomes of a command. The command was given when this was made; dropping it changes nothing but that nobody hears
/// of the outcome.
#[must_use = "the outcome is lost; `drop` it to say so"]
pub struct Reply<T> {
    receiver: Receiver<Result<T, Error>>,
    refused: Option<Error>,
}

/// An operation under way. It always ends, in bounded time (rule X3).
pub type Operation = Reply<Completion>;

pub(crate) type Outcome = Result<Completion, Error>;

impl<T> Future for Reply<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(error) = self.refused.take() {
            return Poll::Ready(Err(error));
        }
        let result = ready!(Pin::new(&mut self.receiver).poll_next(cx));
        Poll::Ready(result.unwrap_or(Err(Error::Stopped)))
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reply(..)")
    }
}

/// Commands a [`Driver`](crate::Driver), from any task. Cloning it is cheap.
///
/// Commands are carried out in the order in which they are given.
#[derive(Clone, Debug)]
pub struct Client {
    commands: Sender<Command>,
    events: usize,
}

impl Client {
    pub(crate) const fn new(commands: Sender<Command>, events: usize) -> Self {
        Self { commands, events }
    }

    /// Has something done with the stack, between two events.
    pub fn run<T: Send + 'static>(
        &self,
        command: impl FnOnce(&mut Stack, Time) -> T + Send + 'static,
    ) -> Reply<T> {
        self.call(move |host| {
            let now = host.adapter.now();
            Ok(command(host.adapter.stack(), now))
        })
    }

    /// Adds an endpoint that lives at a server; it is not registered yet.
    pub fn add_sip_endpoint(&self, config: SipEndpointConfig) -> Reply<(Endpoint, EndpointEvents)> {
        self.add_endpoint(move |stack, now| stack.add_sip_endpoint(now, config))
    }

    /// Adds an endpoint without a server of its own.
    pub fn add_peer_to_peer_endpoint(&self, config: PeerToPeerConfig) -> Reply<(Endpoint, EndpointEvents)> {
        self.add_endpoint(move |stack, now| stack.add_peer_to_peer_endpoint(now, config))
    }

    fn add_endpoint(
        &self,
        add: impl FnOnce(&mut Stack, Time) -> Result<EndpointId, Misuse> + Send + 'static,
    ) -> Reply<(Endpoint, EndpointEvents)> {
        let client = self.clone();
        self.call(move |host| {
            let now = host.adapter.now();
            let id = add(host.adapter.stack(), now)?;
            Ok(client.handles(host, id))
        })
    }

    /// The handles of an endpoint that the stack has already. Its events go to the latest that were made for it; as long
    /// as there are none its messages are answered 200 (rule M4), and its calls are refused.
    pub fn endpoint(&self, id: EndpointId) -> Reply<(Endpoint, EndpointEvents)> {
        let client = self.clone();
        self.call(move |host| {
            let now = host.adapter.now();
            host.adapter.stack().endpoint(now, id)?;
            Ok(client.handles(host, id))
        })
    }

    fn handles(self, host: &mut Host, id: EndpointId) -> (Endpoint, EndpointEvents) {
        let (sender, events) = EndpointEvents::new(self.events);
        host.desk.add_endpoint(id, sender);
        (Endpoint::new(self, id), events)
    }

    /// Listens on an address, and says the one in use: port 0 lets the system choose (rule C14).
    pub fn listen(&self, manager: ManagerId, address: SocketAddr) -> Reply<(ListenerId, SocketAddr)> {
        let (sender, receiver) = queue(1);
        let refused = self.command(move |host| {
            let now = host.adapter.now();
            let listening = host
                .adapter
                .stack()
                .manager(now, manager)
                .and_then(|mut manager| manager.listen(address));
            match listening {
                Ok(listener) => host.desk.add_listener(listener, sender),
                Err(misuse) => drop(sender.push(Err(misuse.into()), None)),
            }
        });
        Reply { receiver, refused }
    }

    /// Stops listening there. Accepted connections go on.
    pub fn stop_listening(&self, manager: ManagerId, listener: ListenerId) -> Reply<()> {
        self.call(move |host| {
            let now = host.adapter.now();
            let mut manager = host.adapter.stack().manager(now, manager)?;
            Ok(manager.stop_listening(listener)?)
        })
    }

    /// Replaces the TLS settings of one manager, or (with `None`) those of all managers without their own. New connections
    /// use them, at listeners that are open already too; old connections go on (rule C34). A listener goes on with what
    /// it has where the new settings have nothing for it.
    pub fn set_tls(&self, manager: Option<ManagerId>, tls: TlsSettings) -> Reply<()> {
        self.call(move |host| {
            host.adapter.set_tls(manager, tls);
            Ok(())
        })
    }

    /// The host's network has changed, or the host has slept: see [`Stack::network_changed`] (rule R20).
    pub fn network_changed(&self, lost: LostAddresses) -> Reply<()> {
        self.run(move |stack, now| stack.network_changed(now, &lost))
    }

    /// Lets a connection be used that is held for the application (rule C21): [`Event::AuthorizationRequested`] has asked.
    pub fn allow_connection(&self, conn: ConnId) -> Reply<()> {
        self.call(move |host| {
            let now = host.adapter.now();
            Ok(host.adapter.stack().allow_connection(now, conn)?)
        })
    }

    /// Closes a connection that is held for the application; what waits for it fails.
    pub fn deny_connection(&self, conn: ConnId) -> Reply<()> {
        self.call(move |host| {
            let now = host.adapter.now();
            Ok(host.adapter.stack().deny_connection(now, conn)?)
        })
    }

    /// What happens to listeners and connections from now on, for everybody who asks. Where connections are held for the
    /// application (rule C21) and nobody asks for these events, they are denied.
    pub fn events(&self) -> Events<Event> {
        let (sender, events) = Events::new(self.events);
        // A driver that has ended, or is too busy to take this, has no events for it.
        let _ = self.command(move |host| host.desk.watch(sender));
        events
    }

    /// Ends in order: stops listening, ends every call, unregisters every endpoint, and closes the connections when all that
    /// is done. It takes `grace` at the longest; `true` when it was enough.
    pub fn shutdown(&self, grace: Duration) -> Reply<bool> {
        self.drain(Duration::ZERO, grace)
    }

    /// The same, but no earlier than the calls there are have ended, or have gone on for `patience`; new ones are refused
    /// meanwhile ([`Stack::drain`]). What comes after takes `grace` at the longest.
    pub fn drain(&self, patience: Duration, grace: Duration) -> Reply<bool> {
        let (sender, receiver) = queue(1);
        let refused = self.command(move |host| host.begin_end(patience, grace, Some(sender)));
        Reply { receiver, refused }
    }

    /// Ends at once, without a word to anybody.
    pub fn stop(&self) {
        // A driver that is gone has stopped; for one that is alive there is always room.
        let _ = self.commands.push_always(Box::new(Host::stop));
    }

    pub(crate) const fn bound(&self) -> usize {
        self.events
    }

    /// Gives a command; says why it was not taken.
    pub(crate) fn command(&self, command: impl FnOnce(&mut Host) + Send + 'static) -> Option<Error> {
        match self.commands.push(Box::new(command), None) {
            Ok(()) => None,
            Err(Refusal::Full(_)) => Some(Error::Busy),
            Err(Refusal::Closed(_)) => Some(Error::Stopped),
        }
    }

    /// For what the driver must hear of, and what comes once at most for each thing that it gave out.
    pub(crate) fn command_always(&self, command: impl FnOnce(&mut Host) + Send + 'static) {
        // A driver that is gone has forgotten what this is about.
        let _ = self.commands.push_always(Box::new(command));
    }

    pub(crate) fn call<T: Send + 'static>(
        &self,
        command: impl FnOnce(&mut Host) -> Result<T, Error> + Send + 'static,
    ) -> Reply<T> {
        let (sender, receiver) = queue(1);
        let refused = self.command(move |host| {
            // Who let go of the future does not want to know.
            let _ = sender.push(command(host), None);
        });
        Reply { receiver, refused }
    }

    pub(crate) fn operate(
        &self,
        command: impl FnOnce(&mut Host, Time) -> Result<OperationId, Misuse> + Send + 'static,
    ) -> Operation {
        let (sender, receiver) = queue(1);
        let refused = self.command(move |host| {
            let now = host.adapter.now();
            match command(host, now) {
                Ok(operation) => host.desk.add_operation(operation, sender),
                Err(misuse) => drop(sender.push(Err(misuse.into()), None)),
            }
        });
        Reply { receiver, refused }
    }
}

/// What happens to something: a [`Stream`], with room for [`Settings::events`](crate::Settings::events) events.
pub struct Events<T>(Receiver<T>);

impl<T> Events<T> {
    pub(crate) fn new(bound: usize) -> (Sender<T>, Self) {
        let (sender, receiver) = queue(bound);
        (sender, Self(receiver))
    }

    /// The next event; `None` behind the last one, or when the driver has ended.
    pub async fn next(&mut self) -> Option<T> {
        poll_fn(|cx| Pin::new(&mut self.0).poll_next(cx)).await
    }
}

impl<T> Stream for Events<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.0).poll_next(cx)
    }
}

impl<T> fmt::Debug for Events<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events(..)")
    }
}
