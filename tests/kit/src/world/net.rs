//! The links of a world: TCP connections as far as a stack can tell, with everything that can go wrong on them.
//!
//! A connection has two ends and a direction each way. Bytes arrive in order after the link's latency, cut anew where
//! the network is told so. An end that is gone answers what still arrives with a reset, as TCP does; where bytes
//! vanish, nothing is ever answered.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rand_core::RngCore;
use sansip::{
    CloseReason, ConnId, Connect, Established, ListenError, ListenerId, Time, TlsFailure, TlsFailureKind,
    Transport,
};

use super::fault::{Connecting, Fault, Passed};
use super::{Happening, Host, LineId, Pieces, StackId, World};
use crate::frontend::Conn;

/// How the network of a world behaves; what is changed goes for connections made and bytes sent from then on.
#[derive(Clone, Debug)]
pub struct Network {
    /// The time from one host to another; 10 ms.
    pub latency: Duration,
    /// Up to this much is added, evenly distributed; nothing.
    pub jitter: Duration,
    /// How bytes are cut on their way; not at all.
    pub chunks: Chunks,
    /// How many bytes one direction of a connection holds that its reader has not taken; 64 KiB.
    pub window: usize,
    /// After this time without an acknowledgement a sender's system gives up (TCP_USER_TIMEOUT); never.
    pub user_timeout: Option<Duration>,
}

/// After this time a system gives up connecting, where it does: before a stack of the usual settings would.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// So near the end of the range of time a clock is a trouble.
const FAR: Duration = Duration::from_secs(30 * 24 * 3600);

/// From one host to another, where nothing else is said.
const LATENCY: Duration = Duration::from_millis(10);

impl Default for Network {
    fn default() -> Self {
        Self {
            latency: LATENCY,
            jitter: Duration::ZERO,
            chunks: Chunks::Whole,
            window: 64 << 10,
            user_timeout: None,
        }
    }
}

/// How bytes are cut on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunks {
    /// They arrive as they were sent.
    Whole,
    /// In pieces of this many bytes.
    Of(usize),
    /// In pieces of random sizes, all of which arrive at one time.
    Random,
}

/// What happens to who connects to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reachability {
    /// The usual.
    Open,
    /// Nothing listens there.
    Refused,
    /// There is no way.
    Unreachable,
    /// Nothing comes back.
    BlackHole,
    /// Nothing comes back, and the system of who connects gives up after five seconds.
    TimedOut,
}

/// One connection of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub(crate) usize);

/// An end of a link: 0 made the connection, 1 accepted it.
pub(super) type Side = usize;

#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) ends: [End; 2],
    tls: Option<String>,
    pub(super) latency: Duration,
    /// What is sent from this side vanishes.
    pub(super) hole: [bool; 2],
    /// When the last thing sent from this side arrives.
    pub(super) last: [Time; 2],
    /// Bytes sent from this side that have not been read.
    unread: [usize; 2],
    /// This side's host does not read, as the test has it.
    pub(super) slow: [bool; 2],
    /// This side has closed its direction, and reads on.
    pub(super) half_closed: [bool; 2],
}

#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) host: Host,
    pub(super) name: Name,
    pub(super) address: SocketAddr,
    /// Whether the host still has it.
    pub(super) open: bool,
    /// Whether data can flow.
    pub(super) ready: bool,
    reading: bool,
    inbox: VecDeque<Bytes>,
    /// What follows when the inbox is empty.
    ending: Option<CloseReason>,
}

/// What a host calls its end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    /// Nothing: not accepted yet.
    None,
    Stack(ConnId),
    FrontEnd(Conn),
    Peer(LineId),
}

impl End {
    fn new(host: Host, name: Name, address: SocketAddr, open: bool) -> Self {
        let (ready, reading, inbox, ending) = (false, true, VecDeque::new(), None);
        Self {
            host,
            name,
            address,
            open,
            ready,
            reading,
            inbox,
            ending,
        }
    }
}

/// Who listens at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listening {
    pub(super) host: Host,
    pub(super) transport: Transport,
    /// For a stack.
    pub(super) listener: Option<ListenerId>,
}

