//! A tour with the stock client, as a table: what is typed, and words of what must be printed.
//!
//! `KUBECTL` chooses the client. Lines are run by the shell, which has `kubectl` on its path;
//! `! line` is a line that must fail.

use anyhow::Context;
use portolan_tests::{Cluster, Shell, Steps, web_image};

/// Everything dies at once here: a web server as first process ignores the signal to end.
const MANIFEST: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: web, image: 'web:1', ports: [{containerPort: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80}]}
"#;

const PODS: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {color: blue}
---
apiVersion: v1
kind: Secret
metadata: {name: password}
stringData: {word: hunter2}
---
apiVersion: v1
kind: Pod
metadata: {name: full, labels: {tour: full}}
spec:
  terminationGracePeriodSeconds: 1
  initContainers:
  - name: first
    image: web:1
    command: [sh, -c, echo first-was-here; echo data > /work/file]
    volumeMounts: [{name: work, mountPath: /work}]
  containers:
  - name: main
    image: web:1
    command: [sh, -c, echo main-started; exec busybox sleep 3600]
    env:
    - {name: COLOR, valueFrom: {configMapKeyRef: {name: settings, key: color}}}
    - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
    - {name: MEMORY, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Mi}}}
    resources: {requests: {cpu: 10m}, limits: {memory: 64Mi}}
    readinessProbe: {exec: {command: [busybox, test, -f, /work/file]}, periodSeconds: 1}
    securityContext: {runAsUser: 1000, allowPrivilegeEscalation: false}
    volumeMounts:
    - {name: work, mountPath: /work}
    - {name: settings, mountPath: /settings}
    - {name: password, mountPath: /password}
  - {name: side, image: 'web:1', command: [sh, -c, echo side-started; exec busybox sleep 3600]}
  volumes:
  - {name: work, emptyDir: {}}
  - {name: settings, configMap: {name: settings}}
  - {name: password, secret: {secretName: password}}
---
apiVersion: v1
kind: Pod
metadata: {name: fails}
spec:
  restartPolicy: Never
  containers: [{name: c, image: 'web:1', command: [sh, -c, echo oops; exit 3]}]
---
apiVersion: v1
kind: Pod
metadata: {name: large}
spec: {containers: [{name: c, image: 'web:1', resources: {requests: {cpu: 1000}}}]}
"#;

const POLICY: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: few-replicas}
spec:
  matchConstraints:
    resourceRules:
    - {apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [deployments]}
  variables:
  - {name: replicas, expression: object.spec.replicas}
  validations:
  - expression: variables.replicas <= 5
    messageExpression: "'at most 5 replicas, not ' + string(variables.replicas)"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: few-replicas}
spec: {policyName: few-replicas, validationActions: [Deny]}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: team}
spec:
  matchConstraints:
    resourceRules:
    - {apiGroups: [apps], apiVersions: [v1], operations: [CREATE], resources: [deployments]}
  reinvocationPolicy: Never
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration: {expression: "Object{metadata: Object.metadata{labels: {'team': 'a'}}}"}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: team}
spec: {policyName: team}
"#;

const INVALID: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: Upper}
spec: {restartPolicy: Maybe, containers: [{name: c, image: i, ports: [{containerPort: 99999}]}]}
"#;

const THE_CLUSTER: Steps = &[
    ("kubectl version", &["Server Version:", "v1.36.0"]),
    ("kubectl cluster-info", &["is running at", "https://127.0.0.1:"]),
    ("kubectl api-versions", &["apps/v1", "registry.portolan.dev/v1"]),
    ("kubectl api-resources", &["deploy", "ServiceInstance"]),
    ("kubectl auth can-i create pods", &["yes"]),
    ("! kubectl auth can-i create pods --as=nobody", &["no"]),
    (
        "! kubectl get pods --as=nobody",
        &[
            "pods is forbidden: User \"nobody\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"",
        ],
    ),
    ("! kubectl get nothing", &["the server doesn't have a resource type \"nothing\""]),
    ("! kubectl get pod missing", &["Error from server (NotFound): pods \"missing\" not found"]),
    ("! kubectl get pods --field-selector a=b", &["field label not supported: a"]),
    ("kubectl get namespaces", &["default", "kube-system", "Active"]),
    ("kubectl get nodes -o wide", &["Ready", "INTERNAL-IP", "containerd://"]),
    ("kubectl describe node test-node", &["KubeletReady", "Allocatable:", "Non-terminated Pods:"]),
    ("kubectl explain deployment.spec.replicas", &["replicas <integer>"]),
    ("kubectl explain si.spec", &["ServiceInstance", "ports"]),
    ("kubectl get --raw '/readyz?verbose'", &["[+]store ok", "readyz check passed"]),
    ("kubectl get componentstatuses | grep -c 'Healthy *ok'", &["3"]),
    ("kubectl get events --field-selector reason=RegisteredNode", &["in Controller"]),
    ("kubectl get events --field-selector reason=NodeReady", &["status is now: NodeReady"]),
    ("test $(kubectl get --raw '/readyz?verbose' | grep -c store) = 1", &[]),
];

