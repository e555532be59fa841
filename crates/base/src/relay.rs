//! Bytes from one connection to another, to the last one.
//!
//! Whoever closes a connection with something unread resets it, and what is on its way to the other side is
//! lost (RFC 9293, section 3.6.1). Here everything is read until the other side hangs up, wanted or not.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long the other side of a connection may take to hang up, once it was told all there was. It may read slowly.
pub const LINGER: Duration = Duration::from_secs(60);

const CHUNK: usize = 32 << 10;

/// Passes on what comes until it ends or one of the two fails; all that was read until then is written.
///
/// That is what it has ahead of `tokio::io::copy`, which reads on while the writer is slow, and gives up what it
/// holds if that fails.
///
/// # Errors
/// Those of either.
pub async fn copy<R, W>(from: &mut R, to: &mut W) -> io::Result<()>
where
    R: AsyncRead + Unpin + ?Sized,
    W: AsyncWrite + Unpin + ?Sized,
{
    pass(from, to).await.map_err(|failed| match failed {
        Failed::Reading(error) | Failed::Writing(error) => error,
    })
}

/// Which side failed.
enum Failed {
    Reading(io::Error),
    Writing(io::Error),
}

async fn pass<R, W>(from: &mut R, to: &mut W) -> Result<(), Failed>
where
    R: AsyncRead + Unpin + ?Sized,
    W: AsyncWrite + Unpin + ?Sized,
{
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = from.read(&mut buffer).await.map_err(Failed::Reading)?;
        if count == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..count]).await.map_err(Failed::Writing)?;
        to.flush().await.map_err(Failed::Writing)?;
    }
}

/// Reads what nobody wants, until it ends.
pub async fn drain<R: AsyncRead + Unpin + ?Sized>(from: &mut R) {
    let mut buffer = vec![0; CHUNK];
    while let Ok(1..) = from.read(&mut buffer).await {}
}

/// Joins two connections until both sides have hung up.
///
/// A side that takes no more may still speak: a client goes on sending to a backend that is done, and reads what
/// that said last. Once the backend has said everything, a client that does not hang up is left in the end; and so is a
/// backend that is silent, once the connection of the client broke.
pub async fn join<C, B>(client: C, backend: B)
where
    C: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let (mut from_client, mut to_client) = split(client);
    let (mut from_backend, mut to_backend) = split(backend);
    let (told, broken) = (CancellationToken::new(), CancellationToken::new());
    let inward = async {
        // What failed here, those at both ends see by themselves.
        if let Err(Failed::Reading(_)) = pass(&mut from_client, &mut to_backend).await {
            broken.cancel();
        }
        let _ = to_backend.shutdown().await;
        drain(&mut from_client).await;
    };
    let outward = async {
        let nobody = async {
            broken.cancelled().await;
            sleep(LINGER).await;
        };
        tokio::select! {
            _ = copy(&mut from_backend, &mut to_client) => {}
            () = nobody => return,
        }
        let _ = to_client.shutdown().await;
        told.cancel();
        let _ = timeout(LINGER, drain(&mut from_backend)).await;
    };
    let left = async {
        told.cancelled().await;
        sleep(LINGER).await;
    };
    let inward = async {
        tokio::select! { () = inward => {}, () = left => {} }
    };
    tokio::join!(inward, outward);
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::{DuplexStream, ReadBuf, duplex};

    use super::*;

    /// More than is passed on at once, and no multiple of it.
    const LAST_WORDS: &[u8] = &[7; 5 * CHUNK + 1000];

    struct Broken;

    impl AsyncRead for Broken {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
        }
    }

    async fn rest(mut stream: DuplexStream) -> Vec<u8> {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.expect("in memory");
        rest
    }

    #[tokio::test]
    async fn what_was_read_is_written_before_a_failure_is_seen() {
        let mut from = LAST_WORDS.chain(Broken);
        let (mut to, reader) = duplex(16);
        let copied = async move { copy(&mut from, &mut to).await };
        let (copied, heard) = tokio::join!(copied, rest(reader));
        assert_eq!(copied.expect_err("it broke").kind(), io::ErrorKind::ConnectionReset);
        assert!(heard == LAST_WORDS, "{} bytes", heard.len());
    }

    /// Of the two ends one speaks and leaves, the other one speaks after that and then reads.
    async fn the_last_words_arrive(leaver: (DuplexStream, DuplexStream), swap: bool) {
        let (mut leaver, near) = leaver;
        let (mut stayer, far) = duplex(16);
        leaver.write_all(LAST_WORDS).await.expect("there is room");
        drop(leaver);
        let joined = tokio::spawn(async move { if swap { join(near, far).await } else { join(far, near).await } });
        for _ in 0..3 {
            // Nobody listens, which is found out by the second one.
            stayer.write_all(b"is anybody there?").await.expect("it is read nevertheless");
        }
        let heard = rest(stayer).await;
        assert!(heard == LAST_WORDS, "{} bytes", heard.len());
        joined.await.expect("no panic");
    }

    #[tokio::test]
    async fn the_last_words_of_a_backend_reach_a_client_that_still_speaks() {
        the_last_words_arrive(duplex(LAST_WORDS.len()), false).await;
    }

    #[tokio::test]
    async fn the_last_words_of_a_client_reach_a_backend_that_still_speaks() {
        the_last_words_arrive(duplex(LAST_WORDS.len()), true).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_was_told_everything_and_stays_is_left() {
        let ((client, near), (far, backend)) = (duplex(16), duplex(16));
        drop(backend);
        join(near, far).await;
        assert!(rest(client).await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_backend_of_a_client_whose_connection_broke_is_left() {
        let (far, backend) = duplex(16);
        join(tokio::io::join(Broken, tokio::io::sink()), far).await;
        assert!(rest(backend).await.is_empty());
    }
}
