//! Tries against servers of the test's own, on loopback.

use std::collections::BTreeMap;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

use super::*;

/// Answers each request on a connection of its own with what `answer` makes of its head.
async fn http(tasks: &mut JoinSet<()>, answer: fn(&str, u16) -> String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.windows(4).any(|window| window == b"\r\n\r\n") && stream.read_buf(&mut head).await.is_ok() {}
            let answer = answer(&String::from_utf8_lossy(&head), port);
            // A client that went away has what it wanted.
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    port
}

fn shop(head: &str, port: u16) -> String {
    let path = head.split(' ').nth(1).unwrap_or_default();
    let (status, headers, body) = match path {
        "/ok" if head.contains("x-key: 1\r\n") && head.contains("user-agent: Portolan Health Check\r\n") => {
            ("200 OK", String::new(), "fine".to_owned())
        }
        "/busy" => ("429 Too Many Requests", String::new(), String::new()),
        "/moved" => ("302 Found", format!("location: http://127.0.0.1:{port}/ok\r\n"), String::new()),
        "/loop" => ("302 Found", "location: /loop\r\n".to_owned(), String::new()),
        "/large" => ("200 OK", String::new(), "x".repeat(100_000)),
        _ => ("503 Service Unavailable", String::new(), "no".to_owned()),
    };
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

fn http_check(url: String) -> HealthCheck {
    HealthCheck {
        r#type: CheckType::Http,
        url,
        headers: BTreeMap::from([("x-key".to_owned(), vec!["1".to_owned()])]),
        ..HealthCheck::default()
    }
}

#[tokio::test]
async fn http_answers_become_health() {
    let mut tasks = JoinSet::new();
    let port = http(&mut tasks, shop).await;
    let prober = Prober::default();
    let cases = [
        ("/ok", false, Health::Passing, ": 200 OK Output: fine"),
        ("/busy", false, Health::Warning, ": 429 Too Many Requests Output: "),
        ("/down", false, Health::Critical, ": 503 Service Unavailable Output: no"),
        ("/moved", false, Health::Passing, "/ok: 200 OK Output: fine"),
        ("/moved", true, Health::Critical, "/moved: 302 Found Output: "),
        ("/loop", false, Health::Critical, "stopped after 10 redirects"),
    ];
    for (path, disable_redirects, health, output) in cases {
        let check = HealthCheck { disable_redirects, ..http_check(format!("http://127.0.0.1:{port}{path}")) };
        let outcome = prober.try_once(&check).await;
        assert_eq!(outcome.health, health, "{path}: {}", outcome.output);
        assert!(outcome.output.ends_with(output), "{path}: {}", outcome.output);
    }
    let outcome = prober.try_once(&http_check(format!("http://127.0.0.1:{port}/large"))).await;
    assert_eq!((outcome.health, outcome.output.len()), (Health::Passing, 4096));
    for (url, words) in [("ftp://x/", "unsupported protocol scheme"), ("no url", "the URL \"no url\"")] {
        let outcome = prober.try_once(&http_check(url.to_owned())).await;
        assert!(outcome.health == Health::Critical && outcome.output.contains(words), "{}", outcome.output);
    }
}

#[tokio::test]
async fn sockets_are_open_refused_or_silent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let open = listener.local_addr().expect("bound").to_string();
    let silent = UdpSocket::bind("127.0.0.1:0").await.expect("loopback");
    let datagrams = silent.local_addr().expect("bound").to_string();
    let gone = UdpSocket::bind("127.0.0.1:0").await.expect("loopback");
    let refused = gone.local_addr().expect("bound").to_string();
    drop(gone);
    let prober = Prober::default();
    let cases = [
        (CheckType::Tcp, open.as_str(), Health::Passing, ": Success"),
        (CheckType::Tcp, &refused, Health::Critical, "refused"),
        (CheckType::Tcp, "nonsense", Health::Critical, "is not HOST:PORT"),
        (CheckType::Udp, &datagrams, Health::Passing, ": Success"),
        (CheckType::Udp, &refused, Health::Critical, "refused"),
        // Somebody who accepts and never speaks.
        (CheckType::Grpc, &open, Health::Critical, "no answer within"),
        (CheckType::H2ping, &open, Health::Critical, "no answer within"),
        (CheckType::Grpc, &refused, Health::Critical, "refused"),
    ];
    for (kind, address, health, words) in cases {
        let check = HealthCheck {
            r#type: kind,
            address: address.to_owned(),
            timeout_milliseconds: Some(200),
            ..HealthCheck::default()
        };
        let outcome = prober.try_once(&check).await;
        assert_eq!(outcome.health, health, "{kind:?} {address}: {}", outcome.output);
        assert!(outcome.output.contains(words), "{kind:?} {address}: {}", outcome.output);
    }
}

/// A server that speaks HTTP/2 and answers every call with one frame and a gRPC status.
async fn grpc_server(tasks: &mut JoinSet<()>, frame: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    let Ok(mut body) = respond.send_response(::http::Response::new(()), false) else { return };
                    let mut trailers = ::http::HeaderMap::new();
                    trailers.insert("grpc-status", ::http::HeaderValue::from_static("0"));
                    // A client that went away is not this server's concern.
                    let _ = body.send_data(bytes::Bytes::from_static(frame), false);
                    let _ = body.send_trailers(trailers);
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn grpc_health_and_pings_over_http2() {
    let mut tasks = JoinSet::new();
    let serving = grpc_server(&mut tasks, &[0, 0, 0, 0, 2, 8, 1]).await;
    let not_serving = grpc_server(&mut tasks, &[0, 0, 0, 0, 2, 8, 2]).await;
    let prober = Prober::default();
    let cases = [
        (CheckType::Grpc, format!("127.0.0.1:{serving}"), Health::Passing, "success"),
        (CheckType::Grpc, format!("127.0.0.1:{serving}/shop.Cart"), Health::Passing, "success"),
        (CheckType::Grpc, format!("127.0.0.1:{not_serving}"), Health::Critical, "NOT_SERVING"),
        (CheckType::H2ping, format!("127.0.0.1:{serving}"), Health::Passing, "HTTP2 ping was successful"),
    ];
    for (kind, address, health, words) in cases {
        let check = HealthCheck { r#type: kind, address, ..HealthCheck::default() };
        let outcome = prober.try_once(&check).await;
        assert_eq!(outcome.health, health, "{check:?}: {}", outcome.output);
        assert!(outcome.output.contains(words), "{}", outcome.output);
    }
}

#[tokio::test]
async fn commands_run_only_where_allowed_and_end_in_time() {
    let allowed = Prober { scripts: Scripts::Allowed, ..Prober::default() };
    let cases = [
        (&allowed, "echo good", Health::Passing, "good"),
        (&allowed, "echo so-so >&2; exit 1", Health::Warning, "so-so"),
        (&allowed, "exit 2", Health::Critical, "exit status: 2"),
        (&allowed, "sleep 60 & sleep 60", Health::Critical, "Timed out (1s) running check"),
        (&allowed, "head -c 1000000 /dev/zero | tr '\\0' x", Health::Passing, "xxxx"),
        (&Prober::default(), "true", Health::Critical, "not allowed"),
    ];
    for (prober, script, health, words) in cases {
        let check = HealthCheck {
            r#type: CheckType::Script,
            command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            timeout_milliseconds: Some(1000),
            ..HealthCheck::default()
        };
        let outcome = prober.try_once(&check).await;
        assert_eq!(outcome.health, health, "{script}: {}", outcome.output);
        assert!(outcome.output.contains(words) && outcome.output.len() <= 4096, "{script}: {}", outcome.output);
    }
}
