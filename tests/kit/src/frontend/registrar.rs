//! The registrar (RFC 3261 section 10.3) and its location service: which contacts an address of record has, over
//! which connections they are reached, and which GRUUs stand for them (RFC 5627).
//!
//! A user may have several endpoints (MPOP). They are told apart by `+sip.instance` and `reg-id` where both sides
//! have an instance, else by epid where both have one, else by comparing the contact URIs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sansip::Time;
use sansip::wire::header::{Contact, Params, PresenceState, to_string};
use sansip::wire::uri::{Host, Uri, UserCase, canonical_key, equal};
use sansip::wire::{HeaderName, Message, StatusCode};

use super::Conn;
use super::config::FrontEndConfig;

/// One binding; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BindingId(pub(super) u64);

/// How many temporary GRUUs of one binding are remembered; the oldest goes first.
const TEMPORARY_GRUUS: usize = 32;

/// How many bindings of one address are remembered after they are gone; the oldest goes first.
const FORMER_BINDINGS: usize = 16;

/// A contact of an address of record.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    pub(super) id: BindingId,
    pub(super) uri: Uri<'static>,
    pub(super) expires_at: Time,
    /// The connection that the last REGISTER came over, while it is alive.
    pub(super) flow: Option<Conn>,
    pub(super) epid: Option<String>,
    pub(super) instance: Option<String>,
    reg_id: Option<String>,
    params: Params<'static>,
    pub(super) call_id: String,
    /// The tag of From in the last REGISTER.
    pub(super) tag: Option<String>,
    cseq: u32,
    /// What `opaque=` says in the Microsoft form of its GRUU.
    opaque: String,
    temporary: Vec<String>,
}

impl Binding {
    /// The contact URI as it goes into a Request-URI.
    pub(super) fn target(&self) -> String {
        let mut text = String::new();
        self.uri.write(&mut text);
        text
    }
}

#[derive(Clone, Debug)]
struct Account {
    /// The address of record as it was first written.
    aor: String,
    bindings: Vec<Binding>,
    /// Bindings that are gone: an endpoint that comes back gets its old name, so that dialogs which it had over a
    /// lost connection find it again.
    former: Vec<Binding>,
}

impl Account {
    /// Remembers a binding that is gone, and says which one is forgotten for it.
    fn retire(&mut self, binding: Binding) -> Option<BindingId> {
        let full = self.former.len() == FORMER_BINDINGS;
        let forgotten = full.then(|| self.former.remove(0).id);
        self.former.push(binding);
        forgotten
    }

    /// Takes out the binding that a change is about, a present one before a former one; tells which it was.
    fn take(&mut self, change: &Change, epid: Option<&str>) -> Option<(Binding, bool)> {
        if let Some(at) = self
            .bindings
            .iter()
            .position(|binding| is_same(binding, change, epid))
        {
            return Some((self.bindings.remove(at), true));
        }
        let at = self
            .former
            .iter()
            .position(|binding| is_same(binding, change, epid))?;
        Some((self.former.remove(at), false))
    }
}

/// All accounts, by the canonical key of their address.
#[derive(Clone, Debug, Default)]
pub(super) struct Registrar {
    accounts: BTreeMap<String, Account>,
    /// The account of each binding, present or former.
    index: BTreeMap<BindingId, String>,
    /// The accounts with bindings that are reached over a connection, or were lately.
    flows: BTreeSet<(Conn, String)>,
    last: u64,
}

/// What a REGISTER asks for, read and checked as far as that goes without looking at bindings.
#[derive(Clone, Debug)]
pub(super) struct Registration {
    key: String,
    pub(super) aor: String,
    call_id: String,
    tag: Option<String>,
    cseq: u32,
    epid: Option<String>,
    changes: Changes,
    rfc_gruu: bool,
    draft_gruu: bool,
    outbound: bool,
}

#[derive(Clone, Debug)]
enum Changes {
    RemoveAll,
    Each(Vec<Change>),
}

#[derive(Clone, Debug)]
struct Change {
    uri: Uri<'static>,
    params: Params<'static>,
    instance: Option<String>,
    reg_id: Option<String>,
    expires: Duration,
    proxy_replace: bool,
}

/// A refusal, and what its response has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) reason: Option<String>,
    pub(super) headers: Vec<(HeaderName, String)>,
}

