//! Images for tests, made from what the distribution has.

use std::path::Path;

use anyhow::Context;

use crate::Cluster;

/// A folder with a Dockerfile for a web server that answers with `<word> <host name>`.
///
/// It is the distribution's static busybox: no registry is needed.
pub fn web_image(folder: &Path, word: &str) -> anyhow::Result<()> {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"]
        .iter()
        .find(|path| Path::new(path).exists())
        .context("busybox is missing: apt-get install busybox-static")?;
    std::fs::copy(busybox, folder.join("busybox"))?;
    let script = format!(
        "busybox mkdir -p /www && echo {word} $(busybox hostname) > /www/index.html && exec busybox httpd -f -v -p 80 -h /www"
    );
    let dockerfile = format!(
        "FROM scratch\nCOPY busybox /bin/busybox\nCOPY busybox /bin/sh\nENV PATH=/bin\nEXPOSE 80\nCMD [\"/bin/sh\", \"-c\", \"{script}\"]\n"
    );
    std::fs::write(folder.join("Dockerfile"), dockerfile)?;
    Ok(())
}

/// Builds such an image in a cluster.
pub fn build_web_image(cluster: &Cluster, name: &str, word: &str) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    web_image(folder.path(), word)?;
    let path = folder.path().to_str().context("a temporary folder has a printable name")?;
    cluster.portolan(&["image", "build", "-t", name, path]).map(drop)
}
