//! What a front end tells whoever runs it.

use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;
use sansip::Transport;
use sansip::wire::{Method, StatusCode};

use super::Conn;
use super::association::Signing;

/// Something that happened at a front end, for people to read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrontEndEvent {
    /// A connection was accepted.
    Connected {
        /// Which.
        conn: Conn,
        /// From where.
        remote: SocketAddr,
        /// Over what.
        transport: Transport,
    },
    /// A connection is gone.
    Disconnected {
        /// Which.
        conn: Conn,
    },
    /// A contact was bound to an address of record, or bound anew.
    Registered {
        /// The address of record.
        aor: String,
        /// The contact.
        contact: String,
        /// For how many seconds.
        expires: u64,
        /// Whether it had a binding before.
        refreshed: bool,
        /// Over which connection.
        conn: Conn,
    },
    /// A binding is gone.
    Unregistered {
        /// The address of record.
        aor: String,
        /// The contact.
        contact: String,
        /// Why.
        reason: Unbound,
    },
    /// Somebody who wants to register is told to do it elsewhere, for longer, or later.
    TurnedAway {
        /// Over which connection they came.
        conn: Conn,
        /// The address of record.
        aor: String,
        /// 302, 423 or 503.
        status: StatusCode,
        /// After how many seconds they may come again, where that is said.
        seconds: Option<u32>,
    },
    /// Who was deregistered has answered the NOTIFY that said so.
    Notified {
        /// The contact.
        contact: String,
        /// The answer.
        status: StatusCode,
    },
    /// Somebody watches the presence of a user, for this long from now on.
    Subscribed {
        /// The user.
        aor: String,
        /// Who watches.
        by: String,
        /// Seconds; 0 for who has ended it, or has asked once.
        expires: u64,
    },
    /// Somebody watches no longer: the last NOTIFY is answered, or none is any more.
    Unsubscribed {
        /// The user.
        aor: String,
        /// Who watched.
        by: String,
    },
    /// A user has published a state.
    Published {
        /// The user.
        aor: String,
        /// Seconds; 0 where it was removed or not refreshed.
        expires: u64,
    },
    /// Somebody has to prove who they are.
    Challenged {
        /// What they asked for.
        method: Method,
        /// The address that they gave as theirs.
        from: String,
        /// Whether only the nonce was too old.
        stale: bool,
    },
    /// Somebody has proved who they are: with the REGISTER for Digest, with a handshake for NTLM.
    Proven {
        /// The address that is theirs.
        from: String,
        /// The name of the account.
        user: String,
        /// With which protocol, and how it is spoken.
        how: String,
        /// Over which connection.
        conn: Conn,
    },
    /// Somebody has not proved who they are.
    NotProven {
        /// The address that they gave as theirs.
        from: String,
        /// What is wrong.
        why: String,
    },
    /// An endpoint has no security association any more.
    AssociationOver {
        /// Which.
        who: String,
    },
    /// Something was sent to an endpoint with a signature that is wrong, or without the one that it should have, as
    /// [`set_signing`](super::FrontEnd::set_signing) has it.
    SignedBadly {
        /// Over which connection.
        conn: Conn,
        /// What is wrong.
        how: Signing,
        /// What was sent.
        message: Bytes,
    },
    /// What was signed last was sent once more.
    Replayed {
        /// Over which connection.
        conn: Conn,
    },
    /// A request was answered by the front end itself.
    Answered {
        /// The request.
        method: Method,
        /// Its Request-URI.
        uri: String,
        /// The answer.
        status: StatusCode,
    },
    /// A request was sent on.
    Forwarded {
        /// The request.
        method: Method,
        /// The Request-URI it came with.
        uri: String,
        /// The Request-URI it goes with.
        target: String,
        /// The connection it goes over.
        conn: Conn,
    },
    /// A response was sent back.
    Returned {
        /// The request.
        method: Method,
        /// The Request-URI it came with.
        uri: String,
        /// The response.
        status: StatusCode,
    },
    /// A branch is no longer wanted and was cancelled.
    Cancelled {
        /// The Request-URI of the branch.
        target: String,
    },
    /// A message that belongs to nothing was thrown away.
    Dropped {
        /// Where it came from.
        conn: Conn,
        /// What it was and why it went nowhere.
        what: String,
    },
    /// Bytes that are not SIP.
    Malformed {
        /// Where they came from.
        conn: Conn,
        /// What is wrong with them.
        what: String,
    },
}

