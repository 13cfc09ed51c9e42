//! What `register` and `listen` tell those who subscribe to a state of ours (RFC 6665).

use std::collections::BTreeMap;
use std::time::Duration;

use sansip::wire::header;
use sansip::wire::{Message, StatusCode};
use sansip::{Content, EndOfSubscription, Event, Time, WatcherId};

use crate::agent::Agent;
use crate::args::StateArgs;
use crate::failure::Failure;
use crate::sdp;

/// Tells one state, which does not change, to whoever asks.
pub(crate) struct Notifier {
    event: String,
    state: Content,
    /// How long a subscription lasts before it is ended.
    hangup: Option<Duration>,
    ends: BTreeMap<WatcherId, Time>,
}

impl Notifier {
    /// `None`, where no state was given.
    pub(crate) fn new(args: &StateArgs, hangup: Option<Duration>) -> Result<Option<Self>, Failure> {
        let Some(state) = &args.state else {
            return Ok(None);
        };
        Ok(Some(Self {
            event: args.event.clone(),
            state: Content::new(args.content_type.as_str(), sdp::text_or_file("--state", state)?),
            hangup,
            ends: BTreeMap::new(),
        }))
    }

    /// When there is something to do next.
    pub(crate) fn due(&self) -> Option<Time> {
        self.ends.values().min().copied()
    }

    /// Does what an event asks for. A refresh the stack answers by itself.
    pub(crate) fn handle(&mut self, agent: &mut Agent, event: &Event) {
        match event {
            Event::WatcherReceived { watcher, message, .. } => self.begin(agent, *watcher, message),
            Event::WatcherEnded { watcher, .. } => {
                self.ends.remove(watcher);
            }
            _ => {}
        }
    }

    fn begin(&mut self, agent: &mut Agent, watcher: WatcherId, message: &Message) {
        let asked = message.typed::<header::Event<'_>>().ok().flatten();
        if asked.is_none_or(|asked| asked.package != self.event) {
            agent.attempt("refuse the subscription", |stack, now| {
                stack.watcher(now, watcher)?.reject(StatusCode::BAD_EVENT, None)
            });
            return;
        }
        let state = self.state.clone();
        let taken = agent.attempt("take the subscription", |stack, now| {
            stack.watcher(now, watcher)?.accept(None, Some(state))
        });
        if let Some(hangup) = self.hangup.filter(|_| taken) {
            self.ends.insert(watcher, agent.now() + hangup);
        }
    }

    /// Ends the subscriptions whose time is up. What they are about is there no more.
    pub(crate) fn handle_due(&mut self, agent: &mut Agent) {
        let now = agent.now();
        while let Some((&watcher, _)) = self.ends.iter().find(|(_, at)| **at <= now) {
            self.ends.remove(&watcher);
            agent.attempt("end the subscription", |stack, now| {
                stack
                    .watcher(now, watcher)?
                    .terminate(EndOfSubscription::NoResource, None)
            });
        }
    }
}
