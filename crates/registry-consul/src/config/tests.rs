mod waiting;

use serde_json::{Value, json};

use crate::acl::{AclConfig, DefaultPolicy};
use crate::space::testing::{ask, settle, state};

#[tokio::test(start_paused = true)]
async fn entries_are_kept_shown_listed_and_deleted() {
    let state = state(AclConfig::default()).await;
    let put = async |body: Value| ask(&state, "PUT", "/v1/config", "", body.to_string()).await;
    assert_eq!(ask(&state, "GET", "/v1/config/service-defaults", "", "").await.text, "[]");
    let absent = ask(&state, "GET", "/v1/config/service-defaults/web", "", "").await;
    assert_eq!((absent.status, &*absent.text), (404, "Config entry not found for \"service-defaults\" / \"web\""));
    // Names of fields in any spelling, zeros, what answers say, and the one tenancy there is.
    let web = json!({"kind": "service-defaults", "name": "web", "protocol": "HTTP", "mesh_gateway": {"mode": "local"},
        "upstream_config": {"defaults": {"connect_timeout_ms": "5000", "protocol": "GRPC"},
            "overrides": {"name": "db", "connect_timeout_ms": -1}}, "ExternalSNI": "", "Namespace": "default",
        "CreateIndex": 7, "ModifyIndex": 9, "Meta": {"Some_Key": "v"}});
    assert_eq!(put(web.clone()).await.text, "true");
    let first = ask(&state, "GET", "/v1/config/service-defaults/web", "", "").await.json();
    let index = first["ModifyIndex"].as_u64().expect("an index");
    let expected = json!({"Kind": "service-defaults", "Name": "web", "Protocol": "http",
        "MeshGateway": {"Mode": "local"}, "TransparentProxy": {}, "Expose": {},
        "UpstreamConfig": {"Defaults": {"ConnectTimeoutMs": 5000, "Protocol": "grpc"}, "Overrides": [{"Name": "db"}]}, "Meta": {"Some_Key": "v"},
        "CreateIndex": index, "ModifyIndex": index});
    assert_eq!(first, expected);
    assert_eq!(put(web).await.text, "true");
    assert_eq!(ask(&state, "GET", "/v1/config/service-defaults/web", "", "").await.json(), expected, "nothing new");
    let resolver = json!({"Kind": "service-resolver", "Name": "web", "ConnectTimeout": "1500ms", "RequestTimeout": 0,
        "Subsets": {"v1": {"Filter": "Service.Meta.version == v1"}, "any": {}}, "DefaultSubset": "v1"});
    assert_eq!(put(resolver).await.text, "true");
    let resolver = ask(&state, "GET", "/v1/config/service-resolver/web", "", "").await.json();
    assert_eq!((&resolver["ConnectTimeout"], &resolver["RequestTimeout"]), (&json!("1.5s"), &Value::Null));
    assert_eq!(resolver["Subsets"], json!({"v1": {"Filter": "Service.Meta.version == v1"}, "any": {}}));
    let names = async |path: &str| {
        let list = ask(&state, "GET", path, "", "").await.json();
        let kind = |entry: &Value| format!("{}/{}", entry["Kind"], entry["Name"]).replace('"', "");
        list.as_array().expect("a list").iter().map(kind).collect::<Vec<_>>()
    };
    assert_eq!(names("/v1/config/service-resolver").await, ["service-resolver/web"]);
    assert_eq!(names("/v1/config/").await, ["service-defaults/web", "service-resolver/web"]);
    assert_eq!(names("/v1/config/mesh").await, Vec::<String>::new());
    for _ in 0..2 {
        assert_eq!(ask(&state, "DELETE", "/v1/config/service-resolver/web", "", "").await.text, "{}");
    }
    assert_eq!(names("/v1/config/service-resolver").await, Vec::<String>::new());
}

