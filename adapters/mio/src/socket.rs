//! One TCP connection, with or without TLS: from the attempt to make it to its last byte.
//!
//! ```text
//!  connect ──► Connecting ──┬──────────────► Open ──close──► Flushing ──all sent, FIN──► Draining ──► gone
//!                           └► Handshaking ───▲  │                                          (until the peer's
//!  accept ──────────────────┴─────(plain)────┘   └── end, reset, failure ──► gone            FIN, or the deadline)
//! ```
//!
//! mio tells an edge once, so what it told is kept in `readable` and `writable` until the system says `WouldBlock`. Both
//! are only hints: a stale edge costs one call that would block.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use sansip::{CloseReason, Established, TlsFailure, TlsFailureKind};
use sansip_net::TlsSession;
use socket2::SockRef;

use crate::settings::SocketSettings;

/// How many bytes one step reads at most; also what a plain connection delivers at once.
pub(crate) const READ_CHUNK: usize = 32 * 1024;

#[derive(Debug)]
enum State {
    /// TCP is being set up.
    Connecting,
    /// TCP stands, TLS is being set up.
    Handshaking,
    /// The owner can read and write.
    Open,
    /// The owner has let go; what was taken from it is still being sent.
    Flushing,
    /// Everything is sent and FIN too. Input is read and thrown away until the peer has closed as well: to close with
    /// unread input would send RST, which may destroy what the peer has not read yet.
    Draining,
}

/// The memory that all connections share: only one of them works at a time.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// What a socket gave.
    pub(crate) wire: Box<[u8]>,
    /// What TLS made of it.
    pub(crate) plain: Vec<u8>,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self {
            wire: vec![0; READ_CHUNK].into_boxed_slice(),
            plain: Vec::new(),
        }
    }
}

/// What one step of a connection brought.
#[derive(Debug)]
pub(crate) enum Step {
    /// Nothing for the owner.
    Nothing,
    /// Ready for data.
    Connected(Established),
    /// So many bytes of input stand in [`Scratch::wire`].
    Received(usize),
    /// Input stands in [`Scratch::plain`].
    Decrypted,
    /// It takes data again.
    Writable,
    /// It is gone.
    Closed(CloseReason),
    /// The owner had let go of it, and now it has ended.
    Finished,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    remote: SocketAddr,
    tls: Option<Box<TlsSession>>,
    /// We made it, and did not accept it.
    outgoing: bool,
    state: State,
    readable: bool,
    writable: bool,
    /// The owner wants input.
    reading: bool,
    /// The owner waits for [`Step::Writable`].
    want_write: bool,
    /// Input that came in one piece with the end of the handshake.
    early: Vec<u8>,
    /// The end, found but not to be told before the input that came ahead of it.
    end: Option<CloseReason>,
}

impl Connection {
    /// Begins to connect.
    pub(crate) fn connect(
        remote: SocketAddr,
        tls: Option<Box<TlsSession>>,
        settings: &SocketSettings,
    ) -> Result<Self, CloseReason> {
        let stream = TcpStream::connect(remote).map_err(|error| close_reason(&error))?;
        settings.apply(&SockRef::from(&stream));
        Ok(Self::new(stream, remote, tls, State::Connecting))
    }

    /// Takes over an accepted connection.
    pub(crate) fn accepted(
        stream: TcpStream,
        remote: SocketAddr,
        tls: Option<Box<TlsSession>>,
        settings: &SocketSettings,
    ) -> Self {
        settings.apply(&SockRef::from(&stream));
        let state = if tls.is_some() {
            State::Handshaking
        } else {
            State::Open
        };
        Self {
            readable: true,
            writable: true,
            ..Self::new(stream, remote, tls, state)
        }
    }

