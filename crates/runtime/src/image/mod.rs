//! Images: their names, and building them.

pub mod name;

pub use name::ImageName;
