//! What can be selected, and by which operators it can be compared.

use portolan_base::go::regexp;
use portolan_catalog::query::MOST_REGEX_BYTES;
use regex::Regex;

use super::{Expression, Operator};

/// The kind of a value.
#[derive(Debug)]
pub(crate) enum Kind {
    Text,
    Number,
    Bool,
    /// A list.
    List(&'static Kind),
    /// A map with any keys.
    Map(&'static Kind),
    /// Known fields.
    Fields(&'static [(&'static str, Kind)]),
}

use Kind::{Bool, Fields, List, Map, Number, Text};

const TEXTS: Kind = List(&Text);
const TEXT_MAP: Kind = Map(&Text);
const TAGGED: Kind = Map(&Fields(&[("Address", Text), ("Port", Number)]));
const WEIGHTS: Kind = Fields(&[("Passing", Number), ("Warning", Number)]);
const LOCALITY: Kind = Fields(&[("Region", Text), ("Zone", Text)]);
const CONNECT: Kind = Fields(&[("Native", Bool)]);
const PROXY: Kind = Fields(&[
    ("DestinationServiceID", Text),
    ("DestinationServiceName", Text),
    ("LocalServiceAddress", Text),
    ("LocalServicePort", Number),
    ("LocalServiceSocketPath", Text),
    ("Mode", Text),
    ("MeshGateway", Fields(&[("Mode", Text)])),
    ("TransparentProxy", Fields(&[("OutboundListenerPort", Number), ("DialedDirectly", Bool)])),
    (
        "Upstreams",
        List(&Fields(&[
            ("Datacenter", Text),
            ("DestinationName", Text),
            ("DestinationNamespace", Text),
            ("DestinationType", Text),
            ("LocalBindAddress", Text),
            ("LocalBindPort", Number),
            ("MeshGateway", Fields(&[("Mode", Text)])),
        ])),
    ),
]);

const NODE_FIELDS: Kind = Fields(&[
    ("Address", Text),
    ("Datacenter", Text),
    ("ID", Text),
    ("Meta", TEXT_MAP),
    ("Node", Text),
    ("Partition", Text),
    ("PeerName", Text),
    ("TaggedAddresses", TEXT_MAP),
]);
const SERVICE_FIELDS: Kind = Fields(&[
    ("Address", Text),
    ("Connect", CONNECT),
    ("EnableTagOverride", Bool),
    ("ID", Text),
    ("Kind", Text),
    ("Locality", LOCALITY),
    ("Meta", TEXT_MAP),
    ("Namespace", Text),
    ("PeerName", Text),
    ("Port", Number),
    ("Proxy", PROXY),
    ("Service", Text),
    ("SocketPath", Text),
    ("TaggedAddresses", TAGGED),
    ("Tags", TEXTS),
    ("Weights", WEIGHTS),
]);
const CHECK_FIELDS: Kind = Fields(&[
    ("CheckID", Text),
    ("ExposedPort", Number),
    ("Interval", Text),
    ("Name", Text),
    ("Namespace", Text),
    ("Node", Text),
    ("Notes", Text),
    ("Output", Text),
    ("PeerName", Text),
    ("ServiceID", Text),
    ("ServiceName", Text),
    ("ServiceTags", TEXTS),
    ("Status", Text),
    ("Timeout", Text),
    ("Type", Text),
]);

/// An entry of `/v1/catalog/nodes`.
pub(crate) static NODE: Kind = NODE_FIELDS;
/// A service of a node.
pub(crate) static NODE_SERVICE: Kind = SERVICE_FIELDS;
/// A service of the agent.
pub(crate) static AGENT_SERVICE: Kind = SERVICE_FIELDS;
/// A check.
pub(crate) static CHECK: Kind = CHECK_FIELDS;
/// A member.
pub(crate) static MEMBER: Kind = Fields(&[
    ("Addr", Text),
    ("DelegateCur", Number),
    ("DelegateMax", Number),
    ("DelegateMin", Number),
    ("Name", Text),
    ("Port", Number),
    ("ProtocolCur", Number),
    ("ProtocolMax", Number),
    ("ProtocolMin", Number),
    ("Status", Number),
    ("Tags", TEXT_MAP),
]);
/// An entry of `/v1/catalog/service`.
pub(crate) static SERVICE_NODE: Kind = Fields(&[
    ("Address", Text),
    ("Datacenter", Text),
    ("ID", Text),
    ("Node", Text),
    ("NodeMeta", TEXT_MAP),
    ("ServiceAddress", Text),
    ("ServiceConnect", CONNECT),
    ("ServiceEnableTagOverride", Bool),
    ("ServiceID", Text),
    ("ServiceKind", Text),
    ("ServiceMeta", TEXT_MAP),
    ("ServiceName", Text),
    ("ServicePort", Number),
    ("ServiceProxy", PROXY),
    ("ServiceSocketPath", Text),
    ("ServiceTaggedAddresses", TAGGED),
    ("ServiceTags", TEXTS),
    ("ServiceWeights", WEIGHTS),
    ("TaggedAddresses", TEXT_MAP),
]);
/// An entry of `/v1/health/service`.
pub(crate) static SERVICE_WITH_CHECKS: Kind =
    Fields(&[("Checks", List(&CHECK_FIELDS)), ("Node", NODE_FIELDS), ("Service", SERVICE_FIELDS)]);

