//! Nobody grants rights that he does not have, unless he may (`escalate`, `bind`).
//!
//! Source: `pkg/registry/rbac` of Kubernetes: `policybased` storages and `validation.Covers`.

use portolan_base::go;
use serde_json::Value;

use super::bootstrap::{API, MASTERS};
use super::{Action, Rule, covers_path, decide};
use crate::configuration::aggregate;
use crate::endpoint::{Call, metadata};
use crate::request::{Info, Target};
use crate::resources::json;
use crate::status::Status;

/// Metadata that may change without a look at what is granted: what the collector of garbage writes, and what the
/// server itself does.
const OF_THE_COLLECTOR: [&str; 4] = ["finalizers", "managedFields", "ownerReferences", "resourceVersion"];

/// Metadata that the server fills in where it is left out.
const OF_THE_SERVER: [&str; 6] =
    ["creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "namespace", "resourceVersion", "uid"];

/// A role or binding before a change.
#[derive(Clone, Copy)]
pub(crate) struct Old<'a> {
    pub(crate) object: &'a Value,
    /// Whether the new one came with [`all that the server fills in`](is_whole).
    pub(crate) came_whole: bool,
}

/// Whether an update came with everything that the server fills in otherwise: only then it can change nothing.
pub(crate) fn is_whole(new: &Value, old: &Value) -> bool {
    OF_THE_SERVER.iter().all(|name| json::same(&new["metadata"][*name], &old["metadata"][*name]))
}

/// Refuses a role or binding by which the user would grant what he does not have.
///
/// Labels grant, too: roles that are made of others take those that have certain labels. So whoever changes anything
/// of a role must have what it grants, as upstream has it. Whether the object is valid is not known yet.
pub(crate) async fn check(call: &Call<'_>, new: &Value, old: Option<Old<'_>>) -> Result<(), Status> {
    if call.resource.group != API || call.user.is_in(MASTERS) {
        return Ok(());
    }
    if old.is_some_and(|old| old.came_whole && grants_as_before(new, old.object)) {
        return Ok(());
    }
    match &*call.resource.name {
        "roles" | "clusterroles" => role(call, new, old.map(|old| old.object)).await,
        "rolebindings" | "clusterrolebindings" => binding(call, new).await,
        _ => Ok(()),
    }
}

/// Whether an object is as it was but for [`OF_THE_COLLECTOR`].
fn grants_as_before(new: &Value, old: &Value) -> bool {
    let is_same = |new: &Value, old: &Value, but: &[&str]| {
        let names = json::entries(new).chain(json::entries(old)).map(|(name, _)| name);
        names.filter(|name| !but.contains(name)).all(|name| json::same(&new[name], &old[name]))
    };
    is_same(new, old, &["metadata"]) && is_same(&new["metadata"], &old["metadata"], &OF_THE_COLLECTOR)
}

async fn role(call: &Call<'_>, new: &Value, old: Option<&Value>) -> Result<(), Status> {
    if may(call, "escalate", API, &call.resource.name, call.namespace(), &call.info.name).await {
        return Ok(());
    }
    let name = metadata::text(new, "name");
    covered(call, name, &rules(&new["rules"]))?;
    // Who may say which roles are taken together may say that all are.
    let aggregates = |role: &Value| json::is_set(&role["aggregationRule"]["clusterRoleSelectors"]);
    if (aggregates(new) || old.is_some_and(aggregates)) && !lacking(call, &Rule::everything()).0.is_empty() {
        let why = "must have cluster-admin privileges to use the aggregationRule";
        return Err(Status::forbidden(&call.target(), name, why));
    }
    Ok(())
}

async fn binding(call: &Call<'_>, new: &Value) -> Result<(), Status> {
    let text = |field: &str| new["roleRef"][field].as_str().unwrap_or_default();
    let (kind, role) = (text("kind"), text("name"));
    let (resource, namespace) = match kind {
        "Role" => ("roles", call.namespace()),
        "ClusterRole" => ("clusterroles", ""),
        other => return Err(Status::new(500, "", format!("unsupported role reference kind: {}", go::quote(other)))),
    };
    // A cluster role that is bound in a namespace is granted there only.
    let asked_in = if call.resource.name == "rolebindings" { call.namespace() } else { namespace };
    if may(call, "bind", text("apiGroup"), resource, asked_in, role).await {
        return Ok(());
    }
    let Some(rules) = call.server.authorizer.rules_of(kind, role, call.namespace()) else {
        return Err(Status::not_found(&Target { group: API, resource }, role));
    };
    covered(call, metadata::text(new, "name"), &rules)
}

