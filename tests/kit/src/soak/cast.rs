//! Who lives in a soak, and how their applications behave.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use sansip::security::signing::Version;
use sansip::wire::{MessageLimits, Method, StatusCode};
use sansip::{
    Config, ConnId, Content, EndpointId, Event, ExtraHeaders, IncomingId, ManagerConfig, ManagerId,
    ManagerKind, MutualTls, OperationId, PeerToPeerConfig, RedirectAction, ReferralId, ReliableResponses,
    RouteRecovery, SendOptions, Server, SessionId, SipEndpointConfig, Stack, Time, Transport,
};

use super::step::has_associations;
use crate::frontend::{FrontEndConfig, Protocol};
use crate::world::{FrontEndId, World};

/// The users of the domain, each with a password.
const USERS: [(&str, &str); 3] = [("alice", "secret"), ("bob", "hidden"), ("grace", "quiet")];

/// How a life is set up, from two bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setup {
    /// After each step.
    pub(super) pause: Duration,
    pub(super) forgets_lost_flows: bool,
    pub(super) random_chunks: bool,
    pub(super) laziness: Duration,
    pub(super) jitter: Duration,
    pub(super) small: bool,
    /// The server gives no GRUUs and wants no keep-alive, and the two who are less lucky are on a server manager that
    /// listens.
    pub(super) plain: bool,
    /// There are two servers; where they share their bindings, that is said.
    pub(super) servers: Option<Sharing>,
    /// The clock begins a week before the end of the range of time.
    pub(super) far: bool,
    /// The servers ask for NTLM, in this version.
    pub(super) ntlm: Option<Version>,
    /// Beside NTLM, or in its place, they ask for Kerberos.
    pub(super) kerberos: Option<Alone>,
    /// Beside it they offer Digest.
    digest: bool,
}

/// Whether servers ask for nothing but that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Alone(pub(super) bool);

/// Whether two servers share their bindings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sharing(pub(super) bool);

impl Setup {
    pub(super) fn of(bits: u16) -> Self {
        let bit = |at: u8| bits >> at & 1 == 1;
        let millis = |set: bool, millis: u64| Duration::from_millis(if set { millis } else { 0 });
        Self {
            pause: [0, 15, 60, 300]
                .map(Duration::from_millis)
                .get(usize::from(bits & 3))
                .copied()
                .unwrap_or_default(),
            forgets_lost_flows: bit(2),
            random_chunks: bit(3),
            laziness: millis(bit(4), 20),
            jitter: millis(bit(5), 20),
            small: bit(6),
            plain: bit(7),
            servers: (bit(8) && bit(9)).then_some(Sharing(bit(10))),
            far: bit(11) && bit(12),
            ntlm: has_associations(bits).then_some(match (bit(0), bit(8)) {
                (true, false) => Version::V3,
                (true, true) => Version::V2,
                _ => Version::V4,
            }),
            kerberos: (has_associations(bits) && bit(2)).then_some(Alone(bit(3))),
            digest: bit(9) && !bit(8),
        }
    }

    pub(super) fn front_end(self) -> FrontEndConfig {
        let mut config = FrontEndConfig::new("example.com");
        for (name, password) in USERS {
            config = config.with_user(name, password);
        }
        config.remove_lost_flows = self.forgets_lost_flows;
        config.gruu = !self.plain;
        if self.plain {
            config.keep_alive = None;
        }
        config.presence_state = !self.plain;
        if let Some(version) = self.ntlm {
            let is_there = |protocol: &Protocol| match protocol {
                Protocol::Digest => self.digest,
                Protocol::Ntlm => !matches!(self.kerberos, Some(Alone(true))),
                Protocol::Kerberos => self.kerberos.is_some(),
            };
            let protocols = [Protocol::Digest, Protocol::Ntlm, Protocol::Kerberos];
            config.protocols = protocols.into_iter().filter(is_there).collect();
            config.associations.version = version;
        }
        config
    }

    pub(super) fn stack(self) -> Config {
        let mut config = Config::default();
        if self.small {
            let limits = &mut config.limits;
            (limits.sessions, limits.forks, limits.pending_per_session) = (2, 1, 1);
            (limits.referrals, limits.redirects) = (1, 1);
            (limits.events, limits.dns_cache, limits.attempts) = (4, 1, 3);
            (limits.operations, limits.send_queue, limits.connections) = (6, 4000, 6);
            (limits.unauthorized, limits.learned_hosts) = (600, 1);
            (limits.outstanding, limits.targets) = (2, 3);
            limits.message = MessageLimits {
                header_block: 4000,
                headers: 40,
                body: 200,
            };
        }
        config
    }
}

