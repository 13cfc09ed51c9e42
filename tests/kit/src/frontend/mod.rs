//! A front-end server as a pure machine: registrar (RFC 3261 section 10.3) with several contacts per user and GRUUs
//! (RFC 5627), Digest (RFC 7616) and NTLM with signed messages (MS-SIPAE), and a stateful forking proxy (RFC 3261 section 16) that stays on the path of
//! dialogs and reaches every endpoint over the connection that it registered over. Where the settings say so, it keeps
//! the presence of its users as well (RFC 3856): see [`FrontEndConfig::presence`].
//!
//! It is a laboratory's server: it has no sockets, no clock and no entropy of its own, and is driven like the stack.
//! The driver accepts connections and names them, says what arrived on them with the time, and carries out what
//! [`poll_output`](FrontEnd::poll_output) wants. It makes no connections: whoever wants to be reached has to connect.
//!
//! ```text
//! loop {
//!     wait for a socket, at most until poll_timeout
//!     one handle_*
//!     while let Some(output) = front_end.poll_output() { carry it out }
//! }
//! ```

mod acceptor;
mod association;
mod config;
mod context;
mod deregister;
mod digest;
pub(crate) mod edit;
mod event;
mod flow;
mod presence;
mod proxy;
mod registrar;
mod route;
mod security;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::hash::Hasher;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use rand_chacha::ChaCha12Rng;
use rand_core::{RngCore, SeedableRng};
use sansip::wire::frame::{Frame, Framer};
use sansip::wire::header::Via;
use sansip::wire::{HeaderName, Message, Method, StatusCode, check};
use sansip::{Time, Transport};
use siphasher::sip128::{Hasher128, SipHasher13};

pub use self::acceptor::{Accepted, Acceptor};
pub use self::association::{AssociationCounts, Signing, Unsound};
pub use self::config::{AssociationConfig, FrontEndConfig, Manner, PresenceLimits, Protocol, User};
pub use self::deregister::{Deregistration, Lost};
pub use self::event::{FrontEndEvent, Unbound};

use self::association::Associations;
use self::context::Proxy;
use self::deregister::Notifying;
use self::digest::{Accounts, Guard};
use self::edit::Edit;
use self::flow::TokenKey;
use self::presence::Presence;
use self::registrar::{Binding, BindingId, Naming, Refused, Registrar, Registration, Source};
use self::security::Standing;

/// A connection of a front end, named by its driver. Names are not used again, not even after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Conn(pub u64);

impl fmt::Display for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "k{}", self.0)
    }
}

/// What a front end wants from its driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send these bytes, in order.
    Send {
        /// Over this connection.
        conn: Conn,
        /// All of them.
        bytes: Bytes,
    },
    /// Close the connection once what was to be sent on it is sent; nothing more will be said of it.
    Close(Conn),
    /// Something for people to read.
    Log(FrontEndEvent),
}

/// What a restart leaves of the registrar's bindings, of presence, of the nonces in use and of security associations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// All, as with a database.
    Kept,
    /// Nothing.
    Lost,
}

/// A binding, for looking at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The contact URI.
    pub contact: String,
    /// When it expires.
    pub expires_at: Time,
    /// The connection over which it is reached.
    pub conn: Option<Conn>,
    /// The endpoint id.
    pub epid: Option<String>,
    /// The value of `+sip.instance`, in lower case.
    pub instance: Option<String>,
}

/// How much a front end holds at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FrontEndCensus {
    /// Open connections.
    pub connections: usize,
    /// Requests under way.
    pub transactions: usize,
    /// Contacts bound.
    pub bindings: usize,
    /// Subscriptions to the presence of users, those among them whose last NOTIFY is not yet answered.
    pub subscriptions: usize,
    /// Published states.
    pub publications: usize,
    /// Security associations.
    pub associations: usize,
    /// Handshakes for one that are under way.
    pub handshakes: usize,
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct FrontEnd {
    config: FrontEndConfig,
    entropy: ChaCha12Rng,
    tokens: TokenKey,
    /// Counts restarts: a connection named in a token of an earlier run is gone.
    run: u32,
    connections: BTreeMap<Conn, Connection>,
    registrar: Registrar,
    accounts: Accounts,
    guard: Guard,
    associations: Associations,
    manner: Manner,
    /// The second in which registrations were taken last, and how many.
    taken: (u64, u32),
    proxy: Proxy,
    notifying: Notifying,
    presence: Presence,
    /// What is due when. An entry whose object has moved on means nothing any more.
    timers: BTreeSet<(Time, Due)>,
    out: VecDeque<Output>,
}

