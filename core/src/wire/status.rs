//! Response status codes.

use core::fmt;

macro_rules! codes {
    ($($name:ident $code:literal $reason:literal : $source:literal,)*) => {
        impl StatusCode {
            $(
                #[doc = concat!("`", $code, " ", $reason, "`, ", $source, ".")]
                pub const $name: Self = Self($code);
            )*

            /// The reason phrase that the specification of this code suggests; for a code without one, that of its
            /// class.
            pub const fn default_reason(self) -> &'static str {
                match self.0 {
                    $($code => $reason,)*
                    100..=199 => "Session Progress",
                    200..=299 => "OK",
                    300..=399 => "Redirected",
                    400..=499 => "Request Failure",
                    500..=599 => "Server Failure",
                    _ => "Global Failure",
                }
            }
        }
    };
}

/// A status code, 100 to 699 (RFC 3261 sections 7.2 and 21).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusCode(u16);

codes! {
    TRYING 100 "Trying": "RFC 3261",
    RINGING 180 "Ringing": "RFC 3261",
    CALL_IS_BEING_FORWARDED 181 "Call Is Being Forwarded": "RFC 3261",
    QUEUED 182 "Queued": "RFC 3261",
    SESSION_PROGRESS 183 "Session Progress": "RFC 3261",
    EARLY_DIALOG_TERMINATED 199 "Early Dialog Terminated": "RFC 6228",
    OK 200 "OK": "RFC 3261",
    ACCEPTED 202 "Accepted": "RFC 3265",
    NO_NOTIFICATION 204 "No Notification": "RFC 5839",
    MULTIPLE_CHOICES 300 "Multiple Choices": "RFC 3261",
    MOVED_PERMANENTLY 301 "Moved Permanently": "RFC 3261",
    MOVED_TEMPORARILY 302 "Moved Temporarily": "RFC 3261",
    USE_PROXY 305 "Use Proxy": "RFC 3261",
    ALTERNATIVE_SERVICE 380 "Alternative Service": "RFC 3261",
    BAD_REQUEST 400 "Bad Request": "RFC 3261",
    UNAUTHORIZED 401 "Unauthorized": "RFC 3261",
    PAYMENT_REQUIRED 402 "Payment Required": "RFC 3261",
    FORBIDDEN 403 "Forbidden": "RFC 3261",
    NOT_FOUND 404 "Not Found": "RFC 3261",
    METHOD_NOT_ALLOWED 405 "Method Not Allowed": "RFC 3261",
    NOT_ACCEPTABLE 406 "Not Acceptable": "RFC 3261",
    PROXY_AUTHENTICATION_REQUIRED 407 "Proxy Authentication Required": "RFC 3261",
    REQUEST_TIMEOUT 408 "Request Timeout": "RFC 3261",
    GONE 410 "Gone": "RFC 3261",
    CONDITIONAL_REQUEST_FAILED 412 "Conditional Request Failed": "RFC 3903",
    REQUEST_ENTITY_TOO_LARGE 413 "Request Entity Too Large": "RFC 3261",
    REQUEST_URI_TOO_LONG 414 "Request-URI Too Long": "RFC 3261",
    UNSUPPORTED_MEDIA_TYPE 415 "Unsupported Media Type": "RFC 3261",
    UNSUPPORTED_URI_SCHEME 416 "Unsupported URI Scheme": "RFC 3261",
    BAD_EXTENSION 420 "Bad Extension": "RFC 3261",
    EXTENSION_REQUIRED 421 "Extension Required": "RFC 3261",
    SESSION_INTERVAL_TOO_SMALL 422 "Session Interval Too Small": "RFC 4028",
    INTERVAL_TOO_BRIEF 423 "Interval Too Brief": "RFC 3261",
    FLOW_FAILED 430 "Flow Failed": "RFC 5626",
    FIRST_HOP_LACKS_OUTBOUND 439 "First Hop Lacks Outbound Support": "RFC 5626",
    BAD_INFO_PACKAGE 469 "Bad Info Package": "RFC 6086",
    TEMPORARILY_UNAVAILABLE 480 "Temporarily Unavailable": "RFC 3261",
    NO_SUCH_CALL 481 "Call/Transaction Does Not Exist": "RFC 3261",
    LOOP_DETECTED 482 "Loop Detected": "RFC 3261",
    TOO_MANY_HOPS 483 "Too Many Hops": "RFC 3261",
    ADDRESS_INCOMPLETE 484 "Address Incomplete": "RFC 3261",
    AMBIGUOUS 485 "Ambiguous": "RFC 3261",
    BUSY_HERE 486 "Busy Here": "RFC 3261",
    REQUEST_TERMINATED 487 "Request Terminated": "RFC 3261",
    NOT_ACCEPTABLE_HERE 488 "Not Acceptable Here": "RFC 3261",
    BAD_EVENT 489 "Bad Event": "RFC 6665",
    REQUEST_PENDING 491 "Request Pending": "RFC 3261",
    UNDECIPHERABLE 493 "Undecipherable": "RFC 3261",
    SECURITY_AGREEMENT_REQUIRED 494 "Security Agreement Required": "RFC 3329",
    SERVER_INTERNAL_ERROR 500 "Server Internal Error": "RFC 3261",
    NOT_IMPLEMENTED 501 "Not Implemented": "RFC 3261",
    BAD_GATEWAY 502 "Bad Gateway": "RFC 3261",
    SERVICE_UNAVAILABLE 503 "Service Unavailable": "RFC 3261",
    SERVER_TIMEOUT 504 "Server Time-out": "RFC 3261",
    VERSION_NOT_SUPPORTED 505 "Version Not Supported": "RFC 3261",
    MESSAGE_TOO_LARGE 513 "Message Too Large": "RFC 3261",
    BUSY_EVERYWHERE 600 "Busy Everywhere": "RFC 3261",
    DECLINE 603 "Decline": "RFC 3261",
    DOES_NOT_EXIST_ANYWHERE 604 "Does Not Exist Anywhere": "RFC 3261",
    NOT_ACCEPTABLE_ANYWHERE 606 "Not Acceptable": "RFC 3261",
}