impl Refused {
    pub(super) fn new(status: StatusCode) -> Self {
        Self {
            status,
            reason: None,
            headers: Vec::new(),
        }
    }

    pub(super) fn because(status: StatusCode, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: Some(reason.into()),
            headers: Vec::new(),
        }
    }

    pub(super) fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// Where a REGISTER came from.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) conn: Conn,
    pub(super) remote: std::net::SocketAddr,
}

/// What a REGISTER did.
#[derive(Clone, Debug, Default)]
pub(super) struct Registered {
    /// Header fields of the 2xx.
    pub(super) headers: Vec<(HeaderName, String)>,
    /// Contacts bound, with their seconds and whether they were bound before.
    pub(super) bound: Vec<(String, u64, bool)>,
    /// Contacts removed.
    pub(super) unbound: Vec<String>,
    /// The bindings made, with the time at which each expires.
    pub(super) expiries: Vec<(Time, BindingId)>,
    /// What the first of them was before.
    before: Option<Before>,
}

/// What a registrar had of an endpoint when it registered (MS-SIPREGE section 2.2.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    /// The endpoint, without a binding.
    Endpoint,
    Binding,
}

impl Registration {
    /// Reads a REGISTER.
    pub(super) fn read(
        message: &Message,
        config: &FrontEndConfig,
        min_expires: Duration,
    ) -> Result<Self, Refused> {
        let bad = |error: sansip::ParseError| Refused::because(StatusCode::BAD_REQUEST, error.to_string());
        let to = message.to().map_err(bad)?;
        let Some(user) = to.0.uri.as_sip().filter(|uri| uri.user.is_some()) else {
            return Err(Refused::because(StatusCode::NOT_FOUND, "To names no user"));
        };
        if !config.is_domain(&host_text(&user.host)) {
            return Err(Refused::because(
                StatusCode::NOT_FOUND,
                "To names a user of another domain",
            ));
        }
        let from = message.from_().map_err(bad)?;
        let cseq = message.cseq().map_err(bad)?;
        let tags = supported(message);
        Ok(Self {
            key: canonical_key(&to.0.uri),
            aor: aor_text(user),
            call_id: message.call_id().map_err(bad)?.to_owned(),
            tag: from.tag().map(str::to_owned),
            cseq: cseq.number,
            epid: from.0.params.get("epid").map(|epid| epid.to_ascii_lowercase()),
            changes: read_changes(message, config, min_expires)?,
            rfc_gruu: config.gruu && tags.iter().any(|tag| tag == "gruu"),
            draft_gruu: config.gruu && tags.iter().any(|tag| tag == "gruu-10"),
            outbound: tags.iter().any(|tag| tag == "outbound"),
        })
    }

    /// Whether a flow of RFC 5626 is being made: it then goes on with keep-alives of that document.
    fn makes_outbound_flow(&self) -> bool {
        match &self.changes {
            Changes::RemoveAll => false,
            Changes::Each(changes) => {
                self.outbound
                    && changes
                        .iter()
                        .any(|c| c.reg_id.is_some() && c.instance.is_some() && !c.expires.is_zero())
            }
        }
    }
}

fn supported(message: &Message) -> Vec<String> {
    message
        .raw_all(HeaderName::Supported)
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(|tag| String::from_utf8_lossy(tag).trim().to_ascii_lowercase())
        .collect()
}

fn read_changes(
    message: &Message,
    config: &FrontEndConfig,
    min_expires: Duration,
) -> Result<Changes, Refused> {
    let bad = |error: sansip::ParseError| Refused::because(StatusCode::BAD_REQUEST, error.to_string());
    // RFC 3261 section 20.10 has a malformed Expires treated like a missing one.
    let all = message
        .typed::<sansip::wire::header::Expires>()
        .ok()
        .flatten()
        .map(|expires| u64::from(expires.0));
    let contacts: Vec<Contact<'_>> = message.list().collect::<Result<_, _>>().map_err(bad)?;
    if contacts.iter().any(|contact| matches!(contact, Contact::Star)) {
        if contacts.len() == 1 && all == Some(0) {
            return Ok(Changes::RemoveAll);
        }
        return Err(Refused::because(
            StatusCode::BAD_REQUEST,
            "Contact: * stands alone and with Expires: 0",
        ));
    }
    let mut changes = Vec::new();
    for contact in contacts {
        let own = contact.expires().map(u64::from);
        let Contact::Address(address) = contact else {
            continue;
        };
        let asked = own.or(all).map_or(config.default_expires, Duration::from_secs);
        if !asked.is_zero() && asked < min_expires {
            let least = min_expires.as_secs().to_string();
            return Err(Refused::new(StatusCode::INTERVAL_TOO_BRIEF).with(HeaderName::MinExpires, least));
        }
        changes.push(Change {
            instance: address
                .params
                .get("+sip.instance")
                .map(|text| text.to_ascii_lowercase()),
            reg_id: address.params.get("reg-id").map(std::borrow::Cow::into_owned),
            proxy_replace: address
                .params
                .get("proxy")
                .is_some_and(|text| text.eq_ignore_ascii_case("replace")),
            expires: asked.min(config.max_expires.max(min_expires)),
            uri: address.uri.into_owned(),
            params: address.params.into_owned(),
        });
    }
    Ok(Changes::Each(changes))
}

