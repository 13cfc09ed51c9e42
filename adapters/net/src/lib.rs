//! What the adapters of [`sansip`] share, without a socket or a clock of its own.
//!
//! | for | use |
//! |---|---|
//! | TLS over a connection that the adapter owns | [`TlsClientConfig`], [`TlsServerConfig`], [`TlsSession`] |
//! | what the two configurations are made of | [`Identity`] (own certificate and key), [`TrustStore`] (roots, revocation) |
//! | the domain name system | [`Resolver`], fed with [`ResolvConf`] and [`Hosts`] |
//! | security contexts of Kerberos, made on threads beside the loop | [`Kerberos`], [`KerberosThreads`] |
//! | events for `tracing`, with the feature of that name | the module `trace`, which lists them |
//! | the file of a recording (feature `record`) | `Recording` |
//!
//! Everything is reported in the words of the core: [`sansip::TlsFailure`], [`sansip::PeerCertificate`],
//! [`sansip::Answer`], [`sansip::ResolveError`].
//!
//! # Who checks what in a certificate
//!
//! This package proves the chain to a trusted root, the validity in time, the revocation where lists were
//! given, the usage (server or client) and the possession of the private key. It does **not** match names:
//! the names and usages go to the core in a [`sansip::PeerCertificate`], and the core alone matches them
//! (rules C17 to C20). A connection must therefore be reported with the certificate that [`TlsSession::peer`]
//! gives. There is no switch, here or there, that turns verification off.
//!
//! TLS 1.2 and 1.3 are spoken, nothing older: a peer that knows only TLS 1.0, as Office Communications Server 2007
//! does, needs another library in this place.

mod certificate;
mod dns;
mod failure;
mod hosts;
mod identity;
mod kerberos;
mod message;
#[cfg(feature = "record")]
mod recording;
mod resolv_conf;
mod tls;
#[cfg(feature = "tracing")]
pub mod trace;
mod trust;

pub use dns::{Protocol, Resolver, SocketId, Transmit};
pub use hosts::Hosts;
pub use identity::{Identity, TlsConfigError, TlsConfigProblem};
pub use kerberos::{Authenticated, Kerberos, KerberosThreads};
#[cfg(feature = "record")]
pub use recording::Recording;
pub use resolv_conf::ResolvConf;
pub use tls::{TlsClientConfig, TlsClientConfigBuilder, TlsServerConfig, TlsServerConfigBuilder, TlsSession};
pub use trust::TrustStore;
