//! Logs of containers.

mod line;
mod read;
mod rotate;
#[cfg(test)]
mod tests;

pub(crate) use line::Stream;
pub(crate) use read::{Options, read, tail};
pub(crate) use rotate::rotate;
