//! Checks of where a webhook is.

use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::json::text;
use crate::resources::url;

const FORM: &str = "; desired format: https://host[/path]";

impl Errors {
    /// A `clientConfig`: a URL or a Service.
    pub(crate) fn client_config(&mut self, at: &At<'_>, config: &Value) {
        match (config["url"].as_str(), config["service"].is_object()) {
            (Some(url), false) => self.webhook_url(&at.child("url"), url),
            (None, true) => self.webhook_service(&at.child("service"), &config["service"]),
            _ => self.required(at, "exactly one of url or service is required"),
        }
    }

    fn webhook_url(&mut self, at: &At<'_>, text: &str) {
        let url = match url::parse(text) {
            Ok(url) => url,
            Err(error) => return self.required(at, format!("url must be a valid URL: {error}{FORM}")),
        };
        if url.scheme != "https" {
            self.invalid(at, url.scheme, format!("'https' is the only allowed URL scheme{FORM}"));
        }
        if url.host.is_empty() {
            self.invalid(at, "", format!("host must be specified{FORM}"));
        }
        if let Some(user) = url.user {
            self.invalid(at, user, "user information is not permitted in the URL");
        }
        if !url.fragment.is_empty() {
            self.invalid(at, url.fragment, "fragments are not permitted in the URL");
        }
        if !url.query.is_empty() {
            self.invalid(at, url.query, "query parameters are not permitted in the URL");
        }
    }

    fn webhook_service(&mut self, at: &At<'_>, service: &Value) {
        // Upstream takes the one for the other.
        for (told, missing) in [("name", "namespace"), ("namespace", "name")] {
            if text(&service[missing]).is_empty() {
                self.required(&at.child(told), "");
            }
        }
        if let Some(port) = service["port"].as_i64().filter(|port| !(1..=65535).contains(port)) {
            self.invalid(&at.child("port"), port, "port is not valid: must be between 1 and 65535, inclusive");
        }
        let Some(path) = service["path"].as_str().filter(|path| !path.is_empty()) else { return };
        let at = at.child("path");
        if path == "/" || path == "//" {
            if path == "//" {
                self.invalid(&at, path, "segment[0] may not be empty");
            }
            return;
        }
        if !path.starts_with('/') {
            self.invalid(&at, path, "must start with a '/'");
        }
        // As upstream, the first character is left out whatever it is.
        let mut segments = path.chars();
        segments.next();
        let segments = segments.as_str();
        let segments = segments.strip_suffix('/').unwrap_or(segments);
        for (index, segment) in segments.split('/').enumerate() {
            if segment.is_empty() {
                self.invalid(&at, path, format!("segment[{index}] may not be empty"));
                continue;
            }
            for problem in portolan_api::validation::is_dns1123_subdomain(segment) {
                self.invalid(&at, path, format!("segment[{index}]: {problem}"));
            }
        }
    }
}
