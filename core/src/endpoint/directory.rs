//! Which endpoint an incoming request is for (M5, M7).

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::ids::EndpointId;
use crate::map::{HashKey, Map};
use crate::wire::Message;
use crate::wire::uri::{Uri, canonical_key};

use super::identity::Identity;

/// The tables by which endpoints are found.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    by_epid: Map<Box<str>, EndpointId>,
    /// With whether it is ending.
    by_opaque: Map<Box<str>, (EndpointId, bool)>,
    by_gruu: Map<Box<str>, EndpointId>,
    /// Those of one user, the oldest first; ids grow.
    by_user: Map<Box<str>, Vec<(Box<str>, EndpointId)>>,
    /// By the user part alone: our Contacts have it, with an address of this host.
    by_name: Map<Box<str>, Vec<(Box<str>, EndpointId)>>,
    peers: BTreeSet<EndpointId>,
    /// How many endpoints each user has that are ending.
    leaving: Map<Box<str>, usize>,
}

impl Directory {
    pub(crate) fn new(key: HashKey) -> Self {
        Self {
            by_epid: Map::new(key),
            by_opaque: Map::new(key),
            by_gruu: Map::new(key),
            by_user: Map::new(key),
            by_name: Map::new(key),
            peers: BTreeSet::new(),
            leaving: Map::new(key),
        }
    }

    /// Whether another endpoint has this URI and endpoint id (E1).
    pub(crate) fn knows(&self, identity: &Identity) -> bool {
        self.by_epid.contains_key(&*pair(identity))
    }

    /// Whether another endpoint has this GRUU (E4).
    pub(crate) fn knows_gruu(&self, gruu: &str) -> bool {
        self.by_gruu.contains_key(gruu)
    }

    pub(crate) fn insert(&mut self, id: EndpointId, identity: &Identity, peer: bool) {
        self.by_epid.insert(pair(identity), id);
        self.by_opaque.insert(identity.opaque.clone(), (id, false));
        let users = self.by_user.or_insert_with(identity.canonical.clone(), Vec::new);
        users.push((identity.epid.clone(), id));
        let names = self
            .by_name
            .or_insert_with(name_of(&identity.canonical).into(), Vec::new);
        names.push((identity.epid.clone(), id));
        if peer {
            self.peers.insert(id);
        }
    }

    /// No request finds an endpoint that is ending any more. Its pair is not free before it is gone: what it still says
    /// to its server would be about the other one.
    pub(crate) fn remove(&mut self, id: EndpointId, identity: &Identity) {
        *self.leaving.or_insert_with(identity.canonical.clone(), || 0) += 1;
        if let Some((_, ending)) = self.by_opaque.get_mut(&*identity.opaque) {
            *ending = true;
        }
        self.peers.remove(&id);
        forget(&mut self.by_user, &identity.canonical, id);
        forget(&mut self.by_name, name_of(&identity.canonical), id);
    }

    /// An endpoint that was removed is gone.
    pub(crate) fn forget(&mut self, identity: &Identity) {
        self.by_epid.remove(&*pair(identity));
        self.by_opaque.remove(&*identity.opaque);
        if let Some(count) = self.leaving.get_mut(&identity.canonical) {
            *count -= 1;
            if *count == 0 {
                self.leaving.remove(&identity.canonical);
            }
        }
    }

    /// Whether this URI is that of a user with an endpoint that is ending, or of that endpoint alone.
    pub(crate) fn is_leaving(&self, uri: &str) -> bool {
        Uri::parse(uri)
            .is_ok_and(|uri| self.leaving.contains_key(&*canonical_key(&uri)) || self.is_ending(&uri))
    }

    /// Whether this URI is the Contact of an endpoint that is ending: who means that device means no other.
    fn is_ending(&self, uri: &Uri<'_>) -> bool {
        self.opaque(uri).is_some_and(|(_, ending)| ending)
    }

    fn opaque(&self, uri: &Uri<'_>) -> Option<(EndpointId, bool)> {
        let opaque = uri.as_sip()?.params.get("ms-opaque")?;
        self.by_opaque.get(opaque).copied()
    }

    pub(crate) fn insert_gruu(&mut self, id: EndpointId, gruu: &str) {
        self.by_gruu.insert(gruu.into(), id);
    }

