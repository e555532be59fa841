//! Configuration, roles, wiring and drain order: the only crate that knows all the others.

mod access_options;
mod app;
mod arguments;
mod commands;
mod config;
mod consul_options;
mod credentials;
mod encryption;
mod folders;
mod limits;
mod log_feed;
mod log_file;
mod plain_listeners;
mod ports;
mod progress;
mod roles;
mod service_account_options;
mod transport;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::Arguments;

/// The process: a network plugin if a container runtime started it as one, else the command line.
pub fn main() -> ExitCode {
    if portolan_network::cni::is_invoked() {
        return portolan_network::cni::main();
    }
    match Arguments::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
