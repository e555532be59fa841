//! Files that were full: `audit-2026-01-02T03-04-05.678.log`, with `.gz` behind it once it is compressed.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use portolan_base::Timestamp;

const COMPRESSED: &str = ".gz";

/// After the name of what is being compressed.
const UNFINISHED: &str = ".part";

const DATE: &str = "%Y-%m-%dT%H-%M-%S.%3f";

/// A file that was full, compressed or not.
///
/// The order is that of time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Predecessor {
    pub(super) date: String,
    /// Tells those of one millisecond apart; the first has none.
    number: u64,
    plain: PathBuf,
}

impl Predecessor {
    /// The file as it was written.
    pub(super) fn plain(&self) -> &Path {
        &self.plain
    }

    /// The file once it is compressed.
    pub(super) fn compressed(&self) -> PathBuf {
        with(&self.plain, COMPRESSED)
    }

    /// The file while it is being compressed.
    pub(super) fn unfinished(&self) -> PathBuf {
        with(&self.compressed(), UNFINISHED)
    }

    /// The one that a file becomes now.
    pub(super) fn new(path: &Path, now: Timestamp) -> Self {
        let (stem, extension) = parts(path);
        let date = date(now);
        let numbered = |number: u64| {
            let number_text = if number == 0 { String::new() } else { format!("-{number}") };
            let plain = path.with_file_name(format!("{stem}{date}{number_text}{extension}"));
            Self { date: date.clone(), number, plain }
        };
        let is_free = |it: &Self| !it.plain.exists() && !it.compressed().exists();
        (0..).map(numbered).find(is_free).expect("there are more numbers than files")
    }

    fn read(path: &Path, name: &str) -> Option<Self> {
        let (stem, extension) = parts(path);
        let rest = name.strip_prefix(&stem)?.strip_suffix(&extension)?;
        let (date, number) = rest.split_at_checked("2026-01-02T03-04-05.678".len())?;
        let shape = |text: &str| -> String {
            text.chars().map(|letter| if letter.is_ascii_digit() { '0' } else { letter }).collect()
        };
        let number = match number.strip_prefix('-') {
            Some(number) => number.parse().ok()?,
            None if number.is_empty() => 0,
            None => return None,
        };
        let is_date = shape(date) == "0000-00-00T00-00-00.000";
        is_date.then(|| Self { date: date.to_owned(), number, plain: path.with_file_name(name) })
    }
}

/// When one was full, as its name says it.
pub(super) fn date(time: Timestamp) -> String {
    time.strftime(DATE).to_string()
}

/// Those of a file, the newest first.
pub(super) fn all(path: &Path) -> io::Result<Vec<Predecessor>> {
    let mut found = BTreeSet::new();
    for name in names(path)? {
        let plain = name.strip_suffix(COMPRESSED).and_then(|name| Predecessor::read(path, name));
        found.extend(plain.or_else(|| Predecessor::read(path, &name)));
    }
    Ok(found.into_iter().rev().collect())
}

/// What was being compressed when the server was killed.
pub(super) fn unfinished(path: &Path) -> io::Result<Vec<PathBuf>> {
    let is_unfinished = |name: &String| {
        let plain = name.strip_suffix(UNFINISHED).and_then(|name| name.strip_suffix(COMPRESSED));
        plain.is_some_and(|plain| Predecessor::read(path, plain).is_some())
    };
    Ok(names(path)?.into_iter().filter(is_unfinished).map(|name| path.with_file_name(name)).collect())
}

/// Names of all files beside a file.
fn names(path: &Path) -> io::Result<Vec<String>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// What stands before and behind the date.
fn parts(path: &Path) -> (String, String) {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map(|it| format!(".{}", it.to_string_lossy())).unwrap_or_default();
    (format!("{stem}-"), extension)
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_with_and_without_an_extension() {
        for (file, extension) in [("audit.log", ".log"), ("audit", ""), ("audit.gz", ".gz")] {
            let path = Path::new("/logs").join(file);
            let read = |name: &str| Predecessor::read(&path, &format!("audit-{name}{extension}"));
            let first = read("2026-01-02T03-04-05.678").expect("one");
            let second = read("2026-01-02T03-04-05.678-1").expect("one");
            let tenth = read("2026-01-02T03-04-05.678-10").expect("one");
            let next = read("2026-01-02T03-04-05.679").expect("one");
            assert!(first < second && second < tenth && tenth < next, "{file}");
            for other in [
                "2026-01-02",
                "2026-01-02T03-04-05.678.gz.part",
                "2026-01-02T03-04-05.678-x",
                "2026-01-02 03-04-05.678",
            ] {
                assert_eq!(read(other), None, "{file} {other}");
            }
        }
    }

    #[test]
    fn a_file_and_its_compressed_form_are_one() {
        for file in ["audit.log", "audit"] {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join(file);
            let now: Timestamp = "2026-01-02T03:04:05Z".parse().expect("a time");
            let made: Vec<Predecessor> = (0..3)
                .map(|_| {
                    let made = Predecessor::new(&path, now);
                    fs::write(made.compressed(), "").expect("writes");
                    made
                })
                .collect();
            fs::write(made[1].plain(), "").expect("writes");
            fs::write(made[2].unfinished(), "").expect("writes");
            fs::write(&path, "").expect("writes");
            let newest_first: Vec<Predecessor> = made.iter().rev().cloned().collect();
            assert_eq!(all(&path).expect("reads"), newest_first, "{file}");
            assert_eq!(unfinished(&path).expect("reads"), [made[2].unfinished()], "{file}");
        }
    }
}
