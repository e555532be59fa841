//! Descriptions that hold more than what is built in.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Description, Group, Name, Resource, Version, builtin};

impl Description {
    /// This description with exactly these user-defined resources in a group, of all its versions.
    ///
    /// Costs what the group holds; everything else is shared. What is built in stays, and wins where
    /// both have a resource of the same name.
    #[must_use]
    pub fn with_custom(&self, group: &str, resources: impl IntoIterator<Item = Arc<Resource>>) -> Self {
        let built_in = builtin().group(group);
        let mut versions: BTreeMap<Name, Vec<Arc<Resource>>> = BTreeMap::new();
        for resource in resources {
            let taken = built_in.is_some_and(|group| {
                let version = group.versions.iter().find(|version| version.version == resource.version);
                version.is_some_and(|version| version.resource(&resource.name).is_some())
            });
            if !taken {
                versions.entry(resource.version.clone()).or_default().push(resource);
            }
        }
        let mut made: Vec<Arc<Version>> = Vec::new();
        for version in built_in.into_iter().flat_map(|group| &group.versions) {
            match versions.remove(&version.version) {
                None => made.push(version.clone()),
                Some(mut more) => {
                    more.extend(version.resources.iter().cloned());
                    made.push(version_of(group, version.version.clone(), more));
                }
            }
        }
        let mut others: Vec<_> = versions.into_iter().collect();
        others.sort_by(|(a, _), (b, _)| by_priority(a, b));
        made.extend(others.into_iter().map(|(version, resources)| version_of(group, version, resources)));

        let mut new = self.clone();
        let made = (!made.is_empty()).then(|| Arc::new(Group { name: group.to_owned().into(), versions: made }));
        match (new.place(group), made) {
            (Ok(place), Some(made)) => new.groups[place] = made,
            (Ok(place), None) => drop(new.groups.remove(place)),
            (Err(place), Some(made)) => new.groups.insert(place, made),
            (Err(_), None) => {}
        }
        new
    }

    /// Where a group is, or where it would be.
    pub(super) fn place(&self, group: &str) -> Result<usize, usize> {
        let (built_in, others) = self.groups.split_at(self.built_in);
        if let Some(place) = built_in.iter().position(|candidate| candidate.name == group) {
            return Ok(place);
        }
        let place = others.binary_search_by(|candidate| (*candidate.name).cmp(group));
        place.map(|place| self.built_in + place).map_err(|place| self.built_in + place)
    }
}

fn version_of(group: &str, version: Name, mut resources: Vec<Arc<Resource>>) -> Arc<Version> {
    resources.sort_by(|a, b| a.name.cmp(&b.name));
    Arc::new(Version::new(group.to_owned().into(), version, resources))
}

/// Which of two versions is preferred, the preferred one first: `v2`, `v1`, `v2beta1`, `v1beta2`, `v1alpha1`, then
/// all else by name. Source: `k8s.io/apimachinery/pkg/version`, `CompareKubeAwareVersionStrings`.
pub fn by_priority(a: &str, b: &str) -> Ordering {
    match (parsed(a), parsed(b)) {
        (Some(a), Some(b)) => b.cmp(&a),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

/// Stability (2 for stable, 1 for beta, 0 for alpha), major and minor number.
fn parsed(version: &str) -> Option<(u8, u64, u64)> {
    let rest = version.strip_prefix('v')?;
    let digits = rest.len() - rest.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
    let (major, rest) = rest.split_at(digits);
    let major = major.parse().ok()?;
    if rest.is_empty() {
        return Some((2, major, 0));
    }
    let (stability, minor) = match (rest.strip_prefix("beta"), rest.strip_prefix("alpha")) {
        (Some(minor), _) => (1, minor),
        (None, Some(minor)) => (0, minor),
        (None, None) => return None,
    };
    let is_number = minor.bytes().all(|byte| byte.is_ascii_digit());
    Some((stability, major, minor.parse().ok().filter(|_| is_number)?))
}
