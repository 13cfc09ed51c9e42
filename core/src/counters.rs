//! Exact counts of what a stack has done (X7). Plain numbers: one owner, so nothing can disagree.
//!
//! Each is counted in one line at the place where it happens. A message counts as sent when the embedder has taken its
//! last byte, so the numbers are those that an observer on the wire finds.

use alloc::string::String;
use core::ops::{AddAssign, Sub};

use crate::wire::{Method, StatusCode};

/// What a group of counters can do, and the single number too.
trait Count: Copy {
    fn add(&mut self, other: Self);

    /// What has come since `earlier`.
    fn since(self, earlier: Self) -> Self;

    /// Calls `each` with every number and its name, which begins with `path`.
    fn visit(self, path: &mut String, each: &mut dyn FnMut(&str, u64));
}

impl Count for u64 {
    fn add(&mut self, other: Self) {
        *self += other;
    }

    fn since(self, earlier: Self) -> Self {
        self.saturating_sub(earlier)
    }

    fn visit(self, path: &mut String, each: &mut dyn FnMut(&str, u64)) {
        each(path, self);
    }
}

/// Visits one part of a group under its name.
fn visit_part(part: impl Count, name: &str, path: &mut String, each: &mut dyn FnMut(&str, u64)) {
    let length = path.len();
    if length > 0 {
        path.push('.');
    }
    path.push_str(name);
    part.visit(path, each);
    path.truncate(length);
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl Count for $name {
            fn add(&mut self, other: Self) {
                $(self.$field.add(other.$field);)*
            }

            fn since(self, earlier: Self) -> Self {
                Self { $($field: self.$field.since(earlier.$field),)* }
            }

            fn visit(self, path: &mut String, each: &mut dyn FnMut(&str, u64)) {
                $(visit_part(self.$field, stringify!($field), path, each);)*
            }
        }
    )*};
}

