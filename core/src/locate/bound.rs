//! How much of an answer is looked at: it comes from the network, and whoever sends it chooses its size (C31).

use core::net::IpAddr;
use core::time::Duration;

use super::query::Resolution;
use crate::action::Answer;

/// How many records of one name are looked at: the best ones. Who has more servers than these has enough with them.
const RECORDS: usize = 32;

/// The longest domain name (RFC 1035 section 2.3.4).
const NAME: usize = 255;

/// How long an answer is kept at most, whatever it says: a wrong one must not stay for years.
const TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// The answer without what no server has, and without what is too much.
pub(super) fn bound(resolution: Resolution) -> Resolution {
    resolution.map(|answer| match answer {
        Answer::Naptr { mut records, ttl } => {
            records.retain(|record| {
                let texts = [
                    &record.flags,
                    &record.services,
                    &record.regexp,
                    &record.replacement,
                ];
                texts.iter().all(|text| text.len() <= NAME)
            });
            records.sort_by_key(|record| (record.order, record.preference));
            records.truncate(RECORDS);
            records.shrink_to_fit();
            let ttl = ttl.min(TTL);
            Answer::Naptr { records, ttl }
        }
        Answer::Srv { mut records, ttl } => {
            records.retain(|record| record.target.len() <= NAME);
            records.sort_by_key(|record| record.priority);
            records.truncate(RECORDS);
            records.shrink_to_fit();
            let ttl = ttl.min(TTL);
            Answer::Srv { records, ttl }
        }
        Answer::Addresses { mut addresses, ttl } => {
            addresses.retain(is_host);
            addresses.truncate(RECORDS);
            addresses.shrink_to_fit();
            let ttl = ttl.min(TTL);
            Answer::Addresses { addresses, ttl }
        }
    })
}

/// Whether a host can have this address: neither none, nor that of many.
fn is_host(address: &IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !address.is_unspecified() && !address.is_multicast() && !is_broadcast
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    use super::*;
    use crate::action::{NaptrRecord, ResolveError, SrvRecord};

    fn naptr(order: u16, replacement: String) -> NaptrRecord {
        NaptrRecord {
            order,
            preference: 1,
            flags: "s".to_string(),
            services: "SIP+D2T".to_string(),
            regexp: String::new(),
            replacement,
        }
    }

    fn srv(priority: u16, target: String) -> SrvRecord {
        SrvRecord {
            priority,
            weight: 1,
            port: 5060,
            target,
        }
    }

    const DAY: Duration = Duration::from_secs(86_400);

    // rules: C31
    #[test]
    fn of_more_than_thirty_two_records_the_best_are_kept() {
        for count in [32_u16, 33, 4000] {
            let ttl = DAY;
            let records: Vec<_> = (0..count)
                .rev()
                .map(|order| naptr(order, "x".to_string()))
                .collect();
            let Ok(Answer::Naptr { records, .. }) = bound(Ok(Answer::Naptr { records, ttl })) else {
                panic!()
            };
            assert!(records.iter().map(|record| record.order).eq(0..32));
            let records: Vec<_> = (0..count)
                .rev()
                .map(|order| srv(order, "x".to_string()))
                .collect();
            let Ok(Answer::Srv { records, .. }) = bound(Ok(Answer::Srv { records, ttl })) else {
                panic!()
            };
            assert!(records.iter().map(|record| record.priority).eq(0..32));
            let all: Vec<IpAddr> = (0..count)
                .map(|number| IpAddr::from([10, 1, number.to_be_bytes()[0], number.to_be_bytes()[1]]))
                .collect();
            let addresses = all.clone();
            let Ok(Answer::Addresses { addresses, .. }) = bound(Ok(Answer::Addresses { addresses, ttl }))
            else {
                panic!()
            };
            assert_eq!(addresses, all[..32]);
        }
    }

    // rules: C31
    #[test]
    fn a_name_has_at_most_255_letters() {
        let ttl = Duration::ZERO;
        let [fits, too_long] = [255, 256].map(|length| "x".repeat(length));
        let records = Vec::from([srv(1, too_long.clone()), srv(2, fits.clone())]);
        let expected = Vec::from([srv(2, fits.clone())]);
        assert_eq!(
            bound(Ok(Answer::Srv { records, ttl })),
            Ok(Answer::Srv {
                records: expected,
                ttl
            })
        );
        let wordy = NaptrRecord {
            regexp: too_long.clone(),
            ..naptr(1, fits.clone())
        };
        let records = Vec::from([naptr(1, too_long), wordy, naptr(2, fits.clone())]);
        let expected = Vec::from([naptr(2, fits)]);
        assert_eq!(
            bound(Ok(Answer::Naptr { records, ttl })),
            Ok(Answer::Naptr {
                records: expected,
                ttl
            })
        );
    }

    // rules: C25
    #[test]
    fn what_no_host_has_is_no_address() {
        let ttl = Duration::ZERO;
        let list = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let addresses = list(&[
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "127.0.0.1",
            "2001:db8::1",
        ]);
        let expected = list(&["127.0.0.1", "2001:db8::1"]);
        assert_eq!(
            bound(Ok(Answer::Addresses { addresses, ttl })),
            Ok(Answer::Addresses {
                addresses: expected,
                ttl
            })
        );
    }

    // rules: C31
    #[test]
    fn an_answer_holds_for_a_day_at_most() {
        for (said, kept) in [
            (Duration::ZERO, Duration::ZERO),
            (DAY, DAY),
            (DAY + Duration::from_secs(1), DAY),
            (Duration::MAX, DAY),
        ] {
            let records = Vec::new();
            let Ok(Answer::Srv { ttl, .. }) = bound(Ok(Answer::Srv { records, ttl: said })) else {
                panic!()
            };
            assert_eq!(ttl, kept);
        }
        assert_eq!(bound(Err(ResolveError::Timeout)), Err(ResolveError::Timeout));
    }
}
