//! A typed client of the API over any transport, and shared views of its objects.
//!
//! * [`Client`] speaks requests and answers; [`Transport`] carries them: [`HttpsTransport`] over the
//!   network, the wiring's own one inside the process, `testing::FakeServer` in tests.
//! * [`Informers`] keep copies of whole kinds up to date. Each object version is decoded once per
//!   process and shared as an `Arc`.
//! * [`WorkQueue`] collects the keys that changed; it carries no data, so that whoever is woken
//!   looks at the latest state.
//! * [`EventRecorder`] writes what people read under `kubectl describe`.

mod body;
mod client;
mod discovery;
mod error;
mod events;
mod https;
mod informer;
mod kubeconfig;
mod params;
mod queue;
mod selector;
#[cfg(feature = "testing")]
pub mod testing;
mod toleration;
mod transport;
mod watch;

pub use client::Client;
pub use discovery::ApiResource;
pub use error::{Error, Status, StatusCause, StatusDetails};
pub use events::{EventRecorder, EventType, ObjectReference, reference};
pub use https::{Endpoint, HttpsTransport, Upgrade};
pub use informer::{Encoded, Informer, Informers, MetadataInformer, PartialKind};
pub use kubeconfig::{Kubeconfig, KubeconfigError, UserCredentials};
pub use params::{DeleteOptions, ListParams, Patch, Propagation, ResourcePath, WatchParams, percent_encode};
pub use queue::{Key, KeyFeed, WorkQueue};
pub use selector::{is_empty, selects};
pub use toleration::tolerates;
pub use transport::{Body, BoxError, SharedFrames, Transport, body_of};
pub use watch::{WatchEvent, WatchStream};
