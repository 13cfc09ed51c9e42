//! What an endpoint has agreed on with its server, and the answers to challenges.
//!
//! Read RFC 3261 section 22.2 and 22.3 first. A realm is known by its name and its side: a user agent server asks with
//! 401 and WWW-Authenticate, a proxy with 407 and Proxy-Authenticate, and a forking proxy hands on those of several in
//! one response.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{
    AllowedProtocols, AuthenticationFailure, AuthenticationFailureReason as Reason, AuthenticationProtocol,
    OfferedProtocol, Received, Side,
};
use crate::entropy::Entropy;
use crate::security::digest::{Authorization, Challenge, Info, Qop, Quality};
use crate::security::{Credentials, KerberosFailure, Secret};
use crate::wire::header::{
    self, AuthenticationInfo, ProxyAuthenticate, ProxyAuthenticationInfo, WwwAuthenticate,
};
use crate::wire::uri::{Uri, canonical_key};
use crate::wire::{HeaderName, Message, Method};

/// Realms that are remembered for one server. With a further one the oldest is forgotten; its next request is
/// challenged again.
const MAX_ASSOCIATIONS: usize = 8;

/// Hosts for which a realm is answered unasked. With a further one the oldest is forgotten.
const MAX_SCOPES: usize = 16;

/// How often one request answers one realm, all but the first time because its nonce had become too old.
const MAX_ANSWERS: u8 = 4;

/// Digits of a cnonce: 128 bits.
const CNONCE_DIGITS: usize = 32;

/// The realms in which one server, and the proxies behind it, have challenged.
#[derive(Clone, Debug, Default)]
pub(crate) struct AuthState {
    /// The oldest first.
    associations: Vec<Association>,
    /// Where the server was not chosen by the endpoint: the only realms in which credentials that name none are used.
    confined: Option<Vec<String>>,
}

/// A realm and what it takes to answer it.
#[derive(Clone, Debug)]
struct Association {
    side: Side,
    challenge: Challenge,
    user: String,
    ha1: Secret,
    /// Requests sent with this nonce.
    count: u32,
    /// Of a `-sess` algorithm: the session's one cnonce, drawn at its first request.
    cnonce: Option<String>,
    /// What this realm has challenged requests to, the oldest first; see [`scope`].
    scopes: Vec<String>,
}

/// What one request has tried.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attempt {
    /// The Request-URI that it had last.
    target: String,
    /// With what it went last.
    sent: Vec<SentAnswer>,
    /// The realms in which its challenges were answered, and how often.
    answered: Vec<(Side, String, u8)>,
    /// How many handshakes of an association it has led, or waited for.
    pub(super) handshakes: u8,
    /// Why there was no ticket for it.
    pub(super) kerberos: Option<KerberosFailure>,
}

#[derive(Clone, Debug)]
struct SentAnswer {
    side: Side,
    authorization: Authorization,
    ha1: Secret,
}

impl Attempt {
    /// It goes to another server, which may ask for a handshake of its own.
    pub(crate) const fn go_elsewhere(&mut self) {
        self.handshakes = 0;
    }
}

impl AuthState {
    /// The header fields that the next request of this attempt carries: the answers in all realms that have
    /// challenged such requests before. Nothing is shown to a user or host for which it was not asked (A9).
    ///
    /// Neither for ACK nor for CANCEL: the ACK to a 2xx repeats what its INVITE had, the others have none
    /// (RFC 3261 section 22.1).
    pub(crate) fn authorize(
        &mut self,
        entropy: &mut Entropy,
        attempt: &mut Attempt,
        method: &Method,
        uri: &str,
        body: &[u8],
    ) -> Vec<(HeaderName, String)> {
        attempt.target = uri.to_string();
        attempt.sent.clear();
        // A nonce whose count is used up is not used again: the server gives another one when it asks.
        self.associations
            .retain(|association| association.count < u32::MAX);
        let mut fields = Vec::new();
        for association in &mut self.associations {
            if association.scopes.contains(&scope(association.side, uri)) {
                let authorization = association.sign(entropy, method, uri, body);
                fields.push((association.side.answer(), write(association.side, &authorization)));
                let ha1 = association.ha1.clone();
                attempt.sent.push(SentAnswer {
                    side: association.side,
                    authorization,
                    ha1,
                });
            }
        }
        fields
    }

