use super::*;

fn kind(api_version: &'static str, kind: &'static str) -> GroupVersionKind<'static> {
    GroupVersionKind::from_api_version(api_version, kind)
}

#[test]
fn every_stored_kind_has_a_schema() {
    for resource in builtin().resources().filter(|resource| resource.allows("create")) {
        let schema = builtin().schema(resource.group_version_kind());
        assert!(schema.is_some_and(|schema| schema.field("metadata").is_some()), "{}", resource.name);
    }
}

#[test]
fn subresources_name_their_own_kind() {
    let cases = [
        ("apps", "v1", "deployments", "scale", "autoscaling/v1, Kind=Scale"),
        ("", "v1", "pods", "binding", "v1, Kind=Binding"),
        ("", "v1", "pods", "eviction", "policy/v1, Kind=Eviction"),
        ("", "v1", "serviceaccounts", "token", "authentication.k8s.io/v1, Kind=TokenRequest"),
        ("registry.portolan.dev", "v1", "serviceinstances", "status", "registry.portolan.dev/v1, Kind=ServiceInstance"),
    ];
    for (group, version, resource, subresource, expected) in cases {
        let found = builtin().resource(group, version, resource).and_then(|found| found.subresource(subresource));
        assert_eq!(found.map(|found| found.kind.borrowed().to_string()).as_deref(), Some(expected));
    }
}

#[test]
fn newer_versions_are_preferred() {
    let versions = &builtin().group("autoscaling").expect("served").versions;
    assert_eq!(versions.iter().map(|version| &*version.version).collect::<Vec<_>>(), ["v2", "v1"]);
}

#[test]
fn merge_keys_and_list_keys_differ_where_upstream_differs() {
    let spec = builtin().schema(kind("v1", "Service")).and_then(|schema| schema.field("spec")).expect("known");
    let ports = spec.field("ports").expect("known");
    assert_eq!(ports.patch_merge_key(), Some("port"));
    assert_eq!(ports.list_type(), &ListType::Map(vec!["port".into(), "protocol".into()]));
    assert!(ports.patch_strategy().merge);
    assert!(spec.field("externalIPs").is_some_and(Schema::is_atomic));
}

#[test]
fn fields_are_sorted_for_the_search() {
    for definition in builtin().definitions() {
        assert!(definition.fields.is_sorted_by_key(|field| &field.name), "{}", definition.name);
    }
}

#[test]
fn what_is_always_there_is_a_field_of_a_definition() {
    for (name, field) in read::always() {
        let schema = builtin().definition(name).unwrap_or_else(|| panic!("{name} is not defined"));
        let field = field.trim_end_matches('?');
        let inner = schema.field(field).unwrap_or_else(|| panic!("{name} has no field {field}"));
        assert!(inner.is_always(), "{name} {field}");
    }
}
