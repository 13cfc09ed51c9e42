//! What `register` and `listen` do with calls and messages that come in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use sansip::wire::header::{RetryAfter, field};
use sansip::wire::{HeaderName, Message, Method, StatusCode};
use sansip::{
    Content, EndpointId, Event, ExtraHeaders, IncomingId, ReferralId, SendOptions, SessionId, SessionState,
    Time,
};

use crate::account;
use crate::agent::{Agent, Step};
use crate::args::AnswerArgs;
use crate::failure::Failure;
use crate::notifier::Notifier;
use crate::report::{content_type, from, text_of};
use crate::sdp::{self, SDP};

/// The header field of a message that was sent back. One that has it is not sent back again, or two would never stop.
const SENT_BACK: &str = "In-Reply-To";

/// What is to be done with a call, at its time.
enum Due {
    /// Ring, or answer where that is not wanted; the offer of the INVITE, where it has one.
    Ring(Option<Bytes>),
    /// Answer it; the offer of the INVITE, where it has one.
    Answer(Option<Bytes>),
    HangUp,
}

pub(crate) struct Answerer {
    status: StatusCode,
    retry_after: Option<u32>,
    early: Option<Duration>,
    ring: Option<Duration>,
    hold: Option<Method>,
    refuse_change: Option<StatusCode>,
    redirect_to: Option<String>,
    transfer_to: Option<String>,
    hangup: Option<Duration>,
    echo: bool,
    sdp: Option<Bytes>,
    drain: Option<Duration>,
    notifier: Option<Notifier>,
    /// The calls of which a change was refused.
    refused: BTreeSet<SessionId>,
    due: BTreeMap<SessionId, (Time, Due)>,
}

impl Answerer {
    /// Answers as the command line says, and with `otherwise` where it says nothing.
    pub(crate) fn new(args: &AnswerArgs, otherwise: StatusCode) -> Result<Self, Failure> {
        let hangup = args.hangup.map(Duration::from_millis);
        let status = args.answer.unwrap_or(otherwise);
        if args.retry_after.is_some() && status.is_success() {
            return Err(Failure::usage(
                "--retry-after is for calls that are refused: it needs --answer with the status",
            ));
        }
        Ok(Self {
            status,
            retry_after: args.retry_after,
            early: args.early.map(Duration::from_millis),
            ring: args.ring.map(Duration::from_millis),
            hold: args.hold.map(Into::into),
            refuse_change: args.refuse_change,
            redirect_to: args.redirect_to.clone(),
            transfer_to: args.transfer_to.clone(),
            hangup,
            echo: args.echo,
            sdp: args.sdp.as_deref().map(sdp::read).transpose()?,
            drain: args.drain.map(Duration::from_secs),
            notifier: Notifier::new(&args.state, hangup)?,
            refused: BTreeSet::new(),
            due: BTreeMap::new(),
        })
    }

    /// Answers until the time is up or the user wants an end; and then for as long as calls have to come to theirs.
    pub(crate) fn run(&mut self, agent: &mut Agent, mut until: Option<Time>) -> Result<(), Failure> {
        loop {
            let watched = self.notifier.as_ref().and_then(Notifier::due);
            let calls = self.due.values().map(|(at, _)| *at);
            let next = calls.chain(watched).chain(until).min();
            let ends = match agent.next(next)? {
                Step::Event(event) => {
                    self.handle(agent, &event);
                    if let Some(notifier) = &mut self.notifier {
                        notifier.handle(agent, &event);
                    }
                    agent.is_drained(&event)
                }
                Step::Interrupted => true,
                Step::TimeUp if until.is_some_and(|until| until <= agent.now()) => true,
                Step::TimeUp => {
                    self.handle_due(agent);
                    false
                }
            };
            match self.drain.take_if(|_| ends) {
                Some(patience) => {
                    until = None;
                    agent.drain(patience);
                }
                None if ends => return Ok(()),
                None => {}
            }
        }
    }

