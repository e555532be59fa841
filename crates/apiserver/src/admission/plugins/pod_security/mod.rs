//! PodSecurity: pods keep within the level that the labels of their namespace name.
//!
//! Source: `k8s.io/pod-security-admission`.

mod baseline;
mod checks;
mod pod;
mod policy;
mod restricted;
mod settings;

use std::collections::BTreeMap;

use portolan_api::encoded;
use portolan_store::{KeyRange, RangeRequest};
use serde_json::Value;

use crate::admission::{Attributes, Operation};
use crate::endpoint::Call;
use crate::resources::json::are_same_but;
use crate::status::Status;
use crate::storage;
use pod::Pod;
use policy::{Demand, Policy};
pub(crate) use settings::PodSecurity;

/// Below pods, what does not change how a pod runs.
const HARMLESS: [&str; 8] = ["attach", "binding", "eviction", "exec", "log", "portforward", "proxy", "status"];

/// Kinds that make pods, and where their template is.
const TEMPLATES: [(&str, &str, &str); 8] = [
    ("", "podtemplates", "/template"),
    ("", "replicationcontrollers", "/spec/template"),
    ("apps", "daemonsets", "/spec/template"),
    ("apps", "deployments", "/spec/template"),
    ("apps", "replicasets", "/spec/template"),
    ("apps", "statefulsets", "/spec/template"),
    ("batch", "cronjobs", "/spec/jobTemplate/spec/template"),
    ("batch", "jobs", "/spec/template"),
];

/// Most pods that are looked at when a namespace becomes stricter.
const MOST_PODS: usize = 3000;

pub(super) async fn validate(attributes: &mut Attributes<'_>) -> Result<(), Status> {
    if !matches!(attributes.operation, Operation::Create | Operation::Update) {
        return Ok(());
    }
    if attributes.is_main("", "namespaces") {
        return namespace(attributes).await;
    }
    if attributes.is("", "pods") {
        let counts = !HARMLESS.contains(&attributes.subresource());
        return if counts { a_pod(attributes).await } else { Ok(()) };
    }
    let (group, resource) = (&*attributes.call.resource.group, &*attributes.call.resource.name);
    let found = TEMPLATES.iter().find(|(of, name, _)| (*of, *name) == (group, resource));
    match found {
        Some((_, _, place)) if attributes.subresource().is_empty() => a_template(attributes, place).await,
        _ => Ok(()),
    }
}

/// Whether an update changes how a pod runs: labels may be put on pods that would be refused today.
fn is_significant(attributes: &Attributes<'_>) -> bool {
    if attributes.operation != Operation::Update {
        return true;
    }
    let (new, old) = (&attributes.new, attributes.old);
    let of_security = |pod: &Value| {
        let annotations = pod["metadata"]["annotations"].as_object().into_iter().flatten();
        let of_security = annotations.filter(|(key, _)| key.contains("apparmor.security") || key.contains("seccomp"));
        of_security.map(|(key, value)| (key.clone(), value.clone())).collect::<BTreeMap<String, Value>>()
    };
    !are_same_specs(&new["spec"], &old["spec"]) || of_security(new) != of_security(old)
}

/// Fields of a pod's spec that do not matter.
const OF_NO_MATTER: [&str; 4] =
    ["activeDeadlineSeconds", "schedulingGates", "terminationGracePeriodSeconds", "tolerations"];
/// Lists of containers, of which the image and the resources do not matter.
const CONTAINERS: [&str; 3] = ["containers", "ephemeralContainers", "initContainers"];

fn are_same_specs(new: &Value, old: &Value) -> bool {
    are_same_but(new, old, &OF_NO_MATTER, |list, new, old| match (new.as_array(), old.as_array()) {
        (Some(new), Some(old)) if CONTAINERS.contains(&list) => {
            let is_same = |(new, old)| are_same_but(new, old, &["image", "resources"], |_, new, old| new == old);
            new.len() == old.len() && new.iter().zip(old).all(is_same)
        }
        _ => new == old,
    })
}

fn settings<'a>(call: &Call<'a>) -> &'a PodSecurity {
    &call.server.config.access.admission.pod_security
}

