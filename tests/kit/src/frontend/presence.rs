//! Presence: the states that users publish (RFC 3903) and those who subscribe to them (RFC 6665, RFC 3856).
//!
//! What is published is opaque. Of several publications of one user those who watch see the one that was given last, and
//! the one before it when that is over; without any, a NOTIFY has no body. A watcher has one NOTIFY under way at a time:
//! what changes meanwhile is told when that is answered, the last state alone.
//!
//! ```text
//! watcher:  active --Expires 0, time--> terminated --answer, no answer in 64 T1--> gone
//!              \______a NOTIFY is refused or not answered, its way is lost--> gone
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rand_core::RngCore;
use sansip::Time;
use sansip::wire::header::{Contact, Event, Expires, RecordRoute, SipIfMatch, to_string};
use sansip::wire::uri::{SipUri, Uri, UriParams, canonical_key};
use sansip::wire::{HeaderName, Message, Method, StatusCode};

use super::association::Party;
use super::context::MAGIC_COOKIE;
use super::event::FrontEndEvent;
use super::registrar::{BindingId, Refused, aor_text};
use super::route::{Destination, Path};
use super::{Conn, Due, FrontEnd};

/// The one event package.
pub(super) const PACKAGE: &str = "presence";

/// All publications and subscriptions.
#[derive(Clone, Debug, Default)]
pub(super) struct Presence {
    /// By the number in their entity-tag.
    publications: BTreeMap<u64, Publication>,
    /// By the number in the tag of this side.
    watchers: BTreeMap<u64, Watcher>,
    /// Whose NOTIFY waits for an answer, by its branch.
    asked: BTreeMap<String, u64>,
    /// Counts the states that were given.
    given: u64,
}

#[derive(Clone, Debug)]
struct Publication {
    /// The canonical key of the user.
    key: String,
    aor: String,
    /// The last one given is the one that is seen.
    order: u64,
    content_type: String,
    body: Bytes,
    expires_at: Time,
}

#[derive(Clone, Debug)]
struct Watcher {
    /// The canonical key of the user that is watched.
    key: String,
    aor: String,
    /// From of the NOTIFYs, with our tag.
    local: String,
    /// To of the NOTIFYs.
    remote: String,
    remote_tag: String,
    call_id: String,
    /// The remote target.
    target: String,
    routes: Vec<String>,
    /// The value of Event, with its id.
    event: String,
    conn: Conn,
    sender: Option<BindingId>,
    /// Who watches, where they sign.
    party: Option<Party>,
    cseq: u32,
    remote_cseq: u32,
    expires_at: Time,
    /// It is over, and the last NOTIFY says so.
    ended: bool,
    /// The NOTIFY that waits for an answer.
    asked: Option<Asked>,
    /// There is news since.
    owed: bool,
}

#[derive(Clone, Debug)]
struct Asked {
    branch: String,
    /// It went over this connection.
    conn: Conn,
    deadline: Time,
}

impl Presence {
    /// What those who watch this user see.
    fn shown(&self, key: &str) -> Option<&Publication> {
        let theirs = self
            .publications
            .values()
            .filter(|publication| publication.key == key);
        theirs.max_by_key(|publication| publication.order)
    }

    fn order_shown(&self, key: &str) -> Option<u64> {
        self.shown(key).map(|publication| publication.order)
    }

    pub(super) fn watchers(&self) -> usize {
        self.watchers.len()
    }

    pub(super) fn publications(&self) -> usize {
        self.publications.len()
    }

    /// Who has to sign the answer to a NOTIFY.
    pub(super) fn party_asked(&self, branch: &str) -> Option<&Party> {
        let watcher = self.watchers.get(self.asked.get(branch)?)?;
        watcher.party.as_ref()
    }

    pub(super) fn is_current(&self, at: Time, due: Due) -> bool {
        match due {
            Due::Publication(id) => self.publications.get(&id).map(|it| it.expires_at) == Some(at),
            Due::Watcher(id) => self
                .watchers
                .get(&id)
                .is_some_and(|it| !it.ended && it.expires_at == at),
            Due::Notify(id) => {
                let asked = self.watchers.get(&id).and_then(|it| it.asked.as_ref());
                asked.is_some_and(|asked| asked.deadline == at)
            }
            Due::Binding(_) | Due::Request(_) | Due::Branch(..) | Due::Association(_) => false,
        }
    }

    /// NOTIFYs under way are never answered now; what has ended is gone.
    pub(super) fn forget_notifies(&mut self) {
        self.asked.clear();
        self.watchers.retain(|_, watcher| !watcher.ended);
        for watcher in self.watchers.values_mut() {
            (watcher.asked, watcher.owed) = (None, false);
        }
    }

