use serde_json::json;

use super::{AclConfig, DefaultPolicy};
use crate::space::testing::{ask, settle, state};

const ROOT: &str = "8fc9e787-0000-0000-0000-000000000001";

fn config() -> AclConfig {
    AclConfig { enabled: true, default_policy: DefaultPolicy::Deny, initial_management: Some(ROOT.into()) }
}

#[tokio::test(start_paused = true)]
async fn tokens_may_do_what_their_policies_say_and_answers_leave_the_rest_out() {
    let state = state(config()).await;
    let policy = json!({"name": "app", "rules": "key_prefix \"app/\" { policy = \"write\" }"}).to_string();
    assert_eq!(ask(&state, "PUT", "/v1/acl/policy", "", policy.clone()).await.status, 403);
    assert_eq!(ask(&state, "PUT", "/v1/acl/policy", ROOT, policy.clone()).await.status, 200);
    let again = ask(&state, "PUT", "/v1/acl/policy", ROOT, policy).await;
    assert_eq!(again.text, "Invalid Policy: A Policy with Name \"app\" already exists");
    let token = json!({"Policies": [{"Name": "app"}], "Description": "d"}).to_string();
    let token = ask(&state, "PUT", "/v1/acl/token", ROOT, token).await.json();
    let secret = token["SecretID"].as_str().expect("shown once").to_owned();
    let accessor = token["AccessorID"].as_str().expect("an accessor").to_owned();
    settle().await;
    ask(&state, "PUT", "/v1/kv/other", ROOT, "1").await;
    let cases = [
        ("PUT", "/v1/kv/app/a".to_owned(), secret.as_str(), 200, "true"),
        ("PUT", "/v1/kv/other".into(), &secret, 403, "lacks permission 'key:write' on \"other\""),
        ("GET", "/v1/kv/other".into(), &secret, 403, "lacks permission 'key:read'"),
        ("GET", "/v1/kv/?keys".into(), &secret, 200, r#"["app/a"]"#),
        (
            "GET",
            "/v1/kv/app/a?raw".into(),
            "",
            403,
            "Permission denied: token with AccessorID '00000000-0000-0000-0000-000000000002'",
        ),
        ("GET", format!("/v1/kv/app/a?raw&token={secret}"), "", 200, "1"),
        ("GET", "/v1/kv/app/a".into(), "unknown", 403, "ACL not found"),
        ("GET", "/v1/acl/tokens".into(), &secret, 403, "lacks permission 'acl:read'"),
        ("GET", "/v1/acl/token/self".into(), &secret, 200, &secret),
        ("GET", format!("/v1/acl/token/{accessor}"), ROOT, 200, "<hidden>"),
        ("PUT", "/v1/acl/bootstrap".into(), "", 403, "ACL bootstrap no longer allowed"),
        ("DELETE", format!("/v1/acl/token/{accessor}"), ROOT, 200, "true"),
    ];
    for (method, target, token, status, part) in cases {
        let body = if target.starts_with("/v1/kv/") { "1" } else { "" };
        let answer = ask(&state, method, &target, token, body).await;
        assert_eq!(answer.status, status, "{method} {target}: {}", answer.text);
        assert!(answer.text.contains(part), "{method} {target}: {}", answer.text);
        let filtered = answer.headers.contains_key("x-consul-results-filtered-by-acls");
        assert_eq!(filtered, target.contains("?keys"), "{target}");
    }
    settle().await;
    // Rights that were worked out end with their token.
    assert_eq!(ask(&state, "GET", "/v1/kv/app/a", &secret, "").await.text, "ACL not found");
}

#[tokio::test(start_paused = true)]
async fn roles_identities_and_times_count() {
    let state = state(config()).await;
    let role = json!({"Name": "r", "ServiceIdentities": [{"ServiceName": "web"}]}).to_string();
    ask(&state, "PUT", "/v1/acl/role", ROOT, role).await.json();
    let token = json!({"Roles": [{"Name": "r"}], "ExpirationTTL": "10m"}).to_string();
    let token = ask(&state, "PUT", "/v1/acl/token", ROOT, token).await.json();
    let secret = token["SecretID"].as_str().expect("a secret").to_owned();
    let (_, authorizer) = state.acl.resolve(&state.space, &secret).await.expect("resolves");
    use super::Access;
    assert!(authorizer.allows(Access::ServiceWrite, "web") && authorizer.allows(Access::NodeRead, "n"));
    assert!(!authorizer.allows(Access::ServiceWrite, "db"));
    tokio::time::sleep(std::time::Duration::from_secs(600)).await;
    assert!(state.acl.resolve(&state.space, &secret).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_first_token_is_made_once_and_only_its_hash_is_stored() {
    let state = state(AclConfig { initial_management: None, ..config() }).await;
    let first = ask(&state, "PUT", "/v1/acl/bootstrap", "", "").await.json();
    let secret = first["SecretID"].as_str().expect("a secret").to_owned();
    assert_eq!(ask(&state, "PUT", "/v1/acl/bootstrap", "", "").await.status, 403);
    assert_eq!(ask(&state, "GET", "/v1/acl/tokens", &secret, "").await.status, 200);
    let (entries, _) = state.space.range(portolan_store::KeyRange::prefix("/consul/")).await.expect("read");
    for entry in entries {
        let stored = format!("{}{}", String::from_utf8_lossy(&entry.key), String::from_utf8_lossy(&entry.value));
        assert!(!stored.contains(&secret), "the secret is stored: {stored}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_access_control_everything_is_allowed_and_tokens_are_not_served() {
    let state = state(AclConfig::default()).await;
    assert_eq!(ask(&state, "PUT", "/v1/kv/a", "whatever", "1").await.text, "true");
    let answer = ask(&state, "GET", "/v1/acl/tokens", "", "").await;
    assert_eq!((answer.status, answer.text.as_str()), (401, "ACL support disabled"));
}
