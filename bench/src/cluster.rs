//! A control plane to measure, and requests to it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use portolan_client::{HttpsTransport, Transport};

use crate::process::{Server, portolan};

/// A control plane without containers.
pub struct ControlPlane {
    /// The process.
    pub server: Server,
    /// How to reach it as administrator.
    pub kubeconfig: PathBuf,
    /// From the start of the process to its first answer.
    pub startup: Duration,
}

impl ControlPlane {
    /// Starts one in a folder and waits until it answers.
    ///
    /// # Errors
    /// It was not built or does not come up.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        Self::start_with(folder, &["--consul-listen", "off", "--eureka-listen", "off"]).await
    }

    /// The same with further flags.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_with(folder: &Path, flags: &[&str]) -> anyhow::Result<Self> {
        let data = folder.join("data");
        let mut command = Command::new(portolan()?);
        command.args(["server", "--no-agent", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&data);
        command.arg("--run-dir").arg(folder.join("run")).args(["--registry-listen", "127.0.0.1:0"]).args(flags);
        let started = Instant::now();
        let server = Server::start(&mut command, &folder.join("server.log"))?;
        let kubeconfig = data.join("admin.kubeconfig");
        loop {
            if kubeconfig.exists()
                && let Ok(transport) = HttpsTransport::from_kubeconfig(&kubeconfig)
                && transport.send(Request::get("/readyz").body(Bytes::new())?).await.is_ok()
            {
                return Ok(Self { server, kubeconfig, startup: started.elapsed() });
            }
            ensure!(
                started.elapsed() < Duration::from_secs(30),
                "the server did not come up: {}",
                std::fs::read_to_string(folder.join("server.log"))?
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// A connection of its own.
    ///
    /// # Errors
    /// The kubeconfig is damaged.
    pub fn connect(&self) -> anyhow::Result<HttpsTransport> {
        Ok(HttpsTransport::from_kubeconfig(&self.kubeconfig)?)
    }
}

/// Sends a request and returns the whole answer.
///
/// # Errors
/// It failed or was refused.
pub async fn send(transport: &HttpsTransport, method: &str, path: &str, body: Bytes) -> anyhow::Result<Bytes> {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json").body(body)?;
    let response = transport.send(request).await?;
    let status = response.status();
    let bytes = response.into_body().collect().await.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
    ensure!(status.is_success(), "{method} {path}: {status} {}", String::from_utf8_lossy(&bytes));
    Ok(bytes)
}

/// The manifest of a pod of ordinary size that no scheduler takes up: the figures are those of the
/// API server, as those of its peers are.
pub fn pod(index: usize) -> Bytes {
    let pod = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("web-{index:06}"), "namespace": "default",
            "labels": {"app": "web", "pod-template-hash": "6c9f7d5b4", "tier": format!("t{}", index % 10)},
            "annotations": {"bench.portolan.dev/note": "a pod of ordinary size, as a ReplicaSet would make it"},
        },
        "spec": {"schedulerName": "nobody", "containers": [{
            "name": "web", "image": "registry.local/shop/web:1.27.3",
            "ports": [{"containerPort": 8080, "name": "http"}],
            "env": [{"name": "MODE", "value": "production"}, {"name": "REGION", "value": "north"}],
            "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
            "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}},
        }]},
    });
    Bytes::from(pod.to_string())
}
