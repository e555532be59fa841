//! Store, API server, controllers and scheduler.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use portolan_apiserver::{Access, Config, Networks, Server};
use portolan_base::readiness::State;
use portolan_base::{Readiness, Shutdown, SystemClock, TaskGroup};
use portolan_catalog::{Catalog, Snapshot};
use portolan_client::{Client, Informers};
use portolan_identity::{User, server_tls, server_tls_for_any_certificate};
use portolan_registrar::{Changes, PartitionPolicy, Registrar};
use portolan_store::Store;
use portolan_store::embedded::Embedded;
use tokio::sync::watch;

use crate::config::{ServerOptions, host_name};
use crate::credentials::{self, Credentials};
use crate::ports;
use crate::roles::local_node::start_informers;
use crate::roles::registry;
use crate::transport::InProcess;

/// A running control plane.
pub(crate) struct ControlPlane {
    /// Where clients reach the API.
    pub(crate) url: String,
    /// Where processes on this machine reach it.
    pub(crate) local_url: String,
    /// The copies of objects that all parts of this process share.
    pub(crate) informers: Arc<Informers>,
    /// The catalog of those objects.
    pub(crate) snapshots: watch::Receiver<Arc<Snapshot>>,
    server: Arc<Server>,
    store: Arc<Embedded>,
}

impl ControlPlane {
    /// Starts everything, the API first.
    pub(crate) async fn start(
        options: &ServerOptions,
        credentials: &Credentials,
        readiness: &Readiness,
        tasks: &mut TaskGroup,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Self> {
        let listener = ports::listen(options.listen, "the API server", "--listen").await?;
        let port = listener.local_addr()?.port();
        let store = Arc::new(Embedded::open(options.store())?);

        let scratch = fresh_folder(options.node.folders.data_dir.join("scratch"))?;
        let advertise = SocketAddr::new(options.advertised()?, port);
        let server = Server::start(Config {
            store: store.clone(),
            authority: credentials.authority.clone(),
            tokens: credentials.tokens.clone(),
            clock: Arc::new(SystemClock),
            networks: Networks {
                service_cidr: options.node.service_cidr.parse()?,
                load_balancer_cidr: options.node.load_balancer_cidr.parse()?,
                cluster_domain: options.node.cluster_domain.clone(),
                ..Networks::default()
            },
            advertise,
            node_client: credentials.node_client.clone(),
            access: Access {
                service_accounts: options.service_accounts.service_accounts()?,
                ..options.access.access(&options.node.folders.identity(), credentials.tokens.issuers())?
            },
            readiness: readiness.clone(),
            scratch,
        })
        .await?;
        let own = credentials.authority.certificate_pem();
        let clients = format!("{own}\n{}", options.access.client_authorities()?);
        let tls = server_tls_for_any_certificate(&credentials.api_server, &clients)?;
        tasks.spawn("api server", server.clone().serve(listener, tls, shutdown.clone()));

        let local = match options.listen.ip() {
            address if address.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            address => address,
        };
        credentials.write_kubeconfig(options, SocketAddr::new(local, port))?;
        let local_url = format!("https://{}", SocketAddr::new(local, port));
        let url = format!(
            "https://{}",
            SocketAddr::new(if options.listen.ip().is_unspecified() { advertise.ip() } else { local }, port)
        );
        // One set of informers serves all: an object is decoded once per process.
        let client = Client::new(Arc::new(InProcess::new(server.clone(), credentials::controllers())));
        let informers = start_informers(client, tasks, shutdown);
        let (sender, snapshots) = watch::channel(Catalog::default().snapshot());
        tasks.spawn("catalog", portolan_dataplane::feed(informers.clone(), sender, shutdown.clone()));
        let control_plane = Self { url, local_url, informers, snapshots, server, store };
        control_plane.start_loops(options, credentials, readiness, tasks, shutdown)?;
        Ok(control_plane)
    }

    fn start_loops(
        &self,
        options: &ServerOptions,
        credentials: &Credentials,
        readiness: &Readiness,
        tasks: &mut TaskGroup,
        shutdown: &Shutdown,
    ) -> anyhow::Result<()> {
        let clock = Arc::new(SystemClock);
        let controllers = portolan_controllers::Config {
            client: self.client(credentials::controllers()).named("kube-controller-manager"),
            informers: self.informers.clone(),
            clock: clock.clone(),
            root_ca_pem: credentials.authority.certificate_pem().to_owned(),
            load_balancer_cidr: options.node.load_balancer_cidr.clone(),
            node_times: portolan_controllers::NodeTimes::default(),
            legacy_token_period: options.service_accounts.legacy_token_period(),
            keys: Arc::new(credentials.keys()),
        };
        let controllers = portolan_controllers::run(controllers, shutdown.clone());
        tasks.spawn("controllers", on_board("controller-manager", readiness.clone(), controllers));
        let scheduler = portolan_scheduler::Config {
            client: self.client(credentials::scheduler()).named("kube-scheduler"),
            informers: self.informers.clone(),
            clock,
            name: "default-scheduler".into(),
            host: host_name()?,
        };
        let scheduler = portolan_scheduler::run(scheduler, shutdown.clone());
        tasks.spawn("scheduler", on_board("scheduler", readiness.clone(), scheduler));
        Ok(())
    }

    /// Starts what keeps the registrations of all dialects.
    pub(crate) fn start_registrar(
        &self,
        policy: PartitionPolicy,
        credentials: &Credentials,
        tasks: &mut TaskGroup,
        shutdown: &Shutdown,
    ) -> anyhow::Result<registry::Parts> {
        let client = self.client(credentials::registry()).named("portolan-registry");
        let registrar = Registrar::new(client.clone(), self.informers.informer());
        let registrar = Arc::new(registrar.with_machines(self.informers.informer()).with_policy(policy));
        let (running, stopping) = (registrar.clone(), shutdown.clone());
        tasks.spawn("registrations", async move {
            stopping.run(running.run()).await;
        });
        let changes = Changes::new(self.snapshots.clone());
        let (running, stopping) = (changes.clone(), shutdown.clone());
        tasks.spawn("changes", async move { running.run(stopping).await });
        let tls = server_tls(&credentials.registry, credentials.authority.certificate_pem())?;
        let (informers, store) = (self.informers.clone(), self.store.clone());
        Ok(registry::Parts { client, informers, registrar, changes, store, tls })
    }

    /// A client in this process, under an identity.
    pub(crate) fn client(&self, user: User) -> Client {
        Client::new(Arc::new(InProcess::new(self.server.clone(), user)))
    }

    /// Makes the last writes durable and gives the store's folder back.
    pub(crate) async fn close(&self) {
        let revision = self.store.status().await.revision;
        let store = self.store.clone();
        // Closing waits for the disk.
        if tokio::task::spawn_blocking(move || store.close()).await.is_err() {
            tracing::error!("the store's last flush panicked");
        }
        tracing::info!(%revision, "store closed");
    }
}

/// A loop that is on the board for as long as it runs, by the name that clients know it by.
async fn on_board(part: &'static str, readiness: Readiness, running: impl Future<Output = ()>) {
    /// However the loop ends.
    struct Running(Readiness, &'static str);
    impl Drop for Running {
        fn drop(&mut self) {
            self.0.set(self.1, State::Failed("it has ended".to_owned()));
        }
    }
    readiness.set(part, State::Ready);
    let _running = Running(readiness, part);
    running.await;
}

/// A folder with nothing from an earlier run in it.
fn fresh_folder(folder: PathBuf) -> anyhow::Result<PathBuf> {
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("empty {}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    Ok(folder)
}
