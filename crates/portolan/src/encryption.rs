//! Keys by which Secrets are encrypted on disk: those that the operator names, else one that is made at the first start.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portolan_apiserver::Encryption;

use crate::access_options::{absolute, read};

/// The cluster's own EncryptionConfiguration, in its folder of keys.
pub(crate) fn own_file(identity: &Path) -> PathBuf {
    identity.join("encryption-provider-config.yaml")
}

/// What is done when the operator's file changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Changes {
    /// The next start reads it.
    Left,
    /// It is taken over.
    Followed,
}

/// What is encrypted, by a file of the operator's or by the cluster's own.
///
/// With a file of the operator's the cluster's own keys, if it ever made some, still decrypt.
pub(crate) fn load(identity: &Path, configured: Option<&Path>, changes: Changes) -> anyhow::Result<Encryption> {
    let path = own_file(identity);
    let own = read_if_there(&path)?;
    let parse = |text: &str| Encryption::parse(text).with_context(|| path.display().to_string());
    let Some(configured) = configured else {
        let text = match own {
            Some(text) => text,
            None => {
                let text = fresh();
                portolan_identity::write_private(&path, &text).context("write the key of Secrets")?;
                text
            }
        };
        return Ok(parse(&text)?.backed_up(path));
    };
    let flag = "--encryption-provider-config";
    let text = read(configured, flag)?;
    let mut encryption = Encryption::parse(&text).context(flag)?;
    let own = own.map(|own| parse(&own)).transpose()?;
    if let Some(own) = own.clone() {
        encryption = encryption.reading(own).backed_up(path);
    }
    if changes == Changes::Followed {
        encryption = encryption.followed(absolute(configured).into(), &text, own);
    }
    Ok(encryption)
}

fn read_if_there(path: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

/// A file with a new key for Secrets. Those that were stored before as they are stay readable.
fn fresh() -> String {
    let key = STANDARD.encode(rand::random::<[u8; 32]>());
    format!(
        "\
# How Secrets are encrypted in the store of this cluster. Without this file they are lost.
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers:
  - secretbox: {{keys: [{{name: \"1\", secret: {key}}}]}}
  - identity: {{}}
"
    )
}

/// Keys that were saved with a backup, and where the next start looks for them.
pub(crate) struct Restored {
    text: String,
    path: PathBuf,
    /// Where those go that are there and are others.
    before: Option<PathBuf>,
}

impl Restored {
    /// Reads the keys, and refuses what [`Self::write`] could not put in place.
    pub(crate) fn read(identity: &Path, saved: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(saved).with_context(|| format!("read {}", saved.display()))?;
        Encryption::parse(&text).with_context(|| saved.display().to_string())?;
        let path = own_file(identity);
        let others = read_if_there(&path)?.is_some_and(|present| present != text);
        let before = others.then(|| path.with_extension("before-restore"));
        if let Some(before) = before.as_ref().filter(|before| before.exists()) {
            bail!("{} is there from an earlier restore; remove it first", before.display());
        }
        Ok(Self { text, path, before })
    }

    /// Puts the keys in place; others that are there are kept beside them.
    pub(crate) fn write(self) -> anyhow::Result<()> {
        if let Some(before) = &self.before {
            std::fs::rename(&self.path, before).with_context(|| format!("move {} away", self.path.display()))?;
        }
        portolan_identity::write_private(&self.path, &self.text).context("write the keys of Secrets")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_THE_OPERATOR: &str = "\
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [configmaps]
  providers: [{identity: {}}]
";

    #[test]
    fn a_key_is_made_once_and_kept() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        load(folder.path(), None, Changes::Left)?;
        let made = std::fs::read_to_string(own_file(folder.path()))?;
        load(folder.path(), None, Changes::Left)?;
        assert_eq!(std::fs::read_to_string(own_file(folder.path()))?, made);
        std::fs::write(own_file(folder.path()), "nonsense")?;
        let refused = load(folder.path(), None, Changes::Left).expect_err("damaged");
        assert!(format!("{refused:#}").contains("encryption-provider-config.yaml"), "{refused:#}");
        Ok(())
    }

    #[test]
    fn a_file_of_the_operator_makes_no_key() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("mine.yaml");
        std::fs::write(&file, OF_THE_OPERATOR)?;
        load(folder.path(), Some(&file), Changes::Followed)?;
        assert!(!own_file(folder.path()).exists());
        Ok(())
    }

    #[test]
    fn restored_keys_replace_those_that_are_there() -> anyhow::Result<()> {
        let (there, here) = (tempfile::tempdir()?, tempfile::tempdir()?);
        load(there.path(), None, Changes::Left)?;
        load(here.path(), None, Changes::Left)?;
        let saved = own_file(there.path());
        let restore = || Restored::read(here.path(), &saved).and_then(Restored::write);
        restore()?;
        assert_eq!(std::fs::read(own_file(here.path()))?, std::fs::read(&saved)?);
        // Again changes nothing.
        restore()?;
        std::fs::write(&saved, "nonsense")?;
        assert!(restore().is_err());
        Ok(())
    }
}
