//! Associations against a server of this file, which signs and verifies with the keys of its side.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::AuthenticationFailureReason as Reason;
use super::AuthenticationProtocol::{DigestMd5, DigestSha256, DigestSha512_256};
use super::*;
use crate::action::Action;
use crate::connection::testing::Services;
use crate::event::Event;
use crate::ids::{ConnId, EndpointId, ExchangeId, FromNumber};
use crate::security::ms::{self, Info, Mic, Signature};
use crate::security::ntlm::server::{Authenticate, OFFERED, Offer};
use crate::security::ntlm::{self, FileTime, Flags, Keys, NtHash};
use crate::security::signing::{self, Stamp};
use crate::security::{Credentials, KerberosFailureKind, MessageSecurity, Secret, SecurityContext};
use crate::time::UnixTime;
use crate::timers::TimerKey;
use crate::wire::header::{AuthenticationInfo, Authorization, WwwAuthenticate};
use crate::wire::write::with_header;
use crate::wire::{Message, MessageLimits, Method};

const REALM: &str = "SIP Communications Service";
const TARGET: &str = "fe.example.com";
const OPAQUE: &str = "85185AE4";
/// What the clocks of both sides show.
const NOW: UnixTime = UnixTime(1_164_563_000);

fn parse(bytes: impl AsRef<[u8]>) -> Message {
    Message::parse(Bytes::copy_from_slice(bytes.as_ref()), &MessageLimits::default()).unwrap()
}

fn text(first: &str, number: u32, method: &str, more: &str) -> String {
    format!(
        "{first}\r\nVia: SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bK{number}\r\nFrom: <sip:alice@example.com>;tag=a;epid=01\r\n\
         To: <sip:alice@example.com>\r\nCall-ID: c\r\nCSeq: {number} {method}\r\n{more}Content-Length: 0\r\n\r\n"
    )
}

fn request(method: &str, number: u32) -> Bytes {
    Bytes::from(text(
        &format!("{method} sip:example.com SIP/2.0"),
        number,
        method,
        "",
    ))
}

/// The server side of one association.
struct Server {
    version: Option<Version>,
    flags: Flags,
    nonce: [u8; 8],
    password: &'static str,
    keys: Option<Keys>,
    /// The numbers of the client's messages.
    taken: Vec<u32>,
    snum: u32,
}

impl Server {
    fn new(version: u32) -> Self {
        Self {
            version: Version::at_most(version).filter(|_| version > 2),
            flags: OFFERED,
            nonce: [1, 2, 3, 4, 5, 6, 7, 8],
            password: "Pa55word",
            keys: None,
            taken: Vec::new(),
            snum: 0,
        }
    }

    fn version(&self) -> Version {
        self.version.unwrap_or(Version::V2)
    }

    fn token(&self) -> Vec<u8> {
        Offer {
            flags: self.flags,
            nonce: self.nonce,
            version: [0; 8],
            domain: "EXAMPLE".into(),
            computer: "FE".into(),
            dns_domain: "example.com".into(),
            dns_computer: TARGET.into(),
            time: Some(FileTime::from_unix(NOW)),
        }
        .write()
        .unwrap()
    }

    /// A 401 to this request, with the token or without, and with more fields.
    fn challenge(&self, number: u32, method: &str, token: bool, more: &str) -> Message {
        let challenge = ms::Challenge {
            scheme: Scheme::Ntlm,
            realm: REALM,
            target: TARGET,
            version: self.version,
            opaque: token.then_some(OPAQUE),
            token: token.then(|| self.token()),
            sts_uri: None,
        };
        let response = text("SIP/2.0 401 Unauthorized", number, method, more);
        parse(with_header(
            response.as_bytes(),
            &WwwAuthenticate(challenge.to_header()),
        ))
    }

