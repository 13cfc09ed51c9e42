//! A stack with its sockets, and the loop that every endpoint command is made of.

use std::net::IpAddr;
use std::time::Duration;

use sansip::security::Secret;
use sansip::{
    Completion, Config, EndpointId, Event, ListenerId, ManagerId, Misuse, OperationError, OperationId, Stack,
    Time,
};
use sansip_mio::{DnsSettings, Driver, Settings, TlsSettings};
use serde_json::json;

use crate::explain::{explain, explain_listen};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::keep::Keep;
use crate::kerberos;
use crate::output::Output;
use crate::report;

/// How long calls and registrations may take to end.
pub(crate) const GRACE: Duration = Duration::from_secs(8);
/// The same after a failure, where a silent server may be the reason.
const SHORT_GRACE: Duration = Duration::from_secs(2);

/// Why a wait is over.
pub(crate) enum Step {
    /// Something happened; it has been printed.
    Event(Event),
    /// The time is up.
    TimeUp,
    /// The user wants an end.
    Interrupted,
}

pub(crate) struct Agent {
    driver: Driver,
    out: Output,
    interrupt: Interrupt,
    /// The end has begun, and completes with this.
    ending: Option<OperationId>,
    /// The address at our end of the newest connection.
    local: Option<IpAddr>,
    /// Operations whose failure ends the command, which says it.
    decisive: Vec<OperationId>,
    /// Whether the counters are printed at the end.
    counters: bool,
    keep: Keep,
    /// The password of the account, until its endpoint has it.
    secret: Option<Secret>,
}

impl Agent {
    pub(crate) fn new(
        config: Config,
        tls: TlsSettings,
        interrupt: Interrupt,
        keep: Keep,
        out: Output,
        counters: bool,
    ) -> Result<Self, Failure> {
        let mut settings = Settings {
            tls,
            dns: DnsSettings::system(),
            kerberos: kerberos::of_system(),
            ..Settings::default()
        };
        let failed = |error| Failure::new(format!("the system gives no sockets: {error}"));
        keep.set(&mut settings);
        let stack = keep.stack(config).map_err(failed)?;
        let driver = Driver::new(stack, settings).map_err(failed)?;
        let handle = driver.handle();
        interrupt.on_hit(move || {
            // A full queue wakes the loop as well.
            let _ = handle.run(|_, _| {});
        });
        Ok(Self {
            driver,
            out,
            interrupt,
            ending: None,
            local: None,
            decisive: Vec::new(),
            counters,
            keep,
            secret: None,
        })
    }

    /// With the password of the account, for whoever makes its endpoint.
    pub(crate) fn with_secret(self, secret: Option<Secret>) -> Self {
        Self { secret, ..self }
    }

    pub(crate) const fn take_secret(&mut self) -> Option<Secret> {
        self.secret.take()
    }

    /// A command to the stack, at the present time.
    pub(crate) fn command<T>(
        &mut self,
        command: impl FnOnce(&mut Stack, Time) -> Result<T, Misuse>,
    ) -> Result<T, Failure> {
        let now = self.driver.now();
        command(self.driver.stack(), now).map_err(|misuse| match misuse {
            Misuse::Argument { .. } | Misuse::Kind(_) => Failure::usage(misuse.to_string()),
            Misuse::Unknown(_)
            | Misuse::State { .. }
            | Misuse::Duplicate(_)
            | Misuse::Limit(_)
            | Misuse::Answered => Failure::new(misuse.to_string()),
        })
    }

    /// A command for what a peer has begun, whose failure is said and ends nothing else. What the network has overtaken is no failure, so
    /// it is one of what the user asked for. True if it was taken.
    pub(crate) fn attempt<T>(
        &mut self,
        what: &str,
        command: impl FnOnce(&mut Stack, Time) -> Result<T, Misuse>,
    ) -> bool {
        let taken = self.command(command);
        if let Err(failure) = &taken {
            let line = format!("cannot {what}: {failure}");
            self.out.event("failed", &line, vec![("error", json!(line))]);
        }
        taken.is_ok()
    }

    pub(crate) const fn out(&self) -> Output {
        self.out
    }

    pub(crate) fn now(&self) -> Time {
        self.driver.now()
    }

    /// The time after so many seconds.
    pub(crate) fn after(&self, wait: Option<u64>) -> Option<Time> {
        wait.map(|seconds| self.now() + Duration::from_secs(seconds))
    }

    /// The address at our end of the newest connection.
    pub(crate) const fn local(&self) -> Option<IpAddr> {
        self.local
    }

    /// Begins the end: no new calls from now on, and so long for those there are.
    pub(crate) fn drain(&mut self, patience: Duration) {
        let now = self.driver.now();
        let drained = self.driver.stack().drain(now, patience);
        self.ends_with(drained);
    }

    /// The end has begun, and completes with this. A first Ctrl-C has done its work then.
    pub(crate) const fn ends_with(&mut self, operation: OperationId) {
        self.ending = Some(operation);
    }

