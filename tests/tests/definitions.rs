//! Kinds that users define, as a tour with the stock client.

use portolan_tests::{Cluster, Shell, Steps};

const TABS: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: crontabs.stable.example.com}
spec:
  group: stable.example.com
  scope: Namespaced
  names: {plural: crontabs, kind: CronTab, shortNames: [ct], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    selectableFields: [{jsonPath: .spec.color}]
    additionalPrinterColumns:
    - {name: Spec, type: string, jsonPath: .spec.cronSpec}
    - {name: Replicas, type: integer, jsonPath: .spec.replicas}
    - {name: Ready, type: string, jsonPath: '.status.conditions[?(@.type=="Ready")].status'}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    subresources:
      status: {}
      scale:
        specReplicasPath: .spec.replicas
        statusReplicasPath: .status.replicas
        labelSelectorPath: .status.labelSelector
    schema:
      openAPIV3Schema:
        type: object
        description: Work at fixed times
        properties:
          spec:
            type: object
            description: What is wanted
            required: [cronSpec]
            x-kubernetes-validations:
            - {rule: '!has(self.min) || self.min <= self.replicas', message: min must not exceed replicas}
            - {rule: self.cronSpec == oldSelf.cronSpec, message: cronSpec is immutable}
            properties:
              cronSpec: {type: string, pattern: '^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$', description: When}
              image: {type: string, maxLength: 10}
              replicas: {type: integer, minimum: 1, maximum: 10, default: 2}
              min: {type: integer}
              color: {type: string, enum: [red, blue]}
              free: {type: object, x-kubernetes-preserve-unknown-fields: true}
              steps:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items:
                  type: object
                  required: [name]
                  properties: {name: {type: string}, value: {type: string, default: none}}
          status:
            type: object
            x-kubernetes-preserve-unknown-fields: true
            properties: {replicas: {type: integer}, labelSelector: {type: string}}
"#;

const TAB: &str = r#"
apiVersion: stable.example.com/v1
kind: CronTab
metadata: {name: one}
spec: {cronSpec: '* * * * */5', color: red, steps: [{name: a}], free: {any: {depth: 1}}}
"#;

const VERSIONS: &str = r"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: knobs.stable.example.com}
spec:
  group: stable.example.com
  scope: Cluster
  names: {plural: knobs, kind: Knob}
  versions:
  - name: v1beta1
    served: true
    storage: false
    deprecated: true
    schema:
      openAPIV3Schema:
        type: object
        properties: {spec: {type: object, properties: {a: {type: string}, old: {type: string, default: beta}}}}
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {a: {type: string}}}}}}
";

const WRONG: &str = r"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: wrongs.stable.example.com}
spec:
  group: stable.example.com
  scope: Namespaced
  names: {plural: wrongs, kind: Wrong}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            x-kubernetes-validations: [{rule: 'self.x =='}]
            properties: {list: {type: array, items: {type: string}}}
  - {name: v2, served: true, storage: true}
";

const THE_KIND: Steps = &[
    (
        "kubectl apply -f tabs.yaml",
        &["customresourcedefinition.apiextensions.k8s.io/crontabs.stable.example.com created"],
    ),
    ("kubectl wait crd/crontabs.stable.example.com --for=condition=Established --timeout=10s", &["condition met"]),
    ("kubectl get crd", &["crontabs.stable.example.com"]),
    ("kubectl api-resources --api-group=stable.example.com", &["crontabs", "ct", "CronTab", "true"]),
    ("kubectl explain ct", &["CronTab", "Work at fixed times", "metadata"]),
    ("kubectl explain ct.spec --recursive", &["cronSpec", "-required-", "steps", "value"]),
    ("kubectl apply -f tab.yaml", &["crontab.stable.example.com/one created"]),
    // The client sees the default in the list and sends the list again; to the server nothing changes.
    ("kubectl apply -f tab.yaml", &["crontab.stable.example.com/one configured"]),
    ("kubectl get ct one -o jsonpath='generation={.metadata.generation}'", &["generation=1"]),
    ("kubectl get ct", &["SPEC", "REPLICAS", "READY", "AGE", "* * * * */5", "2"]),
    ("kubectl get all", &["crontab.stable.example.com/one"]),
    ("kubectl get ct one -o jsonpath='{.spec.steps[0].value} {.spec.free.any.depth}'", &["none 1"]),
    ("kubectl describe ct one", &["Cron Spec:", "Kind:", "CronTab"]),
    ("kubectl get ct --field-selector spec.color=red -o name", &["crontab.stable.example.com/one"]),
    ("kubectl get ct --field-selector spec.color=blue", &["No resources found"]),
    ("! kubectl get ct --field-selector spec.image=x", &["field label not supported: spec.image"]),
    ("kubectl scale ct one --replicas=5", &["scaled"]),
    ("kubectl get ct one -o jsonpath='{.spec.replicas} {.metadata.generation}'", &["5 2"]),
    (
        "kubectl patch ct one --subresource=status --type=merge -p '{\"status\":{\"replicas\":4,\"labelSelector\":\"a=b\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]},\"spec\":{\"replicas\":9}}'",
        &["patched"],
    ),
    ("kubectl get ct one -o jsonpath='{.spec.replicas} {.metadata.generation}'", &["5 2"]),
    ("kubectl get ct one", &["True"]),
    (
        "kubectl get --raw /apis/stable.example.com/v1/namespaces/default/crontabs/one/scale",
        &["\"replicas\":5", "\"replicas\":4", "\"selector\":\"a=b\""],
    ),
    (
        "! kubectl patch ct one --type=merge -p '{\"spec\":{\"replicas\":20,\"image\":\"waytoolongname\",\"color\":\"green\"}}'",
        &[
            "The CronTab \"one\" is invalid",
            "spec.color: Unsupported value: \"green\": supported values: \"red\", \"blue\"",
            "spec.image: Too long: may not be more than 10 bytes",
            "spec.replicas: Invalid value: 20: spec.replicas in body should be less than or equal to 10",
        ],
    ),
    (
        "! kubectl patch ct one --type=merge -p '{\"spec\":{\"min\":7}}'",
        &["spec: Invalid value: min must not exceed replicas"],
    ),
    ("! kubectl patch ct one --type=merge -p '{\"spec\":{\"cronSpec\":\"1 1 1 1 1\"}}'", &["cronSpec is immutable"]),
    (
        "! sed 's/color: red/colour: red/' tab.yaml | kubectl apply --validate=strict -f -",
        &["strict decoding error: unknown field \"spec.colour\""],
    ),
    ("sed 's/name: one/name: two/' tab.yaml | kubectl apply --server-side -f -", &["serverside-applied"]),
    (
        "! sed 's/name: one/name: two/; s/color: red/color: blue/' tab.yaml | kubectl apply --server-side --field-manager=other -f -",
        &["conflict with \"kubectl\": .spec.color"],
    ),
    ("kubectl get ct two --show-managed-fields -o yaml", &["k:{\"name\":\"a\"}", "f:any"]),
    ("EDITOR='sed -i s/depth:.1/depth:\\ 2/' kubectl edit ct one", &["edited"]),
    ("kubectl delete ct two", &["deleted"]),
];

