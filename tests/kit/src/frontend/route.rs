//! Where a request goes (RFC 3261 sections 16.4 and 16.5).

use sansip::Time;
use sansip::wire::header::{MaxForwards, Route};
use sansip::wire::uri::{SipUri, Uri, canonical_key};
use sansip::wire::{Message, Method, StatusCode};

use super::flow::{Flow, TokenKey};
use super::registrar::{Binding, BindingId, NotGruu, Refused, host_text};
use super::{Conn, FrontEnd};

/// One connection that a request is sent over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) conn: Conn,
    /// The Request-URI that it goes with.
    pub(super) uri: String,
    /// The binding that this is a contact of.
    pub(super) binding: Option<BindingId>,
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// The server itself.
    Server,
    /// These endpoints.
    Targets(Vec<Target>),
    /// Nobody who can be reached.
    Nobody(Refused),
}

/// A request's route, read.
#[derive(Clone, Debug)]
pub(super) struct Path {
    /// The Request-URI: the written one, or what a strict router has put at the end of the route.
    pub(super) uri: String,
    /// How many of the first Route values are this server's.
    pub(super) ours: usize,
    /// Whether the last Route value has become the Request-URI.
    pub(super) strict: bool,
    /// Where the last of our values says that the request goes.
    flow: Option<Flow>,
    /// The first Route value that is not ours.
    next: Option<Uri<'static>>,
}

impl Path {
    /// Whether the request comes along a route that this server has written into its dialog.
    pub(super) const fn is_recorded(&self) -> bool {
        self.flow.is_some()
    }
}

impl FrontEnd {
    /// Reads the Route values of a request (RFC 3261 section 16.4).
    pub(super) fn path(&self, conn: Conn, message: &Message) -> Result<Path, Refused> {
        let bad = |error: sansip::ParseError| Refused::because(StatusCode::BAD_REQUEST, error.to_string());
        let mut routes: Vec<Route<'_>> = message.list().collect::<Result<_, _>>().map_err(bad)?;
        let mut uri = message.request_uri().to_owned();
        let written = Uri::parse(message.request_uri()).map_err(bad)?;
        // A strict router sends what we recorded as the Request-URI, and its target as the last Route value.
        let mut flow = written.as_sip().and_then(|uri| self.recorded(uri));
        let strict = flow.is_some() && !routes.is_empty();
        if strict && let Some(last) = routes.pop() {
            uri = text(&last.uri);
        }
        let mut ours = 0;
        for route in &routes {
            let Some(sip) = route.uri.as_sip() else { break };
            match self.recorded(sip) {
                Some(recorded) => flow = Some(recorded),
                None if self.is_self(conn, sip) => {
                    // RFC 5626 section 5.3.1: what looks like a token of ours and is none has been forged.
                    if sip.user.as_deref().is_some_and(TokenKey::is_like_token) {
                        return Err(Refused::because(
                            StatusCode::FORBIDDEN,
                            "not a route of this server",
                        ));
                    }
                }
                None => break,
            }
            ours += 1;
        }
        let next = routes.into_iter().nth(ours).map(|route| route.0.uri.into_owned());
        Ok(Path {
            uri,
            ours,
            strict,
            flow,
            next,
        })
    }

    /// Where the request goes.
    pub(super) fn destination(&self, conn: Conn, path: &Path, method: &Method) -> Destination {
        let nobody = |status| Destination::Nobody(Refused::new(status));
        let Ok(uri) = Uri::parse(&path.uri) else {
            return nobody(StatusCode::BAD_REQUEST);
        };
        let Some(sip) = uri.as_sip() else {
            return nobody(StatusCode::UNSUPPORTED_URI_SCHEME);
        };
        if let Some(next) = &path.next {
            let target = self
                .flow_of_contact(next)
                .map(|(conn, binding)| self.target(conn, &path.uri, binding));
            return one(target, StatusCode::NOT_FOUND);
        }
        if let Some(flow) = path.flow {
            let target = self.flow_target(flow, &path.uri).or_else(|| self.lookup_one(sip));
            return one(target, StatusCode::FLOW_FAILED);
        }
        if !self.config.is_domain(&host_text(&sip.host)) && !self.is_self(conn, sip) {
            let target = self
                .flow_of_contact(&uri)
                .map(|(conn, binding)| self.target(conn, &path.uri, binding));
            return one(target, StatusCode::NOT_FOUND);
        }
        if *method == Method::Register || sip.user.as_deref().is_none_or(str::is_empty) {
            return Destination::Server;
        }
        self.lookup(sip)
    }

