//! The command line.

use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, Parser, Subcommand};
use portolan_api::typed::kinds::core::v1::{Node, Pod};
use portolan_cli::{Judgements, NodeVerdict};

use crate::commands::{agent, backup, dataplane, down, image, import, server, store, up};
use crate::config::{AgentOptions, DataplaneOptions, ServerOptions};
use crate::folders::Folders;

/// Runs your containers and always knows where they are.
#[derive(Debug, Parser)]
#[command(
    name = "portolan",
    version,
    arg_required_else_help = true,
    after_help = "\
Examples:
  portolan up                                   # a cluster on this machine
  export KUBECONFIG=$(portolan kubeconfig --path)
  portolan image build -t my-image:latest .
  portolan apply -f deployment.yaml --wait
  portolan status"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a cluster on this machine, in the background.
    #[command(after_help = "\
Examples:
  portolan up
  portolan up --listen 0.0.0.0:7443 --insecure-registry localhost:5000")]
    Up(ServerOptions),
    /// Stop the cluster on this machine and remove everything it made.
    #[command(after_help = "\
Examples:
  portolan down
  portolan down --keep-data      # stop containers, keep objects and images")]
    Down {
        #[command(flatten)]
        folders: Folders,
        /// Keep the objects and images for the next `up`.
        #[arg(long)]
        keep_data: bool,
    },
    /// Run the control plane, and the agent of this machine, in the foreground.
    #[command(after_help = "\
Examples:
  portolan server
  portolan server --no-agent --listen 127.0.0.1:6443")]
    Server(ServerOptions),
    /// Print a kubeconfig with which another machine joins as a node.
    #[command(after_help = "\
Examples:
  portolan invite north --address 192.0.2.8 > north.kubeconfig
  ssh north portolan agent --kubeconfig north.kubeconfig --node-name north --pod-cidr 10.42.1.0/24")]
    Invite(agent::InviteArguments),
    /// Run this machine as a node of an API server elsewhere, in the foreground.
    #[command(after_help = "\
Examples:
  portolan agent --kubeconfig north.kubeconfig --node-name north --pod-cidr 10.42.1.0/24
  portolan agent --kubeconfig north.kubeconfig --server https://192.0.2.2:6443")]
    Agent(AgentOptions),
    /// Answer names and keep the packet rules of a node; a server or agent starts this.
    #[command(
        hide = true,
        after_help = "\
Example:
  portolan dataplane --node-name north   # as `portolan server` or `portolan agent` does"
    )]
    Dataplane(DataplaneOptions),
    /// Build, load, list and remove images without a registry.
    #[command(subcommand)]
    Image(image::Command),
    /// Look after the files of the embedded store.
    #[command(subcommand)]
    Store(store::Command),
    /// Make a store from a backup; the cluster must be down.
    #[command(after_help = "\
Examples:
  portolan restore /backup/monday.portolan
  portolan restore /backup/monday.portolan --data-dir /srv/portolan")]
    Restore(backup::RestoreArguments),
    /// Print the version.
    #[command(after_help = "Example:\n  portolan version")]
    Version,
    /// Print a completion script for a shell.
    #[command(after_help = "Example:\n  source <(portolan completion bash)")]
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
    #[command(flatten)]
    Client(portolan_cli::Command),
}

impl Arguments {
    /// Runs the command.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Up(options) => up::run(options),
            Command::Down { folders, keep_data } => runtime()?.block_on(down::run(folders, keep_data)),
            Command::Server(options) => server::run(options),
            Command::Invite(arguments) => agent::invite(&arguments),
            Command::Agent(options) => agent::run(options),
            Command::Dataplane(options) => dataplane::run(&options),
            Command::Image(command) => runtime()?.block_on(image::run(command)),
            Command::Store(command) => store::run(command),
            Command::Restore(arguments) => backup::restore(&arguments),
            Command::Version => {
                println!("portolan {} (Kubernetes API v1.36.0)", env!("CARGO_PKG_VERSION"));
                Ok(())
            }
            Command::Completion { shell } => {
                clap_complete::generate(shell, &mut Self::command(), "portolan", &mut std::io::stdout());
                Ok(())
            }
            Command::Client(command) => match command.into_import() {
                Ok(import) => runtime()?.block_on(import::run(import)),
                Err(command) => return runtime()?.block_on(command.run(JUDGEMENTS)),
            },
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

/// How parts of the cluster judge what a person asks about.
const JUDGEMENTS: Judgements = Judgements {
    placement: explain_placement,
    mirror_target: portolan_controllers::mirror_target,
    mirror: portolan_controllers::explain_mirror,
    workloads: &portolan_controllers::WORKLOADS,
};

/// The scheduler's judgement of each node for a pod.
fn explain_placement(pod: &Pod, nodes: &[Arc<Node>], pods: &[Arc<Pod>]) -> Vec<NodeVerdict> {
    let verdicts = portolan_scheduler::explain(pod, nodes, pods).into_iter();
    verdicts.map(|verdict| NodeVerdict { node: verdict.node, reasons: verdict.reasons }).collect()
}

/// A small runtime for commands that mostly wait.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without_example(command: &clap::Command, path: &str, found: &mut Vec<String>) {
        let path = format!("{path} {}", command.get_name());
        let children: Vec<_> = command.get_subcommands().filter(|child| child.get_name() != "help").collect();
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        if children.is_empty() && !(help.contains("Example") && help.contains("portolan ")) {
            found.push(path.trim().to_owned());
        }
        children.into_iter().for_each(|child| without_example(child, &path, found));
    }

    #[test]
    fn every_command_has_an_example_in_its_help() {
        let mut found = Vec::new();
        without_example(&Arguments::command(), "", &mut found);
        assert!(found.is_empty(), "without an example: {found:?}");
    }

    #[test]
    fn every_example_is_a_command_line_that_is_understood() {
        let mut examples = Vec::new();
        collect_examples(&Arguments::command(), &mut examples);
        for example in examples {
            let words = example.split_whitespace().map(|word| word.trim_end_matches(')'));
            let parsed = Arguments::command().try_get_matches_from(words);
            assert!(parsed.is_ok(), "{example}: {}", parsed.expect_err("checked"));
        }
    }

    /// The part of each example line that is ours: from `portolan` to a comment, pipe or redirection.
    fn collect_examples(command: &clap::Command, examples: &mut Vec<String>) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        for line in help.lines().filter(|line| line.starts_with("  ")) {
            let Some(at) = line.find("portolan ").filter(|at| !line[..*at].ends_with('/')) else { continue };
            let end = line[at..].find(['#', '|', '>']).map_or(line.len(), |end| at + end);
            examples.push(line[at..end].trim().to_owned());
        }
        command.get_subcommands().for_each(|child| collect_examples(child, examples));
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