#[derive(Clone, Debug)]
struct Connection {
    local: SocketAddr,
    remote: SocketAddr,
    transport: Transport,
    framer: Framer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Binding(BindingId),
    Request(u64),
    Branch(u64, usize),
    Publication(u64),
    Watcher(u64),
    /// Its NOTIFY waits for an answer.
    Notify(u64),
    /// Or a handshake for one.
    Association(u32),
}

impl FrontEnd {
    /// A front end whose randomness comes from `seed`: the same seed, calls and times give the same output.
    pub fn new(config: FrontEndConfig, seed: u64) -> Self {
        let mut entropy = ChaCha12Rng::seed_from_u64(seed);
        let tokens = TokenKey(entropy.next_u64(), entropy.next_u64());
        let guard = Guard::new(TokenKey(entropy.next_u64(), entropy.next_u64()));
        let accounts = Accounts::new(&config);
        Self {
            config,
            entropy,
            tokens,
            run: 0,
            connections: BTreeMap::new(),
            registrar: Registrar::named(seed),
            accounts,
            guard,
            associations: Associations::default(),
            manner: Manner::Usual,
            taken: (0, 0),
            proxy: Proxy::default(),
            notifying: Notifying::new(),
            presence: Presence::default(),
            timers: BTreeSet::new(),
            out: VecDeque::new(),
        }
    }

    /// A connection was accepted and, for TLS, its handshake is done.
    pub fn handle_accepted(
        &mut self,
        conn: Conn,
        local: SocketAddr,
        remote: SocketAddr,
        transport: Transport,
    ) {
        let framer = Framer::new(self.config.message.clone());
        self.connections.insert(
            conn,
            Connection {
                local,
                remote,
                transport,
                framer,
            },
        );
        self.log(FrontEndEvent::Connected {
            conn,
            remote,
            transport,
        });
    }

    /// Bytes arrived. Those of a connection that is gone mean nothing.
    pub fn handle_bytes(&mut self, now: Time, conn: Conn, bytes: &[u8]) {
        self.take_bytes(now, conn, bytes);
        self.forget_timers();
    }

