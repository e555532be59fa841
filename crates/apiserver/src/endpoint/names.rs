//! Names of objects.

use std::borrow::Cow;

use portolan_api::description::Resource;
use portolan_api::{field, validation};

use crate::resources::addresses;
use crate::strategy::NameRule;

/// What may stand in the random part of a generated name: no vowels, so that no words appear, and
/// nothing that looks like something else.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

const RANDOM_LENGTH: usize = 5;
const GENERATED_LENGTH: usize = 63;

/// A name for an object that asks for one by its `metadata.generateName`.
pub(super) fn made(base: &str, rule: NameRule) -> String {
    if rule == NameRule::IpAddress { base.to_owned() } else { generate(base) }
}

/// A name that begins with `base`.
pub(crate) fn generate(base: &str) -> String {
    let mut end = base.len().min(GENERATED_LENGTH - RANDOM_LENGTH);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let mut name = base[..end].to_owned();
    let random = uuid::Uuid::new_v4();
    let letters = random.as_bytes().iter().take(RANDOM_LENGTH);
    name.extend(letters.map(|&byte| ALPHABET[usize::from(byte) % ALPHABET.len()] as char));
    name
}

/// What is wrong with a name.
pub(super) fn problems(name: &str, rule: NameRule) -> Vec<String> {
    match rule {
        NameRule::DnsSubdomain | NameRule::MadeDnsSubdomain => validation::is_dns1123_subdomain(name),
        NameRule::DnsLabel => validation::is_dns1123_label(name),
        NameRule::Dns1035Label => validation::is_dns1035_label(name),
        NameRule::PathSegment => validation::is_path_segment_name(name),
        NameRule::IpAddress => addresses::problems_of_name(name),
    }
}

/// What is wrong with what a name is made of.
fn problems_of_base(base: &str, rule: NameRule) -> Vec<String> {
    match rule {
        NameRule::DnsSubdomain | NameRule::DnsLabel | NameRule::Dns1035Label => problems(&ended(base), rule),
        NameRule::MadeDnsSubdomain => validation::is_path_segment_prefix(base),
        NameRule::PathSegment | NameRule::IpAddress => problems(base, rule),
    }
}

/// What stands before the random part with an end that a name may have. As upstream, where a dash takes what stands
/// before it along.
fn ended(base: &str) -> Cow<'_, str> {
    match base.strip_suffix('-').and_then(|rest| rest.char_indices().next_back()) {
        Some((last, letter)) if letter.is_ascii() => Cow::Owned(format!("{}a", &base[..last])),
        _ => Cow::Borrowed(base),
    }
}

/// What is wrong with `metadata.generateName` and `metadata.name` of a new object.
pub(super) fn check(base: &str, name: &str, rule: NameRule) -> Vec<field::Error> {
    let metadata = field::Path::new("metadata");
    let invalid = |field: &str, value: &str, problems: Vec<String>| -> Vec<field::Error> {
        let path = metadata.child(field);
        problems.into_iter().map(|text| field::Error::invalid(&path, value, text)).collect()
    };
    let of_base = if base.is_empty() { Vec::new() } else { problems_of_base(base, rule) };
    let mut errors = invalid("generateName", base, of_base);
    if name.is_empty() {
        errors.push(field::Error::required(&metadata.child("name"), "name or generateName is required"));
    } else {
        errors.extend(invalid("name", name, problems(name, rule)));
    }
    errors
}