fn failure(kind: TlsFailureKind, detail: &str) -> CloseReason {
    CloseReason::Tls(TlsFailure {
        kind,
        detail: detail.to_owned(),
    })
}

impl World {
    pub(super) fn link(&self, id: LinkId) -> &Link {
        self.links.get(&id).expect("a link of this world")
    }

    pub(super) fn link_mut(&mut self, id: LinkId) -> &mut Link {
        self.links.get_mut(&id).expect("a link of this world")
    }

    pub(super) fn end(&self, id: LinkId, side: Side) -> &End {
        self.link(id).ends.get(side).expect("a side is 0 or 1")
    }

    pub(super) fn end_mut(&mut self, id: LinkId, side: Side) -> &mut End {
        self.link_mut(id).ends.get_mut(side).expect("a side is 0 or 1")
    }

    fn host_of_ip(&self, ip: IpAddr) -> Option<Host> {
        self.by_ip.get(&ip).copied()
    }

    // --- connecting

    /// A stack connects.
    pub(super) fn connect(&mut self, stack: StackId, connect: Connect) {
        if self.connects.is_some() {
            let at = self.now;
            let known = self.host_mut(stack).stack.connection(connect.conn);
            let asked = known.and_then(|known| known.host).map(String::from);
            let connecting = Connecting {
                at,
                host: stack,
                asked,
            };
            self.connects
                .iter_mut()
                .for_each(|all| all.push(connecting.clone()));
        }
        self.open_link(
            Host::Stack(stack),
            Name::Stack(connect.conn),
            connect.remote,
            connect.tls,
        );
    }

    pub(super) fn open_link(
        &mut self,
        host: Host,
        name: Name,
        remote: SocketAddr,
        tls: Option<String>,
    ) -> LinkId {
        let local = SocketAddr::new(self.ip(host), self.next_port());
        let far = self.host_of_ip(remote.ip()).unwrap_or(host);
        let latency = self.latency();
        let id = LinkId(self.joined);
        self.joined += 1;
        let link = Link {
            ends: [
                End::new(host, name, local, true),
                End::new(far, Name::None, remote, false),
            ],
            tls,
            latency,
            hole: [false; 2],
            last: [self.now; 2],
            unread: [0; 2],
            slow: [false; 2],
            half_closed: [false; 2],
        };
        self.links.insert(id, link);
        self.ends.insert((host, name), (id, 0));
        if self.now > Time::MAX - FAR {
            self.strike(host, Fault::FarClock);
        }
        if self.network.latency > LATENCY {
            self.strike(host, Fault::Latency);
        }
        match self.reachability(remote) {
            Reachability::Open => {}
            Reachability::Refused => self.strike(host, Fault::Refused),
            Reachability::Unreachable => self.strike(host, Fault::Unreachable),
            Reachability::BlackHole => self.strike(host, Fault::Silence),
            Reachability::TimedOut => self.strike(host, Fault::ConnectTimeout),
        }
        match self.reachability(remote) {
            Reachability::Open if self.host_of_ip(remote.ip()).is_some() => {
                self.after(latency, Happening::Syn(id))
            }
            Reachability::Open | Reachability::Unreachable => {
                self.after(latency, Happening::Ended(id, 0, CloseReason::Unreachable));
            }
            Reachability::Refused => self.after(latency * 2, Happening::Ended(id, 0, CloseReason::Refused)),
            Reachability::BlackHole => {}
            Reachability::TimedOut => {
                self.after(CONNECT_TIMEOUT, Happening::Ended(id, 0, CloseReason::TimedOut));
            }
        }
        id
    }

