//! What one stack says and hears on its links, and whether it may (RFC 3261 sections 8, 12, 13, 15 and 17; RFC 6026;
//! rules C33, R17, S4, S8, S10): it sees only bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use sansip::Time;
use sansip::wire::frame::{Frame, Framer};
use sansip::wire::{HeaderName, Message, MessageLimits, Method, StatusCode, check};

use super::sent;
use crate::world::{LinkId, Passed};

/// One end of a link.
type Line = (LinkId, usize);

/// An INVITE as its responses name it: Call-ID, From tag and CSeq.
type Invite = (String, String, u32);

/// 64 times T1: how long transactions remember (RFC 3261 section 17, RFC 6026 section 7). A little less, since what is
/// near its end may be on either side of it.
const MEMORY: Duration = Duration::from_secs(31);

/// A 2xx is acknowledged as soon as it is there; nothing but an adapter that is late lies between.
const PROMPT: Duration = Duration::from_secs(2);

/// A dialog as this stack names it: Call-ID, its own tag, the other's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Dialog {
    call_id: String,
    local: String,
    remote: String,
}

/// A request that the stack has begun.
#[derive(Clone, Debug)]
struct Begun {
    at: Time,
    line: Line,
    message: Message,
    /// When it was cancelled.
    cancelled: Option<Time>,
    /// When the first 2xx came, for an INVITE.
    succeeded: Option<Time>,
    refused: bool,
    /// Whether a provisional response has come.
    alerted: bool,
}

/// A request that the stack has heard.
#[derive(Clone, Debug)]
struct Asked {
    at: Time,
    line: Line,
    message: Message,
    /// Its final response, and when it was sent.
    answer: Option<(Time, Bytes)>,
}

/// How long an adapter takes at most for what the stack wants.
const LAZINESS: Duration = Duration::from_millis(200);

/// A 2xx that has to be acknowledged, and by a BYE ended where its fork has lost.
#[derive(Clone, Debug)]
struct Due {
    since: Time,
    dialog: Dialog,
    number: u32,
    lost: bool,
    /// The answer to its offer is the application's affair.
    waits: bool,
}

/// A CSeq number, when it was used, and how many connections had been lost then.
#[derive(Clone, Debug)]
struct Counted {
    at: Time,
    number: u32,
    losses: usize,
    /// Those before it that wait in a queue, or were lost there.
    passed: BTreeSet<u32>,
}

#[derive(Debug)]
struct Stream {
    sent: Framer,
    heard: Framer,
    /// When it ended.
    gone: Option<Time>,
    /// Something came that is no message: its answer may repeat less than all of it.
    is_murky: bool,
}

