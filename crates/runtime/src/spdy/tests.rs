use bytes::BytesMut;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::frame::{Control, HEADER_LENGTH, Header, data_header};
use super::headers::{Compressor, Decompressor};
use super::state::State;
use super::*;

const LIMITS: Limits = Limits { streams: 4, header_bytes: 4096, buffer: 256 * 1024 };

fn pair() -> (Connection, Connection) {
    let (client, server) = duplex(16 * 1024);
    (Connection::new(client, Role::Client, LIMITS), Connection::new(server, Role::Server, LIMITS))
}

async fn stream_pair(client: &Connection, server: &Connection) -> (Stream, Stream) {
    let headers = Headers::new().with("streamType", "stdin");
    let (opened, accepted) = tokio::join!(client.open_stream(headers), server.accept_stream());
    (opened.expect("the peer accepts"), accepted.expect("no error").expect("a stream"))
}

#[tokio::test]
async fn half_close_ends_one_direction_only() {
    let (client, server) = pair();
    let (mut near, mut far) = stream_pair(&client, &server).await;
    assert_eq!(far.headers().get("StreamType"), Some("stdin"));
    near.write_all(b"ping").await.unwrap();
    near.shutdown().await.unwrap();
    let mut heard = Vec::new();
    far.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"ping");
    far.write_all(b"pong").await.unwrap();
    far.shutdown().await.unwrap();
    heard.clear();
    near.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"pong");
}

#[tokio::test]
async fn large_transfers_pass_both_ways_at_once() {
    let (client, server) = pair();
    let (near, far) = stream_pair(&client, &server).await;
    let payload: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let exchange = async |stream: Stream| {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut heard = Vec::new();
        let write = async {
            writer.write_all(&payload).await.unwrap();
            writer.shutdown().await.unwrap();
        };
        tokio::join!(write, async { reader.read_to_end(&mut heard).await.unwrap() });
        heard
    };
    let (left, right) = tokio::join!(exchange(near), exchange(far));
    assert!(left == payload && right == payload);
}

#[tokio::test]
async fn a_reset_gives_what_arrived_and_then_an_error() {
    let (client, server) = pair();
    let (mut near, mut far) = stream_pair(&client, &server).await;
    far.write_all(b"last words").await.unwrap();
    far.flush().await.unwrap();
    drop(far);
    let mut heard = Vec::new();
    let error = near.read_to_end(&mut heard).await.unwrap_err();
    assert_eq!((heard.as_slice(), error.kind()), (&b"last words"[..], std::io::ErrorKind::ConnectionReset));
    assert_eq!(near.write_all(b"x").await.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn streams_above_the_limit_are_refused() {
    let (client, server) = pair();
    let mut held = Vec::new();
    for _ in 0..LIMITS.streams {
        held.push(stream_pair(&client, &server).await);
    }
    let refused = client.open_stream(Headers::new()).await.unwrap_err();
    assert_eq!(refused, Error::Reset(ResetReason::RefusedStream));
    held.pop();
    stream_pair(&client, &server).await;
}

#[tokio::test]
async fn close_delivers_what_was_written_and_ends_the_peer() {
    let (client, server) = pair();
    let (mut near, mut far) = stream_pair(&client, &server).await;
    near.write_all(b"bye").await.unwrap();
    client.close().await;
    let mut heard = [0; 3];
    far.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"bye");
    assert!(server.accept_stream().await.unwrap().is_none());
    assert_eq!(far.read(&mut heard).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionAborted);
}

#[tokio::test]
async fn what_a_server_said_is_heard_though_it_takes_nothing_more() {
    let ((near, mut from_client), (to_client, mut far)) = (duplex(1024), duplex(1024));
    let client = Connection::new(tokio::io::join(to_client, near), Role::Client, LIMITS);
    let accept = async {
        let mut syn_stream = [0; HEADER_LENGTH];
        from_client.read_exact(&mut syn_stream).await.expect("the client opens a stream");
        let (mut reply, block) = (BytesMut::new(), Compressor::new().compress(&Headers::new()));
        Control::SynReply { stream: 1, fin: false, block }.encode(&mut reply);
        far.write_all(&reply).await.expect("there is room");
    };
    let (opened, ()) = tokio::join!(client.open_stream(Headers::new()), accept);
    let mut stream = opened.expect("the server accepts");
    drop(from_client);
    while stream.write_all(b"more").await.is_ok() {
        tokio::task::yield_now().await;
    }
    let mut words = BytesMut::new();
    data_header(&mut words, 1, false, 10);
    words.extend_from_slice(b"last words");
    far.write_all(&words).await.expect("it is still read");
    drop(far);
    let mut heard = Vec::new();
    let error = stream.read_to_end(&mut heard).await.expect_err("it breaks then");
    assert_eq!((heard.as_slice(), error.kind()), (&b"last words"[..], std::io::ErrorKind::ConnectionAborted));
}

#[test]
fn windows_are_returned_to_a_server_that_has_shown_its_own() {
    let mut frames = BytesMut::new();
    let mut state = |role, shown: Option<Control>| {
        let mut state = State::new(role, LIMITS);
        let id = state.open(Headers::new()).expect("not ended");
        if let Some(shown) = shown {
            state.on_control(shown).expect("a correct frame");
        }
        state.consumed(id, 100_000);
        frames.clear();
        state.gather(&mut Compressor::new(), &mut frames);
        let mut windows = Vec::new();
        while !frames.is_empty() {
            let header = frames.split_to(HEADER_LENGTH)[..].try_into().expect("whole frames");
            let Header::Control { kind, flags, length } = Header::decode(header).expect("ours") else { panic!("data") };
            let payload = frames.split_to(length);
            if let Control::WindowUpdate { stream, delta } = Control::decode(kind, flags, &payload).expect("ours") {
                windows.push((stream, delta));
            }
        }
        windows
    };
    let settings = Control::Settings { initial_window: Some(1 << 20) };
    assert_eq!(state(Role::Client, None), []);
    assert_eq!(state(Role::Client, Some(settings)), [(0, 100_000), (1, 100_000)]);
    assert_eq!(state(Role::Client, Some(Control::WindowUpdate { stream: 0, delta: 1 })), [(0, 100_000), (1, 100_000)]);
    assert_eq!(state(Role::Server, None), [(0, 100_000), (2, 100_000)]);
}

#[tokio::test]
async fn close_reads_until_the_peer_hangs_up() {
    let (near, mut far) = duplex(1024);
    let client = Connection::new(near, Role::Client, LIMITS);
    let peer = async {
        let mut goodbye = Vec::new();
        far.read_to_end(&mut goodbye).await.expect("in memory");
        let mut pings = BytesMut::new();
        for _ in 0..1000 {
            Control::Ping { id: 7 }.encode(&mut pings);
        }
        far.write_all(&pings).await.expect("it is still read");
        drop(far);
    };
    tokio::join!(client.close(), peer);
}

#[tokio::test]
async fn pings_are_answered() {
    let (mut client, server) = duplex(1024);
    let _server = Connection::new(server, Role::Server, LIMITS);
    let mut ping = BytesMut::new();
    Control::Ping { id: 7 }.encode(&mut ping);
    client.write_all(&ping).await.unwrap();
    let mut answer = vec![0; ping.len()];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, ping);
}

