//! Devices: what is offered, asked for and allocated.

use expect_test::expect;

use super::{check_create, check_stored, check_update, check_update_of, of, yaml};

const CLAIMS: &str = "resource.k8s.io/resourceclaims";
const TEMPLATES: &str = "resource.k8s.io/resourceclaimtemplates";
const CLASSES: &str = "resource.k8s.io/deviceclasses";
const SLICES: &str = "resource.k8s.io/resourceslices";

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

#[test]
fn slices_offer_devices() {
    let slice = |spec: &str| {
        format!("{{spec: {{driver: a.b, nodeName: node, pool: {{name: p, resourceSliceCount: 1}}, {spec}}}}}")
    };
    let devices = |device: &str| slice(&format!("devices: [{{name: a, {device}}}]"));
    let many = |count: usize, more: &str| {
        let all: Vec<String> = (0..count).map(|index| format!("{{name: d{index}{more}}}")).collect();
        slice(&format!("devices: [{}]", all.join(", ")))
    };
    let attributes: Vec<String> = (0..33).map(|index| format!("a{index}: {{int: 1}}")).collect();
    let key = "x".repeat(120);
    let cases = [
        devices("attributes: {a: {string: b}, a.b/c: {version: 1.2.3-a.1+b}, d: {bool: true}, e: {int: 1}}"),
        "{spec: {nodeName: '', allNodes: false, pool: {generation: -1}}}".to_owned(),
        slice("allNodes: true, nodeSelector: {}, sharedCounters: [{}], devices: [{name: A}, {name: A}]"),
        slice("nodeSelector: {nodeSelectorTerms: [{}, {matchFields: [{key: a, operator: In, values: [b]}]}]}"),
        "{spec: {driver: A_b, allNodes: true, pool: {name: A/b, resourceSliceCount: 1}}}".to_owned(),
        many(129, ""),
        many(65, ", taints: [{key: a, effect: None}]"),
        devices("attributes: {/: {int: 1}, 1a: {int: 1}, a: {string: b, int: 1}, a/b/c: {int: 1}, b: {}, c: {ints: [1]}, d: {version: 1.02.3}}"),
        devices(&format!("attributes: {{{key}: {{version: 1.2.3-{key}}}}}")),
        devices(&format!("attributes: {{{}}}", attributes.join(", "))),
        devices("taints: [{key: a b, value: a b, effect: Some}, {}]"),
        devices("consumesCounters: [{counterSet: s, counters: {A: {value: 1}}}, {counterSet: s}]"),
        devices("consumesCounters: [{}, {}, {}]"),
        devices("bindingConditions: [a, a, b c], bindingFailureConditions: [a, d, d]"),
        devices("bindingConditions: [a, b, c, d, e]"),
        devices("bindingFailureConditions: [a]"),
        devices("nodeName: node"),
        slice("sharedCounters: [{name: s, counters: {a: {value: 1}}}, {name: s}]"),
        "{spec: {driver: a.b, perDeviceNodeSelection: true, pool: {name: p, resourceSliceCount: 1}, devices: [{name: a}, {name: b, nodeName: A, allNodes: true}, {name: c, nodeName: '', allNodes: false, nodeSelector: {}}]}}".to_owned(),
    ];
    check_create(
        SLICES,
        &cases.each_ref().map(String::as_str),
        expect![[r#"
        ok
        spec.driver: Required value
        spec.pool.name: Required value
        spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero
        spec.pool.generation: Invalid value: -1: must be greater than or equal to zero
        spec.nodeName: Invalid value: "": must be either unset or set to a non-empty string
        spec.allNodes: Invalid value: false: must be either unset or set to true
        spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required
        spec.nodeSelector.nodeSelectorTerms: Required value: must have at least one node selector term
        spec.nodeSelector.nodeSelectorTerms: Invalid value: null: must have exactly one node selector term
        spec: Invalid value: "{`nodeName`, `nodeSelector`, `allNodes`}": exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set
        spec: Invalid value: "": only one of `sharedCounters` or `devices` is allowed
        spec.devices[0].name: Invalid value: "A": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
        spec.devices[1].name: Invalid value: "A": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
        spec.devices[1]: Duplicate value: "A"
        spec.sharedCounters[0].name: Required value
        spec.sharedCounters[0].counters: Required value
        spec.nodeSelector.nodeSelectorTerms[1].matchFields[0].key: Invalid value: "a": not a valid field selector key
        spec.nodeSelector.nodeSelectorTerms: Invalid value: [{"MatchExpressions":null,"MatchFields":null},{"MatchExpressions":null,"MatchFields":[{"Key":"a","Operator":"In","Values":["b"]}]}]: must have exactly one node selector term
        spec: Invalid value: "{`nodeName`, `nodeSelector`}": exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set
        spec.driver: Invalid value: "A_b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        spec.pool.name: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        spec.devices: Too many: 129: must have at most 128 items
        spec.devices: Too many: 65: must have at most 64 items
        spec.devices[0].attributes: Invalid value: "": the domain must not be empty
        spec.devices[0].attributes: Invalid value: "": the name must not be empty
        spec.devices[0].attributes: Invalid value: "1a": a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')
        spec.devices[0].attributes[a]: Invalid value: {"IntValue":1,"BoolValue":null,"StringValue":"b","VersionValue":null,"IntValues":null,"BoolValues":null,"StringValues":null,"VersionValues":null}: exactly one value must be specified
        spec.devices[0].attributes[b]: Invalid value: "": exactly one value must be specified
        spec.devices[0].attributes[c]: Invalid value: "": exactly one value must be specified
        spec.devices[0].attributes[d].version: Invalid value: "1.02.3": must be a string compatible with semver.org spec 2.0.0
        spec.devices[0].attributes: Too long: may not be more than 32 bytes
        spec.devices[0].attributes[xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx].version: Too long: may not be more than 64 bytes
        spec.devices[0]: Invalid value: 33: the total number of attributes and capacities must not exceed 32
        spec.devices[0].taints[0].key: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        spec.devices[0].taints[0].value: Invalid value: "a b": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
        spec.devices[0].taints[0].effect: Unsupported value: "Some": supported values: "NoExecute", "NoSchedule", "None"
        spec.devices[0].taints[1].key: Invalid value: "": name part must be non-empty
        spec.devices[0].taints[1].key: Invalid value: "": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        spec.devices[0].taints[1].effect: Required value
        spec.devices[0].consumesCounters[0].counters: Invalid value: "A": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
        spec.devices[0].consumesCounters[1].counters: Required value
        spec.devices[0].consumesCounters[1]: Duplicate value: "s"
        spec.devices[0].consumesCounters: Too many: 3: must have at most 2 items
        spec.devices[0].bindingConditions[2]: Invalid value: "b c": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        spec.devices[0].bindingConditions[1]: Duplicate value: "a"
        spec.devices[0].bindingFailureConditions[0]: Invalid value: "a": bindingFailureConditions must not overlap with bindingConditions
        spec.devices[0].bindingFailureConditions[2]: Duplicate value: "d"
        spec.devices[0].bindingConditions: Too many: 5: must have at most 4 items
        spec.devices[0].bindingFailureConditions: Invalid value: null: bindingFailureConditions are required to use bindingConditions
        spec.devices[0].bindingConditions: Invalid value: null: bindingConditions are required to use bindingFailureConditions
        spec.devices[0]: Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec
        spec.sharedCounters[1].counters: Required value
        spec.sharedCounters[1]: Duplicate value: "s"
        spec.devices[0]: Required value: exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec
        spec.devices[1].nodeName: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        spec.devices[1]: Invalid value: "{`nodeName`, `allNodes`}": exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec
        spec.devices[2].nodeName: Invalid value: "": must not be empty
        spec.devices[2].nodeSelector.nodeSelectorTerms: Required value: must have at least one node selector term
        spec.devices[2].allNodes: Invalid value: false: must be either unset or set to true"#]],
    );
    let old = slice("devices: [{name: a, taints: [{key: a b, effect: None}]}]");
    let new = "{spec: {driver: c.d, allNodes: true, pool: {name: q, resourceSliceCount: 1}, devices: [{name: a, taints: [{key: a b, effect: None}]}]}}";
    check_update(
        SLICES,
        &[(&old, &old), (&old, new)],
        expect![[r#"
        ok
        spec.pool.name: Invalid value: "q": field is immutable
        spec.driver: Invalid value: "c.d": field is immutable
        spec.nodeName: Invalid value: null: field is immutable"#]],
    );
    let warn = "{spec: {driver: A.b}}";
    assert_eq!(
        of(SLICES).warnings(&yaml(warn)),
        [r#"spec.driver: driver names should be lowercase; "A.b" contains uppercase characters"#]
    );
}

#[test]
fn capacities_are_given_away_in_amounts() {
    let capacity = |policy: &str| {
        format!(
            "{{spec: {{driver: a.b, nodeName: node, pool: {{name: p, resourceSliceCount: 1}}, devices: [{{name: a, \
             allowMultipleAllocations: true, capacity: {{m: {{value: 10Gi, requestPolicy: {{{policy}}}}}}}}}]}}}}"
        )
    };
    let cases = [
        capacity("default: 2Gi, validValues: [1Gi, 2Gi]"),
        capacity("default: 2, validRange: {min: 1, max: 9, step: 1}"),
        capacity("default: 1, validValues: [1], validRange: {min: 1}"),
        capacity("validValues: [1]"),
        capacity("validRange: {}"),
        capacity("default: 1, validRange: {}"),
        capacity("default: 3, validValues: [2, 1, 2, 11Gi]"),
        capacity("default: 3, validValues: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]"),
        capacity("default: 1, validRange: {min: 2, max: 11Gi}"),
        capacity("default: 12Gi, validRange: {min: 11Gi, max: 10Gi, step: 3}"),
        capacity("default: 4, validRange: {min: 1, max: 5, step: 2}"),
        capacity("default: 1, validRange: {min: 1, step: 0}"),
        capacity("default: 1").replace("allowMultipleAllocations: true", "allowMultipleAllocations: false"),
    ];
    check_create(
        SLICES,
        &cases.each_ref().map(String::as_str),
        expect![[r#"
        ok
        ok
        spec.devices[0].capacity[m].requestPolicy: Forbidden: exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time
        spec.devices[0].capacity[m].requestPolicy.default: Required value: required when validValues is defined
        spec.devices[0].capacity[m].requestPolicy.default: Required value: required when validRange is defined
        spec.devices[0].capacity[m].requestPolicy.validRange.min: Required value: required when validRange is defined
        spec.devices[0].capacity[m].requestPolicy.validValues[1]: Invalid value: "1": values must be sorted in ascending order
        spec.devices[0].capacity[m].requestPolicy.validValues[3]: Invalid value: "11Gi": option is larger than capacity value: 10Gi
        spec.devices[0].capacity[m].requestPolicy.validValues[2]: Duplicate value: "2"
        spec.devices[0].capacity[m].requestPolicy.validValues: Invalid value: "3": default value is not valid according to the requestPolicy
        spec.devices[0].capacity[m].requestPolicy.validValues: Too many: 11: must have at most 10 items
        spec.devices[0].capacity[m].requestPolicy.validValues: Invalid value: "3": default value is not valid according to the requestPolicy
        spec.devices[0].capacity[m].requestPolicy.validRange.min: Invalid value: "1": default is less than min: 2
        spec.devices[0].capacity[m].requestPolicy.validRange.max: Invalid value: "11Gi": max is larger than capacity value: 10Gi
        spec.devices[0].capacity[m].requestPolicy.validRange.min: Invalid value: "11Gi": min is larger than capacity value: 10Gi
        spec.devices[0].capacity[m].requestPolicy.validRange.max: Invalid value: "11Gi": min is larger than max: 10Gi
        spec.devices[0].capacity[m].requestPolicy.validRange.max: Invalid value: "12Gi": default is more than max: 10Gi
        spec.devices[0].capacity[m].requestPolicy.validRange.step: Invalid value: "3": one step 11811160067 is larger than capacity value: 10Gi
        spec.devices[0].capacity[m].requestPolicy.validRange.step: Invalid value: "12Gi": value is not a multiple of a given step (3) from (11Gi)
        spec.devices[0].capacity[m].requestPolicy.validRange.step: Invalid value: "10Gi": value is not a multiple of a given step (3) from (11Gi)
        spec.devices[0].capacity[m].requestPolicy.validRange.step: Invalid value: "4": value is not a multiple of a given step (2) from (1)
        spec.devices[0].capacity[m].requestPolicy.validRange.step: Invalid value: "1": value is not a multiple of a given step (0) from (1)
        spec.devices[0].capacity[m].requestPolicy: Forbidden: allowMultipleAllocations must be true"#]],
    );
}

#[test]
fn slices_keep_what_upstream_keeps() {
    check_stored(
        SLICES,
        "{spec: {driver: a.b, allNodes: true, pool: {name: p, resourceSliceCount: 1}, sharedCounters: [{name: s, counters: {c: {value: 1000m}}}], devices: [{name: a, \
         attributes: {a: {int: 1, ints: [1]}}, nodeAllocatableResourceMappings: {cpu: {capacityKey: m}}, taints: [{key: a, effect: NoExecute}], \
         capacity: {m: {value: 1024Mi, requestPolicy: {default: 1000m, validValues: [1000m], validRange: {min: 1000m}}}}, consumesCounters: [{counterSet: s, counters: {c: {value: 0.5}}}]}]}}",
        expect![[r#"
            spec:
              allNodes: true
              devices:
              - attributes:
                  a:
                    int: 1
                capacity:
                  m:
                    requestPolicy:
                      default: '1'
                      validRange:
                        min: '1'
                      validValues:
                      - '1'
                    value: 1Gi
                consumesCounters:
                - counterSet: s
                  counters:
                    c:
                      value: 500m
                name: a
                taints:
                - effect: NoExecute
                  key: a
                  timeAdded: 2026-01-02T03:04:05Z
              driver: a.b
              pool:
                name: p
                resourceSliceCount: 1
              sharedCounters:
              - counters:
                  c:
                    value: '1'
                name: s
        "#]],
    );
}

/// A claim with a status.
fn claim(status: &str) -> String {
    format!("{{spec: {{devices: {{requests: [{{name: a, exactly: {{deviceClassName: c}}}}]}}}}, status: {{{status}}}}}")
}

const ALLOCATED: &str = "allocation: {devices: {results: [{request: a, driver: a.b, pool: p, device: d}]}}";

#[test]
fn claims_are_allocated_and_reserved() {
    let none = claim("");
    let users: Vec<String> = (0..257).map(|index| format!("{{resource: pods, name: a, uid: u{index}}}")).collect();
    let statuses = [
        format!("{ALLOCATED}, reservedFor: [{{resource: pods, name: a, uid: u}}]"),
        "reservedFor: [{resource: pods, name: a, uid: u}, {uid: u}, {}]".to_owned(),
        format!("{ALLOCATED}, reservedFor: [{}]", users.join(", ")),
        "allocation: {devices: {results: [{}, {request: b, driver: A_b, pool: A/b, device: D, shareID: x, bindingConditions: [a]}]}}".to_owned(),
        "allocation: {nodeSelector: {}, devices: {config: [{}, {source: Elsewhere, requests: [a, a, b]}, {source: FromClass, opaque: {driver: a.b, parameters: {}}}]}}".to_owned(),
    ];
    let shares = [
        "0123456789ab-cdef-0123-456789abcdef",
        "01234567-89AB-cdef-0123-456789abcdef",
        "{01234567-89ab-cdef-0123-456789abcdef}",
        "(01234567-89ab-cdef-0123-456789abcdef}",
        "urn:uuid:01234567-89ab-cdef-0123-456789abcdef",
        "urn-uuid:01234567-89ab-cdef-0123-456789abcdef",
        "0123456789abcdef0123456789abcdef",
        "0123456789abcdef0123456789abcdeg",
        "01234567-89ab-cdef-0123-456789abcdeg",
    ];
    let shares = shares.map(|share| {
        format!("allocation: {{devices: {{results: [{{request: a, driver: a.b, pool: p, device: d, shareID: '{share}'}}]}}}}")
    });
    let cases: Vec<String> = statuses.iter().chain(&shares).map(|status| claim(status)).collect();
    let cases: Vec<(&str, &str)> = cases.iter().map(|new| (none.as_str(), new.as_str())).collect();
    check_update_of(
        CLAIMS,
        "status",
        &cases,
        expect![[r#"
        ok
        status.reservedFor[1].resource: Required value
        status.reservedFor[1].name: Required value
        status.reservedFor[2].resource: Required value
        status.reservedFor[2].name: Required value
        status.reservedFor[2].uid: Required value
        status.reservedFor[1]: Duplicate value: "u"
        status.reservedFor: Forbidden: may not be specified when `allocated` is not set
        status.reservedFor: Too many: 257: must have at most 256 items
        status.allocation.devices.results[0].request: Invalid value: "": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
        status.allocation.devices.results[0].request: Invalid value: "": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'
        status.allocation.devices.results[0].driver: Required value
        status.allocation.devices.results[0].pool: Required value
        status.allocation.devices.results[0].device: Invalid value: "": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
        status.allocation.devices.results[1].request: Invalid value: "b": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'
        status.allocation.devices.results[1].driver: Invalid value: "A_b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        status.allocation.devices.results[1].pool: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        status.allocation.devices.results[1].device: Invalid value: "D": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
        status.allocation.devices.results[1].bindingFailureConditions: Invalid value: null: bindingFailureConditions are required to use bindingConditions
        status.allocation.devices.results[1].shareID: Invalid value: "x": error validating uid: invalid UUID length: 1
        status.allocation.devices.config[0].source: Required value
        status.allocation.devices.config[0].opaque: Required value
        status.allocation.devices.config[1].source: Unsupported value: "Elsewhere": supported values: "FromClaim", "FromClass"
        status.allocation.devices.config[1].requests[2]: Invalid value: "b": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'
        status.allocation.devices.config[1].requests[1]: Duplicate value: "a"
        status.allocation.devices.config[1].opaque: Required value
        status.allocation.nodeSelector.nodeSelectorTerms: Required value: must have at least one node selector term
        status.allocation.devices.results[0].shareID: Invalid value: "0123456789ab-cdef-0123-456789abcdef": error validating uid: invalid UUID length: 35
        status.allocation.devices.results[0].shareID: Invalid value: "01234567-89AB-cdef-0123-456789abcdef": uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters
        status.allocation.devices.results[0].shareID: Invalid value: "{01234567-89ab-cdef-0123-456789abcdef}": uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters
        status.allocation.devices.results[0].shareID: Invalid value: "(01234567-89ab-cdef-0123-456789abcdef}": error validating uid: invalid bracketed UUID format
        status.allocation.devices.results[0].shareID: Invalid value: "urn:uuid:01234567-89ab-cdef-0123-456789abcdef": uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters
        status.allocation.devices.results[0].shareID: Invalid value: "urn-uuid:01234567-89ab-cdef-0123-456789abcdef": error validating uid: invalid urn prefix: "urn-uuid:"
        status.allocation.devices.results[0].shareID: Invalid value: "0123456789abcdef0123456789abcdef": uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters
        status.allocation.devices.results[0].shareID: Invalid value: "0123456789abcdef0123456789abcdeg": error validating uid: invalid UUID format
        status.allocation.devices.results[0].shareID: Invalid value: "01234567-89ab-cdef-0123-456789abcdeg": error validating uid: invalid UUID format"#]],
    );
}

#[test]
fn drivers_tell_of_what_is_allocated() {
    let none = claim("");
    let device = |more: &str| claim(&format!("{ALLOCATED}, devices: [{{driver: a.b, pool: p, device: d, {more}}}]"));
    let conditions: Vec<String> = (0..9)
        .map(|index| {
            format!("{{type: t{index}, status: 'True', reason: R, lastTransitionTime: '2026-01-01T00:00:00Z'}}")
        })
        .collect();
    let cases = [
        device("data: {a: b}, networkData: {interfaceName: e, ips: [1.2.3.4/24, '::1/64']}"),
        device("data: [], networkData: {ips: [1.2.3.4, 1.2.3.04/24, '::ffff:1.2.3.4/120', 1.2.3.4/24, 1.2.3.4/24]}"),
        device(&format!("conditions: [{}]", conditions.join(", "))),
        device("conditions: [{}]"),
        device(&format!("networkData: {{interfaceName: {0}, hardwareAddress: {0}}}", "x".repeat(300))),
        claim(&format!(
            "{ALLOCATED}, devices: [{{}}, {{driver: a.b, pool: p, device: e}}, {{driver: a.b, pool: p, device: e}}]"
        )),
    ];
    let cases: Vec<(&str, &str)> = cases.iter().map(|new| (none.as_str(), new.as_str())).collect();
    check_update_of(
        CLAIMS,
        "status",
        &cases,
        expect![[r#"
        ok
        status.devices[0].data: Invalid value: "<value omitted>": must be a valid JSON object
        status.devices[0].networkData.ips[0]: Invalid value: "1.2.3.4": must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)
        status.devices[0].networkData.ips[1]: Invalid value: "1.2.3.04/24": must be in canonical form ("1.2.3.4/24")
        status.devices[0].networkData.ips[2]: Invalid value: "::ffff:1.2.3.4/120": must be in canonical form ("1.2.3.4/24")
        status.devices[0].networkData.ips[4]: Duplicate value: "1.2.3.4/24"
        status.devices[0].conditions: Too many: 9: must have at most 8 items
        status.devices[0].conditions[0].type: Invalid value: "": name part must be non-empty
        status.devices[0].conditions[0].type: Invalid value: "": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        status.devices[0].conditions[0].status: Unsupported value: "": supported values: "False", "True", "Unknown"
        status.devices[0].conditions[0].lastTransitionTime: Required value
        status.devices[0].conditions[0].reason: Required value
        status.devices[0].networkData.interfaceName: Too long: may not be more than 256 bytes
        status.devices[0].networkData.hardwareAddress: Too long: may not be more than 128 bytes
        status.devices[0].driver: Required value
        status.devices[0].pool: Required value
        status.devices[0].device: Invalid value: "": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
        status.devices[0]: Invalid value: {"Driver":"","Pool":"","Device":"","ShareID":""}: must be an allocated device in the claim
        status.devices[1]: Invalid value: {"Driver":"a.b","Pool":"p","Device":"e","ShareID":""}: must be an allocated device in the claim
        status.devices[2]: Invalid value: {"Driver":"a.b","Pool":"p","Device":"e","ShareID":""}: must be an allocated device in the claim
        status.devices[2]: Duplicate value: {"Driver":"a.b","Pool":"p","Device":"e","ShareID":""}"#]],
    );
}

/// Statuses one after the other.
fn after(old: &str, new: &str) -> (serde_json::Value, Vec<String>) {
    let (strategy, context) = (of(CLAIMS), super::context("status"));
    let (mut old, mut new) = (yaml(old), yaml(new));
    strategy.default(&mut old);
    strategy.default(&mut new);
    strategy.prepare_for_update(&mut new, &old, &context);
    let errors = strategy.validate_changed(&new, &old, &context, &mut Vec::new());
    (new["status"].take(), errors.iter().map(ToString::to_string).collect())
}

#[test]
fn allocations_stay_until_they_are_taken_back() {
    let reserved = format!("{ALLOCATED}, reservedFor: [{{resource: pods, name: a, uid: u}}]");
    let told = format!("{ALLOCATED}, devices: [{{driver: a.b, pool: p, device: d}}]");
    let (_, errors) = after(&claim(ALLOCATED), &claim(&ALLOCATED.replace("device: d", "device: e")));
    expect![[r#"
        status.allocation: Invalid value: {"Devices":{"Results":[{"Request":"a","Driver":"a.b","Pool":"p","Device":"e","AdminAccess":null,"Tolerations":null,"BindingConditions":null,"BindingFailureConditions":null,"ShareID":null,"ConsumedCapacity":null}],"Config":null},"NodeSelector":null,"AllocationTimestamp":null}: field is immutable"#]].assert_eq(&errors.join("\n"));
    let (status, errors) = after(&claim(&told), &claim("devices: [{driver: a.b, pool: p, device: d}]"));
    assert_eq!((status, errors.len()), (serde_json::json!({}), 0), "what was said of it goes with it");
    let leaving =
        |status: &str| claim(status).replacen('{', "{metadata: {deletionTimestamp: '2026-01-01T00:00:00Z'}, ", 1);
    let (_, errors) = after(&leaving(ALLOCATED), &leaving(&reserved));
    expect![[r#"
        status.reservedFor: Forbidden: new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"#]].assert_eq(&errors.join("\n"));
    assert_eq!(after(&leaving(&reserved), &leaving(&reserved)).1, [""; 0]);
}
