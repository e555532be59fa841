//! Fills Secrets of the type `kubernetes.io/service-account-token`, and removes those whose service
//! account is gone.

use async_trait::async_trait;
use k8s_openapi::ByteString;
use portolan_api::typed::Object;
use portolan_api::typed::kinds::core::v1::{Secret, ServiceAccount};
use portolan_base::Shutdown;
use portolan_client::{DeleteOptions, Error, Informer, Key, WorkQueue};
use portolan_identity::LegacyClaims;

use crate::context::Context;
use crate::driver::{Next, Reconciler, drive};
use crate::meta::is_deleting;

/// Of Secrets that hold the token of a service account.
pub(crate) const TYPE: &str = "kubernetes.io/service-account-token";
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";

struct Controller {
    context: Context,
    secrets: Informer<Secret>,
    accounts: Informer<ServiceAccount>,
}

pub(crate) async fn run(context: Context, shutdown: Shutdown) {
    let controller = Controller {
        secrets: context.informers.selected(&format!("type={TYPE}")),
        accounts: context.informers.informer(),
        context,
    };
    let ready = async { tokio::join!(controller.secrets.synced(), controller.accounts.synced()) };
    if shutdown.run(ready).await.is_none() {
        return;
    }
    let queue = WorkQueue::new();
    controller.secrets.feed(&queue, |secret| vec![Key::of(secret)]);
    // An account changes rarely: all tokens of its namespace are looked at then.
    let secrets = controller.secrets.clone();
    controller.accounts.feed(&queue, move |account| {
        secrets.in_namespace(account.namespace()).iter().map(|secret| Key::of(&**secret)).collect()
    });
    drive(&controller, &queue, &controller.context.clock, &shutdown).await;
}

#[async_trait]
impl Reconciler for Controller {
    fn name(&self) -> &'static str {
        "serviceaccount-token"
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let found = self.secrets.get(&key.namespace, &key.name).filter(|secret| !is_deleting(&**secret));
        let Some(secret) = found else { return Ok(Next::OnChange) };
        let annotation = |name: &str| {
            secret.metadata.annotations.as_ref().and_then(|all| all.get(name)).cloned().unwrap_or_default()
        };
        let (name, uid) = (annotation(ACCOUNT_NAME), annotation(ACCOUNT_UID));
        let account = self.accounts.get(&key.namespace, &name);
        let account = account.filter(|account| uid.is_empty() || account.uid() == uid);
        let Some(account) = account else {
            // The copy may be behind: the account may have been made just before its secret.
            match self.context.client.get::<ServiceAccount>(&key.namespace, &name).await {
                Ok(account) if uid.is_empty() || account.uid() == uid => return self.fill(&secret, &account).await,
                Ok(_) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
            let options = DeleteOptions::uid(secret.uid());
            return match self.context.client.delete::<Secret>(&key.namespace, &key.name, &options).await {
                Err(error) if !error.is_not_found() => Err(error),
                _ => Ok(Next::OnChange),
            };
        };
        self.fill(&secret, &account).await
    }
}

impl Controller {
    async fn fill(&self, secret: &Secret, account: &ServiceAccount) -> Result<Next, Error> {
        let mut filled = secret.clone();
        let annotations = filled.metadata.annotations.get_or_insert_default();
        annotations.insert(ACCOUNT_UID.into(), account.uid().into());
        let data = filled.data.get_or_insert_default();
        data.insert("ca.crt".into(), ByteString(self.context.root_ca_pem.clone().into_bytes()));
        data.insert("namespace".into(), ByteString(secret.namespace().as_bytes().to_vec()));
        if !data.contains_key("token") {
            let claims = LegacyClaims {
                namespace: secret.namespace().into(),
                secret: secret.name().into(),
                service_account: account.name().into(),
                uid: account.uid().into(),
            };
            match self.context.keys.sign_token(&claims) {
                Ok(token) => drop(data.insert("token".into(), ByteString(token.into_bytes()))),
                Err(error) => {
                    tracing::error!(secret = %Key::of(secret), error, "a token could not be signed");
                    return Ok(Next::OnChange);
                }
            }
        }
        if filled != *secret {
            self.context.client.update(&filled).await?;
        }
        Ok(Next::OnChange)
    }
}
