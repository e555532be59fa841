//! The folders of pods' logs, `<namespace>_<name>_<uid>`.

use std::io;
use std::path::Path;

/// UIDs of the pods that have a folder here.
pub(crate) fn known(log_dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(log_dir).into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| uid_of(&name).map(str::to_owned)).collect()
}

/// Removes the folder of a pod, whatever the pod was called. Idempotent.
pub(crate) fn remove(log_dir: &Path, uid: &str) -> io::Result<()> {
    let entries = match std::fs::read_dir(log_dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let ours = entry.file_name().to_str().and_then(uid_of).is_some_and(|found| found == uid);
        // A link would lead out of the folder.
        if ours && entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// The UID in a folder's name; names of namespaces and pods have no underscore.
fn uid_of(name: &str) -> Option<&str> {
    let mut parts = name.splitn(3, '_');
    let (_namespace, _name) = (parts.next()?, parts.next()?);
    parts.next().filter(|uid| !uid.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_folder_of_that_pod_goes() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        for name in ["shop_web_u1/app", "shop_web_u2/app", "other"] {
            std::fs::create_dir_all(folder.path().join(name)).expect("writable");
        }
        std::fs::write(folder.path().join("shop_web_u1/app/0.log"), "a line").expect("writable");
        let mut uids = known(folder.path());
        uids.sort();
        assert_eq!(uids, ["u1", "u2"]);
        remove(folder.path(), "u1").expect("removable");
        assert_eq!(known(folder.path()), ["u2"]);
        assert!(folder.path().join("other").exists());
        remove(folder.path(), "u1").expect("nothing to do");
        remove(&folder.path().join("missing"), "u1").expect("nothing to do");
    }
}
