//! `portolan get`

use anyhow::bail;
use serde_json::Value;

use crate::Api;
use crate::api::Resource;
use crate::output::{self, Format, cell, print_line};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// Arguments of `get`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portolan get pods
  portolan get deploy,svc -n shop -o wide
  portolan get pod cart-7d9c -o yaml
  portolan get all -A")]
pub struct Arguments {
    /// Resource types, separated by commas, then names; or TYPE/NAME.
    #[arg(required = true)]
    what: Vec<String>,
    /// In all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only objects whose labels match, for example `app=cart,tier!=test`.
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// Only objects whose fields match, for example `status.phase=Running`.
    #[arg(long)]
    field_selector: Option<String>,
    /// Output format.
    #[arg(short, long)]
    output: Option<Format>,
}

pub(crate) async fn run(api: &Api, arguments: Arguments) -> anyhow::Result<()> {
    let (types, names): (String, &[String]) = match &arguments.what[..] {
        [only] if only.contains('/') => {
            let (kind, name) = only.split_once('/').unwrap_or_default();
            return named(api, kind, &[name.to_owned()], &arguments).await;
        }
        [types, names @ ..] => (types.clone(), names),
        [] => bail!("name a resource type"),
    };
    if !names.is_empty() {
        return named(api, &types, names, &arguments).await;
    }
    let resources = api.resources_named(&types).await?;
    let several = resources.len() > 1;
    let mut documents = Vec::new();
    let mut found = false;
    for resource in resources {
        let namespace = if arguments.all_namespaces { "" } else { api.namespace() };
        let path = format!("{}{}", resource.path(namespace, None), query(&arguments));
        match arguments.output {
            None | Some(Format::Wide) => {
                let table = api.get(&path, TABLE).await?;
                found |= print_table(&table, resource, several, &arguments);
            }
            Some(_) => documents.extend(list_items(api.get(&path, "application/json").await?, resource)),
        }
    }
    match arguments.output {
        Some(Format::Name) => documents.iter().for_each(print_name),
        Some(format @ (Format::Json | Format::Yaml)) => {
            output::document(&serde_json::json!({"apiVersion": "v1", "kind": "List", "items": documents}), format)?
        }
        _ if !found && arguments.all_namespaces => eprintln!("No resources found"),
        _ if !found => eprintln!("No resources found in {} namespace.", api.namespace()),
        _ => {}
    }
    Ok(())
}

async fn named(api: &Api, kind: &str, names: &[String], arguments: &Arguments) -> anyhow::Result<()> {
    let resource = api.resource(kind).await?;
    for name in names {
        let path = resource.path(api.namespace(), Some(name));
        match arguments.output {
            None | Some(Format::Wide) => {
                print_table(&api.get(&path, TABLE).await?, resource, false, arguments);
            }
            Some(Format::Name) => print_name(&api.get(&path, "application/json").await?),
            Some(format) => output::document(&api.get(&path, "application/json").await?, format)?,
        }
    }
    Ok(())
}

fn query(arguments: &Arguments) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if let Some(selector) = &arguments.selector {
        query.append_pair("labelSelector", selector);
    }
    if let Some(selector) = &arguments.field_selector {
        query.append_pair("fieldSelector", selector);
    }
    match query.finish() {
        query if query.is_empty() => query,
        query => format!("?{query}"),
    }
}

/// Items of a list carry no kind of their own; with it they can be applied again.
fn list_items(list: Value, resource: &Resource) -> Vec<Value> {
    let api_version = match resource.group.as_str() {
        "" => resource.version.clone(),
        group => format!("{group}/{}", resource.version),
    };
    let Value::Object(mut fields) = list else { return Vec::new() };
    let Some(Value::Array(mut items)) = fields.remove("items") else { return Vec::new() };
    for item in &mut items {
        item["apiVersion"] = Value::from(api_version.clone());
        item["kind"] = Value::from(resource.kind.clone());
    }
    items
}

/// Prints a server-side table; returns whether it had rows.
fn print_table(table: &Value, resource: &Resource, prefixed: bool, arguments: &Arguments) -> bool {
    let wide = arguments.output == Some(Format::Wide);
    let columns = table["columnDefinitions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let shown = |index: usize| wide || columns.get(index).is_some_and(|column| column["priority"].as_i64() == Some(0));
    let mut headers: Vec<String> =
        (0..columns.len()).filter(|&index| shown(index)).map(|index| cell(&columns[index]["name"])).collect();
    if arguments.all_namespaces && resource.namespaced {
        headers.insert(0, "Namespace".into());
    }
    let rows: Vec<Vec<String>> = table["rows"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| {
            let cells = row["cells"].as_array().map(Vec::as_slice).unwrap_or_default();
            let mut cells: Vec<String> =
                (0..cells.len()).filter(|&index| shown(index)).map(|index| cell(&cells[index])).collect();
            if prefixed && let Some(name) = cells.first_mut() {
                *name = format!("{}/{name}", resource.display());
            }
            if arguments.all_namespaces && resource.namespaced {
                cells.insert(0, cell(&row["object"]["metadata"]["namespace"]));
            }
            cells
        })
        .collect();
    if rows.is_empty() {
        return false;
    }
    output::table(headers, rows);
    if prefixed {
        print_line("");
    }
    true
}

fn print_name(object: &Value) {
    let kind = object["kind"].as_str().unwrap_or_default().to_lowercase();
    print_line(&format!("{kind}/{}", object["metadata"]["name"].as_str().unwrap_or_default()));
}
