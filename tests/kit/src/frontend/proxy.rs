//! The stateful proxy (RFC 3261 section 16, with RFC 6026's handling of 2xx): one response context for a request
//! that is under way, with a branch for every contact that it went to.
//!
//! All transports are reliable, so nothing is retransmitted and of the transactions' timers only B, C, F, H, L and M
//! remain: each branch and each request has at most one deadline at a time.
//!
//! ```text
//! branch:   Calling --1xx--> Proceeding --3xx..6xx, time, loss--> Done
//!              \____________________|______2xx (INVITE)--> Accepted --M--> Done
//! request:  Proceeding --2xx (INVITE)--> Accepted --L--> gone
//!              \______3xx..6xx (INVITE)--> Completed --ACK, H--> gone;   any final (others)--> gone
//! ```

use bytes::Bytes;
use rand_core::RngCore;
use sansip::wire::header::{MaxForwards, Route, Via};
use sansip::wire::uri::Host;
use sansip::wire::{HeaderName, Message, Method, StatusCode};
use sansip::{Time, Transport};

use super::association::Party;
use super::context::{Branch, Cancel, Downstream, Final, MAGIC_COOKIE, Request, Upstream, key, rank};
use super::edit::{self, Edit, hop_request};
use super::event::FrontEndEvent;
use super::flow::Flow;
use super::presence::PACKAGE;
use super::registrar::{BindingId, Refused, aor_text};
use super::route::{Destination, Path, Target};
use super::security::{Proof, Standing};
use super::{Conn, Due, FrontEnd, required_tags};

impl FrontEnd {
    fn patience(&self) -> std::time::Duration {
        self.config.t1 * 64
    }

    /// A request other than ACK and CANCEL.
    pub(super) fn on_new_request(&mut self, now: Time, conn: Conn, message: Message, standing: &Standing) {
        let Some(method) = message.method().cloned() else {
            return;
        };
        let Some(key) = key(&message, &method) else { return };
        if let Some(id) = self.proxy.by_key.get(&key) {
            // It came again: so does its response.
            let request = self.proxy.requests.get(id);
            let again = request.and_then(|request| Some((request.party.clone(), request.response.clone()?)));
            if let Some((party, bytes)) = again {
                self.send_to(party.as_ref(), conn, bytes);
            }
            return;
        }
        self.proxy.last += 1;
        let id = self.proxy.last;
        let request = Request {
            conn,
            sender: self.sender(conn, &message),
            party: standing.party().cloned(),
            message: message.clone(),
            method,
            key: key.clone(),
            state: Upstream::Proceeding,
            response: None,
            cancelled: false,
            branches: Vec::new(),
            deadline: None,
        };
        self.proxy.requests.insert(id, request);
        self.proxy.by_key.insert(key, id);
        if let Err(refused) = self.handle_request(now, id, conn, &message, standing) {
            self.answer(now, id, &refused);
        }
    }

    fn handle_request(
        &mut self,
        now: Time,
        id: u64,
        conn: Conn,
        message: &Message,
        standing: &Standing,
    ) -> Result<(), Refused> {
        let Some(method) = message.method() else {
            return Ok(());
        };
        let path = self.path(conn, message)?;
        let destination = self.destination(conn, &path, method);
        let presence = self.is_for_presence(conn, &destination, &path, message);
        if destination == Destination::Server && !presence {
            if *method == Method::Register {
                self.on_register(now, id, conn, message, standing);
                return Ok(());
            }
            if let Standing::Asked(refused) = standing {
                return Err(refused.clone());
            }
            let status = if *method == Method::Options {
                StatusCode::OK
            } else {
                StatusCode::METHOD_NOT_ALLOWED
            };
            return Err(self.capabilities(status));
        }
        required_tags(message, HeaderName::ProxyRequire, &[])?;
        let hops = Self::hops_left(message)?;
        let mut proven = None;
        if (matches!(standing, Standing::Asked(_)) || self.must_prove(conn, message, &path))
            && let Some(Proof { user, .. }) = self.prove(now, conn, message, standing)?
        {
            let from = message.from_().ok();
            let from = from
                .as_ref()
                .and_then(|from| from.uri.as_sip())
                .map(aor_text)
                .unwrap_or_default();
            if !self.is_user(&user, &from) {
                return Err(Refused::because(
                    StatusCode::FORBIDDEN,
                    "From is not your address",
                ));
            }
            proven = Some(user);
        }
        if presence {
            return self.on_presence(now, id, (conn, message), proven.as_deref());
        }
        match destination {
            Destination::Nobody(refused) => Err(refused),
            Destination::Targets(targets) => {
                if *method == Method::Invite {
                    let trying = self.response(message, &Refused::new(StatusCode::TRYING));
                    self.send_upstream(id, trying);
                }
                for target in targets {
                    self.forward(now, id, message, &path, &target, hops);
                }
                if *method == Method::Benotify {
                    self.forget(id);
                }
                Ok(())
            }
            Destination::Server => Ok(()),
        }
    }

