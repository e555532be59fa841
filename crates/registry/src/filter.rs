//! Query parameters: which instances, and how long to wait. Pure.

use std::sync::Arc;
use std::time::Duration;

use portolan_catalog::{Instance, Key, Snapshot};

use crate::Error;
use crate::paths::Parameter;

/// How long a long poll waits if it does not say, and at most.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
const DEFAULT_WAIT: Duration = Duration::from_secs(300);

/// Which instances a client wants to see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    namespace: Option<String>,
    service: Option<String>,
    health: Option<String>,
    origin: Option<String>,
    tags: Vec<String>,
    labels: Vec<(String, String)>,
    version: Option<String>,
    zone: Option<String>,
    region: Option<String>,
    node: Option<String>,
    /// Answer only once the catalog is newer than this.
    pub(crate) after: Option<u64>,
    /// And no later than this.
    pub(crate) wait: Option<Duration>,
}

/// What a client has seen.
#[derive(Debug)]
pub(crate) enum Seen {
    /// All instances of one service: snapshots share them until one is different.
    Whole(Option<Arc<[Arc<Instance>]>>),
    /// Others.
    Selected(Vec<Arc<Instance>>),
}

impl PartialEq for Seen {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Whole(Some(left)), Self::Whole(Some(right))) => Arc::ptr_eq(left, right),
            (Self::Whole(left), Self::Whole(right)) => left.is_none() && right.is_none(),
            (Self::Selected(left), Self::Selected(right)) => left == right,
            _ => false,
        }
    }
}

impl Filter {
    /// Reads a query string of a path that knows these parameters. Any other is refused: silently
    /// ignored filters answer lies.
    pub(crate) fn parse(query: &str, known: &[Parameter]) -> Result<Self, Error> {
        let mut filter = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if !filter.set(&name, &value, known)? {
                return Err(unknown(&name, known));
            }
        }
        Ok(filter)
    }

    /// Takes one parameter in; false if it is no filter here.
    pub(crate) fn set(&mut self, name: &str, value: &str, known: &[Parameter]) -> Result<bool, Error> {
        if !known.iter().any(|parameter| parameter.name == name) {
            return Ok(false);
        }
        let text = || Some(value.to_owned());
        match name {
            "namespace" => self.namespace = text(),
            "service" => self.service = text(),
            "health" => self.health = Some(one_of("health", value, &["passing", "warning", "critical"])?),
            "origin" => self.origin = Some(one_of("origin", value, &["orchestrator", "registry"])?),
            "tag" => self.tags.push(value.to_owned()),
            "label" => match value.split_once('=') {
                Some((key, value)) => self.labels.push((key.into(), value.into())),
                None => return Err(Error::BadRequest(format!("label: {value:?} is not KEY=VALUE"))),
            },
            "version" => self.version = text(),
            "zone" => self.zone = text(),
            "region" => self.region = text(),
            "node" => self.node = text(),
            "index" => self.after = Some(number("index", value)?),
            "wait" => self.wait = Some(duration(value)?.min(LONGEST_WAIT)),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Number that rises whenever what is wanted changes; it may rise without.
    pub(crate) fn state(&self, snapshot: &Snapshot) -> u64 {
        match (&self.namespace, &self.service) {
            (Some(namespace), Some(service)) => snapshot.service_index(namespace, service),
            _ => snapshot.index(),
        }
    }

    /// The service, if instances of one alone are wanted.
    pub(crate) fn service_key(&self) -> Option<Key> {
        Some(Key::new(self.namespace.as_deref()?, self.service.as_deref()?))
    }

    /// The service whose instances are wanted, all of them, if that is what is wanted.
    pub(crate) fn whole_service(&self) -> Option<Key> {
        let Self {
            namespace: _,
            service: _,
            health,
            origin,
            tags,
            labels,
            version,
            zone,
            region,
            node,
            after: _,
            wait: _,
        } = self;
        let any = [health, origin, version, zone, region, node].iter().any(|wanted| wanted.is_some());
        if any || !tags.is_empty() || !labels.is_empty() { None } else { self.service_key() }
    }

    /// What a client has seen that reads a snapshot; it waits until this is different.
    pub(crate) fn seen(&self, snapshot: &Snapshot) -> Seen {
        match self.whole_service() {
            Some(key) => Seen::Whole(snapshot.instances_of(&key.namespace, &key.name).cloned()),
            None => Seen::Selected(self.select(snapshot)),
        }
    }

    /// How long a long poll waits.
    pub(crate) fn waiting_time(&self) -> Duration {
        self.wait.unwrap_or(DEFAULT_WAIT)
    }

    /// The namespace, if one was named.
    pub(crate) fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Whether a service is wanted; what instances alone have does not count.
    pub(crate) fn wants_service(&self, namespace: &str, name: &str) -> bool {
        self.namespace.as_deref().is_none_or(|wanted| wanted == namespace)
            && self.service.as_deref().is_none_or(|wanted| wanted == name)
    }

    /// Whether an instance is wanted.
    pub(crate) fn wants(&self, instance: &Instance) -> bool {
        let is = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == value);
        is(&self.namespace, &instance.namespace)
            && is(&self.service, &instance.service)
            && is(&self.health, instance.health.status.as_str())
            && is(&self.origin, instance.origin.as_str())
            && is(&self.version, &instance.version)
            && is(&self.zone, &instance.locality.zone)
            && is(&self.region, &instance.locality.region)
            && is(&self.node, &instance.node)
            && self.tags.iter().all(|tag| instance.tags.contains(tag))
            && self.labels.iter().all(|(key, value)| instance.labels.get(key) == Some(value))
    }

    /// The instances that are wanted, by namespace, service and id.
    pub(crate) fn select(&self, snapshot: &Snapshot) -> Vec<Arc<Instance>> {
        let mut selected: Vec<Arc<Instance>> = match (&self.namespace, &self.service) {
            // The usual question needs no walk over the catalog.
            (Some(namespace), Some(service)) => {
                snapshot.instances_of(namespace, service).into_iter().flat_map(|list| list.iter()).cloned().collect()
            }
            _ => snapshot.instances().flat_map(|(_, list)| list.iter()).cloned().collect(),
        };
        selected.retain(|instance| self.wants(instance));
        selected.sort_by(|left, right| {
            (&left.namespace, &left.service, &left.id).cmp(&(&right.namespace, &right.service, &right.id))
        });
        selected
    }
}

