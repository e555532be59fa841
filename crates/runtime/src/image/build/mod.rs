//! Builds images from Dockerfiles without running anything.
//!
//! Understood are `FROM`, `COPY`, `ADD` of local files, `ENV`, `WORKDIR`, `USER`, `EXPOSE`, `LABEL`,
//! `ENTRYPOINT`, `CMD` and `ARG`. Anything else is refused by its line: an image that silently lacks
//! a step is worse than none. The same context gives the same bytes.

mod base;
mod context;
mod glob;
mod ignore;
mod image;
mod parse;
mod words;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::ImageName;
use super::archive;
pub use parse::{Instruction, ParseError, Step, parse};

/// What to build.
#[derive(Debug, Clone)]
pub struct Request {
    /// Folder that `COPY` takes from.
    pub context: PathBuf,
    /// The Dockerfile.
    pub dockerfile: PathBuf,
    /// Name of the image.
    pub name: String,
    /// Values for `ARG`.
    pub arguments: BTreeMap<String, String>,
    /// The archive to write.
    pub archive: PathBuf,
}

/// Where base images come from.
#[async_trait]
pub trait BaseImages: Sync {
    /// Writes an image of the machine into an archive.
    async fn export(&self, reference: &str, archive: &Path) -> crate::Result<()>;
}

#[async_trait]
impl BaseImages for crate::cri::CriRuntime {
    async fn export(&self, reference: &str, archive: &Path) -> crate::Result<()> {
        Self::export(self, &[reference.to_owned()], archive).await
    }
}

/// Why an image was not built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("{what} {path}")]
    File {
        /// What was being done.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A line cannot be done.
    #[error("{file}:{line}: {reason}", file = file.display())]
    Line {
        /// The Dockerfile.
        file: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// Why.
        reason: String,
    },
    /// The image's name is none, or the base image cannot be had.
    #[error(transparent)]
    Runtime(#[from] crate::Error),
}

/// Builds an image and writes its archive; the image's full name.
pub async fn build(request: &Request, bases: &dyn BaseImages) -> Result<String, Error> {
    let name: ImageName = request.name.parse()?;
    let file = &request.dockerfile;
    let text = std::fs::read_to_string(file).map_err(file_error("read", file))?;
    let at_line = |line: usize, reason: String| Error::Line { file: file.clone(), line, reason };
    let steps = parse(&text, &request.arguments).map_err(|error| at_line(error.line, error.reason))?;
    let context = context::Context::open(&request.context).map_err(file_error("read", &request.context))?;
    let base_archive = request.archive.with_extension("base");
    let mut image = image::Draft::default();
    for Step { line, instruction } in steps {
        if let Instruction::From(reference) = &instruction {
            if reference != "scratch" {
                bases.export(reference, &base_archive).await.map_err(|error| {
                    at_line(line, format!("{error}; base images must be on the machine: `portolan image load`"))
                })?;
                image = base::read(&base_archive).map_err(file_error("read base image", &base_archive))?;
            }
            continue;
        }
        image.apply(&context, instruction).map_err(|reason| at_line(line, reason))?;
    }
    let written = File::create(&request.archive)
        .and_then(|out| archive::write(BufWriter::new(out), &name.to_string(), &image.document(), &image.layers));
    // Only there if a base image was used.
    let _ = std::fs::remove_file(&base_archive);
    written.map_err(file_error("write", &request.archive))?;
    Ok(name.to_string())
}

fn file_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { what, path, source }
}

#[cfg(test)]
mod tests;