async fn may(call: &Call<'_>, verb: &str, group: &str, resource: &str, namespace: &str, name: &str) -> bool {
    let info = Info {
        verb: "get",
        other_verb: verb.into(),
        group: group.into(),
        version: "v1".into(),
        resource: resource.into(),
        namespace: namespace.into(),
        name: name.into(),
        ..Info::default()
    };
    decide(call.server, call.user, Action::Resource(&info)).await.is_allowed()
}

fn rules(list: &Value) -> Vec<Rule> {
    // The schema has been checked, so what cannot be read is absent.
    serde_json::from_value(list.clone()).unwrap_or_default()
}

fn covered(call: &Call<'_>, name: &str, wanted: &[Rule]) -> Result<(), Status> {
    let (missing, lost) = lacking(call, wanted);
    if missing.is_empty() {
        return Ok(());
    }
    let mut lines: Vec<String> = compact(missing).iter().map(described).collect();
    lines.sort();
    let mut why = format!(
        "user {} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        go::quote(&call.user.name),
        go::quote_all(&call.user.groups),
        lines.join("\n")
    );
    if let Err(lost) = aggregate(lost) {
        why = format!("{why}; resolution errors: [{lost}]");
    }
    Err(Status::forbidden(&call.target(), name, &why))
}

/// What the user does not have of some rules, and which roles that are bound to the user are not there.
fn lacking(call: &Call<'_>, wanted: &[Rule]) -> (Vec<Rule>, Vec<String>) {
    let (held, lost) = call.server.authorizer.rules(call.user, call.namespace());
    (missing(&held, wanted), lost)
}

/// Whether some rules of a role allow all that another one does.
pub(crate) fn allow(held: &Value, wanted: &Value) -> bool {
    missing(&rules(held), &rules(&Value::from(vec![wanted.clone()]))).is_empty()
}

/// The parts of `wanted` that no rule of `held` covers.
fn missing(held: &[Rule], wanted: &[Rule]) -> Vec<Rule> {
    let parts = wanted.iter().flat_map(parts);
    parts.filter(|part| !held.iter().any(|rule| covers(rule, part))).collect()
}

/// A rule as many that each allow one thing.
fn parts(rule: &Rule) -> Vec<Rule> {
    let mut parts = Vec::new();
    let one = |text: &String| vec![text.clone()];
    for verb in &rule.verbs {
        for group in &rule.api_groups {
            for resource in &rule.resources {
                let part =
                    Rule { verbs: one(verb), api_groups: one(group), resources: one(resource), ..Rule::default() };
                if rule.resource_names.is_empty() {
                    parts.push(part);
                } else {
                    parts.extend(
                        rule.resource_names.iter().map(|name| Rule { resource_names: one(name), ..part.clone() }),
                    );
                }
            }
        }
        for path in &rule.non_resource_urls {
            parts.push(Rule { verbs: one(verb), non_resource_urls: one(path), ..Rule::default() });
        }
    }
    parts
}

fn covers(held: &Rule, part: &Rule) -> bool {
    let all = |held: &[String], wanted: &[String]| {
        held.iter().any(|item| item == "*") || wanted.iter().all(|item| held.contains(item))
    };
    let resources = held.resources.iter().any(|item| item == "*")
        || part.resources.iter().all(|wanted| {
            let of_any = wanted.split_once('/').map(|(_, subresource)| format!("*/{subresource}"));
            held.resources.contains(wanted) || of_any.is_some_and(|pattern| held.resources.contains(&pattern))
        });
    let paths = part
        .non_resource_urls
        .iter()
        .all(|wanted| held.non_resource_urls.iter().any(|pattern| covers_path(pattern, wanted)));
    let names = match part.resource_names.as_slice() {
        [] => held.resource_names.is_empty(),
        wanted => held.resource_names.is_empty() || all(&held.resource_names, wanted),
    };
    all(&held.verbs, &part.verbs) && all(&held.api_groups, &part.api_groups) && resources && paths && names
}

/// Puts rules together that differ in their verbs only.
fn compact(rules: Vec<Rule>) -> Vec<Rule> {
    let mut compacted: Vec<Rule> = Vec::new();
    for rule in rules {
        let like = |other: &&mut Rule| {
            Rule { verbs: Vec::new(), ..(**other).clone() } == Rule { verbs: Vec::new(), ..rule.clone() }
        };
        match compacted.iter_mut().find(like).filter(|_| rule.non_resource_urls.is_empty()) {
            Some(other) => other.verbs.extend(rule.verbs),
            None => compacted.push(rule),
        }
    }
    compacted
}

