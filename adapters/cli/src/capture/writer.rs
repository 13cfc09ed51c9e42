//! Writing a capture (pcapng) of what passed on connections.
//!
//! | connection | link type | one packet is |
//! |---|---|---|
//! | TCP | raw IP | an IP packet with a TCP segment; its headers are made up from the addresses and the bytes that passed |
//! | TLS | exported PDU | a whole message, with the name of its dissector and the addresses: what passed above TLS |
//!
//! Exported PDUs are how Wireshark itself writes what it has deciphered. Bytes above TLS that are no message are in packets for the
//! dissector `data`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use etherparse::{PacketBuilder, TcpHeader, TcpOptionElement, TcpOptions};
use pcap_parser::{
    EnhancedPacketBlock, InterfaceDescriptionBlock, Linktype, OptionCode, PcapNGOption, SectionHeaderBlock,
    ToVec,
};
use sansip_mio::{Tap, Tapped};

use crate::capture::cut::{Cut, Cutter};
use crate::capture::packet::tag;
use crate::failure::Failure;
use crate::keep;

/// The most data in one packet: no reader has to take more than 256 KiB of one, and IP takes less than 64.
const SEGMENT: usize = 32 << 10;
const EXPORTED: usize = 192 << 10;
/// The interface of TCP connections, and that of TLS connections.
const TCP: u32 = 0;
const TLS: u32 = 1;
/// So that any number of bytes may be under way, in segments of any size.
const SYN_OPTIONS: [TcpOptionElement; 2] = [
    TcpOptionElement::MaximumSegmentSize(u16::MAX),
    TcpOptionElement::WindowScale(14),
];

/// A capture that is being written. Copies write to the same file.
#[derive(Clone)]
pub(crate) struct Capture {
    path: Arc<Path>,
    writer: Arc<Mutex<Writer>>,
    /// How many sources there have been.
    sources: Arc<AtomicU64>,
}

/// One source's connection.
pub(crate) type ConnKey = (u64, u64);

struct Writer {
    file: File,
    conns: HashMap<ConnKey, Conn>,
    /// The first failure; nothing is written after it.
    error: Option<io::Error>,
}

struct Conn {
    /// Our end and the other one.
    ends: [SocketAddr; 2],
    form: Form,
}

enum Form {
    /// The next sequence number of each end.
    Tcp([u32; 2]),
    Tls(Box<[Cutter; 2]>),
}

/// Who of the two did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Ours,
    Theirs,
}