/// Consul's own clients read an answer straight into their types: a duration is a text only where these say so.
#[tokio::test(start_paused = true)]
async fn durations_are_shown_as_consuls_types_read_them() {
    let state = state(AclConfig::default()).await;
    let outliers = json!({"interval": "10s", "MaxFailures": 3, "base_ejection_time": 30_000_000_000_u64});
    let hash = json!({"Field": "cookie", "FieldValue": "c", "CookieConfig": {"TTL": "1h", "Path": "/"}});
    let entries = [
        json!({"Kind": "proxy-defaults", "Name": "global", "Config": {"protocol": "http"}}),
        json!({"Kind": "service-defaults", "Name": "web", "Protocol": "http", "UpstreamConfig": {
            "Defaults": {"PassiveHealthCheck": outliers},
            "Overrides": [{"Name": "db", "PassiveHealthCheck": {"Interval": 1}}]}}),
        json!({"Kind": "service-resolver", "Name": "web", "ConnectTimeout": 1_500_000_000, "RequestTimeout": "1m",
            "LoadBalancer": {"Policy": "maglev", "HashPolicies": [hash]}}),
        json!({"Kind": "service-router", "Name": "web",
            "Routes": [{"Match": {"HTTP": {"Methods": ["get"]}},
                "Destination": {"RequestTimeout": "90s", "IdleTimeout": 1_000_000}}]}),
    ];
    for entry in entries {
        let answer = ask(&state, "PUT", "/v1/config", "", entry.to_string()).await;
        assert_eq!(answer.text, "true", "{entry}");
    }
    for (path, pointer, expected) in [
        ("service-defaults/web", "/UpstreamConfig/Defaults/PassiveHealthCheck/Interval", json!(10_000_000_000_u64)),
        (
            "service-defaults/web",
            "/UpstreamConfig/Defaults/PassiveHealthCheck/BaseEjectionTime",
            json!(30_000_000_000_u64),
        ),
        ("service-defaults/web", "/UpstreamConfig/Overrides/0/PassiveHealthCheck/Interval", json!(1)),
        ("service-resolver/web", "/ConnectTimeout", json!("1.5s")),
        ("service-resolver/web", "/RequestTimeout", json!("1m0s")),
        ("service-resolver/web", "/LoadBalancer/HashPolicies/0/CookieConfig/TTL", json!(3_600_000_000_000_u64)),
        ("service-router/web", "/Routes/0/Destination/RequestTimeout", json!("1m30s")),
        ("service-router/web", "/Routes/0/Destination/IdleTimeout", json!("1ms")),
        ("service-router/web", "/Routes/0/Match/HTTP/Methods", json!(["GET"])),
    ] {
        let entry = ask(&state, "GET", &format!("/v1/config/{path}"), "", "").await.json();
        assert_eq!(entry.pointer(pointer), Some(&expected), "{path}: {entry}");
    }
}

#[tokio::test(start_paused = true)]
async fn zero_is_kept_where_it_differs_from_nothing() {
    let state = state(AclConfig::default()).await;
    let limits = json!({"MaxConnections": 0, "MaxPendingRequests": 0, "MaxConcurrentRequests": 0});
    let outliers = json!({"EnforcingConsecutive5xx": 0, "MaxEjectionPercent": 0, "BaseEjectionTime": 0,
        "Consecutive5xx": 0, "EnforcingConsecutiveGatewayFailure": 0, "ConsecutiveGatewayFailure": 0});
    let defaults = json!({"Limits": limits, "PassiveHealthCheck": outliers});
    let mut said = defaults.clone();
    said["ConnectTimeoutMs"] = 0.into();
    said["PassiveHealthCheck"]["Interval"] = "0s".into();
    said["PassiveHealthCheck"]["MaxFailures"] = 0.into();
    said["Limits"]["PassiveHealthCheck"] = Value::Null;
    let entry = json!({"Kind": "service-defaults", "Name": "web", "MaxInboundConnections": 0, "MaxRequestHeadersKB": 0,
        "UpstreamConfig": {"Defaults": said}});
    assert_eq!(ask(&state, "PUT", "/v1/config", "", entry.to_string()).await.text, "true");
    let shown = ask(&state, "GET", "/v1/config/service-defaults/web", "", "").await.json();
    assert_eq!(shown["UpstreamConfig"]["Defaults"], defaults);
    assert_eq!((&shown["MaxRequestHeadersKB"], &shown["MaxInboundConnections"]), (&json!(0), &Value::Null));
}

