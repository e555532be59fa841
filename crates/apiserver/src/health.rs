//! Whether the server is alive and ready, and its figures.

use std::collections::BTreeSet;

use http::{HeaderName, HeaderValue, Method, Response};
use portolan_base::go;
use portolan_base::readiness::State;

use crate::body::Body;
use crate::metrics::process;
use crate::request::Query;
use crate::respond;
use crate::server::{Server, text};

/// The media type of figures.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";
/// The header by which readers of figures notice that they began anew.
const STARTED: HeaderName = HeaderName::from_static("process-start-time-unix");

/// Answers `/livez`, `/readyz` and `/healthz`, and the single checks below them.
pub(crate) async fn serve(server: &Server, path: &str, query: &Query) -> Response<Body> {
    let (which, only) = match path[1..].split_once('/') {
        Some((which, only)) => (which, Some(only)),
        None => (&path[1..], None),
    };
    let checks = checks(server, which).await;
    if let Some(only) = only {
        return match checks.iter().find(|(name, _)| *name == only) {
            None => respond::not_found(),
            Some((_, Ok(()))) => text(200, "ok"),
            Some((_, Err(why))) => respond::plainly(text(500, format!("internal server error: {why}\n"))),
        };
    }
    let excluded: Vec<&str> = query.all("exclude").collect();
    for (name, outcome) in checks.iter().filter(|(name, _)| !excluded.contains(name)) {
        server.metrics.health_checks.observe(name, which, outcome.is_ok());
    }
    let (healthy, report) = report(which, &checks, &excluded);
    if healthy && !query.has("verbose") {
        return respond::plainly(text(200, "ok"));
    }
    if !healthy {
        let failed: Vec<String> =
            checks.iter().filter_map(|(name, outcome)| Some(format!("{name}: {}", outcome.as_ref().err()?))).collect();
        tracing::debug!(which, ?failed, "health checks fail");
    }
    respond::plainly(text(if healthy { 200 } else { 500 }, report))
}

/// A check and how it ended.
type Check = (&'static str, Result<(), String>);

async fn checks(server: &Server, which: &str) -> Vec<Check> {
    let mut checks: Vec<Check> = vec![("ping", Ok(()))];
    let store = server.store().status().await;
    let store = store.read_only.map_or(Ok(()), Err);
    // Upstream keeps its objects in etcd, and probes ask for the check by that name.
    checks.push(("etcd", store.clone()));
    checks.push(("store", store));
    if which == "readyz" {
        let draining = server.draining.is_cancelled();
        checks.push(("shutdown", if draining { Err("the server is shutting down".into()) } else { Ok(()) }));
        for (part, state) in server.config.readiness.parts() {
            let state = match state {
                State::Ready => Ok(()),
                State::Starting(why) | State::Failed(why) => Err(why),
            };
            // A part that is looked at above anyway may be slow to start besides.
            match checks.iter_mut().find(|(name, _)| *name == part) {
                Some((_, outcome)) if outcome.is_ok() => *outcome = state,
                Some(_) => {}
                None => checks.push((part, state)),
            }
        }
    }
    checks
}

/// Whether all is well, and the lines that say so. Everybody may read them, so that they do not say why a check failed;
/// who may ask for a single check learns it there.
fn report(which: &str, checks: &[Check], excluded: &[&str]) -> (bool, String) {
    let is_excluded = |name: &str| excluded.contains(&name);
    let healthy = checks.iter().all(|(name, outcome)| outcome.is_ok() || is_excluded(name));
    let mut lines = String::new();
    for (name, outcome) in checks {
        lines.push_str(&match outcome {
            _ if is_excluded(name) => format!("[+]{name} excluded: ok\n"),
            Ok(()) => format!("[+]{name} ok\n"),
            Err(_) => format!("[-]{name} failed: reason withheld\n"),
        });
    }
    let unknown: BTreeSet<&str> =
        excluded.iter().copied().filter(|excluded| checks.iter().all(|(name, _)| name != excluded)).collect();
    if !unknown.is_empty() {
        let unknown: Vec<String> = unknown.into_iter().map(go::quote).collect();
        let unknown = unknown.join(",");
        lines.push_str(&format!("warn: some health checks cannot be excluded: no matches for {unknown}\n"));
    }
    lines.push_str(&format!("{which} check {}\n", if healthy { "passed" } else { "failed" }));
    (healthy, lines)
}

/// Answers `/metrics`.
pub(crate) async fn metrics(server: &Server) -> Response<Body> {
    // Keys are counted: nothing has to be decrypted for that.
    let store = server.encrypted.as_ref().map_or(server.store(), |encrypted| encrypted.below());
    let mut body = server.metrics.all(store).await;
    let keys = server.encrypted.as_ref().and_then(|encrypted| encrypted.file());
    for file in [keys, server.authenticator.file.as_ref(), server.ways.file()].into_iter().flatten() {
        file.metrics(&server.config.advertise.to_string(), &mut body);
    }
    if let Some(auditor) = &server.auditor {
        auditor.metrics(&mut body);
    }
    if let Some(fairness) = &server.fairness {
        fairness.metrics(&mut body);
    }
    figures(body)
}

/// Answers `/metrics/slis`; who deletes it begins to count anew.
pub(crate) fn results(server: &Server, method: &Method) -> Response<Body> {
    let results = &server.metrics.health_checks;
    if *method == Method::DELETE {
        results.reset();
        return text(200, "metrics reset\n");
    }
    figures(results.text())
}

fn figures(text: String) -> Response<Body> {
    let mut response = respond::bytes_of(200, METRICS, text);
    if let Some(started) = process::started() {
        response.headers_mut().insert(STARTED, HeaderValue::from(started as u64));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_of_failed_checks_are_not_told_to_everybody() {
        let checks = [("ping", Ok(())), ("dns", Err("port 53 is taken".to_owned()))];
        let failed = "[+]ping ok\n[-]dns failed: reason withheld\nreadyz check failed\n";
        assert_eq!(report("readyz", &checks, &[]), (false, failed.to_owned()));
        let excluded = "[+]ping ok\n[+]dns excluded: ok\n\
            warn: some health checks cannot be excluded: no matches for \"x\",\"y\\n\"\nreadyz check passed\n";
        assert_eq!(report("readyz", &checks, &["y\n", "x", "dns", "x"]), (true, excluded.to_owned()));
    }
}
