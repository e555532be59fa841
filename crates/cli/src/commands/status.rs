//! `portolan status`: where the cluster is, and how each part of it does.

use serde_json::{Value, json};

use crate::output::{self, Format, cell, print_line, table};
use crate::{Api, Common, Place};

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portolan status
  portolan status -o json | jq -r .registryUrl")]
pub struct Arguments {
    /// Output format.
    #[arg(short, long)]
    output: Option<Format>,
}

pub(crate) async fn run(common: &Common, arguments: Arguments) -> anyhow::Result<()> {
    let place = Place::required(&common.data_dir)?;
    if Place::server(&common.data_dir).is_none() {
        anyhow::bail!(
            "the server (process {}) is not running; its last words are in {}; start it with `portolan up`",
            place.pid,
            place.log.display()
        );
    }
    let api = Api::connect(&Common { kubeconfig: Some(place.kubeconfig.clone()), ..common.clone() })?;
    let report = report(&api, &place).await?;
    match arguments.output {
        Some(format) => output::document(&report, format),
        None => {
            print(&report);
            Ok(())
        }
    }
}

async fn report(api: &Api, place: &Place) -> anyhow::Result<Value> {
    let mut parts = parts(&api.text("/readyz?verbose").await?);
    for part in parts.iter_mut().filter(|part| part["state"] == "failed") {
        let why = api.text(&format!("/readyz/{}", cell(&part["name"]))).await?;
        part["reason"] = reason(&why).into();
    }
    let nodes = api.get("/api/v1/nodes", "application/json").await?;
    let services = api.get("/api/v1/services", "application/json").await?;
    let nodes: Vec<Value> = items(&nodes)
        .map(|node| {
            let ready = conditions(node).find(|condition| condition["type"] == "Ready").cloned().unwrap_or_default();
            json!({
                "name": node["metadata"]["name"], "ready": ready["status"] == "True", "reason": ready["message"],
                "version": node["status"]["nodeInfo"]["kubeletVersion"],
                "runtime": node["status"]["nodeInfo"]["containerRuntimeVersion"],
            })
        })
        .collect();
    let services: Vec<Value> = items(&services)
        .filter_map(|service| {
            let address = service["status"]["loadBalancer"]["ingress"][0]["ip"].as_str()?;
            let port = service["spec"]["ports"][0]["port"].as_u64()?;
            let url = if port == 80 { format!("http://{address}/") } else { format!("http://{address}:{port}/") };
            Some(json!({
                "namespace": service["metadata"]["namespace"], "name": service["metadata"]["name"], "url": url,
            }))
        })
        .collect();
    Ok(json!({
        "apiServerUrl": place.api_server_url, "registryUrl": place.registry_url, "dialects": place.dialects, "kubeconfig": place.kubeconfig,
        "pid": place.pid, "parts": parts, "nodes": nodes, "services": services,
    }))
}

/// The parts of the server in the lines of `/readyz?verbose`: `[+]store ok`, `[-]dns failed: reason withheld`.
fn parts(text: &str) -> Vec<Value> {
    let part = |line: &str| {
        let (mark, rest) = line.strip_prefix('[')?.split_once(']')?;
        let (name, _) = rest.trim().rsplit_once(" ok").or_else(|| rest.split_once(" failed: "))?;
        Some(json!({"name": name, "state": if mark == "+" { "ready" } else { "failed" }, "reason": ""}))
    };
    text.lines().filter_map(part).collect()
}

/// Why a single check failed, in its answer; nothing if it is well meanwhile.
fn reason(text: &str) -> &str {
    text.strip_prefix("internal server error: ").unwrap_or_default().trim()
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list["items"].as_array().into_iter().flatten()
}

fn conditions(object: &Value) -> impl Iterator<Item = &Value> {
    object["status"]["conditions"].as_array().into_iter().flatten()
}

fn print(report: &Value) {
    let rows = |list: &Value, fields: &[&str]| -> Vec<Vec<String>> {
        list.as_array()
            .into_iter()
            .flatten()
            .map(|row| fields.iter().map(|field| cell(&row[*field])).collect())
            .collect()
    };
    print_line(&format!("API server   {}", cell(&report["apiServerUrl"])));
    print_line(&format!("Registry     {}", cell(&report["registryUrl"])));
    print_line(&format!("For kubectl  export KUBECONFIG={}", cell(&report["kubeconfig"])));
    print_line("");
    table(["Part", "State", "Reason"], rows(&report["parts"], &["name", "state", "reason"]));
    print_line("");
    table(["Node", "Ready", "Version", "Runtime"], rows(&report["nodes"], &["name", "ready", "version", "runtime"]));
    let services = rows(&report["services"], &["namespace", "name", "url"]);
    if !services.is_empty() {
        print_line("");
        table(["Namespace", "Service", "URL"], services);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_readyz_become_parts() {
        let parts = parts("[+]ping ok\n[+]container runtime ok\n[-]dns failed: reason withheld\nreadyz check failed\n");
        assert_eq!(
            parts,
            [
                json!({"name": "ping", "state": "ready", "reason": ""}),
                json!({"name": "container runtime", "state": "ready", "reason": ""}),
                json!({"name": "dns", "state": "failed", "reason": ""}),
            ]
        );
        assert_eq!(reason("internal server error: port 53 is taken\n"), "port 53 is taken");
        assert_eq!(reason("ok"), "");
    }
}
