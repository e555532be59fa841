//! Annotations by which objects of the core ask something of the registry, and what is remembered of its own.

/// Puts a pod under this name into the registry.
pub const PUBLISHED_NAME: &str = "registry.portolan.dev/name";
/// The port that a pod shows there: a number, or the name of a container's port.
pub const PUBLISHED_PORT: &str = "registry.portolan.dev/port";
/// The tags of a pod there, separated by commas.
pub const PUBLISHED_TAGS: &str = "registry.portolan.dev/tags";
/// Names the service of the registry whose instances stand behind a Service without selector: `NAME`, or
/// `NAMESPACE/NAME` of another namespace.
pub const MIRRORED_SERVICE: &str = "registry.portolan.dev/service";
/// By which the API server remembers at which revision an object of the registry came into being, once it was changed:
/// the store tells the last change only.
pub const CREATED_REVISION: &str = "registry.portolan.dev/created-revision";
