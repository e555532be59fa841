//! Asking another service who may do what (`--authorization-webhook-config-file`).

use std::time::{Duration, Instant};

use portolan_base::Timestamp;
use portolan_identity::User;
use serde_json::{Value, json};

use super::conditions::Conditions;
use super::{Action, Decision, Failure};
use crate::cache::Cache;
use crate::metrics::{Authorizations, Matched, Reply};
use crate::outgoing::{Client, Endpoint, Failed, Tries, Unusable};
use crate::request::Requirement;

/// Bytes that whoever asks chose, of a question whose answer is kept: fewer than these.
const LONGEST_KEPT: usize = 10_000;

/// A service that decides.
#[derive(Debug, Clone)]
pub struct AccessWebhook {
    /// Where it is.
    pub endpoint: Endpoint,
    /// Version of `authorization.k8s.io` that it speaks: `v1` or `v1beta1`.
    pub version: String,
    /// How long it may take.
    pub timeout: Duration,
    /// How long an answer that allows holds.
    pub cache_allowed: Duration,
    /// How long another answer holds.
    pub cache_refused: Duration,
    /// What counts if it does not answer.
    pub on_failure: OnFailure,
    /// What it is asked about.
    pub conditions: Conditions,
}

/// What counts if the service does not answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// The next one is asked.
    #[default]
    NoOpinion,
    /// The request is refused.
    Deny,
}

/// Asks it, and remembers the answers.
#[derive(Debug)]
pub(super) struct AccessReviewer {
    client: Client,
    settings: AccessWebhook,
    answers: Cache<String, Decision>,
}

impl AccessReviewer {
    pub(super) fn new(settings: AccessWebhook) -> Result<Self, Unusable> {
        let client = Client::new(settings.endpoint.clone())?.within(settings.timeout);
        Ok(Self { client, settings, answers: Cache::default() })
    }

    /// `name`: what it is counted under.
    pub(super) async fn decide(
        &self,
        name: &str,
        metrics: &Authorizations,
        user: &User,
        action: Action<'_>,
        now: Timestamp,
    ) -> Decision {
        let specification = specification(user, action);
        match self.matches(name, metrics, &specification) {
            Ok(true) => {}
            Ok(false) => return Decision::NoOpinion(String::new()),
            Err(error) => {
                tracing::warn!(error, name, "the conditions of an authorization webhook failed");
                return self.failed(error);
            }
        }
        let key = specification.to_string();
        if let Some(known) = self.answers.get(&key, now) {
            return known;
        }
        let question = question(&self.settings.version, specification);
        let review = match self.ask(name, metrics, &question).await {
            Ok(review) => review,
            Err(failed) => {
                let reply = reply_of(&failed);
                let error = String::from(failed);
                tracing::warn!(error, name, "an authorization webhook did not answer");
                if self.settings.on_failure == OnFailure::NoOpinion {
                    metrics.failed_open(name, reply);
                }
                return self.failed(error);
            }
        };
        let decision = understood(&review["status"]);
        let holds = if decision.is_allowed() { self.settings.cache_allowed } else { self.settings.cache_refused };
        // What is longer than anybody needs is not worth the memory.
        if chosen(action) < LONGEST_KEPT {
            self.answers.put(key, decision.clone(), now + holds, now);
        }
        decision
    }

    /// Asks again after failures that may pass; each try counts.
    async fn ask(&self, name: &str, metrics: &Authorizations, question: &Value) -> Result<Value, Failed> {
        let attempt = || async {
            let began = Instant::now();
            let answer = self.client.ask(question).await;
            let reply = answer.as_ref().map_or_else(reply_of, |_| Reply::Success);
            metrics.asked(name, reply, began.elapsed());
            answer
        };
        Tries::new(Tries::OF_ACCESS).run(attempt, |failed| failed.is_passing).await
    }

    fn matches(&self, name: &str, metrics: &Authorizations, specification: &Value) -> Result<bool, String> {
        if self.settings.conditions.is_empty() {
            return Ok(true);
        }
        let began = Instant::now();
        let outcome = self.settings.conditions.hold(specification);
        let matched = match &outcome {
            Ok(true) => Matched::Yes,
            Ok(false) => Matched::No,
            Err(_) => Matched::Failed,
        };
        metrics.matched(name, matched, began.elapsed());
        outcome
    }

    fn failed(&self, error: String) -> Decision {
        let denies = self.settings.on_failure == OnFailure::Deny;
        Decision::Failed(Failure { denies, reason: String::new(), error })
    }
}

/// What a try that failed is counted as.
fn reply_of(failed: &Failed) -> Reply {
    if failed.is_late { Reply::Timeout } else { Reply::Error }
}

