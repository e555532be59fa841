//! `portolan watch`: the registry's changes as they happen.

use std::collections::BTreeMap;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

use super::registry_http::Registry;
use crate::Common;
use crate::output::{cell, print_line};

/// How long after the end of a stream the next one is tried.
const PAUSE: Duration = Duration::from_secs(1);

/// Arguments of `watch`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portolan watch
  portolan watch --service cart -n shop -o json")]
pub struct Arguments {
    /// Only changes of this service.
    #[arg(long)]
    service: Option<String>,
    /// One JSON document per line.
    #[arg(short, long, value_parser = ["json"])]
    output: Option<String>,
    /// URL of another registry [default: the one on this machine].
    #[arg(long)]
    url: Option<String>,
}

pub(crate) async fn run(common: &Common, arguments: Arguments) -> anyhow::Result<()> {
    let registry = Registry::connect(common, arguments.url)?;
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in [("service", &arguments.service), ("namespace", &common.namespace)] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let path = format!("/watch?{}", query.finish());
    let mut stream = Stream::default();
    let mut body = registry.stream(&path, None).await?;
    loop {
        let ended = stream.read(&mut body, arguments.output.is_some()).await;
        eprintln!(
            "the stream ended{}; asking again",
            ended.map_or_else(|error| format!(" ({error})"), |()| String::new())
        );
        body = loop {
            tokio::time::sleep(PAUSE).await;
            match registry.stream(&path, stream.last.as_deref()).await {
                Ok(body) => break body,
                Err(error) if error.is::<super::registry_http::Refused>() => return Err(error),
                // Not there yet.
                Err(_) => {}
            }
        };
        stream.unread.clear();
    }
}

/// What was read of the stream.
#[derive(Debug, Default)]
struct Stream {
    unread: Vec<u8>,
    /// Id of the last event.
    last: Option<String>,
    known: Known,
}

impl Stream {
    async fn read(&mut self, body: &mut Incoming, raw: bool) -> Result<(), hyper::Error> {
        while let Some(frame) = body.frame().await {
            self.unread.extend_from_slice(frame?.data_ref().map(|data| &data[..]).unwrap_or_default());
            while let Some(end) = self.unread.windows(2).position(|two| two == b"\n\n") {
                let event: Vec<u8> = self.unread.drain(..end + 2).collect();
                self.take(&String::from_utf8_lossy(&event), raw).iter().for_each(|line| print_line(line));
            }
        }
        Ok(())
    }

    /// The lines to print for one event.
    fn take(&mut self, event: &str, raw: bool) -> Vec<String> {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name).map(str::trim));
        let lines = match field("data:") {
            Some(data) if raw => vec![data.to_owned()],
            Some(data) => serde_json::from_str(data).map(|event| self.known.take(&event)).unwrap_or_default(),
            None => Vec::new(),
        };
        if let Some(id) = field("id:") {
            self.last = Some(id.to_owned());
        }
        lines
    }
}

/// What is there, so that it can be told what was deleted while nobody watched.
#[derive(Debug, Default)]
struct Known {
    instances: BTreeMap<(String, String, String), Value>,
    /// What was known before the list that is being read, unless that is the first.
    before: Option<BTreeMap<(String, String, String), Value>>,
}

impl Known {
    /// The lines to print for one event.
    fn take(&mut self, event: &Value) -> Vec<String> {
        let instance = &event["instance"];
        let key = || (cell(&instance["namespace"]), cell(&instance["service"]), cell(&instance["id"]));
        match event["type"].as_str() {
            Some("RESET") => {
                self.before = Some(std::mem::take(&mut self.instances));
                Vec::new()
            }
            Some("SYNCED") => {
                let gone = self.before.take().unwrap_or_default();
                gone.values().map(|instance| line("DELETED", instance)).collect()
            }
            Some("DELETED") => {
                self.instances.remove(&key());
                vec![line("DELETED", instance)]
            }
            Some(kind) => {
                self.instances.insert(key(), instance.clone());
                match self.before.as_mut().map(|before| before.remove(&key())) {
                    Some(Some(same)) if same == *instance => Vec::new(),
                    Some(Some(_)) => vec![line("MODIFIED", instance)],
                    Some(None) | None => vec![line(kind, instance)],
                }
            }
            None => Vec::new(),
        }
    }
}

fn line(kind: &str, instance: &Value) -> String {
    let text: Vec<String> = ["namespace", "service", "name", "address", "health", "reason"]
        .map(|field| cell(&instance[field]))
        .into_iter()
        .filter(|text| !text.is_empty())
        .collect();
    format!("{kind:9} {}", text.join("  "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_that_was_deleted_meanwhile_is_kept() {
        let event = |kind: &str, id: &str, health: &str| {
            let instance = json!({"namespace": "n", "service": "s", "id": id, "name": id, "health": health});
            format!("id: 7-a\ndata: {}\n\n", json!({"type": kind, "instance": instance}))
        };
        let mark = |kind: &str| format!("data: {}\n\n", json!({"type": kind, "index": 7}));
        let events = [
            (event("ADDED", "a", "passing"), vec!["ADDED     n  s  a  passing"]),
            (event("ADDED", "b", "passing"), vec!["ADDED     n  s  b  passing"]),
            (event("ADDED", "c", "passing"), vec!["ADDED     n  s  c  passing"]),
            (mark("SYNCED"), vec![]),
            (event("DELETED", "c", "passing"), vec!["DELETED   n  s  c  passing"]),
            (": still here\n\n".to_owned(), vec![]),
            // Another process: `a` is gone, `b` is ill, `d` is new.
            (mark("RESET"), vec![]),
            (event("ADDED", "b", "critical"), vec!["MODIFIED  n  s  b  critical"]),
            (event("ADDED", "d", "passing"), vec!["ADDED     n  s  d  passing"]),
            (mark("SYNCED"), vec!["DELETED   n  s  a  passing"]),
        ];
        let mut stream = Stream::default();
        for (event, expected) in events {
            assert_eq!(stream.take(&event, false), expected, "{event}");
        }
        assert_eq!(stream.last.as_deref(), Some("7-a"));
    }
}