    /// A BENOTIFY is over when it has been sent on: nobody answers it (MS-SIP).
    fn forget(&mut self, id: u64) {
        let Some(request) = self.proxy.requests.get_mut(&id) else {
            return;
        };
        request.state = Upstream::Over;
        for branch in &mut request.branches {
            branch.state = Downstream::Done(Final::Local(StatusCode::OK));
        }
        self.proxy.settle(id);
    }

    /// What the server itself can do, as the answer to OPTIONS and to a method that it does not take.
    fn capabilities(&self, status: StatusCode) -> Refused {
        let supported = if self.config.gruu {
            "outbound, gruu, gruu-10"
        } else {
            "outbound"
        };
        let refused = if self.config.presence.is_some() {
            Refused::new(status)
                .with(HeaderName::Allow, "OPTIONS, PUBLISH, REGISTER, SUBSCRIBE")
                .with(HeaderName::AllowEvents, PACKAGE)
        } else {
            Refused::new(status).with(HeaderName::Allow, "OPTIONS, REGISTER")
        };
        refused
            .with(HeaderName::Supported, supported)
            .with(HeaderName::AcceptEncoding, "identity")
    }

    /// Sends a request on to one target (RFC 3261 section 16.6).
    fn forward(&mut self, now: Time, id: u64, message: &Message, path: &Path, target: &Target, hops: u8) {
        let branch = format!(
            "{MAGIC_COOKIE}{:016x}{:016x}",
            self.entropy.next_u64(),
            self.entropy.next_u64()
        );
        let Some(sent) = self.rewrite(id, message, path, target, hops, &branch) else {
            return;
        };
        let party = self.party_at(target.binding, &sent);
        let Some(request) = self.proxy.requests.get_mut(&id) else {
            return;
        };
        let index = request.branches.len();
        let deadline = now + self.config.t1 * 64;
        request.branches.push(Branch {
            id: branch.clone(),
            conn: target.conn,
            party: party.clone(),
            message: sent.clone(),
            state: Downstream::Calling,
            cancel: Cancel::No,
            deadline: Some(deadline),
        });
        let (method, uri) = (request.method.clone(), request.message.request_uri().to_owned());
        self.proxy.by_branch.insert(branch, (id, index));
        self.arm(deadline, Due::Branch(id, index));
        self.send_to(party.as_ref(), target.conn, sent.bytes().clone());
        self.log(FrontEndEvent::Forwarded {
            method,
            uri,
            target: target.uri.clone(),
            conn: target.conn,
        });
    }

    /// The request as it goes to a target.
    fn rewrite(
        &self,
        id: u64,
        message: &Message,
        path: &Path,
        target: &Target,
        hops: u8,
        branch: &str,
    ) -> Option<Message> {
        let method = message.method()?;
        let mut edit = Edit::of(message);
        edit.set_request_uri(method, &target.uri);
        edit.set(&MaxForwards(hops));
        edit.drop_first::<Route<'_>>(path.ours);
        if path.strict {
            edit.drop_last::<Route<'_>>();
        }
        self.strip(&mut edit);
        if let Some(party) = self.party_at(target.binding, message)
            && let Ok(mut to) = message.to()
            && to.epid().is_none()
        {
            // By address and epid an endpoint knows which association a request is signed under.
            to.params.set("epid", &party.epid);
            edit.set(&to);
        }
        if matches!(
            method,
            Method::Invite | Method::Subscribe | Method::Refer | Method::Notify
        ) {
            let request = self.proxy.requests.get(&id);
            let sender = request.map(|request| (request.conn, request.sender));
            let secure = path
                .uri
                .get(..5)
                .is_some_and(|scheme| scheme.eq_ignore_ascii_case("sips:"));
            for (conn, binding) in sender.into_iter().chain([(target.conn, target.binding)]) {
                edit.push_first_raw(HeaderName::RecordRoute, &self.record(conn, binding, secure)?);
            }
        }
        let (host, port, transport) = self.address(target.conn)?;
        edit.push_first(&Via::new(transport, Host::parse(&host).ok()?, Some(port), branch));
        self.reread(edit.finish())
    }

