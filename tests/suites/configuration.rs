//! The reference of what can be set (`sansip::configuration`) has every field, and the defaults that hold.

#![allow(clippy::unwrap_used, reason = "in a suite, a panic is a failed test")]

use std::fmt;
use std::time::Duration;

use sansip::wire::MessageLimits;
use sansip::{
    AllowedProtocols, AssociationPolicy, Config, Limits, ManagerConfig, ManagerKind, MutualTls,
    PeerToPeerConfig, Profile, SipEndpointConfig,
};

/// Takes a value apart, so that no field is forgotten, and compares what each is with the rows of the page.
macro_rules! has_rows {
    ($value:expr, $type:ident { $($field:ident: $shown:expr,)+ }) => {{
        let $type { $($field),+ } = $value;
        let fields = [$((stringify!($field).to_owned(), $shown)),+];
        assert_eq!(fields.to_vec(), rows(stringify!($type)));
    }};
}

/// Field and default of each row of the section of a type.
fn rows(type_name: &str) -> Vec<(String, String)> {
    let page = include_str!("../../core/src/configuration.md");
    let is_heading = |line: &&str| line.starts_with('#');
    let heading = format!("::{type_name})");
    page.lines()
        .skip_while(|line| !(is_heading(line) && line.ends_with(&heading)))
        .skip(1)
        .take_while(|line| !is_heading(line))
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            let (field, default) = (cells.next()?.trim_end_matches('`'), cells.next()?);
            Some((field.to_owned(), default.to_owned()))
        })
        .collect()
}

fn time(value: Duration) -> String {
    match value.subsec_millis() {
        0 => format!("{} s", value.as_secs()),
        _ => format!("{} ms", value.as_millis()),
    }
}

/// With commas between thousands.
fn number(value: usize) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn optional<T: fmt::Debug>(value: Option<T>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| format!("{value:?}"))
}

fn list<T: fmt::Display>(values: &[T]) -> String {
    let texts: Vec<String> = values.iter().map(ToString::to_string).collect();
    if texts.is_empty() {
        "none".to_owned()
    } else {
        texts.join(", ")
    }
}

/// What is described in its own section.
fn below<T: PartialEq + fmt::Debug>(value: &T, default: &T) -> String {
    assert_eq!(value, default);
    "as below".to_owned()
}

/// What its owner has to name.
fn given<T: PartialEq + fmt::Debug>(value: &T, given: &T) -> String {
    assert_eq!(value, given);
    "to be given".to_owned()
}

#[test]
fn every_setting_of_a_stack_is_there_with_its_default() {
    has_rows!(
        Config::default(),
        Config {
            limits: below(&limits, &Limits::default()),
            t1: time(t1),
            t2: time(t2),
            t4: time(t4),
            connect_timeout: time(connect_timeout),
            resolve_timeout: time(resolve_timeout),
            linger: time(linger),
            unproven: time(unproven),
            idle_incoming: time(idle_incoming),
            idle_outgoing: time(idle_outgoing),
            pong_timeout: time(pong_timeout),
            write_timeout: time(write_timeout),
            probe_interval: time(probe_interval),
            pool_size: number(pool_size),
            dead_address_hold: time(dead_address_hold),
            retry_after_cap: time(retry_after_cap),
            answer_timeout: time(answer_timeout),
            authorization_timeout: time(authorization_timeout),
            min_session_expires: time(min_session_expires),
            referral_expires: time(referral_expires),
            max_connect_duration: time(max_connect_duration),
            register_expires: time(register_expires),
            subscribe_expires: time(subscribe_expires),
            reconnect_jitter: time(reconnect_jitter),
            backoff_min: time(backoff_min),
            backoff_max: time(backoff_max),
            route_recovery_limit: time(route_recovery_limit),
            refresh_floor: time(refresh_floor),
            user_agent: format!("`{}`", user_agent.replace(env!("CARGO_PKG_VERSION"), "VERSION")),
            strict_dispatch: strict_dispatch.to_string(),
            local_host_name: optional(local_host_name),
            connection_throttle: optional(connection_throttle),
            message_throttle: optional(message_throttle),
        }
    );
}

