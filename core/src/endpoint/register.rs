//! The REGISTER requests of a SipEndpoint: what the registration machine asks for, as messages (R9, R12, R14 to R17, R21).

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use crate::action::Transport;
use crate::auth::{AuthenticationFailure, AuthenticationFailureReason};
use crate::cx::Cx;
use crate::error::{Misuse, ParseError};
use crate::event::{Completion, Event, OperationError, RegistrationReason, RegistrationState};
use crate::exchange::{Draft, Owner, Policy, Request, Sequence, What, contact_value, reach};
use crate::ids::{ConnId, EndpointId, OperationId};
use crate::registration::{Effect, Input};
use crate::session::Below;
use crate::wire::header::{Contact, Expires, NameAddr, Path, PresenceState, ServiceRoute};
use crate::wire::uri::{Uri, UserCase, equal};
use crate::wire::write::Parties;
use crate::wire::{HeaderName, Message, Method, StatusCode};

use super::profile::registered_methods;
use super::route::hop_of;
use super::{Endpoint, Endpoints, Kind};
use crate::connection::Hop;

/// The option tags of a REGISTER (R12).
const SUPPORTED: &str = "gruu, gruu-10, ms-forking, path, outbound";

impl Endpoints {
    /// R2; and only a SipEndpoint registers.
    pub(crate) fn may_register(&self, id: EndpointId) -> Result<(), Misuse> {
        self.may_command(id, "register")?;
        match self.sip(id) {
            Some(sip) => sip.registration.may_register(),
            None => Err(Misuse::Kind("a peer-to-peer endpoint does not register")),
        }
    }

    pub(crate) fn may_unregister(&self, id: EndpointId) -> Result<(), Misuse> {
        self.may_command(id, "unregister")?;
        self.sip(id)
            .map(|_| ())
            .ok_or(Misuse::Kind("a peer-to-peer endpoint does not register"))
    }

    pub(crate) fn register(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: EndpointId,
        operation: OperationId,
    ) {
        if let Some(sip) = self.sip_mut(id) {
            sip.dropped = false;
            // A REGISTER that is under way already answers the command.
            if !sip.registration.awaits_answer() {
                self.return_home(cx, below, id);
            }
        }
        self.register_step(cx, below, id, Input::Register(operation), None);
    }

    pub(crate) fn unregister(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: EndpointId,
        operation: OperationId,
    ) {
        self.register_step(cx, below, id, Input::Unregister(operation), None);
    }

    /// The host is in another network (R20).
    pub(crate) fn handle_network_changed(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: EndpointId,
    ) {
        if self.may_command(id, "register").is_ok() {
            self.register_step(cx, below, id, Input::NetworkChanged, None);
        }
    }

    /// The timer of the registration.
    pub(crate) fn handle_register_timer(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: EndpointId,
    ) {
        self.register_step(cx, below, id, Input::Fired, None);
    }

    /// The security association has been used for long enough (A5): a REGISTER that is not signed makes a new one. Who is
    /// not registered makes one with the next request, when the server wants it.
    pub(crate) fn handle_association_timer(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: EndpointId,
    ) {
        below.low.auth.renew(id);
        if self.may_command(id, "register").is_ok()
            && self.registration_state(id) == Some(RegistrationState::Registered)
        {
            self.register_step(cx, below, id, Input::NetworkChanged, None);
        }
    }

