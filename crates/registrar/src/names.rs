//! Names of services and objects as dialects without namespaces see them. Pure.

use std::fmt::Write;

use portolan_api::validation::is_dns1123_subdomain;
use portolan_catalog::{Key, Snapshot};
use sha2::{Digest, Sha256};

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

/// Name of the object of an instance: its id where that is a name already and is unique by itself,
/// else a readable part and a hash of scope and id.
///
/// The scope is what ids are unique in: empty for the whole namespace, else for example the node
/// or the application.
pub fn object_name(scope: &str, id: &str) -> String {
    if scope.is_empty() && is_dns1123_subdomain(id).is_empty() {
        return id.to_owned();
    }
    let mut readable: String = id
        .chars()
        .map(|character| if character.is_ascii_alphanumeric() { character.to_ascii_lowercase() } else { '-' })
        .take(200)
        .collect();
    readable = readable.trim_matches('-').to_owned();
    let digest = Sha256::new().chain_update(scope).chain_update([0]).chain_update(id).finalize();
    let mut name = if readable.is_empty() { "instance".to_owned() } else { readable };
    name.push('-');
    for byte in &digest[..5] {
        // Writing to a string cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_become_names_of_objects() {
        assert_eq!(object_name("", "web-1"), "web-1");
        let cases = [("", "Web 1"), ("APP", "host:app:8080"), ("n", "web-1"), ("", "::"), ("", "")];
        for (scope, id) in cases {
            let name = object_name(scope, id);
            assert!(is_dns1123_subdomain(&name).is_empty(), "{name}");
        }
        assert_ne!(object_name("A", "1"), object_name("B", "1"));
        assert!(object_name("APP", "host:app:8080").starts_with("host-app-8080-"));
    }

    #[test]
    fn services_outside_the_default_namespace_carry_it_in_their_names() {
        assert_eq!(published_name("default", "web"), "web");
        assert_eq!(published_name("shop", "web"), "web-shop");
    }
}
