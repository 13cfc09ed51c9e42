//! The command `sansip`: SIP endpoints, a laboratory's server and a judge of messages for the command line.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "an application picks the events that it waits for; `report` prints all of them"
)]

mod account;
mod address;
mod agent;
mod answerer;
mod args;
mod call;
mod capture;
mod demo;
mod explain;
mod failure;
mod host;
mod inspect;
mod interrupt;
mod keep;
mod kerberos;
mod ladder;
mod listen;
mod log;
mod message;
mod notifier;
mod output;
mod presence;
mod register;
mod replay;
mod report;
mod sdp;
mod secrets;
mod serve;

use std::process::ExitCode;

use clap::Parser;
use serde_json::json;

use args::{Cli, Command};
use failure::Failure;
use output::Output;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let out = Output::new(cli.json);
    match run(&cli, out).and_then(printed) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            if cli.json && !matches!(cli.command, Command::Inspect(_)) {
                out.event("error", "", vec![("error", json!(failure.to_string()))]);
            }
            eprintln!("sansip: {failure}");
            failure.code()
        }
    }
}

/// What a command has to say is what it is for: what could not be printed is a failure.
fn printed(outcome: bool) -> Result<bool, Failure> {
    output::unprinted().map_or(Ok(outcome), |error| {
        Err(Failure::new(format!("cannot write to standard output: {error}")))
    })
}

/// True where all was as it should be; only `inspect` knows the other answer without being an error.
fn run(cli: &Cli, out: Output) -> Result<bool, Failure> {
    match &cli.command {
        Command::Inspect(args) => return inspect::run(args, cli.json),
        Command::Demo(args) => demo::run(args, out),
        Command::Serve(args) => serve::run(args, out),
        Command::Register(args) => register::run(args, out),
        Command::Message(args) => message::message(args, out),
        Command::Options(args) => message::options(args, out),
        Command::Call(args) => call::run(args, out),
        Command::Watch(args) => presence::watch(args, out),
        Command::Publish(args) => presence::publish(args, out),
        Command::Listen(args) => listen::run(args, out),
        Command::Ladder(args) => capture::run(args, out),
        Command::Replay(args) => replay::run(args, out),
    }
    .map(|()| true)
}
