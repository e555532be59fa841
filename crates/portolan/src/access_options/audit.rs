//! What is recorded.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use portolan_apiserver::audit::{Audit, LogFile, Policy};

use super::{absolute, read};

/// What is recorded of requests.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Audit")]
pub(crate) struct AuditOptions {
    /// File with an audit policy: which requests are recorded.
    #[arg(long, value_name = "FILE", requires = "audit_log_path")]
    audit_policy_file: Option<PathBuf>,
    /// Where requests are recorded; `-` for the standard output.
    #[arg(long, value_name = "FILE", requires = "audit_policy_file", allow_hyphen_values = true)]
    audit_log_path: Option<PathBuf>,
    /// Days that old records are kept; 0: for ever.
    #[arg(long, value_name = "DAYS", default_value_t = 0)]
    audit_log_maxage: u32,
    /// Files of old records that are kept; 0: all.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    audit_log_maxbackup: usize,
    /// Size in megabytes at which the next file is begun.
    #[arg(long, value_name = "MEGABYTES", default_value_t = 100)]
    audit_log_maxsize: u32,
}

impl AuditOptions {
    pub(super) fn settings(&self) -> anyhow::Result<Option<Audit>> {
        let (Some(policy), Some(path)) = (&self.audit_policy_file, &self.audit_log_path) else { return Ok(None) };
        let policy = Policy::parse(&read(policy, "--audit-policy-file")?).context("--audit-policy-file")?;
        let day = Duration::from_secs(24 * 3600);
        let log = LogFile {
            path: path.clone(),
            most_bytes: u64::from(self.audit_log_maxsize) * 1024 * 1024,
            most_files: self.audit_log_maxbackup,
            longest: (self.audit_log_maxage > 0).then(|| day * self.audit_log_maxage),
        };
        Ok(Some(Audit { policy, log }))
    }

    pub(super) fn arguments(&self, add: &mut impl FnMut(&str, OsString)) {
        let absolute = |path: &PathBuf| if *path == Path::new("-") { path.into() } else { absolute(path) };
        for (flag, path) in
            [("--audit-policy-file", &self.audit_policy_file), ("--audit-log-path", &self.audit_log_path)]
        {
            if let Some(path) = path {
                add(flag, absolute(path));
            }
        }
        for (flag, value) in [
            ("--audit-log-maxage", self.audit_log_maxage.to_string()),
            ("--audit-log-maxbackup", self.audit_log_maxbackup.to_string()),
            ("--audit-log-maxsize", self.audit_log_maxsize.to_string()),
        ] {
            add(flag, value.into());
        }
    }
}
