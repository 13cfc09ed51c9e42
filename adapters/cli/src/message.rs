//! `sansip message` and `sansip options`: one request outside a session.

use std::time::Duration;

use sansip::wire::{HeaderName, Method};
use sansip::{Config, Content, Event, SendOptions};
use serde_json::json;

use crate::account;
use crate::agent::{Agent, Step};
use crate::args::{AccountArgs, MessageArgs, OptionsArgs, PeerArgs};
use crate::failure::Failure;
use crate::output::Output;

/// Sends a text message.
pub(crate) fn message(args: &MessageArgs, out: Output) -> Result<(), Failure> {
    let request = Request {
        account: &args.account,
        peer: &args.peer,
        target: &args.target,
        method: Method::Message,
        content: Some(Content::text(args.text.as_str())),
        wait: args.wait.map(Duration::from_millis),
    };
    request.run(out)
}

/// Asks for the abilities of a peer.
pub(crate) fn options(args: &OptionsArgs, out: Output) -> Result<(), Failure> {
    let request = Request {
        account: &args.account,
        peer: &args.peer,
        target: &args.target,
        method: Method::Options,
        content: None,
        wait: None,
    };
    request.run(out)
}

struct Request<'a> {
    account: &'a AccountArgs,
    peer: &'a PeerArgs,
    target: &'a str,
    method: Method,
    content: Option<Content>,
    /// How long a message back is waited for.
    wait: Option<Duration>,
}

impl Request<'_> {
    fn run(self, out: Output) -> Result<(), Failure> {
        let mut agent = account::agent(Config::default(), self.account, out)?;
        let outcome = self.send(&mut agent);
        agent.finish(outcome)
    }

    fn send(self, agent: &mut Agent) -> Result<(), Failure> {
        let profile = account::profile(&self.account.identity);
        let endpoint = account::sender(agent, self.account, self.peer, self.target, profile)?;
        let until = agent.after(self.account.timeout);
        let (target, content) = (self.target, self.content);
        let method = self.method.clone();
        let operation = agent.command(|stack, now| {
            stack
                .endpoint(now, endpoint)?
                .send_message(target, method, content, SendOptions::default())
        })?;
        let mut received = false;
        let completion = agent.complete(operation, until, |event| {
            received |= matches!(event, Event::MessageReceived { .. });
        })?;
        if let (Method::Options, Some(response)) = (self.method, completion.response()) {
            for name in [
                HeaderName::Allow,
                HeaderName::Accept,
                HeaderName::Supported,
                HeaderName::Server,
            ] {
                for value in response.raw_all(name) {
                    let value = String::from_utf8_lossy(value);
                    let fields = vec![("header", json!(name.as_str())), ("value", json!(value))];
                    agent.out().event("ability", format!("{name}: {value}"), fields);
                }
            }
        }
        let until = self.wait.map(|wait| agent.now() + wait);
        while until.is_some() && !received {
            match agent.next(until)? {
                Step::Event(event) => received = matches!(event, Event::MessageReceived { .. }),
                Step::TimeUp => return Err(Failure::new("no message came back in time")),
                Step::Interrupted => return Err(Failure::new("interrupted")),
            }
        }
        Ok(())
    }
}
