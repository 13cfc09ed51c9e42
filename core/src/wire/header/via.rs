//! `Via`.

use alloc::borrow::Cow;
use alloc::string::String;
use core::net::{IpAddr, SocketAddr};

use nom::Parser;
use nom::bytes::complete::tag_no_case;

use super::{Header, ListHeader, Params};
use crate::action::Transport;
use crate::error::ParseError;
use crate::wire::HeaderName;
use crate::wire::grammar::{self, Parsed, expect, separator};
use crate::wire::uri::{Host, push_number};

/// One hop that a request has taken (`via-parm`, RFC 3261 section 20.42).
///
/// `branch` is optional: peers of RFC 2543, and Microsoft's clients, send none. An IPv6 address without brackets is
/// taken, and written with them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Via<'a> {
    /// The transport as written; compare without regard to case.
    pub transport: Cow<'a, str>,
    /// The host of `sent-by`.
    pub host: Host<'a>,
    /// The port of `sent-by`, where one is written.
    pub port: Option<u16>,
    /// The parameters.
    pub params: Params<'a>,
}

impl<'a> Via<'a> {
    /// A hop of this stack, with its branch.
    pub fn new(transport: Transport, host: Host<'a>, port: Option<u16>, branch: &str) -> Self {
        Self {
            transport: Cow::Borrowed(transport.via_token()),
            host,
            port,
            params: Params::new().with("branch", branch),
        }
    }

    /// The branch.
    pub fn branch(&self) -> Option<&str> {
        self.params.token("branch")
    }

    /// The address from which the next hop received it, with brackets or without; `None` also for anything else there,
    /// which is of no use but does no harm either.
    pub fn received(&self) -> Option<IpAddr> {
        grammar::whole(grammar::host_or_bare_ipv6, self.params.token("received")?)
            .ok()?
            .ip()
    }

    /// `rport` (RFC 3581): asked for is `Some(None)`, answered `Some(Some(port))`.
    pub fn rport(&self) -> Option<Option<u16>> {
        self.params
            .contains("rport")
            .then(|| self.params.token("rport").and_then(|text| text.parse().ok()))
    }

    /// `ttl`, if it is a number up to 255.
    pub fn ttl(&self) -> Option<u8> {
        self.params.token("ttl")?.parse().ok()
    }

    /// `maddr`.
    pub fn maddr(&self) -> Option<Host<'_>> {
        grammar::whole(grammar::host_or_bare_ipv6, self.params.token("maddr")?).ok()
    }

    /// Whether both have the same `sent-by`: host and port; one that is not written is the default of its transport.
    pub fn same_sent_by(&self, other: &Via<'_>) -> bool {
        self.host.same(&other.host) && self.effective_port() == other.effective_port()
    }

    /// The port that is meant: the written one, or 5061 for TLS, or 5060.
    pub fn effective_port(&self) -> u16 {
        let default = if self.transport.eq_ignore_ascii_case("TLS") {
            5061
        } else {
            5060
        };
        self.port.unwrap_or(default)
    }

    /// Adds what the receiver of a request adds: `received` where `source` is not the host of `sent-by` or `rport` was
    /// asked for, and the port in `rport` (RFC 3261 section 18.2.1, RFC 3581 section 4).
    pub fn note_source(&mut self, source: SocketAddr) {
        let asked = self.rport().is_some();
        if asked || self.host.ip() != Some(source.ip()) {
            let mut text = String::new();
            // The address stands without brackets there (RFC 3261 section 25.1, via-received).
            let _ = core::fmt::write(&mut text, format_args!("{}", source.ip()));
            self.params.set("received", &text);
        }
        if asked {
            let mut text = String::new();
            push_number(&mut text, u64::from(source.port()));
            self.params.set("rport", &text);
        }
    }

    /// Reads a value; `see` is shown each parameter.
    #[inline]
    fn parser(input: &'a str, see: impl FnMut(&'a str, Option<&'a str>)) -> Parsed<'a, Self> {
        let (input, ()) = protocol(input)?;
        let (input, transport) = expect("transport expected", grammar::token).parse(input)?;
        let (input, _) = grammar::blanks1(input)?;
        let (input, host) = grammar::host_or_bare_ipv6(input)?;
        let (input, port) = grammar::port(input)?;
        let (input, params) = grammar::params_seen(input, see)?;
        Ok((
            input,
            Self {
                transport: Cow::Borrowed(transport),
                host,
                port,
                params,
            },
        ))
    }

    #[inline]
    fn read(value: &'a str) -> Result<Self, &'static str> {
        let mut fault = None;
        let mut see = |name, value| fault = fault.or_else(|| param_fault(name, value));
        let via = grammar::whole(|input| Self::parser(input, &mut see), value)?;
        match fault {
            Some(what) => Err(what),
            None => Ok(via),
        }
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> Via<'static> {
        Via {
            transport: Cow::Owned(self.transport.into_owned()),
            host: self.host.into_owned(),
            port: self.port,
            params: self.params.into_owned(),
        }
    }
}

/// `SIP/2.0/`, with blanks around every part.
#[inline]
fn protocol(input: &str) -> Parsed<'_, ()> {
    match input.strip_prefix("SIP/2.0/") {
        Some(rest) => grammar::blanks(rest).map(|(rest, _)| (rest, ())),
        None => spaced_protocol(input),
    }
}