    /// Takes in the challenges of a 401 or 407: `Ok` where the request is worth sending again with what
    /// [`authorize`](Self::authorize) now gives.
    ///
    /// Of each realm the strongest offer that is known and allowed is answered (A3), of equally strong ones the first.
    /// Realms without credentials do not hold up the others: a forked request may succeed without them.
    ///
    /// # Errors
    /// No realm can be answered, or an answer was refused (A7). What a refusal was given for is forgotten.
    pub(crate) fn handle_challenge(
        &mut self,
        response: &Message,
        credentials: &[Credentials],
        allowed: AllowedProtocols,
        attempt: &mut Attempt,
    ) -> Result<(), AuthenticationFailure> {
        let received = received(response);
        let mut realms: Vec<(Side, Option<String>)> = Vec::new();
        for one in &received {
            let realm = (one.side, one.realm());
            if !realms.contains(&realm) {
                realms.push(realm);
            }
        }
        let mut met = Vec::new();
        let mut unmet = None;
        for (side, realm) in realms {
            let best = strongest(&received, side, realm.as_deref(), allowed);
            match self.meet(side, best, credentials, attempt) {
                Ok(association) => met.push(association),
                Err(Reason::InvalidCredentials) => {
                    self.forget(side, realm.as_deref());
                    return Err(failure(Reason::InvalidCredentials, realm, &received));
                }
                Err(reason) => {
                    let weightier = reason == Reason::MissingCredentials
                        && matches!(unmet, Some((Reason::NoCommonProtocols, _)));
                    if unmet.is_none() || weightier {
                        unmet = Some((reason, realm));
                    }
                }
            }
        }
        if met.is_empty() {
            let (reason, realm) = unmet.unwrap_or((Reason::NoCommonProtocols, None));
            return Err(failure(reason, realm, &received));
        }
        for association in met {
            attempt.count(association.side, &association.challenge.realm);
            let scope = scope(association.side, &attempt.target);
            self.install(association, &scope);
        }
        Ok(())
    }

    /// Takes the next nonce from a response that accepted what this attempt had sent. A field whose proof is wrong
    /// comes from someone who does not know the password, and counts for nothing.
    pub(crate) fn handle_success(&mut self, response: &Message, attempt: &Attempt) {
        let body = response.body_bytes();
        let server = response.list().flatten().map(|AuthenticationInfo(info)| info);
        let proxies = response
            .list()
            .flatten()
            .map(|ProxyAuthenticationInfo(info)| info);
        for info in server.chain(proxies).flat_map(|info| Info::read(&info)) {
            // Without a quality it does not say which answer it is about.
            if info.quality.is_none() && attempt.sent.len() > 1 {
                continue;
            }
            let about = attempt
                .sent
                .iter()
                .find(|sent| info.verify(&sent.authorization, &sent.ha1, body));
            if let (Some(sent), Some(nonce)) = (about, info.next_nonce) {
                self.renew(sent, nonce);
            }
        }
    }

    /// Whether the server has asked for the user in any way.
    pub(super) fn is_challenged(&self) -> bool {
        !self.associations.is_empty()
    }

    /// The state towards a server to which this one has sent the endpoint (R9). Credentials that name no realm were
    /// meant for the realms met so far, that of an association among them, and stay confined to them.
    pub(crate) fn redirected(&self, met: Option<String>) -> Self {
        let confined = self.confined.clone().unwrap_or_else(|| {
            self.associations
                .iter()
                .map(|association| association.challenge.realm.clone())
                .chain(met)
                .collect()
        });
        Self {
            associations: Vec::new(),
            confined: Some(confined),
        }
    }

    /// The association that answers this challenge, or why it is not answered.
    fn meet(
        &self,
        side: Side,
        challenge: Option<Challenge>,
        credentials: &[Credentials],
        attempt: &Attempt,
    ) -> Result<Association, Reason> {
        let challenge = challenge.ok_or(Reason::NoCommonProtocols)?;
        let credentials = self
            .choose(credentials, &challenge.realm)
            .ok_or(Reason::MissingCredentials)?;
        let Credentials { user, password, .. } = credentials;
        let answers = attempt.answers(side, &challenge.realm);
        if let Some(sent) = attempt.sent(side, &challenge.realm) {
            let SentAnswer {
                authorization, ha1, ..
            } = sent;
            let repeated = authorization.is_of(user)
                && *ha1 == authorization.algorithm.ha1(user, &challenge.realm, password);
            // An answer with a nonce kept from earlier may be refused for that nonce alone; servers that have lost it
            // do not all say stale.
            let excused = challenge.nonce != authorization.nonce && (challenge.stale || answers == 0);
            if repeated && !excused {
                return Err(Reason::InvalidCredentials);
            }
        }
        if answers >= MAX_ANSWERS {
            return Err(Reason::InvalidCredentials);
        }
        let ha1 = challenge.algorithm.ha1(user, &challenge.realm, password);
        Ok(Association {
            side,
            challenge,
            user: user.clone(),
            ha1,
            count: 0,
            cnonce: None,
            scopes: Vec::new(),
        })
    }

