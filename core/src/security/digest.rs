//! Digest access authentication (RFC 7616; in SIP, RFC 3261 section 22.4 and RFC 8760): what the header fields hold,
//! and what is computed for them.
//!
//! Both sides are here: a client answers a [`Challenge`] with an [`Authorization`]; a server writes the one, verifies
//! the other, and proves itself with an [`Info`]. Which challenge is answered, and for whom, is decided in `auth`.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};

use super::encoding::push_hex;
use super::{Secret, same};
use crate::error::ParseError;
use crate::wire::HeaderName;
use crate::wire::header::{self, AuthParams};

/// The scheme name in the header fields.
pub const SCHEME: &str = "Digest";

/// The hash, and whether it makes a key for a session (`-sess`), RFC 7616 section 3.4.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// `MD5`, also where none is named.
    Md5,
    /// `MD5-sess`.
    Md5Sess,
    /// `SHA-256`.
    Sha256,
    /// `SHA-256-sess`.
    Sha256Sess,
    /// `SHA-512-256`: SHA-512/256 of FIPS 180-4, not a shortened SHA-512.
    Sha512_256,
    /// `SHA-512-256-sess`.
    Sha512_256Sess,
}

impl Algorithm {
    /// All of them, weaker before stronger.
    pub const ALL: [Self; 6] = [
        Self::Md5,
        Self::Md5Sess,
        Self::Sha256,
        Self::Sha256Sess,
        Self::Sha512_256,
        Self::Sha512_256Sess,
    ];

    /// The algorithm of this name, in any case; `None` where it is not one of these.
    pub fn from_token(token: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.token().eq_ignore_ascii_case(token))
    }

    /// The name on the wire.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Md5Sess => "MD5-sess",
            Self::Sha256 => "SHA-256",
            Self::Sha256Sess => "SHA-256-sess",
            Self::Sha512_256 => "SHA-512-256",
            Self::Sha512_256Sess => "SHA-512-256-sess",
        }
    }

    /// Whether the first nonce and cnonce go into the key.
    pub const fn is_session(self) -> bool {
        matches!(self, Self::Md5Sess | Self::Sha256Sess | Self::Sha512_256Sess)
    }

    /// H(user ":" realm ":" password): the form of a password that a server may keep. It serves an algorithm and its
    /// `-sess` variant alike, and proves the user in this realm as the password does.
    pub fn ha1(self, user: &str, realm: &str, password: &Secret) -> Secret {
        Secret::new(self.hash(&[user.as_bytes(), realm.as_bytes(), password.expose().as_bytes()]))
    }

    /// H(user ":" realm), sent for the user's name where the server asks for it (RFC 7616 section 3.4.4).
    pub fn user_hash(self, user: &str, realm: &str) -> String {
        self.hash(&[user.as_bytes(), realm.as_bytes()])
    }

    /// The hash of the parts with a colon between each two, in lower-case hexadecimal.
    fn hash(self, parts: &[&[u8]]) -> String {
        match self {
            Self::Md5 | Self::Md5Sess => hash::<Md5>(parts),
            Self::Sha256 | Self::Sha256Sess => hash::<Sha256>(parts),
            Self::Sha512_256 | Self::Sha512_256Sess => hash::<Sha512_256>(parts),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.token())
    }
}

fn hash<D: Digest>(parts: &[&[u8]]) -> String {
    let mut hasher = D::new();
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            hasher.update(b":");
        }
        hasher.update(part);
    }
    let result = hasher.finalize();
    // Room for all of it at once: where the text is a secret, growing would leave copies behind.
    let mut text = String::with_capacity(2 * result.len());
    push_hex(&mut text, &result);
    text
}

/// The quality of protection (RFC 7616 section 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Qop {
    /// `auth`: method and Request-URI are protected.
    Auth,
    /// `auth-int`: the body is, too.
    AuthInt,
}

impl Qop {
    /// The value of this name, in any case.
    pub fn from_token(token: &str) -> Option<Self> {
        [Self::Auth, Self::AuthInt]
            .into_iter()
            .find(|qop| qop.token().eq_ignore_ascii_case(token))
    }

    /// The name on the wire.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthInt => "auth-int",
        }
    }
}

