//! `sansip call`.

use std::time::Duration;

use sansip::wire::Method;
use sansip::{
    Completion, Config, Content, EndpointId, Event, OperationError, OperationId, Profile, RedirectAction,
    ReferralId, ReferralState, SendOptions, SessionId, SessionReason, SessionState, Time,
};

use crate::account;
use crate::agent::{Agent, GRACE, Step};
use crate::answerer;
use crate::args::CallArgs;
use crate::explain::explain;
use crate::failure::Failure;
use crate::output::Output;
use crate::report::{referral_state, session_reason};
use crate::sdp::{self, SDP};

/// Calls, talks so long as was asked for, and hangs up.
pub(crate) fn run(args: &CallArgs, out: Output) -> Result<(), Failure> {
    let own = args
        .sdp
        .as_deref()
        .map(sdp::read)
        .transpose()?
        .map(|body| Content::new(SDP, body));
    let mut config = Config::default();
    if let Some(timeout) = args.account.timeout {
        config.max_connect_duration = Duration::from_secs(timeout);
    }
    let mut agent = account::agent(config, &args.account, out)?;
    let outcome = place(&mut agent, args, own);
    agent.finish(outcome)
}

fn place(agent: &mut Agent, args: &CallArgs, own: Option<Content>) -> Result<(), Failure> {
    let profile = Profile {
        redirects: args.follow_redirects,
        ..account::caller_profile(&args.account.identity, &args.sessions)
    };
    let endpoint = account::sender(agent, &args.account, &args.peer, &args.target, profile)?;
    if args.follow_transfers {
        account::follow_transfers(agent, endpoint)?;
    }
    let mut call = Call::invite(agent, args, endpoint, own)?;
    loop {
        let step = agent.next(call.deadline)?;
        match step {
            Step::Event(event) => {
                if let Some(outcome) = call.handle(agent, &event) {
                    return outcome;
                }
            }
            Step::TimeUp => call.handle_deadline(agent)?,
            Step::Interrupted => {
                return if call.established.is_some() {
                    Ok(())
                } else {
                    Err(Failure::new("interrupted"))
                };
            }
        }
    }
}

/// A call of ours, from INVITE to its end.
struct Call {
    session: SessionId,
    invite: OperationId,
    /// The session description that the user gave.
    own: Option<Content>,
    text: Option<String>,
    /// The text message in the call, while it is under way.
    message: Option<OperationId>,
    hangup: Option<OperationId>,
    /// Whom the peer is to call in the end.
    transfer_to: Option<String>,
    /// Whether to call them first.
    consult: bool,
    /// Whether the peer makes the offer in calls of ours.
    no_offer: bool,
    /// The call to whom the peer is to call, while there is one.
    third: Option<Third>,
    /// The transfer that is under way.
    transfer: Option<ReferralId>,
    duration: Duration,
    /// For how long to put it on hold.
    hold: Option<Duration>,
    /// The request that does so.
    hold_by: Method,
    /// The change that is under way, and how many there have been.
    change: Option<OperationId>,
    changes: u64,
    /// What becomes of the change before it is established.
    early: EarlyUpdate,
    /// Which version of the session our last offer is (RFC 4566 section 5.2).
    version: u64,
    /// When it was answered.
    established: Option<Time>,
    /// When to hang up, or to take it back.
    deadline: Option<Time>,
    /// What went wrong after it was established.
    trouble: Option<String>,
}

/// The change of a session that nobody has taken yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EarlyUpdate {
    Unwanted,
    /// Until a response answers our offer.
    Wanted,
    UnderWay(OperationId),
    Done,
}

/// A call of ours to a third, in which the peer of the first is to take our place.
struct Third {
    session: SessionId,
    invite: OperationId,
    is_answered: bool,
}