    /// A Record-Route value for one side of a dialog.
    fn record(&self, conn: Conn, binding: Option<BindingId>, secure: bool) -> Option<String> {
        let token = self.tokens.seal(Flow {
            run: self.run,
            conn,
            binding,
        });
        let (host, port, transport) = self.address(conn)?;
        let scheme = if secure { "sips" } else { "sip" };
        let transport = if secure { Transport::Tcp } else { transport };
        Some(format!(
            "<{scheme}:{token}@{host}:{port};transport={};lr>",
            transport.uri_token()
        ))
    }

    /// How this server is reached at its end of a connection.
    pub(super) fn address(&self, conn: Conn) -> Option<(String, u16, Transport)> {
        let connection = self.connections.get(&conn)?;
        let mut host = String::new();
        match &self.config.host {
            Some(name) => host.push_str(name),
            None => Host::from(connection.local.ip()).write(&mut host),
        }
        Some((host, connection.local.port(), connection.transport))
    }

    /// An ACK: for a refusal of ours it ends here, for a 2xx it goes where its route says.
    pub(super) fn on_ack(&mut self, conn: Conn, message: &Message) {
        if let Some(id) = self.proxy.find(message, &Method::Invite)
            && let Some(request) = self.proxy.requests.get_mut(&id)
        {
            if request.state == Upstream::Completed {
                request.state = Upstream::Over;
                request.deadline = None;
                self.proxy.settle(id);
            }
            return;
        }
        let target = self.path(conn, message).and_then(|path| {
            let destination = self.destination(conn, &path, &Method::Ack);
            Ok((path, destination, Self::hops_left(message)?))
        });
        let Ok((path, Destination::Targets(targets), hops)) = target else {
            return self.log(FrontEndEvent::Dropped {
                conn,
                what: format!("ACK {}", message.request_uri()),
            });
        };
        // An ACK belongs to one dialog: it has one target or none.
        if let [target] = targets.as_slice() {
            let branch = format!(
                "{MAGIC_COOKIE}{:016x}{:016x}",
                self.entropy.next_u64(),
                self.entropy.next_u64()
            );
            if let Some(sent) = self.rewrite(0, message, &path, target, hops, &branch) {
                let party = self.party_at(target.binding, &sent);
                self.send_to(party.as_ref(), target.conn, sent.bytes().clone());
                let (uri, target) = (message.request_uri().to_owned(), target.clone());
                let method = Method::Ack;
                self.log(FrontEndEvent::Forwarded {
                    method,
                    uri,
                    target: target.uri,
                    conn: target.conn,
                });
            }
        }
    }

    /// A CANCEL from the sender (RFC 3261 section 16.10).
    pub(super) fn on_cancel(&mut self, now: Time, conn: Conn, message: &Message, party: Option<&Party>) {
        let Some(id) = self.proxy.find(message, &Method::Invite) else {
            let refused = Refused::new(StatusCode::NO_SUCH_CALL);
            let bytes = self.response(message, &refused);
            self.send_to(party, conn, bytes);
            let (method, uri) = (Method::Cancel, message.request_uri().to_owned());
            return self.log(FrontEndEvent::Answered {
                method,
                uri,
                status: refused.status,
            });
        };
        let bytes = self.response(message, &Refused::new(StatusCode::OK));
        self.send_to(party, conn, bytes);
        if let Some(request) = self.proxy.requests.get_mut(&id)
            && request.state == Upstream::Proceeding
        {
            request.cancelled = true;
            self.cancel_branches(now, id);
        }
    }

