//! Who lives in a world, and how a test speaks to them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rand_core::RngCore;
use sansip::security::Credentials;
use sansip::wire::Method;
use sansip::{
    Completion, Config, ConnId, Content, Event, ManagerId, NaptrRecord, OperationError, OperationId,
    PeerCertificate, PeerToPeerConfig, SendOptions, Server, SessionId, SipEndpointConfig, SrvRecord, Stack,
    Time, TlsFailureKind, Transport, UnixTime,
};

use super::kerberos;
use super::net::Listening;
use super::observer::Observer;
use super::{EPOCH, Endpoint, FrontEndId, Host, ServerHost, StackHost, StackId, Trace, World};
use crate::frontend::{FrontEnd, FrontEndConfig, FrontEndEvent, Protocol};

impl World {
    /// A host with a stack of the usual settings.
    pub fn stack(&mut self) -> StackId {
        self.stack_with(Config::default())
    }

    /// A host with a stack.
    pub fn stack_with(&mut self, config: Config) -> StackId {
        let id = StackId(self.stacks.len());
        let stack = self.new_stack(config);
        self.stacks.push(StackHost {
            stack,
            events: Vec::new(),
            application: None,
            user: None,
            observer: Observer::default(),
            is_late: false,
            left: None,
            is_draining: false,
        });
        self.settle_in(Host::Stack(id));
        self.schedule(Host::Stack(id));
        id
    }

    /// What the stacks have recorded since the last call, oldest first.
    pub fn take_recordings(&mut self) -> Vec<Vec<u8>> {
        self.stacks
            .iter_mut()
            .map(|host| host.stack.take_recording())
            .collect()
    }

    pub(super) fn new_stack(&mut self, config: Config) -> Stack {
        let mut seed = [0; 32];
        self.entropy.fill_bytes(&mut seed);
        let unix = UnixTime(EPOCH.0 + self.now.as_micros() / 1_000_000);
        match self.recording {
            Some(limit) => Stack::recorded(config, seed, self.now, unix, limit),
            None => Stack::new(config, seed, self.now, unix),
        }
    }

    /// A host with a front end that listens on ports 5060 (TCP) and 5061 (TLS). Its certificate and the domain name
    /// system name its domains and its host, the latter with NAPTR and SRV records. Where the settings do not say what the
    /// wall clock shows, it shows the time of the world.
    pub fn front_end(&mut self, mut config: FrontEndConfig) -> FrontEndId {
        config.epoch.get_or_insert(EPOCH);
        if config.protocols.contains(&Protocol::Kerberos) {
            let names = &config.associations;
            let service = format!("sip/{}", names.target);
            config.kerberos = Some(Arc::new(self.center.add_service(&service)));
            for user in &config.users {
                self.center
                    .add_account(&user.name, &names.domain, user.password.expose());
            }
        }
        let id = FrontEndId(self.servers.len());
        let host = Host::FrontEnd(id);
        let ip = self.settle_in(host);
        let names: Vec<String> = config.domains.iter().chain(&config.host).cloned().collect();
        for name in &names {
            self.names.set_addresses(name, &[ip]);
        }
        for domain in &config.domains {
            for (service, port) in [("_sip._tcp", 5060), ("_sips._tcp", 5061)] {
                let record = SrvRecord {
                    priority: 0,
                    weight: 0,
                    port,
                    target: domain.clone(),
                };
                self.names.set_services(&format!("{service}.{domain}"), &[record]);
            }
            let pointers = [("SIPS+D2T", "_sips._tcp"), ("SIP+D2T", "_sip._tcp")];
            let pointers = pointers.map(|(services, service)| NaptrRecord {
                order: 0,
                preference: 0,
                flags: "s".to_owned(),
                services: services.to_owned(),
                regexp: String::new(),
                replacement: format!("{service}.{domain}"),
            });
            self.names.set_pointers(domain, &pointers);
        }
        let certificate = PeerCertificate {
            dns_names: names,
            addresses: vec![ip],
            ..PeerCertificate::default()
        };
        self.certificates.insert(host, certificate);
        for (port, transport) in [(5060, Transport::Tcp), (5061, Transport::Tls)] {
            self.listeners.insert(
                SocketAddr::new(ip, port),
                Listening {
                    host,
                    transport,
                    listener: None,
                },
            );
        }
        let front_end = FrontEnd::new(config, self.entropy.next_u64());
        self.servers.push(ServerHost {
            front_end,
            events: Vec::new(),
        });
        id
    }

