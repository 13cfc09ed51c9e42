//! The word of the application on connections (C21), and whom managers let in, changed while running (C18).

use super::lifetime::Input;
use super::manager::MutualTls;
use super::table::Connections;
use crate::cx::Cx;
use crate::error::Misuse;
use crate::event::Event;
use crate::ids::{ConnId, ManagerId};

impl Connections {
    /// Whether new connections are held for the application (C21).
    pub(crate) fn set_authorizes(&mut self, manager: ManagerId, on: bool) {
        if let Some(manager) = self.managers.get_mut(&manager) {
            manager.config.authorizes = on;
        }
    }

    /// Whom a manager lets connect from now on (C18).
    pub(crate) fn set_mutual_tls(&mut self, id: ManagerId, mutual_tls: MutualTls) -> Result<(), Misuse> {
        let manager = self.managers.get_mut(&id);
        manager
            .ok_or(Misuse::Unknown("the connection manager"))?
            .set_mutual_tls(mutual_tls)
    }

    /// The application has decided on a connection that is held for it (C21). It does nothing if that is gone.
    pub(crate) fn authorize(&mut self, cx: &mut Cx<'_>, conn: ConnId, allowed: bool) -> Result<(), Misuse> {
        let Some(connection) = self.connections.get(&conn) else {
            return Ok(());
        };
        if !connection.lifetime.is_held() {
            return Err(Misuse::Answered);
        }
        self.drive(cx, conn, if allowed { Input::Allowed } else { Input::Denied });
        Ok(())
    }

    /// Asks the application (C21).
    pub(super) fn held(&self, cx: &mut Cx<'_>, conn: ConnId) {
        let Some(connection) = self.connections.get(&conn) else {
            return;
        };
        let Some(remote) = connection.remote() else { return };
        let lifetime = &connection.lifetime;
        cx.out.event(Event::AuthorizationRequested {
            conn,
            manager: lifetime.manager,
            remote,
            incoming: lifetime.role.hop().is_none(),
            transport: lifetime.role.transport(),
            matched: connection.matched().map(Into::into),
        });
    }
}