    /// Does what an event asks for.
    fn handle(&mut self, agent: &mut Agent, event: &Event) {
        match event {
            Event::SessionReceived { session, message, .. } => self.begin(agent, *session, message),
            Event::Session {
                session,
                new: SessionState::Connected,
                ..
            } => {
                if let Some(method) = self.hold.clone() {
                    let offer = sdp::changed(&self.description(agent, None).body, 2, true);
                    agent.attempt("put the call on hold", |stack, now| {
                        stack.session(now, *session)?.renegotiate(method, offer)
                    });
                }
                if let Some(hangup) = self.hangup {
                    self.due.insert(*session, (agent.now() + hangup, Due::HangUp));
                }
            }
            Event::Session {
                session,
                new: SessionState::Disconnected,
                ..
            } => {
                self.due.remove(session);
                self.refused.remove(session);
            }
            Event::ReferReceived {
                session,
                referral,
                target,
                headers,
                ..
            } => {
                let offer = self.description(agent, None);
                follow(agent, (*session, *referral), (target, headers.clone()), offer);
            }
            Event::Referral { session, state, .. } if state.is_final() => hang_up(agent, *session),
            Event::RenegotiationReceived { session, .. }
                if self.refuse_change.is_some() && self.refused.insert(*session) =>
            {
                let status = self.refuse_change.unwrap_or(StatusCode::NOT_ACCEPTABLE_HERE);
                agent.attempt("refuse the change", |stack, now| {
                    stack.session(now, *session)?.reject_renegotiation(status, None)
                });
            }
            Event::RenegotiationReceived { session, offer, .. } => {
                let content = self.description(agent, offer.as_ref().map(|offer| &offer.body));
                agent.attempt("agree to the change", |stack, now| {
                    stack.session(now, *session)?.accept_renegotiation(content)
                });
            }
            Event::MessageReceived {
                endpoint,
                incoming,
                message,
            } if self.echo => {
                send_back(agent, *incoming, message, Back::To(*endpoint));
            }
            Event::SessionMessage {
                session,
                incoming,
                message,
            } if self.echo => {
                send_back(agent, *incoming, message, Back::Inside(*session));
            }
            _ => {}
        }
    }

    fn begin(&mut self, agent: &mut Agent, session: SessionId, message: &Message) {
        let offer = (!message.body_bytes().is_empty()).then(|| message.body());
        if let Some(target) = self
            .redirect_to
            .as_deref()
            .filter(|target| is_for_other(message, target))
        {
            let redirected = agent.attempt("send the call elsewhere", |stack, now| {
                stack.session(now, session)?.redirect(None, &[target])
            });
            if !redirected {
                refuse(agent, session, StatusCode::SERVER_INTERNAL_ERROR);
            }
            return;
        }
        let Some(early) = self.early else {
            return self.ring(agent, session, offer);
        };
        let content = Some(self.description(agent, offer.as_ref()));
        agent.attempt("answer the offer early", |stack, now| {
            stack
                .session(now, session)?
                .provisional(StatusCode::SESSION_PROGRESS, content)
        });
        self.due.insert(session, (agent.now() + early, Due::Ring(offer)));
    }

    fn ring(&mut self, agent: &mut Agent, session: SessionId, offer: Option<Bytes>) {
        let Some(ring) = self.ring else {
            return self.answer(agent, session, offer);
        };
        agent.attempt("ring", |stack, now| {
            stack
                .session(now, session)?
                .provisional(StatusCode::RINGING, None)
        });
        self.due.insert(session, (agent.now() + ring, Due::Answer(offer)));
    }

    fn handle_due(&mut self, agent: &mut Agent) {
        if let Some(notifier) = &mut self.notifier {
            notifier.handle_due(agent);
        }
        let now = agent.now();
        let ready: Vec<SessionId> = self
            .due
            .iter()
            .filter(|(_, (at, _))| *at <= now)
            .map(|(session, _)| *session)
            .collect();
        for session in ready {
            match self.due.remove(&session) {
                Some((_, Due::Ring(offer))) => self.ring(agent, session, offer),
                Some((_, Due::Answer(offer))) => self.answer(agent, session, offer),
                Some((_, Due::HangUp)) => self.end(agent, session),
                None => {}
            }
        }
    }

