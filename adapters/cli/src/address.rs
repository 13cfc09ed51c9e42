//! Addresses as they are given on the command line.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use sansip::Transport;

/// A host with or without a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hop {
    /// A name or IP literal, without brackets.
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
}

impl FromStr for Hop {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || String::from("HOST, HOST:PORT, or an IPv6 address as [ADDR]:PORT");
        if let Ok(address) = text.parse::<Ipv6Addr>() {
            return Ok(Self {
                host: address.to_string(),
                port: None,
            });
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest.split_once(']').ok_or_else(wrong)?;
                host.parse::<Ipv6Addr>().map_err(|_| wrong())?;
                (
                    host,
                    if after.is_empty() {
                        None
                    } else {
                        Some(after.strip_prefix(':').ok_or_else(wrong)?)
                    },
                )
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if host.is_empty() || !host.chars().all(sound) {
            return Err(wrong());
        }
        let port = match port.map(u16::from_str) {
            None => None,
            Some(Ok(port)) if port > 0 => Some(port),
            Some(_) => return Err(String::from("a port is a number from 1 to 65535")),
        };
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.parse::<Ipv6Addr>() {
            Ok(address) => write!(f, "[{address}]")?,
            Err(_) => f.write_str(&self.host)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Where to listen: `tcp:127.0.0.1:5060`, `tls:[::1]:5061`, `tcp:5060` (every IPv4 address).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListenAt {
    pub(crate) transport: Transport,
    pub(crate) address: SocketAddr,
}

impl FromStr for ListenAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || String::from("tcp:ADDR:PORT or tls:ADDR:PORT, with an IP address of this host");
        let (transport, rest) = text.split_once(':').ok_or_else(wrong)?;
        let transport = match transport.to_ascii_lowercase().as_str() {
            "tcp" => Transport::Tcp,
            "tls" => Transport::Tls,
            _ => return Err(wrong()),
        };
        let address = match rest.parse::<u16>() {
            Ok(port) => SocketAddr::from(([0, 0, 0, 0], port)),
            Err(_) => match rest.parse::<SocketAddr>() {
                Ok(address) => address,
                Err(_) => {
                    let address: IpAddr = rest.trim_matches(['[', ']']).parse().map_err(|_| wrong())?;
                    SocketAddr::new(address, transport.default_port())
                }
            },
        };
        Ok(Self { transport, address })
    }
}

impl fmt::Display for ListenAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport, self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hop_is_a_host_with_or_without_a_port() {
        for (text, host, port) in [
            ("example.com", "example.com", None),
            ("example.com:5070", "example.com", Some(5070)),
            ("192.0.2.1:5061", "192.0.2.1", Some(5061)),
            ("2001:db8::1", "2001:db8::1", None),
            ("[2001:db8::1]", "2001:db8::1", None),
            ("[2001:db8::1]:5060", "2001:db8::1", Some(5060)),
        ] {
            let hop: Hop = text.parse().unwrap();
            assert_eq!((hop.host.as_str(), hop.port), (host, port), "{text}");
        }
        for text in [
            "", ":5060", "a:0", "a:65536", "a:b:c", "[::1", "[a]:1", "a b", "sip:a@b",
        ] {
            assert!(text.parse::<Hop>().is_err(), "{text}");
        }
        assert_eq!("[::1]:5060".parse::<Hop>().unwrap().to_string(), "[::1]:5060");
    }

    #[test]
    fn a_listening_address_names_its_transport() {
        for (text, transport, address) in [
            ("tcp:127.0.0.1:5060", Transport::Tcp, "127.0.0.1:5060"),
            ("TLS:[::1]:0", Transport::Tls, "[::1]:0"),
            ("tls:127.0.0.1", Transport::Tls, "127.0.0.1:5061"),
            ("tcp:5070", Transport::Tcp, "0.0.0.0:5070"),
        ] {
            let at = ListenAt {
                transport,
                address: address.parse().unwrap(),
            };
            assert_eq!(text.parse(), Ok(at), "{text}");
        }
        for text in [
            "",
            "127.0.0.1:5060",
            "udp:127.0.0.1:5060",
            "tcp:",
            "tcp:localhost:5060",
            "tcp:1.2.3.4:x",
        ] {
            assert!(text.parse::<ListenAt>().is_err(), "{text}");
        }
    }
}