fn spaced_protocol(input: &str) -> Parsed<'_, ()> {
    let (input, _) = expect(
        "SIP/2.0 expected",
        (tag_no_case("SIP"), separator(b'/'), tag_no_case("2.0")),
    )
    .parse(input)?;
    expect("slash expected", separator(b'/')).parse(input)
}

/// What is wrong with a parameter that has a grammar of its own.
#[inline]
fn param_fault(name: &str, value: Option<&str>) -> Option<&'static str> {
    let is = |other: &str| name == other || name.eq_ignore_ascii_case(other);
    let token = || value.filter(|text| !text.starts_with('"'));
    let (good, what) = match name.len() {
        6 if is("branch") => (token().is_some_and(grammar::is_token), "bad branch"),
        5 if is("rport") => (
            value.is_none() || token().is_some_and(|text| text.parse::<u16>().is_ok()),
            "bad rport",
        ),
        5 if is("maddr") => (
            token().is_some_and(|text| grammar::whole(grammar::host_or_bare_ipv6, text).is_ok()),
            "bad maddr",
        ),
        3 if is("ttl") => (token().is_some_and(|text| text.parse::<u8>().is_ok()), "bad ttl"),
        _ => return None,
    };
    (!good).then_some(what)
}

impl<'a> Header<'a> for Via<'a> {
    const NAME: HeaderName = HeaderName::Via;

    fn parse(value: &'a str) -> Result<Self, ParseError> {
        Self::read(value).map_err(|what| ParseError::header(Self::NAME, what))
    }

    fn write(&self, out: &mut String) {
        out.push_str("SIP/2.0/");
        out.push_str(&self.transport);
        out.push(' ');
        self.host.write(out);
        if let Some(port) = self.port {
            out.push(':');
            push_number(out, u64::from(port));
        }
        self.params.write(out);
    }
}

impl<'a> ListHeader<'a> for Via<'a> {}

#[cfg(test)]
mod tests {
    use super::super::to_string;
    use super::*;