    /// Two front ends for one domain: each is a host of its own, and the domain's service record and address name both, the
    /// first before the second. With `sharing` each knows of all bindings; requests are not handed from one to the other.
    pub fn front_ends(&mut self, config: &FrontEndConfig, sharing: bool) -> [FrontEndId; 2] {
        let ids = [self.front_end(config.clone()), self.front_end(config.clone())];
        for domain in &config.domains {
            let names = [1, 2].map(|number| format!("s{number}.{domain}"));
            for (name, id) in names.iter().zip(ids) {
                let ip = self.ip(id);
                self.names.set_addresses(name, &[ip]);
            }
            self.names.set_addresses(domain, &ids.map(|id| self.ip(id)));
            for (service, port) in [("_sip._tcp", 5060), ("_sips._tcp", 5061)] {
                let records = [0, 1].map(|at: usize| SrvRecord {
                    priority: u16::try_from(at).unwrap_or(u16::MAX),
                    weight: 0,
                    port,
                    target: names.get(at).cloned().unwrap_or_default(),
                });
                self.names.set_services(&format!("{service}.{domain}"), &records);
            }
        }
        if sharing {
            self.sharing.extend(ids);
        }
        ids
    }

    pub(super) fn settle_in(&mut self, host: Host) -> IpAddr {
        let (kind, number) = match host {
            Host::Stack(id) => (1, id.0),
            Host::FrontEnd(id) => (2, id.0),
            Host::Peer(id) => (3, id.0),
        };
        let [.., high, low] = (number + 1).to_be_bytes();
        let ip = IpAddr::V4(Ipv4Addr::new(10, kind, high, low));
        self.hosts.insert(host, ip);
        self.by_ip.insert(ip, host);
        ip
    }

    /// The address of a host.
    pub fn ip(&self, host: impl Into<Host>) -> IpAddr {
        self.hosts
            .get(&host.into())
            .copied()
            .expect("a host of this world")
    }

    /// Where a front end listens.
    pub fn address(&self, server: FrontEndId, transport: Transport) -> SocketAddr {
        SocketAddr::new(self.ip(server), transport.default_port())
    }

    /// The certificate that a host shows, in place of the one it had. Who shows one is believed to have it from a
    /// trusted root; what it says is for the other side to judge.
    pub fn set_certificate(&mut self, host: impl Into<Host>, certificate: PeerCertificate) {
        self.certificates.insert(host.into(), certificate);
    }

    /// From now on nobody gets through a handshake with this host: its certificate has this fault; or it is good
    /// again, with `None`.
    pub fn set_certificate_fault(&mut self, host: impl Into<Host>, fault: Option<TlsFailureKind>) {
        let host = host.into();
        match fault {
            Some(kind) => self.certificate_faults.insert(host, kind),
            None => self.certificate_faults.remove(&host),
        };
    }

    // --- looking and commanding

    /// The time.
    pub const fn now(&self) -> Time {
        self.now
    }

    /// What a stack's application does with each event as soon as it has taken it: the place to answer a request or
    /// accept a call.
    pub fn on_event(&mut self, host: StackId, application: impl FnMut(&mut Stack, Time, &Event) + 'static) {
        self.host_mut(host).application = Some(Box::new(application));
    }

    /// Bytes have come on a connection of a stack, and its application commands something before it has taken any event
    /// of theirs.
    pub fn with_bytes<T>(
        &mut self,
        host: StackId,
        (conn, bytes): (ConnId, &[u8]),
        command: impl FnOnce(&mut Stack, Time) -> T,
    ) -> T {
        let now = self.now;
        self.host_mut(host).receive(now, conn, bytes);
        self.with(host, command)
    }