/// The refusal of a parameter that a path does not know.
pub(crate) fn unknown(name: &str, known: &[Parameter]) -> Error {
    let names: Vec<&str> = known.iter().map(|parameter| parameter.name).collect();
    let known =
        if names.is_empty() { "this path knows none".into() } else { format!("known are {}", names.join(", ")) };
    Error::BadRequest(format!("unknown parameter {name:?}; {known}"))
}

fn one_of(name: &str, value: &str, known: &[&str]) -> Result<String, Error> {
    if known.contains(&value) {
        Ok(value.to_owned())
    } else {
        Err(Error::BadRequest(format!("{name}: {value:?} is none of {}", known.join(", "))))
    }
}

fn number(name: &str, value: &str) -> Result<u64, Error> {
    value.parse().map_err(|_| Error::BadRequest(format!("{name}: {value:?} is not a whole number")))
}

/// `30s`, `5m`, `500ms` or a bare number of seconds.
fn duration(text: &str) -> Result<Duration, Error> {
    let malformed = || Error::BadRequest(format!("wait: {text:?} is not a duration such as 500ms, 30s or 5m"));
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let amount: u64 = digits.parse().map_err(|_| malformed())?;
    match &text[digits.len()..] {
        "ms" => Ok(Duration::from_millis(amount)),
        "" | "s" => Ok(Duration::from_secs(amount)),
        "m" => Ok(Duration::from_secs(amount.saturating_mul(60))),
        _ => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::LIST;

    #[test]
    fn queries_are_read_and_mistakes_named() {
        let filter =
            Filter::parse("service=cart&tag=a&tag=b&label=app%3Dcart&index=7&wait=2m", LIST).expect("well-formed");
        assert_eq!(filter.tags, ["a", "b"]);
        assert_eq!(filter.labels, [("app".to_owned(), "cart".to_owned())]);
        assert_eq!((filter.after, filter.waiting_time()), (Some(7), Duration::from_secs(120)));
        for (query, complaint) in [
            ("health=ok", "none of passing, warning, critical"),
            ("srevice=a", "unknown parameter"),
            ("index=x", "not a whole number"),
            ("wait=1y", "not a duration"),
            ("label=app", "KEY=VALUE"),
        ] {
            let error = Filter::parse(query, LIST).expect_err(query).to_string();
            assert!(error.contains(complaint), "{query}: {error}");
        }
    }
}
