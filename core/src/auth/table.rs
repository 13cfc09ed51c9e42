//! The authentication of every endpoint that has credentials.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;

use super::account::{Account, Established, because};
use super::association::{Association, Signed};
use super::state::{failure, received};
use super::{
    AllowedProtocols, AssociationPolicy, Attempt, AuthState, AuthenticationFailure,
    AuthenticationFailureReason as Reason, AuthenticationProtocol, Received,
};
use crate::cx::Cx;
use crate::entropy::Entropy;
use crate::event::Event;
use crate::ids::{ConnId, EndpointId, ExchangeId, HandshakeId};
use crate::map::{HashKey, Map};
use crate::security::ms::{Info, Scheme};
use crate::security::{Credentials, KerberosFailure, KerberosFailureKind, SecurityContext};
use crate::timers::TimerKey;
use crate::wire::header::{self, AuthenticationInfo, ProxyAuthenticationInfo};
use crate::wire::{HeaderName, Message, Method};

/// How long an association is used before a new one is made: the eight hours of NTLM less a margin (MS-SIPAE section
/// 3.2.2, rule A5).
const LIFETIME: Duration = Duration::from_secs(8 * 3600 - 300);

/// How long before the end of a ticket a new association is made; and how long one lasts at the least, so that a ticket
/// at its end is not asked for again and again.
const MARGIN: Duration = Duration::from_secs(300);
const LEAST_LIFETIME: Duration = Duration::from_secs(60);

/// One [`AuthState`] for each endpoint, beside its credentials, and the security association with its server.
#[derive(Clone, Debug)]
pub(crate) struct AuthTable {
    accounts: Map<EndpointId, Account>,
    /// The connections over which associations are made and used.
    by_conn: BTreeSet<(ConnId, EndpointId)>,
}

/// What an endpoint logs on with.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) credentials: Vec<Credentials>,
    /// Where none of them is for a realm: whoever the process is.
    pub(crate) default_credential: bool,
    pub(crate) allowed: AllowedProtocols,
    pub(crate) policy: AssociationPolicy,
    /// What tells it from others on one connection.
    pub(crate) epid: Box<str>,
}

/// A request that was challenged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Challenged<'a> {
    pub(crate) endpoint: EndpointId,
    pub(crate) exchange: ExchangeId,
    /// What it went over.
    pub(crate) conn: Option<ConnId>,
    /// That is TLS.
    pub(crate) secure: bool,
    pub(crate) response: &'a Message,
}

/// A challenge for which there is no security context.
#[derive(Clone, Debug)]
pub(crate) struct Unanswered {
    pub(crate) challenge: Box<Message>,
    /// It came over TLS.
    pub(crate) secure: bool,
}

/// What becomes of a request that was challenged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It is sent again.
    Again,
    /// It waits for the end of the handshake that another one leads.
    Wait,
}

/// Whether a received message is taken (A4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Taken,
    /// It is, and it is the first one that is signed under an association that is being made: the handshake of this endpoint
    /// is over.
    Associated(EndpointId),
    /// It has no signature where it needs one.
    Unsigned,
    /// Its signature is wrong, or one of an association that there is not.
    Forged,
    /// It has been there before.
    Replayed,
}

impl AuthTable {
    pub(crate) fn new(key: HashKey) -> Self {
        Self {
            accounts: Map::new(key),
            by_conn: BTreeSet::new(),
        }
    }

    /// Begins for an endpoint, or begins anew with other credentials or for another server of its own choice.
    pub(crate) fn insert(&mut self, endpoint: EndpointId, login: Login) {
        let account = Account {
            login,
            state: AuthState::default(),
            conn: None,
            negotiation: None,
            association: None,
            is_proven: false,
            kerberos: None,
        };
        self.accounts.insert(endpoint, account);
    }

    pub(crate) fn remove(&mut self, cx: &mut Cx<'_>, endpoint: EndpointId) {
        self.drop_association(cx, endpoint);
        self.accounts.remove(&endpoint);
    }

