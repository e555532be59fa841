//! Decisions about a write that need more than the object itself.
//!
//! Two steps, as upstream: [`mutate`] may change the object and runs before its checks, [`validate`] only says
//! yes or no and sees what will be written. Within a step the order is that of [`chain`]: what is built in,
//! then policies, then webhooks. Every write comes by here, whatever dialect of patch brought it.

mod attributes;
mod chain;
pub(crate) mod controllers;
mod plugins;
pub(crate) mod policy;
mod quota;
mod settings;
mod state;
mod webhook;

pub(crate) use attributes::{Attributes, Operation};
pub(crate) use chain::{admits_plainly, mutate, validate};
pub(crate) use plugins::note_harmless_update;
pub(crate) use quota::Charge;
pub use settings::{AdmissionSettings, WebhookUsersReader};
pub(crate) use state::Admission;
