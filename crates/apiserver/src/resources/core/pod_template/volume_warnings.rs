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

/// A path of files.
struct Place {
    /// The nearest place that it lies below.
    outer: Option<usize>,
    /// Indices of files of this path, and of those below it.
    here: Vec<usize>,
    below: Vec<usize>,
}

/// Which files are, or lie below, which others: to compare each with all others takes too long, since a body has
/// room for a hundred thousand. There is a place for each path of a file and none for what lies between: that can be
/// as many as a body has bytes.
struct Places {
    all: Vec<Place>,
    /// The place of each file that has a path.
    of_file: HashMap<usize, usize>,
}

impl Places {
    fn of(files: &[File]) -> Self {
        let with_path = files.iter().enumerate().filter(|(_, file)| !file.path.is_empty());
        let mut paths: Vec<(String, usize)> =
            with_path.map(|(index, file)| (format!("{}/", file.path), index)).collect();
        // What lies below a path comes right behind it.
        paths.sort_unstable();
        let (mut all, mut of_file) = (Vec::new(), HashMap::new());
        let mut around: Vec<(&str, usize)> = Vec::new();
        for (path, file) in &paths {
            while around.pop_if(|(outer, _)| !path.starts_with(*outer)).is_some() {}
            let place = match around.last() {
                Some((same, place)) if same == path => *place,
                outer => {
                    all.push(Place { outer: outer.map(|(_, place)| *place), here: Vec::new(), below: Vec::new() });
                    around.push((path, all.len() - 1));
                    all.len() - 1
                }
            };
            of_file.insert(*file, place);
        }
        Self { all, of_file }
    }

    /// Adds a file; gives those before it that it overlaps with.
    fn add(&mut self, index: usize) -> Vec<usize> {
        let Some(own) = self.of_file.get(&index) else { return Vec::new() };
        let own = &mut self.all[*own];
        let mut found: Vec<usize> = own.here.iter().chain(&own.below).copied().collect();
        own.here.push(index);
        let mut outer = own.outer;
        while let Some(place) = outer.map(|outer| &mut self.all[outer]) {
            found.extend(&place.here);
            place.below.push(index);
            outer = place.outer;
        }
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
        let (mut places, mut said) = (Places::of(files), Vec::new());
        for (index, file) in files.iter().enumerate() {
            let before = places.add(index).into_iter().map(|other| &files[other]);
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
        let mut places = Places::of(&files);
        for (index, file) in files.iter().enumerate() {
            let below =
                |inner: &File, outer: &File| format!("{}/", inner.path).starts_with(&format!("{}/", outer.path));
            let overlaps = |other: &File| {
                !file.path.is_empty() && !other.path.is_empty() && (below(file, other) || below(other, file))
            };
            let expected: Vec<usize> = (0..index).filter(|other| overlaps(&files[*other])).collect();
            assert_eq!(places.add(index), expected, "{file}");
        }
    }

    #[test]
    fn long_paths_are_one_place_each() {
        let long = format!("a{}b", "/".repeat(1 << 20));
        let files = [long.as_str(), "a", &long].map(|path| file(path, ""));
        let mut places = Places::of(&files);
        assert_eq!(places.all.len(), 2);
        assert_eq!([0, 1, 2].map(|index| places.add(index)), [vec![], vec![0], vec![0, 1]]);
    }
}
