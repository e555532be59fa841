//! Approves requests of nodes, signs what is approved, and removes what is done.

mod plan;
mod signer;

use async_trait::async_trait;
use http::Method;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition};
use portolan_api::typed::{Object, Time};
use portolan_base::Shutdown;
use portolan_client::{DeleteOptions, Error, Informer, Key, WorkQueue};
use portolan_identity::CertificateRequest;
use serde_json::{Value, json};

use crate::context::Context;
use crate::driver::{Next, Reconciler, drive};
use crate::meta::is_deleting;
use plan::{Action, plan};

struct Controller {
    context: Context,
    requests: Informer<CertificateSigningRequest>,
}

pub(crate) async fn run(context: Context, shutdown: Shutdown) {
    let controller = Controller { requests: context.informers.informer(), context };
    if shutdown.run(controller.requests.synced()).await.is_none() {
        return;
    }
    let queue = WorkQueue::new();
    controller.requests.feed(&queue, |request| vec![Key::of(request)]);
    drive(&controller, &queue, &controller.context.clock, &shutdown).await;
}

#[async_trait]
impl Reconciler for Controller {
    fn name(&self) -> &'static str {
        "certificates"
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let found = self.requests.get("", &key.name).filter(|request| !is_deleting(&**request));
        let Some(object) = found else { return Ok(Next::OnChange) };
        let parsed = CertificateRequest::from_pem(&object.spec.request.0);
        let now = self.context.clock.now();
        match plan(&object, parsed.as_ref().map_err(ToString::to_string), now) {
            Action::Wait(until) => return Ok(until.into()),
            Action::Delete => {
                let options = DeleteOptions::uid(object.uid());
                match self.context.client.delete::<CertificateSigningRequest>("", &key.name, &options).await {
                    Err(error) if error.is_not_found() => {}
                    outcome => outcome?,
                }
            }
            Action::Approve { right, message } => {
                if self.may(&object, right).await? {
                    let mut object = CertificateSigningRequest::clone(&object);
                    self.add(&mut object, "Approved", "AutoApproved", message);
                    let body = serde_json::to_value(&object).unwrap_or_default();
                    let path = format!("/apis/certificates.k8s.io/v1/certificatesigningrequests/{}/approval", key.name);
                    self.context.client.raw(Method::PUT, &path, Some(body)).await?;
                }
            }
            Action::Fail(why) => self.fail(&object, &why).await?,
            Action::Sign { from, until } => {
                let usages = object.spec.usages.as_deref().unwrap_or_default();
                let signed = match &parsed {
                    Ok(request) => self.context.keys.sign(request, usages, from, until),
                    Err(error) => Err(error.to_string()),
                };
                match signed {
                    Err(why) => self.fail(&object, &why).await?,
                    Ok(pem) => {
                        let mut object = CertificateSigningRequest::clone(&object);
                        object.status.get_or_insert_default().certificate = Some(ByteString(pem.into_bytes()));
                        self.context.client.update_status(&object).await?;
                        tracing::info!(request = key.name, signer = object.spec.signer_name, "certificate signed");
                    }
                }
            }
        }
        Ok(Next::OnChange)
    }
}

impl Controller {
    /// Whether whoever asked may have certificates of this kind.
    async fn may(&self, object: &CertificateSigningRequest, right: &str) -> Result<bool, Error> {
        let spec = &object.spec;
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {
                "user": spec.username, "uid": spec.uid, "groups": spec.groups, "extra": spec.extra,
                "resourceAttributes": {
                    "group": "certificates.k8s.io", "resource": "certificatesigningrequests", "verb": "create",
                    "subresource": right, "version": "*",
                },
            },
        });
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        let answer = self.context.client.raw(Method::POST, path, Some(without_nulls(review))).await?;
        Ok(answer["status"]["allowed"] == true)
    }

    async fn fail(&self, object: &CertificateSigningRequest, why: &str) -> Result<(), Error> {
        let mut object = object.clone();
        self.add(&mut object, "Failed", "SignerValidationFailure", why);
        self.context.client.update_status(&object).await.map(drop)
    }

    fn add(&self, object: &mut CertificateSigningRequest, kind: &str, reason: &str, message: &str) {
        let now = Some(Time(self.context.clock.now()));
        let conditions = object.status.get_or_insert_default().conditions.get_or_insert_default();
        conditions.push(CertificateSigningRequestCondition {
            type_: kind.into(),
            status: "True".into(),
            reason: Some(reason.into()),
            message: Some(message.into()),
            last_update_time: now.clone(),
            last_transition_time: now,
        });
    }
}

fn without_nulls(mut review: Value) -> Value {
    if let Some(spec) = review["spec"].as_object_mut() {
        spec.retain(|_, value| !value.is_null());
    }
    review
}
