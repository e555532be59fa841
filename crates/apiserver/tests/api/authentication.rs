//! Tokens of all kinds, proxies and impersonation.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http_body_util::BodyExt;
use portolan_apiserver::authentication::{
    Anonymous, Authentication, ClaimMapping, FrontProxy, JwtIssuer, StaticTokens, TokenWebhook,
};
use portolan_apiserver::{Access, Endpoint, Peer, ServiceAccounts};
use portolan_identity::{Authority, LegacyClaims, Request as CertificateRequest, TokenIssuer, Usage};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};

use crate::support::{Cluster, admin, cluster, cluster_with, request, web_server};

const WHOAMI: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

fn access(authentication: Authentication) -> Access {
    Access { authentication, ..Access::default() }
}

fn network() -> Peer {
    Peer::tls(&[], ([127, 0, 0, 1], 50000).into())
}

/// `user [groups]`, or the code and text of the refusal.
async fn whoami(cluster: &Cluster, peer: Peer, headers: &[(&'static str, &str)]) -> String {
    let mut request = request("POST", WHOAMI, "application/json", "{}");
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().expect("a header"));
    }
    let response = cluster.server.handle(request, peer).await;
    let code = response.status();
    let body = response.into_body().collect().await.expect("arrives").to_bytes();
    let answer: Value = serde_json::from_slice(&body).expect("JSON");
    if code != 201 {
        return format!("{} {}", code.as_u16(), answer["message"].as_str().unwrap_or_default());
    }
    let user = &answer["status"]["userInfo"];
    let groups: Vec<&str> = user["groups"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut text = format!("{} [{}]", user["username"].as_str().unwrap_or_default(), groups.join(" "));
    if let Some(uid) = user["uid"].as_str() {
        text = format!("{text} {uid}");
    }
    if let Some(extra) = user["extra"].as_object().filter(|extra| !extra.keys().any(|key| key.contains("credential"))) {
        text = format!("{text} {}", Value::from(extra.clone()));
    }
    text
}

/// Why a TokenReview says that a token is none.
async fn refusal(cluster: &Cluster, token: &str) -> String {
    let review = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token},
    });
    let answer = cluster.create("/apis/authentication.k8s.io/v1/tokenreviews", review).await;
    answer.body["status"]["error"].as_str().unwrap_or_default().to_owned()
}

async fn with_token(cluster: &Cluster, token: &str) -> String {
    whoami(cluster, network(), &[("authorization", &format!("Bearer {token}"))]).await
}

#[tokio::test]
async fn without_credentials_one_is_anonymous_where_that_is_allowed() {
    let forbidden = "403 selfsubjectreviews.authentication.k8s.io is forbidden: User \"system:anonymous\" cannot create \
                     resource \"selfsubjectreviews\" in API group \"authentication.k8s.io\" at the cluster scope";
    for (anonymous, answer, health) in [
        (Anonymous::Allowed, forbidden, 200),
        (Anonymous::AllowedAt(vec!["/livez".into()]), "401 Unauthorized", 200),
        (Anonymous::Refused, "401 Unauthorized", 401),
    ] {
        let cluster = cluster_with(access(Authentication { anonymous, ..Authentication::default() })).await;
        assert_eq!(whoami(&cluster, network(), &[]).await, answer);
        let livez = cluster.server.handle(request("GET", "/livez", "", ""), network()).await;
        assert_eq!(livez.status(), health);
    }
}

#[tokio::test]
async fn static_and_bootstrap_tokens_name_their_user() {
    let static_tokens = StaticTokens::parse("t0ken,ann,42,\"dev,ops\"").expect("reads");
    let settings = Authentication { static_tokens, bootstrap_tokens: true, ..Authentication::default() };
    let cluster = cluster_with(access(settings)).await;
    assert_eq!(with_token(&cluster, "t0ken").await, "ann [dev ops system:authenticated] 42");
    assert_eq!(with_token(&cluster, "other").await, "401 Unauthorized");
    let secret = json!({
        "metadata": {"name": "bootstrap-token-abcdef"}, "type": "bootstrap.kubernetes.io/token",
        "stringData": {
            "token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true",
            "auth-extra-groups": "system:bootstrappers:rack1", "expiration": "2026-01-03T00:00:00Z",
        },
    });
    let made = cluster.create("/api/v1/namespaces/kube-system/secrets", secret).await;
    assert_eq!(made.code, 201, "{made:?}");
    let token = "abcdef.0123456789abcdef";
    let named = "system:bootstrap:abcdef [system:bootstrappers system:bootstrappers:rack1 system:authenticated]";
    assert_eq!(with_token(&cluster, token).await, named);
    assert_eq!(with_token(&cluster, "abcdef.0123456789abcdee").await, "401 Unauthorized");
    cluster.clock.advance(Duration::from_secs(24 * 3600));
    assert_eq!(with_token(&cluster, token).await, "401 Unauthorized");
}

