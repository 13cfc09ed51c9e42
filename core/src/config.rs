//! What can be set, with its defaults.

use alloc::string::String;
use core::time::Duration;

use crate::wire::MessageLimits;

/// The settings of a stack.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// Bounds on everything that the network can make the stack hold.
    pub limits: Limits,
    /// RFC 3261 section 17.1.1.1: estimate of the round-trip time; 500 ms.
    pub t1: Duration,
    /// RFC 3261 section 17.1.2.2: longest retransmission interval; 4 s.
    pub t2: Duration,
    /// RFC 3261 section 17.1.2.2: longest life of a message in the network; 5 s.
    pub t4: Duration,
    /// How long a connection attempt to one address may take, TLS included; 10 s.
    pub connect_timeout: Duration,
    /// How long a name may take to resolve; 10 s.
    pub resolve_timeout: Duration,
    /// How long a released connection is kept (C8); 60 s.
    pub linger: Duration,
    /// How long an incoming connection may take to bring its first valid message (C12); 60 s.
    pub unproven: Duration,
    /// How long an incoming connection of a server manager may be without traffic (C10); 15 min, zero means never.
    pub idle_incoming: Duration,
    /// How long an outgoing connection of a server manager may be without traffic (C10); 15 min, zero means never.
    pub idle_outgoing: Duration,
    /// How long a server that has promised to answer keep-alives may take to do so (RFC 5626 section 4.4.1, R19); 10 s.
    pub pong_timeout: Duration,
    /// How long bytes may wait of which the peer takes none before the connection is closed (R19); 30 s, zero means never.
    /// What the system has taken counts as taken: for that, adapters set TCP_USER_TIMEOUT.
    pub write_timeout: Duration,
    /// How often a registered endpoint asks its server with an OPTIONS whether it is still there (R19); zero, never.
    pub probe_interval: Duration,
    /// The size of a new pool (C4); 5.
    pub pool_size: usize,
    /// How long an address that failed is passed over while others remain (C25); 10 min.
    pub dead_address_hold: Duration,
    /// The longest Retry-After that is waited for (E12); 5 min.
    pub retry_after_cap: Duration,
    /// How long the application may take to answer a request that it holds back (M9); 32 s.
    pub answer_timeout: Duration,
    /// How long the application may take to decide on a connection that is held for it (C21); then it counts as denied; 32 s.
    pub authorization_timeout: Duration,
    /// The shortest interval of a session timer that is taken (S11): a request for less is answered 422; 90 s, and never less.
    pub min_session_expires: Duration,
    /// How long the peer whose REFER was accepted is told how the call goes (S14); 5 min.
    pub referral_expires: Duration,
    /// How long a session may take from INVITE to a final response, zero means for ever (S12); 3 min.
    pub max_connect_duration: Duration,
    /// The expiry asked for in REGISTER; 3600 s.
    pub register_expires: Duration,
    /// The time that a SUBSCRIBE or a PUBLISH asks for, where its subscription or publication names none; 3600 s.
    pub subscribe_expires: Duration,
    /// The first reconnect of a registered endpoint waits for a uniform share of this (R6); 2 s.
    pub reconnect_jitter: Duration,
    /// The least back-off between attempts to be registered again (R7); 1 s.
    pub backoff_min: Duration,
    /// The greatest (R7); 64 s.
    pub backoff_max: Duration,
    /// For how long the route set of a session is recovered before it is given up (S17); 3 minutes.
    pub route_recovery_limit: Duration,
    /// No refresh comes sooner than this after the last (R21); 5 s. What a server keeps for no longer counts as kept for
    /// twice this: for a part of that time the server may not have the endpoint, but there is no sooner refresh to try.
    pub refresh_floor: Duration,
    /// Product tokens of User-Agent and Server.
    pub user_agent: String,
    /// Whether a request has to name an endpoint; without it, the only peer-to-peer endpoint of a stack takes what no
    /// other is found for (M7); true.
    pub strict_dispatch: bool,
    /// The name of this host in Via and Contact of server managers that listen; without it, the address is used.
    pub local_host_name: Option<String>,
    /// The marks for transactions without a final response on one connection, both ways together (C22). Above the high one
    /// a new request over it fails as ConnectionThrottled, and while at least as many as the low one wait for our answers
    /// it is not read from; off.
    pub connection_throttle: Option<Throttle>,
    /// The marks for requests whose events the application has not taken (C23). Above the high one a further request is
    /// answered 503; off.
    pub message_throttle: Option<Throttle>,
}

/// The marks of a throttle: it is on from above the high one until below the low one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Throttle {
    /// The most that is let be.
    pub high: usize,
    /// What it has to fall below; 0 counts as 1.
    pub low: usize,
}

impl Throttle {
    /// Whether it is on after it was or was not, at this count.
    pub(crate) const fn is_on(self, was_on: bool, count: usize) -> bool {
        if was_on {
            self.is_much(count)
        } else {
            count > self.high
        }
    }

