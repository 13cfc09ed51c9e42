//! How endpoints are described when they are made.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::action::Transport;
use crate::auth::{AllowedProtocols, AssociationPolicy};
use crate::event::ExtraHeaders;
use crate::exchange::NextHop;
use crate::ids::ManagerId;
use crate::security::Credentials;
use crate::wire::Method;

/// What both kinds of endpoint have (E6, E10, E11).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Profile {
    /// The name shown to people, in From.
    pub display_name: Option<String>,
    /// Product tokens, put before the stack's own in User-Agent and Server.
    pub user_agent: Option<String>,
    /// Option tags that the application understands; a request that requires others is answered 420.
    pub option_tags: Vec<String>,
    /// The methods that the endpoint takes. ACK, BYE, CANCEL and UPDATE go with INVITE, and PRACK where responses to it are
    /// reliable; a SipEndpoint declares NOTIFY in any
    /// case, by which its registrar ends a registration. Another set: [`EndpointView::set_methods`](crate::EndpointView::set_methods).
    pub methods: Vec<Method>,
    /// The content types that the endpoint takes (`text/plain`); a request with another is answered 415. Empty: any.
    pub content_types: Vec<String>,
    /// RFC 3840 feature parameters of Contact: name and, where it has one, value.
    pub feature_parameters: Vec<(String, Option<String>)>,
    /// The application decides where a call goes that is redirected (S13); without it a redirection is a failure.
    pub redirects: bool,
    /// Ask for session timers of this interval (S11), 90 s at the least; without it sessions have them only where the peer
    /// asks. Fractions of a second are dropped.
    pub session_timer: Option<Duration>,
    /// Header fields in every request.
    pub headers: ExtraHeaders,
    /// Wait for the server's Retry-After and try once more (E12).
    pub retry_after: bool,
    /// Whether provisional responses to INVITE are acknowledged (S7).
    pub reliable_responses: ReliableResponses,
    /// Whether the route set of a session is recovered that a proxy has lost (S17).
    pub route_recovery: RouteRecovery,
}

/// What becomes of a session whose route set a proxy has lost (MS-SIPRE, S17).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum RouteRecovery {
    /// Its requests fail.
    #[default]
    None,
    /// The route is recovered, while requests wait; the session ends where that takes longer than
    /// [`route_recovery_limit`](crate::Config::route_recovery_limit).
    LimitedRetry,
    /// The same; but where only the peer can recover the route, requests are tried, and the session waits for ever.
    MaximumRetry,
}

/// Whether provisional responses to INVITE, but 100, are acknowledged, and so arrive (RFC 3262, S7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum ReliableResponses {
    /// They are not; who requires it is answered 420.
    #[default]
    Unsupported,
    /// Where the other side takes part.
    Supported,
    /// Always: who calls has to take part, else it is answered 421; who is called is told so. Many cannot, and answer 420.
    Required,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            display_name: None,
            user_agent: None,
            option_tags: Vec::new(),
            methods: alloc::vec![
                Method::Invite,
                Method::Message,
                Method::Info,
                Method::Options,
                Method::Notify
            ],
            content_types: Vec::new(),
            feature_parameters: Vec::new(),
            redirects: false,
            session_timer: None,
            headers: Vec::new(),
            retry_after: true,
            reliable_responses: ReliableResponses::default(),
            route_recovery: RouteRecovery::default(),
        }
    }
}

/// A server by name or address.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Server {
    /// A domain name or IP literal, without brackets.
    pub host: String,
    /// The port; `None` asks the domain name system (SRV) and falls back to the default one.
    pub port: Option<u16>,
}

