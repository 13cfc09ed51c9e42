//! Drafts to bytes, once the connection is known (C36).

use alloc::boxed::Box;
use alloc::string::String;
use core::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use super::draft::{ContactTemplate, Draft};
use crate::action::Transport;
use crate::config::Config;
use crate::connection::Connections;
use crate::entropy::Entropy;
use crate::ids::ConnId;
use crate::wire::header::{Contact, Expires, RecordRoute};
use crate::wire::uri::{Host, push_number};
use crate::wire::write::{MAX_FORWARDS, OwnHop, RequestBuilder, Scratch};
use crate::wire::{HeaderName, Message, Method};

/// How this side is reached by the peer of a connection: at the listening address where its manager has one, so that
/// the peer can come back when the connection is gone, else over the connection itself.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    pub(crate) transport: Transport,
    pub(crate) host: Host<'static>,
    pub(crate) port: u16,
    pub(crate) remote: SocketAddr,
}

/// `None` when the connection is not ready, or gone.
pub(crate) fn reach(connections: &Connections, config: &Config, conn: ConnId) -> Option<Reach> {
    let (manager, transport) = connections.manager_of(conn)?;
    let (local, remote) = connections.ends(conn)?;
    // Best the address that the connection itself has; else one that the peer has a chance to reach.
    let listening = connections
        .listening_addresses(manager)
        .filter(|(_, address, spoken)| *spoken == transport && address.is_ipv4() == local.is_ipv4())
        .map(|(_, address, _)| address)
        .filter(|address| {
            address.ip().is_loopback() == local.ip().is_loopback() || address.ip().is_unspecified()
        })
        .min_by_key(|address| (address.ip() != local.ip(), !address.ip().is_unspecified()));
    let (ip, port) = match listening {
        Some(address) if address.ip().is_unspecified() => (local.ip(), address.port()),
        Some(address) => (address.ip(), address.port()),
        None => (local.ip(), local.port()),
    };
    let host = match &config.local_host_name {
        Some(name) if listening.is_some() => Host::Name(name.clone().into()),
        Some(_) | None => host_of(ip),
    };
    Some(Reach {
        transport,
        host,
        port,
        remote,
    })
}

const fn host_of(ip: IpAddr) -> Host<'static> {
    match ip {
        IpAddr::V4(ip) => Host::V4(ip),
        IpAddr::V6(ip) => Host::V6(ip),
    }
}

/// A branch that is unique in space and time, with RFC 3261's cookie (section 8.1.1.7).
pub(super) fn new_branch(entropy: &mut Entropy) -> Box<str> {
    let mut branch = String::with_capacity(31);
    branch.push_str("z9hG4bK");
    branch.push_str(&entropy.hex(24));
    branch.into()
}

/// The value of Contact over this connection; in messages of a dialog that is `secure` it is a sips URI (RFC 3261
/// sections 8.1.1.8 and 12.1.1), whose transport is TLS without saying so.
pub(crate) fn contact_value(template: &ContactTemplate, reach: &Reach, secure: bool) -> String {
    let mut value = String::with_capacity(128 + template.parameters.len());
    value.push('<');
    match &template.gruu {
        Some(gruu) => value.push_str(gruu),
        None => {
            value.push_str(if secure { "sips:" } else { "sip:" });
            if let Some(user) = &template.user {
                value.push_str(user);
                value.push('@');
            }
            reach.host.write(&mut value);
            value.push(':');
            push_number(&mut value, u64::from(reach.port));
            if !secure {
                value.push_str(";transport=");
                value.push_str(reach.transport.uri_token());
            }
            value.push_str(&template.uri_parameters);
        }
    }
    value.push('>');
    value.push_str(&template.parameters);
    value
}

/// Whether a URI, or a route in its brackets, is a sips URI.
fn is_sips(text: &str) -> bool {
    let uri = text.strip_prefix('<').unwrap_or(text);
    uri.get(..5)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("sips:"))
}

/// Whether the answer to a request that makes a dialog has a sips URI in Contact (RFC 3261 section 12.1.1).
pub(super) fn asks_for_sips(request: &Message) -> bool {
    let first = match request.list::<RecordRoute<'_>>().next() {
        Some(Ok(RecordRoute(route))) => Some(route.uri),
        Some(Err(_)) => None,
        None => request
            .list::<Contact<'_>>()
            .find_map(|contact| Some(contact.ok()?.uri()?.clone())),
    };
    is_sips(request.request_uri()) || first.is_some_and(|uri| uri.as_sip().is_some_and(|uri| uri.secure))
}

/// The request as it goes out.
pub(super) fn request<'c>(
    scratch: &mut Scratch,
    draft: &Draft,
    reach: &Reach,
    branch: &str,
    cseq: u32,
    credentials: impl IntoIterator<Item = &'c (HeaderName, String)>,
) -> Bytes {
    let hop = OwnHop {
        transport: reach.transport,
        host: &reach.host,
        port: reach.port,
        branch,
    };
    let Draft {
        method, uri, parties, ..
    } = draft;
    let mut builder = RequestBuilder::of_parts(scratch, method, uri, &hop, parties, cseq, MAX_FORWARDS);
    for route in &draft.route {
        builder.text(HeaderName::Route, route);
    }
    if let Some(contact) = &draft.contact {
        let secure = is_sips(&draft.uri) || draft.route.first().is_some_and(|route| is_sips(route));
        builder.text(HeaderName::Contact, &contact_value(contact, reach, secure));
    }
    for (name, value) in credentials {
        builder.text(*name, value);
    }
    if let Some(seconds) = draft.expires {
        builder.header(&Expires(seconds));
    }
    builder.block(&draft.block);
    for (name, value) in &draft.extra {
        builder.raw_checked(name, value);
    }
    if let Some(content) = &draft.content
        && draft.method != Method::Cancel
    {
        builder.body(&content.content_type, content.body.clone());
    }
    builder.finish()
}