#[test]
fn header_blocks_keep_repeated_names_and_share_their_compression() {
    let (mut compressor, mut decompressor) = (Compressor::new(), Decompressor::new(4096));
    let headers = Headers::new().with("Port", "80").with("streamtype", "data").with("x", "1").with("x", "2");
    let first = compressor.compress(&headers);
    let second = compressor.compress(&headers);
    assert!(second.len() < first.len(), "{} then {}", first.len(), second.len());
    assert_eq!(decompressor.decompress(&first).unwrap(), headers);
    assert_eq!(decompressor.decompress(&second).unwrap(), headers);
}

#[test]
fn an_inflated_header_block_is_refused() {
    let block = Compressor::new().compress(&Headers::new().with("bomb", "0".repeat(1 << 20)));
    let error = Decompressor::new(4096).decompress(&block).unwrap_err();
    assert_eq!(error, Error::Protocol("a header block is too large"));
}

fn controls() -> impl Strategy<Value = Control> {
    let stream = 1..0x7fff_ffff_u32;
    let block = proptest::collection::vec(any::<u8>(), 0..64);
    prop_oneof![
        (stream.clone(), any::<bool>(), any::<bool>(), block.clone())
            .prop_map(|(stream, fin, unidirectional, block)| Control::SynStream { stream, fin, unidirectional, block }),
        (stream.clone(), any::<bool>(), block.clone()).prop_map(|(stream, fin, block)| Control::SynReply {
            stream,
            fin,
            block
        }),
        (stream.clone(), any::<bool>(), block).prop_map(|(stream, fin, block)| Control::Headers { stream, fin, block }),
        (stream.clone(), any::<u32>()).prop_map(|(stream, reason)| Control::Reset { stream, reason: reason.into() }),
        any::<Option<u32>>().prop_map(|initial_window| Control::Settings { initial_window }),
        any::<u32>().prop_map(|id| Control::Ping { id }),
        (stream.clone(), any::<u32>()).prop_map(|(last_stream, status)| Control::GoAway { last_stream, status }),
        (stream.clone(), stream).prop_map(|(stream, delta)| Control::WindowUpdate { stream, delta }),
    ]
}

async fn feed(mut peer: DuplexStream, bytes: Vec<u8>) {
    // The other side may hang up before it has read everything.
    let _ = peer.write_all(&bytes).await;
    let _ = peer.shutdown().await;
    let mut answers = Vec::new();
    let _ = peer.read_to_end(&mut answers).await;
}

fn serve_hostile_bytes(bytes: Vec<u8>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, server) = duplex(1024);
        let connection = Connection::new(server, Role::Server, LIMITS);
        let accept = async {
            while let Ok(Some(stream)) = connection.accept_stream().await {
                drop(stream)
            }
        };
        tokio::join!(feed(client, bytes), accept);
        connection.close().await;
    });
}

proptest! {
    #[test]
    fn control_frames_survive_the_wire(control in controls()) {
        let mut bytes = BytesMut::new();
        control.encode(&mut bytes);
        let header: [u8; HEADER_LENGTH] = bytes[..HEADER_LENGTH].try_into().unwrap();
        let Header::Control { kind, flags, length } = Header::decode(header).unwrap() else { panic!("not control") };
        prop_assert_eq!(length, bytes.len() - HEADER_LENGTH);
        prop_assert_eq!(Control::decode(kind, flags, &bytes[HEADER_LENGTH..]).unwrap(), control);
    }

    #[test]
    fn garbage_ends_the_connection_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        serve_hostile_bytes(bytes);
    }

    #[test]
    fn valid_frames_in_any_order_do_not_panic(frames in proptest::collection::vec(controls(), 0..40)) {
        let mut bytes = BytesMut::new();
        frames.iter().for_each(|frame| frame.encode(&mut bytes));
        serve_hostile_bytes(bytes.to_vec());
    }
}
