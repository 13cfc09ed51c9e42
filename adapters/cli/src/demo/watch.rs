//! The ladder of the demonstration, drawn while it happens: the server in the middle, the parties at its sides.

use std::collections::BTreeMap;

use sansip::wire::{Message, MessageLimits};
use sansip_testkit::frontend::Conn;

use crate::capture::{Cut, Cutter};
use crate::ladder::{Label, Ladder};
use crate::output::Output;

/// The parties in the order of the columns. Those at the sides are user names: who registers first over a connection is at its
/// end.
const PARTIES: [&str; 3] = ["alice", "server", "bob"];
const SERVER: usize = 1;

pub(super) struct Watch {
    out: Output,
    ladder: Ladder,
    conns: BTreeMap<Conn, Streams>,
}

/// Both directions of one connection, and which party is at its other end.
struct Streams {
    party: Option<usize>,
    from: Cutter,
    to: Cutter,
}

impl Watch {
    pub(super) fn new(out: Output) -> Self {
        Self {
            out,
            ladder: Ladder::new(out, PARTIES.map(str::to_owned).to_vec()),
            conns: BTreeMap::new(),
        }
    }

    pub(super) fn draw_head(&self) {
        self.ladder.head(self.out.time());
    }

    /// Bytes passed, `from` the other end of a connection or to it.
    pub(super) fn pass(&mut self, conn: Conn, bytes: &[u8], from: bool) {
        let streams = self.conns.entry(conn).or_insert_with(|| Streams {
            party: None,
            from: Cutter::new(),
            to: Cutter::new(),
        });
        let cutter = if from { &mut streams.from } else { &mut streams.to };
        cutter.push(bytes);
        while let Some(cut) = cutter.next() {
            let Cut::Message(bytes) = cut else { continue };
            let Ok(message) = Message::parse(bytes, &MessageLimits::default()) else {
                continue;
            };
            if streams.party.is_none() && from {
                streams.party = party(&message);
            }
            if let Some(party) = streams.party {
                let (sender, receiver) = if from { (party, SERVER) } else { (SERVER, party) };
                let label = Label::of(&message);
                self.ladder
                    .arrow(self.out.time(), sender, receiver, &label, Vec::new());
            }
        }
    }
}

/// Whose connection it is, by the user in From of the first request.
fn party(message: &Message) -> Option<usize> {
    let from = message.from_().ok()?;
    let user = from.0.uri.as_sip()?.user_unescaped()?;
    PARTIES
        .iter()
        .position(|party| *party == user && *party != PARTIES[SERVER])
}