/// What a server asks with: WWW-Authenticate or Proxy-Authenticate (RFC 7616 section 3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// What is protected; tells the user, and a client with several passwords, which one is wanted.
    pub realm: String,
    /// The server's fresh value.
    pub nonce: String,
    /// The algorithm to use.
    pub algorithm: Algorithm,
    /// The qualities of protection to choose from; none for a server of the time before them (RFC 2069).
    pub qop: Vec<Qop>,
    /// To be sent back as it is.
    pub opaque: Option<String>,
    /// The answer was right but its nonce too old.
    pub stale: bool,
    /// Whether the user's name is to be sent as a hash.
    pub user_hash: bool,
}

impl Challenge {
    /// A challenge with quality `auth`.
    pub fn new(realm: impl Into<String>, nonce: impl Into<String>, algorithm: Algorithm) -> Self {
        Self {
            realm: realm.into(),
            nonce: nonce.into(),
            algorithm,
            qop: Vec::from([Qop::Auth]),
            opaque: None,
            stale: false,
            user_hash: false,
        }
    }

    /// Reads the parameters of a challenge.
    ///
    /// # Errors
    /// Another scheme, no realm or nonce, an algorithm or only qualities that are not known here, a `-sess` algorithm
    /// without quality (whose key would need a value that cannot be sent then).
    pub fn read(challenge: &header::Challenge<'_>) -> Result<Self, ParseError> {
        let error = |what| ParseError::header(HeaderName::WwwAuthenticate, what);
        if !challenge.is(SCHEME) {
            return Err(error("not a Digest challenge"));
        }
        let get = |name| challenge.get(name).map(Cow::into_owned);
        let algorithm = match get("algorithm") {
            None => Algorithm::Md5,
            Some(token) => Algorithm::from_token(&token).ok_or_else(|| error("unknown algorithm"))?,
        };
        let offered = get("qop").unwrap_or_default();
        let qop: Vec<Qop> = offered
            .split(',')
            .filter_map(|token| Qop::from_token(token.trim()))
            .collect();
        if qop.is_empty() && !offered.trim().is_empty() {
            return Err(error("unknown qop"));
        }
        if qop.is_empty() && algorithm.is_session() {
            return Err(error("session algorithm without qop"));
        }
        Ok(Self {
            realm: get("realm").ok_or_else(|| error("realm missing"))?,
            nonce: get("nonce").ok_or_else(|| error("nonce missing"))?,
            algorithm,
            qop,
            opaque: get("opaque"),
            stale: get("stale").is_some_and(|value| value.eq_ignore_ascii_case("true")),
            user_hash: get("userhash").is_some_and(|value| value.eq_ignore_ascii_case("true")),
        })
    }

    /// The header field value.
    pub fn to_header(&self) -> header::Challenge<'_> {
        let mut params = AuthParams::new()
            .with_quoted("realm", &*self.realm)
            .with_quoted("nonce", &*self.nonce)
            .with_token("algorithm", self.algorithm.token());
        if !self.qop.is_empty() {
            let tokens: Vec<&str> = self.qop.iter().map(|qop| qop.token()).collect();
            params = params.with_quoted("qop", tokens.join(","));
        }
        if let Some(opaque) = &self.opaque {
            params = params.with_quoted("opaque", &**opaque);
        }
        if self.stale {
            params = params.with_token("stale", "true");
        }
        if self.user_hash {
            params = params.with_token("userhash", "true");
        }
        header::Challenge {
            scheme: SCHEME.into(),
            params,
        }
    }
}

/// What an [`Authorization`] with a quality of protection has besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quality {
    /// Which.
    pub qop: Qop,
    /// How many requests the client has sent with this nonce, this one included.
    pub count: u32,
    /// The client's own fresh value.
    pub cnonce: String,
}

/// What a client answers with: Authorization or Proxy-Authorization (RFC 7616 section 3.4).
#[derive(Clone, PartialEq, Eq)]
pub struct Authorization {
    /// The user's name, or [its hash](Algorithm::user_hash).
    pub user: String,
    /// Whether it is the hash.
    pub user_hash: bool,
    /// As challenged.
    pub realm: String,
    /// As challenged.
    pub nonce: String,
    /// The Request-URI, as it is written in the request.
    pub uri: String,
    /// As challenged.
    pub algorithm: Algorithm,
    /// As challenged.
    pub opaque: Option<String>,
    /// The chosen quality of protection; `None` for a challenge without one.
    pub quality: Option<Quality>,
    /// The proof. Empty until [`sign`](Self::sign)ed.
    pub response: String,
}

