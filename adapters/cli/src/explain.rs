//! Errors as one line that says what to do.

use std::net::SocketAddr;

use sansip::security::KerberosFailureKind;
use sansip::wire::StatusCode;
use sansip::{
    AuthenticationFailure, AuthenticationFailureReason, CloseReason, ConnectionFailure, ListenError,
    OperationError, RemovalReason, ResolveError, TlsFailure, TlsFailureKind,
};

use crate::address::ListenAt;
use crate::kerberos;

/// What went wrong with an operation, and what to do.
pub(crate) fn explain(error: &OperationError) -> String {
    let advice = match error {
        OperationError::ConnectionFailure(failure) => connection(failure),
        OperationError::Tls(failure) => tls(failure),
        OperationError::Timeout => Some("the server or peer is silent: check address, port and transport"),
        OperationError::Authentication { failure, .. } => authentication(failure),
        OperationError::FailureResponse(response) | OperationError::Register { response, .. } => {
            response.status().and_then(status)
        }
        OperationError::MessageParsing(_) | OperationError::OperationFailure(_) => None,
    };
    with_advice(error, advice)
}

/// Why it is not possible to listen there, and what to do.
pub(crate) fn explain_listen(at: ListenAt, error: &ListenError) -> String {
    let advice = match error {
        ListenError::AddressInUse => Some("stop the other program, or choose another port"),
        ListenError::AddressNotAvailable => Some("choose an address of this host, or 0.0.0.0 for all"),
        ListenError::PermissionDenied => Some("choose a port from 1024 on"),
        ListenError::NoCertificate => Some("give a certificate with --cert and --key"),
        ListenError::Other(_) => None,
    };
    with_advice(format_args!("cannot listen at {at}: {error}"), advice)
}

fn with_advice(what: impl std::fmt::Display, advice: Option<&str>) -> String {
    advice.map_or_else(|| what.to_string(), |advice| format!("{what}; {advice}"))
}

fn connection(failure: &ConnectionFailure) -> Option<&'static str> {
    match failure {
        ConnectionFailure::Resolve { error, .. } => Some(match error {
            ResolveError::NoSuchName => "check the name, or give the address with --server HOST:PORT",
            ResolveError::Timeout | ResolveError::ServerFailure | ResolveError::NoResolver => {
                "check /etc/resolv.conf, or give an IP address"
            }
        }),
        ConnectionFailure::Connect { remote, reason } => connect(*remote, reason),
        ConnectionFailure::Lost(reason) => match reason {
            CloseReason::Tls(failure) => tls(failure),
            CloseReason::Closed | CloseReason::Reset => {
                Some("the other side hung up: check that the transport is the right one for this port")
            }
            CloseReason::Refused
            | CloseReason::Unreachable
            | CloseReason::TimedOut
            | CloseReason::Other(_) => None,
        },
        ConnectionFailure::Closed(reason) => match reason {
            RemovalReason::Untrusted(failure) => tls(failure),
            RemovalReason::FramingLost(_) => {
                Some("the other side speaks something else than SIP there: check port and --transport")
            }
            RemovalReason::Remote(_)
            | RemovalReason::Released
            | RemovalReason::Idle
            | RemovalReason::Unproven
            | RemovalReason::SlowReader
            | RemovalReason::Unanswered
            | RemovalReason::NetworkChanged
            | RemovalReason::Local
            | RemovalReason::Denied
            | RemovalReason::NotAuthorized
            | RemovalReason::Limit(_) => None,
        },
        ConnectionFailure::NotConnected | ConnectionFailure::Limit(_) | ConnectionFailure::NoTransport(_) => {
            None
        }
    }
}

fn connect(remote: SocketAddr, reason: &CloseReason) -> Option<&'static str> {
    match reason {
        CloseReason::Refused => Some("is the server running, and is the port right?"),
        CloseReason::Unreachable => Some("check the address and the network"),
        CloseReason::TimedOut => Some("check the address, and whether a firewall drops the packets"),
        CloseReason::Tls(failure) => tls(failure),
        CloseReason::Closed | CloseReason::Reset if remote.port() == 5060 => {
            Some("port 5060 is usually plain TCP: try --transport tcp")
        }
        CloseReason::Closed | CloseReason::Reset => {
            Some("check that the transport is the right one for this port")
        }
        CloseReason::Other(_) => None,
    }
}

fn tls(failure: &TlsFailure) -> Option<&'static str> {
    match failure.kind {
        TlsFailureKind::LocalCertificateNotFound => Some("give one with --cert and --key"),
        TlsFailureKind::UntrustedRemoteCertificate => {
            Some("if you trust its issuer, give its root with --ca FILE")
        }
        TlsFailureKind::CertificateExpired => Some("renew it at the server, or check the clock of this host"),
        TlsFailureKind::IncorrectNameInRemoteCertificate => {
            Some("name the server as its certificate does, with --server NAME:PORT")
        }
        TlsFailureKind::RemoteCertificateRevoked | TlsFailureKind::RemoteCertificateInvalidUsage => {
            Some("the server needs another certificate")
        }
        TlsFailureKind::RemoteDisconnected | TlsFailureKind::NegotiationFailure => {
            Some("check that the port speaks TLS 1.2 or 1.3, or try --transport tcp")
        }
        TlsFailureKind::Other => None,
    }
}

