//! The API server: one generic handler over the store, and a small strategy per kind.
//!
//! A request goes through [`Server::handle`]: who asks (`authentication`), may they
//! (`authorization`), which resource is it (`router`, from the API description), then the one
//! `endpoint` that serves every resource, or a `subresource`. Objects are stored as the bytes that
//! clients get; see `storage`.

pub mod access;
mod admission;
mod aggregation;
pub mod audit;
pub mod authentication;
pub mod authorization;
mod backup;
mod body;
mod bootstrap;
mod cache;
mod component_status;
mod config;
mod configuration;
mod cork;
mod discovery;
mod encryption;
mod endpoint;
mod event_leases;
mod extensions;
mod fairness;
mod flagz;
mod followed_file;
mod health;
mod heartbeats;
mod known;
mod measurements;
mod metrics;
mod negotiate;
mod outgoing;
mod own_service;
mod request;
pub mod resources;
mod respond;
mod rounds;
mod router;
mod server;
mod service_addresses;
mod status;
mod statusz;
mod storage;
pub mod strategy;
mod streams;
mod subresource;
mod transcode;
mod webhook_client;

pub use access::{Access, ServiceAccounts};
pub use admission::{AdmissionSettings, WebhookUsersReader};
pub use body::{Body, BoxError, empty, full};
pub use config::{Config, Error, Network, Networks, NotANetwork};
pub use configuration::Invalid;
pub use encryption::Encryption;
pub use followed_file::{Kubeconfigs, SettingsFile};
pub use outgoing::{Endpoint, Unusable};
pub use server::{Peer, Server};
pub use status::Status;
pub use webhook_client::{WebhookUser, WebhookUsers};
