//! NTLM and security associations at the front end (MS-SIPAE, MS-SIP section 3.1), with clients that sign with the
//! core's primitives and verify all that they get.

use sansip::UnixTime;
use sansip::security::ms::{self, Mic, Scheme, Signature};
use sansip::security::ntlm::{self, Client, FileTime, Fresh, Identity, Keys, NtHash, NtlmError};
use sansip::security::signing::{self, Stamp, Version};
use sansip::security::window::ReplayWindow;

use super::*;

const REALM: &str = "SIP Communications Service";
const ALICE: &str = "sip:alice@example.com";
const BOB: &str = "sip:bob@example.com";
const HOURS_8: Duration = Duration::from_secs(8 * 3600);

fn config() -> FrontEndConfig {
    FrontEndConfig::new("example.com")
        .with_user("alice", "secret")
        .with_user("bob", "hidden")
        .with_protocols(&[Protocol::Ntlm])
}

fn with_version(version: Version) -> FrontEndConfig {
    let mut config = config();
    config.associations.version = version;
    config
}

/// A client with its side of an association.
#[derive(Clone)]
struct Endpoint {
    conn: Conn,
    user: &'static str,
    epid: &'static str,
    domain: &'static str,
    password: &'static str,
    version: Version,
    keys: Option<Keys>,
    opaque: String,
    signed: u32,
    seen: ReplayWindow,
}

impl Endpoint {
    fn new(conn: Conn, user: &'static str, epid: &'static str) -> Self {
        Self {
            conn,
            user,
            epid,
            domain: "EXAMPLE",
            password: if user == "alice" { "secret" } else { "hidden" },
            version: Version::V4,
            keys: None,
            opaque: String::new(),
            signed: 0,
            seen: ReplayWindow::new(),
        }
    }

    fn credentials(&self) -> ms::Credentials<'_> {
        ms::Credentials {
            scheme: Scheme::Ntlm,
            realm: REALM,
            target: "example.com",
            opaque: Some(self.opaque.as_str()).filter(|opaque| !opaque.is_empty()),
            version: None,
            token: None,
            signature: None,
        }
    }

    /// The message with its credentials; `number` signs it.
    fn with_credentials(&self, text: &str, token: Option<Vec<u8>>, number: Option<u32>) -> String {
        let mut credentials = self.credentials();
        credentials.version = token.as_ref().map(|_| self.version);
        credentials.token = token;
        if let (Some(number), Some(keys)) = (number, &self.keys) {
            let stamp = Stamp {
                scheme: Scheme::Ntlm,
                random: "0badcafe",
                number,
                realm: REALM,
                target: "example.com",
            };
            let message = Message::parse(wire(text).into(), &MessageLimits::default()).unwrap();
            let mut buffer = Vec::new();
            signing::buffer(&mut buffer, self.version, &stamp, &message).unwrap();
            credentials.signature = Some(Signature {
                random: "0badcafe".into(),
                number,
                mic: Mic::new(&keys.sign(&buffer)),
            });
        }
        let value = header::to_string(&header::Authorization(credentials.to_header()));
        put(text, &format!("Authorization: {value}"))
    }

    /// The message, signed with the next number.
    fn sign(&mut self, text: &str) -> String {
        self.signed += 1;
        self.with_credentials(text, None, Some(self.signed))
    }

    /// Whether a message of the server is signed rightly, and new.
    #[track_caller]
    fn verify(&mut self, message: &Message) {
        let value = message.raw(HeaderName::AuthenticationInfo);
        let value = std::str::from_utf8(value.expect("signed")).unwrap();
        let found = header::AuthenticationInfo::parse(value).unwrap();
        let info = ms::Info::read(&found.0).unwrap();
        assert_eq!(info.opaque, Some(self.opaque.as_str()));
        assert_eq!((info.realm, info.target), (REALM, "example.com"));
        let signature = info.signature.as_ref().unwrap();
        let mut buffer = Vec::new();
        signing::buffer(&mut buffer, self.version, &info.stamp().unwrap(), message).unwrap();
        let keys = self.keys.as_ref().unwrap();
        assert!(keys.verify(&buffer, &signature.mic), "{message:?}");
        assert!(self.seen.record(signature.number), "{} again", signature.number);
    }

    /// The answer to a challenge.
    fn answer(&mut self, challenge: &Message) -> Vec<u8> {
        let found = only_challenge(challenge);
        let challenge = ms::Challenge::read(&found).unwrap();
        self.opaque = challenge.opaque.unwrap().to_owned();
        let token = challenge.token.unwrap();
        let parsed = ntlm::Challenge::parse(&token).unwrap();
        let hash = NtHash::of(&Secret::new(self.password));
        let identity = Identity::new(self.user, Some(self.domain), hash);
        let fresh = Fresh::new([1; 8], [2; 16], FileTime::from_unix(UnixTime(1_700_000_000)));
        let (token, keys) = ntlm::authenticate(&parsed, &identity, &Client::default(), &fresh).unwrap();
        self.keys = Some(keys);
        (self.signed, self.seen) = (0, ReplayWindow::new());
        token
    }
}

/// What becomes of the last request of a handshake.
type Change = dyn Fn(&mut Lab, &mut Endpoint, String) -> String;

fn only_challenge(message: &Message) -> header::Challenge<'_> {
    let all: Vec<header::WwwAuthenticate<'_>> = message.list().map(Result::unwrap).collect();
    assert_eq!(all.len(), 1, "{message:?}");
    all.into_iter().next().unwrap().0
}

