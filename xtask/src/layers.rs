//! The arrows between crates: what each may depend on.

use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Each crate with its layer and the crates that it may use. The reasons stand in ARCHITECTURE.md.
///
/// A crate only ever uses crates of lower layers; `portolan` (layer 5) may use all.
const TABLE: [(&str, u8, &[&str]); 29] = [
    ("base", 0, &[]),
    ("api", 1, &["base"]),
    ("identity", 1, &["base"]),
    ("store", 1, &["base"]),
    ("runtime", 1, &["base"]),
    ("catalog", 2, &["base", "api"]),
    ("policy", 2, &["base", "api"]),
    ("cel", 2, &["base", "api"]),
    ("client", 2, &["base", "api"]),
    ("compose", 2, &["base", "api"]),
    ("apiserver", 2, &["base", "api", "cel", "store", "identity"]),
    ("controllers", 3, &["base", "api", "client", "identity"]),
    ("scheduler", 3, &["base", "api", "client"]),
    ("network", 3, &["base", "api", "catalog", "policy"]),
    ("dns", 3, &["base", "catalog"]),
    ("health", 3, &["base", "api", "catalog", "client"]),
    ("registrar", 3, &["base", "api", "catalog", "client", "identity"]),
    ("registry", 4, &["base", "api", "catalog", "client", "registrar"]),
    ("registry-consul", 4, &["base", "api", "catalog", "client", "identity", "registrar", "store"]),
    ("registry-eureka", 4, &["base", "api", "catalog", "client", "registrar"]),
    ("registry-zookeeper", 4, &["base", "api", "catalog", "client", "registrar", "store"]),
    ("registry-etcd", 4, &["base", "api", "catalog", "client", "registrar", "store"]),
    ("registry-import", 4, &["base", "api", "client", "registrar"]),
    ("mesh", 3, &["base", "api", "catalog", "policy", "identity"]),
    ("docker-api", 3, &["base", "api", "client", "compose"]),
    ("cli", 3, &["base", "api", "client", "compose"]),
    ("ui", 3, &["base", "api", "client", "compose"]),
    ("node", 4, &["base", "api", "client", "health", "identity", "network", "runtime"]),
    ("dataplane", 4, &["base", "api", "catalog", "client", "network", "dns"]),
];

/// Crates that may use all others.
const ON_TOP: [&str; 2] = ["portolan", "testkit"];

/// Checks the arrows of the workspace.
pub(crate) fn run() -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(crate::workspace())
        .output()
        .context("run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    let problems = problems(&arrows(&serde_json::from_slice(&output.stdout)?));
    if problems.is_empty() {
        return Ok(());
    }
    bail!("crates depend on each other against the layers:\n{}", problems.join("\n"))
}

/// From which crate to which. Dependencies of tests alone do not count.
fn arrows(metadata: &Value) -> Vec<(String, String)> {
    let list = |value: &Value, field: &str| value[field].as_array().cloned().unwrap_or_default();
    let mut arrows = Vec::new();
    for package in list(metadata, "packages") {
        let Some(from) = package["name"].as_str().and_then(|name| name.strip_prefix("portolan")) else { continue };
        for dependency in list(&package, "dependencies").iter().filter(|dependency| dependency["kind"].is_null()) {
            let Some(to) = dependency["name"].as_str().and_then(|name| name.strip_prefix("portolan")) else { continue };
            let short = |name: &str| match name.trim_start_matches('-') {
                "" => "portolan".to_owned(),
                name => name.to_owned(),
            };
            arrows.push((short(from), short(to)));
        }
    }
    arrows
}

fn problems(arrows: &[(String, String)]) -> Vec<String> {
    let row = |name: &str| TABLE.iter().find(|(row, ..)| *row == name);
    let mut problems = Vec::new();
    for (from, to) in arrows {
        match (row(from), row(to)) {
            // The binary, and what stands around the crates: benches, tests, fuzz targets.
            _ if ON_TOP.contains(&from.as_str()) || OUTSIDE.contains(&from.as_str()) => {}
            (None, _) => problems.push(format!("{from} has no layer: add it to the table")),
            (Some((.., allowed)), _) if allowed.contains(&to.as_str()) => {}
            (Some((_, layer, _)), Some((_, other, _))) => {
                problems.push(format!("{from} (layer {layer}) must not use {to} (layer {other})"));
            }
            (Some(_), None) => problems.push(format!("{from} must not use {to}")),
        }
    }
    problems
}

/// Packages around the crates.
const OUTSIDE: [&str; 4] = ["bench", "tests", "interop", "fuzz"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_obeys_the_layers() {
        if let Err(error) = run() {
            panic!("{error:#}");
        }
    }

    #[test]
    fn the_table_only_points_down() {
        for (name, layer, allowed) in TABLE {
            for target in allowed {
                let below = TABLE.iter().find(|(row, ..)| row == target).map(|(_, layer, _)| *layer);
                assert!(below.is_some_and(|below| below < layer || (below == 2 && layer == 2)), "{name} -> {target}");
            }
        }
    }

    #[test]
    fn an_arrow_against_the_layers_is_found() {
        let arrow = |from: &str, to: &str| problems(&[(from.to_owned(), to.to_owned())]);
        assert_eq!(arrow("store", "api"), ["store (layer 1) must not use api (layer 1)"]);
        assert_eq!(arrow("new", "base"), ["new has no layer: add it to the table"]);
        assert_eq!(arrow("cli", "portolan"), ["cli must not use portolan"]);
        assert!(arrow("portolan", "store").is_empty() && arrow("apiserver", "store").is_empty());
    }
}
