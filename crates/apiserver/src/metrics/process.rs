//! Figures of this process as the operating system knows them, under the names of Prometheus' client libraries.

use std::fs;

/// Ticks of the kernel's clock in a second, which Linux shows to programs on all machines alike.
const TICKS: f64 = 100.0;
const KIB: f64 = 1024.0;

/// Appends what can be read; a figure that cannot is left out.
pub(super) fn write(text: &mut String) {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (stat, status) = (read("/proc/self/stat"), read("/proc/self/status"));
    let open = fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as f64);
    let ticks = |field| number_of_stat(&stat, field).map(|ticks| ticks / TICKS);
    let cpu = ticks(14).zip(ticks(15)).map(|(user, system)| user + system);
    let figures = [
        ("process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.", cpu),
        ("process_open_fds", "gauge", "Number of open file descriptors.", open),
        (
            "process_max_fds",
            "gauge",
            "Maximum number of open file descriptors.",
            value_after(&read("/proc/self/limits"), "Max open files"),
        ),
        (
            "process_resident_memory_bytes",
            "gauge",
            "Resident memory size in bytes.",
            value_after(&status, "VmRSS:").map(|kib| kib * KIB),
        ),
        (
            "process_virtual_memory_bytes",
            "gauge",
            "Virtual memory size in bytes.",
            value_after(&status, "VmSize:").map(|kib| kib * KIB),
        ),
        (
            "process_virtual_memory_max_bytes",
            "gauge",
            "Maximum amount of virtual memory available in bytes.",
            // Where there is no limit, all that a number can say.
            value_after(&read("/proc/self/limits"), "Max address space").or(Some(u64::MAX as f64)),
        ),
    ];
    for (name, kind, help, value) in figures {
        write_figure(text, name, kind, help, value);
    }
    write_start(text);
}

/// Appends when the process began.
pub(super) fn write_start(text: &mut String) {
    let help = "Start time of the process since unix epoch in seconds.";
    write_figure(text, "process_start_time_seconds", "gauge", help, started());
}

/// When the process began, in seconds of Unix time.
pub(crate) fn started() -> Option<f64> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let booted = value_after(&read("/proc/stat"), "btime");
    let after = number_of_stat(&read("/proc/self/stat"), 22).map(|ticks| ticks / TICKS);
    booted.zip(after).map(|(booted, after)| booted + after)
}

fn write_figure(text: &mut String, name: &str, kind: &str, help: &str, value: Option<f64>) {
    if let Some(value) = value {
        text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"));
    }
}

/// A field of `/proc/PID/stat`, counted from 1. The second one, the program's name, may hold anything.
fn number_of_stat(stat: &str, field: usize) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(field.checked_sub(3)?)?.parse().ok()
}

/// The number behind a name at the beginning of a line.
fn value_after(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 8 0 12300 1 2";
        assert_eq!([14, 15, 22].map(|field| number_of_stat(stat, field)), [Some(250.0), Some(50.0), Some(12300.0)]);
        assert_eq!(
            value_after("Max cpu time 1\nMax open files            1024   4096 files\n", "Max open files"),
            Some(1024.0)
        );
        assert_eq!(value_after("VmRSS:\t  12 kB\n", "VmSize:"), None);
    }

    #[test]
    fn this_process_has_all_figures() {
        let mut text = String::new();
        write(&mut text);
        let names: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        assert_eq!(
            names,
            [
                "process_cpu_seconds_total",
                "process_open_fds",
                "process_max_fds",
                "process_resident_memory_bytes",
                "process_virtual_memory_bytes",
                "process_virtual_memory_max_bytes",
                "process_start_time_seconds",
            ]
        );
    }
}
