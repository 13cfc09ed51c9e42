//! Whose certificate is good for whom (C17, C18, C20). Read RFC 5922 section 7 first.
//!
//! The adapter has proved the chain, its validity in time and that nothing is revoked. Here the names are compared:
//! as whole names, without regard to case; a wildcard in a certificate matches nothing. What is no domain name (RFC 1123;
//! an underscore may be in it), such as an empty name or one with a NUL or with letters beyond ASCII, names nobody.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::action::{PeerCertificate, TlsFailure, TlsFailureKind};

/// How many names of a certificate are put into words.
const SHOWN: usize = 8;

/// Checks the certificate of a server against the name or address that was asked for. It returns what matched.
pub(super) fn verify_server(
    host: &str,
    certificate: Option<&PeerCertificate>,
    required_usages: &[String],
) -> Result<Box<str>, TlsFailure> {
    let certificate = certificate.ok_or_else(no_certificate)?;
    let matches = match host.parse::<IpAddr>() {
        Ok(address) => {
            certificate.addresses.contains(&address)
                || sip_domains(certificate).any(|domain| domain.parse() == Ok(address))
        }
        Err(_) => identities(certificate)
            .iter()
            .any(|identity| identity.eq_ignore_ascii_case(bare(host))),
    };
    if !matches {
        return Err(wrong_name(certificate, host));
    }
    check_usages(certificate, required_usages)?;
    Ok(host.into())
}

/// Checks the certificate of a peer that connected to us against the allow list: whole names, `.domain` for all names
/// below a domain, or addresses. It returns the entry that matched.
pub(super) fn admit_client<'a>(
    allowed: impl IntoIterator<Item = &'a str>,
    certificate: Option<&PeerCertificate>,
    required_usages: &[String],
) -> Result<Box<str>, TlsFailure> {
    let certificate = certificate.ok_or_else(no_certificate)?;
    let identities = identities(certificate);
    let admits = |entry: &&str| {
        identities.iter().any(|identity| is_covered(identity, entry))
            || entry
                .parse()
                .is_ok_and(|address: IpAddr| certificate.addresses.contains(&address))
    };
    let entry = allowed
        .into_iter()
        .find(admits)
        .ok_or_else(|| wrong_name(certificate, "a name on the allow list"))?;
    check_usages(certificate, required_usages)?;
    Ok(entry.into())
}

/// Checks a certificate that may be anyone's.
pub(super) fn admit_anyone(
    certificate: Option<&PeerCertificate>,
    required_usages: &[String],
) -> Result<Option<Box<str>>, TlsFailure> {
    let certificate = certificate.ok_or_else(no_certificate)?;
    check_usages(certificate, required_usages)?;
    Ok(names(certificate).next().map(String::into_boxed_str))
}

/// A certificate with more than so many names and usages is nobody's: each connection keeps them, and each is looked at.
pub(super) fn check_size(certificate: Option<&PeerCertificate>, limit: usize) -> Result<(), TlsFailure> {
    let entries = certificate.map_or(0, |certificate| {
        let names = certificate.dns_names.len() + certificate.uris.len() + certificate.addresses.len();
        names + certificate.key_usages.len()
    });
    if entries <= limit {
        return Ok(());
    }
    Err(TlsFailure {
        kind: TlsFailureKind::Other,
        detail: format!("the peer's certificate has {entries} names and usages, more than {limit}"),
    })
}

/// The domains that a certificate speaks for, after RFC 5922 section 7.1: `sip` URIs; DNS names where there is no
/// such URI; the common name where there is no subjectAltName.
fn identities(certificate: &PeerCertificate) -> Vec<&str> {
    let mut shown: Vec<&str> = sip_domains(certificate).collect();
    if shown.is_empty() {
        let has_alternative_names = !(certificate.uris.is_empty()
            && certificate.dns_names.is_empty()
            && certificate.addresses.is_empty());
        shown = if has_alternative_names {
            certificate.dns_names.iter().map(String::as_str).collect()
        } else {
            certificate.common_name.as_deref().into_iter().collect()
        };
    }
    shown.retain(|name| is_domain_name(name));
    shown.into_iter().map(bare).collect()
}