/// Why pods of a namespace, or those that a user writes, are not looked at.
fn exemption(call: &Call<'_>) -> Option<&'static str> {
    let exempt = &settings(call).exemptions;
    let has = |list: &[String], name: &str| list.iter().any(|it| it == name);
    if has(&exempt.namespaces, call.namespace()) {
        return Some("namespace");
    }
    has(&exempt.usernames, &call.user.name).then_some("user")
}

/// The same for the way in which a pod is run.
fn is_exempt(attributes: &Attributes<'_>, spec: &Value) -> bool {
    let class = spec["runtimeClassName"].as_str().unwrap_or_default();
    settings(&attributes.call).exemptions.runtime_classes.iter().any(|exempt| exempt == class)
}

async fn policy(call: &Call<'_>) -> Result<Policy, Status> {
    let found = storage::find(call.server, "", "namespaces", "", call.namespace()).await?;
    let defaults = &settings(call).defaults;
    let Some(entry) = found else { return Ok(defaults.clone()) };
    // Most namespaces say nothing.
    let prefix = policy::PREFIX.as_bytes();
    let labels = encoded::raw_at(&entry.value, &["metadata", "labels"]).unwrap_or_default();
    if !labels.windows(prefix.len()).any(|part| part == prefix) {
        return Ok(defaults.clone());
    }
    let namespace = storage::decode(&entry)?;
    Ok(Policy::of(&namespace["metadata"]["labels"], defaults).0)
}

/// Says in the record of an update what is said there of every pod: all that is said of one that runs as before.
pub(super) async fn note_harmless_update(call: &Call<'_>) -> Result<(), Status> {
    demanded_of_pod(call).await.map(drop)
}

/// What a pod must keep to. `None` if that is nothing, which is noted.
async fn demanded_of_pod(call: &Call<'_>) -> Result<Option<Policy>, Status> {
    if let Some(why) = exemption(call) {
        call.notes.add(noted("exempt"), why.to_owned());
        return Ok(None);
    }
    let policy = policy(call).await?;
    if policy.allows_everything() {
        call.notes.add(noted("enforce-policy"), "privileged:latest".to_owned());
        return Ok(None);
    }
    Ok(Some(policy))
}

/// The key of an annotation in the audit log.
fn noted(what: &str) -> String {
    format!("{}{what}", policy::PREFIX)
}

async fn a_pod(attributes: &mut Attributes<'_>) -> Result<(), Status> {
    let Some(policy) = demanded_of_pod(&attributes.call).await? else { return Ok(()) };
    if !is_significant(attributes) {
        return Ok(());
    }
    if is_exempt(attributes, &attributes.new["spec"]) {
        attributes.annotate(noted("exempt"), "runtimeClass");
        return Ok(());
    }
    attributes.annotate(noted("enforce-policy"), policy.enforce.to_string());
    let pod = (&attributes.new["metadata"], &attributes.new["spec"]);
    let enforced = complaint(&policy.enforce, pod);
    let audited = complaint(&policy.audit, pod);
    let warned = complaint(&policy.warn, pod);
    note(attributes, &policy, audited);
    if let Some(why) = enforced {
        return Err(attributes.forbidden(&format!("violates PodSecurity \"{}\": {why}", policy.enforce)));
    }
    warn(attributes, &policy, warned);
    Ok(())
}

/// A workload is not refused: its pods will be.
async fn a_template(attributes: &mut Attributes<'_>, place: &str) -> Result<(), Status> {
    if let Some(why) = exemption(&attributes.call) {
        attributes.annotate(noted("exempt"), why);
        return Ok(());
    }
    let policy = policy(&attributes.call).await?;
    if policy.allows_everything() {
        return Ok(());
    }
    let Some(template) = attributes.new.pointer(place) else { return Ok(()) };
    if is_exempt(attributes, &template["spec"]) {
        attributes.annotate(noted("exempt"), "runtimeClass");
        return Ok(());
    }
    let pod = (&template["metadata"], &template["spec"]);
    let (audited, warned) = (complaint(&policy.audit, pod), complaint(&policy.warn, pod));
    note(attributes, &policy, audited);
    warn(attributes, &policy, warned);
    Ok(())
}

/// What is wrong with a pod, of which there are its metadata and its specification.
fn violations(demand: &Demand, (metadata, spec): (&Value, &Value)) -> Vec<pod::Violation> {
    checks::violations(demand.level, &Pod { metadata, spec, minor: demand.minor() })
}

fn complaint(demand: &Demand, pod: (&Value, &Value)) -> Option<String> {
    let violations = violations(demand, pod);
    if violations.is_empty() { None } else { Some(checks::told(&violations)) }
}

fn note(attributes: &mut Attributes<'_>, policy: &Policy, why: Option<String>) {
    if let Some(why) = why {
        let text = format!("would violate PodSecurity \"{}\": {why}", policy.audit);
        attributes.annotate(noted("audit-violations"), text);
    }
}

fn warn(attributes: &mut Attributes<'_>, policy: &Policy, why: Option<String>) {
    if let Some(why) = why {
        attributes.warnings.push(format!("would violate PodSecurity \"{}\": {why}", policy.warn));
    }
}

/// What the labels of an exempt namespace demand in vain.
fn ignored(attributes: &Attributes<'_>, policy: &Policy) -> Option<String> {
    if policy.allows_everything() || *policy == settings(&attributes.call).defaults {
        return None;
    }
    let labels = &attributes.new["metadata"]["labels"];
    let says =
        |mode: &str| ["", "-version"].iter().any(|end| !labels[format!("{}{mode}{end}", policy::PREFIX)].is_null());
    let demands = [("enforce", &policy.enforce), ("audit", &policy.audit), ("warn", &policy.warn)];
    let told = demands.iter().filter(|(mode, demand)| demand.level != policy::Level::Privileged && says(mode));
    let told: Vec<String> = told.map(|(mode, demand)| format!("{mode}={demand}")).collect();
    Some(format!(
        "namespace \"{}\" is exempt from Pod Security, and the policy ({}) will be ignored",
        attributes.name,
        told.join(", ")
    ))
}

/// The labels of a namespace must be valid, and whoever makes it stricter hears whom that meets.
async fn namespace(attributes: &mut Attributes<'_>) -> Result<(), Status> {
    let PodSecurity { defaults, exemptions } = settings(&attributes.call);
    let (new, errors) = Policy::of(&attributes.new["metadata"]["labels"], defaults);
    let (old, old_errors) = Policy::of(&attributes.old["metadata"]["labels"], defaults);
    if !errors.is_empty() && (attributes.operation == Operation::Create || errors != old_errors) {
        return Err(attributes.call.invalid(&attributes.new, &errors));
    }
    let is_exempt_namespace = exemptions.namespaces.contains(&attributes.name);
    if is_exempt_namespace && attributes.operation == Operation::Create {
        attributes.warnings.extend(ignored(attributes, &new));
        return Ok(());
    }
    let stricter = attributes.operation == Operation::Update
        && new.enforce != old.enforce
        && new.enforce.level >= old.enforce.level
        && new.enforce.level != policy::Level::Privileged;
    if !stricter {
        return Ok(());
    }
    if is_exempt_namespace {
        attributes.warnings.extend(ignored(attributes, &new));
        return Ok(());
    }
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let range = KeyRange::prefix(storage::prefix("", "pods", &attributes.name));
    let request = RangeRequest { range, revision: None, limit: MOST_PODS };
    for entry in attributes.call.server.store().range(request).await?.entries {
        let pod = storage::decode(&entry)?;
        if is_exempt(attributes, &pod["spec"]) {
            continue;
        }
        let violations = violations(&new.enforce, (&pod["metadata"], &pod["spec"]));
        if !violations.is_empty() {
            let reasons: Vec<&str> = violations.iter().map(|violation| violation.reason.as_str()).collect();
            found.entry(reasons.join(", ")).or_default().push(pod::name(&pod["metadata"]).to_owned());
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    attributes.warnings.push(format!(
        "existing pods in namespace \"{}\" violate the new PodSecurity enforce level \"{}\"",
        attributes.name, new.enforce
    ));
    for (reasons, pods) in found {
        let Some((first, others)) = pods.split_first() else { continue };
        attributes.warnings.push(match others.len() {
            0 => format!("{first}: {reasons}"),
            1 => format!("{first} (and 1 other pod): {reasons}"),
            many => format!("{first} (and {many} other pods): {reasons}"),
        });
    }
    Ok(())
}