#[tokio::test]
async fn a_token_of_the_old_kind_holds_while_its_secret_has_it() {
    let cluster = cluster().await;
    let account = cluster.get("/api/v1/namespaces/default/serviceaccounts/default").await;
    let claims = LegacyClaims {
        namespace: "default".into(),
        secret: "old".into(),
        service_account: "default".into(),
        uid: account.body["metadata"]["uid"].as_str().expect("a uid").into(),
    };
    let token = cluster.tokens.sign_legacy(&claims).expect("signs");
    assert_eq!(with_token(&cluster, &token).await, "401 Unauthorized");
    let secret = json!({
        "metadata": {"name": "old", "annotations": {"kubernetes.io/service-account.name": "default"}},
        "type": "kubernetes.io/service-account-token", "data": {"token": STANDARD.encode(&token)},
    });
    let made = cluster.create("/api/v1/namespaces/default/secrets", secret).await;
    assert_eq!(made.code, 201, "{made:?}");
    let named = with_token(&cluster, &token).await;
    assert!(named.starts_with("system:serviceaccount:default:default [system:serviceaccounts"), "{named}");
    // Its use is noted, and since when uses are.
    let uri = "/api/v1/namespaces/default/secrets/old";
    let labels = cluster.get(uri).await.body["metadata"]["labels"].clone();
    assert_eq!(labels, json!({"kubernetes.io/legacy-token-last-used": "2026-01-02"}));
    let since = "/api/v1/namespaces/kube-system/configmaps/kube-apiserver-legacy-service-account-token-tracking";
    assert_eq!(cluster.get(since).await.body["data"], json!({"since": "2026-01-02"}));
    let version = |answer: crate::support::Answer| answer.revision();
    let before = version(cluster.get(uri).await);
    with_token(&cluster, &token).await;
    assert_eq!(version(cluster.get(uri).await), before, "once a day");
    cluster.clock.advance(Duration::from_secs(2 * 24 * 3600));
    let invalid =
        json!({"metadata": {"labels": {"kubernetes.io/legacy-token-invalid-since": "2026-01-03"}}}).to_string();
    cluster.ask("PATCH", uri, "application/merge-patch+json", &invalid).await;
    assert_eq!(with_token(&cluster, &token).await, "401 Unauthorized");
    let labels = cluster.get(uri).await.body["metadata"]["labels"].clone();
    assert_eq!(labels["kubernetes.io/legacy-token-last-used"], "2026-01-04");
    let valid = json!({"metadata": {"labels": {"kubernetes.io/legacy-token-invalid-since": null}}}).to_string();
    cluster.ask("PATCH", uri, "application/merge-patch+json", &valid).await;
    assert!(with_token(&cluster, &token).await.starts_with("system:serviceaccount:default:default "));
    // Something may hold a Secret that is deleted, but not the token in it.
    let held = json!({"metadata": {"finalizers": ["example.com/hold"]}}).to_string();
    cluster.ask("PATCH", uri, "application/merge-patch+json", &held).await;
    cluster.delete(uri, json!({})).await;
    assert_eq!(cluster.get(uri).await.code, 200);
    assert_eq!(with_token(&cluster, &token).await, "401 Unauthorized");
}

