//! Short-lived views through which the application commands and reads one object.

mod incoming;
mod publication;
mod subscription;
mod transfer;
mod watcher;

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::parts::below;
use super::{Stack, record};
use crate::action::Transport;
use crate::auth::AuthenticationProtocol;
use crate::connection::{Hop, ManagerKind};
use crate::endpoint::{PageMessage, SendOptions, reach};
use crate::error::{Misuse, ParseError};
use crate::event::{
    Content, ExtraHeaders, OperationError, OperationFailure, PeerToPeerState, RedirectAction,
    RegistrationState, RouteState, SessionState,
};
use crate::exchange::NextHop;
use crate::ids::{EndpointId, ListenerId, ManagerId, OperationId, SessionId};
use crate::session::{Cargo, EarlyDialog, Offered};
use crate::wire::uri::Uri;
use crate::wire::{Method, StatusCode, write};

pub use incoming::IncomingView;
pub use publication::PublicationView;
pub use subscription::SubscriptionView;
pub use watcher::WatcherView;

/// A connection manager: to listen with (rule C14).
#[derive(Debug)]
pub struct ManagerView<'a> {
    pub(super) stack: &'a mut Stack,
    pub(super) id: ManagerId,
}

impl ManagerView<'_> {
    /// Starts listening on an address; port 0 lets the system choose. [`Event::Listening`](crate::Event::Listening) or
    /// [`Event::ListeningEnded`](crate::Event::ListeningEnded) follows.
    ///
    /// # Errors
    /// A client manager, this manager listens on that address already, or the stack is draining.
    pub fn listen(&mut self, address: SocketAddr) -> Result<ListenerId, Misuse> {
        record!(
            self.stack,
            self.stack.now,
            Listen {
                manager: self.id,
                address
            }
        );
        self.stack.may_begin("listen")?;
        let id = self.id;
        self.stack.step(self.stack.now, |p| {
            let first = !p.low.connections.is_listening(id) && !p.low.connections.is_starting(id);
            let listener = p.low.connections.listen(&mut p.cx, id, address)?;
            if first {
                p.endpoints
                    .handle_listening(&mut p.cx, id, reach::Input::Starting);
            }
            Ok(listener)
        })
    }

    /// Stops listening on one address. Connections that were accepted there live on.
    ///
    /// # Errors
    /// It does not listen, or not for this manager.
    pub fn stop_listening(&mut self, listener: ListenerId) -> Result<(), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            StopListening {
                manager: self.id,
                listener
            }
        );
        let id = self.id;
        self.stack.step(self.stack.now, |p| {
            p.low.connections.stop_listening(&mut p.cx, id, listener)
        })
    }

    /// The size of new pools (C4); `usize::MAX` means no sharing.
    ///
    /// # Errors
    /// A client manager, or a size of 0.
    pub fn set_pool_size(&mut self, size: usize) -> Result<(), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            SetPoolSize {
                manager: self.id,
                size
            }
        );
        self.stack.connections.set_pool_size(self.id, size)
    }

    /// The size of one pool that exists (C4). Connections above it stay until they go by themselves.
    ///
    /// # Errors
    /// A client manager, a size of 0, or no such pool.
    pub fn set_pool_maximum(
        &mut self,
        host: &str,
        port: Option<u16>,
        transport: Transport,
        size: usize,
    ) -> Result<(), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            SetPoolMaximum {
                manager: self.id,
                host: host.to_string(),
                port,
                transport,
                size
            }
        );
        self.stack
            .connections
            .set_pool_maximum(self.id, &Hop::new(host, port, transport), size)
    }

    /// Sets how long its connections may be without traffic, incoming and outgoing ones apart (C10): zero for ever,
    /// `None` for what the stack has. It is for new connections; [`apply_idle`](Self::apply_idle) brings it to those that
    /// are there.
    ///
    /// # Errors
    /// Misuse: a client manager closes no connection for idleness (C11).
    pub fn set_idle(&mut self, incoming: Option<Duration>, outgoing: Option<Duration>) -> Result<(), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            SetManagerIdle {
                manager: self.id,
                incoming,
                outgoing
            }
        );
        self.stack
            .connections
            .set_idle_defaults(self.id, incoming, outgoing)
    }

    /// Gives every connection of the manager the idle time that its new ones get (C10), counted from its last traffic;
    /// what was set for one connection is overwritten.
    ///
    /// # Errors
    /// Misuse: a client manager closes no connection for idleness (C11).
    pub fn apply_idle(&mut self) -> Result<(), Misuse> {
        record!(self.stack, self.stack.now, ApplyIdle { manager: self.id });
        let id = self.id;
        self.stack.step(self.stack.now, |p| {
            p.low.connections.apply_idle_defaults(&mut p.cx, id)
        })
    }

    /// Where the manager listens.
    pub fn listeners(&self) -> Vec<(ListenerId, SocketAddr, Transport)> {
        self.stack.connections.listening_addresses(self.id).collect()
    }

    /// What kind of manager it is.
    pub fn kind(&self) -> ManagerKind {
        self.stack
            .connections
            .manager_kind(self.id)
            .unwrap_or(ManagerKind::Client)
    }
}

