//! Which part of a log is asked for (`PodLogOptions`).
//!
//! Source: `ValidatePodLogOptions` in `pkg/apis/core/validation` of Kubernetes.

use portolan_api::field::{self, Path};
use portolan_api::time::layout;

use crate::endpoint::Call;
use crate::request::go_integer;
use crate::status::Status;

const POSITIVE: &str = "must be greater than 0";

/// Refuses options that make no sense, before anybody looks for the pod.
pub(super) fn check(call: &Call<'_>) -> Result<(), Status> {
    let since_time = call.query.get("sinceTime");
    if let Some(problem) =
        Some(since_time).filter(|text| !text.is_empty()).and_then(|text| layout::SECONDS.problem(text))
    {
        return Err(Status::bad_request(problem));
    }
    let number = |name: &str| call.query.all(name).next().map(go_integer).transpose();
    let options = Options {
        tail_lines: number("tailLines")?,
        limit_bytes: number("limitBytes")?,
        since_seconds: number("sinceSeconds")?,
        has_since_time: !since_time.is_empty(),
        has_stream: !call.query.get("stream").is_empty(),
    };
    match problems(&options).as_slice() {
        [] => Ok(()),
        errors => Err(Status::invalid("", "PodLogOptions", &call.info.name, errors)),
    }
}

struct Options {
    tail_lines: Option<i64>,
    limit_bytes: Option<i64>,
    since_seconds: Option<i64>,
    has_since_time: bool,
    has_stream: bool,
}

fn problems(options: &Options) -> Vec<field::Error> {
    let mut errors = Vec::new();
    if let Some(lines) = options.tail_lines.filter(|lines| *lines < 0) {
        errors.push(field::Error::invalid(&Path::new("tailLines"), lines, "must be greater than or equal to 0"));
    }
    if let Some(bytes) = options.limit_bytes.filter(|bytes| *bytes < 1) {
        errors.push(field::Error::invalid(&Path::new("limitBytes"), bytes, POSITIVE));
    }
    match options.since_seconds {
        Some(_) if options.has_since_time => {
            let why = "at most one of `sinceTime` or `sinceSeconds` may be specified";
            // How upstream writes a path without a name.
            errors.push(field::Error::forbidden(&Path::new("[]"), why));
        }
        Some(seconds) if seconds < 1 => {
            errors.push(field::Error::invalid(&Path::new("sinceSeconds"), seconds, POSITIVE));
        }
        _ => {}
    }
    if options.has_stream {
        errors.push(field::Error::forbidden(&Path::new("stream"), "may not be specified"));
    }
    errors
}
