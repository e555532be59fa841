//! Devices that are allocated, reserved and reported: the status of claims.

use expect_test::expect;

use super::{check_update_of, of, yaml};

const CLAIMS: &str = "resource.k8s.io/resourceclaims";

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
