//! `portolan registry services` and `deregister`

use http::Method;
use serde_json::Value;

use crate::Common;
use crate::commands::registry_http::{Registry, instance_path};
use crate::output::{self, Format, cell, print_line, table};

/// Arguments of `registry services`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// URL of another registry [default: the one on this machine].
    #[arg(long)]
    url: Option<String>,
    /// Output format.
    #[arg(short, long)]
    output: Option<Format>,
}

/// Arguments of `registry deregister`.
#[derive(Debug, clap::Args)]
pub struct DeregisterArguments {
    /// Id of the instance, or the name of its object.
    id: String,
    /// URL of another registry [default: the one on this machine].
    #[arg(long)]
    url: Option<String>,
}

pub(crate) async fn run(common: &Common, arguments: Arguments) -> anyhow::Result<()> {
    let registry = Registry::connect(common, arguments.url)?;
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if let Some(namespace) = &common.namespace {
        query.append_pair("namespace", namespace);
    }
    let path = |what: &str, query: &str| format!("/{what}?{query}");
    let query = query.finish();
    let services = registry.json(Method::GET, &path("services", &query), None).await?;
    if output::listed("service", &services, arguments.output)? {
        return Ok(());
    }
    let instances = registry.json(Method::GET, &path("instances", &query), None).await?;
    table(["namespace", "name", "type", "passing", "warning", "critical"], rows(&services, &instances));
    Ok(())
}

/// A row per service: how many of its instances are in which state.
fn rows(services: &Value, instances: &Value) -> Vec<Vec<String>> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let instances = list(instances);
    let row = |service: &Value| {
        let of_service =
            |instance: &&Value| instance["namespace"] == service["namespace"] && instance["service"] == service["name"];
        let count = |health: &str| {
            let found = instances.iter().filter(of_service).filter(|instance| instance["health"] == health);
            found.count().to_string()
        };
        let mut row = ["namespace", "name", "type"].map(|field| cell(&service[field])).to_vec();
        row.extend(["passing", "warning", "critical"].map(count));
        row
    };
    list(services).iter().map(row).collect()
}

pub(crate) async fn deregister(common: &Common, arguments: DeregisterArguments) -> anyhow::Result<()> {
    let registry = Registry::connect(common, arguments.url)?;
    let (namespace, id) = (common.namespace.as_deref().unwrap_or("default"), arguments.id);
    registry.json(Method::DELETE, &instance_path(namespace, &id), None).await?;
    print_line(&format!("{namespace}/{id} deregistered"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn instances_are_counted_by_service_and_health() {
        let services =
            json!([{"namespace": "a", "name": "web", "type": "ClusterIP"}, {"namespace": "b", "name": "web"}]);
        let instance =
            |namespace: &str, health: &str| json!({"namespace": namespace, "service": "web", "health": health});
        let instances = json!([instance("a", "passing"), instance("a", "critical"), instance("a", "passing")]);
        assert_eq!(
            rows(&services, &instances),
            [["a", "web", "ClusterIP", "2", "0", "1"], ["b", "web", "", "0", "0", "0"]]
        );
    }
}
