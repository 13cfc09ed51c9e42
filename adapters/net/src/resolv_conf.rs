//! The configuration of a stub resolver (resolv.conf).

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::path::Path;
use std::time::Duration;

/// The port of the domain name system (RFC 1035 section 4.2).
const PORT: u16 = 53;
const MAX_SERVERS: usize = 3;
const MAX_NDOTS: usize = 15;
const MAX_TIMEOUT: u64 = 30;
const MAX_ATTEMPTS: usize = 5;

/// Which name servers to ask, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvConf {
    /// The servers, asked in this order; without any, every question ends in
    /// [`NoResolver`](sansip::ResolveError::NoResolver).
    pub servers: Vec<SocketAddr>,
    /// The domains in which names of fewer dots than `ndots` are looked for before they are asked for as they
    /// are.
    pub search: Vec<String>,
    /// From how many dots on a name is only asked for as it is; 1 by default.
    pub ndots: usize,
    /// How long a server has to answer; 5 seconds by default.
    pub timeout: Duration,
    /// How many times all servers are asked; 2 by default.
    pub attempts: usize,
    /// Whether each question starts at another server.
    pub rotate: bool,
    /// Whether questions go over TCP from the start.
    pub tcp: bool,
}

impl ResolvConf {
    /// These servers, no search list, and the usual times.
    pub const fn new(servers: Vec<SocketAddr>) -> Self {
        Self {
            servers,
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            rotate: false,
            tcp: false,
        }
    }

    /// Reads the text of a resolv.conf: `nameserver` (the first three), `search` and `domain` (the last line
    /// of either counts), and of `options` ndots, timeout, attempts (each capped at the usual 15, 30 and 5),
    /// rotate and use-vc. Whatever else stands there is skipped, and so is a server with an interface name as
    /// its scope. Without a usable server it is the local host, as everywhere.
    pub fn parse(text: &str) -> Self {
        let mut conf = Self::new(Vec::new());
        for line in text.lines().filter(|line| !line.starts_with(['#', ';'])) {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") if conf.servers.len() < MAX_SERVERS => {
                    conf.servers.extend(words.next().and_then(server));
                }
                Some("search") => conf.search = words.map(str::to_owned).collect(),
                Some("domain") => conf.search = words.take(1).map(str::to_owned).collect(),
                Some("options") => words.for_each(|option| conf.set(option)),
                _ => {}
            }
        }
        if conf.servers.is_empty() {
            conf.servers.push(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)));
        }
        conf
    }

    fn set(&mut self, option: &str) {
        match option.split_once(':') {
            Some(("ndots", value)) => {
                self.ndots = value.parse().map_or(self.ndots, |n: usize| n.min(MAX_NDOTS))
            }
            Some(("timeout", value)) => {
                self.timeout = value.parse().map_or(self.timeout, |n: u64| {
                    Duration::from_secs(n.clamp(1, MAX_TIMEOUT))
                });
            }
            Some(("attempts", value)) => {
                self.attempts = value
                    .parse()
                    .map_or(self.attempts, |n: usize| n.clamp(1, MAX_ATTEMPTS));
            }
            None if option == "rotate" => self.rotate = true,
            None if option == "use-vc" => self.tcp = true,
            Some(_) | None => {}
        }
    }

    /// Reads a file; one that does not exist is an empty text.
    ///
    /// # Errors
    /// Those of the system.
    pub fn read(path: impl AsRef<Path>) -> io::Result<Self> {
        match std::fs::read(path) {
            Ok(text) => Ok(Self::parse(&String::from_utf8_lossy(&text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::parse("")),
            Err(error) => Err(error),
        }
    }
}

fn server(word: &str) -> Option<SocketAddr> {
    match word.split_once('%') {
        Some((address, scope)) => {
            Some(SocketAddrV6::new(address.parse().ok()?, PORT, 0, scope.parse().ok()?).into())
        }
        None => Some(SocketAddr::new(word.parse::<IpAddr>().ok()?, PORT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_servers_search_and_options() {
        let conf = ResolvConf::parse(
            "; made by hand\n# nameserver 192.0.2.99\ndomain old.example\nsearch example.com corp.example\n\
             nameserver 192.0.2.1\nnameserver what\nnameserver fe80::1%2\nnameserver 2001:db8::1\n\
             nameserver 192.0.2.4\noptions ndots:2 timeout:99 attempts:0 rotate edns0\noptions use-vc\nsortlist x\n",
        );
        assert_eq!(
            conf,
            ResolvConf {
                servers: vec![
                    "192.0.2.1:53".parse().unwrap(),
                    "[fe80::1%2]:53".parse().unwrap(),
                    "[2001:db8::1]:53".parse().unwrap(),
                ],
                search: vec!["example.com".to_owned(), "corp.example".to_owned()],
                ndots: 2,
                timeout: Duration::from_secs(30),
                attempts: 1,
                rotate: true,
                tcp: true,
            }
        );
    }

    #[test]
    fn an_empty_text_asks_the_local_host_with_the_usual_times() {
        let conf = ResolvConf::parse("");
        assert_eq!(conf, ResolvConf::new(vec!["127.0.0.1:53".parse().unwrap()]));
        assert_eq!(
            (conf.ndots, conf.timeout, conf.attempts),
            (1, Duration::from_secs(5), 2)
        );
    }
}