/// Before the body, or at the end.
fn put(text: &str, line: &str) -> String {
    match text.split_once("\n\n") {
        Some((head, body)) => format!("{head}\n{line}\n\n{body}"),
        None => format!("{}\n{line}", text.trim_end()),
    }
}

fn is_signed(message: &Message) -> bool {
    message.raw(HeaderName::AuthenticationInfo).is_some()
}

impl Lab {
    /// A request of an endpoint, not yet signed.
    fn ask(&mut self, of: &Endpoint, method: &str, uri: &str, more: &str) -> String {
        let text = self.request(method, uri, of.user, more);
        text.replace(&format!("epid=e{}", of.user), &format!("epid={}", of.epid))
            .replace(&format!("call-{}", of.user), &format!("call-{}", of.epid))
    }

    fn ask_to_register(&mut self, of: &Endpoint) -> String {
        let conn = of.conn.0;
        let port = 40000 + conn;
        let contact = format!("Contact: <sip:{}@192.0.2.{conn}:{port};transport=tcp>", of.user);
        self.ask(of, "REGISTER", "sip:example.com", &contact).replace(
            "To: <sip:example.com>",
            &format!("To: <sip:{}@example.com>", of.user),
        )
    }

    /// The first two requests of a handshake, and the third, not sent yet.
    #[track_caller]
    fn begin(&mut self, of: &mut Endpoint) -> String {
        let text = self.ask_to_register(of);
        self.send(of.conn, &text);
        let asked = self.one(of.conn);
        assert_eq!(asked.status(), Some(StatusCode::UNAUTHORIZED));
        of.opaque.clear();
        let text = self.ask_to_register(of);
        let text = of.with_credentials(&text, Some(Vec::new()), None);
        self.send(of.conn, &text);
        let challenge = self.one(of.conn);
        assert_eq!(challenge.status(), Some(StatusCode::UNAUTHORIZED));
        let token = of.answer(&challenge);
        let text = self.ask_to_register(of);
        let number = of.version.signs_final_token().then_some(1);
        of.signed = number.unwrap_or(0);
        of.with_credentials(&text, Some(token), number)
    }

    #[track_caller]
    fn log_on(&mut self, of: &mut Endpoint) {
        let last = self.begin(of);
        self.send(of.conn, &last);
        let ok = self.one(of.conn);
        assert_eq!(ok.status(), Some(StatusCode::OK));
        of.verify(&ok);
    }

    fn logged_on(&mut self, n: u8, user: &'static str, epid: &'static str) -> Endpoint {
        let mut endpoint = Endpoint::new(self.connect(n), user, epid);
        endpoint.version = self.front.config().associations.version;
        self.log_on(&mut endpoint);
        endpoint
    }

    fn counts(&self) -> AssociationCounts {
        self.front.association_counts()
    }

    /// An answer of an endpoint, signed.
    fn answer(&mut self, of: &mut Endpoint, request: &Message, status: u16, more: &str) {
        let text = self.response(request, status, "x", more);
        let text = of.sign(&text);
        self.send(of.conn, &text);
    }

    /// A refresh of the registration, signed.
    #[track_caller]
    fn refresh(&mut self, of: &mut Endpoint) -> Message {
        let text = self.ask_to_register(of);
        let text = of.sign(&text);
        self.send(of.conn, &text);
        self.one(of.conn)
    }
}

// MS-SIPAE section 3.1, MS-SIP section 4.2: what a client is asked, in its order, and who it is then.
// rules: A1, A4
#[test]
fn a_handshake_makes_an_association_in_each_version() {
    for (version, said) in [
        (Version::V2, None),
        (Version::V3, Some("3")),
        (Version::V4, Some("4")),
    ] {
        let mut config = with_version(version);
        config.epoch = Some(UnixTime(1_700_000_000));
        let mut lab = Lab::new(config);
        let mut alice = Endpoint::new(lab.connect(1), "alice", "01");
        alice.version = version;
        let text = lab.ask_to_register(&alice);
        lab.send(alice.conn, &text);
        let asked = lab.one(alice.conn);
        assert_eq!(asked.status(), Some(StatusCode::UNAUTHORIZED));
        assert_eq!(
            asked.raw(HeaderName::Date),
            Some(&b"Tue, 14 Nov 2023 22:13:20 GMT"[..])
        );
        let first = only_challenge(&asked);
        assert_eq!(first.scheme, "NTLM");
        assert_eq!(first.params.raw("realm"), Some(REALM));
        assert_eq!(first.params.raw("targetname"), Some("example.com"));
        assert_eq!(first.params.raw("version"), said);
        assert_eq!(
            (first.params.raw("opaque"), first.params.raw("gssapi-data")),
            (None, None)
        );

        let last = lab.begin(&mut alice);
        assert_eq!(last.contains("response="), version == Version::V4);
        assert_eq!(
            (lab.front.census().associations, lab.front.census().handshakes),
            (0, 1)
        );
        lab.send(alice.conn, &last);
        let ok = lab.one(alice.conn);
        assert_eq!(ok.status(), Some(StatusCode::OK));
        alice.verify(&ok);
        // RFC 3261 section 20.10: a client of the dialect takes a 2xx without it for the end of its registration.
        assert_eq!(ok.raw(HeaderName::Expires), Some(&b"3600"[..]));
        assert_eq!(
            (lab.front.census().associations, lab.front.census().handshakes),
            (1, 0)
        );
        let proven = FrontEndEvent::Proven {
            from: ALICE.to_owned(),
            user: "alice".to_owned(),
            how: format!("NTLM version {}", version.number()),
            conn: alice.conn,
        };
        assert!(lab.log.contains(&proven), "{:?}", lab.log);

        let refreshed = lab.refresh(&mut alice);
        assert_eq!(refreshed.status(), Some(StatusCode::OK));
        alice.verify(&refreshed);
        let verified = if version == Version::V4 { 2 } else { 1 };
        assert_eq!(
            (lab.counts().made, lab.counts().verified, lab.counts().signed),
            (1, verified, 2)
        );
    }
}

