//! The endpoint that the command line describes.

use std::net::IpAddr;
use std::time::Duration;

use sansip::security::Credentials;
use sansip::wire::Method;
use sansip::wire::uri::Uri;
use sansip::{
    Config, EndpointId, ManagerConfig, ManagerId, ManagerKind, MutualTls, PeerToPeerConfig, Profile, Proxy,
    Server, SipEndpointConfig, Transport,
};
use sansip_mio::TlsSettings;

use crate::address::{Hop, ListenAt};
use crate::agent::Agent;
use crate::args::{AccountArgs, AnswerArgs, IdentityArgs, ListenArgs, PeerArgs, SessionArgs};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::keep::Keep;
use crate::kerberos;
use crate::log;
use crate::output::Output;
use crate::secrets::{endpoint_tls, identity, password, trust};

/// A stack for an endpoint with these settings of TLS, which Ctrl-C ends.
///
/// Files are made when all that is read could be read: what was mistyped can be put right and tried again.
pub(crate) fn agent(config: Config, account: &AccountArgs, out: Output) -> Result<Agent, Failure> {
    kerberos::check(account)?;
    let tls = tls(&account.identity, false)?;
    let secret = account.password_file.as_deref().map(password).transpose()?;
    let keep = Keep::open(&account.keep)?;
    let interrupt = Interrupt::install()?;
    let agent = agent_under(&interrupt, config, &account.identity, tls, keep, out)?;
    Ok(agent.with_secret(secret))
}

/// TLS as the command line describes it, and whether a certificate is wanted of who connects.
pub(crate) fn tls(args: &IdentityArgs, mutual: bool) -> Result<TlsSettings, Failure> {
    let trust = trust(args.ca.as_deref(), &args.crl)?;
    let identity = identity(args.cert.as_deref(), args.key.as_deref())?;
    endpoint_tls(&trust, identity, mutual, args.key_log)
}

/// The same, where something else may end it as well.
pub(crate) fn agent_under(
    interrupt: &Interrupt,
    config: Config,
    identity: &IdentityArgs,
    tls: TlsSettings,
    keep: Keep,
    out: Output,
) -> Result<Agent, Failure> {
    if let Some(filter) = &identity.log {
        log::install(filter);
    }
    Agent::new(config, tls, interrupt.clone(), keep, out, identity.counters)
}

/// An endpoint that can send: at its server, registered where that is wanted, or without one.
pub(crate) fn sender(
    agent: &mut Agent,
    account: &AccountArgs,
    peer: &PeerArgs,
    target: &str,
    profile: Profile,
) -> Result<EndpointId, Failure> {
    if peer.is_peer_to_peer() {
        return peer_endpoint(agent, account, peer, target, profile);
    }
    if peer.listen.is_some() {
        return Err(Failure::usage(
            "--listen is for peer-to-peer endpoints: it needs --direct or --proxy",
        ));
    }
    let endpoint = sip_endpoint(agent, account, profile)?;
    if !peer.no_register {
        agent.register(endpoint, account.timeout)?;
    }
    Ok(endpoint)
}

/// An endpoint at a server.
pub(crate) fn sip_endpoint(
    agent: &mut Agent,
    account: &AccountArgs,
    profile: Profile,
) -> Result<EndpointId, Failure> {
    let mut config = SipEndpointConfig::new(account.user.as_str());
    config.epid.clone_from(&account.identity.epid);
    config.server = account
        .server
        .clone()
        .map(|Hop { host, port }| Server { host, port });
    config.transport = account.transport.map_or(Transport::Tls, Into::into);
    config.expires = account.expires.map(Duration::from_secs);
    config.profile = profile;
    if let Some(secret) = agent.take_secret() {
        let name = account.auth_user.clone().or_else(|| user_part(&account.user));
        let name =
            name.ok_or_else(|| Failure::usage("--user has no user part: name the account with --auth-user"))?;
        let mut credentials = Credentials::new(name, secret);
        credentials.domain.clone_from(&account.domain);
        config.credentials = vec![credentials];
    }
    if !account.auth.is_empty() {
        let protocols = account.auth.iter().flat_map(|protocol| protocol.protocols());
        config.protocols = protocols.copied().collect();
    }
    config.default_credential = account.default_credential;
    config.association.without_tls = account.ntlm_over_tcp;
    config.association.strict = account.strict_signatures;
    config.association.least_version = account.least_signature_version;
    agent.command(|stack, now| stack.add_sip_endpoint(now, config))
}

fn peer_endpoint(
    agent: &mut Agent,
    account: &AccountArgs,
    peer: &PeerArgs,
    target: &str,
    profile: Profile,
) -> Result<EndpointId, Failure> {
    let transport = peer_transport(account, peer, target)?;
    let manager = server_manager(agent, transport, MutualTls::Off)?;
    if let Some(at) = peer.listen {
        agent.listen(manager, at)?;
    }
    let mut config = PeerToPeerConfig::new(account.user.as_str());
    config.epid.clone_from(&account.identity.epid);
    config.manager = Some(manager);
    config.default_transport = transport;
    config.outbound_proxy = peer.proxy.clone().map(|Hop { host, port }| Proxy {
        host,
        port,
        transport,
    });
    config.profile = profile;
    agent.command(|stack, now| stack.add_peer_to_peer_endpoint(now, config))
}