    /// The credentials for a realm: those that name it before those for any.
    pub(super) fn choose<'a>(&self, credentials: &'a [Credentials], realm: &str) -> Option<&'a Credentials> {
        let named = credentials
            .iter()
            .find(|credentials| credentials.realm.as_deref() == Some(realm));
        let open = self.is_open(realm);
        named.or_else(|| {
            credentials
                .iter()
                .find(|credentials| open && credentials.realm.is_none())
        })
    }

    /// Whether a server may be shown in this realm what is for none in particular (R9).
    pub(super) fn is_open(&self, realm: &str) -> bool {
        self.confined
            .as_ref()
            .is_none_or(|realms| realms.iter().any(|known| known == realm))
    }

    /// Puts an association in the place of the one for its realm.
    fn install(&mut self, mut association: Association, scope: &str) {
        if let Some(at) = self.position(association.side, &association.challenge.realm) {
            let old = self.associations.remove(at);
            association.scopes = old.scopes;
            // Requests that run side by side may be given one nonce: its count goes on.
            if old.challenge.nonce == association.challenge.nonce && old.ha1 == association.ha1 {
                association.count = old.count;
                association.cnonce = old.cnonce;
            }
        }
        if !association.scopes.iter().any(|known| known == scope) {
            if association.scopes.len() >= MAX_SCOPES {
                association.scopes.remove(0);
            }
            association.scopes.push(scope.to_string());
        }
        if self.associations.len() >= MAX_ASSOCIATIONS {
            self.associations.remove(0);
        }
        self.associations.push(association);
    }

    /// Goes over to the nonce that the server wants to see next, unless another has come since.
    ///
    /// The key of a `-sess` algorithm is made with the first nonce, which servers that keep no state would take the
    /// next one for: there the old nonce stays in use until the server calls it stale.
    fn renew(&mut self, sent: &SentAnswer, nonce: String) {
        let Some(at) = self.position(sent.side, &sent.authorization.realm) else {
            return;
        };
        let Some(association) = self.associations.get_mut(at) else {
            return;
        };
        let challenge = &mut association.challenge;
        if challenge.nonce == sent.authorization.nonce
            && !challenge.algorithm.is_session()
            && challenge.nonce != nonce
        {
            challenge.nonce = nonce;
            association.count = 0;
        }
    }

    fn forget(&mut self, side: Side, realm: Option<&str>) {
        self.associations
            .retain(|known| known.side != side || Some(known.challenge.realm.as_str()) != realm);
    }

    fn position(&self, side: Side, realm: &str) -> Option<usize> {
        self.associations
            .iter()
            .position(|known| known.side == side && known.challenge.realm == realm)
    }
}

impl Association {
    /// The answer for one request, with the next count.
    fn sign(&mut self, entropy: &mut Entropy, method: &Method, uri: &str, body: &[u8]) -> Authorization {
        let Challenge {
            realm,
            nonce,
            algorithm,
            opaque,
            user_hash,
            ..
        } = &self.challenge;
        // Bodies are rewritten on the way more often than they are forged: auth-int only where the server insists.
        let qop = if self.challenge.qop.contains(&Qop::Auth) {
            Some(Qop::Auth)
        } else {
            self.challenge.qop.first().copied()
        };
        self.count = self.count.saturating_add(1);
        let quality = qop.map(|qop| {
            let cnonce = match (&self.cnonce, algorithm.is_session()) {
                (Some(cnonce), true) => cnonce.clone(),
                (None, _) | (Some(_), false) => entropy.hex(CNONCE_DIGITS),
            };
            Quality {
                qop,
                count: self.count,
                cnonce,
            }
        });
        if algorithm.is_session() {
            self.cnonce = quality.as_ref().map(|quality| quality.cnonce.clone());
        }
        let user = if *user_hash {
            algorithm.user_hash(&self.user, realm)
        } else {
            self.user.clone()
        };
        let mut authorization = Authorization {
            user,
            user_hash: *user_hash,
            realm: realm.clone(),
            nonce: nonce.clone(),
            uri: uri.to_string(),
            algorithm: *algorithm,
            opaque: opaque.clone(),
            quality,
            response: String::new(),
        };
        authorization.sign(&self.ha1, method.as_str(), body);
        authorization
    }
}

impl Attempt {
    fn sent(&self, side: Side, realm: &str) -> Option<&SentAnswer> {
        self.sent
            .iter()
            .find(|sent| sent.side == side && sent.authorization.realm == realm)
    }

    fn answers(&self, side: Side, realm: &str) -> u8 {
        let answered = self
            .answered
            .iter()
            .find(|(known, name, _)| *known == side && name == realm);
        answered.map_or(0, |(_, _, times)| *times)
    }

    fn count(&mut self, side: Side, realm: &str) {
        match self
            .answered
            .iter_mut()
            .find(|(known, name, _)| *known == side && name == realm)
        {
            Some((_, _, times)) => *times = times.saturating_add(1),
            None => self.answered.push((side, realm.to_string(), 1)),
        }
    }
}

fn write(side: Side, authorization: &Authorization) -> String {
    match side {
        Side::Server => header::to_string(&header::Authorization(authorization.to_header())),
        Side::Proxy => header::to_string(&header::ProxyAuthorization(authorization.to_header())),
    }
}

