//! `sansip watch` and `sansip publish`: the state of somebody (RFC 6665), and our own (RFC 3903).

use std::path::Path;

use sansip::{
    Config, Content, Event, Profile, PublicationState, PublishOptions, SubscribeOptions, SubscriptionReason,
    SubscriptionState,
};

use crate::account;
use crate::agent::{Agent, Step};
use crate::args::{PublishArgs, WatchArgs};
use crate::failure::Failure;
use crate::output::Output;
use crate::report::{publication_reason, subscription_reason};
use crate::sdp;

/// Subscribes, prints what comes until the end, and unsubscribes.
pub(crate) fn watch(args: &WatchArgs, out: Output) -> Result<(), Failure> {
    let mut agent = account::agent(Config::default(), &args.account, out)?;
    let outcome = see(&mut agent, args);
    agent.finish(outcome)
}

fn see(agent: &mut Agent, args: &WatchArgs) -> Result<(), Failure> {
    let endpoint = account::sender(agent, &args.account, &args.peer, &args.target, Profile::default())?;
    let until = agent.after(args.account.timeout);
    let mut options = SubscribeOptions::new(args.event.as_str());
    options.accept.clone_from(&args.accept);
    let (subscription, operation) = agent.command(|stack, now| {
        let mut view = stack.endpoint(now, endpoint)?;
        if !args.once {
            return view.subscribe(&args.target, options);
        }
        let subscription = view.create_subscription(&args.target, options)?;
        Ok((subscription, stack.subscription(now, subscription)?.query()?))
    })?;
    let ended = |event: &Event| match event {
        Event::Subscription {
            subscription: id,
            new: SubscriptionState::Terminated,
            reason,
            ..
        } if *id == subscription => Some(*reason),
        _ => None,
    };
    let mut over = None;
    agent.complete(operation, until, |event| over = over.or_else(|| ended(event)))?;
    if args.once {
        return Ok(());
    }
    let until = agent.after(args.stay);
    while over.is_none() {
        match agent.next(until)? {
            Step::Event(event) => over = ended(&event),
            Step::TimeUp | Step::Interrupted => return Ok(()),
        }
    }
    let why = subscription_reason(over.unwrap_or(SubscriptionReason::None));
    Err(over_before_its_time("subscription", why))
}

/// Publishes until the end, and removes it.
pub(crate) fn publish(args: &PublishArgs, out: Output) -> Result<(), Failure> {
    let body = match args.body.strip_prefix('@') {
        Some(file) => sdp::read(Path::new(file))?,
        None => args.body.clone().into(),
    };
    if body.is_empty() {
        return Err(Failure::usage("--body is empty: there is nothing to publish"));
    }
    let content = Content::new(args.content_type.as_str(), body);
    let mut agent = account::agent(Config::default(), &args.account, out)?;
    let outcome = show(&mut agent, args, content);
    agent.finish(outcome)
}

fn show(agent: &mut Agent, args: &PublishArgs, content: Content) -> Result<(), Failure> {
    let target = &args.account.user;
    let endpoint = account::sender(agent, &args.account, &args.peer, target, Profile::default())?;
    let until = agent.after(args.account.timeout);
    let (publication, operation) = agent.command(|stack, now| {
        let options = PublishOptions::new(args.event.as_str());
        stack.endpoint(now, endpoint)?.publish(target, options, content)
    })?;
    agent.complete(operation, until, |_| {})?;
    let until = agent.after(args.stay);
    loop {
        match agent.next(until)? {
            Step::Event(Event::Publication {
                publication: id,
                new: PublicationState::Removed,
                reason,
                ..
            }) if id == publication => {
                return Err(over_before_its_time("publication", publication_reason(reason)));
            }
            Step::Event(_) => {}
            Step::TimeUp | Step::Interrupted => return Ok(()),
        }
    }
}

fn over_before_its_time(what: &str, why: Option<&str>) -> Failure {
    Failure::new(format!(
        "the {what} has ended: {}",
        why.unwrap_or("no reason was given")
    ))
}
