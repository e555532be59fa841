//! One registry, many dialects: what is registered in one is found in all, pods included.

use anyhow::{Context, ensure};
use portolan_tests::{Cluster, Dialects, ask, build_web_image, done, eventually, resolve};
use serde_json::Value;

const SHOP: &str = "
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: shop-1, labels: {app: shop}}
spec: {containers: [{name: c, image: 'web:1'}]}";

const CONSUL: &str = r#"{"ID": "cart-1", "Name": "cart", "Address": "192.0.2.8", "Port": 8080, "Tags": ["blue"],
    "Check": {"TTL": "10m", "Status": "passing"}}"#;

const EUREKA: &str = r#"{"instance": {"instanceId": "vm7:orders:9000", "app": "ORDERS", "hostName": "192.0.2.7",
    "ipAddr": "192.0.2.7", "vipAddress": "orders", "status": "UP", "port": {"$": 9000, "@enabled": "true"},
    "dataCenterInfo": {"@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", "name": "MyOwn"},
    "leaseInfo": {"renewalIntervalInSecs": 30, "durationInSecs": 900}}}"#;

/// Addresses of a service's healthy instances, as each dialect gives them.
fn find(dialects: &Dialects, service: &str) -> anyhow::Result<[Vec<String>; 3]> {
    let get = |address: &str, path: &str| -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&done(address, "GET", path, "")?)?)
    };
    let texts = |values: Vec<&Value>| values.into_iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let native = list(&get(&dialects.native, &format!("/registry/instances?service={service}&health=passing"))?);
    let consul = list(&get(&dialects.consul, &format!("/v1/health/service/{service}?passing"))?);
    let eureka = get(&dialects.eureka, &format!("/eureka/apps/{}", service.to_uppercase()))?;
    let eureka = list(&eureka["application"]["instance"]);
    Ok([
        texts(native.iter().map(|instance| &instance["address"]).collect()),
        texts(consul.iter().map(|entry| &entry["Service"]["Address"]).collect()),
        texts(eureka.iter().filter(|it| it["status"] == "UP").map(|it| &it["ipAddr"]).collect()),
    ])
}

#[test]
fn what_is_registered_in_one_dialect_is_found_in_all_and_outlives_a_killed_server() {
    let cluster = Cluster::start().expect("started");
    let life = || -> anyhow::Result<()> {
        build_web_image(&cluster, "web:1", "shop")?;
        cluster.kubectl_with("apply", SHOP)?;
        cluster.kubectl("wait --for=condition=Ready pod/shop-1 --timeout=60s")?;
        let pod = cluster.kubectl_json("get pod shop-1")?;
        let pod = pod["status"]["podIP"].as_str().context("an address")?.to_owned();

        let dialects = Dialects::of(&cluster)?;
        let (code, answer) = ask(&dialects.consul, "PUT", "/v1/agent/service/register", CONSUL)?;
        ensure!(code == 200, "{code} {answer}");
        let (code, answer) = ask(&dialects.eureka, "POST", "/eureka/apps/ORDERS", EUREKA)?;
        ensure!(code == 204, "{code} {answer}");
        let native = r#"{"service": "billing", "id": "b-1", "address": "192.0.2.9", "port": 80, "ttlSeconds": 600}"#;
        let (code, answer) = ask(&dialects.native, "POST", "/registry/instances", native)?;
        ensure!(code == 201, "{code} {answer}");
        let (code, answer) = ask(&dialects.consul, "PUT", "/v1/kv/shop/motto", "ports of call")?;
        ensure!(code == 200 && answer.trim() == "true", "{code} {answer}");

        let expected =
            [("shop", pod.as_str()), ("cart", "192.0.2.8"), ("orders", "192.0.2.7"), ("billing", "192.0.2.9")];
        let all_agree = |dialects: &Dialects| -> anyhow::Result<()> {
            for (service, address) in expected {
                let found = find(dialects, service)?;
                let wanted = vec![address.to_owned()];
                ensure!(found == [wanted.clone(), wanted.clone(), wanted], "{service}: {found:?}");
            }
            for (service, address) in &expected[1..] {
                let found = resolve(&cluster.name_server(), &format!("{service}.default.svc.cluster.local"))?;
                ensure!(found.iter().any(|found| found.to_string() == *address), "{service}: {found:?}");
            }
            for (service, address) in expected {
                let found = resolve(&cluster.name_server(), &format!("{service}.service.consul"))?;
                ensure!(found.iter().any(|found| found.to_string() == address), "{service}: {found:?}");
            }
            Ok(())
        };
        eventually("all dialects agree", || all_agree(&dialects));
        let (code, answer) = ask(&dialects.native, "GET", "/registry/services/shop/pick", "")?;
        ensure!(code == 200 && answer.contains(&pod), "{code} {answer}");
        let (code, answer) = ask(&dialects.native, "GET", "/registry/metrics", "")?;
        ensure!(
            code == 200 && answer.contains("portolan_registry_leases_total{outcome=\"held\"} 0"),
            "{code} {answer}"
        );

        // Maintenance in one is out of service in the others.
        let (code, _) =
            ask(&dialects.consul, "PUT", "/v1/agent/service/maintenance/cart-1?enable=true&reason=disk", "")?;
        ensure!(code == 200, "{code}");
        eventually("nobody is sent to an instance in maintenance", || {
            let found = find(&dialects, "cart")?;
            ensure!(found.iter().all(Vec::is_empty), "{found:?}");
            Ok(())
        });
        let (code, _) = ask(&dialects.consul, "PUT", "/v1/agent/service/maintenance/cart-1?enable=false", "")?;
        ensure!(code == 200, "{code}");

        cluster.kill_server()?;
        cluster.up()?;
        let dialects = Dialects::of(&cluster)?;
        eventually("all dialects agree after a kill", || all_agree(&dialects));
        let (code, answer) = ask(&dialects.consul, "GET", "/v1/kv/shop/motto?raw", "")?;
        ensure!(code == 200 && answer == "ports of call", "{code} {answer}");
        Ok(())
    };
    life().expect("a life in many dialects");
}