    /// What the client's message says of its credentials; its signature is verified, where there is one.
    fn take(&mut self, bytes: &Bytes) -> Seen {
        let message = parse(bytes);
        let Some(Ok(Authorization(field))) = message.list::<Authorization<'_>>().next() else {
            return Seen::default();
        };
        let credentials = ms::Credentials::read(&field).unwrap();
        assert_eq!((credentials.realm, credentials.target), (REALM, TARGET));
        let token = credentials.token.clone();
        if let Some(token) = token.as_deref().filter(|token| !token.is_empty()) {
            let challenge = self.token();
            let challenge = ntlm::Challenge::parse(&challenge).unwrap();
            let hash = NtHash::of(&Secret::new(self.password));
            let answer = Authenticate::parse(token).unwrap();
            assert_eq!((answer.user(), answer.domain()), ("alice", "EXAMPLE"));
            self.keys = answer.verify(&challenge, &hash).ok();
        }
        let mut number = None;
        if let (Some(stamp), Some(signature)) = (credentials.stamp(), &credentials.signature) {
            let mut buffer = Vec::new();
            signing::buffer(&mut buffer, self.version(), &stamp, &message).unwrap();
            let keys = self.keys.as_ref().unwrap();
            assert!(keys.verify(&buffer, &signature.mic), "{bytes:?}");
            assert!(!self.taken.contains(&signature.number), "each number once");
            self.taken.push(signature.number);
            number = Some(signature.number);
        }
        Seen {
            token: token.map(|token| token.len()),
            opaque: credentials.opaque.map(ToString::to_string),
            number,
        }
    }

    /// A message of the server with the next number.
    fn sign(&mut self, message: &str) -> Message {
        self.snum += 1;
        self.sign_as(message, self.snum, OPAQUE)
    }

    fn sign_as(&self, message: &str, number: u32, opaque: &str) -> Message {
        let stamp = Stamp {
            scheme: Scheme::Ntlm,
            random: "9616454F",
            number,
            realm: REALM,
            target: TARGET,
        };
        let mut buffer = Vec::new();
        signing::buffer(&mut buffer, self.version(), &stamp, &parse(message)).unwrap();
        let info = Info {
            scheme: Scheme::Ntlm,
            realm: REALM,
            target: TARGET,
            opaque: Some(opaque),
            version: None,
            token: None,
            signature: Some(Signature {
                random: "9616454F".into(),
                number,
                mic: Mic::new(&self.keys.as_ref().unwrap().sign(&buffer)),
            }),
        };
        parse(with_header(
            message.as_bytes(),
            &AuthenticationInfo(info.to_header()),
        ))
    }
}

/// Credentials as the server sees them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    token: Option<usize>,
    opaque: Option<String>,
    number: Option<u32>,
}

/// A client with one endpoint, and what it needs.
struct Client {
    services: Services,
    table: AuthTable,
    endpoint: EndpointId,
    conn: ConnId,
    attempt: Attempt,
}

const LEADER: u64 = 70;

impl Client {
    fn new(change: impl FnOnce(&mut Login)) -> Self {
        let mut services = Services::new();
        services.unix = NOW;
        let mut table = AuthTable::new(services.entropy.hash_key());
        let endpoint = EndpointId::from_number(3);
        let credentials = Credentials::new("alice", Secret::new("Pa55word")).with_domain("EXAMPLE");
        let mut login = Login {
            credentials: vec![credentials],
            default_credential: false,
            allowed: AllowedProtocols::all(),
            policy: AssociationPolicy::default(),
            epid: "01".into(),
        };
        change(&mut login);
        table.insert(endpoint, login);
        Self {
            services,
            table,
            endpoint,
            conn: ConnId::from_number(9),
            attempt: Attempt::default(),
        }
    }

    fn challenged(&mut self, by: &Message) -> Result<Next, Reason> {
        self.challenged_over(by, LEADER, true)
    }

    fn challenged_over(&mut self, by: &Message, exchange: u64, secure: bool) -> Result<Next, Reason> {
        let challenged = Challenged {
            endpoint: self.endpoint,
            exchange: ExchangeId::from_number(exchange),
            conn: Some(self.conn),
            secure,
            response: by,
        };
        let cx = &mut self.services.cx();
        let next = self.table.handle_challenge(cx, challenged, &mut self.attempt);
        next.map_err(|failure| failure.reason)
    }

    /// The leader's request as it goes out.
    fn lead(&mut self, number: u32) -> Bytes {
        let bytes = request("REGISTER", number);
        let cx = &mut self.services.cx();
        let leader = (ExchangeId::from_number(LEADER), self.conn);
        let bytes = self.table.stamp(cx, self.endpoint, leader, bytes);
        self.seal(bytes)
    }

    fn seal(&mut self, bytes: Bytes) -> Bytes {
        self.table.seal(&mut self.services.cx(), self.conn, bytes)
    }

    fn admit(&mut self, message: &Message) -> Admission {
        self.table.admit(&mut self.services.cx(), self.conn, message)
    }

    fn succeed(&mut self) -> bool {
        let leader = ExchangeId::from_number(LEADER);
        let cx = &mut self.services.cx();
        self.table.handle_final(cx, self.endpoint, leader, true)
    }

    fn events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(action) = self.services.out.pop() {
            if let Action::Event(event) = action {
                events.push(event);
            }
        }
        events
    }

    /// The whole handshake.
    fn log_on(&mut self, server: &mut Server) {
        let first = server.challenge(1, "REGISTER", false, "");
        assert_eq!(self.challenged(&first), Ok(Next::Again));
        let bytes = self.lead(2);
        server.take(&bytes);
        let second = server.challenge(2, "REGISTER", true, "");
        assert_eq!(self.challenged(&second), Ok(Next::Again));
        let bytes = self.lead(3);
        server.take(&bytes);
        assert!(self.succeed());
        self.attempt = Attempt::default();
    }
}

fn message(number: u32) -> String {
    text("MESSAGE sip:alice@192.0.2.1 SIP/2.0", number, "MESSAGE", "")
}

fn response(status: &str, method: &str) -> String {
    text(&format!("SIP/2.0 {status}"), 9, method, "")
}

