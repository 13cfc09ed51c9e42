//! A front end among clients that do what they like.

use std::fmt::Write;
use std::hash::Hasher;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use sansip::wire::frame::{Frame, Framer};
use sansip::wire::{Message, MessageLimits};
use sansip::{Time, Transport};
use siphasher::sip::SipHasher13;

use super::script::Script;
use super::talk::Talk;
use crate::frontend::{
    Conn, Deregistration, FrontEnd, FrontEndConfig, Lost, Memory, Output, PresenceLimits, Protocol,
};

/// Waits, in milliseconds.
const WAITS: [u64; 8] = [1, 500, 4_000, 32_000, 61_000, 190_000, 600_000, 3_600_000];

/// No front end has more to do in one wait.
const BUSY: usize = 2_000;

/// A front end under a scenario. The first byte chooses its settings; then come letters with their arguments, which
/// are written as digits (and `:;<=>?` for 10 to 15):
///
/// | letter | arguments | what happens |
/// |---|---|---|
/// | `a` | | a client connects |
/// | `b` | connection, count | so many bytes of the script arrive as they stand |
/// | `d` | connection | a client's connection is gone |
/// | `e` | connection | the server closes one |
/// | `f` | request, status, variant | a client answers a request that it got |
/// | `g` | connection, method, kind | a client sends a request |
/// | `n` | user, why | the server deregisters a user, or loses them |
/// | `r` | memory | the server restarts |
/// | `w` | how long | time passes |
/// | `y` | count, changes | what a client said last comes once more, with some bytes changed |
///
/// Everything is done twice, once with all bytes in pieces of one, and has to come out the same; what is sent has to be
/// SIP; no deadline may be without progress; and when everybody has gone, nothing may be under way.
///
/// # Panics
/// One of it is not so.
pub fn frontend(bytes: &[u8]) -> usize {
    let first = Run::new(bytes, usize::MAX).live();
    let second = Run::new(bytes, 1).live();
    assert_eq!(first, second, "two runs differ (steps, and a hash of all output)");
    first.0 * 2
}

struct Run<'a> {
    script: Script<'a>,
    chunk: usize,
    front_end: FrontEnd,
    now: Time,
    lines: Vec<Line>,
    uris: Vec<String>,
    talk: Talk,
    seen: SipHasher13,
    steps: usize,
}

struct Line {
    open: bool,
    framer: Framer,
}

impl<'a> Run<'a> {
    fn new(bytes: &'a [u8], chunk: usize) -> Self {
        let mut script = Script::new(bytes);
        let choice = script.pick(16);
        let mut config = FrontEndConfig::new("example.com");
        if choice & 1 != 0 {
            config = config.with_user("alice", "secret").with_user("p", "hidden");
        }
        config.remove_lost_flows = choice & 2 != 0;
        config.gruu = choice & 4 == 0;
        if choice & 5 == 5 {
            config = config.with_protocols(&[Protocol::Ntlm, Protocol::Digest]);
            (config.associations.most, config.associations.most_handshakes) = (3, 3);
        }
        config.presence_state = choice & 8 != 0;
        config.presence = (choice & 8 != 0).then_some(PresenceLimits {
            subscriptions: 3,
            publications: 3,
        });
        let uris = [
            "sip:p@example.com",
            "sip:nobody@example.com",
            "sip:far@example.org",
        ];
        Self {
            script,
            chunk,
            front_end: FrontEnd::new(config, 7),
            now: Time::from_secs(1),
            lines: Vec::new(),
            uris: uris.map(String::from).to_vec(),
            talk: Talk::default(),
            seen: SipHasher13::new(),
            steps: 0,
        }
    }

    fn live(mut self) -> (usize, u64) {
        while let Some(letter) = self.script.letter() {
            self.steps += 1;
            self.act(letter);
            self.drain();
            let open = self.lines.iter().filter(|line| line.open).count();
            assert_eq!(self.front_end.census().connections, open, "connections");
        }
        for at in 0..self.lines.len() {
            self.hang_up(at);
        }
        self.wait(Duration::from_secs(7200));
        let census = self.front_end.census();
        assert_eq!(
            (census.connections, census.transactions),
            (0, 0),
            "held at the end"
        );
        assert_eq!(census.bindings, 0, "bindings outlive their expiry");
        assert_eq!(census.handshakes, 0, "handshakes outlive their time");
        assert_eq!(
            (census.subscriptions, census.publications),
            (0, 0),
            "presence outlives its expiry"
        );
        (self.steps, self.seen.finish())
    }

