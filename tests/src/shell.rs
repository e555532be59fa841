//! Lines as users type them, with the stock client on the path.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::bail;

use crate::Cluster;

/// How long a line may take, in seconds: what it waits for comes within a fraction of that or never.
const PATIENCE: &str = "180";

/// Typed lines and words of what they print, on either stream. `! line` is a line that must fail.
pub type Steps = &'static [(&'static str, &'static [&'static str])];

/// A shell in a cluster's scratch folder, whose `kubectl` and `portolan` are those under test.
pub struct Shell<'a> {
    cluster: &'a Cluster,
    folder: PathBuf,
}

impl<'a> Shell<'a> {
    /// A shell whose folder holds these files.
    ///
    /// # Errors
    /// The files cannot be written, or there is no `kubectl`.
    pub fn new(cluster: &'a Cluster, files: &[(&str, &str)]) -> anyhow::Result<Self> {
        let folder = cluster.scratch_dir().to_owned();
        for (name, text) in files {
            std::fs::write(folder.join(name), text)?;
        }
        let program = cluster.kubectl_command().get_program().to_owned();
        let found = Command::new("sh").arg("-c").arg("command -v \"$0\"").arg(program).output()?;
        let path = String::from_utf8(found.stdout)?;
        std::fs::create_dir(folder.join("bin"))?;
        symlink(path.trim(), folder.join("bin/kubectl"))?;
        symlink(crate::binary()?, folder.join("bin/portolan"))?;
        Ok(Self { cluster, folder })
    }

    /// Types a line.
    ///
    /// # Errors
    /// It failed, does not end, or does not print one of `words`.
    pub fn check(&self, line: &str, words: &[&str]) -> anyhow::Result<()> {
        let path = std::env::var("PATH").unwrap_or_default();
        // Ends with the line's own code, or with 124 and everything that the line has started.
        let output = Command::new("timeout")
            .args([PATIENCE, "sh", "-c", &format!("{{ {line}\n}} 2>&1")])
            .current_dir(&self.folder)
            .env("PATH", format!("{}:{path}", self.folder.join("bin").display()))
            .env("KUBECONFIG", self.cluster.kubeconfig())
            .env("HOME", &self.folder)
            .stdin(Stdio::null())
            .output()?;
        let printed = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!("$ {line}\n{printed}\nended with {}", output.status);
        }
        match words.iter().find(|word| !printed.contains(**word)) {
            Some(word) => bail!("$ {line}\n{printed}\nlacks {word:?}"),
            None => Ok(()),
        }
    }
}
