//! The short way answers as hyper does, byte for byte but for dates.

use bytes::BytesMut;

use super::both::{answer, answers};
use super::head::{Begin, take};
use super::{COPIED, Connection, READ, Stop};
use crate::http::{Peer, Way};

const LIMIT: usize = 1000;

/// What a client sends, and what of it the short way takes for ordinary.
fn cases() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let head = |fields: &str| format!("GET /a?b=c HTTP/1.1\r\nhost: x\r\n{fields}\r\n").into_bytes();
    let line = |line: &str| format!("{line}\r\nhost: x\r\n\r\n").into_bytes();
    let many = |count: usize| (0..count).map(|at| format!("f{at}: {at}\r\n")).collect::<String>();
    let with_body = |length: &str, body: &str| {
        format!("PUT /a HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
    };
    let chunked = b"PUT /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    vec![
        ("without fields", b"GET / HTTP/1.1\r\n\r\n".into(), "unusual"),
        ("without a host", b"GET / HTTP/1.1\r\nhosts: x\r\naccept: */*\r\n\r\n".into(), "unusual"),
        ("two hosts", head("Host: x\r\n"), "unusual"),
        ("two hosts and a body", with_body("5\r\nhost: y", "hello"), "unusual"),
        ("a host without a name", b"GET / HTTP/1.1\r\nhost:\r\n\r\n".into(), "request"),
        ("as most are", head("accept: */*\r\nuser-agent: curl/8\r\n"), "request"),
        ("it says that it stays", head("Connection: Keep-Alive\r\n"), "request"),
        ("fields of one name", head("accept: a\r\nACCEPT: b\r\naccept:\r\n"), "request"),
        ("a field of no text", head("x: \u{e9}\r\n"), "request"),
        ("a field of spaces", head("x:   a b\t \r\n"), "request"),
        ("lines that end otherwise", b"GET / HTTP/1.1\nhost: x\n\n".into(), "request"),
        ("empty lines before", b"\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n".into(), "request"),
        ("a body", with_body("5", "hello"), "request"),
        ("an empty body", with_body("0", ""), "request"),
        ("a body of zeros before", with_body("0005", "hello"), "request"),
        ("as many fields as usual", head(&many(40)), "request"),
        ("a head in part", b"GET / HTTP/1.1\r\nhost: x".into(), "part"),
        ("nothing", b"".into(), "part"),
        ("a body in part", with_body("6", "hello"), "part of body"),
        ("more fields", head(&many(60)), "unusual"),
        ("more fields than anybody takes", head(&many(200)), "unusual"),
        ("a long field", head(&format!("x: {}\r\n", "y".repeat(9000))), "unusual"),
        ("a body that is too large", with_body("1001", &"x".repeat(1001)), "unusual"),
        ("a body that is said to be larger", with_body("99999999999999999999", ""), "unusual"),
        ("a length below zero", with_body("-1", ""), "unusual"),
        ("a length with a sign", with_body("+5", "hello"), "unusual"),
        ("a length that is none", with_body("", ""), "unusual"),
        ("a length with a space", with_body("5 5", "hello"), "unusual"),
        ("two lengths", with_body("5\r\ncontent-length: 5", "hello"), "unusual"),
        ("two lengths that differ", with_body("5\r\ncontent-length: 6", "hello!"), "unusual"),
        ("a list of lengths", with_body("5, 5", "hello"), "unusual"),
        ("chunks", chunked.into(), "unusual"),
        ("chunks and a length", with_body("5\r\ntransfer-encoding: chunked", "0\r\n\r\n"), "unusual"),
        ("chunks, nearly", with_body("5\r\ntransfer-encoding : chunked", "0\r\n\r\n"), "unusual"),
        ("another coding", with_body("5\r\ntransfer-encoding: identity", "hello"), "unusual"),
        ("a body that is waited for", with_body("5\r\nexpect: 100-continue", "hello"), "unusual"),
        ("another protocol", head("connection: upgrade\r\nupgrade: websocket\r\n"), "unusual"),
        ("another protocol, half", head("upgrade: h2c\r\n"), "unusual"),
        ("it says that it ends", head("connection: close\r\n"), "unusual"),
        ("it says both", head("connection: keep-alive\r\nconnection: close\r\n"), "unusual"),
        ("a continued field", head("x: a\r\n b\r\n"), "unusual"),
        ("a name with a space", head("x y: a\r\n"), "unusual"),
        ("no colon", head("x\r\n"), "unusual"),
        ("a zero byte", head("x: a\0b\r\n"), "unusual"),
        ("a lone return", head("x: a\rb\r\n"), "unusual"),
        ("HEAD", line("HEAD /a HTTP/1.1"), "unusual"),
        ("OPTIONS", line("OPTIONS * HTTP/1.1"), "unusual"),
        ("CONNECT", line("CONNECT x:80 HTTP/1.1"), "unusual"),
        ("an unknown method", line("FETCH /a HTTP/1.1"), "unusual"),
        ("a method in small letters", line("get /a HTTP/1.1"), "unusual"),
        ("a whole URL", line("GET http://x/a HTTP/1.1"), "unusual"),
        ("a path without a slash", line("GET a HTTP/1.1"), "unusual"),
        ("a path that is none", line("GET /a\u{7f} HTTP/1.1"), "unusual"),
        ("a fragment", line("GET /a#b HTTP/1.1"), "request"),
        ("two spaces", line("GET  /a HTTP/1.1"), "unusual"),
        ("HTTP/1.0", line("GET /a HTTP/1.0"), "unusual"),
        ("HTTP/1.0 that stays", b"GET /a HTTP/1.0\r\nconnection: keep-alive\r\n\r\n".into(), "unusual"),
        ("HTTP/2.0", line("GET /a HTTP/2.0"), "unusual"),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), "unusual"),
        ("a beginning of HTTP/2", b"PRI * HTTP".into(), "part"),
        ("TLS", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1".into(), "unusual"),
        ("wrong and without an end", b"GET /a HTTP/1\xff\r\nhost: x\r\r\n".into(), "unusual"),
        ("noise", b"\0\0\0\0".into(), "unusual"),
    ]
}

