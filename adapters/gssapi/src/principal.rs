//! How the names of SIP's servers and of users are written for the GSS-API.

use std::borrow::Cow;

use sansip::security::Credentials;

/// The host-based service (RFC 2743 section 4.1) of a service principal: `sip@fe.example.com` of `sip/fe.example.com`.
pub(crate) fn service(target: &str) -> Option<String> {
    let (service, host) = target.split_once('/')?;
    let is_plain = |part: &str| !part.is_empty() && !part.contains(['/', '@', '\\', '\0']);
    (is_plain(service) && is_plain(host)).then(|| format!("{service}@{host}"))
}

/// The principal of a user; without a realm it is of the default one.
pub(crate) fn user(credentials: &Credentials) -> Cow<'_, str> {
    let (domain, user) = match credentials.user.split_once('\\') {
        Some((domain, user)) => (Some(domain), user),
        None => (credentials.domain.as_deref(), credentials.user.as_str()),
    };
    match domain {
        Some(domain) if !domain.is_empty() && !user.contains('@') => Cow::Owned(format!("{user}@{domain}")),
        Some(_) | None => Cow::Borrowed(user),
    }
}

#[cfg(test)]
mod tests {
    use sansip::security::Secret;

    use super::*;

    // rules: A11
    #[test]
    fn a_service_principal_is_a_service_of_a_host() {
        assert_eq!(
            service("sip/fe.example.com").as_deref(),
            Some("sip@fe.example.com")
        );
        for other in [
            "fe.example.com",
            "sip/",
            "/fe.example.com",
            "sip/fe@REALM",
            "sip/fe/x",
            "sip\\fe/x",
            "sip/fe\0x",
        ] {
            assert_eq!(service(other), None, "{other}");
        }
    }

    // rules: A2
    #[test]
    fn a_user_is_a_principal_of_the_domain_of_its_own_realm_or_of_the_default_one() {
        let name = |user: &str, domain: Option<&str>| {
            let mut credentials = Credentials::new(user, Secret::new("pw"));
            credentials.domain = domain.map(str::to_owned);
            super::user(&credentials).into_owned()
        };
        assert_eq!(name("alice", Some("EXAMPLE.COM")), "alice@EXAMPLE.COM");
        assert_eq!(name("alice@EXAMPLE.COM", None), "alice@EXAMPLE.COM");
        assert_eq!(name("alice@EXAMPLE.COM", Some("OTHER")), "alice@EXAMPLE.COM");
        assert_eq!(name("EXAMPLE.COM\\alice", None), "alice@EXAMPLE.COM");
        assert_eq!(name("alice", None), "alice");
        assert_eq!(name("alice", Some("")), "alice");
    }
}
