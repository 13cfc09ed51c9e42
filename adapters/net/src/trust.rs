//! Whom this side trusts: roots, revocation lists, and the proof of a peer's chain against them.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error as TlsError, OtherError,
    SignatureScheme,
};
use rustls_pki_types::{
    CertificateDer, CertificateRevocationListDer, ServerName, TrustAnchor, UnixTime as PkiTime,
};
use webpki::{
    CertRevocationList, EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, OwnedCertRevocationList,
    RevocationOptionsBuilder, UnknownStatusPolicy,
};

use crate::certificate;
use crate::identity::{TlsConfigError, TlsConfigProblem, provider, read_file, sections};

/// The roots whose certificates are trusted, and the revocation lists of their issuers.
///
/// A store without roots trusts nobody. When there is at least one revocation list, every certificate of a
/// chain below its root must be covered by the list of its issuer; see
/// [`TrustStore::allow_unknown_revocation`].
#[derive(Clone)]
pub struct TrustStore {
    anchors: Vec<TrustAnchor<'static>>,
    system: bool,
    /// `anchors` with the system's added; filled at the first use when `system` is set.
    with_system: OnceLock<Vec<TrustAnchor<'static>>>,
    revocation_lists: Vec<Arc<CertRevocationList<'static>>>,
    unknown_revocation: UnknownStatusPolicy,
}

impl Default for TrustStore {
    fn default() -> Self {
        Self::empty()
    }
}

impl TrustStore {
    /// A store that trusts nobody yet.
    pub const fn empty() -> Self {
        Self {
            anchors: Vec::new(),
            system: false,
            with_system: OnceLock::new(),
            revocation_lists: Vec::new(),
            unknown_revocation: UnknownStatusPolicy::Deny,
        }
    }

    /// A store that trusts the roots of the operating system. They are read once in a process, when the first
    /// certificate has to be proved (tens of milliseconds) or [`TrustStore::load`] is called.
    pub const fn system() -> Self {
        let mut store = Self::empty();
        store.system = true;
        store
    }

    /// Adds the roots in a PEM file; says how many.
    ///
    /// # Errors
    /// The file and what is wrong with it; nothing is added then.
    pub fn add_pem_file(&mut self, path: impl AsRef<Path>) -> Result<usize, TlsConfigError> {
        let path = path.as_ref();
        self.add_roots(&path.display().to_string(), &read_file(path)?)
    }

    /// Adds the roots in a PEM text; says how many.
    ///
    /// # Errors
    /// What is wrong with the text; nothing is added then.
    pub fn add_pem(&mut self, text: &[u8]) -> Result<usize, TlsConfigError> {
        self.add_roots("the trusted roots", text)
    }

