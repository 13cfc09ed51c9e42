//! The route set of an established session and its recovery (rule S17): what the network brings to the machine of
//! [`recovery`](super::recovery), and what it asks for as messages. Sessions of endpoints that do not take part have none
//! of this.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use super::invitation::{self, State};
use super::recovery::{self, Effect, Input, Recovery, Remedy};
use super::{Below, Cargo, Session, Sessions, let_go, start};
use crate::cx::Cx;
use crate::diagnosis::Diagnosis;
use crate::endpoint::RouteRecovery;
use crate::event::{Event, OperationError, RouteState};
use crate::exchange::SessionPart;
use crate::ids::{EndpointId, ExchangeId, OperationId, SessionId};
use crate::wire::header::DialogRecoveryAction;
use crate::wire::{HeaderName, Message, Method, StatusCode};

/// The option tag of MS-SIPRE: without it a proxy answers 481 in place of 430.
pub(crate) const TAG: &str = "Ms-Dialog-Route-Set-Update";

/// How often one request goes out again after a 430 (MS-SIPRE section 3.7.5.3.1).
const AGAIN: u8 = 2;

/// What a session has whose endpoint takes part.
#[derive(Clone, Debug)]
pub(super) struct Route {
    machine: Recovery,
    /// The target refresh under way.
    exchange: Option<ExchangeId>,
    /// The requests of the application that have no outcome.
    requests: BTreeMap<OperationId, Sent>,
    /// Those of them that wait for the recovery.
    held: Vec<OperationId>,
    /// What was agreed of the session timer, which stands still meanwhile.
    timer: Option<(Duration, bool)>,
}

#[derive(Clone, Debug)]
struct Sent {
    method: Method,
    cargo: Cargo,
    /// How often it was answered 430, and how the last time.
    failed: u8,
    error: Option<OperationError>,
}

pub(super) type Fingerprint = (recovery::Fingerprint, usize, usize, bool);

impl Route {
    pub(super) fn fingerprint(&self, now: crate::time::Time) -> Fingerprint {
        let machine = self.machine.fingerprint(now);
        (
            machine,
            self.requests.len(),
            self.held.len(),
            self.timer.is_some(),
        )
    }
}

impl Sessions {
    /// How the route of a session is.
    pub(crate) fn route_state(&self, id: SessionId) -> RouteState {
        let route = self.table.get(&id).and_then(|session| session.route.as_ref());
        route.map_or(RouteState::Healthy, |route| route.machine.state())
    }

    /// The endpoints whose registration is to be refreshed since the last call.
    pub(crate) fn take_unrouted(&mut self) -> Vec<EndpointId> {
        core::mem::take(&mut self.unrouted)
    }

    /// Whether a request of the application waits for the recovery.
    pub(super) fn holds(
        &mut self,
        id: SessionId,
        operation: OperationId,
        method: &Method,
        cargo: &Cargo,
    ) -> bool {
        let Some(route) = self.table.get_mut(&id).and_then(|session| session.route_mut(id)) else {
            return false;
        };
        let sent = Sent {
            method: method.clone(),
            cargo: cargo.clone(),
            failed: 0,
            error: None,
        };
        route.requests.insert(operation, sent);
        let holds = !route.machine.sends();
        if holds {
            route.held.push(operation);
        }
        holds
    }

    /// A request of a session has failed; whether it waits for the recovery.
    pub(super) fn on_flow_failed(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        operation: Option<OperationId>,
        error: &OperationError,
    ) -> bool {
        let Some(session) = self.table.get_mut(&id) else {
            return false;
        };
        let lasts = matches!(session.invitation.machine_state(), State::Connected);
        let Some(remedy) = remedy_of(error).filter(|_| lasts) else {
            return false;
        };
        let Some(route) = session.route_mut(id) else {
            return false;
        };
        let sent = operation.and_then(|operation| Some((operation, route.requests.get_mut(&operation)?)));
        let mut holds = false;
        if let Some((operation, sent)) = sent
            && remedy == Remedy::Dialog
        {
            if sent.failed == AGAIN {
                return false;
            }
            sent.failed += 1;
            sent.error = Some(error.clone());
            route.held.push(operation);
            session.requests.remove(&operation);
            holds = true;
        }
        self.step_route(cx, below, id, Input::Failed(remedy), Some(error));
        holds
    }

    /// A request of the application is over.
    pub(super) fn forget_request(&mut self, id: SessionId, operation: OperationId) {
        if let Some(route) = self.table.get_mut(&id).and_then(|session| session.route.as_mut()) {
            route.requests.remove(&operation);
        }
    }

