//! The task that owns a stack and its sockets.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use sansip::{Stack, Time};

use crate::adapter::Adapter;
use crate::desk::Desk;
use crate::handle::{Client, Error};
use crate::queue::{Receiver, Sender, queue};
use crate::runtime::{self, Pending};
use crate::settings::Settings;

/// How many commands run in one turn at most.
const COMMANDS_PER_TURN: usize = 64;

/// What a handle has done on the driver's task.
pub(crate) type Command = Box<dyn FnOnce(&mut Host) + Send>;

/// What commands work on.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) adapter: Adapter,
    pub(crate) desk: Desk,
    end: End,
}

/// How far the end is.
#[derive(Debug)]
enum End {
    /// Not asked for.
    Running,
    /// In order: no later than this, and who is told whether it was done then.
    Ending(Time, Option<Sender<Result<bool, Error>>>),
    /// At once.
    Stopped,
}

/// Owns a stack, its sockets and its timers; a future, which has to be polled for anything to happen. Handles command it,
/// from any task. It becomes `true` after an orderly end, for which [`Client::shutdown`] says what that is, and `false`
/// where that took too long or [`Client::stop`] was called.
///
/// An orderly end begins, too, when the last handle is dropped: nobody could command or hear it any more.
///
/// ```
/// use sansip::wire::StatusCode;
/// use sansip::{Config, PeerToPeerConfig, SendOptions, Stack, Time};
/// use sansip_async_std::{Driver, EndpointEvent, Settings, seed, unix_time};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # async_std::task::block_on(async {
/// let stack = Stack::new(Config::default(), seed()?, Time::ZERO, unix_time());
/// let manager = stack.server_tcp_manager();
/// let bob = Driver::spawn(stack, Settings::default())?;
/// let config = PeerToPeerConfig::new("sip:bob@127.0.0.1");
/// let (_, mut inbox) = bob.add_peer_to_peer_endpoint(config).await?;
/// let (_, address) = bob.listen(manager, "127.0.0.1:0".parse()?).await?;
///
/// let stack = Stack::new(Config::default(), seed()?, Time::ZERO, unix_time());
/// let alice = Driver::spawn(stack, Settings::default())?;
/// let config = PeerToPeerConfig::new("sip:alice@127.0.0.1");
/// let (endpoint, _) = alice.add_peer_to_peer_endpoint(config).await?;
/// let sent = endpoint.message(&format!("sip:bob@{address}"), "hello", SendOptions::default());
/// while let Some(event) = inbox.next().await {
///     if let EndpointEvent::Message(incoming) = event {
///         assert_eq!(incoming.message().body_bytes(), b"hello");
///         incoming.answer(StatusCode::ACCEPTED, None).await?;
///         break;
///     }
/// }
/// let completion = sent.await?;
/// assert_eq!(completion.response().and_then(|response| response.status()), Some(StatusCode::ACCEPTED));
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Debug)]
pub struct Driver {
    host: Host,
    commands: Receiver<Command>,
    timer: Option<(Time, Pending<()>)>,
    grace: Duration,
}

impl Driver {
    /// Drives this stack, which is to be made with [`Time::ZERO`] as its time. The future is to be given to a task; the
    /// client is its first handle.
    ///
    /// # Errors
    /// The system gives no entropy.
    pub fn new(stack: Stack, settings: Settings) -> io::Result<(Client, Self)> {
        let (sender, commands) = queue(settings.commands);
        let desk = Desk::new(&settings, sender.downgrade());
        let client = Client::new(sender, settings.events);
        let grace = settings.grace;
        let adapter = Adapter::new(stack, settings)?;
        let driver = Self {
            host: Host {
                adapter,
                desk,
                end: End::Running,
            },
            commands,
            timer: None,
            grace,
        };
        Ok((client, driver))
    }

    /// [`Driver::new`] on a task of its own.
    ///
    /// # Errors
    /// The system gives no entropy.
    pub fn spawn(stack: Stack, settings: Settings) -> io::Result<Client> {
        let (client, driver) = Self::new(stack, settings)?;
        runtime::spawn(async {
            driver.await;
        });
        Ok(client)
    }

    fn run_commands(&mut self, cx: &mut Context<'_>) {
        for _ in 0..COMMANDS_PER_TURN {
            match Pin::new(&mut self.commands).poll_next(cx) {
                Poll::Ready(Some(command)) => command(&mut self.host),
                Poll::Ready(None) => {
                    if matches!(self.host.end, End::Running) {
                        self.host.begin_end(Duration::ZERO, self.grace, None);
                    }
                    return;
                }
                Poll::Pending => return,
            }
        }
        cx.waker().wake_by_ref();
    }

    /// Sees to it that the task is woken when time matters next.
    fn set_timer(&mut self, cx: &mut Context<'_>) {
        let end = match &self.host.end {
            End::Ending(deadline, _) => Some(*deadline),
            End::Running | End::Stopped => None,
        };
        let Some(deadline) = self.host.adapter.poll_timeout().into_iter().chain(end).min() else {
            self.timer = None;
            return;
        };
        let now = self.host.adapter.now();
        if deadline <= now {
            self.timer = None;
            cx.waker().wake_by_ref();
            return;
        }
        let until = self.host.adapter.until(deadline);
        let timer = match &mut self.timer {
            Some((due, timer)) if *due == deadline => timer,
            other => &mut other.insert((deadline, runtime::sleep(until))).1,
        };
        if timer.poll(cx).is_ready() {
            self.timer = None;
            cx.waker().wake_by_ref();
        }
    }
}

impl Future for Driver {
    type Output = bool;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        let driver = self.get_mut();
        driver.host.adapter.begin_turn(cx.waker());
        driver.run_commands(cx);
        driver.host.dispatch(cx);
        if let Some(in_order) = driver.host.ended() {
            return Poll::Ready(in_order);
        }
        driver.set_timer(cx);
        Poll::Pending
    }
}

impl Host {
    pub(crate) fn stop(&mut self) {
        self.end = End::Stopped;
    }

    /// Ends in order: the calls have so long to come to their own end, all that follows has so long.
    pub(crate) fn begin_end(
        &mut self,
        patience: Duration,
        grace: Duration,
        done: Option<Sender<Result<bool, Error>>>,
    ) {
        let now = self.adapter.now();
        self.end = End::Ending(now + patience + grace, done);
        self.adapter.stack().drain(now, patience);
    }

    fn dispatch(&mut self, cx: &Context<'_>) {
        self.desk.flush(&mut self.adapter, cx.waker());
        while let Some(event) = self.adapter.poll_event() {
            self.desk.deliver(&mut self.adapter, event, cx.waker());
        }
    }

    /// Whether this is the end, and if so whether it was one in order.
    fn ended(&mut self) -> Option<bool> {
        let End::Ending(deadline, done) = &mut self.end else {
            return matches!(self.end, End::Stopped).then_some(false);
        };
        let in_order = !self.adapter.stack().is_draining() && self.adapter.connections() == 0;
        if in_order || *deadline <= self.adapter.now() {
            if let Some(done) = done.take() {
                // Whoever asked may have gone.
                let _ = done.push(Ok(in_order), None);
            }
            return Some(in_order);
        }
        None
    }
}