    /// The server has sent the endpoint to another one (R9): nothing agreed with the old one is shown to the new one.
    pub(crate) fn redirect(&mut self, cx: &mut Cx<'_>, endpoint: EndpointId) {
        let realm = self.drop_association(cx, endpoint);
        if let Some(account) = self.accounts.get_mut(&endpoint) {
            account.state = account.state.redirected(realm);
            account.is_proven = false;
            // A token for the one is none for the other.
            account.negotiation = None;
        }
    }

    /// The endpoint is back at the server that it was told (R9), for which its credentials were given.
    pub(crate) fn returned(&mut self, cx: &mut Cx<'_>, endpoint: EndpointId) {
        self.drop_association(cx, endpoint);
        if let Some(account) = self.accounts.get_mut(&endpoint) {
            account.state = AuthState::default();
            account.negotiation = None;
        }
    }

    /// See [`AuthState::authorize`]; nothing for an endpoint without credentials.
    pub(crate) fn authorize(
        &mut self,
        entropy: &mut Entropy,
        endpoint: EndpointId,
        attempt: &mut Attempt,
        method: &Method,
        uri: &str,
        body: &[u8],
    ) -> Vec<(HeaderName, String)> {
        match self.accounts.get_mut(&endpoint) {
            Some(account) => account.state.authorize(entropy, attempt, method, uri, body),
            None => Vec::new(),
        }
    }

    /// See [`AuthState::handle_challenge`]; a challenge of Microsoft's schemes begins a handshake, or is a step of one.
    pub(crate) fn handle_challenge(
        &mut self,
        cx: &mut Cx<'_>,
        challenged: Challenged<'_>,
        attempt: &mut Attempt,
    ) -> Result<Next, AuthenticationFailure> {
        let response = challenged.response;
        let Some(account) = self.accounts.get_mut(&challenged.endpoint) else {
            let none = AllowedProtocols::all();
            let answer = AuthState::default().handle_challenge(response, &[], none, attempt);
            return answer.map(|()| Next::Again);
        };
        let received = received(response);
        let kerberos = account.kerberos.take();
        if let Some(failed) = &kerberos {
            // It was none: the server was not asked.
            attempt.handshakes = attempt.handshakes.saturating_sub(1);
            attempt.kerberos = Some(failed.clone());
            // Any other protocol would try the same password once more (A7).
            if failed.kind == KerberosFailureKind::WrongCredentials {
                let is_kerberos =
                    |one: &&Received<'_>| Scheme::from_token(&one.challenge.scheme) == Some(Scheme::Kerberos);
                let realm = received.iter().find(is_kerberos).and_then(Received::realm);
                let failure = failure(Reason::InvalidCredentials, realm, &received);
                return Err(because(failure, failed.clone()));
            }
        }
        let answer = match account.negotiate(cx, challenged, &received, attempt, kerberos.is_some()) {
            Some(Ok(next)) => Ok(next),
            Some(Err((reason, realm))) => Err(failure(reason, Some(realm), &received)),
            None => {
                let Login {
                    credentials, allowed, ..
                } = &account.login;
                let answer = account
                    .state
                    .handle_challenge(response, credentials, *allowed, attempt);
                answer.map(|()| Next::Again)
            }
        };
        // Whom the embedder is asked for is asked over this connection, and over no other.
        if let (Ok(Next::Wait), Some(conn)) = (&answer, challenged.conn)
            && self.asked_for(challenged.endpoint, challenged.exchange).is_some()
        {
            self.bind(challenged.endpoint, conn);
        }
        answer.map_err(|failure| match kerberos {
            Some(kerberos) => because(failure, kerberos),
            None => AuthenticationFailure {
                kerberos: attempt.kerberos.clone(),
                ..failure
            },
        })
    }