    /// How our target refresh has ended.
    pub(super) fn on_healing(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        (id, exchange): (SessionId, ExchangeId),
        result: Result<Box<Message>, OperationError>,
    ) {
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        // The peer's refresh may have overtaken it.
        if session
            .route
            .as_mut()
            .and_then(|route| route.exchange.take_if(|it| *it == exchange))
            .is_none()
        {
            return;
        }
        match result {
            Ok(response) => {
                if let Some(dialog) = &mut session.dialog {
                    dialog.refresh_target(&response);
                    dialog.refresh_route(&response);
                }
                self.on_agreed(cx, below, id, &response);
                self.step_route(cx, below, id, Input::Healed, None);
            }
            Err(error) if error.response().and_then(Message::status) == Some(StatusCode::NO_SUCH_CALL) => {
                self.step(cx, below, id, invitation::Input::Gone);
            }
            Err(error) => {
                let far = remedy_of(&error) == Some(Remedy::Wait);
                self.step_route(cx, below, id, Input::NotHealed { far }, None);
            }
        }
    }

    /// The peer has refreshed the target, and was answered.
    pub(super) fn on_healed(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId) {
        self.step_route(cx, below, id, Input::Healed, None);
    }

    /// The registration of its endpoint was refreshed for the dialogs of the endpoint, or cannot be.
    pub(crate) fn recover(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId) {
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        let lasts = matches!(session.invitation.machine_state(), State::Connected);
        if lasts
            && session
                .route_mut(id)
                .is_some_and(|route| route.exchange.is_none())
        {
            self.step_route(cx, below, id, Input::Registered, None);
        }
    }

    pub(super) fn handle_recovery_timer(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        timer: recovery::Timer,
    ) {
        self.step_route(cx, below, id, Input::Fired(timer), None);
    }

    fn step_route(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        input: Input,
        error: Option<&OperationError>,
    ) {
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        let interval = session.agreed_timer().map(|(interval, _)| interval);
        let interval = interval.unwrap_or(cx.config.route_recovery_limit);
        let Some(route) = &mut session.route else { return };
        let mut effects = Vec::new();
        route.machine.step(cx, input, interval, &mut effects);
        for effect in effects {
            self.carry_out_route(cx, below, id, effect, error);
        }
    }

    fn carry_out_route(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SessionId,
        effect: Effect,
        error: Option<&OperationError>,
    ) {
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        match effect {
            Effect::Changed(state) => {
                session.pause_timer(cx, state == RouteState::Recovering);
                cx.out.event(Event::Route {
                    session: id,
                    state,
                    error: error.cloned(),
                });
            }
            Effect::Heal => session.heal(cx, below, id),
            Effect::Register => self.unrouted.push(session.local.endpoint),
            Effect::Release => self.release_held(cx, below, id),
            Effect::Fail => {
                let Some(route) = &mut session.route else { return };
                let requests = &mut route.requests;
                let mut failed = Vec::new();
                route.held.retain(|operation| {
                    let error = requests.get_mut(operation).and_then(|sent| sent.error.take());
                    let stays = error.is_none();
                    failed.extend(error.map(|error| (*operation, error)));
                    stays
                });
                let sends = route.machine.sends();
                for (operation, error) in failed {
                    self.forget_request(id, operation);
                    cx.out.complete(operation, Err(error));
                }
                if sends {
                    self.release_held(cx, below, id);
                }
            }
            Effect::GiveUp => {
                // Its completion is nobody's.
                let end = cx.ids.next();
                self.terminate(cx, below, id, end, Some(Diagnosis::RouteLost));
            }
        }
    }

    /// What was held goes out, in its order, over the route that there is now.
    fn release_held(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId) {
        let route = self.table.get_mut(&id).and_then(|session| session.route.as_mut());
        let Some(route) = route else { return };
        let held: Vec<_> = core::mem::take(&mut route.held)
            .into_iter()
            .filter_map(|operation| {
                let sent = route.requests.get(&operation)?;
                Some((operation, sent.method.clone(), sent.cargo.clone()))
            })
            .collect();
        for (operation, method, cargo) in held {
            self.send_now(cx, below, id, operation, method, cargo);
        }
    }

    /// The session ends: what was held completes with its failure, or by the end.
    pub(super) fn end_route(cx: &mut Cx<'_>, below: &mut Below<'_, '_>, route: Option<Box<Route>>) {
        let Some(mut route) = route else { return };
        route.leave(cx, below);
        for operation in route.held {
            let error = route.requests.remove(&operation).and_then(|sent| sent.error);
            cx.out
                .complete(operation, Err(error.unwrap_or(super::provisional::ended())));
        }
    }
}

