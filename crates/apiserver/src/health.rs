//! Whether the server is alive and ready, and its figures.

use std::collections::BTreeSet;

use http::Response;
use portolan_base::readiness::State;

use crate::body::Body;
use crate::request::Query;
use crate::respond;
use crate::server::{Server, text};

/// Answers `/livez`, `/readyz` and `/healthz`, and the single checks below them.
pub(crate) async fn serve(server: &Server, path: &str, query: &Query) -> Response<Body> {
    let (which, only) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    let mut checks: Vec<(&str, Result<(), String>)> = vec![("ping", Ok(()))];
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
    if !only.is_empty() {
        checks.retain(|(name, _)| *name == only);
        if checks.is_empty() {
            return respond::status(&crate::status::Status::no_such_path());
        }
    }
    let is_excluded = |name: &str| query.all("exclude").any(|excluded| excluded == name);
    let healthy = checks.iter().all(|(name, outcome)| outcome.is_ok() || is_excluded(name));
    if healthy && !query.has("verbose") {
        return text(200, "ok");
    }
    let mut lines = String::new();
    for (name, outcome) in &checks {
        match outcome {
            _ if is_excluded(name) => lines.push_str(&format!("[+]{name} excluded: ok\n")),
            Ok(()) => lines.push_str(&format!("[+]{name} ok\n")),
            Err(why) => lines.push_str(&format!("[-]{name} failed: {why}\n")),
        }
    }
    let unknown: BTreeSet<&str> =
        query.all("exclude").filter(|excluded| checks.iter().all(|(name, _)| name != excluded)).collect();
    if !unknown.is_empty() {
        let unknown: Vec<String> = unknown.iter().map(|name| format!("{name:?}")).collect();
        let unknown = unknown.join(", ");
        lines.push_str(&format!("warn: some health checks cannot be excluded: no matches for {unknown}\n"));
    }
    lines.push_str(&format!("{which} check {}\n", if healthy { "passed" } else { "failed" }));
    text(if healthy { 200 } else { 500 }, lines)
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
    respond::bytes_of(200, "text/plain; version=0.0.4; charset=utf-8", body)
}
