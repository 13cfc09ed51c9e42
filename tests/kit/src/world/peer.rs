//! Scripted peers: hosts of a world that say exactly what a test writes.

use std::net::SocketAddr;

use bytes::Bytes;
use sansip::wire::frame::{Frame, Framer};
use sansip::wire::{Message, MessageLimits};
use sansip::{CloseReason, Transport};

use super::net::{LinkId, Name};
use super::{Host, PeerId, World};

/// One connection of a scripted peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LineId {
    pub(super) link: usize,
    pub(super) side: usize,
}

/// What came over a connection and was not asked for yet.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    framer: Framer,
    messages: Vec<Message>,
    bytes: Vec<u8>,
}

impl Default for Heard {
    fn default() -> Self {
        let framer = Framer::new(MessageLimits::default());
        Self {
            framer,
            messages: Vec::new(),
            bytes: Vec::new(),
        }
    }
}

impl World {
    /// A host that does only what the test says.
    pub fn peer(&mut self) -> PeerId {
        let id = PeerId(self.peers);
        self.peers += 1;
        self.settle_in(Host::Peer(id));
        id
    }

    /// The peer listens on a port of its address.
    ///
    /// # Panics
    /// The port is in use, or TLS is to be spoken without a certificate.
    #[track_caller]
    pub fn peer_listens(&mut self, peer: PeerId, port: u16, transport: Transport) -> SocketAddr {
        let address = SocketAddr::new(self.ip(peer), port);
        self.bind(Host::Peer(peer), address, transport, None)
            .expect("the peer can listen there")
    }

    /// The peer connects; over TLS where `tls` names the server.
    pub fn dial(&mut self, peer: PeerId, remote: SocketAddr, tls: Option<&str>) -> LineId {
        let line = LineId {
            link: self.joined,
            side: 0,
        };
        self.open_link(Host::Peer(peer), Name::Peer(line), remote, tls.map(str::to_owned));
        line
    }

    /// The open connections of a peer, made or accepted, oldest first.
    pub fn lines(&self, peer: PeerId) -> Vec<LineId> {
        let host = Host::Peer(peer);
        let mut lines = Vec::new();
        for (LinkId(link), ends) in self.links.iter().map(|(id, link)| (*id, &link.ends)) {
            for (side, end) in ends.iter().enumerate() {
                if end.host == host && end.open {
                    lines.push(LineId { link, side });
                }
            }
        }
        lines
    }

    /// The peer says a message, written as lines: their ends, and a Content-Length where none is written, are added.
    /// What follows an empty line is the body.
    pub fn say(&mut self, line: LineId, text: &str) {
        let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
        let lines: Vec<&str> = head
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        let counted = lines
            .iter()
            .any(|line| line.to_ascii_lowercase().starts_with("content-length"));
        let length = if counted {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", body.len())
        };
        self.say_bytes(
            line,
            format!("{}\r\n{length}\r\n{body}", lines.join("\r\n")).as_bytes(),
        );
    }

    /// The peer sends bytes.
    pub fn say_bytes(&mut self, line: LineId, bytes: &[u8]) {
        let link = LinkId(line.link);
        if let Some(side) = self.side_of(line) {
            self.transfer(link, side, Bytes::copy_from_slice(bytes));
        }
    }

    /// The messages that have come since they were last asked for.
    pub fn heard(&mut self, line: LineId) -> Vec<Message> {
        self.heard
            .get_mut(&line)
            .map(|heard| std::mem::take(&mut heard.messages))
            .unwrap_or_default()
    }

    /// Whether a message has come to any peer and was not asked for yet.
    pub fn has_heard(&self) -> bool {
        self.heard.values().any(|heard| !heard.messages.is_empty())
    }

    /// All bytes that have come since they were last asked for.
    pub fn heard_bytes(&mut self, line: LineId) -> Vec<u8> {
        self.heard
            .get_mut(&line)
            .map(|heard| std::mem::take(&mut heard.bytes))
            .unwrap_or_default()
    }

    /// The peer closes the connection.
    pub fn hang_up(&mut self, line: LineId) {
        if let Some(side) = self.side_of(line) {
            self.close_end(LinkId(line.link), side);
        }
    }

    /// Whether the connection is open at the peer's end.
    pub fn is_line_open(&self, line: LineId) -> bool {
        self.side_of(line).is_some()
    }

    /// The peer's system resets the connection.
    pub fn break_off(&mut self, line: LineId) {
        let link = LinkId(line.link);
        if let Some(side) = self.side_of(line) {
            self.drop_end(link, side);
            let latency = self.latency();
            self.after(
                latency,
                super::Happening::Ended(link, 1 - side, CloseReason::Reset),
            );
        }
    }

    /// Who is at the other end of a connection.
    pub fn other_end(&self, line: LineId) -> Host {
        self.end(LinkId(line.link), 1 - line.side).host
    }

    fn side_of(&self, line: LineId) -> Option<usize> {
        let end = self.links.get(&LinkId(line.link))?.ends.get(line.side)?;
        (end.open && end.name == Name::Peer(line)).then_some(line.side)
    }

    pub(super) fn hear(&mut self, line: LineId, bytes: &[u8]) {
        let heard = self.heard.entry(line).or_default();
        heard.bytes.extend_from_slice(bytes);
        heard.framer.push(bytes);
        while let Some(frame) = heard.framer.next() {
            if let Frame::Message { bytes, .. } = frame
                && let Ok(message) = Message::parse(bytes, &MessageLimits::default())
            {
                heard.messages.push(message);
            }
        }
    }
}
