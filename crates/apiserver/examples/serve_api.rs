//! Serves the API over an embedded store in a folder, for trying it with stock clients:
//!
//! ```text
//! cargo run -p portolan-apiserver --example serve_api -- /tmp/try 127.0.0.1:6443
//! kubectl --kubeconfig /tmp/try/admin.kubeconfig get namespaces
//! ```

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use portolan_apiserver::{Access, Config, Networks, Server};
use portolan_base::{Readiness, Shutdown, SystemClock};
use portolan_identity::{Authority, KeyPairPem, Request, TokenIssuer, Usage, server_tls_for_any_certificate};
use portolan_store::embedded::{Embedded, Options};
use tokio::net::TcpListener;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .init();
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().context("the first argument is a folder")?);
    let address: SocketAddr = arguments.next().unwrap_or_else(|| "127.0.0.1:6443".into()).parse()?;

    let authority = Arc::new(Authority::load_or_create(&directory.join("pki"), "portolan-ca")?);
    let issue = |name: &str, group: Option<&str>, usage| {
        authority.issue(&Request {
            common_name: name.into(),
            organizations: [group.map(str::to_owned), None],
            dns_names: vec!["localhost".into(), "kubernetes.default.svc".into()],
            addresses: vec![address.ip()],
            usage,
            valid_for: YEAR,
        })
    };
    let listener = TcpListener::bind(address).await.context("listen")?;
    let address = listener.local_addr()?;
    let store = Embedded::open(Options::new(directory.join("store")))?;
    let config = Config {
        store: Arc::new(store),
        authority: authority.clone(),
        tokens: Arc::new(TokenIssuer::load_or_create(&directory.join("pki"), "https://kubernetes.default.svc")?),
        clock: Arc::new(SystemClock),
        networks: Networks::default(),
        advertise: address,
        node_client: issue("system:apiserver", Some("system:masters"), Usage::Client)?,
        access: Access::default(),
        readiness: Readiness::default(),
        scratch: directory.to_path_buf(),
    };
    let tls = server_tls_for_any_certificate(&issue("apiserver", None, Usage::Server)?, authority.certificate_pem())?;
    let server = Server::start(config).await?;
    let admin = issue("admin", Some("system:masters"), Usage::Client)?;
    let kubeconfig = directory.join("admin.kubeconfig");
    write_kubeconfig(&kubeconfig, address, authority.certificate_pem(), &admin)?;
    println!("export KUBECONFIG={}", kubeconfig.display());

    let shutdown = Shutdown::default();
    let serving = tokio::spawn(server.serve(listener, tls, shutdown.clone()));
    tokio::signal::ctrl_c().await?;
    shutdown.request();
    serving.await?;
    Ok(())
}

fn write_kubeconfig(path: &Path, address: SocketAddr, ca: &str, admin: &KeyPairPem) -> anyhow::Result<()> {
    use base64::Engine;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let config = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "try",
        "clusters": [{"name": "try", "cluster": {
            "server": format!("https://{address}"), "certificate-authority-data": encode(ca),
        }}],
        "users": [{"name": "admin", "user": {
            "client-certificate-data": encode(&admin.certificate_pem), "client-key-data": encode(&admin.key_pem),
        }}],
        "contexts": [{"name": "try", "context": {"cluster": "try", "user": "admin"}}],
    });
    std::fs::write(path, serde_json::to_vec_pretty(&config)?).context("write the kubeconfig")
}