    fn remove_watcher(&mut self, id: u64) -> Option<Watcher> {
        let watcher = self.watchers.remove(&id)?;
        if let Some(asked) = &watcher.asked {
            self.asked.remove(&asked.branch);
        }
        Some(watcher)
    }
}

impl FrontEnd {
    /// Whether this server takes a request itself in place of sending it on: a PUBLISH for a user, a SUBSCRIBE to their
    /// presence, and what comes in the dialogs of those. Other packages are for the user's endpoints to know.
    pub(super) fn is_for_presence(
        &self,
        conn: Conn,
        destination: &Destination,
        path: &Path,
        message: &Message,
    ) -> bool {
        if self.config.presence.is_none() {
            return false;
        }
        let here = *destination == Destination::Server || self.names_user(conn, path);
        match message.method() {
            Some(Method::Publish) => here,
            Some(Method::Subscribe) => {
                *destination == Destination::Server || (here && event_of(message).is_ok())
            }
            _ => false,
        }
    }

    /// Carries it out; `proven` is the account that has sent it, where accounts are asked for.
    pub(super) fn on_presence(
        &mut self,
        now: Time,
        id: u64,
        (conn, message): (Conn, &Message),
        proven: Option<&str>,
    ) -> Result<(), Refused> {
        super::required_tags(message, HeaderName::Require, &[])?;
        if message.method() == Some(&Method::Publish) {
            return self.publish(now, id, message, proven);
        }
        let tag = message.to().ok().and_then(|to| to.tag().map(str::to_owned));
        match tag {
            Some(tag) => self.resubscribe(now, id, conn, message, &tag),
            None => self.subscribe(now, id, conn, message),
        }
    }

    /// The user in the Request-URI: their canonical key, and the address of record.
    fn presentity(&self, message: &Message) -> Result<(String, String), Refused> {
        let not_found = || Refused::new(StatusCode::NOT_FOUND);
        let uri = Uri::parse(message.request_uri()).map_err(bad)?;
        let sip = uri.as_sip().ok_or_else(not_found)?;
        let address = SipUri {
            params: UriParams::default(),
            ..sip.clone()
        };
        let key = canonical_key(&Uri::Sip(address));
        if self.is_known(&key, sip) {
            Ok((key, aor_text(sip)))
        } else {
            Err(not_found())
        }
    }

    /// For how long: within the same bounds as a registration (RFC 6665 section 4.2.1.1, RFC 3903 section 6).
    fn lasting(&self, message: &Message) -> Result<Duration, Refused> {
        let asked = message.typed::<Expires>().ok().flatten();
        let asked = asked.map_or(self.config.default_expires, |expires| {
            Duration::from_secs(expires.0.into())
        });
        let least = self.config.min_expires;
        if !asked.is_zero() && asked < least {
            let least = least.as_secs().to_string();
            return Err(Refused::new(StatusCode::INTERVAL_TOO_BRIEF).with(HeaderName::MinExpires, least));
        }
        Ok(asked.min(self.config.max_expires))
    }

