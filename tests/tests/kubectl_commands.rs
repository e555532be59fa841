//! The commands of the stock client that the other tour does not take, as a table of the same form.
//!
//! `KUBECTL` chooses the client; what is typed works with every release from 1.27 on.

use portolan_tests::{Cluster, Shell, Steps, build_web_image};

const PODS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: web, image: 'web:1', ports: [{name: http, containerPort: 80}], readinessProbe: {httpGet: {port: http}, periodSeconds: 1}}
  - {name: busy, image: 'web:1', command: [sh, -c, 'while :; do :; done'], resources: {limits: {cpu: 200m}}}
---
apiVersion: v1
kind: Pod
metadata: {name: echo}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: echo, image: 'web:1', stdin: true, command: [sh, -c, 'while read line; do echo got $line; done']}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: front, port: 8080, targetPort: http}]}
"#;

const DEPLOYMENT: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, labels: {app: app}}
spec:
  replicas: 1
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: app, image: 'web:1', ports: [{containerPort: 80}]}]
"#;

const ROLE: &str = r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reconciled, namespace: default}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
"#;

const KUSTOMIZATION: &str = r#"
namePrefix: my-
namespace: default
commonAnnotations: {made: by-kustomize}
configMapGenerator: [{name: settings, literals: [a=b]}]
"#;

const LOOKING: Steps = &[
    ("kubectl version --client -o yaml", &["clientVersion:"]),
    ("kubectl options", &["--kubeconfig", "--as"]),
    ("kubectl --help", &["cluster-info", "api-resources"]),
    ("kubectl completion bash", &["__start_kubectl"]),
    ("kubectl plugin list 2>&1; true", &["plugin"]),
    ("kubectl config view --minify", &["cluster:", "current-context:"]),
    ("kubectl config get-contexts", &["CURRENT", "*"]),
    ("kubectl config current-context", &[]),
    ("kubectl api-versions", &["metrics.k8s.io/v1beta1", "v1"]),
    ("kubectl api-resources --api-group=metrics.k8s.io", &["NodeMetrics", "PodMetrics"]),
    ("kubectl api-resources --namespaced=false -o wide", &["persistentvolumes", "create,delete", "api-extensions"]),
    ("kubectl api-resources --verbs=list,create --categories=all -o name", &["deployments.apps"]),
    ("kubectl explain pod.spec.containers --recursive", &["image", "<string>"]),
    ("kubectl explain pods --output=plaintext-openapiv2", &["spec", "<Object>"]),
    ("kubectl explain pods", &["spec", "<PodSpec>"]),
    ("kubectl explain cronjobs.spec --api-version=batch/v1", &["schedule", "<string>"]),
    ("! kubectl explain pods.spec.nothing", &["field \"nothing\" does not exist"]),
    ("kubectl cluster-info dump --output-directory=dump", &["Cluster info dumped to dump"]),
    ("test -s dump/nodes.json && test -s dump/default/pods.json", &[]),
    ("kubectl auth can-i --list --as=jane", &["selfsubjectaccessreviews.authorization.k8s.io", "[create]"]),
    ("! kubectl auth can-i get pods --subresource=log --as=jane", &["no"]),
    ("kubectl auth reconcile -f role.yaml", &["role.rbac.authorization.k8s.io/reconciled reconciled"]),
    ("kubectl auth can-i '*' '*'", &["yes"]),
    ("kubectl get --raw /apis/metrics.k8s.io/v1beta1", &["\"kind\":\"PodMetrics\"", "\"verbs\":[\"get\",\"list\"]"]),
    ("kubectl kustomize kustomized", &["name: my-settings-", "made: by-kustomize"]),
    ("kubectl apply -k kustomized", &["configmap/my-settings-"]),
    ("kubectl delete -k kustomized", &["deleted"]),
];

/// Older clients know only versions of this question that Kubernetes does not serve any more.
const SINCE_28: Steps = &[
    ("kubectl auth whoami", &["Username", "system:masters"]),
    ("kubectl auth whoami --as=jane --as-group=devs", &["jane", "devs"]),
];

