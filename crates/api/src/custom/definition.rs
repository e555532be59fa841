//! What a CustomResourceDefinition says.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde_json::Value;

use super::columns::Column;
use super::json_path::JsonPath;
use super::node::Node;
use super::{names, table};
use crate::description::{GroupVersionKind, OwnedKind, Resource, Schema, Subresource, Table, by_priority};
use crate::typed::Scope;

/// What can be done with every custom resource.
const VERBS: [&str; 8] = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];

/// A definition as it is served.
#[derive(Debug)]
pub struct Definition {
    /// Its own name: `<plural>.<group>`.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Group of the resources.
    pub group: String,
    /// Name as in a URL.
    pub plural: String,
    /// Name of one object.
    pub singular: String,
    /// Kind of the objects.
    pub kind: String,
    /// Kind of a list of them.
    pub list_kind: String,
    /// Abbreviations.
    pub short_names: Vec<String>,
    /// Groups of resources.
    pub categories: Vec<String>,
    /// Where the objects live.
    pub scope: Scope,
    /// The version in which objects are stored.
    pub storage_version: String,
    /// Whether that version is served, too.
    pub serves_storage_version: bool,
    /// How objects get from one version to another.
    pub conversion: Conversion,
    /// Objects written at or after this revision were written by what it says now.
    pub since: u64,
    /// Whether it is being deleted: nothing new may be created.
    pub terminating: bool,
    /// The whole object, encoded.
    source: Bytes,
    storage_root: OnceLock<Node>,
    /// The schemas of all versions, once one of them that is neither stored nor asked for was needed.
    roots: OnceLock<Vec<(String, Node)>>,
}

/// How objects get from one version to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conversion {
    /// Only `apiVersion` changes.
    None,
    /// A webhook does it.
    Webhook(WebhookClient),
}

/// How a webhook is reached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WebhookClient {
    /// Its `clientConfig`.
    pub config: Value,
    /// Versions of `ConversionReview` that it understands, the preferred one first.
    pub review_versions: Vec<String>,
}

/// Where the replicas of a custom resource stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scale {
    /// How many are wanted.
    pub spec_replicas: JsonPath,
    /// How many there are.
    pub status_replicas: JsonPath,
    /// Which objects are counted.
    pub label_selector: Option<JsonPath>,
}

/// One version of a definition.
#[derive(Debug)]
pub struct Version {
    /// What it is a version of.
    pub definition: Arc<Definition>,
    /// Its name.
    pub name: String,
    /// What users of it are told if it is deprecated.
    pub warning: Option<String>,
    /// Whether the status is written apart.
    pub has_status: bool,
    /// Where its replicas are, if it can be scaled.
    pub scale: Option<Scale>,
    place: usize,
    content: OnceLock<Content>,
    derived: OnceLock<Derived>,
}

/// What a reader of a version made of it.
struct Derived(Box<dyn Any + Send + Sync>);

impl std::fmt::Debug for Derived {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Derived")
    }
}

