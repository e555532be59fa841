//! Prepared queries: what they are and which of them a name means. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use portolan_api::typed::{PreparedQuerySpec, PreparedQueryTemplate};
use portolan_catalog::query::{Names, Template, choose};

/// A prepared query.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PreparedQuery {
    /// Identity, a UUID.
    #[serde(rename = "ID")]
    pub id: String,
    /// Name; of a template the beginning of the names that it answers.
    pub name: String,
    /// Session with which it ends; may be empty.
    pub session: String,
    /// Hash of the token that executes it; may be empty.
    pub token: String,
    /// Makes it answer many names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<QueryTemplate>,
    /// What is looked for.
    pub service: ServiceQuery,
    /// For answers over DNS.
    #[serde(rename = "DNS")]
    pub dns: DnsOptions,
}

/// How a query answers many names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct QueryTemplate {
    /// Always `name_prefix_match`.
    pub r#type: String,
    /// Takes the name apart.
    pub regexp: String,
    /// Tags that come out empty are left out.
    pub remove_empty_tags: bool,
}

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceQuery {
    /// Name of the service.
    pub service: String,
    /// Where to look if nobody is here.
    pub failover: Failover,
    /// Whether a warning keeps an instance out.
    pub only_passing: bool,
    /// Checks that do not count.
    #[serde(rename = "IgnoreCheckIDs")]
    pub ignore_check_ids: Vec<String>,
    /// Node near which answers are wanted first.
    pub near: String,
    /// Tags that instances must have, or with `!` must not.
    pub tags: Vec<String>,
    /// Metadata that the instances' nodes must have.
    pub node_meta: BTreeMap<String, String>,
    /// Metadata that instances must have.
    pub service_meta: BTreeMap<String, String>,
    /// Whether proxies are looked for.
    pub connect: bool,
    /// Cluster peer.
    pub peer: String,
}

/// Where to look if nobody is here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Failover {
    /// In that many nearest datacenters.
    pub nearest_n: i64,
    /// In these datacenters.
    pub datacenters: Vec<String>,
    /// In these places.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<FailoverTarget>,
}

/// A place to look.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct FailoverTarget {
    /// Datacenter.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub datacenter: String,
    /// Cluster peer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub peer: String,
}

/// For answers over DNS.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DnsOptions {
    /// How long answers may be kept, as a duration of Go; may be empty.
    #[serde(rename = "TTL")]
    pub ttl: String,
}

impl PreparedQuery {
    /// The name that no other query may have; none for queries that only their id names.
    pub(crate) fn unique_name(&self) -> Option<&str> {
        (!self.name.is_empty() || self.template.is_some()).then_some(self.name.as_str())
    }

    /// Says what is wrong with it.
    pub(crate) fn check(&self) -> Result<(), String> {
        if uuid::Uuid::try_parse(&self.name).is_ok() {
            return Err("Prepared query names cannot be UUIDs".into());
        }
        if self.unique_name().is_none() && self.session.is_empty() {
            return Err("Must be bound to a session".into());
        }
        if self.service.service.is_empty() {
            return Err("Must provide a Service name to query".into());
        }
        let failover = &self.service.failover;
        if failover.nearest_n < 0 {
            return Err(format!("Bad NearestN '{}', must be >= 0", failover.nearest_n));
        }
        if !failover.targets.is_empty() && (failover.nearest_n > 0 || !failover.datacenters.is_empty()) {
            return Err("Targets cannot be populated with NearestN or Datacenters".into());
        }
        if !self.dns.ttl.is_empty() {
            crate::duration::parse(&self.dns.ttl)
                .map_err(|error| format!("Bad DNS TTL '{}': {error}", self.dns.ttl))?;
        }
        match &self.template {
            None => Ok(()),
            Some(template) if template.r#type != "name_prefix_match" => {
                Err(format!("Bad Template.Type '{}'", template.r#type))
            }
            Some(template) => {
                Template::new(&self.name, &template.regexp)?;
                let mut query = self.clone();
                query.texts().try_for_each(|text| Template::check(text))
            }
        }
    }

    fn names(&self) -> Names<'_> {
        Names { id: &self.id, name: &self.name, is_template: self.template.is_some() }
    }

    /// All that a template fills in.
    fn texts(&mut self) -> impl Iterator<Item = &mut String> {
        let service = &mut self.service;
        let lists = [&mut service.failover.datacenters, &mut service.ignore_check_ids, &mut service.tags];
        let maps = [&mut service.node_meta, &mut service.service_meta];
        [&mut service.service, &mut service.near]
            .into_iter()
            .chain(lists.into_iter().flatten())
            .chain(maps.into_iter().flat_map(BTreeMap::values_mut))
    }

    /// The query of a template for a name.
    fn rendered(&self, template: &QueryTemplate, name: &str) -> Result<Self, String> {
        let mut query = self.clone();
        let parts = Template::new(&self.name, &template.regexp)?;
        let asked = parts.asked(name);
        query.texts().for_each(|text| *text = asked.fill(text));
        if template.remove_empty_tags {
            query.service.tags.retain(|tag| !tag.is_empty());
        }
        Ok(query)
    }

