//! Reading logs.

use std::future::Ready;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Options, Stream, read, tail};

const LOG: &str = "2026-01-01T00:00:01Z stdout F one\n\
                   2026-01-01T00:00:02Z stderr F two\n\
                   2026-01-01T00:00:03Z stdout P thr\n\
                   2026-01-01T00:00:03Z stdout F ee\n\
                   damaged\n\
                   2026-01-01T00:00:04Z stdout F four\n";

async fn text(options: Options) -> String {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("0.log");
    std::fs::write(&path, LOG).expect("writable");
    let (sender, mut receiver) = mpsc::channel::<Bytes>(100);
    read(&path, &options, None::<Ready<()>>, &sender).await.expect("readable");
    drop(sender);
    let mut text = Vec::new();
    while let Some(chunk) = receiver.recv().await {
        text.extend_from_slice(&chunk);
    }
    String::from_utf8(text).expect("text")
}

#[tokio::test]
async fn options_choose_a_part_of_the_log() {
    let since = "2026-01-01T00:00:03Z".parse().ok();
    let cases = [
        (Options::default(), "one\ntwo\nthree\nfour\n"),
        (Options { tail_lines: Some(1), ..Options::default() }, "four\n"),
        (Options { tail_lines: Some(0), ..Options::default() }, ""),
        (Options { tail_lines: Some(99), ..Options::default() }, "one\ntwo\nthree\nfour\n"),
        (Options { since, ..Options::default() }, "three\nfour\n"),
        (Options { limit_bytes: Some(5), ..Options::default() }, "one\nt"),
        (Options { stream: Some(Stream::Stderr), ..Options::default() }, "two\n"),
        (
            Options { timestamps: true, since, ..Options::default() },
            "2026-01-01T00:00:03Z three\n2026-01-01T00:00:04Z four\n",
        ),
    ];
    for (options, expected) in cases {
        assert_eq!(text(options.clone()).await, expected, "{options:?}");
    }
}

#[tokio::test]
async fn lines_written_while_a_log_is_read_are_not_among_the_last() {
    use std::io::Write as _;

    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("0.log");
    let line = |letter: &str| format!("2026-01-01T00:00:01Z stdout F {}\n", letter.repeat(20_000));
    std::fs::write(&path, ["a", "b", "c"].map(line).concat()).expect("writable");
    let (sender, mut receiver) = mpsc::channel::<Bytes>(1);
    let reading = tokio::spawn({
        let (path, sender) = (path.clone(), sender.clone());
        let options = Options { tail_lines: Some(3), ..Options::default() };
        async move { read(&path, &options, None::<Ready<()>>, &sender).await }
    });
    while sender.capacity() > 0 {
        tokio::task::yield_now().await;
    }
    drop(sender);
    let mut file = std::fs::File::options().append(true).open(&path).expect("writable");
    file.write_all(line("d").as_bytes()).expect("writable");
    let mut text = Vec::new();
    while let Some(chunk) = receiver.recv().await {
        text.extend_from_slice(&chunk);
    }
    reading.await.expect("no panic").expect("readable");
    assert_eq!((text.len(), text.last_chunk::<2>()), (3 * 20_001, Some(b"c\n")));
}

#[tokio::test]
async fn the_tail_is_cut_to_size() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("0.log");
    std::fs::write(&path, LOG).expect("writable");
    assert_eq!(tail(&path, 2, 4).await.expect("readable"), "our\n");
}

#[tokio::test]
async fn following_sees_later_lines_and_rotation_until_the_end() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("0.log");
    std::fs::write(&path, "2026-01-01T00:00:01Z stdout F one\n").expect("writable");
    let (sender, mut receiver) = mpsc::channel::<Bytes>(100);
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let reading = tokio::spawn({
        let path = path.clone();
        async move {
            let ended = async { drop(ended.await) };
            read(&path, &Options::default(), Some(ended), &sender).await
        }
    });
    assert_eq!(receiver.recv().await.as_deref(), Some(&b"one\n"[..]));
    std::fs::rename(&path, folder.path().join("0.log.1")).expect("renamed");
    std::fs::write(&path, "2026-01-01T00:00:02Z stdout F two\n").expect("writable");
    assert_eq!(receiver.recv().await.as_deref(), Some(&b"two\n"[..]));
    end.send(()).expect("it still reads");
    reading.await.expect("no panic").expect("readable");
    assert_eq!(receiver.recv().await, None);
}
