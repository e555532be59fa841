//! Address families of services: what is inferred of them before addresses are given, and what is wrong with them.
//!
//! Source: `kubernetes/pkg/registry/core/service/storage/alloc.go`, `initIPFamilyFields`, and
//! `kubernetes/pkg/apis/core/validation`, `ValidateServiceClusterIPsRelatedFields`. There is one family, IPv4.

use std::collections::HashSet;

use portolan_api::field;
use serde_json::{Map, Value, json};

use crate::resources::at::{At, Errors};
use crate::resources::json::{is_set, items, text};

const POLICIES: [&str; 3] = ["PreferDualStack", "RequireDualStack", "SingleStack"];
const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];
const CONFIGURED: &str = "IPv4";

/// Whether a service has addresses, or says that it has none.
pub(super) fn needs_address(spec: &Value) -> bool {
    spec["type"] != "ExternalName"
}

/// Whether a service says that it has no address.
pub(super) fn is_headless(spec: &Value) -> bool {
    matches!(items(&spec["clusterIPs"]), [only] if only == "None")
}

/// Whether two services name the same values in a list.
pub(super) fn are_same(field: &str, new: &Value, old: &Value) -> bool {
    items(&new[field]) == items(&old[field])
}

/// Whether a service keeps one of the values that it had.
fn is_reduced(field: &str, new: &Value, old: &Value) -> bool {
    let count = items(&new[field]).len();
    count > 0 && count < items(&old[field]).len()
}

fn family_of(address: &str) -> &'static str {
    if address.contains(':') { "IPv6" } else { "IPv4" }
}

/// Fills in the policy and the families of a new service, or of a new version of `old`.
///
/// # Errors
/// What is wrong with them or does not fit this cluster.
pub(crate) fn settle(service: &mut Value, old: Option<&Value>) -> Result<(), Vec<field::Error>> {
    let old = old.map(|old| &old["spec"]);
    let before = &service["spec"];
    if !needs_address(before) || old.is_some_and(|old| stays_as_preferred(before, old)) {
        return Ok(());
    }
    let is_own_matter = before["clusterIP"] == "None" && !is_set(&before["selector"]);
    let mut policy = before["ipFamilyPolicy"].clone();
    if policy.is_null() {
        policy = match old.map(|old| &old["ipFamilyPolicy"]).filter(|policy| !policy.is_null()) {
            Some(policy) => policy.clone(),
            None if is_own_matter => "RequireDualStack".into(),
            None => "SingleStack".into(),
        };
    }
    let is_single = policy == "SingleStack";
    let Some(spec) = service.get_mut("spec").and_then(Value::as_object_mut) else { return Ok(()) };
    spec.insert("ipFamilyPolicy".to_owned(), policy.clone());
    let mut errors = Errors::default();
    validate(&service["spec"], old, &mut errors);
    errors.into_result()?;
    let Some(spec) = service.get_mut("spec").and_then(Value::as_object_mut) else { return Ok(()) };
    let mut errors = Errors::default();
    if let Some(old) = old {
        release_second(spec, old, is_single, &mut errors);
    }
    let mut families: Vec<Value> = list(spec, "ipFamilies").to_vec();
    let at = At::root("spec");
    if is_single {
        for (field, what) in [("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")] {
            if list(spec, field).len() == 2 {
                let detail =
                    format!("must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified");
                errors.invalid(&at.child("ipFamilyPolicy"), policy.clone(), detail);
            }
        }
    }
    let addresses = list(spec, "clusterIPs");
    for (index, address) in addresses.iter().map(text).enumerate().take_while(|(_, address)| *address != "None") {
        match family_of(address) {
            _ if index < families.len() => {}
            CONFIGURED => families.push(CONFIGURED.into()),
            family => {
                let detail = format!("{family} is not configured on this cluster");
                errors.invalid(&at.child("clusterIPs").index(index), addresses, detail);
            }
        }
    }
    errors.into_result()?;
    if families.is_empty() {
        families.push(CONFIGURED.into());
    }
    if is_own_matter {
        // Whoever names its endpoints may give them any family.
        if families.len() < 2 && !is_single {
            families.push(if families[0] == "IPv4" { "IPv6" } else { "IPv4" }.into());
        }
    } else {
        let mut errors = Errors::default();
        if policy == "RequireDualStack" {
            let detail = "this cluster is not configured for dual-stack services";
            errors.invalid(&at.child("ipFamilyPolicy"), policy, detail);
        }
        let place = at.child("ipFamilies");
        for (index, family) in families.iter().enumerate().filter(|(_, family)| *family != CONFIGURED) {
            errors.invalid(&place.index(index), family.clone(), "not configured on this cluster");
        }
        errors.into_result()?;
    }
    spec.insert("ipFamilies".to_owned(), families.into());
    Ok(())
}

