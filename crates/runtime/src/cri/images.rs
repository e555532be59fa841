//! Images.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use k8s_cri::v1;
use parking_lot::Mutex;
use tokio::process::Command;

use super::{CALL_TIMEOUT, CriRuntime, convert, gone_is_fine, timed};
use crate::image::ImageName;
use crate::port::*;

/// Large images over slow lines; the caller shows that a pull is under way.
const PULL_TIMEOUT: Duration = Duration::from_secs(3600);
/// containerd's name space for what CRI sees.
const NAMESPACE: &str = "k8s.io";

/// Remembers which images were loaded from archives.
#[derive(Debug)]
pub(super) struct LocalImages {
    file: Option<PathBuf>,
    writing: Mutex<()>,
}

impl LocalImages {
    pub(super) fn open(file: Option<PathBuf>) -> Result<Self> {
        let record = Self { file, writing: Mutex::default() };
        record.names()?;
        Ok(record)
    }

    /// Read each time: a command beside the agent may have loaded an image a moment ago.
    fn names(&self) -> Result<BTreeSet<String>> {
        let text = match self.file.as_ref().map(fs::read) {
            None => return Ok(BTreeSet::new()),
            Some(Ok(text)) => text,
            Some(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            Some(Err(error)) => return Err(record_failed(&error)),
        };
        // A damaged record costs no more than a question to a registry.
        Ok(serde_json::from_slice(&text).unwrap_or_default())
    }

    fn contains(&self, tags: &[String]) -> bool {
        self.names().is_ok_and(|names| tags.iter().any(|tag| names.contains(tag)))
    }

    fn update(&self, change: impl FnOnce(&mut BTreeSet<String>)) -> Result<()> {
        let _writing = self.writing.lock();
        let Some(file) = &self.file else { return Ok(()) };
        let mut names = self.names()?;
        change(&mut names);
        let text = serde_json::to_vec(&names).map_err(|error| record_failed(&error))?;
        let draft = file.with_extension("new");
        fs::write(&draft, text).and_then(|()| fs::rename(&draft, file)).map_err(|error| record_failed(&error))
    }
}

fn record_failed(error: &dyn std::error::Error) -> Error {
    Error::Failed { operation: "keep the record of local images", reason: error.to_string() }
}

/// The name as the runtime stores it; ids pass unchanged.
fn stored_name(reference: &str) -> Result<String> {
    let id = reference.strip_prefix("sha256:").unwrap_or(reference);
    if id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(reference.to_owned());
    }
    reference.parse::<ImageName>().map(|name| name.to_string())
}

fn spec(image: String) -> Option<v1::ImageSpec> {
    Some(v1::ImageSpec { image, ..Default::default() })
}

impl CriRuntime {
    fn to_image(&self, image: v1::Image) -> Image {
        let local = self.inner.local.contains(&image.repo_tags);
        convert::image(image, local)
    }

    /// Writes images of the machine into an archive (OCI layout, with Docker's manifest).
    pub async fn export(&self, references: &[String], archive: &Path) -> Result<()> {
        let mut arguments = vec!["export".to_owned(), archive.to_string_lossy().into_owned()];
        for reference in references {
            arguments.push(stored_name(reference)?);
        }
        self.ctr("export image", &arguments).await.map(|_| ())
    }

    async fn ctr(&self, operation: &'static str, arguments: &[String]) -> Result<String> {
        let Some(ctr) = &self.inner.options.ctr else {
            let reason = "this container runtime is not ours: use its own tools for archives".to_owned();
            return Err(Error::Failed { operation, reason });
        };
        let output = Command::new(ctr)
            .arg("--address")
            .arg(&self.inner.options.socket)
            .args(["--namespace", NAMESPACE, "images"])
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await;
        let failed = |reason: String| Error::Failed { operation, reason };
        let output = output.map_err(|error| failed(format!("{}: {error}", ctr.display())))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
        }
    }
}

