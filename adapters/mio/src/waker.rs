//! Commands from other threads: closures in a bounded queue, and mio's waker.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use mio::Waker;
use sansip::{Stack, Time};

use crate::adapter::Adapter;

/// How many commands run after one wake-up at most.
const COMMANDS_PER_WAKE: usize = 64;

type Command<T> = Box<dyn FnOnce(&mut T) + Send>;

/// Runs closures on the thread of a loop, from any thread. Cloning it is cheap.
pub struct Handle<T = Adapter> {
    queue: SyncSender<Command<T>>,
    shared: Arc<Shared>,
}

struct Shared {
    waker: Arc<Waker>,
    stop: AtomicBool,
}

/// Why a command was not taken; it will not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandleError {
    /// The queue is full: the loop is busy. Try again later.
    Full,
    /// The loop is gone.
    Stopped,
}

impl fmt::Display for HandleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "too many commands wait",
            Self::Stopped => "the loop has stopped",
        })
    }
}

impl std::error::Error for HandleError {}

impl<T> Handle<T> {
    /// Queues a closure for the loop's thread and wakes it. Closures run in the order in which they were queued, between
    /// two events.
    ///
    /// # Errors
    /// The queue is full, or the loop is gone.
    pub fn with(&self, command: impl FnOnce(&mut T) + Send + 'static) -> Result<(), HandleError> {
        self.queue
            .try_send(Box::new(command))
            .map_err(|error| match error {
                TrySendError::Full(_) => HandleError::Full,
                TrySendError::Disconnected(_) => HandleError::Stopped,
            })?;
        self.wake();
        Ok(())
    }

    /// Tells the loop to end as soon as it can: [`Driver::run`](crate::Driver::run) returns, and the application decides
    /// how to go on. This finds room always.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        // Should the system refuse, the loop finds what there is at its next wake-up.
        let _ = self.shared.waker.wake();
    }
}

impl Handle {
    /// [`Handle::with`] for what only needs the stack and the time.
    ///
    /// # Errors
    /// The queue is full, or the loop is gone.
    pub fn run(&self, command: impl FnOnce(&mut Stack, Time) + Send + 'static) -> Result<(), HandleError> {
        self.with(move |adapter: &mut Adapter| {
            let now = adapter.now();
            command(adapter.stack(), now);
        })
    }
}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle(..)")
    }
}

/// The loop's end of the queue.
pub struct Commands<T = Adapter> {
    queue: Receiver<Command<T>>,
    shared: Arc<Shared>,
}

impl<T> Commands<T> {
    /// Runs what waits, but no more than one wake-up's worth; the rest wakes the loop again.
    pub fn run(&self, target: &mut T) {
        for _ in 0..COMMANDS_PER_WAKE {
            let Ok(command) = self.queue.try_recv() else {
                return;
            };
            command(target);
        }
        let _ = self.shared.waker.wake();
    }

    /// Whether [`Handle::stop`] was called.
    pub fn is_stopped(&self) -> bool {
        self.shared.stop.load(Ordering::Acquire)
    }
}

impl<T> fmt::Debug for Commands<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Commands(..)")
    }
}

/// A queue for `bound` commands, for a loop of the user's own: when the event of the waker's token comes, it calls
/// [`Commands::run`]. A [`Driver`](crate::Driver) has one already. mio allows one waker for each `Poll`.
pub fn commands<T>(waker: Arc<Waker>, bound: usize) -> (Handle<T>, Commands<T>) {
    let (sender, receiver) = sync_channel(bound.max(1));
    let shared = Arc::new(Shared {
        waker,
        stop: AtomicBool::new(false),
    });
    (
        Handle {
            queue: sender,
            shared: Arc::clone(&shared),
        },
        Commands {
            queue: receiver,
            shared,
        },
    )
}
