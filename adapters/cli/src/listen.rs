//! `sansip listen`.

use std::thread;

use sansip::wire::StatusCode;
use sansip::{Config, MutualTls, Transport};
use sansip_mio::TlsSettings;

use crate::account;
use crate::address::ListenAt;
use crate::agent::Agent;
use crate::answerer::Answerer;
use crate::args::ListenArgs;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::keep::Keep;
use crate::output::Output;

/// Answers whoever calls, until the end.
///
/// A server manager speaks one transport, and an endpoint that takes every request has to be the only one of its stack:
/// so there is a stack for each transport.
pub(crate) fn run(args: &ListenArgs, out: Output) -> Result<(), Failure> {
    let uses = |transport| args.listen.iter().any(|at| at.transport == transport);
    if args.keep.record.is_some() && uses(Transport::Tcp) && uses(Transport::Tls) {
        return Err(Failure::usage(
            "a recording is of one stack, and there is one for each transport: record them apart",
        ));
    }
    let tls = account::tls(&args.identity, !args.allowed.is_empty())?;
    Answerer::new(&args.answering, StatusCode::OK)?;
    let mut keep = Keep::open(&args.keep)?;
    let interrupt = Interrupt::install()?;
    let mut stacks = Vec::new();
    for transport in [Transport::Tcp, Transport::Tls] {
        let addresses: Vec<ListenAt> = args
            .listen
            .iter()
            .filter(|at| at.transport == transport)
            .copied()
            .collect();
        if addresses.is_empty() {
            continue;
        }
        match start(
            args,
            transport,
            &addresses,
            &interrupt,
            tls.clone(),
            keep.share(),
            out,
        ) {
            Ok(stack) => stacks.push(stack),
            Err(failure) => {
                for (agent, _) in stacks {
                    agent.finish(Ok(()))?;
                }
                return Err(failure);
            }
        }
    }
    thread::scope(|scope| {
        let threads: Vec<_> = stacks
            .into_iter()
            .map(|(agent, answerer)| scope.spawn(|| answer(args, agent, answerer, &interrupt)))
            .collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::new("a thread broke down")),
        })
    })
}

fn start(
    args: &ListenArgs,
    transport: Transport,
    addresses: &[ListenAt],
    interrupt: &Interrupt,
    tls: TlsSettings,
    keep: Keep,
    out: Output,
) -> Result<(Agent, Answerer), Failure> {
    let answerer = Answerer::new(&args.answering, StatusCode::OK)?;
    // Peers may ask for any user.
    let config = Config {
        strict_dispatch: false,
        ..account::answering_config(&args.answering)
    };
    let mut agent = account::agent_under(interrupt, config, &args.identity, tls, keep, out)?;
    let mutual_tls = if args.allowed.is_empty() {
        MutualTls::Off
    } else {
        MutualTls::Allowed(args.allowed.clone())
    };
    let how = (transport, mutual_tls);
    match account::listening_endpoint(&mut agent, args, how, addresses) {
        Ok(endpoint) => match account::answer_all(&mut agent, endpoint, &args.answering) {
            Ok(()) => Ok((agent, answerer)),
            Err(failure) => agent.finish(Err(failure)),
        },
        Err(failure) => agent.finish(Err(failure)),
    }
}

fn answer(
    args: &ListenArgs,
    mut agent: Agent,
    mut answerer: Answerer,
    interrupt: &Interrupt,
) -> Result<(), Failure> {
    let until = agent.after(args.stay);
    let outcome = answerer.run(&mut agent, until);
    // If one cannot go on, the others do not either.
    interrupt.raise();
    agent.finish(outcome)
}
