//! How many requests an endpoint has outstanding to its server (C24): servers give a client 20 at a time.
//!
//! A request is outstanding from when it is written until its final response, an INVITE until its first provisional one.
//! What is above the limit is held, in the order in which it began, and for no longer than an answer would be waited for.
//! What ends or acknowledges something, and REGISTER, is never held; where something answers it, it counts like the others.

use alloc::collections::BTreeSet;

use super::{Exchange, Exchanges, Lower, State, Up};
use crate::cx::Cx;
use crate::event::{OperationError, OperationFailure};
use crate::ids::{ConnId, EndpointId, ExchangeId};
use crate::timers::TimerKey;
use crate::wire::Method;

/// The requests of one endpoint.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    outstanding: usize,
    held: BTreeSet<ExchangeId>,
    /// A handshake of its security association is under way: nobody goes out but who leads it.
    is_shut: bool,
}

impl Window {
    fn is_over(&self) -> bool {
        self.held.is_empty() && self.outstanding == 0 && !self.is_shut
    }
}

/// Whether a request goes out whatever else waits, and whatever the throttle says.
pub(super) fn is_urgent(method: &Method) -> bool {
    matches!(
        method,
        Method::Ack | Method::Cancel | Method::Prack | Method::Bye | Method::Register
    )
}

impl Exchanges {
    /// Writes a request over a connection that is ready, or holds it until there is room in its endpoint's window.
    pub(super) fn send_or_hold(
        &mut self,
        cx: &mut Cx<'_>,
        low: &mut Lower<'_>,
        id: ExchangeId,
        conn: ConnId,
        up: &mut Up,
    ) {
        let Some(exchange) = self.table.get_mut(&id) else {
            return;
        };
        // Only what is new: a request that the peer wants otherwise is the same one still (C22).
        if exchange.sends == 0 && low.connections.is_throttled(conn) && !is_urgent(&exchange.draft.method) {
            cx.counters.refusals.connection_throttle += 1;
            let error = OperationError::OperationFailure(OperationFailure::ConnectionThrottled);
            return self.finish(cx, low, id, Err(error), up);
        }
        let waits = !is_urgent(&exchange.draft.method) && exchange.draft.method != Method::Benotify;
        if let Some(endpoint) = exchange.policy.identity.filter(|_| waits)
            && let Some(window) = self.windows.get(&endpoint)
            && low.auth.leader(endpoint) != Some(id)
            && (window.is_shut
                || exchange.window_over(low, conn).is_some()
                    && (window.outstanding >= cx.config.limits.outstanding
                        || window.held.first().is_some_and(|first| *first < id)))
        {
            return self.hold(cx, id, endpoint);
        }
        self.send(cx, low, id, conn, up);
    }

    /// Lets a request wait for its turn.
    pub(super) fn hold(&mut self, cx: &mut Cx<'_>, id: ExchangeId, endpoint: EndpointId) {
        let Some(exchange) = self.table.get_mut(&id) else {
            return;
        };
        self.windows.entry(endpoint).or_default().held.insert(id);
        let timer = cx
            .timers
            .set(cx.now + cx.config.t1.saturating_mul(64), TimerKey::Exchange(id));
        exchange.state = State::Held { timer };
    }

    /// It waits for its turn no more.
    pub(super) fn release(&mut self, cx: &mut Cx<'_>, id: ExchangeId, endpoint: EndpointId) {
        if let Some(window) = self.windows.get_mut(&endpoint) {
            window.held.remove(&id);
        }
        if let Some(exchange) = self.table.get_mut(&id)
            && let State::Held { timer } = core::mem::replace(&mut exchange.state, State::Moving)
        {
            cx.timers.stop(timer);
        }
    }

    /// Shuts the window of an endpoint while a handshake is under way, and opens it again.
    pub(crate) fn gate(&mut self, low: &Lower<'_>, endpoint: EndpointId) {
        let shut = low.auth.leader(endpoint).is_some();
        if shut {
            self.windows.entry(endpoint).or_default().is_shut = true;
        } else if let Some(window) = self.windows.get_mut(&endpoint)
            && core::mem::replace(&mut window.is_shut, false)
        {
            self.freed.push(endpoint);
        }
    }

    /// Those who have waited for a handshake end as it has.
    pub(super) fn fail_held(
        &mut self,
        cx: &mut Cx<'_>,
        low: &mut Lower<'_>,
        endpoint: EndpointId,
        error: &OperationError,
        up: &mut Up,
    ) {
        let window = self.windows.get_mut(&endpoint);
        for id in window
            .map(|window| core::mem::take(&mut window.held))
            .unwrap_or_default()
        {
            self.finish(cx, low, id, Err(error.clone()), up);
        }
    }

    /// A request is on its way.
    pub(super) fn count(&mut self, low: &Lower<'_>, id: ExchangeId, conn: ConnId) {
        let Some(exchange) = self.table.get_mut(&id) else {
            return;
        };
        if let Some(endpoint) = exchange.window_over(low, conn) {
            exchange.counted = true;
            self.windows.entry(endpoint).or_default().outstanding += 1;
        }
    }

    /// A request is outstanding no more.
    pub(super) fn uncount(&mut self, id: ExchangeId) {
        if let Some(exchange) = self.table.get_mut(&id) {
            let counted = core::mem::replace(&mut exchange.counted, false);
            let endpoint = exchange.policy.identity.filter(|_| counted);
            self.leave_window(endpoint, None);
        }
    }

    /// An exchange is outstanding, or held, no more.
    pub(super) fn leave_window(
        &mut self,
        counted: Option<EndpointId>,
        held: Option<(EndpointId, ExchangeId)>,
    ) {
        let Some(endpoint) = counted.or_else(|| held.map(|(endpoint, _)| endpoint)) else {
            return;
        };
        let Some(window) = self.windows.get_mut(&endpoint) else {
            return;
        };
        if let Some((_, id)) = held {
            window.held.remove(&id);
        }
        if counted.is_some() {
            window.outstanding -= 1;
        }
        if window.is_over() {
            self.windows.remove(&endpoint);
        } else if counted.is_some() && !window.held.is_empty() {
            self.freed.push(endpoint);
        }
    }

    /// Writes what is held, where there is room again.
    pub(crate) fn release_held(&mut self, cx: &mut Cx<'_>, low: &mut Lower<'_>, up: &mut Up) {
        for endpoint in core::mem::take(&mut self.freed) {
            while let Some(window) = self.windows.get_mut(&endpoint)
                && !window.is_shut
                && window.outstanding < cx.config.limits.outstanding
                && let Some(id) = window.held.pop_first()
            {
                self.release(cx, id, endpoint);
                self.send_or_wait(cx, low, id, up);
            }
            if self.windows.get(&endpoint).is_some_and(Window::is_over) {
                self.windows.remove(&endpoint);
            }
        }
    }
}

impl Exchange {
    /// Whose window it takes a place in over this connection: only a client manager's goes to the server of one endpoint.
    fn window_over(&self, low: &Lower<'_>, conn: ConnId) -> Option<EndpointId> {
        self.policy.identity.filter(|_| low.connections.is_private(conn))
    }
}
