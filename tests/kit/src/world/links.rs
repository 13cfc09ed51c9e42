//! What a test sees of the links of a world, and does to them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use sansip::{CloseReason, ConnId, ListenError, ListenerId};

use super::fault::Fault;
use super::net::{Link, Name};
use super::{Happening, Host, LinkId, Reachability, StackId, World};

impl World {
    /// What happens from now on to who connects to this address. Connections that exist are not touched.
    pub fn set_reachability(&mut self, address: SocketAddr, reachability: Reachability) {
        self.reachability.insert(address, reachability);
    }

    pub(super) fn link_ids(&self) -> Vec<LinkId> {
        self.links.keys().copied().collect()
    }

    /// The open connections between two hosts, oldest first.
    pub fn links(&self, a: impl Into<Host>, b: impl Into<Host>) -> Vec<LinkId> {
        let (a, b) = (a.into(), b.into());
        let joins = |link: &Link| {
            let hosts = link.ends.each_ref().map(|end| end.host);
            link.ends.iter().all(|end| end.open) && (hosts == [a, b] || hosts == [b, a])
        };
        let links = self.links.iter().filter(|(_, link)| joins(link));
        links.map(|(id, _)| *id).collect()
    }

    /// The connections that a host has and whose other end is open, too, oldest first.
    pub fn links_of(&self, host: impl Into<Host>) -> Vec<LinkId> {
        let host = host.into();
        let joins = |link: &Link| {
            link.ends.iter().all(|end| end.open) && link.ends.iter().any(|end| end.host == host)
        };
        let links = self.links.iter().filter(|(_, link)| joins(link));
        links.map(|(id, _)| *id).collect()
    }

    /// What a stack has called its connections, those that are over included, oldest first.
    pub fn conns_of(&self, host: StackId) -> Vec<ConnId> {
        let mut conns = Vec::new();
        for end in self.links.values().flat_map(|link| &link.ends) {
            if let (Host::Stack(stack), Name::Stack(conn)) = (end.host, end.name)
                && stack == host
                && !conns.contains(&conn)
            {
                conns.push(conn);
            }
        }
        conns
    }

    /// Whether a stack has been told that its connection is up; also of one that is over.
    pub fn was_up(&self, host: StackId, conn: ConnId) -> bool {
        let own = (Host::from(host), Name::Stack(conn));
        let mut ends = self.links.values().flat_map(|link| &link.ends);
        ends.any(|end| end.ready && (end.host, end.name) == own)
    }

    /// Whether a stack's connection is there at present.
    pub fn has_conn(&self, host: StackId, conn: ConnId) -> bool {
        self.ends.contains_key(&(host.into(), Name::Stack(conn)))
    }

    /// Who made a connection, and who it is for.
    pub fn hosts_of(&self, link: LinkId) -> [Host; 2] {
        self.link(link).ends.each_ref().map(|end| end.host)
    }

    /// The one open connection between two hosts.
    ///
    /// # Panics
    /// There is none, or more than one.
    #[track_caller]
    pub fn link_between(&self, a: impl Into<Host>, b: impl Into<Host>) -> LinkId {
        let links = self.links(a, b);
        assert_eq!(links.len(), 1, "open connections between the two");
        links.first().copied().expect("just counted")
    }

    /// Both ends learn of a reset after the link's latency; what was on its way is lost.
    pub fn reset(&mut self, link: LinkId) {
        self.strike_both(link, Fault::Reset);
        self.link_mut(link).hole = [true; 2];
        let latency = self.link(link).latency;
        for side in [0, 1] {
            self.after(latency, Happening::Ended(link, side, CloseReason::Reset));
        }
    }

    /// From now on all that is sent on this connection vanishes, what is on its way included.
    pub fn black_hole(&mut self, link: LinkId) {
        self.strike_both(link, Fault::BlackHole);
        self.link_mut(link).hole = [true; 2];
    }

    /// From now on all that this host sends on the connection vanishes.
    pub fn black_hole_from(&mut self, link: LinkId, host: impl Into<Host>) {
        let host = host.into();
        self.strike_both(link, Fault::OneWay);
        let from = self.link(link).ends.each_ref().map(|end| end.host == host);
        for (hole, from) in self.link_mut(link).hole.iter_mut().zip(from) {
            *hole |= from;
        }
    }

    /// What is sent on the connection within this time arrives at its end.
    pub fn stall(&mut self, link: LinkId, time: Duration) {
        self.strike_both(link, Fault::Stall);
        let end = self.now + time;
        for last in &mut self.link_mut(link).last {
            *last = (*last).max(end);
        }
    }

    /// Whether a host reads what arrives on this connection. What it does not read fills the window of the sender.
    pub fn set_slow(&mut self, link: LinkId, host: impl Into<Host>, slow: bool) {
        let host = host.into();
        for side in [0, 1] {
            if self.end(link, side).host == host
                && let Some(known) = self.link_mut(link).slow.get_mut(side)
            {
                *known = slow;
                self.after(Duration::ZERO, Happening::Readable(link, side));
            }
        }
    }

    /// A host listens nowhere any more, though nobody told it to stop: its system has taken the addresses away. Says
    /// how many there were.
    pub fn lose_listening(&mut self, host: StackId, error: &ListenError) -> usize {
        let lost: Vec<ListenerId> = self
            .listeners
            .values()
            .filter(|known| known.host == Host::Stack(host))
            .filter_map(|known| known.listener)
            .collect();
        let now = self.now;
        for listener in &lost {
            self.strike(host, Fault::ListeningLost);
            self.stop_listening(Host::Stack(host), *listener);
            self.host_mut(host)
                .stack
                .handle_listener_lost(now, *listener, error.clone());
            self.drain(Host::Stack(host));
        }
        lost.len()
    }

    /// The connection is half-open: this host's end is gone, as after a crash of its system, and the other side does
    /// not know until it sends something and is answered with a reset.
    pub fn half_open(&mut self, link: LinkId, gone: impl Into<Host>) {
        let gone = gone.into();
        self.strike_both(link, Fault::HalfOpen);
        for side in [0, 1] {
            if self.end(link, side).host == gone {
                self.lose(link, side, CloseReason::Reset);
            }
        }
    }

    /// This host closes its direction of the connection and reads on until the other side closes, too.
    pub fn half_close(&mut self, link: LinkId, host: impl Into<Host>) {
        let host = host.into();
        self.strike_both(link, Fault::HalfClosed);
        for side in [0, 1] {
            let (is_it, hole) = (self.end(link, side).host == host, self.is_hole(link, side));
            if let Some(closed) = self.link_mut(link).half_closed.get_mut(side).filter(|_| is_it) {
                let before = std::mem::replace(closed, true);
                if !before && !hole {
                    let at = self.arrival(link, side);
                    self.at(at, Happening::Ended(link, 1 - side, CloseReason::Closed));
                }
            }
        }
    }

    /// Forgets the connections that are over at both ends, and that nothing is on its way on: a world that lives long
    /// would hold them all.
    pub(super) fn forget_links(&mut self) {
        let busy: BTreeSet<LinkId> = self
            .queue
            .values()
            .flatten()
            .filter_map(Happening::link)
            .collect();
        self.links
            .retain(|id, link| busy.contains(id) || link.ends.iter().any(|end| end.open));
    }

    /// Whether the connection is open at both ends.
    pub fn is_open(&self, link: LinkId) -> bool {
        self.link(link).ends.iter().all(|end| end.open)
    }
}