    /// What the exchange of a REGISTER reports.
    pub(crate) fn handle_register_exchange(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: EndpointId,
        what: What,
    ) {
        let What::Outcome(outcome) = what else { return };
        if let Some(sip) = self.sip_mut(id) {
            sip.exchange = None;
        }
        // Who leaves does not need a better server.
        let leaves = self.registration_state(id) == Some(RegistrationState::Unregistering);
        let input = match outcome.result {
            Ok(response)
                if below.low.auth.is_unchallenged(id)
                    && !outcome
                        .facts
                        .conn
                        .is_some_and(|conn| below.low.connections.is_mutual(conn))
                    && !leaves =>
            {
                let failure = AuthenticationFailure {
                    reason: AuthenticationFailureReason::UnchallengingServer,
                    realm: None,
                    offered: Vec::new(),
                    kerberos: None,
                };
                Input::Refused(OperationError::Authentication { failure, response })
            }
            Ok(response) => {
                let sent = self.sent_contact(cx, below, id, outcome.facts.conn);
                match self.take_answer(cx, id, &response, sent.as_deref()) {
                    Some(granted) => {
                        self.take_keep_alive(cx, below, id, &response);
                        self.take_place(below, id, outcome.facts.conn);
                        let state = response.typed::<PresenceState<'_>>().ok().flatten();
                        let anew = state.is_some_and(|state| state.is_anew());
                        Input::Accepted { granted, anew }
                    }
                    None => {
                        if !leaves {
                            self.return_home(cx, below, id);
                        }
                        Input::Missing(OperationError::Register {
                            reason: RegistrationReason::Refused,
                            response,
                        })
                    }
                }
            }
            Err(error) => {
                if !leaves {
                    self.return_home(cx, below, id);
                }
                Input::Refused(as_register_error(error))
            }
        };
        let rerouted = matches!(input, Input::Accepted { .. });
        self.register_step(cx, below, id, input, outcome.facts.conn);
        if rerouted
            && self
                .sip_mut(id)
                .is_some_and(|sip| core::mem::take(&mut sip.reroutes))
        {
            self.rerouted.push(id);
        }
    }

    /// Refreshes a registration soon, for the dialogs of its endpoint (S17); whether there is one that can be.
    pub(crate) fn reroute(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: EndpointId) -> bool {
        let registered = self.registration_state(id) == Some(RegistrationState::Registered);
        let Some(sip) = self.sip_mut(id).filter(|_| registered) else {
            return false;
        };
        sip.reroutes = true;
        self.register_step(cx, below, id, Input::NetworkChanged, None);
        true
    }

    /// The server has sent the REGISTER elsewhere (R9).
    pub(crate) fn handle_redirect(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: EndpointId,
        target: &str,
    ) {
        let Some(sip) = self.sip(id) else { return };
        let Ok(parsed) = Uri::parse(target) else { return };
        let Some(uri) = parsed.as_sip() else { return };
        let transport = sip.server.transport();
        let named = hop_of(uri, transport);
        // The path to the new server is no less protected than that to the old one.
        let server = match transport {
            Transport::Tls => named.with_transport(Transport::Tls),
            Transport::Tcp => named,
        };
        self.move_to(cx, below, id, server);
    }

    /// The server that another one had sent the endpoint to is no good, or the endpoint begins anew: back to the one that
    /// it was told (R9).
    fn return_home(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: EndpointId) {
        let home = self.sip(id).and_then(|sip| sip.home.as_deref().cloned());
        if let Some(home) = home {
            self.move_to(cx, below, id, home);
        }
    }

    fn move_to(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: EndpointId, server: Hop) {
        let Some(sip) = self.sip_mut(id) else { return };
        cx.out.event(Event::ServerChanged {
            endpoint: id,
            host: server.host().to_string(),
            port: server.port(),
        });
        let old = core::mem::replace(&mut sip.server, server);
        let home = sip.home.take().unwrap_or_else(|| Box::new(old));
        if *home == sip.server {
            below.low.auth.returned(cx, id);
            below.exchanges.gate(below.low, id);
        } else {
            below.low.auth.redirect(cx, id);
            below.exchanges.gate(below.low, id);
            sip.home = Some(home);
        }
        if let Some(flow) = sip.flow.take() {
            self.by_flow.remove(&(flow.conn(), id));
            below.low.connections.release(cx, flow);
        }
    }

