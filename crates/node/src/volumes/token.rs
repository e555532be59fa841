//! Service-account tokens of pods, renewed before they end.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, ServiceAccountTokenProjection};
use parking_lot::Mutex;
use portolan_api::typed::Object;
use portolan_base::Timestamp;
use portolan_base::error::chain;
use portolan_client::Client;
use serde_json::json;

use crate::pod;

/// Life of a token that asks for none, upstream's default.
const DEFAULT_SECONDS: i64 = 3600;
/// A token older than this is renewed whatever its life.
const OLDEST_SECONDS: i64 = 24 * 3600;

#[derive(Debug)]
pub(crate) struct Tokens {
    client: Client,
    issued: Mutex<BTreeMap<(String, String, String), Issued>>,
}

#[derive(Debug, Clone)]
struct Issued {
    token: String,
    renew_at: Timestamp,
    expires_at: Timestamp,
}

impl Tokens {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, issued: Mutex::default() }
    }

    /// The token for one file of one volume of a pod; a new one after 80 % of its life.
    pub(crate) async fn token(
        &self,
        pod: &Pod,
        volume: &str,
        projection: &ServiceAccountTokenProjection,
        now: Timestamp,
    ) -> Result<String, String> {
        let key = (pod.uid().to_owned(), volume.to_owned(), projection.path.clone());
        let known = self.issued.lock().get(&key).cloned();
        if let Some(known) = known.as_ref().filter(|known| now < known.renew_at) {
            return Ok(known.token.clone());
        }
        match self.request(pod, projection, now).await {
            Ok(issued) => {
                let token = issued.token.clone();
                self.issued.lock().insert(key, issued);
                Ok(token)
            }
            // The old one is still good; the next refresh tries again.
            Err(error) => match known.filter(|known| now < known.expires_at) {
                Some(known) => {
                    tracing::warn!(pod = pod::display(pod), "renew the service-account token: {error}");
                    Ok(known.token)
                }
                None => Err(error),
            },
        }
    }

    /// Forgets the tokens of a pod.
    pub(crate) fn forget(&self, uid: &str) {
        self.issued.lock().retain(|(pod, ..), _| pod != uid);
    }

    async fn request(
        &self,
        pod: &Pod,
        projection: &ServiceAccountTokenProjection,
        now: Timestamp,
    ) -> Result<Issued, String> {
        // Admission names one for every pod; what came past it has none, and no token.
        let account = pod::spec(pod).service_account_name.as_deref().filter(|name| !name.is_empty());
        let account = account.ok_or("failed to fetch token: resource name may not be empty")?;
        let seconds = projection.expiration_seconds.unwrap_or(DEFAULT_SECONDS);
        let audiences: Vec<&str> = projection.audience.as_deref().filter(|text| !text.is_empty()).into_iter().collect();
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": audiences,
                "expirationSeconds": seconds,
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod.name(), "uid": pod.uid()},
            },
        });
        let path = format!("/api/v1/namespaces/{}/serviceaccounts/{account}/token", pod.namespace());
        let answer = self.client.raw(http::Method::POST, &path, Some(body)).await;
        let answer = answer.map_err(|error| format!("failed to fetch token: {}", chain(&error)))?;
        let token = answer["status"]["token"].as_str().filter(|token| !token.is_empty());
        let token = token.ok_or("failed to fetch token: the answer has none")?.to_owned();
        let granted = answer["status"]["expirationTimestamp"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
        let expires_at = granted.unwrap_or(now + jiff::SignedDuration::from_secs(seconds));
        let life = expires_at.duration_since(now).as_secs().max(0);
        let renew_at = now + jiff::SignedDuration::from_secs((life * 4 / 5).min(OLDEST_SECONDS));
        Ok(Issued { token, renew_at, expires_at })
    }
}
