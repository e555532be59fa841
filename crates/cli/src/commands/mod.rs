//! One file per command.

pub(crate) mod apply;
pub(crate) mod backup;
pub(crate) mod delete;
pub(crate) mod describe;
pub(crate) mod dns;
pub(crate) mod exec;
pub(crate) mod explain;
pub(crate) mod get;
pub(crate) mod kubeconfig;
pub(crate) mod logs;
pub(crate) mod manifests;
pub(crate) mod register;
pub(crate) mod registry;
pub(crate) mod registry_http;
pub(crate) mod scale;
pub(crate) mod status;
pub(crate) mod target;
pub(crate) mod top;
pub(crate) mod wait;
pub(crate) mod watch;
