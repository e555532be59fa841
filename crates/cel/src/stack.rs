//! Room for recursion.
//!
//! Reading and checking recurse with each bracket, as deep as upstream allows, which has all the stack it wants. Without
//! optimisation that takes more than a worker thread has.

use std::io;
use std::thread::Builder;

/// How deep a text may nest that is read on the stack of whoever asks.
const SHALLOW: usize = 64;

/// Enough for the deepest text, several times over.
const SIZE: usize = 16 << 20;

/// Does something with a text where there is room for it.
///
/// # Errors
/// It is deep, and there is no thread to be had.
pub(crate) fn with_room<Made: Send>(text: &str, work: impl FnOnce() -> Made + Send) -> io::Result<Made> {
    // What opens and never closes nests; what else there is of it, in texts or beside each other, does no harm.
    let openings = text.bytes().filter(|byte| matches!(byte, b'(' | b'[' | b'{' | b'?')).count();
    if openings <= SHALLOW {
        return Ok(work());
    }
    std::thread::scope(|scope| {
        let thread = Builder::new().name("expression".to_owned()).stack_size(SIZE).spawn_scoped(scope, work)?;
        Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}
