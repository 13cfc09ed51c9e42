//! `sansip serve`: the laboratory's front end as a program.

use std::time::Duration;

use sansip_mio::{seed, unix_time};
use sansip_net::TlsServerConfig;
use sansip_testkit::frontend::{FrontEnd, FrontEndConfig, FrontEndEvent, PresenceLimits, Protocol, User};
use serde_json::json;

use crate::args::ServeArgs;
use crate::capture::Capture;
use crate::explain::explain_listen;
use crate::failure::Failure;
use crate::host::{Host, Seen};
use crate::interrupt::Interrupt;
use crate::kerberos;
use crate::output::Output;
use crate::secrets::{identity, wrong};

/// Serves until the end.
pub(crate) fn run(args: &ServeArgs, out: Output) -> Result<(), Failure> {
    let config = config(args)?;
    let identity = identity(args.cert.as_deref(), args.key.as_deref())?;
    let tls = identity
        .map(|identity| TlsServerConfig::builder(identity).build())
        .transpose()
        .map_err(wrong)?;
    let failed = |error| Failure::new(format!("the system gives no sockets: {error}"));
    let capture = args.pcap.as_deref().map(Capture::create).transpose()?;
    let front_end = FrontEnd::new(config, random().map_err(failed)?);
    let mut host = Host::new(front_end, capture.as_ref().map(Capture::tap)).map_err(failed)?;
    let stop = host.stop_handle();
    Interrupt::install()?.on_hit(move || stop.stop());
    for at in &args.listen {
        let address = host
            .listen(*at, tls.as_ref())
            .map_err(|error| Failure::new(explain_listen(*at, &error)))?;
        let fields = vec![
            ("address", json!(address.to_string())),
            ("transport", json!(at.transport.to_string())),
        ];
        out.event(
            "listening",
            format!("listening at {address} over {}", at.transport),
            fields,
        );
    }
    let warning =
        "this is a laboratory's server: it keeps everything in memory and is not for the open Internet";
    out.event("lab", warning, vec![("warning", json!(warning))]);
    host.run(args.stay.map(Duration::from_secs), |seen| {
        if let Seen::Log(event) = seen {
            out.event(name(&event), &event, vec![("text", json!(event.to_string()))]);
        }
    })
    .map_err(|error| Failure::new(format!("the system cannot wait for sockets: {error}")))?;
    capture.map_or(Ok(()), |capture| capture.finish())
}

fn config(args: &ServeArgs) -> Result<FrontEndConfig, Failure> {
    let mut domains = args.domains.iter();
    let first = domains.next().map_or("example.com", String::as_str);
    let mut config = FrontEndConfig::new(first);
    config.domains.extend(domains.cloned());
    config.protocols.clear();
    config.presence = Some(PresenceLimits::default());
    for user in &args.users {
        config
            .users
            .push(User::parse(user).map_err(|error| Failure::usage(format!("--user: {error}")))?);
    }
    for protocol in &args.auth {
        if config.protocols.contains(protocol) {
            let name = protocol.name().to_ascii_lowercase();
            return Err(Failure::usage(format!("--auth: {name} is there twice")));
        }
        if *protocol == Protocol::Kerberos {
            config.kerberos = Some(kerberos::acceptor()?);
        }
        config.protocols.push(*protocol);
    }
    if let Some(realm) = &args.realm {
        config.realm.clone_from(realm);
        config.associations.realm.clone_from(realm);
    }
    if let Some(domain) = &args.windows_domain {
        config.associations.domain.clone_from(domain);
    }
    config.associations.version = args.signature_version;
    config.associations.says_time = true;
    config.epoch = Some(unix_time());
    if let Some(algorithm) = args.algorithm {
        config.algorithms = vec![algorithm];
    }
    Ok(config)
}

/// A number that nobody can guess.
pub(crate) fn random() -> std::io::Result<u64> {
    let seed = seed()?;
    Ok(seed
        .iter()
        .take(8)
        .fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

const fn name(event: &FrontEndEvent) -> &'static str {
    match event {
        FrontEndEvent::Connected { .. } => "connected",
        FrontEndEvent::Disconnected { .. } => "disconnected",
        FrontEndEvent::Registered { .. } => "registered",
        FrontEndEvent::Unregistered { .. } => "unregistered",
        FrontEndEvent::Subscribed { .. } => "subscribed",
        FrontEndEvent::Unsubscribed { .. } => "unsubscribed",
        FrontEndEvent::Published { .. } => "published",
        FrontEndEvent::Challenged { .. } => "challenged",
        FrontEndEvent::Proven { .. } => "authenticated",
        FrontEndEvent::NotProven { .. } => "rejected",
        FrontEndEvent::AssociationOver { .. } => "association-over",
        FrontEndEvent::Answered { .. } => "answered",
        FrontEndEvent::Forwarded { .. } => "forwarded",
        FrontEndEvent::Returned { .. } => "returned",
        FrontEndEvent::Cancelled { .. } => "cancelled",
        FrontEndEvent::Dropped { .. } => "dropped",
        FrontEndEvent::Malformed { .. } => "malformed",
        _ => "other",
    }
}