const A_DEPLOYMENT: Steps = &[
    ("kubectl apply -f web.yaml", &["deployment.apps/web created", "service/web created"]),
    ("kubectl rollout status deployment/web --timeout=60s", &["successfully rolled out"]),
    ("kubectl apply -f web.yaml", &["deployment.apps/web unchanged", "service/web unchanged"]),
    ("kubectl apply --dry-run=server -f web.yaml", &["unchanged (server dry run)"]),
    ("kubectl diff -f web.yaml", &[]),
    ("! kubectl create -f web.yaml", &["(AlreadyExists)", "deployments.apps \"web\" already exists"]),
    (
        "kubectl get all",
        &["pod/web-", "service/web", "LoadBalancer", "deployment.apps/web", "2/2", "replicaset.apps/web-"],
    ),
    (
        "kubectl get pods -o custom-columns=A:.metadata.name,B:.status.phase --sort-by=.metadata.name --chunk-size=1",
        &["web-", "Running"],
    ),
    ("kubectl get pods -l 'app in (web)' --field-selector status.phase=Running -o name", &["pod/web-"]),
    ("kubectl get endpoints,endpointslices", &["endpoints/web", ":80,", "endpointslice.discovery.k8s.io/web-"]),
    ("kubectl describe service web", &["LoadBalancer Ingress:", "Endpoints:", "AddressAssigned"]),
    (
        "kubectl describe deployment web",
        &["2 desired | 2 updated | 2 total | 2 available", "NewReplicaSetAvailable", "Scaled up replica set"],
    ),
    ("kubectl scale deployment web --replicas=3", &["deployment.apps/web scaled"]),
    ("! kubectl scale deployment web --replicas=2 --current-replicas=9", &["Expected replicas to be 9, was 3"]),
    ("kubectl set env deployment/web A=b", &["env updated"]),
    ("kubectl rollout status deployment/web --timeout=60s", &["successfully rolled out"]),
    ("kubectl rollout history deployment/web", &["REVISION", "2"]),
    ("kubectl rollout history deployment/web --revision=2", &["A:", "b"]),
    ("kubectl rollout pause deployment/web", &["paused"]),
    ("! kubectl rollout undo deployment/web", &["paused"]),
    ("kubectl rollout resume deployment/web", &["resumed"]),
    ("kubectl rollout undo deployment/web", &["rolled back"]),
    ("kubectl rollout status deployment/web --timeout=60s", &["successfully rolled out"]),
    ("kubectl label deployment web tier=front", &["labeled"]),
    ("kubectl annotate deployment web note=read", &["deployment.apps/web annotate"]),
    ("kubectl get deployments -l tier=front -o jsonpath='{.items[0].metadata.annotations.note}'", &["read"]),
    ("kubectl patch deployment web -p '{\"spec\":{\"replicas\":2}}'", &["patched"]),
    ("kubectl patch deployment web --type=merge -p '{\"spec\":{\"minReadySeconds\":0}}'", &["patched"]),
    (
        "kubectl patch deployment web --type=json -p '[{\"op\":\"replace\",\"path\":\"/spec/replicas\",\"value\":1}]'",
        &["patched"],
    ),
    (
        "! kubectl patch deployment web --type=json -p '[{\"op\":\"replace\",\"path\":\"/a/b\",\"value\":1}]'",
        &["The request is invalid: the server rejected our request due to an error in our request"],
    ),
    (
        "! kubectl patch deployment web -p '{\"spec\":{\"selector\":{\"matchLabels\":{\"a\":\"b\"}}}}'",
        &["The Deployment \"web\" is invalid", "field is immutable"],
    ),
    ("EDITOR='sed -i s/tier:.front/tier:\\ back/' kubectl edit deployment web", &["deployment.apps/web edited"]),
    ("kubectl get deployment web --show-labels", &["tier=back"]),
    ("kubectl apply --server-side --force-conflicts -f web.yaml", &["deployment.apps/web serverside-applied"]),
    ("kubectl wait deployment/web --for=condition=Available --timeout=30s", &["condition met"]),
    ("kubectl delete deployment web --cascade=orphan", &["deleted"]),
    ("kubectl get replicasets", &["web-"]),
    ("kubectl apply -f web.yaml", &["deployment.apps/web created"]),
    ("kubectl delete deployment web --cascade=foreground --timeout=60s", &["deleted"]),
    ("kubectl get replicasets,pods", &["No resources found"]),
];