    fn add_roots(&mut self, origin: &str, text: &[u8]) -> Result<usize, TlsConfigError> {
        let roots: Vec<CertificateDer<'static>> = sections(origin, text, TlsConfigProblem::NoCertificate)?;
        let anchors = roots
            .iter()
            .map(|root| webpki::anchor_from_trusted_cert(root).map(|anchor| anchor.to_owned()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| {
                TlsConfigError::new(origin, TlsConfigProblem::BadCertificate(error.to_string()))
            })?;
        self.anchors.extend(anchors);
        self.with_system = OnceLock::new();
        Ok(roots.len())
    }

    /// Adds the revocation lists in a file, PEM or DER; says how many.
    ///
    /// # Errors
    /// The file and what is wrong with it; nothing is added then.
    pub fn add_crl_file(&mut self, path: impl AsRef<Path>) -> Result<usize, TlsConfigError> {
        let path = path.as_ref();
        self.add_revocation_lists(&path.display().to_string(), &read_file(path)?)
    }

    /// Adds the revocation lists in a text, PEM or DER; says how many.
    ///
    /// # Errors
    /// What is wrong with it; nothing is added then.
    pub fn add_crl(&mut self, bytes: &[u8]) -> Result<usize, TlsConfigError> {
        self.add_revocation_lists("the revocation list", bytes)
    }

    fn add_revocation_lists(&mut self, origin: &str, bytes: &[u8]) -> Result<usize, TlsConfigError> {
        // A DER list opens with the tag of a sequence, which is no text of a PEM file.
        let lists: Vec<CertificateRevocationListDer<'_>> = if bytes.first() == Some(&0x30) {
            vec![CertificateRevocationListDer::from(bytes)]
        } else {
            sections(origin, bytes, TlsConfigProblem::NoRevocationList)?
        };
        let lists = lists
            .iter()
            .map(|list| OwnedCertRevocationList::from_der(list).map(|list| Arc::new(list.into())))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| {
                TlsConfigError::new(origin, TlsConfigProblem::BadRevocationList(error.to_string()))
            })?;
        let count = lists.len();
        self.revocation_lists.extend(lists);
        Ok(count)
    }

    /// Accepts certificates whose issuer has no revocation list here, although others have. Without this call
    /// they are refused as untrusted as soon as there is one list.
    pub const fn allow_unknown_revocation(&mut self) {
        self.unknown_revocation = UnknownStatusPolicy::Allow;
    }

    /// Reads the system's roots now where they are to be used; says how many roots are trusted in all.
    ///
    /// # Errors
    /// The system's store has no root.
    pub fn load(&self) -> Result<usize, TlsConfigError> {
        if self.system {
            let system = system_roots();
            if system.anchors.is_empty() {
                let problem = TlsConfigProblem::NoSystemRoots(system.complaint.clone());
                return Err(TlsConfigError::new("the system's certificate store", problem));
            }
        }
        Ok(self.anchors().len())
    }

    fn anchors(&self) -> &[TrustAnchor<'static>] {
        if self.system {
            self.with_system.get_or_init(|| {
                self.anchors
                    .iter()
                    .chain(&system_roots().anchors)
                    .cloned()
                    .collect()
            })
        } else {
            &self.anchors
        }
    }

    /// Proves that the chain ends at a trusted root, and that each of its certificates is valid now, for this
    /// use, and not revoked.
    fn prove(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: PkiTime,
        usage: PeerUsage,
    ) -> Result<(), TlsError> {
        let parsed = EndEntityCert::try_from(end_entity).map_err(certificate_error)?;
        let lists: Vec<&CertRevocationList<'_>> = self.revocation_lists.iter().map(AsRef::as_ref).collect();
        let revocation = RevocationOptionsBuilder::new(&lists)
            .ok()
            .map(|options| options.with_status_policy(self.unknown_revocation).build());
        let algorithms = provider().signature_verification_algorithms;
        parsed
            .verify_for_usage(
                algorithms.all,
                self.anchors(),
                intermediates,
                now,
                usage,
                revocation,
                None,
            )
            .map_err(certificate_error)?;
        // What cannot be reported must not be accepted: the core could not match its names.
        certificate::read(end_entity)
            .map(|_| ())
            .map_err(|_| TlsError::InvalidCertificate(CertificateError::BadEncoding))
    }
}

impl fmt::Debug for TrustStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustStore")
            .field("roots", &self.anchors.len())
            .field("system", &self.system)
            .field("revocation_lists", &self.revocation_lists.len())
            .finish_non_exhaustive()
    }
}

struct SystemRoots {
    anchors: Vec<TrustAnchor<'static>>,
    complaint: String,
}

fn system_roots() -> &'static SystemRoots {
    static ROOTS: OnceLock<SystemRoots> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        // A root that webpki cannot read is left out: system stores carry a few odd ones.
        let anchors = found
            .certs
            .iter()
            .filter_map(|root| {
                webpki::anchor_from_trusted_cert(root)
                    .ok()
                    .map(|anchor| anchor.to_owned())
            })
            .collect();
        let complaint = found
            .errors
            .first()
            .map_or_else(|| "it is empty".to_owned(), ToString::to_string);
        SystemRoots { anchors, complaint }
    })
}

/// What the peer's certificate has to be good for, where it names usages at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PeerUsage {
    Server,
    Client,
}

