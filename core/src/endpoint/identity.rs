//! Who an endpoint is: its URI, endpoint id, instance id and GRUU (rules E1 to E5, E8, P8).

use alloc::boxed::Box;
use alloc::string::{String, ToString};

use sha1::{Digest, Sha1};

use crate::entropy::Entropy;
use crate::error::Misuse;
use crate::wire::uri::{SipUri, Uri, canonical_key};

/// See the module. Texts are ready to be written.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// The owner's URI.
    pub(crate) uri: Box<str>,
    /// User and host in canonical form, by which tables are kept (E9).
    pub(crate) canonical: Box<str>,
    pub(crate) user: Option<Box<str>>,
    /// The domain of the URI.
    pub(crate) domain: Box<str>,
    pub(crate) epid: Box<str>,
    /// The instance id as a URN.
    pub(crate) instance: Box<str>,
    /// What makes our Contact unique, for dispatch (M5).
    pub(crate) opaque: Box<str>,
}

impl Identity {
    pub(crate) fn new(
        entropy: &mut Entropy,
        uri: &str,
        epid: Option<&str>,
        instance: Option<&str>,
    ) -> Result<Self, Misuse> {
        let parsed = Uri::parse(uri).map_err(|error| Misuse::argument("uri", error.to_string()))?;
        let Some(sip) = parsed.as_sip() else {
            return Err(Misuse::argument(
                "uri",
                "the URI of an endpoint is a sip or sips URI",
            ));
        };
        let epid = match epid {
            Some(epid) => checked_epid(epid)?.into(),
            None => entropy.hex(10).into_boxed_str(),
        };
        let instance = match instance {
            Some(instance) => checked_instance(instance)?.into(),
            None => instance_of(&epid),
        };
        Ok(Self {
            uri: owner_uri(sip).into(),
            canonical: canonical_key(&parsed).into(),
            user: sip.user.as_deref().map(Into::into),
            domain: sip.host.to_string().into(),
            epid,
            instance,
            opaque: entropy.hex(16).into_boxed_str(),
        })
    }

    /// The scheme of the URI: the registrar of a sips address, and the Contact there, are sips too (RFC 3261 section 10.2.1).
    pub(crate) fn scheme(&self) -> &'static str {
        if self.uri.starts_with("sips:") {
            "sips"
        } else {
            "sip"
        }
    }
}

/// The URI without what belongs to a device or a message: port, headers.
fn owner_uri(uri: &SipUri<'_>) -> String {
    let mut owner = uri.clone();
    owner.port = None;
    owner.headers = crate::wire::uri::UriHeaders::default();
    owner.to_string()
}

/// 1 to 16 token characters (E3).
fn checked_epid(epid: &str) -> Result<&str, Misuse> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte);
    if (1..=16).contains(&epid.len()) && epid.bytes().all(token) {
        Ok(epid)
    } else {
        Err(Misuse::argument("epid", "1 to 16 token characters are needed"))
    }
}

fn checked_instance(instance: &str) -> Result<&str, Misuse> {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\".contains(&byte);
    if instance.len() > 4 && instance.bytes().all(plain) && instance.get(..4) == Some("urn:") {
        Ok(instance)
    } else {
        Err(Misuse::argument("instance", "a URN is needed"))
    }
}

/// The instance id of an epid as MS-SIPREGE derives it: a name-based GUID (SHA-1, version 5) whose fields stand in
/// little-endian order, in the name space fcacfb03-8a73-46ef-91b1-e5ebeeaba4fe.
fn instance_of(epid: &str) -> Box<str> {
    const NAME_SPACE: [u8; 16] = [
        0x03, 0xfb, 0xac, 0xfc, 0x73, 0x8a, 0xef, 0x46, 0x91, 0xb1, 0xe5, 0xeb, 0xee, 0xab, 0xa4, 0xfe,
    ];
    let mut hash = Sha1::new();
    hash.update(NAME_SPACE);
    hash.update(epid.as_bytes());
    let [a, b, c, d, e, f, g, h, i, rest @ ..] = <[u8; 20]>::from(hash.finalize());
    let time_high = (u16::from_le_bytes([g, h]) & 0x0fff) | 0x5000;
    let clock = (i & 0x3f) | 0x80;
    let mut uuid = alloc::format!(
        "urn:uuid:{:08x}-{:04x}-{time_high:04x}-{clock:02x}",
        u32::from_le_bytes([a, b, c, d]),
        u16::from_le_bytes([e, f]),
    );
    for (place, byte) in rest.into_iter().take(7).enumerate() {
        if place == 1 {
            uuid.push('-');
        }
        uuid.push_str(&alloc::format!("{byte:02x}"));
    }
    uuid.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    // rules: E5
    // The pairs are those of MS-SIPRE, MS-SIPAE 4.1 and 4.2 and MS-SIPREGE 4.
    #[test]
    fn instance_ids_follow_from_epids() {
        for (epid, uuid) in [
            ("01010101", "4b1682a8-f968-5701-83fc-7c6741dc6697"),
            ("8248ca9ebb", "4233fd41-093b-5fd6-b5d2-651ed55969e6"),
            ("2ebb6f264f", "124841e4-264d-52e8-96c5-d22aa8cdc316"),
            ("a0ae9e6cb0", "c1589240-e660-594f-a8b3-4b55f358cbc1"),
        ] {
            assert_eq!(&*instance_of(epid), alloc::format!("urn:uuid:{uuid}"), "{epid}");
        }
    }

    // rules: E3
    #[test]
    fn an_epid_is_kept_or_made_and_bounded() {
        let mut entropy = Entropy::new([1; 32]);
        let made = |epid| Identity::new(&mut Entropy::new([2; 32]), "sip:a@example.com", epid, None);
        assert_eq!(&*made(Some("ABCdef0123456789")).unwrap().epid, "ABCdef0123456789");
        assert!(made(Some("ABCdef01234567890")).is_err());
        assert!(made(Some("")).is_err());
        assert!(made(Some("a b")).is_err());
        let first = Identity::new(&mut entropy, "sip:a@example.com", None, None).unwrap();
        let second = Identity::new(&mut entropy, "sip:a@example.com", None, None).unwrap();
        assert_eq!(first.epid.len(), 10);
        assert_ne!(first.epid, second.epid);
    }

    // rules: E5
    #[test]
    fn an_instance_of_the_application_is_a_urn() {
        let kept = |instance| {
            let identity = Identity::new(
                &mut Entropy::new([1; 32]),
                "sip:a@example.com",
                None,
                Some(instance),
            );
            identity.is_ok_and(|identity| &*identity.instance == instance)
        };
        assert!(kept("urn:x") && kept("urn:uuid:4b1682a8-f968-5701-83fc-7c6741dc6697"));
        for instance in [
            "",
            "urn:",
            "uuid:4b1682a8",
            "urn:a b",
            "urn:a>",
            "urn:\"",
            "urn:\u{fc}",
        ] {
            assert!(!kept(instance), "{instance}");
        }
    }
}
