//! Names of drivers, pools, attributes and shares.

use portolan_api::validation;
use portolan_base::go;
use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::core::pod_template::{DRIVER_LENGTH, validate_driver_name};
use crate::resources::json::text;

/// Longest name of a pool.
const POOL_LENGTH: usize = 253;
/// Longest name of an attribute or capacity, without its domain.
pub(super) const IDENTIFIER_LENGTH: usize = 32;
/// Longest key of a map of attributes or capacities: of domain, slash and name.
pub(super) const KEY_LENGTH: usize = DRIVER_LENGTH + 1 + IDENTIFIER_LENGTH;
/// Longest key of a map of counters.
pub(super) const COUNTER_LENGTH: usize = 63;

const IDENTIFIER: &str = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')";
const FULLY_QUALIFIED: &str = "a fully qualified name must be a domain and a name separated by a slash";
const NOT_NORMALIZED: &str = "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters";

impl Errors {
    /// The name of a driver.
    pub(super) fn driver(&mut self, at: &At<'_>, name: &Value) {
        validate_driver_name(name, at, self);
    }

    /// The name of a pool: subdomains with slashes between them.
    pub(super) fn pool(&mut self, at: &At<'_>, name: &Value) {
        let name = text(name);
        if name.is_empty() {
            return self.required(at, "");
        }
        if name.len() > POOL_LENGTH {
            self.too_long(at, POOL_LENGTH);
        }
        for part in name.split('/') {
            self.obeys(at, part, validation::is_dns1123_subdomain);
        }
    }

    /// The name of a device, of a request or of a counter.
    pub(super) fn device_label(&mut self, at: &At<'_>, name: &Value) {
        self.obeys(at, text(name), validation::is_dns1123_label);
    }

    /// The name of an attribute or capacity, perhaps with a domain before it.
    pub(super) fn device_qualified_name(&mut self, at: &At<'_>, name: &str) {
        match *name.split('/').collect::<Vec<_>>() {
            [name] => self.identifier(at, name),
            [domain, name] => {
                match domain {
                    "" => self.invalid(at, "", "the domain must not be empty"),
                    _ => self.driver(at, &domain.into()),
                }
                match name {
                    "" => self.invalid(at, "", "the name must not be empty"),
                    _ => self.identifier(at, name),
                }
            }
            // As upstream, which lets more slashes pass.
            _ => {}
        }
    }

    /// The same where the domain has to be there.
    pub(super) fn device_fully_qualified_name(&mut self, at: &At<'_>, name: &str) {
        self.device_qualified_name(at, name);
        if !name.contains('/') {
            self.invalid(at, name, FULLY_QUALIFIED);
        }
    }

    fn identifier(&mut self, at: &At<'_>, name: &str) {
        if name.len() > IDENTIFIER_LENGTH {
            self.too_long(at, IDENTIFIER_LENGTH);
        }
        let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
        let is_identifier = name.bytes().next().is_some_and(is_letter)
            && name.bytes().all(|byte| is_letter(byte) || byte.is_ascii_digit());
        if !is_identifier {
            self.invalid(at, name, IDENTIFIER);
        }
    }

    /// The name of a share of a device, if it is there.
    pub(super) fn share(&mut self, at: &At<'_>, share: &Value) {
        let Some(share) = share.as_str() else { return };
        if let Err(why) = read_uuid(share) {
            self.invalid(at, share, format!("error validating uid: {why}"));
        } else if share.len() != 36 || share.bytes().any(|byte| byte.is_ascii_uppercase()) {
            self.invalid(at, share, NOT_NORMALIZED);
        }
    }

    /// The keys of a map, each of which is named by the map's own path, and its values.
    pub(super) fn each_entry(
        &mut self,
        at: &At<'_>,
        map: &Value,
        longest: usize,
        key: fn(&mut Self, &At<'_>, &str),
        mut value: impl FnMut(&Value, &At<'_>, &mut Self),
    ) {
        for (name, item) in crate::resources::json::entries(map) {
            key(self, at, name);
            value(item, &at.key(&shortened(name, longest)), self);
        }
    }
}

/// A key whose middle is left out if it is too long.
fn shortened(key: &str, longest: usize) -> String {
    const ELLIPSIS: &str = "...";
    if key.len() <= longest {
        return key.to_owned();
    }
    let rest = longest - ELLIPSIS.len();
    let (start, end) = (key.as_bytes(), &key.as_bytes()[key.len() - rest / 2..]);
    format!("{}{ELLIPSIS}{}", String::from_utf8_lossy(&start[..rest.div_ceil(2)]), String::from_utf8_lossy(end))
}

/// Whether a text is a UUID in one of the forms that Go's usual reader knows, in its words.
fn read_uuid(text: &str) -> Result<(), String> {
    let wrong = || Err("invalid UUID format".to_owned());
    let plain = match text.len() {
        32 if text.bytes().all(|byte| byte.is_ascii_hexdigit()) => return Ok(()),
        32 => return wrong(),
        36 => text,
        38 => match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
            Some(plain) => plain,
            None => return Err("invalid bracketed UUID format".to_owned()),
        },
        45 => match text.split_at_checked(9) {
            Some((prefix, plain)) if prefix.eq_ignore_ascii_case("urn:uuid:") => plain,
            Some((prefix, _)) => return Err(format!("invalid urn prefix: {}", go::quote(prefix))),
            None => return wrong(),
        },
        length => return Err(format!("invalid UUID length: {length}")),
    };
    let fits = |(index, byte): (usize, u8)| match index {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    if plain.bytes().enumerate().all(fits) { Ok(()) } else { wrong() }
}
