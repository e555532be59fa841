//! Logs of containers.

mod folders;
mod line;
mod read;
mod rotate;
#[cfg(test)]
mod tests;

pub(crate) use folders::{known, remove};
pub(crate) use line::Stream;
pub(crate) use read::{Options, read, tail};
pub(crate) use rotate::rotate;
