//! Where everything is in a scenario, and what its resolver knows.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use sansip::{Answer, NaptrRecord, Question, SrvRecord};

pub(super) fn address(last: u8, port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)), port)
}

pub(super) fn no_addresses() -> Answer {
    Answer::Addresses {
        addresses: Vec::new(),
        ttl: Duration::from_secs(30),
    }
}

/// Every name has two addresses, and every service a record.
pub(super) fn answer_to(question: &Question) -> Answer {
    let ttl = Duration::from_secs(300);
    match question {
        Question::Addresses(_) => Answer::Addresses {
            addresses: vec![address(1, 0).ip(), address(3, 0).ip()],
            ttl,
        },
        Question::Naptr(name) => {
            let records = ["SIP+D2T", "SIPS+D2T"].map(|services| NaptrRecord {
                order: 1,
                preference: 1,
                flags: String::from("s"),
                services: String::from(services),
                regexp: String::new(),
                replacement: format!("_sip.{name}"),
            });
            Answer::Naptr {
                records: records.to_vec(),
                ttl,
            }
        }
        Question::Srv(_) => {
            let record = SrvRecord {
                priority: 1,
                weight: 1,
                port: 5070,
                target: String::from("srv.invalid"),
            };
            Answer::Srv {
                records: vec![record],
                ttl,
            }
        }
    }
}