impl Authorization {
    /// Reads the parameters of credentials.
    ///
    /// # Errors
    /// Another scheme, a parameter that is missing, unknown or malformed, or a `-sess` algorithm without quality.
    pub fn read(credentials: &header::Credentials<'_>) -> Result<Self, ParseError> {
        let error = |what| ParseError::header(HeaderName::Authorization, what);
        if !credentials.is(SCHEME) {
            return Err(error("not Digest credentials"));
        }
        let get = |name| credentials.get(name).map(Cow::into_owned);
        let algorithm = match get("algorithm") {
            None => Algorithm::Md5,
            Some(token) => Algorithm::from_token(&token).ok_or_else(|| error("unknown algorithm"))?,
        };
        let quality = match get("qop") {
            None => None,
            Some(token) => Some(Quality {
                qop: Qop::from_token(&token).ok_or_else(|| error("unknown qop"))?,
                count: get("nc")
                    .as_deref()
                    .and_then(count)
                    .ok_or_else(|| error("bad nc"))?,
                cnonce: get("cnonce").ok_or_else(|| error("cnonce missing"))?,
            }),
        };
        if quality.is_none() && algorithm.is_session() {
            return Err(error("session algorithm without qop"));
        }
        Ok(Self {
            user: get("username").ok_or_else(|| error("username missing"))?,
            user_hash: get("userhash").is_some_and(|value| value.eq_ignore_ascii_case("true")),
            realm: get("realm").ok_or_else(|| error("realm missing"))?,
            nonce: get("nonce").ok_or_else(|| error("nonce missing"))?,
            uri: get("uri").ok_or_else(|| error("uri missing"))?,
            algorithm,
            opaque: get("opaque"),
            quality,
            response: get("response").ok_or_else(|| error("response missing"))?,
        })
    }

    /// Sets the proof for a request with this method and body. `ha1` is that of [`Algorithm::ha1`].
    pub fn sign(&mut self, ha1: &Secret, method: &str, body: &[u8]) {
        self.response = self.proof(ha1, method, body);
    }

    /// Whether the proof is right for a request with this method and body, compared in constant time.
    ///
    /// That the realm, the nonce, its count and the Request-URI are the expected ones is for the server to check. For
    /// the `-sess` algorithms the key is made with the nonce and cnonce at hand: they have to be the session's first.
    pub fn verify(&self, ha1: &Secret, method: &str, body: &[u8]) -> bool {
        let expected = self.proof(ha1, method, body);
        same(expected.as_bytes(), self.response.to_ascii_lowercase().as_bytes())
    }

    /// Whether the user whose name this is signed (or is said to have signed) this.
    pub fn is_of(&self, user: &str) -> bool {
        if self.user_hash {
            self.algorithm
                .user_hash(user, &self.realm)
                .eq_ignore_ascii_case(&self.user)
        } else {
            self.user == user
        }
    }

    /// The header field value. Quotes stand where RFC 7616 section 3.4 wants them, and nowhere else.
    pub fn to_header(&self) -> header::Credentials<'_> {
        let mut params = AuthParams::new()
            .with_quoted("username", &*self.user)
            .with_quoted("realm", &*self.realm)
            .with_quoted("nonce", &*self.nonce)
            .with_quoted("uri", &*self.uri)
            .with_quoted("response", &*self.response)
            .with_token("algorithm", self.algorithm.token());
        if let Some(opaque) = &self.opaque {
            params = params.with_quoted("opaque", &**opaque);
        }
        if let Some(quality) = &self.quality {
            params = with_quality(params, quality);
        }
        if self.user_hash {
            params = params.with_token("userhash", "true");
        }
        header::Credentials {
            scheme: SCHEME.into(),
            params,
        }
    }

    /// RFC 7616 sections 3.4.1 to 3.4.3; with an empty method and the response's body, section 3.5.
    fn proof(&self, ha1: &Secret, method: &str, body: &[u8]) -> String {
        let algorithm = self.algorithm;
        let cnonce = self.quality.as_ref().map_or("", |quality| &quality.cnonce);
        let session = algorithm.is_session().then(|| {
            Secret::new(algorithm.hash(&[ha1.expose().as_bytes(), self.nonce.as_bytes(), cnonce.as_bytes()]))
        });
        let key = session.as_ref().unwrap_or(ha1).expose().as_bytes();
        let (method, uri, nonce) = (method.as_bytes(), self.uri.as_bytes(), self.nonce.as_bytes());
        let Some(quality) = &self.quality else {
            let ha2 = algorithm.hash(&[method, uri]);
            return algorithm.hash(&[key, nonce, ha2.as_bytes()]);
        };
        let ha2 = match quality.qop {
            Qop::Auth => algorithm.hash(&[method, uri]),
            Qop::AuthInt => algorithm.hash(&[method, uri, algorithm.hash(&[body]).as_bytes()]),
        };
        let count = format!("{:08x}", quality.count);
        let qop = quality.qop.token().as_bytes();
        algorithm.hash(&[
            key,
            nonce,
            count.as_bytes(),
            cnonce.as_bytes(),
            qop,
            ha2.as_bytes(),
        ])
    }
}

