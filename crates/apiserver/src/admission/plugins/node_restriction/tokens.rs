//! Tokens of accounts whose pods the node runs.

use serde_json::Value;

use super::pods::place;
use super::{PODS, Request};
use crate::admission::Operation;
use crate::authorization::{Action, decide};
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
        for volume in items(&pod["spec"]["volumes"]) {
            if self.is_for(volume, &pod, audience).await? {
                return Ok(());
            }
        }
        self.may_have(audience).await
    }

    /// Whether a volume, or the driver behind it, asks for tokens for an audience.
    async fn is_for(&self, volume: &Value, pod: &Value, audience: &str) -> Result<bool, Status> {
        let tokens = items(&volume["projected"]["sources"]).iter().map(|source| &source["serviceAccountToken"]);
        if tokens.filter(|token| token.is_object()).any(|token| text(&token["audience"]) == audience) {
            return Ok(true);
        }
        let driver = if volume["ephemeral"]["volumeClaimTemplate"].is_object() {
            let claim = format!("{}-{}", text(&pod["metadata"]["name"]), text(&volume["name"]));
            self.driver_of(&claim).await
        } else if let Some(claim) = volume["persistentVolumeClaim"]["claimName"].as_str() {
            self.driver_of(claim).await
        } else {
            Ok(text(&volume["csi"]["driver"]).to_owned())
        };
        // What is not there asks for nothing.
        let driver = match driver {
            Ok(driver) if driver.is_empty() => return Ok(false),
            Ok(driver) => self.stored(DRIVERS, "", &driver).await,
            Err(status) => Err(status),
        };
        match driver {
            Ok(driver) => {
                let requests = items(&driver["spec"]["tokenRequests"]);
                Ok(requests.iter().any(|request| text(&request["audience"]) == audience))
            }
            Err(status) if status.code() == 404 => Ok(false),
            Err(status) => Err(status),
        }
    }

    /// The driver of the volume that a claim has; empty if that has none.
    async fn driver_of(&self, claim: &str) -> Result<String, Status> {
        let claim = self.stored(CLAIMS, self.attributes.call.namespace(), claim).await?;
        let volume = self.stored(VOLUMES, "", text(&claim["spec"]["volumeName"])).await?;
        Ok(text(&volume["spec"]["csi"]["driver"]).to_owned())
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