/// An endpoint that lives, dies and is made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Role {
    pub(super) host: usize,
    pub(super) user: &'static str,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// At the server of the domain, over this transport.
    User(Transport),
    /// The same without refresh and without a named server, which is found by its service record.
    Careless,
    /// At the mischief-maker, who is asked to register it.
    Misled,
    /// Without a server, over this transport.
    Peer(Transport),
}

/// Two users with two devices each, two of which share a stack and one of which speaks TLS; two hosts with two
/// peer-to-peer endpoints each; and a host with the two who are less lucky.
pub(super) const CAST: [Role; 10] = [
    role(0, "alice", Kind::User(Transport::Tcp)),
    role(0, "bob", Kind::User(Transport::Tcp)),
    role(1, "alice", Kind::User(Transport::Tls)),
    role(2, "bob", Kind::User(Transport::Tcp)),
    role(3, "carol", Kind::Peer(Transport::Tcp)),
    role(3, "eve", Kind::Peer(Transport::Tls)),
    role(4, "dave", Kind::Peer(Transport::Tcp)),
    role(4, "fred", Kind::Peer(Transport::Tls)),
    role(5, "erin", Kind::Misled),
    role(5, "grace", Kind::Careless),
];

/// How many hosts there are.
pub(super) const HOSTS: usize = 6;

/// Which of them listen, and their names.
pub(super) const LISTENING: [(usize, &str); 3] =
    [(3, "carol.invalid"), (4, "dave.invalid"), (5, "unlucky.invalid")];

/// What an endpoint at a server calls: the last two lead nowhere.
const USER_TARGETS: [&str; 8] = [
    "sip:alice@example.com",
    "sip:bob@example.com",
    "sip:alice@example.com",
    "sip:bob@example.com",
    "sip:grace@example.com",
    "sip:bob@example.com",
    "sip:nobody@example.com",
    "sip:carol@carol.invalid",
];

/// What a peer calls. The mischief-maker is there more than once; a number has no address.
const PEER_TARGETS: [&str; 12] = [
    "sip:carol@carol.invalid;transport=tcp",
    "sip:dave@dave.invalid;transport=tcp",
    "sip:eve@carol.invalid;transport=tls",
    "sip:fred@dave.invalid;transport=tls",
    "sip:m@mallory.invalid;transport=tcp",
    "sip:m@mallory.invalid;transport=tls",
    "sip:dave@dave.invalid",
    "sips:fred@dave.invalid",
    "sip:m@mallory.invalid;transport=tcp",
    "sip:m@nowhere.invalid;transport=tcp",
    "tel:+15551234",
    "sip:m@mallory.invalid:5070;transport=tcp",
];

const fn role(host: usize, user: &'static str, kind: Kind) -> Role {
    Role { host, user, kind }
}

impl Role {
    /// The endpoint id, the same after every restart of its host; the peers' are the stack's own.
    pub(super) fn epid(self, generation: u32) -> String {
        format!("e{}{}{generation}", self.host, self.user)
    }

    /// The address of record.
    pub(super) fn uri(self) -> String {
        let domain = match self.kind {
            Kind::User(_) | Kind::Careless => "example.com",
            Kind::Misled => "mallory.invalid",
            Kind::Peer(_) => LISTENING
                .iter()
                .find(|(host, _)| *host == self.host)
                .map_or("", |(_, name)| *name),
        };
        format!("sip:{}@{domain}", self.user)
    }

    pub(super) fn has_server(self) -> bool {
        !matches!(self.kind, Kind::Peer(_))
    }

    pub(super) fn target(self, choice: u8) -> &'static str {
        let targets = if self.has_server() {
            &USER_TARGETS[..]
        } else {
            &PEER_TARGETS[..]
        };
        let at = usize::from(choice) % targets.len();
        targets.get(at).copied().unwrap_or_default()
    }

    pub(super) fn sip_config(self, world: &World, server: FrontEndId, generation: u32) -> SipEndpointConfig {
        let mut config = world.account(server, self.user);
        config.uri = self.uri();
        // The lines of a life are not wiretapped.
        config.association.without_tls = true;
        config.association.least_version = 2;
        config.profile.methods.push(Method::Refer);
        config.epid = Some(self.epid(generation));
        // One of them asks whether its server is still there.
        config.probe = (self.host == 2).then_some(Duration::from_secs(100));
        match self.kind {
            Kind::User(transport) => {
                config.transport = transport;
                if let Some(server) = &mut config.server {
                    server.port = Some(transport.default_port());
                }
            }
            Kind::Careless => {
                config.server = None;
                config.auto_refresh = false;
            }
            Kind::Misled | Kind::Peer(_) => {
                config.server = Some(Server {
                    host: String::from("mallory.invalid"),
                    port: Some(5060),
                });
                config.expires = Some(Duration::from_secs(600));
                config.profile.route_recovery = RouteRecovery::LimitedRetry;
            }
        }
        config
    }

    pub(super) fn peer_config(self, tls: ManagerId) -> PeerToPeerConfig {
        let mut config = PeerToPeerConfig::new(self.uri());
        // Where one takes part the other may.
        config.profile.reliable_responses = ReliableResponses::Supported;
        config.profile.redirects = self.user != "eve";
        config.profile.route_recovery = match self.user {
            "carol" => RouteRecovery::LimitedRetry,
            "dave" => RouteRecovery::MaximumRetry,
            _ => RouteRecovery::None,
        };
        config.profile.session_timer = (self.user == "carol").then_some(Duration::from_secs(1800));
        config.profile.methods.push(Method::Refer);
        config.profile.methods.push(Method::Subscribe);
        if self.kind == Kind::Peer(Transport::Tls) {
            config.manager = Some(tls);
            config.default_transport = Transport::Tls;
        }
        config
    }
}

