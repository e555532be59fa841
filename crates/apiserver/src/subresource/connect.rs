//! What a connection asks for, as the object that admission sees.

use portolan_base::go;
use serde_json::{Map, Value, json};

use crate::endpoint::Call;
use crate::status::Status;

/// The options of a connection; `None` for a stream that is only read (logs).
pub(super) fn options(call: &Call<'_>) -> Result<Option<Value>, Status> {
    let mut fields = Map::new();
    match call.info.subresource.as_str() {
        "exec" | "attach" => {
            for name in ["stdin", "stdout", "stderr", "tty"] {
                if call.query.is_true(name) {
                    fields.insert(name.into(), true.into());
                }
            }
            let container = call.query.get("container");
            if !container.is_empty() {
                fields.insert("container".into(), container.into());
            }
            if call.info.subresource == "exec" {
                fields.insert("command".into(), call.query.all("command").collect::<Vec<_>>().into());
            }
        }
        "portforward" => {
            let ports = ports(call)?;
            if !ports.is_empty() {
                fields.insert("ports".into(), json!(ports));
            }
        }
        "proxy" => {
            let path = if call.info.rest.is_empty() { call.query.get("path") } else { &call.info.rest };
            if !path.is_empty() {
                fields.insert("path".into(), path.into());
            }
        }
        _ => return Ok(None),
    }
    let kind = call.body_kind();
    fields.insert("kind".into(), kind.kind.into());
    fields.insert("apiVersion".into(), kind.api_version().into());
    Ok(Some(Value::Object(fields)))
}

/// The ports that are to be forwarded. Only clients of channels name them here.
pub(super) fn ports(call: &Call<'_>) -> Result<Vec<u16>, Status> {
    let ports = call.query.all("ports").flat_map(|list| list.split(',')).map(go::parse_u16);
    ports.collect::<Result<_, _>>().map_err(|why| Status::bad_request(format!("cannot convert to []int32: {why}")))
}