impl Default for Stream {
    fn default() -> Self {
        let framer = Framer::new(MessageLimits::default());
        Self {
            sent: framer.clone(),
            heard: framer,
            gone: None,
            is_murky: false,
        }
    }
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Talked {
    streams: BTreeMap<Line, Stream>,
    /// By branch; of an ACK or CANCEL with its method before it.
    begun: BTreeMap<String, Begun>,
    /// The branches of INVITEs.
    invites: BTreeMap<Invite, String>,
    /// Those that a 2xx without a tag has answered: its dialog has none either (RFC 3261 section 12.1.2).
    untagged: BTreeMap<Invite, Time>,
    asked: BTreeMap<String, Vec<Asked>>,
    /// The last CSeq by Call-ID, From tag and To tag.
    numbers: BTreeMap<(String, String, Option<String>), Counted>,
    acknowledged: BTreeMap<(Dialog, u32), Time>,
    ended: BTreeMap<Dialog, Time>,
    /// Dialogs whose BYE was answered by the peer, and the line that the BYE went over.
    over: BTreeMap<Dialog, (Time, Line)>,
    /// Those in which the peer's BYE was answered, each with the other connections that there were then: on one of them
    /// a BYE of this side's own may wait behind other bytes.
    left: BTreeMap<Dialog, Vec<Line>>,
    due: Vec<Due>,
    /// How many connections have been lost, and when something went wrong last.
    losses: usize,
    trouble: Option<Time>,
    /// What reaches the stack and is not taken by it, since its signature is not right; whether it has one.
    unheard: BTreeMap<Bytes, bool>,
    /// Messages judged.
    pub(crate) messages: usize,
}

fn field(message: &Message, name: HeaderName) -> String {
    String::from_utf8_lossy(message.raw(name).unwrap_or_default()).into_owned()
}

fn tag_of(message: &Message, name: HeaderName) -> Option<String> {
    let tag = if name == HeaderName::From {
        message.from_().ok()?.tag().map(str::to_owned)
    } else {
        message.to().ok()?.tag().map(str::to_owned)
    };
    tag.filter(|tag| !tag.is_empty())
}

fn branch_of(message: &Message) -> Option<String> {
    message.via_top().ok()?.branch().map(str::to_owned)
}

/// Whether a response has the Call-ID and the tag of From of a request.
fn is_of_call(response: &Message, request: &Message) -> bool {
    response.call_id() == request.call_id()
        && tag_of(response, HeaderName::From) == tag_of(request, HeaderName::From)
}

fn number_of(message: &Message) -> u32 {
    message.cseq().map_or(0, |cseq| cseq.number)
}

fn shown(message: &Message) -> String {
    message.bytes().escape_ascii().to_string()
}

/// The dialog that a message belongs to, for who has written its From (`own`) or its To.
fn dialog_of(message: &Message, own: bool) -> Option<Dialog> {
    let (from, to) = (
        tag_of(message, HeaderName::From)?,
        tag_of(message, HeaderName::To)?,
    );
    let (local, remote) = if own { (from, to) } else { (to, from) };
    let call_id = message.call_id().ok()?.to_owned();
    Some(Dialog {
        call_id,
        local,
        remote,
    })
}

/// The Via values, each cut at its semicolons, without what a receiver adds.
fn vias(message: &Message) -> Vec<Vec<String>> {
    let raw = message.raw_all(HeaderName::Via);
    let text: Vec<String> = raw
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .collect();
    let plain = |via: &str| {
        let parts = via.split(';').map(str::trim);
        let kept = parts.filter(|part| !part.starts_with("received") && !part.starts_with("rport"));
        kept.map(str::to_owned).collect()
    };
    text.iter()
        .flat_map(|value| value.split(','))
        .map(plain)
        .collect()
}

/// Whether a response repeats what it has to of its request (RFC 3261 section 8.2.6.2).
fn repeats(response: &Message, request: &Message) -> bool {
    let same = |name| field(response, name) == field(request, name);
    let to = field(request, HeaderName::To);
    let fitting = match request.to() {
        Ok(to) if to.tag().is_some() => same(HeaderName::To),
        _ => field(response, HeaderName::To).starts_with(&to),
    };
    same(HeaderName::From)
        && same(HeaderName::CallId)
        && same(HeaderName::CSeq)
        && fitting
        && vias(response) == vias(request)
}

impl Talked {
    /// Something that has passed.
    ///
    /// # Panics
    /// The stack should not have sent it.
    pub(crate) fn on_passage(&mut self, at: Time, line: Line, what: &Passed) {
        let stream = self.streams.entry(line).or_default();
        let (framer, bytes, own) = match what {
            Passed::Sent(bytes) => (&mut stream.sent, bytes, true),
            Passed::Heard(bytes) => (&mut stream.heard, bytes, false),
            Passed::Gone => {
                stream.gone = Some(at);
                self.losses += 1;
                // A lazy adapter brings what the stack no longer hears, having given the connection up.
                self.over
                    .retain(|_, (heard, over)| *over != line || at.since(*heard) >= LAZINESS);
                return self.on_trouble(at);
            }
        };
        assert!(!own || stream.gone.is_none(), "sent on a connection that is gone");
        framer.push(bytes);
        let mut frames = Vec::new();
        while let Some(frame) = framer.next() {
            frames.push(frame);
        }
        for frame in frames {
            match frame {
                Frame::Message { bytes, .. } if own => self.on_sent(at, line, sent(bytes)),
                Frame::Message { bytes, .. } => self.on_heard(at, line, bytes),
                Frame::Crlf { .. } | Frame::Ping { .. } => {}
                Frame::Error(error) => {
                    assert!(!own, "sent: {}: {}", error.kind, bytes.escape_ascii());
                    self.blur(line);
                }
            }
        }
    }

