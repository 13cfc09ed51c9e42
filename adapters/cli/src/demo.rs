//! `sansip demo`: two endpoints and a server, each with a stack or machine, a thread and sockets of its own.

mod certificate;
mod party;
mod server;
mod watch;

use sansip::wire::{Method, StatusCode};
use sansip::{Completion, Content, Event, OperationId, SessionId, SessionState, Transport};
use sansip_testkit::frontend::{FrontEndEvent, Unbound};

use crate::args::DemoArgs;
use crate::capture::Capture;
use crate::demo::certificate::Certificates;
use crate::demo::party::Party;
use crate::demo::server::Server;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::report::text_of;
use crate::sdp;

/// The domain of the demonstration (RFC 2606).
const DOMAIN: &str = "example.com";

/// Runs everything; succeeds only if every step happened.
pub(crate) fn run(args: &DemoArgs, out: Output) -> Result<(), Failure> {
    let interrupt = Interrupt::install()?;
    let certificates = Certificates::make()?;
    let capture = args.pcap.as_deref().map(Capture::create).transpose()?;
    let server = Server::start(out, &certificates, capture.as_ref())?;
    out.heading(format!(
        "A server at {} (TLS) and {} (TCP), alice and bob:\n\
        three threads that share nothing but the loopback interface.",
        server.tls, server.tcp
    ));
    let outcome = Demo {
        out,
        interrupt,
        certificates: &certificates,
        server: &server,
    }
    .play();
    let ended = server.end();
    outcome?;
    ended?;
    capture.map_or(Ok(()), |capture| capture.finish())?;
    out.event("done", "Every step happened.", Vec::new());
    Ok(())
}

struct Demo<'a> {
    out: Output,
    interrupt: Interrupt,
    certificates: &'a Certificates,
    server: &'a Server,
}

impl Demo<'_> {
    fn play(&self) -> Result<(), Failure> {
        let (alice, bob) = self.arrive(Transport::Tls)?;
        self.messages(&alice, &bob)?;
        self.call(&alice, &bob)?;
        self.leave(alice, bob)?;
        let (alice, bob) = self.arrive(Transport::Tcp)?;
        self.messages(&alice, &bob)?;
        self.leave(alice, bob)
    }

    fn step(&self, words: &str) {
        self.out.event("step", words, vec![("step", words.into())]);
    }

    /// Both register.
    fn arrive(&self, transport: Transport) -> Result<(Party, Party), Failure> {
        let place = match transport {
            Transport::Tcp => self.server.tcp,
            Transport::Tls => self.server.tls,
        };
        let join = |name| {
            let password = self.server.password(name);
            Party::join(
                name,
                password,
                place,
                transport,
                self.certificates,
                self.interrupt.clone(),
            )
        };
        let (alice, bob) = (join("alice")?, join("bob")?);
        self.out.heading("");
        self.server.draw_head();
        for party in [&alice, &bob] {
            self.step(&format!(
                "{} registers over {}, with Digest",
                party.name,
                transport.via_token()
            ));
            let operation =
                party.command(|stack, now, endpoint| stack.endpoint(now, endpoint)?.register())?;
            party.completed("REGISTER", operation)?;
            let (from, aor) = (party.aor(), party.aor());
            self.server.saw("a challenge of REGISTER", move |event| {
                matches!(event, FrontEndEvent::Challenged { method: Method::Register, from: who, .. } if *who == from)
            })?;
            self.server.saw(
                "a registration",
                move |event| matches!(event, FrontEndEvent::Registered { aor: whose, .. } if *whose == aor),
            )?;
        }
        Ok((alice, bob))
    }

    /// A page message each way.
    fn messages(&self, alice: &Party, bob: &Party) -> Result<(), Failure> {
        for (from, to, text) in [(alice, bob, "Hello Bob!"), (bob, alice, "Hello Alice!")] {
            self.step(&format!("{} writes to {}: {text}", from.name, to.name));
            let target = to.aor();
            let operation = from.command(move |stack, now, endpoint| {
                let content = Some(Content::text(text));
                stack.endpoint(now, endpoint)?.send_message(
                    &target,
                    Method::Message,
                    content,
                    Default::default(),
                )
            })?;
            to.wait("the message", |event| match event {
                Event::MessageReceived { message, .. } => {
                    text_of(message).filter(|seen| seen == text).map(|_| ())
                }
                _ => None,
            })?;
            answered_200("MESSAGE", &from.completed("MESSAGE", operation)?)?;
        }
        Ok(())
    }

    /// A call with a message in it.
    fn call(&self, alice: &Party, bob: &Party) -> Result<(), Failure> {
        self.step("alice calls bob; bob's telephone rings, and he answers");
        let target = bob.aor();
        let (calling, invite): (SessionId, OperationId) = alice.command(move |stack, now, endpoint| {
            let offer = Some(sdp::offer([127, 0, 0, 1].into()));
            stack
                .endpoint(now, endpoint)?
                .invite(&target, offer, Default::default())
        })?;
        let (called, offer) = bob.wait("the call", |event| match event {
            Event::SessionReceived { session, message, .. } => Some((*session, message.body())),
            _ => None,
        })?;
        bob.command(move |stack, now, _| stack.session(now, called)?.provisional(StatusCode::RINGING, None))?;
        alice.wait("the ringing", |event| {
            matches!(event, Event::Provisional { .. }).then_some(())
        })?;
        let accept = bob.command(move |stack, now, _| {
            let answer = Some(sdp::answer(&offer, [127, 0, 0, 1].into()));
            stack.session(now, called)?.accept(answer)
        })?;
        alice.completed("INVITE", invite)?;
        bob.completed("the answer", accept)?;

        self.step("alice writes inside the call: Are you there?");
        let message = alice.command(move |stack, now, _| {
            let content = Some(Content::text("Are you there?"));
            stack
                .session(now, calling)?
                .send(Method::Message, content, Vec::new())
        })?;
        bob.wait("the message in the call", |event| match event {
            Event::SessionMessage { session, message, .. } if *session == called => text_of(message)
                .filter(|text| text == "Are you there?")
                .map(|_| ()),
            _ => None,
        })?;
        answered_200("MESSAGE", &alice.completed("MESSAGE", message)?)?;

        self.step("alice hangs up");
        let bye = alice.command(move |stack, now, _| Ok(stack.session(now, calling)?.terminate()))?;
        bob.wait("the end of the call", |event| match event {
            Event::Session {
                session,
                new: SessionState::Disconnected,
                ..
            } if *session == called => Some(()),
            _ => None,
        })?;
        alice.completed("BYE", bye).map(|_| ())
    }

    /// Both unregister.
    fn leave(&self, alice: Party, bob: Party) -> Result<(), Failure> {
        for party in [alice, bob] {
            self.step(&format!("{} unregisters", party.name));
            let operation =
                party.command(|stack, now, endpoint| stack.endpoint(now, endpoint)?.unregister())?;
            party.completed("REGISTER", operation)?;
            let aor = party.aor();
            self.server.saw("the end of a registration", move |event| {
                matches!(
                    event,
                    FrontEndEvent::Unregistered { aor: whose, reason: Unbound::ByCommand, .. } if *whose == aor
                )
            })?;
            party.end()?;
        }
        Ok(())
    }
}

fn answered_200(what: &str, completion: &Completion) -> Result<(), Failure> {
    match completion.response().and_then(sansip::wire::Message::status) {
        Some(StatusCode::OK) => Ok(()),
        _ => Err(Failure::new(format!("{what} was not answered 200"))),
    }
}
