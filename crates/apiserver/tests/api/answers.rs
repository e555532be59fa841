//! What answers carry besides the object: tables of scales, warnings, names of requests, figures.

use portolan_base::readiness::State;
use serde_json::{Value, json};

use crate::support::{Answer, Cluster, admin, cluster, request};
use crate::watches::Watch;

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const SERVICES: &str = "/api/v1/namespaces/default/services";
const TABLE: &str = "application/json;as=Table;g=meta.k8s.io;v=v1";
const MERGE: &str = "application/merge-patch+json";

fn deployment(ports: Value) -> Value {
    json!({"metadata": {"name": "d"}, "spec": {
        "replicas": 3, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [
            {"name": "c", "image": "x", "ports": ports},
        ]}},
    }})
}

async fn as_table(cluster: &Cluster, method: &str, uri: &str, body: &str) -> Value {
    let mut request = request(method, uri, "application/json", body);
    request.headers_mut().insert("accept", TABLE.parse().expect("a header"));
    let answer = cluster.send(admin(), request).await;
    assert_eq!(answer.code, 200, "{answer:?}");
    answer.body
}

#[tokio::test]
async fn a_scale_is_shown_as_a_row() {
    let cluster = cluster().await;
    assert_eq!(cluster.create(DEPLOYMENTS, deployment(json!([]))).await.code, 201);
    let scale = format!("{DEPLOYMENTS}/d/scale");
    let table = as_table(&cluster, "GET", &scale, "").await;
    let names: Vec<&str> =
        table["columnDefinitions"].as_array().expect("columns").iter().filter_map(|it| it["name"].as_str()).collect();
    assert_eq!(names, ["Name", "Desired", "Available", "Age"]);
    assert_eq!((&table["kind"], &table["rows"][0]["cells"]), (&json!("Table"), &json!(["d", 3, 0, "0s"])));
    assert_eq!(table["rows"][0]["object"]["metadata"]["name"], "d");
    let whole = as_table(&cluster, "GET", &format!("{scale}?includeObject=Object"), "").await;
    assert_eq!(whole["rows"][0]["object"]["kind"], "Scale");
    let mut wanted = cluster.get(&scale).await.body;
    wanted["spec"]["replicas"] = 5.into();
    let put = as_table(&cluster, "PUT", &scale, &wanted.to_string()).await;
    assert_eq!(put["rows"][0]["cells"], json!(["d", 5, 0, "0s"]));
    let status = as_table(&cluster, "GET", &format!("{DEPLOYMENTS}/d/status"), "").await;
    assert_eq!(status["rows"][0]["cells"][0], "d");

    let definition = json!({"metadata": {"name": "things.e.io"}, "spec": {
        "group": "e.io", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
        "versions": [{"name": "v1", "served": true, "storage": true,
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            "subresources": {"scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}},
        }],
    }});
    let made = cluster.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition).await;
    assert_eq!(made.code, 201, "{made:?}");
    let things = "/apis/e.io/v1/namespaces/default/things";
    let thing = json!({"apiVersion": "e.io/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": {"size": 2}});
    let made = cluster.create(things, thing).await;
    assert_eq!(made.code, 201, "{made:?}");
    let table = as_table(&cluster, "GET", &format!("{things}/t/scale"), "").await;
    assert_eq!(table["rows"][0]["cells"], json!(["t", 2, 0, "0s"]));
}

fn warnings(answer: &crate::support::Answer) -> Vec<String> {
    let all = answer.headers.get_all("warning").iter();
    all.map(|value| value.to_str().expect("text").to_owned()).collect()
}

