//! Arbitrary typed values, and the law that each of them is read back as it was written.

extern crate std;

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::wire::Method;
use crate::wire::uri::{self, Host, OtherUri, SipUri, TelUri, Uri, UserCase};

/// `token`
fn token() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9.!%*_+`'~-]{1,12}"
}

/// What may stand in quotes: anything but line breaks.
fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[ -~]{0,20}",
        "[^\r\n]{0,20}",
        "[\"\\\\<>;,@]{0,8}"
    ]
}

/// Free text on one line, without blanks at its ends.
fn line() -> impl Strategy<Value = String> {
    "[^\\p{Cc} ]([^\\p{Cc}]{0,20}[^\\p{Cc} ])?"
}

fn owned<'a>(text: String) -> Cow<'a, str> {
    Cow::Owned(text)
}

fn params() -> impl Strategy<Value = Params<'static>> {
    vec(
        (
            token(),
            option::of(prop_oneof![token(), words(), Just("[2001:db8::1]".into())]),
        ),
        0..5,
    )
    .prop_map(|list| {
        let mut params = Params::new();
        for (name, value) in list {
            match value {
                Some(value) => params.set(&name, &value),
                None => params.set_flag(&name),
            }
        }
        params
    })
}

fn tagged() -> impl Strategy<Value = Params<'static>> {
    (params(), option::of(token())).prop_map(|(mut params, tag)| {
        params.remove("tag");
        if let Some(tag) = tag {
            params.set("tag", &tag);
        }
        params
    })
}

fn host() -> impl Strategy<Value = Host<'static>> {
    prop_oneof![
        "([a-z0-9]([a-z0-9-]{0,5}[a-z0-9])?\\.){0,3}[A-Za-z]([a-z0-9-]{0,5}[a-z0-9])?\\.?"
            .prop_map(|name| Host::Name(owned(name))),
        any::<Ipv4Addr>().prop_map(Host::V4),
        any::<Ipv6Addr>().prop_map(Host::V6),
    ]
}

fn sip_uri() -> impl Strategy<Value = SipUri<'static>> {
    let user = option::of((words(), option::of("[a-zA-Z0-9&=+$,%20]{0,4}")));
    let text = || prop_oneof!["[a-z]{1,6}", words()];
    (
        any::<bool>(),
        user,
        host(),
        option::of(any::<u16>()),
        vec((text(), text()), 0..4),
        vec((text(), text()), 0..3),
    )
        .prop_map(|(secure, user, host, port, params, headers)| {
            let mut uri = SipUri::new(user.as_ref().map(|(user, _)| user.as_str()), host);
            uri.secure = secure;
            uri.port = port;
            if uri.user.is_some() {
                let password = user.and_then(|(_, password)| password);
                uri.password = password.filter(|text| !text.contains('%')).map(owned);
            }
            for (name, value) in params {
                uri.params.set(&name, &value);
            }
            for (name, value) in headers {
                uri.headers.add(&name, &value);
            }
            uri
        })
}

pub(crate) fn any_uri() -> impl Strategy<Value = Uri<'static>> {
    let tel = ("\\+?[0-9]{1,3}[0-9().-]{0,10}", option::of("[0-9]{1,4}")).prop_map(|(number, ext)| {
        let mut params = uri::UriParams::default();
        if !number.starts_with('+') {
            params.set("phone-context", "example.com");
        }
        if let Some(ext) = ext {
            params.set("ext", &ext);
        }
        Uri::Tel(TelUri {
            number: owned(number),
            params,
        })
    });
    let other = (
        "[a-z][a-z0-9+.-]{0,8}",
        "([a-z0-9;/?:@&=+$,._!~*'()-]|%[0-9A-F]{2}){1,20}",
    )
        .prop_filter("a scheme with a type", |(scheme, _)| {
            !["sip", "sips", "tel"].contains(&scheme.as_str())
        })
        .prop_map(|(scheme, rest)| {
            Uri::Other(OtherUri {
                scheme: owned(scheme),
                rest: owned(rest),
            })
        });
    prop_oneof![4 => sip_uri().prop_map(Uri::Sip), 1 => tel, 1 => other]
}

fn address() -> impl Strategy<Value = NameAddr<'static>> {
    (option::of(words()), any_uri(), tagged()).prop_map(|(display, uri, params)| NameAddr {
        display: display.map(owned),
        uri,
        params,
    })
}

fn method() -> impl Strategy<Value = Method> {
    prop_oneof![
        Just(Method::Invite),
        Just(Method::Options),
        token().prop_filter_map("a token", |text| Method::parse(text.as_bytes()))
    ]
}

fn media() -> impl Strategy<Value = MediaType<'static>> {
    (token(), token(), params()).prop_map(|(type_, subtype, params)| MediaType {
        type_: owned(format!("x{type_}")),
        subtype: owned(subtype),
        params,
    })
}

fn auth_params(raw: bool) -> impl Strategy<Value = AuthParams<'static>> {
    vec((any::<bool>(), words(), token()), 1..5).prop_map(move |list| {
        const NAMES: [&str; 5] = ["realm", "nonce", "opaque", "gssapi-data", "version"];
        let mut params = AuthParams::new();
        for ((quoted, words, token), name) in list.into_iter().zip(NAMES) {
            params = match (quoted, raw) {
                (false, _) => params.with_token(name, token),
                (true, false) => params.with_quoted(name, words),
                (true, true) => params.with_raw_quoted(name, words),
            };
        }
        params
    })
}

fn scheme_and_params() -> impl Strategy<Value = (String, AuthParams<'static>)> {
    prop_oneof![
        ("[A-Z][A-Za-z-]{0,8}", auth_params(false)).prop_filter("a raw scheme", |(scheme, _)| {
            !["NTLM", "KERBEROS", "TLS-DSK"].contains(&scheme.to_ascii_uppercase().as_str())
        }),
        (prop_oneof!["NTLM", "Kerberos", "TLS-DSK"], auth_params(true)),
    ]
}

/// Writes `value` and reads it again.
fn again<'a, H>(value: &H, buffer: &'a mut String) -> Result<(), TestCaseError>
where
    H: Header<'a> + PartialEq + core::fmt::Debug,
{
    *buffer = to_string(value);
    prop_assert!(!buffer.contains(['\r', '\n']), "a line break in {buffer:?}");
    let read = H::parse(buffer.as_str());
    prop_assert_eq!(read.as_ref(), Ok(value), "written as {}", buffer);
    Ok(())
}

macro_rules! read_back {
    ($($test:ident: $strategy:expr;)*) => {
        proptest! {
            $(#[test]
            fn $test(value in $strategy) {
                again(&value, &mut String::new())?;
            })*
        }
    };
}

type Text<'a> = Cow<'a, str>;

read_back! {
    from_is_read_back: address().prop_map(From);
    to_is_read_back: address().prop_map(To);
    contact_is_read_back: prop_oneof![Just(Contact::Star), address().prop_map(Contact::Address)];
    route_is_read_back: address().prop_map(Route);
    record_route_is_read_back: address().prop_map(RecordRoute);
    path_is_read_back: address().prop_map(Path);
    service_route_is_read_back: address().prop_map(ServiceRoute);
    refer_to_is_read_back: address().prop_map(ReferTo);
    referred_by_is_read_back: address().prop_map(ReferredBy);
    reply_to_is_read_back: address().prop_map(ReplyTo);
    asserted_identity_is_read_back: address().prop_map(PAssertedIdentity);
    preferred_identity_is_read_back: address().prop_map(PPreferredIdentity);
    via_is_read_back: (token(), host(), option::of(any::<u16>()), option::of(token()), option::of(any::<Ipv6Addr>()),
        prop_oneof![Just(None), option::of(any::<u16>()).prop_map(Some)]).prop_map(
        |(transport, host, port, branch, received, rport)| {
            let mut params = Params::new();
            if let Some(branch) = branch {
                params.set("branch", &branch);
            }
            if let Some(received) = received {
                params.set("received", &format!("{received}"));
            }
            match rport {
                Some(Some(port)) => params.set("rport", &format!("{port}")),
                Some(None) => params.set_flag("rport"),
                None => {}
            }
            Via { transport: owned(transport), host, port, params }
        });
    cseq_is_read_back: (0u32..1 << 31, method()).prop_map(|(number, method)| CSeq { number, method });
    max_forwards_is_read_back: any::<u8>().prop_map(MaxForwards);
    content_length_is_read_back: any::<u32>().prop_map(ContentLength);
    expires_is_read_back: any::<u32>().prop_map(Expires);
    min_expires_is_read_back: any::<u32>().prop_map(MinExpires);
    flow_timer_is_read_back: any::<u32>().prop_map(FlowTimer);
    rseq_is_read_back: (1u32..).prop_map(RSeq);
    rack_is_read_back: (1u32.., 0u32..1 << 31, method()).prop_map(|(response, number, method)| {
        RAck { response, number, method }
    });
    retry_after_is_read_back: (any::<u32>(), option::of("\\([a-z \u{e9}]{0,9}\\)"), params()).prop_map(
        |(seconds, comment, params)| RetryAfter { seconds, comment: comment.map(owned), params });
    timestamp_is_read_back: ("[0-9]{1,9}(\\.[0-9]{0,4})?", option::of("[0-9]{0,3}\\.[0-9]{0,4}")).prop_map(
        |(time, delay)| Timestamp { time: owned(time), delay: delay.map(owned) });
    mime_version_is_read_back: (any::<u32>(), any::<u32>()).prop_map(|(major, minor)| MimeVersion { major, minor });
    call_id_is_read_back: "[a-zA-Z0-9.!%*_+`'~()<>:\"/?{}\\[\\]\\\\-]{1,20}(@[a-z0-9.]{1,12})?"
        .prop_map(|id| CallId(owned(id)));
    in_reply_to_is_read_back: "[a-z0-9]{1,20}(@[a-z0-9.]{1,12})?".prop_map(|id| InReplyTo(owned(id)));
    supported_is_read_back: token().prop_map(owned).prop_map(Supported);
    require_is_read_back: token().prop_map(owned).prop_map(Require);
    dialog_recovery_action_is_read_back: token().prop_map(owned).prop_map(DialogRecoveryAction);
    proxy_require_is_read_back: token().prop_map(owned).prop_map(ProxyRequire);
    unsupported_is_read_back: token().prop_map(owned).prop_map(Unsupported);
    privacy_is_read_back: vec(token(), 1..4).prop_map(|values| Privacy::parse(&values.join(";")).unwrap().into_owned());
    priority_is_read_back: token().prop_map(owned).prop_map(Priority);
    etag_is_read_back: token().prop_map(owned).prop_map(SipETag);
    if_match_is_read_back: token().prop_map(owned).prop_map(SipIfMatch);
    allow_is_read_back: method().prop_map(Allow);
    content_type_is_read_back: media().prop_map(ContentType);
    accept_is_read_back: media().prop_map(Accept);
    content_encoding_is_read_back: token().prop_map(owned).prop_map(ContentEncoding);
    content_language_is_read_back: "[a-z]{1,8}(-[a-z0-9]{1,8}){0,2}".prop_map(owned).prop_map(ContentLanguage);
    content_disposition_is_read_back: (token(), params()).prop_map(|(kind, params)| {
        ContentDisposition { kind: owned(kind), params }
    });
    accept_encoding_is_read_back: (token(), params()).prop_map(|(coding, params)| {
        AcceptEncoding { coding: owned(coding), params }
    });
    accept_language_is_read_back: ("\\*|[a-z]{1,8}", params()).prop_map(|(language, params)| {
        AcceptLanguage { language: owned(language), params }
    });
    event_is_read_back: ("[a-z-]{1,9}(\\.[a-z]{1,9}){0,2}", params()).prop_map(|(package, params)| {
        Event { package: owned(package), params }
    });
    allow_events_is_read_back: "[a-z-]{1,9}(\\.[a-z]{1,9}){0,2}".prop_map(owned).prop_map(AllowEvents);
    subscription_state_is_read_back: (token(), params()).prop_map(|(state, params)| {
        SubscriptionState { state: owned(state), params }
    });
    session_expires_is_read_back: (any::<u32>(), 0..3).prop_map(|(seconds, who)| {
        SessionExpires::new(seconds, [None, Some(Refresher::Uac), Some(Refresher::Uas)][usize::try_from(who).unwrap()])
    });
    min_se_is_read_back: (any::<u32>(), params()).prop_map(|(seconds, params)| MinSe { seconds, params });
    replaces_is_read_back: ("[a-z0-9]{1,9}@[a-z]{1,9}", token(), token()).prop_map(|(call_id, to, from)| {
        Replaces::new(call_id, &to, &from)
    });
    reason_is_read_back: (token(), params()).prop_map(|(protocol, params)| {
        Reason { protocol: owned(protocol), params }
    });
    keep_alive_is_read_back: (token(), params()).prop_map(|(role, params)| MsKeepAlive { role: owned(role), params });
    presence_state_is_read_back: (token(), params()).prop_map(|(action, mut params)| {
        params.set_quoted("register-action", &action);
        PresenceState { params }
    });
    diagnostics_is_read_back: (any::<u32>(), words()).prop_map(|(id, reason)| MsDiagnostics::new(id, &reason));
    diagnostics_public_is_read_back: (any::<u32>(), params()).prop_map(|(id, params)| MsDiagnosticsPublic { id, params });
    client_diagnostics_is_read_back: (any::<u32>(), params()).prop_map(|(id, params)| MsClientDiagnostics { id, params });
    subject_is_read_back: line().prop_map(|text| Subject::new(text).unwrap());
    organization_is_read_back: line().prop_map(|text| Organization::new(text).unwrap());
    user_agent_is_read_back: line().prop_map(|text| UserAgent::new(text).unwrap());
    server_is_read_back: line().prop_map(|text| Server::new(text).unwrap());
    warning_is_read_back: (0u16..1000, token(), words()).prop_map(|(code, agent, text)| {
        Warning { code, agent: owned(agent), text: owned(text) }
    });
    alert_info_is_read_back: (any_uri(), params()).prop_map(|(uri, params)| AlertInfo { uri, params });
    call_info_is_read_back: (any_uri(), params()).prop_map(|(uri, params)| CallInfo { uri, params });
    error_info_is_read_back: (any_uri(), params()).prop_map(|(uri, params)| ErrorInfo { uri, params });
    date_is_read_back: (0u64..253_402_300_800).prop_map(|seconds| Date::from_unix(seconds).unwrap());
    www_authenticate_is_read_back: scheme_and_params().prop_map(|(scheme, params)| {
        WwwAuthenticate(Challenge { scheme: owned(scheme), params })
    });
    proxy_authenticate_is_read_back: scheme_and_params().prop_map(|(scheme, params)| {
        ProxyAuthenticate(Challenge { scheme: owned(scheme), params })
    });
    authorization_is_read_back: scheme_and_params().prop_map(|(scheme, params)| {
        Authorization(Credentials { scheme: owned(scheme), params })
    });
    proxy_authorization_is_read_back: scheme_and_params().prop_map(|(scheme, params)| {
        ProxyAuthorization(Credentials { scheme: owned(scheme), params })
    });
    authentication_info_is_read_back: scheme_and_params().prop_map(|(scheme, params)| {
        AuthenticationInfo(AuthInfo { scheme: Some(owned(scheme)), params })
    });
    authentication_info_without_scheme_is_read_back: auth_params(false).prop_map(|params| {
        AuthenticationInfo(AuthInfo { scheme: None, params })
    });
    proxy_authentication_info_is_read_back: scheme_and_params().prop_map(|(scheme, params)| {
        ProxyAuthenticationInfo(AuthInfo { scheme: Some(owned(scheme)), params })
    });
}

