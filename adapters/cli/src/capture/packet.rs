//! What of a packet matters here: whose TCP segment or datagram it is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TransportSlice};

/// Link types, by their numbers in captures (`LINKTYPE_`).
mod link {
    pub(super) const NULL: u32 = 0;
    pub(super) const ETHERNET: u32 = 1;
    pub(super) const RAW: u32 = 101;
    /// What some systems write in place of RAW.
    pub(super) const RAW_OF_BSD: [u32; 2] = [12, 14];
    pub(super) const LOOP: u32 = 108;
    pub(super) const LINUX_SLL: u32 = 113;
    pub(super) const IPV4: u32 = 228;
    pub(super) const IPV6: u32 = 229;
    pub(super) const UPPER_PDU: u32 = 252;
    pub(super) const LINUX_SLL2: u32 = 276;
}

/// Tags before an exported PDU (Wireshark's `exported_pdu_tlvs.h`).
pub(crate) mod tag {
    pub(crate) const END: u16 = 0;
    pub(crate) const DISSECTOR: u16 = 12;
    pub(crate) const IPV4_SOURCE: u16 = 20;
    pub(crate) const IPV4_DESTINATION: u16 = 21;
    pub(crate) const IPV6_SOURCE: u16 = 22;
    pub(crate) const IPV6_DESTINATION: u16 = 23;
    pub(crate) const PORT_TYPE: u16 = 24;
    pub(crate) const SOURCE_PORT: u16 = 25;
    pub(crate) const DESTINATION_PORT: u16 = 26;
    /// The value of `PORT_TYPE` for TCP.
    pub(crate) const TCP: u32 = 2;
}

/// See the module.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    Tcp(Segment<'a>),
    Udp {
        ends: Ends,
        payload: &'a [u8],
    },
    /// What a dissector made of other packets: one whole message.
    Exported {
        ends: Ends,
        dissector: &'a [u8],
        payload: &'a [u8],
    },
    /// A part of an IP packet, which is not put together here.
    Fragment,
    /// Nothing of this, or too short for it.
    Other,
    /// A link type that is not known here.
    Unknown,
}

/// Who sent it, and to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ends {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Segment<'a> {
    pub(crate) ends: Ends,
    pub(crate) sequence: u32,
    pub(crate) syn: bool,
    pub(crate) ack: bool,
    pub(crate) rst: bool,
    pub(crate) payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a packet of this link type.
    pub(crate) fn read(link: u32, data: &'a [u8]) -> Self {
        let sliced = match link {
            link::ETHERNET => LaxSlicedPacket::from_ethernet(data).ok(),
            link::RAW | link::IPV4 | link::IPV6 => LaxSlicedPacket::from_ip(data).ok(),
            other if link::RAW_OF_BSD.contains(&other) => LaxSlicedPacket::from_ip(data).ok(),
            // The protocol family is the host's own; the version of IP says as much.
            link::NULL | link::LOOP => data.get(4..).and_then(|data| LaxSlicedPacket::from_ip(data).ok()),
            link::LINUX_SLL => cooked(data, 14, 16),
            link::LINUX_SLL2 => cooked(data, 0, 20),
            link::UPPER_PDU => return exported(data).unwrap_or(Self::Other),
            _ => return Self::Unknown,
        };
        sliced.and_then(|sliced| Self::of(&sliced)).unwrap_or(Self::Other)
    }

    fn of(sliced: &LaxSlicedPacket<'a>) -> Option<Self> {
        let (from, to, fragmented) = match sliced.net.as_ref()? {
            LaxNetSlice::Ipv4(ip) => (
                IpAddr::V4(ip.header().source_addr()),
                IpAddr::V4(ip.header().destination_addr()),
                ip.is_payload_fragmented(),
            ),
            LaxNetSlice::Ipv6(ip) => (
                IpAddr::V6(ip.header().source_addr()),
                IpAddr::V6(ip.header().destination_addr()),
                ip.is_payload_fragmented(),
            ),
            LaxNetSlice::Arp(_) => return None,
        };
        if fragmented {
            return Some(Self::Fragment);
        }
        let ends = |source, destination| Ends {
            from: SocketAddr::new(from, source),
            to: SocketAddr::new(to, destination),
        };
        match sliced.transport.as_ref()? {
            TransportSlice::Tcp(tcp) => Some(Self::Tcp(Segment {
                ends: ends(tcp.source_port(), tcp.destination_port()),
                sequence: tcp.sequence_number(),
                syn: tcp.syn(),
                ack: tcp.ack(),
                rst: tcp.rst(),
                payload: tcp.payload(),
            })),
            TransportSlice::Udp(udp) => Some(Self::Udp {
                ends: ends(udp.source_port(), udp.destination_port()),
                payload: udp.payload(),
            }),
            TransportSlice::Icmpv4(_) | TransportSlice::Icmpv6(_) | TransportSlice::Igmp(_) => None,
        }
    }
}

