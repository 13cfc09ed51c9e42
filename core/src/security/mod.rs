//! Keys and what is computed with them: plain data and plain CPU.
//!
//! Which protocol is spoken and with whose credentials is decided above, in `auth`.

mod context;
pub mod digest;
mod encoding;
pub mod ms;
pub mod ntlm;
mod secret;
pub mod signing;
pub mod window;

pub use context::{ContextAnswer, KerberosFailure, KerberosFailureKind, MessageSecurity, SecurityContext};
pub use secret::{Credentials, Secret};

/// Compares without telling by its duration where two values differ. Their lengths are no secret.
pub(crate) fn same(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let difference = left
        .iter()
        .zip(right)
        .fold(0, |all, (a, b)| core::hint::black_box(all | (a ^ b)));
    difference == 0
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn equal_is_equal_in_every_octet() {
        assert!(same(b"", b""));
        assert!(same(b"abc", b"abc"));
        assert!(!same(b"abc", b"abd"));
        assert!(!same(b"bbc", b"abc"));
        assert!(!same(b"abc", b"ab"));
    }
}
