//! Questions to an authorizer.

/// Who answers whether somebody may do something.
pub trait Authorizer: std::fmt::Debug + Send + Sync {
    /// Decides.
    fn decide(&self, asked: &Asked) -> Decided;
}

pub(crate) const AUTHORIZER: &str = "kubernetes.authorization.Authorizer";
pub(crate) const PATH_CHECK: &str = "kubernetes.authorization.PathCheck";
pub(crate) const GROUP_CHECK: &str = "kubernetes.authorization.GroupCheck";
pub(crate) const RESOURCE_CHECK: &str = "kubernetes.authorization.ResourceCheck";
pub(crate) const DECISION: &str = "kubernetes.authorization.Decision";

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    /// Another identity than that of the request: namespace and name of a service account.
    pub service_account: Option<(String, String)>,
    /// The verb; for paths an HTTP method in lower case.
    pub verb: String,
    /// About what.
    pub what: What,
}

/// What a question is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum What {
    /// Nothing yet
    #[default]
    Nothing,
    /// A path that is not a resource
    Path(String),
    /// A group of resources
    Group(String),
    /// A resource
    Resource(Resource),
}

/// A resource that a question is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resource {
    /// Its group; empty for the core group
    pub group: String,
    /// Its name in URLs
    pub resource: String,
    /// The subresource, if any
    pub subresource: String,
    /// The namespace, if any
    pub namespace: String,
    /// The object, if any
    pub name: String,
    /// Which objects by fields
    pub field_selector: String,
    /// Which objects by labels
    pub label_selector: String,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decided {
    /// Whether it may be done.
    pub allowed: bool,
    /// Why.
    pub reason: String,
    /// What went wrong, if something did.
    pub error: String,
}

impl Asked {
    pub(crate) fn type_name(&self) -> &'static str {
        match self.what {
            What::Nothing => AUTHORIZER,
            What::Path(_) => PATH_CHECK,
            What::Group(_) => GROUP_CHECK,
            What::Resource(_) => RESOURCE_CHECK,
        }
    }
}
