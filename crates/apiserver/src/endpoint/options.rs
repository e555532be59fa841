//! Options of writes that stand in the query, held against upstream's rules for all kinds alike.

use portolan_api::field::{Error, Path};
use serde_json::Value;

use super::Call;
use crate::status::Status;

/// Bytes of the name of a manager.
const MANAGER_LIMIT: usize = 128;

impl Call<'_> {
    /// Refuses options that mean nothing.
    pub(super) fn check_options(&self) -> Result<(), Status> {
        let kind = match self.info.verb {
            "create" => "CreateOptions",
            "update" => "UpdateOptions",
            "patch" => "PatchOptions",
            "delete" | "deletecollection" => "DeleteOptions",
            _ => return Ok(()),
        };
        let mut errors = Vec::new();
        let dry_run: Vec<Value> = self.query.all("dryRun").filter(|it| !it.is_empty()).map(Value::from).collect();
        if dry_run.iter().any(|value| value != "All") {
            errors.push(Error::not_supported(&Path::new("dryRun"), Value::Array(dry_run), &["All"]));
        }
        if kind != "DeleteOptions" {
            let manager = self.query.get("fieldManager");
            let path = Path::new("fieldManager");
            if manager.len() > MANAGER_LIMIT {
                errors.push(Error::too_long(&path, MANAGER_LIMIT));
            }
            if manager.chars().any(char::is_control) {
                errors.push(Error::invalid(&path, manager, "should only contain printable characters"));
            }
            let validation = self.query.get("fieldValidation");
            if !matches!(validation, "" | "Ignore" | "Strict" | "Warn") {
                let supported = ["", "Ignore", "Strict", "Warn"];
                errors.push(Error::not_supported(&Path::new("fieldValidation"), validation, &supported));
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(Status::invalid("meta.k8s.io", kind, "", &errors)) }
    }
}
