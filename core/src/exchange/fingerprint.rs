//! Exchanges in canonical form.

use alloc::vec::Vec;
use core::time::Duration;

use super::{Cancel, Exchange, Exchanges, State};
use crate::connection::Lease;
use crate::ids::ConnId;
use crate::time::Time;
use crate::wire::Method;

/// An exchange in canonical form: times from now, connections numbered by first reach, nothing that was drawn.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint {
    method: Method,
    state: &'static str,
    alerted: bool,
    cancel: &'static str,
    pub(super) timer: Option<Duration>,
    /// The connection that is held, and that of the last attempt.
    conns: [Option<usize>; 2],
    attempts: usize,
    redirects: u8,
    /// How many addresses have failed.
    failed: usize,
    /// How many forks have accepted.
    forks: usize,
    /// Whether Retry-After has been waited for, whether a fresh connection was asked for, and whether it is outstanding (C24).
    flags: [bool; 4],
}

impl Exchanges {
    /// All exchanges in canonical form, in the order in which they began.
    pub(crate) fn fingerprint(&self, now: Time) -> Vec<Fingerprint> {
        let mut conns: Vec<ConnId> = Vec::new();
        let mut number = |conn: Option<ConnId>| {
            let conn = conn?;
            Some(conns.iter().position(|known| *known == conn).unwrap_or_else(|| {
                conns.push(conn);
                conns.len() - 1
            }))
        };
        let mut fingerprint = |exchange: &Exchange| {
            let (mut alerted, mut cancel, mut timer) = (false, "", None);
            let state = match &exchange.state {
                State::Connecting => "Connecting",
                State::Held { timer: end } => {
                    timer = Some(end.at().since(now));
                    "Held"
                }
                State::Sent {
                    alerted: seen,
                    cancel: wish,
                    ..
                } => {
                    alerted = *seen;
                    cancel = match wish {
                        Cancel::No => "",
                        Cancel::Armed => "armed",
                        Cancel::Sent(limit) => {
                            timer = Some(limit.at().since(now));
                            "sent"
                        }
                    };
                    "Sent"
                }
                State::Unanswered { .. } => "Unanswered",
                State::Paused { timer: end } => {
                    timer = Some(end.at().since(now));
                    "Paused"
                }
                State::Moving => "Moving",
                State::Accepted { .. } => "Accepted",
            };
            Fingerprint {
                method: exchange.draft.method.clone(),
                state,
                alerted,
                cancel,
                timer,
                conns: [
                    number(exchange.lease.as_ref().map(Lease::conn)),
                    number(exchange.facts.conn),
                ],
                attempts: exchange.attempts,
                redirects: exchange.policy.redirects,
                failed: exchange.failed.len(),
                forks: exchange.forks.iter().filter(|fork| fork.accepted).count(),
                flags: [
                    exchange.waited,
                    exchange.reconnected,
                    exchange.is_last,
                    exchange.counted,
                ],
            }
        };
        self.table
            .values()
            .map(|exchange| fingerprint(exchange))
            .collect()
    }
}
