//! Processes under measurement.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::report::Measured;

/// A server that uses no more than this between two looks has nothing to do.
const IDLE: Duration = Duration::from_millis(10);
const LOOK: Duration = Duration::from_millis(200);
const MOST_LOOKS: u32 = 150;

/// A server that ends with this value.
pub struct Server {
    child: Child,
}

impl Server {
    /// Starts a program; its output goes to a file.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let log = std::fs::File::create(log).with_context(|| format!("create {}", log.display()))?;
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
        Ok(Self { child: child.with_context(|| format!("start {command:?}"))? })
    }

    /// One that was started already.
    pub fn of(child: Child) -> Self {
        Self { child }
    }

    /// Does so many operations and tells what they cost this server.
    ///
    /// # Errors
    /// One of them failed, or the process has ended.
    pub async fn measure<T>(
        &self,
        operations: usize,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<Measured> {
        let (cpu, started) = (self.cpu()?, Instant::now());
        work.await?;
        Ok(Measured { operations, wall: started.elapsed(), cpu: self.cpu()? - cpu })
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// CPU time used so far, user and system, all threads.
    ///
    /// # Errors
    /// The process has ended.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        cpu_of(self.pid())
    }

    /// The same once the server has nothing to do any more: what it was asked lately may have left work behind.
    ///
    /// # Errors
    /// The process has ended.
    pub async fn cpu_at_rest(&self) -> anyhow::Result<Duration> {
        let mut used = self.cpu()?;
        for _ in 0..MOST_LOOKS {
            tokio::time::sleep(LOOK).await;
            let now = self.cpu()?;
            if now - used <= IDLE {
                return Ok(now);
            }
            used = now;
        }
        anyhow::bail!("the server does not come to rest: it still uses the CPU after {:?}", LOOK * MOST_LOOKS)
    }

    /// The same with that of all processes below it.
    ///
    /// # Errors
    /// The process has ended.
    pub fn cpu_of_all(&self) -> anyhow::Result<Duration> {
        let below: Duration = self.below()?.into_iter().filter_map(|pid| cpu_of(pid).ok()).sum();
        Ok(self.cpu()? + below)
    }

    /// The processes that it started, and those that they started.
    ///
    /// # Errors
    /// The system does not tell (proc(5), `children`).
    pub fn below(&self) -> anyhow::Result<Vec<u32>> {
        let (mut found, mut at) = (vec![self.pid()], 0);
        while let Some(pid) = found.get(at) {
            let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
            found.extend(text.unwrap_or_default().split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            at += 1;
        }
        Ok(found.split_off(1))
    }

    /// Memory that is resident now, in bytes.
    ///
    /// # Errors
    /// The process has ended.
    pub fn resident(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).context("the server has ended")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kilobytes: u64 = line.split_whitespace().next().context("no figure")?.parse()?;
        Ok(kilobytes * 1024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU time of a process (proc(5), `stat` fields 14 and 15, in clock ticks).
///
/// # Errors
/// There is no such process.
pub fn cpu_of(pid: u32) -> anyhow::Result<Duration> {
    cpu_in(&std::fs::read_to_string(format!("/proc/{pid}/stat")).context("the server has ended")?)
}

/// CPU time of the thread that asks.
///
/// # Errors
/// There is no `/proc`.
pub fn cpu_of_this_thread() -> anyhow::Result<Duration> {
    cpu_in(&std::fs::read_to_string("/proc/thread-self/stat").context("read the times of this thread")?)
}

fn cpu_in(stat: &str) -> anyhow::Result<Duration> {
    let (_, fields) = stat.rsplit_once(") ").context("the stat line has a name")?;
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap_or(0)).sum();
    let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?.context("the clock has a rate")?;
    Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}

/// A release build of our binary.
///
/// # Errors
/// It was not built.
pub fn portolan() -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("portolan");
    ensure!(path.exists(), "{} is missing: cargo build --release -p portolan", path.display());
    Ok(path)
}

/// A free TCP port. Somebody else could take it before it is used; benches accept that.
///
/// # Errors
/// No port is free.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