    /// The embedder has answered for a handshake: who leads it, and where there is no security context, the challenge that is
    /// to be answered otherwise. `None` where nobody waits for it.
    pub(crate) fn handle_authenticated(
        &mut self,
        endpoint: EndpointId,
        handshake: HandshakeId,
        result: Result<SecurityContext, KerberosFailure>,
    ) -> Option<(ExchangeId, Result<(), Unanswered>)> {
        let account = self.accounts.get_mut(&endpoint)?;
        let negotiation = account.negotiation.as_mut()?;
        let asked = negotiation.asked().filter(|asked| asked.handshake == handshake)?;
        let leader = negotiation.leader;
        match result {
            Ok(context) => {
                negotiation.supply(context);
                Some((leader, Ok(())))
            }
            Err(failure) => {
                let unanswered = asked.unanswered.clone();
                account.negotiation = None;
                account.kerberos = Some(failure);
                Some((leader, Err(unanswered)))
            }
        }
    }

    /// What the embedder is asked for, for the endpoint's request that leads a handshake.
    pub(crate) fn asked_for(&self, endpoint: EndpointId, leader: ExchangeId) -> Option<HandshakeId> {
        let negotiation = self.accounts.get(&endpoint)?.negotiation.as_ref()?;
        let handshake = negotiation.asked()?.handshake;
        (negotiation.leader == leader).then_some(handshake)
    }

    /// See [`AuthState::handle_success`].
    pub(crate) fn handle_success(&mut self, endpoint: EndpointId, response: &Message, attempt: &Attempt) {
        if let Some(account) = self.accounts.get_mut(&endpoint) {
            account.state.handle_success(response, attempt);
        }
    }

    /// A final response that is no challenge, to who leads a handshake: where it is signed, the handshake was over with that.
    /// Whether it was one. A refusal that is not signed does not say that the server has the association.
    pub(crate) fn handle_final(
        &mut self,
        cx: &mut Cx<'_>,
        endpoint: EndpointId,
        exchange: ExchangeId,
        succeeded: bool,
    ) -> bool {
        let Some(account) = self.accounts.get_mut(&endpoint) else {
            return false;
        };
        let ended = account
            .negotiation
            .take_if(|negotiation| negotiation.leader == exchange);
        let Some(negotiation) = ended else { return false };
        if let Some(association) = negotiation.end()
            && succeeded
        {
            self.install(cx, endpoint, association, true);
        }
        true
    }

    /// A provisional response to the request of who leads a handshake, which somebody behind the server has sent: it has gone
    /// through, and may ring for long. Whether that is the end of a handshake.
    pub(crate) fn handle_provisional(
        &mut self,
        cx: &mut Cx<'_>,
        endpoint: EndpointId,
        exchange: ExchangeId,
    ) -> bool {
        self.leader(endpoint) == Some(exchange) && self.settle(cx, endpoint, false)
    }

    /// Who leads a handshake is waited for no more. What it has keys for may be there.
    pub(crate) fn give_up(&mut self, cx: &mut Cx<'_>, endpoint: EndpointId, leader: ExchangeId) {
        if !self.handle_provisional(cx, endpoint, leader) {
            self.abandon(endpoint, leader);
        }
    }

    /// The association that is being made is there, which the server has proven or seems to know. Whether there was one.
    fn settle(&mut self, cx: &mut Cx<'_>, endpoint: EndpointId, proven: bool) -> bool {
        let account = self.accounts.get_mut(&endpoint);
        let closing = account.and_then(|account| {
            account
                .negotiation
                .take_if(|negotiation| negotiation.is_closing())
        });
        let association = closing.and_then(|negotiation| negotiation.end());
        let is_there = association.is_some();
        if let Some(association) = association {
            self.install(cx, endpoint, association, proven);
        }
        is_there
    }

