//! The server's side: who shows a token, and what signs for the server.

use std::time::Duration;

use libgssapi::context::{SecurityContext as _, ServerCtx};
use libgssapi::credential::{Cred, CredUsage};
use libgssapi::error::Error;
use libgssapi::name::Name;
use libgssapi::oid::{GSS_MECH_KRB5, GSS_NT_HOSTBASED_SERVICE, OidSet};
use sansip::security::{KerberosFailure, MessageSecurity};

use crate::context::Context;
use crate::{failure, principal};

/// A client whose token was taken.
#[derive(Debug)]
pub struct Accepted {
    /// Its principal, such as `alice@EXAMPLE.COM`.
    pub user: String,
    /// How long its ticket is good for; `None` for ever.
    pub lifetime: Option<Duration>,
    /// What signs for the server and verifies what the client has signed.
    pub security: Box<dyn MessageSecurity>,
}

/// Takes the token of a client for the server of this principal, such as `sip/fe.example.com`, whose key is in the keytab of
/// the process (`KRB5_KTNAME`). It asks nobody.
///
/// # Errors
/// There is no such key, or the token was not made for it, has ended, or was shown before. The detail has the library's
/// words.
pub fn accept(target: &str, token: &[u8]) -> Result<Accepted, KerberosFailure> {
    let service = principal::service(target)
        .ok_or_else(|| failure::other(format!("{target} is no service of a host")))?;
    let (context, user) = step(&service, token).map_err(|error| failure::of(&error))?;
    let context = Context::new(context);
    if !context.is_complete() {
        return Err(failure::other(
            "the context is not complete with its first token".to_owned(),
        ));
    }
    Ok(Accepted {
        user,
        lifetime: context.lifetime(),
        security: Box::new(context),
    })
}

fn step(service: &str, token: &[u8]) -> Result<(ServerCtx, String), Error> {
    let own = Name::new(service.as_bytes(), Some(GSS_NT_HOSTBASED_SERVICE))?;
    let kerberos = OidSet::singleton(GSS_MECH_KRB5)?;
    let key = Cred::acquire(Some(&own), None, CredUsage::Accept, Some(&kerberos))?;
    let mut context = ServerCtx::new(Some(key));
    context.step(token, None)?;
    let user = context.source_name()?.display_name()?;
    Ok((context, String::from_utf8_lossy(&user).into_owned()))
}
