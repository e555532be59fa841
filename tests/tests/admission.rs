//! Who may write what, as users of kubectl meet it: quotas, limits, security levels, budgets, webhooks.

use anyhow::ensure;
use portolan_tests::{Cluster, build_web_image, eventually};

const NAMESPACE: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: few, namespace: shop}
spec: {hard: {pods: "3", requests.cpu: 200m, count/configmaps: "20"}}
---
apiVersion: v1
kind: LimitRange
metadata: {name: sizes, namespace: shop}
spec: {limits: [{type: Container, defaultRequest: {cpu: 50m}, max: {memory: 1Gi}, default: {memory: 64Mi}}]}
"#;

const WORKLOAD: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: c, image: 'web:1'}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web, namespace: shop}
spec: {minAvailable: 2, selector: {matchLabels: {app: web}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: shop}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"#;

const LARGE: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: large, namespace: shop}
spec: {containers: [{name: c, image: 'web:1', resources: {limits: {memory: 2Gi}}}]}
"#;

/// A hook that nobody answers.
const HOOK: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: guard}
webhooks:
- name: guard.example.com
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Fail
  clientConfig: {service: {namespace: shop, name: guard, path: /check}}
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}
  rules: [{operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [configmaps]}]
  matchConditions: [{name: marked, expression: 'object.metadata.name.startsWith("guarded")'}]
"#;

fn refusal(outcome: anyhow::Result<String>) -> String {
    match outcome {
        Ok(printed) => panic!("it was let through: {printed}"),
        Err(error) => format!("{error:#}"),
    }
}

#[test]
fn a_namespace_keeps_within_what_it_was_given_and_goes_when_told() {
    let cluster = Cluster::start().expect("started");
    build_web_image(&cluster, "web:1", "one").expect("built");
    cluster.kubectl_with("apply", NAMESPACE).expect("applied");
    let used = |name: &str| -> anyhow::Result<String> {
        let quota = cluster.kubectl_json("get quota few -n shop")?;
        Ok(quota["status"]["used"][name].as_str().unwrap_or_default().to_owned())
    };
    eventually("the quota is counted: one ConfigMap, the cluster's certificates", || {
        ensure!(used("count/configmaps")? == "1" && used("pods")? == "0");
        Ok(())
    });
    cluster.kubectl_with("apply", WORKLOAD).expect("applied");
    cluster.kubectl("rollout status deployment/web -n shop --timeout=60s").expect("rolled out");
    assert_eq!((used("pods").expect("counted"), used("requests.cpu").expect("counted")), ("2".into(), "100m".into()));
    let large = refusal(cluster.kubectl_with("create", LARGE));
    assert!(
        large.contains("pods \"large\" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi"),
        "{large}"
    );
    cluster.kubectl("scale deployment/web -n shop --replicas=5").expect("scaled");
    eventually("three pods run and the fourth is refused", || {
        ensure!(used("pods")? == "3");
        Ok(())
    });
    // What goes makes room.
    cluster.kubectl("scale deployment/web -n shop --replicas=2").expect("scaled");
    eventually("the room is counted", || {
        ensure!(used("pods")? == "2");
        Ok(())
    });

    eventually("the budget allows nothing", || {
        let budget = cluster.kubectl_json("get pdb web -n shop")?;
        ensure!(budget["status"]["currentHealthy"] == 2 && budget["status"]["disruptionsAllowed"] == 0, "{budget}");
        Ok(())
    });
    let pods = cluster.kubectl_json("get pods -n shop -l app=web").expect("listed");
    let pod = pods["items"][0]["metadata"]["name"].as_str().expect("a name").to_owned();
    let eviction = format!(
        r#"{{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {{"name": "{pod}", "namespace": "shop"}}}}"#
    );
    let path = format!("create --raw /api/v1/namespaces/shop/pods/{pod}/eviction");
    let refused = refusal(cluster.kubectl_with(&path, &eviction));
    assert!(refused.contains("Cannot evict pod as it would violate the pod's disruption budget."), "{refused}");
    cluster.kubectl("scale deployment/web -n shop --replicas=3").expect("scaled");
    eventually("with one more, one may go", || cluster.kubectl_with(&path, &eviction));

    cluster.kubectl_with("apply", HOOK).expect("applied");
    cluster.kubectl("create configmap plain -n shop").expect("no condition holds");
    let refused = refusal(cluster.kubectl("create configmap guarded -n shop"));
    assert!(
        refused.contains("failed calling webhook \"guard.example.com\": failed to call webhook: Post \"https://guard.shop.svc:443/check?timeout=10s\": service \"guard\" not found"),
        "{refused}"
    );

    let labelled = cluster
        .kubectl_command()
        .args(["label", "ns", "shop", "pod-security.kubernetes.io/enforce=restricted"])
        .output();
    let warned = String::from_utf8_lossy(&labelled.expect("kubectl runs").stderr).into_owned();
    let warning =
        "Warning: existing pods in namespace \"shop\" violate the new PodSecurity enforce level \"restricted:latest\"";
    assert!(warned.contains(warning), "{warned}");

    cluster.kubectl("delete namespace shop --timeout=60s").expect("everything goes, the unused claim too");
}
