//! A stack without a world: a test is its embedder, and says and sees everything itself.

use std::net::SocketAddr;

use sansip::wire::frame::{Frame, Framer};
use sansip::wire::{HeaderName, Message, MessageLimits, Method};
use sansip::{
    Action, Config, ConnId, EndpointId, Established, Event, IncomingId, Limits, ListenerId, Misuse,
    OperationError, OperationId, PeerToPeerConfig, SendOptions, Server, SipEndpointConfig, Stack, Time,
    Transport, UnixTime,
};

use super::{answer, field, request, wire};

pub(crate) const BOB: &str = "sip:bob@two.invalid";
pub(crate) const TO_BOB: &str = "<sip:bob@two.invalid>";

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A stack with bob, who listens, driven by hand.
pub(crate) struct Host {
    pub(crate) stack: Stack,
    pub(crate) now: Time,
    pub(crate) bob: EndpointId,
    pub(crate) listener: ListenerId,
}

impl Host {
    pub(crate) fn new(limit: impl FnOnce(&mut Limits)) -> Self {
        Self::of(|config| limit(&mut config.limits))
    }

    pub(crate) fn of(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        let now = Time::from_secs(1);
        let mut stack = Stack::new(config, [7; 32], now, UnixTime(1_700_000_000));
        let bob = stack
            .add_peer_to_peer_endpoint(now, PeerToPeerConfig::new(BOB))
            .unwrap();
        let manager = stack.server_tcp_manager();
        let listener = stack
            .manager(now, manager)
            .unwrap()
            .listen(address("10.0.0.1:5060"))
            .unwrap();
        stack.handle_listening(now, listener, Ok(address("10.0.0.1:5060")));
        let mut host = Self {
            stack,
            now,
            bob,
            listener,
        };
        host.drain();
        host
    }

    pub(crate) fn drain(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.stack.poll_action()).collect()
    }

    pub(crate) fn accept(&mut self) -> ConnId {
        let ends = (address("10.0.0.1:5060"), address("10.0.0.2:4000"));
        self.stack
            .handle_accepted(self.now, self.listener, ends.0, ends.1)
    }

    pub(crate) fn peer(&mut self) -> ConnId {
        let conn = self.accept();
        self.drain();
        conn
    }

    pub(crate) fn say(&mut self, conn: ConnId, text: &str) {
        self.stack.handle_bytes(self.now, conn, &wire(text));
    }

    /// A request of the peer to bob.
    pub(crate) fn ask(&mut self, conn: ConnId, method: &str, number: u32) {
        self.say(
            conn,
            &request(method, BOB, TO_BOB, number, "Contact: <sip:p@10.0.0.2>"),
        );
    }

    /// What the stack has queued for a connection; the socket takes it.
    pub(crate) fn sent(&mut self, conn: ConnId) -> Vec<Message> {
        let bytes: Vec<u8> = self.stack.transmit(conn).flatten().copied().collect();
        self.stack.handle_transmitted(self.now, conn, bytes.len());
        let mut framer = Framer::new(MessageLimits::default());
        framer.push(&bytes);
        let message = |frame| match frame {
            Frame::Message { bytes, .. } => Message::parse(bytes, &MessageLimits::default()).ok(),
            _ => None,
        };
        std::iter::from_fn(|| framer.next()).filter_map(message).collect()
    }

    /// The statuses of the responses that it has queued.
    pub(crate) fn codes(&mut self, conn: ConnId) -> Vec<u16> {
        self.drain();
        let sent = self.sent(conn);
        sent.iter()
            .filter_map(|it| it.status().map(|status| status.code()))
            .collect()
    }

    pub(crate) fn message(&mut self, target: &str) -> Result<OperationId, Misuse> {
        let (now, bob) = (self.now, self.bob);
        let mut view = self.stack.endpoint(now, bob).unwrap();
        view.send_message(target, Method::Message, None, SendOptions::default())
    }

    pub(crate) fn message_of(&mut self, endpoint: EndpointId, target: &str) -> OperationId {
        let mut view = self.stack.endpoint(self.now, endpoint).unwrap();
        view.send_message(target, Method::Message, None, SendOptions::default())
            .unwrap()
    }

    /// The connection that is asked for is made.
    pub(crate) fn connect(&mut self) -> ConnId {
        let actions = self.drain();
        let conn = connect_to(self, &actions);
        self.drain();
        conn
    }

    /// The one request that is queued.
    pub(crate) fn asked(&mut self, conn: ConnId) -> Message {
        let mut sent = self.sent(conn);
        assert_eq!(sent.len(), 1);
        sent.remove(0)
    }
}

