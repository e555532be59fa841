//! Peers that send nonsense, or nothing: the process goes on and its memory stays bounded.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context, ensure};
use portolan_tests::{Cluster, command, eventually, http_get};

use crate::support::{Random, resident_kilobytes};

/// Connections that stay open and say nothing, for each listener.
const SILENT: usize = 100;
/// Connections that send nonsense, for each listener.
const NONSENSE: usize = 100;
/// What may be held for all of them together: buffers of connections, not copies of what they send.
const MEMORY_KILOBYTES: u64 = 64 << 10;

/// All TCP listeners of a process, from `ss`.
fn listeners(pid: u32) -> anyhow::Result<Vec<SocketAddr>> {
    let printed = command(std::process::Command::new("ss").args(["-Hltnp"]))?;
    let own = printed.lines().filter(|line| line.contains(&format!("pid={pid},")));
    let addresses = own.map(|line| {
        let address = line.split_whitespace().nth(3).context("ss prints the local address")?;
        let address = address.replace("*:", "0.0.0.0:");
        let mut address: SocketAddr = address.parse().with_context(|| address.clone())?;
        if address.ip().is_unspecified() {
            address.set_ip(IpAddr::from([127, 0, 0, 1]));
        }
        Ok(address)
    });
    addresses.collect()
}

fn connect(address: SocketAddr) -> Option<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_millis(200))).ok()?;
    stream.set_write_timeout(Some(Duration::from_secs(1))).ok()?;
    Some(stream)
}

/// What a peer may send to any port, wrong or malicious.
fn nonsense(random: &mut Random) -> Vec<u8> {
    match random.below(8) {
        0 => {
            let length = random.below(3000) as usize;
            random.bytes(length)
        }
        // A request head that never ends.
        1 => [b"GET / HTTP/1.1\r\nX-Long: ".as_slice(), &vec![b'a'; 256 << 10]].concat(),
        2 => ["GET / HTTP/1.1\r\n", &"X-Again: 1\r\n".repeat(4000)].concat().into_bytes(),
        // Lengths that promise what never comes.
        3 => b"POST /registry/instances HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n{".to_vec(),
        4 => b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n".to_vec(),
        // Half of a TLS handshake: a record header and a bit of a client's greeting.
        5 => [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &random.bytes(20)].concat(),
        // HTTP/2 with frames of random type and length.
        6 => [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &random.bytes(500)].concat(),
        // A DNS message over TCP that is shorter than it says, and one that points at itself.
        _ => [&[0, 40, 0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 0x0c][..], &random.bytes(10)].concat(),
    }
}

#[test]
fn nonsense_and_silence_at_every_listener_harm_nobody() {
    let mut random = Random::seeded();
    let cluster = Cluster::start().expect("started");
    let pid = cluster.server_pid().expect("running");
    let listeners = listeners(pid).expect("listed");
    assert!(listeners.len() >= 6, "API, agent, registry twice, DNS twice: {listeners:?}");
    let registry = cluster.status().expect("a status")["registryUrl"].as_str().expect("a URL").to_owned();
    let registry = registry.trim_start_matches("http://").split('/').next().expect("an address").to_owned();
    let before = resident_kilobytes(pid);

    let mut silent = Vec::new();
    for address in &listeners {
        for _ in 0..SILENT {
            silent.extend(connect(*address));
        }
        for _ in 0..NONSENSE {
            let Some(mut stream) = connect(*address) else { continue };
            let _ = stream.write_all(&nonsense(&mut random));
            if random.below(4) == 0 {
                let _ = stream.read(&mut [0; 64]);
            }
            // A fifth stays open as it is, the rest breaks off.
            if random.below(5) == 0 {
                silent.push(stream);
            }
        }
    }
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    for address in listeners.iter().filter(|address| address.port() == 53) {
        for _ in 0..2000 {
            let length = random.below(600) as usize;
            let _ = socket.send_to(&random.bytes(length), address);
        }
    }

    // Everything answers while the silent ones hold on.
    eventually("all parts answer", || {
        let status = cluster.status()?;
        ensure!(status["nodes"][0]["ready"] == true, "{status}");
        http_get(&registry, "/registry/instances")?;
        let dns = listeners.iter().find(|address| address.port() == 53).context("a name server")?;
        let server = format!("@{}", dns.ip());
        let answer = command(std::process::Command::new("dig").args([
            "+short",
            "+time=2",
            &server,
            "kubernetes.default.svc.cluster.local",
        ]))?;
        ensure!(!answer.trim().is_empty(), "no answer");
        Ok(())
    });
    assert_eq!(cluster.server_pid().expect("running"), pid, "the same process");
    let grown = resident_kilobytes(pid).saturating_sub(before);
    assert!(grown <= MEMORY_KILOBYTES, "{} connections cost {grown} kB", silent.len());
    let log = cluster.log();
    let panics: Vec<&str> = log.lines().filter(|line| line.contains("panic")).collect();
    assert!(panics.is_empty(), "{panics:?}");

    // Those who never said anything are sent away, so that they cannot pile up for ever.
    eventually("silent peers are disconnected", || {
        for stream in &mut silent {
            match stream.read(&mut [0; 4096]) {
                Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock) => {
                    anyhow::bail!("{:?} is still open", stream.peer_addr())
                }
                _ => {}
            }
        }
        Ok(())
    });
}