// rules: A3
#[test]
fn a_set_of_protocols_has_what_was_put_in() {
    assert_eq!(AllowedProtocols::default(), AllowedProtocols::all());
    for protocol in AuthenticationProtocol::ALL {
        assert!(AllowedProtocols::all().contains(protocol));
        assert!(!AllowedProtocols::none().contains(protocol));
        assert!(!AllowedProtocols::all().without(protocol).contains(protocol));
    }
    let strong = AllowedProtocols::at_least(DigestSha256);
    assert_eq!(
        strong,
        AllowedProtocols::none()
            .with(AuthenticationProtocol::Kerberos)
            .with(AuthenticationProtocol::Ntlm)
            .with(DigestSha512_256)
            .with(DigestSha256)
    );
    assert!(!strong.contains(DigestMd5));
    assert_eq!(
        format!("{strong:?}"),
        "{DigestSha256, DigestSha512_256, Ntlm, Kerberos}"
    );
}

// rules: A7
#[test]
fn a_failure_names_realm_and_offer() {
    let offered = |scheme: &str, algorithm: Option<&str>| OfferedProtocol {
        scheme: scheme.into(),
        algorithm: algorithm.map(Into::into),
        realm: Some("example.com".into()),
    };
    let failure = AuthenticationFailure {
        reason: AuthenticationFailureReason::NoCommonProtocols,
        realm: Some("example.com".into()),
        offered: vec![offered("Digest", Some("AKAv1-MD5")), offered("NTLM", None)],
        kerberos: None,
    };
    assert_eq!(
        format!("{failure}"),
        "no authentication protocol in common for realm \"example.com\"; offered: Digest AKAv1-MD5, NTLM"
    );
}

// ---------------------------------------------------------------- the handshake

// rules: A1, A4
#[test]
fn the_request_with_the_last_token_is_signed_from_version_4_on_and_all_that_follow_are() {
    for (version, first) in [(2, None), (3, None), (4, Some(1))] {
        let mut server = Server::new(version);
        let mut client = Client::new(|login| login.policy.least_version = 2);
        let challenge = server.challenge(1, "REGISTER", false, "");
        assert_eq!(client.challenged(&challenge), Ok(Next::Again));
        // An empty token asks for the server's.
        let opening = client.lead(2);
        assert_eq!(
            server.take(&opening),
            Seen {
                token: Some(0),
                ..Seen::default()
            }
        );
        let challenge = server.challenge(2, "REGISTER", true, "");
        assert_eq!(client.challenged(&challenge), Ok(Next::Again));
        let seen = server.take(&client.lead(3));
        assert!(seen.token.is_some_and(|length| length > 72), "{seen:?}");
        assert_eq!((seen.opaque.as_deref(), seen.number), (Some(OPAQUE), first));
        assert!(client.succeed());
        assert!(matches!(
            &client.events()[..],
            [Event::Associated { protocol: AuthenticationProtocol::Ntlm, realm, target, version: spoken, .. }]
                if realm == REALM && target == TARGET && *spoken == version
        ));
        // Requests and responses count together, from 1; each is signed by itself.
        for number in first.unwrap_or(0) + 1..4 {
            let bytes = if number == 2 {
                Bytes::from(response("200 OK", "MESSAGE"))
            } else {
                request("MESSAGE", number)
            };
            let seen = server.take(&client.seal(bytes));
            assert_eq!(
                (seen.number, seen.token),
                (Some(number), None),
                "version {version}"
            );
        }
        assert_eq!(
            client.table.protocol(client.endpoint),
            Some(AuthenticationProtocol::Ntlm)
        );
    }
}

// rules: A7
#[test]
fn a_wrong_password_is_tried_once_and_wrong_clocks_are_told_apart() {
    // MS-SIP section 3.1.5.1: a quarter of an hour.
    for (server_time, expected) in [
        ("", Reason::InvalidCredentials),
        (
            "Date: Sun, 26 Nov 2006 17:58:20 GMT\r\n",
            Reason::InvalidCredentials,
        ),
        ("Date: Sun, 26 Nov 2006 17:58:21 GMT\r\n", Reason::SkewedClock),
    ] {
        let server = Server::new(4);
        let mut client = Client::new(|_| {});
        client
            .challenged(&server.challenge(1, "REGISTER", false, server_time))
            .unwrap();
        client.lead(2);
        client
            .challenged(&server.challenge(2, "REGISTER", true, ""))
            .unwrap();
        client.lead(3);
        let refused = client.challenged(&server.challenge(3, "REGISTER", false, ""));
        assert_eq!(refused, Err(expected), "{server_time}");
        assert!(!client.succeed(), "the handshake is over");
    }
}

