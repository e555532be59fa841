use expect_test::expect;
use serde_json::json;

use super::{check_stored, context, of, yaml};

#[test]
fn deployment() {
    check_stored(
        "apps/deployments",
        "{spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: 'nginx:1', ports: [{containerPort: 80}]}]}}}}",
        expect![[r#"
            spec:
              progressDeadlineSeconds: 600
              replicas: 1
              revisionHistoryLimit: 10
              selector:
                matchLabels:
                  a: b
              strategy:
                rollingUpdate:
                  maxSurge: 25%
                  maxUnavailable: 25%
                type: RollingUpdate
              template:
                metadata:
                  labels:
                    a: b
                spec:
                  containers:
                  - image: nginx:1
                    imagePullPolicy: IfNotPresent
                    name: c
                    ports:
                    - containerPort: 80
                      protocol: TCP
                    resources: {}
                    terminationMessagePath: /dev/termination-log
                    terminationMessagePolicy: File
                  dnsPolicy: ClusterFirst
                  restartPolicy: Always
                  schedulerName: default-scheduler
                  securityContext: {}
                  terminationGracePeriodSeconds: 30
        "#]],
    );
}

#[test]
fn pod() {
    check_stored(
        "pods",
        "{spec: {serviceAccount: s, hostNetwork: true, containers: [{name: c, image: nginx, ports: [{containerPort: 80}], resources: {limits: {cpu: 1, memory: 1Gi}, requests: {memory: 1Mi}}, livenessProbe: {httpGet: {port: 80}}, env: [{name: N, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]}], volumes: [{name: e}, {name: s, secret: {secretName: x}}, {name: p, projected: {sources: [{serviceAccountToken: {path: token}}]}}]}}",
        expect![[r#"
            spec:
              containers:
              - env:
                - name: N
                  valueFrom:
                    fieldRef:
                      apiVersion: v1
                      fieldPath: metadata.name
                image: nginx
                imagePullPolicy: Always
                livenessProbe:
                  failureThreshold: 3
                  httpGet:
                    path: /
                    port: 80
                    scheme: HTTP
                  periodSeconds: 10
                  successThreshold: 1
                  timeoutSeconds: 1
                name: c
                ports:
                - containerPort: 80
                  hostPort: 80
                  protocol: TCP
                resources:
                  limits:
                    cpu: '1'
                    memory: 1Gi
                  requests:
                    cpu: '1'
                    memory: 1Mi
                terminationMessagePath: /dev/termination-log
                terminationMessagePolicy: File
              dnsPolicy: ClusterFirst
              enableServiceLinks: true
              hostNetwork: true
              restartPolicy: Always
              schedulerName: default-scheduler
              securityContext: {}
              serviceAccount: s
              serviceAccountName: s
              terminationGracePeriodSeconds: 30
              volumes:
              - emptyDir: {}
                name: e
              - name: s
                secret:
                  defaultMode: 420
                  secretName: x
              - name: p
                projected:
                  defaultMode: 420
                  sources:
                  - serviceAccountToken:
                      expirationSeconds: 3600
                      path: token
            status:
              phase: Pending
              qosClass: Burstable
        "#]],
    );
}

#[test]
fn resources_of_a_pod_as_a_whole() {
    let requests = |resources: &str, containers: &str| {
        let pod = format!("{{spec: {{resources: {resources}, containers: {containers}}}}}");
        let (strategy, mut stored) = (of("pods"), yaml(&pod));
        strategy.default(&mut stored);
        strategy.prepare_for_create(&mut stored, &context(""));
        (stored["spec"]["resources"]["requests"].clone(), stored["status"]["qosClass"].clone())
    };
    let two = "[{name: a, image: x, resources: {requests: {cpu: 500m}}}, {name: b, image: x, resources: {limits: {cpu: '1'}}}]";
    for (resources, containers, expected, class) in [
        ("{limits: {cpu: '2', memory: 1Gi}}", two, json!({"cpu": "1500m", "memory": "1Gi"}), "Burstable"),
        (
            "{limits: {cpu: '2', memory: 1Gi}}",
            "[{name: a, image: x}]",
            json!({"cpu": "2", "memory": "1Gi"}),
            "Guaranteed",
        ),
        ("{requests: {cpu: '2'}}", two, json!({"cpu": "2"}), "Burstable"),
    ] {
        assert_eq!(requests(resources, containers), (expected, class.into()), "{resources} {containers}");
    }
}

#[test]
fn service() {
    check_stored(
        "services",
        "{spec: {type: LoadBalancer, ports: [{port: 80}]}}",
        expect![[r#"
            spec:
              allocateLoadBalancerNodePorts: true
              externalTrafficPolicy: Cluster
              internalTrafficPolicy: Cluster
              ports:
              - port: 80
                protocol: TCP
                targetPort: 80
              sessionAffinity: None
              type: LoadBalancer
            status:
              loadBalancer: {}
        "#]],
    );
    check_stored(
        "services",
        "{spec: {sessionAffinity: ClientIP, ports: [{port: 80, targetPort: http}]}}",
        expect![[r#"
            spec:
              internalTrafficPolicy: Cluster
              ports:
              - port: 80
                protocol: TCP
                targetPort: http
              sessionAffinity: ClientIP
              sessionAffinityConfig:
                clientIP:
                  timeoutSeconds: 10800
              type: ClusterIP
            status:
              loadBalancer: {}
        "#]],
    );
}

#[test]
fn job() {
    check_stored(
        "batch/jobs",
        "{metadata: {name: j, uid: u1}, spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: 'x@sha256:0'}]}}}}",
        expect![[r#"
            metadata:
              labels:
                batch.kubernetes.io/controller-uid: u1
                batch.kubernetes.io/job-name: j
                controller-uid: u1
                job-name: j
              name: j
              uid: u1
            spec:
              backoffLimit: 6
              completionMode: NonIndexed
              completions: 1
              manualSelector: false
              parallelism: 1
              podReplacementPolicy: TerminatingOrFailed
              selector:
                matchLabels:
                  batch.kubernetes.io/controller-uid: u1
              suspend: false
              template:
                metadata:
                  labels:
                    batch.kubernetes.io/controller-uid: u1
                    batch.kubernetes.io/job-name: j
                    controller-uid: u1
                    job-name: j
                spec:
                  containers:
                  - image: x@sha256:0
                    imagePullPolicy: IfNotPresent
                    name: c
                    resources: {}
                    terminationMessagePath: /dev/termination-log
                    terminationMessagePolicy: File
                  dnsPolicy: ClusterFirst
                  restartPolicy: Never
                  schedulerName: default-scheduler
                  securityContext: {}
                  terminationGracePeriodSeconds: 30
            status: {}
        "#]],
    );
}

#[test]
fn others() {
    check_stored(
        "secrets",
        "{data: {a: eA==}, stringData: {b: hi}}",
        expect![[r#"
        data:
          a: eA==
          b: aGk=
        type: Opaque
    "#]],
    );
    check_stored(
        "namespaces",
        "{metadata: {name: n}}",
        expect![[r#"
        metadata:
          labels:
            kubernetes.io/metadata.name: n
          name: n
        spec:
          finalizers:
          - kubernetes
        status:
          phase: Active
    "#]],
    );
    check_stored(
        "networking.k8s.io/networkpolicies",
        "{spec: {egress: [{ports: [{port: 53}]}]}}",
        expect![[r#"
            spec:
              egress:
              - ports:
                - port: 53
                  protocol: TCP
              podSelector: {}
              policyTypes:
              - Ingress
              - Egress
        "#]],
    );
    check_stored(
        "registry.portolan.dev/serviceinstances",
        "{metadata: {name: i-1}, spec: {service: s, address: 10.0.0.1, ports: [{port: 80}]}}",
        expect![[r#"
            metadata:
              name: i-1
            spec:
              address: 10.0.0.1
              instanceId: i-1
              lease:
                kind: none
              ports:
              - port: 80
                protocol: TCP
              service: s
              weights:
                passing: 1
                warning: 1
            status:
              health: passing
              since: 2026-01-02T03:04:05Z
        "#]],
    );
}

#[test]
fn image_tags_decide_the_pull_policy() {
    for (image, policy) in [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.27", "IfNotPresent"),
        ("localhost:5000/nginx", "Always"),
        ("localhost:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:0000000000000000000000000000000000000000000000000000000000000000", "IfNotPresent"),
        ("nginx:latest@sha256:0000000000000000000000000000000000000000000000000000000000000000", "Always"),
    ] {
        let mut pod = yaml(&format!("{{spec: {{containers: [{{name: a, image: '{image}'}}]}}}}"));
        of("pods").default(&mut pod);
        assert_eq!(pod["spec"]["containers"][0]["imagePullPolicy"], policy, "{image}");
    }
}

#[test]
fn resources_decide_the_quality_of_service() {
    use portolan_api::quota::quality_of_service;

    for (resources, class) in [
        ("{}", "BestEffort"),
        ("{requests: {cpu: 0}}", "BestEffort"),
        ("{requests: {cpu: 100m}}", "Burstable"),
        ("{limits: {cpu: '1', memory: 1Gi}}", "Guaranteed"),
        ("{limits: {cpu: '1', memory: 1Gi}, requests: {cpu: 1000m, memory: 1024Mi}}", "Guaranteed"),
        ("{limits: {cpu: '1', memory: 1Gi}, requests: {cpu: 500m}}", "Burstable"),
        ("{limits: {cpu: '1'}}", "Burstable"),
        ("{limits: {cpu: '1', memory: 1Gi}, requests: {cpu: 0}}", "Burstable"),
    ] {
        let pod = yaml(&format!("{{containers: [{{resources: {resources}}}]}}"));
        assert_eq!(quality_of_service(&pod), class, "{resources}");
        let whole =
            yaml(&format!("{{containers: [{{resources: {{requests: {{cpu: 5m}}}}}}], resources: {resources}}}"));
        assert_eq!(quality_of_service(&whole), class, "as a whole: {resources}");
    }
}
