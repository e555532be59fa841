//! Reduces the OpenAPI document to compact tables.
//!
//! `schemas.txt`: one line per definition, then one indented line per field:
//!
//! ```text
//! io.k8s.api.core.v1.ServiceSpec
//!  ports []&io.k8s.api.core.v1.ServicePort map=port,protocol strategy=merge key=port
//!  type string
//! ```
//!
//! `resources.txt`: one line per group and version, then its resources and their subresources:
//!
//! ```text
//! apps/v1
//!  deployments Deployment namespaced create,delete,get,list,patch,update,watch
//!   scale autoscaling/v1/Scale get,patch,update
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

mod resources;
mod schemas;

/// The groups in the order in which upstream prefers them: a short name that two groups share
/// means the first one's resource.
const GROUPS: [&str; 23] = [
    "",
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "resource.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "registry.portolan.dev",
    MEASURED,
];

/// The group of measurements. Beta is all that it has, and nothing in it can be watched.
const MEASURED: &str = "metrics.k8s.io";

/// Resources whose objects are made when they are asked for, so that no change of them is noticed.
const UNWATCHED: [&str; 1] = ["componentstatuses"];

/// Writes the tables, or checks them.
pub(crate) fn run(openapi: &Path, check: bool) -> Result<()> {
    let root = crate::workspace().join("crates/api");
    let mut document = read(openapi)?;
    for extra in ["openapi/registry.json", "openapi/metrics.json"] {
        merge(&mut document, &read(&root.join(extra))?)?;
    }
    let resources = resources::collect(&document)?;
    let definitions = schemas::needed(&document, &resources)?;
    let files = [("resources.txt", resources::render(&resources)), ("schemas.txt", schemas::render(&definitions)?)];
    let directory = root.join("src/generated");
    let mut stale = Vec::new();
    for (name, text) in files {
        let path = directory.join(name);
        let current = fs::read_to_string(&path).unwrap_or_default();
        if current == text {
            continue;
        }
        if check {
            stale.push(name);
        } else {
            fs::create_dir_all(&directory)?;
            fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
            println!("wrote {}", path.display());
        }
    }
    if !stale.is_empty() {
        bail!("crates/api/src/generated is not current: {}; run `cargo xtask codegen`", stale.join(", "));
    }
    Ok(())
}

fn read(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("parse {}", path.display()))
}

/// Adds the definitions and paths of `extra` to `document`.
fn merge(document: &mut Value, extra: &Value) -> Result<()> {
    for part in ["definitions", "paths"] {
        let target = document.get_mut(part).and_then(Value::as_object_mut).context("no definitions or paths")?;
        for (name, value) in object(extra, part) {
            if target.insert(name.clone(), value.clone()).is_some() {
                bail!("{part}/{name} is defined twice");
            }
        }
    }
    Ok(())
}

/// The fields of an object inside `value`; none if it is absent.
fn object<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.get(field).and_then(Value::as_object).into_iter().flatten()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}
