//! What upstream refuses of jobs and of what is said of them.

use expect_test::expect;

use super::refusals::check_all;
use super::{context, lines, of, yaml};

fn job(fields: &str) -> String {
    let template = "template: {spec: {restartPolicy: Never, containers: [{name: a, image: x}]}}";
    format!("{{metadata: {{name: a, uid: u}}, spec: {{{fields}, {template}}}}}")
}

#[test]
fn jobs() {
    let indexed = "completionMode: Indexed, completions: 5, parallelism: 2";
    let rule = |rule: &str| job(&format!("podFailurePolicy: {{rules: [{rule}]}}"));
    let success = |rules: &str| job(&format!("{indexed}, successPolicy: {{rules: [{rules}]}}"));
    check_all(
        "batch/jobs",
        &[
            job(indexed),
            job("backoffLimitPerIndex: 1"),
            job(&format!("{indexed}, maxFailedIndexes: 6")),
            job(&format!("{indexed}, backoffLimitPerIndex: -1, maxFailedIndexes: 200000")),
            job("completionMode: Indexed, completions: 200000, parallelism: 20000, backoffLimitPerIndex: 1"),
            job("completionMode: Indexed, parallelism: 100001"),
            job("completionMode: Sorted"),
            job("managedBy: 'a b'"),
            job("managedBy: example.com/other"),
            job("managedBy: 'Example.com/a b'"),
            job("podReplacementPolicy: Later"),
            job("podReplacementPolicy: TerminatingOrFailed, podFailurePolicy: {rules: []}"),
            rule("{action: Foo, onPodConditions: [{type: DisruptionTarget}]}"),
            rule("{onPodConditions: [{type: 'a b', status: Maybe}]}"),
            rule("{action: FailIndex, onExitCodes: {operator: In, values: [1]}}"),
            rule("{action: FailJob, onExitCodes: {operator: In, values: [0]}}"),
            rule("{action: FailJob, onExitCodes: {operator: Out, containerName: z, values: [3, 2, 2]}}"),
            rule("{action: FailJob, onExitCodes: {operator: In, values: []}, onPodConditions: [{type: A}]}"),
            rule("{action: Ignore}"),
            success(""),
            success("{}"),
            success("{succeededIndexes: '0-2,4', succeededCount: 4}"),
            success("{succeededIndexes: '0-2,4', succeededCount: 5}, {succeededCount: 6}"),
            success("{succeededIndexes: '2-1'}, {succeededIndexes: '1,1'}, {succeededIndexes: '7'}, {succeededIndexes: x}, {succeededIndexes: '1-2-3'}"),
            job("successPolicy: {rules: [{succeededCount: 1}]}"),
            "{metadata: {name: a.b, uid: u}, spec: {completionMode: Indexed, completions: 5, template: {metadata: {labels: {job-name: other}}, spec: {restartPolicy: Always, containers: [{name: a, image: x}]}}}}".into(),
        ],
        expect![[r#"
            ok
            spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode
            spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified
            spec.maxFailedIndexes: Invalid value: 6: must be less than or equal to completions
            spec.backoffLimitPerIndex: Invalid value: -1: must be greater than or equal to 0
            spec.maxFailedIndexes: Invalid value: 200000: must be less than or equal to completions
            spec.maxFailedIndexes: Invalid value: 200000: must be less than or equal to 100000
            spec.maxFailedIndexes: Required value: must be specified when completions is above 100000
            spec.parallelism: Invalid value: 20000: must be less than or equal to 10000 when completions are above 100000 and used with backoff limit per index
            spec.completions: Required value: when completion mode is Indexed
            spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is Indexed
            spec.completionMode: Unsupported value: "Sorted": supported values: "NonIndexed", "Indexed"
            spec.managedBy: Invalid value: "a b": must be a domain-prefixed path (such as "acme.io/foo")
            ok
            spec.managedBy: Invalid value: "Example.com": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            spec.managedBy: Invalid value: "a b": Invalid path (regex used for validation is '[A-Za-z0-9/\-._~%!$&'()*+,;=:]+')
            spec.podReplacementPolicy: Unsupported value: "Later": supported values: "Failed", "TerminatingOrFailed"
            spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported values: "Failed"
            spec.podFailurePolicy.rules[0].action: Unsupported value: "Foo": supported values: "Count", "FailIndex", "FailJob", "Ignore"
            spec.podFailurePolicy.rules[0].action: Required value: valid values: ["Count" "FailIndex" "FailJob" "Ignore"]
            spec.podFailurePolicy.rules[0].onPodConditions[0].type: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
            spec.podFailurePolicy.rules[0].onPodConditions[0].status: Unsupported value: "Maybe": supported values: "False", "True", "Unknown"
            spec.podFailurePolicy.rules[0].action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set
            spec.podFailurePolicy.rules[0].onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator
            spec.podFailurePolicy.rules[0].onExitCodes.operator: Unsupported value: "Out": supported values: "In", "NotIn"
            spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: "z": must be one of the container or initContainer names in the pod template
            spec.podFailurePolicy.rules[0].onExitCodes.values[2]: Duplicate value: 2
            spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [3,2,2]: must be ordered
            spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: []: at least one value is required
            spec.podFailurePolicy.rules[0]: Invalid value: specifying both OnExitCodes and OnPodConditions is not supported
            spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required
            spec.successPolicy.rules: Required value: at least one rules must be specified when the successPolicy is specified
            spec.successPolicy.rules[0]: Required value: at least one of succeededCount or succeededIndexes must be specified
            ok
            spec.successPolicy.rules[0].succeededCount: Invalid value: 5: must be less than or equal to 4 (the number of indexes in the specified succeededIndexes field)
            spec.successPolicy.rules[1].succeededCount: Invalid value: 6: must be less than or equal to 5 (the number of specified completions)
            spec.successPolicy.rules[0].succeededIndexes: Invalid value: "2-1": error parsing succeededIndexes: non-increasing order, previous: 2, current: 1
            spec.successPolicy.rules[1].succeededIndexes: Invalid value: "1,1": error parsing succeededIndexes: non-increasing order, previous: 1, current: 1
            spec.successPolicy.rules[2].succeededIndexes: Invalid value: "7": error parsing succeededIndexes: too large index: "7"
            spec.successPolicy.rules[3].succeededIndexes: Invalid value: "x": error parsing succeededIndexes: cannot convert string to integer for index: "x"
            spec.successPolicy.rules[4].succeededIndexes: Invalid value: "1-2-3": error parsing succeededIndexes: the fragment "1-2-3" violates the requirement that an index interval can have at most two parts separated by '-'
            spec.successPolicy: Invalid value: {"Rules":[{"SucceededIndexes":null,"SucceededCount":1}]}: requires indexed completion mode
            spec.template.metadata.labels[job-name]: Invalid value: {"batch.kubernetes.io/controller-uid":"u","batch.kubernetes.io/job-name":"a.b","controller-uid":"u","job-name":"other"}: must be 'a.b'
            spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"
            metadata.name: Invalid value: "a.b": will not able to create pod with invalid DNS label: a.b-4"#]],
    );
}

#[test]
fn statuses_of_jobs() {
    let job = |status: &str| {
        format!(
            "{{metadata: {{name: a, uid: u}}, spec: {{completionMode: Indexed, completions: 5, parallelism: 5, backoffLimitPerIndex: 1, template: {{spec: {{restartPolicy: Never, containers: [{{name: a, image: x}}]}}}}}}, status: {{{status}}}}}"
        )
    };
    let conditions = |kinds: &[&str]| {
        let listed = kinds.iter().map(|kind| format!("{{type: {kind}, status: 'True'}}"));
        format!("conditions: [{}]", listed.collect::<Vec<_>>().join(", "))
    };
    let (start, end) = ("startTime: '2026-01-01T00:00:00Z'", "completionTime: '2026-01-01T00:01:00Z'");
    let done = format!("{start}, {end}, {}", conditions(&["SuccessCriteriaMet", "Complete"]));
    let cases = [
        (start.to_owned(), done.clone()),
        (done.clone(), format!("{start}, {end}")),
        (start.to_owned(), format!("{start}, {}", conditions(&["Complete"]))),
        (start.to_owned(), format!("{start}, {}", conditions(&["Failed"]))),
        (String::new(), conditions(&["FailureTarget", "Failed"])),
        (start.to_owned(), format!("{done}, active: 1, terminating: 1, uncountedTerminatedPods: {{failed: [x]}}")),
        (start.to_owned(), format!("{start}, completionTime: '2025-01-01T00:00:00Z'")),
        (start.to_owned(), "startTime: '2026-01-02T00:00:00Z'".to_owned()),
        ("failed: 2".to_owned(), "failed: 1, active: 1, ready: 2, succeeded: -1".to_owned()),
        (String::new(), "completedIndexes: '0-2', failedIndexes: '2,9'".to_owned()),
        (String::new(), "completedIndexes: '0-2', failedIndexes: '2-3'".to_owned()),
        (String::new(), "uncountedTerminatedPods: {succeeded: [x, ''], failed: [x]}".to_owned()),
    ];
    let strategy = of("batch/jobs");
    let context = context("status");
    let said =
        cases.iter().map(|(old, new)| lines(&strategy.validate_update(&yaml(&job(new)), &yaml(&job(old)), &context)));
    expect![[r#"
        ok
        status.conditions: Invalid value: cannot disable the terminal Complete=True condition
        status.conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition
        status.completionTime: Invalid value: "2026-01-01T00:01:00Z": cannot set completionTime when there is no Complete=True condition
        status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition
        status.completionTime: Required value: completionTime is required for Complete jobs
        status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition
        status.startTime: Required value: startTime is required for finished job
        status.active: Invalid value: 1: active>0 is invalid for finished job
        status.terminating: Invalid value: 1: terminating>0 is invalid for finished job
        status.uncountedTerminatedPods: Invalid value: {"failed":["x"]}: must be empty for finished job
        status.completionTime: Invalid value: "2025-01-01T00:00:00Z": cannot set completionTime when there is no Complete=True condition
        status.completionTime: Invalid value: "2025-01-01T00:00:00Z": must be equal to or after `startTime`
        status.startTime: Invalid value: "2026-01-02T00:00:00Z": field is immutable for unsuspended job once set
        status.succeeded: Invalid value: -1: must be greater than or equal to 0
        status.ready: Invalid value: 2: cannot set more ready pods than active
        status.failed: Invalid value: 1: cannot decrease the failed counter
        status.failedIndexes: Invalid value: "2,9": error parsing failedIndexes: too large index: "9"
        status.failedIndexes: Invalid value: "2,9": failedIndexes and completedIndexes overlap at index: 2
        status.failedIndexes: Invalid value: "2-3": failedIndexes and completedIndexes overlap at index: 2
        status.uncountedTerminatedPods.succeeded[1]: Invalid value: "": must not be empty
        status.uncountedTerminatedPods.failed[0]: Duplicate value: "x""#]].assert_eq(&said.collect::<Vec<_>>().join("\n"));
}
