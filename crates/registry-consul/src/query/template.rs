//! Templates of prepared queries: one definition for many names. Pure.

use std::collections::BTreeMap;

use regex::{Captures, Regex, RegexBuilder};

use super::model::PreparedQuery;

/// Size of a compiled expression: a bound on what a client can make us spend.
const MOST_REGEX_BYTES: usize = 1 << 20;

/// A template, ready to be used.
#[derive(Debug)]
pub(crate) struct Template<'a> {
    query: &'a PreparedQuery,
    regexp: Option<Regex>,
    remove_empty_tags: bool,
}

/// A piece of a text.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    Full,
    Prefix,
    Suffix,
    Match(usize),
}

impl<'a> Template<'a> {
    /// Reads the template of a query; the error says what is wrong.
    pub(crate) fn compile(query: &'a PreparedQuery) -> Result<Self, String> {
        let template = query.template.as_ref().ok_or("the query has no template")?;
        if template.r#type != "name_prefix_match" {
            return Err(format!("Bad Template.Type '{}'", template.r#type));
        }
        let compile = |text: &str| {
            let regex = RegexBuilder::new(text).size_limit(MOST_REGEX_BYTES).build();
            regex.map_err(|error| format!("Bad Regexp: {error}"))
        };
        let regexp = Some(template.regexp.as_str()).filter(|text| !text.is_empty()).map(compile).transpose()?;
        for text in texts(query) {
            pieces(text).map_err(|error| format!("Bad format '{text}': {error}"))?;
        }
        Ok(Self { query, regexp, remove_empty_tags: template.remove_empty_tags })
    }

    /// The query for a name.
    pub(crate) fn render(&self, name: &str) -> PreparedQuery {
        let captures = self.regexp.as_ref().and_then(|regexp| regexp.captures(name));
        let one = |text: &str| self.fill(text, name, captures.as_ref());
        let many = |texts: &[String]| texts.iter().map(|text| one(text)).collect::<Vec<_>>();
        let map = |map: &BTreeMap<String, String>| map.iter().map(|(key, value)| (key.clone(), one(value))).collect();
        let mut query = self.query.clone();
        let (service, source) = (&mut query.service, &self.query.service);
        service.service = one(&source.service);
        service.near = one(&source.near);
        service.failover.datacenters = many(&source.failover.datacenters);
        service.ignore_check_ids = many(&source.ignore_check_ids);
        service.tags = many(&source.tags);
        if self.remove_empty_tags {
            service.tags.retain(|tag| !tag.is_empty());
        }
        service.node_meta = map(&source.node_meta);
        service.service_meta = map(&source.service_meta);
        query
    }

    fn fill(&self, text: &str, name: &str, captures: Option<&Captures<'_>>) -> String {
        let prefix = self.query.name.as_str();
        // Checked when the template was compiled.
        let pieces = pieces(text).unwrap_or_default();
        let filled = pieces.into_iter().map(|piece| match piece {
            Piece::Text(text) => text,
            Piece::Full => name,
            Piece::Prefix => prefix,
            Piece::Suffix => name.strip_prefix(prefix).unwrap_or_default(),
            Piece::Match(number) => {
                captures.and_then(|captures| captures.get(number)).map_or("", |found| found.as_str())
            }
        });
        filled.collect()
    }
}

fn texts(query: &PreparedQuery) -> impl Iterator<Item = &String> {
    let service = &query.service;
    let lists = [&service.failover.datacenters, &service.ignore_check_ids, &service.tags];
    let maps = [&service.node_meta, &service.service_meta];
    let lists = lists.into_iter().flatten();
    [&service.service, &service.near].into_iter().chain(lists).chain(maps.into_iter().flat_map(BTreeMap::values))
}

/// Takes a text apart; `$${` stands for `${`.
fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            pieces.push(Piece::Text(&rest[..at - 1]));
            pieces.push(Piece::Text("${"));
            rest = &rest[at + 2..];
            continue;
        }
        pieces.push(Piece::Text(&rest[..at]));
        let inner = &rest[at + 2..];
        let end = inner.find('}').ok_or("an interpolation is not closed")?;
        pieces.push(variable(inner[..end].trim())?);
        rest = &inner[end + 1..];
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

fn variable(name: &str) -> Result<Piece<'_>, String> {
    match name {
        "name.full" => Ok(Piece::Full),
        "name.prefix" => Ok(Piece::Prefix),
        "name.suffix" => Ok(Piece::Suffix),
        // There are no network segments.
        "agent.segment" => Ok(Piece::Text("")),
        other => {
            let number = other.strip_prefix("match(").and_then(|rest| rest.strip_suffix(')'));
            let number = number.and_then(|number| number.trim().parse().ok());
            number.map(Piece::Match).ok_or_else(|| format!("unknown variable {other:?}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::model::{QueryTemplate, ServiceQuery, find};
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

    #[test]
    fn templates_are_filled_from_the_name() {
        let cases = [
            ("geo-", "", "${name.full}/${name.prefix}/${name.suffix}", "geo-db", "geo-db/geo-/db"),
            ("", "^(.+)\\.(v[0-9]+)$", "${match(1)}-${match(2)}-${match(0)}", "web.v2", "web-v2-web.v2"),
            ("", "^x", "a${match(0)}${match(7)}", "web", "a"),
            ("", "", "$${name.full} $5", "web", "${name.full} $5"),
        ];
        for (name, regexp, service, asked, expected) in cases {
            let query = template(name, regexp, service, &["${match(1)}", "t"]);
            assert_eq!(query.check(), Ok(()), "{service}");
            let rendered = Template::compile(&query).expect("compiles").render(asked);
            assert_eq!(rendered.service.service, expected);
            assert!(rendered.service.tags.iter().all(|tag| !tag.is_empty()));
        }
    }

    #[test]
    fn bad_templates_are_refused() {
        let cases = [("(", "x", "Bad Regexp"), ("", "${name", "not closed"), ("", "${nobody}", "unknown variable")];
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
            if let Ok(template) = Template::compile(&query) {
                template.render(&name);
            }
        }
    }
}
