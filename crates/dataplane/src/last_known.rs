//! What was known last, in a file: a line of JSON for each object that the catalog is derived from.
//!
//! Of pods and nodes only what names and rules are made from is kept. The first line names the
//! format, the last one counts the objects: a file that was cut off is not used. A machine that
//! loses its power has no pods to name afterwards, so the file is not forced to the disk.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use portolan_api::typed::kinds::core::v1::{Node, Pod, Service};
use portolan_api::typed::kinds::discovery::v1::EndpointSlice;
use portolan_api::typed::{ExternalNode, Object, PreparedQuery, ServiceInstance};
use portolan_catalog::Input;
use portolan_client::Informers;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::{Error, file_error};

const FORMAT: &str = "portolan last-known 1";

#[derive(Serialize, Deserialize)]
struct Head {
    format: String,
}

#[derive(Serialize, Deserialize)]
struct End {
    objects: usize,
}

#[derive(Deserialize)]
struct Line<'a> {
    kind: String,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// Writes what the informers know, whole or not at all; returns how many objects.
///
/// # Errors
/// The file cannot be written.
pub fn save(path: &Path, informers: &Arc<Informers>) -> Result<usize, Error> {
    let temporary = path.with_extension("new");
    write(&temporary, informers)
        .and_then(|count| std::fs::rename(&temporary, path).map(|()| count))
        .map_err(file_error("write", path))
}

fn write(path: &Path, informers: &Arc<Informers>) -> io::Result<usize> {
    let mut out = BufWriter::new(File::create(path)?);
    write_line(&mut out, &Head { format: FORMAT.into() })?;
    let mut count = 0;
    count += write_kind::<Service>(&mut out, informers, without_annotations)?;
    count += write_kind::<EndpointSlice>(&mut out, informers, without_annotations)?;
    count += write_kind::<Pod>(&mut out, informers, outline_of_pod)?;
    count += write_kind::<Node>(&mut out, informers, outline_of_node)?;
    count += write_kind::<ServiceInstance>(&mut out, informers, Clone::clone)?;
    count += write_kind::<ExternalNode>(&mut out, informers, Clone::clone)?;
    count += write_kind::<PreparedQuery>(&mut out, informers, Clone::clone)?;
    write_line(&mut out, &End { objects: count })?;
    out.into_inner()?.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(count)
}

fn write_kind<K: Object>(
    out: &mut impl Write,
    informers: &Arc<Informers>,
    outline: impl Fn(&K) -> K,
) -> io::Result<usize> {
    let informer = informers.informer::<K>();
    let mut count = 0;
    // One at a time: all of a large cluster at once would be much memory.
    for key in informer.all_keys() {
        let Some(object) = informer.get(&key.namespace, &key.name) else { continue };
        write!(out, "{{\"kind\":\"{}\",\"object\":", K::KIND)?;
        out.write_all(&outline(&object).encode())?;
        out.write_all(b"}\n")?;
        count += 1;
    }
    Ok(count)
}

