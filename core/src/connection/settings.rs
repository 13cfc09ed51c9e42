//! The settings of server managers, changed while running: how many connections a pool has (C4), and how long they may be
//! without traffic (C10). Those of a client manager are misuse (C5, C11).

use core::time::Duration;

use super::manager::{CLOSES_NOTHING, Manager, SHARES_NOTHING};
use super::table::Connections;
use crate::cx::Cx;
use crate::error::Misuse;
use crate::ids::ManagerId;
use crate::locate::Hop;

impl Connections {
    /// The size of new pools of a server manager (C4).
    pub(crate) fn set_pool_size(&mut self, manager: ManagerId, size: usize) -> Result<(), Misuse> {
        let config = &mut self.server_manager(manager, SHARES_NOTHING)?.config;
        if size == 0 {
            return Err(Misuse::argument("size", "must be at least 1"));
        }
        config.pool_size = Some(size);
        Ok(())
    }

    /// The size of one pool, while there is one to this hop (C4). Connections above it stay until they go by themselves.
    pub(crate) fn set_pool_maximum(
        &mut self,
        manager: ManagerId,
        hop: &Hop,
        size: usize,
    ) -> Result<(), Misuse> {
        let manager = self.server_manager(manager, SHARES_NOTHING)?;
        if size == 0 {
            return Err(Misuse::argument("size", "must be at least 1"));
        }
        manager
            .pools
            .get_mut(hop)
            .ok_or(Misuse::Unknown("the pool"))?
            .set_maximum(size);
        Ok(())
    }

    /// How long its new connections may be without traffic, incoming and outgoing (C10); `None` for what the stack has.
    pub(crate) fn set_idle_defaults(
        &mut self,
        manager: ManagerId,
        incoming: Option<Duration>,
        outgoing: Option<Duration>,
    ) -> Result<(), Misuse> {
        let config = &mut self.server_manager(manager, CLOSES_NOTHING)?.config;
        (config.idle_incoming, config.idle_outgoing) = (incoming, outgoing);
        Ok(())
    }

    /// Every connection of the manager gets the time that its new ones get (C10).
    pub(crate) fn apply_idle_defaults(&mut self, cx: &mut Cx<'_>, id: ManagerId) -> Result<(), Misuse> {
        let manager = self.server_manager(id, CLOSES_NOTHING)?;
        let (incoming, outgoing) = (manager.idle(true, cx.config), manager.idle(false, cx.config));
        let all = self
            .connections
            .values_mut()
            .map(|connection| &mut connection.lifetime);
        for lifetime in all.filter(|lifetime| lifetime.manager == id) {
            let is_incoming = lifetime.role.hop().is_none();
            lifetime.set_idle(if is_incoming { incoming } else { outgoing }, cx);
        }
        Ok(())
    }

    fn server_manager(&mut self, id: ManagerId, otherwise: &'static str) -> Result<&mut Manager, Misuse> {
        let manager = self
            .managers
            .get_mut(&id)
            .ok_or(Misuse::Unknown("the connection manager"))?;
        if manager.shares() {
            Ok(manager)
        } else {
            Err(Misuse::Kind(otherwise))
        }
    }
}
