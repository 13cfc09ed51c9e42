//! Sessions with a scripted peer at the other end, and what came of them.

use std::time::Duration;

use sansip::wire::{HeaderName, Message, Method, StatusCode};
use sansip::{
    Completion, Content, Event, OperationError, OperationFailure, OperationId, PeerToPeerConfig, SessionId,
    SessionReason as Reason, SessionState as State, SessionView, Time,
};
use sansip_testkit::world::{Host, LineId, StackId, World};

use super::{Callee, Caller, accept_calls, field, next_line, next_request, request, sdp, secs};

pub(crate) const BOB: &str = "sip:bob@two.invalid";
pub(crate) const CAROL: &str = "sip:carol@peer.invalid:5060";
pub(crate) const ALLOW: &str = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE, MESSAGE, INFO";

/// The answer of a scripted peer; what follows an empty line is the body.
pub(crate) fn answer(request: &Message, status: &str, tag: &str, more: &str) -> String {
    let (head, body) = more.split_once("\n\n").unwrap_or((more, ""));
    let text = super::answer(request, status, tag, head);
    if body.is_empty() {
        text
    } else {
        format!("{text}\n{body}")
    }
}

/// A call that has reached the scripted peer.
pub(crate) struct Call {
    pub(crate) host: StackId,
    pub(crate) session: SessionId,
    pub(crate) made: OperationId,
    pub(crate) line: LineId,
    pub(crate) invite: Message,
}

pub(crate) fn call(world: &mut World, caller: &Caller, offer: Option<Content>) -> Call {
    let known = world.lines(caller.peer).len();
    let (session, made) = world.invite(caller.alice, CAROL, offer);
    let line = next_line(world, caller.peer, known);
    let invite = next_request(world, line, &Method::Invite);
    Call {
        host: caller.host,
        session,
        made,
        line,
        invite,
    }
}

impl Call {
    /// The peer answers the INVITE.
    pub(crate) fn say(&self, world: &mut World, status: &str, tag: &str, more: &str) {
        let more = format!("Contact: <sip:carol@10.3.0.1:5060;transport=tcp>\n{more}");
        let text = answer(&self.invite, status, tag, &more);
        world.say(self.line, &text);
        world.run_for(Duration::from_millis(20));
    }

    /// The peer's side of the dialog that it makes with this tag.
    pub(crate) fn side(&self, tag: &str) -> Side {
        Side::callee(self.line, &self.invite, tag)
    }
}

/// An establish command completes with the 2xx.
#[track_caller]
pub(crate) fn assert_established(result: &Result<Completion, OperationError>) {
    let status = result
        .as_ref()
        .ok()
        .and_then(Completion::response)
        .and_then(Message::status);
    assert_eq!(status, Some(StatusCode::OK), "{result:?}");
}

/// A call that is established, and the peer's side of it.
pub(crate) fn connected(world: &mut World, caller: &Caller) -> (Call, Side) {
    let call = call(world, caller, Some(sdp()));
    call.say(
        world,
        "200 OK",
        "t",
        &format!("{ALLOW}\nContent-Type: application/sdp\n\nv=0\n"),
    );
    next_request(world, call.line, &Method::Ack);
    assert_established(&world.result(call.host, call.made));
    let side = call.side("t");
    (call, side)
}

/// What a scripted peer knows of a dialog.
pub(crate) struct Side {
    pub(crate) line: LineId,
    pub(crate) local: String,
    pub(crate) remote: String,
    pub(crate) target: String,
    pub(crate) call_id: String,
    pub(crate) cseq: u32,
}

impl Side {
    pub(crate) fn callee(line: LineId, invite: &Message, tag: &str) -> Self {
        Self {
            line,
            local: format!("{};tag={tag}", field(invite, HeaderName::To)),
            remote: field(invite, HeaderName::From),
            target: inside(&field(invite, HeaderName::Contact)),
            call_id: field(invite, HeaderName::CallId),
            cseq: 100,
        }
    }

