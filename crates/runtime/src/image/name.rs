//! Image names: `my-image:latest` is `docker.io/library/my-image:latest`.
//!
//! The grammar is that of the OCI distribution specification ("Pulling manifests") with Docker's
//! defaults for what is left out.

use std::fmt;
use std::str::FromStr;

use crate::Error;

const DEFAULT_REGISTRY: &str = "docker.io";
const DEFAULT_NAMESPACE: &str = "library/";
const LONGEST_NAME: usize = 255;
const LONGEST_TAG: usize = 128;

/// A full image name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName {
    /// Host and port of the registry.
    pub registry: String,
    /// Path within the registry.
    pub repository: String,
    /// Tag; `latest` if neither tag nor digest was given.
    pub tag: Option<String>,
    /// Digest, with its algorithm.
    pub digest: Option<String>,
}

impl ImageName {
    /// The name without tag and digest.
    pub fn path(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(formatter, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for ImageName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text).map_err(|reason| Error::InvalidImageName { image: text.to_owned(), reason: reason.to_owned() })
    }
}

fn parse(text: &str) -> Result<ImageName, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(parse_digest(digest)?)),
        None => (text, None),
    };
    // A colon before the last slash belongs to the registry's port.
    let (path, tag) = match rest.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(parse_tag(tag)?)),
        _ => (rest, None),
    };
    let (registry, repository) = match path.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
            (parse_registry(first)?, rest.to_owned())
        }
        Some(_) => (DEFAULT_REGISTRY.to_owned(), path.to_owned()),
        None => (DEFAULT_REGISTRY.to_owned(), format!("{DEFAULT_NAMESPACE}{path}")),
    };
    let registry = if registry == "index.docker.io" { DEFAULT_REGISTRY.to_owned() } else { registry };
    if repository.len() > LONGEST_NAME {
        return Err("the name is longer than 255 characters");
    }
    repository.split('/').try_for_each(check_component)?;
    let tag = tag.or_else(|| digest.is_none().then(|| "latest".to_owned()));
    Ok(ImageName { registry, repository, tag, digest })
}

fn parse_digest(digest: &str) -> Result<String, &'static str> {
    let valid = digest.split_once(':').is_some_and(|(algorithm, hex)| {
        let length = match algorithm {
            "sha256" => 64,
            "sha512" => 128,
            _ => return false,
        };
        hex.len() == length && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    });
    if valid { Ok(digest.to_owned()) } else { Err("what follows @ is not a digest such as sha256:<64 hex digits>") }
}

fn parse_tag(tag: &str) -> Result<String, &'static str> {
    let first = tag.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let rest = tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
    if first && rest && tag.len() <= LONGEST_TAG {
        Ok(tag.to_owned())
    } else {
        Err("the tag may have letters, digits, '_', '.' and '-' only, and 128 characters")
    }
}

fn parse_registry(registry: &str) -> Result<String, &'static str> {
    let (host, port) = registry.rsplit_once(':').map_or((registry, None), |(host, port)| (host, Some(port)));
    let host_valid =
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    let port_valid = port.is_none_or(|port| port.parse::<u16>().is_ok());
    if host_valid && port_valid { Ok(registry.to_owned()) } else { Err("the registry is not a host name with a port") }
}

/// Lower case letters and digits, in between one of `.`, `_`, `__` or dashes.
fn check_component(component: &str) -> Result<(), &'static str> {
    if component.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("the repository must be lower case");
    }
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let separators_valid = component
        .split(|letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit())
        .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-'));
    if edge(component.bytes().next()) && edge(component.bytes().last()) && separators_valid {
        Ok(())
    } else {
        Err("the repository may have lower case letters and digits, separated by '.', '_', '-' and '/'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let table = [
            ("my-image", "docker.io/library/my-image:latest".to_owned()),
            ("my-image:1.2", "docker.io/library/my-image:1.2".to_owned()),
            ("team/app", "docker.io/team/app:latest".to_owned()),
            ("localhost/app", "localhost/app:latest".to_owned()),
            ("localhost:5000/a/b:x", "localhost:5000/a/b:x".to_owned()),
            ("registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.9".to_owned()),
            ("index.docker.io/library/a", "docker.io/library/a:latest".to_owned()),
            (&format!("a@{digest}"), format!("docker.io/library/a@{digest}")),
            (&format!("a:t@{digest}"), format!("docker.io/library/a:t@{digest}")),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse::<ImageName>().map(|name| name.to_string()).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn names_that_are_none_are_refused() {
        for text in
            ["", "UPPER", "a b", "a:", "a:-x", "/a", "a//b", "a@sha256:12", "-a", "a..b", "exa mple.com/a", "a:b:c/d"]
        {
            let error = text.parse::<ImageName>().expect_err(text);
            assert!(matches!(error, Error::InvalidImageName { .. }), "{text}");
        }
    }
}