    fn install(&mut self, cx: &mut Cx<'_>, endpoint: EndpointId, association: Association, proven: bool) {
        let Some(account) = self.accounts.get_mut(&endpoint) else {
            return;
        };
        let name = &association.name;
        if let Some(protocol) = AuthenticationProtocol::of_scheme(name.scheme) {
            cx.out.event(Event::Associated {
                endpoint,
                protocol,
                realm: name.realm.to_string(),
                target: name.target.to_string(),
                version: name.version.number(),
            });
        }
        let ticket = association
            .lifetime
            .map(|lifetime| lifetime.saturating_sub(MARGIN).max(LEAST_LIFETIME));
        let lifetime = ticket.map_or(LIFETIME, |ticket| ticket.min(LIFETIME));
        let renewal = cx.timers.set(cx.now + lifetime, TimerKey::Association(endpoint));
        let new = Established {
            association,
            renewal: Some(renewal),
        };
        account.is_proven |= proven;
        let old = account.association.replace(Box::new(new));
        if let Some(renewal) = old.and_then(|old| old.renewal) {
            cx.timers.stop(renewal);
        }
    }

    /// The association of an endpoint is no more; its realm.
    fn drop_association(&mut self, cx: &mut Cx<'_>, endpoint: EndpointId) -> Option<String> {
        let account = self.accounts.get_mut(&endpoint)?;
        if let Some(conn) = account.conn.take() {
            self.by_conn.remove(&(conn, endpoint));
        }
        let old = account.association.take()?;
        if let Some(renewal) = old.renewal {
            cx.timers.stop(renewal);
        }
        Some(old.association.name.realm.to_string())
    }

    /// The association has been used for long enough: the next REGISTER goes out without signature, for the server to
    /// challenge it.
    pub(crate) fn renew(&mut self, endpoint: EndpointId) {
        let account = self.accounts.get_mut(&endpoint);
        if let Some(established) = account.and_then(|account| account.association.as_mut()) {
            established.renewal = None;
        }
    }

    /// A connection is gone, and with it what was made, or being made, over it: a server looks for it by connection first,
    /// and the next one may lead to another server. The endpoints that it was of.
    pub(crate) fn handle_lost(&mut self, cx: &mut Cx<'_>, conn: ConnId) -> SmallVec<[EndpointId; 1]> {
        let over: SmallVec<[EndpointId; 1]> = self.over(conn).collect();
        for endpoint in &over {
            self.drop_association(cx, *endpoint);
            if let Some(account) = self.accounts.get_mut(endpoint) {
                account.negotiation = None;
            }
        }
        over
    }

    /// What is made for an endpoint from now on is made over this connection.
    fn bind(&mut self, endpoint: EndpointId, conn: ConnId) {
        let Some(account) = self.accounts.get_mut(&endpoint) else {
            return;
        };
        if account.conn != Some(conn) {
            if let Some(old) = account.conn.replace(conn) {
                self.by_conn.remove(&(old, endpoint));
            }
            self.by_conn.insert((conn, endpoint));
        }
    }

    /// Who leads a handshake leads it no more.
    pub(crate) fn abandon(&mut self, endpoint: EndpointId, exchange: ExchangeId) {
        if let Some(account) = self.accounts.get_mut(&endpoint) {
            account
                .negotiation
                .take_if(|negotiation| negotiation.leader == exchange);
        }
    }

    /// Who leads the handshake of an endpoint, while there is one.
    pub(crate) fn leader(&self, endpoint: EndpointId) -> Option<ExchangeId> {
        let negotiation = self.accounts.get(&endpoint)?.negotiation.as_ref()?;
        Some(negotiation.leader)
    }

    /// The protocol of an endpoint's association (UCMA's `AuthenticationProtocol`).
    pub(crate) fn protocol(&self, endpoint: EndpointId) -> Option<AuthenticationProtocol> {
        let established = self.accounts.get(&endpoint)?.association.as_ref()?;
        AuthenticationProtocol::of_scheme(established.association.name.scheme)
    }

    /// Whether the server of an endpoint should have asked for its user, and has not (A6).
    pub(crate) fn is_unchallenged(&self, endpoint: EndpointId) -> bool {
        let Some(account) = self.accounts.get(&endpoint) else {
            return false;
        };
        let Login {
            credentials,
            default_credential,
            allowed,
            policy,
            ..
        } = &account.login;
        let names_domain =
            |credentials: &Credentials| credentials.domain.is_some() || credentials.user.contains('\\');
        let with_kerberos = allowed.contains(AuthenticationProtocol::Kerberos);
        let would_log_on = (with_kerberos || allowed.contains(AuthenticationProtocol::Ntlm))
            && credentials.iter().any(names_domain)
            || with_kerberos && *default_credential;
        would_log_on
            && !policy.unchallenging
            && account.association.is_none()
            && !account.state.is_challenged()
    }

