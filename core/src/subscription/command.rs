//! What the application commands a subscription (rule B1).

use alloc::boxed::Box;
use core::net::SocketAddr;

use super::usage::{Input, State, Usage};
use super::{Known, SubscribeOptions, Subscription, Subscriptions};
use crate::connection::{Connections, Lease};
use crate::cx::Cx;
use crate::error::Misuse;
use crate::event::{Content, SubscriptionReason, SubscriptionState};
use crate::exchange::Exchanges;
use crate::ids::{ConnId, OperationId, SubscriptionId};
use crate::session::{Below, Local};

impl Subscriptions {
    /// A subscription to be made later (state Idle).
    pub(crate) fn create(
        &mut self,
        cx: &mut Cx<'_>,
        exchanges: &mut Exchanges,
        local: Local,
        target: &str,
        options: SubscribeOptions,
    ) -> SubscriptionId {
        let id: SubscriptionId = cx.ids.next();
        let expires = options.expires.unwrap_or(cx.config.subscribe_expires).as_secs();
        cx.counters.subscriptions.outgoing.started += 1;
        self.table.insert(
            id,
            Subscription {
                usage: Usage::new(id),
                local: Box::new(local),
                target: target.into(),
                options: Box::new(options),
                expires: u32::try_from(expires).unwrap_or(u32::MAX).max(1),
                call_id: Box::default(),
                tag: Box::default(),
                sequence: exchanges.new_sequence(cx, 1),
                dialog: None,
                made_by: None,
                forks_until: None,
                forks: 0,
                lease: None,
                exchange: None,
                response: None,
                known: Known {
                    state: SubscriptionState::Idle,
                    begun: false,
                    query: false,
                    over: false,
                },
            },
        );
        id
    }

    /// Whether it may be begun, as far as the application knows.
    pub(crate) fn may_begin(&self, id: SubscriptionId, operation: &'static str) -> Result<(), Misuse> {
        let known = self.known(id)?;
        let state = match (known.over, known.begun) {
            (true, _) => "ended by the application",
            (false, true) => "begun already",
            (false, false) => return Ok(()),
        };
        Err(Misuse::State { operation, state })
    }

    /// Whether it may be changed, as far as the application knows.
    pub(crate) fn may_update(&self, id: SubscriptionId) -> Result<(), Misuse> {
        let known = self.known(id)?;
        let state = match known.state {
            _ if known.over => "ended by the application",
            _ if known.query => "a query",
            _ if !known.begun => "Idle",
            SubscriptionState::Idle
            | SubscriptionState::Subscribing
            | SubscriptionState::Subscribed
            | SubscriptionState::WaitingForRetry => return Ok(()),
            SubscriptionState::Terminating => "Terminating",
            SubscriptionState::Terminated => "Terminated",
        };
        Err(Misuse::State {
            operation: "update",
            state,
        })
    }

    fn known(&self, id: SubscriptionId) -> Result<Known, Misuse> {
        let live = self.table.get(&id).map(|subscription| subscription.known);
        live.or_else(|| self.ended.get(&id).map(|(_, known)| *known))
            .ok_or(Misuse::Unknown("subscription"))
    }

    /// Subscribes; or asks once, without subscribing.
    pub(crate) fn subscribe(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SubscriptionId,
        operation: OperationId,
        query: bool,
    ) {
        if let Some(known) = self.known_mut(id) {
            (known.begun, known.query) = (true, query);
        }
        let input = if query {
            Input::Query(operation)
        } else {
            Input::Subscribe(operation)
        };
        self.step(cx, below, id, input);
    }

    /// Another body, from now on.
    pub(crate) fn update(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SubscriptionId,
        operation: OperationId,
        content: Option<Content>,
    ) {
        if let Some(subscription) = self.table.get_mut(&id) {
            subscription.options.content = content;
        }
        self.step(cx, below, id, Input::Update(operation));
    }

    /// Ends it; without patience the last NOTIFY is not waited for.
    pub(crate) fn terminate(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SubscriptionId,
        operation: OperationId,
        patient: bool,
    ) {
        if let Some(known) = self.known_mut(id) {
            known.over = true;
        }
        self.step(cx, below, id, Input::Terminate { operation, patient });
    }

    /// The server that had it has it no more (B7).
    pub(crate) fn forget(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: SubscriptionId,
        why: SubscriptionReason,
    ) {
        self.step(cx, below, id, Input::Lost(why));
    }

    /// How many commands of a subscription are under way.
    pub(crate) fn pending(&self, id: SubscriptionId) -> usize {
        self.table
            .get(&id)
            .map_or(0, |subscription| subscription.usage.pending())
    }

    /// The subscription's own connection, where it is in a dialog and the connection lasts (C9).
    pub(crate) fn share(
        &self,
        cx: &mut Cx<'_>,
        connections: &mut Connections,
        id: SubscriptionId,
        avoid: &[SocketAddr],
    ) -> Option<Lease> {
        let subscription = self.table.get(&id)?;
        subscription.dialog.as_ref()?;
        connections.share_own(cx, subscription.lease.as_ref(), avoid)
    }

    /// A connection was made for a subscription whose own was gone: it keeps it (C13).
    pub(crate) fn adopt(
        &mut self,
        cx: &mut Cx<'_>,
        connections: &mut Connections,
        id: SubscriptionId,
        conn: ConnId,
    ) {
        let Some(subscription) = self.table.get_mut(&id) else {
            return;
        };
        if subscription.dialog.is_none() || matches!(subscription.usage.machine_state(), State::Terminated) {
            return;
        }
        connections.hold_instead(cx, &mut subscription.lease, conn);
    }
}
