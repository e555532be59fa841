//! What one request costs the server without HTTP/2 and TLS: admission, checks, owners, store.
//!
//! ```sh
//! cargo bench -p portolan-apiserver --bench writes
//! ```
//!
//! prints the time of each verb, the disk included. To count instructions, which neighbours on the machine do not
//! change, run the built bench under `valgrind --tool=callgrind` with the name of a verb and a number of rounds, once
//! with more rounds and once with fewer, and divide the difference.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::BodyExt;
use portolan_apiserver::{Access, Config, Networks, Peer, Server, full};
use portolan_base::{Readiness, SystemClock};
use portolan_identity::{Authority, Request as CertificateRequest, TokenIssuer, Usage, User};
use portolan_store::embedded::{Embedded, Options};
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PODS: &str = "/api/v1/namespaces/default/pods";
const JSON: &str = "application/json";
const APPLY: &str = "application/apply-patch+yaml";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// Pods that every verb finds.
const COUNT: usize = 24;

/// What is measured, in this order.
const VERBS: [&str; 7] = ["create", "get", "update", "patch", "apply-first", "apply-field", "apply-nothing"];

/// A request.
struct Sent {
    method: Method,
    path: String,
    media_type: &'static str,
    body: Bytes,
}

struct Bench {
    server: Arc<Server>,
    user: Arc<User>,
    _directory: tempfile::TempDir,
}

impl Bench {
    async fn start() -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let authority = Arc::new(Authority::load_or_create(directory.path(), "bench")?);
        let node_client = authority.issue(&CertificateRequest {
            common_name: "system:apiserver".into(),
            organizations: [None, None],
            dns_names: Vec::new(),
            addresses: Vec::new(),
            usage: Usage::Client,
            valid_for: Duration::from_secs(3600),
        })?;
        let config = Config {
            store: Arc::new(Embedded::open(Options::new(directory.path().join("store")))?),
            authority,
            tokens: Arc::new(TokenIssuer::load_or_create(directory.path(), "https://kubernetes.default.svc")?),
            clock: Arc::new(SystemClock),
            networks: Networks::default(),
            advertise: ([192, 0, 2, 10], 6443).into(),
            node_client,
            access: Access::default(),
            readiness: Readiness::default(),
            scratch: directory.path().to_path_buf(),
        };
        let user = Arc::new(User::new("admin", ["system:masters"]));
        let bench = Self { server: Server::start(config).await?, user, _directory: directory };
        let account = json!({"metadata": {"name": "default"}});
        bench.send(sent(Method::POST, "/api/v1/namespaces/default/serviceaccounts", JSON, &account)).await?;
        Ok(bench)
    }

    async fn send(&self, sent: Sent) -> anyhow::Result<Bytes> {
        let Sent { method, path, media_type, body } = sent;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", media_type)
            .header("user-agent", "bench/1")
            .body(full(body))?;
        let (head, body) = self.server.handle(request, Peer::Trusted(self.user.clone())).await.into_parts();
        let body = body.collect().await.map_err(anyhow::Error::from_boxed)?.to_bytes();
        ensure!(head.status.is_success(), "{}: {}", head.status, String::from_utf8_lossy(&body));
        Ok(body)
    }

    /// Makes the pods, with what a verb wants to find.
    async fn prepare(&self, verb: &str) -> anyhow::Result<()> {
        for index in 0..COUNT {
            self.send(sent(Method::POST, PODS, JSON, &pod(index, "as it was created"))).await?;
            if verb.starts_with("apply") && verb != "apply-first" {
                self.send(applied(index, "as it was created")).await?;
            }
        }
        Ok(())
    }

    /// Sends what a verb sends for the `round`th time.
    async fn act(&self, verb: &str, round: usize) -> anyhow::Result<Bytes> {
        let index = round % COUNT;
        let turn = round / COUNT;
        let sent = match verb {
            "create" => sent(Method::POST, PODS, JSON, &pod(COUNT + round, "as it was created")),
            "get" => sent(Method::GET, &path(index), JSON, &Value::Null),
            "update" => sent(Method::PUT, &path(index), JSON, &pod(index, &format!("update {turn}"))),
            "patch" => {
                let note = json!({"metadata": {"annotations": {"bench.portolan.dev/patched": round.to_string()}}});
                sent(Method::PATCH, &path(index), STRATEGIC, &note)
            }
            "apply-first" if turn > 0 => bail!("at most {COUNT} rounds"),
            "apply-first" | "apply-nothing" => applied(index, "as it was created"),
            "apply-field" => applied(index, &format!("apply {turn}")),
            other => bail!("there is no verb {other}: {VERBS:?}"),
        };
        self.send(sent).await
    }
}

fn sent(method: Method, path: &str, media_type: &'static str, body: &Value) -> Sent {
    let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
    Sent { method, path: path.to_owned(), media_type, body }
}

fn applied(index: usize, note: &str) -> Sent {
    let path = format!("{}?fieldManager=bench&force=true", path(index));
    sent(Method::PATCH, &path, APPLY, &pod(index, note))
}

fn path(index: usize) -> String {
    format!("{PODS}/writes-{index:06}")
}

/// A pod that takes about 4 KiB once defaults are filled in: that of the bench over HTTPS.
fn pod(index: usize, note: &str) -> Value {
    let variables: Vec<Value> = (0..14)
        .map(|number| json!({"name": format!("SETTING_{number}"), "value": format!("the value of setting {number}")}))
        .collect();
    let container = |name: &str| {
        json!({
            "name": name, "image": "registry.local/shop/web:1.27.3", "args": ["--listen=0.0.0.0:8080", "--log=info"],
            "ports": [{"containerPort": 8080, "name": "http", "protocol": "TCP"}], "env": variables,
            "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
            "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}},
        })
    };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("writes-{index:06}"), "namespace": "default",
            "labels": {"app": "web", "pod-template-hash": "6c9f7d5b4", "tier": format!("t{}", index % 10)},
            "annotations": {"bench.portolan.dev/note": note},
        },
        "spec": {"schedulerName": "nobody", "containers": [container("web"), container("sidecar")]},
    })
}

async fn run(verb: &str, rounds: usize) -> anyhow::Result<()> {
    let bench = Bench::start().await?;
    bench.prepare(verb).await?;
    let start = Instant::now();
    let mut size = 0;
    for round in 0..rounds {
        size = bench.act(verb, round).await.with_context(|| format!("{verb} {round}"))?.len();
    }
    if let Ok(rounds) = u32::try_from(rounds) {
        println!(
            "{verb:<16} {:>9.2} us, answer of {size} bytes",
            (start.elapsed() / rounds.max(1)).as_secs_f64() * 1e6
        );
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with("--")).collect();
    match &arguments[..] {
        [verb, rounds] => runtime.block_on(run(verb, rounds.parse().context("a number of rounds")?)),
        _ => VERBS.iter().try_for_each(|verb| runtime.block_on(run(verb, COUNT))),
    }
}
