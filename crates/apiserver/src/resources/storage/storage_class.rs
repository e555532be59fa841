//! Storage classes.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use portolan_api::{field, validation};
use portolan_base::Timestamp;
use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::core::pod_template::label_warning;
use crate::resources::json::{entries, items, set, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, NAME, Strategy};

/// The strategy of storage classes.
pub(crate) struct StorageClass;

const COLUMNS: &[Column] = &[
    NAME,
    Column::string("Provisioner").of("storage.StorageClass", "provisioner"),
    Column::string("ReclaimPolicy").of("storage.StorageClass", "reclaimPolicy"),
    Column::string("VolumeBindingMode").of("storage.StorageClass", "volumeBindingMode"),
    Column::string("AllowVolumeExpansion").of("storage.StorageClass", "allowVolumeExpansion"),
    AGE,
];
/// How many parameters a driver takes, and how long they may be together.
const MOST_PARAMETERS: usize = 512;
const PARAMETERS_SIZE: usize = 256 << 10;
const DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";

impl Strategy for StorageClass {
    fn default(&self, object: &mut Value) {
        if let Some(class) = object.as_object_mut() {
            set(class, "reclaimPolicy", "Delete");
            set(class, "volumeBindingMode", "Immediate");
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        let provisioner = text(&object["provisioner"]);
        if provisioner.is_empty() {
            errors.required(&At::root("provisioner"), "");
        } else {
            errors.obeys(&At::root("provisioner"), &provisioner.to_lowercase(), validation::is_qualified_name);
        }
        validate_parameters(&object["parameters"], &At::root("parameters"), &mut errors);
        errors.one_of(&At::root("reclaimPolicy"), &object["reclaimPolicy"], &["Delete", "Retain"]);
        errors.one_of_if_present(
            &At::root("volumeBindingMode"),
            &object["volumeBindingMode"],
            &["Immediate", "WaitForFirstConsumer"],
        );
        validate_topologies(items(&object["allowedTopologies"]), &At::root("allowedTopologies"), &mut errors);
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        errors.immutable_text(&At::root("provisioner"), &new["provisioner"], &old["provisioner"]);
        for field in ["parameters", "reclaimPolicy"] {
            errors.immutable(&At::root(field), &new[field], &old[field]);
        }
        errors.immutable(&At::root("volumeBindingMode"), &new["volumeBindingMode"], &old["volumeBindingMode"]);
        errors.0
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let mut warnings = Vec::new();
        for (index, term) in items(&object["allowedTopologies"]).iter().enumerate() {
            for (position, expression) in items(&term["matchLabelExpressions"]).iter().enumerate() {
                let path = format!("allowedTopologies[{index}].matchLabelExpressions[{position}].key");
                warnings.extend(label_warning(text(&expression["key"])).map(|said| format!("{path}: {said}")));
            }
        }
        warnings
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let mut name = text(&object["metadata"]["name"]).to_owned();
        if object["metadata"]["annotations"][DEFAULT] == "true" {
            name.push_str(" (default)");
        }
        vec![
            name.into(),
            text(&object["provisioner"]).into(),
            text(&object["reclaimPolicy"]).into(),
            text(&object["volumeBindingMode"]).into(),
            (object["allowVolumeExpansion"] == true).into(),
            print::age(object, now),
        ]
    }
}

/// What is handed to the driver.
fn validate_parameters(parameters: &Value, at: &At<'_>, errors: &mut Errors) {
    if entries(parameters).count() > MOST_PARAMETERS {
        errors.too_long(at, MOST_PARAMETERS);
        return;
    }
    if entries(parameters).any(|(name, _)| name.is_empty()) {
        errors.invalid(at, "", "field can not be empty.");
    }
    if entries(parameters).map(|(name, value)| name.len() + text(value).len()).sum::<usize>() > PARAMETERS_SIZE {
        errors.too_long(at, PARAMETERS_SIZE);
    }
}

/// The values that a term allows for each label.
fn values_of(term: &Value) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for expression in items(&term["matchLabelExpressions"]) {
        values.insert(text(&expression["key"]), items(&expression["values"]).iter().map(text).collect());
    }
    values
}

/// Where volumes of the class may be.
fn validate_topologies(terms: &[Value], at: &At<'_>, errors: &mut Errors) {
    let mut seen: BTreeMap<_, usize> = BTreeMap::new();
    for (index, term) in terms.iter().enumerate() {
        let at = at.index(index);
        let list = at.child("matchLabelExpressions");
        let mut keys = HashSet::new();
        for (index, expression) in items(&term["matchLabelExpressions"]).iter().enumerate() {
            let at = list.index(index);
            let (key, values) = (text(&expression["key"]), items(&expression["values"]));
            if values.is_empty() {
                errors.required(&at.child("values"), "");
            }
            let mut before = HashSet::new();
            for (index, value) in values.iter().enumerate().filter(|(_, value)| !before.insert(*value)) {
                errors.duplicate(&at.child("values").index(index), value.clone());
            }
            errors.obeys(&at.child("key"), key, validation::is_qualified_name);
            if !keys.insert(key) {
                errors.duplicate(&at.child("key"), key);
            }
        }
        // Upstream compares with as many empty terms as there are terms, too.
        let mine = values_of(term);
        let empty = if mine.is_empty() { terms.len() } else { 0 };
        let same = seen.entry(mine).or_insert(0);
        for _ in 0..empty + *same {
            errors.duplicate(&list, "");
        }
        *same += 1;
    }
}
