//! A device against a small comet made of the protocol core, over every transport.

// Test code may unwrap; clippy only knows so inside functions that are tests themselves.
#![allow(clippy::unwrap_used)]

mod client;
mod client_http;
mod device;
mod http;
mod http_posts;
mod peer;
mod script;
mod tls;
