//! What each verb costs, in JSON and in protobuf, on pods of about 4 KiB; `managedFields` comes on top.

use bytes::Bytes;
use portolan_api::protobuf;
use serde_json::{Value, json};

use crate::cluster::{ControlPlane, send};
use crate::report::{figure, line, ratio};
use crate::series::{request, series};

const PODS: &str = "/api/v1/namespaces/default/pods";
const JSON: &str = "application/json";
/// Objects of a page.
const PAGE: usize = 500;
/// What is noted on a pod that is created.
const CREATED: &str = "as it was created";
/// What is noted on it after a change.
const CHANGED: &str = "as it is now";
/// What an apply does where there was nothing.
const CREATES: &str = "creates";

/// A form that objects are exchanged in.
#[derive(Clone, Copy)]
struct Form {
    name: &'static str,
    media_type: &'static str,
    encode: fn(&Value) -> Bytes,
}

const FORMS: [Form; 2] = [
    Form { name: "json", media_type: JSON, encode: |object| object.to_string().into() },
    Form {
        name: "protobuf",
        media_type: protobuf::MEDIA_TYPE,
        encode: |object| protobuf::encode(object.to_string().as_bytes()).expect("a pod has a form in protobuf").into(),
    },
];

/// Prints what create, get, list, patch and apply cost the server. Needs and leaves no pods in the
/// default namespace.
///
/// # Errors
/// A request failed or was refused.
pub async fn measure(plane: &ControlPlane, clients: usize, operations: usize) -> anyhow::Result<()> {
    for (form, first) in FORMS.into_iter().zip([0, operations]) {
        let Form { name, media_type, encode } = form;
        let create = move |index| request("POST", PODS, media_type, media_type, encode(&pod(index, CREATED)));
        let (measured, size) = series(plane, first..first + operations, clients, create).await?;
        line(&format!("create, {name}, answer of {size} bytes"), &measured);
    }
    for Form { name, media_type, .. } in FORMS {
        let get = move |index| request("GET", &path(index % operations), JSON, media_type, Bytes::new());
        let (measured, size) = series(plane, 0..4 * operations, clients, get).await?;
        line(&format!("get, {name}, {size} bytes"), &measured);
    }
    let mut pages = Vec::new();
    for Form { name, media_type, .. } in FORMS {
        let list = move |_| request("GET", &format!("{PODS}?limit={PAGE}"), JSON, media_type, Bytes::new());
        let (measured, size) = series(plane, 0..operations.div_ceil(20), clients.min(8), list).await?;
        line(&format!("list {PAGE}, {name}, {size} bytes"), &measured);
        pages.push(measured.cpu_per_operation());
    }
    if let [json, protobuf] = pages[..] {
        ratio("list in protobuf / in json, CPU", protobuf, json, "-");
    }
    let patch = move |index: usize| {
        let note = json!({"metadata": {"annotations": {"bench.portolan.dev/patched": index.to_string()}}});
        let media_type = "application/strategic-merge-patch+json";
        request("PATCH", &path(index % operations), media_type, JSON, note.to_string().into())
    };
    let (measured, _) = series(plane, 0..operations, clients, patch).await?;
    line("strategic merge patch of one annotation", &measured);
    // Of what others made, the first apply adds a manager; what was created by one has only that.
    let others = [("first", CREATED), ("changes one field", CHANGED), ("changes nothing", CHANGED)];
    applies(plane, clients, operations, "apply to what others made", &others).await?;
    delete(plane).await?;
    let own = [(CREATES, CREATED), ("changes one field", CHANGED), ("changes nothing", CHANGED)];
    applies(plane, clients, operations, "apply to what is its own", &own).await?;
    delete(plane).await
}

/// Applies to each pod, once with each of the notes.
async fn applies(
    plane: &ControlPlane,
    clients: usize,
    operations: usize,
    to: &str,
    notes: &[(&str, &'static str)],
) -> anyhow::Result<()> {
    for &(does, note) in notes {
        let apply = move |index: usize| {
            let path = format!("{}?fieldManager=bench&force=true", path(index));
            request("PATCH", &path, "application/apply-patch+yaml", JSON, pod(index, note).to_string().into())
        };
        let (measured, size) = series(plane, 0..operations, clients, apply).await?;
        let what = format!("{to}, {does}");
        line(&format!("{what}, answer of {size} bytes"), &measured);
        let target = if does == CREATES { "a creation, see there" } else { "target <= 150" };
        figure(&format!("{what}, CPU"), measured.cpu_per_operation(), "us", target);
    }
    Ok(())
}

/// Removes all pods of the default namespace.
async fn delete(plane: &ControlPlane) -> anyhow::Result<()> {
    let transport = plane.connect()?;
    send(&transport, "DELETE", &format!("{PODS}?gracePeriodSeconds=0"), Bytes::new()).await?;
    Ok(())
}

fn path(index: usize) -> String {
    format!("{PODS}/verbs-{index:06}")
}

/// A pod that takes about 4 KiB once defaults are filled in, and that no scheduler takes up.
pub fn pod(index: usize, note: &str) -> Value {
    let variables: Vec<Value> = (0..14)
        .map(|number| json!({"name": format!("SETTING_{number}"), "value": format!("the value of setting {number}")}))
        .collect();
    let container = |name: &str| {
        json!({
            "name": name, "image": "registry.local/shop/web:1.27.3", "args": ["--listen=0.0.0.0:8080", "--log=info"],
            "ports": [{"containerPort": 8080, "name": "http", "protocol": "TCP"}], "env": variables,
            "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
            "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}},
        })
    };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("verbs-{index:06}"), "namespace": "default",
            "labels": {"app": "web", "pod-template-hash": "6c9f7d5b4", "tier": format!("t{}", index % 10)},
            "annotations": {"bench.portolan.dev/note": note},
        },
        "spec": {"schedulerName": "nobody", "containers": [container("web"), container("sidecar")]},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_leaves_room_for_defaults() {
        let size = pod(1, "a note").to_string().len();
        assert!((2_000..3_000).contains(&size), "{size}");
    }
}
