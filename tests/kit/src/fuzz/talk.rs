//! The other side of a scenario: a peer that answers what it hears, begins dialogs and goes on with them, in ways that
//! are right, late, repeated or wrong, as the script has it.

use std::fmt::Write;

use sansip::wire::header::Contact;
use sansip::wire::{HeaderName, Message, Method, StatusCode};

use super::script::Script;

const STATUS: [u16; 16] = [
    100, 180, 183, 200, 202, 302, 401, 407, 423, 404, 481, 486, 487, 500, 503, 491,
];

const METHODS: [&str; 16] = [
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "OPTIONS",
    "MESSAGE",
    "INFO",
    "NOTIFY",
    "UPDATE",
    "PRACK",
    "REFER",
    "SUBSCRIBE",
    "REGISTER",
    "SERVICE",
    "BENOTIFY",
    "FOO",
];

/// What a 430 asks for.
const REMEDIES: [&str; 4] = [
    "Dialog-Route-Set-Update",
    "Registration-Route-Set-Update, Dialog-Route-Set-Update",
    "Wait-For-Session-Update",
    "Unheard-Of",
];

/// Expiries that a registrar grants, in seconds.
const GRANTED: [u32; 4] = [3600, 600, 20, 0];

/// What a registrar says of a registration: how it may end, that it stands, and something that it cannot say.
const BODIES: [&str; 8] = [
    "deregistered;event=unregistered",
    "deregistered;event=rejected",
    "deregistered;event=deactivated",
    "deregistered;event=userservices-unavailable",
    "deregistered;event=preferred-registrar-change",
    "registered;event=userservices-unavailable",
    "deregistered;event=unheard-of",
    "",
];

/// What a peer says of the call that a REFER has asked for: how the subscription is, and the status.
const REPORTS: [(&str, &str); 8] = [
    ("active;expires=60", "SIP/2.0 100 Trying"),
    ("active;expires=60", "SIP/2.0 180 Ringing"),
    ("terminated;reason=noresource", "SIP/2.0 200 OK"),
    ("terminated;reason=noresource", "SIP/2.0 486 Busy Here"),
    ("active", "SIP/2.0 302 Moved"),
    ("active;expires=0", "SIP/2.0 180 Ringing"),
    ("pending", "SIP/2.0"),
    ("active;expires=9", "SIP/2.0 200 OK"),
];

/// What a notifier says of a subscription.
const STANDINGS: [&str; 12] = [
    "active;expires=600",
    "terminated;reason=deactivated",
    "terminated;reason=rejected",
    "active",
    "terminated;reason=giveup;retry-after=3",
    "terminated;reason=timeout",
    "pending;expires=5",
    "terminated;reason=noresource",
    "terminated;reason=probation",
    "terminated",
    "terminated;reason=invariant",
    "active;expires=0",
];

/// How much is remembered.
const REMEMBERED: usize = 16;

/// A dialog as this peer knows it.
#[derive(Clone, Debug)]
struct Dialog {
    call_id: String,
    /// This peer's side, with its tag.
    peer: String,
    /// The other side, with its tag.
    other: String,
    target: String,
    cseq: u32,
    /// The number of its last INVITE.
    invite: u32,
}

/// The last request that this peer has sent: what an ACK, a CANCEL or a repetition of it needs.
#[derive(Clone, Debug)]
struct Asked {
    uri: String,
    branch: u32,
    from: String,
    to: String,
    call_id: String,
    cseq: u32,
    text: Vec<u8>,
}

/// See the [module](self).
#[derive(Clone, Debug, Default)]
pub(crate) struct Talk {
    /// Requests heard, and on which line.
    heard: Vec<(usize, Message)>,
    dialogs: Vec<Dialog>,
    asked: Option<Asked>,
    /// What was said last, and on which line.
    said: Option<(usize, Vec<u8>)>,
    count: u32,
    /// The last reliable response that was heard, and the number of the last that was said.
    rack: Option<String>,
    rseq: u32,
}

fn text(message: &Message, name: HeaderName) -> String {
    let value = message.raw(name).unwrap_or_default();
    String::from_utf8_lossy(value).into_owned()
}

