//! What the tests of failures share: a quick client, what containerd runs, processes, random numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use portolan_tests::{Cluster, command, eventually, web_image};
use serde_json::Value;

/// Numbers that are random enough to choose moments, and the same again for the same seed (splitmix64).
pub(crate) struct Random(u64);

impl Random {
    /// Seeded by `PORTOLAN_SEED`, else by the clock; prints the seed.
    pub(crate) fn seeded() -> Self {
        let given = std::env::var("PORTOLAN_SEED").ok().and_then(|seed| seed.parse().ok());
        let clock = || SystemTime::UNIX_EPOCH.elapsed().map_or(1, |time| time.as_nanos() as u64);
        let seed = given.unwrap_or_else(clock);
        println!("PORTOLAN_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.below(256) as u8).collect()
    }
}

/// Plain HTTP to the API through `kubectl proxy`: thousands of requests without a process for each.
pub(crate) struct Proxy {
    kubectl: Child,
    address: String,
}

impl Proxy {
    pub(crate) fn start(cluster: &Cluster) -> anyhow::Result<Self> {
        let mut kubectl = cluster.kubectl_command();
        let mut kubectl = kubectl.args(["proxy", "--port=0"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut line = String::new();
        BufReader::new(kubectl.stdout.take().context("piped")?).read_line(&mut line)?;
        let address = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
        Ok(Self { kubectl, address })
    }

    /// Status code and body of the answer.
    pub(crate) fn request(&self, method: &str, path: &str, body: &str) -> anyhow::Result<(u16, Value)> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").context("an HTTP answer has a head")?;
        let code = head.split_whitespace().nth(1).context("a status line has a code")?.parse()?;
        Ok((code, serde_json::from_str(body).with_context(|| format!("{code} {body:?}"))?))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
    }
}

/// Builds the small web server's image under a name.
pub(crate) fn build_image(cluster: &Cluster, name: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    web_image(folder.path(), "hello").expect("written");
    let path = folder.path().to_str().expect("a temporary folder has a printable name");
    cluster.portolan(&["image", "build", "-t", name, path]).expect("built");
}

/// The items of a list.
pub(crate) fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list["items"].as_array().into_iter().flatten()
}

/// A deployment of the small web server that ends quickly, with a load balancer.
pub(crate) fn web(name: &str, replicas: u32) -> String {
    format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{{name: web, image: "web:1"}}]
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  selector: {{app: {name}}}
  ports: [{{port: 80}}]
  type: LoadBalancer
"#
    )
}

/// Address and port of a load balancer.
pub(crate) fn address(cluster: &Cluster, service: &str) -> String {
    eventually("the load balancer has an address", || {
        let service = cluster.kubectl_json(&format!("get service {service}"))?;
        let address = service["status"]["loadBalancer"]["ingress"][0]["ip"].as_str().context("no address yet")?;
        Ok(format!("{address}:80"))
    })
}

/// What containerd has, asked with its own client.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Containers {
    pub(crate) sandboxes: BTreeSet<String>,
    /// Those of pods, running or not.
    pub(crate) containers: BTreeSet<String>,
    /// First process of each that runs.
    pub(crate) running: BTreeMap<String, u32>,
}

impl Containers {
    pub(crate) fn look(cluster: &Cluster) -> anyhow::Result<Self> {
        let kind = |kind: &str| -> anyhow::Result<BTreeSet<String>> {
            let filter = format!("labels.\"io.cri-containerd.kind\"=={kind}");
            let printed = ctr(cluster, &["containers", "list", "-q", &filter])?;
            Ok(printed.split_whitespace().map(str::to_owned).collect())
        };
        let mut running = BTreeMap::new();
        for line in ctr(cluster, &["tasks", "list"])?.lines().skip(1) {
            let mut words = line.split_whitespace();
            if let (Some(id), Some(pid), Some("RUNNING")) = (words.next(), words.next(), words.next()) {
                running.insert(id.to_owned(), pid.parse()?);
            }
        }
        Ok(Self { sandboxes: kind("sandbox")?, containers: kind("container")?, running })
    }

    pub(crate) fn live_sandboxes(&self) -> Vec<&String> {
        self.sandboxes.iter().filter(|id| self.running.contains_key(*id)).collect()
    }
}

fn ctr(cluster: &Cluster, arguments: &[&str]) -> anyhow::Result<String> {
    let socket = cluster.run_dir().join("containerd.sock");
    command(Command::new("ctr").arg("-a").arg(socket).args(["-n", "k8s.io"]).args(arguments))
}

/// Fails unless each pod has one sandbox, each running container of a status runs in containerd, and
/// nothing else runs there.
pub(crate) fn none_lost_or_doubled(cluster: &Cluster) -> anyhow::Result<()> {
    let pods = cluster.kubectl_json("get pods -A")?;
    let found = Containers::look(cluster)?;
    let mut expected = BTreeSet::new();
    for pod in items(&pods) {
        ensure!(pod["metadata"]["deletionTimestamp"].is_null(), "{} is being deleted", pod["metadata"]["name"]);
        for kind in ["containerStatuses", "initContainerStatuses"] {
            for status in pod["status"][kind].as_array().into_iter().flatten() {
                if !status["state"]["running"].is_null() {
                    expected.insert(container_id(status));
                }
            }
        }
    }
    let running: BTreeSet<String> = found.running.keys().filter(|id| found.containers.contains(*id)).cloned().collect();
    ensure!(running == expected, "statuses say {expected:?}, containerd runs {running:?}");
    // A dead sandbox may stay beside its successor as long as it holds the log of the container before.
    let ended = |pod: &&Value| pod["status"]["phase"] == "Succeeded" || pod["status"]["phase"] == "Failed";
    let (pods, sandboxes) = (items(&pods).filter(|pod| !ended(pod)).count(), found.live_sandboxes().len());
    ensure!(sandboxes == pods, "{pods} pods, {sandboxes} sandboxes");
    Ok(())
}

/// Id of a container in a container status, without the runtime's name.
pub(crate) fn container_id(status: &Value) -> String {
    status["containerID"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned()
}

/// One line per container of all pods, with everything that changes when one is started again.
pub(crate) fn identities(cluster: &Cluster) -> anyhow::Result<BTreeSet<String>> {
    let pods = cluster.kubectl_json("get pods -A")?;
    let mut lines = BTreeSet::new();
    for pod in items(&pods) {
        let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
        let ready = conditions.filter(|condition| condition["type"] == "Ready").map(|it| &it["lastTransitionTime"]);
        let ready: Vec<&Value> = ready.collect();
        for kind in ["containerStatuses", "initContainerStatuses"] {
            for status in pod["status"][kind].as_array().into_iter().flatten() {
                lines.insert(format!(
                    "{} {} {} {} {} ready since {ready:?}",
                    pod["metadata"]["name"],
                    pod["status"]["podIP"],
                    status["containerID"],
                    status["restartCount"],
                    status["state"]
                ));
            }
        }
    }
    Ok(lines)
}

/// Process ids whose arguments contain all of `words`.
pub(crate) fn processes(words: &[&str]) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        !line.is_empty() && words.iter().all(|word| line.contains(word))
    })
    .collect()
}

/// Whether a process is there and has not ended.
pub(crate) fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X'])))
}

/// Resident memory of a process in kilobytes.
pub(crate) fn resident_kilobytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or_default()
}
