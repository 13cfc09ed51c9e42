//! By what a request is known to belong to a server transaction (RFC 3261 section 17.2.3).
//!
//! A key is text that is equal for the messages of one transaction, whatever their method; methods are compared
//! apart, since ACK and CANCEL look for the transaction of another. Its parts are divided by line feeds, which no
//! header value holds.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt::Write;

use crate::error::ParseError;
use crate::wire::header::{Header, Via};
use crate::wire::{Message, Method};

/// What a branch begins with that is unique to its transaction (RFC 3261 section 8.1.1.7).
const MAGIC_COOKIE: &str = "z9hG4bK";

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) text: Box<str>,
    /// The tag of To, for the peers without unique branches: it is part of their comparison, but an ACK is compared
    /// with the response, and not with the INVITE. Empty where there is none.
    pub(super) old: Option<Box<str>>,
}

impl Key {
    pub(super) fn of(request: &Message) -> Result<Self, ParseError> {
        let via = request.via_top()?;
        match via.branch() {
            Some(branch) if is_unique(branch) => Ok(Self {
                text: by_branch(branch, &via),
                old: None,
            }),
            Some(_) | None => {
                let tag = request.to()?.tag().unwrap_or_default().into();
                Ok(Self {
                    text: by_fields(request, &via)?,
                    old: Some(tag),
                })
            }
        }
    }
}

/// The lower-case form of a branch: tokens are compared without regard to case (RFC 3261 section 7.3.1).
pub(super) fn branch_key(branch: &str) -> Box<str> {
    branch.to_ascii_lowercase().into()
}

/// What is equal for the copies of one request that have come by different ways (RFC 3261 section 8.2.2.2); `None`
/// for what cannot be merged: a request within a dialog, and CANCEL, which follows the way of its INVITE.
pub(super) fn call(request: &Message) -> Result<Option<Box<str>>, ParseError> {
    if request.to()?.tag().is_some() || matches!(request.method(), Some(Method::Cancel | Method::Ack) | None)
    {
        return Ok(None);
    }
    let from = request.from_()?;
    let cseq = request.cseq()?;
    let mut text = String::new();
    let tag = from.tag().unwrap_or_default();
    let written = write!(
        text,
        "{tag}\n{}\n{}\n{}",
        request.call_id()?,
        cseq.number,
        cseq.method.as_str()
    );
    // Writing to a String does not fail.
    debug_assert!(written.is_ok());
    Ok(Some(text.into()))
}

/// The cookie alone is what some broken peers send for every request.
fn is_unique(branch: &str) -> bool {
    let (cookie, rest) = branch.split_at_checked(MAGIC_COOKIE.len()).unwrap_or_default();
    cookie.eq_ignore_ascii_case(MAGIC_COOKIE) && !rest.is_empty()
}

fn by_branch(branch: &str, via: &Via<'_>) -> Box<str> {
    let mut text = String::with_capacity(branch.len() + 32);
    text.push_str(branch);
    text.push('\n');
    via.host.write(&mut text);
    let written = write!(text, "\n{}", via.effective_port());
    debug_assert!(written.is_ok());
    text.make_ascii_lowercase();
    text.into()
}

/// The procedure for peers of RFC 2543, and for Microsoft's clients, which send no branch: Request-URI, From tag,
/// Call-ID, CSeq number and top Via.
fn by_fields(request: &Message, via: &Via<'_>) -> Result<Box<str>, ParseError> {
    let from = request.from_()?;
    let mut top = String::new();
    via.write(&mut top);
    top.make_ascii_lowercase();
    let mut text = String::with_capacity(top.len() + 128);
    let written = write!(
        text,
        "\n{}\n{}\n{}\n{}\n{top}",
        request.request_uri(),
        from.tag().unwrap_or_default(),
        request.call_id()?,
        request.cseq()?.number,
    );
    debug_assert!(written.is_ok());
    Ok(text.into())
}
