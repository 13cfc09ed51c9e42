//! What is signed of a message by Microsoft's schemes (MS-SIPAE, MS-SIP section 3.1.4.2): a few values of it, each in
//! angle brackets, exactly as they stand in its bytes. The body and all other fields are not protected.
//!
//! ```text
//!       version 2        versions 3 and 4
//!    1  scheme           scheme
//!    2  crand or srand   crand or srand
//!    3  cnum or snum     cnum or snum
//!    4  realm            realm
//!    5  targetname       targetname
//!    6  Call-ID          Call-ID
//!    7  CSeq number      CSeq number
//!    8  CSeq method      CSeq method
//!    9  From URI         From URI
//!   10  From tag         From tag
//!   11                   To URI
//!   12  To tag           To tag
//!   13                   identity: first SIP URI
//!   14                   identity: first tel URI
//!   15  Expires          Expires
//!   16  status code      status code          (a response only)
//! ```
//!
//! The identity is P-Asserted-Identity, else P-Preferred-Identity. What is absent is empty brackets. Addresses are cut
//! where the typed header fields of `wire` cut them: what is verified is what is acted on.

use alloc::vec::Vec;
use core::fmt;

use super::ms::Scheme;
use crate::wire::header::{Elements, written};
use crate::wire::{HeaderName, Message};

/// Which values are signed, by the `version` of a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// Live Communications Server 2005: a challenge without version.
    V2,
    /// More values than in version 2.
    V3,
    /// As version 3, and the request with the final token is signed already.
    V4,
}

impl Version {
    /// The number of it.
    pub const fn number(self) -> u32 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
            Self::V4 => 4,
        }
    }

    /// What to speak with a server that says this number: the highest known here that is not above it. `None` below 2.
    pub const fn at_most(number: u32) -> Option<Self> {
        match number {
            0 | 1 => None,
            2 => Some(Self::V2),
            3 => Some(Self::V3),
            4.. => Some(Self::V4),
        }
    }

    /// Whether the request with the final token of a handshake is signed.
    pub const fn signs_final_token(self) -> bool {
        matches!(self, Self::V4)
    }
}

/// What is signed besides the message: the parameters of the header field that carries the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp<'a> {
    /// The scheme of the association.
    pub scheme: Scheme,
    /// `crand` or `srand`, as written.
    pub random: &'a str,
    /// `cnum` or `snum`.
    pub number: u32,
    /// The realm, as written.
    pub realm: &'a str,
    /// The target name, as written.
    pub target: &'a str,
}

/// Why a message cannot be signed or verified: what is signed of it does not stand in it once and plainly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SigningError {
    /// The header field.
    pub field: HeaderName,
    /// What is wrong with it, in a few words for people.
    pub what: &'static str,
}

impl fmt::Display for SigningError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.what)
    }
}

impl core::error::Error for SigningError {}

/// Puts what is signed of `message` into `out`, in place of what is in it. `message` is read from the bytes that are
/// sent or were received; the header field with the signature itself may be in it or not.
///
/// # Errors
/// A field that is signed is not UTF-8, repeated or malformed, or one that every message has is missing.
pub fn buffer(
    out: &mut Vec<u8>,
    version: Version,
    stamp: &Stamp<'_>,
    message: &Message,
) -> Result<(), SigningError> {
    let call_id = needed(message, HeaderName::CallId)?;
    let (number, method) = cseq(needed(message, HeaderName::CSeq)?)?;
    let (from, from_tag) = address(HeaderName::From, needed(message, HeaderName::From)?)?;
    let (to, to_tag) = address(HeaderName::To, needed(message, HeaderName::To)?)?;
    let expires = single(message, HeaderName::Expires)?.unwrap_or_default();

    out.clear();
    value(out, stamp.scheme.token());
    value(out, stamp.random);
    decimal(out, stamp.number);
    for text in [stamp.realm, stamp.target, call_id, number, method, from, from_tag] {
        value(out, text);
    }
    if version == Version::V2 {
        value(out, to_tag);
    } else {
        let identity = asserted(message)?;
        for text in [to, to_tag, identity.sip, identity.tel] {
            value(out, text);
        }
    }
    value(out, expires);
    if let Some(status) = message.status() {
        decimal(out, u32::from(status.code()));
    }
    Ok(())
}

