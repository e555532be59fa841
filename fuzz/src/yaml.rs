//! Bodies in YAML: what is read can be written and read again.

use portolan_api::decode::{self, Limits};
use portolan_api::yaml;

pub(crate) fn run(body: &[u8]) {
    let Ok(decoded) = decode::yaml(body, &Limits::default()) else { return };
    let written = yaml::encode(&decoded.value).expect("what was read can be written");
    let again = decode::yaml(written.as_bytes(), &Limits { bytes: usize::MAX, ..Limits::default() });
    assert_eq!(again.expect("what was written can be read").value, decoded.value);
}
