//! The application on async-std: tasks around its handles.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::mpsc::Sender;
use std::time::Duration;

use async_std::future::timeout;
use async_std::task;
use sansip::wire::{Method, StatusCode};
use sansip::{
    Completion, ConnId, Content, Event, ListenError, ManagerId, OperationError, SendOptions, SessionReason,
    SessionState, Stack,
};
use sansip_async_std::{
    Client, Driver, Endpoint, EndpointEvent, EndpointEvents, Error, Invitation, Operation, Session,
    SessionEvent, SessionEvents, Settings, TlsSettings, seed, unix_time,
};
use sansip_net::{Recording, TlsClientConfig, TlsServerConfig};

use crate::agent::{
    ANSWER, Agent, Ears, GO, Heard, OFFER, Outcome, PATIENCE, Setup, Tape, hear, outcome, text,
};

pub(crate) struct AsyncStd {
    client: Client,
    manager: ManagerId,
    endpoint: Endpoint,
    ears: Ears,
    call: Option<(Session, SessionEvents)>,
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

/// Waits for a future, but not for ever.
fn wait<T>(what: &str, future: impl Future<Output = T>) -> T {
    task::block_on(timeout(PATIENCE, future)).unwrap_or_else(|_| panic!("never: {what}"))
}

fn finish(what: &str, future: impl Future<Output = Result<Completion, Error>>) -> Outcome {
    match wait(what, future) {
        Ok(completion) => Ok(outcome(&completion)),
        Err(Error::Operation(error)) => Err(error),
        Err(other) => panic!("{what}: {other}"),
    }
}

/// Nobody listens any more once the case is over, which changes nothing here.
fn tell(ears: &Sender<Heard>, heard: Option<Heard>) {
    if let Some(heard) = heard {
        let _ = ears.send(heard);
    }
}

async fn attend_endpoint(mut events: EndpointEvents, ears: Sender<Heard>, accepts: bool) {
    while let Some(event) = events.next().await {
        match event {
            EndpointEvent::Message(incoming) => {
                tell(&ears, Some(Heard::Message(text(incoming.message()))));
                let echo = Content::new("text/plain", incoming.message().body());
                incoming.answer(StatusCode::OK, Some(echo)).await.unwrap();
            }
            EndpointEvent::Session {
                session,
                events,
                message,
            } => {
                assert_eq!(text(&message), OFFER);
                tell(&ears, Some(Heard::Call));
                task::spawn(attend_session(session.clone(), events, ears.clone()));
                if accepts {
                    // The caller may have given up by now.
                    drop(session.accept(Some(Content::new("application/sdp", ANSWER))));
                } else {
                    session.provisional(StatusCode::RINGING, None).await.unwrap();
                }
            }
            EndpointEvent::Event(event) => tell(&ears, hear(&event)),
            _ => {}
        }
    }
}

async fn attend_session(session: Session, mut events: SessionEvents, ears: Sender<Heard>) {
    while let Some(event) = events.next().await {
        match event {
            SessionEvent::Message(incoming) => {
                let text = text(incoming.message());
                // It passes, and is answered 200.
                drop(incoming);
                if text == GO {
                    drop(session.terminate());
                }
                tell(&ears, Some(Heard::Message(text)));
            }
            SessionEvent::Event(event) => tell(&ears, hear(&event)),
            _ => {}
        }
    }
}

impl AsyncStd {
    fn invite(&mut self, target: &str) -> Invitation {
        let offer = Content::new("application/sdp", OFFER);
        let (invitation, events) = self.endpoint.invite(target, Some(offer), SendOptions::default());
        self.call = Some((invitation.session().clone(), events));
        invitation
    }

    /// The first of the call's events that fits.
    fn pick<T>(&mut self, what: &str, pick: impl Fn(&Event) -> Option<T>) -> T {
        let (_, events) = self.call.as_mut().unwrap();
        wait(what, async {
            loop {
                match events.next().await.unwrap() {
                    SessionEvent::Event(event) => {
                        if let Some(found) = pick(&event) {
                            return found;
                        }
                    }
                    other => panic!("{other:?}"),
                }
            }
        })
    }
}

impl Agent for AsyncStd {
    const NAME: &'static str = "async-std";
    type Sent = Operation;