/// A packet behind a header of this length with its protocol at this place.
fn cooked(data: &[u8], protocol: usize, header: usize) -> Option<LaxSlicedPacket<'_>> {
    let number = data.get(protocol..)?.first_chunk()?;
    let ether_type = EtherType(u16::from_be_bytes(*number));
    Some(LaxSlicedPacket::from_ether_type(ether_type, data.get(header..)?))
}

fn exported(mut data: &[u8]) -> Option<Packet<'_>> {
    let (mut from, mut to) = (None, None);
    let (mut source, mut destination) = (0, 0);
    let mut dissector: &[u8] = b"";
    loop {
        let (tag, rest) = data.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (value, rest) = rest.split_at_checked(length)?;
        data = rest;
        match u16::from_be_bytes(*tag) {
            tag::END => break,
            // Padded with zeros.
            tag::DISSECTOR => dissector = value.split(|byte| *byte == 0).next()?,
            tag::IPV4_SOURCE => from = Some(IpAddr::V4(Ipv4Addr::from(*value.first_chunk()?))),
            tag::IPV4_DESTINATION => to = Some(IpAddr::V4(Ipv4Addr::from(*value.first_chunk()?))),
            tag::IPV6_SOURCE => from = Some(IpAddr::V6(Ipv6Addr::from(*value.first_chunk::<16>()?))),
            tag::IPV6_DESTINATION => to = Some(IpAddr::V6(Ipv6Addr::from(*value.first_chunk::<16>()?))),
            tag::SOURCE_PORT => source = port(value)?,
            tag::DESTINATION_PORT => destination = port(value)?,
            _ => {}
        }
    }
    Some(Packet::Exported {
        ends: Ends {
            from: SocketAddr::new(from?, source),
            to: SocketAddr::new(to?, destination),
        },
        dissector,
        payload: data,
    })
}

fn port(value: &[u8]) -> Option<u16> {
    u16::try_from(u32::from_be_bytes(*value.first_chunk()?)).ok()
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;
    use proptest::prelude::*;

    use super::*;

    const TEXT: &[u8] = b"OPTIONS sip:a SIP/2.0";

    fn ip() -> Vec<u8> {
        let mut packet = Vec::new();
        PacketBuilder::ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64)
            .udp(5060, 5062)
            .write(&mut packet, TEXT)
            .unwrap();
        packet
    }

    fn is_the_datagram(link: u32, data: &[u8]) {
        let ends = Ends {
            from: "192.0.2.1:5060".parse().unwrap(),
            to: "192.0.2.2:5062".parse().unwrap(),
        };
        assert_eq!(
            Packet::read(link, data),
            Packet::Udp { ends, payload: TEXT },
            "{link}"
        );
    }

    #[test]
    fn each_link_type_is_unwrapped() {
        for link in [12, 14, 101, 228] {
            is_the_datagram(link, &ip());
        }
        let behind = |header: &[u8]| [header, &ip()].concat();
        is_the_datagram(0, &behind(&[2, 0, 0, 0]));
        is_the_datagram(108, &behind(&[0, 0, 0, 2]));
        // Two addresses; then a VLAN tag as well.
        let mut ethernet = vec![2; 12];
        ethernet.extend([0x08, 0x00]);
        // Short frames are padded.
        is_the_datagram(1, &[behind(&ethernet), vec![0; 9]].concat());
        let mut vlan = vec![2; 12];
        vlan.extend([0x81, 0x00, 0, 7, 0x08, 0x00]);
        is_the_datagram(1, &behind(&vlan));
        // The protocol stands last, or first.
        let mut cooked = vec![0; 14];
        cooked.extend([0x08, 0x00]);
        is_the_datagram(113, &behind(&cooked));
        let mut cooked = vec![0x08, 0x00];
        cooked.extend([0; 18]);
        is_the_datagram(276, &behind(&cooked));
        assert_eq!(Packet::read(147, &ip()), Packet::Unknown);
    }

    #[test]
    fn a_fragment_is_no_datagram() {
        let mut packet = ip();
        // More fragments (RFC 791 section 3.1).
        packet[6] |= 0x20;
        assert_eq!(Packet::read(101, &packet), Packet::Fragment);
    }

    proptest! {
        #[test]
        fn nothing_panics(link in prop_oneof![Just(0), Just(1), Just(101), Just(113), Just(252), Just(276)],
            data in proptest::collection::vec(any::<u8>(), 0..120)) {
            Packet::read(link, &data);
        }

        #[test]
        fn a_broken_packet_panics_neither(at in any::<prop::sample::Index>(), byte in any::<u8>(), length in any::<prop::sample::Index>()) {
            let mut packet = ip();
            let at = at.index(packet.len());
            packet[at] = byte;
            packet.truncate(length.index(packet.len() + 1));
            Packet::read(101, &packet);
        }
    }
}
