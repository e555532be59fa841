use serde_json::json;

use super::*;
use crate::endpoints::addresses::addresses;
use portolan_api::typed::kinds::core::v1::Pod;

fn service() -> Service {
    serde_json::from_value(json!({
        "metadata": {"name": "shop", "namespace": "n", "uid": "service", "labels": {"team": "x"}},
        "spec": {"selector": {"app": "shop"}, "clusterIP": "10.43.0.7", "ports": [{"name": "http", "port": 80, "targetPort": "web"}]},
    }))
    .expect("it is a service")
}

/// `name[+ready|+deleting|+other]`; `other` has its port elsewhere.
fn pod(index: usize, text: &str) -> Arc<Pod> {
    let mut words = text.split('+');
    let name = words.next().expect("a split has a first part");
    let mut value = json!({
        "metadata": {"name": name, "namespace": "n", "uid": name},
        "spec": {"nodeName": "node-1", "containers": [{"name": "c", "ports": [{"name": "web", "containerPort": 8080}]}]},
        "status": {"phase": "Running", "podIP": format!("10.42.{}.{}", index / 250, index % 250)},
    });
    for word in words {
        match word {
            "ready" => value["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]),
            "deleting" => value["metadata"]["deletionTimestamp"] = json!("2030-01-01T00:00:00Z"),
            _ => value["spec"]["containers"][0]["ports"][0]["containerPort"] = json!(9090),
        }
    }
    Arc::new(serde_json::from_value(value).expect("it is a pod"))
}

fn groups(pods: &str) -> Groups {
    let pods: Vec<_> = pods.split_whitespace().enumerate().map(|(index, text)| pod(index, text)).collect();
    addresses(&service(), &pods)
}

fn applied(slices: Vec<Arc<EndpointSlice>>, plan: &Plan) -> Vec<Arc<EndpointSlice>> {
    let written = |name: &str| plan.update.iter().find(|slice| slice.name() == name).cloned().map(Arc::new);
    let mut slices: Vec<_> = slices
        .into_iter()
        .filter(|slice| !plan.delete.iter().any(|name| name == slice.name()))
        .map(|slice| written(slice.name()).unwrap_or(slice))
        .collect();
    slices.extend(plan.create.iter().cloned().map(Arc::new));
    slices
}

fn show(slices: &[Arc<EndpointSlice>]) -> String {
    let lines = slices.iter().map(|slice| {
        let endpoints = slice.endpoints.iter().flatten().map(|endpoint| {
            let conditions = endpoint.conditions.clone().unwrap_or_default();
            let pod = endpoint.target_ref.as_ref().and_then(|pod| pod.name.clone()).unwrap_or_default();
            let flag = |set: Option<bool>, text| if set == Some(true) { text } else { "" };
            let (ready, serving) = (flag(conditions.ready, " ready"), flag(conditions.serving, " serving"));
            format!("{pod}{ready}{serving}{}", flag(conditions.terminating, " terminating"))
        });
        let ports: Vec<String> = slice.ports.iter().flatten().filter_map(|port| Some(port.port?.to_string())).collect();
        format!("[{}] {}", ports.join(","), endpoints.collect::<Vec<_>>().join("; "))
    });
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines.join("\n")
}

#[test]
fn conditions_tell_ready_serving_and_leaving_apart_and_ports_group() {
    let plan = plan_slices(MANAGED_BY, &service(), &groups("a+ready b c+ready+deleting d+ready+other"), &[]);
    expect_test::expect![[r#"
        [8080] a ready serving; b; c serving terminating
        [9090] d ready serving"#]]
    .assert_eq(&show(&applied(Vec::new(), &plan)));
}

#[test]
fn nothing_is_written_when_nothing_changed() {
    let first = applied(Vec::new(), &plan_slices(MANAGED_BY, &service(), &groups("a+ready b"), &[]));
    assert_eq!(plan_slices(MANAGED_BY, &service(), &groups("a+ready b"), &first), Plan::default());
}

#[test]
fn a_change_rewrites_one_slice_of_many() {
    let names: Vec<String> = (0..250).map(|index| format!("p{index:03}+ready")).collect();
    let slices = applied(Vec::new(), &plan_slices(MANAGED_BY, &service(), &groups(&names.join(" ")), &[]));
    let sizes: Vec<usize> = slices.iter().map(|slice| slice.endpoints.iter().flatten().count()).collect();
    assert_eq!(sizes, [100, 100, 50]);
    let mut changed = names.clone();
    changed[150] = "p150".to_owned();
    let plan = plan_slices(MANAGED_BY, &service(), &groups(&changed.join(" ")), &slices);
    assert_eq!((plan.create.len(), plan.update.len(), plan.delete.len()), (0, 1, 0));
}

#[test]
fn a_service_without_pods_keeps_one_empty_slice() {
    let slices = applied(Vec::new(), &plan_slices(MANAGED_BY, &service(), &groups(""), &[]));
    assert_eq!(show(&slices), "[] ");
    let slices = applied(slices, &plan_slices(MANAGED_BY, &service(), &groups("a+ready"), &[]));
    let emptied = plan_slices(MANAGED_BY, &service(), &groups(""), &slices[1..]);
    assert_eq!((emptied.create.len(), emptied.update.len(), emptied.delete.len()), (0, 1, 0));
    assert_eq!(plan_slices(MANAGED_BY, &service(), &groups(""), &slices[..1]), Plan::default());
}

#[test]
fn endpoints_list_ready_and_waiting_addresses_and_leave_out_those_that_go() {
    let endpoints = plan_endpoints(&service(), &groups("a+ready b c+ready+deleting"), None).expect("there is none yet");
    let subset = &endpoints.subsets.as_ref().expect("there are pods")[0];
    let ips = |addresses: &Option<Vec<EndpointAddress>>| {
        addresses.iter().flatten().map(|found| found.ip.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        (ips(&subset.addresses), ips(&subset.not_ready_addresses)),
        (vec!["10.42.0.0".to_owned()], vec!["10.42.0.1".to_owned()])
    );
    assert_eq!(plan_endpoints(&service(), &groups("a+ready b c+ready+deleting"), Some(&endpoints)), None);
}

#[test]
fn pods_that_no_other_machine_reaches_stand_behind_nothing() {
    for (address, is_behind) in [
        ("10.42.0.5", true),
        ("fd00::5", true),
        ("127.0.0.1", false),
        ("::1", false),
        ("0.0.0.0", false),
        ("169.254.1.1", false),
        ("fe80::1", false),
        ("224.0.0.9", false),
    ] {
        let mut pod = Pod::clone(&pod(0, "a+ready"));
        pod.status.get_or_insert_default().pod_ip = Some(address.to_owned());
        assert_eq!(!addresses(&service(), &[Arc::new(pod)]).is_empty(), is_behind, "{address}");
    }
}
