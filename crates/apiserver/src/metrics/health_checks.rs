//! How the health checks ended, for those who reckon how reliable the server is.
//!
//! Source: `k8s.io/component-base/metrics/prometheus/slis`.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// Results by check and by what it was asked for.
#[derive(Debug, Default)]
pub(crate) struct HealthChecks(Mutex<BTreeMap<(&'static str, String), Results>>);

#[derive(Debug, Default, Clone, Copy)]
struct Results {
    is_well: bool,
    successes: u64,
    errors: u64,
}

impl HealthChecks {
    /// Counts a result of a check that `which` (`livez`, ...) asked for.
    pub(crate) fn observe(&self, name: &'static str, which: &str, is_well: bool) {
        let mut all = self.0.lock();
        let results = all.entry((name, which.to_owned())).or_default();
        results.is_well = is_well;
        *(if is_well { &mut results.successes } else { &mut results.errors }) += 1;
    }

    /// Forgets all results.
    pub(crate) fn reset(&self) {
        self.0.lock().clear();
    }

    /// The figures as Prometheus text.
    pub(crate) fn text(&self) -> String {
        let all = self.0.lock().clone();
        let mut text = String::new();
        if !all.is_empty() {
            text.push_str(
                "# HELP kubernetes_healthcheck [STABLE] This metric records the result of a single healthcheck.\n\
                 # TYPE kubernetes_healthcheck gauge\n",
            );
        }
        for ((name, which), results) in &all {
            let value = u8::from(results.is_well);
            text.push_str(&format!("kubernetes_healthcheck{{name=\"{name}\",type=\"{which}\"}} {value}\n"));
        }
        if !all.is_empty() {
            text.push_str(
                "# HELP kubernetes_healthchecks_total [STABLE] This metric records the results of all healthcheck.\n\
                 # TYPE kubernetes_healthchecks_total counter\n",
            );
        }
        for ((name, which), results) in &all {
            for (status, count) in [("error", results.errors), ("success", results.successes)] {
                if count > 0 {
                    text.push_str(&format!(
                        "kubernetes_healthchecks_total{{name=\"{name}\",status=\"{status}\",type=\"{which}\"}} {count}\n"
                    ));
                }
            }
        }
        super::process::write_start(&mut text);
        text
    }
}
