//! Definitions that are refused, in the words of the published API server, and objects that break rules.

use serde_json::{Value, json};

use crate::support::{Answer, Cluster, cluster};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const KNOBS: &str = "/apis/a.io/v1/namespaces/default/knobs";

fn definition(spec: &Value) -> Value {
    let schema = json!({"type": "object", "properties": {"spec": spec}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "knobs.a.io"},
        "spec": {"group": "a.io", "scope": "Namespaced", "names": {"plural": "knobs", "kind": "Knob"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}})
}

/// What is wrong with an object, one line for each error.
fn wrong(answer: &Answer) -> Vec<String> {
    let causes = answer.body["details"]["causes"].as_array().into_iter().flatten();
    let text = |cause: &Value, name: &str| cause[name].as_str().unwrap_or_default().to_owned();
    causes.map(|cause| format!("{}: {}", text(cause, "field"), text(cause, "message"))).collect()
}

#[tokio::test]
async fn definitions_are_refused_as_upstream_does() {
    let cluster = cluster().await;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut definition = definition(&json!({"type": "object", "properties": {"a": {"type": "string"}}}));
        change(&mut definition);
        definition
    };
    let text = |more: Value| {
        let mut schema = json!({"type": "string"});
        schema.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        definition(&json!({"type": "object", "properties": {"a": schema}}))
    };
    let service = json!({"name": "a", "namespace": "b", "port": 70000, "path": "x//y"});
    let at = "spec.validation.openAPIV3Schema.properties[spec].properties[a]";
    let cases = [
        (
            text(json!({"default": "b", "x-kubernetes-validations": [{"rule": "self=='a'"}]})),
            vec![format!("{at}.default: Invalid value: \"b\": failed rule: self=='a'")],
        ),
        (
            text(json!({"default": "b", "x-kubernetes-validations": [{"rule": "self=='b'"}]})),
            vec![],
        ),
        (
            text(json!({"x-kubernetes-validations": [{"rule": "true", "fieldPath": ".x"}]})),
            vec![format!("{at}.x-kubernetes-validations[0].fieldPath: Invalid value: \".x\": must be a valid path")],
        ),
        (
            text(json!({"x-kubernetes-validations": [{"rule": "1", "message": "m", "reason": "FieldValueForbidden"}]})),
            vec![format!(
                "{at}.x-kubernetes-validations[0].rule: Invalid value: \
                 {{\"Rule\":\"1\",\"Message\":\"m\",\"MessageExpression\":\"\",\"Reason\":\"FieldValueForbidden\",\
                 \"FieldPath\":\"\",\"OptionalOldSelf\":null}}: cel expression must evaluate to a bool"
            )],
        ),
        // Only junctors of the whole must be complete.
        (definition(&json!({"type": "object", "allOf": [{"properties": {"q": {"minLength": 1}}}]})), vec![]),
        (
            with(&|it| it["spec"]["versions"][0]["additionalPrinterColumns"] = json!([{"name": "b", "type": "integer", "jsonPath": ".a["}])),
            vec![],
        ),
        (
            with(&|it| {
                it["spec"]["versions"][0]["additionalPrinterColumns"] = json!([{"name": "b", "type": "x", "jsonPath": "a"}]);
                it["spec"]["versions"][0]["subresources"] = json!({"scale": {"specReplicasPath": ".r", "statusReplicasPath": ".status.r"}});
                it["spec"]["versions"][0]["selectableFields"] = json!([{"jsonPath": ".spec.z"}]);
            }),
            vec![
                "spec.subresources.scale.specReplicasPath: Invalid value: \".r\": should be a json path under .spec".into(),
                "spec.additionalPrinterColumns[0].type: Invalid value: \"x\": must be one of boolean,date,integer,number,string".into(),
                "spec.additionalPrinterColumns[0].JSONPath: Invalid value: \"a\": must be a simple json path starting with .".into(),
                "spec.selectableFields[0].jsonPath: Invalid value: \".spec.z\": is an invalid path: does not refer to a valid field".into(),
            ],
        ),
        (
            with(&|it| {
                let mut second = it["spec"]["versions"][0].clone();
                second["name"] = "v2".into();
                second["storage"] = false.into();
                second["schema"]["openAPIV3Schema"]["properties"]["spec"] = json!({});
                it["spec"]["versions"].as_array_mut().expect("a list").push(second);
            }),
            vec!["spec.versions[1].schema.openAPIV3Schema.properties[spec].type: Required value: must not be empty for specified object fields".into()],
        ),
        (
            with(&|it| it["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": {"clientConfig": {"service": service}, "conversionReviewVersions": ["v1"]}})),
            vec![
                "spec.conversion.webhookClientConfig.service.port: Invalid value: 70000: port is not valid: must be between 1 and 65535, inclusive".into(),
                "spec.conversion.webhookClientConfig.service.path: Invalid value: \"x//y\": must start with a '/'".into(),
                "spec.conversion.webhookClientConfig.service.path: Invalid value: \"x//y\": segment[0] may not be empty".into(),
                "spec.conversion.webhookClientConfig.service.path: Invalid value: \"x//y\": segment[1] may not be empty".into(),
            ],
        ),
        (
            with(&|it| it["spec"]["conversion"] = json!({"strategy": "None", "webhook": {"clientConfig": {"url": "https://a"}, "conversionReviewVersions": ["v1"]}})),
            vec![
                "spec.conversion.webhookClientConfig: Forbidden: should not be set when strategy is not set to Webhook".into(),
                "spec.conversion.conversionReviewVersions: Forbidden: should not be set when strategy is not set to Webhook".into(),
            ],
        ),
        (
            with(&|it| it["spec"]["names"]["shortNames"] = json!(["A"])),
            vec!["spec.names.shortNames[0]: Invalid value: \"A\": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')".into()],
        ),
    ];
    for (definition, expected) in cases {
        let answer = cluster.create(&format!("{DEFINITIONS}?dryRun=All"), definition).await;
        assert_eq!(wrong(&answer), expected, "{answer:?}");
        assert_eq!(answer.code.as_u16(), if expected.is_empty() { 201 } else { 422 });
    }
}