/// Bytes of a question that whoever asks chooses; who he is was decided by others.
fn chosen(action: Action<'_>) -> usize {
    match action {
        Action::Path { verb, path } => verb.len() + path.len(),
        Action::Resource(info) => {
            let parts = [&info.namespace, &info.group, &info.version, &info.resource, &info.subresource];
            let parts: usize = parts.into_iter().map(String::len).sum();
            parts + info.authorized_verb().len() + info.authorized_name().len()
        }
    }
}

fn understood(status: &Value) -> Decision {
    let reason = status["reason"].as_str().unwrap_or_default().to_owned();
    match (status["allowed"] == true, status["denied"] == true) {
        (true, false) => Decision::Allowed(reason),
        // Who says both means no.
        (true, true) => {
            let error = "webhook subject access review returned both allow and deny response".to_owned();
            Decision::Failed(Failure { denies: true, reason, error })
        }
        (false, true) => Decision::Denied(reason),
        (false, false) => Decision::NoOpinion(reason),
    }
}

/// A review as Kubernetes sends it, `specification` in version 1.
fn question(version: &str, mut specification: Value) -> Value {
    if version == "v1beta1"
        && let Some(fields) = specification.as_object_mut()
        && let Some(groups) = fields.remove("groups")
    {
        fields.insert("group".into(), groups);
    }
    json!({
        "apiVersion": format!("authorization.k8s.io/{version}"), "kind": "SubjectAccessReview", "metadata": {},
        "spec": specification, "status": {"allowed": false},
    })
}

/// What is asked, without what is empty.
fn specification(user: &User, action: Action<'_>) -> Value {
    let mut spec = json!({});
    if !user.name.is_empty() {
        spec["user"] = user.name.as_str().into();
    }
    if !user.groups.is_empty() {
        spec["groups"] = json!(user.groups);
    }
    if !user.uid.is_empty() {
        spec["uid"] = user.uid.as_str().into();
    }
    if !user.extra.is_empty() {
        spec["extra"] = json!(user.extra);
    }
    match action {
        Action::Path { verb, path } => spec["nonResourceAttributes"] = json!({"path": path, "verb": verb}),
        Action::Resource(info) => {
            let mut attributes =
                json!({"verb": info.authorized_verb(), "version": info.version, "resource": info.resource});
            for (name, value) in [
                ("group", info.group.as_str()),
                ("subresource", &info.subresource),
                ("namespace", &info.namespace),
                ("name", info.authorized_name()),
            ] {
                if !value.is_empty() {
                    attributes[name] = value.into();
                }
            }
            for (name, requirements) in
                [("fieldSelector", &info.selection.fields), ("labelSelector", &info.selection.labels)]
            {
                if !requirements.is_empty() {
                    let list: Vec<Value> = requirements.iter().map(requirement).collect();
                    attributes[name] = json!({"requirements": list});
                }
            }
            spec["resourceAttributes"] = attributes;
        }
    }
    spec
}

fn requirement(requirement: &Requirement) -> Value {
    let Requirement { key, operator, values } = requirement;
    match values.as_slice() {
        [] => json!({"key": key, "operator": operator}),
        values => json!({"key": key, "operator": operator, "values": values}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Info;

    #[test]
    fn questions_are_those_of_kubernetes_in_both_versions() {
        let user = User::new("ann", ["dev"]);
        let asked = |version: &str| question(version, specification(&user, Action::Path { verb: "get", path: "/x" }));
        let groups = json!(["dev", "system:authenticated"]);
        let attributes = json!({"path": "/x", "verb": "get"});
        for (version, spec) in [
            ("v1", json!({"user": "ann", "groups": groups, "nonResourceAttributes": attributes})),
            ("v1beta1", json!({"user": "ann", "group": groups, "nonResourceAttributes": attributes})),
        ] {
            let expected = json!({
                "apiVersion": format!("authorization.k8s.io/{version}"), "kind": "SubjectAccessReview", "metadata": {},
                "spec": spec, "status": {"allowed": false},
            });
            assert_eq!(asked(version), expected);
        }
    }

    #[test]
    fn only_what_a_request_says_counts_for_how_long_a_question_is() {
        let info = Info {
            verb: "get",
            group: "apps".into(),
            version: "v1".into(),
            resource: "deployments".into(),
            subresource: "scale".into(),
            namespace: "default".into(),
            name: "x".repeat(100),
            ..Info::default()
        };
        assert_eq!(chosen(Action::Resource(&info)), "getappsv1deploymentsscaledefault".len() + 100);
        assert_eq!(chosen(Action::Path { verb: "get", path: "/healthz" }), "get/healthz".len());
        // Groups and the like are in the question and count for nothing.
        let user = User::new("a".repeat(LONGEST_KEPT), ["b"]);
        let question = specification(&user, Action::Resource(&info)).to_string();
        assert!(question.len() > LONGEST_KEPT && chosen(Action::Resource(&info)) < LONGEST_KEPT);
    }
}
