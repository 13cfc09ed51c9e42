//! A security association: what a handshake has made, with which every message of one side is signed and every message of
//! the other verified (rule A4; MS-SIP section 3.1.4.2, MS-SIPAE section 3.2).

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use bytes::Bytes;

use super::Side;
use crate::cx::Cx;
use crate::ids::HandshakeId;
use crate::security::ms::{Credentials, Info, Mic, Scheme, Signature};
use crate::security::ntlm::Keys;
use crate::security::signing::{self, Stamp, Version};
use crate::security::window::ReplayWindow;
use crate::security::{ContextAnswer, MessageSecurity};
use crate::wire::Message;
use crate::wire::header::{Authorization, ProxyAuthorization};
use crate::wire::write::with_header;

/// Digits of `crand`.
const RANDOM_DIGITS: usize = 8;

/// What a server has named itself and the association.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// Who has asked for it, and so in which field it is spoken of.
    pub(super) side: Side,
    pub(super) scheme: Scheme,
    pub(super) realm: Box<str>,
    pub(super) target: Box<str>,
    /// The server's handle, once there is one.
    pub(super) opaque: Option<Box<str>>,
    pub(super) version: Version,
}

impl Name {
    /// The credentials without token and signature.
    pub(super) fn credentials(&self) -> Credentials<'_> {
        Credentials {
            scheme: self.scheme,
            realm: &self.realm,
            target: &self.target,
            opaque: self.opaque.as_deref(),
            version: None,
            token: None,
            signature: None,
        }
    }

    /// A message with these credentials.
    pub(super) fn put(&self, credentials: &Credentials<'_>, message: &[u8]) -> Bytes {
        match self.side {
            Side::Server => with_header(message, &Authorization(credentials.to_header())),
            Side::Proxy => with_header(message, &ProxyAuthorization(credentials.to_header())),
        }
    }

    /// Whether a server speaks of this one. Its handle tells apart two of one target, the old and the new.
    pub(super) fn is_of(&self, info: &Info<'_>) -> bool {
        self.scheme == info.scheme
            && *self.realm == *info.realm
            && *self.target == *info.target
            && self
                .opaque
                .as_deref()
                .is_none_or(|own| info.opaque.is_none_or(|other| own == other))
    }
}

/// What is shown to a server, once: as good as a password to who has the time to guess it (A9).
#[derive(Clone)]
pub(super) struct Token(pub(super) Vec<u8>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// What signs and verifies.
#[derive(Debug)]
pub(super) enum Mechanism {
    Ntlm(Keys),
    /// The embedder's, made for this handshake (A11).
    Context {
        handshake: HandshakeId,
        security: Box<dyn MessageSecurity>,
    },
}

impl Clone for Mechanism {
    fn clone(&self) -> Self {
        match self {
            Self::Ntlm(keys) => Self::Ntlm(keys.clone()),
            Self::Context { handshake, security } => Self::Context {
                handshake: *handshake,
                security: security.share(),
            },
        }
    }
}

impl Mechanism {
    /// `None` where it signs no more.
    fn sign(&mut self, cx: &mut Cx<'_>, text: &[u8]) -> Option<Mic> {
        match self {
            Self::Ntlm(keys) => Some(Mic::new(&keys.sign(text))),
            Self::Context { handshake, security } => {
                let signature = security.sign(text);
                cx.out
                    .answered(*handshake, || ContextAnswer::Signed(signature.clone()));
                signature.map(|signature| Mic::new(&signature))
            }
        }
    }

    fn verify(&mut self, cx: &mut Cx<'_>, text: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Ntlm(keys) => keys.verify(text, signature),
            Self::Context { handshake, security } => {
                let is_good = security.verify(text, signature);
                cx.out.answered(*handshake, || ContextAnswer::Verified(is_good));
                is_good
            }
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Association {
    pub(super) name: Name,
    mechanism: Mechanism,
    /// How many messages have been signed: the last `cnum`.
    signed: u32,
    window: ReplayWindow,
    is_shared: bool,
    /// There was something that it could not sign.
    is_mute: bool,
    /// How long what it was made with is good for, where that ends.
    pub(super) lifetime: Option<Duration>,
}

/// What a received signature is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signed {
    Well,
    Forged,
    Replayed,
}

impl Association {
    pub(super) const fn new(name: Name, mechanism: Mechanism, lifetime: Option<Duration>) -> Self {
        Self {
            name,
            mechanism,
            signed: 0,
            window: ReplayWindow::new(),
            is_shared: false,
            is_mute: false,
            lifetime,
        }
    }

    /// The message with a signature of its own; with `token` it is the last one of the handshake. As it is where what
    /// would be signed does not stand in it plainly, or nothing can be signed any more.
    pub(super) fn sign(&mut self, cx: &mut Cx<'_>, message: &Message, token: Option<&Token>) -> Bytes {
        let random = cx.entropy.hex(RANDOM_DIGITS);
        let number = self.signed.saturating_add(1);
        let stamp = Stamp {
            scheme: self.name.scheme,
            random: &random,
            number,
            realm: &self.name.realm,
            target: &self.name.target,
        };
        let mut buffer = Vec::new();
        if signing::buffer(&mut buffer, self.name.version, &stamp, message).is_err() {
            return message.bytes().clone();
        }
        let Some(mic) = self.mechanism.sign(cx, &buffer) else {
            self.is_mute = true;
            return message.bytes().clone();
        };
        self.signed = number;
        let credentials = Credentials {
            version: token.map(|_| self.name.version),
            token: token.map(|token| token.0.clone()),
            signature: Some(Signature {
                random: Cow::Borrowed(&random),
                number,
                mic,
            }),
            ..self.name.credentials()
        };
        self.name.put(&credentials, message.bytes())
    }

    /// Whether there was something that it could not sign.
    pub(super) const fn is_mute(&self) -> bool {
        self.is_mute
    }

    /// Whether the server has shown with a signature that it has it, too.
    pub(super) const fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Judges what the server says to have signed.
    pub(super) fn verify(&mut self, cx: &mut Cx<'_>, message: &Message, info: &Info<'_>) -> Signed {
        let (Some(signature), Some(stamp)) = (&info.signature, info.stamp()) else {
            return Signed::Forged;
        };
        if !self.window.is_new(signature.number) {
            return Signed::Replayed;
        }
        let mut buffer = Vec::new();
        if signing::buffer(&mut buffer, self.name.version, &stamp, message).is_err()
            || !self.mechanism.verify(cx, &buffer, &signature.mic)
        {
            return Signed::Forged;
        }
        self.window.record(signature.number);
        self.is_shared = true;
        // The server may give its handle with its first signature only.
        if self.name.opaque.is_none() {
            self.name.opaque = info.opaque.map(Box::from);
        }
        Signed::Well
    }
}
