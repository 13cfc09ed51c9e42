//! What the stack wants from the world, and the words in which the world reports back.
//!
//! An adapter carries out every [`Action`] in order and reports through the `handle_*` calls of
//! [`Stack`](crate::Stack). Nothing here decides protocol.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use crate::event::Event;
use crate::ids::{ConnId, EndpointId, HandshakeId, ListenerId, ManagerId, QueryId};
use crate::security::Credentials;

/// One thing the embedder has to do, or one thing it has to know. The enum is exhaustive on purpose: an adapter
/// must handle all of them.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "record", derive(serde::Serialize))]
pub enum Action {
    /// Open a connection; answered by `handle_connected` or `handle_closed`.
    Connect(Connect),
    /// The send queue of this connection has turned non-empty: take bytes with `transmit` as the socket accepts
    /// them, and say how many it took with `handle_transmitted`.
    Transmit(ConnId),
    /// Stop (`false`) or go on (`true`) reading from this connection.
    Reading(ConnId, bool),
    /// Close the connection; answered by nothing. Bytes that the socket has already taken may still go out. The name may
    /// come again in a [`Connect`] to the next address of a host whose first one failed.
    Close(ConnId),
    /// Listen on an address; answered by `handle_listening`.
    Listen {
        /// The name for it in later calls.
        listener: ListenerId,
        /// The manager whose certificates and trust it uses.
        manager: ManagerId,
        /// Where; port 0 lets the system choose.
        address: SocketAddr,
        /// Whether TLS is spoken on it.
        transport: Transport,
    },
    /// Stop listening; answered by nothing.
    StopListening(ListenerId),
    /// Ask the domain name system; answered by `handle_resolved`.
    Resolve {
        /// The name for it in the answer.
        query: QueryId,
        /// What to ask.
        question: Question,
    },
    /// Make a security context of Kerberos; answered by `handle_authenticated`. That takes a while: it asks the key
    /// distribution center.
    Authenticate(Authenticate),
    /// Something for the application.
    Event(Event),
}

/// An outgoing connection to make.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize))]
pub struct Connect {
    /// The name for it in later calls.
    pub conn: ConnId,
    /// The manager whose certificates and trust it uses.
    pub manager: ManagerId,
    /// The address to connect to.
    pub remote: SocketAddr,
    /// For TLS, the name the application asked for: sent as server name indication where it is a domain name. The
    /// adapter proves the chain, its validity in time and revocation; the stack matches names and usages (C17).
    pub tls: Option<String>,
}

/// A security context to make (rule A11).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize))]
pub struct Authenticate {
    /// Whose it is.
    pub endpoint: EndpointId,
    /// The name for it in the answer.
    pub handshake: HandshakeId,
    /// The server's service principal as the server has named it, such as `sip/fe.example.com`.
    pub target: String,
    /// Who logs on; `None` for the default log-on credential, that of the process's ticket cache (A2).
    pub credentials: Option<Credentials>,
}

/// The transports of the stack (UCMA knows no others).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Transport {
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
}

impl Transport {
    /// 5060 or 5061 (rule C15, RFC 3261 section 19.1.2).
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Tcp => 5060,
            Self::Tls => 5061,
        }
    }

    /// The token of the `Via` header.
    pub const fn via_token(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }

    /// The value of the `transport` URI parameter.
    pub const fn uri_token(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.uri_token())
    }
}

/// What an adapter knows of a connection that is ready for data.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Established {
    /// This end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// What the peer's certificate says, where it showed one whose chain the adapter has proved.
    pub peer: Option<Box<PeerCertificate>>,
}

/// The contents of a certificate whose chain, validity and revocation the adapter has checked.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct PeerCertificate {
    /// subjectAltName entries of type dNSName, as written.
    pub dns_names: Vec<String>,
    /// subjectAltName entries of type uniformResourceIdentifier, as written.
    pub uris: Vec<String>,
    /// subjectAltName entries of type iPAddress.
    pub addresses: Vec<IpAddr>,
    /// The subject's common name; looked at only where there is no subjectAltName (RFC 5922 section 7.1).
    pub common_name: Option<String>,
    /// The extended key usages as dotted object identifiers; empty where the extension is absent.
    pub key_usages: Vec<String>,
}

/// Why a connection is gone or could not be made, as the adapter saw it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum CloseReason {
    /// The peer closed it in order (end of file).
    Closed,
    /// The peer or the network reset it.
    Reset,
    /// Nothing listens there.
    Refused,
    /// No route, or the local address is not usable.
    Unreachable,
    /// The system gave up: connect or user timeout.
    TimedOut,
    /// TLS could not be set up, or broke.
    Tls(TlsFailure),
    /// Anything else, with the system's words.
    Other(String),
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed by the peer"),
            Self::Reset => f.write_str("reset by the peer"),
            Self::Refused => f.write_str("connection refused"),
            Self::Unreachable => f.write_str("address unreachable"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Tls(failure) => write!(f, "TLS: {failure}"),
            Self::Other(words) => f.write_str(words),
        }
    }
}