// rules: A5, A7
#[test]
fn a_server_that_has_taken_the_credentials_before_is_asked_once_more() {
    let mut server = Server::new(4);
    let mut client = Client::new(|_| {});
    client.log_on(&mut server);
    client.table.handle_lost(&mut client.services.cx(), client.conn);
    let token = |client: &mut Client, server: &Server| {
        client
            .challenged(&server.challenge(2, "REGISTER", true, ""))
            .unwrap();
        client.lead(3);
    };
    let fresh = server.challenge(1, "REGISTER", false, "");
    client.challenged(&fresh).unwrap();
    token(&mut client, &server);
    // It has started anew in the midst of the handshake, and does not know of it.
    assert_eq!(client.challenged(&fresh), Ok(Next::Again));
    token(&mut client, &server);
    assert_eq!(client.challenged(&fresh), Err(Reason::InvalidCredentials));
    client.attempt = Attempt::default();
    client.challenged(&fresh).unwrap();
    token(&mut client, &server);
    assert_eq!(
        client.challenged(&fresh),
        Err(Reason::InvalidCredentials),
        "not each time"
    );
}

// rules: A7
#[test]
fn a_server_that_challenges_for_ever_is_given_up() {
    let server = Server::new(4);
    // Asked for its token, it only asks again.
    let mut client = Client::new(|_| {});
    let challenge = server.challenge(1, "REGISTER", false, "");
    assert_eq!(client.challenged(&challenge), Ok(Next::Again));
    assert_eq!(client.challenged(&challenge), Err(Reason::NoCommonProtocols));
    // It takes every handshake, and asks anew.
    let mut client = Client::new(|_| {});
    for _ in 0..3 {
        client.challenged(&challenge).unwrap();
        client
            .challenged(&server.challenge(2, "REGISTER", true, ""))
            .unwrap();
        assert!(client.succeed());
    }
    assert_eq!(client.challenged(&challenge), Err(Reason::InvalidCredentials));
}

// rules: A3, A9
#[test]
fn what_is_too_weak_is_not_answered() {
    let offer = |version, flags, allow: &dyn Fn(&mut Login), secure| {
        let mut server = Server::new(version);
        server.flags = flags;
        let mut client = Client::new(|login| allow(login));
        let first = server.challenge(1, "REGISTER", false, "");
        let begun = client.challenged_over(&first, LEADER, secure);
        begun.and_then(|_| client.challenged_over(&server.challenge(2, "REGISTER", true, ""), LEADER, secure))
    };
    let all = |_: &mut Login| {};
    assert_eq!(offer(4, OFFERED, &all, true), Ok(Next::Again));
    let none = Err(Reason::NoCommonProtocols);
    assert_eq!(
        offer(2, OFFERED, &all, true),
        none,
        "the version is below the floor"
    );
    assert_eq!(
        offer(2, OFFERED, &|login| login.policy.least_version = 2, true),
        Ok(Next::Again)
    );
    assert_eq!(offer(4, OFFERED, &all, false), none, "the connection is not TLS");
    assert_eq!(
        offer(4, OFFERED, &|login| login.policy.without_tls = true, false),
        Ok(Next::Again)
    );
    let digest =
        |login: &mut Login| login.allowed = AllowedProtocols::all().without(AuthenticationProtocol::Ntlm);
    assert_eq!(offer(4, OFFERED, &digest, true), none, "it is not allowed");
    // NTLMSSP_NEGOTIATE_EXTENDED_SESSIONSECURITY, MS-NLMP section 2.2.2.5.
    let weak = Flags(OFFERED.0 & !0x0008_0000);
    assert_eq!(
        offer(4, weak, &all, true),
        none,
        "without extended session security"
    );
    let foreign = |login: &mut Login| {
        for credentials in &mut login.credentials {
            credentials.realm = Some("elsewhere".into());
        }
    };
    assert_eq!(offer(4, OFFERED, &foreign, true), Err(Reason::MissingCredentials));
}

// rules: A3
#[test]
fn ntlm_is_stronger_than_digest_and_tls_dsk_is_passed_over() {
    let server = Server::new(4);
    let mut client = Client::new(|_| {});
    let more = "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"n\", qop=\"auth\"\r\n\
                WWW-Authenticate: TLS-DSK realm=\"SIP Communications Service\", targetname=\"fe.example.com\", version=4\r\n";
    let challenge = server.challenge(1, "REGISTER", false, more);
    assert_eq!(client.challenged(&challenge), Ok(Next::Again));
    assert!(to_string_of(&client.lead(2)).contains("Authorization: NTLM"));
    // A Digest beside it is answered where NTLM may not be.
    let mut client = Client::new(|_| {});
    let fields = |client: &mut Client| {
        let cx = &mut client.services.cx();
        let (id, attempt) = (client.endpoint, &mut client.attempt);
        client
            .table
            .authorize(cx.entropy, id, attempt, &Method::Register, "sip:example.com", b"")
    };
    assert_eq!(fields(&mut client), []);
    assert_eq!(client.challenged_over(&challenge, LEADER, false), Ok(Next::Again));
    let fields = fields(&mut client);
    assert_eq!(fields.len(), 1);
    assert!(fields[0].1.starts_with("Digest "));
}

