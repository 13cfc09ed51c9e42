//! Real-time endpoints (UCMA): what they are and who they are, and page-mode messages. Beside this file: dispatch
//! ([`directory`]), the way out ([`route`]), REGISTER ([`register`]), the care for the connection to the server ([`upkeep`]),
//! the server's NOTIFY that ends a registration ([`deregister`]), what an endpoint says of itself ([`profile`]), and the end
//! ([`end`]).
//!
//! Both kinds are one [`Endpoint`]: what they share is written once (E6); what differs is in [`Kind`].

mod config;
mod deregister;
mod directory;
mod end;
mod identity;
mod profile;
pub(crate) mod reach;
mod register;
mod route;
mod upkeep;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::action::Transport;
use crate::auth::Login;
use crate::connection::{Connections, Hop, Lease, ManagerKind};
use crate::cx::Cx;
use crate::error::Misuse;
use crate::event::{Completion, PeerToPeerState, RegistrationState};
use crate::exchange::{
    ContactTemplate, Draft, Exchanges, Lower, NextHop, Owner, Policy, Request, Sequence, Voice, What, to_of,
};
use crate::ids::{
    ConnId, EndpointId, ExchangeId, ManagerId, OperationId, PublicationId, SequenceId, SessionId,
    SubscriptionId, WatcherId,
};
use crate::map::{HashKey, Map};
use crate::registration::{self, Registration};
use crate::session::{Below, Cargo, Local};
use crate::time::Time;
use crate::wire::uri::Uri;
use crate::wire::write::{HeaderBlock, Parties};
use crate::wire::{Message, Method, write};

pub use config::{
    PeerToPeerConfig, Profile, Proxy, ReliableResponses, RouteRecovery, SendOptions, Server,
    SipEndpointConfig,
};
pub(crate) use deregister::{Notice, REGISTRATION_EVENT};
use directory::Directory;
use identity::Identity;
pub(crate) use profile::{OPTION_TAGS, accepted_methods, allow, option_tags, session_methods};
use profile::{check_profile, voice};
use reach::Reach;
pub(crate) use route::Way;
use upkeep::Upkeep;

/// One endpoint.
#[derive(Clone, Debug)]
struct Endpoint {
    identity: Identity,
    profile: Box<Profile>,
    voice: Voice,
    manager: ManagerId,
    kind: Kind,
    sessions: BTreeSet<SessionId>,
    /// What it has of event states besides.
    lives: BTreeSet<Life>,
    outgoing: BTreeMap<OperationId, Outgoing>,
    /// The terminate commands that wait for the end (E13); the endpoint is ending where there is one.
    terminating: Vec<OperationId>,
}

#[derive(Clone, Debug)]
enum Kind {
    Sip(Box<Sip>),
    PeerToPeer(Box<PeerToPeer>),
}

/// What only a SipEndpoint has.
#[derive(Clone, Debug)]
struct Sip {
    registration: Registration,
    /// The REGISTER under way.
    exchange: Option<ExchangeId>,
    /// Where it registers: at first as it was told, then where that server has sent it (R9).
    server: Hop,
    /// The server that it was told, where that is another one.
    home: Option<Box<Hop>>,
    /// The cached connection to the server (C6).
    flow: Option<Lease>,
    /// The connection dropped while refresh was disabled: nothing is sent until it registers again (R5).
    dropped: bool,
    call_id: Box<str>,
    tag: Box<str>,
    sequence: SequenceId,
    expires: u32,
    redirects: u8,
    gruu: Option<Box<str>>,
    service_route: Vec<Box<str>>,
    path: Vec<Box<str>>,
    /// How the connection to the server is kept alive, and found dead.
    upkeep: Upkeep,
    /// The address of the server that registered it last.
    registered_at: Option<SocketAddr>,
    /// The dialogs of the endpoint wait for its registration to be refreshed (S17).
    reroutes: bool,
}

/// What only a peer-to-peer endpoint has.
#[derive(Clone, Debug)]
struct PeerToPeer {
    proxy: Option<Hop>,
    default_transport: Transport,
    gruu: Option<Box<str>>,
    reach: Reach,
}

/// What an endpoint has of event states, its own and those of others: it ends with the endpoint (E7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Life {
    Subscription(SubscriptionId),
    Watcher(WatcherId),
    Publication(PublicationId),
}

