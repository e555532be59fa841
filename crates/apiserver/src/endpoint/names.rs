//! Names of objects.

use portolan_api::{field, validation};

use crate::strategy::NameRule;

/// What may stand in the random part of a generated name: no vowels, so that no words appear, and
/// nothing that looks like something else.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

const RANDOM_LENGTH: usize = 5;
const GENERATED_LENGTH: usize = 63;

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
        NameRule::DnsSubdomain => validation::is_dns1123_subdomain(name),
        NameRule::DnsLabel => validation::is_dns1123_label(name),
        NameRule::Dns1035Label => validation::is_dns1035_label(name),
        NameRule::PathSegment => validation::is_path_segment_name(name),
    }
}

/// What is wrong with `metadata.name`.
pub(super) fn check(name: &str, rule: NameRule) -> Vec<field::Error> {
    let path = field::Path::new("metadata").child("name");
    if name.is_empty() {
        return vec![field::Error::required(&path, "name or generateName is required")];
    }
    problems(name, rule).into_iter().map(|text| field::Error::invalid(&path, name, text)).collect()
}

#[cfg(test)]
mod tests {
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
            ("", NameRule::DnsSubdomain, false),
        ];
        for (name, rule, valid) in cases {
            assert_eq!(check(name, rule).is_empty(), valid, "{name} {rule:?}");
        }
    }
}