    /// Cancels what still rings.
    fn cancel_branches(&mut self, now: Time, id: u64) {
        let Some(request) = self
            .proxy
            .requests
            .get(&id)
            .filter(|request| request.method == Method::Invite)
        else {
            return;
        };
        for index in 0..request.branches.len() {
            let Some(branch) = self.proxy.branch_mut(id, index) else {
                return;
            };
            match (&branch.state, branch.cancel) {
                (Downstream::Calling, Cancel::No) => branch.cancel = Cancel::Wanted,
                (Downstream::Proceeding, Cancel::No | Cancel::Wanted) => self.send_cancel(now, id, index),
                (Downstream::Calling | Downstream::Proceeding, Cancel::Wanted | Cancel::Sent)
                | (Downstream::Accepted | Downstream::Done(_), _) => {}
            }
        }
    }

    fn send_cancel(&mut self, now: Time, id: u64, index: usize) {
        let deadline = now + self.patience();
        let Some(branch) = self.proxy.branch_mut(id, index) else {
            return;
        };
        branch.cancel = Cancel::Sent;
        branch.deadline = Some(deadline);
        let (conn, bytes) = (branch.conn, hop_request(&branch.message, &Method::Cancel, None));
        let party = branch.party.clone();
        let target = branch.message.request_uri().to_owned();
        self.arm(deadline, Due::Branch(id, index));
        self.send_to(party.as_ref(), conn, bytes);
        self.log(FrontEndEvent::Cancelled { target });
    }

    /// A response from downstream (RFC 3261 section 16.7).
    pub(super) fn on_response(&mut self, now: Time, conn: Conn, message: &Message) {
        let Some(status) = message.status() else { return };
        if !self.accepts_response(now, conn, message) {
            return;
        }
        if self.on_notified(message) || self.on_news_answered(now, message) {
            return;
        }
        let found = message
            .via_top()
            .ok()
            .and_then(|via| self.proxy.by_branch.get(via.branch()?).copied());
        let (Some((id, index)), Ok(cseq)) = (found, message.cseq()) else {
            return self.log(FrontEndEvent::Dropped {
                conn,
                what: format!("stray {status}"),
            });
        };
        let Some(method) = self.proxy.requests.get(&id).map(|request| request.method.clone()) else {
            return;
        };
        if cseq.method != method {
            // What answers our own CANCEL says nothing: the INVITE gets its final response besides.
            return;
        }
        match (status.is_provisional(), method == Method::Invite) {
            (true, invite) => self.on_provisional(now, id, index, message, invite),
            (false, true) if status.is_success() => self.on_accepted(now, id, index, message),
            (false, invite) => self.on_final(now, id, index, message, invite),
        }
    }

    fn on_provisional(&mut self, now: Time, id: u64, index: usize, message: &Message, invite: bool) {
        let ringing = now + self.config.timer_c;
        let Some(branch) = self.proxy.branch_mut(id, index) else {
            return;
        };
        if !matches!(branch.state, Downstream::Calling | Downstream::Proceeding) {
            return;
        }
        branch.state = Downstream::Proceeding;
        match branch.cancel {
            Cancel::Wanted => self.send_cancel(now, id, index),
            Cancel::No if invite => {
                branch.deadline = Some(ringing);
                self.arm(ringing, Due::Branch(id, index));
            }
            Cancel::No | Cancel::Sent => {}
        }
        let waiting = self
            .proxy
            .requests
            .get(&id)
            .is_some_and(|request| request.state == Upstream::Proceeding);
        if waiting && message.status() != Some(StatusCode::TRYING) {
            self.hand_back(id, message);
        }
    }

    /// A 2xx to an INVITE: all of them go back, and the first ends the search.
    fn on_accepted(&mut self, now: Time, id: u64, index: usize, message: &Message) {
        let deadline = now + self.patience();
        let Some(branch) = self.proxy.branch_mut(id, index) else {
            return;
        };
        match branch.state {
            Downstream::Done(_) => return,
            Downstream::Accepted => {}
            Downstream::Calling | Downstream::Proceeding => {
                branch.state = Downstream::Accepted;
                branch.deadline = Some(deadline);
                self.arm(deadline, Due::Branch(id, index));
            }
        }
        let Some(request) = self.proxy.requests.get_mut(&id) else {
            return;
        };
        if request.state == Upstream::Proceeding {
            request.state = Upstream::Accepted;
            request.deadline = Some(deadline);
            self.arm(deadline, Due::Request(id));
        }
        self.hand_back(id, message);
        self.cancel_branches(now, id);
    }

