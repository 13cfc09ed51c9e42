use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use alloc::{format, str};
use core::time::Duration;

use super::*;
use crate::cells::Cells;
use crate::config::Config;
use crate::counters::{Counters, Kind, Label};
use crate::cx::Outbox;
use crate::entropy::Entropy;
use crate::ids::Ids;
use crate::timers::{TimerKey, Timers};
use crate::wire::write::Scratch;
use crate::wire::{HeaderName, MessageLimits};

/// A table with all that it is lent.
struct Bench {
    table: Transactions,
    now: Time,
    timers: Timers,
    ids: Ids,
    entropy: Entropy,
    outbox: Outbox,
    config: Config,
    counters: Counters,
    cells: Cells,
    scratch: Scratch,
    sent: Vec<Transmission>,
}

impl Bench {
    fn new() -> Self {
        let mut entropy = Entropy::new([3; 32]);
        Self {
            table: Transactions::new(entropy.hash_key()),
            now: Time::ZERO,
            timers: Timers::default(),
            ids: Ids::default(),
            entropy,
            outbox: Outbox::default(),
            config: Config::default(),
            counters: Counters::default(),
            cells: Cells::default(),
            scratch: Scratch::default(),
            sent: Vec::new(),
        }
    }

    fn with<T>(
        &mut self,
        act: impl FnOnce(&mut Transactions, &mut Cx<'_>, &mut Vec<Transmission>) -> T,
    ) -> T {
        let cx = &mut Cx {
            now: self.now,
            unix: crate::time::UnixTime(0),
            timers: &mut self.timers,
            ids: &mut self.ids,
            entropy: &mut self.entropy,
            out: &mut self.outbox,
            config: &self.config,
            counters: &mut self.counters,
            cells: &mut self.cells,
            scratch: &mut self.scratch,
        };
        act(&mut self.table, cx, &mut self.sent)
    }

    fn start(&mut self, conn: ConnId, text: &str) -> Option<TransactionId> {
        let request = message(text);
        let outgoing = Outgoing {
            bytes: request.bytes().clone(),
            branch: request.via_top().unwrap().branch().unwrap().into(),
            method: request.method().unwrap().clone(),
            conn,
            owner: self.ids.next(),
        };
        self.with(|table, cx, out| table.start_client(cx, out, outgoing))
    }

    fn response(&mut self, text: &str) -> ResponseMatch {
        self.with(|table, cx, out| table.handle_response(cx, out, &message(text), |_| true))
    }

    /// What is told of a response, and whether the transaction ended with it.
    fn told(&mut self, text: &str) -> Option<(&'static str, bool)> {
        match self.response(text) {
            ResponseMatch::Stray => Some(("stray", false)),
            ResponseMatch::Absorbed => None,
            ResponseMatch::Indication(indication) => Some((name(&indication.what), indication.ended)),
        }
    }

    fn request(&mut self, conn: ConnId, text: &str) -> ServerMatch {
        self.with(|table, cx, out| table.receive_request(cx, out, conn, &message(text)))
            .unwrap()
    }

    fn respond(&mut self, id: TransactionId, text: &str) -> Responded {
        let response = message(text);
        let status = response.status().unwrap();
        self.with(|table, cx, out| table.respond(cx, out, id, status, response.bytes().clone()))
    }

    fn lose(&mut self, conn: ConnId, slice: usize) -> (Vec<(TransactionId, &'static str, bool)>, bool) {
        let mut indications = Vec::new();
        let more = self.with(|table, cx, _| table.handle_conn_lost(cx, conn, slice, &mut indications));
        (
            indications
                .iter()
                .map(|it| (it.transaction, name(&it.what), it.ended))
                .collect(),
            more,
        )
    }

    /// Fires all timers until the one queue is empty; what they had to tell, with the time in milliseconds.
    fn run(&mut self) -> Vec<(u64, TransactionId, &'static str, bool)> {
        let mut told = Vec::new();
        while let Some((at, _)) = self.timers.next() {
            self.now = at;
            let Some((_, TimerKey::Transaction(id, timer))) = self.timers.pop_due(at) else {
                break;
            };
            let indication = self.with(|table, cx, out| table.handle_timer(cx, out, id, timer));
            let millis = at.as_micros() / 1_000;
            told.extend(indication.map(|it| (millis, it.transaction, name(&it.what), it.ended)));
        }
        told
    }

    fn take_sent(&mut self) -> Vec<(ConnId, TransmissionKind, String)> {
        let start_line = |bytes: &Bytes| String::from(str::from_utf8(bytes).unwrap().lines().next().unwrap());
        self.sent
            .drain(..)
            .map(|it| (it.conn, it.kind, start_line(&it.bytes)))
            .collect()
    }

    /// Nothing is held: no transaction, no timer, and no entry of an index.
    fn assert_empty(&self) {
        assert_eq!(self.table.count(), 0);
        assert_eq!((self.table.clients.len(), self.table.servers.len()), (0, 0));
        assert_eq!((self.table.calls.len(), self.table.by_conn.len()), (0, 0));
        assert_eq!(self.timers.len(), 0);
    }
}

const fn name(what: &What) -> &'static str {
    match what {
        What::Provisional(_) => "provisional",
        What::Final(_) => "final",
        What::TimedOut => "timed out",
        What::ConnectionLost => "connection lost",
        What::SendTrying => "send trying",
        What::Ended => "ended",
    }
}

/// Lines that are divided by `|`, as a message without body.
fn message(text: &str) -> Message {
    let mut lines: String = text.split('|').flat_map(|line| [line.trim(), "\r\n"]).collect();
    lines.push_str("\r\n");
    Message::parse(Bytes::from(lines), &MessageLimits::default()).unwrap()
}

const VIA: &str = "Via: SIP/2.0/TCP a.example.com;branch=z9hG4bK74bf9";

fn request(method: &str, branch: &str, rest: &str) -> String {
    format!(
        "{method} sip:bob@b.example.com SIP/2.0|Via: SIP/2.0/TCP a.example.com;branch={branch}|Max-Forwards: 70
        |From: Alice <sip:alice@a.example.com>;tag=9fxced76sl|Call-ID: 3848276298220188511@a.example.com
        |CSeq: 2 {method}{rest}"
    )
    .replace('\n', "")
}

fn with_to(method: &str, branch: &str) -> String {
    request(method, branch, "|To: Bob <sip:bob@b.example.com>")
}

fn answer(status: &str, branch: &str, method: &str) -> String {
    format!(
        "SIP/2.0 {status}|Via: SIP/2.0/TCP a.example.com;branch={branch}
        |From: Alice <sip:alice@a.example.com>;tag=9fxced76sl|To: Bob <sip:bob@b.example.com>;tag=8321234356
        |Call-ID: 3848276298220188511@a.example.com|CSeq: 2 {method}"
    )
    .replace('\n', "")
}

/// A request of a client that knows no branches.
fn old(method: &str, to_tag: &str, port: u16) -> String {
    let tag = if to_tag.is_empty() {
        String::new()
    } else {
        format!(";tag={to_tag}")
    };
    format!(
        "{method} sip:bob@b.example.com SIP/2.0|Via: SIP/2.0/TCP 10.0.0.1:{port}
        |From: <sip:alice@a.example.com>;tag=1;epid=01010101|To: <sip:bob@b.example.com>{tag}
        |Call-ID: 77@a|CSeq: 1 {method}"
    )
    .replace('\n', "")
}

fn old_answer(status: &str, method: &str) -> String {
    format!(
        "SIP/2.0 {status}|Via: SIP/2.0/TCP 10.0.0.1:5060|From: <sip:alice@a.example.com>;tag=1;epid=01010101
        |To: <sip:bob@b.example.com>;tag=B|Call-ID: 77@a|CSeq: 1 {method}"
    )
    .replace('\n', "")
}

const BRANCH: &str = "z9hG4bK74bf9";

#[test]
fn a_request_and_its_final_response() {
    let mut bench = Bench::new();
    let conn = bench.ids.next();
    let id = bench.start(conn, &with_to("MESSAGE", BRANCH)).unwrap();
    let line = String::from("MESSAGE sip:bob@b.example.com SIP/2.0");
    assert_eq!(bench.take_sent(), [(conn, TransmissionKind::First, line)]);
    assert_eq!(bench.table.alive[&id].conn, Some(conn));
    assert_eq!(
        bench.told(&answer("100 Trying", BRANCH, "MESSAGE")),
        Some(("provisional", false))
    );
    assert_eq!(
        bench.told(&answer("200 OK", BRANCH, "MESSAGE")),
        Some(("final", true))
    );
    assert_eq!(
        bench.told(&answer("200 OK", BRANCH, "MESSAGE")),
        Some(("stray", false))
    );
    bench.assert_empty();
}

// rules: S3, X7
#[test]
fn an_unanswered_request_times_out_at_32_s() {
    for method in ["MESSAGE", "INVITE"] {
        let mut bench = Bench::new();
        let conn = bench.ids.next();
        let id = bench.start(conn, &with_to(method, BRANCH)).unwrap();
        assert_eq!(bench.run(), [(32_000, id, "timed out", true)]);
        let timeouts = bench.counters.timeouts;
        let expected = if method == "INVITE" { (1, 0) } else { (0, 1) };
        assert_eq!(
            (timeouts.invite, timeouts.request, timeouts.ack),
            (expected.0, expected.1, 0)
        );
        let transactions = bench.counters.transactions;
        assert_eq!(
            (transactions.client_invite.started, transactions.client.started),
            expected
        );
        assert_eq!(transactions.active(), 0);
        bench.assert_empty();
    }
}

// rules: S3
#[test]
fn the_times_are_those_of_the_configuration() {
    let mut bench = Bench::new();
    bench.config.t1 = Duration::from_secs(2);
    let conn = bench.ids.next();
    let id = bench.start(conn, &with_to("MESSAGE", BRANCH)).unwrap();
    // RFC 3261 section 17.1.2.2: timer F is 64*T1.
    assert_eq!(bench.run(), [(128_000, id, "timed out", true)]);
}

// RFC 3261 sections 17.1.1.2, 17.1.2.2 and 17.2.1: which timers run on a stream transport, in milliseconds from now.
// rules: S3, X6
#[test]
fn no_timer_runs_on_when_what_it_waits_for_has_come() {
    let left = |bench: &Bench| {
        let next = bench.timers.next().map(|(at, _)| at.since(bench.now).as_millis());
        (bench.timers.len(), next)
    };
    let mut bench = Bench::new();
    let conn = bench.ids.next();
    // Timer B is of the state Calling alone.
    bench.start(conn, &with_to("INVITE", BRANCH)).unwrap();
    assert_eq!(left(&bench), (1, Some(32_000)));
    bench.response(&answer("180 Ringing", BRANCH, "INVITE"));
    assert_eq!(left(&bench), (0, None));
    bench.response(&answer("486 Busy Here", BRANCH, "INVITE"));
    bench.assert_empty();
    // Timer F is of Proceeding, too.
    bench.start(conn, &with_to("MESSAGE", BRANCH)).unwrap();
    bench.response(&answer("100 Trying", BRANCH, "MESSAGE"));
    assert_eq!(left(&bench), (1, Some(32_000)));
    bench.response(&answer("200 OK", BRANCH, "MESSAGE"));
    bench.assert_empty();
    // 100 is due after 200 ms, unless something was said before; the ACK after 32 s.
    let ServerMatch::New(id) = bench.request(conn, &with_to("INVITE", BRANCH)) else {
        panic!("it is new")
    };
    assert_eq!(left(&bench), (1, Some(200)));
    bench.respond(id, &answer("180 Ringing", BRANCH, "INVITE"));
    assert_eq!(left(&bench), (0, None));
    bench.respond(id, &answer("486 Busy Here", BRANCH, "INVITE"));
    assert_eq!(left(&bench), (1, Some(32_000)));
    bench.request(conn, &with_to("ACK", BRANCH));
    bench.assert_empty();
    // A failure that comes at once stops the one and starts the other.
    let ServerMatch::New(id) = bench.request(conn, &with_to("INVITE", BRANCH)) else {
        panic!("it is new")
    };
    bench.respond(id, &answer("486 Busy Here", BRANCH, "INVITE"));
    assert_eq!(left(&bench), (1, Some(32_000)));
}

#[test]
fn a_response_is_matched_by_branch_and_method_together() {
    let mut bench = Bench::new();
    let conn = bench.ids.next();
    bench.start(conn, &with_to("INVITE", BRANCH)).unwrap();
    bench.start(conn, &with_to("CANCEL", BRANCH)).unwrap();
    assert_eq!(
        bench.told(&answer("200 OK", "z9hG4bK74bf8", "CANCEL")),
        Some(("stray", false))
    );
    assert_eq!(
        bench.told(&answer("200 OK", BRANCH, "MESSAGE")),
        Some(("stray", false))
    );
    // Tokens are compared without regard to case.
    assert_eq!(
        bench.told(&answer("200 OK", "Z9HG4BK74BF9", "CANCEL")),
        Some(("final", true))
    );
    assert_eq!(
        bench.told(&answer("487 Gone", BRANCH, "INVITE")),
        Some(("final", true))
    );
    bench.assert_empty();
}

// rules: S3
#[test]
fn every_2xx_to_an_invite_goes_up_for_32_s() {
    let mut bench = Bench::new();
    let conn = bench.ids.next();
    let id = bench.start(conn, &with_to("INVITE", BRANCH)).unwrap();
    bench.take_sent();
    assert_eq!(
        bench.told(&answer("200 OK", BRANCH, "INVITE")),
        Some(("final", false))
    );
    assert_eq!(
        bench.told(&answer("200 OK", BRANCH, "INVITE")),
        Some(("final", false))
    );
    assert_eq!(bench.told(&answer("180 Ringing", BRANCH, "INVITE")), None);
    assert_eq!(bench.told(&answer("486 Busy Here", BRANCH, "INVITE")), None);
    assert_eq!(bench.take_sent(), []);
    assert_eq!(bench.run(), [(32_000, id, "ended", true)]);
    bench.assert_empty();
}

// RFC 3261 section 17.1.1.3, and its example: the ACK has the Request-URI, Via, Route, From, Call-ID and CSeq number
// of the INVITE and the To of the response. Section 22.1: and the INVITE's credentials.
#[test]
fn the_ack_for_a_failure_is_written_from_the_invite() {
    let mut bench = Bench::new();
    let conn = bench.ids.next();
    let digest = "Digest username=\"alice\", realm=\"b.example.com\", response=\"0\"";
    let invite = request(
        "INVITE",
        BRANCH,
        &format!(
            "|To: Bob <sip:bob@b.example.com>|Route: <sip:p1.example.com;lr>, <sip:p2.example.com;lr>
            |Route: <sip:p3.example.com;lr>|Contact: <sip:alice@a.example.com>|Proxy-Authorization: {digest}
            |Authorization: NTLM qop=\"auth\", response=\"1\"|User-Agent: x"
        )
        .replace('\n', ""),
    );
    bench.start(conn, &invite).unwrap();
    bench.take_sent();
    let failure = answer("486 Busy Here", BRANCH, "INVITE");
    assert_eq!(bench.told(&failure), Some(("final", true)));
    let [ack] = bench.sent.as_slice() else {
        panic!("one ACK is sent")
    };
    assert_eq!((ack.conn, ack.kind), (conn, TransmissionKind::Ack));
    let ack = Message::parse(ack.bytes.clone(), &MessageLimits::default()).unwrap();
    let all = |name| {
        ack.raw_all(name)
            .map(|value| str::from_utf8(value).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (ack.method(), ack.request_uri()),
        (Some(&Method::Ack), "sip:bob@b.example.com")
    );
    assert_eq!(all(HeaderName::Via), [VIA.strip_prefix("Via: ").unwrap()]);
    assert_eq!(
        all(HeaderName::Route),
        [
            "<sip:p1.example.com;lr>, <sip:p2.example.com;lr>",
            "<sip:p3.example.com;lr>"
        ]
    );
    assert_eq!(
        all(HeaderName::From),
        ["Alice <sip:alice@a.example.com>;tag=9fxced76sl"]
    );
    assert_eq!(
        all(HeaderName::To),
        ["Bob <sip:bob@b.example.com>;tag=8321234356"]
    );
    assert_eq!(all(HeaderName::CallId), ["3848276298220188511@a.example.com"]);
    assert_eq!(all(HeaderName::CSeq), ["2 ACK"]);
    assert_eq!(all(HeaderName::MaxForwards), ["70"]);
    assert_eq!(all(HeaderName::ContentLength), ["0"]);
    assert_eq!(all(HeaderName::ProxyAuthorization), [digest]);
    // Signed for the INVITE alone.
    assert_eq!(all(HeaderName::Authorization), [""; 0]);
    assert_eq!(ack.headers().count(), 10);
    bench.assert_empty();
}

#[test]
fn no_response_can_write_a_line_into_the_ack() {
    let mut bench = Bench::new();
    let conn = bench.ids.next();
    bench.start(conn, &with_to("INVITE", BRANCH)).unwrap();
    bench.take_sent();
    let failure =
        answer("486 Busy Here", BRANCH, "INVITE").replace("To: Bob", "To: \"a\nRoute: <sip:evil>\"");
    assert_eq!(bench.response(&failure), ResponseMatch::Absorbed);
    assert_eq!(bench.take_sent(), []);
}

// RFC 3261 section 25.1: a tab is white space.
#[test]
fn a_tab_in_the_to_of_a_failure_is_no_reason_not_to_acknowledge_it() {
    let mut bench = Bench::new();
    let conn = bench.ids.next();
    bench.start(conn, &with_to("INVITE", BRANCH)).unwrap();
    bench.take_sent();
    let failure = answer("486 Busy Here", BRANCH, "INVITE").replace("To: Bob <", "To: Bob\t<");
    assert_eq!(bench.told(&failure), Some(("final", true)));
    let line = String::from("ACK sip:bob@b.example.com SIP/2.0");
    assert_eq!(bench.take_sent(), [(conn, TransmissionKind::Ack, line)]);
}

// The limits of received messages are not those of our own.
// rules: S10, C31
#[test]
fn an_invite_however_long_is_acknowledged_and_cancelled() {
    let limits = MessageLimits::default();
    let many = "X-Many: 1\r\n".repeat(limits.headers + 1);
    let long = format!("X-Long: {}\r\n", "1".repeat(limits.header_block + 1));
    for more in [many, long] {
        let mut bench = Bench::new();
        let conn = bench.ids.next();
        let invite = message(&with_to("INVITE", BRANCH)).bytes().clone();
        let invite = String::from_utf8(invite.to_vec())
            .unwrap()
            .replace("To: ", &format!("{more}To: "));
        let outgoing = Outgoing {
            bytes: invite.into(),
            branch: BRANCH.into(),
            method: Method::Invite,
            conn,
            owner: bench.ids.next(),
        };
        let id = bench
            .with(|table, cx, out| table.start_client(cx, out, outgoing))
            .unwrap();
        bench.take_sent();
        bench.response(&answer("180 Ringing", BRANCH, "INVITE"));
        assert!(bench.table.cancel_for(id).is_some());
        assert_eq!(
            bench.told(&answer("486 Busy Here", BRANCH, "INVITE")),
            Some(("final", true))
        );
        assert_eq!(bench.take_sent().len(), 1, "the ACK");
    }
}

// RFC 3261 section 9.1: Request-URI, Call-ID, To, the number of CSeq and From are those of the request, the one Via is
// its top one, the Routes are its Routes. Not before a provisional response, not after a final one.
// rules: S10
#[test]
fn cancel_is_written_from_the_invite() {
    let mut bench = Bench::new();
    let conn = bench.ids.next();
    let invite = request(
        "INVITE",
        BRANCH,
        "|To: Bob <sip:bob@b.example.com>|Route: <sip:p1.example.com;lr>",
    );
    let id = bench.start(conn, &invite).unwrap();
    assert_eq!(bench.table.cancel_for(id), None);
    bench.response(&answer("180 Ringing", BRANCH, "INVITE"));
    let cancel = Message::parse(bench.table.cancel_for(id).unwrap(), &MessageLimits::default()).unwrap();
    let all = |name| {
        cancel
            .raw_all(name)
            .map(|value| str::from_utf8(value).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (cancel.method(), cancel.request_uri()),
        (Some(&Method::Cancel), "sip:bob@b.example.com")
    );
    assert_eq!(all(HeaderName::Via), [VIA.strip_prefix("Via: ").unwrap()]);
    assert_eq!(all(HeaderName::Route), ["<sip:p1.example.com;lr>"]);
    assert_eq!(
        all(HeaderName::From),
        ["Alice <sip:alice@a.example.com>;tag=9fxced76sl"]
    );
    assert_eq!(all(HeaderName::To), ["Bob <sip:bob@b.example.com>"]);
    assert_eq!(all(HeaderName::CSeq), ["2 CANCEL"]);
    bench.response(&answer("200 OK", BRANCH, "INVITE"));
    assert_eq!(bench.table.cancel_for(id), None);
}

#[test]
fn an_invite_is_served_and_its_failure_acknowledged() {
    let mut bench = Bench::new();
    let conn = bench.ids.next();
    let ServerMatch::New(id) = bench.request(conn, &with_to("INVITE", BRANCH)) else {
        panic!("it is new")
    };
    assert_eq!(
        bench.request(conn, &with_to("INVITE", BRANCH)),
        ServerMatch::Retransmission(id)
    );
    assert_eq!(bench.take_sent(), []);
    assert_eq!(bench.run(), [(200, id, "send trying", false)]);
    assert_eq!(
        bench.respond(id, &answer("100 Trying", BRANCH, "INVITE")),
        Responded::Sent { ended: false }
    );
    assert_eq!(
        bench.request(conn, &with_to("INVITE", BRANCH)),
        ServerMatch::Retransmission(id)
    );
    assert!(bench.table.awaits_final(id));
    assert_eq!(
        bench.respond(id, &answer("486 Busy Here", BRANCH, "INVITE")),
        Responded::Sent { ended: false }
    );
    assert!(!bench.table.awaits_final(id));
    assert_eq!(
        bench.respond(id, &answer("200 OK", BRANCH, "INVITE")),
        Responded::Late
    );
    let line = |text: &str| format!("SIP/2.0 {text}");
    let again = |label| {
        matches!(
            label,
            Label::Message {
                again: true,
                kind: Kind::Response(0)
            }
        )
    };
    assert_eq!(bench.sent.iter().filter(|it| again(it.label)).count(), 1);
    assert_eq!(
        bench.take_sent(),
        [
            (conn, TransmissionKind::First, line("100 Trying")),
            (conn, TransmissionKind::Again, line("100 Trying")),
            (conn, TransmissionKind::First, line("486 Busy Here")),
        ]
    );
    let ack = request("ACK", BRANCH, "|To: Bob <sip:bob@b.example.com>;tag=8321234356");
    assert_eq!(
        bench.request(conn, &ack),
        ServerMatch::Ack {
            transaction: id,
            ended: true
        }
    );
    assert_eq!(bench.request(conn, &ack), ServerMatch::AckForSuccess(None));
    bench.assert_empty();
}

#[test]
fn a_failure_that_is_never_acknowledged_is_told_after_32_s() {
    let mut bench = Bench::new();
    let conn = bench.ids.next();
    let ServerMatch::New(id) = bench.request(conn, &with_to("INVITE", BRANCH)) else {
        panic!("it is new")
    };
    bench.respond(id, &answer("486 Busy Here", BRANCH, "INVITE"));
    assert_eq!(bench.run(), [(32_000, id, "timed out", true)]);
    let timeouts = bench.counters.timeouts;
    assert_eq!((timeouts.ack, timeouts.invite, timeouts.request), (1, 0, 0));
    bench.assert_empty();
}

// rules: S3
#[test]
fn an_accepted_invite_absorbs_its_retransmissions_for_32_s() {
    let mut bench = Bench::new();
    let conn = bench.ids.next();
    let ServerMatch::New(id) = bench.request(conn, &with_to("INVITE", BRANCH)) else {
        panic!("it is new")
    };
    let ok = answer("200 OK", BRANCH, "INVITE");
    assert_eq!(bench.respond(id, &ok), Responded::Sent { ended: false });
    assert_eq!(bench.respond(id, &ok), Responded::Sent { ended: false });
    assert_eq!(
        bench.respond(id, &answer("486 Busy Here", BRANCH, "INVITE")),
        Responded::Late
    );
    assert_eq!(
        bench.request(conn, &with_to("INVITE", BRANCH)),
        ServerMatch::Retransmission(id)
    );
    let kinds: Vec<_> = bench.take_sent().into_iter().map(|(_, kind, _)| kind).collect();
    assert_eq!(kinds, [TransmissionKind::First, TransmissionKind::Again]);
    // The ACK for a 2xx has a branch of its own; a peer that gives it the INVITE's is understood, too.
    assert_eq!(
        bench.request(conn, &with_to("ACK", "z9hG4bK74bf0")),
        ServerMatch::AckForSuccess(None)
    );
    assert_eq!(
        bench.request(conn, &with_to("ACK", BRANCH)),
        ServerMatch::AckForSuccess(Some(id))
    );
    assert_eq!(bench.run(), [(32_000, id, "ended", true)]);
    bench.assert_empty();
}

#[test]
fn a_request_is_matched_by_branch_sent_by_and_method() {
    let mut bench = Bench::new();
    let conn = bench.ids.next();
    let first = with_to("MESSAGE", BRANCH);
    let ServerMatch::New(id) = bench.request(conn, &first) else {
        panic!("it is new")
    };
    assert_eq!(
        bench.request(conn, &first.replace("TCP a.ex", "TCP A.EX")),
        ServerMatch::Retransmission(id)
    );
    assert!(matches!(
        bench.request(conn, &first.replace("TCP a.ex", "TCP b.ex")),
        ServerMatch::New(_)
    ));
    assert!(matches!(
        bench.request(conn, &first.replace(BRANCH, "z9hG4bK1")),
        ServerMatch::New(_)
    ));
    assert!(matches!(
        bench.request(conn, &first.replace("MESSAGE", "INFO")),
        ServerMatch::New(_)
    ));
    assert_eq!(bench.table.count(), 4);
}

// RFC 3261 section 9.2
// rules: S10
#[test]
fn cancel_finds_its_invite() {
    let mut bench = Bench::new();
    let conn = bench.ids.next();
    let cancel = with_to("CANCEL", BRANCH);
    let ServerMatch::Cancel { own: early, of: None } = bench.request(conn, &cancel) else {
        panic!("there is nothing to cancel")
    };
    assert_eq!(
        bench.respond(
            early,
            &answer("481 Call/Transaction Does Not Exist", BRANCH, "CANCEL")
        ),
        Responded::Sent { ended: true }
    );
    let ServerMatch::New(invite) = bench.request(conn, &with_to("INVITE", BRANCH)) else {
        panic!("it is new")
    };
    let ServerMatch::Cancel { own, of } = bench.request(conn, &cancel) else {
        panic!("it is a new CANCEL")
    };
    assert_eq!(of, Some(invite));
    assert_eq!(bench.request(conn, &cancel), ServerMatch::Retransmission(own));
    assert_eq!(
        bench.respond(own, &answer("200 OK", BRANCH, "CANCEL")),
        Responded::Sent { ended: true }
    );
    assert!(bench.table.awaits_final(invite));
    // It is the INVITE that is cancelled, whatever else a peer has sent with that branch before.
    let mut bench = Bench::new();
    bench.request(conn, &with_to("MESSAGE", BRANCH));
    let ServerMatch::New(invite) = bench.request(conn, &with_to("INVITE", BRANCH)) else {
        panic!("it is new")
    };
    let ServerMatch::Cancel { of, .. } = bench.request(conn, &cancel) else {
        panic!("it is a new CANCEL")
    };
    assert_eq!(of, Some(invite));
}

// RFC 3261 section 17.2.3, for peers without the magic cookie; OCS clients send Via without branch.
#[test]
fn old_peers_are_matched_by_their_fields() {
    for branch in ["", ";branch=1", ";branch=z9hG4bK"] {
        let text = |text: String| text.replace("10.0.0.1:5060", &format!("10.0.0.1:5060{branch}"));
        let mut bench = Bench::new();
        let conn = bench.ids.next();
        let invite = text(old("INVITE", "", 5060));
        let ServerMatch::New(id) = bench.request(conn, &invite) else {
            panic!("it is new")
        };
        assert_eq!(bench.request(conn, &invite), ServerMatch::Retransmission(id));
        let ServerMatch::Cancel { own, of } = bench.request(conn, &text(old("CANCEL", "", 5060))) else {
            panic!("it is a new CANCEL")
        };
        assert_eq!(of, Some(id));
        bench.respond(own, &old_answer("200 OK", "CANCEL"));
        // Every field of the comparison makes another transaction.
        for (from, to) in [
            ("sip:bob@b.example.com SIP", "sip:bob@c.example.com SIP"),
            ("tag=1", "tag=2"),
            ("77@a", "78@a"),
            ("CSeq: 1", "CSeq: 2"),
            ("10.0.0.1", "10.0.0.2"),
            ("TCP 10", "TLS 10"),
            ("<sip:bob@b.example.com>", "<sip:bob@b.example.com>;tag=1"),
        ] {
            let other = invite.replace(from, to);
            assert_ne!(other, invite);
            let ServerMatch::New(other) = bench.request(conn, &other) else {
                panic!("{to} is another")
            };
            bench.with(|table, cx, _| table.abandon(cx, other));
        }
        // Before its final response there is nothing to acknowledge.
        bench.respond(id, &old_answer("180 Ringing", "INVITE"));
        assert_eq!(
            bench.request(conn, &text(old("ACK", "B", 5060))),
            ServerMatch::AckForSuccess(None)
        );
        bench.respond(id, &old_answer("487 Request Terminated", "INVITE"));
        // The To tag of the ACK is that of the response.
        assert_eq!(
            bench.request(conn, &text(old("ACK", "", 5060))),
            ServerMatch::AckForSuccess(None)
        );
        assert_eq!(
            bench.request(conn, &text(old("ACK", "C", 5060))),
            ServerMatch::AckForSuccess(None)
        );
        let ack = text(old("ACK", "B", 5060));
        assert_eq!(
            bench.request(conn, &ack),
            ServerMatch::Ack {
                transaction: id,
                ended: true
            }
        );
        bench.assert_empty();
    }
}

// RFC 3261 section 8.2.2.2
// rules: M6
#[test]
fn one_request_by_two_ways_is_merged_within_an_endpoint() {
    let mut bench = Bench::new();
    let conn = bench.ids.next();
    let (alice, bob): (EndpointId, EndpointId) = (bench.ids.next(), bench.ids.next());
    let by = |branch: &str| with_to("INVITE", branch);
    let ServerMatch::New(first) = bench.request(conn, &by("z9hG4bK1")) else {
        panic!("it is new")
    };
    let ServerMatch::New(second) = bench.request(conn, &by("z9hG4bK2")) else {
        panic!("it is new")
    };
    let ServerMatch::New(third) = bench.request(conn, &by("z9hG4bK3")) else {
        panic!("it is new")
    };
    assert!(!bench.table.is_merged(first, alice));
    assert!(!bench.table.is_merged(first, alice));
    assert!(bench.table.is_merged(second, alice));
    // A call that forks to two endpoints of one stack is a call to each.
    assert!(!bench.table.is_merged(third, bob));
    // Not merged: another CSeq, or within a dialog.
    for text in [
        by("z9hG4bK4").replace("CSeq: 2", "CSeq: 3"),
        by("z9hG4bK4") + ";tag=1",
    ] {
        let ServerMatch::New(other) = bench.request(conn, &text) else {
            panic!("it is new")
        };
        assert!(!bench.table.is_merged(other, alice));
        bench.with(|table, cx, _| table.abandon(cx, other));
    }
    // What is over merges nothing.
    for id in [second, first, third] {
        bench.with(|table, cx, _| table.abandon(cx, id));
    }
    let ServerMatch::New(late) = bench.request(conn, &by("z9hG4bK5")) else {
        panic!("it is new")
    };
    assert!(!bench.table.is_merged(late, alice));
    bench.with(|table, cx, _| table.abandon(cx, late));
    bench.assert_empty();
}

#[test]
fn a_lost_connection_ends_its_requests_in_order_and_in_slices() {
    let mut bench = Bench::new();
    let (conn, other): (ConnId, ConnId) = (bench.ids.next(), bench.ids.next());
    let first = bench.start(conn, &with_to("INVITE", "z9hG4bK1")).unwrap();
    let second = bench.start(conn, &with_to("MESSAGE", "z9hG4bK2")).unwrap();
    let kept = bench.start(other, &with_to("MESSAGE", "z9hG4bK3")).unwrap();
    let accepted = bench.start(conn, &with_to("INVITE", "z9hG4bK4")).unwrap();
    let third = bench.start(conn, &with_to("INVITE", "z9hG4bK5")).unwrap();
    bench.response(&answer("200 OK", "z9hG4bK4", "INVITE"));
    bench.response(&answer("180 Ringing", "z9hG4bK5", "INVITE"));
    let lost = |id| (id, "connection lost", true);
    assert_eq!(bench.lose(conn, 2), (vec![lost(first), lost(second)], true));
    // What has its final response says nothing.
    assert_eq!(bench.lose(conn, 2), (vec![lost(third)], false));
    assert_eq!(bench.lose(conn, 2), (vec![], false));
    assert_eq!(
        bench.run(),
        [
            (32_000, kept, "timed out", true),
            (32_000, accepted, "ended", true)
        ]
    );
    bench.assert_empty();
}

// rules: C22
#[test]
fn while_nothing_is_read_only_what_waits_for_the_peer_stands_still() {
    let mut bench = Bench::new();
    let conn = bench.ids.next();
    let ServerMatch::New(id) = bench.request(conn, &with_to("INVITE", BRANCH)) else {
        panic!("it is new")
    };
    bench.with(|table, cx, _| table.stand_still(cx, conn));
    // 100 Trying is ours to send; the ACK to the failure is the peer's.
    assert_eq!(
        bench.timers.next().map(|(at, _)| at),
        Some(Time::from_millis(200))
    );
    bench.respond(id, &answer("486 Busy Here", BRANCH, "INVITE"));
    assert_eq!(bench.timers.next(), None);
    bench.now = Time::from_millis(5_000);
    bench.with(|table, cx, _| table.go_on(cx, conn));
    assert_eq!(
        bench.timers.next().map(|(at, _)| at),
        Some(Time::from_millis(37_000))
    );
    // What has been stopped before does not go on.
    let mut bench = Bench::new();
    bench.start(conn, &with_to("INVITE", BRANCH)).unwrap();
    bench.response(&answer("180 Ringing", BRANCH, "INVITE"));
    bench.with(|table, cx, _| table.stand_still(cx, conn));
    bench.with(|table, cx, _| table.go_on(cx, conn));
    assert_eq!(bench.timers.len(), 0);
}

// rules: C22, X6
#[test]
fn a_lost_connection_has_nothing_open() {
    let mut bench = Bench::new();
    bench.config.connection_throttle = Some(crate::config::Throttle { high: 9, low: 9 });
    let conn = bench.ids.next();
    bench.start(conn, &with_to("INVITE", BRANCH)).unwrap();
    bench.request(conn, &with_to("MESSAGE", BRANCH));
    assert_eq!(bench.table.open(conn), load::Open { ours: 1, theirs: 1 });
    bench.lose(conn, 9);
    assert_eq!(bench.table.open(conn), load::Open::default());
}

// rules: C33
#[test]
fn a_response_whose_connection_is_lost_goes_over_another() {
    let mut bench = Bench::new();
    let (conn, other): (ConnId, ConnId) = (bench.ids.next(), bench.ids.next());
    let ServerMatch::New(id) = bench.request(conn, &with_to("MESSAGE", BRANCH)) else {
        panic!("it is new")
    };
    assert!(!bench.table.rebind(id, other));
    assert_eq!(bench.lose(conn, 9), (vec![(id, "connection lost", false)], false));
    let ok = answer("200 OK", BRANCH, "MESSAGE");
    assert_eq!(bench.respond(id, &ok), Responded::NoConnection);
    assert!(bench.table.rebind(id, other));
    assert!(bench.table.rebind(id, other));
    assert_eq!(bench.respond(id, &ok), Responded::Sent { ended: true });
    assert_eq!(
        bench.take_sent(),
        [(other, TransmissionKind::First, String::from("SIP/2.0 200 OK"))]
    );
    bench.assert_empty();
}

#[test]
fn a_retransmission_over_a_new_connection_brings_it_along() {
    let mut bench = Bench::new();
    let (conn, other): (ConnId, ConnId) = (bench.ids.next(), bench.ids.next());
    let ServerMatch::New(id) = bench.request(conn, &with_to("INVITE", BRANCH)) else {
        panic!("it is new")
    };
    bench.respond(id, &answer("180 Ringing", BRANCH, "INVITE"));
    bench.take_sent();
    // While the first one lives, the transaction stays with it.
    bench.request(other, &with_to("INVITE", BRANCH));
    assert_eq!(bench.table.alive[&id].conn, Some(conn));
    bench.lose(conn, 9);
    assert_eq!(
        bench.request(other, &with_to("INVITE", BRANCH)),
        ServerMatch::Retransmission(id)
    );
    let ringing = String::from("SIP/2.0 180 Ringing");
    let sent = bench.take_sent();
    assert_eq!(
        sent,
        [
            (conn, TransmissionKind::Again, ringing.clone()),
            (other, TransmissionKind::Again, ringing)
        ]
    );
}

#[test]
fn a_retransmission_over_a_new_connection_fetches_the_response_that_waits() {
    let mut bench = Bench::new();
    let (conn, other): (ConnId, ConnId) = (bench.ids.next(), bench.ids.next());
    let ServerMatch::New(id) = bench.request(conn, &with_to("MESSAGE", BRANCH)) else {
        panic!("it is new")
    };
    bench.lose(conn, 9);
    let ok = answer("200 OK", BRANCH, "MESSAGE");
    assert_eq!(bench.respond(id, &ok), Responded::NoConnection);
    assert_eq!(
        bench.request(other, &with_to("MESSAGE", BRANCH)),
        ServerMatch::Retransmission(id)
    );
    let line = String::from("SIP/2.0 200 OK");
    assert_eq!(bench.take_sent(), [(other, TransmissionKind::First, line)]);
    bench.assert_empty();
}

// RFC 6026 section 7.1: an INVITE server transaction outlives a transport error; RFC 3261 figure 8: others end.
#[test]
fn what_cannot_be_answered_ends() {
    // The response comes before the way to the peer is given up, or after.
    for before in [true, false] {
        let mut bench = Bench::new();
        let conn = bench.ids.next();
        let ServerMatch::New(message) = bench.request(conn, &with_to("MESSAGE", BRANCH)) else {
            panic!("it is new")
        };
        let ServerMatch::New(invite) = bench.request(conn, &with_to("INVITE", BRANCH)) else {
            panic!("it is new")
        };
        let undeliverable =
            |bench: &mut Bench, id| bench.with(|table, cx, _| table.handle_undeliverable(cx, id));
        // A way there is, as long as there is the connection.
        assert_eq!(undeliverable(&mut bench, invite), None);
        bench.lose(conn, 9);
        let busy = answer("486 Busy Here", BRANCH, "INVITE");
        if before {
            assert_eq!(bench.respond(invite, &busy), Responded::NoConnection);
        }
        for (id, ended) in [(message, true), (invite, false)] {
            let told = undeliverable(&mut bench, id).unwrap();
            assert_eq!((told.what, told.ended), (What::ConnectionLost, ended));
        }
        assert_eq!(
            bench.respond(message, &answer("200 OK", BRANCH, "MESSAGE")),
            Responded::Late
        );
        let again = if before {
            Responded::Late
        } else {
            Responded::Sent { ended: false }
        };
        assert_eq!(bench.respond(invite, &busy), again);
        assert_eq!(bench.take_sent(), []);
        assert_eq!(bench.run(), [(32_000, invite, "timed out", true)]);
        bench.assert_empty();
    }
}

// rules: C31
#[test]
fn the_limit_refuses_what_is_one_more() {
    let mut bench = Bench::new();
    let conn = bench.ids.next();
    bench.config.limits.transactions = 2;
    let ServerMatch::New(_) = bench.request(conn, &with_to("INVITE", BRANCH)) else {
        panic!("it is new")
    };
    assert_eq!(bench.counters.refusals.transactions, 0);
    let ours = bench.start(conn, &with_to("INVITE", "z9hG4bK2")).unwrap();
    assert_eq!(bench.start(conn, &with_to("MESSAGE", "z9hG4bK3")), None);
    assert_eq!(
        bench.request(conn, &with_to("MESSAGE", "z9hG4bK4")),
        ServerMatch::Full
    );
    assert_eq!(
        bench.request(conn, &with_to("CANCEL", "z9hG4bK4")),
        ServerMatch::Full
    );
    assert_eq!(bench.counters.refusals.transactions, 3);
    // What belongs to a transaction, or ends one, is still heard.
    assert!(matches!(
        bench.request(conn, &with_to("INVITE", BRANCH)),
        ServerMatch::Retransmission(_)
    ));
    assert!(matches!(
        bench.request(conn, &with_to("CANCEL", BRANCH)),
        ServerMatch::Cancel { of: Some(_), .. }
    ));
    assert!(bench.start(conn, &with_to("CANCEL", "z9hG4bK2")).is_some());
    assert_eq!(bench.table.count(), 4);
    bench.with(|table, cx, _| table.abandon(cx, ours));
    assert_eq!(bench.counters.refusals.transactions, 3);
}

#[test]
fn what_cannot_be_compared_is_an_error() {
    for text in [
        with_to("MESSAGE", BRANCH).replace("Via:", "X-Via:"),
        old("MESSAGE", "", 5060).replace("Call-ID:", "X-Call-ID:"),
        old("MESSAGE", "", 5060).replace("From:", "X-From:"),
        old("MESSAGE", "", 5060).replace("CSeq: 1", "CSeq: one"),
        old("MESSAGE", "", 5060).replace("To:", "X-To:"),
    ] {
        let mut bench = Bench::new();
        let conn = bench.ids.next();
        let result = bench.with(|table, cx, out| table.receive_request(cx, out, conn, &message(&text)));
        assert!(result.is_err(), "{text}");
        bench.assert_empty();
    }
}

#[test]
fn an_abandoned_transaction_leaves_nothing() {
    let mut bench = Bench::new();
    let conn = bench.ids.next();
    let id = bench.start(conn, &with_to("INVITE", BRANCH)).unwrap();
    assert!(bench.with(|table, cx, _| table.abandon(cx, id)));
    assert!(!bench.with(|table, cx, _| table.abandon(cx, id)));
    assert_eq!(
        bench.told(&answer("200 OK", BRANCH, "INVITE")),
        Some(("stray", false))
    );
    bench.assert_empty();
}

#[test]
fn fingerprints_know_the_course_and_not_the_names() {
    let course = |offset: u64, branch: &str, step: u64| {
        let mut bench = Bench::new();
        bench.now = Time::from_millis(offset);
        for _ in 0..offset {
            let _: ConnId = bench.ids.next();
        }
        let conn = bench.ids.next();
        bench.start(conn, &with_to("INVITE", branch)).unwrap();
        bench.request(conn, &with_to("MESSAGE", branch));
        bench.table.fingerprint(bench.now + Duration::from_millis(step))
    };
    let print = course(0, "z9hG4bK1", 0);
    assert_eq!(print.len(), 2);
    assert_eq!(print, course(17, "z9hG4bK2", 0));
    // Time that has passed is a difference, as less is left of timer B.
    assert_ne!(print, course(0, "z9hG4bK1", 1));
}

#[test]
fn equal_branches_of_many_methods_do_not_disturb_each_other() {
    let mut bench = Bench::new();
    let conn = bench.ids.next();
    for method in ["INFO", "OPTIONS", "MESSAGE", "FOO"] {
        bench.start(conn, &with_to(method, BRANCH)).unwrap();
    }
    for method in ["MESSAGE", "FOO", "INFO", "OPTIONS"] {
        assert_eq!(
            bench.told(&answer("200 OK", BRANCH, method)),
            Some(("final", true))
        );
    }
    bench.assert_empty();
}
