//! What the catalog is fed with.

use std::sync::Arc;

use portolan_api::typed::kinds::core::v1 as core;
use portolan_api::typed::kinds::discovery::v1::EndpointSlice;
use portolan_api::typed::{ExternalNode, Object as _, PreparedQuery, ServiceInstance};

/// An object the catalog is derived from.
#[derive(Debug, Clone)]
pub enum Input {
    /// A service.
    Service(Arc<core::Service>),
    /// Endpoints of a service.
    EndpointSlice(Arc<EndpointSlice>),
    /// A pod.
    Pod(Arc<core::Pod>),
    /// A node.
    Node(Arc<core::Node>),
    /// An instance that registered itself.
    Registration(Arc<ServiceInstance>),
    /// A machine outside the cluster.
    ExternalNode(Arc<ExternalNode>),
    /// A prepared query.
    PreparedQuery(Arc<PreparedQuery>),
}

impl Input {
    /// The revision of the store at which the object became like this; 0 if that is not known.
    pub(crate) fn revision(&self) -> u64 {
        match self {
            Self::Service(object) => object.revision(),
            Self::EndpointSlice(object) => object.revision(),
            Self::Pod(object) => object.revision(),
            Self::Node(object) => object.revision(),
            Self::Registration(object) => object.revision(),
            Self::ExternalNode(object) => object.revision(),
            Self::PreparedQuery(object) => object.revision(),
        }
    }
}

/// The kind of an [`Input`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A service.
    Service,
    /// Endpoints of a service.
    EndpointSlice,
    /// A pod.
    Pod,
    /// A node.
    Node,
    /// An instance that registered itself.
    Registration,
    /// A machine outside the cluster.
    ExternalNode,
    /// A prepared query.
    PreparedQuery,
}
