//! What goes wrong in real life, tried on the running binary.

mod crash;
mod runtime;
mod support;
