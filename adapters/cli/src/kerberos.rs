//! Kerberos, where the command is built with it.

use std::sync::Arc;

use sansip_net::Kerberos;
use sansip_testkit::frontend::Acceptor;

use crate::args::{AccountArgs, ProtocolArg};
use crate::failure::Failure;

pub(crate) const HOW_TO_BUILD: &str = "build the command with `cargo build -p sansip-cli --features kerberos`, which needs the headers of Kerberos (libkrb5-dev) and libclang (libclang-dev)";

/// That of the system, for the adapter.
#[cfg(feature = "kerberos")]
pub(crate) fn of_system() -> Option<Arc<dyn Kerberos>> {
    Some(Arc::new(sansip_gssapi::Gssapi))
}

#[cfg(not(feature = "kerberos"))]
pub(crate) const fn of_system() -> Option<Arc<dyn Kerberos>> {
    None
}

/// Whoever asks for it by name is told where there is none.
pub(crate) fn check(account: &AccountArgs) -> Result<(), Failure> {
    let option = if account.default_credential {
        "--default-credential"
    } else if account.auth.contains(&ProtocolArg::Kerberos) {
        "--auth kerberos"
    } else {
        return Ok(());
    };
    if of_system().is_some() {
        return Ok(());
    }
    Err(missing(option))
}

/// What takes the tokens of clients, for a server; with the keytab of the process.
#[cfg(feature = "kerberos")]
pub(crate) fn acceptor() -> Result<Arc<dyn Acceptor>, Failure> {
    Ok(Arc::new(server::Keytab))
}

#[cfg(not(feature = "kerberos"))]
pub(crate) fn acceptor() -> Result<Arc<dyn Acceptor>, Failure> {
    Err(missing("--auth kerberos"))
}

fn missing(option: &str) -> Failure {
    Failure::usage(format!(
        "{option}: this command is built without Kerberos; {HOW_TO_BUILD}"
    ))
}

#[cfg(feature = "kerberos")]
mod server {
    use sansip::Time;
    use sansip_testkit::frontend::{Accepted, Acceptor};

    /// The keys that the system's library finds.
    #[derive(Debug)]
    pub(super) struct Keytab;

    impl Acceptor for Keytab {
        fn accept(&self, _now: Time, service: &str, token: &[u8]) -> Result<Accepted, String> {
            let accepted = sansip_gssapi::accept(service, token).map_err(|failure| failure.to_string())?;
            Ok(Accepted {
                user: accepted.user,
                lifetime: accepted.lifetime,
                security: accepted.security,
            })
        }
    }
}
