//! Sessions for tests.

use super::definition::Session;

/// A session without a lock delay.
pub(crate) fn session(id: &str, ttl: &str) -> Session {
    let body = serde_json::json!({"TTL": ttl, "LockDelay": 0}).to_string();
    Session::parse(body.as_bytes(), id.into(), "agent").expect("a session")
}
