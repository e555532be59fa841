//! Files that say who is believed and who decides, while they change.

use std::path::Path;
use std::time::Duration;

use portolan_apiserver::authentication::{Anonymous, Authentication, AuthenticationConfiguration};
use portolan_apiserver::authorization::Authorization;
use portolan_apiserver::{Access, Endpoint, Kubeconfigs, SettingsFile};
use portolan_identity::User;
use serde_json::{Value, json};

use crate::support::{Cluster, cluster_with, request, web_server};

/// A kubeconfig is the URL, here.
fn kubeconfigs() -> Kubeconfigs {
    Kubeconfigs::new(|path| {
        let url = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        Ok(Endpoint { url, ..Endpoint::default() })
    })
}

fn settings(path: &Path) -> SettingsFile {
    SettingsFile { path: path.to_owned(), text: std::fs::read_to_string(path).expect("written") }
}

async fn metric(cluster: &Cluster, name: &str) -> Vec<String> {
    let text = cluster.get("/metrics").await.body.as_str().expect("text").to_owned();
    let of_it = |line: &&str| line.starts_with(name) && line.as_bytes().get(name.len()) == Some(&b'{');
    let without_identity = |line: &str| match line.split_once("apiserver_id_hash=\"") {
        Some((before, rest)) => format!("{before}{}", rest.split_once("\",").map_or("", |(_, rest)| rest)),
        None => line.to_owned(),
    };
    text.lines().filter(of_it).map(without_identity).collect()
}

fn authorizers(kubeconfig: &Path, policy: &str, condition: &str, rest: &str) -> String {
    format!(
        "apiVersion: apiserver.config.k8s.io/v1
kind: AuthorizationConfiguration
authorizers:
- type: Webhook
  name: hook.example
  webhook:
    timeout: 3s
    authorizedTTL: 1m
    cacheUnauthorizedRequests: false
    subjectAccessReviewVersion: v1
    matchConditionSubjectAccessReviewVersion: v1
    failurePolicy: {policy}
    connectionInfo: {{type: KubeConfigFile, kubeConfigFile: {}}}
    matchConditions:
    - expression: \"has(request.resourceAttributes)\"
    - expression: \"{condition}\"
{rest}",
        kubeconfig.display()
    )
}

#[tokio::test]
async fn who_decides_follows_the_file() {
    let web = web_server(|_, body| {
        let review: Value = serde_json::from_str(body).expect("JSON");
        let status = match review["spec"]["user"].as_str() {
            Some("ann") => json!({"allowed": true, "reason": "it is ann"}),
            Some("eve") => json!({"allowed": false, "denied": true, "reason": "it is eve"}),
            _ => json!({"allowed": false, "reason": "who is that"}),
        };
        (200, json!({"apiVersion": review["apiVersion"], "kind": "SubjectAccessReview", "status": status}).to_string())
    })
    .await;
    let folder = tempfile::tempdir().expect("a folder");
    let (file, kubeconfig) = (folder.path().join("authorization.yaml"), folder.path().join("kubeconfig"));
    std::fs::write(&kubeconfig, &web.url).expect("written");
    let built_in = "- {type: Node, name: node}\n- {type: RBAC, name: rbac}\n";
    let first = authorizers(&kubeconfig, "Deny", "request.resourceAttributes.resource == 'pods'", built_in);
    std::fs::write(&file, &first).expect("written");
    let authorization = Authorization::from_file(settings(&file), kubeconfigs()).expect("reads");
    let cluster = cluster_with(Access { authorization, ..Access::default() }).await;
    let ask = async |user: &str, uri: &str| cluster.send(User::new(user, []), request("GET", uri, "", "")).await.text();
    let refused = |user: &str, resource: &str, why: &str| {
        format!(
            "403 {resource} is forbidden: User \"{user}\" cannot list resource \"{resource}\" in API group \"\" at the \
             cluster scope{why}"
        )
    };
    let (pods, nodes) = ("/api/v1/pods", "/api/v1/nodes");
    assert_eq!(ask("ann", pods).await, "200");
    assert_eq!(ask("ann", pods).await, "200");
    assert_eq!(web.count(), 1, "what allows is remembered");
    assert_eq!(ask("eve", pods).await, refused("eve", "pods", ": it is eve"));
    assert_eq!(ask("eve", pods).await, refused("eve", "pods", ": it is eve"));
    assert_eq!(web.count(), 3, "what refuses is not");
    assert_eq!(ask("ann", nodes).await, refused("ann", "nodes", ""));
    assert_eq!(web.count(), 3, "nobody asks about nodes");
    let decisions = metric(&cluster, "apiserver_authorization_decisions_total").await;
    assert!(
        decisions.contains(
            &"apiserver_authorization_decisions_total{decision=\"denied\",name=\"hook.example\",type=\"Webhook\"} 2"
                .to_owned()
        ),
        "{decisions:?}"
    );
    let excluded = metric(&cluster, "apiserver_authorization_match_condition_exclusions_total").await;
    assert!(!excluded.is_empty());

    // Files that cannot be used change nothing; each is told once.
    for (bad, attempts) in [
        (first.replacen("timeout: 3s", "timeout: 1h", 1), 1),
        (first.replacen("- {type: RBAC, name: rbac}\n", "", 1), 2),
    ] {
        std::fs::write(&file, bad).expect("written");
        cluster.server.reload_access().await;
        cluster.server.reload_access().await;
        let reloads = metric(&cluster, "apiserver_authorization_config_controller_automatic_reloads_total").await;
        let expected = format!(
            "apiserver_authorization_config_controller_automatic_reloads_total{{status=\"failure\"}} {attempts}"
        );
        assert_eq!(reloads, [expected]);
        assert_eq!(ask("ann", nodes).await, refused("ann", "nodes", ""));
    }
    let before = metric(&cluster, "apiserver_authorization_config_controller_last_config_info").await;
    std::fs::write(&file, authorizers(&kubeconfig, "NoOpinion", "request.user != 'eve'", built_in)).expect("written");
    cluster.server.reload_access().await;
    assert_eq!(ask("ann", nodes).await, "200");
    assert_eq!(ask("eve", pods).await, refused("eve", "pods", ""));
    let after = metric(&cluster, "apiserver_authorization_config_controller_last_config_info").await;
    assert!(before != after && after.len() == 1, "{before:?} {after:?}");

    // Nobody answers: what counts then is for the file to say.
    web.answer(|_, _| (500, String::new()));
    let failed = async || {
        let answer = cluster.send(User::new("bob", []), request("GET", "/api/v1/pods?limit=1&watch=0", "", "")).await;
        assert_eq!((answer.code.as_u16(), answer.headers["x-content-type-options"].as_bytes()), (500, &b"nosniff"[..]));
        let text = answer.body.as_str().unwrap_or_default().to_owned();
        assert!(text.starts_with("Internal Server Error: \"/api/v1/pods?limit=1&amp;watch=0\": "), "{text}");
        assert!(text.contains("500"), "{text}");
        let spec = json!({"user": "bob", "resourceAttributes": {"verb": "list", "resource": "pods", "version": "v1"}});
        let review = json!({"spec": spec});
        let review = cluster.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", review).await;
        let status = review.body["status"].clone();
        assert!(status["evaluationError"].as_str().is_some_and(|error| error.contains("500")), "{status}");
        status["denied"] == true
    };
    assert!(!failed().await, "nobody has an opinion");
    assert_eq!(ask("ann", nodes).await, "200", "that is remembered");
    let open = metric(&cluster, "apiserver_authorization_webhook_evaluations_fail_open_total").await;
    let metric_name = "apiserver_authorization_webhook_evaluations_fail_open_total";
    assert_eq!(open, [format!("{metric_name}{{name=\"hook.example\",result=\"error\"}} 2")]);
    std::fs::write(&file, &first).expect("written");
    cluster.server.reload_access().await;
    assert!(failed().await);
    cluster.clock.advance(Duration::from_secs(1));
}

