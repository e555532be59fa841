//! Reading one object.

use http::Response;

use super::Call;
use crate::body::Body;
use crate::status::Status;

impl Call<'_> {
    pub(super) async fn get(&self) -> Result<Response<Body>, Status> {
        let view = self.view()?;
        self.check_fresh().await?;
        let entry = self.entry(&self.info.name).await?;
        self.present(200, view, &entry.value, entry.mod_revision)
    }

    /// Refuses to answer for a revision that does not exist yet.
    pub(super) async fn check_fresh(&self) -> Result<(), Status> {
        let Some(wanted) = self.resource_version()?.filter(|revision| revision.0 > 0) else { return Ok(()) };
        let current = self.server.store().status().await.revision;
        if wanted > current { Err(Status::too_new(wanted.0, current.0)) } else { Ok(()) }
    }
}