#[tokio::test]
async fn tokens_of_an_issuer_are_checked_against_its_published_keys() {
    let folder = tempfile::tempdir().expect("a folder");
    let web = web_server(|_, _| (404, String::new())).await;
    let issuer = TokenIssuer::load_or_create(folder.path(), &web.url).expect("an issuer");
    let (keys, url) = (issuer.jwks().to_string(), web.url.clone());
    let asked = web.answer(move |path, _| match path {
        "/.well-known/openid-configuration" => {
            (200, json!({"issuer": url, "jwks_uri": format!("{url}/keys")}).to_string())
        }
        "/keys" => (200, keys.clone()),
        _ => (404, String::new()),
    });
    let settings = JwtIssuer {
        url: web.url.clone(),
        audiences: vec!["portolan".into()],
        algorithms: vec!["ES256".into()],
        username: ClaimMapping { claim: "sub".into(), prefix: "oidc:".into() },
        ..JwtIssuer::default()
    };
    let settings = Authentication { issuers: vec![settings], ..Authentication::default() };
    let cluster = cluster_with(access(settings)).await;
    let now = portolan_base::Clock::now(&*cluster.clock);
    let token = |audience: &str| {
        let account = portolan_identity::BoundObject { name: "sam".into(), uid: "1".into() };
        let claims = portolan_identity::Claims {
            namespace: "n".into(),
            service_account: account,
            pod: None,
            node: None,
            secret: None,
            audiences: vec![audience.into()],
            issued_at: now,
            expires_at: now + Duration::from_secs(60),
            warn_after: None,
            id: "x".into(),
        };
        issuer.sign(&claims).expect("signs")
    };
    let good = token("portolan");
    assert_eq!(with_token(&cluster, &good).await, "oidc:system:serviceaccount:n:sam [system:authenticated]");
    assert_eq!(with_token(&cluster, &good).await, "oidc:system:serviceaccount:n:sam [system:authenticated]");
    assert_eq!(asked.count(), 2, "the keys are fetched once");
    assert_eq!(with_token(&cluster, &token("else")).await, "401 Unauthorized");
    assert_eq!(
        refusal(&cluster, &token("else")).await,
        "[invalid bearer token, oidc: verify token: oidc: expected audience \"portolan\" got [\"else\"]]"
    );
    // Another first byte of the signature: the last one has bits that do not count.
    let (signed, signature) = good.rsplit_once('.').expect("a signature");
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    let forged = format!("{signed}.{other}{}", &signature[1..]);
    assert_eq!(with_token(&cluster, &forged).await, "401 Unauthorized");
    let why =
        "[invalid bearer token, oidc: verify token: failed to verify signature: failed to verify id token signature]";
    assert_eq!(refusal(&cluster, &forged).await, why);
    let (_, claims) = signed.split_once('.').expect("a header");
    let unsigned = URL_SAFE_NO_PAD.encode(json!({"alg": "none"}).to_string());
    assert_eq!(
        refusal(&cluster, &format!("{unsigned}.{claims}.")).await,
        "[invalid bearer token, oidc: verify token: oidc: id token signed with unsupported algorithm, expected \
         [\"ES256\"] got \"none\"]"
    );
    assert_eq!(refusal(&cluster, "what.is.this").await, "invalid bearer token");
    cluster.clock.advance(Duration::from_secs(61));
    assert_eq!(with_token(&cluster, &good).await, "401 Unauthorized");
    let why = refusal(&cluster, &good).await;
    assert!(
        why.starts_with("[invalid bearer token, oidc: verify token: oidc: token is expired (Token Expiry: 20"),
        "{why}"
    );
}

#[tokio::test]
async fn another_service_may_know_tokens() {
    let web = web_server(|_, body| {
        let review: Value = serde_json::from_str(body).expect("JSON");
        let status = match review["spec"]["token"].as_str() {
            Some("known") => json!({"authenticated": true, "user": {"username": "bob", "groups": ["dev"], "uid": "7"}}),
            _ => json!({"authenticated": false}),
        };
        (200, json!({"apiVersion": review["apiVersion"], "kind": "TokenReview", "status": status}).to_string())
    })
    .await;
    let endpoint = Endpoint { url: format!("{}/review", web.url), ..Endpoint::default() };
    let webhook = TokenWebhook { endpoint, version: "v1".into(), cache_for: Duration::from_secs(120) };
    let cluster = cluster_with(access(Authentication { webhook: Some(webhook), ..Authentication::default() })).await;
    for _ in 0..3 {
        assert_eq!(with_token(&cluster, "known").await, "bob [dev system:authenticated] 7");
        assert_eq!(with_token(&cluster, "unknown").await, "401 Unauthorized");
    }
    assert_eq!(web.count(), 2, "answers are remembered");
    cluster.clock.advance(Duration::from_secs(121));
    assert_eq!(with_token(&cluster, "known").await, "bob [dev system:authenticated] 7");
    assert_eq!(web.count(), 3);
}

