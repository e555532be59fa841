//! Which ReplicaSet carries which pod template.

use std::sync::Arc;

use portolan_api::typed::Object;
use portolan_api::typed::kinds::apps::v1::ReplicaSet;
use portolan_api::typed::kinds::core::v1::PodTemplateSpec;

/// Tells the pods of one template from those of another.
pub(super) const HASH_LABEL: &str = "pod-template-hash";

/// The oldest set with this template: with several, upstream takes the oldest, so do we.
pub(super) fn find<'a>(template: &PodTemplateSpec, sets: &'a [Arc<ReplicaSet>]) -> Option<&'a Arc<ReplicaSet>> {
    let created = |set: &Arc<ReplicaSet>| set.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let same = sets.iter().filter(|set| same(template, set));
    same.min_by_key(|set| (created(set), set.name().to_owned()))
}

/// Whether a set makes pods from this template.
pub(super) fn same(template: &PodTemplateSpec, set: &ReplicaSet) -> bool {
    let other = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
    other.is_some_and(|other| {
        // The cheap comparison first; most sets differ in the spec.
        template.spec == other.spec && without_hash(template) == without_hash(other)
    })
}

fn without_hash(template: &PodTemplateSpec) -> PodTemplateSpec {
    let mut metadata = template.metadata.clone().unwrap_or_default();
    metadata.labels.get_or_insert_default().remove(HASH_LABEL);
    metadata.annotations.get_or_insert_default();
    PodTemplateSpec { metadata: Some(metadata), spec: None }
}

/// A short name for a template, safe in labels and object names.
///
/// `collisions` makes another name after a name turned out to be taken by another template.
pub(super) fn hash(template: &PodTemplateSpec, collisions: i32) -> String {
    // Only equality within one cluster matters: the set of a template is found by comparing templates,
    // so a hash that changes with a version of this program starts no rollout.
    let bytes = serde_json::to_vec(template).expect("generated types serialise to JSON: their map keys are strings");
    let mut hash: u32 = 0x811c_9dc5;
    for byte in bytes.into_iter().chain(collisions.to_le_bytes().into_iter().take_while(|_| collisions > 0)) {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    // No vowels and no digits that look like them: no words by accident.
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    hash.to_string().bytes().map(|digit| char::from(ALPHABET[usize::from(digit) % ALPHABET.len()])).collect()
}
