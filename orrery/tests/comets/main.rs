//! Comets as processes of their own: drained, and restarted one after the other.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "../support/mod.rs"]
mod support;

mod drain;
mod fleet;
mod rolling;
mod slow;
