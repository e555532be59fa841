//! What cannot be done is said in words: taken ports, missing images, conflicts.

use std::net::{TcpListener, UdpSocket};

use anyhow::ensure;
use portolan_tests::{Cluster, eventually};

use crate::support::build_image;

/// This test process holds the port, so it is what the message must name.
fn own_name() -> String {
    format!("(process {})", std::process::id())
}

#[test]
fn a_port_that_is_taken_is_named_with_its_holder() {
    let cluster = Cluster::prepare(&[]).expect("folders");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound");
    let wide = TcpListener::bind("0.0.0.0:0").expect("a free port");
    let agent = wide.local_addr().expect("bound").port().to_string();
    let cases = [
        (["--listen", &address.to_string()], "the API server"),
        (["--registry-listen", &address.to_string()], "the registry"),
        (["--agent-port", &agent], "the node agent"),
    ];
    for (flags, what) in cases {
        let error = cluster.up_with(&flags).expect_err("taken").to_string();
        for words in [what, "is taken", &own_name(), flags[0]] {
            assert!(error.contains(words), "{flags:?} should say {words:?}:\n{error}");
        }
        assert!(!cluster.run_dir().join("containerd.pid").exists(), "{flags:?}: nothing was started");
    }
    // Name servers of laptops listen on all addresses. Elsewhere port 53 may be taken by more than us.
    if let Ok(_names) = UdpSocket::bind("0.0.0.0:53") {
        let error = cluster.up().expect_err("taken").to_string();
        for words in ["port 53", "is taken", &own_name()] {
            assert!(error.contains(words), "{words:?}:\n{error}");
        }
    }
    // With the ports free again the same folder serves.
    drop((taken, wide));
    cluster.up().expect("up");
    let printed = cluster.up_with(&["--agent-port", "1"]).expect("up already");
    for words in ["nothing was changed", "asked for     --agent-port 1", "running with  --agent-port 0"] {
        assert!(printed.contains(words), "{words:?}:\n{printed}");
    }
}

fn pod(name: &str, image: &str, ports: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  terminationGracePeriodSeconds: 0\n  \
         containers: [{{name: c, image: '{image}'{ports}}}]\n---\n"
    )
}

fn service(name: &str, port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  type: NodePort\n  selector: {{app: x}}\n  \
         ports: [{{port: 80, nodePort: {port}}}]\n"
    )
}

#[test]
fn pods_that_cannot_run_say_why() {
    let cluster = Cluster::start().expect("started");
    build_image(&cluster, "web:1");
    let host_port = ", ports: [{containerPort: 80, hostPort: 39080}]";
    let manifest = [
        pod("missing", "localhost:1/no/such:1", ""),
        pod("unknown-host", "registry.invalid/no/such:1", ""),
        pod("bad-name", "Not A Name", ""),
        pod("never", "no-such:1", ", imagePullPolicy: Never"),
        pod("first", "web:1", host_port),
    ];
    cluster.kubectl_with("apply", &manifest.concat()).expect("applied");
    let waiting = [
        ("missing", "ImagePullBackOff", "connection refused"),
        ("missing", "ImagePullBackOff", "Back-off pulling image \"localhost:1/no/such:1\""),
        ("unknown-host", "ImagePullBackOff", "Back-off pulling image \"registry.invalid/no/such:1\""),
        ("bad-name", "InvalidImageName", "Not A Name"),
        ("never", "ErrImageNeverPull", "is not present with pull policy of Never"),
    ];
    for (name, reason, message) in waiting {
        eventually(&format!("{name} says {reason}"), || {
            let pod = cluster.kubectl_json(&format!("get pod {name}"))?;
            let found = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
            ensure!(found["reason"] == reason, "{}", pod["status"]);
            ensure!(found["message"].as_str().unwrap_or_default().contains(message), "{found}");
            Ok(())
        });
    }
    let described = cluster.kubectl("describe pod missing").expect("described");
    for words in ["Failed to pull image \"localhost:1/no/such:1\"", "Error: ErrImagePull", "connection refused"] {
        assert!(described.contains(words), "{words:?}:\n{described}");
    }

    cluster.kubectl("wait --for=condition=Ready pod/first --timeout=60s").expect("ready");
    cluster.kubectl_with("apply", &pod("second", "web:1", host_port)).expect("applied");
    eventually("the second user of a host port waits, and says for what", || {
        let pod = cluster.kubectl_json("get pod second")?;
        let condition = &pod["status"]["conditions"][0];
        ensure!(pod["status"]["phase"] == "Pending" && condition["reason"] == "Unschedulable", "{}", pod["status"]);
        let message = condition["message"].as_str().unwrap_or_default();
        ensure!(message.contains("didn't have free ports for the requested pod ports"), "{message}");
        Ok(())
    });
    cluster.kubectl("delete pod first").expect("deleted");
    cluster.kubectl("wait --for=condition=Ready pod/second --timeout=60s").expect("the port is free now");

    cluster.kubectl_with("apply", &service("one", 30123)).expect("applied");
    let error = cluster.kubectl_with("apply", &service("two", 30123)).expect_err("taken").to_string();
    assert!(error.contains("provided port is already allocated"), "{error}");
    let error = cluster.kubectl_with("apply", &service("three", 99)).expect_err("out of range").to_string();
    assert!(error.contains("provided port is not in the valid range"), "{error}");
}
