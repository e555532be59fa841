//! A ping frame of HTTP/2 that must come back.

use super::http::Secrecy;
use super::socket::connect;

/// Sends a ping and waits for its return.
///
/// # Errors
/// Why it does not come back.
pub async fn ping(host: &str, port: u16, secrecy: &Secrecy) -> Result<(), String> {
    let stream = connect(host, port, secrecy, Some("h2")).await?;
    let (client, mut connection) = h2::client::handshake(stream).await.map_err(|error| error.to_string())?;
    let mut pings = connection.ping_pong().ok_or("the connection cannot ping")?;
    let outcome = tokio::select! {
        pong = pings.ping(h2::Ping::opaque()) => pong.map(drop).map_err(|error| error.to_string()),
        ended = connection => Err(ended.err().map_or_else(|| "the server closed the connection".to_owned(), |error| error.to_string())),
    };
    // The connection lives as long as its client.
    drop(client);
    outcome
}
