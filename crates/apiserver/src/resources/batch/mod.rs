//! The group `batch`.

pub(crate) mod cron_job;
pub(crate) mod job;
mod job_status;
mod job_validation;
mod time_zone;