    /// Commands a stack, or looks at it; then everything that it wants is done.
    pub fn with<T>(&mut self, host: StackId, command: impl FnOnce(&mut Stack, Time) -> T) -> T {
        let now = self.now;
        let result = command(&mut self.host_mut(host).stack, now);
        self.drain(Host::Stack(host));
        result
    }

    /// Commands a front end; then everything that it wants is done.
    pub fn with_server<T>(
        &mut self,
        server: FrontEndId,
        command: impl FnOnce(&mut FrontEnd, Time) -> T,
    ) -> T {
        let now = self.now;
        let result = command(&mut self.server_mut(server).front_end, now);
        self.drain(Host::FrontEnd(server));
        result
    }

    /// A front end, for looking at.
    pub fn server(&self, server: FrontEndId) -> &FrontEnd {
        &self
            .servers
            .get(server.0)
            .expect("a front end of this world")
            .front_end
    }

    /// All events of a stack so far, with their times.
    pub fn events(&self, host: StackId) -> &[(Time, Event)] {
        &self.stacks.get(host.0).expect("a stack of this world").events
    }

    /// The events of a stack since this was last asked; they are forgotten.
    pub fn take_events(&mut self, host: StackId) -> Vec<(Time, Event)> {
        std::mem::take(&mut self.host_mut(host).events)
    }

    /// What a front end has told since this was last asked; it is forgotten.
    pub fn take_server_events(&mut self, server: FrontEndId) -> Vec<(Time, FrontEndEvent)> {
        std::mem::take(&mut self.server_mut(server).events)
    }

    /// What a front end has told so far, with the times.
    pub fn server_events(&self, server: FrontEndId) -> &[(Time, FrontEndEvent)] {
        &self
            .servers
            .get(server.0)
            .expect("a front end of this world")
            .events
    }

    /// All that happened so far.
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The settings of a SipEndpoint for an account of a front end: its address, the server by the domain name, and
    /// the password.
    pub fn account(&self, server: FrontEndId, user: &str) -> SipEndpointConfig {
        let served = self.server(server).config();
        let domain = served.domains.first().map_or("", String::as_str);
        let mut config = SipEndpointConfig::new(format!("sip:{user}@{domain}"));
        config.server = Some(Server {
            host: domain.to_owned(),
            port: Some(5060),
        });
        config.transport = Transport::Tcp;
        if let Some(known) = served.users.iter().find(|known| known.name == user) {
            let credentials = |protocol: &Protocol| {
                let plain = Credentials::new(user, known.password.clone());
                let ntlm = &served.associations;
                match protocol {
                    Protocol::Digest => plain.with_realm(served.realm.as_str()),
                    Protocol::Ntlm | Protocol::Kerberos => plain
                        .with_domain(ntlm.domain.as_str())
                        .with_realm(ntlm.realm.as_str()),
                }
            };
            config.credentials = served.protocols.iter().map(credentials).collect();
        }
        config
    }

    /// A SipEndpoint at a host.
    ///
    /// # Panics
    /// The stack says that it is misuse.
    #[track_caller]
    pub fn sip_endpoint(&mut self, host: StackId, config: SipEndpointConfig) -> Endpoint {
        let id = self
            .with(host, |stack, now| stack.add_sip_endpoint(now, config))
            .expect("a SipEndpoint");
        Endpoint { host, id }
    }

    /// This user of a front end's accounts logs on at a host, or nobody: who has the ticket cache there.
    pub fn log_on(&mut self, host: StackId, user: Option<(FrontEndId, &str)>) {
        let principal = user.map(|(server, user)| {
            let domain = &self.server(server).config().associations.domain;
            kerberos::principal(user, Some(domain))
        });
        self.host_mut(host).user = principal;
    }

    /// A SipPeerToPeerEndpoint at a host.
    ///
    /// # Panics
    /// The stack says that it is misuse.
    #[track_caller]
    pub fn peer_to_peer_endpoint(&mut self, host: StackId, config: PeerToPeerConfig) -> Endpoint {
        let id = self
            .with(host, |stack, now| stack.add_peer_to_peer_endpoint(now, config))
            .expect("a peer-to-peer endpoint");
        Endpoint { host, id }
    }

