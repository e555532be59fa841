//! Names of the objects that dialects write. Pure.

use std::fmt::Write;

use portolan_api::validation::is_dns1123_subdomain;
use sha2::{Digest, Sha256};

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
}
