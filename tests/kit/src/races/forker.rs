//! A proxy that forks a call: as much of RFC 3261 section 16 as those around it can tell over streams, without timers.
//!
//! What reaches it goes on at once, so that whatever is in a race is on its way to a party. It keeps one response context, of
//! the one INVITE that begins a call; what is sent inside dialogs, of whose route it makes itself a part, it hands on as it comes.

use bytes::Bytes;
use sansip::wire::header::{Route, Via};
use sansip::wire::uri::Uri;
use sansip::wire::{HeaderName, Message, MessageLimits, Method, StatusCode};

use super::party::{address, node_at};
use crate::frontend::edit::{Edit, hop_request};

/// How a branch begins that is unique by itself (RFC 3261 section 8.1.1.7).
const MAGIC_COOKIE: &str = "z9hG4bK";

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Forker {
    /// Its number among those who have an address.
    at: usize,
    /// Who is rung.
    callees: Vec<usize>,
    call: Option<Call>,
}

/// What it hands on: to whom, of whom, and the message.
pub(super) type Handed = (usize, usize, Bytes);

/// The response context of the INVITE.
#[derive(Clone, Debug)]
struct Call {
    invite: Message,
    branches: Vec<Branch>,
    /// The best refusal so far, and how it ranks.
    best: Option<(u16, Bytes)>,
    /// The caller has its final response.
    is_over: bool,
}

#[derive(Clone, Debug)]
struct Branch {
    party: usize,
    id: String,
    /// The INVITE as it was sent.
    sent: Message,
    stand: Stand,
    cancel: Cancel,
}

/// How far a branch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Stand {
    Calling,
    Ringing,
    Accepted,
    Refused,
}

/// A CANCEL follows the first provisional response (RFC 3261 section 9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Cancel {
    No,
    Armed,
    Sent,
}

/// How far it is with its call.
pub(super) type Print = Option<(Vec<(Stand, Cancel)>, Option<u16>, bool)>;

impl Forker {
    pub(super) const fn new(at: usize, callees: Vec<usize>) -> Self {
        Self {
            at,
            callees,
            call: None,
        }
    }

    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// See [`Print`].
    pub(super) fn print(&self) -> Print {
        let call = self.call.as_ref()?;
        let branches = call.branches.iter();
        Some((
            branches.map(|branch| (branch.stand, branch.cancel)).collect(),
            call.best.as_ref().map(|(rank, _)| *rank),
            call.is_over,
        ))
    }

    /// What becomes of a message of a party.
    pub(super) fn handle(&mut self, from: usize, message: &Message) -> Vec<Handed> {
        let branch = top_branch(message);
        let ours = self.call.as_ref().is_some_and(|call| {
            let known = top_branch(&call.invite);
            known == branch || call.branches.iter().any(|it| Some(&it.id) == branch.as_ref())
        });
        let begins = message.to().is_ok_and(|to| to.tag().is_none());
        match message.method() {
            Some(Method::Invite) if begins => self.fork(from, message),
            Some(Method::Cancel) if ours => self.on_cancel(from, message),
            // That of a refusal goes no further than to who has handed it on.
            Some(Method::Ack) if ours => Vec::new(),
            Some(method) => vec![self.hand_on(from, method, message)],
            None if ours => self.on_response(from, message),
            None => hand_back(from, message).into_iter().collect(),
        }
    }

    /// Rings everybody.
    fn fork(&mut self, from: usize, invite: &Message) -> Vec<Handed> {
        assert!(self.call.is_none(), "one call is forked");
        let mut out = Vec::new();
        let mut branches = Vec::new();
        for callee in &self.callees {
            let uri = format!("sip:party{callee}@{}", address(*callee));
            let id = self.branch_of(invite, *callee);
            let mut edit = Edit::of(invite);
            edit.set_request_uri(&Method::Invite, &uri);
            edit.push_first_raw(HeaderName::RecordRoute, &format!("<sip:{};lr>", address(self.at)));
            edit.push_first_raw(HeaderName::Via, &self.via(&id));
            let bytes = edit.finish();
            branches.push(Branch {
                party: *callee,
                id,
                sent: parse(&bytes),
                stand: Stand::Calling,
                cancel: Cancel::No,
            });
            out.push((*callee, from, bytes));
        }
        self.call = Some(Call {
            invite: invite.clone(),
            branches,
            best: None,
            is_over: false,
        });
        out
    }

    /// It answers a CANCEL itself, and sends one of its own to each that has not answered (RFC 3261 section 16.10).
    fn on_cancel(&mut self, from: usize, cancel: &Message) -> Vec<Handed> {
        let mut answer = Edit::of(cancel);
        answer.set_status(StatusCode::OK);
        answer.remove_if(HeaderName::MaxForwards, |_| true);
        let mut out = vec![(from, self.at, answer.finish())];
        if let Some(call) = &mut self.call {
            call.cancel_others(self.at, &mut out);
        }
        out
    }