fn contact(message: &Message) -> Option<String> {
    let Some(Ok(first)) = message.list::<Contact<'_>>().next() else {
        return None;
    };
    first.uri().map(ToString::to_string)
}

/// What a response of this status usually carries; 8 in `variant` makes it something else.
fn write_usual(out: &mut String, code: u16, request: &Message, variant: usize, count: u32) {
    let odd = variant & 8 != 0;
    match code {
        200..=299 if request.method() == Some(&Method::Register) => {
            let own = contact(request).unwrap_or_default();
            let expires = GRANTED.get(variant & 3).copied().unwrap_or_default();
            if odd {
                out.push_str("Contact: <sip:other@192.0.2.9>;expires=60\r\n");
            } else {
                let _ = write!(out, "Contact: <{own}>;expires={expires}\r\n");
            }
            if variant & 4 != 0 {
                out.push_str("Presence-State: register-action=\"added\"\r\n");
            }
        }
        200..=299 if request.method() == Some(&Method::Subscribe) => {
            let expires = GRANTED.get(variant & 3).copied().unwrap_or_default();
            let _ = write!(out, "Expires: {expires}\r\n");
            out.push_str("Supported: ms-piggyback-first-notify\r\n");
            if !odd {
                out.push_str("Contact: <sip:p@192.0.2.1;transport=tcp>\r\n");
            }
        }
        200..=299 if request.method() == Some(&Method::Publish) => {
            let expires = GRANTED.get(variant & 3).copied().unwrap_or_default();
            let _ = write!(out, "Expires: {expires}\r\n");
            if !odd {
                let _ = write!(out, "SIP-ETag: e{count}\r\n");
            }
        }
        430 => {
            let action = REMEDIES.get(variant & 3).copied().unwrap_or_default();
            let _ = write!(out, "P-Dialog-Recovery-Action: {action}\r\n");
        }
        302 if odd => out.push_str("Contact: *\r\n"),
        302 => out.push_str(
            "Contact: <sip:elsewhere@192.0.2.7;transport=tcp>, <sip:m@mallory.invalid;transport=tcp>;q=0.5\r\n",
        ),
        401 | 407 => {
            let name = if code == 401 { "WWW" } else { "Proxy" };
            let (algorithm, stale) = (if odd { "MD5" } else { "SHA-256" }, variant & 1 != 0);
            let _ = write!(
                out,
                "{name}-Authenticate: Digest realm=\"example.com\", nonce=\"n{}\", qop=\"auth\", \
                 algorithm={algorithm}, stale={stale}\r\n",
                count
            );
            if variant & 4 != 0 {
                let _ = write!(
                    out,
                    "{name}-Authenticate: Kerberos realm=\"example.com\", targetname=\"sip/example.com\", version=4\r\n"
                );
            }
        }
        423 => out.push_str(if odd {
            "Min-Expires: 1\r\n"
        } else {
            "Min-Expires: 7200\r\n"
        }),
        202 if matches!(request.method(), Some(Method::Invite | Method::Update)) => {
            let who = if odd { "uas" } else { "uac" };
            let _ = write!(
                out,
                "Session-Expires: 90;refresher={who}\r\nAllow: INVITE, ACK, BYE, UPDATE\r\n"
            );
        }
        503 => {
            let _ = write!(out, "Retry-After: {variant}\r\n");
        }
        _ => {}
    }
}