// MS-SIPAE section 3.3.5.1: in version 4 the request with the final token is signed, and nothing else is spoken.
// rules: A4
#[test]
fn a_handshake_that_is_not_signed_rightly_or_of_another_version_makes_nothing() {
    let unsigned = |_: &mut Lab, _: &mut Endpoint, last: String| {
        let at = last.find(", crand=").unwrap();
        last[..at].to_owned()
    };
    let forged = |_: &mut Lab, _: &mut Endpoint, last: String| last.replace("0badcafe", "0badcaff");
    let older = |_: &mut Lab, _: &mut Endpoint, last: String| last.replace("version=4", "version=3");
    let silent = |_: &mut Lab, _: &mut Endpoint, last: String| last.replace(", version=4", "");
    let foreign = |_: &mut Lab, _: &mut Endpoint, last: String| last.replace("epid=01", "epid=02");
    let other = |_: &mut Lab, of: &mut Endpoint, last: String| last.replace(&of.opaque, "00000000");
    let twice = |lab: &mut Lab, of: &mut Endpoint, last: String| {
        lab.send(of.conn, &last.replace("0badcafe", "0badcaff"));
        lab.one(of.conn);
        last.replace("branch=", "branch=z9hG4bK")
    };
    let cases: [(&str, &Change); 7] = [
        ("unsigned", &unsigned),
        ("forged", &forged),
        ("older", &older),
        ("silent", &silent),
        ("foreign", &foreign),
        ("other", &other),
        ("twice", &twice),
    ];
    for (name, change) in cases {
        let mut lab = Lab::new(config());
        let mut alice = Endpoint::new(lab.connect(1), "alice", "01");
        let last = lab.begin(&mut alice);
        let last = change(&mut lab, &mut alice, last);
        lab.send(alice.conn, &last);
        let refused = lab.one(alice.conn);
        assert_eq!(refused.status(), Some(StatusCode::UNAUTHORIZED), "{name}");
        assert!(!is_signed(&refused), "{name}");
        assert_eq!(only_challenge(&refused).params.raw("gssapi-data"), None, "{name}");
        let census = lab.front.census();
        assert_eq!((census.associations, census.bindings), (0, 0), "{name}");
        assert!(lab.counts().failed > 0, "{name}");
    }
}

// A wrong password, an unknown user or domain: a fresh challenge, and no word about what it was.
// rules: A7
#[test]
fn who_does_not_prove_a_password_is_challenged_anew() {
    let cases = [
        ("alice", "EXAMPLE", "Secret", NtlmError::WrongProof.to_string()),
        ("carol", "EXAMPLE", "secret", "no such user".to_owned()),
        ("alice", "OTHER", "secret", "no such user".to_owned()),
    ];
    for (user, domain, password, why) in cases {
        let mut lab = Lab::new(config());
        let mut alice = Endpoint::new(lab.connect(1), "alice", "01");
        (alice.user, alice.domain, alice.password) = (user, domain, password);
        let last = lab.begin(&mut alice);
        lab.send(alice.conn, &last);
        let refused = lab.one(alice.conn);
        assert_eq!(refused.status(), Some(StatusCode::UNAUTHORIZED));
        assert_eq!(only_challenge(&refused).params.raw("gssapi-data"), None);
        let from = format!("sip:{user}@example.com");
        assert!(
            lab.log.contains(&FrontEndEvent::NotProven { from, why }),
            "{:?}",
            lab.log
        );
        assert_eq!((lab.counts().made, lab.counts().failed), (0, 1));
    }
}

// MS-NLMP section 3.3.2 and MS-SIP: the user in any case, with the domain's NetBIOS or DNS name, or as a UPN.
// rules: A2
#[test]
fn a_user_is_named_in_the_ways_of_windows() {
    for (name, domain) in [
        ("ALICE", "EXAMPLE"),
        ("alice", "example"),
        ("alice", "example.com"),
        ("Alice@example.com", ""),
        ("alice", ""),
    ] {
        let mut lab = Lab::new(config());
        let mut alice = Endpoint::new(lab.connect(1), "alice", "01");
        let last = {
            alice.domain = domain;
            // The name in the token alone: the address stays.
            let mut named = alice.clone();
            let first = lab.ask_to_register(&alice);
            let first = alice.with_credentials(&first, Some(Vec::new()), None);
            lab.send(alice.conn, &first);
            named.user = name;
            let challenge = lab.one(alice.conn);
            let token = named.answer(&challenge);
            (alice.keys, alice.opaque, alice.signed) = (named.keys, named.opaque, 1);
            let text = lab.ask_to_register(&alice);
            alice.with_credentials(&text, Some(token), Some(1))
        };
        lab.send(alice.conn, &last);
        let ok = lab.one(alice.conn);
        assert_eq!(ok.status(), Some(StatusCode::OK), "{name} {domain}");
        alice.verify(&ok);
    }
}

