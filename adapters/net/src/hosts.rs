//! The table of host names that a system keeps beside the domain name system.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::Path;

/// What a `hosts` file says: addresses by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(BTreeMap<String, Vec<IpAddr>>);

impl Hosts {
    /// Reads the text of a `hosts` file: an address and its names on a line, `#` starts a comment. A line
    /// whose address cannot be read is skipped.
    pub fn parse(text: &str) -> Self {
        let mut table: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
        for line in text.lines() {
            let content = line.split_once('#').map_or(line, |(content, _)| content);
            let mut words = content.split_whitespace();
            let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else {
                continue;
            };
            for name in words {
                let addresses = table.entry(normal(name)).or_default();
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
        Self(table)
    }

    /// Reads a file; one that does not exist is an empty table.
    ///
    /// # Errors
    /// Those of the system.
    pub fn read(path: impl AsRef<Path>) -> io::Result<Self> {
        match std::fs::read(path) {
            Ok(text) => Ok(Self::parse(&String::from_utf8_lossy(&text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// The addresses of a name, in the order of the file; the case and a final dot of the name do not matter.
    pub fn addresses(&self, name: &str) -> &[IpAddr] {
        self.0.get(&normal(name)).map_or(&[], Vec::as_slice)
    }
}

/// A name as it is compared: lower case, without the final dot.
pub(crate) fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses_names_aliases_and_comments() {
        let hosts = Hosts::parse(
            "# local\n127.0.0.1\tlocalhost\n192.0.2.7  Sip.Example.com sip # the proxy\n2001:db8::7 sip.example.com\n\
             192.0.2.7 sip.example.com\nnot-an-address name\n192.0.2.9\n",
        );
        let both: [IpAddr; 2] = ["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()];
        assert_eq!(hosts.addresses("SIP.example.COM."), both);
        assert_eq!(hosts.addresses("sip"), [both[0]]);
        assert!(hosts.addresses("name").is_empty() && hosts.addresses("the").is_empty());
    }

    #[test]
    fn a_missing_file_is_an_empty_table() {
        let nowhere = std::env::temp_dir().join("sansip-net-there-is-no-such-file");
        assert_eq!(Hosts::read(nowhere).unwrap(), Hosts::default());
    }
}