async fn with_rules(cluster: &Cluster, rules: &Value) {
    let properties =
        json!({"a": {"type": "string", "maxLength": 3}, "n": {"type": "integer"}, "y-z": {"type": "string"}});
    let spec = json!({"type": "object", "properties": properties, "x-kubernetes-validations": rules});
    let made = cluster.create(DEFINITIONS, definition(&spec)).await;
    assert_eq!(made.code, 201, "{made:?}");
}

fn knob(spec: &Value) -> Value {
    json!({"apiVersion": "a.io/v1", "kind": "Knob", "metadata": {"name": "k"}, "spec": spec})
}

#[tokio::test]
async fn rules_wait_until_the_schema_is_obeyed() {
    let cluster = cluster().await;
    with_rules(&cluster, &json!([{"rule": "self.n < 5", "fieldPath": "['y-z']"}])).await;
    let refused = cluster.create(KNOBS, knob(&json!({"a": "long", "n": 7}))).await;
    let unchecked = "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; \
                     correct the existing errors to complete validation";
    assert_eq!(wrong(&refused), ["spec.a: Too long: may not be more than 3 bytes", unchecked]);
    let refused = cluster.create(KNOBS, knob(&json!({"a": "ok", "n": 7}))).await;
    assert_eq!(wrong(&refused), ["spec.y-z: Invalid value: failed rule: self.n < 5"]);
}

#[tokio::test]
async fn metadata_of_users_objects_is_of_the_usual_types() {
    let cluster = cluster().await;
    with_rules(&cluster, &json!([])).await;
    let made = cluster.create(KNOBS, knob(&json!({"n": 1}))).await;
    assert_eq!(made.code, 201, "{made:?}");
    let path = format!("{KNOBS}/k");
    let number = "json: cannot unmarshal number into Go struct field ObjectMeta.labels of type string";
    for (metadata, why) in [
        (json!({"labels": {"a": 1}}), Some(number)),
        (json!({"annotations": ["x"]}), None),
        (json!({"finalizers": "x"}), None),
        (json!({"ownerReferences": "y"}), None),
        (json!({"generation": "x"}), None),
        (json!({"creationTimestamp": "foo"}), None),
    ] {
        let mut object = knob(&json!({"n": 1}));
        let whole = object["metadata"].as_object_mut().expect("metadata");
        whole.extend(metadata.as_object().expect("metadata").clone());
        let refused = cluster.update(&path, &object).await;
        assert_eq!(refused.code, 400, "{metadata} {refused:?}");
        let begin = "400 Knob in version \"v1\" cannot be handled as a Knob: ";
        assert!(refused.text().starts_with(begin), "{refused:?}");
        if let Some(why) = why {
            assert_eq!(refused.text(), format!("{begin}{why}"));
        }
        let patch = json!({"metadata": metadata}).to_string();
        let refused = cluster.ask("PATCH", &path, "application/merge-patch+json", &patch).await;
        assert_eq!(refused.code, 422, "{metadata} {refused:?}");
        assert_eq!(cluster.get(&path).await.body, made.body);
    }
}

