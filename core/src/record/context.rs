//! A security context of the embedder, as a replay has it.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::security::{ContextAnswer, MessageSecurity};

/// A context that says again what was recorded. Asked for more, or for something else, it signs nothing and takes nothing
/// for good.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorded(pub(crate) VecDeque<ContextAnswer>);

impl Recorded {
    pub(crate) fn nothing() -> Box<dyn MessageSecurity> {
        Box::<Self>::default()
    }
}

impl MessageSecurity for Recorded {
    fn sign(&mut self, _text: &[u8]) -> Option<Vec<u8>> {
        match self.0.pop_front() {
            Some(ContextAnswer::Signed(signature)) => signature,
            Some(ContextAnswer::Verified(_)) | None => None,
        }
    }

    fn verify(&mut self, _text: &[u8], _signature: &[u8]) -> bool {
        matches!(self.0.pop_front(), Some(ContextAnswer::Verified(true)))
    }

    fn share(&self) -> Box<dyn MessageSecurity> {
        Box::new(self.clone())
    }
}
