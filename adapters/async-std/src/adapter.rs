//! A stack and its sockets: carries out the stack's actions and tells it what the sockets saw. No protocol decision is
//! made here.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::task::Waker;
use std::time::Duration;

use sansip::security::{KerberosFailure, KerberosFailureKind};
use sansip::{
    Action, CloseReason, ConnId, Connect, Event, ListenError, ListenerId, ManagerId, QueryId, Stack, Time,
    TlsFailure, TlsFailureKind, Transport,
};
#[cfg(feature = "tracing")]
use sansip_net::trace;
use sansip_net::{Authenticated, KerberosThreads, TlsClientConfig, TlsServerConfig};

use crate::event::NetEvent;
use crate::net::{ConnectTls, LookupId, Net, SocketId};
use crate::settings::{Settings, TlsSettings};

/// How many slices go into one vectored write.
const SLICES: usize = 64;
/// How many vectored writes one connection may do before others have their turn.
const WRITES_PER_TURN: usize = 8;

/// See the module. All work is done inside [`Adapter::poll_event`].
#[derive(Debug)]
pub(crate) struct Adapter {
    stack: Stack,
    net: Net,
    tls: TlsSettings,
    manager_tls: ManagerTls,
    sockets: BTreeMap<ConnId, SocketId>,
    conns: HashMap<SocketId, ConnId>,
    listeners: BTreeMap<ListenerId, Listening>,
    listener_ids: HashMap<SocketId, ListenerId>,
    queries: HashMap<LookupId, QueryId>,
    kerberos: Option<KerberosThreads>,
    #[cfg(feature = "record")]
    recording: Option<sansip_net::Recording>,
}

#[derive(Clone, Copy, Debug)]
struct Listening {
    socket: SocketId,
    manager: ManagerId,
}

impl Adapter {
    /// Drives this stack. Its clock starts at [`Time::ZERO`] now, so the stack should have been made with that.
    ///
    /// # Errors
    /// The system gives no entropy.
    pub(crate) fn new(stack: Stack, settings: Settings) -> io::Result<Self> {
        let net = Net::new(&settings)?;
        let kerberos = settings
            .kerberos
            .map(|kerberos| KerberosThreads::new(kerberos, net.bell()));
        Ok(Self {
            stack,
            net,
            tls: settings.tls,
            manager_tls: settings.manager_tls,
            sockets: BTreeMap::new(),
            conns: HashMap::new(),
            listeners: BTreeMap::new(),
            listener_ids: HashMap::new(),
            queries: HashMap::new(),
            kerberos,
            #[cfg(feature = "record")]
            recording: settings.recording,
        })
    }

    /// The stack, for commands and for reading.
    pub(crate) const fn stack(&mut self) -> &mut Stack {
        &mut self.stack
    }

    /// The time that commands are to be given with.
    pub(crate) fn now(&self) -> Time {
        self.net.now()
    }

    /// Replaces the TLS settings of one manager, or (with `None`) those of all managers without their own. New connections
    /// use them, at listeners that are open already too; old connections go on (rule C34). A listener goes on with what
    /// it has where the new settings have nothing for it.
    pub(crate) fn set_tls(&mut self, manager: Option<ManagerId>, tls: TlsSettings) {
        match manager {
            Some(manager) => {
                self.manager_tls.insert(manager, tls);
            }
            None => self.tls = tls,
        }
        for listening in self.listeners.values() {
            if let Some(server) = server_tls(&self.tls, &self.manager_tls, listening.manager) {
                self.net.set_listener_tls(listening.socket, server.clone());
            }
        }
    }

    /// How long to wait for this time.
    pub(crate) fn until(&self, time: Time) -> Duration {
        self.net.until(time)
    }

    /// A new turn: this task is to be woken, what has been woken is looked at, and time has passed.
    pub(crate) fn begin_turn(&mut self, task: &Waker) {
        self.net.begin_turn(task);
        self.net.handle_deadline();
        let now = self.net.now();
        if self
            .stack
            .poll_timeout()
            .is_some_and(|(deadline, _)| deadline <= now)
        {
            #[cfg(feature = "tracing")]
            let _ = self.stack.poll_timeout().map(|(_, reason)| trace::due(reason));
            self.stack.handle_timeout(now);
        }
    }

