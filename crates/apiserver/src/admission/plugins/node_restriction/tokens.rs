//! Tokens of accounts whose pods the node runs.

use portolan_base::go;
use serde_json::Value;

use super::pods::place;
use super::{PODS, Request};
use crate::admission::Operation;
use crate::authorization::{Action, decide};
use crate::configuration::aggregate;
use crate::request::{Info, Target};
use crate::resources::json::{items, text};
use crate::status::Status;

const CLAIMS: Target<'_> = Target { group: "", resource: "persistentvolumeclaims" };
const VOLUMES: Target<'_> = Target { group: "", resource: "persistentvolumes" };
const DRIVERS: Target<'_> = Target { group: "storage.k8s.io", resource: "csidrivers" };

impl Request<'_, '_> {
    /// A node asks for tokens of its own pods only, and for those that they ask for.
    pub(super) async fn token(&self) -> Result<(), Status> {
        if !self.is(Operation::Create) {
            return Ok(());
        }
        let spec = &self.attributes.new["spec"];
        let reference = &spec["boundObjectRef"];
        let [version, kind, name, uid] = ["apiVersion", "kind", "name", "uid"].map(|field| text(&reference[field]));
        if version != "v1" || kind != "Pod" || name.is_empty() {
            return self.refuse("node requested token not bound to a pod");
        }
        if uid.is_empty() {
            return self.refuse("node requested token with a pod binding without a uid");
        }
        let pod = self.stored(PODS, self.attributes.call.namespace(), name).await?;
        if pod["metadata"]["uid"] != uid {
            return self.refuse(&format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might \
                 have been deleted and then recreated"
            ));
        }
        if place(&pod) != self.node {
            return self.refuse("node requested token bound to a pod scheduled on a different node");
        }
        let audience = match items(&spec["audiences"]) {
            [] => "",
            [audience] => text(audience),
            _ => return self.refuse("node may only request 0 or 1 audiences"),
        };
        let mut missing = Vec::new();
        for volume in items(&pod["spec"]["volumes"]) {
            match self.is_for(volume, &pod, audience).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                // Another volume may ask for it.
                Err(status) if status.code() == 404 => missing.push(status.message().to_owned()),
                Err(status) => return Err(status),
            }
        }
        match aggregate(missing) {
            Ok(()) => self.may_have(audience).await,
            Err(why) => self.refuse(&format!("error validating audience {}: {why}", go::quote(audience))),
        }
    }

    /// Whether a volume, or the driver behind it, asks for tokens for an audience.
    async fn is_for(&self, volume: &Value, pod: &Value, audience: &str) -> Result<bool, Status> {
        let tokens = items(&volume["projected"]["sources"]).iter().map(|source| &source["serviceAccountToken"]);
        if tokens.filter(|token| token.is_object()).any(|token| text(&token["audience"]) == audience) {
            return Ok(true);
        }
        let driver = if volume["ephemeral"]["volumeClaimTemplate"].is_object() {
            let claim = format!("{}-{}", text(&pod["metadata"]["name"]), text(&volume["name"]));
            self.driver_of(&claim).await?
        } else if let Some(claim) = volume["persistentVolumeClaim"]["claimName"].as_str() {
            self.driver_of(claim).await?
        } else {
            text(&volume["csi"]["driver"]).to_owned()
        };
        if driver.is_empty() {
            return Ok(false);
        }
        let driver = self.known(DRIVERS, "", &driver).await?;
        Ok(items(&driver["spec"]["tokenRequests"]).iter().any(|request| text(&request["audience"]) == audience))
    }

    /// The driver of the volume that a claim has; empty if that has none.
    async fn driver_of(&self, claim: &str) -> Result<String, Status> {
        let claim = self.known(CLAIMS, self.attributes.call.namespace(), claim).await?;
        let volume = self.known(VOLUMES, "", text(&claim["spec"]["volumeName"])).await?;
        Ok(text(&volume["spec"]["csi"]["driver"]).to_owned())
    }

    /// An object, which upstream calls by the singular where it is not there.
    async fn known(&self, target: Target<'_>, namespace: &str, name: &str) -> Result<Value, Status> {
        let one = Target { resource: target.resource.trim_end_matches('s'), ..target };
        let found = self.stored(target, namespace, name).await;
        found.map_err(|status| if status.code() == 404 { Status::not_found(&one, name) } else { status })
    }

    /// Somebody may have allowed the node more.
    async fn may_have(&self, audience: &str) -> Result<(), Status> {
        let call = &self.attributes.call;
        let info = Info {
            verb: "create",
            other_verb: "request-serviceaccounts-token-audience".into(),
            version: "v1".into(),
            resource: audience.to_owned(),
            namespace: call.namespace().to_owned(),
            name: self.attributes.name.clone(),
            ..Info::default()
        };
        if decide(call.server, call.user, Action::Resource(&info)).await.is_allowed() {
            return Ok(());
        }
        self.refuse(&format!(
            "audience \"{audience}\" not found in pod spec volume, {} is not authorized to request tokens for this \
             audience",
            call.user.name
        ))
    }
}
