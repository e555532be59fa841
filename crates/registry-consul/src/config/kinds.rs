//! The kinds of config entries, and what each may say.

use super::shape::Shape::{
    Duration, Fraction, Free, Given, Integer, List, Map, Nanoseconds, Object, Switch, Text, Texts, Unsigned,
};
use super::shape::{Fields, Shape};

/// Kinds that are kept, by their names.
pub(super) const KEPT: [(&str, Fields); 5] = [
    ("proxy-defaults", PROXY_DEFAULTS),
    ("service-defaults", SERVICE_DEFAULTS),
    ("service-resolver", RESOLVER),
    ("service-router", ROUTER),
    ("service-splitter", SPLITTER),
];

/// Kinds of Consul that say how its mesh, its gateways or other clusters are to work, none of which is here.
pub(super) const OTHERS: [&str; 14] = [
    "api-gateway",
    "bound-api-gateway",
    "control-plane-request-limit",
    "exported-services",
    "file-system-certificate",
    "http-route",
    "ingress-gateway",
    "inline-certificate",
    "jwt-provider",
    "mesh",
    "sameness-group",
    "service-intentions",
    "tcp-route",
    "terminating-gateway",
];

const UINT32: &Shape = &Unsigned(u32::MAX as u64);
const META: &Shape = &Map(&Text);
const MODE: &Shape = &Object(&[("Mode", &Text)]);
const FAILOVER_POLICY: &Shape = &Object(&[("Mode", &Text), ("Regions", &Texts)]);
const TRANSPARENT: &Shape = &Object(&[("OutboundListenerPort", &Integer), ("DialedDirectly", &Switch)]);
const EXPOSE: &Shape = &Object(&[
    ("Checks", &Switch),
    (
        "Paths",
        &List(&Object(&[
            ("ListenerPort", &Integer),
            ("Path", &Text),
            ("LocalPathPort", &Integer),
            ("Protocol", &Text),
            ("ParsedFromCheck", &Switch),
        ])),
    ),
]);
const EXTENSIONS: &Shape = &List(&Object(&[
    ("Name", &Text),
    ("Required", &Switch),
    ("Arguments", &Free),
    ("ConsulVersion", &Text),
    ("EnvoyVersion", &Text),
]));
const HEADERS: &Shape = &Object(&[("Add", META), ("Set", META), ("Remove", &Texts)]);

const PROXY_DEFAULTS: Fields = &[
    ("Kind", &Text),
    ("Name", &Text),
    ("Mode", &Text),
    ("TransparentProxy", TRANSPARENT),
    ("MutualTLSMode", &Text),
    ("Config", &Free),
    ("MeshGateway", MODE),
    ("Expose", EXPOSE),
    (
        "AccessLogs",
        &Object(&[
            ("Enabled", &Switch),
            ("DisableListenerLogs", &Switch),
            ("Type", &Text),
            ("Path", &Text),
            ("JSONFormat", &Text),
            ("TextFormat", &Text),
        ]),
    ),
    ("EnvoyExtensions", EXTENSIONS),
    ("FailoverPolicy", FAILOVER_POLICY),
    ("PrioritizeByLocality", MODE),
    ("Meta", META),
];

const OUTLIERS: &Shape = &Object(&[
    ("Interval", &Nanoseconds),
    ("MaxFailures", UINT32),
    ("EnforcingConsecutive5xx", &Given(UINT32)),
    ("EnforcingConsecutiveGatewayFailure", &Given(UINT32)),
    ("Consecutive5xx", &Given(UINT32)),
    ("ConsecutiveGatewayFailure", &Given(UINT32)),
    ("MaxEjectionPercent", &Given(UINT32)),
    ("BaseEjectionTime", &Given(&Nanoseconds)),
]);
const UPSTREAM: &Shape = &Object(&[
    ("Name", &Text),
    ("Peer", &Text),
    ("EnvoyListenerJSON", &Text),
    ("EnvoyClusterJSON", &Text),
    ("Protocol", &Text),
    ("ConnectTimeoutMs", &Integer),
    (
        "Limits",
        &Object(&[
            ("MaxConnections", &Given(&Integer)),
            ("MaxPendingRequests", &Given(&Integer)),
            ("MaxConcurrentRequests", &Given(&Integer)),
            ("PassiveHealthCheck", OUTLIERS),
        ]),
    ),
    ("PassiveHealthCheck", OUTLIERS),
    ("MeshGateway", MODE),
    ("BalanceOutboundConnections", &Text),
]);

