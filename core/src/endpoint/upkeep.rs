//! How a SipEndpoint keeps the connection to its server alive, and how it finds out that it is dead without a word (rules
//! C26 and R19).
//!
//! ```text
//!  2xx to REGISTER ──► keep-alive, 2T/3 after the last bytes ──► pong, where it is promised, in 10 s ──► nothing: closed
//!                 └──► probe, where there is one, every interval ──► an answer, in 64 T1 ───────────────► nothing: closed
//! ```
//! Besides, any connection is closed on which a request has no answer (`exchange/outcome.rs`), and one whose peer takes no
//! bytes (`connection/lifetime.rs`). What follows is the same as after any other loss: the registration machine reconnects
//! and registers again. How long all that takes at most: [`Config::recovery_bound`](crate::Config::recovery_bound).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use super::{Endpoint, Endpoints, Kind};
use crate::connection::Lease;
use crate::cx::Cx;
use crate::event::RegistrationState;
use crate::exchange::{Draft, Owner, Policy, Request, Sequence, What};
use crate::ids::{EndpointId, ExchangeId};
use crate::session::Below;
use crate::timers::{TimerId, TimerKey};
use crate::wire::header::{FlowTimer, MsKeepAlive};
use crate::wire::write::Parties;
use crate::wire::{Message, Method};

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Upkeep {
    /// A keep-alive is due so long after the last bytes: two thirds of how long the server bears silence (C26, R12).
    pause: Option<Duration>,
    /// The server has promised to answer keep-alives: the flow is RFC 5626's.
    answers: bool,
    keep_alive: Option<TimerId>,
    /// How often the server is asked whether it is still there; zero, never.
    interval: Duration,
    probe: Probe,
}

#[derive(Clone, Copy, Debug)]
enum Probe {
    Off,
    Due(TimerId),
    Asked(ExchangeId),
}

impl Upkeep {
    pub(super) const fn new(interval: Duration) -> Self {
        Self {
            pause: None,
            answers: false,
            keep_alive: None,
            interval,
            probe: Probe::Off,
        }
    }

    /// There is nothing to keep alive any more.
    pub(super) fn stop(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>) {
        self.pause = None;
        if let Some(timer) = self.keep_alive.take() {
            cx.timers.stop(timer);
        }
        self.stop_probe(cx, below);
    }

    fn stop_probe(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>) {
        match core::mem::replace(&mut self.probe, Probe::Off) {
            Probe::Off => {}
            Probe::Due(timer) => {
                cx.timers.stop(timer);
            }
            Probe::Asked(exchange) => below.exchanges.abandon(cx, below.low, exchange),
        }
    }
}

impl Endpoints {
    /// Takes how long the server bears silence: OCS says it in ms-keep-alive, RFC 5626 in Flow-Timer. Who says Flow-Timer
    /// answers keep-alives, too (RFC 5626 section 5.4).
    pub(super) fn take_keep_alive(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: EndpointId,
        response: &Message,
    ) {
        let keep_alive = response.typed::<MsKeepAlive<'_>>().ok().flatten();
        let own = keep_alive
            .filter(MsKeepAlive::hop_hop)
            .and_then(|value| value.timeout());
        let flow = response
            .typed::<FlowTimer>()
            .ok()
            .flatten()
            .map(|FlowTimer(seconds)| seconds);
        let Some(sip) = self.sip_mut(id) else { return };
        sip.upkeep.answers = flow.is_some();
        sip.upkeep.pause = own
            .into_iter()
            .chain(flow)
            .filter(|seconds| *seconds > 0)
            .min()
            .map(|seconds| Duration::from_secs(seconds.into()) * 2 / 3);
        self.arm_keep_alive(cx, below, id);
        self.arm_probe(cx, below, id);
    }

    fn arm_keep_alive(&mut self, cx: &mut Cx<'_>, below: &Below<'_, '_>, id: EndpointId) {
        let Some(sip) = self.sip_mut(id) else { return };
        if let Some(timer) = sip.upkeep.keep_alive.take() {
            cx.timers.stop(timer);
        }
        let sent = sip
            .flow
            .as_ref()
            .and_then(|flow| below.low.connections.last_sent(flow.conn()));
        if let (Some(pause), Some(sent)) = (sip.upkeep.pause, sent) {
            // While the answer to the last one is waited for, no other has gone out.
            let due = if sent + pause <= cx.now { cx.now } else { sent } + pause;
            sip.upkeep.keep_alive = Some(cx.timers.set(due, TimerKey::KeepAlive(id)));
        }
    }

