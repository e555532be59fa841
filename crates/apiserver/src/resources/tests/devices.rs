//! Devices that are asked for: claims, their templates, classes.

use expect_test::expect;

use super::{check_create, check_stored, check_update};

const CLAIMS: &str = "resource.k8s.io/resourceclaims";
const TEMPLATES: &str = "resource.k8s.io/resourceclaimtemplates";
const CLASSES: &str = "resource.k8s.io/deviceclasses";

#[test]
fn what_is_asked_for_gets_defaults() {
    check_stored(
        CLAIMS,
        "{spec: {devices: {requests: [
            {name: a, exactly: {deviceClassName: c, tolerations: [{key: a, operator: ''}], capacity: {requests: {m: 1000m}}}},
            {name: b, firstAvailable: [{name: x, deviceClassName: c, allocationMode: All, tolerations: [{key: a}]}]}]}}}",
        expect![[r#"
            spec:
              devices:
                requests:
                - exactly:
                    allocationMode: ExactCount
                    capacity:
                      requests:
                        m: '1'
                    count: 1
                    deviceClassName: c
                    tolerations:
                    - key: a
                      operator: Equal
                  name: a
                - firstAvailable:
                  - allocationMode: All
                    deviceClassName: c
                    name: x
                    tolerations:
                    - key: a
                      operator: Equal
                  name: b
        "#]],
    );
}

