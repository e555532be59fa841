//! Objects as the store keeps them.
//!
//! Key: `/registry/<group, or core>/<resource>/<namespace>/<name>`, without the namespace for kinds
//! that have none; a kind that two groups show has one of them as its home. Value: the object as JSON that begins with
//! `kind`, `apiVersion` and `metadata`
//! and lacks `metadata.resourceVersion`: that is the revision of the entry and is put in on the way
//! out ([`splice`]), so that the bytes are encoded once.

use bytes::{BufMut, Bytes, BytesMut};
use std::sync::Arc;

use portolan_api::{conversion, encoded};
use portolan_store::{Entry, KeyRange, RangeRequest, Revision};
use serde_json::{Map, Value};

use crate::request::Target;
use crate::server::Server;
use crate::status::Status;

mod apart;

/// Prefix of all keys of a resource, or of a namespace of it.
pub(crate) fn prefix(group: &str, resource: &str, namespace: &str) -> Bytes {
    Bytes::from(key_text(group, resource, namespace, ""))
}

/// Key of an object.
pub(crate) fn key(group: &str, resource: &str, namespace: &str, name: &str) -> Bytes {
    Bytes::from(key_text(group, resource, namespace, name))
}

fn key_text(group: &str, resource: &str, namespace: &str, name: &str) -> String {
    let group = conversion::home(group, resource);
    let group = if group.is_empty() { "core" } else { group };
    let mut key = String::with_capacity(13 + group.len() + resource.len() + namespace.len() + name.len());
    for part in ["/registry/", group, "/", resource, "/"] {
        key.push_str(part);
    }
    if !namespace.is_empty() {
        key.push_str(namespace);
        key.push('/');
    }
    key.push_str(name);
    key
}

/// Encodes an object for the store. Its resource version is left out.
pub(crate) fn encode(object: &Value) -> Result<Bytes, Status> {
    encode_managed(object, None)
}

/// Encodes an object for the store, with managers that are encoded already in place of its own.
pub(crate) fn encode_managed(object: &Value, managers: Option<&[u8]>) -> Result<Bytes, Status> {
    let fields = object.as_object().ok_or_else(|| Status::internal("an object is not one"))?;
    let mut bytes = Vec::with_capacity(4096);
    let written = write(fields, managers, &mut bytes);
    written.map_err(|error| Status::internal(format!("the object cannot be encoded: {error}")))?;
    Ok(bytes.into())
}

const MANAGERS: &str = "managedFields";

fn write(fields: &Map<String, Value>, managers: Option<&[u8]>, bytes: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    const FIRST: [&str; 3] = ["kind", "apiVersion", "metadata"];
    bytes.push(b'{');
    for name in FIRST {
        let Some(value) = fields.get(name) else { continue };
        member(name, bytes)?;
        match value.as_object().filter(|_| name == "metadata") {
            Some(metadata) => write_metadata(metadata, managers, bytes)?,
            None => serde_json::to_writer(&mut *bytes, value)?,
        }
    }
    for (name, value) in fields.iter().filter(|(name, _)| !FIRST.contains(&name.as_str())) {
        member(name, bytes)?;
        serde_json::to_writer(&mut *bytes, value)?;
    }
    bytes.push(b'}');
    Ok(())
}

fn write_metadata(
    metadata: &Map<String, Value>,
    managers: Option<&[u8]>,
    bytes: &mut Vec<u8>,
) -> Result<(), serde_json::Error> {
    let mut managers = managers;
    let put = |managers: &[u8], bytes: &mut Vec<u8>| {
        member(MANAGERS, bytes)?;
        bytes.extend_from_slice(managers);
        Ok::<_, serde_json::Error>(())
    };
    let replaced = managers.is_some();
    let left_out = |name: &str| name == "resourceVersion" || (replaced && name == MANAGERS);
    bytes.push(b'{');
    for (name, value) in metadata.iter().filter(|(name, _)| !left_out(name)) {
        // Names are in order.
        if name.as_str() > MANAGERS
            && let Some(managers) = managers.take()
        {
            put(managers, bytes)?;
        }
        member(name, bytes)?;
        serde_json::to_writer(&mut *bytes, value)?;
    }
    if let Some(managers) = managers {
        put(managers, bytes)?;
    }
    bytes.push(b'}');
    Ok(())
}

fn member(name: &str, bytes: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    if bytes.last() != Some(&b'{') {
        bytes.push(b',');
    }
    serde_json::to_writer(&mut *bytes, name)?;
    bytes.push(b':');
    Ok(())
}