// Who has logged on as bob gets nothing signed, or said, in the name of alice.
// rules: A9
#[test]
fn nobody_gets_an_association_for_the_address_of_another() {
    let mut lab = Lab::new(config());
    let mut mallory = Endpoint::new(lab.connect(1), "bob", "01");
    let first = lab.ask_to_register(&mallory).replace("sip:bob@", "sip:alice@");
    let first = mallory.with_credentials(&first, Some(Vec::new()), None);
    lab.send(mallory.conn, &first);
    let challenge = lab.one(mallory.conn);
    let token = mallory.answer(&challenge);
    let text = lab.ask_to_register(&mallory).replace("sip:bob@", "sip:alice@");
    let text = mallory.with_credentials(&text, Some(token), Some(1));
    lab.send(mallory.conn, &text);
    assert_eq!(lab.one(mallory.conn).status(), Some(StatusCode::FORBIDDEN));
    assert_eq!(lab.front.census().associations, 0);
}

// MS-SIP section 3.1.5.1: clocks may differ by 15 minutes.
// rules: A7
#[test]
fn a_clock_that_is_wrong_by_more_than_15_minutes_is_not_taken() {
    for (ahead, status) in [(900, 200), (901, 401)] {
        let mut config = config();
        // The clients here believe that it is 1 700 000 000.
        config.epoch = Some(UnixTime(1_700_000_000 + ahead));
        let mut lab = Lab::new(config);
        let mut alice = Endpoint::new(lab.connect(1), "alice", "01");
        let last = lab.begin(&mut alice);
        lab.send(alice.conn, &last);
        assert_eq!(lab.statuses(alice.conn), [status], "{ahead}");
    }
    let mut config = config();
    config.epoch = Some(UnixTime(1_800_000_000));
    config.associations.says_time = true;
    Lab::new(config).logged_on(1, "alice", "01");
}

// MS-SIP section 3.1.5.2: what is wrong is dropped without a word.
// rules: A4
#[test]
fn a_request_that_is_tampered_with_replayed_unsigned_or_foreign_goes_nowhere() {
    let mut lab = Lab::new(config());
    let mut alice = lab.logged_on(1, "alice", "01");
    let mut other = lab.logged_on(2, "alice", "02");
    let bob = lab.logged_on(3, "bob", "03");
    let text = lab.ask(&alice, "MESSAGE", BOB, "");

    let tampered = alice.sign(&text).replace("Call-ID: call-01", "Call-ID: call-02");
    lab.send(alice.conn, &tampered);
    assert_eq!((lab.counts().forged, lab.take(alice.conn).len()), (1, 0));
    let broken = alice.sign(&text).replace("response=\"0", "response=\"x");
    lab.send(alice.conn, &broken.replace("cnum=\"", "cnum=\"0"));
    assert_eq!((lab.counts().forged, lab.take(alice.conn).len()), (2, 0));

    let foreign = other.sign(&text);
    lab.send(alice.conn, &foreign);
    assert_eq!((lab.counts().foreign, lab.take(alice.conn).len()), (1, 0));

    let naked = alice.with_credentials(&text, None, None);
    lab.send(alice.conn, &naked);
    assert_eq!((lab.counts().unsigned, lab.take(alice.conn).len()), (1, 0));
    assert_eq!(lab.take(bob.conn).len(), 0);

    // None of them has used the number up that it had.
    let good = alice.with_credentials(&text, None, Some(2));
    lab.send(alice.conn, &good);
    assert_eq!(lab.take(bob.conn).len(), 1);
    lab.send(alice.conn, &good.replace("branch=", "branch=z9hG4bK"));
    assert_eq!((lab.counts().replayed, lab.take(bob.conn).len()), (1, 0));
    assert_eq!(lab.take(alice.conn).len(), 0);
}

// MS-SIPAE section 3.3.5.1: a request without credentials is challenged, an ACK and a CANCEL discarded.
// rules: A4
#[test]
fn whoever_signs_nothing_is_challenged_but_not_for_ack_and_cancel() {
    let mut lab = Lab::new(config());
    let alice = lab.logged_on(1, "alice", "01");
    let bob = lab.logged_on(2, "bob", "02");
    // One that has an association, and one that has none.
    let nobody = Endpoint::new(lab.connect(3), "alice", "09");
    for of in [&alice, &nobody] {
        for method in ["MESSAGE", "INVITE", "SUBSCRIBE", "REGISTER"] {
            let uri = if method == "REGISTER" {
                "sip:example.com"
            } else {
                BOB
            };
            let text = lab.ask(of, method, uri, "");
            lab.send(of.conn, &text);
            assert_eq!(lab.statuses(of.conn), [401], "{method}");
        }
        for method in ["ACK", "CANCEL"] {
            let before = lab.counts().unsigned;
            let text = lab.ask(of, method, BOB, "");
            lab.send(of.conn, &text);
            assert_eq!(lab.take(of.conn).len(), 0, "{method}");
            assert_eq!(lab.counts().unsigned, before + 1, "{method}");
        }
    }
    assert_eq!(lab.take(bob.conn).len(), 0);
}

// The ACK of what was challenged cannot be signed, and ends the transaction all the same.
// rules: A4
#[test]
fn the_ack_of_a_challenge_needs_no_signature() {
    let mut lab = Lab::new(config());
    lab.logged_on(2, "bob", "02");
    let alice = Endpoint::new(lab.connect(1), "alice", "01");
    let invite = lab.ask(&alice, "INVITE", BOB, "");
    lab.send(alice.conn, &invite);
    assert_eq!(lab.statuses(alice.conn), [401]);
    assert_eq!(lab.front.census().transactions, 1);
    let ack = invite
        .replace("INVITE sip:bob", "ACK sip:bob")
        .replace("INVITE", "ACK");
    lab.send(alice.conn, &ack);
    assert_eq!((lab.front.census().transactions, lab.counts().unsigned), (0, 0));
}