    fn act(&mut self, letter: char) {
        match letter {
            'a' => self.accept(),
            'b' => {
                let (at, count) = (self.script.pick(16), self.script.number());
                let bytes = self.script.raw(count);
                self.arrive(at, bytes);
            }
            'd' => {
                let at = self.script.pick(16);
                self.hang_up(at);
            }
            'e' => {
                let at = self.script.pick(16);
                self.front_end.disconnect(self.now, conn(at));
            }
            'f' => {
                let said = self.talk.respond(&mut self.script);
                self.arrive_some(said);
            }
            'g' => {
                let at = self.script.pick(16);
                let said = self.talk.request(at, &self.uris, &mut self.script);
                self.arrive_some(Some(said));
            }
            'n' => {
                let (user, why) = (self.script.pick(2), self.script.pick(8));
                let aor = self.uris.get(user).cloned().unwrap_or_default();
                match Deregistration::ALL.get(why) {
                    Some(why) => self.front_end.deregister(&aor, None, *why),
                    None => {
                        self.front_end
                            .lose(&aor, None, if why == 5 { Lost::Binding } else { Lost::Endpoint })
                    }
                };
            }
            'r' => {
                let memory = if self.script.pick(2) == 0 {
                    Memory::Kept
                } else {
                    Memory::Lost
                };
                self.front_end.restart(memory);
                self.lines.iter_mut().for_each(|line| line.open = false);
            }
            'w' => {
                let wait = WAITS.get(self.script.pick(8)).copied().unwrap_or(1);
                self.wait(Duration::from_millis(wait));
            }
            'y' => {
                let said = self.talk.garble(&mut self.script);
                self.arrive_some(said);
            }
            _ => {}
        }
    }

    fn accept(&mut self) {
        let at = self.lines.len();
        let [.., low] = at.to_be_bytes();
        let remote = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, low)), 5000);
        let local = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 2, 0, 1)), 5060);
        self.front_end
            .handle_accepted(conn(at), local, remote, Transport::Tcp);
        let framer = Framer::new(MessageLimits::default());
        self.lines.push(Line { open: true, framer });
    }

    fn arrive_some(&mut self, said: Option<(usize, Vec<u8>)>) {
        if let Some((at, bytes)) = said {
            self.arrive(at, &bytes);
        }
    }

    fn arrive(&mut self, at: usize, bytes: &[u8]) {
        for piece in bytes.chunks(self.chunk) {
            self.front_end.handle_bytes(self.now, conn(at), piece);
        }
    }

    fn hang_up(&mut self, at: usize) {
        self.front_end.handle_closed(self.now, conn(at));
        if let Some(line) = self.lines.get_mut(at) {
            line.open = false;
        }
        self.drain();
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..BUSY {
            let Some(at) = self.front_end.poll_timeout().filter(|at| *at <= end) else {
                self.now = end;
                return;
            };
            self.steps += 1;
            self.now = self.now.max(at);
            self.front_end.handle_timeout(self.now);
            self.drain();
            let next = self.front_end.poll_timeout();
            assert!(
                next.is_none_or(|next| next > self.now),
                "no progress at a deadline"
            );
        }
        panic!("busy for {time:?}");
    }

    fn drain(&mut self) {
        while let Some(output) = self.front_end.poll_output() {
            self.steps += 1;
            let _ = write!(Hashed(&mut self.seen), "{} {output:?}", self.now);
            match output {
                Output::Send { conn, bytes } => self.on_sent(conn, &bytes),
                Output::Close(conn) => {
                    let line = usize::try_from(conn.0).ok().and_then(|at| self.lines.get_mut(at));
                    let line = line
                        .filter(|line| line.open)
                        .expect("an open connection is closed");
                    line.open = false;
                }
                Output::Log(_) => {}
            }
        }
    }

    fn on_sent(&mut self, conn: Conn, bytes: &[u8]) {
        self.seen.write(bytes);
        let at = usize::try_from(conn.0).unwrap_or(usize::MAX);
        let line = self.lines.get_mut(at).filter(|line| line.open);
        let line = line.expect("bytes go to an open connection");
        line.framer.push(bytes);
        while let Some(frame) = line.framer.next() {
            match frame {
                Frame::Message { bytes, .. } => {
                    let message = Message::parse(bytes.clone(), &MessageLimits::default());
                    let message =
                        message.unwrap_or_else(|error| panic!("sent: {error}: {}", bytes.escape_ascii()));
                    self.talk.hear(at, message);
                }
                Frame::Crlf { .. } | Frame::Ping { .. } => {}
                Frame::Error(error) => panic!("sent: {}: {}", error.kind, bytes.escape_ascii()),
            }
        }
        assert_eq!(line.framer.buffered(), 0, "half a message was sent");
    }
}

fn conn(at: usize) -> Conn {
    Conn(at as u64)
}

/// Writes text into a hash.
pub(super) struct Hashed<'a>(pub(super) &'a mut SipHasher13);

impl Write for Hashed<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}
