//! An image for the suite.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use serde_json::json;

use crate::image::ImageName;
use crate::image::archive::{self, Entry, Layer};

/// Where Debian's `busybox-static` puts it.
const BUSYBOX: &str = "/bin/busybox";

/// Writes an archive with busybox, and with a link `sh` to it, under the image name `name`.
pub fn write_busybox_archive(path: &Path, name: &str) -> io::Result<()> {
    let name: ImageName = name.parse().map_err(io::Error::other)?;
    let busybox = std::fs::read(BUSYBOX)?;
    let entries = vec![
        Entry::folder("bin"),
        Entry::file("bin/busybox", 0o755, busybox),
        Entry { kind: archive::Kind::Link("busybox".into()), ..Entry::folder("bin/sh") },
        Entry::folder("tmp"),
    ];
    let layer = Layer::new(archive::layer(entries)?);
    let config = json!({"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]});
    let document = archive::config_document(config, std::slice::from_ref(&layer.diff_id), &[]);
    archive::write(BufWriter::new(File::create(path)?), &name.to_string(), &document, &[layer])
}
