//! Creating an object of a kind that parts of this process know as well as the server does, without a request.
//!
//! What is asked for is decided as for any other request: who may do it, whether the namespace takes new objects, and
//! that nothing of the name is there. Whatever else may have a say (webhooks and policies, quotas, the audit log, another
//! server that answers for the group) and whatever is not plainly valid makes it an ordinary request: this path says
//! nothing then and has written nothing, and the caller sends the object instead. So there is one answer for every
//! refusal, and one way for everyone to take part.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures::FutureExt;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use portolan_api::time;
use portolan_api::typed::{Birth, Known, Object, ObjectMeta, ServiceInstance, ServiceInstanceStatus, Time};
use portolan_identity::User;
use portolan_store::Revision;

use crate::admission;
use crate::audit::Notes;
use crate::authorization;
use crate::endpoint::{Call, Delivery};
use crate::extensions;
use crate::metrics::Label;
use crate::request::{Info, Query};
use crate::server::Server;
use crate::status::Status;

impl Server {
    /// Creates an object on behalf of a user in this process, and fills in what the server says of it. `false`, and
    /// nothing is done, if it must come as a request.
    pub async fn create_known(&self, user: &User, agent: Option<&HeaderValue>, object: Known<'_>) -> bool {
        let started = Instant::now();
        let work = async {
            match object {
                Known::ServiceInstance(instance) => self.create_instance(user, agent, instance, started).await,
            }
        };
        match AssertUnwindSafe(work).catch_unwind().await {
            Ok(outcome) => outcome.unwrap_or(false),
            Err(_) => {
                tracing::error!("creating an object of this process panicked; it comes as a request");
                false
            }
        }
    }

    async fn create_instance(
        &self,
        user: &User,
        agent: Option<&HeaderValue>,
        instance: &mut ServiceInstance,
        started: Instant,
    ) -> Result<bool, Status> {
        if self.auditor.is_some() || !instance.is_plain() {
            return Ok(false);
        }
        self.authorizer.refresh().await?;
        self.extensions.refresh().await?;
        self.aggregation.refresh().await?;
        let info = Info {
            verb: "create",
            group: ServiceInstance::GROUP.to_owned(),
            version: ServiceInstance::VERSION.to_owned(),
            resource: ServiceInstance::RESOURCE.to_owned(),
            namespace: instance.namespace().to_owned(),
            ..Info::default()
        };
        self.authorizer.refresh_reach(user, &info).await?;
        if authorization::permitted(self, user, &info).await.is_err()
            || self.aggregation.remote(&info.group, &info.version).is_some()
        {
            return Ok(false);
        }
        let description = self.extensions.description();
        let Some(resource) = description.resource(&info.group, &info.version, &info.resource) else { return Ok(false) };
        if resource.custom.is_some() {
            return Ok(false);
        }
        let headers =
            agent.map(|agent| HeaderMap::from_iter([(header::USER_AGENT, agent.clone())])).unwrap_or_default();
        let (query, notes, now) = (Query::default(), Notes::default(), self.config.clock.now());
        let call = Call {
            server: self,
            description: &description,
            resource,
            strategy: extensions::strategy_of(resource),
            info: &info,
            query: &query,
            headers: &headers,
            user,
            now,
            delivery: Delivery::Shared,
            notes: &notes,
        };
        if !admission::admits_plainly(&call).await? {
            return Ok(false);
        }
        let _in_flight = self.metrics.begin(&Method::POST);
        let label = Label::of(Some(&info), &description);
        let uid = uuid::Uuid::new_v4().to_string();
        let birth = Birth { uid: &uid, now, manager: &call.manager()? };
        let stored = instance.encode_new(&birth);
        let Some(revision) = call.put_new(instance.name(), stored.into()).await? else { return Ok(false) };
        fill_in(instance, uid, time::whole_seconds(now), revision);
        self.metrics.record(label, StatusCode::CREATED, started.elapsed());
        Ok(true)
    }
}

/// What the server says of an instance that it created, as who reads it again sees it.
fn fill_in(instance: &mut ServiceInstance, uid: String, now: portolan_base::Timestamp, revision: Revision) {
    let ObjectMeta { annotations, name, namespace, .. } = std::mem::take(&mut instance.metadata);
    instance.metadata = ObjectMeta {
        annotations,
        creation_timestamp: Some(Time(now)),
        generation: Some(1),
        name,
        namespace,
        resource_version: Some(revision.to_string()),
        uid: Some(uid),
        ..ObjectMeta::default()
    };
    let status = instance.status.get_or_insert_with(ServiceInstanceStatus::default);
    let since = status.since.take().map_or(now, |since| time::whole_seconds(since.0));
    status.since = Some(Time(since));
    for check in &mut status.checks {
        check.since = check.since.take().map(|since| Time(time::whole_seconds(since.0)));
    }
    if let Some(decision) = &mut instance.spec.administrative {
        decision.since = decision.since.take().map(|since| Time(time::whole_seconds(since.0)));
    }
}
