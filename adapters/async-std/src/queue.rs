//! A bounded queue between a driver and a handle: the one way in which the two speak, in both directions.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;

struct State<T> {
    items: VecDeque<T>,
    bound: usize,
    senders: usize,
    is_received: bool,
    /// Waits for an item.
    reader: Option<Waker>,
    /// Waits for room.
    writer: Option<Waker>,
}

type Shared<T> = Mutex<State<T>>;

fn lock<T>(shared: &Shared<T>) -> MutexGuard<'_, State<T>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why an item was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal<T> {
    /// There is no room for it now.
    Full(T),
    /// Nobody receives any more.
    Closed(T),
}

/// Puts in.
pub(crate) struct Sender<T>(Arc<Shared<T>>);

/// A [`Sender`] that does not keep the queue open.
pub(crate) struct WeakSender<T>(Arc<Shared<T>>);

/// Takes out. It ends when the last sender is gone and everything is taken; dropping it closes the queue.
pub(crate) struct Receiver<T>(Arc<Shared<T>>);

/// A queue for this many items, at least one.
pub(crate) fn queue<T>(bound: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Mutex::new(State {
        items: VecDeque::new(),
        bound: bound.max(1),
        senders: 1,
        is_received: true,
        reader: None,
        writer: None,
    }));
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

impl<T> Sender<T> {
    /// Puts an item in where there is room; otherwise `writer` is woken as soon as there is.
    pub(crate) fn push(&self, item: T, writer: Option<&Waker>) -> Result<(), Refusal<T>> {
        let mut state = lock(&self.0);
        if state.is_received && state.items.len() >= state.bound {
            state.writer = writer.cloned();
            return Err(Refusal::Full(item));
        }
        Self::put(state, item)
    }

    /// Puts an item in, above the bound, too: for what comes at most once for each item that was let through.
    pub(crate) fn push_always(&self, item: T) -> Result<(), Refusal<T>> {
        Self::put(lock(&self.0), item)
    }

    fn put(mut state: MutexGuard<'_, State<T>>, item: T) -> Result<(), Refusal<T>> {
        if !state.is_received {
            return Err(Refusal::Closed(item));
        }
        state.items.push_back(item);
        let reader = state.reader.take();
        drop(state);
        wake(reader);
        Ok(())
    }

    /// Whether somebody receives.
    pub(crate) fn is_received(&self) -> bool {
        lock(&self.0).is_received
    }

    pub(crate) fn downgrade(&self) -> WeakSender<T> {
        WeakSender(Arc::clone(&self.0))
    }
}

impl<T> WeakSender<T> {
    /// `None` when the last sender is gone.
    pub(crate) fn upgrade(&self) -> Option<Sender<T>> {
        let mut state = lock(&self.0);
        if state.senders == 0 {
            return None;
        }
        state.senders += 1;
        drop(state);
        Some(Sender(Arc::clone(&self.0)))
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        lock(&self.0).senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.senders -= 1;
        if state.senders == 0 {
            let reader = state.reader.take();
            drop(state);
            wake(reader);
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.is_received = false;
        let (items, writer) = (std::mem::take(&mut state.items), state.writer.take());
        // What the items do when they are dropped may come back here.
        drop(state);
        drop(items);
        wake(writer);
    }
}

impl<T> Stream for Receiver<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = lock(&self.0);
        let item = state.items.pop_front();
        if item.is_none() && state.senders > 0 {
            match &mut state.reader {
                Some(known) => known.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        }
        let writer = state.writer.take();
        drop(state);
        wake(writer);
        Poll::Ready(item)
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender(..)")
    }
}

impl<T> fmt::Debug for WeakSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakSender(..)")
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn counted() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count::default());
        (Arc::clone(&count), Waker::from(count))
    }

    fn poll<T>(receiver: &mut Receiver<T>, waker: &Waker) -> Poll<Option<T>> {
        Pin::new(receiver).poll_next(&mut Context::from_waker(waker))
    }

    #[test]
    fn a_full_queue_refuses_and_wakes_its_writer_when_there_is_room() {
        let (sender, mut receiver) = queue(2);
        let (count, waker) = counted();
        assert_eq!(sender.push(1, Some(&waker)), Ok(()));
        assert_eq!(sender.push(2, Some(&waker)), Ok(()));
        assert_eq!(sender.push(3, Some(&waker)), Err(Refusal::Full(3)));
        assert_eq!(sender.push_always(4), Ok(()));
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        assert_eq!(poll(&mut receiver, &waker), Poll::Ready(Some(1)));
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert_eq!(poll(&mut receiver, &waker), Poll::Ready(Some(2)));
        assert_eq!(poll(&mut receiver, &waker), Poll::Ready(Some(4)));
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_reader_is_woken_by_an_item_and_by_the_end() {
        let (sender, mut receiver) = queue(1);
        let (count, waker) = counted();
        assert_eq!(poll(&mut receiver, &waker), Poll::Pending);
        sender.push(1, None).unwrap();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert_eq!(poll(&mut receiver, &waker), Poll::Ready(Some(1)));
        let weak = sender.downgrade();
        let other = weak.upgrade().unwrap();
        drop(sender);
        assert_eq!(poll(&mut receiver, &waker), Poll::Pending);
        other.push(2, None).unwrap();
        drop(other);
        assert!(weak.upgrade().is_none());
        assert_eq!(poll(&mut receiver, &waker), Poll::Ready(Some(2)));
        assert_eq!(poll(&mut receiver, &waker), Poll::Ready(None));
    }

    #[test]
    fn without_a_receiver_nothing_is_kept() {
        let (sender, receiver) = queue(1);
        let (count, waker) = counted();
        let item = Arc::new(());
        sender.push(Arc::clone(&item), None).unwrap();
        assert!(matches!(
            sender.push(Arc::clone(&item), Some(&waker)),
            Err(Refusal::Full(_))
        ));
        drop(receiver);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert_eq!(Arc::strong_count(&item), 1);
        assert!(matches!(
            sender.push(Arc::clone(&item), Some(&waker)),
            Err(Refusal::Closed(_))
        ));
        assert!(matches!(sender.push_always(item), Err(Refusal::Closed(_))));
    }
}
