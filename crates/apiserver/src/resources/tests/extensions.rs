//! What upstream's own strategies (1.36.3) say of definitions, admission policies, webhooks and what they name.

use expect_test::{Expect, expect};
use serde_json::Value;

use super::{check_create, context, lines, of, yaml};

const WEBHOOK: &str = "name: a.b.c, admissionReviewVersions: [v1]";

/// What a client gets that creates a webhook with these fields.
fn check_webhooks(fields: &[&str], expected: Expect) {
    let objects: Vec<String> =
        fields.iter().map(|fields| format!("{{metadata: {{name: a}}, webhooks: [{{{WEBHOOK}, {fields}}}]}}")).collect();
    let objects: Vec<&str> = objects.iter().map(String::as_str).collect();
    check_create("admissionregistration.k8s.io/mutatingwebhookconfigurations", &objects, expected);
}

#[test]
fn empty_texts_are_no_policies_of_webhooks() {
    let url = "sideEffects: None, clientConfig: {url: 'https://a'}";
    check_webhooks(
        &[
            &format!("{url}, failurePolicy: '', matchPolicy: '', reinvocationPolicy: ''"),
            &format!(
                "{url}, rules: [{{apiGroups: [a], apiVersions: [v1], resources: [b], operations: ['*'], scope: ''}}]"
            ),
            "clientConfig: {url: 'https://a'}, sideEffects: ''",
            "clientConfig: {url: 'https://a'}",
        ],
        expect![[r#"
            webhooks[0].failurePolicy: Unsupported value: "": supported values: "Fail", "Ignore"
            webhooks[0].matchPolicy: Unsupported value: "": supported values: "Equivalent", "Exact"
            webhooks[0].reinvocationPolicy: Unsupported value: "": supported values: "IfNeeded", "Never"
            webhooks[0].rules[0].scope: Unsupported value: "": supported values: "*", "Cluster", "Namespaced"
            webhooks[0].sideEffects: Unsupported value: "": supported values: "None", "NoneOnDryRun"
            webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun"#]],
    );
}

#[test]
fn webhooks_are_where_urls_and_services_lead() {
    let config = |config: &str| format!("sideEffects: None, clientConfig: {config}");
    let configs = [
        "{url: ''}",
        "{url: '10%'}",
        "{url: 'http://u@a/?b#c'}",
        "{service: {}}",
        "{service: {name: a}}",
        "{service: {namespace: a}}",
    ]
    .map(config);
    check_webhooks(
        &configs.each_ref().map(String::as_str),
        expect![[r#"
        webhooks[0].clientConfig.url: Invalid value: "": 'https' is the only allowed URL scheme; desired format: https://host[/path]
        webhooks[0].clientConfig.url: Invalid value: "": host must be specified; desired format: https://host[/path]
        webhooks[0].clientConfig.url: Required value: url must be a valid URL: parse "10%": invalid URL escape "%"; desired format: https://host[/path]
        webhooks[0].clientConfig.url: Invalid value: "http": 'https' is the only allowed URL scheme; desired format: https://host[/path]
        webhooks[0].clientConfig.url: Invalid value: "u": user information is not permitted in the URL
        webhooks[0].clientConfig.url: Invalid value: "c": fragments are not permitted in the URL
        webhooks[0].clientConfig.url: Invalid value: "b": query parameters are not permitted in the URL
        webhooks[0].clientConfig.service.name: Required value
        webhooks[0].clientConfig.service.namespace: Required value
        webhooks[0].clientConfig.service.name: Required value
        webhooks[0].clientConfig.service.namespace: Required value"#]],
    );
}

#[test]
fn every_condition_of_a_webhook_is_looked_at() {
    check_webhooks(
        &["sideEffects: None, clientConfig: {url: 'https://a'}, \
           matchConditions: [{name: a, expression: 'true'}, {name: a, expression: ''}, {name: '', expression: '1'}]"],
        expect![[r#"
            webhooks[0].matchConditions[1].expression: Required value
            webhooks[0].matchConditions[1].name: Duplicate value: "a"
            webhooks[0].matchConditions[2].expression: Invalid value: "1": must evaluate to bool but got int
            webhooks[0].matchConditions[2].name: Required value"#]],
    );
}

/// What a client gets that creates a policy with these fields besides those that it has to have.
fn check_policies(resource: &str, spec: &[&str], expected: Expect) {
    let constraints = "matchConstraints: {resourceRules: [{apiGroups: [a], apiVersions: [v1], resources: [b], \
                       operations: [CREATE]}]}";
    let objects: Vec<String> =
        spec.iter().map(|spec| format!("{{metadata: {{name: a}}, spec: {{{constraints}, {spec}}}}}")).collect();
    let objects: Vec<&str> = objects.iter().map(String::as_str).collect();
    check_create(&format!("admissionregistration.k8s.io/{resource}"), &objects, expected);
}

#[test]
fn expressions_of_policies_that_refuse() {
    check_policies(
        "validatingadmissionpolicies",
        &[
            "validations: [{expression: 'true', reason: Unauthorized}, {expression: 'true', reason: '', message: ' '}]",
            "validations: [{expression: \" 1\"}], failurePolicy: ''",
            "validations: [{expression: \"true ||\\n true\"}]",
            "validations: [{expression: 'variables.a'}], matchConditions: [{name: a, expression: 'variables.a'}]",
            "variables: [{name: a, expression: ''}, {name: a, expression: 'true'}, {name: a b, expression: '*'}], \
             validations: [{expression: 'variables.a', messageExpression: ' '}]",
            "auditAnnotations: [{key: '', valueExpression: '1'}, {key: a b, valueExpression: ' null'}]",
            "paramKind: {apiVersion: A/B, kind: a b}, validations: [{expression: 'true'}]",
            "paramKind: {apiVersion: /, kind: a}, validations: [{expression: 'true'}]",
            "paramKind: {apiVersion: a/b/c, kind: a}, validations: [{expression: 'true'}]",
        ],
        expect![[r#"
            spec.validations[0].reason: Unsupported value: "Unauthorized": supported values: "Forbidden", "Invalid", "RequestEntityTooLarge"
            spec.validations[1].message: Invalid value: " ": must be non-empty if specified
            spec.validations[1].reason: Unsupported value: "": supported values: "Forbidden", "Invalid", "RequestEntityTooLarge"
            spec.failurePolicy: Unsupported value: "": supported values: "Fail", "Ignore"
            spec.validations[0].expression: Invalid value: " 1": must evaluate to bool but got int
            ok
            spec.matchConditions[0].expression: Invalid value: "variables.a": compilation failed: ERROR: <input>:1:1: undeclared reference to 'variables' (in container '')
             | variables.a
             | ^
            spec.validations[0].expression: Invalid value: "variables.a": compilation failed: ERROR: <input>:1:1: undeclared reference to 'variables' (in container '')
             | variables.a
             | ^
            spec.variables[0].expression: Required value: expression is not specified
            spec.variables[2].name: Invalid value: "a b": must be a valid CEL identifier
            spec.variables[2].expression: Invalid value: "*": compilation failed: ERROR: <input>:1:1: Syntax error: mismatched input '*' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
             | *
             | ^
            ERROR: <input>:1:2: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
             | *
             | .^
            spec.validations[0].messageExpression: Invalid value: " ": must be non-empty if specified
            spec.auditAnnotations[0].key: Invalid value: "a/": name part must be non-empty
            spec.auditAnnotations[0].key: Invalid value: "a/": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
            spec.auditAnnotations[0].valueExpression: Invalid value: "1": must evaluate to one of [string null_type] but got int
            spec.auditAnnotations[1].key: Invalid value: "a/a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
            spec.paramKind.apiVersion: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            spec.paramKind.apiVersion: Invalid value: "B": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')
            spec.paramKind.kind: Invalid value: "a b": may have mixed case, but should otherwise match: a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')
            spec.paramKind.apiVersion: Invalid value: "/": version must be specified
            spec.paramKind.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c"#]],
    );
}

#[test]
fn expressions_of_policies_that_change() {
    let again = "reinvocationPolicy: Never";
    check_policies(
        "mutatingadmissionpolicies",
        &[
            "mutations: []",
            &format!("{again}, mutations: [{{patchType: ''}}, {{patchType: a}}, {{patchType: JSONPatch}}]"),
            &format!("{again}, mutations: [{{patchType: JSONPatch, jsonPatch: {{}}, applyConfiguration: {{}}}}]"),
            &format!(
                "{again}, mutations: [{{patchType: ApplyConfiguration, applyConfiguration: {{expression: variables.a}}}}]"
            ),
            &format!(
                "{again}, matchConditions: [{{name: a, expression: 'Object{{}} == null'}}], mutations: [{{patchType: ApplyConfiguration, applyConfiguration: {{expression: 'Object{{}}'}}}}]"
            ),
        ],
        expect![[r#"
            spec.mutations: Required value: mutations must contain at least one item
            spec.reinvocationPolicy: Required value
            spec.mutations[0].patchType: Required value
            spec.mutations[1].patchType: Unsupported value: "a": supported values: "ApplyConfiguration", "JSONPatch"
            spec.mutations[2].jsonPatch: Required value: must be specified when patchType is JSONPatch
            spec.mutations[0].jsonPatch.expression: Required value
            spec.mutations[0].applyConfiguration: Invalid value: "{applyConfiguration}": must not be specified when patchType is JSONPatch
            spec.mutations[0].applyConfiguration.expression: Invalid value: "variables.a": compilation failed: ERROR: <input>:1:10: undefined field 'a'
             | variables.a
             | .........^
            spec.matchConditions[0].expression: Invalid value: "Object{} == null": compilation failed: ERROR: <input>:1:7: undeclared reference to 'Object' (in container '')
             | Object{} == null
             | ......^"#]],
    );
}

#[test]
fn bindings_of_policies() {
    let rule = |rule: &str| {
        format!(
            "matchResources: {{matchPolicy: '', resourceRules: [{{apiGroups: [a], apiVersions: [v1], resources: [b], {rule}}}]}}"
        )
    };
    let specs = [
        "paramRef: {parameterNotFoundAction: a}".to_owned(),
        "paramRef: {name: a/b, selector: {}, parameterNotFoundAction: Deny}".to_owned(),
        rule("operations: [DELETE], resourceNames: [a/b, a/b]"),
        rule("operations: ['*', CREATE]"),
    ];
    let objects = specs.map(|spec| format!("{{metadata: {{name: a}}, spec: {{policyName: a, {spec}}}}}"));
    let objects = objects.each_ref().map(String::as_str);
    check_create(
        "admissionregistration.k8s.io/mutatingadmissionpolicybindings",
        &objects,
        expect![[r#"
        spec.paramRef: Required value: one of name or selector must be specified
        spec.paramRef.parameterNotFoundAction: Unsupported value: "a": supported values: "Deny", "Allow"
        spec.paramRef.name: Invalid value: "a/b": may not contain '/'
        spec.paramRef.name: Forbidden: name and selector are mutually exclusive
        spec.paramRef.selector: Forbidden: name and selector are mutually exclusive
        spec.matchResources.matchPolicy: Unsupported value: "": supported values: "Equivalent", "Exact"
        spec.matchResources.resourceRules[0].resourceNames[0]: Invalid value: "a/b": may not contain '/'
        spec.matchResources.resourceRules[0].resourceNames[1]: Invalid value: "a/b": may not contain '/'
        spec.matchResources.resourceRules[0].resourceNames[1]: Duplicate value: "a/b"
        spec.matchResources.resourceRules.operations: Unsupported value: "DELETE": supported values: "*", "CONNECT", "CREATE", "UPDATE"
        spec.matchResources.matchPolicy: Unsupported value: "": supported values: "Equivalent", "Exact"
        spec.matchResources.resourceRules[0].operations: Invalid value: ["*","CREATE"]: if '*' is present, must not specify other operations"#]],
    );
}

/// A definition with these versions.
fn definition(versions: &str) -> String {
    format!(
        "{{metadata: {{name: knobs.example.com}}, spec: {{group: example.com, scope: Namespaced, names: {{plural: knobs, \
         kind: Knob}}, versions: [{versions}]}}}}"
    )
}

#[test]
fn versions_of_definitions() {
    let schema = "schema: {openAPIV3Schema: {type: object, properties: {a: {type: string}}}}";
    let stored = "served: true, storage: true";
    let versions = [
        format!("{{name: A_b, {stored}, {schema}}}"),
        "{}".to_owned(),
        format!("{{name: v1, {stored}, {schema}}}, {{name: v1, {stored}, {schema}}}"),
        format!(
            "{{name: v1, {schema}}}, {{name: v2, schema: {{openAPIV3Schema: {{type: object, items: {{type: string}}, \
                 additionalProperties: true, maxProperties: 1}}}}}}"
        ),
        format!("{{name: v1, {stored}, selectableFields: [{{jsonPath: .a}}]}}"),
        format!(
            "{{name: v1, {stored}, {schema}, selectableFields: [{{jsonPath: a}}, {{jsonPath: .a}}, {{jsonPath: .a}}, \
             {{jsonPath: '.a[0]'}}, {{jsonPath: .}}, {{jsonPath: .b}}]}}"
        ),
        format!(
            "{{name: v1, {stored}, subresources: {{status: {{}}}}, schema: {{openAPIV3Schema: {{type: object, \
             x-kubernetes-preserve-unknown-fields: true, anyOf: [{{required: [a]}}]}}}}}}"
        ),
        format!(
            "{{name: v1, {stored}, subresources: {{status: {{}}}}, schema: {{openAPIV3Schema: {{type: string}}}}}}"
        ),
        format!(
            "{{name: v1, {stored}, schema: {{openAPIV3Schema: {{type: object, properties: {{a: {{type: string, pattern: \
             '(?!a)'}}, b: {{type: foo, default: 1}}, c: {{type: string, maxLength: 1, pattern: ^a, default: bb}}, d: \
             {{type: array, x-kubernetes-list-type: a, items: {{type: string}}}}}}}}}}}}"
        ),
    ];
    let objects = versions.map(|versions| definition(&versions));
    let objects = objects.each_ref().map(String::as_str);
    check_create(
        "apiextensions.k8s.io/customresourcedefinitions",
        &objects,
        expect![[r#"
        spec.versions[0].name: Invalid value: "A_b": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')
        spec.version: Invalid value: "A_b": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')
        spec.versions[0].schema.openAPIV3Schema: Required value
        spec.versions[0].name: Invalid value: "": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')
        spec.versions: Invalid value: [{"Name":"","Served":false,"Storage":false,"Deprecated":false,"DeprecationWarning":null,"Schema":null,"Subresources":null,"AdditionalPrinterColumns":null,"SelectableFields":null}]: must have exactly one version marked as storage version
        status.storedVersions: Invalid value: null: must have at least one stored version
        spec.versions: Invalid value: [{"Name":"v1","Served":true,"Storage":true,"Deprecated":false,"DeprecationWarning":null,"Schema":null,"Subresources":null,"AdditionalPrinterColumns":null,"SelectableFields":null},{"Name":"v1","Served":true,"Storage":true,"Deprecated":false,"DeprecationWarning":null,"Schema":null,"Subresources":null,"AdditionalPrinterColumns":null,"SelectableFields":null}]: must contain unique version names
        spec.versions: Invalid value: [{"Name":"v1","Served":true,"Storage":true,"Deprecated":false,"DeprecationWarning":null,"Schema":null,"Subresources":null,"AdditionalPrinterColumns":null,"SelectableFields":null},{"Name":"v1","Served":true,"Storage":true,"Deprecated":false,"DeprecationWarning":null,"Schema":null,"Subresources":null,"AdditionalPrinterColumns":null,"SelectableFields":null}]: must have exactly one version marked as storage version
        status.storedVersions: Invalid value: ["v1"]: must have the storage version v1
        spec.versions[1].schema.openAPIV3Schema.additionalProperties: Forbidden: must not be used at the root
        spec.versions: Invalid value: [{"Name":"v1","Served":false,"Storage":false,"Deprecated":false,"DeprecationWarning":null,"Schema":{"OpenAPIV3Schema":{"ID":"","Schema":"","Ref":null,"Description":"","Type":"object","Nullable":false,"Format":"","Title":"","Default":null,"Maximum":null,"ExclusiveMaximum":false,"Minimum":null,"ExclusiveMinimum":false,"MaxLength":null,"MinLength":null,"Pattern":"","MaxItems":null,"MinItems":null,"UniqueItems":false,"MultipleOf":null,"Enum":null,"MaxProperties":null,"MinProperties":null,"Required":null,"Items":null,"AllOf":null,"OneOf":null,"AnyOf":null,"Not":null,"Properties":{"a":{"ID":"","Schema":"","Ref":null,"Description":"","Type":"string","Nullable":false,"Format":"","Title":"","Default":null,"Maximum":null,"ExclusiveMaximum":false,"Minimum":null,"ExclusiveMinimum":false,"MaxLength":null,"MinLength":null,"Pattern":"","MaxItems":null,"MinItems":null,"UniqueItems":false,"MultipleOf":null,"Enum":null,"MaxProperties":null,"MinProperties":null,"Required":null,"Items":null,"AllOf":null,"OneOf":null,"AnyOf":null,"Not":null,"Properties":null,"AdditionalProperties":null,"PatternProperties":null,"Dependencies":null,"AdditionalItems":null,"Definitions":null,"ExternalDocs":null,"Example":null,"XPreserveUnknownFields":null,"XEmbeddedResource":false,"XIntOrString":false,"XListMapKeys":null,"XListType":null,"XMapType":null,"XValidations":null}},"AdditionalProperties":null,"PatternProperties":null,"Dependencies":null,"AdditionalItems":null,"Definitions":null,"ExternalDocs":null,"Example":null,"XPreserveUnknownFields":null,"XEmbeddedResource":false,"XIntOrString":false,"XListMapKeys":null,"XListType":null,"XMapType":null,"XValidations":null}},"Subresources":null,"AdditionalPrinterColumns":null,"SelectableFields":null},{"Name":"v2","Served":false,"Storage":false,"Deprecated":false,"DeprecationWarning":null,"Schema":{"OpenAPIV3Schema":{"ID":"","Schema":"","Ref":null,"Description":"","Type":"object","Nullable":false,"Format":"","Title":"","Default":null,"Maximum":null,"ExclusiveMaximum":false,"Minimum":null,"ExclusiveMinimum":false,"MaxLength":null,"MinLength":null,"Pattern":"","MaxItems":null,"MinItems":null,"UniqueItems":false,"MultipleOf":null,"Enum":null,"MaxProperties":1,"MinProperties":null,"Required":null,"Items":{"Schema":{"ID":"","Schema":"","Ref":null,"Description":"","Type":"string","Nullable":false,"Format":"","Title":"","Default":null,"Maximum":null,"ExclusiveMaximum":false,"Minimum":null,"ExclusiveMinimum":false,"MaxLength":null,"MinLength":null,"Pattern":"","MaxItems":null,"MinItems":null,"UniqueItems":false,"MultipleOf":null,"Enum":null,"MaxProperties":null,"MinProperties":null,"Required":null,"Items":null,"AllOf":null,"OneOf":null,"AnyOf":null,"Not":null,"Properties":null,"AdditionalProperties":null,"PatternProperties":null,"Dependencies":null,"AdditionalItems":null,"Definitions":null,"ExternalDocs":null,"Example":null,"XPreserveUnknownFields":null,"XEmbeddedResource":false,"XIntOrString":false,"XListMapKeys":null,"XListType":null,"XMapType":null,"XValidations":null},"JSONSchemas":null},"AllOf":null,"OneOf":null,"AnyOf":null,"Not":null,"Properties":null,"AdditionalProperties":{"Allows":true,"Schema":null},"PatternProperties":null,"Dependencies":null,"AdditionalItems":null,"Definitions":null,"ExternalDocs":null,"Example":null,"XPreserveUnknownFields":null,"XEmbeddedResource":false,"XIntOrString":false,"XListMapKeys":null,"XListType":null,"XMapType":null,"XValidations":null}},"Subresources":null,"AdditionalPrinterColumns":null,"SelectableFields":null}]: must have exactly one version marked as storage version
        status.storedVersions: Invalid value: null: must have at least one stored version
        spec.versions[0].schema.openAPIV3Schema: Required value
        spec.selectableFields: Invalid value: "": may only be set when validations.schema is included
        spec.selectableFields[0].jsonPath: Invalid value: "a": is an invalid path: expected [ or . but got: a
        spec.selectableFields[2].jsonPath: Duplicate value: ".a"
        spec.selectableFields[3].jsonPath: Invalid value: ".a[0]": is an invalid path: array notation is not allowed
        spec.selectableFields[4].jsonPath: Invalid value: ".": is an invalid path: unexpected end of JSON path
        spec.selectableFields[5].jsonPath: Invalid value: ".b": is an invalid path: does not refer to a valid field
        spec.validation.openAPIV3Schema: Invalid value: {"ID":"","Schema":"","Ref":null,"Description":"","Type":"object","Nullable":false,"Format":"","Title":"","Default":null,"Maximum":null,"ExclusiveMaximum":false,"Minimum":null,"ExclusiveMinimum":false,"MaxLength":null,"MinLength":null,"Pattern":"","MaxItems":null,"MinItems":null,"UniqueItems":false,"MultipleOf":null,"Enum":null,"MaxProperties":null,"MinProperties":null,"Required":null,"Items":null,"AllOf":null,"OneOf":null,"AnyOf":[{"ID":"","Schema":"","Ref":null,"Description":"","Type":"","Nullable":false,"Format":"","Title":"","Default":null,"Maximum":null,"ExclusiveMaximum":false,"Minimum":null,"ExclusiveMinimum":false,"MaxLength":null,"MinLength":null,"Pattern":"","MaxItems":null,"MinItems":null,"UniqueItems":false,"MultipleOf":null,"Enum":null,"MaxProperties":null,"MinProperties":null,"Required":["a"],"Items":null,"AllOf":null,"OneOf":null,"AnyOf":null,"Not":null,"Properties":null,"AdditionalProperties":null,"PatternProperties":null,"Dependencies":null,"AdditionalItems":null,"Definitions":null,"ExternalDocs":null,"Example":null,"XPreserveUnknownFields":null,"XEmbeddedResource":false,"XIntOrString":false,"XListMapKeys":null,"XListType":null,"XMapType":null,"XValidations":null}],"Not":null,"Properties":null,"AdditionalProperties":null,"PatternProperties":null,"Dependencies":null,"AdditionalItems":null,"Definitions":null,"ExternalDocs":null,"Example":null,"XPreserveUnknownFields":true,"XEmbeddedResource":false,"XIntOrString":false,"XListMapKeys":null,"XListType":null,"XMapType":null,"XValidations":null}: only [Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields XValidations] fields are allowed at the root of the schema if the status subresource is enabled
        spec.validation.openAPIV3Schema.type: Invalid value: "string": only "object" is allowed as the type at the root of the schema if the status subresource is enabled
        spec.validation.openAPIV3Schema.type: Invalid value: "string": must be object at the root
        spec.validation.openAPIV3Schema.properties[a].pattern: Invalid value: "(?!a)": must be a valid regular expression, but isn't: error parsing regexp: invalid or unsupported Perl syntax: `(?!`
        spec.validation.openAPIV3Schema.properties[b].type: Unsupported value: "foo": supported values: "array", "boolean", "integer", "number", "object", "string"
        spec.validation.openAPIV3Schema.properties[d].x-kubernetes-list-type: Unsupported value: "a": supported values: "atomic", "set", "map""#]],
    );
}

#[test]
fn names_of_definitions_that_change() {
    let strategy = of("apiextensions.k8s.io/customresourcedefinitions");
    let version = "versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]";
    let of_spec = |spec: &str| yaml(&format!("{{metadata: {{name: knobs.example.com}}, spec: {{{spec}, {version}}}}}"));
    let mut old = of_spec("group: example.com, scope: Cluster, names: {plural: knobs, kind: Knob}");
    strategy.default(&mut old);
    strategy.prepare_for_create(&mut old, &context(""));
    let changed = |spec: &str, old: &Value| {
        let mut new = of_spec(spec);
        strategy.default(&mut new);
        strategy.prepare_for_update(&mut new, old, &context(""));
        lines(&strategy.validate_changed(&new, old, &context(""), &mut Vec::new()))
    };
    let plural = "group: k8s.io, scope: Cluster, names: {plural: others, kind: Knob, shortNames: ['']}";
    let kind = "group: example.com, scope: Cluster, names: {plural: knobs, kind: Other}";
    let mut told = vec![changed(plural, &old), changed(kind, &old)];
    old["status"]["conditions"] = serde_json::json!([{"type": "Established", "status": "True"}]);
    told.extend([changed(kind, &old), changed("names: {}", &old)]);
    expect![[r#"
        spec.names.shortNames[0]: Invalid value: "": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')
        spec.group: Invalid value: "k8s.io": field is immutable
        spec.names.plural: Invalid value: "others": field is immutable
        ok
        spec.names.kind: Invalid value: "Other": field is immutable
        spec.group: Required value
        spec.scope: Required value
        spec.names.plural: Required value
        spec.names.singular: Required value
        spec.names.kind: Required value
        spec.names.listKind: Required value
        spec.group: Invalid value: "": field is immutable
        spec.names.plural: Invalid value: "": field is immutable
        spec.scope: Invalid value: "": field is immutable
        spec.names.kind: Invalid value: "": field is immutable"#]].assert_eq(&told.join("\n"));
}