impl Call {
    fn invite(
        agent: &mut Agent,
        args: &CallArgs,
        endpoint: EndpointId,
        own: Option<Content>,
    ) -> Result<Self, Failure> {
        let offer = if args.no_offer {
            None
        } else {
            let peer = args.peer.proxy.as_ref().map_or_else(
                || account::host_address(&args.target),
                |proxy| proxy.host.parse().ok(),
            );
            let local = || agent.local().unwrap_or_else(|| sdp::local_address(peer));
            Some(own.clone().unwrap_or_else(|| sdp::offer(local())))
        };
        let (session, invite) = agent.command(|stack, now| {
            stack
                .endpoint(now, endpoint)?
                .invite(&args.target, offer, SendOptions::default())
        })?;
        agent.is_decisive(invite);
        Ok(Self {
            session,
            invite,
            own,
            text: args.message.clone(),
            message: None,
            hangup: None,
            transfer_to: args.transfer_to.clone(),
            consult: args.consult,
            no_offer: args.no_offer,
            third: None,
            transfer: None,
            duration: Duration::from_millis(args.duration),
            hold: args.hold.map(Duration::from_millis),
            hold_by: args.hold_by.into(),
            change: None,
            changes: 0,
            early: if args.early_update {
                EarlyUpdate::Wanted
            } else {
                EarlyUpdate::Unwanted
            },
            version: 1,
            established: None,
            deadline: args
                .cancel
                .map(|cancel| agent.now() + Duration::from_millis(cancel)),
            trouble: None,
        })
    }

    /// Does what an event asks for, and tells the outcome once there is one.
    fn handle(&mut self, agent: &mut Agent, event: &Event) -> Option<Result<(), Failure>> {
        match event {
            Event::OfferReceived { session, offer } if self.is_ours(*session) => {
                let answer = self.description(agent, Some(offer));
                let answered = agent.command(|stack, now| stack.session(now, *session)?.answer(answer));
                answered.err().map(Err)
            }
            Event::RenegotiationReceived { session, offer, .. } if self.is_ours(*session) => {
                let content = self.description(agent, offer.as_ref());
                let taken =
                    agent.command(|stack, now| stack.session(now, *session)?.accept_renegotiation(content));
                taken.err().map(Err)
            }
            // The endpoint takes none unless the user has said so.
            Event::ReferReceived {
                session,
                referral,
                target,
                headers,
                ..
            } if *session == self.session => {
                let offer = self.description(agent, None);
                answerer::follow(agent, (*session, *referral), (target, headers.clone()), offer);
                None
            }
            Event::Redirected { session, .. } if *session == self.session => {
                let action = RedirectAction::TryAll;
                let followed =
                    agent.command(|stack, now| stack.session(now, self.session)?.follow_redirect(action));
                followed.err().map(Err)
            }
            Event::Completed { operation, result } if Some(*operation) == self.change => {
                self.on_changed(agent, result).err().map(Err)
            }
            Event::AnswerReceived { session, .. }
                if *session == self.session && self.early == EarlyUpdate::Wanted =>
            {
                self.update_early(agent).err().map(Err)
            }
            Event::Completed { operation, result } if self.early == EarlyUpdate::UnderWay(*operation) => {
                self.on_updated_early(agent, result).err().map(Err)
            }
            Event::Session {
                session,
                new: SessionState::Connected,
                ..
            } if *session == self.session => self.on_established(agent).err().map(Err),
            Event::Session {
                session,
                new: SessionState::Disconnected,
                reason,
                ..
            } if *session == self.session => {
                // What the completion of the INVITE tells says more than the state.
                self.established?;
                Some(self.outcome(*reason))
            }
            Event::Completed {
                operation,
                result: Err(error),
            } if *operation == self.invite => {
                let line = if self.hangup.is_some() {
                    String::from("not answered in time: cancelled")
                } else {
                    explain(error)
                };
                Some(Err(Failure::new(line)))
            }
            Event::Completed { operation, result } if Some(*operation) == self.message => {
                self.message = None;
                if let Err(error) = result {
                    self.trouble = Some(format!("the message in the call failed: {}", explain(error)));
                }
                None
            }
            Event::Completed {
                operation,
                result: Err(error),
            } if Some(*operation) == self.hangup => {
                self.trouble = Some(format!("the call did not end in order: {}", explain(error)));
                None
            }
            _ => self.handle_transfer(agent, event).err().map(Err),
        }
    }