fn list<'a>(spec: &'a Map<String, Value>, field: &str) -> &'a [Value] {
    spec.get(field).map(items).unwrap_or_default()
}

/// Whether nothing changes for a service that takes two families where there are two: it neither gets nor loses one
/// only because the cluster changed.
fn stays_as_preferred(new: &Value, old: &Value) -> bool {
    let prefers = |spec: &Value| spec["ipFamilyPolicy"] == "PreferDualStack";
    new["type"] == old["type"]
        && matches!(text(&new["type"]), "ClusterIP" | "NodePort" | "LoadBalancer")
        && prefers(new)
        && (old["ipFamilyPolicy"].is_null() || prefers(old))
        && are_same("clusterIPs", new, old)
        && are_same("ipFamilies", new, old)
}

/// Leaves the second address and family if the policy says so, and only then.
fn release_second(spec: &mut Map<String, Value>, old: &Value, is_single: bool, errors: &mut Errors) {
    let new = Value::Object(spec.clone());
    for (field, what) in [("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")] {
        if is_single {
            if are_same(field, &new, old)
                && let Some(values) = spec.get_mut(field).and_then(Value::as_array_mut)
            {
                values.truncate(1);
            }
        } else if is_reduced(field, &new, old) {
            let at = At::root("spec");
            let detail = format!("must be 'SingleStack' to release the secondary {what}");
            errors.invalid(&at.child("ipFamilyPolicy"), new["ipFamilyPolicy"].clone(), detail);
        }
    }
}

/// What is wrong with addresses, families and their policy of a service that has addresses.
pub(super) fn validate(spec: &Value, old: Option<&Value>, errors: &mut Errors) {
    let at = At::root("spec");
    let (place, listed, first) = (at.child("clusterIPs"), &spec["clusterIPs"], &spec["clusterIP"]);
    let addresses = items(listed);
    match (is_set(first), addresses) {
        (true, []) => errors.required(&place, ""),
        (true, [other, ..]) if other != first => {
            errors.invalid(&place, listed.clone(), "first value must match `clusterIP`");
        }
        (false, [_, ..]) => errors.invalid(&place, listed.clone(), "must be empty when `clusterIP` is not specified"),
        _ => {}
    }
    let families = items(&spec["ipFamilies"]);
    let mut seen = HashSet::new();
    for (index, family) in families.iter().enumerate() {
        let family_at = at.child("ipFamilies");
        errors.one_of_if_present(&family_at.index(index), family, &FAMILIES);
        if !seen.insert(family) {
            errors.duplicate(&family_at.index(index), family.clone());
        }
    }
    errors.one_of_if_present(&at.child("ipFamilyPolicy"), &spec["ipFamilyPolicy"], &POLICIES);
    let known = old.map(|old| items(&old["clusterIPs"])).unwrap_or_default();
    let mut are_readable = true;
    for (index, address) in addresses.iter().enumerate() {
        if index == 0 && address == "None" {
            if addresses.len() > 1 {
                are_readable = false;
                errors.invalid(&place, listed.clone(), "'None' must be the first and only value");
            }
        } else if !known.contains(address) {
            let before = errors.0.len();
            errors.ip(&place.index(index), text(address));
            are_readable &= errors.0.len() == before;
        }
    }
    if addresses.len() > 2 {
        errors.invalid(&place, listed.clone(), "may only hold up to 2 values");
    }
    if !are_readable {
        return;
    }
    let family = |address: &Value| family_of(text(address));
    if addresses.len() > 1 && addresses.iter().all(|address| family(address) == family(&addresses[0])) {
        errors.invalid(&place, listed.clone(), "may specify no more than one IP for each IP family");
    }
    if is_headless(spec) {
        return;
    }
    for (index, (address, named)) in addresses.iter().zip(families).enumerate() {
        if FAMILIES.contains(&text(named)) && family(address) != text(named) {
            let detail = format!("expected an {} value as indicated by `ipFamilies[{index}]`", text(named));
            errors.invalid(&place.index(index), address.clone(), detail);
        }
    }
}