const MEASURING: Steps = &[
    ("kubectl apply -f pods.yaml", &["pod/web created"]),
    ("kubectl wait pod/web pod/echo --for=condition=Ready --timeout=60s", &["condition met"]),
    ("kubectl top nodes", &["CPU(cores)", "MEMORY(bytes)", "test-node", "%"]),
    ("! kubectl top nodes | grep unknown", &[]),
    ("kubectl top node test-node --no-headers", &["test-node"]),
    ("kubectl top nodes -l kubernetes.io/hostname=test-node --sort-by=memory", &["test-node"]),
    ("! kubectl top nodes -l no=such", &["metrics not available yet"]),
    ("! kubectl top node missing", &["nodemetrics.metrics.k8s.io \"missing\" not found"]),
    ("kubectl top pods", &["NAME", "echo", "web"]),
    ("kubectl top pods -A --sort-by=cpu", &["NAMESPACE", "default"]),
    // It spins, and may have a fifth of a core.
    ("kubectl top pod web --containers --sort-by=cpu", &["POD", "NAME", "busy", "web"]),
    ("test $(kubectl top pod web --containers --no-headers | awk '$2 == \"busy\" {print $3 + 0}') -gt 50", &[]),
    ("test $(kubectl top pod web --containers --no-headers | awk '$2 == \"busy\" {print $3 + 0}') -lt 400", &[]),
    ("test $(kubectl top pod web --containers --no-headers | awk '$2 == \"web\" {print $3 + 0}') -lt 50", &[]),
    ("kubectl top pods -l app=web --no-headers | wc -l", &["1"]),
    ("kubectl top pods -l app=none", &["No resources found"]),
    ("! kubectl top pod missing", &["podmetrics.metrics.k8s.io \"default/missing\" not found"]),
    ("portolan top nodes", &["CPU", "MEMORY", "test-node"]),
    ("portolan top pods --sort-by cpu", &["web", "echo"]),
    ("portolan top pods web --containers | grep busy", &["web"]),
    ("! portolan top pods missing", &["not found"]),
    (
        "! kubectl get --raw /apis/metrics.k8s.io/v1beta1/namespaces/default/pods/missing",
        &["podmetrics.metrics.k8s.io \"default/missing\" not found"],
    ),
    ("kubectl get nodes.metrics.k8s.io", &["NAME", "CPU", "MEMORY", "WINDOW", "test-node"]),
    ("kubectl get pods.metrics.k8s.io web -o yaml", &["kind: PodMetrics", "window: ", "name: busy", "app: web"]),
    ("! kubectl get pods.metrics.k8s.io -w", &["the server does not allow this method on the requested resource"]),
    ("! kubectl delete pods.metrics.k8s.io web", &["the server does not allow this method"]),
    ("kubectl get apiservices v1beta1.metrics.k8s.io", &["Local", "True"]),
    ("kubectl create rolebinding look --clusterrole=view --serviceaccount=default:default", &["created"]),
    ("kubectl top pods --as=system:serviceaccount:default:default", &["web"]),
    ("! kubectl top nodes --as=system:serviceaccount:default:default", &["nodes.metrics.k8s.io is forbidden"]),
    ("kubectl get --raw /api/v1/nodes/test-node/proxy/stats/summary", &["\"usageNanoCores\"", "\"workingSetBytes\""]),
    (
        "kubectl get --raw /api/v1/nodes/test-node/proxy/metrics/resource",
        &["container_cpu_usage_seconds_total{container=\"busy\",namespace=\"default\",pod=\"web\"}"],
    ),
];