    /// Whether it is not below the low mark.
    pub(crate) const fn is_much(self, count: usize) -> bool {
        count >= self.low && count > 0
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(10),
            resolve_timeout: Duration::from_secs(10),
            linger: Duration::from_secs(60),
            unproven: Duration::from_secs(60),
            idle_incoming: Duration::from_secs(15 * 60),
            idle_outgoing: Duration::from_secs(15 * 60),
            pong_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            probe_interval: Duration::ZERO,
            pool_size: 5,
            dead_address_hold: Duration::from_secs(10 * 60),
            retry_after_cap: Duration::from_secs(5 * 60),
            answer_timeout: Duration::from_secs(32),
            authorization_timeout: Duration::from_secs(32),
            min_session_expires: Duration::from_secs(90),
            referral_expires: Duration::from_secs(5 * 60),
            max_connect_duration: Duration::from_secs(3 * 60),
            register_expires: Duration::from_secs(3600),
            subscribe_expires: Duration::from_secs(3600),
            reconnect_jitter: Duration::from_secs(2),
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(64),
            route_recovery_limit: Duration::from_secs(3 * 60),
            refresh_floor: Duration::from_secs(5),
            user_agent: String::from(concat!("sansip/", env!("CARGO_PKG_VERSION"))),
            strict_dispatch: true,
            local_host_name: None,
            connection_throttle: None,
            message_throttle: None,
        }
    }
}

/// Bounds (C31). Each says what happens when it is reached.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Limits {
    /// Of one message. A longer one is framing lost: the connection is closed.
    pub message: MessageLimits,
    /// Bytes that wait on one connection. A connection that would exceed it is closed (C30); 1 MiB.
    pub send_queue: usize,
    /// Open connections, incoming ones and our own. A further incoming one is closed at once, a further outgoing one
    /// fails its request; 100,000.
    pub connections: usize,
    /// Bytes that a connection may bring before the application has allowed it (C21), which are those that were read already
    /// when the stack said not to. Beyond it the connection is closed; 64 KiB.
    pub unauthorized: usize,
    /// Hosts that a manager has connected to and that are on its allow list for this (C19). The one that it has not connected
    /// to for the longest time goes first; 1,024.
    pub learned_hosts: usize,
    /// Names and extended key usages in the certificate of a peer. One with more is refused as TLS failure
    /// [`Other`](crate::TlsFailureKind::Other); 1,000.
    pub certificate_entries: usize,
    /// Transactions alive. A further incoming request is answered 503, an outgoing one fails; 100,000.
    pub transactions: usize,
    /// Sessions alive. A further INVITE is answered 503, a further command is misuse; 50,000.
    pub sessions: usize,
    /// Subscriptions alive, those of others among them. A further SUBSCRIBE is answered 503, the NOTIFY of a further fork
    /// 481, and a further command is misuse; 50,000.
    pub subscriptions: usize,
    /// States published at a server. A further command is misuse; 50,000.
    pub publications: usize,
    /// Dialogs that the forks of one INVITE may make; further forks are acknowledged and ended; 16.
    pub forks: usize,
    /// Requests of the application under way in one stack. A further command is misuse; 100,000.
    pub operations: usize,
    /// Requests of the application under way in one session, and provisional responses that wait in it. A further command
    /// is misuse; 1,000.
    pub pending_per_session: usize,
    /// Targets that the redirections of one call may lead to. Further ones are passed over; 16.
    pub redirects: usize,
    /// REFERs in one session that are not over, of this side and of the peer apart. A further command is misuse, a further
    /// request is answered 503; 16.
    pub referrals: usize,
    /// Events that wait for the application. Above it the stack stops reading until half of them are taken; 10,000.
    pub events: usize,
    /// Endpoints. A further one is misuse; 2,000,000.
    pub endpoints: usize,
    /// Answers of the domain name system that are kept. The oldest goes first; 1,024.
    pub dns_cache: usize,
    /// Times that one request may be sent to one target, for challenges, 3xx and 423 together. The answer that would have
    /// it sent once more is its outcome; 8.
    pub attempts: usize,
    /// Requests that an endpoint of a client manager has outstanding to its server (C24). Further ones wait for their turn,
    /// but for ACK, CANCEL, PRACK, BYE and REGISTER, and time out where it does not come in 64 T1; 20.
    pub outstanding: usize,
    /// Addresses that one request is tried at, of all servers of its next hop together (C25). What it failed with at the
    /// last of them is its outcome; 64, which is 32 servers with an address of each family.
    pub targets: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: MessageLimits::default(),
            send_queue: 1 << 20,
            connections: 100_000,
            unauthorized: 64 << 10,
            learned_hosts: 1_024,
            certificate_entries: 1_000,
            transactions: 100_000,
            sessions: 50_000,
            subscriptions: 50_000,
            publications: 50_000,
            forks: 16,
            operations: 100_000,
            pending_per_session: 1_000,
            redirects: 16,
            referrals: 16,
            events: 10_000,
            endpoints: 2_000_000,
            dns_cache: 1_024,
            attempts: 8,
            outstanding: 20,
            targets: 64,
        }
    }
}
