//! Pods talk plain HTTP to the registry and are known by their addresses: each may change what is registered in its
//! own namespace, and elsewhere what its service account is allowed.

use anyhow::ensure;
use portolan_tests::{Cluster, Dialects, build_web_image, eventually};
use serde_json::json;

use crate::support::eureka_instance;

const PODS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Namespace
metadata: {name: bank}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: teller, namespace: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: shop}
spec: {serviceAccountName: teller, containers: [{name: c, image: 'web:1'}]}";

struct World<'a> {
    cluster: &'a Cluster,
    dialects: Dialects,
}

impl World<'_> {
    /// Asks from within the pod; the status code and the body.
    fn ask(&self, dialect: &str, method: &str, path: &str, body: &str) -> anyhow::Result<(u16, String)> {
        let port = dialect.rsplit(':').next().unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let file = self.cluster.scratch_dir().join("request");
        std::fs::write(&file, request)?;
        let mut kubectl = self.cluster.kubectl_command();
        // Whoever closes its side is taken for gone, so the pod holds it open for a while.
        let line = format!("(busybox cat; busybox sleep 2) | busybox nc {} {port}", self.cluster.gateway());
        kubectl.args(["exec", "-i", "-n", "shop", "client", "--", "sh", "-c", &line]);
        let answer = portolan_tests::command(kubectl.stdin(std::fs::File::open(&file)?))?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer.as_str(), ""));
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        Ok((code, body.to_owned()))
    }

    fn expect(&self, dialect: &str, request: (&str, &str, &str), status: u16, words: &str) -> anyhow::Result<()> {
        let (method, path, body) = request;
        let (code, answer) = self.ask(dialect, method, path, body)?;
        ensure!(code == status && answer.contains(words), "{method} {path} {body}: {code} {answer}");
        Ok(())
    }
}

fn native(namespace: &str, id: &str) -> String {
    json!({"service": "till", "id": id, "namespace": namespace, "address": "192.0.2.1", "port": 80}).to_string()
}

#[test]
fn a_pod_changes_its_own_namespace_and_elsewhere_what_its_account_is_allowed() {
    let cluster = Cluster::start().expect("started");
    let life = || -> anyhow::Result<()> {
        build_web_image(&cluster, "web:1", "client")?;
        cluster.kubectl_with("apply", PODS)?;
        cluster.kubectl("wait -n shop --for=condition=Ready pod/client --timeout=60s")?;
        let world = World { cluster: &cluster, dialects: Dialects::of(&cluster)? };
        let Dialects { native: plain, consul, eureka } = &world.dialects;
        let instances = "/registry/instances";
        world.expect(plain, ("POST", instances, &native("shop", "own")), 201, "created")?;
        // Dialects without namespaces register in `default`; every pod may unless that is taken away.
        world.expect(plain, ("POST", instances, &native("default", "common")), 201, "created")?;
        world.expect(consul, ("PUT", "/v1/agent/service/register", r#"{"Name": "c1", "Port": 1}"#), 200, "")?;
        let instance = eureka_instance("e1", "e1", "192.0.2.2", 90);
        world.expect(eureka, ("POST", "/eureka/apps/E1", &instance), 204, "")?;
        world.expect(consul, ("PUT", "/v1/kv/a", "1"), 200, "true")?;
        world.expect(plain, ("GET", "/registry/instances?namespace=bank", ""), 200, "[]")?;
        // Other namespaces, machines and nodes are not a pod's to change.
        let who = "system:serviceaccount:shop:teller may not create serviceinstances";
        world.expect(plain, ("POST", instances, &native("bank", "foreign")), 403, who)?;
        let machine = r#"{"Node": "vm", "Address": "192.0.2.9"}"#;
        world.expect(consul, ("PUT", "/v1/catalog/register", machine), 403, "externalnodes")?;
        world.expect(consul, ("PUT", "/v1/agent/maintenance?enable=true", ""), 403, "externalnodes")?;
        let check = r#"{"Name": "of the node", "TTL": "1s"}"#;
        world.expect(consul, ("PUT", "/v1/agent/check/register", check), 403, "externalnodes")?;
        let txn = r#"[{"Node": {"Verb": "set", "Node": {"Node": "vm", "Address": "192.0.2.9"}}}]"#;
        world.expect(consul, ("PUT", "/v1/txn", txn), 403, "externalnodes")?;
        // A role says otherwise, as for anybody whom the cluster knows.
        cluster.kubectl(
            "create role registrar -n bank --verb=create,update,delete --resource=serviceinstances.registry.portolan.dev",
        )?;
        cluster.kubectl("create rolebinding teller -n bank --role=registrar --serviceaccount=shop:teller")?;
        eventually("the role is known", || {
            world.expect(plain, ("POST", instances, &native("bank", "foreign")), 201, "created")
        });
        cluster.kubectl("delete rolebinding portolan:registry-clients -n default")?;
        eventually("what every pod may is taken away", || {
            world.expect(consul, ("PUT", "/v1/agent/service/register", r#"{"Name": "c2", "Port": 1}"#), 403, "create")
        });
        world.expect(eureka, ("DELETE", "/eureka/apps/E1/e1", ""), 403, "delete")?;
        world.expect(plain, ("DELETE", "/registry/instances/shop/own", ""), 200, "deregistered")?;
        Ok(())
    };
    life().expect("a pod at the registry");
}
