//! `sansip register`.

use std::time::Duration;

use sansip::Config;
use sansip::wire::StatusCode;

use crate::account;
use crate::agent::Agent;
use crate::answerer::Answerer;
use crate::args::RegisterArgs;
use crate::failure::Failure;
use crate::output::Output;

/// Registers, answers until the end, and unregisters.
pub(crate) fn run(args: &RegisterArgs, out: Output) -> Result<(), Failure> {
    let mut answerer = Answerer::new(&args.answering, StatusCode::TEMPORARILY_UNAVAILABLE)?;
    let config = Config {
        refresh_floor: Duration::from_secs(args.refresh_floor),
        ..account::answering_config(&args.answering)
    };
    let mut agent = account::agent(config, &args.account, out)?;
    let outcome = stay(&mut agent, args, &mut answerer);
    agent.finish(outcome)
}

fn stay(agent: &mut Agent, args: &RegisterArgs, answerer: &mut Answerer) -> Result<(), Failure> {
    let profile = account::caller_profile(&args.account.identity, &args.sessions);
    let endpoint = account::sip_endpoint(agent, &args.account, profile)?;
    account::answer_all(agent, endpoint, &args.answering)?;
    agent.register(endpoint, args.account.timeout)?;
    let until = agent.after(args.stay);
    answerer.run(agent, until)
}
