//! Recording the whole input of a stack, and replaying it to the same actions (rules X1, X8).
//!
//! A stack that [`Stack::recorded`](crate::Stack::recorded) made writes down every call that can change it, with its time,
//! and short digests of the actions and of the bytes that came of them. [`Replay`] makes the same calls on a new stack, which
//! has to do the same; it stops at the first difference and names it.
//!
//! ```
//! use sansip::record::Replay;
//! use sansip::{Config, PeerToPeerConfig, SendOptions, Stack, Time, UnixTime};
//!
//! let mut stack = Stack::recorded(Config::default(), [7; 32], Time::ZERO, UnixTime(0), 1 << 20);
//! let alice = stack.add_peer_to_peer_endpoint(Time::ZERO, PeerToPeerConfig::new("sip:alice@192.0.2.1"))?;
//! stack.endpoint(Time::ZERO, alice)?.invite("sip:bob@192.0.2.2", None, SendOptions::default())?;
//! while let Some(action) = stack.poll_action() {
//!     // carry it out
//! #   drop(action);
//! }
//! let recording = stack.take_recording(); // again and again, to a file of mode 0600
//!
//! let mut replay = Replay::open(recording)?;
//! while let Some(step) = replay.step()? {
//!     // step.now, step.input, step.actions, step.sent
//! #   drop(step);
//! }
//! assert_eq!(replay.stack().census(), stack.census());
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! # What is in a recording
//!
//! Every message that came in and every body that was sent, and the seed: a recording is a secret file. Passwords are not in
//! it, nor anything that is computed from them but the digests of what was sent, so that whoever has the recording can try
//! passwords on it. They are given again with [`Replay::with_secret`].
//!
//! # What it costs
//!
//! Nothing but a branch for each call where a stack is not recorded. Otherwise one copy of what comes in, and of the
//! arguments of a command; from 2 to 16 bytes for each input beside those, and 8 more for a run of polls.

mod context;
mod reader;
mod replay;

pub use crate::stack::recorder::Input;
pub(crate) use context::Recorded;
pub use replay::{Difference, Divergence, Replay, ReplayError, Step};