/// An endpoint that lives at a server (SipEndpoint).
#[derive(Clone, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct SipEndpointConfig {
    /// The address of record, such as `sip:alice@example.com`.
    pub uri: String,
    /// The endpoint id, 1 to 16 token characters; made from the stack's entropy if absent (E3).
    pub epid: Option<String>,
    /// The instance id as a URN; derived from the epid if absent (E5).
    pub instance: Option<String>,
    /// The server; found through the domain of the URI if absent (R18).
    pub server: Option<Server>,
    /// The transport to it.
    pub transport: Transport,
    /// The connection manager; the stack's default client manager if absent (C2).
    pub manager: Option<ManagerId>,
    /// What the endpoint answers challenges with (A2).
    pub credentials: Vec<Credentials>,
    /// Where none of those is for a realm, log on with Kerberos as whoever the process is: by its ticket cache (A2).
    pub default_credential: bool,
    /// What it may answer them with (A3).
    pub protocols: AllowedProtocols,
    /// What it asks of a server that signs its messages (A4, A6).
    pub association: AssociationPolicy,
    /// Refresh the registration before it expires, and make it anew when the connection drops (R4, R5).
    pub auto_refresh: bool,
    /// The expiry asked for; [`Config::register_expires`](crate::Config::register_expires) if absent.
    pub expires: Option<Duration>,
    /// How often the server is asked with an OPTIONS whether it is still there, while the endpoint is registered (R19); zero,
    /// never; [`Config::probe_interval`](crate::Config::probe_interval) if absent.
    pub probe: Option<Duration>,
    /// How many 3xx a REGISTER follows (R9); 0 to 5. The server that it leads to is kept until it fails or the endpoint
    /// registers anew.
    pub redirects: u8,
    /// The rest.
    pub profile: Profile,
}

impl SipEndpointConfig {
    /// An endpoint of this address of record with the defaults: TLS, no credentials, automatic refresh.
    pub fn new(uri: impl Into<String>) -> Self {
        Self {
            uri: uri.into(),
            epid: None,
            instance: None,
            server: None,
            transport: Transport::Tls,
            manager: None,
            credentials: Vec::new(),
            default_credential: false,
            protocols: AllowedProtocols::all(),
            association: AssociationPolicy::default(),
            auto_refresh: true,
            expires: None,
            probe: None,
            redirects: 3,
            profile: Profile::default(),
        }
    }
}

/// The outbound proxy of a peer-to-peer endpoint (P3).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Proxy {
    /// A domain name or IP literal, without brackets.
    pub host: String,
    /// The port; `None` as in [`Server`].
    pub port: Option<u16>,
    /// The transport to it.
    pub transport: Transport,
}

/// An endpoint without a server of its own (SipPeerToPeerEndpoint).
#[derive(Clone, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct PeerToPeerConfig {
    /// Its URI, without a port (P8); the listening port is added.
    pub uri: String,
    /// As in [`SipEndpointConfig`].
    pub epid: Option<String>,
    /// A GRUU that the application has for it (E4).
    pub gruu: Option<String>,
    /// The connection manager; the stack's default server TCP manager if absent (C2). A client manager is misuse (C1).
    pub manager: Option<ManagerId>,
    /// Where requests outside sessions go (P3).
    pub outbound_proxy: Option<Proxy>,
    /// The transport where the target names none (P4).
    pub default_transport: Transport,
    /// The rest.
    pub profile: Profile,
}

impl PeerToPeerConfig {
    /// An endpoint of this URI with the defaults: TCP, no proxy.
    pub fn new(uri: impl Into<String>) -> Self {
        Self {
            uri: uri.into(),
            epid: None,
            gruu: None,
            manager: None,
            outbound_proxy: None,
            default_transport: Transport::Tcp,
            profile: Profile::default(),
        }
    }
}

/// What a request may carry besides its method, target and body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct SendOptions {
    /// Header fields, checked before anything is sent (E11).
    pub headers: ExtraHeaders,
    /// Where to send it, for a peer-to-peer endpoint (P9).
    pub next_hop: Option<NextHop>,
    /// Of a request outside sessions: it does no harm where it arrives twice, so it is sent once more also where it may have
    /// arrived before its connection was lost (C35). OPTIONS always is. An INVITE never is, whatever is said here.
    pub repeatable: bool,
}