    /// Takes away a GRUU of this endpoint; that of another one stays.
    pub(crate) fn remove_gruu(&mut self, id: EndpointId, gruu: &str) {
        if self.by_gruu.get(gruu) == Some(&id) {
            self.by_gruu.remove(gruu);
        }
    }

    /// The endpoint that a request outside dialogs is for: by what is unique in the Request-URI, by the Request-URI,
    /// by To, each with the epid that To names; last, without strict dispatch, the only peer-to-peer endpoint; then the
    /// one that takes what is nobody's.
    /// `here` is the address of this host that the request came in on; `takes` says who takes requests from there.
    pub(crate) fn find(
        &self,
        request: &Message,
        here: Option<IpAddr>,
        takes: &impl Fn(EndpointId) -> bool,
        strict: bool,
        default: Option<EndpointId>,
    ) -> Option<EndpointId> {
        let target = Uri::parse(request.request_uri()).ok();
        let opaque = target.as_ref().and_then(|target| self.opaque(target));
        if opaque.is_some_and(|(_, ending)| ending) {
            return None;
        }
        let to = request.to().ok();
        let epid = to.as_ref().and_then(|to| to.epid());
        opaque
            .map(|(id, _)| id)
            .or_else(|| self.by_gruu.get(request.request_uri()).copied())
            .filter(|id| takes(*id))
            .or_else(|| {
                let named = self.named(&to.as_ref()?.0.uri, epid.as_deref());
                self.find_contact(target.as_ref()?, here?, epid.as_deref(), named, takes)
            })
            .or_else(|| self.find_user(target.as_ref()?, epid.as_deref(), takes))
            .or_else(|| self.find_user(&to.as_ref()?.0.uri, epid.as_deref(), takes))
            .or_else(|| {
                if strict {
                    None
                } else {
                    self.only_peer().filter(|id| takes(*id))
                }
            })
            .or_else(|| default.filter(|id| takes(*id)))
    }

    /// The endpoint whose Contact a Request-URI is: its user at an address of this host (P7).
    fn find_contact(
        &self,
        uri: &Uri<'_>,
        here: IpAddr,
        epid: Option<&str>,
        named: Option<EndpointId>,
        takes: &impl Fn(EndpointId) -> bool,
    ) -> Option<EndpointId> {
        let sip = uri.as_sip().filter(|uri| uri.host.ip() == Some(here))?;
        sip.user.as_ref()?;
        let users = self.by_name.get(name_of(&canonical_key(uri)))?;
        // To names the owner, whose domain this URI does not say; what it names otherwise is looked for one by one.
        let by_epid = |known: &str| epid.is_some_and(|epid| known.eq_ignore_ascii_case(epid));
        let one_by_one = || {
            let mut named = users.iter().filter(|(known, id)| by_epid(known) && takes(*id));
            named.next().map(|(_, id)| *id)
        };
        choose(users, named, takes, one_by_one)
    }

    /// The endpoint of this pair, which may be one that is ending.
    fn named(&self, uri: &Uri<'_>, epid: Option<&str>) -> Option<EndpointId> {
        let pair = alloc::format!("{};{}", canonical_key(uri), epid?.to_ascii_lowercase());
        self.by_epid.get(&*pair).copied()
    }

    fn find_user(
        &self,
        uri: &Uri<'_>,
        epid: Option<&str>,
        takes: &impl Fn(EndpointId) -> bool,
    ) -> Option<EndpointId> {
        let users = self.by_user.get(&*canonical_key(uri))?;
        choose(users, self.named(uri, epid), takes, || None)
    }

    fn only_peer(&self) -> Option<EndpointId> {
        let mut peers = self.peers.iter();
        match (peers.next(), peers.next()) {
            (Some(only), None) => Some(*only),
            (_, _) => None,
        }
    }
}

/// Of those who take it the one that is named, else the oldest: a user may have a thousand.
fn choose(
    users: &[(Box<str>, EndpointId)],
    named: Option<EndpointId>,
    takes: &impl Fn(EndpointId) -> bool,
    otherwise: impl FnOnce() -> Option<EndpointId>,
) -> Option<EndpointId> {
    let is_one = |id: &EndpointId| place_of(users, *id).is_ok() && takes(*id);
    let mut takers = users.iter().map(|(_, id)| *id).filter(|id| takes(*id));
    named.filter(is_one).or_else(otherwise).or_else(|| takers.next())
}

