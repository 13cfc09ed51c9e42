//! `sansip replay`: a recording played again, with the ladder of what passed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;

use sansip::record::{Input, Replay, ReplayError, Step};
use sansip::wire::{Message, MessageLimits};
use sansip::{Action, ConnId, Event, Stack, Transport};
use serde_json::json;

use crate::args::ReplayArgs;
use crate::capture::{Capture, Cut, Cutter, Side};
use crate::failure::Failure;
use crate::ladder::Story;
use crate::output::Output;
use crate::secrets::password;

/// The party that was recorded.
const SELF: &str = "sansip";

/// So much of a file says whether it is a recording: the rest of others is not read, which may have no end.
const HEAD: u64 = 64;

/// Plays it, and fails where something else comes of it than was recorded.
pub(crate) fn run(args: &ReplayArgs, out: Output) -> Result<(), Failure> {
    let broken = |error: ReplayError| {
        let hint = match &error {
            ReplayError::Diverged(place) if place.without_secret.is_some() => {
                "; give it with --password-file"
            }
            ReplayError::Diverged(_) if args.password_file.is_some() => {
                "; is the password that of the run that was recorded?"
            }
            _ => "",
        };
        Failure::new(format!("{}: {error}{hint}", args.file))
    };
    let unread = |error| Failure::new(format!("cannot read {}: {error}", args.file));
    let mut file = File::open(&args.file).map_err(unread)?;
    let mut recording = Vec::new();
    (&mut file)
        .take(HEAD)
        .read_to_end(&mut recording)
        .map_err(unread)?;
    if let Err(error @ (ReplayError::NotARecording | ReplayError::UnknownFormat(_))) =
        Replay::open(recording.clone())
    {
        return Err(broken(error));
    }
    file.read_to_end(&mut recording).map_err(unread)?;
    let secret = args.password_file.as_deref().map(password).transpose()?;
    let mut replay = Replay::open(recording)
        .map_err(broken)?
        .with_secret(|_, _| secret.clone());
    let capture = args.pcap.as_deref().map(Capture::create).transpose()?;
    let mut watch = Watch::new(&replay, capture);
    let outcome = loop {
        match replay.step() {
            Ok(Some(step)) => watch.step(&step, replay.stack()),
            Ok(None) => break Ok(()),
            Err(error) => break Err(broken(error)),
        }
    };
    let Watch {
        story,
        start,
        last,
        inputs,
        actions,
        capture,
        ..
    } = watch;
    let messages = story.messages();
    story.tell(out, start);
    outcome?;
    capture.map_or(Ok(()), |capture| capture.finish())?;
    let seconds = last.saturating_sub(start).as_secs_f64();
    if !replay.is_complete() {
        let words = "the recording is not of the whole run: its limit was reached, or it breaks off";
        out.event_at(seconds, "incomplete", words, Vec::new());
    }
    let fields = vec![
        ("inputs", json!(inputs)),
        ("actions", json!(actions)),
        ("messages", json!(messages)),
    ];
    let words = format!("The same again: {inputs} inputs, {actions} actions, {messages} messages.");
    out.event_at(seconds, "same", words, fields);
    Ok(())
}

/// What is seen of a replay.
struct Watch {
    story: Story,
    capture: Option<Capture>,
    conns: BTreeMap<ConnId, Conn>,
    /// When it begins, since 1970, and when it ends.
    start: Duration,
    last: Duration,
    /// What is to be added to the times of the stack.
    offset: Duration,
    inputs: u64,
    actions: usize,
    /// How many connections there were.
    serial: u64,
}

struct Conn {
    serial: u64,
    remote: SocketAddr,
    sent: Cutter,
    received: Cutter,
}

impl Watch {
    fn new(replay: &Replay, capture: Option<Capture>) -> Self {
        let (now, unix) = replay.start();
        let start = Duration::from_secs(unix.0);
        Self {
            story: Story::default(),
            capture,
            conns: BTreeMap::new(),
            start,
            last: start,
            offset: start.saturating_sub(Duration::from_micros(now.as_micros())),
            inputs: 0,
            actions: 0,
            serial: 0,
        }
    }

    fn step(&mut self, step: &Step, stack: &Stack) {
        self.inputs += 1;
        self.actions += step.actions.len();
        let at = self
            .offset
            .saturating_add(Duration::from_micros(step.now.as_micros()));
        self.last = at;
        match &step.input {
            Input::Bytes { conn, bytes } => self.pass(at, *conn, Side::Theirs, bytes),
            Input::Closed { conn, .. } => self.close(at, *conn, Side::Theirs),
            _ => {}
        }
        for (conn, bytes) in &step.sent {
            self.pass(at, *conn, Side::Ours, bytes);
        }
        for action in &step.actions {
            match action {
                Action::Event(Event::ConnectionAdded {
                    conn,
                    remote,
                    incoming,
                    transport,
                    ..
                }) => {
                    let local = stack.connection(*conn).and_then(|info| info.local);
                    let by = if *incoming { Side::Theirs } else { Side::Ours };
                    self.open(at, *conn, [local.unwrap_or(*remote), *remote], by, *transport);
                }
                Action::Close(conn) => self.close(at, *conn, Side::Ours),
                _ => {}
            }
        }
    }

    fn open(&mut self, at: Duration, conn: ConnId, ends: [SocketAddr; 2], by: Side, transport: Transport) {
        self.serial += 1;
        let [_, remote] = ends;
        let opened = Conn {
            serial: self.serial,
            remote,
            sent: Cutter::new(),
            received: Cutter::new(),
        };
        self.conns.insert(conn, opened);
        if let Some(capture) = &self.capture {
            capture.ready(at, (0, self.serial), ends, by, transport == Transport::Tls);
        }
    }

    fn close(&mut self, at: Duration, conn: ConnId, by: Side) {
        if let (Some(conn), Some(capture)) = (self.conns.remove(&conn), &self.capture) {
            capture.closed(at, (0, conn.serial), by);
        }
    }

    fn pass(&mut self, at: Duration, conn: ConnId, by: Side, bytes: &[u8]) {
        let Some(conn) = self.conns.get_mut(&conn) else {
            return;
        };
        if let Some(capture) = &self.capture {
            capture.data(at, (0, conn.serial), by, bytes);
        }
        let remote = conn.remote.to_string();
        let (cutter, names) = match by {
            Side::Ours => (&mut conn.sent, [SELF.to_owned(), remote]),
            Side::Theirs => (&mut conn.received, [remote, SELF.to_owned()]),
        };
        cutter.push(bytes);
        while let Some(cut) = cutter.next() {
            if let Cut::Message(bytes) = cut
                && let Ok(message) = Message::parse(bytes, &MessageLimits::default())
            {
                self.story.message(at, names.clone(), &message, Vec::new());
            }
        }
    }
}
