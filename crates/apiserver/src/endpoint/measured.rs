//! Objects that are not stored, in the forms in which stored ones are shown.

use std::sync::Arc;

use http::Response;
use portolan_store::Entry;
use serde_json::{Value, json};

use super::Call;
use super::present::{included, partial_of};
use crate::body::Body;
use crate::negotiate::{Include, View};
use crate::respond;
use crate::status::Status;

impl Call<'_> {
    /// All stored objects that the request selects.
    pub(crate) async fn selected(&self) -> Result<Vec<Arc<Entry>>, Status> {
        Ok(self.page().await?.entries)
    }

    /// Answers with one object.
    pub(crate) fn present_measured(&self, object: Value) -> Result<Response<Body>, Status> {
        let shown = match self.view()? {
            View::Whole => object,
            View::Metadata { version, .. } => partial_of(object, version),
            View::Table { version, include } => self.table_of(vec![object], version, include),
        };
        Ok(respond::json(200, &shown))
    }

    /// Answers with a list.
    pub(crate) fn present_all_measured(&self, objects: Vec<Value>) -> Result<Response<Body>, Status> {
        let list = match self.view()? {
            View::Whole => json!({
                "kind": self.resource.list_kind, "apiVersion": self.kind().api_version(), "metadata": {},
                "items": objects,
            }),
            View::Metadata { version, .. } => json!({
                "kind": "PartialObjectMetadataList", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": {},
                "items": objects.into_iter().map(|object| partial_of(object, version)).collect::<Vec<_>>(),
            }),
            View::Table { version, include } => self.table_of(objects, version, include),
        };
        Ok(respond::json(200, &list))
    }

    fn table_of(&self, objects: Vec<Value>, version: &str, include: Include) -> Value {
        let rows = objects.into_iter().map(|object| {
            let cells = self.strategy.cells(&object, self.now);
            json!({"cells": cells, "object": included(object, version, include)})
        });
        json!({
            "kind": "Table", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": {},
            "columnDefinitions": self.strategy.column_definitions(), "rows": rows.collect::<Vec<_>>(),
        })
    }
}
