//! What is said of pods and pod templates that are taken but likely not meant so.
//!
//! Source: `kubernetes/pkg/api/pod/warnings.go`.

use std::collections::HashSet;
use std::collections::hash_map::{Entry, HashMap};

use portolan_api::field::Path;
use portolan_base::go;
use serde_json::Value;

use super::resources::parse;
use super::volume_warnings::volume_warnings;
use crate::resources::addresses::ip_warning;
use crate::resources::json::{entries, is_set, items, text};
use crate::respond::MOST_SHOWN;

const DEPRECATED_LABELS: [(&str, &str); 8] = [
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    ("failure-domain.beta.kubernetes.io/zone", "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"),
    ("beta.kubernetes.io/instance-type", "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"),
    ("app.kubernetes.io/created-by", "deprecated since v1.9"),
    ("scheduler.alpha.kubernetes.io/preferAvoidPods", "deprecated since v1.22; use Taints and Tolerations instead"),
    ("node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"),
];

const DEPRECATED_ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    ("security.alpha.kubernetes.io/unsafe-sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
];

const SECCOMP_OF_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_OF_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const NULL_SELECTOR: &str = "a null labelSelector results in matching no pod";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
/// The names of containers become parts of others.
const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// Whether a template or a pod itself is looked at; a pod's path is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Pod,
    Template,
}

/// What is said of the template of a workload, which stands at `path`.
pub(crate) fn template_warnings(template: &Value, path: &Path) -> Vec<String> {
    collect(template, path, Of::Template)
}

/// What is said of a pod.
pub(crate) fn pod_warnings(pod: &Value) -> Vec<String> {
    let mut warnings = collect(pod, &Path::default(), Of::Pod);
    let use_of_name = "this is used in the Pod's hostname, which can result in surprising behavior";
    warnings.splice(..0, name_warning(pod, use_of_name));
    warnings
}

/// What is said of a name that is no label, as names of pods come from it.
pub(crate) fn workload_name_warning(object: &Value) -> Option<String> {
    name_warning(object, "this is used in Pod names and hostnames, which can result in surprising behavior")
}

fn name_warning(object: &Value, use_of_name: &str) -> Option<String> {
    let problems = portolan_api::validation::is_dns1123_label(text(&object["metadata"]["name"]));
    (!problems.is_empty())
        .then(|| format!("metadata.name: {use_of_name}; a DNS label is recommended: [{}]", problems.join(" ")))
}

/// What is said of the key of a label of nodes.
pub(crate) fn label_warning(key: &str) -> Option<&'static str> {
    DEPRECATED_LABELS.iter().find(|(deprecated, _)| *deprecated == key).map(|(_, message)| *message)
}

/// What is said of the terms of a node selector, whose list stands at `path`.
pub(crate) fn node_term_warnings(term: &Value, path: &Path) -> Vec<String> {
    let list = path.child("matchExpressions");
    let expressions = items(&term["matchExpressions"]).iter().enumerate();
    let said = expressions.filter_map(|(index, expression)| {
        let key = text(&expression["key"]);
        label_warning(key).map(|message| format!("{}: {key} is {message}", list.index(index).child("key")))
    });
    said.collect()
}

/// What is said of an amount of bytes that is no whole number of them.
pub(crate) fn fraction_warning(amount: &Value, path: &Path) -> Option<String> {
    let quantity = parse(amount)?;
    (!quantity.is_whole())
        .then(|| format!("{path}: fractional byte value \"{quantity}\" is invalid, must be an integer"))
}

fn collect(owner: &Value, path: &Path, of: Of) -> Vec<String> {
    let (spec, annotations) = (&owner["spec"], &owner["metadata"]["annotations"]);
    let at = path.child("spec");
    let mut warnings = placement(spec, &at);
    let at_annotations = path.child("metadata").child("annotations");
    for (key, message) in DEPRECATED_ANNOTATIONS.iter().filter(|(key, _)| !annotations[*key].is_null()) {
        warnings.push(format!("{}: {message}", at_annotations.key(key)));
    }
    warnings.extend(volume_warnings(spec, &at));
    warnings.extend(duplicates(spec, &at, "hostAliases", "ip"));
    warnings.extend(duplicates(spec, &at, "imagePullSecrets", "name"));
    for (index, secret) in items(&spec["imagePullSecrets"]).iter().enumerate() {
        if !is_set(&secret["name"]) {
            let at = at.child("imagePullSecrets").index(index).child("name");
            warnings.push(format!("{at}: invalid empty name \"\""));
        }
    }
    warnings.extend(fractions(&spec["overhead"], &at.child("overhead")));
    if spec["securityContext"]["seccompProfile"].is_null() && !annotations[SECCOMP_OF_POD].is_null() {
        warnings.push(seccomp(&at_annotations.key(SECCOMP_OF_POD)));
    }
    for (container, at) in containers(spec, &at) {
        warnings.extend(container_warnings(container, &at, spec, annotations, &at_annotations, of));
    }
    warnings.extend(ports(spec, &at));
    if spec["terminationGracePeriodSeconds"].as_i64().is_some_and(|seconds| seconds < 0) {
        let at = at.child("terminationGracePeriodSeconds");
        warnings.push(format!("{at}: must be >= 0; negative values are invalid and will be treated as 1"));
    }
    warnings.extend(affinity(spec, &at));
    let servers = at.child("dnsConfig").child("nameservers");
    for (index, server) in items(&spec["dnsConfig"]["nameservers"]).iter().enumerate() {
        warnings.extend(ip_warning(&servers.index(index).to_string(), text(server)));
    }
    for (index, alias) in items(&spec["hostAliases"]).iter().enumerate() {
        let at = at.child("hostAliases").index(index).child("ip");
        warnings.extend(ip_warning(&at.to_string(), text(&alias["ip"])));
    }
    warnings
}

