//! Answers in the form and compression that the client asked for.
//!
//! Handlers answer in JSON, which is what the store holds. Here whole documents become YAML or
//! protobuf; lists and watches in protobuf are made where they are read.

use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Response, header};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use portolan_api::{protobuf, yaml};
use portolan_base::go;
use serde_json::Value;

use crate::body::{Body, BoxError, full};
use crate::negotiate::{self, Answer, Format};
use crate::request::Query;
use crate::respond;
use crate::status::Status;
use crate::subresource::upgrade::PassedOn;

/// Answers that are smaller are not worth compressing; as upstream.
const GZIP_FROM: u64 = 128 * 1024;

/// Forms that the client may want besides JSON, read from the head of its request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    format: Format,
    /// For kinds that are not exchanged in protobuf.
    otherwise: Format,
    /// For refusals, which are shown as they are: in no form that asks for rows or metadata.
    refusals: Format,
    /// Whether JSON gets line breaks, for people.
    pretty: bool,
    gzip: bool,
}

impl Wanted {
    /// Reads the head of a request.
    pub(crate) fn of(headers: &HeaderMap, query: &Query) -> Self {
        let accept = headers.get_all(header::ACCEPT).iter();
        // Most requests: nothing but JSON is spoken of.
        let plain =
            accept.filter_map(|value| value.to_str().ok()).all(|it| !it.contains("yaml") && !it.contains("protobuf"));
        // Who knows none of the forms is answered in JSON.
        let format = |answer| negotiate::accepted(headers, query, answer).map_or(Format::Json, |it| it.format);
        let document = |in_protobuf: bool| format(Answer::Document { in_protobuf });
        let [format, otherwise, refusals] = match plain {
            true => [Format::Json; 3],
            false => [document(true), document(false), format(Answer::Reply { in_protobuf: true })],
        };
        let encodings = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        let gzip = encodings.flat_map(|value| value.split(',')).any(|token| token.trim() == "gzip");
        let pretty = match query.get("pretty") {
            "" => is_for_people(headers),
            asked => go::parse_bool(asked) == Some(true),
        };
        Self { format, otherwise, refusals, pretty, gzip }
    }

    /// The answer in that form.
    pub(crate) async fn apply(self, response: Response<Body>) -> Response<Body> {
        if response.extensions().get::<PassedOn>().is_some() {
            return response;
        }
        let is_refusal = response.status().is_client_error() || response.status().is_server_error();
        let format = if is_refusal { self.refusals } else { self.format };
        // Events of a watch stay lines, and descriptions of the API what they were hashed as.
        let is_hashed = response.headers().contains_key(header::ETAG);
        let indents = self.pretty && !is_hashed && response.body().size_hint().exact().is_some();
        let response = if is(&response, respond::JSON) && (format != Format::Json || indents) {
            self.recoded(format, response).await
        } else {
            response
        };
        if self.gzip { compressed(response) } else { response }
    }

    /// A document in another form; left as it is if it has none there, as the list of paths has.
    async fn recoded(self, format: Format, response: Response<Body>) -> Response<Body> {
        let (mut parts, body) = response.into_parts();
        let bytes = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => {
                tracing::error!(%error, "an answer could not be made");
                return respond::status(&Status::internal("the answer could not be made; the log has the cause"));
            }
        };
        let recoded = self.encode(format, &bytes).or_else(|| self.encode(self.otherwise, &bytes));
        let Some((content_type, recoded)) = recoded else { return Response::from_parts(parts, full(bytes)) };
        parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        parts.headers.remove(header::CONTENT_LENGTH);
        Response::from_parts(parts, full(recoded))
    }

    fn encode(self, format: Format, json: &[u8]) -> Option<(&'static str, Vec<u8>)> {
        let value = || serde_json::from_slice::<Value>(json).ok();
        match format {
            Format::Protobuf => protobuf::encode(json).ok().map(|bytes| (protobuf::MEDIA_TYPE, bytes)),
            Format::Yaml => Some(("application/yaml", yaml::encode(&value()?).into_bytes())),
            Format::Json if self.pretty => {
                serde_json::to_vec_pretty(&value()?).ok().map(|bytes| (respond::JSON, bytes))
            }
            Format::Json => None,
        }
    }
}

/// Whether the client is one that people read the answers of, as upstream knows them.
fn is_for_people(headers: &HeaderMap) -> bool {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    ["curl", "Wget", "Mozilla/5.0"].iter().any(|name| agent.starts_with(name))
}

fn is(response: &Response<Body>, content_type: &str) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|value| value == content_type)
}

/// The answer compressed if that pays.
fn compressed(response: Response<Body>) -> Response<Body> {
    if response.body().size_hint().lower() <= GZIP_FROM || response.headers().contains_key(header::CONTENT_ENCODING) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts.headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    parts.headers.remove(header::CONTENT_LENGTH);
    // The fastest level, as upstream: more is hardly smaller.
    let encoder = Some(GzEncoder::new(Vec::new(), Compression::new(1)));
    Response::from_parts(parts, Gzip { body, encoder }.boxed_unsync())
}

/// Compresses a body while it is sent.
struct Gzip {
    body: Body,
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl http_body::Body for Gzip {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        loop {
            let Some(encoder) = &mut this.encoder else { return Poll::Ready(None) };
            let chunk = match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    encoder.write_all(&data)?;
                    std::mem::take(encoder.get_mut())
                }
                None => match this.encoder.take() {
                    Some(encoder) => encoder.finish()?,
                    None => return Poll::Ready(None),
                },
            };
            if !chunk.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(chunk.into()))));
            }
        }
    }
}
