//! `portolan registry kv`

use std::io::Read;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use portolan_client::percent_encode;
use serde_json::Value;

use crate::Scoped;
use crate::commands::registry_http::Registry;
use crate::output::{self, Format, cell, print_bytes, print_line, table};

/// Reads and writes keys.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Print the value of a key as it is; with `-o json` what is known of it.
    #[command(after_help = "\
Examples:
  portolan registry kv get shop/motto
  portolan registry kv get shop/motto -o json")]
    Get(Scoped<GetArguments>),
    /// Write a key.
    #[command(after_help = "\
Examples:
  portolan registry kv put shop/motto ahoy
  portolan registry kv put shop/config -              # from standard input
  portolan registry kv put shop/leader me --cas 0      # only if there is no such key")]
    Put(Scoped<PutArguments>),
    /// List keys.
    #[command(after_help = "\
Examples:
  portolan registry kv ls
  portolan registry kv ls shop/ -o json")]
    Ls(Scoped<ListArguments>),
    /// Delete a key, or all below a prefix.
    #[command(after_help = "\
Examples:
  portolan registry kv delete shop/motto
  portolan registry kv delete shop/ --recurse")]
    Delete(Scoped<DeleteArguments>),
}

/// Where keys are.
#[derive(Debug, clap::Args)]
#[allow(unreachable_pub, reason = "part of a command that is public in its crate")]
pub struct Where {
    /// URL of a Consul interface [default: the one on this machine].
    #[arg(long, env = "CONSUL_HTTP_ADDR")]
    url: Option<String>,
    /// Token, where tokens are asked for.
    #[arg(long, env = "CONSUL_HTTP_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// Arguments of `kv get`.
#[derive(Debug, clap::Args)]
pub struct GetArguments {
    /// The key.
    key: String,
    #[command(flatten)]
    place: Where,
    /// Output format.
    #[arg(short, long)]
    output: Option<Format>,
}

/// Arguments of `kv put`.
#[derive(Debug, clap::Args)]
pub struct PutArguments {
    /// The key.
    key: String,
    /// The value; `-` reads it from standard input.
    value: String,
    /// Only if the key is as it was at this index; 0: only if there is none.
    #[arg(long, value_name = "INDEX")]
    cas: Option<u64>,
    /// A number that is kept with the value.
    #[arg(long, default_value_t = 0)]
    flags: u64,
    #[command(flatten)]
    place: Where,
}

/// Arguments of `kv ls`.
#[derive(Debug, clap::Args)]
pub struct ListArguments {
    /// Only keys that begin so.
    #[arg(default_value = "", hide_default_value = true)]
    prefix: String,
    #[command(flatten)]
    place: Where,
    /// Output format.
    #[arg(short, long)]
    output: Option<Format>,
}

/// Arguments of `kv delete`.
#[derive(Debug, clap::Args)]
pub struct DeleteArguments {
    /// The key.
    key: String,
    /// Every key that begins so.
    #[arg(long)]
    recurse: bool,
    #[command(flatten)]
    place: Where,
}

pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Get(scoped) => {
            let arguments = scoped.arguments;
            get(&connect(&scoped.common, arguments.place)?, &arguments.key, arguments.output).await
        }
        Command::Put(scoped) => {
            let PutArguments { key, value, cas, flags, place } = scoped.arguments;
            let keys = connect(&scoped.common, place)?;
            let mut bytes = value.into_bytes();
            if bytes == b"-" {
                bytes.clear();
                std::io::stdin().read_to_end(&mut bytes).context("read the value from standard input")?;
            }
            let cas = cas.map(|index| format!("&cas={index}")).unwrap_or_default();
            let done = ask(&keys, Method::PUT, &format!("{}?flags={flags}{cas}", path(&key)), bytes.into()).await?;
            match done.as_deref() {
                Some(b"true" | b"true\n") => print_line(&format!("{key} written")),
                _ => bail!("{key} was not written: it is not as --cas says, or somebody has locked it"),
            }
            Ok(())
        }
        Command::Ls(scoped) => {
            let arguments = scoped.arguments;
            list(&connect(&scoped.common, arguments.place)?, &arguments.prefix, arguments.output).await
        }
        Command::Delete(scoped) => {
            let DeleteArguments { key, recurse, place } = scoped.arguments;
            let keys = connect(&scoped.common, place)?;
            let recurse = if recurse { "?recurse" } else { "" };
            ask(&keys, Method::DELETE, &format!("{}{recurse}", path(&key)), Bytes::new()).await?;
            print_line(&format!("{key} deleted"));
            Ok(())
        }
    }
}

fn connect(common: &crate::Common, place: Where) -> anyhow::Result<Registry> {
    // Consul's own clients take the variable with or without a scheme.
    let url = place.url.map(|url| if url.contains("://") { url } else { format!("http://{url}") });
    Registry::consul(common, url, place.token)
}

/// The path of a key: slashes stay, all else that means something in a URL is escaped.
fn path(key: &str) -> String {
    let segments: Vec<String> = key.split('/').map(percent_encode).collect();
    format!("/v1/kv/{}", segments.join("/"))
}

/// The body of a good answer; `None` if there is no such key.
async fn ask(keys: &Registry, method: Method, path: &str, body: Bytes) -> anyhow::Result<Option<Bytes>> {
    let answer = keys.answer(method, path, body).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    match status {
        StatusCode::NOT_FOUND if body.is_empty() => Ok(None),
        status if status.is_success() => Ok(Some(body)),
        status => bail!("the registry answered {status}: {}", String::from_utf8_lossy(&body).trim()),
    }
}

async fn get(keys: &Registry, key: &str, format: Option<Format>) -> anyhow::Result<()> {
    let raw = if format.is_some() { "" } else { "?raw" };
    let found = ask(keys, Method::GET, &format!("{}{raw}", path(key)), Bytes::new()).await?;
    let found = found.with_context(|| format!("there is no key {key}"))?;
    match format {
        Some(format) => output::document(&serde_json::from_slice::<Value>(&found)?[0], format),
        // A value is printed as it is.
        None => print_bytes(&mut std::io::stdout(), &found).map(drop),
    }
}

async fn list(keys: &Registry, prefix: &str, format: Option<Format>) -> anyhow::Result<()> {
    let found = ask(keys, Method::GET, &format!("{}?recurse", path(prefix)), Bytes::new()).await?;
    let pairs: Value = found.map_or_else(|| Ok(Value::Array(vec![])), |found| serde_json::from_slice(&found))?;
    if let Some(format @ (Format::Json | Format::Yaml)) = format {
        return output::document(&pairs, format);
    }
    let rows = pairs.as_array().into_iter().flatten().map(|pair| {
        // Four letters of base 64 are three bytes, less what is padding.
        let value = pair["Value"].as_str().unwrap_or_default();
        let bytes = value.len() / 4 * 3 - value.bytes().rev().take_while(|letter| *letter == b'=').count();
        vec![cell(&pair["Key"]), bytes.to_string(), cell(&pair["ModifyIndex"]), cell(&pair["Session"])]
    });
    table(["key", "bytes", "index", "locked by"], rows);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_paths() {
        let cases = [("a/b", "/v1/kv/a/b"), ("a b?c", "/v1/kv/a%20b%3Fc"), ("", "/v1/kv/"), ("ü", "/v1/kv/%C3%BC")];
        for (key, expected) in cases {
            assert_eq!(path(key), expected);
        }
    }
}
