//! An image while it is being put together.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value, json};

use super::context::{Content, Context};
use super::parse::Instruction;
use crate::image::archive::{self, Entry, Kind, Layer};

/// Layers and configuration so far.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) layers: Vec<Layer>,
    /// The `config` part of the configuration document.
    pub(super) config: Map<String, Value>,
    pub(super) history: Vec<Value>,
    /// Folders known to be in the image, without a slash before them.
    pub(super) folders: BTreeSet<PathBuf>,
    /// `CMD` was given here and not inherited.
    pub(super) own_command: bool,
}

impl Draft {
    /// The configuration document.
    pub(super) fn document(&self) -> Value {
        let ids: Vec<String> = self.layers.iter().map(|layer| layer.diff_id.clone()).collect();
        archive::config_document(Value::Object(self.config.clone()), &ids, &self.history)
    }

    /// Does one instruction other than `FROM`.
    pub(super) fn apply(&mut self, context: &Context, instruction: Instruction) -> Result<(), String> {
        let mut layer = false;
        match instruction {
            Instruction::From(_) => {}
            Instruction::Copy { sources, destination, owner, mode } => {
                self.copy(context, &sources, &destination, owner.unwrap_or_default(), mode)?;
                layer = true;
            }
            Instruction::Env(pairs) => pairs.into_iter().for_each(|(key, value)| self.set_env(&key, &value)),
            Instruction::Workdir(path) => {
                let absolute = Path::new("/").join(self.resolve(&path)?);
                self.config.insert("WorkingDir".into(), json!(absolute));
                layer = self.make_folder(&absolute)?;
            }
            Instruction::User(user) => {
                self.config.insert("User".into(), json!(user));
            }
            Instruction::Expose(ports) => {
                ports.into_iter().for_each(|port| self.insert_into("ExposedPorts", port, json!({})));
            }
            Instruction::Label(labels) => {
                labels.into_iter().for_each(|(key, value)| self.insert_into("Labels", key, json!(value)));
            }
            Instruction::Entrypoint(words) => {
                self.config.insert("Entrypoint".into(), json!(words));
                // Arguments for another program make no sense.
                if !self.own_command {
                    self.config.remove("Cmd");
                }
            }
            Instruction::Cmd(words) => {
                self.config.insert("Cmd".into(), json!(words));
                self.own_command = true;
            }
        }
        self.history.push(json!({"created_by": "portolan image build", "empty_layer": !layer}));
        Ok(())
    }

    fn set_env(&mut self, key: &str, value: &str) {
        let list = self.config.entry("Env").or_insert_with(|| json!([]));
        let Value::Array(list) = list else { return };
        let start = format!("{key}=");
        list.retain(|entry| entry.as_str().is_none_or(|entry| !entry.starts_with(&start)));
        list.push(json!(format!("{key}={value}")));
    }

    fn insert_into(&mut self, field: &str, key: String, value: Value) {
        let map = self.config.entry(field).or_insert_with(|| json!({}));
        if map.is_null() {
            *map = json!({});
        }
        if let Value::Object(map) = map {
            map.insert(key, value);
        }
    }

    /// A path in the image, from the working directory on, without a slash before it.
    fn resolve(&self, path: &str) -> Result<PathBuf, String> {
        let working = self.config.get("WorkingDir").and_then(Value::as_str).unwrap_or("/");
        let mut resolved = PathBuf::new();
        for component in Path::new("/").join(working).join(path).components() {
            match component {
                Component::Normal(part) => resolved.push(part),
                Component::ParentDir if !resolved.pop() => return Err(format!("{path} leads above the root")),
                _ => {}
            }
        }
        Ok(resolved)
    }

    /// Adds a layer with a folder, if it is not there; whether it was added.
    fn make_folder(&mut self, path: &Path) -> Result<bool, String> {
        let mut entries = Vec::new();
        self.parents(&path.join("_"), &mut entries);
        if entries.is_empty() {
            return Ok(false);
        }
        self.add_layer(entries).map(|()| true)
    }

    /// Adds entries for the folders above a path that are not in the image yet.
    fn parents(&mut self, path: &Path, entries: &mut Vec<Entry>) {
        let relative = path.strip_prefix("/").unwrap_or(path);
        let mut above: Vec<&Path> = relative.ancestors().skip(1).filter(|p| !p.as_os_str().is_empty()).collect();
        above.reverse();
        for folder in above {
            if self.folders.insert(folder.to_owned()) {
                entries.push(Entry::folder(folder));
            }
        }
    }

    fn add_layer(&mut self, entries: Vec<Entry>) -> Result<(), String> {
        self.layers.push(Layer::new(archive::layer(entries).map_err(|error| error.to_string())?));
        Ok(())
    }

    fn copy(
        &mut self,
        context: &Context,
        sources: &[String],
        destination: &str,
        (owner, group): (u64, u64),
        mode: Option<u32>,
    ) -> Result<(), String> {
        let mut found = Vec::new();
        for source in sources {
            found.extend(context.find(source)?);
        }
        let target = self.resolve(destination)?;
        let into_folder = destination.ends_with('/')
            || destination == "."
            || destination.ends_with("/.")
            || target.as_os_str().is_empty()
            || self.folders.contains(&target);
        if found.len() > 1 && !into_folder {
            return Err(format!("{destination} must end with / to take several files"));
        }
        let mut entries = Vec::new();
        let mut add = |draft: &mut Self, path: PathBuf, own_mode: u32, kind: Kind| {
            draft.parents(&path, &mut entries);
            if matches!(kind, Kind::Folder) {
                // A folder that is there keeps its owner and permissions.
                if !draft.folders.insert(path.clone()) {
                    return;
                }
            }
            entries.push(Entry { path, mode: mode.unwrap_or(own_mode), owner, group, kind });
        };
        for item in found {
            match item.content {
                Content::File(source, own_mode) => {
                    let path = if into_folder { target.join(&item.name) } else { target.clone() };
                    add(self, path, own_mode, Kind::File(source));
                }
                Content::Folder(inside) => {
                    if !target.as_os_str().is_empty() {
                        add(self, target.clone(), 0o755, Kind::Folder);
                    }
                    for (relative, own_mode, kind) in inside {
                        add(self, target.join(relative), own_mode, kind);
                    }
                }
            }
        }
        self.add_layer(entries)
    }
}