fn seccomp(at: &Path) -> String {
    format!("{at}: non-functional in v1.27+; use the \"seccompProfile\" field instead")
}

/// All containers of a pod with their places.
fn containers<'a>(spec: &'a Value, at: &Path) -> Vec<(&'a Value, Path)> {
    let of_list = |list: &str| {
        let at = at.child(list);
        items(&spec[list]).iter().enumerate().map(move |(index, container)| (container, at.index(index)))
    };
    CONTAINERS.into_iter().flat_map(of_list).collect()
}

/// Labels of nodes that others took the place of, and constraints that no pod obeys.
fn placement(spec: &Value, at: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    for (key, _) in entries(&spec["nodeSelector"]) {
        warnings.extend(label_warning(key).map(|message| format!("{}: {message}", at.child("nodeSelector").key(key))));
    }
    let (affinity, path) = (&spec["affinity"]["nodeAffinity"], at.child("affinity").child("nodeAffinity"));
    let terms = path.child(REQUIRED).child("nodeSelectorTerms");
    for (index, term) in items(&affinity[REQUIRED]["nodeSelectorTerms"]).iter().enumerate() {
        warnings.extend(node_term_warnings(term, &terms.index(index)));
    }
    for (index, term) in items(&affinity[PREFERRED]).iter().enumerate() {
        let path = path.child(PREFERRED).index(index).child("preference");
        warnings.extend(node_term_warnings(&term["preference"], &path));
    }
    let list = at.child("topologySpreadConstraints");
    for (index, constraint) in items(&spec["topologySpreadConstraints"]).iter().enumerate() {
        let (at, key) = (list.index(index), text(&constraint["topologyKey"]));
        warnings.extend(label_warning(key).map(|message| format!("{}: {key} is {message}", at.child("topologyKey"))));
        if constraint["labelSelector"].is_null() {
            warnings.push(format!("{}: {NULL_SELECTOR}", at.child("labelSelector")));
        }
    }
    warnings
}

fn affinity(spec: &Value, at: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    for kind in ["podAffinity", "podAntiAffinity"] {
        let (affinity, at) = (&spec["affinity"][kind], at.child("affinity").child(kind));
        for (index, term) in items(&affinity[REQUIRED]).iter().enumerate() {
            if term["labelSelector"].is_null() {
                let at = at.child(REQUIRED).index(index).child("labelSelector");
                warnings.push(format!("{at}: {NULL_SELECTOR}"));
            }
        }
        for (index, term) in items(&affinity[PREFERRED]).iter().enumerate() {
            if term["podAffinityTerm"]["labelSelector"].is_null() {
                let at = at.child(PREFERRED).index(index).child("podAffinityTerm").child("labelSelector");
                warnings.push(format!("{at}: {NULL_SELECTOR}"));
            }
        }
    }
    warnings
}

fn duplicates(spec: &Value, at: &Path, list: &str, field: &str) -> Vec<String> {
    let mut before = HashSet::new();
    let repeated = items(&spec[list]).iter().enumerate().filter(|(_, item)| !before.insert(text(&item[field])));
    let said = repeated.map(|(index, item)| {
        format!("{}: duplicate {field} {}", at.child(list).index(index).child(field), go::quote(text(&item[field])))
    });
    said.collect()
}

fn fractions(amounts: &Value, at: &Path) -> Vec<String> {
    ["memory", "ephemeral-storage"].iter().filter_map(|name| fraction_warning(&amounts[*name], &at.key(name))).collect()
}

