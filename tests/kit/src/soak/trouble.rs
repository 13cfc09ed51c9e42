//! What the network, the machines and the mischief-maker do to those who live.

use std::net::SocketAddr;
use std::time::Duration;

use sansip::security::KerberosFailureKind;
use sansip::wire::Method;
use sansip::{
    CloseReason, Established, ListenError, LostAddresses, ResolveError, SendOptions, TlsFailureKind,
};

use super::cast::{CAST, Desk, HOSTS};
use super::life::{LONGEST, Life, latest, one};
use super::step::{CROWD, Step, What};
use crate::frontend::{Manner, Signing};
use crate::fuzz::script::Script;
use crate::oracle::{Contract, Talked};
use crate::world::{Fault, Host, LineId, Reachability};

const TLS_FAILURES: [TlsFailureKind; 9] = [
    TlsFailureKind::LocalCertificateNotFound,
    TlsFailureKind::UntrustedRemoteCertificate,
    TlsFailureKind::CertificateExpired,
    TlsFailureKind::IncorrectNameInRemoteCertificate,
    TlsFailureKind::RemoteCertificateRevoked,
    TlsFailureKind::RemoteCertificateInvalidUsage,
    TlsFailureKind::RemoteDisconnected,
    TlsFailureKind::NegotiationFailure,
    TlsFailureKind::Other,
];

const NAMES: [&str; 6] = [
    "example.com",
    "carol.invalid",
    "dave.invalid",
    "mallory.invalid",
    "_sips._tcp.example.com",
    "_sip._tcp.dave.invalid",
];