    /// The request of who leads a handshake, with its token, as it goes out over a connection.
    pub(crate) fn stamp(
        &mut self,
        cx: &mut Cx<'_>,
        endpoint: EndpointId,
        (exchange, conn): (ExchangeId, ConnId),
        bytes: Bytes,
    ) -> Bytes {
        let Some(account) = self.accounts.get_mut(&endpoint) else {
            return bytes;
        };
        let negotiation = account.negotiation.as_mut();
        let Some(negotiation) = negotiation.filter(|negotiation| negotiation.leader == exchange) else {
            return bytes;
        };
        let bytes = negotiation.put(cx, bytes);
        self.bind(endpoint, conn);
        bytes
    }

    /// A message as it goes out over a connection: signed where an association is used over it.
    pub(crate) fn seal(&mut self, cx: &mut Cx<'_>, conn: ConnId, bytes: Bytes) -> Bytes {
        if self.over(conn).next().is_none() {
            return bytes;
        }
        let Ok(message) = Message::parse(bytes.clone(), &cx.config.limits.message) else {
            return bytes;
        };
        let endpoint = self.endpoint_over(conn, &message, true);
        let Some(account) = endpoint.and_then(|endpoint| self.accounts.get_mut(&endpoint)) else {
            return bytes;
        };
        let negotiation = account.negotiation.as_mut();
        if let Some(association) = negotiation.and_then(|negotiation| negotiation.for_call(&message)) {
            return association.sign(cx, &message, None);
        }
        let Some(established) = account.association.as_mut() else {
            return bytes;
        };
        let renews = established.renewal.is_none() && message.method() == Some(&Method::Register);
        if renews || is_stamped(&message) {
            return bytes;
        }
        established.association.sign(cx, &message, None)
    }

    /// Whether a message that has come over a connection is taken: where an association is used over it, only with a
    /// signature of the server that is good and new, but for what real servers do not sign.
    pub(crate) fn admit(&mut self, cx: &mut Cx<'_>, conn: ConnId, message: &Message) -> Admission {
        let Some(endpoint) = self.endpoint_over(conn, message, false) else {
            return Admission::Taken;
        };
        let Some(account) = self.accounts.get_mut(&endpoint) else {
            return Admission::Taken;
        };
        let server = message.list().flatten().map(|AuthenticationInfo(info)| info);
        let proxies = message.list().flatten().map(|ProxyAuthenticationInfo(info)| info);
        let fields: Vec<header::AuthInfo<'_>> = server.chain(proxies).collect();
        let infos = fields.iter().filter_map(|field| Info::read(field).ok());
        let mut worst = None;
        for info in infos.filter(|info| info.signature.is_some()) {
            match account.verify(cx, message, &info) {
                Some(Signed::Well) if account.is_made() => {
                    self.settle(cx, endpoint, true);
                    return Admission::Associated(endpoint);
                }
                Some(Signed::Well) => return Admission::Taken,
                Some(Signed::Replayed) => worst = Some(Admission::Replayed),
                Some(Signed::Forged) | None => worst = worst.or(Some(Admission::Forged)),
            }
        }
        match worst {
            Some(refusal) => refusal,
            None if account.has_to_be_signed(message) => Admission::Unsigned,
            None => Admission::Taken,
        }
    }