#[test]
fn every_limit_is_there_with_its_default() {
    has_rows!(
        Limits::default(),
        Limits {
            message: below(&message, &MessageLimits::default()),
            send_queue: number(send_queue),
            connections: number(connections),
            transactions: number(transactions),
            sessions: number(sessions),
            subscriptions: number(subscriptions),
            publications: number(publications),
            forks: number(forks),
            operations: number(operations),
            pending_per_session: number(pending_per_session),
            redirects: number(redirects),
            referrals: number(referrals),
            events: number(events),
            endpoints: number(endpoints),
            dns_cache: number(dns_cache),
            unauthorized: number(unauthorized),
            learned_hosts: number(learned_hosts),
            certificate_entries: number(certificate_entries),
            attempts: number(attempts),
            outstanding: number(outstanding),
            targets: number(targets),
        }
    );
    has_rows!(
        MessageLimits::default(),
        MessageLimits {
            header_block: number(header_block),
            headers: number(headers),
            body: number(body),
        }
    );
}

#[test]
fn every_setting_of_a_manager_is_there_with_its_default() {
    has_rows!(
        ManagerConfig::new(ManagerKind::ServerTls),
        ManagerConfig {
            kind: given(&kind, &ManagerKind::ServerTls),
            mutual_tls: format!("{mutual_tls:?}"),
            pool_size: optional(pool_size),
            required_key_usages: list(&required_key_usages),
            authorizes: authorizes.to_string(),
            idle_incoming: optional(idle_incoming),
            idle_outgoing: optional(idle_outgoing),
        }
    );
    assert_eq!(MutualTls::default(), MutualTls::Off);
}

#[test]
fn every_setting_of_an_endpoint_is_there_with_its_default() {
    let alice = "sip:alice@one.invalid".to_owned();
    has_rows!(
        SipEndpointConfig::new(alice.clone()),
        SipEndpointConfig {
            uri: given(&uri, &alice),
            epid: optional(epid),
            instance: optional(instance),
            server: optional(server),
            transport: format!("{transport:?}"),
            manager: optional(manager),
            credentials: optional(credentials.first()),
            default_credential: default_credential.to_string(),
            protocols: {
                assert_eq!(protocols, AllowedProtocols::all());
                "all".to_owned()
            },
            association: below(&association, &AssociationPolicy::default()),
            auto_refresh: auto_refresh.to_string(),
            expires: optional(expires),
            probe: optional(probe),
            redirects: number(redirects.into()),
            profile: below(&profile, &Profile::default()),
        }
    );
    has_rows!(
        PeerToPeerConfig::new(alice.clone()),
        PeerToPeerConfig {
            uri: given(&uri, &alice),
            epid: optional(epid),
            gruu: optional(gruu),
            manager: optional(manager),
            outbound_proxy: optional(outbound_proxy),
            default_transport: format!("{default_transport:?}"),
            profile: below(&profile, &Profile::default()),
        }
    );
    has_rows!(
        AssociationPolicy::default(),
        AssociationPolicy {
            strict: strict.to_string(),
            least_version: number(least_version.into()),
            without_tls: without_tls.to_string(),
            unchallenging: unchallenging.to_string(),
        }
    );
    has_rows!(
        Profile::default(),
        Profile {
            display_name: optional(display_name),
            user_agent: optional(user_agent),
            option_tags: list(&option_tags),
            methods: list(&methods),
            content_types: list(&content_types),
            redirects: redirects.to_string(),
            session_timer: optional(session_timer),
            feature_parameters: optional(feature_parameters.first()),
            headers: optional(headers.first()),
            retry_after: retry_after.to_string(),
            reliable_responses: format!("{reliable_responses:?}"),
            route_recovery: format!("{route_recovery:?}"),
        }
    );
}