    /// When the next turn is due, where nothing wakes the task before; `None` is never.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        if self.net.has_work() {
            return Some(self.net.now());
        }
        let stack = self.stack.poll_timeout().map(|(deadline, _)| deadline);
        stack.into_iter().chain(self.net.poll_timeout()).min()
    }

    /// Does the work that waits, until there is an event for the application. `None` where nothing is left, or enough was
    /// done for one wake-up.
    ///
    /// A request that an event brings is to be answered or held before the next call (rule M4).
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        loop {
            while let Some(action) = self.stack.poll_action() {
                if let Some(event) = self.carry_out(action) {
                    return Some(event);
                }
            }
            if !self.take_in() {
                #[cfg(feature = "record")]
                self.write_recording();
                return None;
            }
        }
    }

    /// Stops (`false`) or resumes reading from all connections, for an application that is far behind.
    pub(crate) fn set_intake(&mut self, intake: bool) {
        self.net.set_intake(intake);
    }

    /// How many connections the system still has for us, those that are being closed among them.
    pub(crate) fn connections(&self) -> usize {
        self.net.connections()
    }

    #[cfg(feature = "record")]
    fn write_recording(&mut self) {
        if let Some(recording) = &self.recording {
            recording.take_from(&mut self.stack);
        }
    }

    // --- what the stack wants

    fn carry_out(&mut self, action: Action) -> Option<Event> {
        #[cfg(feature = "tracing")]
        trace::action(&action);
        match action {
            Action::Connect(connect) => self.connect(&connect),
            Action::Transmit(conn) => self.transmit(conn),
            Action::Reading(conn, reading) => {
                if let Some(&socket) = self.sockets.get(&conn) {
                    self.net.set_reading(socket, reading);
                }
            }
            Action::Close(conn) => {
                if let Some(socket) = self.sockets.remove(&conn) {
                    self.conns.remove(&socket);
                    self.net.close(socket);
                }
            }
            Action::Listen {
                listener,
                manager,
                address,
                transport,
            } => {
                let result = self.listen(listener, manager, address, transport);
                self.stack.handle_listening(self.net.now(), listener, result);
            }
            Action::StopListening(listener) => {
                if let Some(listening) = self.listeners.remove(&listener) {
                    self.listener_ids.remove(&listening.socket);
                    self.net.stop_listening(listening.socket);
                }
            }
            Action::Resolve { query, question } => {
                let lookup = self.net.resolve(question);
                self.queries.insert(lookup, query);
            }
            Action::Authenticate(wanted) => match &self.kerberos {
                Some(kerberos) => kerberos.ask(wanted),
                None => self.authenticated(Authenticated {
                    endpoint: wanted.endpoint,
                    handshake: wanted.handshake,
                    result: Err(KerberosFailure::new(KerberosFailureKind::Unsupported)),
                }),
            },
            Action::Event(event) => return Some(event),
        }
        None
    }

    fn connect(&mut self, connect: &Connect) {
        let tls = match &connect.tls {
            None => None,
            Some(name) => match client_tls(&self.tls, &self.manager_tls, connect.manager) {
                Some(config) => Some(ConnectTls { config, name }),
                None => {
                    let failure = TlsFailure {
                        kind: TlsFailureKind::Other,
                        detail: "the adapter has no TLS settings for outgoing connections".to_owned(),
                    };
                    let reason = CloseReason::Tls(failure);
                    #[cfg(feature = "tracing")]
                    trace::closed(connect.conn, &reason);
                    self.stack.handle_closed(self.net.now(), connect.conn, reason);
                    return;
                }
            },
        };
        let socket = self.net.connect(connect.remote, tls);
        self.sockets.insert(connect.conn, socket);
        self.conns.insert(socket, connect.conn);
    }

    fn listen(
        &mut self,
        listener: ListenerId,
        manager: ManagerId,
        address: SocketAddr,
        transport: Transport,
    ) -> Result<SocketAddr, ListenError> {
        let tls = match transport {
            Transport::Tcp => None,
            Transport::Tls => {
                let server = server_tls(&self.tls, &self.manager_tls, manager);
                Some(server.cloned().ok_or(ListenError::NoCertificate)?)
            }
        };
        let (socket, local) = self.net.listen(address, tls)?;
        self.listeners.insert(listener, Listening { socket, manager });
        self.listener_ids.insert(socket, listener);
        Ok(local)
    }

    /// Gives the socket what it takes of the connection's queue, straight from the stack's own buffers.
    fn transmit(&mut self, conn: ConnId) {
        let Some(&socket) = self.sockets.get(&conn) else {
            return;
        };
        for _ in 0..WRITES_PER_TURN {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut offered = 0;
            let mut used = 0;
            for (place, bytes) in slices.iter_mut().zip(self.stack.transmit(conn)) {
                *place = IoSlice::new(bytes);
                offered += bytes.len();
                used += 1;
            }
            let taken = self.net.write(socket, slices.get(..used).unwrap_or_default());
            if taken > 0 {
                #[cfg(feature = "tracing")]
                trace::sent(conn, taken);
                self.stack.handle_transmitted(self.net.now(), conn, taken);
            }
            if taken < offered || offered == 0 {
                return;
            }
        }
        self.net.request_writable(socket);
    }

    // --- what the world did

    /// Tells the stack one thing; false when there is none.
    fn take_in(&mut self) -> bool {
        let now = self.net.now();
        let Some(event) = self.net.poll() else {
            let answer = self.kerberos.as_ref().and_then(KerberosThreads::poll);
            return answer.is_some_and(|answer| {
                self.authenticated(answer);
                true
            });
        };
        match event {
            NetEvent::Accepted {
                listener,
                socket,
                local,
                remote,
            } => {
                if let Some(&listener) = self.listener_ids.get(&listener) {
                    let conn = self.stack.handle_accepted(now, listener, local, remote);
                    #[cfg(feature = "tracing")]
                    trace::accepted(conn, listener, local, remote);
                    self.sockets.insert(conn, socket);
                    self.conns.insert(socket, conn);
                }
            }
            NetEvent::Connected { socket, established } => {
                if let Some(&conn) = self.conns.get(&socket) {
                    #[cfg(feature = "tracing")]
                    trace::connected(conn, &established);
                    self.stack.handle_connected(now, conn, established);
                }
            }
            NetEvent::Received { socket, bytes } => {
                if let Some(&conn) = self.conns.get(&socket) {
                    #[cfg(feature = "tracing")]
                    trace::received(conn, bytes.len());
                    self.stack.handle_bytes(now, conn, bytes);
                }
            }
            NetEvent::Writable { socket } => {
                if let Some(&conn) = self.conns.get(&socket) {
                    self.transmit(conn);
                }
            }
            NetEvent::Closed { socket, reason } => {
                if let Some(conn) = self.conns.remove(&socket) {
                    self.sockets.remove(&conn);
                    #[cfg(feature = "tracing")]
                    trace::closed(conn, &reason);
                    self.stack.handle_closed(now, conn, reason);
                }
            }
            NetEvent::ListenerLost { listener, error } => {
                if let Some(listener) = self.listener_ids.remove(&listener) {
                    self.listeners.remove(&listener);
                    #[cfg(feature = "tracing")]
                    trace::listener_lost(listener, &error);
                    self.stack.handle_listener_lost(now, listener, error);
                }
            }
            NetEvent::Resolved { lookup, result } => {
                if let Some(query) = self.queries.remove(&lookup) {
                    #[cfg(feature = "tracing")]
                    trace::resolved(query, &result);
                    self.stack.handle_resolved(now, query, result);
                }
            }
        }
        true
    }

    fn authenticated(&mut self, answer: Authenticated) {
        #[cfg(feature = "tracing")]
        trace::authenticated(&answer);
        self.stack
            .handle_authenticated(self.net.now(), answer.endpoint, answer.handshake, answer.result);
    }
}

/// What was recorded since the last wake-up, the last commands for example.
#[cfg(feature = "record")]
impl Drop for Adapter {
    fn drop(&mut self) {
        self.write_recording();
    }
}

type ManagerTls = BTreeMap<ManagerId, TlsSettings>;

fn client_tls<'a>(
    all: &'a TlsSettings,
    own: &'a ManagerTls,
    manager: ManagerId,
) -> Option<&'a TlsClientConfig> {
    own.get(&manager)
        .and_then(|tls| tls.client.as_ref())
        .or(all.client.as_ref())
}

fn server_tls<'a>(
    all: &'a TlsSettings,
    own: &'a ManagerTls,
    manager: ManagerId,
) -> Option<&'a TlsServerConfig> {
    own.get(&manager)
        .and_then(|tls| tls.server.as_ref())
        .or(all.server.as_ref())
}
