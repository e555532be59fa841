//! Mirrors both ways: Services in front of registered instances, and pods under names of the registry.

use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};
use portolan_tests::{Cluster, Dialects, Machine, ask, binary, build_web_image, command, done, eventually, resolve};
use serde_json::Value;

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: db, annotations: {registry.portolan.dev/service: legacy-db}}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Pod
metadata:
  name: web-1
  annotations: {registry.portolan.dev/name: storefront, registry.portolan.dev/port: '80', registry.portolan.dev/tags: 'blue, edge'}
spec: {containers: [{name: c, image: 'web:1'}]}";

/// A web server on another machine.
struct Server(Child);

impl Server {
    fn start(machine: &Machine, folder: &std::path::Path) -> anyhow::Result<Self> {
        std::fs::write(folder.join("index.html"), "from the machine")?;
        let line = ["busybox", "httpd", "-f", "-p", "8080", "-h", folder.to_str().context("printable")?];
        let mut server = machine.command(&line.map(str::to_owned));
        Ok(Self(server.stdin(Stdio::null()).spawn()?))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn json(address: &str, path: &str) -> anyhow::Result<Value> {
    let answer = done(address, "GET", path, "")?;
    serde_json::from_str(&answer).with_context(|| format!("{path}: {answer}"))
}

#[test]
fn a_pod_reaches_a_registered_machine_by_a_service_and_is_found_under_a_name_of_the_registry() {
    let cluster = Cluster::start().expect("started");
    let life = || -> anyhow::Result<()> {
        let machine = Machine::beside(&cluster)?;
        let folder = tempfile::tempdir()?;
        let _server = Server::start(&machine, folder.path())?;
        build_web_image(&cluster, "web:1", "shop")?;
        cluster.kubectl_with("apply", SERVICE)?;
        let Dialects { native, consul, eureka } = Dialects::of(&cluster)?;
        let body =
            format!(r#"{{"ID": "db-1", "Name": "legacy-db", "Address": "{}", "Port": 8080}}"#, machine.address());
        let (code, answer) = ask(&consul, "PUT", "/v1/agent/service/register", &body)?;
        ensure!(code == 200, "{code} {answer}");
        cluster.kubectl("wait --for=condition=Ready pod/web-1 --timeout=60s")?;
        let inside = |arguments: &[&str]| {
            let mut exec = Command::new(binary()?);
            exec.env("PORTOLAN_DATA_DIR", cluster.data_dir()).env_remove("KUBECONFIG");
            command(exec.args(["exec", "web-1", "--", "busybox"]).args(arguments))
        };
        eventually("a pod reaches the machine by the name of the service", || {
            // The static busybox of the distribution looks names up, of hosts and of ports, in its nslookup only.
            let service = cluster.kubectl_json("get service db")?;
            let address = service["spec"]["clusterIP"].as_str().context("an address")?;
            let found = inside(&["nslookup", "db.default.svc.cluster.local"])?;
            ensure!(found.contains(address), "{found}");
            let page = inside(&["wget", "-q", "-O", "-", &format!("http://{address}:80/")])?;
            ensure!(page.contains("from the machine"), "{page}");
            Ok(())
        });
        let slices = cluster.kubectl_json("get endpointslices -l kubernetes.io/service-name=db")?;
        ensure!(slices["items"][0]["ports"][0]["port"] == 8080, "{slices}");
        let found = json(&consul, "/v1/health/service/legacy-db")?;
        ensure!(found.as_array().map(Vec::len) == Some(1), "{found}");

        // Who is out of service gets no traffic, and gets it again.
        for (enable, ready) in [("true", false), ("false", true)] {
            ask(&consul, "PUT", &format!("/v1/agent/service/maintenance/db-1?enable={enable}"), "")?;
            eventually("health is respected", || {
                let slices = cluster.kubectl_json("get endpointslices -l kubernetes.io/service-name=db")?;
                let found = &slices["items"][0]["endpoints"][0]["conditions"]["ready"];
                ensure!(*found == ready, "{slices}");
                Ok(())
            });
        }

        let pod = cluster.kubectl_json("get pod web-1")?["status"]["podIP"].as_str().context("an address")?.to_owned();
        eventually("the pod is found under its name in the registry", || {
            let found = json(&consul, "/v1/health/service/storefront?passing&tag=edge")?;
            ensure!(found[0]["Service"]["Address"] == *pod && found[0]["Service"]["Port"] == 80, "{found}");
            let found = json(&native, "/registry/instances?service=storefront&tag=blue")?;
            ensure!(found[0]["address"] == *pod, "{found}");
            let found = json(&eureka, "/eureka/apps/STOREFRONT")?;
            ensure!(found["application"]["instance"][0]["ipAddr"] == *pod, "{found}");
            for name in
                ["storefront.service.consul", "blue.storefront.service.consul", "storefront.default.svc.cluster.local"]
            {
                let found = resolve(&cluster.name_server(), name)?;
                ensure!(found.iter().any(|address| address.to_string() == pod), "{name}: {found:?}");
            }
            Ok(())
        });
        cluster.kubectl("annotate pod web-1 registry.portolan.dev/name-")?;
        eventually("the pod is gone from the registry", || {
            let found = json(&consul, "/v1/health/service/storefront")?;
            ensure!(found.as_array().is_some_and(Vec::is_empty), "{found}");
            Ok(())
        });

        cluster.kubectl("annotate service db registry.portolan.dev/service-")?;
        eventually("nothing stands behind the service", || {
            let slices = cluster.kubectl_json("get endpointslices -l kubernetes.io/service-name=db")?;
            ensure!(slices["items"].as_array().is_some_and(Vec::is_empty), "{slices}");
            Ok(())
        });
        Ok(())
    };
    life().expect("mirrors both ways");
}
