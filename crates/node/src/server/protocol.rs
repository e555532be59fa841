//! Kubernetes' remote-command protocol: its versions, channels and messages. Pure.

use portolan_runtime::TerminalSize;
use serde::Deserialize;
use serde_json::json;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// Channel numbers in WebSocket messages.
pub(super) const STDIN: u8 = 0;
pub(super) const STDOUT: u8 = 1;
pub(super) const STDERR: u8 = 2;
pub(super) const ERROR: u8 = 3;
pub(super) const RESIZE: u8 = 4;
/// Version 5 only: the other side has nothing more to send on the channel that follows.
pub(super) const CLOSE: u8 = 255;

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// With an exit code.
    Exited(i32),
    /// It could not be run, or its end is not known.
    Failed(String),
}

impl Ending {
    /// What versions 4 and 5 say on the error channel: a Status object.
    pub(super) fn status(&self) -> String {
        let value = match self {
            Self::Exited(0) => json!({"metadata": {}, "status": "Success"}),
            Self::Exited(code) => json!({
                "metadata": {},
                "status": "Failure",
                "message": format!("command terminated with exit code {code}"),
                "reason": "NonZeroExitCode",
                "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
            }),
            Self::Failed(message) => json!({
                "metadata": {},
                "status": "Failure",
                "message": message,
                "reason": "InternalError",
                "details": {"causes": [{"message": message}]},
                "code": 500,
            }),
        };
        value.to_string()
    }

    /// What older versions say: nothing on success, else a text.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Exited(0) => String::new(),
            Self::Exited(code) => {
                format!(
                    "error executing remote command: error executing command in container: command terminated with exit code {code}"
                )
            }
            Self::Failed(message) => message.clone(),
        }
    }
}

/// The first of `supported` that is among `offered`.
pub(super) fn negotiate(offered: &[String], supported: &[&'static str]) -> Option<&'static str> {
    supported.iter().copied().find(|version| offered.iter().any(|offer| offer == version))
}

/// A message of the resize channel.
pub(super) fn terminal_size(message: &[u8]) -> Option<TerminalSize> {
    #[derive(Deserialize)]
    struct Size {
        #[serde(rename = "Width")]
        width: u16,
        #[serde(rename = "Height")]
        height: u16,
    }
    let size: Size = serde_json::from_slice(message).ok()?;
    Some(TerminalSize { width: size.width, height: size.height })
}

/// The last message of a WebSocket. Without a code the client's library reports an abnormal end
/// (RFC 6455, section 7.1.5: 1005), and kubectl prints that as an error.
pub(super) fn goodbye() -> Message {
    Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_read_like_upstream() {
        assert_eq!(Ending::Exited(0).status(), r#"{"metadata":{},"status":"Success"}"#);
        let failed = Ending::Exited(3).status();
        assert!(failed.contains(r#""message":"command terminated with exit code 3""#), "{failed}");
        assert!(failed.contains(r#""reason":"NonZeroExitCode""#), "{failed}");
        assert!(failed.contains(r#"{"message":"3","reason":"ExitCode"}"#), "{failed}");
    }

    #[test]
    fn sizes_of_terminals_are_read() {
        let size = terminal_size(br#"{"Width":80,"Height":24}"#);
        assert_eq!(size, Some(TerminalSize { width: 80, height: 24 }));
        for bad in [&b""[..], b"{}", br#"{"Width":-1,"Height":24}"#, br#"{"Width":99999,"Height":1}"#] {
            assert_eq!(terminal_size(bad), None);
        }
    }
}
