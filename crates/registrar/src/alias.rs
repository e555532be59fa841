//! Checks that are whatever another instance or machine is. Pure.

use portolan_api::typed::{CheckType, Checked, Health, HealthCheck};
use portolan_client::Key;

use crate::object_name;

/// What an alias follows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Target {
    Instance(Key),
    /// A machine by its own name.
    Machine(String),
}

/// What an alias may follow: the first of these that exists. `node` is the owner's.
pub(crate) fn targets(check: &HealthCheck, namespace: &str, node: &str) -> Vec<Target> {
    let named = if check.alias_node.is_empty() { node } else { &check.alias_node };
    if check.alias_service.is_empty() {
        return vec![Target::Machine(named.to_owned())];
    }
    let scopes = if named.is_empty() { &["", ""][..1] } else { &["", named][..] };
    scopes.iter().map(|scope| Target::Instance(Key::new(namespace, object_name(scope, &check.alias_service)))).collect()
}

/// What an alias of `target` is.
pub(crate) fn verdict(check: &HealthCheck, target: Option<&impl Checked>) -> (Health, String) {
    let Some(target) = target else {
        let words = match (check.alias_service.as_str(), check.alias_node.as_str()) {
            ("", node) => format!("Node {node} could not be found"),
            (service, "") => format!("Service {service} could not be found"),
            (service, node) => format!("Service {service} could not be found on node {node}"),
        };
        return (Health::Critical, words);
    };
    // Aliases of aliases would let two of them hold each other up.
    let checks = target.checks().iter().filter(|check| check.r#type != CheckType::Alias);
    let found = checks.map(|check| (check, target.result(&check.id)));
    let health = |(check, result): &(&HealthCheck, Option<&portolan_api::typed::HealthCheckStatus>)| {
        result.map_or_else(|| check.initial(), |result| result.health)
    };
    match found.max_by_key(health) {
        None => (Health::Passing, "No checks found.".to_owned()),
        Some(worst) if health(&worst) == Health::Passing => (Health::Passing, "All checks passing.".to_owned()),
        Some(worst) => {
            let output = worst.1.map_or("", |result| &result.output);
            (health(&worst), format!("Aliased check {:?} failing: {output}", worst.0.display_name()))
        }
    }
}

#[cfg(test)]
mod tests {
    use portolan_api::typed::{HealthCheckStatus, ServiceInstance};

    use super::*;

    #[test]
    fn an_alias_is_as_bad_as_the_worst_that_it_follows() {
        use Health::{Critical, Passing, Warning};
        let cases: [(&[Health], Health, &str); 4] = [
            (&[], Passing, "No checks found."),
            (&[Passing, Passing], Passing, "All checks passing."),
            (&[Passing, Warning], Warning, "Aliased check \"1\" failing: o"),
            (&[Critical, Warning], Critical, "Aliased check \"0\" failing: o"),
        ];
        let alias = HealthCheck { alias_service: "web-1".to_owned(), ..HealthCheck::default() };
        for (results, health, words) in cases {
            let mut target = ServiceInstance::default();
            for (index, health) in results.iter().enumerate() {
                let id = index.to_string();
                target.spec.checks.push(HealthCheck { id: id.clone(), ..HealthCheck::default() });
                let output = "o".to_owned();
                target.results_mut().push(HealthCheckStatus { id, health: *health, output, since: None });
            }
            assert_eq!(verdict(&alias, Some(&target)), (health, words.to_owned()));
        }
        let gone = verdict(&alias, None::<&ServiceInstance>);
        assert_eq!(gone, (Critical, "Service web-1 could not be found".to_owned()));
    }
}