/// The challenges of a response in their order. What cannot be read as one is passed over.
pub(super) fn received(response: &Message) -> Vec<Received<'_>> {
    let server = response.list().flatten();
    let server = server.map(|WwwAuthenticate(challenge)| Received {
        side: Side::Server,
        challenge,
    });
    let proxies = response.list().flatten();
    let proxies = proxies.map(|ProxyAuthenticate(challenge)| Received {
        side: Side::Proxy,
        challenge,
    });
    server.chain(proxies).collect()
}

/// The strongest offer in a realm that is known and allowed, the first of equally strong ones.
fn strongest(
    received: &[Received<'_>],
    side: Side,
    realm: Option<&str>,
    allowed: AllowedProtocols,
) -> Option<Challenge> {
    received
        .iter()
        .rev()
        .filter(|one| one.side == side && one.realm().as_deref() == realm)
        .filter_map(|one| Challenge::read(&one.challenge).ok())
        .filter(|challenge| allowed.contains(AuthenticationProtocol::of(challenge.algorithm)))
        .max_by_key(|challenge| AuthenticationProtocol::of(challenge.algorithm))
}

pub(super) fn failure(
    reason: Reason,
    realm: Option<String>,
    received: &[Received<'_>],
) -> AuthenticationFailure {
    let offered = received.iter().map(|one| OfferedProtocol {
        scheme: one.challenge.scheme.to_string(),
        algorithm: one.challenge.get("algorithm").map(Cow::into_owned),
        realm: one.realm(),
    });
    AuthenticationFailure {
        reason,
        realm,
        offered: offered.collect(),
        kerberos: None,
    }
}

/// What an answer is good for without being asked again. A proxy takes its own away, and is on the way to all of a host;
/// the answer to the server that a request is for goes through to whoever takes the request, so it is shown to that
/// user at that host alone (A9).
fn scope(side: Side, uri: &str) -> String {
    match Uri::parse(uri) {
        Ok(parsed @ Uri::Sip(_)) if side == Side::Server => canonical_key(&parsed),
        Ok(Uri::Sip(sip)) => sip.host.to_string().to_ascii_lowercase(),
        Ok(Uri::Tel(_) | Uri::Other(_)) | Err(_) => uri.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::security::digest::Algorithm;
    use crate::wire::MessageLimits;
    use crate::wire::header::Header;

    const URI: &str = "sip:example.com";

    /// A client, its one server, and the request under way.
    struct Client {
        state: AuthState,
        attempt: Attempt,
        entropy: Entropy,
        credentials: Vec<Credentials>,
        allowed: AllowedProtocols,
    }

    impl Client {
        fn new(credentials: Vec<Credentials>) -> Self {
            Self {
                state: AuthState::default(),
                attempt: Attempt::default(),
                entropy: Entropy::new([3; 32]),
                credentials,
                allowed: AllowedProtocols::all(),
            }
        }

        fn alice() -> Self {
            Self::new(vec![Credentials::new("alice", Secret::new("wonder"))])
        }

        /// A new request.
        fn begin(&mut self, uri: &str) -> Vec<(HeaderName, Authorization)> {
            self.attempt = Attempt::default();
            self.send(uri)
        }

        fn send(&mut self, uri: &str) -> Vec<(HeaderName, Authorization)> {
            let method = Method::Message;
            let fields = self
                .state
                .authorize(&mut self.entropy, &mut self.attempt, &method, uri, b"hello");
            fields
                .into_iter()
                .map(|(name, value)| (name, read(&value)))
                .collect()
        }

        /// The one answer of the request.
        fn answer(&mut self) -> Authorization {
            let [(HeaderName::Authorization, answer)] = <[_; 1]>::try_from(self.send(URI)).unwrap() else {
                panic!("not in Authorization");
            };
            answer
        }

        fn challenged(&mut self, fields: &[String]) -> Result<(), AuthenticationFailure> {
            let response = response(401, fields);
            self.state
                .handle_challenge(&response, &self.credentials, self.allowed, &mut self.attempt)
        }

        fn refused(&mut self, fields: &[String]) -> (Reason, Option<String>) {
            let failure = self.challenged(fields).unwrap_err();
            (failure.reason, failure.realm)
        }

        fn accepted(&mut self, fields: &[String]) {
            self.state.handle_success(&response(200, fields), &self.attempt);
        }
    }

    fn read(value: &str) -> Authorization {
        Authorization::read(&header::Authorization::parse(value).unwrap().0).unwrap()
    }

    fn response(status: u16, fields: &[String]) -> Message {
        let text = format!(
            "SIP/2.0 {status} Because\r\n{}Content-Length: 0\r\n\r\n",
            fields.concat()
        );
        Message::parse(Bytes::from(text), &MessageLimits::default()).unwrap()
    }

    fn www(parameters: &str) -> String {
        format!("WWW-Authenticate: Digest {parameters}\r\n")
    }

    fn proxy(parameters: &str) -> String {
        format!("Proxy-Authenticate: Digest {parameters}\r\n")
    }

    fn nonce(nonce: &str) -> String {
        www(&format!("realm=\"example.com\", nonce=\"{nonce}\", qop=\"auth\""))
    }

    fn stale(nonce: &str) -> String {
        www(&format!(
            "realm=\"example.com\", nonce=\"{nonce}\", qop=\"auth\", stale=true"
        ))
    }

    fn proves(answer: &Authorization, user: &str, password: &str) -> bool {
        let ha1 = answer.algorithm.ha1(user, &answer.realm, &Secret::new(password));
        answer.is_of(user) && answer.verify(&ha1, "MESSAGE", b"hello")
    }

    // rules: A1, A8
    #[test]
    fn a_challenge_is_answered_and_then_anticipated() {
        let mut client = Client::alice();
        assert_eq!(client.begin(URI), vec![]);
        let challenge = "realm=\"example.com\", nonce=\"n1\", opaque=\"o\", qop=\"auth-int,auth\"";
        client.challenged(&[www(challenge)]).unwrap();
        let first = client.answer();
        assert!(proves(&first, "alice", "wonder"));
        assert_eq!((first.nonce.as_str(), first.uri.as_str()), ("n1", URI));
        assert_eq!(
            (first.opaque.as_deref(), first.algorithm),
            (Some("o"), Algorithm::Md5)
        );
        let first = first.quality.unwrap();
        assert_eq!(
            (first.qop, first.count, first.cnonce.len()),
            (Qop::Auth, 1, CNONCE_DIGITS)
        );

        client.attempt = Attempt::default();
        let second = client.answer();
        assert!(proves(&second, "alice", "wonder"));
        let second = second.quality.unwrap();
        assert_eq!(second.count, 2);
        assert_ne!(second.cnonce, first.cnonce);
    }

    // rules: A8
    #[test]
    fn auth_int_and_no_qop_are_answered_where_nothing_else_is_offered() {
        let mut client = Client::alice();
        client.begin(URI);
        client
            .challenged(&[www(
                "realm=\"r\", nonce=\"n\", qop=\"auth-int\", algorithm=SHA-256",
            )])
            .unwrap();
        let answer = client.answer();
        assert!(proves(&answer, "alice", "wonder"));
        assert_eq!(
            answer.quality.as_ref().map(|quality| quality.qop),
            Some(Qop::AuthInt)
        );
        let ha1 = Algorithm::Sha256.ha1("alice", "r", &Secret::new("wonder"));
        assert!(!answer.verify(&ha1, "MESSAGE", b"another body"));

        let mut client = Client::alice();
        client.begin(URI);
        client.challenged(&[www("realm=\"r\", nonce=\"n\"")]).unwrap();
        let answer = client.answer();
        assert!(proves(&answer, "alice", "wonder"));
        assert_eq!(answer.quality, None);
    }

    // rules: A3
    #[test]
    fn the_strongest_allowed_offer_is_answered() {
        let offer = ["MD5", "SHA-256", "AKAv1-MD5", "SHA-512-256-sess", "SHA-512-256"].map(|name| {
            www(&format!(
                "realm=\"r\", nonce=\"{name}\", qop=\"auth\", algorithm={name}"
            ))
        });
        use AuthenticationProtocol::{DigestMd5, DigestSha256, DigestSha512_256};
        let expected = [
            (AllowedProtocols::all(), "SHA-512-256-sess"),
            (AllowedProtocols::all().without(DigestSha512_256), "SHA-256"),
            (AllowedProtocols::none().with(DigestMd5), "MD5"),
        ];
        for (allowed, expected) in expected {
            let mut client = Client {
                allowed,
                ..Client::alice()
            };
            client.begin(URI);
            client.challenged(&offer).unwrap();
            let answer = client.answer();
            assert_eq!(
                (answer.nonce.as_str(), answer.algorithm.token()),
                (expected, expected)
            );
            assert!(proves(&answer, "alice", "wonder"));
        }

        let mut client = Client {
            allowed: AllowedProtocols::at_least(DigestSha256),
            ..Client::alice()
        };
        client.begin(URI);
        let ntlm =
            String::from("WWW-Authenticate: NTLM realm=\"r\", targetname=\"fe.example.com\", version=4\r\n");
        let failure = client.challenged(&[offer[0].clone(), ntlm]).unwrap_err();
        assert_eq!(
            (failure.reason, failure.realm.as_deref()),
            (Reason::NoCommonProtocols, Some("r"))
        );
        let offered: Vec<String> = failure.offered.iter().map(ToString::to_string).collect();
        assert_eq!(offered, ["Digest MD5", "NTLM"]);
        assert_eq!(client.send(URI), vec![]);
    }

    // rules: A7
    #[test]
    fn a_challenge_without_anything_readable_has_nothing_in_common() {
        let mut client = Client::alice();
        client.begin(URI);
        assert_eq!(client.refused(&[]), (Reason::NoCommonProtocols, None));
        let unreadable = String::from("WWW-Authenticate: Digest \"\r\n");
        assert_eq!(client.refused(&[unreadable]), (Reason::NoCommonProtocols, None));
    }

    // rules: A7
    #[test]
    fn wrong_credentials_are_tried_once() {
        for again in [nonce("n1"), nonce("n2"), stale("n1")] {
            let mut client = Client::alice();
            client.begin(URI);
            client.challenged(&[nonce("n1")]).unwrap();
            client.answer();
            assert_eq!(
                client.refused(&[again]),
                (Reason::InvalidCredentials, Some("example.com".into()))
            );
            // They are not shown unasked in the next request either.
            assert_eq!(client.begin(URI), vec![]);
        }
    }

    // rules: A7
    #[test]
    fn the_user_hash_does_not_hide_that_credentials_were_tried() {
        let mut client = Client::alice();
        let challenge = |nonce| {
            www(&format!(
                "realm=\"r\", nonce=\"{nonce}\", qop=\"auth\", userhash=true, algorithm=SHA-256"
            ))
        };
        client.begin(URI);
        client.challenged(&[challenge("n1")]).unwrap();
        let answer = client.answer();
        assert!(answer.user_hash && proves(&answer, "alice", "wonder"));
        assert_ne!(answer.user, "alice");
        assert_eq!(client.refused(&[challenge("n2")]).0, Reason::InvalidCredentials);
    }

    // rules: A7
    #[test]
    fn other_credentials_are_tried_where_the_first_were_refused() {
        let mut client = Client::alice();
        client.begin(URI);
        client.challenged(&[nonce("n1")]).unwrap();
        client.answer();
        client.credentials = vec![Credentials::new("alice", Secret::new("land"))];
        client.challenged(&[nonce("n2")]).unwrap();
        assert!(proves(&client.answer(), "alice", "land"));
        assert_eq!(client.refused(&[nonce("n3")]).0, Reason::InvalidCredentials);
    }

    // rules: A8
    #[test]
    fn a_stale_nonce_is_replaced_without_end_only_up_to_a_bound() {
        let mut client = Client::alice();
        client.begin(URI);
        client.challenged(&[nonce("n1")]).unwrap();
        for round in 2..=MAX_ANSWERS {
            client.answer();
            let fresh = format!("n{round}");
            client.challenged(&[stale(&fresh)]).unwrap();
            let answer = client.answer();
            assert_eq!(
                (answer.nonce, answer.quality.map(|quality| quality.count)),
                (fresh, Some(1))
            );
        }
        assert_eq!(
            client.refused(&[stale("one too many")]).0,
            Reason::InvalidCredentials
        );
    }

    // A server that was restarted has lost its nonces and may not know that this one was ever good.
    // rules: A7, A8
    #[test]
    fn an_anticipated_answer_may_fail_for_its_nonce_once() {
        let mut client = Client::alice();
        client.begin(URI);
        client.challenged(&[nonce("n1")]).unwrap();
        client.answer();
        client.attempt = Attempt::default();
        client.answer();
        client.challenged(&[nonce("n2")]).unwrap();
        assert_eq!(client.answer().nonce, "n2");
        assert_eq!(client.refused(&[nonce("n3")]).0, Reason::InvalidCredentials);
    }

    // rules: A8
    #[test]
    fn requests_side_by_side_count_one_nonce_together() {
        let mut client = Client::alice();
        client.begin(URI);
        client.challenged(&[nonce("n1")]).unwrap();
        assert_eq!(client.answer().quality.unwrap().count, 1);
        let mut other = Attempt {
            target: URI.to_string(),
            ..Attempt::default()
        };
        core::mem::swap(&mut client.attempt, &mut other);
        client.challenged(&[nonce("n1")]).unwrap();
        assert_eq!(client.answer().quality.unwrap().count, 2);
    }

    // rules: A8
    #[test]
    fn a_used_up_nonce_is_given_up() {
        let mut client = Client::alice();
        client.begin(URI);
        client.challenged(&[nonce("n1")]).unwrap();
        client.state.associations[0].count = u32::MAX - 1;
        assert_eq!(client.answer().quality.unwrap().count, u32::MAX);
        assert_eq!(client.send(URI), vec![]);
    }

    // rules: A8
    #[test]
    fn all_realms_of_a_response_are_answered() {
        let mut client = Client::new(vec![
            Credentials::new("alice", Secret::new("any")),
            Credentials::new("alice.p", Secret::new("one")).with_realm("p1"),
        ]);
        client.begin(URI);
        let fields = [
            www("realm=\"home\", nonce=\"h\", qop=\"auth\""),
            proxy("realm=\"p1\", nonce=\"1\", qop=\"auth\""),
            proxy("realm=\"p2\", nonce=\"2\""),
            proxy("realm=\"home\", nonce=\"3\""),
        ];
        client.challenged(&fields).unwrap();
        let answers = client.send(URI);
        let seen: Vec<_> = answers
            .iter()
            .map(|(name, answer)| (*name, answer.realm.as_str()))
            .collect();
        let expected = [
            (HeaderName::Authorization, "home"),
            (HeaderName::ProxyAuthorization, "p1"),
            (HeaderName::ProxyAuthorization, "p2"),
            (HeaderName::ProxyAuthorization, "home"),
        ];
        assert_eq!(seen, expected);
        for (_, answer) in &answers {
            let (user, password) = if answer.realm == "p1" {
                ("alice.p", "one")
            } else {
                ("alice", "any")
            };
            assert!(proves(answer, user, password), "{answer:?}");
        }
        // One of them says no; it is that one that is named.
        assert_eq!(
            client.refused(&fields[1..2]),
            (Reason::InvalidCredentials, Some("p1".into()))
        );
    }

    // rules: A2, A7, A9
    #[test]
    fn credentials_for_one_realm_are_not_shown_to_another() {
        let mut client = Client::new(vec![
            Credentials::new("alice", Secret::new("pw")).with_realm("home"),
        ]);
        client.begin(URI);
        let other = www("realm=\"other\", nonce=\"n\"");
        assert_eq!(
            client.refused(core::slice::from_ref(&other)),
            (Reason::MissingCredentials, Some("other".into()))
        );
        assert_eq!(client.send(URI), vec![]);
        // It does not hold up the realm that can be answered.
        client
            .challenged(&[other.clone(), www("realm=\"home\", nonce=\"n\"")])
            .unwrap();
        assert_eq!(client.answer().realm, "home");
        assert_eq!(
            client.refused(&[other]),
            (Reason::MissingCredentials, Some("other".into()))
        );
    }

    // rules: A7
    #[test]
    fn missing_credentials_weigh_more_than_a_foreign_protocol() {
        let mut client = Client::new(vec![]);
        client.begin(URI);
        let fields = [
            String::from("WWW-Authenticate: NTLM realm=\"SIP Communications Service\"\r\n"),
            nonce("n"),
        ];
        let failure = client.challenged(&fields).unwrap_err();
        assert_eq!(
            (failure.reason, failure.realm.as_deref()),
            (Reason::MissingCredentials, Some("example.com"))
        );
        assert_eq!(failure.offered.len(), 2);
    }

    // rules: A9
    #[test]
    fn nothing_is_shown_to_a_host_that_was_not_asked_for() {
        let mut client = Client::alice();
        client.begin("sip:bob@example.com");
        client.challenged(&[nonce("n1")]).unwrap();
        assert_eq!(client.send("sips:bob@EXAMPLE.com:5061;x=y").len(), 1);
        for elsewhere in [
            "sip:bob@example.org",
            "sip:example.com@192.0.2.1",
            "tel:+15551234",
            "sip:sub.example.com",
        ] {
            assert_eq!(client.begin(elsewhere), vec![], "{elsewhere}");
        }
        client.begin("sip:bob@example.org");
        client.challenged(&[nonce("n1")]).unwrap();
        // The same nonce, used for the second time.
        let again = client.send("sip:bob@example.org");
        assert_eq!(again[0].1.quality.as_ref().map(|quality| quality.count), Some(2));
        // What a server was shown goes on to whoever takes the request, so another user does not get it.
        assert_eq!(client.begin("sip:carol@example.org"), vec![]);
        assert_eq!(client.begin("sip:carol@example.com"), vec![]);
    }

    // rules: A9
    #[test]
    fn what_a_proxy_takes_away_goes_with_every_request_to_its_host() {
        let mut client = Client::alice();
        client.begin("sip:bob@example.com");
        client
            .challenged(&[proxy("realm=\"example.com\", nonce=\"n1\"")])
            .unwrap();
        assert_eq!(client.send("sip:bob@example.com").len(), 1);
        assert_eq!(client.begin("sip:carol@example.com").len(), 1);
        assert_eq!(client.begin("sip:carol@example.org"), vec![]);
    }

    // rules: A9
    #[test]
    fn a_redirect_takes_no_answer_along_and_opens_no_realm() {
        let mut client = Client::new(vec![
            Credentials::new("alice", Secret::new("any")),
            Credentials::new("alice", Secret::new("one")).with_realm("named"),
        ]);
        client.begin(URI);
        client.challenged(&[www("realm=\"met\", nonce=\"n\"")]).unwrap();
        client.state = client.state.redirected(None).redirected(None);
        assert_eq!(client.begin(URI), vec![]);
        assert_eq!(
            client.refused(&[www("realm=\"new\", nonce=\"n\"")]).0,
            Reason::MissingCredentials
        );
        client
            .challenged(&[
                www("realm=\"met\", nonce=\"n\""),
                www("realm=\"named\", nonce=\"n\""),
            ])
            .unwrap();
        let answers = client.send(URI);
        assert!(proves(&answers[0].1, "alice", "any") && proves(&answers[1].1, "alice", "one"));
    }

    fn info(client: &Client, password: &str, next: &str) -> String {
        let sent = &client.attempt.sent[0].authorization;
        let ha1 = sent.algorithm.ha1("alice", &sent.realm, &Secret::new(password));
        let info = Info::new(sent, &ha1, b"", Some(next.into()));
        format!(
            "Authentication-Info: {}\r\n",
            header::to_string(&AuthenticationInfo(info.to_header()))
        )
    }

    // rules: A8
    #[test]
    fn the_next_nonce_is_taken_from_one_who_knows_the_password() {
        let mut client = Client::alice();
        client.begin(URI);
        client.challenged(&[nonce("n1")]).unwrap();
        client.answer();
        let forged = info(&client, "guess", "evil");
        client.accepted(&[forged]);
        let answer = client.answer();
        assert_eq!((answer.nonce.as_str(), answer.quality.unwrap().count), ("n1", 2));
        let good = info(&client, "wonder", "n2");
        client.accepted(core::slice::from_ref(&good));
        let answer = client.answer();
        assert_eq!(
            (answer.nonce.as_str(), answer.quality.clone().unwrap().count),
            ("n2", 1)
        );
        assert!(proves(&answer, "alice", "wonder"));
        // What belongs to an earlier request changes nothing any more.
        client.accepted(&[good]);
        assert_eq!(client.answer().quality.unwrap().count, 2);
        client.accepted(&[String::from("Authentication-Info: nextnonce=\"n3\"\r\n")]);
        assert_eq!(client.answer().nonce, "n3");
    }

    // rules: A1, A8
    #[test]
    fn a_session_algorithm_keeps_its_cnonce_and_nonce() {
        let mut client = Client::alice();
        client.begin(URI);
        client
            .challenged(&[www(
                "realm=\"r\", nonce=\"n1\", qop=\"auth\", algorithm=SHA-256-sess",
            )])
            .unwrap();
        let first = client.answer();
        let next = info(&client, "wonder", "n2");
        client.accepted(&[next]);
        let second = client.answer();
        assert!(proves(&first, "alice", "wonder") && proves(&second, "alice", "wonder"));
        let (one, two) = (first.quality.unwrap(), second.quality.unwrap());
        assert_eq!(
            (first.nonce, one.count, one.cnonce),
            (second.nonce, 1, two.cnonce)
        );
        assert_eq!(two.count, 2);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut client = Client::alice();
        client.begin(URI);
        let realm = |i| www(&format!("realm=\"r{i}\", nonce=\"n\""));
        let challenges: Vec<String> = (0..MAX_ASSOCIATIONS).map(realm).collect();
        client.challenged(&challenges).unwrap();
        assert_eq!(client.send(URI).len(), MAX_ASSOCIATIONS);
        client.challenged(&[realm(MAX_ASSOCIATIONS)]).unwrap();
        let answers = client.send(URI);
        assert_eq!(answers.len(), MAX_ASSOCIATIONS);
        assert_eq!(answers[0].1.realm, "r1");

        let mut client = Client::alice();
        let host = |i| format!("sip:h{i}.example.com");
        for i in 0..=MAX_SCOPES {
            client.begin(&host(i));
            client.challenged(&[nonce("n")]).unwrap();
            assert_eq!(client.send(&host(0)).len(), usize::from(i < MAX_SCOPES));
            assert_eq!(client.send(&host(i)).len(), 1);
        }
    }

    // rules: A9
    #[test]
    fn debug_output_shows_no_secret() {
        let mut client = Client::alice();
        client.begin(URI);
        client.challenged(&[nonce("n1")]).unwrap();
        let response = client.answer().response;
        let shown = format!("{:?} {:?} {:?}", client.state, client.attempt, client.credentials);
        let ha1 = Algorithm::Md5.ha1("alice", "example.com", &Secret::new("wonder"));
        assert!(shown.contains("example.com"));
        assert!(!shown.contains("wonder") && !shown.contains(ha1.expose()) && !shown.contains(&response));
    }

    proptest! {
        // rules: A8
        #[test]
        fn any_challenge_is_taken_without_panic(
            values in proptest::collection::vec("(Digest |NTLM |)(\\PC{0,60}|([a-z]{1,9}=\"?[ -~]{0,9}\"?, ?){0,6})", 0..4),
            info in "\\PC{0,40}",
        ) {
            let mut client = Client::alice();
            client.begin(URI);
            client.challenged(&[nonce("n1")]).unwrap();
            client.answer();
            let fields: Vec<String> = values.iter().map(|value| format!("WWW-Authenticate: {value}\r\n")).collect();
            let _ = client.challenged(&fields);
            client.accepted(&[format!("Authentication-Info: {info}\r\n")]);
            prop_assert!(client.send(URI).len() <= MAX_ASSOCIATIONS);
        }
    }
}
