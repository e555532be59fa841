//! Owners that an object names twice.
//!
//! Source: `k8s.io/apiserver/pkg/endpoints/handlers/rest.go`.

use std::collections::HashSet;

use serde_json::Value;

/// When double owners were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noticed {
    /// In what the client sent.
    AsSent,
    /// Once everyone had changed the object who may.
    AfterAdmission,
}

/// Drops owners that stand among the others already, and returns the warning about them.
pub(super) fn drop_doubles(object: &mut Value, noticed: Noticed) -> Option<String> {
    let owners = object.get_mut("metadata")?.get_mut("ownerReferences")?.as_array_mut()?;
    if owners.len() < 2 {
        return None;
    }
    let mut seen = HashSet::new();
    let mut doubles = Vec::new();
    owners.retain(|owner| {
        let is_new = seen.insert(owner.clone());
        if !is_new {
            doubles.push(owner["uid"].as_str().unwrap_or_default().to_owned());
        }
        is_new
    });
    let when = match noticed {
        Noticed::AsSent => "",
        Noticed::AfterAdmission => " after mutating admission happens",
    };
    (!doubles.is_empty()).then(|| {
        format!(
            ".metadata.ownerReferences contains duplicate entries{when}; API server dedups owner references in 1.20+, and \
             may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
            doubles.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_whole_doubles_go() {
        let owner = |uid: &str, name: &str| json!({"uid": uid, "name": name});
        let mut object = json!({"metadata": {"ownerReferences": [
            owner("1", "a"), owner("2", "b"), owner("1", "a"), owner("1", "c"), owner("2", "b"),
        ]}});
        let warning = drop_doubles(&mut object, Noticed::AfterAdmission).expect("there are some");
        assert!(
            warning.starts_with(".metadata.ownerReferences contains duplicate entries after mutating"),
            "{warning}"
        );
        assert!(warning.ends_with("duplicate UID(s) observed: 1, 2"), "{warning}");
        let left = json!([owner("1", "a"), owner("2", "b"), owner("1", "c")]);
        assert_eq!(object["metadata"]["ownerReferences"], left);
        assert_eq!(drop_doubles(&mut object, Noticed::AsSent), None);
    }
}
