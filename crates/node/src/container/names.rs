//! Name resolution inside a pod: `resolv.conf` and `/etc/hosts`. Pure.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;
use portolan_api::typed::Object;
use portolan_runtime::DnsConfig;

use crate::pod;

/// Limits of the resolver library, which upstream enforces too.
const SERVERS: usize = 3;
const SEARCHES: usize = 32;

/// What the pod's `resolv.conf` says. `machine` is the machine's.
pub(crate) fn dns(pod: &Pod, cluster_dns: IpAddr, cluster_domain: &str, machine: &str) -> DnsConfig {
    let spec = pod::spec(pod);
    let policy = spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let mut config = match policy {
        "None" => DnsConfig::default(),
        "ClusterFirst" if pod::host_network(pod) => parse(machine),
        "Default" => parse(machine),
        _ => {
            let machine = parse(machine);
            let own = [format!("{}.svc.{cluster_domain}", pod.namespace()), format!("svc.{cluster_domain}")];
            let searches = own.into_iter().chain([cluster_domain.to_owned()]).chain(machine.searches).collect();
            DnsConfig { servers: vec![cluster_dns], searches, options: vec!["ndots:5".into()] }
        }
    };
    if let Some(extra) = &spec.dns_config {
        config.servers.extend(extra.nameservers.iter().flatten().filter_map(|server| server.parse::<IpAddr>().ok()));
        config.searches.extend(extra.searches.iter().flatten().cloned());
        for option in extra.options.iter().flatten() {
            let name = option.name.clone().unwrap_or_default();
            config.options.retain(|existing| existing.split(':').next() != Some(name.as_str()));
            config.options.push(match option.value.as_deref() {
                Some(value) if !value.is_empty() => format!("{name}:{value}"),
                _ => name,
            });
        }
    }
    unique(&mut config.servers);
    unique(&mut config.searches);
    config.servers.truncate(SERVERS);
    config.searches.truncate(SEARCHES);
    config
}

fn unique<T: PartialEq + Clone>(list: &mut Vec<T>) {
    let mut seen: Vec<T> = Vec::with_capacity(list.len());
    list.retain(|item| {
        let new = !seen.contains(item);
        seen.extend(new.then(|| item.clone()));
        new
    });
}

fn parse(text: &str) -> DnsConfig {
    let mut config = DnsConfig::default();
    for line in text.lines() {
        let line = line.split(['#', ';']).next().unwrap_or_default();
        let mut words = line.split_whitespace();
        match words.next() {
            // An address with a zone cannot be carried over.
            Some("nameserver") => config.servers.extend(words.filter_map(|word| word.parse::<IpAddr>().ok())),
            Some("search") => config.searches = words.filter(|word| *word != ".").map(str::to_owned).collect(),
            Some("options") => config.options.extend(words.map(str::to_owned)),
            _ => {}
        }
    }
    config
}

/// The pod's `/etc/hosts`, in the form that upstream writes.
pub(crate) fn hosts(pod: &Pod, addresses: &[IpAddr], cluster_domain: &str, machine: &str) -> String {
    let mut text = String::new();
    if pod::host_network(pod) {
        text.push_str("# Kubernetes-managed hosts file (host network).\n");
        text.push_str(machine);
        if !machine.is_empty() && !machine.ends_with('\n') {
            text.push('\n');
        }
    } else {
        text.push_str("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n");
        text.push_str("::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n");
        text.push_str("fe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n");
        let name = pod::hostname(pod);
        for address in addresses {
            text.push_str(&match pod::spec(pod).subdomain.as_deref().filter(|subdomain| !subdomain.is_empty()) {
                Some(subdomain) => {
                    format!("{address}\t{name}.{subdomain}.{}.svc.{cluster_domain}\t{name}\n", pod.namespace())
                }
                None => format!("{address}\t{name}\n"),
            });
        }
    }
    let aliases = pod::spec(pod).host_aliases.as_deref().unwrap_or_default();
    if !aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
        for alias in aliases {
            let names = alias.hostnames.as_deref().unwrap_or_default();
            text.push_str(&format!("{}\t{}\n", alias.ip, names.join("\t")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use serde_json::json;

    fn pod(spec: serde_json::Value) -> Pod {
        let mut object = json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": {"containers": []}});
        object["spec"].as_object_mut().expect("an object").extend(spec.as_object().expect("an object").clone());
        serde_json::from_value(object).expect("the test's pod is valid")
    }

    fn check(spec: serde_json::Value, expected: Expect) {
        let machine = "nameserver 192.0.2.1\nsearch example.org\noptions timeout:1 # note\n";
        let dns = dns(&pod(spec), IpAddr::from([10, 43, 0, 10]), "cluster.local", machine);
        expected.assert_eq(&format!("{:?} {:?} {:?}", dns.servers, dns.searches, dns.options));
    }

    #[test]
    fn resolv_conf_follows_the_policy() {
        check(
            json!({}),
            expect![[
                r#"[10.43.0.10] ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local", "example.org"] ["ndots:5"]"#
            ]],
        );
        check(json!({"dnsPolicy": "Default"}), expect![[r#"[192.0.2.1] ["example.org"] ["timeout:1"]"#]]);
        check(json!({"hostNetwork": true}), expect![[r#"[192.0.2.1] ["example.org"] ["timeout:1"]"#]]);
        let own =
            json!({"nameservers": ["192.0.2.9"], "searches": ["a.b"], "options": [{"name": "ndots", "value": "2"}]});
        check(json!({"dnsPolicy": "None", "dnsConfig": own}), expect![[r#"[192.0.2.9] ["a.b"] ["ndots:2"]"#]]);
        check(
            json!({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": true, "dnsConfig": own}),
            expect![[
                r#"[10.43.0.10, 192.0.2.9] ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local", "example.org", "a.b"] ["ndots:2"]"#
            ]],
        );
    }

    #[test]
    fn hosts_file_names_the_pod_and_its_aliases() {
        let spec = json!({"subdomain": "db", "hostAliases": [{"ip": "192.0.2.7", "hostnames": ["x", "y"]}]});
        let text = hosts(&pod(spec), &[IpAddr::from([10, 42, 0, 7])], "cluster.local", "");
        assert!(text.contains("10.42.0.7\tweb.db.shop.svc.cluster.local\tweb\n"));
        assert!(text.ends_with("# Entries added by HostAliases.\n192.0.2.7\tx\ty\n"));
    }
}