/// A manager for TLS; of the second of the hosts that listen, one that wants to see a certificate of somebody whom it knows.
pub(super) fn tls_manager(host: usize) -> ManagerConfig {
    let mut config = ManagerConfig::new(ManagerKind::ServerTls);
    if host == 4 {
        let allowed = ["carol.invalid", "mallory.invalid"];
        config.mutual_tls = MutualTls::Allowed(allowed.map(String::from).to_vec());
    }
    config
}

pub(super) fn body() -> Content {
    Content::new("application/sdp", "v=0\r\n")
}

/// What an application remembers, and how it behaves.
#[derive(Debug, Default)]
pub(super) struct Desk {
    /// How calls and messages are taken; see [`on_event`].
    pub(super) calls: u8,
    pub(super) messages: u8,
    /// Operations begun by the application itself.
    pub(super) begun: Vec<(Time, OperationId)>,
    /// Requests that wait for an answer.
    pub(super) held: Vec<IncomingId>,
    /// REFERs of peers that wait for the application to decide.
    pub(super) referrals: Vec<(SessionId, ReferralId)>,
    /// Sessions that the application has made of itself.
    pub(super) made: Vec<(SessionId, EndpointId)>,
    /// How connections are decided on that are held for the application; see [`on_event`].
    pub(super) decides: u8,
    /// Those that wait for it to decide.
    pub(super) asked: Vec<ConnId>,
}

/// A desk that the world's application and the life share.
pub(super) type Shared = Rc<RefCell<Desk>>;

/// The application of every host.
pub(super) fn on_event(desk: &Shared, stack: &mut Stack, now: Time, event: &Event) {
    let mut desk = desk.borrow_mut();
    if let Event::SessionReceived { session, .. } = event {
        take_call(&mut desk, stack, now, *session);
    }
    if let Event::AuthorizationRequested { conn, .. } = event {
        // It may be gone by now; nobody has decided on it before.
        let decided = match desk.decides % 3 {
            0 => stack.allow_connection(now, *conn),
            1 => {
                desk.asked.push(*conn);
                Ok(())
            }
            _ => stack.deny_connection(now, *conn),
        };
        assert_eq!(decided, Ok(()), "{conn} is not held");
    }
    if let Event::OfferReceived { session, .. } = event
        && desk.calls & 8 == 0
        && let Ok(mut view) = stack.session(now, *session)
    {
        // It may have ended meanwhile, which is no mistake of the application.
        let _ = view.answer(body());
    }
    if let Event::Redirected { session, .. } = event
        && let Ok(mut view) = stack.session(now, *session)
    {
        // It may have ended meanwhile. By its number: one is left as it is.
        let action = [
            RedirectAction::TryAll,
            RedirectAction::TryThis,
            RedirectAction::Skip,
            RedirectAction::GiveUp,
        ];
        if let Some(action) = usize::try_from(session.number() % 5)
            .ok()
            .and_then(|at| action.get(at))
        {
            let _ = view.follow_redirect(*action);
        }
    }
    if let Event::ReferReceived {
        session,
        referral,
        target,
        headers,
        ..
    } = event
    {
        take_refer(&mut desk, stack, now, (*session, *referral), target, headers);
    }
    if let Event::RenegotiationReceived { session, .. } = event {
        take_change(&mut desk, stack, now, *session);
    }
    if let Event::WatcherReceived { watcher, .. } = event
        && let Ok(mut view) = stack.watcher(now, *watcher)
    {
        let state = Some(Content::text("state"));
        let answered = match desk.messages >> 4 & 7 {
            0 | 1 => view.accept(None, state),
            2 => Ok(()),
            3 => view.accept_pending(None),
            4 => view.accept(Some(Duration::from_secs(60)), None),
            _ => view.reject(StatusCode::FORBIDDEN, None),
        };
        assert_eq!(answered, Ok(()), "{watcher} was answered before");
    }
    if let Event::MessageReceived { incoming, .. } | Event::SessionMessage { incoming, .. } = event {
        take_message(&mut desk, stack, now, *incoming);
    }
}