const METADATA: &[u8] = b"\"metadata\":{";

/// Room that a resource version takes at most.
pub(crate) const RESOURCE_VERSION_SIZE: usize = "\"resourceVersion\":\"18446744073709551615\",".len();

/// Where the members of the metadata begin in stored bytes.
pub(crate) fn members_offset(stored: &[u8]) -> Option<usize> {
    // `kind` and `apiVersion` are names without quotes, so the first match is the member itself. It stands behind
    // a comma, of which there are two before it.
    let commas = stored.iter().enumerate().filter(|(_, byte)| **byte == b',').map(|(place, _)| place + 1);
    let start = commas.take(2).find(|start| stored[*start..].starts_with(METADATA));
    let start = start.or_else(|| stored.windows(METADATA.len()).position(|window| window == METADATA))?;
    Some(start + METADATA.len())
}

/// Bytes of `kind` and `apiVersion` in stored bytes.
pub(crate) fn names_size(stored: &[u8]) -> usize {
    members_offset(stored).map_or(0, |offset| offset - METADATA.len() - 1)
}

/// Appends stored bytes with their resource version put in.
pub(crate) fn splice(into: &mut BytesMut, stored: &[u8], revision: Revision) {
    into.reserve(stored.len() + RESOURCE_VERSION_SIZE);
    match members_offset(stored) {
        Some(offset) => {
            let (head, tail) = stored.split_at(offset);
            into.put_slice(head);
            put_members(into, tail, revision);
        }
        None => into.put_slice(stored),
    }
}

/// The same for an item of a list whose items are all of one built-in kind: without `kind` and `apiVersion`, which
/// upstream's types have only where they stand alone.
pub(crate) fn splice_item(into: &mut BytesMut, stored: &[u8], revision: Revision) {
    let Some(offset) = members_offset(stored) else { return splice(into, stored, revision) };
    into.reserve(stored.len() + RESOURCE_VERSION_SIZE);
    into.put_u8(b'{');
    into.put_slice(METADATA);
    put_members(into, &stored[offset..], revision);
}

/// Appends the members of metadata and what follows them, the resource version first.
pub(crate) fn put_members(into: &mut BytesMut, members: &[u8], revision: Revision) {
    put_version(into, members, revision);
    into.put_slice(members);
}

/// Appends the resource version, with the comma that is needed before these members. What was not written has none.
pub(crate) fn put_version(into: &mut BytesMut, members: &[u8], revision: Revision) {
    use std::fmt::Write as _;
    if revision == Revision(0) {
        return;
    }
    let comma = if members.first() == Some(&b'}') { "" } else { "," };
    let _ = write!(into, "\"resourceVersion\":\"{revision}\"{comma}");
}

/// Stored bytes with their resource version put in.
pub(crate) fn spliced(stored: &[u8], revision: Revision) -> Bytes {
    let mut bytes = BytesMut::with_capacity(stored.len() + RESOURCE_VERSION_SIZE);
    splice(&mut bytes, stored, revision);
    bytes.freeze()
}

/// Decodes an entry, with its resource version.
pub(crate) fn decode(entry: &Entry) -> Result<Value, Status> {
    decode_at(&entry.value, entry.mod_revision).map_err(|status| {
        tracing::error!(key = %String::from_utf8_lossy(&entry.key), error = %status, "a stored object is damaged");
        status
    })
}

/// Decodes stored bytes, with a resource version.
pub(crate) fn decode_at(stored: &[u8], revision: Revision) -> Result<Value, Status> {
    let mut object: Value =
        parse(stored).map_err(|error| Status::internal(format!("a stored object cannot be decoded: {error}")))?;
    if revision != Revision(0)
        && let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
    {
        metadata.insert("resourceVersion".into(), revision.to_string().into());
    }
    Ok(object)
}

/// Reads stored bytes. That they are text is checked once for all of them, which is cheaper than for every text in them.
fn parse<'a, T: serde::Deserialize<'a>>(stored: &'a [u8]) -> Result<T, serde_json::Error> {
    match std::str::from_utf8(stored) {
        Ok(text) => serde_json::from_str(text),
        Err(_) => serde_json::from_slice(stored),
    }
}