fn described(rule: &Rule) -> String {
    let parts = [
        ("APIGroups", &rule.api_groups),
        ("Resources", &rule.resources),
        ("NonResourceURLs", &rule.non_resource_urls),
        ("ResourceNames", &rule.resource_names),
        ("Verbs", &rule.verbs),
    ];
    let parts = parts.iter().filter(|(_, list)| !list.is_empty());
    let texts: Vec<String> = parts.map(|(name, list)| format!("{name}:{}", go::quote_all(list))).collect();
    format!("{{{}}}", texts.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// `verbs groups resources names`, each separated by commas, `-` for the core group; or `verbs /path`.
    fn rule(text: &str) -> Rule {
        let words: Vec<&str> = text.split(' ').collect();
        let list = |index: usize| -> Vec<String> {
            let word = words.get(index).copied().unwrap_or_default();
            word.split(',').filter(|item| !item.is_empty()).map(|item| item.replace('-', "")).collect()
        };
        if words[1].starts_with('/') || words[1] == "url:*" {
            let paths = words[1].trim_start_matches("url:");
            return Rule { verbs: list(0), non_resource_urls: vec![paths.to_owned()], ..Rule::default() };
        }
        let (verbs, api_groups, resources, resource_names) = (list(0), list(1), list(2), list(3));
        Rule { verbs, api_groups, resources, resource_names, ..Rule::default() }
    }

    #[test]
    fn only_what_the_collector_writes_grants_nothing_new() {
        let old = json!({
            "metadata": {"name": "r", "uid": "u", "resourceVersion": "7", "labels": {"a": "b"}, "finalizers": ["x/y"]},
            "rules": [{"verbs": ["get"]}],
        });
        let cases = [
            (json!({"finalizers": null, "ownerReferences": [{"uid": "o"}], "managedFields": [{}]}), json!({}), true),
            (json!({"resourceVersion": null, "annotations": {}}), json!({"aggregationRule": null}), true),
            (json!({"labels": {"a": "c"}}), json!({}), false),
            (json!({"labels": null}), json!({}), false),
            (json!({"annotations": {"a": "b"}}), json!({}), false),
            (json!({}), json!({"rules": []}), false),
            (json!({}), json!({"rules": null}), false),
            (json!({}), json!({"aggregationRule": {"clusterRoleSelectors": [{}]}}), false),
        ];
        for (name, value, expected) in [
            ("uid", json!("u"), true),
            ("uid", json!(""), false),
            ("uid", json!(null), false),
            ("resourceVersion", json!("0"), false),
            ("namespace", json!("default"), false),
            ("labels", json!(null), true),
        ] {
            let mut new = old.clone();
            new["metadata"][name] = value;
            assert_eq!(is_whole(&new, &old), expected, "{name} {new}");
        }
        for (metadata, fields, expected) in cases {
            let mut new = old.clone();
            let mut put = |place: &str, fields: &Value| {
                for (name, value) in json::entries(fields) {
                    new.pointer_mut(place).expect("is there")[name] = value.clone();
                }
            };
            put("/metadata", &metadata);
            put("", &fields);
            assert_eq!(grants_as_before(&new, &old), expected, "{metadata} {fields}");
        }
    }

    #[test]
    fn what_is_not_held_is_listed() {
        let cases: [(&[&str], &[&str], &str); 10] = [
            (&["get,list - pods"], &["get - pods"], ""),
            (
                &["get - pods"],
                &["get,list,watch - pods"],
                r#"{APIGroups:[""], Resources:["pods"], Verbs:["list" "watch"]}"#,
            ),
            (&["get - pods", "list - pods"], &["get,list - pods"], ""),
            (&["* * *"], &["get apps deployments/scale"], ""),
            (&["update * */scale"], &["update apps deployments/scale"], ""),
            (&["get - pods"], &["get - pods/log"], r#"{APIGroups:[""], Resources:["pods/log"], Verbs:["get"]}"#),
            (&["get - secrets a"], &["get - secrets a"], ""),
            (&["get - secrets a"], &["get - secrets"], r#"{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}"#),
            (&["get /api/*"], &["get /api/v1"], ""),
            (&["get /api/*"], &["get url:*"], r#"{NonResourceURLs:["*"], Verbs:["get"]}"#),
        ];
        for (held, wanted, expected) in cases {
            let read = |texts: &[&str]| texts.iter().map(|text| rule(text)).collect::<Vec<_>>();
            let lines: Vec<String> = compact(missing(&read(held), &read(wanted))).iter().map(described).collect();
            assert_eq!(lines.join("\n"), expected, "{held:?} {wanted:?}");
        }
    }
}