    /// A connection reaches the host that it is for.
    pub(super) fn on_syn(&mut self, id: LinkId) {
        let (latency, tls) = (self.link(id).latency, self.link(id).tls.clone());
        if !self.end(id, 0).open {
            return;
        }
        let (local, remote) = (self.end(id, 1).address, self.end(id, 0).address);
        let Some(listening) = self.listening_at(local) else {
            return self.after(latency, Happening::Ended(id, 0, CloseReason::Refused));
        };
        let secure = listening.transport == Transport::Tls;
        self.end_mut(id, 1).open = true;
        let name = match (listening.host, listening.listener) {
            (Host::Stack(stack), Some(listener)) => {
                let now = self.now;
                Name::Stack(
                    self.host_mut(stack)
                        .stack
                        .handle_accepted(now, listener, local, remote),
                )
            }
            (Host::FrontEnd(_), _) => Name::FrontEnd(Conn(u64::try_from(id.0).unwrap_or(u64::MAX))),
            (Host::Peer(_) | Host::Stack(_), _) => Name::Peer(LineId { link: id.0, side: 1 }),
        };
        self.end_mut(id, 1).name = name;
        self.ends.insert((listening.host, name), (id, 1));
        self.note(listening.host, format!("accepts {remote} on {local}"));
        match (secure, tls.is_some()) {
            (false, false) => {
                self.after(Duration::ZERO, Happening::Ready(id, 1));
                self.after(latency, Happening::Ready(id, 0));
            }
            (true, true) => self.shake_hands(id, listening.host, latency),
            (false, true) => {
                let reason = failure(TlsFailureKind::NegotiationFailure, "the peer does not speak TLS");
                self.after(Duration::ZERO, Happening::Ready(id, 1));
                self.after(latency * 2, Happening::Ended(id, 0, reason));
                self.after(latency * 3, Happening::Ended(id, 1, CloseReason::Closed));
            }
            (true, false) => {
                let reason = failure(TlsFailureKind::NegotiationFailure, "the peer does not speak TLS");
                self.after(latency, Happening::Ready(id, 0));
                self.after(latency * 2, Happening::Ended(id, 1, reason));
                self.after(latency * 3, Happening::Ended(id, 0, CloseReason::Closed));
            }
        }
        self.drain(listening.host);
    }

    /// Certificates are data here: either side may distrust the other's, as the test has it.
    fn shake_hands(&mut self, id: LinkId, server: Host, latency: Duration) {
        let client = self.end(id, 0).host;
        if let Some(kind) = self.certificate_faults.get(&server).copied() {
            self.strike_both(id, Fault::of_tls(kind));
            self.after(
                latency,
                Happening::Ended(id, 0, failure(kind, "as the test has it")),
            );
            let alert = failure(
                TlsFailureKind::NegotiationFailure,
                "the peer refused our certificate",
            );
            return self.after(latency * 2, Happening::Ended(id, 1, alert));
        }
        if let Some(kind) = self.certificate_faults.get(&client).copied() {
            self.strike_both(id, Fault::of_tls(kind));
            self.after(
                latency * 2,
                Happening::Ended(id, 1, failure(kind, "as the test has it")),
            );
            let alert = failure(
                TlsFailureKind::NegotiationFailure,
                "the peer refused our certificate",
            );
            return self.after(latency * 3, Happening::Ended(id, 0, alert));
        }
        self.after(latency * 2, Happening::Ready(id, 1));
        self.after(latency * 3, Happening::Ready(id, 0));
    }

    /// Data can flow from this side on.
    pub(super) fn on_ready(&mut self, id: LinkId, side: Side) {
        if !self.end(id, side).open || self.end(id, side).ready {
            return;
        }
        // The rest of the handshake has vanished.
        if self.link(id).tls.is_some() && self.is_hole(id, 1 - side) {
            return;
        }
        self.end_mut(id, side).ready = true;
        let (host, name) = (self.end(id, side).host, self.end(id, side).name);
        let (local, remote) = (self.end(id, side).address, self.end(id, 1 - side).address);
        let secure = self.link(id).tls.is_some();
        let peer = self
            .certificates
            .get(&self.end(id, 1 - side).host)
            .filter(|_| secure);
        let peer = peer.cloned().map(Box::new);
        self.note(host, format!("is connected with {remote}"));
        if secure && self.own_certificates.contains_key(&self.end(id, 1 - side).host) {
            self.strike(host, Fault::WrongCertificate);
        }
        let now = self.now;
        match (host, name) {
            (Host::Stack(stack), Name::Stack(conn)) if side == 0 || secure => {
                self.host_mut(stack)
                    .stack
                    .handle_connected(now, conn, Established { local, remote, peer });
            }
            (Host::FrontEnd(server), Name::FrontEnd(conn)) => {
                let transport = if secure { Transport::Tls } else { Transport::Tcp };
                self.server_mut(server)
                    .front_end
                    .handle_accepted(conn, local, remote, transport);
            }
            (Host::Stack(_) | Host::FrontEnd(_) | Host::Peer(_), _) => {}
        }
        self.drain(host);
        self.deliver(id, side);
        self.pump(id, side);
    }