// MS-SIP section 3.1.5.1: the target of Kerberos is the principal of a service, `sip/` and the name of a host. A server that
// names another service would have a ticket for it.
// rules: A9, A11
#[test]
fn a_ticket_is_asked_for_a_server_of_sip_alone() {
    let ask = |target: &str| {
        let field =
            format!("WWW-Authenticate: Kerberos realm=\"{REALM}\", targetname=\"{target}\", version=4\r\n");
        let response = text("SIP/2.0 401 Unauthorized", 1, "REGISTER", &field);
        let mut client = Client::new(|_| {});
        let next = client.challenged(&parse(&response));
        let wanted = client.services.out.pop();
        (next, wanted)
    };
    for target in ["sip/fe.example.com", "SIP/fe.example.com"] {
        let (next, wanted) = ask(target);
        assert_eq!(next, Ok(Next::Wait));
        let Some(Action::Authenticate(wanted)) = wanted else {
            panic!("{wanted:?}")
        };
        assert_eq!(wanted.target, target);
        let user = wanted.credentials.unwrap();
        assert_eq!(
            (user.user.as_str(), user.domain.as_deref()),
            ("alice", Some("EXAMPLE"))
        );
    }
    for target in [
        "http/fe.example.com",
        "fe.example.com",
        "sip/",
        "sip",
        "",
        "sip/fe.example.com/http",
        "sip/fe@OTHER.EXAMPLE",
        "sip/a\\b",
    ] {
        assert_eq!(ask(target), (Err(Reason::NoCommonProtocols), None), "{target}");
    }
}

fn to_string_of(bytes: &Bytes) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

// rules: A5
#[test]
fn one_request_leads_and_the_others_wait() {
    let server = Server::new(4);
    let mut client = Client::new(|_| {});
    let first = server.challenge(1, "REGISTER", false, "");
    client.challenged(&first).unwrap();
    let other = server.challenge(7, "MESSAGE", false, "");
    let mut attempt = Attempt::default();
    core::mem::swap(&mut client.attempt, &mut attempt);
    assert_eq!(client.challenged_over(&other, LEADER + 1, true), Ok(Next::Wait));
    assert_eq!(
        client.table.leader(client.endpoint),
        Some(ExchangeId::from_number(LEADER))
    );
    // Who leads and is no more leaves the place to the next.
    client
        .table
        .abandon(client.endpoint, ExchangeId::from_number(LEADER + 1));
    assert_eq!(
        client.table.leader(client.endpoint),
        Some(ExchangeId::from_number(LEADER))
    );
    client
        .table
        .abandon(client.endpoint, ExchangeId::from_number(LEADER));
    assert_eq!(client.challenged_over(&other, LEADER + 1, true), Ok(Next::Again));
}

// ---------------------------------------------------------------- what comes in

// rules: A4
#[test]
fn what_real_servers_do_not_sign_is_taken_unless_the_policy_is_strict() {
    for strict in [false, true] {
        let mut server = Server::new(4);
        let mut client = Client::new(|login| login.policy.strict = strict);
        for text in [message(1), response("200 OK", "MESSAGE")] {
            assert_eq!(
                client.admit(&parse(&text)),
                Admission::Taken,
                "there is no association yet"
            );
        }
        client.log_on(&mut server);
        let refused = if strict {
            Admission::Unsigned
        } else {
            Admission::Taken
        };
        for (text, expected) in [
            (message(1), Admission::Unsigned),
            (response("200 OK", "MESSAGE"), Admission::Unsigned),
            (response("503 Service Unavailable", "INVITE"), Admission::Unsigned),
            (response("180 Ringing", "INVITE"), refused),
            (response("401 Unauthorized", "MESSAGE"), refused),
            (response("407 Proxy Authentication Required", "INVITE"), refused),
            (response("200 OK", "REGISTER"), refused),
        ] {
            assert_eq!(client.admit(&parse(&text)), expected, "{strict}: {text}");
            assert_eq!(
                client.admit(&server.sign(&text)),
                Admission::Taken,
                "{strict}: {text}"
            );
        }
    }
}

