//! Kerberos for the adapters of [`sansip`]: security contexts of the system's GSS-API (RFC 2743, RFC 4121), by libgssapi.
//!
//! ```no_run
//! use std::sync::Arc;
//! use sansip_gssapi::Gssapi;
//! # use sansip_net::Kerberos;
//! # struct Settings { kerberos: Option<Arc<dyn Kerberos>> }
//! # let mut settings = Settings { kerberos: None };
//! settings.kerberos = Some(Arc::new(Gssapi)); // of either adapter
//! ```
//!
//! | an endpoint has | who logs on |
//! |---|---|
//! | [`default_credential`](sansip::SipEndpointConfig::default_credential), and no credentials for the realm | the principal of the ticket cache (`KRB5CCNAME`, or what the system's configuration names), or of a client keytab there |
//! | credentials with a domain | the principal `user@DOMAIN`: the domain has to be the name of a realm, as it is spelled there, which is mostly in capitals |
//! | credentials whose user has an `@`, or is of the form `DOMAIN\user` | that principal as it stands; `user@DOMAIN` |
//! | credentials with a user alone | the principal of that name in the default realm |
//!
//! For a server, [`accept`] takes what a client has made.
//!
//! The mechanism is always Kerberos, never what SPNEGO would negotiate. Integrity is all that is asked for. Without mutual
//! authentication the context is complete with its first token, as signatures of version 4 need it, and the server proves
//! itself with its first signature. Replays and the order of messages are the stack's to judge: here messages may come as
//! they do.
//!
//! The libraries of Kerberos, their headers and libclang are needed to build this package, which is therefore none of the
//! workspace. Servers of the time of Windows Server 2003 have keys of RC4 only: MIT's library takes them with
//! `allow_rc4 = true` and `rc4-hmac` among `permitted_enctypes`.

mod acceptor;
mod context;
mod failure;
mod principal;

use libgssapi::context::{ClientCtx, CtxFlags};
use libgssapi::credential::{Cred, CredUsage};
use libgssapi::error::Error;
use libgssapi::name::Name;
use libgssapi::oid::{GSS_MECH_KRB5, GSS_NT_HOSTBASED_SERVICE, GSS_NT_KRB5_PRINCIPAL, OidSet};
use sansip::Authenticate;
use sansip::security::{Credentials, KerberosFailure, SecurityContext};
use sansip_net::Kerberos;

use context::Context;

pub use acceptor::{Accepted, accept};

/// The GSS-API of this system. Its configuration is that of the process: `KRB5_CONFIG`, `KRB5CCNAME`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gssapi;

impl Kerberos for Gssapi {
    fn make_context(&self, wanted: &Authenticate) -> Result<SecurityContext, KerberosFailure> {
        initiate(&wanted.target, wanted.credentials.as_ref())
    }
}

/// Makes a context with the server of this principal, such as `sip/fe.example.com`, for whom the credentials name, or whom
/// the process is. It asks the key distribution center for what is not there yet, and waits for it.
///
/// # Errors
/// There is no ticket. What the library says of it is in the detail; it names principals, realms and files.
pub fn initiate(target: &str, credentials: Option<&Credentials>) -> Result<SecurityContext, KerberosFailure> {
    let service = principal::service(target)
        .ok_or_else(|| failure::other(format!("{target} is no service of a host")))?;
    let (context, token) = step(&service, credentials).map_err(|error| failure::of(&error))?;
    // What waits for an answer of the server is none that can sign the request with the token.
    let token = token
        .filter(|_| context.is_complete())
        .ok_or_else(|| failure::other("the context is not complete with its first token".to_owned()))?;
    Ok(SecurityContext {
        token: token.into(),
        lifetime: context.lifetime(),
        security: Box::new(context),
    })
}

fn step(
    service: &str,
    credentials: Option<&Credentials>,
) -> Result<(Context<ClientCtx>, Option<Vec<u8>>), Error> {
    let target = Name::new(service.as_bytes(), Some(GSS_NT_HOSTBASED_SERVICE))?;
    let ticket = acquire(credentials)?;
    let flags = CtxFlags::GSS_C_INTEG_FLAG;
    let mut context = ClientCtx::new(Some(ticket), target, flags, Some(GSS_MECH_KRB5));
    let token = context.step(None, None)?.map(|token| token.to_vec());
    Ok((Context::new(context), token))
}

fn acquire(credentials: Option<&Credentials>) -> Result<Cred, Error> {
    let kerberos = OidSet::singleton(GSS_MECH_KRB5)?;
    let usage = CredUsage::Initiate;
    let Some(credentials) = credentials else {
        return Cred::acquire(None, None, usage, Some(&kerberos));
    };
    let principal = principal::user(credentials);
    let name = Name::new(principal.as_bytes(), Some(GSS_NT_KRB5_PRINCIPAL))?;
    let password = credentials.password.expose();
    Cred::acquire_with_password(Some(&name), password, None, usage, Some(&kerberos))
}
