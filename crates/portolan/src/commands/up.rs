//! `portolan up`: a cluster on this machine, in the background.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use portolan_cli::Place;

use crate::config::ServerOptions;
use crate::progress;

/// How many lines of the server's log are shown when it did not come up.
const LAST_WORDS: usize = 12;
/// A machine that does not answer itself by then is busy, not down.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// A server drains for some seconds at most.
const END_TIMEOUT: Duration = Duration::from_secs(15);

/// Starts the server unless it runs, and returns once everything it consists of is ready.
pub(crate) fn run(mut options: ServerOptions) -> anyhow::Result<()> {
    options.refuse_open_registry()?;
    let settled = options.node.folders.settle();
    let data_dir = &options.node.folders.data_dir;
    if let Some(pid) = Place::server(data_dir) {
        let place = Place::read(data_dir)?.filter(|place| place.pid == pid);
        if !place.as_ref().is_some_and(is_ending) || !wait_until_gone(data_dir) {
            say_what_runs(pid, place.as_ref(), &options);
            return Ok(());
        }
    }
    settled?;
    if !nix::unistd::geteuid().is_root() {
        bail!("running containers needs root: use `sudo portolan up`");
    }
    options.node.folders.refuse_foreign()?;
    std::fs::create_dir_all(data_dir).with_context(|| format!("create {}", data_dir.display()))?;
    let log_path = options.node.folders.log_path();
    let log = OpenOptions::new().create(true).append(true).open(&log_path);
    let log = log.with_context(|| format!("open {}", log_path.display()))?;
    let start_of_log = log.metadata().map(|metadata| metadata.len()).unwrap_or_default();

    let started = Instant::now();
    let mut server = Command::new(std::env::current_exe().context("find my own binary")?)
        .arg("server")
        .args(options.arguments())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .current_dir("/")
        // Its own process group: an interrupt typed at this terminal is not meant for it.
        .process_group(0)
        .spawn()
        .context("start the server")?;
    let spinner = ProgressBar::new_spinner()
        .with_style(ProgressStyle::with_template("{spinner} {msg}").expect("the template is well-formed"));
    spinner.enable_steady_tick(Duration::from_millis(100));
    let lines = BufReader::new(server.stdout.take().context("the server's output is piped")?).lines();
    for line in lines {
        let line = line.context("read the server's progress")?;
        if line == progress::READY {
            spinner.finish_and_clear();
            println!("Portolan is up after {:.2} s", started.elapsed().as_secs_f64());
            return Ok(());
        }
        spinner.println(format!("  {line}"));
        spinner.set_message(line);
    }
    spinner.finish_and_clear();
    let status = server.wait().context("wait for the server")?;
    bail!(
        "the server did not come up ({status}). Its last words, from {}:\n{}",
        log_path.display(),
        last_words(&log_path, start_of_log)
    );
}

fn say_what_runs(pid: i32, place: Option<&Place>, options: &ServerOptions) {
    let Some(place) = place else {
        return println!("Portolan is starting already (process {pid}); nothing was changed");
    };
    println!("Portolan is up already (process {pid}); nothing was changed");
    let differences = differences(&place.arguments, &options.printable_arguments());
    if !differences.is_empty() {
        println!("It runs with other settings than asked for now:");
        differences.iter().for_each(|difference| println!("  {difference}"));
        println!("To change them: portolan down --keep-data, then portolan up with the new ones");
    }
}

/// Whether a server that was up does not listen any more: it drains, or was killed and is not gone yet.
fn is_ending(place: &Place) -> bool {
    // Killed: its first thread is gone, while others still hold its port.
    let status = std::fs::read_to_string(format!("/proc/{}/stat", place.pid)).unwrap_or_default();
    let state = status.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
    if matches!(state, None | Some("Z" | "X")) {
        return true;
    }
    let address = place.api_server_url.strip_prefix("https://").and_then(|address| address.parse().ok());
    let refused = |error: std::io::Error| error.kind() == std::io::ErrorKind::ConnectionRefused;
    address.is_some_and(|address| TcpStream::connect_timeout(&address, ANSWER_TIMEOUT).is_err_and(refused))
}

/// The end of somebody else's process gives no notice, so this looks every few milliseconds.
fn wait_until_gone(data_dir: &Path) -> bool {
    let give_up = Instant::now() + END_TIMEOUT;
    while Place::server(data_dir).is_some() {
        if Instant::now() > give_up {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

/// Which settings two lists of arguments (`--flag value` or `--flag`) do not share.
fn differences(running: &[String], wanted: &[String]) -> Vec<String> {
    let (running, wanted) = (settings(running), settings(wanted));
    let gone = running.iter().filter(|setting| !wanted.contains(setting));
    let new = wanted.iter().filter(|setting| !running.contains(setting));
    gone.map(|setting| format!("running with  {setting}")).chain(new.map(|it| format!("asked for     {it}"))).collect()
}

fn settings(arguments: &[String]) -> Vec<String> {
    let mut settings: Vec<String> = Vec::new();
    for argument in arguments {
        match settings.last_mut() {
            Some(flag) if !argument.starts_with("--") => *flag += &format!(" {argument}"),
            _ => settings.push(argument.clone()),
        }
    }
    settings
}

fn last_words(path: &Path, from: u64) -> String {
    use std::io::{Read, Seek, SeekFrom};
    let mut text = String::new();
    let read = File::open(path).and_then(|mut file| {
        // The server may have begun a new file meanwhile.
        let from = if file.metadata()?.len() < from { 0 } else { from };
        file.seek(SeekFrom::Start(from))?;
        file.read_to_string(&mut text)
    });
    if let Err(error) = read {
        return format!("  (the log cannot be read: {error})");
    }
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_WORDS)..].iter().map(|line| format!("  {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_differ_are_named() {
        let list = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let running = list("--listen 127.0.0.1:1 --bridge b0 --insecure-registry a --insecure-registry b");
        assert!(differences(&running, &running).is_empty());
        let wanted = list("--listen 127.0.0.1:2 --bridge b0 --insecure-registry b --no-agent");
        assert_eq!(
            differences(&running, &wanted),
            [
                "running with  --listen 127.0.0.1:1",
                "running with  --insecure-registry a",
                "asked for     --listen 127.0.0.1:2",
                "asked for     --no-agent",
            ]
        );
    }
}