// rules: A4, E2
#[test]
fn two_endpoints_of_one_address_have_associations_of_their_own() {
    let mut lab = Lab::new(config());
    let mut one = lab.logged_on(1, "alice", "01");
    let mut two = lab.logged_on(2, "alice", "02");
    let mut bob = lab.logged_on(3, "bob", "03");
    assert_eq!(lab.front.census().associations, 3);
    let text = lab.ask(&bob, "MESSAGE", ALICE, "\n\nhello");
    let text = bob.sign(&text);
    lab.send(bob.conn, &text);
    // Each copy names its endpoint and is signed for it.
    for endpoint in [&mut one, &mut two] {
        let copy = lab.one(endpoint.conn);
        assert_eq!(copy.to().unwrap().epid().as_deref(), Some(endpoint.epid));
        assert_eq!(copy.raw(HeaderName::Authorization), None, "handed on");
        endpoint.verify(&copy);
        if endpoint.epid == "02" {
            lab.answer(endpoint, &copy, 200, "");
        }
    }
    let ok = lab.one(bob.conn);
    assert_eq!(ok.status(), Some(StatusCode::OK));
    assert_eq!(ok.raw(HeaderName::Authorization), None, "handed back");
    bob.verify(&ok);
    let refreshed = lab.refresh(&mut one);
    one.verify(&refreshed);
    let refreshed = lab.refresh(&mut two);
    two.verify(&refreshed);
}

// rules: A4
#[test]
fn a_response_counts_only_with_the_signature_of_who_was_asked() {
    let mut lab = Lab::new(config());
    let mut alice = lab.logged_on(1, "alice", "01");
    let mut bob = lab.logged_on(2, "bob", "02");
    let text = lab.ask(&alice, "MESSAGE", BOB, "");
    let text = alice.sign(&text);
    lab.send(alice.conn, &text);
    let request = lab.one(bob.conn);
    bob.verify(&request);

    let plain = lab.response(&request, 200, "x", "");
    lab.send(bob.conn, &plain);
    assert_eq!(lab.counts().unsigned, 1);
    let forged = bob.sign(&plain).replace(" 200 ", " 202 ");
    lab.send(bob.conn, &forged);
    assert_eq!(lab.counts().forged, 1);
    let foreign = alice.sign(&plain);
    lab.send(bob.conn, &foreign);
    assert_eq!(lab.counts().foreign, 1);
    let stranger = bob.sign(&plain).replace(&bob.opaque, "00000000");
    lab.send(bob.conn, &stranger);
    assert_eq!(lab.counts().unknown, 1);
    assert_eq!(lab.take(alice.conn).len(), 0);

    let good = bob.sign(&plain);
    lab.send(bob.conn, &good);
    let ok = lab.one(alice.conn);
    alice.verify(&ok);
    lab.send(bob.conn, &good);
    assert_eq!((lab.counts().replayed, lab.take(alice.conn).len()), (1, 0));
}

/// alice calls bob; gives bob's INVITE and alice's 200, with their ACK sent.
fn call(lab: &mut Lab, alice: &mut Endpoint, bob: &mut Endpoint) -> (Message, Message) {
    let text = lab.ask(
        alice,
        "INVITE",
        BOB,
        "Contact: <sip:alice@192.0.2.1:40001;transport=tcp>",
    );
    let text = alice.sign(&text);
    lab.send(alice.conn, &text);
    assert_eq!(lab.statuses(alice.conn), [100]);
    let invite = lab.one(bob.conn);
    bob.verify(&invite);
    lab.answer(bob, &invite, 180, "");
    let ringing = lab.one(alice.conn);
    assert_eq!(
        (ringing.status().unwrap().code(), is_signed(&ringing)),
        (180, false)
    );
    lab.answer(
        bob,
        &invite,
        200,
        "Contact: <sip:bob@192.0.2.2:40002;transport=tcp>",
    );
    let ok = lab.one(alice.conn);
    alice.verify(&ok);
    let text = lab.in_dialog(alice, &ok, "ACK");
    let text = alice.sign(&text);
    lab.send(alice.conn, &text);
    let ack = lab.one(bob.conn);
    assert_eq!(method(&ack), "ACK");
    bob.verify(&ack);
    (invite, ok)
}

impl Lab {
    /// A request of the caller in the dialog that this 200 has made.
    fn in_dialog(&mut self, of: &Endpoint, ok: &Message, method: &str) -> String {
        let routes: Vec<String> = record_route(ok)
            .into_iter()
            .rev()
            .map(|route| format!("Route: {route}"))
            .collect();
        let uri = "sip:bob@192.0.2.2:40002;transport=tcp";
        let text = self.ask(of, method, uri, &routes.join("\n"));
        let to = String::from_utf8_lossy(ok.raw(HeaderName::To).unwrap()).into_owned();
        text.replace(&format!("To: <{uri}>"), &format!("To: {to}"))
    }
}

