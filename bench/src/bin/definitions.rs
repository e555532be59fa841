//! What it costs to install kinds that users define, by how many there are already: creation, memory,
//! and the documents by which clients learn about them.

use std::time::Instant;

use bytes::Bytes;
use clap::Parser;
use portolan_bench::cluster::{ControlPlane, send};
use portolan_bench::report::{Measured, figure, line, slope};
use portolan_client::{HttpsTransport, Transport};
use serde_json::{Map, Value, json};

/// Measures definitions of kinds.
#[derive(Debug, Parser)]
struct Options {
    /// Definitions at the end of each series.
    #[arg(long, value_delimiter = ',', default_values_t = [500, 2_500, 5_000])]
    definitions: Vec<usize>,
    /// Definitions per measured series.
    #[arg(long, default_value_t = 250)]
    series: usize,
    /// Groups over which they are spread.
    #[arg(long, default_value_t = 50)]
    groups: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let folder = tempfile::tempdir()?;
    let plane = ControlPlane::start(folder.path()).await?;
    let transport = plane.connect()?;
    let empty = plane.server.resident()?;
    let (mut present, mut costs) = (0, Vec::new());
    for &definitions in &options.definitions {
        install(&plane, &transport, &options, present..definitions - options.series).await?;
        let measured = install(&plane, &transport, &options, definitions - options.series..definitions).await?;
        present = definitions;
        line(&format!("install a definition, {definitions} definitions"), &measured);
        let grown = plane.server.resident()?.saturating_sub(empty);
        figure(&format!("memory per definition, {definitions} definitions"), grown as f64 / definitions as f64 / 1e3, "KB", "");
        costs.push(measured.cpu_per_operation());
        documents(&plane, &transport, &options, definitions).await?;
    }
    slope("install a definition, ten times as many", &costs);
    Ok(())
}

async fn install(
    plane: &ControlPlane,
    transport: &HttpsTransport,
    options: &Options,
    range: std::ops::Range<usize>,
) -> anyhow::Result<Measured> {
    let (cpu, wall, operations) = (plane.server.cpu()?, Instant::now(), range.len());
    for index in range {
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        send(transport, "POST", path, definition(index, options.groups)).await?;
    }
    Ok(Measured { operations, wall: wall.elapsed(), cpu: plane.server.cpu()?.saturating_sub(cpu) })
}

/// Discovery and OpenAPI, as clients ask for them after each change of a definition.
async fn documents(
    plane: &ControlPlane,
    transport: &HttpsTransport,
    options: &Options,
    definitions: usize,
) -> anyhow::Result<()> {
    let own = format!("/openapi/v3/apis/{}/v1", group(0, options.groups));
    for (what, path, accept) in [
        ("aggregated discovery", "/apis", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"),
        ("index of OpenAPI v3", "/openapi/v3", "application/json"),
        ("OpenAPI v3 of one group", own.as_str(), "application/json"),
        ("OpenAPI v2", "/openapi/v2", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"),
    ] {
        for round in ["first", "again"] {
            let (cpu, started) = (plane.server.cpu()?, Instant::now());
            let size = ask(transport, path, accept).await?;
            let (cpu, wall) = (plane.server.cpu()?.saturating_sub(cpu), started.elapsed());
            println!(
                "{what}, {definitions} definitions, {round}: {:.1} MB, {} ms CPU, {} ms",
                size as f64 / 1e6,
                cpu.as_millis(),
                wall.as_millis()
            );
        }
    }
    Ok(())
}

async fn ask(transport: &HttpsTransport, path: &str, accept: &str) -> anyhow::Result<usize> {
    use http_body_util::BodyExt;
    let request = http::Request::get(path).header("accept", accept).body(Bytes::new())?;
    let response = transport.send(request).await?;
    anyhow::ensure!(response.status().is_success(), "{path}: {}", response.status());
    Ok(response.into_body().collect().await.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes().len())
}

fn group(index: usize, groups: usize) -> String {
    format!("g{:03}.example.com", index % groups.max(1))
}

/// A definition of ordinary size: an operator's kind with forty fields.
fn definition(index: usize, groups: usize) -> Bytes {
    let group = group(index, groups);
    let field = |number: usize| {
        let schema = json!({
            "type": "string", "maxLength": 253, "description": "A field of an ordinary kind, with a line that tells what it is for.",
        });
        (format!("field{number:02}"), schema)
    };
    let fields: Map<String, Value> = (0..40).map(field).collect();
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("kinds{index:05}.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"plural": format!("kinds{index:05}"), "kind": format!("Kind{index:05}")},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": fields},
                    "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                }}},
            }],
        },
    });
    Bytes::from(definition.to_string())
}
