//! Flow tokens (RFC 5626 section 5.2): the user part of the front end's Record-Route URIs.
//!
//! A token names the connection at that side of the dialog and the binding that it belongs to. Each forwarded
//! request that may form a dialog gets two Record-Route values, one for either side. A later request comes back with
//! both as Route values, those of its own side first: the last one names where it has to go, whatever connection it
//! came in on. A keyed check value makes sure that the front end itself has written it.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::Conn;
use super::registrar::BindingId;

/// The two numbers that nobody else knows.
#[derive(Clone, Copy)]
pub(super) struct TokenKey(pub(super) u64, pub(super) u64);

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    /// Which run of the server the connection belongs to: connections do not survive a restart, bindings may.
    pub(super) run: u32,
    /// The connection.
    pub(super) conn: Conn,
    /// The binding that the connection served, if any.
    pub(super) binding: Option<BindingId>,
}

impl TokenKey {
    fn check(self, flow: Flow) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        hasher.write_u32(flow.run);
        hasher.write_u64(flow.conn.0);
        hasher.write_u64(flow.binding.map_or(0, |binding| binding.0));
        hasher.finish()
    }

    /// Whether a user part has the form of a token, whoever made it.
    pub(super) fn is_like_token(user: &str) -> bool {
        user.strip_prefix("f-")
            .is_some_and(|rest| rest.split('-').count() == 4)
    }

    /// The token of a flow; letters, digits and hyphens.
    pub(super) fn seal(self, flow: Flow) -> String {
        let binding = flow.binding.map_or(0, |binding| binding.0);
        format!(
            "f-{:x}-{:x}-{binding:x}-{:016x}",
            flow.run,
            flow.conn.0,
            self.check(flow)
        )
    }

    /// The flow of a token, if this key has sealed it.
    pub(super) fn open(self, token: &str) -> Option<Flow> {
        let mut parts = token.strip_prefix("f-")?.split('-');
        let run = u32::from_str_radix(parts.next()?, 16).ok()?;
        let conn = Conn(u64::from_str_radix(parts.next()?, 16).ok()?);
        let binding = u64::from_str_radix(parts.next()?, 16).ok()?;
        let check = u64::from_str_radix(parts.next()?, 16).ok()?;
        let flow = Flow {
            run,
            conn,
            binding: (binding != 0).then_some(BindingId(binding)),
        };
        (parts.next().is_none() && check == self.check(flow)).then_some(flow)
    }
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: TokenKey = TokenKey(1, 2);

    #[test]
    fn a_token_says_what_was_sealed_in_it() {
        for binding in [None, Some(BindingId(77))] {
            let flow = Flow {
                run: 3,
                conn: Conn(0xabc),
                binding,
            };
            assert_eq!(KEY.open(&KEY.seal(flow)), Some(flow));
        }
    }

    #[test]
    fn a_token_that_was_changed_or_sealed_by_another_says_nothing() {
        let token = KEY.seal(Flow {
            run: 3,
            conn: Conn(5),
            binding: None,
        });
        assert_eq!(KEY.open(&token.replace("f-3-5-", "f-3-6-")), None);
        assert_eq!(TokenKey(1, 3).open(&token), None);
        assert_eq!(KEY.open(&format!("{token}-0")), None);
        assert!(TokenKey::is_like_token(&token) && !TokenKey::is_like_token("f-alice"));
        for other in ["", "f-", "alice", "f-1-2-3", "f-x-y-z-w"] {
            assert_eq!(KEY.open(other), None);
        }
    }
}
