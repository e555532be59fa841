//! Names of services as clients without namespaces see them. Pure.

use crate::model::Key;
use crate::snapshot::Snapshot;

/// The namespace whose services go by their bare names.
const DEFAULT_NAMESPACE: &str = "default";

/// The name under which dialects without namespaces show a service: its own name in the namespace
/// `default`, else name and namespace joined by a hyphen, as Consul's catalog sync does.
pub fn published_name(namespace: &str, service: &str) -> String {
    if namespace == DEFAULT_NAMESPACE { service.to_owned() } else { format!("{service}-{namespace}") }
}

/// The service that a dialect without namespaces means by `name`; letter case counts only if two
/// services differ in nothing else.
pub fn find_service(snapshot: &Snapshot, name: &str) -> Option<Key> {
    let known = |namespace: &str, service: &str| {
        snapshot.service(namespace, service).is_some() || snapshot.instances_of(namespace, service).is_some()
    };
    if known(DEFAULT_NAMESPACE, name) {
        return Some(Key::new(DEFAULT_NAMESPACE, name));
    }
    let hyphens = name.match_indices('-').map(|(at, _)| (&name[..at], &name[at + 1..]));
    let mut joined = hyphens.filter(|(service, namespace)| !service.is_empty() && !namespace.is_empty());
    joined
        .find(|(service, namespace)| known(namespace, service))
        .map(|(service, namespace)| Key::new(namespace, service))
}

/// As [`find_service`], but where no service has that very name, one whose name differs in letter case
/// alone: DNS knows no case, and a name that registered may have any. Looks at every service for a
/// name that nobody has.
pub fn find_service_in_any_case(snapshot: &Snapshot, name: &str) -> Option<Key> {
    let alike = |key: &&Key| {
        if key.namespace.eq_ignore_ascii_case(DEFAULT_NAMESPACE) {
            return key.name.eq_ignore_ascii_case(name);
        }
        let parts = name.split_at_checked(key.name.len());
        parts.is_some_and(|(service, rest)| {
            let namespace = rest.strip_prefix('-');
            key.name.eq_ignore_ascii_case(service)
                && namespace.is_some_and(|namespace| key.namespace.eq_ignore_ascii_case(namespace))
        })
    };
    find_service(snapshot, name).or_else(|| snapshot.instances().map(|(key, _)| key).filter(alike).min().cloned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use portolan_api::typed::{Object as _, ServiceInstance};
    use serde_json::json;

    use super::*;
    use crate::{Catalog, Input};

    #[test]
    fn services_outside_the_default_namespace_carry_it_in_their_names() {
        assert_eq!(published_name("default", "web"), "web");
        assert_eq!(published_name("shop", "web"), "web-shop");
    }

    #[test]
    fn a_published_name_leads_back_to_its_service() {
        let mut catalog = Catalog::new();
        for (namespace, service) in [("default", "Web"), ("shop", "Web"), ("shop", "a-b")] {
            let object = json!({
                "metadata": {"namespace": namespace, "name": format!("{}-x", service.to_lowercase())},
                "spec": {"service": service, "instanceId": format!("{service}-1"), "address": "192.0.2.1", "ports": []}
            });
            let object =
                ServiceInstance::decode(object.to_string().as_bytes()).expect("the test's object fits its kind");
            catalog.put(Input::Registration(Arc::new(object)));
        }
        let snapshot = catalog.snapshot();
        let cases = [
            ("web", None),
            ("Web", Some(("default", "Web"))),
            ("a-b-shop", Some(("shop", "a-b"))),
            ("A-B-shop", None),
            ("web-shop", None),
            ("nope", None),
        ];
        for (name, expected) in cases {
            let found = find_service(&snapshot, name).map(|key| key.to_string());
            assert_eq!(found, expected.map(|(namespace, name)| format!("{namespace}/{name}")), "{name}");
        }
        let any_case = [("WEB", "default/Web"), ("A-B-SHOP", "shop/a-b"), ("web-shop", "shop/Web")];
        for (name, expected) in any_case {
            let found = find_service_in_any_case(&snapshot, name).map(|key| key.to_string());
            assert_eq!(found.as_deref(), Some(expected), "{name}");
        }
        assert_eq!(find_service_in_any_case(&snapshot, "ä-shop"), None);
    }
}
