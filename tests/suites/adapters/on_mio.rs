//! The application on mio: a loop in a thread of its own, commanded through its handle.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sansip::wire::{Method, StatusCode};
use sansip::{
    ConnId, Content, EndpointId, Event, ListenError, ManagerId, Misuse, OperationError, OperationId,
    SendOptions, SessionId, SessionReason, SessionState, Stack, Time,
};
use sansip_mio::{Adapter, Driver, Handle, Settings, TlsSettings, seed, unix_time};
use sansip_net::{Recording, TlsClientConfig, TlsServerConfig};

use crate::agent::{ANSWER, Agent, Ears, GO, Heard, OFFER, Outcome, PATIENCE, Setup, Tape, hear, text};

pub(crate) struct Mio {
    endpoint: EndpointId,
    manager: ManagerId,
    handle: Handle,
    ears: Ears,
    call: Option<SessionId>,
    grace: std::sync::mpsc::Sender<Duration>,
    thread: JoinHandle<bool>,
    tape: Tape,
}

fn settings(setup: &Setup) -> Settings {
    let mut settings = Settings::default();
    settings.dns.conf = setup.name_servers();
    settings.dns.hosts = setup.hosts();
    settings.tls = TlsSettings {
        client: setup.client.clone(),
        server: setup.server.clone(),
    };
    settings.handshake_timeout = setup.handshake_timeout;
    settings.kerberos.clone_from(&setup.kerberos);
    settings.socket.send_buffer = setup.send_buffer;
    settings
}

fn react(adapter: &mut Adapter, event: &Event, accepts: bool) -> Option<Heard> {
    let now = adapter.now();
    let stack = adapter.stack();
    match event {
        Event::MessageReceived {
            incoming, message, ..
        } => {
            let echo = Content::new("text/plain", message.body());
            let mut incoming = stack.incoming(now, *incoming).unwrap();
            incoming.answer(StatusCode::OK, None, Some(echo), &[]).unwrap();
            Some(Heard::Message(text(message)))
        }
        Event::SessionReceived { session, message, .. } => {
            assert_eq!(text(message), OFFER);
            let mut session = stack.session(now, *session).unwrap();
            if accepts {
                session
                    .accept(Some(Content::new("application/sdp", ANSWER)))
                    .unwrap();
            } else {
                session.provisional(StatusCode::RINGING, None).unwrap();
            }
            Some(Heard::Call)
        }
        Event::SessionMessage {
            session,
            incoming,
            message,
        } => {
            // It would be answered by itself when the next event is taken, which is too late where the session ends first.
            let mut incoming = stack.incoming(now, *incoming).unwrap();
            incoming.answer(StatusCode::OK, None, None, &[]).unwrap();
            if text(message) == GO {
                stack.session(now, *session).unwrap().terminate();
            }
            Some(Heard::Message(text(message)))
        }
        other => hear(other),
    }
}

impl Mio {
    /// Has this done on the loop's thread.
    fn run<T: Send + 'static>(
        &self,
        command: impl FnOnce(&mut Stack, Time) -> Result<T, Misuse> + Send + 'static,
    ) -> T {
        let (sender, result) = channel();
        self.handle
            .run(move |stack, now| sender.send(command(stack, now)).unwrap())
            .unwrap();
        result.recv_timeout(PATIENCE).unwrap().unwrap()
    }

    fn finished(&mut self, operation: OperationId) -> Outcome {
        self.ears.wait("the completion", |heard| match heard {
            Heard::Completed(id, outcome) if *id == operation => Some(outcome.clone()),
            _ => None,
        })
    }

    fn invite(&mut self, target: &str) -> OperationId {
        let (endpoint, target) = (self.endpoint, target.to_owned());
        let (session, operation) = self.run(move |stack, now| {
            let offer = Content::new("application/sdp", OFFER);
            stack
                .endpoint(now, endpoint)?
                .invite(&target, Some(offer), SendOptions::default())
        });
        self.call = Some(session);
        operation
    }
}

impl Agent for Mio {
    const NAME: &'static str = "mio";
    type Sent = OperationId;

