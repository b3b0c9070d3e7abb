//! A comet in process, with real sockets, between scripted devices and a scripted logic.

// A test that cannot go on fails by panicking.
#![allow(clippy::unwrap_used)]

mod connect;
mod deliver;
mod json;
mod limits;
mod presence;
mod rooms;
mod support;
