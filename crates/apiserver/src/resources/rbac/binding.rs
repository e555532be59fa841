//! Bindings of roles to users, groups and service accounts.

use portolan_api::field::Shown;
use portolan_api::{field, validation};
use portolan_base::Timestamp;
use serde_json::{Map, Value};

use crate::resources::at::{At, Errors};
use crate::resources::json::{is_set, items, object_or_new, objects, set_zero, text};
use crate::resources::{print, shown};
use crate::strategy::{AGE, Column, Context, NAME, NameRule, Strategy};

/// The strategy of bindings in a namespace.
pub(crate) struct RoleBinding;
/// The strategy of bindings for the cluster.
pub(crate) struct ClusterRoleBinding;

const API: &str = "rbac.authorization.k8s.io";

const COLUMNS: &[Column] = &[
    NAME,
    Column::string("Role").of("rbac.RoleBinding", "roleRef"),
    AGE,
    Column::string("Users").about("Users in the roleBinding").wide(),
    Column::string("Groups").about("Groups in the roleBinding").wide(),
    Column::string("ServiceAccounts").about("ServiceAccounts in the roleBinding").wide(),
];

const CLUSTER_COLUMNS: &[Column] = &[
    NAME,
    Column::string("Role").of("rbac.ClusterRoleBinding", "roleRef"),
    AGE,
    Column::string("Users").about("Users in the clusterRoleBinding").wide(),
    Column::string("Groups").about("Groups in the clusterRoleBinding").wide(),
    Column::string("ServiceAccounts").about("ServiceAccounts in the clusterRoleBinding").wide(),
];

macro_rules! binding {
    ($kind:ty, $roles:expr, $columns:expr) => {
        impl Strategy for $kind {
            fn default(&self, object: &mut Value) {
                if let Some(binding) = object.as_object_mut() {
                    default_binding(binding);
                }
            }

            fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
                validate(object, $roles)
            }

            fn validate_update(&self, new: &Value, old: &Value, _context: &Context) -> Vec<field::Error> {
                let mut errors = Errors::default();
                if new["roleRef"] != old["roleRef"] {
                    let shown = Shown::Text(shown::compact("RoleRef", &new["roleRef"]));
                    errors.invalid(&At::root("roleRef"), shown, "cannot change roleRef");
                }
                errors.0
            }

            fn name_rule(&self) -> NameRule {
                NameRule::PathSegment
            }

            fn columns(&self) -> &'static [Column] {
                $columns
            }

            fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
                cells(object, now)
            }
        }
    };
}

binding!(RoleBinding, &["Role", "ClusterRole"], COLUMNS);
binding!(ClusterRoleBinding, &["ClusterRole"], CLUSTER_COLUMNS);

fn default_binding(binding: &mut Map<String, Value>) {
    if let Some(role) = object_or_new(binding, "roleRef") {
        set_zero(role, "apiGroup", API);
    }
    for subject in objects(binding, "subjects") {
        if subject.get("kind").map(text) != Some("ServiceAccount") {
            set_zero(subject, "apiGroup", API);
        }
    }
}

fn validate(binding: &Value, roles: &[&str]) -> Vec<field::Error> {
    let (mut errors, at, role) = (Errors::default(), At::root("roleRef"), &binding["roleRef"]);
    errors.one_of(&at.child("apiGroup"), &role["apiGroup"], &[API]);
    let kind = text(&role["kind"]);
    if !roles.contains(&kind) {
        errors.not_supported_as_listed(&at.child("kind"), kind, roles);
    }
    if is_set(&role["name"]) {
        for problem in validation::is_path_segment_name(text(&role["name"])) {
            errors.invalid(&at.child("name"), role["name"].clone(), problem);
        }
    } else {
        errors.required(&at.child("name"), "");
    }
    let list = At::root("subjects");
    for (index, subject) in items(&binding["subjects"]).iter().enumerate() {
        let at = list.index(index);
        if !is_set(&subject["name"]) {
            errors.required(&at.child("name"), "");
        }
        match text(&subject["kind"]) {
            "ServiceAccount" => {
                errors.obeys_if_set(&at.child("name"), &subject["name"], validation::is_dns1123_subdomain);
                if is_set(&subject["apiGroup"]) {
                    errors.not_supported(&at.child("apiGroup"), subject["apiGroup"].clone(), &[""]);
                }
                let is_namespaced = roles.contains(&"Role");
                if !is_namespaced && !is_set(&subject["namespace"]) {
                    errors.required(&at.child("namespace"), "");
                }
            }
            "User" | "Group" => errors.one_of(&at.child("apiGroup"), &subject["apiGroup"], &[API]),
            other => errors.not_supported_as_listed(&at.child("kind"), other, &["ServiceAccount", "User", "Group"]),
        }
    }
    errors.0
}

fn cells(binding: &Value, now: Timestamp) -> Vec<Value> {
    let of_kind = |kind: &str| {
        items(&binding["subjects"])
            .iter()
            .filter(|subject| text(&subject["kind"]) == kind)
            .map(|subject| match text(&subject["namespace"]) {
                "" => text(&subject["name"]).to_owned(),
                namespace => format!("{namespace}/{}", text(&subject["name"])),
            })
            .collect::<Vec<_>>()
            .join(", ")
    };
    let role = &binding["roleRef"];
    vec![
        print::name(binding),
        format!("{}/{}", text(&role["kind"]), text(&role["name"])).into(),
        print::age(binding, now),
        of_kind("User").into(),
        of_kind("Group").into(),
        of_kind("ServiceAccount").into(),
    ]
}