counters! {
    /// The counters of one stack since it was made. Those of several stacks are added with `+=`; `later - earlier` is what
    /// happened between two readings.
    Counters {
        /// Messages whose last byte the embedder has taken, repeated ones among them.
        sent: Messages,
        /// Messages received that are well-formed, repeated ones among them.
        received: Messages,
        /// Messages received that were no SIP, or of which a user agent must not take notice.
        malformed: u64,
        /// Bytes taken by the embedder, keep-alives among them.
        bytes_sent: u64,
        /// Bytes received, keep-alives among them.
        bytes_received: u64,
        /// Messages that have been sent or have come before.
        retransmissions: Retransmissions,
        /// Transactions by machine (RFC 3261 section 17). The ACK for a 2xx, and BENOTIFY, have none.
        transactions: Transactions,
        /// Connections by who made them.
        connections: Connections,
        /// Registrations of SipEndpoints.
        registrations: Registrations,
        /// Sessions by who invited.
        sessions: Sessions,
        /// Subscriptions to the state of others, and of others.
        subscriptions: Subscriptions,
        /// States published at a server (RFC 3903).
        publications: Lives,
        /// Messages of servers that were not taken for want of a good signature; nobody heard of them (rule A4).
        dropped: Dropped,
        /// What did not come in time.
        timeouts: Timeouts,
        /// What was refused, or given up, because a bound of [`Limits`](crate::Limits) was reached.
        refusals: Refusals,
    }

    /// Repeated messages; they are counted among all messages too. Every transport is a stream, so a peer or a lost
    /// connection is the cause, not a lost packet.
    Retransmissions {
        /// Sent once more, byte for byte: 2xx to INVITE until the ACK comes, responses to repeated requests, the ACK of a
        /// repeated failure.
        sent: u64,
        /// Received, and known already to their transaction or session, which told nobody.
        received: u64,
    }

    /// Messages that were not taken for want of a good signature.
    Dropped {
        /// Without a signature where it needs one.
        unsigned: u64,
        /// With a wrong one.
        forged: u64,
        /// With one that had been there before.
        replayed: u64,
    }

    /// Transactions by machine.
    Transactions {
        /// Of an INVITE that was sent (RFC 3261 section 17.1.1).
        client_invite: Lives,
        /// Of any other request that was sent (section 17.1.2).
        client: Lives,
        /// Of an INVITE that was received (section 17.2.1).
        server_invite: Lives,
        /// Of any other request that was received (section 17.2.2).
        server: Lives,
    }

    /// How many began and how many ended.
    Lives {
        /// Began.
        started: u64,
        /// Ended, in whatever way.
        ended: u64,
    }

    /// Connections by who made them.
    Connections {
        /// Made by the peer.
        incoming: Connecting,
        /// Made by this side.
        outgoing: Connecting,
    }

    /// Connections of one direction.
    Connecting {
        /// Begun: the name is looked up, or the peer was accepted. A peer that is turned away for a limit is not counted.
        started: u64,
        /// Became ready for data, after TLS where there is TLS.
        made: u64,
        /// Never became ready: every address was tried, the TLS handshake of the peer failed, or the application did not
        /// allow it.
        failed: u64,
        /// Never became ready, because nobody wanted it any more.
        abandoned: u64,
        /// Were ready, and are gone, by whichever side.
        closed: u64,
    }

    /// Registrations of SipEndpoints (R1).
    Registrations {
        /// Changes to Registered.
        made: u64,
        /// Refreshes that the server accepted.
        refreshed: u64,
        /// First REGISTERs that failed: Registering to Unregistered.
        failed: u64,
        /// REGISTERs of an endpoint that has been registered which failed; each is tried again (R7), except where the
        /// credentials were refused (A7).
        refresh_failed: u64,
        /// Changes from Registered to Unregistered that nobody had asked for.
        lost: u64,
        /// Unregistered by command.
        ended: u64,
    }

    /// Sessions by who invited.
    Sessions {
        /// The peer.
        incoming: Calls,
        /// This side.
        outgoing: Calls,
    }

    /// Sessions of one direction.
    Calls {
        /// Made or received.
        started: u64,
        /// Established.
        connected: u64,
        /// Over, established or not.
        ended: u64,
    }

    /// Subscriptions (RFC 6665).
    Subscriptions {
        /// Of others to states of ours.
        incoming: Lives,
        /// Of ours to the state of others; a further one for each fork.
        outgoing: Lives,
        /// Refreshes and changes of ours that the notifier accepted.
        refreshed: u64,
    }

    /// What did not come in time.
    Timeouts {
        /// A final response to an INVITE (timer B).
        invite: u64,
        /// A final response to any other request (timer F).
        request: u64,
        /// A final response to an INVITE after its CANCEL (RFC 3261 section 9.1).
        cancel: u64,
        /// A place among the requests that are outstanding ([`Limits::outstanding`](crate::Limits), C24).
        held: u64,
        /// A refresh of a session by whoever was to (RFC 4028 section 10).
        session: u64,
        /// The ACK for a final response to an INVITE (timer H; RFC 3261 section 13.3.1.4).
        ack: u64,
        /// The end of an invitation, from whichever side ([`Config::max_connect_duration`](crate::Config), S12).
        establish: u64,
        /// The application's answer to the offer in a 2xx, for which the ACK waits (S5).
        offer: u64,
        /// The NOTIFY to a SUBSCRIBE that was accepted (RFC 6665 section 4.1.2.4, timer N).
        notify: u64,
        /// The application's answer to a request that it holds ([`Config::answer_timeout`](crate::Config), M9).
        answer: u64,
        /// A connection to one address ([`Config::connect_timeout`](crate::Config)).
        connect: u64,
        /// The TLS handshake of a peer ([`Config::unproven`](crate::Config)).
        handshake: u64,
        /// The first valid message of a peer ([`Config::unproven`](crate::Config), C12).
        unproven: u64,
        /// The application's word on a connection ([`Config::authorization_timeout`](crate::Config), C21).
        authorization: u64,
        /// An answer of the domain name system ([`Config::resolve_timeout`](crate::Config)).
        resolve: u64,
        /// The answer to a keep-alive ([`Config::pong_timeout`](crate::Config), R19).
        pong: u64,
        /// The taking of bytes by a peer ([`Config::write_timeout`](crate::Config), R19).
        write: u64,
    }

    /// What was refused because a bound was reached; each is named as in [`Limits`](crate::Limits).
    Refusals {
        /// Messages that were too long, or had too many header fields.
        message: u64,
        /// Connections closed because their peer does not read.
        send_queue: u64,
        /// Connections of peers that were closed at once, and connections of our own that were not made.
        connections: u64,
        /// Connections closed because they brought too much before they were allowed.
        unauthorized: u64,
        /// Hosts that were pushed off an allow list.
        learned_hosts: u64,
        /// Certificates of peers that had too much in them.
        certificate_entries: u64,
        /// Requests answered 503, and requests that were not sent.
        transactions: u64,
        /// INVITEs answered 503, and commands refused as misuse.
        sessions: u64,
        /// SUBSCRIBEs answered 503, commands refused as misuse, and NOTIFYs of forks answered 481.
        subscriptions: u64,
        /// Commands refused as misuse.
        publications: u64,
        /// Forks of an INVITE of which no early dialog was kept.
        forks: u64,
        /// Commands refused as misuse.
        operations: u64,
        /// Commands refused as misuse.
        pending_per_session: u64,
        /// Targets of redirections ([`Limits::redirects`](crate::Limits)).
        redirects: u64,
        /// REFERs, of this side or of the peer ([`Limits::referrals`](crate::Limits)).
        referrals: u64,
        /// Times that the stack stopped reading.
        events: u64,
        /// Endpoints refused as misuse.
        endpoints: u64,
        /// Answers of the domain name system that were pushed out, or not kept.
        dns_cache: u64,
        /// Requests that were not sent once more, though the response asked for it.
        attempts: u64,
        /// Requests that failed because of [`Config::connection_throttle`](crate::Config) (C22).
        connection_throttle: u64,
        /// Requests of peers that were answered 503, or dropped where nothing answers them, because of
        /// [`Config::message_throttle`](crate::Config) (C23).
        message_throttle: u64,
        /// Requests that were not tried at a further address, because of those that they were tried at before.
        targets: u64,
    }
}