#[test]
fn claims_ask_for_what_there_can_be() {
    let claim = |devices: &str| format!("{{spec: {{devices: {{{devices}}}}}}}");
    let many: Vec<String> =
        (0..33).map(|index| format!("{{name: r{index}, exactly: {{deviceClassName: c}}}}")).collect();
    let long = "x".repeat(10 * 1024);
    let cases = [
        claim(
            "requests: [{name: A}, {name: b, exactly: {count: -1}}, {name: b, exactly: {deviceClassName: x, allocationMode: All, count: 2}}]",
        ),
        claim(
            "requests: [{name: a, exactly: {deviceClassName: A, allocationMode: Most}, firstAvailable: [{name: x}]}, {exactly: {deviceClassName: c, allocationMode: Most}}]",
        ),
        claim("requests: [{name: a, firstAvailable: [{name: x, deviceClassName: c}, {name: x, count: -1}, {}]}]"),
        claim(
            "requests: [{name: a, exactly: {deviceClassName: c, tolerations: [{key: a b, operator: Exists, value: v}, {operator: Any, effect: Some}, {key: a, value: a b, effect: None}]}}]",
        ),
        claim(&format!("requests: [{}]", many.join(", "))),
        claim(
            "requests: [{name: a, firstAvailable: [{name: x, deviceClassName: c}]}], constraints: [{requests: [z, a, a/x, a/y, a/x/y, a, A]}, {matchAttribute: a}, {distinctAttribute: /a}, {matchAttribute: A_b/1a}, {matchAttribute: a/b/c}]",
        ),
        claim(&format!(
            "config: [{{}}, {{opaque: {{}}}}, {{requests: [a], opaque: {{driver: A.b, parameters: 1}}}}, {{opaque: {{driver: a_b, parameters: {{a: {long}}}}}}}]"
        )),
    ];
    check_create(
        CLAIMS,
        &cases.each_ref().map(String::as_str),
        expect![[r#"
        spec.devices.requests[0].name: Invalid value: "A": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
        spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required
        spec.devices.requests[1].exactly.deviceClassName: Required value
        spec.devices.requests[1].exactly.count: Invalid value: -1: must be greater than zero
        spec.devices.requests[2].exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'
        spec.devices.requests[2]: Duplicate value: "b"
        spec.devices.requests[0]: Invalid value: null: exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set
        spec.devices.requests[1].name: Invalid value: "": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
        spec.devices.requests[1].exactly.allocationMode: Unsupported value: "Most": supported values: "All", "ExactCount"
        spec.devices.requests[0].firstAvailable[1].deviceClassName: Required value
        spec.devices.requests[0].firstAvailable[1].count: Invalid value: -1: must be greater than zero
        spec.devices.requests[0].firstAvailable[2].name: Invalid value: "": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
        spec.devices.requests[0].firstAvailable[2].deviceClassName: Required value
        spec.devices.requests[0].firstAvailable[1]: Duplicate value: "x"
        spec.devices.requests[0].exactly.tolerations[0].key: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        spec.devices.requests[0].exactly.tolerations[0].value: Invalid value: "v": must be empty for operator `Exists`
        spec.devices.requests[0].exactly.tolerations[1].operator: Unsupported value: "Any": supported values: "Equal", "Exists"
        spec.devices.requests[0].exactly.tolerations[1].effect: Unsupported value: "Some": supported values: "NoExecute", "NoSchedule", "None"
        spec.devices.requests[0].exactly.tolerations[2].value: Invalid value: "a b": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
        spec.devices.requests: Too many: 33: must have at most 32 items
        spec.devices.constraints[0].requests[0]: Invalid value: "z": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'
        spec.devices.constraints[0].requests[3]: Invalid value: "a/y": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'
        spec.devices.constraints[0].requests[4]: Invalid value: "a/x/y": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'
        spec.devices.constraints[0].requests[6]: Invalid value: "A": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
        spec.devices.constraints[0].requests[6]: Invalid value: "A": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'
        spec.devices.constraints[0].requests[5]: Duplicate value: "a"
        spec.devices.constraints[0]: Required value: exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set
        spec.devices.constraints[1].matchAttribute: Invalid value: "a": a fully qualified name must be a domain and a name separated by a slash
        spec.devices.constraints[2].distinctAttribute: Invalid value: "": the domain must not be empty
        spec.devices.constraints[3].matchAttribute: Invalid value: "A_b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        spec.devices.constraints[3].matchAttribute: Invalid value: "1a": a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')
        spec.devices.config[0].opaque: Required value
        spec.devices.config[1].opaque.driver: Required value
        spec.devices.config[1].opaque.parameters: Required value
        spec.devices.config[2].requests[0]: Invalid value: "a": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'
        spec.devices.config[2].opaque.parameters: Invalid value: "<value omitted>": must be a valid JSON object
        spec.devices.config[3].opaque.driver: Invalid value: "a_b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        spec.devices.config[3].opaque.parameters: Too long: may not be more than 10240 bytes"#]],
    );
    check_create(
        TEMPLATES,
        &[
            "{spec: {metadata: {name: a, labels: {a b: c}, annotations: {a b: c}}, spec: {devices: {requests: [{name: a}]}}}}",
        ],
        expect![[r#"
            spec.metadata.annotations: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
            spec.metadata.labels: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
            spec.metadata.name: Forbidden: cannot be set
            spec.spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required"#]],
    );
}

#[test]
fn what_is_asked_for_stays() {
    let a = "{spec: {devices: {requests: [{name: a, exactly: {deviceClassName: c}}], config: [{opaque: {driver: a.b, parameters: {a: '<'}}}]}}}";
    let same = "{spec: {devices: {requests: [{name: a, exactly: {deviceClassName: c, count: 1, selectors: []}}], constraints: [], config: [{opaque: {driver: a.b, parameters: {a: '<'}}}]}}}";
    // What is wrong with it is no longer said.
    let other = "{spec: {devices: {requests: [{name: B}], config: [{opaque: {driver: a.b, parameters: {a: '<'}}}]}}}";
    check_update(
        CLAIMS,
        &[(a, same), (a, other)],
        expect![[r#"
        ok
        spec: Invalid value: {"Devices":{"Requests":[{"Name":"B","Exactly":null,"FirstAvailable":null}],"Constraints":null,"Config":[{"Requests":null,"Opaque":{"Driver":"a.b","Parameters":{"a":"\u003c"}}}]}}: field is immutable"#]],
    );
    let template = |claim: &str| format!("{{spec: {claim}}}");
    check_update(
        TEMPLATES,
        &[(&template(a), &template(same)), (&template(a), &template(other))],
        expect![[r#"
        ok
        spec.spec.devices.requests[0].name: Invalid value: "B": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
        spec.spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required
        spec: Invalid value: {"Spec":{"Devices":{"Requests":[{"Name":"B","Exactly":null,"FirstAvailable":null}],"Constraints":null,"Config":[{"Requests":null,"Opaque":{"Driver":"a.b","Parameters":{"a":"\u003c"}}}]}}}: field is immutable"#]],
    );
}

#[test]
fn classes_select_by_expressions() {
    let select = |expression: &str| format!("{{spec: {{selectors: [{{cel: {{expression: {expression:?}}}}}]}}}}");
    let long = "x".repeat(10 * 1024 + 1);
    let within = |inner: &str| format!("device.attributes.all(k, device.attributes.all(j, {inner}))");
    let cases = [
        select("device.driver == 'a.b' && device.allowMultipleAllocations"),
        select("device.attributes['a.b'].c"),
        select("cel.bind(a, device.attributes['a.b'], a.c && a.version.isGreaterThan(semver('1.2.3')))"),
        select("device.capacity['a.b'].memory.compareTo(quantity('1Gi')) >= 0"),
        select(""),
        select("1"),
        select("device.attributes"),
        select("device.foo"),
        select("device.attributes['a.b'].c.exists(x, x)"),
        select(&within(&within("k + j == 'a'"))),
        select(&long),
        "{spec: {selectors: [{}], config: [{opaque: {driver: a.b, parameters: {}}}, {}], extendedResourceName: cpu}}"
            .to_owned(),
        "{spec: {extendedResourceName: a.b/c d}}".to_owned(),
        "{spec: {extendedResourceName: a.b/c}}".to_owned(),
    ];
    check_create(
        CLASSES,
        &cases.each_ref().map(String::as_str),
        expect![[r#"
        ok
        ok
        ok
        ok
        spec.selectors[0].cel.expression: Invalid value: "": compilation failed: ERROR: <input>:1:0: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
        spec.selectors[0].cel.expression: Invalid value: "1": must evaluate to bool or the unknown type, not int
        spec.selectors[0].cel.expression: Invalid value: "device.attributes": must evaluate to bool or the unknown type, not map(string, map(string, google.protobuf.Any))
        spec.selectors[0].cel.expression: Invalid value: "device.foo": compilation failed: ERROR: <input>:1:7: undefined field 'foo'
         | device.foo
         | ......^
        spec.selectors[0].cel.expression: Invalid value: "device.attributes['a.b'].c.exists(x, x)": compilation failed: ERROR: <input>:1:25: expression of type 'any' cannot be range of a comprehension (must be list, map, or dynamic)
         | device.attributes['a.b'].c.exists(x, x)
         | ........................^
        spec.selectors[0].cel.expression: Forbidden: too complex, exceeds cost limit
        spec.selectors[0].cel.expression: Too long: may not be more than 10240 bytes
        spec.selectors[0].cel: Required value
        spec.config[1].opaque: Required value
        spec.extendedResourceName: Invalid value: "cpu": must be a valid extended resource name
        spec.extendedResourceName: Invalid value: "a.b/c d": must be a valid extended resource name
        ok"#]],
    );
}
