//! Images: their names, their archives, and building them.

pub(crate) mod archive;
pub mod build;
pub mod name;

pub use name::ImageName;
