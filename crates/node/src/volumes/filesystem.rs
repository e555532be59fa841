//! Mounting and taking down.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags};

/// Makes `path` a `tmpfs` of its own, if it is none yet.
pub(crate) fn mount_tmpfs(path: &Path, size_bytes: Option<u64>) -> io::Result<()> {
    fs::create_dir_all(path)?;
    if mounts_under(path)?.iter().any(|mount| mount == path) {
        return Ok(());
    }
    let options = size_bytes.map(|size| format!("size={size}"));
    nix::mount::mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), options.as_deref())?;
    Ok(())
}

/// Unmounts everything at and under `path`, then removes it. What is gone already is fine.
///
/// Never follows a mount: if something cannot be unmounted, nothing is removed.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    let mut mounts = mounts_under(path)?;
    mounts.sort_by_key(|mount| std::cmp::Reverse(mount.components().count()));
    for mount in mounts {
        nix::mount::umount2(&mount, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)?;
    }
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Mount points at or under `path`.
fn mounts_under(path: &Path) -> io::Result<Vec<PathBuf>> {
    let path = match fs::canonicalize(path) {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    Ok(table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|point| PathBuf::from(unescape(point)))
        .filter(|point| point.starts_with(&path))
        .collect())
}

/// The kernel writes blanks and such as `\040`.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        let octal = (*byte == b'\\').then(|| tail.get(..3)).flatten();
        match octal.and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|d| u8::from_str_radix(d, 8).ok()) {
            Some(value) => {
                bytes.push(value);
                rest = &tail[3..];
            }
            None => {
                bytes.push(*byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Makes the folder of an `emptyDir`: open to all, and to the pod's group if it has one.
pub(crate) fn open_directory(path: &Path, group: Option<u32>) -> io::Result<()> {
    fs::create_dir_all(path)?;
    if let Some(group) = group {
        chown(path, None, Some(group))?;
    }
    let mode = if group.is_some() { 0o2777 } else { 0o777 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Checks a `hostPath` against its type, or makes what the type allows to be made.
///
/// # Errors
/// Upstream's text.
pub(crate) fn check_host_path(path: &Path, kind: &str) -> Result<(), String> {
    let shown = path.display();
    let metadata = fs::metadata(path).ok();
    let is = |test: fn(&fs::FileType) -> bool| metadata.as_ref().is_some_and(|metadata| test(&metadata.file_type()));
    let (holds, what) = match kind {
        "" => return Ok(()),
        "DirectoryOrCreate" if metadata.is_none() => {
            return fs::create_dir_all(path).map_err(|error| format!("hostPath create {shown}: {error}"));
        }
        "FileOrCreate" if metadata.is_none() => {
            return fs::File::create(path).map(drop).map_err(|error| format!("hostPath create {shown}: {error}"));
        }
        "Directory" | "DirectoryOrCreate" => (is(fs::FileType::is_dir), "directory"),
        "File" | "FileOrCreate" => (is(fs::FileType::is_file), "file"),
        "Socket" => (is(FileTypeExt::is_socket), "socket"),
        "CharDevice" => (is(FileTypeExt::is_char_device), "character device"),
        "BlockDevice" => (is(FileTypeExt::is_block_device), "block device"),
        other => return Err(format!("hostPath type {other:?} is not known")),
    };
    if holds { Ok(()) } else { Err(format!("hostPath type check failed: {shown} is not a {what}")) }
}
