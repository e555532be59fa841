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
    let builtin = description::builtin();
    let write_text =
        |name: &str, document: &str| std::fs::write(folder.join(format!("{}.json", name.replace('/', "_"))), document);
    let write = |name: &str, document: &Value| write_text(name, &document.to_string());
    write("api", &discovery::api_versions("127.0.0.1:6443"))?;
    write("apis", &discovery::api_group_list(builtin))?;
    for (name, part) in [("api", Part::Core), ("apis", Part::Groups)] {
        write_text(&format!("agg/v2/{name}"), &discovery::aggregated(builtin, part))?;
    }
    for version in builtin.versions() {
        let root = if version.group.is_empty() { "api" } else { "apis" };
        let name = format!("{root}/{}", version.api_version());
        if let Some(list) = discovery::api_resource_list(builtin, &version.group, &version.version) {
            write(&name, &list)?;
        }
        std::fs::write(folder.join(format!("openapi_v3_{}.json", name.replace('/', "_"))), openapi::v3(version))?;
    }
    write("openapi/v3", &openapi::v3_index(builtin))?;
    let whole = openapi::v2(builtin);
    std::fs::write(folder.join("openapi_v2.pb"), openapi::v2_protobuf(&whole))?;
    write("openapi/v2", &whole)
}
