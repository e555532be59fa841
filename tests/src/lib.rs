//! Black-box tests: the binary as a user has it, real containers, stock clients.
//!
//! [`Cluster`] is a whole Portolan on this machine with folders, bridge and addresses of its own;
//! dropping it takes everything away again, also when the test failed.

mod cluster;
mod dialects;
mod image;
mod machine;
mod manifest;
mod names;
mod outside;
mod shell;
mod wait;

pub use cluster::{Cluster, binary, kill};
pub use dialects::{Dialects, ask, done};
pub use image::{build_web_image, web_image};
pub use machine::{Leftovers, command, http_get};
pub use manifest::MANIFEST;
pub use names::resolve;
pub use outside::Machine;
pub use shell::{Shell, Steps};
pub use wait::eventually;
