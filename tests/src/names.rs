//! Asking a name server, one datagram per question: what gets no answer is seen.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, ensure};

/// Stock resolvers wait five seconds and ask again; here a question is asked once.
const PATIENCE: Duration = Duration::from_secs(5);

/// The addresses of a name; fails if there is no answer or the answer is an error.
pub fn resolve(server: &str, name: &str) -> anyhow::Result<Vec<Ipv4Addr>> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect((server, 53))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    // RFC 1035, section 4.1: id, recursion desired, one question of type A and class IN.
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.trim_end_matches('.').split('.') {
        query.push(u8::try_from(label.len())?);
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    socket.send(&query)?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).with_context(|| format!("no answer for {name}"))?;
    let answer = &answer[..length];
    ensure!(length >= query.len() && answer[..2] == query[..2], "not an answer to the question");
    ensure!(answer[3] & 0x0f == 0, "{name}: response code {}", answer[3] & 0x0f);
    // Each record here: name (a pointer), type, class, time to live, length 4, address.
    let records = answer[query.len()..].chunks_exact(16).take(usize::from(answer[7]));
    Ok(records.map(|record| Ipv4Addr::new(record[12], record[13], record[14], record[15])).collect())
}
