//! Writes the discovery and OpenAPI documents into a folder, to look at or to serve to a client.
//!
//! ```sh
//! cargo run -p portolan-api --example documents -- /tmp/documents
//! ```

use std::path::Path;

use portolan_api::discovery::{self, Part};
use portolan_api::{description, openapi};
use serde_json::Value;

fn main() -> std::io::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "documents".into());
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    let write = |name: &str, document: &Value| {
        std::fs::write(folder.join(format!("{}.json", name.replace('/', "_"))), document.to_string())
    };
    write("api", &discovery::api_versions("127.0.0.1:6443"))?;
    write("apis", &discovery::api_group_list(&[]))?;
    for version in ["v2", "v2beta1"] {
        write(&format!("agg/{version}/api"), &discovery::aggregated(Part::Core, version, &[]))?;
        write(&format!("agg/{version}/apis"), &discovery::aggregated(Part::Groups, version, &[]))?;
    }
    for version in description::builtin().versions() {
        let root = if version.group.is_empty() { "api" } else { "apis" };
        let name = format!("{root}/{}", version.api_version());
        if let Some(list) = discovery::api_resource_list(version.group, version.version, &[]) {
            write(&name, &list)?;
        }
        if let Some(document) = openapi::v3(&name) {
            write(&format!("openapi/v3/{name}"), &document)?;
        }
    }
    write("openapi/v3", &openapi::v3_index())?;
    std::fs::write(folder.join("openapi_v2.pb"), openapi::v2_protobuf())?;
    write("openapi/v2", &openapi::v2())
}
