use expect_test::expect;

use super::check_create;

#[test]
fn resources_of_a_pod_as_a_whole() {
    check_create(
        "pods",
        &[
            "{metadata: {name: a}, spec: {resources: {requests: {cpu: '2'}, limits: {cpu: '4', memory: 1Gi}}, containers: [{name: a, image: x, resources: {requests: {cpu: '2'}, limits: {cpu: '3'}}}]}}",
            "{metadata: {name: a}, spec: {resources: {requests: {cpu: '2'}}, containers: [{name: a, image: x, resources: {requests: {cpu: '1'}}}, {name: b, image: x, resources: {requests: {cpu: 1500m}}}]}}",
            "{metadata: {name: a}, spec: {resources: {limits: {cpu: '2', ephemeral-storage: 1Gi}}, containers: [{name: a, image: x, resources: {requests: {cpu: '1'}, limits: {cpu: '3'}}}]}}",
            "{metadata: {name: a}, spec: {os: {name: windows}, resources: {limits: {cpu: '2'}}, containers: [{name: a, image: x}]}}",
        ],
        expect![[r#"
            ok
            spec.resources.requests[cpu]: Invalid value: "2": must be greater than or equal to aggregate container requests of 2500m
            spec.resources.limits[ephemeral-storage]: Unsupported value: "ephemeral-storage": supported values: "cpu", "hugepages-", "memory"
            spec.resources.containers[0][cpu].limits: Invalid value: "3": must be less than or equal to pod limits of 2
            spec.resources: Forbidden: may not be set for a windows pod"#]],
    );
}

#[test]
fn pods() {
    check_create(
        "pods",
        &[
            "{metadata: {name: a}, spec: {containers: [{name: a, image: nginx}]}}",
            "{metadata: {name: a}, spec: {containers: []}}",
            "{metadata: {name: a}, spec: {containers: [{name: A_b}]}}",
            "{metadata: {name: a}, spec: {containers: [{image: x}, {name: a, image: ' x'}, {name: a, image: x}]}}",
            "{metadata: {name: a}, spec: {restartPolicy: Sometimes, dnsPolicy: None, containers: [{name: a, image: x, imagePullPolicy: Later}]}}",
            "{metadata: {name: a}, spec: {containers: [{name: a, image: x, ports: [{containerPort: 70000}, {containerPort: 80, name: a_b}, {containerPort: 81, name: p, protocol: HTTP}, {containerPort: 82, name: p}, {name: q}]}]}}",
            "{metadata: {name: a}, spec: {containers: [{name: a, image: x, ports: [{containerPort: 80, hostPort: 80}]}, {name: b, image: x, ports: [{containerPort: 81, hostPort: 80}]}]}}",
            "{metadata: {name: a}, spec: {volumes: [{name: v}, {name: v, secret: {}}, {name: w, hostPath: {path: /a/../b}, emptyDir: {sizeLimit: 1Q}}], containers: [{name: a, image: x, volumeMounts: [{name: x, mountPath: /d}, {name: v, mountPath: /d, subPath: ../x}]}]}}",
            "{metadata: {name: a}, spec: {containers: [{name: a, image: x, resources: {requests: {cpu: '2', memory: 1X, foo: 1}, limits: {cpu: '1', memory: -1}}}]}}",
            "{metadata: {name: a}, spec: {containers: [{name: a, image: x, env: [{name: 'a=b'}, {name: A, value: x, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}, {name: B, valueFrom: {}}, {name: C, valueFrom: {fieldRef: {fieldPath: status.phase}}}, {name: D, valueFrom: {secretKeyRef: {key: a/b}}}]}]}}",
            "{metadata: {name: a}, spec: {containers: [{name: a, image: x, livenessProbe: {successThreshold: 2, periodSeconds: -1}, readinessProbe: {tcpSocket: {port: 0}, exec: {command: [a]}}, startupProbe: {httpGet: {port: http!}}, lifecycle: {preStop: {}}}]}}",
            "{metadata: {name: a}, spec: {initContainers: [{name: a, image: x, livenessProbe: {tcpSocket: {port: 1}}}], containers: [{name: a, image: x}]}}",
            "{metadata: {name: a}, spec: {nodeSelector: {'a b': 'c d'}, tolerations: [{value: x}, {key: k, operator: Exists, value: v}], containers: [{name: a, image: x}]}}",
            "{metadata: {name: a}, spec: {activeDeadlineSeconds: 0, terminationGracePeriodSeconds: -1, hostPID: true, shareProcessNamespace: true, securityContext: {runAsUser: -1}, containers: [{name: a, image: x, securityContext: {privileged: true, allowPrivilegeEscalation: false}}]}}",
        ],
        expect![[r#"
            ok
            spec.containers: Required value
            spec.containers[0].name: Invalid value: "A_b": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
            spec.containers[0].image: Required value
            spec.containers[0].name: Required value
            spec.containers[2].name: Duplicate value: "a"
            spec.containers[1].image: Invalid value: " x": must not have leading or trailing whitespace
            spec.containers[0].imagePullPolicy: Unsupported value: "Later": supported values: "Always", "IfNotPresent", "Never"
            spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"
            spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None
            spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive
            spec.containers[0].ports[1].name: Invalid value: "a_b": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)
            spec.containers[0].ports[2].protocol: Unsupported value: "HTTP": supported values: "SCTP", "TCP", "UDP"
            spec.containers[0].ports[3].name: Duplicate value: "p"
            spec.containers[0].ports[4].containerPort: Required value
            spec.containers[1].ports[0].hostPort: Duplicate value: "TCP//80"
            spec.volumes[1].name: Duplicate value: "v"
            spec.volumes[1].secret.secretName: Required value
            spec.volumes[2].emptyDir.sizeLimit: Invalid value: "1Q": quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'
            spec.volumes[2].hostPath: Forbidden: may not specify more than 1 volume type
            spec.containers[0].volumeMounts[0].name: Not found: "x"
            spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/d": must be unique
            spec.containers[0].volumeMounts[1].subPath: Invalid value: "../x": must not contain '..'
            spec.containers[0].resources.limits[memory]: Invalid value: "-1": must be greater than or equal to 0
            spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1
            spec.containers[0].resources.requests[foo]: Invalid value: "foo": must be a standard resource for containers
            spec.containers[0].resources.requests[memory]: Invalid value: "1X": quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'
            spec.containers[0].env[0].name: Invalid value: "a=b": a valid environment variable name must consist only of printable ASCII characters other than '='
            spec.containers[0].env[1].valueFrom: Invalid value: "": may not be specified when `value` is not empty
            spec.containers[0].env[2].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`
            spec.containers[0].env[3].valueFrom.fieldRef.fieldPath: Unsupported value: "status.phase": supported values: "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"
            spec.containers[0].env[4].valueFrom.secretKeyRef.name: Required value
            spec.containers[0].env[4].valueFrom.secretKeyRef.key: Invalid value: "a/b": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')
            spec.containers[0].lifecycle.preStop: Required value: must specify a handler type
            spec.containers[0].livenessProbe: Required value: must specify a handler type
            spec.containers[0].livenessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0
            spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1
            spec.containers[0].readinessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type
            spec.containers[0].startupProbe.httpGet.port: Invalid value: "http!": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)
            spec.initContainers[0].name: Duplicate value: "a"
            spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always
            spec.nodeSelector: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
            spec.nodeSelector: Invalid value: "c d": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
            spec.tolerations[0].operator: Invalid value: "": operator must be Exists when `key` is empty, which means "match all values and all keys"
            spec.tolerations[1].operator: Invalid value: "v": value must be empty when `operator` is 'Exists'
            spec.containers[0].securityContext: Invalid value: {"Capabilities":null,"Privileged":true,"SELinuxOptions":null,"WindowsOptions":null,"RunAsUser":null,"RunAsGroup":null,"RunAsNonRoot":null,"ReadOnlyRootFilesystem":null,"AllowPrivilegeEscalation":false,"ProcMount":null,"SeccompProfile":null,"AppArmorProfile":null}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true
            spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive
            spec.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled
            spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"#]],
    );
}

#[test]
fn parts_of_pods_that_few_use() {
    let wrap = |spec: &str| format!("{{metadata: {{name: a}}, spec: {{containers: [{{name: a, image: x}}], {spec}}}}}");
    let cases = [
        "schedulingGates: [{name: a/b}, {name: a/b}, {name: ''}], nodeName: n",
        "readinessGates: [{conditionType: 'a b'}], overhead: {cpu: -1}",
        "resourceClaims: [{name: a}, {name: a, resourceClaimName: x, resourceClaimTemplateName: y}]",
        "securityContext: {sysctls: [{name: kernel.shm_rmid_forced}, {name: kernel.shm_rmid_forced}, {name: A}, {}]}",
        "ephemeralContainers: [{name: a, image: x, ports: [{containerPort: 80}], targetContainerName: z}]",
        "topologySpreadConstraints: [{maxSkew: 1, topologyKey: z, whenUnsatisfiable: ScheduleAnyway, minDomains: 0, nodeAffinityPolicy: X, matchLabelKeys: [a]}, {maxSkew: 1, topologyKey: z, whenUnsatisfiable: ScheduleAnyway}]",
        "volumes: [{name: v, emptyDir: {}}], initContainers: [{name: i, image: x, volumeMounts: [{name: v, mountPath: /v, mountPropagation: Bidirectional}], volumeDevices: [{name: v, devicePath: /d}, {name: w, devicePath: /d}]}]",
    ];
    let objects: Vec<String> = cases.iter().map(|spec| wrap(spec)).collect();
    check_create(
        "pods",
        &objects.iter().map(String::as_str).collect::<Vec<_>>(),
        expect![[r#"
            spec.schedulingGates[1]: Duplicate value: "a/b"
            spec.schedulingGates[2]: Invalid value: "": name part must be non-empty
            spec.schedulingGates[2]: Invalid value: "": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
            spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared
            spec.readinessGates[0].conditionType: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
            spec.overhead[cpu]: Invalid value: "-1": must be greater than or equal to 0
            spec.resourceClaims[0]: Invalid value: {"Name":"a","ResourceClaimName":null,"ResourceClaimTemplateName":null}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`
            spec.resourceClaims[1].name: Duplicate value: "a"
            spec.resourceClaims[1]: Invalid value: {"Name":"a","ResourceClaimName":"x","ResourceClaimTemplateName":"y"}: at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified
            spec.securityContext.sysctls[1].name: Duplicate value: "kernel.shm_rmid_forced"
            spec.securityContext.sysctls[2].name: Invalid value: "A": must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$
            spec.securityContext.sysctls[3].name: Required value
            spec.ephemeralContainers[0].name: Duplicate value: "a"
            spec.ephemeralContainers[0].targetContainerName: Not found: "z"
            spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container
            spec.topologySpreadConstraints[0].minDomains: Invalid value: 0: must be greater than zero
            spec.topologySpreadConstraints[0].minDomains: Invalid value: 0: can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway
            spec.topologySpreadConstraints[0].nodeAffinityPolicy: Unsupported value: "X": supported values: "Honor", "Ignore"
            spec.topologySpreadConstraints[0].matchLabelKeys: Forbidden: must not be specified when labelSelector is not set
            spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: Duplicate value: "{z, ScheduleAnyway}"
            spec.initContainers[0].volumeMounts[0].mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged containers
            spec.initContainers[0].volumeMounts[0].name: Invalid value: "v": must not already exist in volumeDevices
            spec.initContainers[0].volumeDevices[0].name: Invalid value: "v": can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode
            spec.initContainers[0].volumeDevices[0].name: Invalid value: "v": must not already exist in volumeMounts
            spec.initContainers[0].volumeDevices[1].name: Not found: "w"
            spec.initContainers[0].volumeDevices[1].devicePath: Invalid value: "/d": must be unique"#]],
    );
}

#[test]
fn deployments() {
    check_create(
        "apps/deployments",
        &[
            "{spec: {selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: a}}, spec: {containers: [{name: a, image: x}]}}}}",
            "{spec: {selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: b}}, spec: {containers: [{name: a, image: x}]}}}}",
            "{spec: {template: {metadata: {labels: {app: b}}, spec: {restartPolicy: Never, containers: [{name: a, image: x}]}}}}",
            "{spec: {replicas: -1, selector: {}, template: {spec: {containers: [{name: a}]}}}}",
            "{spec: {selector: {matchLabels: {app: a}}, strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0}}, template: {metadata: {labels: {app: a}}, spec: {containers: [{name: a, image: x}]}}}}",
            "{spec: {selector: {matchLabels: {app: a}}, strategy: {type: Recreate, rollingUpdate: {}}, template: {metadata: {labels: {app: a}}, spec: {containers: [{name: a, image: x}]}}}}",
            "{spec: {selector: {matchLabels: {app: a}}, progressDeadlineSeconds: 5, minReadySeconds: 5, strategy: {type: Now}, template: {metadata: {labels: {app: a}}, spec: {containers: [{name: a, image: x}]}}}}",
            "{spec: {selector: {matchExpressions: [{key: app, operator: In}]}, strategy: {rollingUpdate: {maxSurge: x, maxUnavailable: 101%}}, template: {metadata: {labels: {app: a}}, spec: {containers: [{name: a, image: x}]}}}}",
        ],
        expect![[r#"
            ok
            spec.template.metadata.labels: Invalid value: {"app":"b"}: `selector` does not match template `labels`
            spec.selector: Required value
            spec.template.metadata.labels: Invalid value: {"app":"b"}: `selector` does not match template `labels`
            spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"
            spec.replicas: Invalid value: -1: must be greater than or equal to 0
            spec.selector: Invalid value: {}: empty selector is invalid for deployment
            spec.template.spec.containers[0].image: Required value
            spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0
            spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'
            spec.strategy: Unsupported value: {"Type":"Now","RollingUpdate":null}: supported values: "Recreate", "RollingUpdate"
            spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds
            spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'
            spec.selector: Invalid value: {"matchExpressions":[{"key":"app","operator":"In"}]}: invalid label selector
            spec.strategy.rollingUpdate.maxSurge: Invalid value: "x": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')
            spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%"#]],
    );
}

#[test]
fn services() {
    check_create(
        "services",
        &[
            "{spec: {ports: [{port: 80}]}}",
            "{spec: {}}",
            "{spec: {clusterIP: None}}",
            "{spec: {ports: [{port: 80}, {port: 81}]}}",
            "{spec: {ports: [{port: 0, name: a}, {port: 70000, name: a, targetPort: Not_A_Name}]}}",
            "{spec: {ports: [{port: 80, name: a}, {port: 80, name: b, nodePort: 30000}]}}",
            "{spec: {type: ExternalName}}",
            "{spec: {type: Anything, ports: [{port: 80}]}}",
            "{spec: {clusterIP: 1.2.3, sessionAffinity: Cookie, ports: [{port: 80, protocol: HTTP}]}}",
            "{spec: {type: NodePort, clusterIP: None, ports: [{port: 80}]}}",
            "{spec: {externalTrafficPolicy: Local, loadBalancerSourceRanges: [10.0.0.0/8], ports: [{port: 80}]}}",
            "{spec: {sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 100000}}, ports: [{port: 80}]}}",
        ],
        expect![[r#"
            ok
            spec.ports: Required value
            ok
            spec.ports[0].name: Required value
            spec.ports[1].name: Required value
            spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive
            spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive
            spec.ports[1].name: Duplicate value: "a"
            spec.ports[1].port: Invalid value: 70000: must be between 1 and 65535, inclusive
            spec.ports[1].targetPort: Invalid value: "Not_A_Name": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)
            spec.ports[1].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'
            spec.ports[1]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,"TargetPort":0,"NodePort":0}
            spec.externalName: Required value
            spec.type: Unsupported value: "Anything": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"
            spec.ports[0].protocol: Unsupported value: "HTTP": supported values: "SCTP", "TCP", "UDP"
            spec.sessionAffinity: Unsupported value: "Cookie": supported values: "ClientIP", "None"
            spec.clusterIPs[0]: Invalid value: "1.2.3": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)
            spec.clusterIPs[0]: Invalid value: "None": may not be set to 'None' for NodePort services
            spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'
            spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services
            spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 100000: must be greater than 0 and less than 86400"#]],
    );
}

#[test]
fn config() {
    check_create(
        "configmaps",
        &["{data: {a: x, a/b: y}}", "{data: {a: x}, binaryData: {a: eA==, b: '?'}}"],
        expect![[r#"
            data[a/b]: Invalid value: "a/b": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')
            data[a]: Invalid value: "a": duplicate of key present in binaryData
            binaryData[b]: Invalid value: "?": illegal base64 data"#]],
    );
    check_create(
        "secrets",
        &[
            "{stringData: {a: x}}",
            "{type: kubernetes.io/tls, data: {tls.crt: eA==}}",
            "{type: kubernetes.io/dockerconfigjson, stringData: {.dockerconfigjson: '{'}}",
            "{type: kubernetes.io/basic-auth}",
            "{data: {a: x}}",
        ],
        expect![[r#"
            ok
            data[tls.key]: Required value
            data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": unexpected end of JSON input
            data[username]: Required value
            data[password]: Required value
            data[a]: Invalid value: "x": illegal base64 data"#]],
    );
}

#[test]
fn batch() {
    check_create(
        "batch/jobs",
        &[
            "{metadata: {name: j, uid: u1}, spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: x}]}}}}",
            "{metadata: {name: j, uid: u1}, spec: {completions: -1, completionMode: Often, template: {spec: {containers: [{name: a, image: x}]}}}}",
        ],
        expect![[r#"
            ok
            spec.completions: Invalid value: -1: must be greater than or equal to 0
            spec.completionMode: Unsupported value: "Often": supported values: "NonIndexed", "Indexed"
            spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never""#]],
    );
    let cron = |schedule: &str| {
        format!(
            "{{metadata: {{name: c}}, spec: {{schedule: '{schedule}', jobTemplate: {{spec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: a, image: x}}]}}}}}}}}}}}}"
        )
    };
    let objects: Vec<String> = [
        "*/5 0-6 1,15 jan MON-fri",
        "@daily",
        "@often",
        "* * * *",
        "60 * * * *",
        "5-1 * * * *",
        "*/0 * * * *",
        "a * * * *",
        "",
    ]
    .map(cron)
    .into();
    check_create(
        "batch/cronjobs",
        &objects.iter().map(String::as_str).collect::<Vec<_>>(),
        expect![[r#"
        ok
        ok
        spec.schedule: Invalid value: "@often": unrecognized descriptor: @often
        spec.schedule: Invalid value: "* * * *": expected exactly 5 fields, found 4: [* * * *]
        spec.schedule: Invalid value: "60 * * * *": end of range (60) above maximum (59): 60
        spec.schedule: Invalid value: "5-1 * * * *": beginning of range (5) beyond end of range (1): 5-1
        spec.schedule: Invalid value: "*/0 * * * *": step of range should be a positive number: */0
        spec.schedule: Invalid value: "a * * * *": failed to parse int from a
        spec.schedule: Required value"#]],
    );
}

#[test]
fn network() {
    check_create(
        "networking.k8s.io/ingresses",
        &[
            "{spec: {rules: [{host: a.b, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: s, port: {number: 80}}}}]}}]}}",
            "{metadata: {annotations: {kubernetes.io/ingress.class: a}}, spec: {ingressClassName: b, defaultBackend: {service: {name: s, port: {number: 80}}}}}",
            "{spec: {}}",
            "{spec: {rules: [{host: 1.2.3.4, http: {paths: [{path: a, pathType: Exact, backend: {}}, {path: /, backend: {service: {name: s, port: {}}}}]}}]}}",
        ],
        expect![[r#"
            ok
            annotations.kubernetes.io/ingress.class: Invalid value: "a": must match `ingressClassName` when both are specified
            spec: Invalid value: null: either `defaultBackend` or `rules` must be specified
            spec.rules[0].host: Invalid value: "1.2.3.4": must be a DNS name, not an IP address
            spec.rules[0].http.paths[0].path: Invalid value: "a": must be an absolute path
            spec.rules[0].http.paths[0].backend: Invalid value: "": resource or service backend is required
            spec.rules[0].http.paths[1].pathType: Required value: pathType must be specified"#]],
    );
    check_create(
        "networking.k8s.io/networkpolicies",
        &[
            "{spec: {podSelector: {}, egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}}",
            "{spec: {podSelector: {}, ingress: [{from: [{}, {ipBlock: {cidr: x}, podSelector: {}}], ports: [{port: 0}, {port: 90, endPort: 80}]}]}}",
        ],
        expect![[r#"
            ok
            spec.ingress[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive
            spec.ingress[0].ports[1].endPort: Invalid value: 90: must be greater than or equal to `port`
            spec.ingress[0].from[0]: Required value: must specify a peer
            spec.ingress[0].from[1]: Forbidden: may not specify both ipBlock and another peer
            spec.ingress[0].from[1].ipBlock.cidr: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"#]],
    );
    check_create(
        "discovery.k8s.io/endpointslices",
        &[
            "{addressType: IPv4, endpoints: [{addresses: [10.0.0.1]}], ports: [{port: 80}]}",
            "{addressType: IPv4, endpoints: [{addresses: [x]}, {addresses: []}], ports: [{port: 0}, {}]}",
            "{}",
        ],
        expect![[r#"
            ok
            endpoints[0].addresses[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)
            endpoints[1].addresses: Required value: must contain at least 1 address
            ports[1].name: Duplicate value: ""
            addressType: Required value"#]],
    );
}

#[test]
fn the_rest() {
    check_create(
        "rbac.authorization.k8s.io/roles",
        &[
            "{rules: [{verbs: [get], apiGroups: [''], resources: [pods]}]}",
            "{rules: [{}, {verbs: [get], nonResourceURLs: [/x]}]}",
        ],
        expect![[r#"
            ok
            rules[0].verbs: Required value: verbs must contain at least one value
            rules[0].apiGroups: Required value: resource rules must supply at least one api group
            rules[0].resources: Required value: resource rules must supply at least one resource
            rules[1].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs"#]],
    );
    check_create(
        "rbac.authorization.k8s.io/clusterrolebindings",
        &[
            "{roleRef: {kind: ClusterRole, name: a}, subjects: [{kind: User, name: u}]}",
            "{roleRef: {kind: Role}, subjects: [{kind: Robot, name: u}, {kind: ServiceAccount, name: s}]}",
        ],
        expect![[r#"
            ok
            roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"
            roleRef.name: Required value
            subjects[0].kind: Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"
            subjects[1].namespace: Required value"#]],
    );
    check_create(
        "persistentvolumeclaims",
        &["{spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}", "{spec: {}}"],
        expect![[r#"
            ok
            spec.accessModes: Required value: at least 1 access mode is required
            spec.resources[storage]: Required value"#]],
    );
    check_create(
        "persistentvolumes",
        &[
            "{spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /x}}}",
            "{spec: {accessModes: [Any]}}",
        ],
        expect![[r#"
            ok
            spec.accessModes: Unsupported value: "Any": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"
            spec.capacity: Required value
            spec.capacity: Unsupported value: null: supported values: "storage"
            spec: Required value: must specify a volume type"#]],
    );
    check_create(
        "policy/poddisruptionbudgets",
        &["{spec: {minAvailable: 1}}", "{spec: {minAvailable: 101%, maxUnavailable: -1}}"],
        expect![[r#"
        ok
        spec: Invalid value: {"maxUnavailable":-1,"minAvailable":"101%"}: minAvailable and maxUnavailable cannot be both set
        spec.minAvailable: Invalid value: "101%": must not be greater than 100%
        spec.maxUnavailable: Invalid value: -1: must be greater than or equal to 0"#]],
    );
    check_create(
        "autoscaling/horizontalpodautoscalers",
        &[
            "{spec: {maxReplicas: 3, scaleTargetRef: {kind: Deployment, name: a}}}",
            "{spec: {minReplicas: 3, maxReplicas: 2, scaleTargetRef: {kind: Deployment}, metrics: [{type: Resource}]}}",
        ],
        expect![[r#"
            spec.scaleTargetRef.apiVersion: Invalid value: "": apiVersion must specify API group
            spec.maxReplicas: Invalid value: 2: must be greater than or equal to `minReplicas`
            spec.scaleTargetRef.name: Required value
            spec.scaleTargetRef.apiVersion: Invalid value: "": apiVersion must specify API group
            spec.metrics[0].resource: Required value: must populate information for the given metric source"#]],
    );
    check_create(
        "apps/statefulsets",
        &[
            "{spec: {selector: {matchLabels: {a: b}}, volumeClaimTemplates: [{metadata: {name: d}}], template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: x, volumeMounts: [{name: d, mountPath: /d}]}]}}}}",
        ],
        expect![[r#"
            spec.volumeClaimTemplates[0].spec.accessModes: Required value: at least 1 access mode is required
            spec.volumeClaimTemplates[0].spec.resources[storage]: Required value"#]],
    );
    check_create(
        "nodes",
        &[
            "{spec: {taints: [{key: a, effect: NoSchedule}, {key: a, effect: NoSchedule}, {effect: Never}], podCIDRs: [x]}}",
        ],
        expect![[r#"
            metadata.taints[1]: Duplicate value: {"Key":"a","Value":"","Effect":"NoSchedule","TimeAdded":null}: taints must be unique by key and effect pair
            metadata.taints[2].key: Invalid value: "": name part must be non-empty
            metadata.taints[2].key: Invalid value: "": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
            metadata.taints[2].effect: Unsupported value: "Never": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"
            spec.podCIDRs[0]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"#]],
    );
    check_create(
        "namespaces",
        &["{metadata: {name: a}}", "{metadata: {name: a}, spec: {finalizers: [mine]}}"],
        expect![[r#"
        ok
        spec.finalizers[0]: Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified"#]],
    );
    check_create(
        "registry.portolan.dev/serviceinstances",
        &[
            "{metadata: {name: a}, spec: {service: s, address: 10.0.0.1, ports: [{port: 80}], lease: {kind: ttl, ttlSeconds: 30}}}",
            "{metadata: {name: a}, spec: {service: S_, ports: [{port: 0}, {name: b, port: 1}], lease: {kind: ttl}}, status: {health: fine}}",
            "{metadata: {name: a}, spec: {service: s, address: 10.0.0.1, lease: {kind: connection}}}",
            "{metadata: {name: a}, spec: {service: s, address: 10.0.0.1, lease: {kind: connection, ttlSeconds: 0, session: x}}}",
            "{metadata: {name: a}, spec: {service: s, address: 10.0.0.1, lease: {kind: session, ttlSeconds: 3}}}",
            "{metadata: {name: a}, spec: {service: s, address: 10.0.0.1, lease: {kind: orchestrator}}}",
        ],
        expect![[r#"
            ok
            spec.address: Required value: the IP address or host name where the instance is reached
            spec.ports[0].name: Required value
            spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive
            spec.lease.ttlSeconds: Required value: must be specified when `kind` is 'ttl'
            status.health: Unsupported value: "fine": supported values: "critical", "passing", "warning"
            ok
            spec.lease.ttlSeconds: Invalid value: 0: must be greater than 0
            spec.lease.session: Forbidden: may not be specified when `kind` is not 'session'
            spec.lease.ttlSeconds: Forbidden: may not be specified when `kind` is not 'ttl' or 'connection'
            spec.lease.session: Required value: must be specified when `kind` is 'session'
            metadata.ownerReferences: Required value: must name the object with which the instance ends when `spec.lease.kind` is 'orchestrator'"#]],
    );
}
