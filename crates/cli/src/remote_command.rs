//! The messages of a remote command over a WebSocket (`v5.channel.k8s.io`). Pure.
//!
//! <https://kubernetes.io/docs/reference/using-api/websockets/>, KEP-4006: the first byte of each
//! message is its channel.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};

/// The protocol's name.
pub(crate) const PROTOCOL: &str = "v5.channel.k8s.io";

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;

/// What the other side says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Stdout(Bytes),
    Stderr(Bytes),
    /// How the command ended: its exit code, or why that is not known.
    Ended(Result<u8, String>),
    /// Nothing that matters here.
    Other,
}

/// Reads a message.
pub(crate) fn read(message: &Bytes) -> Message {
    let Some(channel) = message.first() else { return Message::Other };
    let payload = message.slice(1..);
    match *channel {
        STDOUT => Message::Stdout(payload),
        STDERR => Message::Stderr(payload),
        ERROR if !payload.is_empty() => Message::Ended(ending(&payload)),
        _ => Message::Other,
    }
}

/// The exit code in a `Status` object.
fn ending(status: &[u8]) -> Result<u8, String> {
    let Ok(status) = serde_json::from_slice::<Value>(status) else {
        return Err(String::from_utf8_lossy(status).into_owned());
    };
    if status["status"] == "Success" {
        return Ok(0);
    }
    let causes = status["details"]["causes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let code = causes.iter().find(|cause| cause["reason"] == "ExitCode").and_then(|cause| cause["message"].as_str());
    match code.and_then(|code| code.parse::<u8>().ok()) {
        Some(code) => Ok(code),
        None => Err(status["message"].as_str().unwrap_or("the command failed, and nobody said why").to_owned()),
    }
}

/// Input for the command.
pub(crate) fn stdin(input: &[u8]) -> Bytes {
    on(STDIN, input)
}

/// The command reads the end of its input.
pub(crate) fn end_of_stdin() -> Bytes {
    on(CLOSE, &[STDIN])
}

/// The terminal has another size now.
pub(crate) fn resize((columns, rows): (u16, u16)) -> Bytes {
    on(RESIZE, json!({"Width": columns, "Height": rows}).to_string().as_bytes())
}

fn on(channel: u8, payload: &[u8]) -> Bytes {
    let mut message = BytesMut::with_capacity(payload.len() + 1);
    message.put_u8(channel);
    message.put_slice(payload);
    message.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart_by_their_first_byte() {
        let failed = r#"{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}"#;
        let cases: [(u8, &str, Message); 7] = [
            (1, "out", Message::Stdout("out".into())),
            (2, "err", Message::Stderr("err".into())),
            (3, "", Message::Other),
            (3, r#"{"metadata":{},"status":"Success"}"#, Message::Ended(Ok(0))),
            (3, failed, Message::Ended(Ok(3))),
            (3, r#"{"status":"Failure","message":"no such file"}"#, Message::Ended(Err("no such file".into()))),
            (9, "from a later version", Message::Other),
        ];
        for (channel, payload, expected) in cases {
            assert_eq!(read(&on(channel, payload.as_bytes())), expected, "{channel} {payload}");
        }
        assert_eq!(read(&Bytes::new()), Message::Other);
    }

    #[test]
    fn what_is_sent_is_what_the_protocol_says() {
        assert_eq!(&stdin(b"a")[..], b"\0a");
        assert_eq!(&end_of_stdin()[..], [255, 0]);
        assert_eq!(&resize((80, 24))[..], b"\x04{\"Height\":24,\"Width\":80}");
    }
}
