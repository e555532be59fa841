//! What is said of a pod's volumes that are taken: kinds that nobody serves, files that hide each other.

use std::collections::HashMap;
use std::fmt;

use portolan_api::field::Path;
use portolan_base::go;
use serde_json::Value;

use super::warnings::claim_warnings;
use crate::resources::json::{is_set, items, text};
use crate::respond::MOST_SHOWN;

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
#[derive(Debug)]
struct File {
    path: String,
    source: String,
}

impl fmt::Display for File {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&go::quote(&self.path))?;
        if self.source.is_empty() { Ok(()) } else { write!(formatter, " ({})", self.source) }
    }
}

/// Files by the parts of their paths.
#[derive(Default)]
struct Directory<'a> {
    inner: HashMap<&'a str, usize>,
    /// Indices of files of this path, and of those below it.
    here: Vec<usize>,
    below: Vec<usize>,
}

/// Which files are, or lie below, which others: to compare each with all others takes too long, since a body has
/// room for a hundred thousand.
struct Tree<'a>(Vec<Directory<'a>>);

impl<'a> Tree<'a> {
    /// Adds a file; gives those before it that it overlaps with.
    fn add(&mut self, index: usize, file: &'a File) -> Vec<usize> {
        let (mut at, mut found) = (0, Vec::new());
        for part in file.path.split('/') {
            let next = self.0.len();
            let next = *self.0[at].inner.entry(part).or_insert(next);
            if next == self.0.len() {
                self.0.push(Directory::default());
            }
            if at > 0 {
                found.extend(&self.0[at].here);
                self.0[at].below.push(index);
            }
            at = next;
        }
        found.extend(self.0[at].here.iter().chain(&self.0[at].below));
        self.0[at].here.push(index);
        found.sort_unstable();
        found
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
    let name = go::quote(name);
    let of_files = |files: &[File], kind: &str| -> Vec<String> {
        let (mut tree, mut said) = (Tree(vec![Directory::default()]), Vec::new());
        for (index, file) in files.iter().enumerate().filter(|(_, file)| !file.path.is_empty()) {
            let before = tree.add(index, file).into_iter().map(|other| &files[other]);
            said.extend(before.map(|other| format!("volume {name} ({kind}): overlapping paths: {file} with {other}")));
            if said.len() > MOST_SHOWN {
                break;
            }
        }
        said
    };
    let mut warnings = Vec::new();
    for (field, kind, name_field) in [("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")] {
        let source = &volume[field];
        let kind = format!("{kind} {}", go::quote(text(&source[name_field])));
        warnings.extend(of_files(&files(&source["items"], ""), &kind));
    }
    warnings.extend(of_files(&files(&volume["downwardAPI"]["items"], ""), "DownwardAPI"));
    let mut all = Vec::new();
    for source in items(&volume["projected"]["sources"]) {
        if !is_set(source) {
            warnings.push(format!("volume {name} (Projected) has no sources provided"));
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
        found.extend(files(&part["items"], &format!("{kind} {}", go::quote(text(&part["name"])))));
    }
    found.extend(files(&source["downwardAPI"]["items"], "DownwardAPI"));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_overlap_that_are_or_lie_below_others() {
        let files: Vec<File> =
            ["a/b", "a", "ab", "a/b/c", "a//b", "b", "a/b", "/a", "a/c", "/", "a"].map(|path| file(path, "")).into();
        let mut tree = Tree(vec![Directory::default()]);
        for (index, file) in files.iter().enumerate().filter(|(_, file)| !file.path.is_empty()) {
            let below =
                |inner: &File, outer: &File| format!("{}/", inner.path).starts_with(&format!("{}/", outer.path));
            let overlaps = |other: &File| !other.path.is_empty() && (below(file, other) || below(other, file));
            let expected: Vec<usize> = (0..index).filter(|other| overlaps(&files[*other])).collect();
            assert_eq!(tree.add(index, file), expected, "{file}");
        }
    }
}