    /// The question as every node answers it.
    pub(crate) fn spec(&self) -> PreparedQuerySpec {
        let service = &self.service;
        let template = |template: &QueryTemplate| PreparedQueryTemplate {
            regexp: template.regexp.clone(),
            remove_empty_tags: template.remove_empty_tags,
        };
        let ttl = Some(self.dns.ttl.as_str()).filter(|ttl| !ttl.is_empty());
        let ttl = ttl.and_then(|ttl| crate::duration::parse(ttl).ok());
        PreparedQuerySpec {
            name: self.name.clone(),
            template: self.template.as_ref().map(template),
            service: service.service.clone(),
            only_passing: service.only_passing,
            ignore_check_ids: service.ignore_check_ids.clone(),
            near: service.near.clone(),
            tags: service.tags.clone(),
            node_metadata: service.node_meta.clone(),
            service_metadata: service.service_meta.clone(),
            // Proxies and other clusters are not known here.
            elsewhere: service.connect || !service.peer.is_empty(),
            ttl_seconds: ttl.map(|ttl| u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX)),
        }
    }
}

/// The query that an id or a name means, rendered for it.
pub fn find(queries: &[PreparedQuery], wanted: &str) -> Option<Result<PreparedQuery, String>> {
    let found = choose(queries.iter(), wanted, PreparedQuery::names)?;
    Some(match &found.template {
        None => Ok(found.clone()),
        Some(_) if !wanted.is_empty() && found.id.eq_ignore_ascii_case(wanted) => {
            Err("prepared query templates must be executed by name".into())
        }
        Some(template) => found.rendered(template, wanted),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn template(name: &str, regexp: &str, service: &str, tags: &[&str]) -> PreparedQuery {
        PreparedQuery {
            name: name.into(),
            template: Some(QueryTemplate {
                r#type: "name_prefix_match".into(),
                regexp: regexp.into(),
                remove_empty_tags: true,
            }),
            service: ServiceQuery {
                service: service.into(),
                tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
                ..ServiceQuery::default()
            },
            ..PreparedQuery::default()
        }
    }

    fn rendered(query: &PreparedQuery, name: &str) -> PreparedQuery {
        find(std::slice::from_ref(query), name).expect("the name begins so").expect("it can be filled")
    }

    #[test]
    fn templates_are_filled_from_the_name() {
        let cases = [
            ("geo-", "", "${name.full}/${name.prefix}/${name.suffix}", "geo-db", "geo-db/geo-/db"),
            ("", "^(.+)\\.(v[0-9]+)$", "${match(1)}-${match(2)}-${match(0)}", "web.v2", "web-v2-web.v2"),
            ("", "^x", "a${match(0)}${match(7)}", "web", "a"),
            ("", "(?P<n>[[a]+)(?:-)(\\d)", "${match(1)}/${match(2)}", "[a-7", "[a/7"),
            ("", "^(\\d)$", "x${match(1)}", "٣", "x"),
            ("", "", "$${name.full} $5", "web", "${name.full} $5"),
        ];
        for (name, regexp, service, asked, expected) in cases {
            let query = template(name, regexp, service, &["${match(1)}", "t"]);
            assert_eq!(query.check(), Ok(()), "{service}");
            let rendered = rendered(&query, asked);
            assert_eq!(rendered.service.service, expected);
            assert!(rendered.service.tags.iter().all(|tag| !tag.is_empty()));
        }
    }

    #[test]
    fn bad_templates_are_refused() {
        let cases = [
            ("(", "x", "Bad Regexp: error parsing regexp: missing closing ): `(`"),
            ("", "${name", "not closed"),
            ("", "${nobody}", "unknown variable"),
        ];
        for (regexp, service, part) in cases {
            let error = template("", regexp, service, &[]).check().expect_err(service);
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn the_exact_name_wins_then_the_longest_template() {
        let plain = PreparedQuery { name: "geo-db".into(), id: "id".into(), ..PreparedQuery::default() };
        let queries = [template("", "", "any", &[]), template("geo-", "", "geo", &[]), plain];
        let service = |name: &str| find(&queries, name).map(|found| found.map(|query| query.service.service));
        assert_eq!(service("geo-x"), Some(Ok("geo".into())));
        assert_eq!(service("web"), Some(Ok("any".into())));
        assert_eq!(service("geo-db"), Some(Ok(String::new())));
        assert_eq!(service("id"), Some(Ok(String::new())));
        assert_eq!(find(&queries[1..], "web"), None);
    }

    proptest! {
        #[test]
        fn arbitrary_texts_are_filled_or_refused_without_a_panic(text in "[${}a-z.()0-9 ]{0,40}", name in "\\PC{0,10}") {
            let query = template("", "(.)(.)?", &text, &[]);
            if query.check().is_ok() {
                rendered(&query, &name);
            }
        }
    }
}
