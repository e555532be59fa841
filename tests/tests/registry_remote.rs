//! The registry as other machines use it: over TLS, with tokens, certificates and basic authentication.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};
use portolan_tests::{Cluster, Machine, command, eventually};

const FLAGS: [&str; 6] =
    ["--registry-tls-listen", "0.0.0.0:0", "--consul-tls-listen", "0.0.0.0:0", "--eureka-tls-listen", "0.0.0.0:0"];

const EUREKA: &str = r#"{"instance": {"instanceId": "vm7:orders:9000", "app": "ORDERS", "hostName": "192.0.2.7",
    "ipAddr": "192.0.2.7", "vipAddress": "orders", "status": "UP", "port": {"$": 9000, "@enabled": "true"},
    "dataCenterInfo": {"@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", "name": "MyOwn"},
    "leaseInfo": {"renewalIntervalInSecs": 30, "durationInSecs": 900}}}"#;

/// What a caller proves itself by.
enum Proof<'a> {
    Nothing,
    Bearer(&'a str),
    Password(&'a str),
    Consul(&'a str),
    Certificate,
}

/// A client on some machine.
struct Client<'a> {
    cluster: &'a Cluster,
    machine: Option<&'a Machine>,
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl<'a> Client<'a> {
    fn new(cluster: &'a Cluster) -> anyhow::Result<Self> {
        let file = |name: &str, path: &str| -> anyhow::Result<PathBuf> {
            let jsonpath = format!("config view --raw --minify -o jsonpath={{{path}}}");
            let encoded = cluster.kubectl(&jsonpath)?;
            let file = cluster.scratch_dir().join(name);
            let mut decode = Command::new("sh");
            let script = format!("echo '{}' | base64 -d > {}", encoded.trim(), file.display());
            command(decode.args(["-c", &script]))?;
            Ok(file)
        };
        Ok(Self {
            cluster,
            machine: None,
            authority: file("ca.crt", ".clusters[0].cluster.certificate-authority-data")?,
            certificate: file("admin.crt", ".users[0].user.client-certificate-data")?,
            key: file("admin.key", ".users[0].user.client-key-data")?,
        })
    }

    fn port(&self, dialect: &str) -> anyhow::Result<String> {
        let status = self.cluster.status()?;
        let url = status["dialects"][dialect].as_str().with_context(|| format!("{dialect} in {status}"))?;
        Ok(url.rsplit(':').next().context("a port")?.to_owned())
    }

    /// Asks with the client that people use: code and body of the answer.
    fn ask(
        &self,
        dialect: &str,
        proof: &Proof<'_>,
        method: &str,
        path: &str,
        body: &str,
    ) -> anyhow::Result<(u16, String)> {
        let port = self.port(dialect)?;
        let mut arguments: Vec<String> =
            ["curl", "-s", "-X", method, "-w", "\n%{http_code}", "-H", "Content-Type: application/json"]
                .map(str::to_owned)
                .into();
        if !body.is_empty() {
            arguments.extend(["--data".into(), body.into()]);
        }
        match proof {
            Proof::Nothing => {}
            Proof::Bearer(token) => arguments.extend(["-H".into(), format!("Authorization: Bearer {token}")]),
            Proof::Password(token) => arguments.extend(["-u".into(), format!("anyone:{token}")]),
            Proof::Consul(token) => arguments.extend(["-H".into(), format!("X-Consul-Token: {token}")]),
            Proof::Certificate => {
                let (certificate, key) = (self.certificate.display(), self.key.display());
                arguments.extend(["--cert".into(), certificate.to_string(), "--key".into(), key.to_string()]);
            }
        }
        arguments.extend(["--cacert".into(), self.authority.display().to_string()]);
        let host = self.machine.map_or("127.0.0.1", |machine| machine.host());
        arguments.extend(["--resolve".into(), format!("localhost:{port}:{host}")]);
        arguments.push(format!("https://localhost:{port}{path}"));
        let mut curl = match self.machine {
            Some(machine) => machine.command(&arguments),
            None => {
                let mut curl = Command::new(&arguments[0]);
                curl.args(&arguments[1..]);
                curl
            }
        };
        let answer = command(&mut curl)?;
        let (body, code) = answer.trim_end().rsplit_once('\n').context("a code at the end")?;
        Ok((code.parse()?, body.to_owned()))
    }
}

fn billing(namespace: &str) -> String {
    format!(r#"{{"service": "billing", "id": "b-1", "namespace": "{namespace}", "address": "192.0.2.9", "port": 80}}"#)
}

#[test]
fn other_machines_get_in_with_credentials_only_and_do_what_they_may() {
    let cluster = Cluster::prepare(&FLAGS).expect("prepared");
    let life = || -> anyhow::Result<()> {
        cluster.up()?;
        let client = Client::new(&cluster)?;
        cluster.kubectl("create namespace shop")?;
        cluster.kubectl("create serviceaccount vm -n shop")?;
        let resource = "--resource=serviceinstances.registry.portolan.dev";
        cluster.kubectl(&format!("create role registrar -n shop --verb=create,update,delete,get,list {resource}"))?;
        cluster.kubectl("create rolebinding vm -n shop --role=registrar --serviceaccount=shop:vm")?;
        let token = cluster.kubectl("create token vm -n shop")?.trim().to_owned();
        let (bearer, nothing) = (Proof::Bearer(&token), Proof::Nothing);

        let own = "/registry/instances?namespace=shop";
        let renew = "/registry/instances/shop/b-1/renew";
        // Who, method, path, body, code, words of the answer.
        let cases = [
            (&nothing, "GET", own, String::new(), 401, "no credentials were shown"),
            (&Proof::Bearer("made.up"), "GET", own, String::new(), 401, "not known"),
            (&nothing, "POST", "/registry/instances", billing("shop"), 401, "Unauthorized"),
            (&bearer, "POST", "/registry/instances", billing("default"), 403, "may not create serviceinstances"),
            (&bearer, "POST", "/registry/instances", billing("shop"), 201, "created"),
            (&bearer, "GET", own, String::new(), 200, "192.0.2.9"),
            (&bearer, "GET", "/registry/instances", String::new(), 403, "in all namespaces"),
            (&bearer, "GET", "/registry/watch", String::new(), 403, "may not watch"),
            (&bearer, "PUT", renew, String::new(), 404, "no lease"),
            (&Proof::Password(&token), "GET", own, String::new(), 200, "192.0.2.9"),
            (&Proof::Certificate, "GET", "/registry/instances", String::new(), 200, "192.0.2.9"),
            (&bearer, "DELETE", "/registry/instances/shop/b-1", String::new(), 200, "deregistered"),
        ];
        for (proof, method, path, body, code, words) in cases {
            // The catalog hears of a change a moment after it was made.
            eventually(&format!("{method} {path}"), || {
                let (answered, answer) = client.ask("registry-tls", proof, method, path, &body)?;
                ensure!(answered == code && answer.contains(words), "{method} {path}: {answered} {answer}");
                Ok(())
            });
        }

        let consul = r#"{"ID": "cart-1", "Name": "cart", "Address": "192.0.2.8", "Port": 8080}"#;
        let cases = [
            ("consul-tls", &nothing, "PUT", "/v1/agent/service/register", consul, 401, "Permission denied"),
            (
                "consul-tls",
                &Proof::Consul(&token),
                "PUT",
                "/v1/agent/service/register",
                consul,
                403,
                "Permission denied",
            ),
            ("consul-tls", &Proof::Consul(&token), "GET", "/v1/catalog/services", "", 403, "Permission denied"),
            ("consul-tls", &Proof::Consul(&token), "PUT", "/v1/kv/a", "b", 403, "Permission denied"),
            ("consul-tls", &Proof::Certificate, "GET", "/v1/catalog/services", "", 200, "consul"),
            ("eureka-tls", &nothing, "POST", "/eureka/apps/ORDERS", EUREKA, 401, "not known"),
            ("eureka-tls", &Proof::Password(&token), "POST", "/eureka/apps/ORDERS", EUREKA, 403, "may not create"),
        ];
        for (dialect, proof, method, path, body, code, words) in cases {
            let (answered, answer) = client.ask(dialect, proof, method, path, body)?;
            ensure!(answered == code && answer.contains(words), "{dialect} {method} {path}: {answered} {answer}");
        }

        cluster.kubectl(&format!("create role registrar --verb=create,update,delete,get,list {resource}"))?;
        cluster.kubectl("create rolebinding vm --role=registrar --serviceaccount=shop:vm")?;
        eventually("what was granted holds a few seconds later", || {
            let path = "/v1/agent/service/register";
            let (code, answer) = client.ask("consul-tls", &Proof::Consul(&token), "PUT", path, consul)?;
            ensure!(code == 200, "{code} {answer}");
            let (code, answer) =
                client.ask("eureka-tls", &Proof::Password(&token), "POST", "/eureka/apps/ORDERS", EUREKA)?;
            ensure!(code == 204, "{code} {answer}");
            Ok(())
        });
        eventually("what may be listed is found", || {
            let (code, answer) = client.ask("consul-tls", &Proof::Bearer(&token), "GET", "/v1/catalog/services", "")?;
            ensure!(code == 200 && answer.contains("cart") && answer.contains("orders"), "{code} {answer}");
            ensure!(!answer.contains("kubernetes-"), "instances of other namespaces are shown: {answer}");
            Ok(())
        });

        let machine = Machine::beside(&cluster)?;
        let outside = Client { machine: Some(&machine), ..Client::new(&cluster)? };
        let (code, answer) =
            outside.ask("registry-tls", &bearer, "GET", "/registry/instances?namespace=default", "")?;
        ensure!(code == 200 && answer.contains("192.0.2.8"), "{code} {answer}");
        let (code, _) = outside.ask("consul-tls", &nothing, "GET", "/v1/kv/a", "")?;
        ensure!(code == 401, "{code}");
        let gateway = cluster.gateway();
        for (dialect, path) in
            [("registry", "/registry/instances"), ("consul", "/v1/catalog/services"), ("eureka", "/eureka/apps")]
        {
            let port = outside.port(dialect)?;
            let curl = |host: &str| {
                let url = format!("http://{host}:{port}{path}");
                machine.command(&["curl", "-s", "-m", "5", "-w", "\n%{http_code}", &url].map(str::to_owned)).output()
            };
            let refused = curl(&gateway)?;
            let text = String::from_utf8_lossy(&refused.stdout).into_owned();
            ensure!(text.ends_with("403") && text.contains("over TLS with a token"), "{dialect} by the bridge: {text}");
            ensure!(!curl(machine.host())?.status.success(), "{dialect} listens for other machines without TLS");
        }
        Ok(())
    };
    life().expect("a life on other machines");
}

#[test]
fn consuls_own_tokens_decide_where_they_are_turned_on() {
    let secret = "8fc9e787-674f-0709-cfd5-bfdabd73a70d";
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), format!("{secret}\n")).expect("written");
    let path = file.path().to_str().expect("printable");
    let flags = [
        "--consul-tls-listen",
        "127.0.0.1:0",
        "--consul-acl-default-policy",
        "deny",
        "--consul-acl-initial-management-token-file",
        path,
    ];
    let cluster = Cluster::prepare(&flags).expect("prepared");
    let life = || -> anyhow::Result<()> {
        cluster.up()?;
        let client = Client::new(&cluster)?;
        let (root, nothing) = (Proof::Consul(secret), Proof::Nothing);
        let rules = r#"{"Name": "cart", "Rules": "service \"cart\" { policy = \"write\" } node_prefix \"\" { policy = \"read\" }"}"#;
        let (code, answer) = client.ask("consul-tls", &root, "PUT", "/v1/acl/policy", rules)?;
        ensure!(code == 200, "{code} {answer}");
        let (code, answer) =
            client.ask("consul-tls", &root, "PUT", "/v1/acl/token", r#"{"Policies": [{"Name": "cart"}]}"#)?;
        ensure!(code == 200, "{code} {answer}");
        let made: serde_json::Value = serde_json::from_str(&answer)?;
        let own = Proof::Consul(made["SecretID"].as_str().context("a secret")?);
        let register = "/v1/agent/service/register";
        let cases = [
            (&own, "PUT", register, r#"{"Name": "cart", "Port": 80}"#, 200, ""),
            (&own, "PUT", register, r#"{"Name": "bank", "Port": 80}"#, 403, "service:write"),
            (&root, "PUT", register, r#"{"Name": "bank", "Port": 80}"#, 200, ""),
            (&nothing, "PUT", register, r#"{"Name": "cart", "Port": 80}"#, 401, "Permission denied"),
            (&nothing, "GET", "/v1/health/service/cart", "", 401, "Permission denied"),
            (&own, "GET", "/v1/health/service/cart", "", 200, "\"cart\""),
            (&own, "PUT", "/v1/kv/a", "b", 403, "key:write"),
            (&Proof::Certificate, "GET", "/v1/catalog/services", "", 200, "bank"),
        ];
        for (proof, method, path, body, code, words) in cases {
            let (answered, answer) = client.ask("consul-tls", proof, method, path, body)?;
            ensure!(answered == code && answer.contains(words), "{method} {path} {body}: {answered} {answer}");
        }
        // Lists leave out what the token may not read.
        let (_, answer) = client.ask("consul-tls", &own, "GET", "/v1/catalog/services", "")?;
        ensure!(answer.contains("cart") && !answer.contains("bank"), "{answer}");
        let (code, answer) = client.ask("consul-tls", &own, "GET", "/v1/health/service/bank", "")?;
        ensure!((code, answer.trim()) == (200, "[]"), "{code} {answer}");
        // The plain port asks for tokens, too.
        let address = format!("127.0.0.1:{}", client.port("consul")?);
        let (code, answer) = portolan_tests::ask(&address, "PUT", register, r#"{"Name": "cart", "Port": 80}"#)?;
        ensure!(code == 403 && answer.contains("Permission denied"), "{code} {answer}");
        Ok(())
    };
    life().expect("a life with Consul's tokens");
}
