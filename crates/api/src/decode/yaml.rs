//! Reads YAML as upstream does: as version 1.1, and by way of JSON.

mod events;
mod nodes;
mod scalar;

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use self::nodes::{Document, Form};
use self::scalar::Scalar;
use super::{Decoded, Error, Limits};
use crate::go_text::{Keys, go_syntax};

/// The tag of bytes in base64.
const BINARY: &str = "tag:yaml.org,2002:binary";

/// The tag of a key whose value is merged into the mapping that it stands in.
const MERGE: &str = "tag:yaml.org,2002:merge";

/// Nodes that may be read before it matters how many of them stand behind aliases, and when that matters most.
const FEW: f64 = 400_000.0;
const MANY: f64 = 4_000_000.0;

/// Reads the first document of a body.
pub(super) fn read(body: &[u8], limits: &Limits) -> Result<Decoded, Error> {
    let document = Document::read(body, limits.depth)?;
    let mut reader = Reader { nodes: &document.nodes, ..Reader::default() };
    let value = if document.nodes.is_empty() { Value::Null } else { reader.value(0, limits.depth)? };
    Ok(Decoded { value, duplicates: reader.duplicates, is_clipped: false })
}

#[derive(Default)]
struct Reader<'a> {
    nodes: &'a [nodes::Node],
    duplicates: Vec<String>,
    /// Nodes that were read, and how many of them behind an alias.
    count: usize,
    behind_aliases: usize,
    /// The aliases that are being followed.
    followed: Vec<usize>,
}

/// What was read of a mapping.
#[derive(Default)]
struct Fields {
    read: Map<String, Value>,
    /// Its keys, of which a number is another one than the text of it.
    keys: HashSet<String>,
}

impl Reader<'_> {
    fn value(&mut self, index: usize, depth: usize) -> Result<Value, Error> {
        self.count()?;
        match &self.nodes[index].form {
            Form::Scalar { value, tag, is_plain } => scalar(value, tag, *is_plain)?.into_json().map_err(Error::Yaml),
            Form::Alias { name, of } => self.follow(index, name, |reader| reader.value(*of, depth)),
            Form::Sequence(items) => {
                let depth = depth.checked_sub(1).ok_or(Error::TooDeep)?;
                items.iter().map(|item| self.value(*item, depth)).collect::<Result<_, _>>().map(Value::Array)
            }
            Form::Mapping(_) => {
                let mut fields = Fields::default();
                self.mapping(index, &mut fields, depth)?;
                Ok(Value::Object(fields.read))
            }
        }
    }

    /// Reads a mapping behind what was read of it.
    fn mapping(&mut self, index: usize, fields: &mut Fields, depth: usize) -> Result<(), Error> {
        let depth = depth.checked_sub(1).ok_or(Error::TooDeep)?;
        let Form::Mapping(children) = &self.nodes[index].form else { return Ok(()) };
        for pair in children.chunks_exact(2) {
            let [key, value] = [pair[0], pair[1]];
            if self.is_merge(key) {
                self.merge(value, fields, depth)?;
                continue;
            }
            let key = self.key(key, depth)?;
            let line = self.nodes[value].line + 1;
            let value = self.value(value, depth)?;
            if !fields.keys.insert(key.shown()) {
                self.duplicates.push(format!("line {line}: key {} already set in map", key.shown()));
            }
            let name = key.into_key(&value).map_err(Error::Yaml)?;
            fields.read.insert(name, value);
        }
        Ok(())
    }

    /// A key, which has to be a scalar.
    fn key(&mut self, index: usize, depth: usize) -> Result<Scalar, Error> {
        self.count()?;
        match &self.nodes[index].form {
            Form::Scalar { value, tag, is_plain } => scalar(value, tag, *is_plain),
            Form::Alias { name, of } => self.follow(index, name, |reader| reader.key(*of, depth)),
            Form::Sequence(_) | Form::Mapping(_) => {
                let value = self.value(index, depth)?;
                Err(Error::Yaml(format!("yaml: invalid map key: {}", go_syntax(&value, Keys::Anything))))
            }
        }
    }

    fn is_merge(&self, index: usize) -> bool {
        matches!(&self.nodes[index].form, Form::Scalar { value, tag, is_plain }
            if value == "<<" && (*is_plain || tag == MERGE))
    }

    fn merge(&mut self, index: usize, fields: &mut Fields, depth: usize) -> Result<(), Error> {
        let parts = match &self.nodes[index].form {
            Form::Sequence(items) => &items[..],
            _ => &[index],
        };
        // Earlier ones take precedence over later ones.
        for part in parts.iter().rev() {
            self.count()?;
            match &self.nodes[*part].form {
                Form::Mapping(_) => self.mapping(*part, fields, depth)?,
                Form::Alias { name, of } if matches!(self.nodes[*of].form, Form::Mapping(_)) => {
                    self.follow(*part, name, |reader| reader.mapping(*of, fields, depth))?;
                }
                _ => {
                    let why = "yaml: map merge requires map or sequence of maps as the value";
                    return Err(Error::Yaml(why.into()));
                }
            }
        }
        Ok(())
    }

    fn follow<T>(
        &mut self,
        index: usize,
        name: &str,
        read: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.followed.contains(&index) {
            return Err(Error::Yaml(format!("yaml: anchor '{name}' value contains itself")));
        }
        self.followed.push(index);
        let read = read(self);
        self.followed.pop();
        read
    }

    /// Counts a node, and refuses a document of which too much stands behind aliases: it would grow without end.
    fn count(&mut self) -> Result<(), Error> {
        self.count += 1;
        self.behind_aliases += usize::from(!self.followed.is_empty());
        let count = self.count as f64;
        let allowed = 0.99 - 0.89 * ((count - FEW) / (MANY - FEW)).clamp(0.0, 1.0);
        if self.behind_aliases > 100 && self.count > 1000 && self.behind_aliases as f64 / count > allowed {
            return Err(Error::Yaml("yaml: document contains excessive aliasing".into()));
        }
        Ok(())
    }
}

fn scalar(value: &str, tag: &str, is_plain: bool) -> Result<Scalar, Error> {
    if tag.is_empty() && !is_plain {
        return Ok(Scalar::Text(value.into()));
    }
    if tag == BINARY {
        // Line breaks are no part of it.
        let bytes = STANDARD.decode(value.replace(['\r', '\n'], ""));
        let bytes = bytes.map_err(|_| Error::Yaml("yaml: !!binary value contains invalid base64 data".into()))?;
        return Ok(Scalar::Text(String::from_utf8_lossy(&bytes).into_owned()));
    }
    Scalar::resolve(tag, value).map_err(Error::Yaml)
}

#[cfg(test)]
mod tests;
