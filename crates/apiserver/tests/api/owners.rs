//! Who owns what after writes that say more or less than what is stored.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use expect_test::{Expect, expect};
use serde_json::{Value, json};

use crate::support::{Cluster, certificate_request, cluster};

const DAEMON_SETS: &str = "/apis/apps/v1/namespaces/default/daemonsets";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const PODS: &str = "/api/v1/namespaces/default/pods";
const REVISIONS: &str = "/apis/apps/v1/namespaces/default/controllerrevisions";
const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

fn workload(pod_spec: &Value) -> Value {
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": pod_spec});
    json!({"metadata": {"name": "x"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}})
}

/// Who owns what of an object, a line each.
fn owners(object: &Value) -> String {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let line = |entry: &Value| {
        let text = |name: &str| entry[name].as_str().unwrap_or("-").to_owned();
        let [manager, operation, subresource] = ["manager", "operation", "subresource"].map(text);
        let time = if entry["time"].is_string() { "" } else { " (no time)" };
        format!("{manager} {operation} {subresource}{time} {}", entry["fieldsV1"])
    };
    entries.map(line).collect::<Vec<_>>().join("\n")
}

/// Asks one thing after the other; shows who owns what of the object `at` in the end.
async fn check(cluster: &Cluster, steps: &[(&str, &str, &str, Value)], at: &str, expected: Expect) {
    for (method, uri, content_type, body) in steps {
        let answer = cluster.ask(method, uri, content_type, &body.to_string()).await;
        assert!(answer.code.is_success(), "{method} {uri}: {answer:?}");
    }
    expected.assert_eq(&owners(&cluster.get(at).await.body));
}