impl StatusCode {
    /// The status code with this number, if it is one: 100 to 699.
    pub const fn new(code: u16) -> Option<Self> {
        if code >= 100 && code <= 699 {
            Some(Self(code))
        } else {
            None
        }
    }

    /// The number.
    pub const fn code(self) -> u16 {
        self.0
    }

    /// 100 to 199: the request is being worked on.
    pub const fn is_provisional(self) -> bool {
        self.0 < 200
    }

    /// 200 and above: the last response of its transaction.
    pub const fn is_final(self) -> bool {
        self.0 >= 200
    }

    /// 200 to 299.
    pub const fn is_success(self) -> bool {
        self.0 >= 200 && self.0 < 300
    }

    /// 300 to 399.
    pub const fn is_redirection(self) -> bool {
        self.0 >= 300 && self.0 < 400
    }

    /// 300 to 699: final and not a success.
    pub const fn is_failure(self) -> bool {
        self.0 >= 300
    }

    /// 600 to 699: no other target is to be tried.
    pub const fn is_global_failure(self) -> bool {
        self.0 >= 600
    }

    /// The code that stands for this one where its number means nothing to the receiver: x00 of its class, 183 for
    /// a provisional one (RFC 3261 sections 8.1.3.2).
    pub const fn class_default(self) -> Self {
        if self.0 < 200 {
            Self::SESSION_PROGRESS
        } else {
            Self(self.0 / 100 * 100)
        }
    }
}

impl fmt::Display for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_100_to_699() {
        assert_eq!(StatusCode::new(99), None);
        assert_eq!(StatusCode::new(100), Some(StatusCode::TRYING));
        assert_eq!(StatusCode::new(699).unwrap().code(), 699);
        assert_eq!(StatusCode::new(700), None);
    }

    #[test]
    fn classes_meet_at_their_bounds() {
        assert!(StatusCode::new(199).unwrap().is_provisional());
        assert!(StatusCode::OK.is_final() && StatusCode::OK.is_success());
        assert!(!StatusCode::MULTIPLE_CHOICES.is_success() && StatusCode::MULTIPLE_CHOICES.is_redirection());
        assert!(StatusCode::BAD_REQUEST.is_failure() && !StatusCode::BAD_REQUEST.is_redirection());
        assert!(StatusCode::BUSY_EVERYWHERE.is_global_failure());
        assert!(!StatusCode::new(599).unwrap().is_global_failure());
    }

    // RFC 3261 section 8.1.3.2: an unknown 431 is treated as 400, an unknown provisional one as 183.
    #[test]
    fn an_unknown_code_stands_for_its_class() {
        assert_eq!(
            StatusCode::new(431).unwrap().class_default(),
            StatusCode::BAD_REQUEST
        );
        assert_eq!(
            StatusCode::new(169).unwrap().class_default(),
            StatusCode::SESSION_PROGRESS
        );
        assert_eq!(
            StatusCode::new(699).unwrap().class_default(),
            StatusCode::BUSY_EVERYWHERE
        );
    }

    #[test]
    fn reasons_are_those_of_the_rfc() {
        assert_eq!(
            StatusCode::NO_SUCH_CALL.default_reason(),
            "Call/Transaction Does Not Exist"
        );
        assert_eq!(StatusCode::new(499).unwrap().default_reason(), "Request Failure");
    }
}
