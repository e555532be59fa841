//! Puts cluster roles together from those that their selectors pick.

use std::sync::Arc;

use async_trait::async_trait;
use portolan_api::selector::LabelSelector;
use portolan_api::typed::Object;
use portolan_api::typed::kinds::rbac::v1::{ClusterRole, PolicyRule};
use portolan_base::Shutdown;
use portolan_client::{Error, Informer, Key, WorkQueue};

use crate::context::Context;
use crate::driver::{Next, Reconciler, drive};
use crate::meta::is_deleting;

struct Controller {
    context: Context,
    roles: Informer<ClusterRole>,
}

pub(crate) async fn run(context: Context, shutdown: Shutdown) {
    let controller = Controller { roles: context.informers.informer(), context };
    if shutdown.run(controller.roles.synced()).await.is_none() {
        return;
    }
    // Any role may be a part of any other: there is one key.
    let queue = WorkQueue::new();
    controller.roles.feed(&queue, |_| vec![Key::new("", "all")]);
    drive(&controller, &queue, &controller.context.clock, &shutdown).await;
}

#[async_trait]
impl Reconciler for Controller {
    fn name(&self) -> &'static str {
        "clusterrole-aggregation"
    }

    async fn reconcile(&self, _: &Key) -> Result<Next, Error> {
        for role in plan(self.roles.list()) {
            self.context.client.update(&role).await?;
        }
        Ok(Next::OnChange)
    }
}

/// The roles whose rules are not those of their parts, with the right ones.
fn plan(mut roles: Vec<Arc<ClusterRole>>) -> Vec<ClusterRole> {
    roles.sort_by(|left, right| left.name().cmp(right.name()));
    let changed = roles.iter().filter(|role| !is_deleting(&***role)).filter_map(|role| {
        let rules = together(role, &roles)?;
        let same = role.rules.as_deref().unwrap_or_default() == rules;
        (!same).then(|| ClusterRole { rules: Some(rules), ..ClusterRole::clone(role) })
    });
    changed.collect()
}

/// The rules of all parts, each once; `None` if the role is not made of others.
fn together(role: &ClusterRole, roles: &[Arc<ClusterRole>]) -> Option<Vec<PolicyRule>> {
    let selectors = role.aggregation_rule.as_ref()?.cluster_role_selectors.as_deref().unwrap_or_default();
    let mut rules: Vec<PolicyRule> = Vec::new();
    for selector in selectors {
        // The schema was checked when it was written; one that cannot be read picks nothing.
        let value = serde_json::to_value(selector).unwrap_or_default();
        let selector = LabelSelector::from_value(&value).unwrap_or(LabelSelector::Nothing);
        for part in roles.iter().filter(|part| part.name() != role.name()) {
            let labels = part.metadata.labels.as_ref();
            if selector.matches(|key| labels.and_then(|labels| labels.get(key))) {
                for rule in part.rules.iter().flatten() {
                    if !rules.contains(rule) {
                        rules.push(rule.clone());
                    }
                }
            }
        }
    }
    Some(rules)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn role(name: &str, labels: Value, verbs: &[&str], selects: &str) -> Arc<ClusterRole> {
        let rules: Vec<Value> =
            verbs.iter().map(|verb| json!({"verbs": [verb], "apiGroups": [""], "resources": ["pods"]})).collect();
        let mut object = json!({"metadata": {"name": name, "labels": labels}, "rules": rules});
        if !selects.is_empty() {
            object["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {selects: "true"}}]});
        }
        Arc::new(ClusterRole::decode(object.to_string().as_bytes()).expect("decodes"))
    }

    #[test]
    fn a_role_has_the_rules_of_its_parts_each_once() {
        let parts = [
            role("b", json!({"to-sum": "true"}), &["list", "get"], ""),
            role("a", json!({"to-sum": "true"}), &["get"], ""),
            role("other", json!({}), &["delete"], ""),
        ];
        let with = |sum: Arc<ClusterRole>| {
            let roles = plan(parts.iter().cloned().chain([sum]).collect());
            let verbs = roles.iter().flat_map(|role| role.rules.iter().flatten().flat_map(|rule| rule.verbs.clone()));
            verbs.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(with(role("sum", json!({}), &["watch"], "to-sum")), "get list");
        assert_eq!(with(role("sum", json!({}), &["get", "list"], "to-sum")), "", "nothing to do");
        assert_eq!(with(role("sum", json!({}), &["watch"], "")), "", "not made of others");
    }
}
