//! Prepared queries: which one a name means, and which instances answer it. Pure.

mod template;

use std::sync::Arc;

pub use portolan_api::typed::PreparedQuerySpec;

pub use self::template::{MOST_REGEX_BYTES, Template};
use crate::model::{Instance, Node, Status};
use crate::names::find_service_in_any_case;
use crate::snapshot::Snapshot;

/// What a query is known by.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// Its identity.
    pub id: &'a str,
    /// Its name; of a template the beginning of the names that it answers.
    pub name: &'a str,
    /// Whether it is a template.
    pub is_template: bool,
}

/// The query that an id or a name means: an id wins over a name, a name over templates, and of those the
/// one with the longest name. Letter case does not count, as DNS knows none.
pub fn choose<'a, Q>(
    queries: impl Iterator<Item = &'a Q> + Clone,
    wanted: &str,
    names: fn(&Q) -> Names<'_>,
) -> Option<&'a Q> {
    let is = |text: &str| !text.is_empty() && text.eq_ignore_ascii_case(wanted);
    let begins = |name: &str| wanted.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    let by_id = queries.clone().find(|query| is(names(query).id));
    let by_name = || queries.clone().find(|query| !names(query).is_template && is(names(query).name));
    let templates = || queries.clone().filter(|query| names(query).is_template && begins(names(query).name));
    by_id.or_else(by_name).or_else(|| templates().max_by_key(|query| names(query).name.len()))
}

/// A prepared query, ready to be asked.
#[derive(Debug, Clone)]
pub struct Query {
    id: Arc<str>,
    spec: PreparedQuerySpec,
    template: Option<Template>,
}

impl Query {
    /// A query by its identity; a template is compiled once.
    ///
    /// # Errors
    /// The template makes no sense; the error says why.
    pub fn new(id: &str, spec: PreparedQuerySpec) -> Result<Self, String> {
        let template =
            spec.template.as_ref().map(|template| Template::new(&spec.name, &template.regexp)).transpose()?;
        Ok(Self { id: id.into(), template, spec })
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn spec(&self) -> &PreparedQuerySpec {
        &self.spec
    }

    fn names(&self) -> Names<'_> {
        Names { id: &self.id, name: &self.spec.name, is_template: self.template.is_some() }
    }

    /// What the query asks for when it is asked by `name`.
    fn rendered(&self, name: &str) -> PreparedQuerySpec {
        let mut spec = self.spec.clone();
        let Some(template) = &self.template else { return spec };
        let asked = template.asked(name);
        let texts = [&mut spec.service, &mut spec.near].into_iter();
        let lists = spec.ignore_check_ids.iter_mut().chain(&mut spec.tags);
        let maps = spec.node_metadata.values_mut().chain(spec.service_metadata.values_mut());
        texts.chain(lists).chain(maps).for_each(|text| *text = asked.fill(text));
        if spec.template.as_ref().is_some_and(|template| template.remove_empty_tags) {
            spec.tags.retain(|tag| !tag.is_empty());
        }
        spec
    }
}

impl Snapshot {
    /// What the prepared query with this name or id asks for, its template filled in.
    pub fn query(&self, wanted: &str) -> Option<PreparedQuerySpec> {
        let found = choose(self.queries.iter(), wanted, Query::names)?;
        // The id of a template says no name to fill in.
        (found.template.is_none() || !found.id.eq_ignore_ascii_case(wanted)).then(|| found.rendered(wanted))
    }
}

/// The instances that answer a query, in no particular order.
///
/// There is one datacenter: failover to others finds nobody.
pub fn execute(snapshot: &Snapshot, query: &PreparedQuerySpec) -> Vec<Arc<Instance>> {
    if query.elsewhere {
        return vec![];
    }
    let Some(key) = find_service_in_any_case(snapshot, &query.service) else { return vec![] };
    let instances = snapshot.instances_of(&key.namespace, &key.name);
    let instances = instances.into_iter().flat_map(|instances| instances.iter());
    instances.filter(|instance| answers(snapshot, query, instance)).cloned().collect()
}

fn answers(snapshot: &Snapshot, query: &PreparedQuerySpec, instance: &Instance) -> bool {
    let node = snapshot.machine(&instance.node);
    let worst = status(query, instance, node.map(|node| &**node));
    let healthy = match worst {
        Status::Passing => true,
        Status::Warning => !query.only_passing,
        Status::Critical => false,
    };
    let tagged = query.tags.iter().all(|wanted| {
        let has = |tag: &str| instance.tags.iter().any(|present| present.eq_ignore_ascii_case(tag));
        match wanted.strip_prefix('!') {
            Some(unwanted) => !has(unwanted),
            None => has(wanted),
        }
    });
    let of_node = |key: &str| node.and_then(|node| node.metadata.get(key));
    healthy
        && tagged
        && query.service_metadata.iter().all(|(key, value)| instance.metadata.get(key) == Some(value))
        && query.node_metadata.iter().all(|(key, value)| of_node(key) == Some(value))
}

