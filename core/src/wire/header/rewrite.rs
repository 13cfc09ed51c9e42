//! Any field the stack has a type for, through that type and back.

use alloc::string::String;

use super::*;

fn single<'a, H: Header<'a>>(value: &'a str) -> Result<String, ParseError> {
    H::parse(value).map(|value| to_string(&value))
}

fn list<'a, H: ListHeader<'a>>(value: &'a str) -> Result<String, ParseError> {
    let mut out = String::new();
    for (at, value) in H::parse_list(value).enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        value?.write(&mut out);
    }
    Ok(out)
}

/// Reads one line of a field by its type and writes it again; `None` for fields that have no type here.
///
/// # Errors
/// A value that its type refuses.
#[expect(
    elided_lifetimes_in_paths,
    reason = "the macro names types with and without a lifetime alike"
)]
pub fn rewrite(name: HeaderName, value: &str) -> Option<Result<String, ParseError>> {
    macro_rules! by_type {
        (single: $($single:ident)*; list: $($list:ident)*;) => {
            match name {
                $(HeaderName::$single => Some(single::<$single>(value)),)*
                $(HeaderName::$list => Some(list::<$list>(value)),)*
                HeaderName::AcceptContact
                | HeaderName::HistoryInfo
                | HeaderName::Identity
                | HeaderName::Join
                | HeaderName::MsApplicationAor
                | HeaderName::PDialogRecoveryAction
                | HeaderName::RejectContact
                | HeaderName::RequestDisposition
                | HeaderName::TargetDialog => None,
            }
        };
    }
    by_type! {
        single: CallId ContentDisposition ContentLength ContentType CSeq Date Event Expires FlowTimer From MaxForwards
            MimeVersion MinExpires MinSe MsClientDiagnostics MsDiagnostics MsDiagnosticsPublic MsKeepAlive
            Organization PresenceState Priority Privacy RAck ReferTo ReferredBy Replaces ReplyTo RetryAfter RSeq Server
            SessionExpires SipETag SipIfMatch Subject SubscriptionState Timestamp To UserAgent;
        list: Accept AcceptEncoding AcceptLanguage AlertInfo Allow AllowEvents AuthenticationInfo Authorization
            CallInfo Contact ContentEncoding ContentLanguage ErrorInfo InReplyTo PAssertedIdentity
            PPreferredIdentity Path ProxyAuthenticate ProxyAuthenticationInfo ProxyAuthorization ProxyRequire Reason
            RecordRoute Require Route ServiceRoute Supported Unsupported Via Warning WwwAuthenticate;
    }
}