const REACHING: Steps = &[
    ("kubectl get --raw /api/v1/namespaces/default/pods/web:80/proxy/", &["one web"]),
    ("kubectl get --raw /api/v1/namespaces/default/pods/web/proxy/index.html", &["one web"]),
    ("kubectl get --raw /api/v1/namespaces/default/services/web:front/proxy/", &["one web"]),
    ("kubectl get --raw /api/v1/namespaces/default/services/http:web:8080/proxy/", &["one web"]),
    ("kubectl exec web -c web -- busybox mkdir -p /www/folder", &[]),
    (
        "! kubectl get --raw /api/v1/namespaces/default/services/web:nothing/proxy/",
        &["no endpoints available for service \"web:nothing\""],
    ),
    ("! kubectl get --raw /api/v1/namespaces/default/pods/web:81/proxy/", &["error trying to reach service: dial tcp"]),
    ("! kubectl get --raw /api/v1/namespaces/default/pods/web:80/proxy/missing", &["NotFound"]),
    (
        "kubectl proxy --port=0 > proxy.log & trap \"kill $!\" EXIT; until grep -q Starting proxy.log; do kill -0 $!; done; \
         base=http://$(sed 's/.* on //' proxy.log); curl -sS $base/api/v1/namespaces/default/services/web:8080/proxy/; \
         curl -sS -o /dev/null -w '%{http_code} %{redirect_url}' $base/api/v1/namespaces/default/pods/web/proxy; \
         curl -sS -o /dev/null -w '%{redirect_url}' $base/api/v1/namespaces/default/services/web:8080/proxy/folder; \
         curl -sS $base/api/v1/namespaces/default/pods/web",
        &[
            "one web",
            "301 http://127.0.0.1",
            "/pods/web/proxy/",
            "/services/web:8080/proxy/folder/",
            "\"kind\": \"Pod\"",
        ],
    ),
    (
        "kubectl port-forward pod/web :80 > pod-port.log & trap \"kill $!\" EXIT; until grep -q '127.0.0.1:[0-9]* ' pod-port.log; do kill -0 $!; done; \
         port=$(sed -n 's/.*127.0.0.1:\\([0-9]*\\) .*/\\1/p' pod-port.log); curl -sS http://127.0.0.1:$port/",
        &["one web"],
    ),
    (
        "kubectl port-forward service/web :front > service-port.log & trap \"kill $!\" EXIT; until grep -q '127.0.0.1:[0-9]* ' service-port.log; do kill -0 $!; done; \
         port=$(sed -n 's/.*127.0.0.1:\\([0-9]*\\) .*/\\1/p' service-port.log); curl -sS http://127.0.0.1:$port/",
        &["one web"],
    ),
    (
        "{ echo hello; until grep -q got attached; do :; done; } | kubectl attach -i echo > attached; cat attached",
        &["got hello"],
    ),
    ("kubectl logs echo", &["got hello"]),
    ("echo data > file; ! kubectl cp file web:/tmp/file -c web", &["\"tar\": executable file not found"]),
    ("kubectl exec web -c web -- busybox mkdir -p /tmp", &[]),
    ("kubectl exec web -c web -- busybox ln -s /bin/busybox /bin/tar", &[]),
    ("kubectl cp file web:/tmp/file -c web", &[]),
    ("kubectl exec web -c web -- busybox cat /tmp/file", &["data"]),
    ("kubectl cp default/web:/www/index.html back -c web && cat back", &["one web"]),
    ("mkdir -p folder/sub && echo deep > folder/sub/file && kubectl cp folder web:/tmp/folder -c web", &[]),
    ("kubectl exec web -c web -- busybox cat /tmp/folder/sub/file", &["deep"]),
    ("kubectl debug web --copy-to=copy --container=web --image=web:1 --share-processes -- busybox sleep 3600", &[]),
    (
        "kubectl debug web --image=web:1 --target=web -c look -- sh -c 'busybox ps; busybox ls /proc/1/root/www'",
        &["Targeting"],
    ),
    ("until kubectl logs web -c look | grep index.html; do :; done", &["index.html"]),
    ("kubectl logs web -c look", &["httpd"]),
    ("kubectl wait pod/copy --for=jsonpath='{.status.phase}'=Running --timeout=60s", &["condition met"]),
    (
        "kubectl get pod copy -o jsonpath='{.spec.shareProcessNamespace} {.spec.containers[0].command}'",
        &["true", "sleep"],
    ),
    (
        "kubectl debug node/test-node --image=web:1 -- busybox ls /host",
        &["Creating debugging pod node-debugger-test-node-"],
    ),
    ("until kubectl get pods -o name | grep node-debugger | xargs kubectl logs | grep etc; do :; done", &["etc"]),
    ("kubectl get pods -o name | grep node-debugger | xargs kubectl delete --now", &["deleted"]),
    ("kubectl delete pod copy --now", &["deleted"]),
    ("kubectl events --for pod/web", &["Started"]),
    ("kubectl events --types=Warning -A", &[]),
    ("kubectl events -o json", &["\"kind\": \"EventList\""]),
    ("kubectl get events --sort-by=.lastTimestamp", &["REASON"]),
    ("kubectl describe pod web", &["QoS Class:", "Burstable"]),
    ("kubectl replace --force --grace-period=0 -f pods.yaml", &["pod/web replaced", "service/web replaced"]),
    ("kubectl delete -f pods.yaml --wait=false", &["pod \"web\" deleted"]),
];