/// What is read when an object of a version is first touched.
#[derive(Debug)]
struct Content {
    root: Node,
    table: Table,
    columns: Vec<Column>,
    selectable: Vec<(String, JsonPath)>,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

impl Definition {
    /// The resources that an accepted definition serves, one per served version; none before it is established.
    ///
    /// `source` is the definition encoded, `since` the revision at which it was written.
    pub fn resources(object: &Value, source: &Bytes, since: u64) -> Vec<Arc<Resource>> {
        if !names::is_established(object) {
            return Vec::new();
        }
        let spec = &object["spec"];
        let accepted = &object["status"]["acceptedNames"];
        let versions = spec["versions"].as_array().map_or(&[][..], Vec::as_slice);
        let storage = versions.iter().find(|version| version["storage"] == true);
        let definition = Arc::new(Self {
            name: text(&object["metadata"]["name"]),
            uid: text(&object["metadata"]["uid"]),
            group: text(&spec["group"]),
            plural: text(&accepted["plural"]),
            singular: text(&accepted["singular"]),
            kind: text(&accepted["kind"]),
            list_kind: text(&accepted["listKind"]),
            short_names: texts(&accepted["shortNames"]),
            categories: texts(&accepted["categories"]),
            scope: if spec["scope"] == "Namespaced" { Scope::Namespaced } else { Scope::Cluster },
            storage_version: storage.map(|version| text(&version["name"])).unwrap_or_default(),
            serves_storage_version: storage.is_some_and(|version| version["served"] == true),
            conversion: Conversion::read(&spec["conversion"]),
            since,
            terminating: names::is_terminating(object),
            source: source.clone(),
            storage_root: OnceLock::new(),
            roots: OnceLock::new(),
        });
        let served = versions.iter().enumerate().filter(|(_, version)| version["served"] == true);
        served.map(|(place, version)| Arc::new(definition.resource(place, version, versions))).collect()
    }

    fn resource(self: &Arc<Self>, place: usize, version: &Value, versions: &[Value]) -> Resource {
        let own = |text: &str| text.to_owned().into();
        let name = text(&version["name"]);
        let subresources = &version["subresources"];
        let has_status = subresources["status"].is_object();
        let scale = Scale::read(&subresources["scale"]);
        let own_kind = OwnedKind { group: own(&self.group), version: own(&name), kind: own(&self.kind) };
        let mut below = Vec::new();
        let verbs = || vec!["get", "patch", "update"];
        if has_status {
            below.push(Subresource { name: "status".into(), kind: own_kind, verbs: verbs() });
        }
        if scale.is_some() {
            let kind = GroupVersionKind { group: "autoscaling", version: "v1", kind: "Scale" };
            below.push(Subresource { name: "scale".into(), kind: kind.into(), verbs: verbs() });
        }
        let deprecated = (version["deprecated"] == true).then(|| match version["deprecationWarning"].as_str() {
            Some(given) => given.to_owned(),
            None => {
                let newer = versions.iter().filter(|it| it["served"] == true && it["deprecated"] != true);
                let mut newer: Vec<&str> = newer.filter_map(|it| it["name"].as_str()).collect();
                newer.retain(|other| by_priority(other, &name).is_lt());
                newer.sort_by(|a, b| by_priority(a, b));
                let instead = newer.first().map(|version| format!("; use {}/{version} {}", self.group, self.kind));
                format!("{}/{name} {} is deprecated{}", self.group, self.kind, instead.unwrap_or_default())
            }
        });
        Resource {
            group: own(&self.group),
            version: own(&name),
            name: own(&self.plural),
            singular: self.singular.clone(),
            kind: own(&self.kind),
            list_kind: own(&self.list_kind),
            scope: self.scope,
            verbs: VERBS.to_vec(),
            short_names: self.short_names.iter().map(|name| own(name)).collect(),
            categories: self.categories.iter().map(|name| own(name)).collect(),
            subresources: below,
            custom: Some(Arc::new(Version {
                definition: self.clone(),
                name,
                warning: deprecated,
                has_status,
                scale,
                place,
                content: OnceLock::new(),
                derived: OnceLock::new(),
            })),
        }
    }

    /// The schema of the version in which objects are stored, whether it is served or not.
    pub fn storage_root(&self) -> &Node {
        self.storage_root.get_or_init(|| {
            let object = self.object();
            let versions = object["spec"]["versions"].as_array().into_iter().flatten();
            let storage = versions.into_iter().find(|version| version["storage"] == true);
            storage.map(|version| Node::read(&version["schema"]["openAPIV3Schema"])).unwrap_or_default()
        })
    }