#[tokio::test]
async fn a_service_that_stumbles_is_asked_again() {
    let answers = std::sync::atomic::AtomicUsize::new(0);
    let web = web_server(move |_, _| match answers.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
        // Not ready yet, then it is, then it refuses.
        0 => (500, String::new()),
        1 => (200, json!({"status": {"authenticated": true, "user": {"username": "bob"}}}).to_string()),
        _ => (503, String::new()),
    })
    .await;
    let endpoint = Endpoint { url: web.url.clone(), ..Endpoint::default() };
    let webhook = TokenWebhook { endpoint, version: "v1".into(), cache_for: Duration::from_secs(120) };
    let cluster = cluster_with(access(Authentication { webhook: Some(webhook), ..Authentication::default() })).await;
    assert_eq!(with_token(&cluster, "known").await, "bob [system:authenticated]");
    assert_eq!(web.count(), 2);
    assert_eq!(with_token(&cluster, "other").await, "401 Unauthorized");
    assert_eq!(web.count(), 3, "a service that says it is not there is not asked again");
}

#[tokio::test]
async fn a_trusted_proxy_says_for_whom_it_asks() {
    let folder = tempfile::tempdir().expect("a folder");
    let proxies = Authority::load_or_create(folder.path(), "proxies").expect("an authority");
    let list = |text: &str| vec![text.to_owned()];
    let front_proxy = FrontProxy {
        authority_pem: proxies.certificate_pem().into(),
        allowed_names: list("front"),
        username_headers: list("X-Remote-User"),
        uid_headers: list("X-Remote-Uid"),
        group_headers: list("X-Remote-Group"),
        extra_header_prefixes: list("X-Remote-Extra-"),
    };
    let settings = Authentication { front_proxy: Some(front_proxy), ..Authentication::default() };
    let cluster = cluster_with(access(settings)).await;
    cluster.today();
    let headers = [
        ("x-remote-user", "ann"),
        ("x-remote-group", "dev"),
        ("x-remote-group", "ops"),
        ("x-remote-uid", "9"),
        ("x-remote-extra-scopes", "a"),
    ];
    let address = ([127, 0, 0, 1], 50000).into();
    for (chain, expected) in [
        (vec![certificate(&proxies, "front")], "ann [dev ops system:authenticated] 9 {\"scopes\":[\"a\"]}"),
        // Not one of the allowed names: a certificate of that authority says nothing else.
        (vec![certificate(&proxies, "other")], "401 "),
        (vec![certificate(&cluster.authority, "front")], "front [system:authenticated]"),
        (vec![], "403 "),
    ] {
        let found = whoami(&cluster, Peer::tls(&chain, address), &headers).await;
        assert!(found.starts_with(expected), "{expected}: {found}");
    }
    // A proxy that names nobody is nobody.
    let silent = whoami(&cluster, Peer::tls(&[certificate(&proxies, "front")], address), &[]).await;
    assert_eq!(silent, "401 Unauthorized");
}

/// A client's certificate for an hour.
fn certificate(authority: &Authority, name: &str) -> CertificateDer<'static> {
    let wanted = CertificateRequest {
        common_name: name.into(),
        organizations: [None, None],
        dns_names: Vec::new(),
        addresses: Vec::new(),
        usage: Usage::Client,
        valid_for: Duration::from_secs(3600),
    };
    let pair = authority.issue(&wanted).expect("issues");
    CertificateDer::from_pem_slice(pair.certificate_pem.as_bytes()).expect("PEM")
}

