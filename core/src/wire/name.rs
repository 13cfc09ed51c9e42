//! The header fields the stack knows by name.

use core::fmt;

use super::scan;

macro_rules! header_names {
    ($($variant:ident $text:literal $(/ $compact:literal)? : $source:literal,)*) => {
        /// A header field name that the stack knows, in any case and in its long or compact form.
        ///
        /// Names outside this list are kept by a [`Message`](super::Message) as they were written.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "record", derive(serde::Serialize))]
        #[repr(u8)]
        pub enum HeaderName {
            $(
                #[doc = concat!("`", $text, "`, ", $source, ".")]
                $variant,
            )*
        }

        impl HeaderName {
            /// Every known name, ordered by its text without regard to case.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The long form, in the case of its specification.
            #[inline]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// The long form with what stands between it and a value.
            #[inline(always)]
            pub(super) const fn label(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($text, ": "),)*
                }
            }

            const fn from_compact(letter: u8) -> Option<Self> {
                match letter.to_ascii_lowercase() {
                    $($($compact => Some(Self::$variant),)?)*
                    _ => None,
                }
            }
        }
    };
}

header_names! {
    Accept "Accept": "RFC 3261 section 20.1",
    AcceptContact "Accept-Contact" / b'a': "RFC 3841 section 9.2",
    AcceptEncoding "Accept-Encoding": "RFC 3261 section 20.2",
    AcceptLanguage "Accept-Language": "RFC 3261 section 20.3",
    AlertInfo "Alert-Info": "RFC 3261 section 20.4",
    Allow "Allow": "RFC 3261 section 20.5",
    AllowEvents "Allow-Events" / b'u': "RFC 6665 section 8.2.2",
    AuthenticationInfo "Authentication-Info": "RFC 3261 section 20.6",
    Authorization "Authorization": "RFC 3261 section 20.7",
    CallId "Call-ID" / b'i': "RFC 3261 section 20.8",
    CallInfo "Call-Info": "RFC 3261 section 20.9",
    Contact "Contact" / b'm': "RFC 3261 section 20.10",
    ContentDisposition "Content-Disposition": "RFC 3261 section 20.11",
    ContentEncoding "Content-Encoding" / b'e': "RFC 3261 section 20.12",
    ContentLanguage "Content-Language": "RFC 3261 section 20.13",
    ContentLength "Content-Length" / b'l': "RFC 3261 section 20.14",
    ContentType "Content-Type" / b'c': "RFC 3261 section 20.15",
    CSeq "CSeq": "RFC 3261 section 20.16",
    Date "Date": "RFC 3261 section 20.17",
    ErrorInfo "Error-Info": "RFC 3261 section 20.18",
    Event "Event" / b'o': "RFC 6665 section 8.2.1",
    Expires "Expires": "RFC 3261 section 20.19",
    FlowTimer "Flow-Timer": "RFC 5626 section 10",
    From "From" / b'f': "RFC 3261 section 20.20",
    HistoryInfo "History-Info": "RFC 7044 section 5",
    Identity "Identity" / b'y': "RFC 8224 section 4",
    InReplyTo "In-Reply-To": "RFC 3261 section 20.21",
    Join "Join": "RFC 3911 section 7.1",
    MaxForwards "Max-Forwards": "RFC 3261 section 20.22",
    MimeVersion "MIME-Version": "RFC 3261 section 20.24",
    MinExpires "Min-Expires": "RFC 3261 section 20.23",
    MinSe "Min-SE": "RFC 4028 section 5",
    MsApplicationAor "ms-application-aor": "MS-SIPRE",
    MsClientDiagnostics "ms-client-diagnostics": "MS-OCER section 2.2.1",
    MsDiagnostics "ms-diagnostics": "MS-OCER section 2.2.1",
    MsDiagnosticsPublic "ms-diagnostics-public": "MS-OCER section 2.2.1",
    MsKeepAlive "ms-keep-alive": "MS-CONMGMT section 2.2.1",
    Organization "Organization": "RFC 3261 section 20.25",
    PAssertedIdentity "P-Asserted-Identity": "RFC 3325 section 9.1",
    PDialogRecoveryAction "P-Dialog-Recovery-Action": "MS-SIPRE",
    PPreferredIdentity "P-Preferred-Identity": "RFC 3325 section 9.2",
    Path "Path": "RFC 3327 section 4",
    PresenceState "Presence-State": "MS-SIPREGE section 2.2.1.4",
    Priority "Priority": "RFC 3261 section 20.26",
    Privacy "Privacy": "RFC 3323 section 4.2",
    ProxyAuthenticate "Proxy-Authenticate": "RFC 3261 section 20.27",
    ProxyAuthenticationInfo "Proxy-Authentication-Info": "MS-SIPAE section 2.2",
    ProxyAuthorization "Proxy-Authorization": "RFC 3261 section 20.28",
    ProxyRequire "Proxy-Require": "RFC 3261 section 20.29",
    RAck "RAck": "RFC 3262 section 7.2",
    Reason "Reason": "RFC 3326 section 2",
    RecordRoute "Record-Route": "RFC 3261 section 20.30",
    ReferTo "Refer-To" / b'r': "RFC 3515 section 2.1",
    ReferredBy "Referred-By" / b'b': "RFC 3892 section 3",
    RejectContact "Reject-Contact" / b'j': "RFC 3841 section 9.2",
    Replaces "Replaces": "RFC 3891 section 6.1",
    ReplyTo "Reply-To": "RFC 3261 section 20.31",
    RequestDisposition "Request-Disposition" / b'd': "RFC 3841 section 9.1",
    Require "Require": "RFC 3261 section 20.32",
    RetryAfter "Retry-After": "RFC 3261 section 20.33",
    Route "Route": "RFC 3261 section 20.34",
    RSeq "RSeq": "RFC 3262 section 7.1",
    Server "Server": "RFC 3261 section 20.35",
    ServiceRoute "Service-Route": "RFC 3608 section 5",
    SessionExpires "Session-Expires" / b'x': "RFC 4028 section 4",
    SipETag "SIP-ETag": "RFC 3903 section 11.3.1",
    SipIfMatch "SIP-If-Match": "RFC 3903 section 11.3.2",
    Subject "Subject" / b's': "RFC 3261 section 20.36",
    SubscriptionState "Subscription-State": "RFC 6665 section 8.2.3",
    Supported "Supported" / b'k': "RFC 3261 section 20.37",
    TargetDialog "Target-Dialog": "RFC 4538 section 7",
    Timestamp "Timestamp": "RFC 3261 section 20.38",
    To "To" / b't': "RFC 3261 section 20.39",
    Unsupported "Unsupported": "RFC 3261 section 20.40",
    UserAgent "User-Agent": "RFC 3261 section 20.41",
    Via "Via" / b'v': "RFC 3261 section 20.42",
    Warning "Warning": "RFC 3261 section 20.43",
    WwwAuthenticate "WWW-Authenticate": "RFC 3261 section 20.44",
}

