//! Which taints a pod bears.

use k8s_openapi::api::core::v1::{Taint, Toleration};

/// Whether a toleration covers a taint. Without an effect it covers all effects, without a key (and with the
/// operator `Exists`) all keys.
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let set = |text| text_of(text).is_some();
    (!set(&toleration.effect) || toleration.effect.as_ref() == Some(&taint.effect))
        && (!set(&toleration.key) || toleration.key.as_ref() == Some(&taint.key))
        && match toleration.operator.as_deref() {
            Some("Exists") => true,
            _ => set(&toleration.key) && text_of(&toleration.value) == text_of(&taint.value),
        }
}

/// A text that says something.
fn text_of(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_taint_is_covered_by_key_value_and_effect() {
        let taint = json!({"key": "gpu", "value": "yes", "effect": "NoSchedule"});
        let bare = json!({"key": "gpu", "effect": "NoExecute"});
        let cases: [(Value, &Value, bool); 9] = [
            (json!({"operator": "Exists"}), &taint, true),
            (json!({}), &taint, false),
            (json!({"key": "gpu", "operator": "Exists"}), &taint, true),
            (json!({"key": "gpu", "operator": "Equal", "value": "yes"}), &taint, true),
            (json!({"key": "gpu", "value": "no"}), &taint, false),
            (json!({"key": "disk", "operator": "Exists"}), &taint, false),
            (json!({"key": "gpu", "operator": "Exists", "effect": "NoExecute"}), &taint, false),
            (json!({"key": "gpu", "operator": "Exists", "effect": "NoExecute"}), &bare, true),
            (json!({"key": "gpu", "value": "", "effect": ""}), &bare, true),
        ];
        for (toleration, taint, expected) in cases {
            let typed: Toleration = serde_json::from_value(toleration.clone()).expect("it is a toleration");
            let of: Taint = serde_json::from_value(taint.clone()).expect("it is a taint");
            assert_eq!(tolerates(&typed, &of), expected, "{toleration} of {taint}");
        }
    }
}
