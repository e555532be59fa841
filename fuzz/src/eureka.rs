//! Bodies of Eureka's clients, in XML and JSON: what is understood can be read again once it was written.

pub(crate) fn run(body: &[u8]) {
    portolan_registry_eureka::fuzzing::body(body);
}
