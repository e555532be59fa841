//! Reading a pod for the checks, and the words in which they complain.

use serde_json::Value;

const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// A pod, or the template of one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pod<'a> {
    pub(super) metadata: &'a Value,
    pub(super) spec: &'a Value,
    /// The minor version of Kubernetes by whose rules it is judged.
    pub(super) minor: u32,
}

impl<'a> Pod<'a> {
    /// The settings of the pod as a whole.
    pub(super) fn context(&self) -> &'a Value {
        &self.spec["securityContext"]
    }

    pub(super) fn containers(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        let spec = self.spec;
        LISTS.iter().flat_map(move |list| spec[*list].as_array().into_iter().flatten())
    }

    pub(super) fn volumes(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        self.spec["volumes"].as_array().into_iter().flatten()
    }

    /// Whether the pod is one of Windows, of which later versions do not demand what it cannot do.
    pub(super) fn is_excused_windows(&self) -> bool {
        self.minor >= 25 && self.spec["os"]["name"] == "windows"
    }

    /// Whether users in the pod are nobody on its node. See KEP-127.
    pub(super) fn is_user_namespaced(&self) -> bool {
        self.minor >= 35 && self.spec["hostUsers"] == false
    }

    /// The names of the containers that `bad` holds for.
    pub(super) fn bad(&self, bad: impl Fn(&Value) -> bool) -> Vec<&'a str> {
        self.containers().filter(|container| bad(container)).map(name).collect()
    }
}

pub(super) fn name(value: &Value) -> &str {
    value["name"].as_str().unwrap_or_default()
}

/// What a check found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) reason: String,
    pub(super) detail: String,
}

impl Violation {
    pub(super) fn new(reason: &str, detail: String) -> Option<Self> {
        Some(Self { reason: reason.to_owned(), detail })
    }
}

/// `container "a"` or `containers "a", "b"`.
pub(super) fn containers(names: &[&str]) -> String {
    format!("{} {}", plural("container", names.len()), quoted(names))
}

pub(super) fn plural(word: &str, count: usize) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}

pub(super) fn quoted<T: AsRef<str>>(names: &[T]) -> String {
    names.iter().map(|name| format!("\"{}\"", name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// Sorted, each once.
pub(super) fn distinct(values: impl IntoIterator<Item = String>) -> Vec<String> {
    values.into_iter().collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}
