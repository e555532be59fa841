//! What is said of a pod's volumes that are taken: kinds that nobody serves, files that hide each other.

use std::fmt;

use portolan_api::field::Path;
use serde_json::Value;

use super::warnings::claim_warnings;
use crate::resources::json::{is_set, items, text};

/// Kinds of volumes that have had their day.
pub(crate) const DEPRECATED: [(&str, &str); 9] = [
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

/// A file of a volume, and where it comes from if there are several sources.
#[derive(Debug, Clone, PartialEq, Eq)]
struct File {
    path: String,
    source: String,
}

impl fmt::Display for File {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.path)?;
        if self.source.is_empty() { Ok(()) } else { write!(formatter, " ({})", self.source) }
    }
}

impl File {
    /// Whether one of two files is, or lies below, the other.
    fn overlaps(&self, other: &Self) -> bool {
        let below = |inner: &str, outer: &str| format!("{inner}/").starts_with(&format!("{outer}/"));
        !self.path.is_empty()
            && !other.path.is_empty()
            && (below(&self.path, &other.path) || below(&other.path, &self.path))
    }
}

pub(super) fn volume_warnings(spec: &Value, at: &Path) -> Vec<String> {
    let list = at.child("volumes");
    let mut warnings = Vec::new();
    for (index, volume) in items(&spec["volumes"]).iter().enumerate() {
        let at = list.index(index);
        for (kind, message) in DEPRECATED.iter().filter(|(kind, _)| !volume[*kind].is_null()) {
            // Upstream's path, not the field's name.
            let shown = if *kind == "storageos" { "storageOS" } else { kind };
            warnings.push(format!("{}: {message}", at.child(shown)));
        }
        let template = &volume["ephemeral"]["volumeClaimTemplate"];
        if !template.is_null() {
            let at = at.child("ephemeral").child("volumeClaimTemplate").child("spec");
            warnings.extend(claim_warnings(&template["spec"], &at));
        }
    }
    warnings.extend(items(&spec["volumes"]).iter().flat_map(overlaps));
    warnings
}

fn overlaps(volume: &Value) -> Vec<String> {
    let name = text(&volume["name"]);
    let of_files = |files: &[File], kind: &str| -> Vec<String> {
        let said = files.iter().enumerate().flat_map(|(index, file)| {
            let before = files[..index].iter().filter(move |before| before.overlaps(file));
            before.map(move |other| format!("volume {name:?} ({kind}): overlapping paths: {file} with {other}"))
        });
        said.collect()
    };
    let mut warnings = Vec::new();
    for (field, kind, name_field) in [("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")] {
        let source = &volume[field];
        let kind = format!("{kind} {:?}", text(&source[name_field]));
        warnings.extend(of_files(&files(&source["items"], ""), &kind));
    }
    warnings.extend(of_files(&files(&volume["downwardAPI"]["items"], ""), "DownwardAPI"));
    let mut all = Vec::new();
    for source in items(&volume["projected"]["sources"]) {
        if !is_set(source) {
            warnings.push(format!("volume {name:?} (Projected) has no sources provided"));
        }
        all.extend(projected(source));
    }
    warnings.extend(of_files(&all, "Projected"));
    warnings
}

fn files(listed: &Value, source: &str) -> Vec<File> {
    items(listed).iter().map(|item| file(text(&item["path"]), source)).collect()
}

fn file(path: &str, source: &str) -> File {
    File { path: path.trim_end_matches('/').to_owned(), source: source.to_owned() }
}

/// The files of one source of a projected volume.
fn projected(source: &Value) -> Vec<File> {
    let token = &source["serviceAccountToken"];
    if !token.is_null() {
        return vec![file(text(&token["path"]), "ServiceAccountToken")];
    }
    let mut found = Vec::new();
    for (field, kind) in [("configMap", "ConfigMap"), ("secret", "Secret")] {
        let part = &source[field];
        found.extend(files(&part["items"], &format!("{kind} {:?}", text(&part["name"]))));
    }
    found.extend(files(&source["downwardAPI"]["items"], "DownwardAPI"));
    found
}