fn value(out: &mut Vec<u8>, text: &str) {
    out.push(b'<');
    out.extend_from_slice(text.as_bytes());
    out.push(b'>');
}

fn decimal(out: &mut Vec<u8>, number: u32) {
    // The most that 32 bits have.
    let mut digits = [0u8; 10];
    let mut rest = number;
    let mut begins = digits.len();
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        begins = at;
        if rest == 0 {
            break;
        }
    }
    out.push(b'<');
    out.extend_from_slice(digits.get(begins..).unwrap_or_default());
    out.push(b'>');
}

/// The value of a field that is there at most once.
fn single(message: &Message, field: HeaderName) -> Result<Option<&str>, SigningError> {
    let error = |what| SigningError { field, what };
    let mut values = message.raw_all(field);
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(error("repeated"));
    }
    core::str::from_utf8(value)
        .map(Some)
        .map_err(|_| error("not UTF-8"))
}

fn needed(message: &Message, field: HeaderName) -> Result<&str, SigningError> {
    single(message, field)?.ok_or(SigningError {
        field,
        what: "missing",
    })
}

/// Number and method, as written.
fn cseq(value: &str) -> Result<(&str, &str), SigningError> {
    let mut parts = value.split([' ', '\t']).filter(|part| !part.is_empty());
    match (parts.next(), parts.next(), parts.next()) {
        (Some(number), Some(method), None) => Ok((number, method)),
        _ => Err(SigningError {
            field: HeaderName::CSeq,
            what: "not a number and a method",
        }),
    }
}

/// The URI and the tag of an address, as written; the tag may be absent.
fn address(field: HeaderName, value: &str) -> Result<(&str, &str), SigningError> {
    let (uri, tag) = written(value, "tag").map_err(|what| SigningError { field, what })?;
    Ok((uri, tag.unwrap_or_default()))
}

/// The URIs of a user that a server vouches for, or that a client would have it vouch for, as written. Empty where there
/// is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asserted<'a> {
    /// The first `sip:` or `sips:` URI.
    pub sip: &'a str,
    /// The first `tel:` URI.
    pub tel: &'a str,
}

/// P-Asserted-Identity of a message, else its P-Preferred-Identity (RFC 3325); a field that is repeated is one list.
///
/// # Errors
/// One of its addresses is not UTF-8, or malformed.
pub fn asserted(message: &Message) -> Result<Asserted<'_>, SigningError> {
    let fields = [HeaderName::PAssertedIdentity, HeaderName::PPreferredIdentity];
    let Some(field) = fields.into_iter().find(|field| message.raw(*field).is_some()) else {
        return Ok(Asserted::default());
    };
    let error = |what| SigningError { field, what };
    let mut found = Asserted::default();
    for line in message.raw_all(field) {
        let line = core::str::from_utf8(line).map_err(|_| error("not UTF-8"))?;
        for element in Elements::new(line, true) {
            let (uri, _) = written(element, "").map_err(error)?;
            let place = if is_of(uri, "sip:") || is_of(uri, "sips:") {
                &mut found.sip
            } else if is_of(uri, "tel:") {
                &mut found.tel
            } else {
                continue;
            };
            if place.is_empty() {
                *place = uri;
            }
        }
    }
    Ok(found)
}