    // --- bytes

    /// Takes what a stack wants to send, as far as the window is open.
    pub(super) fn pump(&mut self, id: LinkId, side: Side) {
        let end = self.end(id, side);
        let (Host::Stack(stack), Name::Stack(conn)) = (end.host, end.name) else {
            return;
        };
        if !end.open || !end.ready {
            return;
        }
        let now = self.now;
        loop {
            let unread = self.link(id).unread.get(side).copied().unwrap_or_default();
            let room = self.network.window.saturating_sub(unread);
            let mut taken = BytesMut::new();
            for slice in self.host_mut(stack).stack.transmit(conn) {
                let part = slice.len().min(room - taken.len());
                taken.extend_from_slice(slice.get(..part).unwrap_or_default());
                if part < slice.len() {
                    break;
                }
            }
            if room == 0 && self.host_mut(stack).stack.transmit(conn).next().is_some() {
                self.strike(stack, Fault::FullWindow);
            }
            if taken.is_empty() || !self.end(id, side).open {
                return;
            }
            let taken = taken.freeze();
            self.transfer(id, side, taken.clone());
            let sent = self.link(id).unread.get(side).copied().unwrap_or_default() - unread;
            let host = self.host_mut(stack);
            host.observer
                .sent
                .pass(conn, taken.get(..sent).unwrap_or_default());
            host.stack.handle_transmitted(now, conn, sent);
            self.drain(Host::Stack(stack));
        }
    }

    /// Puts bytes on the link.
    pub(super) fn transfer(&mut self, id: LinkId, from: Side, bytes: Bytes) {
        let (host, to) = (self.end(id, from).host, self.end(id, 1 - from).host);
        self.trace.push_bytes(self.now, host, to, bytes.clone());
        self.pass(id, from, Passed::Sent(bytes.clone()));
        if let Some(unread) = self.link_mut(id).unread.get_mut(from) {
            *unread += bytes.len();
        }
        if self.link(id).half_closed.get(from) == Some(&true) {
            // Its direction is closed: the system does not take it.
            return;
        }
        if self.is_hole(id, from) {
            self.watch(id, from);
            return;
        }
        if bytes.is_empty() {
            return;
        }
        let pieces = self.cut(bytes.len());
        if pieces.first() < bytes.len() {
            self.strike_both(id, Fault::Rechunking);
        }
        let at = self.arrival(id, from);
        self.at(at, Happening::Arrive(id, 1 - from, bytes, pieces));
    }

    /// In which pieces so many bytes arrive.
    fn cut(&mut self, length: usize) -> Pieces {
        let mut drawn = Vec::new();
        let every = match self.network.chunks {
            Chunks::Whole => length,
            Chunks::Of(size) => size.max(1),
            Chunks::Random => {
                let mut rest = length;
                while rest > 0 {
                    let size = 1 + self.below(rest);
                    drawn.push(size);
                    rest -= size;
                }
                1
            }
        };
        Pieces {
            drawn: drawn.into_iter(),
            every,
        }
    }

    /// When something sent now arrives: never before what was sent earlier.
    pub(super) fn arrival(&mut self, id: LinkId, from: Side) -> Time {
        let jitter = self.jitter();
        if !jitter.is_zero() {
            self.strike_both(id, Fault::Jitter);
        }
        let soonest = self.now + self.link(id).latency + jitter;
        match self.link_mut(id).last.get_mut(from) {
            Some(last) => {
                *last = (*last).max(soonest);
                *last
            }
            None => soonest,
        }
    }

