//! The command line: everything a person does with a running cluster, through its public API.
//!
//! Commands that *are* the cluster (`up`, `server`, ...) live in the `portolan` crate; it puts
//! [`Command`] beside them.

mod api;
mod commands;
mod output;
mod place;

use clap::{Args, Subcommand};

pub use api::Api;
pub use output::{Format, table};
pub use place::Place;

/// Where the cluster is and what to look at; common to all commands.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Kubeconfig of the cluster [default: $KUBECONFIG, else the one of the cluster on this machine].
    #[arg(long, global = true, env = "KUBECONFIG", value_name = "FILE", help_heading = "Cluster")]
    pub kubeconfig: Option<std::path::PathBuf>,
    /// Folder of the cluster on this machine.
    #[arg(
        long,
        global = true,
        env = "PORTOLAN_DATA_DIR",
        default_value = "/var/lib/portolan",
        help_heading = "Cluster"
    )]
    pub data_dir: std::path::PathBuf,
    /// Namespace [default: the kubeconfig's, else `default`].
    #[arg(short, long, global = true, help_heading = "Cluster")]
    pub namespace: Option<String>,
}

/// Commands for a running cluster.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show where the cluster is and how each part of it does.
    Status(commands::status::Arguments),
    /// Print the administrator's kubeconfig.
    Kubeconfig(commands::kubeconfig::Arguments),
    /// Create or change objects so that they are as in the files.
    Apply(commands::apply::Arguments),
    /// List objects.
    Get(commands::get::Arguments),
    /// Show one object with its conditions and events.
    Describe(commands::describe::Arguments),
    /// Say why an object is in the state it is in.
    Explain(commands::explain::Arguments),
    /// Print a container's output.
    Logs(commands::logs::Arguments),
    /// Change the number of replicas.
    Scale(commands::scale::Arguments),
    /// Delete objects.
    Delete(commands::delete::Arguments),
    /// Look into the service registry.
    #[command(subcommand)]
    Registry(commands::registry::Command),
    /// Register a service instance, and keep it registered until interrupted.
    Register(commands::register::Arguments),
    /// Follow the changes of the registry.
    Watch(commands::watch::Arguments),
}

impl Command {
    /// Runs the command; its output goes to standard output.
    ///
    /// # Errors
    /// What went wrong, in words for the person at the terminal.
    pub async fn run(self, common: &Common) -> anyhow::Result<()> {
        match self {
            Self::Status(arguments) => commands::status::run(common, arguments).await,
            Self::Kubeconfig(arguments) => commands::kubeconfig::run(common, &arguments),
            Self::Apply(arguments) => commands::apply::run(&Api::connect(common)?, arguments).await,
            Self::Get(arguments) => commands::get::run(&Api::connect(common)?, arguments).await,
            Self::Describe(arguments) => commands::describe::run(&Api::connect(common)?, arguments).await,
            Self::Explain(arguments) => commands::explain::run(&Api::connect(common)?, arguments).await,
            Self::Logs(arguments) => commands::logs::run(&Api::connect(common)?, arguments).await,
            Self::Scale(arguments) => commands::scale::run(&Api::connect(common)?, arguments).await,
            Self::Delete(arguments) => commands::delete::run(&Api::connect(common)?, arguments).await,
            Self::Registry(command) => commands::registry::run(common, command).await,
            Self::Register(arguments) => commands::register::run(common, arguments).await,
            Self::Watch(arguments) => commands::watch::run(common, arguments).await,
        }
    }
}
