//! The image of a pod's first process, made by us: no registry is asked for it.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::image::archive::{self, Entry, Layer};
use crate::port::{Error, Images, Result};

/// Name of the image. Its tag changes when the program does.
pub const PAUSE_IMAGE: &str = "portolan.local/pause:1";

const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pause"));

/// Makes sure that the image is on the machine; `scratch` takes the archive for a moment.
pub(crate) async fn ensure(images: &dyn Images, scratch: &Path) -> Result<()> {
    if images.image(PAUSE_IMAGE).await?.is_some() {
        return Ok(());
    }
    let path = scratch.join(format!("pause-{}.tar", std::process::id()));
    let written = fs::write(&path, archive());
    let loaded = match written {
        Ok(()) => images.load(&path).await.map(|_| ()),
        Err(error) => Err(Error::Failed { operation: "write the pause image", reason: error.to_string() }),
    };
    // Only a left-over file in a folder of our own.
    let _ = fs::remove_file(&path);
    loaded
}

/// The image as an archive.
fn archive() -> Vec<u8> {
    let entry = Entry::file("pause", 0o755, PROGRAM.to_vec());
    let layer = Layer::new(archive::layer(vec![entry]).expect("writing to memory does not fail"));
    let config = json!({"Entrypoint": ["/pause"], "User": "65535:65535"});
    let mut bytes = Vec::new();
    let document = archive::config_document(config, std::slice::from_ref(&layer.diff_id), &[]);
    archive::write(&mut bytes, PAUSE_IMAGE, &document, &[layer]).expect("writing to memory does not fail");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_a_tiny_static_executable() {
        assert_eq!(&PROGRAM[..4], b"\x7fELF");
        assert!(PROGRAM.len() < 8 * 1024, "{} bytes", PROGRAM.len());
    }

    #[test]
    fn the_archive_is_the_same_every_time() {
        assert_eq!(archive(), archive());
    }
}
