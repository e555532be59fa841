//! What is wrong with the schemas of definitions, and with the rules in them.

use expect_test::{Expect, expect};

use super::create;

/// What a client gets that creates a definition with this schema, without the paths' common beginning.
fn check(schema: &str, expected: Expect) {
    let definition = format!(
        "{{metadata: {{name: knobs.example.com}}, spec: {{group: example.com, scope: Namespaced, names: {{plural: \
         knobs, kind: Knob}}, versions: [{{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: \
         {schema}}}}}]}}}}"
    );
    let errors = create("apiextensions.k8s.io/customresourcedefinitions", &definition);
    expected.assert_eq(&errors.replace("spec.validation.openAPIV3Schema", "s"));
}

/// A rule that does not compile.
const WRONG: &str = "x-kubernetes-validations: [{rule: 'self == five'}]";

#[test]
fn rules_are_looked_at_wherever_the_schema_is_right_at_and_below_their_place() {
    let one = |place: &str| format!("{{type: object, properties: {{a: {place}}}}}");
    check(
        &one(&format!("{{type: integer, {WRONG}}}")),
        expect![[r#"
            s.properties[a].x-kubernetes-validations[0].rule: Invalid value: {"Rule":"self == five","Message":"","MessageExpression":"","Reason":null,"FieldPath":"","OptionalOldSelf":null}: compilation failed: ERROR: <input>:1:9: undeclared reference to 'five' (in container '')
             | self == five
             | ........^"#]],
    );
    // Beside a place that says what no schema may say, but not above it.
    check(
        &format!(
            "{{type: object, {WRONG}, properties: {{a: {{type: integer, {WRONG}}}, b: {{type: array, uniqueItems: true, \
             {WRONG}, items: {{type: integer, {WRONG}}}}}}}}}"
        ),
        expect![[r#"
            s.properties[b].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic
            s.properties[a].x-kubernetes-validations[0].rule: Invalid value: {"Rule":"self == five","Message":"","MessageExpression":"","Reason":null,"FieldPath":"","OptionalOldSelf":null}: compilation failed: ERROR: <input>:1:9: undeclared reference to 'five' (in container '')
             | self == five
             | ........^
            s.properties[b].items.x-kubernetes-validations[0].rule: Invalid value: {"Rule":"self == five","Message":"","MessageExpression":"","Reason":null,"FieldPath":"","OptionalOldSelf":null}: compilation failed: ERROR: <input>:1:9: undeclared reference to 'five' (in container '')
             | self == five
             | ........^"#]],
    );
    // A rule that is not well-formed keeps its neighbours from being compiled.
    check(
        &one("{type: integer, x-kubernetes-validations: [{rule: ''}, {rule: 'self == five'}]}"),
        expect!["s.properties[a].x-kubernetes-validations[0].rule: Required value: rule is not specified"],
    );
    // Nowhere, if the schema is not structural, its defaults do not fit or it cannot be read.
    check(
        &format!("{{type: object, properties: {{a: {{type: integer, {WRONG}}}, b: {{}}}}}}"),
        expect!["s.properties[b].type: Required value: must not be empty for specified object fields"],
    );
    check(
        &format!("{{type: object, properties: {{a: {{type: integer, {WRONG}}}, b: {{type: integer, default: x}}}}}}"),
        expect![[r#"s.properties[b].default: Invalid value: "string":  in body must be of type integer: "string""#]],
    );
    check(
        &format!("{{type: object, properties: {{a: {{type: integer, {WRONG}}}, b: {{type: object, $ref: x}}}}}}"),
        expect!["s.properties[b].$ref: Forbidden: $ref is not supported"],
    );
}

#[test]
fn a_schema_that_says_something_twice_wrong_is_told_both() {
    // Not structural, and nothing that any schema may say.
    check(
        "{type: object, properties: {a: {}, b: {type: string, uniqueItems: true}}}",
        expect![[r#"
        s.properties[a].type: Required value: must not be empty for specified object fields
        s.properties[b].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic"#]],
    );
    // What cannot be read is told only if nothing else is wrong.
    check(
        "{type: object, $schema: 'https://json-schema.org/draft-07/schema'}",
        expect![[r#"s: Invalid value: "": OpenAPIV3Schema 'schema' is not supported"#]],
    );
    check("{type: object, nullable: true}", expect!["s.nullable: Forbidden: nullable cannot be true at the root"]);
}

#[test]
fn rules_need_something_to_speak_about() {
    check(
        &format!("{{type: object, properties: {{a: {{x-kubernetes-preserve-unknown-fields: true, {WRONG}}}}}}}"),
        expect![
            "s.properties[a].x-kubernetes-validations: Internal error: internal error: failed to construct type information for x-kubernetes-validations rules: unable to convert structural schema to CEL declarations"
        ],
    );
    check(
        "{type: object, properties: {a: {type: integer, x-kubernetes-validations: [{rule: 'self == five', \
         optionalOldSelf: true}]}}}",
        expect![[r#"
            s.properties[a].x-kubernetes-validations[0].rule: Invalid value: {"Rule":"self == five","Message":"","MessageExpression":"","Reason":null,"FieldPath":"","OptionalOldSelf":true}: compilation failed: ERROR: <input>:1:9: undeclared reference to 'five' (in container '')
             | self == five
             | ........^
            s.properties[a].x-kubernetes-validations[0].optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule"#]],
    );
}

#[test]
fn only_rules_that_are_looked_at_count_for_the_cost() {
    let costly = "type: array, items: {type: string, x-kubernetes-validations: [{rule: 'self.contains(self)'}]}";
    check(
        &format!("{{type: object, properties: {{a: {{{costly}}}}}}}"),
        expect![[r#"
        s.properties[a].items.x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)
        s.properties[a].items.x-kubernetes-validations[0].rule: Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema
        s: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"#]],
    );
    check(
        "{type: object, properties: {a: {type: array, items: {type: string, uniqueItems: true, \
         x-kubernetes-validations: [{rule: 'self.contains(self)'}]}}}}",
        expect![
            "s.properties[a].items.uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        ],
    );
}

/// As long as a definition is not served, any bundle will do; what is wrong already may stay.
#[test]
fn a_served_definition_gets_no_bundle_that_is_of_no_use() {
    let served = "status: {storedVersions: [v1], conditions: [{type: Established, status: 'True'}]}";
    let with = |bundle: &str, status: &str| {
        format!(
            "{{metadata: {{name: knobs.example.com}}, spec: {{group: example.com, scope: Namespaced, names: {{plural: \
             knobs, kind: Knob}}, versions: [{{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: \
             object}}}}}}], conversion: {{strategy: Webhook, webhook: {{conversionReviewVersions: [v1], clientConfig: {{url: \
             'https://a.example.com', caBundle: {bundle}}}}}}}}}, {status}}}"
        )
    };
    let none = with("''", served);
    let cases = [
        (none.clone(), with("eA==", served)),
        (with("eA==", served), with("eQ==", served)),
        (with("''", "status: {storedVersions: [v1]}"), with("eA==", "status: {storedVersions: [v1]}")),
        (none.clone(), none),
    ];
    let strategy = super::of("apiextensions.k8s.io/customresourcedefinitions");
    let changed = |(old, new): &(String, String)| {
        let (mut old, mut new) = (super::yaml(old), super::yaml(new));
        strategy.default(&mut old);
        strategy.default(&mut new);
        super::lines(&strategy.validate_changed(&new, &old, &super::context(""), &mut Vec::new()))
    };
    expect![[r#"
        spec.conversion.webhookClientConfig.caBundle: Invalid value: "eA==": unable to load root certificates: unable to parse bytes as PEM block
        ok
        ok
        ok"#]].assert_eq(&cases.iter().map(changed).collect::<Vec<_>>().join("\n"));
}
