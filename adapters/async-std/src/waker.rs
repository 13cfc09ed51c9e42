//! Which sockets are worth a look: each has a waker of its own, and all of them wake the one task that turns them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use crate::net::SocketId;

/// What has been woken, and the task to tell.
#[derive(Debug, Default)]
pub(crate) struct Ready(Mutex<Woken>);

#[derive(Debug, Default)]
struct Woken {
    sockets: VecDeque<SocketId>,
    task: Option<Waker>,
}

impl Ready {
    /// From now on this task is woken.
    pub(crate) fn set_task(&self, task: &Waker) {
        let mut woken = self.lock();
        match &mut woken.task {
            Some(known) => known.clone_from(task),
            none => *none = Some(task.clone()),
        }
    }

    /// Wakes the task for something that is no socket's.
    pub(crate) fn wake_task(&self) {
        let task = self.lock().task.clone();
        if let Some(task) = task {
            task.wake();
        }
    }

    /// The socket that was woken first.
    pub(crate) fn pop(&self) -> Option<SocketId> {
        self.lock().sockets.pop_front()
    }

    fn lock(&self) -> MutexGuard<'_, Woken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The waker of one socket.
#[derive(Debug)]
pub(crate) struct SocketWaker {
    socket: SocketId,
    ready: Arc<Ready>,
    is_queued: AtomicBool,
}

impl SocketWaker {
    pub(crate) fn new(socket: SocketId, ready: &Arc<Ready>) -> Arc<Self> {
        Arc::new(Self {
            socket,
            ready: Arc::clone(ready),
            is_queued: AtomicBool::new(false),
        })
    }

    /// The socket was taken from [`Ready`] and is looked at next; what happens from now on queues it again.
    pub(crate) fn reset(&self) {
        self.is_queued.store(false, Ordering::Release);
    }
}

impl Wake for SocketWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let task = {
            let mut woken = self.ready.lock();
            woken.sockets.push_back(self.socket);
            woken.task.clone()
        };
        if let Some(task) = task {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_socket_stands_once_in_the_queue_until_it_is_looked_at() {
        let ready = Arc::new(Ready::default());
        let count = Arc::new(Count::default());
        ready.set_task(&Waker::from(Arc::clone(&count)));
        let [one, two] = [1, 2].map(|number| SocketWaker::new(SocketId::new(number), &ready));
        for socket in [&two, &one, &two, &two] {
            socket.wake_by_ref();
        }
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
        assert_eq!(ready.pop(), Some(SocketId::new(2)));
        two.reset();
        two.wake_by_ref();
        assert_eq!(ready.pop(), Some(SocketId::new(1)));
        assert_eq!(ready.pop(), Some(SocketId::new(2)));
        assert_eq!(ready.pop(), None);
        assert_eq!(count.0.load(Ordering::Relaxed), 3);
    }
}