/// An expression whose selectors exist and whose operators and values fit them.
#[derive(Debug)]
pub(super) enum Checked {
    Or(Vec<Checked>),
    And(Vec<Checked>),
    Not(Box<Checked>),
    Match { selector: Vec<String>, test: Test, negated: bool },
    Collection { all: bool, selector: Vec<String>, bindings: Vec<String>, body: Box<Checked> },
}

/// What is asked of a value.
#[derive(Debug)]
pub(super) enum Test {
    Equals(Wanted),
    /// Holds this element, key or part.
    Holds(Wanted),
    Empty,
    Nil,
    Matches(Regex),
}

/// A value in the form of what it is compared with.
#[derive(Debug)]
pub(super) enum Wanted {
    Text(String),
    Number(f64),
    Bool(bool),
}

/// What a name inside of an `any` or `all` stands for.
struct Binding<'a> {
    name: &'a str,
    kind: &'static Kind,
}

/// Checks an expression against the kind of what it filters.
pub(super) fn check(expression: Expression, kind: &'static Kind) -> Result<Checked, String> {
    check_within(expression, kind, &[])
}

fn check_within(expression: Expression, kind: &'static Kind, bindings: &[Binding<'_>]) -> Result<Checked, String> {
    let each = |parts: Vec<Expression>| -> Result<Vec<Checked>, String> {
        parts.into_iter().map(|part| check_within(part, kind, bindings)).collect()
    };
    match expression {
        Expression::Or(parts) => each(parts).map(Checked::Or),
        Expression::And(parts) => each(parts).map(Checked::And),
        Expression::Not(inner) => Ok(Checked::Not(Box::new(check_within(*inner, kind, bindings)?))),
        Expression::Match { selector, operator, value } => {
            let found = find(&selector, kind, bindings)?;
            let (positive, negated) = operator.positive();
            let test = test(found, positive, value, || {
                format!("Invalid match operator {:?} for selector {:?}", operator.name(), selector.join("."))
            })?;
            Ok(Checked::Match { selector, test, negated })
        }
        Expression::Collection { all, selector, bindings: names, body } => {
            static KEY: Kind = Text;
            static PLACE: Kind = Number;
            let (key, element, is_map): (&'static Kind, &'static Kind, bool) = match find(&selector, kind, bindings)? {
                List(element) => (&PLACE, element, false),
                Map(element) => (&KEY, element, true),
                _ => return Err(format!("Selector {:?} is neither a list nor a map", selector.join("."))),
            };
            let mut inner: Vec<Binding<'_>> =
                bindings.iter().map(|binding| Binding { name: binding.name, kind: binding.kind }).collect();
            match &names[..] {
                // One name is the element of a list and the key of a map.
                [name] => inner.push(Binding { name, kind: if is_map { key } else { element } }),
                [first, second, ..] => {
                    inner.push(Binding { name: first, kind: key });
                    inner.push(Binding { name: second, kind: element });
                }
                [] => {}
            }
            let body = Box::new(check_within(*body, kind, &inner)?);
            Ok(Checked::Collection { all, selector, bindings: names, body })
        }
    }
}

/// The kind of what a selector selects. A path leads through lists of fields: it means any element.
fn find(selector: &[String], root: &'static Kind, bindings: &[Binding<'_>]) -> Result<&'static Kind, String> {
    let invalid = || format!("Selector {:?} is not valid", selector.join("."));
    let (first, rest) = selector.split_first().ok_or_else(invalid)?;
    let bound = bindings.iter().rev().find(|binding| binding.name == first);
    let (mut kind, path) = match bound {
        Some(binding) => (binding.kind, rest),
        None => (root, selector),
    };
    for part in path {
        kind = step(kind, part).ok_or_else(invalid)?;
    }
    Ok(kind)
}

fn step(kind: &'static Kind, part: &str) -> Option<&'static Kind> {
    match kind {
        Fields(fields) => fields.iter().find(|(name, _)| *name == part).map(|(_, kind)| kind),
        Map(element) => Some(element),
        List(element) if part.parse::<usize>().is_ok() => Some(element),
        List(element @ Fields(_)) => step(element, part),
        _ => None,
    }
}

fn test(kind: &Kind, operator: Operator, value: String, invalid: impl Fn() -> String) -> Result<Test, String> {
    match (operator, kind) {
        (Operator::Equal, Text) => Ok(Test::Equals(Wanted::Text(value))),
        (Operator::Equal, Number) => number(value).map(Test::Equals),
        (Operator::Equal, Bool) => match portolan_base::go::parse_bool(&value) {
            Some(value) => Ok(Test::Equals(Wanted::Bool(value))),
            None => Err(format!("strconv.ParseBool: parsing {value:?}: invalid syntax")),
        },
        (Operator::In, Text | Map(_) | List(Text)) => Ok(Test::Holds(Wanted::Text(value))),
        (Operator::In, List(Number)) => number(value).map(Test::Holds),
        (Operator::IsEmpty, List(_) | Map(_)) => Ok(Test::Empty),
        (Operator::IsNil, _) => Ok(Test::Nil),
        (Operator::Matches, Text) => regexp::compile(&value, MOST_REGEX_BYTES).map(Test::Matches),
        _ => Err(invalid()),
    }
}

fn number(value: String) -> Result<Wanted, String> {
    value.parse().map(Wanted::Number).map_err(|_| format!("strconv.ParseInt: parsing {value:?}: invalid syntax"))
}
