use expect_test::expect;

use super::check_rows;

/// A pod with one container, made an hour ago.
fn pod(metadata: &str, status: &str) -> String {
    format!(
        "{{metadata: {{name: p, creationTimestamp: '2026-01-02T02:04:05Z'{metadata}}}, spec: {{nodeName: n1, initContainers: [{{name: i}}, {{name: s, restartPolicy: Always}}], containers: [{{name: c}}]}}, status: {{{status}}}}}"
    )
}

#[test]
fn the_status_column_says_what_holds_a_pod_up() {
    let initialised = "conditions: [{type: Initialized, status: 'True'}, {type: Ready, status: 'True'}]";
    let pods = [
        pod("", "phase: Pending"),
        pod("", "phase: Pending, conditions: [{type: PodScheduled, status: 'False', reason: SchedulingGated}]"),
        pod("", "phase: Pending, initContainerStatuses: [{name: i, state: {running: {}}}]"),
        pod(
            "",
            "phase: Pending, initContainerStatuses: [{name: i, restartCount: 2, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {finishedAt: '2026-01-02T02:59:05Z'}}}]",
        ),
        pod("", "phase: Pending, initContainerStatuses: [{name: i, state: {terminated: {exitCode: 3}}}]"),
        pod(
            "",
            "phase: Pending, initContainerStatuses: [{name: i, state: {terminated: {exitCode: 0}}}, {name: s, started: true, ready: true, state: {running: {}}}], containerStatuses: [{name: c, state: {waiting: {reason: ImagePullBackOff}}}]",
        ),
        pod(
            "",
            &format!(
                "phase: Running, podIPs: [{{ip: 10.42.0.7}}], {initialised}, containerStatuses: [{{name: c, ready: true, restartCount: 3, state: {{running: {{}}}}, lastState: {{terminated: {{finishedAt: '2026-01-02T02:59:05Z'}}}}}}]"
            ),
        ),
        pod(
            "",
            &format!(
                "phase: Running, {initialised}, containerStatuses: [{{name: c, restartCount: 1, state: {{waiting: {{reason: CrashLoopBackOff}}}}}}]"
            ),
        ),
        pod(
            "",
            "phase: Succeeded, containerStatuses: [{name: c, state: {terminated: {exitCode: 0, reason: Completed}}}]",
        ),
        pod("", "phase: Failed, containerStatuses: [{name: c, state: {terminated: {exitCode: 1, reason: Error}}}]"),
        pod("", "phase: Failed, containerStatuses: [{name: c, state: {terminated: {signal: 9, exitCode: 137}}}]"),
        pod("", "phase: Failed, reason: Evicted"),
        pod(", deletionTimestamp: '2026-01-02T03:04:00Z'", "phase: Running"),
        pod(", deletionTimestamp: '2026-01-02T03:04:00Z'", "phase: Running, reason: NodeLost"),
    ];
    check_rows(
        "pods",
        &pods.iter().map(String::as_str).collect::<Vec<_>>(),
        expect![[r#"
        NAME; READY; STATUS; RESTARTS; AGE | IP; NODE; NOMINATED NODE; READINESS GATES
        p; 0/2; Pending; 0; 60m | <none>; n1; <none>; <none>
        p; 0/2; SchedulingGated; 0; 60m | <none>; n1; <none>; <none>
        p; 0/2; Init:0/2; 0; 60m | <none>; n1; <none>; <none>
        p; 0/2; Init:CrashLoopBackOff; 2 (5m ago); 60m | <none>; n1; <none>; <none>
        p; 0/2; Init:ExitCode:3; 0; 60m | <none>; n1; <none>; <none>
        p; 1/2; ImagePullBackOff; 0; 60m | <none>; n1; <none>; <none>
        p; 1/2; Running; 3 (5m ago); 60m | 10.42.0.7; n1; <none>; <none>
        p; 0/2; CrashLoopBackOff; 1; 60m | <none>; n1; <none>; <none>
        p; 0/2; Completed; 0; 60m | <none>; n1; <none>; <none>
        p; 0/2; Error; 0; 60m | <none>; n1; <none>; <none>
        p; 0/2; Signal:9; 0; 60m | <none>; n1; <none>; <none>
        p; 0/2; Evicted; 0; 60m | <none>; n1; <none>; <none>
        p; 0/2; Terminating; 0; 60m | <none>; n1; <none>; <none>
        p; 0/2; Unknown; 0; 60m | <none>; n1; <none>; <none>"#]],
    );
}
