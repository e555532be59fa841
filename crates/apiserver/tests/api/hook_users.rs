//! As whom webhooks are asked.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use portolan_apiserver::{Access, AdmissionSettings, WebhookUser, WebhookUsers};
use portolan_identity::{Authority, KeyPairPem, Request as CertificateRequest, Usage, server_tls};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::support::cluster_with;

fn issue(authority: &Authority, name: &str, usage: Usage) -> KeyPairPem {
    let request = CertificateRequest {
        common_name: name.to_owned(),
        organizations: [None, None],
        dns_names: vec!["localhost".to_owned()],
        addresses: vec![[127, 0, 0, 1].into()],
        usage,
        valid_for: Duration::from_secs(3600),
    };
    authority.issue(&request).expect("a certificate")
}

/// Allows everything, and notes who asks: by certificate or not, and the header that says who.
async fn serve(listener: TcpListener, tls: TlsAcceptor, seen: Arc<Mutex<Vec<String>>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, seen) = (tls.clone(), seen.clone());
        connections.spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let has_certificate = stream.get_ref().1.peer_certificates().is_some();
            let service = service_fn(move |request: Request<Incoming>| {
                let seen = seen.clone();
                async move {
                    let header = request.headers().get("authorization").and_then(|it| it.to_str().ok());
                    let told = format!("{has_certificate} {}", header.unwrap_or("nobody"));
                    let bytes = request.into_body().collect().await?.to_bytes();
                    let mut review: Value = serde_json::from_slice(&bytes).expect("a review");
                    review["response"] = json!({"uid": review["request"]["uid"], "allowed": true});
                    seen.lock().push(told);
                    Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from(review.to_string()))))
                }
            });
            // Who asks closes the connection as soon as it has its answer.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

#[tokio::test]
async fn each_webhook_is_asked_as_the_user_named_for_its_host() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::load_or_create(folder.path(), "hooks").expect("an authority");
    let tls = server_tls(&issue(&authority, "hook", Usage::Server), authority.certificate_pem()).expect("settings");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    tasks.spawn(serve(listener, TlsAcceptor::from(tls), seen.clone()));

    let certificate = issue(&authority, "asker", Usage::Client);
    let users = move |path: &Path| {
        let by_certificate = WebhookUser { certificate: Some(certificate.clone()), ..WebhookUser::default() };
        let by_token = WebhookUser { token: Some("t".to_owned()), ..WebhookUser::default() };
        match path.to_str() {
            Some("/hosts") => {
                let users = [(format!("127.0.0.1:{port}"), by_certificate), ("*".to_owned(), by_token)];
                WebhookUsers::new(users, None)
            }
            _ => Err("no such file".to_owned()),
        }
    };
    let text = "{apiVersion: apiserver.config.k8s.io/v1, kind: AdmissionConfiguration, plugins: [{\
                name: ValidatingAdmissionWebhook, configuration: {apiVersion: apiserver.config.k8s.io/v1, \
                kind: WebhookAdmissionConfiguration, kubeConfigFile: /hosts}}]}";
    let admission = AdmissionSettings::read(&[], &[], Some((Path::new("/a"), text)), &users).expect("reads");
    let cluster = cluster_with(Access { admission, ..Access::default() }).await;

    let bundle = STANDARD.encode(authority.certificate_pem());
    let rules = json!([{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}]);
    for (kind, resource, host, name) in [
        ("Validating", "validating", "127.0.0.1", "a"),
        ("Validating", "validating", "localhost", "b"),
        ("Mutating", "mutating", "127.0.0.1", "c"),
    ] {
        let hook = json!({
            "name": "a.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"], "rules": rules,
            "clientConfig": {"url": format!("https://{host}:{port}/"), "caBundle": bundle},
        });
        let body = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": format!("{kind}WebhookConfiguration"),
            "metadata": {"name": name}, "webhooks": [hook],
        });
        let path = format!("/apis/admissionregistration.k8s.io/v1/{resource}webhookconfigurations");
        let made = cluster.create(&path, body).await;
        assert_eq!(made.code, 201, "{made:?}");
    }
    let made = cluster.create("/api/v1/namespaces/default/configmaps", json!({"metadata": {"name": "a"}})).await;
    assert_eq!(made.code, 201, "{made:?}");
    // The file is one of validating webhooks only; those are asked at the same time.
    let mut seen = seen.lock().clone();
    assert_eq!(seen.remove(0), "false nobody");
    seen.sort();
    assert_eq!(seen, ["false Bearer t", "true nobody"]);
}
