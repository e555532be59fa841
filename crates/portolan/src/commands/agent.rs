//! `portolan invite` and `portolan agent`: a node of a cluster whose API server runs elsewhere.

use std::net::IpAddr;
use std::path::PathBuf;

use portolan_cli::Place;
use portolan_identity::Authority;

use crate::app;
use crate::commands::server::run_in_foreground;
use crate::config::AgentOptions;
use crate::credentials;

/// Arguments of `invite`.
#[derive(Debug, clap::Args)]
pub(crate) struct InviteArguments {
    /// Name of the node.
    node: String,
    /// Address that the API server reaches the node's machine by.
    #[arg(long)]
    address: IpAddr,
    /// Folder of the cluster.
    #[arg(long, env = "PORTOLAN_DATA_DIR", default_value = "/var/lib/portolan")]
    data_dir: PathBuf,
}

/// Prints a kubeconfig with a certificate of the node.
pub(crate) fn invite(arguments: &InviteArguments) -> anyhow::Result<()> {
    let place = Place::required(&arguments.data_dir)?;
    let authority = Authority::load_or_create(&arguments.data_dir.join("identity"), "portolan-ca")?;
    let identity = credentials::node_certificate(&authority, &arguments.node, arguments.address)?;
    print!(
        "{}",
        credentials::kubeconfig(&place.api_server_url, authority.certificate_pem(), &arguments.node, &identity)
    );
    Ok(())
}

/// Runs an agent until it is told to stop.
pub(crate) fn run(options: AgentOptions) -> anyhow::Result<()> {
    let log = options.node.folders.log_path();
    run_in_foreground(&log, app::run_agent(options))
}
