//! From what rustls found to the kinds of TLS failure that an application decides by (rule C27).

use rustls::{AlertDescription, CertificateError, Error};
use sansip::{TlsFailure, TlsFailureKind};

/// `unanswered`: the peer has asked for a certificate and this side had none to show.
pub(crate) fn failure(error: &Error, unanswered: bool) -> TlsFailure {
    TlsFailure {
        kind: kind(error, unanswered),
        detail: error.to_string(),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library's enum is open; whatever it adds is 'other'"
)]
fn kind(error: &Error, unanswered: bool) -> TlsFailureKind {
    match error {
        Error::InvalidCertificate(fault) => certificate_kind(fault),
        // On the accepting side, that demands one.
        Error::NoCertificatesPresented | Error::InvalidCertRevocationList(_) => {
            TlsFailureKind::UntrustedRemoteCertificate
        }
        Error::AlertReceived(alert) => alert_kind(*alert, unanswered),
        Error::PeerIncompatible(_) | Error::NoApplicationProtocol => TlsFailureKind::NegotiationFailure,
        _ => TlsFailureKind::Other,
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library's enum is open; what is not proved is not trusted"
)]
const fn certificate_kind(fault: &CertificateError) -> TlsFailureKind {
    match fault {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => TlsFailureKind::CertificateExpired,
        CertificateError::Revoked => TlsFailureKind::RemoteCertificateRevoked,
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            TlsFailureKind::RemoteCertificateInvalidUsage
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            TlsFailureKind::IncorrectNameInRemoteCertificate
        }
        _ => TlsFailureKind::UntrustedRemoteCertificate,
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library's enum is open; whatever it adds is 'other'"
)]
const fn alert_kind(alert: AlertDescription, unanswered: bool) -> TlsFailureKind {
    match alert {
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
            TlsFailureKind::LocalCertificateNotFound
        }
        // TLS 1.2 has no alert for a missing certificate; its servers choose among these.
        AlertDescription::HandshakeFailure
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied
            if unanswered =>
        {
            TlsFailureKind::LocalCertificateNotFound
        }
        // No agreement, or our certificate or name is not to the peer's liking.
        AlertDescription::HandshakeFailure
        | AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied
        | AlertDescription::IllegalParameter
        | AlertDescription::ProtocolVersion
        | AlertDescription::InsufficientSecurity
        | AlertDescription::InappropriateFallback
        | AlertDescription::MissingExtension
        | AlertDescription::UnsupportedExtension
        | AlertDescription::UnrecognisedName
        | AlertDescription::NoApplicationProtocol => TlsFailureKind::NegotiationFailure,
        _ => TlsFailureKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::{OtherError, PeerIncompatible, PeerMisbehaved};

    use super::*;

    // rules: C27
    #[test]
    fn every_kind_of_fault_has_its_kind_of_failure() {
        use TlsFailureKind as Kind;
        let certificate = |fault| Error::InvalidCertificate(fault);
        let other = CertificateError::Other(OtherError(Arc::new(webpki::Error::NameConstraintViolation)));
        for (error, expected) in [
            (certificate(CertificateError::Expired), Kind::CertificateExpired),
            (
                certificate(CertificateError::NotValidYet),
                Kind::CertificateExpired,
            ),
            (
                certificate(CertificateError::Revoked),
                Kind::RemoteCertificateRevoked,
            ),
            (
                certificate(CertificateError::InvalidPurpose),
                Kind::RemoteCertificateInvalidUsage,
            ),
            (
                certificate(CertificateError::NotValidForName),
                Kind::IncorrectNameInRemoteCertificate,
            ),
            (
                certificate(CertificateError::UnknownIssuer),
                Kind::UntrustedRemoteCertificate,
            ),
            (
                certificate(CertificateError::BadSignature),
                Kind::UntrustedRemoteCertificate,
            ),
            (
                certificate(CertificateError::UnknownRevocationStatus),
                Kind::UntrustedRemoteCertificate,
            ),
            (certificate(other), Kind::UntrustedRemoteCertificate),
            (Error::NoCertificatesPresented, Kind::UntrustedRemoteCertificate),
            (
                Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13),
                Kind::NegotiationFailure,
            ),
            (
                Error::PeerMisbehaved(PeerMisbehaved::TooManyEmptyFragments),
                Kind::Other,
            ),
            (Error::DecryptError, Kind::Other),
        ] {
            assert_eq!(kind(&error, false), expected, "{error}");
        }
    }

    // rules: C27
    #[test]
    fn alerts_blame_the_missing_certificate_only_where_one_was_asked_for() {
        use AlertDescription as Alert;
        use TlsFailureKind as Kind;
        for (alert, unasked, unanswered) in [
            (
                Alert::CertificateRequired,
                Kind::LocalCertificateNotFound,
                Kind::LocalCertificateNotFound,
            ),
            (
                Alert::HandshakeFailure,
                Kind::NegotiationFailure,
                Kind::LocalCertificateNotFound,
            ),
            (
                Alert::BadCertificate,
                Kind::NegotiationFailure,
                Kind::LocalCertificateNotFound,
            ),
            (
                Alert::UnknownCA,
                Kind::NegotiationFailure,
                Kind::NegotiationFailure,
            ),
            (
                Alert::ProtocolVersion,
                Kind::NegotiationFailure,
                Kind::NegotiationFailure,
            ),
            (
                Alert::UnrecognisedName,
                Kind::NegotiationFailure,
                Kind::NegotiationFailure,
            ),
            (Alert::InternalError, Kind::Other, Kind::Other),
        ] {
            assert_eq!(kind(&Error::AlertReceived(alert), false), unasked, "{alert:?}");
            assert_eq!(kind(&Error::AlertReceived(alert), true), unanswered, "{alert:?}");
        }
    }
}
