//! Messages of the domain name system: the query, and what a response says to it.

use std::net::IpAddr;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use sansip::{NaptrRecord, SrvRecord};

/// How many aliases are followed from one name, over all responses.
pub(crate) const MAX_ALIASES: usize = 16;
/// How many records of one name are read. A message over TCP can hold thousands.
pub(crate) const MAX_RECORDS: usize = 256;

/// The recursive query for the records of one type, or none where the library cannot encode the name.
pub(crate) fn query(id: u16, name: &Name, kind: RecordType) -> Option<Vec<u8>> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name.clone(), kind));
    message.to_vec().ok()
}

/// A record that answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Address(IpAddr),
    Pointer(NaptrRecord),
    Service(SrvRecord),
}

/// What a response says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// It is no response to this query: it is as if it had not come.
    Foreign,
    /// It did not fit; ask over TCP.
    Truncated,
    /// The server cannot or will not say.
    Failed,
    /// The aliases run in a circle, or there are too many.
    AliasLoop,
    /// The name is an alias, and of the name at its end the response says nothing; seconds.
    Alias { name: Name, ttl: u32 },
    /// There are records; seconds.
    Records { found: Vec<Found>, ttl: u32 },
    /// The name has no records of this type; seconds.
    Empty { ttl: u32 },
    /// The name does not exist.
    NoSuchName,
}

/// Reads a response to the query (`id`, `name`, `kind`). `aliases` holds the names that led to `name` and
/// grows by those that the response leads on to.
pub(crate) fn read(bytes: &[u8], id: u16, name: &Name, kind: RecordType, aliases: &mut Vec<Name>) -> Reading {
    let Ok(message) = Message::from_vec(bytes) else {
        return Reading::Foreign;
    };
    let header = &message.metadata;
    let is_ours = header.id == id
        && header.message_type == MessageType::Response
        && header.op_code == OpCode::Query
        && matches!(message.queries.as_slice(), [asked] if asked.name().eq_ignore_root(name)
            && asked.query_type() == kind && asked.query_class() == DNSClass::IN);
    if !is_ours {
        return Reading::Foreign;
    }
    if header.truncation {
        return Reading::Truncated;
    }
    if header.response_code == ResponseCode::NXDomain {
        return Reading::NoSuchName;
    }
    // A server that neither knows nor asks others only points elsewhere; a stub resolver cannot go there.
    let is_referral = message.answers.is_empty() && !header.authoritative && !header.recursion_available;
    if header.response_code != ResponseCode::NoError || is_referral {
        return Reading::Failed;
    }
    let mut current = name.clone();
    let mut ttl = u32::MAX;
    loop {
        let of_current =
            |record: &&Record| record.dns_class == DNSClass::IN && record.name.eq_ignore_root(&current);
        let mut found = Vec::new();
        for record in message.answers.iter().filter(of_current) {
            if let Some(value) = value(&record.data, kind) {
                ttl = ttl.min(record.ttl);
                if found.len() < MAX_RECORDS && !found.contains(&value) {
                    found.push(value);
                }
            }
        }
        if !found.is_empty() {
            return Reading::Records { found, ttl };
        }
        let alias = message.answers.iter().filter(of_current).find_map(|record| {
            if let RData::CNAME(target) = &record.data {
                Some((target.0.clone(), record.ttl))
            } else {
                None
            }
        });
        let Some((target, alias_ttl)) = alias else { break };
        ttl = ttl.min(alias_ttl);
        aliases.push(current);
        if aliases.len() > MAX_ALIASES || aliases.iter().any(|seen| seen.eq_ignore_root(&target)) {
            return Reading::AliasLoop;
        }
        current = target;
    }
    // How long "nothing" holds (RFC 2308 section 5); without that record a server says nothing about the
    // name.
    let negative_ttl = message.authorities.iter().find_map(|record| {
        if let RData::SOA(soa) = &record.data {
            Some(record.ttl.min(soa.minimum))
        } else {
            None
        }
    });
    if current.eq_ignore_root(name) || negative_ttl.is_some() {
        Reading::Empty {
            ttl: ttl.min(negative_ttl.unwrap_or(0)),
        }
    } else {
        Reading::Alias { name: current, ttl }
    }
}

fn value(data: &RData, kind: RecordType) -> Option<Found> {
    if data.record_type() != kind {
        return None;
    }
    if let RData::A(address) = data {
        Some(Found::Address(IpAddr::V4(address.0)))
    } else if let RData::AAAA(address) = data {
        Some(Found::Address(IpAddr::V6(address.0)))
    } else if let RData::SRV(service) = data {
        let (priority, weight, port) = (service.priority, service.weight, service.port);
        Some(Found::Service(SrvRecord {
            priority,
            weight,
            port,
            target: text(&service.target),
        }))
    } else if let RData::NAPTR(pointer) = data {
        // What is no text is no word that anybody knows.
        let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some(Found::Pointer(NaptrRecord {
            order: pointer.order,
            preference: pointer.preference,
            flags: words(&pointer.flags),
            services: words(&pointer.services),
            regexp: words(&pointer.regexp),
            replacement: text(&pointer.replacement),
        }))
    } else {
        None
    }
}

/// A name without its final dot; the root alone stays `.`.
fn text(name: &Name) -> String {
    let text = name.to_ascii();
    match text.strip_suffix('.') {
        Some(text) if !text.is_empty() => text.to_owned(),
        Some(_) | None => text,
    }
}

/// A name that can be asked for: absolute, in the letters of the wire.
pub(crate) fn absolute(name: &str) -> Option<Name> {
    let mut name = Name::from_ascii(name)
        .ok()
        .filter(|name| name.iter().next().is_some())?;
    name.set_fqdn(true);
    Some(name)
}
