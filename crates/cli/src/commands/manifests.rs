//! Objects in files.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::Value;

/// Reads all objects of files, folders (`*.yaml`, `*.yml`, `*.json`) or `-` for standard input.
pub(crate) fn read(paths: &[PathBuf]) -> anyhow::Result<Vec<Value>> {
    let mut objects = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("read standard input")?;
            parse(&text, Path::new("standard input"), &mut objects)?;
        } else if path.is_dir() {
            for file in manifest_files(path)? {
                read_file(&file, &mut objects)?;
            }
        } else {
            read_file(path, &mut objects)?;
        }
    }
    if objects.is_empty() {
        bail!("no objects in {}", paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "));
    }
    Ok(objects)
}

fn manifest_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in folder.read_dir().with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known)) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read_file(path: &Path, objects: &mut Vec<Value>) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    parse(&text, path, objects)
}

fn parse(text: &str, source: &Path, objects: &mut Vec<Value>) -> anyhow::Result<()> {
    for document in serde_yaml_ng::Deserializer::from_str(text) {
        let value = Value::deserialize(document).with_context(|| format!("parse {}", source.display()))?;
        match value {
            Value::Null => {}
            Value::Object(ref fields) if fields.get("kind").is_some_and(|kind| kind == "List") => {
                objects.extend(fields.get("items").and_then(Value::as_array).into_iter().flatten().cloned());
            }
            value => {
                for field in ["apiVersion", "kind"] {
                    if value[field].as_str().is_none_or(str::is_empty) {
                        bail!("{}: an object has no {field}", source.display());
                    }
                }
                objects.push(value);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_lists_and_empty_parts_are_read_and_nameless_things_refused() {
        let mut objects = Vec::new();
        let text = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod}\n";
        parse(text, Path::new("a.yaml"), &mut objects).expect("parsed");
        let kinds: Vec<_> = objects.iter().map(|object| object["kind"].as_str().expect("a kind")).collect();
        assert_eq!(kinds, ["Namespace", "Pod"]);
        for (text, complaint) in [("kind: Pod", "apiVersion"), ("a: [", "parse a.yaml")] {
            let error = parse(text, Path::new("a.yaml"), &mut Vec::new()).expect_err(text);
            assert!(format!("{error:#}").contains(complaint), "{error:#}");
        }
    }
}
