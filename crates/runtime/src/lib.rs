//! The port to containers.
//!
//! [`Runtime`] is what the node agent needs from whatever runs containers.

pub mod image;
mod port;
pub mod simulated;
pub mod spdy;

pub use port::*;