/// A request outside a session, under way.
#[derive(Clone, Debug)]
struct Outgoing {
    target: Box<str>,
    next_hop: Option<NextHop>,
}

/// A request outside sessions to send.
#[derive(Debug)]
pub(crate) struct PageMessage<'a> {
    pub(crate) target: &'a str,
    pub(crate) method: Method,
    pub(crate) cargo: Cargo,
    pub(crate) next_hop: Option<NextHop>,
    /// It does no harm where it arrives twice (C35).
    pub(crate) repeatable: bool,
}

/// All endpoints of a stack.
#[derive(Clone, Debug)]
pub(crate) struct Endpoints {
    table: Map<EndpointId, Endpoint>,
    directory: Directory,
    by_flow: BTreeSet<(ConnId, EndpointId)>,
    by_manager: BTreeSet<(ManagerId, EndpointId)>,
    ending: BTreeSet<EndpointId>,
    /// The ending ones of which something has ended since it was last asked whether they wait for more.
    changed: Vec<EndpointId>,
    /// Those that their server had lost, until their sessions have been told (R14).
    forgotten: Vec<EndpointId>,
    /// Those that are registered at another server than before, until their subscriptions have been told (B7).
    moved: Vec<EndpointId>,
    rerouted: Vec<EndpointId>,
    default: Option<EndpointId>,
}