/// A request up to its body.
fn write_request(method: &str, kind: usize, line: usize, asked: &Asked) -> String {
    // A binding is asked of the domain (RFC 3261 section 10.2).
    let domain = asked.uri.split_once('@').filter(|_| method == "REGISTER");
    let uri = domain.map_or_else(|| asked.uri.clone(), |(_, host)| format!("sip:{host}"));
    let mut out = format!("{method} {uri} SIP/2.0\r\n");
    let _ = write!(
        out,
        "Via: SIP/2.0/TCP peer.invalid;branch=z9hG4bK{}\r\n",
        asked.branch
    );
    if kind == 15 {
        out.push_str(
            "Via: SIP/2.0/TCP 192.0.2.8;branch=z9hG4bKfirst\r\nRecord-Route: <sip:192.0.2.8;lr>\r\n",
        );
    }
    if kind == 14 {
        let _ = write!(out, "From: <sip:old@peer.invalid>\r\nTo: {}\r\n", asked.to);
    } else {
        let _ = write!(
            out,
            "Max-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\n",
            asked.from, asked.to
        );
    }
    let _ = write!(
        out,
        "Call-ID: {}\r\nCSeq: {} {method}\r\n",
        asked.call_id, asked.cseq
    );
    match kind {
        10 => out.push_str("Require: 100rel\r\n"),
        11 if matches!(method, "INVITE" | "UPDATE") => {
            let tags = if method == "INVITE" {
                "timer, 100rel"
            } else {
                "timer"
            };
            let _ = write!(
                out,
                "Supported: {tags}\r\nSession-Expires: 90;refresher=uas\r\nAllow: INVITE, ACK, BYE, UPDATE\r\n"
            );
        }
        11 => out.push_str("Expires: 1\r\n"),
        13 => out.push_str("Reason: SIP;cause=200\r\nms-client-diagnostics: 51004\r\n"),
        12 => out.push_str("Replaces: call-1;to-tag=unknown;from-tag=p1\r\n"),
        1 | 3 if method == "SUBSCRIBE" => out.push_str("Expires: 0\r\n"),
        _ => {}
    }
    if method == "SUBSCRIBE" {
        out.push_str("Event: presence\r\n");
    }
    if matches!(
        method,
        "INVITE" | "UPDATE" | "REFER" | "SUBSCRIBE" | "NOTIFY" | "REGISTER"
    ) {
        let _ = write!(
            out,
            "Contact: <sip:p@192.0.2.1:{};transport=tcp>\r\n",
            5000 + line
        );
    }
    if method == "REFER" {
        let to = if kind == 3 {
            "mailto:p@x.invalid"
        } else {
            "sip:p@192.0.2.1:5070;transport=tcp"
        };
        let _ = write!(out, "Refer-To: <{to}>\r\n");
    }
    out
}

fn push<T>(list: &mut Vec<T>, item: T) {
    if list.len() == REMEMBERED {
        list.remove(0);
    }
    list.push(item);
}

impl Talk {
    /// Something that the other side has said.
    pub(crate) fn hear(&mut self, line: usize, message: Message) {
        if message.is_request() {
            if message.method() != Some(&Method::Ack) {
                push(&mut self.heard, (line, message));
            }
            return;
        }
        let Ok(cseq) = message.cseq() else { return };
        if let Some(number) = message.raw(HeaderName::RSeq) {
            self.rack = Some(format!(
                "{} {}",
                String::from_utf8_lossy(number),
                text(&message, HeaderName::CSeq)
            ));
        }
        let tagged = message.to().is_ok_and(|to| to.tag().is_some());
        if matches!(cseq.method, Method::Invite | Method::Subscribe) && tagged {
            let to = text(&message, HeaderName::To);
            if let Some(asked) = &mut self.asked
                && asked.call_id == text(&message, HeaderName::CallId)
            {
                asked.to.clone_from(&to);
            }
            let dialog = Dialog {
                call_id: text(&message, HeaderName::CallId),
                peer: text(&message, HeaderName::From),
                other: to,
                target: contact(&message).unwrap_or_else(|| String::from("sip:nobody@invalid")),
                cseq: cseq.number,
                invite: cseq.number,
            };
            self.learn(dialog);
        }
    }

    fn learn(&mut self, dialog: Dialog) {
        let known = self.dialogs.iter().any(|known| {
            known.call_id == dialog.call_id && known.peer == dialog.peer && known.other == dialog.other
        });
        if !known {
            push(&mut self.dialogs, dialog);
        }
    }

