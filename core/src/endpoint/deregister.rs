//! The NOTIFY with which a registrar ends a registration (R13; MS-SIPREGE sections 2.2.1.13 and 3.2). A REGISTER with
//! `Event: registration` subscribes to it without more words.

use core::net::IpAddr;

use crate::connection::Lease;
use crate::cx::Cx;
use crate::event::{OperationError, OperationFailure, RegistrationReason};
use crate::ids::{ConnId, EndpointId, ManagerId};
use crate::registration::Input;
use crate::session::Below;
use crate::wire::Message;
use crate::wire::header::{ContentType, Event};

use super::{Endpoints, Kind};

/// The type of its body.
pub(crate) const REGISTRATION_EVENT: &str = "text/registration-event";

/// What a NOTIFY of the event package `registration-notify` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// From the server of this endpoint, whose registration it ends.
    Ends(EndpointId, RegistrationReason),
    /// From the server of this endpoint, whose registration stands: what else it says is for the application.
    Stands(EndpointId),
    /// From the server of an endpoint, with a body of another type.
    Foreign,
    /// From the server of an endpoint, with a body that says nothing.
    Malformed,
    /// For an endpoint that has no registration at its sender.
    Unsubscribed,
}

impl Endpoints {
    /// Reads a NOTIFY or BENOTIFY outside dialogs that `conn` has brought; `None` where it is not of this event package, or
    /// for no SipEndpoint. `found` is the endpoint that it is for as any request is (M5).
    ///
    /// Only the server ends a registration: over the connection that the endpoint has to it, or with the Call-ID and the
    /// tag of the REGISTER, which nobody else has seen. A stack that listens may be reached over others.
    pub(crate) fn read_notice(
        &self,
        message: &Message,
        conn: ConnId,
        reached: (ManagerId, Option<IpAddr>),
        found: Option<EndpointId>,
        strict: bool,
    ) -> Option<Notice> {
        if !is_of_the_package(message) {
            return None;
        }
        let (manager, here) = reached;
        let takes = |id: EndpointId| {
            self.takes(id, manager) && self.is_bound(id) && self.is_from_server(id, conn, message)
        };
        let Some(id) = self.directory.find(message, here, &takes, strict, None) else {
            return self.sip(found?).map(|_| Notice::Unsubscribed);
        };
        if !message.body_bytes().is_empty() && !is_of_the_type(message) {
            return Some(Notice::Foreign);
        }
        Some(match read_body(message.body_bytes()) {
            Body::Ends(reason) => Notice::Ends(id, reason),
            Body::Stands => Notice::Stands(id),
            Body::Malformed => Notice::Malformed,
        })
    }

    /// The server has ended the registration of an endpoint. A REGISTER that still waits to be sent, for its connection or
    /// for the time that the server named, is given up: it would be a new registration.
    pub(crate) fn deregister(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: EndpointId,
        reason: RegistrationReason,
        conn: ConnId,
    ) {
        self.register_step(cx, below, id, Input::Deregistered(reason), Some(conn));
        let Some(sip) = self.sip_mut(id).filter(|sip| sip.registration.is_dismissed()) else {
            return;
        };
        if let Some(exchange) = sip
            .exchange
            .filter(|exchange| below.exchanges.is_waiting(*exchange))
        {
            sip.exchange = None;
            below.exchanges.abandon(cx, below.low, exchange);
            let aborted = OperationError::OperationFailure(OperationFailure::Aborted);
            self.register_step(cx, below, id, Input::Refused(aborted), Some(conn));
        }
    }

    fn is_bound(&self, id: EndpointId) -> bool {
        self.sip(id).is_some_and(|sip| sip.registration.is_bound())
    }

