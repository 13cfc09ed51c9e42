//! The way out: which connection carries a request of an endpoint, and what its loss means (rules C6, C7, R5, R6, R22,
//! P2 to P5, P9).

use alloc::string::ToString;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::{Endpoints, Kind, PeerToPeer};
use crate::action::Transport;
use crate::connection::{Connections, Hop, Lease};
use crate::cx::Cx;
use crate::event::{ConnectionFailure, OperationError, RegistrationState};
use crate::exchange::NextHop;
use crate::ids::{ConnId, EndpointId, OperationId};
use crate::registration::{Input, OnDrop};
use crate::session::Below;
use crate::wire::uri::{SipUri, Uri};

/// Where a request goes, as far as its sender knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way<'a> {
    /// The URI of the next hop, or the target.
    pub(crate) target: &'a str,
    pub(crate) in_dialog: bool,
    /// The next hop of the application's choice (P9).
    pub(crate) next_hop: Option<&'a NextHop>,
    /// The addresses that this request has failed on.
    pub(crate) avoid: &'a [SocketAddr],
}

impl Endpoints {
    /// A connection for a request outside sessions.
    pub(crate) fn lease_for_message(
        &mut self,
        cx: &mut Cx<'_>,
        connections: &mut Connections,
        id: EndpointId,
        operation: OperationId,
        avoid: &[SocketAddr],
    ) -> Result<Lease, OperationError> {
        let endpoint = self.table.get(&id).ok_or_else(not_connected)?;
        let outgoing = endpoint.outgoing.get(&operation).ok_or_else(not_connected)?;
        let (target, next_hop) = (outgoing.target.clone(), outgoing.next_hop.clone());
        let way = Way {
            target: &target,
            in_dialog: false,
            next_hop: next_hop.as_ref(),
            avoid,
        };
        self.lease(cx, connections, id, &way)
    }

    /// A connection toward `target`: for a SipEndpoint the one to its server, whatever the target is (R22); for a
    /// peer-to-peer endpoint one from the pool of the next hop (C7, P2 to P5, P9).
    pub(crate) fn lease(
        &mut self,
        cx: &mut Cx<'_>,
        connections: &mut Connections,
        id: EndpointId,
        way: &Way<'_>,
    ) -> Result<Lease, OperationError> {
        let avoid = way.avoid;
        let Some(endpoint) = self.table.get_mut(&id) else {
            return Err(not_connected());
        };
        let manager = endpoint.manager;
        match &mut endpoint.kind {
            Kind::PeerToPeer(peer) => {
                let hop = peer.hop(way.target, way.in_dialog, way.next_hop)?;
                connections
                    .acquire(cx, manager, &hop, avoid)
                    .map_err(OperationError::ConnectionFailure)
            }
            Kind::Sip(sip) => {
                if sip.dropped {
                    return Err(not_connected());
                }
                if avoid.is_empty()
                    && let Some(flow) = &sip.flow
                    && let Some(lease) = connections.share(cx, flow.conn())
                {
                    return Ok(lease);
                }
                if let Some(old) = sip.flow.take() {
                    self.by_flow.remove(&(old.conn(), id));
                    connections.release(cx, old);
                }
                let flow = connections
                    .acquire(cx, manager, &sip.server, avoid)
                    .map_err(OperationError::ConnectionFailure)?;
                let Some(lease) = connections.share(cx, flow.conn()) else {
                    // It has failed already; the report of why is on its way to whoever waits for this connection.
                    return Ok(flow);
                };
                self.by_flow.insert((flow.conn(), id));
                sip.flow = Some(flow);
                Ok(lease)
            }
        }
    }

    /// A connection is gone, or could not be made: what it means for each endpoint that had it (R5, R6). It looks after at
    /// most `slice` of them and says whether some are left.
    pub(crate) fn handle_lost(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        conn: ConnId,
        error: &OperationError,
        slice: usize,
    ) -> bool {
        let range = (conn, EndpointId::FIRST)..=(conn, EndpointId::LAST);
        let users: Vec<EndpointId> = self
            .by_flow
            .range(range.clone())
            .take(slice)
            .map(|(_, id)| *id)
            .collect();
        for id in users {
            self.by_flow.remove(&(conn, id));
            let Some(endpoint) = self.table.get_mut(&id) else {
                continue;
            };
            let Kind::Sip(sip) = &mut endpoint.kind else {
                continue;
            };
            if let Some(flow) = sip.flow.take() {
                below.low.connections.release(cx, flow);
            }
            let registered = sip.registration.state() == RegistrationState::Registered;
            let on_drop = if below.low.connections.is_listening(endpoint.manager) {
                OnDrop::Keep
            } else if sip.registration.refreshes() {
                OnDrop::Reconnect(error.clone())
            } else {
                sip.dropped = registered;
                OnDrop::GiveUp
            };
            if registered {
                self.register_step(cx, below, id, Input::Dropped(on_drop), Some(conn));
            }
        }
        self.by_flow.range(range).next().is_some()
    }
}