    fn parse(text: &str) -> Via<'_> {
        Via::parse(text).unwrap()
    }

    // RFC 4475 section 3.1.1.1, its folds already joined.
    #[test]
    fn blanks_may_stand_around_every_separator() {
        let via = parse("SIP / 2.0  /UDP     192.0.2.2;branch=390skdjuw");
        assert_eq!(
            (via.transport.as_ref(), via.port, via.branch()),
            ("UDP", None, Some("390skdjuw"))
        );
        let list = "SIP  / 2.0  / TCP     spindle.example.com   ;  branch  =   z9hG4bK9ikj8  ,  \
                    SIP  /    2.0   / UDP  192.168.255.111   ; branch=  z9hG4bK30239";
        let vias: alloc::vec::Vec<_> = Via::parse_list(list).map(Result::unwrap).collect();
        assert_eq!(vias.len(), 2);
        assert_eq!(vias[0].host, Host::Name("spindle.example.com".into()));
        assert_eq!(vias[0].branch(), Some("z9hG4bK9ikj8"));
        assert_eq!(
            to_string(&vias[1]),
            "SIP/2.0/UDP 192.168.255.111;branch=z9hG4bK30239"
        );
        assert_eq!(parse("SIP/2.0/TLS host : 5061 ;x").port, Some(5061));
    }

    // RFC 5118 sections 4.1, 4.5 and 4.9.
    #[test]
    fn ipv6_addresses_stand_with_brackets_and_without() {
        let address: core::net::Ipv6Addr = "2001:db8::9:1".parse().unwrap();
        let via = parse("SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bKas3-111");
        assert_eq!((&via.host, via.port), (&Host::V6(address), Some(6050)));
        let bare = parse("SIP/2.0/UDP 2001:db8::9:1;branch=z9hG4bKas3-111");
        assert_eq!((&bare.host, bare.port), (&Host::V6(address), None));
        assert_eq!(
            to_string(&bare),
            "SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111"
        );
        for received in ["2001:db8::9:255", "[2001:db8::9:255]"] {
            let text =
                alloc::format!("SIP/2.0/UDP [2001:db8::9:1];received={received};branch=z9hG4bKas3-111");
            assert_eq!(parse(&text).received(), Some("2001:db8::9:255".parse().unwrap()));
            assert_eq!(to_string(&parse(&text)), text);
        }
        let mapped = parse("SIP/2.0/UDP [::ffff:192.0.2.10]:19823;branch=z9hG4bKbh19");
        assert_eq!(mapped.host, Host::V6("::ffff:192.0.2.10".parse().unwrap()));
    }

    #[test]
    fn a_peer_of_rfc_2543_sends_no_branch() {
        let via = parse("SIP/2.0/TLS 10.1.2.3:49152;ms-received-port=49152;ms-received-cid=2600");
        assert_eq!(via.branch(), None);
        assert_eq!(via.params.token("MS-Received-CID"), Some("2600"));
    }

    #[test]
    fn what_is_no_via_is_refused() {
        for text in [
            "",
            "SIP/7.0/UDP c.example.com;branch=z9hG4bKkdjuw",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP 192.0.2.15;;,;,,",
            "SIP/2.0/UDP host;branch=",
            "SIP/2.0/UDP host;branch=\"z9hG4bK1\"",
            "SIP/2.0/UDP host;branch",
            "SIP/2.0/UDP host;branch=a;Branch=b",
            "SIP/2.0/UDP host:65536",
            "SIP/2.0/UDP host:",
            "SIP/2.0/UDP [::1",
            "SIP/2.0/UDP -host",
            "SIP/2.0/UDPhost",
            "SIP/2.0/ host",
            "SIP/2.0/UDP host;rport=x",
            "SIP/2.0/UDP host;ttl=256",
            "SIP/2.0/UDP 192.0.2.256",
        ] {
            assert!(Via::parse(text).is_err(), "{text}");
        }
    }

    // RFC 3581 section 4 and RFC 3261 section 18.2.1.
    #[test]
    fn the_source_is_noted_as_the_sender_asked() {
        let source: SocketAddr = "192.0.2.1:9988".parse().unwrap();
        let mut via = parse("SIP/2.0/UDP 10.1.1.1:4540;rport;branch=z9hG4bKkjshdyff");
        assert_eq!(via.rport(), Some(None));
        via.note_source(source);
        assert_eq!(
            to_string(&via),
            "SIP/2.0/UDP 10.1.1.1:4540;rport=9988;branch=z9hG4bKkjshdyff;received=192.0.2.1"
        );
        let mut same = parse("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1");
        same.note_source(source);
        assert_eq!(same.received(), None);
        let mut name = parse("SIP/2.0/UDP host.example.com;branch=z9hG4bK1");
        name.note_source(source);
        assert_eq!((name.received(), name.rport()), (Some(source.ip()), None));
    }

    #[test]
    fn a_port_that_is_not_written_is_the_default() {
        assert!(parse("SIP/2.0/TLS Host").same_sent_by(&parse("SIP/2.0/TLS host:5061")));
        assert!(parse("SIP/2.0/TCP host").same_sent_by(&parse("SIP/2.0/TCP host:5060")));
        assert!(!parse("SIP/2.0/TCP host").same_sent_by(&parse("SIP/2.0/TCP other")));
    }

    #[test]
    fn a_hop_of_ones_own() {
        let via = Via::new(
            Transport::Tls,
            Host::Name("a.example.com".into()),
            Some(5071),
            "z9hG4bKx",
        );
        assert_eq!(to_string(&via), "SIP/2.0/TLS a.example.com:5071;branch=z9hG4bKx");
    }
}
