//! Logs, exec and port-forwarding over WebSocket, and eviction.

use anyhow::{Context, ensure};
use futures::AsyncBufReadExt;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, AttachParams, EvictParams, LogParams, PostParams};
use kube::runtime::wait;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(crate) async fn check(client: &Client, namespace: &str) -> anyhow::Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let script = "busybox mkdir /www; echo hello > /www/index.html; echo started; exec busybox httpd -f -p 80 -h /www";
    let pod = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": "web:1", "command": ["sh", "-c", script]}]},
    }))?;
    pods.create(&PostParams::default(), &pod).await?;
    wait::await_condition(pods.clone(), "web", wait::conditions::is_pod_running()).await?;
    let follow = LogParams { follow: true, ..LogParams::default() };
    let mut lines = pods.log_stream("web", &follow).await?.lines();
    let first = futures::TryStreamExt::try_next(&mut lines).await?;
    ensure!(first.as_deref() == Some("started"), "{first:?}");

    let mut process = pods.exec("web", ["sh", "-c", "busybox cat; exit 3"], &AttachParams::default().stdin(true)).await?;
    let mut stdin = process.stdin().context("no input")?;
    stdin.write_all(b"to and fro").await?;
    stdin.shutdown().await?;
    drop(stdin);
    let mut text = String::new();
    process.stdout().context("no output")?.read_to_string(&mut text).await?;
    let status = process.take_status().context("no status")?.await.context("the status did not come")?;
    ensure!(text == "to and fro" && status.reason.as_deref() == Some("NonZeroExitCode"), "{text} {status:?}");

    let mut forward = pods.portforward("web", &[80, 81]).await?;
    let mut port = forward.take_stream(80).context("no stream")?;
    port.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    let mut answer = vec![0; 15];
    port.read_exact(&mut answer).await?;
    ensure!(answer == b"HTTP/1.1 200 OK", "{}", String::from_utf8_lossy(&answer));
    let closed = forward.take_error(81).context("no error")?.await;
    ensure!(closed.as_deref().is_some_and(|why| why.starts_with("error forwarding port 81")), "{closed:?}");
    drop((port, forward));

    pods.evict("web", &EvictParams::default()).await?;
    wait::await_condition(pods, "web", crate::gone).await?;
    Ok(())
}