    /// The default server manager of a host listens on a port of its address; 0 lets the system choose. The address
    /// is the one in use.
    ///
    /// # Panics
    /// It cannot listen.
    #[track_caller]
    pub fn listen(&mut self, host: StackId, port: u16) -> SocketAddr {
        let manager = self.with(host, |stack, _| stack.server_tcp_manager());
        self.listen_with(host, manager, port)
    }

    /// The same for another manager.
    ///
    /// # Panics
    /// It cannot listen.
    #[track_caller]
    pub fn listen_with(&mut self, host: StackId, manager: ManagerId, port: u16) -> SocketAddr {
        let address = SocketAddr::new(self.ip(host), port);
        let asked = self
            .with(host, |stack, now| stack.manager(now, manager)?.listen(address))
            .expect("listening");
        self.run_until(|world| {
            world.events(host).iter().any(|(_, event)| {
                matches!(event, Event::Listening { listener, .. } | Event::ListeningEnded { listener, .. }
                    if *listener == asked)
            })
        });
        let found = self.events(host).iter().find_map(|(_, event)| {
            if let Event::Listening { listener, address } = event
                && *listener == asked
            {
                return Some(*address);
            }
            None
        });
        found.expect("the stack listens")
    }

    /// Registers.
    ///
    /// # Panics
    /// The stack says that it is misuse.
    #[track_caller]
    pub fn register(&mut self, endpoint: Endpoint) -> OperationId {
        self.with(endpoint.host, |stack, now| {
            stack.endpoint(now, endpoint.id)?.register()
        })
        .expect("register")
    }

    /// Unregisters.
    ///
    /// # Panics
    /// The stack says that it is misuse.
    #[track_caller]
    pub fn unregister(&mut self, endpoint: Endpoint) -> OperationId {
        self.with(endpoint.host, |stack, now| {
            stack.endpoint(now, endpoint.id)?.unregister()
        })
        .expect("unregister")
    }

    /// Sends a MESSAGE with text outside sessions.
    ///
    /// # Panics
    /// The stack says that it is misuse.
    #[track_caller]
    pub fn message(&mut self, endpoint: Endpoint, target: &str, text: &str) -> OperationId {
        let content = Some(Content::text(text));
        self.with(endpoint.host, |stack, now| {
            stack.endpoint(now, endpoint.id)?.send_message(
                target,
                Method::Message,
                content,
                SendOptions::default(),
            )
        })
        .expect("send_message")
    }

    /// Calls somebody.
    ///
    /// # Panics
    /// The stack says that it is misuse.
    #[track_caller]
    pub fn invite(
        &mut self,
        endpoint: Endpoint,
        target: &str,
        offer: Option<Content>,
    ) -> (SessionId, OperationId) {
        self.with(endpoint.host, |stack, now| {
            stack
                .endpoint(now, endpoint.id)?
                .invite(target, offer, SendOptions::default())
        })
        .expect("invite")
    }

    /// Ends an endpoint.
    pub fn terminate(&mut self, endpoint: Endpoint) -> OperationId {
        self.with(endpoint.host, |stack, now| stack.terminate(now, endpoint.id))
    }

    /// How an operation has ended, if it has.
    pub fn ended(
        &self,
        host: StackId,
        operation: OperationId,
    ) -> Option<&Result<Completion, OperationError>> {
        self.events(host).iter().find_map(|(_, event)| {
            if let Event::Completed {
                operation: ended,
                result,
            } = event
                && *ended == operation
            {
                return Some(result);
            }
            None
        })
    }

    /// Runs the world until an operation has ended, and says how.
    ///
    /// # Errors
    /// Those of the operation.
    ///
    /// # Panics
    /// It has not ended after ten minutes.
    #[track_caller]
    pub fn result(&mut self, host: StackId, operation: OperationId) -> Result<Completion, OperationError> {
        self.run_until(|world| world.ended(host, operation).is_some());
        self.ended(host, operation).cloned().expect("just seen")
    }
}
