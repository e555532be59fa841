//! Which paths there are. The router, the help and the OpenAPI document are made from this one table.

use std::borrow::Cow;
use std::sync::LazyLock;

use http::Method;
use portolan_registrar::decode_segment;

use crate::Error;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Help,
    OpenApi,
    List,
    Register,
    Show,
    Deregister,
    Renew,
    Batch,
    Services,
    Service,
    Pick,
    Targets,
    Watch,
    Metrics,
}

/// A query parameter.
#[derive(Debug)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) means: &'static str,
}

/// One thing that can be done.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) route: Route,
    pub(crate) method: Method,
    /// Path with `{variables}`.
    pub(crate) path: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) parameters: &'static [Parameter],
}

const fn parameter(name: &'static str, means: &'static str) -> Parameter {
    Parameter { name, means }
}

const NAMESPACE: Parameter = parameter("namespace", "namespace of the service");
const SERVICE: Parameter = parameter("service", "name of the service");
const HEALTH: Parameter = parameter("health", "passing, warning or critical");
const ORIGIN: Parameter = parameter("origin", "orchestrator (pods) or registry (registered itself)");
const TAG: Parameter = parameter("tag", "has this tag; may be given several times");
const LABEL: Parameter = parameter("label", "KEY=VALUE; may be given several times");
const VERSION: Parameter = parameter("version", "version of the instance");
const ZONE: Parameter = parameter("zone", "zone of the instance");
const REGION: Parameter = parameter("region", "region of the instance");
const NODE: Parameter = parameter("node", "node of the instance");

/// Parameters of the list.
pub(crate) const LIST: &[Parameter] = &[
    NAMESPACE,
    SERVICE,
    HEALTH,
    ORIGIN,
    TAG,
    LABEL,
    VERSION,
    ZONE,
    REGION,
    NODE,
    parameter("index", "answer only once something that is asked for changed after this index"),
    parameter("wait", "and no later than this, such as 500ms, 30s or 5m; at most 10m"),
];
const WATCH: &[Parameter] = &[NAMESPACE, SERVICE, HEALTH, ORIGIN, TAG, LABEL, VERSION, ZONE, REGION, NODE];
const ONE: &[Parameter] = &[NAMESPACE, HEALTH, ORIGIN, TAG, LABEL, VERSION, ZONE, REGION, NODE];
const REGISTER: &[Parameter] = &[parameter(
    "lease",
    "connection: the answer is a stream of events, and the instance stays while it is read, and ttlSeconds (5 if \
     absent) after it ended, unless it registers again",
)];
const PICK: &[Parameter] = &[
    NAMESPACE,
    TAG,
    LABEL,
    VERSION,
    parameter("policy", "round-robin (if absent), least, weighted, nearest or hash"),
    parameter("key", "what stays with one instance; for hash"),
    parameter("zone", "zone of the caller; for nearest"),
    parameter("region", "region of the caller; for nearest"),
];

const fn operation(
    method: Method,
    path: &'static str,
    route: Route,
    summary: &'static str,
    parameters: &'static [Parameter],
) -> Operation {
    Operation { route, method, path, summary, parameters }
}

/// All there is.
pub(crate) static OPERATIONS: &[Operation] = &[
    operation(Method::GET, "/registry", Route::Help, "what there is", &[]),
    operation(Method::GET, "/registry/openapi.json", Route::OpenApi, "the same as an OpenAPI document", &[]),
    operation(Method::GET, "/registry/instances", Route::List, "list; index and wait make it a long poll", LIST),
    operation(
        Method::POST,
        "/registry/instances",
        Route::Register,
        "register {service, namespace, id, address, port, ports, tags, metadata, version, weights, locality, ttlSeconds, session, checks}",
        REGISTER,
    ),
    operation(Method::GET, "/registry/instances/{namespace}/{id}", Route::Show, "one that registered itself", &[]),
    operation(Method::DELETE, "/registry/instances/{namespace}/{id}", Route::Deregister, "deregister it", &[]),
    operation(Method::PUT, "/registry/instances/{namespace}/{id}/renew", Route::Renew, "renew its lease", &[]),
    operation(
        Method::POST,
        "/registry/batch",
        Route::Batch,
        "many at once: {register: [...], deregister: [{namespace, id}], renew: [{namespace, id}]}",
        &[],
    ),
    operation(Method::GET, "/registry/services", Route::Services, "services with counts", &[NAMESPACE, SERVICE]),
    operation(Method::GET, "/registry/services/{name}", Route::Service, "one service with its instances", ONE),
    operation(Method::GET, "/registry/services/{name}/pick", Route::Pick, "one instance to send a request to", PICK),
    operation(
        Method::GET,
        "/registry/targets",
        Route::Targets,
        "instances as Prometheus' http_sd_configs read them, one target for each port",
        WATCH,
    ),
    operation(
        Method::GET,
        "/registry/watch",
        Route::Watch,
        "changes as server-sent events: what is there (or, with Last-Event-ID, what was missed), SYNCED, changes",
        WATCH,
    ),
    operation(Method::GET, "/registry/metrics", Route::Metrics, "counters in the text format of Prometheus", &[]),
];

/// The segments of the paths of all operations, taken apart once: every request is compared with them.
static TEMPLATES: LazyLock<Vec<(Vec<&str>, &Operation)>> =
    LazyLock::new(|| OPERATIONS.iter().map(|operation| (segments(operation.path).collect(), operation)).collect());

/// What is asked for, and the variables of its path in their order.
pub(crate) fn find<'r>(method: &Method, path: &'r str) -> Result<(&'static Operation, Vec<Cow<'r, str>>), Error> {
    let path_segments: Vec<&str> = segments(path).collect();
    let mut allowed = Vec::new();
    for (template, operation) in TEMPLATES.iter().filter(|(template, _)| fits(template, &path_segments)) {
        if operation.method == *method {
            let named = template.iter().zip(path_segments).filter(|(wanted, _)| is_variable(wanted));
            return Ok((operation, named.map(|(_, segment)| decoded(segment)).collect::<Result<_, _>>()?));
        }
        allowed.push(operation.method.as_str());
    }
    if allowed.is_empty() {
        return Err(Error::NotFound(format!("{method} {path} is not here; see GET /registry for what there is")));
    }
    Err(Error::MethodNotAllowed { method: method.to_string(), allowed: allowed.join(", ") })
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

fn is_variable(segment: &str) -> bool {
    segment.starts_with('{')
}

fn fits(template: &[&str], path: &[&str]) -> bool {
    template.len() == path.len()
        && template.iter().zip(path).all(|(wanted, segment)| is_variable(wanted) || wanted == segment)
}

fn decoded(segment: &str) -> Result<Cow<'_, str>, Error> {
    decode_segment(segment).map_err(|error| Error::BadRequest(format!("invalid escape in {segment:?}: {error}")))
}
