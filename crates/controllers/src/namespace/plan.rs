//! What a namespace that is being emptied says about it.
//!
//! Source: `k8s.io/kubernetes/pkg/controller/namespace/deletion`, `status_condition_utils.go`.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use portolan_api::time::whole_seconds;
use portolan_api::typed::kinds::core::v1::NamespaceCondition;
use portolan_base::Timestamp;

/// What is left of a namespace's content.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// How many objects, by `<resource>.<group>`.
    objects: BTreeMap<String, usize>,
    /// How many objects each finalizer holds.
    finalizers: BTreeMap<String, usize>,
    /// Why objects could not be deleted.
    pub(super) failures: Vec<String>,
}

impl Left {
    /// Counts an object that is still there.
    pub(super) fn add<'a>(&mut self, resource: &str, group: &str, finalizers: impl IntoIterator<Item = &'a str>) {
        *self.objects.entry(format!("{resource}.{group}")).or_default() += 1;
        for finalizer in finalizers {
            *self.finalizers.entry(finalizer.to_owned()).or_default() += 1;
        }
    }

    /// How many objects there are.
    pub(super) fn count(&self) -> usize {
        self.objects.values().sum()
    }
}

/// The conditions, with the times of those that did not change; `None` if all say so already.
pub(super) fn conditions(
    before: &[NamespaceCondition],
    left: &Left,
    now: Timestamp,
) -> Option<Vec<NamespaceCondition>> {
    let list = |counts: &BTreeMap<String, usize>, word: &str| {
        let parts = counts.iter().map(|(name, count)| format!("{name} {word} {count} resource instances"));
        parts.collect::<Vec<_>>().join(", ")
    };
    let content = match left.failures.as_slice() {
        [] => {
            ("False", "ContentDeleted", "All content successfully deleted, may be waiting on finalization".to_owned())
        }
        failures => {
            let text =
                format!("Failed to delete all resource types, {} remaining: {}", failures.len(), failures.join(", "));
            ("True", "ContentDeletionFailed", text)
        }
    };
    let remaining = if left.objects.is_empty() {
        ("False", "ContentRemoved", "All content successfully removed".to_owned())
    } else {
        ("True", "SomeResourcesRemain", format!("Some resources are remaining: {}", list(&left.objects, "has")))
    };
    let held = if left.finalizers.is_empty() {
        ("False", "ContentHasNoFinalizers", "All content-preserving finalizers finished".to_owned())
    } else {
        let text = list(&left.finalizers, "in");
        let text = format!("Some content in the namespace has finalizers remaining: {text}");
        ("True", "SomeFinalizersRemain", text)
    };
    let discovered = ("False", "ResourcesDiscovered", "All resources successfully discovered".to_owned());
    let parsed = ("False", "ParsedGroupVersions", "All legacy kube types successfully parsed".to_owned());
    let wanted = [
        ("NamespaceDeletionDiscoveryFailure", discovered),
        ("NamespaceDeletionGroupVersionParsingFailure", parsed),
        ("NamespaceDeletionContentFailure", content),
        ("NamespaceContentRemaining", remaining),
        ("NamespaceFinalizersRemaining", held),
    ];
    let mut after: Vec<NamespaceCondition> = Vec::new();
    for (kind, (status, reason, message)) in wanted {
        let known = before.iter().find(|condition| condition.type_ == kind);
        let since = known.filter(|known| known.status == status).and_then(|known| known.last_transition_time.clone());
        after.push(NamespaceCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: since.or_else(|| Some(Time(whole_seconds(now)))),
        });
    }
    let others = before.iter().filter(|known| !wanted_kind(&known.type_)).cloned();
    after.extend(others);
    (after != before).then_some(after)
}

fn wanted_kind(kind: &str) -> bool {
    kind.starts_with("NamespaceDeletion")
        || matches!(kind, "NamespaceContentRemaining" | "NamespaceFinalizersRemaining")
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(left: &Left, expected: Expect) {
        let now = "2026-01-02T03:04:05.5Z".parse().expect("a time");
        let after = conditions(&[], left, now).expect("they are new");
        assert_eq!(conditions(&after, left, now + std::time::Duration::from_secs(9)), None, "nothing changed");
        let lines = after.iter().skip(2).map(|it| {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            format!("{}={} {}: {}", it.type_, it.status, text(&it.reason), text(&it.message))
        });
        expected.assert_eq(&lines.collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn a_namespace_says_what_is_left_and_who_holds_it() {
        let mut left = Left::default();
        left.add("pods", "", ["example.com/a"]);
        left.add("pods", "", ["example.com/a", "example.com/b"]);
        left.add("deployments", "apps", []);
        check(
            &left,
            expect![[r#"
                NamespaceDeletionContentFailure=False ContentDeleted: All content successfully deleted, may be waiting on finalization
                NamespaceContentRemaining=True SomeResourcesRemain: Some resources are remaining: deployments.apps has 1 resource instances, pods. has 2 resource instances
                NamespaceFinalizersRemaining=True SomeFinalizersRemain: Some content in the namespace has finalizers remaining: example.com/a in 2 resource instances, example.com/b in 1 resource instances"#]],
        );
        check(
            &Left::default(),
            expect![[r#"
                NamespaceDeletionContentFailure=False ContentDeleted: All content successfully deleted, may be waiting on finalization
                NamespaceContentRemaining=False ContentRemoved: All content successfully removed
                NamespaceFinalizersRemaining=False ContentHasNoFinalizers: All content-preserving finalizers finished"#]],
        );
    }
}