// Each message of a call both ways; provisional responses are not signed, as real servers do it.
// rules: A4
#[test]
fn a_call_is_signed_from_end_to_end() {
    let mut lab = Lab::new(config());
    let mut alice = lab.logged_on(1, "alice", "01");
    let mut bob = lab.logged_on(2, "bob", "02");
    let (_, ok) = call(&mut lab, &mut alice, &mut bob);
    // In a dialog nobody is let through who does not sign, either.
    let text = lab.in_dialog(&alice, &ok, "BYE");
    lab.send(alice.conn, &text);
    assert_eq!(
        (lab.statuses(alice.conn), lab.take(bob.conn).len()),
        (vec![401], 0)
    );
    let text = lab.in_dialog(&alice, &ok, "BYE");
    let text = alice.sign(&text);
    lab.send(alice.conn, &text);
    let bye = lab.one(bob.conn);
    bob.verify(&bye);
    lab.answer(&mut bob, &bye, 200, "");
    let done = lab.one(alice.conn);
    alice.verify(&done);
    let counts = lab.counts();
    assert_eq!(
        (counts.unsigned, counts.forged, counts.replayed, counts.foreign),
        (0, 0, 0, 0)
    );
}

// rules: A4
#[test]
fn a_cancel_is_taken_from_who_has_signed_the_invite() {
    let mut lab = Lab::new(config());
    let mut alice = lab.logged_on(1, "alice", "01");
    let mut twin = lab.logged_on(3, "alice", "03");
    let mut bob = lab.logged_on(2, "bob", "02");
    let invite = lab.ask(&alice, "INVITE", BOB, "");
    let signed = alice.sign(&invite);
    lab.send(alice.conn, &signed);
    let at_bob = lab.one(bob.conn);
    lab.answer(&mut bob, &at_bob, 180, "");
    assert_eq!(lab.statuses(alice.conn), [100, 180]);

    let cancel = invite
        .replace("INVITE sip:bob", "CANCEL sip:bob")
        .replace("INVITE", "CANCEL");
    lab.send(alice.conn, &cancel);
    assert_eq!(lab.counts().unsigned, 1);
    let theirs = twin.sign(&cancel.replace("epid=01", "epid=03"));
    lab.send(twin.conn, &theirs);
    assert_eq!(lab.counts().foreign, 1);
    assert_eq!((lab.take(alice.conn).len(), lab.take(bob.conn).len()), (0, 0));

    let own = alice.sign(&cancel);
    lab.send(alice.conn, &own);
    let ok = lab.one(alice.conn);
    alice.verify(&ok);
    let cancelled = lab.one(bob.conn);
    assert_eq!(method(&cancelled), "CANCEL");
    bob.verify(&cancelled);
    lab.answer(&mut bob, &at_bob, 487, "");
    let ack = lab.one(bob.conn);
    assert_eq!(method(&ack), "ACK");
    bob.verify(&ack);
    let ended = lab.one(alice.conn);
    assert_eq!(ended.status(), Some(StatusCode::REQUEST_TERMINATED));
    alice.verify(&ended);
}

// MS-SIPAE section 3.2.2: 8 hours, and not a moment more.
// rules: A5
#[test]
fn an_association_lasts_8_hours_and_then_its_requests_are_challenged() {
    let mut config = config();
    config.max_expires = HOURS_8 * 2;
    config.default_expires = HOURS_8 * 2;
    let mut lab = Lab::new(config);
    let mut alice = lab.logged_on(1, "alice", "01");
    lab.pass(HOURS_8 - Duration::from_micros(1));
    let ok = lab.refresh(&mut alice);
    alice.verify(&ok);
    // The refresh has not prolonged it.
    lab.pass(Duration::from_micros(1));
    let asked = lab.refresh(&mut alice);
    assert_eq!(
        (asked.status(), is_signed(&asked)),
        (Some(StatusCode::UNAUTHORIZED), false)
    );
    assert_eq!((lab.counts().unknown, lab.front.census().associations), (1, 0));
    let over = "the security association of alice@example.com (01) is over";
    assert!(
        lab.log.iter().any(|event| event.to_string() == over),
        "{:?}",
        lab.log
    );
    lab.log_on(&mut alice);
}

// rules: A5
#[test]
fn a_renewed_association_signs_and_the_former_one_verifies_for_a_while() {
    let mut lab = Lab::new(config());
    let mut alice = lab.logged_on(1, "alice", "01");
    let mut former = alice.clone();
    lab.log_on(&mut alice);
    assert_ne!(alice.opaque, former.opaque);
    assert_eq!(lab.front.census().associations, 2);
    lab.pass(Duration::from_millis(32_000) - Duration::from_micros(1));
    // Under the old one it was sent, under the new one it is answered.
    let ok = lab.refresh(&mut former);
    alice.verify(&ok);
    lab.pass(Duration::from_micros(1));
    assert_eq!(lab.refresh(&mut former).status(), Some(StatusCode::UNAUTHORIZED));
    assert_eq!(lab.front.census().associations, 1);
    // However often it is renewed, there are two.
    for _ in 0..3 {
        lab.log_on(&mut alice);
    }
    assert_eq!(lab.front.census().associations, 2);
    assert!(
        !lab.log
            .iter()
            .any(|event| matches!(event, FrontEndEvent::AssociationOver { .. }))
    );
}

// rules: A5
#[test]
fn what_a_restart_has_lost_is_challenged_and_what_it_has_kept_goes_on() {
    for memory in [Memory::Kept, Memory::Lost] {
        let mut lab = Lab::new(config());
        let mut alice = lab.logged_on(1, "alice", "01");
        lab.front.restart(memory);
        alice.conn = lab.connect(2);
        let status = lab.refresh(&mut alice).status();
        if memory == Memory::Kept {
            assert_eq!(status, Some(StatusCode::OK));
        } else {
            assert_eq!(status, Some(StatusCode::UNAUTHORIZED));
            lab.log_on(&mut alice);
        }
    }
}

