//! Endpoints at a registrar that asks for Digest and grants whatever it is asked for.

use std::net::SocketAddr;

use sansip::security::{Credentials, Secret};
use sansip::wire::header::{Contact, Header, WwwAuthenticate};
use sansip::wire::write::{ResponseBuilder, Scratch};
use sansip::wire::{HeaderName, StatusCode};
use sansip::{
    Action, Config, EndpointId, Established, Event, Reason, RegistrationState, Server, SipEndpointConfig,
    Stack, Time, Transport, UnixTime,
};

use crate::measure::Case;
use crate::wire::parse;

/// A stack with registered endpoints.
#[derive(Debug)]
pub struct Registered {
    now: Time,
    stack: Stack,
    registered: usize,
    /// Positive answers of the registrar.
    granted: usize,
    buffer: Vec<u8>,
    scratch: Scratch,
}

const SERVER: ([u8; 4], u16) = ([10, 0, 0, 9], 5060);

impl Registered {
    /// A stack with so many endpoints.
    ///
    /// # Panics
    /// They do not all become registered.
    pub fn new(endpoints: usize) -> Self {
        let now = Time::from_secs(1);
        let mut config = Config::default();
        config.limits.endpoints = config.limits.endpoints.max(endpoints);
        let mut it = Self {
            now,
            stack: Stack::new(config, [3; 32], now, UnixTime(1_700_000_000)),
            registered: 0,
            granted: 0,
            buffer: Vec::new(),
            scratch: Scratch::default(),
        };
        for _ in 0..endpoints {
            it.add();
        }
        it
    }

    /// One more endpoint, registered.
    ///
    /// # Panics
    /// The registrar's answer does not do.
    pub fn add(&mut self) {
        let user = format!("user{}", self.registered);
        let mut config = SipEndpointConfig::new(format!("sip:{user}@example.com"));
        config.server = Some(Server {
            host: "10.0.0.9".to_owned(),
            port: Some(SERVER.1),
        });
        config.transport = Transport::Tcp;
        config.credentials =
            vec![Credentials::new(user, Secret::new("open sesame")).with_realm("example.com")];
        let (now, before) = (self.now, self.registered);
        let id: EndpointId = self.stack.add_sip_endpoint(now, config).expect("an endpoint");
        let asked = self
            .stack
            .endpoint(now, id)
            .and_then(|mut endpoint| endpoint.register());
        asked.expect("register");
        self.settle();
        assert_eq!(self.registered, before + 1, "registered");
    }

    fn settle(&mut self) {
        while let Some(action) = self.stack.poll_action() {
            let now = self.now;
            match action {
                Action::Connect(connect) => {
                    let established = Established {
                        local: SocketAddr::from(([10, 0, 0, 1], 40_000)),
                        remote: connect.remote,
                        peer: None,
                    };
                    self.stack.handle_connected(now, connect.conn, established);
                }
                Action::Transmit(conn) => {
                    let mut buffer = std::mem::take(&mut self.buffer);
                    buffer.clear();
                    for slice in self.stack.transmit(conn) {
                        buffer.extend_from_slice(slice);
                    }
                    self.stack.handle_transmitted(now, conn, buffer.len());
                    if let Some(answer) = self.answer(&buffer) {
                        self.stack.handle_bytes(now, conn, &answer);
                    }
                    self.buffer = buffer;
                }
                Action::Event(Event::Registration {
                    new: RegistrationState::Registered,
                    ..
                }) => self.registered += 1,
                Action::Event(_) | Action::Reading(..) | Action::Close(_) | Action::StopListening(_) => {}
                Action::Listen { .. } | Action::Resolve { .. } | Action::Authenticate(_) => {
                    panic!("nobody asked for it")
                }
            }
        }
    }

    /// The registrar: without credentials 401, else a binding for an hour. Keep-alives are not answered.
    fn answer(&mut self, request: &[u8]) -> Option<bytes::Bytes> {
        let request = parse(&bytes::Bytes::copy_from_slice(request));
        if request.count(HeaderName::Authorization) == 0 {
            let mut builder = ResponseBuilder::new(
                &mut self.scratch,
                &request,
                StatusCode::UNAUTHORIZED,
                None,
                Some("registrar"),
            );
            let challenge = r#"Digest realm="example.com", nonce="dGhlIG5vbmNl", algorithm=MD5, qop="auth""#;
            builder.header(&WwwAuthenticate::parse(challenge).expect("a challenge"));
            return Some(builder.finish());
        }
        self.granted += 1;
        let mut builder = ResponseBuilder::new(
            &mut self.scratch,
            &request,
            StatusCode::OK,
            None,
            Some("registrar"),
        );
        let text = request.raw(HeaderName::Contact).expect("a contact");
        let mut contact = Contact::parse(std::str::from_utf8(text).expect("text")).expect("a contact");
        if let Contact::Address(address) = &mut contact {
            address.params.set("expires", "3600");
        }
        builder.header(&contact);
        Some(builder.finish())
    }

    /// Time passes until the next refresh, which succeeds.
    ///
    /// # Panics
    /// None is planned.
    pub fn refresh(&mut self) {
        let granted = self.granted;
        while self.granted == granted {
            let (at, _): (Time, Reason) = self.stack.poll_timeout().expect("a refresh is planned");
            self.now = self.now.max(at);
            self.stack.handle_timeout(self.now);
            self.settle();
        }
    }

    /// How many positive answers the registrar has given.
    pub const fn granted(&self) -> usize {
        self.granted
    }

    /// Asks for the deadline and tells the time before it: what a loop does when it wakes for something else.
    pub fn look(&mut self) {
        self.stack.handle_timeout(self.now);
        std::hint::black_box(self.stack.poll_timeout());
    }
}

/// A refresh where there is one endpoint, and where there are many: what grows is what the timers cost.
pub fn cases() -> Vec<Case> {
    let refresh = |count| {
        move || {
            let mut it = Registered::new(count);
            move || it.refresh()
        }
    };
    vec![
        Case::new(
            "REGISTER refresh with Digest and its registrar",
            "sansip",
            1,
            refresh(1),
        ),
        Case::new(
            "the same with the timers of 1,000 endpoints",
            "sansip",
            1,
            refresh(1_000),
        ),
        Case::new("a wake-up before the deadline, 1,000 timers", "sansip", 1, || {
            let mut it = Registered::new(1_000);
            move || it.look()
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_is_one_request() {
        let mut it = Registered::new(3);
        assert_eq!((it.registered, it.granted()), (3, 3));
        it.refresh();
        assert_eq!(it.granted(), 4);
    }
}
