//! A running digest without a key: it finds differences, and keeps nobody from making them.

use core::hash::Hasher;

use postcard::ser_flavors::Flavor;
use siphasher::sip::SipHasher13;

use crate::action::Action;

#[derive(Clone, Default)]
pub(crate) struct Digest(SipHasher13);

impl Digest {
    /// Octets of a value.
    pub(crate) const LENGTH: usize = 4;

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        // Not one of the other methods of a hasher: those depend on the platform.
        self.0.write(bytes);
    }

    /// Everything that an action says, messages and bodies byte by byte.
    pub(crate) fn action(&mut self, action: Option<&Action>) {
        let done = postcard::serialize_with_flavor(&action, Into(self));
        debug_assert!(done.is_ok(), "an action can be written");
    }

    pub(crate) fn value(&self) -> [u8; Self::LENGTH] {
        let [.., a, b, c, d] = self.0.finish().to_be_bytes();
        [a, b, c, d]
    }
}

struct Into<'a>(&'a mut Digest);

impl Flavor for Into<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.feed(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}