// rules: A4
#[test]
fn a_forged_a_replayed_and_a_foreign_signature_drop_the_message() {
    let mut server = Server::new(4);
    let mut client = Client::new(|_| {});
    client.log_on(&mut server);
    let good = server.sign(&message(1));
    assert_eq!(client.admit(&good), Admission::Taken);
    assert_eq!(client.admit(&good), Admission::Replayed);
    // What is signed has been changed: another sender.
    let changed = to_string_of(server.sign(&message(2)).bytes())
        .replace("sip:alice@example.com>;tag=a", "sip:mallory@example.com>;tag=a");
    assert_eq!(client.admit(&parse(&changed)), Admission::Forged);
    // A bad one is bad where it would not have to be there at all.
    let changed =
        to_string_of(server.sign(&response("200 OK", "REGISTER")).bytes()).replace("200 OK", "202 Ok");
    assert_eq!(client.admit(&parse(&changed)), Admission::Forged);
    let foreign = server.sign_as(&message(3), 200, "00000000");
    assert_eq!(
        client.admit(&foreign),
        Admission::Forged,
        "of an association that there is not"
    );
    let mut other = Server::new(4);
    let mut stranger = Client::new(|_| {});
    stranger.services.entropy = crate::entropy::Entropy::new([1; 32]);
    stranger.log_on(&mut other);
    assert_eq!(
        client.admit(&other.sign_as(&message(4), 201, OPAQUE)),
        Admission::Forged
    );
    // MS-SIP section 3.1.1: as late as 256 numbers, and no later.
    assert_eq!(
        client.admit(&server.sign_as(&message(5), 1000, OPAQUE)),
        Admission::Taken
    );
    assert_eq!(
        client.admit(&server.sign_as(&message(6), 745, OPAQUE)),
        Admission::Taken
    );
    assert_eq!(
        client.admit(&server.sign_as(&message(7), 744, OPAQUE)),
        Admission::Replayed
    );
}

// rules: A4
#[test]
fn the_answer_to_the_last_token_is_verified() {
    let mut server = Server::new(4);
    let mut client = Client::new(|_| {});
    client
        .challenged(&server.challenge(1, "REGISTER", false, ""))
        .unwrap();
    client
        .challenged(&server.challenge(2, "REGISTER", true, ""))
        .unwrap();
    server.take(&client.lead(3));
    let good = to_string_of(server.sign(&response("200 OK", "REGISTER")).bytes());
    // Real servers sign it, too; not all of them do.
    assert_eq!(
        client.admit(&parse(response("200 OK", "REGISTER"))),
        Admission::Taken
    );
    assert_eq!(
        client.admit(&parse(response("200 OK", "MESSAGE"))),
        Admission::Unsigned
    );
    let bad = good.replace("200 OK", "202 Ok");
    assert_eq!(client.admit(&parse(&bad)), Admission::Forged);
    // With the first one that is signed the handshake is over.
    let associated = Admission::Associated(client.endpoint);
    assert_eq!(client.admit(&parse(&good)), associated);
    assert_eq!(client.table.leader(client.endpoint), None);
    assert!(matches!(client.events()[..], [Event::Associated { .. }]));
    let next = server.sign(&response("200 OK", "REGISTER"));
    assert_eq!(client.admit(&next), Admission::Taken);
}

// rules: A3, A5
#[test]
fn a_ticket_that_is_not_given_is_no_handshake() {
    let server = Server::new(4);
    let more = "WWW-Authenticate: Kerberos realm=\"SIP Communications Service\", targetname=\"sip/fe.example.com\", version=4\r\n";
    let challenge = server.challenge(1, "REGISTER", false, more);
    let mut client = Client::new(|_| {});
    assert_eq!(client.challenged(&challenge), Ok(Next::Wait));
    let Some(Action::Authenticate(wanted)) = client.services.out.pop() else {
        panic!("it asks for a ticket")
    };
    let none = || Err(KerberosFailure::new(KerberosFailureKind::Unreachable));
    let leader = ExchangeId::from_number(LEADER);
    let told = client
        .table
        .handle_authenticated(wanted.endpoint, wanted.handshake, none());
    assert!(matches!(told, Some((who, Err(_))) if who == leader));
    assert_eq!(client.challenged(&challenge), Ok(Next::Again));
    assert!(to_string_of(&client.lead(2)).contains("Authorization: NTLM"));
    assert_eq!(client.attempt.handshakes, 1);
    // It is asked for once.
    let again = client
        .table
        .handle_authenticated(wanted.endpoint, wanted.handshake, none());
    assert!(again.is_none());
}

// MS-SIPAE: challenges are not signed. The REGISTER that asks for a new association is none of the old one, and so is its
// challenge.
// rules: A4, A5
#[test]
fn a_strict_endpoint_takes_the_challenge_that_it_has_asked_for() {
    let mut server = Server::new(4);
    let mut client = Client::new(|login| login.policy.strict = true);
    client.log_on(&mut server);
    let challenge = server.challenge(4, "REGISTER", false, "");
    assert_eq!(client.admit(&challenge), Admission::Unsigned);
    client.table.renew(client.endpoint);
    assert_eq!(client.admit(&challenge), Admission::Taken);
    let of_another = server.challenge(4, "MESSAGE", false, "");
    assert_eq!(client.admit(&of_another), Admission::Unsigned);
    let accepted = parse(response("200 OK", "REGISTER"));
    assert_eq!(client.admit(&accepted), Admission::Unsigned);
}

