//! The server of the demonstration, in a thread of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use sansip::Transport;
use sansip::security::Secret;
use sansip_testkit::frontend::{FrontEnd, FrontEndConfig, FrontEndEvent, User};

use super::DOMAIN;
use super::certificate::Certificates;
use super::party::PATIENCE;
use crate::address::ListenAt;
use crate::capture::Capture;
use crate::demo::watch::Watch;
use crate::explain::explain_listen;
use crate::failure::Failure;
use crate::host::{Host, Seen, Stop};
use crate::output::Output;
use crate::serve::random;

pub(crate) struct Server {
    pub(crate) tls: SocketAddr,
    pub(crate) tcp: SocketAddr,
    users: Vec<User>,
    watch: Arc<Mutex<Watch>>,
    events: Receiver<FrontEndEvent>,
    stop: Stop,
    thread: JoinHandle<io::Result<()>>,
}

impl Server {
    /// A front end with accounts for alice and bob, whose passwords are made for this run.
    pub(crate) fn start(
        out: Output,
        certificates: &Certificates,
        capture: Option<&Capture>,
    ) -> Result<Self, Failure> {
        let failed = |error| Failure::new(format!("the system gives no sockets: {error}"));
        let mut config = FrontEndConfig::new(DOMAIN);
        for name in ["alice", "bob"] {
            let password = Secret::new(format!("{:016x}", random().map_err(failed)?));
            config.users.push(User {
                name: name.to_owned(),
                password,
            });
        }
        let users = config.users.clone();
        let front_end = FrontEnd::new(config, random().map_err(failed)?);
        let mut host = Host::new(front_end, capture.map(Capture::tap)).map_err(failed)?;
        let show = certificates.server()?;
        let mut listen = |transport| {
            let at = ListenAt {
                transport,
                address: SocketAddr::from(([127, 0, 0, 1], 0)),
            };
            host.listen(at, Some(&show))
                .map_err(|error| Failure::new(explain_listen(at, &error)))
        };
        let (tls, tcp) = (listen(Transport::Tls)?, listen(Transport::Tcp)?);
        let stop = host.stop_handle();
        let (sender, events) = channel();
        let watch = Arc::new(Mutex::new(Watch::new(out)));
        let watching = Arc::clone(&watch);
        let thread = thread::spawn(move || host.run(None, |seen| see(&watching, &sender, seen)));
        Ok(Self {
            tls,
            tcp,
            users,
            watch,
            events,
            stop,
            thread,
        })
    }

    pub(crate) fn password(&self, name: &str) -> Secret {
        let found = self.users.iter().find(|user| user.name == name);
        found.map_or_else(|| Secret::new(""), |user| user.password.clone())
    }

    pub(crate) fn draw_head(&self) {
        lock(&self.watch).draw_head();
    }

    /// Waits until the front end says this; what it said before is forgotten.
    pub(crate) fn saw(&self, what: &str, is: impl Fn(&FrontEndEvent) -> bool) -> Result<(), Failure> {
        loop {
            match self.events.recv_timeout(PATIENCE) {
                Ok(event) if is(&event) => return Ok(()),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return Err(Failure::new(format!("the server did not see {what}")));
                }
            }
        }
    }

    /// Stops in order.
    pub(crate) fn end(self) -> Result<(), Failure> {
        self.stop.stop();
        match self.thread.join() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Failure::new(format!("the server failed: {error}"))),
            Err(_) => Err(Failure::new("the server's thread broke down")),
        }
    }
}

fn lock(watch: &Mutex<Watch>) -> MutexGuard<'_, Watch> {
    watch.lock().unwrap_or_else(PoisonError::into_inner)
}

fn see(watch: &Mutex<Watch>, sender: &Sender<FrontEndEvent>, seen: Seen<'_>) {
    match seen {
        Seen::In(conn, bytes) => lock(watch).pass(conn, bytes, true),
        Seen::Out(conn, bytes) => lock(watch).pass(conn, bytes, false),
        Seen::Log(event) => {
            // Nobody listens any more once the script is over.
            let _ = sender.send(event);
        }
    }
}
