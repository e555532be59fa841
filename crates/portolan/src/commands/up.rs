//! `portolan up`: a cluster on this machine, in the background.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
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

/// Starts the server unless it runs, and returns once everything it consists of is ready.
pub(crate) fn run(options: &ServerOptions) -> anyhow::Result<()> {
    let data_dir = &options.folders.data_dir;
    if let Some(place) = Place::read(data_dir)?
        && place.is_running()
    {
        println!("Portolan is up already (process {}); nothing was changed", place.pid);
        return Ok(());
    }
    if !nix::unistd::geteuid().is_root() {
        bail!("running containers needs root: use `sudo portolan up`");
    }
    std::fs::create_dir_all(data_dir).with_context(|| format!("create {}", data_dir.display()))?;
    let log_path = options.folders.log_path();
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

fn last_words(path: &Path, from: u64) -> String {
    use std::io::{Read, Seek, SeekFrom};
    let mut text = String::new();
    let read = File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::Start(from))?;
        file.read_to_string(&mut text)
    });
    if let Err(error) = read {
        return format!("  (the log cannot be read: {error})");
    }
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_WORDS)..].iter().map(|line| format!("  {line}\n")).collect()
}
