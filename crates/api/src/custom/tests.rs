use bytes::Bytes;
use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::*;
use crate::field::{self, Path};

fn yaml(text: &str) -> Value {
    let limits = crate::decode::Limits::default();
    crate::decode::yaml(text.as_bytes(), &limits).expect("it is YAML").value
}

fn lines(errors: &[field::Error]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

const SCHEMA: &str = r"
type: object
properties:
  spec:
    type: object
    required: [cron]
    properties:
      cron: {type: string, pattern: '^a+$', minLength: 2, maxLength: 4}
      count: {type: integer, minimum: 1, maximum: 10, exclusiveMaximum: true, multipleOf: 3}
      small: {type: integer, format: int32}
      ratio: {type: number}
      color: {type: string, enum: [red, blue], nullable: true}
      when: {type: string, format: date-time}
      port: {x-kubernetes-int-or-string: true}
      flags: {type: object, additionalProperties: {type: boolean}, maxProperties: 2}
      list: {type: array, minItems: 1, maxItems: 3, items: {type: string}}
      set: {type: array, x-kubernetes-list-type: set, items: {type: string}}
      map:
        type: array
        x-kubernetes-list-type: map
        x-kubernetes-list-map-keys: [name]
        items: {type: object, required: [name], properties: {name: {type: string}, m: {type: integer, maximum: 5}}}
      pick:
        type: object
        properties: {a: {type: integer}, b: {type: integer}}
        oneOf: [{required: [a]}, {required: [b]}]
      any: {type: integer, anyOf: [{minimum: 10}, {maximum: 2}]}
      not: {type: integer, not: {minimum: 10}}
      inner: {type: object, x-kubernetes-embedded-resource: true, x-kubernetes-preserve-unknown-fields: true}
";

#[test]
fn values_are_refused_in_upstreams_words() {
    let root = Node::read(&yaml(SCHEMA));
    let check = |spec: &str, expected: Expect| {
        let mut object = json!({"spec": yaml(spec)});
        if object["spec"]["cron"].is_null() {
            object["spec"]["cron"] = "aa".into();
        }
        let mut errors = validate(&object, &root, Options::default());
        errors.extend(validate_embedded(&object, &root));
        errors.extend(validate_lists(&object, &root));
        expected.assert_eq(&lines(&errors));
    };
    check("{}", expect![[""]]);
    check(
        "{cron: b}",
        expect![[r#"spec.cron: Invalid value: "b": spec.cron in body should be at least 2 chars long"#]],
    );
    check("{cron: aaaaa}", expect!["spec.cron: Too long: may not be more than 4 bytes"]);
    check(
        "{cron: 5}",
        expect![[r#"spec.cron: Invalid value: "integer": spec.cron in body must be of type string: "integer""#]],
    );
    check(
        "{count: 10}",
        expect![[r#"
        spec.count: Invalid value: 10: spec.count in body should be a multiple of 3
        spec.count: Invalid value: 10: spec.count in body should be less than 10"#]],
    );
    check(
        "{count: 0}",
        expect!["spec.count: Invalid value: 0: spec.count in body should be greater than or equal to 1"],
    );
    check(
        "{count: 1.5}",
        expect![[r#"
            spec.count: Invalid value: "number": spec.count in body must be of type integer: "number"
            <nil>: Invalid value: "": Checked value must be of type integer (default format) in spec.count
            spec.count: Invalid value: 1.5: spec.count in body should be a multiple of 3"#]],
    );
    check(
        "{small: 3000000000}",
        expect![[r#"<nil>: Invalid value: "": Checked value must be of type integer with format int32 in spec.small"#]],
    );
    check("{ratio: 1}", expect![""]);
    check("{color: green}", expect![[r#"spec.color: Unsupported value: "green": supported values: "red", "blue""#]]);
    check(
        "{color: null, when: null}",
        expect![[r#"spec.when: Invalid value: "null": spec.when in body must be of type string: "null""#]],
    );
    check(
        "{when: yesterday}",
        expect![[r#"spec.when: Invalid value: "yesterday": spec.when in body must be of type date-time: "yesterday""#]],
    );
    check(
        "{port: true}",
        expect![[
            r#"spec.port: Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean""#
        ]],
    );
    check(
        "{flags: {a: true, b: 1, c: false}}",
        expect![[r#"
        spec.flags: Too many: 3: must have at most 2 items
        spec.flags.b: Invalid value: "integer": spec.flags.b in body must be of type boolean: "integer""#]],
    );
    check("{list: []}", expect!["spec.list: Invalid value: 0: spec.list in body should have at least 1 items"]);
    check(
        "{list: [a, b, c, 4]}",
        expect![[r#"
        spec.list[3]: Invalid value: "integer": spec.list[3] in body must be of type string: "integer"
        spec.list: Too many: 4: must have at most 3 items"#]],
    );
    check("{set: [a, b, a]}", expect![[r#"spec.set[2]: Duplicate value: "a""#]]);
    check("{set: [a, a, a]}", expect![[r#"spec.set[1]: Duplicate value: "a""#]]);
    check(
        "{map: [{name: a}, {name: b}, {name: a, m: 1}, {m: 2}]}",
        expect![[r#"
        spec.map[3].name: Required value
        spec.map[2]: Duplicate value: {"name":"a"}"#]],
    );
    check(
        "{pick: {}}",
        expect![[r#"
        <nil>: Invalid value: "": "spec.pick" must validate one and only one schema (oneOf). Found none valid
        spec.pick.a: Required value"#]],
    );
    check(
        "{pick: {a: 1, b: 2}}",
        expect![[
            r#"<nil>: Invalid value: "": "spec.pick" must validate one and only one schema (oneOf). Found 2 valid alternatives"#
        ]],
    );
    check(
        "{any: 5}",
        expect![[r#"
        <nil>: Invalid value: "": "spec.any" must validate at least one schema (anyOf)
        spec.any: Invalid value: 5: spec.any in body should be greater than or equal to 10"#]],
    );
    check("{not: 11}", expect![[r#"<nil>: Invalid value: "": "spec.not" must not validate the schema (not)"#]]);
    check(
        "{inner: {kind: Pod, metadata: {labels: {a: '!'}}}}",
        expect![[r#"
            spec.inner.apiVersion: Required value
            spec.inner.metadata.labels: Invalid value: "!": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"#]],
    );
    check(
        "{inner: {apiVersion: v1, kind: Pod, metadata: {generateName: a/, name: .., namespace: A, generation: -1,
          ownerReferences: [{apiVersion: v1, kind: A, name: a}], finalizers: [/a], managedFields: [{operation: Apply}, {}]}}}",
        expect![[r#"
            spec.inner.metadata.generateName: Invalid value: "a/": may not contain '/'
            spec.inner.metadata.name: Invalid value: "..": may not be '..'
            spec.inner.metadata.namespace: Invalid value: "A": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
            spec.inner.metadata.generation: Invalid value: -1: must be greater than or equal to 0
            spec.inner.metadata.ownerReferences.uid: Invalid value: "": must not be empty
            spec.inner.metadata.finalizers: Invalid value: "/a": prefix part must be non-empty
            spec.inner.metadata.managedFields[1].operation: Invalid value: "": must be `Apply` or `Update`"#]],
    );
    check("{inner: {apiVersion: v1, kind: Pod, metadata: null}}", expect![[""]]);
    check(
        "{inner: {apiVersion: v1, kind: Pod, metadata: {labels: 5}}}",
        expect![[
            r#"spec.inner.metadata: Invalid value: {"labels":5}: json: cannot unmarshal number into Go struct field ObjectMeta.labels of type map[string]string"#
        ]],
    );
}

#[test]
fn what_was_wrong_before_and_did_not_change_is_let_be() {
    let root = Node::read(&yaml(SCHEMA));
    let object = |map: &str, count: i64| json!({"spec": {"cron": "b", "count": count, "map": yaml(map)}});
    let cases = [
        (object("[{name: a, m: 9}]", 3), object("[{name: a, m: 9}]", 6), ""),
        (object("[{name: a, m: 9}]", 3), object("[{name: b}, {name: a, m: 9}]", 3), ""),
        (
            object("[{name: a, m: 9}]", 3),
            object("[{name: a, m: 8}]", 3),
            "spec.map[0].m: Invalid value: 8: spec.map[0].m in body should be less than or equal to 5",
        ),
    ];
    for (old, new, expected) in cases {
        assert_eq!(lines(&validate(&new, &root, Options { old: Some(&old) })), expected);
    }
}

#[test]
fn what_did_not_change_still_counts_for_a_choice_of_schemas() {
    let root = Node::read(&yaml(
        "{type: object, properties: {a: {type: object, properties: {b: {type: integer}, c: {type: string}}, anyOf: \
         [{required: [c]}, {properties: {b: {minimum: 2}}}]}}}",
    ));
    let (old, new) = (json!({"a": {"b": 1, "c": "x"}}), json!({"a": {"b": 1}}));
    expect![[r#"
        <nil>: Invalid value: "": "a" must validate at least one schema (anyOf)
        a.b: Invalid value: 1: a.b in body should be greater than or equal to 2"#]]
    .assert_eq(&lines(&validate(&new, &root, Options { old: Some(&old) })));
}

#[test]
fn texts_about_a_status_name_places_within_it() {
    let root = Node::read(&yaml(
        "{type: object, properties: {spec: {type: integer}, status: {type: object, required: [a], properties: {a: \
         {type: string}, share: {type: number, multipleOf: 0.5}, day: {type: string, format: date}}}}}",
    ));
    let problems =
        |status: Value| lines(&validate_status(&json!({"spec": "x", "status": status}), &root, Options::default()));
    assert_eq!(problems(json!({"a": "x", "share": 1.5})), "");
    expect![[r#"
        status.day: Invalid value: "int64": day in body must be of type date: "int64"
        status.share: Invalid value: 0: factor MultipleOf declared for share must be positive: 0
        status.a: Required value"#]]
    .assert_eq(&problems(json!({"share": 1, "day": 3})));
    expect![[r#"status: Invalid value: "string":  in body must be of type object: "string""#]]
        .assert_eq(&problems(json!("x")));
}

#[test]
fn unknown_fields_go_and_are_named() {
    let root = Node::read(&yaml(
        r"
        type: object
        properties:
          spec:
            type: object
            properties:
              known: {type: string}
              list: {type: array, items: {type: object, properties: {a: {type: string}}}}
              map: {type: object, additionalProperties: {type: object, properties: {a: {type: string}}}}
              free:
                type: object
                x-kubernetes-preserve-unknown-fields: true
                properties: {strict: {type: object, properties: {a: {type: string}}}}
              inner: {type: object, x-kubernetes-embedded-resource: true, properties: {spec: {type: object}}}
        ",
    ));
    let mut object = json!({
        "apiVersion": "a/v1", "kind": "A", "metadata": {"name": "a", "wrong": 1}, "status": {},
        "spec": {
            "known": "x", "unknown": 1, "list": [{"a": "x", "b": 1}], "map": {"k": {"a": "x", "b": 1}},
            "free": {"anything": {"x": 1}, "strict": {"a": "x", "b": 1}},
            "inner": {"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {}, "wrong": 1}, "spec": {"x": 1}},
        },
    });
    let unknown = prune(&mut object, &root).unknown;
    expect![[r#"
        metadata.wrong
        spec.free.strict.b
        spec.inner.spec.x
        spec.list[0].b
        spec.map.k.b
        spec.unknown
        status
        spec.inner.metadata.wrong"#]]
    .assert_eq(&unknown.join("\n"));
    expect![[r#"{"apiVersion":"a/v1","kind":"A","metadata":{"name":"a"},"spec":{"free":{"anything":{"x":1},"strict":{"a":"x"}},"inner":{"apiVersion":"v1","kind":"Pod","metadata":{},"spec":{}},"known":"x","list":[{"a":"x"}],"map":{"k":{"a":"x"}}}}"#]]
    .assert_eq(&object.to_string());
}

#[test]
fn defaults_fill_gaps_and_misplaced_nulls() {
    let root = Node::read(&yaml(
        r"
        type: object
        properties:
          a: {type: string, default: x}
          b: {type: string, default: x, nullable: true}
          c: {type: string}
          d: {type: object, default: {}, properties: {e: {type: integer, default: 5}}}
          f: {type: array, items: {type: object, properties: {g: {type: boolean, default: true}}}}
          h: {type: object, additionalProperties: {type: string, default: z}}
        ",
    ));
    let cases = [
        (json!({}), json!({"a": "x", "b": "x", "d": {"e": 5}})),
        (json!({"a": null, "b": null, "c": null, "d": {"e": 1}}), json!({"a": "x", "b": null, "d": {"e": 1}})),
        (
            json!({"f": [{}, {"g": false}], "h": {"k": null}}),
            json!({"a": "x", "b": "x", "d": {"e": 5}, "f": [{"g": true}, {"g": false}], "h": {"k": "z"}}),
        ),
    ];
    for (mut object, expected) in cases {
        default(&mut object, &root);
        assert_eq!(object, expected);
    }
}

#[test]
fn schemas_that_leave_room_for_doubt_are_refused() {
    let check = |schema: &str, expected: Expect| {
        expected.assert_eq(&lines(&Structure::of(&yaml(schema), &Path::new("s")).errors));
    };
    check("{type: object, properties: {a: {type: string}}}", expect![""]);
    check("{}", expect!["s.type: Required value: must not be empty at the root"]);
    check("{type: string}", expect![[r#"s.type: Invalid value: "string": must be object at the root"#]]);
    check(
        "{type: object, additionalProperties: true}",
        expect!["s.additionalProperties: Forbidden: must not be used at the root"],
    );
    check(
        "{type: object, properties: {a: {}}}",
        expect!["s.properties[a].type: Required value: must not be empty for specified object fields"],
    );
    check(
        "{type: object, properties: {a: {type: array}}}",
        expect!["s.properties[a].items: Required value: must be specified"],
    );
    check(
        "{type: object, properties: {a: {type: array, items: {}}}}",
        expect!["s.properties[a].items.type: Required value: must not be empty for specified array items"],
    );
    check(
        "{type: object, properties: {a: {type: nil}}}",
        expect![[
            r#"s.properties[a].type: Unsupported value: "nil": supported values: "array", "boolean", "integer", "number", "object", "string""#
        ]],
    );
    check(
        "{type: object, properties: {a: {type: object, properties: {b: {type: string}}, additionalProperties: {type: string}}}}",
        expect![
            "s.properties[a].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"
        ],
    );
    check(
        "{type: object, properties: {a: {type: array, uniqueItems: true, items: {type: string}}}}",
        expect![
            "s.properties[a].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        ],
    );
    check(
        "{type: object, properties: {metadata: {type: object, properties: {labels: {type: object}}}}}",
        expect![
            "s.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified"
        ],
    );
    check(
        "{type: object, properties: {a: {type: string, pattern: '('}}}",
        expect![[
            r#"s.properties[a].pattern: Invalid value: "(": must be a valid regular expression, but isn't: error parsing regexp: missing closing ): `(`"#
        ]],
    );
    check(
        "{type: object, anyOf: [{properties: {b: {minimum: 1}}}]}",
        expect!["s.properties[b]: Required value: because it is defined in s.anyOf[0].properties[b]"],
    );
    check(
        "{type: object, properties: {b: {type: integer}}, anyOf: [{properties: {b: {type: integer, minimum: 1}}}]}",
        expect!["s.anyOf[0].properties[b].type: Forbidden: must be empty to be structural"],
    );
    check(
        "{type: object, properties: {b: {x-kubernetes-int-or-string: true, anyOf: [{type: integer}, {type: string}]}}}",
        expect![""],
    );
    check(
        "{type: object, properties: {a: {type: array, x-kubernetes-list-type: map, items: {type: object, properties: {k: {type: string}}}}}}",
        expect![
            "s.properties[a].x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map"
        ],
    );
    check(
        "{type: object, properties: {a: {type: array, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [k, l], items: {type: object, properties: {k: {type: string}}}}}}",
        expect![[r#"
        s.properties[a].items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property
        s.properties[a].x-kubernetes-list-map-keys: Invalid value: ["k","l"]: entries must all be names of item properties"#]],
    );
    check(
        "{type: object, properties: {a: {type: string, default: 5}}}",
        expect![[r#"s.properties[a].default: Invalid value: "integer":  in body must be of type string: "integer""#]],
    );
    check(
        "{type: object, properties: {a: {type: object, default: {b: 1}}}}",
        expect![[r#"s.properties[a].default: Invalid value: {"b":1}: must not have unknown fields"#]],
    );
    check(
        "{type: object, properties: {a: {type: object, x-kubernetes-embedded-resource: true}}}",
        expect![
            "s.properties[a].properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"
        ],
    );
    check(
        "{type: object, properties: {a: {$ref: '#/x', type: string, nullable: true}}}",
        expect!["s.properties[a].$ref: Forbidden: $ref is not supported"],
    );
}

#[test]
fn paths_find_what_they_name() {
    let object = json!({
        "spec": {"replicas": 3, "a.b": 1, "list": [{"n": "x"}, {"n": "y"}]},
        "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]},
    });
    let cases = [
        (".spec.replicas", json!([3])),
        (r".spec.a\.b", json!([1])),
        (".spec['a.b']", json!([1])),
        (".spec.list[0].n", json!(["x"])),
        (".spec.list[-1].n", json!(["y"])),
        (".spec.list[*].n", json!(["x", "y"])),
        (r#".status.conditions[?(@.type=="Ready")].status"#, json!(["True"])),
        (".status.conditions[?(@.type!='Ready')].status", json!(["False"])),
        (".spec.none.at.all", json!([])),
    ];
    for (path, expected) in cases {
        let parsed = JsonPath::parse(path).expect(path);
        assert_eq!(json!(parsed.find(&object)), expected, "{path}");
        assert_eq!(JsonPath::parse(&parsed.to_string()).as_ref(), Ok(&parsed), "{path}");
    }
    for path in [".spec[", ".spec[x]", ".spec[?(x)]", "spec"] {
        assert!(JsonPath::parse(path).is_err(), "{path}");
    }
}

fn definition(names: &str) -> Value {
    let mut object = json!({
        "metadata": {"name": "tabs.a.example", "uid": "u"},
        "spec": {
            "group": "a.example", "scope": "Namespaced", "names": yaml(names),
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": {"set": {
                        "type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}}},
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                }}},
                "subresources": {"status": {}},
            }, {"name": "v1beta1", "served": true, "storage": false, "deprecated": true, "schema": {}},
               {"name": "v1alpha1", "served": false, "storage": false}],
        },
    });
    let accepted = accept(&object["spec"]["names"], std::iter::empty());
    settle(&mut object, accepted, Converter::Trusted, "2026-01-01T00:00:00Z");
    object
}

#[test]
fn definitions_become_resources_of_the_description() {
    use crate::description::{Type, builtin};
    let object = definition("{plural: tabs, singular: tab, kind: Tab, listKind: TabList, shortNames: [t]}");
    let source = Bytes::from(object.to_string());
    let resources = Definition::resources(&object, &source, 7);
    let description = builtin().with_custom("a.example", resources);
    let group = description.group("a.example").expect("served");
    let versions: Vec<&str> = group.versions.iter().map(|version| &*version.version).collect();
    assert_eq!(versions, ["v1", "v1beta1"]);
    let tabs = description.resource("a.example", "v1", "tabs").expect("served");
    assert!(tabs.subresource("status").is_some() && tabs.subresource("scale").is_none());
    let schema = tabs.schema().expect("known");
    let set = schema.field("spec").and_then(|spec| spec.field("set")).expect("known");
    assert_eq!(*set.list_type(), crate::description::ListType::Set);
    assert_eq!(schema.field("free").and_then(|free| free.field("x")).map(|x| x.r#type().clone()), Some(Type::Dynamic));
    assert!(schema.field("metadata").and_then(|metadata| metadata.field("labels")).is_some());
    let beta = description.resource("a.example", "v1beta1", "tabs").expect("served");
    let warning = beta.custom.as_ref().and_then(|custom| custom.warning.as_deref());
    assert_eq!(warning, Some("a.example/v1beta1 Tab is deprecated; use a.example/v1 Tab"));
    // What did not change is shared, and what goes leaves nothing.
    assert!(std::ptr::eq(description.group("apps").expect("built in"), builtin().group("apps").expect("built in")));
    assert!(description.with_custom("a.example", []).group("a.example").is_none());
}

#[test]
fn names_that_others_have_are_not_accepted() {
    let first = definition("{plural: tabs, singular: tab, kind: Tab, listKind: TabList, shortNames: [t]}");
    let resources = Definition::resources(&first, &Bytes::from(first.to_string()), 1);
    let other = &resources[0].custom.as_ref().expect("defined").definition;
    let cases = [
        (
            "{plural: a, singular: b, kind: C, listKind: D}",
            None,
            json!({"plural": "a", "singular": "b", "kind": "C", "listKind": "D"}),
        ),
        (
            "{plural: a, singular: b, kind: C, listKind: D, shortNames: [x, tab]}",
            Some(r#"ShortNamesConflict "tab" is already in use"#),
            json!({"plural": "a", "singular": "b", "kind": "C", "listKind": "D"}),
        ),
        (
            "{plural: a, singular: b, kind: Tab, listKind: D}",
            Some(r#"KindConflict "Tab" is already in use"#),
            json!({"plural": "a", "singular": "b", "kind": "", "listKind": "D"}),
        ),
    ];
    for (names, expected, accepted) in cases {
        let (found, conflict) = accept(&yaml(names), [&**other].into_iter());
        let conflict = conflict.map(|conflict| format!("{} {}", conflict.reason, conflict.message));
        assert_eq!((conflict.as_deref(), found), (expected, accepted), "{names}");
    }
}

#[test]
fn versions_are_ordered_as_clients_expect() {
    let mut versions = ["v1alpha1", "foo", "v2beta1", "v10", "v1", "v2", "v1beta2", "v11alpha2", "bar"];
    versions.sort_by(|a, b| crate::description::by_priority(a, b));
    assert_eq!(versions, ["v10", "v2", "v1", "v2beta1", "v1beta2", "v11alpha2", "v1alpha1", "bar", "foo"]);
}

#[test]
fn whole_numbers_are_divided_as_whole_numbers() {
    let root = Node::read(&yaml("{type: object, properties: {m: {type: integer, multipleOf: 3}}}"));
    let problems = |n: i64| lines(&validate(&json!({"m": n}), &root, Options::default()));
    assert_eq!(problems(9_007_199_254_740_993), "");
    let problem = "m: Invalid value: 9007199254740994: m in body should be a multiple of 3";
    assert_eq!(problems(9_007_199_254_740_994), problem);
}

#[test]
fn a_column_shows_the_first_of_several() {
    let column = |value_type: &str, path: &str| Column {
        name: "C".into(),
        value_type: value_type.into(),
        format: String::new(),
        description: String::new(),
        priority: 0,
        path: JsonPath::parse(path).expect("a path"),
    };
    let object = json!({"spec": {"list": [{"k": "a", "n": 1}, {"k": "b", "n": 2}], "o": {"x": [1, null]}}});
    let cases = [
        ("string", ".spec.list[*].k", json!("a")),
        ("integer", ".spec.list[*].n", json!(1)),
        ("string", ".spec.o", json!("{\"x\":[1,null]}")),
        ("integer", ".spec.list[0].k", Value::Null),
    ];
    for (value_type, path, expected) in cases {
        assert_eq!(cell(&column(value_type, path), &object, |_| None), expected, "{value_type} {path}");
    }
}