    /// Something went wrong with the network: what is due may not come.
    pub(crate) fn on_trouble(&mut self, at: Time) {
        self.trouble = self.trouble.max(Some(at));
    }

    /// The stack must not take this message, should it come, whose signature is wrong, or missing.
    pub(crate) fn will_not_hear(&mut self, message: &Bytes, is_signed: bool) {
        self.unheard.insert(message.clone(), is_signed);
    }

    /// Whether it must not. Without a signature a server may refuse who has not yet an association.
    pub(crate) fn is_unheard(&self, message: &Message) -> bool {
        let Some(is_signed) = self.unheard.get(message.bytes()) else {
            return false;
        };
        let refuses = message
            .status()
            .is_some_and(|status| status.is_final() && !status.is_success());
        let begun = || self.begun.get(&branch_of(message)?);
        let ends_handshake = || begun().is_some_and(|begun| has_token(&begun.message));
        *is_signed || !refuses || !ends_handshake()
    }

    fn blur(&mut self, line: Line) {
        if let Some(stream) = self.streams.get_mut(&line) {
            stream.is_murky = true;
        }
    }

    fn on_sent(&mut self, at: Time, line: Line, message: Message) {
        self.messages += 1;
        assert_eq!(
            message.count(HeaderName::ContentLength),
            1,
            "Content-Length: {}",
            shown(&message)
        );
        match message.method().cloned() {
            None => self.on_response_sent(at, line, message),
            Some(Method::Ack) => self.on_ack_sent(at, line, message),
            Some(Method::Cancel) => self.on_cancel_sent(at, line, message),
            Some(method) => self.on_request_sent(at, line, &method, message),
        }
    }

    // --- requests

    /// Whether this is the same once more.
    fn is_repetition(&self, key: &str, line: Line, message: &Message) -> bool {
        let Some(known) = self.begun.get(key) else {
            return false;
        };
        assert!(
            known.message.bytes() == message.bytes(),
            "a branch used again: {}\nfirst: {}",
            shown(message),
            shown(&known.message)
        );
        assert_eq!(
            known.line,
            line,
            "repeated on another connection: {}",
            shown(message)
        );
        true
    }

    fn begin(&mut self, at: Time, line: Line, key: String, message: Message) {
        let new = Begun {
            at,
            line,
            message,
            cancelled: None,
            succeeded: None,
            refused: false,
            alerted: false,
        };
        self.begun.insert(key, new);
    }

    fn on_request_sent(&mut self, at: Time, line: Line, method: &Method, message: Message) {
        let branch = branch_of(&message).unwrap_or_default();
        assert!(
            branch.starts_with("z9hG4bK") && branch.len() > 8,
            "the branch of {}",
            shown(&message)
        );
        if self.is_repetition(&branch, line, &message) {
            return;
        }
        self.count(at, &message);
        if let Some(dialog) = dialog_of(&message, true) {
            let left = self.left.get(&dialog);
            let crosses = *method == Method::Bye && left.is_some_and(|lines| lines.contains(&line));
            assert!(
                !self.over.contains_key(&dialog) && (left.is_none() || crosses),
                "after the BYE of {dialog:?}: {}",
                shown(&message)
            );
            if *method == Method::Bye {
                self.ended.insert(dialog, at);
            }
        }
        if *method == Method::Invite {
            let call_id = message.call_id().unwrap_or_default().to_owned();
            let from = tag_of(&message, HeaderName::From).unwrap_or_default();
            self.invites
                .insert((call_id, from, number_of(&message)), branch.clone());
        }
        self.begin(at, line, branch, message);
    }

