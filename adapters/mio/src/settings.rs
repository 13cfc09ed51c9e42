//! What can be set, with its defaults.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use sansip::ManagerId;
use sansip_net::{Hosts, Kerberos, ResolvConf, TlsClientConfig, TlsServerConfig, TrustStore};
use socket2::SockRef;

use crate::tap::Tap;

/// The settings of a [`Driver`](crate::Driver), an [`Adapter`](crate::Adapter) or a [`Net`](crate::Net).
#[derive(Clone, Debug)]
pub struct Settings {
    /// Of every connection.
    pub socket: SocketSettings,
    /// How long an accepted connection may take for its TLS handshake; 30 s.
    pub handshake_timeout: Duration,
    /// How long a connection that was closed may take to send what was taken for it, and its peer to close as well; 5 s.
    pub close_timeout: Duration,
    /// How many connections the system keeps for a listener until they are accepted; 1024.
    pub backlog: u16,
    /// How long a listener rests when the process has run out of descriptors or memory; 100 ms.
    pub accept_pause: Duration,
    /// How many commands of other threads may wait; 1024.
    pub commands: usize,
    /// How names are resolved.
    pub dns: DnsSettings,
    /// TLS for the managers that have no settings of their own.
    pub tls: TlsSettings,
    /// TLS for single managers; what is `None` there is taken from `tls`.
    pub manager_tls: BTreeMap<ManagerId, TlsSettings>,
    /// What logs endpoints on with Kerberos, on threads beside the loop; none, and the stack is told so.
    pub kerberos: Option<Arc<dyn Kerberos>>,
    /// Where what the stack records is written, for a stack that [`Stack::recorded`](sansip::Stack::recorded) made; nowhere.
    #[cfg(feature = "record")]
    pub recording: Option<sansip_net::Recording>,
    /// The tokens that the sockets use at the `mio::Poll`, one each; the rest are the user's. This bounds the number
    /// of sockets. By default those below 2^31.
    pub tokens: Range<usize>,
    /// Sees what passes on every connection; none.
    pub tap: Option<Tap>,
}

impl Default for Settings {
    /// Names are resolved as the system's files say; certificates of servers are proved with the system's roots; there is
    /// no certificate to show.
    fn default() -> Self {
        Self {
            socket: SocketSettings::default(),
            handshake_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(5),
            backlog: 1024,
            accept_pause: Duration::from_millis(100),
            commands: 1024,
            dns: DnsSettings::system(),
            tls: TlsSettings {
                client: TlsClientConfig::builder(TrustStore::system()).build().ok(),
                server: None,
            },
            manager_tls: BTreeMap::new(),
            kerberos: None,
            #[cfg(feature = "record")]
            recording: None,
            tokens: 0..1 << 31,
            tap: None,
        }
    }
}

/// Options of a TCP socket. Nagle's algorithm and TCP keep-alive are always off: SIP messages go out at once, and
/// the stack keeps its connections alive itself (rule C26).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketSettings {
    /// How long sent bytes may stay unacknowledged before the connection is given up (TCP_USER_TIMEOUT, RFC 5482); 30 s.
    /// `None` leaves it to the system. Without effect on systems that lack the option.
    pub user_timeout: Option<Duration>,
    /// The size of the system's send buffer (SO_SNDBUF); `None` leaves it to the system.
    pub send_buffer: Option<usize>,
    /// The size of the system's receive buffer (SO_RCVBUF); `None` leaves it to the system.
    pub receive_buffer: Option<usize>,
}

impl Default for SocketSettings {
    fn default() -> Self {
        Self {
            user_timeout: Some(Duration::from_secs(30)),
            send_buffer: None,
            receive_buffer: None,
        }
    }
}

impl SocketSettings {
    /// Sets what can be set. A connection without an option still works, so a refusal is no error.
    pub(crate) fn apply(&self, socket: &SockRef<'_>) {
        let _ = socket.set_tcp_nodelay(true);
        let _ = socket.set_keepalive(false);
        if let Some(size) = self.send_buffer {
            let _ = socket.set_send_buffer_size(size);
        }
        if let Some(size) = self.receive_buffer {
            let _ = socket.set_recv_buffer_size(size);
        }
        #[cfg(any(target_os = "android", target_os = "linux"))]
        if self.user_timeout.is_some() {
            let _ = socket.set_tcp_user_timeout(self.user_timeout);
        }
    }
}

/// How names are resolved.
#[derive(Clone, Debug)]
pub struct DnsSettings {
    /// The name servers.
    pub conf: ResolvConf,
    /// The names that need no server.
    pub hosts: Hosts,
}

impl DnsSettings {
    /// What `/etc/resolv.conf` and `/etc/hosts` say now; a file that cannot be read counts as empty.
    pub fn system() -> Self {
        Self {
            conf: ResolvConf::read("/etc/resolv.conf").unwrap_or_else(|_| ResolvConf::parse("")),
            hosts: Hosts::read("/etc/hosts").unwrap_or_else(|_| Hosts::parse("")),
        }
    }
}

/// How connections speak TLS.
#[derive(Clone, Debug, Default)]
pub struct TlsSettings {
    /// For connections that we make. Without it, connecting over TLS fails.
    pub client: Option<TlsClientConfig>,
    /// For connections that we accept. Without it, listening for TLS fails. Where a manager's
    /// [`MutualTls`](sansip::MutualTls) is on, this must ask for the client's certificate, or every client is turned
    /// away.
    pub server: Option<TlsServerConfig>,
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_socket_gets_its_options() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let socket = SockRef::from(&stream);
        socket.set_keepalive(true).unwrap();
        let settings = SocketSettings {
            user_timeout: Some(Duration::from_secs(7)),
            ..SocketSettings::default()
        };
        settings.apply(&socket);
        assert!(socket.tcp_nodelay().unwrap());
        assert!(!socket.keepalive().unwrap());
        #[cfg(any(target_os = "android", target_os = "linux"))]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(7)));
    }
}