/// Whom a certificate is for, as text.
fn names(certificate: &PeerCertificate) -> impl Iterator<Item = String> {
    let domains = identities(certificate).into_iter().map(ToString::to_string);
    domains.chain(certificate.addresses.iter().map(ToString::to_string))
}

/// The host parts of the `sip` URIs without a user part; those of other schemes and those of a user do not name a domain.
fn sip_domains(certificate: &PeerCertificate) -> impl Iterator<Item = &str> {
    certificate.uris.iter().filter_map(|uri| {
        let (scheme, rest) = uri.split_once(':')?;
        if !scheme.eq_ignore_ascii_case("sip") || rest.contains('@') {
            return None;
        }
        let host_and_port = rest.split([';', '?']).next()?;
        let host = match host_and_port.strip_prefix('[') {
            Some(bracketed) => bracketed.split_once(']')?.0,
            None => host_and_port.split(':').next()?,
        };
        (!host.is_empty()).then_some(host)
    })
}

/// Whether an allow list can have this entry: a name, `.domain`, or an address.
pub(super) fn is_entry(text: &str) -> bool {
    is_domain_name(text.strip_prefix('.').unwrap_or(text)) || text.parse::<IpAddr>().is_ok()
}

fn is_domain_name(text: &str) -> bool {
    let is_label_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(is_label_byte);
    bare(text).split('.').all(is_label) && text.parse::<IpAddr>().is_err()
}

/// Whether an entry of an allow list covers a name.
fn is_covered(identity: &str, entry: &str) -> bool {
    let entry = bare(entry);
    if !entry.starts_with('.') {
        return identity.eq_ignore_ascii_case(entry);
    }
    let split = identity.len().checked_sub(entry.len());
    split
        .and_then(|split| identity.split_at_checked(split))
        .is_some_and(|(_, domain)| domain.eq_ignore_ascii_case(entry))
}