impl fmt::Debug for Authorization {
    /// Leaves out the proof: with it, a password can be guessed at leisure.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorization")
            .field("user", &self.user)
            .field("realm", &self.realm)
            .field("uri", &self.uri)
            .field("algorithm", &self.algorithm)
            .field("qop", &self.quality.as_ref().map(|quality| quality.qop))
            .field("count", &self.quality.as_ref().map(|quality| quality.count))
            .finish_non_exhaustive()
    }
}

/// What a server says after a good answer: Authentication-Info or Proxy-Authentication-Info (RFC 7616 section 3.5).
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Info {
    /// The nonce that it wants to see next.
    pub next_nonce: Option<String>,
    /// Its own proof that it knows the password.
    pub rspauth: Option<String>,
    /// The quality, count and cnonce of the answer that this is about.
    pub quality: Option<Quality>,
}

impl Info {
    /// A server's proof for the response with this body to the request that brought `authorization`.
    pub fn new(authorization: &Authorization, ha1: &Secret, body: &[u8], next_nonce: Option<String>) -> Self {
        let rspauth = Some(authorization.proof(ha1, "", body));
        Self {
            next_nonce,
            rspauth,
            quality: authorization.quality.clone(),
        }
    }

    /// Reads the parameters of the header field.
    ///
    /// # Errors
    /// A quality that is not known or lacks its count or cnonce.
    pub fn read(info: &header::AuthInfo<'_>) -> Result<Self, ParseError> {
        let error = |what| ParseError::header(HeaderName::AuthenticationInfo, what);
        let get = |name| info.get(name).map(Cow::into_owned);
        let quality = match get("qop") {
            None => None,
            Some(token) => Some(Quality {
                qop: Qop::from_token(&token).ok_or_else(|| error("unknown qop"))?,
                count: get("nc")
                    .as_deref()
                    .and_then(count)
                    .ok_or_else(|| error("bad nc"))?,
                cnonce: get("cnonce").ok_or_else(|| error("cnonce missing"))?,
            }),
        };
        Ok(Self {
            next_nonce: get("nextnonce"),
            rspauth: get("rspauth"),
            quality,
        })
    }

    /// Whether this is about the request that brought `authorization`, and its proof, where there is one, is right for
    /// a response with this body. It is about it where it says so by count and cnonce, or names neither.
    pub fn verify(&self, authorization: &Authorization, ha1: &Secret, body: &[u8]) -> bool {
        let belongs = self.quality.is_none() || self.quality == authorization.quality;
        belongs
            && self.rspauth.as_ref().is_none_or(|rspauth| {
                let expected = authorization.proof(ha1, "", body);
                same(expected.as_bytes(), rspauth.to_ascii_lowercase().as_bytes())
            })
    }

    /// The header field value.
    pub fn to_header(&self) -> header::AuthInfo<'_> {
        let mut params = AuthParams::new();
        if let Some(nonce) = &self.next_nonce {
            params = params.with_quoted("nextnonce", &**nonce);
        }
        if let Some(rspauth) = &self.rspauth {
            params = params.with_quoted("rspauth", &**rspauth);
        }
        if let Some(quality) = &self.quality {
            params = with_quality(params, quality);
        }
        header::AuthInfo { scheme: None, params }
    }
}

/// `8LHEX` (RFC 3261 section 25.1). Capitals are refused: the text is part of what is hashed.
fn count(text: &str) -> Option<u32> {
    let is_lower_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let well_formed = text.len() == 8 && text.chars().all(is_lower_hex);
    well_formed.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

impl fmt::Debug for Info {
    /// Leaves out the proof, as [`Authorization`] does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Info")
            .field("next_nonce", &self.next_nonce)
            .field("quality", &self.quality)
            .finish_non_exhaustive()
    }
}