const VERSIONS_AND_NAMES: Steps = &[
    ("! kubectl create -f wrong.yaml", &["must have exactly one version marked as storage version"]),
    (
        "! sed '/name: v2/d' wrong.yaml | kubectl create -f -",
        &["x-kubernetes-validations[0].rule: Invalid value", "compilation failed: ERROR: <input>:1:10: Syntax error"],
    ),
    ("kubectl apply -f knobs.yaml", &["created"]),
    (
        "printf 'apiVersion: stable.example.com/v1beta1\\nkind: Knob\\nmetadata: {name: k}\\nspec: {a: x, old: q}' | kubectl apply -f -",
        &["Warning: stable.example.com/v1beta1 Knob is deprecated; use stable.example.com/v1 Knob", "created"],
    ),
    (
        "kubectl get knobs.v1.stable.example.com k -o jsonpath='{.apiVersion} {.spec}'",
        &["stable.example.com/v1 {\"a\":\"x\"}"],
    ),
    ("kubectl get knobs.v1beta1.stable.example.com k -o jsonpath='{.spec.old}'", &["beta"]),
    (
        "sed 's/: {a: {type: string}}}}}}/: {a: {type: string}, extra: {type: integer, default: 7}}}}}}/' knobs.yaml | kubectl apply -f -",
        &["configured"],
    ),
    ("kubectl get knob k -o jsonpath='{.spec.extra}'", &["7"]),
    ("sed 's/knobs/dials/; s/plural: knobs/plural: dials/' knobs.yaml | kubectl apply -f -", &["created"]),
    (
        "kubectl get crd dials.stable.example.com -o jsonpath='{.status.conditions[*].reason}: {.status.conditions[*].message}'",
        &["ListKindConflict NotAccepted", "\"KnobList\" is already in use"],
    ),
];

const THE_END: Steps = &[
    ("kubectl create namespace short", &["created"]),
    ("kubectl apply -n short -f tab.yaml", &["created"]),
    ("kubectl delete namespace short --timeout=60s", &["deleted"]),
    ("kubectl delete crd knobs.stable.example.com --timeout=60s", &["deleted"]),
    ("kubectl wait crd/dials.stable.example.com --for=condition=Established --timeout=30s", &["condition met"]),
    ("kubectl delete crd crontabs.stable.example.com --timeout=60s", &["deleted"]),
    ("! kubectl get ct", &["the server could not find the requested resource"]),
    ("kubectl apply -f tabs.yaml", &["created"]),
    ("kubectl get ct", &["No resources found"]),
];

#[test]
fn users_bring_kinds_of_their_own() {
    let cluster = Cluster::start().expect("started");
    let files = [("tabs.yaml", TABS), ("tab.yaml", TAB), ("knobs.yaml", VERSIONS), ("wrong.yaml", WRONG)];
    let shell = Shell::new(&cluster, &files).expect("a shell");
    for steps in [THE_KIND, VERSIONS_AND_NAMES, THE_END] {
        for (line, words) in steps {
            shell.check(line, words).unwrap_or_else(|error| panic!("{error:#}"));
        }
    }
}