const FIXED: &str = "may not change once set";

/// What is wrong with a change of addresses and families: the first ones stay.
pub(super) fn validate_change(new: &Value, old: &Value, errors: &mut Errors) {
    if !needs_address(new) || !needs_address(old) {
        return;
    }
    let (was_headless, is_headless) = (is_headless(old), is_headless(new));
    if !(was_headless && is_headless) {
        validate_addresses(new, old, errors);
    }
    if !was_headless && !is_headless {
        validate_families(new, old, errors);
    }
}

fn validate_addresses(new: &Value, old: &Value, errors: &mut Errors) {
    let at = At::root("spec");
    let (place, listed) = (at.child("clusterIPs"), &new["clusterIPs"]);
    let (before, after) = (items(&old["clusterIPs"]), items(listed));
    if before.len() == after.len() {
        for (index, _) in before.iter().zip(after).enumerate().filter(|(_, (before, after))| before != after) {
            errors.invalid(&place.index(index), listed.clone(), FIXED);
        }
        return;
    }
    if let (Some(before), Some(after)) = (before.first(), after.first())
        && before != after
    {
        errors.invalid(&place.index(0), listed.clone(), FIXED);
    }
    if before.len() < after.len() {
        return;
    }
    if after.is_empty() {
        errors.invalid(&place.index(0), listed.clone(), "primary clusterIP can not be unset");
    }
    single_for(&at, new, after, "clusterIP", errors);
}

fn validate_families(new: &Value, old: &Value, errors: &mut Errors) {
    let at = At::root("spec");
    let (list, listed) = (at.child("ipFamilies"), &new["ipFamilies"]);
    let (place, addresses) = (list.index(0), &new["clusterIPs"]);
    let (before, after) = (items(&old["ipFamilies"]), items(listed));
    if before.len() == after.len() {
        for _ in before.iter().zip(after).filter(|(before, after)| before != after) {
            errors.invalid(&place, listed.clone(), FIXED);
        }
        return;
    }
    if before.len() > after.len() && items(addresses).is_empty() {
        errors.invalid(&place, listed.clone(), "primary ipFamily can not be unset");
    }
    if let (Some(before), Some(after)) = (before.first(), after.first())
        && before != after
    {
        errors.invalid(&place, addresses.clone(), FIXED);
    }
    if before.len() > after.len() {
        single_for(&at, new, after, "ipFamily", errors);
    }
}

/// Only a policy of one family leaves the second one.
fn single_for(at: &At<'_>, new: &Value, left: &[Value], what: &str, errors: &mut Errors) {
    let policy = &new["ipFamilyPolicy"];
    if left.len() == 1 && policy != &json!("SingleStack") {
        let detail = format!("must be set to 'SingleStack' when releasing the secondary {what}");
        errors.invalid(&at.child("ipFamilyPolicy"), policy.clone(), detail);
    }
}
