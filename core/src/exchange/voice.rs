//! What an endpoint says in all its messages, written once when it is made.

use alloc::string::String;

use crate::wire::write::HeaderBlock;
use crate::wire::{HeaderName, Method};

/// The header fields of an endpoint that no message changes. They stand in one block, each kind of message in one piece:
///
/// ```text
/// Allow, Supported | User-Agent | the profile's own | Allow, Supported | Server | Accept | REGISTER
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Voice {
    all: HeaderBlock,
    /// Where the pieces after the first begin.
    agent: usize,
    own: usize,
    response: usize,
    server: usize,
    accept: usize,
    register: usize,
}

/// Of what a [`Voice`] is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words<'a> {
    pub(crate) allow: &'a str,
    pub(crate) supported: &'a str,
    /// The text of User-Agent and Server.
    pub(crate) agent: &'a str,
    pub(crate) accept: &'a str,
    /// What a REGISTER says before its User-Agent; nothing where the endpoint does not register.
    pub(crate) register: &'a [(HeaderName, &'a str)],
    /// Header fields of the application in every request, checked.
    pub(crate) own: &'a [(String, String)],
}

impl Voice {
    pub(crate) fn new(words: &Words<'_>) -> Self {
        let field = |name: HeaderName, value| HeaderBlock::new([(name.as_str(), value)]);
        let own = HeaderBlock::new(words.own.iter().map(|(name, value)| (&**name, &**value)));
        let describes = HeaderBlock::new([
            (HeaderName::Allow.as_str(), words.allow),
            (HeaderName::Supported.as_str(), words.supported),
        ]);
        let agent = field(HeaderName::UserAgent, words.agent);
        let register = if words.register.is_empty() {
            HeaderBlock::default()
        } else {
            let fields = words.register.iter().map(|(name, value)| (name.as_str(), *value));
            HeaderBlock::joined(&[HeaderBlock::new(fields), agent.clone(), own.clone()])
        };
        let mut end = 0;
        let mut after = |block: &HeaderBlock| {
            end += block.len();
            end
        };
        let (server, accept) = (
            field(HeaderName::Server, words.agent),
            field(HeaderName::Accept, words.accept),
        );
        Self {
            agent: after(&describes),
            own: after(&agent),
            response: after(&own),
            server: after(&describes),
            accept: after(&server),
            register: after(&accept),
            all: HeaderBlock::joined(&[describes.clone(), agent, own, describes, server, accept, register]),
        }
    }

    /// In a request of the stack's own: User-Agent, and what describes the endpoint where the method asks for it.
    pub(crate) fn request(&self, method: &Method) -> HeaderBlock {
        self.all.part(self.request_start(method)..self.own)
    }

    /// In a request of the application: the same, and its own header fields.
    pub(crate) fn full_request(&self, method: &Method) -> HeaderBlock {
        self.all.part(self.request_start(method)..self.response)
    }

    const fn request_start(&self, method: &Method) -> usize {
        if matches!(method, Method::Invite | Method::Update | Method::Options) {
            0
        } else {
            self.agent
        }
    }

    /// In a REGISTER, after Expires.
    pub(crate) fn register(&self) -> HeaderBlock {
        self.all.part(self.register..self.all.len())
    }

    /// In a response to INVITE or UPDATE.
    pub(crate) fn description(&self) -> HeaderBlock {
        self.all.part(self.response..self.accept)
    }

    /// In the application's answer to a request: an OPTIONS asks for all there is.
    pub(crate) fn reply(&self, method: Option<&Method>) -> HeaderBlock {
        if method == Some(&Method::Options) {
            self.all.part(self.response..self.register)
        } else {
            self.all.part(self.server..self.accept)
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn block(fields: &[(&'static str, &'static str)]) -> HeaderBlock {
        HeaderBlock::new(fields.iter().copied())
    }

    // rules: E6, E10
    #[test]
    fn each_kind_of_message_says_its_part() {
        let own = vec![(String::from("X-Own"), String::from("1"))];
        let mut words = Words {
            allow: "INVITE, ACK",
            supported: "gruu",
            agent: "phone/2",
            accept: "*/*",
            register: &[(HeaderName::Event, "registration")],
            own: &own,
        };
        let voice = Voice::new(&words);
        let (allow, supported, own) = (("Allow", "INVITE, ACK"), ("Supported", "gruu"), ("X-Own", "1"));
        let (agent, server) = (("User-Agent", "phone/2"), ("Server", "phone/2"));
        for method in [Method::Invite, Method::Update, Method::Options] {
            assert_eq!(voice.request(&method), block(&[allow, supported, agent]));
            assert_eq!(
                voice.full_request(&method),
                block(&[allow, supported, agent, own])
            );
        }
        assert_eq!(voice.request(&Method::Bye), block(&[agent]));
        assert_eq!(voice.full_request(&Method::Message), block(&[agent, own]));
        let register = block(&[("Event", "registration"), agent, own]);
        assert_eq!(voice.register(), register);
        assert_eq!(voice.description(), block(&[allow, supported, server]));
        assert_eq!(voice.reply(Some(&Method::Message)), block(&[server]));
        let options = block(&[allow, supported, server, ("Accept", "*/*")]);
        assert_eq!(voice.reply(Some(&Method::Options)), options);
        words.register = &[];
        assert_eq!(Voice::new(&words).register(), HeaderBlock::default());
    }
}
