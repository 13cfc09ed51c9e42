//! The packets of a capture file, pcap or pcapng.

use std::fs::File;
use std::io;
use std::time::Duration;

use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{Block, PcapBlockOwned, PcapError, create_reader};

use crate::capture::Stamp;
use crate::failure::Failure;

/// How much is read ahead.
const BUFFER: usize = 64 << 10;
/// The longest block that is read; one packet is far shorter.
const LONGEST_BLOCK: usize = 16 << 20;

/// How an interface counts time, and what its packets begin with.
#[derive(Clone, Copy)]
struct Interface {
    link: u32,
    /// Units of a second.
    resolution: u64,
    /// Seconds to add.
    offset: i64,
}

/// Gives every packet with its link type to `take`. A file that breaks off has given what comes before that.
pub(crate) fn read(path: &str, mut take: impl FnMut(u32, Stamp, &[u8])) -> Result<(), Failure> {
    let unread = |error: io::Error| Failure::new(format!("cannot read {path}: {error}"));
    let file = File::open(path).map_err(unread)?;
    if file.metadata().map_err(unread)?.is_dir() {
        return Err(Failure::new(format!("cannot read {path}: it is a directory")));
    }
    read_from(file, &mut take).map_err(|broken| Failure::new(format!("{path}: {broken}")))
}

/// The same with any bytes; the error is words.
pub(crate) fn read_from<'a>(
    bytes: impl io::Read + Send + 'a,
    take: &mut impl FnMut(u32, Stamp, &[u8]),
) -> Result<(), String> {
    let mut reader = match create_reader(BUFFER, bytes) {
        Ok(reader) => reader,
        Err(PcapError::Eof) => return Err("an empty file, and no capture".to_owned()),
        Err(PcapError::ReadError) => return Err("cannot be read".to_owned()),
        Err(_) => return Err("no capture: neither pcap nor pcapng".to_owned()),
    };
    let mut packets = Packets::default();
    let mut size = BUFFER;
    loop {
        let place = reader.consumed();
        let (length, taken) = match reader.next() {
            Ok((length, block)) => (length, packets.block(&block, take)),
            Err(PcapError::Eof) => return Ok(()),
            Err(PcapError::Incomplete(_)) => {
                let before = reader.data().len();
                if reader.refill().is_err() {
                    return Err(packets.broken(place, "cannot be read"));
                }
                if reader.data().len() == before && !reader.reader_exhausted() {
                    return Err(packets.broken(place, "is longer than any packet"));
                }
                continue;
            }
            Err(PcapError::BufferTooSmall) => {
                size *= 2;
                if size > LONGEST_BLOCK || !reader.grow(size) {
                    return Err(packets.broken(place, "is longer than any packet"));
                }
                continue;
            }
            Err(PcapError::UnexpectedEof) => {
                return Err(packets.broken(place, "is not whole: the file ends in it"));
            }
            Err(PcapError::ReadError) => return Err(packets.broken(place, "cannot be read")),
            Err(PcapError::HeaderNotRecognized | PcapError::NomError(..) | PcapError::OwnedNomError(..)) => {
                return Err(packets.broken(place, "is damaged"));
            }
        };
        taken.map_err(|what| packets.broken(place, what))?;
        reader.consume(length);
    }
}

#[derive(Default)]
struct Packets {
    interfaces: Vec<Interface>,
    number: u64,
    /// The time of the packet before.
    at: Duration,
}

impl Packets {
    fn broken(&self, offset: usize, what: &str) -> String {
        format!(
            "what stands at offset {offset}, after {} packets, {what}",
            self.number
        )
    }

    fn block(
        &mut self,
        block: &PcapBlockOwned<'_>,
        take: &mut impl FnMut(u32, Stamp, &[u8]),
    ) -> Result<(), &'static str> {
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                let resolution = if header.is_nanosecond_precision() {
                    1_000_000_000
                } else {
                    1_000_000
                };
                // The upper half of the number says how long the check sums of frames are.
                let link = header.network.0.cast_unsigned() & 0xffff;
                self.interfaces.push(Interface {
                    link,
                    resolution,
                    offset: 0,
                });
            }
            PcapBlockOwned::Legacy(packet) => {
                let interface = self.interface(0)?;
                let part = units(u64::from(packet.ts_usec), interface.resolution);
                self.packet(
                    interface,
                    Duration::from_secs(u64::from(packet.ts_sec)) + part,
                    packet.data,
                    take,
                );
            }
            PcapBlockOwned::NG(Block::SectionHeader(_)) => self.interfaces.clear(),
            PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                self.interfaces.push(Interface {
                    link: interface.linktype.0.cast_unsigned(),
                    resolution: resolution(interface.if_tsresol)
                        .ok_or("counts time in units that are too small")?,
                    offset: interface.if_tsoffset,
                });
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                let interface = self.interface(packet.if_id)?;
                let count = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                let time = units(count, interface.resolution);
                let offset = Duration::from_secs(interface.offset.unsigned_abs());
                let at = if interface.offset < 0 {
                    time.saturating_sub(offset)
                } else {
                    time.saturating_add(offset)
                };
                self.packet(interface, at, packet.packet_data(), take);
            }
            PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
                let interface = self.interface(0)?;
                self.packet(interface, self.at, packet.packet_data(), take);
            }
            // Names, statistics, keys.
            PcapBlockOwned::NG(_) => {}
        }
        Ok(())
    }

    fn interface(&self, number: u32) -> Result<Interface, &'static str> {
        let found = usize::try_from(number)
            .ok()
            .and_then(|number| self.interfaces.get(number));
        found.copied().ok_or("names an interface that is not there")
    }

    fn packet(
        &mut self,
        interface: Interface,
        at: Duration,
        data: &[u8],
        take: &mut impl FnMut(u32, Stamp, &[u8]),
    ) {
        self.number += 1;
        self.at = at;
        let stamp = Stamp {
            packet: self.number,
            at,
        };
        take(interface.link, stamp, data);
    }
}

/// How many units there are in a second: a power of two where the first bit is set, else of ten.
fn resolution(exponent: u8) -> Option<u64> {
    if exponent & 0x80 == 0 {
        10_u64.checked_pow(u32::from(exponent))
    } else {
        1_u64.checked_shl(u32::from(exponent & 0x7f))
    }
}

/// So many units of which there are `resolution` in a second.
fn units(count: u64, resolution: u64) -> Duration {
    let nanos = u128::from(count % resolution) * 1_000_000_000 / u128::from(resolution);
    Duration::from_secs(count / resolution) + Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}
