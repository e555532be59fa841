//! What a server of Netflix sends to its peers. It is accepted like the same requests one by one, so
//! that such a server can pass on what registers there while its clients move over.

use portolan_registrar::access::{Resource, Verb};
use portolan_registrar::http::Request;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Error;
use crate::routes::Eureka;
use crate::wire::{self, Action, Document, Format, InstanceInfo, InstanceStatus, View, envelope, instance_fragment};

#[derive(Deserialize)]
struct Batch {
    #[serde(rename = "replicationList")]
    list: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    app_name: String,
    id: String,
    last_dirty_timestamp: Option<i64>,
    status: Option<String>,
    instance_info: Option<Value>,
    action: Kind,
}

#[derive(Deserialize)]
enum Kind {
    Heartbeat,
    Register,
    Cancel,
    StatusUpdate,
    DeleteStatusOverride,
}

/// Does each of a batch and says how each went.
pub(crate) async fn answer(eureka: &Eureka, request: &Request, body: &Value) -> Result<Value, Error> {
    let batch = Batch::deserialize(body).map_err(|problem| Error::BadRequest(format!("not a batch: {problem}")))?;
    let mut answers = Vec::with_capacity(batch.list.len());
    for item in batch.list {
        answers.push(match apply(eureka, request, item).await {
            Ok(()) => json!({"statusCode": 200}),
            Err(Error::Conflict(info)) => {
                let entity: Value = serde_json::from_str(&instance(&info, Format::Json)).unwrap_or_default();
                json!({"statusCode": 409, "responseEntity": entity["instance"]})
            }
            Err(error) => json!({"statusCode": error.status().as_u16()}),
        });
    }
    Ok(json!({"responseList": answers}))
}

async fn apply(eureka: &Eureka, request: &Request, item: Item) -> Result<(), Error> {
    let verb = match item.action {
        Kind::Register => None,
        Kind::Cancel => Some(Verb::Delete),
        Kind::Heartbeat | Kind::StatusUpdate | Kind::DeleteStatusOverride => Some(Verb::Update),
    };
    if let Some(verb) = verb {
        let namespace = eureka.namespace(&item.app_name, Some(&item.id));
        request.caller.require(verb, Resource::Instances, &namespace).await?;
    }
    let (app, id, dirty) = (item.app_name.as_str(), item.id.as_str(), item.last_dirty_timestamp);
    let status = item.status.as_deref().and_then(InstanceStatus::parse);
    match item.action {
        Kind::Heartbeat => eureka.renew(app, id, dirty, true),
        Kind::Register => {
            let info = item.instance_info.ok_or_else(|| Error::BadRequest("instanceInfo is missing".into()))?;
            let info = wire::instance(&info).map_err(Error::BadRequest)?;
            eureka.hold(request, app, &info.instance_id).await?;
            eureka.register(&request.client(), app, info).await
        }
        Kind::Cancel => eureka.cancel(app, id).await,
        Kind::StatusUpdate => {
            let word = status.ok_or_else(|| Error::BadRequest("status is missing or unknown".into()))?;
            eureka.put_status(app, id, word, dirty).await
        }
        Kind::DeleteStatusOverride => eureka.delete_status(app, id, status, dirty).await,
    }
}

/// A document of one instance.
pub(crate) fn instance(info: &InstanceInfo, format: Format) -> String {
    let text = instance_fragment(info, format, View::Full);
    envelope(&Document::Instance, format, [("", [(text.as_str(), Action::Modified)])])
}