    /// What becomes of the transfer, and of the call to the third.
    fn handle_transfer(&mut self, agent: &mut Agent, event: &Event) -> Result<(), Failure> {
        match event {
            Event::Referral {
                referral,
                state,
                status,
                ..
            } if Some(*referral) == self.transfer && state.is_final() => {
                self.transfer = None;
                if *state != ReferralState::Succeeded {
                    let status = status.map_or_else(String::new, |status| format!(" ({status})"));
                    self.trouble = Some(format!("{}{status}", referral_state(*state)));
                } else if self.third.is_some() {
                    // The third ends that call, whose place is taken.
                    self.deadline = Some(agent.now() + GRACE);
                    return Ok(());
                }
                self.hang_up(agent)
            }
            Event::Completed {
                operation,
                result: Err(error),
            } if self
                .third
                .as_ref()
                .is_some_and(|third| third.invite == *operation) =>
            {
                self.third = None;
                self.trouble = Some(format!("not transferred, the third party: {}", explain(error)));
                self.hang_up(agent)
            }
            Event::Session { session, new, .. } if self.third(*session).is_some() => match new {
                SessionState::Connected => self.on_third_answered(agent),
                SessionState::Disconnected if self.third(*session).is_some_and(|third| third.is_answered) => {
                    self.third = None;
                    // Before the peer has said what came of the transfer, that is waited for.
                    if self.transfer.is_none() && self.hangup.is_none() {
                        return self.hang_up(agent);
                    }
                    Ok(())
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// The call to the third, where this is its session.
    fn third(&mut self, session: SessionId) -> Option<&mut Third> {
        self.third.as_mut().filter(|third| third.session == session)
    }

    fn is_ours(&self, session: SessionId) -> bool {
        session == self.session || self.third.as_ref().is_some_and(|third| third.session == session)
    }

    fn on_established(&mut self, agent: &mut Agent) -> Result<(), Failure> {
        if self.established.is_some() {
            return Ok(());
        }
        let now = agent.now();
        self.established = Some(now);
        self.deadline = Some(now + self.duration);
        if self.hold.is_some() {
            self.deadline = None;
            // One change at a time.
            if !matches!(self.early, EarlyUpdate::UnderWay(_)) {
                self.offer_change(agent)?;
            }
        }
        if let Some(text) = self.text.take() {
            let session = self.session;
            let content = Some(Content::text(text));
            self.message = Some(agent.command(|stack, now| {
                stack
                    .session(now, session)?
                    .send(Method::Message, content, Vec::new())
            })?);
        }
        Ok(())
    }

    /// The call has lasted as long as it was to, or was not answered in time: the peer is sent elsewhere, or it is over.
    fn end(&mut self, agent: &mut Agent) -> Result<(), Failure> {
        let Some(target) = self.transfer_to.take_if(|_| self.established.is_some()) else {
            return self.hang_up(agent);
        };
        self.deadline = None;
        if self.consult {
            self.call_third(agent, &target)
        } else {
            self.refer(agent, &target)
        }
    }

    fn call_third(&mut self, agent: &mut Agent, target: &str) -> Result<(), Failure> {
        let offer = (!self.no_offer).then(|| self.description(agent, None));
        let first = self.session;
        let (session, invite) = agent.command(|stack, now| {
            let endpoint = stack.session(now, first)?.endpoint();
            stack
                .endpoint(now, endpoint)?
                .invite(target, offer, SendOptions::default())
        })?;
        agent.is_decisive(invite);
        self.third = Some(Third {
            session,
            invite,
            is_answered: false,
        });
        Ok(())
    }

    fn on_third_answered(&mut self, agent: &mut Agent) -> Result<(), Failure> {
        let Some(third) = self.third.as_mut().filter(|third| !third.is_answered) else {
            return Ok(());
        };
        third.is_answered = true;
        let session = third.session;
        let place = agent.command(|stack, now| Ok(stack.session(now, session)?.replacement()))?;
        if let Some(target) = place {
            return self.refer(agent, &target);
        }
        self.trouble = Some(String::from(
            "not transferred: the third party has no address of SIP for another to call",
        ));
        self.hang_up(agent)
    }

    fn refer(&mut self, agent: &mut Agent, target: &str) -> Result<(), Failure> {
        let session = self.session;
        let (referral, operation) =
            agent.command(|stack, now| stack.session(now, session)?.refer(target, Vec::new()))?;
        // What the peer says of the transfer says it, too.
        agent.is_decisive(operation);
        self.transfer = Some(referral);
        Ok(())
    }

    /// What this side says of the session: the user's own description, else an answer to the peer's, else an offer.
    fn description(&self, agent: &Agent, offer: Option<&Content>) -> Content {
        let address = agent.local().unwrap_or_else(|| sdp::local_address(None));
        match (&self.own, offer) {
            (Some(own), _) => own.clone(),
            (None, Some(offer)) => sdp::answer(&offer.body, address),
            (None, None) => sdp::offer(address),
        }
    }

    /// The same session once more, in its early dialog. Where it is the 2xx that has answered, there is none.
    fn update_early(&mut self, agent: &mut Agent) -> Result<(), Failure> {
        let session = self.session;
        let state = agent.command(|stack, now| Ok(stack.session(now, session)?.state()))?;
        if state == SessionState::Connected {
            return Ok(());
        }
        let offer = self.next_offer(agent, false);
        let update =
            agent.command(|stack, now| stack.session(now, session)?.renegotiate(Method::Update, offer))?;
        self.early = EarlyUpdate::UnderWay(update);
        Ok(())
    }

    fn on_updated_early(
        &mut self,
        agent: &mut Agent,
        result: &Result<Completion, OperationError>,
    ) -> Result<(), Failure> {
        self.early = EarlyUpdate::Done;
        if let Err(error) = result {
            self.trouble = Some(format!("the early UPDATE failed: {}", explain(error)));
        }
        if self.established.is_some() && self.hold.is_some() {
            self.offer_change(agent)?;
        }
        Ok(())
    }

    /// On hold first, then back.
    fn offer_change(&mut self, agent: &mut Agent) -> Result<(), Failure> {
        self.changes += 1;
        let offer = self.next_offer(agent, self.changes == 1);
        let (session, method) = (self.session, self.hold_by.clone());
        self.change =
            Some(agent.command(|stack, now| stack.session(now, session)?.renegotiate(method, offer))?);
        Ok(())
    }

    /// The next version of what this side says of the session.
    fn next_offer(&mut self, agent: &Agent, on_hold: bool) -> Content {
        self.version += 1;
        sdp::changed(&self.description(agent, None).body, self.version, on_hold)
    }

    fn on_changed(
        &mut self,
        agent: &Agent,
        result: &Result<Completion, OperationError>,
    ) -> Result<(), Failure> {
        self.change = None;
        if let Err(error) = result {
            self.trouble = Some(format!(
                "the call was not put on hold or taken back: {}",
                explain(error)
            ));
        }
        let on_hold = self.hold.filter(|_| self.changes == 1 && result.is_ok());
        self.deadline = Some(agent.now() + on_hold.unwrap_or(self.duration));
        Ok(())
    }

    fn handle_deadline(&mut self, agent: &mut Agent) -> Result<(), Failure> {
        let on_hold = self.changes == 1 && self.trouble.is_none() && self.established.is_some();
        if on_hold {
            self.deadline = None;
            self.offer_change(agent)
        } else {
            self.end(agent)
        }
    }

    fn hang_up(&mut self, agent: &mut Agent) -> Result<(), Failure> {
        self.deadline = None;
        let session = self.session;
        self.hangup = Some(agent.command(|stack, now| Ok(stack.session(now, session)?.terminate()))?);
        Ok(())
    }

    fn outcome(&mut self, reason: SessionReason) -> Result<(), Failure> {
        if let Some(trouble) = self.trouble.take() {
            return Err(Failure::new(trouble));
        }
        if self.early == EarlyUpdate::Wanted {
            return Err(Failure::new(
                "not updated early: no reliable response answered the offer before the call was taken",
            ));
        }
        if self.message.is_some() {
            return Err(Failure::new(
                "the call ended before the message in it was answered",
            ));
        }
        if self.transfer.is_some() {
            return Err(Failure::new(
                "the call ended before the peer said what came of the transfer",
            ));
        }
        if self.third.as_ref().is_some_and(|third| !third.is_answered) {
            return Err(Failure::new("the call ended before the third party had answered"));
        }
        match reason {
            SessionReason::TerminatedLocally | SessionReason::TerminatedRemotely => Ok(()),
            other => {
                let why = session_reason(other).unwrap_or("for no stated reason");
                Err(Failure::new(format!("the call did not end in order: {why}")))
            }
        }
    }
}