    /// The next number of its dialog, or of its Call-ID outside one. What was lost in a connection's queue may have
    /// taken one.
    fn count(&mut self, at: Time, message: &Message) {
        let call_id = message.call_id().unwrap_or_default().to_owned();
        let from = tag_of(message, HeaderName::From).unwrap_or_default();
        // The tag of a peer that has none is empty (RFC 3261 section 12.1.2); outside dialogs there is no tag.
        let ends = message.method() == Some(&Method::Bye);
        let to = tag_of(message, HeaderName::To).or_else(|| ends.then(String::new));
        let key = (call_id, from, to);
        let outside = (key.0.clone(), key.1.clone(), None);
        let known = self.numbers.get(&key).or_else(|| self.numbers.get(&outside));
        let number = number_of(message);
        let losses = self.losses;
        // One that waits in a queue behind a message of which a part is sent has taken one, too.
        let mut open = self.streams.values().filter(|stream| stream.gone.is_none());
        let waits = open.any(|stream| stream.sent.buffered() > 0);
        let mut passed = BTreeSet::new();
        if let Some(last) = known.cloned() {
            passed = last.passed;
            if number < last.number && passed.remove(&number) {
                self.numbers.entry(key).and_modify(|known| known.passed = passed);
                return;
            }
            let follows =
                number == last.number + 1 || (number > last.number && (waits || last.losses < losses));
            assert!(follows, "CSeq {number} after {}: {}", last.number, shown(message));
            passed.extend(last.number.saturating_add(1)..number);
        }
        let new = Counted {
            at,
            number,
            losses,
            passed,
        };
        self.numbers.insert(key, new);
    }

    fn on_ack_sent(&mut self, at: Time, line: Line, message: Message) {
        let branch = branch_of(&message).unwrap_or_default();
        let key = format!("ACK {branch}");
        let number = number_of(&message);
        let of_failure = self
            .begun
            .get(&branch)
            .filter(|begun| begun.message.method() == Some(&Method::Invite));
        if let Some(invite) = of_failure {
            assert!(
                invite.refused && continues(&message, &invite.message),
                "an ACK of a refusal: {}",
                shown(&message)
            );
            return;
        }
        let call_id = message.call_id().unwrap_or_default().to_owned();
        let from = tag_of(&message, HeaderName::From).unwrap_or_default();
        let invite = (call_id, from, number);
        assert!(
            self.invites.contains_key(&invite),
            "an ACK without its INVITE: {}",
            shown(&message)
        );
        match dialog_of(&message, true) {
            Some(dialog) => {
                self.acknowledged.insert((dialog, number), at);
            }
            None => assert!(
                self.untagged.contains_key(&invite),
                "an ACK of no dialog: {}",
                shown(&message)
            ),
        }
        if !self.is_repetition(&key, line, &message) {
            self.begin(at, line, key, message);
        }
    }

    fn on_cancel_sent(&mut self, at: Time, line: Line, message: Message) {
        let branch = branch_of(&message).unwrap_or_default();
        let key = format!("CANCEL {branch}");
        if self.is_repetition(&key, line, &message) {
            return;
        }
        let invite = self.begun.get_mut(&branch);
        let invite = invite.unwrap_or_else(|| panic!("a CANCEL of nothing: {}", shown(&message)));
        let same = |name| field(&message, name) == field(&invite.message, name);
        assert!(
            invite.message.method() == Some(&Method::Invite)
                && invite.line == line
                && continues(&message, &invite.message)
                && same(HeaderName::To)
                && same(HeaderName::Route),
            "a CANCEL is not of {}: {}",
            shown(&invite.message),
            shown(&message)
        );
        invite.cancelled = Some(at);
        self.begin(at, line, key, message);
    }

    // --- responses