// rules: C31
#[test]
fn associations_and_handshakes_are_bounded() {
    let mut config = config();
    (config.associations.most, config.associations.most_handshakes) = (1, 2);
    let mut lab = Lab::new(config);
    let mut alice = lab.logged_on(1, "alice", "01");
    let mut second = Endpoint::new(lab.connect(2), "alice", "02");
    let last = lab.begin(&mut second);
    lab.send(second.conn, &last);
    let full = lab.one(second.conn);
    assert_eq!(
        (full.status(), is_signed(&full)),
        (Some(StatusCode::SERVICE_UNAVAILABLE), false)
    );
    // Who has one renews it all the same.
    lab.log_on(&mut alice);

    let begin = |lab: &mut Lab, of: &Endpoint| {
        let text = lab.ask_to_register(of);
        let text = of.with_credentials(&text, Some(Vec::new()), None);
        lab.send(of.conn, &text);
        lab.statuses(of.conn)
    };
    let conn = second.conn;
    let [a, b, c] = ["0a", "0b", "0c"].map(|epid| Endpoint::new(conn, "alice", epid));
    // Who begins again has one of them, not two.
    for of in [&a, &a, &b, &b] {
        assert_eq!(begin(&mut lab, of), [401]);
    }
    assert_eq!(
        (begin(&mut lab, &c), lab.front.census().handshakes),
        (vec![503], 2)
    );
    lab.pass(Duration::from_secs(60) - Duration::from_micros(1));
    assert_eq!(lab.front.census().handshakes, 2);
    lab.pass(Duration::from_micros(1));
    assert_eq!(lab.front.census().handshakes, 0);
    assert_eq!(begin(&mut lab, &c), [401]);
    lab.lose(conn);
    assert_eq!(lab.front.census().handshakes, 0);
}

// MS-SIPAE section 3.2.5.1: From has an epid.
// rules: A1
#[test]
fn a_handshake_without_an_epid_is_refused() {
    let mut lab = Lab::new(config());
    let alice = Endpoint::new(lab.connect(1), "alice", "01");
    let text = lab.ask_to_register(&alice).replace(";epid=01", "");
    let text = alice.with_credentials(&text, Some(Vec::new()), None);
    lab.send(alice.conn, &text);
    assert_eq!(lab.statuses(alice.conn), [400]);
}

// RFC 8760, MS-SIP section 3.1.5.1: one challenge a protocol, in the order that is set.
// rules: A3
#[test]
fn ntlm_and_digest_are_offered_side_by_side() {
    let mut config = config().with_protocols(&[Protocol::Ntlm, Protocol::Digest]);
    config.algorithms = vec![Algorithm::Sha256, Algorithm::Md5];
    let mut lab = Lab::new(config);
    let conn = lab.connect(1);
    let asked = lab.register(
        conn,
        "alice",
        "Contact: <sip:alice@192.0.2.1:40001;transport=tcp>",
    );
    assert_eq!(asked.status(), Some(StatusCode::UNAUTHORIZED));
    let all: Vec<header::WwwAuthenticate<'_>> = asked.list().map(Result::unwrap).collect();
    let schemes: Vec<&str> = all.iter().map(|challenge| &*challenge.0.scheme).collect();
    assert_eq!(schemes, ["NTLM", "Digest", "Digest"]);
    // A proxied request is challenged as a proxy does it where Digest is spoken.
    let bob = Endpoint::new(conn, "bob", "02");
    let text = lab.ask(&bob, "MESSAGE", ALICE, "");
    lab.send(conn, &text);
    let asked = lab.one(conn);
    assert_eq!(asked.status(), Some(StatusCode::PROXY_AUTHENTICATION_REQUIRED));
    let all: Vec<header::ProxyAuthenticate<'_>> = asked.list().map(Result::unwrap).collect();
    assert_eq!(all.len(), 3);

    // Each goes on in its own way, and both reach each other.
    let mut alice = Endpoint::new(conn, "alice", "01");
    let first = lab.ask_to_register(&alice);
    let first = alice.with_credentials(&first, Some(Vec::new()), None);
    lab.send(conn, &first);
    let challenge = lab.one(conn);
    let token = alice.answer(&challenge);
    let last = lab.ask_to_register(&alice);
    alice.signed = 1;
    let last = alice.with_credentials(&last, Some(token), Some(1));
    lab.send(conn, &last);
    let ok = lab.one(conn);
    alice.verify(&ok);
    let other = lab.connect(2);
    let contact = "Contact: <sip:bob@192.0.2.2:40002;transport=tcp>";
    let asked = lab.register(other, "bob", contact);
    let asked = super::challenge(&asked, HeaderName::WwwAuthenticate, Algorithm::Md5);
    let digest = answer(&asked, "bob", "hidden", 1, "REGISTER", "sip:example.com");
    let ok = lab.register(other, "bob", &format!("{contact}\nAuthorization: {digest}"));
    assert_eq!(ok.status(), Some(StatusCode::OK));
    let text = lab.ask(&alice, "MESSAGE", BOB, "");
    let text = alice.sign(&text);
    lab.send(conn, &text);
    let got = lab.one(other);
    assert!(!is_signed(&got), "bob has no association");
    lab.respond(other, &got, 200, "x", "");
    let ok = lab.one(conn);
    alice.verify(&ok);
}