    const fn new(stream: TcpStream, remote: SocketAddr, tls: Option<Box<TlsSession>>, state: State) -> Self {
        Self {
            stream,
            remote,
            tls,
            outgoing: matches!(state, State::Connecting),
            state,
            readable: false,
            writable: false,
            reading: true,
            want_write: false,
            early: Vec::new(),
            end: None,
        }
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.stream, token, Interest::READABLE | Interest::WRITABLE)
    }

    pub(crate) fn deregister(&mut self, registry: &Registry) {
        // It is dropped next and leaves the selector with that at the latest, so a failure changes nothing.
        let _ = registry.deregister(&mut self.stream);
    }

    pub(crate) fn local(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    pub(crate) const fn is_outgoing(&self) -> bool {
        self.outgoing
    }

    pub(crate) const fn is_secured(&self) -> bool {
        self.tls.is_some()
    }

    pub(crate) const fn is_handshaking(&self) -> bool {
        matches!(self.state, State::Handshaking)
    }

    /// Whether the owner has let go of it.
    pub(crate) const fn is_closing(&self) -> bool {
        matches!(self.state, State::Flushing | State::Draining)
    }

    /// mio saw something.
    pub(crate) const fn on_edge(&mut self, readable: bool, writable: bool) {
        self.readable |= readable;
        self.writable |= writable;
    }

    /// Stops or resumes the delivery of input. The end of a connection that is not read is told when it is read again.
    pub(crate) const fn set_reading(&mut self, reading: bool) {
        self.reading = reading;
    }

    /// Asks for [`Step::Writable`] as soon as the socket takes data.
    pub(crate) const fn request_writable(&mut self) {
        self.want_write = true;
    }

    /// Whether a step would do something.
    pub(crate) fn has_work(&self) -> bool {
        let output = self.writable && self.has_tls_output();
        match self.state {
            State::Connecting => self.writable,
            State::Handshaking => self.readable || output || self.end.is_some(),
            State::Open => {
                let to_write = self.end.is_none() && (output || (self.writable && self.want_write));
                let to_read = self.readable || self.end.is_some() || !self.early.is_empty();
                to_write || (self.reading && to_read)
            }
            State::Flushing => self.writable || self.readable,
            State::Draining => self.readable,
        }
    }

    fn has_tls_output(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Takes from these slices what it can send now, and says how many bytes that were. Where it takes less than it was
    /// offered, [`Step::Writable`] or the end follows.
    pub(crate) fn write(&mut self, slices: &[IoSlice<'_>]) -> usize {
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        if offered == 0 || self.is_closing() || self.end.is_some() {
            return 0;
        }
        let taken = match (&self.state, &mut self.tls) {
            (State::Open, Some(tls)) => tls.write(slices),
            (State::Open, None) => self.write_plain(slices),
            _ => 0,
        };
        self.flush_tls();
        self.want_write |= taken < offered;
        taken
    }

    fn write_plain(&mut self, slices: &[IoSlice<'_>]) -> usize {
        while self.writable {
            match self.stream.write_vectored(slices) {
                Ok(taken) => return taken,
                Err(error) => self.on_write_error(&error),
            }
        }
        0
    }

    fn flush_tls(&mut self) {
        while self.writable
            && let Some(tls) = &mut self.tls
            && tls.wants_write()
        {
            if let Err(error) = tls.write_tls(&mut self.stream) {
                self.on_write_error(&error);
            }
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the list of the standard library is open"
    )]
    fn on_write_error(&mut self, error: &io::Error) {
        match error.kind() {
            ErrorKind::Interrupted => {}
            ErrorKind::WouldBlock => self.writable = false,
            _ => {
                self.writable = false;
                self.end.get_or_insert_with(|| close_reason(error));
                // The peer's last words may have arrived before it went.
                self.readable = true;
            }
        }
    }

    /// Reads once. Zero when there is nothing now; then `end` says whether there ever will be.
    fn receive(&mut self, wire: &mut [u8]) -> usize {
        while self.readable {
            match self.stream.read(wire) {
                Ok(0) => {
                    self.readable = false;
                    self.end.get_or_insert(CloseReason::Closed);
                }
                Ok(received) => return received,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.readable = false;
                    if error.kind() != ErrorKind::WouldBlock {
                        self.end.get_or_insert_with(|| close_reason(&error));
                    }
                }
            }
        }
        0
    }

    /// Reads once and decrypts into `scratch.plain`.
    fn receive_tls(&mut self, scratch: &mut Scratch) {
        let received = self.receive(&mut scratch.wire);
        let Some(tls) = &mut self.tls else { return };
        if received > 0 {
            let bytes = scratch.wire.get(..received).unwrap_or_default();
            let end = match tls.read_tls(bytes, &mut scratch.plain) {
                Ok(()) if tls.is_closed() => CloseReason::Closed,
                Ok(()) => return,
                Err(failure) => CloseReason::Tls(failure),
            };
            self.readable = false;
            self.end = Some(end);
        } else if matches!(self.end, Some(CloseReason::Closed)) {
            self.end = Some(tls.read_eof());
        }
    }

    /// Does one bounded piece of work. `scratch.plain` is empty when this is called.
    pub(crate) fn step(&mut self, scratch: &mut Scratch) -> Step {
        match self.state {
            State::Connecting => self.step_connecting(),
            State::Handshaking => self.step_handshaking(scratch),
            State::Open => self.step_open(scratch),
            State::Flushing | State::Draining => self.step_closing(scratch),
        }
    }

    /// A writable edge says that the attempt may have ended. Its error decides first; then only a peer address proves
    /// success, for the edge may also be a spurious one.
    fn step_connecting(&mut self) -> Step {
        self.writable = false;
        match self.stream.take_error() {
            Ok(None) => {}
            Ok(Some(error)) | Err(error) => return Step::Closed(close_reason(&error)),
        }
        match (self.stream.peer_addr(), self.stream.local_addr()) {
            // A socket connects to itself when the system gives it the very port that it is to connect to.
            (Ok(_), Ok(local)) if local == self.remote => Step::Closed(CloseReason::Refused),
            (Ok(_), Ok(_)) => {
                self.writable = true;
                self.readable = true;
                if self.tls.is_some() {
                    self.state = State::Handshaking;
                    self.flush_tls();
                    return Step::Nothing;
                }
                self.established()
            }
            (Err(error), _) if error.kind() == ErrorKind::NotConnected => Step::Nothing,
            (Err(error), _) | (_, Err(error)) => Step::Closed(close_reason(&error)),
        }
    }

    fn established(&mut self) -> Step {
        self.state = State::Open;
        let peer = self.tls.as_ref().and_then(|tls| tls.peer()).map(Box::new);
        match self.stream.local_addr() {
            Ok(local) => Step::Connected(Established {
                local,
                remote: self.remote,
                peer,
            }),
            Err(error) => Step::Closed(close_reason(&error)),
        }
    }

    fn step_handshaking(&mut self, scratch: &mut Scratch) -> Step {
        self.flush_tls();
        self.receive_tls(scratch);
        self.flush_tls();
        if self.tls.as_ref().is_some_and(|tls| !tls.is_handshaking()) && !self.failed_tls() {
            self.early = std::mem::take(&mut scratch.plain);
            return self.established();
        }
        match self.end.take() {
            Some(reason @ (CloseReason::Closed | CloseReason::Reset)) => {
                Step::Closed(CloseReason::Tls(TlsFailure {
                    kind: TlsFailureKind::RemoteDisconnected,
                    detail: reason.to_string(),
                }))
            }
            Some(reason) => Step::Closed(reason),
            None => Step::Nothing,
        }
    }

    const fn failed_tls(&self) -> bool {
        matches!(self.end, Some(CloseReason::Tls(_)))
    }

    fn step_open(&mut self, scratch: &mut Scratch) -> Step {
        if self.end.is_none() {
            self.flush_tls();
            if self.want_write && self.writable && !self.has_tls_output() {
                self.want_write = false;
                return Step::Writable;
            }
        }
        if !self.reading {
            return Step::Nothing;
        }
        if !self.early.is_empty() {
            scratch.plain = std::mem::take(&mut self.early);
            return Step::Decrypted;
        }
        if self.tls.is_some() {
            self.receive_tls(scratch);
            // What was read may want an answer: an alert, a key update.
            self.flush_tls();
            if !scratch.plain.is_empty() {
                return Step::Decrypted;
            }
        } else {
            let received = self.receive(&mut scratch.wire);
            if received > 0 {
                return Step::Received(received);
            }
        }
        match &self.end {
            Some(reason) if !self.readable => Step::Closed(reason.clone()),
            _ => Step::Nothing,
        }
    }

    /// The owner lets go: what was taken is sent, then FIN. False where there is nothing to wait for.
    pub(crate) fn close(&mut self) -> bool {
        if !matches!(self.state, State::Open) || self.end.is_some() {
            return false;
        }
        if let Some(tls) = &mut self.tls {
            tls.close();
        }
        self.state = State::Flushing;
        true
    }

    /// TLS has failed and left an alert, which the peer shall still get.
    pub(crate) fn linger(&mut self) {
        self.end = None;
        self.readable = true;
        self.state = State::Flushing;
    }

    fn step_closing(&mut self, scratch: &mut Scratch) -> Step {
        // Input is thrown away while output waits, too: the peer may write before it reads.
        if self.receive(&mut scratch.wire) == 0 && self.end.is_some() {
            return Step::Finished;
        }
        if matches!(self.state, State::Flushing) {
            self.flush_tls();
            if !self.has_tls_output() {
                if self.stream.shutdown(Shutdown::Write).is_err() {
                    return Step::Finished;
                }
                self.state = State::Draining;
            }
        }
        Step::Nothing
    }
}

/// The system's error in the words of the stack.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the list of the standard library is open"
)]
pub(crate) fn close_reason(error: &io::Error) -> CloseReason {
    match error.kind() {
        ErrorKind::ConnectionRefused => CloseReason::Refused,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
            CloseReason::Reset
        }
        ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::AddrNotAvailable => CloseReason::Unreachable,
        ErrorKind::TimedOut => CloseReason::TimedOut,
        _ => CloseReason::Other(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_errors_of_the_system_keep_their_meaning() {
        for (kind, expected) in [
            (ErrorKind::ConnectionRefused, CloseReason::Refused),
            (ErrorKind::ConnectionReset, CloseReason::Reset),
            (ErrorKind::BrokenPipe, CloseReason::Reset),
            (ErrorKind::HostUnreachable, CloseReason::Unreachable),
            (ErrorKind::NetworkUnreachable, CloseReason::Unreachable),
            (ErrorKind::AddrNotAvailable, CloseReason::Unreachable),
            (ErrorKind::TimedOut, CloseReason::TimedOut),
        ] {
            assert_eq!(close_reason(&io::Error::from(kind)), expected, "{kind}");
        }
        assert_eq!(
            close_reason(&io::Error::other("what else")),
            CloseReason::Other("what else".to_owned())
        );
    }
}