    /// Whether this is the end of what [`drain`](Self::drain) has begun.
    pub(crate) fn is_drained(&self, event: &Event) -> bool {
        matches!(event, Event::Completed { operation, .. } if self.ending == Some(*operation))
    }

    /// Waits for the next event, until this time at the longest. What an event asks for is to be done before the next call.
    pub(crate) fn next(&mut self, until: Option<Time>) -> Result<Step, Failure> {
        loop {
            if let Some(event) = self.driver.poll_event() {
                self.note(&event);
                return Ok(Step::Event(event));
            }
            if self.interrupt.is_hit() && self.ending.is_none() {
                return Ok(Step::Interrupted);
            }
            let left = until.map(|until| until.since(self.driver.now()));
            if left == Some(Duration::ZERO) {
                return Ok(Step::TimeUp);
            }
            self.turn(left)?;
        }
    }

    fn turn(&mut self, wait: Option<Duration>) -> Result<(), Failure> {
        self.driver
            .turn(wait)
            .map_err(|error| Failure::new(format!("the system cannot wait for sockets: {error}")))
    }

    fn note(&mut self, event: &Event) {
        if let Event::ConnectionAdded { conn, .. } = event
            && let Some(local) = self.driver.stack().connection(*conn).and_then(|info| info.local)
        {
            self.local = Some(local.ip());
        }
        let said_later = matches!(
            event,
            Event::Completed { operation, result: Err(_) } if self.decisive.contains(operation)
        );
        if self.out.is_json() || !said_later {
            report::print(self.out, event);
        }
    }

    /// Leaves it to the command to say that this operation failed.
    pub(crate) fn is_decisive(&mut self, operation: OperationId) {
        self.decisive.push(operation);
    }

    /// Waits until an operation completes, and no longer than until this time. `others` is given all other events.
    pub(crate) fn complete(
        &mut self,
        operation: OperationId,
        until: Option<Time>,
        mut others: impl FnMut(&Event),
    ) -> Result<Completion, Failure> {
        self.is_decisive(operation);
        loop {
            match self.next(until)? {
                Step::Event(Event::Completed {
                    operation: done,
                    result,
                }) if done == operation => {
                    return result.map_err(|error| Failure::new(explain(&error)));
                }
                Step::Event(event) => others(&event),
                Step::TimeUp => return Err(Failure::new(explain(&OperationError::Timeout))),
                Step::Interrupted => return Err(Failure::new("interrupted")),
            }
        }
    }

    /// Registers and waits for it.
    pub(crate) fn register(&mut self, endpoint: EndpointId, timeout: Option<u64>) -> Result<(), Failure> {
        let until = self.after(timeout);
        let operation = self.command(|stack, now| stack.endpoint(now, endpoint)?.register())?;
        self.complete(operation, until, |_| {}).map(|_| ())
    }

    /// Begins to listen and waits for it.
    pub(crate) fn listen(&mut self, manager: ManagerId, at: crate::address::ListenAt) -> Result<(), Failure> {
        let listener: ListenerId =
            self.command(|stack, now| stack.manager(now, manager)?.listen(at.address))?;
        loop {
            match self.next(None)? {
                Step::Event(Event::Listening { listener: done, .. }) if done == listener => return Ok(()),
                Step::Event(Event::ListeningEnded {
                    listener: done,
                    error: Some(error),
                }) if done == listener => {
                    return Err(Failure::new(explain_listen(at, &error)));
                }
                Step::Event(_) => {}
                Step::TimeUp | Step::Interrupted => return Err(Failure::new("interrupted")),
            }
        }
    }

    /// Ends everything in order, and gives the outcome of the command: what is left undone is a failure of its own.
    pub(crate) fn finish<T>(self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        let Self {
            mut driver,
            out,
            keep,
            counters: wanted,
            ..
        } = self;
        // The last event of all is the end of the last connection.
        let mut counters = driver.stack().counters();
        let mut failed = None;
        let mut is_recording = driver.stack().is_recording();
        let grace = if outcome.is_ok() { GRACE } else { SHORT_GRACE };
        let ended = driver.shutdown(grace, |adapter, event| {
            counters = adapter.stack().counters();
            is_recording = adapter.stack().is_recording();
            if let Event::Completed {
                result: Err(error), ..
            } = &event
            {
                failed = Some(explain(error));
            }
            report::print(out, &event);
        });
        if wanted {
            report::counters(out, &counters);
        }
        let kept = keep.finish(is_recording, out);
        let outcome = outcome?;
        kept?;
        match ended {
            Ok(true) => failed.map_or(Ok(outcome), |line| Err(Failure::new(line))),
            Ok(false) => Err(Failure::new(format!(
                "not everything ended in order within {} s; the server may still know us",
                GRACE.as_secs()
            ))),
            Err(error) => Err(Failure::new(format!(
                "the system cannot wait for sockets: {error}"
            ))),
        }
    }
}