    fn start(setup: Setup) -> Self {
        let seed = seed().unwrap();
        let (stack, endpoint, manager) = setup.stack(seed, unix_time());
        let (tape, mut settings) = (setup.tape(seed), settings(&setup));
        settings.recording = Some(tape.recording());
        let mut driver = Driver::new(stack, settings).unwrap();
        let handle = driver.handle();
        let (sender, ears) = Ears::new();
        let (grace, graces) = channel();
        let thread = thread::spawn(move || {
            let tell = move |adapter: &mut Adapter, event: &Event| {
                if let Some(heard) = react(adapter, event, setup.accepts) {
                    // Nobody listens any more once the case is over.
                    let _ = sender.send(heard);
                }
            };
            driver
                .run(|adapter, event| {
                    tell(adapter, &event);
                    ControlFlow::<()>::Continue(())
                })
                .unwrap();
            let grace = graces.recv().unwrap_or(Duration::ZERO);
            driver
                .shutdown(grace, |adapter, event| tell(adapter, &event))
                .unwrap()
        });
        Self {
            endpoint,
            manager,
            handle,
            ears,
            call: None,
            grace,
            thread,
            tape,
        }
    }

    fn ears(&mut self) -> &mut Ears {
        &mut self.ears
    }

    fn listen(&mut self, at: SocketAddr) -> Result<SocketAddr, ListenError> {
        let manager = self.manager;
        self.run(move |stack, now| stack.manager(now, manager)?.listen(at));
        self.ears.wait("listening", |heard| match heard {
            Heard::Listening(address) => Some(Ok(*address)),
            Heard::ListeningEnded(Some(error)) => Some(Err(error.clone())),
            _ => None,
        })
    }

    fn register(&mut self) -> Outcome {
        let endpoint = self.endpoint;
        let operation = self.run(move |stack, now| stack.endpoint(now, endpoint)?.register());
        self.finished(operation)
    }

    fn begin_register(&mut self) {
        let endpoint = self.endpoint;
        self.run(move |stack, now| stack.endpoint(now, endpoint)?.register());
    }

    fn unregister(&mut self) -> Outcome {
        let endpoint = self.endpoint;
        let operation = self.run(move |stack, now| stack.endpoint(now, endpoint)?.unregister());
        self.finished(operation)
    }

    fn begin_message(&mut self, target: &str, text: &str) -> OperationId {
        let (endpoint, target, content) = (self.endpoint, target.to_owned(), Content::text(text));
        self.run(move |stack, now| {
            stack.endpoint(now, endpoint)?.send_message(
                &target,
                Method::Message,
                Some(content),
                SendOptions::default(),
            )
        })
    }

    fn finish_message(&mut self, sent: OperationId) -> Outcome {
        self.finished(sent)
    }

    fn call(&mut self, target: &str) -> Result<String, OperationError> {
        let operation = self.invite(target);
        self.finished(operation)?;
        Ok(self.ears.wait("the answer", |heard| match heard {
            Heard::Answer(answer) => Some(answer.clone()),
            _ => None,
        }))
    }

    fn call_and_cancel(&mut self, target: &str) -> Outcome {
        let operation = self.invite(target);
        self.ears.wait("ringing", |heard| {
            matches!(heard, Heard::Session(SessionState::Alerted, _)).then_some(())
        });
        let ended = self.hang_up();
        assert_eq!(ended, Ok((0, Vec::new())));
        self.finished(operation)
    }

    fn say(&mut self, text: &str) -> Outcome {
        let (session, content) = (self.call.unwrap(), Content::text(text));
        let operation = self.run(move |stack, now| {
            stack
                .session(now, session)?
                .send(Method::Message, Some(content), Vec::new())
        });
        self.finished(operation)
    }

    fn hang_up(&mut self) -> Outcome {
        let session = self.call.unwrap();
        let operation = self.run(move |stack, now| Ok(stack.session(now, session)?.terminate()));
        self.finished(operation)
    }

    fn ended(&mut self) -> SessionReason {
        self.left()
    }

    fn decide(&mut self, conn: ConnId, allow: bool) {
        self.run(move |stack, now| {
            if allow {
                stack.allow_connection(now, conn)
            } else {
                stack.deny_connection(now, conn)
            }
        });
    }

    fn set_tls(&mut self, client: Option<TlsClientConfig>, server: Option<TlsServerConfig>) {
        let (sender, done) = channel();
        self.handle
            .with(move |adapter| {
                adapter.set_tls(None, TlsSettings { client, server });
                sender.send(()).unwrap();
            })
            .unwrap();
        done.recv_timeout(PATIENCE).unwrap();
    }

    fn shut_down(self, grace: Duration) -> bool {
        self.grace.send(grace).unwrap();
        self.handle.stop();
        self.thread.join().unwrap()
    }

    fn tape(&self) -> Tape {
        self.tape.clone()
    }

    fn drive(stack: Stack, recording: Recording) {
        let settings = Settings {
            recording: Some(recording),
            ..Settings::default()
        };
        let driver = Driver::new(stack, settings).unwrap();
        assert!(driver.shutdown(PATIENCE, |_, _| ()).unwrap());
    }
}
