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
async fn tokens_that_end_live_for_a_minute_to_a_day() {
    let state = state(config()).await;
    let cases = [
        ("1m", 200, "AccessorID"),
        ("24h", 200, "AccessorID"),
        ("59s", 400, "ExpirationTime cannot be less than 1m0s in the future (was 59s)"),
        ("25h", 400, "ExpirationTime cannot be more than 24h0m0s in the future (was 25h0m0s)"),
    ];
    for (ttl, status, words) in cases {
        let answer = ask(&state, "PUT", "/v1/acl/token", ROOT, json!({"ExpirationTTL": ttl}).to_string()).await;
        assert_eq!(answer.status, status, "{ttl}: {}", answer.text);
        assert!(answer.text.contains(words), "{ttl}: {}", answer.text);
    }
    let replication = ask(&state, "GET", "/v1/acl/replication", ROOT, "").await;
    assert!(replication.text.contains(r#""Enabled":false"#), "{}", replication.text);
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

/// A key, and a token that it signed until 2100: issuer `shop`, audience `portolan`, claim `team` `blue`.
const KEY: &str = include_str!("testdata/shop.pem");
const SIGNED: &str = include_str!("testdata/team-blue.jwt");

#[tokio::test(start_paused = true)]
async fn who_logs_in_gets_what_the_rules_bind_until_logging_out() {
    let state = state(config()).await;
    let method = |name: &str, issuer: &str, audience: &str| {
        let config = json!({"jwtvalidationpubkeys": [KEY], "BoundIssuer": issuer, "BoundAudiences": [audience],
            "ClaimMappings": {"team": "Team"}});
        json!({"Name": name, "Type": "jwt", "MaxTokenTTL": "10m", "Config": config}).to_string()
    };
    let rule = |method: &str, selector: &str, kind: &str, name: &str| {
        json!({"AuthMethod": method, "Selector": selector, "BindType": kind, "BindName": name}).to_string()
    };
    let rules = [
        ("shop", r#"value.Team == "blue""#, "service", "team-${value.Team}"),
        ("shop", r#"value.Team == "red""#, "service", "red"),
        ("shop", "", "role", "not-there"),
        ("unbound", r#"value.Team == "red""#, "service", "red"),
        ("vague", "", "service", "${value.Nothing}"),
    ];
    for (name, issuer, audience) in [
        ("shop", "shop", "portolan"),
        ("unbound", "shop", "portolan"),
        ("vague", "shop", "portolan"),
        ("issuer", "other", "portolan"),
        ("audience", "shop", "other"),
    ] {
        let answer = ask(&state, "PUT", "/v1/acl/auth-method", ROOT, method(name, issuer, audience)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    for (method, selector, kind, name) in rules {
        let answer = ask(&state, "PUT", "/v1/acl/binding-rule", ROOT, rule(method, selector, kind, name)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    let login = |method: &str, token: &str| json!({"AuthMethod": method, "BearerToken": token.trim()}).to_string();
    let refused = [
        ("nobody", SIGNED, "auth method \"nobody\" not found"),
        ("shop", "no token", "Permission denied: "),
        ("shop", &SIGNED[..SIGNED.len() - 9], "no key of the issuer verifies the token"),
        ("unbound", SIGNED, "no binding rule of the auth method is about this login"),
        ("vague", SIGNED, "names what the login does not say"),
        ("issuer", SIGNED, "the token has another issuer"),
        ("audience", SIGNED, "the token is for another audience"),
    ];
    for (method, token, part) in refused {
        let answer = ask(&state, "POST", "/v1/acl/login", "", login(method, token)).await;
        assert_eq!(answer.status, 403, "{method}: {}", answer.text);
        assert!(answer.text.contains(part), "{method}: {}", answer.text);
    }
    let bad = [
        ("/v1/acl/auth-method", json!({"Name": "a", "Type": "oidc"}).to_string(), "Type should be one of"),
        ("/v1/acl/auth-method", json!({"Name": "a", "Type": "kubernetes"}).to_string(), "Config.Host is required"),
        ("/v1/acl/auth-method", method("shop", "", ""), "already exists"),
        ("/v1/acl/binding-rule", rule("shop", "nothing == 1", "service", "a"), "invalid Selector"),
        ("/v1/acl/binding-rule", rule("shop", "", "service", "${a"), "invalid BindName"),
        ("/v1/acl/binding-rule", rule("nobody", "", "service", "a"), "no auth method has the name"),
    ];
    for (path, body, part) in bad {
        let answer = ask(&state, "PUT", path, ROOT, body).await;
        assert!(answer.status == 400 && answer.text.contains(part), "{}: {}", answer.status, answer.text);
    }
    let token = ask(&state, "POST", "/v1/acl/login", "", login("shop", SIGNED)).await.json();
    assert_eq!(token["ServiceIdentities"], json!([{"ServiceName": "team-blue"}]));
    assert_eq!((&token["Local"], &token["AuthMethod"]), (&json!(true), &json!("shop")));
    assert!(token["ExpirationTime"].is_string(), "{token}");
    let secret = token["SecretID"].as_str().expect("a secret").to_owned();
    let (_, authorizer) = state.acl.resolve(&state.space, &secret).await.expect("resolves");
    use super::Access;
    assert!(authorizer.allows(Access::ServiceWrite, "team-blue") && !authorizer.allows(Access::ServiceWrite, "red"));
    assert_eq!(ask(&state, "POST", "/v1/acl/logout", ROOT, "").await.status, 403);
    assert_eq!(ask(&state, "POST", "/v1/acl/logout", &secret, "").await.text, "true");
    settle().await;
    assert_eq!(ask(&state, "GET", "/v1/acl/token/self", &secret, "").await.status, 403);
    // A method takes its rules and tokens along.
    let kept = ask(&state, "POST", "/v1/acl/login", "", login("shop", SIGNED)).await.json();
    assert_eq!(ask(&state, "DELETE", "/v1/acl/auth-method/shop", ROOT, "").await.text, "true");
    settle().await;
    let secret = kept["SecretID"].as_str().expect("a secret");
    assert_eq!(ask(&state, "GET", "/v1/acl/token/self", secret, "").await.status, 403);
    assert_eq!(ask(&state, "GET", "/v1/acl/binding-rules?authmethod=shop", ROOT, "").await.text, "[]");
}
