//! Names of images, as far as the default of the pull policy depends on them.
//!
//! Source: `github.com/distribution/reference`, by which upstream reads them.

/// The longest name.
const NAME_LENGTH: usize = 255;
const TAG_LENGTH: usize = 128;
const LATEST: &str = "latest";

/// `Always` for images whose tag is `latest`, spelled out or implied; a digest implies no tag. A name that cannot be
/// read has no tag.
pub(super) fn pull_policy(image: &str) -> &'static str {
    if tag(image) == Some(LATEST) { "Always" } else { "IfNotPresent" }
}

/// The tag of an image; none for a name that cannot be read.
fn tag(image: &str) -> Option<&str> {
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (image, None),
    };
    let (domain, rest) = match name.split_once('/') {
        Some((first, rest)) if is_domain_like(first) => (first, rest),
        _ => ("", name),
    };
    let (path, tag) = match rest.split_once(':') {
        Some((path, tag)) => (path, Some(tag)),
        None => (rest, None),
    };
    // What looks like an image's id names no image.
    let is_id = digest.is_none() && image.len() == 64 && image.bytes().all(is_hex);
    let is_valid = !is_id
        && (domain.is_empty() || is_domain(domain))
        && name.len() <= NAME_LENGTH
        && path.split('/').all(is_component)
        && tag.is_none_or(is_tag)
        && digest.is_none_or(is_digest);
    match (tag, digest) {
        _ if !is_valid => None,
        (Some(tag), _) => Some(tag),
        (None, Some(_)) => None,
        (None, None) => Some(LATEST),
    }
}

/// Whether the first part of a name is a registry: it has a dot or a port, or letters that no repository has.
fn is_domain_like(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn is_domain(domain: &str) -> bool {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if let Some((address, port)) = domain.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let is_address = !address.is_empty() && address.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':');
        return is_address && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    }
    let (host, port) = domain.split_once(':').map_or((domain, None), |(host, port)| (host, Some(port)));
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    host.split('.').all(is_part) && port.is_none_or(is_port)
}

/// Small letters and digits, between which stand one dot, one or two underscores, or hyphens.
fn is_component(component: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bounded = component.bytes().next().is_some_and(is_letter) && component.bytes().last().is_some_and(is_letter);
    let separators = component.split(|letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit());
    bounded
        && separators
            .into_iter()
            .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-'))
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= TAG_LENGTH
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

/// The algorithms are those that are known there.
fn is_digest(digest: &str) -> bool {
    let length = |algorithm| match algorithm {
        "sha256" => Some(64),
        "sha384" => Some(96),
        "sha512" => Some(128),
        _ => None,
    };
    digest
        .split_once(':')
        .is_some_and(|(algorithm, value)| length(algorithm) == Some(value.len()) && value.bytes().all(is_hex))
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::pull_policy;

    #[test]
    fn the_tag_decides() {
        let digest = format!("a@sha256:{}", "0".repeat(64));
        let tagged = format!("a:latest@sha256:{}", "0".repeat(64));
        let cases = [
            ("a", "Always"),
            ("a:latest", "Always"),
            ("a:1", "IfNotPresent"),
            ("example.com:5000/a/b", "Always"),
            ("example.com:5000/a/b:2", "IfNotPresent"),
            ("[::1]:5000/a", "Always"),
            ("localhost/a_b", "Always"),
            (&digest, "IfNotPresent"),
            (&tagged, "Always"),
            ("a@sha256:0", "IfNotPresent"),
            ("Foo/Bar", "IfNotPresent"),
            ("Foo/bar", "Always"),
            ("foo/Bar", "IfNotPresent"),
            ("a..b", "IfNotPresent"),
            ("a___b", "IfNotPresent"),
            ("a--b", "Always"),
            ("a b", "IfNotPresent"),
            ("a:-", "IfNotPresent"),
            ("", "IfNotPresent"),
        ];
        for (image, policy) in cases {
            assert_eq!(pull_policy(image), policy, "{image}");
        }
    }
}