const CHANGING: Steps = &[
    ("kubectl create -f app.yaml --save-config", &["deployment.apps/app created"]),
    ("kubectl apply view-last-applied deployment/app", &["kind: Deployment"]),
    ("kubectl apply set-last-applied -f app.yaml", &["configured"]),
    (
        "EDITOR='sed -i s/replicas:.1/replicas:\\ 2/' kubectl apply edit-last-applied deployment/app",
        &["deployment.apps/app edited"],
    ),
    ("kubectl set image deployment/app app=web:1 --record=false", &[]),
    ("kubectl set resources deployment/app --limits=memory=64Mi --requests=cpu=5m", &["resource requirements updated"]),
    ("kubectl set serviceaccount deployment/app default", &["serviceaccount updated"]),
    ("kubectl set env deployment/app --list", &["container app"]),
    ("kubectl set env deployment/app COLOR=blue", &["env updated"]),
    ("kubectl rollout restart deployment/app", &["restarted"]),
    ("kubectl rollout status deployment/app --timeout=60s", &["successfully rolled out"]),
    ("kubectl rollout history deployment/app -o yaml", &["kubectl.kubernetes.io/restartedAt"]),
    ("kubectl expose deployment app --port=80 --name=front --type=ClusterIP", &["service/front exposed"]),
    ("kubectl set selector service/front app=other", &["selector updated"]),
    ("kubectl get service front -o jsonpath='{.spec.selector.app}'", &["other"]),
    ("kubectl autoscale deployment app --min=1 --max=3 --cpu-percent=50", &["autoscaled"]),
    ("kubectl get hpa app", &["Deployment/app", "MINPODS", "3"]),
    ("kubectl describe hpa app", &["Min replicas:", "Max replicas:"]),
    // Its status may change in between, as old pods end: who replaces what he has read tries again, for that reason alone.
    (
        "until said=$(kubectl get deployment app -o yaml | sed 's/replicas: 1/replicas: 2/' | kubectl replace -f - 2>&1); do
            case $said in *'the object has been modified'*) ;; *) echo \"$said\"; exit 1 ;; esac
        done
        echo \"$said\"",
        &["replaced"],
    ),
    ("kubectl diff -f app.yaml; test $? = 1", &["replicas: 2", "replicas: 1"]),
    ("kubectl scale --replicas=0 -f app.yaml", &["scaled"]),
    ("kubectl wait pod -l app=app --for=delete --timeout=30s", &[]),
    (
        "kubectl label deployment app a=b && kubectl label deployment app a- && kubectl label deployment --all --overwrite app=app",
        &["unlabeled"],
    ),
    ("! kubectl label deployment app app=other", &["already has a value (app), and --overwrite is false"]),
    (
        "kubectl annotate deployment app a=b && kubectl annotate deployment app a- --resource-version=1; true",
        &["Operation cannot be fulfilled"],
    ),
    ("kubectl taint nodes test-node colour=blue:NoSchedule", &["node/test-node tainted"]),
    ("kubectl run shy --image=web:1 --restart=Never", &["pod/shy created"]),
    ("kubectl wait pod/shy --for=condition=PodScheduled=false --timeout=30s", &["condition met"]),
    ("kubectl describe pod shy", &["default-scheduler", "untolerated taint(s)", "preemption: 0/1 nodes are available"]),
    ("kubectl taint nodes test-node colour-", &["node/test-node untainted"]),
    ("kubectl wait pod/shy --for=condition=Ready --timeout=30s", &["condition met"]),
    ("kubectl cordon test-node", &["cordoned"]),
    ("kubectl drain test-node --dry-run=server --force --ignore-daemonsets", &["drained (server dry run)"]),
    ("kubectl uncordon test-node", &["uncordoned"]),
    ("kubectl delete pod shy --now && kubectl delete hpa app && kubectl delete deployment,service --all", &["deleted"]),
    (
        "echo once | kubectl run once -i --rm --restart=Never --image=web:1 --command -- sh -c 'read word; echo from-$word'",
        &["from-once", "deleted"],
    ),
    ("kubectl run dry --image=web:1 --port=80 --expose --dry-run=client -o yaml", &["kind: Service", "kind: Pod"]),
];