/// Without the dot that makes a name absolute.
fn bare(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// C20. The usage that stands for any does not count: what is required is required by name.
fn check_usages(certificate: &PeerCertificate, required: &[String]) -> Result<(), TlsFailure> {
    match required
        .iter()
        .find(|usage| !certificate.key_usages.contains(usage))
    {
        None => Ok(()),
        Some(usage) => Err(TlsFailure {
            kind: TlsFailureKind::RemoteCertificateInvalidUsage,
            detail: format!("extended key usage {usage} is missing"),
        }),
    }
}

fn no_certificate() -> TlsFailure {
    TlsFailure {
        kind: TlsFailureKind::UntrustedRemoteCertificate,
        detail: "the peer showed no certificate".to_string(),
    }
}

fn wrong_name(certificate: &PeerCertificate, wanted: &str) -> TlsFailure {
    let mut shown: Vec<String> = names(certificate).collect();
    let more = shown.len().saturating_sub(SHOWN);
    shown.truncate(SHOWN);
    let shown = match (shown.is_empty(), more) {
        (true, _) => "no one".to_string(),
        (false, 0) => shown.join(", "),
        (false, more) => format!("{} and {more} more", shown.join(", ")),
    };
    TlsFailure {
        kind: TlsFailureKind::IncorrectNameInRemoteCertificate,
        detail: format!("the certificate is for {shown}, not for {wanted}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    fn certificate(
        uris: &[&str],
        dns_names: &[&str],
        addresses: &[&str],
        common_name: &str,
    ) -> PeerCertificate {
        PeerCertificate {
            uris: strings(uris),
            dns_names: strings(dns_names),
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            common_name: (!common_name.is_empty()).then(|| common_name.to_string()),
            key_usages: Vec::new(),
        }
    }

    fn is_for(certificate: &PeerCertificate, host: &str) -> bool {
        let result = verify_server(host, Some(certificate), &[]);
        if let Err(failure) = &result {
            assert_eq!(failure.kind, TlsFailureKind::IncorrectNameInRemoteCertificate);
        }
        result.is_ok()
    }

    // rules: C17
    #[test]
    fn a_sip_uri_names_a_domain() {
        let shown = certificate(
            &["sip:example.com", "SIP:Other.Example.ORG"],
            &[],
            &[],
            "cn.example.com",
        );
        assert!(is_for(&shown, "example.com"));
        assert!(is_for(&shown, "EXAMPLE.com"));
        assert!(is_for(&shown, "other.example.org"));
        // The common name is not looked at beside a subjectAltName.
        assert!(!is_for(&shown, "cn.example.com"));
        // No suffix matching (RFC 5922 section 7.2).
        assert!(!is_for(&shown, "host.example.com"));
        assert!(!is_for(&shown, "com"));
    }

    // rules: C17
    #[test]
    fn a_sip_uri_names_an_address() {
        let shown = certificate(
            &["sip:192.0.2.1", "sip:[2001:db8::1]", "sip:example.com"],
            &[],
            &[],
            "",
        );
        assert!(is_for(&shown, "192.0.2.1"));
        assert!(is_for(&shown, "2001:db8::1"));
        assert!(!is_for(&shown, "192.0.2.2"));
        assert!(!is_for(
            &certificate(&[], &["example.com"], &["192.0.2.1"], ""),
            "192.0.2.2"
        ));
    }

    // rules: C17
    #[test]
    fn uris_of_users_and_of_other_schemes_do_not_count() {
        let shown = certificate(
            &["sip:alice@example.com", "sips:example.com", "https://example.com"],
            &[],
            &[],
            "",
        );
        assert!(!is_for(&shown, "example.com"));
        // They are a subjectAltName all the same, so there is no way back to the common name.
        let shown = certificate(&["sip:alice@example.com"], &[], &[], "example.com");
        assert!(!is_for(&shown, "example.com"));
        // And they do not keep DNS names from counting.
        let shown = certificate(&["sip:alice@example.com"], &["example.com"], &[], "");
        assert!(is_for(&shown, "example.com"));
    }

    // rules: C17
    #[test]
    fn dns_names_count_only_without_a_sip_uri() {
        assert!(is_for(
            &certificate(&[], &["a.example.com", "example.com"], &[], ""),
            "example.com"
        ));
        assert!(!is_for(
            &certificate(&["sip:example.com"], &["a.example.com"], &[], ""),
            "a.example.com"
        ));
    }

    // rules: C17
    #[test]
    fn a_wildcard_matches_nothing() {
        for host in ["a.example.com", "example.com", "*.example.com"] {
            assert!(
                !is_for(&certificate(&[], &["*.example.com"], &[], ""), host),
                "{host}"
            );
            assert!(
                !is_for(&certificate(&["sip:*.example.com"], &[], &[], ""), host),
                "{host}"
            );
            assert!(
                !is_for(&certificate(&[], &[], &[], "*.example.com"), host),
                "{host}"
            );
        }
    }

    // rules: C17
    #[test]
    fn the_common_name_counts_only_without_a_subject_alt_name() {
        assert!(is_for(&certificate(&[], &[], &[], "example.com"), "example.com"));
        assert!(!is_for(
            &certificate(&[], &["other.com"], &[], "example.com"),
            "example.com"
        ));
        assert!(!is_for(
            &certificate(&[], &[], &["192.0.2.1"], "example.com"),
            "example.com"
        ));
        assert!(!is_for(
            &certificate(&[], &[], &[], "Example Company"),
            "example company"
        ));
    }

    // rules: C17
    #[test]
    fn addresses_match_addresses_only() {
        let shown = certificate(&[], &["192.0.2.9"], &["192.0.2.1", "2001:db8::1"], "");
        assert!(is_for(&shown, "192.0.2.1"));
        assert!(is_for(&shown, "2001:0db8:0::1"));
        assert!(!is_for(&shown, "192.0.2.2"));
        // An address as a DNS name or as a common name is none.
        assert!(!is_for(&shown, "192.0.2.9"));
        assert!(!is_for(&certificate(&[], &[], &[], "192.0.2.1"), "192.0.2.1"));
        let by_uri = certificate(
            &["sip:[2001:db8::1]:5061;transport=tls", "sip:192.0.2.7"],
            &[],
            &[],
            "",
        );
        assert!(is_for(&by_uri, "2001:db8::1"));
        assert!(is_for(&by_uri, "192.0.2.7"));
    }

    // rules: C17
    #[test]
    fn an_absolute_name_is_the_same_name() {
        assert!(is_for(
            &certificate(&[], &["example.com"], &[], ""),
            "example.com."
        ));
        assert!(is_for(
            &certificate(&[], &["example.com."], &[], ""),
            "example.com"
        ));
        assert!(!is_for(&certificate(&[], &[""], &[], ""), ""));
    }

    // rules: C17, C27
    #[test]
    fn no_certificate_is_no_trust() {
        let failure = verify_server("example.com", None, &[]).unwrap_err();
        assert_eq!(failure.kind, TlsFailureKind::UntrustedRemoteCertificate);
        assert!(admit_anyone(None, &[]).is_err());
        assert!(admit_client(["example.com"], None, &[]).is_err());
    }

    // rules: C18
    #[test]
    fn the_allow_list_takes_whole_names_suffixes_and_addresses() {
        let admits = |list: &[&str], name: &str| {
            let shown = certificate(&[], &[name], &["192.0.2.1"], "");
            admit_client(list.iter().copied(), Some(&shown), &[])
                .ok()
                .map(String::from)
        };
        assert_eq!(
            admits(&["other.com", "Host.Example.com"], "host.example.COM").unwrap(),
            "Host.Example.com"
        );
        assert_eq!(admits(&["host.example.com"], "a.host.example.com"), None);
        assert_eq!(
            admits(&[".example.com"], "host.example.com").unwrap(),
            ".example.com"
        );
        assert_eq!(
            admits(&[".example.com"], "a.b.EXAMPLE.com").unwrap(),
            ".example.com"
        );
        assert_eq!(admits(&[".example.com"], "example.com"), None);
        assert_eq!(admits(&[".example.com"], "badexample.com"), None);
        assert_eq!(admits(&[".example.com"], "*.example.com"), None);
        assert_eq!(admits(&["192.0.2.1"], "x.com").unwrap(), "192.0.2.1");
        assert_eq!(admits(&[], "host.example.com"), None);
    }

    // rules: C20
    #[test]
    fn required_key_usages_are_enforced() {
        const SIP_DOMAIN: &str = "1.3.6.1.5.5.7.3.20";
        const SERVER: &str = "1.3.6.1.5.5.7.3.1";
        let mut shown = certificate(&[], &["example.com"], &[], "");
        let required = strings(&[SIP_DOMAIN, SERVER]);
        let verify = |shown: &PeerCertificate| verify_server("example.com", Some(shown), &required);
        // Absent, and the usage that stands for any, do not do.
        for usages in [&[][..], &["2.5.29.37.0"], &[SERVER]] {
            shown.key_usages = strings(usages);
            assert_eq!(
                verify(&shown).unwrap_err().kind,
                TlsFailureKind::RemoteCertificateInvalidUsage
            );
            assert!(admit_client(["example.com"], Some(&shown), &required).is_err());
            assert!(admit_anyone(Some(&shown), &required).is_err());
        }
        shown.key_usages = strings(&[SERVER, SIP_DOMAIN]);
        assert_eq!(&*verify(&shown).unwrap(), "example.com");
        assert!(admit_client(["example.com"], Some(&shown), &required).is_ok());
        assert_eq!(
            admit_anyone(Some(&shown), &required).unwrap().as_deref(),
            Some("example.com")
        );
    }

    // rules: C17, C18
    #[test]
    fn what_is_no_domain_name_names_nobody() {
        let hostile = [
            "",
            ".",
            "..",
            "example.com..",
            ".example.com",
            "example..com",
            "example.com\0",
            "example.com\0.evil.org",
            "evil.org\0.example.com",
            "ex\u{430}mple.com",
            "example\u{3002}com",
            "example.com\n",
            " example.com",
            "example.com/evil.org",
            "evil.org:example.com",
            "*",
            "*.com",
            "*.example.com",
            "www.*.com",
            "ex*mple.com",
            "example.*",
        ];
        for name in hostile {
            for shown in [
                certificate(&[], &[name], &[], ""),
                certificate(&[], &[], &[], name),
            ] {
                for host in ["example.com", "www.example.com", "com", name] {
                    assert!(!is_for(&shown, host), "{name:?} for {host:?}");
                }
                for list in [&["example.com"][..], &[".com"], &[".example.com"], &["."], &[""]] {
                    let admitted = admit_client(list.iter().copied(), Some(&shown), &[]);
                    assert!(admitted.is_err(), "{name:?} on {list:?}");
                }
                // Whose chain is trusted may come in, and is called nothing.
                assert_eq!(admit_anyone(Some(&shown), &[]), Ok(None));
            }
            // It hides no name beside it.
            let beside = certificate(&[], &[name, "example.com"], &[], "");
            assert!(is_for(&beside, "example.com"), "{name:?}");
            // A sip URI rules out DNS names, whatever it names (RFC 5922 section 7.1).
            if !name.is_empty() && !name.contains(':') {
                let uri = format!("sip:{name}");
                assert!(!is_for(
                    &certificate(&[&uri], &["example.com"], &[], ""),
                    "example.com"
                ));
            }
        }
    }

    // rules: C17, C27, C31
    #[test]
    fn a_certificate_of_many_names_is_put_into_few_words() {
        let many: Vec<String> = (0..3000).map(|n| format!("h{n}.example.com")).collect();
        let shown = PeerCertificate {
            dns_names: many,
            common_name: Some("evil\r\nname".to_string()),
            ..PeerCertificate::default()
        };
        assert!(is_for(&shown, "h2999.example.com"));
        let failure = verify_server("example.com", Some(&shown), &[]).unwrap_err();
        assert_eq!(
            failure.detail,
            "the certificate is for h0.example.com, h1.example.com, h2.example.com, h3.example.com, h4.example.com, \
             h5.example.com, h6.example.com, h7.example.com and 2992 more, not for example.com"
        );
        let odd = certificate(&[], &[], &[], "evil\r\nname");
        let failure = verify_server("example.com", Some(&odd), &[]).unwrap_err();
        assert_eq!(
            failure.detail,
            "the certificate is for no one, not for example.com"
        );
    }

    // rules: C17, C31
    #[test]
    fn names_and_usages_of_a_certificate_are_bounded_together() {
        let mut shown = certificate(&["sip:a.com"], &["b.com", "c.com"], &["192.0.2.1"], "d.com");
        shown.key_usages = strings(&["1.2"]);
        assert_eq!(check_size(Some(&shown), 5), Ok(()));
        assert_eq!(
            check_size(Some(&shown), 4).unwrap_err().kind,
            TlsFailureKind::Other
        );
        assert_eq!(check_size(None, 0), Ok(()));
    }

    /// What a certificate may say, of letters that make much the same of each other.
    fn names() -> impl Strategy<Value = Vec<String>> {
        proptest::collection::vec("[aA.*_:@\\x00é-]{0,5}", 0..5)
    }

    /// The name in one form, where it is one (RFC 1123).
    fn canonical(name: &str) -> Option<String> {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let is_label = |label: &str| {
            let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
            !label.is_empty() && label.chars().all(is_letter)
        };
        name.split('.').all(is_label).then_some(name)
    }

    proptest! {
        // rules: C17, C18
        #[test]
        fn whatever_a_certificate_says_only_whole_names_match(
            names in names(),
            common in names(),
            host in "[aA.]{0,4}",
            list in proptest::collection::vec("[.]?[aA]([.][aA]){0,2}", 0..3),
        ) {
            let shown = PeerCertificate {
                dns_names: names.clone(),
                common_name: common.first().cloned(),
                ..PeerCertificate::default()
            };
            let said = if names.is_empty() { common.first().into_iter().cloned().collect() } else { names };
            let known: Vec<String> = said.iter().filter_map(|name| canonical(name)).collect();
            let wanted = canonical(&host);
            let matches = wanted.is_some_and(|host| known.contains(&host));
            prop_assert_eq!(verify_server(&host, Some(&shown), &[]).is_ok(), matches);
            let covered = |entry: &String| {
                let entry = entry.to_ascii_lowercase();
                let covers = |name: &String| match entry.strip_prefix('.') {
                    Some(_) => name.len() > entry.len() && name.ends_with(&entry),
                    None => *name == entry,
                };
                known.iter().any(covers)
            };
            let entry = list.iter().find(|entry| covered(entry)).map(|entry| Box::from(entry.as_str()));
            let admitted = admit_client(list.iter().map(String::as_str), Some(&shown), &[]);
            prop_assert_eq!(admitted.ok(), entry);
            let first = admit_anyone(Some(&shown), &[]).unwrap();
            prop_assert_eq!(first.map(|name| name.to_ascii_lowercase()), known.first().cloned());
        }
    }
}
