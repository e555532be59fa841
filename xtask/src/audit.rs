//! Dependency audit: where crates come from, under which licences, and that each was a decision.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

/// Licences that a permissively licensed binary can carry.
const ALLOWED: [&str; 12] = [
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "NCSA",
    "Unicode-3.0",
    "Zlib",
];

/// The only place that third-party crates may come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Fails with every finding.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let metadata = metadata(root)?;
    let documented = std::fs::read_to_string(root.join("docs/dependencies.md")).context("read docs/dependencies.md")?;
    let findings = findings(&metadata, &documented);
    if !findings.is_empty() {
        bail!("{}", findings.join("\n"));
    }
    println!("dependencies: licences, sources and decisions are in order");
    Ok(())
}

/// The output of `cargo metadata` for the workspace.
pub(crate) fn metadata(root: &Path) -> anyhow::Result<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root)
        .output()
        .context("run cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("read the output of cargo metadata")
}

fn findings(metadata: &Value, documented: &str) -> Vec<String> {
    let packages = || metadata["packages"].as_array().into_iter().flatten();
    let mut findings = Vec::new();
    let mut direct = BTreeSet::new();
    for package in packages() {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(source) = package["source"].as_str() else {
            let dependencies = package["dependencies"].as_array().into_iter().flatten();
            direct.extend(dependencies.filter(|edge| edge["path"].is_null()).filter_map(|edge| edge["name"].as_str()));
            continue;
        };
        if source != REGISTRY {
            findings.push(format!("{name} comes from {source}; only the public crate registry is allowed"));
        }
        let license = package["license"].as_str().unwrap_or("no licence");
        if !is_allowed(license) {
            findings.push(format!("{name} is licensed under {license:?}, which is not allowed"));
        }
    }
    for line in documented.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next()) {
        if !direct.contains(line) && !["crate", "---"].contains(&line) {
            findings.push(format!("docs/dependencies.md lists {line}, which no crate uses"));
        }
    }
    for name in direct {
        if !documented.contains(&format!("| {name} |")) {
            findings.push(format!("{name} has no line in docs/dependencies.md that says what it is for"));
        }
    }
    findings
}

/// Whether an SPDX expression can be met with allowed licences. Understands what crates use:
/// `AND` over groups, `OR` (or `/`) inside them.
fn is_allowed(expression: &str) -> bool {
    expression.split(" AND ").all(|group| {
        group
            .trim_matches(['(', ')', ' '])
            .split(" OR ")
            .flat_map(|choice| choice.split('/'))
            .any(|license| ALLOWED.contains(&license.trim_matches(['(', ')', ' '])))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_as_crates_write_them() {
        for allowed in ["MIT", "MIT/Apache-2.0", "MPL-2.0 OR MIT", "(MIT OR Apache-2.0) AND Unicode-3.0"] {
            assert!(is_allowed(allowed), "{allowed}");
        }
        for refused in ["GPL-3.0-or-later", "MPL-2.0", "MIT AND GPL-2.0", "no licence"] {
            assert!(!is_allowed(refused), "{refused}");
        }
    }

    #[test]
    fn a_foreign_source_an_undocumented_and_a_stale_crate_are_found() {
        let metadata = serde_json::json!({"packages": [
            {"name": "ours", "source": null, "dependencies": [{"name": "new", "path": null}]},
            {"name": "forked", "source": "git+https://example.org/forked", "license": "MIT"},
        ]});
        let findings = findings(&metadata, "| old | reason |");
        assert_eq!(findings.len(), 3, "{findings:?}");
    }
}
