//! Naming objects on the command line: `TYPE NAME...`, `TYPE/NAME ...`.

use anyhow::bail;

use crate::api::{Api, Resource};

/// One object.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    pub(crate) resource: &'a Resource,
    pub(crate) name: String,
}

impl Target<'_> {
    /// Path of the object in the namespace that the command works in.
    pub(crate) fn path(&self, api: &Api) -> String {
        self.resource.path(api.namespace(), Some(&self.name))
    }

    /// `deployment.apps/cart`.
    pub(crate) fn display(&self) -> String {
        format!("{}/{}", self.resource.display(), self.name)
    }
}

/// Reads the words of a command line that must name at least one object.
pub(crate) async fn parse<'a>(api: &'a Api, words: &[String]) -> anyhow::Result<Vec<Target<'a>>> {
    let mut targets = Vec::new();
    match words {
        [first, ..] if first.contains('/') => {
            for word in words {
                let Some((resource, name)) = word.split_once('/') else {
                    bail!("{word:?}: where one argument is TYPE/NAME all must be");
                };
                targets.push(Target { resource: api.resource(resource).await?, name: name.to_owned() });
            }
        }
        [resource, names @ ..] if !names.is_empty() => {
            let resource = api.resource(resource).await?;
            targets.extend(names.iter().map(|name| Target { resource, name: name.clone() }));
        }
        _ => bail!("name an object: TYPE NAME, or TYPE/NAME"),
    }
    Ok(targets)
}