    fn take_bytes(&mut self, now: Time, conn: Conn, bytes: &[u8]) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.framer.push(bytes);
        }
        while let Some(frame) = self
            .connections
            .get_mut(&conn)
            .and_then(|connection| connection.framer.next())
        {
            match frame {
                Frame::Message { bytes, .. } => self.on_bytes(now, conn, bytes),
                Frame::Crlf { .. } => {}
                Frame::Ping { .. } => self.send(conn, Bytes::from_static(b"\r\n")),
                Frame::Error(error) => {
                    let head = Message::parse_head(error.head.clone(), &self.config.message);
                    if let (Ok(head), Some(status)) = (head, error.kind.status()) {
                        self.refuse(conn, &head, &Refused::because(status, error.kind.reason()));
                    }
                    self.log(FrontEndEvent::Malformed {
                        conn,
                        what: error.kind.reason().to_owned(),
                    });
                    self.close(now, conn);
                }
            }
        }
    }

    /// The connection is gone, by whomever.
    pub fn handle_closed(&mut self, now: Time, conn: Conn) {
        self.take_closed(now, conn);
        self.forget_timers();
    }

    fn take_closed(&mut self, now: Time, conn: Conn) {
        if self.connections.remove(&conn).is_none() {
            return;
        }
        self.log(FrontEndEvent::Disconnected { conn });
        for (aor, contact) in self.registrar.flow_lost(conn, self.config.remove_lost_flows) {
            self.log(FrontEndEvent::Unregistered {
                aor,
                contact,
                reason: Unbound::FlowLost,
            });
        }
        self.notifying.retain(|_, notifying| notifying.conn != conn);
        self.associations.connection_lost(conn);
        self.proxy_connection_lost(now, conn);
        self.presence_connection_lost(conn);
    }

    /// Time has passed. Does nothing before [`poll_timeout`](Self::poll_timeout).
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some((at, due)) = self.timers.first().copied() {
            if at > now {
                break;
            }
            self.timers.pop_first();
            if !self.is_current(at, due) {
                continue;
            }
            match due {
                Due::Binding(id) => {
                    if let Some((aor, contact)) = self.registrar.expire(now, id) {
                        self.log(FrontEndEvent::Unregistered {
                            aor,
                            contact,
                            reason: Unbound::Expired,
                        });
                    }
                }
                Due::Request(id) => self.request_timeout(id),
                Due::Branch(id, index) => self.branch_timeout(now, id, index),
                Due::Publication(id) => self.publication_expired(now, id),
                Due::Watcher(id) => self.watcher_expired(now, id),
                Due::Notify(id) => self.end_watcher(id),
                Due::Association(opaque) => self.association_expired(opaque),
            }
        }
        self.forget_timers();
    }

    /// What was to be done and has been overtaken is not looked at again and again.
    fn forget_timers(&mut self) {
        while let Some((at, due)) = self.timers.first().copied()
            && !self.is_current(at, due)
        {
            self.timers.pop_first();
        }
    }

    /// What the driver has to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.first().map(|(at, _)| *at)
    }

    fn is_current(&self, at: Time, due: Due) -> bool {
        match due {
            Due::Binding(id) => self
                .registrar
                .binding(id)
                .is_some_and(|binding| binding.expires_at == at),
            Due::Request(id) => self.proxy.request_deadline(id) == Some(at),
            Due::Branch(id, index) => self.proxy.branch_deadline(id, index) == Some(at),
            Due::Association(opaque) => self.associations.deadline(opaque) == Some(at),
            Due::Publication(_) | Due::Watcher(_) | Due::Notify(_) => self.presence.is_current(at, due),
        }
    }

    /// Closes a connection from this side, as an administrator does.
    pub fn disconnect(&mut self, now: Time, conn: Conn) {
        if self.connections.contains_key(&conn) {
            self.close(now, conn);
        }
    }

    /// Stops and starts the server: connections and requests under way are gone, with or without the bindings. The
    /// driver closes the connections itself and reports nothing of them any more.
    pub fn restart(&mut self, memory: Memory) {
        self.run += 1;
        self.connections.clear();
        self.proxy = Proxy::default();
        self.notifying.clear();
        self.out.clear();
        match memory {
            Memory::Kept => {
                self.registrar.forget_flows();
                self.presence.forget_notifies();
            }
            Memory::Lost => {
                self.presence = Presence::default();
                self.registrar.forget_all();
                self.associations.forget();
                self.guard
                    .forget(TokenKey(self.entropy.next_u64(), self.entropy.next_u64()));
            }
        }
    }

    /// From now on says this to everybody who wants to register. A restart changes nothing of it.
    pub fn set_manner(&mut self, manner: Manner) {
        self.manner = manner;
    }

    /// What it says to everybody who wants to register.
    pub const fn manner(&self) -> &Manner {
        &self.manner
    }

    /// Takes over what another front end of the same domain knows of an address of record, as two do that share their
    /// bindings: what was known here is replaced. They share nothing else. An endpoint that is connected with the other
    /// one is not reached from here, and its nonces are not known.
    pub fn share(&mut self, other: &Self, aor: &str) {
        let Ok(uri) = sansip::wire::uri::Uri::parse(aor) else {
            return;
        };
        let expiries = self
            .registrar
            .adopt(&other.registrar, &sansip::wire::uri::canonical_key(&uri));
        self.timers
            .extend(expiries.into_iter().map(|(at, id)| (at, Due::Binding(id))));
        self.forget_timers();
    }

    /// The same of all addresses.
    pub fn share_all(&mut self, other: &Self) {
        let all: Vec<String> = other
            .registrar
            .accounts()
            .map(|(aor, _)| aor.to_owned())
            .collect();
        all.iter().for_each(|aor| self.share(other, aor));
    }

    /// The contacts of an address of record such as `sip:alice@example.com`, the last registered or refreshed last.
    pub fn bindings(&self, aor: &str) -> Vec<Registered> {
        let Ok(uri) = sansip::wire::uri::Uri::parse(aor) else {
            return Vec::new();
        };
        let key = sansip::wire::uri::canonical_key(&uri);
        let bindings = self.registrar.bindings(&key).iter();
        bindings.map(|binding| self.look_at(binding)).collect()
    }

    /// Every address of record that has contacts.
    pub fn registered(&self) -> Vec<(String, Vec<Registered>)> {
        self.registrar
            .accounts()
            .filter(|(_, bindings)| !bindings.is_empty())
            .map(|(aor, bindings)| {
                let all = bindings.iter().map(|binding| self.look_at(binding));
                (aor.to_owned(), all.collect())
            })
            .collect()
    }

    /// How much is held at present.
    pub fn census(&self) -> FrontEndCensus {
        FrontEndCensus {
            connections: self.connections.len(),
            transactions: self.proxy.len(),
            bindings: self
                .registrar
                .accounts()
                .map(|(_, bindings)| bindings.len())
                .sum(),
            subscriptions: self.presence.watchers(),
            publications: self.presence.publications(),
            associations: self.associations.len(),
            handshakes: self.associations.handshakes(),
        }
    }

    /// The settings.
    pub const fn config(&self) -> &FrontEndConfig {
        &self.config
    }

    fn on_bytes(&mut self, now: Time, conn: Conn, bytes: Bytes) {
        let message = match Message::parse(bytes, &self.config.message) {
            Ok(message) => message,
            Err(error) => {
                return self.log(FrontEndEvent::Malformed {
                    conn,
                    what: error.to_string(),
                });
            }
        };
        if message.is_request() {
            self.on_request(now, conn, &message);
        } else {
            self.on_response(now, conn, &message);
        }
    }

    fn on_request(&mut self, now: Time, conn: Conn, message: &Message) {
        let Some(source) = self.connections.get(&conn).map(|connection| connection.remote) else {
            return;
        };
        if let Err(refusal) = check::request(message) {
            self.log(FrontEndEvent::Malformed {
                conn,
                what: refusal.reason.clone(),
            });
            let refused = Refused {
                status: refusal.status,
                reason: Some(refusal.reason),
                headers: refusal.headers,
            };
            return self.refuse(conn, message, &refused);
        }
        let Some(message) = self.with_source(message, source) else {
            return;
        };
        let Some(standing) = self.screen(now, conn, &message) else {
            return;
        };
        match message.method() {
            Some(Method::Ack) => self.on_ack(conn, &message),
            Some(Method::Cancel) => self.on_cancel(now, conn, &message, standing.party()),
            Some(_) => self.on_new_request(now, conn, message, &standing),
            None => {}
        }
    }

    /// The request with the address it came from in its top Via (RFC 3261 section 18.2.1, RFC 3581).
    fn with_source(&self, message: &Message, source: SocketAddr) -> Option<Message> {
        let mut via = message.via_top().ok()?.into_owned();
        via.note_source(source);
        let mut edit = Edit::of(message);
        edit.drop_first::<Via<'_>>(1);
        edit.push_first(&via);
        self.reread(edit.finish())
    }

    /// A message that this front end has written.
    fn reread(&self, bytes: Bytes) -> Option<Message> {
        Message::parse(bytes, &self.config.message).ok()
    }

    /// A REGISTER for one of our domains.
    fn on_register(&mut self, now: Time, id: u64, conn: Conn, message: &Message, standing: &Standing) {
        match self.register(now, conn, message, standing) {
            Ok(headers) => self.answer(
                now,
                id,
                &Refused {
                    status: StatusCode::OK,
                    reason: None,
                    headers,
                },
            ),
            Err(refused) => self.answer(now, id, &refused),
        }
    }

    fn register(
        &mut self,
        now: Time,
        conn: Conn,
        message: &Message,
        standing: &Standing,
    ) -> Result<Vec<(HeaderName, String)>, Refused> {
        required_tags(message, HeaderName::Require, &["gruu", "outbound", "gruu-10"])?;
        // A server that signs sends nobody away unsigned (MS-SIP section 4.1).
        let signs = self.has_associations() && matches!(self.manner, Manner::Redirect(_));
        if !signs {
            self.admit(now, conn, message)?;
        }
        let proven = self.prove(now, conn, message, standing)?;
        if signs {
            self.admit(now, conn, message)?;
        }
        let registration = Registration::read(message, &self.config, self.least_expiry());
        let registration = registration.inspect_err(|refused| {
            if refused.status == StatusCode::INTERVAL_TOO_BRIEF {
                self.turn_away(conn, message, refused);
            }
        })?;
        let mut headers = Vec::new();
        if let Some(proof) = proven {
            if !self.is_user(&proof.user, &registration.aor) {
                return Err(Refused::because(StatusCode::FORBIDDEN, "Not your address"));
            }
            headers.extend(proof.info.map(|info| (HeaderName::AuthenticationInfo, info)));
        }
        let Some(remote) = self.connections.get(&conn).map(|connection| connection.remote) else {
            return Err(Refused::new(StatusCode::SERVER_INTERNAL_ERROR));
        };
        let (entropy, tokens) = (&mut self.entropy, self.tokens);
        let mut names = |naming: Naming<'_>| match naming {
            Naming::Temporary => format!("tgruu.{:016x}{:016x}", entropy.next_u64(), entropy.next_u64()),
            Naming::Device { aor, device } => {
                let mut hasher = SipHasher13::new_with_keys(tokens.0, tokens.1);
                hasher.write(aor.as_bytes());
                hasher.write_u8(0);
                hasher.write(device.as_bytes());
                format!("{:032x}", hasher.finish128().as_u128())
            }
        };
        let source = Source { conn, remote };
        let done = self
            .registrar
            .register(now, &registration, &source, &self.config, &mut names)?;
        headers.extend(done.headers);
        // Clients that sign read here how long it lasts, as their servers say it, and take a 2xx without it for an end.
        if let (Some(_), Some((_, seconds, _))) = (standing.party(), done.bound.first()) {
            headers.push((HeaderName::Expires, seconds.to_string()));
        }
        if let (Some(offer), Some(time)) = (message.raw(HeaderName::MsKeepAlive), self.config.keep_alive)
            && offer.to_ascii_uppercase().starts_with(b"UAC")
        {
            let value = format!("UAS; tcp=no; hop-hop=yes; end-end=no; timeout={}", time.as_secs());
            headers.push((HeaderName::MsKeepAlive, value));
        }
        self.timers
            .extend(done.expiries.into_iter().map(|(at, id)| (at, Due::Binding(id))));
        let aor = registration.aor;
        for (contact, expires, refreshed) in done.bound {
            self.log(FrontEndEvent::Registered {
                aor: aor.clone(),
                contact,
                expires,
                refreshed,
                conn,
            });
        }
        for contact in done.unbound {
            self.log(FrontEndEvent::Unregistered {
                aor: aor.clone(),
                contact,
                reason: Unbound::ByCommand,
            });
        }
        Ok(headers)
    }

    /// Whether there is time for a REGISTER at present, and whether this is the place for it.
    fn admit(&mut self, now: Time, conn: Conn, message: &Message) -> Result<(), Refused> {
        self.admitted(now)
            .inspect_err(|refused| self.turn_away(conn, message, refused))
    }

    fn admitted(&mut self, now: Time) -> Result<(), Refused> {
        let retry =
            |refused: Refused, seconds: u32| refused.with(HeaderName::RetryAfter, seconds.to_string());
        let unavailable = Refused::new(StatusCode::SERVICE_UNAVAILABLE);
        match &self.manner {
            Manner::Usual | Manner::TooBrief(_) => Ok(()),
            Manner::Redirect(contacts) => {
                let moved = Refused::new(if self.has_associations() {
                    StatusCode::MOVED_PERMANENTLY
                } else {
                    StatusCode::MOVED_TEMPORARILY
                });
                let with = |refused: Refused, contact: &String| refused.with(HeaderName::Contact, contact);
                Err(contacts.iter().fold(moved, with))
            }
            Manner::Unavailable(None) => Err(unavailable),
            Manner::Unavailable(Some(seconds)) => Err(retry(unavailable, *seconds)),
            Manner::Crowded {
                per_second,
                retry_after,
            } => {
                let second = now.as_micros() / 1_000_000;
                if self.taken.0 != second {
                    self.taken = (second, 0);
                }
                if self.taken.1 < *per_second {
                    self.taken.1 += 1;
                    return Ok(());
                }
                let (least, most) = (*retry_after.start(), *retry_after.end());
                let span = most.saturating_sub(least).saturating_add(1);
                Err(retry(unavailable, least + self.entropy.next_u32() % span))
            }
        }
    }

    fn least_expiry(&self) -> Duration {
        match self.manner {
            Manner::TooBrief(least) => least,
            Manner::Usual | Manner::Redirect(_) | Manner::Unavailable(_) | Manner::Crowded { .. } => {
                self.config.min_expires
            }
        }
    }

    /// Tells of somebody who does not get what they want because of the [`Manner`].
    fn turn_away(&mut self, conn: Conn, message: &Message, refused: &Refused) {
        let to = message.to().ok();
        let aor = to.and_then(|to| to.0.uri.as_sip().map(registrar::aor_text));
        let mut headers = refused.headers.iter();
        let seconds = headers.find(|(name, _)| *name == HeaderName::RetryAfter);
        self.log(FrontEndEvent::TurnedAway {
            conn,
            aor: aor.unwrap_or_default(),
            status: refused.status,
            seconds: seconds.and_then(|(_, seconds)| seconds.parse().ok()),
        });
    }

    /// Answers outside of any transaction: the request cannot be relied on.
    fn refuse(&mut self, conn: Conn, message: &Message, refused: &Refused) {
        if message
            .method()
            .is_some_and(|method| !matches!(method, Method::Ack | Method::Benotify))
        {
            let bytes = self.response(message, refused);
            self.send(conn, bytes);
        }
    }

    /// A response of this front end to a request.
    fn response(&mut self, message: &Message, refused: &Refused) -> Bytes {
        let tag = (refused.status != StatusCode::TRYING).then(|| format!("{:016x}", self.entropy.next_u64()));
        edit::response(message, refused, tag.as_deref(), &self.config.product)
    }

    fn send(&mut self, conn: Conn, bytes: Bytes) {
        if self.connections.contains_key(&conn) {
            self.out.push_back(Output::Send { conn, bytes });
        }
    }

    fn close(&mut self, now: Time, conn: Conn) {
        self.out.push_back(Output::Close(conn));
        self.take_closed(now, conn);
    }

    /// The connection over which a binding is reached from here.
    fn live_flow(&self, binding: &Binding) -> Option<Conn> {
        binding.flow.filter(|conn| self.connections.contains_key(conn))
    }

    fn look_at(&self, binding: &Binding) -> Registered {
        Registered {
            contact: binding.target(),
            expires_at: binding.expires_at,
            conn: self.live_flow(binding),
            epid: binding.epid.clone(),
            instance: binding.instance.clone(),
        }
    }

    fn log(&mut self, event: FrontEndEvent) {
        self.out.push_back(Output::Log(event));
    }
}

/// 420 where the request asks for an extension that is not among these (RFC 3261 sections 8.2.2.3 and 16.3).
fn required_tags(message: &Message, name: HeaderName, known: &[&str]) -> Result<(), Refused> {
    let asked = message
        .raw_all(name)
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .collect::<Vec<_>>();
    let unknown: Vec<&str> = asked
        .iter()
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|tag| !tag.is_empty() && !known.iter().any(|known| known.eq_ignore_ascii_case(tag)))
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Refused::new(StatusCode::BAD_EXTENSION).with(HeaderName::Unsupported, unknown.join(", ")))
}
