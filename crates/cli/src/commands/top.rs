//! `portolan top`

use anyhow::Context;
use portolan_api::quantity::{Format, Quantity};
use serde_json::Value;

use crate::Api;
use crate::output;

const GROUP: &str = "/apis/metrics.k8s.io/v1beta1";
const JSON: &str = "application/json";

/// What to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// Machines.
    #[value(alias = "node", alias = "no")]
    Nodes,
    /// Pods.
    #[value(alias = "pod", alias = "po")]
    Pods,
}

/// By what rows are sorted, the largest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Key {
    Cpu,
    Memory,
}

/// Arguments of `top`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portolan top nodes
  portolan top pods -A --sort-by memory
  portolan top pods -n shop --containers -l app=cart")]
pub struct Arguments {
    /// Whose use of processors and memory is shown.
    what: What,
    /// Only this one.
    name: Option<String>,
    /// In all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Each container of a pod in a row of its own.
    #[arg(long)]
    containers: bool,
    /// Only objects whose labels match, for example `app=cart,tier!=test`.
    #[arg(short = 'l', long, conflicts_with = "name")]
    selector: Option<String>,
    /// The largest first; else by name.
    #[arg(long)]
    sort_by: Option<Key>,
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    /// Namespace, name, container: as many as are shown.
    names: Vec<String>,
    cpu: Quantity,
    memory: Quantity,
}

pub(crate) async fn run(api: &Api, arguments: Arguments) -> anyhow::Result<()> {
    match arguments.what {
        What::Nodes => nodes(api, &arguments).await,
        What::Pods => pods(api, &arguments).await,
    }
}

async fn pods(api: &Api, arguments: &Arguments) -> anyhow::Result<()> {
    let everywhere = arguments.all_namespaces && arguments.name.is_none();
    let path = match everywhere {
        true => format!("{GROUP}/pods"),
        false => format!("{GROUP}/namespaces/{}/pods", api.namespace()),
    };
    let found = ask(api, path, arguments).await?;
    let mut rows: Vec<Row> = found.iter().flat_map(|pod| rows_of(pod, everywhere, arguments.containers)).collect();
    if rows.is_empty() {
        eprintln!("No resources found{}", if everywhere { "" } else { " in this namespace" });
        return Ok(());
    }
    sort(&mut rows, arguments.sort_by);
    let names = [(everywhere, "Namespace"), (true, if arguments.containers { "Pod" } else { "Name" })];
    let names = names.into_iter().filter(|(shown, _)| *shown).map(|(_, name)| name);
    let container = arguments.containers.then_some("Name");
    let headers = names.chain(container).chain(["CPU(cores)", "Memory(bytes)"]);
    output::table(headers, rows.iter().map(columns));
    Ok(())
}

async fn nodes(api: &Api, arguments: &Arguments) -> anyhow::Result<()> {
    let found = ask(api, format!("{GROUP}/nodes"), arguments).await?;
    let nodes = api.get("/api/v1/nodes", JSON).await?;
    let mut rows: Vec<Row> = found
        .iter()
        .map(|node| Row {
            names: vec![text(&node["metadata"]["name"])],
            cpu: amount(node, "cpu"),
            memory: amount(node, "memory"),
        })
        .collect();
    sort(&mut rows, arguments.sort_by);
    let cells = rows.iter().map(|row| {
        let node = nodes["items"].as_array().into_iter().flatten();
        let node = node.clone().find(|node| node["metadata"]["name"] == row.names[0].as_str());
        let share = |name: &str, used: Quantity| {
            let whole = Quantity::parse(node?["status"]["allocatable"][name].as_str()?).ok()?;
            percent(used, whole)
        };
        let share = |name: &str, used| share(name, used).map_or("<unknown>".into(), |percent| format!("{percent}%"));
        let [cpu, memory] = [share("cpu", row.cpu), share("memory", row.memory)];
        let [cpu_amount, memory_amount] = amounts(row);
        vec![row.names[0].clone(), cpu_amount, cpu, memory_amount, memory]
    });
    output::table(["Name", "CPU(cores)", "CPU(%)", "Memory(bytes)", "Memory(%)"], cells);
    Ok(())
}

