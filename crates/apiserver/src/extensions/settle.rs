//! What the server itself writes into definitions.

use portolan_api::custom::{self, Converter};
use portolan_api::time;
use serde_json::{Value, json};

use super::{DEFINITIONS, FINALIZER, GROUP};
use crate::endpoint::Call;
use crate::resources::unusable_bundle;
use crate::status::Status;

impl Call<'_> {
    /// Whether the request is about definitions.
    pub(crate) fn is_definition(&self) -> bool {
        self.resource.group == GROUP && self.resource.name == DEFINITIONS
    }

    /// Writes into a definition which of its names it has got, and whether it is served.
    ///
    /// That is known at once, so no client has to wait for it.
    pub(crate) fn settle_definition(&self, object: &mut Value) {
        if !self.is_definition() || custom::is_terminating(object) {
            return;
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let others = self.server.extensions.others(&text(&object["spec"]["group"]), &text(&object["metadata"]["name"]));
        let accepted = custom::accept(&object["spec"]["names"], others.iter().map(|other| &**other));
        let converter = match unusable_bundle(&object["spec"]["conversion"]) {
            None => Converter::Trusted,
            Some(_) => Converter::BadBundle,
        };
        custom::settle(object, accepted, converter, &time::format(self.now));
    }

    /// Marks a definition whose deletion begins: its objects go first.
    pub(crate) fn hold_definition(&self, object: &mut Value) {
        if !self.is_definition() || custom::is_terminating(object) {
            return;
        }
        let finalizers = &mut object["metadata"]["finalizers"];
        match finalizers.as_array_mut() {
            Some(list) if list.iter().any(|name| name == FINALIZER) => {}
            Some(list) => list.push(FINALIZER.into()),
            None => *finalizers = json!([FINALIZER]),
        }
        let text = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
        let now = time::format(self.now);
        custom::set_condition(object, "Terminating", true, "InstanceDeletionPending", text, &now);
    }

    /// Refuses new objects of a kind that is going away.
    pub(crate) fn check_definition(&self) -> Result<(), Status> {
        let Some(custom) = &self.resource.custom else { return Ok(()) };
        if self.info.verb == "create" && custom.definition.terminating {
            let text = "create not allowed while custom resource definition is terminating";
            return Err(Status::new(405, "MethodNotAllowed", text).about(&self.target(), ""));
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