    /// An answer to something heard. Arguments: which request, counted from the last; the status, as in [`STATUS`], but
    /// that a PUBLISH is answered 412 in place of 202, and a request in a call 430, as in [`REMEDIES`], in place of 302;
    /// and what it carries: 1 a body, 2 a Record-Route, 4 the tag of another fork, 8 another Contact than the usual, and of
    /// 183 and 180 that it is reliable. Of a
    /// REGISTER the first two are the expiry, as in [`GRANTED`], and the third says that it was unknown.
    pub(crate) fn respond(&mut self, script: &mut Script<'_>) -> Option<(usize, Vec<u8>)> {
        let which = script.latest(self.heard.len());
        let code = STATUS.get(script.pick(16)).copied().unwrap_or(200);
        let variant = script.pick(16);
        let (line, request) = self.heard.get(which?)?.clone();
        let code = if code == 202 && request.method() == Some(&Method::Publish) {
            412
        } else {
            code
        };
        // Nobody is sent elsewhere from inside a dialog.
        let inside = request.to().is_ok_and(|to| to.tag().is_some());
        let code = match request.method() {
            Some(Method::Invite | Method::Bye | Method::Subscribe | Method::Notify) | None => code,
            Some(_) if code == 302 && inside => 430,
            Some(_) => code,
        };
        let status = StatusCode::new(code)?;
        let method = request.method()?.clone();
        let mut out = format!("SIP/2.0 {code} {}\r\n", status.default_reason());
        for value in request.raw_all(HeaderName::Via) {
            let _ = write!(out, "Via: {}\r\n", String::from_utf8_lossy(value));
        }
        let mut to = text(&request, HeaderName::To);
        if code > 100 && !to.contains(";tag=") {
            let _ = write!(to, ";tag=f{}", variant & 4);
        }
        let (from, call_id) = (
            text(&request, HeaderName::From),
            text(&request, HeaderName::CallId),
        );
        let _ = write!(out, "From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\n");
        let _ = write!(out, "CSeq: {}\r\n", text(&request, HeaderName::CSeq));
        self.count += 1;
        let odd = variant & 8 != 0;
        write_usual(&mut out, code, &request, variant, self.count);
        // A reliable one: of 180 the last number again.
        if odd && matches!(code, 180 | 183) {
            self.rseq += u32::from(code == 183);
            let _ = write!(out, "Require: 100rel\r\nRSeq: {}\r\n", self.rseq.max(1));
        }
        if method == Method::Invite && code < 300 {
            if variant & 2 != 0 {
                out.push_str("Record-Route: <sip:proxy.invalid;lr;transport=tcp>, <sip:192.0.2.3;lr>\r\n");
            }
            let own = if odd {
                "sips:p@[2001:db8::9]:5099"
            } else {
                "sip:p@192.0.2.1;transport=tcp"
            };
            let _ = write!(out, "Contact: <{own}>\r\n");
            if code > 100 {
                self.learn(Dialog {
                    call_id,
                    peer: to,
                    other: from,
                    target: contact(&request).unwrap_or_default(),
                    cseq: self.count,
                    invite: self.count,
                });
            }
        }
        Some(self.say(line, out, variant & 1 != 0))
    }

    /// A request. Arguments: the method, as in [`METHODS`]; the kind of request:
    ///
    /// 0 a new one, 1 with a body, 2 and 3 in the last dialog (3 with a body), 4 in the one before, 5 in the last
    /// dialog with the CSeq of its INVITE (an ACK of a 2xx), 6 with an old CSeq, 7 with the identifiers of the last
    /// request (CANCEL, an ACK of a refusal), 8 the last request repeated, 9 with tags that nobody knows,
    /// 10 requiring reliable responses, 11 with an Expires of a second (1 and 3 of a SUBSCRIBE of none), or a session timer
    /// (an INVITE with a body and support for reliable responses, too), 12 to the second of `uris`, 13 to the third,
    /// 14 without Max-Forwards and tag, 15 as a proxy sends it on.
    pub(crate) fn request(
        &mut self,
        line: usize,
        uris: &[String],
        script: &mut Script<'_>,
    ) -> (usize, Vec<u8>) {
        let method = METHODS.get(script.pick(16)).copied().unwrap_or("INVITE");
        let kind = script.pick(16);
        if kind == 8
            && let Some(asked) = &self.asked
        {
            let text = asked.text.clone();
            self.said = Some((line, text.clone()));
            return (line, text);
        }
        let mut asked = self.ask(kind, method, uris);
        if kind == 9 {
            asked.to.push_str(";tag=unknown");
        }
        let said = self.say(
            line,
            self.with_rack(method, write_request(method, kind, line, &asked)),
            matches!(kind, 1 | 3) || (method == "INVITE" && kind == 11),
        );
        if !matches!(method, "ACK" | "CANCEL") {
            self.asked = Some(Asked {
                text: said.1.clone(),
                ..asked
            });
        }
        said
    }