// MS-SIP section 4.1: a Director knows whom it sends away, and signs that.
// rules: R9, A4
#[test]
fn a_redirection_is_signed() {
    let mut lab = Lab::new(config());
    lab.front
        .set_manner(Manner::Redirect(vec!["<sip:home.example.com>".to_owned()]));
    let mut alice = Endpoint::new(lab.connect(1), "alice", "01");
    let last = lab.begin(&mut alice);
    lab.send(alice.conn, &last);
    let moved = lab.one(alice.conn);
    assert_eq!(moved.status(), Some(StatusCode::MOVED_PERMANENTLY));
    assert_eq!(contacts(&moved).len(), 1);
    alice.verify(&moved);
    assert_eq!(lab.front.census().bindings, 0);
}

// What a server asks by itself is signed, too, and the answer has to be.
// rules: A4
#[test]
fn a_notify_of_the_server_is_signed() {
    let mut lab = Lab::new(FrontEndConfig {
        presence: Some(PresenceLimits::default()),
        ..config()
    });
    let mut alice = lab.logged_on(1, "alice", "01");
    let contact = "Contact: <sip:alice@192.0.2.1:40001;transport=tcp>\nEvent: presence\nExpires: 600";
    let text = lab.ask(&alice, "SUBSCRIBE", BOB, contact);
    let text = alice.sign(&text);
    lab.send(alice.conn, &text);
    let [ok, notify] = <[Message; 2]>::try_from(lab.take(alice.conn)).unwrap();
    alice.verify(&ok);
    alice.verify(&notify);
    let plain = lab.response(&notify, 481, "x", "");
    lab.send(alice.conn, &plain);
    assert_eq!((lab.counts().unsigned, lab.front.census().subscriptions), (1, 1));
    lab.answer(&mut alice, &notify, 481, "");
    assert_eq!(lab.front.census().subscriptions, 0);

    assert_eq!(lab.front.deregister(ALICE, None, Deregistration::Rejected), 1);
    lab.drain();
    let notify = lab.one(alice.conn);
    alice.verify(&notify);
    let plain = lab.response(&notify, 200, "x", "");
    lab.send(alice.conn, &plain);
    assert_eq!(lab.counts().unsigned, 2);
    lab.answer(&mut alice, &notify, 200, "");
    assert!(matches!(lab.log.last(), Some(FrontEndEvent::Notified { .. })));
}

// --- faults

// rules: A4
#[test]
fn a_server_with_a_fault_signs_wrongly_not_at_all_or_twice() {
    let mut lab = Lab::new(config());
    let mut alice = lab.logged_on(1, "alice", "01");
    lab.front.set_signing(Signing::Wrong);
    let wrong = lab.refresh(&mut alice);
    assert_eq!(wrong.status(), Some(StatusCode::OK));
    let checked = std::panic::catch_unwind(|| alice.clone().verify(&wrong));
    assert!(is_signed(&wrong) && checked.is_err());
    lab.front.set_signing(Signing::Missing);
    assert!(!is_signed(&lab.refresh(&mut alice)));
    lab.front.set_signing(Signing::Right);
    let right = lab.refresh(&mut alice);
    alice.verify(&right);
    assert_eq!(lab.front.replay(ALICE, Some("01")), 1);
    lab.drain();
    let again = lab.one(alice.conn);
    assert_eq!(again.bytes(), right.bytes());
    assert_eq!(lab.front.replay(ALICE, Some("02")), 0);
}

// rules: A5
#[test]
fn a_server_with_a_fault_challenges_in_the_middle_of_a_call_and_forgets_associations() {
    let mut lab = Lab::new(config());
    let mut alice = lab.logged_on(1, "alice", "01");
    let mut bob = lab.logged_on(2, "bob", "02");
    let (_, ok) = call(&mut lab, &mut alice, &mut bob);
    let info = |lab: &mut Lab, alice: &mut Endpoint| {
        let text = lab.in_dialog(alice, &ok, "INFO");
        let text = alice.sign(&text);
        lab.send(alice.conn, &text);
        lab.take(alice.conn)
    };
    assert_eq!(lab.front.challenge_again(ALICE, None, 1), 1);
    let asked = info(&mut lab, &mut alice);
    assert_eq!(
        (asked[0].status(), is_signed(&asked[0])),
        (Some(StatusCode::UNAUTHORIZED), false)
    );
    assert!(info(&mut lab, &mut alice).is_empty());
    bob.verify(&lab.one(bob.conn));

    assert_eq!(lab.front.expire_associations(ALICE, Some("02")), 0);
    assert_eq!(lab.front.expire_associations(ALICE, Some("01")), 1);
    assert_eq!(
        info(&mut lab, &mut alice)[0].status(),
        Some(StatusCode::UNAUTHORIZED)
    );
    // The dialog goes on under a new association.
    lab.log_on(&mut alice);
    assert!(info(&mut lab, &mut alice).is_empty());
    bob.verify(&lab.one(bob.conn));

    assert_eq!(lab.front.lose_associations(), 2);
    assert_eq!(
        info(&mut lab, &mut alice)[0].status(),
        Some(StatusCode::UNAUTHORIZED)
    );
}

// Not every byte of a token is text, and none of it is shown.
// rules: A9
#[test]
fn no_debug_output_shows_a_password_or_a_key() {
    let mut lab = Lab::new(config());
    lab.logged_on(1, "alice", "01");
    let shown = format!("{:?}", lab.front.associations);
    assert!(shown.contains("alice") && shown.contains("Keys(..)"));
    assert!(!format!("{:?}", lab.front).contains("\"secret\""));
}