    /// One step of the registration's machine, and what follows from it; `conn` is the connection that brought the input.
    pub(super) fn register_step(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: EndpointId,
        input: Input,
        conn: Option<ConnId>,
    ) {
        let Some(sip) = self.sip_mut(id) else { return };
        let mut effects = Vec::new();
        sip.registration.step(cx, input, &mut effects);
        self.changed.push(id);
        for effect in effects {
            match effect {
                Effect::SendRegister => self.send_register(cx, below, id, false),
                Effect::SendUnregister => self.send_register(cx, below, id, true),
                Effect::Changed { old, new, reason } => {
                    if new == RegistrationState::Unregistered {
                        self.forget_binding(cx, below, id);
                    }
                    cx.out.event(Event::Registration {
                        endpoint: id,
                        old,
                        new,
                        reason,
                        conn,
                    });
                }
                Effect::Forgotten => {
                    self.forgotten.push(id);
                    cx.out.event(Event::Forgotten { endpoint: id, conn });
                }
                Effect::Outage(error) => cx.out.event(Event::Outage {
                    endpoint: id,
                    error,
                    conn,
                }),
                Effect::Complete(operation, result) => {
                    cx.out.complete(operation, result.map(|()| Completion::Done));
                }
            }
        }
    }

    fn send_register(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: EndpointId, leave: bool) {
        let Some(endpoint) = self.table.get(&id) else {
            return;
        };
        let Some(draft) = endpoint.register_draft(leave) else {
            return;
        };
        let Kind::Sip(sip) = &endpoint.kind else { return };
        let policy = Policy {
            retry_after: endpoint.profile.retry_after,
            repeatable: true,
            redirects: sip.redirects,
            identity: Some(id),
        };
        let request = Request {
            draft,
            lease: None,
            owner: Owner::Registration(id),
            policy,
        };
        let exchange = below.exchanges.start(cx, below.low, request, below.up);
        if let Some(sip) = self.sip_mut(id) {
            sip.exchange = Some(exchange);
        }
    }

    /// The URI of the Contact that a REGISTER had over this connection.
    fn sent_contact(
        &self,
        cx: &Cx<'_>,
        below: &Below<'_, '_>,
        id: EndpointId,
        conn: Option<ConnId>,
    ) -> Option<String> {
        let endpoint = self.table.get(&id)?;
        let secure = endpoint.identity.scheme() == "sips";
        let mut template = endpoint.contact();
        template.gruu = None;
        template.parameters = Box::default();
        let reach = reach(below.low.connections, cx.config, conn?)?;
        Some(
            contact_value(&template, &reach, secure)
                .trim_matches(['<', '>'])
                .into(),
        )
    }

    /// Takes what a 2xx to REGISTER says; returns how long it keeps our own contact (R21). Of one that does not keep it
    /// nothing is taken.
    fn take_answer(
        &mut self,
        cx: &mut Cx<'_>,
        id: EndpointId,
        response: &Message,
        sent: Option<&str>,
    ) -> Option<Duration> {
        let endpoint = self.table.get_mut(&id)?;
        let own = own_contact(response, &endpoint.identity.instance, sent)?;
        let Kind::Sip(sip) = &mut endpoint.kind else {
            return None;
        };
        let expires = own
            .expires()
            .or_else(|| {
                response
                    .typed::<Expires>()
                    .ok()
                    .flatten()
                    .map(|Expires(seconds)| seconds)
            })
            .unwrap_or(sip.expires);
        if expires == 0 {
            return None;
        }
        // It is written into Contact and leads requests here: it has to be a URI, and nobody else's (E4).
        let old = sip.gruu.as_deref();
        let gruu = own
            .pub_gruu()
            .or_else(|| own.gruu())
            .or_else(|| own.temp_gruu())
            .map(|gruu| gruu.into_owned().into_boxed_str());
        let gruu = gruu.filter(|gruu| old == Some(&**gruu) || !self.directory.knows_gruu(gruu));
        let gruu = gruu.filter(|gruu| Uri::parse(gruu).is_ok_and(|uri| uri.as_sip().is_some()));
        sip.service_route = route_of(
            cx,
            response
                .list()
                .map(|value| value.map(|ServiceRoute(route)| route)),
        );
        sip.path = route_of(cx, response.list().map(|value| value.map(|Path(route)| route)));
        let old = core::mem::replace(&mut sip.gruu, gruu.clone());
        if old != gruu {
            if let Some(old) = old {
                self.directory.remove_gruu(id, &old);
            }
            // No request finds an endpoint that is ending (E13).
            if let Some(gruu) = gruu.filter(|_| endpoint.terminating.is_empty()) {
                self.directory.insert_gruu(id, &gruu);
            }
        }
        Some(Duration::from_secs(u64::from(expires)))
    }

