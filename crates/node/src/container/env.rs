//! Environment of a container. Pure, once the sources are there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVar, Pod, Secret, Service};
use portolan_api::typed::Object;

use super::fields::{self, Place};
use crate::pod;

/// ConfigMaps and Secrets by name; `None` for those that do not exist.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    pub(crate) config_maps: BTreeMap<String, Option<Arc<ConfigMap>>>,
    pub(crate) secrets: BTreeMap<String, Option<Arc<Secret>>>,
}

/// Names of the ConfigMaps and Secrets that a container's environment refers to.
pub(crate) fn references(container: &Container) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut config_maps, mut secrets) = (BTreeSet::new(), BTreeSet::new());
    for source in container.env_from.iter().flatten() {
        config_maps.extend(source.config_map_ref.iter().map(|reference| reference.name.clone()));
        secrets.extend(source.secret_ref.iter().map(|reference| reference.name.clone()));
    }
    for source in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
        config_maps.extend(source.config_map_key_ref.iter().map(|reference| reference.name.clone()));
        secrets.extend(source.secret_key_ref.iter().map(|reference| reference.name.clone()));
    }
    (config_maps, secrets)
}

/// The environment: services, then `envFrom`, then `env` with `$(NAME)` expanded.
///
/// # Errors
/// Upstream's message for `CreateContainerConfigError`.
pub(crate) fn environment(
    pod: &Pod,
    container: &Container,
    fetched: &Fetched,
    services: &BTreeMap<String, String>,
    place: &Place,
) -> Result<Vec<(String, String)>, String> {
    let mut result: Vec<(String, String)> = services.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    let mut known = services.clone();
    let mut set = |known: &mut BTreeMap<String, String>, name: String, value: String| {
        known.insert(name.clone(), value.clone());
        result.push((name, value));
    };
    for (name, value) in from_sources(container, fetched)? {
        set(&mut known, name, value);
    }
    for variable in container.env.iter().flatten() {
        if let Some(value) = variable_value(pod, container, variable, fetched, place, &known)? {
            set(&mut known, variable.name.clone(), value);
        }
    }
    Ok(result)
}

fn from_sources(container: &Container, fetched: &Fetched) -> Result<Vec<(String, String)>, String> {
    let mut result = Vec::new();
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        if let Some(reference) = &source.config_map_ref {
            match fetched.config_maps.get(&reference.name).and_then(Option::as_ref) {
                Some(map) => result
                    .extend(map.data.iter().flatten().map(|(name, value)| (format!("{prefix}{name}"), value.clone()))),
                None if reference.optional == Some(true) => {}
                None => return Err(missing("configmap", &reference.name)),
            }
        }
        if let Some(reference) = &source.secret_ref {
            match fetched.secrets.get(&reference.name).and_then(Option::as_ref) {
                Some(secret) => {
                    result.extend(secret.data.iter().flatten().map(|(name, value)| {
                        (format!("{prefix}{name}"), String::from_utf8_lossy(&value.0).into_owned())
                    }))
                }
                None if reference.optional == Some(true) => {}
                None => return Err(missing("secret", &reference.name)),
            }
        }
    }
    Ok(result)
}