impl Route {
    /// The session is over, or its BYE goes out: nothing is recovered any more.
    fn leave(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>) {
        if let Some(exchange) = self.exchange.take() {
            let_go(cx, below, exchange);
        }
        if !self.machine.is_over() {
            let mut none = Vec::new();
            self.machine.step(cx, Input::Over, Duration::ZERO, &mut none);
        }
    }
}

impl Session {
    /// See [`Route::leave`].
    pub(super) fn leave_route(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>) {
        if let Some(route) = &mut self.route {
            route.leave(cx, below);
        }
    }

    /// Its route, where its endpoint takes part in the recovery.
    fn route_mut(&mut self, id: SessionId) -> Option<&mut Route> {
        let patient = match self.local.route_recovery {
            RouteRecovery::None => return None,
            RouteRecovery::LimitedRetry => false,
            RouteRecovery::MaximumRetry => true,
        };
        let route = self.route.get_or_insert_with(|| {
            Box::new(Route {
                machine: Recovery::new(id, patient),
                exchange: None,
                requests: BTreeMap::new(),
                held: Vec::new(),
                timer: None,
            })
        });
        Some(route)
    }

    /// How many requests wait for the recovery.
    pub(super) fn held(&self) -> usize {
        self.route.as_ref().map_or(0, |route| route.held.len())
    }

    /// What was agreed of the session timer, before a recovery if there is one.
    pub(super) fn agreed_timer(&self) -> Option<(Duration, bool)> {
        let agreed = self.timer.as_ref().and_then(|timer| timer.agreed());
        agreed.or_else(|| self.route.as_ref()?.timer)
    }

    /// The session timer stands still while the route is recovered.
    fn pause_timer(&mut self, cx: &mut Cx<'_>, pauses: bool) {
        let agreed = self.agreed_timer();
        let Some(route) = &mut self.route else { return };
        route.exchange = None;
        if pauses {
            route.timer = agreed;
            if let Some(mut timer) = self.timer.take() {
                timer.stop(cx);
            }
        } else {
            route.timer = None;
        }
    }

    /// The target refresh without a route set.
    fn heal(&mut self, cx: &mut Cx<'_>, below: &mut Below<'_, '_>, id: SessionId) {
        let Some(dialog) = &self.dialog else { return };
        let mut draft = dialog.request(Method::Update, Some(self.local.contact.clone()));
        draft.uri = dialog.target().into();
        draft.route = Vec::new();
        draft.block = self.local.voice.full_request(&Method::Update);
        draft.extra = self.refresh_fields(cx.config);
        let exchange = start(cx, below, self, id, draft, SessionPart::Heal);
        if let Some(route) = &mut self.route {
            route.exchange = Some(exchange);
        }
    }

    /// Takes the target of a target refresh of the peer, and its route, where the peer heals that; whether it does.
    pub(super) fn refresh_by(&mut self, request: &Message) -> bool {
        let heals = self.local.route_recovery != RouteRecovery::None
            && request.method() == Some(&Method::Update)
            && matches!(self.invitation.machine_state(), State::Connected);
        if let Some(dialog) = self.dialog_of(request) {
            dialog.refresh_target(request);
            if heals {
                dialog.refresh_route(request);
            }
        }
        heals
    }

    /// The option tag, in a request that has none otherwise.
    pub(super) fn route_field(&self, method: &Method) -> Option<(&'static str, &'static str)> {
        let says = matches!(method, Method::Invite | Method::Update | Method::Options);
        (self.local.route_recovery != RouteRecovery::None && !says)
            .then_some((HeaderName::Supported.as_str(), TAG))
    }
}

/// What a 430 asks for. The first that has to be done counts.
fn remedy_of(error: &OperationError) -> Option<Remedy> {
    let response = error.response()?;
    if response.status() != Some(StatusCode::FLOW_FAILED) {
        return None;
    }
    let asks = |action: &str| {
        let mut actions = response.list::<DialogRecoveryAction<'_>>();
        actions.any(|it| it.is_ok_and(|it| it.0.eq_ignore_ascii_case(action)))
    };
    if asks("Registration-Route-Set-Update") {
        Some(Remedy::Registration)
    } else if asks("Dialog-Route-Set-Update") {
        Some(Remedy::Dialog)
    } else if asks("Wait-For-Session-Update") {
        Some(Remedy::Wait)
    } else {
        None
    }
}
