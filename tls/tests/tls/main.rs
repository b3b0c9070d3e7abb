//! TLS against the client of tokio-rustls, over streams that give and take as little as they like.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bytes;
mod certificates;
mod handshake;
mod hostile;
mod interleaving;
mod refusals;
mod world;