    pub(crate) fn caller(line: LineId, success: &Message) -> Self {
        Self {
            line,
            local: field(success, HeaderName::From),
            remote: field(success, HeaderName::To),
            target: inside(&field(success, HeaderName::Contact)),
            call_id: field(success, HeaderName::CallId),
            cseq: 1,
        }
    }

    /// The peer's next request in the dialog.
    pub(crate) fn say(&mut self, world: &mut World, method: &str, more: &str) {
        if method != "ACK" {
            self.cseq += 1;
        }
        let cseq = self.cseq;
        self.say_numbered(world, method, cseq, more);
    }

    pub(crate) fn say_numbered(&self, world: &mut World, method: &str, cseq: u32, more: &str) {
        let Self {
            line,
            local,
            remote,
            target,
            call_id,
            ..
        } = self;
        world.say(
            *line,
            &format!(
                "{method} {target} SIP/2.0\nVia: SIP/2.0/TCP peer.invalid;branch=z9hG4bK{call_id}{cseq}{method}\n\
                 Max-Forwards: 70\nFrom: {local}\nTo: {remote}\nCall-ID: {call_id}\nCSeq: {cseq} {method}\n{more}"
            ),
        );
        world.run_for(Duration::from_millis(20));
    }
}

impl Side {
    /// The CANCEL of the peer's re-INVITE with this number.
    pub(crate) fn cancel_text(&self, number: u32) -> String {
        let Self {
            local,
            remote,
            target,
            call_id,
            ..
        } = self;
        format!(
            "CANCEL {target} SIP/2.0\nVia: SIP/2.0/TCP peer.invalid;branch=z9hG4bK{call_id}{number}INVITE\n\
             Max-Forwards: 70\nFrom: {local}\nTo: {remote}\nCall-ID: {call_id}\nCSeq: {number} CANCEL\n"
        )
    }

    pub(crate) fn cancel(&self, world: &mut World, number: u32) {
        let text = self.cancel_text(number);
        world.say(self.line, &text);
        world.run_for(Duration::from_millis(20));
    }
}

pub(crate) fn inside(contact: &str) -> String {
    contact.split(['<', '>']).nth(1).unwrap_or_default().to_owned()
}

/// The INVITE of a scripted peer at the callee, and how the callee names it.
pub(crate) fn offered(world: &mut World, it: &Callee, number: u32, more: &str) -> SessionId {
    let more = format!("Contact: <sip:p@{};transport=tcp>\n{more}", world.ip(it.peer));
    world.say(
        it.line,
        &request("INVITE", BOB, "<sip:bob@two.invalid>", number, &more),
    );
    world.run_for(Duration::from_millis(20));
    *received(world, it.host).last().expect("the INVITE has come")
}

/// Offered, accepted, and acknowledged.
pub(crate) fn taken(world: &mut World, it: &Callee, number: u32) -> (SessionId, Side) {
    let session = offered(
        world,
        it,
        number,
        &format!("{ALLOW}\nContent-Type: application/sdp\n\nv=0\n"),
    );
    let accepted = command(world, it.host, session, |view| view.accept(Some(sdp()))).unwrap();
    world.run_for(Duration::from_millis(20));
    let success = world
        .heard(it.line)
        .into_iter()
        .find(|m| m.status() == Some(StatusCode::OK))
        .unwrap();
    let mut side = Side::caller(it.line, &success);
    side.say(world, "ACK", "");
    assert_eq!(world.ended(it.host, accepted), Some(&Ok(Completion::Done)));
    (session, side)
}