/// A TLS failure (rule C27).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct TlsFailure {
    /// The kind, by which an application decides.
    pub kind: TlsFailureKind,
    /// The words of the library that found it, for people.
    pub detail: String,
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if self.detail.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", self.detail)
        }
    }
}

/// The kinds of TLS failure (rule C27).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum TlsFailureKind {
    /// This side must show a certificate and has none.
    LocalCertificateNotFound,
    /// The chain does not end at a trusted root.
    UntrustedRemoteCertificate,
    /// Not yet valid, or no longer.
    CertificateExpired,
    /// The certificate names another host than the one asked for.
    IncorrectNameInRemoteCertificate,
    /// The certificate's issuer has revoked it.
    RemoteCertificateRevoked,
    /// The certificate is not for this use.
    RemoteCertificateInvalidUsage,
    /// The peer closed in the middle of the handshake.
    RemoteDisconnected,
    /// No common version, cipher suite or other parameter, or the peer refused ours.
    NegotiationFailure,
    /// Anything else.
    Other,
}

impl fmt::Display for TlsFailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LocalCertificateNotFound => "no local certificate to show",
            Self::UntrustedRemoteCertificate => "the peer's certificate is not trusted",
            Self::CertificateExpired => "the peer's certificate is not valid at this time",
            Self::IncorrectNameInRemoteCertificate => "the peer's certificate names another host",
            Self::RemoteCertificateRevoked => "the peer's certificate is revoked",
            Self::RemoteCertificateInvalidUsage => "the peer's certificate is not for this use",
            Self::RemoteDisconnected => "the peer closed during the handshake",
            Self::NegotiationFailure => "no agreement with the peer",
            Self::Other => "failed",
        })
    }
}

/// Why listening failed or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum ListenError {
    /// Another socket has the address.
    AddressInUse,
    /// The address is not one of this host.
    AddressNotAvailable,
    /// The system does not allow it.
    PermissionDenied,
    /// A TLS listener without a certificate to show.
    NoCertificate,
    /// Anything else, with the system's words.
    Other(String),
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressInUse => f.write_str("the address is in use"),
            Self::AddressNotAvailable => f.write_str("the address is not one of this host"),
            Self::PermissionDenied => f.write_str("permission denied"),
            Self::NoCertificate => f.write_str("no certificate to show"),
            Self::Other(words) => f.write_str(words),
        }
    }
}

/// A question for the domain name system (RFC 3263).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize))]
pub enum Question {
    /// The NAPTR records of this name (`example.com`).
    Naptr(String),
    /// The SRV records of this name (`_sips._tcp.example.com`).
    Srv(String),
    /// The A and AAAA records of this name, and what a hosts file says of it.
    Addresses(String),
}

/// What the domain name system answered. An empty list means that the name has no such records.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Answer {
    /// To [`Question::Naptr`].
    Naptr {
        /// The records, in any order.
        records: Vec<NaptrRecord>,
        /// How long they may be kept.
        ttl: Duration,
    },
    /// To [`Question::Srv`].
    Srv {
        /// The records, in any order.
        records: Vec<SrvRecord>,
        /// How long they may be kept.
        ttl: Duration,
    },
    /// To [`Question::Addresses`].
    Addresses {
        /// The addresses, in the order of preference.
        addresses: Vec<IpAddr>,
        /// How long they may be kept.
        ttl: Duration,
    },
}

/// One NAPTR record (RFC 3403 section 4), which says for a transport where its SRV records are (RFC 3263 section 4.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct NaptrRecord {
    /// Lower goes first.
    pub order: u16,
    /// Within one order, lower goes first.
    pub preference: u16,
    /// What the replacement is: `s` for the name of SRV records.
    pub flags: String,
    /// Which protocol over which transport: `SIP+D2T`, `SIPS+D2T`.
    pub services: String,
    /// A rewriting rule; empty in the records of RFC 3263.
    pub regexp: String,
    /// The name to look up next.
    pub replacement: String,
}

/// One SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct SrvRecord {
    /// Lower goes first.
    pub priority: u16,
    /// Share among those of one priority.
    pub weight: u16,
    /// The port of the service.
    pub port: u16,
    /// The host that has it.
    pub target: String,
}

/// Why the domain name system did not answer. "No such name" is an empty [`Answer`] for NAPTR and SRV, and
/// [`Self::NoSuchName`] for addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum ResolveError {
    /// The name does not exist.
    NoSuchName,
    /// No server answered in time.
    Timeout,
    /// The servers answered that they failed, or what they sent made no sense.
    ServerFailure,
    /// The embedder has no resolver.
    NoResolver,
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchName => "no such host",
            Self::Timeout => "no name server answered",
            Self::ServerFailure => "the name server failed",
            Self::NoResolver => "there is no resolver",
        })
    }
}