    /// Any other final response.
    fn on_final(&mut self, now: Time, id: u64, index: usize, message: &Message, invite: bool) {
        let Some(branch) = self.proxy.branch_mut(id, index) else {
            return;
        };
        if invite {
            // Its ACK is ours to send, as often as the response comes.
            let ack = hop_request(&branch.message, &Method::Ack, message.raw(HeaderName::To));
            let (conn, party) = (branch.conn, branch.party.clone());
            self.send_to(party.as_ref(), conn, ack);
        }
        self.end_branch(now, id, index, Final::Response(Box::new(message.clone())));
    }

    fn end_branch(&mut self, now: Time, id: u64, index: usize, end: Final) {
        let Some(branch) = self.proxy.branch_mut(id, index) else {
            return;
        };
        if matches!(branch.state, Downstream::Done(_)) {
            return;
        }
        let status = end.status();
        branch.state = Downstream::Done(end);
        branch.deadline = None;
        if status.is_global_failure() {
            self.cancel_branches(now, id);
        }
        self.conclude(now, id);
    }

    /// Answers the sender when no branch can bring anything better (RFC 3261 section 16.7, step 6).
    fn conclude(&mut self, now: Time, id: u64) {
        let Some(request) = self.proxy.requests.get(&id) else {
            return;
        };
        if request.state != Upstream::Proceeding {
            return self.proxy.settle(id);
        }
        let mut finals = Vec::new();
        for branch in &request.branches {
            match &branch.state {
                Downstream::Done(end) => finals.push(end.clone()),
                // The first 2xx to another request than INVITE is the answer, whatever the others say.
                Downstream::Calling | Downstream::Proceeding | Downstream::Accepted => {}
            }
        }
        let success = finals.iter().position(|end| end.status().is_success());
        if success.is_none() && finals.len() < request.branches.len() {
            return;
        }
        let best = match success {
            Some(at) => finals.get(at).cloned(),
            None => finals.iter().min_by_key(|end| rank(end.status())).cloned(),
        };
        match best {
            Some(Final::Response(message)) => {
                let message = self.with_all_challenges(*message, &finals);
                self.finish(now, id, &message);
            }
            Some(Final::Local(status)) => self.answer(now, id, &Refused::new(status)),
            None => self.answer(now, id, &Refused::new(StatusCode::TEMPORARILY_UNAVAILABLE)),
        }
    }

    /// A 401 or 407 carries the challenges of all branches (RFC 3261 section 16.7, step 7); a 503 says something of
    /// one branch only and becomes 500 (step 6).
    fn with_all_challenges(&self, best: Message, finals: &[Final]) -> Message {
        let challenged = |status| {
            matches!(
                status,
                Some(StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED)
            )
        };
        let mut edit = Edit::of(&best);
        if best.status() == Some(StatusCode::SERVICE_UNAVAILABLE) {
            edit.set_status(StatusCode::SERVER_INTERNAL_ERROR);
        } else if !challenged(best.status()) || finals.len() < 2 {
            return best;
        }
        for end in finals {
            let Final::Response(other) = end else { continue };
            if **other == best || !challenged(other.status()) || !challenged(best.status()) {
                continue;
            }
            for name in [HeaderName::WwwAuthenticate, HeaderName::ProxyAuthenticate] {
                for value in other.raw_all(name) {
                    edit.push_last_raw(name, &String::from_utf8_lossy(value));
                }
            }
        }
        self.reread(edit.finish()).unwrap_or(best)
    }

    /// Gives the sender a final response of somebody downstream that is no 2xx to an INVITE.
    fn finish(&mut self, now: Time, id: u64, message: &Message) {
        self.over(now, id);
        self.hand_back(id, message);
        self.proxy.settle(id);
    }

    /// Gives the sender a final response of this server.
    pub(super) fn answer(&mut self, now: Time, id: u64, refused: &Refused) {
        self.answer_as(now, id, refused, None);
    }

