//! The port to containers.
//!
//! [`Runtime`] is what the node agent needs from whatever runs containers.

mod port;
pub mod spdy;

pub use port::*;