    fn over(&self, conn: ConnId) -> impl Iterator<Item = EndpointId> + '_ {
        let from = self.by_conn.range((conn, EndpointId::FIRST)..);
        from.take_while(move |(other, _)| *other == conn)
            .map(|(_, endpoint)| *endpoint)
    }

    /// The endpoint whose message this is. Where several endpoints share a connection, the epid of their own side tells.
    fn endpoint_over(&self, conn: ConnId, message: &Message, sent: bool) -> Option<EndpointId> {
        let first = self.over(conn).next()?;
        let only = Some(first).filter(|_| self.over(conn).nth(1).is_none());
        match own_epid(message, sent) {
            Some(epid) => {
                let has_epid = |endpoint: &EndpointId| {
                    let account = self.accounts.get(endpoint);
                    account.is_some_and(|account| account.login.epid.eq_ignore_ascii_case(&epid))
                };
                // What comes is not excused by a name that nobody has here; what another endpoint sends is its own affair.
                self.over(conn).find(has_epid).or_else(|| only.filter(|_| !sent))
            }
            None => only,
        }
    }
}

/// Whether a message has the credentials of one of Microsoft's schemes already.
fn is_stamped(message: &Message) -> bool {
    [HeaderName::Authorization, HeaderName::ProxyAuthorization]
        .into_iter()
        .flat_map(|name| message.raw_all(name))
        .filter_map(|value| value.split(|octet| octet.is_ascii_whitespace()).next())
        .any(|scheme| core::str::from_utf8(scheme).is_ok_and(|scheme| Scheme::from_token(scheme).is_some()))
}

/// The epid of this side in a message that it sends, or has received: its request, and the answer to it, have it in From.
fn own_epid(message: &Message, sent: bool) -> Option<String> {
    if message.is_request() == sent {
        message.from_().ok()?.epid().map(|epid| epid.to_string())
    } else {
        message.to().ok()?.epid().map(|epid| epid.to_string())
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use bytes::Bytes;

    use super::*;
    use crate::auth::AuthenticationFailureReason as Reason;
    use crate::connection::testing::Services;
    use crate::ids::Ids;
    use crate::security::Secret;
    use crate::wire::MessageLimits;

    fn challenge() -> Message {
        let text = "SIP/2.0 401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n\r\n";
        Message::parse(Bytes::from(text), &MessageLimits::default()).unwrap()
    }

    // rules: A2, A7, A9
    #[test]
    fn an_endpoint_answers_with_its_own_credentials_only() {
        let mut ids = Ids::default();
        let (alice, bob): (EndpointId, EndpointId) = (ids.next(), ids.next());
        let mut entropy = Entropy::new([5; 32]);
        let mut services = Services::new();
        let mut table = AuthTable::new(entropy.hash_key());
        let challenge = challenge();
        let challenged = |endpoint| Challenged {
            endpoint,
            exchange: ExchangeId::FIRST,
            conn: None,
            secure: true,
            response: &challenge,
        };
        let login = Login {
            credentials: vec![Credentials::new("alice", Secret::new("wonder"))],
            default_credential: false,
            allowed: AllowedProtocols::all(),
            policy: AssociationPolicy::default(),
            epid: "01".into(),
        };
        table.insert(alice, login);
        let mut answers = |table: &mut AuthTable, endpoint, attempt: &mut Attempt| {
            table
                .authorize(
                    &mut entropy,
                    endpoint,
                    attempt,
                    &Method::Register,
                    "sip:example.com",
                    b"",
                )
                .len()
        };

        let mut attempt = Attempt::default();
        assert_eq!(answers(&mut table, alice, &mut attempt), 0);
        let next = table.handle_challenge(&mut services.cx(), challenged(alice), &mut attempt);
        assert_eq!(next, Ok(Next::Again));
        assert_eq!(answers(&mut table, alice, &mut attempt), 1);

        let mut attempt = Attempt::default();
        assert_eq!(answers(&mut table, bob, &mut attempt), 0);
        let failure = table
            .handle_challenge(&mut services.cx(), challenged(bob), &mut attempt)
            .unwrap_err();
        assert_eq!(
            (failure.reason, failure.realm.as_deref()),
            (Reason::MissingCredentials, Some("r"))
        );

        table.redirect(&mut services.cx(), alice);
        assert_eq!(answers(&mut table, alice, &mut Attempt::default()), 0);
        table.remove(&mut services.cx(), alice);
        assert_eq!(table.accounts.len(), 0);
    }
}
