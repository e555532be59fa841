//! Health checks of instances and machines, run by this process.

use std::sync::Arc;

use portolan_base::{Shutdown, SystemClock, TaskGroup};
use portolan_client::{Client, Informers};
use portolan_health::probe::tls::Trust;
use portolan_health::probe::{Prober, Scripts};

/// Tries under way at the same time: each is a socket and a few buffers.
const CONCURRENCY: usize = 1024;

/// Runs the checks that fall to `node`, or, without one, those that no node can run.
///
/// With scripts allowed, whoever may register may run commands as this process.
pub(crate) fn start(
    client: Client,
    informers: Arc<Informers>,
    node: Option<String>,
    authority_pem: String,
    scripts: Scripts,
    tasks: &mut TaskGroup,
    shutdown: &Shutdown,
) {
    let config = portolan_health::Config {
        client,
        informers,
        clock: Arc::new(SystemClock),
        node,
        prober: Prober { trust: Trust::with_authority(Some(authority_pem)), scripts },
        concurrency: CONCURRENCY,
    };
    tasks.spawn("health checks", portolan_health::run(config, shutdown.clone()));
}
