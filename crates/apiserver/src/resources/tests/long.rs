//! Objects with lists as long as a body has room for. If each item were compared with all before it, none of these
//! cases would come to its end while somebody waits.

use serde_json::{Value, json};

use super::{context, of};
use crate::respond::MOST_SHOWN;

const ITEMS: usize = 40_000;

fn list(item: impl Fn(usize) -> Value) -> Value {
    (0..ITEMS).map(item).collect()
}

fn pod(container: Value, spec: Value) -> Value {
    let mut pod = json!({"metadata": {"name": "a"}, "spec": spec});
    pod["spec"]["containers"] = json!([container]);
    pod
}

/// How much is wrong with an object whose list has one item twice, and what is said of it.
fn check(resource: &str, mut object: Value, errors: usize, warnings: usize) {
    let strategy = of(resource);
    strategy.default(&mut object);
    let found = strategy.validate(&object, &context(""));
    assert_eq!(found.len(), errors, "{resource}: {:?}", found.first());
    assert_eq!(strategy.warnings(&object).len(), warnings, "{resource}");
}

#[test]
fn each_item_is_looked_at_once() {
    let port = |index: usize| index.max(1) % 65_535;
    let container = json!({"name": "a", "image": "x"});
    let with = |field: &str, list: Value| {
        let mut container = container.clone();
        container[field] = list;
        container
    };
    let ports = list(|index| json!({"containerPort": port(index)}));
    check("pods", pod(with("ports", ports), json!({})), 0, 1);
    let same = list(|_| json!({"containerPort": 80}));
    // As many as are said of the last port that is looked at.
    check(
        "pods",
        pod(with("ports", same), json!({})),
        0,
        (1..)
            .scan(0, |sum, more| {
                *sum += more;
                Some(*sum)
            })
            .find(|sum| *sum > MOST_SHOWN)
            .unwrap_or_default(),
    );
    let ports = list(
        |index| json!({"containerPort": 80, "hostPort": port(index), "protocol": "TCP", "name": format!("p{index}")}),
    );
    check("pods", pod(with("ports", ports), json!({})), 1, 1);
    let conditions = |name: char| list(|index| json!(format!("{name}{}", index.max(1))));
    let device = json!({
        "name": "d", "bindingConditions": conditions('a'), "bindingFailureConditions": conditions('b'),
    });
    let pool = json!({"name": "p", "generation": 1, "resourceSliceCount": 1});
    let spec = json!({"driver": "d", "nodeName": "n", "pool": pool, "devices": [device]});
    // Each list is too long as well.
    check("resource.k8s.io/resourceslices", json!({"metadata": {"name": "a"}, "spec": spec}), 4, 0);
    let claims = list(|index| json!({"name": "c", "request": format!("r{}", index.max(1))}));
    let of_pod = json!({"resourceClaims": [{"name": "c", "resourceClaimName": "c"}]});
    check("pods", pod(with("resources", json!({"claims": claims})), of_pod), 1, 0);
    let files = list(|index| json!({"key": "k", "path": format!("d{}/f", index.max(1))}));
    let volumes = json!({"volumes": [{"name": "v", "configMap": {"name": "m", "items": files}}]});
    check("pods", pod(container.clone(), volumes), 0, 1);
    let secrets = list(|index| json!({"name": format!("s{}", index.max(1))}));
    check("pods", pod(container, json!({"imagePullSecrets": secrets})), 0, 1);
    let ports =
        list(|index| json!({"name": format!("p{index}"), "port": port(index), "protocol": "TCP", "targetPort": 1}));
    let service = json!({"metadata": {"name": "a"}, "spec": {"ports": ports}});
    check("services", service, 1, 0);
    let tolerations = list(|index| json!({"key": format!("k{}", index.max(1)), "operator": "Exists"}));
    let class = json!({"metadata": {"name": "a"}, "handler": "a", "scheduling": {"tolerations": tolerations}});
    check("node.k8s.io/runtimeclasses", class, 1, 0);
    let term =
        |index: usize| json!({"matchLabelExpressions": [{"key": format!("k{}", index.max(1)), "values": ["a"]}]});
    let class = json!({"metadata": {"name": "a"}, "provisioner": "a", "allowedTopologies": list(term)});
    check("storage.k8s.io/storageclasses", class, 1, 0);
    let values = list(|index| json!(format!("v{}", index.max(1))));
    let topologies = json!([{"matchLabelExpressions": [{"key": "k", "values": values}]}]);
    let class = json!({"metadata": {"name": "a"}, "provisioner": "a", "allowedTopologies": topologies});
    check("storage.k8s.io/storageclasses", class, 1, 0);
    let conditions = list(|index| json!({"type": format!("t{}", index.max(1)), "status": "True"}));
    let old = json!({"metadata": {"name": "a"}, "spec": {}, "status": {}});
    let new = json!({"metadata": {"name": "a"}, "spec": {}, "status": {"conditions": conditions}});
    let strategy = of("certificates.k8s.io/certificatesigningrequests");
    let found = strategy.validate_changed(&new, &old, &context("status"), &mut Vec::new());
    let twice = found.iter().filter(|error| error.to_string().contains("Duplicate value: \"t1\"")).count();
    assert_eq!(twice, 1, "{:?}", found.first());
}