/// Messages of one direction by method, and responses by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Messages {
    requests: [u64; Method::SORTS],
    responses: [u64; 6],
}

impl Messages {
    /// Requests of this method; all that the stack has no name for count as one.
    pub fn of(&self, method: &Method) -> u64 {
        self.requests.get(method.sort()).copied().unwrap_or_default()
    }

    /// Responses of the class of this status.
    pub fn of_class(&self, status: StatusCode) -> u64 {
        self.responses.get(class_of(status)).copied().unwrap_or_default()
    }

    /// All requests.
    pub fn requests(&self) -> u64 {
        self.requests.iter().sum()
    }

    /// All responses.
    pub fn responses(&self) -> u64 {
        self.responses.iter().sum()
    }

    pub(crate) fn count(&mut self, kind: Kind) {
        let place = match kind {
            Kind::Request(sort) => self.requests.get_mut(usize::from(sort)),
            Kind::Response(class) => self.responses.get_mut(usize::from(class)),
        };
        // Both tables have a place for every kind.
        if let Some(place) = place {
            *place += 1;
        }
    }
}

impl Count for Messages {
    fn add(&mut self, other: Self) {
        for (mine, its) in self.requests.iter_mut().zip(other.requests) {
            *mine += its;
        }
        for (mine, its) in self.responses.iter_mut().zip(other.responses) {
            *mine += its;
        }
    }

    fn since(mut self, earlier: Self) -> Self {
        for (mine, its) in self.requests.iter_mut().zip(earlier.requests) {
            *mine = mine.since(its);
        }
        for (mine, its) in self.responses.iter_mut().zip(earlier.responses) {
            *mine = mine.since(its);
        }
        self
    }

    fn visit(self, path: &mut String, each: &mut dyn FnMut(&str, u64)) {
        for (name, number) in Method::NAMES.iter().chain(&["Other"]).zip(self.requests) {
            visit_part(number, name, path, each);
        }
        for (name, number) in ["1xx", "2xx", "3xx", "4xx", "5xx", "6xx"]
            .iter()
            .zip(self.responses)
        {
            visit_part(number, name, path, each);
        }
    }
}

impl Counters {
    /// Calls `each` with every number and its name, such as `sent.INVITE`, `received.2xx` or
    /// `connections.outgoing.failed`; always the same ones in the same order.
    pub fn for_each(&self, mut each: impl FnMut(&str, u64)) {
        self.visit(&mut String::new(), &mut each);
    }

    /// The group of one direction of connections.
    pub(crate) const fn connecting(&mut self, incoming: bool) -> &mut Connecting {
        if incoming {
            &mut self.connections.incoming
        } else {
            &mut self.connections.outgoing
        }
    }

    /// The group of one direction of sessions.
    pub(crate) const fn calls(&mut self, incoming: bool) -> &mut Calls {
        if incoming {
            &mut self.sessions.incoming
        } else {
            &mut self.sessions.outgoing
        }
    }

    /// The embedder has taken the last byte of this.
    pub(crate) fn taken(&mut self, label: Label) {
        if let Label::Message { kind, again } = label {
            self.sent.count(kind);
            self.retransmissions.sent += u64::from(again);
        }
    }
}

impl AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.add(other);
    }
}