fn write_line(out: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

/// Reads what was known; nothing if there is no file.
///
/// # Errors
/// The file cannot be read, is of another format, or was cut off.
pub fn load(path: &Path) -> Result<Vec<Input>, Error> {
    match File::open(path) {
        Ok(file) => read(BufReader::new(file)).map_err(file_error("read", path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(file_error("open", path)(error)),
    }
}

fn read(file: impl BufRead) -> io::Result<Vec<Input>> {
    let mut lines = file.lines();
    let head: Head = serde_json::from_str(&lines.next().ok_or(io::ErrorKind::UnexpectedEof)??)?;
    if head.format != FORMAT {
        return Err(io::Error::other(format!("its format is {:?}, not {FORMAT:?}", head.format)));
    }
    let (mut inputs, mut count) = (Vec::new(), 0);
    for line in lines {
        let line = line?;
        let Ok(Line { kind, object }) = serde_json::from_str(&line) else {
            let end: End = serde_json::from_str(&line)?;
            return if end.objects == count { Ok(inputs) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        };
        count += 1;
        inputs.extend(decode(&kind, object.get().as_bytes())?);
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

/// The input of a line; none for a kind that only a newer version knows.
fn decode(kind: &str, object: &[u8]) -> Result<Option<Input>, serde_json::Error> {
    Ok(Some(match kind {
        Service::KIND => Input::Service(Arc::new(Service::decode(object)?)),
        EndpointSlice::KIND => Input::EndpointSlice(Arc::new(EndpointSlice::decode(object)?)),
        Pod::KIND => Input::Pod(Arc::new(Pod::decode(object)?)),
        Node::KIND => Input::Node(Arc::new(Node::decode(object)?)),
        ServiceInstance::KIND => Input::Registration(Arc::new(ServiceInstance::decode(object)?)),
        ExternalNode::KIND => Input::ExternalNode(Arc::new(ExternalNode::decode(object)?)),
        PreparedQuery::KIND => Input::PreparedQuery(Arc::new(PreparedQuery::decode(object)?)),
        _ => return Ok(None),
    }))
}

/// Annotations may hold a whole second copy of the object; names read only those about the registry.
fn without_annotations<K: Object>(object: &K) -> K {
    let mut object = object.clone();
    let annotations = &mut object.metadata_mut().annotations;
    if let Some(all) = annotations {
        all.retain(|name, _| name.starts_with("registry.portolan.dev/"));
        if all.is_empty() {
            *annotations = None;
        }
    }
    object
}

/// What of a pod makes names and rules: its address, ports of its node, and whether it is ready.
fn outline_of_pod(pod: &Pod) -> Pod {
    let mut pod = without_annotations(pod);
    // Which port a pod shows in the registry, its annotations say.
    let published = pod.metadata.annotations.is_some();
    if let Some(spec) = &mut pod.spec {
        let whole = std::mem::take(spec);
        let outline = |container| outline_of_container(container, published);
        let containers = whole.containers.into_iter();
        let init_containers = whole.init_containers.into_iter().flatten();
        let init_containers: Vec<_> =
            init_containers.filter(|container| container.restart_policy.is_some()).map(outline).collect();
        *spec = portolan_api::typed::kinds::core::v1::PodSpec {
            containers: containers.map(outline).collect(),
            init_containers: (!init_containers.is_empty()).then_some(init_containers),
            node_name: whole.node_name,
            host_network: whole.host_network,
            hostname: whole.hostname,
            subdomain: whole.subdomain,
            ..Default::default()
        };
    }
    if let Some(status) = &mut pod.status {
        let whole = std::mem::take(status);
        let ready = whole.conditions.into_iter().flatten().filter(|condition| condition.type_ == "Ready").collect();
        *status = portolan_api::typed::kinds::core::v1::PodStatus {
            phase: whole.phase,
            pod_ip: whole.pod_ip,
            conditions: Some(ready),
            ..Default::default()
        };
    }
    pod
}

type Container = portolan_api::typed::kinds::core::v1::Container;

fn outline_of_container(container: Container, all_ports: bool) -> Container {
    let ports: Vec<_> = container
        .ports
        .into_iter()
        .flatten()
        .filter(|port| all_ports || port.host_port.is_some_and(|port| port != 0))
        .collect();
    Container {
        name: container.name,
        restart_policy: container.restart_policy,
        ports: (!ports.is_empty()).then_some(ports),
        ..Default::default()
    }
}

/// What of a node makes names and rules: its addresses, its place, and whether it is ready.
fn outline_of_node(node: &Node) -> Node {
    let mut node = without_annotations(node);
    if let Some(status) = &mut node.status {
        let whole = std::mem::take(status);
        let ready = whole.conditions.into_iter().flatten().filter(|condition| condition.type_ == "Ready").collect();
        *status = portolan_api::typed::kinds::core::v1::NodeStatus {
            addresses: whole.addresses,
            conditions: Some(ready),
            ..Default::default()
        };
    }
    node
}