    pub(super) fn on_arrival(&mut self, id: LinkId, to: Side, bytes: Bytes) {
        if self.is_hole(id, 1 - to) {
            return self.watch(id, 1 - to);
        }
        if !self.end(id, to).open {
            // Nobody is there any more: the sender's system is told.
            if !self.is_hole(id, to) && self.end(id, 1 - to).open {
                let at = self.arrival(id, to);
                self.at(at, Happening::Ended(id, 1 - to, CloseReason::Reset));
            }
            return;
        }
        self.end_mut(id, to).inbox.push_back(bytes);
        self.deliver(id, to);
    }

    /// Gives the host what has arrived, unless it does not read.
    pub(super) fn deliver(&mut self, id: LinkId, side: Side) {
        let now = self.now;
        loop {
            let slow = self.link(id).slow.get(side).copied().unwrap_or_default();
            let end = self.end_mut(id, side);
            if !end.open || !end.ready || !end.reading {
                return;
            }
            if slow && !end.inbox.is_empty() {
                return self.strike_both(id, Fault::SlowReader);
            }
            let (host, name) = (end.host, end.name);
            let Some(bytes) = end.inbox.pop_front() else { break };
            if let Some(unread) = self.link_mut(id).unread.get_mut(1 - side) {
                *unread = unread.saturating_sub(bytes.len());
            }
            self.pass(id, side, Passed::Heard(bytes.clone()));
            match (host, name) {
                (Host::Stack(stack), Name::Stack(conn)) => {
                    self.host_mut(stack).receive(now, conn, &bytes);
                }
                (Host::FrontEnd(server), Name::FrontEnd(conn)) => {
                    self.server_mut(server).front_end.handle_bytes(now, conn, &bytes);
                }
                (Host::Peer(_), Name::Peer(line)) => self.hear(line, &bytes),
                (Host::Stack(_) | Host::FrontEnd(_) | Host::Peer(_), _) => {}
            }
            self.drain(host);
            self.pump(id, 1 - side);
        }
        if let Some(reason) = self.end_mut(id, side).ending.take() {
            self.lose(id, side, reason);
        }
    }

    /// A stack stops reading or goes on.
    pub(super) fn set_reading(&mut self, id: LinkId, side: Side, reading: bool) {
        self.end_mut(id, side).reading = reading;
        if reading {
            self.after(Duration::ZERO, Happening::Readable(id, side));
        }
    }

    // --- the end

    /// This side's host closes: what it has sent still arrives, then the other side sees the end.
    pub(super) fn close_end(&mut self, id: LinkId, side: Side) {
        if !self.end(id, side).open {
            return;
        }
        self.drop_end(id, side);
        if !self.is_hole(id, side) {
            let at = self.arrival(id, side);
            self.at(at, Happening::Ended(id, 1 - side, CloseReason::Closed));
        }
    }

    /// The host forgets its end; nobody is told.
    pub(super) fn drop_end(&mut self, id: LinkId, side: Side) {
        self.pass(id, side, Passed::Gone);
        // Who had closed only its own direction waits for this.
        if self.link(id).half_closed.get(1 - side) == Some(&true) && !self.is_hole(id, side) {
            let at = self.arrival(id, side);
            self.at(at, Happening::Ended(id, 1 - side, CloseReason::Closed));
        }
        let end = self.end_mut(id, side);
        end.open = false;
        end.inbox.clear();
        let key = (end.host, end.name);
        self.ends.remove(&key);
        if let (Host::Stack(stack), Name::Stack(conn)) = key {
            self.host_mut(stack).observer.forget(conn);
        }
    }

    /// This side learns that the connection is over, in order with what has arrived, or at once.
    pub(super) fn on_ended(&mut self, id: LinkId, side: Side, reason: CloseReason) {
        let in_order = reason == CloseReason::Closed;
        let end = self.end_mut(id, side);
        if !end.open {
            return;
        }
        if in_order && end.ready && (!end.inbox.is_empty() || !end.reading) {
            end.ending = Some(reason);
            return;
        }
        self.lose(id, side, reason);
    }