// rules: A4
#[test]
fn a_response_that_only_rings_makes_an_association_where_it_has_to_be_signed_only_with_a_signature() {
    for strict in [false, true] {
        let mut server = Server::new(4);
        let mut client = Client::new(|login| login.policy.strict = strict);
        for token in [false, true] {
            client
                .challenged(&server.challenge(1, "INVITE", token, ""))
                .unwrap();
        }
        server.take(&client.lead(3));
        let ringing = response("180 Ringing", "INVITE");
        let expected = if strict {
            Admission::Unsigned
        } else {
            Admission::Taken
        };
        assert_eq!(client.admit(&parse(&ringing)), expected);
        let associated = Admission::Associated(client.endpoint);
        let signed = server.sign(&ringing);
        assert_eq!(client.admit(&signed), associated);
    }
}

// The first request of a handshake says who it is for: a server that is another one is not shown what was made for the first.
// rules: A9, R9
#[test]
fn what_is_made_for_one_server_goes_with_its_connection_and_is_not_for_the_next() {
    let challenge = format!(
        "WWW-Authenticate: Kerberos realm=\"{REALM}\", targetname=\"sip/fe.example.com\", version=4\r\n"
    );
    let challenge = parse(text("SIP/2.0 401 Unauthorized", 1, "REGISTER", &challenge));
    let context = || {
        Ok(SecurityContext {
            token: Bytes::from_static(b"ticket"),
            lifetime: None,
            security: alloc::boxed::Box::new(Mute),
        })
    };
    let losses: [fn(&mut Client); 3] = [
        |client| {
            let over = client.table.handle_lost(&mut client.services.cx(), client.conn);
            assert_eq!(over[..], [client.endpoint]);
        },
        |client| client.table.redirect(&mut client.services.cx(), client.endpoint),
        |client| client.table.returned(&mut client.services.cx(), client.endpoint),
    ];
    for lose in losses {
        let mut client = Client::new(|_| {});
        assert_eq!(client.challenged(&challenge), Ok(Next::Wait));
        let Some(Action::Authenticate(wanted)) = client.services.out.pop() else {
            panic!("it asks for a ticket")
        };
        lose(&mut client);
        assert_eq!(client.table.leader(client.endpoint), None);
        let late = client
            .table
            .handle_authenticated(wanted.endpoint, wanted.handshake, context());
        assert!(late.is_none());
    }
    // After a redirect whoever the process is is shown in no other realm than before.
    let mut client = Client::new(|login| {
        login.credentials.clear();
        login.default_credential = true;
    });
    assert_eq!(client.challenged(&challenge), Ok(Next::Wait));
    client.table.redirect(&mut client.services.cx(), client.endpoint);
    assert_eq!(client.challenged(&challenge), Err(Reason::MissingCredentials));
}

/// A context whose ticket has ended.
#[derive(Debug)]
struct Mute;