/// A server manager speaks one transport: the one that is asked for, that the target names, or TCP.
fn peer_transport(account: &AccountArgs, peer: &PeerArgs, target: &str) -> Result<Transport, Failure> {
    let asked = account.transport.map(Transport::from);
    let named = match Uri::parse(target) {
        Ok(Uri::Sip(uri))
            if uri.secure
                || uri
                    .transport()
                    .is_some_and(|name| name.eq_ignore_ascii_case("tls")) =>
        {
            Some(Transport::Tls)
        }
        Ok(Uri::Sip(uri))
            if uri
                .transport()
                .is_some_and(|name| name.eq_ignore_ascii_case("tcp")) =>
        {
            Some(Transport::Tcp)
        }
        _ => None,
    };
    let listening = peer.listen.map(|at| at.transport);
    let transport = asked.or(listening).or(named).unwrap_or(Transport::Tcp);
    match listening {
        Some(other) if other != transport => Err(Failure::usage(format!(
            "a peer-to-peer endpoint cannot listen over {other} and send over {transport}"
        ))),
        _ => Ok(transport),
    }
}

/// The connection manager of a peer-to-peer endpoint, and whom it lets connect over TLS.
pub(crate) fn server_manager(
    agent: &mut Agent,
    transport: Transport,
    mutual_tls: MutualTls,
) -> Result<ManagerId, Failure> {
    agent.command(|stack, _| match transport {
        Transport::Tcp => Ok(stack.server_tcp_manager()),
        Transport::Tls => stack.add_manager(ManagerConfig {
            mutual_tls,
            ..ManagerConfig::new(ManagerKind::ServerTls)
        }),
    })
}

/// An endpoint that peers reach at these addresses, which all speak the same transport.
pub(crate) fn listening_endpoint(
    agent: &mut Agent,
    args: &ListenArgs,
    (transport, mutual_tls): (Transport, MutualTls),
    addresses: &[ListenAt],
) -> Result<EndpointId, Failure> {
    let manager = server_manager(agent, transport, mutual_tls)?;
    let mut config = PeerToPeerConfig::new(args.user.as_str());
    config.epid.clone_from(&args.identity.epid);
    config.manager = Some(manager);
    config.default_transport = transport;
    config.profile = caller_profile(&args.identity, &args.sessions);
    let endpoint = agent.command(|stack, now| stack.add_peer_to_peer_endpoint(now, config))?;
    for at in addresses {
        agent.listen(manager, *at)?;
    }
    Ok(endpoint)
}

/// Lets the peer of a call ask for another one: for who calls and is called.
pub(crate) fn follow_transfers(agent: &mut Agent, endpoint: EndpointId) -> Result<(), Failure> {
    take(agent, endpoint, &[Method::Refer])
}

/// Takes what who answers can answer: calls and transfers, and subscriptions where there is a state to tell.
pub(crate) fn answer_all(agent: &mut Agent, endpoint: EndpointId, args: &AnswerArgs) -> Result<(), Failure> {
    if args.state.state.is_some() {
        return take(agent, endpoint, &[Method::Refer, Method::Subscribe]);
    }
    follow_transfers(agent, endpoint)
}

fn take(agent: &mut Agent, endpoint: EndpointId, more: &[Method]) -> Result<(), Failure> {
    let methods = [Profile::default().methods.as_slice(), more].concat();
    agent.command(|stack, now| stack.endpoint(now, endpoint)?.set_methods(methods))
}

pub(crate) fn profile(identity: &IdentityArgs) -> Profile {
    Profile {
        display_name: identity.display_name.clone(),
        headers: identity.headers.clone(),
        ..Profile::default()
    }
}

/// The same for who calls or is called.
pub(crate) fn caller_profile(identity: &IdentityArgs, sessions: &SessionArgs) -> Profile {
    Profile {
        reliable_responses: sessions.reliable.map(Into::into).unwrap_or_default(),
        session_timer: sessions.session_timer.map(Duration::from_secs),
        route_recovery: sessions.recover_route.map(Into::into).unwrap_or_default(),
        ..profile(identity)
    }
}

/// The settings of a stack for who answers calls.
pub(crate) fn answering_config(args: &AnswerArgs) -> Config {
    let mut config = Config::default();
    if let Some(seconds) = args.min_session_timer {
        config.min_session_expires = Duration::from_secs(seconds);
    }
    config
}

/// The user part of a URI.
pub(crate) fn user_part(uri: &str) -> Option<String> {
    match Uri::parse(uri) {
        Ok(Uri::Sip(uri)) => uri.user_unescaped().map(std::borrow::Cow::into_owned),
        _ => None,
    }
}

/// The address in a URI, where its host is one.
pub(crate) fn host_address(uri: &str) -> Option<IpAddr> {
    match Uri::parse(uri) {
        Ok(Uri::Sip(uri)) => uri.host.ip(),
        _ => None,
    }
}