const PODS_THEMSELVES: Steps = &[
    ("kubectl apply -f pods.yaml", &["pod/full created", "pod/fails created"]),
    ("kubectl wait pod/full --for=condition=Ready --timeout=60s", &["condition met"]),
    ("kubectl wait pod/fails --for=jsonpath='{.status.phase}'=Failed --timeout=60s", &["condition met"]),
    ("kubectl get pods", &["full", "2/2", "Running", "fails", "Error", "large", "Pending"]),
    ("kubectl describe pod full", &["Container started", "Successfully assigned default/full to test-node"]),
    ("kubectl describe pod large", &["0/1 nodes are available: 1 Insufficient cpu."]),
    ("! kubectl get pod full -o jsonpath='{.status.conditions}' | grep ContainersNotReady", &[]),
    ("kubectl logs full -c first", &["first-was-here"]),
    (
        "kubectl logs full --all-containers --prefix --tail=1",
        &["[pod/full/main] main-started", "[pod/full/side] side-started"],
    ),
    ("kubectl logs -l tour=full -c main --since=1h --timestamps", &["Z main-started"]),
    ("kubectl logs fails", &["oops"]),
    ("! kubectl logs full -c missing", &["container missing is not valid for pod full"]),
    ("! kubectl logs full -c main --previous", &["previous terminated container \"main\" in pod \"full\" not found"]),
    ("test -z \"$(kubectl logs large)\"", &[]),
    ("! kubectl exec large -- true", &["pod large does not have a host assigned"]),
    (
        "kubectl exec full -c main -- sh -c 'busybox cat /work/file /settings/color /password/word; echo $COLOR $NODE $MEMORY; busybox id -u'",
        &["data", "bluehunter2", "blue test-node 64", "1000"],
    ),
    ("kubectl exec full -c main -- sh -c 'exit 7'; echo code $?", &["command terminated with exit code 7", "code 7"]),
    (
        "! kubectl exec full -c main -- missing",
        &["error: Internal error occurred: error executing command in container", "executable file not found"],
    ),
    ("kubectl exec full -c main -- busybox head -c 3000000 /dev/zero | wc -c", &["3000000"]),
    ("head -c 1000000 /dev/zero | kubectl exec -i full -c main -- busybox wc -c", &["1000000"]),
    (
        "script -qec 'stty rows 33 cols 99; kubectl exec -it full -c main -- sh -c \"busybox sleep 1; busybox stty size\"' /dev/null",
        &["33 99"],
    ),
    ("kubectl label pod full more=yes", &["labeled"]),
    ("kubectl get events --field-selector involvedObject.name=full", &["Pulled", "Created", "Started"]),
    ("kubectl delete pod full fails --now", &["pod \"full\" deleted"]),
    ("kubectl delete pod --all --grace-period=0 --force", &["pod \"large\" force deleted"]),
    (
        "! kubectl create -f invalid.yaml",
        &[
            "The Pod \"Upper\" is invalid",
            "metadata.name: Invalid value: \"Upper\"",
            "must be between 1 and 65535, inclusive",
            "spec.restartPolicy: Unsupported value: \"Maybe\"",
        ],
    ),
];

