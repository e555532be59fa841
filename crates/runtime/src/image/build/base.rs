//! Reading a base image from its archive.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde_json::Value;

use super::image::Draft;
use crate::image::archive::{Blob, Layer, blob_path};

/// Documents are small; a larger one is not what it says.
const DOCUMENT_LIMIT: u64 = 16 << 20;

/// Where the entries of an archive are.
type Places = HashMap<PathBuf, (u64, u64)>;

/// Reads layers and configuration; the layers stay in the archive.
pub(super) fn read(archive: &Path) -> io::Result<Draft> {
    let mut places = Places::new();
    let mut tar = tar::Archive::new(File::open(archive)?);
    for entry in tar.entries()? {
        let entry = entry?;
        places.insert(entry.path()?.into_owned(), (entry.raw_file_position(), entry.size()));
    }
    let document = |path: &Path| -> io::Result<Value> {
        let blob = place(archive, &places, path)?;
        let mut bytes = Vec::new();
        blob.open()?.take(DOCUMENT_LIMIT).read_to_end(&mut bytes)?;
        Ok(serde_json::from_slice(&bytes)?)
    };
    let mut manifest = document(Path::new("index.json"))?;
    while let Some(list) = manifest["manifests"].as_array() {
        let digest = list.iter().find(|entry| fits_machine(entry)).and_then(|entry| entry["digest"].as_str());
        let digest = digest.ok_or_else(|| damaged("it has no image for this machine"))?;
        manifest = document(&blob_path(digest))?;
    }
    let config = document(&blob_path(text(&manifest["config"]["digest"])?))?;
    let mut draft = Draft {
        config: config["config"].as_object().cloned().unwrap_or_default(),
        history: config["history"].as_array().cloned().unwrap_or_default(),
        ..Draft::default()
    };
    let ids = config["rootfs"]["diff_ids"].as_array().cloned().unwrap_or_default();
    let layers = manifest["layers"].as_array().cloned().unwrap_or_default();
    if ids.len() != layers.len() {
        return Err(damaged("its configuration and its manifest name different layers"));
    }
    for (layer, diff_id) in layers.iter().zip(&ids) {
        let digest = text(&layer["digest"])?.to_owned();
        let blob = place(archive, &places, &blob_path(&digest))?;
        let media_type = text(&layer["mediaType"])?.to_owned();
        collect_folders(&blob, &media_type, &mut draft)?;
        draft.layers.push(Layer { blob, media_type, digest, diff_id: text(diff_id)?.to_owned() });
    }
    Ok(draft)
}

fn fits_machine(entry: &Value) -> bool {
    let wanted = crate::image::archive::architecture();
    entry["platform"]["architecture"].as_str().is_none_or(|found| found == wanted)
}

fn place(archive: &Path, places: &Places, path: &Path) -> io::Result<Blob> {
    let (offset, length) = *places.get(path).ok_or_else(|| damaged(&format!("{} is missing", path.display())))?;
    Ok(Blob::Part { file: archive.to_owned(), offset, length })
}

/// Notes the folders of a layer, so that copying into them does not change them.
fn collect_folders(blob: &Blob, media_type: &str, draft: &mut Draft) -> io::Result<()> {
    let reader = blob.open()?;
    let reader: Box<dyn Read> = match media_type.rsplit(['.', '+']).next() {
        Some("gzip") => Box::new(GzDecoder::new(reader)),
        Some("tar") => reader,
        _ => return Err(damaged(&format!("layers of type {media_type} are not supported"))),
    };
    for entry in tar::Archive::new(reader).entries()? {
        let entry = entry?;
        if entry.header().entry_type().is_dir() {
            let path = entry.path()?;
            let relative: PathBuf =
                path.components().filter(|c| matches!(c, std::path::Component::Normal(_))).collect();
            draft.folders.insert(relative);
        }
    }
    Ok(())
}

fn text(value: &Value) -> io::Result<&str> {
    value.as_str().ok_or_else(|| damaged("a digest is missing"))
}

fn damaged(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the base image is damaged: {reason}"))
}