/// By the number of the call: at once; never; ringing until something happens; busy. Or as the habit is.
fn take_call(desk: &mut Desk, stack: &mut Stack, now: Time, session: SessionId) {
    let Ok(mut call) = stack.session(now, session) else {
        return;
    };
    let way = match desk.calls & 7 {
        0 => session.number() % 4,
        habit => u64::from(habit),
    };
    let mut accept = None;
    // A call that the caller has cancelled meanwhile may be commanded until its end was taken; its answers are void.
    let _ = match way {
        0 | 4 => {
            accept = call.accept(Some(body())).ok();
            Ok(())
        }
        1 => Ok(()),
        2 => call.provisional(StatusCode::RINGING, None),
        3 => call.reject(StatusCode::BUSY_HERE, None),
        5 => call.redirect(
            StatusCode::MOVED_TEMPORARILY,
            &["sip:m@mallory.invalid;transport=tcp"],
        ),
        6 => call.provisional(StatusCode::SESSION_PROGRESS, Some(body())),
        _ => {
            let _ = call.provisional(StatusCode::RINGING, None);
            accept = call.accept(None).ok();
            Ok(())
        }
    };
    desk.begun.extend(accept.map(|operation| (now, operation)));
}

/// The call is made; refused; left; or promised and never made.
fn take_refer(
    desk: &mut Desk,
    stack: &mut Stack,
    now: Time,
    (session, referral): (SessionId, ReferralId),
    target: &str,
    headers: &ExtraHeaders,
) {
    let way = desk.messages >> 3 & 3;
    let Ok(mut view) = stack.session(now, session) else {
        return;
    };
    let endpoint = view.endpoint();
    if way == 1 {
        let _ = view.reject_referral(referral, StatusCode::DECLINE);
        return;
    }
    if way == 2 {
        return desk.referrals.push((session, referral));
    }
    let Ok(mut view) = stack.endpoint(now, endpoint) else {
        return;
    };
    let options = SendOptions {
        headers: headers.clone(),
        ..SendOptions::default()
    };
    let call = if way == 0 {
        let made = view.invite(target, Some(body()), options).ok();
        desk.begun.extend(made.map(|(_, operation)| (now, operation)));
        made.map(|(call, _)| call)
    } else {
        view.create_session(target).ok()
    };
    desk.made.extend(call.map(|call| (call, endpoint)));
    // A call that is not made for want of room is not promised.
    if let (Some(call), Ok(mut view)) = (call, stack.session(now, session)) {
        let _ = view.accept_referral(referral, call);
    }
}

/// Taken at once; refused; not decided on.
fn take_change(desk: &mut Desk, stack: &mut Stack, now: Time, session: SessionId) {
    let Ok(mut call) = stack.session(now, session) else {
        return;
    };
    let decided = match (desk.calls >> 4) % 4 {
        0 | 1 => call.accept_renegotiation(body()).map(Some),
        2 => call
            .reject_renegotiation(StatusCode::NOT_ACCEPTABLE_HERE, None)
            .map(|()| None),
        _ => Ok(None),
    };
    // The application may have ended the session; a change that is gone meanwhile may be commanded all the same.
    desk.begun
        .extend(decided.ok().flatten().map(|operation| (now, operation)));
}

/// The stack answers; the application refuses; holds; answers with a body; says something for the time being.
fn take_message(desk: &mut Desk, stack: &mut Stack, now: Time, incoming: IncomingId) {
    let Ok(mut view) = stack.incoming(now, incoming) else {
        return;
    };
    let _ = match desk.messages & 7 {
        1 => view.answer(StatusCode::NOT_FOUND, None, None, &[]),
        2 => {
            desk.held.push(incoming);
            view.hold()
        }
        3 => view.answer(StatusCode::OK, None, Some(Content::text("received")), &[]),
        4 => {
            desk.held.push(incoming);
            view.answer(StatusCode::RINGING, None, None, &[])
                .and_then(|()| view.hold())
        }
        _ => Ok(()),
    };
}

/// Requests outside sessions; a MESSAGE more often than the others.
pub(super) const OUTSIDE: [Method; 8] = [
    Method::Message,
    Method::Info,
    Method::Message,
    Method::Options,
    Method::Message,
    Method::Service,
    Method::Notify,
    Method::Benotify,
];

/// Requests in sessions.
pub(super) const INSIDE: [Method; 4] = [Method::Info, Method::Message, Method::Options, Method::Notify];