#[tokio::test]
async fn certificates_count_while_they_last_and_of_known_authorities_alone() {
    let static_tokens = StaticTokens::parse("t0ken,ann,42").expect("reads");
    let cluster = cluster_with(access(Authentication { static_tokens, ..Authentication::default() })).await;
    let folder = tempfile::tempdir().expect("a folder");
    let strangers = Authority::load_or_create(folder.path(), "test").expect("an authority");
    let peer = |certificate: CertificateDer<'static>| Peer::tls(&[certificate], ([127, 0, 0, 1], 50000).into());
    let known = peer(certificate(&cluster.authority, "bob"));
    let foreign = peer(certificate(&strangers, "system:admin"));
    let token: &[(&'static str, &str)] = &[("authorization", "Bearer t0ken")];
    let (bob, ann) = ("bob [system:authenticated]", "ann [system:authenticated] 42");
    assert_eq!(whoami(&cluster, known.clone(), &[]).await, "401 Unauthorized", "not valid yet");
    cluster.today();
    assert_eq!(whoami(&cluster, known.clone(), &[]).await, bob);
    assert_eq!(whoami(&cluster, known.clone(), token).await, bob);
    assert_eq!(whoami(&cluster, foreign.clone(), &[]).await, "401 Unauthorized");
    assert_eq!(whoami(&cluster, foreign, token).await, ann);
    // Of the same connection.
    cluster.clock.advance(Duration::from_secs(3601));
    assert_eq!(whoami(&cluster, known.clone(), &[]).await, "401 Unauthorized");
    assert_eq!(whoami(&cluster, known, token).await, ann);
}

#[tokio::test]
async fn acting_as_somebody_else_needs_each_right() {
    let cluster = cluster().await;
    let whoami =
        async |headers: &[(&'static str, &str)]| whoami(&cluster, Peer::Trusted(admin().into()), headers).await;
    let cases: [(&[(&'static str, &str)], &str); 7] = [
        (&[("impersonate-user", "ann")], "ann [system:authenticated]"),
        (
            &[
                ("impersonate-user", "ann"),
                ("impersonate-group", "dev"),
                ("impersonate-uid", "1"),
                ("impersonate-extra-a%2fb", "c"),
            ],
            "ann [dev system:authenticated] 1 {\"a/b\":[\"c\"]}",
        ),
        (
            &[("impersonate-user", "system:serviceaccount:a:b")],
            "system:serviceaccount:a:b [system:serviceaccounts system:serviceaccounts:a system:authenticated]",
        ),
        (
            &[("impersonate-user", "system:serviceaccount:a:b"), ("impersonate-group", "x")],
            "system:serviceaccount:a:b [x system:authenticated]",
        ),
        (&[("impersonate-user", "system:anonymous")], "403 selfsubjectreviews"),
        (
            &[("impersonate-group", "dev")],
            "400 requested &user.DefaultInfo{Name:\"\", UID:\"\", Groups:[]string{\"dev\"}, ",
        ),
        (&[], "admin [system:masters system:authenticated]"),
    ];
    for (headers, expected) in cases {
        let found = whoami(headers).await;
        assert!(found.starts_with(expected), "{headers:?}: {found}");
    }
}

#[tokio::test]
async fn a_review_of_a_token_says_for_which_audiences_it_is_good() {
    let cluster = cluster().await;
    let ask = json!({"spec": {"audiences": ["vault", "other"]}});
    let answer = cluster.create("/api/v1/namespaces/default/serviceaccounts/default/token", ask).await;
    let token = answer.body["status"]["token"].as_str().expect("a token").to_owned();
    let review =
        async |spec: Value| cluster.create("/apis/authentication.k8s.io/v1/tokenreviews", json!({"spec": spec})).await;
    let good = review(json!({"token": token, "audiences": ["vault", "third"]})).await;
    assert_eq!(good.body["status"]["audiences"], json!(["vault"]), "{good:?}");
    let bad = review(json!({"token": token})).await;
    assert!(
        bad.body["status"]["error"].as_str().is_some_and(|text| text.starts_with("[invalid bearer token")),
        "{bad:?}"
    );
    assert_eq!(review(json!({})).await.text(), "400 token is required for TokenReview in authentication");
}

#[tokio::test]
async fn a_token_is_asked_for_by_the_account_of_the_url() {
    let cluster = cluster().await;
    let ask = async |metadata: Value| {
        let body = json!({"metadata": metadata, "spec": {}});
        cluster.create("/api/v1/namespaces/default/serviceaccounts/default/token", body).await.text()
    };
    assert_eq!(ask(json!({"name": "default", "namespace": "default"})).await, "201");
    assert_eq!(
        ask(json!({"name": "other"})).await,
        "422 TokenRequest.authentication.k8s.io \"default\" is invalid: metadata.name: Invalid value: \"other\": must \
         match the service account name if specified"
    );
    assert_eq!(
        ask(json!({"name": "other", "namespace": "other"})).await,
        "400 the namespace of the provided object does not match the namespace sent on the request"
    );
}

#[tokio::test]
async fn a_token_is_for_one_account_and_says_who_asked() {
    let cluster = cluster().await;
    let account = cluster.get("/api/v1/namespaces/default/serviceaccounts/default").await;
    let uid = &account.body["metadata"]["uid"];
    let path = "/api/v1/namespaces/default/serviceaccounts/default/token";
    let answer = cluster.create(&format!("{path}?fieldManager=me"), json!({"metadata": {"uid": uid}})).await;
    let metadata = &answer.body["metadata"];
    assert_eq!(
        (&metadata["name"], &metadata["namespace"], &metadata["uid"]),
        (&json!("default"), &json!("default"), uid)
    );
    let entry = &metadata["managedFields"][0];
    assert_eq!((&entry["manager"], &entry["subresource"]), (&json!("me"), &json!("token")));
    assert_eq!(entry["apiVersion"], "authentication.k8s.io/v1");
    assert_eq!(entry["fieldsV1"], json!({"f:spec": {"f:expirationSeconds": {}}}));
    let ask = async |body: Value| cluster.create(path, body).await.text();
    let bound = |reference: Value| json!({"spec": {"boundObjectRef": reference}});
    let cases = [
        (
            json!({"metadata": {"uid": "other"}}),
            format!(
                "409 Operation cannot be fulfilled on TokenRequest.authentication.k8s.io \"default\": the UID in the \
                 token request (other) does not match the UID of the service account ({})",
                uid.as_str().expect("a text")
            ),
        ),
        (
            json!({"spec": {"expirationSeconds": 5}}),
            "422 TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: 5: may not \
             specify a duration less than 10 minutes"
                .into(),
        ),
        (
            bound(json!({"kind": "Foo", "apiVersion": "v1"})),
            "400 cannot bind token to object of type /v1, Kind=Foo".into(),
        ),
        (
            bound(json!({"kind": "Pod", "apiVersion": "apps/v1"})),
            "400 cannot bind token to object of type apps/v1, Kind=Pod".into(),
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(ask(body.clone()).await, expected, "{body}");
    }
}

#[tokio::test]
async fn what_every_pod_gets_holds_longer_than_it_says() {
    let payload = |token: &str| -> Value {
        let part = token.split('.').nth(1).expect("a payload");
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).expect("base64");
        serde_json::from_slice(&bytes).expect("JSON")
    };
    for (extends, seconds, pod, lifetime) in [
        (true, 3607, true, 365 * 86_400),
        (true, 3600, true, 3600),
        (true, 3607, false, 3607),
        (false, 3607, true, 3607),
    ] {
        let service_accounts = ServiceAccounts { extends, ..ServiceAccounts::default() };
        let cluster = cluster_with(Access { service_accounts, ..Access::default() }).await;
        let made = cluster.create("/api/v1/namespaces/default/pods", crate::support::pod("p")).await;
        assert_eq!(made.code, 201, "{made:?}");
        let mut spec = json!({"expirationSeconds": seconds});
        if pod {
            spec["boundObjectRef"] = json!({"kind": "Pod", "apiVersion": "v1", "name": "p"});
        }
        let uri = "/api/v1/namespaces/default/serviceaccounts/default/token";
        let answer = cluster.create(uri, json!({"spec": spec})).await;
        assert_eq!(answer.code, 201, "{answer:?}");
        assert_eq!(answer.body["spec"]["expirationSeconds"], seconds);
        let claims = payload(answer.body["status"]["token"].as_str().expect("a token"));
        let issued = claims["iat"].as_i64().expect("a time");
        assert_eq!(claims["exp"], issued + lifetime, "{claims}");
        let warned = if lifetime > seconds { json!(issued + seconds) } else { Value::Null };
        assert_eq!(claims["kubernetes.io"]["warnafter"], warned, "{claims}");
    }
}
