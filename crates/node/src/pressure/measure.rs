//! What is left on the machine: a few small reads.

use std::path::{Path, PathBuf};

use super::thresholds::{Amount, Measured, Signal};

/// Where to measure.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// The process file system, `/proc`.
    pub(super) proc: PathBuf,
    /// A folder on the file system of volumes and logs.
    pub(super) node_dir: PathBuf,
    /// A folder on the file system of images.
    pub(super) image_dir: PathBuf,
}

/// Measures everything; what cannot be read is left out.
pub(super) fn measure(places: &Places) -> Measured {
    let read = |name: &str| std::fs::read_to_string(places.proc.join(name)).unwrap_or_default();
    let mut measured = Measured::new();
    measured.extend(memory(&read("meminfo")).map(|amount| (Signal::Memory, amount)));
    let limits = [read("sys/kernel/pid_max"), read("sys/kernel/threads-max")];
    measured.extend(processes(&read("loadavg"), &limits).map(|amount| (Signal::Processes, amount)));
    for (folder, disk, inodes) in [
        (&places.node_dir, Signal::NodeDisk, Signal::NodeInodes),
        (&places.image_dir, Signal::ImageDisk, Signal::ImageInodes),
    ] {
        if let Some((bytes, files)) = file_system(folder) {
            measured.insert(disk, bytes);
            // Some file systems have no fixed number of files.
            measured.extend((files.capacity > 0).then_some((inodes, files)));
        }
    }
    measured
}

/// Memory that is free or could be at once: upstream's capacity less the working set.
pub(crate) fn memory(meminfo: &str) -> Option<Amount> {
    let kibibytes = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let available = kibibytes("MemFree")? + kibibytes("Inactive(file)")?;
    Some(Amount { available: available * 1024, capacity: kibibytes("MemTotal")? * 1024 })
}

/// Tasks that can still be made; the smallest of the kernel's limits counts.
fn processes(loadavg: &str, limits: &[String]) -> Option<Amount> {
    let running: u64 = loadavg.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()?;
    let capacity = limits.iter().filter_map(|limit| limit.trim().parse::<u64>().ok()).min()?;
    Some(Amount { available: capacity.saturating_sub(running), capacity })
}

fn file_system(folder: &Path) -> Option<(Amount, Amount)> {
    let stat = nix::sys::statvfs::statvfs(folder).ok()?;
    let bytes = Amount {
        available: stat.blocks_available() * stat.fragment_size(),
        capacity: stat.blocks() * stat.fragment_size(),
    };
    Some((bytes, Amount { available: stat.files_available(), capacity: stat.files() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_understood() {
        let meminfo =
            "MemTotal:       1000 kB\nMemFree:         100 kB\nInactive:        300 kB\nInactive(file):   50 kB\n";
        assert_eq!(memory(meminfo), Some(Amount { available: 150 * 1024, capacity: 1000 * 1024 }));
        assert_eq!(memory(""), None);
        let limits = ["32768\n".to_owned(), "9999".to_owned()];
        assert_eq!(processes("0.1 0.2 0.3 3/500 77", &limits), Some(Amount { available: 9499, capacity: 9999 }));
        assert_eq!(processes("", &limits), None);
    }

    #[test]
    fn this_machine_can_be_measured() {
        let here = std::env::temp_dir();
        let measured = measure(&Places { proc: "/proc".into(), node_dir: here.clone(), image_dir: here });
        for signal in [Signal::Memory, Signal::NodeDisk, Signal::ImageDisk, Signal::Processes] {
            let amount = measured.get(&signal).unwrap_or_else(|| panic!("{} is missing", signal.name()));
            assert!(amount.capacity > 0 && amount.available <= amount.capacity, "{}: {amount:?}", signal.name());
        }
    }
}
