//! Port forwarding over channels of a WebSocket: two per port, its bytes and its error.
//!
//! What the kubelet serves to clients that speak no SPDY: the ports stand in the query, and the first
//! message of each channel is the port's number, its low byte first.

use bytes::Bytes;
use futures::StreamExt as _;
use http::StatusCode;
use portolan_base::error::chain;
use portolan_base::go;
use portolan_runtime::{Reader, SandboxId, Writer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::channels::{self, Codec, QUEUE, pump};
use super::port_forward::refused;
use super::{Query, Refusal, Shared};

pub(super) const SUPPORTED: &[&str] = &["v4.channel.k8s.io", "v4.base64.channel.k8s.io"];

/// So that the number of a channel is one printable character where messages are text.
const MOST_PORTS: usize = 39;

/// The ports of a request, in the order of their channels.
pub(super) fn ports(query: &Query) -> Result<Vec<u16>, Refusal> {
    let bad = |text: String| Refusal::new(StatusCode::BAD_REQUEST, text);
    let values = query.all("port");
    if values.is_empty() {
        return Err(bad("query parameter \"port\" is required".to_owned()));
    }
    if values.iter().any(String::is_empty) {
        return Err(bad("query parameter \"port\" cannot be empty".to_owned()));
    }
    // As upstream, refusals name the list that a port is in.
    let texts: Vec<(&str, &String)> =
        values.iter().flat_map(|list| list.split(',').map(move |port| (port, list))).collect();
    if texts.len() > MOST_PORTS {
        return Err(bad(format!("{} ports are too many for one connection: at most {MOST_PORTS}", texts.len())));
    }
    let parse = |(text, list): (&str, &String)| match go::parse_u16(text) {
        Ok(0) => Err(bad(format!("port {} must be > 0", go::quote(list)))),
        Ok(port) => Ok(port),
        Err(why) => Err(bad(format!("unable to parse {} as a port: {why}", go::quote(list)))),
    };
    texts.into_iter().map(parse).collect()
}

/// Connects the ports until all of them have ended or the client leaves.
pub(super) async fn serve<S>(
    shared: &Shared,
    io: S,
    sandbox: &SandboxId,
    ports: &[u16],
    protocol: &str,
) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let codec = Codec { base64: protocol.contains("base64") };
    let socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
    let (sink, source) = socket.split();
    let (sender, receiver) = mpsc::channel(QUEUE);
    let (inputs, outputs): (Vec<_>, Vec<_>) = ports.iter().map(|_| mpsc::channel::<Bytes>(QUEUE)).unzip();
    let work = async {
        // Owned here, so that the writer ends with this.
        let (sender, mut source) = (sender, source);
        let numbered = (0_u8..).step_by(2).zip(ports).zip(outputs);
        let forwards = numbered.map(|((channel, port), input)| {
            let line = Line { shared, sandbox, port: *port, channel, codec, sender: &sender };
            line.forward(input)
        });
        let forwards = futures::future::join_all(forwards);
        let read = async {
            while let Some(Ok(message)) = source.next().await {
                let message = match message {
                    Message::Binary(bytes) => bytes,
                    Message::Text(text) => text.into(),
                    Message::Close(_) => return,
                    // Pings are answered by the library.
                    _ => continue,
                };
                let Some((channel, payload)) = codec.receive(&message) else { continue };
                // Nobody reads what a client says on the channel of an error.
                let input = inputs.get(usize::from(channel / 2)).filter(|_| channel % 2 == 0);
                if let Some(input) = input {
                    // A port that has ended takes nothing more; the others may.
                    let _ = input.send(payload.into()).await;
                }
            }
        };
        tokio::select! { _ = forwards => {}, () = read => {} }
        source
    };
    channels::serve(work, sink, receiver).await
}

/// One port and its channels.
struct Line<'a> {
    shared: &'a Shared,
    sandbox: &'a SandboxId,
    port: u16,
    /// That of the bytes; that of the error is the next.
    channel: u8,
    codec: Codec,
    sender: &'a mpsc::Sender<Message>,
}

impl Line<'_> {
    async fn forward(self, input: mpsc::Receiver<Bytes>) {
        let number = self.port.to_le_bytes();
        for channel in [self.channel, self.channel + 1] {
            self.codec.send(self.sender, channel, &number).await;
        }
        let outcome = match self.shared.context.config.runtime.connect(self.sandbox, self.port).await {
            Ok((from_pod, to_pod)) => self.copy(input, from_pod, to_pod).await.map_err(|error| error.to_string()),
            Err(error) => Err(chain(&error).to_string()),
        };
        if let Err(reason) = outcome {
            let text = refused(&self.port.to_string(), self.sandbox, &reason);
            self.codec.send(self.sender, self.channel + 1, text.as_bytes()).await;
        }
    }

    /// Ends when the pod has ended its side: a client cannot end one side alone.
    async fn copy(
        &self,
        mut input: mpsc::Receiver<Bytes>,
        from_pod: Reader,
        mut to_pod: Writer,
    ) -> std::io::Result<()> {
        let inward = async {
            while let Some(bytes) = input.recv().await {
                to_pod.write_all(&bytes).await?;
                to_pod.flush().await?;
            }
            std::future::pending().await
        };
        tokio::select! {
            () = pump(Some(from_pod), self.channel, self.sender, self.codec) => Ok(()),
            failed = inward => failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_come_from_the_query_in_order() {
        let read = |query: &str| {
            let uri = format!("/portForward/a/b?{query}").parse().expect("valid");
            ports(&Query::of(&uri)).map_err(|refusal| refusal.message)
        };
        assert_eq!(read("port=443,80&port=8080"), Ok(vec![443, 80, 8080]));
        let many = vec!["1"; MOST_PORTS + 1].join(",");
        for (query, expected) in [
            ("", "query parameter \"port\" is required"),
            ("port=", "query parameter \"port\" cannot be empty"),
            ("port=0", "port \"0\" must be > 0"),
            ("port=80,x", "unable to parse \"80,x\" as a port: strconv.ParseUint: parsing \"x\": invalid syntax"),
            (
                "port=65536",
                "unable to parse \"65536\" as a port: strconv.ParseUint: parsing \"65536\": value out of range",
            ),
            (&format!("port={many}"), "40 ports are too many for one connection: at most 39"),
        ] {
            assert_eq!(read(query), Err(expected.to_owned()), "{query}");
        }
    }
}
