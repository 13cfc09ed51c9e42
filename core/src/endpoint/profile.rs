//! What an endpoint says of itself and takes: its profile, checked, and as header fields (rules E10, E11, R15).

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Endpoints, Kind, Profile, ReliableResponses, RouteRecovery, register};
use crate::error::Misuse;
use crate::exchange::{Voice, Words};
use crate::ids::EndpointId;
use crate::session::{RELIABLE, ROUTE_TAG};
use crate::wire::{Method, write};

impl Endpoints {
    /// Another set of methods that an endpoint takes, from now on; its registrar hears of it with the next REGISTER (R15).
    pub(crate) fn set_methods(
        &mut self,
        config: &crate::Config,
        id: EndpointId,
        methods: Vec<Method>,
    ) -> Result<(), Misuse> {
        self.may_command(id, "set_methods")?;
        check_methods(&methods)?;
        if let Some(endpoint) = self.table.get_mut(&id) {
            endpoint.profile.methods = methods;
            endpoint.voice = voice(&endpoint.profile, config, matches!(endpoint.kind, Kind::Sip(_)));
        }
        Ok(())
    }
}

/// What an endpoint of this profile says in all its messages.
pub(super) fn voice(profile: &Profile, config: &crate::Config, registers: bool) -> Voice {
    let tags = profile.option_tags.iter().map(String::as_str);
    let tags: Vec<&str> = tags.chain(option_tags(profile)).collect();
    let agent = match &profile.user_agent {
        Some(agent) => alloc::format!("{agent} {}", config.user_agent),
        None => config.user_agent.clone(),
    };
    let types = profile.content_types.join(", ");
    let takes = allow(profile);
    let registered = registered_methods(profile);
    let register = register::fields(&registered);
    Voice::new(&Words {
        allow: &takes,
        supported: &tags.join(", "),
        agent: &agent,
        accept: if types.is_empty() { "*/*" } else { &types },
        register: if registers { &register } else { &[] },
        own: &profile.headers,
    })
}

/// The option tags that the stack itself understands.
pub(crate) const OPTION_TAGS: [&str; 3] = ["gruu", "replaces", crate::session::TIMER_TAG];

/// Those of an endpoint.
pub(crate) fn option_tags(profile: &Profile) -> impl Iterator<Item = &str> {
    let reliable = profile.reliable_responses != ReliableResponses::Unsupported;
    let recovers = profile.route_recovery != RouteRecovery::None;
    let tags = OPTION_TAGS.into_iter().chain(reliable.then_some(RELIABLE));
    tags.chain(recovers.then_some(ROUTE_TAG))
}

/// The value of Allow for an endpoint.
pub(crate) fn allow(profile: &Profile) -> String {
    let methods = accepted_methods(profile);
    let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    names.join(", ")
}

/// The methods that go with INVITE: a session needs them, whoever has invited.
const SESSION_METHODS: [Method; 4] = [Method::Ack, Method::Bye, Method::Cancel, Method::Update];

/// The methods that an endpoint takes, with those that go with INVITE.
pub(crate) fn accepted_methods(profile: &Profile) -> Vec<Method> {
    let mut methods = profile.methods.clone();
    if methods.contains(&Method::Invite) {
        methods.extend(session_methods(profile));
    }
    methods
}

/// The methods that a session of this endpoint needs.
pub(crate) fn session_methods(profile: &Profile) -> impl Iterator<Item = Method> + use<> {
    let reliable = profile.reliable_responses != ReliableResponses::Unsupported;
    SESSION_METHODS
        .into_iter()
        .chain(reliable.then_some(Method::Prack))
}

/// What a REGISTER declares: NOTIFY in any case, by which the registrar ends a registration (R13, R15).
pub(super) fn registered_methods(profile: &Profile) -> String {
    let mut allowed = allow(profile);
    if !profile.methods.contains(&Method::Notify) {
        if !allowed.is_empty() {
            allowed.push_str(", ");
        }
        allowed.push_str(Method::Notify.as_str());
    }
    allowed
}

fn check_methods(methods: &[Method]) -> Result<(), Misuse> {
    for method in methods {
        write::check_token(method.as_str())
            .map_err(|error| Misuse::argument("methods", error.to_string()))?;
    }
    Ok(())
}

/// Contact parameters that say something of a registration, which is the stack's to say (R12).
const OWN_PARAMETERS: [&str; 8] = [
    "expires",
    "q",
    "+sip.instance",
    "reg-id",
    "methods",
    "gruu",
    "pub-gruu",
    "temp-gruu",
];

pub(super) fn check_profile(profile: &Profile) -> Result<(), Misuse> {
    let misuse = |argument| move |error: crate::ParseError| Misuse::argument(argument, error.to_string());
    if let Some(display) = &profile.display_name {
        write::check_display_name(display).map_err(misuse("display_name"))?;
    }
    if let Some(agent) = &profile.user_agent {
        write::check_user_agent(agent).map_err(misuse("user_agent"))?;
    }
    for (name, value) in &profile.feature_parameters {
        if value
            .as_ref()
            .is_some_and(|value| value.chars().any(char::is_control))
        {
            return Err(Misuse::argument(
                "feature_parameters",
                "control characters in a value",
            ));
        }
        if OWN_PARAMETERS.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            return Err(Misuse::argument(
                "feature_parameters",
                "a parameter of the stack's own",
            ));
        }
        let text = match value {
            Some(value) => alloc::format!(";{name}={}", write::quoted(value)),
            None => alloc::format!(";{name}"),
        };
        write::check_contact_params(&text).map_err(misuse("feature_parameters"))?;
    }
    check_methods(&profile.methods)?;
    if profile
        .session_timer
        .is_some_and(|interval| interval < crate::session::TIMER_FLOOR)
    {
        return Err(Misuse::argument("session_timer", "90 s at the least"));
    }
    for name in &profile.content_types {
        write::check_content_type(name).map_err(misuse("content_types"))?;
    }
    for tag in &profile.option_tags {
        write::check_token(tag).map_err(misuse("option_tags"))?;
    }
    for (name, value) in &profile.headers {
        write::check_header(name, value).map_err(misuse("headers"))?;
    }
    Ok(())
}