impl HeaderName {
    /// The name written as `bytes`, long or compact, in any case.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (first, rest) = bytes.split_first()?;
        if rest.is_empty() {
            return Self::from_compact(*first);
        }
        let letter = usize::from(first.to_ascii_lowercase().checked_sub(b'a')?);
        let (start, end) = (BY_LETTER.get(letter)?, BY_LETTER.get(letter + 1)?);
        let candidates = Self::ALL.get(usize::from(*start)..usize::from(*end))?;
        candidates
            .iter()
            .find(|name| {
                let text = name.as_str().as_bytes();
                // Most write it as its specification does, which is the cheaper question.
                text.len() == bytes.len() && (text == bytes || text.eq_ignore_ascii_case(bytes))
            })
            .copied()
    }

    /// The name that a line of a message begins with, and its length: where it is written as its specification has it,
    /// with the colon right behind it, as nearly all are, and is no longer than [`Spelling`] holds.
    #[inline]
    pub(super) fn at_start(line: &[u8]) -> Option<(Self, usize)> {
        let (first, rest) = line.split_first_chunk()?;
        let (second, _) = rest.split_first_chunk()?;
        let words = [u64::from_le_bytes(*first), u64::from_le_bytes(*second)];
        let (words, length) = scan::until(b':', words)?;
        let spelling = Spelling::new(words, length);
        match SPELLINGS.get(spelling.slot()) {
            Some(Some((known, name))) if *known == spelling => Some((*name, length)),
            _ => None,
        }
    }

    /// Whether a message may have this field only once, with one value (RFC 3261 section 7.3.1: a field may repeat
    /// only where its grammar is a comma-separated list, or where it carries credentials or challenges).
    pub const fn is_single(self) -> bool {
        matches!(
            self,
            Self::AuthenticationInfo
                | Self::CallId
                | Self::ContentDisposition
                | Self::ContentLength
                | Self::ContentType
                | Self::CSeq
                | Self::Date
                | Self::Event
                | Self::Expires
                | Self::FlowTimer
                | Self::From
                | Self::Identity
                | Self::Join
                | Self::MaxForwards
                | Self::MimeVersion
                | Self::MinExpires
                | Self::MinSe
                | Self::Organization
                | Self::Priority
                | Self::ProxyAuthenticationInfo
                | Self::RAck
                | Self::ReferTo
                | Self::ReferredBy
                | Self::Replaces
                | Self::ReplyTo
                | Self::RetryAfter
                | Self::RSeq
                | Self::Server
                | Self::SessionExpires
                | Self::SipETag
                | Self::SipIfMatch
                | Self::Subject
                | Self::SubscriptionState
                | Self::TargetDialog
                | Self::Timestamp
                | Self::To
                | Self::UserAgent
        )
    }

    /// Whether the stack alone writes this field, so that an application may not (rule E11): what routes a message,
    /// identifies its transaction and dialog, delimits its body, or proves who sent it.
    pub const fn is_stack_owned(self) -> bool {
        matches!(
            self,
            Self::AuthenticationInfo
                | Self::Authorization
                | Self::CallId
                | Self::Contact
                | Self::ContentLength
                | Self::ContentType
                | Self::CSeq
                | Self::From
                | Self::MaxForwards
                | Self::MinSe
                | Self::Path
                | Self::ProxyAuthenticate
                | Self::ProxyAuthenticationInfo
                | Self::ProxyAuthorization
                | Self::RAck
                | Self::RecordRoute
                | Self::Route
                | Self::RSeq
                | Self::ServiceRoute
                | Self::SessionExpires
                | Self::To
                | Self::UserAgent
                | Self::Via
                | Self::WwwAuthenticate
        )
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where the names that begin with each letter start in [`HeaderName::ALL`], and where the last ones end.
static BY_LETTER: [u8; 27] = by_letter();

#[expect(
    clippy::indexing_slicing,
    reason = "both indices are below the lengths that the loops are bounded by, and this runs when it is compiled"
)]
const fn by_letter() -> [u8; 27] {
    let names = HeaderName::ALL;
    assert!(names.len() < u8::MAX as usize);
    let mut starts = [0; 27];
    let mut letter = 0;
    let mut at = 0;
    while letter < starts.len() {
        while at < names.len() && names[at].as_str().as_bytes()[0].to_ascii_lowercase() < b'a' + letter as u8
        {
            at += 1;
        }
        starts[letter] = at as u8;
        letter += 1;
    }
    starts
}

