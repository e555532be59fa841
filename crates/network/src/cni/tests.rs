use serde_json::{Value, json};

use super::protocol::Request;
use crate::testing::{Machine, Server};

#[test]
fn pods_reach_each_other_and_the_host_and_leave_nothing_behind() {
    let machine = Machine::new();
    let (mut first, second) = (machine.pod(), machine.pod());
    first.serve(8080);
    let to_first = format!("{}:8080", first.address);
    let expected = |client: std::net::Ipv4Addr| Ok(format!("{}<{client}", first.address));
    assert_eq!(second.namespace.tcp(&to_first), expected(second.address));
    let gateway = machine.config.pod_cidr.gateway();
    assert_eq!(machine.host.tcp(&to_first), expected(gateway));
    let _host = Server::start(&machine.host, gateway, 9090);
    assert_eq!(second.namespace.tcp(&format!("{gateway}:9090")), Ok(format!("{gateway}<{}", second.address)));

    assert_eq!(machine.cni("CHECK", super::PLUGIN_NAME, &second.namespace), Ok(None));
    assert_eq!(machine.cni("DEL", super::PLUGIN_NAME, &second.namespace), Ok(None));
    assert_eq!(machine.cni("DEL", super::PLUGIN_NAME, &second.namespace), Ok(None), "twice is fine");
    assert!(machine.cni("CHECK", super::PLUGIN_NAME, &second.namespace).is_err());
    let leases = std::fs::read_dir(machine.config.state_dir.join("leases")).expect("the folder exists");
    let names: Vec<String> =
        leases.map(|entry| entry.expect("readable").file_name().into_string().expect("ASCII")).collect();
    assert_eq!(names.iter().filter(|name| name.contains('@')).count(), 1, "{names:?}");
}

#[test]
fn a_result_has_the_shape_of_the_version_that_was_asked_for() {
    let machine = Machine::new();
    let pod = crate::testing::Namespace::new();
    let mut list = super::config_list(&machine.config);
    let mut network = list["plugins"][0].take();
    for (version, family) in [("0.4.0", json!("4")), ("1.0.0", Value::Null)] {
        network["cniVersion"] = json!(version);
        let invoke = |command| {
            machine.host.run(|| super::invoke_for_test(command, super::PLUGIN_NAME, "c1", &pod.path(), &network))
        };
        let result = invoke("ADD").expect("attached").expect("a result");
        assert_eq!((&result["cniVersion"], &result["ips"][0]["version"]), (&json!(version), &family));
        assert_eq!(result["interfaces"][2]["sandbox"], json!(pod.path()));
        invoke("DEL").expect("detached");
    }
}

#[test]
fn what_the_specification_forbids_is_refused_with_its_code() {
    let network = r#"{"cniVersion": "1.0.0"}"#;
    for (command, container, interface, namespace, input, code) in [
        ("GET", "c", "eth0", "/n", network, 4),
        ("ADD", "../etc", "eth0", "/n", network, 4),
        ("ADD", "", "eth0", "/n", network, 4),
        ("ADD", "c", "a/b", "/n", network, 4),
        ("ADD", "c", "eth0", "", network, 4),
        ("ADD", "c", "eth0", "/n", "{", 6),
        ("ADD", "c", "eth0", "/n", r#"{"cniVersion": "9.0.0"}"#, 1),
    ] {
        let variable = |name: &str| {
            let value = match name {
                "CNI_COMMAND" => command,
                "CNI_CONTAINERID" => container,
                "CNI_IFNAME" => interface,
                _ => namespace,
            };
            value.to_owned()
        };
        let error = Request::parse(variable, input.as_bytes()).expect_err("the request is wrong");
        assert_eq!(error.to_json()["code"], json!(code), "{command} {container} {interface} {namespace} {input}");
    }
}