    /// A PRACK says what it acknowledges: the last reliable response that was heard.
    fn with_rack(&self, method: &str, mut out: String) -> String {
        if method == "PRACK"
            && let Some(rack) = &self.rack
        {
            let _ = write!(out, "RAck: {rack}\r\n");
        }
        out
    }

    /// What a request of this kind is made of.
    fn ask(&mut self, kind: usize, method: &str, uris: &[String]) -> Asked {
        self.count += 1;
        let branch = self.count;
        let place = match kind {
            2 | 3 | 5 | 6 => self.dialogs.len().checked_sub(1),
            4 => self.dialogs.len().checked_sub(2),
            _ => None,
        };
        if let Some(dialog) = place.and_then(|at| self.dialogs.get_mut(at)) {
            let cseq = match kind {
                5 => dialog.invite,
                6 => 0,
                _ => {
                    dialog.cseq += 1;
                    if method == "INVITE" {
                        dialog.invite = dialog.cseq;
                    }
                    dialog.cseq
                }
            };
            return Asked {
                uri: dialog.target.clone(),
                branch,
                from: dialog.peer.clone(),
                to: dialog.other.clone(),
                call_id: dialog.call_id.clone(),
                cseq,
                text: Vec::new(),
            };
        }
        if let Some(asked) = self.asked.clone().filter(|_| kind == 7) {
            return asked;
        }
        let wanted = match kind {
            12 => uris.get(1),
            13 => uris.get(2),
            _ => None,
        };
        let uri = wanted.or_else(|| uris.first()).cloned().unwrap_or_default();
        Asked {
            branch,
            from: format!("<sip:p@peer.invalid>;tag=p{branch}"),
            to: format!("<{uri}>"),
            call_id: format!("call-{branch}"),
            cseq: 1,
            text: Vec::new(),
            uri,
        }
    }

    /// A registrar's NOTIFY that a registration is no more, to a REGISTER that was heard. Arguments: which, counted from the
    /// last; and the body, as in [`BODIES`].
    pub(crate) fn dismiss(&mut self, script: &mut Script<'_>) -> Option<(usize, Vec<u8>)> {
        let registers = self.heard.iter();
        let registers = registers.filter(|(_, heard)| heard.method() == Some(&Method::Register));
        let registers: Vec<_> = registers.collect();
        let (line, register) = registers.get(script.latest(registers.len())?)?;
        let (line, body) = (*line, BODIES.get(script.pick(BODIES.len())).copied()?);
        let mut out = format!("NOTIFY {} SIP/2.0\r\n", contact(register)?);
        self.count += 1;
        let _ = write!(
            out,
            "Via: SIP/2.0/TCP peer.invalid;branch=z9hG4bK{0}\r\nMax-Forwards: 70\r\nFrom: {1};tag=p{0}\r\nTo: {2}\r\n\
             Call-ID: {3}\r\nCSeq: 1 NOTIFY\r\nEvent: registration-notify\r\n\
             Subscription-State: terminated;expires=0\r\nContent-Type: text/registration-event\r\n\
             Content-Length: {4}\r\n\r\n{body}",
            self.count,
            text(register, HeaderName::To),
            text(register, HeaderName::From),
            text(register, HeaderName::CallId),
            body.len()
        );
        let said = (line, out.into_bytes());
        self.said = Some(said.clone());
        Some(said)
    }

