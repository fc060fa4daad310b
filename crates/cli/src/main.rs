//! The `milena` program: parses the command line and hands over to one file per command.

mod args;
mod health;
mod leader_election;
mod quorum;
mod server;
mod storage;

use args::{Arguments, Command};
use clap::Parser;
use std::process::ExitCode;

/// Gives memory back after a burst, which glibc's keeps; its settings are in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Server(arguments) => server::run(arguments),
        Command::Storage(arguments) => storage::run(arguments),
        Command::Quorum(arguments) => quorum::run(&arguments),
        Command::Health(arguments) => health::run(&arguments),
        Command::LeaderElection(arguments) => leader_election::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("milena: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes, on one line each time the text does not already say so.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let reason = error.to_string();
        if !text.contains(&reason) {
            text.push_str(": ");
            text.push_str(&reason);
        }
        cause = error.source();
    }
    text
}
