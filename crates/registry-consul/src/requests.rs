//! What was asked for since the start, and how long it took.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use parking_lot::Mutex;
use serde_json::{Value, json};

/// Requests by method and area; there are few of both.
#[derive(Debug, Default)]
pub(crate) struct Requests(Mutex<BTreeMap<(&'static str, &'static str), Sample>>);

/// Times in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Sample {
    count: u64,
    sum: f64,
    squares: f64,
    min: f64,
    max: f64,
}

/// The methods and the areas that are told apart; others are one.
const METHODS: [&str; 5] = ["GET", "PUT", "POST", "DELETE", "OPTIONS"];
const AREAS: [&str; 13] = [
    "acl",
    "agent",
    "catalog",
    "config",
    "coordinate",
    "event",
    "health",
    "kv",
    "operator",
    "query",
    "session",
    "status",
    "txn",
];
const OTHER: &str = "other";

impl Requests {
    /// Counts a request that was answered.
    pub(crate) fn count(&self, method: &Method, path: &str, took: Duration) {
        let area = path.strip_prefix("/v1/").and_then(|rest| rest.split('/').next()).unwrap_or_default();
        let one_of =
            |known: &[&'static str], word: &str| known.iter().find(|it| **it == word).copied().unwrap_or(OTHER);
        let key = (one_of(&METHODS, method.as_str()), one_of(&AREAS, area));
        let time = took.as_secs_f64() * 1000.0;
        let mut samples = self.0.lock();
        let sample = samples.entry(key).or_insert(Sample { count: 0, sum: 0.0, squares: 0.0, min: time, max: time });
        sample.count += 1;
        (sample.sum, sample.squares) = (sample.sum + time, sample.squares + time * time);
        (sample.min, sample.max) = (sample.min.min(time), sample.max.max(time));
    }

    /// As `/v1/agent/metrics` tells them.
    pub(crate) fn samples(&self) -> Vec<Value> {
        let samples = self.0.lock();
        let told = samples.iter().map(|((method, area), sample)| {
            let count = sample.count as f64;
            let mean = sample.sum / count;
            let variance = (sample.squares / count - mean * mean).max(0.0);
            json!({
                "Name": "consul.api.http", "Labels": {"method": method, "path": format!("v1_{area}")},
                "Count": sample.count, "Sum": sample.sum, "Min": sample.min, "Max": sample.max, "Mean": mean,
                "Stddev": variance.sqrt(),
            })
        });
        told.collect()
    }

    /// The same in the text format of Prometheus.
    pub(crate) fn text(&self) -> String {
        let mut text =
            "# HELP consul_api_http Time taken to serve requests, in milliseconds.\n# TYPE consul_api_http summary\n"
                .to_owned();
        for ((method, area), Sample { count, sum, .. }) in self.0.lock().iter() {
            let labels = format!("{{method=\"{method}\",path=\"v1_{area}\"}}");
            text += &format!("consul_api_http_sum{labels} {sum}\nconsul_api_http_count{labels} {count}\n");
        }
        text
    }
}
