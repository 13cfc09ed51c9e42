//! What the proxy keeps of the requests under way: response contexts with their branches (RFC 3261 section 16.2), and
//! the keys by which messages find them.

use std::collections::BTreeMap;

use bytes::Bytes;
use sansip::Time;
use sansip::wire::{Message, Method, StatusCode};

use super::Conn;
use super::association::Party;
use super::registrar::BindingId;

/// How a branch begins that is unique by itself (RFC 3261 section 8.1.1.7).
pub(super) const MAGIC_COOKIE: &str = "z9hG4bK";

/// All requests under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Proxy {
    pub(super) requests: BTreeMap<u64, Request>,
    /// The requests by the key of their server transaction.
    pub(super) by_key: BTreeMap<String, u64>,
    /// The branches by the branch parameter of their Via.
    pub(super) by_branch: BTreeMap<String, (u64, usize)>,
    pub(super) last: u64,
}

/// A request under way: the response context.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) conn: Conn,
    /// Who sent it: a response finds them over another connection if theirs is gone.
    pub(super) sender: Option<BindingId>,
    /// Who has signed it, and gets its responses signed.
    pub(super) party: Option<Party>,
    pub(super) message: Message,
    pub(super) method: Method,
    pub(super) key: String,
    pub(super) state: Upstream,
    /// The last response, for a request that comes again.
    pub(super) response: Option<Bytes>,
    pub(super) cancelled: bool,
    pub(super) branches: Vec<Branch>,
    pub(super) deadline: Option<Time>,
}

/// What the sender has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upstream {
    /// No final response.
    Proceeding,
    /// A 2xx to an INVITE; more may follow from other branches (RFC 6026).
    Accepted,
    /// Another final response to an INVITE, whose ACK is awaited.
    Completed,
    /// All of it.
    Over,
}

#[derive(Clone, Debug)]
pub(super) struct Branch {
    /// The branch parameter.
    pub(super) id: String,
    pub(super) conn: Conn,
    /// To whom it is signed, and who has to sign the responses.
    pub(super) party: Option<Party>,
    /// The request as it was sent, but for the signature.
    pub(super) message: Message,
    pub(super) state: Downstream,
    pub(super) cancel: Cancel,
    pub(super) deadline: Option<Time>,
}

#[derive(Clone, Debug)]
pub(super) enum Downstream {
    Calling,
    Proceeding,
    /// A 2xx to an INVITE has been handed on; its retransmissions are, too.
    Accepted,
    Done(Final),
}

/// How a branch ended.
#[derive(Clone, Debug)]
pub(super) enum Final {
    /// By this response, 300 to 699; or any final one to another request than INVITE.
    Response(Box<Message>),
    /// Without one; this stands for it.
    Local(StatusCode),
}

impl Final {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Response(message) => message.status().unwrap_or(StatusCode::SERVER_INTERNAL_ERROR),
            Self::Local(status) => *status,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cancel {
    No,
    /// It may go out with the first provisional response only (RFC 3261 section 9.1).
    Wanted,
    Sent,
}

impl Proxy {
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    pub(super) fn request_deadline(&self, id: u64) -> Option<Time> {
        self.requests.get(&id)?.deadline
    }

    pub(super) fn branch_deadline(&self, id: u64, index: usize) -> Option<Time> {
        self.requests.get(&id)?.branches.get(index)?.deadline
    }

    pub(super) fn find(&self, message: &Message, method: &Method) -> Option<u64> {
        self.by_key.get(&key(message, method)?).copied()
    }

    pub(super) fn branch_mut(&mut self, id: u64, index: usize) -> Option<&mut Branch> {
        self.requests.get_mut(&id)?.branches.get_mut(index)
    }

    /// Lets a request go whose sender and branches have nothing more to say.
    pub(super) fn settle(&mut self, id: u64) {
        let Some(request) = self.requests.get(&id) else {
            return;
        };
        let over = request
            .branches
            .iter()
            .all(|branch| matches!(branch.state, Downstream::Done(_)));
        if request.state == Upstream::Over
            && over
            && let Some(request) = self.requests.remove(&id)
        {
            self.by_key.remove(&request.key);
            for branch in &request.branches {
                self.by_branch.remove(&branch.id);
            }
        }
    }
}

/// What a request shares with those that repeat it, acknowledge its refusal, or cancel it (RFC 3261 section 17.2.3).
/// `method` is INVITE for ACK and CANCEL.
pub(super) fn key(message: &Message, method: &Method) -> Option<String> {
    let via = message.via_top().ok()?;
    let mut sent_by = String::new();
    via.host.write(&mut sent_by);
    let port = via.effective_port();
    let own = via.branch().filter(|branch| {
        branch
            .get(..MAGIC_COOKIE.len())
            .is_some_and(|cookie| cookie.eq_ignore_ascii_case(MAGIC_COOKIE))
    });
    if let Some(branch) = own {
        return Some(format!(
            "{} {sent_by}:{port} {method}",
            branch.to_ascii_lowercase()
        ));
    }
    // A peer of RFC 2543: everything that stays the same in the three.
    let from = message.from_().ok()?;
    let (call_id, cseq) = (message.call_id().ok()?, message.cseq().ok()?);
    let tag = from.tag().unwrap_or_default();
    Some(format!(
        "- {sent_by}:{port} {call_id} {tag} {} {method} {}",
        cseq.number,
        message.request_uri()
    ))
}

/// The order of preference (RFC 3261 section 16.7, step 6): a 6xx, then the lowest class; within 4xx what the sender
/// can mend, and last what only says that nobody answered.
pub(super) fn rank(status: StatusCode) -> (u16, u16) {
    let class = if status.is_global_failure() {
        0
    } else {
        status.code() / 100
    };
    let within = match status.code() {
        401 | 407 | 415 | 420 | 484 => 0,
        408 | 480 | 487 => 2,
        _ => 1,
    };
    (class, within)
}
