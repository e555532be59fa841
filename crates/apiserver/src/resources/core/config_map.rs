//! Config maps, and what secrets share with them.

use portolan_api::{field, validation};
use portolan_base::Timestamp;
use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::json::{entries, same, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, NAME, Strategy};

/// The strategy of config maps.
pub(crate) struct ConfigMap;

/// All values of a config map or secret together.
pub(crate) const SIZE_LIMIT: usize = 1 << 20;

const COLUMNS: &[Column] = &[NAME, Column::string("Data").of("core.ConfigMap", "data"), AGE];

impl Strategy for ConfigMap {
    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        let (data, binary) = (&object["data"], &object["binaryData"]);
        let at = At::root("data");
        let mut size = 0;
        for (key, value) in entries(data) {
            let at = at.key(key);
            errors.obeys(&at, key, validation::is_config_map_key);
            if binary.get(key).is_some() {
                errors.invalid(&at, key, "duplicate of key present in binaryData");
            }
            size += text(value).len();
        }
        let at = At::root("binaryData");
        for (key, value) in entries(binary) {
            let at = at.key(key);
            errors.obeys(&at, key, validation::is_config_map_key);
            size += decoded_length(&at, value, &mut errors);
        }
        if size > SIZE_LIMIT {
            // No field of its own: the sum is what is too long.
            errors.too_long(&At::whole(), SIZE_LIMIT);
        }
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        validate_immutable(new, old, &["data", "binaryData"], &mut errors);
        errors.0
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let count = entries(&object["data"]).count() + entries(&object["binaryData"]).count();
        vec![print::name(object), count.into(), print::age(object, now)]
    }
}

/// Length of a base64 text's bytes; an error if it is not one.
pub(crate) fn decoded_length(at: &At<'_>, value: &Value, errors: &mut Errors) -> usize {
    let text = text(value);
    let digits = text.trim_end_matches('=');
    let plain = digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/');
    if !plain || !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        errors.invalid(at, text, "illegal base64 data");
    }
    digits.len() * 3 / 4
}

/// Once `immutable`, always, and its data too.
pub(crate) fn validate_immutable(new: &Value, old: &Value, fields: &[&str], errors: &mut Errors) {
    if old["immutable"] != true {
        return;
    }
    let detail = "field is immutable when `immutable` is set";
    if new["immutable"] != true {
        errors.forbidden(&At::root("immutable"), detail);
    }
    for field in fields {
        if !same(&new[*field], &old[*field]) {
            errors.forbidden(&At::root(field), detail);
        }
    }
}
