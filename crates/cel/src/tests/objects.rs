use super::check;

#[test]
fn fields_are_read() {
    check(&[
        ("object.spec.replicas", "3"),
        ("object.metadata.labels.app", "\"web\""),
        ("object.metadata.labels['app']", "\"web\""),
        ("object['spec']['replicas']", "3"),
        ("object.metadata.namespace", "\"default\""),
        ("object.spec.nothing", "error: no such key: nothing"),
        ("object.metadata.labels['nothing']", "error: no such key: nothing"),
        ("has(object.spec.replicas)", "true"),
        ("has(object.spec.nothing)", "false"),
        ("has(object.nothing.spec)", "error: no such key: nothing"),
        ("has(object)", "5:invalid argument to has() macro"),
        ("object.spec.rules[1].key", "\"y\""),
        ("object.spec.rules[2].key", "error: index out of bounds: 2"),
        ("object.spec.rules.map(r, r.value).sum()", "3"),
        ("object.spec.replicas.foo", "error: no such key: foo"),
    ]);
}

#[test]
fn schemas_give_types() {
    check(&[
        ("self.spec.replicas > 2", "true"),
        ("self.spec.ratio", "2.0"),
        ("self.spec.ratio > 1", "true"),
        ("self.spec.name.startsWith('wid')", "true"),
        ("self.spec.port == 'http'", "true"),
        ("self.spec.size == 7", "true"),
        ("type(self.spec.size) == int ? self.spec.size > 5 : false", "true"),
        ("self.spec.limits.cpu", "1"),
        ("self.spec.limits.all(k, self.spec.limits[k] > 0)", "true"),
        ("'cpu' in self.spec.limits", "true"),
        ("has(self.spec.limits.disk)", "false"),
        ("has(self.spec.missing)", "false"),
        ("self.spec.missing", "error: no such key: missing"),
        ("self.spec.since.getHours()", "10"),
        ("self.spec.day.getFullYear()", "2024"),
        ("self.spec.wait > duration('1h')", "true"),
        ("string(self.spec.data)", "\"hello\""),
        ("self.metadata.name", "\"w\""),
        ("self.kind", "\"Widget\""),
        ("self.spec.__namespace__", "\"n\""),
        ("self.spec.a__dash__b", "1"),
        ("self.spec.x__dot__y", "2"),
        ("self.spec.a__underscores__b", "3"),
        ("self.metadata.labels", "14:undefined field 'labels'"),
        ("self.spec.foo", "10:undefined field 'foo'"),
        ("self.spec.namespace", "10:undefined field 'namespace'"),
        ("self.spec.opaque.foo", "17:undefined field 'foo'"),
        ("self.spec.replicas == '3'", "20:found no matching overload for '_==_' applied to '(int, string)'"),
        ("self.spec.replicas.foo", "19:type 'int' does not support field selection"),
        ("self.spec.name == null", "16:found no matching overload for '_==_' applied to '(string, null)'"),
        ("self.spec == null", "false"),
    ]);
}

#[test]
fn lists_compare_and_add_by_their_type() {
    check(&[
        ("self.spec.tags == self.spec.more", "true"),
        ("object.spec.tags == object.spec.more", "false"),
        ("self.spec.tags + ['a', 'c']", r#"["b","a","c"]"#),
        ("dyn(self.spec.rules) == dyn(self.spec.others)", "true"),
        ("dyn(self.spec.rules) + dyn(self.spec.others)", r#"[{"key":"x","value":1},{"key":"y","value":2}]"#),
    ]);
}

#[test]
fn authorizers_are_asked() {
    check(&[
        ("authorizer.group('').resource('pods').namespace('d').check('get').allowed()", "true"),
        ("authorizer.group('').resource('pods').check('list').allowed()", "false"),
        ("authorizer.group('').resource('pods').check('list').reason()", "\"asked for list\""),
        ("authorizer.path('/healthz').check('get').allowed()", "true"),
        ("authorizer.path(' ').check('get').allowed()", "error: path must not be empty"),
        ("authorizer.serviceAccount('a', 'b').group('').resource('pods').check('get').allowed()", "false"),
        (
            "authorizer.group('').resource('pods').fieldSelector('a=b').labelSelector('c').check('get').errored()",
            "false",
        ),
        (
            "authorizer.check('get')",
            "17:found no matching overload for 'check' applied to 'kubernetes.authorization.Authorizer.(string)'",
        ),
    ]);
}
