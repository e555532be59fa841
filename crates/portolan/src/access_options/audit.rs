//! What is recorded.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use portolan_apiserver::audit::{
    Audit, Batch, Delivery, Format, LogFile, LogSettings, Policy, Throttle, Truncate, WebhookSettings,
};

use super::{absolute, duration, duration_argument, read, service};

/// What is recorded of requests.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Audit")]
pub(crate) struct AuditOptions {
    /// File with an audit policy: which requests are recorded; none without it.
    #[arg(long, value_name = "FILE")]
    audit_policy_file: Option<PathBuf>,
    /// Where requests are recorded; `-` for the standard output.
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    audit_log_path: Option<PathBuf>,
    /// What a record looks like there: `json`, or `legacy` for a line of text.
    #[arg(long, value_name = "FORMAT", default_value = "json", value_parser = ["json", "legacy"])]
    audit_log_format: String,
    /// API group and version of records there.
    #[arg(long, value_name = "VERSION", default_value = "audit.k8s.io/v1", value_parser = ["audit.k8s.io/v1"])]
    audit_log_version: String,
    /// Days that old records are kept; 0: for ever.
    #[arg(long, value_name = "DAYS", default_value_t = 366)]
    audit_log_maxage: u32,
    /// Files of old records that are kept; 0: all.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    audit_log_maxbackup: usize,
    /// Size in megabytes at which the next file is begun; 0: never.
    #[arg(long, value_name = "MEGABYTES", default_value_t = 100)]
    audit_log_maxsize: u32,
    /// Whether files of old records are compressed.
    #[arg(long, default_value_t = false, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    audit_log_compress: bool,
    #[command(flatten)]
    log: LogDelivery,
    /// Kubeconfig of a service that takes records.
    #[arg(long, value_name = "FILE")]
    audit_webhook_config_file: Option<PathBuf>,
    /// API group and version of records there.
    #[arg(long, value_name = "VERSION", default_value = "audit.k8s.io/v1", value_parser = ["audit.k8s.io/v1"])]
    audit_webhook_version: String,
    /// How long to wait before records are sent once more; longer with each of four more attempts.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    audit_webhook_initial_backoff: Duration,
    #[command(flatten)]
    webhook: WebhookDelivery,
}

