//! `GET /portolan/v1/backup`: everything in the store, as a file from which a new one can be made.

use std::path::Path;

use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderValue, Response, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use portolan_store::Revision;
use tokio::fs::File;
use tokio_util::io::ReaderStream;

use crate::body::{Body, BoxError};
use crate::request::Query;
use crate::respond;
use crate::server::Server;
use crate::status::Status;

/// Where it is served. Whoever may `get` this path may read every Secret.
pub(crate) const PATH: &str = "/portolan/v1/backup";

/// Says up to which revision the backup goes.
const REVISION: &str = "x-portolan-revision";

/// The media type of the file with keys.
const KEYS: &str = "application/yaml";

/// How much is read from the disk at a time.
const CHUNK: usize = 256 << 10;

/// Answers with what is asked for: `?part=keys` for the keys by which the cluster encrypts Secrets, else the snapshot.
pub(crate) async fn serve(server: &Server, query: &Query) -> Result<Response<Body>, Status> {
    match query.get("part") {
        "" => snapshot(server).await,
        "keys" => keys(server).await,
        other => Err(Status::bad_request(format!("part: Invalid value: \"{other}\": know keys"))),
    }
}

async fn keys(server: &Server) -> Result<Response<Body>, Status> {
    let encryption = server.config.access.encryption.as_ref();
    let Some(path) = encryption.and_then(|encryption| encryption.backed_up.as_ref()) else {
        return Ok(respond::bytes_of(204, KEYS, Bytes::new()));
    };
    let text = tokio::fs::read(path).await;
    let text = text.map_err(|error| Status::internal(format!("read {}: {error}", path.display())))?;
    Ok(respond::bytes_of(200, KEYS, text))
}

/// Answers with a snapshot of the store. Writers are not held up while a slow client reads it.
async fn snapshot(server: &Server) -> Result<Response<Body>, Status> {
    let path = server.config.scratch.join(format!("backup-{}", uuid::Uuid::new_v4()));
    let written = write(server, &path).await;
    // The name goes at once: the content lives as long as somebody reads it, also if we are killed.
    let removed = tokio::fs::remove_file(&path).await;
    let (revision, file, length) = written.map_err(|why| Status::internal(format!("write a backup: {why}")))?;
    if let Err(error) = removed {
        tracing::warn!(path = %path.display(), %error, "the file of a backup stays behind");
    }
    let chunks = ReaderStream::with_capacity(file, CHUNK)
        .map(|chunk| chunk.map(Frame::data).map_err(|error| -> BoxError { error.into() }));
    let body = StreamBody::new(chunks).boxed_unsync();
    let mut response = respond::with_body(200, "application/octet-stream", body);
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response.headers_mut().insert(REVISION, HeaderValue::from(revision.0));
    Ok(response)
}

async fn write(server: &Server, path: &Path) -> Result<(Revision, File, u64), String> {
    let revision =
        server.store().snapshot(path).await.map_err(|error| portolan_base::error::chain(&error).to_string())?;
    let file = File::open(path).await.map_err(|error| error.to_string())?;
    let length = file.metadata().await.map_err(|error| error.to_string())?.len();
    Ok((revision, file, length))
}