    fn on_response_sent(&mut self, at: Time, line: Line, message: Message) {
        let status = message.status().unwrap_or(StatusCode::TRYING);
        let murky = self.streams.get(&line).is_some_and(|stream| stream.is_murky);
        assert!(
            murky || status == StatusCode::TRYING || tag_of(&message, HeaderName::To).is_some(),
            "no tag: {}",
            shown(&message)
        );
        let method = message.cseq().ok().map(|cseq| cseq.method);
        let streams = &self.streams;
        let gone = |line: &Line| streams.get(line).is_none_or(|stream| stream.gone.is_some());
        let branch = branch_of(&message).unwrap_or_default();
        let asked = self.asked.get_mut(&branch).map_or(&mut [][..], Vec::as_mut_slice);
        let fitting = asked
            .iter_mut()
            .rev()
            .find(|asked| (asked.line == line || gone(&asked.line)) && repeats(&message, &asked.message));
        let Some(asked) = fitting else {
            assert!(murky, "answers no request: {}", shown(&message));
            return;
        };
        // On a reliable transport only a 2xx to INVITE outlives its transaction (timers I and J are zero): what is
        // asked again after another answer is asked anew.
        if method == Some(Method::Invite) && status.is_success() {
            match &asked.answer {
                Some((first, known)) => assert!(
                    unsigned(known) == unsigned(message.bytes()) || at.since(*first) >= MEMORY,
                    "another answer: {}\nfirst: {}",
                    shown(&message),
                    known.escape_ascii()
                ),
                None => asked.answer = Some((at, message.bytes().clone())),
            }
        }
        if method == Some(Method::Bye)
            && status.is_success()
            && let Some(dialog) = dialog_of(&message, false)
        {
            let open = self.streams.iter().filter(|(_, stream)| stream.gone.is_none());
            let others = open.map(|(known, _)| *known).filter(|known| *known != line);
            self.left
                .entry(dialog.clone())
                .or_insert_with(|| others.collect());
            self.ended.insert(dialog, at);
        }
    }

    fn on_heard(&mut self, at: Time, line: Line, bytes: Bytes) {
        let message = Message::parse(bytes, &MessageLimits::default());
        let Ok(message) = message else {
            return self.blur(line);
        };
        if self.is_unheard(&message) {
            return;
        }
        let flawed =
            message.defect().is_some() || (message.is_request() && check::request(&message).is_err());
        if flawed {
            self.blur(line);
        }
        let Some(branch) = branch_of(&message) else {
            return self.blur(line);
        };
        if message.is_request() {
            let new = Asked {
                at,
                line,
                message,
                answer: None,
            };
            let known = self.asked.entry(branch).or_default();
            if !known
                .iter()
                .any(|known| known.line == line && known.message.bytes() == new.message.bytes())
            {
                known.push(new);
            }
            return;
        }
        if !flawed {
            self.on_response_heard(at, &branch, &message);
        }
    }

    fn on_response_heard(&mut self, at: Time, branch: &str, message: &Message) {
        let (Some(status), Some(begun)) = (message.status(), self.begun.get_mut(branch)) else {
            return;
        };
        let method = begun.message.method().cloned();
        if message.cseq().ok().map(|cseq| cseq.method) != method {
            return;
        }
        if !status.is_final() {
            // What comes after timer B has been given up for alerts nobody any more.
            begun.alerted |= at.since(begun.at) < MEMORY;
            return;
        }
        let success = status.is_success();
        match method {
            Some(Method::Bye) if success || status == StatusCode::NO_SUCH_CALL => {
                if let Some(dialog) = dialog_of(&begun.message, true) {
                    self.over.insert(dialog, (at, begun.line));
                }
            }
            Some(Method::Invite) if !success => begun.refused |= begun.succeeded.is_none(),
            // A response of another call, or to another tag, is none to this INVITE (RFC 3261 section 8.2.6.2).
            Some(Method::Invite) if !is_of_call(message, &begun.message) => {}
            Some(Method::Invite) => {
                let late = |since: Option<Time>| since.is_some_and(|since| at.since(since) >= MEMORY);
                let lost = begun.succeeded.is_some();
                let forgotten = begun.refused || late(begun.succeeded) || late(begun.cancelled);
                begun.succeeded = begun.succeeded.or(Some(at));
                let waits = begun.message.body_bytes().is_empty() && !message.body_bytes().is_empty();
                let number = number_of(&begun.message);
                // An INVITE that rings for too long is given up (S12), and one that nobody answers sooner (timer B).
                let patience = if begun.alerted {
                    Duration::from_secs(180)
                } else {
                    MEMORY
                };
                let old = at.since(begun.at) >= patience;
                if tag_of(message, HeaderName::To).is_none() {
                    let call_id = message.call_id().unwrap_or_default().to_owned();
                    let from = tag_of(message, HeaderName::From).unwrap_or_default();
                    self.untagged.insert((call_id, from, number), at);
                }
                if let Some(dialog) = dialog_of(message, true).filter(|_| !forgotten && !old) {
                    self.owe(at, dialog, number, lost, waits);
                }
            }
            _ => {}
        }
    }