/// The same options once for each place that records go to.
macro_rules! delivery {
    ($(#[$about:meta])* $group:ident, $name:literal, $mode:literal, $most:literal, $wait:literal, $throttled:literal, $rate:literal, $burst:literal) => {
        $(#[$about])*
        #[derive(Debug, Clone, Args)]
        #[group(id = concat!("audit-", $name, "-delivery"))]
        struct $group {
            /// Whether requests wait for their records: `batch`, they do not; `blocking`; `blocking-strict`, they fail if
            /// it cannot be recorded that they came in.
            #[arg(id = concat!("audit-", $name, "-mode"), long = concat!("audit-", $name, "-mode"), value_name = "MODE", default_value = $mode,
                value_parser = ["batch", "blocking", "blocking-strict"])]
            mode: String,
            /// How many records may wait; more are lost. In mode batch.
            #[arg(id = concat!("audit-", $name, "-batch-buffer-size"), long = concat!("audit-", $name, "-batch-buffer-size"), value_name = "COUNT", default_value_t = 10_000)]
            buffer: usize,
            /// How many go at once. In mode batch.
            #[arg(id = concat!("audit-", $name, "-batch-max-size"), long = concat!("audit-", $name, "-batch-max-size"), value_name = "COUNT", default_value_t = $most)]
            most: usize,
            /// How long they wait for others. In mode batch.
            #[arg(id = concat!("audit-", $name, "-batch-max-wait"), long = concat!("audit-", $name, "-batch-max-wait"), value_name = "TIME", default_value = $wait,
                value_parser = duration)]
            wait: Duration,
            /// Whether there is a limit to how often some go. In mode batch.
            #[arg(id = concat!("audit-", $name, "-batch-throttle-enable"), long = concat!("audit-", $name, "-batch-throttle-enable"), default_value_t = $throttled,
                num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
            throttled: bool,
            /// How often some go each second. In mode batch.
            #[arg(id = concat!("audit-", $name, "-batch-throttle-qps"), long = concat!("audit-", $name, "-batch-throttle-qps"), value_name = "RATE", default_value_t = $rate)]
            rate: f64,
            /// How often some go at once after a pause. In mode batch.
            #[arg(id = concat!("audit-", $name, "-batch-throttle-burst"), long = concat!("audit-", $name, "-batch-throttle-burst"), value_name = "COUNT", default_value_t = $burst)]
            burst: u32,
            /// Whether records that are too large go without their objects, or not at all.
            #[arg(id = concat!("audit-", $name, "-truncate-enabled"), long = concat!("audit-", $name, "-truncate-enabled"), default_value_t = false,
                num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
            truncated: bool,
            /// How many bytes go at once.
            #[arg(id = concat!("audit-", $name, "-truncate-max-batch-size"), long = concat!("audit-", $name, "-truncate-max-batch-size"), value_name = "BYTES",
                default_value_t = 10_485_760)]
            most_batch_bytes: usize,
            /// How large a record may be.
            #[arg(id = concat!("audit-", $name, "-truncate-max-event-size"), long = concat!("audit-", $name, "-truncate-max-event-size"), value_name = "BYTES",
                default_value_t = 102_400)]
            most_event_bytes: usize,
        }

        impl $group {
            fn options(&self) -> DeliveryOptions<'_> {
                let Self { mode, buffer, most, wait, throttled, rate, burst, truncated, most_batch_bytes, most_event_bytes } =
                    self;
                DeliveryOptions {
                    name: $name,
                    mode,
                    batch: Batch {
                        buffer: *buffer,
                        most: *most,
                        wait: *wait,
                        throttle: throttled.then_some(Throttle { per_second: *rate, burst: *burst }),
                    },
                    rate: *rate,
                    burst: *burst,
                    is_truncated: *truncated,
                    truncate: Truncate { most_event_bytes: *most_event_bytes, most_batch_bytes: *most_batch_bytes },
                }
            }
        }
    };
}

delivery!(
    /// How records get into the file.
    LogDelivery, "log", "blocking", 1, "0s", false, 0.0, 0
);
delivery!(
    /// How records get to the service.
    WebhookDelivery, "webhook", "batch", 400, "30s", true, 10.0, 15
);

/// How records get to one place.
struct DeliveryOptions<'a> {
    name: &'static str,
    mode: &'a str,
    batch: Batch,
    rate: f64,
    burst: u32,
    is_truncated: bool,
    truncate: Truncate,
}

impl DeliveryOptions<'_> {
    fn delivery(&self) -> anyhow::Result<Delivery> {
        let Self { name, batch, .. } = self;
        match self.mode {
            "blocking" => return Ok(Delivery::Blocking),
            "blocking-strict" => return Ok(Delivery::BlockingStrict),
            _ => {}
        }
        let wrong = |what: &str, value: &dyn std::fmt::Display| {
            format!("invalid audit batch {name} {what} {value}, must be a positive number")
        };
        ensure!(batch.buffer > 0, wrong("buffer size", &batch.buffer));
        ensure!(batch.most > 0, wrong("max batch size", &batch.most));
        if let Some(throttle) = batch.throttle {
            ensure!(throttle.per_second > 0.0 && throttle.per_second.is_finite(), wrong("throttle QPS", &self.rate));
            ensure!(throttle.burst > 0, wrong("throttle burst", &self.burst));
        }
        Ok(Delivery::Batch(*batch))
    }

    fn truncate(&self) -> anyhow::Result<Option<Truncate>> {
        let Self { name, truncate: Truncate { most_event_bytes, most_batch_bytes }, .. } = self;
        if !self.is_truncated {
            return Ok(None);
        }
        ensure!(
            *most_event_bytes > 0,
            "invalid audit truncate {name} max event size {most_event_bytes}, must be a positive number"
        );
        ensure!(
            most_batch_bytes >= most_event_bytes,
            "invalid audit truncate {name} max batch size {most_batch_bytes}, must be greater than max event size \
             ({most_event_bytes})"
        );
        Ok(Some(self.truncate))
    }

    fn arguments(&self, add: &mut impl FnMut(&str, OsString)) {
        let Self { name, batch, truncate, .. } = self;
        for (option, value) in [
            ("mode", self.mode.to_owned()),
            ("batch-buffer-size", batch.buffer.to_string()),
            ("batch-max-size", batch.most.to_string()),
            ("batch-throttle-enable", batch.throttle.is_some().to_string()),
            ("batch-throttle-qps", self.rate.to_string()),
            ("batch-throttle-burst", self.burst.to_string()),
            ("truncate-enabled", self.is_truncated.to_string()),
            ("truncate-max-batch-size", truncate.most_batch_bytes.to_string()),
            ("truncate-max-event-size", truncate.most_event_bytes.to_string()),
        ] {
            add(&format!("--audit-{name}-{option}"), value.into());
        }
        add(&format!("--audit-{name}-batch-max-wait"), duration_argument(batch.wait));
    }
}