#[test]
fn only_what_is_read_in_one_way_is_ordinary() {
    for (what, sent, expected) in cases() {
        let mut unread = BytesMut::from(&sent[..]);
        let begin = take(&mut unread, 0, LIMIT);
        let found = match &begin {
            Begin::Request(_) => "request",
            Begin::Part => "part",
            Begin::PartOfBody => "part of body",
            Begin::Unusual(_) => "unusual",
        };
        assert_eq!(found, expected, "{what}");
        let taken = match begin {
            Begin::Request(request) => request.raw,
            Begin::Unusual(taken) => taken,
            Begin::Part | Begin::PartOfBody => Default::default(),
        };
        assert_eq!([&taken[..], &unread].concat(), sent, "{what}: nothing is lost");
    }
}

async fn check(what: &str, pieces: &[&[u8]]) -> Vec<u8> {
    let (short, long) = answers(pieces).await;
    assert_eq!(String::from_utf8_lossy(&short), String::from_utf8_lossy(&long), "{what}");
    short
}

#[tokio::test(start_paused = true)]
async fn both_ways_answer_alike() {
    let ordinary = b"GET /x HTTP/1.1\r\nhost: x\r\n\r\n";
    for (what, sent, _) in cases() {
        check(what, &[&sent]).await;
        check(&format!("{what}, after another"), &[ordinary, &sent]).await;
        check(&format!("{what}, behind another"), &[&[ordinary, &sent[..]].concat()]).await;
        check(&format!("{what}, before another"), &[&[&sent[..], ordinary].concat()]).await;
        let (first, second) = sent.split_at(sent.len() / 2);
        check(&format!("{what}, in two pieces"), &[first, second, ordinary]).await;
        let (first, second) = sent.split_at(sent.len().min(1));
        check(&format!("{what}, the beginning before"), &[first, second]).await;
        let (head, rest) = sent.split_at(sent.len().saturating_sub(3));
        check(&format!("{what}, the end later"), &[head, rest]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_say_for_whom_a_request_is_or_says_it_twice_is_refused() {
    for (sent, status, words) in [
        ("GET / HTTP/1.1\r\n\r\n", 400, "missing required Host header"),
        ("GET http://x/ HTTP/1.1\r\n\r\n", 400, "missing required Host header"),
        ("GET / HTTP/1.1\r\nhost: x\r\nHOST: x\r\n\r\n", 400, "too many Host headers"),
        ("GET / HTTP/1.0\r\nhost: x\r\nhost: y\r\n\r\n", 400, "too many Host headers"),
        ("GET / HTTP/1.0\r\n\r\n", 200, "GET /"),
        ("GET / HTTP/1.1\r\nhost: x\r\n\r\n", 200, "GET /"),
    ] {
        let answer = check(sent, &[sent.as_bytes()]).await;
        let answer = String::from_utf8_lossy(&answer);
        let (version, _) = sent.split_at(sent.find("\r\n").expect("a line"));
        let start = format!("{} {status} ", &version[version.len() - 8..]);
        assert!(answer.starts_with(&start) && answer.contains(words), "{sent}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_of_all_forms_are_alike() {
    let paths =
        ["none", "empty", "unchanged", "missing", "odd", "large", "fields", "last", "dated", "stream", "soon", "never"];
    for path in paths {
        let ask = format!("GET /{path} HTTP/1.1\r\nhost: x\r\n\r\n").into_bytes();
        let put = format!("PUT /{path} HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello").into_bytes();
        check(path, &[&ask]).await;
        check(&format!("{path} with a body"), &[&put]).await;
        check(&format!("{path}, one after another"), &[&ask, &put, &ask]).await;
        check(
            &format!("{path}, all at once"),
            &[&[&ask[..], &put, &ask, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"].concat()],
        )
        .await;
    }
    let large = check("large", &[b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n"]).await;
    assert!(large.len() > COPIED && large.starts_with(b"HTTP/1.1 200 OK\r\n"));
}

#[tokio::test(start_paused = true)]
async fn who_is_silent_or_slow_is_sent_away_by_both_in_the_same_time() {
    let ordinary: &[u8] = b"GET /x HTTP/1.1\r\nhost: x\r\n\r\n";
    let slow: &[u8] = b"GET / HTTP/1.1\r\n";
    for (what, pieces, answered) in [("silent", vec![], 0), ("slow", vec![slow], 0), ("idle", vec![ordinary], 1)] {
        let mut took = Vec::new();
        let stop = Stop::default();
        for way in [Way::Short(&stop), Way::Long] {
            let begun = tokio::time::Instant::now();
            let read = super::both::answer_until_closed(&pieces, way, Peer::Machine).await;
            assert_eq!(read.windows(8).filter(|window| *window == b"HTTP/1.1").count(), answered, "{what}");
            took.push(begun.elapsed().as_secs());
        }
        assert_eq!(took, [10, 10], "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_trickles_in_is_read_alike() {
    let stop = Stop::default();
    // A byte every hundredth of a second, which takes longer than the short way waits.
    let mut pieces: Vec<&[u8]> = vec![b"PUT /a HTTP/1.1\r\nhost: x\r\ncontent-length: 900\r\n\r\n"];
    pieces.extend([&b"x"[..]; 1000]);
    let short = answer(&pieces, Way::Short(&stop), Peer::Machine).await;
    let long = answer(&pieces, Way::Long, Peer::Machine).await;
    assert_eq!(String::from_utf8_lossy(&short), String::from_utf8_lossy(&long));
}

#[tokio::test(start_paused = true)]
async fn strangers_are_refused_alike() {
    let stop = Stop::default();
    let ask: &[u8] = b"PUT /x HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello";
    let short = answer(&[ask, ask], Way::Short(&stop), Peer::Stranger).await;
    let long = answer(&[ask, ask], Way::Long, Peer::Stranger).await;
    assert_eq!(String::from_utf8_lossy(&short), String::from_utf8_lossy(&long));
    assert!(short.starts_with(b"HTTP/1.1 403"));
}

#[tokio::test]
async fn an_idle_connection_keeps_no_room_of_a_large_request() {
    const SMALL: usize = 200;
    let (stop, (mut stream, _other)) = (Stop::default(), tokio::io::duplex(1));
    // What came, how much of it each request is, and whether its room is kept for the next one.
    for (lengths, keeps) in [
        (&[SMALL][..], true),
        (&[SMALL, READ, SMALL], true),
        (&[READ + 1], false),
        (&[8 * READ], false),
        (&[8 * READ, SMALL], false),
        (&[SMALL, 8 * READ, SMALL], false),
    ] {
        let mut connection = Connection::new(&mut stream, &stop);
        connection.unread.extend_from_slice(&vec![b'x'; lengths.iter().sum()]);
        for length in lengths {
            drop(connection.unread.split_to(*length).freeze());
            connection.answered(*length);
        }
        assert_eq!(connection.unread.try_reclaim(SMALL), keeps, "{lengths:?}");
        // What comes next is kept like the first.
        connection.unread.extend_from_slice(&[b'x'; SMALL]);
        connection.unread.clear();
        connection.answered(SMALL);
        assert!(connection.unread.try_reclaim(SMALL), "{lengths:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn idle_connections_end_at_once_when_the_listener_stops() {
    let stop = Stop::default();
    let ordinary: &[u8] = b"GET /x HTTP/1.1\r\nhost: x\r\n\r\n";
    for pieces in [vec![], vec![ordinary]] {
        let begun = tokio::time::Instant::now();
        let told = async {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            stop.request();
        };
        tokio::join!(super::both::answer_until_closed(&pieces, Way::Short(&stop), Peer::Machine), told);
        assert_eq!(begun.elapsed().as_secs(), 1);
    }
    let busy: &[u8] = b"GET /soon HTTP/1.1\r\nhost: x\r\n\r\n";
    let last = answer(&[busy], Way::Short(&stop), Peer::Machine).await;
    assert!(last.is_empty(), "it was told before it was asked");
}
