//! An endpoint of the demonstration: a stack and its sockets in a thread of their own, commanded from the script.

use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use sansip::security::{Credentials, Secret};
use sansip::{
    Completion, Config, EndpointId, Event, Misuse, OperationId, Server, SipEndpointConfig, Stack, Time,
    Transport,
};
use sansip_mio::{Driver, Handle, Settings, seed, unix_time};

use super::DOMAIN;
use super::certificate::Certificates;
use crate::explain::explain;
use crate::failure::Failure;
use crate::interrupt::Interrupt;

/// How long one step may take, which on loopback takes milliseconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether the user wants an end.
const LOOK: Duration = Duration::from_millis(50);
/// How long the connections may take to close.
const GRACE: Duration = Duration::from_secs(5);

pub(crate) struct Party {
    pub(crate) name: &'static str,
    endpoint: EndpointId,
    handle: Handle,
    events: Receiver<Event>,
    thread: JoinHandle<io::Result<bool>>,
    interrupt: Interrupt,
}

impl Party {
    /// An endpoint of this user at the server at this address; it is not yet registered.
    pub(crate) fn join(
        name: &'static str,
        password: Secret,
        server: SocketAddr,
        transport: Transport,
        certificates: &Certificates,
        interrupt: Interrupt,
    ) -> Result<Self, Failure> {
        let failed = |error| Failure::new(format!("the system gives no sockets: {error}"));
        let mut stack = Stack::new(
            Config::default(),
            seed().map_err(failed)?,
            Time::ZERO,
            unix_time(),
        );
        let mut config = SipEndpointConfig::new(format!("sip:{name}@{DOMAIN}"));
        config.server = Some(Server {
            host: server.ip().to_string(),
            port: Some(server.port()),
        });
        config.transport = transport;
        config.credentials = vec![Credentials::new(name, password)];
        let endpoint = stack
            .add_sip_endpoint(Time::ZERO, config)
            .map_err(|misuse| Failure::new(misuse.to_string()))?;
        let settings = Settings {
            tls: certificates.client()?,
            ..Settings::default()
        };
        let mut driver = Driver::new(stack, settings).map_err(failed)?;
        let handle = driver.handle();
        let (sender, events) = channel();
        let thread = thread::spawn(move || {
            driver.run(|_, event| {
                // Nobody listens any more once the script has failed.
                let _ = sender.send(event);
                ControlFlow::<()>::Continue(())
            })?;
            driver.shutdown(GRACE, |_, _| {})
        });
        Ok(Self {
            name,
            endpoint,
            handle,
            events,
            thread,
            interrupt,
        })
    }

    pub(crate) fn aor(&self) -> String {
        format!("sip:{}@{DOMAIN}", self.name)
    }

    /// Has this done on the endpoint's thread.
    pub(crate) fn command<T: Send + 'static>(
        &self,
        command: impl FnOnce(&mut Stack, Time, EndpointId) -> Result<T, Misuse> + Send + 'static,
    ) -> Result<T, Failure> {
        let (sender, result) = channel();
        let endpoint = self.endpoint;
        let taken = self.handle.run(move |stack, now| {
            let _ = sender.send(command(stack, now, endpoint));
        });
        taken.map_err(|error| Failure::new(format!("{}: {error}", self.name)))?;
        match result.recv_timeout(PATIENCE) {
            Ok(result) => result.map_err(|misuse| Failure::new(format!("{}: {misuse}", self.name))),
            Err(_) => Err(Failure::new(format!("{}'s thread does not answer", self.name))),
        }
    }

    /// Waits for the event that `pick` takes something from; those before it are forgotten.
    pub(crate) fn wait<T>(
        &self,
        what: &str,
        mut pick: impl FnMut(&Event) -> Option<T>,
    ) -> Result<T, Failure> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match self.events.recv_timeout(LOOK) {
                Ok(event) => {
                    if let Some(found) = pick(&event) {
                        return Ok(found);
                    }
                }
                Err(RecvTimeoutError::Timeout) if self.interrupt.is_hit() => {
                    return Err(Failure::new("interrupted"));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failure::new(format!("{}'s thread has ended", self.name)));
                }
            }
        }
        Err(Failure::new(format!(
            "{} waited for {what} for {} s",
            self.name,
            PATIENCE.as_secs()
        )))
    }

    /// Waits until an operation has succeeded.
    pub(crate) fn completed(&self, what: &str, operation: OperationId) -> Result<Completion, Failure> {
        let result = self.wait(what, |event| match event {
            Event::Completed {
                operation: done,
                result,
            } if *done == operation => Some(result.clone()),
            _ => None,
        })?;
        result.map_err(|error| Failure::new(format!("{}: {what}: {}", self.name, explain(&error))))
    }

    /// Ends in order.
    pub(crate) fn end(self) -> Result<(), Failure> {
        self.handle.stop();
        match self.thread.join() {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(Failure::new(format!(
                "{} did not end within {} s",
                self.name,
                GRACE.as_secs()
            ))),
            Ok(Err(error)) => Err(Failure::new(format!("{}'s loop failed: {error}", self.name))),
            Err(_) => Err(Failure::new(format!("{}'s thread broke down", self.name))),
        }
    }
}