impl Life<'_> {
    pub(super) fn harm_a_link(&mut self, step: Step) {
        let [first, second, third] = step.arguments;
        let Some(place) = self.place(first) else { return };
        let Some(link) = latest(&self.world.links_of(place.id), second) else {
            return;
        };
        let side = usize::from(third & 1);
        let sides = self.world.hosts_of(link);
        let host = sides.get(side).copied().unwrap_or_else(|| place.id.into());
        match step.what {
            What::Reset => self.world.reset(link),
            What::HalfOpen => self.world.half_open(link, host),
            // A stack has no such way to close.
            What::HalfClose => match sides.iter().find(|side| !matches!(side, Host::Stack(_))) {
                Some(other) => self.world.half_close(link, *other),
                None => self.world.half_close(link, host),
            },
            What::BlackHole => self.world.black_hole(link),
            What::OneWay => self.world.black_hole_from(link, host),
            What::Stall => self
                .world
                .stall(link, Duration::from_secs(1 + u64::from(third) / 4)),
            _ => self.world.set_slow(link, host, third & 2 == 0),
        }
    }

    /// Addresses that somebody connects to.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        let hosts = [
            Some(Host::from(self.server(0))),
            self.place(3).map(|place| place.id.into()),
            self.place(4).map(|place| place.id.into()),
            Some(Host::from(self.mallory)),
            self.servers.get(1).map(|server| Host::from(*server)),
        ];
        let ips = hosts.into_iter().flatten().map(|host| self.world.ip(host));
        ips.flat_map(|ip| [5060, 5061].map(|port| SocketAddr::new(ip, port)))
            .collect()
    }

    pub(super) fn certified(&self) -> Vec<Host> {
        let places = [3, 4, 1].into_iter().filter_map(|at| self.place(at));
        let places = places.map(|place| place.id.into());
        let servers = self.servers.iter().map(|server| Host::from(*server));
        servers.chain([Host::from(self.mallory)]).chain(places).collect()
    }

    pub(super) fn harm_all(&mut self, step: Step) {
        let [first, second, _] = step.arguments;
        match step.what {
            What::Reachability => {
                let ways = [
                    Reachability::Refused,
                    Reachability::Unreachable,
                    Reachability::BlackHole,
                    Reachability::TimedOut,
                ];
                if let (Some(address), Some(way)) = (one(&self.addresses(), first), one(&ways, second)) {
                    self.world.set_reachability(address, way);
                }
            }
            What::Dns => {
                let Some(name) = one(&NAMES, first) else { return };
                let errors = [
                    Some(ResolveError::NoSuchName),
                    Some(ResolveError::Timeout),
                    Some(ResolveError::ServerFailure),
                    Some(ResolveError::NoResolver),
                    None,
                ];
                if second % 8 == 7 {
                    self.world.names.twice = true;
                    return;
                }
                match one(&errors, second).flatten() {
                    Some(error) => self.world.names.fail(name, error),
                    None => self.world.names.silence(name),
                };
            }
            _ => {
                let Some(host) = one(&self.certified(), first) else {
                    return;
                };
                let way = usize::from(second) % (TLS_FAILURES.len() + 1);
                match TLS_FAILURES.get(way) {
                    Some(kind) => self.world.set_certificate_fault(host, Some(*kind)),
                    None => self.world.set_wrong_certificate(host, true),
                }
            }
        }
    }

    /// What a server says to those who want to register. One that stands alone can send them to itself only.
    pub(super) fn instruct(&mut self, first: u8, second: u8, third: u8) {
        let (server, other) = (self.server(first), self.server(first.wrapping_add(1)));
        let ip = self.world.ip(other);
        let seconds = u32::from(third);
        let manner = match second % 5 {
            0 => Manner::Usual,
            1 => Manner::Redirect(vec![format!("<sip:{ip};transport=tcp>")]),
            2 => Manner::TooBrief(Duration::from_secs(3600 + u64::from(third))),
            3 => Manner::Unavailable(None),
            _ => Manner::Unavailable(Some(seconds)),
        };
        self.world
            .with_server(server, |server, _| server.set_manner(manner));
    }

    /// How the center of Kerberos fares.
    pub(super) fn trouble_center(&mut self, [what, late, long]: [u8; 3]) {
        let failures = [
            None,
            Some(KerberosFailureKind::Unreachable),
            Some(KerberosFailureKind::NoTicket),
            Some(KerberosFailureKind::UnknownService),
            Some(KerberosFailureKind::SkewedClock),
            Some(KerberosFailureKind::WrongCredentials),
            Some(KerberosFailureKind::Unsupported),
            Some(KerberosFailureKind::Other),
        ];
        let center = &mut self.world.center;
        center.failure = one(&failures, what).flatten();
        center.delay = one(&[0, 500, 5000, 40_000].map(Duration::from_millis), late).unwrap_or_default();
        center.lifetime = one(&[36_000, 3600, 400, 90, 1].map(Duration::from_secs), long).unwrap_or_default();
    }

    /// What a server does to the security associations of its endpoints.
    pub(super) fn harm_associations(&mut self, step: Step) {
        let [first, second, third] = step.arguments;
        let whose = if step.what == What::Dissociate {
            third
        } else {
            first
        };
        let Some((actor, _)) = self.endpoint(usize::from(whose) % CAST.len()) else {
            return;
        };
        let (uri, epid) = (actor.role.uri(), actor.role.epid(actor.generation));
        let choice = match step.what {
            What::Dissociate | What::Sign => first,
            What::Replay => second,
            _ => third,
        };
        let server = self.server(choice);
        let (struck, fault) = self.world.with_server(server, |front, _| match step.what {
            What::Dissociate if second & 1 == 0 => (front.lose_associations(), Some(Fault::AssociationsLost)),
            What::Dissociate => (
                front.expire_associations(&uri, Some(&epid)),
                Some(Fault::AssociationOver),
            ),
            What::Doubt => (
                front.challenge_again(&uri, Some(&epid), 1 + u32::from(second) % 3),
                Some(Fault::Doubted),
            ),
            // The server says itself what it sends twice, or with a bad signature.
            What::Replay => (front.replay(&uri, Some(&epid)), None),
            _ => {
                let ways = [Signing::Right, Signing::Wrong, Signing::Missing];
                front.set_signing(one(&ways, second).unwrap_or_default());
                (0, None)
            }
        });
        if struck == 0 {
            return;
        }
        let hosts: Vec<_> = if fault == Some(Fault::AssociationsLost) {
            let has_server = |at: &usize| CAST.iter().any(|role| role.host == *at && role.has_server());
            (0..HOSTS).filter(has_server).collect()
        } else {
            vec![actor.role.host]
        };
        for at in hosts {
            if let (Some(place), Some(fault)) = (self.places.get(at), fault) {
                self.world.strike(place.id, fault);
            }
        }
    }

    pub(super) fn mend(&mut self) {
        for server in self.servers.clone() {
            self.world.with_server(server, |server, _| {
                server.set_manner(Manner::Usual);
                server.set_signing(Signing::Right);
            });
        }
        for address in self.addresses() {
            self.world.set_reachability(address, Reachability::Open);
        }
        for name in NAMES {
            self.world.names.mend(name);
        }
        self.world.names.twice = false;
        self.trouble_center([0; 3]);
        for host in self.certified() {
            self.world.set_certificate_fault(host, None);
            self.world.set_wrong_certificate(host, false);
        }
        for place in 0..HOSTS {
            self.authorize(u8::try_from(place).unwrap_or_default(), 0, 0);
            let Some(id) = self.places.get(place).map(|place| place.id) else {
                continue;
            };
            for link in self.world.links_of(id) {
                for host in self.world.hosts_of(link) {
                    self.world.set_slow(link, host, false);
                }
            }
        }
    }

    /// A host's process dies; its application starts again, and knows nothing.
    pub(super) fn replace(&mut self, at: usize) {
        self.collect();
        let Some(id) = self.places.get(at).map(|place| place.id) else {
            return;
        };
        self.world.replace_stack(id, self.setup.stack());
        self.collect();
        if let Some(place) = self.places.get_mut(at) {
            *place.desk.borrow_mut() = Desk::default();
            (place.contract, place.talked, place.seen) = (Contract::patient(LONGEST), Talked::default(), 0);
            place.listening.clear();
            place.gone.clear();
        }
        self.outages.retain(|(_, out)| out.host != at);
        self.messages.retain(|message| message.host != at);
        self.furnish(at);
        for number in 0..self.actors.len() {
            let Some(actor) = self
                .actors
                .get(number)
                .copied()
                .filter(|actor| actor.role.host == at)
            else {
                continue;
            };
            let next = self.enter(actor.role, actor.generation);
            if let Some(actor) = self.actors.get_mut(number) {
                *actor = next;
            }
        }
    }

    pub(super) fn mischief(&mut self, step: Step) {
        let [first, second, third] = step.arguments;
        let said = match step.what {
            What::Dial => {
                let addresses = self.addresses();
                // To the peers' ports; over TLS to the second of each.
                let Some(address) = addresses.get(2 + usize::from(first) % 4).copied() else {
                    return;
                };
                let name = (address.port() == 5061).then_some(if first % 4 == 1 {
                    "carol.invalid"
                } else {
                    "dave.invalid"
                });
                self.world.dial(self.mallory, address, name);
                return;
            }
            What::Ask => {
                let open = self.world.lines(self.mallory);
                let Some(line) = latest(&open, first) else { return };
                let at = self.lines.iter().position(|known| *known == line);
                let uris = self.uris_at(line);
                let mut script = Script::new(&step.arguments);
                let _ = script.number();
                at.map(|at| self.talk.request(at, &uris, &mut script))
            }
            What::Dismiss => self.talk.dismiss(&mut Script::new(&step.arguments)),
            What::Report => self.talk.report(&mut Script::new(&step.arguments)),
            What::Notify => self.talk.notify(&mut Script::new(&step.arguments)),
            What::Reply => self.talk.respond(&mut Script::new(&step.arguments)),
            What::Garble => self.talk.garble(&mut Script::new(&[0, first, second, third])),
            _ => return self.misbehave(first, second, third),
        };
        self.say(said);
    }

    /// Where the endpoints are that the other end of a connection has.
    pub(super) fn uris_at(&mut self, line: LineId) -> Vec<String> {
        let far = self.world.other_end(line);
        let mut uris = Vec::new();
        for actor in self.actors.clone() {
            let Some(place) = self.places.get(actor.role.host) else {
                continue;
            };
            if far != Host::from(place.id) {
                continue;
            }
            let known = self.world.with(place.id, |stack, now| {
                let view = stack.endpoint(now, actor.endpoint).ok()?;
                view.endpoint_uri()
            });
            uris.extend(known);
            uris.push(actor.role.uri());
        }
        uris
    }

    pub(super) fn misbehave(&mut self, first: u8, second: u8, third: u8) {
        let open = self.world.lines(self.mallory);
        let Some(line) = latest(&open, first) else { return };
        let begun = b"OPTIONS sip:carol@carol.invalid SIP/2.0\r\nVia: ";
        match second % 5 {
            0 => self.world.hang_up(line),
            1 => self.world.break_off(line),
            2 => self.world.say_bytes(line, b"\r\n\r\n"),
            3 => self.world.say_bytes(line, b"GET / HTTP/1.1\r\n\r\n"),
            _ => self
                .world
                .say_bytes(line, begun.get(..usize::from(third) % 40).unwrap_or_default()),
        }
    }

    /// An adapter that says things twice, or late: it makes no difference (X5).
    pub(super) fn echo(&mut self, first: u8, second: u8, third: u8) {
        let Some(place) = self.place(first) else { return };
        let (id, listeners) = (place.id, place.contract.listeners().collect::<Vec<_>>());
        let conn = latest(&self.world.conns_of(id), third);
        let ip = self.world.ip(id);
        let (is_there, was_up) = conn.map_or((false, false), |conn| {
            (self.world.has_conn(id, conn), self.world.was_up(id, conn))
        });
        let listener = latest(&listeners, third);
        self.world.strike(id, Fault::Repeated);
        self.world
            .with(id, |stack, now| match (second % 4, conn, listener) {
                (0, Some(conn), _) if !is_there => stack.handle_closed(now, conn, CloseReason::Reset),
                (0 | 1, Some(conn), _) => {
                    let established = Established {
                        local: SocketAddr::new(ip, 1),
                        remote: SocketAddr::new(ip, 2),
                        peer: None,
                    };
                    // Of one that is being made it would be a lie.
                    if was_up {
                        stack.handle_connected(now, conn, established);
                    }
                }
                (2, _, Some(listener)) => {
                    stack.handle_listening(now, listener, Ok(SocketAddr::new(ip, 5060)))
                }
                (3, _, Some(listener)) => {
                    stack.handle_listening(now, listener, Err(ListenError::AddressInUse));
                }
                _ => {}
            });
    }

    /// A host is in another network: it has lost all its addresses, its own, or none.
    pub(super) fn change_network(&mut self, first: u8, second: u8) {
        let Some(id) = self.place(first).map(|place| place.id) else {
            return;
        };
        let lost = match second % 3 {
            0 => LostAddresses::All,
            1 => LostAddresses::These(vec![self.world.ip(id)]),
            _ => LostAddresses::These(Vec::new()),
        };
        self.world
            .with(id, |stack, now| stack.network_changed(now, &lost));
    }

    /// Something for several hundred addresses of one name, who all wait for one answer of the domain name system.
    pub(super) fn crowd(&mut self) {
        let Some((actor, endpoint)) = self.endpoint(4) else {
            return;
        };
        for port in 0..CROWD {
            let target = format!("sip:m@mallory.invalid:{};transport=tcp", 7000 + port);
            let result = self.world.with(endpoint.host, |stack, now| {
                stack.endpoint(now, endpoint.id)?.send_message(
                    &target,
                    Method::Options,
                    None,
                    SendOptions::default(),
                )
            });
            if let Ok(operation) = result {
                self.began(actor.role.host, operation, None);
            }
        }
    }
}