#[tokio::test]
async fn a_workload_is_warned_of_when_it_is_made_and_when_it_changes() {
    let cluster = cluster().await;
    let twice = json!([{"containerPort": 80}, {"containerPort": 80}]);
    let expected = [
        "299 - \"spec.template.spec.containers[0].ports[1]: duplicate port definition with spec.template.spec.containers[0].ports[0]\"",
    ];
    let made = cluster.create(DEPLOYMENTS, deployment(twice)).await;
    assert_eq!((made.code.as_u16(), warnings(&made)), (201, expected.map(str::to_owned).to_vec()));
    let path = format!("{DEPLOYMENTS}/d");
    for (path, patch, is_warned) in [
        (path.clone(), json!({"metadata": {"labels": {"x": "y"}}}), false),
        (format!("{path}/status"), json!({"status": {"replicas": 1}}), false),
        (path.clone(), json!({"spec": {"replicas": 4}}), true),
    ] {
        let changed = cluster.ask("PATCH", &path, MERGE, &patch.to_string()).await;
        assert_eq!(changed.code, 200, "{changed:?}");
        assert_eq!(!warnings(&changed).is_empty(), is_warned, "{patch}");
    }
}

#[tokio::test]
async fn what_was_stored_before_a_check_came_can_still_be_changed() {
    let cluster = cluster().await;
    cluster.put_slice("default", "old", "s", 80).await;
    let path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/old";
    let labelled = cluster.ask("PATCH", path, MERGE, r#"{"metadata": {"labels": {"a": "b"}}}"#).await;
    assert_eq!(labelled.text(), "200");
    let moved = json!({"endpoints": [{"addresses": ["10.0.0.1"]}, {"addresses": ["127.0.0.2"]}]}).to_string();
    assert_eq!(
        cluster.ask("PATCH", path, MERGE, &moved).await.text(),
        "422 EndpointSlice.discovery.k8s.io \"old\" is invalid: endpoints[1].addresses[0]: Invalid value: \"127.0.0.2\": \
         may not be in the loopback range (127.0.0.0/8, ::1/128)"
    );
}

#[tokio::test]
async fn a_cluster_of_one_family_says_so() {
    let cluster = cluster().await;
    let service = |fields: Value| {
        let mut service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
        for (name, value) in fields.as_object().into_iter().flatten() {
            service["spec"][name] = value.clone();
        }
        service
    };
    for (fields, expected) in [
        (
            json!({"ipFamilyPolicy": "RequireDualStack"}),
            "422 Service \"s\" is invalid: spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not configured for dual-stack services",
        ),
        (
            json!({"ipFamilies": ["IPv6"]}),
            "422 Service \"s\" is invalid: spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on this cluster",
        ),
        (json!({"ipFamilyPolicy": "PreferDualStack"}), "201"),
        (json!({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv4", "IPv6"], "clusterIP": "None"}), "201"),
    ] {
        let answer = cluster.create(&format!("{SERVICES}?dryRun=All"), service(fields)).await;
        assert_eq!(answer.text(), expected);
    }
}

#[tokio::test]
async fn what_is_not_written_keeps_its_version() {
    let cluster = cluster().await;
    let map = json!({"metadata": {"name": "a", "resourceVersion": "0"}});
    let uri = "/api/v1/namespaces/default/configmaps";
    let dry = cluster.create(&format!("{uri}?dryRun=All"), map.clone()).await;
    assert_eq!((dry.code.as_u16(), dry.body["metadata"].get("resourceVersion")), (201, None));
    assert_eq!(cluster.create(uri, map).await.code, 201);
    let versioned = json!({"metadata": {"name": "b", "resourceVersion": "5"}});
    let dry = cluster.create(&format!("{uri}?dryRun=All"), versioned.clone()).await;
    assert_eq!((dry.code.as_u16(), dry.body["metadata"].get("resourceVersion")), (201, Some(&json!("5"))));
    let refused = cluster.create(uri, versioned).await;
    assert_eq!(refused.text(), "500 resourceVersion should not be set on objects to be created");
}

#[tokio::test]
async fn an_address_that_is_deleted_by_hand_comes_back() {
    let cluster = cluster().await;
    let service = json!({"metadata": {"name": "s"}, "spec": {"clusterIP": "10.43.0.60", "ports": [{"port": 80}]}});
    assert_eq!(cluster.create(SERVICES, service).await.code, 201);
    let path = "/apis/networking.k8s.io/v1/ipaddresses/10.43.0.60";
    let old = cluster.get(path).await.body["metadata"]["uid"].clone();
    assert_eq!(cluster.delete(path, json!({})).await.code, 200);
    let new = cluster.get(path).await;
    assert_eq!(new.code, 200, "{new:?}");
    assert_ne!(new.body["metadata"]["uid"], old);
    assert_eq!(cluster.delete(&format!("{SERVICES}/s"), json!({})).await.code, 200);
    assert_eq!(cluster.get(path).await.code, 404);
}

#[tokio::test]
async fn requests_have_names_and_documents_line_breaks() {
    let cluster = cluster().await;
    let mut named = request("GET", "/api/v1/namespaces/default?pretty=true", "", "");
    named.headers_mut().insert("audit-id", "mine".parse().expect("a header"));
    let response = cluster.raw(admin(), named).await;
    assert_eq!(response.headers()["audit-id"], "mine");
    let bytes = http_body_util::BodyExt::collect(response.into_body()).await.expect("a body").to_bytes();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.starts_with("{\n  \""), "{text}");
    for (agent, breaks) in [("curl/8.1", true), ("Mozilla/5.0 (X11)", true), ("kubectl/v1.36.0", false)] {
        let mut asked = request("GET", "/version", "", "");
        asked.headers_mut().insert("user-agent", agent.parse().expect("a header"));
        let response = cluster.raw(admin(), asked).await;
        let bytes = http_body_util::BodyExt::collect(response.into_body()).await.expect("a body").to_bytes();
        assert_eq!(bytes.starts_with(b"{\n  \""), breaks, "{agent}");
    }
    for path in ["/readyz/etcd", "/livez/etcd"] {
        let answer = cluster.get(path).await;
        assert_eq!((answer.code.as_u16(), answer.body.as_str()), (200, Some("ok")), "{path}");
    }
    let verbose = cluster.get("/livez?verbose").await;
    assert!(verbose.body.as_str().is_some_and(|text| text.contains("[+]etcd ok\n")), "{verbose:?}");
}

#[tokio::test]
async fn reasons_of_failed_checks_are_told_to_those_who_may_ask() {
    let cluster = cluster().await;
    cluster.readiness.set("dns", State::Failed("port 53 is taken".into()));
    let verbose = cluster.get("/readyz").await;
    assert_eq!(verbose.code, 500);
    let text = verbose.body.as_str().expect("a text");
    assert!(text.ends_with("[-]dns failed: reason withheld\nreadyz check failed\n"), "{text}");
    let single = cluster.get("/readyz/dns").await;
    let expected = Some("internal server error: port 53 is taken\n");
    assert_eq!((single.code.as_u16(), single.body.as_str()), (500, expected));
}

#[tokio::test]
async fn parts_of_the_control_plane_tell_how_they_do() {
    const PATH: &str = "/api/v1/componentstatuses";
    let cluster = cluster().await;
    cluster.readiness.set("scheduler", State::Ready);
    cluster.readiness.set("controller-manager", State::Failed("it has ended".into()));
    let list = cluster.get(PATH).await;
    assert_eq!(list.headers["warning"], "299 - \"v1 ComponentStatus is deprecated in v1.19+\"");
    assert_eq!(list.body["kind"], "ComponentStatusList");
    let said = |answer: &Answer| -> Vec<String> {
        let items = answer.body["items"].as_array().expect("a list").iter();
        items.map(|item| format!("{} {}", item["metadata"]["name"], item["conditions"])).collect()
    };
    assert_eq!(
        said(&list),
        [
            r#""controller-manager" [{"message":"it has ended","status":"False","type":"Healthy"}]"#,
            r#""etcd-0" [{"message":"ok","status":"True","type":"Healthy"}]"#,
            r#""scheduler" [{"message":"ok","status":"True","type":"Healthy"}]"#,
        ]
    );
    assert_eq!(said(&cluster.get(&format!("{PATH}?fieldSelector=metadata.name%3Detcd-0")).await).len(), 1);
    assert_eq!(said(&cluster.get(&format!("{PATH}?labelSelector=a")).await).len(), 0);
    assert_eq!(cluster.get(&format!("{PATH}/scheduler")).await.body["kind"], "ComponentStatus");
    assert_eq!(cluster.get(&format!("{PATH}/etcd-1")).await.text(), "404 componentstatus \"etcd-1\" not found");
    assert_eq!(cluster.get(&format!("{PATH}?watch=true")).await.code, 405);
    let served = cluster.get("/api/v1").await;
    let served = served.body["resources"].as_array().expect("a list").iter();
    let own = served.clone().find(|resource| resource["name"] == "componentstatuses").expect("it is listed");
    assert_eq!(own["verbs"], json!(["get", "list"]));
    let endpoints = cluster.get("/api/v1/namespaces/default/endpoints").await;
    let told = "299 - \"v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice\"";
    assert_eq!(endpoints.headers["warning"], told);
    let none = cluster.get("/api/v1/namespaces/default/endpoints/none").await;
    assert_eq!(none.code, 404);
    assert_eq!(none.headers["warning"], told);
}

#[tokio::test]
async fn figures_have_upstreams_names() {
    let cluster = cluster().await;
    let map = json!({"metadata": {"name": "a"}});
    cluster.create("/api/v1/namespaces/default/configmaps?dryRun=All", map).await;
    let answer = cluster.get("/metrics").await;
    let text = answer.body.as_str().expect("a text");
    for part in [
        "verb=\"POST\",group=\"\",version=\"v1\",resource=\"configmaps\",subresource=\"\",scope=\"namespace\",dry_run=\"All\"",
        "\nkubernetes_build_info{",
        "\n# TYPE apiserver_longrunning_requests gauge\n",
        "\napiserver_resource_objects{group=\"\",resource=\"namespaces\"} ",
        "\napiserver_storage_objects{resource=\"clusterroles.rbac.authorization.k8s.io\"} ",
        "\napiserver_admission_step_admission_duration_seconds_count{operation=\"CREATE\",rejected=\"false\",type=\"admit\"} ",
        "\napiserver_admission_controller_admission_duration_seconds_count{name=\"NamespaceLifecycle\",operation=\"CREATE\",rejected=\"false\",type=\"admit\"} ",
        "\napiserver_client_certificate_expiration_seconds_count 0\n",
        "\napiserver_storage_size_bytes{storage_cluster_id=\"etcd-0\"} ",
        "\n# TYPE authentication_attempts counter\n",
        "\n# TYPE authorization_duration_seconds histogram\n",
        "le=\"0.005\"} ",
        "\nversion_info{binary=\"1.36\",component=\"kube\",emulation=\"1.36\",min_compat=\"1.35\"} 1\n",
        "\nprocess_virtual_memory_max_bytes ",
        "\nprocess_resident_memory_bytes ",
        "\nprocess_start_time_seconds ",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[tokio::test]
async fn rows_say_what_they_carry_and_columns_are_told_once() {
    let cluster = cluster().await;
    cluster.config_map("a", json!({})).await;
    let config_maps = "/api/v1/namespaces/default/configmaps";
    for uri in [config_maps.to_owned(), format!("{config_maps}/a")] {
        let table = as_table(&cluster, "GET", &format!("{uri}?includeObject=None"), "").await;
        assert_eq!(table["rows"][0].get("object"), Some(&Value::Null), "{uri}");
        let whole = as_table(&cluster, "GET", &format!("{uri}?includeObject=Object"), "").await;
        assert_eq!(whole["rows"][0]["object"]["kind"], "ConfigMap", "{uri}");
    }
    let mut old = request("GET", config_maps, "", "");
    old.headers_mut().insert("accept", TABLE.replace("v=v1", "v=v1beta1").parse().expect("a header"));
    let old = cluster.send(admin(), old).await.body;
    assert_eq!(old["rows"][0]["object"]["apiVersion"], "meta.k8s.io/v1beta1");
    cluster.config_map("b", json!({})).await;
    for (query, objects) in [("", ["a", "b", "-"]), ("&includeObject=None", ["-", "-", "-"])] {
        let uri = format!(
            "{config_maps}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan\
             &allowWatchBookmarks=true{query}"
        );
        let mut watch = Watch::with(&cluster, &uri, TABLE).await;
        for (index, name) in objects.into_iter().enumerate() {
            let table = watch.next().await.expect("an event")["object"].take();
            assert_eq!(table["columnDefinitions"].is_array(), index == 0, "{query} {table}");
            assert_eq!(table["rows"][0]["object"]["metadata"]["name"].as_str().unwrap_or("-"), name, "{query}");
            if index == 2 {
                let metadata = &table["rows"][0]["object"]["metadata"];
                assert_eq!(metadata["annotations"]["k8s.io/initial-events-end"], "true", "{query}");
            }
        }
    }
}

#[tokio::test]
async fn metadata_of_one_is_not_that_of_a_list() {
    let cluster = cluster().await;
    cluster.config_map("a", json!({})).await;
    let config_maps = "/api/v1/namespaces/default/configmaps";
    for (uri, kind, expected) in [
        (format!("{config_maps}/a"), "PartialObjectMetadata", "200".to_owned()),
        (config_maps.to_owned(), "PartialObjectMetadataList", "200".to_owned()),
        (
            format!("{config_maps}/a"),
            "PartialObjectMetadataList",
            "406 you requested PartialObjectMetadataList, but the requested object is not a list (*core.ConfigMap)"
                .to_owned(),
        ),
        (
            "/apis/rbac.authorization.k8s.io/v1/clusterroles".to_owned(),
            "PartialObjectMetadata",
            "406 you requested PartialObjectMetadata, but the requested object is a list (*rbac.ClusterRoleList)"
                .to_owned(),
        ),
        (format!("{config_maps}/none"), "PartialObjectMetadataList", "404 configmaps \"none\" not found".to_owned()),
    ] {
        let mut request = request("GET", &uri, "", "");
        let accept = format!("application/json;as={kind};g=meta.k8s.io;v=v1");
        request.headers_mut().insert("accept", accept.parse().expect("a header"));
        assert_eq!(cluster.send(admin(), request).await.text(), expected, "{uri} {kind}");
    }
}

#[tokio::test]
async fn what_no_form_fits_is_refused() {
    let cluster = cluster().await;
    let forms = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
    let only = format!("406 only the following media types are accepted: {forms}");
    let route = format!("406 406: Not Acceptable\n\nAvailable representations: {forms}");
    let discovery =
        |version: &str| format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
    for (uri, accept, expected) in [
        ("/apis", "text/html".to_owned(), only.clone()),
        ("/apis", discovery("v9"), only.clone()),
        ("/apis", discovery("v2beta1"), only.clone()),
        ("/apis", discovery("v2"), "200".to_owned()),
        ("/apis", format!("{},application/json", discovery("v9")), "200".to_owned()),
        ("/api", discovery("v9"), only.clone()),
        ("/api", "text/html".to_owned(), route.clone()),
        ("/apis/apps", "text/html".to_owned(), only),
        ("/apis/apps/v1", "application/*".to_owned(), route.clone()),
        ("/apis/apps/v1", "text/html, */*;q=0.1".to_owned(), "200".to_owned()),
        (
            "/version",
            "application/yaml".to_owned(),
            "406 text: apiVersion: v1\ncode: 406\ndetails: {}\nkind: Status\nmessage: |-\n  406: Not Acceptable\n\n  \
             Available representations: application/json\nmetadata: {}\nreason: NotAcceptable\nstatus: Failure"
                .to_owned(),
        ),
        ("/api/v1/namespaces/default", "application/*".to_owned(), route.clone()),
        (
            "/api/v1/namespaces",
            "text/html".to_owned(),
            format!("{route}, application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"),
        ),
    ] {
        let mut request = request("GET", uri, "", "");
        request.headers_mut().insert("accept", accept.parse().expect("a header"));
        let answer = cluster.send(admin(), request).await;
        assert_eq!(answer.text(), expected, "{uri} {accept}");
        if answer.body["kind"] == "APIGroupDiscoveryList" {
            assert_eq!(answer.body["items"][0]["metadata"].as_object().map(serde_json::Map::len), Some(1));
        }
    }
}

#[tokio::test]
async fn results_of_health_checks_are_counted() {
    let cluster = cluster().await;
    cluster.readiness.set("dns", State::Failed("port 53 is taken".into()));
    for path in ["/livez", "/livez", "/livez/ping", "/readyz?exclude=etcd"] {
        cluster.get(path).await;
    }
    let figures = cluster.get("/metrics/slis").await.body.as_str().expect("a text").to_owned();
    for line in [
        "kubernetes_healthcheck{name=\"ping\",type=\"livez\"} 1",
        "kubernetes_healthchecks_total{name=\"ping\",status=\"success\",type=\"livez\"} 2",
        "kubernetes_healthcheck{name=\"dns\",type=\"readyz\"} 0",
        "kubernetes_healthchecks_total{name=\"dns\",status=\"error\",type=\"readyz\"} 1",
    ] {
        assert!(figures.lines().any(|it| it == line), "{line}: {figures}");
    }
    assert!(!figures.contains("name=\"etcd\",type=\"readyz\""), "{figures}");
    assert_eq!(cluster.ask("DELETE", "/metrics/slis", "", "").await.body, "metrics reset\n");
    assert!(!cluster.get("/metrics/slis").await.body.as_str().expect("a text").contains("livez"));
    let stranger = portolan_identity::User::new("jane", ["system:authenticated"]);
    let watcher = portolan_identity::User::new("jane", ["system:monitoring"]);
    for (user, code) in [(stranger, 403), (watcher, 200)] {
        for path in ["/metrics/slis", "/statusz"] {
            assert_eq!(cluster.send(user.clone(), request("GET", path, "", "")).await.code, code, "{path}");
        }
    }
}

#[tokio::test]
async fn the_status_of_the_server_is_a_text_or_an_object() {
    let cluster = cluster().await;
    cluster.clock.advance(std::time::Duration::from_secs(3 * 3600 + 4 * 60 + 5));
    let ask = |accept: &str| {
        let mut request = request("GET", "/statusz", "", "");
        request.headers_mut().insert("accept", accept.parse().expect("a header"));
        cluster.send(admin(), request)
    };
    let text = ask("*/*").await;
    let text = text.body.as_str().expect("a text");
    assert!(text.starts_with("\napiserver statusz\nWarning: This endpoint is not meant to be machine parseable"));
    assert!(text.contains("\nStarted: Fri Jan  2 03:04:05 UTC 2026\nUp: 3 hr 04 min 05 sec\n"), "{text}");
    assert!(
        text.ends_with("Emulation version: 1.36\nPaths: /flagz /healthz /livez /metrics /readyz /statusz /version\n")
    );
    let object = ask("application/json;as=Statusz;g=config.k8s.io;v=v1beta1").await;
    assert_eq!(object.headers["content-type"], "application/json;g=config.k8s.io;v=v1beta1;as=Statusz");
    assert_eq!((&object.body["uptimeSeconds"], object.headers.get("warning")), (&json!(11045), None));
    assert_eq!((&object.body["kind"], &object.body["startTime"]), (&json!("Statusz"), &json!("2026-01-02T03:04:05Z")));
    let old = ask("application/yaml;as=Statusz;g=config.k8s.io;v=v1alpha1").await;
    assert_eq!(old.headers["content-type"], "application/yaml;g=config.k8s.io;v=v1alpha1;as=Statusz");
    assert!(old.headers.contains_key("warning"));
    let refused = ask("application/json").await.text();
    let types = "application/json, application/yaml, text/plain";
    assert_eq!(refused, format!("406 only the following media types are accepted: {types}"));
}
