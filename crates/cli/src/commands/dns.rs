//! `portolan dns`

mod wire;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use crate::output::{self, Format, print_line, table};
use crate::{Common, Place, Scoped};
use wire::{Answer, Kind};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest datagram that is taken; larger answers come over TCP.
const DATAGRAM: usize = 4096;

/// Asks the cluster's name service.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Ask for a name.
    #[command(after_help = "\
Examples:
  portolan dns query cart.default.svc.cluster.local
  portolan dns query cart.service.consul SRV -o json
  portolan dns query 10.42.0.7                          # whose address is that")]
    Query(Scoped<Arguments>),
}

/// Arguments of `dns query`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The name, or an address to ask for its name.
    name: String,
    /// Type of the records: A, AAAA, SRV, PTR, TXT, CNAME, NS, SOA, ANY [default: A, of an address PTR].
    #[arg(ignore_case = true)]
    r#type: Option<Kind>,
    /// Address and port of the name server [default: that of the cluster on this machine].
    #[arg(long, value_name = "ADDRESS:PORT")]
    server: Option<SocketAddr>,
    /// Ask over TCP.
    #[arg(long)]
    tcp: bool,
    /// Output format.
    #[arg(short, long)]
    output: Option<Format>,
}

pub(crate) async fn run(common: &Common, arguments: Arguments) -> anyhow::Result<()> {
    let server = match arguments.server {
        Some(server) => server,
        None => Place::required(&common.data_dir)?.names().context(
            "the cluster on this machine answers no names outside of pods (--dns-listen off); give --server",
        )?,
    };
    let (name, kind) = match arguments.name.parse() {
        Ok(address) => (wire::reverse(address), arguments.r#type.unwrap_or(Kind::PTR)),
        Err(_) => (arguments.name.clone(), arguments.r#type.unwrap_or(Kind::A)),
    };
    let question = wire::question(std::process::id() as u16, &name, kind)?;
    let asked = async {
        if !arguments.tcp {
            let answer = over_udp(server, &question).await?;
            if !answer.truncated {
                return Ok(answer);
            }
        }
        over_tcp(server, &question).await
    };
    let asked = tokio::time::timeout(PATIENCE, asked).await;
    let answer = asked.map_err(|_| anyhow::anyhow!("no answer within {PATIENCE:?}"));
    let answer = answer.and_then(|answer| answer).with_context(|| format!("ask {server} for {name}"))?;
    show(&name, kind, &answer, arguments.output)
}

async fn over_udp(server: SocketAddr, question: &[u8]) -> anyhow::Result<Answer> {
    let socket = UdpSocket::bind(if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut packet = vec![0; DATAGRAM];
    loop {
        let length = socket.recv(&mut packet).await?;
        // What does not answer this question, somebody else has sent.
        if packet[..length].get(..2) == question.get(..2) {
            return wire::read(&packet[..length]);
        }
    }
}

async fn over_tcp(server: SocketAddr, question: &[u8]) -> anyhow::Result<Answer> {
    let mut stream = TcpStream::connect(server).await?;
    // RFC 1035, section 4.2.2: the length goes first.
    stream.write_u16(u16::try_from(question.len())?).await?;
    stream.write_all(question).await?;
    let mut packet = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut packet).await?;
    wire::read(&packet)
}

fn show(name: &str, kind: Kind, answer: &Answer, format: Option<Format>) -> anyhow::Result<()> {
    if let Some(format @ (Format::Json | Format::Yaml)) = format {
        let records = |records: &[wire::Record]| -> Vec<Value> {
            let one = |it: &wire::Record| json!({"name": it.name, "type": it.kind, "ttl": it.ttl, "data": it.data});
            records.iter().map(one).collect()
        };
        let document = json!({
            "name": name, "type": kind.to_string(), "status": answer.status,
            "answers": records(&answer.answers), "additional": records(&answer.additional),
        });
        return output::document(&document, format);
    }
    match answer.status.as_str() {
        "NOERROR" if format == Some(Format::Name) => {
            for record in &answer.answers {
                print_line(&format!("{}/{}", record.kind.to_lowercase(), record.data));
            }
            Ok(())
        }
        "NOERROR" if answer.answers.is_empty() => {
            print_line(&format!("{name} has no {kind} record"));
            Ok(())
        }
        "NOERROR" => {
            let all = answer.answers.iter().chain(&answer.additional);
            let row = |it: &wire::Record| vec![it.name.clone(), it.ttl.to_string(), it.kind.clone(), it.data.clone()];
            table(["name", "ttl", "type", "data"], all.map(row));
            Ok(())
        }
        "NXDOMAIN" => bail!("there is no name {name}"),
        other => bail!("the name server answered {other} for {name}"),
    }
}
