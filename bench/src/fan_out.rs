//! The bound of telling many: one write of as many bytes into as many sockets.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, anyhow};

use crate::process::cpu_of_this_thread;

/// CPU of one write of `size` bytes into one of `count` sockets on loopback, `rounds` for each. The kernel's
/// share of the receiving side is in it, as it is when a server writes; reading is another thread's.
///
/// # Errors
/// Sockets cannot be opened, or one of them broke.
pub fn bound(count: usize, size: usize, rounds: usize) -> anyhow::Result<Duration> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut writers = Vec::with_capacity(count);
    let mut readers = Vec::with_capacity(count);
    for _ in 0..count {
        let writer = TcpStream::connect(listener.local_addr()?)?;
        writer.set_nodelay(true)?;
        writers.push(writer);
        readers.push(listener.accept()?.0);
    }
    let reading = std::thread::spawn(move || {
        let mut buffer = vec![0; size];
        for _ in 0..rounds {
            for reader in &mut readers {
                reader.read_exact(&mut buffer)?;
            }
        }
        std::io::Result::Ok(())
    });
    let bytes = vec![b'x'; size];
    let before = cpu_of_this_thread()?;
    for _ in 0..rounds {
        for writer in &mut writers {
            writer.write_all(&bytes)?;
        }
    }
    let cpu = cpu_of_this_thread()? - before;
    reading.join().map_err(|_| anyhow!("the reader panicked"))?.context("read what was written")?;
    Ok(cpu / u32::try_from(count * rounds)?)
}