    /// A user of ours: one device, or all of them.
    fn lookup(&self, uri: &SipUri<'_>) -> Destination {
        if let Ok(device) = self.registrar.by_gruu(uri) {
            return one(
                device.and_then(|binding| self.binding_target(binding)),
                StatusCode::TEMPORARILY_UNAVAILABLE,
            );
        }
        let mut address = uri.clone();
        address.params = sansip::wire::uri::UriParams::default();
        let key = canonical_key(&Uri::Sip(address));
        let targets: Vec<Target> = self
            .registrar
            .bindings(&key)
            .iter()
            .filter(|binding| !uri.secure || self.is_secure(binding.flow))
            .filter_map(|binding| self.binding_target(binding))
            .collect();
        if !targets.is_empty() {
            return Destination::Targets(targets);
        }
        let status = if self.is_known(&key, uri) {
            StatusCode::TEMPORARILY_UNAVAILABLE
        } else {
            StatusCode::NOT_FOUND
        };
        Destination::Nobody(Refused::new(status))
    }

    /// Whether this is the address of a user, who may never have registered where there are accounts.
    pub(super) fn is_known(&self, key: &str, uri: &SipUri<'_>) -> bool {
        let account = self.config.users.iter().any(|user| {
            uri.user_unescaped()
                .is_some_and(|name| name.eq_ignore_ascii_case(&user.name))
        });
        account || self.registrar.knows(key)
    }

    /// Whether a request goes to an address of record of ours, and not along a route or to one device.
    pub(super) fn names_user(&self, conn: Conn, path: &Path) -> bool {
        if path.next.is_some() || path.flow.is_some() {
            return false;
        }
        let uri = Uri::parse(&path.uri).ok();
        uri.as_ref().and_then(Uri::as_sip).is_some_and(|sip| {
            self.is_self(conn, sip)
                && sip.user.as_deref().is_some_and(|user| !user.is_empty())
                && matches!(self.registrar.by_gruu(sip), Err(NotGruu))
        })
    }

    /// The target of a request in a dialog whose recorded connection is gone: its one device, or its one contact.
    fn lookup_one(&self, uri: &SipUri<'_>) -> Option<Target> {
        let contact = Uri::Sip(uri.clone());
        if let Some((conn, binding)) = self.flow_of_contact(&contact) {
            return Some(self.target(conn, &text(&contact), binding));
        }
        self.registrar
            .by_gruu(uri)
            .ok()
            .flatten()
            .and_then(|binding| self.binding_target(binding))
    }

    /// The connection that a token names; where that is gone, the one of its binding.
    fn flow_target(&self, flow: Flow, uri: &str) -> Option<Target> {
        let named = (flow.run == self.run && self.connections.contains_key(&flow.conn)).then_some(flow.conn);
        let bound = || self.live_flow(self.registrar.binding(flow.binding?)?);
        let conn = named.or_else(bound)?;
        // A GRUU stands for the contact, which the endpoint knows itself by (RFC 5627 section 5.3).
        if let Ok(uri) = Uri::parse(uri)
            && let Some(sip) = uri.as_sip()
            && let Ok(Some(binding)) = self.registrar.by_gruu(sip)
        {
            return Some(Target {
                conn,
                uri: binding.target(),
                binding: Some(binding.id),
            });
        }
        Some(Target {
            conn,
            uri: uri.to_owned(),
            binding: flow.binding,
        })
    }

    fn binding_target(&self, binding: &Binding) -> Option<Target> {
        let conn = self.live_flow(binding)?;
        Some(Target {
            conn,
            uri: binding.target(),
            binding: Some(binding.id),
        })
    }

