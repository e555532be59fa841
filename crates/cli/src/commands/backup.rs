//! `portolan backup`: everything in the store, while the cluster runs.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use indicatif::{ProgressBar, ProgressStyle};

use crate::Api;
use crate::output::print_line;

/// Arguments of `backup`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portolan backup /backup/monday.portolan
  portolan backup /backup/monday.portolan --kubeconfig admin.kubeconfig

The file holds every object; keep it safe. Secrets in it are encrypted as in the store: the cluster's own keys are written
beside it, as FILE.keys, and may be kept elsewhere. `portolan restore` makes a cluster of both.")]
pub struct Arguments {
    /// File to write; it must not exist yet.
    file: PathBuf,
}

pub(crate) async fn run(api: &Api, arguments: Arguments) -> anyhow::Result<()> {
    let path = &arguments.file;
    let keys = keys_of(path);
    if let Some(taken) = [path, &keys].into_iter().find(|path| path.exists()) {
        bail!("{} exists already; choose another name", taken.display());
    }
    let partial = PathBuf::from(format!("{}.partial", path.display()));
    let result = fetch(api, path, &partial).await;
    if result.is_err() {
        // Not made by us if it could not even be opened; removing what is not there does no harm.
        let _ = std::fs::remove_file(&partial);
    }
    let revision = result?;
    print_line(&format!("{} holds everything up to revision {revision}", path.display()));
    if let Some(text) = keys_of_cluster(api).await? {
        let mut file = create(&keys)?;
        file.write_all(&text).and_then(|()| file.sync_all()).with_context(|| format!("write {}", keys.display()))?;
        print_line(&format!("{} holds the keys of its Secrets", keys.display()));
    }
    Ok(())
}

/// Where the keys of a backup's Secrets are.
pub fn keys_of(backup: &Path) -> PathBuf {
    PathBuf::from(format!("{}.keys", backup.display()))
}

/// The keys that the cluster made for itself; none if the operator has given it some.
async fn keys_of_cluster(api: &Api) -> anyhow::Result<Option<Vec<u8>>> {
    let response = api.send(Method::GET, "/portolan/v1/backup?part=keys", "*/*", None).await?;
    if response.status() == StatusCode::NO_CONTENT {
        return Ok(None);
    }
    let body = response.into_body().collect().await;
    Ok(Some(body.map_err(|error| anyhow::anyhow!("read the keys: {error}"))?.to_bytes().into()))
}

/// A new file that only its owner can read: Secrets are in it, or what opens them.
fn create(path: &Path) -> anyhow::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.with_context(|| format!("write {}", path.display()))
}

/// Writes the file under a name of its own, and gives it the right one once it is complete and durable.
async fn fetch(api: &Api, path: &Path, partial: &Path) -> anyhow::Result<String> {
    let response = api.send(Method::GET, "/portolan/v1/backup", "*/*", None).await?;
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let revision = header("x-portolan-revision").context("the server did not send a backup")?;
    let length: u64 = header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut file = create(partial)?;
    let style =
        ProgressStyle::with_template("{bar:32} {bytes}/{total_bytes} {eta}").expect("the template is well-formed");
    let progress = ProgressBar::new(length).with_style(style.progress_chars("=> "));
    let mut body = response.into_body();
    let mut received = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| anyhow::anyhow!("read the backup: {error}"))?;
        let Some(data) = frame.data_ref() else { continue };
        file.write_all(data).with_context(|| format!("write {}", partial.display()))?;
        received += data.len() as u64;
        progress.inc(data.len() as u64);
    }
    progress.finish_and_clear();
    if received != length {
        bail!("the backup is incomplete: {received} of {length} bytes arrived");
    }
    file.sync_all().with_context(|| format!("write {}", partial.display()))?;
    std::fs::rename(partial, path).with_context(|| format!("name {}", path.display()))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).with_context(|| format!("flush {}", folder.display()))?;
    Ok(revision)
}
