//! Runs your containers and always knows where they are.

use std::process::ExitCode;

fn main() -> ExitCode {
    portolan::main()
}