/// Why a binding is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unbound {
    /// By a REGISTER with Expires 0.
    ByCommand,
    /// It was not refreshed.
    Expired,
    /// Its connection is gone.
    FlowLost,
    /// The server has deregistered it, and said so with a NOTIFY.
    ByServer,
    /// The server has lost it, and said nothing.
    Lost,
}

impl fmt::Display for Unbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ByCommand => "by command",
            Self::Expired => "expired",
            Self::FlowLost => "connection lost",
            Self::ByServer => "by the server",
            Self::Lost => "forgotten",
        })
    }
}

impl fmt::Display for FrontEndEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected {
                conn,
                remote,
                transport,
            } => write!(f, "{conn} connected from {remote} over {transport}"),
            Self::Disconnected { conn } => write!(f, "{conn} is gone"),
            Self::Registered {
                aor,
                contact,
                expires,
                refreshed,
                conn,
            } => {
                let verb = if *refreshed { "refreshed" } else { "registered" };
                write!(f, "{aor} {verb} at {contact} for {expires} s over {conn}")
            }
            Self::Unregistered { aor, contact, reason } => {
                write!(f, "{aor} no longer at {contact}: {reason}")
            }
            Self::TurnedAway {
                conn,
                aor,
                status,
                seconds,
            } => {
                write!(f, "{aor} turned away over {conn}: {status}")?;
                seconds.map_or(Ok(()), |seconds| write!(f, ", {seconds} s"))
            }
            Self::Notified { contact, status } => {
                write!(f, "{contact} knows that it is deregistered: {status}")
            }
            Self::Subscribed { aor, by, expires } => {
                write!(f, "{aor} is watched by {by} for {expires} s")
            }
            Self::Unsubscribed { aor, by } => write!(f, "{aor} is no longer watched by {by}"),
            Self::Published { aor, expires: 0 } => write!(f, "a state of {aor} is gone"),
            Self::Published { aor, expires } => write!(f, "{aor} has published a state for {expires} s"),
            Self::Challenged { method, from, stale } => {
                write!(
                    f,
                    "{method} of {from} challenged{}",
                    if *stale { ", the nonce is stale" } else { "" }
                )
            }
            Self::Proven {
                from,
                user,
                how,
                conn,
            } => write!(f, "{from} is {user}, proved by {how} over {conn}"),
            Self::NotProven { from, why } => write!(f, "{from} not proved: {why}"),
            Self::AssociationOver { who } => write!(f, "the security association of {who} is over"),
            Self::SignedBadly { conn, how, .. } => {
                let how = if *how == Signing::Wrong {
                    "wrongly"
                } else {
                    "not at all"
                };
                write!(f, "what goes over {conn} is signed {how}")
            }
            Self::Replayed { conn } => write!(f, "what was signed last goes over {conn} once more"),
            Self::Answered { method, uri, status } => {
                write!(f, "{method} {uri} answered {status} {}", status.default_reason())
            }
            Self::Forwarded {
                method,
                uri,
                target,
                conn,
            } => write!(f, "{method} {uri} to {target} over {conn}"),
            Self::Returned { method, uri, status } => {
                write!(f, "{method} {uri} returned {status} {}", status.default_reason())
            }
            Self::Cancelled { target } => write!(f, "INVITE {target} cancelled"),
            Self::Dropped { conn, what } => write!(f, "{what} from {conn} dropped"),
            Self::Malformed { conn, what } => write!(f, "not SIP from {conn}: {what}"),
        }
    }
}