/// Text that is likely to get far into a parser.
fn nearly_a_value() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "sip:",
        "sips:",
        "tel:",
        "SIP/2.0/TCP ",
        "\"",
        "\\\\",
        "<",
        ">",
        ";",
        "=",
        ",",
        "@",
        ":",
        "\\?",
        "&",
        "%",
        "%41",
        "\\[::1\\]",
        "\\(",
        "\\)",
        " ",
        "\t",
        "\\*",
        "tag",
        "branch",
        "NTLM ",
        "Digest ",
        "realm",
        "q=0.5",
        "4294967296",
        "[0-9]{1,4}",
        "[a-z]{1,4}",
        ".",
    ];
    prop_oneof![
        any::<String>(),
        vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    ]
}

proptest! {
    // No input makes a parser panic, and whatever a type takes it also takes from its own writing, with one result.
    #[test]
    fn any_text_is_refused_or_settles(text in nearly_a_value()) {
        for name in HeaderName::ALL {
            if let Some(Ok(once)) = rewrite(*name, &text) {
                let twice = rewrite(*name, &once).unwrap();
                prop_assert_eq!(twice, Ok(once), "{} {:?}", name, text);
            }
        }
    }

    #[test]
    fn any_text_is_no_uri_or_settles(text in nearly_a_value()) {
        if let Ok(uri) = Uri::parse(&text) {
            let once = format!("{uri}");
            let read = Uri::parse(&once);
            prop_assert_eq!(read.as_ref(), Ok(&uri));
            prop_assert!(uri::equal(&uri, &uri, UserCase::Sensitive));
        }
        let _ = Host::parse(&text);
        let _ = Params::parse(HeaderName::Contact, &text);
    }

    #[test]
    fn uris_are_read_back(value in any_uri()) {
        let text = format!("{value}");
        prop_assert_eq!(Uri::parse(&text), Ok(value));
    }

    // rules: E9
    #[test]
    fn what_is_equal_has_one_key(a in any_uri(), b in any_uri()) {
        for case in [UserCase::Sensitive, UserCase::Insensitive] {
            prop_assert!(uri::equal(&a, &a, case));
            prop_assert_eq!(uri::equal(&a, &b, case), uri::equal(&b, &a, case));
        }
        if uri::equal(&a, &b, UserCase::Insensitive) {
            prop_assert_eq!(uri::canonical_key(&a), uri::canonical_key(&b));
        }
    }

    #[test]
    fn a_user_part_means_what_it_was_made_of(user in words()) {
        let uri = SipUri::new(Some(&user), Host::V4(Ipv4Addr::LOCALHOST));
        match uri.user_unescaped() {
            Some(read) => prop_assert_eq!(read, user),
            None => prop_assert!(user.is_empty()),
        }
    }

    #[test]
    fn the_source_of_a_request_is_found_in_its_via(source in any::<SocketAddr>(), asked in any::<bool>()) {
        let mut via = Via::parse("SIP/2.0/TCP host.example.com;branch=z9hG4bK1").unwrap();
        if asked {
            via.params.set_flag("rport");
        }
        via.note_source(source);
        let text = to_string(&via);
        let via = Via::parse(&text).unwrap();
        prop_assert_eq!(via.received(), Some(source.ip()));
        prop_assert_eq!(via.rport(), asked.then_some(Some(source.port())));
    }

    #[test]
    fn a_parameter_that_is_set_is_found(list in vec((token(), words()), 0..8)) {
        let mut params = Params::new();
        for (name, value) in &list {
            params.set(name, value);
        }
        let names: Vec<Text<'_>> = list.iter().map(|(name, _)| Text::Borrowed(name.as_str())).collect();
        for (at, (name, value)) in list.iter().enumerate() {
            let later = names.iter().skip(at + 1).any(|other| other.eq_ignore_ascii_case(name));
            if !later {
                let read = params.get(name);
                prop_assert_eq!(read.as_deref(), Some(value.as_str()));
            }
        }
        for name in &names {
            params.remove(name);
        }
        prop_assert!(params.is_empty());
    }
}
