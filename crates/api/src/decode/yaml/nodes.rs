//! A YAML document as a tree, as far as it can be told without knowing what scalars mean.

use std::collections::HashMap;

use super::Error;
use super::events::{Events, Kind};

/// The first document of a body; nodes are named by their index.
pub(super) struct Document {
    pub(super) nodes: Vec<Node>,
}

pub(super) struct Node {
    pub(super) form: Form,
    /// Counted from 0.
    pub(super) line: u64,
}

pub(super) enum Form {
    Scalar {
        value: String,
        tag: String,
        is_plain: bool,
    },
    Sequence(Vec<usize>),
    /// Keys and values by turns.
    Mapping(Vec<usize>),
    Alias {
        name: String,
        of: usize,
    },
}

/// How deep upstream reads.
const DEEPEST: usize = 10_000;

/// Steps that are gone to tell what is wrong with a document that is too deep: the scanner looks at each level for each
/// part of it.
const STEPS: usize = 100_000_000;

impl Document {
    /// Reads the first document of a body; a body without one is nothing.
    ///
    /// What is nested deeper than `depth` is not kept, but read to the end of the document: it may be refused for
    /// something that upstream refuses as well.
    pub(super) fn read(body: &[u8], depth: usize) -> Result<Self, Error> {
        let mut events = Events::new(body);
        let mut nodes: Vec<Node> = Vec::new();
        let mut anchors = HashMap::new();
        let mut open: Vec<usize> = Vec::new();
        let mut beyond: usize = 0;
        let mut is_too_deep = false;
        let mut steps: usize = 0;
        loop {
            let event = events.next().map_err(Error::Yaml)?;
            steps += beyond;
            if steps > STEPS {
                return Err(Error::TooDeep);
            }
            let form = match event.kind {
                Kind::Frame => continue,
                Kind::DocumentEnd | Kind::StreamEnd => break,
                Kind::End => {
                    match beyond.checked_sub(1) {
                        Some(left) => beyond = left,
                        None => drop(open.pop()),
                    }
                    continue;
                }
                Kind::SequenceStart | Kind::MappingStart if open.len() >= depth => {
                    (beyond, is_too_deep) = (beyond + 1, true);
                    if open.len() + beyond > DEEPEST {
                        let line = event.line + 1;
                        return Err(Error::Yaml(format!("yaml: line {line}: exceeded max depth of {DEEPEST}")));
                    }
                    continue;
                }
                _ if beyond > 0 => continue,
                Kind::SequenceStart => Form::Sequence(Vec::new()),
                Kind::MappingStart => Form::Mapping(Vec::new()),
                Kind::Scalar { value, tag, is_plain } => Form::Scalar { value, tag, is_plain },
                Kind::Alias => {
                    let name = event.anchor.clone().unwrap_or_default();
                    let of = anchors.get(&name).copied();
                    let of = of.ok_or_else(|| Error::Yaml(format!("yaml: unknown anchor '{name}' referenced")))?;
                    Form::Alias { name, of }
                }
            };
            let index = nodes.len();
            let is_open = matches!(form, Form::Sequence(_) | Form::Mapping(_));
            if let (Some(anchor), false) = (event.anchor, matches!(form, Form::Alias { .. })) {
                anchors.insert(anchor, index);
            }
            nodes.push(Node { form, line: event.line });
            if let Some(Form::Sequence(children) | Form::Mapping(children)) =
                open.last().map(|parent| &mut nodes[*parent].form)
            {
                children.push(index);
            }
            if is_open {
                open.push(index);
            }
        }
        if is_too_deep { Err(Error::TooDeep) } else { Ok(Self { nodes }) }
    }
}
