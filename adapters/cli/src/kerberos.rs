//! Kerberos, where the command is built with it.

use std::sync::Arc;

use sansip_net::Kerberos;

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
    Err(Failure::usage(format!(
        "{option}: this command is built without Kerberos; {HOW_TO_BUILD}"
    )))
}