impl Capture {
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let mut writer = Writer {
            file: keep::create(path)?,
            conns: HashMap::new(),
            error: None,
        };
        writer.write_head();
        let capture = Self {
            path: path.into(),
            writer: Arc::new(Mutex::new(writer)),
            sources: Arc::new(AtomicU64::new(0)),
        };
        capture.finish().map(|()| capture)
    }

    /// Has all that one more source sees go into it, at the time when it sees it.
    pub(crate) fn tap(&self) -> Tap {
        let (capture, source) = (self.clone(), self.sources.fetch_add(1, Ordering::Relaxed));
        Tap::new(move |seen| capture.see(source, seen))
    }

    fn see(&self, source: u64, seen: &Tapped<'_>) {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        match *seen {
            Tapped::Ready {
                socket,
                local,
                remote,
                outgoing,
                tls,
            } => {
                let by = if outgoing { Side::Ours } else { Side::Theirs };
                self.ready(at, (source, socket.number()), [local, remote], by, tls);
            }
            Tapped::Received { socket, bytes } => {
                self.data(at, (source, socket.number()), Side::Theirs, bytes)
            }
            Tapped::Sent { socket, bytes } => self.data(at, (source, socket.number()), Side::Ours, bytes),
            Tapped::Closed { socket, ours } => {
                let by = if ours { Side::Ours } else { Side::Theirs };
                self.closed(at, (source, socket.number()), by);
            }
        }
    }

    /// A connection is ready: between our end and the other one, made by one of them.
    pub(crate) fn ready(&self, at: Duration, key: ConnKey, ends: [SocketAddr; 2], by: Side, tls: bool) {
        self.write(|writer| writer.ready(at, key, ends, by, tls));
    }

    /// Bytes passed, written by one side.
    pub(crate) fn data(&self, at: Duration, key: ConnKey, by: Side, bytes: &[u8]) {
        self.write(|writer| writer.data(at, key, by, bytes));
    }

    /// A connection is gone, ended by one side.
    pub(crate) fn closed(&self, at: Duration, key: ConnKey, by: Side) {
        self.write(|writer| writer.closed(at, key, by));
    }

    /// Fails where not everything could be written.
    pub(crate) fn finish(&self) -> Result<(), Failure> {
        let error = self.writer().error.take();
        error.map_or(Ok(()), |error| Err(keep::unwritten(&self.path, &error)))
    }

    fn write(&self, write: impl FnOnce(&mut Writer) -> io::Result<()>) {
        let mut writer = self.writer();
        if writer.error.is_none() {
            let result = write(&mut writer);
            writer.error = result.err();
        }
    }

    fn writer(&self) -> std::sync::MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    fn write_head(&mut self) {
        let text = |code, text: &'static str| PcapNGOption {
            code,
            len: u16::try_from(text.len()).unwrap_or(0),
            value: text.as_bytes().into(),
        };
        let program = concat!("sansip ", env!("CARGO_PKG_VERSION"));
        let mut head = SectionHeaderBlock {
            block_type: 0,
            block_len1: 0,
            bom: 0,
            major_version: 1,
            minor_version: 0,
            section_len: -1,
            options: vec![text(OptionCode::ShbUserAppl, program)],
            block_len2: 0,
        };
        let interface = |linktype, name, description| InterfaceDescriptionBlock {
            block_type: 0,
            block_len1: 0,
            linktype,
            reserved: 0,
            snaplen: 0,
            options: vec![
                text(OptionCode::IfName, name),
                text(OptionCode::IfDescription, description),
            ],
            block_len2: 0,
            if_tsresol: 6,
            if_tsoffset: 0,
        };
        let mut tcp = interface(
            Linktype::RAW,
            "tcp",
            "TCP connections, with headers made up from what passed",
        );
        let mut tls = interface(
            Linktype::WIRESHARK_UPPER_PDU,
            "tls",
            "TLS connections: what passed above TLS",
        );
        let result = self
            .block(&mut head)
            .and_then(|()| self.block(&mut tcp))
            .and_then(|()| self.block(&mut tls));
        self.error = result.err();
    }

    /// In one call, so that a file that breaks off does so between blocks.
    fn block(&mut self, block: &mut impl ToVec) -> io::Result<()> {
        let bytes = block
            .to_vec()
            .map_err(|error| io::Error::other(error.to_string()))?;
        self.file.write_all(&bytes)
    }

    fn packet(&mut self, at: Duration, interface: u32, data: &[u8], whole: usize) -> io::Result<()> {
        let time = u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
        let length = |length| u32::try_from(length).unwrap_or(u32::MAX);
        self.block(&mut EnhancedPacketBlock {
            block_type: 0,
            block_len1: 0,
            if_id: interface,
            ts_high: u32::try_from(time >> 32).unwrap_or(u32::MAX),
            ts_low: u32::try_from(time & u64::from(u32::MAX)).unwrap_or(0),
            caplen: length(data.len()),
            origlen: length(whole),
            data,
            options: Vec::new(),
            block_len2: 0,
        })
    }

    fn ready(
        &mut self,
        at: Duration,
        key: ConnKey,
        ends: [SocketAddr; 2],
        by: Side,
        tls: bool,
    ) -> io::Result<()> {
        let form = if tls {
            Form::Tls(Box::new([Cutter::new(), Cutter::new()]))
        } else {
            Form::Tcp([0, 0])
        };
        self.conns.insert(key, Conn { ends, form });
        if tls {
            return Ok(());
        }
        self.segment(at, key, by, &[], |header| header.syn = true)?;
        self.segment(at, key, by.other(), &[], |header| {
            (header.syn, header.ack) = (true, true)
        })?;
        self.segment(at, key, by, &[], |header| header.ack = true)
    }

    fn data(&mut self, at: Duration, key: ConnKey, by: Side, bytes: &[u8]) -> io::Result<()> {
        let Some(conn) = self.conns.get_mut(&key) else {
            return Ok(());
        };
        let Form::Tls(cutters) = &mut conn.form else {
            return bytes.chunks(SEGMENT).try_for_each(|bytes| {
                self.segment(at, key, by, bytes, |header| {
                    (header.ack, header.psh) = (true, true)
                })
            });
        };
        let cutter = by.of_mut(cutters);
        cutter.push(bytes);
        let mut cuts = Vec::new();
        while let Some(cut) = cutter.next() {
            cuts.push(cut);
        }
        let ends = by.order(conn.ends);
        cuts.into_iter().try_for_each(|cut| match cut {
            Cut::Message(bytes) => self.exported(at, ends, b"sip", &bytes),
            Cut::Crlf => self.exported(at, ends, b"sip", b"\r\n"),
            Cut::Lost(_, bytes) => self.no_message(at, ends, &bytes),
        })
    }

    fn closed(&mut self, at: Duration, key: ConnKey, by: Side) -> io::Result<()> {
        let Some(conn) = self.conns.get_mut(&key) else {
            return Ok(());
        };
        match &mut conn.form {
            Form::Tcp(_) => {
                let end = |header: &mut TcpHeader| (header.fin, header.ack) = (true, true);
                self.segment(at, key, by, &[], end)?;
                self.segment(at, key, by.other(), &[], end)?;
                self.segment(at, key, by, &[], |header| header.ack = true)?;
            }
            Form::Tls(cutters) => {
                let ends = conn.ends;
                let rests = cutters.each_mut().map(Cutter::take_rest);
                for (by, rest) in [Side::Ours, Side::Theirs].into_iter().zip(rests) {
                    self.no_message(at, by.order(ends), &rest)?;
                }
            }
        }
        self.conns.remove(&key);
        Ok(())
    }

    fn no_message(&mut self, at: Duration, ends: [SocketAddr; 2], bytes: &[u8]) -> io::Result<()> {
        bytes
            .chunks(EXPORTED)
            .try_for_each(|bytes| self.exported(at, ends, b"data", bytes))
    }

    /// One TCP segment; nothing on other connections.
    fn segment(
        &mut self,
        at: Duration,
        key: ConnKey,
        by: Side,
        data: &[u8],
        flags: impl FnOnce(&mut TcpHeader),
    ) -> io::Result<()> {
        let Some(Conn {
            ends,
            form: Form::Tcp(sequences),
        }) = self.conns.get_mut(&key)
        else {
            return Ok(());
        };
        let [from, to] = by.order(*ends);
        let mut header = TcpHeader::new(from.port(), to.port(), *by.of_mut(sequences), u16::MAX);
        flags(&mut header);
        if header.ack {
            header.acknowledgment_number = *by.other().of_mut(sequences);
        }
        if header.syn {
            header.options = TcpOptions::try_from_elements(&SYN_OPTIONS)
                .map_err(|error| io::Error::other(error.to_string()))?;
        }
        let length = u32::try_from(data.len()).unwrap_or(0) + u32::from(header.syn) + u32::from(header.fin);
        let next = by.of_mut(sequences);
        *next = next.wrapping_add(length);
        let builder = match (from.ip(), to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => PacketBuilder::ipv4(from.octets(), to.octets(), 64),
            (from, to) => PacketBuilder::ipv6(octets(from), octets(to), 64),
        };
        let mut packet = Vec::with_capacity(data.len() + 64);
        builder
            .tcp_header(header)
            .write(&mut packet, data)
            .map_err(|error| io::Error::other(error.to_string()))?;
        self.packet(at, TCP, &packet, packet.len())
    }

    fn exported(
        &mut self,
        at: Duration,
        [from, to]: [SocketAddr; 2],
        dissector: &[u8],
        data: &[u8],
    ) -> io::Result<()> {
        let mut packet = Vec::with_capacity(data.len() + 96);
        put(&mut packet, tag::DISSECTOR, dissector);
        for (address, v4, v6) in [
            (from, tag::IPV4_SOURCE, tag::IPV6_SOURCE),
            (to, tag::IPV4_DESTINATION, tag::IPV6_DESTINATION),
        ] {
            match address.ip() {
                IpAddr::V4(address) => put(&mut packet, v4, &address.octets()),
                IpAddr::V6(address) => put(&mut packet, v6, &address.octets()),
            }
        }
        put(&mut packet, tag::PORT_TYPE, &tag::TCP.to_be_bytes());
        put(
            &mut packet,
            tag::SOURCE_PORT,
            &u32::from(from.port()).to_be_bytes(),
        );
        put(
            &mut packet,
            tag::DESTINATION_PORT,
            &u32::from(to.port()).to_be_bytes(),
        );
        put(&mut packet, tag::END, &[]);
        let kept = data.get(..EXPORTED).unwrap_or(data);
        packet.extend_from_slice(kept);
        let whole = packet.len() + data.len() - kept.len();
        self.packet(at, TLS, &packet, whole)
    }
}

/// A tag with its value, which is padded to four bytes.
fn put(packet: &mut Vec<u8>, tag: u16, value: &[u8]) {
    let padded = value.len().next_multiple_of(4);
    packet.extend(tag.to_be_bytes());
    packet.extend(u16::try_from(padded).unwrap_or(0).to_be_bytes());
    packet.extend(value);
    packet.extend(std::iter::repeat_n(0, padded - value.len()));
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

impl Side {
    const fn other(self) -> Self {
        match self {
            Self::Ours => Self::Theirs,
            Self::Theirs => Self::Ours,
        }
    }

    /// What is this side's, of ours and theirs.
    const fn of_mut<T>(self, [ours, theirs]: &mut [T; 2]) -> &mut T {
        match self {
            Self::Ours => ours,
            Self::Theirs => theirs,
        }
    }

    /// From whom, and to whom.
    const fn order(self, [ours, theirs]: [SocketAddr; 2]) -> [SocketAddr; 2] {
        match self {
            Self::Ours => [ours, theirs],
            Self::Theirs => [theirs, ours],
        }
    }
}