/// Measurements of one object, or of those that are selected.
async fn ask(api: &Api, path: String, arguments: &Arguments) -> anyhow::Result<Vec<Value>> {
    if let Some(name) = &arguments.name {
        return Ok(vec![api.get(&format!("{path}/{name}"), JSON).await?]);
    }
    let query = match &arguments.selector {
        Some(selector) => {
            let mut query = url::form_urlencoded::Serializer::new("?".to_owned());
            query.append_pair("labelSelector", selector);
            query.finish()
        }
        None => String::new(),
    };
    let list = api.get(&format!("{path}{query}"), JSON).await?;
    list["items"].as_array().cloned().context("the server's answer has no items")
}

/// The rows of a pod: one, or one for each container.
fn rows_of(pod: &Value, with_namespace: bool, each_container: bool) -> Vec<Row> {
    let mut names = vec![text(&pod["metadata"]["name"])];
    if with_namespace {
        names.insert(0, text(&pod["metadata"]["namespace"]));
    }
    let containers = pod["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rows = containers.iter().map(|container| Row {
        names: [names.clone(), vec![text(&container["name"])]].concat(),
        cpu: amount(container, "cpu"),
        memory: amount(container, "memory"),
    });
    if each_container {
        return rows.collect();
    }
    let none = Row { names: names.clone(), cpu: Quantity::ZERO, memory: Quantity::from_value(0, Format::BinarySi) };
    vec![rows.fold(none, |sum, row| Row { cpu: sum.cpu + row.cpu, memory: sum.memory + row.memory, ..sum })]
}

fn sort(rows: &mut [Row], key: Option<Key>) {
    match key {
        Some(Key::Cpu) => rows.sort_by_key(|row| std::cmp::Reverse(row.cpu)),
        Some(Key::Memory) => rows.sort_by_key(|row| std::cmp::Reverse(row.memory)),
        None => rows.sort_by(|a, b| a.names.cmp(&b.names)),
    }
}

/// What a row shows.
fn columns(row: &Row) -> Vec<String> {
    [&row.names[..], &amounts(row)].concat()
}

/// Thousandths of a processor and mebibytes, as people compare them.
fn amounts(row: &Row) -> [String; 2] {
    [format!("{}m", row.cpu.milli_value()), format!("{}Mi", row.memory.value() >> 20)]
}

fn percent(used: Quantity, whole: Quantity) -> Option<i64> {
    let whole = whole.milli_value();
    (whole > 0).then(|| i64::try_from(i128::from(used.milli_value()) * 100 / i128::from(whole)).unwrap_or(i64::MAX))
}

fn amount(object: &Value, name: &str) -> Quantity {
    Quantity::parse(object["usage"][name].as_str().unwrap_or_default()).unwrap_or(Quantity::ZERO)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Value {
        json!({"metadata": {"name": "cart", "namespace": "shop"}, "containers": [
            {"name": "a", "usage": {"cpu": "1500000n", "memory": "3Mi"}},
            {"name": "b", "usage": {"cpu": "2500000n", "memory": "1029Ki"}},
        ]})
    }

    fn lines(rows: &[Row]) -> Vec<String> {
        rows.iter().map(|row| columns(row).join(" ")).collect()
    }

    #[test]
    fn a_pod_is_the_sum_of_its_containers() {
        assert_eq!(lines(&rows_of(&pod(), true, false)), ["shop cart 4m 4Mi"]);
        assert_eq!(lines(&rows_of(&pod(), false, true)), ["cart a 2m 3Mi", "cart b 3m 1Mi"]);
    }

    #[test]
    fn the_largest_comes_first() {
        let mut rows = rows_of(&pod(), false, true);
        sort(&mut rows, Some(Key::Cpu));
        assert_eq!(lines(&rows), ["cart b 3m 1Mi", "cart a 2m 3Mi"]);
        sort(&mut rows, Some(Key::Memory));
        assert_eq!(lines(&rows), ["cart a 2m 3Mi", "cart b 3m 1Mi"]);
    }

    #[test]
    fn shares_are_of_what_pods_may_have() {
        let quantity = |text: &str| Quantity::parse(text).expect("a quantity");
        assert_eq!(percent(quantity("500m"), quantity("2")), Some(25));
        assert_eq!(percent(quantity("1Gi"), quantity("16Gi")), Some(6));
        assert_eq!(percent(quantity("1"), quantity("0")), None);
    }
}