    /// A PUBLISH (RFC 3903 section 6).
    fn publish(
        &mut self,
        now: Time,
        id: u64,
        message: &Message,
        proven: Option<&str>,
    ) -> Result<(), Refused> {
        let (key, aor) = self.presentity(message)?;
        if proven.is_some_and(|user| !self.is_user(user, &aor)) {
            return Err(Refused::because(StatusCode::FORBIDDEN, "Not your address"));
        }
        event_of(message)?;
        let former = match message.typed::<SipIfMatch<'_>>().map_err(bad)? {
            Some(tag) => Some(self.matched(&key, tag.as_str())?),
            None => None,
        };
        let lasting = self.lasting(message)?;
        let content_type = message.raw(HeaderName::ContentType);
        let content_type = content_type.map(|value| String::from_utf8_lossy(value).into_owned());
        let given = match (message.body(), content_type) {
            (body, Some(content_type)) if !body.is_empty() => Some((content_type, body)),
            _ if former.is_some() => None,
            _ => return Err(Refused::because(StatusCode::BAD_REQUEST, "nothing to publish")),
        };
        let limit = self.config.presence.map_or(0, |limits| limits.publications);
        if former.is_none() && self.presence.publications() >= limit {
            return Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE));
        }
        let before = self.presence.order_shown(&key);
        let former = former.and_then(|former| self.presence.publications.remove(&former));
        let etag = self.entropy.next_u64();
        if !lasting.is_zero() {
            let (order, (content_type, body)) = match (given, former) {
                (None, Some(former)) => (former.order, (former.content_type, former.body)),
                (given, _) => {
                    self.presence.given += 1;
                    (self.presence.given, given.unwrap_or_default())
                }
            };
            let (publication, expires_at) = (etag, now + lasting);
            let made = Publication {
                key: key.clone(),
                aor: aor.clone(),
                order,
                content_type,
                body,
                expires_at,
            };
            self.presence.publications.insert(publication, made);
            self.arm(expires_at, Due::Publication(publication));
        }
        let expires = lasting.as_secs();
        let done = Refused::new(StatusCode::OK)
            .with(HeaderName::SipETag, format!("{etag:016x}"))
            .with(HeaderName::Expires, expires.to_string());
        self.answer(now, id, &done);
        self.log(FrontEndEvent::Published { aor, expires });
        self.tell_all(now, &key, before);
        Ok(())
    }

    /// The publication of this user with this entity-tag; 412 where there is none (RFC 3903 section 6, step 3).
    fn matched(&self, key: &str, tag: &str) -> Result<u64, Refused> {
        let id = number(tag).filter(|id| {
            let publication = self.presence.publications.get(id);
            publication.is_some_and(|publication| publication.key == key)
        });
        id.ok_or_else(|| Refused::new(StatusCode::CONDITIONAL_REQUEST_FAILED))
    }

    /// A SUBSCRIBE that makes a subscription, or asks once (RFC 6665 section 4.2.1).
    fn subscribe(&mut self, now: Time, id: u64, conn: Conn, message: &Message) -> Result<(), Refused> {
        let event = event_of(message)?;
        let (key, aor) = self.presentity(message)?;
        let lasting = self.lasting(message)?;
        let target = contact_of(message)?.ok_or_else(|| {
            Refused::because(
                StatusCode::BAD_REQUEST,
                "a SUBSCRIBE has a Contact with one address",
            )
        })?;
        let routes: Result<Vec<RecordRoute<'_>>, _> = message.list().collect();
        let routes: Vec<String> = routes.map_err(bad)?.iter().map(to_string).collect();
        let limit = self.config.presence.map_or(0, |limits| limits.subscriptions);
        if self.presence.watchers() >= limit {
            return Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE));
        }
        let (from, mut to) = (message.from_().map_err(bad)?, message.to().map_err(bad)?);
        let watcher = self.entropy.next_u64();
        let tag = format!("{watcher:016x}");
        to.params.set("tag", tag.as_str());
        let made = Watcher {
            key,
            aor: aor.clone(),
            local: to_string(&to),
            remote: to_string(&from),
            remote_tag: from.tag().unwrap_or_default().to_owned(),
            call_id: message.call_id().map_err(bad)?.to_owned(),
            target,
            routes,
            event,
            conn,
            sender: self.sender(conn, message),
            party: self.party_of(id),
            cseq: 0,
            remote_cseq: message.cseq().map_err(bad)?.number,
            expires_at: now + lasting,
            ended: lasting.is_zero(),
            asked: None,
            owed: false,
        };
        let done = self.subscribed(conn, lasting);
        let done = made.routes.iter().fold(done, |done, route| {
            done.with(HeaderName::RecordRoute, route.as_str())
        });
        let (expires_at, by) = (made.expires_at, made.remote.clone());
        self.presence.watchers.insert(watcher, made);
        self.arm(expires_at, Due::Watcher(watcher));
        self.answer_as(now, id, &done, Some(&tag));
        let expires = lasting.as_secs();
        self.log(FrontEndEvent::Subscribed { aor, by, expires });
        self.tell(now, watcher);
        Ok(())
    }

    /// A SUBSCRIBE in the dialog of a subscription: refreshes it, or ends it.
    fn resubscribe(
        &mut self,
        now: Time,
        id: u64,
        conn: Conn,
        message: &Message,
        tag: &str,
    ) -> Result<(), Refused> {
        let unknown = || Refused::new(StatusCode::NO_SUCH_CALL);
        event_of(message)?;
        let lasting = self.lasting(message)?;
        let (from, call_id) = (
            message.from_().map_err(bad)?,
            message.call_id().map_err(bad)?.to_owned(),
        );
        let (cseq, target) = (message.cseq().map_err(bad)?.number, contact_of(message)?);
        let (sender, party) = (self.sender(conn, message), self.party_of(id));
        let watcher = number(tag).ok_or_else(unknown)?;
        let known = self.presence.watchers.get_mut(&watcher).filter(|known| {
            !known.ended && known.call_id == call_id && from.tag() == Some(known.remote_tag.as_str())
        });
        let known = known.ok_or_else(unknown)?;
        if cseq <= known.remote_cseq {
            // RFC 3261 section 12.2.2.
            return Err(Refused::because(
                StatusCode::SERVER_INTERNAL_ERROR,
                "a later request was here before",
            ));
        }
        (known.remote_cseq, known.conn, known.sender, known.party) = (cseq, conn, sender, party);
        if let Some(target) = target {
            known.target = target;
        }
        known.expires_at = now + lasting;
        known.ended = lasting.is_zero();
        let (aor, by) = (known.aor.clone(), known.remote.clone());
        self.arm(now + lasting, Due::Watcher(watcher));
        let done = self.subscribed(conn, lasting);
        self.answer(now, id, &done);
        let expires = lasting.as_secs();
        self.log(FrontEndEvent::Subscribed { aor, by, expires });
        self.tell(now, watcher);
        Ok(())
    }

    /// The 2xx to a SUBSCRIBE.
    fn subscribed(&self, conn: Conn, lasting: Duration) -> Refused {
        let done = Refused::new(StatusCode::OK).with(HeaderName::Expires, lasting.as_secs().to_string());
        match self.own_contact(conn) {
            Some(contact) => done.with(HeaderName::Contact, contact),
            None => done,
        }
    }

    /// Where this server is reached in the dialogs of subscriptions: itself, and no user.
    fn own_contact(&self, conn: Conn) -> Option<String> {
        let (host, port, transport) = self.address(conn)?;
        Some(format!("<sip:{host}:{port};transport={}>", transport.uri_token()))
    }

    /// Tells everybody who watches this user, if they see something else than before.
    fn tell_all(&mut self, now: Time, key: &str, before: Option<u64>) {
        if self.presence.order_shown(key) == before {
            return;
        }
        let watchers = self.presence.watchers.iter();
        let theirs: Vec<u64> = watchers
            .filter(|(_, watcher)| watcher.key == key && !watcher.ended)
            .map(|(id, _)| *id)
            .collect();
        theirs.into_iter().for_each(|id| self.tell(now, id));
    }

    /// Sends a NOTIFY, or notes that one is owed.
    fn tell(&mut self, now: Time, id: u64) {
        let branch = format!("{MAGIC_COOKIE}{:016x}", self.entropy.next_u64());
        let deadline = now + self.config.t1 * 64;
        let Some(watcher) = self.presence.watchers.get_mut(&id) else {
            return;
        };
        if watcher.asked.is_some() {
            watcher.owed = true;
            return;
        }
        watcher.owed = false;
        watcher.cseq += 1;
        let watcher = watcher.clone();
        // Over the connection of the SUBSCRIBE; if that is gone, over the one that its sender has now.
        let bound = || self.live_flow(self.registrar.binding(watcher.sender?)?);
        let conn = Some(watcher.conn).filter(|conn| self.connections.contains_key(conn));
        let conn = conn.or_else(bound);
        let bytes = conn.and_then(|conn| Some((conn, self.news(now, conn, &watcher, &branch)?)));
        let Some((conn, bytes)) = bytes else {
            return self.end_watcher(id);
        };
        if let Some(watcher) = self.presence.watchers.get_mut(&id) {
            watcher.asked = Some(Asked {
                branch: branch.clone(),
                conn,
                deadline,
            });
        }
        self.presence.asked.insert(branch, id);
        self.arm(deadline, Due::Notify(id));
        self.send_to(watcher.party.as_ref(), conn, bytes);
    }

    /// The NOTIFY (RFC 6665 section 4.2.2).
    fn news(&self, now: Time, conn: Conn, watcher: &Watcher, branch: &str) -> Option<Bytes> {
        let (host, port, transport) = self.address(conn)?;
        let state = if watcher.ended {
            String::from("terminated;reason=timeout")
        } else {
            format!("active;expires={}", watcher.expires_at.since(now).as_secs())
        };
        let routes: String = watcher
            .routes
            .iter()
            .map(|route| format!("Route: {route}\r\n"))
            .collect();
        let shown = self.presence.shown(&watcher.key);
        let content_type = shown.map_or_else(String::new, |shown| {
            format!("Content-Type: {}\r\n", shown.content_type)
        });
        let body = shown.map_or_else(Bytes::new, |shown| shown.body.clone());
        let head = format!(
            "NOTIFY {} SIP/2.0\r\n\
             Via: SIP/2.0/{} {host}:{port};branch={branch}\r\n\
             Max-Forwards: 70\r\n\
             {routes}From: {}\r\n\
             To: {}\r\n\
             Call-ID: {}\r\n\
             CSeq: {} NOTIFY\r\n\
             Contact: {}\r\n\
             Event: {}\r\n\
             Subscription-State: {state}\r\n\
             {content_type}Content-Length: {}\r\n\r\n",
            watcher.target,
            transport.via_token(),
            watcher.local,
            watcher.remote,
            watcher.call_id,
            watcher.cseq,
            self.own_contact(conn)?,
            watcher.event,
            body.len()
        );
        let mut bytes = BytesMut::with_capacity(head.len() + body.len());
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend_from_slice(&body);
        Some(bytes.freeze())
    }

    /// Whether a response is to a NOTIFY of a subscription. Who refuses one is told nothing more.
    pub(super) fn on_news_answered(&mut self, now: Time, response: &Message) -> bool {
        let via = response.via_top().ok();
        let branch = via.as_ref().and_then(|via| via.branch());
        let Some((branch, id)) = branch.and_then(|branch| self.presence.asked.get_key_value(branch)) else {
            return false;
        };
        let (branch, id) = (branch.clone(), *id);
        let Some(status) = response.status().filter(|status| !status.is_provisional()) else {
            return true;
        };
        self.presence.asked.remove(&branch);
        let Some(watcher) = self.presence.watchers.get_mut(&id) else {
            return true;
        };
        watcher.asked = None;
        let (owed, ended) = (watcher.owed, watcher.ended);
        if !status.is_success() || (ended && !owed) {
            self.end_watcher(id);
        } else if owed {
            self.tell(now, id);
        }
        true
    }

    /// NOTIFYs under way over a connection that is gone are not answered.
    pub(super) fn presence_connection_lost(&mut self, conn: Conn) {
        let watchers = self.presence.watchers.iter();
        let lost: Vec<u64> = watchers
            .filter(|(_, watcher)| watcher.asked.as_ref().is_some_and(|asked| asked.conn == conn))
            .map(|(id, _)| *id)
            .collect();
        lost.into_iter().for_each(|id| self.end_watcher(id));
    }

    /// A NOTIFY was refused, or not answered in 64 T1: nobody is told any more (RFC 6665 section 4.2.2).
    pub(super) fn end_watcher(&mut self, id: u64) {
        if let Some(watcher) = self.presence.remove_watcher(id) {
            self.log(FrontEndEvent::Unsubscribed {
                aor: watcher.aor,
                by: watcher.remote,
            });
        }
    }

    /// A subscription was not refreshed.
    pub(super) fn watcher_expired(&mut self, now: Time, id: u64) {
        if let Some(watcher) = self.presence.watchers.get_mut(&id) {
            watcher.ended = true;
            self.tell(now, id);
        }
    }

    /// A publication was not refreshed.
    pub(super) fn publication_expired(&mut self, now: Time, id: u64) {
        let Some(key) = self.presence.publications.get(&id).map(|it| it.key.clone()) else {
            return;
        };
        let before = self.presence.order_shown(&key);
        if let Some(Publication { aor, .. }) = self.presence.publications.remove(&id) {
            self.log(FrontEndEvent::Published { aor, expires: 0 });
        }
        self.tell_all(now, &key, before);
    }
}

fn bad(error: sansip::ParseError) -> Refused {
    Refused::because(StatusCode::BAD_REQUEST, error.to_string())
}

/// The value of Event; 489 for another package than presence (RFC 6665 section 4.2.1.1).
fn event_of(message: &Message) -> Result<String, Refused> {
    match message.typed::<Event<'_>>().map_err(bad)? {
        Some(event) if event.package == PACKAGE => Ok(to_string(&event)),
        _ => Err(Refused::new(StatusCode::BAD_EVENT).with(HeaderName::AllowEvents, PACKAGE)),
    }
}

/// The address in Contact, where there is one.
fn contact_of(message: &Message) -> Result<Option<String>, Refused> {
    match message.list::<Contact<'_>>().next().transpose().map_err(bad)? {
        Some(Contact::Address(address)) => {
            let mut text = String::new();
            address.uri.write(&mut text);
            Ok(Some(text))
        }
        Some(Contact::Star) | None => Ok(None),
    }
}

/// The number that a tag of ours was written from.
fn number(tag: &str) -> Option<u64> {
    u64::from_str_radix(tag, 16)
        .ok()
        .filter(|number| format!("{number:016x}") == tag)
}