impl Registrar {
    /// An empty one, whose bindings have other names than those of a registrar with another seed.
    pub(super) fn named(seed: u64) -> Self {
        Self {
            last: seed & !u64::from(u32::MAX),
            ..Self::default()
        }
    }

    /// Whether somebody with this address has ever registered.
    pub(super) fn knows(&self, key: &str) -> bool {
        self.accounts.contains_key(key)
    }

    /// The contacts of an address, the newest last.
    pub(super) fn bindings(&self, key: &str) -> &[Binding] {
        self.accounts.get(key).map_or(&[], |account| &account.bindings)
    }

    fn all(&self) -> impl Iterator<Item = &Binding> {
        self.accounts.values().flat_map(|account| &account.bindings)
    }

    /// A binding by its name.
    pub(super) fn binding(&self, id: BindingId) -> Option<&Binding> {
        self.bindings(self.index.get(&id)?)
            .iter()
            .find(|binding| binding.id == id)
    }

    /// The canonical key of the address of a binding.
    pub(super) fn key_of(&self, id: BindingId) -> Option<&str> {
        self.index.get(&id).map(String::as_str)
    }

    /// A binding by its contact.
    pub(super) fn by_contact(&self, uri: &Uri<'_>) -> Option<&Binding> {
        self.all()
            .filter(|binding| equal(&binding.uri, uri, UserCase::Insensitive))
            .last()
    }

    /// The binding of this address whose requests come over this connection.
    pub(super) fn on_flow(&self, key: &str, conn: Conn) -> Option<&Binding> {
        self.bindings(key)
            .iter()
            .rfind(|binding| binding.flow == Some(conn))
    }

    /// The binding that a GRUU stands for: `Ok(None)` where its instance is known but has no binding now, `Err`
    /// where the URI is no GRUU of ours.
    pub(super) fn by_gruu(&self, uri: &sansip::wire::uri::SipUri<'_>) -> Result<Option<&Binding>, NotGruu> {
        if uri.params.contains("gr") && uri.gr().is_none_or(str::is_empty) {
            let user = uri.user.as_deref().unwrap_or_default();
            return self
                .all()
                .find(|binding| binding.temporary.iter().any(|token| token == user))
                .map(Some)
                .ok_or(NotGruu);
        }
        let key = canonical_key(&Uri::Sip(uri.clone()));
        if let Some(gr) = uri.gr() {
            let found = self.bindings(&key).iter().rfind(|binding| {
                binding
                    .instance
                    .as_deref()
                    .is_some_and(|instance| gr_of(instance).eq_ignore_ascii_case(gr))
            });
            return if self.knows(&key) { Ok(found) } else { Err(NotGruu) };
        }
        let Some(opaque) = uri.opaque().filter(|_| uri.params.contains("gruu")) else {
            return Err(NotGruu);
        };
        let found = self
            .bindings(&key)
            .iter()
            .rfind(|binding| binding.opaque.eq_ignore_ascii_case(opaque));
        if self.knows(&key) { Ok(found) } else { Err(NotGruu) }
    }