    /// The same with this tag, where the response makes a dialog.
    pub(super) fn answer_as(&mut self, now: Time, id: u64, refused: &Refused, tag: Option<&str>) {
        let Some(request) = self.proxy.requests.get(&id) else {
            return;
        };
        let (message, method) = (request.message.clone(), request.method.clone());
        self.over(now, id);
        if method != Method::Benotify {
            let bytes = match tag {
                Some(_) => edit::response(&message, refused, tag, &self.config.product),
                None => self.response(&message, refused),
            };
            self.send_upstream(id, bytes);
        }
        self.log(FrontEndEvent::Answered {
            method,
            uri: message.request_uri().to_owned(),
            status: refused.status,
        });
        self.proxy.settle(id);
    }

    fn over(&mut self, now: Time, id: u64) {
        let deadline = now + self.patience();
        let Some(request) = self.proxy.requests.get_mut(&id) else {
            return;
        };
        if request.method == Method::Invite {
            request.state = Upstream::Completed;
            request.deadline = Some(deadline);
            self.arm(deadline, Due::Request(id));
        } else {
            request.state = Upstream::Over;
        }
    }

    /// Sends a response back without our Via (RFC 3261 section 16.7, steps 3 and 9).
    fn hand_back(&mut self, id: u64, message: &Message) {
        let Some(request) = self.proxy.requests.get(&id) else {
            return;
        };
        let (method, uri) = (request.method.clone(), request.message.request_uri().to_owned());
        if method == Method::Benotify {
            return;
        }
        let mut edit = Edit::of(message);
        edit.drop_first::<Via<'_>>(1);
        self.strip(&mut edit);
        self.send_upstream(id, edit.finish());
        let status = message.status().unwrap_or(StatusCode::SERVER_INTERNAL_ERROR);
        self.log(FrontEndEvent::Returned { method, uri, status });
    }

    /// Over the connection of the request; if that is gone, over the one that its sender has now.
    fn send_upstream(&mut self, id: u64, bytes: Bytes) {
        let Some(request) = self.proxy.requests.get_mut(&id) else {
            return;
        };
        request.response = Some(bytes.clone());
        let (conn, sender, party) = (request.conn, request.sender, request.party.clone());
        let now_at = || self.live_flow(self.registrar.binding(sender?)?);
        let conn = if self.connections.contains_key(&conn) {
            Some(conn)
        } else {
            now_at()
        };
        if let Some(conn) = conn {
            self.send_to(party.as_ref(), conn, bytes);
        }
    }

    /// Who has signed a request that is under way.
    pub(super) fn party_of(&self, id: u64) -> Option<Party> {
        self.proxy.requests.get(&id)?.party.clone()
    }

    /// Timers H and L: no more ACKs, no more 2xx.
    pub(super) fn request_timeout(&mut self, id: u64) {
        if let Some(request) = self.proxy.requests.get_mut(&id) {
            request.state = Upstream::Over;
            request.deadline = None;
            self.proxy.settle(id);
        }
    }

    /// Timers B, C, F and M.
    pub(super) fn branch_timeout(&mut self, now: Time, id: u64, index: usize) {
        let Some(request) = self.proxy.requests.get(&id) else {
            return;
        };
        let (cancelled, invite) = (request.cancelled, request.method == Method::Invite);
        let Some(branch) = request.branches.get(index) else {
            return;
        };
        match (&branch.state, branch.cancel) {
            (Downstream::Proceeding, Cancel::No) if invite => self.send_cancel(now, id, index),
            (Downstream::Calling | Downstream::Proceeding | Downstream::Accepted, _) => {
                let status = if cancelled {
                    StatusCode::REQUEST_TERMINATED
                } else {
                    StatusCode::REQUEST_TIMEOUT
                };
                self.end_branch(now, id, index, Final::Local(status));
            }
            (Downstream::Done(_), _) => {}
        }
    }

    /// Branches whose connection is gone bring nothing any more.
    pub(super) fn proxy_connection_lost(&mut self, now: Time, conn: Conn) {
        let lost: Vec<(u64, usize)> = self
            .proxy
            .requests
            .iter()
            .flat_map(|(id, request)| {
                request
                    .branches
                    .iter()
                    .enumerate()
                    .map(|(index, branch)| (*id, index, branch))
            })
            .filter(|(_, _, branch)| branch.conn == conn && !matches!(branch.state, Downstream::Done(_)))
            .map(|(id, index, _)| (id, index))
            .collect();
        for (id, index) in lost {
            self.end_branch(now, id, index, Final::Local(StatusCode::TEMPORARILY_UNAVAILABLE));
        }
    }
}