#[tokio::test(start_paused = true)]
async fn a_write_may_depend_on_the_index() {
    let state = state(AclConfig::default()).await;
    let body = |protocol: &str| json!({"Kind": "service-defaults", "Name": "web", "Protocol": protocol}).to_string();
    let put = async |cas: &str, protocol: &str| {
        ask(&state, "PUT", &format!("/v1/config?cas={cas}"), "", body(protocol)).await.text
    };
    assert_eq!(put("5", "tcp").await, "false");
    assert_eq!(put("0", "tcp").await, "true");
    assert_eq!(put("0", "http").await, "false");
    assert_eq!(put("0", "tcp").await, "true", "it is there already");
    let now = ask(&state, "GET", "/v1/config/service-defaults/web", "", "").await.json()["ModifyIndex"].to_string();
    assert_eq!(put(&now, "grpc").await, "true");
    assert_eq!(put(&now, "grpc").await, "true", "again, with the index of before");
    let delete =
        async |cas: &str| ask(&state, "DELETE", &format!("/v1/config/service-defaults/web?cas={cas}"), "", "").await;
    assert_eq!(delete(&now).await.text, "false");
    let now = ask(&state, "GET", "/v1/config/service-defaults/web", "", "").await.json()["ModifyIndex"].to_string();
    assert_eq!(delete(&now).await.text, "true");
    assert_eq!(delete("x").await.status, 500);
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_sense_is_refused_in_consuls_words() {
    let state = state(AclConfig::default()).await;
    let of = |kind: &str, rest: Value| {
        let mut body = json!({"Kind": kind, "Name": "web"});
        body.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
        body
    };
    let defaults = |rest| of("service-defaults", rest);
    let upstream = |rest: Value| defaults(json!({"UpstreamConfig": {"Defaults": rest}}));
    let overridden = |rest: Value| defaults(json!({"UpstreamConfig": {"Overrides": [rest]}}));
    let outliers = |rest: Value| upstream(json!({"PassiveHealthCheck": rest}));
    let resolver = |rest| of("service-resolver", rest);
    let hashed = |rest| resolver(json!({"LoadBalancer": {"Policy": "ring_hash", "HashPolicies": [rest]}}));
    let router = |rest: Value| of("service-router", json!({"Routes": [rest]}));
    let header = |rest: Value| router(json!({"Match": {"HTTP": {"Header": [rest]}}}));
    let cases = [
        (json!({"Name": "web"}), 400, "does not contain a kind/Kind key"),
        (json!({"Kind": 1}), 400, "Kind value in payload is not a string"),
        (of("nonsense", json!({})), 400, "invalid config entry kind: nonsense"),
        (of("ingress-gateway", json!({})), 500, "which are not served here"),
        (defaults(json!({"Protcol": "http"})), 400, "invalid config key \"Protcol\""),
        (defaults(json!({"MeshGateway": {"Mood": "x"}})), 400, "invalid config key \"MeshGateway.Mood\""),
        (defaults(json!({"Namespace": "other"})), 400, "invalid config key \"Namespace\""),
        (defaults(json!({"Protocol": {}})), 400, "'Protocol' expected a text"),
        (defaults(json!({"Protocol": "ftp"})), 500, "invalid value for protocol: ftp"),
        (defaults(json!({"Name": ""})), 500, "Name is required"),
        (defaults(json!({"Name": "*"})), 500, "not a wildcard"),
        (defaults(json!({"Destination": {"Addresses": ["a.example"]}})), 500, "Invalid Port number 0"),
        (defaults(json!({"Destination": {"Addresses": ["a", "a"], "Port": 1}})), 500, "Duplicate address 'a'"),
        (defaults(json!({"Meta": {"k": "v".repeat(513)}})), 500, "exceeds maximum length 512"),
        (overridden(json!({"Peer": "p"})), 500, "error in upstream override for :: Name is required"),
        (overridden(json!({"Name": "*"})), 500, "error in upstream override for *:: Wildcard name is not supported"),
        (
            overridden(json!({"Name": "db", "Limits": {"MaxConnections": -1}})),
            500,
            "error in upstream override for db:: 1 error occurred:\n\t* max connections cannot be negative\n\n",
        ),
        (upstream(json!({"Name": "db"})), 500, "error in upstream defaults: Name must be empty"),
        (upstream(json!({"Limits": {"MaxPendingRequests": -1}})), 500, "max pending requests cannot be negative"),
        (upstream(json!({"Limits": {"MaxConcurrentRequests": -1}})), 500, "max concurrent requests cannot be negative"),
        (outliers(json!({"Interval": "-1s"})), 500, "passive health check interval cannot be negative"),
        (outliers(json!({"BaseEjectionTime": -1})), 500, "passive health check base_ejection_time cannot be negative"),
        (outliers(json!({"EnforcingConsecutive5xx": 101})), 500, "enforcing_consecutive_5xx must be a percentage"),
        (outliers(json!({"MaxEjectionPercent": 101})), 500, "max_ejection_percent must be a percentage"),
        (outliers(json!({"MaxFailures": -1})), 400, "PassiveHealthCheck.MaxFailures', -1 overflows uint"),
        (outliers(json!({"MaxFailures": 4_294_967_296_u64})), 400, "4294967296 overflows uint"),
        (outliers(json!({"Interval": "10"})), 400, "missing unit in duration"),
        (
            upstream(json!({"BalanceOutboundConnections": "fair", "Limits": {"MaxConnections": -1}})),
            500,
            "error in upstream defaults: 2 errors occurred:\n\t* max connections cannot be negative\n\t\
             * invalid value for balance_outbound_connections: fair\n\n",
        ),
        (defaults(json!({"RateLimits": {"InstanceLevel": {"RequestsPerSecond": 1}}})), 500, "enterprise feature"),
        (of("proxy-defaults", json!({})), 500, "only \"global\" is supported"),
        (hashed(json!({"Field": "body"})), 500, "Bad LoadBalancer HashPolicy[0]: \"body\" is not a supported field"),
        (hashed(json!({"SourceIP": true, "Field": "cookie"})), 500, "both a source address and a \"cookie\""),
        (hashed(json!({"SourceIP": true, "FieldValue": "a"})), 500, "cannot be specified when hashing SourceIP"),
        (hashed(json!({"Field": "header"})), 500, "Field \"header\" was specified without a FieldValue"),
        (hashed(json!({"FieldValue": "a"})), 500, "FieldValue requires a Field to apply to"),
        (
            hashed(json!({"Field": "header", "FieldValue": "a", "CookieConfig": {"Path": "/"}})),
            500,
            "cookie_config provided for \"header\"",
        ),
        (
            hashed(json!({"Field": "cookie", "FieldValue": "a", "CookieConfig": {"Session": true, "TTL": "1s"}})),
            500,
            "a session cookie cannot have an associated TTL",
        ),
        (
            resolver(json!({"LoadBalancer": {"Policy": "random", "HashPolicies": [{"SourceIP": true}]}})),
            500,
            "HashPolicies specified for non-hash-based Policy: \"random\"",
        ),
        (
            resolver(json!({"LoadBalancer": {"Policy": "maglev", "RingHashConfig": {"MinimumRingSize": 1}}})),
            500,
            "RingHashConfig specified for incompatible load balancing policy \"maglev\"",
        ),
        (resolver(json!({"DefaultSubset": "v1"})), 500, "DefaultSubset \"v1\" is not a valid subset"),
        (resolver(json!({"Subsets": {"V1": {}}})), 500, "Subset \"V1\" is invalid"),
        (resolver(json!({"Subsets": {"a": {"Filter": "x =="}}})), 500, "is not a valid expression"),
        (resolver(json!({"ConnectTimeout": "fast"})), 400, "'ConnectTimeout' expected a duration"),
        (
            resolver(json!({"Redirect": {"Service": "b"}, "Failover": {"*": {"Service": "c"}}})),
            500,
            "Redirect and Failover cannot both be set",
        ),
        (resolver(json!({"Redirect": {"ServiceSubset": "v1"}})), 500, "defined without Redirect.Service"),
        (resolver(json!({"Failover": {"v9": {"Service": "b"}}})), 500, "Bad Failover[\"v9\"]: not a valid subset"),
        (resolver(json!({"Failover": {"*": {}}})), 500, "is required"),
        (
            resolver(json!({"Failover": {"*": {"Targets": [{"Peer": "p", "Datacenter": "d"}]}}})),
            500,
            "Targets[0]: Peer cannot be set with Datacenter",
        ),
        (resolver(json!({"LoadBalancer": {"Policy": "best"}})), 500, "\"best\" is not supported"),
        (router(json!({"Match": {"HTTP": {"PathExact": "a"}}})), 500, "PathExact doesn't start with '/'"),
        (router(json!({"Match": {"HTTP": {"PathExact": "/a", "PathRegex": "b"}}})), 500, "at most one of PathExact"),
        (header(json!({"Exact": "a"})), 500, "missing required Name field"),
        (header(json!({"Name": "a"})), 500, "should only contain one of Present, Exact"),
        (router(json!({"Match": {"HTTP": {"Methods": ["GOT"]}}})), 500, "invalid method \"GOT\""),
        (router(json!({"Destination": {"PrefixRewrite": "/"}})), 500, "cannot make use of PrefixRewrite"),
        (router(json!({"Destination": {"NumRetries": -1}})), 400, "-1 overflows uint"),
        (router(json!({"Destination": {"RetryOn": ["always"]}})), 500, "invalid retry condition"),
        (of("service-splitter", json!({})), 500, "no splits configured"),
        (of("service-splitter", json!({"Splits": [{"Weight": 99.5}]})), 500, "must be 100, not 99.5"),
        (
            of("service-splitter", json!({"Splits": [{"Weight": 50}, {"Weight": 50, "Service": "web"}]})),
            500,
            "occurs more than once",
        ),
        (of("service-splitter", json!({"Splits": [{"Weight": 100}]})), 500, "uses a protocol \"tcp\""),
    ];
    for (body, status, part) in cases {
        let answer = ask(&state, "PUT", "/v1/config", "", body.to_string()).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text);
        assert!(answer.text.contains(part), "{body}: {}", answer.text);
    }
    assert_eq!(ask(&state, "GET", "/v1/config/", "", "").await.text, "[]");
    for (method, path, status) in [
        ("GET", "/v1/config/nonsense", 500),
        ("GET", "/v1/config/nonsense/a", 500),
        ("DELETE", "/v1/config/nonsense/a", 400),
        ("DELETE", "/v1/config/service-defaults", 404),
        ("POST", "/v1/config", 405),
        ("PATCH", "/v1/config/service-defaults/web", 405),
    ] {
        assert_eq!(ask(&state, method, path, "", "").await.status, status, "{method} {path}");
    }
}

