//! What the server itself writes into definitions.

use std::pin::Pin;

use portolan_api::custom::{self, Converter};
use portolan_api::time;
use serde_json::{Value, json};

use super::{DEFINITIONS, FINALIZER, GROUP};
use crate::bootstrap::{Own, SERVER};
use crate::endpoint::Call;
use crate::request::Query;
use crate::resources::unusable_bundle;
use crate::server::Server;
use crate::status::Status;
use crate::storage;

/// Writes into a definition that was written which of its names it has got, and whether it is served.
///
/// Upstream's controllers do so soon afterwards. That is known at once, so no client has to wait for it: the definition
/// is not answered before. Writing this is a write too: without a box, the one would hold the other.
pub(crate) fn settle<'s>(server: &'s Server, name: &str) -> Pin<Box<dyn Future<Output = ()> + Send + 's>> {
    let object = json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": "CustomResourceDefinition", "metadata": {"name": name},
    });
    Box::pin(async move {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let outcome = match Own::about(&object, "update", SERVER, Query::default()) {
            Ok(own) => own.of_status().settle(server).await,
            Err(error) => Err(Status::internal(error.to_string())),
        };
        match outcome {
            // It is gone meanwhile.
            Err(status) if status.code() == 404 => {}
            Err(error) => tracing::warn!(name, %error, "it could not be written whether a definition has its names"),
            Ok(()) => {}
        }
    })
}

impl Own {
    async fn settle(&self, server: &Server) -> Result<(), Status> {
        let call = self.call(server);
        let old = storage::decode(&*call.entry(&self.info.name).await?)?;
        let settled = |old: &Value| {
            let mut new = old.clone();
            call.settle_definition(&mut new);
            new
        };
        if settled(&old) == old {
            return Ok(());
        }
        call.change(false, &mut Vec::new(), |old, _| Ok(settled(old).into())).await.map(drop)
    }
}

impl Call<'_> {
    /// Whether the request is about definitions.
    pub(crate) fn is_definition(&self) -> bool {
        self.resource.group == GROUP && self.resource.name == DEFINITIONS
    }

    /// Puts into a definition which of its names it has got, and whether it is served.
    fn settle_definition(&self, object: &mut Value) {
        if custom::is_terminating(object) {
            return;
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let others = self.server.extensions.others(&text(&object["spec"]["group"]), &text(&object["metadata"]["name"]));
        let accepted = custom::accept(&object["spec"]["names"], others.iter().map(|other| &**other));
        let converter = match unusable_bundle(&object["spec"]["conversion"]) {
            None => Converter::Trusted,
            Some(_) => Converter::BadBundle,
        };
        let now = time::format(self.now);
        custom::settle(object, accepted, converter, &now);
        custom::judge_approval(object, &now);
    }

    /// Marks a definition whose deletion begins: its objects go first.
    ///
    /// Upstream writes no more than this: neither a grace period nor a new generation.
    pub(crate) fn mark_definition(&self, object: &mut Value) {
        let now = time::format(self.now);
        object["metadata"]["deletionTimestamp"] = now.as_str().into();
        let finalizers = &mut object["metadata"]["finalizers"];
        match finalizers.as_array_mut() {
            Some(list) if list.iter().any(|name| name == FINALIZER) => {}
            Some(list) => list.push(FINALIZER.into()),
            None => *finalizers = json!([FINALIZER]),
        }
        let text = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
        custom::set_condition(object, "Terminating", true, "InstanceDeletionPending", text, &now);
    }

    /// Refuses new objects of a kind that is going away.
    pub(crate) fn check_definition(&self, name: &str) -> Result<(), Status> {
        let Some(custom) = &self.resource.custom else { return Ok(()) };
        if self.info.verb == "create" && custom.definition.terminating {
            let text = "create not allowed while custom resource definition is terminating";
            return Err(Status::forbidden(&self.target(), name, text));
        }
        Ok(())
    }

    /// What users of a deprecated kind or version are told.
    pub(crate) fn deprecation(&self) -> Option<&str> {
        match (&*self.resource.group, &*self.resource.name) {
            ("", "componentstatuses") => Some("v1 ComponentStatus is deprecated in v1.19+"),
            ("", "endpoints") => Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
            _ => self.resource.custom.as_ref()?.warning.as_deref(),
        }
    }
}