    fn start(setup: Setup) -> Self {
        let seed = seed().unwrap();
        let (stack, endpoint, manager) = setup.stack(seed, unix_time());
        let (tape, mut settings) = (setup.tape(seed), settings(&setup));
        settings.recording = Some(tape.recording());
        let client = Driver::spawn(stack, settings).unwrap();
        let (sender, ears) = Ears::new();
        let (endpoint, events) = wait("the handles", client.endpoint(endpoint)).unwrap();
        task::spawn(attend_endpoint(events, sender.clone(), setup.accepts));
        let mut events = client.events();
        task::spawn(async move {
            while let Some(event) = events.next().await {
                tell(&sender, hear(&event));
            }
        });
        Self {
            client,
            manager,
            endpoint,
            ears,
            call: None,
            tape,
        }
    }

    fn ears(&mut self) -> &mut Ears {
        &mut self.ears
    }

    fn listen(&mut self, at: SocketAddr) -> Result<SocketAddr, ListenError> {
        match wait("listening", self.client.listen(self.manager, at)) {
            Ok((_, address)) => Ok(address),
            Err(Error::Listen(error)) => Err(error),
            Err(other) => panic!("{other}"),
        }
    }

    fn register(&mut self) -> Outcome {
        finish("registered", self.endpoint.register())
    }

    fn begin_register(&mut self) {
        drop(self.endpoint.register());
    }

    fn unregister(&mut self) -> Outcome {
        finish("unregistered", self.endpoint.unregister())
    }

    fn begin_message(&mut self, target: &str, text: &str) -> Operation {
        self.endpoint.message(target, text, SendOptions::default())
    }

    fn finish_message(&mut self, sent: Operation) -> Outcome {
        finish("answered", sent)
    }

    fn call(&mut self, target: &str) -> Result<String, OperationError> {
        let invitation = self.invite(target);
        finish("called", invitation)?;
        Ok(self.pick("the answer", |event| match event {
            Event::AnswerReceived { answer, .. } => Some(String::from_utf8(answer.body.to_vec()).unwrap()),
            _ => None,
        }))
    }

    fn call_and_cancel(&mut self, target: &str) -> Outcome {
        let invitation = self.invite(target);
        self.pick("ringing", |event| {
            matches!(
                event,
                Event::Session {
                    new: SessionState::Alerted,
                    ..
                }
            )
            .then_some(())
        });
        assert_eq!(finish("given up", invitation.cancel()), Ok((0, Vec::new())));
        finish("ended", invitation)
    }

    fn say(&mut self, text: &str) -> Outcome {
        let (session, _) = self.call.as_ref().unwrap();
        let sent = session.send(Method::Message, Some(Content::text(text)), Vec::new());
        finish("answered inside", sent)
    }

    fn hang_up(&mut self) -> Outcome {
        let (session, _) = self.call.as_ref().unwrap();
        finish("hung up", session.terminate())
    }

    fn ended(&mut self) -> SessionReason {
        self.pick("the end of the call", |event| match event {
            Event::Session {
                new: SessionState::Disconnected,
                reason,
                ..
            } => Some(*reason),
            _ => None,
        })
    }

    fn decide(&mut self, conn: ConnId, allow: bool) {
        let decided = if allow {
            self.client.allow_connection(conn)
        } else {
            self.client.deny_connection(conn)
        };
        wait("decided", decided).unwrap();
    }

    fn set_tls(&mut self, client: Option<TlsClientConfig>, server: Option<TlsServerConfig>) {
        let tls = TlsSettings { client, server };
        wait("TLS settings", self.client.set_tls(None, tls)).unwrap();
    }

    fn shut_down(self, grace: Duration) -> bool {
        wait("shut down", self.client.shutdown(grace)).unwrap()
    }

    fn tape(&self) -> Tape {
        self.tape.clone()
    }

    fn drive(stack: Stack, recording: Recording) {
        let settings = Settings {
            recording: Some(recording),
            ..Settings::default()
        };
        let client = Driver::spawn(stack, settings).unwrap();
        assert!(wait("shut down", client.shutdown(PATIENCE)).unwrap());
    }
}
