//! A loop of our own around an [`Adapter`].

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Poll, Token, Waker};
use sansip::{Event, Stack, Time};

use crate::adapter::Adapter;
use crate::settings::Settings;
use crate::waker::{Commands, Handle, commands};

/// How many events mio gives at once.
const EVENTS: usize = 1024;
/// Never in the range of the sockets, for no range contains its end.
const WAKER: Token = Token(usize::MAX);

/// Owns a stack, its sockets and the loop. One thread; [`Driver::handle`] is for the others.
///
/// ```no_run
/// use std::ops::ControlFlow;
/// use sansip::{Config, Stack, Time};
/// use sansip_mio::{Driver, Settings, seed, unix_time};
///
/// # fn main() -> std::io::Result<()> {
/// let stack = Stack::new(Config::default(), seed()?, Time::ZERO, unix_time());
/// let mut driver = Driver::new(stack, Settings::default())?;
/// // ... commands: endpoints, listening ...
/// driver.run(|adapter, event| {
///     println!("{} {event:?}", adapter.now());
///     ControlFlow::<()>::Continue(())
/// })?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Driver {
    poll: Poll,
    events: Events,
    adapter: Adapter,
    handle: Handle,
    commands: Commands,
}

impl Driver {
    /// Drives this stack, which is to be made with [`Time::ZERO`] as its time.
    ///
    /// # Errors
    /// The system gives no selector, no waker or no entropy.
    pub fn new(stack: Stack, settings: Settings) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let (handle, commands) = commands(waker, settings.commands);
        let adapter = Adapter::new(stack, poll.registry(), settings)?;
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS),
            adapter,
            handle,
            commands,
        })
    }

    /// The stack, for commands and for reading.
    pub const fn stack(&mut self) -> &mut Stack {
        self.adapter.stack()
    }

    /// The adapter inside, for [`Adapter::set_tls`].
    pub const fn adapter(&mut self) -> &mut Adapter {
        &mut self.adapter
    }

    /// The time that commands are to be given with.
    pub fn now(&self) -> Time {
        self.adapter.now()
    }

    /// What other threads command the loop with.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Waits once, no longer than `max_wait`, and runs the commands of other threads. Take [`Driver::poll_event`] until it
    /// gives nothing before the next turn: the work is done there.
    ///
    /// # Errors
    /// The selector fails. An interrupted wait is none.
    pub fn turn(&mut self, max_wait: Option<Duration>) -> io::Result<()> {
        let wait = self.adapter.timeout().into_iter().chain(max_wait).min();
        match self.poll.poll(&mut self.events, wait) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            result => result?,
        }
        for event in &self.events {
            if event.token() == WAKER {
                self.commands.run(&mut self.adapter);
            } else {
                self.adapter.handle_event(event);
            }
        }
        self.adapter.handle_deadline();
        Ok(())
    }

    /// As [`Adapter::poll_event`].
    pub fn poll_event(&mut self) -> Option<Event> {
        self.adapter.poll_event()
    }

    /// Turns and hands out events until one breaks off, and gives what it broke off with; `None` after [`Handle::stop`].
    ///
    /// # Errors
    /// The selector fails.
    pub fn run<B>(
        &mut self,
        mut on_event: impl FnMut(&mut Adapter, Event) -> ControlFlow<B>,
    ) -> io::Result<Option<B>> {
        loop {
            while let Some(event) = self.adapter.poll_event() {
                if let ControlFlow::Break(value) = on_event(&mut self.adapter, event) {
                    return Ok(Some(value));
                }
            }
            if self.commands.is_stopped() {
                return Ok(None);
            }
            self.turn(None)?;
        }
    }

    /// Ends in order: stops listening, ends every call, unregisters every endpoint, and closes the connections when all that
    /// is done. It takes `grace` at the longest; true when it was enough.
    ///
    /// # Errors
    /// The selector fails.
    pub fn shutdown(self, grace: Duration, on_event: impl FnMut(&mut Adapter, Event)) -> io::Result<bool> {
        self.drain(Duration::ZERO, grace, on_event)
    }

    /// The same, but no earlier than the calls there are have ended, or have gone on for `patience`; new ones are refused
    /// meanwhile ([`Stack::drain`]). What comes after takes `grace` at the longest.
    ///
    /// # Errors
    /// The selector fails.
    pub fn drain(
        mut self,
        patience: Duration,
        grace: Duration,
        mut on_event: impl FnMut(&mut Adapter, Event),
    ) -> io::Result<bool> {
        let now = self.now();
        let deadline = now + patience + grace;
        self.stack().drain(now, patience);
        loop {
            while let Some(event) = self.adapter.poll_event() {
                on_event(&mut self.adapter, event);
            }
            if !self.stack().is_draining() && self.adapter.connections() == 0 {
                return Ok(true);
            }
            let left = deadline.since(self.now());
            if left.is_zero() {
                return Ok(false);
            }
            self.turn(Some(left))?;
        }
    }
}
