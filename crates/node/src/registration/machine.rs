//! Facts about the machine, read once at start.

use std::collections::BTreeMap;
use std::path::Path;

use crate::config::Capacity;

/// Where the kernel shows its pools of huge pages.
const HUGE_PAGES: &str = "/sys/kernel/mm/hugepages";

/// What the node's status says about the machine.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) kernel: String,
    pub(crate) os_image: String,
    pub(crate) machine_id: String,
    pub(crate) boot_id: String,
    pub(crate) system_uuid: String,
    pub(crate) capacity: Capacity,
}

impl Machine {
    /// Looks at this machine. Facts that cannot be read are empty, as upstream has them.
    pub(crate) fn look(data_dir: &Path) -> Self {
        Self {
            kernel: read("/proc/sys/kernel/osrelease"),
            os_image: os_image(&read("/etc/os-release")),
            machine_id: read("/etc/machine-id"),
            boot_id: read("/proc/sys/kernel/random/boot_id"),
            system_uuid: read("/sys/class/dmi/id/product_uuid"),
            capacity: Capacity {
                cpu_milli: std::thread::available_parallelism().map_or(1, |count| count.get() as u64) * 1000,
                memory_bytes: memory_total(&read("/proc/meminfo")),
                ephemeral_storage_bytes: disk_size(data_dir),
                huge_pages: huge_pages(Path::new(HUGE_PAGES)),
            },
        }
    }
}

/// Go's name of the processor's architecture.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

fn os_image(os_release: &str) -> String {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("Linux").trim_matches('"').to_owned()
}

fn memory_total(meminfo: &str) -> u64 {
    let kibibytes = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

/// Pools in folders such as `hugepages-2048kB`; none where the kernel has none.
fn huge_pages(folder: &Path) -> BTreeMap<u64, u64> {
    let pools = folder.read_dir().into_iter().flatten().flatten();
    let memory = pools.filter_map(|pool| {
        let name = pool.file_name().into_string().ok()?;
        let size = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse::<u64>().ok()? * 1024;
        let count = std::fs::read_to_string(pool.path().join("nr_hugepages")).ok()?.trim().parse::<u64>().ok()?;
        Some((size, size * count))
    });
    memory.collect()
}

fn disk_size(path: &Path) -> u64 {
    nix::sys::statvfs::statvfs(path).map_or(0, |stat| stat.blocks() * stat.fragment_size())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_system_files() {
        assert_eq!(os_image("NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n"), "Debian GNU/Linux 12");
        assert_eq!(os_image(""), "Linux");
        assert_eq!(memory_total("MemTotal:       16 kB\nMemFree: 3 kB"), 16384);
        let scratch = tempfile::tempdir().expect("a folder");
        for (pool, count) in [("hugepages-2048kB", "3\n"), ("hugepages-1048576kB", "0\n"), ("other", "1")] {
            std::fs::create_dir(scratch.path().join(pool)).expect("made");
            std::fs::write(scratch.path().join(pool).join("nr_hugepages"), count).expect("written");
        }
        assert_eq!(huge_pages(scratch.path()), [(2 << 20, 6 << 20), (1 << 30, 0)].into());
        assert!(huge_pages(&scratch.path().join("absent")).is_empty());
    }
}
