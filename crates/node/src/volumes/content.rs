//! What the files of a volume contain. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, Secret};

use super::atomic::{File, Files};
use crate::container::fields::{self, Place};

/// Which keys become which files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Selection<'a> {
    pub(crate) items: Option<&'a [KeyToPath]>,
    pub(crate) default_mode: u32,
    pub(crate) optional: bool,
}

/// Files of a ConfigMap.
///
/// # Errors
/// Upstream's text for what is missing.
pub(crate) fn of_config_map(
    map: Option<&ConfigMap>,
    name: &str,
    namespace: &str,
    select: Selection<'_>,
) -> Result<Files, String> {
    let Some(map) = map else {
        return if select.optional { Ok(Files::new()) } else { Err(format!("configmap \"{name}\" not found")) };
    };
    let text = map.data.iter().flatten().map(|(key, value)| (key.as_str(), value.as_bytes()));
    let binary = map.binary_data.iter().flatten().map(|(key, value)| (key.as_str(), value.0.as_slice()));
    selected(text.chain(binary).collect(), select)
        .map_err(|key| format!("configmap references non-existent config key: {key} ({namespace}/{name})"))
}

/// Files of a Secret.
///
/// # Errors
/// Upstream's text for what is missing.
pub(crate) fn of_secret(
    secret: Option<&Secret>,
    name: &str,
    namespace: &str,
    select: Selection<'_>,
) -> Result<Files, String> {
    let Some(secret) = secret else {
        return if select.optional { Ok(Files::new()) } else { Err(format!("secret \"{name}\" not found")) };
    };
    let data = secret.data.iter().flatten().map(|(key, value)| (key.as_str(), value.0.as_slice()));
    selected(data.collect(), select)
        .map_err(|key| format!("references non-existent secret key: {key} ({namespace}/{name})"))
}

/// Files of the downward API.
///
/// # Errors
/// A field that does not exist.
pub(crate) fn of_downward_api(
    pod: &Pod,
    items: &[DownwardAPIVolumeFile],
    default_mode: u32,
    place: &Place,
) -> Result<Files, String> {
    let mut files = Files::new();
    for item in items {
        let value = if let Some(selector) = &item.field_ref {
            fields::field(pod, &selector.field_path, place)?
        } else if let Some(selector) = &item.resource_field_ref {
            fields::resource(pod, None, selector, place)?
        } else {
            return Err(format!("downward API item {} names neither a field nor a resource", item.path));
        };
        files.insert(item.path.clone(), File { bytes: value.into_bytes(), mode: mode(item.mode, default_mode) });
    }
    Ok(files)
}

/// The key that is missing, as an error.
fn selected(data: BTreeMap<&str, &[u8]>, select: Selection<'_>) -> Result<Files, String> {
    let Some(items) = select.items else {
        let file = |bytes: &[u8]| File { bytes: bytes.to_vec(), mode: select.default_mode };
        return Ok(data.into_iter().map(|(key, bytes)| (key.to_owned(), file(bytes))).collect());
    };
    let mut files = Files::new();
    for item in items {
        match data.get(item.key.as_str()) {
            Some(bytes) => {
                let mode = mode(item.mode, select.default_mode);
                files.insert(item.path.clone(), File { bytes: bytes.to_vec(), mode });
            }
            None if select.optional => {}
            None => return Err(item.key.clone()),
        }
    }
    Ok(files)
}

/// A file mode of the API; `default` if it has none.
pub(crate) fn mode(mode: Option<i32>, default: u32) -> u32 {
    mode.and_then(|mode| u32::try_from(mode).ok()).map_or(default, |mode| mode & 0o777)
}