fn authentication(failure: &AuthenticationFailure) -> Option<&'static str> {
    let kerberos = failure.kerberos.as_ref().map(|kerberos| kerberos.kind);
    match failure.reason {
        AuthenticationFailureReason::MissingCredentials
            if kerberos == Some(KerberosFailureKind::NoTicket) =>
        {
            Some("get a ticket with kinit, or give the password with --password-file FILE")
        }
        AuthenticationFailureReason::NoCommonProtocols
            if kerberos == Some(KerberosFailureKind::Unsupported) =>
        {
            Some(kerberos::HOW_TO_BUILD)
        }
        AuthenticationFailureReason::InvalidCredentials => Some("check --user, --auth-user and the password"),
        AuthenticationFailureReason::MissingCredentials => {
            Some("give the password with --password-file FILE")
        }
        AuthenticationFailureReason::NoCommonProtocols => Some(
            "of Digest, NTLM and Kerberos, --auth says what is allowed; NTLM also takes --ntlm-over-tcp or TLS, and --least-signature-version",
        ),
        AuthenticationFailureReason::NoAuthenticatingAuthority => match kerberos? {
            KerberosFailureKind::Unreachable => {
                Some("check krb5.conf, and that the key distribution center runs")
            }
            KerberosFailureKind::UnknownService => {
                Some("the name by which the server calls itself has to be a principal there")
            }
            _ => None,
        },
        AuthenticationFailureReason::SkewedClock | AuthenticationFailureReason::UnchallengingServer => None,
    }
}

fn status(status: StatusCode) -> Option<&'static str> {
    match status.code() {
        401 | 407 => Some("give the password with --password-file FILE"),
        403 => Some("the server does not allow it for this user"),
        404 => Some("the server does not know this user: check the address"),
        480 => Some("the user is known but not reachable now"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use sansip::security::KerberosFailure;

    use super::*;

    // rules: A7
    #[test]
    fn a_failure_of_kerberos_says_what_to_do() {
        for (reason, kind, parts) in [
            (
                AuthenticationFailureReason::MissingCredentials,
                KerberosFailureKind::NoTicket,
                ["there is no Kerberos ticket (no cache)", "kinit"],
            ),
            (
                AuthenticationFailureReason::NoCommonProtocols,
                KerberosFailureKind::Unsupported,
                ["Kerberos is not supported here", "--features kerberos"],
            ),
            (
                AuthenticationFailureReason::NoAuthenticatingAuthority,
                KerberosFailureKind::Unreachable,
                [
                    "no key distribution center can be reached (no cache)",
                    "krb5.conf",
                ],
            ),
            (
                AuthenticationFailureReason::NoAuthenticatingAuthority,
                KerberosFailureKind::UnknownService,
                ["Kerberos does not know the server (no cache)", "name"],
            ),
        ] {
            let failure = AuthenticationFailure {
                reason,
                realm: None,
                offered: Vec::new(),
                kerberos: Some(KerberosFailure {
                    kind,
                    detail: "no cache".to_owned(),
                }),
            };
            let line = with_advice(&failure, authentication(&failure));
            assert!(parts.iter().all(|part| line.contains(part)), "{line}");
        }
    }

    #[test]
    fn each_failure_says_what_to_do() {
        let remote: SocketAddr = "127.0.0.1:5070".parse().unwrap();
        let refused = ConnectionFailure::Connect {
            remote,
            reason: CloseReason::Refused,
        };
        let unknown = ConnectionFailure::Resolve {
            host: "nohost.invalid".to_owned(),
            error: ResolveError::NoSuchName,
        };
        let untrusted = TlsFailure {
            kind: TlsFailureKind::UntrustedRemoteCertificate,
            detail: String::new(),
        };
        for (error, parts) in [
            (
                OperationError::ConnectionFailure(refused),
                ["127.0.0.1:5070: connection refused", "running"],
            ),
            (
                OperationError::ConnectionFailure(unknown),
                ["nohost.invalid: no such host", "--server"],
            ),
            (OperationError::Tls(untrusted), ["not trusted", "--ca"]),
            (OperationError::Timeout, ["no answer in time", "silent"]),
        ] {
            let line = explain(&error);
            assert!(parts.iter().all(|part| line.contains(part)), "{line}");
            assert!(!line.contains('\n'));
        }
        let at = "tcp:127.0.0.1:5060".parse().unwrap();
        assert_eq!(
            explain_listen(at, &ListenError::AddressInUse),
            "cannot listen at tcp:127.0.0.1:5060: the address is in use; stop the other program, or choose another port"
        );
    }
}
