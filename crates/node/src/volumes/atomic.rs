//! Writes a set of files so that readers see either all old or all new content.
//!
//! The layout is upstream's, on which programs that watch their configuration rely: files are links
//! into `..data`, which is a link to a folder named after the time, replaced by one rename.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Component, Path, PathBuf};

use portolan_base::Timestamp;

/// A file to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) bytes: Vec<u8>,
    pub(crate) mode: u32,
}

/// Files by their path within the volume.
pub(crate) type Files = BTreeMap<String, File>;

const DATA: &str = "..data";

/// Makes `directory` contain exactly `files`; does nothing if it does already.
///
/// Returns whether something changed.
pub(crate) fn write(directory: &Path, files: &Files, group: Option<u32>, now: Timestamp) -> io::Result<bool> {
    fs::create_dir_all(directory)?;
    let data = directory.join(DATA);
    let old = fs::read_link(&data).ok();
    if old.is_some() && is_current(&data, files) {
        return Ok(false);
    }
    let stamp = format!("..{}.{:09}", now.strftime("%Y_%m_%d_%H_%M_%S"), now.subsec_nanosecond());
    let fresh = directory.join(&stamp);
    write_all(&fresh, files, group)?;
    let link = directory.join("..data_tmp");
    let _ = fs::remove_file(&link);
    symlink(&stamp, &link)?;
    fs::rename(&link, &data)?;

    let wanted: BTreeSet<PathBuf> = files.keys().filter_map(|path| first(path)).collect();
    for name in &wanted {
        let visible = directory.join(name);
        if fs::symlink_metadata(&visible).is_err() {
            symlink(Path::new(DATA).join(name), &visible)?;
        }
    }
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.to_string_lossy().starts_with("..") && !wanted.contains(Path::new(&name)) {
            fs::remove_file(entry.path())?;
        }
    }
    if let Some(old) = old.filter(|old| *old != Path::new(&stamp)) {
        fs::remove_dir_all(directory.join(old))?;
    }
    Ok(true)
}

/// Whether a path stays inside the volume.
pub(crate) fn is_inside(path: &str) -> bool {
    !path.is_empty()
        && !path.starts_with("..")
        && Path::new(path).components().all(|component| matches!(component, Component::Normal(_)))
}

fn first(path: &str) -> Option<PathBuf> {
    Path::new(path).components().next().map(|component| PathBuf::from(component.as_os_str()))
}

fn write_all(directory: &Path, files: &Files, group: Option<u32>) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?;
    for (path, file) in files {
        if !is_inside(path) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("path {path:?} leaves the volume")));
        }
        let target = directory.join(path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&target, &file.bytes)?;
        // Members of the pod's group may read what its owner may.
        let mode = if group.is_some() { file.mode | ((file.mode & 0o400) >> 3) } else { file.mode };
        fs::set_permissions(&target, fs::Permissions::from_mode(mode))?;
        chown(&target, None, group)?;
    }
    Ok(())
}

fn is_current(data: &Path, files: &Files) -> bool {
    let mut present = Vec::new();
    if list(data, &mut present).is_err() {
        return false;
    }
    present.len() == files.len()
        && files.iter().all(|(path, file)| fs::read(data.join(path)).is_ok_and(|bytes| bytes == file.bytes))
}

fn list(directory: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            list(&entry.path(), found)?;
        } else {
            found.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(pairs: &[(&str, &str)]) -> Files {
        let file = |text: &str| File { bytes: text.as_bytes().to_vec(), mode: 0o644 };
        pairs.iter().map(|(path, text)| ((*path).to_owned(), file(text))).collect()
    }

    #[test]
    fn replaces_content_as_a_whole_and_leaves_equal_content_alone() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let now = Timestamp::UNIX_EPOCH;
        let later = now + std::time::Duration::from_secs(1);
        let write = |list, at| write(folder.path(), &files(list), None, at).expect("the folder is writable");
        assert!(write(&[("a", "1"), ("b/c", "2")], now));
        assert!(!write(&[("a", "1"), ("b/c", "2")], later));
        assert_eq!(fs::read_to_string(folder.path().join("b/c")).expect("written"), "2");
        assert!(write(&[("a", "3")], later));
        assert_eq!(fs::read_to_string(folder.path().join("a")).expect("written"), "3");
        assert!(!folder.path().join("b").exists());
        let hidden = fs::read_dir(folder.path()).expect("readable").count();
        assert_eq!(hidden, 3, "a, ..data and one generation");
    }

    #[test]
    fn paths_that_leave_the_volume_are_refused() {
        for (path, inside) in
            [("a", true), ("a/b", true), ("../a", false), ("/a", false), ("..data", false), ("", false)]
        {
            assert_eq!(is_inside(path), inside, "{path}");
        }
    }
}
