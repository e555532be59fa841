//! Paths and queries of all dialects.

pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    portolan_registry::fuzzing::url(path, query);
    portolan_registry_consul::fuzzing::url(path, query);
    portolan_registry_eureka::fuzzing::url(path, query);
}