#[async_trait]
impl Images for CriRuntime {
    async fn image(&self, reference: &str) -> Result<Option<Image>> {
        let request = v1::ImageStatusRequest { image: spec(stored_name(reference)?), verbose: false };
        let answer = timed("ask for an image", CALL_TIMEOUT, self.inner.images().image_status(request)).await?;
        Ok(answer.image.map(|image| self.to_image(image)))
    }

    async fn pull(&self, reference: &str, auth: Option<&RegistryAuth>) -> Result<String> {
        if let Some(image) = self.image(reference).await?.filter(|image| image.local) {
            return Ok(image.id);
        }
        let name: ImageName = reference.parse()?;
        let auth = auth.map(|auth| v1::AuthConfig {
            username: auth.username.clone(),
            password: auth.password.clone(),
            ..Default::default()
        });
        let request = v1::PullImageRequest { image: spec(name.to_string()), auth, sandbox_config: None };
        let failed = |reason: String| Error::Pull { image: reference.to_owned(), reason };
        let mut client = self.inner.images();
        match tokio::time::timeout(PULL_TIMEOUT, client.pull_image(request)).await {
            Ok(Ok(answer)) => Ok(answer.into_inner().image_ref),
            Ok(Err(status)) if status.code() == tonic::Code::Unavailable => Err(super::failed("pull image")(status)),
            // The registry's words, whatever the code: people need them to find the mistake.
            Ok(Err(status)) if status.code() == tonic::Code::Unknown => Err(failed(status.message().to_owned())),
            Ok(Err(status)) => {
                Err(failed(format!("rpc error: code = {:?} desc = {}", status.code(), status.message())))
            }
            Err(_) => Err(failed(format!("it was not complete after {PULL_TIMEOUT:?}"))),
        }
    }

    async fn images(&self) -> Result<Vec<Image>> {
        let request = v1::ListImagesRequest::default();
        let answer = timed("list images", CALL_TIMEOUT, self.inner.images().list_images(request)).await?;
        Ok(answer.images.into_iter().map(|image| self.to_image(image)).collect())
    }

    async fn remove_image(&self, reference: &str) -> Result<()> {
        let known = self.image(reference).await?;
        let request = v1::RemoveImageRequest { image: spec(stored_name(reference)?) };
        let answer = timed("remove image", CALL_TIMEOUT, self.inner.images().remove_image(request)).await;
        gone_is_fine(answer.map(|_| ()))?;
        let tags = known.map(|image| image.tags).unwrap_or_default();
        self.inner.local.update(|names| names.retain(|name| !tags.contains(name)))
    }

    async fn load(&self, archive: &Path) -> Result<Vec<String>> {
        let mut arguments = vec!["import".to_owned()];
        if let Some(snapshotter) = &self.inner.options.snapshotter {
            arguments.extend(["--snapshotter".to_owned(), snapshotter.clone()]);
        }
        arguments.push(archive.to_string_lossy().into_owned());
        let output = self.ctr("load image", &arguments).await?;
        let names = imported(&output);
        if names.is_empty() {
            let reason = format!("{} holds no image with a name", archive.display());
            return Err(Error::Failed { operation: "load image", reason });
        }
        self.inner.local.update(|known| known.extend(names.iter().cloned()))?;
        Ok(names)
    }
}

/// Reads names from lines like `unpacking docker.io/library/a:1 (sha256:...)...done`.
fn imported(output: &str) -> Vec<String> {
    let lines = output.lines().filter_map(|line| line.strip_prefix("unpacking "));
    lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_the_import_tool() {
        let output = "unpacking docker.io/library/a:1 (sha256:00)...done\nunpacking b.example/c:2 (sha256:11)...done\n";
        assert_eq!(imported(output), ["docker.io/library/a:1", "b.example/c:2"]);
    }

    #[test]
    fn ids_are_not_taken_for_names() {
        let id = format!("sha256:{}", "0".repeat(64));
        assert_eq!(stored_name(&id).unwrap(), id);
        assert_eq!(stored_name("a").unwrap(), "docker.io/library/a:latest");
    }
}