    pub(super) fn lose(&mut self, id: LinkId, side: Side, reason: CloseReason) {
        let (host, name, ready) = (
            self.end(id, side).host,
            self.end(id, side).name,
            self.end(id, side).ready,
        );
        if !self.end(id, side).open {
            return;
        }
        self.drop_end(id, side);
        self.note(
            host,
            format!("has lost {}: {reason}", self.end(id, 1 - side).address),
        );
        let now = self.now;
        match (host, name) {
            (Host::Stack(stack), Name::Stack(conn)) => {
                self.host_mut(stack).stack.handle_closed(now, conn, reason);
            }
            (Host::FrontEnd(server), Name::FrontEnd(conn)) if ready => {
                self.server_mut(server).front_end.handle_closed(now, conn);
            }
            (Host::Stack(_) | Host::FrontEnd(_) | Host::Peer(_), _) => {}
        }
        self.drain(host);
    }

    /// The system of a sender whose bytes are not acknowledged gives up after a time, if it is told to.
    fn watch(&mut self, id: LinkId, side: Side) {
        if let Some(patience) = self.network.user_timeout {
            self.after(patience, Happening::UserTimeout(id, side));
        }
    }

    pub(super) fn on_user_timeout(&mut self, id: LinkId, side: Side) {
        if self.is_hole(id, side) {
            self.on_ended(id, side, CloseReason::TimedOut);
        }
    }

    pub(super) fn is_hole(&self, id: LinkId, from: Side) -> bool {
        self.link(id).hole.get(from).copied().unwrap_or_default()
    }

    // --- listening

    /// A stack listens.
    pub(super) fn listen_stack(
        &mut self,
        stack: StackId,
        listener: ListenerId,
        address: SocketAddr,
        transport: Transport,
    ) {
        let host = Host::Stack(stack);
        let result = self.bind(host, address, transport, Some(listener));
        self.after(Duration::ZERO, Happening::Listening(stack, listener, result));
    }

    pub(super) fn bind(
        &mut self,
        host: Host,
        mut address: SocketAddr,
        transport: Transport,
        listener: Option<ListenerId>,
    ) -> Result<SocketAddr, ListenError> {
        if !address.ip().is_unspecified() && address.ip() != self.ip(host) {
            return Err(ListenError::AddressNotAvailable);
        }
        if transport == Transport::Tls && !self.certificates.contains_key(&host) {
            return Err(ListenError::NoCertificate);
        }
        if address.port() == 0 {
            address.set_port(self.next_port());
        }
        let bound = SocketAddr::new(self.ip(host), address.port());
        if self.listeners.contains_key(&bound) {
            return Err(ListenError::AddressInUse);
        }
        self.listeners.insert(
            bound,
            Listening {
                host,
                transport,
                listener,
            },
        );
        Ok(address)
    }

    pub(super) fn stop_listening(&mut self, host: Host, listener: ListenerId) {
        self.listeners
            .retain(|_, known| known.host != host || known.listener != Some(listener));
    }

    fn listening_at(&self, address: SocketAddr) -> Option<Listening> {
        self.listeners.get(&address).copied()
    }

    fn reachability(&self, address: SocketAddr) -> Reachability {
        self.reachability
            .get(&address)
            .copied()
            .unwrap_or(Reachability::Open)
    }

    fn next_port(&mut self) -> u16 {
        self.last_port = if self.last_port == u16::MAX {
            40_000
        } else {
            self.last_port + 1
        };
        self.last_port
    }

    pub(super) fn latency(&mut self) -> Duration {
        self.network.latency + self.jitter()
    }

    fn jitter(&mut self) -> Duration {
        self.up_to(self.network.jitter)
    }

    /// A time of at most this, evenly distributed.
    pub(super) fn up_to(&mut self, most: Duration) -> Duration {
        let micros = usize::try_from(most.as_micros()).unwrap_or(usize::MAX - 1);
        Duration::from_micros(u64::try_from(self.below(micros + 1)).unwrap_or_default())
    }

    /// A number below `bound`, 0 for 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        if bound < 2 {
            return 0;
        }
        let bound = u64::try_from(bound).unwrap_or(u64::MAX);
        usize::try_from(self.entropy.next_u64() % bound).unwrap_or_default()
    }
}
