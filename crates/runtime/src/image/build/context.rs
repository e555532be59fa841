//! The folder that files are taken from.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use super::glob;
use super::ignore::Ignore;
use crate::image::archive::Kind;

/// A build context.
#[derive(Debug)]
pub(super) struct Context {
    root: PathBuf,
    ignore: Ignore,
}

/// Something that a pattern found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    /// A file with its permissions.
    File(PathBuf, u32),
    /// A folder with all that is in it: path relative to it, permissions, kind; parents first.
    Folder(Vec<(PathBuf, u32, Kind)>),
}

impl Context {
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let root = root.canonicalize()?;
        let ignore = match fs::read_to_string(root.join(".dockerignore")) {
            Ok(text) => Ignore::parse(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ignore::default(),
            Err(error) => return Err(error),
        };
        Ok(Self { root, ignore })
    }

    /// Everything that fits a pattern, in the order of names.
    pub(super) fn find(&self, pattern: &str) -> Result<Vec<Found>, String> {
        let mut parts = Vec::new();
        for component in Path::new(pattern.trim_start_matches('/')).components() {
            match component {
                Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
                Component::CurDir => {}
                _ => return Err(format!("{pattern} leads out of the build context")),
            }
        }
        let mut paths = vec![PathBuf::new()];
        for part in &parts {
            let mut next = Vec::new();
            for path in &paths {
                next.extend(self.children(path, part).map_err(|error| format!("{pattern}: {error}"))?);
            }
            paths = next;
        }
        let mut found = Vec::new();
        for path in paths {
            if !path.as_os_str().is_empty() && self.is_ignored(&path) && !self.root.join(&path).is_dir() {
                continue;
            }
            found.push(self.read(&path).map_err(|error| format!("{}: {error}", path.display()))?);
        }
        if found.is_empty() {
            return Err(format!("{pattern}: no such file in the build context, or .dockerignore leaves it out"));
        }
        Ok(found)
    }

    /// The entries of a folder whose name fits.
    fn children(&self, folder: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
        if !pattern.contains(['*', '?', '[', '\\']) {
            let path = folder.join(pattern);
            return Ok(self.root.join(&path).symlink_metadata().map(|_| path).into_iter().collect());
        }
        if !self.root.join(folder).is_dir() {
            return Ok(Vec::new());
        }
        let names = sorted_names(&self.root.join(folder))?;
        Ok(names.into_iter().filter(|name| glob::matches(pattern, name)).map(|name| folder.join(name)).collect())
    }

    fn is_ignored(&self, path: &Path) -> bool {
        let parts: Vec<&str> = path.iter().filter_map(|part| part.to_str()).collect();
        self.ignore.excludes(&parts)
    }

    fn read(&self, path: &Path) -> io::Result<Found> {
        // A link named as a source is followed, but not out of the context.
        let real = self.root.join(path).canonicalize()?;
        if !real.starts_with(&self.root) {
            return Err(io::Error::other("it leads out of the build context"));
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let metadata = fs::metadata(&real)?;
        let content = if metadata.is_dir() {
            let mut entries = Vec::new();
            self.walk(&real, path, Path::new(""), &mut entries)?;
            Content::Folder(entries)
        } else {
            Content::File(real, permissions(&metadata))
        };
        Ok(Found { name, content })
    }

    fn walk(
        &self,
        folder: &Path,
        in_context: &Path,
        relative: &Path,
        entries: &mut Vec<(PathBuf, u32, Kind)>,
    ) -> io::Result<()> {
        for name in sorted_names(folder)? {
            let (path, in_context, relative) = (folder.join(&name), in_context.join(&name), relative.join(&name));
            let metadata = path.symlink_metadata()?;
            let ignored = self.is_ignored(&in_context);
            if metadata.is_dir() {
                let before = entries.len();
                entries.push((relative.clone(), permissions(&metadata), Kind::Folder));
                self.walk(&path, &in_context, &relative, entries)?;
                // A folder that is left out stays if a later rule keeps something in it.
                if ignored && entries.len() == before + 1 {
                    entries.truncate(before);
                }
            } else if ignored {
            } else if metadata.is_symlink() {
                entries.push((relative, 0o777, Kind::Link(fs::read_link(&path)?)));
            } else if metadata.is_file() {
                entries.push((relative, permissions(&metadata), Kind::File(path)));
            } else {
                return Err(io::Error::other(format!("{} is neither file, folder nor link", in_context.display())));
            }
        }
        Ok(())
    }
}

fn permissions(metadata: &fs::Metadata) -> u32 {
    metadata.permissions().mode() & 0o7777
}

fn sorted_names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let text = name.into_string().map_err(|name| io::Error::other(format!("{name:?} is not UTF-8")))?;
        names.push(text);
    }
    names.sort();
    Ok(names)
}
