//! A context that is complete, as the stack signs and verifies with it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use libgssapi::context::{ClientCtx, SecurityContext};
use sansip::security::MessageSecurity;

/// What the GSS-API says where a ticket has no end.
const INDEFINITE: u64 = u32::MAX as u64;

/// See the module. The numbers that it gives its signatures are looked at by nobody: no order was asked for.
#[derive(Clone)]
pub(crate) struct Context(Arc<Mutex<ClientCtx>>);

impl Context {
    pub(crate) fn new(context: ClientCtx) -> Self {
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
    fn lock(&self) -> MutexGuard<'_, ClientCtx> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MessageSecurity for Context {
    fn sign(&mut self, text: &[u8]) -> Option<Vec<u8>> {
        let signature = self.lock().get_mic(text).ok()?;
        Some(signature.to_vec())
    }

    fn verify(&mut self, text: &[u8], signature: &[u8]) -> bool {
        self.lock().verify_mic(text, signature).is_ok()
    }

    fn share(&self) -> Box<dyn MessageSecurity> {
        Box::new(self.clone())
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Context(..)")
    }
}