/// A real-time endpoint: what SipEndpoint and SipPeerToPeerEndpoint share (E6), and registration.
#[derive(Debug)]
pub struct EndpointView<'a> {
    pub(super) stack: &'a mut Stack,
    pub(super) id: EndpointId,
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
                target: target.to_string(),
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
                target: target.to_string()
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
    /// As [`create_session`](Self::create_session) and [`SessionView::establish`].
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
                target: target.to_string(),
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

/// A signaling session.
#[derive(Debug)]
pub struct SessionView<'a> {
    pub(super) stack: &'a mut Stack,
    pub(super) id: SessionId,
}

impl SessionView<'_> {
    /// Sends the INVITE. It completes when the session is connected, or with the reason why it is not.
    ///
    /// # Errors
    /// Any state but Idle; a malformed header field or content type; a next hop at a SipEndpoint (P9).
    pub fn establish(&mut self, offer: Option<Content>, options: SendOptions) -> Result<OperationId, Misuse> {
        record!(
            self.stack,
            self.stack.now,
            Establish {
                session: self.id,
                offer: offer.clone(),
                options: options.clone()
            }
        );
        self.call(offer, options)
    }

    fn call(&mut self, offer: Option<Content>, options: SendOptions) -> Result<OperationId, Misuse> {
        check_cargo(offer.as_ref(), &options.headers)?;
        self.stack
            .sessions
            .may(self.id, "establish", SessionState::Idle)?;
        if let Some(operation) = self.overtaken() {
            return operation;
        }
        let endpoint = self.endpoint();
        if options.next_hop.is_some() {
            self.stack.endpoints.may_name_next_hop(endpoint)?;
        }
        let cargo = Cargo {
            content: offer,
            extra: options.headers,
        };
        let (operation, id) = (start(self.stack, endpoint)?, self.id);
        self.stack.step(self.stack.now, |p| {
            p.sessions
                .establish(&mut p.cx, below!(p), id, operation, cargo, options.next_hop);
        });
        Ok(operation)
    }

    /// Accepts the peer's INVITE: with the answer to its offer, or with an offer where it made none (S5). It completes
    /// with the ACK.
    ///
    /// # Errors
    /// Any state but Incoming, or it was accepted before; a malformed content type.
    pub fn accept(&mut self, content: Option<Content>) -> Result<OperationId, Misuse> {
        record!(
            self.stack,
            self.stack.now,
            Accept {
                session: self.id,
                content: content.clone()
            }
        );
        self.accept_dialog(EarlyDialog::FIRST, content)
    }

    /// The same in another of the session's early dialogs (S9).
    ///
    /// # Errors
    /// As [`accept`](Self::accept); an early dialog of another session.
    pub fn accept_in(&mut self, early: EarlyDialog, content: Option<Content>) -> Result<OperationId, Misuse> {
        record!(
            self.stack,
            self.stack.now,
            AcceptIn {
                session: self.id,
                early,
                content: content.clone()
            }
        );
        self.accept_dialog(early, content)
    }

    fn accept_dialog(&mut self, early: EarlyDialog, content: Option<Content>) -> Result<OperationId, Misuse> {
        check_cargo(content.as_ref(), &[])?;
        self.stack
            .sessions
            .may(self.id, "accept", SessionState::Incoming)?;
        self.stack.sessions.may_enter(self.id, early)?;
        if let Some(operation) = self.overtaken() {
            return operation;
        }
        let (operation, id) = (start(self.stack, self.endpoint())?, self.id);
        self.stack.step(self.stack.now, |p| {
            let with = (operation, content);
            p.sessions.accept_in(&mut p.cx, below!(p), id, early, with);
        });
        Ok(operation)
    }

    /// Refuses the peer's INVITE with 400 to 699; without `reason` the status has its usual words.
    ///
    /// # Errors
    /// Any state but Incoming; a status outside the range; a malformed reason.
    pub fn reject(&mut self, status: StatusCode, reason: Option<&str>) -> Result<(), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            Reject {
                session: self.id,
                status,
                reason: reason.map(ToString::to_string)
            }
        );
        check_refusal(status, reason)?;
        self.decline("reject", status, reason, &[])
    }

    /// Sends the caller to other targets with 300 to 399, 302 where none is given (S2).
    ///
    /// # Errors
    /// Any state but Incoming; a status outside the range; a malformed target, none, or one that is this endpoint or the
    /// caller.
    pub fn redirect(
        &mut self,
        status: impl Into<Option<StatusCode>>,
        targets: &[&str],
    ) -> Result<(), Misuse> {
        let status = status.into().unwrap_or(StatusCode::MOVED_TEMPORARILY);
        record!(
            self.stack,
            self.stack.now,
            Redirect {
                session: self.id,
                status,
                targets: targets.iter().map(ToString::to_string).collect()
            }
        );
        if !status.is_redirection() {
            return Err(Misuse::argument("status", "300 to 399"));
        }
        if targets.is_empty() {
            return Err(Misuse::argument("targets", "at least one is needed"));
        }
        for target in targets {
            check_target(target)?;
            if self.stack.sessions.is_party(self.id, target) {
                return Err(Misuse::argument("targets", "this endpoint, or the caller"));
            }
        }
        self.decline("redirect", status, None, targets)
    }

    fn decline(
        &mut self,
        operation: &'static str,
        status: StatusCode,
        reason: Option<&str>,
        targets: &[&str],
    ) -> Result<(), Misuse> {
        self.stack
            .sessions
            .may(self.id, operation, SessionState::Incoming)?;
        if self.stack.sessions.ended(self.id).is_some() {
            return Ok(());
        }
        let id = self.id;
        self.stack.step(self.stack.now, |p| {
            p.sessions
                .decline(&mut p.cx, below!(p), id, status, reason, targets);
        });
        Ok(())
    }

    /// Sends a provisional response (101 to 199). Where both sides take part it is
    /// [reliable](crate::ReliableResponses) (S7): it waits until the one before has its PRACK, and an answer in it is the
    /// answer.
    ///
    /// # Errors
    /// Any state but Incoming; a status outside the range; a malformed content type.
    pub fn provisional(&mut self, status: StatusCode, content: Option<Content>) -> Result<(), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            Provisional {
                session: self.id,
                status,
                content: content.clone()
            }
        );
        self.provisional_dialog(EarlyDialog::FIRST, status, content)
    }

    /// Another early dialog of an incoming session, with its own To tag, as if another endpoint had been rung: for
    /// [`provisional_in`](Self::provisional_in), and for [`accept_in`](Self::accept_in), of which there is one (S9).
    ///
    /// # Errors
    /// Any state but Incoming; as many as [`Limits::forks`](crate::Limits::forks).
    pub fn early_dialog(&mut self) -> Result<EarlyDialog, Misuse> {
        record!(self.stack, self.stack.now, EarlyDialog { session: self.id });
        self.stack
            .sessions
            .may(self.id, "early_dialog", SessionState::Incoming)?;
        let id = self.id;
        self.stack.step(self.stack.now, |p| {
            p.sessions.early_dialog(&mut p.cx, p.exchanges, id)
        })
    }

    /// Sends a provisional response in another of the session's early dialogs (S9).
    ///
    /// # Errors
    /// As [`provisional`](Self::provisional); an early dialog of another session.
    pub fn provisional_in(
        &mut self,
        early: EarlyDialog,
        status: StatusCode,
        content: Option<Content>,
    ) -> Result<(), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            ProvisionalIn {
                session: self.id,
                early,
                status,
                content: content.clone()
            }
        );
        self.provisional_dialog(early, status, content)
    }

    fn provisional_dialog(
        &mut self,
        early: EarlyDialog,
        status: StatusCode,
        content: Option<Content>,
    ) -> Result<(), Misuse> {
        if !(101..=199).contains(&status.code()) {
            return Err(Misuse::argument("status", "101 to 199"));
        }
        check_cargo(content.as_ref(), &[])?;
        self.stack
            .sessions
            .may(self.id, "provisional", SessionState::Incoming)?;
        self.stack.sessions.may_enter(self.id, early)?;
        if self.stack.sessions.ended(self.id).is_some() {
            return Ok(());
        }
        let id = self.id;
        self.stack.step(self.stack.now, |p| {
            let with = (status, content);
            p.sessions.provisional_in(&mut p.cx, below!(p), id, early, with)
        })
    }

    /// Answers the offer that came in the 2xx; the answer goes out in the ACK (S5).
    ///
    /// # Errors
    /// No offer waits for an answer; a malformed content type.
    pub fn answer(&mut self, answer: Content) -> Result<(), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            Answer {
                session: self.id,
                answer: answer.clone()
            }
        );
        check_cargo(Some(&answer), &[])?;
        let id = self.id;
        self.stack.step(self.stack.now, |p| {
            p.sessions.answer(&mut p.cx, below!(p), id, answer)
        })
    }

    /// Offers a change of the session, by INVITE or UPDATE (S6). It completes with the 2xx, whose answer comes as
    /// [`Event::AnswerReceived`](crate::Event::AnswerReceived); refused, it leaves the session as it was. One that meets a
    /// change of the peer is offered once more after a while, by itself.
    ///
    /// Before the session is established a callee offers a change by UPDATE, once it has sent a
    /// [provisional response](Self::provisional) with a body: it goes out when that has its PRACK, and nothing else is
    /// open (RFC 3311 section 5.1). A caller offers one by PRACK: the next reliable response whose fork has answered takes
    /// it with its PRACK (RFC 3262 section 5); where none comes, or another fork is established, it ends as Aborted.
    ///
    /// # Errors
    /// INVITE in any state but Connected, UPDATE in any but Connected and Incoming, PRACK in any but Connecting and
    /// Alerted; another method; provisional responses are not reliable here, or none with a body was sent; a malformed
    /// content type; one is under way; a change that the peer offers waits for the application.
    pub fn renegotiate(&mut self, method: Method, offer: Content) -> Result<OperationId, Misuse> {
        record!(
            self.stack,
            self.stack.now,
            Renegotiate {
                session: self.id,
                method: method.clone(),
                offer: offer.clone()
            }
        );
        if !matches!(method, Method::Invite | Method::Update | Method::Prack) {
            return Err(Misuse::argument("method", "INVITE, UPDATE or PRACK"));
        }
        self.renegotiate_dialog(EarlyDialog::FIRST, method, offer)
    }

    /// Offers a change by UPDATE in another of the session's early dialogs (S9).
    ///
    /// # Errors
    /// As [`renegotiate`](Self::renegotiate), and any state but Incoming; an early dialog of another session.
    pub fn renegotiate_in(&mut self, early: EarlyDialog, offer: Content) -> Result<OperationId, Misuse> {
        record!(
            self.stack,
            self.stack.now,
            RenegotiateIn {
                session: self.id,
                early,
                offer: offer.clone()
            }
        );
        self.stack
            .sessions
            .may(self.id, "renegotiate_in", SessionState::Incoming)?;
        self.renegotiate_dialog(early, Method::Update, offer)
    }

    fn renegotiate_dialog(
        &mut self,
        early: EarlyDialog,
        method: Method,
        offer: Content,
    ) -> Result<OperationId, Misuse> {
        check_cargo(Some(&offer), &[])?;
        self.stack.sessions.may_renegotiate(self.id, &method, early)?;
        if let Some(operation) = self.overtaken() {
            return operation;
        }
        let (operation, id) = (start(self.stack, self.endpoint())?, self.id);
        self.stack.step(self.stack.now, |p| {
            let offered = Offered::new(method, offer, early);
            p.sessions
                .renegotiate(&mut p.cx, below!(p), id, operation, offered);
        });
        Ok(operation)
    }

    /// Gives up the change that this side offers: what has not left is dropped, a re-INVITE is cancelled after its first
    /// provisional response. Whether there was one to give up; a 2xx may still win.
    pub fn cancel_renegotiation(&mut self) -> bool {
        record!(
            self.stack,
            self.stack.now,
            CancelRenegotiation { session: self.id }
        );
        let id = self.id;
        self.stack.step(self.stack.now, |p| {
            p.sessions.cancel_renegotiation(&mut p.cx, below!(p), id)
        })
    }

    /// Takes the change that the peer offers: with the answer to its offer, or with an offer where it made none (S6). It
    /// completes at once for an UPDATE, with the ACK for a re-INVITE; as Aborted where the peer has cancelled meanwhile.
    ///
    /// # Errors
    /// No change waits for a decision; a malformed content type.
    pub fn accept_renegotiation(&mut self, content: Content) -> Result<OperationId, Misuse> {
        record!(
            self.stack,
            self.stack.now,
            AcceptRenegotiation {
                session: self.id,
                content: content.clone()
            }
        );
        check_cargo(Some(&content), &[])?;
        self.stack.sessions.may_decide(self.id, "accept_renegotiation")?;
        if let Some(operation) = self.overtaken() {
            return operation;
        }
        let (operation, id) = (start(self.stack, self.endpoint())?, self.id);
        self.stack.step(self.stack.now, |p| {
            p.sessions
                .accept_renegotiation(&mut p.cx, below!(p), id, operation, &content);
        });
        Ok(operation)
    }

    /// Refuses the change that the peer offers with 400 to 699 (488 is the usual one): the session is as it was (S6).
    /// Without `reason` the status has its usual words.
    ///
    /// # Errors
    /// No change waits for a decision; a status outside the range; a malformed reason.
    pub fn reject_renegotiation(&mut self, status: StatusCode, reason: Option<&str>) -> Result<(), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            RejectRenegotiation {
                session: self.id,
                status,
                reason: reason.map(ToString::to_string)
            }
        );
        check_refusal(status, reason)?;
        self.stack.sessions.may_decide(self.id, "reject_renegotiation")?;
        let id = self.id;
        self.stack.step(self.stack.now, |p| {
            p.sessions
                .reject_renegotiation(&mut p.cx, below!(p), id, status, reason);
        });
        Ok(())
    }

    /// Whether the requests of the session find their way (S17).
    pub fn route_state(&self) -> RouteState {
        self.stack.sessions.route_state(self.id)
    }

    /// Sends a request inside the session: MESSAGE, INFO, OPTIONS or NOTIFY (S15). While its route set is being recovered it
    /// waits (S17).
    ///
    /// # Errors
    /// Any state but Connected; another method; a malformed header field or content type; too many under way.
    pub fn send(
        &mut self,
        method: Method,
        content: Option<Content>,
        headers: ExtraHeaders,
    ) -> Result<OperationId, Misuse> {
        record!(
            self.stack,
            self.stack.now,
            Send {
                session: self.id,
                method: method.clone(),
                content: content.clone(),
                headers: headers.clone()
            }
        );
        if !matches!(
            method,
            Method::Message | Method::Info | Method::Options | Method::Notify
        ) {
            return Err(Misuse::argument("method", "MESSAGE, INFO, OPTIONS or NOTIFY"));
        }
        check_cargo(content.as_ref(), &headers)?;
        self.stack
            .sessions
            .may(self.id, "send", SessionState::Connected)?;
        if let Some(operation) = self.overtaken() {
            return operation;
        }
        if self.stack.sessions.pending(self.id) >= self.stack.config.limits.pending_per_session {
            self.stack.counters.refusals.pending_per_session += 1;
            return Err(Misuse::Limit("requests under way in one session"));
        }
        let cargo = Cargo {
            content,
            extra: headers,
        };
        let (operation, id) = (start(self.stack, self.endpoint())?, self.id);
        self.stack.step(self.stack.now, |p| {
            p.sessions
                .send(&mut p.cx, below!(p), id, operation, method, cargo);
        });
        Ok(operation)
    }

    /// Decides about the target of [`Event::Redirected`](crate::Event::Redirected) (S13).
    ///
    /// # Errors
    /// Any state but Redirecting.
    pub fn follow_redirect(&mut self, action: RedirectAction) -> Result<(), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            FollowRedirect {
                session: self.id,
                action
            }
        );
        self.stack
            .sessions
            .may(self.id, "follow_redirect", SessionState::Redirecting)?;
        let id = self.id;
        self.stack.step(self.stack.now, |p| {
            p.sessions.follow_redirect(&mut p.cx, below!(p), id, action);
        });
        Ok(())
    }

    /// Header fields for what the session sends next of its own: a response to the peer's INVITE, CANCEL or BYE (S20).
    /// [`field`](crate::wire::header::field) makes one of a typed value, such as a Reason.
    ///
    /// # Errors
    /// A malformed header field, or the session was ended by the application.
    pub fn attach(&mut self, headers: ExtraHeaders) -> Result<(), Misuse> {
        record!(
            self.stack,
            self.stack.now,
            Attach {
                session: self.id,
                headers: headers.clone()
            }
        );
        check_cargo(None, &headers)?;
        self.stack.sessions.attach(self.id, headers)
    }

    /// Ends the session as its state asks for: CANCEL, BYE or a decline (S10). It never fails.
    pub fn terminate(&mut self) -> OperationId {
        record!(self.stack, self.stack.now, TerminateSession { session: self.id });
        let (endpoint, id) = (self.endpoint(), self.id);
        self.stack.step(self.stack.now, |p| {
            let operation = p.cx.out.start(p.cx.ids, endpoint);
            if p.sessions.state(id).is_some() {
                p.sessions.terminate(&mut p.cx, below!(p), id, operation, None);
            } else {
                p.cx.out.complete(operation, Ok(crate::event::Completion::Done));
            }
            operation
        })
    }

    /// The state (S1).
    pub fn state(&self) -> SessionState {
        self.stack
            .sessions
            .state(self.id)
            .unwrap_or(SessionState::Disconnected)
    }

    /// How long the session lasts without a refresh, and whether this side refreshes it (S11); `None` where no timer was
    /// agreed on.
    pub fn session_timer(&self) -> Option<(Duration, bool)> {
        self.stack.sessions.session_timer(self.id)
    }

    /// Whose session it is.
    pub fn endpoint(&self) -> EndpointId {
        let sessions = &self.stack.sessions;
        sessions
            .endpoint(self.id)
            .or_else(|| sessions.ended(self.id))
            .unwrap_or(EndpointId::FIRST)
    }

    /// Its Call-ID; `None` once it is over.
    pub fn call_id(&self) -> Option<&str> {
        self.stack.sessions.call_id(self.id)
    }

    /// Whether its INVITE may have reached other endpoints, too: it was for a user, at whose server all are rung, and not for
    /// this endpoint by its GRUU or epid (S8). Who answers such a call for nobody takes it away from somebody.
    pub fn is_forked(&self) -> bool {
        self.stack.sessions.is_forked(self.id)
    }

    /// The remote target; before the dialog exists, the URI that is called. `None` once it is over.
    pub fn target(&self) -> Option<&str> {
        self.stack.sessions.target(self.id)
    }

    /// A session that the network has ended, or that the stack is ending, while the application did not know: the command
    /// succeeds, and completes as SessionTerminated (X2).
    fn overtaken(&mut self) -> Option<Result<OperationId, Misuse>> {
        let sessions = &self.stack.sessions;
        if sessions.ended(self.id).is_none() && !sessions.is_leaving(self.id) {
            return None;
        }
        let endpoint = self.endpoint();
        Some(start(self.stack, endpoint).inspect(|operation| {
            let ended = OperationError::OperationFailure(OperationFailure::SessionTerminated);
            self.stack
                .step(self.stack.now, |p| p.cx.out.complete(*operation, Err(ended)));
        }))
    }
}

