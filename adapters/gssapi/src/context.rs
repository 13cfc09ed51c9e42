//! A context that is complete, as the stack signs and verifies with it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use libgssapi::context::SecurityContext;
use sansip::security::MessageSecurity;

/// What the GSS-API says where a ticket has no end.
const INDEFINITE: u64 = u32::MAX as u64;

/// See the module. The numbers that it gives its signatures are looked at by nobody: no order was asked for.
pub(crate) struct Context<C>(Arc<Mutex<C>>);

impl<C: SecurityContext> Context<C> {
    pub(crate) fn new(context: C) -> Self {
        Self(Arc::new(Mutex::new(context)))
    }

    /// Whether there is nothing to wait for.
    pub(crate) fn is_complete(&self) -> bool {
        self.lock().is_complete()
    }

    /// How long the ticket is good for; `None` for ever.
    pub(crate) fn lifetime(&self) -> Option<Duration> {
        let lifetime = self.lock().lifetime().ok();
        lifetime.filter(|lifetime| lifetime.as_secs() < INDEFINITE)
    }

    /// The library keeps what is behind it whole.
    fn lock(&self) -> MutexGuard<'_, C> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: SecurityContext + Send + 'static> MessageSecurity for Context<C> {
    fn sign(&mut self, text: &[u8]) -> Option<Vec<u8>> {
        let signature = self.lock().get_mic(text).ok()?;
        Some(signature.to_vec())
    }

    fn verify(&mut self, text: &[u8], signature: &[u8]) -> bool {
        self.lock().verify_mic(text, signature).is_ok()
    }

    fn share(&self) -> Box<dyn MessageSecurity> {
        Box::new(Self(Arc::clone(&self.0)))
    }
}

impl<C> fmt::Debug for Context<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Context(..)")
    }
}
