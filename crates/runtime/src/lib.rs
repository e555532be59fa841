//! The port to containers.
//!
//! [`Runtime`] is what the node agent needs from whatever runs containers.

pub mod containerd;
pub mod cri;
pub mod image;
pub mod pause;
mod port;
pub mod simulated;
pub mod spdy;
#[cfg(feature = "testing")]
pub mod suite;

pub use port::*;