const CREATING: Steps = &[
    (
        "kubectl create clusterrole looker --verb=get --resource=pods,pods/log --non-resource-url=/x || kubectl create clusterrole looker --verb=get --resource=pods",
        &["created"],
    ),
    (
        "kubectl create clusterrole sum --aggregation-rule=rbac.example.com/sum=true",
        &["clusterrole.rbac.authorization.k8s.io/sum created"],
    ),
    ("kubectl create clusterrolebinding lookers --clusterrole=looker --user=jane --group=devs", &["created"]),
    ("kubectl set subject clusterrolebinding lookers --user=joe", &["subjects updated"]),
    ("kubectl auth can-i get pods --as=joe", &["yes"]),
    ("kubectl delete clusterrolebinding lookers && kubectl delete clusterrole looker sum", &["deleted"]),
    ("kubectl create configmap files --from-file=app.yaml", &["configmap/files created"]),
    (
        "kubectl create cronjob nightly --image=web:1 --schedule='0 3 * * *' -- busybox true",
        &["cronjob.batch/nightly created"],
    ),
    ("! kubectl create cronjob broken --image=web:1 --schedule='x' -- busybox true", &["is invalid", "spec.schedule"]),
    ("kubectl create job once --from=cronjob/nightly --dry-run=server -o name", &["job.batch/once"]),
    ("kubectl get cronjobs", &["SCHEDULE", "0 3 * * *"]),
    (
        "kubectl create ingress front --rule='shop.example.com/*=web:80,tls=cert' --class=none",
        &["ingress.networking.k8s.io/front created"],
    ),
    ("kubectl describe ingress front", &["shop.example.com", "web:80"]),
    ("kubectl create priorityclass high --value=1000 --description=first", &["created"]),
    ("kubectl create quota few --hard=pods=2,count/configmaps=50", &["resourcequota/few created"]),
    ("kubectl describe quota few", &["count/configmaps", "50"]),
    (
        "kubectl create secret docker-registry pull --docker-server=r --docker-username=u --docker-password=p",
        &["secret/pull created"],
    ),
    (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=x -keyout k -out c 2>/dev/null; kubectl create secret tls cert --cert=c --key=k",
        &["secret/cert created"],
    ),
    ("kubectl get secrets", &["kubernetes.io/dockerconfigjson", "kubernetes.io/tls"]),
    ("kubectl create service clusterip one --tcp=80:8080", &["service/one created"]),
    ("kubectl create service externalname two --external-name=example.com", &["service/two created"]),
    ("kubectl create service loadbalancer three --tcp=80", &["service/three created"]),
    ("kubectl create service nodeport four --tcp=80 --node-port=30999", &["service/four created"]),
    ("! kubectl create service nodeport five --tcp=80 --node-port=30999", &["provided port is already allocated"]),
    ("kubectl get services", &["ExternalName", "LoadBalancer", "80:30999/TCP"]),
    ("kubectl create token default --duration=10m --audience=x", &["ey"]),
    ("kubectl delete cronjob,ingress,quota,service,secret --all && kubectl delete priorityclass high", &["deleted"]),
    (
        "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /O=devs/CN=jane -keyout jane.key -out jane.csr 2>/dev/null",
        &[],
    ),
    (
        "for name in jane jack; do printf 'apiVersion: certificates.k8s.io/v1\\nkind: CertificateSigningRequest\\nmetadata: {name: %s}\\nspec: {request: %s, signerName: kubernetes.io/kube-apiserver-client, usages: [client auth]}\\n' $name $(base64 -w0 jane.csr) | kubectl apply -f -; done",
        &["certificatesigningrequest.certificates.k8s.io/jane created"],
    ),
    ("kubectl certificate deny jack", &["jack denied"]),
    ("kubectl certificate approve jane", &["jane approved"]),
    (
        "kubectl wait csr/jane --for=jsonpath='{.status.certificate}' --timeout=20s || until kubectl get csr jane -o jsonpath={.status.certificate} | grep .; do :; done",
        &[],
    ),
    ("kubectl get csr", &["Approved,Issued", "Denied", "kubernetes.io/kube-apiserver-client"]),
    (
        "kubectl get csr jane -o jsonpath='{.status.certificate}' | base64 -d > jane.crt; cp $KUBECONFIG janes; kubectl config --kubeconfig=janes set-credentials jane --client-certificate=jane.crt --client-key=jane.key; ! kubectl --kubeconfig=janes --user=jane get pods",
        &["User \"jane\" cannot list resource \"pods\""],
    ),
    ("kubectl delete csr jane jack", &["deleted"]),
    (
        "cp $KUBECONFIG mine; kubectl config --kubeconfig=mine set-context other --namespace=elsewhere --cluster=c --user=u && kubectl config --kubeconfig=mine use-context other && kubectl config --kubeconfig=mine view -o jsonpath='{.contexts[?(@.name==\"other\")].context.namespace}'",
        &["Switched to context", "elsewhere"],
    ),
];

