//! A real-time endpoint: its registration, and its messages outside dialogs.

use alloc::string::String;
use alloc::vec::Vec;

use super::{check_cargo, check_request_uri, may_start, start};
use crate::action::Transport;
use crate::auth::AuthenticationProtocol;
use crate::endpoint::{PageMessage, SendOptions};
use crate::error::Misuse;
use crate::event::{Content, PeerToPeerState, RegistrationState};
use crate::exchange::NextHop;
use crate::ids::{EndpointId, OperationId, SessionId};
use crate::session::Cargo;
use crate::stack::parts::below;
use crate::stack::{Stack, record};
use crate::wire::Method;

/// A real-time endpoint: what SipEndpoint and SipPeerToPeerEndpoint share (E6), and registration.
#[derive(Debug)]
pub struct EndpointView<'a> {
    pub(in crate::stack) stack: &'a mut Stack,
    pub(in crate::stack) id: EndpointId,
}

impl EndpointView<'_> {
    /// Registers with the server (R1, R2).
    ///
    /// # Errors
    /// A peer-to-peer endpoint, or any state but Unregistered.
    pub fn register(&mut self) -> Result<OperationId, Misuse> {
        record!(self.stack, self.stack.now, Register { endpoint: self.id });
        self.stack.endpoints.may_register(self.id)?;
        let (operation, id) = (self.start()?, self.id);
        self.stack.step(self.stack.now, |p| {
            p.endpoints.register(&mut p.cx, below!(p), id, operation)
        });
        Ok(operation)
    }

    /// Removes the registration; it always ends in Unregistered, and completes at once where there is none (R16).
    ///
    /// # Errors
    /// A peer-to-peer endpoint.
    pub fn unregister(&mut self) -> Result<OperationId, Misuse> {
        record!(self.stack, self.stack.now, Unregister { endpoint: self.id });
        self.stack.endpoints.may_unregister(self.id)?;
        let (operation, id) = (self.start()?, self.id);
        self.stack.step(self.stack.now, |p| {
            p.endpoints.unregister(&mut p.cx, below!(p), id, operation)
        });
        Ok(operation)
    }

    /// The methods that the endpoint takes from now on, in place of those of its [`Profile`](crate::Profile). Without
    /// INVITE it cannot be called; what goes with sessions it takes in sessions all the same. While it is registered the
    /// server hears of them with the next refresh (R15).
    ///
    /// # Errors
    /// A method that is no token, or the endpoint is ending.
    pub fn set_methods(&mut self, methods: Vec<Method>) -> Result<(), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            SetMethods {
                endpoint: self.id,
                methods: methods.clone()
            }
        );
        self.stack
            .endpoints
            .set_methods(&self.stack.config, self.id, methods)
    }

    /// Sends a request outside sessions: MESSAGE, INFO, OPTIONS, SERVICE, NOTIFY or BENOTIFY (M1). It completes with the
    /// final response (M2), a BENOTIFY when the connection has taken it (M3).
    ///
    /// # Errors
    /// Another method, a malformed target, header field or content type, or a next hop at a SipEndpoint (P9).
    pub fn send_message(
        &mut self,
        target: &str,
        method: Method,
        content: Option<Content>,
        options: SendOptions,
    ) -> Result<OperationId, Misuse> {
        record!(
            self.stack,
            self.stack.now,
            SendMessage {
                endpoint: self.id,
                target: target.into(),
                method: method.clone(),
                content: content.clone(),
                options: options.clone()
            }
        );
        self.stack.endpoints.may_command(self.id, "send_message")?;
        let allowed = matches!(
            method,
            Method::Message
                | Method::Info
                | Method::Options
                | Method::Service
                | Method::Notify
                | Method::Benotify
        );
        if !allowed {
            return Err(Misuse::argument(
                "method",
                "MESSAGE, INFO, OPTIONS, SERVICE, NOTIFY or BENOTIFY",
            ));
        }
        check_request_uri(target)?;
        let repeatable = options.repeatable;
        let (cargo, next_hop) = self.check(content, options)?;
        let (operation, id) = (self.start()?, self.id);
        self.stack.step(self.stack.now, |p| {
            let message = PageMessage {
                target,
                method,
                cargo,
                next_hop,
                repeatable,
            };
            p.endpoints
                .send_message(&mut p.cx, below!(p), id, operation, message);
        });
        Ok(operation)
    }

    /// Makes a session with this target in state Idle, to be established later (S2).
    ///
    /// # Errors
    /// A malformed target, the limit of sessions is reached, or the stack is draining.
    pub fn create_session(&mut self, target: &str) -> Result<SessionId, Misuse> {
        record!(
            self.stack,
            self.stack.now,
            CreateSession {
                endpoint: self.id,
                target: target.into()
            }
        );
        self.make_session(target)
    }

    fn make_session(&mut self, target: &str) -> Result<SessionId, Misuse> {
        self.stack.endpoints.may_command(self.id, "create_session")?;
        check_request_uri(target)?;
        self.stack.may_begin("create_session")?;
        if self.stack.sessions.len() >= self.stack.config.limits.sessions {
            self.stack.counters.refusals.sessions += 1;
            return Err(Misuse::Limit("sessions"));
        }
        let id = self.id;
        self.stack.step(self.stack.now, |p| {
            let local = p.endpoints.local(id).ok_or(Misuse::Unknown("endpoint"))?;
            let session = p.sessions.create(&mut p.cx, p.exchanges, local, target);
            p.endpoints.add_session(id, session);
            Ok(session)
        })
    }

    /// Makes a session and establishes it: an INVITE, with an offer or without one (S5).
    ///
    /// # Errors
    /// As [`create_session`](Self::create_session) and [`SessionView::establish`](crate::SessionView::establish).
    pub fn invite(
        &mut self,
        target: &str,
        offer: Option<Content>,
        options: SendOptions,
    ) -> Result<(SessionId, OperationId), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            Invite {
                endpoint: self.id,
                target: target.into(),
                offer: offer.clone(),
                options: options.clone()
            }
        );
        check_cargo(offer.as_ref(), &options.headers)?;
        if options.next_hop.is_some() {
            self.stack.endpoints.may_name_next_hop(self.id)?;
        }
        // Misuse changes nothing (X2): a session that could not be established is not made.
        may_start(self.stack)?;
        let session = self.make_session(target)?;
        let operation = self
            .stack
            .session(self.stack.now, session)?
            .call(offer, options)?;
        Ok((session, operation))
    }

    /// Ends the endpoint (E13); see [`Stack::terminate`].
    pub fn terminate(&mut self) -> OperationId {
        self.stack.terminate(self.stack.now, self.id)
    }

    /// How the user of a SipEndpoint was proved when the security association with its server was made; `None` without one,
    /// as with Digest, which has none.
    pub fn authentication_protocol(&self) -> Option<AuthenticationProtocol> {
        self.stack.auth.protocol(self.id)
    }

    /// The state of the registration; `None` for a peer-to-peer endpoint.
    pub fn registration_state(&self) -> Option<RegistrationState> {
        self.stack.endpoints.registration_state(self.id)
    }

    /// The state of a peer-to-peer endpoint; `None` for a SipEndpoint (P1).
    pub fn peer_to_peer_state(&self) -> Option<PeerToPeerState> {
        self.stack.endpoints.peer_to_peer_state(self.id)
    }

    /// The URI of the user, which the server may fork (E8).
    pub fn owner_uri(&self) -> &str {
        self.stack
            .endpoints
            .identity(self.id)
            .map_or("", |(uri, _, _)| uri)
    }

    /// The URI of this device (E8): its GRUU, else its listening address; `None` where it has neither.
    pub fn endpoint_uri(&self) -> Option<String> {
        self.stack
            .endpoints
            .endpoint_uri(self.id, &self.stack.connections)
    }

    /// The endpoint id (E3).
    pub fn epid(&self) -> &str {
        self.stack
            .endpoints
            .identity(self.id)
            .map_or("", |(_, epid, _)| epid)
    }

    /// The instance id, a URN (E5).
    pub fn instance(&self) -> &str {
        self.stack
            .endpoints
            .identity(self.id)
            .map_or("", |(_, _, instance)| instance)
    }

    /// The GRUU; of a SipEndpoint only while it is registered (E4).
    pub fn gruu(&self) -> Option<&str> {
        self.stack.endpoints.gruu(self.id)
    }

    /// The route that the server wants requests outside sessions to take, in order (Service-Route, RFC 3608; R17). Empty
    /// while the endpoint is not registered.
    pub fn service_route(&self) -> impl Iterator<Item = &str> {
        self.stack.endpoints.routes(self.id).0.iter().map(AsRef::as_ref)
    }

    /// The path on which the server reaches this endpoint, as it has told it (RFC 3327; R12). Empty while the endpoint is
    /// not registered.
    pub fn path(&self) -> impl Iterator<Item = &str> {
        self.stack.endpoints.routes(self.id).1.iter().map(AsRef::as_ref)
    }

    /// Host, port where it is known, and transport of the server; `None` for a peer-to-peer endpoint.
    pub fn server(&self) -> Option<(&str, Option<u16>, Transport)> {
        self.stack.endpoints.server(self.id)
    }

    /// The sessions of the endpoint.
    pub fn sessions(&self) -> Vec<SessionId> {
        self.stack.endpoints.sessions(self.id)
    }

    fn start(&mut self) -> Result<OperationId, Misuse> {
        start(self.stack, self.id)
    }

    fn check(
        &self,
        content: Option<Content>,
        options: SendOptions,
    ) -> Result<(Cargo, Option<NextHop>), Misuse> {
        check_cargo(content.as_ref(), &options.headers)?;
        if options.next_hop.is_some() {
            self.stack.endpoints.may_name_next_hop(self.id)?;
        }
        Ok((
            Cargo {
                content,
                extra: options.headers,
            },
            options.next_hop,
        ))
    }
}
