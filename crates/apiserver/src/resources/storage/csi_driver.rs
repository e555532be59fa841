//! CSI drivers.

use std::collections::HashSet;

use portolan_api::{field, validation};
use portolan_base::Timestamp;
use serde_json::{Value, json};

use crate::resources::at::{At, Errors};
use crate::resources::json::{is_set, items, objects, same, set, set_zero, spec, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, Generations, NAME, Strategy};

/// The strategy of CSI drivers.
pub(crate) struct CsiDriver;

const COLUMNS: &[Column] = &[
    NAME,
    Column::boolean("AttachRequired").of("storage.CSIDriverSpec", "attachRequired"),
    Column::boolean("PodInfoOnMount").of("storage.CSIDriverSpec", "podInfoOnMount"),
    Column::boolean("StorageCapacity").of("storage.CSIDriverSpec", "storageCapacity"),
    Column::string("TokenRequests").of("storage.CSIDriverSpec", "tokenRequests"),
    Column::boolean("RequiresRepublish").of("storage.CSIDriverSpec", "requiresRepublish"),
    Column::string("Modes").of("storage.CSIDriverSpec", "volumeLifecycleModes"),
    AGE,
];
const GROUP_POLICIES: [&str; 3] = ["File", "None", "ReadWriteOnceWithFSType"];
const LIFE_CYCLES: [&str; 2] = ["Persistent", "Ephemeral"];
/// Longest name of a driver.
const NAME_LENGTH: usize = 63;
/// Bounds of the lifetime of a token.
const TOKEN_SECONDS: (i64, i64) = (10 * 60, 1 << 32);
/// Shortest time between looks at what a node can take, in seconds.
const SHORTEST_PERIOD: i64 = 10;

const TOKENS_IN_ATTRIBUTES: &str = "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible logging of tokens in volume attributes";

/// What is wrong with the name of a driver.
pub(super) fn validate_name(name: &str, at: &At<'_>, errors: &mut Errors) {
    if name.is_empty() {
        errors.required(at, "");
        return;
    }
    if name.len() > NAME_LENGTH {
        errors.too_long(at, NAME_LENGTH);
    }
    for problem in validation::is_dns1123_subdomain(&name.to_lowercase()) {
        errors.invalid(at, name, problem);
    }
}

impl Strategy for CsiDriver {
    fn generations(&self) -> Generations {
        Generations::FromFirstChange
    }

    fn default(&self, object: &mut Value) {
        let Some(spec) = spec(object) else { return };
        set(spec, "attachRequired", true);
        set(spec, "podInfoOnMount", false);
        set(spec, "storageCapacity", false);
        set(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
        set_zero(spec, "volumeLifecycleModes", json!(["Persistent"]));
        set(spec, "requiresRepublish", false);
        set(spec, "seLinuxMount", false);
        for request in objects(spec, "tokenRequests") {
            set(request, "audience", "");
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        let (at, spec) = (At::root("spec"), &object["spec"]);
        errors.one_of_if_present(&at.child("fsGroupPolicy"), &spec["fsGroupPolicy"], &GROUP_POLICIES);
        for mode in items(&spec["volumeLifecycleModes"]) {
            if !LIFE_CYCLES.contains(&text(mode)) {
                errors.not_supported_as_listed(&at.child("volumeLifecycleModes"), mode.clone(), &LIFE_CYCLES);
            }
        }
        let list = at.child("tokenRequests");
        let mut audiences = HashSet::new();
        for (index, request) in items(&spec["tokenRequests"]).iter().enumerate() {
            let at = list.index(index);
            let audience = text(&request["audience"]);
            if !audiences.insert(audience) {
                errors.duplicate(&at.child("audience"), audience);
            }
            let Some(seconds) = request["expirationSeconds"].as_i64() else { continue };
            if seconds < TOKEN_SECONDS.0 {
                let detail = "may not specify a duration less than 10 minutes";
                errors.invalid(&at.child("expirationSeconds"), seconds, detail);
            } else if seconds > TOKEN_SECONDS.1 {
                let detail = "may not specify a duration larger than 2^32 seconds";
                errors.invalid(&at.child("expirationSeconds"), seconds, detail);
            }
        }
        let period = &spec["nodeAllocatableUpdatePeriodSeconds"];
        if let Some(seconds) = period.as_i64().filter(|seconds| *seconds < SHORTEST_PERIOD) {
            let detail = format!("must be greater than or equal to {SHORTEST_PERIOD} seconds");
            errors.invalid(&at.child("nodeAllocatableUpdatePeriodSeconds"), seconds, detail);
        }
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        let at = At::root("spec");
        // The first is upstream's name for it.
        for (shown, field) in [("attachedRequired", "attachRequired"), ("volumeLifecycleModes", "volumeLifecycleModes")]
        {
            errors.immutable(&at.child(shown), &new["spec"][field], &old["spec"][field]);
        }
        errors.0
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let spec = &object["spec"];
        let leaks = is_set(&spec["tokenRequests"]) && spec["serviceAccountTokenInSecrets"].is_null();
        if leaks { vec![TOKENS_IN_ATTRIBUTES.to_owned()] } else { Vec::new() }
    }

    fn update_warnings(&self, new: &Value, old: &Value) -> Vec<String> {
        let field = "tokenRequests";
        if same(&new["spec"][field], &old["spec"][field]) { Vec::new() } else { self.warnings(new) }
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let spec = &object["spec"];
        let joined = |values: Vec<&str>, none: &str| if values.is_empty() { none.to_owned() } else { values.join(",") };
        let audiences = items(&spec["tokenRequests"]).iter().map(|request| text(&request["audience"])).collect();
        let modes = items(&spec["volumeLifecycleModes"]).iter().map(text).collect();
        vec![
            print::name(object),
            (spec["attachRequired"] != false).into(),
            (spec["podInfoOnMount"] == true).into(),
            (spec["storageCapacity"] == true).into(),
            if is_set(&spec["tokenRequests"]) { joined(audiences, "") } else { "<unset>".to_owned() }.into(),
            (spec["requiresRepublish"] == true).into(),
            joined(modes, print::NONE).into(),
            print::age(object, now),
        ]
    }
}