/// Decodes an entry, with its resource version and without its `managedFields`: those are returned as they are
/// stored, empty if there are none.
pub(crate) fn decode_apart(entry: &Entry) -> Result<(Value, Bytes), Status> {
    let decoded: Result<apart::Object<'_>, _> = parse(&entry.value);
    let apart::Object { mut fields, managers } = decoded.map_err(|error| {
        tracing::error!(key = %String::from_utf8_lossy(&entry.key), %error, "a stored object is damaged");
        Status::internal(format!("a stored object cannot be decoded: {error}"))
    })?;
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".into(), entry.mod_revision.to_string().into());
    }
    let managers = managers.map(|managers| entry.value.slice_ref(managers.get().as_bytes())).unwrap_or_default();
    Ok((Value::Object(fields), managers))
}

/// The newest version of any object, for those who look beyond the request's own.
pub(crate) async fn find(
    server: &Server,
    group: &str,
    resource: &str,
    namespace: &str,
    name: &str,
) -> Result<Option<Arc<Entry>>, Status> {
    let range = KeyRange::key(key(group, resource, namespace, name));
    let answer = server.store().range(RangeRequest { range, revision: None, limit: 1 }).await?;
    Ok(answer.entries.into_iter().next())
}

/// The newest version of an object that has to be there.
pub(crate) async fn entry(
    server: &Server,
    target: &Target<'_>,
    namespace: &str,
    name: &str,
) -> Result<Arc<Entry>, Status> {
    let found = find(server, target.group, target.resource, namespace, name).await?;
    found.ok_or_else(|| Status::not_found(target, name))
}

/// The UID of a stored object.
pub(crate) fn uid(entry: &Entry) -> String {
    encoded::string_at(&entry.value, &["metadata", "uid"]).map(Into::into).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_tell_group_namespace_and_name() {
        assert_eq!(key("", "pods", "default", "a"), "/registry/core/pods/default/a");
        assert_eq!(key("apps", "deployments", "d", "a"), "/registry/apps/deployments/d/a");
        assert_eq!(prefix("", "nodes", ""), "/registry/core/nodes/");
        assert_eq!(key("events.k8s.io", "events", "d", "a"), key("", "events", "d", "a"));
    }

    #[test]
    fn the_resource_version_is_left_out_and_put_in_again() {
        let object = json!({
            "apiVersion": "v1", "data": {"metadata": "{\"metadata\":{}}"}, "kind": "ConfigMap",
            "metadata": {"name": "a", "resourceVersion": "5", "uid": "u"},
        });
        let stored = encode(&object).expect("encodes");
        let text = r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","uid":"u"},"data":{"metadata":"{\"metadata\":{}}"}}"#;
        assert_eq!(stored, text);
        let spliced: Value = serde_json::from_slice(&spliced(&stored, Revision(5))).expect("is JSON");
        assert_eq!(spliced, object);
    }

    #[test]
    fn managers_are_taken_out_as_they_are_stored() {
        let entry = |value: &'static str| Entry {
            key: Bytes::new(),
            value: Bytes::from_static(value.as_bytes()),
            create_revision: Revision(1),
            mod_revision: Revision(5),
            version: 1,
            lease: None,
        };
        let cases = [
            (
                r#"{"kind":"X","metadata":{"managedFields":[{"a":{}}],"name":"a"},"spec":{"managedFields":[1]}}"#,
                "[{\"a\":{}}]",
            ),
            (r#"{"kind":"X","metadata":{"name":"a"}}"#, ""),
        ];
        for (stored, expected) in cases {
            let entry = entry(stored);
            let (mut object, managers) = decode_apart(&entry).expect("is JSON");
            assert_eq!(managers, expected);
            let found = Some(&managers[..]).filter(|managers| !managers.is_empty());
            assert_eq!(encode_managed(&object, found).expect("encodes"), stored);
            if !managers.is_empty() {
                object["metadata"]["managedFields"] = serde_json::from_slice(&managers).expect("is JSON");
            }
            assert_eq!(object, decode(&entry).expect("is JSON"));
        }
    }

    #[test]
    fn encoded_managers_stand_where_decoded_ones_would() {
        let managers = json!([{"manager": "m"}]);
        for metadata in
            [json!({}), json!({"name": "a"}), json!({"labels": {"a": "b"}}), json!({"labels": {}, "uid": "u"})]
        {
            let mut object = json!({"kind": "X", "metadata": metadata});
            let written = encode_managed(&object, Some(managers.to_string().as_bytes())).expect("encodes");
            object["metadata"]["managedFields"] = managers.clone();
            assert_eq!(written, encode(&object).expect("encodes"));
        }
    }
}