#[tokio::test]
async fn issuers_follow_the_file_and_anonymous_requests_do_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("authentication.yaml");
    let text = |issuers: &str, anonymous: &str| {
        format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt: [{issuers}]\n{anonymous}"
        )
    };
    let anonymous = "anonymous: {enabled: true, conditions: [{path: /livez}]}";
    std::fs::write(&file, text("", anonymous)).expect("written");
    let found = AuthenticationConfiguration::parse(&text("", anonymous), &[]).expect("reads");
    let authentication = Authentication {
        // As where everybody may do everything.
        anonymous: Anonymous::Refused,
        issuers: found.issuers,
        file: Some(settings(&file)),
        anonymous_in_file: found.anonymous,
        ..Authentication::default()
    };
    assert_eq!(authentication.anonymous_in_file, Some(Anonymous::AllowedAt(vec!["/livez".into()])));
    let cluster = cluster_with(Access { authentication, ..Access::default() }).await;
    let web = cluster.secure_web_server(|_, _| (503, String::new())).await;
    let issuer = format!(
        "{{issuer: {{url: '{}', certificateAuthority: {}, audiences: [a]}}, claimMappings: {{username: {{claim: sub, \
         prefix: ''}}}}}}",
        web.url,
        json!(cluster.authority.certificate_pem())
    );
    let own = issuer.replace(&web.url, "https://kubernetes.default.svc");
    let reloads = async || {
        cluster.server.reload_access().await;
        let name = "apiserver_authentication_config_controller_automatic_reloads_total";
        let figures = metric(&cluster, name).await;
        let of = |status: &str| {
            let figure = figures.iter().find_map(|line| line.strip_prefix(&format!("{name}{{status=\"{status}\"}} ")));
            figure.map_or(0, |count| count.parse().expect("a number"))
        };
        (of("success"), of("failure"))
    };
    std::fs::write(&file, text(&issuer, anonymous)).expect("written");
    for tries in 1..=2 {
        assert_eq!(reloads().await, (0, tries), "an issuer that does not answer is asked again");
    }
    let url = web.url.clone();
    web.answer(move |path, _| match path {
        "/.well-known/openid-configuration" => {
            (200, json!({"issuer": url, "jwks_uri": format!("{url}/keys")}).to_string())
        }
        _ => (404, String::new()),
    });
    assert_eq!(reloads().await, (1, 2), "now it answers");
    for (text, expected) in [
        (text(&issuer, anonymous), (1, 2)),
        (text(&issuer, "anonymous: {enabled: true}"), (1, 3)),
        (text(&issuer, ""), (1, 4)),
        (text(&own, anonymous), (1, 5)),
        (text("", anonymous), (2, 5)),
    ] {
        std::fs::write(&file, &text).expect("written");
        for time in ["first", "second"] {
            assert_eq!(reloads().await, expected, "{time} time: {text}");
        }
    }
    std::fs::remove_file(&file).expect("removed");
    assert_eq!(reloads().await, (2, 6));

    std::fs::write(&file, text("", "")).expect("written");
    let authentication = Authentication { file: Some(settings(&file)), ..Authentication::default() };
    let cluster = cluster_with(Access { authentication, ..Access::default() }).await;
    std::fs::write(&file, text("", "anonymous: {enabled: true}")).expect("written");
    cluster.server.reload_access().await;
    let name = "apiserver_authentication_config_controller_automatic_reloads_total";
    assert_eq!(metric(&cluster, name).await, [format!("{name}{{status=\"failure\"}} 1")]);
}
