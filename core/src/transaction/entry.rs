//! One transaction in the table: its machine, and by what it is found.

use alloc::boxed::Box;
use core::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;

use super::TransmissionKind;
use super::client::{self, Client};
use super::client_invite::{self, ClientInvite};
use super::key::Key;
use super::machine::{StatePrint, Step, Timer};
use super::server::{self, Server};
use super::server_invite::{self, ServerInvite};
use crate::counters::{Kind, Label, Lives};
use crate::cx::Cx;
use crate::ids::{ConnId, EndpointId, ExchangeId};
use crate::time::Time;
use crate::timers::TimerId;
use crate::wire::{Message, MessageLimits, Method, StatusCode};

#[derive(Clone, Debug)]
pub(super) struct Transaction {
    pub(super) machine: Machine,
    pub(super) method: Method,
    /// `None` once it is lost.
    pub(super) conn: Option<ConnId>,
    pub(super) armed: SmallVec<[(Timer, TimerId); 2]>,
    pub(super) role: Role,
    /// It is counted among what is open on its connection.
    pub(super) counted: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Role {
    Client { branch: Box<str>, owner: ExchangeId },
    Server(Served),
}

#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) key: Box<str>,
    /// Set for a peer without unique branches.
    pub(super) old: Option<Box<OldPeer>>,
    /// What merged requests share.
    pub(super) call: Call,
    /// There is no way to the peer: responses change the state and are not sent.
    pub(super) undeliverable: bool,
    /// The final response that found no connection.
    pub(super) refused: Option<Box<(StatusCode, Bytes)>>,
}

#[derive(Clone, Debug)]
pub(super) struct OldPeer {
    /// The To tag of the request.
    pub(super) to: Box<str>,
    /// The To tag of the final response to an INVITE.
    pub(super) response_to: Box<str>,
}

#[derive(Clone, Debug)]
pub(super) enum Call {
    /// It cannot be merged, or it was found to be.
    None,
    /// The endpoint that it is for is not yet known.
    Unclaimed(Box<str>),
    Claimed(EndpointId, Box<str>),
}

#[derive(Clone, Debug)]
pub(super) enum Machine {
    ClientInvite(ClientInvite),
    Client(Client),
    ServerInvite(ServerInvite),
    Server(Server),
}

impl Machine {
    /// `None`, with nothing done, where the timer is another machine's.
    pub(super) fn fire(&mut self, timer: Timer, step: &mut Step<'_>) -> Option<()> {
        match self {
            Self::ClientInvite(machine) => machine.step(client_invite::Input::fired(timer)?, step),
            Self::Client(machine) => machine.step(client::Input::fired(timer)?, step),
            Self::ServerInvite(machine) => machine.step(server_invite::Input::fired(timer)?, step),
            Self::Server(machine) => machine.step(server::Input::fired(timer)?, step),
        }
        Some(())
    }

    pub(super) fn fail(&mut self, step: &mut Step<'_>) {
        match self {
            Self::ClientInvite(machine) => machine.step(client_invite::Input::TransportError, step),
            Self::Client(machine) => machine.step(client::Input::TransportError, step),
            Self::ServerInvite(machine) => machine.step(server_invite::Input::TransportError, step),
            Self::Server(machine) => machine.step(server::Input::TransportError, step),
        }
    }
}

impl Transaction {
    pub(super) fn new(machine: Machine, method: Method, conn: ConnId, role: Role) -> Self {
        Self {
            machine,
            method,
            conn: Some(conn),
            armed: SmallVec::new(),
            role,
            counted: false,
        }
    }

    pub(super) const fn is_client(&self) -> bool {
        matches!(self.role, Role::Client { .. })
    }

    /// The counters of transactions of this kind.
    pub(super) const fn lives<'a>(&self, cx: &'a mut Cx<'_>) -> &'a mut Lives {
        let transactions = &mut cx.counters.transactions;
        match self.machine {
            Machine::ClientInvite(_) => &mut transactions.client_invite,
            Machine::Client(_) => &mut transactions.client,
            Machine::ServerInvite(_) => &mut transactions.server_invite,
            Machine::Server(_) => &mut transactions.server,
        }
    }

