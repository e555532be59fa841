//! What comes over a connection, in pieces.

/// Hyper looks at the first bytes of a connection apart, for the version of HTTP, and so takes what is wrong among them
/// for a beginning.
const FIRST: &[u8] = b"GET /first HTTP/1.1\r\nhost: first\r\n\r\n";

pub(crate) fn run(bytes: &[u8]) {
    let mut pieces: Vec<&[u8]> = bytes.split(|byte| *byte == 0).collect();
    if !bytes.starts_with(b"PRI") {
        pieces.insert(0, FIRST);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let answers = runtime.expect("a runtime").block_on(portolan_registrar::fuzzing::answers(&pieces));
    let (short, long) = (String::from_utf8_lossy(&answers.0), String::from_utf8_lossy(&answers.1));
    assert_eq!(short, long, "what is read in the short way is read as by hyper");
}