fn start(stack: &mut Stack, endpoint: EndpointId) -> Result<OperationId, Misuse> {
    may_start(stack)?;
    Ok(stack.out.start(&mut stack.ids, endpoint))
}

fn may_start(stack: &mut Stack) -> Result<(), Misuse> {
    if stack.out.operations() < stack.config.limits.operations {
        Ok(())
    } else {
        stack.counters.refusals.operations += 1;
        Err(Misuse::Limit("operations"))
    }
}

/// What a request is sent to has no headers (RFC 3261 section 19.1.1, table 1): the application gives them apart.
fn check_request_uri(target: &str) -> Result<(), Misuse> {
    check_target(target)?;
    match Uri::parse(target) {
        Ok(Uri::Sip(uri)) if !uri.headers.is_empty() => Err(Misuse::argument(
            "target",
            "a URI with header fields: give them apart",
        )),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn check_refusal(status: StatusCode, reason: Option<&str>) -> Result<(), Misuse> {
    if !(400..=699).contains(&status.code()) {
        return Err(Misuse::argument("status", "400 to 699"));
    }
    match reason {
        Some(reason) => write::check_reason(reason).map_err(misuse("reason")),
        None => Ok(()),
    }
}

fn check_target(target: &str) -> Result<(), Misuse> {
    match Uri::parse(target) {
        Ok(Uri::Sip(_) | Uri::Tel(_)) => Ok(()),
        Ok(Uri::Other(_)) => Err(Misuse::argument("target", "a sip, sips or tel URI is needed")),
        Err(error) => Err(Misuse::argument("target", error.to_string())),
    }
}

fn check_cargo(content: Option<&Content>, headers: &[(String, String)]) -> Result<(), Misuse> {
    if let Some(content) = content {
        write::check_content_type(&content.content_type).map_err(misuse("content_type"))?;
        if content.body.is_empty() {
            return Err(Misuse::argument(
                "content",
                "an empty body has no content type: give none (M1)",
            ));
        }
    }
    for (name, value) in headers {
        write::check_header(name, value).map_err(misuse("headers"))?;
    }
    Ok(())
}

fn misuse(argument: &'static str) -> impl Fn(ParseError) -> Misuse {
    move |error| Misuse::argument(argument, error.to_string())
}
