//! The conformance suite: what goim's clients and backends rely on, and what is better here, held against
//! router, logic and comet together over real sockets. `docs/goim.md` lists rules and tests.
//!
//! The tests speak in bytes and share no code with the codecs they judge. A case that means the same on
//! several transports is one test that runs on each of them, and on each within TLS.

// Tests stand outside the system: the real network and threads are theirs to use, and a panic is how
// they fail.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod bytes;
mod certificates;
mod device;
mod http;
mod link;
#[path = "../support/patience.rs"]
mod patience;
#[path = "../support/reply.rs"]
mod reply;
mod stack;
mod web;
mod wire;

mod audit;
mod authentication;
mod bounds;
mod broadcast;
mod comets;
mod deadlines;
mod delivery;
mod document;
mod frames;
mod goim_http;
mod hostile;
mod http_requests;
mod http_sessions;
mod json;
mod lives;
mod long_poll;
mod operations;
mod rooms;
mod secrets;
mod slow;
mod sse;
mod takeover;
mod upgrade;
mod vectors;

use self::patience::{PATIENCE, soon, until};
