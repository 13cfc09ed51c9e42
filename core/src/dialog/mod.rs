//! Dialogs (RFC 3261 section 12): what the two ends share, and how a request inside is addressed.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::error::ParseError;
use crate::exchange::{ContactTemplate, Draft, Sequence};
use crate::ids::SequenceId;
use crate::wire::header::{Contact, RecordRoute};
use crate::wire::uri::{SipUri, Uri, UriHeaders};
use crate::wire::write::{HeaderBlock, Parties};
use crate::wire::{HeaderName, Message, Method};

#[cfg(test)]
mod tests;

/// One dialog, early or confirmed. Addresses are kept as text, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dialog {
    /// Who our requests are from and for.
    parties: Parties,
    pub(crate) local_tag: Box<str>,
    /// Absent for a peer of RFC 2543 (section 12.1.1).
    pub(crate) remote_tag: Option<Box<str>>,
    /// The route set, first hop first.
    route: Vec<Box<str>>,
    /// The remote target.
    target: Box<str>,
    /// Our CSeq counter.
    pub(crate) sequence: SequenceId,
    /// The highest CSeq of the peer.
    remote_cseq: Option<u32>,
}

impl Dialog {
    /// The dialog that a response with a To tag makes at the caller (section 12.1.2): the route set is the Record-Route
    /// reversed, the target the Contact.
    pub(crate) fn from_response(response: &Message, sequence: SequenceId) -> Result<Self, ParseError> {
        let from = response.from_()?;
        let to = response.to()?;
        let mut route = record_route(response)?;
        route.reverse();
        let target = match contact(response)? {
            Some(target) => target,
            None => target_of(&to.0.uri),
        };
        Ok(Self {
            parties: Parties::new(
                text(response, HeaderName::From)?,
                text(response, HeaderName::To)?,
                response.call_id()?,
            ),
            local_tag: from.tag().unwrap_or_default().into(),
            remote_tag: to.tag().map(Into::into),
            route,
            target,
            sequence,
            remote_cseq: None,
        })
    }

    /// The dialog that a request makes at the callee (section 12.1.1): the route set is the Record-Route as it is.
    pub(crate) fn from_request(
        request: &Message,
        local_tag: &str,
        sequence: SequenceId,
    ) -> Result<Self, ParseError> {
        let from = request.from_()?;
        let Some(target) = contact(request)? else {
            return Err(ParseError::header(HeaderName::Contact, "missing"));
        };
        let mut local = String::from(text(request, HeaderName::To)?);
        local.push_str(";tag=");
        local.push_str(local_tag);
        Ok(Self {
            parties: Parties::new(&local, text(request, HeaderName::From)?, request.call_id()?),
            local_tag: local_tag.into(),
            remote_tag: from.tag().map(Into::into),
            route: record_route(request)?,
            target,
            sequence,
            remote_cseq: Some(request.cseq()?.number),
        })
    }

    /// The dialog that a NOTIFY makes at the subscriber, whose tag it has already (RFC 6665 section 4.4.1).
    pub(crate) fn from_answer(request: &Message, sequence: SequenceId) -> Result<Self, ParseError> {
        let (from, to) = (request.from_()?, request.to()?);
        let Some(target) = contact(request)? else {
            return Err(ParseError::header(HeaderName::Contact, "missing"));
        };
        Ok(Self {
            parties: Parties::new(
                text(request, HeaderName::To)?,
                text(request, HeaderName::From)?,
                request.call_id()?,
            ),
            local_tag: to.tag().unwrap_or_default().into(),
            remote_tag: from.tag().map(Into::into),
            route: record_route(request)?,
            target,
            sequence,
            remote_cseq: None,
        })
    }

    /// The Call-ID.
    pub(crate) fn call_id(&self) -> &str {
        self.parties.call_id()
    }

    /// Whether a message with this tag of the peer belongs here.
    pub(crate) fn is_with(&self, remote_tag: Option<&str>) -> bool {
        self.remote_tag.as_deref() == remote_tag
    }