/// The last connection that these actions ask for is made.
pub(crate) fn connect_to(host: &mut Host, actions: &[Action]) -> ConnId {
    let connect = actions.iter().rev().find_map(|action| match action {
        Action::Connect(connect) => Some(connect.clone()),
        _ => None,
    });
    let connect = connect.expect("a connection is asked for");
    let established = Established {
        local: address("10.0.0.1:50000"),
        remote: connect.remote,
        peer: None,
    };
    host.stack.handle_connected(host.now, connect.conn, established);
    connect.conn
}

/// alice at the server 10.0.0.9, registered over this connection.
pub(crate) fn registered(change: impl FnOnce(&mut Config)) -> (Host, EndpointId, ConnId) {
    registered_as(change, "")
}

/// The same, of a server that says more in its 2xx.
pub(crate) fn registered_as(change: impl FnOnce(&mut Config), more: &str) -> (Host, EndpointId, ConnId) {
    let mut host = Host::of(change);
    let alice = SipEndpointConfig {
        server: Some(Server {
            host: "10.0.0.9".into(),
            port: Some(5060),
        }),
        transport: Transport::Tcp,
        ..SipEndpointConfig::new("sip:alice@example.com")
    };
    let alice = host.stack.add_sip_endpoint(host.now, alice).unwrap();
    host.stack.endpoint(host.now, alice).unwrap().register().unwrap();
    let conn = host.connect();
    let register = host.asked(conn);
    let contact = field(&register, HeaderName::Contact);
    let granted = format!("Contact: {contact};expires=3600{more}");
    host.say(conn, &answer(&register, "200 OK", "x", &granted));
    host.drain();
    (host, alice, conn)
}

pub(crate) fn failure(actions: &[Action], operation: OperationId) -> Option<OperationError> {
    actions.iter().find_map(|action| match action {
        Action::Event(Event::Completed {
            operation: which,
            result: Err(error),
        }) if *which == operation => Some(error.clone()),
        _ => None,
    })
}

pub(crate) fn heard<T>(actions: &[Action], pick: impl Fn(&Event) -> Option<T>) -> Vec<T> {
    let pick = |action: &Action| match action {
        Action::Event(event) => pick(event),
        _ => None,
    };
    actions.iter().filter_map(pick).collect()
}

pub(crate) fn incoming(event: &Event) -> Option<IncomingId> {
    match event {
        Event::MessageReceived { incoming, .. } => Some(*incoming),
        _ => None,
    }
}

/// A host, its connection with the other side, and what its application was told.
pub(crate) struct Stage {
    pub(crate) host: Host,
    pub(crate) conn: ConnId,
    pub(crate) events: Vec<Event>,
}

impl Stage {
    pub(crate) const fn new(host: Host, conn: ConnId) -> Self {
        Self {
            host,
            conn,
            events: Vec::new(),
        }
    }

    pub(crate) fn take(&mut self) {
        let events = self.host.drain().into_iter().filter_map(|action| match action {
            Action::Event(event) => Some(event),
            _ => None,
        });
        self.events.extend(events);
    }

    pub(crate) fn tell(&mut self, text: &str) {
        let conn = self.conn;
        self.host.say(conn, text);
        self.take();
    }

    pub(crate) fn sent(&mut self) -> Vec<Message> {
        let conn = self.conn;
        let sent = self.host.sent(conn);
        self.take();
        sent
    }

    /// The one request that is queued, which is of this method.
    pub(crate) fn only(&mut self, method: &Method) -> Message {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        let only = sent.remove(0);
        assert_eq!(only.method(), Some(method));
        only
    }

    pub(crate) fn pass_to(&mut self, until: Time) {
        while let Some((at, _)) = self.host.stack.poll_timeout().filter(|(at, _)| *at <= until) {
            self.host.now = self.host.now.max(at);
            let now = self.host.now;
            self.host.stack.handle_timeout(now);
            self.take();
        }
        self.host.now = until;
    }

    pub(crate) fn result(&self, operation: OperationId) -> Option<Result<(), OperationError>> {
        self.events.iter().find_map(|event| match event {
            Event::Completed {
                operation: which,
                result,
            } if *which == operation => Some(result.clone().map(drop)),
            _ => None,
        })
    }
}