const SERVICE_DEFAULTS: Fields = &[
    ("Kind", &Text),
    ("Name", &Text),
    ("Protocol", &Text),
    ("Mode", &Text),
    ("TransparentProxy", TRANSPARENT),
    ("MutualTLSMode", &Text),
    ("MeshGateway", MODE),
    ("Expose", EXPOSE),
    ("ExternalSNI", &Text),
    ("UpstreamConfig", &Object(&[("Overrides", &List(UPSTREAM)), ("Defaults", UPSTREAM)])),
    ("Destination", &Object(&[("Addresses", &Texts), ("Port", &Integer)])),
    ("MaxInboundConnections", &Integer),
    ("MaxRequestHeadersKB", &Given(UINT32)),
    ("LocalConnectTimeoutMs", &Integer),
    ("LocalRequestTimeoutMs", &Integer),
    ("BalanceInboundConnections", &Text),
    (
        "RateLimits",
        &Object(&[(
            "InstanceLevel",
            &Object(&[
                ("RequestsPerSecond", &Integer),
                ("RequestsMaxBurst", &Integer),
                (
                    "Routes",
                    &List(&Object(&[
                        ("PathExact", &Text),
                        ("PathPrefix", &Text),
                        ("PathRegex", &Text),
                        ("RequestsPerSecond", &Integer),
                        ("RequestsMaxBurst", &Integer),
                    ])),
                ),
            ]),
        )]),
    ),
    ("EnvoyExtensions", EXTENSIONS),
    ("Meta", META),
];

const RESOLVER: Fields = &[
    ("Kind", &Text),
    ("Name", &Text),
    ("DefaultSubset", &Text),
    ("Subsets", &Map(&Object(&[("Filter", &Text), ("OnlyPassing", &Switch)]))),
    (
        "Redirect",
        &Object(&[
            ("Service", &Text),
            ("ServiceSubset", &Text),
            ("Datacenter", &Text),
            ("Peer", &Text),
            ("SamenessGroup", &Text),
        ]),
    ),
    (
        "Failover",
        &Map(&Object(&[
            ("Service", &Text),
            ("ServiceSubset", &Text),
            ("Datacenters", &Texts),
            (
                "Targets",
                &List(&Object(&[("Service", &Text), ("ServiceSubset", &Text), ("Datacenter", &Text), ("Peer", &Text)])),
            ),
            ("Policy", FAILOVER_POLICY),
            ("SamenessGroup", &Text),
        ])),
    ),
    ("ConnectTimeout", &Duration),
    ("RequestTimeout", &Duration),
    ("PrioritizeByLocality", MODE),
    (
        "LoadBalancer",
        &Object(&[
            ("Policy", &Text),
            (
                "RingHashConfig",
                &Object(&[("MinimumRingSize", &Unsigned(u64::MAX)), ("MaximumRingSize", &Unsigned(u64::MAX))]),
            ),
            ("LeastRequestConfig", &Object(&[("ChoiceCount", UINT32)])),
            (
                "HashPolicies",
                &List(&Object(&[
                    ("Field", &Text),
                    ("FieldValue", &Text),
                    ("CookieConfig", &Object(&[("Session", &Switch), ("TTL", &Nanoseconds), ("Path", &Text)])),
                    ("SourceIP", &Switch),
                    ("Terminal", &Switch),
                ])),
            ),
        ]),
    ),
    ("Meta", META),
];

const MATCH: &Shape = &Object(&[
    ("PathExact", &Text),
    ("PathPrefix", &Text),
    ("PathRegex", &Text),
    ("CaseInsensitive", &Switch),
    (
        "Header",
        &List(&Object(&[
            ("Name", &Text),
            ("Present", &Switch),
            ("Exact", &Text),
            ("Prefix", &Text),
            ("Suffix", &Text),
            ("Regex", &Text),
            ("Invert", &Switch),
        ])),
    ),
    ("QueryParam", &List(&Object(&[("Name", &Text), ("Present", &Switch), ("Exact", &Text), ("Regex", &Text)]))),
    ("Methods", &Texts),
]);

const ROUTER: Fields = &[
    ("Kind", &Text),
    ("Name", &Text),
    (
        "Routes",
        &List(&Object(&[
            ("Match", &Object(&[("HTTP", MATCH)])),
            (
                "Destination",
                &Object(&[
                    ("Service", &Text),
                    ("ServiceSubset", &Text),
                    ("PrefixRewrite", &Text),
                    ("RequestTimeout", &Duration),
                    ("IdleTimeout", &Duration),
                    ("NumRetries", UINT32),
                    ("RetryOnConnectFailure", &Switch),
                    ("RetryOnStatusCodes", &List(UINT32)),
                    ("RetryOn", &Texts),
                    ("RequestHeaders", HEADERS),
                    ("ResponseHeaders", HEADERS),
                ]),
            ),
        ])),
    ),
    ("Meta", META),
];

const SPLITTER: Fields = &[
    ("Kind", &Text),
    ("Name", &Text),
    (
        "Splits",
        &List(&Object(&[
            ("Weight", &Fraction),
            ("Service", &Text),
            ("ServiceSubset", &Text),
            ("RequestHeaders", HEADERS),
            ("ResponseHeaders", HEADERS),
        ])),
    ),
    ("Meta", META),
];