/// Adds what a quality of protection adds.
fn with_quality<'a>(params: AuthParams<'a>, quality: &'a Quality) -> AuthParams<'a> {
    params
        .with_quoted("cnonce", &*quality.cnonce)
        .with_token("qop", quality.qop.token())
        .with_token("nc", format!("{:08x}", quality.count))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::header::Header;

    fn signed(algorithm: Algorithm, qop: Option<Qop>, nonce: &str, cnonce: &str) -> Authorization {
        Authorization {
            user: String::new(),
            user_hash: false,
            realm: String::new(),
            nonce: nonce.into(),
            uri: String::new(),
            algorithm,
            opaque: None,
            quality: qop.map(|qop| Quality {
                qop,
                count: 1,
                cnonce: cnonce.into(),
            }),
            response: String::new(),
        }
    }

    fn of(mut authorization: Authorization, user: &str, realm: &str, uri: &str) -> Authorization {
        authorization.user = user.into();
        authorization.realm = realm.into();
        authorization.uri = uri.into();
        authorization
    }

    fn response(mut authorization: Authorization, password: &str, method: &str, body: &[u8]) -> String {
        let ha1 =
            authorization
                .algorithm
                .ha1(&authorization.user, &authorization.realm, &Secret::new(password));
        authorization.sign(&ha1, method, body);
        assert!(authorization.verify(&ha1, method, body));
        authorization.response
    }

    fn read_authorization(value: &str) -> Result<Authorization, ParseError> {
        Authorization::read(&header::Authorization::parse(value)?.0)
    }

    fn read_challenge(value: &str) -> Result<Challenge, ParseError> {
        Challenge::read(&header::WwwAuthenticate::parse(value)?.0)
    }

    // rules: A1, A8
    #[test]
    fn rfc_2617_section_3_5() {
        let nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093";
        let authorization = signed(Algorithm::Md5, Some(Qop::Auth), nonce, "0a4f113b");
        let authorization = of(authorization, "Mufasa", "testrealm@host.com", "/dir/index.html");
        assert_eq!(
            response(authorization, "Circle Of Life", "GET", b""),
            "6629fae49393a05397450978507c4ef1"
        );
    }

    // rules: A1, A8
    #[test]
    fn rfc_7616_section_3_9_1() {
        let expected = [
            (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
            (
                Algorithm::Sha256,
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
        ];
        let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        for (algorithm, expected) in expected {
            let authorization = signed(algorithm, Some(Qop::Auth), nonce, cnonce);
            let authorization = of(
                authorization,
                "Mufasa",
                "http-auth@example.org",
                "/dir/index.html",
            );
            assert_eq!(response(authorization, "Circle of Life", "GET", b""), expected);
        }
    }

    // The values of erratum 4897; the section as printed has those of a shortened SHA-512.
    // rules: A1
    #[test]
    fn rfc_7616_section_3_9_2() {
        let nonce = "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK";
        let cnonce = "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v";
        let authorization = signed(Algorithm::Sha512_256, Some(Qop::Auth), nonce, cnonce);
        let user = "J\u{e4}s\u{f8}n Doe";
        let mut authorization = of(authorization, user, "api@example.org", "/doe.json");
        assert_eq!(
            response(authorization.clone(), "Secret, or not?", "GET", b""),
            "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"
        );
        assert!(authorization.is_of(user));
        authorization.user = "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b".into();
        authorization.user_hash = true;
        assert!(authorization.is_of(user));
        assert!(!authorization.is_of("Jason Doe"));
    }

    // The published SIP examples of draft-smith-sipping-auth-examples-01, sections 3.1, 3.3 and 3.4.
    // rules: A1, A8
    #[test]
    fn sip_examples_with_and_without_quality_and_session() {
        let expected = [
            (Algorithm::Md5, None, "bf57e4e0d0bffc0fbaedce64d59add5e"),
            (
                Algorithm::Md5,
                Some(Qop::Auth),
                "89eb0059246c02b2f6ee02c7961d5ea3",
            ),
            (
                Algorithm::Md5Sess,
                Some(Qop::Auth),
                "e4e4ea61d186d07a92c9e1f6919902e9",
            ),
        ];
        for (algorithm, qop, expected) in expected {
            let authorization = signed(algorithm, qop, "dcd98b7102dd2f0e8b11d0f600bfb0c093", "0a4f113b");
            let authorization = of(authorization, "bob", "biloxi.com", "sip:bob@biloxi.com");
            assert_eq!(
                response(authorization, "zanzibar", "INVITE", b"v=0\r\n"),
                expected
            );
        }
    }

    // RFC 3261 section 22.4 and RFC 7616 section 3.4: what has quotes and what has none.
    #[test]
    fn header_values_quote_what_the_grammar_quotes() {
        let mut authorization = signed(Algorithm::Sha256, Some(Qop::AuthInt), "n\"1", "c1");
        authorization.opaque = Some(String::from("o\\p"));
        authorization.response = String::from("00ff");
        let authorization = of(authorization, "bob", "biloxi.com", "sip:bob@biloxi.com");
        assert_eq!(
            written(&authorization),
            "Digest username=\"bob\", realm=\"biloxi.com\", nonce=\"n\\\"1\", uri=\"sip:bob@biloxi.com\", \
             response=\"00ff\", algorithm=SHA-256, opaque=\"o\\\\p\", cnonce=\"c1\", qop=auth-int, nc=00000001"
        );
        assert_eq!(read_authorization(&written(&authorization)), Ok(authorization));

        let mut challenge = Challenge::new("biloxi.com", "n1", Algorithm::Sha512_256);
        challenge.qop.push(Qop::AuthInt);
        challenge.stale = true;
        let value = header::to_string(&header::WwwAuthenticate(challenge.to_header()));
        assert_eq!(
            value,
            "Digest realm=\"biloxi.com\", nonce=\"n1\", algorithm=SHA-512-256, qop=\"auth,auth-int\", stale=true"
        );
        assert_eq!(read_challenge(&value), Ok(challenge));
    }

    // RFC 3261 section 20.44, and the spellings that servers use.
    #[test]
    fn challenges_of_real_servers_are_read() {
        let challenge = read_challenge(
            "Digest realm=\"atlanta.com\",\tdomain=\"sip:boxesbybob.com\", qop=\"auth\", \
             nonce=\"f84f1cec41e6cbe5aea9c8e88d359\", opaque=\"\", stale=FALSE, algorithm=MD5",
        );
        let mut expected = Challenge::new("atlanta.com", "f84f1cec41e6cbe5aea9c8e88d359", Algorithm::Md5);
        expected.opaque = Some(String::new());
        assert_eq!(challenge, Ok(expected.clone()));

        let challenge =
            read_challenge("DIGEST Realm=\"r\", NONCE=\"n\", Stale=\"TRUE\", qop=\"token, AUTH-INT,auth\"");
        expected = Challenge::new("r", "n", Algorithm::Md5);
        expected.stale = true;
        expected.qop = [Qop::AuthInt, Qop::Auth].into();
        assert_eq!(challenge, Ok(expected));

        let unusable = [
            "Digest nonce=\"n\"",
            "Digest realm=\"r\"",
            "Digest realm=\"r\", nonce=\"n\", algorithm=AKAv1-MD5",
            "Digest realm=\"r\", nonce=\"n\", qop=\"token\"",
            "Digest realm=\"r\", nonce=\"n\", algorithm=MD5-sess",
            "NTLM realm=\"r\", nonce=\"n\"",
        ];
        for value in unusable {
            assert!(read_challenge(value).is_err(), "{value}");
        }
    }

    #[test]
    fn bad_credentials_are_refused() {
        let good = "Digest username=\"u\", realm=\"r\", nonce=\"n\", uri=\"sip:a\", response=\"0\"";
        assert!(read_authorization(good).is_ok());
        for missing in ["username", "realm", "nonce", "uri", "response"] {
            assert!(
                read_authorization(&good.replace(missing, "x-other")).is_err(),
                "{missing}"
            );
        }
        let bad = [
            "qop=auth, cnonce=\"c\"",
            "qop=auth, cnonce=\"c\", nc=1",
            "qop=auth, cnonce=\"c\", nc=0000000A",
        ];
        let worse = [
            "qop=auth, nc=00000001",
            "qop=best, nc=00000001, cnonce=\"c\"",
            "algorithm=MD4",
            "algorithm=MD5-sess",
        ];
        for end in bad.into_iter().chain(worse) {
            assert!(read_authorization(&format!("{good}, {end}")).is_err(), "{end}");
        }
        assert!(read_authorization(&format!("{good}, qop=auth, cnonce=\"c\", nc=0000000a")).is_ok());
    }

    // RFC 7616 section 3.5: the server's proof is made like the client's, with no method.
    // rules: A8
    #[test]
    fn the_proof_of_the_server_is_checked() {
        let authorization = signed(Algorithm::Sha256, Some(Qop::AuthInt), "n", "c");
        let authorization = of(authorization, "bob", "biloxi.com", "sip:biloxi.com");
        let ha1 = Algorithm::Sha256.ha1("bob", "biloxi.com", &Secret::new("zanzibar"));
        let info = Info::new(&authorization, &ha1, b"body", Some(String::from("n2")));
        let value = header::to_string(&header::AuthenticationInfo(info.to_header()));
        assert_eq!(read_info(&value), Ok(info.clone()));
        assert!(info.verify(&authorization, &ha1, b"body"));
        assert!(!info.verify(&authorization, &ha1, b"other body"));
        let other = Algorithm::Sha256.ha1("bob", "biloxi.com", &Secret::new("guess"));
        assert!(!info.verify(&authorization, &other, b"body"));
        let other = Authorization {
            quality: signed(Algorithm::Sha256, Some(Qop::AuthInt), "n", "d").quality,
            ..authorization
        };
        assert!(!info.verify(&other, &ha1, b"body"));
    }

    // rules: A9
    #[test]
    fn debug_output_has_no_proof() {
        let mut authorization = signed(Algorithm::Md5, None, "n", "c");
        authorization.response = String::from("6629fae49393a05397450978507c4ef1");
        assert!(!format!("{authorization:?}").contains("6629"));
        let info = Info {
            rspauth: Some(authorization.response),
            ..Info::default()
        };
        assert!(!format!("{info:?}").contains("6629"));
    }

    fn read_info(value: &str) -> Result<Info, ParseError> {
        Info::read(&header::AuthenticationInfo::parse(value)?.0)
    }

    fn written(authorization: &Authorization) -> String {
        header::to_string(&header::Authorization(authorization.to_header()))
    }

    fn texts() -> impl Strategy<Value = [String; 6]> {
        core::array::from_fn::<_, 6, _>(|_| "[^\\p{Cc}]{0,12}")
    }

    proptest! {
        #[test]
        fn any_value_is_read_or_refused(value in "\\PC*", parameters in "(NTLM|Digest|digest) ([a-z]{1,9}=(\"\\PC{0,9}\"|[a-z0-9]{1,9}),? ?){0,9}") {
            for value in [value, parameters] {
                let _ = read_challenge(&value);
                let _ = read_authorization(&value);
                let _ = read_info(&value);
            }
        }

        // rules: A1, A8
        #[test]
        fn what_is_signed_is_verified_after_the_wire(
            [user, realm, nonce, uri, password, cnonce] in texts(),
            which in 0usize..6, form in 0usize..3, count in 1u32.., body in "\\PC*", hashed: bool,
        ) {
            let algorithm = Algorithm::ALL[which];
            let qop = [Some(Qop::Auth), Some(Qop::AuthInt), None][form];
            prop_assume!(qop.is_some() || !algorithm.is_session());
            let mut authorization = of(signed(algorithm, qop, &nonce, &cnonce), &user, &realm, &uri);
            authorization.opaque = hashed.then(|| nonce.clone());
            if hashed {
                authorization.user_hash = true;
                authorization.user = algorithm.user_hash(&user, &realm);
            }
            if let Some(quality) = &mut authorization.quality {
                quality.count = count;
            }
            let ha1 = algorithm.ha1(&user, &realm, &Secret::new(password.clone()));
            authorization.sign(&ha1, "MESSAGE", body.as_bytes());
            let read = read_authorization(&written(&authorization)).unwrap();
            prop_assert_eq!(&read, &authorization);
            prop_assert!(read.is_of(&user));
            prop_assert!(read.verify(&ha1, "MESSAGE", body.as_bytes()));
            prop_assert!(!read.verify(&ha1, "INVITE", body.as_bytes()));
            let other = algorithm.ha1(&user, &realm, &Secret::new(password + "x"));
            prop_assert!(!read.verify(&other, "MESSAGE", body.as_bytes()));
        }
    }
}
