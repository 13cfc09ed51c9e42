//! The authentication of every endpoint that has credentials.

use alloc::string::String;
use alloc::vec::Vec;

use super::{AllowedProtocols, Attempt, AuthState, AuthenticationFailure};
use crate::entropy::Entropy;
use crate::ids::EndpointId;
use crate::map::{HashKey, Map};
use crate::security::Credentials;
use crate::wire::{HeaderName, Message, Method};

/// One [`AuthState`] for each endpoint, beside its credentials.
#[derive(Clone, Debug)]
pub(crate) struct AuthTable {
    accounts: Map<EndpointId, Account>,
}

#[derive(Clone, Debug)]
struct Account {
    credentials: Vec<Credentials>,
    allowed: AllowedProtocols,
    state: AuthState,
}

impl AuthTable {
    pub(crate) fn new(key: HashKey) -> Self {
        Self {
            accounts: Map::new(key),
        }
    }

    /// Begins for an endpoint, or begins anew with other credentials or for another server of its own choice.
    pub(crate) fn insert(
        &mut self,
        endpoint: EndpointId,
        credentials: Vec<Credentials>,
        allowed: AllowedProtocols,
    ) {
        self.accounts.insert(
            endpoint,
            Account {
                credentials,
                allowed,
                state: AuthState::default(),
            },
        );
    }

    pub(crate) fn remove(&mut self, endpoint: EndpointId) {
        self.accounts.remove(&endpoint);
    }

    /// The server has sent the endpoint to another one (R9): nothing agreed with the old one is shown to the new one.
    pub(crate) fn redirect(&mut self, endpoint: EndpointId) {
        if let Some(account) = self.accounts.get_mut(&endpoint) {
            account.state = account.state.redirected();
        }
    }

    /// The endpoint is back at the server that it was told (R9), for which its credentials were given.
    pub(crate) fn returned(&mut self, endpoint: EndpointId) {
        if let Some(account) = self.accounts.get_mut(&endpoint) {
            account.state = AuthState::default();
        }
    }

    /// See [`AuthState::authorize`]; nothing for an endpoint without credentials.
    pub(crate) fn authorize(
        &mut self,
        entropy: &mut Entropy,
        endpoint: EndpointId,
        attempt: &mut Attempt,
        method: &Method,
        uri: &str,
        body: &[u8],
    ) -> Vec<(HeaderName, String)> {
        match self.accounts.get_mut(&endpoint) {
            Some(account) => account.state.authorize(entropy, attempt, method, uri, body),
            None => Vec::new(),
        }
    }

    /// See [`AuthState::handle_challenge`].
    pub(crate) fn handle_challenge(
        &mut self,
        endpoint: EndpointId,
        response: &Message,
        attempt: &mut Attempt,
    ) -> Result<(), AuthenticationFailure> {
        match self.accounts.get_mut(&endpoint) {
            Some(account) => {
                account
                    .state
                    .handle_challenge(response, &account.credentials, account.allowed, attempt)
            }
            None => AuthState::default().handle_challenge(response, &[], AllowedProtocols::all(), attempt),
        }
    }

    /// See [`AuthState::handle_success`].
    pub(crate) fn handle_success(&mut self, endpoint: EndpointId, response: &Message, attempt: &Attempt) {
        if let Some(account) = self.accounts.get_mut(&endpoint) {
            account.state.handle_success(response, attempt);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use bytes::Bytes;

    use super::*;
    use crate::auth::AuthenticationFailureReason as Reason;
    use crate::ids::Ids;
    use crate::security::Secret;
    use crate::wire::MessageLimits;

    fn challenge() -> Message {
        let text = "SIP/2.0 401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n\r\n";
        Message::parse(Bytes::from(text), &MessageLimits::default()).unwrap()
    }

    // rules: A2, A7, A9
    #[test]
    fn an_endpoint_answers_with_its_own_credentials_only() {
        let mut ids = Ids::default();
        let (alice, bob): (EndpointId, EndpointId) = (ids.next(), ids.next());
        let mut entropy = Entropy::new([5; 32]);
        let mut table = AuthTable::new(entropy.hash_key());
        let credentials = vec![Credentials::new("alice", Secret::new("wonder"))];
        table.insert(alice, credentials, AllowedProtocols::all());
        let mut answers = |table: &mut AuthTable, endpoint, attempt: &mut Attempt| {
            table
                .authorize(
                    &mut entropy,
                    endpoint,
                    attempt,
                    &Method::Register,
                    "sip:example.com",
                    b"",
                )
                .len()
        };

        let mut attempt = Attempt::default();
        assert_eq!(answers(&mut table, alice, &mut attempt), 0);
        assert_eq!(table.handle_challenge(alice, &challenge(), &mut attempt), Ok(()));
        assert_eq!(answers(&mut table, alice, &mut attempt), 1);

        let mut attempt = Attempt::default();
        assert_eq!(answers(&mut table, bob, &mut attempt), 0);
        let failure = table
            .handle_challenge(bob, &challenge(), &mut attempt)
            .unwrap_err();
        assert_eq!(
            (failure.reason, failure.realm.as_deref()),
            (Reason::MissingCredentials, Some("r"))
        );

        table.redirect(alice);
        assert_eq!(answers(&mut table, alice, &mut Attempt::default()), 0);
        table.remove(alice);
        assert_eq!(table.accounts.len(), 0);
    }
}