fn is_of(uri: &str, scheme: &str) -> bool {
    uri.get(..scheme.len())
        .is_some_and(|begins| begins.eq_ignore_ascii_case(scheme))
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::wire::MessageLimits;

    const STAMP: Stamp<'static> = Stamp {
        scheme: Scheme::Ntlm,
        random: "0878F41b",
        number: 7,
        realm: "SIP Communications Service",
        target: "fe.example.com",
    };

    fn message(text: &str) -> Message {
        let text = text.replace('\n', "\r\n");
        Message::parse(Bytes::from(text), &MessageLimits::default()).unwrap()
    }

    fn request(fields: &str) -> Message {
        message(&format!(
            "INVITE sip:b@example.com SIP/2.0\n{fields}Content-Length: 0\n\n"
        ))
    }

    /// With the fields that have to be there.
    fn request_with(fields: &str) -> Message {
        request(&format!(
            "From: <sip:a@example.com>;tag=1\nTo: <sip:b@example.com>\nCall-ID: c\nCSeq: 2 INVITE\n{fields}"
        ))
    }

    fn read(version: Version, message: &Message) -> Result<String, SigningError> {
        let mut out = Vec::from(*b"what was there");
        buffer(&mut out, version, &STAMP, message)?;
        Ok(String::from_utf8(out).unwrap())
    }

    const BEGINS: &str = "<NTLM><0878F41b><7><SIP Communications Service><fe.example.com>";

    // MS-SIP section 3.1.4.2, MS-SIPAE section 3.2.5.2: the values in their order; versions 3 and 4 have three more.
    // rules: A4
    #[test]
    fn what_each_version_signs() {
        let fields = "From: \"A\" <sip:a@Example.com;x=1>;epid=0a;tag=From1\nTo: <sip:b@example.com>;tag=To1;epid=0b\n\
            Call-ID: call@1\nCSeq: 0042 INVITE\nExpires: 300\n\
            P-Asserted-Identity: <sip:a@example.com>, <tel:+1555;ext=2>\n";
        let head = "<call@1><0042><INVITE><sip:a@Example.com;x=1><From1>";
        let wide = "<sip:b@example.com><To1><sip:a@example.com><tel:+1555;ext=2><300>";
        let response = message(&format!("SIP/2.0 486 Busy\n{fields}\n"));
        for version in [Version::V3, Version::V4] {
            assert_eq!(
                read(version, &request(fields)),
                Ok(format!("{BEGINS}{head}{wide}"))
            );
            assert_eq!(read(version, &response), Ok(format!("{BEGINS}{head}{wide}<486>")));
        }
        assert_eq!(
            read(Version::V2, &request(fields)),
            Ok(format!("{BEGINS}{head}<To1><300>"))
        );
        assert_eq!(
            read(Version::V2, &response),
            Ok(format!("{BEGINS}{head}<To1><300><486>"))
        );
    }

    // A request has no place for a status code at all.
    // rules: A4
    #[test]
    fn what_is_absent_is_empty() {
        let message = request("f: sip:a@x\nt: sip:b@x;tag=9\ni: c\nCSeq: 2 \t INVITE\n");
        let expected = format!("{BEGINS}<c><2><INVITE><sip:a@x><><sip:b@x><9><><><>");
        assert_eq!(read(Version::V4, &message), Ok(expected));
        assert_eq!(
            read(Version::V2, &message),
            Ok(format!("{BEGINS}<c><2><INVITE><sip:a@x><><9><>"))
        );
    }

    // rules: A4
    #[test]
    fn addresses_are_cut_as_they_stand() {
        let known = [
            ("<SIP:A@EXAMPLE.com>;TAG=x", "<SIP:A@EXAMPLE.com><x>"),
            ("\"<sip:no@x>;tag=no\" <sip:a@x>; tag = y ;q", "<sip:a@x><y>"),
            ("\"a \\\" <b\" <sip:a@x>;tag=y", "<sip:a@x><y>"),
            (
                "A B <sip:a@x;tag=uri>;z=\";tag=no\";tag=y",
                "<sip:a@x;tag=uri><y>",
            ),
            ("sip:a@x;tag=y", "<sip:a@x><y>"),
            ("<sip:%41@x?h=v>;tag=y", "<sip:%41@x?h=v><y>"),
        ];
        for (from, expected) in known {
            let message = request(&format!(
                "From: {from}\nTo: <sip:b@x>\nCall-ID: c\nCSeq: 2 INVITE\n"
            ));
            let expected = format!("{BEGINS}<c><2><INVITE>{expected}<><>");
            assert_eq!(read(Version::V2, &message), Ok(expected), "{from}");
        }
    }

    // RFC 3325 section 9.1: at most one SIP and one tel URI, on one line or two; ours is asked for with the other field.
    // rules: A4
    #[test]
    fn identities() {
        let known = [
            (
                "P-Asserted-Identity: <sip:a@x>\nP-Asserted-Identity: tel:+1\n",
                "<sip:a@x><tel:+1>",
            ),
            ("P-Preferred-Identity: \"x, y\" <SIPS:a@x>\n", "<SIPS:a@x><>"),
            (
                "P-Preferred-Identity: <sip:no@x>\nP-Asserted-Identity: tel:+1;ext=3\n",
                "<><tel:+1>",
            ),
            (
                "P-Asserted-Identity: <sip:a@x>, <sip:b@x>, <tel:1>, <tel:2>\n",
                "<sip:a@x><tel:1>",
            ),
            ("P-Asserted-Identity: <urn:x:y>, <sip:b@x>\n", "<sip:b@x><>"),
            ("P-Asserted-Identity:\n", "<><>"),
        ];
        for (fields, expected) in known {
            let found = read(Version::V4, &request_with(fields));
            let expected =
                format!("{BEGINS}<c><2><INVITE><sip:a@example.com><1><sip:b@example.com><>{expected}<>");
            assert_eq!(found, Ok(expected), "{fields}");
        }
    }

    // What could be read in two ways is not signed, and not verified.
    // rules: A4
    #[test]
    fn what_is_missing_repeated_or_malformed_is_refused() {
        let good = [
            "From: <sip:a@x>;tag=1\n",
            "To: <sip:b@x>\n",
            "Call-ID: c\n",
            "CSeq: 2 INVITE\n",
            "Expires: 3\n",
        ];
        let names = [
            HeaderName::From,
            HeaderName::To,
            HeaderName::CallId,
            HeaderName::CSeq,
            HeaderName::Expires,
        ];
        assert!(read(Version::V4, &request(&good.concat())).is_ok());
        for (at, field) in names.into_iter().enumerate() {
            let mut fields = Vec::from(good);
            fields.push(good[at]);
            let refused = read(Version::V4, &request(&fields.concat()));
            assert_eq!(
                refused,
                Err(SigningError {
                    field,
                    what: "repeated"
                })
            );
            if field != HeaderName::Expires {
                let mut fields = Vec::from(good);
                fields.remove(at);
                let refused = read(Version::V4, &request(&fields.concat()));
                assert_eq!(
                    refused,
                    Err(SigningError {
                        field,
                        what: "missing"
                    })
                );
            }
        }
        let bad = [
            ("CSeq: 2 INVITE", "CSeq: 2"),
            ("CSeq: 2 INVITE", "CSeq: 2 INVITE x"),
            ("From: <sip:a@x>;tag=1", "From: <sip:a@x"),
            ("From: <sip:a@x>;tag=1", "From: <sip:a@x>;tag=1;tag=2"),
            ("To: <sip:b@x>", "To: <sip:b@x> x"),
            ("Expires: 3", "P-Asserted-Identity: <sip:a@x"),
        ];
        for (part, instead) in bad {
            let fields = good.concat().replace(part, instead);
            assert!(read(Version::V4, &request(&fields)).is_err(), "{instead}");
        }
        let error = SigningError {
            field: HeaderName::CSeq,
            what: "missing",
        };
        assert_eq!(format!("{error}"), "CSeq: missing");
    }

    // rules: A4
    #[test]
    fn versions() {
        let known = [
            None,
            None,
            Some(Version::V2),
            Some(Version::V3),
            Some(Version::V4),
            Some(Version::V4),
        ];
        for (number, version) in (0..).zip(known) {
            assert_eq!(Version::at_most(number), version);
        }
        assert_eq!(Version::at_most(u32::MAX), Some(Version::V4));
        for version in [Version::V2, Version::V3, Version::V4] {
            assert_eq!(Version::at_most(version.number()), Some(version));
            assert_eq!(version.signs_final_token(), version == Version::V4);
        }
    }

    proptest! {
        // rules: A4
        #[test]
        fn numbers_are_written_as_they_are(number: u32) {
            let stamp = Stamp { number, ..STAMP };
            let mut out = Vec::new();
            buffer(&mut out, Version::V4, &stamp, &request_with("")).unwrap();
            let expected = format!("<NTLM><0878F41b><{number}><SIP");
            prop_assert!(out.starts_with(expected.as_bytes()));
        }

        // What is cut out for signing is what the typed field holds.
        // rules: A4
        #[test]
        fn what_is_signed_is_what_is_acted_on(from in "(\"[^\"\\\\\r\n]{0,9}\" ?)?<?sip:[a-z<>;=@]{1,12}>?( ?; ?(tag|TAG|x)( ?= ?[a-z\"]{1,4})?){0,3}") {
            use crate::wire::header::{From, Header};
            let cut = written(&from, "tag");
            if let Ok(typed) = From::parse(&from) {
                let (uri, tag) = cut.unwrap();
                let uri = crate::wire::uri::Uri::parse(uri).unwrap();
                prop_assert_eq!(&uri, &typed.uri);
                prop_assert_eq!(tag, typed.tag());
            }
        }
    }
}