    /// Takes the CSeq of a request of the peer; `false` if it is lower than one seen before (section 12.2.2).
    pub(crate) fn take_cseq(&mut self, number: u32) -> bool {
        if self.remote_cseq.is_some_and(|highest| number < highest) {
            return false;
        }
        self.remote_cseq = Some(number);
        true
    }

    /// Takes the new target of a target refresh, where it has one (section 12.2).
    pub(crate) fn refresh_target(&mut self, message: &Message) {
        if let Ok(Some(target)) = contact(message) {
            self.target = target;
        }
    }

    /// Takes the route of a target refresh that went without one (MS-SIPRE section 3.7.5.3.4): of our own its response
    /// has it reversed.
    pub(crate) fn refresh_route(&mut self, message: &Message) {
        if let Ok(mut route) = record_route(message) {
            if !message.is_request() {
                route.reverse();
            }
            self.route = route;
        }
    }

    /// The remote target.
    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    /// The URI of the next hop: the first route, else the target.
    pub(crate) fn next_hop(&self) -> &str {
        match self.route.first() {
            Some(first) => inside_brackets(first),
            None => &self.target,
        }
    }

    /// Whether the peer's proxies have put themselves into the route.
    pub(crate) const fn is_routed(&self) -> bool {
        !self.route.is_empty()
    }

    /// A request inside the dialog (section 12.2.1.1). A first route without `lr` is a strict router: it goes into the
    /// Request-URI, and the target to the end of the route.
    pub(crate) fn request(&self, method: Method, contact: Option<ContactTemplate>) -> Draft {
        let (uri, route) = match self.route.split_first() {
            Some((first, rest)) if !is_loose(first) => {
                let mut route: Vec<Box<str>> = rest.to_vec();
                route.push(alloc::format!("<{}>", self.target).into());
                let router = inside_brackets(first);
                (
                    Uri::parse(router).map_or_else(|_| router.into(), |uri| target_of(&uri)),
                    route,
                )
            }
            Some(_) | None => (self.target.clone(), self.route.clone()),
        };
        Draft {
            method,
            uri,
            route,
            parties: self.parties.clone(),
            sequence: Sequence::Counter(self.sequence),
            contact,
            expires: None,
            block: HeaderBlock::default(),
            extra: Vec::new(),
            content: None,
        }
    }
}

/// A header field value as text.
fn text(message: &Message, name: HeaderName) -> Result<&str, ParseError> {
    let raw = message
        .raw(name)
        .ok_or_else(|| ParseError::header(name, "missing"))?;
    core::str::from_utf8(raw)
        .map(str::trim)
        .map_err(|_| ParseError::header(name, "not UTF-8"))
}

fn record_route(message: &Message) -> Result<Vec<Box<str>>, ParseError> {
    message
        .list::<RecordRoute<'_>>()
        .map(|route| {
            route.map(|RecordRoute(address)| {
                alloc::format!("<{}>{}", address.uri, address.params.as_str()).into()
            })
        })
        .collect()
}

fn contact(message: &Message) -> Result<Option<Box<str>>, ParseError> {
    match message.list::<Contact<'_>>().next().transpose()? {
        None => Ok(None),
        Some(Contact::Star) => Err(ParseError::header(HeaderName::Contact, "* outside REGISTER")),
        Some(Contact::Address(address)) => Ok(Some(target_of(&address.uri))),
    }
}

/// What requests are sent to: a Request-URI has neither headers nor a method (RFC 3261 section 19.1.1, table 1).
fn target_of(uri: &Uri<'_>) -> Box<str> {
    match uri.as_sip() {
        Some(sip) => {
            let mut target = SipUri {
                headers: UriHeaders::default(),
                ..sip.clone()
            };
            target.params.remove("method");
            target.to_string().into()
        }
        None => uri.to_string().into(),
    }
}

fn inside_brackets(value: &str) -> &str {
    let inside = value.split_once('<').map_or(value, |(_, rest)| rest);
    inside.split_once('>').map_or(inside, |(uri, _)| uri)
}

fn is_loose(route: &str) -> bool {
    match Uri::parse(inside_brackets(route)) {
        Ok(Uri::Sip(uri)) => uri.lr(),
        Ok(Uri::Tel(_) | Uri::Other(_)) | Err(_) => false,
    }
}
