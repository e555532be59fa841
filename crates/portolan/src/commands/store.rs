//! `portolan store`: looks after the files of the embedded store.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use portolan_store::embedded::{Report, SystemFiles, check};

/// Looks after the files of the embedded store.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Read every record and say what is there, and what is damaged.
    #[command(after_help = "\
Examples:
  portolan store check
  portolan store check /backup/store -o json")]
    Check {
        /// Folder of the store [default: that of the cluster on this machine].
        directory: Option<PathBuf>,
        /// Folder of the cluster.
        #[arg(long, env = "PORTOLAN_DATA_DIR", default_value = "/var/lib/portolan")]
        data_dir: PathBuf,
        /// Print the report as JSON.
        #[arg(short, long, value_parser = ["json"])]
        output: Option<String>,
    },
}

/// Runs the command.
pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    let Command::Check { directory, data_dir, output } = command;
    let directory = directory.unwrap_or_else(|| data_dir.join("store"));
    let report = check(Arc::new(SystemFiles), &directory).with_context(|| format!("check {}", directory.display()))?;
    match output {
        Some(_) => println!("{}", serde_json::to_string_pretty(&report)?),
        None => print(&report),
    }
    if let Some(damage) = &report.damage {
        bail!(
            "the store is damaged: {damage}\nkeep a copy of the folder, and go back to the latest backup with `portolan restore FILE`"
        );
    }
    Ok(())
}

fn print(report: &Report) {
    let checkpoint = report.checkpoint.map_or("none".to_owned(), |revision| format!("at revision {revision}"));
    println!("checkpoint    {checkpoint}");
    println!("segments      {}", report.segments.join(" "));
    println!("log           {} transactions in {} group commits", report.records, report.frames);
    println!("revisions     {} to {}", report.compacted, report.revision);
    println!("live keys     {}", report.keys);
    println!("leases        {}", report.leases);
    if let Some(torn) = &report.torn_tail {
        println!("torn tail     {torn} (an unacknowledged write; the next start cuts it)");
    }
    if report.damage.is_none() {
        println!("The store is sound");
    }
}