/// Where an endpoint is among those of its user.
fn place_of(users: &[(Box<str>, EndpointId)], id: EndpointId) -> Result<usize, usize> {
    users.binary_search_by_key(&id, |(_, known)| *known)
}

fn forget(table: &mut Map<Box<str>, Vec<(Box<str>, EndpointId)>>, key: &str, id: EndpointId) {
    if let Some(users) = table.get_mut(key) {
        if let Ok(at) = place_of(users, id) {
            users.remove(at);
        }
        if users.is_empty() {
            table.remove(key);
        }
    }
}

/// The user part of a canonical key.
fn name_of(canonical: &str) -> &str {
    canonical.split_once('@').map_or("", |(name, _)| name)
}

fn pair(identity: &Identity) -> Box<str> {
    alloc::format!("{};{}", identity.canonical, identity.epid.to_ascii_lowercase()).into()
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;
    use core::cell::Cell;

    use bytes::Bytes;

    use super::*;
    use crate::entropy::Entropy;
    use crate::ids::FromNumber;
    use crate::wire::MessageLimits;

    const BOB: &str = "sip:bob@two.invalid";

    fn message(uri: &str, to: &str) -> Message {
        let text = format!(
            "MESSAGE {uri} SIP/2.0\r\nVia: SIP/2.0/TCP a;branch=z9hG4bKa\r\nFrom: <sip:a@b>;tag=a\r\nTo: {to}\r\n\
             Call-ID: 1\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n"
        );
        Message::parse(Bytes::from(text), &MessageLimits::default()).unwrap()
    }

    // rules: E2, M5
    #[test]
    fn one_of_a_thousand_is_found_without_asking_all() {
        let mut entropy = Entropy::new([7; 32]);
        let mut directory = Directory::new(HashKey(1, 2));
        let mut identities = Vec::new();
        for number in 0..1000 {
            let epid = format!("e{number}");
            let identity = Identity::new(&mut entropy, BOB, Some(&epid), None).unwrap();
            directory.insert(EndpointId::from_number(number + 1), &identity, true);
            identities.push(identity);
        }
        let here: IpAddr = "192.0.2.1".parse().unwrap();
        let asked = Cell::new(0);
        let takes = |_| {
            asked.set(asked.get() + 1);
            true
        };
        for (number, identity) in (1..).zip(&identities) {
            let to = format!("<{BOB}>;epid={}", identity.epid);
            let uris = [
                String::from(BOB),
                String::from("sip:bob@192.0.2.1"),
                String::from("sip:else@where.invalid"),
                format!("sip:x@y.invalid;ms-opaque={}", identity.opaque),
            ];
            for uri in uris {
                let found = directory.find(&message(&uri, &to), Some(here), &takes, true, None);
                assert_eq!(found, Some(EndpointId::from_number(number)), "{uri}, {to}");
            }
        }
        assert_eq!(asked.get(), 4 * 1000, "each time one was asked");
        let unnamed = directory.find(&message(BOB, "<sip:bob@two.invalid>"), None, &takes, true, None);
        assert_eq!(unnamed, Some(EndpointId::from_number(1)), "the oldest");
        for (number, identity) in (1..).zip(&identities).step_by(2) {
            directory.remove(EndpointId::from_number(number), identity);
        }
        let to = format!("<{BOB}>;epid=e0");
        let left = directory.find(&message(BOB, &to), None, &takes, true, None);
        assert_eq!(left, Some(EndpointId::from_number(2)), "the named one is leaving");
    }

    // rules: E4, M5
    #[test]
    fn a_gruu_is_found_until_its_own_endpoint_has_it_no_more() {
        let gruu = "sip:else@where.invalid;gr=1";
        let mut directory = Directory::new(HashKey(1, 2));
        let [own, other] = [1, 2].map(EndpointId::from_number);
        directory.insert_gruu(own, gruu);
        let message = message(gruu, "<sip:else@where.invalid>");
        let find = |directory: &Directory| directory.find(&message, None, &|_| true, true, None);
        assert_eq!(find(&directory), Some(own));
        directory.remove_gruu(other, gruu);
        assert_eq!((find(&directory), directory.knows_gruu(gruu)), (Some(own), true));
        directory.remove_gruu(own, gruu);
        assert_eq!((find(&directory), directory.knows_gruu(gruu)), (None, false));
    }
}
