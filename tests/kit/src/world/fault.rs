//! What can go wrong in a world, and when it did: what a coverage print counts.

use std::fmt;

use bytes::Bytes;
use sansip::{PeerCertificate, ResolveError, Time, TlsFailureKind};

use super::{Host, LinkId, StackId, World};

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident $words:literal,)*) => {
        /// A kind of trouble.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault {
            $($(#[$doc])* $name,)*
        }

        impl Fault {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }

        impl fmt::Display for Fault {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $(Self::$name => $words,)* })
            }
        }
    };
}

faults! {
    /// A connection is made over a longer way than usual.
    Latency "latency",
    /// Something arrives later than the link's latency says.
    Jitter "jitter",
    /// What is sent on a link arrives much later.
    Stall "stall",
    /// Bytes are cut anew on their way.
    Rechunking "re-chunking",
    /// An adapter takes actions late.
    Laziness "lazy adapter",
    /// An adapter says once more what it has said.
    Repeated "report repeated",
    /// A connection is reset.
    Reset "reset",
    /// One end of a connection is gone, and the other does not know.
    HalfOpen "half-open",
    /// All that is sent on a connection vanishes.
    BlackHole "black hole",
    /// What one side sends on a connection vanishes.
    OneWay "black hole, one way",
    /// One side has closed its direction of a connection, and reads on.
    HalfClosed "half-closed",
    /// A host does not read what has arrived.
    SlowReader "slow reader",
    /// Bytes wait at their sender, because their reader does not take what came before.
    FullWindow "full window",
    /// A connection is refused.
    Refused "refused",
    /// There is no way to an address.
    Unreachable "unreachable",
    /// Who connects to an address hears nothing.
    Silence "silent address",
    /// A host's system gives up connecting to an address that says nothing.
    ConnectTimeout "connect timeout",
    /// There is no such name.
    DnsNoSuchName "DNS: no such name",
    /// No name server answered.
    DnsTimeout "DNS: timeout",
    /// A name server failed.
    DnsServerFailure "DNS: server failure",
    /// The host has no resolver.
    DnsNoResolver "DNS: no resolver",
    /// A question is never answered.
    DnsSilence "DNS: silence",
    /// See [`TlsFailureKind::LocalCertificateNotFound`].
    TlsNoLocalCertificate "TLS: no local certificate",
    /// See [`TlsFailureKind::UntrustedRemoteCertificate`].
    TlsUntrusted "TLS: untrusted",
    /// See [`TlsFailureKind::CertificateExpired`].
    TlsExpired "TLS: expired",
    /// See [`TlsFailureKind::IncorrectNameInRemoteCertificate`]: the adapter says it.
    TlsIncorrectName "TLS: incorrect name",
    /// See [`TlsFailureKind::RemoteCertificateRevoked`].
    TlsRevoked "TLS: revoked",
    /// See [`TlsFailureKind::RemoteCertificateInvalidUsage`].
    TlsInvalidUsage "TLS: invalid usage",
    /// See [`TlsFailureKind::RemoteDisconnected`].
    TlsDisconnected "TLS: disconnected",
    /// See [`TlsFailureKind::NegotiationFailure`].
    TlsNegotiation "TLS: no agreement",
    /// See [`TlsFailureKind::Other`].
    TlsOther "TLS: other",
    /// A good certificate names somebody else: the stack has to see it.
    WrongCertificate "certificate of another",
    /// A server restarts and keeps its memory.
    ServerRestart "server restart",
    /// A server restarts and has lost its memory.
    ServerLoss "server restart, no memory",
    /// A server's machine fails without telling anybody.
    ServerCrash "server crash",
    /// A host's process dies and starts anew.
    HostRestart "host restart",
    /// A registrar sends whoever registers to another server.
    Redirected "redirected",
    /// Two registrars send whoever registers to one another.
    RedirectLoop "redirect loop",
    /// A registrar takes no expiry as short as the one that was asked for (423).
    TooBrief "expiry too brief",
    /// A registrar has no time, and says when it will have some (503, Retry-After).
    Unavailable "unavailable",
    /// An endpoint is registered at another server than the one that it had.
    FailOver "fail-over",
    /// The same, and that server does not know the bindings of the other.
    FailOverLoss "fail-over, no bindings",
    /// The clock stands near the end of the range of time.
    FarClock "far clock",
    /// A host does not listen any more, though nobody told it to stop.
    ListeningLost "listening lost",
    /// A server has lost all its security associations.
    AssociationsLost "associations lost",
    /// The time of an endpoint's security association is over for the server.
    AssociationOver "association over",
    /// A server challenges an endpoint that has signed as it should.
    Doubted "challenged anew",
    /// A server says once more what it has signed.
    Replayed "replayed",
    /// A server's signature is wrong.
    WrongSignature "wrong signature",
    /// A server's signature is missing.
    MissingSignature "missing signature",
    /// The center gives no ticket of Kerberos.
    NoTicket "no ticket",
    /// It takes its time for one.
    LateTicket "late ticket",
}