    /// The peer of a call is sent elsewhere, or the call is over. What came of the first is told, and then it is, too.
    fn end(&self, agent: &mut Agent, session: SessionId) {
        let sent = self.transfer_to.as_ref().is_some_and(|target| {
            agent.attempt("transfer the call", |stack, now| {
                stack.session(now, session)?.refer(target, Vec::new())
            })
        });
        if !sent {
            hang_up(agent, session);
        }
    }

    fn answer(&self, agent: &mut Agent, session: SessionId, offer: Option<Bytes>) {
        let status = self.status;
        if !status.is_success() {
            if let Some(seconds) = self.retry_after {
                let retry_after = field(&RetryAfter::new(seconds));
                agent.attempt("say when to try again", |stack, now| {
                    stack.session(now, session)?.attach(vec![retry_after])
                });
            }
            return refuse(agent, session, status);
        }
        let content = self.description(agent, offer.as_ref());
        let answered = agent.attempt("answer the call", |stack, now| {
            stack.session(now, session)?.accept(Some(content))
        });
        if !answered {
            refuse(agent, session, StatusCode::SERVER_INTERNAL_ERROR);
        }
    }

    /// What this side says of a session: the user's own description, else an answer to the offer, else an offer.
    fn description(&self, agent: &Agent, offer: Option<&Bytes>) -> Content {
        let address = agent.local().unwrap_or_else(|| sdp::local_address(None));
        match (&self.sdp, offer) {
            (Some(own), _) => Content::new(SDP, own.clone()),
            (None, Some(offer)) => sdp::answer(offer, address),
            (None, None) => sdp::offer(address),
        }
    }
}

/// Whether a request is for another user than that of this address.
fn is_for_other(message: &Message, address: &str) -> bool {
    account::user_part(message.request_uri()) != account::user_part(address)
}

fn refuse(agent: &mut Agent, session: SessionId, status: StatusCode) {
    agent.attempt("refuse the call", |stack, now| {
        stack.session(now, session)?.reject(status, None)
    });
}

fn hang_up(agent: &mut Agent, session: SessionId) {
    agent.attempt("end the call", |stack, now| {
        Ok(stack.session(now, session)?.terminate())
    });
}

/// Makes the call that the peer of another asks for. Its end is the peer's affair, or that of the time given.
pub(crate) fn follow(
    agent: &mut Agent,
    (session, referral): (SessionId, ReferralId),
    (target, headers): (&str, ExtraHeaders),
    offer: Content,
) {
    let options = SendOptions {
        headers,
        ..SendOptions::default()
    };
    let made = agent.attempt("make the call that is asked for", |stack, now| {
        let endpoint = stack.session(now, session)?.endpoint();
        let (call, _) = stack
            .endpoint(now, endpoint)?
            .invite(target, Some(offer), options)?;
        stack.session(now, session)?.accept_referral(referral, call)
    });
    if !made {
        agent.attempt("refuse the transfer", |stack, now| {
            stack
                .session(now, session)?
                .reject_referral(referral, StatusCode::DECLINE)
        });
    }
}

/// Where a message goes back to.
enum Back {
    To(EndpointId),
    Inside(SessionId),
}

/// Answers a text message and sends its text back. What becomes of that is told by its completion.
fn send_back(agent: &mut Agent, incoming: IncomingId, message: &Message, back: Back) {
    if message.method() != Some(&Method::Message) || message.raw(HeaderName::InReplyTo).is_some() {
        return;
    }
    let (Some(text), Ok(call_id)) = (text_of(message), message.call_id()) else {
        return;
    };
    let body = message.body();
    let content = Content::new(
        content_type(message).unwrap_or_else(|| String::from("text/plain")),
        body,
    );
    let (target, headers) = (from(message), vec![(SENT_BACK.to_owned(), call_id.to_owned())]);
    agent.attempt(&format!("send {text:?} back"), |stack, now| {
        stack
            .incoming(now, incoming)?
            .answer(StatusCode::OK, None, None, &Vec::new())?;
        match back {
            Back::To(endpoint) => {
                let options = SendOptions {
                    headers,
                    ..SendOptions::default()
                };
                stack
                    .endpoint(now, endpoint)?
                    .send_message(&target, Method::Message, Some(content), options)
            }
            Back::Inside(session) => {
                stack
                    .session(now, session)?
                    .send(Method::Message, Some(content), headers)
            }
        }
    });
}