    /// Whether the server that has registered the endpoint is another one than before (B7): it has another address.
    fn take_place(&mut self, below: &Below<'_, '_>, id: EndpointId, conn: Option<ConnId>) {
        let ends = conn.and_then(|conn| below.low.connections.ends(conn));
        let Some((sip, (_, remote))) = self.sip_mut(id).zip(ends) else {
            return;
        };
        let before = sip.registered_at.replace(remote);
        if before.is_some_and(|before| before != remote) {
            self.moved.push(id);
        }
    }

    /// The binding is gone: so are the GRUU and the route that came with it (E4), and what there was to keep alive.
    fn forget_binding(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: EndpointId) {
        let Some(sip) = self.sip_mut(id) else { return };
        sip.service_route = Vec::new();
        sip.path = Vec::new();
        sip.upkeep.stop(cx, below);
        if let Some(gruu) = sip.gruu.take() {
            self.directory.remove_gruu(id, &gruu);
        }
    }
}

impl Endpoint {
    fn register_draft(&self, leave: bool) -> Option<Draft> {
        let Kind::Sip(sip) = &self.kind else { return None };
        let expires = if leave { 0 } else { sip.expires };
        let mut contact = self.contact();
        contact.gruu = None;
        let mut parameters = alloc::format!(";+sip.instance=\"<{}>\";reg-id=1", self.identity.instance);
        parameters.push_str(&alloc::format!(
            ";methods=\"{}\"",
            registered_methods(&self.profile)
        ));
        parameters.push_str(&self.feature_parameters());
        contact.parameters = parameters.into();
        Some(Draft {
            method: Method::Register,
            uri: alloc::format!("{}:{}", self.identity.scheme(), self.identity.domain).into(),
            route: Vec::new(),
            parties: Parties::new(&self.from(&sip.tag), &self.address(), &sip.call_id),
            sequence: Sequence::Counter(sip.sequence),
            contact: Some(contact),
            expires: Some(expires),
            block: self.voice.register(),
            extra: Vec::new(),
            content: None,
        })
    }
}

/// What every REGISTER says between Expires and User-Agent.
pub(super) const fn fields(allow: &str) -> [(HeaderName, &str); 4] {
    [
        (HeaderName::Supported, SUPPORTED),
        (HeaderName::Event, "registration"),
        (HeaderName::MsKeepAlive, "UAC;hop-hop=yes"),
        (HeaderName::Allow, allow),
    ]
}

