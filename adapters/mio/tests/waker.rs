//! Commands from other threads to a loop of the user's own.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token, Waker};
use sansip_mio::{HandleError, commands};

const WAKER: Token = Token(9);

#[test]
fn commands_of_many_threads_wake_the_loop_and_keep_their_order() {
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(8);
    let waker = Arc::new(Waker::new(poll.registry(), WAKER).unwrap());
    let (handle, commands) = commands::<Vec<(usize, usize)>>(waker, 1000);
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let handle = handle.clone();
            thread::spawn(move || {
                for number in 0..200 {
                    handle
                        .with(move |log: &mut Vec<_>| log.push((thread, number)))
                        .unwrap();
                }
            })
        })
        .collect();
    let mut log = Vec::new();
    while log.len() < 800 {
        poll.poll(&mut events, Some(Duration::from_secs(60))).unwrap();
        assert!(!events.is_empty(), "nobody woke the loop");
        commands.run(&mut log);
    }
    for thread in threads {
        thread.join().unwrap();
    }
    for thread in 0..4 {
        let numbers: Vec<_> = log
            .iter()
            .filter(|(of, _)| *of == thread)
            .map(|(_, number)| *number)
            .collect();
        assert!(numbers.iter().copied().eq(0..200), "{numbers:?}");
    }
    assert!(!commands.is_stopped());
    handle.stop();
    assert!(commands.is_stopped());
}

#[test]
fn a_full_queue_and_a_loop_that_is_gone_are_told() {
    let poll = Poll::new().unwrap();
    let waker = Arc::new(Waker::new(poll.registry(), WAKER).unwrap());
    let (handle, commands) = commands::<u32>(waker, 2);
    assert_eq!(handle.with(|count| *count += 1), Ok(()));
    assert_eq!(handle.with(|count| *count += 1), Ok(()));
    assert_eq!(handle.with(|count| *count += 1), Err(HandleError::Full));
    let mut count = 0;
    commands.run(&mut count);
    assert_eq!(count, 2);
    assert_eq!(handle.with(|count| *count += 1), Ok(()));
    drop(commands);
    assert_eq!(handle.with(|count| *count += 1), Err(HandleError::Stopped));
}

#[test]
fn one_wake_up_runs_no_more_than_its_share_and_the_rest_wakes_again() {
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(8);
    let waker = Arc::new(Waker::new(poll.registry(), WAKER).unwrap());
    let (handle, commands) = commands::<usize>(waker, 500);
    for _ in 0..500 {
        handle.with(|count| *count += 1).unwrap();
    }
    let (mut count, mut wakes) = (0, 0);
    let start = Instant::now();
    while count < 500 {
        poll.poll(&mut events, Some(Duration::from_secs(60))).unwrap();
        commands.run(&mut count);
        wakes += 1;
    }
    assert!(wakes > 1);
    assert!(start.elapsed() < Duration::from_secs(30));
}