#[tokio::test]
async fn what_broke_a_rule_before_is_warned_of() {
    let cluster = cluster().await;
    with_rules(&cluster, &json!([])).await;
    let made = cluster.create(KNOBS, knob(&json!({"n": 7}))).await;
    assert_eq!(made.code, 201, "{made:?}");
    let rules = json!([{"op": "add", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/x-kubernetes-validations",
        "value": [{"rule": "self.n < 5"}]}]);
    let path = format!("{DEFINITIONS}/knobs.a.io");
    let changed = cluster.ask("PATCH", &path, "application/json-patch+json", &rules.to_string()).await;
    assert_eq!(changed.code, 200, "{changed:?}");
    let knob = format!("{KNOBS}/k");
    let labelled =
        cluster.ask("PATCH", &knob, "application/merge-patch+json", r#"{"metadata":{"labels":{"a":"b"}}}"#).await;
    assert_eq!(labelled.code, 200, "{labelled:?}");
    let warning = labelled.headers["warning"].to_str().expect("text").to_owned();
    assert_eq!(warning, "299 - \"spec: Invalid value: failed rule: self.n < 5\"");
    let refused = cluster.ask("PATCH", &knob, "application/merge-patch+json", r#"{"spec":{"n":8}}"#).await;
    assert_eq!(wrong(&refused), ["spec: Invalid value: failed rule: self.n < 5"]);
}

#[tokio::test]
async fn a_definition_whose_converter_cannot_be_known_is_not_served() {
    let cluster = cluster().await;
    let with = |bundle: &str| {
        let client = json!({"url": "https://a.example.com", "caBundle": bundle});
        let webhook = json!({"conversionReviewVersions": ["v1"], "clientConfig": client});
        let mut definition = definition(&json!({"type": "object"}));
        definition["metadata"]["finalizers"] = json!(["example.com/mine"]);
        definition["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": webhook});
        definition
    };
    let conditions = |answer: &Answer| -> Vec<String> {
        let conditions = answer.body["status"]["conditions"].as_array().into_iter().flatten();
        let text = |condition: &Value, name: &str| condition[name].as_str().unwrap_or_default().to_owned();
        conditions.map(|it| format!("{}={} {}", text(it, "type"), text(it, "status"), text(it, "reason"))).collect()
    };
    let uri = format!("{DEFINITIONS}/knobs.a.io");
    let (bad, accepted) = ("Established=False InvalidCABundle", "NamesAccepted=True NoConflicts");
    // What is answered is what was written; the conditions come right behind.
    let made = cluster.create(DEFINITIONS, with("eA==")).await;
    assert_eq!(made.code, 201, "{made:?}");
    assert_eq!(conditions(&cluster.get(&uri).await), [accepted, bad]);
    assert_eq!(cluster.get(KNOBS).await.code, 404);
    let replace = async |bundle: &str| {
        let mut definition = with(bundle);
        definition["metadata"]["resourceVersion"] = cluster.get(&uri).await.body["metadata"]["resourceVersion"].take();
        cluster.update(&uri, &definition).await
    };
    let still = replace("eQ==").await;
    assert_eq!(conditions(&still), [accepted, bad], "{still:?}");
    let mended = replace("").await;
    assert_eq!(mended.code, 200, "{mended:?}");
    assert_eq!(conditions(&cluster.get(&uri).await), [accepted, "Established=True InitialNamesAccepted"]);
    assert_eq!(cluster.get(KNOBS).await.code, 200);
    let again = replace("eA==").await;
    assert_eq!(
        wrong(&again),
        ["spec.conversion.webhookClientConfig.caBundle: Invalid value: \"eA==\": unable to load root certificates: \
             unable to parse bytes as PEM block"]
    );
    // One that goes before it was served says both.
    let mut other = with("eA==");
    (other["metadata"]["name"], other["spec"]["group"]) = ("knobs.b.io".into(), "b.io".into());
    assert_eq!(cluster.create(DEFINITIONS, other).await.code, 201);
    let uri = format!("{DEFINITIONS}/knobs.b.io");
    cluster.delete(&uri, json!({})).await;
    let going = conditions(&cluster.get(&uri).await);
    assert_eq!(going[..2], [accepted, bad], "{going:?}");
    assert!(going[2].starts_with("Terminating="), "{going:?}");
}

#[tokio::test]
async fn the_last_word_about_a_definition_goes_with_its_finalizer() {
    let cluster = cluster().await;
    let made = cluster.create(DEFINITIONS, definition(&json!({"type": "object"}))).await;
    assert_eq!(made.code, 201, "{made:?}");
    let path = format!("{DEFINITIONS}/knobs.a.io");
    let going = cluster.delete(&path, json!({})).await.body;
    let mut conditions = going["status"]["conditions"].as_array().expect("conditions").clone();
    let last = conditions.last_mut().expect("a condition");
    assert_eq!((&last["type"], &last["reason"]), (&json!("Terminating"), &json!("InstanceDeletionPending")));
    (last["status"], last["reason"]) = ("False".into(), "InstanceDeletionCompleted".into());
    let done = json!({"metadata": {"finalizers": []}, "status": {"conditions": conditions}}).to_string();
    let done = cluster.ask("PATCH", &format!("{path}/status"), "application/merge-patch+json", &done).await;
    assert_eq!((done.code.as_u16(), &done.body["status"]["conditions"]), (200, &json!(conditions)));
    assert_eq!(cluster.get(&path).await.code, 404);
}

#[tokio::test]
async fn a_definition_has_its_names_right_after_it_was_written() {
    let cluster = cluster().await;
    let made = cluster.create(DEFINITIONS, definition(&json!({"type": "object"}))).await;
    let nothing_yet =
        json!({"acceptedNames": {"kind": "", "plural": ""}, "conditions": null, "storedVersions": ["v1"]});
    assert_eq!((made.code.as_u16(), &made.body["status"]), (201, &nothing_yet));
    let knob = json!({"apiVersion": "a.io/v1", "kind": "Knob", "metadata": {"name": "a"}});
    assert_eq!(cluster.create(KNOBS, knob).await.code, 201, "its kind is served when it is answered");
    let uri = format!("{DEFINITIONS}/knobs.a.io");
    let settled = cluster.get(&uri).await;
    assert!(settled.revision() > made.revision(), "who watches from what was answered sees the conditions come");
    assert_eq!(settled.body["status"]["acceptedNames"]["kind"], "Knob");
    let managers = settled.body["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let by_server = managers.iter().find(|entry| entry["manager"] == "kube-apiserver").expect("the server wrote it");
    assert_eq!(by_server["subresource"], "status");
    let said = by_server["fieldsV1"]["f:status"].as_object().expect("a status");
    assert_eq!(said.keys().collect::<Vec<_>>(), ["f:acceptedNames", "f:conditions"]);
    // Its status may be written with labels; what was accepted comes back.
    let patch = json!({"metadata": {"labels": {"a": "b"}}, "status": {"conditions": []}}).to_string();
    cluster.ask("PATCH", &format!("{uri}/status"), "application/merge-patch+json", &patch).await;
    let again = cluster.get(&uri).await.body;
    assert_eq!(again["metadata"]["labels"]["a"], "b");
    assert_eq!(again["status"]["conditions"].as_array().map(Vec::len), Some(2));
    let going = cluster.ask("DELETE", &format!("{uri}?propagationPolicy=Orphan"), "application/json", "").await.body;
    let metadata = &going["metadata"];
    assert_eq!(
        (&metadata["generation"], &metadata["deletionGracePeriodSeconds"], &metadata["finalizers"]),
        (&json!(1), &Value::Null, &json!(["customresourcecleanup.apiextensions.k8s.io"]))
    );
    assert_eq!(going["status"]["conditions"][2]["reason"], "InstanceDeletionPending");
}

#[tokio::test]
async fn a_definition_in_a_group_of_kubernetes_says_who_approved_it() {
    let cluster = cluster().await;
    let mut asked = definition(&json!({"type": "object"}));
    (asked["metadata"]["name"], asked["spec"]["group"]) = ("knobs.a.k8s.io".into(), "a.k8s.io".into());
    asked["metadata"]["annotations"] = json!({"api-approved.kubernetes.io": "https://example.com/1"});
    assert_eq!(cluster.create(DEFINITIONS, asked).await.code, 201);
    let found = cluster.get(&format!("{DEFINITIONS}/knobs.a.k8s.io")).await.body;
    let told = &found["status"]["conditions"][2];
    assert_eq!(
        (&told["type"], &told["message"]),
        (&json!("KubernetesAPIApprovalPolicyConformant"), &json!("approved in https://example.com/1"))
    );
}
