//! Which kinds a server has.

use http::Method;
use portolan_api::typed::Scope;
use serde::Deserialize;
use serde_json::Value;

use crate::client::Client;
use crate::error::Error;
use crate::params::ResourcePath;

/// A kind as the server describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiResource {
    /// API group; empty for the core group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Plural resource name.
    pub resource: String,
    /// Kind.
    pub kind: String,
    /// Where its objects live.
    pub scope: Scope,
    /// What can be done with it.
    pub verbs: Vec<String>,
}

impl ApiResource {
    /// Whether something can be done with it.
    pub fn can(&self, verb: &str) -> bool {
        self.verbs.iter().any(|known| known == verb)
    }

    /// `group/version`, or `version` in the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Where its objects are found.
    pub fn path(&self) -> ResourcePath {
        ResourcePath::new(&self.group, &self.version, &self.resource, self.scope)
    }
}

#[derive(Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    name: String,
    preferred_version: Version,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

#[derive(Deserialize)]
struct Resources {
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    name: String,
    kind: String,
    namespaced: bool,
    verbs: Vec<String>,
}

impl Client {
    /// All resources in the preferred version of their group, without subresources.
    ///
    /// # Errors
    /// The server refuses, cannot be reached or answers out of form.
    pub async fn discover(&self) -> Result<Vec<ApiResource>, Error> {
        let groups: Groups = self.document("/apis").await?;
        let mut resources = self.discover_version("", "v1").await?;
        for group in groups.groups {
            resources.extend(self.discover_version(&group.name, &group.preferred_version.version).await?);
        }
        Ok(resources)
    }

    async fn discover_version(&self, group: &str, version: &str) -> Result<Vec<ApiResource>, Error> {
        let path = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        let document: Resources = self.document(&path).await?;
        let whole = document.resources.into_iter().filter(|resource| !resource.name.contains('/'));
        let resources = whole.map(|resource| ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            resource: resource.name,
            kind: resource.kind,
            scope: if resource.namespaced { Scope::Namespaced } else { Scope::Cluster },
            verbs: resource.verbs,
        });
        Ok(resources.collect())
    }

    async fn document<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let value: Value = self.raw(Method::GET, path, None).await?;
        serde_json::from_value(value).map_err(|source| Error::Decode { path: path.to_owned(), source })
    }
}