    fn owe(&mut self, since: Time, dialog: Dialog, number: u32, lost: bool, waits: bool) {
        let known = self
            .due
            .iter()
            .any(|due| due.dialog == dialog && due.number == number);
        let done = self.acknowledged.contains_key(&(dialog.clone(), number));
        if !known && !done {
            self.due.push(Due {
                since,
                dialog,
                number,
                lost,
                waits,
            });
        }
    }

    /// Forgets what was said before this time, for who listens long: no transaction and no dialog may be as old.
    pub(crate) fn forget(&mut self, before: Time) {
        self.streams
            .retain(|_, stream| stream.gone.is_none_or(|at| at >= before));
        self.begun.retain(|_, begun| begun.at >= before);
        let begun = &self.begun;
        self.invites.retain(|_, branch| begun.contains_key(branch));
        self.asked.retain(|_, asked| {
            asked.retain(|asked| asked.at >= before);
            !asked.is_empty()
        });
        self.untagged.retain(|_, at| *at >= before);
        self.numbers.retain(|_, counted| counted.at >= before);
        self.acknowledged.retain(|_, at| *at >= before);
        self.ended.retain(|_, at| *at >= before);
        self.over.retain(|_, (at, _)| *at >= before);
        let ended = &self.ended;
        self.left.retain(|dialog, _| ended.contains_key(dialog));
    }

    // --- what has to come

    /// Looks for what should have been said by now.
    ///
    /// # Panics
    /// It was not.
    pub(crate) fn judge(&mut self, now: Time) {
        self.settle(|due| !due.waits && now.since(due.since) > PROMPT);
    }

    /// At the end, when everything is over.
    ///
    /// # Panics
    /// Something was never said.
    pub(crate) fn judge_the_end(&mut self) {
        self.settle(|_| true);
    }

