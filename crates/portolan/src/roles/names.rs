//! Names without a node: a server that runs no containers answers them itself.

use std::net::SocketAddr;

use portolan_base::readiness::State;
use portolan_base::{Readiness, Shutdown, TaskGroup};
use portolan_dataplane::Error;
use portolan_dns::Sockets;

use crate::config::{DataplaneOptions, NodeOptions};
use crate::progress;
use crate::roles::dataplane::{explain, local};
use crate::roles::registry::Registry;

/// Answers names from the catalog of the registry until shutdown. Returns where, unless that is nowhere.
///
/// Without pods there are no packet rules to keep, and nobody on this machine whom an exchange of the process would
/// hurt: names need no process of their own.
pub(crate) fn start(
    options: &NodeOptions,
    registry: &Registry,
    readiness: &Readiness,
    tasks: &mut TaskGroup,
    shutdown: &Shutdown,
) -> anyhow::Result<Option<SocketAddr>> {
    let Some(address) = options.dns_listen.address() else { return Ok(None) };
    let sockets = Sockets::bind(address).map_err(|error| explain(Error::Names(error)))?;
    let bound = local(sockets.address()?);
    let settings = DataplaneOptions::of(options)?;
    let names = portolan_dataplane::Names { advertised: Some(options.advertised()?), ..settings.names()? };
    let (config, listeners) = names.served(&settings.network()?, vec![sockets])?;
    let (mut snapshots, board, stopping) = (registry.snapshots(), readiness.clone(), shutdown.clone());
    readiness.set("dns", State::Starting("no service is known yet".into()));
    tasks.spawn("dns", async move {
        // Who asks before waits in the sockets.
        let known = stopping.run(snapshots.wait_for(|snapshot| snapshot.index() > 0)).await;
        if matches!(known, Some(Ok(_))) {
            drop(known);
            board.set("dns", State::Ready);
            portolan_dns::serve(config, listeners, snapshots, stopping).await;
        }
    });
    progress::say(&format!("dns             {bound}"));
    Ok(Some(bound))
}