/// What a write (or, of a bare path, a deletion) after the others of its table is answered; `""` stands for success.
type Step = (Value, &'static str);

async fn check(steps: &[Step]) {
    let state = state(AclConfig::default()).await;
    for (step, words) in steps {
        let answer = match step.as_str() {
            Some(path) => ask(&state, "DELETE", &format!("/v1/config/{path}"), "", "").await,
            None => ask(&state, "PUT", "/v1/config", "", step.to_string()).await,
        };
        let status = if words.is_empty() { 200 } else { 500 };
        assert_eq!(answer.status, status, "{step}: {}", answer.text);
        assert!(answer.text.contains(words), "{step}: {}", answer.text);
    }
}

fn global(protocol: &str) -> Value {
    json!({"Kind": "proxy-defaults", "Name": "global", "Config": {"protocol": protocol}})
}

fn defaults(name: &str, protocol: &str) -> Value {
    json!({"Kind": "service-defaults", "Name": name, "Protocol": protocol})
}

fn resolver(name: &str, rest: Value) -> Value {
    let mut entry = rest;
    (entry["Kind"], entry["Name"]) = ("service-resolver".into(), name.into());
    entry
}

fn splitter(name: &str, to: &[&str]) -> Value {
    let weight = |at| if at == 0 { 100 - 10 * (to.len() - 1) } else { 10 };
    let split = |(at, service): (usize, &&str)| json!({"Weight": weight(at), "Service": service});
    json!({"Kind": "service-splitter", "Name": name, "Splits": to.iter().enumerate().map(split).collect::<Vec<_>>()})
}

fn router(name: &str, to: &str) -> Value {
    let route = json!({"Match": {"HTTP": {"PathPrefix": "/a"}}, "Destination": {"Service": to}});
    json!({"Kind": "service-router", "Name": name, "Routes": [route]})
}

#[tokio::test(start_paused = true)]
async fn routes_and_shares_need_a_protocol_of_requests_and_keep_it() {
    const NOT_SO: &str = "uses a protocol \"tcp\" that does not permit advanced routing or splitting behavior";
    // The protocol of all, which need not be named.
    check(&[
        (json!({"Kind": "proxy-defaults"}), ""),
        (splitter("web", &["web"]), NOT_SO),
        (global("HTTP"), ""),
        (splitter("web", &["web"]), ""),
        (global("grpc"), ""),
        (global("tcp"), "discovery chain \"web\" uses a protocol \"tcp\""),
        ("proxy-defaults/global".into(), NOT_SO),
        (defaults("api", "tcp"), ""),
        (router("api", "api"), "discovery chain \"api\" uses a protocol \"tcp\""),
        ("service-splitter/web".into(), ""),
        ("proxy-defaults/global".into(), ""),
    ])
    .await;
    // That of the service, which hides that of all.
    check(&[
        (defaults("web", "http"), ""),
        (router("web", ""), ""),
        (defaults("web", "tcp"), NOT_SO),
        (defaults("web", ""), NOT_SO),
        ("service-defaults/web".into(), NOT_SO),
        (defaults("web", "http2"), ""),
        (global("http"), ""),
        ("service-defaults/web".into(), ""),
        (defaults("web", ""), NOT_SO),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_service_leads_to_fits_to_it() {
    const OTHER: &str =
        "discovery chain \"web\" uses inconsistent protocols; service \"api\" has \"tcp\" which is not \"http\"";
    check(&[
        (defaults("web", "http"), ""),
        (router("web", "api"), OTHER),
        (defaults("api", "http"), ""),
        (router("web", "api"), ""),
        (defaults("api", "tcp"), OTHER),
        ("service-defaults/api".into(), OTHER),
        (splitter("api", &["web", "old"]), "service \"old\" has \"tcp\" which is not \"http\""),
        (splitter("api", &["web", "api"]), ""),
        (
            splitter("web", &["api", "web"]),
            "detected circular reference: [splitter:api.default.default -> \
            splitter:web.default.default -> splitter:api.default.default]",
        ),
    ])
    .await;
    check(&[
        (resolver("a", json!({"Redirect": {"Service": "b"}})), ""),
        (resolver("b", json!({"Redirect": {"Service": "c"}})), ""),
        (defaults("c", "http"), "discovery chain \"b\" uses inconsistent protocols; service \"c\" has \"http\""),
        (
            resolver("c", json!({"Redirect": {"Service": "a"}})),
            "detected circular resolver redirect: [\
            b.default.default.dc1 -> c.default.default.dc1 -> a.default.default.dc1 -> b.default.default.dc1]",
        ),
        (resolver("d", json!({"Failover": {"*": {"Service": "e"}}})), ""),
        (defaults("e", "grpc"), "discovery chain \"d\" uses inconsistent protocols"),
        (resolver("d", json!({"Failover": {"*": {"Targets": [{"Service": "e"}, {"Service": "e", "Peer": "p"}]}}})), ""),
        (resolver("d", json!({"Failover": {"*": {"Datacenters": ["dc2"]}}})), ""),
        (defaults("e", "grpc"), ""),
        (resolver("f", json!({"Redirect": {"Service": "a", "ServiceSubset": "v2"}})), ""),
        (
            resolver("g", json!({"Redirect": {"Service": "c", "ServiceSubset": "v2"}})),
            "service \"c\" does not have a subset named \"v2\"",
        ),
        (resolver("c", json!({"Subsets": {"v2": {}}, "DefaultSubset": "v2"})), ""),
        (resolver("g", json!({"Redirect": {"Service": "c", "ServiceSubset": "v2"}})), ""),
        (resolver("c", json!({"Subsets": {"v3": {}}})), "service \"c\" does not have a subset named \"v2\""),
        ("service-resolver/c".into(), "service \"c\" does not have a subset named \"v2\""),
        (
            json!({"Kind": "service-defaults", "Name": "c", "ExternalSNI": "c.example"}),
            "service \"c\" has an external SNI set; cannot define subsets for external services",
        ),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn entries_are_written_and_seen_by_the_rights_to_their_service() {
    const ROOT: &str = "8fc9e787-0000-0000-0000-000000000001";
    let default_policy = DefaultPolicy::Deny;
    let config = AclConfig { enabled: true, default_policy, initial_management: Some(ROOT.into()) };
    let state = state(config).await;
    let rules = "service \"web\" { policy = \"write\" }";
    ask(&state, "PUT", "/v1/acl/policy", ROOT, json!({"Name": "web", "Rules": rules}).to_string()).await;
    let token = json!({"Policies": [{"Name": "web"}]}).to_string();
    let token = ask(&state, "PUT", "/v1/acl/token", ROOT, token).await.json();
    let secret = token["SecretID"].as_str().expect("shown once").to_owned();
    settle().await;
    let defaults = |name: &str| json!({"Kind": "service-defaults", "Name": name}).to_string();
    let global = json!({"Kind": "proxy-defaults", "Name": "global"}).to_string();
    let cases = [
        ("PUT", "/v1/config", &*secret, defaults("web"), 200),
        ("PUT", "/v1/config", &secret, defaults("api"), 403),
        ("PUT", "/v1/config", &secret, global.clone(), 403),
        ("PUT", "/v1/config", "", defaults("web"), 403),
        ("PUT", "/v1/config", ROOT, defaults("api"), 200),
        ("PUT", "/v1/config", ROOT, global, 200),
        ("GET", "/v1/config/service-defaults/web", &secret, String::new(), 200),
        ("GET", "/v1/config/service-defaults/api", &secret, String::new(), 403),
        ("GET", "/v1/config/proxy-defaults/global", "", String::new(), 200),
        ("DELETE", "/v1/config/service-defaults/api", &secret, String::new(), 403),
    ];
    for (method, path, token, body, status) in cases {
        let answer = ask(&state, method, path, token, body.clone()).await;
        assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.text);
    }
    let seen = ask(&state, "GET", "/v1/config/service-defaults", &secret, "").await;
    assert_eq!(seen.json().as_array().map(Vec::len), Some(1));
    assert!(seen.headers.contains_key("x-consul-results-filtered-by-acls"));
}
