//! `pods/eviction`: a deletion by request. Disruption budgets are not looked at.

use http::Response;
use serde_json::json;

use crate::body::Body;
use crate::endpoint::{Call, DeleteOptions, Input, metadata};
use crate::respond;
use crate::status::Status;

pub(super) async fn serve(call: &Call<'_>, body: Body) -> Result<Response<Body>, Status> {
    let Input { object, mut warnings } = call.input(body).await?;
    let name = metadata::text(&object, "name");
    if !name.is_empty() && name != call.info.name {
        return Err(Status::bad_request(format!(
            "name in URL does not match name in Eviction object: {} != {name}",
            call.info.name
        )));
    }
    let options = DeleteOptions::from_value(call, &object["deleteOptions"])?;
    super::admitted(call, object, options.dry_run, &mut warnings).await?;
    call.delete_object(&options, None).await?;
    let success = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    let mut response = respond::json(201, &success);
    respond::add_warnings(&mut response, &warnings);
    Ok(response)
}
