//! Runs your containers and always knows where they are.

use std::process::ExitCode;

// Requests make and free many small objects, on one thread and another: measured in docs/performance.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    portolan::main()
}