    fn target(&self, conn: Conn, uri: &str, binding: Option<BindingId>) -> Target {
        Target {
            conn,
            uri: uri.to_owned(),
            binding,
        }
    }

    /// The connection of a contact address: that of its binding, or one whose other end it is.
    fn flow_of_contact(&self, uri: &Uri<'_>) -> Option<(Conn, Option<BindingId>)> {
        if let Some(binding) = self.registrar.by_contact(uri)
            && let Some(conn) = self.live_flow(binding)
        {
            return Some((conn, Some(binding.id)));
        }
        let sip = uri.as_sip()?;
        let (ip, port) = (sip.host.ip()?, sip.port?);
        let mut others = self.connections.iter().rev();
        let (conn, _) = others.find(|(_, other)| other.remote.ip() == ip && other.remote.port() == port)?;
        Some((*conn, None))
    }

    fn is_secure(&self, conn: Option<Conn>) -> bool {
        conn.and_then(|conn| self.connections.get(&conn))
            .is_some_and(|c| c.transport == sansip::Transport::Tls)
    }

    fn recorded(&self, uri: &SipUri<'_>) -> Option<Flow> {
        self.tokens.open(uri.user.as_deref()?)
    }

    /// Whether a URI names this server: its domain, its host, or the address at this end of the connection.
    fn is_self(&self, conn: Conn, uri: &SipUri<'_>) -> bool {
        let host = host_text(&uri.host);
        if self.config.is_domain(&host) {
            return true;
        }
        let Some(local) = self.connections.get(&conn).map(|connection| connection.local) else {
            return false;
        };
        let named = self
            .config
            .host
            .as_deref()
            .is_some_and(|name| name.eq_ignore_ascii_case(&host));
        (named || uri.host.ip() == Some(local.ip())) && uri.port.is_none_or(|port| port == local.port())
    }

    /// The address of record of the sender, with the binding over whose connection this came.
    pub(super) fn sender(&self, conn: Conn, message: &Message) -> Option<BindingId> {
        let from = message.from_().ok()?;
        self.registrar
            .on_flow(&canonical_key(&from.uri), conn)
            .map(|binding| binding.id)
    }

    /// Whether the sender has to prove who they are: everybody but hosts that are trusted, and the parties of a
    /// dialog that this server has put itself into, as far as they do not sign everything.
    pub(super) fn must_prove(&self, conn: Conn, message: &Message, path: &Path) -> bool {
        let in_dialog = message.to().is_ok_and(|to| to.tag().is_some());
        let in_known_dialog = in_dialog && path.is_recorded() && !self.must_sign(conn, message);
        !self.config.users.is_empty() && !self.is_trusted(conn) && !in_known_dialog
    }

    /// Whether the other end of a connection is believed.
    pub(super) fn is_trusted(&self, conn: Conn) -> bool {
        let connection = self.connections.get(&conn);
        connection.is_some_and(|connection| self.config.trusted.contains(&connection.remote.ip()))
    }

    /// The value of Max-Forwards for the next hop (RFC 3261 section 16.6, step 3).
    pub(super) fn hops_left(message: &Message) -> Result<u8, Refused> {
        match message.typed::<MaxForwards>() {
            Ok(Some(left)) => left
                .0
                .checked_sub(1)
                .ok_or_else(|| Refused::new(StatusCode::TOO_MANY_HOPS)),
            Ok(None) => Ok(70),
            Err(error) => Err(Refused::because(StatusCode::BAD_REQUEST, error.to_string())),
        }
    }

    /// Keeps a deadline.
    pub(super) fn arm(&mut self, at: Time, due: super::Due) {
        self.timers.insert((at, due));
    }
}

fn one(target: Option<Target>, otherwise: StatusCode) -> Destination {
    match target {
        Some(target) => Destination::Targets(vec![target]),
        None => Destination::Nobody(Refused::new(otherwise)),
    }
}

fn text(uri: &Uri<'_>) -> String {
    let mut text = String::new();
    uri.write(&mut text);
    text
}
