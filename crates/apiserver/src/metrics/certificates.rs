//! For how long the certificates still hold by which clients prove who they are.

use std::fmt::{self, Write as _};

use parking_lot::Mutex;

use super::histogram::Histogram;

const HOUR: f64 = 3600.0;
const DAY: f64 = 24.0 * HOUR;

/// Upper ends of the buckets in seconds, as upstream.
const BUCKETS: [f64; 14] = [
    0.0,
    HOUR / 2.0,
    HOUR,
    2.0 * HOUR,
    6.0 * HOUR,
    12.0 * HOUR,
    DAY,
    2.0 * DAY,
    4.0 * DAY,
    7.0 * DAY,
    30.0 * DAY,
    90.0 * DAY,
    180.0 * DAY,
    360.0 * DAY,
];

/// Of all requests with a certificate.
#[derive(Debug)]
pub(crate) struct Certificates(Mutex<Histogram<{ BUCKETS.len() }>>);

impl Default for Certificates {
    fn default() -> Self {
        Self(Mutex::new(Histogram::new(&BUCKETS)))
    }
}

impl Certificates {
    /// Counts a request whose certificate holds for so many seconds more.
    pub(crate) fn used(&self, remaining: i64) {
        #[expect(clippy::cast_precision_loss, reason = "a certificate does not hold for millions of years")]
        self.0.lock().observe(remaining as f64);
    }

    pub(super) fn write(&self, text: &mut String) -> fmt::Result {
        let metric = "apiserver_client_certificate_expiration_seconds";
        writeln!(
            text,
            "# HELP {metric} Remaining time of certificates that requests came with.\n# TYPE {metric} histogram"
        )?;
        self.0.lock().write(text, metric, &"")
    }
}