/// Kinds by group and resource that upstream does not hold to their rule for names when they are updated.
const NAMED_ONCE: [(&str, &str); 19] = [
    ("", "events"),
    ("", "podtemplates"),
    ("", "replicationcontrollers"),
    ("", "resourcequotas"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("apps", "daemonsets"),
    ("apps", "deployments"),
    ("apps", "replicasets"),
    ("apps", "statefulsets"),
    ("autoscaling", "horizontalpodautoscalers"),
    ("batch", "cronjobs"),
    ("coordination.k8s.io", "leases"),
    ("events.k8s.io", "events"),
    ("networking.k8s.io", "networkpolicies"),
    ("networking.k8s.io", "servicecidrs"),
    ("resource.k8s.io", "deviceclasses"),
    ("resource.k8s.io", "resourceslices"),
    ("scheduling.k8s.io", "priorityclasses"),
    ("storage.k8s.io", "csidrivers"),
];

/// The rule that a `metadata.generateName` obeys when an update changes it. It makes no name any more: for some kinds,
/// for those of users and where only a part of an object is written, it may be all that a path can hold.
///
/// Source: the functions `Validate...Update` of `k8s.io/kubernetes/pkg/apis`: which of them call `ValidateObjectMeta`.
pub(super) fn rule_of_changed(resource: &Resource, subresource: &str, rule: NameRule) -> Option<NameRule> {
    let is_asked = subresource.is_empty()
        && resource.custom.is_none()
        && !NAMED_ONCE.contains(&(&*resource.group, &*resource.name));
    is_asked.then_some(rule)
}

/// What is wrong with a `metadata.generateName` that an update changes.
pub(super) fn check_changed(base: &str, rule: Option<NameRule>) -> Vec<field::Error> {
    let path = field::Path::new("metadata").child("generateName");
    let mut problems = validation::is_path_segment_prefix(base);
    let of_kind = rule.filter(|_| !base.is_empty()).map(|rule| problems_of_base(base, rule));
    for problem in of_kind.into_iter().flatten() {
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
    problems.into_iter().map(|text| field::Error::invalid(&path, base, text)).collect()
}

#[cfg(test)]
mod tests {
    use portolan_api::description::builtin;

    use super::*;

    #[test]
    fn generated_names_keep_their_base_within_the_limit() {
        let name = generate("web-");
        assert!(name.starts_with("web-") && name.len() == 9, "{name}");
        assert_eq!(generate(&"x".repeat(100)).len(), GENERATED_LENGTH);
    }

    #[test]
    fn names_are_checked_by_the_rule_of_their_kind() {
        let cases = [
            ("web.example", NameRule::DnsSubdomain, true),
            ("web.example", NameRule::DnsLabel, false),
            ("1web", NameRule::DnsLabel, true),
            ("1web", NameRule::Dns1035Label, false),
            ("system:node", NameRule::PathSegment, true),
            ("a/b", NameRule::PathSegment, false),
            ("fd00::1", NameRule::IpAddress, true),
            ("FD00::1", NameRule::IpAddress, false),
            ("a_b", NameRule::MadeDnsSubdomain, false),
            ("", NameRule::DnsSubdomain, false),
        ];
        for (name, rule, valid) in cases {
            assert_eq!(check("", name, rule).is_empty(), valid, "{name} {rule:?}");
        }
    }

    #[test]
    fn a_changed_base_obeys_the_rule_of_kinds_that_are_held_to_it() {
        let cases = [
            ("", "configmaps", "", "Web-", 1),
            ("", "configmaps", "", "web-", 0),
            ("", "configmaps", "", "", 0),
            ("", "configmaps", "", "a/", 2),
            ("", "configmaps", "status", "Web-", 0),
            ("", "services", "", "a.b-", 1),
            ("apps", "deployments", "", "Web-", 0),
            ("apps", "deployments", "", "a/", 1),
            ("apps", "controllerrevisions", "", "Web-", 1),
            ("batch", "jobs", "", "Web-", 1),
            ("batch", "cronjobs", "", "Web-", 0),
            ("rbac.authorization.k8s.io", "roles", "", "Web:", 0),
            // Both say the same.
            ("rbac.authorization.k8s.io", "roles", "", "a/%", 2),
        ];
        for (group, name, subresource, base, problems) in cases {
            let resource = builtin().resources().find(|it| *it.group == *group && *it.name == *name);
            let rule = crate::resources::strategy(group, name).name_rule();
            let rule = rule_of_changed(resource.expect(name), subresource, rule);
            assert_eq!(check_changed(base, rule).len(), problems, "{group}/{name}/{subresource} {base}");
        }
        for (group, name) in NAMED_ONCE {
            assert!(builtin().resources().any(|it| *it.group == *group && *it.name == *name), "{group}/{name}");
        }
    }

    #[test]
    fn what_names_are_made_of_is_checked_with_an_end() {
        let cases = [
            ("web-", NameRule::DnsSubdomain, true),
            ("web.", NameRule::DnsSubdomain, false),
            ("web.-", NameRule::DnsSubdomain, true),
            ("web--", NameRule::DnsLabel, true),
            ("-", NameRule::DnsLabel, false),
            ("\u{e9}-", NameRule::DnsLabel, false),
            ("Web-", NameRule::DnsLabel, false),
            ("a.b-", NameRule::DnsLabel, false),
            ("1-", NameRule::Dns1035Label, true),
            ("1a-", NameRule::Dns1035Label, false),
            ("a_-", NameRule::MadeDnsSubdomain, true),
            ("A/", NameRule::MadeDnsSubdomain, false),
            ("..", NameRule::PathSegment, false),
            ("a%", NameRule::PathSegment, false),
            ("A:", NameRule::PathSegment, true),
            ("10.0.0.1", NameRule::IpAddress, true),
            ("10.0.0.", NameRule::IpAddress, false),
        ];
        for (base, rule, valid) in cases {
            let name = if rule == NameRule::IpAddress { "10.0.0.1" } else { "a" };
            let errors = check(base, name, rule);
            assert_eq!(errors.is_empty(), valid, "{base} {rule:?}: {errors:?}");
            assert!(errors.iter().all(|error| error.path.to_string() == "metadata.generateName"), "{errors:?}");
        }
        assert_eq!(made("10.0.0.1", NameRule::IpAddress), "10.0.0.1");
    }
}