    /// What it sends, as it is counted. The bytes of a server transaction are a response that this stack has written: the
    /// first digit of the status stands behind `SIP/2.0` and a blank.
    pub(super) fn label(&self, kind: TransmissionKind, bytes: &Bytes, again: bool) -> Label {
        let kind = match &self.role {
            Role::Client { .. } if kind == TransmissionKind::Ack => Kind::request(&Method::Ack),
            Role::Client { .. } => Kind::request(&self.method),
            Role::Server(_) => Kind::Response(bytes.get(8).map_or(0, |digit| digit.saturating_sub(b'1'))),
        };
        Label::Message { kind, again }
    }

    pub(super) fn stop(&mut self, cx: &mut Cx<'_>, timer: Timer) {
        self.armed.retain(|(armed, id)| {
            let stopped = *armed == timer;
            if stopped {
                cx.timers.stop(*id);
            }
            !stopped
        });
    }

    pub(super) fn served(&self) -> Option<&Served> {
        match &self.role {
            Role::Server(served) => Some(served),
            Role::Client { .. } => None,
        }
    }

    pub(super) fn served_mut(&mut self) -> Option<&mut Served> {
        match &mut self.role {
            Role::Server(served) => Some(served),
            Role::Client { .. } => None,
        }
    }

    pub(super) fn is_undeliverable(&self) -> bool {
        self.served().is_some_and(|served| served.undeliverable)
    }

    /// Whether a request with this key, that of this transaction's method or a CANCEL, belongs to it.
    pub(super) fn is_repeated_by(&self, key: &Key) -> bool {
        self.old_peer().map(|old| &old.to) == key.old.as_ref()
    }

    /// Whether an ACK with this key belongs to it: for peers without unique branches its To is that of the response.
    pub(super) fn is_acknowledged_by(&self, key: &Key) -> bool {
        self.old_peer().map(|old| &old.response_to) == key.old.as_ref()
    }

    pub(super) fn old_peer(&self) -> Option<&OldPeer> {
        self.served()?.old.as_deref()
    }

    /// Keeps the To tag of the final response for comparing an ACK.
    pub(super) fn note_response(&mut self, bytes: &Bytes) {
        let Some(old) = self.served_mut().and_then(|served| served.old.as_mut()) else {
            return;
        };
        let response = Message::parse_head(bytes.clone(), &MessageLimits::default());
        old.response_to = response
            .ok()
            .and_then(|response| Some(response.to().ok()?.tag()?.into()))
            .unwrap_or_default();
    }

    /// Whether a response with this status is one that the machine sends.
    pub(super) fn takes(&self, status: StatusCode) -> bool {
        match &self.machine {
            Machine::ServerInvite(machine) => {
                machine.is_proceeding() || (machine.is_accepted() && status.is_success())
            }
            Machine::Server(machine) => machine.is_proceeding(),
            Machine::ClientInvite(_) | Machine::Client(_) => false,
        }
    }

    pub(super) fn awaits_final(&self) -> bool {
        match &self.machine {
            Machine::ServerInvite(machine) => machine.is_proceeding(),
            Machine::Server(machine) => machine.is_proceeding(),
            Machine::ClientInvite(_) | Machine::Client(_) => false,
        }
    }

    pub(super) fn is_terminated(&self) -> bool {
        match &self.machine {
            Machine::ClientInvite(machine) => machine.is_terminated(),
            Machine::Client(machine) => machine.is_terminated(),
            Machine::ServerInvite(machine) => machine.is_terminated(),
            Machine::Server(machine) => machine.is_terminated(),
        }
    }

    pub(super) fn fingerprint(&self, now: Time) -> Fingerprint {
        let state = match &self.machine {
            Machine::ClientInvite(machine) => machine.fingerprint(),
            Machine::Client(machine) => machine.fingerprint(),
            Machine::ServerInvite(machine) => machine.fingerprint(),
            Machine::Server(machine) => machine.fingerprint(),
        };
        let mut timers: SmallVec<_> = self
            .armed
            .iter()
            .map(|(timer, id)| (*timer, id.at().since(now)))
            .collect();
        timers.sort_unstable();
        Fingerprint {
            state,
            method: self.method.clone(),
            connected: self.conn.is_some(),
            undeliverable: self.is_undeliverable(),
            refused: self.served().is_some_and(|served| served.refused.is_some()),
            timers,
        }
    }
}

/// A transaction in canonical form: what decides how it goes on, and nothing that names it or was drawn.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Fingerprint {
    state: StatePrint,
    method: Method,
    connected: bool,
    undeliverable: bool,
    refused: bool,
    /// The running timers, each with the time that is left.
    timers: SmallVec<[(Timer, Duration); 2]>,
}