impl MessageSecurity for Mute {
    fn sign(&mut self, _text: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn verify(&mut self, _text: &[u8], _signature: &[u8]) -> bool {
        false
    }

    fn share(&self) -> alloc::boxed::Box<dyn MessageSecurity> {
        alloc::boxed::Box::new(Self)
    }
}

// rules: A7, A9
#[test]
fn a_context_that_cannot_sign_is_no_wrong_password_and_no_token_is_shown() {
    let field = format!(
        "WWW-Authenticate: Kerberos realm=\"{REALM}\", targetname=\"sip/fe.example.com\", version=4\r\n"
    );
    let challenge = parse(text("SIP/2.0 401 Unauthorized", 1, "REGISTER", &field));
    let mut client = Client::new(|_| {});
    assert_eq!(client.challenged(&challenge), Ok(Next::Wait));
    let Some(Action::Authenticate(wanted)) = client.services.out.pop() else {
        panic!("it asks for a ticket")
    };
    let context = SecurityContext {
        token: Bytes::from_static(b"\x60ticket"),
        lifetime: None,
        security: alloc::boxed::Box::new(Mute),
    };
    let shown = |debug: String| assert!(!debug.contains("ticket") && !debug.contains("96, 116"), "{debug}");
    shown(format!("{context:?}"));
    client
        .table
        .handle_authenticated(wanted.endpoint, wanted.handshake, Ok(context));
    shown(format!("{:?}", client.table));
    client.lead(2);
    assert_eq!(
        client.challenged(&challenge),
        Err(Reason::NoAuthenticatingAuthority)
    );
}

// ---------------------------------------------------------------- its life

// rules: A5
#[test]
fn an_association_is_renewed_before_its_eight_hours_are_over() {
    let mut server = Server::new(4);
    let mut client = Client::new(|_| {});
    client.log_on(&mut server);
    let begun = client.services.now;
    let due = begun + Duration::from_secs(8 * 3600 - 300);
    let timers = &mut client.services.timers;
    assert!(timers.pop_due(due - Duration::from_millis(1)).is_none());
    assert_eq!(
        timers.pop_due(due),
        Some((due, TimerKey::Association(client.endpoint)))
    );
    client.table.renew(client.endpoint);
    // The REGISTER asks for a challenge; all else goes on under the old association until there is a new one.
    assert_eq!(server.take(&client.seal(request("REGISTER", 5))), Seen::default());
    assert!(server.take(&client.seal(request("MESSAGE", 6))).number.is_some());
    assert_eq!(client.admit(&server.sign(&message(1))), Admission::Taken);
    let mut renewed = Server::new(4);
    renewed.nonce = [9; 8];
    client.log_on(&mut renewed);
    assert!(
        renewed
            .take(&client.seal(request("REGISTER", 7)))
            .number
            .is_some()
    );
    assert_eq!(client.admit(&renewed.sign(&message(2))), Admission::Taken);
}

// rules: A5, A9
#[test]
fn an_association_ends_with_its_connection_and_with_its_server() {
    let ends: [fn(&mut Client); 4] = [
        |client| {
            client.table.handle_lost(&mut client.services.cx(), client.conn);
        },
        |client| client.table.redirect(&mut client.services.cx(), client.endpoint),
        |client| client.table.returned(&mut client.services.cx(), client.endpoint),
        |client| client.table.remove(&mut client.services.cx(), client.endpoint),
    ];
    for end in ends {
        let mut server = Server::new(4);
        let mut client = Client::new(|_| {});
        client.log_on(&mut server);
        end(&mut client);
        assert_eq!(server.take(&client.seal(request("MESSAGE", 5))), Seen::default());
        assert_eq!(client.admit(&parse(message(1))), Admission::Taken);
        assert_eq!(
            client.services.timers.len(),
            0,
            "the timer of its renewal is stopped"
        );
    }
}

// rules: A5, A7
#[test]
fn a_handshake_that_its_connection_cuts_off_is_no_wrong_password() {
    let mut server = Server::new(4);
    let mut client = Client::new(|_| {});
    client
        .challenged(&server.challenge(1, "REGISTER", false, ""))
        .unwrap();
    client.lead(2);
    client
        .challenged(&server.challenge(2, "REGISTER", true, ""))
        .unwrap();
    client.lead(3);
    client.table.handle_lost(&mut client.services.cx(), client.conn);
    client.conn = ConnId::from_number(10);
    assert_eq!(server.take(&client.lead(4)), Seen::default(), "it begins anew");
    client.log_on(&mut server);
}

// rules: A4, E3
#[test]
fn endpoints_that_share_a_connection_are_told_apart_by_their_epid() {
    let mut servers = [Server::new(4), Server::new(4)];
    let mut client = Client::new(|_| {});
    client.log_on(&mut servers[0]);
    // What one without an association sends goes out as it is; what comes does not pass for another's.
    let foreign = |bytes: &[u8]| {
        String::from_utf8(bytes.to_vec())
            .unwrap()
            .replace("epid=01", "epid=02")
    };
    let bytes = foreign(&request("MESSAGE", 4));
    assert_eq!(servers[0].take(&client.seal(Bytes::from(bytes))), Seen::default());
    let bytes = message(1).replace(
        "To: <sip:alice@example.com>",
        "To: <sip:alice@example.com>;epid=02",
    );
    assert_eq!(client.admit(&parse(bytes)), Admission::Unsigned);
    let second = EndpointId::from_number(4);
    let credentials = Credentials::new("alice", Secret::new("Pa55word")).with_domain("EXAMPLE");
    let login = Login {
        credentials: vec![credentials],
        default_credential: false,
        allowed: AllowedProtocols::all(),
        policy: AssociationPolicy::default(),
        epid: "02".into(),
    };
    client.table.insert(second, login);
    let first = core::mem::replace(&mut client.endpoint, second);
    client.log_on(&mut servers[1]);
    for (epid, server) in ["epid=01", "epid=02"].into_iter().zip(&mut servers) {
        let bytes = to_string_of(&request("MESSAGE", 5)).replace("epid=01", epid);
        assert!(server.take(&client.seal(Bytes::from(bytes))).number.is_some());
    }
    assert_ne!(first, second);
}

// rules: A6
#[test]
fn a_server_that_should_have_asked_is_told_by_the_domain_of_the_credentials() {
    let unchallenged = |change: &dyn Fn(&mut Login)| {
        let client = Client::new(|login| change(login));
        client.table.is_unchallenged(client.endpoint)
    };
    assert!(unchallenged(&|_| {}));
    assert!(unchallenged(&|login| {
        login.credentials = vec![Credentials::new("EXAMPLE\\alice", Secret::new("pw"))];
    }));
    assert!(!unchallenged(&|login| login.policy.unchallenging = true));
    assert!(!unchallenged(
        &|login| login.credentials = vec![Credentials::new("alice", Secret::new("pw"))]
    ));
    let mut client = Client::new(|_| {});
    client.log_on(&mut Server::new(4));
    assert!(!client.table.is_unchallenged(client.endpoint));
}

// rules: A9
#[test]
fn no_debug_output_shows_a_password_or_a_key() {
    let mut client = Client::new(|_| {});
    client.log_on(&mut Server::new(4));
    let shown = format!("{:?} {:#?}", client.table, client.table);
    assert!(!shown.contains("Pa55word"));
    assert!(shown.contains("Keys(..)"), "{shown}");
}