    /// Carries a REGISTER out, all of it or nothing (RFC 3261 section 10.3, steps 6 to 8).
    pub(super) fn register(
        &mut self,
        now: Time,
        registration: &Registration,
        source: &Source,
        config: &FrontEndConfig,
        names: &mut impl FnMut(Naming<'_>) -> String,
    ) -> Result<Registered, Refused> {
        self.check_order(registration)?;
        let mut done = Registered::default();
        match &registration.changes {
            Changes::RemoveAll => {
                if let Some(account) = self.accounts.get_mut(&registration.key) {
                    for binding in std::mem::take(&mut account.bindings) {
                        done.unbound.push(binding.target());
                        forget(&mut self.index, account.retire(binding));
                    }
                }
            }
            Changes::Each(changes) => {
                for change in changes {
                    self.change(now, registration, change, source, names, &mut done);
                }
            }
        }
        self.list(now, registration, config, &mut done);
        Ok(done)
    }

    /// A REGISTER that was overtaken by a later one of the same Call-ID changes nothing.
    fn check_order(&self, registration: &Registration) -> Result<(), Refused> {
        let late =
            |binding: &Binding| binding.call_id == registration.call_id && binding.cseq >= registration.cseq;
        let bindings = self.bindings(&registration.key);
        let overtaken = match &registration.changes {
            Changes::RemoveAll => bindings.iter().any(late),
            Changes::Each(changes) => changes.iter().any(|change| {
                bindings
                    .iter()
                    .any(|binding| is_same(binding, change, registration.epid.as_deref()) && late(binding))
            }),
        };
        if overtaken {
            return Err(Refused::because(
                StatusCode::SERVER_INTERNAL_ERROR,
                "CSeq is not above the last one",
            ));
        }
        Ok(())
    }

    fn change(
        &mut self,
        now: Time,
        registration: &Registration,
        change: &Change,
        source: &Source,
        names: &mut impl FnMut(Naming<'_>) -> String,
        done: &mut Registered,
    ) {
        let epid = registration.epid.as_deref();
        let account = self
            .accounts
            .entry(registration.key.clone())
            .or_insert_with(|| Account {
                aor: registration.aor.clone(),
                bindings: Vec::new(),
                former: Vec::new(),
            });
        let old = account.take(change, epid);
        if change.expires.is_zero() {
            if let Some((binding, present)) = old {
                done.unbound.extend(present.then(|| binding.target()));
                forget(&mut self.index, account.retire(binding));
            }
            return;
        }
        let refreshed = old.as_ref().is_some_and(|(_, present)| *present);
        done.before.get_or_insert(match &old {
            Some((_, true)) => Before::Binding,
            Some((_, false)) => Before::Endpoint,
            None => Before::Nothing,
        });
        let mut uri = change.uri.clone();
        if change.proxy_replace {
            replace_address(&mut uri, source);
        }
        let id = match &old {
            Some((binding, _)) => binding.id,
            None => {
                self.last += 1;
                self.index.insert(BindingId(self.last), registration.key.clone());
                BindingId(self.last)
            }
        };
        let opaque = old.as_ref().map(|(binding, _)| binding.opaque.clone());
        // RFC 5627 section 3.2: a registration with another Call-ID ends the life of the temporary GRUUs before it.
        let mut temporary = match old {
            Some((binding, true)) if binding.call_id == registration.call_id => binding.temporary,
            Some(_) | None => Vec::new(),
        };
        if registration.rfc_gruu && change.instance.is_some() {
            temporary.push(names(Naming::Temporary));
            if temporary.len() > TEMPORARY_GRUUS {
                temporary.remove(0);
            }
        }
        let device = change.instance.as_deref().or(epid).unwrap_or_default();
        let binding = Binding {
            id,
            uri,
            expires_at: now + change.expires,
            flow: Some(source.conn),
            epid: registration.epid.clone(),
            instance: change.instance.clone(),
            reg_id: change.reg_id.clone(),
            params: change.params.clone(),
            call_id: registration.call_id.clone(),
            tag: registration.tag.clone(),
            cseq: registration.cseq,
            opaque: opaque.unwrap_or_else(|| {
                let naming = Naming::Device {
                    aor: &registration.key,
                    device,
                };
                format!("user:epid:{}", names(naming))
            }),
            temporary,
        };
        self.flows.insert((source.conn, registration.key.clone()));
        done.expiries.push((binding.expires_at, id));
        done.bound
            .push((binding.target(), change.expires.as_secs(), refreshed));
        account.bindings.push(binding);
    }

    /// The header fields of the 2xx: every contact with the time it has left, and what else the client asked for.
    fn list(&self, now: Time, registration: &Registration, config: &FrontEndConfig, done: &mut Registered) {
        let Some(account) = self.accounts.get(&registration.key) else {
            return;
        };
        for binding in &account.bindings {
            let mut params = binding.params.clone();
            for name in ["expires", "proxy", "gruu", "pub-gruu", "temp-gruu"] {
                params.remove(name);
            }
            let left = binding.expires_at.since(now);
            params.set(
                "expires",
                &(left.as_secs() + u64::from(left.subsec_nanos() > 0)).to_string(),
            );
            if registration.rfc_gruu
                && let Some(instance) = &binding.instance
            {
                params.set_quoted("pub-gruu", &format!("{};gr={}", account.aor, gr_of(instance)));
                if let Some(token) = binding.temporary.last() {
                    params.set_quoted(
                        "temp-gruu",
                        &format!("sip:{token}@{};gr", domain_of(&account.aor)),
                    );
                }
            }
            if registration.draft_gruu && (binding.instance.is_some() || binding.epid.is_some()) {
                params.set_quoted("gruu", &format!("{};opaque={};gruu", account.aor, binding.opaque));
            }
            done.headers.push((
                HeaderName::Contact,
                format!("<{}>{}", binding.target(), params.as_str()),
            ));
        }
        if let (true, Some(before)) = (config.presence_state, done.before) {
            let action = match before {
                Before::Nothing => "added",
                Before::Endpoint => "fixed",
                Before::Binding => "refreshed",
            };
            let value = to_string(&PresenceState::new(action));
            done.headers.push((HeaderName::PresenceState, value));
        }
        if registration.makes_outbound_flow() {
            done.headers.push((HeaderName::Require, String::from("outbound")));
            if let Some(time) = config.keep_alive {
                done.headers
                    .push((HeaderName::FlowTimer, time.as_secs().to_string()));
            }
        }
    }

    /// Removes a binding whose time is up and gives its address and contact.
    pub(super) fn expire(&mut self, now: Time, id: BindingId) -> Option<(String, String)> {
        let key = self.index.get(&id)?.clone();
        let account = self.accounts.get_mut(&key)?;
        let at = account
            .bindings
            .iter()
            .position(|binding| binding.id == id && binding.expires_at <= now)?;
        let binding = account.bindings.remove(at);
        let gone = (account.aor.clone(), binding.target());
        forget(&mut self.index, account.retire(binding));
        Some(gone)
    }

    /// A connection is gone: its bindings go with it, or stay without a flow.
    pub(super) fn flow_lost(&mut self, conn: Conn, remove: bool) -> Vec<(String, String)> {
        let mut removed = Vec::new();
        let from = (conn, String::new());
        let served = self.flows.range(from..).take_while(|(flow, _)| *flow == conn);
        let served: Vec<(Conn, String)> = served.cloned().collect();
        for flow in served {
            self.flows.remove(&flow);
            let Some(account) = self.accounts.get_mut(&flow.1) else {
                continue;
            };
            let (lost, kept) = std::mem::take(&mut account.bindings)
                .into_iter()
                .partition(|b| remove && b.flow == Some(conn));
            account.bindings = kept;
            for binding in account
                .bindings
                .iter_mut()
                .filter(|binding| binding.flow == Some(conn))
            {
                binding.flow = None;
            }
            let lost: Vec<Binding> = lost;
            for mut binding in lost {
                binding.flow = None;
                removed.push((account.aor.clone(), binding.target()));
                forget(&mut self.index, account.retire(binding));
            }
        }
        removed
    }

    /// Everything that was bound is forgotten.
    pub(super) fn forget_all(&mut self) {
        *self = Self {
            last: self.last,
            ..Self::default()
        };
    }

    /// Knows of an account what another registrar knows, and nothing else. Says when its bindings expire.
    pub(super) fn adopt(&mut self, other: &Self, key: &str) -> Vec<(Time, BindingId)> {
        if let Some(old) = self.accounts.remove(key) {
            for binding in old.bindings.iter().chain(&old.former) {
                self.index.remove(&binding.id);
            }
        }
        let Some(account) = other.accounts.get(key) else {
            return Vec::new();
        };
        for binding in account.bindings.iter().chain(&account.former) {
            self.index.insert(binding.id, key.to_owned());
        }
        let bindings = account.bindings.iter();
        let expiries = bindings.map(|binding| (binding.expires_at, binding.id)).collect();
        self.accounts.insert(key.to_owned(), account.clone());
        expiries
    }

    /// Takes out the bindings of an address, all or those of one endpoint id. They are remembered as former ones, or not
    /// at all.
    pub(super) fn take(&mut self, aor: &str, epid: Option<&str>, remember: bool) -> Vec<Binding> {
        let Ok(uri) = Uri::parse(aor) else {
            return Vec::new();
        };
        let Some(account) = self.accounts.get_mut(&canonical_key(&uri)) else {
            return Vec::new();
        };
        let meant = |binding: &Binding| {
            epid.is_none_or(|epid| {
                binding
                    .epid
                    .as_deref()
                    .is_some_and(|known| known.eq_ignore_ascii_case(epid))
            })
        };
        let (taken, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut account.bindings).into_iter().partition(meant);
        account.bindings = kept;
        if remember {
            for binding in taken.iter().cloned() {
                forget(&mut self.index, account.retire(binding));
            }
        } else {
            let (lost, kept): (Vec<_>, Vec<_>) =
                std::mem::take(&mut account.former).into_iter().partition(meant);
            account.former = kept;
            for binding in taken.iter().chain(&lost) {
                self.index.remove(&binding.id);
            }
        }
        taken
    }

    /// All connections are gone, the memory is not.
    pub(super) fn forget_flows(&mut self) {
        self.flows.clear();
        for binding in self
            .accounts
            .values_mut()
            .flat_map(|account| &mut account.bindings)
        {
            binding.flow = None;
        }
    }

    /// Every address of record with its bindings, in the order of the addresses.
    pub(super) fn accounts(&self) -> impl Iterator<Item = (&str, &[Binding])> {
        self.accounts
            .values()
            .map(|account| (account.aor.as_str(), account.bindings.as_slice()))
    }
}

/// The URI has the form of no GRUU that this registrar gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotGruu;

/// A name that the registrar needs made.
#[derive(Clone, Copy, Debug)]
pub(super) enum Naming<'a> {
    /// The user part of a temporary GRUU: another one each time, telling nothing.
    Temporary,
    /// The same for the same device of the same user.
    Device {
        /// The address of record.
        aor: &'a str,
        /// What tells the device apart.
        device: &'a str,
    },
}

fn forget(index: &mut BTreeMap<BindingId, String>, binding: Option<BindingId>) {
    if let Some(id) = binding {
        index.remove(&id);
    }
}

fn is_same(binding: &Binding, change: &Change, epid: Option<&str>) -> bool {
    if let (Some(old), Some(new)) = (&binding.instance, &change.instance) {
        return old == new && binding.reg_id == change.reg_id;
    }
    if let (Some(old), Some(new)) = (binding.epid.as_deref(), epid)
        && old == new
    {
        return true;
    }
    let both_have_epids = binding.epid.is_some() && epid.is_some();
    // Somebody may remove the contact of another device by its URI, but not take it over.
    (!both_have_epids || change.expires.is_zero()) && equal(&binding.uri, &change.uri, UserCase::Insensitive)
}

/// `proxy=replace` (MS-SIPREGE): the address in the contact is that of the connection.
fn replace_address(uri: &mut Uri<'static>, source: &Source) {
    if let Some(sip) = uri.as_sip_mut() {
        sip.host = Host::from(source.remote.ip());
        sip.port = Some(source.remote.port());
        sip.params.remove("maddr");
        sip.params.set("ms-received-cid", &format!("{:X}", source.conn.0));
    }
}

/// What `gr=` says of an instance: the URN without its angle brackets.
fn gr_of(instance: &str) -> &str {
    instance.trim_start_matches('<').trim_end_matches('>')
}

fn domain_of(aor: &str) -> &str {
    aor.rsplit('@').next().unwrap_or(aor)
}

/// The host as it is compared with a domain.
pub(super) fn host_text(host: &Host<'_>) -> String {
    let mut text = String::new();
    host.write(&mut text);
    text
}

/// An address of record: scheme, user and host, nothing else.
pub(super) fn aor_text(uri: &sansip::wire::uri::SipUri<'_>) -> String {
    let host = host_text(&uri.host).to_ascii_lowercase();
    match &uri.user {
        Some(user) => format!("sip:{user}@{host}"),
        None => format!("sip:{host}"),
    }
}
