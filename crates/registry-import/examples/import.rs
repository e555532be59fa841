//! Imports `consul URL` or `eureka URL` into an API server in memory, prints what was imported after each
//! change and follows until standard input ends: to look at an import from a registry without a cluster.

use std::sync::Arc;
use std::time::Duration;

use portolan_api::typed::ServiceInstance;
use portolan_base::{Shutdown, SystemClock};
use portolan_client::testing::FakeServer;
use portolan_registry_import::{Config, Dialect, Error, Progress, Remote, run};
use tokio::io::AsyncReadExt;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (dialect, url) = match &words[..] {
        [dialect, url] if dialect == "consul" => (Dialect::Consul, url),
        [dialect, url] if dialect == "eureka" => (Dialect::Eureka, url),
        _ => return Err(Error::Setup("usage: import consul|eureka URL".into())),
    };
    let (api, shutdown) = (FakeServer::default(), Shutdown::default());
    let config = Config {
        client: api.client(),
        remote: Remote::new(url, None, "")?,
        dialect,
        namespace: "default".into(),
        name: None,
        interval: Duration::from_secs(1),
        once: false,
        clock: Arc::new(SystemClock),
    };
    let mut report = move |progress: Progress| {
        println!("{progress:?}");
        for object in api.objects::<ServiceInstance>() {
            let (health, reason) = object.effective_health();
            let ports: Vec<i32> = object.spec.ports.iter().map(|port| port.port).collect();
            println!(
                "  {} {} {} {ports:?} {} {reason}",
                object.spec.service,
                object.spec.instance_id,
                object.spec.address,
                health.as_str()
            );
        }
    };
    let ended = async {
        // An unreadable standard input has ended too.
        let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
        shutdown.request();
    };
    let (done, ()) = tokio::join!(run(config, shutdown.clone(), &mut report), ended);
    done
}
