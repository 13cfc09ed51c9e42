//! The end of endpoints (E13).

use alloc::string::String;
use alloc::vec::Vec;

use super::{Endpoints, Kind, reach};
use crate::cx::Cx;
use crate::event::{Completion, Event};
use crate::ids::{EndpointId, OperationId};
use crate::registration::Input;
use crate::session::Below;

impl Endpoints {
    /// Begins the end of an endpoint (E13); its sessions and subscriptions are ended by the caller. No request finds it any more.
    pub(crate) fn terminate(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: EndpointId,
        operation: OperationId,
    ) {
        let Some(endpoint) = self.table.get_mut(&id) else {
            cx.out.complete(operation, Ok(Completion::Done));
            return;
        };
        endpoint.terminating.push(operation);
        if endpoint.terminating.len() > 1 {
            return;
        }
        self.ending.insert(id);
        self.changed.push(id);
        if let Some(gruu) = endpoint.gruu().map(String::from) {
            self.directory.remove_gruu(id, &gruu);
        }
        self.directory.remove(id, &endpoint.identity);
        match &mut endpoint.kind {
            Kind::Sip(_) => {
                // Its completion is nobody's: the terminate command waits for the state.
                let unregister = cx.ids.next();
                self.register_step(cx, below, id, Input::Unregister(unregister), None);
            }
            Kind::PeerToPeer(peer) => peer.reach.step(reach::Input::Ended, cx),
        }
    }

    /// Ends those endpoints that wait for nothing any more: sessions, binding, operations. Only those are looked at of
    /// which something has ended: their own doing, or that of others, who name them in `freed`.
    pub(crate) fn settle(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        freed: Vec<EndpointId>,
        incoming: &dyn Fn(EndpointId) -> usize,
    ) {
        let mut ready = core::mem::take(&mut self.changed);
        ready.extend(freed);
        ready.retain(|id| self.ending.contains(id) && self.is_settled(cx, *id, incoming));
        ready.sort_unstable();
        ready.dedup();
        for id in ready {
            self.ending.remove(&id);
            let Some(mut endpoint) = self.table.remove(&id) else {
                continue;
            };
            self.by_manager.remove(&(endpoint.manager, id));
            self.directory.forget(&endpoint.identity);
            if let Kind::Sip(sip) = &mut endpoint.kind {
                sip.registration.stop(cx);
                sip.upkeep.stop(cx, below);
                below.low.auth.remove(cx, id);
                below.exchanges.drop_sequence(sip.sequence);
                if let Some(flow) = sip.flow.take() {
                    self.by_flow.remove(&(flow.conn(), id));
                    below.low.connections.release(cx, flow);
                }
            }
            cx.out.event(Event::EndpointTerminated { endpoint: id });
            for operation in endpoint.terminating {
                cx.out.complete(operation, Ok(Completion::Done));
            }
        }
    }

    fn is_settled(&self, cx: &Cx<'_>, id: EndpointId, incoming: &dyn Fn(EndpointId) -> usize) -> bool {
        let Some(endpoint) = self.table.get(&id) else {
            return true;
        };
        let unbound = match &endpoint.kind {
            Kind::Sip(sip) => !sip.registration.is_bound(),
            Kind::PeerToPeer(_) => true,
        };
        let own = endpoint.terminating.iter();
        let own = own.filter(|operation| cx.out.is_under_way(**operation)).count();
        unbound
            && endpoint.sessions.is_empty()
            && endpoint.lives.is_empty()
            && endpoint.outgoing.is_empty()
            && incoming(id) == 0
            && cx.out.operations_of(id) == own
    }
}
