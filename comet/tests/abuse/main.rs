//! Abuse: who takes places, sends too much or comes back too fast costs a bounded amount, at every door, and is
//! nobody else's trouble.
//!
//! A program of its own: its tests run one at a time, because they look at the memory of the whole process, the
//! devices' included.

// A test that cannot go on fails by panicking.
#![allow(clippy::unwrap_used)]

mod doors;
mod floods;
mod places;
mod requests;
mod sessions;
mod shares;
mod storms;
#[allow(dead_code, reason = "shared with tests that use all of it")]
#[path = "../comet/support/mod.rs"]
mod support;
mod visits;