/// Our own contact in a 2xx: by instance and reg-id, else by the URI that was sent (R21). A server that knows no instances
/// may still have us at an earlier address, too: what was sent counts before that.
fn own_contact(response: &Message, instance: &str, sent: Option<&str>) -> Option<Contact<'static>> {
    let sent = sent.and_then(|sent| Uri::parse(sent).ok());
    let rank = |contact: &Contact<'_>| {
        let uri = contact.uri()?;
        let here = sent
            .as_ref()
            .is_some_and(|sent| equal(uri, sent, UserCase::Insensitive));
        let Some(named) = contact.instance() else {
            return here.then_some(1);
        };
        let named = named.trim_start_matches('<').trim_end_matches('>');
        let ours = named.eq_ignore_ascii_case(instance) && matches!(contact.reg_id(), None | Some(1));
        ours.then_some(if here { 3 } else { 2 })
    };
    let mut best: Option<(i32, Contact<'_>)> = None;
    for contact in response.list::<Contact<'_>>().filter_map(Result::ok) {
        let found = rank(&contact);
        // Of equal ones the first.
        if found > best.as_ref().map(|(rank, _)| *rank) {
            best = found.map(|rank| (rank, contact));
        }
    }
    best.map(|(_, contact)| contact.into_owned())
}

/// A route as it is written. A part that cannot be read may be the one that matters: the rest is none without it.
fn route_of<'a>(
    cx: &mut Cx<'_>,
    values: impl Iterator<Item = Result<NameAddr<'a>, ParseError>>,
) -> Vec<Box<str>> {
    let route: Result<_, ParseError> = values
        .map(|value| value.map(|address| alloc::format!("<{}>", address.uri).into_boxed_str()))
        .collect();
    route.unwrap_or_else(|_| {
        cx.counters.malformed += 1;
        Vec::new()
    })
}

/// A refusal by the server names its reason (R8).
fn as_register_error(error: OperationError) -> OperationError {
    match error {
        OperationError::FailureResponse(response) => {
            let reason = match response.status().map(StatusCode::code) {
                Some(401 | 407) => RegistrationReason::Credentials,
                Some(403) => RegistrationReason::UnauthorizedAccess,
                _ => RegistrationReason::Refused,
            };
            OperationError::Register { reason, response }
        }
        other @ (OperationError::ConnectionFailure(_)
        | OperationError::Tls(_)
        | OperationError::Timeout
        | OperationError::MessageParsing(_)
        | OperationError::Register { .. }
        | OperationError::Authentication { .. }
        | OperationError::OperationFailure(_)) => other,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::wire::MessageLimits;

    fn response(status: u16, more: &str) -> Message {
        let text = alloc::format!(
            "SIP/2.0 {status} Said\r\nVia: SIP/2.0/TCP a;branch=z9hG4bKa\r\nFrom: <sip:a@b>;tag=a\r\nTo: <sip:a@b>;tag=b\r\n\
             Call-ID: 1\r\nCSeq: 1 REGISTER\r\n{more}Content-Length: 0\r\n\r\n"
        );
        Message::parse(Bytes::from(text), &MessageLimits::default()).unwrap()
    }

    // rules: R8
    #[test]
    fn a_refusal_names_its_reason() {
        use RegistrationReason as Reason;
        for (status, expected) in [
            // Of a server that challenges once more than it may.
            (401, Reason::Credentials),
            (407, Reason::Credentials),
            (403, Reason::UnauthorizedAccess),
            (404, Reason::Refused),
            (503, Reason::Refused),
        ] {
            let response = Box::new(response(status, ""));
            let error = as_register_error(OperationError::FailureResponse(response));
            assert!(
                matches!(error, OperationError::Register { reason, .. } if reason == expected),
                "{status}: {error:?}"
            );
        }
    }

    // rules: R21
    #[test]
    fn of_two_that_are_equally_ours_the_first_counts() {
        let own = |contacts: &str| {
            let response = response(200, &alloc::format!("Contact: {contacts}\r\n"));
            own_contact(&response, "urn:x", Some("sip:a@192.0.2.1")).and_then(|contact| contact.expires())
        };
        let ours = "<sip:a@192.0.2.1>;+sip.instance=\"<urn:x>\";expires=";
        assert_eq!(own(&alloc::format!("{ours}10, {ours}20")), Some(10));
        // What is more ours counts before what is first.
        assert_eq!(
            own(&alloc::format!("<sip:a@192.0.2.1>;expires=5, {ours}20")),
            Some(20)
        );
    }
}