#[test]
fn every_command_does_what_its_users_expect() {
    let cluster = Cluster::start().expect("started");
    build_web_image(&cluster, "web:1", "one").expect("an image");
    let files =
        [("pods.yaml", PODS), ("app.yaml", DEPLOYMENT), ("role.yaml", ROLE), ("kustomization.yaml", KUSTOMIZATION)];
    let shell = Shell::new(&cluster, &files).expect("a shell");
    shell.check("mkdir kustomized && mv kustomization.yaml kustomized/", &[]).expect("a folder");
    let mut failed = Vec::new();
    let recent = if minor_version(&cluster).expect("a version") >= 28 { SINCE_28 } else { &[] };
    for (line, words) in [LOOKING, recent, MEASURING, REACHING, CHANGING, CREATING].into_iter().flatten() {
        failed.extend(shell.check(line, words).err().map(|error| format!("{error:#}")));
    }
    assert!(failed.is_empty(), "{} lines failed:\n{}", failed.len(), failed.join("\n\n"));
}

/// `30` of the client's 1.30.
fn minor_version(cluster: &Cluster) -> anyhow::Result<u32> {
    let version: serde_json::Value = serde_json::from_str(&cluster.kubectl("version --client -o json")?)?;
    let minor = version["clientVersion"]["minor"].as_str().unwrap_or_default();
    Ok(minor.trim_end_matches('+').parse()?)
}
