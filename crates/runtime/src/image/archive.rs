//! Image archives: a tar of an OCI image layout, the same bytes for the same contents.
//!
//! OCI image specification, "Image Layout".

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

/// One entry of a layer.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Path in the image, without a slash before it.
    pub(crate) path: PathBuf,
    pub(crate) mode: u32,
    pub(crate) owner: u64,
    pub(crate) group: u64,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Folder,
    Link(PathBuf),
    Bytes(Vec<u8>),
    File(PathBuf),
}

impl Entry {
    pub(crate) fn file(path: impl Into<PathBuf>, mode: u32, bytes: Vec<u8>) -> Self {
        Self { path: path.into(), mode, owner: 0, group: 0, kind: Kind::Bytes(bytes) }
    }

    pub(crate) fn folder(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), mode: 0o755, owner: 0, group: 0, kind: Kind::Folder }
    }
}

/// Bytes of a layer, in memory or as a part of a file.
#[derive(Debug, Clone)]
pub(crate) enum Blob {
    Bytes(Vec<u8>),
    Part { file: PathBuf, offset: u64, length: u64 },
}

impl Blob {
    fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Part { length, .. } => *length,
        }
    }

    pub(crate) fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(match self {
            Self::Bytes(bytes) => Box::new(bytes.as_slice()),
            Self::Part { file, offset, length } => {
                let mut file = File::open(file)?;
                file.seek(SeekFrom::Start(*offset))?;
                Box::new(file.take(*length))
            }
        })
    }
}

/// A layer with its content addresses.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub(crate) blob: Blob,
    pub(crate) media_type: String,
    pub(crate) digest: String,
    /// Digest of the uncompressed bytes.
    pub(crate) diff_id: String,
}

impl Layer {
    /// An uncompressed layer.
    pub(crate) fn new(tar: Vec<u8>) -> Self {
        let digest = digest(&tar);
        let media_type = "application/vnd.oci.image.layer.v1.tar".to_owned();
        Self { blob: Blob::Bytes(tar), media_type, diff_id: digest.clone(), digest }
    }
}

/// `sha256:` and the digest in hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// Writes entries, in the order given, as an uncompressed layer. Times are zero.
pub(crate) fn layer(entries: Vec<Entry>) -> io::Result<Vec<u8>> {
    let mut builder = Builder::new(Vec::new());
    for entry in entries {
        let mut header = header(entry.mode);
        header.set_uid(entry.owner);
        header.set_gid(entry.group);
        match entry.kind {
            Kind::Folder => {
                header.set_entry_type(EntryType::Directory);
                header.set_size(0);
                builder.append_data(&mut header, &entry.path, io::empty())?;
            }
            Kind::Link(target) => {
                header.set_entry_type(EntryType::Symlink);
                header.set_size(0);
                builder.append_link(&mut header, &entry.path, target)?;
            }
            Kind::Bytes(bytes) => {
                header.set_size(bytes.len() as u64);
                builder.append_data(&mut header, &entry.path, bytes.as_slice())?;
            }
            Kind::File(source) => {
                let file = File::open(source)?;
                let length = file.metadata()?.len();
                header.set_size(length);
                // A file that grows meanwhile must not spoil the archive.
                builder.append_data(&mut header, &entry.path, file.take(length))?;
            }
        }
    }
    builder.into_inner()
}

/// The image's configuration document.
pub(crate) fn config_document(config: Value, diff_ids: &[String], history: &[Value]) -> Value {
    json!({
        "architecture": architecture(),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": history,
    })
}

pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Writes an archive with one image. Layers with the same digest are written once.
pub(crate) fn write(out: impl Write, name: &str, config: &Value, layers: &[Layer]) -> io::Result<()> {
    let config = serde_json::to_vec(config)?;
    let descriptors: Vec<Value> = layers
        .iter()
        .map(|layer| json!({"mediaType": layer.media_type, "digest": layer.digest, "size": layer.blob.length()}))
        .collect();
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": digest(&config),
            "size": config.len(),
        },
        "layers": descriptors,
    }))?;
    let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
    let index = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest(&manifest),
            "size": manifest.len(),
            "platform": {"architecture": architecture(), "os": "linux"},
            "annotations": {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag},
        }],
    }))?;
    let mut builder = Builder::new(out);
    append(&mut builder, Path::new("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    append(&mut builder, Path::new("index.json"), &index)?;
    append(&mut builder, &blob_path(&digest(&manifest)), &manifest)?;
    append(&mut builder, &blob_path(&digest(&config)), &config)?;
    let mut written = std::collections::BTreeSet::new();
    for layer in layers.iter().filter(|layer| written.insert(&layer.digest)) {
        let mut header = header(0o644);
        header.set_size(layer.blob.length());
        builder.append_data(&mut header, blob_path(&layer.digest), layer.blob.open()?)?;
    }
    builder.into_inner()?.flush()
}

/// Path of a blob within the layout.
pub(crate) fn blob_path(digest: &str) -> PathBuf {
    Path::new("blobs").join(digest.replace(':', "/"))
}

fn append(builder: &mut Builder<impl Write>, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut header = header(0o644);
    header.set_size(bytes.len() as u64);
    builder.append_data(&mut header, path, bytes)
}

fn header(mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(mode);
    header.set_mtime(0);
    header
}
