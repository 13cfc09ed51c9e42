//! A request before its connection is known. What depends on the connection (Via, Contact, CSeq, credentials) is
//! filled in when it is written (rule C36), and anew for every attempt.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::action::Transport;
use crate::event::Content;
use crate::ids::{
    EndpointId, OperationId, PublicationId, ReferralId, SequenceId, SessionId, SubscriptionId, WatcherId,
};
use crate::wire::Method;
use crate::wire::uri::Uri;
use crate::wire::write::{HeaderBlock, Parties};

/// A request as its owner means it. The texts have been checked or made by the stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) method: Method,
    /// The Request-URI.
    pub(crate) uri: Box<str>,
    /// The values of the Route header fields, first hop first.
    pub(crate) route: Vec<Box<str>>,
    pub(crate) parties: Parties,
    pub(crate) sequence: Sequence,
    pub(crate) contact: Option<ContactTemplate>,
    /// What Expires says, where there is one.
    pub(crate) expires: Option<u32>,
    /// The header fields that need not be written anew.
    pub(crate) block: HeaderBlock,
    /// Header fields of the application, checked when they were given.
    pub(crate) extra: Vec<(String, String)>,
    pub(crate) content: Option<Content>,
}

/// The value of To in a request outside dialogs (RFC 3261 section 8.1.1.2): whom it is for, not the way there.
pub(crate) fn to_of(target: &str) -> Box<str> {
    match Uri::parse(target) {
        Ok(Uri::Sip(uri)) => alloc::format!("<{}>", uri.in_address()).into(),
        Ok(Uri::Tel(_) | Uri::Other(_)) | Err(_) => alloc::format!("<{target}>").into(),
    }
}

/// Where the CSeq number comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sequence {
    /// The next number of this counter, taken when the request is written.
    Counter(SequenceId),
    /// This number: a request of its own, or a CANCEL or ACK that repeats its INVITE's. A further attempt adds one.
    Fixed(u32),
}

/// A Contact whose address may be that of the connection that carries it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct ContactTemplate {
    /// The user part, as it is written in a URI.
    pub(crate) user: Option<Box<str>>,
    /// URI parameters after the transport, each with its semicolon.
    pub(crate) uri_parameters: Box<str>,
    /// Header parameters, each with its semicolon.
    pub(crate) parameters: Box<str>,
    /// A GRUU stands for itself, whatever the connection (E4, C36).
    pub(crate) gruu: Option<Box<str>>,
}

/// Who gets the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    /// The registration of this endpoint.
    Registration(EndpointId),
    /// An operation outside a session.
    Message(EndpointId, OperationId),
    /// The question of this endpoint to its server whether it is still there (R19).
    Probe(EndpointId),
    /// A session.
    Session(SessionId, SessionPart),
    /// A subscription: one SUBSCRIBE at a time.
    Subscription(SubscriptionId),
    /// A NOTIFY to a subscription of somebody; the command that it is for.
    Watcher(WatcherId, Option<OperationId>),
    /// A publication: one PUBLISH at a time.
    Publication(PublicationId),
    /// Nobody: how it ends changes nothing.
    Nobody,
}

/// Which of a session's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SessionPart {
    Invite,
    /// The ACK to a 2xx: a request that nothing answers.
    Ack,
    Bye,
    /// The target refresh that tells the peer our new address (C13).
    Refresh,
    /// The target refresh that recovers the route set (S17).
    Heal,
    /// The acknowledgement of a provisional response (S7).
    Prack,
    /// The re-INVITE or UPDATE that offers a change (S6).
    Renegotiate,
    Request(OperationId),
    /// A NOTIFY that tells how a call goes that the peer has asked for.
    Report(ReferralId),
}

/// How an exchange may repeat its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Retry once after the server's Retry-After (E12).
    pub(crate) retry_after: bool,
    /// The request may be repeated safely: also after it may have been delivered (C35).
    pub(crate) repeatable: bool,
    /// How many 3xx are followed; more end it.
    pub(crate) redirects: u8,
    /// Answer challenges as this endpoint; `None` ends the request with the challenge (A10).
    pub(crate) identity: Option<EndpointId>,
}

/// The next hop of one message of a peer-to-peer endpoint (P9).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct NextHop {
    /// A domain name or IP literal, without brackets.
    pub host: String,
    /// The port; `None` as in [`Server`](crate::Server).
    pub port: Option<u16>,
    /// The transport; the endpoint's default if absent.
    pub transport: Option<Transport>,
}
