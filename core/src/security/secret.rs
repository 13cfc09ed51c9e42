//! Text that must not be seen, and the credentials that hold it.

use alloc::string::String;
use core::fmt;

use zeroize::Zeroizing;

use super::same;

/// Text that is never shown by `Debug` and is overwritten when dropped (rule A9).
///
/// The copy from which it was made is the caller's to wipe; a `String` is taken over without copying.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text into custody.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        same(self.expose().as_bytes(), other.expose().as_bytes())
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Who a user is to a server, and how that is proved (rule A2).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Credentials {
    /// The name of the account.
    pub user: String,
    /// The domain of the account. Digest does not use it: there the realm has that part.
    pub domain: Option<String>,
    /// The realm that they are for, compared exactly; `None` is for any realm of the endpoint's server.
    pub realm: Option<String>,
    /// The password.
    pub password: Secret,
}

impl Credentials {
    /// Credentials for any realm of the endpoint's server.
    pub fn new(user: impl Into<String>, password: Secret) -> Self {
        Self {
            user: user.into(),
            domain: None,
            realm: None,
            password,
        }
    }

    /// The same for one realm only.
    #[must_use]
    pub fn with_realm(self, realm: impl Into<String>) -> Self {
        Self {
            realm: Some(realm.into()),
            ..self
        }
    }

    /// The same for an account of this domain.
    #[must_use]
    pub fn with_domain(self, domain: impl Into<String>) -> Self {
        Self {
            domain: Some(domain.into()),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    // rules: A9
    #[test]
    fn no_debug_output_shows_a_password() {
        let credentials = Credentials::new("alice", Secret::new("open sesame")).with_realm("example.com");
        for shown in [format!("{credentials:?}"), format!("{credentials:#?}")] {
            assert!(shown.contains("alice") && shown.contains("example.com"));
            assert!(!shown.contains("sesame") && !shown.contains("open"), "{shown}");
        }
    }

    // rules: A2
    #[test]
    fn credentials_name_user_domain_and_realm() {
        let credentials = Credentials::new("alice", Secret::new("pw"))
            .with_domain("CONTOSO")
            .with_realm("example.com");
        assert_eq!(credentials.user, "alice");
        assert_eq!(credentials.domain.as_deref(), Some("CONTOSO"));
        assert_eq!(credentials.realm.as_deref(), Some("example.com"));
        assert_eq!(credentials.password, Secret::new("pw"));
        assert_ne!(credentials.password, Secret::new("pv"));
    }
}
