//! `/statusz`: what runs here, and for how long.
//!
//! Source: `k8s.io/apiserver/pkg/server/statusz` (KEP-4827).

use std::collections::BTreeSet;

use http::{HeaderMap, HeaderValue, Response, header};
use portolan_api::{time, yaml};
use serde_json::{Value, json};

use crate::body::{Body, full};
use crate::discovery::{self, VERSION};
use crate::negotiate::{self, Format, Page};
use crate::respond;
use crate::server::{Server, text};
use crate::status::Status;

pub(crate) const PATH: &str = "/statusz";

/// What pages about the server tell whoever reads them.
pub(crate) const FOR_PEOPLE: &str = "Warning: This endpoint is not meant to be machine parseable, has no formatting \
                                     compatibility guarantees and is for debugging purposes only.";

/// What the API and its documents are found at is nothing to look for faults at.
const OTHERS: [&str; 5] = ["/.well-known", "/api", "/apis", "/openapi", "/openid"];

/// Answers for people, or in the form of an object if the client names it.
pub(crate) fn serve(server: &Server, headers: &HeaderMap) -> Result<Response<Body>, Status> {
    let page = negotiate::page(headers, "Statusz")?;
    let started = server.started;
    let seconds = u64::try_from(server.config.clock.now().as_second() - started.as_second()).unwrap_or_default();
    let paths = paths(server);
    let binary = VERSION.git.trim_start_matches('v');
    let emulated = format!("{}.{}", VERSION.major, VERSION.minor);
    let Page::Object { version, format } = page else {
        let up = format!("{} hr {:02} min {:02} sec", seconds / 3600, seconds / 60 % 60, seconds % 60);
        return Ok(text(
            200,
            format!(
                "\napiserver statusz\n{FOR_PEOPLE}\n\nStarted: {}\nUp: {up}\nGo version: {}\nBinary version: {binary}\nEmulation version: {emulated}\nPaths: {}\n",
                started.strftime("%a %b %e %H:%M:%S UTC %Y"),
                VERSION.go,
                paths.join(" "),
            ),
        ));
    };
    let told = json!({
        "startTime": time::format(started), "uptimeSeconds": seconds, "goVersion": VERSION.go,
        "binaryVersion": binary, "emulationVersion": emulated, "paths": paths,
    });
    Ok(object("Statusz", version, format, told))
}

/// A page about the server as an object.
pub(crate) fn object(kind: &str, version: &str, format: Format, mut object: Value) -> Response<Body> {
    object["kind"] = kind.into();
    object["apiVersion"] = format!("config.k8s.io/{version}").into();
    object["metadata"] = json!({"name": "apiserver"});
    let (media_type, body) = match format {
        Format::Yaml => ("application/yaml", yaml::encode(&object)),
        Format::Json | Format::Protobuf => (respond::JSON, object.to_string() + "\n"),
    };
    let mut response = respond::with_body(200, respond::JSON, full(body));
    let content_type = format!("{media_type};g=config.k8s.io;v={version};as={kind}");
    if let Ok(content_type) = HeaderValue::from_str(&content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    }
    if version == "v1alpha1" {
        let name = kind.to_lowercase();
        let warning = format!("This version of the {name} endpoint is deprecated. Please use a newer version.");
        respond::add_warnings(&mut response, &[warning]);
    }
    response
}

/// The first parts of all paths at which there is something to look at.
fn paths(server: &Server) -> Vec<String> {
    let all = discovery::paths(server, &server.extensions.description());
    let folders: BTreeSet<String> =
        all.iter().filter_map(|path| Some(format!("/{}", path.split('/').nth(1)?))).collect();
    folders.into_iter().filter(|folder| folder != "/" && !OTHERS.contains(&folder.as_str())).collect()
}