    fn is_from_server(&self, id: EndpointId, conn: ConnId, message: &Message) -> bool {
        let Some(Kind::Sip(sip)) = self.table.get(&id).map(|endpoint| &endpoint.kind) else {
            return false;
        };
        sip.flow.as_ref().map(Lease::conn) == Some(conn)
            || (message.call_id().is_ok_and(|call_id| *call_id == *sip.call_id)
                && message.to().is_ok_and(|to| to.tag() == Some(&*sip.tag)))
    }
}

fn is_of_the_package(message: &Message) -> bool {
    message.typed::<Event<'_>>().is_ok_and(|event| {
        event.is_some_and(|event| event.package.eq_ignore_ascii_case("registration-notify"))
    })
}

fn is_of_the_type(message: &Message) -> bool {
    let declared = message.typed::<ContentType<'_>>();
    declared.is_ok_and(|declared| declared.is_some_and(|declared| declared.is("text", "registration-event")))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Ends(RegistrationReason),
    Stands,
    Malformed,
}

/// `deregistered;event=...`, or `registered;event=...` of a registration that stands; blanks do not count.
fn read_body(body: &[u8]) -> Body {
    use RegistrationReason as Reason;
    let Ok(text) = core::str::from_utf8(body) else {
        return Body::Malformed;
    };
    let Some((state, rest)) = text.split_once(';') else {
        return Body::Malformed;
    };
    let Some((name, event)) = rest.split_once('=') else {
        return Body::Malformed;
    };
    let (state, name, event) = (state.trim(), name.trim(), event.trim());
    if !name.eq_ignore_ascii_case("event") || event.is_empty() {
        return Body::Malformed;
    }
    if state.eq_ignore_ascii_case("registered") {
        return Body::Stands;
    }
    if !state.eq_ignore_ascii_case("deregistered") {
        return Body::Malformed;
    }
    let known = [
        ("unregistered", Reason::TooManyActiveEndpoints),
        ("rejected", Reason::UserChanged),
        ("deactivated", Reason::UserMoved),
        ("userservices-unavailable", Reason::UserServicesUnavailable),
        ("preferred-registrar-change", Reason::PreferredRegistrarChanged),
    ];
    let known = known.iter().find(|(name, _)| name.eq_ignore_ascii_case(event));
    known.map_or(Body::Malformed, |(_, reason)| Body::Ends(*reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    // rules: R13
    // The bodies of MS-SIPREGE section 2.2.1.13, where blanks around them do not count.
    #[test]
    fn a_body_is_one_of_those_that_are_known() {
        use RegistrationReason as Reason;
        for (text, expected) in [
            (
                "deregistered;event=unregistered",
                Body::Ends(Reason::TooManyActiveEndpoints),
            ),
            ("deregistered;event=rejected", Body::Ends(Reason::UserChanged)),
            ("deregistered;event=deactivated", Body::Ends(Reason::UserMoved)),
            (
                "deregistered;event=userservices-unavailable",
                Body::Ends(Reason::UserServicesUnavailable),
            ),
            (
                "deregistered;event=preferred-registrar-change",
                Body::Ends(Reason::PreferredRegistrarChanged),
            ),
            (
                " \r\nDeregistered ; Event = REJECTED\r\n\r\n",
                Body::Ends(Reason::UserChanged),
            ),
            ("registered;event=userservices-unavailable", Body::Stands),
            ("registered;event=what-comes-later", Body::Stands),
            ("", Body::Malformed),
            ("deregistered", Body::Malformed),
            ("deregistered;", Body::Malformed),
            ("deregistered;event", Body::Malformed),
            ("deregistered;event=", Body::Malformed),
            ("deregistered;event=expired", Body::Malformed),
            ("deregistered;event=rejected;event=unregistered", Body::Malformed),
            ("deregistered;reason=rejected", Body::Malformed),
            ("unregistered;event=rejected", Body::Malformed),
            ("<reginfo/>", Body::Malformed),
        ] {
            assert_eq!(read_body(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(read_body(b"deregistered;event=\xff"), Body::Malformed);
    }
}