    /// A keep-alive may be due: it is, unless something was sent since.
    pub(crate) fn handle_keep_alive_timer(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: EndpointId,
    ) {
        let Some(sip) = self.sip_mut(id) else { return };
        sip.upkeep.keep_alive = None;
        let answers = sip.upkeep.answers;
        let Some(conn) = sip.flow.as_ref().map(Lease::conn) else {
            return;
        };
        let sent = below.low.connections.last_sent(conn);
        if let (Some(pause), Some(sent)) = (sip.upkeep.pause, sent)
            && sent + pause <= cx.now
        {
            // Over a connection that is still being made, or takes nothing any more, there is nothing to keep alive, and
            // no time at which that changes: the next 2xx arms the timer again.
            if below.low.connections.send_ping(cx, conn, answers).is_err() {
                return;
            }
        }
        self.arm_keep_alive(cx, below, id);
    }

    /// The server has answered: it is asked again after the interval.
    fn arm_probe(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: EndpointId) {
        let Some(sip) = self.sip_mut(id) else { return };
        sip.upkeep.stop_probe(cx, below);
        if !sip.upkeep.interval.is_zero() {
            let timer = cx.timers.set(cx.now + sip.upkeep.interval, TimerKey::Probe(id));
            sip.upkeep.probe = Probe::Due(timer);
        }
    }

    /// The server is to be asked whether it is still there. Where there is no connection to ask over, the next 2xx to
    /// REGISTER, over another one, arms the timer again.
    pub(crate) fn handle_probe_timer(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: EndpointId) {
        let Some(endpoint) = self.table.get_mut(&id) else {
            return;
        };
        let Kind::Sip(sip) = &mut endpoint.kind else {
            return;
        };
        sip.upkeep.probe = Probe::Off;
        let flow = sip.flow.as_ref().map(Lease::conn);
        let Some(conn) = flow.filter(|conn| below.low.connections.is_ready(*conn)) else {
            return;
        };
        let request = Request {
            draft: endpoint.probe_draft(cx),
            lease: below.low.connections.share(cx, conn),
            owner: Owner::Probe(id),
            policy: Policy {
                retry_after: false,
                repeatable: false,
                redirects: 0,
                identity: None,
            },
        };
        let exchange = below.exchanges.start(cx, below.low, request, below.up);
        if let Kind::Sip(sip) = &mut endpoint.kind {
            sip.upkeep.probe = Probe::Asked(exchange);
        }
    }

    /// What has come of a probe. Any response says that the server is there. Without one the connection has been closed, or
    /// was closed before, and there is nothing to ask over; where it is still there, the probe had no turn (C22, C24).
    pub(crate) fn handle_probe(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: EndpointId,
        what: What,
    ) {
        let What::Outcome(_) = what else { return };
        let Some(sip) = self.sip_mut(id) else { return };
        sip.upkeep.probe = Probe::Off;
        let is_registered = sip.registration.state() == RegistrationState::Registered;
        let flow = sip.flow.as_ref().map(Lease::conn);
        if is_registered && flow.is_some_and(|conn| below.low.connections.is_ready(conn)) {
            self.arm_probe(cx, below, id);
        }
    }
}

impl Endpoint {
    /// An OPTIONS to the server itself (RFC 3261 section 11.1).
    fn probe_draft(&self, cx: &mut Cx<'_>) -> Draft {
        let server: Box<str> = alloc::format!("{}:{}", self.identity.scheme(), self.identity.domain).into();
        let tag = cx.entropy.hex(16);
        Draft {
            method: Method::Options,
            route: Vec::new(),
            parties: Parties::new(
                &self.from(&tag),
                &alloc::format!("<{server}>"),
                &cx.entropy.hex(32),
            ),
            uri: server,
            sequence: Sequence::Fixed(1),
            contact: None,
            expires: None,
            block: self.voice.request(&Method::Options),
            extra: Vec::new(),
            content: None,
        }
    }
}