    /// The schema of a version, whether it is served or not. `None` if there is none of that name.
    pub fn root_of(&self, version: &str) -> Option<&Node> {
        if version == self.storage_version {
            return Some(self.storage_root());
        }
        let roots = self.roots.get_or_init(|| {
            let object = self.object();
            let versions = object["spec"]["versions"].as_array().into_iter().flatten();
            versions.map(|it| (text(&it["name"]), Node::read(&it["schema"]["openAPIV3Schema"]))).collect()
        });
        roots.iter().find(|(name, _)| name == version).map(|(_, root)| root)
    }

    fn object(&self) -> Value {
        // It was stored by the server, so it is JSON.
        serde_json::from_slice(&self.source).unwrap_or_default()
    }

    /// Its name with the name of a version: changes whenever what it says does.
    pub fn fingerprint(&self) -> (&str, u64) {
        (&self.uid, self.since)
    }
}

impl Conversion {
    fn read(conversion: &Value) -> Self {
        if conversion["strategy"] != "Webhook" {
            return Self::None;
        }
        let webhook = &conversion["webhook"];
        Self::Webhook(WebhookClient {
            config: webhook["clientConfig"].clone(),
            review_versions: texts(&webhook["conversionReviewVersions"]),
        })
    }
}

impl Scale {
    fn read(scale: &Value) -> Option<Self> {
        let path = |name: &str| JsonPath::parse(scale[name].as_str()?).ok();
        Some(Self {
            spec_replicas: path("specReplicasPath")?,
            status_replicas: path("statusReplicasPath")?,
            label_selector: path("labelSelectorPath"),
        })
    }
}

impl Version {
    /// The schema of the objects, as merges want it.
    pub fn schema(&self) -> Schema<'_> {
        Schema::of_definition(&self.content().table, 0)
    }

    /// The schema of the objects as it was given.
    pub fn root(&self) -> &Node {
        &self.content().root
    }

    /// Columns beside the name; empty if the definition names none.
    pub fn columns(&self) -> &[Column] {
        &self.content().columns
    }

    /// Fields that a field selector may name, and where they are.
    pub fn selectable(&self) -> &[(String, JsonPath)] {
        &self.content().selectable
    }

    /// The kind of its objects.
    pub fn kind(&self) -> GroupVersionKind<'_> {
        GroupVersionKind { group: &self.definition.group, version: &self.name, kind: &self.definition.kind }
    }

    /// Whether objects are stored in this version.
    pub fn is_storage(&self) -> bool {
        self.name == self.definition.storage_version
    }

    /// This version as the definition has it: `spec.versions[...]`.
    pub fn source(&self) -> Value {
        let mut object = self.definition.object();
        object["spec"]["versions"].get_mut(self.place).map(Value::take).unwrap_or_default()
    }

    /// What `make` made of this version at the first call. There is room for one type.
    ///
    /// # Panics
    /// Another type was made before.
    pub fn derived<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> &T {
        let derived = self.derived.get_or_init(|| Derived(Box::new(make())));
        derived.0.downcast_ref().expect("only one type is derived from a version")
    }

    fn content(&self) -> &Content {
        self.content.get_or_init(|| {
            let source = self.source();
            let root = Node::read(&source["schema"]["openAPIV3Schema"]);
            let selectable = source["selectableFields"].as_array().into_iter().flatten().filter_map(|field| {
                let path = field["jsonPath"].as_str()?;
                Some((path.trim_start_matches('.').to_owned(), JsonPath::parse(path).ok()?))
            });
            Content {
                table: table::table(&root, self.kind(), self.has_status),
                columns: Column::read_all(&source["additionalPrinterColumns"]),
                selectable: selectable.collect(),
                root,
            }
        })
    }
}

/// The name of a kind in OpenAPI documents: `com.example.stable.v1.CronTab`.
pub(super) fn definition_name(kind: GroupVersionKind<'_>) -> String {
    let mut parts: Vec<&str> = kind.group.split('.').rev().collect();
    parts.extend([kind.version, kind.kind]);
    parts.join(".")
}
