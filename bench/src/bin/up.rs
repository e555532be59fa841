//! From nothing to an API and to a running pod, with real containers.
//!
//! Needs root, containerd and a static program for the image (Debian's busybox-static).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use clap::Parser;
use portolan_bench::cluster::send;
use portolan_bench::process::portolan;
use portolan_bench::report::{figure, quantile};
use portolan_client::HttpsTransport;

/// Measures start-up.
#[derive(Debug, Parser)]
struct Options {
    /// Clusters to start, one after the other.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// A static program that serves as an image.
    #[arg(long, default_value = "/bin/busybox")]
    program: PathBuf,
    /// Bridge to use; must not exist.
    #[arg(long, default_value = "bench0")]
    bridge: String,
}

/// How long one cluster took.
struct Times {
    api: Duration,
    up: Duration,
    pod: Duration,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let (mut api, mut up, mut pod, mut sum) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let folder = tempfile::Builder::new().prefix("pb").tempdir()?;
        let times = round(folder.path(), &options).await;
        let down = command(folder.path(), &options, "down")?.status()?;
        let times = times?;
        ensure!(down.success(), "down failed: {down}");
        api.push(times.api);
        up.push(times.up);
        pod.push(times.pod);
        sum.push(times.up + times.pod);
    }
    let print = |what: &str, times: &mut Vec<Duration>, target: &str| {
        let (least, median) = (quantile(times, 0.0), quantile(times, 0.5));
        figure(
            what,
            median.as_secs_f64() * 1e3,
            "ms p50",
            &format!("least {:.0}; {target}", least.as_secs_f64() * 1e3),
        );
    };
    print("up to API ready", &mut api, "target <= 300");
    print("up to everything ready", &mut up, "");
    print("pod created to running, image present", &mut pod, "");
    print("up to first pod running", &mut sum, "target <= 2000");
    Ok(())
}

/// A command of our binary about a cluster with names of its own.
fn command(folder: &Path, options: &Options, verb: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(portolan()?);
    command.arg(verb).arg("--data-dir").arg(folder.join("d")).arg("--run-dir").arg(folder.join("r"));
    command.args(["--bridge", &options.bridge]).stdin(Stdio::null()).stdout(Stdio::null());
    Ok(command)
}

async fn round(folder: &Path, options: &Options) -> anyhow::Result<Times> {
    let kubeconfig = folder.join("d/admin.kubeconfig");
    let started = Instant::now();
    let mut up = command(folder, options, "up")?;
    up.args(["--listen", "127.0.0.1:0", "--registry-listen", "127.0.0.1:0", "--agent-port", "0", "--node-name", "n1"]);
    up.args(["--pod-cidr", "10.171.0.0/24", "--service-cidr", "10.172.0.0/16", "--cluster-dns", "10.172.0.10"]);
    up.args(["--load-balancer-cidr", "10.173.0.0/24"]);
    let mut up = up.stderr(Stdio::inherit()).spawn().context("start portolan up")?;
    let transport = loop {
        if let Ok(transport) = HttpsTransport::from_kubeconfig(&kubeconfig)
            && send(&transport, "GET", "/version", Bytes::new()).await.is_ok()
        {
            break transport;
        }
        ensure!(started.elapsed() < Duration::from_secs(60), "the API did not come up");
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    let api = started.elapsed();
    let status = tokio::task::spawn_blocking(move || up.wait()).await??;
    ensure!(status.success(), "up failed: {status}");
    let up = started.elapsed();
    build_image(folder, options)?;
    let pod = first_pod(&transport).await?;
    Ok(Times { api, up, pod })
}

fn build_image(folder: &Path, options: &Options) -> anyhow::Result<()> {
    let context = folder.join("image");
    std::fs::create_dir(&context)?;
    std::fs::copy(&options.program, context.join("busybox")).context("copy the program of the image")?;
    std::fs::write(
        context.join("Dockerfile"),
        "FROM scratch\nCOPY busybox /busybox\nCMD [\"/busybox\", \"sleep\", \"3600\"]\n",
    )?;
    let mut build = Command::new(portolan()?);
    build.args(["image", "build", "--data-dir"]).arg(folder.join("d")).args(["-t", "bench/pause:1"]).arg(&context);
    let status = build.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    ensure!(status.success(), "image build failed: {status}");
    Ok(())
}

async fn first_pod(transport: &HttpsTransport) -> anyhow::Result<Duration> {
    let path = "/api/v1/namespaces/default/pods";
    let pod = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "first", "namespace": "default"},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "first", "image": "bench/pause:1", "imagePullPolicy": "Never"}],
        },
    });
    let started = Instant::now();
    send(transport, "POST", path, Bytes::from(pod.to_string())).await?;
    loop {
        let pod = send(transport, "GET", &format!("{path}/first"), Bytes::new()).await?;
        let pod: serde_json::Value = serde_json::from_slice(&pod)?;
        if pod["status"]["phase"] == "Running" {
            return Ok(started.elapsed());
        }
        ensure!(started.elapsed() < Duration::from_secs(60), "the pod does not run: {}", pod["status"]);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