impl Fault {
    /// The trouble that this answer of the domain name system is.
    pub const fn of_resolver(error: ResolveError) -> Self {
        match error {
            ResolveError::NoSuchName => Self::DnsNoSuchName,
            ResolveError::Timeout => Self::DnsTimeout,
            ResolveError::ServerFailure => Self::DnsServerFailure,
            ResolveError::NoResolver => Self::DnsNoResolver,
        }
    }

    /// The trouble that this failure of a handshake is.
    pub const fn of_tls(kind: TlsFailureKind) -> Self {
        match kind {
            TlsFailureKind::LocalCertificateNotFound => Self::TlsNoLocalCertificate,
            TlsFailureKind::UntrustedRemoteCertificate => Self::TlsUntrusted,
            TlsFailureKind::CertificateExpired => Self::TlsExpired,
            TlsFailureKind::IncorrectNameInRemoteCertificate => Self::TlsIncorrectName,
            TlsFailureKind::RemoteCertificateRevoked => Self::TlsRevoked,
            TlsFailureKind::RemoteCertificateInvalidUsage => Self::TlsInvalidUsage,
            TlsFailureKind::RemoteDisconnected => Self::TlsDisconnected,
            TlsFailureKind::NegotiationFailure => Self::TlsNegotiation,
            TlsFailureKind::Other => Self::TlsOther,
        }
    }
}

/// A fault that has struck: it has not only been set, something met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strike {
    /// When.
    pub at: Time,
    /// Whom.
    pub host: Host,
    /// What.
    pub fault: Fault,
}

/// What passed between a host and a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// When.
    pub at: Time,
    /// Where.
    pub link: LinkId,
    /// The end of it: 0 made the connection, 1 accepted it.
    pub side: usize,
    /// Who has that end.
    pub host: Host,
    /// What.
    pub what: Passed,
}

/// See [`Passage`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passed {
    /// The host has sent these bytes, whatever becomes of them.
    Sent(Bytes),
    /// The host was given these bytes.
    Heard(Bytes),
    /// The host's end is gone.
    Gone,
}

/// A connection that a stack has asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connecting {
    /// When.
    pub at: Time,
    /// Whose stack.
    pub host: StackId,
    /// The host that was asked for, before any look-up.
    pub asked: Option<String>,
}

impl World {
    /// The connections that stacks have asked for since this was last asked; they are noted from its first call on.
    pub fn take_connects(&mut self) -> Vec<Connecting> {
        self.connects.replace(Vec::new()).unwrap_or_default()
    }

    /// The faults that have struck since this was last asked.
    pub fn take_strikes(&mut self) -> Vec<Strike> {
        std::mem::take(&mut self.strikes)
    }

    /// What has passed between stacks and links since this was last asked.
    pub fn take_passages(&mut self) -> Vec<Passage> {
        std::mem::take(&mut self.passages)
    }

    pub(crate) fn strike(&mut self, host: impl Into<Host>, fault: Fault) {
        let (at, host) = (self.now, host.into());
        self.strikes.push(Strike { at, host, fault });
    }

    pub(super) fn strike_both(&mut self, link: LinkId, fault: Fault) {
        for side in [0, 1] {
            self.strike(self.end(link, side).host, fault);
        }
    }

    pub(super) fn pass(&mut self, link: LinkId, side: usize, what: Passed) {
        let (at, host) = (self.now, self.end(link, side).host);
        if self.watched && matches!(host, Host::Stack(_)) {
            self.passages.push(Passage {
                at,
                link,
                side,
                host,
                what,
            });
        }
    }

    /// The host's certificate is a good one of somebody else from now on, or its own again.
    pub fn set_wrong_certificate(&mut self, host: impl Into<Host>, wrong: bool) {
        let host = host.into();
        if wrong && !self.own_certificates.contains_key(&host) {
            let other = PeerCertificate {
                dns_names: vec![String::from("other.invalid")],
                ..PeerCertificate::default()
            };
            if let Some(own) = self.certificates.insert(host, other) {
                self.own_certificates.insert(host, own);
            }
        } else if !wrong && let Some(own) = self.own_certificates.remove(&host) {
            self.certificates.insert(host, own);
        }
    }
}
