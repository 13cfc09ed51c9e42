//! The domain name system of a world: a table.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use sansip::{Answer, NaptrRecord, Question, ResolveError, SrvRecord};

/// How long an answer may be kept, where a test says nothing else.
const TTL: Duration = Duration::from_secs(60);

/// What a world's name servers know. Names are compared without regard to case.
#[derive(Clone, Debug)]
pub struct Names {
    addresses: BTreeMap<String, Vec<IpAddr>>,
    pointers: BTreeMap<String, Vec<NaptrRecord>>,
    services: BTreeMap<String, Vec<SrvRecord>>,
    failures: BTreeMap<String, Failure>,
    ttl: Duration,
    /// A resolver that answers everything twice.
    pub twice: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Error(ResolveError),
    Silence,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            addresses: BTreeMap::new(),
            pointers: BTreeMap::new(),
            services: BTreeMap::new(),
            failures: BTreeMap::new(),
            ttl: TTL,
            twice: false,
        }
    }
}

impl Names {
    /// Gives a name these addresses, in this order, in place of those it had.
    pub fn set_addresses(&mut self, name: &str, addresses: &[IpAddr]) -> &mut Self {
        self.addresses.insert(key(name), addresses.to_vec());
        self
    }

    /// Gives a domain these NAPTR records, in place of those it had.
    pub fn set_pointers(&mut self, name: &str, records: &[NaptrRecord]) -> &mut Self {
        self.pointers.insert(key(name), records.to_vec());
        self
    }

    /// Gives a service name (`_sip._tcp.example.com`) these records, in place of those it had.
    pub fn set_services(&mut self, name: &str, records: &[SrvRecord]) -> &mut Self {
        self.services.insert(key(name), records.to_vec());
        self
    }

    /// Takes a name out of the table.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.addresses.remove(&key(name));
        self.pointers.remove(&key(name));
        self.services.remove(&key(name));
        self
    }

    /// Every question for this name fails so from now on.
    pub fn fail(&mut self, name: &str, error: ResolveError) -> &mut Self {
        self.failures.insert(key(name), Failure::Error(error));
        self
    }

    /// No question for this name is answered from now on.
    pub fn silence(&mut self, name: &str) -> &mut Self {
        self.failures.insert(key(name), Failure::Silence);
        self
    }

    /// Questions for this name are answered again.
    pub fn mend(&mut self, name: &str) -> &mut Self {
        self.failures.remove(&key(name));
        self
    }

    /// How long answers may be kept from now on.
    pub fn set_ttl(&mut self, ttl: Duration) -> &mut Self {
        self.ttl = ttl;
        self
    }

    /// What is answered; `None` for nothing ever.
    pub(super) fn answer(&self, question: &Question) -> Option<Result<Answer, ResolveError>> {
        let (Question::Naptr(name) | Question::Srv(name) | Question::Addresses(name)) = question;
        match self.failures.get(&key(name)) {
            Some(Failure::Error(error)) => return Some(Err(*error)),
            Some(Failure::Silence) => return None,
            None => {}
        }
        let ttl = self.ttl;
        Some(match question {
            Question::Naptr(name) => Ok(Answer::Naptr {
                records: self.pointers.get(&key(name)).cloned().unwrap_or_default(),
                ttl,
            }),
            Question::Srv(name) => Ok(Answer::Srv {
                records: self.services.get(&key(name)).cloned().unwrap_or_default(),
                ttl,
            }),
            Question::Addresses(name) => match self.addresses.get(&key(name)) {
                Some(addresses) => Ok(Answer::Addresses {
                    addresses: addresses.clone(),
                    ttl,
                }),
                None => Err(ResolveError::NoSuchName),
            },
        })
    }
}

fn key(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_what_it_was_given_until_it_fails() {
        let mut names = Names::default();
        let ip: IpAddr = "192.0.2.1".parse().unwrap();
        names.set_addresses("Example.com", &[ip]);
        let question = Question::Addresses("example.COM.".to_owned());
        assert_eq!(
            names.answer(&question),
            Some(Ok(Answer::Addresses {
                addresses: vec![ip],
                ttl: Duration::from_secs(60)
            }))
        );
        let other = Question::Addresses("example.org".to_owned());
        assert_eq!(names.answer(&other), Some(Err(ResolveError::NoSuchName)));
        let service = Question::Srv("_sip._tcp.example.com".to_owned());
        assert!(
            matches!(names.answer(&service), Some(Ok(Answer::Srv { records, .. })) if records.is_empty())
        );
        let pointer = NaptrRecord {
            order: 1,
            preference: 1,
            flags: "s".to_owned(),
            services: "SIP+D2T".to_owned(),
            regexp: String::new(),
            replacement: "_sip._tcp.example.com".to_owned(),
        };
        names.set_pointers("example.com", std::slice::from_ref(&pointer));
        let question_of = |name: &str| Question::Naptr(name.to_owned());
        for (name, expected) in [("EXAMPLE.com", vec![pointer]), ("example.org", vec![])] {
            let ttl = Duration::from_secs(60);
            let expected = Answer::Naptr {
                records: expected,
                ttl,
            };
            assert_eq!(names.answer(&question_of(name)), Some(Ok(expected)));
        }
        assert_eq!(
            names.fail("example.com", ResolveError::Timeout).answer(&question),
            Some(Err(ResolveError::Timeout))
        );
        assert_eq!(names.silence("example.com").answer(&question), None);
        assert!(names.mend("example.com").answer(&question).unwrap().is_ok());
        assert!(names.remove("example.com").answer(&question).unwrap().is_err());
    }
}