impl PeerUsage {
    const fn oid(self) -> &'static [usize] {
        match self {
            Self::Server => &[1, 3, 6, 1, 5, 5, 7, 3, 1],
            Self::Client => &[1, 3, 6, 1, 5, 5, 7, 3, 2],
        }
    }
}

/// id-kp-sipDomain, the usage of a SIP domain in either role (RFC 5924 section 4).
const SIP_DOMAIN: &[usize] = &[1, 3, 6, 1, 5, 5, 7, 3, 20];

impl ExtendedKeyUsageValidator for PeerUsage {
    fn validate(&self, usages: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        let mut present = false;
        for usage in usages {
            let oid = usage?.to_decoded_oid();
            if oid == self.oid() || oid == SIP_DOMAIN {
                return Ok(());
            }
            present = true;
        }
        // The context that the library would name cannot be made outside of it; its own check makes the same.
        if present { Err(wrong_usage()) } else { Ok(()) }
    }
}

#[expect(
    deprecated,
    reason = "the variant that replaces it can only be made inside webpki"
)]
const fn wrong_usage() -> webpki::Error {
    webpki::Error::RequiredEkuNotFound
}

/// The fault in the words of rustls, which chooses the alert for the peer by it.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library's enum is open")]
#[expect(deprecated, reason = "the library still makes these, and so do we")]
fn certificate_error(error: webpki::Error) -> TlsError {
    use webpki::Error as Fault;
    TlsError::InvalidCertificate(match error {
        Fault::BadDer | Fault::BadDerTime | Fault::TrailingData(_) => CertificateError::BadEncoding,
        Fault::CertExpired { time, not_after } => CertificateError::ExpiredContext { time, not_after },
        Fault::CertNotValidYet { time, not_before } => {
            CertificateError::NotValidYetContext { time, not_before }
        }
        Fault::InvalidCertValidity => CertificateError::Expired,
        Fault::CertRevoked => CertificateError::Revoked,
        Fault::UnknownIssuer => CertificateError::UnknownIssuer,
        Fault::UnknownRevocationStatus => CertificateError::UnknownRevocationStatus,
        Fault::CrlExpired { time, next_update } => {
            CertificateError::ExpiredRevocationListContext { time, next_update }
        }
        Fault::RequiredEkuNotFound | Fault::RequiredEkuNotFoundContext(_) | Fault::EmptyEkuExtension => {
            CertificateError::InvalidPurpose
        }
        Fault::UnsupportedCriticalExtension => CertificateError::UnhandledCriticalExtension,
        Fault::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    })
}

/// The verifier of both roles: everything but the match of names, which is the core's (rules C17, C18).
pub(crate) struct ChainVerifier {
    trust: Arc<TrustStore>,
    /// The names of the roots, by which a client with several certificates may choose one.
    hints: Vec<DistinguishedName>,
}

impl ChainVerifier {
    pub(crate) fn new(trust: TrustStore) -> Arc<Self> {
        // The system's roots are not hinted at: the list would be longer than the rest of the handshake.
        let hints = if trust.system {
            Vec::new()
        } else {
            trust
                .anchors
                .iter()
                .map(|anchor| DistinguishedName::in_sequence(anchor.subject.as_ref()))
                .collect()
        };
        Arc::new(Self {
            trust: Arc::new(trust),
            hints,
        })
    }

    fn algorithms() -> WebPkiSupportedAlgorithms {
        provider().signature_verification_algorithms
    }
}

impl fmt::Debug for ChainVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.trust.fmt(f)
    }
}

impl ServerCertVerifier for ChainVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: PkiTime,
    ) -> Result<ServerCertVerified, TlsError> {
        self.trust
            .prove(end_entity, intermediates, now, PeerUsage::Server)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, certificate, signed, &Self::algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, certificate, signed, &Self::algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        Self::algorithms().supported_schemes()
    }
}

impl ClientCertVerifier for ChainVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: PkiTime,
    ) -> Result<ClientCertVerified, TlsError> {
        self.trust
            .prove(end_entity, intermediates, now, PeerUsage::Client)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, certificate, signed, &Self::algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, certificate, signed, &Self::algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        Self::algorithms().supported_schemes()
    }
}