impl AuditOptions {
    pub(super) fn settings(&self) -> anyhow::Result<Option<Audit>> {
        // What is wrong with the places is told even if nothing goes there.
        let log = self.audit_log_path.as_ref().map(|path| self.log(path)).transpose()?;
        let webhook = self.audit_webhook_config_file.as_ref().map(|path| self.webhook(path)).transpose()?;
        let Some(policy) = &self.audit_policy_file else {
            for (flag, is_given) in
                [("--audit-log-path", log.is_some()), ("--audit-webhook-config-file", webhook.is_some())]
            {
                if is_given {
                    tracing::warn!("{flag}: nothing is recorded there without --audit-policy-file");
                }
            }
            return Ok(None);
        };
        let policy = Policy::parse(&read(policy, "--audit-policy-file")?).context("--audit-policy-file")?;
        if log.is_none() && webhook.is_none() {
            return Ok(None);
        }
        Ok(Some(Audit { policy, log, webhook }))
    }

    fn log(&self, path: &Path) -> anyhow::Result<LogSettings> {
        let day = Duration::from_secs(24 * 3600);
        let file = LogFile {
            path: path.to_owned(),
            most_bytes: u64::from(self.audit_log_maxsize) * 1024 * 1024,
            most_files: self.audit_log_maxbackup,
            longest: (self.audit_log_maxage > 0).then(|| day * self.audit_log_maxage),
            compress: self.audit_log_compress,
        };
        let format = if self.audit_log_format == "legacy" { Format::Legacy } else { Format::Json };
        let options = self.log.options();
        Ok(LogSettings { file, format, delivery: options.delivery()?, truncate: options.truncate()? })
    }

    fn webhook(&self, path: &Path) -> anyhow::Result<WebhookSettings> {
        let options = self.webhook.options();
        Ok(WebhookSettings {
            endpoint: service(path, "--audit-webhook-config-file")?,
            initial_backoff: self.audit_webhook_initial_backoff,
            delivery: options.delivery()?,
            truncate: options.truncate()?,
        })
    }

    pub(super) fn arguments(&self, add: &mut impl FnMut(&str, OsString)) {
        let absolute = |path: &PathBuf| if *path == Path::new("-") { path.into() } else { absolute(path) };
        for (flag, path) in [
            ("--audit-policy-file", &self.audit_policy_file),
            ("--audit-log-path", &self.audit_log_path),
            ("--audit-webhook-config-file", &self.audit_webhook_config_file),
        ] {
            if let Some(path) = path {
                add(flag, absolute(path));
            }
        }
        for (flag, value) in [
            ("--audit-log-format", self.audit_log_format.clone()),
            ("--audit-log-version", self.audit_log_version.clone()),
            ("--audit-log-maxage", self.audit_log_maxage.to_string()),
            ("--audit-log-maxbackup", self.audit_log_maxbackup.to_string()),
            ("--audit-log-maxsize", self.audit_log_maxsize.to_string()),
            ("--audit-log-compress", self.audit_log_compress.to_string()),
            ("--audit-webhook-version", self.audit_webhook_version.clone()),
        ] {
            add(flag, value.into());
        }
        add("--audit-webhook-initial-backoff", duration_argument(self.audit_webhook_initial_backoff));
        self.log.options().arguments(add);
        self.webhook.options().arguments(add);
    }
}
