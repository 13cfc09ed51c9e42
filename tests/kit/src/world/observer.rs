//! An observer on the links of a stack, who counts what passes there without the stack's own framing, and to whose
//! numbers the stack's counters are held (rule X7).

use std::collections::BTreeMap;
use std::fmt;

use sansip::{Census, ConnId, Stack};

use super::net::Name;
use super::{Host, StackId, World};

/// What has passed on all links of one stack.
#[derive(Clone, Debug, Default)]
pub(super) struct Observer {
    pub(super) sent: Flow,
    pub(super) received: Flow,
    /// Some bytes came with others that made the stack close their connection: it has not looked at all of them.
    pub(super) closed_within: bool,
}

/// One direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Flow {
    bytes: u64,
    /// How many messages of each method, and of each class of responses.
    messages: BTreeMap<String, u64>,
    /// What has come of the message that is under way on each connection.
    parts: BTreeMap<ConnId, Part>,
}

#[derive(Clone, Debug, Default)]
struct Part {
    bytes: Vec<u8>,
    /// So many of them have been looked at for the end of a head.
    seen: usize,
    /// There is no whole message before so many bytes are there.
    wanted: usize,
}

impl Flow {
    pub(super) fn pass(&mut self, conn: ConnId, bytes: &[u8]) {
        self.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let part = self.parts.entry(conn).or_default();
        part.bytes.extend_from_slice(bytes);
        while part.bytes.len() >= part.wanted.max(1) {
            match first(&part.bytes, part.seen) {
                Ok((name, length)) => {
                    part.bytes.drain(..length);
                    (part.seen, part.wanted) = (0, 0);
                    *self.messages.entry(name).or_default() += 1;
                }
                Err(0) => (part.seen, part.wanted) = (part.bytes.len(), part.bytes.len() + 1),
                Err(wanted) => part.wanted = wanted,
            }
        }
    }
}

/// What the first message is and where it ends; else how many bytes have to be there at least, zero where that cannot be
/// told. In the first `seen` bytes no head ends.
fn first(bytes: &[u8], seen: usize) -> Result<(String, usize), usize> {
    let start = bytes
        .iter()
        .position(|byte| !b"\r\n".contains(byte))
        .ok_or(0_usize)?;
    let rest = bytes.get(start..).unwrap_or_default();
    // The end may have begun in what has been seen.
    let from = seen.saturating_sub(start + 3);
    let fresh = rest.get(from..).unwrap_or_default();
    let end = from
        + fresh
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .ok_or(0_usize)?;
    let head = String::from_utf8_lossy(rest.get(..end).unwrap_or_default());
    let body = head.lines().skip(1).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let name = name.trim();
        let is_length = name.eq_ignore_ascii_case("Content-Length") || name.eq_ignore_ascii_case("l");
        is_length.then(|| value.trim().parse().unwrap_or(0_usize))
    });
    let whole = (start + end + 4).saturating_add(body.unwrap_or_default());
    if bytes.len() < whole {
        return Err(whole);
    }
    let name = match head.strip_prefix("SIP/2.0 ") {
        Some(status) => format!("{}xx", status.get(..1).unwrap_or_default()),
        None => head.split(' ').next().unwrap_or_default().to_owned(),
    };
    Ok((name, whole))
}

/// The numbers of one direction that are not zero.
fn told(stack: &Stack, direction: &str) -> BTreeMap<String, u64> {
    let mut told = BTreeMap::new();
    stack.counters().for_each(|name, value| {
        if let Some(what) = name.strip_prefix(direction)
            && value > 0
        {
            told.insert(what.to_owned(), value);
        }
    });
    told
}

/// What is alive by the counters is what the census finds, at any time.
pub(super) fn judge_active(stack: &Stack, who: impl fmt::Display) {
    let (counters, census) = (stack.counters(), stack.census());
    let active = [
        counters.transactions.active(),
        counters.connections.active(),
        counters.sessions.active(),
        counters.subscriptions.active(),
        counters.publications.active(),
    ];
    let held = [
        census.transactions,
        census.connections,
        census.sessions,
        census.subscriptions,
        census.publications,
    ]
    .map(|held| u64::try_from(held).unwrap_or(u64::MAX));
    assert_eq!(
        active, held,
        "{who}: transactions, connections, sessions, subscriptions, publications"
    );
}

impl World {
    /// What a stack holds, unless its adapter has not yet taken all that it wants.
    ///
    /// # Panics
    /// It does not know a connection that the world has for it, or its sums are not those of its connections.
    pub(crate) fn held(&self, id: StackId) -> Option<Census> {
        let stack = &self.stacks.get(id.0).expect("a host of this world").stack;
        let census = stack.census();
        if census.actions > 0 {
            return None;
        }
        let (mut users, mut queued) = (0, 0);
        let own = self.ends.range((Host::Stack(id), Name::None)..);
        for ((host, name), _) in own.take_while(|((host, _), _)| *host == Host::Stack(id)) {
            if let Name::Stack(conn) = name {
                let known = stack.connection(*conn);
                let known = known.unwrap_or_else(|| panic!("{host} does not know its connection {conn}"));
                (users, queued) = (users + known.users, queued + known.queued);
            }
        }
        // One whose address is still looked for has users, and no bytes.
        assert!(users <= census.leases, "{users} users: {census:?}");
        assert_eq!(queued, census.queued_bytes, "bytes that wait: {census:?}");
        Some(census)
    }
}

impl Observer {
    /// A connection is gone; what has come of a message on it never becomes one.
    pub(super) fn forget(&mut self, conn: ConnId) {
        self.sent.parts.remove(&conn);
        self.received.parts.remove(&conn);
    }

    /// The stack counts what was observed. What it took for malformed has no name that both agree on.
    pub(super) fn judge(&self, stack: &Stack, who: impl fmt::Display) {
        let counters = stack.counters();
        assert_eq!(
            (counters.bytes_sent, counters.bytes_received),
            (self.sent.bytes, self.received.bytes),
            "{who}: bytes sent and received"
        );
        assert_eq!(
            told(stack, "sent."),
            named(&self.sent, stack),
            "{who}: messages sent"
        );
        if counters.malformed == 0 && !self.closed_within {
            assert_eq!(
                told(stack, "received."),
                named(&self.received, stack),
                "{who}: messages received"
            );
        }
    }
}

/// What was observed, with methods that the stack has no name for as one.
fn named(flow: &Flow, stack: &Stack) -> BTreeMap<String, u64> {
    let mut names = Vec::new();
    stack
        .counters()
        .for_each(|name, _| names.extend(name.strip_prefix("sent.").map(ToOwned::to_owned)));
    let mut named = BTreeMap::new();
    for (name, number) in &flow.messages {
        let name = if names.contains(name) {
            name.as_str()
        } else {
            "Other"
        };
        *named.entry(name.to_owned()).or_default() += number;
    }
    named
}