    /// A NOTIFY about a REFER that was heard. Arguments: which, counted from the last; what it says, as in [`REPORTS`];
    /// and whether it names the REFER.
    pub(crate) fn report(&mut self, script: &mut Script<'_>) -> Option<(usize, Vec<u8>)> {
        let refers = self.heard.iter();
        let refers = refers.filter(|(_, heard)| heard.method() == Some(&Method::Refer));
        let refers: Vec<_> = refers.collect();
        let (line, refer) = refers.get(script.latest(refers.len())?)?;
        let (state, status) = REPORTS.get(script.pick(REPORTS.len())).copied()?;
        let (line, call_id) = (*line, text(refer, HeaderName::CallId));
        let id = refer.cseq().map_or(0, |cseq| cseq.number);
        let id = if script.pick(2) == 0 {
            format!(";id={id}")
        } else {
            String::new()
        };
        self.count += 1;
        let (peer, other) = (text(refer, HeaderName::To), text(refer, HeaderName::From));
        let dialog = self
            .dialogs
            .iter_mut()
            .find(|dialog| dialog.call_id == call_id && dialog.peer == peer);
        let cseq = dialog.map_or(self.count, |dialog| {
            dialog.cseq += 1;
            dialog.cseq
        });
        let out = format!(
            "NOTIFY {} SIP/2.0\r\nVia: SIP/2.0/TCP peer.invalid;branch=z9hG4bK{}\r\nMax-Forwards: 70\r\nFrom: {peer}\r\n\
             To: {other}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} NOTIFY\r\nEvent: refer{id}\r\n\
             Subscription-State: {state}\r\nContact: <sip:p@192.0.2.1;transport=tcp>\r\n\
             Content-Type: message/sipfrag\r\nContent-Length: {}\r\n\r\n{status}",
            contact(refer)?,
            self.count,
            status.len()
        );
        let said = (line, out.into_bytes());
        self.said = Some(said.clone());
        Some(said)
    }

    /// A NOTIFY to a SUBSCRIBE that was heard. Arguments: which, counted from the last; what it says, as in [`STANDINGS`];
    /// and 1 for a body, 2 for a CSeq of 1, 4 for another notifier than the one that answers, and 8 for
    /// another event.
    pub(crate) fn notify(&mut self, script: &mut Script<'_>) -> Option<(usize, Vec<u8>)> {
        let subscribes = self.heard.iter();
        let subscribes = subscribes.filter(|(_, heard)| heard.method() == Some(&Method::Subscribe));
        let subscribes: Vec<_> = subscribes.collect();
        let (line, subscribe) = subscribes.get(script.latest(subscribes.len())?)?;
        let standing = STANDINGS.get(script.pick(STANDINGS.len())).copied()?;
        let variant = script.pick(16);
        let mut from = text(subscribe, HeaderName::To);
        if !from.contains(";tag=") {
            let _ = write!(from, ";tag=f{}", variant & 4);
        }
        let event = if variant & 8 == 0 {
            text(subscribe, HeaderName::Event)
        } else {
            String::from("other")
        };
        self.count += 1;
        let cseq = if variant & 2 == 0 { self.count } else { 1 };
        let mut out = format!("NOTIFY {} SIP/2.0\r\n", contact(subscribe)?);
        let _ = write!(
            out,
            "Via: SIP/2.0/TCP peer.invalid;branch=z9hG4bK{0}\r\nMax-Forwards: 70\r\nFrom: {from}\r\nTo: {1}\r\n\
             Call-ID: {2}\r\nCSeq: {cseq} NOTIFY\r\nEvent: {event}\r\nSubscription-State: {standing}\r\n\
             Contact: <sip:p@192.0.2.1;transport=tcp>\r\n",
            self.count,
            text(subscribe, HeaderName::From),
            text(subscribe, HeaderName::CallId),
        );
        let line = *line;
        Some(self.say(line, out, variant & 1 != 0))
    }

    /// The last thing said once more, with some bytes of it changed. Arguments: how many, and for each its place and
    /// its new value.
    pub(crate) fn garble(&self, script: &mut Script<'_>) -> Option<(usize, Vec<u8>)> {
        let (line, mut bytes) = self.said.clone()?;
        for _ in 0..=script.pick(8) {
            let (high, low, value) = (script.number(), script.number(), script.number());
            let at = (high * 256 + low) % bytes.len().max(1);
            if let (Some(byte), Ok(value)) = (bytes.get_mut(at), u8::try_from(value)) {
                *byte = value;
            }
        }
        Some((line, bytes))
    }

    fn say(&mut self, line: usize, mut out: String, body: bool) -> (usize, Vec<u8>) {
        out.push_str(if body {
            "Content-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n"
        } else {
            "Content-Length: 0\r\n\r\n"
        });
        let said = (line, out.into_bytes());
        self.said = Some(said.clone());
        said
    }
}
