//! What the library's codes mean to an application.

use libgssapi::error::Error;
use sansip::security::{KerberosFailure, KerberosFailureKind as Kind};

/// Routine errors (RFC 2744 section 3.9.1): a number in these bits of the major status.
const ROUTINE: u32 = 0xff << 16;
const NO_CREDENTIALS: u32 = 7 << 16;
const CREDENTIALS_EXPIRED: u32 = 11 << 16;

/// Where the codes of Kerberos begin (`krb5_err.et`): the first 128 are those of the protocol (RFC 4120 section 7.5.9).
const KRB5: i32 = -1_765_328_384;

pub(crate) const fn other(detail: String) -> KerberosFailure {
    KerberosFailure {
        kind: Kind::Other,
        detail,
    }
}

/// The kind of an error, and what the library says of it. It names principals, realms and files, and no keys.
pub(crate) fn of(error: &Error) -> KerberosFailure {
    let (major, minor) = (error.major.bits(), error.minor.cast_signed());
    KerberosFailure {
        kind: kind(major, minor),
        detail: words(minor, &error.to_string()),
    }
}

/// The minor status says more, where it is one of Kerberos.
fn kind(major: u32, minor: i32) -> Kind {
    match minor.wrapping_sub(KRB5) {
        // KDC_ERR_C_PRINCIPAL_UNKNOWN, CLIENT_REVOKED, CLIENT_NOTYET, KEY_EXPIRED, PREAUTH_FAILED; KRB_AP_ERR_BAD_INTEGRITY,
        // where the answer cannot be opened with the password; KRB5_PREAUTH_FAILED.
        6 | 18 | 21 | 23 | 24 | 31 | 210 => Kind::WrongCredentials,
        // KDC_ERR_S_PRINCIPAL_UNKNOWN
        7 => Kind::UnknownService,
        // KRB_AP_ERR_TKT_EXPIRED; KRB5_FCC_NOFILE
        32 | 195 => Kind::NoTicket,
        // KRB_AP_ERR_TKT_NYV, KRB_AP_ERR_SKEW; KRB5_KDCREP_SKEW
        33 | 37 | 148 => Kind::SkewedClock,
        // KDC_ERR_SVC_UNAVAILABLE; KRB5_REALM_UNKNOWN, KRB5_KDC_UNREACH, KRB5_REALM_CANT_RESOLVE
        29 | 154 | 156 | 220 => Kind::Unreachable,
        _ if matches!(major & ROUTINE, NO_CREDENTIALS | CREDENTIALS_EXPIRED) => Kind::NoTicket,
        _ => Kind::Other,
    }
}

/// What the minor status stands for, where there is one: it says more, and follows the major one in brackets.
fn words(minor: i32, text: &str) -> String {
    let specific = text
        .split_once(" (")
        .filter(|_| minor != 0)
        .and_then(|(_, specific)| specific.strip_suffix(')'));
    specific.unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    // rules: A7
    #[test]
    fn codes_of_kerberos_say_what_kind_a_failure_is() {
        // GSS_S_FAILURE with the numbers of RFC 4120 section 7.5.9, and those of MIT's `krb5.h`.
        let failed = 13 << 16;
        for (minor, expected) in [
            (-1_765_328_378, Kind::WrongCredentials), // KRB5KDC_ERR_C_PRINCIPAL_UNKNOWN
            (-1_765_328_366, Kind::WrongCredentials), // KRB5KDC_ERR_CLIENT_REVOKED
            (-1_765_328_363, Kind::WrongCredentials), // KRB5KDC_ERR_CLIENT_NOTYET
            (-1_765_328_361, Kind::WrongCredentials), // KRB5KDC_ERR_KEY_EXP
            (-1_765_328_360, Kind::WrongCredentials), // KRB5KDC_ERR_PREAUTH_FAILED
            (-1_765_328_353, Kind::WrongCredentials), // KRB5KRB_AP_ERR_BAD_INTEGRITY
            (-1_765_328_174, Kind::WrongCredentials), // KRB5_PREAUTH_FAILED
            (-1_765_328_377, Kind::UnknownService),   // KRB5KDC_ERR_S_PRINCIPAL_UNKNOWN
            (-1_765_328_352, Kind::NoTicket),         // KRB5KRB_AP_ERR_TKT_EXPIRED
            (-1_765_328_189, Kind::NoTicket),         // KRB5_FCC_NOFILE
            (-1_765_328_351, Kind::SkewedClock),      // KRB5KRB_AP_ERR_TKT_NYV
            (-1_765_328_347, Kind::SkewedClock),      // KRB5KRB_AP_ERR_SKEW
            (-1_765_328_236, Kind::SkewedClock),      // KRB5_KDCREP_SKEW
            (-1_765_328_355, Kind::Unreachable),      // KRB5KDC_ERR_SVC_UNAVAILABLE
            (-1_765_328_230, Kind::Unreachable),      // KRB5_REALM_UNKNOWN
            (-1_765_328_228, Kind::Unreachable),      // KRB5_KDC_UNREACH
            (-1_765_328_164, Kind::Unreachable),      // KRB5_REALM_CANT_RESOLVE
            (-1_765_328_370, Kind::Other),            // KRB5KDC_ERR_ETYPE_NOSUPP
            (0, Kind::Other),
        ] {
            assert_eq!(kind(failed, minor), expected, "{minor}");
        }
        // RFC 2744: GSS_S_NO_CRED, GSS_S_CREDENTIALS_EXPIRED, GSS_S_BAD_NAME. The minor status is of no use there.
        assert_eq!(kind(7 << 16, 39_756_044), Kind::NoTicket);
        assert_eq!(kind(11 << 16, 0), Kind::NoTicket);
        assert_eq!(kind(2 << 16, 0), Kind::Other);
        assert_eq!(kind(7 << 16, -1_765_328_228), Kind::Unreachable);
    }

    #[test]
    fn the_words_are_those_of_the_minor_status_where_there_is_one() {
        let text =
            "Unspecified GSS failure.  Minor code may provide more information (Cannot find KDC (for \"X\"))";
        assert_eq!(words(-1, text), "Cannot find KDC (for \"X\")");
        assert_eq!(words(0, text), text);
        assert_eq!(words(-1, "odd"), "odd");
    }
}
