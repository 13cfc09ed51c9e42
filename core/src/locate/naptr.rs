//! The services that a domain names for a transport (RFC 3263 section 4.1).

use alloc::string::String;
use alloc::vec::Vec;

use crate::action::{NaptrRecord, Transport};

/// How many services are looked at. One for each transport is what a domain has.
const SERVICES: usize = 4;

/// The names of the SRV records of a transport, best first, each once. The application has chosen the transport, by its
/// settings or by the URI (P4): what a domain says of others is not for it, least of all a way around TLS.
pub(super) fn services(records: &[NaptrRecord], transport: Transport) -> Vec<String> {
    let service = match transport {
        Transport::Tcp => "SIP+D2T",
        Transport::Tls => "SIPS+D2T",
    };
    let mut suitable: Vec<&NaptrRecord> = records
        .iter()
        .filter(|record| {
            record.services.eq_ignore_ascii_case(service)
                && record.flags.eq_ignore_ascii_case("s")
                && record.regexp.is_empty()
        })
        .collect();
    suitable.sort_by_key(|record| (record.order, record.preference));
    let mut names: Vec<String> = Vec::new();
    for record in suitable {
        let name = record.replacement.trim_end_matches('.').to_ascii_lowercase();
        if !name.is_empty() && !names.contains(&name) && names.len() < SERVICES {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use super::*;

    fn record(order: u16, preference: u16, services: &str, replacement: &str) -> NaptrRecord {
        NaptrRecord {
            order,
            preference,
            flags: "s".to_string(),
            services: services.to_string(),
            regexp: String::new(),
            replacement: replacement.to_string(),
        }
    }

    // rules: R18
    #[test]
    fn the_example_of_rfc_3263() {
        // Section 4.1.
        let records = [
            record(50, 50, "SIPS+D2T", "_sips._tcp.example.com."),
            record(90, 50, "SIP+D2T", "_sip._tcp.example.com"),
            record(100, 50, "SIP+D2U", "_sip._udp.example.com."),
        ];
        assert_eq!(services(&records, Transport::Tls), ["_sips._tcp.example.com"]);
        assert_eq!(services(&records, Transport::Tcp), ["_sip._tcp.example.com"]);
    }

    // rules: R18
    #[test]
    fn the_order_goes_before_the_preference_and_a_name_comes_once() {
        let records = [
            record(2, 1, "SIP+D2T", "c"),
            record(1, 9, "sip+d2t", "B"),
            record(1, 3, "SIP+D2T", "a."),
            record(3, 1, "SIP+D2T", "a"),
        ];
        assert_eq!(services(&records, Transport::Tcp), ["a", "b", "c"]);
    }

    // rules: R18
    #[test]
    fn what_is_no_name_of_srv_records_does_not_count() {
        let good = record(9, 9, "SIP+D2T", "good");
        let records = [
            record(1, 1, "SIP+D2T", "."),
            record(1, 1, "SIP+D2T", ""),
            NaptrRecord {
                flags: "u".to_string(),
                ..good.clone()
            },
            NaptrRecord {
                flags: String::new(),
                ..good.clone()
            },
            NaptrRecord {
                regexp: "!^.*$!sip:x!".to_string(),
                ..good.clone()
            },
            record(1, 1, "E2U+sip", "x"),
            record(1, 1, "SIPS+D2T", "x"),
            record(1, 1, "SIP+D2W", "x"),
        ];
        assert_eq!(services(&records, Transport::Tcp), [""; 0]);
        let with_good = [&records[..], &[good]].concat();
        assert_eq!(services(&with_good, Transport::Tcp), ["good"]);
    }

    // rules: C31
    #[test]
    fn four_services_are_looked_at_and_no_fifth() {
        let records: Vec<_> = (0..9)
            .map(|n| record(n, 1, "SIP+D2T", &format!("s{n}")))
            .collect();
        assert_eq!(services(&records, Transport::Tcp), ["s0", "s1", "s2", "s3"]);
    }
}