fn variable_value(
    pod: &Pod,
    container: &Container,
    variable: &EnvVar,
    fetched: &Fetched,
    place: &Place,
    known: &BTreeMap<String, String>,
) -> Result<Option<String>, String> {
    let Some(source) = &variable.value_from else {
        return Ok(Some(expand(variable.value.as_deref().unwrap_or_default(), known)));
    };
    if let Some(reference) = &source.field_ref {
        return fields::field(pod, &reference.field_path, place).map(Some);
    }
    if let Some(reference) = &source.resource_field_ref {
        return fields::resource(pod, Some(container), reference, place).map(Some);
    }
    if let Some(reference) = &source.config_map_key_ref {
        let optional = reference.optional == Some(true);
        let Some(map) = fetched.config_maps.get(&reference.name).and_then(Option::as_ref) else {
            return if optional { Ok(None) } else { Err(missing("configmap", &reference.name)) };
        };
        return match map.data.as_ref().and_then(|data| data.get(&reference.key)) {
            Some(value) => Ok(Some(value.clone())),
            None if optional => Ok(None),
            None => {
                Err(format!("couldn't find key {} in ConfigMap {}/{}", reference.key, pod.namespace(), reference.name))
            }
        };
    }
    if let Some(reference) = &source.secret_key_ref {
        let optional = reference.optional == Some(true);
        let Some(secret) = fetched.secrets.get(&reference.name).and_then(Option::as_ref) else {
            return if optional { Ok(None) } else { Err(missing("secret", &reference.name)) };
        };
        return match secret.data.as_ref().and_then(|data| data.get(&reference.key)) {
            Some(value) => Ok(Some(String::from_utf8_lossy(&value.0).into_owned())),
            None if optional => Ok(None),
            None => {
                Err(format!("couldn't find key {} in Secret {}/{}", reference.key, pod.namespace(), reference.name))
            }
        };
    }
    Err(format!("environment variable {} has a valueFrom of a kind that this node does not know", variable.name))
}

fn missing(what: &str, name: &str) -> String {
    format!("{what} \"{name}\" not found")
}

/// Replaces `$(NAME)` by the value of a known variable; `$$` is a dollar sign; unknown names stay.
pub(crate) fn expand(text: &str, known: &BTreeMap<String, String>) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        result.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            result.push('$');
            rest = tail;
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match known.get(name) {
                Some(value) => result.push_str(value),
                None => {
                    result.push_str("$(");
                    result.push_str(name);
                    result.push(')');
                }
            }
            rest = tail;
        } else {
            result.push('$');
            rest = after;
        }
    }
    result.push_str(rest);
    result
}

/// Variables that tell a pod where the services of its namespace are (and always the API itself).
pub(crate) fn service_variables(pod: &Pod, services: &[Arc<Service>]) -> BTreeMap<String, String> {
    let links = pod::spec(pod).enable_service_links.unwrap_or(true);
    let mut variables = BTreeMap::new();
    let is_api = |service: &Service| service.namespace() == "default" && service.name() == "kubernetes";
    // A service of the same name in the pod's own namespace wins over the API's.
    let mut chosen: Vec<&Arc<Service>> = services.iter().filter(|service| is_api(service)).collect();
    chosen.extend(services.iter().filter(|service| links && service.namespace() == pod.namespace()));
    for service in chosen {
        let Some(spec) = &service.spec else { continue };
        let Some(address) = spec.cluster_ip.as_deref().filter(|ip| ip.parse::<IpAddr>().is_ok()) else { continue };
        let prefix = service.name().to_uppercase().replace('-', "_");
        let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        variables.insert(format!("{prefix}_SERVICE_HOST"), address.to_owned());
        for (index, port) in spec.ports.iter().flatten().enumerate() {
            let number = port.port;
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            let url = format!("{}://{host}:{number}", protocol.to_lowercase());
            if index == 0 {
                variables.insert(format!("{prefix}_SERVICE_PORT"), number.to_string());
                variables.insert(format!("{prefix}_PORT"), url.clone());
            }
            if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
                let name = name.to_uppercase().replace('-', "_");
                variables.insert(format!("{prefix}_SERVICE_PORT_{name}"), number.to_string());
            }
            let port_prefix = format!("{prefix}_PORT_{number}_{protocol}");
            variables.insert(port_prefix.clone(), url);
            variables.insert(format!("{port_prefix}_PROTO"), protocol.to_lowercase());
            variables.insert(format!("{port_prefix}_PORT"), number.to_string());
            variables.insert(format!("{port_prefix}_ADDR"), address.to_owned());
        }
    }
    variables
}
