//! Images.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use portolan_api::typed::Object;
use portolan_base::error::chain;
use portolan_base::go::format_duration;
use portolan_client::EventType;
use portolan_runtime::{Error, RegistryAuth};
use serde_json::Value;
use tokio::time::Instant;

use super::{Job, Outcome};
use crate::pod;
use crate::sources::Freshness;

/// An image could not be pulled.
pub(crate) const PULL_ERROR: &str = "ErrImagePull";

/// Why a container cannot have its image.
#[derive(Debug, Clone, Copy)]
enum Refusal {
    /// Its reference is not one.
    InvalidName,
    /// The runtime does not say whether it is here.
    NotInspected,
    /// It is not here and must not be pulled.
    NeverPulled,
    /// It cannot be pulled.
    NotPulled,
}

impl Refusal {
    /// The word for it in a status.
    fn reason(self) -> &'static str {
        match self {
            Self::InvalidName => "InvalidImageName",
            Self::NotInspected => "ImageInspectError",
            Self::NeverPulled => "ErrImageNeverPull",
            Self::NotPulled => PULL_ERROR,
        }
    }

    /// The event that tells it, with its message, about the image of this reference.
    fn event(self, reference: &str, message: &str) -> (&'static str, String) {
        match self {
            Self::InvalidName | Self::NotInspected => ("InspectFailed", message.to_owned()),
            Self::NeverPulled => ("ErrImageNeverPull", message.to_owned()),
            Self::NotPulled => ("Failed", format!("Failed to pull image \"{reference}\": {message}")),
        }
    }
}

/// Makes sure that the image of a container is here, as its policy says.
pub(super) async fn ensure(job: &Job, name: String) -> Outcome {
    let Some((_, container)) = pod::container(&job.pod, &name) else { return Outcome::Done };
    let reference = container.image.clone().unwrap_or_default();
    let outcome = find_or_pull(job, &name, &reference, container.image_pull_policy.as_deref()).await;
    let outcome = outcome.map_err(|(refusal, message)| {
        let (event, text) = refusal.event(&reference, &message);
        job.context.container_event(&job.pod, &name, EventType::Warning, event, text);
        let text = format!("Error: {}", refusal.reason());
        job.context.container_event(&job.pod, &name, EventType::Warning, "Failed", text);
        (refusal.reason().to_owned(), message)
    });
    Outcome::Image(name, outcome)
}

