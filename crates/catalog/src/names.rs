//! Names of services as clients without namespaces see them. Pure.

use std::sync::Arc;

use crate::model::Key;
use crate::persistent::PersistentMap;
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
/// alone: DNS knows no case, and a name that registered may have any.
pub fn find_service_in_any_case(snapshot: &Snapshot, name: &str) -> Option<Key> {
    let alike = || snapshot.folded_names.get(&*name.to_ascii_lowercase())?.first().cloned();
    find_service(snapshot, name).or_else(alike)
}

/// A service with instances in this namespace whose name differs in letter case at most.
pub fn find_in_any_case<'a>(snapshot: &'a Snapshot, namespace: &str, name: &str) -> Option<&'a Key> {
    let mut alike = snapshot.folded_names.get(&*folded(namespace, name))?.iter();
    // Another namespace may have a service whose published name is the same.
    alike.find(|key| *key.namespace == *namespace && key.name.eq_ignore_ascii_case(name))
}

fn folded(namespace: &str, name: &str) -> String {
    let mut name = published_name(namespace, name);
    name.make_ascii_lowercase();
    name
}

/// Adds a service to those that are found by their names in any case.
pub(crate) fn learn(names: &mut PersistentMap<Arc<str>, Arc<[Key]>>, key: &Key) {
    let name = folded(&key.namespace, &key.name);
    let mut keys = names.get(&*name).map_or_else(Vec::new, |keys| keys.to_vec());
    if let Err(at) = keys.binary_search(key) {
        keys.insert(at, key.clone());
        names.insert(name.into(), keys.into());
    }
}

/// The opposite of [`learn`].
pub(crate) fn forget(names: &mut PersistentMap<Arc<str>, Arc<[Key]>>, key: &Key) {
    let name = folded(&key.namespace, &key.name);
    let left: Arc<[Key]> =
        names.get(&*name).into_iter().flat_map(|keys| keys.iter()).filter(|known| *known != key).cloned().collect();
    if left.is_empty() {
        names.remove(&*name);
    } else {
        names.insert(name.into(), left);
    }
}

#[cfg(test)]
mod tests {
    use portolan_api::typed::{Object as _, ServiceInstance};
    use serde_json::json;

    use super::*;
    use crate::{Catalog, Input, Kind};

    #[test]
    fn services_outside_the_default_namespace_carry_it_in_their_names() {
        assert_eq!(published_name("default", "web"), "web");
        assert_eq!(published_name("shop", "web"), "web-shop");
    }

    #[test]
    fn a_published_name_leads_back_to_its_service() {
        let mut catalog = Catalog::new();
        let put = |catalog: &mut Catalog, namespace: &str, service: &str| {
            let object = json!({
                "metadata": {"namespace": namespace, "name": format!("{}-x", service.to_lowercase())},
                "spec": {"service": service, "instanceId": format!("{service}-1"), "address": "192.0.2.1", "ports": []}
            });
            let object =
                ServiceInstance::decode(object.to_string().as_bytes()).expect("the test's object fits its kind");
            catalog.put(Input::Registration(Arc::new(object)));
        };
        for (namespace, service) in [("default", "Web"), ("shop", "Web"), ("shop", "a-b")] {
            put(&mut catalog, namespace, service);
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
        let within = [("default", "wEB", Some("default/Web")), ("shop", "web", Some("shop/Web")), ("no", "web", None)];
        for (namespace, name, expected) in within {
            let found = find_in_any_case(&snapshot, namespace, name).map(|key| key.to_string());
            assert_eq!(found.as_deref(), expected, "{namespace} {name}");
        }
        assert_eq!(find_in_any_case(&snapshot, "default", "web-shop"), None, "one of the namespace shop");
        // "Web" of the namespace "shop", and another service whose published name is the same but for its case.
        put(&mut catalog, "default", "WEB-SHOP");
        let found = |catalog: &mut Catalog| {
            find_service_in_any_case(&catalog.snapshot(), "web-SHOP").map(|key| key.to_string())
        };
        assert_eq!(found(&mut catalog).as_deref(), Some("default/WEB-SHOP"));
        catalog.remove(Kind::Registration, &Key::new("default", "web-shop-x"));
        assert_eq!(found(&mut catalog).as_deref(), Some("shop/Web"));
        catalog.remove(Kind::Registration, &Key::new("shop", "web-x"));
        assert_eq!(found(&mut catalog), None);
    }
}