#[tokio::test]
async fn who_asks_for_what_is_dropped_owns_it() {
    let cluster = cluster().await;
    let spec = json!({
        "schedulingGroup": {"podGroupName": "g"},
        "containers": [{"name": "c", "image": "i", "lifecycle": {"stopSignal": "SIGUSR1"}}],
    });
    let deployment = format!("{DEPLOYMENTS}/x?fieldManager=m");
    let applied = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}, "spec": {
        "template": {"spec": {"containers": [{"name": "c", "lifecycle": {"stopSignal": "SIGUSR2"}}]}},
    }});
    let steps = [
        ("POST", &*format!("{DEPLOYMENTS}?fieldManager=made"), JSON, workload(&spec)),
        ("PATCH", &*format!("{deployment}&force=true"), APPLY, applied),
    ];
    check(&cluster, &steps, &format!("{DEPLOYMENTS}/x"), expect![[r#"
        m Apply - {"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:lifecycle":{"f:stopSignal":{}},"f:name":{}}}}}}}
        made Update - {"f:spec":{"f:progressDeadlineSeconds":{},"f:replicas":{},"f:revisionHistoryLimit":{},"f:selector":{},"f:strategy":{"f:rollingUpdate":{".":{},"f:maxSurge":{},"f:maxUnavailable":{}},"f:type":{}},"f:template":{"f:metadata":{"f:labels":{".":{},"f:a":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:imagePullPolicy":{},"f:name":{},"f:resources":{},"f:terminationMessagePath":{},"f:terminationMessagePolicy":{}}},"f:dnsPolicy":{},"f:restartPolicy":{},"f:schedulerName":{},"f:schedulingGroup":{".":{},"f:podGroupName":{}},"f:securityContext":{},"f:terminationGracePeriodSeconds":{}}}}}"#]]).await;
    let stored = cluster.get(&format!("{DEPLOYMENTS}/x")).await.body;
    let spec = &stored["spec"]["template"]["spec"];
    assert_eq!((&spec["schedulingGroup"], &spec["containers"][0]["lifecycle"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn who_says_nothing_of_the_count_of_templates_says_none() {
    let cluster = cluster().await;
    let set = workload(&json!({"containers": [{"name": "c", "image": "i"}]}));
    let one = format!("{DAEMON_SETS}/x");
    let made = [("POST", &*format!("{DAEMON_SETS}?fieldManager=made"), JSON, set.clone())];
    check(&cluster, &made, &one, expect![[r#"made Update - {"f:metadata":{"f:annotations":{".":{},"f:deprecated.daemonset.template.generation":{}}},"f:spec":{"f:revisionHistoryLimit":{},"f:selector":{},"f:template":{"f:metadata":{"f:labels":{".":{},"f:a":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:imagePullPolicy":{},"f:name":{},"f:resources":{},"f:terminationMessagePath":{},"f:terminationMessagePolicy":{}}},"f:dnsPolicy":{},"f:restartPolicy":{},"f:schedulerName":{},"f:securityContext":{},"f:terminationGracePeriodSeconds":{}}},"f:updateStrategy":{"f:rollingUpdate":{".":{},"f:maxSurge":{},"f:maxUnavailable":{}},"f:type":{}}}}"#]]).await;
    let put = [("PUT", &*format!("{one}?fieldManager=put"), JSON, set)];
    check(&cluster, &put, &one, expect![[r#"
        made Update - {"f:metadata":{"f:annotations":{}},"f:spec":{"f:revisionHistoryLimit":{},"f:selector":{},"f:template":{"f:metadata":{"f:labels":{".":{},"f:a":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:imagePullPolicy":{},"f:name":{},"f:resources":{},"f:terminationMessagePath":{},"f:terminationMessagePolicy":{}}},"f:dnsPolicy":{},"f:restartPolicy":{},"f:schedulerName":{},"f:securityContext":{},"f:terminationGracePeriodSeconds":{}}},"f:updateStrategy":{"f:rollingUpdate":{".":{},"f:maxSurge":{},"f:maxUnavailable":{}},"f:type":{}}}}
        put Update - {"f:metadata":{"f:annotations":{"f:deprecated.daemonset.template.generation":{}}}}"#]]).await;
    let count = "deprecated.daemonset.template.generation";
    assert_eq!(cluster.get(&one).await.body["metadata"]["annotations"][count], "1");
}

#[tokio::test]
async fn the_data_of_a_revision_has_one_owner() {
    let cluster = cluster().await;
    let revision = json!({"metadata": {"name": "r"}, "revision": 1, "data": {"a": {"b": 1}, "c": [1]}});
    let steps = [("POST", &*format!("{REVISIONS}?fieldManager=made"), JSON, revision.clone())];
    check(&cluster, &steps, &format!("{REVISIONS}/r"), expect![[r#"made Update - {"f:data":{},"f:revision":{}}"#]])
        .await;
    let other = json!({"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": "r"}, "revision": 1,
        "data": {"a": {"b": 2}}});
    let refused = cluster.ask("PATCH", &format!("{REVISIONS}/r?fieldManager=m"), APPLY, &other.to_string()).await;
    assert_eq!(refused.text(), "409 Apply failed with 1 conflict: conflict with \"made\" using apps/v1: .data");
}

#[tokio::test]
async fn nobody_owns_what_is_asked_of_a_signer() {
    let cluster = cluster().await;
    let request = STANDARD.encode(certificate_request("ann", &[]));
    let spec = json!({"request": request, "signerName": "a.b/c", "usages": ["client auth"]});
    let one = format!("{REQUESTS}/r");
    let made = [
        ("POST", REQUESTS, JSON, json!({"metadata": {"name": "r"}, "spec": spec})),
        ("PATCH", &*one, MERGE, json!({"metadata": {"labels": {"a": "b"}}})),
    ];
    check(&cluster, &made, &one, expect![[""]]).await;
    let condition = |message: &str| json!([{"type": "Approved", "status": "True", "reason": "R", "message": message}]);
    let applied = json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": {"name": "r", "annotations": {"c": "d"}}});
    let approval = format!("{one}/approval?fieldManager=approver");
    let steps = [
        ("PATCH", &*approval, MERGE, json!({"status": {"conditions": condition("a")}})),
        ("PATCH", &*format!("{one}?fieldManager=m"), APPLY, applied),
        ("PATCH", &*approval, MERGE, json!({"status": {"conditions": condition("b")}})),
    ];
    check(&cluster, &steps, &one, expect![[r#"
        m Apply - {"f:metadata":{"f:annotations":{"f:c":{}}}}
        approver Update approval {"f:status":{"f:conditions":{"k:{\"type\":\"Approved\"}":{"f:lastTransitionTime":{},"f:lastUpdateTime":{},"f:message":{}}}}}
        before-first-apply Update - {"f:metadata":{"f:labels":{".":{},"f:a":{}}}}"#]]).await;
}

#[tokio::test]
async fn who_scales_has_no_time_of_its_own() {
    let cluster = cluster().await;
    let deployment = workload(&json!({"containers": [{"name": "c", "image": "i"}]}));
    let one = format!("{DEPLOYMENTS}/x");
    let scale =
        json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "x"}, "spec": {"replicas": 3}});
    let steps = [
        ("POST", &*format!("{DEPLOYMENTS}?fieldManager=made"), JSON, deployment),
        ("PUT", &*format!("{one}/scale?fieldManager=scaler"), JSON, scale),
    ];
    check(&cluster, &steps, &one, expect![[r#"
        scaler Update scale (no time) {"f:spec":{"f:replicas":{}}}
        made Update - {"f:spec":{"f:progressDeadlineSeconds":{},"f:revisionHistoryLimit":{},"f:selector":{},"f:strategy":{"f:rollingUpdate":{".":{},"f:maxSurge":{},"f:maxUnavailable":{}},"f:type":{}},"f:template":{"f:metadata":{"f:labels":{".":{},"f:a":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:imagePullPolicy":{},"f:name":{},"f:resources":{},"f:terminationMessagePath":{},"f:terminationMessagePolicy":{}}},"f:dnsPolicy":{},"f:restartPolicy":{},"f:schedulerName":{},"f:securityContext":{},"f:terminationGracePeriodSeconds":{}}}}}"#]]).await;
}

#[tokio::test]
async fn nobody_owns_the_node_of_a_pod_that_was_bound() {
    let cluster = cluster().await;
    let pod = json!({"metadata": {"name": "p"}, "spec": {
        "automountServiceAccountToken": false, "containers": [{"name": "c", "image": "i"}]}});
    let binding =
        json!({"metadata": {"name": "p", "annotations": {"a": "b"}}, "target": {"kind": "Node", "name": "n"}});
    let steps = [
        ("POST", &*format!("{PODS}?fieldManager=made"), JSON, pod),
        ("POST", &*format!("{PODS}/p/binding?fieldManager=scheduler"), JSON, binding),
    ];
    check(&cluster, &steps, &format!("{PODS}/p"), expect![[r#"made Update - {"f:spec":{"f:automountServiceAccountToken":{},"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:imagePullPolicy":{},"f:name":{},"f:resources":{},"f:terminationMessagePath":{},"f:terminationMessagePolicy":{}}},"f:dnsPolicy":{},"f:enableServiceLinks":{},"f:restartPolicy":{},"f:schedulerName":{},"f:securityContext":{},"f:terminationGracePeriodSeconds":{}}}"#]]).await;
    assert_eq!(cluster.get(&format!("{PODS}/p")).await.body["spec"]["nodeName"], "n");
}

#[tokio::test]
async fn the_last_word_on_a_namespace_may_say_more() {
    let cluster = cluster().await;
    let one = "/api/v1/namespaces/n";
    let last =
        json!({"metadata": {"name": "n", "labels": {"a": "b"}}, "spec": {"finalizers": ["kubernetes", "a.b/c"]}});
    let steps = [
        ("POST", "/api/v1/namespaces?fieldManager=made", JSON, json!({"metadata": {"name": "n"}})),
        ("PUT", &*format!("{one}/finalize?fieldManager=last"), JSON, last),
    ];
    check(
        &cluster,
        &steps,
        one,
        expect![[r#"
        last Update finalize {"f:metadata":{"f:labels":{"f:a":{}}},"f:spec":{"f:finalizers":{}}}
        made Update - {"f:metadata":{"f:labels":{".":{},"f:kubernetes.io/metadata.name":{}}}}"#]],
    )
    .await;
    assert_eq!(cluster.get(one).await.body["metadata"]["labels"]["a"], "b");
}

#[tokio::test]
async fn questions_say_who_asks() {
    let cluster = cluster().await;
    let attributes = json!({"verb": "get", "resource": "pods", "namespace": "default"});
    let asked = |user: &str| json!({"spec": {"user": user, "resourceAttributes": attributes}});
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let mut lines = Vec::new();
    for (uri, body) in [
        ("/apis/authentication.k8s.io/v1/tokenreviews", json!({"spec": {"token": "x"}})),
        ("/apis/authentication.k8s.io/v1/selfsubjectreviews", json!({"metadata": {"labels": {"a": "b"}}})),
        ("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", json!({"spec": {"namespace": "default"}})),
        ("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", json!({"spec": {"resourceAttributes": attributes}})),
        ("/apis/authorization.k8s.io/v1/subjectaccessreviews", asked("ann")),
        ("/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews", asked("ann")),
        (&*format!("{accounts}/default/token"), json!({"spec": {"audiences": ["x"], "expirationSeconds": 600}})),
    ] {
        let answer = cluster.create(&format!("{uri}?fieldManager=m"), body).await;
        assert_eq!(answer.code, 201, "{uri}: {answer:?}");
        let mut metadata = answer.body["metadata"].clone();
        let owners = owners(&answer.body);
        for (name, is_there) in [("managedFields", "managers"), ("uid", "an identity")] {
            if metadata.as_object_mut().is_some_and(|metadata| metadata.remove(name).is_some()) {
                metadata[name] = is_there.into();
            }
        }
        lines.push(format!("{} {metadata} {owners}", answer.body["kind"].as_str().unwrap_or_default()));
    }
    expect![[r#"
        TokenReview {"managedFields":"managers"} m Update - {"f:spec":{"f:token":{}}}
        SelfSubjectReview {"creationTimestamp":"2026-01-02T03:04:05Z"} 
        SelfSubjectRulesReview {} 
        SelfSubjectAccessReview {"managedFields":"managers"} m Update - {"f:spec":{"f:resourceAttributes":{".":{},"f:namespace":{},"f:resource":{},"f:verb":{}}}}
        SubjectAccessReview {"managedFields":"managers"} m Update - {"f:spec":{"f:resourceAttributes":{".":{},"f:namespace":{},"f:resource":{},"f:verb":{}},"f:user":{}}}
        LocalSubjectAccessReview {"managedFields":"managers","namespace":"default"} m Update - {"f:spec":{"f:resourceAttributes":{".":{},"f:namespace":{},"f:resource":{},"f:verb":{}},"f:user":{}}}
        TokenRequest {"creationTimestamp":"2026-01-02T03:04:05Z","managedFields":"managers","name":"default","namespace":"default","uid":"an identity"} m Update token {"f:spec":{"f:audiences":{},"f:expirationSeconds":{}}}"#]].assert_eq(&lines.join("\n"));
}

/// What every cluster has, and who says so.
#[tokio::test]
async fn what_the_server_makes_for_itself_says_who_made_it() {
    let cluster = cluster().await;
    let flows = "/apis/flowcontrol.apiserver.k8s.io/v1";
    let mut lines = Vec::new();
    for uri in [
        "/apis/networking.k8s.io/v1/servicecidrs/kubernetes",
        "/apis/networking.k8s.io/v1/ipaddresses/10.43.0.1",
        "/api/v1/namespaces/default/services/kubernetes",
        &format!("{flows}/flowschemas/system-leader-election"),
        &format!("{flows}/prioritylevelconfigurations/catch-all"),
        "/apis/apiregistration.k8s.io/v1/apiservices/v1.",
        "/apis/apiregistration.k8s.io/v1/apiservices/v2.autoscaling",
    ] {
        let found = cluster.get(uri).await;
        assert_eq!(found.code, 200, "{uri}: {found:?}");
        let (spec, generation) = (&found.body["spec"], &found.body["metadata"]["generation"]);
        let priorities = match &spec["groupPriorityMinimum"] {
            Value::Null => String::new(),
            group => format!(", {} {group} {}", spec["group"], spec["versionPriority"]),
        };
        let name = uri.rsplit('/').next().unwrap_or_default();
        lines.push(format!("{name}, generation {generation}{priorities}\n{}", owners(&found.body)));
    }
    let range = cluster.get("/apis/networking.k8s.io/v1/servicecidrs/kubernetes").await.body;
    lines.push(range["status"]["conditions"].to_string());
    let leaders = cluster.get(&format!("{flows}/flowschemas/system-leader-election")).await.body;
    lines.push(leaders["spec"]["rules"][0]["subjects"].to_string());
    expect![[r#"
        kubernetes, generation null
        kubernetes-service-cidr-controller Apply status {"f:status":{"f:conditions":{"k:{\"type\":\"Ready\"}":{".":{},"f:lastTransitionTime":{},"f:message":{},"f:status":{},"f:type":{}}}}}
        kube-apiserver Update - {"f:spec":{"f:cidrs":{}}}
        10.43.0.1, generation null
        kube-apiserver Update - {"f:metadata":{"f:labels":{".":{},"f:ipaddress.kubernetes.io/ip-family":{},"f:ipaddress.kubernetes.io/managed-by":{}}},"f:spec":{"f:parentRef":{".":{},"f:name":{},"f:namespace":{},"f:resource":{}}}}
        kubernetes, generation null
        kube-apiserver Update - {"f:metadata":{"f:labels":{".":{},"f:component":{},"f:provider":{}}},"f:spec":{"f:clusterIP":{},"f:internalTrafficPolicy":{},"f:ipFamilyPolicy":{},"f:ports":{".":{},"k:{\"port\":443,\"protocol\":\"TCP\"}":{".":{},"f:name":{},"f:port":{},"f:protocol":{},"f:targetPort":{}}},"f:sessionAffinity":{},"f:type":{}}}
        system-leader-election, generation 1
        api-priority-and-fairness-config-producer-v1 Update - {"f:metadata":{"f:annotations":{".":{},"f:apf.kubernetes.io/autoupdate-spec":{}}},"f:spec":{"f:distinguisherMethod":{".":{},"f:type":{}},"f:matchingPrecedence":{},"f:priorityLevelConfiguration":{"f:name":{}},"f:rules":{}}}
        catch-all, generation 1
        api-priority-and-fairness-config-producer-v1 Update - {"f:metadata":{"f:annotations":{".":{},"f:apf.kubernetes.io/autoupdate-spec":{}}},"f:spec":{"f:limited":{".":{},"f:lendablePercent":{},"f:limitResponse":{".":{},"f:type":{}},"f:nominalConcurrencyShares":{}},"f:type":{}}}
        v1., generation null, null 18000 1
        kube-apiserver Update - {"f:metadata":{"f:labels":{".":{},"f:kube-aggregator.kubernetes.io/automanaged":{}}},"f:spec":{"f:groupPriorityMinimum":{},"f:version":{},"f:versionPriority":{}}}
        v2.autoscaling, generation null, "autoscaling" 17500 30
        kube-apiserver Update - {"f:metadata":{"f:labels":{".":{},"f:kube-aggregator.kubernetes.io/automanaged":{}}},"f:spec":{"f:group":{},"f:groupPriorityMinimum":{},"f:version":{},"f:versionPriority":{}}}
        [{"lastTransitionTime":"2026-01-02T03:04:05Z","message":"Kubernetes default Service CIDR is ready","reason":"","status":"True","type":"Ready"}]
        [{"kind":"User","user":{"name":"system:kube-controller-manager"}},{"kind":"User","user":{"name":"system:kube-scheduler"}},{"kind":"ServiceAccount","serviceAccount":{"name":"*","namespace":"kube-system"}}]"#]].assert_eq(&lines.join("\n"));
    let own = cluster.get("/apis/apiregistration.k8s.io/v1/apiservices/v1.apiregistration.k8s.io").await;
    assert_eq!(own.code, 404);
}
