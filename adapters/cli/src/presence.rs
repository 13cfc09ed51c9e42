//! `sansip watch` and `sansip publish`: the state of somebody (RFC 6665), and our own (RFC 3903).

use std::time::Duration;

use sansip::{
    Config, Content, Event, EventList, Profile, PublicationState, PublishOptions, SubscribeOptions,
    SubscriptionId, SubscriptionReason, SubscriptionState,
};

use crate::account;
use crate::agent::{Agent, GRACE, Step};
use crate::args::{PublishArgs, WatchArgs};
use crate::explain::explain;
use crate::failure::Failure;
use crate::output::Output;
use crate::report::{publication_reason, subscription_reason};
use crate::sdp;

/// The media type of a list of those to watch (MS-SIP).
const MEMBERS: &str = "application/adrl+xml";

/// Subscribes, prints what comes until the end, and unsubscribes.
pub(crate) fn watch(args: &WatchArgs, out: Output) -> Result<(), Failure> {
    let options = options(args)?;
    let mut agent = account::agent(Config::default(), &args.account, out)?;
    let outcome = see(&mut agent, args, options);
    agent.finish(outcome)
}

fn options(args: &WatchArgs) -> Result<SubscribeOptions, Failure> {
    let mut options = SubscribeOptions::new(args.event.as_str());
    options.accept.clone_from(&args.accept);
    options.benotify = args.benotify;
    options.piggyback = args.piggyback;
    if args.list {
        options.list = EventList::AtNotifier;
    }
    if let Some(members) = &args.members {
        options.list = EventList::Carried;
        options.content = Some(Content::new(MEMBERS, sdp::text_or_file("--members", members)?));
    }
    Ok(options)
}

fn see(agent: &mut Agent, args: &WatchArgs, options: SubscribeOptions) -> Result<(), Failure> {
    let endpoint = account::sender(agent, &args.account, &args.peer, &args.target, Profile::default())?;
    let until = agent.after(args.account.timeout);
    let content = options.content.clone();
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
    let mut again = args.again.map(|again| agent.now() + Duration::from_millis(again));
    while over.is_none() {
        match agent.next(until.into_iter().chain(again).min())? {
            Step::Event(event) => over = ended(&event),
            Step::TimeUp if again.take_if(|again| *again <= agent.now()).is_some() => {
                let content = content.clone();
                agent.command(|stack, now| stack.subscription(now, subscription)?.update(content))?;
            }
            Step::TimeUp | Step::Interrupted => return unsubscribe(agent, subscription),
        }
    }
    let why = subscription_reason(over.unwrap_or(SubscriptionReason::None));
    Err(over_before_its_time("subscription", why))
}

/// Ends the subscription, whose last NOTIFY is waited for: the end of its endpoint would not.
fn unsubscribe(agent: &mut Agent, subscription: SubscriptionId) -> Result<(), Failure> {
    let operation = agent.command(|stack, now| Ok(stack.subscription(now, subscription)?.terminate()))?;
    agent.ends_with(operation);
    let until = agent.now() + GRACE;
    loop {
        match agent.next(Some(until))? {
            Step::Event(Event::Completed {
                operation: done,
                result,
            }) if done == operation => {
                return result.map(|_| ()).map_err(|error| Failure::new(explain(&error)));
            }
            Step::Event(_) => {}
            Step::TimeUp | Step::Interrupted => return Ok(()),
        }
    }
}

/// Publishes until the end, and removes it.
pub(crate) fn publish(args: &PublishArgs, out: Output) -> Result<(), Failure> {
    let body = sdp::text_or_file("--body", &args.body)?;
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