impl PeerToPeer {
    fn hop(&self, target: &str, in_dialog: bool, next_hop: Option<&NextHop>) -> Result<Hop, OperationError> {
        let uri = Uri::parse(target).ok();
        let sip = uri.as_ref().and_then(Uri::as_sip);
        if let Some(next) = next_hop {
            // sips means TLS whatever the way (P4).
            let secure = sip.is_some_and(|uri| uri.secure).then_some(Transport::Tls);
            let transport = next.transport.or(secure).unwrap_or(self.default_transport);
            return Ok(Hop::new(&next.host, next.port, transport));
        }
        match (&self.proxy, sip) {
            (Some(proxy), Some(uri)) if !in_dialog => {
                // Only TLS overrides the proxy's transport (P5).
                let tls = named_transport(uri) == Some(Transport::Tls);
                Ok(if tls {
                    proxy.with_transport(Transport::Tls)
                } else {
                    proxy.clone()
                })
            }
            (Some(proxy), None) if !in_dialog => Ok(proxy.clone()),
            (_, Some(uri)) => Ok(hop_of(uri, self.default_transport)),
            (_, None) => {
                let why = "the target names no host: an outbound proxy is needed";
                Err(OperationError::ConnectionFailure(ConnectionFailure::NoTransport(
                    why,
                )))
            }
        }
    }
}

/// The transport that a URI asks for: `sips` means TLS (P4).
fn named_transport(uri: &SipUri<'_>) -> Option<Transport> {
    if uri.secure {
        return Some(Transport::Tls);
    }
    match uri.transport() {
        Some(token) if token.eq_ignore_ascii_case("tls") => Some(Transport::Tls),
        Some(token) if token.eq_ignore_ascii_case("tcp") => Some(Transport::Tcp),
        Some(_) | None => None,
    }
}

/// Where a URI leads; over the default transport where it names none.
pub(super) fn hop_of(uri: &SipUri<'_>, default: Transport) -> Hop {
    let host = uri.maddr().unwrap_or_else(|| uri.host.clone());
    let host = host.ip().map_or_else(|| host.to_string(), |ip| ip.to_string());
    Hop::new(&host, uri.port, named_transport(uri).unwrap_or(default))
}

fn not_connected() -> OperationError {
    OperationError::ConnectionFailure(ConnectionFailure::NotConnected)
}

#[cfg(test)]
mod tests {
    use super::super::reach::Reach;
    use super::*;
    use crate::ids::FromNumber;

    fn peer(proxy: Option<Hop>, default_transport: Transport) -> PeerToPeer {
        PeerToPeer {
            proxy,
            default_transport,
            gruu: None,
            reach: Reach::new(EndpointId::from_number(1), false, false),
        }
    }

    // rules: P2, P3, P4, P5
    #[test]
    fn the_proxy_takes_what_is_in_no_session_and_the_target_says_the_rest() {
        use Transport::{Tcp, Tls};
        let hop = |host: &str, transport| Some(Hop::new(host, None, transport));
        let proxy = || hop("proxy.invalid", Tcp);
        // The target, whether it is in a session, and where it goes: with a proxy, and without one where TLS is the default.
        let table = [
            ("sip:b@b.invalid", false, proxy(), hop("b.invalid", Tls)),
            (
                "sip:b@b.invalid",
                true,
                hop("b.invalid", Tls),
                hop("b.invalid", Tls),
            ),
            (
                "sip:b@b.invalid;transport=tcp",
                false,
                proxy(),
                hop("b.invalid", Tcp),
            ),
            (
                "sip:b@b.invalid;transport=TLS",
                false,
                hop("proxy.invalid", Tls),
                hop("b.invalid", Tls),
            ),
            (
                "sips:b@b.invalid",
                false,
                hop("proxy.invalid", Tls),
                hop("b.invalid", Tls),
            ),
            // One that is not spoken here says nothing.
            (
                "sip:b@b.invalid;transport=udp",
                false,
                proxy(),
                hop("b.invalid", Tls),
            ),
            // A number is for the proxy, and leads nowhere by itself.
            ("tel:+15550100", false, proxy(), None),
            ("tel:+15550100", true, None, None),
        ];
        for (target, in_dialog, with_proxy, without) in table {
            let way = |proxy| peer(proxy, Tls).hop(target, in_dialog, None).ok();
            assert_eq!(
                (way(proxy()), way(None)),
                (with_proxy, without),
                "{target}, {in_dialog}"
            );
        }
    }
}
