//! Devices that are offered.

use expect_test::expect;

use super::{check_create, check_stored, check_update, of, yaml};

const SLICES: &str = "resource.k8s.io/resourceslices";

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