/// A name of up to 15 bytes, as two words: zeros stand behind it, and its length in the last byte.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Spelling {
    low: u64,
    high: u64,
}

impl Spelling {
    const LONGEST: usize = 15;

    #[inline]
    const fn new([low, high]: [u64; 2], length: usize) -> Self {
        Self {
            low,
            high: high | (length as u64) << 56,
        }
    }

    const fn of(name: &[u8]) -> Self {
        let (mut low, mut high) = (0, 0);
        let mut rest = name;
        while let [start @ .., letter] = rest {
            high = high << 8 | low >> 56;
            low = low << 8 | *letter as u64;
            rest = start;
        }
        Self::new([low, high], name.len())
    }

    /// Its place in [`SPELLINGS`].
    #[inline]
    const fn slot(self) -> usize {
        // The factor was found by trying: it sends every name to a place of its own.
        let sum = self.low.wrapping_add(self.high << 1);
        (sum.wrapping_mul(0x1622_bd79_5fec_898f) >> 56) as usize
    }
}

/// The names that are short enough, by the slots of their spellings. A name whose slot is taken is found by
/// [`HeaderName::from_bytes`] alone.
static SPELLINGS: [Option<(Spelling, HeaderName)>; 256] = spellings();

#[expect(
    clippy::indexing_slicing,
    reason = "a slot is a byte, the other index is below the length, and this runs when it is compiled"
)]
const fn spellings() -> [Option<(Spelling, HeaderName)>; 256] {
    let mut slots = [None; 256];
    let mut at = 0;
    while at < HeaderName::ALL.len() {
        let name = HeaderName::ALL[at];
        let text = name.as_str().as_bytes();
        let spelling = Spelling::of(text);
        if text.len() <= Spelling::LONGEST && slots[spelling.slot()].is_none() {
            slots[spelling.slot()] = Some((spelling, name));
        }
        at += 1;
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_the_order_that_the_search_needs() {
        let lower = |text: &str| text.to_ascii_lowercase();
        for pair in HeaderName::ALL.windows(2) {
            let (a, b) = (pair[0].as_str(), pair[1].as_str());
            assert!(lower(a) < lower(b), "{a} before {b}");
        }
    }

    #[test]
    fn every_name_is_found_in_any_case() {
        for name in HeaderName::ALL {
            let text = name.as_str();
            assert_eq!(HeaderName::from_bytes(text.as_bytes()), Some(*name));
            assert_eq!(
                HeaderName::from_bytes(text.to_ascii_uppercase().as_bytes()),
                Some(*name)
            );
            assert_eq!(
                HeaderName::from_bytes(text.to_ascii_lowercase().as_bytes()),
                Some(*name)
            );
        }
        for unknown in [
            &b""[..],
            b"z",
            b"Vi",
            b"{ia",
            b"@ia",
            b"Zia",
            b"1ia",
            b"Viaa",
            b"Via ",
            b"X-Via",
            b"\xff",
        ] {
            assert_eq!(HeaderName::from_bytes(unknown), None);
        }
    }

    #[test]
    fn a_name_is_known_at_the_start_of_its_line() {
        for name in HeaderName::ALL {
            let line = alloc::format!("{name}: value of it\r\n");
            let expected = (name.as_str().len() <= Spelling::LONGEST).then_some((*name, name.as_str().len()));
            assert_eq!(HeaderName::at_start(line.as_bytes()), expected);
            // Other forms are left to the search by name.
            for other in [
                alloc::format!("{}: value of it", name.as_str().to_ascii_lowercase()),
                alloc::format!("{name} : value of it"),
                alloc::format!("{name} and no colon"),
                alloc::format!("{name}:"),
                alloc::format!("{name}x: value of it"),
                alloc::format!("{name}\0: value of it"),
                alloc::format!("x{name}: value of it"),
            ] {
                let is_name = other.starts_with(line.split(' ').next().unwrap()) && other.len() >= 16;
                assert!(
                    is_name || HeaderName::at_start(other.as_bytes()).is_none(),
                    "{other}"
                );
            }
        }
        assert_eq!(HeaderName::at_start(b": what has no name at all"), None);
    }

    #[test]
    fn compact_forms_are_those_registered_with_iana() {
        let registered: [(&[u8], HeaderName); 20] = [
            (b"a", HeaderName::AcceptContact),
            (b"u", HeaderName::AllowEvents),
            (b"i", HeaderName::CallId),
            (b"m", HeaderName::Contact),
            (b"e", HeaderName::ContentEncoding),
            (b"l", HeaderName::ContentLength),
            (b"c", HeaderName::ContentType),
            (b"o", HeaderName::Event),
            (b"f", HeaderName::From),
            (b"y", HeaderName::Identity),
            (b"r", HeaderName::ReferTo),
            (b"b", HeaderName::ReferredBy),
            (b"j", HeaderName::RejectContact),
            (b"d", HeaderName::RequestDisposition),
            (b"x", HeaderName::SessionExpires),
            (b"s", HeaderName::Subject),
            (b"k", HeaderName::Supported),
            (b"t", HeaderName::To),
            (b"v", HeaderName::Via),
            (b"V", HeaderName::Via),
        ];
        for (letter, name) in registered {
            assert_eq!(HeaderName::from_bytes(letter), Some(name));
        }
    }

    // rules: E11
    #[test]
    fn what_carries_a_message_is_the_stacks_and_what_an_application_says_is_not() {
        for name in [
            HeaderName::Via,
            HeaderName::CSeq,
            HeaderName::ContentLength,
            HeaderName::Route,
        ] {
            assert!(name.is_stack_owned(), "{name}");
        }
        for name in [
            HeaderName::Subject,
            HeaderName::Event,
            HeaderName::Priority,
            HeaderName::CallInfo,
        ] {
            assert!(!name.is_stack_owned(), "{name}");
        }
    }
}
