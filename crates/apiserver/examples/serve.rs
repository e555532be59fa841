//! Serves the API on loopback over TLS, on a free port, from a store in a temporary folder. Prints
//! the path of a kubeconfig of its administrator, and ends when its standard input does.
//!
//! For the suites of stock clients (`interop/kubernetes`): everything is real, but no controllers,
//! scheduler and nodes are there.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portolan_apiserver::{Config, Networks, Server};
use portolan_base::{Readiness, Shutdown, SystemClock, TaskGroup};
use portolan_identity::{Authority, Request, TokenIssuer, Usage, server_tls};
use portolan_store::embedded::{Embedded, Options};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let (shutdown, mut tasks) = (Shutdown::default(), TaskGroup::default());
    let authority = Arc::new(Authority::load_or_create(folder.path(), "interop")?);
    let tokens = Arc::new(TokenIssuer::load_or_create(folder.path(), "https://kubernetes.default.svc")?);
    let certificate = |common_name: &str, usage: Usage| {
        authority.issue(&Request {
            common_name: common_name.into(),
            organization: (usage == Usage::Client).then(|| "system:masters".into()),
            dns_names: vec!["localhost".into()],
            addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            usage,
            valid_for: Duration::from_secs(24 * 3600),
        })
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let scratch = folder.path().join("scratch");
    std::fs::create_dir(&scratch)?;
    let config = Config {
        store: Arc::new(Embedded::open(Options::new(folder.path().join("store")))?),
        authority: authority.clone(),
        tokens,
        clock: Arc::new(SystemClock),
        networks: Networks::default(),
        advertise: address,
        node_client: certificate("kube-apiserver-kubelet-client", Usage::Client)?,
        readiness: Readiness::default(),
        scratch,
    };
    let server = Server::start(config).await?;
    let tls = server_tls(&certificate("kube-apiserver", Usage::Server)?, authority.certificate_pem())?;
    tasks.spawn("api server", server.serve(listener, tls, shutdown.clone()));

    let admin = certificate("kubernetes-admin", Usage::Client)?;
    let kubeconfig = folder.path().join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters: [{{name: c, cluster: {{server: 'https://{address}', certificate-authority-data: {}}}}}]\n\
         contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
         users: [{{name: u, user: {{client-certificate-data: {}, client-key-data: {}}}}}]\n",
        STANDARD.encode(authority.certificate_pem()),
        STANDARD.encode(&admin.certificate_pem),
        STANDARD.encode(&admin.key_pem),
    );
    std::fs::write(&kubeconfig, text)?;
    println!("{}", kubeconfig.display());

    let mut rest = Vec::new();
    tokio::io::stdin().read_to_end(&mut rest).await?;
    shutdown.request();
    let stuck = tasks.join(Duration::from_secs(15)).await;
    drop(folder);
    // Reading standard input blocks a thread that nothing can interrupt.
    std::process::exit(i32::from(!stuck.is_empty()));
}