impl Endpoints {
    pub(crate) fn new(key: HashKey) -> Self {
        Self {
            table: Map::new(key),
            directory: Directory::new(key),
            by_flow: BTreeSet::new(),
            by_manager: BTreeSet::new(),
            ending: BTreeSet::new(),
            changed: Vec::new(),
            forgotten: Vec::new(),
            moved: Vec::new(),
            rerouted: Vec::new(),
            default: None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn contains(&self, id: EndpointId) -> bool {
        self.table.contains_key(&id)
    }

    /// All endpoints, oldest first.
    pub(crate) fn all(&self) -> Vec<EndpointId> {
        let mut all: Vec<EndpointId> = self.by_manager.iter().map(|(_, id)| *id).collect();
        all.sort_unstable();
        all
    }

    pub(crate) fn set_default(&mut self, id: Option<EndpointId>) {
        self.default = id;
    }

    pub(crate) fn add_sip(
        &mut self,
        cx: &mut Cx<'_>,
        low: &mut Lower<'_>,
        exchanges: &mut Exchanges,
        config: SipEndpointConfig,
        default_manager: ManagerId,
    ) -> Result<EndpointId, Misuse> {
        if config.redirects > 5 {
            return Err(Misuse::argument("redirects", "0 to 5"));
        }
        if config.association.least().is_none() {
            return Err(Misuse::argument("association.least_version", "2 to 4"));
        }
        let manager = config.manager.unwrap_or(default_manager);
        let identity = Identity::new(
            cx.entropy,
            &config.uri,
            config.epid.as_deref(),
            config.instance.as_deref(),
        )?;
        self.check(cx, low.connections, &identity, manager, &config.profile)?;
        let (host, port) = match config.server {
            Some(server) => (server.host, server.port),
            None => (identity.domain.to_string(), None),
        };
        let server = Hop::new(&host, port, config.transport);
        let id: EndpointId = cx.ids.next();
        let expires = config.expires.unwrap_or(cx.config.register_expires).as_secs();
        let login = Login {
            credentials: config.credentials,
            default_credential: config.default_credential,
            allowed: config.protocols,
            policy: config.association,
            epid: identity.epid.clone(),
        };
        low.auth.insert(id, login);
        let kind = Kind::Sip(Box::new(Sip {
            registration: Registration::new(id, config.auto_refresh),
            exchange: None,
            server,
            home: None,
            flow: None,
            dropped: false,
            call_id: cx.entropy.hex(32).into(),
            tag: cx.entropy.hex(16).into(),
            sequence: exchanges.new_sequence(cx, 1),
            expires: u32::try_from(expires).unwrap_or(u32::MAX).max(1),
            redirects: config.redirects,
            gruu: None,
            service_route: Vec::new(),
            path: Vec::new(),
            upkeep: Upkeep::new(config.probe.unwrap_or(cx.config.probe_interval)),
            registered_at: None,
            reroutes: false,
        }));
        self.insert(cx.config, id, identity, manager, config.profile, kind);
        Ok(id)
    }

    pub(crate) fn add_peer_to_peer(
        &mut self,
        cx: &mut Cx<'_>,
        connections: &Connections,
        config: PeerToPeerConfig,
        default_manager: ManagerId,
    ) -> Result<EndpointId, Misuse> {
        let manager = config.manager.unwrap_or(default_manager);
        if connections.manager_kind(manager) == Some(ManagerKind::Client) {
            return Err(Misuse::Kind(
                "a peer-to-peer endpoint needs a server connection manager (C1)",
            ));
        }
        let identity = Identity::new(cx.entropy, &config.uri, config.epid.as_deref(), None)?;
        if Uri::parse(&config.uri).is_ok_and(|uri| uri.as_sip().is_some_and(|uri| uri.port.is_some())) {
            return Err(Misuse::argument(
                "uri",
                "a peer-to-peer endpoint's URI has no port (P8)",
            ));
        }
        self.check(cx, connections, &identity, manager, &config.profile)?;
        if let Some(gruu) = &config.gruu {
            let uri = Uri::parse(gruu).map_err(|error| Misuse::argument("gruu", error.to_string()))?;
            if uri.as_sip().is_none() {
                return Err(Misuse::argument("gruu", "a sip or sips URI is needed"));
            }
            if self.directory.knows_gruu(gruu) {
                return Err(Misuse::Duplicate("GRUU"));
            }
        }
        let id: EndpointId = cx.ids.next();
        let (listens, starts) = (
            connections.is_listening(manager),
            connections.is_starting(manager),
        );
        let gruu: Option<Box<str>> = config.gruu.map(String::into_boxed_str);
        if let Some(gruu) = &gruu {
            self.directory.insert_gruu(id, gruu);
        }
        let kind = Kind::PeerToPeer(Box::new(PeerToPeer {
            proxy: config
                .outbound_proxy
                .map(|proxy| Hop::new(&proxy.host, proxy.port, proxy.transport)),
            default_transport: config.default_transport,
            gruu,
            reach: Reach::new(id, listens, starts),
        }));
        self.insert(cx.config, id, identity, manager, config.profile, kind);
        Ok(id)
    }

    fn check(
        &self,
        cx: &mut Cx<'_>,
        connections: &Connections,
        identity: &Identity,
        manager: ManagerId,
        profile: &Profile,
    ) -> Result<(), Misuse> {
        if connections.manager_kind(manager).is_none() {
            return Err(Misuse::Unknown("manager"));
        }
        if self.table.len() >= cx.config.limits.endpoints {
            cx.counters.refusals.endpoints += 1;
            return Err(Misuse::Limit("endpoints"));
        }
        if self.directory.knows(identity) {
            return Err(Misuse::Duplicate("URI and endpoint id"));
        }
        check_profile(profile)
    }

    fn insert(
        &mut self,
        config: &crate::Config,
        id: EndpointId,
        identity: Identity,
        manager: ManagerId,
        profile: Profile,
        kind: Kind,
    ) {
        let voice = voice(&profile, config, matches!(kind, Kind::Sip(_)));
        // Where the endpoint before it says the same, as is usual, they share the memory.
        let last = self.by_manager.range(..=(manager, id)).next_back();
        let last = last.and_then(|(_, last)| self.table.get(last));
        let voice = match last {
            Some(last) if last.voice == voice => last.voice.clone(),
            Some(_) | None => voice,
        };
        self.directory
            .insert(id, &identity, matches!(kind, Kind::PeerToPeer(_)));
        self.by_manager.insert((manager, id));
        let endpoint = Endpoint {
            identity,
            profile: Box::new(profile),
            voice,
            manager,
            kind,
            sessions: BTreeSet::new(),
            lives: BTreeSet::new(),
            outgoing: BTreeMap::new(),
            terminating: Vec::new(),
        };
        self.table.insert(id, endpoint);
    }

    // What others need to know of an endpoint.

    /// How the endpoint appears in its requests.
    pub(crate) fn local(&self, id: EndpointId) -> Option<Local> {
        self.table.get(&id).map(|endpoint| endpoint.local(id))
    }

    pub(crate) fn profile(&self, id: EndpointId) -> Option<&Profile> {
        self.table.get(&id).map(|endpoint| &*endpoint.profile)
    }

    /// The registration of a SipEndpoint in canonical form.
    pub(crate) fn registration_fingerprint(
        &self,
        id: EndpointId,
        now: Time,
    ) -> Option<registration::Fingerprint> {
        self.sip(id).map(|sip| sip.registration.fingerprint(now))
    }

    pub(crate) fn registration_state(&self, id: EndpointId) -> Option<RegistrationState> {
        self.sip(id).map(|sip| sip.registration.state())
    }

    pub(crate) fn peer_to_peer_state(&self, id: EndpointId) -> Option<PeerToPeerState> {
        match &self.table.get(&id)?.kind {
            Kind::PeerToPeer(peer) => Some(peer.reach.state()),
            Kind::Sip(_) => None,
        }
    }

    pub(crate) fn identity(&self, id: EndpointId) -> Option<(&str, &str, &str)> {
        let identity = &self.table.get(&id)?.identity;
        Some((&identity.uri, &identity.epid, &identity.instance))
    }

    /// The GRUU; of a SipEndpoint only while it is registered (E4).
    pub(crate) fn gruu(&self, id: EndpointId) -> Option<&str> {
        self.table.get(&id)?.gruu()
    }

    /// The URI of this device: the GRUU where there is one, else the Contact of the listening address.
    pub(crate) fn endpoint_uri(&self, id: EndpointId, connections: &Connections) -> Option<String> {
        let endpoint = self.table.get(&id)?;
        if let Some(gruu) = endpoint.gruu() {
            return Some(gruu.into());
        }
        let (_, address, transport) = connections.listening_addresses(endpoint.manager).next()?;
        let mut uri = String::from("sip:");
        if let Some(user) = &endpoint.identity.user {
            uri.push_str(user);
            uri.push('@');
        }
        uri.push_str(&alloc::format!(
            "{address};transport={transport};ms-opaque={}",
            endpoint.identity.opaque
        ));
        Some(uri)
    }

    /// The route of requests outside sessions (R17), and the path to this endpoint (R12), as the server has told them.
    pub(crate) fn routes(&self, id: EndpointId) -> (&[Box<str>], &[Box<str>]) {
        self.sip(id)
            .map_or((&[], &[]), |sip| (&sip.service_route, &sip.path))
    }

    pub(crate) fn server(&self, id: EndpointId) -> Option<(&str, Option<u16>, Transport)> {
        self.sip(id)
            .map(|sip| (sip.server.host(), sip.server.port(), sip.server.transport()))
    }

    /// The header fields of the stack in the application's answer to a request.
    pub(crate) fn reply_block(&self, id: EndpointId, request: &Message) -> HeaderBlock {
        self.table
            .get(&id)
            .map(|endpoint| endpoint.voice.reply(request.method()))
            .unwrap_or_default()
    }

    /// The endpoint that a request outside dialogs is for (M5). An endpoint takes requests from the connections of its
    /// own manager: nobody reaches it around its server through a port that another manager listens on.
    pub(crate) fn find(
        &self,
        request: &Message,
        manager: ManagerId,
        here: Option<IpAddr>,
        strict: bool,
    ) -> Option<EndpointId> {
        let takes = |id: EndpointId| self.takes(id, manager);
        self.directory.find(request, here, &takes, strict, self.default)
    }

    /// Whether an endpoint takes requests from the connections of this manager.
    fn takes(&self, id: EndpointId, manager: ManagerId) -> bool {
        self.table
            .get(&id)
            .is_some_and(|endpoint| endpoint.manager == manager && endpoint.terminating.is_empty())
    }

    /// Whether the user that a request names is one of ours whose endpoint is ending: no request finds it any more.
    pub(crate) fn has_user(&self, request: &Message) -> bool {
        self.directory.is_leaving(request.request_uri())
    }

    /// Commands other than terminate are for endpoints that are not ending.
    pub(crate) fn may_command(&self, id: EndpointId, operation: &'static str) -> Result<(), Misuse> {
        match self.table.get(&id) {
            None => Err(Misuse::Unknown("endpoint")),
            Some(endpoint) if endpoint.terminating.is_empty() => Ok(()),
            Some(_) => Err(Misuse::State {
                operation,
                state: "terminating",
            }),
        }
    }

    /// A next hop of its own is for the messages of peer-to-peer endpoints (P9).
    pub(crate) fn may_name_next_hop(&self, id: EndpointId) -> Result<(), Misuse> {
        match self.table.get(&id).map(|endpoint| &endpoint.kind) {
            None => Err(Misuse::Unknown("endpoint")),
            Some(Kind::PeerToPeer(_)) => Ok(()),
            Some(Kind::Sip(_)) => Err(Misuse::Kind(
                "the messages of a SipEndpoint all go to its server (P9)",
            )),
        }
    }

    pub(crate) fn add_session(&mut self, id: EndpointId, session: SessionId) {
        if let Some(endpoint) = self.table.get_mut(&id) {
            endpoint.sessions.insert(session);
        }
    }

    pub(crate) fn remove_session(&mut self, id: EndpointId, session: SessionId) {
        if let Some(endpoint) = self.table.get_mut(&id) {
            endpoint.sessions.remove(&session);
        }
        self.changed.push(id);
    }

    pub(crate) fn add_life(&mut self, id: EndpointId, life: Life) {
        if let Some(endpoint) = self.table.get_mut(&id) {
            endpoint.lives.insert(life);
        }
    }

    pub(crate) fn remove_life(&mut self, id: EndpointId, life: Life) {
        if let Some(endpoint) = self.table.get_mut(&id) {
            endpoint.lives.remove(&life);
        }
        self.changed.push(id);
    }

    /// What an endpoint has of event states, in the order of their making.
    pub(crate) fn lives(&self, id: EndpointId) -> Vec<Life> {
        self.table
            .get(&id)
            .map(|endpoint| endpoint.lives.iter().copied().collect())
            .unwrap_or_default()
    }

    /// The endpoints that are registered at another server than before, since the last call (B7).
    pub(crate) fn take_moved(&mut self) -> Vec<EndpointId> {
        core::mem::take(&mut self.moved)
    }

    /// The endpoints whose registration was refreshed for their dialogs since the last call (S17).
    pub(crate) fn take_rerouted(&mut self) -> Vec<EndpointId> {
        core::mem::take(&mut self.rerouted)
    }

    /// The endpoints that their server had lost since the last call (R14).
    pub(crate) fn take_forgotten(&mut self) -> Vec<EndpointId> {
        core::mem::take(&mut self.forgotten)
    }

    pub(crate) fn sessions(&self, id: EndpointId) -> Vec<SessionId> {
        self.table
            .get(&id)
            .map(|endpoint| endpoint.sessions.iter().copied().collect())
            .unwrap_or_default()
    }

    // Page mode.

    /// Sends a request outside sessions (M1).
    pub(crate) fn send_message(
        &mut self,
        cx: &mut Cx<'_>,
        below: &mut Below<'_, '_>,
        id: EndpointId,
        operation: OperationId,
        message: PageMessage<'_>,
    ) {
        let PageMessage {
            target,
            method,
            cargo,
            next_hop,
            repeatable,
        } = message;
        let Some(endpoint) = self.table.get_mut(&id) else {
            return;
        };
        let from = endpoint.from(&cx.entropy.hex(16));
        let describes = method == Method::Options;
        let draft = Draft {
            uri: target.into(),
            route: endpoint.route().to_vec(),
            parties: Parties::new(&from, &to_of(target), &cx.entropy.hex(32)),
            sequence: Sequence::Fixed(1),
            // A MESSAGE carries no Contact (RFC 3428 section 4).
            contact: describes.then(|| endpoint.contact()),
            expires: None,
            block: endpoint.voice.full_request(&method),
            extra: cargo.extra,
            content: cargo.content,
            method,
        };
        let policy = Policy {
            repeatable: describes || repeatable,
            ..endpoint.policy(id)
        };
        let request = Request {
            draft,
            lease: None,
            owner: Owner::Message(id, operation),
            policy,
        };
        below.exchanges.start(cx, below.low, request, below.up);
        endpoint.outgoing.insert(
            operation,
            Outgoing {
                target: target.into(),
                next_hop,
            },
        );
    }

    /// What the exchange of a page-mode request reports.
    pub(crate) fn handle_message_exchange(
        &mut self,
        cx: &mut Cx<'_>,
        id: EndpointId,
        operation: OperationId,
        what: What,
    ) {
        let result = match what {
            What::Outcome(outcome) => outcome.result.map(Completion::Response),
            What::Taken => Ok(Completion::Done),
            What::Provisional(_) | What::Further(_) | What::NeedConnection(_) | What::Redirected(_) => return,
        };
        if let Some(endpoint) = self.table.get_mut(&id) {
            endpoint.outgoing.remove(&operation);
        }
        cx.out.complete(operation, result);
    }

    /// The listening of a manager has changed: the states of its peer-to-peer endpoints follow (P1).
    pub(crate) fn handle_listening(&mut self, cx: &mut Cx<'_>, manager: ManagerId, input: reach::Input) {
        let range = (manager, EndpointId::FIRST)..=(manager, EndpointId::LAST);
        for (_, id) in self.by_manager.range(range) {
            let endpoint = self.table.get_mut(id);
            // One that ends is told nothing more.
            if let Some(endpoint) = endpoint.filter(|endpoint| endpoint.terminating.is_empty())
                && let Kind::PeerToPeer(peer) = &mut endpoint.kind
            {
                peer.reach.step(input, cx);
            }
        }
    }

    fn sip(&self, id: EndpointId) -> Option<&Sip> {
        match &self.table.get(&id)?.kind {
            Kind::Sip(sip) => Some(sip),
            Kind::PeerToPeer(_) => None,
        }
    }

    fn sip_mut(&mut self, id: EndpointId) -> Option<&mut Sip> {
        match &mut self.table.get_mut(&id)?.kind {
            Kind::Sip(sip) => Some(sip),
            Kind::PeerToPeer(_) => None,
        }
    }
}

impl Endpoint {
    fn gruu(&self) -> Option<&str> {
        match &self.kind {
            Kind::Sip(sip) => sip.gruu.as_deref(),
            Kind::PeerToPeer(peer) => peer.gruu.as_deref(),
        }
    }

    fn local(&self, id: EndpointId) -> Local {
        Local {
            endpoint: id,
            address: self.address().into(),
            parameters: alloc::format!(";epid={}", self.identity.epid).into(),
            contact: self.contact(),
            policy: self.policy(id),
            via_proxy: matches!(&self.kind, Kind::PeerToPeer(peer) if peer.proxy.is_some()),
            route: self.route().to_vec(),
            reliable: self.profile.reliable_responses,
            route_recovery: self.profile.route_recovery,
            voice: self.voice.clone(),
            redirects: self.profile.redirects,
            session_timer: self.profile.session_timer,
        }
    }

    /// How requests outside registration may be repeated.
    fn policy(&self, id: EndpointId) -> Policy {
        Policy {
            retry_after: self.profile.retry_after,
            repeatable: false,
            redirects: 0,
            identity: matches!(self.kind, Kind::Sip(_)).then_some(id),
        }
    }

    /// The preloaded route of requests outside dialogs (R17).
    fn route(&self) -> &[Box<str>] {
        match &self.kind {
            Kind::Sip(sip) => &sip.service_route,
            Kind::PeerToPeer(_) => &[],
        }
    }

    /// The value of From with this tag, outside sessions.
    fn from(&self, tag: &str) -> String {
        let mut from = self.address();
        for part in [";tag=", tag, ";epid=", &self.identity.epid] {
            from.push_str(part);
        }
        from
    }

    /// The address of From: display name and URI.
    fn address(&self) -> String {
        // As a rule there is room for tag and epid, too.
        let mut text = String::with_capacity(self.identity.uri.len() + 64);
        if let Some(display) = &self.profile.display_name {
            text.push_str(&write::quoted(display));
            text.push(' ');
        }
        text.push('<');
        text.push_str(&self.identity.uri);
        text.push('>');
        text
    }

    fn contact(&self) -> ContactTemplate {
        ContactTemplate {
            user: self.identity.user.clone(),
            uri_parameters: alloc::format!(";ms-opaque={}", self.identity.opaque).into(),
            parameters: self.feature_parameters().into(),
            gruu: self.gruu().map(Into::into),
        }
    }

    fn feature_parameters(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.profile.feature_parameters {
            text.push(';');
            text.push_str(name);
            if let Some(value) = value {
                text.push('=');
                text.push_str(&write::quoted(value));
            }
        }
        text
    }
}