const POLICIES: Steps = &[
    ("kubectl apply -f policy.yaml", &["few-replicas created", "team created"]),
    ("kubectl get validatingadmissionpolicies", &["NAME", "VALIDATIONS", "PARAMKIND", "few-replicas", "<unset>"]),
    ("kubectl get validatingadmissionpolicybindings", &["POLICYNAME", "PARAMREF", "few-replicas"]),
    (
        "! kubectl create deployment many --image=web:1 --replicas=6",
        &[
            "deployments.apps \"many\" is forbidden: ValidatingAdmissionPolicy 'few-replicas' with binding 'few-replicas' denied request: at most 5 replicas, not 6",
        ],
    ),
    ("kubectl create deployment few --image=web:1 --replicas=0", &["deployment.apps/few created"]),
    ("kubectl get deployment few --show-labels", &["team=a"]),
    (
        "kubectl patch validatingadmissionpolicybinding few-replicas --type=merge -p '{\"spec\":{\"validationActions\":[\"Warn\"]}}'",
        &["patched"],
    ),
    (
        "kubectl create deployment many --image=web:1 --replicas=6 --dry-run=server",
        &[
            "Warning: Validation failed for ValidatingAdmissionPolicy 'few-replicas' with binding 'few-replicas': at most 5 replicas, not 6",
            "deployment.apps/many created (server dry run)",
        ],
    ),
    (
        "! sed 's/<= 5/<= five/' policy.yaml | kubectl apply -f -",
        &[
            "The ValidatingAdmissionPolicy \"few-replicas\" is invalid",
            "compilation failed: ERROR: <input>:1:23: undeclared reference to 'five' (in container '')",
        ],
    ),
    ("kubectl delete -f policy.yaml", &["deleted"]),
    ("kubectl delete deployment few", &["deleted"]),
];

/// Typed clients send protobuf since 1.32.
const WHAT_CREATE_CREATES: Steps = &[
    ("kubectl create namespace other", &["namespace/other created"]),
    ("kubectl create configmap c -n other --from-literal=a=b", &["configmap/c created"]),
    ("kubectl get configmap c -n other -o jsonpath='{.data.a}'", &["b"]),
    ("kubectl create secret generic s -n other --from-literal=a=b", &["secret/s created"]),
    ("kubectl create serviceaccount robot", &["serviceaccount/robot created"]),
    (
        "kubectl create role readers --verb=get,list --resource=pods",
        &["role.rbac.authorization.k8s.io/readers created"],
    ),
    ("kubectl create rolebinding robots --role=readers --serviceaccount=default:robot", &["robots created"]),
    ("kubectl auth can-i list pods --as=system:serviceaccount:default:robot", &["yes"]),
    (
        "kubectl create token robot | cut -d. -f2 | base64 -d 2>/dev/null; true",
        &["system:serviceaccount:default:robot"],
    ),
    ("kubectl create deployment none --image=web:1 --replicas=0", &["deployment.apps/none created"]),
    ("kubectl get deployment none", &["0/0"]),
    ("! kubectl create deployment fewer --image=web:1 --replicas=-1", &["must be greater than or equal to 0"]),
    ("kubectl expose deployment none --port=80 --type=NodePort", &["service/none exposed"]),
    ("kubectl create job j --image=web:1 --dry-run=server -- busybox true", &["job.batch/j created (server dry run)"]),
    ("kubectl create poddisruptionbudget p --selector=app=none --min-available=1", &["p created"]),
    (
        "kubectl run single --image=web:1 --overrides='{\"spec\":{\"terminationGracePeriodSeconds\":1}}'",
        &["pod/single created"],
    ),
    ("kubectl wait pod/single --for=condition=Ready --timeout=60s", &["condition met"]),
    (
        "kubectl drain test-node --force --ignore-daemonsets --timeout=60s",
        &["pod/single evicted", "node/test-node drained"],
    ),
    ("kubectl get nodes", &["Ready,SchedulingDisabled"]),
    ("kubectl uncordon test-node", &["uncordoned"]),
    ("kubectl delete namespace other --timeout=60s", &["namespace \"other\" deleted"]),
    ("! kubectl get configmap c -n other", &["NotFound"]),
];

#[test]
fn the_stock_client_prints_what_its_users_expect() {
    let cluster = Cluster::start().expect("started");
    let shell = shell(&cluster).expect("a shell");
    for steps in [THE_CLUSTER, A_DEPLOYMENT, PODS_THEMSELVES, POLICIES, WHAT_CREATE_CREATES] {
        for (line, words) in steps {
            shell.check(line, words).unwrap_or_else(|error| panic!("{error:#}"));
        }
    }
}

/// A shell with the manifests, in a cluster that has their image.
fn shell(cluster: &Cluster) -> anyhow::Result<Shell<'_>> {
    let files = [("web.yaml", MANIFEST), ("pods.yaml", PODS), ("policy.yaml", POLICY), ("invalid.yaml", INVALID)];
    let shell = Shell::new(cluster, &files)?;
    let image = cluster.scratch_dir().join("image");
    std::fs::create_dir(&image)?;
    web_image(&image, "one")?;
    cluster.portolan(&["image", "build", "-t", "web:1", image.to_str().context("printable")?])?;
    Ok(shell)
}