async fn find_or_pull(
    job: &Job,
    name: &str,
    reference: &str,
    policy: Option<&str>,
) -> Result<String, (Refusal, String)> {
    let context = &job.context;
    let runtime = &context.config.runtime;
    let present = match runtime.image(reference).await {
        Ok(present) => present,
        Err(Error::InvalidImageName { image, reason }) => {
            let why = format!("couldn't parse image name \"{image}\": {reason}");
            let text = format!("Failed to apply default image tag \"{reference}\": {why}");
            return Err((Refusal::InvalidName, text));
        }
        Err(error) => {
            // The quotes are where upstream has what it did not find out.
            let text = format!("Failed to inspect image \"\": {}", chain(&error));
            return Err((Refusal::NotInspected, text));
        }
    };
    let policy = policy.unwrap_or_else(|| default_policy(reference));
    match &present {
        // Nobody can answer for an image that was made here; asking would only fail.
        Some(image) if policy != "Always" || image.local => {
            let text =
                format!("Container image \"{reference}\" already present on machine and can be accessed by the pod");
            context.container_event(&job.pod, name, EventType::Normal, "Pulled", text);
            return Ok(image.id.clone());
        }
        None if policy == "Never" => {
            let text = format!("Container image \"{reference}\" is not present with pull policy of Never");
            return Err((Refusal::NeverPulled, text));
        }
        _ => {}
    }
    let text = format!("Pulling image \"{reference}\"");
    context.container_event(&job.pod, name, EventType::Normal, "Pulling", text);
    let started = Instant::now();
    let id = pull(job, reference).await.map_err(|error| (Refusal::NotPulled, words(&error)))?;
    let took = Duration::from_millis(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
    let took = format_duration(took);
    let size = match runtime.image(reference).await {
        Ok(Some(image)) => image.size_bytes,
        // It is here; how large it is, is told by the next one.
        Ok(None) | Err(_) => 0,
    };
    // Pulls do not wait for each other.
    let text = format!(
        "Successfully pulled image \"{reference}\" in {took} ({took} including waiting). Image size: {size} bytes."
    );
    context.container_event(&job.pod, name, EventType::Normal, "Pulled", text);
    Ok(id)
}

/// Tries without credentials only if no secret of the pod has any for the registry.
async fn pull(job: &Job, reference: &str) -> Result<String, Error> {
    let runtime = &job.context.config.runtime;
    let credentials = credentials(job, reference).await;
    if credentials.is_empty() {
        return runtime.pull(reference, None).await;
    }
    let mut last = None;
    for auth in &credentials {
        match runtime.pull(reference, Some(auth)).await {
            Ok(id) => return Ok(id),
            Err(error) => last = Some(error),
        }
    }
    last.map_or_else(|| Err(Error::Unavailable("no credentials".into())), Err)
}

async fn credentials(job: &Job, reference: &str) -> Vec<RegistryAuth> {
    let mut found = Vec::new();
    for secret in pod::spec(&job.pod).image_pull_secrets.iter().flatten() {
        match job.context.sources.secret(job.pod.namespace(), &secret.name, Freshness::Recent).await {
            Ok(Some(secret)) => found.extend(auth_of(&secret, registry_of(reference))),
            Ok(None) => {
                let text = format!(
                    "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                    secret.name
                );
                job.context.pod_event(&job.pod, EventType::Warning, "FailedToRetrieveImagePullSecret", text);
            }
            Err(error) => tracing::warn!(secret = secret.name, "fetch an image pull secret: {}", chain(&error)),
        }
    }
    found
}

/// Credentials for a registry in a secret of type `dockerconfigjson` or the older `dockercfg`.
fn auth_of(secret: &Secret, registry: &str) -> Option<RegistryAuth> {
    let data = secret.data.as_ref()?;
    let parse = |key: &str| serde_json::from_slice::<Value>(&data.get(key)?.0).ok();
    let auths = match parse(".dockerconfigjson") {
        Some(config) => config.get("auths")?.clone(),
        None => parse(".dockercfg")?,
    };
    let entry = auths.as_object()?.iter().find(|(server, _)| host_of(server) == registry)?.1.clone();
    if let (Some(username), Some(password)) = (entry["username"].as_str(), entry["password"].as_str()) {
        return Some(RegistryAuth { username: username.to_owned(), password: password.to_owned() });
    }
    let decoded = String::from_utf8(STANDARD.decode(entry["auth"].as_str()?.trim()).ok()?).ok()?;
    let (username, password) = decoded.split_once(':')?;
    Some(RegistryAuth { username: username.to_owned(), password: password.to_owned() })
}

/// The registry's host of an image reference.
fn registry_of(reference: &str) -> &str {
    match reference.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "docker.io",
    }
}

fn host_of(server: &str) -> &str {
    let server = server.trim_start_matches("https://").trim_start_matches("http://");
    match server.split('/').next().unwrap_or(server) {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        host => host,
    }
}

/// `latest` may change behind the same name; other tags do not.
fn default_policy(reference: &str) -> &'static str {
    let name = reference.rsplit('/').next().unwrap_or(reference);
    match name.split_once(':') {
        _ if name.contains('@') => "IfNotPresent",
        None | Some((_, "latest")) => "Always",
        Some(_) => "IfNotPresent",
    }
}

/// What the registry or the runtime said, in their words.
fn words(error: &Error) -> String {
    match error {
        Error::Pull { reason, .. } => reason.clone(),
        error => chain(error).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_of_a_moving_tag_is_always() {
        let cases = [
            ("a", "Always"),
            ("a:latest", "Always"),
            ("host:5000/a", "Always"),
            ("host:5000/a:1", "IfNotPresent"),
            ("a@sha256:00", "IfNotPresent"),
        ];
        for (reference, policy) in cases {
            assert_eq!(default_policy(reference), policy, "{reference}");
        }
    }

    #[test]
    fn credentials_are_found_by_the_registry_of_the_image() {
        let config = r#"{"auths": {"https://index.docker.io/v1/": {"auth": "YTpi"}, "r:5000": {"username": "c", "password": "d"}}}"#;
        let data = [(".dockerconfigjson".to_owned(), k8s_openapi::ByteString(config.as_bytes().to_vec()))];
        let secret = Secret { data: Some(data.into()), ..Secret::default() };
        let found = |image| auth_of(&secret, registry_of(image)).map(|auth| (auth.username, auth.password));
        assert_eq!(found("nginx"), Some(("a".into(), "b".into())));
        assert_eq!(found("r:5000/x:1"), Some(("c".into(), "d".into())));
        assert_eq!(found("other.example/x"), None);
    }
}
