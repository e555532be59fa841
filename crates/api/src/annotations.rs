//! Annotations by which objects of the core ask something of the registry.

/// Puts a pod under this name into the registry.
pub const PUBLISHED_NAME: &str = "registry.portolan.dev/name";
/// The port that a pod shows there: a number, or the name of a container's port.
pub const PUBLISHED_PORT: &str = "registry.portolan.dev/port";
/// The tags of a pod there, separated by commas.
pub const PUBLISHED_TAGS: &str = "registry.portolan.dev/tags";
/// Names the service of the registry whose instances stand behind a Service without selector: `NAME`, or
/// `NAMESPACE/NAME` of another namespace.
pub const MIRRORED_SERVICE: &str = "registry.portolan.dev/service";