fn container_warnings(
    container: &Value,
    at: &Path,
    spec: &Value,
    annotations: &Value,
    at_annotations: &Path,
    of: Of,
) -> Vec<String> {
    let mut warnings = Vec::new();
    let (context, name) = (&container["securityContext"], text(&container["name"]));
    let key = format!("{SECCOMP_OF_CONTAINER}{name}");
    if context["seccompProfile"].is_null() && !annotations[&key].is_null() {
        warnings.push(seccomp(&at_annotations.key(&key)));
    }
    let key = format!("{APP_ARMOR}{name}");
    let is_said = context["appArmorProfile"].is_null() && spec["securityContext"]["appArmorProfile"].is_null();
    if of == Of::Template && is_said && !annotations[&key].is_null() {
        let at = at_annotations.key(&key);
        warnings.push(format!("{at}: deprecated since v1.30; use the \"appArmorProfile\" field instead"));
    }
    let (resources, at_resources) = (&container["resources"], at.child("resources"));
    for name in ["memory", "ephemeral-storage"] {
        for list in ["limits", "requests"] {
            let at = at_resources.child(list).key(name);
            warnings.extend(fraction_warning(&resources[list][name], &at));
        }
    }
    let mut names = HashSet::new();
    for (index, variable) in items(&container["env"]).iter().enumerate() {
        let name = text(&variable["name"]);
        let reference = format!("$({name})");
        let value = text(&variable["value"]);
        // A value that is built upon the former one is meant so.
        let builds_on = variable["valueFrom"].is_null() && value != reference && value.contains(&reference);
        let hides = !names.insert(name);
        if hides && !builds_on {
            let at = at.child("env").index(index);
            warnings
                .push(format!("{at}: hides previous definition of \"{name}\", which may be dropped when using apply"));
        }
    }
    warnings
}

/// Ports that are named or taken twice.
fn ports(spec: &Value, at: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    let listed: Vec<(&Value, Path)> = containers(spec, at)
        .into_iter()
        .flat_map(|(container, at)| {
            let at = at.child("ports");
            items(&container["ports"]).iter().enumerate().map(move |(index, port)| (port, at.index(index)))
        })
        .collect();
    let number = |port: &Value, field: &str| port[field].as_i64().unwrap_or_default();
    // By ports of containers and then of nodes and addresses, as far as those matter to what comes.
    let mut taken: HashMap<_, Vec<usize>> = HashMap::new();
    for (index, (port, at)) in listed.iter().enumerate() {
        if warnings.len() > MOST_SHOWN {
            return warnings;
        }
        let (host_ip, host_port) = (text(&port["hostIP"]), number(port, "hostPort"));
        let (inner, protocol) = (number(port, "containerPort"), text(&port["protocol"]));
        if !host_ip.is_empty() && host_port == 0 {
            warnings.push(format!(
                "{at}: hostIP set without hostPort: {{Name:{} HostPort:0 ContainerPort:{inner} Protocol:{protocol} HostIP:{host_ip}}}",
                text(&port["name"])
            ));
        }
        let key = |port: Option<i64>, ip: Option<_>| (inner, protocol, port, ip);
        let own = [key(None, None), key(Some(host_port), None), key(Some(host_port), Some(host_ip))];
        let [any, same, exact] = own;
        let unbound = key(Some(0), None);
        let met = match (host_port, host_ip) {
            (0, _) => vec![any],
            (_, "") => vec![same, unbound],
            _ => vec![exact, key(Some(host_port), Some("")), unbound],
        };
        let mut others: Vec<usize> = met.iter().filter_map(|key| taken.get(key)).flatten().copied().collect();
        others.sort_unstable();
        for (other, place) in others.into_iter().map(|index| &listed[index]) {
            let (other_ip, other_port) = (text(&other["hostIP"]), number(other, "hostPort"));
            if other_ip == host_ip && other_port == host_port {
                warnings.push(format!("{at}: duplicate port definition with {place}"));
            } else if host_port == 0 || other_port == 0 {
                warnings.push(format!("{at}: overlapping port definition with {place}"));
            } else if host_port == other_port && host_ip.is_empty() != other_ip.is_empty() {
                warnings.push(format!("{at}: dangerously ambiguous port definition with {place}"));
            }
        }
        for key in own {
            taken.entry(key).or_default().push(index);
        }
    }
    let mut first = HashMap::new();
    for (port, at) in listed.iter().filter(|(port, _)| is_set(&port["name"])) {
        let name = text(&port["name"]);
        match first.entry(name) {
            Entry::Vacant(place) => {
                place.insert(at);
            }
            Entry::Occupied(place) => {
                let place = place.get();
                warnings.push(format!(
                    "{at}: duplicate port name {} with {place}, services and probes that select ports by name will use {place}",
                    go::quote(name)
                ));
            }
        }
    }
    warnings
}

/// What is said of the spec of a claim, which stands at `path`.
pub(crate) fn claim_warnings(spec: &Value, path: &Path) -> Vec<String> {
    let resources = path.child("resources");
    let of_list =
        |list: &str| fraction_warning(&spec["resources"][list]["storage"], &resources.child(list).key("storage"));
    ["requests", "limits"].into_iter().filter_map(of_list).collect()
}
