//! What goes wrong in real life, tried on the running binary.

mod crash;
mod disk;
mod ending;
mod garbage;
mod refusals;
mod runtime;
mod support;