    /// A response of a branch to the INVITE, or to a CANCEL of its own (RFC 3261 section 16.7).
    fn on_response(&mut self, from: usize, message: &Message) -> Vec<Handed> {
        let id = top_branch(message);
        let (Some(call), Some(status)) = (&mut self.call, message.status()) else {
            return Vec::new();
        };
        let of_invite = message.cseq().is_ok_and(|cseq| cseq.method == Method::Invite);
        let branch = call
            .branches
            .iter_mut()
            .find(|branch| Some(&branch.id) == id.as_ref());
        let Some(branch) = branch.filter(|_| of_invite) else {
            return Vec::new();
        };
        let mut out = Vec::new();
        match status.code() {
            ..=199 => {
                if branch.stand == Stand::Calling {
                    branch.stand = Stand::Ringing;
                }
                if branch.cancel == Cancel::Armed {
                    branch.send_cancel(self.at, &mut out);
                }
                if status != StatusCode::TRYING && !call.is_over {
                    out.extend(hand_back(from, message));
                }
            }
            200..=299 => {
                branch.stand = Stand::Accepted;
                call.is_over = true;
                out.extend(hand_back(from, message));
                call.cancel_others(self.at, &mut out);
            }
            code => {
                branch.stand = Stand::Refused;
                let ack = hop_request(&branch.sent, &Method::Ack, message.raw(HeaderName::To));
                out.push((from, self.at, ack));
                // The lowest class, but one of 6xx before all.
                let rank = if code >= 600 { 0 } else { code };
                if call.best.as_ref().is_none_or(|(best, _)| rank < *best) {
                    call.best = hand_back(from, message).map(|(_, _, bytes)| (rank, bytes));
                }
                if rank == 0 {
                    call.cancel_others(self.at, &mut out);
                }
                call.refuse(self.at, &mut out);
            }
        }
        out
    }

    /// What is sent inside a dialog goes to the host of its Request-URI.
    fn hand_on(&self, from: usize, method: &Method, request: &Message) -> Handed {
        let uri = Uri::parse(request.request_uri()).ok();
        let host = uri.as_ref().and_then(Uri::as_sip).map(|sip| sip.host.to_string());
        let to = host.and_then(|host| node_at(&host));
        let to = to.unwrap_or_else(|| panic!("{method} to {}", request.request_uri()));
        let mut edit = Edit::of(request);
        edit.drop_first::<Route<'_>>(1);
        edit.push_first_raw(HeaderName::Via, &self.via(&self.branch_of(request, to)));
        (to, from, edit.finish())
    }

    /// The same for what is the same: so its ACK and its CANCEL find a request (RFC 3261 section 16.11).
    fn branch_of(&self, request: &Message, to: usize) -> String {
        let branch = top_branch(request).unwrap_or_default();
        let unique = branch.strip_prefix(MAGIC_COOKIE).unwrap_or(&branch);
        format!("{MAGIC_COOKIE}{unique}-{}-{to}", self.at)
    }

    fn via(&self, branch: &str) -> String {
        format!("SIP/2.0/TCP {};branch={branch}", address(self.at))
    }
}

impl Call {
    /// What has no final response is to give up.
    fn cancel_others(&mut self, at: usize, out: &mut Vec<Handed>) {
        for branch in &mut self.branches {
            match branch.stand {
                Stand::Calling if branch.cancel == Cancel::No => branch.cancel = Cancel::Armed,
                Stand::Ringing if branch.cancel == Cancel::No => branch.send_cancel(at, out),
                Stand::Calling | Stand::Ringing | Stand::Accepted | Stand::Refused => {}
            }
        }
    }

    /// The best refusal goes to the caller when there is nothing better to come.
    fn refuse(&mut self, at: usize, out: &mut Vec<Handed>) {
        let all = self.branches.iter().all(|branch| branch.stand == Stand::Refused);
        if all
            && !self.is_over
            && let Some((_, bytes)) = &self.best
        {
            self.is_over = true;
            let to = upstream(&parse(bytes)).expect("the caller's Via");
            out.push((to, at, bytes.clone()));
        }
    }
}

impl Branch {
    fn send_cancel(&mut self, at: usize, out: &mut Vec<Handed>) {
        self.cancel = Cancel::Sent;
        out.push((self.party, at, hop_request(&self.sent, &Method::Cancel, None)));
    }
}

/// A response without the Via of the proxy, to whom the next one names.
fn hand_back(from: usize, response: &Message) -> Option<Handed> {
    let mut edit = Edit::of(response);
    edit.drop_first::<Via<'_>>(1);
    let bytes = edit.finish();
    let to = upstream(&parse(&bytes))?;
    Some((to, from, bytes))
}

fn upstream(response: &Message) -> Option<usize> {
    let via = response.list::<Via<'_>>().next()?.ok()?;
    node_at(&via.host.to_string())
}

fn top_branch(message: &Message) -> Option<String> {
    let via = message.list::<Via<'_>>().next()?.ok()?;
    via.branch().map(str::to_owned)
}

fn parse(bytes: &Bytes) -> Message {
    Message::parse(bytes.clone(), &MessageLimits::default()).expect("it was parsed before")
}
