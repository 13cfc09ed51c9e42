//! Typed header values: parsed on demand, borrowed from the message, written back equal.
//!
//! [`Header`] is one field value; [`ListHeader`] one element of a field that may hold several. Fields that share a
//! shape share a file: addresses, `Via`, numbers, tokens, media types, authentication, events, sessions, Microsoft's
//! extensions, free text.

mod addr;
#[cfg(test)]
mod arbitrary;
mod auth;
mod event;
mod media;
mod ms;
mod numeric;
mod params;
mod rewrite;
mod session;
mod text;
mod token;
mod via;

pub(crate) use addr::written;
pub use addr::{
    Contact, From, NameAddr, PAssertedIdentity, PPreferredIdentity, Path, RecordRoute, ReferTo, ReferredBy,
    ReplyTo, Route, ServiceRoute, To,
};
pub use auth::{
    AuthInfo, AuthParam, AuthParams, AuthenticationInfo, Authorization, Challenge, Credentials,
    ProxyAuthenticate, ProxyAuthenticationInfo, ProxyAuthorization, WwwAuthenticate,
};
pub use event::{AllowEvents, Event, SubscriptionState};
pub use media::{
    Accept, AcceptEncoding, AcceptLanguage, ContentDisposition, ContentEncoding, ContentLanguage,
    ContentType, MediaType,
};
pub use ms::{MsClientDiagnostics, MsDiagnostics, MsDiagnosticsPublic, MsKeepAlive, PresenceState};
pub use numeric::{
    CSeq, ContentLength, Expires, FlowTimer, MaxForwards, MimeVersion, MinExpires, RAck, RSeq, RetryAfter,
    Timestamp,
};
pub use params::{Param, Params, Value};
pub use rewrite::rewrite;
pub use session::{MinSe, Reason, Refresher, Replaces, SessionExpires};
pub use text::{AlertInfo, CallInfo, Date, ErrorInfo, Organization, Server, Subject, UserAgent, Warning};
pub use token::{
    Allow, CallId, DialogRecoveryAction, InReplyTo, Priority, Privacy, ProxyRequire, Require, SipETag,
    SipIfMatch, Supported, Unsupported,
};
pub use via::Via;

pub use super::grammar::Elements;

use alloc::string::String;

use super::HeaderName;
use crate::error::ParseError;

/// A header field value with a type.
///
/// `parse` takes the value as it stands after the colon, on one line (a [`Message`](super::Message) has unfolded it);
/// blanks at its ends do not matter. What [`write`](Self::write) puts out is read back equal.
pub trait Header<'a>: Sized {
    /// The field this is the value of.
    const NAME: HeaderName;

    /// Reads a value.
    ///
    /// # Errors
    /// Text outside the grammar of the field, or a number outside its range.
    fn parse(value: &'a str) -> Result<Self, ParseError>;

    /// Appends the value, without the name of the field and without a line end.
    fn write(&self, out: &mut String);
}

/// A field that may hold several values, on one line or on several (RFC 3261 section 7.3.1). `parse` reads one.
pub trait ListHeader<'a>: Header<'a> {
    /// Whether the field may be there with no value at all (`Supported:`).
    const MAY_BE_EMPTY: bool = false;

    /// The elements of one field line, not parsed yet.
    ///
    /// Challenges and credentials have commas of their own: each of their lines is one element.
    fn elements(value: &'a str) -> Elements<'a> {
        Elements::new(value, Self::MAY_BE_EMPTY)
    }

    /// The values of one field line.
    fn parse_list(value: &'a str) -> impl Iterator<Item = Result<Self, ParseError>> {
        Self::elements(value).map(Self::parse)
    }
}

/// Writes `value` to a new string.
pub fn to_string<'a>(value: &impl Header<'a>) -> String {
    let mut out = String::new();
    value.write(&mut out);
    out
}

/// A value as a field that an application adds to what it sends: [`ExtraHeaders`](crate::ExtraHeaders) is a list of them.
pub fn field<'a, H: Header<'a>>(value: &H) -> (String, String) {
    (String::from(H::NAME.as_str()), to_string(value))
}
