//! An API service for each version of a group that users define, so that `kubectl get apiservices` tells all.

use http::Method;
use serde_json::json;

use super::{API_SERVICES, check};
use crate::server::Server;

/// Adds those that are missing and removes those whose group is gone.
pub(super) async fn register(server: &Server) {
    let description = server.extensions.description();
    let defined: Vec<(&str, &str)> = description
        .versions()
        .filter(|version| version.resources.iter().any(|resource| resource.custom.is_some()))
        .map(|version| (&*version.group, &*version.version))
        .collect();
    for (group, version) in &defined {
        let name = format!("{version}.{group}");
        if server.aggregation.has(&name) {
            continue;
        }
        let service = json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": name, "labels": {"kube-aggregator.kubernetes.io/automanaged": "true"}},
            "spec": {"group": group, "version": version, "groupPriorityMinimum": 1000, "versionPriority": 100},
        });
        match check::ask(server, Method::POST, API_SERVICES, Some(&service)).await {
            Err(status) if status.reason() != "AlreadyExists" => {
                tracing::warn!(name, error = %status, "a group could not be registered");
            }
            _ => {}
        }
    }
    for name in server.aggregation.automatic() {
        if defined.iter().any(|(group, version)| name == format!("{version}.{group}")) {
            continue;
        }
        match check::ask(server, Method::DELETE, &format!("{API_SERVICES}/{name}"), None).await {
            Err(status) if status.reason() != "NotFound" => {
                tracing::warn!(name, error = %status, "a group that is gone could not be removed");
            }
            _ => {}
        }
    }
}
