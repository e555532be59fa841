//! A table of requests that are refused: none panics, none changes anything, each says why.

use expect_test::expect_file;
use http::Request;
use portolan_apiserver::full;
use portolan_store::Store;
use serde_json::json;

use crate::support::{admin, cluster};

/// A line of the table.
struct Case<'a> {
    line: &'a str,
    method: String,
    uri: String,
    content_type: Option<String>,
    header: Option<(String, String)>,
    body: Vec<u8>,
}

impl<'a> Case<'a> {
    fn parse(line: &'a str) -> Self {
        let mut words = line.splitn(5, ' ');
        let mut word = || words.next().map(str::to_owned).unwrap_or_else(|| panic!("malformed line {line}"));
        let [method, uri, content_type, header] = [word(), word(), word(), word()].map(|word| match word.as_str() {
            "-" => None,
            text => Some(String::from_utf8(expand(text)).expect("text")),
        });
        let body = match words.next().unwrap_or_default() {
            "-" => Vec::new(),
            text => expand(text),
        };
        let header = header.map(|header| {
            let (name, value) = header.split_once(':').unwrap_or_else(|| panic!("malformed line {line}"));
            (name.to_owned(), value.to_owned())
        });
        let [method, uri] = [method, uri].map(|word| word.unwrap_or_else(|| panic!("malformed line {line}")));
        Self { line, method, uri, content_type, header, body }
    }

    fn request(&self) -> Result<Request<portolan_apiserver::Body>, http::Error> {
        let mut request = Request::builder().method(self.method.as_str()).uri(self.uri.as_str());
        if let Some(content_type) = &self.content_type {
            request = request.header("content-type", content_type);
        }
        if let Some((name, value)) = &self.header {
            request = request.header(name, value);
        }
        request.body(full(self.body.clone()))
    }
}

/// `\xNN` is a byte, `\n`, `\t` and `\\` are what they are elsewhere, `{{3*ab}}` is `ababab`.
fn expand(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some((count, (word, behind))) = rest
            .strip_prefix("{{")
            .and_then(|repeated| repeated.split_once('*'))
            .and_then(|(count, behind)| Some((count.parse().ok()?, repeated(behind)?)))
        {
            bytes.extend(expand(word).repeat(count));
            rest = behind;
        } else if let Some(escaped) = rest.strip_prefix('\\') {
            let (byte, length) = match escaped.as_bytes().first() {
                Some(b'x') => (u8::from_str_radix(&escaped[1..3], 16).expect("two digits"), 3),
                Some(b'n') => (b'\n', 1),
                Some(b't') => (b'\t', 1),
                _ => (b'\\', 1),
            };
            bytes.push(byte);
            rest = &escaped[length..];
        } else {
            bytes.extend(first.to_string().bytes());
            rest = &rest[first.len_utf8()..];
        }
    }
    bytes
}

/// What is repeated, which may have braces of its own, and what follows.
fn repeated(text: &str) -> Option<(&str, &str)> {
    let mut end = text.find("}}")?;
    while text[end + 1..].starts_with("}}") {
        end += 1;
    }
    Some((&text[..end], &text[end + 2..]))
}

#[tokio::test]
async fn malformed_requests_say_why_and_change_nothing() {
    let cluster = cluster().await;
    let taken = cluster.config_map("taken", json!({})).await;
    let of_taken = |field: &str| taken.body["metadata"][field].as_str().expect("a text").to_owned();
    let (uid, revision) = (of_taken("uid"), of_taken("resourceVersion"));
    let revisions = [": {}", "({})"].map(|form| (form.replace("{}", &revision), form.replace("{}", "REVISION")));
    let mut before = cluster.store.status().await.revision;
    let (mut answers, mut wrong) = (String::new(), Vec::new());
    for line in include_str!("malformed.txt").lines() {
        if line.is_empty() || line.starts_with('#') {
            answers.extend([line, "\n"]);
            continue;
        }
        let case = Case::parse(line);
        let text = match case.request() {
            Ok(request) => {
                let answer = cluster.send(admin(), request).await;
                let code = answer.code.as_u16();
                let after = cluster.store.status().await.revision;
                // What is wrong with some patches and versions is told by upstream's libraries, which blame nobody.
                let blames_nobody = case.method == "PATCH" || answer.text().starts_with("500 resourceVersion");
                if code < 400 || code == 500 && !blames_nobody || after != before {
                    wrong.push(format!("{}: {} {before} {after}", case.line, answer.text()));
                    before = after;
                }
                // What becomes of a patch is the matter of other tests: here only that it is refused.
                if case.method == "PATCH" { code.to_string() } else { answer.text() }
            }
            // The HTTP library refuses it before anybody sees it.
            Err(error) => error.to_string(),
        };
        let shown: String = line.chars().take(160).collect();
        let text = revisions.iter().fold(text.replace(&uid, "UID"), |text, (found, name)| text.replace(found, name));
        answers.push_str(&format!("{shown}\n    {}\n", printable(&text)));
    }
    assert!(wrong.is_empty(), "accepted, failed or changed something:\n{}", wrong.join("\n"));
    expect_file!["./malformed.expected"].assert_eq(&answers.replace("# Requests", "# Answers to requests"));
}

/// Text that a file can hold.
fn printable(text: &str) -> String {
    let shown = |letter: char| if letter.is_control() { letter.escape_debug().to_string() } else { letter.to_string() };
    text.chars().take(400).map(shown).collect()
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up() {
    use http_body_util::{BodyExt, StreamBody};
    let cluster = cluster().await;
    let first = futures::stream::iter([Ok(http_body::Frame::data(bytes::Bytes::from_static(b"{\"data\":")))]);
    let body = StreamBody::new(futures::StreamExt::chain(first, futures::stream::pending())).boxed_unsync();
    let request = Request::builder().method("POST").uri("/api/v1/namespaces/default/configmaps");
    let answer = cluster.send(admin(), request.body(body).expect("a request")).await;
    assert_eq!(answer.text(), "408 the request body did not arrive in time");
}

#[tokio::test]
async fn a_body_that_breaks_off_changes_nothing() {
    use http_body_util::{BodyExt, StreamBody};
    let cluster = cluster().await;
    let broken: [Result<http_body::Frame<bytes::Bytes>, portolan_apiserver::BoxError>; 2] = [
        Ok(http_body::Frame::data(bytes::Bytes::from_static(b"{\"metadata\":{\"name\":\"a\"}}"))),
        Err("connection reset".into()),
    ];
    let body = StreamBody::new(futures::stream::iter(broken)).boxed_unsync();
    let request = Request::builder().method("POST").uri("/api/v1/namespaces/default/configmaps");
    let answer = cluster.send(admin(), request.body(body).expect("a request")).await;
    assert_eq!(answer.code, 400, "{answer:?}");
    assert_eq!(cluster.get("/api/v1/namespaces/default/configmaps/a").await.code, 404);
}