    fn settle(&mut self, is_time: impl Fn(&Due) -> bool) {
        let (time, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.due).into_iter().partition(is_time);
        self.due = later;
        for due in time {
            // A connection that was troubled before may still be lost or silent.
            if self
                .trouble
                .is_some_and(|at| at + Duration::from_secs(60) > due.since)
            {
                continue;
            }
            let key = (due.dialog, due.number);
            assert!(
                self.acknowledged.contains_key(&key),
                "a 2xx was not acknowledged: {key:?} at {}",
                due.since
            );
            assert!(
                !due.lost || self.ended.contains_key(&key.0),
                "a fork that has lost was not ended: {key:?} at {}",
                due.since
            );
        }
    }
}

/// Whether a request brings the last token of a handshake: the first one is empty.
fn has_token(request: &Message) -> bool {
    let mut values = [HeaderName::Authorization, HeaderName::ProxyAuthorization]
        .into_iter()
        .flat_map(|name| request.raw_all(name));
    values.any(|value| {
        let value = String::from_utf8_lossy(value);
        value.contains("gssapi-data=\"") && !value.contains("gssapi-data=\"\"")
    })
}

/// A message without its signature, which is another each time that it is sent (MS-SIPAE section 3.2.5.1).
fn unsigned(bytes: &Bytes) -> Vec<&[u8]> {
    let lines = bytes.split(|octet| *octet == b'\n');
    lines
        .filter(|line| {
            let value = line
                .strip_prefix(b"Proxy-".as_slice())
                .unwrap_or(line)
                .strip_prefix(b"Authorization: ".as_slice());
            !value.is_some_and(|value| value.starts_with(b"NTLM ") || value.starts_with(b"Kerberos "))
        })
        .collect()
}

/// Whether a CANCEL or an ACK belongs to this INVITE (RFC 3261 sections 9.1 and 17.1.1.3).
fn continues(message: &Message, invite: &Message) -> bool {
    let same = |name| field(message, name) == field(invite, name);
    message.request_uri() == invite.request_uri()
        && number_of(message) == number_of(invite)
        && same(HeaderName::CallId)
        && same(HeaderName::From)
        && vias(message).first() == vias(invite).first()
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    const LINE: Line = (LinkId(0), 0);

    fn request(method: &str, branch: &str, to_tag: &str, number: u32) -> String {
        let cseq = if method == "ACK" { "ACK" } else { method };
        let to_tag = if to_tag.is_empty() {
            String::new()
        } else {
            format!(";tag={to_tag}")
        };
        format!(
            "{method} sip:b@two.invalid SIP/2.0\r\nVia: SIP/2.0/TCP one.invalid;branch=z9hG4bK{branch}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:a@one.invalid>;tag=a\r\nTo: <sip:b@two.invalid>{to_tag}\r\n\
             Call-ID: 1\r\nCSeq: {number} {cseq}\r\nContact: <sip:a@one.invalid>\r\nContent-Length: 0\r\n\r\n"
        )
    }

    fn response(code: u16, method: &str, branch: &str, to_tag: &str, number: u32) -> String {
        format!(
            "SIP/2.0 {code} Fine\r\nVia: SIP/2.0/TCP one.invalid;branch=z9hG4bK{branch}\r\n\
             From: <sip:a@one.invalid>;tag=a\r\nTo: <sip:b@two.invalid>;tag={to_tag}\r\n\
             Call-ID: 1\r\nCSeq: {number} {method}\r\nContact: <sip:b@two.invalid>\r\nContent-Length: 0\r\n\r\n"
        )
    }

    fn says(talked: &mut Talked, text: String) {
        talked.on_passage(Time::from_secs(100), LINE, &Passed::Sent(Bytes::from(text)));
    }

    fn hears(talked: &mut Talked, text: String) {
        talked.on_passage(Time::from_secs(100), LINE, &Passed::Heard(Bytes::from(text)));
    }

    fn objects(to: impl FnOnce()) -> bool {
        catch_unwind(AssertUnwindSafe(to)).is_err()
    }

    /// An INVITE was sent and answered by a fork.
    fn called() -> Talked {
        let mut talked = Talked::default();
        says(&mut talked, request("INVITE", "invite1", "", 1));
        hears(&mut talked, response(200, "INVITE", "invite1", "b", 1));
        talked
    }

    // rules: S4, S8, S10
    #[test]
    fn a_call_as_it_should_be_is_not_objected_to() {
        let mut talked = called();
        says(&mut talked, request("ACK", "ack1", "b", 1));
        says(&mut talked, request("BYE", "bye1", "b", 2));
        hears(&mut talked, response(200, "BYE", "bye1", "b", 2));
        talked.judge_the_end();
        assert_eq!(talked.messages, 3);
    }

    #[test]
    fn a_2xx_without_its_ack_is_objected_to_and_so_is_a_fork_without_its_bye() {
        let mut talked = called();
        assert!(objects(|| talked.judge(Time::from_secs(103))), "no ACK");
        let mut talked = called();
        says(&mut talked, request("ACK", "ack1", "b", 1));
        hears(&mut talked, response(200, "INVITE", "invite1", "c", 1));
        says(&mut talked, request("ACK", "ack2", "c", 1));
        assert!(objects(|| talked.judge(Time::from_secs(103))), "no BYE");
    }

    #[test]
    fn numbers_and_branches_are_the_right_ones() {
        assert!(
            objects(|| says(&mut called(), request("ACK", "ack1", "b", 2))),
            "ACK of another INVITE"
        );
        assert!(
            objects(|| says(&mut called(), request("INFO", "info1", "b", 3))),
            "a gap"
        );
        assert!(
            objects(|| says(&mut called(), request("INFO", "info1", "b", 1))),
            "no new number"
        );
        assert!(
            objects(|| says(&mut called(), request("INFO", "invite1", "b", 2))),
            "a branch again"
        );
        let mut talked = Talked::default();
        says(&mut talked, request("INVITE", "invite1", "", 1));
        assert!(
            objects(|| says(&mut talked, request("CANCEL", "other1", "", 1))),
            "CANCEL of nothing"
        );
        says(&mut talked, request("CANCEL", "invite1", "", 1));
        assert!(
            objects(|| says(&mut talked, request("ACK", "invite1", "b", 1))),
            "nothing was refused"
        );
    }

    #[test]
    fn nothing_follows_an_answered_bye() {
        let mut talked = called();
        says(&mut talked, request("ACK", "ack1", "b", 1));
        says(&mut talked, request("BYE", "bye1", "b", 2));
        hears(&mut talked, response(200, "BYE", "bye1", "b", 2));
        assert!(objects(|| says(&mut talked, request("INFO", "info1", "b", 3))));
    }

    // rules: S10
    #[test]
    fn after_the_peers_bye_was_answered_none_is_begun() {
        let left = || {
            let mut talked = called();
            says(&mut talked, request("ACK", "ack1", "b", 1));
            let bye = request("BYE", "bye1", "a", 1).replace(
                "From: <sip:a@one.invalid>;tag=a\r\nTo: <sip:b@two.invalid>;tag=a",
                "From: <sip:b@two.invalid>;tag=b\r\nTo: <sip:a@one.invalid>;tag=a",
            );
            hears(&mut talked, bye);
            let other = Passed::Heard(Bytes::from_static(b"\r\n"));
            talked.on_passage(Time::from_secs(100), (LinkId(1), 0), &other);
            let answer = response(200, "BYE", "bye1", "a", 1).replace(
                "From: <sip:a@one.invalid>;tag=a\r\nTo: <sip:b@two.invalid>;tag=a",
                "From: <sip:b@two.invalid>;tag=b\r\nTo: <sip:a@one.invalid>;tag=a",
            );
            says(&mut talked, answer);
            talked
        };
        let bye = Passed::Sent(Bytes::from(request("BYE", "bye2", "b", 2)));
        for (link, allowed) in [(0, false), (1, true), (2, false)] {
            let mut talked = left();
            let said = objects(|| talked.on_passage(Time::from_secs(100), (LinkId(link), 0), &bye));
            assert_eq!(!said, allowed, "on link {link}");
        }
    }

    #[test]
    fn a_2xx_without_a_tag_has_an_ack_without_one() {
        let mut talked = Talked::default();
        says(&mut talked, request("INVITE", "invite1", "", 1));
        assert!(objects(|| says(&mut talked, request("ACK", "ack1", "", 1))));
        let untagged = response(200, "INVITE", "invite1", "b", 1).replace(";tag=b", "");
        hears(&mut talked, untagged);
        says(&mut talked, request("ACK", "ack2", "", 1));
    }

    // rules: C33
    #[test]
    fn a_response_repeats_its_request_and_is_final_once() {
        let asked = || {
            let mut talked = Talked::default();
            hears(&mut talked, request("OPTIONS", "asked1", "", 1));
            talked
        };
        says(&mut asked(), response(200, "OPTIONS", "asked1", "x", 1));
        assert!(
            objects(|| says(&mut asked(), response(200, "OPTIONS", "asked2", "x", 1))),
            "Via"
        );
        assert!(
            objects(|| says(&mut asked(), response(200, "OPTIONS", "asked1", "x", 2))),
            "CSeq"
        );
        assert!(
            objects(|| says(&mut asked(), response(200, "INFO", "asked1", "x", 1))),
            "method"
        );
        let mut talked = asked();
        hears(&mut talked, request("INVITE", "asked3", "", 1));
        says(&mut talked, response(200, "INVITE", "asked3", "x", 1));
        says(&mut talked, response(200, "INVITE", "asked3", "x", 1));
        assert!(
            objects(|| says(&mut talked, response(200, "INVITE", "asked3", "y", 1))),
            "two answers"
        );
        let other = (LinkId(1), 0);
        let answer = Passed::Sent(Bytes::from(response(200, "OPTIONS", "asked1", "x", 1)));
        assert!(
            objects(|| asked().on_passage(Time::from_secs(100), other, &answer)),
            "elsewhere"
        );
        let mut talked = asked();
        talked.on_passage(Time::from_secs(100), LINE, &Passed::Gone);
        talked.on_passage(Time::from_secs(100), other, &answer);
    }
}