/// The worst of what counts.
fn status(query: &PreparedQuerySpec, instance: &Instance, node: Option<&Node>) -> Status {
    let of_node = node.into_iter().flat_map(|node| node.checks.iter());
    if query.ignore_check_ids.is_empty() {
        return of_node.map(|check| check.status).fold(instance.health.status, Status::max);
    }
    let counts = |id: &str| !query.ignore_check_ids.iter().any(|ignored| ignored == id);
    let maintenance = instance.registration.as_ref().is_some_and(|registration| {
        registration.administrative().is_some() && instance.health.status == Status::Critical
    });
    let maintained = maintenance && counts(&service_maintenance(&instance.id));
    let checks = instance.checks.iter().chain(of_node).filter(|check| counts(&check.id));
    checks.map(|check| check.status).fold(if maintained { Status::Critical } else { Status::Passing }, Status::max)
}

/// Id of the check that stands for the maintenance of an instance in Consul's dialect.
pub fn service_maintenance(id: &str) -> String {
    format!("_service_maintenance:{id}")
}

/// Puts instances first that are near what a query names: nothing, a node, or with `_agent` and `_ip` the client,
/// for which the node `own` stands, as where the client is, is not known.
pub fn nearest_as_named(snapshot: &Snapshot, instances: &mut [Arc<Instance>], near: &str, own: &str) {
    match near {
        "" => {}
        "_agent" | "_ip" => nearest_first(snapshot, instances, own),
        node => nearest_first(snapshot, instances, node),
    }
}

/// Puts instances near a node first: those on it, then those in its zone, then in its region.
fn nearest_first(snapshot: &Snapshot, instances: &mut [Arc<Instance>], near: &str) {
    let here = snapshot.machine(near);
    instances.sort_by_cached_key(|instance| {
        if *instance.node == *near {
            return 0;
        }
        let (Some(here), Some(there)) = (here, snapshot.machine(&instance.node)) else { return 3 };
        let same = |left: &str, right: &str| !left.is_empty() && left == right;
        match (same(&here.locality.region, &there.locality.region), same(&here.locality.zone, &there.locality.zone)) {
            (_, true) => 1,
            (true, false) => 2,
            (false, false) => 3,
        }
    });
}

#[cfg(test)]
mod tests {
    use portolan_api::typed::{Object as _, PreparedQuery};
    use serde_json::{Value, json};

    use super::*;
    use crate::{Catalog, Input, Key, Kind};

    fn query(id: &str, spec: Value) -> Input {
        let object = json!({"metadata": {"name": id}, "spec": spec});
        Input::PreparedQuery(Arc::new(PreparedQuery::decode(object.to_string().as_bytes()).expect("a query")))
    }

    #[test]
    fn a_name_means_the_exact_query_then_the_longest_template() {
        let mut catalog = Catalog::new();
        catalog.put(query("id-1", json!({"name": "geo-db", "service": "exact"})));
        catalog.put(query("id-2", json!({"name": "", "template": {}, "service": "any-${name.full}"})));
        let geo = json!({"name": "geo-", "template": {"regexp": "^geo-(.*?)-([^-]+)$", "removeEmptyTags": true},
            "service": "${match(1)}", "tags": ["${match(2)}", "${match(3)}"]});
        catalog.put(query("id-3", geo));
        catalog.put(query("id-4", json!({"name": "bad", "template": {"regexp": "("}, "service": "x"})));
        let snapshot = catalog.snapshot();
        let cases = [
            ("geo-db", Some("exact []")),
            ("GEO-DB", Some("exact []")),
            ("geo-web-v2", Some("web [\"v2\"]")),
            ("other", Some("any-other []")),
            ("id-1", Some("exact []")),
            ("id-3", None),
            // A template that makes no sense answers nothing.
            ("bad-x", Some("any-bad-x []")),
        ];
        for (name, expected) in cases {
            let found = snapshot.query(name).map(|query| format!("{} {:?}", query.service, query.tags));
            assert_eq!(found.as_deref(), expected, "{name}");
        }
        let index = snapshot.index();
        catalog.remove(Kind::PreparedQuery, &Key::new("", "id-2"));
        let snapshot = catalog.snapshot();
        assert!(snapshot.index() > index);
        assert_eq!(snapshot.query("other"), None);
    }
}