pub(crate) fn command<T>(
    world: &mut World,
    host: StackId,
    session: SessionId,
    command: impl FnOnce(&mut SessionView<'_>) -> T,
) -> T {
    world.with(host, |stack, now| {
        command(&mut stack.session(now, session).expect("it lives"))
    })
}

pub(crate) fn terminate(world: &mut World, host: StackId, session: SessionId) -> OperationId {
    command(world, host, session, |view| view.terminate())
}

/// The sessions that have been offered to a stack.
pub(crate) fn received(world: &World, host: StackId) -> Vec<SessionId> {
    let session = |(_, event): &(Time, Event)| match event {
        Event::SessionReceived { session, .. } => Some(*session),
        _ => None,
    };
    world.events(host).iter().filter_map(session).collect()
}

/// The changes of a session: when, to what, why.
pub(crate) fn changes(world: &World, host: StackId, session: SessionId) -> Vec<(Time, State, Reason)> {
    let change = |(at, event): &(Time, Event)| match event {
        Event::Session {
            session: of,
            new,
            reason,
            ..
        } if *of == session => Some((*at, *new, *reason)),
        _ => None,
    };
    world.events(host).iter().filter_map(change).collect()
}

pub(crate) fn states(world: &World, host: StackId, session: SessionId) -> Vec<(State, Reason)> {
    changes(world, host, session)
        .into_iter()
        .map(|(_, state, reason)| (state, reason))
        .collect()
}

pub(crate) fn last(world: &World, host: StackId, session: SessionId) -> Option<(State, Reason)> {
    states(world, host, session).pop()
}

/// When a host has put messages with these words on a link.
pub(crate) fn sent(world: &World, host: impl Into<Host>, words: &[&str]) -> Vec<Time> {
    let host = host.into();
    let fits = |what: &str| what.starts_with("sends to") && words.iter().all(|word| what.contains(word));
    world
        .trace()
        .lines()
        .filter(|line| line.who == Some(host) && fits(&line.what()))
        .map(|line| line.at)
        .collect()
}

/// The methods of the requests that a line has brought.
pub(crate) fn methods(world: &mut World, line: LineId) -> Vec<Method> {
    world
        .heard(line)
        .iter()
        .filter_map(|message| message.method().cloned())
        .collect()
}

/// What a stack has counted (X7).
pub(crate) fn counted(world: &mut World, host: StackId) -> sansip::Counters {
    world.with(host, |stack, _| stack.counters())
}

pub(crate) fn ended_by(failure: OperationFailure) -> Result<Completion, OperationError> {
    Err(OperationError::OperationFailure(failure))
}

pub(crate) const SESSION_TERMINATED: OperationFailure = OperationFailure::SessionTerminated;

/// The peer answers the next request of this method.
pub(crate) fn confirm(world: &mut World, line: LineId, method: &Method, status: &str) -> Message {
    let request = next_request(world, line, method);
    world.say(line, &answer(&request, status, "", ""));
    world.run_for(Duration::from_millis(20));
    request
}

/// Two peer-to-peer endpoints in a call: the one that called, and the one that listens; with `both`, both listen.
pub(crate) struct Pair {
    pub(crate) a: StackId,
    pub(crate) b: StackId,
    pub(crate) out: SessionId,
    pub(crate) into: SessionId,
}

pub(crate) fn pair(world: &mut World, both: bool) -> Pair {
    let (a, b) = (world.stack(), world.stack());
    let alice = world.peer_to_peer_endpoint(a, PeerToPeerConfig::new("sip:alice@one.invalid"));
    world.peer_to_peer_endpoint(b, PeerToPeerConfig::new(BOB));
    let address = world.listen(b, 5060);
    world.names.set_addresses("two.invalid", &[address.ip()]);
    if both {
        let address = world.listen(a, 5060);
        world.names.set_addresses("one.invalid", &[address.ip()]);
    }
    accept_calls(world, b);
    let (out, made) = world.invite(alice, "sip:bob@two.invalid:5060", Some(sdp()));
    assert_established(&world.result(a, made));
    world.run_for(secs(1));
    let into = *received(world, b).first().expect("the INVITE has come");
    Pair { a, b, out, into }
}

pub(crate) fn info(world: &mut World, host: StackId, session: SessionId) -> OperationId {
    command(world, host, session, |view| {
        view.send(Method::Info, None, Vec::new())
    })
    .unwrap()
}
