//! The command line: everything a person does with a running cluster, through its public API.
//!
//! Commands that *are* the cluster (`up`, `server`, ...) live in the `portolan` crate; it puts
//! [`Command`] beside them.

mod api;
mod commands;
mod output;
mod place;
mod remote_command;
mod terminal;

use std::process::ExitCode;

use clap::{Args, Subcommand};

pub use api::Api;
pub use commands::backup::keys_of as keys_of_backup;
pub use commands::explain::{ExplainMirror, ExplainPlacement, Judgements, MirrorTarget, NodeVerdict};
pub use commands::registry::{Import, ImportArguments};
pub use output::{Format, document, table};
pub use place::{Claim, Place};

/// Where the cluster is and what to look at; common to all commands.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Kubeconfig of the cluster [default: $KUBECONFIG, else the one of the cluster on this machine].
    #[arg(long, env = "KUBECONFIG", value_name = "FILE", help_heading = "Cluster")]
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
    #[arg(short, long, help_heading = "Cluster")]
    pub namespace: Option<String>,
}

/// Commands for a running cluster.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show where the cluster is and how each part of it does.
    Status(Scoped<commands::status::Arguments>),
    /// Print the administrator's kubeconfig.
    Kubeconfig(Scoped<commands::kubeconfig::Arguments>),
    /// Create or change objects so that they are as in the files.
    Apply(Scoped<commands::apply::Arguments>),
    /// List objects.
    Get(Scoped<commands::get::Arguments>),
    /// Show one object with its conditions and events.
    Describe(Scoped<commands::describe::Arguments>),
    /// Say why an object is in the state it is in.
    Explain(Scoped<commands::explain::Arguments>),
    /// Print a container's output.
    Logs(Scoped<commands::logs::Arguments>),
    /// Run a command in a container.
    Exec(Scoped<commands::exec::Arguments>),
    /// Change the number of replicas.
    Scale(Scoped<commands::scale::Arguments>),
    /// Show what nodes or pods use of processors and memory.
    Top(Scoped<commands::top::Arguments>),
    /// Delete objects.
    Delete(Scoped<commands::delete::Arguments>),
    /// Look into the service registry.
    #[command(subcommand)]
    Registry(commands::registry::Command),
    /// Ask the cluster's name service.
    #[command(subcommand)]
    Dns(commands::dns::Command),
    /// Register a service instance, and keep it registered until interrupted.
    Register(Scoped<commands::register::Arguments>),
    /// Follow the changes of the registry.
    Watch(Scoped<commands::watch::Arguments>),
    /// Write everything in the store to a file, while the cluster runs.
    Backup(Scoped<commands::backup::Arguments>),
}

impl Command {
    /// The import that this command is, if it is one: its engine is not part of this crate.
    ///
    /// # Errors
    /// The command itself, if it is another one.
    pub fn into_import(self) -> Result<Import, Box<Self>> {
        match self {
            Self::Registry(commands::registry::Command::Import(import)) => Ok(import),
            other => Err(Box::new(other)),
        }
    }

    /// Runs the command; its output goes to standard output. Returns the exit code of the process.
    ///
    /// `judgements` are those of other parts of the cluster, for `explain`.
    ///
    /// # Errors
    /// What went wrong, in words for the person at the terminal.
    pub async fn run(self, judgements: Judgements) -> anyhow::Result<ExitCode> {
        match self {
            Self::Exec(scoped) => return commands::exec::run(&scoped.api()?, scoped.arguments).await,
            Self::Backup(scoped) => commands::backup::run(&scoped.api()?, scoped.arguments).await,
            Self::Status(scoped) => commands::status::run(&scoped.common, scoped.arguments).await,
            Self::Kubeconfig(scoped) => commands::kubeconfig::run(&scoped.common, &scoped.arguments),
            Self::Apply(scoped) => commands::apply::run(&scoped.api()?, scoped.arguments).await,
            Self::Get(scoped) => commands::get::run(&scoped.api()?, scoped.arguments).await,
            Self::Describe(scoped) => commands::describe::run(&scoped.api()?, scoped.arguments).await,
            Self::Explain(scoped) => commands::explain::run(scoped, judgements).await,
            Self::Logs(scoped) => commands::logs::run(&scoped.api()?, scoped.arguments).await,
            Self::Scale(scoped) => commands::scale::run(&scoped.api()?, scoped.arguments).await,
            Self::Top(scoped) => commands::top::run(&scoped.api()?, scoped.arguments).await,
            Self::Delete(scoped) => commands::delete::run(&scoped.api()?, scoped.arguments).await,
            Self::Registry(command) => commands::registry::run(command).await,
            Self::Dns(commands::dns::Command::Query(scoped)) => {
                commands::dns::run(&scoped.common, scoped.arguments).await
            }
            Self::Register(scoped) => commands::register::run(&scoped.common, scoped.arguments).await,
            Self::Watch(scoped) => commands::watch::run(&scoped.common, scoped.arguments).await,
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The arguments of one command with those that all commands have.
#[derive(Debug, Args)]
pub struct Scoped<A: Args> {
    #[command(flatten)]
    arguments: A,
    #[command(flatten)]
    common: Common,
}

impl<A: Args> Scoped<A> {
    /// A client of the cluster, the namespace to work in, and the arguments.
    ///
    /// # Errors
    /// No kubeconfig, or one that cannot be used.
    pub fn connect(self) -> anyhow::Result<(portolan_client::Client, String, A)> {
        let api = self.api()?;
        Ok((api.client(), api.namespace().to_owned(), self.arguments))
    }

    /// Where the cluster on this machine is.
    ///
    /// # Errors
    /// There is none.
    pub fn place(&self) -> anyhow::Result<Place> {
        Place::required(&self.common.data_dir)
    }

    fn api(&self) -> anyhow::Result<Api> {
        Api::connect(&self.common)
    }
}
