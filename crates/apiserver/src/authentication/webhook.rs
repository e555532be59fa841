//! Asking another service whose token it is (`--authentication-token-webhook-config-file`).

use std::time::Duration;

use portolan_base::Timestamp;
use portolan_identity::User;
use serde_json::{Value, json};

use super::{Proven, UNKNOWN_TOKEN};
use crate::cache::Cache;
use crate::outgoing::{Client, Endpoint, Unusable};

/// A service that knows tokens.
#[derive(Debug, Clone)]
pub struct TokenWebhook {
    /// Where it is.
    pub endpoint: Endpoint,
    /// Version of `authentication.k8s.io` that it speaks: `v1` or `v1beta1`.
    pub version: String,
    /// How long an answer holds.
    pub cache_for: Duration,
}

/// Asks it, and remembers the answers.
#[derive(Debug)]
pub(crate) struct TokenReviewer {
    client: Client,
    version: String,
    cache_for: Duration,
    answers: Cache<(Vec<u8>, Vec<String>), Result<Proven, String>>,
}

impl TokenReviewer {
    pub(crate) fn new(settings: TokenWebhook) -> Result<Self, Unusable> {
        let TokenWebhook { endpoint, version, cache_for } = settings;
        Ok(Self { client: Client::new(endpoint)?, version, cache_for, answers: Cache::default() })
    }

    /// The user of a token.
    pub(super) async fn user(&self, token: &str, audiences: &[String], now: Timestamp) -> Result<Proven, String> {
        // Tokens are not kept; their digest is enough to recognize them.
        let digest = portolan_identity::digest(token.as_bytes());
        let key = (digest, audiences.to_vec());
        if let Some(answer) = self.answers.get(&key, now) {
            return answer;
        }
        let question = json!({
            "apiVersion": format!("authentication.k8s.io/{}", self.version), "kind": "TokenReview",
            "metadata": {}, "spec": {"token": token, "audiences": audiences}, "status": {"user": {}},
        });
        // No answer is not remembered.
        let review = self.client.ask_persistently(&question).await?;
        let answer = understood(&review["status"], audiences);
        self.answers.put(key, answer.clone(), now + self.cache_for, now);
        answer
    }
}

fn understood(status: &Value, audiences: &[String]) -> Result<Proven, String> {
    if status["authenticated"] != true {
        let why = status["error"].as_str().filter(|why| !why.is_empty());
        return Err(why.unwrap_or(UNKNOWN_TOKEN).to_owned());
    }
    let list = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let granted = list(&status["audiences"]);
    let granted: Vec<String> = match granted.is_empty() {
        // A webhook that knows nothing of audiences vouches for the API server's own.
        true => audiences.to_vec(),
        false => granted.into_iter().filter(|audience| audiences.contains(audience)).collect(),
    };
    if granted.is_empty() {
        return Err(UNKNOWN_TOKEN.into());
    }
    let described = &status["user"];
    let name = described["username"].as_str().filter(|name| !name.is_empty()).ok_or("the webhook named no user")?;
    let groups = list(&described["groups"]);
    let mut user = User::new(name, groups.iter().map(String::as_str));
    user.uid = described["uid"].as_str().unwrap_or_default().to_owned();
    let extra = described["extra"].as_object().into_iter().flatten();
    user.extra = extra.map(|(key, values)| (key.clone(), list(values))).collect();
    Ok(Proven { user, audiences: granted })
}
