//! Tasks of the repository itself: `cargo xtask <task>`.

mod audit;
mod codegen;
mod layers;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Tasks of the repository itself.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Reduces an OpenAPI document to the tables in crates/api/src/generated.
    ///
    /// Example: cargo xtask codegen --openapi ../kubernetes/api/openapi-spec/swagger.json
    ///
    /// The table of protobuf messages comes from the types published for Go: see interop/kubernetes/messages.
    Codegen {
        /// The published OpenAPI v2 document of a Kubernetes release.
        #[arg(long, env = "PORTOLAN_KUBERNETES_OPENAPI")]
        openapi: PathBuf,
        /// Write nothing; fail if the committed tables are not what would be written.
        #[arg(long)]
        check: bool,
    },
    /// Checks that the crates depend on each other only as the table of layers allows.
    Layers,
    /// Checks licences and sources of dependencies, and that each is listed with its reason.
    Audit,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Codegen { openapi, check } => codegen::run(&openapi, check),
        Task::Layers => layers::run(),
        Task::Audit => audit::run(&workspace()),
    }
}

/// The root of the workspace.
fn workspace() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(PathBuf::from).unwrap_or(here)
}
