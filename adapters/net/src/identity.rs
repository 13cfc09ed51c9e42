//! This side's certificate chain and private key, and how PEM files are read.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Why a TLS configuration could not be made: what it was made from, and what is wrong with that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {problem}")]
pub struct TlsConfigError {
    /// The file, or what stood in for one.
    pub origin: String,
    /// What is wrong with it.
    pub problem: TlsConfigProblem,
}

impl TlsConfigError {
    pub(crate) fn new(origin: impl Into<String>, problem: TlsConfigProblem) -> Self {
        Self {
            origin: origin.into(),
            problem,
        }
    }
}

/// What can be wrong with a certificate, key or revocation list that the user gave.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsConfigProblem {
    /// The file cannot be read; the system's words.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// The file cannot be written; the system's words.
    #[error("cannot be written: {0}")]
    Unwritable(String),
    /// A PEM section is broken; the place and the fault.
    #[error("is not valid PEM: {0}")]
    BadPem(String),
    /// There is no `CERTIFICATE` section.
    #[error("holds no certificate")]
    NoCertificate,
    /// A certificate cannot be used; the library's words.
    #[error("holds a certificate that cannot be used: {0}")]
    BadCertificate(String),
    /// There is no section with a private key.
    #[error("holds no private key")]
    NoPrivateKey,
    /// The private key is protected by a pass phrase; it has to be stored without one.
    #[error("holds an encrypted private key; decrypt it first")]
    EncryptedPrivateKey,
    /// The private key is of a kind that is not supported, or broken; the library's words.
    #[error("holds a private key that cannot be used: {0}")]
    BadPrivateKey(String),
    /// The private key is not the one that the certificate names.
    #[error("holds a private key that does not belong to the certificate")]
    KeyMismatch,
    /// There is no `X509 CRL` section.
    #[error("holds no revocation list")]
    NoRevocationList,
    /// A revocation list cannot be used; the library's words.
    #[error("holds a revocation list that cannot be used: {0}")]
    BadRevocationList(String),
    /// The system's store gave no root; what it said.
    #[error("gives no trusted root: {0}")]
    NoSystemRoots(String),
    /// The cryptographic library does not support what is needed; its words.
    #[error("is not supported: {0}")]
    Unsupported(String),
}

/// The one provider of cryptography: made once, shared by all configurations.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())))
}

pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, TlsConfigError> {
    std::fs::read(path).map_err(|error| {
        TlsConfigError::new(
            path.display().to_string(),
            TlsConfigProblem::Unreadable(error.to_string()),
        )
    })
}

/// Every section of one kind. Sections of other kinds are skipped, so that one file may hold both chain and
/// key.
pub(crate) fn sections<T: PemObject>(
    origin: &str,
    text: &[u8],
    none: TlsConfigProblem,
) -> Result<Vec<T>, TlsConfigError> {
    let found = T::pem_slice_iter(text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsConfigError::new(origin, bad_pem(&error)))?;
    if found.is_empty() {
        Err(TlsConfigError::new(origin, none))
    } else {
        Ok(found)
    }
}

/// The library prints byte strings as lists of numbers; people read text.
fn bad_pem(error: &pem::Error) -> TlsConfigProblem {
    TlsConfigProblem::BadPem(if let pem::Error::MissingSectionEnd { end_marker } = error {
        format!(
            "a section {} has no end",
            String::from_utf8_lossy(end_marker).trim_end()
        )
    } else if let pem::Error::IllegalSectionStart { line } = error {
        format!("'{}' starts no section", String::from_utf8_lossy(line).trim_end())
    } else {
        error.to_string()
    })
}

/// A certificate chain and the private key of its first certificate: what this side shows to its peers.
///
/// Cloning shares both. The key does not appear in the debug output.
#[derive(Clone)]
pub struct Identity(Arc<CertifiedKey>);

impl Identity {
    /// Reads the chain (this side's certificate first, then those that issued it, the root left out or not)
    /// and the private key (PKCS #8, PKCS #1 or SEC 1, without a pass phrase) from PEM files; both may be the
    /// same file.
    ///
    /// # Errors
    /// The file at fault and what is wrong with it, an unreadable file, a key of another certificate and an
    /// encrypted key among it.
    pub fn from_pem_files(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, TlsConfigError> {
        let (chain, key) = (chain.as_ref(), key.as_ref());
        Self::load(
            &chain.display().to_string(),
            &read_file(chain)?,
            &key.display().to_string(),
            &read_file(key)?,
        )
    }

    /// The same from PEM texts in memory.
    ///
    /// # Errors
    /// As [`Identity::from_pem_files`]; the origin says which of the two texts is at fault.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsConfigError> {
        Self::load("the certificate chain", chain, "the private key", key)
    }

    fn load(chain_origin: &str, chain: &[u8], key_origin: &str, key: &[u8]) -> Result<Self, TlsConfigError> {
        let chain: Vec<CertificateDer<'static>> =
            sections(chain_origin, chain, TlsConfigProblem::NoCertificate)?;
        let key = private_key(key_origin, key)?;
        let signing_key = provider().key_provider.load_private_key(key).map_err(|error| {
            TlsConfigError::new(key_origin, TlsConfigProblem::BadPrivateKey(error.to_string()))
        })?;
        let certified = CertifiedKey::new(chain, signing_key);
        certified.keys_match().map_err(|error| {
            if matches!(error, rustls::Error::InconsistentKeys(_)) {
                TlsConfigError::new(key_origin, TlsConfigProblem::KeyMismatch)
            } else {
                TlsConfigError::new(chain_origin, TlsConfigProblem::BadCertificate(error.to_string()))
            }
        })?;
        Ok(Self(Arc::new(certified)))
    }

    pub(crate) fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({} certificates, key ..)", self.0.cert.len())
    }
}

fn private_key(origin: &str, text: &[u8]) -> Result<PrivateKeyDer<'static>, TlsConfigError> {
    // Checked first: the traditional form of an encrypted key carries the label of a plain one.
    if String::from_utf8_lossy(text).lines().any(|line| {
        line.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY") || line.starts_with("Proc-Type: 4,ENCRYPTED")
    }) {
        return Err(TlsConfigError::new(origin, TlsConfigProblem::EncryptedPrivateKey));
    }
    PrivateKeyDer::from_pem_slice(text).map_err(|error| {
        let is_absent = matches!(error, pem::Error::NoItemsFound);
        TlsConfigError::new(
            origin,
            if is_absent {
                TlsConfigProblem::NoPrivateKey
            } else {
                bad_pem(&error)
            },
        )
    })
}