impl Sub for Counters {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        self.since(earlier)
    }
}

impl Subscriptions {
    /// Those that have not ended: the number that the [`Census`](crate::Census) says.
    pub const fn active(&self) -> u64 {
        self.incoming.active() + self.outgoing.active()
    }
}

impl Transactions {
    /// How many are alive: the number that the [`Census`](crate::Census) says.
    pub const fn active(&self) -> u64 {
        self.client_invite.active()
            + self.client.active()
            + self.server_invite.active()
            + self.server.active()
    }
}

impl Lives {
    /// How many are alive.
    pub const fn active(&self) -> u64 {
        self.started - self.ended
    }
}

impl Connections {
    /// How many there are, those that are being made among them: the number that the [`Census`](crate::Census) says.
    pub const fn active(&self) -> u64 {
        self.incoming.active() + self.outgoing.active()
    }
}

impl Connecting {
    /// How many there are, those that are being made among them.
    pub const fn active(&self) -> u64 {
        self.started - self.failed - self.abandoned - self.closed
    }
}

impl Registrations {
    /// How many endpoints are Registered, or are about to unregister.
    pub const fn active(&self) -> u64 {
        self.made - self.lost - self.ended
    }
}

impl Sessions {
    /// How many there are: the number that the [`Census`](crate::Census) says.
    pub const fn active(&self) -> u64 {
        self.incoming.started - self.incoming.ended + self.outgoing.started - self.outgoing.ended
    }
}

/// What a message is, as its place in [`Messages`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// [`Method::sort`].
    Request(u8),
    /// The first digit of the status, less one.
    Response(u8),
}

impl Kind {
    pub(crate) fn request(method: &Method) -> Self {
        // There are seventeen.
        Self::Request(u8::try_from(method.sort()).unwrap_or(u8::MAX))
    }

    pub(crate) fn response(status: StatusCode) -> Self {
        // There are six.
        Self::Response(u8::try_from(class_of(status)).unwrap_or(u8::MAX))
    }
}

/// What bytes in a send queue are, to be counted when they have gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    KeepAlive,
    Message {
        kind: Kind,
        /// It has been sent before.
        again: bool,
    },
}

impl Label {
    pub(crate) fn request(method: &Method) -> Self {
        Self::Message {
            kind: Kind::request(method),
            again: false,
        }
    }

    pub(crate) fn response(status: StatusCode) -> Self {
        Self::Message {
            kind: Kind::response(status),
            again: false,
        }
    }
}

fn class_of(status: StatusCode) -> usize {
    usize::from(status.code() / 100).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec::Vec;

    use super::*;

    fn all(counters: &Counters) -> Vec<(String, u64)> {
        let mut all = Vec::new();
        counters.for_each(|name, value| all.push((name.to_string(), value)));
        all
    }

    // rules: X7
    #[test]
    fn counters_add_up_and_have_a_difference() {
        let mut one = Counters::default();
        one.sent.count(Kind::request(&Method::Invite));
        one.sent.count(Kind::response(StatusCode::RINGING));
        one.refusals.forks = 2;
        let mut sum = one;
        sum += one;
        assert_eq!(sum.sent.of(&Method::Invite), 2);
        assert_eq!(sum.sent.of_class(StatusCode::TRYING), 2);
        assert_eq!((sum.sent.requests(), sum.sent.responses()), (2, 2));
        assert_eq!(sum.refusals.forks, 4);
        assert_eq!(sum - one, one);
        assert_eq!(one - one, Counters::default());
    }

    // rules: X7
    #[test]
    fn every_number_has_a_name_of_its_own() {
        let names: Vec<String> = all(&Counters::default())
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        let mut unique = names.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), names.len());
        // As many as the struct has room for: nothing is left out.
        assert_eq!(names.len() * size_of::<u64>(), size_of::<Counters>());
        for name in [
            "sent.INVITE",
            "received.Other",
            "sent.6xx",
            "connections.outgoing.failed",
            "malformed",
        ] {
            assert!(names.iter().any(|known| known == name), "{name}");
        }
    }

    #[test]
    fn every_method_has_a_place_and_a_stranger_the_last() {
        for name in Method::NAMES {
            let method = Method::parse(name.as_bytes()).unwrap();
            let mut messages = Messages::default();
            messages.count(Kind::request(&method));
            assert_eq!((messages.of(&method), messages.requests()), (1, 1));
        }
        assert_eq!(Method::parse(b"FROBNICATE").unwrap().sort(), Method::SORTS - 1);
    }
}
